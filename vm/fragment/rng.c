// SPDX-License-Identifier: GPL-2.0-only
/* What is drawn: the same from the same seed. */
#include "fragment.h"

void rng_seed(struct rng *rng, uint64_t seed, unsigned int actor)
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

uint64_t below(struct rng *rng, uint64_t limit)
{
	return (rng_next(rng) >> 11) % limit;
}

uint64_t log_uniform(struct rng *rng, uint64_t least, uint64_t most)
{
	unsigned int doublings = 0;
	uint64_t base, n;

	while (least << (doublings + 1) <= most)
		doublings++;
	base = least << below(rng, doublings + 1);
	n = base + below(rng, base);
	return n < most ? n : most;
}
