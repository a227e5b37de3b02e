// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load of bench/fragmentation, inside the test machine.
 *
 * A fixed amount of work, drawn from a seed: page cache that is read and
 * reclaimed, anonymous memory, small and huge, kernel memory that cannot be
 * moved, and secret memory coming and going in random sizes, on a machine that
 * is as good as full. One actor at a time does its part of a round, so that
 * what it costs is its own: what secret memory costs in TLB flushes would drown
 * in those of user memory otherwise.
 *
 * Prints a line of CSV after each part. bench/fragmentation judges.
 *
 * Reads from the kernel's command line:
 *   fragment.seed=N	what all is drawn from
 *   fragment.rounds=N	how much work
 *   fragment.pool=N	written to vm.no_direct_map_pool_blocks, if there is one
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "program.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE		4096UL
#define HUGE		(512 * PAGE)
#define MIB_PAGES	256UL
#define MIB(n)		((n) * MIB_PAGES)

/*
 * The load, in pages, made for 4 GiB: of the 3.9 GiB that such a machine has, all
 * but 15 % are in use and cannot be reclaimed. The rest is page cache.
 */
#define BUDGET		MIB(2900)	/* anonymous and secret memory together */
#define SLAB		MIB(400)
#define SECRET_LEAST	MIB(64)
#define SECRET_MOST	MIB(576)
#define WAVE		12		/* rounds from least to most and back */
#define ANON_CHURN	MIB(48)		/* a round, beside the wave */
#define SLAB_CHURN	MIB(24)
#define SECRET_CHURN	MIB(32)
#define CACHE_CHURN	MIB(96)
#define CACHE_FILE	(16ULL << 30)
#define CACHE_HOT	(256ULL << 20)

/*
 * Each actor draws from a sequence of its own, and none asks the machine: what
 * is requested is the same everywhere, whatever comes of it.
 */
struct rng {
	uint64_t state;
};

static void rng_seed(struct rng *rng, uint64_t seed, unsigned int actor)
{
	/* splitmix64: neighbouring seeds must not give similar sequences */
	uint64_t z = seed + 0x9e3779b97f4a7c15ULL * (actor + 1);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	rng->state = (z ^ (z >> 31)) | 1;
}

static uint64_t rng_next(struct rng *rng)
{
	uint64_t x = rng->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	rng->state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

static uint64_t below(struct rng *rng, uint64_t limit)
{
	return (rng_next(rng) >> 11) % limit;
}

/* From @least to @most, each doubling as likely as the next. */
static uint64_t log_uniform(struct rng *rng, uint64_t least, uint64_t most)
{
	unsigned int doublings = 0;
	uint64_t base, n;

	while (least << (doublings + 1) <= most)
		doublings++;
	base = least << below(rng, doublings + 1);
	n = base + below(rng, base);
	return n < most ? n : most;
}

/* What went wrong, by kind. */
enum failure {
	F_SECRET, F_ANON, F_THP, F_SLAB, F_CACHE, F_PROBE_THP, F_PROBE_RING4,
	F_PROBE_RING6, F_PROBE_RING9, NR_FAILURES
};

#define BOTH(kind)	"fail_" kind, "try_" kind

static const struct {
	const char *failed, *tried;
} failure_names[NR_FAILURES] = {
	[F_SECRET]	= { BOTH("secret") },		/* a region: SIGBUS */
	[F_ANON]	= { BOTH("anon") },		/* a region: ENOMEM */
	[F_THP]		= { BOTH("thp") },		/* a huge page in it: small ones instead */
	[F_SLAB]	= { BOTH("slab") },		/* a system call: ENOMEM */
	[F_CACHE]	= { BOTH("cache") },		/* a read */
	[F_PROBE_THP]	= { BOTH("probe_thp") },	/* a huge page, movable */
	[F_PROBE_RING4]	= { BOTH("probe_order4") },	/* unmovable and contiguous */
	[F_PROBE_RING6]	= { BOTH("probe_order6") },
	[F_PROBE_RING9]	= { BOTH("probe_order9") },
};

static uint64_t failures[NR_FAILURES], tries[NR_FAILURES];
static uint64_t secret_missing;		/* pages of secret memory not had */
static uint64_t secret_pages;		/* had, over the whole run */

enum { T_ANON, T_CACHE, T_SLAB, T_FAULT, T_FREE, T_PROBE, NR_TIMES };

static const char *const time_names[NR_TIMES] = {
	"ms_anon", "ms_cache", "ms_slab", "ms_secret_fault", "ms_secret_free", "ms_probe",
};

static uint64_t times[NR_TIMES];

/* /proc and /sys */

static bool set(const char *file, const char *value)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	if (fd >= 0)
		close(fd);
	return ok;
}

