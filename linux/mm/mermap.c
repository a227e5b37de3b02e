// SPDX-License-Identifier: GPL-2.0-only
/*
 * mermap: windows to unmapped pages.
 *
 * Each prepared mm has MERMAP_SLOTS pages of address space for every CPU in
 * its mm-local region. A task opens a window in the part of the CPU it runs
 * on, stays on that CPU, uses it, and closes it. So a window needs no lock and
 * no shootdown: its slots, its page-table entries and its translations are
 * this CPU's own. Tasks of one mm that preempt each other on a CPU do share
 * the slots, which are therefore claimed with an instruction that cannot be
 * preempted.
 *
 * What other CPUs can do is walk the entries of an open window speculatively,
 * if they run a thread of the same mm. Nobody uses such a translation, but
 * closing the window does not remove it. The page is marked, and whoever frees
 * one of an unmapped block sees to it that it has no new owner before
 * mermap_flush().
 */
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/mermap.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/vmstat.h>

#include <asm/mermap.h>
#include <asm/mm_local.h>

/**
 * struct mermap_cpu - the windows of one mm on one CPU
 * @used: One bit a slot. Changed on its CPU only, by single instructions.
 * @pte: The page-table entry of slot 0; the others follow. They are in one
 *	page table, as MERMAP_SLOTS divides its size.
 * @base: The address of slot 0.
 */
struct mermap_cpu {
	unsigned long used;
	pte_t *pte;
	unsigned long base;
};

#define MERMAP_CPU_SIZE		(MERMAP_SLOTS * PAGE_SIZE)

static_assert(PTRS_PER_PTE % MERMAP_SLOTS == 0);
static_assert(MERMAP_SLOTS <= BITS_PER_LONG);
static_assert(MERMAP_MAX_PAGES < MERMAP_SLOTS);
static_assert(MERMAP_SLOTS * sizeof(pte_t) % L1_CACHE_BYTES == 0);
static_assert(MERMAP_NR_MASK >= MERMAP_MAX_PAGES);

static const struct mermap_window mermap_none;

/**
 * mermap_mm_prepare() - make windows possible in an mm
 * @mm: the mm; the caller holds a reference to its users (mm_users)
 *
 * The first call allocates the page tables of the windows of all CPUs (three
 * pages, four with 5-level page tables, one more for each further 32 CPUs) and
 * 24 bytes for each CPU; they go with the mm. Later calls are cheap. A failure
 * can be repeated. After fork() the child has to be prepared anew, so do not
 * remember the result for longer than current->mm stays the same.
 *
 * Context: process context, may sleep, takes no lock that callers know of.
 * Return: 0, -EOPNOTSUPP where the machine has no mm-local region, -ENOMEM.
 */
int mermap_mm_prepare(struct mm_struct *mm)
{
	struct mermap_cpu __percpu *mermap, *old = NULL;
	unsigned long base = mm_local_base();
	int cpu, err;

	/* Pairs with the cmpxchg below: the tables are complete. */
	if (smp_load_acquire(&mm->mermap))
		return 0;

	err = mm_local_populate(mm, base, base + nr_cpu_ids * MERMAP_CPU_SIZE);
	if (err)
		return err;

	mermap = alloc_percpu_gfp(struct mermap_cpu, GFP_KERNEL_ACCOUNT);
	if (!mermap)
		return -ENOMEM;

	for_each_possible_cpu(cpu) {
		struct mermap_cpu *mc = per_cpu_ptr(mermap, cpu);

		mc->base = base + cpu * MERMAP_CPU_SIZE;
		mc->pte = mm_local_pte(mm, mc->base);
	}

	/* Another thread may have been faster. The page tables are the same. */
	if (!try_cmpxchg(&mm->mermap, &old, mermap))
		free_percpu(mermap);

	return 0;
}
EXPORT_SYMBOL_GPL(mermap_mm_prepare);

/**
 * mermap_mm_destroy() - free what mermap_mm_prepare() made
 * @mm: an mm whose last reference is gone
 *
 * Its page tables go by themselves.
 *
 * Context: any that may free per-CPU memory.
 */
void mermap_mm_destroy(struct mm_struct *mm)
{
	struct mermap_cpu __percpu *mermap = mm->mermap;
	int cpu;

	if (likely(!mermap))
		return;

	if (IS_ENABLED(CONFIG_DEBUG_VM)) {
		for_each_possible_cpu(cpu)
			VM_WARN_ON_ONCE(per_cpu_ptr(mermap, cpu)->used);
	}
	mm->mermap = NULL;
	free_percpu(mermap);
}

