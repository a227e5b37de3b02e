// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page allocation off the direct map.
 *
 * A page that is allocated with __GFP_UNMAPPED comes from an unmapped block: a
 * pageblock that is absent from the direct map as a whole. Taking blocks out
 * of the direct map and putting them back is called a flip; it is done here,
 * at the price of one TLB shootdown for a block that is unmapped, and of none
 * for one that is remapped.
 *
 * Free unmapped pages are zero. A block is zeroed before it is unmapped, and
 * what an unmapped page held is erased when it is freed, before it is on any
 * list. Hence __GFP_ZERO costs nothing, nothing needs to be done with a block
 * that is remapped, and a remap can be done under the zone lock on behalf of
 * any allocation, atomic ones too.
 *
 * See Documentation/mm/unmapped.rst.
 */
#define pr_fmt(fmt) "unmapped: " fmt

#include <kunit/static_stub.h>
#include <linux/direct_map.h>
#include <linux/error-injection.h>
#include <linux/highmem.h>
#include <linux/irq_work.h>
#include <linux/llist.h>
#include <linux/mermap.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/page-isolation.h>
#include <linux/poison.h>
#include <linux/unmapped.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include "internal.h"
#include "page_alloc.h"
#include "unmapped.h"
#include "unmapped_zero.h"

#define CREATE_TRACE_POINTS
#include <trace/events/unmapped.h>

/*
 * How many free blocks to look at before giving up on finding one that can be
 * flipped. Blocks that cannot (they hold pages whose permissions somebody
 * changed) go to the tail of their list at the end, not before: they may be all
 * that is on it.
 */
#define UNMAPPED_FLIP_TRIES	16

/* Zeroing a block takes a while: give way after that many pages. */
#define UNMAPPED_CLEAR_BATCH	32

/* Can this machine take pages out of the direct map? */
static bool unmapped_ready __ro_after_init;
/* Set once every CPU minds the flags of freetypes */
static bool unmapped_on __read_mostly;

/**
 * unmapped_enable - from now on, allocations with __GFP_UNMAPPED may succeed
 *
 * As long as no memory is unmapped, the page allocator need not look for any:
 * whoever is going to use it says so before. There is no way back.
 *
 * Context: task, may sleep, no locks held that CPU hotplug may wait for.
 * Return: false if this machine cannot take pages out of the direct map.
 */
bool unmapped_enable(void)
{
	if (!unmapped_ready)
		return false;

	/* Pairs with the release below: every branch is patched before */
	if (likely(smp_load_acquire(&unmapped_on)))
		return true;

	/* A second caller waits for the first */
	static_branch_enable(&freetype_flags_key);
	/* Pairs with the acquires: here, and in unmapped_gfp_allowed() */
	smp_store_release(&unmapped_on, true);
	return true;
}
EXPORT_SYMBOL_GPL(unmapped_enable);

/**
 * unmapped_blocks_exist - is any memory absent from the direct map now?
 *
 * For those who cannot cope with that, such as hibernation. Racy unless the
 * caller keeps others from allocating.
 *
 * Return: true if some is.
 */
bool unmapped_blocks_exist(void)
{
	return global_zone_page_state(NR_UNMAPPED);
}

/**
 * unmapped_gfp_allowed - can a request for an unmapped page make sense?
 * @gfp: flags of the request, with __GFP_UNMAPPED
 *
 * Refuses what no free list serves (unmapped memory is not movable, nor
 * reclaimable), what cannot be promised (__GFP_NOFAIL: a flip can fail), and
 * everything before unmapped_enable().
 *
 * Context: any.
 * Return: true if it can.
 */
bool unmapped_gfp_allowed(gfp_t gfp)
{
	if (WARN_ON_ONCE_GFP(gfp & (__GFP_NOFAIL | __GFP_MOVABLE |
				    __GFP_RECLAIMABLE), gfp))
		return false;

	/* Pairs with the release in unmapped_enable() */
	return smp_load_acquire(&unmapped_on);
}

static inline unsigned int unmapped_flip_order(unsigned int order)
{
	return max_t(unsigned int, order, pageblock_order);
}

