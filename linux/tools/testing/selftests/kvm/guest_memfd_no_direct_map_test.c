// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_memfd off the direct map: memory that fails, that is wanted of one node, that a
 * memory cgroup or the machine does not have, and much of it that is freed.
 */
#include <stdio.h>
#include <sys/sysinfo.h>

#include <linux/falloc.h>
#include <linux/sizes.h>

/* For the files of procfs and sysfs, too */
#include "cgroup_util.h"
#include "kselftest_harness.h"
#include "kvm_syscalls.h"
#include "kvm_util.h"
#include "numaif.h"
#include "ucall_common.h"

#define GMEM_FLAGS	(GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED | \
			 GUEST_MEMFD_FLAG_NO_DIRECT_MAP)
#define GPA		SZ_4G
#define GUEST_SIZE	SZ_64M	/* Of the file's end: the guest can touch it */
#define MAX_FILL	SZ_4G	/* A larger machine, or node, is not filled */
#define PART		SZ_8M
#define SLACK		SZ_4M	/* What CPUs charge in advance, and a group has besides */

#define CPU_LIST	64	/* As many free pages a CPU may have on lists of its own */

#define HWPOISON	"/sys/kernel/debug/hwpoison"
#define NODE1		"/sys/devices/system/node/node1"

static struct kvm_vm *vm;
static struct kvm_vcpu *vcpu;
static size_t page_size, size;
static char *mem;
static int fd;
static long used_before;
static u64 guest_from, guest_to;

static void guest_code(u64 step)
{
	for (;;) {
		for (u64 gpa = guest_from; gpa < guest_to; gpa += step)
			WRITE_ONCE(*(u8 *)gpa, 0xaa);
		GUEST_SYNC(0);
	}
}

static size_t meminfo(const char *name)
{
	return cg_read_key_long("/proc", "meminfo", name) * SZ_1K;
}

static u64 pfn_of(void *addr)
{
	int pagemap = open_path_or_exit("/proc/self/pagemap", O_RDONLY);
	u64 entry = 0;

	TEST_ASSERT(pread(pagemap, &entry, 8, (u64)addr / page_size * 8) == 8, "No pagemap");
	close(pagemap);
	return entry & GENMASK_ULL(54, 0);
}

/*
 * Pages off the direct map that are not free, beyond those before the test. CPUs have some
 * on their way to the LRU (drop_caches), and some free ones, which are taken back every five
 * seconds while there is more free memory off the direct map than is kept.
 */
static long used(long wanted)
{
	long pages = 0;

	TEST_ASSERT_EQ(cg_write_numeric("/proc/sys/vm", "drop_caches", 1), 0);
	for (int i = 0; i < 150; i++, usleep(100000)) {
		cg_write_numeric("/proc/sys/vm", "stat_refresh", 1);
		pages = cg_read_key_long("/proc", "vmstat", "nr_no_direct_map ") -
			cg_read_key_long("/proc", "vmstat", "nr_free_no_direct_map ") - used_before;
		if (pages <= wanted)
			break;
	}
	return pages;
}

static int take(off_t offset, size_t len)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, len) ? -errno : 0;
}

static int give_back(off_t offset, size_t len)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, len) ? -errno : 0;
}

/* Until it has touched all that it was told to, or cannot go on. */
static int guest_continues(void)
{
	if (_vcpu_run(vcpu))
		return -errno;
	TEST_ASSERT_EQ(get_ucall(vcpu, NULL), UCALL_SYNC);
	return 0;
}

static int guest_touches(off_t offset, size_t len)
{
	guest_from = GPA + offset;
	guest_to = guest_from + len;
	sync_global_to_guest(vm, guest_from);
	sync_global_to_guest(vm, guest_to);
	return guest_continues();
}

/* Says what is left, and an error only where nothing was done. */
static int pre_fault(off_t offset, size_t len)
{
	struct kvm_pre_fault_memory range = { .gpa = GPA + offset, .size = len };
	int err;

	do {
		err = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range) ? -errno : 0;
	} while (!err && range.size);
	return err;
}

static bool memory_fault(off_t offset)
{
	return vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT &&
	       vcpu->run->memory_fault.gpa == GPA + offset &&
	       vcpu->run->memory_fault.size == page_size;
}

FIXTURE(gmem) {};

