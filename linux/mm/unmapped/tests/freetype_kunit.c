// SPDX-License-Identifier: GPL-2.0-only
/*
 * The encoding and the merge rules of freetypes.
 *
 * Needs no machine: tools/testing/unmapped/ compiles it in user space too.
 */
#include <kunit/test.h>
#include <linux/mmzone.h>

/* Memory without flags is indexed as it was by its migratetype. */
static void freetype_plain_is_migratetype(struct kunit *test)
{
	for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
		freetype_t ft = freetype_plain(mt);

		KUNIT_EXPECT_EQ(test, freetype_index(ft), mt);
		KUNIT_EXPECT_EQ(test, (int)freetype_migratetype(ft), mt);
		KUNIT_EXPECT_FALSE(test, freetype_has_flags(ft));
		KUNIT_EXPECT_FALSE(test, freetype_unmapped(ft));
		KUNIT_EXPECT_STREQ(test, freetype_name(ft), migratetype_names[mt]);
		for (int other = 0; other < MIGRATE_TYPES; other++)
			KUNIT_EXPECT_EQ(test, freetype_is(ft, other), other == mt);
	}
}

/* Each list has a freetype that leads back to it, and a name of its own. */
static void freetype_lists_are_distinct(struct kunit *test)
{
	for (int i = 0; i < NR_FREETYPES; i++) {
		freetype_t ft = freetype_from_index(i);

		KUNIT_EXPECT_EQ(test, freetype_index(ft), i);
		KUNIT_EXPECT_LT(test, (int)freetype_migratetype(ft), (int)MIGRATE_TYPES);
		KUNIT_EXPECT_EQ(test, freetype_has_flags(ft), i >= MIGRATE_TYPES);
		for (int j = 0; j < NR_FREETYPES; j++) {
			freetype_t other = freetype_from_index(j);

			KUNIT_EXPECT_EQ(test, freetype_eq(ft, other), i == j);
			if (i != j)
				KUNIT_EXPECT_STRNEQ(test, freetype_name(ft), freetype_name(other));
		}
	}
}

/* Memory with a property is not plain, whatever migratetype it has. */
static void freetype_flags_are_not_plain(struct kunit *test)
{
	for (int i = MIGRATE_TYPES; i < NR_FREETYPES; i++) {
		freetype_t ft = freetype_from_index(i);

		for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
			KUNIT_EXPECT_FALSE(test, freetype_is(ft, mt));
			KUNIT_EXPECT_FALSE(test, freetype_eq(ft, freetype_plain(mt)));
		}
		/* Isolated blocks have no property, and nobody reserves one. */
		KUNIT_EXPECT_LT(test, (int)freetype_migratetype(ft), (int)MIGRATE_PCPTYPES);
	}
	if (!NR_FREETYPE_PROPERTIES)
		kunit_skip(test, "no property is built in");
}

/* A row for each of them, and nothing of it the same as of another one. */
static void freetype_properties_are_distinct(struct kunit *test)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	for (int i = MIGRATE_TYPES; i < NR_FREETYPES; i++) {
		freetype_t ft = freetype_from_index(i);
		const struct freetype_property *p = freetype_property(ft);

		KUNIT_EXPECT_PTR_EQ(test, p, &freetype_properties[i - MIGRATE_TYPES]);
		KUNIT_EXPECT_STREQ(test, freetype_name(ft), p->name);
		KUNIT_EXPECT_EQ(test, freetype_letter(ft), p->letter);
		KUNIT_EXPECT_EQ(test, freetype_migratetype(ft), p->migratetype);
		/* What an atomic caller undoes cannot be flushed. */
		KUNIT_EXPECT_FALSE(test, p->undo_atomic && p->undo_flush);
		for (int j = MIGRATE_TYPES; j < i; j++)
			KUNIT_EXPECT_NE(test, p->letter, freetype_letter(freetype_from_index(j)));
	}
#else
	kunit_skip(test, "no property is built in");
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

/* Properties are never lost or spread by a merge, whatever the order. */
static void freetype_flags_merge(struct kunit *test)
{
	for (int i = 0; i < NR_FREETYPES; i++) {
		for (int j = 0; j < NR_FREETYPES; j++) {
			freetype_t a = freetype_from_index(i);
			freetype_t b = freetype_from_index(j);

			KUNIT_EXPECT_EQ(test, freetypes_mergeable(a, b),
					freetypes_mergeable(b, a));
			if (i == j)
				KUNIT_EXPECT_TRUE(test, freetypes_mergeable(a, b));
			else if (freetype_has_flags(a) || freetype_has_flags(b))
				KUNIT_EXPECT_FALSE(test, freetypes_mergeable(a, b));
		}
	}
}

static void freetype_unmapped_encoding(struct kunit *test)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	freetype_t ft = freetype_make_unmapped();

	KUNIT_EXPECT_EQ(test, freetype_migratetype(ft), MIGRATE_UNMOVABLE);
	for (int i = 0; i < NR_FREETYPES; i++)
		KUNIT_EXPECT_EQ(test, freetype_unmapped(freetype_from_index(i)),
				freetype_index(ft) == i);
#else
	KUNIT_EXPECT_EQ(test, (int)NR_FREETYPES, (int)MIGRATE_TYPES);
	kunit_skip(test, "PAGE_ALLOC_UNMAPPED is not built in");
#endif
}

static struct kunit_case freetype_test_cases[] = {
	KUNIT_CASE(freetype_plain_is_migratetype),
	KUNIT_CASE(freetype_lists_are_distinct),
	KUNIT_CASE(freetype_flags_are_not_plain),
	KUNIT_CASE(freetype_properties_are_distinct),
	KUNIT_CASE(freetype_plain_merge),
	KUNIT_CASE(freetype_flags_merge),
	KUNIT_CASE(freetype_unmapped_encoding),
	{}
};

static struct kunit_suite freetype_test_suite = {
	.name = "freetype",
	.test_cases = freetype_test_cases,
};

kunit_test_suite(freetype_test_suite);

MODULE_DESCRIPTION("Freetypes: encoding and merge rules");
MODULE_LICENSE("GPL");
