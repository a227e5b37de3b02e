// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copy between unmapped pages and user memory, or whatever an iov_iter is.
 *
 * A fault of user memory can take as long as user space likes: it may be on a
 * network file system, or on userfaultfd. No window is open meanwhile, as whoever
 * has one holds up CPU hotplug.
 */
#include <linux/export.h>
#include <linux/mermap.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uio.h>

/* So often in a row a fault may be handled for nothing. */
#define MERMAP_COPY_TRIES	8

/* Copy what is in one page. Returns less where user memory would fault. */
static size_t mermap_copy_some(struct page *page, size_t offset, size_t len,
			       struct iov_iter *iter, bool to)
{
	pgprot_t prot = to ? PAGE_KERNEL_RO : PAGE_KERNEL;
	struct mermap_window w;
	size_t copied = 0;

	w = mermap_get(page, PAGE_SIZE, prot);
	if (!mermap_addr(w))
		w = mermap_get_reserved(page, prot);
	if (!mermap_addr(w))
		return 0;

	if (to)
		copied = copy_to_iter(mermap_addr(w) + offset, len, iter);
	else
		copied = copy_from_iter(mermap_addr(w) + offset, len, iter);
	mermap_put(w);
	return copied;
}

static ssize_t mermap_copy(struct page *page, size_t offset, size_t bytes,
			   struct iov_iter *iter, bool to)
{
	size_t done = 0, len, copied, absent;
	int err, idle = 0;

	might_sleep();
	if (WARN_ON_ONCE(!current->mm || iov_iter_rw(iter) != (to ? READ : WRITE)))
		return -EINVAL;
	err = mermap_mm_prepare(current->mm);
	if (err)
		return err;

	bytes = min(bytes, iov_iter_count(iter));
	while (done < bytes) {
		struct page *p = page + ((offset + done) >> PAGE_SHIFT);
		size_t at = offset_in_page(offset + done);

		len = min(bytes - done, PAGE_SIZE - at);
		copied = mermap_copy_some(p, at, len, iter, to);
		done += copied;
		len -= copied;
		cond_resched();
		idle = copied ? 0 : idle + 1;
		if (!len)
			continue;

		/* It is there, and gone again, or cannot be copied to for some reason */
		if (idle > MERMAP_COPY_TRIES)
			return done ?: -EFAULT;
		absent = to ? fault_in_iov_iter_writeable(iter, len) :
			      fault_in_iov_iter_readable(iter, len);
		if (absent == len)
			return done ?: -EFAULT;
		if (fatal_signal_pending(current))
			return done ?: -EINTR;
	}
	return done;
}

/**
 * mermap_copy_to_iter() - copy from unmapped pages to an iterator
 * @page: the first page. The pages are physically contiguous, not anonymous, and
 *	the caller holds a reference to them.
 * @offset: where to begin, from the start of @page
 * @bytes: how much
 * @iter: where to; moves on by what was copied
 *
 * Prepares current->mm for windows, if that was not done before.
 *
 * Context: task context, may sleep, and handles faults of user memory: without
 * mmap_lock, and without a lock that such a fault may take.
 * Return: how much was copied, less than @bytes where @iter ends or user memory
 * is not there; -EFAULT if none, -EINTR, -ENOMEM, -EINVAL without current->mm,
 * -EOPNOTSUPP where the machine has no windows.
 */
ssize_t mermap_copy_to_iter(struct page *page, size_t offset, size_t bytes,
			    struct iov_iter *iter)
{
	return mermap_copy(page, offset, bytes, iter, true);
}
EXPORT_SYMBOL_GPL(mermap_copy_to_iter);

/**
 * mermap_copy_from_iter() - copy from an iterator to unmapped pages
 * @page: as for mermap_copy_to_iter()
 * @offset: where to begin, from the start of @page
 * @bytes: how much
 * @iter: where from; moves on by what was copied
 *
 * Context: as for mermap_copy_to_iter().
 * Return: as for mermap_copy_to_iter().
 */
ssize_t mermap_copy_from_iter(struct page *page, size_t offset, size_t bytes,
			      struct iov_iter *iter)
{
	return mermap_copy(page, offset, bytes, iter, false);
}
EXPORT_SYMBOL_GPL(mermap_copy_from_iter);
