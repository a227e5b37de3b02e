// SPDX-License-Identifier: GPL-2.0-only
/* What tests say. */
#include <stdio.h>

#include "lib/tap.h"

static int nr_tests, nr_failed;

void tap_vtest(bool ok, const char *fmt, va_list ap)
{
	printf("%sok %d - ", ok ? "" : "not ", ++nr_tests);
	vprintf(fmt, ap);
	printf("\n");
	fflush(stdout);
	nr_failed += !ok;
}

void tap_test(bool ok, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_vtest(ok, fmt, ap);
	va_end(ap);
}

int tap_end(void)
{
	printf("1..%d\n", nr_tests);
	return nr_failed != 0;
}
