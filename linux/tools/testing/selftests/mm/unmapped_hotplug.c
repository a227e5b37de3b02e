// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page allocation off the direct map while processors and memory come and go,
 * and when memory fails.
 *
 * At any time, what the direct map does not show is what is counted as
 * unmapped: judged by a walk of the kernel's page tables.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "unmapped_util.h"

#define MEMORY		"/sys/devices/system/memory/"
#define CPU		"/sys/devices/system/cpu/"
#define HWPOISON	"/sys/kernel/debug/hwpoison/"

#define KPF_BUDDY	10
#define KPF_HWPOISON	19

static bool file_says(const char *path, const char *text)
{
	char line[64] = "";
	FILE *f = fopen(path, "r");

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return !strncmp(line, text, strlen(text));
}

/* An entry of a file that has one of 64 bits for each page. */
static uint64_t page_entry(const char *path, unsigned long page)
{
	uint64_t entry = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), page * sizeof(entry)) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

/* The physical address of a page that is mapped here, or 0. */
static unsigned long phys_of(void *addr)
{
	uint64_t entry = page_entry("/proc/self/pagemap", (unsigned long)addr / 4096);

	if (!(entry >> 63))
		return 0;
	return (entry & ((1UL << 55) - 1)) * 4096;
}

static bool page_flag(unsigned long phys, int flag)
{
	return page_entry("/proc/kpageflags", phys / 4096) >> flag & 1;
}

/* Where the first of these pages is that is in that physical range, or -1. */
static long find_page(void *mem, size_t size, unsigned long from, unsigned long to)
{
	unsigned long first = (unsigned long)mem / 4096, nr = size / 4096;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entries[512];
	long found = -1;

	for (unsigned long i = 0; fd >= 0 && i < nr && found < 0; i += 512) {
		unsigned long n = nr - i < 512 ? nr - i : 512;

		if (pread(fd, entries, n * 8, (first + i) * 8) != (ssize_t)(n * 8))
			break;
		for (unsigned long j = 0; j < n; j++) {
			unsigned long phys = (entries[j] & ((1UL << 55) - 1)) * 4096;

			if (entries[j] >> 63 && from <= phys && phys < to) {
				found = (i + j) * 4096;
				break;
			}
		}
	}
	if (fd >= 0)
		close(fd);
	return found;
}

static bool among(void *mem, size_t size, unsigned long from, unsigned long to)
{
	return find_page(mem, size, from, to) >= 0;
}

#define CHUNK	(16 * MiB)

/*
 * As take_all(), but in pages as large as can be had, and only up to a chunk
 * with a page in that physical range.
 */
static char *take_until(size_t *taken, unsigned long from, unsigned long to)
{
	size_t size = read_meminfo("MemFree") * KiB & ~(CHUNK - 1);
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*taken = 0;
	if (mem == MAP_FAILED)
		return NULL;
	madvise(mem, size, MADV_HUGEPAGE);
	while (*taken < size && read_meminfo("MemFree") > LEAVE_FREE * (long)KiB) {
		if (madvise(mem + *taken, CHUNK, MADV_POPULATE_WRITE))
			break;
		*taken += CHUNK;
		if (among(mem + *taken - CHUNK, CHUNK, from, to))
			break;
	}
	return mem;
}

/*
 * Secret memory with a page in that physical range. What is free and in the way
 * is taken first.
 */
static char *secret_file_in(unsigned long from, unsigned long to, size_t *size,
			    long *at, int *fd)
{
	size_t taken, off;
	char *hold, *mem;

	*size = read_meminfo("MemFree") * KiB & ~(CHUNK - 1);
	mem = secret_map_file(*size, fd);
	hold = take_until(&taken, from, to);
	if (mem == MAP_FAILED || !hold)
		return NULL;
	/* Free again, and the next to be had */
	if (taken)
		madvise(hold + taken - CHUNK, CHUNK, MADV_DONTNEED);

	*at = -1;
	for (off = 0; off < *size && *at < 0; off += BLOCK_SIZE) {
		if (read_meminfo("MemFree") < 24 * (long)KiB ||
		    touch_some(mem + off, BLOCK_SIZE, PATTERN) < BLOCK_SIZE)
			break;
		*at = find_page(mem + off, BLOCK_SIZE, from, to);
		if (*at >= 0)
			*at += off;
	}
	munmap(hold, taken);
	if (*at < 0) {
		munmap(mem, *size);
		return NULL;
	}
	return mem;
}

