/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_FREETYPE_H
#define _LINUX_FREETYPE_H
/*
 * The freetype of free memory: its migratetype, plus freetype flags.
 *
 * A migratetype says how movable the pages of a block are. A freetype flag is
 * a property of the memory itself that has nothing to do with mobility. The
 * two are orthogonal, but not every combination is useful: only those listed
 * in enum freetype_list have free lists, the others cannot be written down.
 *
 * A freetype is represented by the index of its free list, so that indexing
 * costs what it did when free lists were indexed by migratetype, and plain
 * memory (no flags) is encoded as its migratetype. It is a struct so that
 * passing a bare migratetype where free lists are indexed does not compile.
 *
 * To add a property: a list below, a row of freetype_properties[], a pageblock
 * bit in PAGEBLOCK_FREETYPE_MASK and in get_pfnblock_freetype(), a flag in
 * ALLOC_PROPERTIES. Nothing that asks "is this plain memory?" has to change.
 * Who asks freetype_unmapped() means that property and no other.
 *
 * To be included from <linux/mmzone.h> only, after enum migratetype.
 */

#include <linux/compiler.h>

/**
 * enum freetype_list - the free lists of a &struct free_area
 * @FREETYPE_LAST_PLAIN: the lists of memory without flags come first, one for
 *	each migratetype
 * @FREETYPE_LIST_UNMAPPED: %MIGRATE_UNMOVABLE, absent from the direct map
 * @FREETYPE_LIST_TEST: %MIGRATE_UNMOVABLE, with the property of the KUnit tests
 * @NR_FREETYPES: number of free lists
 */
enum freetype_list {
	FREETYPE_LAST_PLAIN = MIGRATE_TYPES - 1,
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	FREETYPE_LIST_UNMAPPED,
#endif
#ifdef CONFIG_FREETYPE_TEST_PROPERTY
	FREETYPE_LIST_TEST,
#endif
	NR_FREETYPES
};

#define NR_FREETYPE_PROPERTIES	(NR_FREETYPES - MIGRATE_TYPES)

/* The lists of an order: two cache lines for 120 bytes, so that they are a shift away */
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
#define __free_area_aligned	____cacheline_aligned
#else
#define __free_area_aligned
#endif

typedef struct {
	int list;
} freetype_t;

struct page;

/**
 * struct freetype_property - a property of memory, and what becomes of it
 * @name: what /proc/pagetypeinfo calls it
 * @letter: what show_mem() calls it
 * @migratetype: the migratetype that all memory with it has
 * @pageblock_bit: the bit of a pageblock that has it
 * @alloc_flag: what a request for such memory says in its alloc_flags
 * @undo_atomic: any context can have a wholly free block back: @undo is one
 *	store, cannot fail and needs no TLB flush. Else the blocks go back through
 *	the worker.
 * @pooled: blocks are made in advance while there is demand, as many as
 *	vm.no_direct_map_pool_blocks says
 * @contents_die: pages are erased when they are freed, and not by way of the
 *	direct map
 * @prepare: everything that can fail or sleep before @apply; may be NULL
 * @apply: give a block the property
 * @flush: no CPU has an older translation any more for blocks in a range
 * @undo: take it away; @undo_flush says whether @flush has to follow
 * @undo_flush: see @undo
 *
 * The functions are called with whole pageblocks that are on no free list and
 * in nobody's use. @prepare, @apply and @flush sleep; @undo may only where
 * not @undo_atomic.
 */
struct freetype_property {
	const char *name;
	char letter;
	enum migratetype migratetype;
	unsigned int pageblock_bit;
	unsigned int alloc_flag;
	bool undo_atomic;
	bool undo_flush;
	bool pooled;
	bool contents_die;
	int (*prepare)(struct page *block);
	int (*apply)(struct page *block);
	void (*flush)(struct page *first, unsigned long nr_blocks);
	void (*undo)(struct page *block);
};

#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
extern const struct freetype_property freetype_properties[NR_FREETYPE_PROPERTIES];
#endif

