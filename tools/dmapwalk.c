// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hold what dmapstat says against the machine's page tables, walked from outside
 * while the machine stands still. vm/dmapwalk.c, inside, says where memory is,
 * which pages are secret, and sends what "dmapstat --json --entries" printed.
 * Nothing here is shared with dmapstat.
 *
 * usage: dmapwalk QMP-SOCKET SERIAL-SOCKET DIR
 *
 * Answers each look with lines "ok ...", "not ok ..." and an "end"; prints what
 * the walk found.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qmp.h"

#define MAX_FRAMES	(1UL << 24)
#define BLOCK		512UL		/* pages */

static FILE *guest;
static int guest_fd;
static uint64_t base;

/* By frame */
static uint8_t *ram, *secret;
static uint8_t *level_of;		/* of the entry that shows it; 0: none */
static uint8_t *told, *told_absent;	/* the same as dmapstat has it */
static uint64_t nr_frames;		/* up to the end of RAM */

/* Entries by level, 1 to 3; and those that are there, present or not */
static uint64_t present[4], slots[4];
static unsigned long tables;
static uint64_t misled;			/* entries that show another page */

static bool overlaps_ram(uint64_t frame, uint64_t nr)
{
	for (uint64_t i = frame; i < frame + nr && i < nr_frames; i++)
		if (ram[i])
			return true;
	return false;
}

static void walk(uint64_t table, int level, uint64_t va)
{
	unsigned int shift = PAGE_SHIFT + 9 * (level - 1);
	uint64_t size = 1ULL << shift, end = base + (nr_frames << PAGE_SHIFT);
	uint64_t entry[512];

	read_table(table, entry);
	tables++;
	if (level == 1)
		slots[1] += 512;
	for (int i = 0; i < 512; i++) {
		uint64_t at = va + ((uint64_t)i << shift), frame, phys;

		/* Whole tables and entries beside the direct map */
		if (at >= end || at + size - 1 < base)
			continue;
		frame = (at - base) >> PAGE_SHIFT;
		if (!(entry[i] & PRESENT)) {
			/* Taken out as a whole: Linux counts it as an entry still. */
			if (level == 2 && overlaps_ram(frame, BLOCK))
				slots[2]++;
			continue;
		}
		if (level > 3 || (level > 1 && !(entry[i] & LARGE))) {
			walk(entry[i] & ADDRESS, level - 1, at);
			continue;
		}
		/* Bit 12 of a large entry is not the address's. */
		phys = entry[i] & ADDRESS & ~(size - 1);
		misled += phys != at - base;
		present[level]++;
		if (level > 1)
			slots[level]++;
		for (uint64_t j = frame; j < frame + (size >> PAGE_SHIFT) && j < nr_frames; j++)
			level_of[j] = level;
	}
}

static void walk_direct_map(void)
{
	bool la57 = control_register(0, "CR4=") & CR4_LA57;
	uint64_t root = control_register(0, "CR3=") & ADDRESS;
	unsigned int bits = la57 ? 57 : 48;

	memset(level_of, 0, nr_frames);
	memset(present, 0, sizeof(present));
	memset(slots, 0, sizeof(slots));
	tables = misled = 0;
	/* Addresses of the upper half are sign-extended; those of the lower are not looked for. */
	walk(root, la57 ? 5 : 4, ~0ULL << bits);
	/* A process at work under page-table isolation: the kernel's root is the page before */
	if (tables == 1 && root & PAGE_SIZE)
		walk(root & ~PAGE_SIZE, la57 ? 5 : 4, ~0ULL << bits);
	if (!present[2] || tables < 4)
		die("no direct map at %" PRIx64, base);
}

__attribute__((format(printf, 2, 3)))
static void answer(bool ok, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(guest_fd, "%sok %s\n", ok ? "" : "not ", text);
	printf("  %sok %s\n", ok ? "" : "not ", text);
}

static json_int_t number(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		die("dmapstat's JSON has no number %s", key);
	return json_integer_value(value);
}

