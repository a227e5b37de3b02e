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
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "unmapped_util.h"

FIXTURE(unmapped)
{
	long pool_blocks;
};

FIXTURE_SETUP(unmapped)
{
	const char *missing = unmapped_missing();
	void *mem;

	if (missing)
		SKIP(return, "%s", missing);
	pin(0);
	self->pool_blocks = set_pool_blocks(0);

	/* It must be on, or off for a reason: never silently */
	mem = secret_map(4096);
	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, 4096, PATTERN);
	munmap(mem, 4096);
	if (excluded()) {
		ASSERT_EQ(read_vmstat("nr_no_direct_map"), 0);
		SKIP(return, "off, as the kernel command line asks for");
	}
	/* The block may be gone again already */
	ASSERT_GT(read_vmstat("direct_map_flip_unmap"), 0);
}

FIXTURE_TEARDOWN(unmapped)
{
	set_pool_blocks(self->pool_blocks);
}

/* P1, P2: 64 MiB cost a shootdown per block and split nothing small. */
TEST_F(unmapped, one_shootdown_a_block)
{
	const size_t size = 64 * MiB;
	const long nr = size / BLOCK_SIZE;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long flips = read_vmstat("direct_map_flip_unmap");
	long received = read_vmstat("nr_tlb_remote_flush_received");
	long ones = read_vmstat("nr_tlb_local_flush_one");
	long level2 = read_vmstat("direct_map_level2_splits");
	long level3 = read_vmstat("direct_map_level3_splits");
	long small = read_meminfo("DirectMap4k");
	void *mem = secret_map(size);

	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, size, PATTERN);

	flips = read_vmstat("direct_map_flip_unmap") - flips;
	received = read_vmstat("nr_tlb_remote_flush_received") - received;
	ones = read_vmstat("nr_tlb_local_flush_one") - ones;
	level3 = read_vmstat("direct_map_level3_splits") - level3;
	TH_LOG("%ld blocks flipped, %ld 1 GiB entries split, %ld CPUs interrupted",
	       flips, level3, received);

	/* What was free in the pool need not be flipped again */
	EXPECT_LE(flips, nr);
	EXPECT_GE(unmapped_blocks(), nr);
	/* Leave room for what others do, far below one per page */
	EXPECT_LE(received, (flips + level3 + 4) * cpus);
	/* What is flushed by the page is not counted there */
	EXPECT_LT(ones, (long)(size / 4096 / 8));
	EXPECT_EQ(read_vmstat("direct_map_level2_splits"), level2);
	EXPECT_EQ(read_meminfo("DirectMap4k"), small);
	munmap(mem, size);
}

/* ... and far less where blocks are unmapped in advance, or it is said beforehand. */
TEST_F_TIMEOUT(unmapped, few_shootdowns, 120)
{
	const size_t size = 64 * MiB;
	const int fd = syscall(__NR_memfd_secret, 0);
	long most[] = { 4, 2 };

	ASSERT_GE(fd, 0);
	/* Each node has blocks of its own */
	pin(0);
	if (read_meminfo("MemFree") < 512 * 1024)
		SKIP(return, "needs 512 MiB");
	for (int foreseen = 0; foreseen < 2; foreseen++) {
		long shootdowns, received;
		void *mem;

		/* A first life: nothing is unmapped */
		set_pool_blocks(0);
		for (int i = 0; i < 300 && unmapped_blocks(); i++)
			sleep_ms(100);
		if (unmapped_blocks())
			SKIP(return, "somebody else has secret memory");
		set_pool_blocks(1);
		for (int i = 0; i < 100 && !unmapped_blocks(); i++)
			sleep_ms(100);
		shootdowns = read_vmstat("direct_map_shootdown");
		received = read_vmstat("nr_tlb_remote_flush_received");
		if (foreseen) {
			ASSERT_EQ(fallocate(fd, 0, 0, size), 0);
		} else {
			mem = secret_map(size);
			ASSERT_NE(mem, MAP_FAILED);
			touch(mem, size, PATTERN);
		}
		received = read_vmstat("nr_tlb_remote_flush_received") - received;
		shootdowns = read_vmstat("direct_map_shootdown") - shootdowns;
		TH_LOG("%s: %ld shootdowns, %ld CPUs interrupted",
		       foreseen ? "said beforehand" : "touched", shootdowns, received);
		EXPECT_LE(shootdowns, most[foreseen]);
		EXPECT_GT(shootdowns, 0);
		if (!foreseen)
			munmap(mem, size);
	}
	close(fd);
	set_pool_blocks(0);
}

