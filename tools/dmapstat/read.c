// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel says about its direct map.
 *
 * Counters are from /proc/meminfo and /proc/vmstat. Which blocks are unmapped is
 * one bit of /proc/kpageflags, KPF_NO_DIRECT_MAP: a stable interface that is
 * there already, indexed by page, with the bit for "free" beside it. A new file
 * with a list of blocks would be one more ABI for what one bit says.
 *
 * The direct map's entries themselves are in debugfs only, in a format that is
 * for kernel developers and no ABI, so that they are read if asked for only.
 * /proc/kcore could be asked where memory cannot be read, but not why, and
 * would say nothing about the size of an entry.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dmapstat.h"

/* Bits of /proc/kpageflags, Documentation/admin-guide/mm/pagemap.rst */
#define KPF_BUDDY		10
#define KPF_NO_DIRECT_MAP	27

const char *root = "";
const char *const kpageflags_file = "/proc/kpageflags";
const char *const entries_file = "/sys/kernel/debug/page_tables/kernel";

/* Room for one element more. */
void *more(void *array, size_t nr, size_t size)
{
	/* Whenever nr is a power of two, it doubles */
	if (nr & (nr - 1))
		return array;
	array = realloc(array, (nr ? 2 * nr : 1) * size);
	if (!array)
		die(1, "out of memory");
	return array;
}

static const char *at_root(const char *path)
{
	static char buf[PATH_MAX];

	if (snprintf(buf, sizeof(buf), "%s%s", root, path) >= (int)sizeof(buf))
		die(2, "--root: too long a name");
	return buf;
}

static FILE *open_text(const char *path)
{
	return fopen(at_root(path), "re");
}

static const struct {
	const char *file;
	const char *name;
} counters[NR_COUNTERS] = {
	[MEM_TOTAL]	  = { "/proc/meminfo", "MemTotal" },
	[DIRECT_4K]	  = { "/proc/meminfo", "DirectMap4k" },
	[DIRECT_2M]	  = { "/proc/meminfo", "DirectMap2M" },
	[DIRECT_1G]	  = { "/proc/meminfo", "DirectMap1G" },
	[DIRECT_UNMAPPED] = { "/proc/meminfo", "DirectMapUnmapped" },
	[SECRETMEM]	  = { "/proc/meminfo", "Secretmem" },
	[NR_UNMAPPED]	  = { "/proc/vmstat", "nr_no_direct_map" },
	[NR_FREE]	  = { "/proc/vmstat", "nr_free_no_direct_map" },
	[NR_FREE_WHOLE]	  = { "/proc/vmstat", "nr_free_no_direct_map_whole" },
	[NR_DIRTY]	  = { "/proc/vmstat", "nr_no_direct_map_dirty" },
	[FLIP_UNMAP]	  = { "/proc/vmstat", "direct_map_flip_unmap" },
	[FLIP_REMAP]	  = { "/proc/vmstat", "direct_map_flip_remap" },
	[FLIP_FAIL]	  = { "/proc/vmstat", "direct_map_flip_fail" },
	[SHOOTDOWN]	  = { "/proc/vmstat", "direct_map_shootdown" },
	[ZEROED]	  = { "/proc/vmstat", "no_direct_map_zeroed_pages" },
	[MERMAP_FLUSH]	  = { "/proc/vmstat", "mermap_flush" },
	[SPLIT_2M]	  = { "/proc/vmstat", "direct_map_level2_splits" },
	[SPLIT_1G]	  = { "/proc/vmstat", "direct_map_level3_splits" },
	[COLLAPSE_2M]	  = { "/proc/vmstat", "direct_map_level2_collapses" },
	[COLLAPSE_1G]	  = { "/proc/vmstat", "direct_map_level3_collapses" },
};

static void read_counters(struct sample *s, const char *file)
{
	FILE *f = open_text(file);
	char line[256], name[64];
	long long value;

	if (!f)
		die(1, "%s: %s", at_root(file), strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63[^: \t]%*[: \t]%lld", name, &value) != 2)
			continue;
		for (int i = 0; i < NR_COUNTERS; i++)
			if (counters[i].name && !strcmp(counters[i].file, file) &&
			    !strcmp(counters[i].name, name))
				s->value[i] = value;
	}
	fclose(f);
}

