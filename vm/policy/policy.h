/* SPDX-License-Identifier: GPL-2.0-only */
/* What the modes of policy share. */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE			4096UL
#define BLOCK_PAGES		512L
#define MIB_PAGES		256L

int mode_fixed(int argc, char **argv);
int mode_failing(int argc, char **argv);
int mode_drain(int argc, char **argv);
int mode_steal(int argc, char **argv);
int mode_watermark(int argc, char **argv);
int mode_local(int argc, char **argv);
int mode_pool(int argc, char **argv);
int mode_hostage(int argc, char **argv);
int mode_defrag(int argc, char **argv);

/*
 * Results. A mode says how many there will be, what it counted, and judges each.
 * A preparation that did not come about ends it: that is a failure, not a skip.
 */
void plan(int nr);
__attribute__((format(printf, 1, 2))) void figure(const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void judge(bool right, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void prepared(bool done, const char *fmt, ...);
__attribute__((format(printf, 1, 2))) int skip(const char *fmt, ...);
int verdict(void);

/* What the kernel counts. Its names are in one table: counters.c */
enum counter {
	UNMAPPED,		/* pages of unmapped blocks */
	UNMAPPED_PARTIAL,	/* ... free, in blocks that are partly in use */
	UNMAPPED_WHOLE,		/* ... free, in blocks of which all is */
	FLIP_UNMAP,
	FLIP_FAIL,
	COMPACT_STALL,		/* requests that compacted memory */
	COMPACT_FAIL,
	KCOMPACTD_WAKE,
	KCOMPACTD_SCANNED,
	ALLOCSTALL,		/* requests that reclaimed memory */
	PGSCAN_DIRECT,
	PGSTEAL_DIRECT,
	PGSCAN_KSWAPD,
	PGSTEAL_KSWAPD,
	OOM_KILL,
	BOOST,			/* pages that watermarks were raised by */
	NR_COUNTERS,
};

struct counts {
	long n[NR_COUNTERS];
};

bool has_counter(enum counter c);
long counter(enum counter c);
struct counts counts(void);
/* What has been counted since. */
long since(const struct counts *then, enum counter c);
void print_since(const struct counts *then, const char *what);

/* Compaction is counted for the whole machine: somebody may ask for a larger page */
#define BYSTANDERS	2

void judge_compactions(const struct counts *then, int failures, const char *who);

/* A zone, in pages, as /proc/zoneinfo has it. */
struct zone {
	int node;
	char name[16];
	long free, min, low, high, managed, boost;
	long unmapped, partial, whole;
	long blocks;		/* free, in whole pageblocks */
};

#define MAX_ZONES	16
int read_zones(struct zone zones[MAX_ZONES]);
/* Pages on the lists of a CPU. */
long listed(int cpu);
/* Free pages of an order and a migratetype, or of all with NULL. */
long free_blocks(int order, const char *type);
/* The largest one. */
struct zone large_zone(void);
/* What is free and of use to an ordinary request. */
static inline long ordinary_free(const struct zone *z)
{
	return z->free - z->partial;
}

/* Events of a tracepoint, on all CPUs, without a buffer that could overflow. */
struct events {
	int nr;
	int fd[64];
};

struct events *events_open(const char *name, const char *filter);
long events_count(const struct events *e);

/* The load. The files are of policy_pages.ko. */
#define POLICY_DEBUGFS		"/sys/kernel/debug/policy/"
int page_cache(void);
/* Read from the page cache's file; not from where it was read before. */
void page_cache_read(int fd, size_t bytes);
void page_cache_read_at(int fd, uint64_t at, size_t bytes);
/* The same until no more memory is free than is kept so. */
void page_cache_fill(int fd);
void page_cache_holes(int fd);
/* Ordinary memory until no more than @leave pages of a zone are free, and half of it, drawn, freed. */
void fragment(struct zone (*of)(void), long leave);
/* One page in each block that is free cannot be moved, and for the most part the rest is free. */
void pin_blocks(void);
/* Secret memory that is all there, or NULL. */
char *secret_had(size_t bytes);
/* One page of secret memory, had and given back. */
bool secret_page(void);
/*
 * One page of a file for 511 of another, which is returned. When that is given
 * back, what is free in its blocks is hostage.
 */
char *in_turn(size_t bytes);
/* Touch on and on, over what cannot be had; @failures of these, and it ends. */
int touch_failing(char *mem, size_t bytes, int failures, size_t *had);
/* A child that does not outlive us, whatever ends us. */
pid_t child(void);
void die_with_parent(void);
pid_t task_pid(const char *task);
double cpu_seconds(const char *task);

#endif /* POLICY_H */
