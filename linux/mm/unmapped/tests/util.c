// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the suites of mm/unmapped/tests/ share: see util.h.
 */
#include <linux/delay.h>
#include <linux/direct_map.h>
#include <linux/initrd.h>
#include <linux/memory_hotplug.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/unmapped.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/apic.h>
#include <asm/nmi.h>
#endif

#include "util.h"

#define PATTERN		0x5ec2e75ec2e75ec2UL

static unsigned int pool_blocks;
static bool worker_off;

void ut_worker(bool on)
{
	struct zone *zone;

	if (on != worker_off)
		return;
	worker_off = !on;
	for_each_populated_zone(zone) {
		for (int i = 0; zone->unmapped_pools && i < NR_FREETYPE_PROPERTIES; i++) {
			struct delayed_work *work = &zone->unmapped_pools[i].work;

			if (on) {
				enable_delayed_work(work);
				mod_delayed_work(system_dfl_wq, work, HZ);
			} else {
				disable_delayed_work_sync(work);
			}
		}
	}
}

int ut_suite_init(struct kunit_suite *suite)
{
	int err = unmapped_enable();

	if (err && err != -EOPNOTSUPP)
		return err;

	/* It takes memory in the background, blocks of it */
	wait_for_initramfs();
	pool_blocks = sysctl_unmapped_pool_blocks;
	WRITE_ONCE(sysctl_unmapped_pool_blocks, 0);
	ut_worker(false);
	return 0;
}

void ut_suite_exit(struct kunit_suite *suite)
{
	WRITE_ONCE(sysctl_unmapped_pool_blocks, pool_blocks);
	ut_worker(true);
}

int ut_init(struct kunit *test)
{
	if (!unmapped_available())
		kunit_skip(test, "this machine cannot take memory out of the direct map");
	return 0;
}

struct page *ut_alloc_property(freetype_t freetype, gfp_t gfp, unsigned int order)
{
	return __alloc_pages(gfp, order, numa_mem_id(), NULL,
			     freetype_property(freetype)->alloc_flag);
}

struct page *ut_alloc(gfp_t gfp, unsigned int order)
{
	return ut_alloc_property(freetype_make_unmapped(), gfp, order);
}

/* Requests that may not block find all of what is free. */
static void ut_erase_all(struct kunit *test, struct unmapped_pool *pool)
{
	struct page *block;

	for (;;) {
		scoped_guard(spinlock_irqsave, &pool->zone->lock)
			block = unmapped_take_unerased(pool, pageblock_order);
		if (!block)
			return;
		KUNIT_EXPECT_TRUE(test, unmapped_block_erase(pool, block, pageblock_order));
		unmapped_put_unmapped(pool, block, pageblock_order, false, -1);
	}
}

void ut_take_all(struct kunit *test, freetype_t freetype, struct list_head *taken)
{
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	unsigned int wrong = 0;
	struct page *page;
	struct zone *zone;

	ut_settle();
	for_each_populated_zone(zone) {
		if (zone->unmapped_pools)
			ut_erase_all(test, unmapped_pool(zone, freetype));
	}
	/* Else some stay behind on the lists of another CPU */
	migrate_disable();
	for (int order = MAX_PAGE_ORDER; order >= 0; order--) {
		while ((page = ut_alloc_property(freetype, gfp, order))) {
			wrong += !freetype_eq(get_pageblock_freetype(page), freetype);
			set_page_private(page, order);
			list_add(&page->lru, taken);
		}
	}
	migrate_enable();
	KUNIT_EXPECT_EQ(test, wrong, 0);
}

void ut_empty_pool(struct kunit *test, struct list_head *taken)
{
	ut_take_all(test, freetype_make_unmapped(), taken);
}

void ut_put_all(struct list_head *taken)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, taken, lru) {
		list_del(&page->lru);
		__free_pages(page, page_private(page));
	}
}

bool ut_on_list(struct list_head *taken, struct page *page)
{
	struct page *head;

	list_for_each_entry(head, taken, lru) {
		if (page >= head && page < head + (1UL << page_private(head)))
			return true;
	}
	return false;
}

void ut_hide_plain_blocks(struct list_head *hidden)
{
	struct zone *zone;
	struct page *page;

	drain_all_pages(NULL);
	for_each_populated_zone(zone) {
		guard(spinlock_irqsave)(&zone->lock);
		for (int order = MAX_PAGE_ORDER; order >= (int)pageblock_order; order--) {
			for (int mt = 0; mt < MIGRATE_PCPTYPES; mt++) {
				while ((page = take_free_page(zone, order,
							      freetype_plain(mt), true))) {
					set_page_private(page, order);
					list_add(&page->lru, hidden);
				}
			}
		}
	}
}

