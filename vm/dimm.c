// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is plugged in has secrets and the pool on it, and is unplugged again
 * (boot.sh --host dimm: tools/dimm.c does that from outside).
 *
 *   dimm
 *
 * What is unplugged leaves nothing behind: no page table, no entry of the direct map,
 * nothing in the counters. It is refused while a secret is on it, and it goes with a
 * hardware-poisoned page. Exit 4: this machine has none of it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "host.h"
#include "lib/claim.h"

#define SKIP	4
#define MIB	(1024 * 1024UL)
#define SIZE	1024UL		/* MiB of what is plugged in: one entry of the direct map */
#define MEMORY	"/sys/devices/system/memory/"
#define SECRET	(2 * MIB - PAGE)
#define ROOMS	64
#define LEAVE	40UL		/* MiB above 4 GiB that stay free */
#define PATIENCE 30		/* seconds that the kernel may take */

static long highest;		/* the last memory block that was there at first */
static unsigned long block;	/* the size of one */

/* Memory blocks behind those of the start: how many, and do something to each. */
static int blocks(void (*fn)(const char *state))
{
	DIR *dir = opendir(MEMORY);
	struct dirent *entry;
	char state[300];
	int n = 0;
	long nr;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "memory%ld", &nr) != 1 || nr <= highest)
			continue;
		n++;
		snprintf(state, sizeof(state), MEMORY "%s/state", entry->d_name);
		if (fn)
			fn(state);
	}
	closedir(dir);
	return n;
}

static void online(const char *state)
{
	int err = put(state, "online_kernel");

	if (err && err != EINVAL)
		printf("%s: %s\n", state, strerror(err));
}

static void order(const char *what)
{
	char line[64];

	tell("%s\n", what);
	hear(line, sizeof(line));
}

static void plug(void)
{
	char line[32];
	int n = 0;

	snprintf(line, sizeof(line), "plug %lu", SIZE);
	order(line);
	for (int i = 0; i < PATIENCE * 10; i++) {
		n = blocks(NULL);
		if (n * 128UL >= SIZE)
			break;
		usleep(100000);
	}
	claim(n > 0, "memory is plugged in");
	blocks(online);
}

static bool gone(int seconds)
{
	for (int i = 0; i < seconds * 10; i++) {
		if (!blocks(NULL))
			return true;
		usleep(100000);
	}
	return false;
}

/* So that secrets soon find no other block than those of what is plugged in. */
static void leave_few_blocks(void)
{
	static char text[65536];
	const char *zone;
	long pages;
	char *mem;

	slurp("/proc/zoneinfo", text, sizeof(text));
	zone = strstr(text, "zone   Normal");
	zone = zone ? strstr(zone, "pages free") : NULL;
	pages = zone ? strtol(zone + strlen("pages free"), NULL, 10) : 0;
	pages -= LEAVE * MIB / PAGE;
	if (pages <= 0)
		return;
	mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (mem == MAP_FAILED)
		die("mmap");
}

/*
 * Room for secrets, with its page tables there already: these would be on the memory
 * that is plugged in, too, and could not be moved.
 */
static char *room[ROOMS];

static void make_room(void)
{
	char *mem = mmap(NULL, (ROOMS + 1) * 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	if (mem == MAP_FAILED)
		die("mmap");
	mem = (char *)(((uintptr_t)mem + 2 * MIB - 1) & ~(2 * MIB - 1));
	for (int i = 0; i < ROOMS; i++, mem += 2 * MIB) {
		if (mprotect(mem, PAGE, PROT_READ | PROT_WRITE))
			die("mprotect");
		mem[0] = 1;
		room[i] = mem + PAGE;
	}
}

static uint64_t phys_of(const char *mem)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)mem / PAGE * 8) != 8)
		die("/proc/self/pagemap");
	close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

/* Secrets, until one is on what is plugged in: where, or NULL. */
static char *secret(void)
{
	for (int i = 0; i < ROOMS; i++) {
		int fd = syscall(__NR_memfd_secret, O_CLOEXEC);

		if (fd < 0 || ftruncate(fd, SECRET))
			die("memfd_secret");
		if (mmap(room[i], SECRET, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			 0) != room[i])
			die("mmap");
		close(fd);
		for (size_t at = 0; at < SECRET; at += PAGE)
			memset(room[i] + at, 0x5a, PAGE);
		if (phys_of(room[i] + SECRET / 2 / PAGE * PAGE) / block > (unsigned long)highest)
			return room[i] + SECRET / 2 / PAGE * PAGE;
	}
	return NULL;
}

