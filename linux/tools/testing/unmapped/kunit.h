/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of <kunit/test.h> as tests of logic need: a suite that is written for
 * the kernel is compiled here as it is. main.c runs what is registered.
 */
#pragma once

/* For functions that KUnit can redirect; a part defines those that it redirects. */
#define KUNIT_STATIC_STUB_REDIRECT(...) do { } while (0)

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <linux/compiler.h>

struct kunit {
	const char *name;
	void *priv;
	bool failed;
	char skipped[128];
	unsigned int warnings;	/* WARN_ON_ONCE() that were true; a failure if left */
	jmp_buf out;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	int (*suite_init)(struct kunit_suite *suite);
	void (*suite_exit)(struct kunit_suite *suite);
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
	struct kunit_suite *next;
};

extern struct kunit *kunit_current;

void kunit_register(struct kunit_suite *suite);
void kunit_fail(struct kunit *test, const char *file, int line, const char *fmt, ...)
	__printf(4, 5);

#define KUNIT_CASE(fn)		{ .run_case = fn, .name = #fn }

#define kunit_test_suite(suite)						\
static void __attribute__((constructor)) register_##suite(void)		\
{									\
	kunit_register(&suite);						\
}									\
struct kunit

#define MODULE_LICENSE(x)	struct kunit
#define MODULE_DESCRIPTION(x)	struct kunit

#define kunit_skip(test, fmt, ...) do {							\
	snprintf((test)->skipped, sizeof((test)->skipped), fmt, ##__VA_ARGS__);	\
	longjmp((test)->out, 1);							\
} while (0)

/* Values of any integer or pointer type, each looked at once */
#define __KUNIT_CHECK(test, a, op, b, fatal) do {				\
	__typeof__(a) __a = (a);						\
	__typeof__(b) __b = (b);						\
										\
	if (!(__a op __b)) {							\
		kunit_fail(test, __FILE__, __LINE__,				\
			   "%s " #op " %s: %lld, %lld", #a, #b,			\
			   (long long)__a, (long long)__b);			\
		if (fatal)							\
			longjmp((test)->out, 1);				\
	}									\
} while (0)

#define __KUNIT_TRUE(test, cond, want, fatal) do {				\
	bool __c = (cond);							\
										\
	if (__c != (want)) {							\
		kunit_fail(test, __FILE__, __LINE__, "%s is %s", #cond,		\
			   (want) ? "false" : "true");				\
		if (fatal)							\
			longjmp((test)->out, 1);				\
	}									\
} while (0)

#define KUNIT_EXPECT_EQ(t, a, b)	__KUNIT_CHECK(t, a, ==, b, false)
#define KUNIT_EXPECT_NE(t, a, b)	__KUNIT_CHECK(t, a, !=, b, false)
#define KUNIT_EXPECT_LT(t, a, b)	__KUNIT_CHECK(t, a, <, b, false)
#define KUNIT_EXPECT_LE(t, a, b)	__KUNIT_CHECK(t, a, <=, b, false)
#define KUNIT_EXPECT_GT(t, a, b)	__KUNIT_CHECK(t, a, >, b, false)
#define KUNIT_EXPECT_GE(t, a, b)	__KUNIT_CHECK(t, a, >=, b, false)
#define KUNIT_EXPECT_PTR_EQ(t, a, b)	__KUNIT_CHECK(t, a, ==, b, false)
#define KUNIT_EXPECT_NULL(t, a)		__KUNIT_TRUE(t, !(a), true, false)
#define KUNIT_EXPECT_NOT_NULL(t, a)	__KUNIT_TRUE(t, a, true, false)
#define KUNIT_EXPECT_TRUE(t, c)		__KUNIT_TRUE(t, c, true, false)
#define KUNIT_EXPECT_FALSE(t, c)	__KUNIT_TRUE(t, c, false, false)
#define KUNIT_EXPECT_STREQ(t, a, b)	__KUNIT_TRUE(t, !strcmp(a, b), true, false)
#define KUNIT_EXPECT_STRNEQ(t, a, b)	__KUNIT_TRUE(t, !strcmp(a, b), false, false)
#define KUNIT_ASSERT_EQ(t, a, b)	__KUNIT_CHECK(t, a, ==, b, true)
#define KUNIT_ASSERT_NE(t, a, b)	__KUNIT_CHECK(t, a, !=, b, true)
#define KUNIT_ASSERT_TRUE(t, c)		__KUNIT_TRUE(t, c, true, true)
