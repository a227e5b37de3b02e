/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_UNMAPPED_H
#define _LINUX_UNMAPPED_H
/*
 * Page allocation off the direct map: what its users ask.
 * See Documentation/mm/unmapped.rst.
 */

#include <linux/errno.h>
#include <linux/mmzone.h>

#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
int unmapped_enable(void);
bool unmapped_possible(void);
bool unmapped_available(void);
unsigned long unmapped_foresee(gfp_t gfp, unsigned long nr_pages);
int unmapped_vacate(void);
#else
static inline int unmapped_enable(void)
{
	return -EOPNOTSUPP;
}

static inline bool unmapped_possible(void)
{
	return false;
}

static inline bool unmapped_available(void)
{
	return false;
}

static inline unsigned long unmapped_foresee(gfp_t gfp, unsigned long nr_pages)
{
	return nr_pages;
}

static inline int unmapped_vacate(void)
{
	return 0;
}
#endif

/**
 * page_unmapped - is a page of a block that is absent from the direct map?
 * @page: a page that the caller holds a reference of; the answer for a free
 *	page can be out of date before it is given
 *
 * Says nothing about a page that somebody took out by itself, as
 * set_direct_map_invalid_noflush() does.
 *
 * Context: any.
 * Return: true if so.
 */
static inline bool page_unmapped(const struct page *page)
{
	return freetype_unmapped(get_pageblock_freetype(page));
}

#endif /* _LINUX_UNMAPPED_H */
