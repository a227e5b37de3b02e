// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the mm-local region and of mermap's windows.
 *
 * The pages are ordinary ones, which the direct map shows too: so a test can
 * see from outside what a window did.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mermap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/percpu.h>
#include <linux/sched/clock.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/vmstat.h>

#include <asm/mm_local.h>

#define NR_ORDINARY	(MERMAP_SLOTS - 1)
#define PATTERN		0x5a

/*
 * Helpers
 */

static void free_pages_action(void *page)
{
	__free_pages(page, get_order(MERMAP_MAX_SIZE));
}

/* MERMAP_MAX_PAGES contiguous pages, freed with the test. Each has its number. */
static struct page *test_pages(struct kunit *test)
{
	struct page *page;
	unsigned int i;

	page = alloc_pages(GFP_KERNEL | __GFP_COMP, get_order(MERMAP_MAX_SIZE));
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, free_pages_action,
							page), 0);
	for (i = 0; i < MERMAP_MAX_PAGES; i++)
		memset(page_address(page + i), PATTERN + i, PAGE_SIZE);
	return page;
}

/* Does reading @addr as the kernel give a byte, and not a fault? */
static bool readable(const void *addr)
{
	char c;

	return !copy_from_kernel_nofault(&c, addr, 1);
}

/* Where a window opens, which is expected not to. */
static void *open_at(struct page *page, unsigned long size)
{
	return mermap_addr(mermap_get(page, size, PAGE_KERNEL));
}

/* Open ordinary windows to @page until none can be had. */
static unsigned int open_all(struct page *page, struct mermap_window *w)
{
	unsigned int n;

	for (n = 0; n < MERMAP_SLOTS; n++) {
		w[n] = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
		if (!mermap_addr(w[n]))
			break;
	}
	return n;
}

static void put_all(struct mermap_window *w, unsigned int n)
{
	while (n--)
		mermap_put(w[n]);
}

static unsigned int free_slots(struct page *page)
{
	struct mermap_window w[MERMAP_SLOTS];
	unsigned int n;

	/* No sleeping in between, so no other task's windows are missed. */
	migrate_disable();
	n = open_all(page, w);
	put_all(w, n);
	migrate_enable();
	return n;
}

/* A thread on another CPU, with the mm of the test or without one. */
struct remote {
	void (*fn)(struct remote *r);
	struct mm_struct *mm;
	struct page *page;
	const void *addr;
	bool ret;
	struct completion done;
};

static int remote_thread(void *arg)
{
	struct remote *r = arg;

	if (r->mm)
		kthread_use_mm(r->mm);
	r->fn(r);
	if (r->mm)
		kthread_unuse_mm(r->mm);
	complete(&r->done);
	return 0;
}

static bool run_on(struct kunit *test, unsigned int cpu, struct remote *r)
{
	struct task_struct *p;

	init_completion(&r->done);
	p = kthread_create_on_cpu(remote_thread, r, cpu, "mermap_test/%u");
	KUNIT_ASSERT_FALSE(test, IS_ERR(p));
	wake_up_process(p);
	wait_for_completion(&r->done);
	return r->ret;
}

static void read_fn(struct remote *r)
{
	r->ret = readable(r->addr);
}

static void need_two_cpus(struct kunit *test)
{
	if (num_online_cpus() < 2)
		kunit_skip(test, "needs two CPUs");
}

/* A CPU that is not this one, where the caller stays. */
static unsigned int other_cpu(void)
{
	return cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
}

static int mermap_test_init(struct kunit *test)
{
	int err;

	if (!mm_local_supported())
		kunit_skip(test, "no mm-local region on this machine");
	err = kunit_attach_mm();
	if (err)
		return err;
	return mermap_mm_prepare(current->mm);
}

/*
 * Bookkeeping
 */

/* A size is judged after it is rounded up, and cannot overflow. */
static void size_to_slots_test(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(0), 0);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(1), 1);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(PAGE_SIZE), 1);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(PAGE_SIZE + 1), 2);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(MERMAP_MAX_SIZE - 1),
			MERMAP_MAX_PAGES);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(MERMAP_MAX_SIZE),
			MERMAP_MAX_PAGES);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(MERMAP_MAX_SIZE + 1), 0);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(ULONG_MAX - PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(ULONG_MAX), 0);
}

static void slots_mask_test(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, mermap_slots_mask(0, 1), 0x1);
	KUNIT_EXPECT_EQ(test, mermap_slots_mask(3, 2), 0x18);
	KUNIT_EXPECT_EQ(test, mermap_slots_mask(8, 8), 0xff00);
}

