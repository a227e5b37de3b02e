// SPDX-License-Identifier: GPL-2.0-only
/*
 * dmapstat - what the kernel's direct map looks like now
 *
 * How much of it is unmapped and what for, block by block if wanted. See
 * dmapstat(8), and Documentation/admin-guide/mm/unmapped.rst in the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "dmapstat.h"

/* Exit codes */
enum { ALL_SHOWN, FAILED, USAGE, PART_SHOWN };

void die(int code, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "dmapstat: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(code);
}

static void usage(void)
{
	printf("usage: dmapstat [--entries]\n"
	       "       dmapstat -m [--entries] [--color=WHEN]\n"
	       "       dmapstat -w SEC [COUNT]\n"
	       "       dmapstat --json [--entries]\n"
	       "       dmapstat --svg FILE [--title TEXT] [--entries]\n"
	       "       dmapstat --holders\n"
	       "\n"
	       "What the kernel's direct map looks like: a summary, or\n"
	       "\n"
	       "  -m, --map        a map of physical memory, as large as the terminal\n"
	       "  -w, --watch SEC  a line every SEC seconds (COUNT lines), with rates a second;\n"
	       "                   the first line has those since boot\n"
	       "  -j, --json       all of it, for programs\n"
	       "  -s, --svg FILE   the map as a picture; - is standard output\n"
	       "  -H, --holders    which processes hold secret memory, and how much (root: of all)\n"
	       "\n"
	       "  -e, --entries    look at the page tables too (root, debugfs): also shows what is\n"
	       "                   mapped in 4 KiB pieces or not mapped on kernels without\n"
	       "                   unmapped blocks\n"
	       "  -t, --title TEXT what the picture's title begins with\n"
	       "  --color=WHEN     auto (a terminal, and no NO_COLOR), always or never\n"
	       "  --root DIR       read DIR/proc and DIR/sys, copied from another machine\n"
	       "  -h, --help       this\n"
	       "  -V, --version    the version\n"
	       "\n"
	       "The map needs root. Exit status: 0 all was shown, 1 failed, 2 wrong usage, 3 shown\n"
	       "in part (standard error says what is missing). See dmapstat(8).\n");
}

static const char *pages_text(long long pages)
{
	return size_text((uint64_t)pages << PAGE_SHIFT);
}

static const char *kb_text(long long kb)
{
	return size_text((uint64_t)kb << 10);
}

static const char *plural(long long n)
{
	return n == 1 ? "" : "s";
}

static void show_mapped(const struct sample *s, const struct memory *m)
{
	long long unmapped = unmapped_bytes(s);

	if (m->source)
		printf("Memory          %10s  %s\n", size_text(m->bytes), m->source);
	else if (known(s, MEM_TOTAL))
		printf("Memory          %10s  MemTotal: what the kernel keeps for itself is not in it\n",
		       kb_text(s->value[MEM_TOTAL]));

	if (m->has_entries) {
		uint64_t absent = m->entry_bytes[ENTRY_NONE];

		printf("  mapped        %10s\n", size_text(m->bytes - absent));
		printf("  not mapped    %10s\n", size_text(absent));
	} else if (unmapped != UNKNOWN && m->source) {
		printf("  mapped        %10s\n", size_text(m->bytes - unmapped));
	}
}

static void show_unmapped(const struct sample *s)
{
	const long long *v = s->value;
	long long unmapped = unmapped_bytes(s);

	if (!known(s, NR_UNMAPPED)) {
		printf("  unmapped         unknown  Linux %s does not count it\n", s->kernel);
		return;
	}
	printf("  unmapped      %10s  %lld block%s of 2 MiB\n", size_text(unmapped),
	       unmapped >> BLOCK_SHIFT, plural(unmapped >> BLOCK_SHIFT));
	printf("    used        %10s  or on the list of a processor for its next request\n",
	       pages_text(used_pages(s)));
	printf("    free        %10s  %s of it in whole blocks\n", pages_text(v[NR_FREE]),
	       pages_text(v[NR_FREE_WHOLE]));
	printf("    to be zeroed%10s\n", pages_text(v[NR_DIRTY]));
	printf("Pool            %10lld  wholly free block%s",
	       v[NR_FREE_WHOLE] >> (BLOCK_SHIFT - PAGE_SHIFT),
	       plural(v[NR_FREE_WHOLE] >> (BLOCK_SHIFT - PAGE_SHIFT)));
	if (known(s, POOL_BLOCKS))
		printf("; %lld wanted in each zone (vm.no_direct_map_pool_blocks)", v[POOL_BLOCKS]);
	if (known(s, SECRETMEM))
		printf("\nSecret memory   %10s  in use\n", kb_text(v[SECRETMEM]));
	else
		printf("\nSecret memory      unknown  no Secretmem in /proc/meminfo\n");
}

