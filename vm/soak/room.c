// SPDX-License-Identifier: GPL-2.0-only
/* Who has the memory: all but ROOM is taken, and what is left goes to and fro. */
#include "soak.h"

/* vm.percpu_pagelist_high_fraction */
#define SHORT_LISTS	10000
#define MIN_FREE_KIB	16384L

static size_t ballast_size;
static char *ballast;
static long min_free;

/* Not what is free in blocks that are partly secret. Reading may be made to fail. */
long usable(void)
{
	long free = read_meminfo("MemFree");
	long unmapped = field("/proc/vmstat", "nr_free_no_direct_map");
	long whole = field("/proc/vmstat", "nr_free_no_direct_map_whole");

	if (free < 0 || unmapped < 0 || whole < 0)
		return 0;
	return (free - (unmapped - whole) * 4) / 1024;
}

void room_take(void)
{
	size_t off = 0;

	min_free = set_sysctl("min_free_kbytes", MIN_FREE_KIB);
	if (min_free < 0)
		die("min_free_kbytes");
	ballast_size = read_meminfo("MemFree") * KiB;
	ballast = mmap(NULL, ballast_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ballast == MAP_FAILED)
		die("mmap");
	madvise(ballast, ballast_size, MADV_HUGEPAGE);
	for (; off + BLOCK_SIZE <= ballast_size && usable() > ROOM; off += BLOCK_SIZE)
		touch(ballast + off, BLOCK_SIZE, PATTERN);
	printf("%zu MiB taken for as long as it lasts, %ld MiB are left\n", off / MiB,
	       usable());
	/* The processes have no copy of it */
	madvise(ballast, ballast_size, MADV_DONTFORK);
}

void room_give_back(void)
{
	munmap(ballast, ballast_size);
	short_lists(false);
	set_sysctl("min_free_kbytes", min_free);
}

/*
 * Per-CPU lists that hold thousands of pages keep nearly all blocks from being
 * whole, and ordinary memory from having them. Folding the counters in empties
 * what is too much.
 */
void short_lists(bool want)
{
	set_sysctl("percpu_pagelist_high_fraction", want ? SHORT_LISTS : 0);
	read_vmstat("nr_no_direct_map");
}