/* For every state of the slots: all that fit, and never the reserve. */
static void slots_find_test(struct kunit *test)
{
	unsigned long used;
	unsigned int nr;

	for (used = 0; used < BIT(MERMAP_SLOTS); used++) {
		for (nr = 1; nr <= MERMAP_MAX_PAGES; nr++) {
			unsigned long got = mermap_slots_find(used, nr);
			unsigned int slot = MERMAP_RESERVED_SLOT + 1;
			unsigned long want = 0;

			for (; slot + nr <= MERMAP_SLOTS; slot++)
				if (!(used & mermap_slots_mask(slot, nr)))
					want |= BIT(slot);
			if (got != want)
				KUNIT_FAIL(test, "used %lx nr %u: %lx, not %lx",
					   used, nr, got, want);
		}
		cond_resched();
	}
}

/*
 * The region
 */

static void region_test(struct kunit *test)
{
	unsigned long base = mm_local_base();
	struct mm_struct *mm;
	unsigned int cpu, ptes;

	/* Nothing in the tables that new mms begin with. */
	KUNIT_EXPECT_FALSE(test, readable((void *)base));
	KUNIT_EXPECT_EQ(test, pgd_val(*pgd_offset(&init_mm, base)), 0);

	mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, mm);
	KUNIT_EXPECT_EQ(test, pgd_val(*pgd_offset(mm, base)), 0);
	KUNIT_EXPECT_NULL(test, (void __force *)mm->mermap);
	KUNIT_EXPECT_EQ(test, mm_pgtables_bytes(mm), 0);

	/* A PMD table, a PUD table, and what the windows of all CPUs take. */
	KUNIT_EXPECT_EQ(test, mermap_mm_prepare(mm), 0);
	ptes = DIV_ROUND_UP(nr_cpu_ids * MERMAP_SLOTS, PTRS_PER_PTE);
	KUNIT_EXPECT_EQ(test, mm_pgtables_bytes(mm), (2 + ptes) * PAGE_SIZE);
	for_each_possible_cpu(cpu) {
		pte_t *pte = mm_local_pte(mm, base +
					  cpu * MERMAP_SLOTS * PAGE_SIZE);

		KUNIT_EXPECT_TRUE(test, pte_none(*pte));
	}

	/* A second time: nothing more. */
	KUNIT_EXPECT_EQ(test, mermap_mm_prepare(mm), 0);
	KUNIT_EXPECT_EQ(test, mm_pgtables_bytes(mm), (2 + ptes) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, pgd_val(*pgd_offset(&init_mm, base)), 0);
	mmput(mm);
}

#ifdef CONFIG_X86
static void region_user_tables_test(struct kunit *test)
{
#ifdef CONFIG_MITIGATION_PAGE_TABLE_ISOLATION
	pgd_t *pgd = pgd_offset(current->mm, mm_local_base());

	if (!cpu_feature_enabled(X86_FEATURE_PTI))
		kunit_skip(test, "page-table isolation is off");

	KUNIT_EXPECT_NE(test, pgd_val(*pgd), 0);
	KUNIT_EXPECT_EQ(test, pgd_val(*kernel_to_user_pgdp(pgd)), 0);
#else
	kunit_skip(test, "page-table isolation is not built in");
#endif
}
#endif

static void make_mms(struct kunit *test, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct mm_struct *mm = mm_alloc();

		KUNIT_ASSERT_NOT_NULL(test, mm);
		if (mermap_mm_prepare(mm))
			KUNIT_FAIL(test, "no memory");
		mmput(mm);
		cond_resched();
	}
	/* RCU frees some */
	rcu_barrier();
}

/* All that a mm got for its windows is given back: of every CPU. */
static void teardown_test(struct kunit *test)
{
	const unsigned int nr = 2048;
	unsigned long percpu;
	long before, after;

	/* Not all goes back to where it came from at once: as much as so many ever need */
	make_mms(test, nr);
	percpu = pcpu_nr_pages();
	before = global_node_page_state_pages(NR_PAGETABLE);
	make_mms(test, nr);
	after = global_node_page_state_pages(NR_PAGETABLE);
	/* Per-CPU counters lag by 125 each at most. */
	KUNIT_EXPECT_LT(test, after - before,
			(long)min(nr, 1 + 128 * num_online_cpus()));
	/* Others have some made meanwhile; these would take dozens */
	KUNIT_EXPECT_LT(test, (long)(pcpu_nr_pages() - percpu),
			(long)(nr * 24 / PAGE_SIZE * num_possible_cpus() / 2));
}

/*
 * Windows
 */

