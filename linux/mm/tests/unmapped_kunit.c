// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page allocation off the direct map: what the page tables, the free lists and
 * the counters say after pages were allocated and freed in all sorts of ways.
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/direct_map.h>
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>
#include <linux/unmapped.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#include "../internal.h"
#include "../page_alloc.h"
#include "../unmapped.h"

#define GFP_TEST	(GFP_KERNEL | __GFP_UNMAPPED | __GFP_NOWARN)
#define NR_BLOCK	((unsigned int)pageblock_nr_pages)
#define PATTERN		0x5ec2e75ec2e75ec2UL

static const freetype_t unmapped_ft = { FREETYPE_LIST_UNMAPPED };

/*
 * Nothing happens in the background, but for the tests of just that: the others
 * count what they cause themselves.
 */
static unsigned int pool_blocks;

static int unmapped_suite_init(struct kunit_suite *suite)
{
	pool_blocks = sysctl_unmapped_pool_blocks;
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
	return 0;
}

static void unmapped_suite_exit(struct kunit_suite *suite)
{
	WRITE_ONCE(sysctl_unmapped_pool_blocks, pool_blocks);
}

static int unmapped_kunit_init(struct kunit *test)
{
	if (!unmapped_enable())
		kunit_skip(test, "this machine cannot take memory out of the direct map");
	return 0;
}

static unsigned long vm_event(enum vm_event_item item)
{
	unsigned long *events, value;

	events = kmalloc_array(NR_VM_EVENT_ITEMS, sizeof(*events), GFP_KERNEL);
	if (!events)
		return 0;
	all_vm_events(events);
	value = events[item];
	kfree(events);
	return value;
}

static bool readable(const struct page *page)
{
	unsigned long word;

	return !copy_from_kernel_nofault(&word, page_address(page), sizeof(word));
}

/* Write a pattern to all of an unmapped page, through a mapping of our own. */
static void fill(struct kunit *test, struct page *page, unsigned int order)
{
	unsigned int nr = 1U << order;

	for (unsigned int i = 0; i < nr; i++) {
		struct page *p = page + i;
		unsigned long *mem = vmap(&p, 1, VM_MAP, PAGE_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, mem);
		memset64((u64 *)mem, PATTERN, PAGE_SIZE / sizeof(u64));
		vunmap(mem);
	}
}

static bool is_zero(struct kunit *test, struct page *page, unsigned int order)
{
	unsigned int nr = 1U << order;

	for (unsigned int i = 0; i < nr; i++) {
		struct page *p = page + i;
		void *mem = vmap(&p, 1, VM_MAP, PAGE_KERNEL);
		bool zero;

		KUNIT_ASSERT_NOT_NULL(test, mem);
		zero = !memchr_inv(mem, 0, PAGE_SIZE);
		vunmap(mem);
		if (!zero)
			return false;
	}
	return true;
}

/*
 * The invariants that hold at any time: page tables, pageblock flags, free
 * lists and counters tell the same story.
 */
static void expect_zone_consistent(struct kunit *test, struct zone *zone)
{
	unsigned long free = 0, whole = 0, blocks = 0, wrong_list = 0;
	unsigned long mapped = 0, wrong_type = 0, flags, pfn;
	long nr_free, nr_whole, nr_blocks, nr_dirty;
	struct page *page;

	spin_lock_irqsave(&zone->lock, flags);
	for (int order = 0; order < NR_PAGE_ORDERS; order++) {
		struct free_area *area = &zone->free_area[order];

		list_for_each_entry(page, free_area_list(area, unmapped_ft),
				    buddy_list) {
			free += 1UL << order;
			if (order >= pageblock_order)
				whole += 1UL << order;
			wrong_list += !page_unmapped(page);
		}
	}

	for (pfn = pageblock_align(zone->zone_start_pfn);
	     pfn + NR_BLOCK <= zone_end_pfn(zone); pfn += NR_BLOCK) {
		page = pfn_to_online_page(pfn);
		if (!page || page_zone(page) != zone ||
		    !get_pfnblock_bit(page, pfn, PB_unmapped))
			continue;

		blocks++;
		wrong_type += get_pfnblock_migratetype(page, pfn) != MIGRATE_UNMOVABLE;
		mapped += arch_direct_map_block_mapped(page);
	}

	nr_free = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED);
	nr_whole = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED_WHOLE);
	nr_blocks = zone_page_state_snapshot(zone, NR_UNMAPPED) / NR_BLOCK;
	nr_dirty = zone_page_state_snapshot(zone, NR_UNMAPPED_DIRTY);
	spin_unlock_irqrestore(&zone->lock, flags);

	KUNIT_EXPECT_EQ(test, wrong_list, 0);
	KUNIT_EXPECT_EQ(test, wrong_type, 0);
	KUNIT_EXPECT_EQ(test, mapped, 0);
	KUNIT_EXPECT_EQ(test, nr_free, free);
	KUNIT_EXPECT_EQ(test, nr_whole, whole);
	KUNIT_EXPECT_EQ(test, nr_blocks, blocks);
	KUNIT_EXPECT_EQ(test, nr_dirty, 0);
}

