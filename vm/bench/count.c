// SPDX-License-Identifier: GPL-2.0-only
/* The clock, what the kernel counts, what is asked for. */
#include "bench.h"

double ns_per_cycle;

static double monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

void clock_calibrate(void)
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

_Static_assert(sizeof(counters) / sizeof(*counters) == NR_COUNTERS, "bench.h says how many");

void read_counters(long value[NR_COUNTERS])
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

void print_counters(const long before[NR_COUNTERS], const long after[NR_COUNTERS])
{
	for (size_t i = 0; i < NR_COUNTERS; i++)
		if (after[i] >= 0)
			printf(" %s=%ld", counters[i].name, after[i] - before[i]);
	printf("\n");
	fflush(stdout);
}

int numbers(const char *name, const char *otherwise, long list[MAX_LIST])
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

bool listed(const char *list, const char *word)
{
	const size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += len) {
		if ((p == list || p[-1] == ',') && (!p[len] || p[len] == ','))
			return true;
	}
	return false;
}

int online_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

bool has_unmapped(void)
{
	return field("/proc/vmstat", "nr_no_direct_map") >= 0;
}

bool secret_in_use(void)
{
	return number("bench.use", 0);
}

void drain(void)
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
