// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which block is taken to be unmapped, and which one others have back.
 */
#include <kunit/static_stub.h>
#include <linux/compaction.h>
#include <linux/direct_map.h>
#include <linux/set_memory.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/unmapped.h>

#include "util.h"

/* Some blocks that cannot be flipped do not hide the others. */
static struct page *bad_blocks[3];
static unsigned int nr_bad;

static int fail_bad_blocks(struct unmapped_pool *pool, struct page *block)
{
	for (unsigned int i = 0; i < nr_bad; i++) {
		if (block == bad_blocks[i])
			return -EBUSY;
	}
	if (nr_bad < ARRAY_SIZE(bad_blocks)) {
		bad_blocks[nr_bad++] = block;
		return -EBUSY;
	}
	return freetype_property(pool->freetype)->apply(block);
}

static void take_tries_next(struct kunit *test)
{
	unsigned long fails;
	struct page *page;

	for (int round = 0; round < 3; round++) {
		LIST_HEAD(taken);

		ut_empty_pool(test, &taken);
		nr_bad = 0;
		fails = ut_event(UNMAPPED_FLIP_FAIL);
		kunit_activate_static_stub(test, unmapped_block_apply, fail_bad_blocks);
		page = ut_alloc(GFP_TEST | __GFP_NORETRY, 0);
		kunit_deactivate_static_stub(test, unmapped_block_apply);

		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_EXPECT_TRUE(test, page_unmapped(page));
		KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_FAIL) - fails,
				ARRAY_SIZE(bad_blocks));
		__free_page(page);
		ut_put_all(&taken);
		ut_expect_consistent(test);
	}
}

static int fail_always(struct unmapped_pool *pool, struct page *block)
{
	return -EBUSY;
}

/* What compaction captures for a request is a block for it to flip. */
static struct page *captured;

static struct page *take_nothing(struct unmapped_pool *pool, unsigned int order,
				 enum zone_type highest_zoneidx, unsigned long mark)
{
	return NULL;
}

static struct page *capture(struct zone *zone, unsigned int order, gfp_t gfp_mask,
			    int highest_zoneidx, bool *rescan)
{
	struct page *fixed[32], *page;
	unsigned int nr = 0;

	if (captured)
		return NULL;

	/* As in compaction: not what cannot be unmapped */
	guard(spinlock_irqsave)(&zone->lock);
	for (int mt = 0; mt < MIGRATE_PCPTYPES && !captured; mt++) {
		while (nr < ARRAY_SIZE(fixed) && !captured) {
			page = take_free_page(zone, order, freetype_plain(mt), true);
			if (!page)
				break;
			if (unmapped_block_fixed(page))
				fixed[nr++] = page;
			else
				captured = page;
		}
	}
	while (nr)
		put_free_blocks(zone, fixed[--nr], order);
	return captured;
}

static void take_captured(struct kunit *test)
{
	unsigned long unmapped, shootdowns;
	struct page *page;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	kunit_activate_static_stub(test, unmapped_take, take_nothing);
	kunit_activate_static_stub(test, compact_zone_for_block, capture);
	unmapped = global_zone_page_state(NR_UNMAPPED);

	captured = NULL;
	kunit_activate_static_stub(test, unmapped_block_apply, fail_always);
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST, 0));
	kunit_deactivate_static_stub(test, unmapped_block_apply);
	KUNIT_ASSERT_NOT_NULL(test, captured);
	KUNIT_EXPECT_TRUE(test, ut_readable(captured));
	KUNIT_EXPECT_FALSE(test, page_unmapped(captured));
	KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_UNMAPPED), unmapped);
	ut_expect_consistent(test);

	captured = NULL;
	shootdowns = ut_event(UNMAPPED_SHOOTDOWN);
	page = ut_alloc(GFP_TEST, 0);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN), shootdowns + 1);
	KUNIT_EXPECT_NOT_NULL(test, captured);
	KUNIT_EXPECT_PTR_EQ(test, page, captured);
	if (page) {
		KUNIT_EXPECT_TRUE(test, page_unmapped(page));
		KUNIT_EXPECT_FALSE(test, ut_readable(page));
		KUNIT_EXPECT_TRUE(test, ut_is_zero(test, page, 0));
		KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_UNMAPPED),
				unmapped + NR_BLOCK);
		__free_page(page);
	}
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static unsigned int nr_passes, nr_rescans;
static bool rescans;

