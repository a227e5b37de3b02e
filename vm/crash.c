// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a crash dump has of memory off the direct map. For vm/crash.sh:
 *
 *   crash leave KERNEL INITRD PARAMETERS
 *			leave memory of several kinds with patterns, some of it freed,
 *			load the kernel that is to read the dump, and crash
 *   crash search STEP	count the patterns in a dump on standard input, at addresses that
 *			STEP divides
 *
 * A pattern is 64 bytes, each word computed from the one before by a key that this draws,
 * and by the kind of memory. Nothing but the key, which the other kernel has in its
 * parameters, says anything about it, neither a program nor a log. It is written word for
 * word, so that there is no whole one elsewhere, as in what registers were saved to.
 *
 * Exit status 4: this machine cannot.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "program.h"
#include "unmapped_util.h"

#define SKIP	4
#define PAGE	4096UL
#define WORDS	8			/* of a pattern */
#define PATTERN_SIZE	(WORDS * sizeof(uint64_t))
#define CRASH	2			/* KEXEC_FILE_ON_CRASH */

/* Kinds of memory. */
enum {
	SECRET_SINGLE,			/* secret, single pages */
	SECRET_LARGE,			/* secret, touched in order: large folios */
	SECRET_FREED,
	ANON,
	ANON_LARGE,			/* the same in huge pages */
	ANON_FREED,			/* which nobody erases */
	PIPE,				/* a kernel's own pages, that each dump has */
	NR_KINDS
};

static const char * const kinds[NR_KINDS] = {
	"secret_single", "secret_large", "secret_freed", "anon", "anon_large", "anon_freed", "pipe",
};

#define SINGLE_SIZE	(4 * MiB)
#define LARGE_SIZE	(8 * MiB)
#define FREED_SIZE	(64 * MiB)
#define ANON_SIZE	(8 * MiB)
#define ANON_FREED_SIZE	(64 * MiB)	/* far more than a CPU's own lists take */
#define HUGE_SIZE	(2 * MiB)
#define PIPE_SIZE	(64 * 1024UL)

static uint64_t key;

/* What comes after a word, but for the kind that is added. */
static inline uint64_t next(uint64_t word)
{
	word = (word ^ key) * 0x9e3779b97f4a7c15ULL;
	return word ^ word >> 29;
}

/* A page, of its own. */
static void fill_page(char *page, int kind)
{
	volatile uint64_t *words = (void *)page;
	static uint64_t pages;
	uint64_t word = next(++pages);

	for (size_t i = 0; i < PAGE / sizeof(word); i++) {
		words[i] = word;
		word = next(word) + kind;
	}
}

static void mark(char *mem, size_t size, int kind)
{
	for (size_t i = 0; i < size; i += PAGE)
		fill_page(mem + i, kind);
}

static char *secret(size_t size)
{
	char *mem = secret_map(size);

	if (mem == MAP_FAILED) {
		if (errno == ENOSYS) {
			printf("skip: no memfd_secret\n");
			exit(SKIP);
		}
		die("secret memory");
	}
	return mem;
}

static char *anon(size_t size)
{
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		die("mmap");
	return mem;
}

static void leave_pages(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char *single, *large, *freed, *between, *kept, *huge, *page;
	int ends[2];

	if (setrlimit(RLIMIT_MEMLOCK, &all))
		die("setrlimit");

	/* From the last page to the first, so that they are single; and others between them */
	single = secret(SINGLE_SIZE);
	between = secret(SINGLE_SIZE);
	for (size_t i = SINGLE_SIZE; i; i -= PAGE) {
		fill_page(single + i - PAGE, SECRET_SINGLE);
		fill_page(between + i - PAGE, SECRET_FREED);
	}
	large = secret(LARGE_SIZE);
	mark(large, LARGE_SIZE, SECRET_LARGE);

	kept = anon(ANON_SIZE);
	mark(kept, ANON_SIZE, ANON);
	huge = anon(ANON_SIZE + HUGE_SIZE);
	huge += -(uintptr_t)huge % HUGE_SIZE;
	if (madvise(huge, ANON_SIZE, MADV_HUGEPAGE))
		die("MADV_HUGEPAGE");
	mark(huge, ANON_SIZE, ANON_LARGE);

	/* Through a page that the kernel does not get to see: it copies */
	page = anon(PAGE);
	if (pipe(ends))
		die("pipe");
	for (size_t i = 0; i < PIPE_SIZE; i += PAGE) {
		fill_page(page, PIPE);
		if (write(ends[1], page, PAGE) != (ssize_t)PAGE)
			die("write to the pipe");
	}
	memset(page, 0, PAGE);

	/*
	 * A page that is new to a file or a program waits, one of up to 30 of a CPU, to be put
	 * on the lists by which a dump's reader knows it: until then it is in any dump.
	 */
	if (put("/proc/sys/vm/compact_memory", "1"))
		die("compact_memory");

	/* What is freed comes last, as others would get it */
	freed = secret(FREED_SIZE);
	mark(freed, FREED_SIZE, SECRET_FREED);
	munmap(freed, FREED_SIZE);
	munmap(between, SINGLE_SIZE);
	freed = anon(ANON_FREED_SIZE);
	mark(freed, ANON_FREED_SIZE, ANON_FREED);
	munmap(freed, ANON_FREED_SIZE);
}

