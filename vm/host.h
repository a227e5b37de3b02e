/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For programs of the test machine that somebody looks at from outside: a
 * program of tools/ is at the other end of a serial port (boot.sh --host).
 */
#ifndef HOST_H
#define HOST_H

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "program.h"

#define PAGE	4096UL

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

static FILE *host;

static void open_host(void)
{
	char path[64];
	struct termios t;
	int fd = -1;

	/* The one serial port that is on the PCI bus */
	for (int i = 0; i < 16 && fd < 0; i++) {
		static const char *const up[] = { "", "../", "../../", "../../../" };
		bool pci = false;

		for (int j = 0; j < 4 && !pci; j++) {
			snprintf(path, sizeof(path), "/sys/class/tty/ttyS%d/device/%svendor",
				 i, up[j]);
			pci = !access(path, F_OK);
		}
		snprintf(path, sizeof(path), "/dev/ttyS%d", i);
		if (pci)
			fd = open(path, O_RDWR | O_NOCTTY);
	}
	if (fd < 0) {
		errno = ENODEV;
		die("no serial port to the host");
	}
	tcgetattr(fd, &t);
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	tcsetattr(fd, TCSANOW, &t);
	host = fdopen(fd, "r+");
	if (!host)
		die(path);
	setvbuf(host, NULL, _IONBF, 0);
}

__attribute__((format(printf, 1, 2)))
static void tell(const char *fmt, ...)
{
	char line[256];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (write(fileno(host), line, len) != len)
		die("writing to the host");
}

/* A line from the host, without its end */
static void hear(char *line, size_t size)
{
	size_t len = 0;

	for (;;) {
		if (read(fileno(host), line + len, 1) != 1)
			die("reading from the host");
		if (line[len] == '\n')
			break;
		if (len < size - 2)
			len++;
	}
	line[len] = 0;
}

/*
 * Have tools/monitor.c do something: lines of its own go to @line, where there is one, and an
 * "ok" says that it has done it.
 */
__attribute__((unused))
static void ask(const char *what, void (*said)(const char *line))
{
	char line[256];

	tell("%s\n", what);
	for (;;) {
		hear(line, sizeof(line));
		if (!strcmp(line, "ok"))
			return;
		if (strncmp(line, "proof ", 6)) {
			printf("error: the host says: %s\n", line);
			exit(1);
		}
		if (said)
			said(line);
	}
}

/*
 * A pattern of 32 bytes that is not known before this runs, all over each
 * page. Only its complement is ever in memory that isn't the pattern's: the
 * words are complemented in a register, one at a time, so that neither this
 * program, nor saved registers, nor the line to the host has all of them.
 */
struct pattern {
	uint64_t complement[4];
};

__attribute__((unused))
static void fill(char *p, unsigned long pages, const struct pattern *pattern)
{
	volatile uint64_t *word = (volatile uint64_t *)p;

	for (unsigned long i = 0; i < pages * PAGE / 8; i++)
		word[i] = ~((const volatile uint64_t *)pattern->complement)[i % 4];
}

__attribute__((unused))
static void tell_pattern(const char *what, const struct pattern *pattern)
{
	tell("%s %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n", what,
	     pattern->complement[0], pattern->complement[1],
	     pattern->complement[2], pattern->complement[3]);
}

/*
 * Where the direct map begins, whatever KASLR and the number of page-table
 * levels: /proc/kcore's program headers have both addresses of each piece of
 * memory. Those of the kernel's image are not the direct map's.
 */
__attribute__((unused))
static uint64_t direct_map_base(void)
{
	int fd = open("/proc/kcore", O_RDONLY);
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	if (fd < 0 || pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr))
		die("/proc/kcore");
	for (int i = 0; i < ehdr.e_phnum; i++) {
		if (pread(fd, &phdr, sizeof(phdr), ehdr.e_phoff + i * sizeof(phdr)) != sizeof(phdr))
			break;
		if (phdr.p_type == PT_LOAD && phdr.p_paddr != ~0ULL &&
		    phdr.p_vaddr < 0xffffffff80000000ULL) {
			close(fd);
			return phdr.p_vaddr - phdr.p_paddr;
		}
	}
	errno = ENOENT;
	die("the direct map in /proc/kcore");
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Where the pages of a process are: sorted, neighbours in one line. */
__attribute__((unused))
static void tell_frames_of(const char *pid, const char *what, const char *p, unsigned long pages)
{
	uint64_t *frame = malloc(pages * sizeof(*frame));
	unsigned long i, n;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/pagemap", pid);
	fd = open(path, O_RDONLY);

	if (!frame || fd < 0)
		die(path);
	for (i = 0; i < pages; i++) {
		if (pread(fd, &frame[i], 8, ((uintptr_t)p / PAGE + i) * 8) != 8)
			die(path);
		if (!(frame[i] >> 63) || !(frame[i] << 9)) {
			errno = ENODATA;
			die("pagemap has no frame");
		}
		frame[i] = frame[i] << 9 >> 9;
	}
	close(fd);
	qsort(frame, pages, sizeof(*frame), compare);
	for (i = 0; i < pages; i += n) {
		for (n = 1; i + n < pages && frame[i + n] == frame[i] + n; n++)
			;
		tell("%s %" PRIx64 " %lx\n", what, frame[i], n);
	}
	free(frame);
}

__attribute__((unused))
static void tell_frames(const char *what, const char *p, unsigned long pages)
{
	tell_frames_of("self", what, p, pages);
}

#endif /* HOST_H */