static char *secret_in(unsigned long from, unsigned long to, size_t *size, long *at)
{
	return secret_file_in(from, to, size, at, NULL);
}

/*
 * All that there is to be had without a flip, and a little more. From the end, page by
 * page: a large folio is rather flipped than made of what is free in pieces.
 */
static void *secret_pool(size_t *size)
{
	size_t off;
	char *mem;

	*size = (read_vmstat("nr_free_no_direct_map") + read_pcp()) * 4096 + BLOCK_SIZE;
	mem = secret_map(*size);
	if (mem == MAP_FAILED)
		return mem;
	for (off = *size; off && touch_some(mem + off - 4096, 4096, 0); )
		off -= 4096;
	if (off) {
		munmap(mem, *size);
		mem = MAP_FAILED;
	}
	return mem;
}

static unsigned long memory_block_size(void)
{
	unsigned long size = 0;
	FILE *f = fopen(MEMORY "block_size_bytes", "r");

	if (!f)
		return 0;
	if (fscanf(f, "%lx", &size) != 1)
		size = 0;
	fclose(f);
	return size;
}

static void memory_path(char *path, size_t size, long nr)
{
	snprintf(path, size, MEMORY "memory%ld/state", nr);
}

/* The kernel tries until it is interrupted: not for more than these seconds. */
static int memory_set(long nr, const char *state, int seconds)
{
	char path[128];
	int status;
	pid_t pid;

	memory_path(path, sizeof(path), nr);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-write_file(path, "%s", state));
	for (int i = 0; i < seconds * 20; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
		sleep_ms(50);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -ETIMEDOUT;
}

static long memory_highest(void)
{
	DIR *dir = opendir(MEMORY);
	struct dirent *entry;
	long nr, highest = -1;

	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "memory%ld", &nr) == 1 && nr > highest)
			highest = nr;
	}
	closedir(dir);
	return highest;
}

static void cpu_path(char *path, size_t size, int cpu)
{
	snprintf(path, size, CPU "cpu%d/online", cpu);
}

static int repair(unsigned long phys)
{
	return write_file(HWPOISON "unpoison-pfn", "%#lx", phys / 4096);
}

/* At any time: what is not mapped is in an unmapped block. */
#define CHECK_STATE(self)						\
do {									\
	struct snapshot __now = take_snapshot();			\
	const char *__wrong = counters_wrong();				\
	const char *__line = kmsg_complaint((self)->kmsg);		\
									\
	EXPECT_EQ(unaccounted(&(self)->before, &__now), 0);		\
	EXPECT_EQ(__wrong, NULL) TH_LOG("%s", __wrong);			\
	EXPECT_EQ(__line, NULL) TH_LOG("%s", __line);			\
} while (0)

FIXTURE(hotplug)
{
	long pool_blocks;
	struct snapshot before;
	long offline_memory;
	int kmsg;
};

FIXTURE_SETUP(hotplug)
{
	const char *missing = unmapped_missing();
	void *mem;

	self->offline_memory = -1;
	self->kmsg = -1;
	if (missing)
		SKIP(return, "%s", missing);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	pin(0);
	self->pool_blocks = set_pool_blocks(0);
	mem = secret_map(BLOCK_SIZE);
	ASSERT_NE(mem, MAP_FAILED);
	touch(mem, BLOCK_SIZE, PATTERN);
	munmap(mem, BLOCK_SIZE);

	self->kmsg = kmsg_open();
	ASSERT_GE(self->kmsg, 0);
	self->before = take_snapshot();
	if (!self->before.present)
		SKIP(return, "no page_tables in debugfs (CONFIG_PTDUMP_DEBUGFS)");
	ASSERT_GT(self->before.unmapped, 0);
}

FIXTURE_TEARDOWN(hotplug)
{
	char path[128];

	set_pool_blocks(self->pool_blocks);
	if (self->offline_memory >= 0)
		memory_set(self->offline_memory, "online_kernel", 10);
	for (int cpu = 1; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
		cpu_path(path, sizeof(path), cpu);
		if (file_says(path, "0"))
			write_file(path, "1");
	}
	close(self->kmsg);
}

