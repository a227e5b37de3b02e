// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free pages on lists of their own, which keep their blocks from being whole:
 * per-CPU lists, and pages that wait to be erased. Whoever is about to reclaim
 * memory, or to isolate a block, has them put on the free lists first. Plain
 * pages stay where they are.
 */
#include <linux/jiffies.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "internal.h"

/**
 * unmapped_drain_zone() - put a zone's free pages with a property on free lists
 * @zone: the zone
 *
 * Context: task, may sleep, may be in reclaim.
 * Return: whether there were any.
 */
bool unmapped_drain_zone(struct zone *zone)
{
	bool drained = unmapped_erase_dirty();

	for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++)
		drained |= unmapped_pcp_drain(&zone->unmapped_pools[i]);
	return drained;
}

/*
 * What is on per-CPU lists is counted nowhere, and may be all that keeps a block:
 * look at them now and then, as long as there are blocks.
 */
static bool unmapped_drain_due(struct zone *zone)
{
	bool due = false;

	for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++) {
		struct unmapped_pool *pool = &zone->unmapped_pools[i];

		if (!READ_ONCE(pool->nr_pages) ||
		    time_before(jiffies, READ_ONCE(pool->last_drained) + HZ / 10))
			continue;
		WRITE_ONCE(pool->last_drained, jiffies);
		due = true;
	}
	return due;
}

/**
 * unmapped_drain() - the same for the zones of a request that will reclaim
 * @ac: context of the request
 *
 * Looks at nothing but a few numbers a zone where hardly a block could be won.
 *
 * Context: task, may sleep.
 * Return: whether there were any such pages.
 */
bool unmapped_drain(const struct alloc_context *ac)
{
	bool drained = false;
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_zonelist_nodemask(zone, z, ac->zonelist,
					ac->highest_zoneidx, ac->nodemask) {
		if (zone_free_partial(zone) +
		    zone_page_state(zone, NR_UNMAPPED_DIRTY) >= pageblock_nr_pages / 2 ||
		    unmapped_drain_due(zone))
			drained |= unmapped_drain_zone(zone);
	}
	return drained;
}

/* Make a block plain that is wholly free, and cannot be made so under the lock. */
static void unmapped_drain_block(struct unmapped_pool *pool, struct page *block)
{
	struct zone *zone = pool->zone;

	scoped_guard(spinlock_irqsave, &zone->lock) {
		if (!freetype_eq(get_pageblock_freetype(block), pool->freetype) ||
		    !free_block_head(block))
			return;
		take_free_blocks(zone, block, pageblock_order);
	}
	unmapped_block_remove_taken(pool, block);
}

/**
 * unmapped_drain_range() - the same for the blocks of a range
 * @start_pfn: its first page
 * @end_pfn: behind its last page; all of it is in one zone
 *
 * Does nothing unless one of the blocks has a property. Those that are wholly
 * free then, and that unmapped_make_plain() could not make plain, are.
 *
 * Context: task, may sleep.
 */
void unmapped_drain_range(unsigned long start_pfn, unsigned long end_pfn)
{
	bool drained = false;

	for (unsigned long pfn = pageblock_start_pfn(start_pfn); pfn < end_pfn;
	     pfn += pageblock_nr_pages) {
		struct page *page = pfn_to_online_page(pfn);
		freetype_t freetype;

		if (!page)
			continue;
		freetype = get_pageblock_freetype(page);
		if (!freetype_has_flags(freetype))
			continue;

		if (!drained) {
			/* Whoever erases pages now has them on no queue */
			flush_workqueue(unmapped_wq);
			unmapped_drain_zone(page_zone(page));
		}
		drained = true;
		if (!freetype_property(freetype)->undo_atomic)
			unmapped_drain_block(unmapped_pool(page_zone(page), freetype),
					     page);
	}
}
