// SPDX-License-Identifier: GPL-2.0-only
/*
 * Secret memory before it is touched, and given back before the file is gone:
 * populate, fallocate(), MADV_REMOVE. The same whether it comes from unmapped
 * blocks or is taken out of the direct map page by page.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "unmapped_util.h"

#define PAGES	256UL
#define SIZE	(PAGES * 4096)
#define HOLE	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

FIXTURE(fallocate)
{
	int fd;
	char *mem;
	int kmsg;
};

FIXTURE_SETUP(fallocate)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	self->mem = MAP_FAILED;
	self->fd = syscall(__NR_memfd_secret, 0);
	if (self->fd < 0)
		SKIP(return, "no memfd_secret(2)");
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		SKIP(return, "cannot raise RLIMIT_MEMLOCK");
	self->kmsg = kmsg_open();
	ASSERT_EQ(ftruncate(self->fd, SIZE), 0);
	self->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(self->mem, MAP_FAILED);
}

FIXTURE_TEARDOWN(fallocate)
{
	if (self->mem != MAP_FAILED)
		munmap(self->mem, SIZE);
	close(self->fd);
	EXPECT_QUIET(self->kmsg);
}

/* A child that says 0 when all was well, and where it was not otherwise. */
static int ended(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static long size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? -1 : st.st_size;
}

/* What a hole held is gone, and the rest is as it was. */
TEST_F(fallocate, punch_hole)
{
	const size_t at = 64 * 4096, len = 32 * 4096;
	uint64_t pfns[32];
	bool visible;

	fill(self->mem, SIZE, PATTERN);
	visible = read_pfns(self->mem + at, pfns, 32);
	ASSERT_EQ(secret_pages(self->fd), (long)PAGES);

	ASSERT_EQ(fallocate(self->fd, HOLE, at, len), 0);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES - 32);
	settle();
	if (visible)
		EXPECT_LE(pages_with_pattern(pfns, 32), 0);

	EXPECT_TRUE(all_zero(self->mem + at, len));
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);
	EXPECT_TRUE(all_are(self->mem, at, PATTERN));
	EXPECT_TRUE(all_are(self->mem + at + len, SIZE - at - len, PATTERN));

	/* Where there is nothing, and beyond the end, there is nothing to do */
	EXPECT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	EXPECT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	EXPECT_EQ(fallocate(self->fd, HOLE, SIZE, 2 * SIZE), 0);
	EXPECT_EQ(secret_pages(self->fd), 0);
	EXPECT_TRUE(all_zero(self->mem, SIZE));
}

/*
 * Erased when it is given back, on whatever CPU it was new, although that one
 * keeps references until it has more such pages or is told to let go of them.
 */
TEST_F(fallocate, erased_at_once)
{
	const int cpus[] = { 0, sysconf(_SC_NPROCESSORS_ONLN) - 1 };
	const long nr = 8;

	if (read_vmstat("no_direct_map_zeroed_pages") < 0)
		SKIP(return, "no page allocation off the direct map in this kernel");
	if (excluded())
		SKIP(return, "page by page: erased, and not counted, as it is mapped again");
	for (size_t i = 0; i < 2; i++) {
		int here[2];
		char byte;
		pid_t pid;
		long zeroed;

		ASSERT_EQ(pipe(here), 0);
		pid = fork();
		if (!pid) {
			pin(cpus[i]);
			/* Not in order: single pages. Large folios are in no batch */
			for (long page = nr; page--;)
				touch(self->mem + page * 8 * 4096, 4096, PATTERN);
			if (write(here[1], "", 1) != 1)
				_exit(1);
			/* What a task that ends has would be let go of */
			pause();
		}
		pin(0);
		EXPECT_EQ(read(here[0], &byte, 1), 1);
		zeroed = read_vmstat("no_direct_map_zeroed_pages");
		EXPECT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
		EXPECT_GE(read_vmstat("no_direct_map_zeroed_pages") - zeroed, nr) {
			TH_LOG("CPU %d", cpus[i]);
		}
		kill(pid, SIGKILL);
		ended(pid);
		close(here[0]);
		close(here[1]);
	}
}

