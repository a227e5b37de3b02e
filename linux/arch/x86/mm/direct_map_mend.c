// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mend the direct map: make one 1 GiB entry out of 2 MiB entries again.
 *
 * direct_map.c splits a 1 GiB entry to take one pageblock of it out. When all
 * 512 blocks are mapped again and only their addresses differ, one entry can
 * stand for them, and it is in every bit what it was before the split.
 *
 * When it does, whoever walks page tables without a lock may still be in the
 * table of 2 MiB entries. The shootdown does not wait for them: they may have
 * interrupts on, and INVLPGB interrupts nobody. So the table is freed after a
 * grace period of RCU tasks, when every task has given up its CPU since, and
 * every CPU has had interrupts on.
 */
#include <linux/container_of.h>
#include <linux/direct_map.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "mm_internal.h"

/*
 * Is it worth while to lock everybody out? The tables looked at can't go away:
 * memory hotplug is locked out, and direct_map_free_table() waits for us.
 */
static bool direct_map_gib_whole(unsigned long addr)
{
	pud_t *pudp = direct_map_pud(addr), pud;
	pmd_t *pmd, first;

	if (!pudp)
		return false;
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud) || pud_leaf(pud))
		return false;

	pmd = pmd_offset(&pud, addr & PUD_MASK);
	first = READ_ONCE(pmd[0]);
	for (int i = 1; i < PTRS_PER_PMD; i++) {
		if (pmd_val(READ_ONCE(pmd[i])) != pmd_val(first) + i * PMD_SIZE)
			return false;
	}
	return pmd_leaf(first);
}

static void direct_map_free_table_rcu(struct rcu_head *head)
{
	pagetable_dtor_free(container_of(head, struct ptdesc, pt_rcu_head));
}

/**
 * direct_map_free_table - free a page table that has left the direct map
 * @table: the page table; all CPUs have been flushed since
 *
 * Whoever walks it without a lock has given up the CPU before it is free.
 *
 * Context: Any but NMI. Does not wait for that.
 */
void direct_map_free_table(struct ptdesc *table)
{
	call_rcu_tasks(&table->pt_rcu_head, direct_map_free_table_rcu);
}

/**
 * arch_direct_map_mend - make one 1 GiB entry out of 2 MiB entries again
 * @start_pfn: where to begin to look
 * @end_pfn: where to stop
 *
 * Costs one shootdown. The page table is free when no other CPU can be in it any
 * more: nobody waits for that.
 *
 * Context: Process context, with memory hotplug's lock. May sleep.
 * Return: true if an entry was mended; there may be more.
 */
bool arch_direct_map_mend(unsigned long start_pfn, unsigned long end_pfn)
{
	static DEFINE_MUTEX(mend_lock);
	struct ptdesc *table = NULL;
	unsigned long pfn;

	if (!direct_gbpages)
		return false;

	mutex_lock(&mend_lock);
	for (pfn = ALIGN_DOWN(start_pfn, PUD_SIZE >> PAGE_SHIFT);
	     pfn < end_pfn && !table; pfn += PUD_SIZE >> PAGE_SHIFT) {
		unsigned long addr = (unsigned long)__va(PFN_PHYS(pfn));

		if (direct_map_gib_whole(addr))
			table = collapse_direct_map_1g(addr);
		cond_resched();
	}
	mutex_unlock(&mend_lock);
	if (!table)
		return false;

	direct_map_free_table(table);
	return true;
}
