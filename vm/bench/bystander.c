// SPDX-License-Identifier: GPL-2.0-only
/*
 * A bystander: a computation on CPU 1 that has nothing to do with memory, while
 * CPU 0 faults and frees some.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"

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
	read_counters(before);
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
	read_counters(after);
	pthread_join(load, NULL);
	qsort(block, BLOCKS, sizeof(*block), compare_u64);
	printf("sample bystander beside=%s | ns=%" PRIu64 " block=%" PRIu64 " longest=%" PRIu64 " ops=%d pages=%ld interrupted=%ld",
	       name, ns, block[BLOCKS / 2], block[BLOCKS - 1], BLOCKS,
	       atomic_load(&beside.pages), interrupted);
	print_counters(before, after);
}

void figure_bystander(void)
{
	const long rounds = number("bench.rounds", 5);

	if (online_cpus() < 2) {
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
