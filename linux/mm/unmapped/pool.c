// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool of free blocks of a zone, who looks after it, and what is counted.
 *
 * What was freed stays unmapped for a while, and as long as there is demand a
 * worker sees to it that a few blocks are there before somebody asks: a request
 * that may not block can be served, and one that may does not wait for 2 MiB to
 * be erased and for every CPU to be flushed. What is more than that, and was not
 * needed for a while, goes back to the direct map by halves, down to nothing when
 * nobody asks any more; whoever needs it earlier takes it, see
 * unmapped_give_back(). At last, what the direct map was split into is mended.
 *
 * There is no list of its own: the pool is what the free lists of unmapped
 * memory have in whole blocks.
 *
 * An administrator who writes vm.no_direct_map_pool_blocks has as many, demand or
 * not: a host that is going to start virtual machines prepares for them.
 */
#include <linux/cpuset.h>
#include <linux/direct_map.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/sysctl.h>
#include <linux/unmapped.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <trace/events/unmapped.h>
#include <kunit/visibility.h>

#include "../internal.h"
#include "internal.h"

/* vm.no_direct_map_pool_blocks: how many a zone. 0: none are unmapped in advance */
VISIBLE_IF_KUNIT unsigned int sysctl_unmapped_pool_blocks __read_mostly = 8;
/* ... and whether somebody has said so. */
static bool unmapped_pool_fixed __read_mostly;

/* A request is demand for that long. */
#define UNMAPPED_POOL_DEMAND	(10 * HZ)
/* How often to look whether blocks are to be let go. */
#define UNMAPPED_POOL_PERIOD	(5 * HZ)
/* So many requests a zone may break up a block at once. */
#define UNMAPPED_BROKEN_MAX	8
/* Erasing goes on so long after somebody else wanted the processor. */
#define UNMAPPED_POOL_GIVE_WAY	(HZ / 10)
/* When others needed a block back, leave memory alone for that long. */
#define UNMAPPED_POOL_BACKOFF	HZ
/* Unless somebody has said how large it is, it is no more of a zone than that. */
#define UNMAPPED_POOL_PART	64
/* ... and filled only as long as that many times as many blocks are free. */
#define UNMAPPED_POOL_PLENTY	4
/* Blocks for one shootdown are so many times those of the last one. */
#define UNMAPPED_BATCH_GROWTH	4
/* Fragments may be that part of what is in use, or some blocks. */
#define UNMAPPED_SCATTERED_PART	8

static struct workqueue_struct *unmapped_pool_wq __ro_after_init;

static unsigned long unmapped_pool_blocks(const struct unmapped_pool *pool)
{
	unsigned long blocks = 0;

	for (unsigned int order = pageblock_order; order < NR_PAGE_ORDERS; order++)
		/* Without the zone lock it is a hint */
		blocks += data_race(pool->nr_free[order]) << (order - pageblock_order);
	return blocks;
}

/**
 * unmapped_account_free() - count pages on, or off, a free list with a property
 * @zone: their zone
 * @order: their order
 * @freetype: the freetype of the list
 * @nr_pages: 1 << @order, or minus that
 *
 * What is free is of use for everybody where it is a whole block that can be
 * had back at once. The rest is for requests that want the property only.
 *
 * Context: any, zone lock held.
 */
void unmapped_account_free(struct zone *zone, unsigned int order,
			   freetype_t freetype, long nr_pages)
{
	struct unmapped_pool *pool = unmapped_pool(zone, freetype);

	pool->nr_free[order] += nr_pages < 0 ? -1 : 1;

	if (freetype_unmapped(freetype)) {
		__mod_zone_page_state(zone, NR_FREE_UNMAPPED, nr_pages);
		if (order >= pageblock_order)
			__mod_zone_page_state(zone, NR_FREE_UNMAPPED_WHOLE, nr_pages);
	}
	if (order >= pageblock_order)
		pool->fewest_free = min(pool->fewest_free, unmapped_pool_blocks(pool));
	if (order < pageblock_order || !freetype_property(freetype)->undo_atomic) {
		/* Both are read without the lock, too: zone_free_partial() */
		WRITE_ONCE(pool->nr_partial, pool->nr_partial + nr_pages);
		WRITE_ONCE(zone->nr_free_partial, zone->nr_free_partial + nr_pages);
	}
}