static const char *string(json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	if (!value)
		die("dmapstat's JSON has no string %s", key);
	return value;
}

/* The frames of a range */
static void range(json_t *object, uint64_t *first, uint64_t *end)
{
	*first = number(object, "start") >> PAGE_SHIFT;
	*end = number(object, "end") >> PAGE_SHIFT;
	/* The last block of RAM may reach beyond it. */
	if (*first >= *end || *first >= nr_frames)
		die("a range from %" PRIx64 " to %" PRIx64, *first, *end);
	if (*end > nr_frames)
		*end = nr_frames;
}

static bool block_absent(uint64_t frame)
{
	for (uint64_t i = frame; i < frame + BLOCK; i++)
		if (i >= nr_frames || !ram[i] || level_of[i])
			return false;
	return true;
}

static bool is_unmapped(const char *state)
{
	return !strcmp(state, "free") || !strcmp(state, "part") || !strcmp(state, "used");
}

/* By block: does dmapstat have it as unmapped? */
static uint8_t *blocks_told(json_t *ranges)
{
	uint8_t *is = calloc(nr_frames / BLOCK + 1, 1);
	json_t *r;
	size_t i;

	json_array_foreach(ranges, i, r) {
		uint64_t first, end;

		range(r, &first, &end);
		for (uint64_t f = first; is_unmapped(string(r, "state")) && f < end; f += BLOCK)
			is[f / BLOCK] = 1;
	}
	return is;
}

/* Are they those whose pages are absent, all of them? */
static bool same_blocks(const uint8_t *is, uint64_t *blocks, char *where, size_t size)
{
	bool same = true;

	*blocks = 0;
	*where = 0;
	for (uint64_t b = 0; b * BLOCK < nr_frames; b++) {
		bool absent = block_absent(b * BLOCK);

		*blocks += absent;
		if (is[b] == absent || !same)
			continue;
		same = false;
		snprintf(where, size, ": block %" PRIx64 " is %s", b * BLOCK << PAGE_SHIFT,
			 absent ? "absent, and dmapstat does not know" :
				  "mapped, and dmapstat has it as unmapped");
	}
	return same;
}

/* Would the comparison notice a block too many, one too few, and both? */
static unsigned int wrong_blocks_noticed(uint8_t *is)
{
	uint64_t set = 0, clear = 0, n;
	unsigned int noticed = 0;
	char where[96];

	while (!is[set])
		set++;
	while (is[clear])
		clear++;
	is[clear] = 1;
	noticed += !same_blocks(is, &n, where, sizeof(where));
	is[set] = 0;
	noticed += !same_blocks(is, &n, where, sizeof(where));
	is[clear] = 0;
	noticed += !same_blocks(is, &n, where, sizeof(where));
	return noticed;
}