static void show_entry_sizes(const struct sample *s, const struct memory *m)
{
	static const struct {
		const char *name;
		enum counter counter;
		enum entry entry;
	} sizes[] = {
		{ "1 GiB", DIRECT_1G, ENTRY_1G },
		{ "2 MiB", DIRECT_2M, ENTRY_2M },
		{ "4 KiB", DIRECT_4K, ENTRY_4K },
	};
	long long sum = 0;

	printf("Entries\n");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		long long kb = s->value[sizes[i].counter];

		if (m->has_entries) {
			printf("  %s         %10s\n", sizes[i].name,
			       size_text(m->entry_bytes[sizes[i].entry]));
		} else if (kb == UNKNOWN) {
			printf("  %s               none  the processor has no such entries\n",
			       sizes[i].name);
		} else {
			printf("  %s         %10s%s\n", sizes[i].name, kb_text(kb),
			       sizes[i].entry == ENTRY_2M && unmapped_bytes(s) > 0 ?
				       "  unmapped blocks included" :
				       "");
			sum += kb << 10;
		}
	}
	/* While it boots, Linux counts a 1 GiB entry again for each piece of it. */
	if (!m->has_entries && m->source && sum > (long long)m->bytes + (1LL << 30) / 2)
		printf("  (%s more than there is memory: Linux counts some twice while it boots;\n"
		       "  --entries looks at the page tables)\n", size_text(sum - m->bytes));
}

static void show_events(const struct sample *s)
{
	const long long *v = s->value;

	printf("Since boot\n");
	if (known(s, FLIP_UNMAP)) {
		printf("  blocks        %10lld  unmapped, %lld put back, %lld could not be unmapped\n",
		       v[FLIP_UNMAP], v[FLIP_REMAP], v[FLIP_FAIL]);
	}
	if (known(s, SHOOTDOWN)) {
		printf("  shootdowns    %10lld  flush%s of all processors for that", v[SHOOTDOWN],
		       v[SHOOTDOWN] == 1 ? "" : "es");
		if (known(s, MERMAP_FLUSH))
			printf(", %lld for mermap windows", v[MERMAP_FLUSH]);
		putchar('\n');
	}
	if (known(s, ZEROED))
		printf("  zeroed        %10s  when it was freed\n", pages_text(v[ZEROED]));
	if (known(s, SPLIT_1G))
		printf("  entries split %10lld  of 1 GiB, %lld of 2 MiB", v[SPLIT_1G], v[SPLIT_2M]);
	if (known(s, SPLIT_1G) && known(s, COLLAPSE_1G))
		printf("; put together %lld of 1 GiB, %lld of 2 MiB", v[COLLAPSE_1G], v[COLLAPSE_2M]);
	if (known(s, SPLIT_1G))
		putchar('\n');
}

static int show_summary(const struct options *o)
{
	struct memory m = {};
	struct sample s;

	read_sample(&s);
	read_ram(&m);
	if (o->entries)
		read_entries(&m);
	show_mapped(&s, &m);
	show_unmapped(&s);
	show_entry_sizes(&s, &m);
	show_events(&s);
	if (o->entries && !m.has_entries) {
		fflush(stdout);
		fprintf(stderr, "dmapstat: not shown: entries: %s\n", m.why_no_entries);
		return PART_SHOWN;
	}
	return ALL_SHOWN;
}

/* Was the direct map changed between these? */
static bool changed(const struct sample *a, const struct sample *b)
{
	static const enum counter counters[] = {
		FLIP_UNMAP, FLIP_REMAP, SPLIT_2M, SPLIT_1G, COLLAPSE_2M, COLLAPSE_1G
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++)
		if (a->value[counters[i]] != b->value[counters[i]])
			return true;
	return false;
}

/*
 * Read what the map needs. It is not read at one moment: if it was changed
 * meanwhile, once more, but where it never comes to rest the third has to do.
 */