FIXTURE_SETUP(gmem)
{
	page_size = getpagesize();
	vm = __vm_create_with_one_vcpu(&vcpu, SZ_1M / page_size, guest_code);
	vcpu_args_set(vcpu, 1, page_size);
	if ((vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_FLAGS) & GMEM_FLAGS) != GMEM_FLAGS)
		SKIP(return, "no guest_memfd off the direct map");
	used_before = used(0);
}

FIXTURE_TEARDOWN(gmem)
{
	kvm_vm_free(vm);
}

static void create(size_t file_size)
{
	size_t guest_size = min_t(size_t, file_size, GUEST_SIZE);
	gpa_t gpa = GPA + file_size - guest_size;

	size = file_size;
	fd = vm_create_guest_memfd(vm, size, GMEM_FLAGS);
	mem = kvm_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	vm_set_user_memory_region2(vm, 10, KVM_MEM_GUEST_MEMFD, GPA, size, NULL, fd, 0);
	virt_map(vm, gpa, gpa, guest_size / vm->page_size);
}

static long destroy(void)
{
	kvm_munmap(mem, size);
	close(fd);
	return used(0);
}

static bool all_are(size_t from, char value)
{
	for (size_t i = from; i % page_size; i++) {
		if (READ_ONCE(mem[i]) != value)
			return false;
	}
	return true;
}

/* Two of four pages fail: one is replaced, one stays until the file is gone. */
TEST_F_TIMEOUT(gmem, memory_failure, 120)
{
	const size_t corrupted = meminfo("HardwareCorrupted:");
	const size_t bad = page_size, lost = 3 * page_size;
	u64 pfns[4];
	char c = 1;

	if (access(HWPOISON "/corrupt-pfn", W_OK))
		SKIP(return, "no hwpoison in debugfs (CONFIG_HWPOISON_INJECT)");

	create(4 * page_size);
	memset(mem, 0x55, size);
	ASSERT_EQ(guest_touches(0, size), 0);
	for (int i = 0; i < 4; i++)
		pfns[i] = pfn_of(mem + i * page_size);
	for (int i = 1; i <= 3; i += 2) {
		int err = cg_write_numeric(HWPOISON, "corrupt-pfn", pfns[i]);

		/* EBUSY: it stays in the file */
		EXPECT_TRUE(!err || err == -EBUSY) TH_LOG("corrupt-pfn: %d", err);
	}
	EXPECT_EQ(meminfo("HardwareCorrupted:"), corrupted + 2 * page_size);

	/* Neither the VMM nor the guest has it, as often as they try. */
	for (int i = 0; i < 2; i++) {
		TEST_EXPECT_SIGBUS((void)READ_ONCE(mem[bad]));
		TEST_EXPECT_SIGBUS(WRITE_ONCE(mem[lost], 1));
		EXPECT_EQ(guest_touches(bad, page_size), -EHWPOISON);
		EXPECT_TRUE(memory_fault(bad));
	}
	EXPECT_EQ(pre_fault(bad, page_size), -EHWPOISON);
	EXPECT_EQ(pwrite(fd, &c, 1, bad), -1);
	EXPECT_TRUE(errno == EHWPOISON || errno == EOPNOTSUPP);

	/* A new page for it is as any, and the guest goes on; the others are unharmed. */
	EXPECT_EQ(give_back(bad, page_size), 0);
	kvm_madvise(mem + bad, page_size, MADV_DONTNEED);
	EXPECT_EQ(guest_continues(), 0);
	EXPECT_EQ(mem[bad], (char)0xaa);
	EXPECT_TRUE(all_are(bad + 1, 0));
	EXPECT_EQ(guest_touches(0, size), -EHWPOISON);
	EXPECT_TRUE(memory_fault(lost));
	EXPECT_TRUE(all_are(1, 0x55));
	EXPECT_TRUE(all_are(2 * page_size + 1, 0x55));

	/* Nobody gets the two after the file, until the damage is mended. */
	EXPECT_LE(destroy(), 2);
	EXPECT_EQ(meminfo("HardwareCorrupted:"), corrupted + 2 * page_size);
	EXPECT_EQ(cg_write_numeric(HWPOISON, "unpoison-pfn", pfns[1]), 0);
	EXPECT_EQ(cg_write_numeric(HWPOISON, "unpoison-pfn", pfns[3]), 0);
	EXPECT_EQ(meminfo("HardwareCorrupted:"), corrupted);
	EXPECT_LE(used(0), 0);
}

