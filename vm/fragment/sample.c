// SPDX-License-Identifier: GPL-2.0-only
/* Lines of CSV: what was tried and failed, how long it took, what memory looks like. */
#include <inttypes.h>

#include "fragment.h"

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

uint64_t failures[NR_FAILURES], tries[NR_FAILURES];

static const char *const time_names[NR_TIMES] = {
	"ms_anon", "ms_cache", "ms_slab", "ms_secret_fault", "ms_secret_free", "ms_probe",
};

uint64_t times[NR_TIMES];

/* The seconds that samples take are not the load's. */
static uint64_t start_ns, sampling_ns;

void sample_begin(void)
{
	counters_begin();
	start_ns = now_ns();
}

void sample(int round, const char *actor)
{
	static char meminfo[8192];
	static bool header;
	struct free_memory f;
	uint64_t begin = now_ns();

	/* Per-CPU remainders of the statistics are folded in. */
	put("/proc/sys/vm/stat_refresh", "1");
	free_read(&f);
	vmstat_read();
	slurp("/proc/meminfo", meminfo, sizeof(meminfo));

	/* Twice the first time: the columns' names, a line each, and their values. */
	for (bool names = !header; ; names = false) {
#define COL(name, format, value) do {						\
		if (names)							\
			printf("column %s\n", name);				\
		else								\
			printf("," format, value);				\
	} while (0)
#define ITEM(name, key) COL(name, "%ld", vmstat(key))
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
		COL("secret", "%lu", secret_sums.live);
		COL("largest", "%d", f.largest);
		COL("largest_mapped", "%d", f.largest_mapped);
		COL("mapped_blocks", "%ld", f.mapped_blocks);
		COL("whole_unmapped", "%ld", f.whole_unmapped);
		COL("partial_unmapped", "%ld", f.partial_unmapped);
		ITEM("unmapped", "nr_no_direct_map");
		ITEM("free_unmapped", "nr_free_no_direct_map");
		COL("dm4k", "%ld", lookup(meminfo, "DirectMap4k:"));
		COL("dm2m", "%ld", lookup(meminfo, "DirectMap2M:"));
		COL("dm1g", "%ld", lookup(meminfo, "DirectMap1G:"));
		COL("fault_one", "%ld", secret_sums.flushes[FAULT].one);
		COL("fault_received", "%ld", secret_sums.flushes[FAULT].received);
		COL("fault_interrupts", "%ld", secret_sums.flushes[FAULT].interrupts);
		COL("fault_own", "%ld", secret_sums.flushes[FAULT].own);
		COL("free_received", "%ld", secret_sums.flushes[FREE].received);
		COL("free_interrupts", "%ld", secret_sums.flushes[FREE].interrupts);
		COL("free_own", "%ld", secret_sums.flushes[FREE].own);
		COL("secret_pages", "%" PRIu64, secret_sums.had);
		COL("secret_missing", "%" PRIu64, secret_sums.missing);
		for (int i = 0; i < NR_FAILURES; i++)
			COL(failure_names[i].failed, "%" PRIu64, failures[i]);
		for (int i = 0; i < NR_FAILURES; i++)
			COL(failure_names[i].tried, "%" PRIu64, tries[i]);
		for (int i = 0; i < NR_TIMES; i++)
			COL(time_names[i], "%" PRIu64, times[i] / 1000000);
		for (unsigned int i = 0; counter_name(i); i++)
			COL(counter_name(i), "%ld", counted(i));
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