/**
 * unmapped_pool_is_scattered() - is much free in blocks that are partly used?
 * @pool: zone and property
 *
 * A part of a large folio can be given back, and is of use to requests for less
 * than that only. Whoever keeps a page of each would keep a block from everybody
 * with every page that it is charged for.
 *
 * Context: any.
 * Return: whether a request that could do with pages is to do with these.
 */
bool unmapped_pool_is_scattered(const struct unmapped_pool *pool)
{
	long partial = 0, used;

	for (unsigned int order = 0; order < pageblock_order; order++)
		/* Without the zone lock it is a hint */
		partial += data_race(pool->nr_free[order]) << order;
	used = READ_ONCE(pool->nr_pages) - partial -
		unmapped_pool_blocks(pool) * pageblock_nr_pages;

	return partial > max_t(long, UNMAPPED_POOL_BATCH * pageblock_nr_pages,
			       used / UNMAPPED_SCATTERED_PART);
}

/**
 * unmapped_nr_free_partial() - free pages that ordinary requests cannot use
 * @zone: zone to look at
 * @order: pages of that order
 *
 * Context: any; without the zone lock it is for diagnostics and heuristics.
 * Return: how many there are.
 */
unsigned long unmapped_nr_free_partial(struct zone *zone, unsigned int order)
{
	unsigned long nr = 0;

	for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++) {
		if (order < pageblock_order || !freetype_properties[i].undo_atomic)
			/* A hint without the zone lock */
			nr += data_race(zone->unmapped_pools[i].nr_free[order]);
	}
	return nr;
}

static unsigned long unmapped_pool_target(struct unmapped_pool *pool)
{
	unsigned long blocks = READ_ONCE(sysctl_unmapped_pool_blocks);
	unsigned long managed = zone_managed_pages(pool->zone);

	/* No request comes to movable memory */
	if (!freetype_property(pool->freetype)->pooled ||
	    zone_idx(pool->zone) == ZONE_MOVABLE)
		return 0;
	if (!READ_ONCE(unmapped_pool_fixed))
		managed /= UNMAPPED_POOL_PART;
	return min(blocks, managed >> pageblock_order);
}

/*
 * Free blocks that are plain are what huge pages are made of, and all there is
 * against fragmentation: take some if there are many.
 */
static long unmapped_pool_plain(struct unmapped_pool *pool)
{
	struct zone *zone = pool->zone;
	long plain = zone_page_state(zone, NR_FREE_PAGES_BLOCKS) >> pageblock_order;

	for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++)
		plain -= unmapped_pool_blocks(&zone->unmapped_pools[i]);
	return plain;
}

static bool unmapped_pool_plenty(struct unmapped_pool *pool)
{
	return READ_ONCE(unmapped_pool_fixed) ||
		unmapped_pool_plain(pool) >=
		(long)(unmapped_pool_target(pool) * UNMAPPED_POOL_PLENTY);
}

/* Is there demand for blocks? */
static bool unmapped_pool_in_demand(struct unmapped_pool *pool)
{
	return time_before(jiffies, READ_ONCE(pool->last_used) + UNMAPPED_POOL_DEMAND);
}

/* Did others need a block back just now? */
static bool unmapped_pool_under_pressure(struct unmapped_pool *pool)
{
	return time_before(jiffies, READ_ONCE(pool->last_pressed) + UNMAPPED_POOL_BACKOFF);
}

/* Blocks that can be broken up at once. */
static unsigned long unmapped_pool_erased(const struct unmapped_pool *pool)
{
	unsigned long blocks = unmapped_pool_blocks(pool);

	/* Without the zone lock, a hint */
	return blocks - min(blocks, READ_ONCE(pool->nr_unerased));
}

