// SPDX-License-Identifier: GPL-2.0-only
/*
 * mm/mermap.c: a window shows its pages, in slots that nobody else has.
 *
 * The architecture is played here: a table of entries an mm, and a list of the
 * addresses that were flushed. Preemption comes where the kernel's hurts most,
 * between looking at the slots and taking them.
 */
#include "kunit.h"
#include "mermap_stubs.h"

/* asm/mm_local.h */
#define UNIT_BASE	0x7f0000000000UL
#define UNIT_NR_PTES	(UNIT_CPUS * 16)

static unsigned long mm_local_base(void)
{
	return UNIT_BASE;
}

static int mm_local_populate(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	if (!mm->unit)
		mm->unit = unit_alloc(UNIT_NR_PTES * sizeof(pte_t));
	return mm->unit ? 0 : -ENOMEM;
}

static pte_t *mm_local_pte(struct mm_struct *mm, unsigned long addr)
{
	return (pte_t *)mm->unit + ((addr - UNIT_BASE) >> PAGE_SHIFT);
}

/* What invlpg() was called for since somebody last looked: a bit a slot of an mm */
static unsigned long flushed[UNIT_NR_PTES / 64 + 1];

static void invlpg(unsigned long addr)
{
	unsigned long i = (addr - UNIT_BASE) >> PAGE_SHIFT;

	flushed[i / 64] |= 1UL << i % 64;
}

static bool was_flushed(unsigned int i)
{
	return flushed[i / 64] & 1UL << i % 64;
}

#include <mm/mermap.c>

static_assert(MERMAP_SLOTS * UNIT_CPUS == UNIT_NR_PTES);

static struct mm_struct mm;
static struct task_struct task;

static bool shows_nothing(unsigned int slot)
{
	return pte_none(((pte_t *)mm.unit)[slot]);
}

static unsigned long used(unsigned int cpu)
{
	return per_cpu_ptr(mm.mermap, cpu)->used;
}

static int mermap_init(struct kunit *test)
{
	unsigned int i;

	memset(&mm, 0, sizeof(mm));
	memset(flushed, 0, sizeof(flushed));
	memset(unit_pages, 0, sizeof(unit_pages));
	task.mm = &mm;
	unit_task = &task;
	for (i = 0; i < UNIT_CPUS; i++)
		unit_tlbstate[i].loaded_mm = &mm;
	for (i = 0; i < UNIT_NR_PAGES; i++)
		unit_pages[i].refs = 1;
	return 0;
}

/* No window is left, then no memory: LeakSanitizer says if there is. */
static void mermap_exit(struct kunit *test)
{
	unsigned int i;

	for (i = 0; mm.unit && i < UNIT_NR_PTES; i++)
		KUNIT_EXPECT_TRUE(test, shows_nothing(i));
	mermap_mm_destroy(&mm);
	free(mm.unit);
	mm.unit = NULL;
}

/* Does a window show these pages, in slots of this CPU, and in no other way? */
static void expect_open(struct kunit *test, struct mermap_window w, struct page *page,
			unsigned int nr, pteval_t rw)
{
	unsigned long addr = (unsigned long)mermap_addr(w), i;

	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_EXPECT_EQ(test, mermap_nr_pages(w), nr);
	KUNIT_EXPECT_GE(test, addr, UNIT_BASE + unit_cpu * MERMAP_CPU_SIZE);
	KUNIT_EXPECT_LE(test, addr + nr * PAGE_SIZE, UNIT_BASE + (unit_cpu + 1) * MERMAP_CPU_SIZE);
	for (i = 0; i < nr; i++) {
		pteval_t pte = mm_local_pte(&mm, addr + i * PAGE_SIZE)->pte;

		KUNIT_EXPECT_EQ(test, pte >> PAGE_SHIFT, page_to_pfn(page) + i);
		KUNIT_EXPECT_EQ(test, pte & (_PAGE_PRESENT | _PAGE_RW | _PAGE_USER | _PAGE_GLOBAL),
				_PAGE_PRESENT | rw);
		KUNIT_EXPECT_TRUE(test, mermap_page_tainted(page + i));
	}
}

static void close_window(struct kunit *test, struct mermap_window w)
{
	unsigned long first = ((unsigned long)mermap_addr(w) - UNIT_BASE) >> PAGE_SHIFT, i;
	unsigned int nr = mermap_nr_pages(w);

	memset(flushed, 0, sizeof(flushed));
	mermap_put(w);
	/* This CPU forgot each page of it, and nothing else */
	for (i = 0; i < UNIT_NR_PTES; i++)
		KUNIT_EXPECT_EQ(test, was_flushed(i), i >= first && i < first + nr);
	for (i = first; i < first + nr; i++)
		KUNIT_EXPECT_TRUE(test, shows_nothing(i));
}

