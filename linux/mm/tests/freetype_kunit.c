// SPDX-License-Identifier: GPL-2.0-only
/*
 * The encoding and the merge rules of freetypes.
 */
#include <kunit/test.h>
#include <linux/jump_label.h>
#include <linux/mmzone.h>

/* The encoding is judged as it is where memory has flags */
static int freetype_suite_init(struct kunit_suite *suite)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	static_branch_enable(&freetype_flags_key);
#endif
	return 0;
}

/* Memory without flags is indexed as it was by its migratetype. */
static void freetype_plain_is_migratetype(struct kunit *test)
{
	for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
		freetype_t ft = freetype_plain(mt);

		KUNIT_EXPECT_EQ(test, ft.list, mt);
		KUNIT_EXPECT_EQ(test, freetype_list_index(mt, 0), mt);
		KUNIT_EXPECT_EQ(test, freetype_migratetype(ft), mt);
		KUNIT_EXPECT_EQ(test, freetype_flags(ft), 0);
		KUNIT_EXPECT_FALSE(test, freetype_unmapped(ft));
		KUNIT_EXPECT_STREQ(test, freetype_name(ft), migratetype_names[mt]);
	}
}

/* Each list has a freetype that leads back to it, and a name of its own. */
static void freetype_lists_round_trip(struct kunit *test)
{
	for (int list = 0; list < NR_FREETYPES; list++) {
		freetype_t ft = freetype_from_list(list);

		KUNIT_EXPECT_EQ(test, list,
				freetype_list_index(freetype_migratetype(ft),
						    freetype_flags(ft)));
		for (int other = 0; other < list; other++)
			KUNIT_EXPECT_STRNEQ(test, freetype_name(ft),
					    freetype_name(freetype_from_list(other)));
	}
}

/* Every combination either has a list below NR_FREETYPES, or is refused. */
static void freetype_refuses_others(struct kunit *test)
{
	unsigned int lists = 0;

	for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
		for (unsigned int flags = 0; flags < 4; flags++) {
			int list = freetype_list_index(mt, flags);

			KUNIT_EXPECT_GE(test, list, -1);
			KUNIT_EXPECT_LT(test, list, NR_FREETYPES);
			lists += list >= 0;
		}
	}
	KUNIT_EXPECT_EQ(test, lists, NR_FREETYPES);

	KUNIT_EXPECT_EQ(test, -1, freetype_list_index(MIGRATE_RECLAIMABLE,
						      FREETYPE_UNMAPPED));
	KUNIT_EXPECT_EQ(test, -1, freetype_list_index(MIGRATE_HIGHATOMIC,
						      FREETYPE_UNMAPPED));
#ifdef CONFIG_MEMORY_ISOLATION
	KUNIT_EXPECT_EQ(test, -1, freetype_list_index(MIGRATE_ISOLATE,
						      FREETYPE_UNMAPPED));
#endif
}

/* What merged before merges now: migratetypes that can fall back. */
static void freetype_plain_merge(struct kunit *test)
{
	for (int a = 0; a < MIGRATE_TYPES; a++) {
		for (int b = 0; b < MIGRATE_TYPES; b++) {
			bool was = a == b || (migratetype_is_mergeable(a) &&
					      migratetype_is_mergeable(b));

			KUNIT_EXPECT_EQ(test, was,
					freetypes_mergeable(freetype_plain(a),
							    freetype_plain(b)));
		}
	}
}

/* Flags are never lost or spread by a merge, whatever the order. */
static void freetype_flags_merge(struct kunit *test)
{
	for (int i = 0; i < NR_FREETYPES; i++) {
		for (int j = 0; j < NR_FREETYPES; j++) {
			freetype_t a = freetype_from_list(i);
			freetype_t b = freetype_from_list(j);

			KUNIT_EXPECT_EQ(test, freetypes_mergeable(a, b),
					freetypes_mergeable(b, a));
			if (i == j)
				KUNIT_EXPECT_TRUE(test, freetypes_mergeable(a, b));
			if (freetype_flags(a) != freetype_flags(b))
				KUNIT_EXPECT_FALSE(test, freetypes_mergeable(a, b));
		}
	}
}

static void freetype_unmapped_encoding(struct kunit *test)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	freetype_t ft = freetype_make(MIGRATE_UNMOVABLE, FREETYPE_UNMAPPED);

	KUNIT_EXPECT_TRUE(test, freetype_unmapped(ft));
	KUNIT_EXPECT_EQ(test, freetype_flags(ft), FREETYPE_UNMAPPED);
	KUNIT_EXPECT_EQ(test, freetype_migratetype(ft), MIGRATE_UNMOVABLE);
	KUNIT_EXPECT_FALSE(test, freetype_eq(ft, freetype_plain(MIGRATE_UNMOVABLE)));
#else
	KUNIT_EXPECT_EQ(test, NR_FREETYPES, MIGRATE_TYPES);
	kunit_skip(test, "PAGE_ALLOC_UNMAPPED is not built in");
#endif
}

static struct kunit_case freetype_test_cases[] = {
	KUNIT_CASE(freetype_plain_is_migratetype),
	KUNIT_CASE(freetype_lists_round_trip),
	KUNIT_CASE(freetype_refuses_others),
	KUNIT_CASE(freetype_plain_merge),
	KUNIT_CASE(freetype_flags_merge),
	KUNIT_CASE(freetype_unmapped_encoding),
	{}
};

static struct kunit_suite freetype_test_suite = {
	.name = "freetype",
	.suite_init = freetype_suite_init,
	.test_cases = freetype_test_cases,
};

kunit_test_suite(freetype_test_suite);

MODULE_DESCRIPTION("Freetypes: encoding and merge rules");
MODULE_LICENSE("GPL");