static void check_blocks(json_t *json, const char *when)
{
	json_t *ranges = json_object_get(json_object_get(json, "blocks"), "ranges"), *r;
	json_t *unmapped = json_object_get(json, "unmapped");
	uint64_t blocks, in_free = 0, used = 0, is_free = 0, short_of = 0, all_secret = 0;
	uint8_t *is = blocks_told(ranges);
	unsigned int kinds = 0;
	char where[96];
	bool same;
	size_t i;

	same = same_blocks(is, &blocks, where, sizeof(where));
	answer(same, "%" PRIu64 " unmapped blocks are those whose entry is not present%s", blocks,
	       where);
	answer(number(unmapped, "pages") == (json_int_t)(blocks * BLOCK) &&
		       number(json_object_get(json, "direct_map"), "unmapped_kb") ==
			       (json_int_t)(blocks * BLOCK * 4),
	       "as many as the kernel counts");

	json_array_foreach(ranges, i, r) {
		const char *state = string(r, "state");
		uint64_t first, end, secrets = 0;

		if (!json_object_get(r, "used_pages"))
			continue;
		range(r, &first, &end);
		for (uint64_t f = first; f < end; f++)
			secrets += secret[f];
		all_secret += secrets;
		kinds |= !strcmp(state, "free") ? 1 : !strcmp(state, "part") ? 2 : 4;
		if (!strcmp(state, "free"))
			in_free += secrets;
		short_of += secrets > (uint64_t)number(r, "used_pages");
		used += number(r, "used_pages");
		is_free += number(r, "free_pages");
	}
	answer(!in_free && !short_of, "%" PRIu64 " secret pages, all in pages that are used",
	       all_secret);
	/* Waiting to be zeroed looks in use to kpageflags. */
	answer((json_int_t)used ==
			       number(unmapped, "used_pages") + number(unmapped, "dirty_pages") &&
		       (json_int_t)is_free == number(unmapped, "free_pages"),
	       "%" PRIu64 " used and %" PRIu64
	       " free pages; the kernel counts %" JSON_INTEGER_FORMAT " and %" JSON_INTEGER_FORMAT,
	       used, is_free, number(unmapped, "used_pages") + number(unmapped, "dirty_pages"),
	       number(unmapped, "free_pages"));
	if (!strcmp(when, "in-use")) {
		answer(kinds == 7, "blocks of each kind: free, partly used, used");
		answer(kinds && wrong_blocks_noticed(is) == 3,
		       "a block too many, too few or elsewhere is noticed");
	}
	free(is);
}

/* Page for page */
static void check_entries(json_t *json, bool patched)
{
	static const struct {
		const char *name, *total;
		uint8_t level;
	} kinds[] = {
		{ "4k", "4k_kb", 1 }, { "2m", "2m_kb", 2 }, { "1g", "1g_kb", 3 },
	};
	json_t *entries = json_object_get(json, "entries"), *r;
	uint64_t differ = 0, first_one = 0, absent = 0, not_secret = 0, not_absent = 0;
	bool totals = true;
	size_t i;

	memset(told, 0, nr_frames);
	memset(told_absent, 0, nr_frames);
	json_array_foreach(json_object_get(entries, "ranges"), i, r) {
		const char *entry = string(r, "entry");
		uint64_t first, end;
		uint8_t level = 0;

		range(r, &first, &end);
		for (int k = 0; k < 3; k++)
			if (!strcmp(entry, kinds[k].name))
				level = kinds[k].level;
		if (level)
			memset(told + first, level, end - first);
		else
			memset(told_absent + first, 1, end - first);
	}
	for (uint64_t f = 0; f < nr_frames; f++) {
		bool is_absent = ram[f] && !level_of[f];

		absent += is_absent;
		if (told[f] != level_of[f] || told_absent[f] != is_absent) {
			if (!differ++)
				first_one = f;
		}
		not_secret += is_absent && (patched ? !block_absent(f / BLOCK * BLOCK) : !secret[f]);
		not_absent += secret[f] && !is_absent;
	}
	answer(!differ,
	       "entries are as dmapstat --entries has them, page for page (%" PRIu64
	       " differ, from %" PRIx64 ")",
	       differ, first_one << PAGE_SHIFT);
	for (int k = 0; k < 3; k++)
		totals &= number(entries, kinds[k].total) ==
			(json_int_t)(present[kinds[k].level] << (2 + 9 * (kinds[k].level - 1)));
	answer(totals && number(entries, "none_kb") == (json_int_t)absent * 4,
	       "4 KiB: %" PRIu64 ", 2 MiB: %" PRIu64 ", 1 GiB: %" PRIu64 ", absent: %" PRIu64 " pages",
	       present[1], present[2], present[3], absent);
	answer(!not_secret && !not_absent,
	       patched ? "nothing but unmapped blocks is absent, and all secret pages are" :
			 "nothing but secret pages is absent, and these are");
	answer(!misled, "no entry shows another page than its own (%" PRIu64 " do)", misled);
}

/*
 * Linux's own counters are not what they seem: while it boots, a 1 GiB entry is
 * counted again for each piece of it, and splits of the kernel image's second
 * mapping are counted too. What they are off by must stay as it was at first.
 */
