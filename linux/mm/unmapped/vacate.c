// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory off the direct map is to be there no more, as far as nobody uses it:
 * memory that goes offline, all memory before hibernation.
 *
 * A block that is kept by nothing but hardware-poisoned pages becomes plain
 * memory, in pieces, without entries for those: that is what set_mce_nospec()
 * leaves behind of ordinary memory. Only now, as it costs the block for good.
 */
#define pr_fmt(fmt) "unmapped: " fmt

#include <linux/bitmap.h>
#include <linux/direct_map.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/swap.h>
#include <linux/unmapped.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <trace/events/unmapped.h>

#include "../internal.h"
#include "internal.h"

/*
 * Nobody has such a page again, nor touches it: memory_failure() has taken it from
 * its user, or from the free lists. One in a file goes when the file does.
 */
static bool unmapped_is_lost(const struct page *page)
{
	return PageHWPoison(page) && !PageCompound(page) && !page->mapping;
}

/* Is nothing in the way but such pages? */
static bool unmapped_only_poison(struct page *block, unsigned long *poisoned)
{
	bitmap_zero(poisoned, MAX_ORDER_NR_PAGES);
	for (unsigned long i = 0; i < pageblock_nr_pages; i++) {
		struct page *page = block + i;

		if (PageBuddy(page)) {
			i += (1UL << buddy_order(page)) - 1;
			continue;
		}
		if (!unmapped_is_lost(page))
			return false;
		__set_bit(i, poisoned);
	}
	return !bitmap_empty(poisoned, MAX_ORDER_NR_PAGES);
}

/* Returns false where the block stays what it is. */
static bool unmapped_vacate_poisoned(struct unmapped_pool *pool, struct page *block)
{
	DECLARE_BITMAP(poisoned, MAX_ORDER_NR_PAGES);
	struct zone *zone = pool->zone;
	bool done = false;
	void *table;

	/* Is it worth a page table? */
	scoped_guard(spinlock_irqsave, &zone->lock) {
		if (!unmapped_only_poison(block, poisoned))
			return false;
	}
	table = arch_direct_map_pieces_prepare();
	if (!table)
		return false;

	scoped_guard(spinlock_irqsave, &zone->lock) {
		if (!freetype_eq(get_pageblock_freetype(block), pool->freetype) ||
		    !unmapped_only_poison(block, poisoned))
			break;
		arch_direct_map_block_remap_pieces(block, table, poisoned);
		pageblock_move_freetype(zone, block, freetype_plain(MIGRATE_MOVABLE));
		unmapped_account_blocks(pool, -(long)pageblock_nr_pages);
		__count_vm_event(UNMAPPED_FLIP_REMAP);
		trace_unmapped_flip_remap(page_to_pfn(block));
		done = true;
	}
	arch_direct_map_pieces_finish(table, done ? poisoned : NULL);
	return done;
}

/* The next block of a pool that is in a range, as a whole, or NULL. */
static struct page *unmapped_next_block(struct unmapped_pool *pool,
					unsigned long pfn, unsigned long end_pfn)
{
	for (; pfn < end_pfn; pfn += pageblock_nr_pages) {
		struct page *page = pfn_to_online_page(pfn);

		if (IS_ALIGNED(pfn, PAGES_PER_SECTION))
			cond_resched();
		if (page && page_zone(page) == pool->zone &&
		    freetype_eq(get_pageblock_freetype(page), pool->freetype))
			return page;
	}
	return NULL;
}

#define for_each_unmapped_block(page, pool, start, end)				\
	for (page = unmapped_next_block(pool, pageblock_align(start), end);	\
	     page;								\
	     page = unmapped_next_block(pool, page_to_pfn(page) + pageblock_nr_pages, end))

/* A page of the block that somebody uses, or NULL. */
static struct page *unmapped_used(struct page *block)
{
	for (unsigned long i = 0; i < pageblock_nr_pages; i++) {
		if (page_count(block + i) && !unmapped_is_lost(block + i))
			return block + i;
	}
	return NULL;
}

/* Tell who has a page, of a block that was not to be had. */
static void unmapped_report_holder(struct page *page)
{
	struct folio *folio = page_folio(page);
	struct address_space *mapping = NULL;
	char comm[TASK_COMM_LEN];
	pid_t pid = 0;

	if (!folio_try_get(folio))
		return;
	/* It is only compared with others */
	if (folio == page_folio(page))
		mapping = folio_mapping(folio);
	folio_put(folio);
	if (mapping)
		pid = no_direct_map_holder(mapping, comm);
	if (pid)
		pr_info_ratelimited("memory off the direct map is in use by %s (pid %d)\n",
				    comm, pid);
	else
		pr_info_ratelimited("memory off the direct map is in use\n");
}

/**
 * unmapped_vacate_range() - no block of a range is kept by poisoned pages only
 * @start_pfn: its first page
 * @end_pfn: behind its last page; all of it is in one zone
 *
 * After unmapped_drain_range(), for memory that goes offline.
 * Names a process whose pages keep a block from that.
 *
 * Context: task, may sleep, no memory of the range goes or comes.
 */
void unmapped_vacate_range(unsigned long start_pfn, unsigned long end_pfn)
{
	struct zone *zone = page_zone(pfn_to_page(start_pfn));
	struct unmapped_pool *pool = unmapped_pool(zone, freetype_make_unmapped());
	struct page *block, *page;

	if (!pool || !READ_ONCE(pool->nr_pages))
		return;
	for_each_unmapped_block(block, pool, start_pfn, end_pfn) {
		if (unmapped_vacate_poisoned(pool, block))
			continue;
		page = unmapped_used(block);
		if (page) {
			unmapped_report_holder(page);
			return;
		}
	}
}

static void unmapped_pool_vacate(struct unmapped_pool *pool)
{
	struct zone *zone = pool->zone;
	struct page *block;

	if (!READ_ONCE(pool->nr_pages))
		return;
	while (unmapped_let_go(pool, UNMAPPED_POOL_BATCH))
		cond_resched();
	if (freetype_unmapped(pool->freetype) && READ_ONCE(pool->nr_pages)) {
		for_each_unmapped_block(block, pool, zone->zone_start_pfn,
					zone_end_pfn(zone))
			unmapped_vacate_poisoned(pool, block);
	}
	/* What an administrator has asked for is there again, some day */
	unmapped_pool_watch(pool);
}

/**
 * unmapped_vacate() - have all memory back that is off the direct map, and free
 *
 * For hibernation, while the worker is frozen: free pages are read and written
 * through the direct map there.
 *
 * Context: task, may sleep.
 * Return: 0, or -EBUSY: there is memory off the direct map, as somebody uses
 * it, or there was no page table for a block that poisoned pages keep.
 */
int unmapped_vacate(void)
{
	struct zone *zone;
	int err = 0;

	if (!unmapped_available())
		return 0;

	/* A file's pages can be on their way to an LRU list when it is gone */
	lru_add_drain_all();
	get_online_mems();
	/* Whoever erases pages now has them on no queue */
	flush_workqueue(unmapped_wq);
	for_each_populated_zone(zone) {
		unmapped_drain_zone(zone);
		for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++) {
			struct unmapped_pool *pool = &zone->unmapped_pools[i];

			unmapped_pool_vacate(pool);
			if (freetype_unmapped(pool->freetype) && READ_ONCE(pool->nr_pages))
				err = -EBUSY;
		}
	}
	put_online_mems();
	return err;
}