static void no_secrets(void)
{
	for (int i = 0; i < ROOMS; i++) {
		if (mmap(room[i], SECRET, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != room[i])
			die("mmap");
	}
}

struct state {
	long tables, direct, total, unmapped;
};

static struct state look(void)
{
	return (struct state) {
		.tables = vmstat_now("nr_page_table_pages"),
		.direct = lookup_in("/proc/meminfo", "DirectMap4k:") +
			  lookup_in("/proc/meminfo", "DirectMap2M:") +
			  lookup_in("/proc/meminfo", "DirectMap1G:"),
		.total = lookup_in("/proc/meminfo", "MemTotal:"),
		.unmapped = vmstat_now("nr_no_direct_map"),
	};
}

static void nothing_left(const struct state *before)
{
	struct state now = look();

	/*
	 * What was split of other memory is mended before long; and the direct map
	 * shrinks only when the memory blocks are gone.
	 */
	for (int i = 0; i < 2 * PATIENCE && (now.tables > before->tables ||
					     now.direct != before->direct); i++) {
		sleep(1);
		now = look();
	}
	claim(now.total == before->total, "MemTotal is as before");
	claim(now.unmapped == before->unmapped, "nothing is off the direct map but what was before");
	printf("page tables: %ld before, %ld now\n", before->tables, now.tables);
	/* One may be somebody else's; one a time is left where they are forgotten */
	claim(now.tables <= before->tables + 1, "no page table is left");
	printf("direct map: %ld kB before, %ld kB now\n", before->direct, now.direct);
	claim(now.direct == before->direct, "the DirectMap lines are as before");
	claim(lookup_in("/proc/meminfo", "HardwareCorrupted:") == 0, "HardwareCorrupted");
}

static void unplug(const struct state *before)
{
	order("unplug");
	claim(gone(PATIENCE), "it is unplugged");
	/* What the pool has in the memory that stays is let go */
	for (int i = 0; i < PATIENCE * 10 && vmstat_now("nr_no_direct_map") > before->unmapped; i++)
		usleep(100000);
	nothing_left(before);
}

int main(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct dirent *entry;
	struct state start, before;
	char text[64], *mem;
	uint64_t phys;
	DIR *dir;
	long nr;

	if (setrlimit(RLIMIT_MEMLOCK, &all))
		die("setrlimit");
	dir = opendir(MEMORY);
	if (!dir || vmstat_now("nr_no_direct_map") < 0) {
		printf("skip: no memory hotplug, or nothing is off the direct map\n");
		return SKIP;
	}
	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "memory%ld", &nr) == 1 && nr > highest)
			highest = nr;
	}
	closedir(dir);
	slurp(MEMORY "block_size_bytes", text, sizeof(text));
	block = strtoul(text, NULL, 16);
	open_host();

	put("/proc/sys/vm/no_direct_map_pool_blocks", "0");
	/* What each CPU needs for it is there from the first use on */
	close(syscall(__NR_memfd_secret, O_CLOEXEC));
	sleep(2);
	leave_few_blocks();
	make_room();
	/* The first time leaves some page tables, with the feature or without */
	start = look();
	plug();
	order("unplug");
	claim(gone(PATIENCE), "it is unplugged");
	for (int i = 0; i < PATIENCE && look().direct != start.direct; i++)
		sleep(1);
	before = look();
	claim(before.direct == start.direct, "and its direct map is gone");

	/* Secrets, a pool, and both given up before it is unplugged */
	plug();
	mem = secret();
	claim(mem, "secrets are on it");
	if (!mem)
		return 1;
	phys = phys_of(mem);
	order("unplug");
	claim(!gone(5), "it is not unplugged with secrets on it");
	claim(mem[0] == 0x5a && phys_of(mem) == phys, "they are where they were");
	no_secrets();
	put("/proc/sys/vm/no_direct_map_pool_blocks", "16");
	for (int i = 0; i < 100 && vmstat_now("nr_free_no_direct_map") < 16 * 512; i++)
		usleep(100000);
	claim(vmstat_now("nr_free_no_direct_map") >= 16 * 512, "the pool has its 16 blocks");
	put("/proc/sys/vm/no_direct_map_pool_blocks", "0");
	blocks(online);
	unplug(&before);

	/* Again, with page tables that come anew, and a page that fails */
	plug();
	mem = secret();
	claim(mem, "secrets are on it");
	if (!mem)
		return 1;
	phys = phys_of(mem);
	no_secrets();
	snprintf(text, sizeof(text), "%#lx", (unsigned long)phys);
	if (!access(MEMORY "hard_offline_page", W_OK))
		claim(!put(MEMORY "hard_offline_page", text), "a free page is hardware-poisoned");
	unplug(&before);
	tell("bye\n");
	return failures != 0;
}
