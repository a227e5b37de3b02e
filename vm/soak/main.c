// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory off the direct map for a long time while one in a hundred things fails.
 *
 *   soak [SECONDS [SEED]]	4 processes fault and free secret memory in random
 *				sizes, others anonymous memory, from time to time all
 *				that there is, and one makes requests with each GFP
 *				flag (vm/flags/). Meanwhile page allocations of theirs,
 *				and the unmapping of blocks, fail one time in 100
 *				(SECONDS: 600).
 *   soak guests [N [SEED]]	N virtual machines (200), 4 at a time, all memory of
 *				which is off the direct map. They run, have holes
 *				punched, and are killed at any moment. The same fails.
 *
 * SEED: what all of it is drawn from. A page that could not be had is no failure.
 * One that is not zero when it is first touched is, and one that lost what was
 * written to it. In the end nothing fails any more, all is given back, and not a
 * page may be missing: by the counters, by the free lists, by the bits of the
 * pageblocks, by the direct map.
 *
 * Exit 0: it was so. 4: this kernel cannot, or nothing can be made to fail.
 */
#include "soak.h"

static int usage(void)
{
	fprintf(stderr, "usage: soak [SECONDS [SEED]]\n"
			"       soak guests [N [SEED]]\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool guests = argc > 1 && !strcmp(argv[1], "guests");
	uint64_t seed;
	int much;

	argc -= guests;
	argv += guests;
	much = argc > 1 ? atoi(argv[1]) : guests ? 200 : 600;
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : any_seed();
	if (argc > 3 || much <= 0)
		return usage();
	return guests ? soak_guests(much, seed) : soak_secret(much, seed);
}
