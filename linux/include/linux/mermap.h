/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mermap: per-CPU windows in the mm-local region, through which the current
 * CPU can touch an unmapped page for a moment. See Documentation/mm/mermap.rst.
 */
#ifndef _LINUX_MERMAP_H
#define _LINUX_MERMAP_H

#include <linux/bitops.h>
#include <linux/cleanup.h>
#include <linux/errno.h>
#include <linux/mm_types.h>
#include <linux/page-flags.h>
#include <linux/pgtable.h>

struct iov_iter;

/*
 * Every CPU has this many pages of address space in each prepared mm. Slot 0
 * is the reserve. The entries of two CPUs never share a cache line.
 */
#define MERMAP_SLOTS		16U
#define MERMAP_RESERVED_SLOT	0U
/* The largest window, in pages and in bytes. */
#define MERMAP_MAX_PAGES	8U
#define MERMAP_MAX_SIZE		(MERMAP_MAX_PAGES * PAGE_SIZE)

/**
 * struct mermap_window - an open window, or none
 * @val: The page-aligned address, and in the low bits the number of pages and
 *	MERMAP_RESERVED; 0 if there is no window. Use the accessors.
 *
 * Small enough to be passed and returned by value, in a register.
 */
struct mermap_window {
	unsigned long val;
};

#define MERMAP_NR_MASK		0xffUL
#define MERMAP_RESERVED		0x100UL

/**
 * mermap_addr() - where a window shows its page
 * @w: what mermap_get() or mermap_get_reserved() returned
 *
 * Return: the address, or NULL if there is no window.
 */
static __always_inline void *mermap_addr(struct mermap_window w)
{
	return (void *)(w.val & PAGE_MASK);
}

/**
 * mermap_nr_pages() - how many pages a window shows
 * @w: what mermap_get() or mermap_get_reserved() returned
 *
 * Return: the number of pages; 0 if there is no window.
 */
static __always_inline unsigned int mermap_nr_pages(struct mermap_window w)
{
	return w.val & MERMAP_NR_MASK;
}

/*
 * The bookkeeping, as functions of nothing but their arguments.
 */

/**
 * mermap_size_to_slots() - how many slots a window needs
 * @size: bytes, from the start of a page
 *
 * Return: the number of slots, or 0 if no window can be that large (or @size
 * is 0). Judged after rounding up, and without overflow.
 */
static __always_inline unsigned int mermap_size_to_slots(unsigned long size)
{
	unsigned long nr = (size >> PAGE_SHIFT) + !!(size & ~PAGE_MASK);

	return nr <= MERMAP_MAX_PAGES ? nr : 0;
}

/**
 * mermap_slots_mask() - the bits of some slots
 * @slot: the first
 * @nr: how many, 1 to MERMAP_MAX_PAGES
 *
 * Return: the bits.
 */
static __always_inline unsigned long mermap_slots_mask(unsigned int slot,
						       unsigned int nr)
{
	return ((1UL << nr) - 1) << slot;
}

/**
 * mermap_slots_find() - find adjacent free slots
 * @used: one bit a slot, set where in use
 * @nr: how many are wanted, 1 to MERMAP_MAX_PAGES
 *
 * The reserve is passed over.
 *
 * Return: one bit for each slot at which @nr free slots begin, or 0.
 */
static __always_inline unsigned long mermap_slots_find(unsigned long used,
						       unsigned int nr)
{
	unsigned long start = ~(used | BIT(MERMAP_RESERVED_SLOT)) &
			      (BIT(MERMAP_SLOTS) - 1);

	for (; nr > 1; nr--)
		start &= start >> 1;

	return start;
}

#ifdef CONFIG_MERMAP

int mermap_mm_prepare(struct mm_struct *mm);
struct mermap_window mermap_get(struct page *page, unsigned long size,
				pgprot_t prot);
struct mermap_window mermap_get_reserved(struct page *page, pgprot_t prot);
void mermap_put(struct mermap_window w);

ssize_t mermap_copy_to_iter(struct page *page, size_t offset, size_t bytes,
			    struct iov_iter *iter);
ssize_t mermap_copy_from_iter(struct page *page, size_t offset, size_t bytes,
			      struct iov_iter *iter);

static inline void __mermap_class_put(struct mermap_window w)
{
	if (w.val)
		mermap_put(w);
}

/*
 * Close the window when the scope ends. What was not opened is not closed: the
 * user must look at mermap_addr().
 */
DEFINE_CLASS(mermap, struct mermap_window, __mermap_class_put(_T),
	     mermap_get(page, size, prot),
	     struct page *page, unsigned long size, pgprot_t prot)
DEFINE_CLASS(mermap_reserved, struct mermap_window, __mermap_class_put(_T),
	     mermap_get_reserved(page, prot),
	     struct page *page, pgprot_t prot)

/*
 * Taint. A page that was seen through a window may still be in some TLB, and
 * only a flush of all CPUs makes sure that it is not. PG_mermapped says so.
 * It is set by mermap_get(), before the window opens, by an owner who holds a
 * reference; the allocator takes it away with all other flags.
 */

/**
 * mermap_page_tainted() - may a CPU hold a translation of a window to the page?
 * @page: a page that is being freed, with its flags still there. Each page of
 *	a large folio has to be looked at.
 *
 * If so, the page must not reach a new owner before mermap_flush() has been
 * called: see there. Nobody can set the flag while this is asked, as setting
 * it takes a reference.
 *
 * Context: any.
 * Return: true if so.
 */
static __always_inline bool mermap_page_tainted(const struct page *page)
{
	return test_bit(PG_mermapped, &page->flags.f);
}

void mermap_flush(void);

void mermap_mm_destroy(struct mm_struct *mm);

static inline void mermap_mm_init(struct mm_struct *mm)
{
	mm->mermap = NULL;
}

#else /* !CONFIG_MERMAP */

static inline ssize_t mermap_copy_from_iter(struct page *page, size_t offset,
					    size_t bytes, struct iov_iter *iter)
{
	return -EOPNOTSUPP;
}

static inline bool mermap_page_tainted(const struct page *page)
{
	return false;
}

static inline void mermap_flush(void) { }
static inline void mermap_mm_init(struct mm_struct *mm) { }
static inline void mermap_mm_destroy(struct mm_struct *mm) { }

#endif /* CONFIG_MERMAP */
#endif /* _LINUX_MERMAP_H */
