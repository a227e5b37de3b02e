// SPDX-License-Identifier: GPL-2.0-only
/* The map of physical memory: for a terminal, and as a picture. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dmapstat.h"

/* What --json calls them */
const char *const state_name[NR_STATES] = {
	[STATE_HOLE]	= "hole",
	[STATE_MAPPED]	= "mapped",
	[STATE_1G]	= "mapped-1g",
	[STATE_2M]	= "mapped-2m",
	[STATE_4K]	= "mapped-4k",
	[STATE_PIECES]	= "pieces",
	[STATE_ABSENT]	= "absent",
	[STATE_FREE]	= "free",
	[STATE_PART]	= "part",
	[STATE_USED]	= "used",
	[STATE_MIXED]	= "mixed",
};

static const struct look {
	char sign;
	const char *sgr;		/* of a colour terminal */
	const char *light, *dark;	/* in the picture */
	const char *text;
} looks[NR_STATES] = {
	[STATE_HOLE]   = { ' ', NULL, NULL, NULL, NULL },
	[STATE_MAPPED] = { '.', "90", "#c3ccd5", "#43505c", "mapped" },
	[STATE_1G]     = { '.', "90", "#d9dfe5", "#36414b", "mapped by 1 GiB entries" },
	[STATE_2M]     = { ':', "37", "#b3bfca", "#566572", "mapped by 2 MiB entries" },
	[STATE_4K]     = { '=', "33", "#e3b64c", "#a97f1c", "mapped by 4 KiB entries" },
	[STATE_PIECES] = { '%', "97;41", "#d0522c", "#e0683f", "4 KiB entries, not all present" },
	[STATE_ABSENT] = { 'x', "97;45", "#8d3b8f", "#c574c7", "not present, no unmapped block" },
	[STATE_FREE]   = { 'o', "30;42", "#a5d8bb", "#2c5c49", "unmapped, all free" },
	[STATE_PART]   = { '+', "30;46", "#4ba27d", "#48a17c", "unmapped, partly in use" },
	[STATE_USED]   = { '#', "97;44", "#0c5a45", "#9be7c6", "unmapped, all in use" },
	[STATE_MIXED]  = { '*', "30;43", "#6f8fc0", "#7d9fd4", "mapped and unmapped" },
};

const char *size_text(uint64_t bytes)
{
	static char buf[4][32];
	static unsigned int turn;
	static const char units[][4] = { "KiB", "MiB", "GiB", "TiB" };
	double n = bytes / 1024.0;
	unsigned int unit = 0;
	char *p = buf[turn++ % 4];

	while (n >= 1024 && unit < 3) {
		n /= 1024;
		unit++;
	}
	/* 84 MiB, 84.3 MiB; but 4.0 GiB, which is seldom round */
	snprintf(p, sizeof(buf[0]), unit < 2 && n == (uint64_t)n ? "%.0f %s" : "%.1f %s", n,
		 units[unit]);
	return p;
}

/*
 * Rows of cells, a power of two each, so that rows begin at round addresses.
 * Rows without memory are left out, and a gap says so.
 */
struct layout {
	unsigned int columns;
	unsigned int per_cell;		/* blocks */
	uint64_t *rows;			/* number of the first block */
	size_t nr_rows, nr_gaps;
};

static void lay_out(struct layout *l, const struct memory *m)
{
	uint64_t per_row = (uint64_t)l->columns * l->per_cell, last = 0;

	l->nr_rows = l->nr_gaps = 0;
	for (size_t i = 0; i < m->nr_blocks; i++) {
		uint64_t row = m->blocks[i].nr / per_row * per_row;

		if (l->nr_rows && row == last)
			continue;
		if (l->nr_rows && row != last + per_row)
			l->nr_gaps++;
		l->rows = more(l->rows, l->nr_rows, sizeof(*l->rows));
		l->rows[l->nr_rows++] = last = row;
	}
}

static void fit(struct layout *l, const struct memory *m, unsigned int max_rows)
{
	for (l->per_cell = 1; ; l->per_cell *= 2) {
		lay_out(l, m);
		if (l->nr_rows + l->nr_gaps <= max_rows || l->nr_rows <= 1)
			return;
	}
}

static bool gap_before(const struct layout *l, size_t row)
{
	return row && l->rows[row] != l->rows[row - 1] + (uint64_t)l->columns * l->per_cell;
}

/* Several blocks as one */
static enum state join(enum state a, enum state b)
{
	bool a_unmapped = a >= STATE_FREE, b_unmapped = b >= STATE_FREE;

