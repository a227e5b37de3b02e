// SPDX-License-Identifier: GPL-2.0-only
/* What secret memory costs those who want ordinary memory. */
#include <sched.h>
#include <sys/wait.h>

#include "lib/module.h"
#include "program.h"
#include "unmapped_util.h"
#include "policy.h"

#define THREADS		4
#define BYSTANDER	3		/* a CPU that does nothing of all this */

#define LOOKS		100
#define LIST		48		/* pages on its list, and it keeps 3/4 of these */
#define DRAIN_MORE	1.5
#define DRAIN_CHANCE	10

/* One page of secret memory, on and on. */
static pid_t secret_loop(void)
{
	pid_t pid = child();

	if (!pid) {
		pin(0);
		for (;;)
			secret_page();
	}
	return pid;
}

static void end_of(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

struct drained {
	int emptied;		/* of so many LOOKS at the bystander's list */
	long asked;		/* huge pages, by others */
};

/*
 * Huge pages are asked for, and cannot be made, on all CPUs but one. Look at the
 * lists of that one: pages that it freed stay there, unless somebody else takes
 * them away.
 */
static struct drained demand(struct events *drains, const char *what)
{
	long asked = field(POLICY_DEBUGFS "stats", "asked"), before = events_count(drains);
	struct counts then = counts();
	struct drained d = {};
	double start = now();
	pid_t pids[THREADS];

	for (int i = 0; i < THREADS; i++) {
		pids[i] = child();
		if (!pids[i]) {
			pin(i % BYSTANDER);
			for (;;) {
				write_file(POLICY_DEBUGFS "huge", "4");
				sleep_ms(2);
			}
		}
	}
	pin(BYSTANDER);
	for (int i = 0; i < LOOKS; i++) {
		char *mem = mmap(NULL, LIST * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		long had;

		if (mem == MAP_FAILED)
			die("mmap");
		touch(mem, LIST * PAGE, PATTERN);
		munmap(mem, LIST * PAGE);
		had = listed(BYSTANDER);
		sleep_ms(50);
		d.emptied += listed(BYSTANDER) < had - LIST / 4;
	}
	for (int i = 0; i < THREADS; i++)
		end_of(pids[i]);
	d.asked = field(POLICY_DEBUGFS "stats", "asked") - asked;
	figure("%s: lists of another CPU were emptied %d of %d times; %ld requests, %ld pages drained, %.1f s",
	       what, d.emptied, LOOKS, d.asked, events_count(drains) - before, now() - start);
	print_since(&then, what);
	return d;
}

/* These empty the lists of the CPU that they are on */
static void keep_off(const char *task)
{
	pid_t pid = task_pid(task);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	prepared(pid > 0 && !sched_setaffinity(pid, sizeof(set), &set), "%s is on another CPU", task);
}

/* First version: 0 of 100 times without, 95 beside secret memory, 0 after it. */
int mode_drain(int argc, char **argv)
{
	struct events *drains = events_open("kmem/mm_page_pcpu_drain", NULL);
	struct drained without, beside, after;
	char *secret;
	long kept;
	pid_t pid;

	(void)argc;
	(void)argv;
	plan(2);
	prepared(sysconf(_SC_NPROCESSORS_ONLN) > BYSTANDER, "there are %d CPUs", BYSTANDER + 1);
	module_load("policy_pages", "");
	set_pool_blocks(0);
	keep_off("kswapd0");
	keep_off("kcompactd0");
	/* No huge page is to be had, though there is much free memory */
	pin_blocks();
	do {
		kept = field(POLICY_DEBUGFS "stats", "kept");
		write_file(POLICY_DEBUGFS "huge", "20");
	} while (field(POLICY_DEBUGFS "stats", "kept") > kept);
	figure("%ld huge pages could be had, %ld MiB are free", kept, read_meminfo("MemFree") / 1024);
	prepared(read_meminfo("MemFree") > 128 * 1024, "much memory is free");

	without = demand(drains, "without");
	/* One block for secret memory */
	write_file(POLICY_DEBUGFS "huge", "-1");
	secret = secret_had(PAGE);
	prepared(secret, "a page of secret memory is had");
	pid = secret_loop();
	sleep_ms(200);
	beside = demand(drains, "beside secret memory");
	end_of(pid);
	munmap(secret, PAGE);
	settle();
	after = demand(drains, "after it");
	prepared(without.asked >= 500 && beside.asked >= 500 && after.asked >= 500, "huge pages are asked for");

	judge(beside.emptied <= without.emptied * DRAIN_MORE + DRAIN_CHANCE,
	      "lists are emptied no more often beside secret memory");
	judge(after.emptied <= without.emptied * DRAIN_MORE + DRAIN_CHANCE, "nor after it");
	return verdict();
}

#define STEAL_SECRET	(300 * MiB)
#define PIPES		6000
#define PIPE_BYTES	(64 * KiB)
#define WHOLE_LEFT	512

/* Keeps the demand up, or free memory would not stay unmapped. */
static pid_t now_and_then(int seconds)
{
	pid_t pid = child();

	if (!pid) {
		for (;;) {
			secret_page();
			sleep(seconds);
		}
	}
	return pid;
}

/*
 * First version: 10 fallbacks below a block and watermarks raised by 8192 pages,
 * with 304 MiB free in whole unmapped blocks.
 */
int mode_steal(int argc, char **argv)
{
	struct events *steals = events_open("kmem/mm_page_alloc_extfrag", "fallback_order < 9");
	struct events *all = events_open("kmem/mm_page_alloc_extfrag", NULL);
	struct rlimit files = { 2 * PIPES + 100, 2 * PIPES + 100 };
	long boost = 0, before, before_all, whole, least;
	static char bytes[PIPE_BYTES];
	struct counts then;
	int cache, nr, fds[2];
	char *secret;
	pid_t pid;

	(void)argc;
	(void)argv;
	if (!has_counter(UNMAPPED))
		return skip("this kernel takes single pages off the direct map");
	plan(3);
	prepared(!setrlimit(RLIMIT_NOFILE, &files), "%d pipes may be open", PIPES);
	cache = page_cache();
	/* As much stays unmapped as this says, from when it is known what is let go */
	set_pool_blocks(STEAL_SECRET / BLOCK_SIZE);
	secret = secret_had(STEAL_SECRET);
	prepared(secret, "%lu MiB of secret memory are had", STEAL_SECRET / MiB);
	munmap(secret, STEAL_SECRET);
	settle();
	pid = now_and_then(5);

	/* What is mapped: page cache, every other page of it dropped again */
	whole = counter(UNMAPPED_WHOLE);
	for (;;) {
		struct zone z = large_zone();

		if (ordinary_free(&z) - z.whole < z.high + 16 * MIB_PAGES ||
		    z.whole < whole / 2)
			break;
		page_cache_read(cache, 4 * MiB);
	}
	page_cache_holes(cache);
	whole = least = counter(UNMAPPED_WHOLE);
	figure("%ld MiB free, %ld of them in whole unmapped blocks", read_meminfo("MemFree") / 1024,
	       whole / MIB_PAGES);
	prepared(whole > 2 * WHOLE_LEFT + PIPES * (long)PIPE_BYTES / 2 / (long)PAGE,
		 "free memory is in whole unmapped blocks");

	then = counts();
	before = events_count(steals);
	before_all = events_count(all);
	for (nr = 0; nr < PIPES; nr++) {
		if (pipe(fds) || write(fds[1], bytes, sizeof(bytes)) != sizeof(bytes))
			break;
		if (nr % 10)
			continue;
		least = counter(UNMAPPED_WHOLE);
		if (counter(BOOST) > boost)
			boost = counter(BOOST);
		/* Enough to tell; how much plain memory there was before differs */
		if (least <= WHOLE_LEFT + 10 * MIB_PAGES || least <= whole - 96 * MIB_PAGES)
			break;
	}
	figure("%d pipes, %ld MiB whole unmapped at the end; %ld fallbacks, %ld of them below a block, boost %ld",
	       nr, least / MIB_PAGES, events_count(all) - before_all, events_count(steals) - before, boost);
	print_since(&then, "meanwhile");
	judge(events_count(steals) == before, "nothing was stolen from a used block");
	judge(!boost, "no watermark was raised");
	judge(least <= whole - 64 * MIB_PAGES, "whole unmapped blocks were taken instead");
	end_of(pid);
	return verdict();
}

#define WATERMARK_SECRET	(64 * MiB)
#define NR_HUGE			6
/* Other pages that go with a block of secret ones */
#define ASIDE			14

/*
 * Free memory is a little more than the low mark. A block less, and it is below
 * that: kswapd has to know, though what is left of the block is free, too. First
 * version: 223 pages below the mark, and kswapd slept.
 */
int mode_watermark(int argc, char **argv)
{
	struct events *wakes = events_open("vmscan/mm_vmscan_kswapd_wake", NULL);
	long woken_at = -1, silent = 0, least, before;
	struct counts then;
	struct zone z;
	char *mem, *huge;
	size_t off;
	int cache;

	(void)argc;
	(void)argv;
	if (!has_counter(UNMAPPED))
		return skip("this kernel takes single pages off the direct map");
	plan(3);
	set_pool_blocks(0);
	/* Nobody else's business wakes kswapd, and per-CPU lists are short */
	set_sysctl("watermark_boost_factor", 0);
	prepared(set_sysctl("percpu_pagelist_high_fraction", 10000) >= 0, "per-CPU lists are short");
	prepared(set_sysctl("min_free_kbytes", 16 * 1024) >= 0 &&
		 set_sysctl("watermark_scale_factor", 10) >= 0, "watermarks are set");
	cache = page_cache();
	/* Blocks, for when the rest is full of page cache */
	huge = mmap(NULL, (NR_HUGE + 1) * BLOCK_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	prepared(huge != MAP_FAILED, "memory is mapped");
	madvise(huge, (NR_HUGE + 1) * BLOCK_SIZE, MADV_HUGEPAGE);
	touch(huge, (NR_HUGE + 1) * BLOCK_SIZE, PATTERN);
	for (z = large_zone(); ordinary_free(&z) > z.low + 2 * BLOCK_PAGES; z = large_zone())
		page_cache_read(cache, ordinary_free(&z) - z.low > 16 * MIB_PAGES ? 4 * MiB : 64 * KiB);
	munmap(huge, (NR_HUGE + 1) * BLOCK_SIZE);
	/*
	 * The block with which the low mark is passed has to leave less than that, but
	 * not by a full one: while it is used up, it hides what it left to others.
	 */
	for (int i = 0; ; i++) {
		long more;

		z = large_zone();
		more = ordinary_free(&z) - z.low;
		prepared(i < 1000 && more > 4 * BLOCK_PAGES, "free memory is some blocks above the low mark");
		more -= more / BLOCK_PAGES * ASIDE;
		if (more % BLOCK_PAGES > BLOCK_PAGES / 4 && more % BLOCK_PAGES < BLOCK_PAGES * 3 / 4)
			break;
		page_cache_read(cache, 64 * KiB);
	}
	figure("zone %s: free %ld, min %ld, low %ld, high %ld pages; %ld blocks of it whole", z.name, z.free,
	       z.min, z.low, z.high, free_blocks(9, NULL) + 2 * free_blocks(10, NULL));
	prepared(free_blocks(9, NULL) + 2 * free_blocks(10, NULL) >= NR_HUGE, "whole blocks are free");
	prepared(!counter(PGSCAN_KSWAPD), "kswapd sleeps");

	mem = secret_map(WATERMARK_SECRET);
	prepared(mem != MAP_FAILED, "secret memory is mapped");
	then = counts();
	before = events_count(wakes);
	least = ordinary_free(&z);
	for (off = 0; off < WATERMARK_SECRET; off += 16 * PAGE) {
		if (touch_some(mem + off, 16 * PAGE, PATTERN) < 16 * PAGE)
			break;
		z = large_zone();
		if (ordinary_free(&z) < least)
			least = ordinary_free(&z);
		if (events_count(wakes) == before)
			silent += ordinary_free(&z) < z.low - 32;
		else if (woken_at < 0)
			woken_at = ordinary_free(&z);
	}
	figure("%lu of %lu MiB; least free for others %ld pages; kswapd woken with %ld free, silent %ld times below low",
	       off / MiB, WATERMARK_SECRET / MiB, least, woken_at, silent);
	print_since(&then, "meanwhile");
	judge(!silent && woken_at >= 0, "kswapd was woken before less than the low mark was left to others");
	judge(least >= z.min - 64, "never less than the min mark");
	judge(off >= WATERMARK_SECRET, "all secret memory was had");
	return verdict();
}
