// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zero pages that are absent from the direct map.
 *
 * A page is freed from wherever its last reference is dropped: by a task that
 * is dying and has no mm any more, in softirq, in a hard interrupt, under a
 * lock. So the window through which it is zeroed cannot be in current->mm.
 * Each CPU has a private mm instead, with UNMAPPED_ZERO_BATCH windows in its
 * mm-local region, all page tables of which are allocated beforehand. It is
 * switched to with IRQs off for one batch.
 *
 * No user code ever runs in these mms, and no two CPUs share one. The windows
 * are closed before the mm is left, so there is never a translation that
 * anybody else could use, and no other CPU need be told of anything.
 */
#include <linux/cpuhotplug.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/percpu.h>
#include <linux/sched/mm.h>

#include <asm/mermap.h>
#include <asm/mm_local.h>

#include "internal.h"

/**
 * struct unmapped_zero_cpu - the private mm of a CPU
 * @mm: The mm; NULL until the CPU is first brought up, and then for good.
 * @pte: The page-table entry of the first window; the others follow.
 */
struct unmapped_zero_cpu {
	struct mm_struct *mm;
	pte_t *pte;
};

static DEFINE_PER_CPU(struct unmapped_zero_cpu, unmapped_zero_cpu);
static bool unmapped_zero_initialised __ro_after_init;

/**
 * unmapped_zero_ready() - can this machine zero unmapped pages?
 *
 * Context: any.
 * Return: true once every CPU that is online, or will be, can. Before
 * early_initcall(), or if memory was short then, or where there is no mm-local
 * region: false.
 */
bool unmapped_zero_ready(void)
{
	return unmapped_zero_initialised;
}

/*
 * Zero up to UNMAPPED_ZERO_BATCH pages: the first @nr of @pages, or if that is
 * NULL, those from @page on.
 */
static __always_inline bool zero_some(struct page *const *pages,
				      struct page *page, unsigned int nr)
{
	unsigned long base = mm_local_base();
	struct unmapped_zero_cpu *z;
	struct mm_struct *prev;
	unsigned int i;

	VM_WARN_ON_ONCE(!nr || nr > UNMAPPED_ZERO_BATCH);

	guard(irqsave)();

	z = this_cpu_ptr(&unmapped_zero_cpu);
	if (unlikely(!z->mm || !mm_local_may_switch()))
		return false;

	/* Nobody can walk these yet: the tables are not loaded. */
	for (i = 0; i < nr; i++)
		arch_mermap_set(z->pte + i, page_to_pfn(pages ? pages[i] :
							page + i), PAGE_KERNEL);

	prev = use_temporary_mm(z->mm);
	clear_pages((void *)base, nr);
	for (i = 0; i < nr; i++)
		arch_mermap_clear(z->pte + i, base + i * PAGE_SIZE);
	unuse_temporary_mm(prev);

	return true;
}

/**
 * unmapped_zero_pages() - zero pages that the direct map does not show
 * @page: the first of physically contiguous pages, which the caller owns
 * @nr: how many; any number
 *
 * Pages that the direct map shows can be zeroed by it as well, just not as
 * cheaply. IRQs are off for UNMAPPED_ZERO_BATCH pages at a time, and on between
 * if they were on.
 *
 * Context: any. Does not sleep, takes no lock.
 * Return: true if all pages are zero. False if nothing was done, as it cannot
 * be done here: in NMI, while a temporary mm is in use (text poking, EFI calls),
 * or unless unmapped_zero_ready().
 */
bool unmapped_zero_pages(struct page *page, unsigned int nr)
{
	while (nr) {
		unsigned int n = min(nr, UNMAPPED_ZERO_BATCH);

		/* Where it works once, it works again. */
		if (unlikely(!zero_some(NULL, page, n)))
			return false;
		page += n;
		nr -= n;
	}
	return true;
}

/**
 * unmapped_zero_batch() - zero scattered pages that the direct map does not show
 * @pages: the pages, which the caller owns
 * @nr: how many; any number
 *
 * As unmapped_zero_pages(). The switch to the private mm and back is paid once
 * for UNMAPPED_ZERO_BATCH pages, wherever they are.
 *
 * Context: any. Does not sleep, takes no lock.
 * Return: as unmapped_zero_pages().
 */
bool unmapped_zero_batch(struct page *const *pages, unsigned int nr)
{
	while (nr) {
		unsigned int n = min(nr, UNMAPPED_ZERO_BATCH);

		if (unlikely(!zero_some(pages, NULL, n)))
			return false;
		pages += n;
		nr -= n;
	}
	return true;
}

static int unmapped_zero_prepare_cpu(unsigned int cpu)
{
	struct unmapped_zero_cpu *z = per_cpu_ptr(&unmapped_zero_cpu, cpu);
	unsigned long base = mm_local_base();
	struct mm_struct *mm;
	int err;

	/* Kept while a CPU is offline: it may free pages until its last step. */
	if (z->mm)
		return 0;

	mm = mm_alloc();
	if (!mm)
		return -ENOMEM;
	err = mm_local_populate(mm, base,
				base + UNMAPPED_ZERO_BATCH * PAGE_SIZE);
	if (err) {
		mmput(mm);
		return err;
	}

	mm_local_init_private_mm(mm);
	z->pte = mm_local_pte(mm, base);
	/* On the boot CPU, an interrupt may come in between. */
	smp_store_release(&z->mm, mm);
	return 0;
}

static int __init unmapped_zero_init(void)
{
	int err;

	if (!mm_local_supported())
		return 0;

	err = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "mm/unmapped_zero:prepare",
				unmapped_zero_prepare_cpu, NULL);
	if (err < 0)
		return err;

	unmapped_zero_initialised = true;
	return 0;
}
early_initcall(unmapped_zero_init);