static void not_prepared_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	struct mm_struct *mm = current->mm;
	struct mermap_cpu __percpu *saved = mm->mermap;
	unsigned int depth = current->migration_disabled;

	mm->mermap = NULL;
	KUNIT_EXPECT_NULL(test, open_at(page, 1));
	mm->mermap = saved;

	kthread_unuse_mm(mm);
	KUNIT_EXPECT_NULL(test, open_at(page, 1));
	kthread_use_mm(mm);

	KUNIT_EXPECT_EQ(test, current->migration_disabled, depth);
	KUNIT_EXPECT_EQ(test, free_slots(page), NR_ORDINARY);
}

static void read_write_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	char *direct = page_address(page);
	struct mermap_window w;
	char *addr;

	w = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
	addr = mermap_addr(w);
	KUNIT_ASSERT_NOT_NULL(test, addr);
	KUNIT_EXPECT_TRUE(test, is_mm_local_addr((unsigned long)addr));
	KUNIT_EXPECT_EQ(test, mermap_nr_pages(w), 1);
	KUNIT_EXPECT_EQ(test, memcmp(addr, direct, PAGE_SIZE), 0);
	addr[1] = 1;
	addr[PAGE_SIZE - 1] = 2;
	KUNIT_EXPECT_EQ(test, direct[1], 1);
	KUNIT_EXPECT_EQ(test, direct[PAGE_SIZE - 1], 2);
	/* Nothing behind it. */
	KUNIT_EXPECT_FALSE(test, readable(addr + PAGE_SIZE));
	mermap_put(w);
	KUNIT_EXPECT_FALSE(test, readable(addr));

	/* The same address shows another page next: no old translation. */
	w = mermap_get(page + 1, PAGE_SIZE, PAGE_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, (char *)mermap_addr(w), addr);
	KUNIT_EXPECT_EQ(test, addr[0], PATTERN + 1);
	mermap_put(w);
	KUNIT_EXPECT_FALSE(test, readable(addr));
}

static void read_only_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	char c = 0;

	CLASS(mermap, w)(page, 1, PAGE_KERNEL_RO);
	KUNIT_ASSERT_NOT_NULL(test, mermap_addr(w));
	KUNIT_EXPECT_EQ(test, *(char *)mermap_addr(w), PATTERN);
	KUNIT_EXPECT_NE(test, copy_to_kernel_nofault(mermap_addr(w), &c, 1), 0);
	KUNIT_EXPECT_EQ(test, *(char *)page_address(page), PATTERN);
}

/* Several windows at once, several pages in one, closed in any order. */
static void nested_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	struct mermap_window a, b, c;
	unsigned int i;
	char *addr;

	a = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
	b = mermap_get(page, MERMAP_MAX_SIZE, PAGE_KERNEL);
	c = mermap_get(page + 2, PAGE_SIZE + 1, PAGE_KERNEL);
	KUNIT_EXPECT_EQ(test, mermap_nr_pages(a), 1);
	KUNIT_EXPECT_EQ(test, mermap_nr_pages(b), MERMAP_MAX_PAGES);
	KUNIT_EXPECT_EQ(test, mermap_nr_pages(c), 2);
	mermap_put(a);
	addr = mermap_addr(b);
	for (i = 0; i < MERMAP_MAX_PAGES; i++)
		KUNIT_EXPECT_EQ(test, addr[i * PAGE_SIZE], PATTERN + i);
	mermap_put(b);
	for (i = 0; i < MERMAP_MAX_PAGES; i++)
		KUNIT_EXPECT_FALSE(test, readable(addr + i * PAGE_SIZE));
	addr = mermap_addr(c);
	KUNIT_EXPECT_EQ(test, addr[0], PATTERN + 2);
	KUNIT_EXPECT_EQ(test, addr[PAGE_SIZE], PATTERN + 3);
	mermap_put(c);
	KUNIT_EXPECT_EQ(test, free_slots(page), NR_ORDINARY);
}

/* A refusal leaves nothing behind: no slot, no migrate_disable(). */
static void refused_test(struct kunit *test)
{
	static const unsigned long sizes[] = {
		0, MERMAP_MAX_SIZE + 1, ULONG_MAX - PAGE_SIZE, ULONG_MAX,
	};
	struct page *page = test_pages(test);
	unsigned int depth = current->migration_disabled;
	int count = preempt_count();
	unsigned int i;

	for (i = 0; i < 2 * MERMAP_SLOTS; i++) {
		unsigned int j;

		for (j = 0; j < ARRAY_SIZE(sizes); j++)
			KUNIT_EXPECT_NULL(test, open_at(page, sizes[j]));
	}
	KUNIT_EXPECT_EQ(test, current->migration_disabled, depth);
	KUNIT_EXPECT_EQ(test, preempt_count(), count);
	KUNIT_EXPECT_EQ(test, free_slots(page), NR_ORDINARY);
}