static void must_set(const char *file, const char *value)
{
	if (!set(file, value))
		die(file);
}

/* The sum of all lines with @key; "key*" begins with it. -1: there is none. */
static long lookup_sum(const char *text, const char *key)
{
	size_t len = strcspn(key, "*");
	bool prefix = key[len];
	long sum = -1;

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len))
			continue;
		if (!prefix && line[len] != ' ' && line[len] != '\t')
			continue;
		sum = (sum < 0 ? 0 : sum) + strtol(line + strcspn(line, " \t\n"), NULL, 10);
	}
	return sum;
}

/* What is counted by the kernel since it started; here, since the load did. */
static const struct {
	const char *name;
	const char *key;
} counters[] = {
	{ "oom_kill",		"oom_kill" },
	{ "allocstall",		"allocstall_*" },
	{ "pgscan_kswapd",	"pgscan_kswapd" },
	{ "pgscan_direct",	"pgscan_direct" },
	{ "pgsteal_kswapd",	"pgsteal_kswapd" },
	{ "pgsteal_direct",	"pgsteal_direct" },
	{ "compact_stall",	"compact_stall" },
	{ "compact_fail",	"compact_fail" },
	{ "compact_success",	"compact_success" },
	{ "compact_wake",	"compact_daemon_wake" },
	{ "compact_migrate",	"compact_migrate_scanned" },
	{ "compact_free",	"compact_free_scanned" },
	{ "migrated",		"pgmigrate_success" },
	{ "migrate_failed",	"pgmigrate_fail" },
	{ "split2m",		"direct_map_level2_splits" },
	{ "split1g",		"direct_map_level3_splits" },
	{ "flip_unmap",		"direct_map_flip_unmap" },
	{ "flip_remap",		"direct_map_flip_remap" },
	{ "flip_fail",		"direct_map_flip_fail" },
	{ "own_shootdown",	"direct_map_shootdown" },
	{ "zeroed",		"no_direct_map_zeroed_pages" },
};

#define NR_COUNTERS (sizeof(counters) / sizeof(*counters))

static long counted_before[NR_COUNTERS];
static char vmstat[32768];

static void read_vmstat(void)
{
	if (!slurp_if("/proc/vmstat", vmstat, sizeof(vmstat)))
		die("/proc/vmstat");
}

static long counted(unsigned int i)
{
	long value = lookup_sum(vmstat, counters[i].key);

	return value < 0 ? -1 : value - counted_before[i];
}

/*
 * How often CPUs were told by another one to do something, all CPUs together.
 * Those that came for a TLB flush are among the function calls.
 */
static long function_calls(void)
{
	static char text[65536];
	long sum = 0;

	slurp("/proc/interrupts", text, sizeof(text));
	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		char *p, *end;

		line += strspn(line, " \n");
		if (strncmp(line, "CAL:", 4))
			continue;
		for (p = line + 4; ; p = end) {
			long n = strtol(p, &end, 10);

			if (p == end)
				break;
			sum += n;
		}
	}
	return sum;
}

