/* SPDX-License-Identifier: GPL-2.0-only */
/* What the chapters of soak share. */
#ifndef SOAK_H
#define SOAK_H

#include "lib/judge.h"

/* More time, or machines, for a failure of each kind: so many times what was asked for */
#define LONGEST		4

/* The processes of the load: secret memory, ordinary memory, each GFP flag */
#define SECRET_PROCS	4
#define ANON_PROCS	2
#define FLAG_PROC	(SECRET_PROCS + ANON_PROCS)
#define PROCS		(FLAG_PROC + 1)
/*
 * MiB. All processes share ROOM, so that blocks go to and fro between secret and
 * ordinary memory. Secret memory fails before anybody is killed, ordinary memory
 * does not: it has to stay above the watermarks, which are low for that.
 */
#define ROOM		256L
#define ANON_LEAVES	40L
#define SECRET_LEAVES	36L

/* The modes: secret.c, guests.c */
int soak_secret(int seconds, uint64_t seed);
int soak_guests(int nr, uint64_t seed);

/* inject.c: what is made to fail */
/* All is as it should be before, and nothing fails yet: NULL, or what is missing. */
const char *inject_prepare(void);
void inject_start(void);
void inject_nothing(void);
/* This process is one of those whose page allocations fail. */
void inject_here(void);
/* How often it failed: page allocations, the unmapping of blocks. */
long injected_pages(void);
long injected_unmaps(void);
bool both_failed(void);
/* Continues a line of what was done, and ends it. */
void print_failures(void);
void judge_failures(const struct flips *flips);

/* Shared with the processes of the load */
struct proc_stats {
	unsigned long areas;	/* mapped */
	unsigned long refused;	/* system calls that failed */
	unsigned long had;	/* pages */
	unsigned long not_had;
	unsigned long dirty;	/* pages that were not zero */
	unsigned long lost;	/* ... that did not keep what was written */
	unsigned long fills;
};

struct shared {
	volatile bool stop;
	volatile bool filling;	/* secret memory is given up, ordinary memory takes all */
	struct proc_stats procs[PROCS];
};

extern struct shared *shared;

/* load.c: the processes, from @first to before @end */
void procs_start(uint64_t seed, int first, int end);
/* Nobody is to end by himself: how many did, until now. */
int procs_ended(void);
/* How many came to a bad end. */
int procs_stop(void);
/* One area of ordinary memory, of huge pages or of none, until @leave MiB are left. */
void anon_area(size_t size, bool huge, long leave, struct proc_stats *st);

/* flags.c: requests with each flag, made in the kernel on behalf of a process */
void flags_load(void);
void flags_try(void);
/* What came of them; the module goes, and whatever it may hold. */
void judge_flags(void);

/* room.c: who has the memory */
/* MiB that ordinary memory can have. 0 where it cannot be read. */
long usable(void);
/* All but ROOM is taken, until it is given back. */
void room_take(void);
void room_give_back(void);
/* Per-CPU lists as short as can be, or as they were. */
void short_lists(bool want);

#endif /* SOAK_H */