static void reserved(struct kunit *test)
{
	struct mermap_window w[MERMAP_SLOTS], r;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, mermap_mm_prepare(&mm), 0);
	for (i = 0; i < MERMAP_SLOTS; i++) {
		w[i] = mermap_get(unit_pages + i, 1, PAGE_KERNEL_RO);
		if (!mermap_addr(w[i]))
			break;
		expect_open(test, w[i], unit_pages + i, 1, 0);
	}
	/* All but the reserve, and then the reserve */
	KUNIT_EXPECT_EQ(test, i, MERMAP_SLOTS - 1);
	KUNIT_EXPECT_EQ(test, unit_migrate_depth, i);
	r = mermap_get_reserved(unit_pages, PAGE_KERNEL);
	expect_open(test, r, unit_pages, 1, _PAGE_RW);
	KUNIT_EXPECT_EQ(test, unit_preempt_depth, 1);

	/* Not twice: a warning, and no window */
	KUNIT_EXPECT_NULL(test, mermap_addr(mermap_get_reserved(unit_pages, PAGE_KERNEL)));
	KUNIT_EXPECT_EQ(test, test->warnings, 1);
	test->warnings = 0;

	close_window(test, r);
	while (i--)
		close_window(test, w[i]);
	KUNIT_EXPECT_EQ(test, used(0), 0);
}

static void expect_refused(struct kunit *test, unsigned long size)
{
	KUNIT_EXPECT_NULL(test, mermap_addr(mermap_get(unit_pages, size, PAGE_KERNEL)));
}