static int read_map(struct sample *s, struct memory *m, const struct options *o)
{
	struct sample after;
	int status = ALL_SHOWN, tries = 3;

	do {
		read_sample(s);
		read_ram(m);
		read_blocks(m, s);
		if (o->entries)
			read_entries(m);
		read_sample(&after);
	} while (changed(s, &after) && --tries);

	if (blocks_missing(s, m)) {
		fprintf(stderr, "dmapstat: not shown: blocks: %s\n", m->why_no_blocks);
		status = PART_SHOWN;
	}
	if (o->entries && !m->has_entries) {
		fprintf(stderr, "dmapstat: not shown: entries: %s\n", m->why_no_entries);
		status = PART_SHOWN;
	}
	if (!m->has_blocks && !m->has_entries && !o->entries && !known(s, DIRECT_UNMAPPED))
		fprintf(stderr, "dmapstat: --entries shows what the page tables say, on any kernel\n");
	return status;
}

static int show_map_as(char how, const char *file, const struct options *o)
{
	struct memory m = {};
	struct sample s;
	int status = read_map(&s, &m, o);

	if (how == 'j') {
		show_json(&s, &m, o);
		return status;
	}
	if (!m.has_blocks && !m.has_entries)
		return FAILED;
	if (how == 'm') {
		show_map(&s, &m, o);
	} else if (!strcmp(file, "-")) {
		show_svg(stdout, &s, &m, o);
	} else {
		FILE *f = fopen(file, "we");

		if (!f)
			die(FAILED, "%s: %s", file, strerror(errno));
		show_svg(f, &s, &m, o);
		if (ferror(f) | fclose(f))
			die(FAILED, "%s: %s", file, strerror(errno));
	}
	return status;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void put_column(int width, long long value)
{
	if (value == UNKNOWN)
		printf(" %*s", width - 1, "-");
	else
		printf(" %*lld", width - 1, value);
}

static void put_rate(int width, long long change, double seconds)
{
	double rate = change / seconds;

	if (change && rate < 9.95)
		printf(" %*.*f", width - 1, rate < 0.1 ? 2 : 1, rate);
	else
		printf(" %*.0f", width - 1, rate);
}

static void watch_line(const struct sample *old, const struct sample *new, double seconds)
{
	static const struct {
		int width;
		enum counter counter, and;
	} rates[] = {
		{ 6, FLIP_UNMAP, FLIP_UNMAP }, { 6, FLIP_REMAP, FLIP_REMAP },
		{ 5, FLIP_FAIL, FLIP_FAIL },   { 6, SHOOTDOWN, MERMAP_FLUSH },
		{ 7, ZEROED, ZEROED },	       { 6, SPLIT_2M, SPLIT_1G },
	};
	const long long *v = new->value;
	long long used = used_pages(new);

	put_column(7, known(new, DIRECT_1G) ? v[DIRECT_1G] >> 10 : UNKNOWN);
	put_column(7, known(new, DIRECT_2M) ? v[DIRECT_2M] >> 10 : UNKNOWN);
	put_column(6, known(new, DIRECT_4K) ? v[DIRECT_4K] >> 10 : UNKNOWN);
	put_column(6, used != UNKNOWN ? used >> 8 : UNKNOWN);
	put_column(6, known(new, NR_FREE) ? v[NR_FREE] >> 8 : UNKNOWN);
	put_column(6, known(new, NR_FREE_WHOLE) ? v[NR_FREE_WHOLE] >> 8 : UNKNOWN);
	put_column(6, known(new, NR_DIRTY) ? v[NR_DIRTY] >> 8 : UNKNOWN);
	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		enum counter a = rates[i].counter, b = rates[i].and;
		long long change;

		if (!known(new, a)) {
			put_column(rates[i].width, UNKNOWN);
			continue;
		}
		change = v[a] - old->value[a];
		if (a != b && known(new, b))
			change += v[b] - old->value[b];
		put_rate(rates[i].width, change, seconds);
	}
	putchar('\n');
	if (fflush(stdout))
		die(FAILED, "standard output: %s", strerror(errno));
}

static void watch_header(void)
{
	printf(" ----entries, MiB--- ------unmapped, MiB---- -------------a second--------------\n"
	       "  1 GiB  2 MiB 4 KiB  used  free whole dirty unmap remap fail flush zeroed split\n");
}

