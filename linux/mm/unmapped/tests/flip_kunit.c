// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request for unmapped memory: what is returned, what it costs, who is refused,
 * and what is left behind where a flip fails.
 */
#include <kunit/static_stub.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/unmapped.h>

#include "util.h"

/* S1, S3, S4: of each order, what is returned is off the direct map and zero. */
static void flip_orders(struct kunit *test)
{
	for (int order = 0; order <= MAX_PAGE_ORDER; order++) {
		struct page *page = ut_alloc(GFP_TEST | __GFP_ZERO, order);

		KUNIT_ASSERT_NOT_NULL_MSG(test, page, "order %d", order);
		KUNIT_EXPECT_TRUE(test, page_unmapped(page));
		for (unsigned int i = 0; i < 1U << order; i++) {
			if (ut_readable(page + i))
				KUNIT_FAIL(test, "order %d, page %u is readable", order, i);
		}
		KUNIT_EXPECT_TRUE(test, ut_is_zero(test, page, order));

		ut_fill(test, page, order);
		__free_pages(page, order);
		ut_expect_consistent(test);
	}
}

/* S3: an ordinary allocation is mapped, whatever was freed before. */
static void flip_ordinary_is_mapped(struct kunit *test)
{
	struct page *pages[64] = {};
	struct page *page = ut_alloc(GFP_TEST, 0);
	unsigned long nr;

	KUNIT_ASSERT_NOT_NULL(test, page);
	__free_page(page);

	for (int order = 0; order <= MAX_PAGE_ORDER; order++) {
		page = alloc_pages(GFP_KERNEL, order);
		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_EXPECT_FALSE(test, page_unmapped(page));
		KUNIT_EXPECT_TRUE(test, ut_readable(page));
		__free_pages(page, order);
	}

	nr = alloc_pages_bulk(GFP_KERNEL, ARRAY_SIZE(pages), pages);
	KUNIT_EXPECT_GT(test, nr, 0);
	for (unsigned long i = 0; i < nr; i++) {
		KUNIT_EXPECT_FALSE(test, page_unmapped(pages[i]));
		__free_page(pages[i]);
	}
	ut_expect_consistent(test);
}

/* P1: a pageblock costs one flip and one shootdown, however it is used up. */
static void flip_one_shootdown(struct kunit *test)
{
	unsigned long flips, shootdowns;
	LIST_HEAD(taken);
	LIST_HEAD(pages);
	struct page *page;

	ut_empty_pool(test, &taken);
	flips = ut_event(UNMAPPED_FLIP_UNMAP);
	shootdowns = ut_event(UNMAPPED_SHOOTDOWN);

	/* Migrating would leave pages on the lists of the old CPU */
	migrate_disable();
	for (unsigned int i = 0; i < NR_BLOCK; i++) {
		page = ut_alloc(GFP_TEST, 0);
		if (!page)
			break;
		set_page_private(page, 0);
		list_add(&page->lru, &pages);
	}
	migrate_enable();

	KUNIT_EXPECT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_UNMAP) - flips, 1);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_SHOOTDOWN) - shootdowns, 1);

	ut_put_all(&pages);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* The rest of a flipped block is free in the largest pieces that there are. */
static void flip_rest_is_expanded(struct kunit *test)
{
	const unsigned int order = PAGE_ALLOC_COSTLY_ORDER + 1;
	struct page *page, *rest;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	/* Of this order there are no per-CPU lists */
	page = ut_alloc(GFP_TEST, order);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(page_to_pfn(page), NR_BLOCK));

	for (unsigned int o = order; o < pageblock_order; o++) {
		rest = page + (1U << o);
		KUNIT_EXPECT_TRUE_MSG(test, PageBuddy(rest), "order %u", o);
		KUNIT_EXPECT_EQ(test, buddy_order(rest), o);
	}

	__free_pages(page, order);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* L6: who may not block takes from the pool or fails, and nothing is flipped. */
static void flip_nowait(struct kunit *test)
{
	unsigned int noreclaim;
	unsigned long flips;
	struct page *page;
	LIST_HEAD(taken);

	page = ut_alloc(GFP_TEST, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	__free_page(page);

	flips = ut_event(UNMAPPED_FLIP_UNMAP);
	ut_empty_pool(test, &taken);
	KUNIT_EXPECT_FALSE(test, list_empty(&taken));
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_ATOMIC | __GFP_NOWARN, 0));
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_NOWAIT | __GFP_NOWARN, 0));

	/* Neither does who is in reclaim */
	noreclaim = memalloc_noreclaim_save();
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST, 0));
	memalloc_noreclaim_restore(noreclaim);
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_UNMAP), flips);

	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* S3, L3: what no list serves, or cannot be promised, is refused. */
static void flip_refuses(struct kunit *test)
{
	struct kunit_suppressed_warning *w;
	static bool told;

	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST | __GFP_MOVABLE, 0));
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST | __GFP_RECLAIMABLE, 0));
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST | __GFP_NOFAIL, 0));
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST, MAX_PAGE_ORDER + 1));
	/* No flags of a request without locks go with it */
	KUNIT_EXPECT_NULL(test, __alloc_pages(0, 0, numa_mem_id(), NULL,
					      ALLOC_UNMAPPED | ALLOC_NOLOCK));

	/* Loudly, but once in the life of the machine */
	w = kunit_start_suppress_warning(test);
	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_KERNEL | __GFP_NOFAIL, 0));
	kunit_end_suppress_warning(test, w);
	KUNIT_EXPECT_EQ(test, kunit_suppressed_warning_count(w), told ? 0 : 1);
	told = true;
}

