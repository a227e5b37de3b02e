// SPDX-License-Identifier: GPL-2.0-only
/*
 * Secret memory when memory is short or in pieces.
 *
 *   pressure rounds [N]	90 % of memory as secret memory, given back, then
 *				90 % as anonymous memory, N times (20). Nobody may be
 *				killed, no allocation may fail, and at the end the
 *				direct map is in pieces as large as before.
 *   pressure blocks [MIB]	half of the pages of all of memory are in use, drawn
 *				page by page, so that no pageblock is free. MIB (256) of secret memory are
 *				asked for, and then more than there is: that must
 *				fail without anybody being killed. On a kernel that
 *				takes single pages off the direct map, only the
 *				first, for its time.
 *   pressure scattered [N]	small pieces of secret memory on each CPU, given back in
 *				an order that is drawn, and at once 90 % of memory as
 *				anonymous memory, N times (5). As with rounds.
 *
 * Exit 0: it was so. 4: this kernel has no secret memory off whole blocks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/claim.h"
#include "lib/draw.h"
#include "program.h"
#include "unmapped_util.h"

#define PAGE		4096UL
#define SKIP		4
/* KiB: above the watermarks, which khugepaged raises to some 45 MiB */
#define SPARE	(80 * 1024)
/* As long as a worker may take to put the direct map together again */
#define MEND_SECONDS	240

static long vmstat(const char *name)
{
	return field("/proc/vmstat", name);
}

/* Did the kernel complain of want of memory since kmsg_open()? */
static bool kmsg_complains(int fd)
{
	char record[8192];
	bool found = false;
	ssize_t n;

	if (fd < 0)
		die("/dev/kmsg");
	while ((n = read(fd, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		record[n] = 0;
		if (strstr(record, "page allocation failure") ||
		    strstr(record, "Out of memory") || strstr(record, "WARNING:")) {
			printf("kernel: %s", record);
			found = true;
		}
	}
	return found;
}

static void *secret_area(size_t size)
{
	void *mem = secret_map(size);

	if (mem == MAP_FAILED)
		die("secret memory");
	return mem;
}

static void *anon_map(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		die("mmap");
	madvise(mem, size, MADV_NOHUGEPAGE);
	return mem;
}

/* In a process of its own; whether it was all had. */
static bool take_and_free(size_t size, bool secret)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		char *mem = secret ? secret_area(size) : anon_map(size);
		size_t had = touch_some(mem, size, 1);

		if (had < size)
			printf("%s: %zu of %zu MiB\n", secret ? "secret" : "anonymous",
			       had / MiB, size / MiB);
		fflush(stdout);
		_exit(had < size);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

struct entries {
	long kib_4k, kib_2m;
};

static struct entries direct_map(void)
{
	return (struct entries) { read_meminfo("DirectMap4k"), read_meminfo("DirectMap2M") };
}

/* Within 2 % of what it was; large entries are more than they look. */
static bool as_before(struct entries is, struct entries was)
{
	return is.kib_4k <= was.kib_4k * 1.02 && is.kib_2m <= was.kib_2m * 1.02;
}

static int rounds(int nr)
{
	long kills = vmstat("oom_kill"), unmapped = 0;
	struct entries before, after;
	bool had_all = true;
	int kmsg = kmsg_open();
	double start;

	if (vmstat("nr_no_direct_map") < 0)
		return SKIP;

	/* Whoever had secret memory before has none now */
	for (start = now(); vmstat("nr_no_direct_map") > 0 && now() - start < MEND_SECONDS;)
		sleep(1);
	before = direct_map();

	start = now();
	for (int i = 0; i < nr; i++) {
		size_t size = read_meminfo("MemAvailable") / 10 * 9 * KiB / PAGE * PAGE;

		had_all &= take_and_free(size, true);
		if (vmstat("nr_no_direct_map") > unmapped)
			unmapped = vmstat("nr_no_direct_map");
		size = read_meminfo("MemAvailable") / 10 * 9 * KiB / PAGE * PAGE;
		had_all &= take_and_free(size, false);
	}
	printf("%d rounds in %.1f s, up to %ld MiB unmapped after it was free\n",
	       nr, now() - start, unmapped * 4 / 1024);

	claim(unmapped > 0, "secret memory came from unmapped blocks");
	claim(had_all, "90 %% of memory was had each time");
	claim(vmstat("oom_kill") == kills, "nobody was killed");
	claim(!kmsg_complains(kmsg), "the kernel reported no failed allocation");

	start = now();
	do {
		sleep(1);
		after = direct_map();
	} while (!as_before(after, before) && now() - start < MEND_SECONDS);
	printf("direct map: %ld KiB by 4 KiB and %ld KiB by 2 MiB before, %ld and %ld %.0f s after\n",
	       before.kib_4k, before.kib_2m, after.kib_4k, after.kib_2m, now() - start);
	claim(as_before(after, before), "the direct map is in pieces as large as before");
	return !!failures;
}

static void print_compaction(const char *when)
{
	char line[256];
	FILE *f = fopen("/proc/vmstat", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "compact_", 8) || !strncmp(line, "pgmigrate", 9) ||
		    !strncmp(line, "pgscan_direct ", 14) || !strncmp(line, "allocstall", 10) ||
		    !strncmp(line, "nr_free", 7) || !strncmp(line, "unmapped_", 9))
			printf("%s %s", when, line);
	}
	if (f)
		fclose(f);
}

