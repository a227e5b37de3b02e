// SPDX-License-Identifier: GPL-2.0-only
/*
 * A second property, which is not "absent from the direct map": the entry stays
 * present and gets a bit that means nothing to the processor, in the place of a
 * protection key. To take it away costs a TLB flush, and is not for every context.
 */
#include <linux/direct_map.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/spinlock.h>

#include "../internal.h"

#define TEST_BIT	_PAGE_SOFTW2

/* The block's entry, or NULL if it has none of its own; pgd_lock is held. */
static pmd_t *test_property_pmd(struct page *block)
{
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)page_address(block), &level);

	return pte && level == PG_LEVEL_2M ? (pmd_t *)pte : NULL;
}

int test_property_prepare(struct page *block)
{
	return arch_direct_map_block_prepare(block);
}

int test_property_apply(struct page *block)
{
	pmd_t *pmd;

	might_sleep();
	guard(spinlock)(&pgd_lock);
	pmd = test_property_pmd(block);
	if (!pmd || arch_direct_map_block_kind(block) != DIRECT_MAP_BLOCK_PLAIN)
		return -EBUSY;
	set_pmd(pmd, __pmd(pmd_val(*pmd) | TEST_BIT));
	return 0;
}

void test_property_flush(struct page *first, unsigned long nr_blocks)
{
	arch_direct_map_flush(first, nr_blocks);
}

void test_property_undo(struct page *block)
{
	pmd_t *pmd;

	might_sleep();
	guard(spinlock)(&pgd_lock);
	pmd = test_property_pmd(block);
	if (WARN_ON_ONCE(!pmd || !(pmd_val(*pmd) & TEST_BIT)))
		return;
	set_pmd(pmd, __pmd(pmd_val(*pmd) & ~TEST_BIT));
}

/* Does the block's entry have the bit? */
bool test_property_applied(struct page *block)
{
	pmd_t *pmd;

	guard(spinlock)(&pgd_lock);
	pmd = test_property_pmd(block);
	return pmd && (pmd_val(*pmd) & TEST_BIT);
}