static size_t pages_on_node1(off_t offset, size_t len)
{
	size_t nr = 0;

	for (char *at = mem + offset; at < mem + offset + len; at += page_size) {
		void *page = at;
		int status;

		(void)READ_ONCE(*at);
		kvm_move_pages(0, 1, &page, NULL, &status, 0);
		nr += status == 1;
	}
	return nr;
}

/* guest_memfd_test asks for the nodes of single pages: here are blocks. */
TEST_F_TIMEOUT(gmem, numa, 120)
{
	const int modes[] = { MPOL_BIND, MPOL_PREFERRED, MPOL_PREFERRED_MANY, MPOL_INTERLEAVE };
	const unsigned long node1 = 2, both = 3;

	if (cg_read_key_long(NODE1, "meminfo", "MemFree:") < SZ_128M / SZ_1K)
		SKIP(return, "no second node with memory");
	pin_self_to_cpu(0);
	create(ARRAY_SIZE(modes) * PART);
	for (int i = 0; i < ARRAY_SIZE(modes); i++) {
		const bool inter = modes[i] == MPOL_INTERLEAVE;

		kvm_mbind(mem + i * PART, PART, modes[i], inter ? &both : &node1, 8, 0);
		ASSERT_EQ(take(i * PART, PART / 2), 0);
		ASSERT_EQ(guest_touches(i * PART + PART / 2, PART / 2), 0);
		EXPECT_EQ(pages_on_node1(i * PART, PART), PART / page_size / (inter ? 2 : 1))
			TH_LOG("policy %d", modes[i]);
	}
	EXPECT_LE(destroy(), 0);
}

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_to_ns(ts);
}

