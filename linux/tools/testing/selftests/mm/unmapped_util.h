/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of page allocation off the direct map share: reading the
 * kernel's counters, secret memory, and a look at the direct map itself.
 */
#ifndef UNMAPPED_UTIL_H
#define UNMAPPED_UTIL_H

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __NR_memfd_secret
#define __NR_memfd_secret	447
#endif

#define KiB			1024UL
#define MiB			(1024 * KiB)
#define GiB			(1024 * MiB)
#define BLOCK_SIZE		(2 * MiB)
#define PATTERN			0x5ec2e7c0ffee5ec2UL

/* A field of a file of "name value" lines, or -1. */
static inline long field(const char *path, const char *name)
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

static inline long read_vmstat(const char *name)
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

static inline long read_meminfo(const char *name)
{
	return field("/proc/meminfo", name);
}

/* The number in a file of one, or -1. */
static inline long read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long value = -1;

	if (f) {
		if (fscanf(f, "%ld", &value) != 1)
			value = -1;
		fclose(f);
	}
	return value;
}

/* 0, or what was wrong. */
static inline int write_file(const char *path, const char *fmt, ...)
{
	char text[128];
	va_list args;
	int fd, len, err = 0;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);

	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != len)
		err = -errno;
	close(fd);
	return err;
}

/* Pages on per-CPU lists. */
static inline long read_pcp(void)
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
	return pages;
}

/*
 * Free memory in KiB, MemFree and what is on per-CPU lists: how much these hold
 * is up to what a CPU did last.
 */
static inline long read_free(void)
{
	long pages = read_pcp();

	if (pages < 0)
		return -1;
	return read_meminfo("MemFree") + pages * 4;
}

/* Unmapped pageblocks, free or in use. */
static inline long unmapped_blocks(void)
{
	return read_vmstat("nr_no_direct_map") / (long)(BLOCK_SIZE / 4096);
}

static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static inline void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000 * 1000 };

	nanosleep(&ts, NULL);
}

/* The file stays open where somebody wants its descriptor. */
static inline void *secret_map_file(size_t size, int *file)
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
	if (file)
		*file = fd;
	else
		close(fd);
	return mem;
}

static inline void *secret_map(size_t size)
{
	return secret_map_file(size, NULL);
}

/* The pages that a file of memfd_secret(2) has, or -1. */
static inline long secret_pages(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return field(path, "secretmem-pages");
}

static inline void touch(void *mem, size_t size, uint64_t value)
{
	size_t page = sysconf(_SC_PAGESIZE);

	for (size_t off = 0; off < size; off += page)
		__atomic_store_n((uint64_t *)((char *)mem + off), value,
				 __ATOMIC_RELAXED);
}

static inline bool all_are(const void *mem, size_t size, uint64_t value)
{
	const uint64_t *word = mem;

	for (size_t i = 0; i < size / sizeof(*word); i++) {
		if (word[i] != value)
			return false;
	}
	return true;
}

static inline bool all_zero(const void *mem, size_t size)
{
	return all_are(mem, size, 0);
}

static inline void fill(void *mem, size_t size, uint64_t value)
{
	uint64_t *word = mem;

	for (size_t i = 0; i < size / sizeof(*word); i++)
		word[i] = value;
}

/* Wait until what was freed is free: the dirty queue, deferred work. */
static inline void settle(void)
{
	for (int i = 0; i < 50; i++) {
		sleep_ms(20);
		if (i > 5 && !read_vmstat("nr_no_direct_map_dirty"))
			break;
	}
}

/* What the watermarks keep from us, with room for per-CPU lists: MiB. */
#define LEAVE_FREE	160L

/* Take memory with ordinary pages until LEAVE_FREE is left. */
static inline char *take_all(size_t *taken)
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

static sigjmp_buf sigbus_jmp;

static inline void sigbus_handler(int sig)
{
	siglongjmp(sigbus_jmp, sig);
}

/* As touch(), up to the first page that cannot be had: how far it came. */
static inline size_t touch_some(void *mem, size_t size, uint64_t value)
{
	struct sigaction action = { .sa_handler = sigbus_handler }, old;
	size_t page = sysconf(_SC_PAGESIZE);
	/* Not a local variable: the jump could undo what is done to it */
	static size_t off;

	off = 0;
	sigaction(SIGBUS, &action, &old);
	if (!sigsetjmp(sigbus_jmp, 1)) {
		for (; off < size; off += page)
			touch((char *)mem + off, page, value);
	}
	sigaction(SIGBUS, &old, NULL);
	return off;
}

/* What the kernel's page tables hold for the direct map. */
struct direct_map {
	unsigned long base;	/* virtual address of physical address 0 */
	long present;		/* bytes */
	long huge;		/* ... of which by 1 GiB entries */
	unsigned long probe;	/* physical address of interest */
	bool probe_present;
};

