// SPDX-License-Identifier: GPL-2.0-only
/*
 * Print how many kHz this processor's time stamp counter runs at. QEMU's
 * emulation shows it to the guest, which, on a busy host, cannot measure it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#define ROUNDS	9

static uint64_t nanoseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	uint64_t khz[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t ns = nanoseconds(), tsc = __rdtsc(), now;

		do {
			now = nanoseconds();
		} while (now - ns < 10000000);
		khz[i] = (__rdtsc() - tsc) * 1000000 / (now - ns);
	}
	/* Rounds in which the task did not run between the two are off */
	qsort(khz, ROUNDS, sizeof(*khz), compare);
	printf("%llu\n", (unsigned long long)khz[ROUNDS / 2]);
	return 0;
}
