// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does dmapstat tell the truth? This takes secret memory in a pattern that leaves
 * unmapped blocks used, partly used and free, and each time has dmapstat say
 * what the direct map looks like. tools/dmapwalk.c, at the other end of a serial
 * port, stops the machine, walks its page tables and compares. What it finds is
 * printed here, as KTAP.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "lib/tap.h"

#define JSON		"/tmp/dmapwalk.json"
#define TRIES		10
#define MAX_LINES	32
/* Pages that are shared out among the files, before and after the large one */
#define SHARED_OUT	3000
#define IN_ONE_PIECE	2000
#define MAX_PAGES	(2 * SHARED_OUT + IN_ONE_PIECE)
#define LARGE		(40UL << 8)
#define PUT_BACK	180	/* seconds in which free blocks are put back */

enum { KEPT, FREED, KEPT_TOO, WHOLE, NR_FILES };

static struct file {
	int fd;
	char *map;
	unsigned long pages;
} files[NR_FILES];

/* Has anything been done to the direct map meanwhile? */
static long changes(void)
{
	static const char *const names[] = {
		"direct_map_flip_unmap",	       "direct_map_flip_remap",
		"direct_map_level2_splits",    "direct_map_level3_splits",
		"direct_map_level2_collapses", "direct_map_level3_collapses",
	};
	long sum = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		sum += vmstat_now(names[i]);
	return sum;
}

/* Free unmapped pages, with what CPUs have counted for themselves so far */
static long free_pages(void)
{
	if (system("echo 1 >/proc/sys/vm/stat_refresh"))
		die("vm.stat_refresh");
	return vmstat_now("nr_free_no_direct_map");
}

static void tell_ram(void)
{
	FILE *f = fopen("/proc/iomem", "r");
	unsigned long start, end;
	char line[256];
	int at;

	if (!f)
		die("/proc/iomem");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx : %n", &start, &end, &at) == 2 &&
		    !strncmp(line + at, "System RAM", 10))
			tell("ram %lx %lx\n", start, end + 1);
	fclose(f);
}

static void send_json(void)
{
	int fd = open(JSON, O_RDONLY);
	char buf[4096];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		die(JSON);
	tell("json %ld\n", (long)st.st_size);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t done = 0, m; done < n; done += m) {
			m = write(fileno(host), buf + done, n - done);
			if (m <= 0)
				die("writing to the host");
		}
	}
	close(fd);
}

static void look(const char *when)
{
	for (int try = 0; try < TRIES; try++) {
		static char lines[MAX_LINES][256];
		int nr = 0, status;
		long before = changes(), is_free = free_pages();

		status = system("dmapstat --json --entries >" JSON);
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			printf("# dmapstat --json --entries: status %#x\n", status);
			tap_test(false, "%s: dmapstat", when);
			return;
		}
		/* CPUs give back what is on their lists, a bit of it each second. */
		if (free_pages() != is_free)
			continue;
		send_json();
		for (int i = 0; i < NR_FILES; i++)
			if (files[i].map)
				tell_frames("secret", files[i].map, files[i].pages);
		tell("look %s\n", when);
		while (nr < MAX_LINES) {
			hear(lines[nr], sizeof(lines[nr]));
			if (!strcmp(lines[nr], "end"))
				break;
			nr++;
		}
		if (changes() != before) {
			printf("# %s: the direct map changed meanwhile; again\n", when);
			sleep(1);
			continue;
		}
		for (int i = 0; i < nr; i++) {
			if (!strncmp(lines[i], "ok ", 3))
				tap_test(true, "%s: %s", when, lines[i] + 3);
			else if (!strncmp(lines[i], "not ok ", 7))
				tap_test(false, "%s: %s", when, lines[i] + 7);
			else
				printf("# %s\n", lines[i]);
		}
		fflush(stdout);
		return;
	}
	tap_test(false, "%s: the direct map does not come to rest", when);
}

static void open_file(struct file *f, unsigned long max_pages)
{
	f->fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	if (f->fd < 0 || ftruncate(f->fd, max_pages * PAGE))
		die("memfd_secret");
	f->map = mmap(NULL, max_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	if (f->map == MAP_FAILED)
		die("mmap");
	f->pages = 0;
}

static void give_back(struct file *f, unsigned long max_pages)
{
	munmap(f->map, max_pages * PAGE);
	close(f->fd);
	f->map = NULL;
}

static void next_page(struct file *f)
{
	f->map[f->pages++ * PAGE] = 1;
}

/* Pages of three files in turn, in an order that nothing but the seed knows */
static void share_out(void)
{
	for (int i = 0; i < SHARED_OUT; i++)
		next_page(&files[random() % WHOLE]);
}

int main(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	bool patched = lookup_in("/proc/meminfo", "DirectMapUnmapped:") >= 0;
	unsigned int seed;

	printf("TAP version 13\n");
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		die("setrlimit");
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		die("getrandom");
	printf("# seed %u\n", seed);
	srandom(seed);

	/* The lists of CPUs shall be short, so that blocks become free as a whole. */
	if (system("echo 100000 >/proc/sys/vm/percpu_pagelist_high_fraction"))
		die("vm.percpu_pagelist_high_fraction");

	open_host();
	tell("base %" PRIx64 "\n", direct_map_base());
	tell_ram();
	look("fresh");

	for (int i = 0; i < WHOLE; i++)
		open_file(&files[i], MAX_PAGES);
	share_out();
	/* Some blocks that nobody else has a page of */
	for (int i = 0; i < IN_ONE_PIECE; i++)
		next_page(&files[KEPT]);
	open_file(&files[WHOLE], LARGE);
	while (files[WHOLE].pages < LARGE)
		next_page(&files[WHOLE]);
	share_out();
	give_back(&files[FREED], MAX_PAGES);
	give_back(&files[WHOLE], LARGE);
	look("in-use");

	give_back(&files[KEPT], MAX_PAGES);
	give_back(&files[KEPT_TOO], MAX_PAGES);
	look("given-back");

	if (patched) {
		/* What is on the list of a CPU keeps its block. */
		long least = vmstat_now("nr_no_direct_map");

		for (int i = 0; i < PUT_BACK && vmstat_now("nr_free_no_direct_map_whole"); i++)
			sleep(1);
		printf("# %ld pages were unmapped, %ld are now\n", least,
		       vmstat_now("nr_no_direct_map"));
		tap_test(vmstat_now("nr_free_no_direct_map_whole") == 0,
			 "put-back: no free block is unmapped");
		look("put-back");
	}
	tell("bye\n");
	return tap_end();
}