/**
 * freetype_from_index - the freetype whose pages are on a given list
 * @list: index, below %NR_FREETYPES
 *
 * For iterating over all freetypes.
 *
 * Return: the freetype.
 */
static __always_inline freetype_t freetype_from_index(int list)
{
	return (freetype_t){ .list = list };
}

/**
 * freetype_index - which free list the pages of a freetype are on
 * @ft: freetype
 *
 * Return: the index, below %NR_FREETYPES.
 */
static __always_inline int freetype_index(freetype_t ft)
{
	return ft.list;
}

/**
 * freetype_plain - the freetype of memory without flags
 * @mt: migratetype, any of them
 *
 * Return: the freetype.
 */
static __always_inline freetype_t freetype_plain(enum migratetype mt)
{
	/* Known when this is compiled: it has no flags */
	if (mt >= MIGRATE_TYPES)
		__builtin_unreachable();

	return freetype_from_index(mt);
}

/**
 * freetype_is - is this memory of a migratetype, and plain?
 * @ft: freetype
 * @mt: migratetype
 *
 * Return: true if so.
 */
static __always_inline bool freetype_is(freetype_t ft, enum migratetype mt)
{
	return ft.list == mt;
}

static __always_inline bool freetype_eq(freetype_t a, freetype_t b)
{
	return a.list == b.list;
}

/**
 * freetype_has_flags - has memory any property beyond its migratetype?
 * @ft: freetype
 *
 * Return: false for plain memory.
 */
static __always_inline bool freetype_has_flags(freetype_t ft)
{
	return NR_FREETYPE_PROPERTIES && ft.list >= MIGRATE_TYPES;
}

#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
/* The property that memory has: the row of a freetype with flags. */
static inline const struct freetype_property *freetype_property(freetype_t ft)
{
	return &freetype_properties[ft.list - MIGRATE_TYPES];
}

/* The freetype of unmapped memory. */
static __always_inline freetype_t freetype_make_unmapped(void)
{
	return freetype_from_index(FREETYPE_LIST_UNMAPPED);
}

/**
 * freetype_unmapped - is memory absent from the direct map?
 * @ft: freetype
 *
 * Return: true if so.
 */
static __always_inline bool freetype_unmapped(freetype_t ft)
{
	return ft.list == FREETYPE_LIST_UNMAPPED;
}
#else
static __always_inline bool freetype_unmapped(freetype_t ft)
{
	return false;
}
#endif

/**
 * freetype_migratetype - the migratetype of a freetype
 * @ft: freetype
 *
 * Return: the migratetype.
 */
static __always_inline enum migratetype freetype_migratetype(freetype_t ft)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	if (unlikely(freetype_has_flags(ft)))
		return freetype_property(ft)->migratetype;
#endif
	return ft.list;
}

/**
 * freetype_name - what /proc/pagetypeinfo calls a freetype
 * @ft: freetype
 *
 * Return: the name.
 */
static inline const char *freetype_name(freetype_t ft)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	if (freetype_has_flags(ft))
		return freetype_property(ft)->name;
#endif
	return migratetype_names[ft.list];
}

/**
 * freetype_letter - what show_mem() calls a freetype with flags
 * @ft: freetype with flags
 *
 * Return: the letter.
 */
static inline char freetype_letter(freetype_t ft)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	return freetype_property(ft)->letter;
#else
	return '?';
#endif
}

/**
 * freetypes_mergeable - may free blocks of two freetypes become one?
 * @a: freetype of a free pageblock, or of several
 * @b: freetype of its buddy
 *
 * Blocks of one freetype always merge. Else the merged block takes the
 * migratetype of one of them, which is possible where both can fall back to
 * each other. Properties are facts about the memory: both are plain then.
 *
 * Return: true if they may.
 */
static inline bool freetypes_mergeable(freetype_t a, freetype_t b)
{
	if (freetype_eq(a, b))
		return true;

	return migratetype_is_mergeable(a.list) && migratetype_is_mergeable(b.list);
}

#endif /* _LINUX_FREETYPE_H */
