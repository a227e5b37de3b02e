// SPDX-License-Identifier: GPL-2.0-only
/*
 * S2: what an unmapped page held is gone, whatever the context that frees it. The
 * page is found again by allocating until it comes back.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/folio_batch.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/mermap.h>
#include <linux/swap.h>
#include <linux/unmapped.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <trace/events/unmapped.h>

#include "util.h"

static const unsigned int free_orders[] = { 0, 1, PAGE_ALLOC_COSTLY_ORDER, 9 };

/* A page on its way to a context that frees it */
struct free_ctx {
	struct page *page;
	unsigned int order;
	long dirty;
	struct completion done;
	struct irq_work irq_work;
	struct work_struct bh_work;
};

static struct page *dirty_page(struct kunit *test, unsigned int order)
{
	struct page *page = ut_alloc(GFP_TEST, order);

	KUNIT_ASSERT_NOT_NULL(test, page);
	ut_fill(test, page, order);
	return page;
}

static void expect_erased(struct kunit *test, struct page *page, unsigned int order)
{
	LIST_HEAD(taken);

	/* All that is free, without flipping */
	ut_empty_pool(test, &taken);
	KUNIT_EXPECT_TRUE(test, ut_on_list(&taken, page));
	KUNIT_EXPECT_TRUE(test, ut_is_zero(test, page, order));
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

static void free_from_task(struct kunit *test)
{
	for (int i = 0; i < ARRAY_SIZE(free_orders); i++) {
		struct page *page = dirty_page(test, free_orders[i]);

		__free_pages(page, free_orders[i]);
		expect_erased(test, page, free_orders[i]);
	}
}

static void free_from_irqs_off(struct kunit *test)
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

static void free_from_softirq(struct kunit *test)
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

static void free_from_hardirq(struct kunit *test)
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

static void free_from_kthread(struct kunit *test)
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

static long nr_dirty(struct zone *zone)
{
	return zone_page_state_snapshot(zone, NR_UNMAPPED_DIRTY);
}

static void free_in_nmi(void *arg)
{
	struct free_ctx *ctx = arg;
	struct zone *zone = page_zone(ctx->page);

	ctx->dirty = -nr_dirty(zone);
	free_pages_nolock(ctx->page, ctx->order);
	ctx->dirty += nr_dirty(zone);
}

static void free_from_nmi(struct kunit *test)
{
	const unsigned int orders[] = { 0, PAGE_ALLOC_COSTLY_ORDER };
	bool ran = true;

	for (int i = 0; i < ARRAY_SIZE(orders) && ran; i++) {
		struct free_ctx ctx = { .order = orders[i] };

		ctx.page = dirty_page(test, ctx.order);
		ran = ut_call_nmi(free_in_nmi, &ctx);
		if (!ran)
			__free_pages(ctx.page, ctx.order);
		else	/* It may have come in the middle of a switch: not erased there */
			KUNIT_EXPECT_EQ(test, ctx.dirty, 1L << ctx.order);
		expect_erased(test, ctx.page, ctx.order);
	}
	if (!ran)
		kunit_skip(test, "the machine delivers no NMI");
}

/* What cannot be erased at once waits, and is not free meanwhile. */
static void free_waits(struct kunit *test)
{
	const unsigned int order = pageblock_order;
	struct page *page = dirty_page(test, order);
	struct zone *zone = page_zone(page);
	unsigned long zeroed, flags;
	long dirty, free, free_before;

	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		__free_pages(page, order);
		kunit_skip(test, "the locks of the page allocator sleep there");
	}

	ut_settle();
	KUNIT_EXPECT_EQ(test, nr_dirty(zone), 0);
	zeroed = ut_event(UNMAPPED_ZEROED_PAGES);

	/* Too much where nobody can preempt it; and nobody hears of it as yet */
	local_irq_save(flags);
	free_before = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED);
	__free_pages(page, order);
	dirty = nr_dirty(zone);
	free = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED);
	local_irq_restore(flags);

	KUNIT_EXPECT_EQ(test, dirty, NR_BLOCK);
	KUNIT_EXPECT_EQ(test, free, free_before);

	/* It does not take somebody who is short of memory */
	for (int i = 0; i < 1000 && nr_dirty(zone); i++)
		fsleep(1000);
	KUNIT_EXPECT_EQ(test, nr_dirty(zone), 0);
	ut_settle();
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_ZEROED_PAGES) - zeroed, NR_BLOCK);
	expect_erased(test, page, order);
}

