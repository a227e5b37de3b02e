// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which block: the one that is taken to be unmapped, and the one that ordinary
 * requests have back.
 *
 * All free blocks of unmovable, reclaimable and movable memory are the choice.
 * One with an entry of its own in the direct map (plain) is taken before one for
 * which a 1 GiB entry has to be split (large), and one that cannot be unmapped
 * (fixed) is never taken. Fixed blocks are not rare: graphics, BPF and modules
 * change the attributes of single pages, and the 2 MiB that these were in stay
 * split. They gather on the lists of unmovable memory.
 *
 * Blocks that are unmapped lie next to each other where that is possible, so
 * that few 1 GiB entries are split.
 */
#include <kunit/static_stub.h>
#include <linux/direct_map.h>
#include <linux/list.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "../internal.h"
#include "../page_reporting.h"
#include "internal.h"

/* Blocks that are looked at under one hold of the zone lock. */
#define UNMAPPED_TAKE_LOOK	128
/* How far to look for a free block behind the one that was taken last. */
#define UNMAPPED_TAKE_NEAR	64
/* How many blocks to look at for one whose neighbour is free. */
#define UNMAPPED_GIVE_LOOK	32
/* How many free pages of blocks to look at for one that is erased, or is not. */
#define UNMAPPED_ERASED_LOOK	64

/* The order in which an unmovable request would claim blocks */
static const enum migratetype unmapped_take_from[] = {
	MIGRATE_UNMOVABLE, MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE,
};

/**
 * struct unmapped_scan - where in the free lists the search for a block is
 * @order: free pages of this order
 * @from: of this entry of unmapped_take_from[]
 * @left: so many of them at most; 0: the list has not been begun
 * @first: the first fixed one of the list, which is at its tail since
 * @more: whether to go on
 */
struct unmapped_scan {
	unsigned int order;
	unsigned int from;
	unsigned long left;
	struct page *first;
	bool more;
};

/* The worst of the blocks decides. */
static enum direct_map_block unmapped_kind(const struct page *page,
					   unsigned int order)
{
	enum direct_map_block kind = DIRECT_MAP_BLOCK_PLAIN;

	for (unsigned long i = 0; i < 1UL << order; i += pageblock_nr_pages) {
		kind = max(kind, arch_direct_map_block_kind(page + i));
		if (kind == DIRECT_MAP_BLOCK_FIXED)
			break;
	}
	return kind;
}

/* The best part of @order of a free page of @page_order. */
static struct page *unmapped_best(struct page *page, unsigned int page_order,
				  unsigned int order, enum direct_map_block *kind)
{
	struct page *best = NULL;

	*kind = DIRECT_MAP_BLOCK_FIXED;
	for (unsigned long i = 0; i < 1UL << page_order; i += 1UL << order) {
		enum direct_map_block k = unmapped_kind(page + i, order);

		if (k < *kind) {
			*kind = k;
			best = page + i;
		}
		if (k == DIRECT_MAP_BLOCK_PLAIN)
			break;
	}
	return best;
}

/*
 * Search the free lists for a while. Fixed blocks go to the tails of their lists:
 * the next search does not meet them again.
 */
static struct page *unmapped_scan(struct zone *zone, unsigned int order,
				  struct unmapped_scan *scan)
{
	struct page *page, *next, *block, *large = NULL;
	unsigned int looks = 0;

	for (; scan->order < NR_PAGE_ORDERS; scan->order++, scan->from = 0) {
		struct free_area *area = &zone->free_area[scan->order];

		for (; scan->from < ARRAY_SIZE(unmapped_take_from); scan->from++) {
			enum migratetype mt = unmapped_take_from[scan->from];
			struct list_head *list = free_area_list(area, freetype_plain(mt));

			if (!scan->left) {
				scan->left = area->nr_free;
				scan->first = NULL;
			}
			list_for_each_entry_safe(page, next, list, buddy_list) {
				enum direct_map_block kind;

				if (page == scan->first || !scan->left)
					break;
				scan->left--;
				block = unmapped_best(page, scan->order, order, &kind);
				if (kind == DIRECT_MAP_BLOCK_PLAIN)
					return block;
				if (kind == DIRECT_MAP_BLOCK_LARGE) {
					large = large ?: block;
				} else {
					list_move_tail(&page->buddy_list, list);
					scan->first = scan->first ?: page;
				}
				if (++looks >= UNMAPPED_TAKE_LOOK && scan->left) {
					scan->more = !large;
					return large;
				}
			}
			scan->left = 0;
		}
	}

	scan->more = false;
	return large;
}