/* A header a screen */
static unsigned int screen_lines(void)
{
	struct winsize w;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row > 6)
		return w.ws_row - 3;
	return 21;
}

static int watch(double seconds, unsigned long count)
{
	struct sample old = {}, new;
	double then = now(), next = then;
	unsigned int below = 0;

	for (unsigned long i = 0; !count || i < count; i++) {
		double at;

		read_sample(&new);
		at = now();
		if (!below--) {
			watch_header();
			below = screen_lines() - 1;
		}
		/* The first line is since boot, when all was 0. */
		watch_line(&old, &new, i ? at - then : new.uptime > 1 ? new.uptime : 1);
		old = new;
		then = at;
		if (i + 1 == count)
			break;
		/* Don't drift; after having been stopped, don't hurry either. */
		next += seconds;
		if (next < now())
			next = now() + seconds;
		while ((at = now()) < next) {
			struct timespec ts = { .tv_sec = next - at,
					       .tv_nsec = fmod(next - at, 1) * 1e9 };

			nanosleep(&ts, NULL);
		}
	}
	return ALL_SHOWN;
}

static int holders(void)
{
	struct sample s;

	read_sample(&s);
	return show_holders(&s) ? ALL_SHOWN : PART_SHOWN;
}

static bool wants_colour(const char *when)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (!strcmp(when, "always"))
		return true;
	if (!strcmp(when, "never"))
		return false;
	if (strcmp(when, "auto"))
		die(USAGE, "--color is auto, always or never, not '%s'", when);
	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb");
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "map", no_argument, NULL, 'm' },
		{ "watch", required_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },
		{ "svg", required_argument, NULL, 's' },
		{ "holders", no_argument, NULL, 'H' },
		{ "entries", no_argument, NULL, 'e' },
		{ "title", required_argument, NULL, 't' },
		{ "color", required_argument, NULL, 'c' },
		{ "root", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{}
	};
	struct options o = {};
	const char *file = NULL, *colour = NULL;
	unsigned long count = 0;
	double seconds = 0;
	int how = 0, c, status;
	char *end;

	while ((c = getopt_long(argc, argv, "mw:js:Het:hV", long_options, NULL)) != -1) {
		switch (c) {
		case 'm': case 'w': case 'j': case 's': case 'H':
			if (how)
				die(USAGE, "only one of --map, --watch, --json, --svg and --holders (--help)");
			how = c;
			if (c == 's')
				file = optarg;
			if (c != 'w')
				break;
			seconds = strtod(optarg, &end);
			if (*end || end == optarg || !(seconds >= 0.01 && seconds <= 1e6))
				die(USAGE, "--watch needs a number of seconds, not '%s'", optarg);
			break;
		case 'e':
			o.entries = true;
			break;
		case 't':
			o.title = optarg;
			break;
		case 'c':
			colour = optarg;
			break;
		case 'r':
			root = optarg;
			break;
		case 'h':
			usage();
			return ALL_SHOWN;
		case 'V':
			printf("dmapstat %s\n", VERSION);
			return ALL_SHOWN;
		default:
			fprintf(stderr, "dmapstat --help says what there is\n");
			return USAGE;
		}
	}
	if (how == 'w' && optind < argc) {
		count = strtoul(argv[optind], &end, 10);
		if (*end || !count || *argv[optind] == '-')
			die(USAGE, "COUNT is a number of lines, not '%s'", argv[optind]);
		optind++;
	}
	if (optind < argc)
		die(USAGE, "what is '%s'? (--help)", argv[optind]);
	if (o.entries && how == 'w')
		die(USAGE, "--entries does not go with --watch: it takes too long");
	if (o.entries && how == 'H')
		die(USAGE, "--entries has nothing to do with --holders");
	if (o.title && how != 's')
		die(USAGE, "--title is for --svg");
	if (colour && how != 'm')
		die(USAGE, "--color is for --map");
	o.colour = wants_colour(colour ? colour : "auto");

	if (!how)
		status = show_summary(&o);
	else if (how == 'w')
		status = watch(seconds, count);
	else if (how == 'H')
		status = holders();
	else
		status = show_map_as(how, file, &o);
	/* A full disk, say. A pipe that was closed has ended this already. */
	if (fflush(stdout) || ferror(stdout))
		die(FAILED, "standard output: %s", strerror(errno));
	return status;
}
