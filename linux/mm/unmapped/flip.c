// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request for memory with a property, and how it gets a block.
 *
 * It is served from the free lists of such memory. If there is nothing on them
 * it is, from there on, a request for a whole pageblock, whatever its order is:
 * one that is costly, may fail, and never has a task killed. It climbs
 *
 *	1. zone after zone, in the order in which it prefers them, above the low
 *	   watermark: what is free; a free block; a block that compaction makes
 *	2. kswapd or kcompactd is woken
 *	3. the same above the min watermark
 *	4. pages on lists of their own are put on the free lists
 *	5. reclaim, once, if a zone had not the free pages that compaction needs;
 *	   and then the same again
 *	6. who has nothing to fall back to (__GFP_RETRY_MAYFAIL): reclaim and
 *	   compaction a few times more, where little is free, and unless that was
 *	   in vain a moment ago
 *
 * and then fails. A zone is compacted before the next one is used: memory with
 * a property cannot be moved later. Up to step 6, it is compacted once for a
 * request. Who may not block gets what is free, or nothing. Nothing is reclaimed that this could
 * not use, other CPUs' lists of plain memory are drained no more often than
 * kcompactd does so in vain, and who has no room in his memory cgroup costs others
 * nothing.
 */
#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/compaction.h>
#include <linux/cpuset.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/psi.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>
#include <linux/vmstat.h>
#include <trace/events/unmapped.h>

#include "../internal.h"
#include "internal.h"

/*
 * Blocks that were taken and then could not be flipped, as somebody changed
 * them meanwhile: after so many the request goes on as if there was none.
 */
#define UNMAPPED_FLIP_TRIES	8

/* Reclaim at most so many pages for a request, to give compaction room. */
#define UNMAPPED_RECLAIM_MAX	(4 * pageblock_nr_pages)

/*
 * Free pages can be where compaction does not move anything to, among those that
 * cannot be moved: how often some are made free elsewhere, and how many. Not where
 * more of the memory than that part of it is free: it is for want of something
 * else then that there is no block.
 */
#define UNMAPPED_RETRIES	3
#define UNMAPPED_RECLAIM_RETRY	(2 * pageblock_nr_pages)
#define UNMAPPED_TIGHT_PART	32

/**
 * struct unmapped_request - a request on its way
 * @gfp: its flags
 * @order: its order
 * @alloc_flags: its flags, without those of a watermark
 * @freetype: what it wants
 * @ac: its zones
 * @block_order: what it takes to make some
 * @compacted: a bit for each zone that was compacted for it; zones share bits
 *	where there are more than %BITS_PER_LONG
 * @reclaimed: whether something was reclaimed for it since
 * @may_block: whether it may, and is not in reclaim
 * @fragments: whether it gets nothing of a block that is wholly free
 * @charged: whether its memory cgroup has room
 * @refused: ... or has not
 */
struct unmapped_request {
	gfp_t gfp;
	unsigned int order;
	unsigned int alloc_flags;
	freetype_t freetype;
	struct alloc_context *ac;
	unsigned int block_order;
	unsigned long compacted;
	bool reclaimed;
	bool may_block;
	bool fragments;
	bool charged;
	bool refused;
};

static struct page *unmapped_prep(struct unmapped_request *r, struct page *page)
{
	struct zone *preferred = zonelist_zone(r->ac->preferred_zoneref);

	if (page && prep_taken_page(preferred, page, r->order, r->gfp, r->alloc_flags))
		return page;
	return NULL;
}

/*
 * What is free with the property. Fragments of blocks that are in use anyway
 * are of use to nobody else; where there is none, a block is broken up that
 * others could have back.
 */
static struct page *unmapped_from_lists(struct unmapped_request *r,
					struct unmapped_pool *pool,
					unsigned long mark)
{
	struct zone *zone = pool->zone;
	struct page *page;
	bool whole = false;

	for (;;) {
		page = unmapped_pcp_alloc(pool, r->order, whole);
		if (!page) {
			guard(spinlock_irqsave)(&zone->lock);
			page = unmapped_take_page(pool, r->order, whole);
		}
		if (page && unmapped_prep(r, page))
			return page;
		if (page)
			continue;
		if (whole || r->fragments ||
		    !zone_watermark_ok(zone, r->block_order, mark,
				       r->ac->highest_zoneidx, ALLOC_DEFAULT))
			return NULL;
		whole = true;
	}
}