/*
 * L4: failures, and isolation that comes in the middle. Afterwards everything
 * is mapped, on the right list, and accounted.
 */
static int apply_calls;

static int fail_every_second(struct unmapped_pool *pool, struct page *block)
{
	if (apply_calls++ & 1)
		return -EBUSY;
	return freetype_property(pool->freetype)->apply(block);
}

static int fail_nomem(struct unmapped_pool *pool, struct page *block)
{
	apply_calls++;
	return -ENOMEM;
}

static int fail_busy(struct unmapped_pool *pool, struct page *block)
{
	apply_calls++;
	return -EBUSY;
}

static bool always_isolated(struct page *page, unsigned int order)
{
	return true;
}

static void expect_flip_fails(struct kunit *test, unsigned int order)
{
	unsigned long unmapped, fails, free;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	unmapped = global_zone_page_state(NR_UNMAPPED);
	fails = ut_event(UNMAPPED_FLIP_FAIL);
	drain_all_pages(NULL);
	free = global_zone_page_state(NR_FREE_PAGES);

	KUNIT_EXPECT_NULL(test, ut_alloc(GFP_TEST | __GFP_NORETRY, order));
	/* Compaction moves pages from and to per-CPU lists */
	drain_all_pages(NULL);

	KUNIT_EXPECT_GT(test, ut_event(UNMAPPED_FLIP_FAIL), fails);
	KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_UNMAPPED), unmapped);
	/* Others allocate too, but not blocks at a time */
	KUNIT_EXPECT_LT(test, abs_diff(free, global_zone_page_state(NR_FREE_PAGES)),
			NR_BLOCK);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static void flip_fails(struct kunit *test)
{
	kunit_activate_static_stub(test, unmapped_block_apply, fail_nomem);
	expect_flip_fails(test, 0);
	expect_flip_fails(test, pageblock_order);
}

static void flip_fails_half_way(struct kunit *test)
{
	if (pageblock_order == MAX_PAGE_ORDER)
		kunit_skip(test, "no flip is larger than a block");

	apply_calls = 0;
	kunit_activate_static_stub(test, unmapped_block_apply, fail_every_second);
	expect_flip_fails(test, pageblock_order + 1);
	KUNIT_EXPECT_GE(test, apply_calls, 2);
}

static void flip_isolated_meanwhile(struct kunit *test)
{
	kunit_activate_static_stub(test, unmapped_blocks_isolated, always_isolated);
	expect_flip_fails(test, 0);
	expect_flip_fails(test, MAX_PAGE_ORDER);
}

/* How many blocks a request tries to unmap before it gives up. */
static int tries(struct kunit *test, gfp_t gfp)
{
	const int calls = apply_calls;

	KUNIT_EXPECT_NULL(test, ut_alloc(gfp | __GFP_NOWARN, 0));
	return apply_calls - calls;
}

static int nr_zones(void)
{
	struct zone *zone;
	int nr = 0;

	for_each_populated_zone(zone)
		nr++;
	return nr;
}

/* What the flags say of other pages, they say of unmapped ones: it is costly. */
static void flip_gfp_flags(struct kunit *test)
{
	static const gfp_t gfps[] = {
		GFP_KERNEL | __GFP_NORETRY, GFP_KERNEL, GFP_KERNEL | __GFP_RETRY_MAYFAIL,
	};
	const unsigned long kills = ut_event(OOM_KILL);
	LIST_HEAD(taken);
	int n;

	kunit_activate_static_stub(test, unmapped_block_apply, fail_busy);
	ut_empty_pool(test, &taken);

	/* At once, whether the caller may be waited for or is important */
	KUNIT_EXPECT_EQ(test, tries(test, GFP_NOWAIT), 0);
	KUNIT_EXPECT_EQ(test, tries(test, GFP_ATOMIC), 0);
	KUNIT_EXPECT_EQ(test, tries(test, __GFP_NORETRY), 0);

	/* The rest gives up, and soon: four times a zone at most, see flip.c */
	for (int i = 0; i < ARRAY_SIZE(gfps); i++) {
		n = tries(test, gfps[i]);
		kunit_info(test, "%pGg: %d blocks\n", &gfps[i], n);
		KUNIT_EXPECT_GT(test, n, 0);
		KUNIT_EXPECT_LE(test, n, 4 * (4 + 1) * nr_zones());
	}

	KUNIT_EXPECT_EQ(test, tries(test, GFP_KERNEL | __GFP_NOFAIL), 0);
	KUNIT_EXPECT_EQ(test, ut_event(OOM_KILL), kills);

	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static struct kunit_case flip_test_cases[] = {
	KUNIT_CASE(flip_orders),
	KUNIT_CASE(flip_ordinary_is_mapped),
	KUNIT_CASE(flip_one_shootdown),
	KUNIT_CASE(flip_rest_is_expanded),
	KUNIT_CASE(flip_nowait),
	KUNIT_CASE(flip_refuses),
	KUNIT_CASE(flip_fails),
	KUNIT_CASE(flip_fails_half_way),
	KUNIT_CASE(flip_isolated_meanwhile),
	KUNIT_CASE(flip_gfp_flags),
	{}
};

static struct kunit_suite flip_test_suite = {
	.name = "unmapped_flip",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = flip_test_cases,
};

kunit_test_suite(flip_test_suite);

MODULE_DESCRIPTION("Requests for unmapped memory");
MODULE_LICENSE("GPL");
