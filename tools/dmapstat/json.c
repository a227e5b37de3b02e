// SPDX-License-Identifier: GPL-2.0-only
/* All of it, for programs. What the kernel does not tell is null. */
#include <string.h>
#include <time.h>

#include "dmapstat.h"

static const struct {
	const char *group, *name;
	enum counter counter;
} fields[] = {
	{ "direct_map", "entries_4k_kb", DIRECT_4K },
	{ "direct_map", "entries_2m_kb", DIRECT_2M },
	{ "direct_map", "entries_1g_kb", DIRECT_1G },
	{ "direct_map", "unmapped_kb", DIRECT_UNMAPPED },
	{ "direct_map", "splits_2m", SPLIT_2M },
	{ "direct_map", "splits_1g", SPLIT_1G },
	{ "direct_map", "collapses_2m", COLLAPSE_2M },
	{ "direct_map", "collapses_1g", COLLAPSE_1G },
	{ "unmapped", "pages", NR_UNMAPPED },
	{ "unmapped", "free_pages", NR_FREE },
	{ "unmapped", "free_whole_pages", NR_FREE_WHOLE },
	{ "unmapped", "dirty_pages", NR_DIRTY },
	{ "unmapped", "pool_blocks", POOL_BLOCKS },
	{ "unmapped", "secretmem_kb", SECRETMEM },
	{ "since_boot", "flip_unmap", FLIP_UNMAP },
	{ "since_boot", "flip_remap", FLIP_REMAP },
	{ "since_boot", "flip_fail", FLIP_FAIL },
	{ "since_boot", "shootdown", SHOOTDOWN },
	{ "since_boot", "zeroed_pages", ZEROED },
	{ "since_boot", "mermap_flush", MERMAP_FLUSH },
};

static void put_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < ' ')
			printf("\\u%04x", *text);
		else
			putchar(*text);
	}
	putchar('"');
}

static void put_number(const char *name, long long value)
{
	if (value == UNKNOWN)
		printf("\"%s\": null", name);
	else
		printf("\"%s\": %lld", name, value);
}

/* Neighbours that look the same are one range. */
static void put_blocks(const struct memory *m)
{
	size_t i, n;

	if (!m->has_blocks) {
		printf("  \"blocks\": null,\n");
		return;
	}
	printf("  \"blocks\": {\n    \"source\": \"%s\",\n    \"ranges\": [", kpageflags_file);
	for (i = 0; i < m->nr_blocks; i += n) {
		const struct block *b = &m->blocks[i];
		enum state state = block_state(b);
		unsigned long long free = 0, pages = 0;

		for (n = 0;
		     i + n < m->nr_blocks && b[n].nr == b->nr + n && block_state(&b[n]) == state;
		     n++) {
			free += b[n].free;
			pages += b[n].pages;
		}
		printf("%s\n      {\"start\": %llu, \"end\": %llu, \"state\": \"%s\", \"pages\": %llu",
		       i ? "," : "", (unsigned long long)b->nr << BLOCK_SHIFT,
		       (unsigned long long)(b->nr + n) << BLOCK_SHIFT, state_name[state], pages);
		if (b->unmapped)
			printf(", \"used_pages\": %llu, \"free_pages\": %llu", pages - free, free);
		putchar('}');
	}
	printf("\n    ]\n  },\n");
}

static void put_entries(const struct memory *m)
{
	static const char *const name[NR_ENTRIES] = {
		[ENTRY_NONE] = "none", [ENTRY_4K] = "4k", [ENTRY_2M] = "2m", [ENTRY_1G] = "1g",
	};

	if (!m->has_entries) {
		printf("  \"entries\": null,\n");
		return;
	}
	printf("  \"entries\": {\n    \"source\": \"%s\",\n    ", entries_file);
	for (int i = ENTRY_NONE; i < NR_ENTRIES; i++)
		printf("%s\"%s_kb\": %llu", i > ENTRY_NONE ? ", " : "", name[i],
		       (unsigned long long)m->entry_bytes[i] >> 10);
	printf(",\n    \"ranges\": [");
	for (size_t i = 0; i < m->nr_segments; i++)
		printf("%s\n      {\"start\": %llu, \"end\": %llu, \"entry\": \"%s\"}", i ? "," : "",
		       (unsigned long long)m->segments[i].start, (unsigned long long)m->segments[i].end,
		       name[m->segments[i].entry]);
	printf("\n    ]\n  },\n");
}

static void put_missing(const char *what, const char *why, bool first)
{
	printf("%s\n    {\"what\": \"%s\", \"why\": ", first ? "" : ",", what);
	put_string(why);
	putchar('}');
}

void show_json(const struct sample *s, const struct memory *m, const struct options *o)
{
	time_t now = time(NULL);
	const char *group = "";
	char utc[32];

	strftime(utc, sizeof(utc), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	printf("{\n  \"dmapstat\": \"%s\",\n  \"kernel\": ", VERSION);
	put_string(s->kernel);
	printf(",\n  \"time\": \"%s\",\n  \"uptime\": %.2f,\n  \"block_bytes\": %llu,\n  \"memory\": {",
	       utc, s->uptime, BLOCK_SIZE);
	put_number("bytes", m->source ? (long long)m->bytes : UNKNOWN);
	printf(", \"source\": ");
	if (m->source)
		put_string(m->source);
	else
		printf("null");
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (strcmp(group, fields[i].group))
			printf("},\n  \"%s\": {", fields[i].group);
		else
			printf(", ");
		group = fields[i].group;
		put_number(fields[i].name, s->value[fields[i].counter]);
		if (fields[i].counter == NR_UNMAPPED) {
			printf(", ");
			put_number("used_pages", used_pages(s));
		}
	}
	printf("},\n");
	put_blocks(m);
	put_entries(m);
	printf("  \"missing\": [");
	if (blocks_missing(s, m))
		put_missing("blocks", m->why_no_blocks, true);
	if (o->entries && !m->has_entries)
		put_missing("entries", m->why_no_entries, !blocks_missing(s, m));
	printf("]\n}\n");
}
