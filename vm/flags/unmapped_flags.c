// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests for unmapped pages with each of the GFP flags that say how hard to
 * try. Whoever writes to debugfs unmapped_flags/try makes some requests with
 * each, and so decides which context they come from and what is made to fail
 * meanwhile. Those that may not block are made where blocking is a bug that the
 * kernel reports: under a spinlock.
 *
 * Each page had is looked at: it has to be zero, and the direct map must not
 * show it. It is written to, and freed. unmapped_flags/stats has a line a flag.
 */
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

/* Requests with each flag for each write */
#define TRIES	8

#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
#include <linux/unmapped.h>

static struct flag {
	const char *name;
	gfp_t gfp;
	atomic_long_t tries;
	atomic_long_t had;
	atomic_long_t wrong;
} flags[] = {
	{ "atomic", GFP_ATOMIC },
	{ "nowait", GFP_NOWAIT },
	{ "noretry", GFP_KERNEL | __GFP_NORETRY },
	{ "kernel", GFP_KERNEL },
	{ "retry_mayfail", GFP_KERNEL | __GFP_RETRY_MAYFAIL },
	{ "nofail", GFP_KERNEL | __GFP_NOFAIL },
};

static DEFINE_SPINLOCK(flags_lock);
static struct dentry *flags_dir;

static bool readable(const struct page *page)
{
	unsigned long word;
	bool yes = true;

	pagefault_disable();
	__get_kernel_nofault(&word, page_address(page), unsigned long, fault);
out:
	pagefault_enable();
	return yes;
fault:
	yes = false;
	goto out;
}

static bool page_right(struct page *page)
{
	bool right = !readable(page);
	void *mem;

	mem = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
	/* Made to fail, or no memory: nothing to say about the page */
	if (!mem)
		return right;
	right &= !memchr_inv(mem, 0, PAGE_SIZE);
	memset(mem, 0x5e, PAGE_SIZE);
	vunmap(mem);
	return right;
}

static void try_flag(struct flag *flag)
{
	const gfp_t gfp = flag->gfp | __GFP_UNMAPPED | __GFP_NOWARN;
	struct page *pages[TRIES];
	const bool blocking = gfpflags_allow_blocking(gfp);
	int i, nr = 0;

	if (!blocking)
		spin_lock_bh(&flags_lock);
	for (i = 0; i < TRIES; i++) {
		pages[nr] = alloc_page(gfp);
		if (pages[nr])
			nr++;
	}
	if (!blocking)
		spin_unlock_bh(&flags_lock);

	atomic_long_add(TRIES, &flag->tries);
	atomic_long_add(nr, &flag->had);
	while (nr--) {
		if (!page_right(pages[nr]))
			atomic_long_inc(&flag->wrong);
		__free_page(pages[nr]);
	}
}

static ssize_t try_write(struct file *file, const char __user *buf,
			 size_t count, loff_t *pos)
{
	for (int i = 0; i < ARRAY_SIZE(flags); i++)
		try_flag(&flags[i]);
	return count;
}

static const struct file_operations try_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= try_write,
};

static int stats_show(struct seq_file *m, void *unused)
{
	for (int i = 0; i < ARRAY_SIZE(flags); i++)
		seq_printf(m, "%s %ld %ld %ld\n", flags[i].name,
			   atomic_long_read(&flags[i].tries),
			   atomic_long_read(&flags[i].had),
			   atomic_long_read(&flags[i].wrong));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

static int __init flags_init(void)
{
	int err = unmapped_enable();

	if (err)
		return err;

	flags_dir = debugfs_create_dir("unmapped_flags", NULL);
	debugfs_create_file("try", 0200, flags_dir, NULL, &try_fops);
	debugfs_create_file("stats", 0444, flags_dir, NULL, &stats_fops);
	return 0;
}

static void __exit flags_exit(void)
{
	debugfs_remove(flags_dir);
}
module_exit(flags_exit);

#else

static int __init flags_init(void)
{
	return -EOPNOTSUPP;
}

#endif
module_init(flags_init);

MODULE_DESCRIPTION("Requests for unmapped pages with each GFP flag");
MODULE_LICENSE("GPL");