static void check_counters(json_t *json)
{
	static const char *const names[] = { NULL, "entries_4k_kb", "entries_2m_kb", "entries_1g_kb" };
	static int64_t off[4];
	static bool had;
	json_t *counters = json_object_get(json, "direct_map");
	int64_t now[4];
	bool same = true;

	for (int level = 1; level <= 3; level++) {
		json_t *value = json_object_get(counters, names[level]);

		/* No DirectMap1G: the processor has no such entries. */
		now[level] = (json_is_null(value) ? 0 : number(counters, names[level])) -
			(int64_t)(slots[level] << (2 + 9 * (level - 1)));
		if (!had)
			off[level] = now[level];
		same &= now[level] == off[level];
	}
	answer(same, "DirectMap4k, 2M and 1G are %s off by %" PRId64 ", %" PRId64 " and %" PRId64 " kB",
	       had ? "still" : "first", now[1], now[2], now[3]);
	had = true;
}

static void look(const char *when, const char *text, size_t len)
{
	json_error_t error;
	json_t *json = json_loadb(text, len, 0, &error);
	bool patched;

	printf("%s: %zu bytes of JSON\n", when, len);
	if (!json) {
		answer(false, "JSON: line %d: %.100s", error.line, error.text);
		return;
	}
	patched = !json_is_null(json_object_get(json, "blocks"));
	qmp("stop");
	walk_direct_map();
	qmp("cont");
	printf("  %lu page tables\n", tables);
	if (patched)
		check_blocks(json, when);
	check_entries(json, patched);
	check_counters(json);
	fflush(stdout);
	json_decref(json);
}

static void add_ram(uint64_t start, uint64_t end)
{
	/* Whole pages */
	start = (start + PAGE_SIZE - 1) >> PAGE_SHIFT;
	end >>= PAGE_SHIFT;
	if (end > MAX_FRAMES)
		die("memory beyond %lu GiB", MAX_FRAMES >> (30 - PAGE_SHIFT));
	if (start < end)
		memset(ram + start, 1, end - start);
	if (end > nr_frames)
		nr_frames = end;
}

static uint8_t *per_frame(void)
{
	uint8_t *p = calloc(MAX_FRAMES, 1);

	if (!p)
		die("out of memory");
	return p;
}

int main(int argc, char **argv)
{
	char line[512], *json = NULL;
	size_t len = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: dmapwalk QMP-SOCKET SERIAL-SOCKET DIR\n");
		return 2;
	}
	ram = per_frame();
	secret = per_frame();
	level_of = per_frame();
	told = per_frame();
	told_absent = per_frame();
	qmp_open(argv[1]);
	guest_fd = connect_to(argv[2]);
	guest = fdopen(dup(guest_fd), "r");

	while (fgets(line, sizeof(line), guest)) {
		uint64_t first, end;
		unsigned long nr;

		line[strcspn(line, "\r\n")] = 0;
		if (sscanf(line, "base %" SCNx64, &base) == 1)
			continue;
		if (sscanf(line, "ram %" SCNx64 " %" SCNx64, &first, &end) == 2) {
			add_ram(first, end);
		} else if (sscanf(line, "secret %" SCNx64 " %lx", &first, &nr) == 2) {
			if (first + nr > nr_frames)
				die("a secret page where there is no memory");
			memset(secret + first, 1, nr);
		} else if (sscanf(line, "json %zu", &len) == 1) {
			json = realloc(json, len);
			if (!json || fread(json, 1, len, guest) != len)
				die("no JSON from the machine");
		} else if (!strncmp(line, "look ", 5)) {
			look(line + 5, json, len);
			dprintf(guest_fd, "end\n");
			memset(secret, 0, nr_frames);
		} else if (!strcmp(line, "bye")) {
			return 0;
		} else if (line[0]) {
			die("the machine says: %s", line);
		}
	}
	die("the machine is gone");
}