void ut_show_plain_blocks(struct list_head *hidden)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, hidden, lru) {
		struct zone *zone = page_zone(page);
		unsigned int order = page_private(page);

		list_del(&page->lru);
		set_page_private(page, 0);
		guard(spinlock_irqsave)(&zone->lock);
		put_free_blocks(zone, page, order);
	}
}

struct unmapped_pool *ut_pool(struct page *page)
{
	return unmapped_pool(page_zone(page), freetype_make_unmapped());
}

unsigned long ut_event(enum vm_event_item item)
{
	unsigned long *events, value;

	events = kmalloc_array(NR_VM_EVENT_ITEMS, sizeof(*events), GFP_KERNEL);
	if (!events)
		return 0;
	all_vm_events(events);
	value = events[item];
	kfree(events);
	return value;
}

bool ut_readable(const struct page *page)
{
	unsigned long word;

	return !copy_from_kernel_nofault(&word, page_address(page), sizeof(word));
}

/* All of an unmapped page, mapped once more; NULL and a failure where it is not. */
static void *ut_map(struct kunit *test, struct page *page, unsigned int order)
{
	struct page **pages = kvmalloc_array(1U << order, sizeof(*pages), GFP_KERNEL);
	void *mem = NULL;

	for (unsigned int i = 0; pages && i < 1U << order; i++)
		pages[i] = page + i;
	if (pages)
		mem = vmap(pages, 1U << order, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	KUNIT_EXPECT_NOT_NULL(test, mem);
	return mem;
}

/* Write a pattern to all of an unmapped page, through a mapping of our own. */
void ut_fill(struct kunit *test, struct page *page, unsigned int order)
{
	u64 *mem = ut_map(test, page, order);

	if (mem)
		memset64(mem, PATTERN, (PAGE_SIZE << order) / sizeof(*mem));
	vunmap(mem);
}

bool ut_is_zero(struct kunit *test, struct page *page, unsigned int order)
{
	u64 *mem = ut_map(test, page, order);
	bool zero = mem && !memchr_inv(mem, 0, PAGE_SIZE << order);

	vunmap(mem);
	return zero;
}

void ut_settle(void)
{
	struct zone *zone;

	for (int i = 0; i < 500 && global_zone_page_state(NR_UNMAPPED_DIRTY); i++) {
		unmapped_erase_dirty();
		flush_workqueue(unmapped_wq);
		fsleep(1000);
	}
	/* The worker may have accounted for a page, and not freed it */
	flush_workqueue(unmapped_wq);
	for_each_populated_zone(zone)
		unmapped_drain_zone(zone);
}

/* What was counted of one property in a zone, under its lock */
struct ut_count {
	unsigned long free, whole, partial, blocks;
	unsigned int wrong_list, wrong_order, wrong_type, wrong_entry;
	unsigned int unerased, wrong_unerased;
};

static void ut_count(struct zone *zone, freetype_t freetype, struct ut_count *count)
{
	const struct freetype_property *property = freetype_property(freetype);
	struct unmapped_pool *pool = unmapped_pool(zone, freetype);
	struct page *page;

	for (int order = 0; order < NR_PAGE_ORDERS; order++) {
		unsigned long nr = 0;

		list_for_each_entry(page, free_area_list(&zone->free_area[order], freetype),
				    buddy_list) {
			nr++;
			count->wrong_list +=
				!freetype_eq(get_pageblock_freetype(page), freetype);
		}
		count->wrong_order += pool->nr_free[order] != nr;
		count->free += nr << order;
		if (order >= pageblock_order)
			count->whole += nr << order;
		if (order < pageblock_order || !property->undo_atomic)
			count->partial += nr << order;
	}

	for (unsigned long pfn = pageblock_align(zone->zone_start_pfn);
	     pfn + NR_BLOCK <= zone_end_pfn(zone); pfn += NR_BLOCK) {
		page = pfn_to_online_page(pfn);
		if (!page || page_zone(page) != zone ||
		    !get_pfnblock_bit(page, pfn, property->pageblock_bit))
			continue;

		count->blocks++;
		if (get_pageblock_unerased(page)) {
			count->unerased++;
			count->wrong_unerased += !free_block_head(page);
		}
		count->wrong_type += get_pfnblock_migratetype(page, pfn) !=
				     property->migratetype;
		count->wrong_entry += arch_direct_map_block_mapped(page) ==
				      freetype_unmapped(freetype);
	}
	count->wrong_unerased += count->unerased != pool->nr_unerased;
}

/* Blocks that are free for everybody, and that nobody could use */
static unsigned int ut_count_absent(struct zone *zone)
{
	unsigned int absent = 0;
	struct page *page;

	for (int order = pageblock_order; order < NR_PAGE_ORDERS; order++) {
		for (int mt = 0; mt < MIGRATE_PCPTYPES; mt++) {
			list_for_each_entry(page, free_area_list(&zone->free_area[order],
								 freetype_plain(mt)),
					    buddy_list) {
				for (unsigned long i = 0; i < 1UL << order; i += NR_BLOCK)
					absent += !arch_direct_map_block_mapped(page + i);
			}
		}
	}
	return absent;
}

static void ut_expect_zone_consistent(struct kunit *test, struct zone *zone)
{
	long partial, free, whole, unmapped, dirty;
	struct ut_count count[NR_FREETYPE_PROPERTIES] = {};
	struct ut_count *c = &count[FREETYPE_LIST_UNMAPPED - MIGRATE_TYPES];
	unsigned long expected = 0;
	unsigned int absent;

	if (!zone->unmapped_pools)
		return;

	scoped_guard(spinlock_irqsave, &zone->lock) {
		for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++)
			ut_count(zone, freetype_from_index(MIGRATE_TYPES + i), &count[i]);
		absent = ut_count_absent(zone);
		partial = zone->nr_free_partial;
		free = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED);
		whole = zone_page_state_snapshot(zone, NR_FREE_UNMAPPED_WHOLE);
		unmapped = zone_page_state_snapshot(zone, NR_UNMAPPED);
		dirty = zone_page_state_snapshot(zone, NR_UNMAPPED_DIRTY);
	}

	for (int i = 0; i < NR_FREETYPE_PROPERTIES; i++) {
		const char *name = freetype_properties[i].name;

		expected += count[i].partial;
		KUNIT_EXPECT_EQ_MSG(test, count[i].wrong_list, 0, "%s", name);
		KUNIT_EXPECT_EQ_MSG(test, count[i].wrong_order, 0, "%s", name);
		KUNIT_EXPECT_EQ_MSG(test, count[i].wrong_type, 0, "%s", name);
		KUNIT_EXPECT_EQ_MSG(test, count[i].wrong_entry, 0, "%s", name);
		KUNIT_EXPECT_EQ_MSG(test, count[i].wrong_unerased, 0, "%s", name);
	}
	KUNIT_EXPECT_EQ(test, absent, 0);
	KUNIT_EXPECT_EQ(test, partial, expected);
	KUNIT_EXPECT_EQ(test, free, c->free);
	KUNIT_EXPECT_EQ(test, whole, c->whole);
	KUNIT_EXPECT_EQ(test, unmapped, c->blocks * NR_BLOCK);
	KUNIT_EXPECT_EQ(test, dirty, 0);
}

