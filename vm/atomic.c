// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory for interrupts while most of memory is secret.
 *
 * Loads bench/atomic's module, which takes pages as a busy network card does, for
 * as long as this runs. Beside it some processes take a large part of all memory
 * as secret memory; another one takes and frees anonymous memory, so that not much
 * more is free than the watermarks want; then all is given back, and again.
 * Prints what the module was refused meanwhile; bench/atomic-load judges.
 *
 * Parameters of the kernel's command line:
 *   atomic.seed=N	what the load is drawn from (1)
 *   atomic.rounds=N	how often all of that (2)
 *   atomic.hold=N	seconds for which the secret memory is kept (20), at least
 *   atomic.attempts=N	allocations of the module in that time, at least (0)
 *   atomic.percent=N	secret memory, of all memory (80)
 *   atomic.procs=N	processes that have it (3)
 *   atomic.spare=N	MiB that are free above the low watermark (8)
 *   atomic.depth=N	pages in each CPU's queue (2048)
 *   atomic.burst=N	most allocations at a time (64)
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "../linux/tools/testing/selftests/mm/unmapped_util.h"
#include "lib/draw.h"
#include "lib/module.h"
#include "program.h"

#define PAGE		4096UL
#define STATS		"/sys/kernel/debug/atomic_load/stats"
#define NR_ORDERS	4
#define MAX_PROCS	16
#define CHURN_SLOTS	8
#define CHURN_MIB	16
/* A hold for the sake of atomic.attempts is that many times atomic.hold at most */
#define LONGEST_HOLD	15

struct stats {
	long attempts[NR_ORDERS];
	long failures[NR_ORDERS];
	long held;
};

/* Shared with the processes */
static struct shared {
	volatile bool stop;
	volatile bool filled[MAX_PROCS];
	volatile unsigned long had[MAX_PROCS];
	volatile unsigned long churned;		/* pages */
	volatile long least_free;		/* KiB */
} *shared;

static struct stats read_stats(void)
{
	struct stats s = {};
	long attempts, failures;
	unsigned int order, found = 0;
	char line[128];
	FILE *f = fopen(STATS, "r");

	if (!f)
		die(STATS);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "order %u attempts %ld failures %ld", &order,
			   &attempts, &failures) == 3 && order < NR_ORDERS) {
			s.attempts[order] = attempts;
			s.failures[order] = failures;
			found++;
		}
		sscanf(line, "held %ld", &s.held);
	}
	fclose(f);
	if (found != NR_ORDERS) {
		errno = EPROTO;
		die(STATS);
	}
	return s;
}

static long all_attempts(const struct stats *s)
{
	long sum = 0;

	for (int i = 0; i < NR_ORDERS; i++)
		sum += s->attempts[i];
	return sum;
}

/* Between two looks. */
static void print_stats(const char *when, const struct stats *from, const struct stats *to)
{
	for (int i = 0; i < NR_ORDERS; i++)
		printf("%s order=%d attempts=%ld failures=%ld\n", when, i,
		       to->attempts[i] - from->attempts[i],
		       to->failures[i] - from->failures[i]);
	fflush(stdout);
}

static void load_module(void)
{
	char args[128];

	snprintf(args, sizeof(args), "seed=%ld depth=%ld burst=%ld",
		 number("atomic.seed", 1), number("atomic.depth", 2048),
		 number("atomic.burst", 64));
	module_load("atomic_load", args);
	module_settle();
}

/* What the zones' low watermarks sum up to: KiB. */
static long low_watermarks(void)
{
	long sum = 0, low;
	char line[256];
	FILE *f = fopen("/proc/zoneinfo", "r");

	if (!f)
		die("/proc/zoneinfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " low %ld", &low) == 1)
			sum += low;
	}
	fclose(f);
	return sum * 4;
}

static void secret_proc(int nr, size_t pages)
{
	char *mem = secret_map(pages * PAGE);

	if (mem == MAP_FAILED)
		die("memfd_secret");
	for (size_t done = 0; done < pages; done += MiB / PAGE) {
		size_t some = pages - done < MiB / PAGE ? pages - done : MiB / PAGE;
		size_t had = touch_some(mem + done * PAGE, some * PAGE, PATTERN) / PAGE;

		shared->had[nr] += had;
		if (had < some)
			break;
	}
	shared->filled[nr] = true;
	while (!shared->stop)
		sleep_ms(20);
}