/* Secret memory comes and goes, until told to stop: what it does is zero. */
static int churn(const int *stop, long *rounds)
{
	const size_t size = 2 * MiB;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		void *mem = secret_map(size);

		if (mem == MAP_FAILED)
			return 1;
		if (!all_zero(mem, size))
			return 2;
		fill(mem, size, PATTERN);
		munmap(mem, size);
		__atomic_fetch_add(rounds, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

#define GROUP "/sys/fs/cgroup/unmapped_hotplug"

/* Have a CPU brought online by a task of a memory cgroup: what is it charged? */
static long online_in_group(const char *cpu)
{
	const long refresh = 5000;	/* ms: what is little is told every two seconds */
	long before;

	if (write_file(GROUP "/cgroup.procs", "0"))
		_exit(1);
	field(GROUP "/memory.stat", "pagetables");
	sleep_ms(refresh);
	before = field(GROUP "/memory.stat", "pagetables");
	/* There is no room in the group for anything */
	if (before < 0 ||
	    write_file(GROUP "/memory.max", "%ld", read_number(GROUP "/memory.current")) ||
	    write_file(cpu, "1"))
		_exit(2);
	sleep_ms(refresh);
	return field(GROUP "/memory.stat", "pagetables") - before;
}

/*
 * What a CPU needs to erase pages is made before it is first online, and is not the
 * business of whoever asks for that.
 */
TEST_F_TIMEOUT(hotplug, cpu_first_online, 120)
{
	char path[128];
	int cpu, status, nr = sysconf(_SC_NPROCESSORS_CONF);
	pid_t pid;

	for (cpu = 1; cpu < nr; cpu++) {
		cpu_path(path, sizeof(path), cpu);
		if (file_says(path, "0"))
			break;
	}
	if (cpu >= nr)
		SKIP(return, "all CPUs have been online: needs maxcpus=");
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		SKIP(return, "no memory cgroups");
	if (field(GROUP "/memory.stat", "pagetables") < 0) {
		rmdir(GROUP);
		SKIP(return, "no memory cgroups");
	}

	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		_exit(online_in_group(path) < 8192 ? 0 : 3);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 0);
	rmdir(GROUP);

	/* And it does erase them */
	pin(cpu);
	for (int round = 0; round < 3; round++) {
		void *mem = secret_map(BLOCK_SIZE);

		ASSERT_NE(mem, MAP_FAILED);
		EXPECT_TRUE(all_zero(mem, BLOCK_SIZE));
		fill(mem, BLOCK_SIZE, PATTERN);
		munmap(mem, BLOCK_SIZE);
	}
	pin(0);
	CHECK_STATE(self);
}

/* Pages are erased through windows that each CPU has for itself. */
TEST_F_TIMEOUT(hotplug, cpu, 300)
{
	const size_t size = 4 * MiB;
	const int cpus = sysconf(_SC_NPROCESSORS_CONF), procs = 2;
	struct {
		int stop;
		long rounds;
	} *shared;
	char path[128];
	long rounds, zeroed;
	int status;
	void *mem;

	cpu_path(path, sizeof(path), 1);
	if (cpus < 2 || access(path, W_OK))
		SKIP(return, "no second processor that can go offline");
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(shared, MAP_FAILED);
	for (int i = 0; i < procs; i++) {
		pid_t pid = fork();

		ASSERT_GE(pid, 0);
		if (!pid) {
			cpu_set_t all;

			memset(&all, 0xff, sizeof(all));
			sched_setaffinity(0, sizeof(all), &all);
			_exit(churn(&shared->stop, &shared->rounds));
		}
	}

	for (int cpu = 1; cpu < cpus; cpu++) {
		cpu_path(path, sizeof(path), cpu);
		rounds = __atomic_load_n(&shared->rounds, __ATOMIC_RELAXED);
		ASSERT_EQ(write_file(path, "0"), 0);
		for (int i = 0; i < 500; i++) {
			if (__atomic_load_n(&shared->rounds, __ATOMIC_RELAXED) >=
			    rounds + procs)
				break;
			sleep_ms(20);
		}
		rounds = __atomic_load_n(&shared->rounds, __ATOMIC_RELAXED) - rounds;
		EXPECT_GE(rounds, procs);
		ASSERT_EQ(write_file(path, "1"), 0);

		/* What that CPU frees now, it erases */
		pin(cpu);
		ASSERT_EQ(sched_getcpu(), cpu);
		zeroed = read_vmstat("no_direct_map_zeroed_pages");
		mem = secret_map(size);
		ASSERT_NE(mem, MAP_FAILED);
		fill(mem, size, PATTERN);
		munmap(mem, size);
		EXPECT_GE(read_vmstat("no_direct_map_zeroed_pages") - zeroed,
			  (long)(size / 4096));
		mem = secret_map(size);
		ASSERT_NE(mem, MAP_FAILED);
		EXPECT_TRUE(all_zero(mem, size));
		munmap(mem, size);
		pin(0);
	}

	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < procs; i++) {
		status = -1;
		ASSERT_GT(wait(&status), 0);
		EXPECT_TRUE(WIFEXITED(status));
		EXPECT_EQ(WEXITSTATUS(status), 0);
	}
	TH_LOG("%ld times %lu KiB while %d processors went and came back",
	       shared->rounds, 2 * KiB, cpus - 1);
	settle();
	EXPECT_EQ(read_vmstat("nr_no_direct_map_dirty"), 0);
	CHECK_STATE(self);
}