static struct page *compact_in_vain(struct zone *zone, unsigned int order,
				    gfp_t gfp_mask, int highest_zoneidx, bool *rescan)
{
	nr_passes++;
	nr_rescans += *rescan;
	*rescan &= rescans;
	return NULL;
}

static unsigned int nr_reclaims;

static unsigned long reclaim_nothing(struct unmapped_request *r, unsigned long max,
				     struct zone *poor)
{
	nr_reclaims++;
	return 0;
}

static unsigned long reclaim_all(struct unmapped_request *r, unsigned long max,
				 struct zone *poor)
{
	nr_reclaims++;
	return max;
}

static bool tight;

static bool is_tight(struct unmapped_request *r)
{
	return tight;
}

/* Compaction that gets a block when something was reclaimed, or never */
static bool reclaim_helps;

static struct page *capture_after_reclaim(struct zone *zone, unsigned int order,
					  gfp_t gfp_mask, int highest_zoneidx,
					  bool *rescan)
{
	nr_passes++;
	return reclaim_helps && nr_reclaims && *rescan ?
		capture(zone, order, gfp_mask, highest_zoneidx, rescan) : NULL;
}

static void rescanned_long_ago(void)
{
	struct unmapped_pool *pool;
	struct zone *zone;

	for_each_populated_zone(zone) {
		pool = unmapped_pool(zone, freetype_make_unmapped());
		if (!pool)
			continue;
		guard(mutex)(&pool->compact_lock);
		pool->rescanned = jiffies - 2 * HZ;
		WRITE_ONCE(pool->gave_up, jiffies - 2 * HZ);
	}
}

static unsigned int nr_accepted, nr_taken_before;

static void accept_nothing(struct unmapped_pool *pool)
{
	nr_accepted++;
}

static struct page *take_accepted(struct unmapped_pool *pool, unsigned int order,
				  enum zone_type highest_zoneidx, unsigned long mark)
{
	nr_taken_before += !nr_accepted;
	return NULL;
}

/* Memory that a confidential guest has not accepted yet is on no free list. */
static void take_after_accepting(struct kunit *test)
{
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	kunit_activate_static_stub(test, unmapped_accept, accept_nothing);
	kunit_activate_static_stub(test, unmapped_take, take_accepted);
	kunit_activate_static_stub(test, compact_zone_for_block, compact_in_vain);
	kunit_activate_static_stub(test, unmapped_reclaim, reclaim_nothing);
	nr_accepted = 0;
	nr_taken_before = 0;
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST, 0));
	KUNIT_EXPECT_GT(test, nr_accepted, 0);
	KUNIT_EXPECT_EQ(test, nr_taken_before, 0);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* L7: who fails in a loop does not have all pageblocks looked at each time. */
static void take_rescans_rarely(struct kunit *test)
{
	const gfp_t gfp = GFP_TEST | __GFP_RETRY_MAYFAIL | __GFP_THISNODE;
	unsigned long began = jiffies;
	unsigned int first, passes;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	kunit_activate_static_stub(test, unmapped_take, take_nothing);
	kunit_activate_static_stub(test, compact_zone_for_block, compact_in_vain);
	kunit_activate_static_stub(test, unmapped_reclaim, reclaim_nothing);
	rescanned_long_ago();

	/* Another node has other zones */
	migrate_disable();
	nr_passes = 0;
	nr_rescans = 0;
	rescans = false;
	KUNIT_EXPECT_NULL(test, ut_alloc(gfp, 0));
	first = nr_rescans;
	passes = nr_passes;
	KUNIT_EXPECT_EQ(test, first, passes);
	/* It was not necessary: then the next one may, and that is the last */
	rescans = true;
	nr_rescans = 0;
	nr_passes = 0;
	KUNIT_EXPECT_NULL(test, ut_alloc(gfp, 0));
	KUNIT_EXPECT_EQ(test, nr_rescans, first);
	for (int i = 0; i < 100; i++)
		KUNIT_EXPECT_NULL(test, ut_alloc(gfp, 0));
	KUNIT_EXPECT_EQ(test, nr_passes, 101 * passes);
	/* One a second, and some where others need memory meanwhile */
	KUNIT_EXPECT_LE(test, nr_rescans, first * (10 + (jiffies - began) / HZ));

	/* Who has something to fall back to does not even once */
	rescanned_long_ago();
	nr_rescans = 0;
	KUNIT_EXPECT_NULL(test, ut_alloc(gfp & ~__GFP_RETRY_MAYFAIL, 0));
	KUNIT_EXPECT_EQ(test, nr_rescans, 0);
	migrate_enable();
	ut_put_all(&taken);
	if (!passes)
		kunit_skip(test, "memory is too short for compaction");
}