/**
 * unmapped_pool_note_request() - note that there is demand for blocks
 * @pool: of the zone that the request prefers
 * @gfp: flags of the request; without __GFP_KSWAPD_RECLAIM, nobody is woken
 *
 * Wakes the worker when half of the pool is used up, or has yet to be erased.
 *
 * Context: any but NMI, no zone lock held.
 */
void unmapped_pool_note_request(struct unmapped_pool *pool, gfp_t gfp)
{
	unsigned long now = jiffies, target;

	/* Racy, and no harm in it: who writes last was a moment later */
	if (READ_ONCE(pool->last_used) != now)
		WRITE_ONCE(pool->last_used, now);

	if (!(gfp & __GFP_KSWAPD_RECLAIM) ||
	    test_bit(UNMAPPED_POOL_WOKEN, &pool->flags))
		return;
	target = unmapped_pool_target(pool);
	if (!target || unmapped_pool_erased(pool) * 2 > target)
		return;
	if (!test_and_set_bit(UNMAPPED_POOL_WOKEN, &pool->flags))
		mod_delayed_work(unmapped_pool_wq, &pool->work, 0);
}

/**
 * unmapped_pool_note_pressure() - note that others had a block back
 * @pool: the pool it was in
 *
 * Context: any, NMI too.
 */
void unmapped_pool_note_pressure(struct unmapped_pool *pool)
{
	/* Racy with each other: any of the values will do */
	WRITE_ONCE(pool->last_pressed, jiffies);
	if (!test_bit(UNMAPPED_POOL_MEND, &pool->flags))
		set_bit(UNMAPPED_POOL_MEND, &pool->flags);
}

static void unmapped_pool_look_later(struct unmapped_pool *pool)
{
	/* Nothing happens if the worker is about to look already */
	queue_delayed_work(unmapped_pool_wq, &pool->work,
			   round_jiffies_relative(UNMAPPED_POOL_PERIOD));
}

/**
 * unmapped_pool_watch() - look after the blocks of a zone from now on
 * @pool: zone and property, of which a block was flipped, or nearly
 *
 * In a while, and until there are none. What was split for the flip is put
 * together again then, even if that is all that it did.
 *
 * Context: any but NMI, no zone lock held.
 */
void unmapped_pool_watch(struct unmapped_pool *pool)
{
	if (!test_bit(UNMAPPED_POOL_MEND, &pool->flags))
		set_bit(UNMAPPED_POOL_MEND, &pool->flags);
	unmapped_pool_look_later(pool);
}

/**
 * unmapped_batch_next() - how many blocks are to share the next shootdown?
 * @pool: zone and property
 *
 * Four times as many as the last one, as long as there is demand: what is foreseen
 * wrongly costs next to nothing, as it is not erased, and anybody can have it back.
 *
 * Context: flip_lock held.
 * Return: so many, no more than UNMAPPED_BATCH_MAX; 1 where none are to be unmapped
 * in advance.
 */
unsigned int unmapped_batch_next(struct unmapped_pool *pool)
{
	unsigned long last = pool->last_flip, now = jiffies;
	unsigned int nr = 1;

	lockdep_assert_held(&pool->flip_lock);

	/* It was not used up soon, or others had some of it back */
	if (pool->batch && time_before(now, last + UNMAPPED_POOL_DEMAND) &&
	    time_before(READ_ONCE(pool->last_pressed), last))
		nr = pool->batch;
	pool->last_flip = now;
	pool->batch = min(nr * UNMAPPED_BATCH_GROWTH, UNMAPPED_BATCH_MAX);

	if (!unmapped_pool_target(pool))
		return 1;
	return clamp(unmapped_pool_plain(pool) / UNMAPPED_POOL_PLENTY, 1, (long)nr);
}

/* One block is not to be had: the next one will be tried the next time. */
static void unmapped_batch_drop(struct unmapped_pool *pool, struct page *block, int err)
{
	unmapped_put(pool, block, pageblock_order);
	count_vm_event(UNMAPPED_FLIP_FAIL);
	trace_unmapped_flip_unmap(page_to_pfn(block), 1, err);
	/* There may be a split to mend */
	unmapped_pool_watch(pool);
}