/* The next plain block behind the one that was taken last. */
static struct page *unmapped_near(struct unmapped_pool *pool, unsigned int order)
{
	struct zone *zone = pool->zone;
	unsigned long pfn = ALIGN(pool->cursor, 1UL << order);
	unsigned long end_pfn = min(pfn + UNMAPPED_TAKE_NEAR * pageblock_nr_pages,
				    zone_end_pfn(zone));

	if (!pool->cursor)
		return NULL;

	for (; pfn + (1UL << order) <= end_pfn; pfn += 1UL << order) {
		struct page *page = pfn_to_online_page(pfn), *head;

		if (!page || page_zone(page) != zone)
			continue;
		head = free_block_head(page);
		if (!head || buddy_order(head) < order)
			continue;
		/* Neither isolated, nor CMA, nor a reserve, nor unmapped already */
		if (!migratetype_is_mergeable(freetype_index(get_pageblock_freetype(head))))
			continue;
		if (unmapped_kind(page, order) == DIRECT_MAP_BLOCK_PLAIN)
			return page;
	}

	pool->cursor = 0;
	return NULL;
}

/**
 * unmapped_take() - take wholly free blocks off the free lists to unmap them
 * @pool: zone and property
 * @order: order, at least pageblock_order
 * @highest_zoneidx: of the request
 * @mark: watermark to leave alone, as an allocation of @order would
 *
 * The blocks keep their freetype until unmapped_block_add().
 *
 * Context: any, takes the zone lock, several times if need be.
 * Return: the first page, or NULL: none can be unmapped, or memory is short.
 */
struct page *unmapped_take(struct unmapped_pool *pool, unsigned int order,
			   enum zone_type highest_zoneidx, unsigned long mark)
{
	struct unmapped_scan scan = { .order = order };
	struct zone *zone = pool->zone;
	struct page *page;

	KUNIT_STATIC_STUB_REDIRECT(unmapped_take, pool, order, highest_zoneidx, mark);

	do {
		guard(spinlock_irqsave)(&zone->lock);

		if (!zone_watermark_ok(zone, order, mark, highest_zoneidx,
				       ALLOC_DEFAULT))
			return NULL;

		page = unmapped_near(pool, order);
		if (!page)
			page = unmapped_scan(zone, order, &scan);
		if (page) {
			take_free_blocks(zone, page, order);
			pool->cursor = page_to_pfn(page) + (1UL << order);
		}
	} while (!page && scan.more);

	return page;
}

/**
 * unmapped_put() - give blocks of unmapped_take() back, unchanged
 * @pool: zone and property
 * @page: the first of the blocks
 * @order: as taken
 *
 * Context: any, takes the zone lock.
 */
void unmapped_put(struct unmapped_pool *pool, struct page *page,
		  unsigned int order)
{
	guard(spinlock_irqsave)(&pool->zone->lock);
	put_free_blocks(pool->zone, page, order);
}

/**
 * unmapped_block_fixed() - can no request use a block, were it free?
 * @page: a page of the block
 *
 * Context: any.
 * Return: true if so; a hint.
 */
bool unmapped_block_fixed(const struct page *page)
{
	unsigned long pfn = pageblock_start_pfn(page_to_pfn(page));

	return unmapped_kind(pfn_to_page(pfn), pageblock_order) ==
		DIRECT_MAP_BLOCK_FIXED;
}

/* Has one of the blocks yet to be erased? */
static bool unmapped_is_unerased(const struct page *page, unsigned int order)
{
	for (unsigned long i = 0; i < 1UL << order; i += pageblock_nr_pages) {
		if (get_pageblock_unerased(page + i))
			return true;
	}
	return false;
}

/* The part of @order of a free page that is erased, or has yet to be. */
static struct page *unmapped_part(struct page *page, unsigned int page_order,
				  unsigned int order, bool unerased)
{
	for (unsigned long i = 0; i < 1UL << page_order; i += 1UL << order) {
		if (unmapped_is_unerased(page + i, order) == unerased)
			return page + i;
	}
	return NULL;
}

/*
 * Wholly free blocks that are erased, or have yet to be. Blocks are put at the tail,
 * also when they have been erased: look for the one from there, for the other
 * from the head.
 */
static struct page *unmapped_whole(struct unmapped_pool *pool, unsigned int order,
				   bool unerased)
{
	struct zone *zone = pool->zone;
	struct page *page, *part;
	unsigned int looks = 0;

	if (unerased && !pool->nr_unerased)
		return NULL;

	for (unsigned int o = order; o < NR_PAGE_ORDERS; o++) {
		struct list_head *list = free_area_list(&zone->free_area[o],
							pool->freetype);
		struct list_head *at = unerased ? list->next : list->prev;

		for (; at != list; at = unerased ? at->next : at->prev) {
			page = list_entry(at, struct page, buddy_list);
			part = unmapped_part(page, o, order, unerased);
			if (part)
				return part;
			if (++looks == UNMAPPED_ERASED_LOOK)
				return NULL;
		}
	}
	return NULL;
}

