// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool of free unmapped blocks of a zone, and who looks after it.
 *
 * What was freed stays unmapped for a while, and as long as there is demand a
 * worker sees to it that a few blocks are there before somebody asks: a request
 * that may not block can be served, and one that may does not wait for 2 MiB to
 * be erased and for every CPU to be flushed. When nobody has asked for a while,
 * the blocks go back to the direct map; whoever needs them earlier takes them,
 * see __rmqueue_remap(). At last, what the direct map was split into is mended.
 *
 * There is no list of its own: the pool is what the free lists of unmapped
 * memory have in whole blocks.
 */
#include <linux/direct_map.h>
#include <linux/jiffies.h>
#include <linux/memory_hotplug.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sysctl.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <trace/events/unmapped.h>

#include "internal.h"
#include "page_alloc.h"
#include "unmapped.h"

/* vm.unmapped_pool_blocks: how many a zone. 0: none are unmapped in advance */
unsigned int sysctl_unmapped_pool_blocks __read_mostly = 8;

/* A request is demand for that long. */
#define UNMAPPED_POOL_DEMAND	(10 * HZ)
/* How often to look whether blocks are to be let go. */
#define UNMAPPED_POOL_PERIOD	(5 * HZ)
/* When others needed a block back, leave memory alone for that long. */
#define UNMAPPED_POOL_BACKOFF	HZ
/* The pool is not more than that part of a zone. */
#define UNMAPPED_POOL_PART	64
/* Fill it only as long as that many times as many blocks are free. */
#define UNMAPPED_POOL_PLENTY	4
/* Blocks for one shootdown, and blocks for one time under the zone lock. */
#define UNMAPPED_POOL_BATCH	8

/* Bits of unmapped_pool::flags */
enum {
	UNMAPPED_POOL_WOKEN,	/* somebody woke the worker already */
	UNMAPPED_POOL_MEND,	/* blocks were remapped since the last look */
};

static struct workqueue_struct *unmapped_pool_wq __ro_after_init;

static unsigned long unmapped_pool_target(struct zone *zone)
{
	unsigned long most = zone_managed_pages(zone) / UNMAPPED_POOL_PART;

	return min(READ_ONCE(sysctl_unmapped_pool_blocks),
		   most >> pageblock_order);
}

/* Free blocks that are unmapped. Anyone can have them back. */
static unsigned long unmapped_pool_blocks(struct zone *zone)
{
	return zone_page_state(zone, NR_FREE_UNMAPPED_WHOLE) >> pageblock_order;
}

/*
 * Free blocks that are mapped are what huge pages are made of, and all there is
 * against fragmentation: take some if there are many.
 */
static bool unmapped_pool_plenty(struct zone *zone)
{
	unsigned long mapped = zone_page_state(zone, NR_FREE_PAGES_BLOCKS) -
			       zone_page_state(zone, NR_FREE_UNMAPPED_WHOLE);

	return (long)mapped >> pageblock_order >=
		(long)(unmapped_pool_target(zone) * UNMAPPED_POOL_PLENTY);
}

static bool unmapped_pool_demand(struct zone *zone)
{
	return time_before(jiffies, READ_ONCE(zone->unmapped_pool.last_used) +
				    UNMAPPED_POOL_DEMAND);
}

static bool unmapped_pool_pressed(struct zone *zone)
{
	return time_before(jiffies, READ_ONCE(zone->unmapped_pool.last_remap) +
				    UNMAPPED_POOL_BACKOFF);
}

/**
 * unmapped_pool_demanded - note that there is demand for unmapped memory
 * @zone: the zone that has some, or should
 *
 * Context: any.
 */
void unmapped_pool_demanded(struct zone *zone)
{
	unsigned long now = jiffies;

	/* Racy, and no harm in it: who writes last was a moment later */
	if (READ_ONCE(zone->unmapped_pool.last_used) != now)
		WRITE_ONCE(zone->unmapped_pool.last_used, now);
}

/**
 * unmapped_pool_used - note a request for unmapped memory
 * @zone: the zone that is asked
 * @gfp: flags of the request; without __GFP_KSWAPD_RECLAIM, nobody is woken
 *
 * Wakes the worker when the pool is half empty.
 *
 * Context: any but NMI, no zone lock held.
 */