/*
 * Walk the direct map, not by the kernel's counters. debugfs says a line for
 * each range, "start-end size attributes level", under "---[ name ]---".
 */
static inline bool walk_direct_map(struct direct_map *map, unsigned long probe)
{
	FILE *f = fopen("/sys/kernel/debug/page_tables/kernel", "r");
	unsigned long start, end;
	bool inside = false, found = false;
	char line[256];

	memset(map, 0, sizeof(*map));
	map->probe = probe;
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "---[", 4)) {
			inside = strstr(line, "Low Kernel Mapping");
			continue;
		}
		if (!inside || sscanf(line, "0x%lx-0x%lx", &start, &end) != 2)
			continue;
		if (!found)
			map->base = start;
		found = true;
		if (!strstr(line, " RW ") && !strstr(line, " ro "))
			continue;
		map->present += end - start;
		if (strstr(line, " pud"))
			map->huge += end - start;
		if (start - map->base <= probe && probe < end - map->base)
			map->probe_present = true;
	}
	fclose(f);
	return found;
}

/* Does the direct map show that physical address? */
static inline bool direct_map_shows(unsigned long phys)
{
	struct direct_map map;

	return !walk_direct_map(&map, phys) || map.probe_present;
}

/* Where x86-64 has the kernel image once more */
#define KERNEL_IMAGE	0xffffffff80000000UL

/*
 * Where in /proc/kcore the direct map shows that physical address, or 0. Not the
 * kernel image's own map: what was freed of the image is not present there.
 */
static inline off_t kcore_offset(int fd, uint64_t phys)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr))
		return 0;
	for (int i = 0; i < ehdr.e_phnum; i++) {
		if (pread(fd, &phdr, sizeof(phdr),
			  ehdr.e_phoff + i * sizeof(phdr)) != sizeof(phdr))
			return 0;
		if (phdr.p_type == PT_LOAD && phdr.p_paddr != (uint64_t)-1 &&
		    phdr.p_vaddr < KERNEL_IMAGE &&
		    phys - phdr.p_paddr < phdr.p_memsz)
			return phdr.p_offset + (phys - phdr.p_paddr);
	}
	return 0;
}

/* How many of these pages hold PATTERN, seen by the direct map? -1: cannot say. */
static inline long pages_with_pattern(const uint64_t *pfns, size_t nr)
{
	int fd = open("/proc/kcore", O_RDONLY);
	uint64_t page[512];
	long found = 0;

	if (fd < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		off_t offset = kcore_offset(fd, pfns[i] * 4096);

		if (!offset || pread(fd, page, sizeof(page), offset) != sizeof(page)) {
			found = -1;
			break;
		}
		for (size_t j = 0; j < 512; j++) {
			if (page[j] == PATTERN) {
				found++;
				break;
			}
		}
	}
	close(fd);
	return found;
}

/* The page frames of memory that is there. */
static inline bool read_pfns(const void *mem, uint64_t *pfns, size_t nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t size = nr * sizeof(*pfns);
	bool ok;

	if (fd < 0)
		return false;
	ok = pread(fd, pfns, size, (uintptr_t)mem / 4096 * sizeof(*pfns)) ==
	     (ssize_t)size;
	close(fd);
	for (size_t i = 0; ok && i < nr; i++) {
		/* Present, and the number in the lower 55 bits */
		ok = pfns[i] >> 63;
		pfns[i] &= (1UL << 55) - 1;
		ok = ok && pfns[i];
	}
	return ok;
}

/* Counters and page tables at one time, to be compared with another. */
struct snapshot {
	long present;		/* bytes that the direct map shows */
	long unmapped;		/* pages */
	long free;		/* KiB */
};

static inline struct snapshot take_snapshot(void)
{
	struct direct_map map;
	struct snapshot s;

	settle();
	walk_direct_map(&map, 0);
	s.present = map.present;
	s.unmapped = read_vmstat("nr_no_direct_map");
	s.free = read_free();
	return s;
}

/* Bytes that are absent from the direct map, or show up, without reason. */
static inline long unaccounted(const struct snapshot *from,
			       const struct snapshot *to)
{
	return from->present - to->present - (to->unmapped - from->unmapped) * 4096;
}

/*
 * What /proc/pagetypeinfo finds where the counters do not look: the free lists
 * themselves, and the bits of the pageblocks. Both in pages.
 */
