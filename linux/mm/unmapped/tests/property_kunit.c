// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory with the property of property.c goes through the allocator's whole life:
 * nothing outside its row and its functions knows it.
 */
#include <kunit/static_stub.h>
#include <linux/delay.h>
#include <linux/direct_map.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/pgtable.h>
#include <linux/unmapped.h>
#include <linux/workqueue.h>

#include "util.h"

static freetype_t test_ft(void)
{
	return freetype_from_index(FREETYPE_LIST_TEST);
}

static struct page *test_alloc(gfp_t gfp, unsigned int order)
{
	return ut_alloc_property(test_ft(), gfp, order);
}

static struct unmapped_pool *test_pool(struct page *page)
{
	return unmapped_pool(page_zone(page), test_ft());
}

static struct page *block_of(struct page *page)
{
	return pfn_to_page(pageblock_start_pfn(page_to_pfn(page)));
}

static bool has_property(struct page *page)
{
	return freetype_eq(get_pageblock_freetype(page), test_ft()) &&
	       test_property_applied(block_of(page));
}

static u64 entry_of(struct page *block)
{
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)page_address(block), &level);

	return pte ? pte_val(*pte) : 0;
}

/* A block whose pages are all free, and have the property. */
static struct page *free_block(struct kunit *test)
{
	struct page *block = test_alloc(GFP_TEST, pageblock_order);

	KUNIT_ASSERT_NOT_NULL(test, block);
	__free_pages(block, pageblock_order);
	ut_settle();
	return block;
}

static void let_all_go(struct kunit *test)
{
	struct zone *zone;

	ut_settle();
	for_each_populated_zone(zone) {
		struct unmapped_pool *pool = unmapped_pool(zone, test_ft());

		if (!pool)
			continue;
		unmapped_let_go(pool, UINT_MAX);
		KUNIT_EXPECT_EQ(test, pool->nr_pages, 0);
		KUNIT_EXPECT_EQ(test, pool->nr_partial, 0);
	}
	ut_expect_consistent(test);
}

/* Request, block, split, page, free, list, reuse, let go, plain. */
static void property_life(struct kunit *test)
{
	struct page *page, *again, *block;
	unsigned long shootdowns, unmapped, flips;
	struct unmapped_pool *pool;
	u64 entry;

	let_all_go(test);
	shootdowns = ut_event(UNMAPPED_SHOOTDOWN);
	flips = ut_event(UNMAPPED_FLIP_UNMAP);
	unmapped = global_zone_page_state(NR_UNMAPPED);

	page = test_alloc(GFP_TEST | __GFP_ZERO, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = test_pool(page);
	block = block_of(page);
	KUNIT_EXPECT_TRUE(test, has_property(page));
	KUNIT_EXPECT_FALSE(test, page_unmapped(page));
	KUNIT_EXPECT_TRUE(test, ut_readable(page));
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0, PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN) - shootdowns, 1);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_UNMAP) - flips, 1);
	ut_expect_consistent(test);
	KUNIT_EXPECT_EQ(test, pool->nr_pages, NR_BLOCK);
	KUNIT_EXPECT_EQ(test, pool->nr_partial, NR_BLOCK - 1);

	/* What is left of the block serves the next, and is zeroed if that is asked for */
	memset(page_address(page), 0x5a, PAGE_SIZE);
	__free_page(page);
	for (int i = 0; i < 2; i++) {
		again = test_alloc(GFP_TEST | __GFP_ZERO, i);
		KUNIT_ASSERT_NOT_NULL(test, again);
		KUNIT_EXPECT_PTR_EQ(test, block_of(again), block);
		KUNIT_EXPECT_NULL(test, memchr_inv(page_address(again), 0, PAGE_SIZE << i));
		__free_pages(again, i);
	}
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN) - shootdowns, 1);

	/* Wholly free, it is of no use to others as yet */
	ut_expect_consistent(test);
	KUNIT_EXPECT_EQ(test, pool->nr_free[pageblock_order], 1);
	KUNIT_EXPECT_EQ(test, pool->nr_partial, NR_BLOCK);

	KUNIT_EXPECT_EQ(test, unmapped_let_go(pool, 2), 1);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN) - shootdowns, 2);
	KUNIT_EXPECT_FALSE(test, freetype_has_flags(get_pageblock_freetype(block)));
	KUNIT_EXPECT_FALSE(test, test_property_applied(block));
	entry = entry_of(block);
	KUNIT_EXPECT_EQ(test, pool->nr_pages, 0);
	KUNIT_EXPECT_EQ(test, pool->nr_partial, 0);
	KUNIT_EXPECT_EQ(test, (int)arch_direct_map_block_kind(block),
			DIRECT_MAP_BLOCK_PLAIN);
	KUNIT_EXPECT_TRUE(test, entry & _PAGE_PRESENT);
	KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_UNMAPPED), unmapped);
	ut_expect_consistent(test);
}

