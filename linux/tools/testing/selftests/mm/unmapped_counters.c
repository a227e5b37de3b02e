// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel shows of memory off the direct map: /proc/meminfo, vmstat,
 * zoneinfo, pagetypeinfo and kpageflags, fdinfo of secret memory, tracepoints.
 * Each is held against what was taken, and against the others.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "unmapped_util.h"

#define TRACING			"/sys/kernel/tracing/"
#define SAMPLE			(256 * KiB)	/* walking the direct map takes long */
#define KPF_NOPAGE		20
#define KPF_NO_DIRECT_MAP	27
#define PAGEMAP_PFN		((1ULL << 55) - 1)
#define PAGEMAP_PRESENT		(1ULL << 63)

FIXTURE(counters)
{
	size_t page;
	size_t size;
	int fd;
	char *mem;
	long secret_kib;
	long pool_blocks;
};

/* 3 MiB of secret memory: one block, and a part of another */
FIXTURE_SETUP(counters)
{
	const char *missing = unmapped_missing();

	if (missing)
		SKIP(return, "%s", missing);
	pin(0);
	self->page = sysconf(_SC_PAGESIZE);
	self->size = 3 * MiB;
	self->secret_kib = read_meminfo("Secretmem");
	ASSERT_GE(self->secret_kib, 0);

	self->fd = syscall(__NR_memfd_secret, 0);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(ftruncate(self->fd, self->size), 0);
	self->mem = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 self->fd, 0);
	ASSERT_NE(self->mem, MAP_FAILED);
	touch(self->mem, self->size, PATTERN);
	self->pool_blocks = -1;
}

FIXTURE_TEARDOWN(counters)
{
	write_file(TRACING "events/unmapped/enable", "0");
	if (self->pool_blocks >= 0)
		set_pool_blocks(self->pool_blocks);
	if (self->mem && self->mem != MAP_FAILED)
		munmap(self->mem, self->size);
	if (self->fd > 0)
		close(self->fd);
}

/* No blocks in advance any more; what it returns is to be set in the end */
static long pool_off(void)
{
	long blocks = set_pool_blocks(0), before = -1, now;

	/* The worker may be at it */
	while ((now = read_vmstat("nr_no_direct_map")) != before) {
		before = now;
		sleep_ms(200);
	}
	return blocks;
}

/* A field of fdinfo, or -1 */
static long fdinfo(int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return field(path, name);
}

/* Who holds how much: also where pages are taken out one by one. */
TEST_F(counters, secret_memory)
{
	const long kib = self->size / KiB;
	char *page;

	EXPECT_EQ(read_meminfo("Secretmem"), self->secret_kib + kib);
	/* To the page, though each CPU keeps some to itself */
	for (int nr = 1; nr <= 3; nr++) {
		page = secret_map(self->page);
		ASSERT_NE(page, MAP_FAILED);
		touch(page, self->page, PATTERN);
		EXPECT_EQ(read_meminfo("Secretmem"),
			  self->secret_kib + kib + (long)(self->page / KiB));
		munmap(page, self->page);
		EXPECT_EQ(read_meminfo("Secretmem"), self->secret_kib + kib);
	}
	EXPECT_EQ(read_vmstat("nr_secretmem") * (long)(self->page / KiB),
		  self->secret_kib + kib);
	EXPECT_EQ(fdinfo(self->fd, "secretmem-pages"), (long)(self->size / self->page));

	/* As long as the file is open */
	munmap(self->mem, self->size);
	self->mem = NULL;
	EXPECT_EQ(fdinfo(self->fd, "secretmem-pages"), (long)(self->size / self->page));
	close(self->fd);
	self->fd = -1;
	settle();
	EXPECT_EQ(read_meminfo("Secretmem"), self->secret_kib);

	/* Ordinary memory has no such line */
	self->fd = memfd_create("ordinary", MFD_CLOEXEC);
	ASSERT_GE(self->fd, 0);
	EXPECT_EQ(fdinfo(self->fd, "secretmem-pages"), -1);
}

/* The sum over all zones of /proc/zoneinfo, or -1. */
static long zoneinfo(const char *name)
{
	long sum = -1, value;
	char line[256], got[64];
	FILE *f = fopen("/proc/zoneinfo", "r");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %63s %ld", got, &value) == 2 && !strcmp(got, name))
			sum = (sum < 0 ? 0 : sum) + value;
	}
	fclose(f);
	return sum;
}

TEST_F(counters, unmapped_blocks)
{
	static const char * const of_zones[] = {
		"nr_no_direct_map", "nr_free_no_direct_map", "nr_free_no_direct_map_whole",
		"nr_no_direct_map_dirty",
	};
	long pages, listed, marked;

	if (excluded()) {
		EXPECT_EQ(read_meminfo("DirectMapUnmapped"), 0);
		SKIP(return, "off, as the kernel command line asks for");
	}

	/* Nothing comes or goes meanwhile */
	self->pool_blocks = pool_off();
	pages = read_vmstat("nr_no_direct_map");
	EXPECT_GE(pages, (long)(2 * BLOCK_SIZE / self->page));
	EXPECT_EQ(read_meminfo("DirectMapUnmapped"), pages * (long)(self->page / KiB));
	for (size_t i = 0; i < ARRAY_SIZE(of_zones); i++) {
		TH_LOG("%s %ld", of_zones[i], read_vmstat(of_zones[i]));
		EXPECT_EQ(zoneinfo(of_zones[i]), read_vmstat(of_zones[i]));
	}
	ASSERT_TRUE(walk_free_lists(&listed, &marked));
	EXPECT_EQ(marked, pages);
	EXPECT_LE(listed, read_vmstat("nr_free_no_direct_map"));
	/* What is neither free nor ours is on per-CPU lists */
	EXPECT_GE(pages - read_vmstat("nr_free_no_direct_map"),
		  (long)(self->size / self->page));
}