/**
 * unmapped_take_page() - take a free page with a property off the free lists
 * @pool: zone and property
 * @order: its order
 * @whole: whether it may be a part of a block that is wholly free
 *
 * Context: any, zone lock held.
 * Return: page for prep_taken_page(), or NULL. A block that has yet to be erased
 * is not broken up.
 */
struct page *unmapped_take_page(struct unmapped_pool *pool, unsigned int order,
				bool whole)
{
	struct zone *zone = pool->zone;
	struct page *page;

	page = take_free_page(zone, order, pool->freetype, false);
	if (page || !whole)
		return page;

	page = unmapped_whole(pool, max(order, pageblock_order), false);
	if (page)
		take_free_blocks(zone, page, order);
	return page;
}

/**
 * unmapped_take_unerased() - take free blocks that have yet to be erased
 * @pool: zone and property
 * @order: order, at least pageblock_order
 *
 * For unmapped_block_erase(). They count as erased from now on, and who cannot
 * erase them says otherwise: unmapped_put_unmapped().
 *
 * Context: any, zone lock held.
 * Return: the first of the blocks, or NULL.
 */
struct page *unmapped_take_unerased(struct unmapped_pool *pool, unsigned int order)
{
	struct page *page = unmapped_whole(pool, order, true);

	if (!page)
		return NULL;
	take_free_blocks(pool->zone, page, order);
	for (unsigned long i = 0; i < 1UL << order; i += pageblock_nr_pages)
		unmapped_block_mark(pool, page + i, false);
	return page;
}

/**
 * unmapped_put_unmapped() - put blocks back that unmapped_take_unerased() took
 * @pool: zone and property
 * @page: the first of them
 * @order: their order
 * @unerased: are they still not erased?
 * @want_order: order of a page that the caller wants, or -1
 *
 * Context: any, takes the zone lock.
 * Return: a page of @want_order, or @page.
 */
struct page *unmapped_put_unmapped(struct unmapped_pool *pool, struct page *page,
				   unsigned int order, bool unerased,
				   int want_order)
{
	guard(spinlock_irqsave)(&pool->zone->lock);

	for (unsigned long i = 0; unerased && i < 1UL << order; i += pageblock_nr_pages)
		unmapped_block_mark(pool, page + i, true);
	put_free_blocks(pool->zone, page, order);
	if (want_order >= 0)
		take_free_blocks(pool->zone, page, want_order);
	return page;
}

static struct page *unmapped_first_whole(struct unmapped_pool *pool,
					 unsigned int order)
{
	for (; order < NR_PAGE_ORDERS; order++) {
		struct free_area *area = &pool->zone->free_area[order];
		struct list_head *list = free_area_list(area, pool->freetype);

		if (!list_empty(list))
			return list_first_entry(list, struct page, buddy_list);
	}
	return NULL;
}

/* Does it make a page of @order if a single block is given back? */
static bool unmapped_completes(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page);
	unsigned int o;

	for (o = pageblock_order; o < order; o++) {
		struct page *buddy = find_buddy_page_pfn(page, pfn, o, NULL);

		if (!buddy || page_is_guard(buddy) ||
		    !migratetype_is_mergeable(freetype_index(get_pageblock_freetype(buddy))))
			return false;
		pfn &= ~(1UL << o);
		page = pfn_to_page(pfn);
	}
	return true;
}

/**
 * unmapped_give_back() - make a wholly free block plain memory again
 * @zone: zone that memory is wanted from
 * @order: the order wanted
 * @migratetype: what for
 *
 * Context: any, NMI too (alloc_pages_nolock()), zone lock held.
 * Return: true if there is a free page of @order and @migratetype now.
 */
bool unmapped_give_back(struct zone *zone, unsigned int order,
			enum migratetype migratetype)
{
	unsigned int give_order = max(order, pageblock_order);

	lockdep_assert_held(&zone->lock);

