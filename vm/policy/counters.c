// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel counts, results, and events. */
#include <linux/perf_event.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "program.h"
#include "unmapped_util.h"
#include "policy.h"

static int planned, done, failed;

void plan(int nr)
{
	planned = nr;
	printf("KTAP version 1\n1..%d\n", nr);
	fflush(stdout);
}

void figure(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("# ");
	vprintf(fmt, args);
	printf("\n");
	fflush(stdout);
	va_end(args);
}

static void result(bool right, const char *fmt, va_list args)
{
	printf("%sok %d ", right ? "" : "not ", ++done);
	vprintf(fmt, args);
	printf("\n");
	fflush(stdout);
	failed += !right;
}

void judge(bool right, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	result(right, fmt, args);
	va_end(args);
}

void prepared(bool is, const char *fmt, ...)
{
	va_list args;

	if (is)
		return;
	va_start(args, fmt);
	printf("# not prepared:\n");
	result(false, fmt, args);
	va_end(args);
	exit(1);
}

int skip(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("# skip: ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
	return 4;
}

int verdict(void)
{
	if (done != planned) {
		printf("not ok %d %d results, not %d\n", done + 1, done, planned);
		return 1;
	}
	return !!failed;
}

/*
 * Where a counter is, and what it is called. Where a name has several lines (of
 * zones), their sum.
 */
static const struct name {
	const char *shown, *file, *name;
} names[NR_COUNTERS] = {
#define VMSTAT		"/proc/vmstat"
#define ZONEINFO	"/proc/zoneinfo"
	[UNMAPPED]		= { "unmapped", VMSTAT, "nr_no_direct_map" },
	/* What is free (FREE_UNMAPPED) but for the next */
	[UNMAPPED_PARTIAL]	= { "partial", VMSTAT },
	[UNMAPPED_WHOLE]	= { "whole", VMSTAT, "nr_free_no_direct_map_whole" },
	[FLIP_UNMAP]		= { "flips", VMSTAT, "direct_map_flip_unmap" },
	[FLIP_FAIL]		= { "flips failed", VMSTAT, "direct_map_flip_fail" },
	[COMPACT_STALL]		= { "compact_stall", VMSTAT, "compact_stall" },
	[COMPACT_FAIL]		= { "compact_fail", VMSTAT, "compact_fail" },
	[KCOMPACTD_WAKE]	= { "kcompactd woken", VMSTAT, "compact_daemon_wake" },
	[KCOMPACTD_SCANNED]	= { "kcompactd scanned", VMSTAT, "compact_daemon_migrate_scanned" },
	[ALLOCSTALL]		= { "allocstall", VMSTAT, "allocstall_normal" },
	[PGSCAN_DIRECT]		= { "pgscan_direct", VMSTAT, "pgscan_direct" },
	[PGSTEAL_DIRECT]	= { "pgsteal_direct", VMSTAT, "pgsteal_direct" },
	[PGSCAN_KSWAPD]		= { "pgscan_kswapd", VMSTAT, "pgscan_kswapd" },
	[PGSTEAL_KSWAPD]	= { "pgsteal_kswapd", VMSTAT, "pgsteal_kswapd" },
	[OOM_KILL]		= { "oom_kill", VMSTAT, "oom_kill" },
	[BOOST]			= { "boost", ZONEINFO, "boost" },
};

#define FREE_UNMAPPED	"nr_free_no_direct_map"

static char text[262144];

/* The sum of the lines of @name in @text, or -1. */
static long sum_of(const char *name)
{
	const size_t len = strlen(name);
	long sum = -1;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, " \n");
		if (strncmp(line, name, len) || (line[len] != ' ' && line[len] != ':'))
			continue;
		sum = (sum < 0 ? 0 : sum) + strtol(line + len + 1, NULL, 10);
	}
	return sum;
}

static long read_counter(enum counter c)
{
	long n = -1;

	slurp(names[c].file, text, sizeof(text));
	if (names[c].name)
		n = sum_of(names[c].name);
	if (c == UNMAPPED_PARTIAL) {
		n = sum_of(FREE_UNMAPPED);
		if (n >= 0)
			n -= sum_of(names[UNMAPPED_WHOLE].name);
	}
	/* A kernel has the allocator's stalls by zone */
	if (c == ALLOCSTALL) {
		n = 0;
		for (const char *p = text; (p = strstr(p, "allocstall_")); p++)
			n += strtol(strchr(p, ' '), NULL, 10);
	}
	return n;
}

bool has_counter(enum counter c)
{
	return read_counter(c) >= 0;
}

long counter(enum counter c)
{
	long n = read_counter(c);

	if (n < 0)
		prepared(false, "the kernel counts \"%s\"", names[c].shown);
	return n;
}

struct counts counts(void)
{
	struct counts now;

	/* Fold the per-CPU differences in */
	read_vmstat("nr_free_pages");
	for (int c = 0; c < NR_COUNTERS; c++)
		now.n[c] = read_counter(c);
	return now;
}

