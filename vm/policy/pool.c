// SPDX-License-Identifier: GPL-2.0-only
/* Free unmapped memory: how much of it there is, and who is told. */
#include "program.h"
#include "unmapped_util.h"
#include "policy.h"

#define POOL_SECRET	(512 * MiB)
#define EACH		5

/* One fault now and then. How many blocks are free and unmapped then? */
static long faults_for(int seconds)
{
	for (int at = 0; at < seconds; at += EACH) {
		prepared(secret_page(), "a page of secret memory is had");
		sleep(EACH);
		figure("%2d s: %ld blocks", at + EACH, counter(UNMAPPED_WHOLE) / BLOCK_PAGES);
	}
	return counter(UNMAPPED_WHOLE) / BLOCK_PAGES;
}

static void free_secret(void)
{
	char *mem = secret_had(POOL_SECRET);

	prepared(mem, "%lu MiB of secret memory are had", POOL_SECRET / MiB);
	munmap(mem, POOL_SECRET);
	settle();
}

/* First version: 264 blocks stayed for a minute, of 8 that the setting says. */
int mode_pool(int argc, char **argv)
{
	struct zone zones[MAX_ZONES];
	long pool = set_pool_blocks(-1), most = 0, all = 0, then, left;
	int nr;

	(void)argc;
	(void)argv;
	if (!has_counter(UNMAPPED))
		return skip("this kernel takes single pages off the direct map");
	plan(2);
	prepared(pool >= 0, "there is vm.no_direct_map_pool_blocks");
	free_secret();
	then = counter(UNMAPPED_WHOLE) / BLOCK_PAGES;
	nr = read_zones(zones);
	for (int i = 0; i < nr; i++) {
		all += zones[i].managed / BLOCK_PAGES;
		if (zones[i].unmapped)
			most += pool;
	}
	figure("%ld blocks free and unmapped; vm.no_direct_map_pool_blocks is %ld, for all zones %ld",
	       then, pool, most);
	prepared(then >= (long)(POOL_SECRET / BLOCK_SIZE) * 9 / 10, "what was given back is unmapped yet");
	left = faults_for(60);
	judge(left <= most + 1, "%ld blocks are left at most", most + 1);

	/* Who asks for that much is to have it */
	set_pool_blocks(all / 10 * 9);
	free_secret();
	then = counter(UNMAPPED_WHOLE) / BLOCK_PAGES;
	figure("%ld blocks free and unmapped; vm.no_direct_map_pool_blocks is %ld", then, all / 10 * 9);
	left = faults_for(20);
	judge(left >= (long)(POOL_SECRET / BLOCK_SIZE) * 9 / 10, "they stay when the setting says so");
	return verdict();
}