/**
 * unmapped_batch_apply() - unmap free blocks as they are
 * @pool: zone and property
 * @batch: the blocks; empty at first
 * @nr: how many are wanted
 * @highest_zoneidx: of who wants the first one
 * @mark: watermark to leave alone for the first one; for the others, the high one
 *
 * Context: task, may sleep; flip_lock held.
 * Return: 0; -ENOSPC if there was no block; or why there are less than @nr.
 */
int unmapped_batch_apply(struct unmapped_pool *pool, struct unmapped_batch *batch,
			 unsigned int nr, enum zone_type highest_zoneidx,
			 unsigned long mark)
{
	struct zone *zone = pool->zone;
	struct page *block;
	int err = 0;

	lockdep_assert_held(&pool->flip_lock);

	while (batch->nr < min(nr, UNMAPPED_BATCH_MAX)) {
		block = unmapped_take(pool, pageblock_order,
				      batch->nr ? zone_idx(zone) : highest_zoneidx,
				      batch->nr ? high_wmark_pages(zone) : mark);
		if (!block)
			return batch->nr ? 0 : -ENOSPC;

		err = unmapped_block_prepare(pool, block, pageblock_order);
		if (!err)
			err = unmapped_block_apply(pool, block);
		if (err) {
			unmapped_batch_drop(pool, block, err);
			break;
		}
		batch->blocks[batch->nr++] = block;
	}
	return err;
}

/**
 * unmapped_batch_flush() - the shootdown that the blocks of a batch share
 * @pool: zone and property
 * @batch: what unmapped_batch_apply() unmapped
 *
 * Context: task, interrupts on.
 */
void unmapped_batch_flush(struct unmapped_pool *pool,
			  const struct unmapped_batch *batch)
{
	struct page *first = batch->blocks[0], *last = first;

	if (!batch->nr)
		return;
	for (unsigned int i = 1; i < batch->nr; i++) {
		first = min(first, batch->blocks[i]);
		last = max(last, batch->blocks[i]);
	}
	unmapped_block_flush(pool, first, ((page_to_pfn(last) - page_to_pfn(first)) >>
					   pageblock_order) + 1);
}

/**
 * unmapped_batch_add() - free the blocks of a batch, which were flushed
 * @pool: zone and property
 * @batch: the blocks
 *
 * They have yet to be erased.
 *
 * Context: task, may sleep.
 * Return: how many they are.
 */
unsigned int unmapped_batch_add(struct unmapped_pool *pool,
				struct unmapped_batch *batch)
{
	unsigned int nr_added = 0;
	struct page *block;

	for (unsigned int i = 0; i < batch->nr; i++) {
		block = batch->blocks[i];
		if (unmapped_block_add(pool, block, pageblock_order, true, -1)) {
			nr_added++;
			trace_unmapped_flip_unmap(page_to_pfn(block), 1, 0);
			continue;
		}
		/* Isolated meanwhile */
		unmapped_block_undo(pool, block, pageblock_order);
		if (freetype_property(pool->freetype)->undo_flush)
			unmapped_block_flush(pool, block, 1);
		unmapped_batch_drop(pool, block, -EBUSY);
	}
	if (nr_added) {
		count_vm_events(UNMAPPED_FLIP_UNMAP, nr_added);
		/* Blocks to let go of some day */
		unmapped_pool_watch(pool);
	}
	return nr_added;
}

/*
 * Flip blocks until @want are free, or as many as are foreseen. Returns false where there
 * is none to be flipped.
 */