/* The kernel cannot erase a part of a page. */
TEST_F(fallocate, whole_pages_only)
{
	fill(self->mem, SIZE, PATTERN);
	EXPECT_EQ(fallocate(self->fd, HOLE, 1, 4096), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(fallocate(self->fd, HOLE, 0, 4095), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(fallocate(self->fd, FALLOC_FL_ZERO_RANGE, 0, 4096), -1);
	EXPECT_EQ(errno, EOPNOTSUPP);
	EXPECT_EQ(fallocate(self->fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
	EXPECT_EQ(errno, EOPNOTSUPP);
	EXPECT_TRUE(all_are(self->mem, SIZE, PATTERN));
}

TEST_F(fallocate, madv_remove)
{
	fill(self->mem, SIZE, PATTERN);
	ASSERT_EQ(madvise(self->mem + 4096, 8 * 4096, MADV_REMOVE), 0);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES - 8);
	EXPECT_TRUE(all_zero(self->mem + 4096, 8 * 4096));
	EXPECT_TRUE(all_are(self->mem, 4096, PATTERN));
	EXPECT_TRUE(all_are(self->mem + 9 * 4096, SIZE - 9 * 4096, PATTERN));
}

/* What is given back no longer counts against the limit. */
TEST_F(fallocate, limit)
{
	struct rlimit limit = { SIZE / 2, SIZE / 2 };
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setrlimit(RLIMIT_MEMLOCK, &limit))
			_exit(1);
		if (touch_some(self->mem, SIZE, PATTERN) != SIZE / 2)
			_exit(2);
		if (fallocate(self->fd, 0, SIZE / 2, 4096) != -1 || errno != ENOSPC)
			_exit(3);
		if (fallocate(self->fd, HOLE, 0, SIZE / 4))
			_exit(4);
		if (touch_some(self->mem + SIZE / 2, SIZE / 2, PATTERN) != SIZE / 4)
			_exit(5);
		/* What could be had, stays */
		if (fallocate(self->fd, HOLE, SIZE / 2, 8 * 4096) ||
		    fallocate(self->fd, 0, 0, SIZE / 4) != -1 || errno != ENOSPC ||
		    secret_pages(self->fd) != PAGES / 2)
			_exit(6);
		_exit(0);
	}
	EXPECT_EQ(ended(pid), 0);
}

/* Pages that are there already stay what they are. */
TEST_F(fallocate, allocate)
{
	uint64_t pfns[PAGES];

	fill(self->mem + 4096, 4096, PATTERN);
	ASSERT_EQ(fallocate(self->fd, 0, 0, SIZE), 0);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);
	EXPECT_TRUE(all_zero(self->mem, 4096));
	EXPECT_TRUE(all_are(self->mem + 4096, 4096, PATTERN));
	EXPECT_TRUE(all_zero(self->mem + 2 * 4096, SIZE - 2 * 4096));
	/* By the page that a part of is asked for */
	ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	ASSERT_EQ(fallocate(self->fd, FALLOC_FL_KEEP_SIZE, 4095, 2), 0);
	EXPECT_EQ(secret_pages(self->fd), 2);
	if (read_pfns(self->mem, pfns, 1))
		EXPECT_LE(pages_with_pattern(pfns, 1), 0);
}

/* The size is set once, by whoever comes first. */
TEST_F(fallocate, size)
{
	int fd = syscall(__NR_memfd_secret, 0);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
	EXPECT_EQ(errno, EINVAL);
	ASSERT_EQ(fallocate(fd, 0, 4096, 4096), 0);
	EXPECT_EQ(size_of(fd), 8192);
	EXPECT_EQ(secret_pages(fd), 1);
	EXPECT_EQ(ftruncate(fd, 4096), -1);
	EXPECT_EQ(ftruncate(fd, 16384), -1);
	EXPECT_EQ(fallocate(fd, 0, 0, 16384), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(size_of(fd), 8192);
	close(fd);
}

/* What could not be had wholly: the size is set, and nothing is truncated in part. */
TEST_F(fallocate, size_after_failure)
{
	static const long sizes[] = { 1, 4096, SIZE / 2 + 1, SIZE };
	struct rlimit limit = { SIZE / 2, SIZE / 2 };
	pid_t pid;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			int fd = syscall(__NR_memfd_secret, 0);

			if (fd < 0 || setrlimit(RLIMIT_MEMLOCK, &limit))
				_exit(1);
			if (fallocate(fd, 0, 0, SIZE) != -1 || errno != ENOSPC)
				_exit(2);
			if (!secret_pages(fd) || size_of(fd) != (long)SIZE)
				_exit(3);
			if (ftruncate(fd, sizes[i]) != -1 || errno != EINVAL)
				_exit(4);
			_exit(0);
		}
		EXPECT_EQ(ended(pid), 0)
			TH_LOG("size %ld", sizes[i]);
	}
}

