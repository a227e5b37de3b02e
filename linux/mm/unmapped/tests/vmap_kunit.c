// SPDX-License-Identifier: GPL-2.0-only
/*
 * S1, S6: what vmap() showed of an unmapped page is seen by nobody when vunmap()
 * has returned, let alone when the page has a new owner.
 */
#include <linux/cpumask.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/unmapped.h>
#include <linux/vmalloc.h>

#include "util.h"

#define SECRET	0x5ec1e75ec1e75ec1UL

/* A word as another CPU sees it */
struct vmap_view {
	const void *addr;
	unsigned long word;
	bool seen;
};

static void vmap_look(void *arg)
{
	struct vmap_view *v = arg;

	v->seen = !copy_from_kernel_nofault(&v->word, v->addr, sizeof(v->word));
}

static void vmap_is_flushed(struct kunit *test)
{
	struct page *pages[4], *page;
	struct vmap_view v = {};
	unsigned int here = cpumask_first(cpu_online_mask);
	unsigned int cpu = cpumask_any_but(cpu_online_mask, here);
	u64 *mem;

	if (cpu >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs");
	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(here)), 0);

	for (int put = 0; put < 2; put++) {
		struct page **array = kmalloc_array(ARRAY_SIZE(pages), sizeof(*array),
						    GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, array);
		for (int i = 0; i < ARRAY_SIZE(pages); i++) {
			pages[i] = ut_alloc(GFP_TEST, 0);
			KUNIT_ASSERT_NOT_NULL(test, pages[i]);
			array[i] = pages[i];
		}
		mem = vmap(array, ARRAY_SIZE(pages),
			   put ? VM_MAP | VM_MAP_PUT_PAGES : VM_MAP, PAGE_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, mem);
		/* The last page, so that a flush of the first is not enough */
		v.addr = mem + (ARRAY_SIZE(pages) - 1) * PAGE_SIZE / sizeof(*mem);
		WRITE_ONCE(*(u64 *)v.addr, SECRET);
		smp_call_function_single(cpu, vmap_look, &v, true);
		KUNIT_EXPECT_TRUE(test, v.seen);
		KUNIT_EXPECT_EQ(test, v.word, SECRET);

		if (put) {
			vfree(mem);
		} else {
			vunmap(mem);
			smp_call_function_single(cpu, vmap_look, &v, true);
			KUNIT_EXPECT_FALSE(test, v.seen);
			for (int i = 0; i < ARRAY_SIZE(pages); i++)
				__free_page(pages[i]);
			kfree(array);
		}

		page = ut_alloc(GFP_TEST, 0);
		KUNIT_ASSERT_NOT_NULL(test, page);
		ut_fill(test, page, 0);
		smp_call_function_single(cpu, vmap_look, &v, true);
		KUNIT_EXPECT_FALSE(test, v.seen);
		__free_page(page);
	}
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	ut_expect_consistent(test);
}

/* As /proc/kcore and /proc/vmcore do: S7. */
static bool vmap_is_read(struct kunit *test, const void *addr)
{
	unsigned long word = ~0UL;
	struct kvec kvec = { .iov_base = &word, .iov_len = sizeof(word) };
	struct iov_iter iter;

	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, sizeof(word));
	KUNIT_EXPECT_EQ(test, vread_iter(&iter, addr, sizeof(word)), sizeof(word));
	return word == SECRET;
}

static void vmap_is_not_read(struct kunit *test)
{
	struct page *plain = alloc_page(GFP_KERNEL), *page = ut_alloc(GFP_TEST, 0);
	u64 *mem;

	KUNIT_ASSERT_NOT_NULL(test, plain);
	KUNIT_ASSERT_NOT_NULL(test, page);

	/* Would it be seen? */
	mem = vmap(&plain, 1, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	*mem = SECRET;
	KUNIT_EXPECT_TRUE(test, vmap_is_read(test, mem));
	vunmap(mem);

	mem = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mem);
	*mem = SECRET;
	KUNIT_EXPECT_FALSE(test, vmap_is_read(test, mem));
	vunmap(mem);

	__free_page(plain);
	__free_page(page);
}

/* Nobody could tell vm_unmap_ram() to flush. */
static void vmap_ram_is_refused(struct kunit *test)
{
	struct page *pages[2] = { alloc_page(GFP_KERNEL), ut_alloc(GFP_TEST, 0) };
	void *mem;

	KUNIT_ASSERT_NOT_NULL(test, pages[0]);
	KUNIT_ASSERT_NOT_NULL(test, pages[1]);

	mem = vm_map_ram(pages, 1, NUMA_NO_NODE);
	KUNIT_EXPECT_NOT_NULL(test, mem);
	vm_unmap_ram(mem, 1);
	KUNIT_EXPECT_NULL(test, vm_map_ram(pages, 2, NUMA_NO_NODE));

	__free_page(pages[0]);
	__free_page(pages[1]);
}

static struct kunit_case vmap_test_cases[] = {
	KUNIT_CASE(vmap_is_flushed),
	KUNIT_CASE(vmap_is_not_read),
	KUNIT_CASE(vmap_ram_is_refused),
	{}
};

static struct kunit_suite vmap_test_suite = {
	.name = "unmapped_vmap",
	.suite_init = ut_suite_init,
	.suite_exit = ut_suite_exit,
	.init = ut_init,
	.test_cases = vmap_test_cases,
};

kunit_test_suite(vmap_test_suite);

MODULE_DESCRIPTION("vmap() of unmapped memory");
MODULE_LICENSE("GPL");