static void expect_consistent(struct kunit *test)
{
	struct zone *zone;

	unmapped_drain_dirty();
	flush_work(&unmapped_dirty_work);
	drain_all_pages(NULL);
	for_each_populated_zone(zone)
		expect_zone_consistent(test, zone);
}

/* Take everything that is unmapped and free; returns it as a list. */
static void empty_pool(struct kunit *test, struct list_head *taken)
{
	const gfp_t gfp = GFP_NOWAIT | __GFP_UNMAPPED | __GFP_NOWARN;
	struct page *page;

	drain_all_pages(NULL);
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		while ((page = alloc_pages(gfp, order))) {
			KUNIT_EXPECT_TRUE(test, page_unmapped(page));
			set_page_private(page, order);
			list_add(&page->lru, taken);
		}
	}
}

static void refill_pool(struct list_head *taken)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, taken, lru) {
		list_del(&page->lru);
		__free_pages(page, page_private(page));
	}
}

/* S1, S3, S4: of each order, what is returned is off the direct map and zero. */
static void unmapped_orders(struct kunit *test)
{
	for (int order = 0; order <= MAX_PAGE_ORDER; order++) {
		struct page *page = alloc_pages(GFP_TEST | __GFP_ZERO, order);

		KUNIT_ASSERT_NOT_NULL_MSG(test, page, "order %d", order);
		KUNIT_EXPECT_TRUE(test, page_unmapped(page));
		for (unsigned int i = 0; i < 1U << order; i++) {
			if (readable(page + i))
				KUNIT_FAIL(test, "order %d, page %u is readable", order, i);
		}
		KUNIT_EXPECT_TRUE(test, is_zero(test, page, order));

		fill(test, page, order);
		__free_pages(page, order);
		expect_consistent(test);
	}
}

/* S3: an ordinary allocation is mapped, whatever was freed before. */
static void unmapped_ordinary_is_mapped(struct kunit *test)
{
	struct page *page = alloc_page(GFP_TEST);

	KUNIT_ASSERT_NOT_NULL(test, page);
	__free_page(page);

	for (int order = 0; order <= MAX_PAGE_ORDER; order++) {
		page = alloc_pages(GFP_KERNEL, order);
		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_EXPECT_FALSE(test, page_unmapped(page));
		KUNIT_EXPECT_TRUE(test, readable(page));
		__free_pages(page, order);
	}
}

/* P1: a pageblock costs one flip and one shootdown, however it is used up. */
static void unmapped_one_shootdown(struct kunit *test)
{
	unsigned long flips, shootdowns;
	LIST_HEAD(taken);
	LIST_HEAD(pages);
	struct page *page;

	empty_pool(test, &taken);
	flips = vm_event(UNMAPPED_FLIP_UNMAP);
	shootdowns = vm_event(UNMAPPED_SHOOTDOWN);

	/* Migrating would leave pages on the lists of the old CPU */
	migrate_disable();
	for (unsigned int i = 0; i < NR_BLOCK; i++) {
		page = alloc_page(GFP_TEST);
		if (!page)
			break;
		set_page_private(page, 0);
		list_add(&page->lru, &pages);
	}
	migrate_enable();

	KUNIT_EXPECT_NOT_NULL(test, page);
	KUNIT_EXPECT_EQ(test, vm_event(UNMAPPED_FLIP_UNMAP) - flips, 1);
	KUNIT_EXPECT_EQ(test, vm_event(UNMAPPED_SHOOTDOWN) - shootdowns, 1);

	refill_pool(&pages);
	refill_pool(&taken);
	expect_consistent(test);
}