/* What an attempt is about that only a signal ends, or 0: it has ended. */
static pid_t memory_going(long nr)
{
	char path[128];
	pid_t pid;

	memory_path(path, sizeof(path), nr);
	pid = fork();
	if (!pid)
		_exit(-write_file(path, "offline"));
	for (int i = 0; i < 20; i++) {
		sleep_ms(100);
		if (pid < 0 || waitpid(pid, NULL, WNOHANG) == pid)
			return 0;
	}
	return pid;
}

/*
 * Memory that does not go, as somebody holds a page, keeps memory hotplug's lock. Who
 * lets go of secret memory meanwhile has it back in the direct map all the same.
 */
TEST_F_TIMEOUT(hotplug, offline_takes_long, 300)
{
	const unsigned long block = memory_block_size();
	const size_t size = 8 * BLOCK_SIZE;
	int hold[2], nr_held = 0;
	long nr, held[8], at, used, ms;
	pid_t pid = 0;
	char *mem, *secret;
	size_t taken;

	if (!block || memory_highest() < 0)
		SKIP(return, "no memory hotplug");
	ASSERT_EQ(pipe(hold), 0);
	mem = take_until(&taken, 0, 0);
	ASSERT_NE(mem, NULL);
	for (nr = memory_highest(); nr > 0 && nr_held < 8; nr--) {
		struct iovec page = { mem, 4096 };

		at = find_page(mem, taken, nr * block, (nr + 1) * block);
		if (at < 0)
			continue;
		page.iov_base = mem + at;
		ASSERT_EQ(vmsplice(hold[1], &page, 1, 0), 4096);
		held[nr_held++] = nr;
	}
	munmap(mem, taken);
	for (int i = 0; i < nr_held && !pid; i++)
		pid = memory_going(nr = held[i]);
	if (!pid) {
		close(hold[0]);
		close(hold[1]);
		SKIP(return, "none of %d memory blocks is tried for long", nr_held);
	}

	secret = secret_map(size);
	ASSERT_NE(secret, MAP_FAILED);
	touch(secret, size, PATTERN);
	used = read_vmstat("nr_no_direct_map");
	munmap(secret, size);
	for (ms = 0; ms < 30000; ms += 100) {
		if (read_vmstat("nr_no_direct_map") <= used - (long)(size / 4096) / 2)
			break;
		sleep_ms(100);
	}
	TH_LOG("memory block %ld: let go of within %ld ms", nr, ms);
	EXPECT_LT(ms, 30000);
	/* It is still being tried */
	EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(hold[0]);
	close(hold[1]);
	CHECK_STATE(self);
}

