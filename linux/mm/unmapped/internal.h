/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page allocation off the direct map: what the files of mm/unmapped/ need of
 * each other. Each calls those below it; above, only unmapped_available() and
 * unmapped_enable() of core.c, unmapped_pool_note_*() and _watch() of pool.c:
 *
 *	core.c		readiness, refusals
 *	pool.c		the worker of a zone, counters
 *	flip.c		a request
 *	vacate.c	memory that goes offline, hibernation
 *	take.c		which block; ordinary requests have one back
 *	drain.c		free pages on lists of their own
 *	free.c		a page is freed
 *	pcp.c		per-CPU lists
 *	block.c		one block gets a property, and loses it
 *	zero.c		windows to erase pages through
 *
 * Locks, from the outermost:
 *
 *	1. mem_hotplug_lock		(the worker: a trylock)
 *	   cpu_hotplug_lock		(unmapped_enable(): no other)
 *	   unmapped_pool::retry_lock	one request a zone reclaims for a block
 *	2. unmapped_pool::broken	a few requests a zone break up blocks
 *	   unmapped_pool::compact_lock	one has them made by compaction; never both
 *	   unmapped_pool::flip_lock	one batch of blocks is flipped
 *	3. unmapped_pcp::lock		trylock where pages are freed: any context
 *	4. zone->lock			interrupts off
 *	5. pgd_lock			(arch_direct_map_block_unmap(): no zone->lock)
 *
 * The states of a pageblock. "list" is where its free pages are, "entry" that
 * of the direct map, and the counters are of its 512 pages. NR_UNMAPPED,
 * NR_FREE_UNMAPPED and NR_FREE_UNMAPPED_WHOLE say what is absent from the direct
 * map; blocks with other properties are in struct unmapped_pool only.
 *
 *	state		PB_unmapped  list	 entry	  NR_UNMAPPED  free
 *	plain		no	     plain	 present  no	       NR_FREE_PAGES
 *	taken		no	     none	 present  no	       not counted
 *	flipped		no	     none	 none	  no	       not counted
 *	partial		yes	     unmapped	 none	  yes	       NR_FREE_UNMAPPED,
 *							  zone->nr_free_partial
 *	whole		yes	     unmapped	 none	  yes	       NR_FREE_UNMAPPED,
 *							  NR_FREE_UNMAPPED_WHOLE
 *	being erased	yes	     none	 none	  yes	       not counted
 *
 * A whole block with PB_unerased holds what it held when it was plain.
 *
 * Pages of a partial block that are on a per-CPU list are counted nowhere, and
 * those that wait to be erased in NR_UNMAPPED_DIRTY only.
 *
 * plain -> taken under 4, or captured by compaction; taken -> flipped under
 * flip_lock, or by who compacted, with no spinlock, and with one TLB flush before
 * the next step; flipped -> whole under 4, or back to plain if the block was
 * isolated meanwhile; whole, unerased -> being erased -> whole under 4;
 * whole, erased <-> partial as pages are allocated and freed;
 * whole -> plain under 4, by anybody. Where that is not one store (undo_atomic)
 * whole -> taken under 4, and on to plain with no spinlock.
 */
#ifndef _MM_UNMAPPED_INTERNAL_H
#define _MM_UNMAPPED_INTERNAL_H

#include <linux/direct_map.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/percpu-defs.h>
#include <linux/semaphore.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "../page_alloc.h"
#include "../unmapped.h"

struct unmapped_pcp;

