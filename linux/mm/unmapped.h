/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _MM_UNMAPPED_H
#define _MM_UNMAPPED_H
/*
 * Page allocation off the direct map: the interface between the page allocator
 * and mm/unmapped.c. See Documentation/mm/unmapped.rst.
 */

#include <linux/gfp.h>
#include <linux/mmzone.h>
#include <linux/folio_batch.h>
#include <linux/workqueue_types.h>

#ifdef CONFIG_PAGE_ALLOC_UNMAPPED

static inline bool gfp_unmapped(gfp_t gfp)
{
	return gfp & __GFP_UNMAPPED;
}

bool unmapped_gfp_allowed(gfp_t gfp);
struct page *unmapped_flip(struct zone *zone, unsigned int order, gfp_t gfp);
struct page *unmapped_flip_captured(struct page *block, unsigned int order);
void unmapped_remap_block(struct page *block);
bool unmapped_tainted(const struct page *page, unsigned int order);
bool unmapped_free_prepare(struct page *page, unsigned int order, bool tainted);
unsigned long unmapped_erase_folios(const struct folio_batch *folios,
				    unsigned int first);
bool unmapped_drain_dirty(void);

/* mm/unmapped_pool.c */
void unmapped_pool_used(struct zone *zone, gfp_t gfp);
void unmapped_pool_demanded(struct zone *zone);
void unmapped_pool_look(struct zone *zone);
void unmapped_pool_remapped(struct zone *zone);
void unmapped_pool_pressure(struct zone *zone);
bool unmapped_drain_zone(struct zone *zone);
void unmapped_zone_init(struct zone *zone);
int unmapped_pool_init(void);

/* What mm/unmapped_pool.c needs of mm/unmapped.c */
int unmapped_prepare_blocks(struct page *page, unsigned int order);
int unmapped_unmap_one(struct page *block);
void unmapped_flush_blocks(struct page *first, unsigned long nr);

/* What these need of the page allocator, see mm/page_alloc.c. */
struct page *take_free_blocks(struct zone *zone, unsigned int order,
			      enum zone_type highest_zoneidx,
			      unsigned long mark);
struct page *take_unmapped_page(struct zone *zone, unsigned int order);
void putback_free_blocks(struct zone *zone, struct page *page,
			 unsigned int order);
struct page *expand_unmapped_blocks(struct zone *zone, struct page *page,
				    unsigned int low, unsigned int high);
bool add_unmapped_block(struct zone *zone, struct page *page);
unsigned int remap_unmapped_blocks(struct zone *zone, unsigned int nr);
void free_unmapped_prepared(struct page *page, unsigned int order);
bool remap_unmapped_block(struct zone *zone, struct page *page);

/* Not static only for mm/tests/unmapped_kunit.c */
extern unsigned int sysctl_unmapped_pool_blocks;
bool free_blocks_isolated(struct page *page, unsigned int order);
extern struct work_struct unmapped_dirty_work;

#else /* CONFIG_PAGE_ALLOC_UNMAPPED */

static inline bool gfp_unmapped(gfp_t gfp)
{
	return false;
}

static inline bool unmapped_gfp_allowed(gfp_t gfp)
{
	return true;
}

static inline struct page *unmapped_flip(struct zone *zone, unsigned int order,
					 gfp_t gfp)
{
	return NULL;
}

static inline struct page *unmapped_flip_captured(struct page *block,
						  unsigned int order)
{
	return block;
}

static inline bool unmapped_tainted(const struct page *page, unsigned int order)
{
	return false;
}

static inline bool unmapped_free_prepare(struct page *page, unsigned int order,
					 bool tainted)
{
	return true;
}

static inline unsigned long
unmapped_erase_folios(const struct folio_batch *folios, unsigned int first)
{
	return 0;
}

static inline bool unmapped_drain_zone(struct zone *zone)
{
	return false;
}

static inline void unmapped_pool_used(struct zone *zone, gfp_t gfp)
{
}

static inline void unmapped_pool_demanded(struct zone *zone)
{
}

static inline void unmapped_zone_init(struct zone *zone)
{
}

static inline bool remap_unmapped_block(struct zone *zone, struct page *page)
{
	return true;
}

#endif /* CONFIG_PAGE_ALLOC_UNMAPPED */
#endif /* _MM_UNMAPPED_H */
