// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which processes hold secret memory.
 *
 * By their descriptors, whose fdinfo says how many pages the file has; and by
 * their mappings, as most programs close the descriptor after mmap(). A mapping
 * says in smaps how much of the file this process has touched, so that what a
 * file holds is known exactly only where somebody has it open.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dmapstat.h"

/* What a link or a mapping of such a file is called */
#define SECRETMEM_NAME	"/secretmem (deleted)"

struct secret_file {
	unsigned long long ino;
	long long pages;		/* of it; UNKNOWN where nobody has it open */
	long long mapped_kb;		/* the most that one process has touched */
};

struct holder {
	int pid;
	char command[64];
	unsigned int fds, mappings;
	long long mapped_kb;		/* touched */
	long long kb;			/* of all its files */
	bool exact;
	unsigned long long *files;
	size_t nr_files;
};

static struct secret_file *files;
static size_t nr_files;
static unsigned int nr_denied;

static struct secret_file *find_file(unsigned long long ino)
{
	for (size_t i = 0; i < nr_files; i++) {
		if (files[i].ino == ino)
			return &files[i];
	}
	files = more(files, nr_files, sizeof(*files));
	files[nr_files] = (struct secret_file){ .ino = ino, .pages = UNKNOWN };
	return &files[nr_files++];
}

static void hold(struct holder *h, unsigned long long ino)
{
	for (size_t i = 0; i < h->nr_files; i++) {
		if (h->files[i] == ino)
			return;
	}
	h->files = more(h->files, h->nr_files, sizeof(*h->files));
	h->files[h->nr_files++] = ino;
}

static FILE *open_of(int pid, const char *name)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/%d/%s", root, pid, name);
	f = fopen(path, "re");
	if (!f && (errno == EACCES || errno == EPERM))
		nr_denied++;
	return f;
}

/* Which file a descriptor is of, and how many pages that has. */
static bool look_at_fdinfo(int pid, const char *fd, unsigned long long *ino, long long *pages)
{
	char name[64], line[256];
	bool found = false;
	FILE *f;

	*pages = UNKNOWN;
	snprintf(name, sizeof(name), "fdinfo/%.20s", fd);
	f = open_of(pid, name);
	while (f && fgets(line, sizeof(line), f)) {
		found |= sscanf(line, "ino: %llu", ino) == 1;
		sscanf(line, "secretmem-pages: %lld", pages);
	}
	if (f)
		fclose(f);
	return found;
}

static void look_at_fds(struct holder *h)
{
	char path[PATH_MAX], link[sizeof(SECRETMEM_NAME) + 1];
	unsigned long long ino;
	struct dirent *d;
	long long pages;
	ssize_t len;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/proc/%d/fd", root, h->pid);
	dir = opendir(path);
	if (!dir && (errno == EACCES || errno == EPERM))
		nr_denied++;
	while (dir && (d = readdir(dir))) {
		len = readlinkat(dirfd(dir), d->d_name, link, sizeof(link));
		if (len != sizeof(SECRETMEM_NAME) - 1 || memcmp(link, SECRETMEM_NAME, len) ||
		    !look_at_fdinfo(h->pid, d->d_name, &ino, &pages))
			continue;
		h->fds++;
		hold(h, ino);
		find_file(ino)->pages = pages;
	}
	if (dir)
		closedir(dir);
}

static void look_at_mappings(struct holder *h)
{
	struct secret_file *file = NULL;
	unsigned long long ino;
	char line[PATH_MAX];
	FILE *f;

	/* Short, where smaps of a large process takes long */
	f = open_of(h->pid, "maps");
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, " " SECRETMEM_NAME "\n"))
			h->mappings++;
	}
	if (f)
		fclose(f);
	if (!h->mappings)
		return;

	f = open_of(h->pid, "smaps");
	while (f && fgets(line, sizeof(line), f)) {
		long long kb;

		if (sscanf(line, "%*x-%*x %*s %*x %*x:%*x %llu", &ino) == 1) {
			file = NULL;
			if (!strstr(line, " " SECRETMEM_NAME "\n"))
				continue;
			hold(h, ino);
			file = find_file(ino);
		} else if (file && sscanf(line, "Rss: %lld", &kb) == 1) {
			h->mapped_kb += kb;
			if (kb > file->mapped_kb)
				file->mapped_kb = kb;
		}
	}
	if (f)
		fclose(f);
}

static bool look_at(struct holder *h)
{
	FILE *f;

	look_at_fds(h);
	look_at_mappings(h);
	if (!h->nr_files)
		return false;

	f = open_of(h->pid, "comm");
	if (!f || !fgets(h->command, sizeof(h->command), f))
		strcpy(h->command, "?");
	if (f)
		fclose(f);
	h->command[strcspn(h->command, "\n")] = 0;
	/* It is the process's own to choose */
	for (char *c = h->command; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
	return true;
}

static long long file_kb(const struct secret_file *file)
{
	return file->pages == UNKNOWN ? file->mapped_kb : file->pages << (PAGE_SHIFT - 10);
}

static int by_size(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;

	if (x->kb != y->kb)
		return x->kb < y->kb ? 1 : -1;
	return x->pid - y->pid;
}

/**
 * show_holders() - print who holds secret memory, most first
 * @s: what is counted
 *
 * Return: false if some processes could not be looked at.
 */
bool show_holders(const struct sample *s)
{
	struct holder *holders = NULL;
	long long found = 0, all = s->value[SECRETMEM];
	size_t nr = 0;
	struct dirent *d;
	char path[PATH_MAX];
	DIR *proc;

	snprintf(path, sizeof(path), "%s/proc", root);
	proc = opendir(path);
	if (!proc)
		die(1, "%s: %s", path, strerror(errno));
	while ((d = readdir(proc))) {
		struct holder h = { .pid = atoi(d->d_name) };

		if (h.pid <= 0 || !look_at(&h))
			continue;
		holders = more(holders, nr, sizeof(*holders));
		holders[nr++] = h;
	}
	closedir(proc);

	for (size_t i = 0; i < nr; i++) {
		struct holder *h = &holders[i];

		h->exact = true;
		for (size_t j = 0; j < h->nr_files; j++) {
			struct secret_file *file = find_file(h->files[j]);

			h->kb += file_kb(file);
			h->exact &= file->pages != UNKNOWN;
		}
	}
	if (nr)
		qsort(holders, nr, sizeof(*holders), by_size);

	printf("    PID  FILES   FDS  MAPS     HOLDS kB   TOUCHED kB  COMMAND\n");
	for (size_t i = 0; i < nr; i++) {
		const struct holder *h = &holders[i];
		char kb[32];

		snprintf(kb, sizeof(kb), "%s%lld", h->exact ? "" : ">=", h->kb);
		printf("%7d %6zu %5u %5u %12s %12lld  %s\n", h->pid, h->nr_files, h->fds, h->mappings, kb,
		       h->mapped_kb, h->command);
	}
	for (size_t i = 0; i < nr_files; i++)
		found += file_kb(&files[i]);
	printf("%zu process%s, %zu file%s, %lld kB", nr, nr == 1 ? "" : "es", nr_files,
	       nr_files == 1 ? "" : "s", found);
	if (all != UNKNOWN)
		printf(" of %lld kB", all);
	printf("\n");
	if (all > found && !nr_denied)
		printf("The rest is in files that are mapped only, beyond what was touched by one process,\n"
		       "or on their way in a UNIX socket.\n");
	if (nr_denied) {
		fflush(stdout);
		fprintf(stderr, "dmapstat: not all processes could be looked at: that takes root\n");
	}
	return !nr_denied;
}
