// SPDX-License-Identifier: GPL-2.0-only
/* What the modes load the machine with. */
#include <dirent.h>
#include <sys/prctl.h>

#include "cache.h"
#include "lib/draw.h"
#include "program.h"
#include "unmapped_util.h"
#include "policy.h"

#define CACHE_FILE	(64 * GiB)

static size_t cache_at;

int page_cache(void)
{
	int fd = cache_open(CACHE_FILE);

	/* What is read is what was asked for */
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	return fd;
}

void page_cache_read_at(int fd, uint64_t at, size_t bytes)
{
	static char buffer[64 * KiB];

	for (size_t off = 0; off < bytes; off += sizeof(buffer)) {
		if (pread(fd, buffer, sizeof(buffer), at + off) != sizeof(buffer))
			die("reading the page cache's file");
	}
}

void page_cache_read(int fd, size_t bytes)
{
	page_cache_read_at(fd, cache_at, bytes);
	cache_at += bytes;
}

void page_cache_fill(int fd)
{
	struct counts then = counts();

	/* kswapd gives back what is too much */
	while (!since(&then, PGSTEAL_KSWAPD) && !since(&then, PGSTEAL_DIRECT)) {
		prepared(cache_at < 32 * GiB, "memory is full of page cache");
		page_cache_read(fd, 4 * MiB);
	}
}

void page_cache_holes(int fd)
{
	for (size_t at = 0; at < cache_at; at += 2 * PAGE)
		posix_fadvise(fd, at, PAGE, POSIX_FADV_DONTNEED);
}

void fragment(struct zone (*of)(void), long leave)
{
	const size_t most = of().managed * PAGE * 2, step = 4 * MiB;
	char *mem = mmap(NULL, most, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t taken = 0;

	if (mem == MAP_FAILED)
		die("mmap");
	madvise(mem, most, MADV_NOHUGEPAGE);
	while (taken < most && of().free > leave + (long)(step / PAGE)) {
		touch(mem + taken, step, PATTERN);
		taken += step;
	}
	figure("%zu MiB taken, %ld pages left of which %ld are in whole blocks", taken / MiB,
	       of().free, of().blocks);
	draw_from(1, 0);
	/* In a regular pattern, compaction's free scanner would find nothing */
	for (size_t off = 0; off < taken; off += PAGE) {
		if (draw(2))
			madvise(mem + off, PAGE, MADV_DONTNEED);
	}
}

#define TABLE		(2 * MiB)
#define TABLES_LEFT	400		/* each so many is kept */

/*
 * Page tables are pages that cannot be moved: fill memory with them, and then
 * give back all but each 400th. A block that was free has one at least.
 */
void pin_blocks(void)
{
	const long leave = large_zone().high * 2 + 32 * MIB_PAGES;
	const size_t most = 16UL << 40;
	char *mem = mmap(NULL, most, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t nr = 0, i;
	struct zone z;

	prepared(mem != MAP_FAILED, "16 TiB of nothing are mapped");
	madvise(mem, most, MADV_NOHUGEPAGE);
	for (; nr * TABLE < most; nr++) {
		if (!(nr % 256)) {
			z = large_zone();
			if (ordinary_free(&z) <= leave)
				break;
		}
		(void)*(volatile char *)(mem + nr * TABLE);
	}
	for (i = 0; i + TABLES_LEFT <= nr; i += TABLES_LEFT)
		munmap(mem + (i + 1) * TABLE, (TABLES_LEFT - 1) * TABLE);
	figure("%zu page tables, %zu kept; free now: %ld MiB, %ld blocks of it whole", nr, nr / TABLES_LEFT,
	       read_meminfo("MemFree") / 1024, free_blocks(9, NULL) + 2 * free_blocks(10, NULL));
}

char *secret_had(size_t bytes)
{
	char *mem = secret_map(bytes);

	if (mem == MAP_FAILED)
		return NULL;
	if (touch_some(mem, bytes, PATTERN) == bytes)
		return mem;
	munmap(mem, bytes);
	return NULL;
}

bool secret_page(void)
{
	char *mem = secret_had(PAGE);

	if (mem)
		munmap(mem, PAGE);
	return mem;
}

char *in_turn(size_t bytes)
{
	char *few = secret_map(2 * bytes / BLOCK_PAGES), *many = secret_map(bytes);
	size_t nr = bytes / BLOCK_SIZE;

	prepared(few != MAP_FAILED && many != MAP_FAILED, "secret memory is mapped");
	pin(0);
	for (size_t i = 0; i < nr; i++) {
		/* Each second one, and from the end: in order, they would come in large folios */
		bool had = touch_some(few + 2 * i * PAGE, PAGE, PATTERN) == PAGE;

		for (size_t at = BLOCK_SIZE - PAGE; had && at; at -= PAGE)
			had = touch_some(many + i * BLOCK_SIZE + at - PAGE, PAGE, PATTERN) == PAGE;
		prepared(had, "%zu MiB of secret memory are had, not %zu",
			 bytes / MiB, i * BLOCK_SIZE / MiB);
	}
	return many;
}

int touch_failing(char *mem, size_t bytes, int failures, size_t *had)
{
	int nr = 0;

	*had = 0;
	for (size_t off = 0; off < bytes && nr < failures; off += PAGE) {
		size_t more = touch_some(mem + off, bytes - off, PATTERN);

		*had += more;
		off += more;
		nr += off < bytes;
	}
	return nr;
}

void die_with_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

pid_t child(void)
{
	pid_t pid = spawn();

	if (!pid)
		die_with_parent();
	return pid;
}

/* The first task with that name, and its CPU time if asked for; 0 if there is none. */
static pid_t find_task(const char *task, double *seconds)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t pid = 0;

	while (proc && !pid && (entry = readdir(proc))) {
		unsigned long user, sys;
		char path[300], stat[1024], *p;

		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) ||
		    !slurp_if(path, stat, sizeof(stat)))
			continue;
		p = strchr(stat, '(');
		if (!p || strncmp(p + 1, task, strlen(task)) || p[1 + strlen(task)] != ')')
			continue;
		p = strrchr(stat, ')');
		if (sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			   &user, &sys) != 2)
			continue;
		pid = atoi(entry->d_name);
		if (seconds)
			*seconds = (double)(user + sys) / sysconf(_SC_CLK_TCK);
	}
	if (proc)
		closedir(proc);
	return pid;
}

pid_t task_pid(const char *task)
{
	return find_task(task, NULL);
}

double cpu_seconds(const char *task)
{
	double seconds = 0;

	prepared(find_task(task, &seconds) > 0, "there is a task %s", task);
	return seconds;
}
