// SPDX-License-Identifier: GPL-2.0
/*
 * Folios that the page cache keeps off the direct map.
 *
 * Copyright IBM Corporation, 2021
 *
 * Author: Mike Rapoport <rppt@linux.ibm.com>
 *
 * No folio of a mapping with AS_NO_DIRECT_MAP is in the direct map for as long
 * as it is in that mapping. The page allocator may have seen to that: such a
 * folio came unmapped, stays so, and is erased by it when it is free. Any other
 * folio is taken out when it enters the page cache, alone, and put back when it
 * leaves it:
 *
 *	page_unmapped()		enters			leaves
 *	yes			-			-
 *	no			zap, insert, flush	restore, erase
 *
 * page_unmapped() says which kind a folio is, not how the mapping is meant to be
 * served: whoever allocated it, what is inserted ends up off the direct map.
 */

#include <linux/mm.h>
#include <linux/highmem.h>
#include <linux/set_memory.h>
#include <linux/unmapped.h>

#include <asm/tlbflush.h>

#include "internal.h"

/**
 * folio_zap_direct_map - take a folio out of the direct map
 * @folio: the folio, about to enter a mapping with AS_NO_DIRECT_MAP, for which
 *	page_unmapped() is false
 *
 * CPUs may have it in their TLBs until folio_flush_direct_map().
 *
 * Context: task, may sleep.
 * Return: 0; or an error, and all of it is in the direct map as before.
 */
int folio_zap_direct_map(struct folio *folio)
{
	long nr = folio_nr_pages(folio), i;
	int err;

	for (i = 0; i < nr; i++) {
		err = set_direct_map_invalid_noflush(folio_page(folio, i));
		if (err)
			goto undo;
	}
	return 0;

undo:
	while (i--)
		set_direct_map_default_noflush(folio_page(folio, i));
	return err;
}

/**
 * folio_flush_direct_map - no CPU can reach a folio any more
 * @folio: the folio that folio_zap_direct_map() took out, which nobody could write to yet
 *
 * Context: task.
 */
void folio_flush_direct_map(struct folio *folio)
{
	unsigned long addr = (unsigned long)folio_address(folio);

	flush_tlb_kernel_range(addr, addr + folio_size(folio));
}

/**
 * folio_restore_direct_map - undo folio_zap_direct_map()
 * @folio: the folio
 *
 * If a large entry had to be split for it, that happened when the folio was
 * taken out: this cannot fail.
 *
 * Context: task.
 */
void folio_restore_direct_map(struct folio *folio)
{
	long nr = folio_nr_pages(folio), i;

	for (i = 0; i < nr; i++)
		set_direct_map_default_noflush(folio_page(folio, i));
}

/**
 * folio_erase_direct_map - a folio goes back to the direct map, empty
 * @folio: the folio, which left a mapping with AS_NO_DIRECT_MAP
 *
 * Context: task.
 */
void folio_erase_direct_map(struct folio *folio)
{
	/* The page allocator erases its own, and nobody else could */
	if (page_unmapped(&folio->page))
		return;

	folio_restore_direct_map(folio);
	folio_zero_segment(folio, 0, folio_size(folio));
}
