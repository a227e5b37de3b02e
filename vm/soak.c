// SPDX-License-Identifier: GPL-2.0-only
/*
 * Secret memory for a long time while one in a hundred things fails.
 *
 *   soak [SECONDS [SEED]]	4 processes fault and free secret memory in random
 *				sizes, others anonymous memory, from time to time all
 *				that there is, and one makes requests with each GFP
 *				flag (vm/flags/). Meanwhile page allocations of theirs,
 *				and the unmapping of blocks, fail one time in 100
 *				(SECONDS: 600). SEED: what all of it is drawn from.
 *
 * A page that could not be had is no failure. One that is not zero when it is
 * first touched is, and one that lost what was written to it. In the end nothing
 * fails any more, all is given back, and not a page may be missing: by the
 * counters, by the free lists, by the bits of the pageblocks, by the direct map.
 *
 * Exit 0: it was so. 4: this kernel cannot, or nothing can be made to fail.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "../linux/tools/testing/selftests/mm/unmapped_util.h"
#include "program.h"

#define SKIP		4
#define PAGE		4096UL
#define BLOCK_PAGES	((long)(BLOCK_SIZE / PAGE))
#define DEBUGFS		"/sys/kernel/debug/"
#define FUNCTION	"unmapped_block_apply"
#define PERCENT		1	/* of what can fail does */
#define TIMES		1000000000L

#define SECRET_PROCS	4
#define ANON_PROCS	2
#define FLAG_PROC	(SECRET_PROCS + ANON_PROCS)
#define PROCS		(FLAG_PROC + 1)
#define FLAGS_MODULE	"unmapped_flags"
#define SLOTS		16
#define KEEP		4	/* an area goes one time in that many */
#define LARGEST_SHIFT	13	/* areas of up to 2^13 pages, 32 MiB */
/* Milliseconds of secret memory, drawn, and of filling memory at most */
#define SECRET_MS_MIN	1000
#define SECRET_MS_MAX	7000
#define FILLING_MS	10000
/* vm.percpu_pagelist_high_fraction: per-CPU lists as short as can be */
#define SHORT_LISTS	10000
/*
 * MiB. All processes share ROOM, so that blocks go to and fro between secret and
 * ordinary memory. Secret memory fails before anybody is killed, ordinary memory
 * does not: it has to stay above the watermarks, which are low for that.
 */
#define ROOM		256L
#define ANON_LEAVES	40L
#define SECRET_LEAVES	36L
#define MIN_FREE_KIB	16384L
/* Time to see a failure of each kind, of what was asked for */
#define LONGEST		4
/* So many unmaps that one in a hundred has failed, but for one run in a thousand */
#define MANY_UNMAPS	700L
/* Longest waits of the end, in seconds */
#define DIRTY_SECONDS	60
#define EXACT_SECONDS	120
#define GONE_SECONDS	300
#define LAST_SECRET	(64 * MiB)
/* Memory that is not free again, of what was: per mille */
#define FREE_NOISE	10

/* Shared with the processes */
struct proc_stats {
	unsigned long areas;	/* mapped */
	unsigned long refused;	/* system calls that failed */
	unsigned long had;	/* pages */
	unsigned long not_had;
	unsigned long dirty;	/* pages that were not zero */
	unsigned long lost;	/* ... that did not keep what was written */
	unsigned long fills;
};

static struct shared {
	volatile bool stop;
	volatile bool filling;	/* secret memory is given up, ordinary memory takes all */
	struct proc_stats procs[PROCS];
} *shared;

static int failures;

static void claim(bool held, const char *fmt, ...)
{
	va_list args;

	printf("%s: ", held ? "held" : "MISSED");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	failures += !held;
}

/* xorshift64 */
static uint64_t rng;

static uint64_t draw(uint64_t limit)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 16) % limit;
}

/* One of the processes: never 0 */
static void draw_from(uint64_t seed, int nr)
{
	rng = (seed * (PROCS + 1) + nr + 1) * 0x9e3779b97f4a7c15ULL;
	if (!rng)
		rng = 1;
	for (int i = 0; i < 8; i++)
		draw(1);
}

/* --- failures ------------------------------------------------------------ */

static int attr(const char *what, const char *name, long value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", what, name);
	return write_file(path, "%ld", value);
}