static void refusals(struct kunit *test)
{
	expect_refused(test, 1);
	KUNIT_ASSERT_EQ(test, mermap_mm_prepare(&mm), 0);
	expect_refused(test, 0);
	expect_refused(test, MERMAP_MAX_SIZE + 1);
	expect_refused(test, ULONG_MAX);
	KUNIT_EXPECT_EQ(test, test->warnings, 0);

	unit_in_interrupt = true;
	expect_refused(test, 1);
	KUNIT_EXPECT_NULL(test, mermap_addr(mermap_get_reserved(unit_pages, PAGE_KERNEL)));
	KUNIT_EXPECT_EQ(test, test->warnings, 2);
	test->warnings = 0;
	unit_in_interrupt = false;

	task.mm = NULL;	/* a kernel thread */
	expect_refused(test, 1);
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

/*
 * Windows of all sizes, opened on all CPUs and closed in any order. No two of one
 * CPU share a slot, what is in use is what is open, and a window is refused only
 * where there is no room for it.
 */
static void any_order(struct kunit *test)
{
	struct mermap_window open[UNIT_CPUS][MERMAP_SLOTS] = {};
	unsigned int n[UNIT_CPUS] = {}, refused = 0, step;

	KUNIT_ASSERT_EQ(test, mermap_mm_prepare(&mm), 0);
	for (step = 0; step < 200000 && !test->failed; step++) {
		unsigned int cpu = draw(UNIT_CPUS), nr = 1 + draw(MERMAP_MAX_PAGES);
		struct page *page = unit_pages + draw(UNIT_NR_PAGES - MERMAP_MAX_PAGES);
		unsigned long before = used(cpu);
		struct mermap_window w;

		unit_cpu = cpu;
		if (n[cpu] && draw(2)) {
			unsigned int i = draw(n[cpu]);

			close_window(test, open[cpu][i]);
			open[cpu][i] = open[cpu][--n[cpu]];
			continue;
		}

		w = mermap_get(page, nr * PAGE_SIZE - draw(PAGE_SIZE), PAGE_KERNEL);
		if (mermap_addr(w)) {
			expect_open(test, w, page, nr, _PAGE_RW);
			open[cpu][n[cpu]++] = w;
			KUNIT_EXPECT_EQ(test, used(cpu) & before, before);
			KUNIT_EXPECT_EQ(test, __builtin_popcountl(used(cpu) & ~before), nr);
			KUNIT_EXPECT_FALSE(test, used(cpu) & BIT(MERMAP_RESERVED_SLOT));
		} else {
			refused++;
			KUNIT_EXPECT_EQ(test, mermap_slots_find(before, nr), 0);
			KUNIT_EXPECT_EQ(test, used(cpu), before);
		}
	}
	/* or it was too easy */
	KUNIT_EXPECT_GT(test, refused, 1000);
	for (unit_cpu = 0; unit_cpu < UNIT_CPUS; unit_cpu++)
		while (n[unit_cpu])
			close_window(test, open[unit_cpu][--n[unit_cpu]]);
	unit_cpu = 0;
}

/* Another task of this mm, which preempts somebody who is about to take slots */
static struct mermap_window other;
static unsigned int other_nr, preempted;

static void other_opens(void)
{
	preempted++;
	other = mermap_get(unit_pages + 32, other_nr * PAGE_SIZE, PAGE_KERNEL);
}

static void other_opens_and_closes(void)
{
	other_opens();
	if (mermap_addr(other))
		mermap_put(other);
	other.val = 0;
}

/* Ask for @nr slots where @taken are, and let the other task in between. */
static void preempt(struct kunit *test, unsigned int nr, unsigned int taken, void (*hook)(void))
{
	struct mermap_window w, first = {};

	if (taken)
		first = mermap_get(unit_pages + 48, taken * PAGE_SIZE, PAGE_KERNEL);
	other.val = 0;
	unit_preempt_hook = hook;
	w = mermap_get(unit_pages, nr * PAGE_SIZE, PAGE_KERNEL);

	/* It has what the other one left, if that is enough. */
	if (mermap_addr(other))
		expect_open(test, other, unit_pages + 32, other_nr, _PAGE_RW);
	if (mermap_addr(w))
		expect_open(test, w, unit_pages, nr, _PAGE_RW);
	else
		KUNIT_EXPECT_GT(test, taken + nr + other_nr, MERMAP_SLOTS - 1);
	KUNIT_EXPECT_EQ(test, __builtin_popcountl(used(0)), mermap_nr_pages(first) +
			mermap_nr_pages(other) + mermap_nr_pages(w));
	if (mermap_addr(w))
		close_window(test, w);
	if (mermap_addr(other))
		close_window(test, other);
	if (taken)
		close_window(test, first);
}

static void preemption(struct kunit *test)
{
	unsigned int nr, taken, most, tries = 0;

	KUNIT_ASSERT_EQ(test, mermap_mm_prepare(&mm), 0);
	preempted = 0;
	for (nr = 1; nr <= MERMAP_MAX_PAGES; nr++) {
		/* Until the first one itself finds no slots */
		most = min(MERMAP_MAX_PAGES, MERMAP_SLOTS - 1 - nr);
		for (other_nr = 1; other_nr <= MERMAP_MAX_PAGES; other_nr++) {
			for (taken = 0; taken <= most; taken++) {
				preempt(test, nr, taken, other_opens);
				preempt(test, nr, taken, other_opens_and_closes);
				tries += 2;
			}
		}
	}
	KUNIT_EXPECT_EQ(test, preempted, tries);
}

static void other_prepares(void)
{
	preempted += !mermap_mm_prepare(&mm);
}

static void prepare(struct kunit *test)
{
	struct mermap_cpu *mermap;
	int nth;

	/* Whatever it is that fails, it can be tried again */
	for (nth = 1; nth <= 2; nth++) {
		unit_fail_alloc = nth;
		KUNIT_EXPECT_EQ(test, mermap_mm_prepare(&mm), -ENOMEM);
		KUNIT_EXPECT_NULL(test, mm.mermap);
		free(mm.unit);
		mm.unit = NULL;
	}
	/* Another thread is faster: its windows are the ones, ours are freed. */
	preempted = 0;
	unit_preempt_hook = other_prepares;
	KUNIT_EXPECT_EQ(test, mermap_mm_prepare(&mm), 0);
	KUNIT_EXPECT_EQ(test, preempted, 1);
	mermap = mm.mermap;
	KUNIT_EXPECT_NOT_NULL(test, mermap);
	KUNIT_EXPECT_EQ(test, mermap_mm_prepare(&mm), 0);
	KUNIT_EXPECT_PTR_EQ(test, mm.mermap, mermap);
}

static struct kunit_case mermap_cases[] = {
	KUNIT_CASE(reserved),
	KUNIT_CASE(refusals),
	KUNIT_CASE(any_order),
	KUNIT_CASE(preemption),
	KUNIT_CASE(prepare),
	{}
};

static struct kunit_suite mermap_suite = {
	.name = "mermap",
	.init = mermap_init,
	.exit = mermap_exit,
	.test_cases = mermap_cases,
};

kunit_test_suite(mermap_suite);