/*
 * Where compaction makes no block, who has nothing to fall back to has memory
 * reclaimed and tries again: some times, and then for a while not at all.
 */
static void take_tries_harder(struct kunit *test)
{
	const gfp_t gfp = GFP_TEST | __GFP_RETRY_MAYFAIL | __GFP_THISNODE;
	unsigned int once;
	struct page *page;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	kunit_activate_static_stub(test, unmapped_take, take_nothing);
	kunit_activate_static_stub(test, compact_zone_for_block, capture_after_reclaim);
	kunit_activate_static_stub(test, unmapped_reclaim, reclaim_all);
	kunit_activate_static_stub(test, unmapped_is_tight, is_tight);
	tight = true;
	migrate_disable();

	/* Somebody else has */
	rescanned_long_ago();
	nr_reclaims = 0;
	nr_passes = 0;
	KUNIT_EXPECT_NULL(test, ut_alloc(gfp & ~__GFP_RETRY_MAYFAIL, 0));
	once = nr_passes;
	KUNIT_EXPECT_EQ(test, nr_reclaims, 0);

	reclaim_helps = false;
	nr_reclaims = 0;
	nr_passes = 0;
	KUNIT_EXPECT_NULL(test, ut_alloc(gfp, 0));
	KUNIT_EXPECT_GT(test, nr_reclaims, 1);
	KUNIT_EXPECT_LT(test, nr_reclaims, 8);
	KUNIT_EXPECT_EQ(test, nr_passes, (nr_reclaims + 1) * once);
	/* L7: a loop does not cost others as much each time */
	nr_reclaims = 0;
	for (int i = 0; i < 100; i++)
		KUNIT_EXPECT_NULL(test, ut_alloc(gfp, 0));
	KUNIT_EXPECT_LT(test, nr_reclaims, 8);

	/* Much is free: it cannot help */
	tight = false;
	rescanned_long_ago();
	nr_reclaims = 0;
	KUNIT_EXPECT_NULL(test, ut_alloc(gfp, 0));
	KUNIT_EXPECT_EQ(test, nr_reclaims, 0);

	tight = true;
	reclaim_helps = true;
	captured = NULL;
	rescanned_long_ago();
	nr_reclaims = 0;
	page = ut_alloc(gfp, 0);
	KUNIT_EXPECT_EQ(test, nr_reclaims, 1);
	KUNIT_EXPECT_NOT_NULL(test, page);
	KUNIT_EXPECT_PTR_EQ(test, page, captured);
	migrate_enable();
	if (page)
		__free_page(page);
	ut_put_all(&taken);
	ut_expect_consistent(test);
	if (!once)
		kunit_skip(test, "memory is too short for compaction");
}

#ifdef CONFIG_X86_64
/* Make the direct map's entry of a block whole again, if nobody uses it. */
static void mend(struct page *block)
{
	unsigned long addr = (unsigned long)page_address(block);
	struct zone *zone = page_zone(block);
	int err;

	scoped_guard(spinlock_irqsave, &zone->lock) {
		if (!free_block_head(block) || page_unmapped(block))
			return;
		take_free_blocks(zone, block, pageblock_order);
	}
	err = set_memory_rox(addr, NR_BLOCK) ?: set_memory_nx(addr, NR_BLOCK) ?:
	      set_memory_rw(addr, NR_BLOCK);
	/* The processor sets the dirty bit that went away */
	kasan_disable_current();
	copy_to_kernel_nofault((void *)addr, &err, sizeof(err));
	kasan_enable_current();
	guard(spinlock_irqsave)(&zone->lock);
	put_free_blocks(zone, block, pageblock_order);
}

/*
 * L8: free blocks that cannot be flipped, all of them on the list that is looked
 * at first, hide none that can; and they are not tried.
 */
