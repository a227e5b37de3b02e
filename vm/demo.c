// SPDX-License-Identifier: GPL-2.0-only
/*
 * The demonstration's part inside the test machine.
 *
 *   demo measure	memory of an ordinary memfd and secret memory: it is touched page
 *			by page and given back, twice, and more often while the
 *			pool is not warm. Prints one line a phase with what it took
 *			and what the kernel counted.
 *   demo prove		writes a pattern to secret memory and one to ordinary
 *			memory, and has tools/monitor.c look from outside,
 *			before and after it is given back. Prints how many pages
 *			it wrote.
 *
 * scripts/demo.sh runs both on each kernel and judges. Here nothing is judged.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

#define PAGES		16384UL		/* 64 MiB */
#define CONTROL_PAGES	64UL
/* Fewer than a CPU's folio batch has room for */
#define ELSEWHERE_PAGES	8UL
/* Lives after which the pool has to be warm */
#define MOST_LIVES	6

/* What the kernel counts, and the name it has in the report. */
enum counter {
	INTERRUPTS, FLUSH_ALL_CPU, FLUSH_ONE, SPLIT_2M, SPLIT_1G, MAP_4K,
	FLIPPED, RETURNED, SHOOTDOWNS, ZEROED, NR_COUNTERS
};

static const struct {
	const char *name;
	const char *file;
	const char *key;
} counters[NR_COUNTERS] = {
	/* How often CPUs were told by another one to do something */
	[INTERRUPTS]	= { "interrupts", "/proc/interrupts", NULL },
	/* What CPUs did when a large kernel range was flushed */
	[FLUSH_ALL_CPU]	= { "received", "/proc/vmstat", "nr_tlb_remote_flush_received" },
	/* and what they did for small ones, a page at a time */
	[FLUSH_ONE]	= { "one", "/proc/vmstat", "nr_tlb_local_flush_one" },
	[SPLIT_2M]	= { "split2m", "/proc/vmstat", "direct_map_level2_splits" },
	[SPLIT_1G]	= { "split1g", "/proc/vmstat", "direct_map_level3_splits" },
	[MAP_4K]	= { "map4k", "/proc/meminfo", "DirectMap4k:" },
	/* Not there on a stock kernel */
	[FLIPPED]	= { "flipped", "/proc/vmstat", "direct_map_flip_unmap" },
	[RETURNED]	= { "returned", "/proc/vmstat", "direct_map_flip_remap" },
	[SHOOTDOWNS]	= { "shootdowns", "/proc/vmstat", "direct_map_shootdown" },
	[ZEROED]	= { "zeroed", "/proc/vmstat", "no_direct_map_zeroed_pages" },
};

static void count(long *value)
{
	static char vmstat[32768], meminfo[8192];

	slurp("/proc/meminfo", meminfo, sizeof(meminfo));
	slurp("/proc/vmstat", vmstat, sizeof(vmstat));
	for (int i = 0; i < NR_COUNTERS; i++) {
		if (i == INTERRUPTS)
			value[i] = interrupts(-1);
		else
			value[i] = lookup(counters[i].file[6] == 'v' ? vmstat : meminfo,
					  counters[i].key);
	}
}

static int memory(bool secret)
{
	int fd = secret ? syscall(__NR_memfd_secret, O_CLOEXEC)
			: memfd_create("demo", MFD_CLOEXEC);

	if (fd < 0)
		die(secret ? "memfd_secret" : "memfd_create");
	if (ftruncate(fd, PAGES * PAGE))
		die("ftruncate");
	return fd;
}