/* Anonymous memory comes and goes, and nearly all that is free is taken. */
static void churn_proc(long leave_free)
{
	struct {
		char *mem;
		size_t size;
	} slots[CHURN_SLOTS] = {};

	while (!shared->stop) {
		unsigned int nr = draw(CHURN_SLOTS);
		size_t size = (1 + draw(CHURN_MIB)) * MiB, off;
		char *mem;

		if (slots[nr].mem)
			munmap(slots[nr].mem, slots[nr].size);
		mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (mem == MAP_FAILED)
			die("mmap");
		madvise(mem, size, MADV_NOHUGEPAGE);
		for (off = 0; off < size && !shared->stop; off += MiB / 4) {
			long free = read_meminfo("MemFree");

			if (free < shared->least_free)
				shared->least_free = free;
			if (free < leave_free)
				break;
			touch(mem + off, MiB / 4, PATTERN);
			shared->churned += MiB / 4 / PAGE;
		}
		slots[nr].mem = mem;
		slots[nr].size = size;
		/* Do not spin when there is nothing to be had */
		if (!off)
			sleep_ms(10);
	}
}

static bool ended_well(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status)
		printf("error: a process ended with status 0x%x\n", status);
	return !status;
}

/* Once; whether all processes came to their end. */
static bool go_round(int nr)
{
	const long hold = number("atomic.hold", 20);
	const long attempts = number("atomic.attempts", 0);
	const int procs = number("atomic.procs", 3);
	const long total = read_meminfo("MemTotal") / 4;
	const size_t wanted = total / 100 * number("atomic.percent", 80);
	const long leave_free = low_watermarks() + number("atomic.spare", 8) * 1024;
	struct stats begin, filled, held, end;
	unsigned long had = 0;
	pid_t pids[MAX_PROCS], churn;
	bool well = true;
	double start;

	if (procs < 1 || procs > MAX_PROCS) {
		errno = EINVAL;
		die("atomic.procs");
	}
	memset(shared, 0, sizeof(*shared));
	shared->least_free = read_meminfo("MemFree");
	start = now();
	begin = read_stats();
	for (int i = 0; i < procs; i++) {
		pids[i] = spawn();
		if (!pids[i]) {
			secret_proc(i, wanted / procs);
			_exit(0);
		}
	}
	for (int i = 0; i < procs; i++) {
		/* Gone without a word: only if it was killed or could not begin */
		while (!shared->filled[i] && !kill(pids[i], 0)) {
			siginfo_t info = {};

			if (!waitid(P_PID, pids[i], &info, WEXITED | WNOHANG | WNOWAIT) &&
			    info.si_pid == pids[i])
				break;
			sleep_ms(20);
		}
		had += shared->had[i];
	}
	filled = read_stats();
	printf("round %d secret wanted=%zu had=%lu memory=%ld seconds=%.1f\n", nr, wanted,
	       had, total, now() - start);
	print_stats("fill", &begin, &filled);

	churn = spawn();
	if (!churn) {
		churn_proc(leave_free);
		_exit(0);
	}
	start = now();
	do {
		sleep_ms(100);
		held = read_stats();
	} while (now() - start < hold ||
		 (all_attempts(&held) - all_attempts(&filled) < attempts &&
		  now() - start < LONGEST_HOLD * hold));
	printf("round %d hold churned=%lu leave_free=%ld least_free=%ld queued=%ld seconds=%.1f\n",
	       nr, shared->churned, leave_free, shared->least_free, held.held, now() - start);
	printf("round %d state unmapped=%ld direct_map_4k=%ld direct_map_2m=%ld\n", nr,
	       read_vmstat("nr_no_direct_map"), read_meminfo("DirectMap4k"),
	       read_meminfo("DirectMap2M"));
	print_stats("hold", &filled, &held);

	shared->stop = true;
	well &= ended_well(churn);
	for (int i = 0; i < procs; i++)
		well &= ended_well(pids[i]);
	/* Some more, while what was freed is being zeroed */
	sleep(2);
	end = read_stats();
	print_stats("free", &held, &end);
	printf("round %d attempts=%ld\n", nr, all_attempts(&held) - all_attempts(&filled));
	return well;
}

int main(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const int rounds = number("atomic.rounds", 2);
	struct stats none = {}, stats;
	bool well = true;
	long kills;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("RLIMIT_MEMLOCK");
	draw_from(number("atomic.seed", 1), 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");

	load_module();
	kills = read_vmstat("oom_kill");
	printf("before unmapped=%ld flips=%ld direct_map_4k=%ld direct_map_2m=%ld\n",
	       read_vmstat("nr_no_direct_map"), read_vmstat("direct_map_flip_unmap"),
	       read_meminfo("DirectMap4k"), read_meminfo("DirectMap2M"));
	for (int i = 1; i <= rounds; i++)
		well &= go_round(i);
	stats = read_stats();
	printf("after unmapped=%ld flips=%ld remaps=%ld killed=%ld\n",
	       read_vmstat("nr_no_direct_map"), read_vmstat("direct_map_flip_unmap"),
	       read_vmstat("direct_map_flip_remap"), read_vmstat("oom_kill") - kills);
	print_stats("total", &none, &stats);
	if (syscall(SYS_delete_module, "atomic_load", O_NONBLOCK))
		die("delete_module");
	printf("done\n");
	return !well;
}
