/* SPDX-License-Identifier: GPL-2.0-only */
/* What mm/mermap.c needs of the kernel: per-CPU memory, pages, page-table entries. */
#pragma once

#include "stubs.h"

#include <asm/barrier.h>

#define __percpu

/* What set_bit() of tools/include is */
static inline bool test_and_set_bit(long nr, unsigned long *p)
{
	unsigned long mask = 1UL << nr % BITS_PER_LONG;

	return __atomic_fetch_or(p + nr / BITS_PER_LONG, mask, __ATOMIC_SEQ_CST) & mask;
}

/* Per-CPU memory: the copy of a CPU is so many bytes further. */
#define UNIT_PERCPU_STRIDE	256
#define alloc_percpu_gfp(type, gfp) ({						\
	static_assert(sizeof(type) <= UNIT_PERCPU_STRIDE);			\
	unit_preempt();								\
	(type *)unit_alloc(UNIT_CPUS * UNIT_PERCPU_STRIDE);			\
})
#define free_percpu(p)		free(p)
#define per_cpu_ptr(p, cpu)							\
	((__typeof__(p))((char *)(p) + (cpu) * UNIT_PERCPU_STRIDE))
#define this_cpu_ptr(p)		per_cpu_ptr(p, unit_cpu)
#define this_cpu_read(v)	(*this_cpu_ptr(&(v)))
#define this_cpu_and(v, mask)	((void)(*this_cpu_ptr(&(v)) &= (mask)))
#define this_cpu_try_cmpxchg(v, oldp, new) ({					\
	unit_preempt();								\
	unit_try_cmpxchg(this_cpu_ptr(&(v)), oldp, new);			\
})
#define unit_try_cmpxchg(p, oldp, new)						\
	__atomic_compare_exchange_n(p, oldp, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define try_cmpxchg(p, oldp, new) unit_try_cmpxchg(p, oldp, new)

/* x86-64's pages and page-table entries */
#define PTRS_PER_PTE		512
#define L1_CACHE_BYTES		64

typedef unsigned long pteval_t;
typedef struct { pteval_t pte; } pte_t;
typedef struct { pteval_t pgprot; } pgprot_t;
#define __pte(v)		((pte_t){ (v) })
#define pte_none(p)		(!(p).pte)
#define set_pte(ptep, v)	((void)(*(ptep) = (v)))
#define pgprot_val(p)		((p).pgprot)
#define _PAGE_PRESENT		BIT(0)
#define _PAGE_RW		BIT(1)
#define _PAGE_USER		BIT(2)
#define _PAGE_ACCESSED		BIT(5)
#define _PAGE_DIRTY		BIT(6)
#define _PAGE_GLOBAL		BIT(8)
#define PAGE_KERNEL_RO							\
	((pgprot_t){ _PAGE_PRESENT | _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_GLOBAL })
#define PAGE_KERNEL		((pgprot_t){ PAGE_KERNEL_RO.pgprot | _PAGE_RW })
#define __supported_pte_mask	(~0UL)

struct page {
	struct { unsigned long f; } flags;
	int refs;
};
#define folio			page
#define page_folio(p)		(p)
#define folio_ref_count(f)	((f)->refs)
#define PG_mermapped		0
#define PageAnonNotKsm(p)	false

/* All pages that there are */
#define UNIT_NR_PAGES		64
#define UNIT_FIRST_PFN		0x100000UL
static struct page unit_pages[UNIT_NR_PAGES];
#define page_to_pfn(p)		(UNIT_FIRST_PFN + ((p) - unit_pages))

struct mermap_cpu;
struct mm_struct {
	struct mermap_cpu *mermap;
	void *unit;		/* the page tables, for whoever plays the architecture */
};

static struct task_struct { struct mm_struct *mm; } *unit_task;
#define current			unit_task

/* Per CPU, as all that this_cpu_read() is asked for */
struct tlb_state {
	struct mm_struct *loaded_mm;
	char pad[UNIT_PERCPU_STRIDE - sizeof(void *)];
};

static struct tlb_state unit_tlbstate[UNIT_CPUS];
#define cpu_tlbstate		unit_tlbstate[0]

#define count_vm_event(e)	((void)0)
#define pagefault_disable()	((void)0)
#define pagefault_enable()	((void)0)
#define flush_tlb_all()		((void)0)
