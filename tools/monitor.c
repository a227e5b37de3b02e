// SPDX-License-Identifier: GPL-2.0-only
/*
 * Look into the test machine from outside, through QEMU's monitor, while "demo
 * prove" (vm/demo.c) holds secret memory, or a guest has memory off the direct map:
 *
 *  - has any CPU a translation for the direct-map address of a secret page? And
 *    has each CPU the right one for each ordinary page?
 *  - is a secret page mapped anywhere else in the kernel's half of the address
 *    space, in any CPU's page tables?
 *  - in which pages of the machine's physical memory is the pattern that was
 *    written to secret memory? While it is in use: in these. After it was given
 *    back: in none.
 *
 * The program inside says which physical pages to look at; that it told the
 * truth shows when the pattern is found in just these pages.
 *
 * usage: monitor QMP-SOCKET SERIAL-SOCKET DIR
 *
 * DIR is for a FIFO that the dump goes through. Prints "proof ..." lines, which the program
 * inside gets, too: scripts/demo.sh judges them, and vm/guest_proof.c.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qmp.h"

#define IN_FLIGHT	32	/* monitor commands sent before an answer is read */
#define CHUNK		(4UL << 20)
#define MAX_FRAMES	(1UL << 24)
#define PATTERN		32

static int guest_fd;

/* What the program inside said */
static long cpus;
static uint64_t base;
static unsigned char pattern[2][PATTERN];
enum kind { NEITHER, SECRET, CONTROL, NR_KINDS };
static uint8_t *kind_of;		/* by frame */
static uint64_t *frames[NR_KINDS];
static unsigned long nr_frames[NR_KINDS];

__attribute__((format(printf, 1, 2)))
static void proof(const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	printf("proof %s\n", line);
	fflush(stdout);
	if (dprintf(guest_fd, "proof %s\n", line) < 0)
		die("cannot answer the machine");
}

static void forget_frames(void)
{
	memset(nr_frames, 0, sizeof(nr_frames));
	memset(kind_of, 0, MAX_FRAMES);
}

static void add_frames(enum kind kind, uint64_t first, unsigned long nr)
{
	if (first + nr > MAX_FRAMES)
		die("a page beyond %lu GiB", MAX_FRAMES >> (30 - PAGE_SHIFT));
	frames[kind] = realloc(frames[kind], (nr_frames[kind] + nr) * sizeof(uint64_t));
	for (unsigned long i = 0; i < nr; i++) {
		frames[kind][nr_frames[kind]++] = first + i;
		kind_of[first + i] = kind;
	}
}

/*
 * How many pages have a translation at their direct-map address, over all CPUs.
 * One that leads to another page would be just as bad, or worse.
 */
static unsigned long translations(enum kind kind, unsigned long *right)
{
	unsigned long nr = nr_frames[kind] * cpus, sent = 0, got = 0, mapped = 0;

	*right = 0;
	while (got < nr) {
		unsigned long phys;
		char *answer, *gpa;

		while (sent < nr && sent < got + IN_FLIGHT) {
			qmp_send("{\"execute\":\"human-monitor-command\",\"arguments\":{"
				 "\"command-line\":\"gva2gpa 0x%" PRIx64 "\",\"cpu-index\":%lu}}\n",
				 base + (frames[kind][sent / cpus] << PAGE_SHIFT), sent % cpus);
			sent++;
		}
		answer = qmp_answer();
		gpa = strstr(answer, "gpa: ");
		if (gpa) {
			mapped++;
			phys = strtoul(gpa + 5, NULL, 16);
			*right += phys == frames[kind][got / cpus] << PAGE_SHIFT;
		} else if (!strstr(answer, "Unmapped")) {
			die("gva2gpa says: %s", answer);
		}
		got++;
	}
	return mapped;
}

/*
 * The kernel's half of the page tables that each CPU runs on, walked from
 * outside. CPUs share tables: each is looked at once.
 */
static uint8_t *visited;		/* by frame, one bit a level */
static uint8_t *mapped_frame;
static unsigned long tables;

