// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taking whole pageblocks out of the direct map and putting them back:
 * linux/direct_map.h, as x86-64 implements it.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/direct_map.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/set_memory.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/vmstat.h>

#include <asm/sections.h>

#define BLOCK_PAGES	(PMD_SIZE / PAGE_SIZE)
/* How many blocks to look through for one that is mapped in some way */
#define MAX_BLOCKS	(totalram_pages() / BLOCK_PAGES * 3 / 4)
#define PATTERN		0x5ec2e75ec2e7UL

static unsigned long addr_of(const struct page *block)
{
	return (unsigned long)page_address(block);
}

/* The entry that maps @addr, as it is in memory, and its level. */
static u64 entry_of(unsigned long addr, unsigned int *level)
{
	pte_t *pte = lookup_address(addr, level);

	return pte ? pte_val(*pte) : 0;
}

static bool same_gib(const struct page *a, const struct page *b)
{
	return !((addr_of(a) ^ addr_of(b)) & PUD_MASK);
}

static bool can_read(unsigned long addr)
{
	unsigned long val;

	return !copy_from_kernel_nofault(&val, (void *)addr, sizeof(val));
}

/* How many of a few places in the block this CPU can read. */
static unsigned int can_read_block(const struct page *block)
{
	static const unsigned int offset[] = {
		0, PAGE_SIZE + 8, PMD_SIZE / 2, PMD_SIZE - sizeof(long)
	};
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(offset); i++)
		n += can_read(addr_of(block) + offset[i]);
	return n;
}

static void free_block(void *block)
{
	__free_pages(block, PMD_ORDER);
}

static struct page *alloc_block(struct kunit *test)
{
	struct page *block = alloc_pages(GFP_KERNEL | __GFP_NOWARN |
					 __GFP_NORETRY, PMD_ORDER);

	if (block && kunit_add_action_or_reset(test, free_block, block))
		block = NULL;
	return block;
}

/* A block that is ready to be unmapped. */
static struct page *alloc_prepared(struct kunit *test)
{
	struct page *block;
	int i;

	/* Boot code leaves some blocks in pieces; pass over them. */
	for (i = 0; i < 64; i++) {
		block = alloc_block(test);
		KUNIT_ASSERT_NOT_NULL(test, block);
		if (!arch_direct_map_block_prepare(block))
			return block;
	}
	KUNIT_FAIL_AND_ABORT(test, "no block can be prepared");
	return NULL;
}

/* Changes that don't reach init: a failed assertion must not leave a hole. */
static void remap_if_unmapped(void *block)
{
	if (!arch_direct_map_block_mapped(block))
		arch_direct_map_block_remap(block);
}

static void unmap(struct kunit *test, struct page *block)
{
	KUNIT_ASSERT_EQ(test, kunit_add_action(test, remap_if_unmapped, block), 0);
	KUNIT_ASSERT_EQ(test, arch_direct_map_block_unmap(block), 0);
}

/*
 * What the hint says of the block, which others may own, as a block chooser asks
 * for it.
 */
static enum direct_map_block kind_of(const struct page *block)
{
	static DEFINE_RAW_SPINLOCK(lock);

	guard(raw_spinlock_irqsave)(&lock);
	return arch_direct_map_block_kind(block);
}

/* @block is of @kind, and arch_direct_map_block_prepare() finds the same. */
static void expect_kind(struct kunit *test, const struct page *block,
			enum direct_map_block kind, const char *how)
{
	int err;

	KUNIT_EXPECT_EQ_MSG(test, kind_of(block), kind, "%s", how);
	err = arch_direct_map_block_prepare(block);
	if (kind == DIRECT_MAP_BLOCK_FIXED) {
		KUNIT_EXPECT_TRUE_MSG(test, err == -EBUSY || err == -EINVAL,
				      "%s: %d", how, err);
		/* Nothing was changed */
		KUNIT_EXPECT_EQ_MSG(test, kind_of(block), kind, "%s", how);
	} else {
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s", how);
		KUNIT_EXPECT_EQ_MSG(test, kind_of(block), DIRECT_MAP_BLOCK_PLAIN,
				    "%s, prepared", how);
	}
}

static unsigned long event(enum vm_event_item item)
{
	static unsigned long events[NR_VM_EVENT_ITEMS];

	all_vm_events(events);
	return events[item];
}

/* DirectMap4k of /proc/meminfo, in kB */
static unsigned long small_kb(struct kunit *test)
{
	char buf[512] = "", *line;
	struct seq_file m = { .buf = buf, .size = sizeof(buf) - 1 };
	unsigned long kb = 0;

	arch_report_meminfo(&m);
	line = strstr(buf, "DirectMap4k:");
	KUNIT_EXPECT_NOT_NULL(test, line);
	if (line)
		KUNIT_EXPECT_EQ(test, sscanf(line, "DirectMap4k: %lu", &kb), 1);
	return kb;
}

