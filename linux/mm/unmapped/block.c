// SPDX-License-Identifier: GPL-2.0-only
/*
 * One pageblock gets a property, and loses it again: the ground floor.
 *
 * The property that there is: absent from the direct map. It costs one TLB
 * shootdown to take blocks out, and none to put them back, which any context can
 * do: it is one store. What a page held is erased when it is freed; what it held
 * before its block was taken out, before the block is broken up, see
 * unmapped_block_erase(). A block that is put back holds nothing that was secret.
 */
#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/error-injection.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/sched.h>
#include <linux/vmstat.h>

#define CREATE_TRACE_POINTS
#include <trace/events/unmapped.h>

#include "../internal.h"
#include "internal.h"

static int direct_map_prepare(struct page *block)
{
	return arch_direct_map_block_prepare(block);
}

static int direct_map_apply(struct page *block)
{
	return arch_direct_map_block_unmap(block);
}

static void direct_map_flush(struct page *first, unsigned long nr_blocks)
{
	arch_direct_map_flush(first, nr_blocks);
}

static void direct_map_undo(struct page *block)
{
	arch_direct_map_block_remap(block);
}

/* A row a property, in the order of enum freetype_list. */
const struct freetype_property freetype_properties[NR_FREETYPE_PROPERTIES] = {
	[FREETYPE_LIST_UNMAPPED - MIGRATE_TYPES] = {
		.name		= "NoDirectMap",
		.letter		= 'N',
		.migratetype	= MIGRATE_UNMOVABLE,
		.pageblock_bit	= PB_unmapped,
		.alloc_flag	= ALLOC_UNMAPPED,
		.undo_atomic	= true,
		.pooled		= true,
		.contents_die	= true,
		.prepare	= direct_map_prepare,
		.apply		= direct_map_apply,
		.flush		= direct_map_flush,
		.undo		= direct_map_undo,
	},
#ifdef CONFIG_FREETYPE_TEST_PROPERTY
	[FREETYPE_LIST_TEST - MIGRATE_TYPES] = {
		.name		= "Test",
		.letter		= 'T',
		.migratetype	= MIGRATE_UNMOVABLE,
		.pageblock_bit	= PB_freetype_test,
		.alloc_flag	= ALLOC_TEST_PROPERTY,
		.undo_flush	= true,
		.prepare	= test_property_prepare,
		.apply		= test_property_apply,
		.flush		= test_property_flush,
		.undo		= test_property_undo,
	},
#endif
};

/**
 * unmapped_block_prepare() - what comes before blocks get a property
 * @pool: zone and property
 * @page: the first of the blocks, which the caller took off the free lists
 * @order: their order
 *
 * Everything that can fail: check their entries, split 1 GiB entries.
 *
 * Context: task, may sleep.
 * Return: 0; -ENOMEM if there is no page table for a split; other errors mean
 * that these blocks cannot have it.
 */
int unmapped_block_prepare(struct unmapped_pool *pool, struct page *page,
			   unsigned int order)
{
	const struct freetype_property *property = freetype_property(pool->freetype);
	int err = 0;

	might_sleep();

	for (unsigned long i = 0; i < 1UL << order && !err; i += pageblock_nr_pages) {
		if (property->prepare)
			err = property->prepare(page + i);
	}
	return err;
}

/**
 * unmapped_block_erase() - erase blocks that were unmapped as they were
 * @pool: zone and property
 * @page: the first of the blocks, which are on no free list
 * @order: their order
 *
 * Nothing where contents do not die.
 *
 * Context: task, interrupts on, may sleep.
 * Return: false if that cannot be done here, and something may be left.
 */
bool unmapped_block_erase(struct unmapped_pool *pool, struct page *page,
			  unsigned int order)
{
	KUNIT_STATIC_STUB_REDIRECT(unmapped_block_erase, pool, page, order);

	might_sleep();
	if (!freetype_property(pool->freetype)->contents_die)
		return true;

	for (unsigned long i = 0; i < 1UL << order; i += UNMAPPED_CLEAR_BATCH) {
		if (!unmapped_erase_pages(page + i, UNMAPPED_CLEAR_BATCH))
			return false;
		cond_resched();
	}
	return true;
}

/**
 * unmapped_block_apply() - give one block that was prepared a property
 * @pool: zone and property
 * @block: the block; nobody may use it before unmapped_block_flush()
 *
 * Separate from the property's own function, so that tests can make it fail.
 *
 * Context: task, may sleep.
 * Return: 0, or an error; then the block is as it was.
 */
noinline int unmapped_block_apply(struct unmapped_pool *pool, struct page *block)
{
	KUNIT_STATIC_STUB_REDIRECT(unmapped_block_apply, pool, block);
	return freetype_property(pool->freetype)->apply(block);
}
ALLOW_ERROR_INJECTION(unmapped_block_apply, ERRNO);

/**
 * unmapped_block_flush() - make all CPUs forget how blocks were mapped
 * @pool: zone and property
 * @first: the first block that has changed
 * @nr_blocks: blocks from there to the last; those between them may be any
 *
 * Context: task, interrupts on.
 */
void unmapped_block_flush(struct unmapped_pool *pool, struct page *first,
			  unsigned long nr_blocks)
{
	freetype_property(pool->freetype)->flush(first, nr_blocks);
	count_vm_event(UNMAPPED_SHOOTDOWN);
	trace_unmapped_shootdown(page_to_pfn(first), nr_blocks);
}

/**
 * unmapped_block_undo() - take a property away from blocks
 * @pool: zone and property
 * @page: the first of the blocks, which are on no free list
 * @order: their order
 *
 * Does not flush where the property asks for that.
 *
 * Context: any but NMI where the property is undone atomically, else task.
 */
