// SPDX-License-Identifier: GPL-2.0-only
/* A driver that reads what the kernel cannot see: an oops while it is loaded (vm/oops.sh). */
#include <linux/mm.h>
#include <linux/module.h>

#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
#include <linux/unmapped.h>

static int __init oops_init(void)
{
	struct page *page;
	int ret;

	ret = unmapped_enable();
	if (ret)
		return ret;
	page = alloc_page(GFP_KERNEL | __GFP_UNMAPPED);
	if (!page)
		return -ENOMEM;
	pr_info("unmapped_oops: reads pfn 0x%lx\n", page_to_pfn(page));
	ret = READ_ONCE(*(int *)page_address(page));
	pr_info("unmapped_oops: read %d\n", ret);
	__free_page(page);
	return -EINVAL;
}
module_init(oops_init);
#endif

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Oops at the direct-map address of an unmapped page");