static void round_trip(struct kunit *test)
{
	struct page *block = alloc_prepared(test);
	unsigned long addr = addr_of(block), *mem = (void *)addr, i;
	unsigned long splits = event(DIRECT_MAP_LEVEL2_SPLIT);
	u64 before, below, above;
	unsigned int level;

	for (i = 0; i < PMD_SIZE / sizeof(*mem); i++)
		mem[i] = PATTERN ^ i;
	before = entry_of(addr, &level);
	KUNIT_ASSERT_EQ(test, level, PG_LEVEL_2M);
	below = entry_of(addr - PMD_SIZE, &level);
	above = entry_of(addr + PMD_SIZE, &level);

	unmap(test, block);
	arch_direct_map_flush(block, 1);
	KUNIT_EXPECT_FALSE(test, arch_direct_map_block_mapped(block));
	for (i = 0; i < BLOCK_PAGES; i++) {
		/* As other walkers see it: nothing there */
		KUNIT_ASSERT_NULL(test, lookup_address(addr + i * PAGE_SIZE, &level));
		KUNIT_ASSERT_EQ(test, level, PG_LEVEL_2M);
		KUNIT_ASSERT_FALSE(test, kernel_page_present(block + i));
		KUNIT_ASSERT_FALSE(test, can_read(addr + i * PAGE_SIZE));
	}
	KUNIT_EXPECT_EQ(test, entry_of(addr - PMD_SIZE, &level), below);
	KUNIT_EXPECT_EQ(test, entry_of(addr + PMD_SIZE, &level), above);

	arch_direct_map_block_remap(block);
	KUNIT_EXPECT_TRUE(test, arch_direct_map_block_mapped(block));
	KUNIT_EXPECT_EQ(test, entry_of(addr, &level), before);
	KUNIT_EXPECT_EQ(test, level, PG_LEVEL_2M);
	KUNIT_EXPECT_EQ(test, entry_of(addr - PMD_SIZE, &level), below);
	KUNIT_EXPECT_EQ(test, entry_of(addr + PMD_SIZE, &level), above);
	for (i = 0; i < PMD_SIZE / sizeof(*mem); i++)
		if (mem[i] != (PATTERN ^ i))
			break;
	KUNIT_EXPECT_EQ(test, i, PMD_SIZE / sizeof(*mem));
	mem[0] = 0;
	KUNIT_EXPECT_EQ(test, entry_of(addr, &level), before);
	KUNIT_EXPECT_EQ(test, event(DIRECT_MAP_LEVEL2_SPLIT), splits);
}

/* Many blocks, one shootdown, and nothing but these blocks is gone. */
static void span(struct kunit *test)
{
	struct page *block[16], *low = NULL, *high = NULL;
	u64 before[ARRAY_SIZE(block)];
	unsigned int i, level;

	for (i = 0; i < ARRAY_SIZE(block); i++) {
		block[i] = alloc_prepared(test);
		before[i] = entry_of(addr_of(block[i]), &level);
		if (!low || block[i] < low)
			low = block[i];
		if (!high || block[i] > high)
			high = block[i];
	}
	for (i = 0; i < ARRAY_SIZE(block); i += 2) {
		/* Something to forget, of the last ones at least */
		KUNIT_EXPECT_EQ(test, can_read_block(block[i]), 4);
		unmap(test, block[i]);
	}
	arch_direct_map_flush(low, (high - low) / BLOCK_PAGES + 1);
	for (i = 0; i < ARRAY_SIZE(block); i++)
		KUNIT_EXPECT_EQ(test, can_read_block(block[i]), i % 2 ? 4 : 0);
	for (i = 0; i < ARRAY_SIZE(block); i += 2)
		arch_direct_map_block_remap(block[i]);
	for (i = 0; i < ARRAY_SIZE(block); i++) {
		KUNIT_EXPECT_EQ(test, can_read_block(block[i]), 4);
		KUNIT_EXPECT_EQ(test, entry_of(addr_of(block[i]), &level), before[i]);
	}
}

static atomic_t readable;

static void probe_this_cpu(void *block)
{
	if (can_read_block(block))
		atomic_inc(&readable);
}

/* How many CPUs can read the block. */
static int probe_cpus(struct page *block)
{
	atomic_set(&readable, 0);
	on_each_cpu(probe_this_cpu, block, 1);
	return atomic_read(&readable);
}

static void stale_tlb(struct kunit *test)
{
	struct page *block = alloc_prepared(test);
	int i;

	cpus_read_lock();
	for (i = 0; i < 100; i++) {
		/* Each CPU has the translation now, and only memory changes. */
		KUNIT_EXPECT_EQ(test, probe_cpus(block), num_online_cpus());
		if (!i)
			unmap(test, block);
		else
			KUNIT_EXPECT_EQ(test, arch_direct_map_block_unmap(block), 0);
		arch_direct_map_flush(block, 1);
		KUNIT_EXPECT_EQ(test, probe_cpus(block), 0);
		/* No CPU remembers that it was not present */
		arch_direct_map_block_remap(block);
		KUNIT_EXPECT_EQ(test, probe_cpus(block), num_online_cpus());
	}
	cpus_read_unlock();
}

