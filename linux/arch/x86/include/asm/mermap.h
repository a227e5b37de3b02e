/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_X86_MERMAP_H
#define _ASM_X86_MERMAP_H

#include <linux/mm.h>
#include <linux/pgtable.h>
#include <asm/mm_local.h>
#include <asm/tlb.h>
#include <asm/tlbflush.h>

/**
 * arch_mermap_set() - let an empty entry of the mm-local region show a page
 * @ptep: the entry; its address belongs to the caller
 * @pfn: the page
 * @prot: kernel protection
 *
 * Never global: a global translation would survive a change of the mm. From
 * not present to present needs no flush. The entry has the accessed and dirty
 * bits from the start, so the CPU has nothing to write to it.
 */
static __always_inline void arch_mermap_set(pte_t *ptep, unsigned long pfn,
					    pgprot_t prot)
{
	pteval_t val = pgprot_val(prot) & ~_PAGE_GLOBAL & __supported_pte_mask;

	VM_WARN_ON_ONCE((val & (_PAGE_PRESENT | _PAGE_USER)) != _PAGE_PRESENT);
	VM_WARN_ON_ONCE(!pte_none(*ptep));
	/* pfn_pte() without what it does for entries that are not present. */
	set_pte(ptep, __pte(((pteval_t)pfn << PAGE_SHIFT) | val));
}

/**
 * arch_mermap_clear() - empty the entry, and forget its translation on this CPU
 * @ptep: the entry
 * @addr: its address
 *
 * The page tables must be loaded. One INVLPG, which drops the translation of
 * the current PCID. It has no other: the region is not in the user PCID, a mm
 * has one ASID on a CPU at a time, and an ASID slot is flushed when it gets a
 * new owner. flush_tlb_one_kernel() would have all other ASIDs flushed too.
 */
static __always_inline void arch_mermap_clear(pte_t *ptep, unsigned long addr)
{
	set_pte(ptep, __pte(0));
	invlpg(addr);
}

/**
 * arch_mermap_loaded() - are the page tables of @mm in use on this CPU?
 * @mm: current->mm
 *
 * Not so in a temporary mm. For assertions.
 *
 * Return: true if so.
 */
static __always_inline bool arch_mermap_loaded(struct mm_struct *mm)
{
	return this_cpu_read(cpu_tlbstate.loaded_mm) == mm;
}

#endif /* _ASM_X86_MERMAP_H */