/* The rest of a flipped block is free in the largest pieces that there are. */
static void unmapped_rest_is_expanded(struct kunit *test)
{
	const unsigned int order = PAGE_ALLOC_COSTLY_ORDER + 1;
	struct page *page, *rest;
	LIST_HEAD(taken);

	empty_pool(test, &taken);
	/* Of this order there are no per-CPU lists */
	page = alloc_pages(GFP_TEST, order);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED(page_to_pfn(page), NR_BLOCK));

	for (unsigned int o = order; o < pageblock_order; o++) {
		rest = page + (1U << o);
		KUNIT_EXPECT_TRUE_MSG(test, PageBuddy(rest), "order %u", o);
		KUNIT_EXPECT_EQ(test, buddy_order(rest), o);
	}

	__free_pages(page, order);
	refill_pool(&taken);
	expect_consistent(test);
}

/* L6: who may not block takes from the pool or fails, and nothing is flipped. */
static void unmapped_nowait(struct kunit *test)
{
	unsigned int noreclaim;
	unsigned long flips;
	struct page *page;
	LIST_HEAD(taken);

	page = alloc_page(GFP_TEST);
	KUNIT_ASSERT_NOT_NULL(test, page);
	__free_page(page);

	flips = vm_event(UNMAPPED_FLIP_UNMAP);
	empty_pool(test, &taken);
	KUNIT_EXPECT_FALSE(test, list_empty(&taken));
	KUNIT_EXPECT_NULL(test, alloc_page(GFP_ATOMIC | __GFP_UNMAPPED | __GFP_NOWARN));
	KUNIT_EXPECT_NULL(test, alloc_page(GFP_NOWAIT | __GFP_UNMAPPED | __GFP_NOWARN));

	/* Neither does who is in reclaim */
	noreclaim = memalloc_noreclaim_save();
	KUNIT_EXPECT_NULL(test, alloc_page(GFP_TEST));
	memalloc_noreclaim_restore(noreclaim);
	KUNIT_EXPECT_EQ(test, vm_event(UNMAPPED_FLIP_UNMAP), flips);

	refill_pool(&taken);
	expect_consistent(test);
}

/* S3, L3: what no list serves, or cannot be promised, is refused. */
static void unmapped_refuses(struct kunit *test)
{
	struct kunit_suppressed_warning *w;
	static bool told;

	KUNIT_EXPECT_NULL(test, alloc_page(GFP_TEST | __GFP_MOVABLE));
	KUNIT_EXPECT_NULL(test, alloc_page(GFP_TEST | __GFP_RECLAIMABLE));
	KUNIT_EXPECT_NULL(test, alloc_page(GFP_TEST | __GFP_NOFAIL));

	/* Loudly, but once in the life of the machine */
	w = kunit_start_suppress_warning(test);
	KUNIT_EXPECT_NULL(test, alloc_page(GFP_KERNEL | __GFP_UNMAPPED | __GFP_NOFAIL));
	kunit_end_suppress_warning(test, w);
	KUNIT_EXPECT_EQ(test, kunit_suppressed_warning_count(w), told ? 0 : 1);
	told = true;
}

