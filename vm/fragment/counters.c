// SPDX-License-Identifier: GPL-2.0-only
/* What is counted by the kernel since it started; here, since the load did. */
#include "fragment.h"

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
static char text[32768];

void vmstat_read(void)
{
	slurp("/proc/vmstat", text, sizeof(text));
}

long vmstat(const char *key)
{
	size_t len = strcspn(key, "*");
	long sum = -1;

	if (!key[len])
		return lookup(text, key);
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len))
			continue;
		sum = (sum < 0 ? 0 : sum) + strtol(line + strcspn(line, " \t\n"), NULL, 10);
	}
	return sum;
}

void counters_begin(void)
{
	vmstat_read();
	for (unsigned int i = 0; i < NR_COUNTERS; i++)
		counted_before[i] = vmstat(counters[i].key);
}

const char *counter_name(unsigned int i)
{
	return i < NR_COUNTERS ? counters[i].name : NULL;
}

long counted(unsigned int i)
{
	long value = vmstat(counters[i].key);

	return value < 0 ? -1 : value - counted_before[i];
}
