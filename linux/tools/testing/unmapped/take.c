// SPDX-License-Identifier: GPL-2.0-only
/*
 * mm/unmapped/take.c: which block.
 */
#include "kunit.h"
#include "zone.h"

#include <mm/unmapped/internal.h>

static unsigned int undone, flushed, pressed, announced;

void unmapped_pool_note_pressure(struct unmapped_pool *pool)
{
	pressed++;
}

static void page_reporting_notify_free(unsigned int order)
{
	announced += order == pageblock_order;
}

void unmapped_block_mark(struct unmapped_pool *pool, struct page *block, bool unerased)
{
	pool->nr_unerased += unerased - unit_unerased[unit_block(block)];
	unit_unerased[unit_block(block)] = unerased;
}

void unmapped_block_remove(struct unmapped_pool *pool, struct page *page, unsigned int order,
			   enum migratetype migratetype)
{
	unsigned long i;

	VM_WARN_ON_ONCE(!freetype_property(pool->freetype)->undo_atomic);
	take_free_blocks(pool->zone, page, order);
	undone += 1U << order >> pageblock_order;
	for (i = 0; i < 1UL << order; i += pageblock_nr_pages)
		pageblock_set_freetype(page + i, freetype_plain(migratetype));
	pool->zone->nr_unmapped -= 1L << order;
	put_free_blocks(pool->zone, page, order);
}

void unmapped_block_remove_taken(struct unmapped_pool *pool, struct page *block)
{
	undone++;
	flushed += freetype_property(pool->freetype)->undo_flush;
	guard(spinlock_irqsave)(&pool->zone->lock);
	pageblock_set_freetype(block, freetype_plain(MIGRATE_MOVABLE));
	pool->zone->nr_unmapped -= pageblock_nr_pages;
	put_free_blocks(pool->zone, block, pageblock_order);
}

#include <mm/unmapped/take.c>

static struct unmapped_pool pools[NR_FREETYPE_PROPERTIES];
#define pool	(&pools[0])

static struct page *block(unsigned long nr)
{
	return unit_pages + nr * pageblock_nr_pages;
}

/* Block @nr is free, of a freetype, and shown by the direct map like that. */
static void add(unsigned long nr, freetype_t ft, enum direct_map_block kind)
{
	unit_kinds[nr] = kind;
	pageblock_set_freetype(block(nr), ft);
	guard(spinlock_irqsave)(&unit_zone.lock);
	put_free_blocks(&unit_zone, block(nr), pageblock_order);
}

static void add_unmapped(unsigned long nr, int property)
{
	add(nr, pools[property].freetype, DIRECT_MAP_BLOCK_FIXED);
	unit_zone.nr_unmapped += pageblock_nr_pages;
}

/* The number of the block that is taken, or -1 */
static long take(unsigned int order)
{
	struct page *page = unmapped_take(pool, order, ZONE_NORMAL, 0);

	return page ? (long)unit_block(page) : -1;
}

static int take_init(struct kunit *test)
{
	unsigned long i, mt;

	free(unit_pages);
	unit_pages = calloc(UNIT_BLOCKS * pageblock_nr_pages, sizeof(*unit_pages));
	memset(&unit_zone, 0, sizeof(unit_zone));
	memset(pools, 0, sizeof(pools));
	for (i = 0; i < NR_PAGE_ORDERS; i++)
		for (mt = 0; mt < NR_FREETYPES; mt++)
			INIT_LIST_HEAD(&unit_zone.free_area[i].free_list[mt]);
	for (i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
		pools[i].zone = &unit_zone;
		pools[i].freetype = freetype_from_index(MIGRATE_TYPES + i);
	}
	unit_zone.unmapped_pools = pools;
	for (i = 0; i < UNIT_BLOCKS; i++)
		unit_freetypes[i] = freetype_plain(MIGRATE_MOVABLE);
	memset(unit_unerased, 0, sizeof(unit_unerased));
	undone = 0;
	flushed = 0;
	announced = 0;
	pressed = 0;
	unit_most_looks = 0;
	return 0;
}

static void take_exit(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, unit_zone.lock.held);
	free(unit_pages);
	unit_pages = NULL;
}

#define UNMOVABLE	freetype_plain(MIGRATE_UNMOVABLE)
#define MOVABLE		freetype_plain(MIGRATE_MOVABLE)

/* Each look is at two blocks at most, as two is the most that merges here. */
#define MOST_LOOKS	(2 * (UNMAPPED_TAKE_LOOK + UNMAPPED_TAKE_NEAR))

/*
 * However many blocks cannot be unmapped, on whatever list and in front of it: the
 * one that can is found, none of the others is taken, and nobody waits long for the
 * lock. Even blocks only, so that they do not merge.
 */