	if (a == b || a == STATE_HOLE)
		return b;
	if (a_unmapped != b_unmapped || a == STATE_MIXED)
		return STATE_MIXED;
	if (a_unmapped)
		return STATE_PART;
	/* What is worst for the direct map, if only a part of it */
	return a > b ? a : b;
}

/* The states of a row's cells. The blocks of *at and after are not looked at yet. */
static void fill_row(const struct layout *l, const struct memory *m, size_t row, size_t *at,
		     enum state *cells)
{
	for (unsigned int c = 0; c < l->columns; c++) {
		uint64_t end = l->rows[row] + (uint64_t)(c + 1) * l->per_cell;

		cells[c] = STATE_HOLE;
		for (; *at < m->nr_blocks && m->blocks[*at].nr < end; ++*at)
			cells[c] = join(cells[c], block_state(&m->blocks[*at]));
	}
}

struct sums {
	uint64_t bytes[NR_STATES];
	bool on_map[NR_STATES];
	unsigned long unmapped_blocks;
	uint64_t absent;
};

static void sum_up(struct sums *sums, const struct memory *m)
{
	memset(sums, 0, sizeof(*sums));
	for (size_t i = 0; i < m->nr_blocks; i++) {
		const struct block *b = &m->blocks[i];
		enum state state = block_state(b);

		sums->bytes[state] += (uint64_t)b->pages << PAGE_SHIFT;
		sums->on_map[state] = true;
		sums->unmapped_blocks += b->unmapped;
		if (state == STATE_PIECES)
			sums->absent += (uint64_t)b->absent << PAGE_SHIFT;
	}
}

static unsigned int from_env(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);
	unsigned long n = text ? strtoul(text, NULL, 10) : 0;

	return n && n < 10000 ? n : otherwise;
}

static void put_sign(enum state state, bool colour)
{
	if (colour && looks[state].sgr)
		printf("\033[%sm%c\033[0m", looks[state].sgr, looks[state].sign);
	else
		putchar(looks[state].sign);
}

/* Neighbours of one colour need only one change of it. */
static void put_cells(const enum state *cells, unsigned int nr, bool colour)
{
	const char *now = NULL;

	/* Nothing after the last cell that is one */
	while (nr && cells[nr - 1] == STATE_HOLE)
		nr--;
	for (unsigned int c = 0; c < nr; c++) {
		const char *sgr = looks[cells[c]].sgr;

		if (colour && sgr != now)
			printf(sgr ? "\033[0;%sm" : "\033[0m", sgr);
		now = sgr;
		putchar(looks[cells[c]].sign);
	}
	if (colour && now)
		printf("\033[0m");
	putchar('\n');
}

/* What the colours and signs mean, in lines of this width. How many lines? */
static unsigned int legend(const struct sums *sums, unsigned int width, bool colour, bool print)
{
	unsigned int lines = 1, at = 0;

	for (int i = STATE_MAPPED; i < NR_STATES; i++) {
		char text[96] = "", absent[48] = "";
		unsigned int len;

		if (!sums->on_map[i])
			continue;
		if (i == STATE_PIECES)
			snprintf(absent, sizeof(absent), " (%s absent)", size_text(sums->absent));
		/* What only cells of several blocks look like has no size. */
		snprintf(text, sizeof(text), "%s%s%s%s", looks[i].text, sums->bytes[i] ? " " : "",
			 sums->bytes[i] ? size_text(sums->bytes[i]) : "", absent);
		len = 2 + strlen(text);
		if (at && at + 3 + len > width) {
			lines++;
			at = 0;
			if (print)
				putchar('\n');
		}
		if (print) {
			printf("%s", at ? "   " : "");
			put_sign(i, colour);
			printf(" %s", text);
		}
		at += len + (at ? 3 : 0);
	}
	if (print)
		putchar('\n');
	return lines;
}

#define LABEL	14	/* columns for the address, and a space */