/* A block that is there, but has yet to be erased. */
static struct page *unmapped_from_unerased(struct unmapped_request *r,
					   struct unmapped_pool *pool,
					   unsigned long mark)
{
	struct zone *zone = pool->zone;
	struct page *block = NULL, *page;
	bool erased;

	scoped_guard(spinlock_irqsave, &zone->lock) {
		if (zone_watermark_ok(zone, r->block_order, mark,
				      r->ac->highest_zoneidx, ALLOC_DEFAULT))
			block = unmapped_take_unerased(pool, r->block_order);
	}
	if (!block)
		return NULL;
	erased = unmapped_block_erase(pool, block, r->block_order);
	page = unmapped_put_unmapped(pool, block, r->block_order, !erased,
				     erased ? r->order : -1);
	return erased ? unmapped_prep(r, page) : NULL;
}

/*
 * Give blocks that were taken off the free lists the property, and allocate from
 * them. The blocks are on some free list again, whatever happens.
 */
static struct page *unmapped_flip_blocks(struct unmapped_request *r,
					 struct unmapped_pool *pool,
					 struct page *block, int *err)
{
	const unsigned int nr_blocks = 1U << (r->block_order - pageblock_order);
	struct page *page = NULL;
	unsigned int i;

	*err = unmapped_block_prepare(pool, block, r->block_order);
	if (*err)
		goto put;
	for (i = 0; i < nr_blocks; i++) {
		*err = unmapped_block_apply(pool, block + i * pageblock_nr_pages);
		if (*err)
			goto undo;
	}
	unmapped_block_flush(pool, block, nr_blocks);

	if (unmapped_block_erase(pool, block, r->block_order))
		page = unmapped_block_add(pool, block, r->block_order, false, r->order);
	if (page) {
		count_vm_events(UNMAPPED_FLIP_UNMAP, nr_blocks);
		trace_unmapped_flip_unmap(page_to_pfn(block), nr_blocks, 0);
		/* Blocks to let go of some day, or a split to mend */
		unmapped_pool_watch(pool);
		return unmapped_prep(r, page);
	}
	/* Isolated meanwhile */
	*err = -EBUSY;
undo:
	while (i--)
		unmapped_block_undo(pool, block + i * pageblock_nr_pages,
				    pageblock_order);
	if (freetype_property(pool->freetype)->undo_flush)
		unmapped_block_flush(pool, block, nr_blocks);
put:
	unmapped_put(pool, block, r->block_order);
	count_vm_events(UNMAPPED_FLIP_FAIL, nr_blocks);
	trace_unmapped_flip_unmap(page_to_pfn(block), nr_blocks, *err);
	unmapped_pool_watch(pool);
	return NULL;
}

/*
 * Flip a block that is free, with others that share its shootdown. Who waited
 * meanwhile finds these.
 */
static int unmapped_flip_batch(struct unmapped_request *r,
			       struct unmapped_pool *pool, unsigned long mark)
{
	const bool ahead = r->gfp & __GFP_KSWAPD_RECLAIM;
	struct unmapped_batch batch = {};
	int err;

	guard(mutex)(&pool->flip_lock);
	if (pool->nr_unerased)
		return 0;
	err = unmapped_batch_apply(pool, &batch, ahead ? unmapped_batch_next(pool) : 1,
				   r->ac->highest_zoneidx, mark);
	unmapped_batch_flush(pool, &batch);
	return unmapped_batch_add(pool, &batch) ? 0 : err;
}

/*
 * A block: unmapped, if need be, and erased. Where it is broken up, for a few requests
 * at a time, each its own: the others want to find what these leave, instead of
 * breaking up a block for each page that is wanted at once.
 */