static __always_inline void mermap_taint(struct page *page)
{
	VM_WARN_ON_ONCE_PAGE(PageAnonNotKsm(page), page);
	/* Once an owner: later windows write to no cache line others have. */
	if (!mermap_page_tainted(page))
		set_bit(PG_mermapped, &page->flags.f);
}

/* Open a window in slots that belong to the caller. */
static __always_inline struct mermap_window
mermap_open(struct mermap_cpu *mc, unsigned int slot, struct page *page,
	    unsigned int nr, pgprot_t prot, unsigned long flags)
{
	unsigned long pfn = page_to_pfn(page);
	pte_t *pte = mc->pte + slot;
	unsigned int i;

	VM_WARN_ON_ONCE(!arch_mermap_loaded(current->mm));
	VM_WARN_ON_ONCE_PAGE(!folio_ref_count(page_folio(page)), page);

	for (i = 0; i < nr; i++) {
		/* Before any CPU can walk the entry. */
		mermap_taint(page + i);
		arch_mermap_set(pte + i, pfn + i, prot);
	}

	return (struct mermap_window){
		(mc->base + slot * PAGE_SIZE) | nr | flags
	};
}

static __always_inline struct mermap_window
__mermap_get(struct page *page, unsigned int nr, pgprot_t prot)
{
	struct mermap_cpu __percpu *mermap;
	struct mm_struct *mm = current->mm;
	unsigned long used, start;
	unsigned int slot;

	/* Another thread may be preparing; address dependency orders the rest. */
	mermap = mm ? READ_ONCE(mm->mermap) : NULL;
	if (unlikely(!mermap))
		return mermap_none;

	/* Races with tasks of this mm that preempt us on this CPU. */
	used = this_cpu_read(mermap->used);
	do {
		start = mermap_slots_find(used, nr);
		if (unlikely(!start))
			return mermap_none;
		slot = __ffs(start);
	} while (!this_cpu_try_cmpxchg(mermap->used, &used,
				       used | mermap_slots_mask(slot, nr)));

	return mermap_open(this_cpu_ptr(mermap), slot, page, nr, prot, 0);
}

static noinline struct mermap_window
__mermap_get_many(struct page *page, unsigned long size, pgprot_t prot)
{
	unsigned int nr = mermap_size_to_slots(size);

	if (unlikely(!nr))
		return mermap_none;

	return __mermap_get(page, nr, prot);
}

/**
 * mermap_get() - open a window to one or more unmapped pages
 * @page: the first page. The pages are physically contiguous, of unmapped
 *	blocks (page_unmapped()), not anonymous, and the caller holds a
 *	reference to them until after mermap_put().
 * @size: how much of them the caller is going to touch, in bytes from the start
 *	of @page; 1 to MERMAP_MAX_SIZE
 * @prot: PAGE_KERNEL or PAGE_KERNEL_RO
 *
 * The window is in current->mm, which mermap_mm_prepare() must have been called
 * for. Until mermap_put() the task stays on this CPU (migrate_disable()), and
 * faults of user memory are not handled (pagefault_disable()): user space decides
 * how long these take, and CPU hotplug waits for the task. What has to be copied
 * from or to user memory, mermap_copy_to_iter() and mermap_copy_from_iter() do. The
 * task may be preempted, or sleep, but others of the same mm need slots as well,
 * so not for long. Windows may be nested, and closed in any order. virt_to_page()
 * and __pa() do not work on the address.
 *
 * Context: task context with current->mm loaded, thus not in an interrupt nor
 * in a temporary mm. Does not sleep, takes no lock. IRQs, preemption: any.
 * Return: the window. mermap_addr() of it is NULL, and there is nothing to put,
 * if the mm is not prepared, @size is 0 or too large, or tasks that sleep on
 * this CPU with windows have left too few slots.
 */
struct mermap_window mermap_get(struct page *page, unsigned long size,
				pgprot_t prot)
{
	struct mermap_window w;

	/* In an interrupt, current->mm is a stranger's. */
	if (WARN_ON_ONCE(!in_task()))
		return mermap_none;

	/* The only way out with these disabled is with a window. */
	migrate_disable();
	pagefault_disable();
	/* Most windows show one page: for these, have the loops gone. */
	if (likely(size - 1 < PAGE_SIZE))
		w = __mermap_get(page, 1, prot);
	else
		w = __mermap_get_many(page, size, prot);
	if (unlikely(!w.val)) {
		pagefault_enable();
		migrate_enable();
	}
	return w;
}
EXPORT_SYMBOL_GPL(mermap_get);