/* What show_mem() says of @name in the lines of zones, in pages, or -1. */
static long shown(const char *name)
{
	static char record[8192];
	int fd = kmsg_open();
	long sum = -1;
	ssize_t len;
	char *at;

	if (write_file("/proc/sysrq-trigger", "m"))
		die("/proc/sysrq-trigger");
	sleep_ms(200);
	while ((len = read(fd, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (len <= 0)
			continue;
		record[len] = 0;
		if (!strstr(record, "Node "))
			continue;
		at = strstr(record, name);
		if (at && at[strlen(name)] == ':')
			sum = (sum < 0 ? 0 : sum) + strtol(at + strlen(name) + 1, NULL, 10) / 4;
	}
	close(fd);
	return sum;
}

#define HOSTAGES	(200 * MiB)

int mode_hostage(int argc, char **argv)
{
	long partial, said, free;

	(void)argc;
	(void)argv;
	if (!has_counter(UNMAPPED))
		return skip("this kernel takes single pages off the direct map");
	plan(2);
	munmap(in_turn(HOSTAGES), HOSTAGES);
	settle();
	partial = counter(UNMAPPED_PARTIAL);
	free = shown("free");
	said = shown("no_direct_map_partial");
	figure("%ld pages are free where part of the block is in use; show_mem() says free:%ld, no_direct_map_partial:%ld",
	       partial, free, said);
	prepared(partial > (long)(HOSTAGES / PAGE) / 2, "most of it is hostage");
	prepared(free > partial, "show_mem() was read");
	judge(said >= 0, "show_mem() has a name for it");
	judge(said > partial - 1024 && said < partial + 1024, "and says how much it is");
	return verdict();
}

#define DEFRAG_SECONDS	8
#define DEFRAG_FAILURES	10
/* Reclaim by the batch, and a look at some blocks, are had by chance */
#define DEFRAG_PAGES	(32 * MIB_PAGES)
#define DEFRAG_CPU	0.5

struct paid {
	long reclaimed, scanned;
	double cpu;
};

/* Some MiB of page cache a second, where there is room for no more of it. */
static struct paid wanted(int cache, const char *what)
{
	struct counts then = counts();
	struct paid paid = { .cpu = cpu_seconds("kcompactd0") };
	long nr = 0;

	for (int i = 0; i < DEFRAG_SECONDS * 5; i++, nr += MIB_PAGES) {
		page_cache_read(cache, MiB);
		sleep_ms(200);
	}
	paid.cpu = cpu_seconds("kcompactd0") - paid.cpu;
	paid.reclaimed = since(&then, PGSTEAL_KSWAPD) + since(&then, PGSTEAL_DIRECT);
	paid.scanned = since(&then, KCOMPACTD_SCANNED);
	figure("%s: %ld pages read, %ld reclaimed; kcompactd scanned %ld in %.2f s", what, nr,
	       paid.reclaimed, paid.scanned, paid.cpu);
	print_since(&then, what);
	return paid;
}

/*
 * The same memory is there for others, while the rest is in use as secret memory
 * and while it is free, but hostage. First version: 18 compactions for each of ten
 * requests that fail, with 417 MiB free; reclaim and kcompactd could not be made to
 * run away.
 */
int mode_defrag(int argc, char **argv)
{
	struct paid in_use, hostage;
	size_t bytes, had, size;
	struct counts then;
	int cache, failures;
	struct zone z;
	char *mem;

	(void)argc;
	(void)argv;
	if (!has_counter(UNMAPPED))
		return skip("this kernel takes single pages off the direct map");
	plan(5);
	set_pool_blocks(0);
	prepared(set_sysctl("min_free_kbytes", 4 * 1024) >= 0, "watermarks are set");
	z = large_zone();
	bytes = z.managed / 2 * PAGE / BLOCK_SIZE * BLOCK_SIZE;
	mem = in_turn(bytes);
	cache = page_cache();
	prepared(set_sysctl("defrag_mode", 1) >= 0, "there is vm.defrag_mode");
	page_cache_fill(cache);
	wanted(cache, "warming up");
	in_use = wanted(cache, "in use");

	munmap(mem, bytes);
	settle();
	z = large_zone();
	figure("%ld of %ld MiB are free, %ld of these hostage, %ld in whole blocks, high mark %ld MiB",
	       z.free / MIB_PAGES, z.managed / MIB_PAGES, z.partial / MIB_PAGES, z.blocks / MIB_PAGES,
	       z.high / MIB_PAGES);
	prepared(z.partial > (long)(bytes / PAGE) * 8 / 10, "nearly half of memory is hostage");
	hostage = wanted(cache, "hostage");
	judge(hostage.reclaimed <= in_use.reclaimed * 3 / 2 + DEFRAG_PAGES,
	      "no more is reclaimed than while it was in use");
	judge(hostage.scanned <= in_use.scanned * 3 / 2 + DEFRAG_PAGES, "nor scanned by kcompactd");
	judge(hostage.cpu <= in_use.cpu * 3 / 2 + DEFRAG_CPU, "kcompactd rests");

	/* All that is hostage and more, while the rest is free but makes no blocks */
	write_file("/proc/sys/vm/drop_caches", "1");
	pin_blocks();
	page_cache_read(cache, 64 * MiB);
	size = z.managed * PAGE;
	mem = secret_map(size);
	prepared(mem != MAP_FAILED, "secret memory is mapped");
	failures = touch_failing(mem, size, 1, &had);
	prepared(failures == 1, "a request fails");
	figure("%lu MiB of secret memory until one request failed", had / MiB);
	prepared(read_meminfo("MemFree") > 64 * 1024, "much memory is free then");
	then = counts();
	failures = touch_failing(mem, size, DEFRAG_FAILURES, &had);
	figure("%d requests failed, free %ld MiB", failures, read_meminfo("MemFree") / 1024);
	print_since(&then, "meanwhile");
	prepared(failures == DEFRAG_FAILURES, "further requests fail");
	judge(since(&then, PGSTEAL_DIRECT) <= failures * BLOCK_PAGES,
	      "a failing request reclaims a block's pages at most");
	judge_compactions(&then, failures, "defrag_mode");
	return verdict();
}