/* All slots in use, many times over; then the reserve is still there. */
static void exhausted_test(struct kunit *test)
{
	struct mermap_window w[MERMAP_SLOTS], r;
	struct page *page = test_pages(test);
	unsigned int depth = current->migration_disabled;
	int count = preempt_count();
	unsigned int i, n;
	bool ok = true;

	n = open_all(page, w);
	KUNIT_EXPECT_EQ(test, n, NR_ORDINARY);
	for (i = 0; i < 100; i++) {
		ok &= !open_at(page, 1);

		r = mermap_get_reserved(page + 1, PAGE_KERNEL);
		ok &= r.val && *(char *)mermap_addr(r) == PATTERN + 1;
		ok &= preempt_count() == count + PREEMPT_OFFSET;
		mermap_put(r);
	}
	KUNIT_EXPECT_TRUE(test, ok);
	/* A gap of one does not do for two. */
	mermap_put(w[3]);
	KUNIT_EXPECT_NULL(test, open_at(page, PAGE_SIZE + 1));
	w[3] = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, mermap_addr(w[3]));
	put_all(w, n);

	KUNIT_EXPECT_EQ(test, current->migration_disabled, depth);
	KUNIT_EXPECT_EQ(test, preempt_count(), count);
	KUNIT_EXPECT_EQ(test, free_slots(page), NR_ORDINARY);
}

static void reserved_scope_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	int count = preempt_count();

	scoped_class(mermap_reserved, w, page, PAGE_KERNEL)
		KUNIT_EXPECT_EQ(test, *(char *)mermap_addr(w), PATTERN);
	KUNIT_EXPECT_EQ(test, preempt_count(), count);
}

/*
 * No lock is taken, nothing is allocated and nothing sleeps: lockdep and the
 * atomic-sleep checks would say so, above all where spinlocks sleep.
 */
static void atomic_test(struct kunit *test)
{
	static DEFINE_RAW_SPINLOCK(lock);
	struct page *page = test_pages(test);
	bool ok = true;

	scoped_guard(raw_spinlock_irqsave, &lock) {
		struct mermap_window r, w;

		w = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
		r = mermap_get_reserved(page + 1, PAGE_KERNEL);
		ok &= w.val && *(char *)mermap_addr(w) == PATTERN;
		ok &= r.val && *(char *)mermap_addr(r) == PATTERN + 1;
		if (r.val)
			mermap_put(r);
		if (w.val)
			mermap_put(w);
	}
	KUNIT_EXPECT_TRUE(test, ok);
}

static void each_cpu_fn(struct remote *r)
{
	unsigned long base = mm_local_base() +
			     smp_processor_id() * MERMAP_SLOTS * PAGE_SIZE;
	struct mermap_window w[MERMAP_SLOTS], res;
	unsigned int i, n;
	bool ok;

	/* All windows of a CPU are in its own part of the region. */
	n = open_all(r->page, w);
	ok = n == NR_ORDINARY;
	for (i = 0; i < n; i++)
		ok &= (w[i].val & PAGE_MASK) - base < MERMAP_SLOTS * PAGE_SIZE;
	res = mermap_get_reserved(r->page, PAGE_KERNEL);
	ok &= (res.val & PAGE_MASK) == base;
	if (res.val)
		mermap_put(res);
	put_all(w, n);
	r->ret = ok;
}

static void each_cpu_test(struct kunit *test)
{
	struct remote r = {
		.fn = each_cpu_fn,
		.mm = current->mm,
		.page = test_pages(test),
	};
	unsigned int cpu;

	cpus_read_lock();
	for_each_online_cpu(cpu)
		KUNIT_EXPECT_TRUE_MSG(test, run_on(test, cpu, &r), "CPU %u", cpu);
	cpus_read_unlock();
}

/* A task with a window sleeps: it stays on its CPU and keeps its window. */
static void sleep_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	unsigned int cpu;
	char *addr;

	CLASS(mermap, w)(page, PAGE_SIZE, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mermap_addr(w));
	addr = mermap_addr(w);
	cpu = raw_smp_processor_id();
	msleep(50);
	KUNIT_EXPECT_EQ(test, raw_smp_processor_id(), cpu);
	KUNIT_EXPECT_EQ(test, addr[0], PATTERN);
}

