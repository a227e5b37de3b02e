// SPDX-License-Identifier: GPL-2.0-only
/* Secret memory, ordinary memory and requests with each flag, for so long. */
#include "soak.h"

/* Milliseconds of secret memory, drawn, and of filling memory at most */
#define SECRET_MS_MIN	1000
#define SECRET_MS_MAX	7000
#define FILLING_MS	10000

static struct proc_stats sum(int first, int end)
{
	struct proc_stats all = {};

	for (int i = first; i < end; i++) {
		const struct proc_stats *st = &shared->procs[i];

		all.refused += st->refused;
		all.had += st->had;
		all.not_had += st->not_had;
		all.dirty += st->dirty;
		all.lost += st->lost;
		all.fills += st->fills;
	}
	return all;
}

/* Whose turn it is. */
static void take_turns(void)
{
	static unsigned long fills;
	static double next;

	if (now() > next || (shared->filling && sum(0, PROCS).fills > fills + 1)) {
		/* Secret memory first */
		shared->filling = next && !shared->filling;
		short_lists(shared->filling);
		fills = sum(0, PROCS).fills;
		next = now() + (shared->filling ? FILLING_MS :
				SECRET_MS_MIN + draw(SECRET_MS_MAX - SECRET_MS_MIN)) / 1000.0;
	}
}

static void progress(double seconds)
{
	struct proc_stats secret = sum(0, SECRET_PROCS);

	printf("%4.0f s: %lu secret pages had, %lu not, filled %lu times; ", seconds,
	       secret.had, secret.not_had, sum(0, PROCS).fills);
	print_failures();
}

int soak_secret(int seconds, uint64_t seed)
{
	const char *missing = run_missing();
	struct proc_stats all, secret;
	double start, next = 0;
	int ended = 0, bad;
	struct flips flips;
	struct run run;

	if (!missing)
		missing = inject_prepare();
	if (missing) {
		printf("SKIP: %s\n", missing);
		return SKIP;
	}
	printf("again: soak %d %llu\n", seconds, (unsigned long long)seed);
	flags_load();
	run = run_begin();

	room_take();
	procs_start(seed, 0, PROCS);
	inject_start();
	/* A short one may be too short for one in a hundred */
	for (start = now(); !ended && (now() - start < seconds ||
				       (!both_failed() && now() - start < LONGEST * seconds));
	     sleep_ms(50)) {
		take_turns();
		if (now() - start >= next) {
			progress(now() - start);
			next += seconds / 10.0;
		}
		ended = procs_ended();
	}
	bad = procs_stop();
	progress(now() - start);
	room_give_back();

	all = sum(0, PROCS);
	secret = sum(0, SECRET_PROCS);
	flips = flips_since(&run);
	printf("%lu system calls refused, %ld unmaps failed in all\n", all.refused, flips.failed);

	claim(!ended && !bad, "every process came to its end");
	claim(secret.had > 0 && flips.unmapped > 0 && flips.remapped > 0,
	      "%lu secret pages were had, %ld blocks unmapped for them, %ld remapped",
	      secret.had, flips.unmapped, flips.remapped);
	judge_failures(&flips);
	claim(!all.dirty, "pages that were not zero when first touched: %lu", all.dirty);
	claim(!all.lost, "pages that lost what was written: %lu", all.lost);
	judge_flags();

	judge_end(&run);
	return !!failures;
}
