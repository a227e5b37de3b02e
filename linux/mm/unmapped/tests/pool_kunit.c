// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool of free blocks: who fills it, who lets go of it, what is counted; and
 * the per-CPU lists in front of it.
 */
#include <kunit/static_stub.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/unmapped.h>
#include <linux/workqueue.h>

#include "util.h"

static unsigned long free_blocks(struct zone *zone)
{
	return zone_page_state(zone, NR_FREE_UNMAPPED_WHOLE) >> pageblock_order;
}

/* Wait until the zone has so many free unmapped blocks at least, that are erased. */
static bool wait_for_pool(struct zone *zone, unsigned long min)
{
	struct unmapped_pool *pool = unmapped_pool(zone, freetype_make_unmapped());

	for (int i = 0; i < 100; i++) {
		if (free_blocks(zone) >= min + READ_ONCE(pool->nr_unerased))
			return true;
		msleep(100);
	}
	return false;
}

/*
 * A request is demand: blocks are unmapped in advance, with less shootdowns than
 * blocks, and who may not block finds them. Without demand they are let go.
 */
static void pool_follows_demand(struct kunit *test)
{
	const gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN;
	unsigned long flips, shootdowns, target;
	struct page *page, *pages[4];
	struct unmapped_pool *pool;
	struct zone *zone;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 8);
	ut_worker(true);
	page = ut_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	pool = ut_pool(page);
	target = min(8, zone_managed_pages(zone) / 64 / NR_BLOCK);
	KUNIT_ASSERT_GT(test, target, 3);
	KUNIT_EXPECT_TRUE(test, wait_for_pool(zone, target));

	/* Take all of it, to see what filling it again costs */
	ut_put_all(&taken);
	flips = ut_event(UNMAPPED_FLIP_UNMAP);
	shootdowns = ut_event(UNMAPPED_SHOOTDOWN);
	ut_empty_pool(test, &taken);
	KUNIT_EXPECT_TRUE(test, wait_for_pool(zone, target));
	flips = ut_event(UNMAPPED_FLIP_UNMAP) - flips;
	shootdowns = ut_event(UNMAPPED_SHOOTDOWN) - shootdowns;
	kunit_info(test, "%lu blocks with %lu shootdowns", flips, shootdowns);
	KUNIT_EXPECT_GE(test, flips, target);
	KUNIT_EXPECT_LE(test, shootdowns, flips / 2);

	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = ut_alloc(gfp, i ? PAGE_ALLOC_COSTLY_ORDER + 1 : 0);
		KUNIT_EXPECT_NOT_NULL(test, pages[i]);
	}
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		if (pages[i])
			__free_pages(pages[i], i ? PAGE_ALLOC_COSTLY_ORDER + 1 : 0);
	}
	__free_page(page);
	ut_put_all(&taken);
	ut_expect_consistent(test);

	/* As if nobody had asked for a long time */
	KUNIT_EXPECT_GT(test, free_blocks(zone), 0);
	for (int i = 0; i < 100 && free_blocks(zone); i++) {
		WRITE_ONCE(pool->last_used, jiffies - 3600 * HZ);
		mod_delayed_work(system_dfl_wq, &pool->work, 0);
		msleep(20);
	}
	KUNIT_EXPECT_EQ(test, free_blocks(zone), 0);
	ut_expect_consistent(test);
	ut_worker(false);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
}

/* The worker's look at a pool, now and here */
static void look(struct unmapped_pool *pool)
{
	/* Somebody asked just now */
	WRITE_ONCE(pool->last_used, jiffies);
	pool->work.work.func(&pool->work.work);
}

static void use_blocks(struct list_head *used, unsigned int nr)
{
	struct page *page;

	/* Another node has other zones */
	migrate_disable();
	for (unsigned int i = 0; i < nr; i++) {
		page = ut_alloc(GFP_TEST, pageblock_order);
		if (!page)
			break;
		set_page_private(page, pageblock_order);
		list_add(&page->lru, used);
	}
	migrate_enable();
}

/*
 * Blocks that were needed since the worker's last look are kept while there is
 * demand, even if all of them are free when it looks.
 */