/* The test above would see a missing flush. */
static void stale_tlb_is_seen(struct kunit *test)
{
	struct page *block = alloc_prepared(test);
	int i, stale = 0;

	cpus_read_lock();
	for (i = 0; i < 100; i++) {
		probe_cpus(block);
		if (!i)
			unmap(test, block);
		else
			KUNIT_EXPECT_EQ(test, arch_direct_map_block_unmap(block), 0);
		stale = max(stale, probe_cpus(block));
		arch_direct_map_flush(block, 1);
		KUNIT_EXPECT_EQ(test, probe_cpus(block), 0);
		arch_direct_map_block_remap(block);
	}
	cpus_read_unlock();
	kunit_info(test, "%d of %u CPUs had a stale translation before the flush",
		   stale, num_online_cpus());
	if (!stale)
		kunit_skip(test, "this machine keeps no stale translations");
}

static void remap_hardirq(void *arg)
{
	arch_direct_map_block_remap(arg);
}

static void remap_anywhere(struct kunit *test)
{
	static DEFINE_RAW_SPINLOCK(lock);
	struct page *block = alloc_prepared(test);
	unsigned int level, cpu;
	unsigned long flags;
	u64 before = entry_of(addr_of(block), &level);

	unmap(test, block);
	arch_direct_map_flush(block, 1);
	raw_spin_lock_irqsave(&lock, flags);
	arch_direct_map_block_remap(block);
	raw_spin_unlock_irqrestore(&lock, flags);
	KUNIT_EXPECT_EQ(test, entry_of(addr_of(block), &level), before);

	KUNIT_ASSERT_EQ(test, arch_direct_map_block_unmap(block), 0);
	arch_direct_map_flush(block, 1);
	/* Another CPU's interrupt, where there is another */
	cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	if (cpu >= nr_cpu_ids)
		remap_hardirq(block);
	else
		smp_call_function_single(cpu, remap_hardirq, block, 1);
	KUNIT_EXPECT_EQ(test, entry_of(addr_of(block), &level), before);
	KUNIT_EXPECT_EQ(test, can_read_block(block), 4);
}

/*
 * Make 4 KiB pieces of the block one entry again, if it is mapped. Pages that
 * were not present have lost the global bit; set_memory_rox() collapses; the
 * processor sets the dirty bit that it cleared.
 */
static int make_whole(struct page *block)
{
	unsigned long addr = addr_of(block);
	int err = 0;

	if (pgprot_val(canon_pgprot(PAGE_KERNEL)) & _PAGE_GLOBAL)
		err = set_memory_global(addr, BLOCK_PAGES);
	err = err ?: set_memory_rox(addr, BLOCK_PAGES) ?:
	      set_memory_nx(addr, BLOCK_PAGES) ?:
	      set_memory_rw(addr, BLOCK_PAGES);
	copy_to_kernel_nofault((void *)addr, &err, sizeof(err));
	return err;
}

static void pieces_are_passed_over(struct kunit *test)
{
	struct page *block = alloc_prepared(test);
	unsigned long addr = addr_of(block);
	unsigned int level;
	u64 entry = entry_of(addr, &level);

	/* Changed between prepare and unmap, as memory_failure() might */
	KUNIT_ASSERT_EQ(test, set_memory_ro(addr + PAGE_SIZE, 1), 0);
	KUNIT_EXPECT_EQ(test, arch_direct_map_block_unmap(block), -EBUSY);
	KUNIT_EXPECT_EQ(test, arch_direct_map_block_prepare(block), -EBUSY);
	KUNIT_EXPECT_EQ(test, can_read_block(block), 4);
	entry_of(addr, &level);
	KUNIT_EXPECT_EQ(test, level, PG_LEVEL_4K);

	/* The same permissions again, but in pieces */
	KUNIT_ASSERT_EQ(test, set_memory_rw(addr + PAGE_SIZE, 1), 0);
	KUNIT_EXPECT_EQ(test, arch_direct_map_block_prepare(block), -EBUSY);

	/* In one piece, but not writable */
	KUNIT_ASSERT_EQ(test, set_memory_rox(addr, BLOCK_PAGES), 0);
	entry_of(addr, &level);
	KUNIT_EXPECT_EQ(test, level, PG_LEVEL_2M);
	KUNIT_EXPECT_EQ(test, arch_direct_map_block_prepare(block), -EBUSY);
	KUNIT_EXPECT_EQ(test, arch_direct_map_block_unmap(block), -EBUSY);
	KUNIT_EXPECT_EQ(test, can_read_block(block), 4);

	KUNIT_EXPECT_EQ(test, make_whole(block), 0);
	KUNIT_EXPECT_EQ(test, entry_of(addr, &level), entry);
	KUNIT_EXPECT_EQ(test, arch_direct_map_block_prepare(block), 0);
}

