// SPDX-License-Identifier: GPL-2.0-only
/*
 * Blocks that share a shootdown: how many they are, that they are erased before
 * anybody has a page of them, and that the worker gives way.
 */
#include <kunit/static_stub.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/unmapped.h>

#include "util.h"

#define PATTERN	0x5a

static struct unmapped_pool *preferred_pool(struct kunit *test)
{
	struct page *page = ut_alloc(GFP_TEST, 0);
	struct unmapped_pool *pool;

	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = ut_pool(page);
	__free_page(page);
	return pool;
}

static unsigned int next(struct unmapped_pool *pool)
{
	guard(mutex)(&pool->flip_lock);
	return unmapped_batch_next(pool);
}

/* More each time, and few again when there was no demand, or others were in need. */
static void batch_grows(struct kunit *test)
{
	struct unmapped_pool *pool = preferred_pool(test);
	static const unsigned int want[] = { 1, 4, 16, 32, 32 };

	if (zone_page_state(pool->zone, NR_FREE_PAGES_BLOCKS) < 4 * 32 * NR_BLOCK)
		kunit_skip(test, "the zone has not blocks enough");

	WRITE_ONCE(sysctl_unmapped_pool_blocks, 8);
	WRITE_ONCE(pool->last_pressed, jiffies - HZ);
	pool->batch = 0;
	for (int i = 0; i < ARRAY_SIZE(want); i++)
		KUNIT_EXPECT_EQ(test, next(pool), want[i]);

	pool->last_flip = jiffies - 60 * HZ;
	KUNIT_EXPECT_EQ(test, next(pool), 1);
	KUNIT_EXPECT_EQ(test, next(pool), 4);
	pool->last_flip = jiffies - HZ / 2;
	unmapped_pool_note_pressure(pool);
	KUNIT_EXPECT_EQ(test, next(pool), 1);

	/* Nothing in advance */
	WRITE_ONCE(pool->last_pressed, jiffies - HZ);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
	for (int i = 0; i < ARRAY_SIZE(want); i++)
		KUNIT_EXPECT_EQ(test, next(pool), 1);
	pool->batch = 0;
}

/* Blocks that hold something, for unmapped_take() */
static struct page *filled[2];

static struct page *take_filled(struct unmapped_pool *pool, unsigned int order,
				enum zone_type highest_zoneidx, unsigned long mark)
{
	for (int i = 0; i < ARRAY_SIZE(filled); i++) {
		struct page *page = filled[i];

		filled[i] = NULL;
		if (page)
			return page;
	}
	return NULL;
}

/* Two blocks with something in them, unmapped as they are: all that is free. */
static struct unmapped_pool *flip_filled(struct kunit *test, struct page **blocks,
					 struct list_head *taken)
{
	struct unmapped_pool *pool = preferred_pool(test);
	struct unmapped_batch batch = {};

	ut_empty_pool(test, taken);
	for (int i = 0; i < ARRAY_SIZE(filled); i++) {
		/* Once without a watermark: it is for a moment */
		blocks[i] = unmapped_take(pool, pageblock_order, zone_idx(pool->zone), 0);
		KUNIT_ASSERT_NOT_NULL(test, blocks[i]);
		kasan_disable_current();
		memset(page_address(blocks[i]), PATTERN, pageblock_nr_pages * PAGE_SIZE);
		kasan_enable_current();
		filled[i] = blocks[i];
	}

	kunit_activate_static_stub(test, unmapped_take, take_filled);
	scoped_guard(mutex, &pool->flip_lock) {
		unmapped_batch_apply(pool, &batch, ARRAY_SIZE(filled),
				     zone_idx(pool->zone), 0);
		KUNIT_EXPECT_EQ(test, batch.nr, ARRAY_SIZE(filled));
		unmapped_batch_flush(pool, &batch);
		KUNIT_EXPECT_EQ(test, unmapped_batch_add(pool, &batch), ARRAY_SIZE(filled));
	}
	kunit_deactivate_static_stub(test, unmapped_take);
	KUNIT_EXPECT_EQ(test, pool->nr_unerased, ARRAY_SIZE(filled));
	for (int i = 0; i < ARRAY_SIZE(filled); i++) {
		KUNIT_EXPECT_TRUE(test, page_unmapped(blocks[i]));
		KUNIT_EXPECT_FALSE(test, ut_readable(blocks[i]));
	}
	ut_expect_consistent(test);
	return pool;
}

