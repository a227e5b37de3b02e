/* SPDX-License-Identifier: GPL-2.0-only */
/* What the actors of fragment share, and who counts what they do. */
#ifndef FRAGMENT_H
#define FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/draw.h"
#include "program.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE		4096UL
#define HUGE		(512 * PAGE)
#define MIB_PAGES	256UL
#define MIB(n)		((n) * MIB_PAGES)

/* main.c */
void must_set(const char *file, const char *value);

/*
 * lib/draw.h: each actor draws from a sequence of its own, and none asks the machine:
 * what is requested is the same everywhere, whatever comes of it.
 */

/* Of anonymous memory, or of secret memory */
struct region {
	char *p;
	unsigned long pages;	/* as requested */
	unsigned long had;
	int fd;
};

#define MAX_REGIONS 65536

/* The actors. @target, @churn: pages there are to be, and how many of them anew */
/* anon.c */
void anon_start(uint64_t seed);
void anon_step(uint64_t seed, unsigned long target, unsigned long churn, unsigned int cpu);
void anon_end(void);

/* cache.c */
void cache_start(void);
void cache_step(struct rng *rng, unsigned long pages);

/* slab.c */
void slab_start(void);
void slab_step(struct rng *rng, unsigned long target, unsigned long churn);

/* secret.c */
void secret_step(struct rng *rng, unsigned long target, unsigned long churn);

/* probe.c */
/* Memory that is contiguous, as much as @nr huge pages: how many are had? */
unsigned int probe_thp(unsigned int nr);
void probe_step(void);

/* sample.c: what went wrong, by kind, how long it took, and the line of CSV */
enum failure {
	F_SECRET, F_ANON, F_THP, F_SLAB, F_CACHE, F_PROBE_THP, F_PROBE_RING4,
	F_PROBE_RING6, F_PROBE_RING9, NR_FAILURES
};

enum { T_ANON, T_CACHE, T_SLAB, T_FAULT, T_FREE, T_PROBE, NR_TIMES };

extern uint64_t failures[NR_FAILURES], tries[NR_FAILURES];
extern uint64_t times[NR_TIMES];

void sample_begin(void);
void sample(int round, const char *actor);

/* counters.c: /proc/vmstat */
void vmstat_read(void);
/* As last read; "key*": the sum of all that begin with it. -1: there is none. */
long vmstat(const char *key);
/* What was counted since counters_begin(); the last one's successor has no name. */
void counters_begin(void);
const char *counter_name(unsigned int i);
long counted(unsigned int i);

/*
 * flushes.c: what a part of the secret actor's work cost in TLB flushes. A kernel
 * page that is flushed adds one for each CPU to "one", a larger range one for each
 * CPU to "received", and either interrupts all CPUs but one. So do the flushes of
 * user pages that are moved to make room; "one" has flushes that no other CPU
 * hears of, too.
 */
struct flushes {
	long one, received, interrupts, own;
};

struct flushes read_flushes(void);
/* Add what came since @before; what it is now. */
struct flushes add_flushes(struct flushes *sum, struct flushes before);

/* What became of secret memory: secret.c */
enum { FREE, FAULT, NR_PARTS };

struct secret_sums {
	unsigned long live;	/* pages there are */
	uint64_t had, missing;	/* pages had and not had, over the whole run */
	struct flushes flushes[NR_PARTS];
};

extern struct secret_sums secret_sums;

/* free.c: free memory, as /proc/pagetypeinfo has it */
struct free_memory {
	int largest_mapped;	/* order; -1 without any */
	int largest;		/* of what an ordinary caller can have */
	long mapped_blocks;	/* room for that many free 2 MiB blocks */
	long whole_unmapped;	/* wholly free unmapped blocks */
	long partial_unmapped;	/* free pages in the others */
};

void free_read(struct free_memory *f);

#endif /* FRAGMENT_H */
