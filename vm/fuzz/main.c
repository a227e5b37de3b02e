// SPDX-License-Identifier: GPL-2.0-only
/*
 * Secret memory, whatever one can do with it, in an order that nobody thought of.
 *
 *   fuzz [OPERATIONS [SEED]]	so many operations (20000) drawn from SEED: files of
 *				memfd_secret(2) are made, sized, allocated, punched,
 *				passed on and closed; mapped, split, moved, advised
 *				about; read, written; and that by children as well,
 *				some of which are killed.
 *
 * A model knows what each page holds and what each system call has to say. A page
 * that could not be had is no failure. Any other result that is not the model's is
 * one, and ends the run with the operations before it. In the end all is given
 * back, and not a page may be missing (vm/lib/end.c).
 *
 * The same seed does the same again: what is drawn depends on nothing but what was
 * drawn before, and the hash at the end is one of all operations with their results.
 * Only whether a page could be had is left out: that is up to others, too.
 *
 * On a kernel without unmapped blocks it is what the stock kernel has that is tried.
 *
 * Exit 0: it was so. 1: it was not. 4: there is nothing to be tried here.
 */
#include <sys/syscall.h>

#include "fuzz.h"

/* So many operations are printed when one fails */
#define RECENT	40

struct operation {
	const char *name;
	void (*run)(void);
	unsigned int weight;
	unsigned long times;
};

static struct operation operations[] = {
	{ "create", op_create, 5, 0 },
	{ "resize", op_resize, 2, 0 },
	{ "allocate", op_allocate, 5, 0 },
	{ "punch", op_punch, 6, 0 },
	{ "pass", op_pass, 2, 0 },
	{ "close", op_close, 2, 0 },
	{ "map", op_map, 10, 0 },
	{ "unmap", op_unmap, 4, 0 },
	{ "protect", op_protect, 6, 0 },
	{ "remap", op_remap, 10, 0 },
	{ "advise", op_advise, 14, 0 },
	{ "look", op_look, 16, 0 },
	{ "touch", op_touch, 8, 0 },
	{ "write", op_write, 20, 0 },
	{ "verify", op_verify, 1, 0 },
	{ "pipe", op_pipe, 5, 0 },
	{ "refused", op_refused, 5, 0 },
	{ "count", op_count, 2, 0 },
	{ "limit", op_limit, 1, 0 },
	{ "exact", op_exact, 1, 0 },
	{ "fork", op_fork, 3, 0 },
	{ "kill", op_kill, 2, 0 },
	{ "race", op_race, 2, 0 },
	{ "exec", op_exec, 1, 0 },
};

#define NR_OPERATIONS	(sizeof(operations) / sizeof(*operations))

bool stock;
struct stats stats;

static unsigned long done;
static unsigned long long seed;
static uint64_t hash = 0xcbf29ce484222325ULL;
static char recent[RECENT][256];
static size_t len;

static char *line(void)
{
	return recent[done % RECENT];
}

void say(const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line() + len, sizeof(recent[0]) - len, fmt, args);
	va_end(args);
	len += n;
	if (len < sizeof(recent[0]) - 1)
		line()[len++] = ' ';
	else
		len = sizeof(recent[0]) - 1;
	line()[len] = '\0';
}