static void walk(uint64_t table, int level, int first)
{
	uint64_t entry[512];

	if (table >> PAGE_SHIFT >= MAX_FRAMES)
		die("a page table at %" PRIx64, table);
	if (visited[table >> PAGE_SHIFT] & (1 << level))
		return;
	visited[table >> PAGE_SHIFT] |= 1 << level;
	tables++;

	read_table(table, entry);
	for (int i = first; i < 512; i++) {
		uint64_t size = PAGE_SIZE << (9 * (level - 1));
		uint64_t frame = (entry[i] & ADDRESS) >> PAGE_SHIFT;

		if (!(entry[i] & PRESENT))
			continue;
		if (level > 1 && (level > 3 || !(entry[i] & LARGE))) {
			walk(entry[i] & ADDRESS, level - 1, 0);
			continue;
		}
		size >>= PAGE_SHIFT;
		frame &= ~(size - 1);
		for (uint64_t j = frame; j < frame + size && j < MAX_FRAMES; j++)
			mapped_frame[j] = 1;
	}
}

static void walk_all(void)
{
	memset(visited, 0, MAX_FRAMES);
	memset(mapped_frame, 0, MAX_FRAMES);
	tables = 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		walk(control_register(cpu, "CR3=") & ADDRESS,
		     control_register(cpu, "CR4=") & CR4_LA57 ? 5 : 4, 256);
}

static unsigned long nr_mapped(enum kind kind)
{
	unsigned long mapped = 0;

	for (unsigned long i = 0; i < nr_frames[kind]; i++)
		mapped += mapped_frame[frames[kind][i]];
	return mapped;
}

/* Pages of the machine in which a pattern was found, by whose they are. */
struct found {
	unsigned long own, elsewhere;
};

static struct found found[2];
static uint64_t last_frame[2];

static void search(const unsigned char *buf, size_t len, uint64_t phys)
{
	for (int i = 0; i < 2; i++) {
		const unsigned char *p = buf, *end = buf + len;

		while (p + PATTERN <= end && (p = memmem(p, end - p, pattern[i], PATTERN))) {
			uint64_t frame = (phys + (p - buf)) >> PAGE_SHIFT;

			if (frame != last_frame[i]) {
				last_frame[i] = frame;
				if (frame < MAX_FRAMES && kind_of[frame] == SECRET + i)
					found[i].own++;
				else
					found[i].elsewhere++;
			}
			/* One place in a page is enough */
			p = buf + (((frame + 1) << PAGE_SHIFT) - phys);
		}
	}
}

static int dump_fd;

static void read_dump(void *buf, size_t len)
{
	while (len) {
		struct pollfd p = { .fd = dump_fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 60000) != 1)
			die("no dump from the machine");
		n = read(dump_fd, buf, len);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			die("the dump ends early");
		buf = (char *)buf + n;
		len -= n;
	}
}

static void skip_dump(uint64_t len)
{
	char rest[4096];

	for (size_t n; len; len -= n) {
		n = len < sizeof(rest) ? len : sizeof(rest);
		read_dump(rest, n);
	}
}

static uint64_t dumped;

/* The machine's memory, as the monitor dumps it: an ELF core file. */
static void search_memory(const char *dir)
{
	static unsigned char buf[PATTERN + CHUNK];
	Elf64_Phdr *phdr;
	Elf64_Ehdr ehdr;
	uint64_t at;
	char fifo[4096], rest[4096];

	snprintf(fifo, sizeof(fifo), "%s/dump.fifo", dir);
	unlink(fifo);
	if (mkfifo(fifo, 0600))
		die("%s: %s", fifo, strerror(errno));
	dump_fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (dump_fd < 0)
		die("%s: %s", fifo, strerror(errno));
	fcntl(dump_fd, F_SETPIPE_SZ, 1 << 20);
	qmp_send("{\"execute\":\"dump-guest-memory\",\"arguments\":{"
		 "\"paging\":false,\"protocol\":\"file:%s\"}}\n", fifo);

	/* Without a writer yet, a read says "end". */
	for (int i = 0; ; i++) {
		struct pollfd p = { .fd = dump_fd, .events = POLLIN };

		if (poll(&p, 1, 100) == 1 && (p.revents & POLLIN))
			break;
		if (i == 300)
			die("no dump from the machine");
	}
	read_dump(&ehdr, sizeof(ehdr));
	if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || ehdr.e_ident[EI_CLASS] != ELFCLASS64)
		die("the dump is no 64-bit ELF file");
	skip_dump(ehdr.e_phoff - sizeof(ehdr));
	phdr = calloc(ehdr.e_phnum, sizeof(*phdr));
	read_dump(phdr, ehdr.e_phnum * sizeof(*phdr));
	at = ehdr.e_phoff + ehdr.e_phnum * sizeof(*phdr);

	memset(found, 0, sizeof(found));
	dumped = 0;
	for (int i = 0; i < ehdr.e_phnum; i++) {
		uint64_t done = 0;
		size_t kept = 0;

		if (phdr[i].p_type != PT_LOAD)
			continue;
		if (phdr[i].p_offset < at)
			die("the dump is out of order");
		skip_dump(phdr[i].p_offset - at);
		at = phdr[i].p_offset;
		memset(last_frame, 0xff, sizeof(last_frame));
		while (done < phdr[i].p_filesz) {
			size_t n = phdr[i].p_filesz - done;

			if (n > CHUNK)
				n = CHUNK;
			read_dump(buf + kept, n);
			search(buf, kept + n, phdr[i].p_paddr + done - kept);
			done += n;
			/* What may be the beginning of a pattern */
			n += kept;
			kept = n < PATTERN - 1 ? n : PATTERN - 1;
			memmove(buf, buf + n - kept, kept);
		}
		at += phdr[i].p_filesz;
		dumped += phdr[i].p_filesz;
	}
	/* Whatever comes after memory; the writer's end ends it. */
	for (;;) {
		struct pollfd p = { .fd = dump_fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 60000) != 1)
			die("no end of the dump");
		n = read(dump_fd, rest, sizeof(rest));
		if (!n || (n < 0 && errno != EAGAIN))
			break;
	}
	free(phdr);
	close(dump_fd);
	unlink(fifo);
	qmp_answer();
}