void show_map(const struct sample *s, const struct memory *m, const struct options *o)
{
	struct layout l = { .columns = 16 };
	unsigned int width, height, lines = 1;
	struct winsize w = {};
	enum state *cells;
	struct sums sums;
	size_t next;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w))
		w = (struct winsize){};
	width = w.ws_col ? w.ws_col : from_env("COLUMNS", 80);
	height = w.ws_row ? w.ws_row : from_env("LINES", 24);
	while (l.columns * 2 + LABEL <= width)
		l.columns *= 2;
	cells = calloc(l.columns, sizeof(*cells));
	if (!cells)
		die(1, "out of memory");

	/* The longer the legend, the less is left for the map, and the larger a cell. */
	for (;;) {
		unsigned int had = lines;

		fit(&l, m, height > lines + 4 ? height - lines - 2 : 2);
		sum_up(&sums, m);
		next = 0;
		for (size_t row = 0; row < l.nr_rows; row++) {
			fill_row(&l, m, row, &next, cells);
			for (unsigned int c = 0; c < l.columns; c++)
				sums.on_map[cells[c]] = true;
		}
		lines = legend(&sums, width, o->colour, false);
		if (lines <= had)
			break;
	}

	printf("%s of memory, Linux %s, a cell is %s%s\n", size_text(m->bytes), s->kernel,
	       size_text((uint64_t)l.per_cell << BLOCK_SHIFT), l.nr_gaps ? ", ~ no memory" : "");
	legend(&sums, width, o->colour, true);
	next = 0;
	for (size_t row = 0; row < l.nr_rows; row++) {
		if (gap_before(&l, row))
			printf("%*s ~\n", LABEL - 1, "");
		fill_row(&l, m, row, &next, cells);
		printf("%#*llx ", LABEL - 1, (unsigned long long)l.rows[row] << BLOCK_SHIFT);
		put_cells(cells, l.columns, o->colour);
	}
	free(cells);
	free(l.rows);
}

/*
 * The picture. Rectangles are runs of cells that look the same; a pattern of
 * lines in the colour of the background on top of them makes the grid.
 */
#define CELL		10
#define MARGIN		20
#define LEFT		96		/* where cells begin */
#define TOP		72
#define SVG_COLUMNS	64
#define SVG_ROWS	192
#define GAP		26		/* between rows, where there is no memory */
#define ITEM		20		/* line of the legend */
#define LEGEND_COLUMNS	2

static void svg_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		default:
			/* The rest of what XML cannot have */
			fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
		}
	}
}

static void svg_style(FILE *f)
{
	/* Viewers without a notion of dark and light have a picture with a background. */
	fprintf(f,
		"<style>\n"
		"text { font-family: system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #1c2329 }\n"
		".title { font-size: 16px; font-weight: 600 }\n"
		".small { font-size: 12px }\n"
		".address { font-size: 11px; font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; text-anchor: end }\n"
		".dim { fill: #5c6770 }\n"
		".paper { fill: #ffffff }\n"
		".line { stroke: #ffffff }\n");
	for (int i = STATE_MAPPED; i < NR_STATES; i++)
		fprintf(f, ".%s { fill: %s }\n", state_name[i], looks[i].light);
	fprintf(f, "@media (prefers-color-scheme: dark) {\n"
		"text { fill: #e4e8eb }\n.dim { fill: #9aa5ae }\n"
		".paper { fill: #14181c }\n.line { stroke: #14181c }\n");
	for (int i = STATE_MAPPED; i < NR_STATES; i++)
		fprintf(f, ".%s { fill: %s }\n", state_name[i], looks[i].dark);
	fprintf(f, "}\n</style>\n");
}

static void svg_title(FILE *f, const struct sample *s, const struct memory *m,
		      const struct layout *l, const struct sums *sums, const struct options *o)
{
	static const char *const names[NR_ENTRIES] = {
		[ENTRY_1G] = "1 GiB", [ENTRY_2M] = "2 MiB", [ENTRY_4K] = "4 KiB",
	};
	uint64_t off = m->has_entries ? m->entry_bytes[ENTRY_NONE] :
				       (uint64_t)sums->unmapped_blocks << BLOCK_SHIFT;
	const char *before = "; mapped by entries of";

	fprintf(f, "<text class=\"title\" x=\"%d\" y=\"34\">", MARGIN);
	if (o->title) {
		svg_text(f, o->title);
		fputs(": ", f);
	}
	if (off)
		fprintf(f, "%s of %s off the direct map", size_text(off), size_text(m->bytes));
	else
		fprintf(f, "all of %s in the direct map", size_text(m->bytes));
	fprintf(f, "</text>\n<text class=\"small dim\" x=\"%d\" y=\"54\">Linux ", MARGIN);
	svg_text(f, s->kernel);
	fprintf(f, "; a cell is %s, a row %s", size_text((uint64_t)l->per_cell << BLOCK_SHIFT),
		size_text(((uint64_t)l->per_cell << BLOCK_SHIFT) * l->columns));
	for (int i = ENTRY_1G; i <= ENTRY_4K; i++) {
		if (!m->entry_bytes[i])
			continue;
		fprintf(f, "%s %s: %s", before, names[i], size_text(m->entry_bytes[i]));
		before = ",";
	}
	fprintf(f, "</text>\n");
}

