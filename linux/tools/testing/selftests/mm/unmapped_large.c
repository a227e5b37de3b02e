// SPDX-License-Identifier: GPL-2.0-only
/*
 * Secret memory in large folios: how they come about, and that a part of one is
 * treated as the pages that it is.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "unmapped_util.h"

#define SIZE	(16 * MiB)
#define PAGES	(SIZE / 4096)
#define HOLE	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

FIXTURE(large)
{
	int fd;
	char *mem;
	int kmsg;
};

FIXTURE_SETUP(large)
{
	const char *missing = unmapped_missing();

	self->mem = MAP_FAILED;
	self->kmsg = kmsg_open();
	if (missing)
		SKIP(return, "%s", missing);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		SKIP(return, "no transparent huge pages");
	/* Each node has blocks of its own */
	pin(0);
	self->fd = syscall(__NR_memfd_secret, 0);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(ftruncate(self->fd, SIZE), 0);
	self->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(self->mem, MAP_FAILED);
	/* Or it could not be mapped by 2 MiB entries */
	ASSERT_EQ((uintptr_t)self->mem % BLOCK_SIZE, 0);
}

FIXTURE_TEARDOWN(large)
{
	if (self->mem != MAP_FAILED) {
		munmap(self->mem, SIZE);
		close(self->fd);
	}
	EXPECT_QUIET(self->kmsg);
}

/* Of vm_util.h, which has another write_file() than unmapped_util.h */
bool check_huge_file(void *addr, size_t len, int nr_hpages, uint64_t hpage_size);

/* Is so much of the mapping mapped by 2 MiB entries? */
static bool mapped_whole(const char *mem, size_t size)
{
	return check_huge_file((void *)mem, SIZE, size / BLOCK_SIZE, BLOCK_SIZE);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* No more than twice of what was touched is there, at any time. */
TEST_F(large, doubles)
{
	long before = faults(), pages = 0;

	for (size_t i = 0; i < PAGES; i++) {
		touch(self->mem + i * 4096, 4096, PATTERN + i);
		if (!(i & (i + 1)) || i % 512 == 0) {
			pages = secret_pages(self->fd);
			EXPECT_LE(pages, 2 * (long)(i + 1))
				TH_LOG("%zu pages touched", i + 1);
		}
	}
	TH_LOG("%ld faults", faults() - before);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);
	EXPECT_LT(faults() - before, (long)PAGES / 8);
	EXPECT_TRUE(mapped_whole(self->mem, SIZE - BLOCK_SIZE));
	for (size_t i = 0; i < PAGES; i++)
		ASSERT_EQ(*(uint64_t *)(self->mem + i * 4096), PATTERN + i);
}

/* Pages by themselves stay pages: each second one, and from the end. */
TEST_F(large, alone)
{
	for (size_t i = 1; i < PAGES; i += 2)
		touch(self->mem + i * 4096, 4096, PATTERN);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES / 2);
	ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	for (size_t i = PAGES; i--; )
		touch(self->mem + i * 4096, 4096, PATTERN);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);
	EXPECT_TRUE(mapped_whole(self->mem, 0));
	/* Where the largest folios could begin */
	ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	for (size_t at = BLOCK_SIZE; at < SIZE; at += BLOCK_SIZE)
		touch(self->mem + at, 4096, PATTERN);
	EXPECT_EQ(secret_pages(self->fd), (long)(SIZE / BLOCK_SIZE) - 1);
}

/* The second half of what the limit leaves is for single pages. */
TEST_F(large, leaves_room)
{
	struct rlimit limit = { 20 * 4096, 20 * 4096 };
	pid_t pid = fork();
	int status;

	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setrlimit(RLIMIT_MEMLOCK, &limit) ||
		    touch_some(self->mem, 8 * 4096, PATTERN) != 8 * 4096 ||
		    secret_pages(self->fd) != 8)
			_exit(1);
		/* It could be one of 8 pages, but 12 are left */
		if (touch_some(self->mem + 8 * 4096, 4096, PATTERN) != 4096)
			_exit(2);
		_exit(secret_pages(self->fd) == 9 ? 0 : 3);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