/* Each order; and nothing is erased where contents do not die. */
static void property_orders(struct kunit *test)
{
	const unsigned long zeroed = ut_event(UNMAPPED_ZEROED_PAGES);

	for (int order = 0; order <= MAX_PAGE_ORDER; order++) {
		struct page *page = test_alloc(GFP_TEST | __GFP_ZERO, order);

		KUNIT_ASSERT_NOT_NULL_MSG(test, page, "order %d", order);
		for (unsigned int i = 0; i < 1U << order; i += NR_BLOCK)
			KUNIT_EXPECT_TRUE(test, has_property(page + i));
		KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0,
						   PAGE_SIZE << order));
		memset(page_address(page), 0x5a, PAGE_SIZE << order);
		__free_pages(page, order);
		ut_expect_consistent(test);
	}
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_ZEROED_PAGES), zeroed);
	let_all_go(test);
}

/* Neither unmapped nor ordinary requests are served of it; nor it of theirs. */
static void property_stays_apart(struct kunit *test)
{
	struct page *block = free_block(test), *page;
	struct zone *zone = page_zone(block);
	bool given, usable = false;
	LIST_HEAD(unmapped);
	LIST_HEAD(taken);

	ut_empty_pool(test, &unmapped);
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_NOWAIT | __GFP_NOWARN, 0));
	KUNIT_EXPECT_FALSE(test, ut_on_list(&unmapped, block));

	/* Not had back, and no watermark says that it can be */
	scoped_guard(spinlock_irqsave, &zone->lock) {
		given = unmapped_give_back(zone, 0, MIGRATE_MOVABLE) ||
			unmapped_give_back(zone, pageblock_order, MIGRATE_UNMOVABLE) ||
			unmapped_make_plain(zone, block);
		usable = unmapped_block_free(zone, 0);
	}
	KUNIT_EXPECT_FALSE(test, given);
	KUNIT_EXPECT_FALSE(test, usable);
	KUNIT_EXPECT_TRUE(test, has_property(block));

	/* A pool of unmapped memory is nothing to it */
	ut_put_all(&unmapped);
	page = ut_alloc(GFP_TEST, pageblock_order);
	KUNIT_EXPECT_NOT_NULL(test, page);
	if (page)
		__free_pages(page, pageblock_order);
	ut_take_all(test, test_ft(), &taken);
	KUNIT_EXPECT_TRUE(test, ut_on_list(&taken, block));
	KUNIT_EXPECT_NULL(test, test_alloc(GFP_NOWAIT | __GFP_NOWARN, 0));
	ut_put_all(&taken);
	ut_expect_consistent(test);
	let_all_go(test);
}

static void property_two_are_refused(struct kunit *test)
{
	struct kunit_suppressed_warning *w = kunit_start_suppress_warning(test);

	KUNIT_EXPECT_NULL(test, __alloc_pages(GFP_TEST, 0, numa_mem_id(), NULL,
					      ALLOC_UNMAPPED | ALLOC_TEST_PROPERTY));
	kunit_end_suppress_warning(test, w);
}

