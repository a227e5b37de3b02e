// SPDX-License-Identifier: GPL-2.0-only
/* Where secret memory comes from: nodes, zones, policies. */
#include <linux/mempolicy.h>

#include "program.h"
#include "unmapped_util.h"
#include "policy.h"

#define LOCAL_SECRET	(64 * MiB)
#define POLICY_SECRET	(16 * MiB)

static void set_policy(int mode, unsigned long nodes)
{
	if (syscall(__NR_set_mempolicy, mode, nodes ? &nodes : NULL, nodes ? 64 : 0))
		die("set_mempolicy");
}

/* How many pages are on each node, as the page tables have it. */
static void pages_on(char *mem, size_t bytes, long on[64])
{
	const size_t nr = bytes / PAGE;
	void **pages = calloc(nr, sizeof(*pages));
	int *status = calloc(nr, sizeof(*status));

	memset(on, 0, 64 * sizeof(*on));
	for (size_t i = 0; i < nr; i++)
		pages[i] = mem + i * PAGE;
	if (syscall(__NR_move_pages, 0, nr, pages, NULL, status, 0))
		die("move_pages");
	for (size_t i = 0; i < nr; i++) {
		if (status[i] >= 0 && status[i] < 64)
			on[status[i]]++;
	}
	free(pages);
	free(status);
}

/* What is had stays: it would serve the next one. */
static void judge_nodes(const char *what, int node, size_t bytes, int percent)
{
	struct counts then = counts();
	double start = now();
	char *mem = secret_map(bytes);
	long on[64];
	size_t had;

	prepared(mem != MAP_FAILED, "secret memory is mapped");
	had = touch_some(mem, bytes, PATTERN);
	pages_on(mem, had, on);
	figure("%s: %lu of %lu MiB, %ld pages on node 0, %ld on node 1, in %.1f s", what,
	       had / MiB, bytes / MiB, on[0], on[1], now() - start);
	print_since(&then, what);
	judge(had == bytes && on[node] * 100 >= (long)(bytes / PAGE) * percent,
	      "%s: %d %% of it on node %d", what, percent, node);
}

static struct zone largest_of(int node, const char *name)
{
	struct zone zones[MAX_ZONES], found = {};
	int nr = read_zones(zones);

	for (int i = 0; i < nr; i++) {
		if (zones[i].node == node && (!name || !strcmp(zones[i].name, name)) &&
		    zones[i].managed > found.managed)
			found = zones[i];
	}
	return found;
}

/* What keeps kswapd asleep */
static long leave(const struct zone *z)
{
	return z->high + 4 * MIB_PAGES;
}

static struct zone of_node_0(void)
{
	return largest_of(0, NULL);
}

static struct zone normal_zone(void)
{
	return largest_of(0, "Normal");
}

static int on_nodes(void)
{
	struct zone z;

	plan(4);
	pin(0);
	set_policy(MPOL_BIND, 2);
	judge_nodes("bound to node 1", 1, POLICY_SECRET, 100);
	set_policy(MPOL_PREFERRED_MANY, 2);
	judge_nodes("node 1 preferred", 1, POLICY_SECRET, 95);
	set_policy(MPOL_DEFAULT, 0);
	judge_nodes("no policy", 0, POLICY_SECRET, 95);

	z = of_node_0();
	set_policy(MPOL_PREFERRED, 1);
	fragment(of_node_0, leave(&z));
	set_policy(MPOL_DEFAULT, 0);
	z = of_node_0();
	figure("node 0: %ld of %ld MiB are free, %ld in whole blocks", z.free / MIB_PAGES,
	       z.managed / MIB_PAGES, z.blocks / MIB_PAGES);
	prepared(z.blocks * PAGE < LOCAL_SECRET / 2, "few of its blocks are free");
	prepared(z.free * 4 > z.managed, "half of node 0 is free, in pieces");
	judge_nodes("node 0 in pieces", 0, LOCAL_SECRET, 95);
	return verdict();
}

static int in_zones(void)
{
	struct zone low, normal = normal_zone();
	struct counts then;
	char *mem;
	size_t had;
	double start;

	plan(1);
	fragment(normal_zone, leave(&normal));
	normal = normal_zone();
	low = largest_of(0, "DMA32");
	figure("Normal: %ld of %ld MiB are free, DMA32: %ld of %ld MiB", normal.free / MIB_PAGES,
	       normal.managed / MIB_PAGES, low.free / MIB_PAGES, low.managed / MIB_PAGES);
	prepared(normal.free * 4 > normal.managed, "half of Normal is free, in pieces");
	prepared(low.free > (long)(LOCAL_SECRET / PAGE) * 2, "DMA32 has room");
	mem = secret_map(LOCAL_SECRET);
	prepared(mem != MAP_FAILED, "secret memory is mapped");
	then = counts();
	start = now();
	had = touch_some(mem, LOCAL_SECRET, PATTERN);
	figure("%lu of %lu MiB: %ld pages unmapped in Normal, %ld in DMA32, in %.1f s", had / MiB,
	       LOCAL_SECRET / MiB, largest_of(0, "Normal").unmapped - normal.unmapped,
	       largest_of(0, "DMA32").unmapped - low.unmapped, now() - start);
	print_since(&then, "meanwhile");
	judge(had == LOCAL_SECRET && (largest_of(0, "DMA32").unmapped - low.unmapped) * 20 <=
	      (long)(LOCAL_SECRET / PAGE), "95 %% of it are in Normal");
	return verdict();
}

/*
 * First version: with node 0 in pieces 75 % went to node 1, and with Normal in
 * pieces 75 % to DMA32, without one compaction; 0 % to a preferred node 1.
 */
int mode_local(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (!has_counter(UNMAPPED))
		return skip("this kernel takes single pages off the direct map");
	set_pool_blocks(0);
	/* What khugepaged keeps free would be whole blocks */
	prepared(set_sysctl("min_free_kbytes", 4 * 1024) >= 0, "watermarks are set");
	/* Nor does kcompactd make them before they are wanted */
	prepared(set_sysctl("compaction_proactiveness", 0) >= 0, "kcompactd rests");
	if (largest_of(1, NULL).managed)
		return on_nodes();
	if (largest_of(0, "Normal").managed > 512 * MIB_PAGES && largest_of(0, "DMA32").managed > 256 * MIB_PAGES)
		return in_zones();
	return skip("neither two nodes nor DMA32 beside Normal");
}