/**
 * struct unmapped_pool - a zone's blocks with a property
 * @zone: the zone
 * @freetype: the property
 * @nr_free: free pages by order, under the zone lock
 * @fewest_free: the fewest free blocks that there were since the worker's last
 *	look, under the zone lock
 * @nr_partial: the part of zone->nr_free_partial with this property
 * @nr_pages: pages of all blocks, free or not, under the zone lock
 * @nr_unerased: wholly free blocks that have yet to be erased, under the zone lock
 * @last_drained: jiffies when per-CPU lists were last emptied on a chance
 * @rescanned: jiffies when compaction last looked at every block, in vain
 * @rescanned_free: free pages of the zone then
 * @compact_lock: protects the two; only one compacts for what has to be had
 * @gave_up: jiffies when reclaim and compaction together last were in vain
 * @retry_lock: protects it; only one tries that
 * @cursor: PFN behind the block that was taken last: the next from there
 * @pcp: per-CPU lists; NULL if there are none
 * @broken: how many may break up a block at once
 * @flip_lock: one batch of blocks is flipped at a time
 * @batch: how many blocks the next one is
 * @last_flip: jiffies of the last one
 * @work: what is done in the background, see pool.c
 * @last_used: jiffies of the last request
 * @last_pressed: jiffies of the last time that others needed a block back
 * @last_shrunk: jiffies when the worker last looked for blocks to let go
 * @flags: see below
 */
struct unmapped_pool {
	struct zone		*zone;
	freetype_t		freetype;
	unsigned long		nr_free[NR_PAGE_ORDERS];
	unsigned long		fewest_free;
	unsigned long		nr_partial;
	unsigned long		nr_pages;
	unsigned long		nr_unerased;
	unsigned long		last_drained;
	unsigned long		rescanned;
	unsigned long		rescanned_free;
	struct mutex		compact_lock;	/* see above */
	unsigned long		gave_up;
	struct mutex		retry_lock;	/* see above */
	unsigned long		cursor;
	struct unmapped_pcp __percpu *pcp;

	struct semaphore	broken;		/* see unmapped_from_free_block() */
	struct mutex		flip_lock;	/* @batch, @last_flip */
	unsigned int		batch;
	unsigned long		last_flip;
	struct delayed_work	work;
	unsigned long		last_used;
	unsigned long		last_pressed;
	unsigned long		last_shrunk;
	unsigned long		flags;
};

/* Bits of unmapped_pool::flags */
enum {
	UNMAPPED_POOL_WOKEN,	/* somebody woke the worker already */
	UNMAPPED_POOL_MEND,	/* the direct map may be in pieces that it need not be in */
};

/* NULL where the zone has no memory, or there was none for this. */
static inline struct unmapped_pool *unmapped_pool(struct zone *zone,
						  freetype_t freetype)
{
	if (unlikely(!zone->unmapped_pools))
		return NULL;
	return &zone->unmapped_pools[freetype_index(freetype) - MIGRATE_TYPES];
}

static inline bool get_pageblock_unerased(const struct page *block)
{
	return get_pfnblock_bit(block, page_to_pfn(block), PB_unerased);
}

/* core.c */
extern struct workqueue_struct *unmapped_wq;

/* pool.c */

/* Zeroing a block takes a while: give way after that many pages. */
#define UNMAPPED_CLEAR_BATCH	32
/* Blocks for one time under the zone lock. */
#define UNMAPPED_POOL_BATCH	8
/* Blocks for one shootdown. */
#define UNMAPPED_BATCH_MAX	32U

/**
 * struct unmapped_batch - blocks that share a shootdown
 * @nr: how many
 * @blocks: which
 */
struct unmapped_batch {
	unsigned int nr;
	struct page *blocks[UNMAPPED_BATCH_MAX];
};

bool unmapped_pool_is_scattered(const struct unmapped_pool *pool);
int unmapped_pool_init(void);
unsigned int unmapped_batch_next(struct unmapped_pool *pool);
int unmapped_batch_apply(struct unmapped_pool *pool, struct unmapped_batch *batch,
			 unsigned int nr, enum zone_type highest_zoneidx,
			 unsigned long mark);
void unmapped_batch_flush(struct unmapped_pool *pool,
			  const struct unmapped_batch *batch);
unsigned int unmapped_batch_add(struct unmapped_pool *pool,
				struct unmapped_batch *batch);
