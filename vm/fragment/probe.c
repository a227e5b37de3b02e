// SPDX-License-Identifier: GPL-2.0-only
/* Contiguous memory: what is had of it, movable and unmovable. */
#include <sys/mman.h>

#include "fragment.h"

unsigned int probe_thp(unsigned int nr)
{
	size_t size = (nr + 1) * HUGE;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *aligned = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	long alloc;

	if (p == MAP_FAILED)
		die("mmap");
	alloc = vmstat_now("thp_fault_alloc");
	if (madvise(aligned, nr * HUGE, MADV_HUGEPAGE))
		die("madvise");
	/* One touch each: what falls back takes one small page. */
	for (unsigned int i = 0; i < nr; i++)
		if (madvise(aligned + i * HUGE, PAGE, MADV_POPULATE_WRITE))
			break;
	alloc = vmstat_now("thp_fault_alloc") - alloc;
	munmap(p, size);
	return alloc;
}

/* A pipe's ring is one piece of unmovable memory: 40 bytes for each page. */
static void probe_ring(enum failure kind, unsigned int order, unsigned int nr)
{
	unsigned long slots = (PAGE << order) / 64;
	int fd[16][2];

	for (unsigned int i = 0; i < nr; i++) {
		if (pipe2(fd[i], O_CLOEXEC))
			die("pipe");
		tries[kind]++;
		if (fcntl(fd[i][1], F_SETPIPE_SZ, slots * PAGE) < 0) {
			if (errno != ENOMEM)
				die("F_SETPIPE_SZ");
			failures[kind]++;
		}
	}
	for (unsigned int i = 0; i < nr; i++) {
		close(fd[i][0]);
		close(fd[i][1]);
	}
}

void probe_step(void)
{
	enum { HUGE_PAGES = 16 };
	uint64_t begin = now_ns();

	tries[F_PROBE_THP] += HUGE_PAGES;
	failures[F_PROBE_THP] += HUGE_PAGES - probe_thp(HUGE_PAGES);
	probe_ring(F_PROBE_RING4, 4, 16);
	probe_ring(F_PROBE_RING6, 6, 8);
	probe_ring(F_PROBE_RING9, 9, 4);
	times[T_PROBE] += now_ns() - begin;
}
