// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory: what it costs to populate and to free it, and to boot a guest in it. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "bench.h"

#ifndef GUEST_MEMFD_FLAG_NO_DIRECT_MAP
#define GUEST_MEMFD_FLAG_NO_DIRECT_MAP	(1ULL << 2)
#endif

/* Where the guest has it; below is what KVM itself needs */
#define GUEST_PHYS	(1ULL << 32)
/* What is written to it at a time */
#define CHUNK		MiB
/* bench/zap/zap.patch: do TLBs forget a page that leaves the direct map? */
#define ZAP_FLUSH	"/sys/module/kvm/parameters/gmem_zap_flush"

struct guest {
	int kvm, vm, cpu, fd;
	bool no_direct_map;
	size_t size;
	char *mem;
};

static int ioctl_or_die(int fd, unsigned long cmd, void *arg, const char *name)
{
	int ret = ioctl(fd, cmd, arg);

	if (ret < 0)
		die(name);
	return ret;
}
#define IOCTL(fd, cmd, arg)	ioctl_or_die(fd, cmd, (void *)(uintptr_t)(arg), #cmd)

static void guest_open(struct guest *g, bool no_direct_map, long mib)
{
	struct kvm_create_guest_memfd create = {
		.size = mib * MiB,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED |
			 (no_direct_map ? GUEST_MEMFD_FLAG_NO_DIRECT_MAP : 0),
	};
	struct kvm_userspace_memory_region2 region = {
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = GUEST_PHYS,
		.memory_size = create.size,
	};

	g->no_direct_map = no_direct_map;
	g->size = create.size;
	g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (g->kvm < 0)
		die("/dev/kvm");
	g->vm = IOCTL(g->kvm, KVM_CREATE_VM, 0);
	g->fd = IOCTL(g->vm, KVM_CREATE_GUEST_MEMFD, &create);
	g->mem = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (g->mem == MAP_FAILED)
		die("mmap");
	region.guest_memfd = g->fd;
	region.userspace_addr = (uintptr_t)g->mem;
	IOCTL(g->vm, KVM_SET_USER_MEMORY_REGION2, &region);
	g->cpu = IOCTL(g->vm, KVM_CREATE_VCPU, 0);
}

/* The memory alone: what a virtual machine costs beside it is not of interest. */
static void guest_free(struct guest *g)
{
	IOCTL(g->vm, KVM_SET_USER_MEMORY_REGION2,
	      &((struct kvm_userspace_memory_region2){ .guest_phys_addr = GUEST_PHYS }));
	if (munmap(g->mem, g->size) || close(g->fd))
		die("munmap");
}

static void guest_close(struct guest *g)
{
	close(g->cpu);
	close(g->vm);
	close(g->kvm);
}

static void by_fault(struct guest *g)
{
	touch(g->mem, g->size, PATTERN);
}

/* In the direct map, pages are erased when they are touched, not before. */
static void by_fallocate(struct guest *g)
{
	if (fallocate(g->fd, FALLOC_FL_KEEP_SIZE, 0, g->size))
		die("fallocate");
	touch(g->mem, g->size, PATTERN);
}

static void by_pre_fault(struct guest *g)
{
	struct kvm_pre_fault_memory range = { .gpa = GUEST_PHYS, .size = g->size };

	while (range.size)
		IOCTL(g->cpu, KVM_PRE_FAULT_MEMORY, &range);
}

/*
 * As a snapshot is restored. guest_memfd has pwrite() for memory off the direct map only, and
 * with this work only.
 */
static void by_write(struct guest *g)
{
	static char chunk[CHUNK];
	static int by_pwrite = -1;

	/* Not for each chunk: that is a file of /proc */
	if (by_pwrite < 0)
		by_pwrite = has_unmapped();
	memset(chunk, 0x5a, sizeof(chunk));
	for (size_t off = 0; off < g->size; off += CHUNK) {
		if (!g->no_direct_map || !by_pwrite)
			memcpy(g->mem + off, chunk, CHUNK);
		else if (pwrite(g->fd, chunk, CHUNK, off) != (ssize_t)CHUNK)
			die("pwrite");
	}
}

static const struct way {
	const char *name;
	void (*populate)(struct guest *g);
} ways[] = {
	{ "fault", by_fault },
	{ "fallocate", by_fallocate },
	{ "prefault", by_pre_fault },
	{ "write", by_write },
};

#define NR_WAYS	(sizeof(ways) / sizeof(*ways))

static const char *kind_name(bool no_direct_map)
{
	return no_direct_map ? "unmapped" : "mapped";
}

static void populate(const struct way *way, bool no_direct_map, const char *life, long mib)
{
	long before[NR_COUNTERS], between[NR_COUNTERS], after[NR_COUNTERS];
	uint64_t start, had, freed;
	struct guest guest;

	guest_open(&guest, no_direct_map, mib);
	read_counters(before);
	start = cycles();
	way->populate(&guest);
	had = cycles() - start;
	read_counters(between);
	start = cycles();
	guest_free(&guest);
	freed = cycles() - start;
	read_counters(after);
	guest_close(&guest);
	printf("sample guest kind=%s way=%s life=%s mib=%ld part=populate | ns=%.0f ops=%lu",
	       kind_name(no_direct_map), way->name, life, mib, had * ns_per_cycle, mib * MiB / PAGE);
	print_counters(before, between);
	printf("sample guest kind=%s way=%s life=%s mib=%ld part=free | ns=%.0f ops=%lu",
	       kind_name(no_direct_map), way->name, life, mib, freed * ns_per_cycle, mib * MiB / PAGE);
	print_counters(between, after);
}

