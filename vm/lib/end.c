// SPDX-License-Identifier: GPL-2.0-only
/* What was before, and the end: nothing fails any more, and not a page is missing. */
#include <glob.h>

#include "lib/judge.h"

/* Longest waits, in seconds */
#define DIRTY_SECONDS	60
#define EXACT_SECONDS	120
#define GONE_SECONDS	300
#define LAST_SECRET	(64 * MiB)
/* Memory that is not free again, of what was: per mille */
#define FREE_NOISE	10

const char *run_missing(void)
{
	const char *missing = unmapped_missing();

	if (!missing && excluded())
		missing = "off, as the kernel command line asks for";
	if (!missing && access(DEBUGFS "page_tables/kernel", R_OK))
		missing = "no page_tables in debugfs (CONFIG_PTDUMP_DEBUGFS)";
	return missing;
}

struct flips flips_now(void)
{
	return (struct flips) {
		.failed = read_vmstat("direct_map_flip_fail"),
		.unmapped = read_vmstat("direct_map_flip_unmap"),
		.remapped = read_vmstat("direct_map_flip_remap"),
	};
}

/*
 * Pages on their way to the LRU lists have a reference that is a CPU's. One that has
 * nothing to do keeps it, and with it what others have freed meanwhile, for as long.
 */
static void drain_lru(void)
{
	/* Without a line in the log each time; then what begins with draining */
	if (write_file("/proc/sys/vm/drop_caches", "4") ||
	    write_file("/proc/sys/vm/drop_caches", "1"))
		die("drop_caches");
}

/* KASAN keeps what was freed, up to a 32nd of all memory, until a cache is shrunk. */
static void shrink_slabs(void)
{
	glob_t caches;

	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &caches))
		return;
	for (size_t i = 0; i < caches.gl_pathc; i++)
		write_file(caches.gl_pathv[i], "1");
	globfree(&caches);
}

struct run run_begin(void)
{
	struct run run;

	/* What others had before is gone */
	drain_lru();
	shrink_slabs();
	for (double start = now(); read_vmstat("nr_no_direct_map") && now() - start < GONE_SECONDS;)
		sleep_ms(500);
	run.before = take_snapshot();
	printf("before: %ld KiB free, %ld pages unmapped, direct map of %ld MiB\n",
	       run.before.free, run.before.unmapped, run.before.present / (long)MiB);
	fflush(stdout);
	run.kmsg = kmsg_open();
	run.kills = read_vmstat("oom_kill");
	run.flips = flips_now();
	return run;
}

struct flips flips_since(const struct run *run)
{
	struct flips flips = flips_now();

	flips.failed -= run->flips.failed;
	flips.unmapped -= run->flips.unmapped;
	flips.remapped -= run->flips.remapped;
	return flips;
}

/* Also what the lists and the pageblocks say, in pages. */
struct balance {
	long unmapped, free, dirty, pcp, listed, marked;
};

static struct balance balance(void)
{
	struct balance b;

	b.unmapped = read_vmstat("nr_no_direct_map");
	b.free = field("/proc/vmstat", "nr_free_no_direct_map");
	b.dirty = field("/proc/vmstat", "nr_no_direct_map_dirty");
	b.pcp = read_pcp();
	if (!walk_free_lists(&b.listed, &b.marked))
		die("/proc/pagetypeinfo");
	return b;
}

/* Each page of each block is found on a free list, or waits to be. */
static bool exact(const struct balance *b)
{
	return b->listed + b->dirty == b->marked && b->unmapped == b->marked &&
	       b->free == b->listed;
}

static void print_balance(const char *when, const struct balance *b)
{
	printf("%s: %ld blocks found, %ld pages unmapped, %ld free (found %ld), %ld dirty, up to %ld on per-CPU lists\n",
	       when, b->marked / BLOCK_PAGES, b->unmapped, b->free, b->listed,
	       b->dirty, b->pcp);
	fflush(stdout);
}

