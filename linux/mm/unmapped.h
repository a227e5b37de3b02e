/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page allocation off the direct map: where Linux's own mm/ calls mm/unmapped/.
 *
 * Despite their names, these work for every property of freetype_properties[],
 * unmapped_vacate_range() excepted. The kernel-doc is with the definitions.
 */
#ifndef _MM_UNMAPPED_H
#define _MM_UNMAPPED_H

#include <linux/mmzone.h>
#include <linux/unmapped.h>
#include <linux/vmstat.h>

struct alloc_context;
struct folio_batch;

#ifdef CONFIG_PAGE_ALLOC_UNMAPPED

/* A request: flip.c */
struct page *unmapped_alloc(gfp_t gfp, unsigned int order,
			    unsigned int alloc_flags, struct alloc_context *ac);

/* A page is freed, or is to be empty: free.c, pcp.c, zero.c */
bool unmapped_tainted(const struct page *page, unsigned int order);
bool unmapped_free_page(struct page *page, unsigned int order, bool tainted);
unsigned long unmapped_erase_folios(const struct folio_batch *folios,
				    unsigned int first);
bool unmapped_erase_pages(struct page *page, unsigned int nr);

static inline void unmapped_count_erased(unsigned long nr)
{
	count_vm_events(UNMAPPED_ZEROED_PAGES, nr);
}

unsigned int unmapped_pcp_free(struct page *const *pages, unsigned int nr,
			       unsigned int order, freetype_t freetype);

/* Others want free blocks back: take.c, drain.c */
bool unmapped_give_back(struct zone *zone, unsigned int order,
			enum migratetype migratetype);
bool unmapped_block_free(struct zone *zone, unsigned int order);
bool unmapped_make_plain(struct zone *zone, struct page *page);
void unmapped_before_poison(struct zone *zone, struct page *page);
bool unmapped_drain(const struct alloc_context *ac);
void unmapped_drain_range(unsigned long start_pfn, unsigned long end_pfn);

/* Memory goes offline: vacate.c */
void unmapped_vacate_range(unsigned long start_pfn, unsigned long end_pfn);

/* Which block can be had at all: take.c */
bool unmapped_block_fixed(const struct page *page);

/* Counters, and a zone that gets memory: pool.c */
void unmapped_account_free(struct zone *zone, unsigned int order,
			   freetype_t freetype, long nr_pages);
unsigned long unmapped_nr_free_partial(struct zone *zone, unsigned int order);
void unmapped_zone_init(struct zone *zone);

#else /* CONFIG_PAGE_ALLOC_UNMAPPED */

static inline struct page *unmapped_alloc(gfp_t gfp, unsigned int order,
					  unsigned int alloc_flags,
					  struct alloc_context *ac)
{
	return NULL;
}

static inline bool unmapped_erase_pages(struct page *page, unsigned int nr)
{
	return false;
}

static inline void unmapped_count_erased(unsigned long nr)
{
}

static inline bool unmapped_give_back(struct zone *zone, unsigned int order,
				      enum migratetype migratetype)
{
	return false;
}

static inline bool unmapped_block_free(struct zone *zone, unsigned int order)
{
	return false;
}

static inline bool unmapped_make_plain(struct zone *zone, struct page *page)
{
	return true;
}

static inline void unmapped_before_poison(struct zone *zone, struct page *page)
{
}

static inline bool unmapped_drain(const struct alloc_context *ac)
{
	return false;
}

static inline void unmapped_drain_range(unsigned long start_pfn,
					unsigned long end_pfn)
{
}

static inline void unmapped_vacate_range(unsigned long start_pfn,
					 unsigned long end_pfn)
{
}

static inline bool unmapped_block_fixed(const struct page *page)
{
	return true;
}

static inline void unmapped_account_free(struct zone *zone, unsigned int order,
					 freetype_t freetype, long nr_pages)
{
}

static inline unsigned long unmapped_nr_free_partial(struct zone *zone,
						     unsigned int order)
{
	return 0;
}

static inline void unmapped_zone_init(struct zone *zone)
{
}

#endif /* CONFIG_PAGE_ALLOC_UNMAPPED */
#endif /* _MM_UNMAPPED_H */