/**
 * unmapped_prepare_blocks - what comes before blocks are unmapped
 * @page: the blocks, which the caller took off the free lists
 * @order: their order
 *
 * Everything that can fail or sleep for long, done while the blocks are still
 * mapped: check their entries, split 1 GiB entries, erase the contents.
 *
 * Context: task, may sleep.
 * Return: 0; -ENOMEM without a page table for a split; other errors mean that
 *	these blocks cannot be unmapped.
 */
int unmapped_prepare_blocks(struct page *page, unsigned int order)
{
	const unsigned long nr_pages = 1UL << order;
	unsigned long i;
	int err = 0;

	for (i = 0; i < nr_pages && !err; i += pageblock_nr_pages)
		err = arch_direct_map_block_prepare(page + i);
	if (err)
		return err;

	for (i = 0; i < nr_pages; i += UNMAPPED_CLEAR_BATCH) {
		/* KASAN has free pages poisoned */
		kasan_disable_current();
		clear_pages(kasan_reset_tag(page_address(page + i)),
			    UNMAPPED_CLEAR_BATCH);
		kasan_enable_current();
		cond_resched();
	}

	return 0;
}

/**
 * unmapped_unmap_one - unmap one block that was prepared
 * @block: the block; no CPU must have a translation for it before it is used,
 *	see arch_direct_map_flush()
 *
 * Separate from the architecture's, so that tests can make it fail.
 *
 * Context: task, may sleep.
 * Return: 0, or an error; then the block is mapped.
 */
int unmapped_unmap_one(struct page *block)
{
	KUNIT_STATIC_STUB_REDIRECT(unmapped_unmap_one, block);
	return arch_direct_map_block_unmap(block);
}
ALLOW_ERROR_INJECTION(unmapped_unmap_one, ERRNO);

/**
 * unmapped_flush_blocks - make all CPUs forget blocks that were unmapped
 * @first: the first of them
 * @nr: blocks from there to the last; those between them may be any
 *
 * Context: task, interrupts on.
 */
void unmapped_flush_blocks(struct page *first, unsigned long nr)
{
	arch_direct_map_flush(first, nr);
	count_vm_event(UNMAPPED_SHOOTDOWN);
	trace_unmapped_shootdown(page_to_pfn(first), nr);
}

static void unmapped_remap_blocks(struct page *page, unsigned long nr_pages)
{
	for (unsigned long i = 0; i < nr_pages; i += pageblock_nr_pages)
		arch_direct_map_block_remap(page + i);
}

/*
 * Unmap blocks that the caller took off the free lists. All of them or, on
 * error, none.
 */
static int unmapped_unmap_blocks(struct page *page, unsigned int order)
{
	const unsigned long nr_pages = 1UL << order;
	unsigned long i;
	int err;

	err = unmapped_prepare_blocks(page, order);
	if (err)
		return err;

	for (i = 0; i < nr_pages; i += pageblock_nr_pages) {
		err = unmapped_unmap_one(page + i);
		if (err)
			goto undo;
	}

	unmapped_flush_blocks(page, nr_pages >> pageblock_order);
	return 0;

undo:
	unmapped_remap_blocks(page, i);
	return err;
}

/*
 * Unmap blocks that the caller took off the free lists, and allocate from them.
 * Returns NULL and no error if they were isolated meanwhile: then they are
 * mapped and free again. On error they are the caller's, as they were.
 */
static struct page *unmapped_flip_blocks(struct zone *zone, struct page *block,
					 unsigned int order, int *err)
{
	const unsigned int flip_order = unmapped_flip_order(order);
	const unsigned int nr_blocks = 1U << (flip_order - pageblock_order);
	struct page *page = NULL;

	*err = unmapped_unmap_blocks(block, flip_order);
	if (!*err)
		page = expand_unmapped_blocks(zone, block, order, flip_order);

	if (page)
		count_vm_events(UNMAPPED_FLIP_UNMAP, nr_blocks);
	else
		count_vm_events(UNMAPPED_FLIP_FAIL, nr_blocks);
	trace_unmapped_flip_unmap(page_to_pfn(block), nr_blocks,
				  page ? 0 : *err ?: -EBUSY);
	return page;
}

