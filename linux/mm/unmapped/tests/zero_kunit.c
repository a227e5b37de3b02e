// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of zeroing through the private mms.
 *
 * The pages are ordinary ones, which the direct map shows too: so a test can
 * fill them and look at the result without the windows.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#ifdef CONFIG_X86
#include <trace/events/tlb.h>
#endif

#include <asm/mm_local.h>
#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/apic.h>
#include <asm/nmi.h>
#endif

#include "../internal.h"

#define NR		32U
#define ORDER		order_base_2(NR)
#define PATTERN		0x5a

static void free_pages_action(void *page)
{
	__free_pages(page, ORDER);
}

static void fill(struct page *page)
{
	memset(page_address(page), PATTERN, NR * PAGE_SIZE);
}

static struct page *test_pages(struct kunit *test)
{
	struct page *page = alloc_pages(GFP_KERNEL, ORDER);

	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_pages_action,
							page), 0);
	fill(page);
	return page;
}

/* Is page @i all @c? */
static bool is_all(struct page *page, unsigned int i, int c)
{
	return !memchr_inv(page_address(page + i), c, PAGE_SIZE);
}

/* Are the pages [@from, @to) zero, and is none of the others changed? */
static bool only_zero(struct page *page, unsigned int from, unsigned int to)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		if (!is_all(page, i, i >= from && i < to ? 0 : PATTERN))
			return false;
	return true;
}

static int unmapped_zero_test_init(struct kunit *test)
{
	if (!mm_local_supported())
		kunit_skip(test, "no mm-local region on this machine");
	return unmapped_zero_prepare();
}

/*
 * What is zeroed
 */

static void contiguous_test(struct kunit *test)
{
	static const unsigned int nrs[] = {
		0, 1, 2, UNMAPPED_ZERO_BATCH - 1, UNMAPPED_ZERO_BATCH,
		UNMAPPED_ZERO_BATCH + 1, 3 * UNMAPPED_ZERO_BATCH, NR - 4,
	};
	struct page *page = test_pages(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nrs); i++) {
		fill(page);
		KUNIT_EXPECT_TRUE(test, unmapped_zero_pages(page + 3, nrs[i]));
		KUNIT_EXPECT_TRUE_MSG(test, only_zero(page, 3, 3 + nrs[i]),
				      "%u pages", nrs[i]);
	}
}

static void scattered_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	struct page *pages[NR / 2];
	unsigned int i, nr;

	/* Every other page, backwards. */
	for (i = 0; i < NR / 2; i++)
		pages[i] = page + NR - 1 - 2 * i;

	for (nr = 0; nr <= NR / 2; nr++) {
		fill(page);
		KUNIT_EXPECT_TRUE(test, unmapped_zero_batch(pages, nr));
		for (i = 0; i < NR; i++) {
			bool zero = i % 2 && (NR - 1 - i) / 2 < nr;

			KUNIT_EXPECT_TRUE_MSG(test,
					      is_all(page, i, zero ? 0 : PATTERN),
					      "page %u of %u", i, nr);
		}
	}
}

/*
 * Where from
 */

static void process_test(struct kunit *test)
{
	struct page *page = test_pages(test);

	KUNIT_EXPECT_TRUE(test, unmapped_zero_pages(page, NR));
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, NR));
	KUNIT_EXPECT_FALSE(test, irqs_disabled());
	KUNIT_EXPECT_TRUE(test, !preempt_count() || !IS_ENABLED(CONFIG_PREEMPT_COUNT));
}

/* The mm of a task is loaded; then, as in a dying task, only lazily. */
static void task_mm_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	struct mm_struct *mm;

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	mm = current->mm;
	KUNIT_EXPECT_TRUE(test, unmapped_zero_pages(page, 1));
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, 1));
	KUNIT_EXPECT_PTR_EQ(test, current->active_mm, mm);

	kthread_unuse_mm(mm);
	KUNIT_EXPECT_NULL(test, current->mm);
	KUNIT_EXPECT_TRUE(test, unmapped_zero_pages(page, 2));
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, 2));
	schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_TRUE(test, unmapped_zero_pages(page, 3));
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, 3));

	kthread_use_mm(mm);
	KUNIT_EXPECT_TRUE(test, unmapped_zero_pages(page, 4));
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, 4));
}

