// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hibernation beside memory off the direct map, with a real disk: the machine goes
 * off in the middle of this, and is started again (boot.sh --disk).
 *
 *   hibernate
 *
 * A page in use refuses it, and the log says whose. Once nobody uses any it is done
 * at once, whatever is free, kept by the pool, or poisoned, and secrets are had as
 * before when the machine is back. Exit 4: this machine cannot hibernate.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/claim.h"
#include "program.h"

#define SKIP	4
#define PAGE	4096UL
#define MIB	(1024 * 1024UL)
#define DISK	"/dev/vda"
#define POISON	"/sys/devices/system/memory/hard_offline_page"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

#define PLAIN_SIZE	(32 * MIB)
#define SECRET_SIZE	(64 * MIB)

static void skip(const char *why)
{
	printf("skip: %s\n", why);
	exit(SKIP);
}

static bool available(void)
{
	char text[256];

	slurp("/sys/power/disk", text, sizeof(text));
	return !strstr(text, "[disabled]");
}

static bool log_says(const char *text)
{
	static char log[1 << 18];
	int n = klogctl(3 /* read all */, log, sizeof(log) - 1);

	log[n < 0 ? 0 : n] = 0;
	return strstr(log, text);
}

static int secret_file(size_t size)
{
	int fd = syscall(__NR_memfd_secret, O_CLOEXEC);

	if (fd < 0)
		skip("no memfd_secret");
	if (ftruncate(fd, size))
		die("ftruncate");
	return fd;
}

static char *map(int fd, size_t size)
{
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (mem == MAP_FAILED)
		die("mmap");
	return mem;
}

static void fill(char *mem, size_t size, char seed)
{
	for (size_t i = 0; i < size; i++)
		mem[i] = seed + i + i / PAGE;
}

static bool holds(const char *mem, size_t size, char seed)
{
	for (size_t i = 0; i < size; i++) {
		if (mem[i] != (char)(seed + i + i / PAGE))
			return false;
	}
	return true;
}

static bool zero(const char *mem, size_t size)
{
	return !mem[0] && !memcmp(mem, mem + 1, size - 1);
}

/* Secret memory that was used, and is not any more. */
static unsigned long use_and_free(size_t size)
{
	int fd = secret_file(size);
	char *mem = map(fd, size);
	unsigned long entry = 0;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	fill(mem, size, 'u');
	if (pagemap >= 0 &&
	    pread(pagemap, &entry, 8, (unsigned long)(mem + size / 2) / PAGE * 8) != 8)
		entry = 0;
	close(pagemap);
	munmap(mem, size);
	close(fd);
	return (entry & ((1UL << 55) - 1)) * PAGE;
}

/* Somebody who has one page of secret memory: mapped, or by its descriptor. */
static void refused_for(bool mapped)
{
	char said[64], comm[17] = "";
	int ready[2], status, fd;
	pid_t pid;
	char *mem;

	if (pipe(ready))
		die("pipe");
	pid = spawn();
	if (!pid) {
		fd = secret_file(PAGE);
		mem = map(fd, PAGE);
		fill(mem, PAGE, 'h');
		if (mapped)
			close(fd);
		else
			munmap(mem, PAGE);
		put("/proc/self/comm", mapped ? "holder-map" : "holder-fd");
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	if (read(ready[0], comm, 1) != 1)
		die("read");

	claim(!available(), mapped ? "not available with a page that somebody has mapped" :
	      "not available with a page in a file that somebody has open");
	claim(put("/sys/power/state", "disk") == EPERM, "and refused");
	snprintf(said, sizeof(said), "refused: %s (pid %d)",
		 mapped ? "holder-map" : "holder-fd", pid);
	claim(log_says(said), "%s", said);

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(ready[0]);
	close(ready[1]);
}

/* Off, and on again. */
static bool hibernate(void)
{
	int err;

	err = put("/sys/power/disk", "shutdown");
	if (!err)
		err = put("/sys/power/state", "disk");
	if (err)
		printf("hibernation: %s\n", strerror(err));
	return !err;
}

int main(void)
{
	char *plain = mmap(NULL, PLAIN_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	long blocks, remapped;
	unsigned long phys;
	int empty;
	char *mem;

	if (setrlimit(RLIMIT_MEMLOCK, &all))
		die("setrlimit");
	if (access("/sys/power/disk", W_OK))
		skip("no hibernation in this kernel");
	if (access(DISK, W_OK))
		skip("no " DISK ": boot.sh --disk");
	if (swapon(DISK, 0))
		die("swapon " DISK);
	if (vmstat_now("nr_no_direct_map") < 0)
		skip("nothing is off the direct map in this kernel");
	if (plain == MAP_FAILED)
		die("mmap");
	fill(plain, PLAIN_SIZE, 'p');
	claim(available(), "available before there is any secret memory");

	refused_for(true);
	refused_for(false);

	/* One that nothing was written to is not memory that is in use */
	empty = secret_file(MIB);
	use_and_free(SECRET_SIZE);
	claim(vmstat_now("nr_no_direct_map") > 0, "memory is off the direct map, and free");
	claim(available(), "available as soon as nobody uses it");
	/* By events: the pool may have some off it again at once */
	blocks = vmstat_now("nr_no_direct_map") / 512;
	remapped = vmstat_now("direct_map_flip_remap");
	claim(hibernate(), "off, and back");
	claim(vmstat_now("direct_map_flip_remap") - remapped >= blocks,
	      "whatever was off the direct map was mapped for it");
	claim(holds(plain, PLAIN_SIZE, 'p'), "ordinary memory holds what it held");
	mem = map(empty, MIB);
	claim(zero(mem, MIB), "new secret memory is zero");
	fill(mem, MIB, 's');
	claim(holds(mem, MIB, 's'), "and holds what is written");
	claim(!available(), "not available with it in use");
	munmap(mem, MIB);
	close(empty);

	/* The same with a pool that stays, and a page that is lost */
	if (put("/proc/sys/vm/no_direct_map_pool_blocks", "8"))
		die("no_direct_map_pool_blocks");
	for (int i = 0; i < 60 && vmstat_now("nr_free_no_direct_map") < 8 * 512; i++)
		sleep(1);
	claim(vmstat_now("nr_free_no_direct_map") >= 8 * 512, "a pool of 8 blocks");
	phys = use_and_free(SECRET_SIZE);
	if (!access(POISON, W_OK)) {
		char text[32];

		snprintf(text, sizeof(text), "%#lx", phys);
		claim(phys && !put(POISON, text), "a free page is hardware-poisoned");
		claim(available(), "available nevertheless");
	}
	claim(hibernate(), "off, and back");
	claim(holds(plain, PLAIN_SIZE, 'p'), "ordinary memory holds what it held");
	for (int i = 0; i < 60 && vmstat_now("nr_free_no_direct_map") < 8 * 512; i++)
		sleep(1);
	claim(vmstat_now("nr_free_no_direct_map") >= 8 * 512, "the pool is as it was");
	return failures != 0;
}
