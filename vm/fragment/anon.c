// SPDX-License-Identifier: GPL-2.0-only
/*
 * Anonymous memory, in a process of its own: if memory runs out this is what the
 * kernel is to kill, so that the rest can count it.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fragment.h"

struct order {
	unsigned long target, churn;	/* pages */
	unsigned int cpu;
};

struct report {
	uint64_t failed, tried;
};

static void anon_new(struct rng *rng, struct region *r, unsigned long most,
		     struct report *report)
{
	unsigned long pages = log_uniform(rng, 16, MIB(16));
	bool huge = pages >= 512 && below(rng, 2);
	unsigned long room;
	char *p;

	if (huge)
		pages &= ~511UL;
	if (pages > most) {
		pages = most;
		huge = false;
	}
	r->pages = pages;
	report->tried++;
	room = pages * PAGE + (huge ? HUGE : 0);
	p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	if (p == MAP_FAILED) {
		report->failed++;
		r->p = NULL;
		return;
	}
	if (huge) {
		char *aligned = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));

		if (aligned > p)
			munmap(p, aligned - p);
		if (aligned + pages * PAGE < p + room)
			munmap(aligned + pages * PAGE, p + room - aligned - pages * PAGE);
		p = aligned;
	}
	r->p = p;
	if (madvise(p, pages * PAGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("madvise");
	if (madvise(p, pages * PAGE, MADV_POPULATE_WRITE))
		report->failed++;
}

static void anon_process(uint64_t seed, unsigned int life, int in, int out)
{
	static struct region regions[MAX_REGIONS];
	unsigned long live = 0, nr = 0;
	struct order order;
	struct rng rng;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must_set("/proc/self/oom_score_adj", "1000");
	rng_seed(&rng, seed, 100 + life);
	while (read(in, &order, sizeof(order)) == sizeof(order)) {
		struct report report = {};

		on_cpu(order.cpu);
		while (nr && live + order.churn > order.target) {
			struct region *r = &regions[below(&rng, nr)];

			live -= r->pages;
			if (r->p)
				munmap(r->p, r->pages * PAGE);
			*r = regions[--nr];
		}
		while (live < order.target && nr < MAX_REGIONS) {
			anon_new(&rng, &regions[nr], order.target - live, &report);
			live += regions[nr++].pages;
		}
		if (write(out, &report, sizeof(report)) != sizeof(report))
			break;
	}
	_exit(0);
}

static int anon_in = -1, anon_out = -1;
static pid_t anon_pid;

void anon_start(uint64_t seed)
{
	static unsigned int life;
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		die("pipe");
	anon_pid = spawn();
	if (!anon_pid) {
		close(to[1]);
		close(from[0]);
		anon_process(seed, life, to[0], from[1]);
	}
	life++;
	close(to[0]);
	close(from[1]);
	anon_in = from[0];
	anon_out = to[1];
}

void anon_step(uint64_t seed, unsigned long target, unsigned long churn, unsigned int cpu)
{
	struct order order = { .target = target, .churn = churn, .cpu = cpu };
	long alloc = vmstat_now("thp_fault_alloc");
	long fallback = vmstat_now("thp_fault_fallback");
	struct report report;
	uint64_t begin = now_ns();

	if (write(anon_out, &order, sizeof(order)) != sizeof(order) ||
	    read(anon_in, &report, sizeof(report)) != sizeof(report)) {
		int status;

		close(anon_in);
		close(anon_out);
		waitpid(anon_pid, &status, 0);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
			errno = ECHILD;
			die("the process with the anonymous memory ended");
		}
		/* Killed for want of memory: "oom_kill" counts it. */
		printf("killed: the process with the anonymous memory\n");
		anon_start(seed);
		report = (struct report){};
	}
	times[T_ANON] += now_ns() - begin;
	failures[F_ANON] += report.failed;
	tries[F_ANON] += report.tried;
	fallback = vmstat_now("thp_fault_fallback") - fallback;
	failures[F_THP] += fallback;
	tries[F_THP] += fallback + vmstat_now("thp_fault_alloc") - alloc;
}

void anon_end(void)
{
	kill(anon_pid, SIGKILL);
}