static bool unmapped_pool_fill_batch(struct unmapped_pool *pool, unsigned long want)
{
	struct unmapped_batch batch = {};
	unsigned int nr_added;
	unsigned long have;

	guard(mutex)(&pool->flip_lock);
	have = unmapped_pool_blocks(pool);
	/* Somebody has flipped as many meanwhile */
	if (have >= want)
		return true;
	unmapped_batch_apply(pool, &batch, max(want - have, unmapped_batch_next(pool)),
			     zone_idx(pool->zone), high_wmark_pages(pool->zone));
	unmapped_batch_flush(pool, &batch);
	nr_added = unmapped_batch_add(pool, &batch);
	trace_unmapped_pool(pool->zone, nr_added, unmapped_pool_blocks(pool),
			    unmapped_pool_target(pool));
	return nr_added;
}

/*
 * Erase a block, unless somebody else could use the processor meanwhile: a request
 * that finds none erased does no more work than is done here.
 */
VISIBLE_IF_KUNIT bool unmapped_pool_erase_block(struct unmapped_pool *pool,
						struct page *block)
{
	for (unsigned long i = 0; i < pageblock_nr_pages; i += UNMAPPED_CLEAR_BATCH) {
		if (!single_task_running() ||
		    !unmapped_block_erase(pool, block + i, ilog2(UNMAPPED_CLEAR_BATCH)))
			return false;
	}
	return true;
}

/*
 * Erase as many blocks as are to be ready, so that requests need not do it. Returns
 * false where this is to go on soon.
 */
static bool unmapped_pool_erase(struct unmapped_pool *pool)
{
	struct page *block;
	bool erased;

	while (unmapped_pool_erased(pool) < unmapped_pool_target(pool) &&
	       !unmapped_pool_under_pressure(pool)) {
		if (!single_task_running())
			return false;
		/* It is not to be in the way of memory that goes offline */
		if (!tryget_online_mems())
			return false;
		scoped_guard(spinlock_irqsave, &pool->zone->lock)
			block = unmapped_take_unerased(pool, pageblock_order);
		if (block) {
			erased = unmapped_pool_erase_block(pool, block);
			unmapped_put_unmapped(pool, block, pageblock_order, !erased, -1);
		}
		put_online_mems();
		if (!block)
			break;
		if (!erased)
			return false;
	}
	return true;
}

/**
 * unmapped_foresee() - much memory off the direct map is going to be wanted
 * @gfp: flags of the requests that are to come
 * @nr_pages: how many pages it is going to be
 *
 * Unmaps free blocks of the zone that the task prefers, with one shootdown: no more
 * than share one. Call it again when so much was had. Nothing is erased, and all of
 * it stays free: who changes his mind, or is refused, has cost next to nothing. Not
 * where a memory policy may want another zone.
 *
 * Context: task, may sleep.
 * Return: how many pages that reaches, at most; then is the time to say so again.
 */
unsigned long unmapped_foresee(gfp_t gfp, unsigned long nr_pages)
{
	const unsigned long reach = UNMAPPED_BATCH_MAX << pageblock_order;
	unsigned long want = min(nr_pages >> pageblock_order, UNMAPPED_BATCH_MAX);
	struct unmapped_pool *pool;
	struct zoneref *z;
	struct zone *zone;

	if (!want || !unmapped_available() || task_has_mempolicy())
		return reach;

	for_each_zone_zonelist(zone, z, node_zonelist(numa_mem_id(), gfp), gfp_zone(gfp)) {
		pool = unmapped_pool(zone, freetype_make_unmapped());
		if (pool && cpuset_zone_allowed(zone, gfp))
			break;
	}
	if (!zone || !unmapped_pool_target(pool) || unmapped_pool_under_pressure(pool))
		return reach;
	want = min_t(long, want, unmapped_pool_plain(pool) / UNMAPPED_POOL_PLENTY);
	if ((long)want > 0 && unmapped_pool_blocks(pool) < want)
		unmapped_pool_fill_batch(pool, want);
	return reach;
}
EXPORT_SYMBOL_FOR_MODULES(unmapped_foresee, "kvm");

/* Returns false where memory is too short for it. */
static bool unmapped_pool_fill(struct unmapped_pool *pool)
{
	for (;;) {
		unsigned long want = unmapped_pool_target(pool);

		if (unmapped_pool_blocks(pool) >= want)
			return true;
		if (unmapped_pool_under_pressure(pool) || !unmapped_pool_plenty(pool) ||
		    !unmapped_pool_fill_batch(pool, want))
			return false;
		cond_resched();
	}
}

