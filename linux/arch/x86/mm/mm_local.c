// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page tables of the mm-local region.
 *
 * The region has a PGD entry of its own. It is empty in swapper_pg_dir, so it
 * is empty in every new PGD, and nothing that synchronises kernel PGD entries
 * (vmalloc, the direct map, vmemmap, EFI) reaches it. Page-table isolation
 * copies only the user half and what it names; set_pgd() of a kernel entry
 * stays out of the page tables that user mode runs on.
 *
 * The tables go with the PGD, in pgd_free(), and not in exit_mmap(): a CPU in
 * lazy TLB mode may have the mm loaded, and walk these tables speculatively,
 * until the last reference to the mm is gone. The PGD itself lives by the same
 * rule. So freeing them needs no TLB flush, and does not depend on which
 * mitigations are on. They are charged and counted like user page tables.
 */
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/pgalloc.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include <asm/mm_local.h>
#include <asm/tlbflush.h>

/**
 * mm_local_populate() - allocate page tables for a part of the mm-local region
 * @mm: the mm, which must not go away meanwhile
 * @start: first address, in the first MM_LOCAL_SIZE bytes of the region
 * @end: the address after the last, likewise
 *
 * Afterwards mm_local_pte() works for every address in [@start, @end). The
 * entries are empty. Tables which are already there are kept, so this may be
 * repeated after a failure, and may race with itself.
 *
 * Context: process context; may sleep, takes page_table_lock.
 * Return: 0, -EOPNOTSUPP where the machine has no mm-local region, -ENOMEM.
 * What was allocated before a failure stays and goes with the mm.
 */
int mm_local_populate(struct mm_struct *mm, unsigned long start,
		      unsigned long end)
{
	unsigned long addr;

	might_sleep();
	if (!mm_local_supported())
		return -EOPNOTSUPP;
	if (WARN_ON_ONCE(start < mm_local_base() || end <= start ||
			 end - mm_local_base() > MM_LOCAL_SIZE))
		return -EINVAL;

	for (addr = start & PMD_MASK; addr < end; addr += PMD_SIZE) {
		pgd_t *pgd = pgd_offset(mm, addr);
		p4d_t *p4d;
		pud_t *pud;
		pmd_t *pmd;

		p4d = p4d_alloc(mm, pgd, addr);
		if (!p4d)
			return -ENOMEM;
		pud = pud_alloc(mm, p4d, addr);
		if (!pud)
			return -ENOMEM;
		pmd = pmd_alloc(mm, pud, addr);
		if (!pmd)
			return -ENOMEM;
		if (pte_alloc(mm, pmd))
			return -ENOMEM;
	}

	return 0;
}

/**
 * mm_local_pte() - find the page-table entry of an mm-local address
 * @mm: the mm, which must not go away while the entry is used
 * @addr: an address that mm_local_populate() has seen
 *
 * The page table stays where it is until the mm goes, so the pointer can be
 * kept. No lock guards the entry: its user must own the address.
 *
 * Context: any.
 * Return: the entry.
 */
pte_t *mm_local_pte(struct mm_struct *mm, unsigned long addr)
{
	p4d_t *p4d = p4d_offset(pgd_offset(mm, addr), addr);
	pmd_t *pmd = pmd_offset(pud_offset(p4d, addr), addr);

	VM_WARN_ON_ONCE(!is_mm_local_addr(addr));
	return pte_offset_kernel(pmd, addr);
}

/**
 * mm_local_init_private_mm() - make ready an mm that only one CPU ever uses
 * @mm: a new mm, to be used with use_temporary_mm()
 */
void mm_local_init_private_mm(struct mm_struct *mm)
{
	/* unuse_temporary_mm() takes the CPU out of mm_cpumask(). */
	set_notrack_mm(mm);
}

/**
 * mm_local_may_switch() - may this CPU switch to a temporary mm, and back?
 *
 * Not in NMI, which may have come in the middle of another switch. Not while
 * another temporary mm is in use: going back to that would enable breakpoints
 * too early. While an exec changes to the new mm, an interrupt is told no
 * without need.
 *
 * Context: IRQs off.
 * Return: true if so.
 */
bool mm_local_may_switch(void)
{
	struct mm_struct *loaded = this_cpu_read(cpu_tlbstate.loaded_mm);

	lockdep_assert_irqs_disabled();

	return !in_nmi() &&
	       (loaded == current->active_mm || loaded == &init_mm);
}

/**
 * __mm_local_free_pgtables() - free the tables of the region with the PGD
 * @mm: the mm, which no CPU uses any more
 * @pgd: its PGD; mm_init() can fail half-way, before the mm has it
 *
 * Nobody else can reach them any more: see the top of this file.
 *
 * Context: any.
 */
void __mm_local_free_pgtables(struct mm_struct *mm, pgd_t *pgd)
{
	unsigned long addr = mm_local_base();
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;
	int i;

	pgd = pgd_offset_pgd(pgd, addr);
	/* With four levels the entry is seen as a p4d, and this is 0. */
	if (pgd_none(*pgd))
		return;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		goto free_p4d;
	pud = pud_offset(p4d, addr);
	if (pud_none(*pud))
		goto free_pud;
	pmd = pmd_offset(pud, addr);

	for (i = 0; i < PTRS_PER_PMD; i++) {
		if (pmd_none(pmd[i]))
			continue;
		pte_free(mm, pmd_pgtable(pmd[i]));
		mm_dec_nr_ptes(mm);
	}
	pmd_free(mm, pmd);
	mm_dec_nr_pmds(mm);
free_pud:
	pud_free(mm, pud_offset(p4d, 0));
	mm_dec_nr_puds(mm);
free_p4d:
	if (pgtable_l5_enabled())
		p4d_free(mm, p4d_offset(pgd, 0));
}