static void pool_keeps_what_is_needed(struct kunit *test)
{
	const unsigned int nr = 8;
	unsigned int nr_here = 0;
	struct unmapped_pool *pool;
	struct page *page;
	struct zone *zone;
	LIST_HEAD(taken);
	LIST_HEAD(used);

	/* Should a case before this one have failed */
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
	ut_worker(false);
	ut_empty_pool(test, &taken);
	use_blocks(&used, nr);
	page = list_first_entry_or_null(&used, struct page, lru);
	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	pool = ut_pool(page);
	list_for_each_entry(page, &used, lru) {
		if (page_zone(page) == zone)
			nr_here++;
	}
	if (nr_here < nr) {
		ut_put_all(&used);
		ut_put_all(&taken);
		kunit_skip(test, "no zone has %u blocks", nr);
	}
	look(pool);

	/* All of them were in use since then */
	ut_put_all(&used);
	KUNIT_ASSERT_EQ(test, free_blocks(zone), nr);
	look(pool);
	KUNIT_EXPECT_EQ(test, free_blocks(zone), nr);

	/* All but two */
	use_blocks(&used, nr - 2);
	ut_put_all(&used);
	look(pool);
	KUNIT_EXPECT_LT(test, free_blocks(zone), nr);
	KUNIT_EXPECT_GE(test, free_blocks(zone), nr - 2);

	/* None was */
	look(pool);
	look(pool);
	KUNIT_EXPECT_EQ(test, free_blocks(zone), 0);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static bool wants_processor(struct unmapped_pool *pool, struct page *page,
			    unsigned int order)
{
	return false;
}

/* Who gives way to others goes on when they are done, not when he looks next. */
static void pool_erases_soon(struct kunit *test)
{
	struct unmapped_pool *pool;
	unsigned long limit;
	struct page *page;
	struct zone *zone;
	LIST_HEAD(taken);

	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
	ut_worker(false);
	ut_empty_pool(test, &taken);
	page = ut_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = ut_pool(page);
	zone = page_zone(page);

	ut_worker(true);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 2);
	/* The tests before had blocks taken back: nothing would be unmapped yet */
	WRITE_ONCE(pool->last_pressed, jiffies - HZ);
	kunit_activate_static_stub(test, unmapped_block_erase, wants_processor);
	look(pool);
	limit = jiffies + HZ / 2;
	/* Unless the worker has done it since */
	KUNIT_EXPECT_TRUE(test, !delayed_work_pending(&pool->work) ||
			  time_before(READ_ONCE(pool->work.timer.expires), limit));
	kunit_deactivate_static_stub(test, unmapped_block_erase);
	KUNIT_EXPECT_TRUE(test, wait_for_pool(zone, 2));

	ut_worker(false);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
	__free_page(page);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static int fail_apply(struct unmapped_pool *pool, struct page *block)
{
	return -EBUSY;
}

/* A flip may have split a 1 GiB entry before it failed: the worker has to know. */
static void pool_mends_after_failure(struct kunit *test)
{
	struct unmapped_pool *pool;
	struct page *page;
	LIST_HEAD(taken);

	page = ut_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = ut_pool(page);
	__free_page(page);

	ut_empty_pool(test, &taken);
	clear_bit(UNMAPPED_POOL_MEND, &pool->flags);
	kunit_activate_static_stub(test, unmapped_block_apply, fail_apply);
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST | __GFP_NORETRY, 0));
	kunit_deactivate_static_stub(test, unmapped_block_apply);
	KUNIT_EXPECT_TRUE(test, test_bit(UNMAPPED_POOL_MEND, &pool->flags));

	/* It mends what there is to mend, and then finds nothing more */
	WRITE_ONCE(pool->last_used, jiffies - 3600 * HZ);
	for (int i = 0; i < 64 && test_bit(UNMAPPED_POOL_MEND, &pool->flags); i++)
		pool->work.work.func(&pool->work.work);
	KUNIT_EXPECT_FALSE(test, test_bit(UNMAPPED_POOL_MEND, &pool->flags));

	/* Who isolates a block has it back: that may have been the last one */
	ut_put_all(&taken);
	page = ut_alloc(GFP_TEST, pageblock_order);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = ut_pool(page);
	__free_pages(page, pageblock_order);
	ut_settle();
	clear_bit(UNMAPPED_POOL_MEND, &pool->flags);
	scoped_guard(spinlock_irqsave, &pool->zone->lock)
		KUNIT_EXPECT_TRUE(test, unmapped_make_plain(pool->zone, page));
	KUNIT_EXPECT_TRUE(test, test_bit(UNMAPPED_POOL_MEND, &pool->flags));
	ut_expect_consistent(test);
}

