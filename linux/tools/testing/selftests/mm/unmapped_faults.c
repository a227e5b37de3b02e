// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page allocation off the direct map when something fails: what could not be
 * unmapped stays mapped, free, and on the list where it belongs.
 *
 * The failures are the kernel's own error injection. That nothing is
 * lost is judged by a walk of the kernel's page tables and of the free lists,
 * and there are so many failures that a page lost in each would be seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "unmapped_util.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define MANY_FAILURES	16
/* A request tries more blocks than that */
#define FEW_FAILURES	4

/* What is had by a test beyond what the pool holds. */
#define MORE		(36 * MiB)

/*
 * Less than half a pageblock. Not zero: the kernel itself takes and gives back
 * a few pages all the time.
 */
#define FREE_NOISE_KIB	1000

static int write_attr(const char *dir, const char *attr, long value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", dir, attr);
	return write_file(path, "%ld", value);
}

static void inject_nothing(void)
{
	write_attr("fail_function", "probability", 0);
	write_file(DEBUGFS "fail_function/inject", " ");
	write_attr("fail_page_alloc", "probability", 0);
}

/*
 * Choose where to fail, not yet whether: the kernel takes memory of its own for
 * this, so figures are to be compared from here on.
 */
static int inject_prepare(const char *function, const char *retval)
{
	char path[128];
	int err;

	write_attr("fail_function", "probability", 0);
	write_attr("fail_function", "verbose", 0);
	write_attr("fail_function", "task-filter", 0);
	write_attr("fail_function", "space", 0);
	err = write_file(DEBUGFS "fail_function/inject", "%s", function);
	if (err)
		return err;
	if (!retval)
		return 0;
	snprintf(path, sizeof(path), DEBUGFS "fail_function/%s/retval", function);
	return write_file(path, "%s", retval);
}

/* Fail each call in @interval, at most @times: -1 is for ever. */
static void inject_on(long interval, long times)
{
	write_attr("fail_function", "interval", interval);
	write_attr("fail_function", "times", times);
	write_attr("fail_function", "probability", 100);
}

static void inject_off(void)
{
	write_attr("fail_function", "probability", 0);
}

/* What there is to be had without a flip, generously. */
static size_t pool_size(void)
{
	return (read_vmstat("nr_free_no_direct_map") + read_pcp()) * 4096;
}

/* Ordinary memory takes the free unmapped blocks, all but a few. */
static bool shrink_pool(void)
{
	size_t taken;
	char *mem;

	if (pool_size() <= LEAVE_FREE * MiB)
		return true;
	mem = take_all(&taken);
	if (!mem)
		return false;
	munmap(mem, taken);
	return true;
}

/* At any time: what is not mapped is in an unmapped block. */
#define CHECK_STATE(self)						\
do {									\
	struct snapshot __now = take_snapshot();			\
	const char *__wrong = counters_wrong();				\
									\
	EXPECT_EQ(unaccounted(&(self)->before, &__now), 0);		\
	EXPECT_EQ(__wrong, NULL) TH_LOG("%s", __wrong);			\
} while (0)

/* ... and when all was given back. */
#define CHECK_END(self)							\
do {									\
	const char *__line = kmsg_complaint((self)->kmsg);		\
	long __free;							\
									\
	CHECK_STATE(self);						\
	__free = read_free();						\
	TH_LOG("%ld KiB free before, %ld after", (self)->before.free,	\
	       __free);							\
	EXPECT_LT(labs(__free - (self)->before.free), FREE_NOISE_KIB);	\
	EXPECT_EQ(__line, NULL) TH_LOG("%s", __line);			\
} while (0)

static const char *injection_missing(const char *function, const char *retval)
{
	static char text[128];
	int err;

	if (access(DEBUGFS "fail_function/inject", W_OK))
		return "no fail_function in debugfs (CONFIG_FAIL_FUNCTION)";
	if (access(DEBUGFS "page_tables/kernel", R_OK))
		return "no page_tables in debugfs (CONFIG_PTDUMP_DEBUGFS)";
	inject_nothing();
	err = inject_prepare(function, retval);
	if (err) {
		snprintf(text, sizeof(text), "cannot inject into %s: %s", function,
			 strerror(-err));
		return text;
	}
	return NULL;
}

/* First, as long as there are 1 GiB entries: whatever is unmapped splits them. */
FIXTURE(splits)
{
	long pool_blocks;
	struct snapshot before;
	int kmsg;
};

