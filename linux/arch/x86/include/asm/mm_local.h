/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mm-local region: kernel addresses whose page tables belong to one
 * mm_struct. Only that mm, in kernel mode, can reach what is mapped there.
 */
#ifndef _ASM_X86_MM_LOCAL_H
#define _ASM_X86_MM_LOCAL_H

#include <linux/cpufeature.h>
#include <linux/mm_types.h>
#include <linux/pgtable.h>

#ifdef CONFIG_MM_LOCAL_REGION

/*
 * What can be populated: one page table at the PMD level. The rest of the PGD
 * entry stays empty.
 */
#define MM_LOCAL_SIZE		PUD_SIZE

/**
 * mm_local_base() - the first address of the mm-local region
 *
 * The same in every mm. A constant, except for the number of page-table levels.
 *
 * Return: the address.
 */
static __always_inline unsigned long mm_local_base(void)
{
	return MM_LOCAL_BASE_ADDR;
}

/**
 * mm_local_supported() - can an mm have an mm-local region on this machine?
 *
 * A Xen PV guest cannot: its PGD entry is the hypervisor's.
 *
 * Return: true if so.
 */
static __always_inline bool mm_local_supported(void)
{
	return !cpu_feature_enabled(X86_FEATURE_XENPV);
}

/**
 * is_mm_local_addr() - is @addr in the mm-local region?
 * @addr: any address
 *
 * Return: true if so.
 */
static __always_inline bool is_mm_local_addr(unsigned long addr)
{
	return addr - MM_LOCAL_BASE_ADDR < PGDIR_SIZE;
}

int mm_local_populate(struct mm_struct *mm, unsigned long start,
		      unsigned long end);
pte_t *mm_local_pte(struct mm_struct *mm, unsigned long addr);
void __mm_local_free_pgtables(struct mm_struct *mm, pgd_t *pgd);

bool mm_local_may_switch(void);
void mm_local_init_private_mm(struct mm_struct *mm);

static inline void mm_local_free_pgtables(struct mm_struct *mm, pgd_t *pgd)
{
	if (mm_local_supported())
		__mm_local_free_pgtables(mm, pgd);
}

#else /* !CONFIG_MM_LOCAL_REGION */

static inline void mm_local_free_pgtables(struct mm_struct *mm, pgd_t *pgd) { }

#endif /* CONFIG_MM_LOCAL_REGION */
#endif /* _ASM_X86_MM_LOCAL_H */