void read_sample(struct sample *s)
{
	FILE *f;

	for (int i = 0; i < NR_COUNTERS; i++)
		s->value[i] = UNKNOWN;
	read_counters(s, "/proc/meminfo");
	read_counters(s, "/proc/vmstat");

	f = open_text("/proc/sys/vm/no_direct_map_pool_blocks");
	if (f) {
		if (fscanf(f, "%lld", &s->value[POOL_BLOCKS]) != 1)
			s->value[POOL_BLOCKS] = UNKNOWN;
		fclose(f);
	}
	s->uptime = 0;
	f = open_text("/proc/uptime");
	if (f) {
		if (fscanf(f, "%lf", &s->uptime) != 1)
			s->uptime = 0;
		fclose(f);
	}
	strcpy(s->kernel, "unknown");
	f = open_text("/proc/sys/kernel/osrelease");
	if (f) {
		if (fscanf(f, "%127s", s->kernel) != 1)
			strcpy(s->kernel, "unknown");
		fclose(f);
	}
}

static void add_ram(struct memory *m, uint64_t start, uint64_t end)
{
	m->ram = more(m->ram, m->nr_ram, sizeof(*m->ram));
	m->ram[m->nr_ram++] = (struct range){ start, end };
}

/* Exact, but all zeros for those without CAP_SYS_ADMIN */
static bool ram_from_iomem(struct memory *m)
{
	FILE *f = open_text("/proc/iomem");
	unsigned long long start, end;
	char line[256];

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		int at = 0;		/* stays so in a line that ends after its range */

		/* Memory that a driver added is "System RAM (kmem)", and indented */
		if (sscanf(line, " %llx-%llx : %n", &start, &end, &at) == 2 &&
		    !strncmp(line + at, "System RAM", strlen("System RAM")) && end > start)
			add_ram(m, start, end + 1);
	}
	fclose(f);
	m->source = "/proc/iomem";
	return m->nr_ram;
}