/* More than there is: an error in each way to take it, soon, and all comes back. */
static void take_all(struct __test_metadata *_metadata, off_t end)
{
	u64 took = now(), again;

	EXPECT_EQ(take(0, size), -ENOSPC);
	took = now() - took;
	/* There may be a little that was reclaimed meanwhile: each comes to the end of it. */
	EXPECT_EQ(guest_touches(end, GUEST_SIZE), -ENOSPC);
	EXPECT_EQ(vcpu->run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	EXPECT_EQ(pre_fault(end, GUEST_SIZE), -ENOSPC);
	TEST_EXPECT_SIGBUS(memset(mem + end, 1, GUEST_SIZE));
	again = now();
	EXPECT_EQ(take(end, GUEST_SIZE), -ENOSPC);
	again = now() - again;
	TH_LOG("%lu ms for all there is, %lu to hear it again", took / 1000000, again / 1000000);
	EXPECT_LT(again, took);
}

TEST_F_TIMEOUT(gmem, no_space, 240)
{
	const size_t total = meminfo("MemTotal:");

	if (total > MAX_FILL)
		SKIP(return, "too much memory to be filled");
	create(total);
	take_all(_metadata, size - GUEST_SIZE);
	EXPECT_EQ(give_back(0, size), 0);
	EXPECT_LE(used(0), 0);
	EXPECT_EQ(guest_continues(), 0);
	EXPECT_EQ(mem[0], 0);
	EXPECT_EQ(pre_fault(0, size), -ENOSPC);
	EXPECT_LE(destroy(), 0);
}

/* No page of another node, which has some. */
TEST_F_TIMEOUT(gmem, no_space_on_node, 240)
{
	const unsigned long node1 = 2;
	const long total = cg_read_key_long(NODE1, "meminfo", "MemTotal:") * SZ_1K;

	if (total < SZ_128M || total > MAX_FILL || meminfo("MemAvailable:") < total + SZ_128M)
		SKIP(return, "node 1 cannot be filled");
	create(total);
	kvm_mbind(mem, size, MPOL_BIND, &node1, 8, 0);
	take_all(_metadata, size - GUEST_SIZE);
	EXPECT_EQ(pages_on_node1(0, SZ_64M), SZ_64M / page_size);
	EXPECT_LE(destroy(), 0);
}

/* Is a group charged what it should be, soon? */
static bool charged(const char *group, long wanted)
{
	for (int i = 0; i < 100; i++, usleep(20000)) {
		long current = cg_read_long(group, "memory.current");

		if (current >= wanted && current < wanted + (long)SLACK)
			return true;
	}
	return false;
}

static int take_parts(const char *group, void *unused)
{
	memset(mem + PART, 1, PART);
	if (pwrite(fd, mem + PART, PART, 2 * PART) != PART)
		memset(mem + 2 * PART, 1, PART);
	return take(0, PART);
}

/* Who must not be killed hears of it; for what it needs itself it would try forever. */
static int take_too_much(const char *group, void *protected)
{
	kvm_munmap(mem, size);
	TEST_ASSERT_EQ(mlockall(MCL_CURRENT), 0);
	if (protected)
		TEST_ASSERT_EQ(cg_write("/proc/self", "oom_score_adj", protected), 0);
	TEST_ASSERT_EQ(take(0, size), -ENOSPC);
	TEST_ASSERT_EQ(give_back(0, size), 0);
	TEST_ASSERT_EQ(take(0, PART), 0);
	return give_back(0, PART);
}

/* Who takes memory pays, whoever has made the file, until it is given back. */
TEST_F_TIMEOUT(gmem, memcg, 120)
{
	char root[PATH_MAX], *group;
	int err;

	if (cg_find_unified_root(root, sizeof(root), NULL))
		SKIP(return, "no cgroup2");
	group = cg_name(root, "guest_memfd_no_direct_map");
	cg_write(root, "cgroup.subtree_control", "+memory");
	cg_destroy(group);
	if (cg_create(group) || cg_read_long(group, "memory.current") < 0)
		SKIP(return, "no memory cgroups");

	create(4 * PART);
	EXPECT_EQ(cg_run(group, take_parts, NULL), 0);
	EXPECT_TRUE(charged(group, 3 * PART));
	ASSERT_EQ(cg_enter_current(group), 0);
	err = guest_touches(3 * PART, PART);
	ASSERT_EQ(cg_enter_current(root), 0);
	ASSERT_EQ(err, 0);
	EXPECT_TRUE(charged(group, 4 * PART));
	EXPECT_EQ(give_back(0, PART), 0);
	EXPECT_TRUE(charged(group, 3 * PART));
	EXPECT_EQ(give_back(PART, 3 * PART), 0);
	EXPECT_TRUE(charged(group, 0));

	ASSERT_EQ(cg_write_numeric(group, "memory.max", 2 * PART), 0);
	EXPECT_EQ(cg_run(group, take_too_much, "-1000"), 0);
	EXPECT_EQ(cg_read_key_long(group, "memory.events", "oom_kill "), 0);
	EXPECT_TRUE(charged(group, 0));

	/* The limit kills as for other memory: -1 is a signal. What was taken stays. */
	EXPECT_EQ(cg_run(group, take_too_much, NULL), -1);
	EXPECT_EQ(cg_read_key_long(group, "memory.events", "oom_kill "), 1);
	EXPECT_GT(cg_read_long(group, "memory.current"), PART);
	EXPECT_LE(destroy(), CPU_LIST * get_nprocs());
	EXPECT_TRUE(charged(group, 0));
	cg_destroy(group);
}

static bool watching, watched;

/* The longest time in which this thread did not run. */
static void *watch(void *longest)
{
	u64 last = now(), then;
	bool stop;

	WRITE_ONCE(watching, true);
	do {
		stop = READ_ONCE(watched);
		then = now();
		*(u64 *)longest = max(*(u64 *)longest, then - last);
		last = then;
	} while (!stop);
	return NULL;
}

/* To free much memory takes long, but not the CPU from others. */
TEST_F_TIMEOUT(gmem, free_much, 240)
{
	u64 took, longest = 0;
	pthread_t thread;

	create(align_down(min_t(size_t, meminfo("MemAvailable:") / 2, SZ_2G), SZ_2M));
	ASSERT_EQ(pre_fault(0, size), 0);
	pin_self_to_any_cpu();
	ASSERT_EQ(pthread_create(&thread, NULL, watch, &longest), 0);
	while (!READ_ONCE(watching))
		sched_yield();
	took = now();
	kvm_munmap(mem, size);
	close(fd);
	took = now() - took;
	WRITE_ONCE(watched, true);
	ASSERT_EQ(pthread_join(thread, NULL), 0);

	TH_LOG("%lu MiB freed in %lu ms, longest gap %lu ms", size / SZ_1M,
	       took / 1000000, longest / 1000000);
	EXPECT_LT(longest, took / 4);
	EXPECT_LE(used(0), 0);
}

TEST_HARNESS_MAIN
