// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the modes of policy need and only the kernel can do, in debugfs policy/.
 *
 * hold	N: allocate N pages of the largest order, and in each of their pageblocks
 *	make one page uncached and cached again. 0: free them, the highest first,
 *	so that the lowest is at the head of the free list. They are free then and
 *	in 4 KiB entries of the direct map, as a graphics driver leaves memory
 *	behind when its pool of uncached pages shrinks.
 * huge	N: ask N times for a pageblock, as a huge page is asked for, with compaction
 *	but no reclaim. What is had is kept. -N: give N of these back.
 * stats	pages held, their blocks that are no longer mapped by one entry; huge pages
 *	that were asked for, and those that are kept
 */
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/sort.h>
#include <linux/vmalloc.h>
#include <asm/pgtable.h>
#include <asm/set_memory.h>

#define ORDER		MAX_PAGE_ORDER
#define MOST		4096

static struct page **held, **one_each;
static unsigned int nr_held, nr_split;
static DEFINE_MUTEX(held_lock);
static struct dentry *dir;

static struct page *kept[MOST];
static unsigned int nr_kept;
static atomic_t nr_asked;
static DEFINE_MUTEX(kept_lock);

static int by_address(const void *a, const void *b)
{
	const struct page *p = *(struct page **)a, *q = *(struct page **)b;

	return p < q ? -1 : p > q;
}

static int hold(unsigned int nr)
{
	const unsigned int each = (1U << ORDER) / pageblock_nr_pages;
	unsigned int i, level, nr_pages = 0;
	int err;

	if (nr_held || nr > MOST)
		return -EINVAL;

	for (i = 0; i < nr; i++) {
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN, ORDER);

		if (!page)
			break;
		held[nr_held++] = page;
	}
	sort(held, nr_held, sizeof(*held), by_address, NULL);

	for (i = 0; i < nr_held * each; i++)
		one_each[nr_pages++] = held[i / each] + i % each * pageblock_nr_pages;
	err = set_pages_array_uc(one_each, nr_pages);
	if (!err)
		err = set_pages_array_wb(one_each, nr_pages);

	nr_split = 0;
	for (i = 0; i < nr_pages; i++) {
		if (lookup_address((unsigned long)page_address(one_each[i]), &level) &&
		    level == PG_LEVEL_4K)
			nr_split++;
	}
	return err;
}

static void release(void)
{
	while (nr_held)
		__free_pages(held[--nr_held], ORDER);
}

static ssize_t hold_write(struct file *file, const char __user *buf,
			  size_t count, loff_t *pos)
{
	unsigned int nr;
	int err;

	err = kstrtouint_from_user(buf, count, 0, &nr);
	if (err)
		return err;

	guard(mutex)(&held_lock);
	if (nr)
		err = hold(nr);
	else
		release();
	return err ?: count;
}

static const struct file_operations hold_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= hold_write,
};

static void ask(void)
{
	struct page *page = alloc_pages(GFP_TRANSHUGE | __GFP_NORETRY | __GFP_THISNODE,
					pageblock_order);

	atomic_inc(&nr_asked);
	if (!page)
		return;
	guard(mutex)(&kept_lock);
	if (nr_kept < MOST)
		kept[nr_kept++] = page;
	else
		__free_pages(page, pageblock_order);
}

static void give(unsigned int nr)
{
	guard(mutex)(&kept_lock);
	while (nr-- && nr_kept)
		__free_pages(kept[--nr_kept], pageblock_order);
}

static ssize_t huge_write(struct file *file, const char __user *buf,
			  size_t count, loff_t *pos)
{
	int nr, err;

	err = kstrtoint_from_user(buf, count, 0, &nr);
	if (err)
		return err;
	if (nr < 0)
		give(-nr);
	for (; nr > 0 && !signal_pending(current); nr--)
		ask();
	return count;
}

static const struct file_operations huge_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= huge_write,
};

static int stats_show(struct seq_file *m, void *unused)
{
	guard(mutex)(&held_lock);
	seq_printf(m, "held %u\nsplit %u\nasked %d\nkept %u\n", nr_held, nr_split,
		   atomic_read(&nr_asked), READ_ONCE(nr_kept));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int __init policy_init(void)
{
	held = vcalloc(MOST, sizeof(*held));
	one_each = vcalloc(MOST * ((1U << ORDER) / pageblock_nr_pages), sizeof(*one_each));
	if (!held || !one_each) {
		vfree(held);
		vfree(one_each);
		return -ENOMEM;
	}
	dir = debugfs_create_dir("policy", NULL);
	debugfs_create_file("hold", 0200, dir, NULL, &hold_fops);
	debugfs_create_file("huge", 0200, dir, NULL, &huge_fops);
	debugfs_create_file("stats", 0444, dir, NULL, &stats_fops);
	return 0;
}
module_init(policy_init);

static void __exit policy_exit(void)
{
	debugfs_remove(dir);
	release();
	give(MOST);
	vfree(held);
	vfree(one_each);
}
module_exit(policy_exit);

MODULE_DESCRIPTION("Situations that the modes of policy need");
MODULE_LICENSE("GPL");
