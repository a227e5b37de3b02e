// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rows of freetype_properties[], against the pageblock bits and the flags of
 * requests that there are.
 */
#include <kunit/test.h>
#include <linux/bitops.h>
#include <linux/mmzone.h>
#include <linux/pageblock-flags.h>

#include "../../page_alloc.h"

/* The table says what the inlines say, and no two rows the same. */
static void table_rows(struct kunit *test)
{
	unsigned long bits = 0, alloc_flags = 0, letters = 0;

	for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
		freetype_t ft = freetype_from_index(MIGRATE_TYPES + i);
		const struct freetype_property *p = &freetype_properties[i];

		KUNIT_EXPECT_PTR_EQ(test, freetype_property(ft), p);
		KUNIT_ASSERT_NOT_NULL(test, p->name);
		KUNIT_EXPECT_STREQ(test, freetype_name(ft), p->name);
		KUNIT_EXPECT_EQ(test, freetype_letter(ft), p->letter);
		KUNIT_EXPECT_EQ(test, freetype_migratetype(ft), p->migratetype);
		/* What can be merged at all, and is on the lists of requests */
		KUNIT_EXPECT_TRUE(test, migratetype_is_mergeable(p->migratetype));

		/* show_mem() has letters for the migratetypes, too */
		KUNIT_EXPECT_TRUE(test, p->letter >= 'A' && p->letter <= 'Z');
		KUNIT_EXPECT_NULL(test, strchr("UMEHCI", p->letter));
		KUNIT_EXPECT_FALSE(test, letters & BIT(p->letter - 'A'));
		letters |= BIT(p->letter - 'A');

		KUNIT_EXPECT_TRUE(test, PAGEBLOCK_FREETYPE_MASK & BIT(p->pageblock_bit));
		KUNIT_EXPECT_FALSE(test, bits & BIT(p->pageblock_bit));
		bits |= BIT(p->pageblock_bit);

		KUNIT_EXPECT_EQ(test, hweight32(p->alloc_flag), 1);
		KUNIT_EXPECT_TRUE(test, ALLOC_PROPERTIES & p->alloc_flag);
		KUNIT_EXPECT_FALSE(test, alloc_flags & p->alloc_flag);
		alloc_flags |= p->alloc_flag;

		KUNIT_EXPECT_NOT_NULL(test, p->apply);
		KUNIT_EXPECT_NOT_NULL(test, p->flush);
		KUNIT_EXPECT_NOT_NULL(test, p->undo);
		/* What any context can do under the zone lock does not flush */
		KUNIT_EXPECT_FALSE(test, p->undo_atomic && p->undo_flush);
	}
	KUNIT_EXPECT_EQ(test, bits, PAGEBLOCK_FREETYPE_MASK);
	KUNIT_EXPECT_EQ(test, alloc_flags, ALLOC_PROPERTIES);
	KUNIT_EXPECT_EQ(test, bits & (PAGEBLOCK_MIGRATETYPE_MASK | PAGEBLOCK_ISO_MASK |
				      BIT(PB_compact_skip)), 0);
}

/* A pageblock with a row's bit has the row's freetype, and is plain again. */
static void table_pageblock_bits(struct kunit *test)
{
	struct page *block = alloc_pages(GFP_KERNEL, pageblock_order);
	struct zone *zone;
	freetype_t was;

	KUNIT_ASSERT_NOT_NULL(test, block);
	zone = page_zone(block);
	was = get_pageblock_freetype(block);

	for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
		freetype_t ft = freetype_from_index(MIGRATE_TYPES + i), found, back;
		unsigned long pfn = page_to_pfn(block);
		bool bit;

		/* Nobody else looks at a block that is in use without the lock */
		scoped_guard(spinlock_irqsave, &zone->lock) {
			pageblock_set_freetype(block, ft);
			found = get_pageblock_freetype(block + pageblock_nr_pages - 1);
			bit = get_pfnblock_bit(block, pfn,
					       freetype_properties[i].pageblock_bit);
			pageblock_set_freetype(block, was);
			back = get_pageblock_freetype(block);
		}
		KUNIT_EXPECT_TRUE(test, bit);
		KUNIT_EXPECT_TRUE(test, freetype_eq(found, ft));
		KUNIT_EXPECT_TRUE(test, freetype_eq(back, was));
	}
	__free_pages(block, pageblock_order);
}

static struct kunit_case table_test_cases[] = {
	KUNIT_CASE(table_rows),
	KUNIT_CASE(table_pageblock_bits),
	{}
};

static struct kunit_suite table_test_suite = {
	.name = "unmapped_table",
	.test_cases = table_test_cases,
};

kunit_test_suite(table_test_suite);

MODULE_DESCRIPTION("The table of properties of memory");
MODULE_LICENSE("GPL");
