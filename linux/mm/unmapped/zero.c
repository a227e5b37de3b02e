// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zero pages that are absent from the direct map.
 *
 * A page is freed from wherever its last reference is dropped: by a task that
 * is dying and has no mm any more, in softirq, in a hard interrupt, under a
 * lock. So the window through which it is zeroed cannot be in current->mm.
 * Each CPU has a private mm instead, with UNMAPPED_ZERO_BATCH windows in its
 * mm-local region, all page tables of which are allocated beforehand: when
 * somebody first wants such pages, and for a CPU that comes online later, before
 * it does. It is switched to with IRQs off for one batch.
 *
 * No user code ever runs in these mms, and no two CPUs share one. The windows
 * are closed before the mm is left, so there is never a translation that
 * anybody else could use, and no other CPU need be told of anything.
 */
#include <linux/cpuhotplug.h>
#include <linux/irqflags.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_context.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/pgalloc.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <asm/mermap.h>
#include <asm/mm_local.h>

#include "internal.h"

/**
 * struct unmapped_zero_cpu - the private mm of a CPU
 * @mm: The mm; NULL until it is prepared, and then for good.
 * @pte: The page-table entry of the first window; the others follow.
 */
struct unmapped_zero_cpu {
	struct mm_struct *mm;
	pte_t *pte;
};

static DEFINE_PER_CPU(struct unmapped_zero_cpu, unmapped_zero_cpu);

/**
 * unmapped_zero_supported() - can this machine zero unmapped pages?
 *
 * Context: any.
 * Return: false where there is no mm-local region.
 */
bool unmapped_zero_supported(void)
{
	return mm_local_supported();
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
 * or before unmapped_zero_prepare().
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
 * unmapped_erase_pages() - zero pages, but for those that are hardware-poisoned
 * @page: the first page
 * @nr: how many
 *
 * Nothing may touch these.
 *
 * Context: any. Does not sleep, takes no lock.
 * Return: as unmapped_zero_pages().
 */
bool unmapped_erase_pages(struct page *page, unsigned int nr)
{
	unsigned int start, end;

	for (start = 0; start < nr; start = end + 1) {
		for (end = start; end < nr && !PageHWPoison(page + end); end++)
			;
		if (end > start && !unmapped_zero_pages(page + start, end - start))
			return false;
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

static void private_mm_free(struct mm_struct *mm)
{
	/* The tables of the mm-local region go with the PGD */
	pgd_free(mm, mm->pgd);
	destroy_context(mm);
	kfree(mm);
}

/*
 * As efi_mm, it is what page tables need to be loaded, and no more: no task ever
 * has it, so nothing is counted in it on each CPU, and nobody owns it.
 */
static struct mm_struct *private_mm_alloc(int node)
{
	struct mm_struct *mm;

	mm = kzalloc_node(struct_size(mm, flexible_array, cpumask_size()),
			  GFP_KERNEL, node);
	if (!mm)
		return NULL;

	mt_init_flags(&mm->mm_mt, MM_MT_FLAGS);
	mt_set_external_lock(&mm->mm_mt, &mm->mmap_lock);
	atomic_set(&mm->mm_users, 1);
	atomic_set(&mm->mm_count, 1);
	seqcount_init(&mm->write_protect_seq);
	init_rwsem(&mm->mmap_lock);
	mm_lock_seqcount_init(mm);
	spin_lock_init(&mm->page_table_lock);
	INIT_LIST_HEAD(&mm->mmlist);
	mm_init_cpumask(mm);

	mm->pgd = pgd_alloc(mm);
	if (!mm->pgd)
		goto err_free;
	if (init_new_context(NULL, mm))
		goto err_free_pgd;
	mm_local_init_private_mm(mm);
	return mm;

err_free_pgd:
	pgd_free(mm, mm->pgd);
err_free:
	kfree(mm);
	return NULL;
}

static int unmapped_zero_prepare_cpu(unsigned int cpu)
{
	struct unmapped_zero_cpu *z = per_cpu_ptr(&unmapped_zero_cpu, cpu);
	unsigned long base = mm_local_base();
	struct mem_cgroup *old_memcg;
	struct mm_struct *mm;
	int err = -ENOMEM;

	/* Kept while a CPU is offline: it may free pages until its last step. */
	if (z->mm)
		return 0;

	/* Whoever has the CPU brought online is not who needs them */
	old_memcg = set_active_memcg(root_mem_cgroup);
	mm = private_mm_alloc(cpu_to_node(cpu));
	if (mm)
		err = mm_local_populate(mm, base,
					base + UNMAPPED_ZERO_BATCH * PAGE_SIZE);
	set_active_memcg(old_memcg);
	if (err) {
		if (mm)
			private_mm_free(mm);
		return err;
	}

	z->pte = mm_local_pte(mm, base);
	/* The CPU may be online. It has none of these pages before all have this. */
	smp_store_release(&z->mm, mm);
	return 0;
}

/**
 * unmapped_zero_prepare() - have unmapped pages zeroed by every CPU
 *
 * Makes the private mms of all that are online; each of the others will have
 * one before it comes online, or does not come. May be called again, after a
 * failure and after a success, and races with itself.
 *
 * Context: task, may sleep, takes cpu_hotplug_lock: no lock held that is taken
 * under that, as mmap_lock is.
 * Return: 0, -EOPNOTSUPP unless unmapped_zero_supported(), -ENOMEM, or what
 * else CPU hotplug says.
 */
int unmapped_zero_prepare(void)
{
	static DEFINE_MUTEX(lock);
	static bool prepared;
	int err;

	if (!unmapped_zero_supported())
		return -EOPNOTSUPP;

	guard(mutex)(&lock);
	if (prepared)
		return 0;

	err = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "mm/unmapped_zero:prepare",
				unmapped_zero_prepare_cpu, NULL);
	if (err < 0)
		return err;

	prepared = true;
	return 0;
}
