// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page off the direct map is freed: what it held dies first.
 *
 * It is erased through windows (zero.c) before it is on any list, where it is
 * freed. What cannot be erased there waits on a queue for a worker, and so does
 * what a mermap window has shown. Pages that wait are not free yet.
 */
#include <linux/bits.h>
#include <linux/folio_batch.h>
#include <linux/irq_work.h>
#include <linux/llist.h>
#include <linux/mermap.h>
#include <linux/mm.h>
#include <linux/unmapped.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <trace/events/unmapped.h>

#include "../internal.h"
#include "internal.h"

/*
 * The dirty queue: pages that could not be erased where they were freed. A
 * worker does it, and so does whoever is short of memory.
 */
static LLIST_HEAD(unmapped_dirty);

/*
 * The same for pages that a mermap window has shown: threads of the mm that had
 * the window may have translations for them on any CPU. They wait until all
 * CPUs have been flushed, once for all that wait.
 */
static LLIST_HEAD(unmapped_quarantine);

static void unmapped_dirty_work_fn(struct work_struct *work)
{
	unmapped_erase_dirty();
}

static DECLARE_WORK(unmapped_dirty_work, unmapped_dirty_work_fn);

/* Pages are freed under all sorts of locks: queue from a context of its own. */
static void unmapped_dirty_irq_work_fn(struct irq_work *work)
{
	queue_work(unmapped_wq, &unmapped_dirty_work);
}

static DEFINE_IRQ_WORK(unmapped_dirty_irq_work, unmapped_dirty_irq_work_fn);

static void unmapped_account_dirty(struct page *page, unsigned int order,
				   bool add)
{
	long nr = 1L << order;

	mod_zone_page_state(page_zone(page), NR_UNMAPPED_DIRTY, add ? nr : -nr);
}

static bool unmapped_holds_poison(const struct page *page, unsigned int order)
{
	for (unsigned int i = 0; i < 1U << order; i++) {
		if (PageHWPoison(page + i))
			return true;
	}
	return false;
}

/*
 * Nobody has a hardware-poisoned page again, as in __free_pages_prepare(), which looks
 * at pages of order 0. What is beside it was erased.
 */
static void unmapped_free_rest(struct page *page, unsigned int order)
{
	for (unsigned int i = 0; i < 1U << order; i++) {
		if (PageHWPoison(page + i))
			continue;
		count_vm_event(UNMAPPED_ZEROED_PAGES);
		free_erased_page(page + i, 0);
	}
}

static void unmapped_erase_list(struct llist_node *list)
{
	struct page *page, *next;

	llist_for_each_entry_safe(page, next, list, pcp_llist) {
		unsigned int order = page->private;

		if (!unmapped_erase_pages(page, 1U << order)) {
			/* A temporary mm is in use here, too: leave it for later */
			if (llist_add(&page->pcp_llist, &unmapped_dirty))
				irq_work_queue(&unmapped_dirty_irq_work);
			continue;
		}

		page->private = 0;
		unmapped_account_dirty(page, order, false);
		trace_unmapped_dirty_erase(page_to_pfn(page), order);
		/* It may have been poisoned while it waited here */
		if (unlikely(unmapped_holds_poison(page, order))) {
			unmapped_free_rest(page, order);
			continue;
		}
		count_vm_events(UNMAPPED_ZEROED_PAGES, 1 << order);
		free_erased_page(page, order);
		cond_resched();
	}
}

/**
 * unmapped_erase_dirty() - erase and free all that waits for it
 *
 * Context: task, may sleep.
 * Return: whether anything was freed.
 */
bool unmapped_erase_dirty(void)
{
	struct llist_node *list;
	bool freed = false;

	/* Every allocation that is about to reclaim comes by here */
	if (likely(llist_empty(&unmapped_quarantine) &&
		   llist_empty(&unmapped_dirty)))
		return false;

	list = llist_del_all(&unmapped_quarantine);
	if (list) {
		mermap_flush();
		unmapped_erase_list(list);
		freed = true;
	}

	list = llist_del_all(&unmapped_dirty);
	if (list) {
		unmapped_erase_list(list);
		freed = true;
	}

	return freed;
}

/*
 * Erasing more than a few pages takes too long where the caller may not be
 * preempted.
 */
static bool unmapped_zero_here(unsigned int order)
{
	if (in_nmi())
		return false;

	return order <= PAGE_ALLOC_COSTLY_ORDER || preemptible();
}

/**
 * unmapped_free_page() - erase an unmapped page that is being freed
 * @page: the page
 * @order: its order
 * @tainted: what unmapped_tainted() said
 *
 * Context: any, NMI too.
 * Return: true where the page is zero and the caller goes on freeing it; false
 *	where it went to the dirty queue, or was freed in part, and the caller must
 *	not touch it any more.
 */
bool unmapped_free_page(struct page *page, unsigned int order, bool tainted)
{
	struct llist_head *queue = &unmapped_quarantine;
	const unsigned int nr = 1U << order;

	if (likely(!tainted)) {
		if (likely(unmapped_zero_here(order) &&
			   unmapped_erase_pages(page, nr))) {
			if (unlikely(unmapped_holds_poison(page, order))) {
				unmapped_free_rest(page, order);
				return false;
			}
			count_vm_events(UNMAPPED_ZEROED_PAGES, nr);
			return true;
		}
		queue = &unmapped_dirty;
	}

	unmapped_account_dirty(page, order, true);
	trace_unmapped_dirty_queue(page_to_pfn(page), order, tainted);
	page->private = order;
	if (llist_add(&page->pcp_llist, queue))
		irq_work_queue(&unmapped_dirty_irq_work);
	return false;
}

/**
 * unmapped_erase_folios() - erase the unmapped pages of a batch that is freed
 * @folios: the batch, none of which has other users
 * @first: where to begin
 *
 * Saves a switch of the address space for each page but the first few: see
 * unmapped_zero_batch(). Pages that need more than that are left out: large,
 * hardware-poisoned, or seen through a window.
 *
 * Context: any.
 * Return: a bit for each folio of the batch that is zero now;
 *	unmapped_free_page() is not for these.
 */
unsigned long unmapped_erase_folios(const struct folio_batch *folios,
				    unsigned int first)
{
	struct page *pages[FOLIO_BATCH_SIZE];
	unsigned long erased = 0;
	unsigned int i, nr = 0;

	BUILD_BUG_ON(FOLIO_BATCH_SIZE > BITS_PER_LONG);

	for (i = first; i < folios->nr; i++) {
		struct page *page = &folios->folios[i]->page;

		if (folio_test_large(folios->folios[i]) || !page_unmapped(page) ||
		    PageHWPoison(page) || mermap_page_tainted(page))
			continue;
		pages[nr++] = page;
		erased |= BIT(i);
	}

	if (!nr || in_nmi() || !unmapped_zero_batch(pages, nr))
		return 0;
	count_vm_events(UNMAPPED_ZEROED_PAGES, nr);
	return erased;
}

/**
 * unmapped_tainted() - did a mermap window show an unmapped page?
 * @page: the page
 * @order: its order
 *
 * Context: any; before the page flags are cleared.
 * Return: true if one of the pages was shown.
 */
bool unmapped_tainted(const struct page *page, unsigned int order)
{
	for (unsigned int i = 0; i < 1U << order; i++) {
		if (mermap_page_tainted(page + i))
			return true;
	}
	return false;
}