/* How often all CPUs were made to forget what windows have shown */
static unsigned long nr_flushes(void)
{
	unsigned long nr = 0;
#ifdef CONFIG_MERMAP
	int cpu;

	for_each_possible_cpu(cpu)
		nr += per_cpu(vm_event_states, cpu).event[MERMAP_FLUSH];
#endif
	return nr;
}

/* As mermap_get() does it */
static void taint(struct page *page)
{
#ifdef CONFIG_MERMAP
	set_bit(PG_mermapped, &page->flags.f);
#endif
}

#ifdef CONFIG_MERMAP
/* ... when a page that waited for it went on */
static unsigned long flushes_then;

static void note_flushes(void *data, unsigned long pfn, unsigned int order)
{
	WRITE_ONCE(flushes_then, nr_flushes());
}

static void forget_flushes(void *unused)
{
	unregister_trace_unmapped_dirty_erase(note_flushes, NULL);
	tracepoint_synchronize_unregister();
}
#endif

/*
 * S6: what a window has shown is nobody's before all CPUs were flushed, be it the
 * last part only.
 */
static void free_quarantine(struct kunit *test)
{
#ifdef CONFIG_MERMAP
	const unsigned int orders[] = { 0, 2 };
	unsigned long flags, flushes;
	struct zone *zone;
	long dirty;

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	if (mermap_mm_prepare(current->mm))
		kunit_skip(test, "no windows on this machine");
	if (register_trace_unmapped_dirty_erase(note_flushes, NULL) ||
	    kunit_add_action_or_reset(test, forget_flushes, NULL))
		kunit_skip(test, "no tracepoints");

	for (int i = 0; i < ARRAY_SIZE(orders); i++) {
		const unsigned int nr = 1U << orders[i];
		struct page *page = ut_alloc(GFP_TEST | __GFP_COMP, orders[i]);

		KUNIT_ASSERT_NOT_NULL(test, page);
		ut_fill(test, page, orders[i]);
		zone = page_zone(page);
		ut_settle();
		scoped_class(mermap, w, page + nr - 1, PAGE_SIZE, PAGE_KERNEL) {
			KUNIT_ASSERT_NOT_NULL(test, mermap_addr(w));
			memset(mermap_addr(w), 0x5a, PAGE_SIZE);
		}
		KUNIT_EXPECT_TRUE(test, mermap_page_tainted(page + nr - 1));

		flushes = nr_flushes();
		WRITE_ONCE(flushes_then, 0);
		local_irq_save(flags);
		__free_pages(page, orders[i]);
		dirty = nr_dirty(zone);
		local_irq_restore(flags);
		KUNIT_EXPECT_EQ(test, dirty, nr);
		expect_erased(test, page, orders[i]);
		KUNIT_EXPECT_GT(test, flushes_then, flushes);
		KUNIT_EXPECT_FALSE(test, mermap_page_tainted(page + nr - 1));
	}
#else
	kunit_skip(test, "no windows");
#endif
}