/* Neither beyond the file, nor the mapping, nor the limit. */
TEST_F(large, bounds)
{
	const size_t part = 3 * MiB + 5 * 4096;
	int fd = syscall(__NR_memfd_secret, 0), status;
	char *mem;
	pid_t pid;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, part), 0);
	mem = mmap(NULL, 8 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(mem, MAP_FAILED);
	ASSERT_EQ(touch_some(mem, 8 * MiB, PATTERN), part);
	EXPECT_EQ(secret_pages(fd), (long)(part / 4096));
	munmap(mem, 8 * MiB);
	close(fd);

	munmap(self->mem + part, SIZE - part);
	touch(self->mem, part, PATTERN);
	EXPECT_EQ(secret_pages(self->fd), (long)(part / 4096));
	ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);

	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		struct rlimit limit = { part, part };
		char *all = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);

		if (setrlimit(RLIMIT_MEMLOCK, &limit) || all == MAP_FAILED)
			_exit(1);
		_exit(touch_some(all, SIZE, PATTERN) == part ? 0 : 2);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT_EQ(secret_pages(self->fd), (long)(part / 4096));
}

/* A whole file by fallocate(), mapped by 2 MiB entries with a fault each. */
TEST_F(large, allocate)
{
	long before;

	ASSERT_EQ(fallocate(self->fd, 0, 0, SIZE), 0);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);
	before = faults();
	EXPECT_TRUE(all_zero(self->mem, SIZE));
	touch(self->mem, SIZE, PATTERN);
	EXPECT_LE(faults() - before, (long)(SIZE / BLOCK_SIZE) + 16);
	EXPECT_TRUE(mapped_whole(self->mem, SIZE));
}

/* A part of a folio is unmapped, protected, moved: the rest is as it was. */
TEST_F(large, parts)
{
	const size_t at = BLOCK_SIZE + 16 * 4096, len = 32 * 4096;
	char *elsewhere;
	int status;
	pid_t pid;

	fill(self->mem, SIZE, PATTERN);
	munmap(self->mem + at, len);
	EXPECT_TRUE(all_are(self->mem, at, PATTERN));
	EXPECT_TRUE(all_are(self->mem + at + len, SIZE - at - len, PATTERN));
	ASSERT_EQ(mmap(self->mem + at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       self->fd, at), self->mem + at);
	EXPECT_TRUE(all_are(self->mem + at, len, PATTERN));

	ASSERT_EQ(mprotect(self->mem + 2 * at, len, PROT_READ), 0);
	EXPECT_TRUE(all_are(self->mem, SIZE, PATTERN));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (!all_are(self->mem, SIZE, PATTERN))
			_exit(1);
		signal(SIGSEGV, SIG_DFL);
		touch(self->mem + 2 * at, 4096, 0);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(WTERMSIG(status), SIGSEGV);
	ASSERT_EQ(mprotect(self->mem + 2 * at, len, PROT_READ | PROT_WRITE), 0);

	elsewhere = mremap(self->mem + 8 * MiB + 4096, 4 * MiB, 4 * MiB,
			   MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (elsewhere == MAP_FAILED)
		elsewhere = mremap(self->mem + 8 * MiB + 4096, 4 * MiB, 4 * MiB,
				   MREMAP_MAYMOVE);
	ASSERT_NE(elsewhere, MAP_FAILED);
	EXPECT_TRUE(all_are(elsewhere, 4 * MiB, PATTERN));
	munmap(elsewhere, 4 * MiB);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);
}

/* A hole begins and ends in folios: what is in it is gone, and erased, and no more. */
TEST_F_TIMEOUT(large, holes, 120)
{
	unsigned int seed = 1;
	uint64_t pfns[32];
	bool visible;

	for (int i = 0; i < 40; i++) {
		size_t first = rand_r(&seed) % PAGES, nr = 1 + rand_r(&seed) % 1200;
		long pages;

		if (first + nr > PAGES)
			nr = PAGES - first;
		ASSERT_EQ(fallocate(self->fd, 0, 0, SIZE), 0);
		fill(self->mem, SIZE, PATTERN);
		visible = read_pfns(self->mem + first * 4096, pfns, nr < 32 ? nr : 32);
		ASSERT_EQ(fallocate(self->fd, HOLE, first * 4096, nr * 4096), 0);
		pages = secret_pages(self->fd);
		EXPECT_EQ(pages, (long)(PAGES - nr));
		settle();
		if (visible)
			EXPECT_LE(pages_with_pattern(pfns, nr < 32 ? nr : 32), 0);
		EXPECT_TRUE(all_are(self->mem, first * 4096, PATTERN));
		EXPECT_TRUE(all_zero(self->mem + first * 4096, nr * 4096));
		EXPECT_TRUE(all_are(self->mem + (first + nr) * 4096,
				    SIZE - (first + nr) * 4096, PATTERN));
		if (i % 4 == 3)
			ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	}
}

