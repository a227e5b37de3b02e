// SPDX-License-Identifier: GPL-2.0-only
/*
 * What bench/bench measures inside the test machine. Here nothing is judged.
 *
 * Parameters of the kernel's command line:
 *   bench.what=LIST	figures, with commas between:
 *	pagealloc	allocate and free pages in the kernel (bench/pages)
 *	window		map one page for the kernel, in each way there is
 *	secret		fault, populate, free and fork with secret memory, beside an
 *			ordinary memfd and locked anonymous memory
 *	bystander	a computation while another CPU faults secret memory
 *	day		processes that talk through pipes, fork and exec, a compiler
 *   bench.use=1	64 MiB are secret meanwhile; with day, more comes and goes
 *   bench.rounds=N	of what is repeated in the machine (5; secret: 1)
 *   bench.mib=LIST	secret: sizes (64)
 *   bench.threads=LIST	secret: how many take that much together (1)
 *   bench.before=LIST	secret: kinds that have a life before anything is measured (memfd)
 *   bench.kinds=LIST	secret: of memfd, secret, locked (all)
 *   bench.lives=LIST	secret: of cold, warm, whole, populate, random, ahead (all). cold is
 *			the first one after no block is unmapped any more: wait for
 *			that. whole is a second life that nobody looks at between fault
 *			and free, random one that is touched in that order; ahead is a
 *			first one by fallocate()
 *   bench.ways=LIST	window: of mermap, vmap, vm_map_ram, kmap_local (all)
 *
 * A sample is a line: "sample FIGURE LABEL=TEXT... | NAME=NUMBER...". Times are in
 * nanoseconds; with one instruction a nanosecond they are instructions.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <x86intrin.h>

#include "../linux/tools/testing/selftests/mm/unmapped_util.h"
#include "program.h"

#define PAGE		4096UL
#define MODULE		"/lib/modules/bench_pages.ko"
#define RUN		"/sys/kernel/debug/bench_pages/run"
#define MAX_THREADS	8
#define MAX_LIST	16
/* Kept secret with bench.use=1 */
#define USE_MIB		64UL

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT	1
#endif

/* Numbers with commas between. */
static int numbers(const char *name, const char *otherwise, long *list)
{
	const char *p = parameter(name, otherwise);
	int nr = 0;

	while (nr < MAX_LIST && *p) {
		list[nr++] = strtol(p, NULL, 0);
		p += strcspn(p, ",");
		p += *p == ',';
	}
	return nr;
}

static bool listed(const char *list, const char *word)
{
	const size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += len) {
		if ((p == list || p[-1] == ',') && (!p[len] || p[len] == ','))
			return true;
	}
	return false;
}

/*
 * The clock is the time stamp counter: where instructions are counted, reading it
 * is one of them, and asking the kernel for the time would be some hundred.
 */
static double ns_per_cycle;

static uint64_t cycles(void)
{
	return __rdtsc();
}

static double monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void calibrate(void)
{
	const double begin = monotonic();
	const uint64_t from = cycles();

	sleep_ms(200);
	ns_per_cycle = (monotonic() - begin) / (cycles() - from);
	printf("sample clock | ns_per_cycle=%.6f\n", ns_per_cycle);
	/* Where a cycle is an instruction the kernel may be a little wrong about it. */
	if (ns_per_cycle > 0.98 && ns_per_cycle < 1.02)
		ns_per_cycle = 1;
}

/* What the kernel counts. */
static const struct {
	const char *name;
	const char *file;
	const char *key;
} counters[] = {
	/* How often CPUs were told by another one to do something: no key */
	{ "interrupts", "/proc/interrupts", NULL },
	/* What CPUs did when a large kernel range was flushed */
	{ "received", "/proc/vmstat", "nr_tlb_remote_flush_received" },
	/* and what they did for small ones, a page at a time */
	{ "one", "/proc/vmstat", "nr_tlb_local_flush_one" },
	{ "split2m", "/proc/vmstat", "direct_map_level2_splits" },
	{ "split1g", "/proc/vmstat", "direct_map_level3_splits" },
	{ "map4k", "/proc/meminfo", "DirectMap4k:" },
	{ "map2m", "/proc/meminfo", "DirectMap2M:" },
	{ "map1g", "/proc/meminfo", "DirectMap1G:" },
	/* Not there on a stock kernel */
	{ "flipped", "/proc/vmstat", "direct_map_flip_unmap" },
	{ "returned", "/proc/vmstat", "direct_map_flip_remap" },
	{ "failed", "/proc/vmstat", "direct_map_flip_fail" },
	{ "shootdowns", "/proc/vmstat", "direct_map_shootdown" },
	{ "zeroed", "/proc/vmstat", "no_direct_map_zeroed_pages" },
	{ "windows", "/proc/vmstat", "mermap_flush" },
};