void ut_expect_consistent(struct kunit *test)
{
	struct zone *zone;

	ut_settle();
	for_each_populated_zone(zone)
		ut_expect_zone_consistent(test, zone);
}

#ifdef CONFIG_X86_LOCAL_APIC
static struct {
	void (*fn)(void *arg);
	void *arg;
	bool done;
} ut_nmi;

static int ut_nmi_handler(unsigned int cmd, struct pt_regs *regs)
{
	void (*fn)(void *arg) = READ_ONCE(ut_nmi.fn);

	if (!fn)
		return NMI_DONE;
	WRITE_ONCE(ut_nmi.fn, NULL);
	fn(ut_nmi.arg);
	/* Pairs with ut_call_nmi() */
	smp_store_release(&ut_nmi.done, true);
	return NMI_HANDLED;
}

bool ut_call_nmi(void (*fn)(void *arg), void *arg)
{
	if (register_nmi_handler(NMI_LOCAL, ut_nmi_handler, NMI_FLAG_FIRST,
				 "unmapped_test"))
		return false;

	ut_nmi.done = false;
	ut_nmi.arg = arg;
	WRITE_ONCE(ut_nmi.fn, fn);
	scoped_guard(preempt)
		__apic_send_IPI_mask(cpumask_of(smp_processor_id()), NMI_VECTOR);
	/* Pairs with ut_nmi_handler() */
	for (int i = 0; i < 1000000 && !smp_load_acquire(&ut_nmi.done); i++)
		udelay(1);

	WRITE_ONCE(ut_nmi.fn, NULL);
	unregister_nmi_handler(NMI_LOCAL, "unmapped_test");
	return ut_nmi.done;
}
#endif