/* L1: a free unmapped block is had back by whoever isolates it, and is zero. */
static void unmapped_isolate_free_block(struct kunit *test)
{
	unsigned long pfn, remaps;
	struct page *page;

	page = alloc_pages(GFP_TEST, pageblock_order);
	KUNIT_ASSERT_NOT_NULL(test, page);
	pfn = page_to_pfn(page);
	fill(test, page, pageblock_order);
	__free_pages(page, pageblock_order);
	unmapped_drain_dirty();
	drain_all_pages(NULL);

	remaps = vm_event(UNMAPPED_FLIP_REMAP);
	KUNIT_ASSERT_EQ(test, 0, start_isolate_page_range(pfn, pfn + NR_BLOCK,
							  PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_FALSE(test, page_unmapped(page));
	KUNIT_EXPECT_TRUE(test, arch_direct_map_block_mapped(page));
	KUNIT_EXPECT_GE(test, vm_event(UNMAPPED_FLIP_REMAP) - remaps, 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0,
					   PAGE_SIZE << pageblock_order));
	undo_isolate_page_range(pfn, pfn + NR_BLOCK);
	expect_consistent(test);
}

/* A block that is in use is not isolated, and stays what it is. */
static void unmapped_isolate_used_block(struct kunit *test)
{
	struct page *page = alloc_page(GFP_TEST);
	unsigned long start;

	KUNIT_ASSERT_NOT_NULL(test, page);
	start = pageblock_start_pfn(page_to_pfn(page));
	KUNIT_EXPECT_EQ(test, -EBUSY,
			start_isolate_page_range(start, start + NR_BLOCK,
						 PB_ISOLATE_MODE_OTHER));
	KUNIT_EXPECT_TRUE(test, page_unmapped(page));
	KUNIT_EXPECT_FALSE(test, readable(page));
	__free_page(page);
	expect_consistent(test);
}

/* S3: nobody gets at a free unmapped page by isolating it. */
static void unmapped_isolate_free_page(struct kunit *test)
{
	const unsigned int order = PAGE_ALLOC_COSTLY_ORDER + 1;
	struct page *page = alloc_pages(GFP_TEST, order);
	struct zone *zone;

	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);

	scoped_guard(spinlock_irq, &zone->lock) {
		struct page *buddy = page + (1U << order);

		if (PageBuddy(buddy))
			KUNIT_EXPECT_EQ(test, 0, __isolate_free_page(buddy,
								     buddy_order(buddy)));
	}
	__free_pages(page, order);
	expect_consistent(test);
}

/*
 * L4: failures, and isolation that comes in the middle. Afterwards everything
 * is mapped, on the right list, and accounted.
 */
static int fail_unmap_calls;

static int fail_second_unmap(struct page *block)
{
	if (fail_unmap_calls++ & 1)
		return -EBUSY;
	return arch_direct_map_block_unmap(block);
}

static int fail_unmap(struct page *block)
{
	return -ENOMEM;
}

static bool isolated(struct page *page, unsigned int order)
{
	return true;
}

static void expect_flip_fails(struct kunit *test, unsigned int order)
{
	unsigned long unmapped, fails, free;
	struct page *page;
	LIST_HEAD(taken);

	empty_pool(test, &taken);
	expect_consistent(test);
	unmapped = global_zone_page_state(NR_UNMAPPED);
	fails = vm_event(UNMAPPED_FLIP_FAIL);
	free = global_zone_page_state(NR_FREE_PAGES);

	page = alloc_pages(GFP_TEST | __GFP_NORETRY, order);
	KUNIT_EXPECT_NULL(test, page);

	KUNIT_EXPECT_GT(test, vm_event(UNMAPPED_FLIP_FAIL), fails);
	KUNIT_EXPECT_EQ(test, global_zone_page_state(NR_UNMAPPED), unmapped);
	/* Others allocate too, but not blocks at a time */
	KUNIT_EXPECT_LT(test, abs_diff(free, global_zone_page_state(NR_FREE_PAGES)),
			NR_BLOCK);
	refill_pool(&taken);
	expect_consistent(test);
}

static void unmapped_flip_fails(struct kunit *test)
{
	kunit_activate_static_stub(test, unmapped_unmap_one, fail_unmap);
	expect_flip_fails(test, 0);
	expect_flip_fails(test, pageblock_order);
}

static int count_unmap(struct page *block)
{
	fail_unmap_calls++;
	return -ENOMEM;
}

/* How often a request tries to unmap a block before it gives up. */
static int tries(struct kunit *test, gfp_t gfp)
{
	const int calls = fail_unmap_calls;

	KUNIT_EXPECT_NULL(test, alloc_page(gfp | __GFP_UNMAPPED | __GFP_NOWARN));
	return fail_unmap_calls - calls;
}

