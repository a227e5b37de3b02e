// SPDX-License-Identifier: GPL-2.0
/*
 * Folios that the page cache keeps off the direct map.
 *
 * Copyright IBM Corporation, 2021
 *
 * Author: Mike Rapoport <rppt@linux.ibm.com>
 *
 * No folio of a mapping with AS_NO_DIRECT_MAP is in the direct map for as long
 * as it is in that mapping. The page allocator may have seen to that: such a
 * folio came unmapped, stays so, and is erased by it when it is free. Any other
 * folio is taken out when it enters the page cache, alone, and put back when it
 * leaves it:
 *
 *	page_unmapped()		enters			leaves
 *	yes			-			-
 *	no			zap, insert, flush	restore, erase
 *
 * page_unmapped() says which kind a folio is, not how the mapping is meant to be
 * served: whoever allocated it, what is inserted ends up off the direct map.
 */

#include <linux/mm.h>
#include <linux/fdtable.h>
#include <linux/highmem.h>
#include <linux/mmap_lock.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/set_memory.h>
#include <linux/unmapped.h>

#include <asm/tlbflush.h>

#include "internal.h"
#include "unmapped.h"

/**
 * folio_zap_direct_map - take a folio out of the direct map
 * @folio: the folio, about to enter a mapping with AS_NO_DIRECT_MAP, for which
 *	page_unmapped() is false
 *
 * CPUs may have it in their TLBs until folio_flush_direct_map().
 *
 * Context: task, may sleep.
 * Return: 0; or an error, and all of it is in the direct map as before.
 */
int folio_zap_direct_map(struct folio *folio)
{
	long nr = folio_nr_pages(folio), i;
	int err;

	for (i = 0; i < nr; i++) {
		err = set_direct_map_invalid_noflush(folio_page(folio, i));
		if (err)
			goto undo;
	}
	return 0;

undo:
	while (i--)
		set_direct_map_default_noflush(folio_page(folio, i));
	return err;
}

/**
 * folio_flush_direct_map - no CPU can reach a folio any more
 * @folio: the folio that folio_zap_direct_map() took out, which nobody could write to yet
 *
 * Context: task.
 */
void folio_flush_direct_map(struct folio *folio)
{
	unsigned long addr = (unsigned long)folio_address(folio);

	flush_tlb_kernel_range(addr, addr + folio_size(folio));
}

/**
 * folio_restore_direct_map - undo folio_zap_direct_map()
 * @folio: the folio
 *
 * If a large entry had to be split for it, that happened when the folio was
 * taken out: this cannot fail.
 *
 * Context: task.
 */
void folio_restore_direct_map(struct folio *folio)
{
	long nr = folio_nr_pages(folio), i;

	for (i = 0; i < nr; i++)
		set_direct_map_default_noflush(folio_page(folio, i));
}

/*
 * The page allocator erases its own when they are free. One that others have
 * references of does not wait for them: in the folio batch of a CPU that is
 * idle it could be for minutes.
 */
static void erase_what_stays(struct folio *folio)
{
	/* The mapping's own, and that of who removed it from there; frozen: none */
	const int expected = folio_nr_pages(folio) + 1;

	if (likely(folio_ref_count(folio) <= expected))
		return;
	/* This CPU's batch: where a page that lived shortly is most of the time */
	lru_add_drain();
	if (folio_ref_count(folio) > expected)
		folio_erase_no_direct_map(folio, 0, folio_nr_pages(folio));
}

/**
 * folio_erase_direct_map - a folio goes back to the direct map, empty
 * @folio: the folio, which left a mapping with AS_NO_DIRECT_MAP
 *
 * Context: task.
 */
void folio_erase_direct_map(struct folio *folio)
{
	if (page_unmapped(&folio->page)) {
		erase_what_stays(folio);
		return;
	}
	/* Nothing touches or maps what is hardware-poisoned: unpoison_memory() refuses */
	if (folio_contain_hwpoisoned_page(folio))
		return;

	folio_restore_direct_map(folio);
	folio_zero_segment(folio, 0, folio_size(folio));
}

/**
 * folio_erase_no_direct_map - erase a part of a folio that stays in its mapping
 * @folio: the folio, locked, of a mapping with AS_NO_DIRECT_MAP, from an unmapped block
 * @first: the first page of the part
 * @nr: how many pages it is
 *
 * A page that is hardware-poisoned is left alone: nobody reads it.
 *
 * Context: task.
 */
void folio_erase_no_direct_map(struct folio *folio, unsigned long first,
			       unsigned long nr)
{
	VM_WARN_ON_ONCE_FOLIO(!page_unmapped(&folio->page), folio);
	VM_WARN_ON_ONCE_FOLIO(first + nr > folio_nr_pages(folio), folio);

	/* Only where a task cannot be does it fail */
	if (!WARN_ON_ONCE(!unmapped_erase_pages(folio_page(folio, first), nr)))
		unmapped_count_erased(nr);
}

static bool mapping_is_held(const struct address_space *mapping,
			    const struct address_space *wanted)
{
	return wanted ? mapping == wanted :
		mapping_no_direct_map(mapping) && mapping->nrpages;
}

static int file_is_held(const void *wanted, struct file *file, unsigned int fd)
{
	return mapping_is_held(file->f_mapping, wanted);
}

/* An mm that is locked is passed over: who asks may have it locked himself. */
static bool mm_holds(struct mm_struct *mm, const struct address_space *wanted)
{
	VMA_ITERATOR(vmi, mm, 0);
	struct vm_area_struct *vma;
	bool found = false;

	if (!mmap_read_trylock(mm))
		return false;
	for_each_vma(vmi, vma) {
		found = vma->vm_file && mapping_is_held(vma->vm_file->f_mapping, wanted);
		if (found)
			break;
	}
	mmap_read_unlock(mm);
	return found;
}

/**
 * no_direct_map_holder - whose memory is off the direct map?
 * @mapping: pages of this mapping; NULL: of any with AS_NO_DIRECT_MAP
 * @comm: room for TASK_COMM_LEN bytes, for its name
 *
 * For who is refused something because of it, to say so. Looks at the files and
 * the mappings of one process after the other.
 *
 * Context: task.
 * Return: the first process that has such a file open, or mapped, in the initial
 * PID namespace; 0 if none was found: a descriptor can be on its way, and the
 * kernel have pages of its own.
 */
pid_t no_direct_map_holder(const struct address_space *mapping, char *comm)
{
	struct task_struct *p;
	bool held;

	guard(rcu)();
	for_each_process(p) {
		/* Locked; another thread's where the first one is gone already */
		struct task_struct *t = find_lock_task_mm(p);

		if (!t)
			continue;
		held = (t->files && iterate_fd(t->files, 0, file_is_held, mapping)) ||
			mm_holds(t->mm, mapping);
		if (held)
			strscpy_pad(comm, t->comm, TASK_COMM_LEN);
		task_unlock(t);
		if (held)
			return task_tgid_nr(p);
	}
	return 0;
}