/*
 * Have pages back from lists of CPUs. Not where memory goes online or offline: that
 * empties them itself, and a worker that waits is a hung task after two minutes.
 */
static void unmapped_pool_drain(struct zone *zone)
{
	if (!tryget_online_mems())
		return;
	/* A zone that has lost its memory has lost its pages of whole blocks */
	if (populated_zone(zone))
		unmapped_drain_zone(zone);
	put_online_mems();
}

/*
 * Let go of half of what is more than is to be kept, and with @idle set, was not
 * needed since the last look. Half of it, because it costs nothing to give a
 * block back and one shootdown to take it again.
 */
static void unmapped_pool_shrink(struct unmapped_pool *pool, unsigned long keep,
				 bool idle)
{
	struct zone *zone = pool->zone;
	unsigned long nr;

	unmapped_pool_drain(zone);

	scoped_guard(spinlock_irqsave, &zone->lock) {
		nr = unmapped_pool_blocks(pool);
		swap(nr, pool->fewest_free);
		if (!idle)
			nr = pool->fewest_free;
	}
	if (nr <= keep)
		return;
	/* What nobody needed was foreseen wrongly */
	scoped_guard(mutex, &pool->flip_lock)
		pool->batch = 0;
	nr -= keep;
	nr = max(nr / 2, min(nr, UNMAPPED_POOL_BATCH));
	while (nr) {
		unsigned int batch = min(nr, UNMAPPED_POOL_BATCH), done;

		done = unmapped_let_go(pool, batch);
		if (!done)
			break;
		set_bit(UNMAPPED_POOL_MEND, &pool->flags);
		trace_unmapped_pool(zone, -(int)done, unmapped_pool_blocks(pool), keep);
		nr -= batch;
		cond_resched();
	}
}

/*
 * Blocks are back in the direct map: see if their neighbours are, too. One large
 * entry each time, and none while there is demand, as each costs a shootdown and
 * may be needed in pieces again.
 */
static void unmapped_pool_mend(struct unmapped_pool *pool)
{
	struct zone *zone = pool->zone;

	/* It would be split again, and whoever needs the pool has to wait */
	if (unmapped_pool_in_demand(pool) ||
	    !test_bit(UNMAPPED_POOL_MEND, &pool->flags) || !tryget_online_mems())
		return;

	clear_bit(UNMAPPED_POOL_MEND, &pool->flags);
	if (arch_direct_map_mend(zone->zone_start_pfn, zone_end_pfn(zone)))
		set_bit(UNMAPPED_POOL_MEND, &pool->flags);
	put_online_mems();
}

static void unmapped_pool_work_fn(struct work_struct *work)
{
	struct unmapped_pool *pool = container_of(to_delayed_work(work),
						  struct unmapped_pool, work);
	const bool keep = unmapped_pool_in_demand(pool) || READ_ONCE(unmapped_pool_fixed);
	const bool filled = !keep || unmapped_pool_fill(pool);
	const bool erased = !keep || unmapped_pool_erase(pool);

	if (!filled) {
		unmapped_pool_drain(pool->zone);
		/* Still woken: requests need not do it meanwhile */
		queue_delayed_work(unmapped_pool_wq, &pool->work,
				   unmapped_pool_in_demand(pool) ?
				   UNMAPPED_POOL_BACKOFF : UNMAPPED_POOL_PERIOD);
		return;
	}

	/* Who is woken because blocks are needed lets go of some no earlier for it */
	if (!test_and_clear_bit(UNMAPPED_POOL_WOKEN, &pool->flags) ||
	    time_after_eq(jiffies, pool->last_shrunk + UNMAPPED_POOL_PERIOD)) {
		pool->last_shrunk = jiffies;
		unmapped_pool_shrink(pool, keep ? unmapped_pool_target(pool) : 0, keep);
		unmapped_pool_mend(pool);
	}

	if (!erased) {
		/* As above; somebody may have asked for a look later */
		set_bit(UNMAPPED_POOL_WOKEN, &pool->flags);
		mod_delayed_work(unmapped_pool_wq, &pool->work, UNMAPPED_POOL_GIVE_WAY);
		return;
	}

	/* As long as there is something to let go, or to mend */
	if (READ_ONCE(pool->nr_pages) ||
	    test_bit(UNMAPPED_POOL_MEND, &pool->flags))
		unmapped_pool_look_later(pool);
}