/*
 * What a part of the secret actor's work cost in TLB flushes. A kernel page that
 * is flushed adds one for each CPU to "one", a larger range one for each CPU to
 * "received", and either interrupts all CPUs but one. So do the flushes of user
 * pages that are moved to make room; "one" has flushes that no other CPU hears
 * of, too.
 */
struct flushes {
	long one, received, interrupts, own;
};

enum { FREE, FAULT, NR_PARTS };
static struct flushes secret_flushes[NR_PARTS];

static struct flushes read_flushes(void)
{
	struct flushes f;

	read_vmstat();
	f.one = lookup_sum(vmstat, "nr_tlb_local_flush_one");
	f.received = lookup_sum(vmstat, "nr_tlb_remote_flush_received");
	f.own = lookup_sum(vmstat, "direct_map_shootdown");
	f.interrupts = function_calls();
	if (f.one < 0 || f.received < 0) {
		errno = ENODATA;
		die("/proc/vmstat does not count TLB flushes (CONFIG_DEBUG_TLBFLUSH)");
	}
	return f;
}

static struct flushes add_flushes(int part, struct flushes before)
{
	struct flushes *sum = &secret_flushes[part], after = read_flushes();

	sum->one += after.one - before.one;
	sum->received += after.received - before.received;
	sum->interrupts += after.interrupts - before.interrupts;
	sum->own += after.own - before.own;
	return after;
}

/* Free memory, as /proc/pagetypeinfo has it. */
struct free_memory {
	int largest_mapped;	/* order; -1 without any */
	int largest;		/* of what an ordinary caller can have */
	long mapped_blocks;	/* room for that many free 2 MiB blocks */
	long whole_unmapped;	/* wholly free unmapped blocks */
	long partial_unmapped;	/* free pages in the others */
};

static void read_free(struct free_memory *f)
{
	static char text[65536];

	*f = (struct free_memory){ .largest_mapped = -1, .largest = -1 };
	if (!slurp_if("/proc/pagetypeinfo", text, sizeof(text)))
		die("/proc/pagetypeinfo");
	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		char zone[32], type[32];
		int node, at;
		bool unmapped;

		line += *line == '\n';
		if (!strncmp(line, "Number of blocks", 16))
			break;
		if (sscanf(line, "Node %d, zone %31[^,], type %31s%n", &node, zone, type, &at) != 3)
			continue;
		/* The first 16 MiB are kept from everybody who can do without. */
		if (!strcmp(zone, "DMA") || !strcmp(type, "HighAtomic") ||
		    !strcmp(type, "Isolate"))
			continue;
		unmapped = strcasestr(type, "unmapped");
		line += at;
		for (int order = 0; order <= 10; order++) {
			long n;

			line += strspn(line, " >");
			n = strtol(line, &line, 10);
			if (!n)
				continue;
			/* A wholly free unmapped block is had back by a remap. */
			if (order > f->largest && (!unmapped || order >= 9))
				f->largest = order;
			if (order > f->largest_mapped && !unmapped)
				f->largest_mapped = order;
			if (unmapped && order < 9)
				f->partial_unmapped += n << order;
			else if (order >= 9)
				*(unmapped ? &f->whole_unmapped : &f->mapped_blocks) +=
					n << (order - 9);
		}
	}
}

/* The seconds that samples take are not the load's. */
static uint64_t start_ns, sampling_ns;
static unsigned long secret_live;