/* The kernel image has an alias, and the lowest memory is in pieces. */
static void image_is_passed_over(struct kunit *test)
{
	phys_addr_t pa = ALIGN_DOWN(__pa_symbol(_text), PMD_SIZE);
	phys_addr_t end = __pa_symbol(_brk_end);

	for (; pa < end; pa += PMD_SIZE)
		KUNIT_EXPECT_EQ(test, arch_direct_map_block_prepare(phys_to_page(pa)),
				-EINVAL);
	if (pfn_valid(0))
		KUNIT_EXPECT_LT(test, arch_direct_map_block_prepare(pfn_to_page(0)), 0);
}

static void kind_plain(struct kunit *test)
{
	struct page *block = alloc_prepared(test);

	expect_kind(test, block, DIRECT_MAP_BLOCK_PLAIN, "ordinary");

	/* ... and so it is again after a flip */
	unmap(test, block);
	arch_direct_map_flush(block, 1);
	arch_direct_map_block_remap(block);
	expect_kind(test, block, DIRECT_MAP_BLOCK_PLAIN, "remapped");
}

static void kind_fixed(struct kunit *test)
{
	struct page *block = alloc_prepared(test);
	unsigned long addr = addr_of(block);

	unmap(test, block);
	arch_direct_map_flush(block, 1);
	expect_kind(test, block, DIRECT_MAP_BLOCK_FIXED, "unmapped");
	arch_direct_map_block_remap(block);

	KUNIT_ASSERT_EQ(test, set_memory_ro(addr + PAGE_SIZE, 1), 0);
	expect_kind(test, block, DIRECT_MAP_BLOCK_FIXED, "a page is read-only");
	KUNIT_ASSERT_EQ(test, set_memory_rw(addr + PAGE_SIZE, 1), 0);
	expect_kind(test, block, DIRECT_MAP_BLOCK_FIXED, "in pieces");
	KUNIT_ASSERT_EQ(test, set_memory_rox(addr, BLOCK_PAGES), 0);
	expect_kind(test, block, DIRECT_MAP_BLOCK_FIXED, "read-only in one piece");
	KUNIT_ASSERT_EQ(test, make_whole(block), 0);
	expect_kind(test, block, DIRECT_MAP_BLOCK_PLAIN, "whole again");

	/* Last: this stays */
	KUNIT_ASSERT_EQ(test, set_memory_4k(addr, 1), 0);
	expect_kind(test, block, DIRECT_MAP_BLOCK_FIXED, "a page is 4 KiB on purpose");
}

/* Whatever maps the image in the direct map, it is mapped elsewhere too. */
static void kind_fixed_image(struct kunit *test)
{
	phys_addr_t pa = ALIGN_DOWN(__pa_symbol(_text), PMD_SIZE);
	phys_addr_t end = __pa_symbol(_brk_end);

	for (; pa < end; pa += PMD_SIZE)
		expect_kind(test, phys_to_page(pa), DIRECT_MAP_BLOCK_FIXED, "image");
}

/* What others do to a page by its number leaves an unmapped block alone. */
static void others_pass_over_unmapped(struct kunit *test)
{
	struct page *block = alloc_prepared(test);
	unsigned long pfn = page_to_pfn(block) + 7;
	unsigned int level;
	u64 before = entry_of(addr_of(block), &level);

	unmap(test, block);
	arch_direct_map_flush(block, 1);
	KUNIT_EXPECT_EQ(test, set_mce_nospec(pfn), 0);
	KUNIT_EXPECT_FALSE(test, arch_direct_map_block_mapped(block));
	KUNIT_EXPECT_EQ(test, clear_mce_nospec(pfn), 0);
	KUNIT_EXPECT_FALSE(test, arch_direct_map_block_mapped(block));
	KUNIT_EXPECT_EQ(test, set_direct_map_default_noflush(block), 0);
	KUNIT_EXPECT_EQ(test, set_direct_map_valid_noflush(block, BLOCK_PAGES, true), 0);
	KUNIT_EXPECT_FALSE(test, arch_direct_map_block_mapped(block));
	KUNIT_EXPECT_EQ(test, can_read_block(block), 0);
	arch_direct_map_block_remap(block);
	KUNIT_EXPECT_EQ(test, entry_of(addr_of(block), &level), before);
}

/* Threads that work on blocks until told to stop. */
struct worker {
	struct task_struct *task;
	int (*fn)(struct worker *w);
	struct page *block;
	unsigned long rounds, refused;
	int err;
};

