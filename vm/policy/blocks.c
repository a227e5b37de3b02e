// SPDX-License-Identifier: GPL-2.0-only
/* Blocks that cannot be unmapped, and requests that cannot be served. */
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/module.h"
#include "program.h"
#include "unmapped_util.h"
#include "policy.h"

#define FIXED_SECRET	(64 * MiB)

/*
 * Half of memory is free and cannot be unmapped, and is what an unmovable
 * request takes first; the other half can. First version: 424 flips failed, 6
 * compactions.
 */
int mode_fixed(int argc, char **argv)
{
	long nr = argc > 1 ? atol(argv[1]) : read_meminfo("MemFree") / 2 / 4096;
	long pool = set_pool_blocks(0);
	struct counts then;
	size_t had;
	char *mem;
	double start;

	plan(3);
	module_load("policy_pages", "");
	prepared(!write_file(POLICY_DEBUGFS "hold", "%ld", nr), "pages are held and their attributes changed");
	figure("%ld of %ld pages of order 10 held, %ld of their blocks in 4 KiB entries",
	       field(POLICY_DEBUGFS "stats", "held"), nr, field(POLICY_DEBUGFS "stats", "split"));
	prepared(field(POLICY_DEBUGFS "stats", "held") == nr &&
		 field(POLICY_DEBUGFS "stats", "split") == 2 * nr, "no held block is in one entry");
	prepared(!write_file(POLICY_DEBUGFS "hold", "0"), "held pages are freed");
	figure("free pages of order 10: %ld unmovable, %ld movable",
	       free_blocks(10, "Unmovable"), free_blocks(10, "Movable"));
	prepared(free_blocks(10, "Unmovable") >= nr / 10 * 9, "they are free on the unmovable lists");
	prepared(free_blocks(10, "Movable") * 4 * (long)MiB >= 2 * (long)FIXED_SECRET, "as much can be unmapped");

	mem = secret_map(FIXED_SECRET);
	prepared(mem != MAP_FAILED, "secret memory is mapped");
	then = counts();
	start = now();
	had = touch_some(mem, FIXED_SECRET, PATTERN);
	figure("%lu of %lu MiB in %.1f s", had / MiB, FIXED_SECRET / MiB, now() - start);
	print_since(&then, "meanwhile");
	judge(had == FIXED_SECRET, "all secret memory was had");
	judge(!has_counter(FLIP_FAIL) || !since(&then, FLIP_FAIL), "no flip failed");
	judge(!since(&then, COMPACT_STALL), "nobody compacted memory for it");
	if (pool >= 0)
		set_pool_blocks(pool);
	return verdict();
}

#define FAILURES	20
#define CACHE		(300 * MiB)
#define MEMCG_MAX	(16 * MiB)
#define GROUP		"/sys/fs/cgroup/policy"

/* What failing requests did: of how many, since then. */
static void judge_failing(const struct counts *then, long cached, long swap, int failures,
			  const char *who)
{
	long lost = cached - read_meminfo("Cached");

	figure("%s: %d requests failed; page cache %+ld KiB, swap in use %+ld KiB", who, failures,
	       -lost, swap - read_meminfo("SwapFree"));
	print_since(then, who);
	judge(lost <= 8 * 1024 && swap - read_meminfo("SwapFree") <= 8 * 1024,
	      "%s: the page cache and swap are as before, within 8 MiB", who);
	judge_compactions(then, failures, who);
	judge(!has_counter(FLIP_FAIL) || since(then, FLIP_FAIL) <= failures,
	      "%s: no more failed flips than requests", who);
}

/* @most: compactions that were for what there was room for */
static void judge_limited(const struct counts *then, const char *who, long most)
{
	print_since(then, who);
	judge(!since(then, PGSCAN_DIRECT) && !since(then, PGSTEAL_DIRECT),
	      "%s: nothing was reclaimed for a request over its limit", who);
	judge(since(then, COMPACT_STALL) <= most + BYSTANDERS, "%s: nor compacted, but %ld times", who,
	      most);
}

/* A child that does its first part, waits to be told, and does the second. */
struct limited {
	pid_t pid;
	int go[2], done[2];
};

static void limited_step(struct limited *c, bool first)
{
	char byte = 0;

	if (first) {
		if (write(c->done[1], &byte, 1) != 1 || read(c->go[0], &byte, 1) != 1)
			_exit(1);
	} else if (write(c->go[1], &byte, 1) != 1) {
		die("child");
	}
}

static bool limited_start(struct limited *c, void (*run)(struct limited *))
{
	char byte;

	if (pipe(c->go) || pipe(c->done))
		die("pipe");
	c->pid = child();
	if (!c->pid) {
		close(c->done[0]);
		run(c);
		fflush(stdout);
		_exit(0);
	}
	close(c->done[1]);
	return read(c->done[0], &byte, 1) == 1;
}

static int limited_end(struct limited *c)
{
	int status = 0;

	limited_step(c, false);
	waitpid(c->pid, &status, 0);
	return status;
}

/* Each of these pages may be a request that there is room for */
#define GROUP_ROOM	8