/* last: split one in the end. There may be no other. */
FIXTURE_VARIANT(splits)
{
	const char *function;
	const char *retval;
	bool last;
};

FIXTURE_VARIANT_ADD(splits, table)
{
	.function = "direct_map_alloc_table",
	.retval = NULL,
	.last = false,
};

FIXTURE_VARIANT_ADD(splits, split)
{
	.function = "direct_map_split_block",
	.retval = "0xfffffffffffffff4",
	.last = true,
};

FIXTURE_SETUP(splits)
{
	const char *missing = unmapped_missing();
	struct direct_map map;

	/* Nothing is touched before: it could split the last 1 GiB entry */
	if (!missing)
		missing = injection_missing(variant->function, variant->retval);
	if (missing)
		SKIP(return, "%s", missing);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	ASSERT_TRUE(walk_direct_map(&map, 0));
	if (!map.huge)
		SKIP(return, "the direct map has no 1 GiB entry (any more)");
	pin(0);
	self->pool_blocks = set_pool_blocks(0);

	self->kmsg = kmsg_open();
	ASSERT_GE(self->kmsg, 0);
	self->before = take_snapshot();
}

FIXTURE_TEARDOWN(splits)
{
	set_pool_blocks(self->pool_blocks);
	inject_nothing();
	close(self->kmsg);
}

/*
 * A 1 GiB entry that cannot be split stays as it is, and the request goes on to
 * memory that has smaller ones.
 */
