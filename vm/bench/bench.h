/* SPDX-License-Identifier: GPL-2.0-only */
/* What the chapters of bench share. */
#ifndef BENCH_H
#define BENCH_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#include "program.h"
#include "unmapped_util.h"

#define PAGE		4096UL
/* Numbers of a list, at most */
#define MAX_LIST	16

/* The figures, each with all of its samples */
/* kernel.c: pages allocated and freed, by the module. */
void figure_pagealloc(void);
/* kernel.c: one page mapped for the kernel. */
void figure_window(void);
/* secret.c: fault, populate, free and fork. */
void figure_secret(void);
/* bystander.c: a computation beside that. */
void figure_bystander(void);
/* day.c: processes that talk, come and go, and compile. */
void figure_day(void);
/* guest.c: guest memory in the direct map and off it, and a guest that boots. */
void figure_guest(void);

/*
 * count.c: the clock, what the kernel counts, what is asked for.
 *
 * The clock is the time stamp counter: where instructions are counted, reading it
 * is one of them, and asking the kernel for the time would be some hundred.
 */
static inline uint64_t cycles(void)
{
	return __rdtsc();
}

/* What turns cycles into nanoseconds. */
extern double ns_per_cycle;
/* Find that, and print it. */
void clock_calibrate(void);
/* What the kernel counts: a table in count.c, with so many rows */
#define NR_COUNTERS	14
/* Each as it is now, or -1 where this kernel does not have it. */
void read_counters(long value[NR_COUNTERS]);
/* The end of a sample's line. */
void print_counters(const long before[NR_COUNTERS], const long after[NR_COUNTERS]);
/* Numbers with commas between, of the kernel's command line: how many. */
int numbers(const char *name, const char *otherwise, long list[MAX_LIST]);
/* Is a word in a list with commas between? */
bool listed(const char *list, const char *word);
/* How many processors are. */
int online_cpus(void);
/* Is it a kernel with this work? */
bool has_unmapped(void);
/* Wait until no block is unmapped but in use, so that the next life is a first one. */
void drain(void);
/* bench.use=1: some memory is secret meanwhile. */
bool secret_in_use(void);

/* area.c: memory of some kind */
enum kind { MEMFD, SECRET, LOCKED, NR_KINDS };
/* As samples and the command line have it. */
extern const char * const kind_names[NR_KINDS];

/* What one thread takes of it. */
struct area {
	enum kind kind;
	int fd;
	char *mem;
	size_t size;
};

/* Its file, if it has one: of that size, without a page. */
void area_open(struct area *area, enum kind kind, size_t size);
/* Mapped, and locked if it is of that kind; with all of its pages, or none yet. */
void area_map(struct area *area, bool populate);
/* The pages that are there. */
long area_pages(const struct area *area);
/* All of it is given back. */
void area_close(struct area *area);

#endif /* BENCH_H */