static void irqs_off_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	unsigned long flags;
	bool ret, off;

	local_irq_save(flags);
	ret = unmapped_zero_pages(page, NR);
	off = irqs_disabled();
	local_irq_restore(flags);
	KUNIT_EXPECT_TRUE(test, ret);
	KUNIT_EXPECT_TRUE(test, off);
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, NR));
}

static void raw_spinlock_test(struct kunit *test)
{
	static DEFINE_RAW_SPINLOCK(lock);
	struct page *page = test_pages(test);
	bool ret;

	scoped_guard(raw_spinlock, &lock)
		ret = unmapped_zero_pages(page, NR);
	KUNIT_EXPECT_TRUE(test, ret);
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, NR));

	fill(page);
	scoped_guard(raw_spinlock_irqsave, &lock)
		ret = unmapped_zero_pages(page, NR);
	KUNIT_EXPECT_TRUE(test, ret);
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, NR));
}

struct job {
	struct irq_work irq_work;
	struct work_struct work;
	struct hrtimer timer;
	struct completion done;
	struct page *page;
	bool ret, right_context;
};

static void job_run(struct job *j, bool right_context)
{
	j->right_context = right_context;
	j->ret = unmapped_zero_pages(j->page, NR);
	complete(&j->done);
}

static void job_irq_work(struct irq_work *work)
{
	job_run(container_of(work, struct job, irq_work), in_hardirq());
}

static void job_softirq(struct work_struct *work)
{
	job_run(container_of(work, struct job, work), in_serving_softirq());
}

static enum hrtimer_restart job_timer(struct hrtimer *timer)
{
	job_run(container_of(timer, struct job, timer), in_hardirq());
	return HRTIMER_NORESTART;
}

static void job_check(struct kunit *test, struct job *j)
{
	wait_for_completion(&j->done);
	KUNIT_EXPECT_TRUE(test, j->right_context);
	KUNIT_EXPECT_TRUE(test, j->ret);
	KUNIT_EXPECT_TRUE(test, only_zero(j->page, 0, NR));
}

static struct job *test_job(struct kunit *test)
{
	struct job *j = kunit_kzalloc(test, sizeof(*j), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, j);
	init_completion(&j->done);
	j->page = test_pages(test);
	return j;
}

static void irq_work_test(struct kunit *test)
{
	struct job *j = test_job(test);

	j->irq_work = IRQ_WORK_INIT_HARD(job_irq_work);
	irq_work_queue(&j->irq_work);
	job_check(test, j);
	irq_work_sync(&j->irq_work);
}