static struct page *unmapped_from_free_block(struct unmapped_request *r,
					     struct unmapped_pool *pool,
					     unsigned long mark)
{
	const bool leaves_some = r->order < r->block_order;
	struct page *block, *page;
	int err = 0;

	if (!r->may_block || (leaves_some && down_killable(&pool->broken)))
		return NULL;

	page = unmapped_from_lists(r, pool, mark);
	if (!page)
		page = unmapped_from_unerased(r, pool, mark);
	for (int tries = 0; !page && tries < UNMAPPED_FLIP_TRIES; tries++) {
		if (r->block_order == pageblock_order &&
		    freetype_property(pool->freetype)->contents_die) {
			err = unmapped_flip_batch(r, pool, mark);
			page = unmapped_from_unerased(r, pool, mark);
		} else {
			block = unmapped_take(pool, r->block_order,
					      r->ac->highest_zoneidx, mark);
			if (!block)
				break;
			page = unmapped_flip_blocks(r, pool, block, &err);
		}
		if (err == -ENOMEM || err == -ENOSPC)
			break;
	}
	if (leaves_some)
		up(&pool->broken);
	return page;
}

/*
 * From here on it costs others something. Whose memory cgroup has no room is
 * told so before, as it would be afterwards.
 */
static bool unmapped_may_cost(struct unmapped_request *r)
{
	/* Who says it with a GFP flag is charged with __GFP_ACCOUNT only */
	if (gfp_unmapped(r->gfp) && !(r->gfp & __GFP_ACCOUNT))
		return true;
	if (!r->charged && !r->refused) {
		r->refused = mem_cgroup_reserve_charge(NULL, r->gfp, 1U << r->order);
		r->charged = !r->refused;
	}
	return r->charged;
}

/*
 * With so many free pages, are there those that compaction needs, and will
 * memory be above the mark without a block?
 */
static bool unmapped_is_room(struct unmapped_request *r, struct zone *zone,
			     unsigned long mark, unsigned long free)
{
	mark = max(mark + (1UL << r->block_order), low_wmark_pages(zone));
	return __zone_watermark_ok(zone, 0, mark + compact_gap(r->block_order),
				   r->ac->highest_zoneidx, ALLOC_CMA, free);
}

static bool unmapped_has_room(struct unmapped_request *r, struct zone *zone,
			      unsigned long mark)
{
	return unmapped_is_room(r, zone, mark, zone_page_state(zone, NR_FREE_PAGES));
}

static unsigned long unmapped_zone_bit(struct zone *zone)
{
	return BIT((zone_to_nid(zone) * MAX_NR_ZONES + zone_idx(zone)) % BITS_PER_LONG);
}

/*
 * Compaction passes over pageblocks that were in vain, until kswapd comes to rest,
 * which nobody may have woken. A request that has nothing to fall back to has them
 * looked at again, if it was long ago that this was in vain, or much was freed or
 * allocated since.
 */
static bool unmapped_rescan_due(struct unmapped_pool *pool)
{
	unsigned long free = zone_page_state(pool->zone, NR_FREE_PAGES);
	unsigned long much = max(zone_managed_pages(pool->zone) >> 7,
				 pageblock_nr_pages);

	lockdep_assert_held(&pool->compact_lock);
	return time_after(jiffies, pool->rescanned + HZ) ||
		abs_diff(free, pool->rescanned_free) > much;
}

/* A block that compaction makes, as for a huge page. */
static struct page *unmapped_compact(struct unmapped_request *r,
				     struct unmapped_pool *pool, bool *rescan)
{
	struct page *block;
	int err;

	block = compact_zone_for_block(pool->zone, r->block_order, r->gfp,
				       r->ac->highest_zoneidx, rescan);
	if (!block)
		return NULL;

	/* A reserve that is full of free pages is no more than that */
	if (!migratetype_is_mergeable(freetype_index(get_pageblock_freetype(block)))) {
		unmapped_put(pool, block, r->block_order);
		return NULL;
	}
	return unmapped_flip_blocks(r, pool, block, &err);
}

