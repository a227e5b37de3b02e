// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfd_secret(2) on top of page allocation off the direct map: what it costs,
 * what it leaves behind, and that memory comes back.
 *
 * Everything is judged by counters that the feature itself does not maintain,
 * where there are any. Each test that measures also checks that what it
 * measures was on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret	447
#endif

#define KiB			1024UL
#define MiB			(1024 * KiB)
#define BLOCK_SIZE		(2 * MiB)
#define PATTERN			0x5ec2e7c0ffee5ec2UL

/* A field of a file of "name value" lines, or -1. */
static long field(const char *path, const char *name)
{
	size_t len = strlen(name);
	char line[256];
	long value = -1;
	FILE *f = fopen(path, "r");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && strchr(" :\t", line[len])) {
			value = strtol(line + len + 1, NULL, 10);
			break;
		}
	}
	fclose(f);
	return value;
}

static long read_vmstat(const char *name)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	/* Fold the per-CPU differences in: events are exact without */
	if (fd >= 0) {
		if (write(fd, "1", 1) != 1)
			perror("stat_refresh");
		close(fd);
	}
	return field("/proc/vmstat", name);
}

static long read_meminfo(const char *name)
{
	return field("/proc/meminfo", name);
}

/*
 * Free memory in KiB, MemFree and what is on per-CPU lists: how much these hold
 * is up to what a CPU did last.
 */
static long read_free(void)
{
	long pages = 0, count;
	char line[256];
	FILE *f = fopen("/proc/zoneinfo", "r");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " count: %ld", &count) == 1)
			pages += count;
	}
	fclose(f);
	return read_meminfo("MemFree") + pages * 4;
}

/* Unmapped pageblocks, free or in use. */
static long unmapped_blocks(void)
{
	return read_vmstat("nr_unmapped") / (long)(BLOCK_SIZE / 4096);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *secret_map(size_t size)
{
	int fd = syscall(__NR_memfd_secret, 0);
	void *mem;

	if (fd < 0)
		return MAP_FAILED;
	if (ftruncate(fd, size)) {
		close(fd);
		return MAP_FAILED;
	}
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return mem;
}

static void touch(void *mem, size_t size, uint64_t value)
{
	size_t page = sysconf(_SC_PAGESIZE);

	for (size_t off = 0; off < size; off += page)
		__atomic_store_n((uint64_t *)((char *)mem + off), value,
				 __ATOMIC_RELAXED);
}

static bool all_zero(const void *mem, size_t size)
{
	const uint64_t *word = mem;

	for (size_t i = 0; i < size / sizeof(*word); i++) {
		if (word[i])
			return false;
	}
	return true;
}

/* Wait until what was freed is free: the dirty queue, deferred work. */
static void settle(void)
{
	for (int i = 0; i < 50; i++) {
		struct timespec ts = { .tv_nsec = 20 * 1000 * 1000 };

		nanosleep(&ts, NULL);
		if (i > 5 && !read_vmstat("nr_unmapped_dirty"))
			break;
	}
}

/* Was the kernel told to do what excludes the feature? */
static bool excluded(void)
{
	char line[4096] = "";
	FILE *f = fopen("/proc/cmdline", "r");

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return strstr(line, "page_poison=1") || strstr(line, "debug_pagealloc=on");
}

FIXTURE(unmapped)
{
	int unused;
};

FIXTURE_SETUP(unmapped)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	void *mem;
	int fd;

	if (read_vmstat("nr_unmapped") < 0)
		SKIP(return, "no page allocation off the direct map in this kernel");
	fd = syscall(__NR_memfd_secret, 0);
	if (fd < 0)
		SKIP(return, "no memfd_secret(2): %s", strerror(errno));
	close(fd);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		SKIP(return, "cannot raise RLIMIT_MEMLOCK: %s", strerror(errno));
	pin(0);

	/* It must be on, or off for a reason: never silently */
	mem = secret_map(4096);
	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, 4096, PATTERN);
	munmap(mem, 4096);
	if (excluded()) {
		ASSERT_EQ(read_vmstat("nr_unmapped"), 0);
		SKIP(return, "off, as the kernel command line asks for");
	}
	ASSERT_GT(read_vmstat("nr_unmapped"), 0);
}

FIXTURE_TEARDOWN(unmapped)
{
}

