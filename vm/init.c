// SPDX-License-Identifier: GPL-2.0-only
/*
 * First process of the test machine. Mounts what the tests expect, then does
 * what the kernel's command line asks for:
 *
 *   vm.run=NAME,NAME...  run the tests whose names match (globs), print KTAP
 *   vm.run=shell         a shell on the console (the default)
 *   vm.slow=N            multiply every time limit by N
 *   vm.results=TTY       where KTAP goes; the console when absent
 *
 * and powers off. /etc/tests has one test a line: name, seconds, shell command.
 * Results have a serial port of their own, so that kernel messages cannot
 * tear a line of them apart; the kernel's log is told what runs when.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MAX_TESTS 256
#define KSFT_SKIP 4

struct test {
	char *name;
	char *command;
	int seconds;
};

static struct test tests[MAX_TESTS];
static int nr_tests;
static FILE *results;
static int slow = 1;

static void kmsg(const char *fmt, ...)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	va_list ap;

	if (fd < 0)
		return;
	va_start(ap, fmt);
	vdprintf(fd, fmt, ap);
	va_end(ap);
	close(fd);
}

static void mount_one(const char *type, const char *where, const char *data)
{
	mkdir(where, 0755);
	/* Not every kernel has every file system; the tests say what they miss. */
	if (mount(type, where, type, 0, data) && errno != ENODEV && errno != EBUSY)
		kmsg("vm: mounting %s on %s: %s\n", type, where, strerror(errno));
}

static void mount_all(void)
{
	mount_one("devtmpfs", "/dev", NULL);
	mount_one("proc", "/proc", NULL);
	mount_one("sysfs", "/sys", NULL);
	mount_one("tmpfs", "/tmp", NULL);
	mount_one("tmpfs", "/run", NULL);
	mount_one("tmpfs", "/dev/shm", NULL);
	mount_one("devpts", "/dev/pts", NULL);
	mount_one("debugfs", "/sys/kernel/debug", NULL);
	mount_one("tracefs", "/sys/kernel/tracing", NULL);
	mount_one("cgroup2", "/sys/fs/cgroup", NULL);
}

/* An initramfs made without root has no device nodes. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR);

	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/* The value of a parameter of the command line, or NULL. */
static char *param(char *cmdline, const char *name)
{
	size_t len = strlen(name);
	char *copy = strdup(cmdline), *save, *word, *found = NULL;

	for (word = strtok_r(copy, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
		if (!strncmp(word, name, len) && word[len] == '=')
			found = strdup(word + len + 1);
	free(copy);
	return found;
}

static void read_tests(void)
{
	FILE *f = fopen("/etc/tests", "r");
	char *line = NULL, name[128];
	size_t size = 0;
	int seconds, at;

	while (f && getline(&line, &size, f) > 0 && nr_tests < MAX_TESTS) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#' || sscanf(line, "%127s %d %n", name, &seconds, &at) < 2)
			continue;
		tests[nr_tests].name = strdup(name);
		tests[nr_tests].seconds = seconds;
		tests[nr_tests++].command = strdup(line + at);
	}
	free(line);
	if (f)
		fclose(f);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Copy what the test prints, a line at a time, until it ends or is late. */
static bool copy_output(int fd, double deadline)
{
	char buf[4096], line[1024];
	size_t len = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double left = deadline - now();
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&p, 1, left * 1000 + 1) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n' && len < sizeof(line) - 1) {
				if (buf[i] != '\r')
					line[len++] = buf[i];
				continue;
			}
			line[len] = 0;
			fprintf(results, "  %s\n", line);
			len = 0;
		}
		fflush(results);
	}
	line[len] = 0;
	if (len)
		fprintf(results, "  %s\n", line);
	return true;
}