static unsigned long user_pages(struct kunit *test, unsigned long size)
{
	unsigned long user;

	user = kunit_vm_mmap(test, NULL, 0, size, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_OR_NULL((void *)user));
	return user;
}

/* User space does not get to say how long a window is open. */
static void no_user_fault_test(struct kunit *test)
{
	char __user *user = (char __user *)user_pages(test, PAGE_SIZE);
	struct page *page = test_pages(test);
	struct mermap_window w;

	for (int reserved = 0; reserved < 2; reserved++) {
		w = reserved ? mermap_get_reserved(page, PAGE_KERNEL_RO) :
			       mermap_get(page, PAGE_SIZE, PAGE_KERNEL_RO);
		KUNIT_EXPECT_NOT_NULL(test, mermap_addr(w));
		if (!mermap_addr(w))
			continue;
		KUNIT_EXPECT_EQ(test, copy_to_user(user, mermap_addr(w), PAGE_SIZE), PAGE_SIZE);
		mermap_put(w);
	}
	/* What does not open changes nothing */
	KUNIT_EXPECT_NULL(test, open_at(page, 0));
	KUNIT_EXPECT_NULL(test, open_at(page, MERMAP_MAX_SIZE + 1));
	KUNIT_EXPECT_FALSE(test, pagefault_disabled());

	KUNIT_EXPECT_EQ(test, put_user(1, user), 0);
}

/* All sizes and offsets that matter, to user memory that is not there, and back. */
static void copy_iter_test(struct kunit *test)
{
	static const struct { size_t offset, len; } parts[] = {
		{ 0, 1 }, { 0, PAGE_SIZE }, { 5, PAGE_SIZE }, { PAGE_SIZE - 1, 2 },
		{ 100, MERMAP_MAX_SIZE - 200 }, { 0, MERMAP_MAX_SIZE },
	};
	struct page *page = test_pages(test);
	char *mem = page_address(page);
	struct iov_iter iter;

	for (int i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t offset = parts[i].offset, len = parts[i].len;
		char __user *user = (char __user *)user_pages(test, MERMAP_MAX_SIZE) + 3 * i;
		char first, last;

		len = min(len, MERMAP_MAX_SIZE - 3 * i);
		for (int j = 0; j < MERMAP_MAX_PAGES; j++)
			memset(mem + j * PAGE_SIZE, PATTERN + j, PAGE_SIZE);
		iov_iter_ubuf(&iter, ITER_DEST, user, len);
		KUNIT_EXPECT_EQ(test, mermap_copy_to_iter(page, offset, 2 * len, &iter), len);
		KUNIT_EXPECT_EQ(test, iov_iter_count(&iter), 0);
		KUNIT_EXPECT_EQ(test, get_user(first, user), 0);
		KUNIT_EXPECT_EQ(test, get_user(last, user + len - 1), 0);
		KUNIT_EXPECT_EQ(test, first, mem[offset]);
		KUNIT_EXPECT_EQ(test, last, mem[offset + len - 1]);

		memset(mem, 0, MERMAP_MAX_SIZE);
		iov_iter_ubuf(&iter, ITER_SOURCE, user, len);
		KUNIT_EXPECT_EQ(test, mermap_copy_from_iter(page, offset, len, &iter), len);
		KUNIT_EXPECT_EQ(test, mem[offset], first);
		KUNIT_EXPECT_EQ(test, mem[offset + len - 1], last);
		KUNIT_EXPECT_NULL(test, memchr_inv(mem, 0, offset));
		KUNIT_EXPECT_NULL(test, memchr_inv(mem + offset + len, 0,
						   MERMAP_MAX_SIZE - offset - len));
	}
}

/* No more of a page than there is, though the next window is open, to another. */
static void copy_iter_beside_test(struct kunit *test)
{
	char __user *user = (char __user *)user_pages(test, PAGE_SIZE);
	struct page *page = test_pages(test);
	struct mermap_window first, next;
	struct iov_iter iter;
	char last = 0;

	/* What is open lets nobody fault */
	KUNIT_ASSERT_EQ(test, clear_user(user, PAGE_SIZE), 0);
	first = mermap_get(page + 4, PAGE_SIZE, PAGE_KERNEL);
	next = mermap_get(page + 5, PAGE_SIZE, PAGE_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, mermap_addr(next), mermap_addr(first) + PAGE_SIZE);
	if (mermap_addr(first))
		mermap_put(first);
	iov_iter_ubuf(&iter, ITER_DEST, user, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mermap_copy_to_iter(page, 100, PAGE_SIZE, &iter), PAGE_SIZE);
	if (mermap_addr(next))
		mermap_put(next);
	KUNIT_EXPECT_EQ(test, get_user(last, user + PAGE_SIZE - 1), 0);
	KUNIT_EXPECT_EQ(test, last, PATTERN + 1);
}