void unmapped_pool_used(struct zone *zone, gfp_t gfp)
{
	struct unmapped_pool *pool = &zone->unmapped_pool;
	unsigned long target;

	unmapped_pool_demanded(zone);
	if (!(gfp & __GFP_KSWAPD_RECLAIM) ||
	    test_bit(UNMAPPED_POOL_WOKEN, &pool->flags))
		return;
	target = unmapped_pool_target(zone);
	if (!target || unmapped_pool_blocks(zone) * 2 > target)
		return;
	if (!test_and_set_bit(UNMAPPED_POOL_WOKEN, &pool->flags))
		mod_delayed_work(unmapped_pool_wq, &pool->work, 0);
}

/**
 * unmapped_pool_look - look after the blocks of a zone from now on
 * @zone: the zone, in which a block was unmapped
 *
 * In a while, and until they are all mapped again.
 *
 * Context: any but NMI, no zone lock held.
 */
void unmapped_pool_look(struct zone *zone)
{
	/* Nothing happens if the worker does already */
	queue_delayed_work(unmapped_pool_wq, &zone->unmapped_pool.work,
			   round_jiffies_relative(UNMAPPED_POOL_PERIOD));
}

/**
 * unmapped_pool_remapped - note that a block is in the direct map again
 * @zone: its zone
 *
 * Context: any but NMI.
 */
void unmapped_pool_remapped(struct zone *zone)
{
	unsigned long *flags = &zone->unmapped_pool.flags;

	if (!test_bit(UNMAPPED_POOL_MEND, flags))
		set_bit(UNMAPPED_POOL_MEND, flags);
}

/**
 * unmapped_pool_pressure - note that others need memory of the pool
 * @zone: the zone
 *
 * Context: any.
 */
void unmapped_pool_pressure(struct zone *zone)
{
	/* Racy with each other: any of the values will do */
	WRITE_ONCE(zone->unmapped_pool.last_remap, jiffies);
}

/*
 * Unmap up to @nr blocks with one shootdown, and put them into the pool.
 * Returns how many it were.
 */
static unsigned int unmapped_pool_fill_batch(struct zone *zone, unsigned int nr)
{
	struct page *blocks[UNMAPPED_POOL_BATCH], *bad[UNMAPPED_POOL_BATCH];
	unsigned int i, nr_blocks = 0, nr_bad = 0, nr_added = 0;
	struct page *block, *first = NULL, *last = NULL;
	int err;

	for (i = 0; i < min(nr, UNMAPPED_POOL_BATCH); i++) {
		block = take_free_blocks(zone, pageblock_order, zone_idx(zone),
					 high_wmark_pages(zone));
		if (!block)
			break;

		err = unmapped_prepare_blocks(block, pageblock_order);
		if (!err)
			err = unmapped_unmap_one(block);
		if (err) {
			bad[nr_bad++] = block;
			trace_unmapped_flip_unmap(page_to_pfn(block), 1, err);
			if (err == -ENOMEM)
				break;
			continue;
		}

		blocks[nr_blocks++] = block;
		if (!first || block < first)
			first = block;
		if (!last || block > last)
			last = block;
	}

	if (nr_blocks)
		unmapped_flush_blocks(first, ((last - first) >> pageblock_order) + 1);
	for (i = 0; i < nr_blocks; i++) {
		bool added = add_unmapped_block(zone, blocks[i]);

		nr_added += added;
		trace_unmapped_flip_unmap(page_to_pfn(blocks[i]), 1,
					  added ? 0 : -EBUSY);
	}
	count_vm_events(UNMAPPED_FLIP_UNMAP, nr_added);
	count_vm_events(UNMAPPED_FLIP_FAIL, nr_bad + nr_blocks - nr_added);

	while (nr_bad)
		putback_free_blocks(zone, bad[--nr_bad], pageblock_order);

	trace_unmapped_pool(zone, nr_added, unmapped_pool_blocks(zone),
			    unmapped_pool_target(zone));
	return nr_added;
}

/* Returns false where memory is too short for it. */
static bool unmapped_pool_fill(struct zone *zone)
{
	unsigned long have, want;

	for (;;) {
		have = unmapped_pool_blocks(zone);
		want = unmapped_pool_target(zone);
		if (have >= want)
			return true;
		if (unmapped_pool_pressed(zone) || !unmapped_pool_plenty(zone) ||
		    !unmapped_pool_fill_batch(zone, want - have))
			return false;
	}
}

/* Pages on per-CPU lists keep their blocks from being whole. */
static bool unmapped_pool_on_pcp(struct zone *zone)
{
	int cpu, i;

	for_each_online_cpu(cpu) {
		struct per_cpu_pages *pcp = per_cpu_ptr(zone->per_cpu_pageset, cpu);

		/* Without the lock of the list it is a hint */
		for (i = PCP_UNMAPPED_FIRST; i < NR_PCP_LISTS; i++) {
			if (!list_empty(&pcp->lists[i]))
				return true;
		}
	}
	return false;
}

