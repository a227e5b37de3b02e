/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A zone with free lists of pages that are at least a pageblock, as mm/page_alloc.c
 * keeps them, and a direct map whose blocks are what a test says. For those files of
 * mm/unmapped/ that decide about blocks.
 */
#pragma once

#include "stubs.h"

#include <linux/align.h>
#include <linux/list.h>

/* These are not asked for. */
#define __MM_INTERNAL_H
#define __MM_PAGE_ALLOC_H
#define _MM_UNMAPPED_H
#define _MM_PAGE_REPORTING_H

#define __percpu
#define __cleanup(fn)		__attribute__((__cleanup__(fn)))
#define __nonnull_args(n)	__attribute__((__nonnull__(n)))
/* There is one thread */
#define data_race(expr)		(expr)
#define __UNIQUE_ID(name)	__PASTE(name##_, __COUNTER__)
#define MAX_PAGE_ORDER		10
#define NR_PAGE_ORDERS		(MAX_PAGE_ORDER + 1)
#define pageblock_order		9U
#define pageblock_nr_pages	(1UL << pageblock_order)

#include <linux/mmzone.h>
#include <linux/direct_map.h>
#include <linux/cleanup.h>

/* locks: one can be held, and it is counted how often that is */
typedef struct {
	bool held;
	unsigned int holds;
} spinlock_t;

static unsigned int unit_looks, unit_most_looks;

static inline void unit_lock(spinlock_t *lock)
{
	VM_WARN_ON_ONCE(lock->held);
	lock->held = true;
	lock->holds++;
	unit_looks = 0;
}

static inline void unit_unlock(spinlock_t *lock)
{
	VM_WARN_ON_ONCE(!lock->held);
	lock->held = false;
}

DEFINE_LOCK_GUARD_1(spinlock_irqsave, spinlock_t, unit_lock(_T->lock), unit_unlock(_T->lock))
#define lockdep_assert_held(l)	VM_WARN_ON_ONCE(!(l)->held)

struct mutex { int unused; };
struct semaphore { int unused; };
struct delayed_work { int unused; };
struct workqueue_struct;

/* pages, pageblocks, a zone */
struct page {
	struct list_head buddy_list;
	unsigned int order;
	bool buddy;
};

enum zone_type { ZONE_NORMAL };

struct unmapped_pool;
struct zone {
	spinlock_t lock;	/* of all below */
	struct free_area free_area[NR_PAGE_ORDERS];
	struct unmapped_pool *unmapped_pools;
	unsigned long nr_free;
	long nr_unmapped;
};

#define UNIT_BLOCKS		1024UL
#define UNIT_FIRST_PFN		0x100000UL

static struct page *unit_pages;		/* UNIT_BLOCKS * pageblock_nr_pages */
static freetype_t unit_freetypes[UNIT_BLOCKS];
static enum direct_map_block unit_kinds[UNIT_BLOCKS];
static bool unit_unerased[UNIT_BLOCKS];
static struct zone unit_zone;

#define page_to_pfn(p)		(UNIT_FIRST_PFN + ((p) - unit_pages))
#define pfn_to_page(pfn)	(unit_pages + ((pfn) - UNIT_FIRST_PFN))
#define zone_end_pfn(z)		(UNIT_FIRST_PFN + UNIT_BLOCKS * pageblock_nr_pages)
#define pageblock_start_pfn(p)	ALIGN_DOWN(p, pageblock_nr_pages)
#define unit_block(p)		(((p) - unit_pages) >> pageblock_order)
#define page_zone(p)		(&unit_zone)
#define buddy_order(p)		((p)->order)
#define page_is_guard(p)	false
#define get_pageblock_freetype(p) (unit_freetypes[unit_block(p)])
#define PB_unerased		0	/* the only bit that is asked for */
#define get_pfnblock_bit(p, pfn, bit) (unit_unerased[unit_block(p)])
#define pageblock_set_freetype(p, ft) ((void)(unit_freetypes[unit_block(p)] = (ft)))

/* A hole between blocks 100 and 103 */
static inline struct page *pfn_to_online_page(unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);

	return unit_block(page) == 101 || unit_block(page) == 102 ? NULL : page;
}

enum direct_map_block arch_direct_map_block_kind(const struct page *page)
{
	if (++unit_looks > unit_most_looks)
		unit_most_looks = unit_looks;
	return unit_kinds[unit_block(page)];
}

static inline bool zone_watermark_ok(struct zone *zone, unsigned int order, unsigned long mark,
				     int highest_zoneidx, unsigned int alloc_flags)
{
	return zone->nr_free >= mark + (1UL << order);
}

#define ALLOC_DEFAULT		0
#define cond_resched()		((void)0)

/* mm/page_alloc.c: free pages of a pageblock and more, which merge */
static void unit_add(struct page *page, unsigned int order, freetype_t ft)
{
	struct free_area *area = &unit_zone.free_area[order];

	page->buddy = true;
	page->order = order;
	list_add_tail(&page->buddy_list, free_area_list(area, ft));
	area->nr_free++;
	unit_zone.nr_free += 1UL << order;
}

static void unit_del(struct page *page)
{
	list_del(&page->buddy_list);
	page->buddy = false;
	unit_zone.free_area[page->order].nr_free--;
	unit_zone.nr_free -= 1UL << page->order;
}

static struct page *free_block_head(struct page *page)
{
	unsigned int order;

	lockdep_assert_held(&unit_zone.lock);
	for (order = pageblock_order; order <= MAX_PAGE_ORDER; order++) {
		struct page *head = pfn_to_page(ALIGN_DOWN(page_to_pfn(page), 1UL << order));

		if (head->buddy)
			return head->order >= order ? head : NULL;
	}
	return NULL;
}

static struct page *find_buddy_page_pfn(struct page *page, unsigned long pfn, unsigned int order,
					unsigned long *buddy_pfn)
{
	struct page *buddy = pfn_to_page(pfn ^ 1UL << order);

	return buddy->buddy && buddy->order == order ? buddy : NULL;
}

static void take_free_blocks(struct zone *zone, struct page *page, unsigned int order)
{
	struct page *head = free_block_head(page);
	unsigned int o = head->order;
	freetype_t ft = get_pageblock_freetype(head);

	VM_WARN_ON_ONCE(o < order);
	unit_del(head);
	while (o-- > order) {
		struct page *upper = head + (1UL << o);

		if (page >= upper) {
			unit_add(head, o, ft);
			head = upper;
		} else {
			unit_add(upper, o, ft);
		}
	}
}

/* There is nothing but whole blocks here */
static struct page *take_free_page(struct zone *zone, unsigned int order, freetype_t ft,
				   bool whole)
{
	VM_WARN_ON_ONCE(whole);
	return NULL;
}

static void put_free_blocks(struct zone *zone, struct page *page, unsigned int order)
{
	unsigned int o;
	unsigned long i;

	lockdep_assert_held(&zone->lock);
	for (i = 0; i < 1UL << order; i += pageblock_nr_pages) {
		struct page *head = page + i;
		freetype_t ft = get_pageblock_freetype(head);

		for (o = pageblock_order; o < MAX_PAGE_ORDER; o++) {
			struct page *buddy = find_buddy_page_pfn(head, page_to_pfn(head), o, NULL);

			if (!buddy || !freetypes_mergeable(ft, get_pageblock_freetype(buddy)))
				break;
			unit_del(buddy);
			pageblock_set_freetype(buddy, ft);
			head = min(head, buddy);
		}
		unit_add(head, o, ft);
	}
}