/* The second life costs no flip and no shootdown at all. */
TEST_F(unmapped, warm_pool)
{
	const size_t size = 32 * MiB;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	void *mem = secret_map(size);
	long flips, shootdowns, received, ones;

	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, size, PATTERN);
	munmap(mem, size);
	settle();

	ASSERT_GE(unmapped_blocks(), (long)(size / BLOCK_SIZE));
	flips = read_vmstat("direct_map_flip_unmap");
	shootdowns = read_vmstat("direct_map_shootdown");
	mem = secret_map(size);
	ASSERT_NE(mem, MAP_FAILED);
	received = read_vmstat("nr_tlb_remote_flush_received");
	ones = read_vmstat("nr_tlb_local_flush_one");
	touch(mem, size, PATTERN);
	received = read_vmstat("nr_tlb_remote_flush_received") - received;
	ones = read_vmstat("nr_tlb_local_flush_one") - ones;
	EXPECT_EQ(read_vmstat("direct_map_flip_unmap"), flips);
	EXPECT_EQ(read_vmstat("direct_map_shootdown"), shootdowns);
	/* What others do meanwhile: far from one a block */
	EXPECT_LE(received, 4 * cpus);
	EXPECT_LT(ones, (long)(size / 4096 / 8));
	munmap(mem, size);
}

/* Is there a state for which @what holds within that many seconds? */
#define WAIT_FOR(what, seconds)					\
({								\
	int left = (seconds) * 10;				\
								\
	while (!(what) && --left)				\
		sleep_ms(100);					\
	(what);							\
})

/* S2: ordinary memory that was secret before holds nothing of it. */
TEST_F_TIMEOUT(unmapped, zero_when_remapped, 300)
{
	const size_t size = 16 * MiB, pages = size / 4096;
	uint64_t *pfns = calloc(pages, sizeof(*pfns));
	void *mem;

	/* Is it seen, where there is something to see? */
	ASSERT_NE(pfns, NULL);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	ASSERT_NE(mem, MAP_FAILED);
	fill(mem, size, PATTERN);
	if (!read_pfns(mem, pfns, pages) || pages_with_pattern(pfns, 1) < 0)
		SKIP(return, "no /proc/kcore or page frame numbers");
	/* Compaction may move a page in between */
	for (int tries = 0; tries < 10 && pages_with_pattern(pfns, pages) < (long)pages; tries++)
		ASSERT_TRUE(read_pfns(mem, pfns, pages));
	ASSERT_EQ(pages_with_pattern(pfns, pages), (long)pages);
	memset(mem, 0, size);
	ASSERT_EQ(pages_with_pattern(pfns, pages), 0);
	munmap(mem, size);

	mem = secret_map(size);
	ASSERT_NE(mem, MAP_FAILED);
	fill(mem, size, PATTERN);
	ASSERT_TRUE(read_pfns(mem, pfns, pages));
	/* Not while it is secret */
	EXPECT_EQ(pages_with_pattern(pfns, pages), 0);
	munmap(mem, size);
	/* All is ordinary memory again, and the direct map shows what it holds */
	ASSERT_TRUE(WAIT_FOR(!read_vmstat("nr_no_direct_map"), 150));
	EXPECT_EQ(pages_with_pattern(pfns, pages), 0);
	free(pfns);
}

/*
 * As long as there is demand, blocks are unmapped before somebody needs them, and
 * several for one shootdown. When there is none, the direct map is put together
 * again.
 */
TEST_F_TIMEOUT(unmapped, pool, 300)
{
	const long pages = BLOCK_SIZE / 4096, blocks = 8;
	long large = read_meminfo("DirectMap1G");
	long flips, shootdowns;
	char *mem;

	/* What the other tests left is let go */
	ASSERT_TRUE(WAIT_FOR(!read_vmstat("nr_no_direct_map"), 150));
	sleep(6);
	large = read_meminfo("DirectMap1G");

	if (read_vmstat("nr_free_pages_blocks") < 8 * blocks * pages)
		SKIP(return, "too few free pageblocks for a pool");
	flips = read_vmstat("direct_map_flip_unmap");
	shootdowns = read_vmstat("direct_map_shootdown");
	set_pool_blocks(blocks);
	mem = secret_map(BLOCK_SIZE);
	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, 4096, PATTERN);
	/* Less on a machine of which 8 blocks are more than 1/64 */
	EXPECT_TRUE(WAIT_FOR(read_vmstat("nr_free_no_direct_map_whole") >= 6 * pages, 10));
	flips = read_vmstat("direct_map_flip_unmap") - flips;
	shootdowns = read_vmstat("direct_map_shootdown") - shootdowns;
	TH_LOG("%ld blocks unmapped by %ld shootdowns", flips, shootdowns);
	EXPECT_GE(flips, 7);
	EXPECT_LE(shootdowns, 3);

	flips = read_vmstat("direct_map_flip_unmap");
	touch(mem, BLOCK_SIZE, PATTERN);
	munmap(mem, BLOCK_SIZE);
	set_pool_blocks(0);

	EXPECT_TRUE(WAIT_FOR(!read_vmstat("nr_no_direct_map"), 60));
	EXPECT_TRUE(WAIT_FOR(read_meminfo("DirectMap1G") >= large, 30));
}