/* Up to where there is user memory, and no further. */
static void copy_iter_short_test(struct kunit *test)
{
	char __user *user = (char __user *)user_pages(test, 3 * PAGE_SIZE);
	struct page *page = test_pages(test);
	struct iov_iter iter;

	KUNIT_ASSERT_EQ(test, vm_munmap((unsigned long)user + PAGE_SIZE, PAGE_SIZE), 0);
	iov_iter_ubuf(&iter, ITER_DEST, user + 10, 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mermap_copy_to_iter(page, 0, 2 * PAGE_SIZE, &iter),
			PAGE_SIZE - 10);
	KUNIT_EXPECT_EQ(test, mermap_copy_to_iter(page, 0, PAGE_SIZE, &iter), -EFAULT);
	iov_iter_ubuf(&iter, ITER_SOURCE, user + PAGE_SIZE, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, mermap_copy_from_iter(page, 0, PAGE_SIZE, &iter), -EFAULT);
	KUNIT_EXPECT_EQ(test, free_slots(page), NR_ORDINARY);
}

/*
 * Who can see it
 */

static void other_mm_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	struct remote r = { .fn = read_fn };
	struct mermap_window w;
	struct mm_struct *mm;
	unsigned int cpu;

	need_two_cpus(test);
	mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, mm);
	KUNIT_EXPECT_EQ(test, mermap_mm_prepare(mm), 0);

	w = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, mermap_addr(w));
	r.addr = mermap_addr(w);
	cpu = other_cpu();

	/* Another mm, prepared; this CPU, then another. And no mm. */
	r.mm = mm;
	KUNIT_EXPECT_FALSE(test, run_on(test, raw_smp_processor_id(), &r));
	KUNIT_EXPECT_FALSE(test, run_on(test, cpu, &r));
	r.mm = NULL;
	KUNIT_EXPECT_FALSE(test, run_on(test, cpu, &r));
	/* The same mm does see it. */
	r.mm = current->mm;
	KUNIT_EXPECT_TRUE(test, run_on(test, cpu, &r));

	mermap_put(w);
	mmput(mm);
}

static void taint_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	unsigned int i;

	for (i = 0; i < MERMAP_MAX_PAGES; i++)
		KUNIT_EXPECT_FALSE(test, mermap_page_tainted(page + i));

	scoped_class(mermap, w, page + 1, PAGE_SIZE + 1, PAGE_KERNEL)
		KUNIT_EXPECT_NOT_NULL(test, mermap_addr(w));
	scoped_class(mermap_reserved, r, page + 5, PAGE_KERNEL)
		KUNIT_EXPECT_NOT_NULL(test, mermap_addr(r));

	/* Still so after the windows are closed; and only these. */
	for (i = 0; i < MERMAP_MAX_PAGES; i++)
		KUNIT_EXPECT_EQ_MSG(test, mermap_page_tainted(page + i),
				    i == 1 || i == 2 || i == 5, "page %u", i);

	__clear_bit(PG_mermapped, &page[5].flags.f);
	KUNIT_EXPECT_FALSE(test, mermap_page_tainted(page + 5));
}

/*
 * A thread of the same mm on another CPU keeps a translation of a window that
 * is closed. This is what the mark is for; the flush ends it.
 */
#define STALE_TRIES	16

enum stale_step { STALE_START, STALE_WARM, STALE_CLOSED, STALE_LOOKED,
		  STALE_FLUSHED };

static struct {
	enum stale_step step;
	bool warm, before, after;
} stale;

static bool stale_reached(enum stale_step step)
{
	/* Pairs with stale_go() */
	return smp_load_acquire(&stale.step) >= step;
}

static void stale_wait(enum stale_step step)
{
	while (!stale_reached(step)) {
		cpu_relax();
		cond_resched();
	}
}

/* Not for long: stop_machine() may have stopped the other CPU, and want this one. */
static bool stale_wait_some(enum stale_step step)
{
	u64 end = local_clock() + 200 * NSEC_PER_MSEC;

	while (!stale_reached(step)) {
		if (local_clock() > end)
			return false;
		cpu_relax();
	}
	return true;
}

static void stale_go(enum stale_step step)
{
	/* What was read and written before is seen by who waits for the step. */
	smp_store_release(&stale.step, step);
}

