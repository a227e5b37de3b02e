// SPDX-License-Identifier: GPL-2.0-only
/* A day: processes that talk to each other, that come and go, and that compile. */
#include <spawn.h>
#include <sys/wait.h>

#include "bench.h"

#define GROUPS		4
#define SENDERS		4
#define MESSAGES	500
#define MESSAGE		100
#define EXECS		60
#define SOURCES		"/bench"

static void wait_all(int nr)
{
	int status;

	while (nr--) {
		if (wait(&status) < 0 || status) {
			printf("error: a process ended with status 0x%x\n", status);
			exit(1);
		}
	}
}

/* As many senders as receivers, each of which hears from all of them. */
static void talk(void)
{
	for (int g = 0; g < GROUPS; g++) {
		int in[SENDERS], out[SENDERS];

		for (int i = 0; i < SENDERS; i++) {
			int ends[2];

			if (pipe(ends))
				die("pipe");
			in[i] = ends[0];
			out[i] = ends[1];
		}
		for (int i = 0; i < 2 * SENDERS; i++) {
			char text[MESSAGE] = {};
			bool sends = i < SENDERS;
			ssize_t n = 0;
			long sum = 0;

			if (spawn())
				continue;
			for (int j = 0; j < SENDERS; j++) {
				if (sends)
					close(in[j]);
				else
					close(out[j]);
			}
			if (sends) {
				for (int k = 0; k < MESSAGES; k++)
					for (int j = 0; j < SENDERS; j++)
						if (write(out[j], text, MESSAGE) != MESSAGE)
							_exit(1);
				_exit(0);
			}
			while ((n = read(in[i - SENDERS], text, MESSAGE)) > 0)
				sum += n;
			_exit(n || sum != (long)SENDERS * MESSAGES * MESSAGE);
		}
		for (int i = 0; i < SENDERS; i++) {
			close(in[i]);
			close(out[i]);
		}
	}
	wait_all(GROUPS * 2 * SENDERS);
}

static void exec(const char *const *argv)
{
	char *const env[] = { NULL };
	pid_t pid;

	errno = posix_spawn(&pid, argv[0], NULL, NULL, (char *const *)argv, env);
	if (errno)
		die(argv[0]);
}

static void come_and_go(void)
{
	static const char * const argv[] = { "/bin/busybox", "true", NULL };

	for (int i = 0; i < EXECS; i++) {
		exec(argv);
		wait_all(1);
	}
}

static void compile(void)
{
	char source[256], output[256];
	const char *argv[] = { SOURCES "/cc1", "-fpreprocessed", "-quiet", "-O1", source, "-o", output, NULL };
	int nr = 0;

	for (;; nr++) {
		snprintf(source, sizeof(source), SOURCES "/%d.i", nr);
		snprintf(output, sizeof(output), "/tmp/%d.s", nr);
		if (access(source, F_OK))
			break;
		exec(argv);
	}
	if (!nr) {
		errno = ENOENT;
		die(SOURCES);
	}
	wait_all(nr);
	while (nr--) {
		snprintf(output, sizeof(output), "/tmp/%d.s", nr);
		if (unlink(output))
			die(output);
	}
}

static void day_part(const char *name, void (*run)(void))
{
	long before[NR_COUNTERS], after[NR_COUNTERS];
	struct rusage usage;
	uint64_t start, ns;
	int status;
	double cpu;
	pid_t pid;

	read_counters(before);
	start = cycles();
	pid = spawn();
	if (!pid) {
		run();
		fflush(stdout);
		_exit(0);
	}
	if (wait4(pid, &status, 0, &usage) != pid || status)
		die(name);
	ns = (cycles() - start) * ns_per_cycle;
	read_counters(after);
	/* With what its children had */
	cpu = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
	      (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
	printf("sample day part=%s | ns=%" PRIu64 " cpu=%.0f faults=%ld ops=1", name, ns, cpu,
	       usage.ru_minflt);
	print_counters(before, after);
}

/* Secret memory comes and goes, a little at a time, and most of the time it is idle. */
static void churn(void)
{
	struct area area;

	for (;;) {
		area_open(&area, SECRET, 16 * MiB);
		area_map(&area, false);
		touch(area.mem, area.size, PATTERN);
		sleep_ms(20);
		area_close(&area);
		sleep_ms(20);
	}
}

void figure_day(void)
{
	const long rounds = number("bench.rounds", 5);
	cpu_set_t all;
	pid_t pid = 0;

	/* All CPUs */
	memset(&all, 0xff, sizeof(all));
	if (sched_setaffinity(0, sizeof(all), &all))
		die("sched_setaffinity");
	if (secret_in_use()) {
		pid = spawn();
		if (!pid)
			churn();
	}
	/* The first one reads the programs: not a sample */
	talk();
	come_and_go();
	compile();
	for (int i = 0; i < rounds; i++) {
		day_part("pipes", talk);
		day_part("exec", come_and_go);
		day_part("compile", compile);
	}
	if (pid) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	pin(0);
}
