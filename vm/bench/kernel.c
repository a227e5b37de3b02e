// SPDX-License-Identifier: GPL-2.0-only
/* What the module of bench/pages measures: pages allocated and freed, windows. */
#include "bench.h"
#include "lib/module.h"

#define RUN		"/sys/kernel/debug/bench_pages/run"

static void load_module(void)
{
	static bool loaded;

	if (loaded)
		return;
	module_load("bench_pages", "");
	module_settle();
	loaded = true;
}

/*
 * Have the module measure, and print a sample for each of its lines. Returns
 * false where this kernel has no such thing.
 */
static bool in_kernel(const char *figure, const char *what, int cpus, int order,
		      int nr, long rounds, const char *gfp)
{
	long before[NR_COUNTERS], after[NR_COUNTERS];
	char text[512], *line, *save;
	int err;

	load_module();
	read_counters(before);
	err = write_file(RUN, "%s %d %d %d %ld %s", what, cpus, order, nr, rounds, gfp);
	read_counters(after);
	if (err == -EOPNOTSUPP)
		return false;
	if (err) {
		errno = -err;
		printf("error: %s %d %d %d %s\n", what, cpus, order, nr, gfp);
		die(RUN);
	}
	slurp(RUN, text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long median, least, most;
		char part[32];

		if (sscanf(line, "%31s %llu %llu %llu", part, &median, &least, &most) != 4) {
			errno = EPROTO;
			die(RUN);
		}
		printf("sample %s what=%s cpus=%d order=%d gfp=%s part=%s | ns=%.1f least=%.1f most=%.1f ops=%ld rounds=%ld",
		       figure, what, cpus, order, gfp, part, median * ns_per_cycle,
		       least * ns_per_cycle, most * ns_per_cycle, (long)nr * cpus, rounds);
		print_counters(before, after);
	}
	return true;
}

/*
 * The kernel makes the lists of its CPUs longer and shorter as it likes, and when
 * it does is not the same twice: have them hold some 1000 pages, or as it likes.
 * As long as that is fixed, pages of one type can leave no room for those of another.
 */
#define LIST_PAGES	1024L

static void fix_lists(bool fixed)
{
	/* Of the larger one of two zones */
	long fraction = read_meminfo("MemTotal") / 4 / 2 / online_cpus() / LIST_PAGES;

	if (fraction < 8)
		fraction = 8;
	if (set_sysctl("percpu_pagelist_high_fraction", fixed ? fraction : 0) < 0)
		die("percpu_pagelist_high_fraction");
}

/* One CPU, then all of them, then none. */
static int more_cpus(int cpus)
{
	return cpus < online_cpus() ? online_cpus() : 0;
}

void figure_pagealloc(void)
{
	const long rounds = number("bench.rounds", 5);
	/* What is unmapped is erased when it is freed: as much, but not as often */
	static const struct { int order, hot, hot_unmapped, cold; } sizes[] = {
		{ 0, 4000, 4000, 32768 }, { 3, 4000, 400, 4096 }, { 9, 2000, 40, 64 },
	};
	static const char * const gfps[] = { "kernel", "user", "unmapped" };

	for (int g = 0; g < 3; g++) {
		bool unmapped = !strcmp(gfps[g], "unmapped");

		if (unmapped && !secret_in_use())
			continue;
		for (int i = 0; i < 3; i++) {
			int hot = unmapped ? sizes[i].hot_unmapped : sizes[i].hot;

			for (int cpus = 1; cpus; cpus = more_cpus(cpus)) {
				in_kernel("pagealloc", "hot", cpus, sizes[i].order,
					  hot / cpus, rounds, gfps[g]);
				fix_lists(true);
				in_kernel("pagealloc", "cold", cpus, sizes[i].order,
					  sizes[i].cold / cpus, rounds, gfps[g]);
				fix_lists(false);
			}
		}
	}
}

/* Windows that can be open at the same time, with some left */
#define WINDOWS		8

void figure_window(void)
{
	static const char * const ways[] = { "mermap", "vmap", "vm_map_ram", "kmap_local" };
	const char *chosen = strdup(parameter("bench.ways", "mermap,vmap,vm_map_ram,kmap_local"));
	const long rounds = number("bench.rounds", 5);

	for (int i = 0; i < 4; i++) {
		bool mermap = !i;

		if ((mermap && !secret_in_use()) || !listed(chosen, ways[i]))
			continue;
		for (int cpus = 1; cpus; cpus = more_cpus(cpus))
			in_kernel("window", ways[i], cpus, 0, 2000, rounds,
				  mermap ? "unmapped" : "kernel");
		/* Each half alone, of few windows: so many times */
		if (mermap)
			in_kernel("window", "mermap_halves", 1, 0, WINDOWS, 101, "unmapped");
	}
}