static long attr_read(const char *what, const char *name)
{
	char path[128];
	long value = -1;
	FILE *f;

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", what, name);
	f = fopen(path, "r");
	if (!f)
		return -1;
	if (fscanf(f, "%ld", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

static void inject_nothing(void)
{
	attr("fail_page_alloc", "probability", 0);
	attr("fail_function", "probability", 0);
}

/* How often it failed. */
static long injected(const char *what)
{
	return TIMES - attr_read(what, "times");
}

/* What does not say yet that it fails. NULL, or what is missing. */
static const char *inject_prepare(void)
{
	static const char * const both[] = { "fail_page_alloc", "fail_function" };

	if (access(DEBUGFS "fail_page_alloc/probability", W_OK))
		return "no fail_page_alloc in debugfs (CONFIG_FAIL_PAGE_ALLOC)";
	if (access(DEBUGFS "fail_function/inject", W_OK))
		return "no fail_function in debugfs (CONFIG_FAIL_FUNCTION)";
	if (access("/proc/self/make-it-fail", W_OK))
		return "no /proc/self/make-it-fail (CONFIG_FAULT_INJECTION)";
	if (access(DEBUGFS "page_tables/kernel", R_OK))
		return "no page_tables in debugfs (CONFIG_PTDUMP_DEBUGFS)";
	inject_nothing();
	if (write_file(DEBUGFS "fail_function/inject", FUNCTION))
		return "cannot make " FUNCTION " fail";
	if (write_file(DEBUGFS "fail_function/" FUNCTION "/retval", "0xfffffffffffffff4"))
		return "cannot choose how " FUNCTION " fails";
	for (int i = 0; i < 2; i++) {
		/* No report of each: they are expected */
		if (attr(both[i], "verbose", 0) || attr(both[i], "interval", 1) ||
		    attr(both[i], "space", 0) || attr(both[i], "times", TIMES))
			return "cannot set what is common to both kinds of failures";
	}
	/* The worker that fills the pool unmaps blocks too. */
	if (attr("fail_function", "task-filter", 0))
		return "cannot make it fail for all";
	/* Any order, any context; user memory (__GFP_HIGHMEM) too. */
	if (write_file(DEBUGFS "fail_page_alloc/task-filter", "Y") ||
	    write_file(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N") ||
	    write_file(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N") ||
	    attr("fail_page_alloc", "min-order", 0))
		return "cannot choose which page allocations fail";
	return NULL;
}

static void inject_start(void)
{
	if (attr("fail_page_alloc", "probability", PERCENT) ||
	    attr("fail_function", "probability", PERCENT))
		die("fault injection");
}

/*
 * MiB that ordinary memory can have: not what is free in blocks that are partly
 * secret. 0 where it cannot be read, as reading fails too.
 */
static long usable(void)
{
	long free = read_meminfo("MemFree");
	long unmapped = field("/proc/vmstat", "nr_free_no_direct_map");
	long whole = field("/proc/vmstat", "nr_free_no_direct_map_whole");

	if (free < 0 || unmapped < 0 || whole < 0)
		return 0;
	return (free - (unmapped - whole) * 4) / 1024;
}

/* --- what the processes do ------------------------------------------------ */

static sigjmp_buf no_page;

static void sigbus(int sig)
{
	siglongjmp(no_page, sig);
}

static void own_page(volatile uint64_t *page, uint64_t value, struct proc_stats *st)
{
	if (sigsetjmp(no_page, 1)) {
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

static int secret_proc(struct proc_stats *st)
{
	const size_t most = 1UL << LARGEST_SHIFT;
	struct area areas[SLOTS] = {};
	unsigned char *had;

	had = mmap(NULL, SLOTS * most, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (had == MAP_FAILED)
		die("mmap");
	signal(SIGBUS, sigbus);
	if (write_file("/proc/self/make-it-fail", "1"))
		die("make-it-fail");
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
	return 0;
}

static int anon_proc(struct proc_stats *st)
{
	if (write_file("/proc/self/make-it-fail", "1"))
		die("make-it-fail");
	while (!shared->stop) {
		bool fill_up = shared->filling;
		size_t size = (1 + draw(64)) * MiB, off;
		char *mem;

		if (fill_up)
			size = ROOM * MiB;
		mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (mem == MAP_FAILED) {
			st->refused++;
			continue;
		}
		st->areas++;
		madvise(mem, size, draw(2) ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
		for (off = 0; off + MiB <= size && !shared->stop; off += MiB) {
			if (usable() < ANON_LEAVES)
				break;
			touch(mem + off, MiB, PATTERN);
			st->had += MiB / PAGE;
		}
		st->fills += fill_up;
		munmap(mem, size);
		if (!fill_up)
			sleep_ms(draw(200));
	}
	return 0;
}

/* Requests with each flag, made in the kernel on behalf of this process. */
static int flag_proc(void)
{
	if (write_file("/proc/self/make-it-fail", "1"))
		die("make-it-fail");
	while (!shared->stop) {
		/* The write itself may be made to fail */
		write_file(DEBUGFS FLAGS_MODULE "/try", "1");
		sleep_ms(10);
	}
	return 0;
}

static void flags_load(void)
{
	int fd = open("/lib/modules/" FLAGS_MODULE ".ko", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
		die(FLAGS_MODULE ".ko");
	close(fd);
}

/* What came of them; the module goes, and whatever it may hold. */
static void judge_flags(void)
{
	static const char * const may_fail[] = { "atomic", "nowait", "noretry", "kernel",
						 "retry_mayfail" };
	FILE *f = fopen(DEBUGFS FLAGS_MODULE "/stats", "r");
	long tries, had, wrong;
	char name[32];
	size_t seen = 0;

	if (!f)
		die(FLAGS_MODULE "/stats");
	while (fscanf(f, "%31s %ld %ld %ld", name, &tries, &had, &wrong) == 4) {
		if (!strcmp(name, "nofail")) {
			claim(tries > 0 && !had, "nofail: refused %ld times of %ld",
			      tries - had, tries);
			continue;
		}
		for (size_t i = 0; i < sizeof(may_fail) / sizeof(*may_fail); i++)
			seen += !strcmp(name, may_fail[i]);
		claim(had > 0 && !wrong, "%s: %ld of %ld had, %ld of them not as they should be",
		      name, had, tries, wrong);
	}
	fclose(f);
	claim(seen == sizeof(may_fail) / sizeof(*may_fail), "each flag was tried");
	if (syscall(SYS_delete_module, FLAGS_MODULE, 0))
		die("cannot unload " FLAGS_MODULE);
}

/* --- the end -------------------------------------------------------------- */

/* Also what the lists and the pageblocks say, in pages. */
struct balance {
	long unmapped, free, dirty, pcp, listed, marked;
};

static struct balance balance(void)
{
	struct balance b;

	b.unmapped = read_vmstat("nr_no_direct_map");
	b.free = field("/proc/vmstat", "nr_free_no_direct_map");
	b.dirty = field("/proc/vmstat", "nr_no_direct_map_dirty");
	b.pcp = read_pcp();
	if (!walk_free_lists(&b.listed, &b.marked))
		die("/proc/pagetypeinfo");
	return b;
}

/* Each page of each block is found on a free list, or waits to be. */
static bool exact(const struct balance *b)
{
	return b->listed + b->dirty == b->marked && b->unmapped == b->marked &&
	       b->free == b->listed;
}

static void print_balance(const char *when, const struct balance *b)
{
	printf("%s: %ld blocks found, %ld pages unmapped, %ld free (found %ld), %ld dirty, up to %ld on per-CPU lists\n",
	       when, b->marked / BLOCK_PAGES, b->unmapped, b->free, b->listed,
	       b->dirty, b->pcp);
	fflush(stdout);
}

/* Absent from the direct map without reason, since @before: bytes. */
static long absent(const struct snapshot *before)
{
	struct direct_map map;
	struct snapshot after = {};

	/* While a worker maps blocks again, the two looks do not match */
	for (int i = 0; i < 20; i++) {
		after.unmapped = read_vmstat("nr_no_direct_map");
		if (!walk_direct_map(&map, 0))
			die("page_tables");
		after.present = map.present;
		if (after.unmapped == read_vmstat("nr_no_direct_map") &&
		    !unaccounted(before, &after))
			return 0;
		sleep_ms(500);
	}
	return unaccounted(before, &after);
}

/* In a process of its own, so that all of it is given back. */
static void in_child(void (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		what();
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		claim(false, "a process of the end ended with status 0x%x", status);
}

/* Ordinary memory takes all that it can have. */
static void fill_once(void)
{
	size_t taken;

	if (!take_all(&taken))
		die("mmap");
	printf("filled %zu MiB with anonymous memory\n", taken / MiB);
}

/* So that there are more blocks than the worker lets go of at a time. */
static void take_secret(void)
{
	char *mem = secret_map(LAST_SECRET);

	if (mem == MAP_FAILED)
		die("memfd_secret");
	if (touch_some(mem, LAST_SECRET, PATTERN) != LAST_SECRET)
		printf("not all of %lu MiB secret memory\n", LAST_SECRET / MiB);
}

static void judge_end(const struct snapshot *before)
{
	const char *wrong;
	struct balance b;
	double start;
	long bytes;

	for (start = now(); read_vmstat("nr_no_direct_map_dirty") && now() - start < DIRTY_SECONDS;)
		sleep_ms(100);
	claim(!read_vmstat("nr_no_direct_map_dirty"), "nothing waits for being zeroed (after %.1f s)",
	      now() - start);

	/* Nothing is in use: what is not free is on per-CPU lists. */
	b = balance();
	print_balance("given back", &b);
	wrong = counters_wrong();
	claim(!wrong, "counters, free lists and pageblocks agree%s%s", wrong ? ": " : "",
	      wrong ? wrong : "");
	b = balance();
	claim(b.unmapped - b.free - b.dirty >= 0 && b.unmapped - b.free - b.dirty <= b.pcp,
	      "%ld pages are not on the free lists, and per-CPU lists have up to %ld",
	      b.unmapped - b.free - b.dirty, b.pcp);
	bytes = absent(before);
	claim(!bytes, "the direct map lacks what is unmapped (%ld pages at first), and %ld bytes besides",
	      b.unmapped, bytes);

	/*
	 * Per-CPU lists are emptied by the worker before it lets go of the pool:
	 * from then on, until the last block is mapped, each page is on a list.
	 */
	in_child(take_secret);
	for (start = now(); now() - start < EXACT_SECONDS; sleep_ms(100)) {
		b = balance();
		if (b.unmapped && exact(&b))
			break;
	}
	print_balance("per-CPU lists empty", &b);
	claim(b.unmapped && exact(&b), "free %ld + dirty %ld + used 0 = %ld blocks x %ld",
	      b.listed, b.dirty, b.marked / BLOCK_PAGES, BLOCK_PAGES);

	/* A block that lacks a single page can never be mapped again. */
	in_child(fill_once);
	for (start = now(); now() - start < GONE_SECONDS; sleep_ms(500)) {
		b = balance();
		if (!b.unmapped && !b.marked)
			break;
	}
	print_balance("let go", &b);
	claim(!b.unmapped && !b.marked && !b.listed,
	      "every block could be mapped again (%.0f s)", now() - start);
	bytes = absent(before);
	claim(!bytes, "the direct map is whole but for %ld bytes", bytes);
}

/* Anonymous memory that stays, until there is ROOM. */
static char *take_ballast(size_t *size)
{
	size_t off = 0;
	char *mem;

	*size = read_meminfo("MemFree") * KiB;
	mem = mmap(NULL, *size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	madvise(mem, *size, MADV_HUGEPAGE);
	for (; off + BLOCK_SIZE <= *size && usable() > ROOM; off += BLOCK_SIZE)
		touch(mem + off, BLOCK_SIZE, PATTERN);
	printf("%zu MiB taken for as long as it lasts, %ld MiB are left\n", off / MiB,
	       usable());
	/* The processes have no copy of it */
	madvise(mem, *size, MADV_DONTFORK);
	return mem;
}

static bool both_failed(void)
{
	return injected("fail_page_alloc") > 0 && injected("fail_function") > 0;
}

static unsigned long all_fills(void)
{
	unsigned long fills = 0;

	for (int i = 0; i < PROCS; i++)
		fills += shared->procs[i].fills;
	return fills;
}

/* Whose turn it is. */
static void take_turns(void)
{
	static unsigned long fills;
	static double next;

	if (now() > next || (shared->filling && all_fills() > fills + 1)) {
		/* Secret memory first */
		shared->filling = next && !shared->filling;
		/*
		 * Per-CPU lists that hold thousands of pages keep nearly all blocks
		 * from being whole, and ordinary memory from having them. Folding
		 * the counters in empties what is too much.
		 */
		set_sysctl("percpu_pagelist_high_fraction", shared->filling ? SHORT_LISTS : 0);
		read_vmstat("nr_no_direct_map");
		fills = all_fills();
		next = now() + (shared->filling ? FILLING_MS :
				SECRET_MS_MIN + draw(SECRET_MS_MAX - SECRET_MS_MIN)) / 1000.0;
	}
}

static void progress(double seconds)
{
	unsigned long had = 0, not_had = 0;

	for (int i = 0; i < PROCS; i++) {
		if (i >= SECRET_PROCS)
			continue;
		had += shared->procs[i].had;
		not_had += shared->procs[i].not_had;
	}
	printf("%4.0f s: %lu secret pages had, %lu not, filled %lu times; %ld page allocations and %ld unmaps made to fail; %ld blocks unmapped, %ld remapped\n",
	       seconds, had, not_had, all_fills(), injected("fail_page_alloc"),
	       injected("fail_function"), read_vmstat("direct_map_flip_unmap"),
	       read_vmstat("direct_map_flip_remap"));
	fflush(stdout);
}

static int soak(int seconds, uint64_t seed)
{
	unsigned long had = 0, dirty = 0, lost = 0, refused = 0;
	const char *missing = unmapped_missing(), *line;
	long kills, flip_fails, flips, remaps, free;
	int kmsg, status, ended = 0, bad = 0;
	double start, next = 0;
	struct snapshot before;
	pid_t pids[PROCS];
	size_t ballast_size;
	char *ballast;
	long min_free;

	if (!missing && excluded())
		missing = "off, as the kernel command line asks for";
	if (!missing)
		missing = inject_prepare();
	if (missing) {
		printf("SKIP: %s\n", missing);
		return SKIP;
	}

	printf("again: soak %d %llu\n", seconds, (unsigned long long)seed);
	flags_load();
	/* What others had before is gone */
	for (start = now(); read_vmstat("nr_no_direct_map") && now() - start < GONE_SECONDS;)
		sleep_ms(500);
	before = take_snapshot();
	printf("before: %ld KiB free, %ld pages unmapped, direct map of %ld MiB\n",
	       before.free, before.unmapped, before.present / (long)MiB);
	fflush(stdout);
	kmsg = kmsg_open();
	kills = read_vmstat("oom_kill");
	flip_fails = read_vmstat("direct_map_flip_fail");
	flips = read_vmstat("direct_map_flip_unmap");
	remaps = read_vmstat("direct_map_flip_remap");

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	min_free = set_sysctl("min_free_kbytes", MIN_FREE_KIB);
	if (min_free < 0)
		die("min_free_kbytes");
	ballast = take_ballast(&ballast_size);
	fflush(stdout);
	for (int i = 0; i < PROCS; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (!pids[i]) {
			draw_from(seed, i);
			if (i == FLAG_PROC)
				_exit(flag_proc());
			_exit(i < SECRET_PROCS ? secret_proc(&shared->procs[i]) :
						 anon_proc(&shared->procs[i]));
		}
	}
	draw_from(seed, PROCS);
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
		/* Nobody is to end by himself */
		for (int i = 0; i < PROCS; i++) {
			if (waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				printf("process %d ended: status 0x%x\n", i, status);
				pids[i] = 0;
				ended++;
			}
		}
	}
	shared->stop = true;
	inject_nothing();
	for (int i = 0; i < PROCS; i++) {
		if (!pids[i])
			continue;
		if (waitpid(pids[i], &status, 0) != pids[i] || status)
			bad++;
	}
	progress(now() - start);
	munmap(ballast, ballast_size);
	set_sysctl("percpu_pagelist_high_fraction", 0);
	set_sysctl("min_free_kbytes", min_free);

	for (int i = 0; i < PROCS; i++) {
		refused += shared->procs[i].refused;
		dirty += shared->procs[i].dirty;
		lost += shared->procs[i].lost;
		if (i < SECRET_PROCS)
			had += shared->procs[i].had;
	}
	flip_fails = read_vmstat("direct_map_flip_fail") - flip_fails;
	flips = read_vmstat("direct_map_flip_unmap") - flips;
	remaps = read_vmstat("direct_map_flip_remap") - remaps;
	printf("%lu system calls refused, %ld unmaps failed in all\n", refused, flip_fails);

	claim(!ended && !bad, "every process came to its end");
	claim(had > 0 && flips > 0 && remaps > 0,
	      "%lu secret pages were had, %ld blocks unmapped for them, %ld remapped", had,
	      flips, remaps);
	claim(injected("fail_page_alloc") > 0, "page allocations failed: %ld",
	      injected("fail_page_alloc"));
	claim(injected("fail_function") > 0 ? flip_fails > 0 : flips < MANY_UNMAPS,
	      "unmaps failed: %ld, of %ld", injected("fail_function"), flips + flip_fails);
	claim(!dirty, "pages that were not zero when first touched: %lu", dirty);
	claim(!lost, "pages that lost what was written: %lu", lost);
	judge_flags();

	judge_end(&before);

	free = read_free();
	printf("%ld KiB free before, %ld after\n", before.free, free);
	claim(labs(free - before.free) <= before.free * FREE_NOISE / 1000,
	      "memory is free again but for %d per mille", FREE_NOISE);
	claim(read_vmstat("oom_kill") == kills, "nobody was killed");
	line = kmsg_complaint(kmsg);
	claim(!line, "the kernel reported nothing%s%s", line ? ": " : "", line ? line : "");
	return !!failures;
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 600;
	uint64_t seed;

	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		die("getrandom");
	else
		seed >>= 32;
	if (argc > 3 || seconds <= 0) {
		fprintf(stderr, "usage: soak [SECONDS [SEED]]\n");
		return 2;
	}
	return soak(seconds, seed);
}
