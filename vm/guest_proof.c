// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest's memory, looked at from outside (boot.sh --host monitor): none of its pages is
 * translated by the direct map on any CPU, what the guest writes is in its memory and nowhere
 * else, and nowhere once the guest is gone. A guest in the direct map shows that whoever looks
 * can see.
 *
 *   guest_proof			runs both, and judges
 *   guest_proof write PATTERN		in the guest: writes it, says so, and stays
 *
 * A guest's registers are in memory of the host's: they do not hold all of the pattern.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "host.h"
#include "lib/tap.h"

#define GUEST_MIB	"64"
#define GUEST_PAGES	(64UL << 8)
#define WRITTEN_PAGES	1024UL
#define CONTROL_PAGES	64UL
#define WRITTEN		"has written all"

static char *memory(unsigned long pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static int write_in_guest(char **words)
{
	struct pattern pattern;

	for (int i = 0; i < 4; i++)
		pattern.complement[i] = strtoull(words[i], NULL, 16);
	fill(memory(WRITTEN_PAGES), WRITTEN_PAGES, &pattern);
	printf("guest %s\n", WRITTEN);
	fflush(stdout);
	pause();
	return 1;
}

/* What tools/monitor.c found */
static struct {
	unsigned long pages, control, translated, control_translated, right, tables, mapped,
		      control_mapped, own, elsewhere, control_own, control_elsewhere;
} found;

static void found_line(const char *line)
{
	printf("# %s\n", line);
	sscanf(line, "proof pages secret %lu control %lu", &found.pages, &found.control);
	sscanf(line, "proof translations secret %lu control %lu right %lu", &found.translated,
	       &found.control_translated, &found.right);
	sscanf(line, "proof mapped tables %lu secret %lu control %lu", &found.tables, &found.mapped,
	       &found.control_mapped);
	sscanf(line, "proof %*s dump-mib %*u secret %lu elsewhere %lu control %lu elsewhere %lu",
	       &found.own, &found.elsewhere, &found.control_own, &found.control_elsewhere);
}

/* Where a process has all of a guest's memory; false where it has none. */
static bool find_memory(const char *pid, uintptr_t *start)
{
	char path[300], line[512];
	bool is = false;
	uintptr_t end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	f = fopen(path, "r");
	while (f && !is && fgets(line, sizeof(line), f))
		is = strstr(line, "kvm-gmem") &&
		     sscanf(line, "%" SCNxPTR "-%" SCNxPTR, start, &end) == 2 &&
		     end - *start == GUEST_PAGES * PAGE;
	if (f)
		fclose(f);
	return is;
}

static uintptr_t find_guest(char *pid, size_t size)
{
	DIR *proc = opendir("/proc");
	uintptr_t start = 0;
	struct dirent *d;

	while (proc && !start && (d = readdir(proc))) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9' || !find_memory(d->d_name, &start))
			continue;
		snprintf(pid, size, "%.*s", (int)size - 1, d->d_name);
	}
	if (proc)
		closedir(proc);
	if (!start) {
		errno = ESRCH;
		die("the guest");
	}
	return start;
}

/*
 * A CPU that runs the guest has the guest's page tables, and no others can be seen of it from
 * outside. Its processors stop on their way back to user space.
 */
static void stop_guest(const char *pid)
{
	char path[300], stat[512];
	bool stopped = false;
	struct dirent *d;
	DIR *tasks;

	kill(atoi(pid), SIGSTOP);
	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	for (int i = 0; i < 100 && !stopped; i++, usleep(100000)) {
		stopped = true;
		tasks = opendir(path);
		while (tasks && (d = readdir(tasks))) {
			char stat_path[600];
			const char *state;

			if (d->d_name[0] == '.')
				continue;
			snprintf(stat_path, sizeof(stat_path), "%s/%s/stat", path, d->d_name);
			slurp(stat_path, stat, sizeof(stat));
			state = strrchr(stat, ')');
			stopped &= state && state[2] == 'T';
		}
		if (tasks)
			closedir(tasks);
	}
	if (!stopped)
		die("a guest that does not stop");
}