/* What all is drawn from */
static uint64_t pick_seed(void)
{
	const char *text = getenv("SEED");
	const uint64_t seed = text ? strtoull(text, NULL, 0) : 1;

	printf("seed: SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

#define PIECE	(64 * KiB)

/* On a CPU of its own: small pieces of secret memory, given back in any order. */
static void scatter(int cpu, uint64_t seed, size_t size, volatile int *ready, int all)
{
	const size_t nr = size / PIECE;
	char **piece = calloc(nr, sizeof(*piece));

	if (!piece)
		die("calloc");
	on_cpu(cpu);
	draw_from(seed, cpu);
	for (size_t i = 0; i < nr; i++) {
		piece[i] = secret_area(PIECE);
		if (touch_some(piece[i], PIECE, 1) < PIECE) {
			printf("secret: %zu of %zu pieces\n", i, nr);
			fflush(stdout);
			_exit(1);
		}
	}
	__atomic_fetch_add(ready, 1, __ATOMIC_SEQ_CST);
	while (*ready < all)
		usleep(1000);
	for (size_t left = nr; left; left--) {
		size_t i = draw(left);

		munmap(piece[i], PIECE);
		piece[i] = piece[left - 1];
	}
	_exit(0);
}

/*
 * Free pages on the lists of CPUs keep their blocks from being whole. All of
 * them are free nevertheless, and somebody's to have.
 */
static int scattered(int nr)
{
	const int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	long kills = vmstat("oom_kill");
	bool had_all = true, secret = true;
	int kmsg = kmsg_open();
	uint64_t first;
	volatile int *ready = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (vmstat("nr_no_direct_map") < 0)
		return SKIP;
	if (ready == MAP_FAILED)
		die("mmap");
	first = pick_seed();

	for (int i = 0; i < nr; i++) {
		size_t size = read_meminfo("MemAvailable") / 10 * 9 * KiB / PAGE * PAGE;
		int status;

		fflush(stdout);
		*ready = 0;
		for (int cpu = 0; cpu < cpus; cpu++) {
			pid_t pid = fork();

			if (pid < 0)
				die("fork");
			if (!pid)
				scatter(cpu, first + i, size / 4 * 3 / cpus, ready, cpus);
		}
		while (wait(&status) > 0) {
			if (!WIFEXITED(status) || WEXITSTATUS(status)) {
				secret = false;
				*ready = cpus;
			}
		}
		printf("%ld MiB unmapped, %ld free of these, %ld in whole blocks; want %zu MiB\n",
		       vmstat("nr_no_direct_map") / 256, vmstat("nr_free_no_direct_map") / 256,
		       vmstat("nr_free_no_direct_map_whole") / 256, size / MiB);
		fflush(stdout);
		had_all &= take_and_free(size, false);
	}
	claim(secret, "secret memory was had");
	claim(had_all, "90 %% of memory was had after it, at once");
	claim(vmstat("oom_kill") == kills, "nobody was killed");
	claim(!kmsg_complains(kmsg), "the kernel reported no failed allocation");
	return !!failures;
}

static int blocks(size_t mib)
{
	const bool whole_blocks = vmstat("nr_no_direct_map") >= 0;
	long kills = vmstat("oom_kill");
	size_t size = read_meminfo("MemFree") * KiB, taken = 0, had, free;
	char *mem = anon_map(size), *secret;
	double start;

	/* Each pageblock has pages that are in use, and half of it is free */
	while (taken + MiB <= size && read_meminfo("MemFree") > SPARE) {
		touch_some(mem + taken, MiB, 1);
		taken += MiB;
	}
	/*
	 * Which ones is drawn: the free scanner of compaction looks at every 32nd
	 * page when it finds nothing, and would find nothing in a regular pattern.
	 */
	draw_from(pick_seed(), 0);
	for (size_t off = 0; off < taken; off += PAGE) {
		if (draw(2))
			madvise(mem + off, PAGE, MADV_DONTNEED);
	}

	free = read_meminfo("MemFree") * KiB;
	secret = secret_area(mib * MiB);
	print_compaction("before");
	start = now();
	had = touch_some(secret, mib * MiB, 1);
	printf("fragmented: %zu of %zu MiB secret memory, with %zu MiB free, in %.2f s\n",
	       had / MiB, mib, free / MiB, now() - start);
	print_compaction("after");
	claim(had == mib * MiB, "secret memory was had though no pageblock was free");
	claim(vmstat("oom_kill") == kills, "nobody was killed for it");
	if (!whole_blocks)
		return !!failures;

	/* All that is there is not enough */
	munmap(secret, mib * MiB);
	secret = secret_area(size);
	start = now();
	had = touch_some(secret, size, 1);
	printf("too much: %zu of %zu MiB, in %.2f s\n", had / MiB, size / MiB, now() - start);
	claim(had < size, "more than there is could not be had");
	claim(vmstat("oom_kill") == kills, "nobody was killed for that either");
	return !!failures;
}

int main(int argc, char **argv)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("RLIMIT_MEMLOCK");
	if (argc > 1 && !strcmp(argv[1], "rounds"))
		return rounds(argc > 2 ? atoi(argv[2]) : 20);
	if (argc > 1 && !strcmp(argv[1], "blocks"))
		return blocks(argc > 2 ? atoi(argv[2]) : 256);
	if (argc > 1 && !strcmp(argv[1], "scattered"))
		return scattered(argc > 2 ? atoi(argv[2]) : 5);
	fprintf(stderr, "usage: pressure rounds [N] | blocks [MIB] | scattered [N]\n");
	return 2;
}