static struct page *unmapped_from_compaction(struct unmapped_request *r,
					     struct unmapped_pool *pool,
					     unsigned long mark)
{
	unsigned long bit = unmapped_zone_bit(pool->zone);
	struct page *page;
	bool rescan = false;

	if (!r->may_block || r->compacted & bit || fatal_signal_pending(current) ||
	    !gfp_compaction_allowed(r->gfp) ||
	    !unmapped_has_room(r, pool->zone, mark) || !unmapped_may_cost(r))
		return NULL;

	r->compacted |= bit;
	if (!(r->gfp & __GFP_RETRY_MAYFAIL))
		return unmapped_compact(r, pool, &rescan);

	/* One after the other: who waited finds what the one before left over */
	if (mutex_lock_killable(&pool->compact_lock))
		return NULL;
	page = unmapped_from_lists(r, pool, mark);
	if (!page) {
		rescan = r->reclaimed || unmapped_rescan_due(pool);
		page = unmapped_compact(r, pool, &rescan);
		if (rescan && !page) {
			pool->rescanned = jiffies;
			pool->rescanned_free = zone_page_state(pool->zone,
							       NR_FREE_PAGES);
		}
	}
	mutex_unlock(&pool->compact_lock);
	return page;
}

VISIBLE_IF_KUNIT void unmapped_accept(struct unmapped_pool *pool)
{
	KUNIT_STATIC_STUB_REDIRECT(unmapped_accept, pool);
	accept_free_blocks(pool->zone);
}

static struct page *unmapped_from_zone(struct unmapped_request *r,
				       struct unmapped_pool *pool,
				       enum zone_watermarks wmark)
{
	unsigned long mark = wmark_pages(pool->zone, wmark);
	struct page *page;

	page = unmapped_from_lists(r, pool, mark);
	if (page)
		return page;
	unmapped_accept(pool);
	page = unmapped_from_free_block(r, pool, mark);
	if (!page)
		page = unmapped_from_compaction(r, pool, mark);
	return page;
}

static bool unmapped_zone_allowed(struct unmapped_request *r, struct zone *zone)
{
	return !cpusets_enabled() || !(r->alloc_flags & ALLOC_CPUSET) ||
		__cpuset_zone_allowed(zone, r->gfp);
}

/* The zones of a request that can have blocks, in its order of preference */
#define for_each_unmapped_pool(pool, zone, z, r)				\
	for_each_zone_zonelist_nodemask(zone, z, (r)->ac->zonelist,		\
					(r)->ac->highest_zoneidx,		\
					(r)->ac->nodemask)			\
		if (!((pool) = unmapped_pool(zone, (r)->freetype)) ||		\
		    !unmapped_zone_allowed(r, zone)) {} else

static void unmapped_wake(struct unmapped_request *r)
{
	struct pglist_data *last = NULL;
	struct unmapped_pool *pool;
	struct zoneref *z;
	struct zone *zone;

	if (!(r->gfp & __GFP_KSWAPD_RECLAIM))
		return;

	for_each_unmapped_pool(pool, zone, z, r) {
		if (last == zone->zone_pgdat)
			continue;
		last = zone->zone_pgdat;
		/* It is pages that are missing, or only that they lie together */
		if (!zone_watermark_ok(zone, 0, high_wmark_pages(zone),
				       r->ac->highest_zoneidx, ALLOC_DEFAULT))
			wakeup_kswapd(zone, r->gfp, r->block_order,
				      r->ac->highest_zoneidx);
		else
			wakeup_kcompactd(last, r->block_order, zone_idx(zone));
	}
}

/*
 * Has a zone no room for compaction, which would be tried, and could reclaim give
 * it some?
 */
static bool unmapped_is_poor(struct unmapped_request *r, struct zone *zone)
{
	unsigned long mark = min_wmark_pages(zone);

	if (r->compacted & unmapped_zone_bit(zone) ||
	    !gfp_compaction_allowed(r->gfp) ||
	    (compaction_is_deferred(zone, r->block_order) &&
	     !(r->gfp & __GFP_RETRY_MAYFAIL)))
		return false;

	return !unmapped_has_room(r, zone, mark) &&
		unmapped_is_room(r, zone, mark, zone_reclaimable_pages(zone) +
				 zone_page_state(zone, NR_FREE_PAGES));
}

/* Reclaim up to @max pages, or until there is room in @poor. Returns how many. */
VISIBLE_IF_KUNIT unsigned long unmapped_reclaim(struct unmapped_request *r,
						unsigned long max,
						struct zone *poor)
{
	unsigned long progress, reclaimed = 0, pflags;
	unsigned int noreclaim;

	KUNIT_STATIC_STUB_REDIRECT(unmapped_reclaim, r, max, poor);