static inline bool walk_free_lists(long *listed, long *marked)
{
	FILE *f = fopen("/proc/pagetypeinfo", "r");
	int column = -1, i, order, len;
	char line[512], *at, *word;
	long nr;

	if (!f)
		return false;
	*listed = *marked = 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Number of", 9)) {
			const size_t skip = strlen("Number of blocks type ");

			column = -1;
			if (strncmp(line, "Number of blocks", 16))
				continue;
			word = strtok(line + skip, "\n ");
			for (i = 0; word; word = strtok(NULL, "\n "), i++) {
				if (!strcmp(word, "NoDirectMap"))
					column = i;
			}
			continue;
		}
		if (strncmp(line, "Node", 4)) {
			/* What is free in the next node */
			column = -1;
			continue;
		}
		at = strstr(line, "NoDirectMap");
		if (at) {
			at += strlen("NoDirectMap");
			for (order = 0; sscanf(at, "%ld%n", &nr, &len) == 1; order++) {
				*listed += nr << order;
				at += len;
			}
		} else if (column >= 0) {
			/* Node 0, zone Name, and the columns */
			strtok(line, " ");
			for (i = -3; (word = strtok(NULL, "\n ")); i++) {
				if (i == column)
					*marked += atol(word) * (long)(BLOCK_SIZE / 4096);
			}
		}
	}
	fclose(f);
	return true;
}

/*
 * Do the counters of unmapped memory agree with each other and with the lists?
 * NULL, or what is wrong. Whenever a CPU's differences are folded in, a part of
 * its per-CPU lists goes to the free lists, which makes new differences: look
 * again until these lists are as short as they get.
 */
static inline const char *counters_wrong(void)
{
	const long block = BLOCK_SIZE / 4096;
	long unmapped, free, whole, dirty, listed, marked;
	static char text[256];

	for (int i = 0; i < 60; i++) {
		unmapped = read_vmstat("nr_no_direct_map");
		free = field("/proc/vmstat", "nr_free_no_direct_map");
		whole = field("/proc/vmstat", "nr_free_no_direct_map_whole");
		dirty = field("/proc/vmstat", "nr_no_direct_map_dirty");
		if (!walk_free_lists(&listed, &marked))
			return "cannot read /proc/pagetypeinfo";
		if (marked == unmapped && listed == free && whole <= free &&
		    free <= unmapped && !(whole % block) && !dirty)
			return NULL;
		sleep_ms(10);
	}

	snprintf(text, sizeof(text),
		 "%ld pages unmapped, %ld free, %ld in whole blocks, %ld dirty; found %ld unmapped, %ld free",
		 unmapped, free, whole, dirty, marked, listed);
	return text;
}

/* The kernel's log from now on. */
static inline int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* The first line since then in which the kernel complains, or NULL. */
static inline const char *kmsg_complaint(int fd)
{
	static const char * const words[] = {
		"WARNING:", "BUG:", "Bad page state", "Call Trace:", "Oops",
	};
	static char line[8192];
	ssize_t len;

	for (;;) {
		len = read(fd, line, sizeof(line) - 1);
		/* Overwritten before it could be read */
		if (len < 0 && errno == EPIPE)
			continue;
		if (len <= 0)
			return NULL;
		line[len] = '\0';
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
			if (strstr(line, words[i]))
				return line;
		}
	}
}

/* For tests: the kernel has not complained since kmsg_open(), whose end this is. */
#define EXPECT_QUIET(kmsg)						\
do {									\
	int __fd = (kmsg);						\
	const char *__line = kmsg_complaint(__fd);			\
									\
	EXPECT_EQ(__line, NULL) TH_LOG("%s", __line);			\
	close(__fd);							\
} while (0)

/* Was the kernel told to do what excludes the feature? */
static inline bool excluded(void)
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

/* Write to a file of /proc/sys/vm; what it was before, or -1 where there is none. */
static inline long set_sysctl(const char *name, long value)
{
	char path[128];
	long was = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/vm/%s", name);
	f = fopen(path, "r+");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &was) == 1 && value >= 0) {
		rewind(f);
		fprintf(f, "%ld\n", value);
	}
	fclose(f);
	return was;
}

/*
 * With 0, nothing is unmapped but what is asked for, from when this returns:
 * what a worker has begun for the pool as it was comes to its end first.
 */
static inline long set_pool_blocks(long blocks)
{
	long old = set_sysctl("no_direct_map_pool_blocks", blocks);
	long flips = -1, now;

	for (int i = 0, same = 0; !blocks && old > 0 && i < 50 && same < 4; i++) {
		now = read_vmstat("direct_map_flip_unmap");
		same = now == flips ? same + 1 : 0;
		flips = now;
		sleep_ms(100);
	}
	return old;
}

/* NULL where secret memory can be unmapped blocks, or why it cannot. */
static inline const char *unmapped_missing(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int fd;

	if (read_vmstat("nr_no_direct_map") < 0)
		return "no page allocation off the direct map in this kernel";
	fd = syscall(__NR_memfd_secret, 0);
	if (fd < 0)
		return "no memfd_secret(2)";
	close(fd);
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		return "cannot raise RLIMIT_MEMLOCK";
	return NULL;
}

#endif /* UNMAPPED_UTIL_H */