/* The mm of a stranger is loaded when the interrupt comes. */
static void hrtimer_test(struct kunit *test)
{
	struct job *j = test_job(test);

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	hrtimer_setup(&j->timer, job_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	hrtimer_start(&j->timer, us_to_ktime(100), HRTIMER_MODE_REL_HARD);
	while (!completion_done(&j->done))
		cond_resched();
	job_check(test, j);
	hrtimer_cancel(&j->timer);
}

static void softirq_test(struct kunit *test)
{
	struct job *j = test_job(test);

	INIT_WORK(&j->work, job_softirq);
	queue_work(system_bh_wq, &j->work);
	job_check(test, j);
	flush_work(&j->work);
}

static int cpu_thread(void *arg)
{
	struct job *j = arg;

	job_run(j, !current->mm);
	return 0;
}

static void run_on_cpu(struct kunit *test, struct job *j, unsigned int cpu)
{
	struct task_struct *p;

	fill(j->page);
	reinit_completion(&j->done);
	p = kthread_create_on_cpu(cpu_thread, j, cpu, "zero_test/%u");
	if (IS_ERR(p)) {
		KUNIT_FAIL(test, "no thread");
		return;
	}
	wake_up_process(p);
	job_check(test, j);
}

static void each_cpu_test(struct kunit *test)
{
	struct job *j = test_job(test);
	unsigned int cpu;

	cpus_read_lock();
	for_each_online_cpu(cpu)
		run_on_cpu(test, j, cpu);
	cpus_read_unlock();
}

/* A CPU that goes and comes back still has its private mm. */
static void hotplug_test(struct kunit *test)
{
	struct job *j = test_job(test);
	unsigned int cpu = cpumask_last(cpu_online_mask);

	if (!IS_ENABLED(CONFIG_HOTPLUG_CPU) || num_online_cpus() < 2 ||
	    remove_cpu(cpu))
		kunit_skip(test, "no CPU can be taken away");
	KUNIT_ASSERT_EQ(test, add_cpu(cpu), 0);
	run_on_cpu(test, j, cpu);
}

/*
 * Where it is refused
 */

#ifdef CONFIG_X86
static void nested_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	struct mm_struct *mm, *prev;
	bool single, batch;
	unsigned long flags;

	mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, mm);
	set_notrack_mm(mm);

	/* With IRQs on, as in an EFI call, and with IRQs off. */
	preempt_disable();
	prev = use_temporary_mm(mm);
	single = unmapped_zero_pages(page, 1);
	local_irq_save(flags);
	batch = unmapped_zero_batch(&page, 1);
	local_irq_restore(flags);
	unuse_temporary_mm(prev);
	preempt_enable();

	KUNIT_EXPECT_FALSE(test, single);
	KUNIT_EXPECT_FALSE(test, batch);
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, 0));
	mmput(mm);

	KUNIT_EXPECT_TRUE(test, unmapped_zero_pages(page, 1));
}
#endif

#ifdef CONFIG_X86_LOCAL_APIC
static struct page *nmi_page;
static bool nmi_ret, nmi_done;

static int nmi_handler(unsigned int cmd, struct pt_regs *regs)
{
	if (!READ_ONCE(nmi_page))
		return NMI_DONE;

	nmi_ret = unmapped_zero_pages(nmi_page, 1);
	WRITE_ONCE(nmi_page, NULL);
	/* Pairs with the loop that waits. */
	smp_store_release(&nmi_done, true);
	return NMI_HANDLED;
}

static void nmi_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	unsigned int i;

	nmi_ret = true;
	nmi_done = false;
	KUNIT_ASSERT_EQ(test, register_nmi_handler(NMI_LOCAL, nmi_handler,
						   NMI_FLAG_FIRST,
						   "unmapped_zero_test"), 0);
	WRITE_ONCE(nmi_page, page);
	preempt_disable();
	__apic_send_IPI_mask(cpumask_of(smp_processor_id()), NMI_VECTOR);
	/* Pairs with the release in the handler. */
	for (i = 0; i < 1000000 && !smp_load_acquire(&nmi_done); i++)
		cpu_relax();
	preempt_enable();
	WRITE_ONCE(nmi_page, NULL);
	unregister_nmi_handler(NMI_LOCAL, "unmapped_zero_test");

	if (!nmi_done)
		kunit_skip(test, "the machine delivers no NMI");
	KUNIT_EXPECT_FALSE(test, nmi_ret);
	KUNIT_EXPECT_TRUE(test, only_zero(page, 0, 0));
}
#endif

/*
 * Price
 */

#define LOOPS	256

/* How often this CPU has changed its address space, where that is traced ... */
static unsigned int switches, price_cpu;

#ifdef CONFIG_X86
static void count_switch(void *data, int reason, unsigned long pages)
{
	if (raw_smp_processor_id() == READ_ONCE(price_cpu))
		switches++;
}

static void forget_switches(void *unused)
{
	unregister_trace_tlb_flush(count_switch, NULL);
	tracepoint_synchronize_unregister();
}
#endif