static char *map(int fd, unsigned long pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void phase(const char *kind, int life, const char *what, uint64_t ns,
		  const long *before)
{
	long after[NR_COUNTERS];

	count(after);
	printf("demo %s life %d %s pages %lu ns %" PRIu64, kind, life, what, PAGES, ns);
	for (int i = 0; i < NR_COUNTERS; i++)
		if (after[i] >= 0)
			printf(" %s %ld", counters[i].name, after[i] - before[i]);
	printf("\n");
	fflush(stdout);
}

/*
 * Until the worker has filled the pool. Returns how many blocks were taken out of
 * the direct map, and put back, since the machine started.
 */
static long settle(void)
{
	long value[NR_COUNTERS], last;

	count(value);
	do {
		last = value[FLIPPED];
		sleep(1);
		count(value);
	} while (value[FLIPPED] != last);
	return value[FLIPPED] + value[RETURNED];
}

static void live(bool secret, int life)
{
	const char *kind = secret ? "secret" : "memfd";
	long before[NR_COUNTERS];
	int fd = memory(secret);
	char *p = map(fd, PAGES);
	uint64_t start, ns;

	count(before);
	start = now_ns();
	for (unsigned long i = 0; i < PAGES; i++)
		*(volatile char *)(p + i * PAGE) = 1;
	ns = now_ns() - start;
	phase(kind, life, "fault", ns, before);

	count(before);
	start = now_ns();
	if (munmap(p, PAGES * PAGE) || close(fd))
		die("munmap");
	ns = now_ns() - start;
	phase(kind, life, "free", ns, before);
}

/* A page fault of a short run first: code paths, page tables, per-CPU caches. */
static void warm_up(void)
{
	int fd = memory(false);
	char *p = map(fd, PAGES);

	for (unsigned long i = 0; i < 64; i++)
		*(volatile char *)(p + i * PAGE) = 1;
	munmap(p, PAGES * PAGE);
	close(fd);
}

static void measure(void)
{
	long blocks, more;

	printf("demo cpus %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	warm_up();
	for (int life = 1; life <= 2; life++)
		live(false, life);
	/*
	 * The clock is that of the whole machine: where it counts instructions, it
	 * has those of the worker as well, which erases 2 MiB for each block that it
	 * adds to the pool, on whatever processor and whenever it comes to that. The
	 * price of a page in a warm pool is that of a life in which it adds none. It
	 * says so only when it has: look from before to after all that it might do.
	 */
	blocks = settle();
	for (int life = 1; life <= MOST_LIVES; life++) {
		live(true, life);
		more = settle();
		if (life > 1 && more == blocks) {
			printf("demo warm %d\n", life);
			break;
		}
		blocks = more;
	}
	/* Again, to see that the yardstick is still what it was */
	live(false, 3);
}

/* The proof. While tools/monitor.c looks, all CPUs are idle. */

/* A file that somebody else, who stays, has written to on another CPU, page by page. */
static int elsewhere(const struct pattern *pattern, char **mem, pid_t *pid)
{
	int fd = memory(true), ready[2];
	char byte;

	*mem = map(fd, ELSEWHERE_PAGES);
	if (pipe(ready))
		die("pipe");
	*pid = fork();
	if (*pid < 0)
		die("fork");
	if (!*pid) {
		on_cpu(sysconf(_SC_NPROCESSORS_ONLN) - 1);
		/* From the end, in which order none is a part of a large folio */
		for (unsigned long i = ELSEWHERE_PAGES; i--;)
			fill(*mem + i * PAGE, 1, pattern);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		/* One that ends would empty this CPU's folio batches */
		pause();
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		die("another process");
	close(ready[0]);
	close(ready[1]);
	/* pagemap has a page of a file when it is mapped */
	for (unsigned long i = 0; i < ELSEWHERE_PAGES; i++)
		*(volatile char *)(*mem + i * PAGE);
	return fd;
}

static void prove(void)
{
	struct pattern pattern[2];
	int secret_fd, control_fd, other_fd;
	char *secret, *control, *other;
	pid_t pid;

	open_host();
	if (getrandom(pattern, sizeof(pattern), 0) != sizeof(pattern))
		die("getrandom");
	/* First: whoever else there is has this file only */
	other_fd = elsewhere(&pattern[0], &other, &pid);
	secret_fd = memory(true);
	secret = map(secret_fd, PAGES);
	control_fd = memory(false);
	control = map(control_fd, CONTROL_PAGES);
	fill(secret, PAGES, &pattern[0]);
	fill(control, CONTROL_PAGES, &pattern[1]);

	tell("cpus %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	tell("base %" PRIx64 "\n", direct_map_base());
	tell_pattern("secret-pattern", &pattern[0]);
	tell_pattern("control-pattern", &pattern[1]);
	tell_frames("secret", secret, PAGES);
	tell_frames("secret", other, ELSEWHERE_PAGES);
	tell_frames("control", control, CONTROL_PAGES);
	ask("look", NULL);

	munmap(secret, PAGES * PAGE);
	close(secret_fd);
	munmap(other, ELSEWHERE_PAGES * PAGE);
	/* Where there can be no holes, nobody else may have the file */
	if (fallocate(other_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGES * PAGE)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(other_fd);
	ask("look-again", NULL);
	kill(pid, SIGKILL);
	munmap(control, CONTROL_PAGES * PAGE);
	close(control_fd);
	tell("bye\n");
	printf("demo wrote secret %lu control %lu\n", PAGES + ELSEWHERE_PAGES, CONTROL_PAGES);
}

int main(int argc, char **argv)
{
	/* Secret memory is locked memory. */
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		die("setrlimit");
	/* What one CPU does is what is measured; the others are interrupted. */
	on_cpu(0);

	if (argc == 2 && !strcmp(argv[1], "measure"))
		measure();
	else if (argc == 2 && !strcmp(argv[1], "prove"))
		prove();
	else {
		fprintf(stderr, "usage: demo measure | demo prove\n");
		return 2;
	}
	return 0;
}