/* What the flags say of other pages, they say of unmapped ones */
static void unmapped_gfp_flags(struct kunit *test)
{
	const unsigned long kills = vm_event(OOM_KILL);
	int noretry, mayfail, kernel;
	LIST_HEAD(taken);

	kunit_activate_static_stub(test, unmapped_unmap_one, count_unmap);
	empty_pool(test, &taken);

	/* At once, whether the caller may be waited for or is important */
	KUNIT_EXPECT_EQ(test, tries(test, GFP_NOWAIT), 0);
	KUNIT_EXPECT_EQ(test, tries(test, GFP_ATOMIC), 0);
	KUNIT_EXPECT_EQ(test, tries(test, __GFP_NORETRY), 0);

	noretry = tries(test, GFP_KERNEL | __GFP_NORETRY);
	mayfail = tries(test, GFP_KERNEL | __GFP_RETRY_MAYFAIL);
	kernel = tries(test, GFP_KERNEL);
	kunit_info(test, "attempts: noretry %d, kernel %d, retry_mayfail %d\n",
		   noretry, kernel, mayfail);

	KUNIT_EXPECT_GT(test, noretry, 0);
	KUNIT_EXPECT_GT(test, mayfail, noretry);
	/* A costly request: it gives up where it is not told to go on */
	KUNIT_EXPECT_GE(test, kernel, noretry);
	KUNIT_EXPECT_LE(test, kernel, mayfail);
	/* Less than what reclaims for ever */
	KUNIT_EXPECT_LT(test, mayfail, 1000);

	KUNIT_EXPECT_EQ(test, tries(test, GFP_KERNEL | __GFP_NOFAIL), 0);
	KUNIT_EXPECT_EQ(test, vm_event(OOM_KILL), kills);

	refill_pool(&taken);
	expect_consistent(test);
}

/* What compaction captures for a request is a block for it to flip */
static void unmapped_captured(struct kunit *test)
{
	struct page *block, *page = alloc_page(GFP_TEST);
	unsigned long unmapped, shootdowns;
	struct zone *zone;

	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	__free_page(page);
	unmapped = zone_page_state(zone, NR_UNMAPPED);

	block = take_free_blocks(zone, pageblock_order, zone_idx(zone), 0);
	KUNIT_ASSERT_NOT_NULL(test, block);
	kunit_activate_static_stub(test, unmapped_unmap_one, fail_unmap);
	KUNIT_EXPECT_NULL(test, unmapped_flip_captured(block, 0));
	kunit_deactivate_static_stub(test, unmapped_unmap_one);
	KUNIT_EXPECT_TRUE(test, readable(block));
	KUNIT_EXPECT_FALSE(test, page_unmapped(block));
	KUNIT_EXPECT_EQ(test, zone_page_state(zone, NR_UNMAPPED), unmapped);
	expect_consistent(test);

	block = take_free_blocks(zone, pageblock_order, zone_idx(zone), 0);
	KUNIT_ASSERT_NOT_NULL(test, block);
	shootdowns = vm_event(UNMAPPED_SHOOTDOWN);
	page = unmapped_flip_captured(block, 0);
	KUNIT_EXPECT_EQ(test, vm_event(UNMAPPED_SHOOTDOWN), shootdowns + 1);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_TRUE(test, page_unmapped(page));
	KUNIT_EXPECT_FALSE(test, readable(page));
	KUNIT_EXPECT_TRUE(test, is_zero(test, page, 0));
	KUNIT_EXPECT_EQ(test, zone_page_state(zone, NR_UNMAPPED),
			unmapped + NR_BLOCK);
	free_frozen_pages(page, 0);
	expect_consistent(test);
}

/* One block that cannot be flipped does not hide the others. */
static struct page *bad_block;

static int fail_bad_block(struct page *block)
{
	if (!bad_block)
		bad_block = block;
	if (block == bad_block)
		return -EBUSY;
	return arch_direct_map_block_unmap(block);
}

