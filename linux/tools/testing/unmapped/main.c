// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs KUnit suites in user space, and prints KTAP.
 *
 * What the page allocator decides about unmapped memory is in files that need
 * little of the kernel. Here they are compiled as they are, with stubs.h in place
 * of the rest, and tried under AddressSanitizer and UBSan with more cases than a
 * booting kernel has time for. What needs a machine (page tables, TLBs, locks) is
 * the business of the KUnit suites in mm/ and of the selftests.
 *
 * A part is freetype.c, take.c, ...: it includes one file of the kernel whole and
 * registers a suite.
 *
 * Usage: on [SUITE...], off [SUITE...]
 */
#include <stdio.h>
#include <stdlib.h>

#include "kunit.h"
#include "stubs.h"

struct kunit *kunit_current;
static struct kunit_suite *suites;

/* The machine that stubs.h is of */
unsigned int unit_cpu;
int unit_preempt_depth, unit_migrate_depth;
bool unit_in_interrupt;
void (*unit_preempt_hook)(void);
int unit_fail_alloc;

void unit_reset(void)
{
	unit_cpu = 0;
	unit_preempt_depth = 0;
	unit_migrate_depth = 0;
	unit_in_interrupt = false;
	unit_preempt_hook = NULL;
	unit_fail_alloc = 0;
}

void kunit_register(struct kunit_suite *suite)
{
	struct kunit_suite **end = &suites;

	while (*end)
		end = &(*end)->next;
	*end = suite;
}

void kunit_fail(struct kunit *test, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	test->failed = true;
	printf("    # %s: %s:%d: ", test->name, file, line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

bool unit_warn(bool cond, const char *what, const char *file, int line)
{
	if (cond && kunit_current) {
		kunit_current->warnings++;
		printf("    # %s: warning at %s:%d: %s\n", kunit_current->name, file, line, what);
	}
	return cond;
}

static void run_case(struct kunit_suite *suite, struct kunit_case *c, struct kunit *test)
{
	unit_reset();
	if (!setjmp(test->out)) {
		if (suite->init && suite->init(test)) {
			kunit_fail(test, __FILE__, __LINE__, "init failed");
			return;
		}
		c->run_case(test);
	}
	if (suite->exit)
		suite->exit(test);
	/* Nobody may leave the CPU in another state than it was in. */
	KUNIT_EXPECT_EQ(test, unit_preempt_depth, 0);
	KUNIT_EXPECT_EQ(test, unit_migrate_depth, 0);
	KUNIT_EXPECT_EQ(test, test->warnings, 0);
}

static bool run_suite(struct kunit_suite *suite, unsigned int nr)
{
	unsigned int n = 0, failed = 0, i;
	bool ok = true;

	while (suite->test_cases[n].run_case)
		n++;
	printf("    KTAP version 1\n    # Subtest: %s\n    1..%u\n", suite->name, n);
	if (suite->suite_init && suite->suite_init(suite))
		ok = false;
	for (i = 0; ok && i < n; i++) {
		struct kunit test = { .name = suite->test_cases[i].name };

		kunit_current = &test;
		run_case(suite, &suite->test_cases[i], &test);
		kunit_current = NULL;
		printf("    %sok %u %s%s%s\n", test.failed ? "not " : "", i + 1, test.name,
		       test.skipped[0] ? " # SKIP " : "", test.skipped);
		failed += test.failed;
	}
	ok = ok && !failed;
	if (suite->suite_exit)
		suite->suite_exit(suite);
	printf("%sok %u %s\n", ok ? "" : "not ", nr, suite->name);
	fflush(stdout);
	return ok;
}

static bool wanted(const struct kunit_suite *suite, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], suite->name))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	unsigned int nr = 0, failed = 0;
	struct kunit_suite *s;

	/* What was said before a sanitizer ends the program is of interest. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (s = suites; s; s = s->next)
		nr += wanted(s, argc, argv);
	printf("KTAP version 1\n1..%u\n", nr);
	nr = 0;
	for (s = suites; s; s = s->next)
		if (wanted(s, argc, argv))
			failed += !run_suite(s, ++nr);

	/* Nothing to run is no success. */
	return nr && !failed ? EXIT_SUCCESS : EXIT_FAILURE;
}