/**
 * unmapped_flip - unmap a free block and allocate from it
 * @zone: zone to take the block from
 * @order: order of the request
 * @gfp: flags of the request, with __GFP_UNMAPPED
 *
 * One shootdown for each call that succeeds, and none if somebody else flipped
 * meanwhile. The rest of the block goes to the free lists of unmapped memory. A
 * flip that fails leaves the block mapped and on the free list where it belongs.
 *
 * Context: task, may sleep, no locks of the page allocator held. Does nothing
 *	in a context that may not block, or that is in reclaim.
 * Return: page of @order that is zero and unmapped, as rmqueue() returns one,
 *	or NULL.
 */
struct page *unmapped_flip(struct zone *zone, unsigned int order, gfp_t gfp)
{
	const unsigned int flip_order = unmapped_flip_order(order);
	struct page *bad[UNMAPPED_FLIP_TRIES];
	struct page *block, *page;
	int tries, err, nr_bad = 0;

	if (!gfpflags_allow_blocking(gfp) || (current->flags & PF_MEMALLOC))
		return NULL;

	might_sleep();
	VM_WARN_ON_ONCE(irqs_disabled());

	/*
	 * One at a time: the others want to find what it leaves, instead of
	 * flipping a block for each page that is wanted at once.
	 */
	if (mutex_lock_killable(&zone->unmapped_pool.flip_lock))
		return NULL;

	page = take_unmapped_page(zone, order);
	for (tries = 0; !page && tries < UNMAPPED_FLIP_TRIES; tries++) {
		block = take_free_blocks(zone, flip_order, gfp_zone(gfp),
					 min_wmark_pages(zone));
		if (!block)
			break;

		page = unmapped_flip_blocks(zone, block, order, &err);
		if (err)
			bad[nr_bad++] = block;
		if (err == -ENOMEM)
			break;
	}

	while (nr_bad)
		putback_free_blocks(zone, bad[--nr_bad], flip_order);

	mutex_unlock(&zone->unmapped_pool.flip_lock);
	/* There is a block to let go of some day, or a split to mend */
	unmapped_pool_look(zone);
	return page;
}

/**
 * unmapped_flip_captured - unmap a block that compaction made for this request
 * @block: what was captured: free, mapped, on no list, of the order that the
 *	request makes compaction work for
 * @order: order of the request
 *
 * Nobody else could have the block meanwhile, as they could if it was to be
 * found on the free lists. If it cannot be flipped it goes there.
 *
 * Context: task, may sleep, no locks of the page allocator held, not in reclaim.
 * Return: as unmapped_flip().
 */
struct page *unmapped_flip_captured(struct page *block, unsigned int order)
{
	struct zone *zone = page_zone(block);
	struct page *page;
	int err;

	might_sleep();
	VM_WARN_ON_ONCE(irqs_disabled() || (current->flags & PF_MEMALLOC));

	page = unmapped_flip_blocks(zone, block, order, &err);
	if (err)
		putback_free_blocks(zone, block, unmapped_flip_order(order));
	unmapped_pool_look(zone);
	return page;
}

/**
 * unmapped_remap_block - put a wholly free unmapped block back
 * @block: first page of the block; the caller took it off the free lists and
 *	will change its freetype
 *
 * The block is zero, and what it was when it was unmapped in every bit of its
 * direct-map entry. No CPU needs to know.
 *
 * Context: any but NMI, zone lock held.
 */
void unmapped_remap_block(struct page *block)
{
	struct zone *zone = page_zone(block);

	lockdep_assert_held(&zone->lock);

	arch_direct_map_block_remap(block);
	__count_vm_event(UNMAPPED_FLIP_REMAP);
	trace_unmapped_flip_remap(page_to_pfn(block));
	unmapped_pool_remapped(zone);
}

/*
 * The dirty queue: unmapped pages that are free but could not be erased where
 * they were freed. A worker does it, and so does whoever is short of memory.
 * They count as free, though nobody can have them yet.
 */
static LLIST_HEAD(unmapped_dirty);

/*
 * The same for pages that a mermap window has shown: threads of the mm that had
 * the window may have translations for them on any CPU. They wait until all
 * CPUs have been flushed, once for all that wait.
 */
static LLIST_HEAD(unmapped_quarantine);

static struct workqueue_struct *unmapped_wq __ro_after_init;

static void unmapped_dirty_work_fn(struct work_struct *work)
{
	unmapped_drain_dirty();
}

DECLARE_WORK(unmapped_dirty_work, unmapped_dirty_work_fn);

