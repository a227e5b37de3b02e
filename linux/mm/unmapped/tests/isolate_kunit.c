// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whoever isolates a block, or a free page, gets plain memory or nothing.
 */
#include <linux/direct_map.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/unmapped.h>

#include "util.h"

/* L1: a free unmapped block is had back by whoever isolates it, and is zero. */
static void isolate_free_block(struct kunit *test)
{
	unsigned long pfn, remaps;
	struct page *page;

	page = ut_alloc(GFP_TEST, pageblock_order);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pfn = page_to_pfn(page);
	ut_fill(test, page, pageblock_order);
	__free_pages(page, pageblock_order);
	ut_settle();

	remaps = ut_event(UNMAPPED_FLIP_REMAP);
	KUNIT_ASSERT_EQ(test, 0, start_isolate_page_range(pfn, pfn + NR_BLOCK,
							  PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_FALSE(test, page_unmapped(page));
	KUNIT_EXPECT_TRUE(test, arch_direct_map_block_mapped(page));
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_FLIP_REMAP) - remaps, 1);
	/* It is free */
	kasan_disable_current();
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0,
					   PAGE_SIZE << pageblock_order));
	kasan_enable_current();
	ut_expect_consistent(test);
	undo_isolate_page_range(pfn, pfn + NR_BLOCK);
	ut_expect_consistent(test);
}

/* The same if some of its pages are on their way to the free lists only. */
static void isolate_drains(struct kunit *test)
{
	struct page *page, *next;
	unsigned long pfn;
	LIST_HEAD(taken);
	LIST_HEAD(pages);

	ut_empty_pool(test, &taken);
	/* Of one block, in single pages, and back: some stay on per-CPU lists */
	for (unsigned int i = 0; i < NR_BLOCK; i++) {
		page = ut_alloc(GFP_TEST, 0);
		KUNIT_ASSERT_NOT_NULL(test, page);
		list_add(&page->lru, &pages);
	}
	pfn = pageblock_start_pfn(page_to_pfn(page));
	list_for_each_entry_safe(page, next, &pages, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	page = pfn_to_page(pfn);

	KUNIT_EXPECT_EQ(test, 0, start_isolate_page_range(pfn, pfn + NR_BLOCK,
							  PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_FALSE(test, page_unmapped(page));
	undo_isolate_page_range(pfn, pfn + NR_BLOCK);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* A block that is in use is not isolated, and stays what it is. */
static void isolate_used_block(struct kunit *test)
{
	struct page *page = ut_alloc(GFP_TEST, 0);
	unsigned long start;
	struct zone *zone;

	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	/* Others may refuse it for reasons of their own */
	scoped_guard(spinlock_irqsave, &zone->lock)
		KUNIT_EXPECT_FALSE(test, unmapped_make_plain(zone, page));
	start = pageblock_start_pfn(page_to_pfn(page));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			start_isolate_page_range(start, start + NR_BLOCK,
						 PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_TRUE(test, page_unmapped(page));
	KUNIT_EXPECT_FALSE(test, ut_readable(page));
	__free_page(page);
	ut_expect_consistent(test);
}

/* S3: nobody gets at a free unmapped page by isolating it. */
static void isolate_free_page(struct kunit *test)
{
	const unsigned int order = PAGE_ALLOC_COSTLY_ORDER + 1;
	struct page *page, *buddy;
	bool free, isolated;
	struct zone *zone;
	LIST_HEAD(taken);

	/* With an empty pool the page is the first of a block of its own */
	ut_empty_pool(test, &taken);
	page = ut_alloc(GFP_TEST, order);
	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	buddy = page + (1U << order);

	scoped_guard(spinlock_irqsave, &zone->lock) {
		free = PageBuddy(buddy);
		isolated = free && __isolate_free_page(buddy, buddy_order(buddy));
	}
	KUNIT_EXPECT_TRUE(test, free);
	KUNIT_EXPECT_FALSE(test, isolated);

	__free_pages(page, order);
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static struct kunit_case isolate_test_cases[] = {
	KUNIT_CASE(isolate_free_block),
	KUNIT_CASE(isolate_drains),
	KUNIT_CASE(isolate_used_block),
	KUNIT_CASE(isolate_free_page),
	{}
};

static struct kunit_suite isolate_test_suite = {
	.name = "unmapped_isolate",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = isolate_test_cases,
};

kunit_test_suite(isolate_test_suite);

MODULE_DESCRIPTION("Isolating blocks of unmapped memory");
MODULE_LICENSE("GPL");