static void sample(int round, const char *actor)
{
	static char meminfo[8192];
	static bool header;
	struct free_memory f;
	uint64_t begin = now_ns();

	/* Per-CPU remainders of the statistics are folded in. */
	set("/proc/sys/vm/stat_refresh", "1");
	read_free(&f);
	read_vmstat();
	if (!slurp_if("/proc/meminfo", meminfo, sizeof(meminfo)))
		die("/proc/meminfo");

	/* Twice the first time: the columns' names, a line each, and their values. */
	for (bool names = !header; ; names = false) {
#define COL(name, format, value) do {						\
		if (names)							\
			printf("column %s\n", name);				\
		else								\
			printf("," format, value);				\
	} while (0)
#define ITEM(name, key) COL(name, "%ld", lookup_sum(vmstat, key))
		if (names)
			printf("column round\ncolumn actor\n");
		else
			printf("csv %d,%s", round, actor);
		COL("ms", "%" PRIu64, (begin - start_ns - sampling_ns) / 1000000);
		ITEM("free", "nr_free_pages");
		ITEM("file", "nr_file_pages");
		ITEM("anon", "nr_anon_pages");
		ITEM("thp", "nr_anon_transparent_hugepages");
		ITEM("slab_r", "nr_slab_reclaimable");
		ITEM("slab_u", "nr_slab_unreclaimable");
		COL("secret", "%lu", secret_live);
		COL("largest", "%d", f.largest);
		COL("largest_mapped", "%d", f.largest_mapped);
		COL("mapped_blocks", "%ld", f.mapped_blocks);
		COL("whole_unmapped", "%ld", f.whole_unmapped);
		COL("partial_unmapped", "%ld", f.partial_unmapped);
		ITEM("unmapped", "nr_no_direct_map");
		ITEM("free_unmapped", "nr_free_no_direct_map");
		COL("dm4k", "%ld", lookup_sum(meminfo, "DirectMap4k:"));
		COL("dm2m", "%ld", lookup_sum(meminfo, "DirectMap2M:"));
		COL("dm1g", "%ld", lookup_sum(meminfo, "DirectMap1G:"));
		COL("fault_one", "%ld", secret_flushes[FAULT].one);
		COL("fault_received", "%ld", secret_flushes[FAULT].received);
		COL("fault_interrupts", "%ld", secret_flushes[FAULT].interrupts);
		COL("fault_own", "%ld", secret_flushes[FAULT].own);
		COL("free_received", "%ld", secret_flushes[FREE].received);
		COL("free_interrupts", "%ld", secret_flushes[FREE].interrupts);
		COL("free_own", "%ld", secret_flushes[FREE].own);
		COL("secret_pages", "%" PRIu64, secret_pages);
		COL("secret_missing", "%" PRIu64, secret_missing);
		for (int i = 0; i < NR_FAILURES; i++)
			COL(failure_names[i].failed, "%" PRIu64, failures[i]);
		for (int i = 0; i < NR_FAILURES; i++)
			COL(failure_names[i].tried, "%" PRIu64, tries[i]);
		for (int i = 0; i < NR_TIMES; i++)
			COL(time_names[i], "%" PRIu64, times[i] / 1000000);
		for (unsigned int i = 0; i < NR_COUNTERS; i++)
			COL(counters[i].name, "%ld", counted(i));
#undef ITEM
#undef COL
		if (!names)
			break;
	}
	printf("\n");
	header = true;
	fflush(stdout);
	sampling_ns += now_ns() - begin;
}

static void run_on(unsigned int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity");
}

/*
 * Anonymous memory, in a process of its own: if memory runs out this is what the
 * kernel is to kill, so that the rest can count it.
 */
struct order {
	unsigned long target, churn;	/* pages */
	unsigned int cpu;
};

struct report {
	uint64_t failed, tried;
};

struct region {
	char *p;
	unsigned long pages;	/* as requested */
	unsigned long had;
	int fd;
};

#define MAX_REGIONS 65536

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

		run_on(order.cpu);
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