static int worker_thread(void *data)
{
	struct worker *w = data;

	while (!kthread_should_stop()) {
		w->err = w->fn(w);
		if (w->err)
			break;
		w->rounds++;
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void run_workers(struct kunit *test, struct worker *w, unsigned int nr,
			unsigned int msecs)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		w[i].task = kthread_run(worker_thread, &w[i], "direct_map/%u", i);
		if (IS_ERR(w[i].task))
			KUNIT_FAIL(test, "no thread");
	}
	schedule_timeout_uninterruptible(msecs_to_jiffies(msecs));
	for (i = 0; i < nr; i++)
		if (!IS_ERR(w[i].task))
			kthread_stop(w[i].task);
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_EQ_MSG(test, w[i].err, 0, "thread %u", i);
		KUNIT_EXPECT_GT_MSG(test, w[i].rounds, 0, "thread %u", i);
	}
}

/* Flip a block that nobody else works on. */
static int flip(struct worker *w)
{
	unsigned int level;
	u64 before;

	if (arch_direct_map_block_prepare(w->block))
		return -EIO;
	before = entry_of(addr_of(w->block), &level);
	if (level != PG_LEVEL_2M || arch_direct_map_block_unmap(w->block))
		return -EILSEQ;
	arch_direct_map_flush(w->block, 1);
	if (can_read_block(w->block) || arch_direct_map_block_mapped(w->block))
		return -EFAULT;
	cond_resched();
	if (can_read_block(w->block) || arch_direct_map_block_mapped(w->block))
		return -EFAULT;
	arch_direct_map_block_remap(w->block);
	if (entry_of(addr_of(w->block), &level) != before || level != PG_LEVEL_2M)
		return -EINVAL;
	return can_read_block(w->block) == 4 ? 0 : -ENODATA;
}

/* Flip a block that others split and collapse: some attempts are refused. */
static int flip_contested(struct worker *w)
{
	if (arch_direct_map_block_prepare(w->block) ||
	    arch_direct_map_block_unmap(w->block)) {
		w->refused++;
		/* Half of the attempts meet the others in the middle. */
		if (w->rounds % 2)
			schedule_timeout_uninterruptible(1);
		return 0;
	}
	arch_direct_map_flush(w->block, 1);
	if (can_read_block(w->block) || arch_direct_map_block_mapped(w->block))
		return -EFAULT;
	cond_resched();
	if (can_read_block(w->block) || arch_direct_map_block_mapped(w->block))
		return -EFAULT;
	arch_direct_map_block_remap(w->block);
	/* Time for the others to find it mapped */
	if (w->rounds % 2)
		schedule_timeout_uninterruptible(1);
	return 0;
}

/* What memory_failure() does, to any page */
static int split_any(struct worker *w)
{
	unsigned long pfn = page_to_pfn(w->block) + 1;

	/* So that the block can become whole in between */
	schedule_timeout_uninterruptible(2);
	return set_mce_nospec(pfn) ?: clear_mce_nospec(pfn);
}

static int collapse_any(struct worker *w)
{
	schedule_timeout_uninterruptible(1);
	return make_whole(w->block);
}

/* Split and collapse a block of one's own. */
static int split_collapse(struct worker *w)
{
	unsigned long addr = addr_of(w->block);
	unsigned int level;
	int err;

	err = set_memory_ro(addr + 3 * PAGE_SIZE, 1);
	if (err)
		return err;
	entry_of(addr, &level);
	if (level != PG_LEVEL_4K)
		return -EINVAL;
	err = make_whole(w->block);
	entry_of(addr, &level);
	return err ?: level == PG_LEVEL_2M ? 0 : -EINVAL;
}

/* 4 KiB pieces that stay. */
static int small_pages(struct worker *w)
{
	unsigned long addr = addr_of(w->block) + w->rounds % BLOCK_PAGES * PAGE_SIZE;

	return set_memory_4k(addr, 1) ?: set_memory_ro(addr, 1) ?:
	       set_memory_rw(addr, 1);
}

static struct page *alloc_in_gib(struct kunit *test, const struct page *of)
{
	struct page *block;
	unsigned long i;

	for (i = 0; i < MAX_BLOCKS; i++) {
		block = alloc_prepared(test);
		if (same_gib(block, of))
			return block;
	}
	kunit_skip(test, "no blocks in the same 1 GiB");
	return NULL;
}

static void races_with_neighbours(struct kunit *test)
{
	struct worker w[] = {
		{ .fn = flip }, { .fn = flip },
		{ .fn = split_collapse }, { .fn = split_collapse },
		{ .fn = small_pages },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(w); i++)
		w[i].block = i ? alloc_in_gib(test, w[0].block) : alloc_prepared(test);
	run_workers(test, w, ARRAY_SIZE(w), 3000);
	kunit_info(test, "%lu and %lu flips beside %lu, %lu and %lu changes\n",
		   w[0].rounds, w[1].rounds, w[2].rounds, w[3].rounds, w[4].rounds);
}