/* Who may not block has nothing of it, and nobody has anything that is not zero. */
static void batch_erased_before_use(struct kunit *test)
{
	struct page *blocks[ARRAY_SIZE(filled)], *pages[2];
	unsigned long shootdowns;
	struct unmapped_pool *pool;
	LIST_HEAD(taken);

	pool = flip_filled(test, blocks, &taken);
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_ATOMIC | __GFP_NOWARN, 0));
	KUNIT_EXPECT_EQ(test, pool->nr_unerased, 2);

	/* One block is erased, and broken up; the other one is wanted as a whole */
	shootdowns = ut_event(UNMAPPED_SHOOTDOWN);
	migrate_disable();
	pages[0] = ut_alloc(GFP_TEST, 0);
	KUNIT_EXPECT_EQ(test, pool->nr_unerased, 1);
	pages[1] = ut_alloc(GFP_TEST, pageblock_order);
	migrate_enable();
	KUNIT_EXPECT_EQ(test, pool->nr_unerased, 0);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN), shootdowns);
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
		KUNIT_EXPECT_TRUE(test, ut_is_zero(test, pages[i], i ? pageblock_order : 0));
		__free_pages(pages[i], i ? pageblock_order : 0);
	}
	ut_put_all(&taken);

	/* All the rest is zero, too */
	ut_empty_pool(test, &taken);
	for (int i = 0; i < ARRAY_SIZE(blocks); i++) {
		struct page *page = blocks[i];

		KUNIT_EXPECT_TRUE(test, ut_on_list(&taken, page));
		KUNIT_EXPECT_TRUE(test, ut_is_zero(test, page, pageblock_order));
	}
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* Erasing fails, and then nobody has the block; later it works. */
static bool cannot_zero(struct unmapped_pool *pool, struct page *page, unsigned int order)
{
	return false;
}

static void batch_not_erased(struct kunit *test)
{
	struct page *blocks[ARRAY_SIZE(filled)], *page;
	struct unmapped_pool *pool;
	LIST_HEAD(taken);

	pool = flip_filled(test, blocks, &taken);
	kunit_activate_static_stub(test, unmapped_block_erase, cannot_zero);
	/* Without __GFP_IO nothing is compacted, which erases for itself */
	page = ut_alloc(GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN, 0);
	kunit_deactivate_static_stub(test, unmapped_block_erase);
	KUNIT_EXPECT_NULL(test, page);
	if (page)
		__free_page(page);
	KUNIT_EXPECT_GE(test, pool->nr_unerased, ARRAY_SIZE(filled));
	ut_expect_consistent(test);
	ut_put_all(&taken);
	ut_empty_pool(test, &taken);
	ut_put_all(&taken);
}

struct whole {
	struct work_struct work;
	struct completion done;
	struct page *page;
};

static void whole_fn(struct work_struct *work)
{
	struct whole *w = container_of(work, struct whole, work);

	w->page = ut_alloc(GFP_TEST, pageblock_order);
	complete(&w->done);
}