static void take_passes_over_fixed(struct kunit *test)
{
	const unsigned int order = MAX_PAGE_ORDER;
	unsigned int nr, fixed = 0;
	struct page *pages[64], *page;
	unsigned long fails;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	for (nr = 0; nr < ARRAY_SIZE(pages); nr++) {
		pages[nr] = alloc_pages(GFP_TEST | __GFP_NORETRY, order);
		if (!pages[nr])
			break;
	}
	KUNIT_EXPECT_GE(test, nr, 32);

	/* As modules and BPF programs leave them */
	for (unsigned int i = 0; i < nr; i++) {
		for (unsigned int j = 0; j < 1U << order; j += NR_BLOCK) {
			unsigned long addr = (unsigned long)page_address(pages[i] + j + 1);

			KUNIT_EXPECT_EQ(test, set_memory_ro(addr, 1), 0);
			KUNIT_EXPECT_EQ(test, set_memory_rw(addr, 1), 0);
			fixed += unmapped_block_fixed(pages[i] + j);
		}
	}
	KUNIT_EXPECT_EQ(test, fixed, nr << (order - pageblock_order));
	for (unsigned int i = 0; i < nr; i++)
		__free_pages(pages[i], order);

	fails = ut_event(UNMAPPED_FLIP_FAIL);
	for (int i = 0; i < 3; i++) {
		page = ut_alloc(GFP_TEST | __GFP_NORETRY, pageblock_order);
		KUNIT_EXPECT_NOT_NULL(test, page);
		if (!page)
			break;
		KUNIT_EXPECT_TRUE(test, page_unmapped(page));
		set_page_private(page, pageblock_order);
		list_add(&page->lru, &taken);
	}
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_FAIL), fails);
	ut_put_all(&taken);
	ut_expect_consistent(test);

	/* Leave the direct map as it was */
	for (unsigned int i = 0; i < nr; i++) {
		for (unsigned int j = 0; j < 1U << order; j += NR_BLOCK) {
			mend(pages[i] + j);
			fixed -= !unmapped_block_fixed(pages[i] + j);
		}
	}
	kunit_info(test, "%u blocks stay in pieces", fixed);
}
#endif

static bool give_back(struct zone *zone, unsigned int order)
{
	guard(spinlock_irqsave)(&zone->lock);
	return unmapped_give_back(zone, order, MIGRATE_UNMOVABLE);
}

/*
 * For more than a block, a single one is given back only where that makes it: the
 * pool is not emptied for a request that fails nevertheless.
 */
static void take_gives_back_what_helps(struct kunit *test)
{
	struct zoneref *z = first_zones_zonelist(node_zonelist(numa_mem_id(), GFP_KERNEL),
						 gfp_zone(GFP_KERNEL), NULL);
	struct zone *zone = zonelist_zone(z);
	struct unmapped_pool *pool = unmapped_pool(zone, freetype_make_unmapped());
	const unsigned int order = pageblock_order + 1;
	struct page *pair, *other;
	unsigned long remaps;
	LIST_HEAD(taken);

	if (pageblock_order == MAX_PAGE_ORDER)
		kunit_skip(test, "no request is larger than a block");

	ut_empty_pool(test, &taken);
	/* Two blocks that are buddies: one goes to the pool, one is in use */
	pair = unmapped_take(pool, order, zone_idx(zone), 0);
	KUNIT_ASSERT_NOT_NULL(test, pair);
	other = pair + NR_BLOCK;
	KUNIT_EXPECT_EQ(test, unmapped_block_prepare(pool, pair, pageblock_order), 0);
	KUNIT_EXPECT_EQ(test, unmapped_block_apply(pool, pair), 0);
	unmapped_block_flush(pool, pair, 1);
	KUNIT_EXPECT_TRUE(test, unmapped_block_erase(pool, pair, pageblock_order));
	KUNIT_EXPECT_PTR_EQ(test, unmapped_block_add(pool, pair, pageblock_order, false, -1), pair);

	remaps = ut_event(UNMAPPED_FLIP_REMAP);
	KUNIT_EXPECT_FALSE(test, give_back(zone, order));
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_REMAP), remaps);
	KUNIT_EXPECT_TRUE(test, page_unmapped(pair));

	unmapped_put(pool, other, pageblock_order);
	KUNIT_EXPECT_TRUE(test, give_back(zone, order));
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_REMAP) - remaps, 1);
	KUNIT_EXPECT_FALSE(test, page_unmapped(pair));
	KUNIT_EXPECT_TRUE(test, PageBuddy(pair) && buddy_order(pair) == order);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static void alloc_nolock(void *arg)
{
	*(struct page **)arg = alloc_pages_nolock(0, numa_mem_id(), pageblock_order);
}