/*
 * A guest to its shell, which turns it off, and then what it takes until its memory is free.
 * One that stops on its way is for bench/bench to end.
 */
static void boot(bool no_direct_map, const char *cpus, long mib, const char *life)
{
	long before[NR_COUNTERS], off[NR_COUNTERS], after[NR_COUNTERS];
	char size[16], line[256];
	/* Seconds of the machine's, which may be minutes for who waits; one is over after three */
	const char *argv[] = { "/bin/guest-boot.sh", cpus, size, "--timeout", "60",
			       no_direct_map ? "--no-direct-map" : NULL, NULL };
	char *const env[] = { "PATH=/bin", NULL };
	posix_spawn_file_actions_t actions;
	uint64_t start, is_off = 0, end;
	int said[2], status;
	pid_t pid;
	FILE *f;

	if (pipe2(said, O_CLOEXEC) || posix_spawn_file_actions_init(&actions) ||
	    posix_spawn_file_actions_adddup2(&actions, said[1], STDERR_FILENO))
		die("pipe");
	snprintf(size, sizeof(size), "%ld", mib);
	read_counters(before);
	start = cycles();
	errno = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)argv, env);
	if (errno)
		die(argv[0]);
	close(said[1]);
	f = fdopen(said[0], "r");
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "turned itself off")) {
			is_off = cycles();
			read_counters(off);
		}
	}
	fclose(f);
	if (waitpid(pid, &status, 0) != pid)
		die(argv[0]);
	end = cycles();
	read_counters(after);
	posix_spawn_file_actions_destroy(&actions);
	if (status || !is_off) {
		printf("error: a guest ended with status %#x\n", status);
		exit(1);
	}
	printf("sample guest kind=%s way=boot life=%s mib=%ld part=%s | ns=%" PRIu64 " ops=1",
	       kind_name(no_direct_map), life, mib, cpus,
	       (uint64_t)((is_off - start) * ns_per_cycle));
	print_counters(before, off);
	printf("sample guest kind=%s way=boot life=%s mib=%ld part=free%s | ns=%" PRIu64 " ops=1",
	       kind_name(no_direct_map), life, mib, cpus, (uint64_t)((end - is_off) * ns_per_cycle));
	print_counters(off, after);
}

/* Does this kernel have guest memory off the direct map, in one way or another? */
static bool can_unmap(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	int flags = vm < 0 ? -1 : ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD_FLAGS);

	if (flags < 0)
		die("guest_memfd");
	close(vm);
	close(kvm);
	return flags & GUEST_MEMFD_FLAG_NO_DIRECT_MAP;
}

static void lives(const struct way *way, bool no_direct_map, long mib)
{
	if (no_direct_map)
		drain();
	populate(way, no_direct_map, "cold", mib);
	populate(way, no_direct_map, "warm", mib);
}

void figure_guest(void)
{
	const long rounds = number("bench.rounds", 1);
	const char *chosen = strdup(parameter("bench.ways", "fault,fallocate,prefault,write"));
	char *cpus = strdup(parameter("bench.boot", "")), *save, *nr;
	long mib[MAX_LIST];
	const int nr_mib = numbers("bench.mib", "64", mib);
	bool unmap;

	if (system(". /bin/load-kvm.sh")) {
		errno = ENODEV;
		die("KVM");
	}
	unmap = can_unmap();
	if (!number("bench.flush", 1) && write_file(ZAP_FLUSH, "0"))
		die(ZAP_FLUSH);
	/* Modules' initialisation is freed a moment later, which splits an entry */
	sleep(2);
	/* Page tables, slabs, per-CPU lists: not for the first one to pay */
	for (size_t i = 0; i < NR_WAYS; i++)
		populate(&ways[i], false, "before", 1);
	for (int m = 0; m < nr_mib; m++) {
		for (long r = 0; r < rounds; r++) {
			for (size_t i = 0; i < NR_WAYS; i++) {
				if (!listed(chosen, ways[i].name))
					continue;
				lives(&ways[i], false, mib[m]);
				if (unmap)
					lives(&ways[i], true, mib[m]);
			}
		}
	}
	/* The first one reads the kernel: not a sample */
	for (nr = strtok_r(cpus, ",", &save); nr; nr = strtok_r(NULL, ",", &save)) {
		boot(false, nr, mib[0], "before");
		for (long r = 0; r < rounds; r++) {
			boot(false, nr, mib[0], "warm");
			if (!unmap)
				continue;
			drain();
			boot(true, nr, mib[0], "cold");
			boot(true, nr, mib[0], "warm");
		}
	}
}
