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
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "fragment.h"

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

void must_set(const char *file, const char *value)
{
	errno = put(file, value);
	if (errno)
		die(file);
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
	struct rng who, cache, slab, secret;
	static char text[8192];
	int ramp, cpus = sysconf(_SC_NPROCESSORS_ONLN);

	setvbuf(stdout, NULL, _IOFBF, 65536);
	signal(SIGPIPE, SIG_IGN);
	/* Secret memory is locked memory. */
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) || setrlimit(RLIMIT_NOFILE, &files))
		die("setrlimit");
	must_set("/proc/self/oom_score_adj", "-1000");
	must_set("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	must_set("/sys/kernel/mm/transparent_hugepage/defrag", "always");
	/* It would do more or less work depending on how fast the machine is. */
	must_set("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
		 "100000000");
	slab_start();
	cache_start();

	if (!slurp_if("/proc/sys/vm/no_direct_map_pool_blocks", text, sizeof(text))) {
		printf("pool missing\n");
	} else {
		if (pool >= 0) {
			snprintf(text, sizeof(text), "%ld", pool);
			must_set("/proc/sys/vm/no_direct_map_pool_blocks", text);
		}
		printf("pool %d\n", atoi(text));
	}
	slurp("/proc/meminfo", text, sizeof(text));
	printf("seed %" PRIu64 "\nrounds %d\ncpus %d\nmemory %ld\n", seed, rounds, cpus,
	       lookup(text, "MemTotal:"));

	rng_seed(&who, seed, 0);
	rng_seed(&cache, seed, 1);
	rng_seed(&slab, seed, 2);
	rng_seed(&secret, seed, 3);
	anon_start(seed);
	sample_begin();
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

		on_cpu(cpu);
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
	anon_end();
	return 0;
}
