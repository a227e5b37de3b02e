/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the suites of mm/unmapped/tests/ share.
 *
 * They run in one task, and while nothing else of the machine asks for memory
 * with a property: counts of what happened are exact.
 */
#ifndef _MM_UNMAPPED_TESTS_UTIL_H
#define _MM_UNMAPPED_TESTS_UTIL_H

#include <kunit/test.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/vmstat.h>

#include "../../internal.h"
#include "../internal.h"

#define GFP_TEST	(GFP_KERNEL | __GFP_NOWARN)
#define NR_BLOCK	((unsigned int)pageblock_nr_pages)

/* For struct kunit_suite: the worker is idle, unless a case asks for it. */
int ut_suite_init(struct kunit_suite *suite);
void ut_suite_exit(struct kunit_suite *suite);
int ut_init(struct kunit *test);
void ut_worker(bool on);

/* Ask for unmapped memory, or for memory with any property. */
struct page *ut_alloc(gfp_t gfp, unsigned int order);
struct page *ut_alloc_property(freetype_t freetype, gfp_t gfp, unsigned int order);

/* All of what is free with a property, as a list; and give it back. */
void ut_take_all(struct kunit *test, freetype_t freetype, struct list_head *taken);
void ut_empty_pool(struct kunit *test, struct list_head *taken);
void ut_put_all(struct list_head *taken);
bool ut_on_list(struct list_head *taken, struct page *page);

/*
 * Plain blocks that are free in all zones, past all watermarks: for a moment, and
 * with enough in the pool for others who ask meanwhile.
 */
void ut_hide_plain_blocks(struct list_head *hidden);
void ut_show_plain_blocks(struct list_head *hidden);

/* The pool of unmapped memory that a page belongs to */
struct unmapped_pool *ut_pool(struct page *page);

unsigned long ut_event(enum vm_event_item item);
bool ut_readable(const struct page *page);
void ut_fill(struct kunit *test, struct page *page, unsigned int order);
bool ut_is_zero(struct kunit *test, struct page *page, unsigned int order);

/* Everything that is on its way to the free lists gets there. */
void ut_settle(void);
/* ... and page tables, pageblock bits, free lists and counters agree. */
void ut_expect_consistent(struct kunit *test);

#ifdef CONFIG_X86_LOCAL_APIC
/* Run a function in an NMI; false if the machine delivers none. */
bool ut_call_nmi(void (*fn)(void *arg), void *arg);
#else
static inline bool ut_call_nmi(void (*fn)(void *arg), void *arg)
{
	return false;
}
#endif

#endif /* _MM_UNMAPPED_TESTS_UTIL_H */