static void unmapped_flip_tries_next(struct kunit *test)
{
	unsigned long fails;
	struct page *page;
	LIST_HEAD(taken);

	for (int round = 0; round < 3; round++) {
		empty_pool(test, &taken);
		bad_block = NULL;
		fails = vm_event(UNMAPPED_FLIP_FAIL);
		kunit_activate_static_stub(test, unmapped_unmap_one, fail_bad_block);
		page = alloc_page(GFP_TEST | __GFP_NORETRY);
		kunit_deactivate_static_stub(test, unmapped_unmap_one);

		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_EXPECT_TRUE(test, page_unmapped(page));
		/* There may be others that cannot be flipped */
		KUNIT_EXPECT_GT(test, vm_event(UNMAPPED_FLIP_FAIL), fails);
		__free_page(page);
		refill_pool(&taken);
		INIT_LIST_HEAD(&taken);
		expect_consistent(test);
	}
}

static void unmapped_flip_fails_half_way(struct kunit *test)
{
	if (pageblock_order == MAX_PAGE_ORDER)
		kunit_skip(test, "no flip is larger than a block");

	fail_unmap_calls = 0;
	kunit_activate_static_stub(test, unmapped_unmap_one, fail_second_unmap);
	expect_flip_fails(test, pageblock_order + 1);
	KUNIT_EXPECT_GE(test, fail_unmap_calls, 2);
}

static void unmapped_flip_isolated(struct kunit *test)
{
	kunit_activate_static_stub(test, free_blocks_isolated, isolated);
	expect_flip_fails(test, 0);
	expect_flip_fails(test, MAX_PAGE_ORDER);
}

/*
 * S2: what a page held is gone, whatever the context that frees it. The page is
 * found again by allocating until it comes back.
 */
struct free_ctx {
	struct page *page;
	unsigned int order;
	struct completion done;
	struct irq_work irq_work;
	struct work_struct bh_work;
};

static void expect_erased(struct kunit *test, struct page *page,
			  unsigned int order)
{
	struct page *again;
	LIST_HEAD(taken);

	/* The dirty queue may have it */
	unmapped_drain_dirty();
	flush_work(&unmapped_dirty_work);
	drain_all_pages(NULL);

	/* Take all that is free, without flipping */
	empty_pool(test, &taken);
	again = NULL;
	list_for_each_entry(again, &taken, lru) {
		unsigned long first = page_to_pfn(again);

		if (page_to_pfn(page) >= first &&
		    page_to_pfn(page) < first + (1UL << page_private(again)))
			break;
	}
	KUNIT_EXPECT_FALSE(test, list_entry_is_head(again, &taken, lru));
	KUNIT_EXPECT_TRUE(test, is_zero(test, page, order));
	refill_pool(&taken);
	expect_consistent(test);
}

static struct page *dirty_page(struct kunit *test, unsigned int order)
{
	struct page *page = alloc_pages(GFP_TEST, order);

	KUNIT_ASSERT_NOT_NULL(test, page);
	fill(test, page, order);
	return page;
}

static const unsigned int free_orders[] = { 0, 1, PAGE_ALLOC_COSTLY_ORDER, 9 };

static void unmapped_free_task(struct kunit *test)
{
	for (int i = 0; i < ARRAY_SIZE(free_orders); i++) {
		struct page *page = dirty_page(test, free_orders[i]);

		__free_pages(page, free_orders[i]);
		expect_erased(test, page, free_orders[i]);
	}
}

static void unmapped_free_irqs_off(struct kunit *test)
{
	static DEFINE_RAW_SPINLOCK(lock);

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		kunit_skip(test, "the locks of the page allocator sleep there");

	for (int i = 0; i < ARRAY_SIZE(free_orders); i++) {
		struct page *page = dirty_page(test, free_orders[i]);

		scoped_guard(raw_spinlock_irqsave, &lock)
			__free_pages(page, free_orders[i]);
		expect_erased(test, page, free_orders[i]);
	}
}

static void free_in_bh(struct work_struct *work)
{
	struct free_ctx *ctx = container_of(work, struct free_ctx, bh_work);

	__free_pages(ctx->page, ctx->order);
	complete(&ctx->done);
}

static void unmapped_free_softirq(struct kunit *test)
{
	for (int i = 0; i < ARRAY_SIZE(free_orders); i++) {
		struct free_ctx ctx = { .order = free_orders[i] };

		ctx.page = dirty_page(test, ctx.order);
		init_completion(&ctx.done);
		INIT_WORK_ONSTACK(&ctx.bh_work, free_in_bh);
		queue_work(system_bh_wq, &ctx.bh_work);
		wait_for_completion(&ctx.done);
		flush_work(&ctx.bh_work);
		destroy_work_on_stack(&ctx.bh_work);
		expect_erased(test, ctx.page, ctx.order);
	}
}

