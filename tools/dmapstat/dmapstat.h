/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DMAPSTAT_H
#define DMAPSTAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PAGE_SHIFT	12
#define PAGE_SIZE	(1ULL << PAGE_SHIFT)
/* An entry of the second level of x86-64 page tables, and an unmapped pageblock */
#define BLOCK_SHIFT	21
#define BLOCK_SIZE	(1ULL << BLOCK_SHIFT)
#define BLOCK_PAGES	(BLOCK_SIZE / PAGE_SIZE)

/* What the kernel counts. A counter that this kernel does not have is UNKNOWN. */
enum counter {
	/* /proc/meminfo, KiB */
	MEM_TOTAL, DIRECT_4K, DIRECT_2M, DIRECT_1G, DIRECT_UNMAPPED, SECRETMEM,
	/* /proc/vmstat, pages */
	NR_UNMAPPED, NR_FREE, NR_FREE_WHOLE, NR_DIRTY,
	/* /proc/vmstat, events since boot */
	FLIP_UNMAP, FLIP_REMAP, FLIP_FAIL, SHOOTDOWN, ZEROED, MERMAP_FLUSH,
	SPLIT_2M, SPLIT_1G, COLLAPSE_2M, COLLAPSE_1G,
	/* sysctl */
	POOL_BLOCKS,
	NR_COUNTERS
};

#define UNKNOWN		(-1LL)

struct sample {
	long long value[NR_COUNTERS];
	double uptime;			/* seconds */
	char kernel[128];
};

/* How the direct map shows a block. Of several, the smallest. */
enum entry { ENTRY_UNKNOWN, ENTRY_NONE, ENTRY_1G, ENTRY_2M, ENTRY_4K, NR_ENTRIES };

struct block {
	uint32_t nr;			/* physical address / BLOCK_SIZE */
	uint16_t pages;			/* of System RAM */
	uint16_t free;			/* of an unmapped block */
	uint16_t absent;		/* pages that the page tables do not show */
	uint8_t unmapped;
	uint8_t entry;
};

/* What a block, or a cell of the map, looks like. */
enum state {
	STATE_HOLE,
	STATE_MAPPED,
	STATE_1G, STATE_2M, STATE_4K,	/* mapped, if entries were read */
	STATE_PIECES,			/* 4 KiB entries, some not present */
	STATE_ABSENT,			/* not present, and no unmapped block */
	STATE_FREE, STATE_PART, STATE_USED,
	STATE_MIXED,			/* a cell of mapped and unmapped blocks */
	NR_STATES
};

struct range {
	uint64_t start, end;
};

struct segment {
	uint64_t start, end;
	enum entry entry;
};

/* Physical memory, block by block */
struct memory {
	struct range *ram;		/* sorted, apart from each other */
	size_t nr_ram;
	uint64_t bytes;
	const char *source;		/* where this is from; NULL: not known */

	struct block *blocks;
	size_t nr_blocks;
	bool has_blocks;		/* unmapped blocks are marked */
	char why_no_blocks[256];

	struct segment *segments;	/* what is absent only where RAM is */
	size_t nr_segments;
	uint64_t entry_bytes[NR_ENTRIES];
	bool has_entries;
	char why_no_entries[256];
};

struct options {
	bool entries;
	bool colour;
	const char *title;
};

/* read.c */
extern const char *root;
extern const char *const kpageflags_file, *const entries_file;
void read_sample(struct sample *s);
void read_ram(struct memory *m);
void read_blocks(struct memory *m, const struct sample *s);
void read_entries(struct memory *m);

static inline bool known(const struct sample *s, enum counter c)
{
	return s->value[c] != UNKNOWN;
}

/* In use, or on the list of a CPU for its next request */
static inline long long used_pages(const struct sample *s)
{
	long long used;

	if (!known(s, NR_UNMAPPED))
		return UNKNOWN;
	used = s->value[NR_UNMAPPED] - s->value[NR_FREE] - s->value[NR_DIRTY];
	/* Read while they change */
	return used > 0 ? used : 0;
}

/* Memory that the direct map does not show, in bytes. */
static inline long long unmapped_bytes(const struct sample *s)
{
	if (known(s, DIRECT_UNMAPPED))
		return s->value[DIRECT_UNMAPPED] << 10;
	if (known(s, NR_UNMAPPED))
		return s->value[NR_UNMAPPED] << PAGE_SHIFT;
	return UNKNOWN;
}

enum state block_state(const struct block *b);

/* Page tables alone are all there is where the kernel has no unmapped blocks. */
static inline bool blocks_missing(const struct sample *s, const struct memory *m)
{
	return !m->has_blocks && !(m->has_entries && !known(s, NR_UNMAPPED));
}

/* map.c */
extern const char *const state_name[NR_STATES];
void show_map(const struct sample *s, const struct memory *m, const struct options *o);
void show_svg(FILE *f, const struct sample *s, const struct memory *m, const struct options *o);
const char *size_text(uint64_t bytes);

/* holders.c */
bool show_holders(const struct sample *s);

/* json.c */
void show_json(const struct sample *s, const struct memory *m, const struct options *o);

__attribute__((noreturn, format(printf, 2, 3)))
void die(int code, const char *fmt, ...);
void *more(void *array, size_t nr, size_t size);

#endif /* DMAPSTAT_H */