/* Whoever isolates a wholly free block has it undone first, or is refused. */
static void property_isolate(struct kunit *test)
{
	struct page *block = free_block(test), *page;
	unsigned long pfn = page_to_pfn(block), shootdowns;

	shootdowns = ut_event(UNMAPPED_SHOOTDOWN);
	KUNIT_EXPECT_EQ(test, 0, start_isolate_page_range(pfn, pfn + NR_BLOCK,
							  PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_FALSE(test, freetype_has_flags(get_pageblock_freetype(block)));
	KUNIT_EXPECT_FALSE(test, test_property_applied(block));
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN) - shootdowns, 1);
	undo_isolate_page_range(pfn, pfn + NR_BLOCK);
	ut_expect_consistent(test);

	page = test_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pfn = page_to_pfn(block_of(page));
	KUNIT_EXPECT_EQ(test, -EBUSY, start_isolate_page_range(pfn, pfn + NR_BLOCK,
							       PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_TRUE(test, has_property(page));
	__free_page(page);
	let_all_go(test);
}

static int apply_calls;
static struct page *applied;

static int fail_every_second(struct unmapped_pool *pool, struct page *block)
{
	if (apply_calls++ & 1)
		return -EBUSY;
	applied = block;
	return freetype_property(pool->freetype)->apply(block);
}

static bool always_isolated(struct page *page, unsigned int order)
{
	applied = page;
	return true;
}

/* L4: what was applied before a failure is undone, and no CPU keeps it. */
static void property_fails_half_way(struct kunit *test)
{
	unsigned long shootdowns = ut_event(UNMAPPED_SHOOTDOWN);

	let_all_go(test);
	apply_calls = 0;
	applied = NULL;
	kunit_activate_static_stub(test, unmapped_block_apply, fail_every_second);
	KUNIT_EXPECT_NULL(test, test_alloc(GFP_TEST | __GFP_NORETRY, pageblock_order + 1));
	kunit_deactivate_static_stub(test, unmapped_block_apply);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN) - shootdowns, apply_calls / 2);
	KUNIT_ASSERT_NOT_NULL(test, applied);
	KUNIT_EXPECT_FALSE(test, test_property_applied(applied));
	ut_expect_consistent(test);

	applied = NULL;
	kunit_activate_static_stub(test, unmapped_blocks_isolated, always_isolated);
	KUNIT_EXPECT_NULL(test, test_alloc(GFP_TEST | __GFP_NORETRY, 0));
	kunit_deactivate_static_stub(test, unmapped_blocks_isolated);
	KUNIT_ASSERT_NOT_NULL(test, applied);
	KUNIT_EXPECT_FALSE(test, test_property_applied(applied));
	let_all_go(test);
}

static void free_in_nmi(void *page)
{
	free_pages_nolock(page, 0);
}

/* Freed in any context; the worker lets go of it, and makes none in advance. */
static void property_worker(struct kunit *test)
{
	struct page *page = test_alloc(GFP_TEST, 0);
	struct unmapped_pool *pool;

	KUNIT_ASSERT_NOT_NULL(test, page);
	pool = test_pool(page);
	/* PREEMPT_RT leaves it to the next one who frees a page of the zone */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || !ut_call_nmi(free_in_nmi, page))
		__free_page(page);
	ut_expect_consistent(test);
	KUNIT_EXPECT_EQ(test, pool->nr_free[pageblock_order], 1);

	WRITE_ONCE(sysctl_unmapped_pool_blocks, 8);
	ut_worker(true);
	for (int i = 0; i < 100 && READ_ONCE(pool->nr_pages); i++) {
		mod_delayed_work(system_dfl_wq, &pool->work, 0);
		msleep(20);
	}
	ut_worker(false);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
	KUNIT_EXPECT_EQ(test, pool->nr_pages, 0);
	KUNIT_EXPECT_FALSE(test, test_property_applied(block_of(page)));
	let_all_go(test);
}

static struct kunit_case property_test_cases[] = {
	KUNIT_CASE(property_life),
	KUNIT_CASE(property_orders),
	KUNIT_CASE(property_stays_apart),
	KUNIT_CASE(property_two_are_refused),
	KUNIT_CASE(property_isolate),
	KUNIT_CASE(property_fails_half_way),
	KUNIT_CASE(property_worker),
	{}
};

static struct kunit_suite property_test_suite = {
	.name = "unmapped_property",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = property_test_cases,
};

kunit_test_suite(property_test_suite);

MODULE_DESCRIPTION("A second property of free memory");
MODULE_LICENSE("GPL");