	for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++) {
		struct unmapped_pool *pool = &zone->unmapped_pools[i];
		struct list_head *list;
		struct page *page;
		int looks = 0;

		if (!freetype_property(pool->freetype)->undo_atomic)
			continue;

		page = unmapped_first_whole(pool, give_order);
		if (page) {
			unmapped_block_remove(pool, page, give_order, migratetype);
			unmapped_pool_note_pressure(pool);
			return true;
		}
		if (give_order == pageblock_order)
			continue;

		/* For more than a block, only where the rest is there already */
		list = free_area_list(&zone->free_area[pageblock_order], pool->freetype);
		list_for_each_entry(page, list, buddy_list) {
			if (unmapped_completes(page, order)) {
				unmapped_block_remove(pool, page, pageblock_order,
						      migratetype);
				unmapped_pool_note_pressure(pool);
				return true;
			}
			if (++looks == UNMAPPED_GIVE_LOOK)
				break;
		}
	}
	return false;
}

/**
 * unmapped_block_free() - is there memory that anybody can have back?
 * @zone: zone that memory is wanted from
 * @order: the order wanted
 *
 * Context: any; without the zone lock it is a hint.
 * Return: true if there is a free page of @order or larger, and of a block at least.
 */
bool unmapped_block_free(struct zone *zone, unsigned int order)
{
	for (order = max(order, pageblock_order); order < NR_PAGE_ORDERS; order++) {
		struct free_area *area = &zone->free_area[order];

		/* Free pages of this order, on whatever list */
		if (!data_race(area->nr_free))
			continue;
		for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
			freetype_t freetype = freetype_from_index(MIGRATE_TYPES + i);

			if (freetype_properties[i].undo_atomic &&
			    !list_empty(free_area_list(area, freetype)))
				return true;
		}
	}
	return false;
}

/**
 * unmapped_make_plain() - make sure that a block has no property
 * @zone: its zone
 * @page: a page of the block
 *
 * For those who are about to isolate the block: an isolated block never has
 * one, and what is done to it needs no idea of that.
 *
 * Context: zone lock held.
 * Return: false where it has one and is in use.
 */
bool unmapped_make_plain(struct zone *zone, struct page *page)
{
	freetype_t freetype = get_pageblock_freetype(page);
	struct unmapped_pool *pool;

	lockdep_assert_held(&zone->lock);

	if (!freetype_has_flags(freetype))
		return true;

	pool = unmapped_pool(zone, freetype);
	page = pfn_to_page(pageblock_start_pfn(page_to_pfn(page)));
	if (!freetype_property(freetype)->undo_atomic || !free_block_head(page))
		return false;
	unmapped_block_remove(pool, page, pageblock_order, MIGRATE_MOVABLE);
	unmapped_pool_note_pressure(pool);
	return true;
}

/**
 * unmapped_before_poison() - a free page is going to be taken out of its block
 * @zone: its zone
 * @page: the page
 *
 * The rest of the block would be in pieces then. If it has not been erased, it is
 * ordinary memory again, as it never was anything else.
 *
 * Context: zone lock held.
 */
void unmapped_before_poison(struct zone *zone, struct page *page)
{
	freetype_t freetype = get_pageblock_freetype(page);

	lockdep_assert_held(&zone->lock);

	if (freetype_has_flags(freetype) && get_pageblock_unerased(page))
		unmapped_make_plain(zone, page);
}

/* Where it cannot be undone under the zone lock. */
static bool unmapped_let_go_slowly(struct unmapped_pool *pool)
{
	struct zone *zone = pool->zone;
	struct page *page;

	scoped_guard(spinlock_irqsave, &zone->lock) {
		page = unmapped_first_whole(pool, pageblock_order);
		if (!page)
			return false;
		take_free_blocks(zone, page, pageblock_order);
	}
	unmapped_block_remove_taken(pool, page);
	return true;
}

/**
 * unmapped_let_go() - make plain memory of wholly free blocks
 * @pool: zone and property
 * @nr: how many
 *
 * Context: task where the property is not undone atomically, else any; takes
 * the zone lock.
 * Return: how many it were: less than @nr if there are no more.
 */
unsigned int unmapped_let_go(struct unmapped_pool *pool, unsigned int nr)
{
	const bool atomic = freetype_property(pool->freetype)->undo_atomic;
	struct zone *zone = pool->zone;
	unsigned int done;

	if (!atomic) {
		for (done = 0; done < nr && unmapped_let_go_slowly(pool); done++)
			cond_resched();
	} else {
		guard(spinlock_irqsave)(&zone->lock);
		for (done = 0; done < nr; done++) {
			struct page *page = unmapped_first_whole(pool, pageblock_order);

			if (!page)
				break;
			unmapped_block_remove(pool, page, pageblock_order,
					      MIGRATE_MOVABLE);
		}
	}
	/* Free for long, unlike what was given to somebody who asked for it */
	if (done)
		page_reporting_notify_free(pageblock_order);
	return done;
}