/* Others may break up blocks: who gets one as a whole leaves nothing for them. */
static void batch_whole_waits_for_nobody(struct kunit *test)
{
	struct unmapped_pool *pool = preferred_pool(test);
	struct whole w = {};
	LIST_HEAD(taken);
	int nr = 0;

	ut_empty_pool(test, &taken);
	while (!down_trylock(&pool->broken))
		nr++;
	init_completion(&w.done);
	INIT_WORK_ONSTACK(&w.work, whole_fn);
	schedule_work(&w.work);
	KUNIT_EXPECT_NE(test, wait_for_completion_timeout(&w.done, 5 * HZ), 0);
	while (nr--)
		up(&pool->broken);
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	KUNIT_EXPECT_NOT_NULL(test, w.page);
	if (w.page)
		__free_pages(w.page, pageblock_order);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static unsigned int parts_erased;

static bool count_part(struct unmapped_pool *pool, struct page *page, unsigned int order)
{
	parts_erased++;
	return true;
}

static int spin(void *unused)
{
	while (!kthread_should_stop())
		cond_resched();
	return 0;
}

/* The worker erases for later: nobody waits for a processor because of it. */
static void batch_gives_way(struct kunit *test)
{
	struct unmapped_pool *pool = preferred_pool(test);
	struct task_struct *other;
	int cpu = cpumask_last(cpu_online_mask);
	bool done = false;

	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(cpu)), 0);
	kunit_activate_static_stub(test, unmapped_block_erase, count_part);
	/* There may be others for a moment */
	for (int i = 0; i < 100 && !done; i++) {
		usleep_range(1000, 2000);
		parts_erased = 0;
		done = unmapped_pool_erase_block(pool, NULL);
	}
	KUNIT_EXPECT_TRUE(test, done);
	KUNIT_EXPECT_GT(test, parts_erased, 1);

	other = kthread_run_on_cpu(spin, NULL, cpu, "unmapped_spin/%u");
	if (!IS_ERR(other)) {
		parts_erased = 0;
		KUNIT_EXPECT_FALSE(test, unmapped_pool_erase_block(pool, NULL));
		KUNIT_EXPECT_EQ(test, parts_erased, 0);
		kthread_stop(other);
	}
	kunit_deactivate_static_stub(test, unmapped_block_erase);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	KUNIT_EXPECT_FALSE(test, IS_ERR(other));
}

/* Given back, they are ordinary memory as they were. */
static void batch_given_back(struct kunit *test)
{
	struct page *blocks[ARRAY_SIZE(filled)];
	struct unmapped_pool *pool;
	LIST_HEAD(taken);

	pool = flip_filled(test, blocks, &taken);
	KUNIT_EXPECT_EQ(test, unmapped_let_go(pool, 2), 2);
	KUNIT_EXPECT_EQ(test, pool->nr_unerased, 0);
	for (int i = 0; i < ARRAY_SIZE(blocks); i++) {
		KUNIT_EXPECT_FALSE(test, page_unmapped(blocks[i]));
		KUNIT_EXPECT_FALSE(test, get_pageblock_unerased(blocks[i]));
		KUNIT_EXPECT_TRUE(test, ut_readable(blocks[i]));
	}
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

#ifdef CONFIG_MEMORY_FAILURE
/* A page is taken out of such a block: the rest is not taken for zero. */
static void batch_poisoned(struct kunit *test)
{
	struct page *blocks[ARRAY_SIZE(filled)], *page;
	struct unmapped_pool *pool;
	LIST_HEAD(taken);

	pool = flip_filled(test, blocks, &taken);
	page = blocks[0] + 3;
	SetPageHWPoison(page);
	KUNIT_EXPECT_TRUE(test, take_page_off_buddy(page));
	KUNIT_EXPECT_FALSE(test, page_unmapped(page));
	KUNIT_EXPECT_EQ(test, pool->nr_unerased, 1);
	KUNIT_EXPECT_TRUE(test, page_unmapped(blocks[1]));
	ut_expect_consistent(test);

	page_ref_inc(page);
	KUNIT_EXPECT_TRUE(test, put_page_back_buddy(page));
	ut_put_all(&taken);
	ut_empty_pool(test, &taken);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}
#endif

static struct kunit_case batch_test_cases[] = {
	KUNIT_CASE(batch_grows),
	KUNIT_CASE(batch_erased_before_use),
	KUNIT_CASE(batch_not_erased),
	KUNIT_CASE(batch_gives_way),
	KUNIT_CASE(batch_whole_waits_for_nobody),
	KUNIT_CASE(batch_given_back),
#ifdef CONFIG_MEMORY_FAILURE
	KUNIT_CASE(batch_poisoned),
#endif
	{}
};

static struct kunit_suite batch_test_suite = {
	.name = "unmapped_batch",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = batch_test_cases,
};

kunit_test_suite(batch_test_suite);

MODULE_DESCRIPTION("Blocks that share a shootdown, and are erased later");
MODULE_LICENSE("GPL");