static uint64_t kpageflags(int fd, uint64_t pfn)
{
	uint64_t flags = 0;

	if (pread(fd, &flags, sizeof(flags), pfn * sizeof(flags)) != sizeof(flags))
		return 1ULL << KPF_NOPAGE;
	return flags;
}

static uint64_t pfn_of(int fd, const char *mem, size_t page)
{
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)mem / page * sizeof(entry)) !=
	    sizeof(entry) || !(entry & PAGEMAP_PRESENT))
		return 0;
	return entry & PAGEMAP_PFN;
}

TEST_F(counters, kpageflags)
{
	const uint64_t block = BLOCK_SIZE / self->page;
	uint64_t pfn, flags, blocks = 0, beside = 0;
	int kpf = open("/proc/kpageflags", O_RDONLY);
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	long absent = 0;
	char *ordinary;

	if (kpf < 0)
		SKIP(return, "no /proc/kpageflags, or not for this user");
	ASSERT_GE(pagemap, 0);
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	self->pool_blocks = pool_off();

	/* Each page that we hold ... */
	for (size_t off = 0; off < self->size; off += self->page) {
		pfn = pfn_of(pagemap, self->mem + off, self->page);
		ASSERT_NE(pfn, 0);
		flags = kpageflags(kpf, pfn);
		EXPECT_TRUE(flags & (1ULL << KPF_NO_DIRECT_MAP));
		/* ... and the direct map agrees, where it can be asked */
		if (off % SAMPLE == 0)
			absent += !direct_map_shows(pfn * self->page);
	}
	if (!access("/sys/kernel/debug/page_tables/kernel", R_OK))
		EXPECT_EQ(absent, (long)(self->size / SAMPLE));

	/* ... none that is ordinary ... */
	ordinary = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(ordinary, MAP_FAILED);
	for (size_t off = 0; off < self->size; off += self->page) {
		pfn = pfn_of(pagemap, ordinary + off, self->page);
		ASSERT_NE(pfn, 0);
		EXPECT_FALSE(kpageflags(kpf, pfn) & (1ULL << KPF_NO_DIRECT_MAP));
	}
	munmap(ordinary, self->size);

	/* ... and of all memory, whole blocks, as many as are counted. */
	for (pfn = 0; pread(kpf, &flags, sizeof(flags), pfn * sizeof(flags)) ==
	     sizeof(flags); pfn += block) {
		if (!(flags & (1ULL << KPF_NO_DIRECT_MAP)))
			continue;
		blocks++;
		for (uint64_t i = 0; i < block; i++) {
			if (!(kpageflags(kpf, pfn + i) & (1ULL << KPF_NO_DIRECT_MAP)))
				beside++;
		}
	}
	EXPECT_EQ(blocks * block, (uint64_t)read_vmstat("nr_no_direct_map"));
	EXPECT_EQ(beside, 0);
	close(pagemap);
	close(kpf);
}

/* How many lines of the trace have that event, and that field */
static int traced(const char *event, const char *what)
{
	FILE *f = fopen(TRACING "trace", "r");
	char line[512];
	int nr = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		nr += strstr(line, event) && strstr(line, what);
	fclose(f);
	return nr;
}

/* Taking all memory takes a while */
TEST_F_TIMEOUT(counters, tracepoints, 180)
{
	long flips, shootdowns, remaps;
	size_t all, size;
	char *mem;
	int fd;

	if (access(TRACING "events/unmapped/enable", W_OK))
		SKIP(return, "no events/unmapped in tracefs");
	if (excluded())
		SKIP(return, "off, as the kernel command line asks for");
	self->pool_blocks = pool_off();
	/* Opening it so clears it */
	fd = open(TRACING "trace", O_WRONLY | O_TRUNC);
	ASSERT_GE(fd, 0);
	close(fd);
	ASSERT_EQ(write_file(TRACING "events/unmapped/enable", "1"), 0);

	/* More than there is, and more than taking all memory leaves alone */
	size = read_vmstat("nr_free_no_direct_map_whole") * self->page + 2 * LEAVE_FREE * MiB;
	flips = read_vmstat("direct_map_flip_unmap");
	shootdowns = read_vmstat("direct_map_shootdown");
	remaps = read_vmstat("direct_map_flip_remap");
	mem = secret_map(size);
	ASSERT_NE(mem, MAP_FAILED);
	touch_some(mem, size, PATTERN);
	flips = read_vmstat("direct_map_flip_unmap") - flips;
	shootdowns = read_vmstat("direct_map_shootdown") - shootdowns;
	munmap(mem, size);
	settle();

	EXPECT_GT(flips, 0);
	EXPECT_EQ(traced("unmapped_flip_unmap: pfn=", "error=0"), flips);
	EXPECT_EQ(traced("unmapped_shootdown: pfn=", ""), shootdowns);

	/* Somebody else wants all that the worker has not let go of meanwhile */
	mem = take_all(&all);
	ASSERT_NE(mem, NULL);
	munmap(mem, all);
	remaps = read_vmstat("direct_map_flip_remap") - remaps;
	EXPECT_GT(remaps, 0);
	EXPECT_GE(traced("unmapped_flip_remap: pfn=", ""), remaps);
}

TEST_HARNESS_MAIN
