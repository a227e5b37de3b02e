// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/unmapped_window: a few unmapped pages, which are read and written through
 * windows (vm/window.c).
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/uio.h>

#ifdef CONFIG_MERMAP
#include <linux/mermap.h>
#include <linux/unmapped.h>

#define ORDER	3
#define SIZE	(PAGE_SIZE << ORDER)

static struct page *window_page;

static ssize_t window_copy(struct kiocb *iocb, struct iov_iter *iter, bool to)
{
	loff_t pos = iocb->ki_pos;
	ssize_t ret;

	if (pos < 0 || pos >= SIZE)
		return 0;
	ret = to ? mermap_copy_to_iter(window_page, pos, SIZE - pos, iter) :
		   mermap_copy_from_iter(window_page, pos, SIZE - pos, iter);
	if (ret > 0)
		iocb->ki_pos += ret;
	return ret;
}

static ssize_t window_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	return window_copy(iocb, to, true);
}

static ssize_t window_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	return window_copy(iocb, from, false);
}

static const struct file_operations window_fops = {
	.owner		= THIS_MODULE,
	.read_iter	= window_read_iter,
	.write_iter	= window_write_iter,
	.llseek		= default_llseek,
};

static struct miscdevice window_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "unmapped_window",
	.fops	= &window_fops,
	.mode	= 0600,
};

static int __init window_init(void)
{
	int err = unmapped_enable();

	if (err)
		return err;
	window_page = alloc_pages(GFP_KERNEL | __GFP_UNMAPPED | __GFP_COMP, ORDER);
	if (!window_page)
		return -ENOMEM;
	err = misc_register(&window_device);
	if (err)
		__free_pages(window_page, ORDER);
	return err;
}

static void __exit window_exit(void)
{
	misc_deregister(&window_device);
	__free_pages(window_page, ORDER);
}
module_exit(window_exit);

#else

static int __init window_init(void)
{
	return -EOPNOTSUPP;
}

#endif
module_init(window_init);

MODULE_DESCRIPTION("Unmapped pages as a file");
MODULE_LICENSE("GPL");