/* Pages are freed under all sorts of locks: queue from a context of its own. */
static void unmapped_dirty_irq_work_fn(struct irq_work *work)
{
	queue_work(unmapped_wq, &unmapped_dirty_work);
}

static DEFINE_IRQ_WORK(unmapped_dirty_irq_work, unmapped_dirty_irq_work_fn);

static void unmapped_account_dirty(struct page *page, unsigned int order,
				   bool add)
{
	struct zone *zone = page_zone(page);
	long nr = 1L << order;

	/*
	 * Others change this counter without care for NMIs, with the zone lock
	 * held: past the CPU's part of it, then.
	 */
	if (in_nmi())
		zone_page_state_add(add ? nr : -nr, zone, NR_FREE_PAGES);
	else
		mod_zone_page_state(zone, NR_FREE_PAGES, add ? nr : -nr);
	mod_zone_page_state(zone, NR_UNMAPPED_DIRTY, add ? nr : -nr);
}

static void unmapped_free_dirty(struct llist_node *list)
{
	struct page *page, *next;

	llist_for_each_entry_safe(page, next, list, pcp_llist) {
		unsigned int order = page->private;
		bool poisoned = !order && PageHWPoison(page);

		if (!poisoned && !unmapped_zero_pages(page, 1U << order)) {
			/* A temporary mm is in use here, too: leave it for later */
			if (llist_add(&page->pcp_llist, &unmapped_dirty))
				irq_work_queue(&unmapped_dirty_irq_work);
			continue;
		}

		page->private = 0;
		unmapped_account_dirty(page, order, false);
		/* Poisoned while it waited here: as in __free_pages_prepare() */
		if (poisoned)
			continue;
		count_vm_events(UNMAPPED_ZEROED_PAGES, 1 << order);
		trace_unmapped_dirty_erase(page_to_pfn(page), order);
		free_unmapped_prepared(page, order);
		cond_resched();
	}
}

/**
 * unmapped_drain_dirty - erase and free what is on the dirty queue
 *
 * Context: task, may sleep.
 * Return: whether anything was freed.
 */
bool unmapped_drain_dirty(void)
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
		unmapped_free_dirty(list);
		freed = true;
	}

	list = llist_del_all(&unmapped_dirty);
	if (list) {
		unmapped_free_dirty(list);
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
 * unmapped_free_prepare - erase an unmapped page that is being freed
 * @page: the page
 * @order: its order
 * @tainted: what unmapped_tainted() said
 *
 * Context: any, NMI too.
 * Return: true where the page is zero and the caller goes on freeing it; false
 *	where it went to the dirty queue, and the caller must not touch it any
 *	more.
 */
bool unmapped_free_prepare(struct page *page, unsigned int order, bool tainted)
{
	struct llist_head *queue = &unmapped_quarantine;
	const unsigned int nr = 1U << order;

	if (likely(!tainted)) {
		if (likely(unmapped_zero_here(order) &&
			   unmapped_zero_pages(page, nr))) {
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
 * unmapped_erase_folios - erase the unmapped pages of a batch that is freed
 * @folios: the batch, none of which has other users
 * @first: where to begin
 *
 * Saves a switch of the address space for each page but the first few: see
 * unmapped_zero_batch(). Pages that need more than that are left out: large,
 * hardware-poisoned, or seen through a window.
 *
 * Context: any.
 * Return: a bit for each folio of the batch that is zero now;
 *	unmapped_free_prepare() is not for these.
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
 * unmapped_tainted - did a mermap window show an unmapped page?
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

static int __init unmapped_init(void)
{
	if (!arch_direct_map_can_flip()) {
		pr_info("off: the direct map of this machine cannot be changed in blocks\n");
		return 0;
	}

	/* Both write to free pages through the direct map, or unmap them. */
	if (page_poisoning_enabled() || debug_pagealloc_enabled()) {
		pr_info("off: page_poison or debug_pagealloc is on\n");
		return 0;
	}

	if (!unmapped_zero_ready()) {
		pr_info("off: no windows to erase pages through\n");
		return 0;
	}

	unmapped_wq = alloc_workqueue("unmapped", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!unmapped_wq || unmapped_pool_init())
		return -ENOMEM;

	unmapped_ready = true;
	return 0;
}
subsys_initcall(unmapped_init);