	psi_memstall_enter(&pflags);
	do {
		cond_resched();
		fs_reclaim_acquire(r->gfp);
		noreclaim = memalloc_noreclaim_save();
		progress = try_to_free_pages(r->ac->zonelist, 0, r->gfp,
					     r->ac->nodemask);
		memalloc_noreclaim_restore(noreclaim);
		fs_reclaim_release(r->gfp);
		reclaimed += progress;
	} while (progress && reclaimed < max &&
		 !(poor && unmapped_has_room(r, poor, min_wmark_pages(poor))) &&
		 !fatal_signal_pending(current));
	psi_memstall_leave(&pflags);
	return reclaimed;
}

/* Reclaim until the first zone that was poor is not. Returns whether it is so. */
static bool unmapped_make_room(struct unmapped_request *r)
{
	struct zone *zone, *poor = NULL;
	struct unmapped_pool *pool;
	struct zoneref *z;

	for_each_unmapped_pool(pool, zone, z, r) {
		if (unmapped_is_poor(r, zone)) {
			poor = zone;
			break;
		}
	}
	if (!poor || (r->gfp & __GFP_NORETRY) || !unmapped_may_cost(r))
		return false;

	unmapped_reclaim(r, UNMAPPED_RECLAIM_MAX, poor);
	return unmapped_has_room(r, poor, min_wmark_pages(poor));
}

static struct page *unmapped_from_zones(struct unmapped_request *r,
					enum zone_watermarks wmark)
{
	struct unmapped_pool *pool;
	struct page *page;
	struct zoneref *z;
	struct zone *zone;

	for_each_unmapped_pool(pool, zone, z, r) {
		page = unmapped_from_zone(r, pool, wmark);
		if (page)
			return page;
	}
	return NULL;
}

/* Is so little free that reclaim could make the difference? */
VISIBLE_IF_KUNIT bool unmapped_is_tight(struct unmapped_request *r)
{
	unsigned long free = 0, little = 0;
	struct unmapped_pool *pool;
	struct zoneref *z;
	struct zone *zone;

	KUNIT_STATIC_STUB_REDIRECT(unmapped_is_tight, r);

	for_each_unmapped_pool(pool, zone, z, r) {
		free += zone_page_state(zone, NR_FREE_PAGES) -
			zone_page_state(zone, NR_FREE_CMA_PAGES);
		little += high_wmark_pages(zone) +
			zone_managed_pages(zone) / UNMAPPED_TIGHT_PART;
	}
	return (long)free < (long)little;
}

/*
 * As for a huge page that has to be had. One after the other, and not for a while
 * after it was in vain: requests in a loop, or many at once, cost others no more.
 */
static struct page *unmapped_try_harder(struct unmapped_request *r)
{
	struct zone *zone = zonelist_zone(r->ac->preferred_zoneref);
	struct unmapped_pool *pool = unmapped_pool(zone, r->freetype);
	struct page *page;

	if (!pool || !(r->gfp & __GFP_RETRY_MAYFAIL) ||
	    !gfp_compaction_allowed(r->gfp) || !unmapped_may_cost(r) ||
	    !unmapped_is_tight(r) || mutex_lock_killable(&pool->retry_lock))
		return NULL;

	/* What the one before has left over */
	page = unmapped_from_zones(r, WMARK_MIN);
	for (int i = 0; !page && i < UNMAPPED_RETRIES && unmapped_is_tight(r) &&
	     !time_before(jiffies, pool->gave_up + HZ); i++) {
		if (!unmapped_reclaim(r, UNMAPPED_RECLAIM_RETRY, NULL) ||
		    fatal_signal_pending(current))
			break;
		r->reclaimed = true;
		r->compacted = 0;
		page = unmapped_from_zones(r, WMARK_MIN);
		if (!page && i == UNMAPPED_RETRIES - 1)
			pool->gave_up = jiffies;
	}
	mutex_unlock(&pool->retry_lock);
	return page;
}

/*
 * Is it to be had where it is wanted, and for next to nothing, or not at all? Who
 * says so has something to fall back to.
 */
static bool unmapped_is_light(struct unmapped_request *r)
{
	const gfp_t light = __GFP_THISNODE | __GFP_NORETRY;

	return (r->gfp & light) == light && !gfp_compaction_allowed(r->gfp);
}

