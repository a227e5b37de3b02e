// SPDX-License-Identifier: GPL-2.0-only
/*
 * All memory that is off the direct map and not in use is had back: of a range that
 * goes offline, and before hibernation.
 */
#include <linux/direct_map.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/pgtable.h>
#include <linux/unmapped.h>

#include "util.h"

static unsigned long nr_unmapped(void)
{
	struct zone *zone;
	unsigned long nr = 0;

	for_each_populated_zone(zone)
		nr += zone_page_state_snapshot(zone, NR_UNMAPPED);
	return nr;
}

/* Free pages are not in use, and all of them are had back. */
static void vacate_free(struct kunit *test)
{
	struct page *page, *pages[3];

	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = ut_alloc(GFP_TEST, i * pageblock_order / 2);
		KUNIT_ASSERT_NOT_NULL(test, pages[i]);
		ut_fill(test, pages[i], i * pageblock_order / 2);
	}
	page = pages[0];
	for (unsigned int i = 1; i < ARRAY_SIZE(pages); i++)
		__free_pages(pages[i], i * pageblock_order / 2);

	/* What is in use stays, with its block and what it holds */
	KUNIT_EXPECT_EQ(test, unmapped_vacate(), -EBUSY);
	KUNIT_EXPECT_EQ(test, nr_unmapped(), NR_BLOCK);
	KUNIT_EXPECT_TRUE(test, page_unmapped(page));
	KUNIT_EXPECT_FALSE(test, ut_readable(page));
	KUNIT_EXPECT_FALSE(test, ut_is_zero(test, page, 0));
	ut_expect_consistent(test);

	/* It may well be on a per-CPU list now */
	__free_page(page);
	KUNIT_EXPECT_EQ(test, nr_unmapped(), NR_BLOCK);
	KUNIT_EXPECT_EQ(test, unmapped_vacate(), 0);
	KUNIT_EXPECT_EQ(test, nr_unmapped(), 0);
	/* It is free */
	kasan_disable_current();
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0, PAGE_SIZE));
	kasan_enable_current();
	ut_expect_consistent(test);
}

/* Two pages of one block, which has no others that are in use. */
static struct page *alloc_two(struct kunit *test, struct page **second)
{
	struct page *page;
	LIST_HEAD(taken);

	ut_empty_pool(test, &taken);
	page = ut_alloc(GFP_TEST, 1);
	ut_put_all(&taken);
	KUNIT_ASSERT_NOT_NULL(test, page);
	split_page(page, 1);
	*second = page + 1;
	return page;
}

/*
 * What no machine can: the page is memory as any again. If it stayed, it would be
 * handed out once its memory has been offline and come back.
 */
static void repair(struct page *page)
{
	unsigned int level;

	set_pte(lookup_address((unsigned long)page_address(page), &level),
		mk_pte(page, PAGE_KERNEL));
	update_page_count(PG_LEVEL_4K, 1);
	ClearPageHWPoison(page);
	if (!page_count(page))
		init_page_count(page);
	__free_page(page);
}

static int isolate(struct page *page, enum pb_isolate_mode mode)
{
	unsigned long pfn = pageblock_start_pfn(page_to_pfn(page));

	return start_isolate_page_range(pfn, pfn + NR_BLOCK, mode);
}

/*
 * A block that hardware-poisoned pages keep goes offline. They stay off the
 * direct map, and all else of it is memory as any.
 */
static void vacate_range(struct kunit *test)
{
	struct page *page, *second, *block;
	unsigned long pfn;

	page = alloc_two(test, &second);
	pfn = pageblock_start_pfn(page_to_pfn(page));
	block = pfn_to_page(pfn);
	SetPageHWPoison(page);

	/* There is a user yet: nothing happens */
	KUNIT_EXPECT_EQ(test, -EBUSY, isolate(page, PB_ISOLATE_MODE_MEM_OFFLINE));
	KUNIT_EXPECT_TRUE(test, page_unmapped(page));
	ut_expect_consistent(test);

	__free_page(second);
	ut_settle();
	/* Others would have it to use it */
	KUNIT_EXPECT_EQ(test, -EBUSY, isolate(page, PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_TRUE(test, page_unmapped(page));

	KUNIT_ASSERT_EQ(test, 0, isolate(page, PB_ISOLATE_MODE_MEM_OFFLINE));
	KUNIT_EXPECT_FALSE(test, page_unmapped(page));
	KUNIT_EXPECT_FALSE(test, ut_readable(page));
	KUNIT_EXPECT_TRUE(test, ut_readable(second));
	ut_expect_consistent(test);

	/* Not offline after all: the others are free, and zero */
	undo_isolate_page_range(pfn, pfn + NR_BLOCK);
	for (unsigned int i = 0; i < NR_BLOCK; i++) {
		if (block + i == page)
			continue;
		KUNIT_EXPECT_TRUE(test, ut_readable(block + i));
	}
	KUNIT_EXPECT_EQ(test, arch_direct_map_block_kind(block), DIRECT_MAP_BLOCK_FIXED);
	ut_expect_consistent(test);
	/* Its user is gone, and it stays lost */
	KUNIT_EXPECT_NE(test, unpoison_memory(page_to_pfn(page)), 0);
	__free_page(page);
	KUNIT_EXPECT_NE(test, unpoison_memory(page_to_pfn(page)), 0);
	KUNIT_EXPECT_EQ(test, page_count(page), 0);
	KUNIT_EXPECT_FALSE(test, ut_readable(page));
	repair(page);
	ut_expect_consistent(test);
}

/* Nor are those in use, and neither keep they anything. */
static void vacate_poisoned(struct kunit *test)
{
	struct page *page, *second;

	page = alloc_two(test, &second);
	SetPageHWPoison(page);
	__free_page(second);

	KUNIT_EXPECT_EQ(test, unmapped_vacate(), 0);
	KUNIT_EXPECT_EQ(test, nr_unmapped(), 0);
	KUNIT_EXPECT_FALSE(test, ut_readable(page));
	KUNIT_EXPECT_TRUE(test, ut_readable(second));
	ut_expect_consistent(test);
	repair(page);
}

static int vacate_test_init(struct kunit *test)
{
	int err = ut_init(test);

	if (!err && !IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "no CONFIG_MEMORY_FAILURE");
	return err;
}

static struct kunit_case vacate_test_cases[] = {
	KUNIT_CASE(vacate_free),
	KUNIT_CASE(vacate_range),
	KUNIT_CASE(vacate_poisoned),
	{}
};

static struct kunit_suite vacate_test_suite = {
	.name = "unmapped_vacate",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = vacate_test_init,
	.test_cases = vacate_test_cases,
};

kunit_test_suite(vacate_test_suite);

MODULE_DESCRIPTION("Having back what is free of unmapped memory");
MODULE_LICENSE("GPL");