/* In a group that has used up its limit but for a few pages. */
static void in_group(struct limited *c)
{
	char *mem = mmap(NULL, MEMCG_MAX, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *secret = secret_map(MEMCG_MAX);
	char used[32];
	size_t had;

	if (write_file(GROUP "/cgroup.procs", "0") || mem == MAP_FAILED || secret == MAP_FAILED)
		_exit(1);
	madvise(mem, MEMCG_MAX, MADV_NOHUGEPAGE);
	for (size_t off = 0; off < MEMCG_MAX; off += PAGE) {
		slurp(GROUP "/memory.current", used, sizeof(used));
		if (strtoul(used, NULL, 10) > MEMCG_MAX - GROUP_ROOM * PAGE)
			break;
		touch(mem + off, PAGE, PATTERN);
	}
	slurp(GROUP "/memory.current", used, sizeof(used));
	figure("group: uses %lu of %lu KiB", strtoul(used, NULL, 10) / KiB, MEMCG_MAX / KiB);
	limited_step(c, true);
	figure("group: %d requests failed", touch_failing(secret, MEMCG_MAX, FAILURES, &had));
}

#define MEMLOCK		(512 * KiB)

/* A user who has as much secret memory as the limit allows, and wants more. */
static void in_rlimit(struct limited *c)
{
	struct rlimit limit = { MEMLOCK, MEMLOCK };
	int ready[2];
	int failures;
	size_t had;
	char *mem, byte;

	if (pipe(ready) || setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(1000) || setuid(1000))
		_exit(1);
	/* A new user's processes have to ask again */
	die_with_parent();
	/* Pages are the user's, address space is the process's */
	if (!child()) {
		mem = secret_had(MEMLOCK);
		if (mem && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	mem = secret_map(MEMLOCK);
	if (read(ready[0], &byte, 1) != 1 || mem == MAP_FAILED)
		_exit(1);
	limited_step(c, true);
	failures = touch_failing(mem, MEMLOCK, FAILURES, &had);
	figure("rlimit: %d requests failed, %lu KiB were had", failures, had / KiB);
	if (had)
		_exit(1);
}

/*
 * The kernel's log has a report with a stack trace when a group's own limit kills
 * somebody in it, which is right here, and not what the console is watched for.
 */
static void console(bool quiet)
{
	write_file("/proc/sys/kernel/printk", quiet ? "1" : "7");
}

/*
 * First version: twenty failing requests took 104 to 132 MiB of page cache with
 * 800 MiB free, with up to 171 compactions; those over a limit did the same.
 */
int mode_failing(int argc, char **argv)
{
	struct limited group, user;
	char *mem;
	int fd, failures;
	struct counts then;
	long cached, swap;
	size_t had, size;
	double start;
	int status;

	(void)argc;
	(void)argv;
	if (!has_counter(UNMAPPED))
		return skip("this kernel takes single pages off the direct map");
	plan(7);
	set_pool_blocks(0);
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	mkdir(GROUP, 0755);
	prepared(!write_file(GROUP "/memory.max", "%lu", MEMCG_MAX), "a group has memory.max");
	/* A page of secret memory at a time, while there is some */
	prepared(limited_start(&user, in_rlimit), "a user has %lu KiB of secret memory", MEMLOCK / KiB);
	prepared(limited_start(&group, in_group), "a group has used its memory");

	fd = page_cache();
	pin_blocks();
	page_cache_read(fd, CACHE);

	size = read_meminfo("MemFree") * KiB;
	mem = secret_map(size);
	prepared(mem != MAP_FAILED, "secret memory is mapped");
	cached = read_meminfo("Cached");
	swap = read_meminfo("SwapFree");
	figure("free %lu MiB, page cache %ld MiB, whole blocks %ld", size / MiB, cached / 1024,
	       free_blocks(9, NULL) + 2 * free_blocks(10, NULL));
	prepared(cached > (long)(CACHE / 2 / KiB), "there is a page cache");

	/* All there is */
	then = counts();
	start = now();
	failures = touch_failing(mem, size, 1, &had);
	figure("%lu KiB of secret memory until one request failed, in %.1f s", had / KiB, now() - start);
	print_since(&then, "until then");
	prepared(failures == 1, "a request for secret memory fails");
	prepared(read_meminfo("MemFree") > 64 * 1024, "much memory is free then");

	/* And more */
	start = now();
	then = counts();
	failures = touch_failing(mem, size, FAILURES, &had);
	figure("%d more requests failed in %.1f s, free %ld MiB", failures, now() - start,
	       read_meminfo("MemFree") / 1024);
	prepared(failures == FAILURES, "further requests fail");
	judge_failing(&then, cached, swap, failures, "failing");

	/* Nothing that others left is there for these, and something to reclaim */
	touch_failing(mem, size, 3, &had);
	page_cache_read(fd, 64 * MiB);
	then = counts();
	status = limited_end(&user);
	prepared(WIFEXITED(status) && !WEXITSTATUS(status), "the user comes to the end (%x)", status);
	judge_limited(&then, "rlimit", 0);

	touch_failing(mem, size, 3, &had);
	page_cache_read(fd, 64 * MiB);
	then = counts();
	console(true);
	status = limited_end(&group);
	console(false);
	figure("group: %s", WIFSIGNALED(status) ? "killed for its own limit" : "came to the end");
	/* What is compacted in vain leaves room for the next one */
	judge_limited(&then, "group", GROUP_ROOM + since(&then, COMPACT_FAIL));
	return verdict();
}