long since(const struct counts *then, enum counter c)
{
	return counter(c) - then->n[c];
}

void print_since(const struct counts *then, const char *what)
{
	struct counts now = counts();
	char line[1024];
	size_t len = 0;

	line[0] = 0;
	for (int c = 0; c < NR_COUNTERS; c++) {
		if (now.n[c] == then->n[c])
			continue;
		len += snprintf(line + len, sizeof(line) - len, ", %s %+ld",
				names[c].shown, now.n[c] - then->n[c]);
	}
	figure("%s%s", what, len ? line : ": nothing counted");
}

/* A request that fails has compacted once at most, and so has one that had a block */
void judge_compactions(const struct counts *then, int failures, const char *who)
{
	judge(since(then, COMPACT_STALL) <= failures + since(then, FLIP_UNMAP) + BYSTANDERS,
	      "%s: one compaction a failing request at most", who);
}

int read_zones(struct zone zones[MAX_ZONES])
{
	static const struct { const char *name; size_t at; } fields[] = {
#define AT(f)	offsetof(struct zone, f)
		{ "pages free", AT(free) }, { "boost", AT(boost) }, { "min", AT(min) },
		{ "low", AT(low) }, { "high", AT(high) }, { "managed", AT(managed) },
		{ "nr_no_direct_map", AT(unmapped) }, { "nr_free_pages_blocks", AT(blocks) },
		{ "nr_free_no_direct_map_whole", AT(whole) }, { FREE_UNMAPPED, AT(partial) },
	};
	struct zone *z = NULL;
	int nr = 0;

	read_vmstat("nr_free_pages");
	slurp(ZONEINFO, text, sizeof(text));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		struct zone head = {};

		if (sscanf(line, "Node %d, zone %15s", &head.node, head.name) == 2) {
			if (z && z->managed)
				nr++;
			if (nr == MAX_ZONES)
				break;
			z = &zones[nr];
			*z = head;
			continue;
		}
		if (!z)
			continue;
		line += strspn(line, " ");
		for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
			const size_t len = strlen(fields[i].name);

			/* With a colon it is of a per-CPU list */
			if (strncmp(line, fields[i].name, len) || line[len] != ' ')
				continue;
			*(long *)((char *)z + fields[i].at) = strtol(line + len + 1, NULL, 10);
		}
	}
	if (z && nr < MAX_ZONES && z->managed)
		nr++;
	/* All that is free in such blocks, until here */
	for (int i = 0; i < nr; i++)
		zones[i].partial -= zones[i].whole;
	return nr;
}

long listed(int cpu)
{
	long sum = 0, count;
	int at = -1;

	slurp(ZONEINFO, text, sizeof(text));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		sscanf(line, " cpu: %d", &at);
		if (at == cpu && sscanf(line, " count: %ld", &count) == 1)
			sum += count;
	}
	return sum;
}

long free_blocks(int order, const char *type)
{
	char line[512], name[32], *at;
	FILE *f = fopen("/proc/pagetypeinfo", "r");
	long sum = 0;

	if (!f)
		die("/proc/pagetypeinfo");
	while (fgets(line, sizeof(line), f)) {
		at = strstr(line, ", type ");
		if (!strncmp(line, "Number of", 9))
			break;
		if (!at || sscanf(at, ", type %31s", name) != 1 || (type && strcmp(name, type)))
			continue;
		at = strstr(at, name) + strlen(name);
		for (int i = 0; i < order; i++)
			strtol(at, &at, 10);
		sum += strtol(at, &at, 10);
	}
	fclose(f);
	return sum;
}

struct zone large_zone(void)
{
	struct zone zones[MAX_ZONES];
	int nr = read_zones(zones), most = 0;

	prepared(nr > 0, "/proc/zoneinfo is read");
	for (int i = 1; i < nr; i++) {
		if (zones[i].managed > zones[most].managed)
			most = i;
	}
	return zones[most];
}

struct events *events_open(const char *name, const char *filter)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	struct events *e = calloc(1, sizeof(*e));
	char path[128], id[32];

	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", name);
	slurp(path, id, sizeof(id));
	attr.config = strtoul(id, NULL, 10);
	e->nr = sysconf(_SC_NPROCESSORS_ONLN);
	for (int cpu = 0; cpu < e->nr; cpu++) {
		e->fd[cpu] = syscall(__NR_perf_event_open, &attr, -1, cpu, -1, 0);
		if (e->fd[cpu] < 0)
			die("perf_event_open");
		if (filter && ioctl(e->fd[cpu], PERF_EVENT_IOC_SET_FILTER, filter))
			die(filter);
	}
	return e;
}

long events_count(const struct events *e)
{
	long sum = 0;

	for (int cpu = 0; cpu < e->nr; cpu++) {
		uint64_t n;

		if (read(e->fd[cpu], &n, sizeof(n)) != sizeof(n))
			die("reading an event");
		sum += n;
	}
	return sum;
}