/* Memory goes: free unmapped blocks with it, those in use keep it here. */
TEST_F_TIMEOUT(hotplug, memory, 300)
{
	const unsigned long block = memory_block_size();
	long total = read_meminfo("MemTotal"), unmapped = 0, nr, at = 0;
	int err = -ENOENT, tried = 0;
	unsigned long phys;
	char path[128], *mem;
	size_t size, taken;

	if (!block || memory_highest() < 0)
		SKIP(return, "no memory hotplug");

	for (nr = memory_highest(); nr > 0 && tried < 8; nr--) {
		memory_path(path, sizeof(path), nr);
		if (!file_says(path, "online"))
			continue;

		/* Is it a block that can go? Most have memory of the kernel's */
		tried++;
		err = memory_set(nr, "offline", 5);
		if (err)
			continue;
		self->offline_memory = nr;
		EXPECT_EQ(memory_set(nr, "online_kernel", 10), 0);
		self->offline_memory = -1;

		/* Leave free unmapped memory there */
		mem = secret_in(nr * block, (nr + 1) * block, &size, &at);
		if (!mem)
			continue;
		munmap(mem, size);
		settle();

		unmapped = read_vmstat("nr_no_direct_map");
		err = memory_set(nr, "offline", 10);
		if (err)
			continue;
		self->offline_memory = nr;
		unmapped -= read_vmstat("nr_no_direct_map");
		break;
	}
	CHECK_STATE(self);
	if (self->offline_memory < 0)
		SKIP(return, "none of %d memory blocks tried can go offline: %s",
		     tried, strerror(-err));
	TH_LOG("memory block %ld went offline, with %ld free unmapped pages", nr, unmapped);
	EXPECT_GT(unmapped, 0);
	EXPECT_EQ(total - read_meminfo("MemTotal"), (long)(block / KiB));

	/* Without it ... */
	mem = secret_map(8 * MiB);
	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_TRUE(all_zero(mem, 8 * MiB));
	EXPECT_FALSE(among(mem, 8 * MiB, nr * block, (nr + 1) * block));
	munmap(mem, 8 * MiB);

	/* ... and with it again: for everybody, and for secrets */
	ASSERT_EQ(memory_set(nr, "online_kernel", 10), 0);
	self->offline_memory = -1;
	EXPECT_EQ(read_meminfo("MemTotal"), total);
	CHECK_STATE(self);

	mem = secret_in(nr * block, (nr + 1) * block, &size, &at);
	ASSERT_NE(mem, NULL);
	phys = phys_of(mem + at);
	EXPECT_EQ(*(uint64_t *)(mem + at), PATTERN);
	*(uint64_t *)(mem + at) = 0;
	EXPECT_TRUE(all_zero(mem + at, 4096));
	fill(mem + at, 4096, PATTERN);
	EXPECT_FALSE(direct_map_shows(phys));

	err = memory_set(nr, "offline", 10);
	if (!err)
		self->offline_memory = nr;
	EXPECT_EQ(err, -EBUSY);
	EXPECT_TRUE(all_are(mem + at, 4096, PATTERN));
	EXPECT_EQ(phys_of(mem + at), phys);
	EXPECT_FALSE(direct_map_shows(phys));
	CHECK_STATE(self);
	munmap(mem, size);
	CHECK_STATE(self);

	mem = take_until(&taken, 0, 0);
	ASSERT_NE(mem, NULL);
	CHECK_STATE(self);
	munmap(mem, taken);
}

FIXTURE(failure)
{
	long pool_blocks;
	struct snapshot before;
	unsigned long phys;	/* of the page that is to fail */
	long corrupted;		/* KiB */
	long level2, small;
	size_t size;
	char *mem;
	int kmsg;
};

FIXTURE_SETUP(failure)
{
	const char *missing = unmapped_missing();

	self->kmsg = -1;
	self->phys = 0;
	if (missing)
		SKIP(return, "%s", missing);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	if (access(MEMORY "hard_offline_page", W_OK))
		SKIP(return, "no hard_offline_page (CONFIG_MEMORY_FAILURE)");
	if (access(HWPOISON "unpoison-pfn", W_OK))
		SKIP(return, "no unpoison-pfn in debugfs (CONFIG_HWPOISON_INJECT)");
	pin(0);
	self->pool_blocks = set_pool_blocks(0);

	self->size = 4 * MiB;
	self->mem = secret_map(self->size);
	ASSERT_NE(self->mem, MAP_FAILED);
	touch(self->mem, self->size, PATTERN);
	for (size_t off = 0; off < self->size; off += 4096)
		fill(self->mem + off, 4096, PATTERN + off);
	self->phys = phys_of(self->mem + self->size / 2);
	if (!self->phys)
		SKIP(return, "/proc/self/pagemap does not tell addresses");

	self->corrupted = read_meminfo("HardwareCorrupted");
	self->level2 = read_vmstat("direct_map_level2_splits");
	self->small = read_meminfo("DirectMap4k");
	self->kmsg = kmsg_open();
	ASSERT_GE(self->kmsg, 0);
	self->before = take_snapshot();
	if (!self->before.present)
		SKIP(return, "no page_tables in debugfs (CONFIG_PTDUMP_DEBUGFS)");
	ASSERT_FALSE(direct_map_shows(self->phys));
}

