// SPDX-License-Identifier: GPL-2.0-only
/* Secret memory: touched page by page. No page: SIGBUS. */
#include "unmapped_util.h"
#include "fragment.h"

struct secret_sums secret_sums;

static struct region secrets[MAX_REGIONS];
static unsigned int nr_secrets;
static unsigned long secret_requested;

static void secret_new(struct region *r, unsigned long pages)
{
	r->pages = pages;
	r->had = 0;
	r->fd = -1;
	tries[F_SECRET]++;
	r->p = secret_map_file(pages * PAGE, &r->fd);
	if (r->p == MAP_FAILED) {
		if (errno != ENOMEM)
			die("memfd_secret");
		failures[F_SECRET]++;
		secret_sums.missing += pages;
		return;
	}
	r->had = touch_some(r->p, pages * PAGE, 1) / PAGE;
	if (r->had < pages) {
		failures[F_SECRET]++;
		secret_sums.missing += pages - r->had;
	}
	secret_sums.had += r->had;
	secret_sums.live += r->had;
}

static void secret_free(struct region *r)
{
	if (r->p != MAP_FAILED && munmap(r->p, r->pages * PAGE))
		die("munmap");
	if (r->fd >= 0)
		close(r->fd);
	secret_sums.live -= r->had;
	secret_requested -= r->pages;
}

void secret_step(struct rng *rng, unsigned long target, unsigned long churn)
{
	struct flushes before = read_flushes();
	uint64_t begin = now_ns();

	while (nr_secrets && secret_requested + churn > target) {
		unsigned int i = below(rng, nr_secrets);

		secret_free(&secrets[i]);
		secrets[i] = secrets[--nr_secrets];
	}
	times[T_FREE] += now_ns() - begin;
	before = add_flushes(&secret_sums.flushes[FREE], before);

	begin = now_ns();
	while (secret_requested < target && nr_secrets < MAX_REGIONS) {
		unsigned long pages = log_uniform(rng, 1, MIB(64));

		if (pages > target - secret_requested)
			pages = target - secret_requested;
		secret_requested += pages;
		secret_new(&secrets[nr_secrets++], pages);
	}
	times[T_FAULT] += now_ns() - begin;
	add_flushes(&secret_sums.flushes[FAULT], before);
}
