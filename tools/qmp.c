// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qmp.h"

static int qmp_fd = -1;
static FILE *qmp_in;

void die(const char *fmt, ...)
{
	char rest[256];
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	/* QEMU drops commands of those who are gone: stay until it is. */
	if (qmp_fd >= 0 && dprintf(qmp_fd, "{\"execute\":\"quit\"}\n") > 0) {
		alarm(10);
		while (read(qmp_fd, rest, sizeof(rest)) > 0)
			;
	}
	exit(1);
}

int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die("%s: too long for a socket's name", path);
	strcpy(addr.sun_path, path);
	for (int i = 0; i < 300; i++) {
		if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
			return fd;
		usleep(100000);
	}
	die("%s: %s", path, strerror(errno));
}

void qmp_send(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (len >= (int)sizeof(line) || write(qmp_fd, line, len) != len)
		die("cannot write to the monitor");
}

/* The next answer; events in between are of no interest. */
char *qmp_answer(void)
{
	static char *line;
	static size_t size;

	do {
		if (getline(&line, &size, qmp_in) <= 0)
			die("the machine is gone");
	} while (strstr(line, "\"event\":"));
	if (!strstr(line, "\"return\":"))
		die("the monitor says: %s", line);
	return line;
}

void qmp(const char *command)
{
	qmp_send("{\"execute\":\"%s\"}\n", command);
	qmp_answer();
}

static bool skip_line(FILE *f)
{
	int c;

	do
		c = fgetc(f);
	while (c != EOF && c != '\n');
	return c == '\n';
}

void qmp_open(const char *path)
{
	qmp_fd = connect_to(path);
	qmp_in = fdopen(dup(qmp_fd), "r");
	/* First, it says which QEMU it is. */
	if (!skip_line(qmp_in))
		die("%s: no monitor", path);
	qmp("qmp_capabilities");
}

void hmp(int cpu, const char *command)
{
	qmp_send("{\"execute\":\"human-monitor-command\",\"arguments\":{"
		 "\"command-line\":\"%s\",\"cpu-index\":%d}}\n", command, cpu);
}

unsigned long control_register(int cpu, const char *name)
{
	char *p;

	hmp(cpu, "info registers");
	p = strstr(qmp_answer(), name);
	if (!p)
		die("no %s among the registers", name);
	return strtoul(p + strlen(name), NULL, 16);
}

void read_table(uint64_t table, uint64_t entry[512])
{
	char command[64], *p;
	int n = 0;

	snprintf(command, sizeof(command), "xp /512xg 0x%" PRIx64, table);
	hmp(0, command);
	for (p = qmp_answer(); n < 512 && (p = strstr(p, "0x")); n++)
		entry[n] = strtoull(p, &p, 16);
	if (n != 512)
		die("the monitor shows %d entries of a page table", n);
}