/* For everybody, but in units of some 128 MiB, holes included */
static bool ram_from_sysfs(struct memory *m)
{
	const char *dir = "/sys/devices/system/memory";
	unsigned long long size = 0;
	char path[PATH_MAX];
	struct dirent *d;
	FILE *f;
	DIR *all;

	snprintf(path, sizeof(path), "%s/block_size_bytes", dir);
	f = open_text(path);
	if (!f)
		return false;
	if (fscanf(f, "%llx", &size) != 1)
		size = 0;
	fclose(f);
	all = size ? opendir(at_root(dir)) : NULL;
	if (!all)
		return false;
	while ((d = readdir(all))) {
		unsigned long nr;
		char state[16] = "";

		if (sscanf(d->d_name, "memory%lu", &nr) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/state", dir, d->d_name);
		f = open_text(path);
		if (!f)
			continue;
		if (fscanf(f, "%15s", state) == 1 && !strcmp(state, "online"))
			add_ram(m, nr * size, (nr + 1) * size);
		fclose(f);
	}
	closedir(all);
	m->source = dir;
	return m->nr_ram;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* Sort them, make one of those that touch, cut them to whole pages. */
static void tidy_ram(struct memory *m)
{
	size_t nr = 0;

	qsort(m->ram, m->nr_ram, sizeof(*m->ram), compare_ranges);
	for (size_t i = 0; i < m->nr_ram; i++) {
		uint64_t start = (m->ram[i].start + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
		uint64_t end = m->ram[i].end & ~(PAGE_SIZE - 1);

		if (start >= end)
			continue;
		if (nr && start <= m->ram[nr - 1].end) {
			if (end > m->ram[nr - 1].end)
				m->ram[nr - 1].end = end;
			continue;
		}
		m->ram[nr++] = (struct range){ start, end };
	}
	m->nr_ram = nr;
}

/* Where memory is, and the blocks that it consists of. */
void read_ram(struct memory *m)
{
	m->nr_ram = m->nr_blocks = 0;
	m->bytes = 0;
	if (!ram_from_iomem(m) && !ram_from_sysfs(m)) {
		m->source = NULL;
		return;
	}
	tidy_ram(m);
	for (size_t i = 0; i < m->nr_ram; i++) {
		uint64_t start = m->ram[i].start, end = m->ram[i].end;

		m->bytes += end - start;
		for (uint64_t at = start, next; at < end; at = next) {
			uint32_t nr = at >> BLOCK_SHIFT;
			struct block *last = m->nr_blocks ? &m->blocks[m->nr_blocks - 1] : NULL;

			next = (at & ~(BLOCK_SIZE - 1)) + BLOCK_SIZE;
			if (next > end)
				next = end;
			if (!last || last->nr != nr) {
				m->blocks = more(m->blocks, m->nr_blocks, sizeof(*m->blocks));
				last = &m->blocks[m->nr_blocks++];
				*last = (struct block){ .nr = nr };
			}
			last->pages += (next - at) >> PAGE_SHIFT;
		}
	}
}

/* How many there are: past the end of memory none, and no page. -1: see errno */
static ssize_t read_flags(int fd, uint64_t *flags, uint64_t pfn, size_t nr)
{
	ssize_t n = pread(fd, flags, nr * sizeof(*flags), pfn * sizeof(*flags));

	if (n < 0)
		return n;
	n /= sizeof(*flags);
	memset(flags + n, 0, (nr - n) * sizeof(*flags));
	return n;
}

/*
 * One entry a block says whether it is unmapped, as all pages of a block have the
 * bit or none: 8 bytes of each 4 KiB. Of a block that is, all pages are looked at.
 */
void read_blocks(struct memory *m, const struct sample *s)
{
	uint64_t flags[BLOCK_PAGES];
	ssize_t n;
	int fd;

	m->has_blocks = false;
	if (!known(s, DIRECT_UNMAPPED)) {
		snprintf(
			m->why_no_blocks, sizeof(m->why_no_blocks),
			"Linux %s does not tell which memory is unmapped (no DirectMapUnmapped in /proc/meminfo)",
			s->kernel);
		return;
	}
	fd = open(at_root(kpageflags_file), O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(m->why_no_blocks, sizeof(m->why_no_blocks), "%s: %s%s", kpageflags_file,
			 strerror(errno),
			 errno == EACCES || errno == EPERM ? "; only root may read it" :
			 errno == ENOENT ? "; it needs a kernel with CONFIG_PROC_PAGE_MONITOR" :
					   "");
		return;
	}
	if (!m->source) {
		snprintf(m->why_no_blocks, sizeof(m->why_no_blocks),
			 "neither /proc/iomem nor /sys/devices/system/memory says where memory is");
		close(fd);
		return;
	}
	/* Nothing to look for? A block more or less is never in a CPU's share of it. */
	for (size_t i = 0; s->value[DIRECT_UNMAPPED] && i < m->nr_blocks; i++) {
		struct block *b = &m->blocks[i];
		uint64_t pfn = (uint64_t)b->nr << (BLOCK_SHIFT - PAGE_SHIFT);

		/* An unmapped block is memory from its first page to its last. */
		if (b->pages != BLOCK_PAGES)
			continue;
		n = read_flags(fd, flags, pfn, 1);
		if (n < 0)
			goto fail;
		if (!(flags[0] >> KPF_NO_DIRECT_MAP & 1))
			continue;
		n = read_flags(fd, flags, pfn, BLOCK_PAGES);
		if (n != BLOCK_PAGES)
			goto fail;
		b->unmapped = true;
		for (size_t j = 0; j < BLOCK_PAGES; j++)
			b->free += flags[j] >> KPF_BUDDY & 1;
	}
	m->has_blocks = true;
	close(fd);
	return;
fail:
	snprintf(m->why_no_blocks, sizeof(m->why_no_blocks), "%s: %s", kpageflags_file,
		 n < 0 ? strerror(errno) : "cut off in the middle of a block");
	for (size_t i = 0; i < m->nr_blocks; i++)
		m->blocks[i].unmapped = m->blocks[i].free = 0;
	close(fd);
}

/* The first block at or after an address. */
static size_t block_at(const struct memory *m, uint64_t address)
{
	uint64_t nr = address >> BLOCK_SHIFT;
	size_t low = 0, high = m->nr_blocks;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->blocks[mid].nr < nr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void add_segment(struct memory *m, uint64_t start, uint64_t end, enum entry level, bool present)
{
	struct segment *last = m->nr_segments ? &m->segments[m->nr_segments - 1] : NULL;
	enum entry entry = present ? level : ENTRY_NONE;

	m->entry_bytes[entry] += end - start;
	/* Entries that differ in permissions only are of no interest here. */
	if (last && last->end == start && last->entry == entry) {
		last->end = end;
	} else {
		m->segments = more(m->segments, m->nr_segments, sizeof(*m->segments));
		m->segments[m->nr_segments++] = (struct segment){ start, end, entry };
	}

	for (size_t i = block_at(m, start); i < m->nr_blocks; i++) {
		struct block *b = &m->blocks[i];
		uint64_t b_start = (uint64_t)b->nr << BLOCK_SHIFT, b_end = b_start + BLOCK_SIZE;

		if (b_start >= end)
			break;
		if (!present)
			b->absent += ((b_end < end ? b_end : end) -
				      (b_start > start ? b_start : start)) >> PAGE_SHIFT;
		/* A page table with nothing in it is in pieces all the same */
		if (!present && level != ENTRY_4K)
			level = ENTRY_NONE;
		if (b->entry < level)
			b->entry = level;
	}
}

/* What is not present is missed only where memory is. */
static void add_absent(struct memory *m, uint64_t start, uint64_t end, enum entry level)
{
	for (size_t i = 0; i < m->nr_ram && m->ram[i].start < end; i++) {
		uint64_t from = start > m->ram[i].start ? start : m->ram[i].start;
		uint64_t to = end < m->ram[i].end ? end : m->ram[i].end;

		if (from < to)
			add_segment(m, from, to, level, false);
	}
}

/* Of page tables that were not read to their end, nothing is shown. */
static void forget_entries(struct memory *m)
{
	m->has_entries = false;
	m->nr_segments = 0;
	memset(m->entry_bytes, 0, sizeof(m->entry_bytes));
	for (size_t i = 0; i < m->nr_blocks; i++)
		m->blocks[i].entry = m->blocks[i].absent = 0;
}

static enum entry entry_of(const char *level)
{
	return !strcmp(level, "pte") ? ENTRY_4K : !strcmp(level, "pmd") ? ENTRY_2M :
	       !strcmp(level, "pud") ? ENTRY_1G : ENTRY_UNKNOWN;
}

/*
 * The page tables of the kernel, as arch/x86/mm/dump_pagetables.c prints them:
 *
 *   ---[ Low Kernel Mapping ]---
 *   0xff1fddd9c0000000-0xff1fddd9c0099000     612K     RW       GLB NX pte
 *   0xff1fddd9c0099000-0xff1fddda00000000     ...                      pmd
 *
 * Nothing but the level: not present. The direct map begins where the section
 * does, wherever KASLR put it.
 */
void read_entries(struct memory *m)
{
	bool inside = false, found = false;
	FILE *f = open_text(entries_file);
	unsigned long long base = 0, start, end;
	char line[256];

	forget_entries(m);
	if (!f) {
		snprintf(
			m->why_no_entries, sizeof(m->why_no_entries), "%s: %s%s", entries_file,
			strerror(errno),
			errno == EACCES || errno == EPERM ?
				"; only root may read it, and not in lockdown" :
			errno == ENOENT ?
				"; it needs debugfs in /sys/kernel/debug and a kernel with CONFIG_PTDUMP_DEBUGFS" :
				"");
		return;
	}
	if (!m->source) {
		snprintf(m->why_no_entries, sizeof(m->why_no_entries),
			 "neither /proc/iomem nor /sys/devices/system/memory says where memory is");
		fclose(f);
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		char size[32], word[16], level[16] = "";
		bool present = false;
		enum entry entry;
		int at, n;

		if (!strncmp(line, "---[", 4)) {
			inside = strstr(line, "Low Kernel Mapping");
			continue;
		}
		if (!inside || sscanf(line, "%llx-%llx %31s%n", &start, &end, size, &at) != 3)
			continue;
		for (char *p = line + at; sscanf(p, "%15s%n", word, &n) == 1; p += n) {
			present |= !strcmp(word, "RW") || !strcmp(word, "ro");
			strcpy(level, word);
		}
		if (!found)
			base = start;
		found = true;
		entry = entry_of(level);
		if ((present && entry == ENTRY_UNKNOWN) || start < base || end <= start) {
			line[strcspn(line, "\n")] = 0;
			forget_entries(m);
			snprintf(m->why_no_entries, sizeof(m->why_no_entries),
				 "%s: not understood: %.100s", entries_file, line);
			fclose(f);
			return;
		}
		if (present)
			add_segment(m, start - base, end - base, entry, true);
		else
			add_absent(m, start - base, end - base, entry);
	}
	if (ferror(f))
		snprintf(m->why_no_entries, sizeof(m->why_no_entries), "%s: %s", entries_file,
			 strerror(errno));
	else if (!found)
		snprintf(m->why_no_entries, sizeof(m->why_no_entries),
			 "%s: it has no section \"Low Kernel Mapping\"", entries_file);
	else
		m->has_entries = true;
	if (!m->has_entries)
		forget_entries(m);
	fclose(f);
}

enum state block_state(const struct block *b)
{
	if (b->unmapped)
		return !b->free ? STATE_USED : b->free == BLOCK_PAGES ? STATE_FREE : STATE_PART;
	if (b->entry == ENTRY_UNKNOWN)
		return STATE_MAPPED;
	if (b->absent)
		return b->entry == ENTRY_4K ? STATE_PIECES : STATE_ABSENT;
	return b->entry == ENTRY_1G ? STATE_1G : b->entry == ENTRY_2M ? STATE_2M : STATE_4K;
}
