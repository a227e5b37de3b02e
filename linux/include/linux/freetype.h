/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_FREETYPE_H
#define _LINUX_FREETYPE_H
/*
 * The freetype of free memory: its migratetype, plus freetype flags.
 *
 * A migratetype says how movable the pages of a block are. A freetype flag is
 * a property of the memory itself that has nothing to do with mobility. The
 * two are orthogonal, but not every combination is useful: only those listed
 * in enum freetype_list have free lists, the others are refused where a
 * freetype is made.
 *
 * A freetype is represented by the index of its free list, so that indexing
 * costs what it did when free lists were indexed by migratetype, and plain
 * memory (no flags) is encoded as its migratetype. It is a struct so that
 * passing a bare migratetype where free lists are indexed does not compile.
 *
 * To be included from <linux/mmzone.h> only, after enum migratetype.
 */

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/jump_label.h>

/* Freetype flags: properties of memory that are not about mobility. */
#define FREETYPE_UNMAPPED	BIT(0)	/* absent from the direct map */

/**
 * enum freetype_list - the free lists of a &struct free_area
 * @FREETYPE_NR_PLAIN: the lists of memory without flags come first, one for
 *	each migratetype
 * @FREETYPE_LIST_UNMAPPED: %MIGRATE_UNMOVABLE with %FREETYPE_UNMAPPED
 */
enum freetype_list {
	FREETYPE_NR_PLAIN = MIGRATE_TYPES,
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	FREETYPE_LIST_UNMAPPED = FREETYPE_NR_PLAIN,
#endif
};

/* Number of free lists */
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
#define NR_FREETYPES		(FREETYPE_LIST_UNMAPPED + 1)
#else
#define NR_FREETYPES		FREETYPE_NR_PLAIN
#endif

/*
 * No memory has flags before somebody wants some that does, see
 * unmapped_enable(): on most machines nobody ever will. Until then the page
 * allocator costs what it did without freetypes.
 */
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
DECLARE_STATIC_KEY_FALSE(freetype_flags_key);

static __always_inline bool freetype_flags_used(void)
{
	return static_branch_unlikely(&freetype_flags_key);
}
#else
static __always_inline bool freetype_flags_used(void)
{
	return false;
}
#endif

typedef struct {
	int list;
} freetype_t;

/**
 * freetype_list_index - where memory of a migratetype and flags is listed
 * @mt: migratetype
 * @flags: freetype flags
 *
 * Return: the &enum freetype_list, or -1 where there is no such list.
 */
static __always_inline int freetype_list_index(enum migratetype mt, unsigned int flags)
{
	if (!flags)
		return mt;
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	if (flags == FREETYPE_UNMAPPED && mt == MIGRATE_UNMOVABLE)
		return FREETYPE_LIST_UNMAPPED;
#endif
	return -1;
}

/**
 * freetype_from_list - the freetype whose pages are on a given list
 * @list: index, below %NR_FREETYPES
 *
 * For iterating over all freetypes.
 *
 * Return: the freetype.
 */
static inline freetype_t freetype_from_list(int list)
{
	return (freetype_t){ .list = list };
}

/**
 * freetype_plain - the freetype of memory without flags
 * @mt: migratetype, any of them
 *
 * Return: the freetype.
 */
static inline freetype_t freetype_plain(enum migratetype mt)
{
	return freetype_from_list(mt);
}

/**
 * freetype_make - the freetype of a migratetype and flags, both constant
 * @mt: migratetype
 * @flags: freetype flags
 *
 * Does not compile where that combination has no free list.
 *
 * Return: the freetype.
 */
static __always_inline freetype_t freetype_make(const enum migratetype mt,
						const unsigned int flags)
{
	BUILD_BUG_ON(freetype_list_index(mt, flags) < 0);
	return freetype_from_list(freetype_list_index(mt, flags));
}

/**
 * freetype_flags - the flags of a freetype
 * @ft: freetype of a page
 *
 * Return: the flags; 0 as long as no memory has any.
 */
static __always_inline unsigned int freetype_flags(freetype_t ft)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	if (freetype_flags_used() && ft.list == FREETYPE_LIST_UNMAPPED)
		return FREETYPE_UNMAPPED;
#endif
	return 0;
}

/**
 * freetype_migratetype - the migratetype of a freetype
 * @ft: freetype of a page
 *
 * Return: the migratetype.
 */
static __always_inline enum migratetype freetype_migratetype(freetype_t ft)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	if (freetype_flags_used() && ft.list == FREETYPE_LIST_UNMAPPED)
		return MIGRATE_UNMOVABLE;
#endif
	return ft.list;
}

/**
 * freetype_name - what /proc/pagetypeinfo calls a freetype
 * @ft: freetype, whether any memory has it or not
 *
 * Return: the name.
 */
static inline const char *freetype_name(freetype_t ft)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	if (ft.list == FREETYPE_LIST_UNMAPPED)
		return "Unmapped";
#endif
	return migratetype_names[ft.list];
}

static inline bool freetype_eq(freetype_t a, freetype_t b)
{
	return a.list == b.list;
}

/* Is memory of this freetype absent from the direct map? */
static __always_inline bool freetype_unmapped(freetype_t ft)
{
	return freetype_flags(ft) & FREETYPE_UNMAPPED;
}

/**
 * freetypes_mergeable - may free blocks of two freetypes become one?
 * @a: freetype of a free pageblock, or of several
 * @b: freetype of its buddy
 *
 * Blocks of one freetype always merge. Else the merged block takes the
 * migratetype of one of them, which is possible where both can fall back to
 * each other, but flags are facts about the memory and must be the same.
 *
 * Return: true if they may.
 */
static inline bool freetypes_mergeable(freetype_t a, freetype_t b)
{
	if (freetype_eq(a, b))
		return true;

	return freetype_flags(a) == freetype_flags(b) &&
		migratetype_is_mergeable(freetype_migratetype(a)) &&
		migratetype_is_mergeable(freetype_migratetype(b));
}

#endif /* _LINUX_FREETYPE_H */