/* P1, P2: 64 MiB cost a shootdown per block and split nothing small. */
TEST_F(unmapped, one_shootdown_a_block)
{
	const size_t size = 64 * MiB;
	const long nr = size / BLOCK_SIZE;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long flips = read_vmstat("unmapped_flip_unmap");
	long received = read_vmstat("nr_tlb_remote_flush_received");
	long level2 = read_vmstat("direct_map_level2_splits");
	long level3 = read_vmstat("direct_map_level3_splits");
	long small = read_meminfo("DirectMap4k");
	void *mem = secret_map(size);

	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, size, PATTERN);

	flips = read_vmstat("unmapped_flip_unmap") - flips;
	received = read_vmstat("nr_tlb_remote_flush_received") - received;
	level3 = read_vmstat("direct_map_level3_splits") - level3;
	TH_LOG("%ld blocks flipped, %ld 1 GiB entries split, %ld CPUs interrupted",
	       flips, level3, received);

	/* What was free in the pool need not be flipped again */
	EXPECT_LE(flips, nr);
	EXPECT_GE(unmapped_blocks(), nr);
	/* Leave room for what others do, far below one per page */
	EXPECT_LE(received, (flips + level3 + 4) * cpus);
	EXPECT_EQ(read_vmstat("direct_map_level2_splits"), level2);
	EXPECT_EQ(read_meminfo("DirectMap4k"), small);
	munmap(mem, size);
}

/* The second life costs no flip and no shootdown at all. */
TEST_F(unmapped, warm_pool)
{
	const size_t size = 32 * MiB;
	void *mem = secret_map(size);
	long flips;

	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, size, PATTERN);
	munmap(mem, size);
	settle();

	flips = read_vmstat("unmapped_flip_unmap");
	mem = secret_map(size);
	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, size, PATTERN);
	EXPECT_EQ(read_vmstat("unmapped_flip_unmap"), flips);
	munmap(mem, size);
}

/* S2, S4: a page is zero when it is had, though it was not when it was freed. */
TEST_F(unmapped, zero_when_reused)
{
	const size_t size = 16 * MiB;

	for (int round = 0; round < 3; round++) {
		uint64_t *mem = secret_map(size);

		ASSERT_NE(mem, MAP_FAILED);
		ASSERT_TRUE(all_zero(mem, size));
		for (size_t i = 0; i < size / sizeof(*mem); i++)
			mem[i] = PATTERN;
		munmap(mem, size);
	}
	/* Was that what it is meant to be? */
	EXPECT_GT(read_vmstat("unmapped_zeroed_pages"), 0);
}

/* ... and so is ordinary memory that was secret before. */
TEST_F(unmapped, zero_when_remapped)
{
	const size_t size = 16 * MiB;
	void *mem = secret_map(size);
	long zeroed = read_vmstat("unmapped_zeroed_pages");

	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, size, PATTERN);
	munmap(mem, size);
	settle();
	EXPECT_GE(read_vmstat("unmapped_zeroed_pages") - zeroed, (long)(size / 4096));
}

/* A task that is killed has no mm any more when its memory is freed. */
TEST_F(unmapped, killed)
{
	const size_t size = 64 * MiB;
	long zeroed = read_vmstat("unmapped_zeroed_pages");
	int status, ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(pipe(ready), 0);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		void *mem = secret_map(size);

		if (mem == MAP_FAILED)
			_exit(1);
		touch(mem, size, PATTERN);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(1);
	}
	ASSERT_EQ(read(ready[0], &c, 1), 1);
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status));
	settle();
	EXPECT_GE(read_vmstat("unmapped_zeroed_pages") - zeroed, (long)(size / 4096));
	EXPECT_EQ(read_vmstat("nr_unmapped_dirty"), 0);
}

/* What is promised of secret memory is still so: sharing, limits, no way in. */
TEST_F(unmapped, shared_with_child)
{
	uint64_t *mem = secret_map(4096);
	int status;
	pid_t pid;

	ASSERT_NE(mem, MAP_FAILED);
	*mem = 1;
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		__atomic_fetch_add(mem, 1, __ATOMIC_RELAXED);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(__atomic_load_n(mem, __ATOMIC_RELAXED), 2);
	munmap(mem, 4096);
}

TEST_F(unmapped, no_way_in)
{
	uint64_t *mem = secret_map(4096), word = 0;
	struct iovec local = { &word, sizeof(word) };
	struct iovec remote = { NULL, sizeof(word) };
	int fd;

	ASSERT_NE(mem, MAP_FAILED);
	*mem = PATTERN;
	remote.iov_base = mem;

	EXPECT_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), -1);
	fd = open("/proc/self/mem", O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(pread(fd, &word, sizeof(word), (off_t)mem), -1);
	close(fd);
	EXPECT_EQ(word, 0);
	munmap(mem, 4096);
}

TEST_F(unmapped, memlock_limit)
{
	const size_t size = 1 * MiB;
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		struct rlimit limit = { size / 2, size / 2 };
		void *mem;

		setrlimit(RLIMIT_MEMLOCK, &limit);
		mem = secret_map(size);
		/* Refused here, or at the page that is one too many */
		if (mem == MAP_FAILED)
			kill(getpid(), SIGBUS);
		touch(mem, size, PATTERN);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGBUS);
}