static void races_on_one_block(struct kunit *test)
{
	struct worker w[] = {
		{ .fn = flip_contested }, { .fn = split_any },
		{ .fn = collapse_any },
	};
	struct page *block = alloc_prepared(test);
	unsigned int i, level;
	u64 before = entry_of(addr_of(block), &level);
	unsigned long small = small_kb(test);

	KUNIT_ASSERT_EQ(test, kunit_add_action(test, remap_if_unmapped, block), 0);
	for (i = 0; i < ARRAY_SIZE(w); i++)
		w[i].block = block;
	run_workers(test, w, ARRAY_SIZE(w), 3000);
	kunit_info(test, "%lu flips tried, %lu refused, beside %lu splits and %lu collapses\n",
		   w[0].rounds, w[0].refused, w[1].rounds, w[2].rounds);
	KUNIT_EXPECT_GT(test, w[0].refused, 0);
	KUNIT_EXPECT_LT(test, w[0].refused, w[0].rounds);

	KUNIT_EXPECT_TRUE(test, arch_direct_map_block_mapped(block));
	KUNIT_EXPECT_EQ(test, set_memory_ro(addr_of(block) + PAGE_SIZE, 1), 0);
	KUNIT_EXPECT_EQ(test, make_whole(block), 0);
	KUNIT_EXPECT_EQ(test, entry_of(addr_of(block), &level), before);
	KUNIT_EXPECT_EQ(test, can_read_block(block), 4);
	/* All that was split is whole again, whoever split it */
	KUNIT_EXPECT_EQ(test, small_kb(test), small);
}

static int prepare_once(struct worker *w)
{
	return arch_direct_map_block_prepare(w->block);
}

/* Blocks that one 1 GiB entry maps, or no return. */
static void alloc_large(struct kunit *test, struct worker *w, unsigned int wanted)
{
	unsigned int level, nr = 0;
	struct page *block;

	for (int i = 0; i < MAX_BLOCKS && nr < wanted; i++) {
		block = alloc_block(test);
		if (!block)
			break;
		entry_of(addr_of(block), &level);
		if (level == PG_LEVEL_1G && (!nr || same_gib(block, w[0].block)))
			w[nr++].block = block;
	}
	if (nr < wanted)
		kunit_skip(test, "no 1 GiB entry in the direct map");
}

static bool mend_gib(unsigned long addr)
{
	unsigned long pfn = PHYS_PFN(__pa(addr & PUD_MASK));
	bool mended;

	get_online_mems();
	mended = arch_direct_map_mend(pfn, pfn + PUD_SIZE / PAGE_SIZE);
	put_online_mems();
	return mended;
}

static void gib_entry(struct kunit *test)
{
	struct worker w[4] = { };
	const unsigned int nr = ARRAY_SIZE(w);
	unsigned long splits, l2splits, addr, i;
	unsigned int level;
	u64 entry;

	alloc_large(test, w, nr);
	addr = addr_of(w[0].block) & PUD_MASK;
	entry = entry_of(addr, &level);
	splits = event(DIRECT_MAP_LEVEL3_SPLIT);
	l2splits = event(DIRECT_MAP_LEVEL2_SPLIT);

	/* All at once, and one of them splits. */
	for (i = 0; i < nr; i++)
		w[i].fn = prepare_once;
	run_workers(test, w, nr, 100);

	for (i = 0; i < PTRS_PER_PMD; i++) {
		KUNIT_ASSERT_EQ(test, entry_of(addr + i * PMD_SIZE, &level),
				entry + i * PMD_SIZE);
		KUNIT_ASSERT_EQ(test, level, PG_LEVEL_2M);
	}
	/* Linux doesn't count what happens during boot. */
	if (system_state == SYSTEM_RUNNING)
		KUNIT_EXPECT_EQ(test, event(DIRECT_MAP_LEVEL3_SPLIT), splits + 1);
	KUNIT_EXPECT_EQ(test, event(DIRECT_MAP_LEVEL2_SPLIT), l2splits);

	for (i = 0; i < nr; i++)
		unmap(test, w[i].block);
	arch_direct_map_flush(pfn_to_page(PHYS_PFN(__pa(addr))), PTRS_PER_PMD);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, can_read_block(w[i].block), 0);
	for (i = 0; i < nr; i++)
		arch_direct_map_block_remap(w[i].block);
	for (i = 0; i < PTRS_PER_PMD; i++)
		KUNIT_ASSERT_EQ(test, entry_of(addr + i * PMD_SIZE, &level),
				entry + i * PMD_SIZE);

	/* One block that is not there is enough to keep the table */
	KUNIT_ASSERT_EQ(test, arch_direct_map_block_unmap(w[0].block), 0);
	arch_direct_map_flush(w[0].block, 1);
	KUNIT_EXPECT_FALSE(test, mend_gib(addr));
	KUNIT_EXPECT_EQ(test, entry_of(addr + PUD_SIZE - PMD_SIZE, &level),
			entry + PUD_SIZE - PMD_SIZE);
	arch_direct_map_block_remap(w[0].block);

	/* ... and then it is what it was in every bit */
	KUNIT_EXPECT_TRUE(test, mend_gib(addr));
	KUNIT_EXPECT_EQ(test, entry_of(addr, &level), entry);
	KUNIT_EXPECT_EQ(test, level, PG_LEVEL_1G);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, can_read_block(w[i].block), 4);
	KUNIT_EXPECT_FALSE(test, mend_gib(addr));
}