static void stale_fn(struct remote *r)
{
	/* A context switch would flush the TLB, where there are no PCIDs. */
	scoped_guard(preempt) {
		/* Stand in for speculation. */
		stale.warm = readable(r->addr);
		stale.after = false;
		stale_go(STALE_WARM);
		stale.before = stale_wait_some(STALE_CLOSED) && readable(r->addr);
		if (stale.before) {
			stale_go(STALE_LOOKED);
			stale.before = stale_wait_some(STALE_FLUSHED);
			stale.after = stale.before && readable(r->addr);
		}
	}

	stale_wait(STALE_CLOSED);
	if (!stale_reached(STALE_LOOKED))
		stale_go(STALE_LOOKED);
	stale_wait(STALE_FLUSHED);
}

static void stale_once(struct kunit *test, struct page *page, unsigned long *ev)
{
	struct remote r = { .fn = stale_fn, .mm = current->mm };
	struct mermap_window w;
	struct task_struct *p;
	unsigned long n;

	init_completion(&r.done);
	stale_go(STALE_START);

	w = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mermap_addr(w));
	r.addr = mermap_addr(w);
	p = kthread_create_on_cpu(remote_thread, &r, other_cpu(),
				  "mermap_stale/%u");
	if (IS_ERR(p)) {
		mermap_put(w);
		KUNIT_FAIL_AND_ABORT(test, "no thread");
	}
	wake_up_process(p);
	stale_wait(STALE_WARM);
	KUNIT_EXPECT_TRUE(test, stale.warm);

	mermap_put(w);
	KUNIT_EXPECT_FALSE(test, readable(r.addr));
	KUNIT_EXPECT_TRUE(test, mermap_page_tainted(page));
	stale_go(STALE_CLOSED);
	stale_wait(STALE_LOOKED);

	all_vm_events(ev);
	n = ev[MERMAP_FLUSH];
	mermap_flush();
	all_vm_events(ev);
	KUNIT_EXPECT_EQ(test, ev[MERMAP_FLUSH], n + 1);

	stale_go(STALE_FLUSHED);
	wait_for_completion(&r.done);
	KUNIT_EXPECT_FALSE(test, stale.after);
}

static void flush_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	unsigned int i, nr = 0;
	unsigned long *ev;

	need_two_cpus(test);
	ev = kunit_kcalloc(test, NR_VM_EVENT_ITEMS, sizeof(*ev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ev);
	/* An interrupt may flush the other CPU: that is no test */
	for (i = 0; i < STALE_TRIES; i++) {
		stale_once(test, page, ev);
		nr += stale.before;
	}
	kunit_info(test, "a closed window was still readable on another CPU %u times of %u",
		   nr, i);
	if (!nr)
		kunit_skip(test, "this machine keeps no stale translations");
}

/*
 * Many tasks of one mm on few CPUs: they race to prepare it, preempt each other
 * and sleep with windows open. Each sees nothing but its own page.
 */
#define STRESS_LOOPS	500

static bool stress_window(struct mermap_window w, char c)
{
	const char *addr = mermap_addr(w);

	return addr[0] == c && addr[PAGE_SIZE - 1] == c;
}

static void stress_fn(struct remote *r)
{
	char c = *(char *)page_address(r->page);
	bool ok = !mermap_mm_prepare(current->mm);
	unsigned int i;

	for (i = 0; ok && i < STRESS_LOOPS; i++) {
		struct mermap_window w, v;

		w = mermap_get(r->page, PAGE_SIZE, PAGE_KERNEL_RO);
		v = mermap_get(r->page, PAGE_SIZE, PAGE_KERNEL_RO);
		scoped_class(mermap_reserved, res, r->page, PAGE_KERNEL_RO)
			ok &= mermap_addr(res) && stress_window(res, c);
		if (i % 8 == 0)
			schedule_timeout_uninterruptible(i % 64 == 0);
		/* There may be no slot left, but what there is, is right. */
		if (mermap_addr(w)) {
			ok &= stress_window(w, c);
			mermap_put(w);
		}
		if (mermap_addr(v)) {
			ok &= stress_window(v, c);
			mermap_put(v);
		}
		cond_resched();
	}
	r->ret = ok;
}

static void stress_test(struct kunit *test)
{
	unsigned int i, started, nr = 4 * num_online_cpus();
	struct mm_struct *mm;
	struct page *page;
	struct remote *r;

	r = kunit_kcalloc(test, nr, sizeof(*r), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r);
	page = test_pages(test);
	mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, mm);

	for (started = 0; started < nr; started++) {
		struct remote *this = &r[started];
		struct task_struct *p;

		this->fn = stress_fn;
		this->mm = mm;
		this->page = page + started % MERMAP_MAX_PAGES;
		init_completion(&this->done);
		p = kthread_run(remote_thread, this, "mermap_stress/%u",
				started);
		if (IS_ERR(p))
			break;
	}
	KUNIT_EXPECT_EQ(test, started, nr);
	for (i = 0; i < started; i++) {
		wait_for_completion(&r[i].done);
		KUNIT_EXPECT_TRUE_MSG(test, r[i].ret, "thread %u", i);
	}
	mmput(mm);
}