FIXTURE_TEARDOWN(failure)
{
	set_pool_blocks(self->pool_blocks);
	/* Where the test did not come so far */
	if (self->phys && page_flag(self->phys, KPF_HWPOISON)) {
		munmap(self->mem, self->size);
		repair(self->phys);
	}
	close(self->kmsg);
}

/* A poisoned page leaves its block as it is: whole ... */
#define CHECK_WHOLE(self)						\
do {									\
	CHECK_STATE(self);						\
	EXPECT_EQ(read_vmstat("direct_map_level2_splits"), (self)->level2); \
	EXPECT_EQ(read_meminfo("DirectMap4k"), (self)->small);		\
} while (0)

/* ... and absent. */
#define CHECK_BLOCK(self)						\
do {									\
	CHECK_WHOLE(self);						\
	EXPECT_FALSE(direct_map_shows((self)->phys));			\
} while (0)

/* All pages but the one that failed. */
static bool neighbours_unharmed(const char *mem, size_t size)
{
	for (size_t off = 0; off < size; off += 4096) {
		if (off != size / 2 && !all_are(mem + off, 4096, PATTERN + off))
			return false;
	}
	return true;
}

/* Out of use, off the lists, for secrets and for everybody else. */
#define CHECK_GONE(self)						\
do {									\
	unsigned long __phys = (self)->phys;				\
	size_t __size;							\
	char *__mem;							\
									\
	EXPECT_TRUE(page_flag(__phys, KPF_HWPOISON));			\
	EXPECT_FALSE(page_flag(__phys, KPF_BUDDY));			\
	EXPECT_EQ(read_meminfo("HardwareCorrupted"), (self)->corrupted + 4); \
	CHECK_BLOCK(self);						\
	__mem = secret_pool(&__size);					\
	ASSERT_NE(__mem, MAP_FAILED);					\
	EXPECT_TRUE(all_zero(__mem, __size));				\
	EXPECT_FALSE(among(__mem, __size, __phys, __phys + 4096));	\
	munmap(__mem, __size);						\
	settle();							\
	/* Ordinary memory cannot have the block either */		\
	__mem = take_until(&__size, 0, 0);				\
	ASSERT_NE(__mem, NULL);						\
	EXPECT_FALSE(among(__mem, __size, __phys, __phys + 4096));	\
	CHECK_BLOCK(self);						\
	munmap(__mem, __size);						\
} while (0)

/*
 * The page is repaired: it comes back, and erased. Its block is wholly free with
 * it, so that anybody may have it back in the direct map from now on.
 */
#define CHECK_BACK(self)						\
do {									\
	unsigned long __phys = (self)->phys;				\
	size_t __size;							\
	char *__mem;							\
									\
	ASSERT_EQ(repair(__phys), 0);					\
	EXPECT_EQ(read_meminfo("HardwareCorrupted"), (self)->corrupted); \
	EXPECT_FALSE(page_flag(__phys, KPF_HWPOISON));			\
	CHECK_WHOLE(self);						\
	__mem = secret_pool(&__size);					\
	ASSERT_NE(__mem, MAP_FAILED);					\
	EXPECT_TRUE(among(__mem, __size, __phys, __phys + 4096) ||	\
		    direct_map_shows(__phys));				\
	EXPECT_TRUE(all_zero(__mem, __size));				\
	munmap(__mem, __size);						\
	CHECK_STATE(self);						\
} while (0)

/* A page that somebody uses fails for good. */
TEST_F_TIMEOUT(failure, hard_in_use, 300)
{
	int err = write_file(MEMORY "hard_offline_page", "%#lx", self->phys);

	/* -EBUSY: it stays in the file until that is gone */
	TH_LOG("hard_offline_page: %s", err ? strerror(-err) : "done");
	EXPECT_TRUE(!err || err == -EBUSY);
	EXPECT_EQ(touch_some(self->mem + self->size / 2, 4096, 0), 0);
	EXPECT_TRUE(neighbours_unharmed(self->mem, self->size));
	CHECK_BLOCK(self);

	munmap(self->mem, self->size);
	CHECK_GONE(self);
	CHECK_BACK(self);
}

