// SPDX-License-Identifier: GPL-2.0-only
/* Page cache */
#include "cache.h"
#include "fragment.h"

#define CACHE_FILE	(16ULL << 30)
#define CACHE_HOT	(256ULL << 20)

static int cache_fd = -1;

void cache_start(void)
{
	cache_fd = cache_open(CACHE_FILE);
}

void cache_step(struct rng *rng, unsigned long pages)
{
	static char buffer[128 * 1024];
	uint64_t begin = now_ns();
	uint64_t todo = pages * PAGE;

	while (todo) {
		uint64_t len = log_uniform(rng, 4, 1024) * PAGE;
		uint64_t at = below(rng, 2) ? below(rng, CACHE_HOT / PAGE) * PAGE
					    : below(rng, CACHE_FILE / PAGE - 1024) * PAGE;

		if (len > todo)
			len = todo;
		todo -= len;
		tries[F_CACHE]++;
		while (len) {
			ssize_t n = pread(cache_fd, buffer,
					  len < sizeof(buffer) ? len : sizeof(buffer), at);

			if (n <= 0) {
				failures[F_CACHE]++;
				break;
			}
			at += n;
			len -= n;
		}
	}
	times[T_CACHE] += now_ns() - begin;
}