TEST_F(fallocate, map_populate)
{
	uint64_t pfns[PAGES];
	char *mem;

	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		   self->fd, 0);
	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);
	/* It is mapped as well */
	if (!geteuid())
		EXPECT_TRUE(read_pfns(mem, pfns, PAGES));
	EXPECT_TRUE(all_zero(mem, SIZE));
	munmap(mem, SIZE);
}

TEST_F(fallocate, madv_populate)
{
	uint64_t word = 0;
	int fd;

	ASSERT_EQ(madvise(self->mem, SIZE / 2, MADV_POPULATE_WRITE), 0);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES / 2);
	ASSERT_EQ(madvise(self->mem, SIZE, MADV_POPULATE_READ), 0);
	EXPECT_EQ(secret_pages(self->fd), (long)PAGES);

	/* Nobody else gets at what is there now */
	fd = open("/proc/self/mem", O_RDONLY);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(pread(fd, &word, sizeof(word), (off_t)self->mem), -1);
	close(fd);
}

/* The limit ends what populates, too, and the file has what was had until then. */
TEST_F(fallocate, madv_populate_limit)
{
	struct rlimit limit = { SIZE / 2, SIZE / 2 };
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		if (setrlimit(RLIMIT_MEMLOCK, &limit))
			_exit(1);
		if (madvise(self->mem, SIZE, MADV_POPULATE_WRITE) != -1 ||
		    errno != EFAULT)
			_exit(2);
		_exit(secret_pages(self->fd) == PAGES / 2 ? 0 : 3);
	}
	EXPECT_EQ(ended(pid), 0);
}

/* May this be read, and written? The kernel says so by an error, not by a signal. */
static bool may_read(int file, const char *mem)
{
	return pwrite(file, mem, 1, 0) == 1;
}

static bool may_write(int file, char *mem)
{
	return pread(file, mem, 1, 0) == 1;
}

/*
 * As allocators of secrets lay out a file: populated over what was reserved,
 * with guard pages and a header that is only read, by somebody without privileges.
 */
static void lay_out(struct __test_metadata *_metadata)
{
	enum { GUARD, HEADER, BETWEEN, DATA, LAST = 7, NR };
	const size_t room = 2 * NR * 4096;
	char *reserve, *mem;
	int fd, file;
	long locked;

	fd = syscall(__NR_memfd_secret, 0);
	file = memfd_create("ordinary", 0);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, NR * 4096), 0);
	reserve = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(reserve, MAP_FAILED);
	locked = field("/proc/self/status", "VmLck");
	mem = mmap(reserve + 4096, NR * 4096, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED | MAP_LOCKED | MAP_POPULATE, fd, 0);
	ASSERT_EQ(mem, reserve + 4096);
	EXPECT_EQ(field("/proc/self/status", "VmLck") - locked, NR * 4);

	touch(mem, NR * 4096, PATTERN);
	ASSERT_EQ(mprotect(mem + GUARD * 4096, 4096, PROT_NONE), 0);
	ASSERT_EQ(mprotect(mem + HEADER * 4096, 4096, PROT_READ), 0);
	ASSERT_EQ(mprotect(mem + BETWEEN * 4096, 4096, PROT_NONE), 0);
	ASSERT_EQ(mprotect(mem + LAST * 4096, 4096, PROT_NONE), 0);
	ASSERT_EQ(pwrite(file, "", 1, 0), 1);
	for (int i = -1; i <= NR; i++) {
		const bool header = i == HEADER, data = i >= DATA && i < LAST;

		EXPECT_EQ(may_write(file, mem + i * 4096), data) TH_LOG("page %d", i);
		EXPECT_EQ(may_read(file, mem + i * 4096), header || data) TH_LOG("page %d", i);
	}
	EXPECT_EQ(*(uint64_t *)(mem + HEADER * 4096), PATTERN);

	/* No longer locked, but still in the file */
	ASSERT_EQ(munmap(mem + (LAST - 1) * 4096, 2 * 4096), 0);
	EXPECT_EQ(field("/proc/self/status", "VmLck") - locked, (NR - 2) * 4);
	EXPECT_FALSE(may_read(file, mem + (LAST - 1) * 4096));
	EXPECT_TRUE(may_read(file, mem + (LAST - 2) * 4096));
	EXPECT_EQ(munmap(reserve, room), 0);
	EXPECT_EQ(field("/proc/self/status", "VmLck"), locked);
	if (secret_pages(fd) >= 0)
		EXPECT_EQ(secret_pages(fd), NR);
	close(file);
	close(fd);
}