/* A page that is free and unmapped. */
TEST_F_TIMEOUT(failure, hard_free, 300)
{
	munmap(self->mem, self->size);
	settle();
	EXPECT_EQ(write_file(MEMORY "hard_offline_page", "%#lx", self->phys), 0);
	CHECK_GONE(self);
	CHECK_BACK(self);
}

TEST_F_TIMEOUT(failure, soft_free, 300)
{
	munmap(self->mem, self->size);
	settle();
	EXPECT_EQ(write_file(MEMORY "soft_offline_page", "%#lx", self->phys), 0);
	CHECK_GONE(self);
	CHECK_BACK(self);
}

/* Secrets cannot be moved elsewhere: they stay where they are. */
TEST_F_TIMEOUT(failure, soft_in_use, 300)
{
	int err = write_file(MEMORY "soft_offline_page", "%#lx", self->phys);

	TH_LOG("soft_offline_page: %s", err ? strerror(-err) : "done");
	EXPECT_LT(err, 0);
	EXPECT_FALSE(page_flag(self->phys, KPF_HWPOISON));
	EXPECT_TRUE(neighbours_unharmed(self->mem, self->size));
	EXPECT_TRUE(all_are(self->mem + self->size / 2, 4096,
			    PATTERN + self->size / 2));
	EXPECT_EQ(phys_of(self->mem + self->size / 2), self->phys);
	EXPECT_EQ(read_meminfo("HardwareCorrupted"), self->corrupted);
	CHECK_BLOCK(self);
	munmap(self->mem, self->size);
	CHECK_STATE(self);
}

FIXTURE(poisoned)
{
	long pool_blocks;
	struct snapshot before;
	int kmsg;
};

FIXTURE_SETUP(poisoned)
{
	const char *missing = unmapped_missing();

	self->kmsg = -1;
	if (missing)
		SKIP(return, "%s", missing);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	if (access(MEMORY "hard_offline_page", W_OK) || memory_highest() < 0)
		SKIP(return, "no memory failure, or no memory hotplug");
	pin(0);
	self->pool_blocks = set_pool_blocks(0);
	self->kmsg = kmsg_open();
	ASSERT_GE(self->kmsg, 0);
	self->before = take_snapshot();
	if (!self->before.present)
		SKIP(return, "no page_tables in debugfs (CONFIG_PTDUMP_DEBUGFS)");
}

FIXTURE_TEARDOWN(poisoned)
{
	set_pool_blocks(self->pool_blocks);
	close(self->kmsg);
}

/* Has the kernel said this since then? */
static bool kmsg_says(int fd, const char *text)
{
	char line[1024];
	ssize_t len;

	for (;;) {
		len = read(fd, line, sizeof(line) - 1);
		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			return false;
		line[len] = '\0';
		if (strstr(line, text))
			return true;
	}
}

/* A memory block that can go offline, and comes back; -1 if there is none. */
static long memory_that_can_go(void)
{
	int tried = 0;
	char path[128];

	for (long nr = memory_highest(); nr > 0 && tried < 8; nr--) {
		memory_path(path, sizeof(path), nr);
		if (!file_says(path, "online"))
			continue;
		tried++;
		if (!memory_set(nr, "offline", 5))
			return memory_set(nr, "online_kernel", 10) ? -1 : nr;
	}
	return -1;
}

/*
 * One of the same block that is on a free list, or 0. One on a CPU's list is as
 * good as in use to memory_failure(), as any such page is.
 */
static unsigned long free_page_beside(unsigned long phys)
{
	const unsigned long start = phys & ~(BLOCK_SIZE - 1);

	for (unsigned long page = start; page < start + BLOCK_SIZE; page += 4096) {
		if (page != phys && page_flag(page, KPF_BUDDY))
			return page;
	}
	return 0;
}