/*
 * Price
 */

#define LOOPS	1024

/* How often this CPU has flushed its TLB or another's, if that is counted. */
static unsigned long flushes(void)
{
#ifdef CONFIG_DEBUG_TLBFLUSH
	return raw_cpu_read(vm_event_states.event[NR_TLB_REMOTE_FLUSH]) +
	       raw_cpu_read(vm_event_states.event[NR_TLB_REMOTE_FLUSH_RECEIVED]) +
	       raw_cpu_read(vm_event_states.event[NR_TLB_LOCAL_FLUSH_ALL]) +
	       raw_cpu_read(vm_event_states.event[NR_TLB_LOCAL_FLUSH_ONE]);
#else
	return 0;
#endif
}

static void price_test(struct kunit *test)
{
	struct page *page = test_pages(test);
	struct mermap_window w;
	u64 t, get = 0, put = 0, res = 0, nothing = 0, eight = 0;
	unsigned long flags, before, after;
	unsigned int i;

	/* The first time in an owner's life sets the mark. */
	w = mermap_get(page, MERMAP_MAX_SIZE, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mermap_addr(w));
	mermap_put(w);

	local_irq_save(flags);
	before = flushes();
	for (i = 0; i < LOOPS; i++) {
		t = local_clock();
		nothing += local_clock() - t;
	}
	for (i = 0; i < LOOPS; i++) {
		t = local_clock();
		w = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
		get += local_clock() - t;
		t = local_clock();
		mermap_put(w);
		put += local_clock() - t;
	}
	for (i = 0; i < LOOPS; i++) {
		t = local_clock();
		mermap_put(mermap_get_reserved(page, PAGE_KERNEL));
		res += local_clock() - t;
	}
	for (i = 0; i < LOOPS; i++) {
		t = local_clock();
		mermap_put(mermap_get(page, MERMAP_MAX_SIZE, PAGE_KERNEL));
		eight += local_clock() - t;
	}
	after = flushes();
	local_irq_restore(flags);

	KUNIT_EXPECT_EQ(test, after, before);

	/* With QEMU's -icount shift=0 a nanosecond is an instruction. */
	kunit_info(test, "ns (the clock's own %llu taken off): get %llu, put %llu; reserved, both %llu; %u pages, both %llu",
		   nothing / LOOPS, (get - nothing) / LOOPS,
		   (put - nothing) / LOOPS, (res - nothing) / LOOPS,
		   MERMAP_MAX_PAGES, (eight - nothing) / LOOPS);
}

static struct kunit_case mermap_test_cases[] = {
	KUNIT_CASE(size_to_slots_test),
	KUNIT_CASE(slots_mask_test),
	KUNIT_CASE(slots_find_test),
	KUNIT_CASE(region_test),
#ifdef CONFIG_X86
	KUNIT_CASE(region_user_tables_test),
#endif
	KUNIT_CASE(teardown_test),
	KUNIT_CASE(not_prepared_test),
	KUNIT_CASE(read_write_test),
	KUNIT_CASE(read_only_test),
	KUNIT_CASE(nested_test),
	KUNIT_CASE(refused_test),
	KUNIT_CASE(exhausted_test),
	KUNIT_CASE(reserved_scope_test),
	KUNIT_CASE(atomic_test),
	KUNIT_CASE(each_cpu_test),
	KUNIT_CASE(sleep_test),
	KUNIT_CASE(no_user_fault_test),
	KUNIT_CASE(copy_iter_test),
	KUNIT_CASE(copy_iter_beside_test),
	KUNIT_CASE(copy_iter_short_test),
	KUNIT_CASE(other_mm_test),
	KUNIT_CASE(taint_test),
	KUNIT_CASE(flush_test),
	KUNIT_CASE_SLOW(stress_test),
	KUNIT_CASE(price_test),
	{}
};

static struct kunit_suite mermap_test_suite = {
	.name = "mermap",
	.init = mermap_test_init,
	.test_cases = mermap_test_cases,
};

kunit_test_suite(mermap_test_suite);

MODULE_DESCRIPTION("KUnit tests of the mm-local region and of mermap");
MODULE_LICENSE("GPL");