/* How many blocks of the 1 GiB around @addr are of @kind. */
static unsigned int count_kind(unsigned long addr, enum direct_map_block kind)
{
	struct page *block = virt_to_page((void *)(addr & PUD_MASK));
	unsigned int n = 0;

	for (int i = 0; i < PTRS_PER_PMD; i++)
		n += kind_of(block + i * BLOCK_PAGES) == kind;
	return n;
}

static void kind_large(struct kunit *test)
{
	struct worker w = { };
	unsigned long addr;

	alloc_large(test, &w, 1);
	addr = addr_of(w.block);
	KUNIT_EXPECT_EQ(test, count_kind(addr, DIRECT_MAP_BLOCK_LARGE), PTRS_PER_PMD);

	/* One of them is prepared, for which all are split */
	expect_kind(test, w.block, DIRECT_MAP_BLOCK_LARGE, "1 GiB entry");
	KUNIT_EXPECT_EQ(test, count_kind(addr, DIRECT_MAP_BLOCK_PLAIN), PTRS_PER_PMD);

	unmap(test, w.block);
	arch_direct_map_flush(w.block, 1);
	KUNIT_EXPECT_EQ(test, kind_of(w.block), DIRECT_MAP_BLOCK_FIXED);
	KUNIT_EXPECT_EQ(test, count_kind(addr, DIRECT_MAP_BLOCK_PLAIN), PTRS_PER_PMD - 1);
	arch_direct_map_block_remap(w.block);

	KUNIT_EXPECT_TRUE(test, mend_gib(addr));
	KUNIT_EXPECT_EQ(test, count_kind(addr, DIRECT_MAP_BLOCK_LARGE), PTRS_PER_PMD);
}

static int mend_again(struct worker *w)
{
	if (!mend_gib(addr_of(w->block)))
		w->refused++;
	return 0;
}

/* As those do who walk page tables without a lock. */
static int walk(struct worker *w)
{
	unsigned long addr = addr_of(w->block);
	u64 want = pmd_val(pfn_pmd(page_to_pfn(w->block), PAGE_KERNEL_LARGE));
	u64 want_gib = want - (addr & ~PUD_MASK);
	unsigned int level;
	pte_t *pte;
	u64 entry;

	for (int i = 0; i < 100; i++) {
		pte = lookup_address(addr, &level);
		if (!pte)
			return -ENOENT;
		/* Time for the table to go */
		udelay(20);
		entry = pte_val(READ_ONCE(*pte)) | _PAGE_ACCESSED | _PAGE_DIRTY;
		/* Split under our eyes, it is the table's address */
		if (level == PG_LEVEL_1G && !(entry & _PAGE_PSE))
			continue;
		if (entry != (level == PG_LEVEL_1G ? want_gib : want))
			return -EINVAL;
	}
	/* Mending waits for every task to pause */
	schedule_timeout_uninterruptible(1);
	return 0;
}

/* Splits, flips, mends, and walks without a lock at the same time. */
static void races_with_mending(struct kunit *test)
{
	struct worker w[4] = { };
	unsigned long collapses;

	alloc_large(test, w, ARRAY_SIZE(w));
	collapses = event(DIRECT_MAP_LEVEL3_COLLAPSE);
	w[0].fn = flip_contested;
	w[1].fn = flip_contested;
	w[2].fn = mend_again;
	w[3].fn = walk;
	run_workers(test, w, ARRAY_SIZE(w), 3000);
	kunit_info(test, "%lu flips, %lu refused, mended %lu times", w[0].rounds +
		   w[1].rounds, w[0].refused + w[1].refused,
		   w[2].rounds - w[2].refused);
	KUNIT_EXPECT_GT(test, w[2].rounds, w[2].refused);
	if (system_state == SYSTEM_RUNNING)
		KUNIT_EXPECT_GT(test, event(DIRECT_MAP_LEVEL3_COLLAPSE), collapses);
	while (mend_gib(addr_of(w[0].block)))
		;
}

static int direct_map_test_init(struct kunit *test)
{
	if (!arch_direct_map_can_flip())
		kunit_skip(test, "this machine cannot flip pageblocks");
	return 0;
}