static void print_found(const char *when)
{
	proof("%s dump-mib %lu secret %lu elsewhere %lu control %lu elsewhere %lu",
	      when, (unsigned long)(dumped >> 20), found[0].own, found[0].elsewhere,
	      found[1].own, found[1].elsewhere);
}

static void look(const char *dir)
{
	unsigned long secret, control, right;

	qmp("stop");
	secret = translations(SECRET, &right);
	control = translations(CONTROL, &right);
	proof("pages secret %lu control %lu cpus %ld",
	      nr_frames[SECRET], nr_frames[CONTROL], cpus);
	proof("translations secret %lu control %lu right %lu", secret, control, right);
	walk_all();
	proof("mapped tables %lu secret %lu control %lu",
	      tables, nr_mapped(SECRET), nr_mapped(CONTROL));
	search_memory(dir);
	print_found("live");
	qmp("cont");
}

static void look_again(const char *dir)
{
	qmp("stop");
	search_memory(dir);
	print_found("freed");
	qmp("cont");
}

static void set_pattern(int i, const char *hex)
{
	uint64_t word[4];

	if (sscanf(hex, "%" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64,
		   &word[0], &word[1], &word[2], &word[3]) != 4)
		die("not a pattern: %s", hex);
	for (int j = 0; j < 4; j++)
		word[j] = ~word[j];
	memcpy(pattern[i], word, PATTERN);
}

int main(int argc, char **argv)
{
	char line[512];
	FILE *guest;

	if (argc != 4) {
		fprintf(stderr, "usage: monitor QMP-SOCKET SERIAL-SOCKET DIR\n");
		return 2;
	}
	kind_of = calloc(MAX_FRAMES, 1);
	visited = calloc(MAX_FRAMES, 1);
	mapped_frame = calloc(MAX_FRAMES, 1);
	qmp_open(argv[1]);
	guest_fd = connect_to(argv[2]);
	guest = fdopen(dup(guest_fd), "r");

	while (fgets(line, sizeof(line), guest)) {
		unsigned long nr;
		uint64_t first;

		line[strcspn(line, "\r\n")] = 0;
		if (sscanf(line, "cpus %ld", &cpus) == 1 ||
		    sscanf(line, "base %" SCNx64, &base) == 1)
			continue;
		if (!strncmp(line, "secret-pattern ", 15)) {
			set_pattern(0, line + 15);
		} else if (!strncmp(line, "control-pattern ", 16)) {
			set_pattern(1, line + 16);
		} else if (sscanf(line, "secret %" SCNx64 " %lx", &first, &nr) == 2) {
			add_frames(SECRET, first, nr);
		} else if (sscanf(line, "control %" SCNx64 " %lx", &first, &nr) == 2) {
			add_frames(CONTROL, first, nr);
		} else if (!strcmp(line, "forget")) {
			forget_frames();
		} else if (!strcmp(line, "look")) {
			look(argv[3]);
			dprintf(guest_fd, "ok\n");
		} else if (!strcmp(line, "look-again")) {
			look_again(argv[3]);
			dprintf(guest_fd, "ok\n");
		} else if (!strcmp(line, "bye")) {
			printf("proof end\n");
			return 0;
		} else if (line[0]) {
			die("the machine says: %s", line);
		}
	}
	die("the machine is gone");
}