#define FAIL	"/sys/kernel/debug/fail_function/"

/* A folio cannot be split: the hole is erased all the same, and nothing else. */
TEST_F(large, holes_without_split)
{
	static const struct {
		size_t first, nr, left;
	} holes[] = {
		/* in one folio; across two; with whole ones between; at a boundary */
		{ 600, 10, PAGES }, { 1000, 100, PAGES },
		{ 500, 2000, PAGES - 3 * 512 }, { 512, 700, PAGES - 512 },
	};

	if (access(FAIL "inject", W_OK) || write_file(FAIL "inject", "secretmem_split"))
		SKIP(return, "cannot inject into secretmem_split() (CONFIG_FAIL_FUNCTION)");
	ASSERT_EQ(write_file(FAIL "secretmem_split/retval", "%#lx", (unsigned long)-EAGAIN), 0);
	write_file(FAIL "interval", "1");
	write_file(FAIL "verbose", "0");
	for (size_t i = 0; i < sizeof(holes) / sizeof(*holes); i++) {
		char *hole = self->mem + holes[i].first * 4096;
		size_t size = holes[i].nr * 4096;
		size_t least;

		ASSERT_EQ(fallocate(self->fd, 0, 0, SIZE), 0);
		fill(self->mem, SIZE, PATTERN);
		/* Smaller folios come of what is left of blocks */
		least = mapped_whole(self->mem, SIZE) ? holes[i].left : PAGES - holes[i].nr;
		write_file(FAIL "times", "-1");
		write_file(FAIL "probability", "100");
		EXPECT_EQ(fallocate(self->fd, HOLE, holes[i].first * 4096, size), 0);
		write_file(FAIL "probability", "0");
		EXPECT_LE(secret_pages(self->fd), holes[i].left);
		EXPECT_GE(secret_pages(self->fd), least);
		EXPECT_TRUE(all_zero(hole, size));
		EXPECT_TRUE(all_are(self->mem, hole - self->mem, PATTERN));
		EXPECT_TRUE(all_are(hole + size, self->mem + SIZE - hole - size, PATTERN));
		ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	}
	write_file(FAIL "inject", " ");
}

/* Nobody else gets at it, in whatever folio it is. */
TEST_F(large, no_way_in)
{
	uint64_t word = 0;
	struct iovec local = { &word, sizeof(word) };
	struct iovec remote = { self->mem + 3 * MiB, sizeof(word) };
	int fds[2];

	fill(self->mem, SIZE, PATTERN);
	EXPECT_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), -1);
	ASSERT_EQ(pipe(fds), 0);
	/* GUP-fast, of what is mapped by a 2 MiB entry */
	EXPECT_EQ(vmsplice(fds[1], &remote, 1, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(word, 0);
	close(fds[0]);
	close(fds[1]);
}

/* Does a read of this page end the process by @sig? */
static bool dies_of(const char *page, int sig)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(sig, SIG_DFL);
		_exit(__atomic_load_n(page, __ATOMIC_RELAXED) ? 1 : 2);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == sig;
}

/* Pages within a folio that is mapped as a whole */
TEST_F(large, guard_pages)
{
	char *at = self->mem + 2 * BLOCK_SIZE + 16 * 4096;

	fill(self->mem, SIZE, PATTERN);
	if (madvise(at, 4096, MADV_GUARD_INSTALL))
		SKIP(return, "no guard pages in shared mappings");
	EXPECT_TRUE(dies_of(at, SIGSEGV));
	EXPECT_TRUE(all_are(self->mem, at - self->mem, PATTERN));
	EXPECT_TRUE(all_are(at + 4096, SIZE - (at + 4096 - self->mem), PATTERN));
	ASSERT_EQ(madvise(at, 4096, MADV_GUARD_REMOVE), 0);
	EXPECT_TRUE(all_are(self->mem, SIZE, PATTERN));
}

