// SPDX-License-Identifier: GPL-2.0-only
/* Lives of memory: faulted, populated, freed, by some threads at once, and forked with. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "bench.h"

#define MAX_THREADS	8

/* Where the threads meet: as meet() of bench/pages/bench_pages.c. */
static struct {
	int threads;
	bool crowded;		/* they share processors */
	atomic_int arrived;
	atomic_uint turn;
	uint64_t now;
} place;

static uint64_t meet(void)
{
	unsigned int turn = atomic_load(&place.turn);

	if (atomic_fetch_add(&place.arrived, 1) + 1 == place.threads) {
		atomic_store(&place.arrived, 0);
		place.now = cycles();
		atomic_store(&place.turn, turn + 1);
	} else {
		while (atomic_load(&place.turn) == turn) {
			if (place.crowded)
				sched_yield();
			else
				_mm_pause();
		}
	}
	return place.now;
}

struct life {
	enum kind kind;
	const char *name;
	long mib;
	/*
	 * first: nothing is unmapped yet; fork: children, between fault and free; whole:
	 * nothing is between them
	 */
	bool first, fork, whole, populate, random, ahead;
};

/* What is between two meetings, told by the first thread. */
struct phase {
	long before[NR_COUNTERS];
	uint64_t start;
};

static pthread_barrier_t barrier;

/* Of all threads, as the last phase left them */
static long pages;

static void phase_begin(struct phase *phase, int thread)
{
	pthread_barrier_wait(&barrier);
	if (!thread)
		read_counters(phase->before);
	pthread_barrier_wait(&barrier);
	phase->start = meet();
}

static void phase_end(struct phase *phase, int thread, const struct life *life,
		      const char *what, const struct area *area)
{
	uint64_t ns = (meet() - phase->start) * ns_per_cycle;
	long after[NR_COUNTERS];

	pthread_barrier_wait(&barrier);
	if (!thread) {
		read_counters(after);
		/* Not all that is populated is there then */
		if (area->mem)
			pages = area_pages(area) * place.threads;
		printf("sample secret kind=%s life=%s mib=%ld threads=%d part=%s | ns=%" PRIu64 " ops=%ld",
		       kind_names[life->kind], life->name, life->mib, place.threads, what,
		       ns, pages);
		print_counters(phase->before, after);
	}
	pthread_barrier_wait(&barrier);
}

/* Children that do nothing, of a process with the memory mapped. */
static void fork_some(const struct life *life)
{
	const int forks = 8;
	long before[NR_COUNTERS], after[NR_COUNTERS];
	uint64_t start, ns;
	int status;

	/* Whoever fills the pool has done it then */
	sleep_ms(500);
	read_counters(before);
	start = cycles();
	for (int i = 0; i < forks; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			die("fork");
	}
	ns = (cycles() - start) * ns_per_cycle;
	read_counters(after);
	printf("sample secret kind=%s life=%s mib=%ld threads=1 part=fork | ns=%" PRIu64 " ops=%d",
	       kind_names[life->kind], life->name, life->mib, ns, forks);
	print_counters(before, after);
}

/* Each page once, in an order that is the same each time: a full-period generator. */
static void touch_random(char *mem, size_t size)
{
	const size_t nr = size / PAGE;
	size_t page = 0, period = 1;

	while (period < nr)
		period *= 2;
	for (size_t i = 0; i < period; i++) {
		page = (page * 1664525 + 1013904223) % period;
		if (page < nr)
			touch(mem + page * PAGE, PAGE, PATTERN);
	}
}

struct live {
	const struct life *life;
	int thread;
};