/* What a flow is expected to change in a zone, in pages */
struct delta {
	long free, partial, whole, unmapped;
};

static void read_counters(struct zone *zone, struct delta *d)
{
	guard(spinlock_irqsave)(&zone->lock);
	d->free = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED);
	d->whole = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED_WHOLE);
	d->unmapped = zone_page_state_snapshot(zone, NR_UNMAPPED);
	d->partial = zone->nr_free_partial;
}

static void expect_delta(struct kunit *test, struct zone *zone,
			 const struct delta *before, struct delta expected,
			 const char *what)
{
	struct delta now;

	ut_expect_consistent(test);
	read_counters(zone, &now);
	KUNIT_EXPECT_EQ_MSG(test, now.free - before->free, expected.free, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, now.partial - before->partial, expected.partial,
			    "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, now.whole - before->whole, expected.whole, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, now.unmapped - before->unmapped, expected.unmapped,
			    "%s", what);
}

/* L2: what is partly free, what is wholly free, and what is not free is exact. */
static void pool_accounts(struct kunit *test)
{
	const long nr = NR_BLOCK;
	struct unmapped_pool *pool;
	struct page *page, *block;
	struct delta before;
	struct zone *zone;
	LIST_HEAD(taken);

	/* Where a block comes from is the zone that is watched */
	page = ut_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	pool = ut_pool(page);
	__free_page(page);

	ut_empty_pool(test, &taken);
	ut_expect_consistent(test);
	read_counters(zone, &before);

	page = ut_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_PTR_EQ(test, page_zone(page), zone);
	expect_delta(test, zone, &before,
		     (struct delta){ nr - 1, nr - 1, 0, nr }, "one page in use");
	block = ut_alloc(GFP_TEST, pageblock_order);
	KUNIT_ASSERT_NOT_NULL(test, block);
	expect_delta(test, zone, &before,
		     (struct delta){ nr - 1, nr - 1, 0, 2 * nr }, "and a block");
	__free_page(page);
	expect_delta(test, zone, &before,
		     (struct delta){ nr, 0, nr, 2 * nr }, "a block in use");
	__free_pages(block, pageblock_order);
	expect_delta(test, zone, &before,
		     (struct delta){ 2 * nr, 0, 2 * nr, 2 * nr }, "two blocks free");

	KUNIT_EXPECT_EQ(test, unmapped_let_go(pool, 1), 1);
	expect_delta(test, zone, &before,
		     (struct delta){ nr, 0, nr, nr }, "one let go");
	KUNIT_EXPECT_EQ(test, unmapped_let_go(pool, 2), 1);
	expect_delta(test, zone, &before, (struct delta){}, "none left");
	KUNIT_EXPECT_EQ(test, unmapped_let_go(pool, 1), 0);

	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* All that the CPUs hold, and whether one of them holds too much */
static unsigned int pcp_pages(struct unmapped_pool *pool, bool *over)
{
	unsigned int nr = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		int count = unmapped_pcp_count(pool, cpu);

		*over |= count < 0 || count > UNMAPPED_PCP_MAX;
		nr += count;
	}
	return nr;
}

