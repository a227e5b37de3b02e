// SPDX-License-Identifier: GPL-2.0-only
/*
 * Per-CPU lists of pages with a property.
 *
 * They are apart from those of plain memory, and short: one page here keeps
 * its whole block, all other pages of which may be free, from everybody who
 * could have it back. So they can be emptied without touching anybody else's.
 *
 * Pages are freed in any context. The lock is taken by trylock there, and only
 * there interrupts are of interest: an interrupt that finds it taken uses the
 * free lists.
 */
#include <kunit/visibility.h>
#include <linux/bitops.h>
#include <linux/cpuhotplug.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/vmstat.h>

#include "internal.h"

/* Pages that are taken at once. */
#define UNMAPPED_PCP_BATCH	32

/**
 * struct unmapped_pcp - the lists of a CPU
 * @lock: see above
 * @count: pages on all of them
 * @lists: one for each order
 */
struct unmapped_pcp {
	spinlock_t lock;	/* protects the others */
	int count;
	struct list_head lists[PAGE_ALLOC_COSTLY_ORDER + 1];
};

/* Pages that lie next to each other are one free page, or a few. */
static void unmapped_pcp_put(struct unmapped_pool *pool, unsigned long pfn,
			     unsigned long nr)
{
	while (nr) {
		unsigned int order = min_t(unsigned int, ilog2(nr),
					   __ffs(pfn | BIT(MAX_PAGE_ORDER)));

		put_free_page(pool->zone, pfn_to_page(pfn), order, pool->freetype);
		pfn += 1UL << order;
		nr -= 1UL << order;
	}
}

/* Free pages until no more than @keep are left; the lock is held. */
static void unmapped_pcp_spill(struct unmapped_pool *pool,
			       struct unmapped_pcp *pcp, int keep)
{
	struct zone *zone = pool->zone;

	lockdep_assert_held(&pcp->lock);
	guard(spinlock_irqsave)(&zone->lock);

	for (int order = ARRAY_SIZE(pcp->lists) - 1; order >= 0; order--) {
		struct list_head *list = &pcp->lists[order];

		while (pcp->count > keep && !list_empty(list)) {
			struct page *page = list_last_entry(list, struct page,
							    pcp_list);
			unsigned long start = page_to_pfn(page), end = start, pfn = start;

			/* Mostly they come in the order in which they lie, or its reverse */
			do {
				list_del(&page->pcp_list);
				pcp->count -= 1 << order;
				start = min(start, pfn);
				end = max(end, pfn + (1UL << order));
				if (pcp->count <= keep || list_empty(list))
					break;
				page = list_last_entry(list, struct page, pcp_list);
				pfn = page_to_pfn(page);
			} while (pfn == end || pfn + (1UL << order) == start);
			unmapped_pcp_put(pool, start, end - start);
		}
	}
}

/*
 * Take pages of @order off the free lists. A free page that is larger, and welcome
 * as a whole, is not broken up and counted piece by piece.
 */
static void unmapped_pcp_fill(struct unmapped_pool *pool, struct unmapped_pcp *pcp,
			      unsigned int order, bool whole)
{
	/* Pages of other orders count as well */
	int left = max(1, min(UNMAPPED_PCP_BATCH, UNMAPPED_PCP_MAX - pcp->count) >> order);
	struct zone *zone = pool->zone;

	lockdep_assert_held(&pcp->lock);
	guard(spinlock_irqsave)(&zone->lock);

	while (left > 0) {
		unsigned int most = order + ilog2(left), o = order;
		struct page *page;

		while (o < most && list_empty(free_area_list(&zone->free_area[o],
							     pool->freetype)))
			o++;
		page = unmapped_take_page(pool, o, whole);
		if (!page)
			break;
		for (int i = 0; i < 1 << (o - order); i++)
			list_add_tail(&page[i << order].pcp_list, &pcp->lists[order]);
		pcp->count += 1 << o;
		left -= 1 << (o - order);
	}
}

/* The lists of this CPU, which does not go offline meanwhile. */
static struct unmapped_pcp *unmapped_pcp_trylock(struct unmapped_pool *pool)
{
	struct unmapped_pcp *pcp;

	pcpu_task_pin();
	pcp = this_cpu_ptr(pool->pcp);
	if (spin_trylock(&pcp->lock))
		return pcp;
	pcpu_task_unpin();
	return NULL;
}

static void unmapped_pcp_unlock(struct unmapped_pcp *pcp)
{
	spin_unlock(&pcp->lock);
	pcpu_task_unpin();
}

/**
 * unmapped_pcp_alloc() - take a page from this CPU's lists
 * @pool: zone and property
 * @order: order of the request
 * @whole: whether they may be filled from blocks that are wholly free
 *
 * Context: any but NMI and hard interrupts of PREEMPT_RT.
 * Return: page for prep_taken_page(), or NULL: then there is none on the free
 * lists either, or they have to be looked at without the help of these lists.
 */