static FILE *start_guest(pid_t *pid, bool off, const struct pattern *pattern)
{
	char runs[256], line[256];
	int console[2];
	FILE *f;

	snprintf(runs, sizeof(runs), "guest_proof write %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64,
		 pattern->complement[0], pattern->complement[1], pattern->complement[2],
		 pattern->complement[3]);
	if (pipe2(console, O_CLOEXEC))
		die("pipe");
	*pid = fork();
	if (*pid < 0)
		die("fork");
	if (!*pid) {
		dup2(console[1], STDOUT_FILENO);
		dup2(console[1], STDERR_FILENO);
		setenv("GUEST_RUNS", runs, 1);
		execl("/bin/sh", "sh", "/bin/guest-boot.sh", "2", GUEST_MIB,
		      off ? "--no-direct-map" : NULL, NULL);
		_exit(127);
	}
	close(console[1]);
	f = fdopen(console[0], "r");
	while (f && fgets(line, sizeof(line), f)) {
		printf("# %s", line);
		if (strstr(line, WRITTEN))
			return f;
	}
	errno = ENOEXEC;
	die("no guest that writes");
}

static void guest(bool off)
{
	const char *name = off ? "off the direct map" : "in the direct map";
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct pattern pattern[2];
	uintptr_t start;
	char *control, pid[16];
	FILE *console;
	pid_t shell;

	if (getrandom(pattern, sizeof(pattern), 0) != sizeof(pattern))
		die("getrandom");
	control = memory(CONTROL_PAGES);
	fill(control, CONTROL_PAGES, &pattern[1]);
	console = start_guest(&shell, off, &pattern[0]);
	start = find_guest(pid, sizeof(pid));
	stop_guest(pid);

	tell("forget\ncpus %ld\nbase %" PRIx64 "\n", cpus, direct_map_base());
	tell_pattern("secret-pattern", &pattern[0]);
	tell_pattern("control-pattern", &pattern[1]);
	tell_frames_of(pid, "secret", (char *)start, GUEST_PAGES);
	tell_frames("control", control, CONTROL_PAGES);
	memset(&found, 0, sizeof(found));
	ask("look", found_line);
	tap_test(found.pages == GUEST_PAGES, "%s: all of the guest's pages were looked at", name);
	tap_test(found.right == CONTROL_PAGES * cpus && found.control_mapped == CONTROL_PAGES,
		 "%s: ordinary pages are translated to themselves on each CPU", name);
	tap_test(found.translated == (off ? 0 : GUEST_PAGES * cpus),
		 "%s: pages of the guest, translated by the direct map, over all CPUs: %lu", name,
		 found.translated);
	tap_test(found.tables && found.mapped == (off ? 0 : GUEST_PAGES),
		 "%s: pages of the guest, mapped anywhere in the kernel's half: %lu", name, found.mapped);
	tap_test(found.own == WRITTEN_PAGES && !found.elsewhere,
		 "%s: pages that have what the guest wrote: %lu, and %lu not the guest's", name,
		 found.own, found.elsewhere);
	tap_test(found.control_own == CONTROL_PAGES && !found.control_elsewhere,
		 "%s: ordinary pages that have what was written there: %lu, and %lu others", name,
		 found.control_own, found.control_elsewhere);

	kill(atoi(pid), SIGKILL);
	waitpid(shell, NULL, 0);
	fclose(console);
	ask("look-again", found_line);
	tap_test(off ? !found.own && !found.elsewhere : found.own + found.elsewhere > WRITTEN_PAGES / 2,
		 "%s: pages that have it when the guest is gone: %lu", name,
		 found.own + found.elsewhere);
	munmap(control, CONTROL_PAGES * PAGE);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "write"))
		return write_in_guest(argv + 2);
	if (argc > 1) {
		fprintf(stderr, "usage: guest_proof, guest_proof write PATTERN\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
	open_host();
	guest(true);
	guest(false);
	tell("bye\n");
	return tap_end();
}