/* Absent from the direct map without reason, since @before: bytes. */
static long absent(const struct snapshot *before)
{
	struct direct_map map;
	struct snapshot after = {};

	/* While a worker maps blocks again, the two looks do not match */
	for (int i = 0; i < 20; i++) {
		after.unmapped = read_vmstat("nr_no_direct_map");
		if (!walk_direct_map(&map, 0))
			die("page_tables");
		after.present = map.present;
		if (after.unmapped == read_vmstat("nr_no_direct_map") &&
		    !unaccounted(before, &after))
			return 0;
		sleep_ms(500);
	}
	return unaccounted(before, &after);
}

/* Ordinary memory takes all that it can have. */
static void fill_once(void)
{
	size_t taken;

	if (!take_all(&taken))
		die("mmap");
	printf("filled %zu MiB with anonymous memory\n", taken / MiB);
}

/* So that there are more blocks than the worker lets go of at a time. */
static void take_secret(void)
{
	char *mem = secret_map(LAST_SECRET);

	if (mem == MAP_FAILED)
		die("memfd_secret");
	if (touch_some(mem, LAST_SECRET, PATTERN) != LAST_SECRET)
		printf("not all of %lu MiB secret memory\n", LAST_SECRET / MiB);
}

static void judge_memory(const struct snapshot *before)
{
	const char *wrong;
	struct balance b;
	double start;
	long bytes;

	drain_lru();
	for (start = now(); read_vmstat("nr_no_direct_map_dirty") && now() - start < DIRTY_SECONDS;)
		sleep_ms(100);
	claim(!read_vmstat("nr_no_direct_map_dirty"), "nothing waits for being zeroed (after %.1f s)",
	      now() - start);

	/* Nothing is in use: what is not free is on per-CPU lists. */
	b = balance();
	print_balance("given back", &b);
	wrong = counters_wrong();
	claim(!wrong, "counters, free lists and pageblocks agree%s%s", wrong ? ": " : "",
	      wrong ? wrong : "");
	b = balance();
	claim(b.unmapped - b.free - b.dirty >= 0 && b.unmapped - b.free - b.dirty <= b.pcp,
	      "%ld pages are not on the free lists, and per-CPU lists have up to %ld",
	      b.unmapped - b.free - b.dirty, b.pcp);
	bytes = absent(before);
	claim(!bytes, "the direct map lacks what is unmapped (%ld pages at first), and %ld bytes besides",
	      b.unmapped, bytes);

	/*
	 * Per-CPU lists are emptied by the worker before it lets go of the pool:
	 * from then on, until the last block is mapped, each page is on a list.
	 */
	in_child(take_secret);
	for (start = now(); now() - start < EXACT_SECONDS; sleep_ms(100)) {
		drain_lru();
		b = balance();
		if (b.unmapped && exact(&b))
			break;
		/* All of it, and nobody looked: on a busy host we may sleep for long */
		if (!b.unmapped && !b.marked)
			in_child(take_secret);
	}
	print_balance("per-CPU lists empty", &b);
	claim(b.unmapped && exact(&b), "free %ld + dirty %ld + used 0 = %ld blocks x %ld",
	      b.listed, b.dirty, b.marked / BLOCK_PAGES, BLOCK_PAGES);

	/* A block that lacks a single page can never be mapped again. */
	in_child(fill_once);
	for (start = now(); now() - start < GONE_SECONDS; sleep_ms(500)) {
		drain_lru();
		b = balance();
		if (!b.unmapped && !b.marked)
			break;
	}
	print_balance("let go", &b);
	claim(!b.unmapped && !b.marked && !b.listed,
	      "every block could be mapped again (%.0f s)", now() - start);
	bytes = absent(before);
	claim(!bytes, "the direct map is whole but for %ld bytes", bytes);
}

void judge_end(const struct run *run)
{
	const struct snapshot *before = &run->before;
	const char *line;
	long free;

	judge_memory(before);

	shrink_slabs();
	free = read_free();
	printf("%ld KiB free before, %ld after\n", before->free, free);
	claim(labs(free - before->free) <= before->free * FREE_NOISE / 1000,
	      "memory is free again but for %d per mille", FREE_NOISE);
	claim(read_vmstat("oom_kill") == run->kills, "nobody was killed");
	line = kmsg_complaint(run->kmsg);
	claim(!line, "the kernel reported nothing%s%s", line ? ": " : "", line ? line : "");
}
