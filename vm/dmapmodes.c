// SPDX-License-Identifier: GPL-2.0-only
/*
 * What dmapstat prints, mode by mode, for root and for others, on a kernel with
 * unmapped blocks and on one without. Figures are held against /proc; whether it
 * says the truth about blocks is the matter of dmapwalk.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/tap.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

#define NOBODY		65534
#define SECRET_PAGES	2048
#define SAMPLE		"/tmp/sample"

static bool patched;

/* What the last run said */
static char out[1 << 20], err[4096];
static int status;

__attribute__((format(printf, 2, 3)))
static void test(bool ok, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_vtest(ok, fmt, ap);
	va_end(ap);
	if (!ok) {
		printf("# status %d, standard error: %.300s\n", status, err[0] ? err : "nothing");
		for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"))
			printf("# > %.120s\n", line);
	}
	fflush(stdout);
}

static size_t slurp(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	buf[len] = 0;
	return len;
}

/*
 * Run a shell command as somebody, its output in a pipe or in a terminal of
 * 100 columns and 30 lines. Standard error goes to a file, so that neither waits.
 */
static void run(uid_t uid, bool terminal, const char *command)
{
	static const char *const file = "/tmp/dmapmodes.err";
	struct winsize size = { .ws_row = 30, .ws_col = 100 };
	int fds[2], fd, wait_status = 0;
	pid_t pid;

	if (terminal ? openpty(&fds[0], &fds[1], NULL, NULL, &size) : pipe(fds)) {
		printf("Bail out! %s\n", strerror(errno));
		exit(1);
	}
	fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0666);
	pid = fork();
	if (!pid) {
		dup2(fds[1], 1);
		dup2(fd, 2);
		close(fds[0]);
		close(fds[1]);
		if (uid && (setgroups(0, NULL) || setgid(uid) || setuid(uid)))
			_exit(126);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(fds[1]);
	slurp(fds[0], out, sizeof(out));
	close(fds[0]);
	waitpid(pid, &wait_status, 0);
	status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
	lseek(fd, 0, SEEK_SET);
	slurp(fd, err, sizeof(err));
	close(fd);
}

static void as_root(const char *command)
{
	run(0, false, command);
}

static void as_nobody(const char *command)
{
	run(NOBODY, false, command);
}

static unsigned int count_lines(const char *with)
{
	unsigned int n = 0;

	for (const char *p = out, *end; *p; p = end + 1) {
		end = strchrnul(p, '\n');
		n += !with || memmem(p, end - p, with, strlen(with));
		if (!*end)
			break;
	}
	return n;
}

static size_t longest_line(void)
{
	size_t longest = 0;

	for (const char *p = out; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strcspn(p, "\r\n") > longest)
			longest = strcspn(p, "\r\n");
	return longest;
}

static long counter(const char *file, const char *name)
{
	FILE *f = fopen(file, "r");
	char line[256], word[64];
	long value, found = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[^: \t]%*[: \t]%ld", word, &value) == 2 && !strcmp(word, name))
			found = value;
	if (f)
		fclose(f);
	return found;
}

static json_t *parse(void)
{
	json_error_t error;
	json_t *json = json_loads(out, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		snprintf(err, sizeof(err), "JSON: line %d: %s", error.line, error.text);
	return json;
}

/* A number of dmapstat's, or -1 for null */
static long get(json_t *json, const char *group, const char *name)
{
	json_t *value = json_object_get(json_object_get(json, group), name);

	return json_is_integer(value) ? json_integer_value(value) : json_is_null(value) ? -1 : -2;
}

static bool has_missing(json_t *json, const char *what, const char *why)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json, "missing"), i, one) {
		const char *text = json_string_value(json_object_get(one, "why"));

		if (!strcmp(json_string_value(json_object_get(one, "what")), what) && strstr(text, why))
			return true;
	}
	return false;
}

