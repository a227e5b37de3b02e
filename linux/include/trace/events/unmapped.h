/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page allocation off the direct map: what was flipped, flushed and erased. See
 * Documentation/mm/unmapped.rst.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM unmapped

#if !defined(_TRACE_UNMAPPED_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_UNMAPPED_H

#include <linux/mmzone.h>
#include <linux/tracepoint.h>

/* Free blocks were taken out of the direct map, or could not be */
TRACE_EVENT(unmapped_flip_unmap,

	TP_PROTO(unsigned long pfn, unsigned int nr_blocks, int error),

	TP_ARGS(pfn, nr_blocks, error),

	TP_STRUCT__entry(
		__field(unsigned long,	pfn)
		__field(unsigned int,	nr_blocks)
		__field(int,		error)
	),

	TP_fast_assign(
		__entry->pfn		= pfn;
		__entry->nr_blocks	= nr_blocks;
		__entry->error		= error;
	),

	TP_printk("pfn=0x%lx nr_blocks=%u error=%d",
		  __entry->pfn, __entry->nr_blocks, __entry->error)
);

/* A wholly free block was put back; the zone lock is held */
TRACE_EVENT(unmapped_flip_remap,

	TP_PROTO(unsigned long pfn),

	TP_ARGS(pfn),

	TP_STRUCT__entry(
		__field(unsigned long,	pfn)
	),

	TP_fast_assign(
		__entry->pfn		= pfn;
	),

	TP_printk("pfn=0x%lx", __entry->pfn)
);

/* All CPUs were flushed; the blocks unmapped are somewhere in the range */
TRACE_EVENT(unmapped_shootdown,

	TP_PROTO(unsigned long pfn, unsigned long nr_blocks),

	TP_ARGS(pfn, nr_blocks),

	TP_STRUCT__entry(
		__field(unsigned long,	pfn)
		__field(unsigned long,	nr_blocks)
	),

	TP_fast_assign(
		__entry->pfn		= pfn;
		__entry->nr_blocks	= nr_blocks;
	),

	TP_printk("pfn=0x%lx nr_blocks=%lu", __entry->pfn, __entry->nr_blocks)
);

/* A page was freed that could not be erased there and then */
TRACE_EVENT(unmapped_dirty_queue,

	TP_PROTO(unsigned long pfn, unsigned int order, bool tainted),

	TP_ARGS(pfn, order, tainted),

	TP_STRUCT__entry(
		__field(unsigned long,	pfn)
		__field(unsigned int,	order)
		__field(bool,		tainted)
	),

	TP_fast_assign(
		__entry->pfn		= pfn;
		__entry->order		= order;
		__entry->tainted	= tainted;
	),

	TP_printk("pfn=0x%lx order=%u tainted=%d",
		  __entry->pfn, __entry->order, __entry->tainted)
);

/* ... and later was */
TRACE_EVENT(unmapped_dirty_erase,

	TP_PROTO(unsigned long pfn, unsigned int order),

	TP_ARGS(pfn, order),

	TP_STRUCT__entry(
		__field(unsigned long,	pfn)
		__field(unsigned int,	order)
	),

	TP_fast_assign(
		__entry->pfn		= pfn;
		__entry->order		= order;
	),

	TP_printk("pfn=0x%lx order=%u", __entry->pfn, __entry->order)
);

/* The worker added blocks to the pool of a zone, or let go of some */
TRACE_EVENT(unmapped_pool,

	TP_PROTO(struct zone *zone, int change, unsigned long blocks,
		 unsigned long target),

	TP_ARGS(zone, change, blocks, target),

	TP_STRUCT__entry(
		__field(int,		nid)
		__string(name,		zone->name)
		__field(int,		change)
		__field(unsigned long,	blocks)
		__field(unsigned long,	target)
	),

	TP_fast_assign(
		__entry->nid		= zone_to_nid(zone);
		__assign_str(name);
		__entry->change		= change;
		__entry->blocks		= blocks;
		__entry->target		= target;
	),

	TP_printk("nid=%d zone=%s change=%d blocks=%lu target=%lu",
		  __entry->nid, __get_str(name), __entry->change,
		  __entry->blocks, __entry->target)
);

#endif /* _TRACE_UNMAPPED_H */

#include <trace/define_trace.h>