static void anon_start(uint64_t seed)
{
	static unsigned int life;
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		die("pipe");
	anon_pid = fork();
	if (anon_pid < 0)
		die("fork");
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

static long thp_counter(const char *key)
{
	read_vmstat();
	return lookup_sum(vmstat, key);
}

static void anon_step(uint64_t seed, unsigned long target, unsigned long churn, unsigned int cpu)
{
	struct order order = { .target = target, .churn = churn, .cpu = cpu };
	long alloc = thp_counter("thp_fault_alloc");
	long fallback = thp_counter("thp_fault_fallback");
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
	fallback = thp_counter("thp_fault_fallback") - fallback;
	failures[F_THP] += fallback;
	tries[F_THP] += fallback + thp_counter("thp_fault_alloc") - alloc;
}

/* Page cache */
static int cache_fd = -1;

static void cache_step(struct rng *rng, unsigned long pages)
{
	static char buffer[128 * 1024];
	uint64_t begin = now_ns();
	uint64_t todo = pages * PAGE;

	while (todo) {
		uint64_t len = log_uniform(rng, 4, 1024) * PAGE;
		uint64_t at = below(rng, 2) ? below(rng, CACHE_HOT / PAGE) * PAGE
					    : below(rng, CACHE_FILE / PAGE - 1024) * PAGE;

		if (len > todo)
			len = todo;
		todo -= len;
		tries[F_CACHE]++;
		while (len) {
			ssize_t n = pread(cache_fd, buffer,
					  len < sizeof(buffer) ? len : sizeof(buffer), at);

			if (n <= 0) {
				failures[F_CACHE]++;
				break;
			}
			at += n;
			len -= n;
		}
	}
	times[T_CACHE] += now_ns() - begin;
}

/*
 * Kernel memory that cannot be moved: messages of all sizes in System V queues,
 * pipes with rings of all sizes and pages in them, files and directories in
 * tmpfs, eventfds in epoll sets.
 */
enum object_type { QUEUE, PIPE, FILES, EVENTS, NR_OBJECT_TYPES };

#define FILES_EACH	128
#define EVENTS_EACH	64

struct object {
	enum object_type type;
	int id;			/* of the queue; of the directory */
	int fd[EVENTS_EACH + 1];
	unsigned long bytes;	/* about; as requested */
};

#define MAX_OBJECTS 16384

static struct object *objects[MAX_OBJECTS];
static unsigned int nr_objects;
static unsigned long objects_bytes;

/* Want of memory is what is counted; anything else would be a mistake here. */
static bool slab_failed(bool failed, const char *what)
{
	tries[F_SLAB]++;
	if (!failed)
		return false;
	if (errno != ENOMEM)
		die(what);
	failures[F_SLAB]++;
	return true;
}

static struct object *object_new(struct rng *rng)
{
	static struct { long type; char text[65536]; } message = { .type = 1 };
	static char page[PAGE], path[64];
	static int nr_dirs;
	struct object *o = malloc(sizeof(*o));
	unsigned long n;

	if (!o)
		die("malloc");
	o->type = below(rng, 8);
	/* Half of all objects are queues: they hold the most. */
	if (o->type >= NR_OBJECT_TYPES)
		o->type = QUEUE;
	o->bytes = 0;
	o->id = -1;
	for (int i = 0; i <= EVENTS_EACH; i++)
		o->fd[i] = -1;

	switch (o->type) {
	case QUEUE:
		o->id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
		n = 16 + below(rng, 48);
		for (unsigned long i = 0; i < n; i++) {
			unsigned long size = log_uniform(rng, 64, 65536);

			o->bytes += size;
			if (o->id >= 0 && slab_failed(msgsnd(o->id, &message, size, IPC_NOWAIT),
						      "msgsnd"))
				continue;
		}
		slab_failed(o->id < 0, "msgget");
		break;
	case PIPE:
		n = log_uniform(rng, 16, 512);
		o->bytes = n * PAGE;
		if (slab_failed(pipe2(o->fd, O_CLOEXEC | O_NONBLOCK), "pipe"))
			break;
		/* A ring of 40 bytes a page */
		if (slab_failed(fcntl(o->fd[1], F_SETPIPE_SZ, n * PAGE) < 0, "F_SETPIPE_SZ"))
			n = 16;
		for (unsigned long i = 0; i < n; i++)
			if (slab_failed(write(o->fd[1], page, PAGE) != (ssize_t)PAGE,
					"writing to a pipe"))
				break;
		break;
	case FILES:
		o->id = nr_dirs++;
		o->bytes = FILES_EACH * 1024;
		snprintf(path, sizeof(path), "/run/files/%d", o->id);
		if (slab_failed(mkdir(path, 0700), "mkdir")) {
			o->id = -1;
			break;
		}
		for (int i = 0; i < FILES_EACH; i++) {
			int fd;

			snprintf(path, sizeof(path), "/run/files/%d/%d", o->id, i);
			fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
			if (!slab_failed(fd < 0, path))
				close(fd);
		}
		break;
	case EVENTS:
	default:
		o->bytes = EVENTS_EACH * 768;
		o->fd[EVENTS_EACH] = epoll_create1(EPOLL_CLOEXEC);
		if (slab_failed(o->fd[EVENTS_EACH] < 0, "epoll_create1"))
			break;
		for (int i = 0; i < EVENTS_EACH; i++) {
			struct epoll_event event = { .events = EPOLLIN };

			o->fd[i] = eventfd(0, EFD_CLOEXEC);
			if (!slab_failed(o->fd[i] < 0, "eventfd"))
				slab_failed(epoll_ctl(o->fd[EVENTS_EACH], EPOLL_CTL_ADD,
						      o->fd[i], &event), "epoll_ctl");
		}
		break;
	}
	return o;
}

static void object_free(struct object *o)
{
	char path[64];

	for (int i = 0; i <= EVENTS_EACH; i++)
		if (o->fd[i] >= 0)
			close(o->fd[i]);
	if (o->type == QUEUE && o->id >= 0 && msgctl(o->id, IPC_RMID, NULL))
		die("msgctl");
	if (o->type == FILES && o->id >= 0) {
		for (int i = 0; i < FILES_EACH; i++) {
			snprintf(path, sizeof(path), "/run/files/%d/%d", o->id, i);
			unlink(path);
		}
		snprintf(path, sizeof(path), "/run/files/%d", o->id);
		rmdir(path);
	}
	free(o);
}

static void slab_step(struct rng *rng, unsigned long target, unsigned long churn)
{
	uint64_t begin = now_ns();

	while (nr_objects && objects_bytes + churn * PAGE > target * PAGE) {
		unsigned int i = below(rng, nr_objects);

		objects_bytes -= objects[i]->bytes;
		object_free(objects[i]);
		objects[i] = objects[--nr_objects];
	}
	while (objects_bytes < target * PAGE && nr_objects < MAX_OBJECTS) {
		objects[nr_objects] = object_new(rng);
		objects_bytes += objects[nr_objects++]->bytes;
	}
	times[T_SLAB] += now_ns() - begin;
}

static void slab_open(void)
{
	must_set("/proc/sys/kernel/msgmax", "65536");
	must_set("/proc/sys/kernel/msgmnb", "67108864");
	must_set("/proc/sys/kernel/msgmni", "32000");
	mkdir("/run/files", 0755);
	if (mount("tmpfs", "/run/files", "tmpfs", 0, "nr_inodes=0"))
		die("mounting tmpfs");
}

/* Secret memory: touched page by page. No page: SIGBUS. */
static struct region secrets[MAX_REGIONS];
static unsigned int nr_secrets;
static unsigned long secret_requested;
static sigjmp_buf no_page;

static void on_sigbus(int nr)
{
	(void)nr;
	siglongjmp(no_page, 1);
}

static void secret_new(struct region *r, unsigned long pages)
{
	volatile unsigned long had = 0;

	r->pages = pages;
	r->had = 0;
	r->p = MAP_FAILED;
	tries[F_SECRET]++;
	r->fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	if (r->fd >= 0 && !ftruncate(r->fd, pages * PAGE))
		r->p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (r->p == MAP_FAILED) {
		if (errno != ENOMEM)
			die("memfd_secret");
		failures[F_SECRET]++;
		secret_missing += pages;
		return;
	}
	if (!sigsetjmp(no_page, 0)) {
		for (; had < pages; had++)
			*(volatile char *)(r->p + had * PAGE) = 1;
	} else {
		failures[F_SECRET]++;
		secret_missing += pages - had;
	}
	r->had = had;
	secret_pages += had;
	secret_live += had;
}

static void secret_free(struct region *r)
{
	if (r->p != MAP_FAILED && munmap(r->p, r->pages * PAGE))
		die("munmap");
	if (r->fd >= 0)
		close(r->fd);
	secret_live -= r->had;
	secret_requested -= r->pages;
}

static void secret_step(struct rng *rng, unsigned long target, unsigned long churn)
{
	struct flushes before = read_flushes();
	uint64_t begin = now_ns();

	while (nr_secrets && secret_requested + churn > target) {
		unsigned int i = below(rng, nr_secrets);

		secret_free(&secrets[i]);
		secrets[i] = secrets[--nr_secrets];
	}
	times[T_FREE] += now_ns() - begin;
	before = add_flushes(FREE, before);

	begin = now_ns();
	while (secret_requested < target && nr_secrets < MAX_REGIONS) {
		unsigned long pages = log_uniform(rng, 1, MIB(64));

		if (pages > target - secret_requested)
			pages = target - secret_requested;
		secret_requested += pages;
		secret_new(&secrets[nr_secrets++], pages);
	}
	times[T_FAULT] += now_ns() - begin;
	add_flushes(FAULT, before);
}

/* Memory that is contiguous, as much as @nr huge pages: how many are had? */
static unsigned int probe_thp(unsigned int nr)
{
	size_t size = (nr + 1) * HUGE;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *aligned = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	long alloc;

	if (p == MAP_FAILED)
		die("mmap");
	alloc = thp_counter("thp_fault_alloc");
	if (madvise(aligned, nr * HUGE, MADV_HUGEPAGE))
		die("madvise");
	/* One touch each: what falls back takes one small page. */
	for (unsigned int i = 0; i < nr; i++)
		if (madvise(aligned + i * HUGE, PAGE, MADV_POPULATE_WRITE))
			break;
	alloc = thp_counter("thp_fault_alloc") - alloc;
	munmap(p, size);
	return alloc;
}

/* A pipe's ring is one piece of unmovable memory: 40 bytes for each page. */
static void probe_ring(enum failure kind, unsigned int order, unsigned int nr)
{
	unsigned long slots = (PAGE << order) / 64;
	int fd[16][2];

	for (unsigned int i = 0; i < nr; i++) {
		if (pipe2(fd[i], O_CLOEXEC))
			die("pipe");
		tries[kind]++;
		if (fcntl(fd[i][1], F_SETPIPE_SZ, slots * PAGE) < 0) {
			if (errno != ENOMEM)
				die("F_SETPIPE_SZ");
			failures[kind]++;
		}
	}
	for (unsigned int i = 0; i < nr; i++) {
		close(fd[i][0]);
		close(fd[i][1]);
	}
}

static void probe_step(void)
{
	enum { HUGE_PAGES = 16 };
	uint64_t begin = now_ns();

	tries[F_PROBE_THP] += HUGE_PAGES;
	failures[F_PROBE_THP] += HUGE_PAGES - probe_thp(HUGE_PAGES);
	probe_ring(F_PROBE_RING4, 4, 16);
	probe_ring(F_PROBE_RING6, 6, 8);
	probe_ring(F_PROBE_RING9, 9, 4);
	times[T_PROBE] += now_ns() - begin;
}

/* Up and down: how much secret memory there is in @round. */
static unsigned long wave(int round)
{
	int at = round % WAVE;

	if (at > WAVE / 2)
		at = WAVE - at;
	return SECRET_LEAST + (SECRET_MOST - SECRET_LEAST) * at / (WAVE / 2);
}

int main(void)
{
	uint64_t seed = number("fragment.seed", 1);
	int rounds = number("fragment.rounds", 40);
	long pool = number("fragment.pool", -1);
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit files = { 1 << 19, 1 << 19 };
	struct sigaction sa = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };
	struct rng who, cache, slab, secret;
	static char text[8192];
	int ramp, cpus = sysconf(_SC_NPROCESSORS_ONLN);

	setvbuf(stdout, NULL, _IOFBF, 65536);
	signal(SIGPIPE, SIG_IGN);
	if (sigaction(SIGBUS, &sa, NULL))
		die("sigaction");
	/* Secret memory is locked memory. */
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) || setrlimit(RLIMIT_NOFILE, &files))
		die("setrlimit");
	must_set("/proc/self/oom_score_adj", "-1000");
	must_set("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	must_set("/sys/kernel/mm/transparent_hugepage/defrag", "always");
	/* It would do more or less work depending on how fast the machine is. */
	must_set("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
		 "100000000");
	slab_open();
	cache_fd = cache_open(CACHE_FILE);

	if (!slurp_if("/proc/sys/vm/no_direct_map_pool_blocks", text, sizeof(text))) {
		printf("pool missing\n");
	} else {
		if (pool >= 0) {
			snprintf(text, sizeof(text), "%ld", pool);
			must_set("/proc/sys/vm/no_direct_map_pool_blocks", text);
		}
		printf("pool %d\n", atoi(text));
	}
	if (!slurp_if("/proc/meminfo", text, sizeof(text)))
		die("/proc/meminfo");
	printf("seed %" PRIu64 "\nrounds %d\ncpus %d\nmemory %ld\n", seed, rounds, cpus,
	       lookup_sum(text, "MemTotal:"));

	rng_seed(&who, seed, 0);
	rng_seed(&cache, seed, 1);
	rng_seed(&slab, seed, 2);
	rng_seed(&secret, seed, 3);
	anon_start(seed);
	read_vmstat();
	for (unsigned int i = 0; i < NR_COUNTERS; i++)
		counted_before[i] = lookup_sum(vmstat, counters[i].key);
	start_ns = now_ns();
	sample(-1, "start");

	/*
	 * The machine fills up in the first rounds, all actors in turn, so that
	 * their memory is mixed.
	 */
	ramp = rounds / 5 < 4 ? 4 : rounds / 5;
	for (int round = 0; round < rounds; round++) {
		int part = round < ramp ? round + 1 : ramp;
		unsigned long level = wave(round);
		unsigned int cpu = below(&who, cpus);

		run_on(cpu);
		anon_step(seed, (BUDGET - level) * part / ramp, ANON_CHURN, cpu);
		sample(round, "anon");
		cache_step(&cache, round < ramp ? MIB(3072) / ramp : CACHE_CHURN);
		sample(round, "cache");
		slab_step(&slab, SLAB * part / ramp, SLAB_CHURN);
		sample(round, "slab");
		secret_step(&secret, level * part / ramp, SECRET_CHURN);
		sample(round, "secret");
		probe_step();
		sample(round, "probe");
	}

	/* All is given back. What can be had of the memory now? */
	secret_step(&secret, 0, 0);
	sample(rounds, "no-secret");
	anon_step(seed, 0, 0, 0);
	slab_step(&slab, 0, 0);
	must_set("/proc/sys/vm/drop_caches", "3");
	must_set("/proc/sys/vm/compact_memory", "1");
	sample(rounds, "empty");
	printf("huge %u of %u\n", probe_thp(1536), 1536);
	sample(rounds, "end");
	printf("done\n");
	fflush(stdout);
	kill(anon_pid, SIGKILL);
	return 0;
}