TEST_F_TIMEOUT(splits, fail, 300)
{
	const size_t size = pool_size() + 1 * GiB, chunk = 64 * MiB;
	long level3 = read_vmstat("direct_map_level3_splits");
	long fails = read_vmstat("direct_map_flip_fail");
	struct direct_map before, after;
	size_t held = 0, off;
	long seen = 0, total = read_meminfo("MemTotal") * KiB;
	char *mem, *hold;

	mem = secret_map(size);
	ASSERT_NE(mem, MAP_FAILED);
	hold = mmap(NULL, total, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(hold, MAP_FAILED);
	madvise(hold, total, MADV_HUGEPAGE);

	ASSERT_TRUE(walk_direct_map(&before, 0));
	inject_on(1, -1);
	for (off = 0; off < size && seen < MANY_FAILURES; off += BLOCK_SIZE) {
		long last = seen;

		touch_some(mem + off, BLOCK_SIZE, PATTERN);
		seen = read_vmstat("direct_map_flip_fail") - fails;
		/* Blocks in entries that are split already have to go first */
		if (seen == last && !read_vmstat("nr_free_no_direct_map")) {
			if (read_meminfo("MemFree") < 2 * LEAVE_FREE * (long)KiB)
				break;
			madvise(hold + held, chunk, MADV_POPULATE_WRITE);
			held += chunk;
		}
	}
	inject_off();
	if (!seen)
		SKIP(return, "no free block is in a 1 GiB entry");
	TH_LOG("%ld failures at %ld 1 GiB entries", seen, before.huge / (long)GiB);
	EXPECT_GE(seen, MANY_FAILURES);
	ASSERT_TRUE(walk_direct_map(&after, 0));
	EXPECT_EQ(after.huge, before.huge);
	EXPECT_EQ(read_vmstat("direct_map_level3_splits"), level3);
	CHECK_STATE(self);

	/* The same blocks can be had as soon as it can be split */
	for (; variant->last && off < size; off += BLOCK_SIZE) {
		ASSERT_EQ(touch_some(mem + off, BLOCK_SIZE, PATTERN), BLOCK_SIZE);
		if (read_vmstat("direct_map_level3_splits") > level3)
			break;
	}
	ASSERT_TRUE(walk_direct_map(&after, 0));
	EXPECT_EQ(read_vmstat("direct_map_level3_splits"), level3 + variant->last);
	EXPECT_EQ(before.huge - after.huge, variant->last * (long)GiB);
	CHECK_STATE(self);

	munmap(mem, size);
	munmap(hold, total);
	CHECK_END(self);
}

FIXTURE(faults)
{
	long pool_blocks;
	struct snapshot before;
	int kmsg;
};

/*
 * times: how often in a row it fails, -1 for ever: then each request fails after it
 * has tried a few blocks.
 */
FIXTURE_VARIANT(faults)
{
	const char *function;
	const char *retval;
	long times;
};

/* Passed over before anything is done with it */
FIXTURE_VARIANT_ADD(faults, prepare)
{
	.function = "arch_direct_map_block_prepare",
	.retval = "0xfffffffffffffff0",		/* -EBUSY */
	.times = -1,
};

/* No page table: gives up at once */
FIXTURE_VARIANT_ADD(faults, prepare_nomem)
{
	.function = "arch_direct_map_block_prepare",
	.retval = "0xfffffffffffffff4",		/* -ENOMEM */
	.times = -1,
};

FIXTURE_VARIANT_ADD(faults, unmap)
{
	.function = "arch_direct_map_block_unmap",
	.retval = "0xfffffffffffffff0",
	.times = FEW_FAILURES,
};

FIXTURE_VARIANT_ADD(faults, unmap_one)
{
	.function = "unmapped_block_apply",
	.retval = "0xfffffffffffffff4",
	.times = -1,
};

/* Unmapped and flushed already, and has to be put back */
FIXTURE_VARIANT_ADD(faults, isolated)
{
	.function = "unmapped_blocks_isolated",
	.retval = NULL,
	.times = FEW_FAILURES,
};

FIXTURE_SETUP(faults)
{
	const char *missing = unmapped_missing();
	void *mem;

	if (!missing)
		missing = injection_missing(variant->function, variant->retval);
	if (missing)
		SKIP(return, "%s", missing);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	pin(0);
	self->pool_blocks = set_pool_blocks(0);
	ASSERT_TRUE(shrink_pool());

	/* It must be on; and the caches of the kernel get what they need */
	mem = secret_map(BLOCK_SIZE);
	ASSERT_NE(mem, MAP_FAILED);
	ASSERT_EQ(touch_some(mem, BLOCK_SIZE, PATTERN), BLOCK_SIZE);
	munmap(mem, BLOCK_SIZE);

	self->kmsg = kmsg_open();
	ASSERT_GE(self->kmsg, 0);
	self->before = take_snapshot();
	ASSERT_GT(self->before.present, 0);
	ASSERT_GT(self->before.unmapped, 0);
}

FIXTURE_TEARDOWN(faults)
{
	set_pool_blocks(self->pool_blocks);
	inject_nothing();
	close(self->kmsg);
}

/*
 * No block can be unmapped any more: what the pool has is all there is. Or none
 * for a while, and the request has to go on trying.
 */
TEST_F_TIMEOUT(faults, always, 300)
{
	long flips, fails = read_vmstat("direct_map_flip_fail");
	size_t size = pool_size() + MORE, had = 0;
	int sigbus = 0;
	char *mem;

	mem = secret_map(size);
	ASSERT_NE(mem, MAP_FAILED);

	flips = read_vmstat("direct_map_flip_unmap");
	inject_on(1, variant->times);
	/* As often as is needed for many failures; each time at another page */
	for (size_t off = 0; off < size; off += had + 4096) {
		had = touch_some(mem + off, size - off, PATTERN);
		if (had < size - off)
			sigbus++;
		if (read_vmstat("direct_map_flip_fail") - fails >= MANY_FAILURES)
			break;
	}
	inject_off();
	fails = read_vmstat("direct_map_flip_fail") - fails;
	flips = read_vmstat("direct_map_flip_unmap") - flips;
	TH_LOG("%ld failures, %d faults without a page", fails, sigbus);
	if (variant->times < 0) {
		EXPECT_GE(fails, MANY_FAILURES);
		EXPECT_GT(sigbus, 0);
		EXPECT_EQ(flips, 0);
	} else {
		EXPECT_EQ(fails, variant->times);
		EXPECT_EQ(sigbus, 0);
		EXPECT_GE(flips, (long)(MORE / BLOCK_SIZE));
	}
	CHECK_STATE(self);

	/* Now all of it is to be had, in blocks that just failed too */
	ASSERT_EQ(touch_some(mem, size, PATTERN), size);
	munmap(mem, size);
	CHECK_STATE(self);
	mem = secret_map(MORE);
	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_TRUE(all_zero(mem, MORE));
	munmap(mem, MORE);

	CHECK_END(self);
}

/* Every other try fails: another block is taken, and nobody notices. */
TEST_F_TIMEOUT(faults, sometimes, 300)
{
	long flips, fails = read_vmstat("direct_map_flip_fail");
	size_t size = pool_size() + MORE;
	char *mem;

	mem = secret_map(size);
	ASSERT_NE(mem, MAP_FAILED);
	flips = read_vmstat("direct_map_flip_unmap");
	inject_on(2, -1);
	EXPECT_EQ(touch_some(mem, size, PATTERN), size);
	inject_off();
	flips = read_vmstat("direct_map_flip_unmap") - flips;
	fails = read_vmstat("direct_map_flip_fail") - fails;
	TH_LOG("%ld failures, %ld blocks unmapped", fails, flips);
	EXPECT_GE(flips, (long)(MORE / BLOCK_SIZE));
	EXPECT_GE(fails, MANY_FAILURES);
	CHECK_STATE(self);

	munmap(mem, size);
	CHECK_STATE(self);
	mem = secret_map(MORE);
	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_TRUE(all_zero(mem, MORE));
	munmap(mem, MORE);

	CHECK_END(self);
}

/*
 * Whole lives of secret memory: one in a hundred allocations fails, and every other of
 * what is rare: blocks that are unmapped, folios that are split.
 */
#define LIVES		40
#define LIFE_MAX	(32 * MiB)
#define STEPS		64

/* What a page has to hold. A call that failed has done some of it, or nothing. */
enum content { ZERO, FILLED, EITHER };

struct life {
	int fd;
	char *mem;
	size_t pages;
	enum content content[LIFE_MAX / 4096];
	long failures;
	bool fail;
};

FIXTURE(lives)
{
	long pool_blocks;
	struct snapshot before;
	struct life life;
	int kmsg;
};

FIXTURE_SETUP(lives)
{
	const char *missing = unmapped_missing();
	void *mem;

	if (!missing)
		missing = injection_missing("unmapped_block_apply", "0xfffffffffffffff4");
	if (!missing)
		missing = injection_missing("secretmem_split", "0xfffffffffffffff5");
	if (missing)
		SKIP(return, "%s", missing);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");

	mem = secret_map(BLOCK_SIZE);
	ASSERT_NE(mem, MAP_FAILED);
	ASSERT_EQ(touch_some(mem, BLOCK_SIZE, PATTERN), BLOCK_SIZE);
	munmap(mem, BLOCK_SIZE);
	/* Blocks are unmapped by who needs them, while something may fail */
	self->pool_blocks = set_pool_blocks(0);

	/* The last one is there still */
	ASSERT_EQ(inject_prepare("unmapped_block_apply", "0xfffffffffffffff4"), 0);
	write_attr("fail_function", "interval", 1);
	write_attr("fail_function", "times", -1);
	write_attr("fail_page_alloc", "interval", 1);
	write_attr("fail_page_alloc", "times", -1);
	write_attr("fail_page_alloc", "min-order", 0);
	write_attr("fail_page_alloc", "ignore-gfp-wait", 0);
	write_attr("fail_page_alloc", "ignore-gfp-highmem", 0);
	write_attr("fail_page_alloc", "verbose", 0);
	/* Pages fail for this task and its children only */
	write_attr("fail_page_alloc", "task-filter", 1);
	ASSERT_EQ(write_file("/proc/self/make-it-fail", "1"), 0);

	self->kmsg = kmsg_open();
	ASSERT_GE(self->kmsg, 0);
}

FIXTURE_TEARDOWN(lives)
{
	write_file("/proc/self/make-it-fail", "0");
	inject_nothing();
	set_pool_blocks(self->pool_blocks);
	close(self->kmsg);
}

static void inject_some(bool on)
{
	/* This may fail as anything may */
	while (write_attr("fail_function", "probability", on ? 50 : 0) ||
	       write_attr("fail_page_alloc", "probability", on ? 1 : 0))
		;
}

static void becomes(struct life *life, size_t first, size_t nr, enum content content)
{
	for (size_t i = first; i < first + nr; i++)
		life->content[i] = content;
}

/*
 * The kernel kills a task where it cannot write the frame of a signal to its stack, or
 * its restartable sequence, which it does when the task is migrated: after a fork, both
 * are copied when they are written to.
 */
static void touch_own(void)
{
	uint64_t deep[8192];

	touch(deep, sizeof(deep), 0);
	pin(0);
	pin(1);
}

/* A child sees what its parent has. */
static void life_fork(struct life *life, size_t first, size_t nr)
{
	int ready[2] = { -1, -1 };
	pid_t pid;
	char c;

	inject_some(false);
	pid = pipe(ready) ? -1 : fork();
	if (!pid) {
		/* It would fail for the parent, too, which may not have its own yet */
		close(ready[1]);
		(void)!read(ready[0], &c, 1);
		touch_some(life->mem + first * 4096, nr * 4096, PATTERN);
		_exit(0);
	}
	touch_own();
	inject_some(life->fail);
	close(ready[0]);
	close(ready[1]);
	if (pid < 0)
		return;
	waitpid(pid, NULL, 0);
	for (size_t i = first; i < first + nr; i++)
		life->content[i] = life->content[i] == FILLED ? FILLED : EITHER;
}

static void life_step(struct life *life)
{
	size_t first = rand() % life->pages, nr = 1 + rand() % (life->pages - first);
	char *mem = life->mem + first * 4096;
	size_t size = nr * 4096, done;
	int err = 0;

	switch (rand() % 8) {
	case 0: case 1:
		done = touch_some(mem, size, PATTERN);
		becomes(life, first, done / 4096, FILLED);
		life->failures += done < size;
		break;
	case 2:
		err = fallocate(life->fd, 0, first * 4096, size);
		break;
	case 3:
		err = madvise(mem, size, MADV_POPULATE_WRITE);
		break;
	case 4:
		err = rand() % 2 ? madvise(mem, size, MADV_REMOVE) :
			fallocate(life->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  first * 4096, size);
		becomes(life, first, nr, err ? EITHER : ZERO);
		break;
	case 5:
		/* Nothing can be said of a mapping that is not there, or not to be written */
		err = munmap(mem, size);
		while (mmap(mem, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    life->fd, first * 4096) == MAP_FAILED)
			err = -1;
		break;
	case 6:
		err = mprotect(mem, size, PROT_READ);
		while (mprotect(mem, size, PROT_READ | PROT_WRITE))
			err = -1;
		break;
	default:
		life_fork(life, first, nr);
	}
	life->failures += !!err;
}

/* The first page that does not hold what it has to, or -1. */
static long life_wrong(const struct life *life)
{
	for (size_t i = 0; i < life->pages; i++) {
		const uint64_t *page = (const uint64_t *)(life->mem + i * 4096);

		if ((*page != PATTERN || life->content[i] == ZERO) &&
		    (*page || life->content[i] == FILLED))
			return i;
		if (!all_zero(page + 1, 4096 - sizeof(*page)))
			return i;
	}
	return -1;
}

/* Returns the first page that is wrong, or -1; -2 if it has not begun. */
static long live(struct life *life, bool fail)
{
	size_t taken;
	char *pool;
	long wrong;

	life->fail = fail;
	if (!shrink_pool())
		return -2;
	/* What it needs is to be unmapped for it */
	taken = pool_size();
	pool = secret_map(taken);
	if (pool == MAP_FAILED || touch_some(pool, taken, PATTERN) != taken)
		return -2;
	life->pages = 1 + rand() % (LIFE_MAX / 4096);
	becomes(life, 0, life->pages, ZERO);
	life->mem = secret_map_file(life->pages * 4096, &life->fd);
	if (life->mem == MAP_FAILED)
		return -2;

	inject_some(fail);
	for (int step = 0; step < STEPS; step++)
		life_step(life);
	inject_some(false);
	wrong = life_wrong(life);

	inject_some(fail);
	munmap(life->mem, life->pages * 4096);
	close(life->fd);
	inject_some(false);
	munmap(pool, taken);
	return wrong;
}

TEST_F_TIMEOUT(lives, some_fails, 900)
{
	struct life *life = &self->life;
	unsigned int seed = time(NULL);
	long flips, fails;

	TH_LOG("seed %u", seed);
	srand(seed);
	touch_own();
	/* What the kernel has for itself from then on */
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(live(life, false), -1);
	EXPECT_EQ(life->failures, 0);
	ASSERT_TRUE(shrink_pool());
	self->before = take_snapshot();
	flips = read_vmstat("direct_map_flip_unmap");
	fails = read_vmstat("direct_map_flip_fail");

	for (int i = 0; i < LIVES; i++) {
		/* The other half is with several blocks for a shootdown, and a worker */
		if (i == LIVES / 2) {
			EXPECT_GT(read_vmstat("direct_map_flip_fail"), fails);
			set_pool_blocks(self->pool_blocks);
		}
		EXPECT_EQ(live(life, true), -1) TH_LOG("life %d", i);
		if (i % 8 == 7)
			CHECK_STATE(self);
	}
	TH_LOG("%ld calls and faults failed; %ld blocks unmapped, %ld could not be",
	       life->failures, read_vmstat("direct_map_flip_unmap") - flips,
	       read_vmstat("direct_map_flip_fail") - fails);
	EXPECT_GT(life->failures, 0);
	ASSERT_TRUE(shrink_pool());
	CHECK_END(self);
}

TEST_HARNESS_MAIN
