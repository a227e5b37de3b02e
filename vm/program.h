/* SPDX-License-Identifier: GPL-2.0-only */
/* What programs of the test machine have in common. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* What somebody reads who looks why a test failed. */
__attribute__((noreturn, unused))
static void die(const char *what)
{
	printf("error: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	exit(1);
}

/* Nanoseconds, of which each is an instruction where these are counted. */
__attribute__((unused))
static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Seconds */
__attribute__((unused))
static double now(void)
{
	return now_ns() / 1e9;
}

/* All of a file, as far as there is room. */
__attribute__((unused))
static bool slurp_if(const char *file, char *text, size_t size)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while (len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	text[len] = 0;
	close(fd);
	return true;
}

/* The same for one that must be there. */
__attribute__((unused))
static void slurp(const char *file, char *text, size_t size)
{
	if (!slurp_if(file, text, size))
		die(file);
}

/* Write to a file: 0, or the error. */
__attribute__((unused))
static int put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		err = errno;
	close(fd);
	return err;
}

/* The number after a name at the start of a line, or -1. */
__attribute__((unused))
static long lookup(const char *text, const char *key)
{
	const size_t len = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, len) && (line[len] == ' ' || line[len] == '\t'))
			return strtol(line + len, NULL, 10);
	}
	return -1;
}

/* The same in a file that must be there, as it is now. */
__attribute__((unused))
static long lookup_in(const char *file, const char *key)
{
	static char text[32768];

	slurp(file, text, sizeof(text));
	return lookup(text, key);
}

__attribute__((unused))
static long vmstat_now(const char *key)
{
	return lookup_in("/proc/vmstat", key);
}

/*
 * Function calls, of a CPU, or of all with -1. A TLB shootdown is one of them: line
 * TLB counts those of user memory once more.
 */
__attribute__((unused))
static long interrupts(int cpu)
{
	static char text[65536];
	long sum = 0;

	slurp("/proc/interrupts", text, sizeof(text));
	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		char *p, *end;
		int i = 0;

		line += strspn(line, " \n");
		if (strncmp(line, "CAL:", 4))
			continue;
		for (p = line + 4; ; p = end, i++) {
			long n = strtol(p, &end, 10);

			if (p == end)
				break;
			if (cpu < 0 || i == cpu)
				sum += n;
		}
	}
	return sum;
}

/* From now on, on that CPU only. */
__attribute__((unused))
static void on_cpu(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity");
}

/* fork(), with nothing left to be printed twice. */
__attribute__((unused))
static pid_t spawn(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	return pid;
}

/* A parameter of the kernel's command line, as text: static memory. */
__attribute__((unused))
static const char *parameter(const char *name, const char *otherwise)
{
	static char text[4096];
	static char value[256];
	const size_t len = strlen(name);

	if (!text[0]) {
		FILE *f = fopen("/proc/cmdline", "r");

		if (!f || !fgets(text, sizeof(text), f))
			die("/proc/cmdline");
		fclose(f);
	}
	for (const char *p = text; (p = strstr(p, name)); p += len) {
		if ((p != text && p[-1] != ' ') || p[len] != '=')
			continue;
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(p + len + 1, " \n"),
			 p + len + 1);
		return value;
	}
	return otherwise;
}

/* The same for a number. */
__attribute__((unused))
static long number(const char *name, long otherwise)
{
	const char *text = parameter(name, NULL);

	return text ? strtol(text, NULL, 0) : otherwise;
}

#endif /* PROGRAM_H */