static void *live(void *arg)
{
	const struct live *l = arg;
	const struct life *life = l->life;
	const size_t size = life->mib * MiB / place.threads;
	struct phase phase;
	struct area area;

	pin(l->thread % online_cpus());
	area_open(&area, life->kind, size);
	if (life->populate) {
		phase_begin(&phase, l->thread);
		area_map(&area, true);
		phase_end(&phase, l->thread, life, "populate", &area);
	} else if (life->ahead) {
		area_map(&area, false);
		phase_begin(&phase, l->thread);
		/* Stock's secret memory has no pages then */
		if (fallocate(area.fd, 0, 0, size) && errno != EOPNOTSUPP)
			die("fallocate");
		phase_end(&phase, l->thread, life, "fallocate", &area);
	} else {
		area_map(&area, false);
		phase_begin(&phase, l->thread);
		if (life->random)
			touch_random(area.mem, size);
		else
			touch(area.mem, size, PATTERN);
		if (!life->whole)
			phase_end(&phase, l->thread, life, "fault", &area);
	}
	if (life->fork && place.threads == 1)
		fork_some(life);
	if (life->whole) {
		pages = life->mib * (long)(MiB / PAGE);
		area_close(&area);
		phase_end(&phase, l->thread, life, "both", &area);
		return NULL;
	}
	phase_begin(&phase, l->thread);
	area_close(&area);
	phase_end(&phase, l->thread, life, "free", &area);
	return NULL;
}

static void live_once(const struct life *life, int threads)
{
	struct live lives[MAX_THREADS];
	pthread_t ids[MAX_THREADS];

	place.threads = threads;
	place.crowded = threads > online_cpus();
	pthread_barrier_init(&barrier, NULL, threads);
	for (int i = 0; i < threads; i++) {
		lives[i] = (struct live){ .life = life, .thread = i };
		if (i && pthread_create(&ids[i], NULL, live, &lives[i]))
			die("pthread_create");
	}
	live(&lives[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&barrier);
}

static const struct life all_lives[] = {
	{ .name = "cold", .first = true },
	{ .name = "warm", .fork = true },
	{ .name = "whole", .whole = true },
	{ .name = "populate", .populate = true },
	{ .name = "random", .random = true },
	{ .name = "ahead", .ahead = true, .first = true },
};

/*
 * What others left to be done in the background is not this one's. A block that was
 * unmapped ahead for more than its user wanted has yet to be erased: by who gets it,
 * or the worker, whenever that looks. Here all of them are had once.
 */
static void settle_pool(const struct life *life)
{
	if (life->kind == SECRET)
		live_once(&(struct life){ .kind = SECRET, .name = "before",
					  .mib = 2 * life->mib }, 1);
	sleep_ms(1000);
}

static void live_all(enum kind kind, const char *lives, long mib, int threads)
{
	for (size_t i = 0; i < sizeof(all_lives) / sizeof(*all_lives); i++) {
		struct life life = all_lives[i];

		/* What is locked has no file to allocate for */
		if (!listed(lives, life.name) || (life.ahead && kind == LOCKED))
			continue;
		life.kind = kind;
		life.mib = mib;
		if (life.first && kind == SECRET)
			drain();
		if (life.random)
			settle_pool(&life);
		live_once(&life, threads);
	}
}

void figure_secret(void)
{
	const long rounds = number("bench.rounds", 1);
	const char *kinds = strdup(parameter("bench.kinds", "memfd,secret,locked"));
	const char *before = strdup(parameter("bench.before", "memfd"));
	const char *lives = strdup(parameter("bench.lives", "cold,warm,whole,populate,random,ahead"));
	long mib[MAX_LIST], threads[MAX_LIST];
	const int nr_mib = numbers("bench.mib", "64", mib);
	const int nr_threads = numbers("bench.threads", "1", threads);

	/*
	 * Code paths, page tables, per-CPU lists: not for the first one to pay. An emulator
	 * translates what runs for the first time.
	 */
	for (enum kind k = 0; k < NR_KINDS; k++) {
		if (listed(before, kind_names[k]))
			live_once(&(struct life){ .kind = k, .name = "before",
						  .mib = k == MEMFD ? 1 : mib[0] }, 1);
	}
	for (int m = 0; m < nr_mib; m++) {
		for (int t = 0; t < nr_threads; t++) {
			if (threads[t] > MAX_THREADS)
				continue;
			/* What one kind leaves on per-CPU lists, another one finds there */
			for (long i = 0; i < rounds; i++) {
				for (enum kind k = 0; k < NR_KINDS; k++) {
					if (listed(kinds, kind_names[k]))
						live_all(k, lives, mib[m], threads[t]);
				}
			}
		}
	}
}