static struct page *unmapped_climb(struct unmapped_request *r)
{
	struct unmapped_pool *pool;
	struct page *page;
	struct zoneref *z;
	struct zone *zone;

	if (unmapped_is_light(r)) {
		zone = zonelist_zone(r->ac->preferred_zoneref);
		pool = unmapped_pool(zone, r->freetype);
		if (!pool || !unmapped_zone_allowed(r, zone))
			return NULL;
		r->fragments = r->order && unmapped_pool_is_scattered(pool);
		if (r->fragments)
			return unmapped_from_lists(r, pool, 0);
		return unmapped_from_zone(r, pool, WMARK_LOW);
	}

	page = unmapped_from_zones(r, WMARK_LOW);
	if (page)
		return page;

	if (r->refused)
		return NULL;
	unmapped_wake(r);

	page = unmapped_from_zones(r, WMARK_MIN);
	if (page)
		return page;

	if (!r->may_block || r->refused || fatal_signal_pending(current))
		return NULL;

	/* What lies on lists of its own is the request's own kind of memory */
	for_each_unmapped_pool(pool, zone, z, r) {
		if (!unmapped_drain_zone(zone))
			continue;
		page = unmapped_from_zone(r, pool, WMARK_MIN);
		if (page)
			return page;
	}

	if (unmapped_make_room(r)) {
		page = unmapped_from_zones(r, WMARK_MIN);
		if (page)
			return page;
	}
	return unmapped_try_harder(r);
}

/**
 * unmapped_alloc() - allocate memory with a property
 * @gfp: flags of the request
 * @order: its order
 * @alloc_flags: its flags, one of ALLOC_PROPERTIES among them
 * @ac: its context, with the nodes of its policy
 *
 * Refuses what no such memory is (movable, reclaimable), what cannot be
 * promised (__GFP_NOFAIL: a flip can fail), and everything on a machine that
 * cannot do it.
 *
 * Context: that of @gfp. Without __GFP_DIRECT_RECLAIM, and in reclaim, only what
 * is free already is had.
 * Return: page of @order, prepared, or NULL.
 */
struct page *unmapped_alloc(gfp_t gfp, unsigned int order,
			    unsigned int alloc_flags, struct alloc_context *ac)
{
	struct unmapped_request r = {
		.gfp		= gfp,
		.order		= order,
		.alloc_flags	= alloc_flags | ALLOC_CPUSET,
		.ac		= ac,
		.block_order	= max(order, pageblock_order),
		.may_block	= gfpflags_allow_blocking(gfp) &&
				  !(current->flags & PF_MEMALLOC),
	};
	struct unmapped_pool *pool;
	unsigned int cookie;
	struct page *page;

	if (WARN_ON_ONCE_GFP(gfp & (__GFP_NOFAIL | __GFP_MOVABLE |
				    __GFP_RECLAIMABLE), gfp))
		return NULL;
	/* No memory has two properties */
	if (WARN_ON_ONCE(!is_power_of_2(alloc_flags & ALLOC_PROPERTIES)))
		return NULL;
	if (!unmapped_available() || (alloc_flags & ALLOC_NOLOCK))
		return NULL;

	for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
		if (alloc_flags & freetype_properties[i].alloc_flag)
			r.freetype = freetype_from_index(MIGRATE_TYPES + i);
	}

	if (r.may_block) {
		might_sleep();
		VM_WARN_ON_ONCE(irqs_disabled());
	}

	do {
		cookie = read_mems_allowed_begin();
		ac->preferred_zoneref =
			first_zones_zonelist(ac->zonelist, ac->highest_zoneidx,
					     ac->nodemask);
		if (!zonelist_zone(ac->preferred_zoneref))
			return NULL;
		pool = unmapped_pool(zonelist_zone(ac->preferred_zoneref), r.freetype);
		if (pool)
			unmapped_pool_note_request(pool, gfp);
		page = unmapped_climb(&r);
	} while (!page && r.may_block && read_mems_allowed_retry(cookie));

	if (!page)
		warn_alloc(gfp, ac->nodemask,
			   "unmapped page allocation failure: order:%u", order);
	return page;
}
