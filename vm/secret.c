// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds secret memory while a command runs.
 *
 *   secret MIB COMMAND [ARGUMENT...]
 *
 * Writes to each page of MIB MiB of memfd_secret(2) memory, runs the command,
 * and looks whether each page still has what was written. The exit status is the
 * command's; 125 if there was no such memory, or if it did not keep its contents.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE		4096UL
#define WORDS		(PAGE / sizeof(uint64_t))

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

static void die(const char *what)
{
	fprintf(stderr, "secret: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* Beyond RLIMIT_MEMLOCK of its user, or without memory, a page cannot be had. */
static void none_left(int sig)
{
	static const char text[] = "secret: a page could not be had (RLIMIT_MEMLOCK?)\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)sig;
	(void)n;
	_exit(125);
}

/* What is written to a page, and no other word of any page has. */
static uint64_t mark(size_t word)
{
	return (word + 1) * 0x9e3779b97f4a7c15ULL;
}

int main(int argc, char **argv)
{
	unsigned long mib = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	size_t len = mib << 20;
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	uint64_t *p;
	int fd, status;
	pid_t pid;

	if (!mib) {
		fprintf(stderr, "usage: secret MIB COMMAND [ARGUMENT...]\n");
		return 125;
	}
	/* Only root may: for others it is as it is */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	signal(SIGBUS, none_left);
	fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	if (fd < 0)
		die("memfd_secret");
	if (ftruncate(fd, len))
		die("ftruncate");
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die("mmap (RLIMIT_MEMLOCK?)");
	for (size_t i = 0; i < len / sizeof(*p); i += WORDS)
		p[i] = mark(i);

	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		execvp(argv[2], argv + 2);
		fprintf(stderr, "secret: %s: %s\n", argv[2], strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");

	for (size_t i = 0; i < len / sizeof(*p); i++) {
		/* The rest of a page is as the kernel gave it: zero. */
		if (p[i] != (i % WORDS ? 0 : mark(i))) {
			fprintf(stderr, "secret: byte %zu is not what was written\n",
				i * sizeof(*p));
			return 125;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