/* L1: any context has a block back when nothing else is free. */
static void take_back_in_any_context(struct kunit *test)
{
	static const char * const names[] = { "task", "interrupts off", "NMI" };
	struct page *pool_pages[16] = {};
	bool ran;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE) || IS_ENABLED(CONFIG_PREEMPT_RT))
		kunit_skip(test, "no such request is for a whole block");

	for (int how = 0; how < ARRAY_SIZE(names); how++) {
		struct page *page = NULL;
		unsigned long remaps;
		LIST_HEAD(hidden);

		/* Enough to be above the watermarks with nothing else */
		for (int i = 0; i < ARRAY_SIZE(pool_pages); i++)
			pool_pages[i] = ut_alloc(GFP_TEST, MAX_PAGE_ORDER);
		for (int i = 0; i < ARRAY_SIZE(pool_pages); i++) {
			if (pool_pages[i])
				__free_pages(pool_pages[i], MAX_PAGE_ORDER);
		}
		ut_settle();

		ran = true;
		remaps = ut_event(UNMAPPED_FLIP_REMAP);
		ut_hide_plain_blocks(&hidden);
		if (how == 0)
			alloc_nolock(&page);
		else if (how == 1)
			smp_call_function_single(raw_smp_processor_id(),
						 alloc_nolock, &page, 1);
		else
			ran = ut_call_nmi(alloc_nolock, &page);
		ut_show_plain_blocks(&hidden);
		if (!ran)
			kunit_skip(test, "the machine delivers no NMI");

		KUNIT_EXPECT_NOT_NULL_MSG(test, page, "%s", names[how]);
		if (page) {
			KUNIT_EXPECT_FALSE(test, page_unmapped(page));
			KUNIT_EXPECT_TRUE(test, ut_readable(page));
			KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0,
							   PAGE_SIZE << pageblock_order));
			__free_pages(page, pageblock_order);
		}
		KUNIT_EXPECT_GE(test, ut_event(UNMAPPED_FLIP_REMAP) - remaps, 1);
		ut_expect_consistent(test);
	}
}

/* Where blocks are not grouped by mobility, what is given back is unmovable. */
static void take_without_grouping(struct kunit *test)
{
	const int disabled = page_group_by_mobility_disabled;
	struct page *page = ut_alloc(GFP_TEST, pageblock_order);
	enum migratetype mt;
	struct zone *zone;

	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	__free_pages(page, pageblock_order);
	ut_settle();

	scoped_guard(spinlock_irqsave, &zone->lock) {
		page_group_by_mobility_disabled = 1;
		unmapped_make_plain(zone, page);
		mt = freetype_index(get_pageblock_freetype(page));
		page_group_by_mobility_disabled = disabled;
	}
	KUNIT_EXPECT_EQ(test, (int)mt, MIGRATE_UNMOVABLE);
	KUNIT_EXPECT_FALSE(test, page_unmapped(page));
	ut_expect_consistent(test);
}

static struct kunit_case take_test_cases[] = {
	KUNIT_CASE(take_tries_next),
	KUNIT_CASE(take_captured),
	KUNIT_CASE(take_after_accepting),
	KUNIT_CASE(take_rescans_rarely),
	KUNIT_CASE(take_tries_harder),
#ifdef CONFIG_X86_64
	KUNIT_CASE_SLOW(take_passes_over_fixed),
#endif
	KUNIT_CASE(take_gives_back_what_helps),
	KUNIT_CASE(take_back_in_any_context),
	KUNIT_CASE(take_without_grouping),
	{}
};

static struct kunit_suite take_test_suite = {
	.name = "unmapped_take",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = take_test_cases,
};

kunit_test_suite(take_test_suite);

MODULE_DESCRIPTION("Which blocks are unmapped and given back");
MODULE_LICENSE("GPL");
