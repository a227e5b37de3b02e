// SPDX-License-Identifier: GPL-2.0-only
/* What the processes do: secret memory, and ordinary memory beside it. */
#include <sys/wait.h>

#include "soak.h"

#define SLOTS		16
#define KEEP		4	/* an area goes one time in that many */
#define LARGEST_SHIFT	13	/* areas of up to 2^13 pages, 32 MiB */

struct shared *shared;
static pid_t pids[PROCS];

static void own_page(volatile uint64_t *page, uint64_t value, struct proc_stats *st)
{
	if (sigsetjmp(sigbus_jmp, 1)) {
		st->not_had++;
		return;
	}
	/* The first look takes the page. */
	for (size_t i = 0; i < PAGE / sizeof(*page); i++) {
		if (page[i]) {
			st->dirty++;
			break;
		}
	}
	page[0] = value;
	page[PAGE / sizeof(*page) - 1] = value;
	st->had++;
}

struct area {
	char *mem;
	size_t pages;
	uint64_t tag;
	unsigned char *had;
};

static void area_put(struct area *a, struct proc_stats *st)
{
	for (size_t i = 0; i < a->pages; i++) {
		volatile uint64_t *page = (void *)(a->mem + i * PAGE);

		/* What was had stays: no fault can fail here */
		if (a->had[i] && (page[0] != a->tag + i ||
				  page[PAGE / sizeof(*page) - 1] != a->tag + i))
			st->lost++;
	}
	if (munmap(a->mem, a->pages * PAGE)) {
		/* Has to split nothing: an area is a mapping of its own */
		st->refused++;
		return;
	}
	a->mem = NULL;
}

static void area_get(struct area *a, unsigned char *had, size_t pages,
		     struct proc_stats *st)
{
	/* Every page, or every second one on average, in which order ever */
	bool all = draw(2), down = draw(2);

	a->mem = secret_map(pages * PAGE);
	if (a->mem == MAP_FAILED) {
		a->mem = NULL;
		st->refused++;
		return;
	}
	st->areas++;
	a->pages = pages;
	a->tag = draw(1ULL << 40) << 16 | 1;
	a->had = had;
	for (size_t i = 0; i < pages && !shared->stop && !shared->filling; i++) {
		size_t nr = down ? pages - 1 - i : i;
		unsigned long before = st->had;

		if (!(i % 256) && usable() < SECRET_LEAVES)
			break;
		if (all || draw(2)) {
			own_page((void *)(a->mem + nr * PAGE), a->tag + nr, st);
			had[nr] = st->had != before;
		}
	}
}

static void secret_proc(struct proc_stats *st)
{
	const size_t most = 1UL << LARGEST_SHIFT;
	struct area areas[SLOTS] = {};
	unsigned char *had;

	had = mmap(NULL, SLOTS * most, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (had == MAP_FAILED)
		die("mmap");
	signal(SIGBUS, sigbus_handler);
	inject_here();
	while (!shared->stop) {
		unsigned int nr = draw(SLOTS);
		/* As many of 1 to 2 pages as of 4096 to 8192 */
		size_t pages = 1UL << draw(LARGEST_SHIFT);

		pages += draw(pages) + (pages == 1 ? draw(2) : 0);
		if (shared->filling) {
			for (int i = 0; i < SLOTS; i++) {
				if (areas[i].mem)
					area_put(&areas[i], st);
			}
			sleep_ms(10);
		} else if (areas[nr].mem) {
			if (!draw(KEEP))
				area_put(&areas[nr], st);
		} else {
			memset(had + nr * most, 0, most);
			area_get(&areas[nr], had + nr * most, pages, st);
		}
	}
	write_file("/proc/self/make-it-fail", "0");
	for (int i = 0; i < SLOTS; i++) {
		if (areas[i].mem)
			area_put(&areas[i], st);
	}
}

void anon_area(size_t size, bool huge, long leave, struct proc_stats *st)
{
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED) {
		st->refused++;
		return;
	}
	st->areas++;
	madvise(mem, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (size_t off = 0; off + MiB <= size && !shared->stop; off += MiB) {
		if (usable() < leave)
			break;
		touch(mem + off, MiB, PATTERN);
		st->had += MiB / PAGE;
	}
	st->fills += size == ROOM * MiB;
	munmap(mem, size);
}

static void anon_proc(struct proc_stats *st)
{
	inject_here();
	while (!shared->stop) {
		bool fill_up = shared->filling;
		size_t size = (1 + draw(64)) * MiB;

		anon_area(fill_up ? ROOM * MiB : size, draw(2), ANON_LEAVES, st);
		if (!fill_up)
			sleep_ms(draw(200));
	}
}

static void flag_proc(void)
{
	inject_here();
	while (!shared->stop) {
		flags_try();
		sleep_ms(10);
	}
}

void procs_start(uint64_t seed, int first, int end)
{
	shared = shared_memory(sizeof(*shared));
	for (int i = first; i < end; i++) {
		pids[i] = spawn();
		if (pids[i])
			continue;
		draw_from(seed, i);
		if (i < SECRET_PROCS)
			secret_proc(&shared->procs[i]);
		else if (i < FLAG_PROC)
			anon_proc(&shared->procs[i]);
		else
			flag_proc();
		_exit(0);
	}
	draw_from(seed, PROCS);
}

int procs_ended(void)
{
	static int ended;
	int status;

	for (int i = 0; i < PROCS; i++) {
		if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
			printf("process %d ended: status 0x%x\n", i, status);
			pids[i] = 0;
			ended++;
		}
	}
	return ended;
}

int procs_stop(void)
{
	int status, bad = 0;

	shared->stop = true;
	inject_nothing();
	for (int i = 0; i < PROCS; i++) {
		if (pids[i])
			bad += waitpid(pids[i], &status, 0) != pids[i] || status;
	}
	return bad;
}