static void fixed_hide_nothing(struct kunit *test)
{
	unsigned int nr, n;
	int list;

	for (list = 0; list < 3; list++) {
		for (nr = 0; nr < UNIT_BLOCKS / 2; nr = nr * 2 + 1) {
			take_init(test);
			for (n = 0; n < nr; n++)
				add(n * 2, freetype_plain(n % 3), DIRECT_MAP_BLOCK_FIXED);
			KUNIT_EXPECT_EQ(test, take(pageblock_order), -1);
			add(n * 2, freetype_plain(list), DIRECT_MAP_BLOCK_PLAIN);
			KUNIT_EXPECT_EQ(test, take(pageblock_order), n * 2);
			KUNIT_EXPECT_EQ(test, take(pageblock_order), -1);
			KUNIT_EXPECT_LE(test, unit_most_looks, MOST_LOOKS);
			KUNIT_EXPECT_EQ(test, unit_zone.nr_free, nr * pageblock_nr_pages);
		}
	}
}

/* Whatever the lists look like when the first part of the search is over. */
static void lock_is_not_held_for_long(struct kunit *test)
{
	unsigned int n, i;

	for (n = UNMAPPED_TAKE_LOOK - 1; n <= UNMAPPED_TAKE_LOOK + 1; n++) {
		take_init(test);
		for (i = 0; i < n; i++)
			add(i * 2, UNMOVABLE, DIRECT_MAP_BLOCK_FIXED);
		for (i = 2 * n; i < UNIT_BLOCKS; i++)
			add(i, MOVABLE, DIRECT_MAP_BLOCK_FIXED);
		KUNIT_EXPECT_EQ(test, take(pageblock_order), -1);
		KUNIT_EXPECT_LE(test, unit_most_looks, MOST_LOOKS);
	}
}