static void run_test(int nr, struct test *t)
{
	int out[2], status = 0;
	double start = now();
	bool in_time;
	pid_t pid;

	kmsg("vm: test %s\n", t->name);
	fprintf(results, "# %s: %s\n", t->name, t->command);
	fflush(results);
	if (pipe(out)) {
		fprintf(results, "not ok %d %s # pipe: %s\n", nr, t->name, strerror(errno));
		return;
	}
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDONLY);

		setsid();
		dup2(null, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(out[0]);
		close(out[1]);
		if (chdir("/kselftest"))
			_exit(127);
		execl("/bin/sh", "sh", "-c", t->command, NULL);
		_exit(127);
	}
	close(out[1]);
	in_time = copy_output(out[0], start + (double)t->seconds * slow);
	close(out[0]);
	/* What a test leaves behind must not run into the next one. */
	kill(-pid, SIGKILL);
	if (pid > 0)
		waitpid(pid, &status, 0);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;

	if (!in_time)
		fprintf(results, "not ok %d %s # no end within %d s\n", nr, t->name,
			t->seconds * slow);
	else if (WIFSIGNALED(status))
		fprintf(results, "not ok %d %s # signal %d\n", nr, t->name, WTERMSIG(status));
	else if (WEXITSTATUS(status) == KSFT_SKIP)
		fprintf(results, "ok %d %s # SKIP says the test (exit 4)\n", nr, t->name);
	else if (WEXITSTATUS(status))
		fprintf(results, "not ok %d %s # exit %d\n", nr, t->name, WEXITSTATUS(status));
	else
		fprintf(results, "ok %d %s # %.1f s\n", nr, t->name, now() - start);
	fflush(results);
	kmsg("vm: end of test %s\n", t->name);
}

static void run_tests(char *list)
{
	const char *missing[MAX_TESTS];
	bool selected[MAX_TESTS] = {};
	int planned = 0, nr = 0, nr_missing = 0;
	char *save, *glob;

	read_tests();
	for (glob = strtok_r(list, ",", &save); glob; glob = strtok_r(NULL, ",", &save)) {
		bool any = false;

		for (int i = 0; i < nr_tests; i++) {
			if (fnmatch(glob, tests[i].name, 0))
				continue;
			any = true;
			planned += !selected[i];
			selected[i] = true;
		}
		/* Who asks for what is not there, by whatever name, has tested nothing. */
		if (!any && nr_missing < MAX_TESTS)
			missing[nr_missing++] = glob;
	}
	fprintf(results, "KTAP version 1\n1..%d\n", planned + nr_missing);
	for (int i = 0; i < nr_tests; i++)
		if (selected[i])
			run_test(++nr, &tests[i]);
	for (int i = 0; i < nr_missing; i++)
		fprintf(results, "not ok %d %s # no such test in this machine\n", ++nr, missing[i]);
	fprintf(results, "# vm: end\n");
	fflush(results);
}

static void run_shell(void)
{
	pid_t pid = fork();

	if (!pid) {
		setsid();
		ioctl(0, TIOCSCTTY, 1);
		printf("\nTests are in /kselftest, their list in /etc/tests. 'exit' ends the machine.\n");
		fflush(stdout);
		if (chdir("/kselftest"))
			_exit(127);
		execl("/bin/sh", "sh", "-i", NULL);
		_exit(127);
	}
	while (wait(NULL) != pid)
		;
}

static FILE *open_results(const char *tty)
{
	char path[64];
	struct termios t;
	int fd;

	if (!tty)
		return stdout;
	snprintf(path, sizeof(path), "/dev/%s", tty);
	fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		kmsg("vm: %s: %s\n", path, strerror(errno));
		return stdout;
	}
	if (!tcgetattr(fd, &t)) {
		t.c_oflag &= ~OPOST;
		tcsetattr(fd, TCSANOW, &t);
	}
	return fdopen(fd, "w");
}

int main(void)
{
	static char cmdline[4096];
	char *run, *value;
	int fd;

	mount_all();
	open_console();
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/", 1);
	setenv("TERM", "vt100", 1);

	fd = open("/proc/cmdline", O_RDONLY);
	if (fd < 0 || read(fd, cmdline, sizeof(cmdline) - 1) < 0)
		kmsg("vm: no /proc/cmdline\n");
	close(fd);
	value = param(cmdline, "vm.slow");
	if (value && atoi(value) > 0)
		slow = atoi(value);
	run = param(cmdline, "vm.run");

	if (system("/bin/busybox --install -s /bin"))
		kmsg("vm: busybox cannot install its links\n");
	if (!run || !strcmp(run, "shell")) {
		run_shell();
	} else {
		results = open_results(param(cmdline, "vm.results"));
		run_tests(run);
		tcdrain(fileno(results));
	}
	kmsg("vm: power off\n");
	sync();
	/* Without ACPI nothing turns the machine off, but QEMU -no-reboot ends as well */
	reboot(access("/sys/firmware/acpi", F_OK) ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		pause();
}
