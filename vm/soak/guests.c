// SPDX-License-Identifier: GPL-2.0-only
/* Virtual machines that are killed at any moment. */
#include <sys/wait.h>

#include "soak.h"
#include "vm.h"

#define AT_A_TIME	4
/* Milliseconds until a machine is killed, at most: some have come to their end before */
#define LIFE_MS		4000
/*
 * After so many machines, while there is none, ordinary memory has all but so many
 * MiB. Free blocks are mapped again for it, and the next machines need others.
 */
#define FILL_EACH	8
#define FILL_LEAVES	22L
/* All machines and one process of ordinary memory fit in ROOM: nobody has to watch it */
#define FIRST_PROC	SECRET_PROCS
#define END_PROC	(FIRST_PROC + 1)

static struct machine {
	pid_t pid;
	double end;
	bool killed;
} machines[AT_A_TIME];

static struct vm_stats *stats;
static int bad;

static void machine_start(struct machine *m, uint64_t seed, int nr)
{
	m->pid = spawn();
	if (!m->pid) {
		/* Beside what the processes of the load are drawn from */
		draw_from(seed, PROCS + 1 + nr);
		_exit(vm_proc(stats));
	}
	stats->begun++;
	m->end = now() + draw(LIFE_MS) / 1000.0;
	m->killed = false;
}

/* Whether it is gone; when its time has come, that is seen to. */
static bool machine_gone(struct machine *m)
{
	int status;

	if (!m->pid)
		return true;
	if (waitpid(m->pid, &status, WNOHANG) == m->pid) {
		if (status && !(m->killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
			printf("a machine ended: status 0x%x\n", status);
			bad++;
		}
		m->pid = 0;
		return true;
	}
	if (!m->killed && now() > m->end) {
		kill(m->pid, SIGKILL);
		m->killed = true;
	}
	return false;
}

/* One that is gone. */
static struct machine *machine_next(void)
{
	for (;; sleep_ms(5)) {
		for (int i = 0; i < AT_A_TIME; i++) {
			if (machine_gone(&machines[i]))
				return &machines[i];
		}
	}
}

static void all_gone(void)
{
	for (int i = 0; i < AT_A_TIME; i++) {
		while (!machine_gone(&machines[i]))
			sleep_ms(5);
	}
}

static void fill_up(void)
{
	inject_here();
	anon_area(ROOM * MiB, true, FILL_LEAVES, &shared->procs[END_PROC]);
}

static void progress(double seconds)
{
	printf("%4.0f s: %lu machines begun, %lu created, %lu ran, %lu ended by themselves; ",
	       seconds, stats->begun, stats->created, stats->ran, stats->ended);
	printf("%lu passes, %lu holes, %lu pages not had, %lu system calls refused; ",
	       stats->passes, stats->holes, stats->not_had, stats->refused);
	print_failures();
}

/* A few may be too few for one in a hundred, and on a busy host most may be killed too early. */
static bool enough(int nr)
{
	return both_failed() && stats->ran >= (unsigned long)nr / 2;
}

int soak_guests(int nr, uint64_t seed)
{
	const char *missing = run_missing();
	int begun = 0, ended = 0;
	struct flips flips;
	struct run run;
	double start;

	if (!missing)
		missing = inject_prepare();
	if (!missing)
		missing = vm_missing();
	if (missing) {
		printf("SKIP: %s\n", missing);
		return SKIP;
	}
	printf("again: soak guests %d %llu\n", nr, (unsigned long long)seed);
	run = run_begin();

	room_take();
	stats = shared_memory(sizeof(*stats));
	procs_start(seed, FIRST_PROC, END_PROC);
	inject_start();
	for (start = now(); !ended && (begun < nr || (!enough(nr) && begun < LONGEST * nr));
	     begun++) {
		if (begun && !(begun % FILL_EACH)) {
			all_gone();
			short_lists(true);
			in_child(fill_up);
			short_lists(false);
		}
		if (!(begun % (nr / 10 + 1)))
			progress(now() - start);
		machine_start(machine_next(), seed, begun);
		ended = procs_ended();
	}
	all_gone();
	bad += procs_stop();
	progress(now() - start);
	room_give_back();

	flips = flips_since(&run);
	claim(!ended && !bad, "every process came to its end, or was killed when it was to be");
	claim(!stats->wrong, "machines did what nobody expects: %lu", stats->wrong);
	claim(stats->ran >= (unsigned long)nr / 2 && stats->passes > 0,
	      "%lu of %lu machines ran, %lu passes", stats->ran, stats->begun, stats->passes);
	claim(flips.unmapped > 0 && flips.remapped > 0, "%ld blocks unmapped, %ld remapped",
	      flips.unmapped, flips.remapped);
	judge_failures(&flips);
	claim(!stats->dirty, "pages that were not zero when first touched: %lu", stats->dirty);
	claim(!stats->lost, "pages that lost what was written: %lu", stats->lost);

	judge_end(&run);
	return !!failures;
}
