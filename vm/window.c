// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does user space hold up a CPU that goes offline, by faults that nobody serves?
 *
 *   window
 *
 * vm/window_module shows unmapped pages as a file, copied through windows. A thread
 * reads it into memory that userfaultfd is asked for, and writes it from such
 * memory, and nobody answers. The CPU that the thread runs on has to go offline
 * meanwhile. Then it is answered, and what was copied has to be right. Exit 4: there
 * is nothing of this on this machine.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/module.h"
#include "program.h"

#define SKIP		4
#define SIZE		(8 * 4096UL)
#define PATIENCE	60	/* seconds that a CPU may take to go offline */

static int window, faults;
static unsigned char *absent;
static int cpu;

static void skip(const char *why)
{
	printf("skip: %s\n", why);
	exit(SKIP);
}

static void fail(const char *why)
{
	printf("error: %s\n", why);
	fflush(stdout);
	exit(1);
}

static void fill(unsigned char *mem, unsigned char seed)
{
	for (size_t i = 0; i < SIZE; i++)
		mem[i] = seed + i + i / 4096;
}

static void load(void)
{
	if (!module_load_if("unmapped_window", "")) {
		if (errno == EOPNOTSUPP)
			skip("no windows");
		die("module unmapped_window");
	}
	window = open("/dev/unmapped_window", O_RDWR | O_CLOEXEC);
	if (window < 0)
		die("/dev/unmapped_window");
}

static void wait_for_faults(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	faults = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (faults < 0 || ioctl(faults, UFFDIO_API, &api))
		skip("no userfaultfd");
	absent = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (absent == MAP_FAILED)
		die("mmap");
	range.range.start = (unsigned long)absent;
	range.range.len = SIZE;
	if (ioctl(faults, UFFDIO_REGISTER, &range))
		die("UFFDIO_REGISTER");
}

static void set_online(bool online)
{
	char file[64];
	int fd;

	snprintf(file, sizeof(file), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, online ? "1" : "0", 1) != 1)
		_exit(1);
	close(fd);
}

/* In a process of its own, which cannot be killed where it hangs. */
static void cpu_offline(void)
{
	const double end = now() + PATIENCE;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		set_online(false);
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (now() > end)
			fail("the CPU does not go offline while a user fault waits");
		usleep(10000);
	}
	if (status)
		fail("the CPU cannot be taken offline");
}

static void *copy(void *to)
{
	ssize_t n;

	on_cpu(cpu);
	n = to ? pread(window, absent, SIZE, 0) : pwrite(window, absent, SIZE, 0);
	return (void *)n;
}

/* Answers faults of the thread, page by page, with what @from has. */
static void answer(const unsigned char *from)
{
	for (size_t off = 0; off < SIZE; off += 4096) {
		struct uffdio_copy page = {
			.dst = (unsigned long)absent + off,
			.src = (unsigned long)from + off,
			.len = 4096,
		};

		if (ioctl(faults, UFFDIO_COPY, &page) && errno != EEXIST)
			die("UFFDIO_COPY");
	}
}

static void try(bool to, const unsigned char *from, const unsigned char *expected)
{
	static unsigned char got[SIZE];
	struct pollfd fault = { .fd = faults, .events = POLLIN };
	pthread_t thread;
	void *n;

	madvise(absent, SIZE, MADV_DONTNEED);
	if (pthread_create(&thread, NULL, copy, to ? absent : NULL))
		die("pthread_create");
	if (poll(&fault, 1, PATIENCE * 1000) != 1)
		fail("no fault has come");

	cpu_offline();
	set_online(true);
	answer(from);
	pthread_join(thread, &n);
	if ((ssize_t)n != SIZE)
		fail("not all was copied");

	if (to)
		memcpy(got, absent, SIZE);
	else if (pread(window, got, SIZE, 0) != SIZE)
		die("pread");
	if (memcmp(got, expected, SIZE))
		fail("what was copied is something else");
	printf("%s: CPU %d went offline and came back meanwhile\n", to ? "read" : "write", cpu);
}

int main(void)
{
	static unsigned char one[SIZE], two[SIZE];

	cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	if (!cpu)
		skip("needs two CPUs");
	load();
	wait_for_faults();
	fill(one, 1);
	fill(two, 77);
	if (pwrite(window, one, SIZE, 0) != SIZE)
		die("pwrite");
	try(true, two, one);
	try(false, two, two);
	return 0;
}