/**
 * unmapped_zone_init() - prepare a zone for memory with a property
 * @zone: the zone, which gets its first pages
 *
 * Where memory is short the zone never has any.
 *
 * Context: boot, or memory hotplug, may sleep.
 */
void __meminit unmapped_zone_init(struct zone *zone)
{
	struct unmapped_pool *pools;

	/* A zone that has had memory before */
	if (zone->unmapped_pools)
		return;

	pools = kcalloc_node(NR_FREETYPE_PROPERTIES, sizeof(*pools), GFP_KERNEL,
			     zone_to_nid(zone));
	if (!pools)
		return;

	for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
		struct unmapped_pool *pool = &pools[i];

		pool->zone = zone;
		pool->freetype = freetype_from_index(MIGRATE_TYPES + i);
		sema_init(&pool->broken, clamp(num_possible_cpus(), 1, UNMAPPED_BROKEN_MAX));
		mutex_init(&pool->flip_lock);
		mutex_init(&pool->compact_lock);
		mutex_init(&pool->retry_lock);
		INIT_DELAYED_WORK(&pool->work, unmapped_pool_work_fn);
		pool->last_used = jiffies - UNMAPPED_POOL_DEMAND;
		pool->last_pressed = jiffies - UNMAPPED_POOL_BACKOFF;
		pool->gave_up = jiffies - HZ;
		unmapped_pcp_init(pool);
	}
	zone->unmapped_pools = pools;
}

static int unmapped_pool_sysctl(const struct ctl_table *table, int write,
				void *buffer, size_t *lenp, loff_t *ppos)
{
	unsigned int blocks = READ_ONCE(sysctl_unmapped_pool_blocks);
	const struct ctl_table said = {
		.procname = table->procname,
		.data	  = &blocks,
		.maxlen	  = sizeof(blocks),
		.mode	  = table->mode,
	};
	struct zone *zone;
	int err;

	err = proc_douintvec(&said, write, buffer, lenp, ppos);
	if (err || !write)
		return err;

	if (blocks) {
		err = unmapped_enable();
		if (err && err != -EOPNOTSUPP)
			return err;
	}
	WRITE_ONCE(sysctl_unmapped_pool_blocks, blocks);
	WRITE_ONCE(unmapped_pool_fixed, true);
	if (!unmapped_available())
		return 0;

	for_each_populated_zone(zone) {
		for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++)
			mod_delayed_work(unmapped_pool_wq, &zone->unmapped_pools[i].work, 0);
	}
	return 0;
}

static const struct ctl_table unmapped_sysctl_table[] = {
	{
		.procname	= "no_direct_map_pool_blocks",
		.data		= &sysctl_unmapped_pool_blocks,
		.maxlen		= sizeof(sysctl_unmapped_pool_blocks),
		.mode		= 0644,
		.proc_handler	= unmapped_pool_sysctl,
	},
};

/**
 * unmapped_pool_init() - start to look after unmapped memory
 *
 * Context: boot.
 * Return: 0 or -ENOMEM.
 */
int __init unmapped_pool_init(void)
{
	/* Not while hibernation decides what is in the image */
	unmapped_pool_wq = alloc_workqueue("unmapped_pool",
					   WQ_UNBOUND | WQ_FREEZABLE, 0);
	if (!unmapped_pool_wq)
		return -ENOMEM;

	register_sysctl_init("vm", unmapped_sysctl_table);
	return 0;
}
