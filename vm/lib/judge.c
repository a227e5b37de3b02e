// SPDX-License-Identifier: GPL-2.0-only
/* What is judged. */
#include <sys/wait.h>

#include "lib/judge.h"

int failures;

void claim(bool held, const char *fmt, ...)
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

void in_child(void (*what)(void))
{
	pid_t pid = spawn();
	int status;

	if (!pid) {
		what();
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		claim(false, "a process of ours ended with status 0x%x", status);
}

void *shared_memory(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (mem == MAP_FAILED)
		die("mmap");
	return mem;
}
