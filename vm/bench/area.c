// SPDX-License-Identifier: GPL-2.0-only
/* Memory of some kind, taken by some threads at once. */
#include "bench.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT	1
#endif

const char * const kind_names[NR_KINDS] = { "memfd", "secret", "locked" };

void area_open(struct area *area, enum kind kind, size_t size)
{
	area->kind = kind;
	area->size = size;
	area->fd = -1;
	area->mem = NULL;
	if (kind == LOCKED)
		return;
	area->fd = kind == SECRET ? syscall(__NR_memfd_secret, O_CLOEXEC)
				  : memfd_create("bench", MFD_CLOEXEC);
	if (area->fd < 0)
		die(kind == SECRET ? "memfd_secret" : "memfd_create");
	if (ftruncate(area->fd, size))
		die("ftruncate");
}

void area_map(struct area *area, bool populate)
{
	int flags = area->kind == LOCKED ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;

	/* What is locked is populated with it */
	if (populate)
		flags |= area->kind == LOCKED ? MAP_LOCKED : MAP_POPULATE;
	area->mem = mmap(NULL, area->size, PROT_READ | PROT_WRITE, flags, area->fd, 0);
	if (area->mem == MAP_FAILED)
		die("mmap");
	if (area->kind == LOCKED && !populate && syscall(SYS_mlock2, area->mem, area->size, MLOCK_ONFAULT))
		die("mlock2");
}

long area_pages(const struct area *area)
{
	const size_t nr = area->size / PAGE;
	unsigned char *there = malloc(nr);
	long pages = 0;

	if (!there || mincore(area->mem, area->size, there))
		die("mincore");
	for (size_t i = 0; i < nr; i++)
		pages += there[i] & 1;
	free(there);
	return pages;
}

void area_close(struct area *area)
{
	if (munmap(area->mem, area->size) || (area->fd >= 0 && close(area->fd)))
		die("munmap");
	area->mem = NULL;
}
