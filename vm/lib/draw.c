// SPDX-License-Identifier: GPL-2.0-only
/* What is drawn: the same from the same seed. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/draw.h"

void rng_seed(struct rng *rng, uint64_t seed, unsigned int actor)
{
	/*
	 * splitmix64: neighbouring seeds must not give similar sequences, and the
	 * first eight of a seed begin where none of the next seed does.
	 */
	uint64_t z = (seed * 8 + actor + 1) * 0x9e3779b97f4a7c15ULL;

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

static struct rng own;

uint64_t draw(uint64_t limit)
{
	return below(&own, limit);
}

void draw_from(uint64_t seed, unsigned int nr)
{
	rng_seed(&own, seed, nr);
}

uint64_t any_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
		perror("getrandom");
		exit(1);
	}
	return seed >> 32;
}
