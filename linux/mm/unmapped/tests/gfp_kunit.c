// SPDX-License-Identifier: GPL-2.0-only
/*
 * __GFP_UNMAPPED: who serves it, and who refuses it.
 */
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/unmapped.h>
#include <linux/vmalloc.h>

#include "util.h"

/* For the compiler it is no constant: it would refuse some of the calls. */
static noinline gfp_t gfp(void)
{
	gfp_t flags = GFP_TEST | __GFP_UNMAPPED;

	OPTIMIZER_HIDE_VAR(flags);
	return flags;
}

static void gfp_serves(struct kunit *test)
{
	struct page *pages[8] = {}, *page;
	struct folio *folio;
	unsigned long nr;

	for (int order = 0; order <= pageblock_order; order++) {
		page = alloc_pages(gfp(), order);
		KUNIT_ASSERT_NOT_NULL_MSG(test, page, "order %d", order);
		KUNIT_EXPECT_TRUE(test, page_unmapped(page));
		KUNIT_EXPECT_FALSE(test, ut_readable(page));
		ut_fill(test, page, order);
		__free_pages(page, order);
	}

	folio = folio_alloc(gfp(), 2);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	KUNIT_EXPECT_TRUE(test, page_unmapped(&folio->page));
	folio_put(folio);

	nr = alloc_pages_bulk(gfp(), ARRAY_SIZE(pages), pages);
	KUNIT_EXPECT_GT(test, nr, 0);
	for (unsigned long i = 0; i < nr; i++) {
		KUNIT_EXPECT_TRUE(test, page_unmapped(pages[i]));
		__free_page(pages[i]);
	}
	ut_expect_consistent(test);
}

/* All of them would use what they get through the direct map. */
static void gfp_refused(struct kunit *test)
{
	struct kmem_cache *cache = kmem_cache_create("gfp_refused", 64, 0, 0, NULL);

	KUNIT_ASSERT_NOT_NULL(test, cache);
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_NULL(test, kmem_cache_alloc(cache, gfp()));
		KUNIT_EXPECT_NULL(test, kmalloc(100, gfp()));
		KUNIT_EXPECT_NULL(test, kmalloc(PAGE_SIZE << 4, gfp()));
		KUNIT_EXPECT_NULL(test, __vmalloc(PAGE_SIZE, gfp()));
		KUNIT_EXPECT_NULL(test, (void __force *)__alloc_percpu_gfp(64, 8, gfp()));
		KUNIT_EXPECT_EQ(test, __get_free_pages(gfp(), 0), 0);
		KUNIT_EXPECT_GE(test, KUNIT_SUPPRESSED_WARNING_COUNT(), 6);
	}
	kmem_cache_destroy(cache);
	ut_expect_consistent(test);
}

static struct kunit_case gfp_test_cases[] = {
	KUNIT_CASE(gfp_serves),
	KUNIT_CASE(gfp_refused),
	{}
};

static struct kunit_suite gfp_test_suite = {
	.name = "unmapped_gfp",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = gfp_test_cases,
};

kunit_test_suite(gfp_test_suite);

MODULE_DESCRIPTION("__GFP_UNMAPPED");
MODULE_LICENSE("GPL");