struct page *unmapped_pcp_alloc(struct unmapped_pool *pool, unsigned int order,
				bool whole)
{
	struct unmapped_pcp *pcp;
	struct page *page;

	if (!pool->pcp || order > PAGE_ALLOC_COSTLY_ORDER)
		return NULL;

	pcp = unmapped_pcp_trylock(pool);
	if (!pcp)
		return NULL;

	if (list_empty(&pcp->lists[order]))
		unmapped_pcp_fill(pool, pcp, order, whole);
	page = list_first_entry_or_null(&pcp->lists[order], struct page, pcp_list);
	if (page) {
		list_del(&page->pcp_list);
		pcp->count -= 1 << order;
	}
	unmapped_pcp_unlock(pcp);
	return page;
}

/**
 * unmapped_pcp_free() - put pages on this CPU's lists
 * @pages: the pages, prepared for freeing, and erased where their contents die
 * @nr: how many there are
 * @order: the order of each
 * @freetype: their freetype
 *
 * Context: any but NMI.
 * Return: how many of them, from the first on, are on a list now. These are of
 * one zone. If it is 0, the caller has to put the first on the free lists.
 */
unsigned int unmapped_pcp_free(struct page *const *pages, unsigned int nr,
			       unsigned int order, freetype_t freetype)
{
	struct zone *zone = page_zone(pages[0]);
	struct unmapped_pool *pool = unmapped_pool(zone, freetype);
	struct unmapped_pcp *pcp;
	unsigned int i = 0;

	if (!pool->pcp || order > PAGE_ALLOC_COSTLY_ORDER)
		return 0;

	pcp = unmapped_pcp_trylock(pool);
	if (!pcp)
		return 0;

	do {
		list_add(&pages[i]->pcp_list, &pcp->lists[order]);
		pcp->count += 1 << order;
		if (pcp->count > UNMAPPED_PCP_MAX)
			unmapped_pcp_spill(pool, pcp, UNMAPPED_PCP_BATCH);
	} while (++i < nr && page_zone(pages[i]) == zone);
	__count_vm_events(PGFREE, i << order);
	unmapped_pcp_unlock(pcp);
	return i;
}

VISIBLE_IF_KUNIT int unmapped_pcp_count(struct unmapped_pool *pool, int cpu)
{
	/* Whoever frees a page now may be late as well */
	return pool->pcp ? data_race(READ_ONCE(per_cpu_ptr(pool->pcp, cpu)->count)) : 0;
}

static bool unmapped_pcp_drain_cpu(struct unmapped_pool *pool, int cpu)
{
	struct unmapped_pcp *pcp = per_cpu_ptr(pool->pcp, cpu);

	if (!unmapped_pcp_count(pool, cpu))
		return false;

	guard(spinlock)(&pcp->lock);
	unmapped_pcp_spill(pool, pcp, 0);
	return true;
}

/**
 * unmapped_pcp_drain() - put what is on all CPUs' lists on the free lists
 * @pool: zone and property
 *
 * Context: task.
 * Return: whether there was anything.
 */
bool unmapped_pcp_drain(struct unmapped_pool *pool)
{
	bool drained = false;
	int cpu;

	if (!pool->pcp)
		return false;
	for_each_online_cpu(cpu)
		drained |= unmapped_pcp_drain_cpu(pool, cpu);
	return drained;
}

/**
 * unmapped_pcp_init() - make the per-CPU lists of a pool
 * @pool: zone and property
 *
 * Nothing depends on them: there are none where memory was short.
 *
 * Context: boot or memory hotplug, may sleep.
 */
void __meminit unmapped_pcp_init(struct unmapped_pool *pool)
{
	struct unmapped_pcp __percpu *pcps = alloc_percpu(struct unmapped_pcp);
	int cpu;

	if (!pcps)
		return;
	for_each_possible_cpu(cpu) {
		struct unmapped_pcp *pcp = per_cpu_ptr(pcps, cpu);

		spin_lock_init(&pcp->lock);
		for (int order = 0; order < ARRAY_SIZE(pcp->lists); order++)
			INIT_LIST_HEAD(&pcp->lists[order]);
	}
	pool->pcp = pcps;
}

static int unmapped_pcp_cpu_dead(unsigned int cpu)
{
	struct zone *zone;

	for_each_populated_zone(zone) {
		for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++) {
			if (zone->unmapped_pools[i].pcp)
				unmapped_pcp_drain_cpu(&zone->unmapped_pools[i], cpu);
		}
	}
	return 0;
}

/**
 * unmapped_pcp_init_hotplug() - empty the lists of a CPU that goes away
 *
 * Context: boot.
 * Return: 0, or an error of cpuhp_setup_state_nocalls().
 */
int __init unmapped_pcp_init_hotplug(void)
{
	int err = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "mm/unmapped:dead",
					    NULL, unmapped_pcp_cpu_dead);

	return err < 0 ? err : 0;
}