/*
 * S2, S4: a page is zero when it is had, though it was not when it was freed, nor
 * before it was unmapped. Not because it is zeroed then: it was when it was freed,
 * and is the same.
 */
TEST_F_TIMEOUT(unmapped, zero_when_reused, 300)
{
	const size_t size = 16 * MiB, most = 2 * LEAVE_FREE * MiB;
	const long pages = size / 4096;
	size_t taken, off;
	char *all;

	/* All free memory but a part holds something, in each page, and is mapped */
	all = take_all(&taken);
	ASSERT_NE(all, NULL);
	munmap(all, taken);
	/* More than that part */
	all = secret_map(most);
	ASSERT_NE(all, MAP_FAILED);
	for (off = 0; off < most && !*(uint64_t *)(all + off); off += 4096)
		;
	EXPECT_EQ(off, most);
	munmap(all, most);
	settle();

	for (int round = 0; round < 3; round++) {
		uint64_t *mem = secret_map(size);
		long flips = read_vmstat("direct_map_flip_unmap");
		long zeroed = read_vmstat("no_direct_map_zeroed_pages");

		ASSERT_NE(mem, MAP_FAILED);
		ASSERT_TRUE(all_zero(mem, size));
		if (round)
			EXPECT_EQ(read_vmstat("direct_map_flip_unmap"), flips);
		EXPECT_LT(read_vmstat("no_direct_map_zeroed_pages") - zeroed, pages / 4);

		fill(mem, size, PATTERN);
		munmap(mem, size);
		settle();
		EXPECT_GE(read_vmstat("no_direct_map_zeroed_pages") - zeroed, pages);
	}
}

/* A task that is killed has no mm any more when its memory is freed. */
TEST_F(unmapped, killed)
{
	const size_t size = 64 * MiB;
	long zeroed = read_vmstat("no_direct_map_zeroed_pages");
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
	EXPECT_GE(read_vmstat("no_direct_map_zeroed_pages") - zeroed, (long)(size / 4096));
	EXPECT_EQ(read_vmstat("nr_no_direct_map_dirty"), 0);
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

/* As many pages as RLIMIT_MEMLOCK allows, and not one more. */
TEST_F(unmapped, memlock_limit)
{
	const size_t size = 1 * MiB;
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		struct rlimit limit = { size / 2, size / 2 };
		void *mem;

		if (setrlimit(RLIMIT_MEMLOCK, &limit))
			_exit(1);
		mem = secret_map(size);
		if (mem == MAP_FAILED)
			_exit(2);
		if (touch_some(mem, size, PATTERN) != size / 2)
			_exit(3);
		/* With nobody who handles it */
		touch(mem, size, PATTERN);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status))
		TH_LOG("exit status %d", WEXITSTATUS(status));
	EXPECT_EQ(WTERMSIG(status), SIGBUS);
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
	size_t secret_size;
	long stalls = read_vmstat("compact_stall");
	long isolated = read_vmstat("compact_isolated");
	long wakes = read_vmstat("compact_daemon_wake");
	long kills = read_vmstat("oom_kill");
	unsigned int seed = getenv("SEED") ? strtoul(getenv("SEED"), NULL, 0) : 1;
	long proactiveness;
	void *secret;
	char *mem;

	if (read_meminfo("MemTotal") < 1536 * 1024)
		SKIP(return, "needs 1.5 GiB for a few blocks to be made for sure");

	/*
	 * Half of the pages free, everywhere, and nobody who mends that by
	 * himself. Drawn, as the free scanner looks at every 32nd page when it
	 * finds nothing, and would find nothing in a regular pattern.
	 */
	proactiveness = set_sysctl("compaction_proactiveness", 0);
	mem = take_all(&size);
	ASSERT_NE(mem, NULL);
	TH_LOG("seed %u (SEED in the environment)", seed);
	for (off = 0; off < size; off += page) {
		if (rand_r(&seed) & 0x100)
			madvise(mem + off, page, MADV_DONTNEED);
	}

	/* A few blocks more than are free: not a test of how hard it tries */
	secret_size = read_vmstat("nr_free_pages_blocks") * page + 24 * MiB;
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
	set_sysctl("compaction_proactiveness", proactiveness);
	munmap(secret, secret_size);
	munmap(mem, size);
}

TEST_HARNESS_MAIN