/* Somebody who has secret memory mapped, or a descriptor of it, and not both. */
static pid_t hold_secret(const char *name, void *mem, size_t size, int fd, bool mapped)
{
	int ready[2];
	pid_t pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, name);
		if (mapped)
			close(fd);
		else
			munmap(mem, size);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	if (pid > 0 && read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* Who keeps memory from going offline is named, and not who has other memory. */
TEST_F_TIMEOUT(poisoned, holders, 300)
{
	static const char * const names[] = { "holder-map", "holder-fd" };
	const unsigned long block = memory_block_size();
	char said[64], *mem, *other;
	pid_t pids[2];
	int fd = -1;
	size_t size;
	long nr, at;

	/* We come first among all processes, and are not meant: this is elsewhere */
	other = secret_map(4096);
	ASSERT_NE(other, MAP_FAILED);
	touch(other, 4096, PATTERN);
	nr = memory_that_can_go();
	if (nr < 0)
		SKIP(return, "no memory block can go offline");
	mem = secret_file_in(nr * block, (nr + 1) * block, &size, &at, &fd);
	if (!mem)
		SKIP(return, "no secret memory where memory can go offline");

	for (int i = 0; i < 2; i++) {
		pids[i] = hold_secret(names[i], mem, size, fd, !i);
		ASSERT_GT(pids[i], 0);
	}
	munmap(mem, size);
	close(fd);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(memory_set(nr, "offline", 10), -EBUSY);
		snprintf(said, sizeof(said), "in use by %s (pid %d)", names[i], pids[i]);
		EXPECT_TRUE(kmsg_says(self->kmsg, said))
			TH_LOG("not said: %s", said);
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	munmap(other, 4096);
	settle();
}

/*
 * Memory with hardware-poisoned pages goes offline, those that were secret and those
 * that were free in an unmapped block, and that is the end of it. The last test, as
 * it does not come back.
 */
TEST_F_TIMEOUT(poisoned, memory, 300)
{
	const unsigned long block = memory_block_size();
	long total = read_meminfo("MemTotal"), nr, at, corrupted, unmapped;
	unsigned long used, idle;
	struct snapshot now;
	char said[64], *mem;
	size_t size;
	int err;

	nr = memory_that_can_go();
	if (nr < 0)
		SKIP(return, "no memory block can go offline");
	mem = secret_in(nr * block, (nr + 1) * block, &size, &at);
	if (!mem)
		SKIP(return, "no secret memory where memory can go offline");
	used = phys_of(mem + at);

	/* Somebody uses it yet, and it is said who does */
	EXPECT_EQ(memory_set(nr, "offline", 10), -EBUSY);
	snprintf(said, sizeof(said), "in use by unmapped_hotplu (pid %d)", getpid());
	EXPECT_TRUE(kmsg_says(self->kmsg, said));

	corrupted = read_meminfo("HardwareCorrupted");
	err = write_file(MEMORY "hard_offline_page", "%#lx", used);
	EXPECT_TRUE(!err || err == -EBUSY);
	munmap(mem, size);
	settle();
	idle = free_page_beside(used);
	ASSERT_NE(idle, 0);
	EXPECT_EQ(write_file(MEMORY "hard_offline_page", "%#lx", idle), 0);
	EXPECT_EQ(read_meminfo("HardwareCorrupted"), corrupted + 8);
	EXPECT_FALSE(direct_map_shows(used));
	EXPECT_FALSE(direct_map_shows(idle));

	unmapped = read_vmstat("nr_no_direct_map");
	ASSERT_EQ(memory_set(nr, "offline", 10), 0);
	EXPECT_EQ(total - read_meminfo("MemTotal"), (long)(block / KiB));
	EXPECT_LT(read_vmstat("nr_no_direct_map"), unmapped);

	/* They stay off the direct map, and it is all that does */
	EXPECT_FALSE(direct_map_shows(used));
	EXPECT_FALSE(direct_map_shows(idle));
	now = take_snapshot();
	EXPECT_EQ(unaccounted(&self->before, &now), 2 * 4096);
	EXPECT_EQ(counters_wrong(), NULL);
	EXPECT_EQ(kmsg_complaint(self->kmsg), NULL);

	/* It does not come back */
	EXPECT_LT(memory_set(nr, "online_kernel", 10), 0);
	EXPECT_FALSE(direct_map_shows(used));
	mem = secret_map(8 * MiB);
	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_TRUE(all_zero(mem, 8 * MiB));
	munmap(mem, 8 * MiB);
}

TEST_HARNESS_MAIN