static void load(const char *kernel, const char *initrd, const char *more)
{
	int kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	int initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
	char params[2048];
	int len = snprintf(params, sizeof(params), "%s crash.key=%llx", more,
			   (unsigned long long)key);

	if (kernel_fd < 0 || initrd_fd < 0)
		die("the kernel to read the dump, or its initramfs");
	if (len >= (int)sizeof(params)) {
		printf("error: too many parameters\n");
		exit(1);
	}
	if (syscall(SYS_kexec_file_load, kernel_fd, initrd_fd, len + 1, params, CRASH))
		die("kexec_file_load");
}

static int leave(char **argv)
{
	char text[128];
	long unmapped;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		die("getrandom");
	load(argv[0], argv[1], argv[2]);
	leave_pages();

	/* Counts of each CPU to where the dump's reader looks for them */
	put("/proc/sys/vm/stat_refresh", "1");
	unmapped = vmstat_now("nr_free_no_direct_map");
	snprintf(text, sizeof(text), "crash: free %ld unmapped %ld\n", vmstat_now("nr_free_pages"),
		 unmapped);
	if (unmapped >= 0 && (size_t)unmapped < FREED_SIZE / PAGE / 2) {
		printf("%serror: more is free off the direct map\n", text);
		return 1;
	}
	/*
	 * The console is for what nobody expects: at 0, a panic does not make it verbose.
	 * All of it is in the log, which the other kernel looks through.
	 */
	if (put("/dev/kmsg", text) || put("/proc/sys/kernel/printk", "0"))
		die("the kernel's log");
	put("/proc/sysrq-trigger", "c");
	die("no crash");
}

static uint64_t word_at(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* The kind of memory that has this pattern, or NR_KINDS. */
static uint64_t kind_at(const char *at)
{
	uint64_t word = word_at(at), after = word_at(at + sizeof(word));
	uint64_t kind = after - next(word);

	for (int w = 2; kind < NR_KINDS && w < WORDS; w++) {
		word = after;
		after = word_at(at + w * sizeof(word));
		if (after - next(word) != kind)
			return NR_KINDS;
	}
	return kind < NR_KINDS ? kind : NR_KINDS;
}

static int search(size_t step)
{
	const char *text = parameter("crash.key", NULL);
	unsigned long long found[NR_KINDS] = {}, bytes = 0;
	static char buf[MiB];
	size_t len = 0, at;
	ssize_t n;

	if (!text || !step) {
		printf("error: no crash.key, or no STEP\n");
		return 1;
	}
	key = strtoull(text, NULL, 16);
	do {
		n = read(0, buf + len, sizeof(buf) - len);
		if (n < 0)
			die("read");
		bytes += n;
		len += n;
		/* All that there is room for, so that little is moved */
		if (n && len < sizeof(buf))
			continue;
		for (at = 0; at + PATTERN_SIZE <= len;) {
			uint64_t kind = kind_at(buf + at);

			if (kind < NR_KINDS)
				found[kind]++;
			at += kind < NR_KINDS ? PATTERN_SIZE : step;
		}
		len -= at;
		memmove(buf, buf + at, len);
	} while (n);
	printf("bytes %llu\n", bytes);
	for (int k = 0; k < NR_KINDS; k++)
		printf("%s %llu\n", kinds[k], found[k]);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "leave"))
		return leave(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "search"))
		return search(strtoul(argv[2], NULL, 0));
	printf("error: see vm/crash.c\n");
	return 1;
}