/**
 * mermap_get_reserved() - open a window to one unmapped page, without fail
 * @page: as for mermap_get()
 * @prot: as for mermap_get()
 *
 * For those who cannot take no for an answer. The window takes the slot that
 * nothing else uses. As there is one, preemption is off until mermap_put(): no
 * second task of this CPU can want it meanwhile. Not to be nested in itself.
 *
 * Context: as for mermap_get(). Preemption is off afterwards.
 * Return: the window; none only after a warning, if the mm is not prepared or
 * the caller already has the reserved window.
 */
struct mermap_window mermap_get_reserved(struct page *page, pgprot_t prot)
{
	struct mermap_cpu __percpu *mermap;
	struct mm_struct *mm = current->mm;
	struct mermap_cpu *mc;

	if (WARN_ON_ONCE(!in_task() || !mm))
		return mermap_none;

	preempt_disable();
	pagefault_disable();
	mermap = READ_ONCE(mm->mermap);
	if (WARN_ON_ONCE(!mermap))
		goto none;
	/* Other slots can change here by no one: no preemption, no interrupt. */
	mc = this_cpu_ptr(mermap);
	if (WARN_ON_ONCE(mc->used & BIT(MERMAP_RESERVED_SLOT)))
		goto none;
	mc->used |= BIT(MERMAP_RESERVED_SLOT);

	return mermap_open(mc, MERMAP_RESERVED_SLOT, page, 1, prot,
			   MERMAP_RESERVED);
none:
	pagefault_enable();
	preempt_enable();
	return mermap_none;
}
EXPORT_SYMBOL_GPL(mermap_get_reserved);

static __always_inline void __mermap_put(unsigned long addr, unsigned int nr)
{
	struct mermap_cpu __percpu *mermap = current->mm->mermap;
	struct mermap_cpu *mc = this_cpu_ptr(mermap);
	unsigned int slot = (addr - mc->base) >> PAGE_SHIFT;
	unsigned int i;

	VM_WARN_ON_ONCE(!arch_mermap_loaded(current->mm));
	VM_WARN_ON_ONCE(!nr || slot >= MERMAP_SLOTS || slot + nr > MERMAP_SLOTS);
	VM_WARN_ON_ONCE(~mc->used & mermap_slots_mask(slot, nr));

	for (i = 0; i < nr; i++)
		arch_mermap_clear(mc->pte + slot + i, addr + i * PAGE_SIZE);

	/* The slots are free when their translations are gone, not before. */
	barrier();
	this_cpu_and(mermap->used, ~mermap_slots_mask(slot, nr));
}

static noinline void __mermap_put_many(unsigned long addr, unsigned int nr)
{
	__mermap_put(addr, nr);
}

/**
 * mermap_put() - close a window
 * @w: an open window, of this task
 *
 * Afterwards this CPU cannot reach the page by it. Other CPUs that run the same
 * mm may have walked it speculatively: the page stays marked.
 *
 * Context: as for mermap_get(), on the same CPU and with the same current->mm.
 */
void mermap_put(struct mermap_window w)
{
	unsigned long addr = w.val & PAGE_MASK;
	unsigned int nr = mermap_nr_pages(w);

	if (likely(nr == 1))
		__mermap_put(addr, 1);
	else
		__mermap_put_many(addr, nr);

	pagefault_enable();
	if (w.val & MERMAP_RESERVED)
		preempt_enable();
	else
		migrate_enable();
}
EXPORT_SYMBOL_GPL(mermap_put);

/**
 * mermap_flush() - forget all translations of closed windows, on all CPUs
 *
 * For the allocator. What it must do with a page for which
 * mermap_page_tainted() holds when it is freed:
 *
 * 1. Put it, as it is, not on a free list but on a quarantine list. It is not
 *    free.
 * 2. Later, from process context, take the whole quarantine list off, and only
 *    then call this function. Pages which came to the quarantine after that
 *    wait for the next time: their windows may have been closed after the flush.
 * 3. Erase the pages taken off, and free them.
 *
 * One flush releases any number of pages: one shootdown, of all CPUs and all
 * address spaces (PCIDs), as the pages may have been seen by any mm. Windows
 * are closed before the last reference to their page is dropped, and so before
 * it can be freed: of a freed page no entry is left to be walked again.
 *
 * Context: process context, IRQs on, no lock that another CPU may spin on with
 * IRQs off. Does not sleep, but waits for the other CPUs.
 */
void mermap_flush(void)
{
	lockdep_assert_irqs_enabled();
	VM_WARN_ON_ONCE(!in_task());

	count_vm_event(MERMAP_FLUSH);
	flush_tlb_all();
}
EXPORT_SYMBOL_GPL(mermap_flush);