/* A page of the block is not mapped again, ever: the others are, by themselves. */
static void remap_pieces(struct kunit *test)
{
	const unsigned int bad[] = { 0, 7, BLOCK_PAGES - 1 };
	struct page *block = alloc_prepared(test);
	unsigned long addr = addr_of(block);
	DECLARE_BITMAP(absent, BLOCK_PAGES);
	unsigned long small;
	unsigned int level;
	void *table;

	bitmap_zero(absent, BLOCK_PAGES);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		__set_bit(bad[i], absent);
	memset((void *)addr, 0x5a, PMD_SIZE);
	small = small_kb(test);

	unmap(test, block);
	arch_direct_map_flush(block, 1);
	table = arch_direct_map_pieces_prepare();
	KUNIT_ASSERT_NOT_NULL(test, table);
	arch_direct_map_block_remap_pieces(block, table, absent);
	arch_direct_map_pieces_finish(table, absent);
	KUNIT_EXPECT_EQ(test, small_kb(test) - small,
			(BLOCK_PAGES - ARRAY_SIZE(bad)) * (PAGE_SIZE / SZ_1K));

	for (unsigned int i = 0; i < BLOCK_PAGES; i++) {
		u64 entry = entry_of(addr + i * PAGE_SIZE, &level);

		KUNIT_EXPECT_EQ(test, level, PG_LEVEL_4K);
		KUNIT_EXPECT_EQ(test, can_read(addr + i * PAGE_SIZE), !test_bit(i, absent));
		if (test_bit(i, absent))
			KUNIT_EXPECT_EQ(test, entry, 0);
		else
			KUNIT_EXPECT_NULL(test, memchr_inv((void *)addr + i * PAGE_SIZE,
							   0x5a, PAGE_SIZE));
	}
	/* As any that is in pieces */
	expect_kind(test, block, DIRECT_MAP_BLOCK_FIXED, "in pieces");

	/* The pages are the test's: back with them, and the block in one piece */
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		set_pte(lookup_address(addr + bad[i] * PAGE_SIZE, &level),
			mk_pte(block + bad[i], PAGE_KERNEL));
	update_page_count(PG_LEVEL_4K, ARRAY_SIZE(bad));
	KUNIT_EXPECT_EQ(test, can_read_block(block), 4);
	KUNIT_EXPECT_EQ(test, set_memory_rox(addr, BLOCK_PAGES), 0);
	KUNIT_EXPECT_EQ(test, make_whole(block), 0);
	expect_kind(test, block, DIRECT_MAP_BLOCK_PLAIN, "whole again");
}

static long nr_tables(void)
{
	return global_node_page_state_pages(NR_PAGETABLE);
}

/* What was got ready for that and not used is nowhere. */
static void remap_pieces_cancelled(struct kunit *test)
{
	const long lag = 128 * num_online_cpus(), tables = 4 * lag;
	struct page *block = alloc_prepared(test);
	unsigned long small = small_kb(test);
	long before = nr_tables();
	void *table;

	unmap(test, block);
	for (long i = 0; i < tables; i++) {
		table = arch_direct_map_pieces_prepare();
		KUNIT_ASSERT_NOT_NULL(test, table);
		arch_direct_map_pieces_finish(table, NULL);
	}
	arch_direct_map_block_remap(block);
	expect_kind(test, block, DIRECT_MAP_BLOCK_PLAIN, "whole");
	KUNIT_EXPECT_EQ(test, small_kb(test), small);
	/* A worker frees them, and what each CPU has counted comes later */
	for (int i = 0; i < 100 && nr_tables() - before >= lag; i++)
		msleep(20);
	KUNIT_EXPECT_LT(test, nr_tables() - before, lag);
}

static struct kunit_case direct_map_test_cases[] = {
	/* First, as the others split 1 GiB entries */
	KUNIT_CASE(gib_entry),
	KUNIT_CASE(kind_large),
	KUNIT_CASE_SLOW(races_with_mending),
	KUNIT_CASE(round_trip),
	KUNIT_CASE(span),
	KUNIT_CASE(stale_tlb),
	KUNIT_CASE(stale_tlb_is_seen),
	KUNIT_CASE(remap_anywhere),
	KUNIT_CASE(remap_pieces),
	KUNIT_CASE(remap_pieces_cancelled),
	KUNIT_CASE(pieces_are_passed_over),
	KUNIT_CASE(image_is_passed_over),
	KUNIT_CASE(kind_plain),
	KUNIT_CASE(kind_fixed),
	KUNIT_CASE(kind_fixed_image),
	KUNIT_CASE(others_pass_over_unmapped),
	KUNIT_CASE_SLOW(races_with_neighbours),
	KUNIT_CASE_SLOW(races_on_one_block),
	{}
};

static struct kunit_suite direct_map_test_suite = {
	.name = "direct_map",
	.init = direct_map_test_init,
	.test_cases = direct_map_test_cases,
};

kunit_test_suite(direct_map_test_suite);