static void free_in_irq(struct irq_work *work)
{
	struct free_ctx *ctx = container_of(work, struct free_ctx, irq_work);

	__free_pages(ctx->page, ctx->order);
	complete(&ctx->done);
}

static void unmapped_free_hardirq(struct kunit *test)
{
	/* On PREEMPT_RT nothing is freed in hard interrupts: an irq thread does */
	for (int i = 0; i < ARRAY_SIZE(free_orders); i++) {
		struct free_ctx ctx = { .order = free_orders[i] };

		ctx.page = dirty_page(test, ctx.order);
		init_completion(&ctx.done);
		ctx.irq_work = IS_ENABLED(CONFIG_PREEMPT_RT) ?
			IRQ_WORK_INIT(free_in_irq) : IRQ_WORK_INIT_HARD(free_in_irq);
		irq_work_queue(&ctx.irq_work);
		wait_for_completion(&ctx.done);
		irq_work_sync(&ctx.irq_work);
		expect_erased(test, ctx.page, ctx.order);
	}
}

static int free_in_kthread(void *data)
{
	struct free_ctx *ctx = data;

	__free_pages(ctx->page, ctx->order);
	complete(&ctx->done);
	return 0;
}

static void unmapped_free_kthread(struct kunit *test)
{
	for (int i = 0; i < ARRAY_SIZE(free_orders); i++) {
		struct free_ctx ctx = { .order = free_orders[i] };
		struct task_struct *task;

		ctx.page = dirty_page(test, ctx.order);
		init_completion(&ctx.done);
		task = kthread_run(free_in_kthread, &ctx, "unmapped_free");
		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
		wait_for_completion(&ctx.done);
		expect_erased(test, ctx.page, ctx.order);
	}
}

/* While another temporary mm is in use, the dirty queue has to take it. */
static void unmapped_free_dirty(struct kunit *test)
{
	unsigned long zeroed = vm_event(UNMAPPED_ZEROED_PAGES);
	struct page *page = dirty_page(test, pageblock_order);

	/* Too much for a context that cannot be preempted */
	local_bh_disable();
	__free_pages(page, pageblock_order);
	local_bh_enable();
	expect_erased(test, page, pageblock_order);
	KUNIT_EXPECT_GE(test, vm_event(UNMAPPED_ZEROED_PAGES) - zeroed, NR_BLOCK);
}

static void unmapped_bulk(struct kunit *test)
{
	struct page *pages[64] = {};
	unsigned long nr, total = 0;

	while (total < ARRAY_SIZE(pages)) {
		nr = alloc_pages_bulk(GFP_TEST, ARRAY_SIZE(pages), pages);
		if (nr == total)
			break;
		total = nr;
	}
	KUNIT_EXPECT_EQ(test, total, ARRAY_SIZE(pages));
	for (unsigned long i = 0; i < total; i++) {
		KUNIT_EXPECT_TRUE(test, page_unmapped(pages[i]));
		__free_page(pages[i]);
	}
	expect_consistent(test);
}

static unsigned long free_blocks(struct zone *zone)
{
	return zone_page_state(zone, NR_FREE_UNMAPPED_WHOLE) >> pageblock_order;
}

/* Wait until the zone has that many free unmapped blocks, at least or at most. */
static bool wait_for_pool(struct zone *zone, unsigned long min, unsigned long max)
{
	for (int i = 0; i < 100; i++) {
		unsigned long nr = free_blocks(zone);

		if (nr >= min && nr <= max)
			return true;
		msleep(100);
	}
	return false;
}

/*
 * A request is demand: blocks are unmapped in advance, with less shootdowns than
 * blocks, and who may not block finds them. Without demand they are let go.
 */