void wrong(const char *fmt, ...)
{
	va_list args;

	for (unsigned long i = done < RECENT ? 0 : done - RECENT + 1; i <= done; i++)
		printf("%7lu %s\n", i, recent[i % RECENT]);
	printf("MISSED: operation %lu of seed %llu: ", done, seed);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void expect(const char *call, long result, int err)
{
	int got = result < 0 ? errno : 0;

	say("%s %s", call, err ? strerrorname_np(err) : "0");
	if (got != err)
		wrong("%s: %s, and not %s", call, got ? strerror(got) : "done",
		      err ? strerror(err) : "done");
	stats.refused += !!err;
}

bool expect_had(const char *call, long result, int err)
{
	if (!err && result < 0 && (errno == ENOSPC || errno == ENOMEM)) {
		/* Not in the hash, as it may be another time */
		say("%s 0", call);
		stats.lacked++;
		return false;
	}
	expect(call, result, err);
	return !err;
}

/* FNV-1a */
static void hash_line(void)
{
	for (const char *p = line(); *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
}

static void step(void)
{
	unsigned int sum = 0, nr;
	struct operation *op = operations;

	for (size_t i = 0; i < NR_OPERATIONS; i++)
		sum += operations[i].weight;
	for (nr = draw(sum); nr >= op->weight; op++)
		nr -= op->weight;
	len = 0;
	say("%s", op->name);
	op->run();
	op->times++;
	hash_line();
}

static void progress(unsigned long nr)
{
	printf("%3lu %%: %lu operations, %lu pages had, %lu not, %lu children (%lu killed)\n",
	       done * 100 / nr, done, stats.had, stats.not_had, stats.children, stats.killed);
	fflush(stdout);
}

static void print_sum(unsigned long nr)
{
	for (size_t i = 0; i < NR_OPERATIONS; i++)
		printf("%s%s %lu", i ? i % 8 ? ", " : ",\n" : "", operations[i].name,
		       operations[i].times);
	printf("\n%lu system calls refused and %lu signals as expected; %lu times nothing to do\n",
	       stats.refused, stats.faults, stats.nothing);
	printf("%lu pages had, %lu not; %lu system calls lacked memory; %lu times no socket\n",
	       stats.had, stats.not_had, stats.lacked, stats.no_socket);
	printf("again: fuzz %lu %llu; hash %016llx\n", nr, seed, (unsigned long long)hash);
	fflush(stdout);
}

/* Each page once more, and then there is none. */
static void give_back(void)
{
	len = 0;
	say("the end");
	no_limit();
	op_verify();
	for (size_t i = 0; i < SLOTS; i++) {
		if (slots[i].file != NONE)
			slot_access(i, LOOK, 0);
	}
	op_count();
	for (int i = 0; i < FILES; i++) {
		if (files[i].used)
			file_drop(&files[i]);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		if (slots[i].file != NONE)
			wrong("slot %zu still has file %d", i, slots[i].file);
	}
	munmap(arena, (SLOTS + 1) * PAGE);
	claim(stock || !read_meminfo("Secretmem"), "nothing is secret: %ld KiB",
	      stock ? 0 : read_meminfo("Secretmem"));
	/* Nor counts as locked: with a limit, so many pages can be had, and no more */
	op_exact();
}

static const char *missing(void)
{
	int fd = syscall(__NR_memfd_secret, 0);

	if (fd < 0)
		return "no memfd_secret(2)";
	close(fd);
	stock = read_vmstat("nr_no_direct_map") < 0;
	return stock ? NULL : run_missing();
}

int main(int argc, char **argv)
{
	unsigned long nr = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct run run = {};
	const char *why;
	double start;

	if (argc == 4 && !strcmp(argv[1], "--executed"))
		return executed(argv[2], argv[3]);
	if (argc > 3 || !nr) {
		fprintf(stderr, "usage: fuzz [OPERATIONS [SEED]]\n");
		return 2;
	}
	why = missing();
	if (why) {
		printf("SKIP: %s\n", why);
		return SKIP;
	}
	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		die("RLIMIT_MEMLOCK");
	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : any_seed();
	printf("again: fuzz %lu %llu%s\n", nr, seed, stock ? ", no unmapped blocks here" : "");
	if (!stock)
		run = run_begin();
	draw_from(seed, 0);
	page_begin();
	proc_begin();
	model_begin();

	start = now();
	for (done = 0; done < nr; done++) {
		if (!(done % (nr / 20 + 1)))
			progress(nr);
		step();
	}
	progress(nr);
	give_back();
	printf("%.1f s\n", now() - start);
	print_sum(nr);
	if (!stock)
		judge_end(&run);
	return !!failures;
}