TEST_F(fallocate, guard_pages)
{
	struct rlimit few = { 64 * KiB, 64 * KiB };
	pid_t pid = fork();

	if (!pid) {
		if (setrlimit(RLIMIT_MEMLOCK, &few) || setresuid(65534, 65534, 65534))
			_exit(1);
		lay_out(_metadata);
		_exit(_metadata->exit_code != KSFT_PASS);
	}
	EXPECT_EQ(ended(pid), 0);
}

struct toucher {
	char *mem;
	bool stop;
	long wrong;
};

/* A word is what was written, or zero after a hole. */
static void *keep_touching(void *arg)
{
	struct toucher *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		for (size_t i = 0; i < PAGES; i++) {
			uint64_t *word = (uint64_t *)(t->mem + i * 4096);
			uint64_t was = __atomic_exchange_n(word, PATTERN,
							   __ATOMIC_RELAXED);

			if (was && was != PATTERN)
				t->wrong++;
		}
	}
	return NULL;
}

TEST_F_TIMEOUT(fallocate, holes_in_use, 120)
{
	struct toucher t = { .mem = self->mem };
	pthread_t threads[2];
	unsigned int seed = 1;
	long locked;

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, keep_touching, &t), 0);
	for (int i = 0; i < 500; i++) {
		size_t at = rand_r(&seed) % PAGES, nr = 1 + rand_r(&seed) % 64;

		if (at + nr > PAGES)
			nr = PAGES - at;
		ASSERT_EQ(fallocate(self->fd, i % 4 ? HOLE : 0, at * 4096, nr * 4096), 0);
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(t.wrong, 0);

	/* The limit is held against what the file has, to the page */
	ASSERT_EQ(fallocate(self->fd, HOLE, 0, SIZE), 0);
	EXPECT_EQ(secret_pages(self->fd), 0);
	locked = read_meminfo("Secretmem");
	ASSERT_EQ(fallocate(self->fd, 0, 0, SIZE), 0);
	EXPECT_EQ(read_meminfo("Secretmem") - locked, (long)(SIZE / KiB));
}

/* What is free in blocks that somebody has a page of, who is charged for that. */
static long fragments(void)
{
	return read_vmstat("nr_free_no_direct_map") -
	       read_vmstat("nr_free_no_direct_map_whole");
}

TEST_F_TIMEOUT(fallocate, one_page_of_each, 120)
{
	const long rounds = 64, pages = BLOCK_SIZE / 4096, before = fragments();
	int fd = syscall(__NR_memfd_secret, 0);
	long grown;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, rounds * BLOCK_SIZE), 0);
	for (long i = 0; i < rounds; i++) {
		ASSERT_EQ(fallocate(fd, 0, i * BLOCK_SIZE, BLOCK_SIZE), 0);
		ASSERT_EQ(fallocate(fd, HOLE, i * BLOCK_SIZE + 4096, BLOCK_SIZE - 4096), 0);
	}
	EXPECT_EQ(secret_pages(fd), rounds);
	grown = fragments() - before;
	TH_LOG("%ld pages are in use, %ld are free beside them", rounds, grown);
	/* Eight blocks, and one more that was taken before it was seen */
	EXPECT_LE(grown, 10 * pages);
	close(fd);
}

TEST_HARNESS_MAIN
