/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking whole pageblocks out of the kernel's direct map, and putting them
 * back.
 *
 * An architecture that selects ARCH_HAS_DIRECT_MAP_BLOCK implements this. The
 * page allocator is the only user: it owns every page of the block during each
 * of these calls but the first.
 *
 *	arch_direct_map_block_kind()		which block is worth trying: a hint
 *	arch_direct_map_block_prepare()		everything that can sleep or fail
 *	arch_direct_map_block_unmap()		the entry becomes not present
 *	arch_direct_map_flush()			no CPU has the old entry any more
 *	...
 *	arch_direct_map_block_remap()		the entry is what it was
 *	arch_direct_map_mend()			and so is what it was a part of
 *
 * Where hardware-poisoned pages are not to be mapped again, in the place of remap:
 *
 *	arch_direct_map_pieces_prepare()	a page table
 *	arch_direct_map_block_remap_pieces()	an entry a page, but for those
 *	arch_direct_map_pieces_finish()		it is counted, or came to nothing
 *
 * The kernel-doc is with the implementation.
 */
#ifndef _LINUX_DIRECT_MAP_H
#define _LINUX_DIRECT_MAP_H

#include <linux/types.h>

struct page;

/**
 * enum direct_map_block - how the direct map shows a pageblock
 * @DIRECT_MAP_BLOCK_PLAIN: by an entry of its own, which can be taken out as it
 *	is
 * @DIRECT_MAP_BLOCK_LARGE: by a larger entry with ordinary attributes, which
 *	has to be split first
 * @DIRECT_MAP_BLOCK_FIXED: in any other way, and it can't be unmapped: in small
 *	pieces, with other attributes, at a second address too, or not at all
 */
enum direct_map_block {
	DIRECT_MAP_BLOCK_PLAIN,
	DIRECT_MAP_BLOCK_LARGE,
	DIRECT_MAP_BLOCK_FIXED,
};

bool arch_direct_map_can_flip(void);
enum direct_map_block arch_direct_map_block_kind(const struct page *block);
int arch_direct_map_block_prepare(const struct page *block);
int arch_direct_map_block_unmap(const struct page *block);
void arch_direct_map_block_remap(const struct page *block);
void *arch_direct_map_pieces_prepare(void);
void arch_direct_map_block_remap_pieces(const struct page *block, void *table,
					const unsigned long *absent);
void arch_direct_map_pieces_finish(void *table, const unsigned long *absent);
void arch_direct_map_flush(const struct page *block, unsigned int nr_blocks);
bool arch_direct_map_block_mapped(const struct page *block);
bool arch_direct_map_mend(unsigned long start_pfn, unsigned long end_pfn);

#endif /* _LINUX_DIRECT_MAP_H */
