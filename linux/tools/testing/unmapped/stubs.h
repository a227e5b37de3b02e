/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel around the files that are compiled here: as little of it as they use,
 * and each thing either as in tools/include, or a no-op, or something that a test
 * can look at (unit_*). Stands in place of the headers that the Makefile lists. What
 * one part needs alone is in PART_stubs.h, and zone.h has a zone.
 */
#pragma once

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/export.h>
#include <linux/kconfig.h>
#include <linux/kernel.h>
#include <linux/types.h>

#define ____cacheline_aligned
#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define PAGE_MASK		(~(PAGE_SIZE - 1))

/* One CPU at a time is real: unit_cpu says which. */
#define UNIT_CPUS		4
#define nr_cpu_ids		((unsigned int)UNIT_CPUS)
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (cpu) < UNIT_CPUS; (cpu)++)

extern unsigned int unit_cpu;
extern int unit_preempt_depth, unit_migrate_depth;
extern bool unit_in_interrupt;
/* What another task does when it preempts this one, once, between look and change */
extern void (*unit_preempt_hook)(void);

static inline void unit_preempt(void)
{
	void (*hook)(void) = unit_preempt_hook;

	unit_preempt_hook = NULL;
	if (hook)
		hook();
}

/* The n-th allocation from now on fails; 0: none does. */
extern int unit_fail_alloc;

#define preempt_disable()	((void)unit_preempt_depth++)
#define preempt_enable()	((void)unit_preempt_depth--)
#define migrate_disable()	((void)unit_migrate_depth++)
#define migrate_enable()	((void)unit_migrate_depth--)
#define in_task()		(!unit_in_interrupt)
#define lockdep_assert_irqs_enabled() ((void)0)

/* A warning fails the test, unless it is taken from kunit_current->warnings. */
bool unit_warn(bool cond, const char *what, const char *file, int line);
#undef WARN_ON_ONCE
#define WARN_ON_ONCE(c)		unit_warn(c, #c, __FILE__, __LINE__)
#define VM_WARN_ON_ONCE(c)	((void)WARN_ON_ONCE(c))
#define VM_WARN_ON_ONCE_PAGE(c, page) ((void)WARN_ON_ONCE(c))

/* memory */
#define GFP_KERNEL_ACCOUNT	0u

static inline void *unit_alloc(size_t size)
{
	return unit_fail_alloc && !--unit_fail_alloc ? NULL : calloc(1, size);
}

/* Every test finds the same machine. */
void unit_reset(void);