/* A batch: unmapped pages among others, each goes where it belongs. */
static void free_batch(struct kunit *test)
{
	struct page *dirty[8], *plain[ARRAY_SIZE(dirty)];
	unsigned long zeroed, flushes;
	struct folio_batch batch;
	LIST_HEAD(taken);

	ut_settle();
	flushes = nr_flushes();
	zeroed = ut_event(UNMAPPED_ZEROED_PAGES);
	folio_batch_init(&batch);
	for (int i = 0; i < ARRAY_SIZE(dirty); i++) {
		plain[i] = alloc_page(GFP_KERNEL | __GFP_NOFAIL);
		dirty[i] = dirty_page(test, 0);
		/* No page has that here, and none is free with it */
		set_bit(PG_arch_1, &plain[i]->flags.f);
		set_page_count(plain[i], 0);
		set_page_count(dirty[i], 0);
		folio_batch_add(&batch, page_folio(plain[i]));
		folio_batch_add(&batch, page_folio(dirty[i]));
	}
	/* One of them was shown by a window, and has to wait */
	taint(dirty[3]);
	free_unref_folios(&batch);
	ut_settle();
	KUNIT_EXPECT_EQ(test, ut_event(UNMAPPED_ZEROED_PAGES) - zeroed, ARRAY_SIZE(dirty));
	KUNIT_EXPECT_EQ(test, nr_flushes() > flushes, IS_ENABLED(CONFIG_MERMAP));
	for (int i = 0; i < ARRAY_SIZE(plain); i++)
		KUNIT_EXPECT_FALSE(test, test_bit(PG_arch_1, &plain[i]->flags.f));

	ut_empty_pool(test, &taken);
	for (int i = 0; i < ARRAY_SIZE(dirty); i++) {
		KUNIT_EXPECT_TRUE(test, ut_on_list(&taken, dirty[i]));
		KUNIT_EXPECT_TRUE(test, ut_is_zero(test, dirty[i], 0));
	}
	ut_put_all(&taken);
	ut_expect_consistent(test);
}

/* What is hardware-poisoned is neither touched nor free; the rest of it is erased. */
static void free_poisoned(struct kunit *test)
{
	struct page *page = dirty_page(test, 2), *bad = page + 1;
	const bool kept = IS_ENABLED(CONFIG_MEMORY_FAILURE);
	LIST_HEAD(taken);

	SetPageHWPoison(bad);
	__free_pages(page, 2);

	ut_empty_pool(test, &taken);
	for (int i = 0; i < 4; i++) {
		KUNIT_EXPECT_EQ(test, ut_on_list(&taken, page + i), page + i != bad || !kept);
		KUNIT_EXPECT_EQ(test, ut_is_zero(test, page + i, 0), page + i != bad || !kept);
	}
	ut_put_all(&taken);
	ut_expect_consistent(test);
	if (!kept)
		return;
	ClearPageHWPoison(bad);
	init_page_count(bad);
	__free_page(bad);
	ut_expect_consistent(test);
}

/* As vfree() does: pages that are next to each other, which could be freed as one */
static void free_bulk(struct kunit *test)
{
	struct page *page = dirty_page(test, 2), *pages[4];
	unsigned long flushes;

	split_page(page, 2);
	for (int i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = page + i;
	ut_settle();
	flushes = nr_flushes();
	/* Of one of them, more has to be done */
	taint(pages[1]);
	free_pages_bulk(pages, ARRAY_SIZE(pages));
	for (int i = 0; i < ARRAY_SIZE(pages); i++)
		expect_erased(test, pages[i], 0);
	KUNIT_EXPECT_EQ(test, nr_flushes() > flushes, IS_ENABLED(CONFIG_MERMAP));
}

static struct kunit_case free_test_cases[] = {
	KUNIT_CASE(free_from_task),
	KUNIT_CASE(free_from_irqs_off),
	KUNIT_CASE(free_from_softirq),
	KUNIT_CASE(free_from_hardirq),
	KUNIT_CASE(free_from_kthread),
	KUNIT_CASE(free_from_nmi),
	KUNIT_CASE(free_waits),
	KUNIT_CASE(free_quarantine),
	KUNIT_CASE(free_batch),
	KUNIT_CASE(free_poisoned),
	KUNIT_CASE(free_bulk),
	{}
};

static struct kunit_suite free_test_suite = {
	.name = "unmapped_free",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = free_test_cases,
};

kunit_test_suite(free_test_suite);

MODULE_DESCRIPTION("Freeing unmapped memory");
MODULE_LICENSE("GPL");