TEST_F(large, sealed)
{
	char *at = self->mem + 2 * BLOCK_SIZE + 16 * 4096;
	const size_t len = 4 * 4096;

	fill(self->mem, SIZE, PATTERN);
	if (syscall(__NR_mseal, at, len, 0))
		SKIP(return, "no mseal()");
	EXPECT_EQ(munmap(at, len), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(mprotect(at, len, PROT_NONE), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_TRUE(all_are(self->mem, SIZE, PATTERN));
	/* The seal is the mapping's: the file can have a hole */
	ASSERT_EQ(fallocate(self->fd, HOLE, at - self->mem, len), 0);
	EXPECT_TRUE(all_zero(at, len));
}

#define GROUP	"/sys/fs/cgroup/unmapped_large"
#define CONSOLE	"/proc/sys/kernel/printk"

/* In a group that has room for @room pages more: how many are there in the end? */
static long fill_in_group(int fd, char *mem, long room)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (write_file(GROUP "/cgroup.procs", "0") ||
		    write_file(GROUP "/memory.max", "%ld",
			       read_number(GROUP "/memory.current") + room * 4096))
			_exit(1);
		touch_some(mem, SIZE, PATTERN);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid ||
	    (WIFEXITED(status) && WEXITSTATUS(status)))
		return -1;
	return secret_pages(fd);
}

/* Small ones are had where there is no room for a large one */
TEST_F(large, memory_cgroup)
{
	const long room = 700, slack = 64, level = read_number(CONSOLE);
	long pages;

	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) || access(GROUP "/memory.max", W_OK)) {
		rmdir(GROUP);
		SKIP(return, "no memory cgroups");
	}
	/* A task is killed for memory, with a trace: not a report */
	write_file(CONSOLE, "1");
	pages = fill_in_group(self->fd, self->mem, room);
	sleep_ms(2000);
	write_file(CONSOLE, "%ld", level);
	close(self->kmsg);
	self->kmsg = kmsg_open();
	TH_LOG("%ld pages where there was room for %ld", pages, room);
	EXPECT_GE(pages, room - slack);
	EXPECT_LE(pages, room + slack);
	/* What is given back in part is not charged any longer */
	ASSERT_EQ(fallocate(self->fd, HOLE, 4096, 600 * 4096), 0);
	EXPECT_LE(read_number(GROUP "/memory.current") / 4096, pages - 600 + 4 * slack);
	ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	EXPECT_EQ(rmdir(GROUP), 0);
}

#define HARD_OFFLINE	"/sys/devices/system/memory/hard_offline_page"

/* One page of a folio fails: it alone is lost. */
TEST_F(large, poisoned)
{
	char *page = self->mem + 4 * MiB + 7 * 4096;
	const long corrupted = read_meminfo("HardwareCorrupted");
	uint64_t pfn;

	if (access(HARD_OFFLINE, W_OK))
		SKIP(return, "no hard_offline_page (CONFIG_MEMORY_FAILURE)");
	fill(self->mem, SIZE, PATTERN);
	ASSERT_TRUE(read_pfns(page, &pfn, 1));
	/* Nobody dies of it that does not touch it */
	ASSERT_EQ(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_LATE, 0, 0), 0);
	TH_LOG("hard_offline_page: %s",
	       strerror(-write_file(HARD_OFFLINE, "%#lx", (unsigned long)pfn * 4096)));
	EXPECT_EQ(read_meminfo("HardwareCorrupted"), corrupted + 4);
	EXPECT_TRUE(dies_of(page, SIGBUS));
	EXPECT_TRUE(all_are(self->mem, page - self->mem, PATTERN));
	EXPECT_TRUE(all_are(page + 4096, SIZE - (page + 4096 - self->mem), PATTERN));
}

TEST_HARNESS_MAIN