void unmapped_block_undo(struct unmapped_pool *pool, struct page *page,
			 unsigned int order)
{
	const struct freetype_property *property = freetype_property(pool->freetype);

	for (unsigned long i = 0; i < 1UL << order; i += pageblock_nr_pages)
		property->undo(page + i);
}

/* Separate, so that a test can make isolation come in the middle of a flip. */
VISIBLE_IF_KUNIT noinline bool unmapped_blocks_isolated(struct page *page,
							unsigned int order)
{
	KUNIT_STATIC_STUB_REDIRECT(unmapped_blocks_isolated, page, order);

	for (unsigned int i = 0; i < 1U << order; i += pageblock_nr_pages) {
		if (is_migrate_isolate_page(page + i))
			return true;
	}
	return false;
}
ALLOW_ERROR_INJECTION(unmapped_blocks_isolated, TRUE);

/**
 * unmapped_account_blocks() - count blocks that got a property, or lost it
 * @pool: zone and property
 * @nr_pages: their pages, or minus that
 *
 * Context: any, zone lock held.
 */
void unmapped_account_blocks(struct unmapped_pool *pool, long nr_pages)
{
	/* Pairs with unmapped_pool_work_fn(), without the lock */
	WRITE_ONCE(pool->nr_pages, pool->nr_pages + nr_pages);
	if (freetype_unmapped(pool->freetype))
		__mod_zone_page_state(pool->zone, NR_UNMAPPED, nr_pages);
}

/**
 * unmapped_block_mark() - note whether a block has yet to be erased
 * @pool: zone and property
 * @block: the block
 * @unerased: is it so?
 *
 * Context: any, zone lock held.
 */
void unmapped_block_mark(struct unmapped_pool *pool, struct page *block,
			 bool unerased)
{
	if (get_pageblock_unerased(block) == unerased)
		return;
	if (unerased)
		set_pfnblock_bit(block, page_to_pfn(block), PB_unerased);
	else
		clear_pfnblock_bit(block, page_to_pfn(block), PB_unerased);
	/* Without the lock it is a hint: unmapped_pool_erased() */
	WRITE_ONCE(pool->nr_unerased, pool->nr_unerased + (unerased ? 1 : -1));
}

/**
 * unmapped_block_add() - put blocks that have a property now on its free lists
 * @pool: zone and property
 * @page: the first of the blocks, which were flushed
 * @order: their order
 * @unerased: do they hold what they held before, to be erased when it is needed?
 * @want_order: order of a page that the caller wants at once, or -1; then they
 *	are erased
 *
 * Nothing is left behind where a block was isolated meanwhile: the caller has
 * to undo and put them then.
 *
 * Context: any, takes the zone lock.
 * Return: a page of @want_order; @page for -1; NULL if a block was isolated.
 */
struct page *unmapped_block_add(struct unmapped_pool *pool, struct page *page,
				unsigned int order, bool unerased, int want_order)
{
	struct zone *zone = pool->zone;

	VM_WARN_ON_ONCE(unerased && want_order >= 0);
	unerased = unerased && freetype_property(pool->freetype)->contents_die;

	guard(spinlock_irqsave)(&zone->lock);

	if (unmapped_blocks_isolated(page, order))
		return NULL;

	for (unsigned int i = 0; i < 1U << order; i += pageblock_nr_pages) {
		pageblock_set_freetype(page + i, pool->freetype);
		unmapped_block_mark(pool, page + i, unerased);
	}
	unmapped_account_blocks(pool, 1L << order);
	put_free_blocks(zone, page, order);

	if (want_order >= 0)
		take_free_blocks(zone, page, want_order);
	return page;
}

/**
 * unmapped_block_remove() - make plain memory of blocks that are wholly free
 * @pool: zone and property, which is undone atomically
 * @page: the first of the blocks, which are on its free lists
 * @order: their order
 * @migratetype: what they become
 *
 * Context: any, NMI too (alloc_pages_nolock()), zone lock held.
 */
void unmapped_block_remove(struct unmapped_pool *pool, struct page *page,
			   unsigned int order, enum migratetype migratetype)
{
	struct zone *zone = pool->zone;

	VM_WARN_ON_ONCE(!freetype_property(pool->freetype)->undo_atomic);

	take_free_blocks(zone, page, order);
	unmapped_block_undo(pool, page, order);
	for (unsigned int i = 0; i < 1U << order; i += pageblock_nr_pages) {
		unmapped_block_mark(pool, page + i, false);
		pageblock_set_freetype(page + i, freetype_plain(migratetype));
		__count_vm_event(UNMAPPED_FLIP_REMAP);
		trace_unmapped_flip_remap(page_to_pfn(page + i));
	}
	unmapped_account_blocks(pool, -(1L << order));
	put_free_blocks(zone, page, order);
}

/**
 * unmapped_block_remove_taken() - the same, of any property
 * @pool: zone and property
 * @block: one block, which the caller took off its free list
 *
 * Context: task, may sleep.
 */
void unmapped_block_remove_taken(struct unmapped_pool *pool, struct page *block)
{
	struct zone *zone = pool->zone;

	unmapped_block_undo(pool, block, pageblock_order);
	if (freetype_property(pool->freetype)->undo_flush)
		unmapped_block_flush(pool, block, 1);
	count_vm_event(UNMAPPED_FLIP_REMAP);
	trace_unmapped_flip_remap(page_to_pfn(block));

	guard(spinlock_irqsave)(&zone->lock);
	unmapped_block_mark(pool, block, false);
	pageblock_set_freetype(block, freetype_plain(MIGRATE_MOVABLE));
	unmapped_account_blocks(pool, -(long)pageblock_nr_pages);
	put_free_blocks(zone, block, pageblock_order);
}