/* What was found fixed is not looked at again before others. */
static void fixed_are_passed_once(struct kunit *test)
{
	unsigned int n, holds;

	for (n = 0; n < 400; n++)
		add(n * 2, UNMOVABLE, DIRECT_MAP_BLOCK_FIXED);
	for (; n < 410; n++)
		add(n * 2, UNMOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	KUNIT_EXPECT_GE(test, take(pageblock_order), 800);
	pool->cursor = 0;
	holds = unit_zone.lock.holds;
	KUNIT_EXPECT_GE(test, take(pageblock_order), 800);
	KUNIT_EXPECT_EQ(test, unit_zone.lock.holds - holds, 1);
}

/* Drawn, but the same each time */
static unsigned int draw(unsigned int below)
{
	static unsigned long x = 88172645463325252UL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % below;
}

/* Sooner or later all blocks are taken that can be, each once, and no others. */
static void any_layout(struct kunit *test)
{
	static const int types[] = {
		MIGRATE_UNMOVABLE, MIGRATE_MOVABLE, MIGRATE_RECLAIMABLE,
		MIGRATE_ISOLATE, MIGRATE_CMA,
	};
	unsigned int round, n, can, free;
	long taken;

	for (round = 0; round < 50 && !test->failed; round++) {
		bool usable[UNIT_BLOCKS] = {};
		unsigned int fixed = draw(4), in_use = 1 + draw(4);

		take_init(test);
		for (n = can = free = 0; n < UNIT_BLOCKS; n++) {
			int mt = types[draw(ARRAY_SIZE(types))];
			int kind = draw(4) < fixed ? DIRECT_MAP_BLOCK_FIXED : draw(2);

			if (!draw(in_use) || n == 101 || n == 102)
				continue;
			usable[n] = mt < MIGRATE_PCPTYPES && kind != DIRECT_MAP_BLOCK_FIXED;
			can += usable[n];
			free++;
			add(n, freetype_plain(mt), kind);
		}
		for (; (taken = take(pageblock_order)) >= 0; can--, free--) {
			KUNIT_ASSERT_TRUE(test, usable[taken]);
			usable[taken] = false;
			if (!draw(4))
				pool->cursor = page_to_pfn(block(draw(UNIT_BLOCKS)));
		}
		KUNIT_EXPECT_EQ(test, can, 0);
		KUNIT_EXPECT_EQ(test, unit_zone.nr_free, free * pageblock_nr_pages);
	}
}

/* One that needs a 1 GiB entry split is taken if there is no other. */
static void plain_before_large(struct kunit *test)
{
	add(10, UNMOVABLE, DIRECT_MAP_BLOCK_LARGE);
	add(20, UNMOVABLE, DIRECT_MAP_BLOCK_FIXED);
	add(30, MOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	KUNIT_EXPECT_EQ(test, take(pageblock_order), 30);
	KUNIT_EXPECT_EQ(test, take(pageblock_order), 10);
	KUNIT_EXPECT_EQ(test, take(pageblock_order), -1);
}

/* One after the other, where there is a choice; and not across a hole. */
static void neighbours(struct kunit *test)
{
	unsigned long n;

	for (n = 40; n < 110; n++)
		if (n != 101 && n != 102)
			add(n, n % 4 ? MOVABLE : UNMOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	unit_kinds[50] = DIRECT_MAP_BLOCK_FIXED;
	unit_kinds[55] = DIRECT_MAP_BLOCK_LARGE;
	pool->cursor = page_to_pfn(block(45));
	for (n = 45; n < 110; n++)
		if (n != 101 && n != 102 && n != 50 && n != 55)
			KUNIT_EXPECT_EQ(test, take(pageblock_order), n);
}

static void isolated_and_reserved_stay(struct kunit *test)
{
	add(2, freetype_plain(MIGRATE_HIGHATOMIC), DIRECT_MAP_BLOCK_PLAIN);
	add(4, freetype_plain(MIGRATE_ISOLATE), DIRECT_MAP_BLOCK_PLAIN);
	add(6, freetype_plain(MIGRATE_CMA), DIRECT_MAP_BLOCK_PLAIN);
	add_unmapped(8, 0);
	KUNIT_EXPECT_EQ(test, take(pageblock_order), -1);
	pool->cursor = page_to_pfn(block(1));
	KUNIT_EXPECT_EQ(test, take(pageblock_order), -1);
}

static void larger_orders(struct kunit *test)
{
	add(2, MOVABLE, DIRECT_MAP_BLOCK_PLAIN);	/* no pair */
	add(4, MOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	add(5, MOVABLE, DIRECT_MAP_BLOCK_FIXED);	/* half of one */
	KUNIT_EXPECT_EQ(test, take(pageblock_order + 1), -1);
	add(6, MOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	add(7, MOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	KUNIT_EXPECT_EQ(test, take(pageblock_order + 1), 6);
	/* and the good half of the other */
	unit_kinds[2] = DIRECT_MAP_BLOCK_FIXED;
	KUNIT_EXPECT_EQ(test, take(pageblock_order), 4);
	KUNIT_EXPECT_EQ(test, take(pageblock_order), -1);
}

static void watermark(struct kunit *test)
{
	add(2, MOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	KUNIT_EXPECT_NULL(test, unmapped_take(pool, pageblock_order, ZONE_NORMAL, 1));
	KUNIT_EXPECT_NOT_NULL(test, unmapped_take(pool, pageblock_order, ZONE_NORMAL, 0));
}

static bool give_back(unsigned int order, enum migratetype mt)
{
	guard(spinlock_irqsave)(&unit_zone.lock);
	return unmapped_give_back(&unit_zone, order, mt);
}

/* Ordinary requests have a block back, if it is of use to them. */
static void blocks_go_back(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, give_back(0, MIGRATE_MOVABLE));
	add_unmapped(2, 1);
	/* The other property cannot be undone here */
	KUNIT_EXPECT_FALSE(test, give_back(0, MIGRATE_MOVABLE));
	add_unmapped(4, 0);
	KUNIT_EXPECT_TRUE(test, give_back(0, MIGRATE_RECLAIMABLE));
	KUNIT_EXPECT_TRUE(test, freetype_is(unit_freetypes[4], MIGRATE_RECLAIMABLE));
	KUNIT_EXPECT_EQ(test, undone, 1);
	KUNIT_EXPECT_EQ(test, pressed, 1);
	KUNIT_EXPECT_EQ(test, flushed, 0);

	/* For two blocks, one is given only where it completes them */
	add_unmapped(8, 0);
	KUNIT_EXPECT_FALSE(test, give_back(pageblock_order + 1, MIGRATE_MOVABLE));
	add(9, MOVABLE, DIRECT_MAP_BLOCK_PLAIN);
	KUNIT_EXPECT_TRUE(test, give_back(pageblock_order + 1, MIGRATE_MOVABLE));
	KUNIT_EXPECT_TRUE(test, block(8)->buddy);
	KUNIT_EXPECT_EQ(test, block(8)->order, pageblock_order + 1);
	KUNIT_EXPECT_EQ(test, unit_zone.nr_unmapped, (long)pageblock_nr_pages);
}

static void letting_go(struct kunit *test)
{
	unsigned int i, n;

	for (i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
		take_init(test);
		for (n = 0; n < 10; n++)
			add_unmapped(n * 2, i);
		KUNIT_EXPECT_EQ(test, unmapped_let_go(&pools[i], 3), 3);
		KUNIT_EXPECT_EQ(test, unit_zone.nr_unmapped, 7L * pageblock_nr_pages);
		KUNIT_EXPECT_EQ(test, announced, 1);
		KUNIT_EXPECT_EQ(test, unmapped_let_go(&pools[i], 20), 7);
		KUNIT_EXPECT_EQ(test, unmapped_let_go(&pools[i], 20), 0);
		KUNIT_EXPECT_EQ(test, announced, 2);
		KUNIT_EXPECT_EQ(test, unit_zone.nr_unmapped, 0);
		KUNIT_EXPECT_EQ(test, undone, 10);
		KUNIT_EXPECT_EQ(test, flushed, freetype_properties[i].undo_flush ? 10 : 0);
		KUNIT_EXPECT_EQ(test, unit_zone.nr_free, 10 * pageblock_nr_pages);
	}
}

static void add_unerased(unsigned long nr)
{
	add_unmapped(nr, 0);
	unmapped_block_mark(pool, block(nr), true);
}

/* The block of the page that a request has, or -1 */
static long take_page(unsigned int order)
{
	struct page *page;

	guard(spinlock_irqsave)(&unit_zone.lock);
	page = unmapped_take_page(pool, order, true);
	return page ? (long)unit_block(page) : -1;
}

static long take_unerased(unsigned int order)
{
	struct page *page;

	guard(spinlock_irqsave)(&unit_zone.lock);
	page = unmapped_take_unerased(pool, order);
	return page ? (long)unit_block(page) : -1;
}

/*
 * A block that has yet to be erased is broken up by nobody, wherever it is on the
 * lists; and who wants to erase one finds it.
 */
static void unerased_is_not_broken(struct kunit *test)
{
	add_unerased(0);
	add_unerased(4);
	KUNIT_EXPECT_EQ(test, take_page(0), -1);
	add_unmapped(8, 0);
	add_unerased(12);
	KUNIT_EXPECT_EQ(test, take_page(pageblock_order), 8);
	KUNIT_EXPECT_EQ(test, take_page(pageblock_order), -1);

	KUNIT_EXPECT_EQ(test, pools[0].nr_unerased, 3);
	KUNIT_EXPECT_EQ(test, take_unerased(pageblock_order), 0);
	KUNIT_EXPECT_EQ(test, take_unerased(pageblock_order), 4);
	KUNIT_EXPECT_EQ(test, pools[0].nr_unerased, 1);
	/* Erased, or not */
	unmapped_put_unmapped(pool, block(0), pageblock_order, true, -1);
	unmapped_put_unmapped(pool, block(4), pageblock_order, false, -1);
	KUNIT_EXPECT_EQ(test, pools[0].nr_unerased, 2);
	KUNIT_EXPECT_EQ(test, take_page(pageblock_order), 4);
	KUNIT_EXPECT_EQ(test, take_unerased(pageblock_order), 12);
	KUNIT_EXPECT_EQ(test, take_unerased(pageblock_order), 0);
	KUNIT_EXPECT_EQ(test, take_unerased(pageblock_order), -1);
}

/* One of a pair that has merged: the other half is had. */
static void unerased_half(struct kunit *test)
{
	add_unmapped(16, 0);
	add_unerased(17);
	KUNIT_EXPECT_EQ(test, take_page(pageblock_order + 1), -1);
	KUNIT_EXPECT_EQ(test, take_page(pageblock_order), 16);
	KUNIT_EXPECT_EQ(test, take_page(pageblock_order), -1);
	KUNIT_EXPECT_EQ(test, take_unerased(pageblock_order), 17);
	KUNIT_EXPECT_EQ(test, pools[0].nr_unerased, 0);
}

static struct kunit_case take_cases[] = {
	KUNIT_CASE(fixed_hide_nothing),
	KUNIT_CASE(lock_is_not_held_for_long),
	KUNIT_CASE(fixed_are_passed_once),
	KUNIT_CASE(any_layout),
	KUNIT_CASE(plain_before_large),
	KUNIT_CASE(neighbours),
	KUNIT_CASE(isolated_and_reserved_stay),
	KUNIT_CASE(larger_orders),
	KUNIT_CASE(watermark),
	KUNIT_CASE(blocks_go_back),
	KUNIT_CASE(letting_go),
	KUNIT_CASE(unerased_is_not_broken),
	KUNIT_CASE(unerased_half),
	{}
};

static struct kunit_suite take_suite = {
	.name = "take",
	.init = take_init,
	.exit = take_exit,
	.test_cases = take_cases,
};

kunit_test_suite(take_suite);