/* Per-CPU lists are short, whatever comes, and a drain makes blocks whole. */
static void pool_pcp_is_bounded(struct kunit *test)
{
	static struct page *pages[4 * UNMAPPED_PCP_MAX];
	struct unmapped_pool *pool;
	unsigned int most = 0;
	bool over = false;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	migrate_disable();
	for (int i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = ut_alloc(GFP_TEST, 0);
	pool = ut_pool(pages[0]);
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		if (pages[i])
			__free_page(pages[i]);
		most = max(most, pcp_pages(pool, &over));
	}
	KUNIT_EXPECT_GE(test, most, UNMAPPED_PCP_MAX / 2);

	/* They are full of single pages: now all other orders */
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = ut_alloc(GFP_TEST, i % (PAGE_ALLOC_COSTLY_ORDER + 1));
		pcp_pages(pool, &over);
	}
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		if (pages[i])
			__free_pages(pages[i], i % (PAGE_ALLOC_COSTLY_ORDER + 1));
		pcp_pages(pool, &over);
	}
	migrate_enable();
	KUNIT_EXPECT_FALSE(test, over);

	KUNIT_EXPECT_GT(test, pcp_pages(pool, &over), 0);
	KUNIT_EXPECT_GT(test, pool->nr_partial, 0);
	KUNIT_EXPECT_TRUE(test, unmapped_pcp_drain(pool));
	KUNIT_EXPECT_EQ(test, pcp_pages(pool, &over), 0);
	KUNIT_EXPECT_FALSE(test, unmapped_pcp_drain(pool));
	KUNIT_EXPECT_EQ(test, pool->nr_partial, 0);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* A block that only per-CPU lists keep is had back before anything is reclaimed. */
static void pool_pcp_is_drained(struct kunit *test)
{
	struct alloc_context ac = {
		.zonelist = node_zonelist(numa_mem_id(), GFP_KERNEL),
		.highest_zoneidx = gfp_zone(GFP_KERNEL),
	};
	struct unmapped_pool *pool;
	struct page *page, *block;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	/* One page of a block, and what was taken with it */
	page = ut_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = ut_pool(page);
	block = pfn_to_page(pageblock_start_pfn(page_to_pfn(page)));
	__free_page(page);
	KUNIT_EXPECT_LT(test, pool->nr_partial, NR_BLOCK);
	KUNIT_EXPECT_EQ(test, pool->nr_free[pageblock_order], 0);

	KUNIT_EXPECT_TRUE(test, unmapped_drain(&ac));
	KUNIT_EXPECT_EQ(test, pool->nr_free[pageblock_order], 1);
	KUNIT_EXPECT_TRUE(test, PageBuddy(block));
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static long free_some_here(void *arg)
{
	struct page *pages[UNMAPPED_PCP_MAX / 2];

	for (int i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = ut_alloc(GFP_TEST, 0);
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		*(struct page **)arg = pages[i];
		if (pages[i])
			__free_page(pages[i]);
	}
	return 0;
}

/* What lies on the lists of a CPU that goes away is free. */
static void pool_pcp_hotplug(struct kunit *test)
{
#ifdef CONFIG_HOTPLUG_CPU
	const int cpu = cpumask_last(cpu_online_mask);
	struct unmapped_pool *pool;
	struct page *page = NULL;

	if (num_online_cpus() < 2 || !cpu_is_hotpluggable(cpu))
		kunit_skip(test, "no CPU can go away");

	ut_settle();
	work_on_cpu(cpu, free_some_here, &page);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = ut_pool(page);
	KUNIT_EXPECT_GT(test, unmapped_pcp_count(pool, cpu), 0);

	if (remove_cpu(cpu))
		kunit_skip(test, "CPU %d stays", cpu);
	KUNIT_EXPECT_EQ(test, unmapped_pcp_count(pool, cpu), 0);
	ut_expect_consistent(test);
	KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
#else
	kunit_skip(test, "no CPU can go away");
#endif
}

static struct kunit_case pool_test_cases[] = {
	KUNIT_CASE_SLOW(pool_follows_demand),
	KUNIT_CASE(pool_keeps_what_is_needed),
	KUNIT_CASE(pool_erases_soon),
	KUNIT_CASE(pool_mends_after_failure),
	KUNIT_CASE(pool_accounts),
	KUNIT_CASE(pool_pcp_is_bounded),
	KUNIT_CASE(pool_pcp_is_drained),
	KUNIT_CASE_SLOW(pool_pcp_hotplug),
	{}
};

static struct kunit_suite pool_test_suite = {
	.name = "unmapped_pool",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = pool_test_cases,
};

kunit_test_suite(pool_test_suite);

MODULE_DESCRIPTION("The pool of unmapped blocks");
MODULE_LICENSE("GPL");