void show_svg(FILE *f, const struct sample *s, const struct memory *m, const struct options *o)
{
	struct layout l = { .columns = SVG_COLUMNS };
	unsigned int width = LEFT + SVG_COLUMNS * CELL + MARGIN, height, items = 0, n = 0, y;
	enum state cells[SVG_COLUMNS];
	struct sums sums;
	size_t next = 0;

	fit(&l, m, SVG_ROWS);
	sum_up(&sums, m);
	for (size_t row = 0; row < l.nr_rows; row++) {
		fill_row(&l, m, row, &next, cells);
		for (unsigned int c = 0; c < l.columns; c++)
			sums.on_map[cells[c]] = true;
	}
	for (int i = STATE_MAPPED; i < NR_STATES; i++)
		items += sums.on_map[i];
	height = TOP + l.nr_rows * CELL + l.nr_gaps * GAP + MARGIN +
		(items + LEGEND_COLUMNS - 1) / LEGEND_COLUMNS * ITEM + MARGIN;

	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\">\n",
		width, height, width, height);
	svg_style(f);
	fprintf(f,
		"<defs><pattern id=\"grid\" x=\"0\" y=\"0\" width=\"%d\" height=\"%d\" patternUnits=\"userSpaceOnUse\">"
		"<path class=\"line\" d=\"M0 %d.5H%d M%d.5 0V%d\" stroke-width=\"1\" fill=\"none\"/></pattern></defs>\n",
		CELL, CELL, CELL - 1, CELL, CELL - 1, CELL);
	fprintf(f, "<rect class=\"paper\" width=\"%u\" height=\"%u\"/>\n", width, height);
	svg_title(f, s, m, &l, &sums, o);

	y = TOP;
	next = 0;
	for (size_t row = 0, first = 0; row < l.nr_rows; row++, y += CELL) {
		if (gap_before(&l, row)) {
			fprintf(f, "<text class=\"small dim\" x=\"%d\" y=\"%u\">no memory</text>\n",
				LEFT, y + GAP / 2 + 4);
			y += GAP;
			first = row;
		}
		/* An address each eighth row: 1 GiB, when a cell is 2 MiB */
		if ((row - first) % 8 == 0)
			fprintf(f, "<text class=\"address\" x=\"%d\" y=\"%u\">%#llx</text>\n",
				LEFT - 8, y + CELL - 1,
				(unsigned long long)l.rows[row] << BLOCK_SHIFT);
		fill_row(&l, m, row, &next, cells);
		for (unsigned int c = 0, run; c < l.columns; c += run) {
			for (run = 1; c + run < l.columns && cells[c + run] == cells[c]; run++)
				;
			if (cells[c] != STATE_HOLE)
				fprintf(f,
					"<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%d\"/>\n",
					state_name[cells[c]], LEFT + c * CELL, y, run * CELL, CELL);
		}
		/* The grid over all rows since the last gap, from where these begin */
		if (row + 1 == l.nr_rows || gap_before(&l, row + 1))
			fprintf(f,
				"<g transform=\"translate(%d %zu)\"><rect fill=\"url(#grid)\" width=\"%d\" height=\"%zu\"/></g>\n",
				LEFT, y - (row - first) * CELL, SVG_COLUMNS * CELL,
				(row - first + 1) * CELL);
	}

	y += MARGIN;
	for (int i = STATE_MAPPED; i < NR_STATES; i++) {
		unsigned int x = LEFT + n % LEGEND_COLUMNS * (SVG_COLUMNS * CELL / LEGEND_COLUMNS);

		if (!sums.on_map[i])
			continue;
		fprintf(f,
			"<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%d\" height=\"%d\"/>"
			"<text class=\"small\" x=\"%u\" y=\"%u\">",
			state_name[i], x, y + n / LEGEND_COLUMNS * ITEM, CELL, CELL, x + CELL + 8,
			y + n / LEGEND_COLUMNS * ITEM + CELL - 1);
		svg_text(f, looks[i].text);
		if (sums.bytes[i])
			fprintf(f, ", %s", size_text(sums.bytes[i]));
		if (i == STATE_PIECES)
			fprintf(f, " (%s absent)", size_text(sums.absent));
		fprintf(f, "</text>\n");
		n++;
	}
	fprintf(f, "</svg>\n");
	free(l.rows);
}
