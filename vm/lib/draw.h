/* SPDX-License-Identifier: GPL-2.0-only */
/* draw.c: what is drawn, the same from the same seed. */
#ifndef DRAW_H
#define DRAW_H

#include <stdint.h>

/* A sequence: whoever has its own does not depend on when others draw. */
struct rng {
	uint64_t state;
};

/* From now on: actor @actor of that seed. */
void rng_seed(struct rng *rng, uint64_t seed, unsigned int actor);
/* Less than @limit. */
uint64_t below(struct rng *rng, uint64_t limit);
/* From @least to @most, a number of each size as likely as of any other. */
uint64_t log_uniform(struct rng *rng, uint64_t least, uint64_t most);

/* The same from the process's own sequence. */
void draw_from(uint64_t seed, unsigned int nr);
uint64_t draw(uint64_t limit);
/* A seed that nobody has asked for. */
uint64_t any_seed(void);

#endif /* DRAW_H */