static bool count_switches(struct kunit *test)
{
#ifdef CONFIG_X86
	return !register_trace_tlb_flush(count_switch, NULL) &&
		!kunit_add_action_or_reset(test, forget_switches, NULL);
#else
	return false;
#endif
}

/* ... and flushed more than the entry of a window, where that is counted. */
static unsigned long flushes(void)
{
#ifdef CONFIG_DEBUG_TLBFLUSH
	return raw_cpu_read(vm_event_states.event[NR_TLB_REMOTE_FLUSH]) +
	       raw_cpu_read(vm_event_states.event[NR_TLB_LOCAL_FLUSH_ALL]) +
	       raw_cpu_read(vm_event_states.event[NR_TLB_LOCAL_FLUSH_ONE]);
#else
	return 0;
#endif
}

static u64 price(struct page *page, unsigned int nr, bool window)
{
	unsigned long flags;
	u64 t, sum = 0;
	unsigned int i;

	local_irq_save(flags);
	WRITE_ONCE(price_cpu, raw_smp_processor_id());
	switches = 0;
	for (i = 0; i < LOOPS; i++) {
		t = local_clock();
		if (!window && nr)
			clear_pages(page_address(page), nr);
		else if (nr)
			unmapped_zero_pages(page, nr);
		sum += local_clock() - t;
	}
	local_irq_restore(flags);
	return sum / LOOPS;
}

static void price_test(struct kunit *test)
{
	static const unsigned int nrs[] = { 1, 2, UNMAPPED_ZERO_BATCH, NR };
	struct page *page = test_pages(test);
	unsigned long before;
	bool counted;
	unsigned int i;
	u64 nothing;

	KUNIT_ASSERT_EQ(test, kunit_attach_mm(), 0);
	counted = count_switches(test);
	migrate_disable();
	nothing = price(page, 0, false);

	/* With QEMU's -icount shift=0 a nanosecond is an instruction. */
	for (i = 0; i < ARRAY_SIZE(nrs); i++) {
		u64 direct = price(page, nrs[i], false) - nothing, window;

		before = flushes();
		window = price(page, nrs[i], true) - nothing;
		/* What others do meanwhile: far from one each time */
		KUNIT_EXPECT_LT(test, flushes() - before, LOOPS);
		/* There and back, for as many pages as there are windows */
		if (counted)
			KUNIT_EXPECT_EQ(test, switches, LOOPS * 2 *
					DIV_ROUND_UP(nrs[i], UNMAPPED_ZERO_BATCH));

		kunit_info(test, "%u pages: clear_pages() %llu ns, the window %llu ns: %lld more",
			   nrs[i], direct, window, (s64)(window - direct));
	}
	migrate_enable();
}

static struct kunit_case unmapped_zero_test_cases[] = {
	KUNIT_CASE(contiguous_test),
	KUNIT_CASE(scattered_test),
	KUNIT_CASE(process_test),
	KUNIT_CASE(task_mm_test),
	KUNIT_CASE(irqs_off_test),
	KUNIT_CASE(raw_spinlock_test),
	KUNIT_CASE(irq_work_test),
	KUNIT_CASE(hrtimer_test),
	KUNIT_CASE(softirq_test),
	KUNIT_CASE(each_cpu_test),
	KUNIT_CASE(hotplug_test),
#ifdef CONFIG_X86
	KUNIT_CASE(nested_test),
#endif
#ifdef CONFIG_X86_LOCAL_APIC
	KUNIT_CASE(nmi_test),
#endif
	KUNIT_CASE(price_test),
	{}
};

static struct kunit_suite unmapped_zero_test_suite = {
	.name = "unmapped_zero",
	.init = unmapped_zero_test_init,
	.test_cases = unmapped_zero_test_cases,
};

kunit_test_suite(unmapped_zero_test_suite);

MODULE_DESCRIPTION("KUnit tests of zeroing unmapped pages");
MODULE_LICENSE("GPL");
