// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes memory as the receive path of a busy network card does: on each CPU, a
 * timer in softirq context takes bursts of GFP_ATOMIC pages, single ones mostly,
 * and keeps them for a while, as sockets do with what nobody has read yet. The
 * oldest are freed first; now and then somebody reads all that is there.
 *
 * Counts what was asked for and what was not had: debugfs atomic_load/stats, and
 * the kernel's log when it is unloaded. What is drawn depends on the seed alone.
 *
 * For test machines: CPUs that come later have no load.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>

#define NR_ORDERS	4
/* Bytes written to each page: it has to be one that the kernel can reach */
#define HEADER		64
/* The reader wakes up once in that many bursts */
#define READ_EVERY	64

static unsigned int period_us = 4000;
module_param(period_us, uint, 0444);
MODULE_PARM_DESC(period_us, "microseconds between two bursts of a CPU");

static unsigned int burst = 64;
module_param(burst, uint, 0444);
MODULE_PARM_DESC(burst, "most allocations of a burst");

static unsigned int depth = 2048;
module_param(depth, uint, 0444);
MODULE_PARM_DESC(depth, "most pages that a CPU's queue holds");

static unsigned int high = 64;
module_param(high, uint, 0444);
MODULE_PARM_DESC(high, "allocations in 1024 that are of order 1 to 3");

static unsigned long seed = 1;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "what the load is drawn from");

struct load_slot {
	struct page *page;
	unsigned int order;
};

struct load_cpu {
	struct hrtimer timer;
	u64 rng;
	unsigned long attempts[NR_ORDERS];
	unsigned long failures[NR_ORDERS];
	unsigned long bursts;
	/* The queue: at most depth pages, hence at most depth slots */
	struct load_slot *ring;
	unsigned int oldest;
	unsigned int nr;
	unsigned int held;
};

static DEFINE_PER_CPU(struct load_cpu, load_cpus);
static struct dentry *load_dir;

/* xorshift64: below @limit */
static unsigned int draw(struct load_cpu *cpu, unsigned int limit)
{
	cpu->rng ^= cpu->rng << 13;
	cpu->rng ^= cpu->rng >> 7;
	cpu->rng ^= cpu->rng << 17;
	return mul_u64_u32_shr(cpu->rng >> 32, limit, 32);
}

static void free_oldest(struct load_cpu *cpu)
{
	struct load_slot *slot = &cpu->ring[cpu->oldest];

	cpu->held -= 1U << slot->order;
	__free_pages(slot->page, slot->order);
	if (++cpu->oldest == depth)
		cpu->oldest = 0;
	cpu->nr--;
}

static void read_down_to(struct load_cpu *cpu, unsigned int pages)
{
	while (cpu->held > pages)
		free_oldest(cpu);
}

static void receive(struct load_cpu *cpu)
{
	unsigned int order = 0;
	gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN;
	struct load_slot *slot;
	struct page *page;

	if (draw(cpu, 1024) < high) {
		order = 1 + draw(cpu, NR_ORDERS - 1);
		gfp |= __GFP_COMP;
	}

	cpu->attempts[order]++;
	page = alloc_pages(gfp, order);
	if (!page) {
		cpu->failures[order]++;
		return;
	}
	for (unsigned int i = 0; i < 1U << order; i++)
		memset(page_address(page + i), 0x5a, HEADER);

	read_down_to(cpu, depth - (1U << order));
	slot = &cpu->ring[(cpu->oldest + cpu->nr) % depth];
	slot->page = page;
	slot->order = order;
	cpu->nr++;
	cpu->held += 1U << order;
}

static enum hrtimer_restart load_burst(struct hrtimer *timer)
{
	struct load_cpu *cpu = container_of(timer, struct load_cpu, timer);

	for (unsigned int todo = 1 + draw(cpu, burst); todo; todo--)
		receive(cpu);
	if (!draw(cpu, READ_EVERY))
		read_down_to(cpu, draw(cpu, depth));
	cpu->bursts++;

	hrtimer_forward_now(timer, us_to_ktime(period_us));
	return HRTIMER_RESTART;
}

static void load_start(void *unused)
{
	struct load_cpu *cpu = this_cpu_ptr(&load_cpus);

	/* A CPU that came since the queues were made */
	if (!cpu->ring)
		return;
	hrtimer_start(&cpu->timer, us_to_ktime(period_us),
		      HRTIMER_MODE_REL_PINNED_SOFT);
}

static int stats_show(struct seq_file *m, void *unused)
{
	unsigned long attempts[NR_ORDERS] = {}, failures[NR_ORDERS] = {};
	unsigned long bursts = 0, held = 0;
	unsigned int order;
	int nr;

	for_each_possible_cpu(nr) {
		struct load_cpu *cpu = per_cpu_ptr(&load_cpus, nr);

		for (order = 0; order < NR_ORDERS; order++) {
			attempts[order] += READ_ONCE(cpu->attempts[order]);
			failures[order] += READ_ONCE(cpu->failures[order]);
		}
		bursts += READ_ONCE(cpu->bursts);
		held += READ_ONCE(cpu->held);
	}
	for (order = 0; order < NR_ORDERS; order++)
		seq_printf(m, "order %u attempts %lu failures %lu\n", order,
			   attempts[order], failures[order]);
	seq_printf(m, "bursts %lu\n", bursts);
	seq_printf(m, "held %lu\n", held);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static void load_stop(void)
{
	int nr;

	for_each_possible_cpu(nr) {
		struct load_cpu *cpu = per_cpu_ptr(&load_cpus, nr);

		if (!cpu->ring)
			continue;
		hrtimer_cancel(&cpu->timer);
		read_down_to(cpu, 0);
		kvfree(cpu->ring);
		cpu->ring = NULL;
	}
}

static int __init load_init(void)
{
	int nr;

	if (!period_us || !burst || depth < 1U << (NR_ORDERS - 1) || high > 1024)
		return -EINVAL;

	for_each_online_cpu(nr) {
		struct load_cpu *cpu = per_cpu_ptr(&load_cpus, nr);

		cpu->ring = kvcalloc(depth, sizeof(*cpu->ring), GFP_KERNEL);
		if (!cpu->ring) {
			load_stop();
			return -ENOMEM;
		}
		/* Any odd multiple will do, as long as it is not 0 */
		cpu->rng = (2 * seed + 1) * 0x9e3779b97f4a7c15ULL + nr;
		if (!cpu->rng)
			cpu->rng = 1;
		hrtimer_setup(&cpu->timer, load_burst, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_PINNED_SOFT);
	}
	load_dir = debugfs_create_dir("atomic_load", NULL);
	debugfs_create_file("stats", 0444, load_dir, NULL, &stats_fops);
	on_each_cpu(load_start, NULL, 1);
	pr_info("period_us=%u burst=%u depth=%u high=%u seed=%lu\n",
		period_us, burst, depth, high, seed);
	return 0;
}
module_init(load_init);

static void __exit load_exit(void)
{
	unsigned long attempts, failures;
	int nr;

	debugfs_remove(load_dir);
	load_stop();
	for (unsigned int order = 0; order < NR_ORDERS; order++) {
		attempts = 0;
		failures = 0;
		for_each_possible_cpu(nr) {
			attempts += per_cpu(load_cpus, nr).attempts[order];
			failures += per_cpu(load_cpus, nr).failures[order];
		}
		pr_info("order %u attempts %lu failures %lu\n", order, attempts,
			failures);
	}
}
module_exit(load_exit);

MODULE_DESCRIPTION("GFP_ATOMIC load like that of a network card's receive path");
MODULE_LICENSE("GPL");
