// SPDX-License-Identifier: GPL-2.0-only
/* What is judged, and what is drawn. */
#include <sys/random.h>
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

/* xorshift64 */
static uint64_t rng;

uint64_t draw(uint64_t limit)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 16) % limit;
}

void draw_from(uint64_t seed, int nr)
{
	/* The first eight of a seed begin where none of the next seed does */
	rng = (seed * 8 + nr + 1) * 0x9e3779b97f4a7c15ULL;
	/* Never 0 */
	if (!rng)
		rng = 1;
	for (int i = 0; i < 8; i++)
		draw(1);
}

uint64_t any_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		die("getrandom");
	return seed >> 32;
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
