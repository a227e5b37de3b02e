// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page allocation off the direct map.
 *
 * A page that is allocated with ALLOC_UNMAPPED comes from an unmapped block: a
 * pageblock that is absent from the direct map as a whole. Taking blocks out
 * of the direct map and putting them back is called a flip: at the price of
 * one TLB shootdown for those that are unmapped at a time, and of none for one
 * that is remapped.
 *
 * Free unmapped pages are zero. A block is zeroed before the first of its pages
 * is had, and what an unmapped page held is erased when it is freed, before it
 * is on any list. Hence __GFP_ZERO costs nothing, nothing needs to be done with
 * a block that is remapped, and a remap can be done under the zone lock on
 * behalf of any allocation, atomic ones too.
 *
 * internal.h has the locks, the states of a block, and which file is what. See
 * Documentation/mm/unmapped.rst.
 */
#define pr_fmt(fmt) "unmapped: " fmt

#include <linux/direct_map.h>
#include <linux/mm.h>
#include <linux/unmapped.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>

#include "internal.h"

/* For what must be done though memory is short. */
struct workqueue_struct *unmapped_wq __ro_after_init;

/* Can this machine take pages out of the direct map? */
static bool unmapped_supported __ro_after_init;
/* ... and has anybody wanted it to? For good: there may be such pages since. */
static bool unmapped_enabled __read_mostly;

/**
 * unmapped_possible() - could this machine have memory off the direct map?
 *
 * For who is asked what can be had and does not want any yet: nothing is made ready.
 *
 * Context: any, once subsys_initcall()s were called.
 * Return: true if unmapped_enable() would not return -EOPNOTSUPP.
 */
bool unmapped_possible(void)
{
	return unmapped_supported;
}
EXPORT_SYMBOL_FOR_MODULES(unmapped_possible, "kvm");

/**
 * unmapped_available() - can requests with ALLOC_UNMAPPED succeed?
 *
 * Context: any.
 * Return: true after the first unmapped_enable() that returned 0.
 */
bool unmapped_available(void)
{
	/* Pairs with unmapped_enable(): what it takes is there */
	return smp_load_acquire(&unmapped_enabled);
}
EXPORT_SYMBOL_GPL(unmapped_available);

/**
 * unmapped_enable() - make ready for requests with ALLOC_UNMAPPED
 *
 * For whoever is going to have such memory, before the first request. A machine on
 * which nobody does has no private mms. It may be called any number of times,
 * and is never undone.
 *
 * Context: task, may sleep, takes cpu_hotplug_lock: no lock held that is taken
 * under that, as mmap_lock is.
 * Return: 0, -EOPNOTSUPP if this machine cannot take blocks out of the direct
 * map, which does not change once user space runs, or -ENOMEM.
 */
int unmapped_enable(void)
{
	int err;

	if (unmapped_available())
		return 0;
	if (!unmapped_supported)
		return -EOPNOTSUPP;

	err = unmapped_zero_prepare();
	if (err)
		return -ENOMEM;

	/* Pairs with unmapped_available() */
	smp_store_release(&unmapped_enabled, true);
	return 0;
}
EXPORT_SYMBOL_GPL(unmapped_enable);

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

	if (!unmapped_zero_supported()) {
		pr_info("off: no windows to erase pages through\n");
		return 0;
	}

	unmapped_wq = alloc_workqueue("unmapped", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!unmapped_wq || unmapped_pool_init() || unmapped_pcp_init_hotplug())
		return -ENOMEM;

	unmapped_supported = true;
	return 0;
}
subsys_initcall(unmapped_init);