void unmapped_pool_note_request(struct unmapped_pool *pool, gfp_t gfp);
void unmapped_pool_note_pressure(struct unmapped_pool *pool);
void unmapped_pool_watch(struct unmapped_pool *pool);

/* take.c */
struct page *unmapped_take(struct unmapped_pool *pool, unsigned int order,
			   enum zone_type highest_zoneidx, unsigned long mark);
struct page *unmapped_take_page(struct unmapped_pool *pool, unsigned int order,
				bool whole);
struct page *unmapped_take_unerased(struct unmapped_pool *pool, unsigned int order);
struct page *unmapped_put_unmapped(struct unmapped_pool *pool, struct page *page,
				   unsigned int order, bool unerased,
				   int want_order);
void unmapped_put(struct unmapped_pool *pool, struct page *page,
		  unsigned int order);
unsigned int unmapped_let_go(struct unmapped_pool *pool, unsigned int nr);

/* drain.c */
bool unmapped_drain_zone(struct zone *zone);

/* free.c */
bool unmapped_erase_dirty(void);

/* pcp.c */

/* So many pages lie on the lists of a CPU at most. */
#define UNMAPPED_PCP_MAX	64

struct page *unmapped_pcp_alloc(struct unmapped_pool *pool, unsigned int order,
				bool whole);
bool unmapped_pcp_drain(struct unmapped_pool *pool);
void unmapped_pcp_init(struct unmapped_pool *pool);
int unmapped_pcp_init_hotplug(void);

/* block.c */
int unmapped_block_prepare(struct unmapped_pool *pool, struct page *page,
			   unsigned int order);
bool unmapped_block_erase(struct unmapped_pool *pool, struct page *page,
			  unsigned int order);
int unmapped_block_apply(struct unmapped_pool *pool, struct page *block);
void unmapped_block_mark(struct unmapped_pool *pool, struct page *block,
			 bool unerased);
void unmapped_block_flush(struct unmapped_pool *pool, struct page *first,
			  unsigned long nr_blocks);
void unmapped_block_undo(struct unmapped_pool *pool, struct page *page,
			 unsigned int order);
struct page *unmapped_block_add(struct unmapped_pool *pool, struct page *page,
				unsigned int order, bool unerased, int want_order);
void unmapped_block_remove(struct unmapped_pool *pool, struct page *page,
			   unsigned int order, enum migratetype migratetype);
void unmapped_block_remove_taken(struct unmapped_pool *pool, struct page *block);
void unmapped_account_blocks(struct unmapped_pool *pool, long nr_pages);

/* zero.c */

/* So many pages are zeroed with IRQs off at a time. */
#define UNMAPPED_ZERO_BATCH	8U

bool unmapped_zero_supported(void);
int unmapped_zero_prepare(void);
bool unmapped_zero_pages(struct page *page, unsigned int nr);
bool unmapped_zero_batch(struct page *const *pages, unsigned int nr);

#if IS_ENABLED(CONFIG_KUNIT)
/* For tests/ */
extern unsigned int sysctl_unmapped_pool_blocks;
bool unmapped_pool_erase_block(struct unmapped_pool *pool, struct page *block);
bool unmapped_blocks_isolated(struct page *page, unsigned int order);
int unmapped_pcp_count(struct unmapped_pool *pool, int cpu);
struct unmapped_request;
void unmapped_accept(struct unmapped_pool *pool);
unsigned long unmapped_reclaim(struct unmapped_request *r, unsigned long max,
			       struct zone *poor);
bool unmapped_is_tight(struct unmapped_request *r);
#endif

#ifdef CONFIG_FREETYPE_TEST_PROPERTY
/* tests/property.c */
int test_property_prepare(struct page *block);
int test_property_apply(struct page *block);
void test_property_flush(struct page *first, unsigned long nr_blocks);
void test_property_undo(struct page *block);
bool test_property_applied(struct page *block);
#endif

#endif /* _MM_UNMAPPED_INTERNAL_H */
