// SPDX-License-Identifier: GPL-2.0-only
/*
 * What bench/bench measures inside the test machine. Here nothing is judged.
 *
 * Parameters of the kernel's command line:
 *   bench.what=LIST	figures, with commas between:
 *	pagealloc	allocate and free pages in the kernel (bench/pages)
 *	window		map one page for the kernel, in each way there is
 *	secret		fault, populate, free and fork with secret memory, beside an
 *			ordinary memfd and locked anonymous memory
 *	bystander	a computation while another CPU faults secret memory
 *	day		processes that talk through pipes, fork and exec, a compiler
 *	guest		populate and free guest memory in the direct map and off it,
 *			boot a guest in it
 *   bench.use=1	64 MiB are secret meanwhile; with day, more comes and goes
 *   bench.rounds=N	of what is repeated in the machine (5; secret, guest: 1)
 *   bench.mib=LIST	secret, guest: sizes (64)
 *   bench.threads=LIST	secret: how many take that much together (1)
 *   bench.before=LIST	secret: kinds that have a life before anything is measured (memfd)
 *   bench.kinds=LIST	secret: of memfd, secret, locked (all)
 *   bench.lives=LIST	secret: of cold, warm, whole, populate, random, ahead (all). cold is
 *			the first one after no block is unmapped any more: wait for
 *			that. whole is a second life that nobody looks at between fault
 *			and free, random one that is touched in that order, a second
 *			after the one before; ahead is a first one by fallocate()
 *   bench.ways=LIST	window: of mermap, vmap, vm_map_ram, kmap_local (all);
 *			guest: of fault, fallocate, prefault, write (all)
 *   bench.boot=LIST	guest: processors of a guest of the first size (none)
 *   bench.flush=0	guest: bench/zap/zap.patch leaves flushes out
 *
 * A sample is a line: "sample FIGURE LABEL=TEXT... | NAME=NUMBER...". Times are in
 * nanoseconds; with one instruction a nanosecond they are instructions.
 */
#include "bench.h"

/* Kept secret with bench.use=1 */
#define USE_MIB		64UL

/* Some secret memory that stays. */
static void use(void)
{
	char *mem = secret_map(USE_MIB * MiB);

	if (mem == MAP_FAILED)
		die("memfd_secret");
	touch(mem, USE_MIB * MiB, PATTERN);
	printf("sample use | pages=%lu unmapped=%ld\n", USE_MIB * MiB / PAGE,
	       read_vmstat("nr_no_direct_map"));
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} figures[] = {
		{ "pagealloc", figure_pagealloc },
		{ "window", figure_window },
		{ "secret", figure_secret },
		{ "bystander", figure_bystander },
		{ "day", figure_day },
		{ "guest", figure_guest },
	};
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const char *what = strdup(parameter("bench.what", ""));
	long after[NR_COUNTERS], none[NR_COUNTERS] = {};
	int done = 0;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("RLIMIT_MEMLOCK");
	pin(0);
	clock_calibrate();
	printf("sample machine | cpus=%d memory=%ld has_unmapped=%d\n", online_cpus(),
	       read_meminfo("MemTotal"), has_unmapped());
	if (secret_in_use())
		use();
	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++) {
		if (!listed(what, figures[i].name))
			continue;
		figures[i].run();
		done++;
	}
	if (!done) {
		errno = EINVAL;
		die("bench.what");
	}
	/* Since boot */
	read_counters(after);
	printf("sample end |");
	print_counters(none, after);
	printf("done\n");
	return 0;
}