static void unmapped_pool(struct kunit *test)
{
	const gfp_t gfp = GFP_ATOMIC | __GFP_UNMAPPED | __GFP_NOWARN;
	unsigned long flips, shootdowns, target;
	struct page *page, *pages[4];
	struct zone *zone;
	LIST_HEAD(taken);

	empty_pool(test, &taken);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 8);
	page = alloc_page(GFP_TEST);
	KUNIT_ASSERT_NOT_NULL(test, page);
	zone = page_zone(page);
	target = min(8, zone_managed_pages(zone) / 64 / NR_BLOCK);
	KUNIT_ASSERT_GT(test, target, 3);
	KUNIT_EXPECT_TRUE(test, wait_for_pool(zone, target, ULONG_MAX));

	/* Take all of it, to see what filling it again costs */
	refill_pool(&taken);
	INIT_LIST_HEAD(&taken);
	flips = vm_event(UNMAPPED_FLIP_UNMAP);
	shootdowns = vm_event(UNMAPPED_SHOOTDOWN);
	empty_pool(test, &taken);
	KUNIT_EXPECT_TRUE(test, wait_for_pool(zone, target, ULONG_MAX));
	flips = vm_event(UNMAPPED_FLIP_UNMAP) - flips;
	shootdowns = vm_event(UNMAPPED_SHOOTDOWN) - shootdowns;
	kunit_info(test, "%lu blocks with %lu shootdowns", flips, shootdowns);
	KUNIT_EXPECT_GE(test, flips, target);
	KUNIT_EXPECT_LE(test, shootdowns, flips / 2);

	flips = vm_event(UNMAPPED_FLIP_UNMAP);
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		pages[i] = alloc_pages(gfp, i ? PAGE_ALLOC_COSTLY_ORDER + 1 : 0);
		KUNIT_EXPECT_NOT_NULL(test, pages[i]);
	}
	for (int i = 0; i < ARRAY_SIZE(pages); i++) {
		if (pages[i])
			__free_pages(pages[i], i ? PAGE_ALLOC_COSTLY_ORDER + 1 : 0);
	}
	__free_page(page);
	refill_pool(&taken);
	expect_consistent(test);

	/* As if nobody had asked for a long time */
	KUNIT_EXPECT_GT(test, free_blocks(zone), 0);
	for (int i = 0; i < 100 && free_blocks(zone); i++) {
		WRITE_ONCE(zone->unmapped_pool.last_used, jiffies - 3600 * HZ);
		mod_delayed_work(system_dfl_wq, &zone->unmapped_pool.work, 0);
		msleep(20);
	}
	KUNIT_EXPECT_EQ(test, free_blocks(zone), 0);
	expect_consistent(test);
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
}

static struct kunit_case unmapped_test_cases[] = {
	KUNIT_CASE(unmapped_orders),
	KUNIT_CASE(unmapped_ordinary_is_mapped),
	KUNIT_CASE(unmapped_one_shootdown),
	KUNIT_CASE(unmapped_rest_is_expanded),
	KUNIT_CASE(unmapped_nowait),
	KUNIT_CASE(unmapped_refuses),
	KUNIT_CASE(unmapped_isolate_free_block),
	KUNIT_CASE(unmapped_isolate_used_block),
	KUNIT_CASE(unmapped_isolate_free_page),
	KUNIT_CASE(unmapped_flip_fails),
	KUNIT_CASE(unmapped_gfp_flags),
	KUNIT_CASE(unmapped_captured),
	KUNIT_CASE(unmapped_flip_tries_next),
	KUNIT_CASE(unmapped_flip_fails_half_way),
	KUNIT_CASE(unmapped_flip_isolated),
	KUNIT_CASE(unmapped_free_task),
	KUNIT_CASE(unmapped_free_irqs_off),
	KUNIT_CASE(unmapped_free_softirq),
	KUNIT_CASE(unmapped_free_hardirq),
	KUNIT_CASE(unmapped_free_kthread),
	KUNIT_CASE(unmapped_free_dirty),
	KUNIT_CASE(unmapped_bulk),
	KUNIT_CASE_SLOW(unmapped_pool),
	{}
};

static struct kunit_suite unmapped_test_suite = {
	.name = "unmapped",
	.suite_init = unmapped_suite_init,
	.suite_exit = unmapped_suite_exit,
	.init = unmapped_kunit_init,
	.test_cases = unmapped_test_cases,
};

kunit_test_suite(unmapped_test_suite);

MODULE_DESCRIPTION("Page allocation off the direct map");
MODULE_LICENSE("GPL");