#define NR_COUNTERS	(sizeof(counters) / sizeof(*counters))

static void count(long *value)
{
	static char vmstat[32768], meminfo[8192];

	slurp("/proc/meminfo", meminfo, sizeof(meminfo));
	slurp("/proc/vmstat", vmstat, sizeof(vmstat));
	for (size_t i = 0; i < NR_COUNTERS; i++) {
		if (!counters[i].key)
			value[i] = interrupts(-1);
		else
			value[i] = lookup(counters[i].file[6] == 'v' ? vmstat : meminfo,
					  counters[i].key);
	}
}

/* The end of a sample's line. */
static void print_counters(const long *before, const long *after)
{
	for (size_t i = 0; i < NR_COUNTERS; i++)
		if (after[i] >= 0)
			printf(" %s=%ld", counters[i].name, after[i] - before[i]);
	printf("\n");
	fflush(stdout);
}

static int online(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

static bool has_unmapped(void)
{
	return field("/proc/vmstat", "nr_no_direct_map") >= 0;
}

static bool in_use(void)
{
	return number("bench.use", 0);
}

/* Some secret memory that stays. */
static void use(void)
{
	char *mem = secret_map(USE_MIB * MiB);

	if (mem == MAP_FAILED)
		die("memfd_secret");
	touch(mem, USE_MIB * MiB, PATTERN);
	printf("sample use | pages=%lu unmapped=%ld\n", USE_MIB * MiB / PAGE,
	       read_vmstat("nr_no_direct_map"));
}

static void load_module(void)
{
	static bool loaded;
	int fd;

	if (loaded)
		return;
	fd = open(MODULE, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
		die(MODULE);
	close(fd);
	/* A moment later its initialisation code is freed, which splits a 2 MiB entry. */
	sleep(2);
	loaded = true;
}

/*
 * Have the module measure, and print a sample for each of its lines. Returns
 * false where this kernel has no such thing.
 */
static bool in_kernel(const char *figure, const char *what, int cpus, int order,
		      int nr, long rounds, const char *gfp)
{
	long before[NR_COUNTERS], after[NR_COUNTERS];
	char text[512], *line, *save;
	int err;

	load_module();
	count(before);
	err = write_file(RUN, "%s %d %d %d %ld %s", what, cpus, order, nr, rounds, gfp);
	count(after);
	if (err == -EOPNOTSUPP)
		return false;
	if (err) {
		errno = -err;
		printf("error: %s %d %d %d %s\n", what, cpus, order, nr, gfp);
		die(RUN);
	}
	slurp(RUN, text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long median, least, most;
		char part[32];

		if (sscanf(line, "%31s %llu %llu %llu", part, &median, &least, &most) != 4) {
			errno = EPROTO;
			die(RUN);
		}
		printf("sample %s what=%s cpus=%d order=%d gfp=%s part=%s | ns=%.1f least=%.1f most=%.1f ops=%ld rounds=%ld",
		       figure, what, cpus, order, gfp, part, median * ns_per_cycle,
		       least * ns_per_cycle, most * ns_per_cycle, (long)nr * cpus, rounds);
		print_counters(before, after);
	}
	return true;
}

/*
 * The kernel makes the lists of its CPUs longer and shorter as it likes, and when
 * it does is not the same twice: have them hold some 1000 pages, or as it likes.
 * As long as that is fixed, pages of one type can leave no room for those of another.
 */
#define LIST_PAGES	1024L

static void fix_lists(bool fixed)
{
	/* Of the larger one of two zones */
	long fraction = read_meminfo("MemTotal") / 4 / 2 / online() / LIST_PAGES;

	if (fraction < 8)
		fraction = 8;
	if (set_sysctl("percpu_pagelist_high_fraction", fixed ? fraction : 0) < 0)
		die("percpu_pagelist_high_fraction");
}

/* One CPU, then all of them, then none. */
static int more_cpus(int cpus)
{
	return cpus < online() ? online() : 0;
}

static void figure_pagealloc(void)
{
	const long rounds = number("bench.rounds", 5);
	/* What is unmapped is erased when it is freed: as much, but not as often */
	static const struct { int order, hot, hot_unmapped, cold; } sizes[] = {
		{ 0, 4000, 4000, 32768 }, { 3, 4000, 400, 4096 }, { 9, 2000, 40, 64 },
	};
	static const char * const gfps[] = { "kernel", "user", "unmapped" };

	for (int g = 0; g < 3; g++) {
		bool unmapped = !strcmp(gfps[g], "unmapped");

		if (unmapped && !in_use())
			continue;
		for (int i = 0; i < 3; i++) {
			int hot = unmapped ? sizes[i].hot_unmapped : sizes[i].hot;

			for (int cpus = 1; cpus; cpus = more_cpus(cpus)) {
				in_kernel("pagealloc", "hot", cpus, sizes[i].order,
					  hot / cpus, rounds, gfps[g]);
				fix_lists(true);
				in_kernel("pagealloc", "cold", cpus, sizes[i].order,
					  sizes[i].cold / cpus, rounds, gfps[g]);
				fix_lists(false);
			}
		}
	}
}

/* Windows that can be open at the same time, with some left */
#define WINDOWS		8

static void figure_window(void)
{
	static const char * const ways[] = { "mermap", "vmap", "vm_map_ram", "kmap_local" };
	const char *chosen = strdup(parameter("bench.ways", "mermap,vmap,vm_map_ram,kmap_local"));
	const long rounds = number("bench.rounds", 5);

	for (int i = 0; i < 4; i++) {
		bool mermap = !i;

		if ((mermap && !in_use()) || !listed(chosen, ways[i]))
			continue;
		for (int cpus = 1; cpus; cpus = more_cpus(cpus))
			in_kernel("window", ways[i], cpus, 0, 2000, rounds,
				  mermap ? "unmapped" : "kernel");
		/* Each half alone, of few windows: so many times */
		if (mermap)
			in_kernel("window", "mermap_halves", 1, 0, WINDOWS, 101, "unmapped");
	}
}

/*
 * Memory of some kind, taken by some threads at once.
 */
enum kind { MEMFD, SECRET, LOCKED, NR_KINDS };

static const char * const kind_names[] = { "memfd", "secret", "locked" };

struct area {
	enum kind kind;
	int fd;
	char *mem;
	size_t size;
};

static void area_open(struct area *area, enum kind kind, size_t size)
{
	area->kind = kind;
	area->size = size;
	area->fd = -1;
	area->mem = NULL;
	if (kind == LOCKED)
		return;
	area->fd = kind == SECRET ? syscall(__NR_memfd_secret, O_CLOEXEC)
				  : memfd_create("bench", MFD_CLOEXEC);
	if (area->fd < 0)
		die(kind == SECRET ? "memfd_secret" : "memfd_create");
	if (ftruncate(area->fd, size))
		die("ftruncate");
}

static void area_map(struct area *area, bool populate)
{
	int flags = area->kind == LOCKED ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;

	/* What is locked is populated with it */
	if (populate)
		flags |= area->kind == LOCKED ? MAP_LOCKED : MAP_POPULATE;
	area->mem = mmap(NULL, area->size, PROT_READ | PROT_WRITE, flags, area->fd, 0);
	if (area->mem == MAP_FAILED)
		die("mmap");
	if (area->kind == LOCKED && !populate && syscall(SYS_mlock2, area->mem, area->size, MLOCK_ONFAULT))
		die("mlock2");
}

/* The pages that are there. */
static long area_pages(const struct area *area)
{
	const size_t nr = area->size / PAGE;
	unsigned char *there = malloc(nr);
	long pages = 0;

	if (!there || mincore(area->mem, area->size, there))
		die("mincore");
	for (size_t i = 0; i < nr; i++)
		pages += there[i] & 1;
	free(there);
	return pages;
}

static void area_close(struct area *area)
{
	if (munmap(area->mem, area->size) || (area->fd >= 0 && close(area->fd)))
		die("munmap");
	area->mem = NULL;
}

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
		count(phase->before);
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
		count(after);
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
	count(before);
	start = cycles();
	for (int i = 0; i < forks; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			die("fork");
	}
	ns = (cycles() - start) * ns_per_cycle;
	count(after);
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

	pin(l->thread % online());
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
	place.crowded = threads > online();
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

/* Wait until the kernel has let go of its pool, so that the next life is a first one. */
static void drain(void)
{
	if (!has_unmapped())
		return;
	for (int i = 0; i < 600; i++) {
		if (!read_vmstat("nr_free_no_direct_map_whole"))
			return;
		sleep_ms(500);
	}
	errno = ETIMEDOUT;
	die("the pool of unmapped blocks does not become empty");
}

static const struct life all_lives[] = {
	{ .name = "cold", .first = true },
	{ .name = "warm", .fork = true },
	{ .name = "whole", .whole = true },
	{ .name = "populate", .populate = true },
	{ .name = "random", .random = true },
	{ .name = "ahead", .ahead = true, .first = true },
};

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
		live_once(&life, threads);
	}
}