/**
 * unmapped_drain_zone - put free unmapped pages on the free lists
 * @zone: zone that has some of them
 *
 * Those on per-CPU lists, and those that wait to be erased, keep their blocks
 * from being whole, and so from everybody who could have them back.
 *
 * Context: task, may sleep, may be in reclaim.
 * Return: whether there were any.
 */
bool unmapped_drain_zone(struct zone *zone)
{
	bool drained = unmapped_drain_dirty();

	if (!unmapped_pool_on_pcp(zone))
		return drained;

	drain_all_pages(zone);
	return true;
}

/* Let go of half of the pool, or of what is left of it. */
static void unmapped_pool_shrink(struct zone *zone)
{
	unsigned long nr;

	/* A zone that has lost its memory loses its per-CPU lists, too */
	get_online_mems();
	if (populated_zone(zone))
		unmapped_drain_zone(zone);
	put_online_mems();

	nr = unmapped_pool_blocks(zone);
	nr = max(nr / 2, min(nr, UNMAPPED_POOL_BATCH));
	while (nr && !unmapped_pool_demand(zone)) {
		unsigned int batch = min(nr, UNMAPPED_POOL_BATCH), done;

		done = remap_unmapped_blocks(zone, batch);
		if (!done)
			break;
		trace_unmapped_pool(zone, -(int)done, unmapped_pool_blocks(zone), 0);
		nr -= batch;
		cond_resched();
	}
}

/*
 * Blocks are back in the direct map: see if their neighbours are, too. One large
 * entry each time, and none while there is demand, as each costs a shootdown and
 * may be needed in pieces again.
 */
static void unmapped_pool_mend(struct zone *zone)
{
	struct unmapped_pool *pool = &zone->unmapped_pool;

	/* It would be split again, and whoever needs the pool has to wait */
	if (unmapped_pool_demand(zone) ||
	    !test_and_clear_bit(UNMAPPED_POOL_MEND, &pool->flags))
		return;

	if (arch_direct_map_mend(zone->zone_start_pfn, zone_end_pfn(zone)))
		set_bit(UNMAPPED_POOL_MEND, &pool->flags);
}

static void unmapped_pool_work_fn(struct work_struct *work)
{
	struct unmapped_pool *pool = container_of(to_delayed_work(work),
						  struct unmapped_pool, work);
	struct zone *zone = container_of(pool, struct zone, unmapped_pool);

	if (unmapped_pool_demand(zone)) {
		if (!unmapped_pool_fill(zone)) {
			/* Still woken: requests need not do it meanwhile */
			queue_delayed_work(unmapped_pool_wq, &pool->work,
					   UNMAPPED_POOL_BACKOFF);
			return;
		}
	} else {
		unmapped_pool_shrink(zone);
	}
	clear_bit(UNMAPPED_POOL_WOKEN, &pool->flags);

	unmapped_pool_mend(zone);

	/* As long as there is something to let go, or to mend */
	if (zone_page_state(zone, NR_UNMAPPED) ||
	    test_bit(UNMAPPED_POOL_MEND, &pool->flags))
		unmapped_pool_look(zone);
}

/**
 * unmapped_zone_init - prepare a zone for unmapped memory
 * @zone: the zone
 *
 * Context: boot, or memory hotplug; the zone has no pages yet.
 */
void __meminit unmapped_zone_init(struct zone *zone)
{
	struct unmapped_pool *pool = &zone->unmapped_pool;

	/* A node that comes back: its work may be pending, and does no harm */
	if (pool->work.work.func)
		return;

	mutex_init(&pool->flip_lock);
	INIT_DELAYED_WORK(&pool->work, unmapped_pool_work_fn);
	pool->last_used = jiffies - UNMAPPED_POOL_DEMAND;
	pool->last_remap = jiffies - UNMAPPED_POOL_BACKOFF;
}

static const struct ctl_table unmapped_sysctl_table[] = {
	{
		.procname	= "unmapped_pool_blocks",
		.data		= &sysctl_unmapped_pool_blocks,
		.maxlen		= sizeof(sysctl_unmapped_pool_blocks),
		.mode		= 0644,
		.proc_handler	= proc_douintvec,
	},
};

/**
 * unmapped_pool_init - start to look after unmapped memory
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