/* What the watermarks keep from us, with room for per-CPU lists: MiB. */
#define LEAVE_FREE	160L

/* Take memory with ordinary pages until LEAVE_FREE is left. */
static char *take_all(size_t *taken)
{
	const size_t chunk = 4 * MiB;
	size_t size = read_meminfo("MemFree") * KiB;
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*taken = 0;
	if (mem == MAP_FAILED)
		return NULL;
	madvise(mem, size, MADV_NOHUGEPAGE);
	while (*taken + chunk <= size && read_meminfo("MemFree") > LEAVE_FREE * 1024) {
		touch(mem + *taken, chunk, PATTERN);
		*taken += chunk;
	}
	return mem;
}

/* L1: four processes at a time, ten times: nothing is lost, all comes back. */
TEST_F_TIMEOUT(unmapped, fill_and_free, 900)
{
	const int rounds = 10, procs = 4;
	long free_start = 0, free_end, blocks;
	size_t size;
	char *mem;

	/* Caches and per-CPU lists fill up in the first round */
	for (int round = -1; round < rounds; round++) {
		settle();
		if (round == 0)
			free_start = read_free();
		size = (read_meminfo("MemTotal") * KiB * 6 / 10 / procs) & ~(BLOCK_SIZE - 1);

		for (int i = 0; i < procs; i++) {
			pid_t pid = fork();

			ASSERT_GE(pid, 0);
			if (!pid) {
				void *mem;

				pin(i % sysconf(_SC_NPROCESSORS_ONLN));
				mem = secret_map(size);
				if (mem == MAP_FAILED)
					_exit(1);
				touch(mem, size, PATTERN);
				_exit(0);
			}
		}
		for (int i = 0; i < procs; i++) {
			int status = -1;

			ASSERT_GT(wait(&status), 0);
			ASSERT_TRUE(WIFEXITED(status));
			ASSERT_EQ(WEXITSTATUS(status), 0);
		}
	}
	settle();
	free_end = read_free();
	blocks = unmapped_blocks();
	TH_LOG("%ld kB free before, %ld kB after, %ld blocks unmapped",
	       free_start, free_end, blocks);
	EXPECT_GT(blocks, 0);
	EXPECT_LT(labs(free_end - free_start), free_start / 100);

	/*
	 * All of it is to be had for ordinary allocations. What the watermarks
	 * leave free may be unmapped, and a few pages of a few blocks may be on
	 * per-CPU lists.
	 */
	mem = take_all(&size);
	ASSERT_NE(mem, NULL);
	free_end = read_meminfo("MemFree") / (BLOCK_SIZE / KiB);
	TH_LOG("%ld blocks unmapped after all but %ld blocks of memory were used",
	       unmapped_blocks(), free_end);
	EXPECT_LE(unmapped_blocks(), free_end + blocks / 6);
	EXPECT_LT(unmapped_blocks(), blocks / 2);
	munmap(mem, size);
}

/*
 * Mistakes to avoid: an order-0 request that finds no free block passes the
 * watermarks. It has to make compaction work for a whole block all the same.
 */
TEST_F_TIMEOUT(unmapped, compacts_for_a_block, 300)
{
	size_t page = sysconf(_SC_PAGESIZE), size, off;
	const size_t secret_size = (LEAVE_FREE + 12) * MiB;
	long stalls = read_vmstat("compact_stall");
	long isolated = read_vmstat("compact_isolated");
	long wakes = read_vmstat("compact_daemon_wake");
	long kills = read_vmstat("oom_kill");
	void *secret;
	char *mem;

	if (read_meminfo("MemTotal") < 1536 * 1024)
		SKIP(return, "needs 1.5 GiB for a few blocks to be made for sure");

	/* One page in two free, everywhere */
	mem = take_all(&size);
	ASSERT_NE(mem, NULL);
	for (off = 0; off < size; off += 2 * page)
		madvise(mem + off, page, MADV_DONTNEED);

	/* A few blocks more than are free: not a test of how hard it tries */
	secret = secret_map(secret_size);
	ASSERT_NE(secret, MAP_FAILED);
	touch(secret, secret_size, PATTERN);
	stalls = read_vmstat("compact_stall") - stalls;
	wakes = read_vmstat("compact_daemon_wake") - wakes;
	isolated = read_vmstat("compact_isolated") - isolated;
	TH_LOG("%ld compaction stalls, kcompactd woken %ld times, %ld pages moved",
	       stalls, wakes, isolated);
	/* Be it directly or by kcompactd, whoever comes first */
	EXPECT_GT(stalls + wakes, 0);
	EXPECT_GT(isolated, 0);
	EXPECT_EQ(read_vmstat("oom_kill"), kills);
	munmap(secret, secret_size);
	munmap(mem, size);
}

TEST_HARNESS_MAIN