static void figure_secret(void)
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

/*
 * A bystander: a computation on CPU 1 that has nothing to do with memory, while
 * CPU 0 faults and frees some.
 */
#define BLOCKS		400
#define BLOCK_STEPS	1000000L

static struct {
	atomic_bool stop;
	atomic_long pages;
	int kind;		/* -1: nothing is done */
} beside;

static void *beside_load(void *unused)
{
	const size_t chunk = MiB;
	struct area area;

	(void)unused;
	pin(0);
	while (beside.kind >= 0 && !atomic_load(&beside.stop)) {
		area_open(&area, beside.kind, 64 * MiB);
		area_map(&area, false);
		for (size_t off = 0; off < area.size && !atomic_load(&beside.stop); off += chunk) {
			touch(area.mem + off, chunk, PATTERN);
			atomic_fetch_add(&beside.pages, chunk / PAGE);
		}
		area_close(&area);
	}
	return NULL;
}

static uint64_t compute(uint64_t x)
{
	for (long i = 0; i < BLOCK_STEPS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void bystand(int kind, const char *name)
{
	long before[NR_COUNTERS], after[NR_COUNTERS], interrupted;
	uint64_t block[BLOCKS], start, ns;
	volatile uint64_t sink = 1;
	pthread_t load;

	beside.kind = kind;
	atomic_store(&beside.stop, false);
	atomic_store(&beside.pages, 0);
	if (pthread_create(&load, NULL, beside_load, NULL))
		die("pthread_create");
	sink = compute(sink);
	count(before);
	interrupted = interrupts(1);
	atomic_store(&beside.pages, 0);
	start = cycles();
	for (int i = 0; i < BLOCKS; i++) {
		uint64_t from = cycles();

		sink = compute(sink);
		block[i] = (cycles() - from) * ns_per_cycle;
	}
	ns = (cycles() - start) * ns_per_cycle;
	interrupted = interrupts(1) - interrupted;
	atomic_store(&beside.stop, true);
	count(after);
	pthread_join(load, NULL);
	qsort(block, BLOCKS, sizeof(*block), compare_u64);
	printf("sample bystander beside=%s | ns=%" PRIu64 " block=%" PRIu64 " longest=%" PRIu64 " ops=%d pages=%ld interrupted=%ld",
	       name, ns, block[BLOCKS / 2], block[BLOCKS - 1], BLOCKS,
	       atomic_load(&beside.pages), interrupted);
	print_counters(before, after);
}

static void figure_bystander(void)
{
	const long rounds = number("bench.rounds", 5);

	if (online() < 2) {
		errno = ENODEV;
		die("a bystander needs a second processor");
	}
	pin(1);
	for (int i = 0; i < rounds; i++) {
		bystand(-1, "nothing");
		bystand(MEMFD, "memfd");
		bystand(SECRET, "secret");
	}
	pin(0);
}

/*
 * A day: processes that talk to each other, that come and go, and that compile.
 */
#define GROUPS		4
#define SENDERS		4
#define MESSAGES	500
#define MESSAGE		100
#define EXECS		60
#define SOURCES		"/bench"

static void wait_all(int nr)
{
	int status;

	while (nr--) {
		if (wait(&status) < 0 || status) {
			printf("error: a process ended with status 0x%x\n", status);
			exit(1);
		}
	}
}

/* As many senders as receivers, each of which hears from all of them. */
static void talk(void)
{
	for (int g = 0; g < GROUPS; g++) {
		int in[SENDERS], out[SENDERS];

		for (int i = 0; i < SENDERS; i++) {
			int ends[2];

			if (pipe(ends))
				die("pipe");
			in[i] = ends[0];
			out[i] = ends[1];
		}
		for (int i = 0; i < 2 * SENDERS; i++) {
			char text[MESSAGE] = {};
			bool sends = i < SENDERS;
			ssize_t n = 0;
			long sum = 0;

			if (spawn())
				continue;
			for (int j = 0; j < SENDERS; j++) {
				if (sends)
					close(in[j]);
				else
					close(out[j]);
			}
			if (sends) {
				for (int k = 0; k < MESSAGES; k++)
					for (int j = 0; j < SENDERS; j++)
						if (write(out[j], text, MESSAGE) != MESSAGE)
							_exit(1);
				_exit(0);
			}
			while ((n = read(in[i - SENDERS], text, MESSAGE)) > 0)
				sum += n;
			_exit(n || sum != (long)SENDERS * MESSAGES * MESSAGE);
		}
		for (int i = 0; i < SENDERS; i++) {
			close(in[i]);
			close(out[i]);
		}
	}
	wait_all(GROUPS * 2 * SENDERS);
}

static void exec(const char *const *argv)
{
	char *const env[] = { NULL };
	pid_t pid;

	errno = posix_spawn(&pid, argv[0], NULL, NULL, (char *const *)argv, env);
	if (errno)
		die(argv[0]);
}

static void come_and_go(void)
{
	static const char * const argv[] = { "/bin/busybox", "true", NULL };

	for (int i = 0; i < EXECS; i++) {
		exec(argv);
		wait_all(1);
	}
}

static void compile(void)
{
	char source[256], output[256];
	const char *argv[] = { SOURCES "/cc1", "-fpreprocessed", "-quiet", "-O1", source, "-o", output, NULL };
	int nr = 0;

	for (;; nr++) {
		snprintf(source, sizeof(source), SOURCES "/%d.i", nr);
		snprintf(output, sizeof(output), "/tmp/%d.s", nr);
		if (access(source, F_OK))
			break;
		exec(argv);
	}
	if (!nr) {
		errno = ENOENT;
		die(SOURCES);
	}
	wait_all(nr);
	while (nr--) {
		snprintf(output, sizeof(output), "/tmp/%d.s", nr);
		if (unlink(output))
			die(output);
	}
}

static void day_part(const char *name, void (*run)(void))
{
	long before[NR_COUNTERS], after[NR_COUNTERS];
	struct rusage usage;
	uint64_t start, ns;
	int status;
	double cpu;
	pid_t pid;

	count(before);
	start = cycles();
	pid = spawn();
	if (!pid) {
		run();
		fflush(stdout);
		_exit(0);
	}
	if (wait4(pid, &status, 0, &usage) != pid || status)
		die(name);
	ns = (cycles() - start) * ns_per_cycle;
	count(after);
	/* With what its children had */
	cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
	      (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
	printf("sample day part=%s | ns=%" PRIu64 " cpu=%.0f faults=%ld ops=1", name, ns, cpu,
	       usage.ru_minflt);
	print_counters(before, after);
}

/* Secret memory comes and goes, a little at a time, and most of the time it is idle. */
static void churn(void)
{
	struct area area;

	for (;;) {
		area_open(&area, SECRET, 16 * MiB);
		area_map(&area, false);
		touch(area.mem, area.size, PATTERN);
		sleep_ms(20);
		area_close(&area);
		sleep_ms(20);
	}
}

static void figure_day(void)
{
	const long rounds = number("bench.rounds", 5);
	cpu_set_t all;
	pid_t pid = 0;

	/* All CPUs */
	memset(&all, 0xff, sizeof(all));
	if (sched_setaffinity(0, sizeof(all), &all))
		die("sched_setaffinity");
	if (in_use()) {
		pid = spawn();
		if (!pid)
			churn();
	}
	/* The first one reads the programs: not a sample */
	talk();
	come_and_go();
	compile();
	for (int i = 0; i < rounds; i++) {
		day_part("pipes", talk);
		day_part("exec", come_and_go);
		day_part("compile", compile);
	}
	if (pid) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	pin(0);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} figures[] = {
		{ "pagealloc", figure_pagealloc },
		{ "window", figure_window },
		{ "secret", figure_secret },
		{ "bystander", figure_bystander },
		{ "day", figure_day },
	};
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	const char *what = strdup(parameter("bench.what", ""));
	long after[NR_COUNTERS], none[NR_COUNTERS] = {};
	int done = 0;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("RLIMIT_MEMLOCK");
	pin(0);
	calibrate();
	printf("sample machine | cpus=%d memory=%ld has_unmapped=%d\n", online(),
	       read_meminfo("MemTotal"), has_unmapped());
	if (in_use())
		use();
	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++) {
		if (!listed(what, figures[i].name))
			continue;
		figures[i].run();
		done++;
	}
	if (!done) {
		errno = EINVAL;
		die("bench.what");
	}
	/* Since boot */
	count(after);
	printf("sample end |");
	print_counters(none, after);
	printf("done\n");
	return 0;
}