/* Do the ranges follow each other, each unlike its neighbour, and are they all there is? */
static bool sound_ranges(json_t *json)
{
	json_t *ranges = json_object_get(json_object_get(json, "blocks"), "ranges"), *r;
	long pages = 0, unmapped = 0, last_end = 0;
	const char *last = "";
	size_t i;

	json_array_foreach(ranges, i, r) {
		long start, end, n, used = 0, is_free = 0;
		const char *state;

		if (json_unpack(r, "{s:I,s:I,s:I,s:s}", "start", &start, "end", &end, "pages", &n,
				"state", &state))
			return false;
		if (start < last_end || start >= end || start % (2 << 20) || n > (end - start) / 4096 ||
		    (start == last_end && !strcmp(state, last)))
			return false;
		if (!json_unpack(r, "{s:I,s:I}", "used_pages", &used, "free_pages", &is_free)) {
			if (used + is_free != n)
				return false;
			unmapped += n;
		}
		pages += n;
		last = state;
		last_end = end;
	}
	return pages == get(json, "memory", "bytes") / 4096 &&
	       unmapped == get(json, "unmapped", "pages");
}

static bool counters_right(json_t *json)
{
	static const struct {
		const char *group, *name, *file, *key;
	} pairs[] = {
		{ "direct_map", "entries_4k_kb", "/proc/meminfo", "DirectMap4k" },
		{ "direct_map", "entries_2m_kb", "/proc/meminfo", "DirectMap2M" },
		{ "direct_map", "entries_1g_kb", "/proc/meminfo", "DirectMap1G" },
		{ "direct_map", "unmapped_kb", "/proc/meminfo", "DirectMapUnmapped" },
		{ "direct_map", "splits_1g", "/proc/vmstat", "direct_map_level3_splits" },
		{ "unmapped", "pages", "/proc/vmstat", "nr_no_direct_map" },
		{ "unmapped", "secretmem_kb", "/proc/meminfo", "Secretmem" },
		{ "since_boot", "flip_unmap", "/proc/vmstat", "direct_map_flip_unmap" },
		{ "since_boot", "shootdown", "/proc/vmstat", "direct_map_shootdown" },
		{ "since_boot", "zeroed_pages", "/proc/vmstat", "no_direct_map_zeroed_pages" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (get(json, pairs[i].group, pairs[i].name) != counter(pairs[i].file, pairs[i].key)) {
			snprintf(err, sizeof(err), "%s is not %s", pairs[i].name, pairs[i].key);
			return false;
		}
	return true;
}

static void test_options(void)
{
	static const char *const wrong[] = {
		"dmapstat --nonsense", "dmapstat nonsense",  "dmapstat -m -j",
		"dmapstat -w",	       "dmapstat -w 0",	     "dmapstat -w 1s",
		"dmapstat -w 1 -1",    "dmapstat -w 1 2 3",  "dmapstat -m --color=red",
		"dmapstat -w 1 -e",    "dmapstat --title x", "dmapstat -H -m",
		"dmapstat -H -e",
	};
	int right = 0, nr = sizeof(wrong) / sizeof(*wrong);

	as_root("dmapstat --help");
	test(!status && strstr(out, "--watch") && longest_line() <= 90, "--help");
	as_root("dmapstat --version");
	test(!status && !strncmp(out, "dmapstat ", 9), "--version");
	for (int i = 0; i < nr; i++) {
		as_root(wrong[i]);
		right += status == 2 && !out[0] && err[0];
	}
	test(right == nr, "wrong usage is refused: %d of %d", right, nr);
	as_root("dmapstat >/dev/full");
	test(status == 1 && strstr(err, "No space"), "a full disk is an error");
	as_root("dmapstat -e --svg /nowhere/x.svg");
	test(status == 1 && strstr(err, "/nowhere/x.svg: No such"),
	     "a file that cannot be made is one");
}

static void test_summary(void)
{
	as_root("dmapstat");
	test(!status && !err[0] && strstr(out, "\nEntries\n") && strstr(out, "  2 MiB") &&
		     !strchr(out, '\033') &&
		     strstr(out, patched ? "vm.no_direct_map_pool_blocks" : "does not count it"),
	     "summary");
	as_root("dmapstat --entries");
	test(!status && strstr(out, "not mapped") && !strstr(out, "twice"), "summary with entries");
	as_nobody("dmapstat");
	test(!status && !err[0] && strstr(out, "/sys/devices/system/memory\n") &&
		     strstr(out, "\nEntries\n") &&
		     strstr(out, patched ? "vm.no_direct_map_pool_blocks" : "does not count it"),
	     "summary for anybody");
	as_nobody("dmapstat --entries");
	test(status == 3 && strstr(out, "\nEntries\n") && strstr(err, "/sys/kernel/debug") &&
		     strstr(err, "root"),
	     "which cannot have entries, and says why");
}

static void test_json(void)
{
	json_t *json;

	as_root("dmapstat --json");
	json = parse();
	if (patched)
		test(!status && json && sound_ranges(json) &&
			     json_is_null(json_object_get(json, "entries")) &&
			     !json_array_size(json_object_get(json, "missing")),
		     "--json");
	else
		test(status == 3 && json && json_is_null(json_object_get(json, "blocks")) &&
			     has_missing(json, "blocks", "DirectMapUnmapped"),
		     "--json, without blocks and saying so");
	json_decref(json);

	as_root("dmapstat --json");
	json = parse();
	test(json && counters_right(json), "counters are the kernel's");
	json_decref(json);

	as_root("dmapstat --json --entries");
	json = parse();
	test(!status && json &&
		     json_array_size(json_object_get(json_object_get(json, "entries"), "ranges")) >
			     2 &&
		     get(json, "entries", "4k_kb") > 0,
	     "--json --entries");
	json_decref(json);

	as_nobody("dmapstat --json --entries");
	json = parse();
	test(status == 3 && json && json_is_null(json_object_get(json, "blocks")) &&
		     has_missing(json, "blocks",
				 patched ? "/proc/kpageflags: Permission denied" :
					   "DirectMapUnmapped") &&
		     has_missing(json, "entries", "Permission denied") &&
		     get(json, "direct_map", "entries_2m_kb") > 0 &&
		     !strcmp(json_string_value(
				     json_object_get(json_object_get(json, "memory"), "source")),
			     "/sys/devices/system/memory"),
	     "--json for anybody, with what is missing and why");
	json_decref(json);
}

static void test_map(void)
{
	unsigned int narrow;

	if (!patched) {
		as_root("dmapstat --map");
		test(status == 1 && !out[0] && strstr(err, "DirectMapUnmapped") &&
			     strstr(err, "--entries"),
		     "no map without blocks, unless with entries");
	} else {
		as_root("dmapstat --map");
		test(!status && strstr(out, ". mapped "), "--map");
		as_nobody("dmapstat --map");
		test(status == 1 && !out[0] && strstr(err, "/proc/kpageflags: Permission denied"),
		     "--map is for root");
	}
	as_root("dmapstat -m -e");
	test(!status && !err[0] && !strchr(out, '\033') && longest_line() <= 80 &&
		     count_lines(NULL) <= 24 && strstr(out, ": mapped by 2 MiB"),
	     "--map --entries in a pipe: 80x24, no colours");
	narrow = count_lines(NULL);
	as_root("COLUMNS=200 LINES=60 dmapstat -m -e");
	test(!status && longest_line() > 80 && longest_line() <= 200 && count_lines(NULL) <= 60 &&
	     count_lines(NULL) < narrow + 40, "COLUMNS and LINES are heeded");
	as_root("dmapstat -m -e --color=always");
	test(!status && strstr(out, "\033["), "--color=always");
	run(0, true, "TERM=xterm dmapstat -m -e");
	test(!status && strstr(out, "\033[") && count_lines(NULL) <= 30, "colours in a terminal");
	run(0, true, "TERM=xterm NO_COLOR=1 dmapstat -m -e");
	test(!status && !strchr(out, '\033') && longest_line() <= 100 && longest_line() > 64,
	     "but not with NO_COLOR");
	run(0, true, "TERM=xterm dmapstat -m -e --color=never");
	test(!status && !strchr(out, '\033'), "nor with --color=never");
	as_root("dmapstat -e --title 'a < b & c' --svg -");
	test(!status && !strncmp(out, "<svg ", 5) && strstr(out, "</svg>\n") &&
		     strstr(out, "a &lt; b &amp; c") &&
		     count_lines("<rect class=\"mapped-2m\"") > 1,
	     "--svg");
}

static void test_watch(void)
{
	as_root("dmapstat -w 0.2 5");
	test(!status && count_lines(NULL) == 7 && count_lines("flush") == 1 && longest_line() <= 80,
	     "--watch 0.2 5: five lines");
	as_root("dmapstat -w 0.01 50");
	test(!status && count_lines(NULL) == 56 && count_lines("flush") == 3, "a header each 21 lines");
	as_nobody("dmapstat -w 0.1 2");
	test(!status && !err[0] && count_lines(NULL) == 4, "--watch for anybody");
	as_root("dmapstat -w 1 | head -n 3");
	test(!status && count_lines(NULL) == 3, "--watch ends with its reader");
}

/* The pool is filled, and each CPU has added what it counted for itself. */
static void come_to_rest(void)
{
	long before, after = -1;

	do {
		before = after;
		if (system("sleep 1; echo 1 >/proc/sys/vm/stat_refresh"))
			printf("# no vm.stat_refresh\n");
		after = counter("/proc/vmstat", "direct_map_flip_unmap");
	} while (after != before);
}

/* Secret memory shows wherever it should. */
static void test_secret(void)
{
	int fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	json_t *json;
	char *p;

	if (fd < 0 || ftruncate(fd, SECRET_PAGES * 4096) ||
	    (p = mmap(NULL, SECRET_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) ==
		    MAP_FAILED) {
		test(false, "secret memory: %s", strerror(errno));
		return;
	}
	for (int i = 0; i < SECRET_PAGES; i++)
		p[i * 4096] = 1;
	come_to_rest();
	as_root("dmapstat --json --entries");
	json = parse();
	if (patched)
		test(!status && json && get(json, "unmapped", "secretmem_kb") == SECRET_PAGES * 4 &&
			     get(json, "unmapped", "used_pages") >= SECRET_PAGES &&
			     get(json, "since_boot", "flip_unmap") > 0 &&
			     get(json, "entries", "none_kb") ==
				     get(json, "direct_map", "unmapped_kb"),
		     "secret memory in --json");
	else
		test(!status && json && get(json, "entries", "none_kb") == SECRET_PAGES * 4,
		     "secret memory in --json");
	json_decref(json);
	as_root("COLUMNS=300 LINES=100 dmapstat -m -e");
	test(!status && strstr(out, patched ? "# unmapped, all in use" :
					      "% 4 KiB entries, not all present"),
	     "on the map");
	if (patched) {
		as_root("dmapstat");
		test(!status && strstr(out, "Secret memory        8 MiB"), "in the summary");
	}
	close(fd);
	munmap(p, SECRET_PAGES * 4096);
}

/* The line of a process in the list of holders: its numbers, in their order */
static bool holder(pid_t pid, long v[5], char *kb_is)
{
	char kb[32], line[16];

	for (char *p = out; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (sscanf(p, "%15s %ld %ld %ld %31s %ld", line, &v[0], &v[1], &v[2], kb, &v[4]) != 6 ||
		    atoi(line) != pid)
			continue;
		*kb_is = kb[0];
		v[3] = atol(kb + (kb[0] == '>' ? 2 : 0));
		return true;
	}
	return false;
}

/* Found by its descriptor, and when that is closed, by its mapping. */
static void test_holders(void)
{
	const size_t size = 64 * 4096;
	int fd = syscall(__NR_memfd_secret, O_CLOEXEC), go[2];
	long v[5], other[5];
	char kind, kind2;
	volatile char *p;
	pid_t pid;

	if (fd < 0 || ftruncate(fd, size) || pipe(go)) {
		test(false, "secret memory: %s", strerror(errno));
		return;
	}
	as_root("dmapstat --holders");
	test(!status && holder(getpid(), v, &kind) && v[0] == 1 && v[1] == 1 && !v[2] && !v[3],
	     "a file with nothing in it");

	/* The first half is the child's */
	pid = fork();
	if (!pid) {
		char c;

		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		for (size_t i = 0; i < size / 2; i += 4096)
			p[i] = 1;
		close(fd);
		if (write(go[1], "x", 1) != 1 || read(go[0], &c, 0))
			_exit(1);
		pause();
		_exit(0);
	}
	if (read(go[0], &kind, 1) != 1)
		printf("# the child is gone\n");
	as_root("dmapstat --holders");
	test(!status && holder(getpid(), v, &kind) && v[1] == 1 && !v[2] && !v[4] &&
		     v[3] == (long)size / 2048 &&
		     holder(pid, other, &kind2) && !other[1] && other[2] == 1 &&
		     other[4] == (long)size / 2048 && strstr(out, "2 processes, 1 file, "),
	     "one has it open, the other mapped");

	close(fd);
	as_root("dmapstat --holders");
	test(!status && !holder(getpid(), v, &kind) && holder(pid, v, &kind) && kind == '>' &&
		     v[0] == 1 && !v[1] && v[2] == 1 && v[3] == (long)size / 2048 &&
		     strstr(out, "1 process, 1 file, 128 kB"),
	     "nobody has it open");
	as_nobody("dmapstat --holders");
	test(status == 3 && !holder(pid, v, &kind) && strstr(err, "root"), "not for everybody to see");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	as_root("dmapstat --holders");
	test(!status && strstr(out, "0 processes, 0 files, 0 kB"), "and then nobody");
}

/* 8 TiB on two nodes, as another machine's files have it; one block of them unmapped */
static void test_sample(void)
{
	unsigned long long flags[512];
	json_t *json;
	int fd;

	if (system("mkdir -p " SAMPLE "/proc; cp /proc/vmstat /proc/uptime " SAMPLE "/proc/;"
		   "(grep -v DirectMapUnmapped /proc/meminfo; echo 'DirectMapUnmapped: 2048 kB') >" SAMPLE
		   "/proc/meminfo;"
		   "(echo '00001000-3ffffffffff : System RAM';"
		   " echo '100000000000-13ffffffffff : System RAM (kmem)') >" SAMPLE "/proc/iomem"))
		printf("# no sample\n");
	fd = open(SAMPLE "/proc/kpageflags", O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (int i = 0; i < 512; i++)
		flags[i] = 1ULL << 27 | (i < 200 ? 1ULL << 10 : 0);
	/* At 16 TiB + 2 MiB */
	if (pwrite(fd, flags, sizeof(flags), (0x100000200000ULL >> 12) * 8) != sizeof(flags))
		printf("# no sample\n");
	close(fd);
	as_root("dmapstat --root " SAMPLE " --json");
	json = parse();
	test(!status && json && get(json, "memory", "bytes") == (8L << 40) - 4096 &&
		     strstr(out,
			    "{\"start\": 17592188141568, \"end\": 17592190238720, \"state\": \"part\", \"pages\": 512, "
			    "\"used_pages\": 312, \"free_pages\": 200}"),
	     "8 TiB of another machine: one block");
	json_decref(json);
	as_root("dmapstat --root " SAMPLE " -m");
	test(!status && count_lines(NULL) <= 24 && count_lines("~") == 2 && strstr(out, " *"),
	     "and its map");
	if (system("rm -r " SAMPLE))
		printf("# the sample stays\n");
}

int main(void)
{
	patched = counter("/proc/meminfo", "DirectMapUnmapped") >= 0;
	printf("TAP version 13\n# unmapped blocks: %s\n", patched ? "yes" : "no");
	test_options();
	test_summary();
	test_json();
	test_map();
	test_watch();
	test_secret();
	test_holders();
	test_sample();
	return tap_end();
}
