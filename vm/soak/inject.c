// SPDX-License-Identifier: GPL-2.0-only
/* What is made to fail, one time in a hundred. */
#include "soak.h"

#define FUNCTION	"unmapped_block_apply"
#define PERCENT		1	/* of what can fail does */
#define TIMES		1000000000L
/* So many unmaps that one in a hundred has failed, but for one run in a thousand */
#define MANY_UNMAPS	700L

static int attr(const char *what, const char *name, long value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", what, name);
	return write_file(path, "%ld", value);
}

static long attr_read(const char *what, const char *name)
{
	char path[128];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", what, name);
	f = fopen(path, "r");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

void inject_nothing(void)
{
	attr("fail_page_alloc", "probability", 0);
	attr("fail_function", "probability", 0);
}

long injected_pages(void)
{
	return TIMES - attr_read("fail_page_alloc", "times");
}

long injected_unmaps(void)
{
	return TIMES - attr_read("fail_function", "times");
}

bool both_failed(void)
{
	return injected_pages() > 0 && injected_unmaps() > 0;
}

const char *inject_prepare(void)
{
	static const char * const both[] = { "fail_page_alloc", "fail_function" };

	if (access(DEBUGFS "fail_page_alloc/probability", W_OK))
		return "no fail_page_alloc in debugfs (CONFIG_FAIL_PAGE_ALLOC)";
	if (access(DEBUGFS "fail_function/inject", W_OK))
		return "no fail_function in debugfs (CONFIG_FAIL_FUNCTION)";
	if (access("/proc/self/make-it-fail", W_OK))
		return "no /proc/self/make-it-fail (CONFIG_FAULT_INJECTION)";
	inject_nothing();
	/* One before us may have said so */
	if (access(DEBUGFS "fail_function/" FUNCTION, F_OK) &&
	    write_file(DEBUGFS "fail_function/inject", FUNCTION))
		return "cannot make " FUNCTION " fail";
	if (write_file(DEBUGFS "fail_function/" FUNCTION "/retval", "0xfffffffffffffff4"))
		return "cannot choose how " FUNCTION " fails";
	for (int i = 0; i < 2; i++) {
		/* No report of each: they are expected */
		if (attr(both[i], "verbose", 0) || attr(both[i], "interval", 1) ||
		    attr(both[i], "space", 0) || attr(both[i], "times", TIMES))
			return "cannot set what is common to both kinds of failures";
	}
	/* The worker that fills the pool unmaps blocks too. */
	if (attr("fail_function", "task-filter", 0))
		return "cannot make it fail for all";
	/* Any order, any context; user memory (__GFP_HIGHMEM) too. */
	if (write_file(DEBUGFS "fail_page_alloc/task-filter", "Y") ||
	    write_file(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N") ||
	    write_file(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N") ||
	    attr("fail_page_alloc", "min-order", 0))
		return "cannot choose which page allocations fail";
	return NULL;
}

void inject_start(void)
{
	if (attr("fail_page_alloc", "probability", PERCENT) ||
	    attr("fail_function", "probability", PERCENT))
		die("fault injection");
}

void inject_here(void)
{
	if (write_file("/proc/self/make-it-fail", "1"))
		die("make-it-fail");
}

void print_failures(void)
{
	struct flips flips = flips_now();

	printf("%ld page allocations and %ld unmaps made to fail; %ld blocks unmapped, %ld remapped\n",
	       injected_pages(), injected_unmaps(), flips.unmapped, flips.remapped);
	fflush(stdout);
}

void judge_failures(const struct flips *flips)
{
	claim(injected_pages() > 0, "page allocations failed: %ld", injected_pages());
	claim(injected_unmaps() > 0 ? flips->failed > 0 : flips->unmapped < MANY_UNMAPS,
	      "unmaps failed: %ld, of %ld", injected_unmaps(), flips->unmapped + flips->failed);
}
