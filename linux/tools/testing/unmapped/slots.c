// SPDX-License-Identifier: GPL-2.0-only
/*
 * include/linux/mermap.h: which slots a window gets. Every state there is.
 */
#include "kunit.h"
#include "stubs.h"

/* The bookkeeping, and nothing that needs pages */
#undef CONFIG_MERMAP
struct page;
struct mm_struct;
#include <linux/mermap.h>

/* Each size, around each boundary, up to the largest that there is */
static void size_to_slots(struct kunit *test)
{
	unsigned long size;

	KUNIT_EXPECT_EQ(test, mermap_size_to_slots(0), 0);
	for (size = 1; size <= MERMAP_MAX_SIZE; size++)
		KUNIT_EXPECT_EQ(test, mermap_size_to_slots(size),
				(size + PAGE_SIZE - 1) / PAGE_SIZE);
	for (size = MERMAP_MAX_SIZE + 1; size; size <<= 1)
		KUNIT_EXPECT_EQ(test, mermap_size_to_slots(size), 0);
	for (size = 0; size <= PAGE_SIZE; size++)
		KUNIT_EXPECT_EQ(test, mermap_size_to_slots(ULONG_MAX - size), 0);
}

/* Every state of the slots, every number that can be asked for */
static void slots_find(struct kunit *test)
{
	unsigned long state, start;
	unsigned int nr, slot, i;

	for (state = 0; state < BIT(MERMAP_SLOTS); state++) {
		for (nr = 1; nr <= MERMAP_MAX_PAGES; nr++) {
			unsigned long found = mermap_slots_find(state, nr);

			for (start = slot = 0; slot + nr <= MERMAP_SLOTS; slot++) {
				for (i = slot; i < slot + nr; i++)
					if (i == MERMAP_RESERVED_SLOT || state & BIT(i))
						break;
				start |= (i == slot + nr) ? BIT(slot) : 0;
			}
			if (found != start) {
				KUNIT_EXPECT_EQ(test, found, start);
				return;
			}
		}
	}
}

static void slots_mask(struct kunit *test)
{
	unsigned int nr, slot, i;

	for (nr = 1; nr <= MERMAP_MAX_PAGES; nr++) {
		for (slot = 0; slot + nr <= MERMAP_SLOTS; slot++) {
			unsigned long mask = mermap_slots_mask(slot, nr);

			for (i = 0; i < BITS_PER_LONG; i++)
				KUNIT_EXPECT_EQ(test, !!(mask & BIT(i)),
						i >= slot && i < slot + nr);
		}
	}
}

static struct kunit_case slots_cases[] = {
	KUNIT_CASE(size_to_slots),
	KUNIT_CASE(slots_mask),
	KUNIT_CASE(slots_find),
	{}
};

static struct kunit_suite slots_suite = {
	.name = "slots",
	.test_cases = slots_cases,
};

kunit_test_suite(slots_suite);
