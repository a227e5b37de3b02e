// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who gets at secret memory and what it costs others, whether it comes from
 * unmapped blocks or is taken out of the direct map page by page: what is asked
 * here is the same on both.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/stat.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* One of <linux/fs.h> that is of no use */
#undef BLOCK_SIZE
#include "kselftest_harness.h"
#include "unmapped_util.h"
#include "../../../../lib/test_hmm_uapi.h"
#include "../../../../mm/gup_test.h"

#define PAGES		4
#define SIZE		(PAGES * 4096UL)

#define FOLL_WRITE	0x01

#define HARD_OFFLINE	"/sys/devices/system/memory/hard_offline_page"
#define UNPOISON	"/sys/kernel/debug/hwpoison/unpoison-pfn"

FIXTURE(access)
{
	char *mem;
	char *plain;
};

/* Before a page is there, GUP-fast finds nothing, and GUP would make one. */
FIXTURE_VARIANT(access)
{
	bool touched;
};

FIXTURE_VARIANT_ADD(access, untouched)
{
	.touched = false,
};

FIXTURE_VARIANT_ADD(access, touched)
{
	.touched = true,
};

FIXTURE_SETUP(access)
{
	self->mem = secret_map(SIZE);
	if (self->mem == MAP_FAILED)
		SKIP(return, "no memfd_secret(2)");
	if (variant->touched)
		fill(self->mem, SIZE, PATTERN);

	/* What must work with ordinary memory, so that a refusal says something */
	self->plain = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->plain, MAP_FAILED);
	fill(self->plain, SIZE, PATTERN);
}

FIXTURE_TEARDOWN(access)
{
	EXPECT_TRUE(all_are(self->mem, SIZE, variant->touched ? PATTERN : 0));
	munmap(self->plain, SIZE);
	munmap(self->mem, SIZE);
}

TEST_F(access, process_vm_readv)
{
	uint64_t word = 0;
	struct iovec local = { &word, sizeof(word) };
	struct iovec remote = { self->plain, sizeof(word) };

	ASSERT_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0),
		  (ssize_t)sizeof(word));
	ASSERT_EQ(word, PATTERN);

	word = 0;
	remote.iov_base = self->mem;
	EXPECT_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(word, 0);
	EXPECT_EQ(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), -1);
	EXPECT_EQ(errno, EFAULT);
}

TEST_F(access, proc_mem)
{
	uint64_t word = 0;
	int fd = open("/proc/self/mem", O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(pread(fd, &word, sizeof(word), (off_t)self->plain),
		  (ssize_t)sizeof(word));
	EXPECT_EQ(pread(fd, &word, sizeof(word), (off_t)self->mem), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(pwrite(fd, &word, sizeof(word), (off_t)self->mem), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(word, PATTERN);
	close(fd);
}

TEST_F(access, vmsplice)
{
	struct iovec iov = { self->plain, SIZE };
	int pipefd[2];

	ASSERT_EQ(pipe(pipefd), 0);
	ASSERT_EQ(vmsplice(pipefd[1], &iov, 1, 0), (ssize_t)SIZE);
	iov.iov_base = self->mem;
	EXPECT_EQ(vmsplice(pipefd[1], &iov, 1, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	close(pipefd[0]);
	close(pipefd[1]);
}

/* Buffers of io_uring are pinned. */
TEST_F(access, io_uring)
{
	struct iovec iov = { self->plain, SIZE };
	struct io_uring_params params = {};
	int ring;

	ring = syscall(__NR_io_uring_setup, 4, &params);
	if (ring < 0)
		SKIP(return, "no io_uring");
	ASSERT_EQ(syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1), 0);
	ASSERT_EQ(syscall(__NR_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0), 0);
	iov.iov_base = self->mem;
	EXPECT_EQ(syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov, 1), -1);
	EXPECT_TRUE(errno == EFAULT || errno == EOPNOTSUPP) TH_LOG("errno %d", errno);
	close(ring);
}

/* Where a file is that is read and written without the page cache, or NULL. */
static const char *direct_io_path(char *path, size_t size)
{
	static const char * const dirs[] = { ".", "/var/tmp", "/tmp", "/run" };
	struct statx stx;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		int fd;

		snprintf(path, size, "%s/unmapped_access.XXXXXX", dirs[i]);
		fd = mkstemp(path);
		if (fd < 0)
			continue;
		/* Others take O_DIRECT for granted, and copy */
		if (!syscall(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
		    (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_mem_align) {
			close(fd);
			return path;
		}
		close(fd);
		unlink(path);
	}
	return NULL;
}

TEST_F(access, direct_io)
{
	char path[128];
	int fd;

	if (!direct_io_path(path, sizeof(path)))
		SKIP(return, "no file system with direct I/O");
	fd = open(path, O_RDWR | O_DIRECT);
	unlink(path);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(pwrite(fd, self->plain, SIZE, 0), (ssize_t)SIZE);
	EXPECT_EQ(pread(fd, self->mem, SIZE, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(pwrite(fd, self->mem, SIZE, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	close(fd);
}

/* Pages that one of the kernel's test calls gets hold of, a page at a time. */
static long gup_pages(int fd, unsigned long cmd, const void *mem, unsigned int flags)
{
	struct gup_test gup = {
		.addr = (unsigned long)mem,
		.size = SIZE,
		.nr_pages_per_call = 1,
		.gup_flags = flags,
	};

	return ioctl(fd, cmd, &gup) ? -1 : (long)gup.size / 4096;
}

/* As drivers and direct I/O do it, in each way there is. */
TEST_F(access, gup)
{
	static const struct {
		const char *name;
		unsigned long cmd;
	} ways[] = {
		{ "get_user_pages_fast", GUP_FAST_BENCHMARK },
		{ "get_user_pages", GUP_BASIC_TEST },
		{ "pin_user_pages_fast", PIN_FAST_BENCHMARK },
		{ "pin_user_pages", PIN_BASIC_TEST },
		{ "pin_user_pages, FOLL_LONGTERM", PIN_LONGTERM_BENCHMARK },
	};
	struct pin_longterm_test longterm = {
		.addr = (unsigned long)self->mem,
		.size = SIZE,
	};
	int fd = open("/sys/kernel/debug/gup_test", O_RDWR);

	if (fd < 0)
		SKIP(return, "no CONFIG_GUP_TEST");

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		for (unsigned int write = 0; write <= FOLL_WRITE; write += FOLL_WRITE) {
			ASSERT_EQ(gup_pages(fd, ways[i].cmd, self->plain, write), PAGES);
			EXPECT_EQ(gup_pages(fd, ways[i].cmd, self->mem, write), 0)
				TH_LOG("%s, write %u", ways[i].name, write);
		}
	}
	for (unsigned int flags = 0; flags < 4; flags++) {
		longterm.flags = flags;
		EXPECT_EQ(ioctl(fd, PIN_LONGTERM_TEST_START, &longterm), -1)
			TH_LOG("pin for long, flags %u", flags);
		EXPECT_EQ(errno, EFAULT);
	}
	close(fd);
}

static int pages_there(const char *mem)
{
	unsigned char there[PAGES] = {};
	int nr = 0;

	if (mincore((void *)mem, SIZE, there))
		return -1;
	for (int i = 0; i < PAGES; i++)
		nr += there[i] & 1;
	return nr;
}

/* It is locked as it is: mlock() changes nothing, munlock() does not unlock. */
/* A device that shares the page tables, as drivers for graphics and RDMA do */
TEST_F(access, hmm)
{
	char copy[SIZE];
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)self->plain,
		.ptr = (uintptr_t)copy,
		.npages = PAGES,
	};
	int fd = open("/dev/hmm_dmirror0", O_RDWR);

	if (fd < 0)
		SKIP(return, "no device of test_hmm.ko");
	ASSERT_EQ(ioctl(fd, HMM_DMIRROR_READ, &cmd), 0);
	ASSERT_EQ(cmd.cpages, PAGES);
	EXPECT_TRUE(all_are(copy, SIZE, PATTERN));

	cmd.addr = (uintptr_t)self->mem;
	EXPECT_EQ(ioctl(fd, HMM_DMIRROR_READ, &cmd), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(ioctl(fd, HMM_DMIRROR_WRITE, &cmd), -1);
	EXPECT_EQ(errno, EFAULT);
	close(fd);
}

TEST_F(access, mlock)
{
	long locked = field("/proc/self/status", "VmLck");

	/* On fault: not now, then */
	EXPECT_EQ(mlock2(self->mem, SIZE, MLOCK_ONFAULT), 0);
	EXPECT_EQ(pages_there(self->mem), variant->touched ? (int)PAGES : 0);
	/* It populates, and that is all */
	EXPECT_EQ(mlock(self->mem, SIZE), 0);
	EXPECT_EQ(pages_there(self->mem), (int)PAGES);
	EXPECT_EQ(field("/proc/self/status", "VmLck"), locked);
	EXPECT_EQ(munlock(self->mem, SIZE), 0);
	EXPECT_EQ(field("/proc/self/status", "VmLck"), locked);
	ASSERT_EQ(mlock(self->plain, SIZE), 0);
	EXPECT_GT(field("/proc/self/status", "VmLck"), locked);
}

/* How many mappings of such a file have come, all of them with a build-id, or without? */
static int mapped_with_build_id(const char *ring, const char *name, bool with)
{
	const struct perf_event_mmap_page *head = (const void *)ring;
	const char *at = ring + 4096, *end = at + head->data_head;
	int nr = 0;

	while (at < end) {
		const struct perf_event_header *h = (const void *)at;
		/* After process, range, and build-id or inode: protection, flags, name */
		const char *file = at + sizeof(*h) + 8 + 24 + 24 + 8;

		if (h->type == PERF_RECORD_MMAP2 && strstr(file, name))
			nr += !!(h->misc & PERF_RECORD_MISC_MMAP_BUILD_ID) == with;
		at += h->size;
	}
	return nr;
}

/*
 * The kernel looks for an ELF header in what is mapped: not in this. When perf
 * wants build-ids of what is mapped, it does so with what is in the page cache,
 * by the direct map: a kernel that does not mind does not survive it.
 */
TEST_F(access, build_id)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.mmap = 1,
		.mmap_data = 1,
		.mmap2 = 1,
		.build_id = 1,
	};
	int perf, fd, exe = open("/proc/self/exe", O_RDONLY);
	char *mem, *ring;

	perf = syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0);
	if (perf < 0)
		SKIP(return, "no perf events with build-ids");
	ring = mmap(NULL, 9 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, perf, 0);
	ASSERT_NE(ring, MAP_FAILED);
	fd = syscall(__NR_memfd_secret, 0);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(ftruncate(fd, SIZE), 0);
	for (int i = 0; i < 2; i++) {
		mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ASSERT_NE(mem, MAP_FAILED);
		if (variant->touched)
			memcpy(mem, ELFMAG, SELFMAG);
	}
	close(fd);
	ASSERT_NE(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, exe, 0), MAP_FAILED);
	close(exe);
	/* Our own program has one */
	EXPECT_EQ(mapped_with_build_id(ring, "/unmapped_access", true), 1);
	EXPECT_EQ(mapped_with_build_id(ring, "/secretmem", false), 2);
	EXPECT_EQ(mapped_with_build_id(ring, "/secretmem", true), 0);
	munmap(ring, 9 * 4096);
	close(perf);
}

/*
 * S1, S2: the kernel's own view of what is secret: nothing while it is in use,
 * and nothing of it afterwards.
 */
TEST(off_the_direct_map)
{
	const size_t pages = 64, size = pages * 4096;
	struct direct_map map;
	uint64_t pfns[64];
	void *mem;

	/* Is it seen, where there is something to see? */
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	ASSERT_NE(mem, MAP_FAILED);
	fill(mem, size, PATTERN);
	if (!read_pfns(mem, pfns, pages) || pages_with_pattern(pfns, 1) < 0)
		SKIP(return, "no /proc/kcore or page frame numbers");
	ASSERT_EQ(pages_with_pattern(pfns, pages), (long)pages);
	memset(mem, 0, size);
	munmap(mem, size);

	mem = secret_map(size);
	if (mem == MAP_FAILED)
		SKIP(return, "no memfd_secret(2)");
	fill(mem, size, PATTERN);
	ASSERT_TRUE(read_pfns(mem, pfns, pages));
	EXPECT_EQ(pages_with_pattern(pfns, pages), 0);
	if (walk_direct_map(&map, pfns[0] * 4096))
		EXPECT_FALSE(map.probe_present);
	munmap(mem, size);
	settle();
	EXPECT_EQ(pages_with_pattern(pfns, pages), 0);
	/* What was taken out alone is back, and free for everybody */
	if (read_vmstat("nr_no_direct_map") <= 0 && walk_direct_map(&map, pfns[0] * 4096))
		EXPECT_TRUE(map.probe_present);
}

/* What is hardware-poisoned is touched by nobody, and stays off the direct map. */
TEST(poisoned_stays_off)
{
	struct direct_map map;
	unsigned long phys;
	uint64_t pfn;
	char *mem;
	int err;

	if (access(HARD_OFFLINE, W_OK) || access(UNPOISON, W_OK))
		SKIP(return, "no memory failure, or none that is undone");
	mem = secret_map(4096);
	if (mem == MAP_FAILED)
		SKIP(return, "no memfd_secret(2)");
	touch(mem, 4096, PATTERN);
	if (!read_pfns(mem, &pfn, 1) || !walk_direct_map(&map, 0))
		SKIP(return, "no page frame numbers, or no page tables in debugfs");
	phys = pfn * 4096;

	/* -EBUSY: it stays in the file until that is gone */
	err = write_file(HARD_OFFLINE, "%#lx", phys);
	EXPECT_TRUE(!err || err == -EBUSY);
	EXPECT_EQ(touch_some(mem, 4096, PATTERN), 0);
	EXPECT_FALSE(direct_map_shows(phys));
	munmap(mem, 4096);
	settle();
	EXPECT_FALSE(direct_map_shows(phys));

	/* One of an unmapped block is as good as new; one that is out alone is lost */
	err = write_file(UNPOISON, "%#lx", phys / 4096);
	if (read_vmstat("nr_no_direct_map") > 0) {
		EXPECT_EQ(err, 0);
	} else {
		EXPECT_LT(err, 0);
		EXPECT_FALSE(direct_map_shows(phys));
	}
}

/* Pages handed out by the page allocator so far. */
static long pages_allocated(void)
{
	static const char * const zones[] = {
		"pgalloc_dma", "pgalloc_dma32", "pgalloc_normal",
	};
	long sum = 0, nr;

	for (size_t i = 0; i < ARRAY_SIZE(zones); i++) {
		nr = field("/proc/vmstat", zones[i]);
		if (nr > 0)
			sum += nr;
	}
	return sum;
}

/* L7: whoever is at the limit gets nothing, and nothing is done for him. */
TEST(at_the_limit)
{
	/* A block, all of it: there is no page left that costs nothing */
	const size_t limit = BLOCK_SIZE;
	const int attempts = 1000;
	static const char * const counters[] = {
		"direct_map_flip_unmap", "no_direct_map_zeroed_pages", "nr_no_direct_map",
		"compact_stall", "direct_map_level2_splits",
	};
	long before[ARRAY_SIZE(counters)], pages;
	struct rlimit rlimit = { limit, limit };
	char *mem, *room;

	if (setrlimit(RLIMIT_MEMLOCK, &rlimit))
		SKIP(return, "cannot set RLIMIT_MEMLOCK");
	set_pool_blocks(0);
	mem = secret_map(2 * limit);
	if (mem == MAP_FAILED)
		SKIP(return, "no memfd_secret(2)");
	/* Across page tables: a fault without one has one allocated, even in vain */
	room = mmap(NULL, 4 * limit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(room, MAP_FAILED);
	room = (char *)(((uintptr_t)room | (BLOCK_SIZE - 1)) + 1) + BLOCK_SIZE / 2;
	mem = mremap(mem, 2 * limit, 2 * limit, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	ASSERT_EQ(mem, room);
	ASSERT_EQ(touch_some(mem, 2 * limit, PATTERN), limit);
	settle();

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		before[i] = read_vmstat(counters[i]);
	pages = pages_allocated();
	ASSERT_GT(pages, 0);
	for (int i = 0; i < attempts; i++)
		ASSERT_EQ(touch_some(mem + limit + i % 256 * 4096, 4096, PATTERN), 0);
	pages = pages_allocated() - pages;
	TH_LOG("%ld pages allocated in %d attempts", pages, attempts);
	/* What the test itself needs, and others */
	EXPECT_LT(pages, attempts / 4);
	/* No more of anything; blocks of earlier tests may go back meanwhile */
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		EXPECT_LE(read_vmstat(counters[i]), before[i])
			TH_LOG("%s", counters[i]);
	}

	/* What he has is his still, and what he gives back counts no more */
	for (size_t off = 0; off < limit; off += 4096)
		ASSERT_EQ(*(uint64_t *)(mem + off), PATTERN);
	munmap(mem, 2 * limit);
	mem = secret_map(2 * limit);
	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_EQ(touch_some(mem, 2 * limit, PATTERN), limit);
	munmap(mem, 2 * limit);
}

/* A message of one byte, with a descriptor */
struct fd_message {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	char control[CMSG_SPACE(sizeof(int))];
};

static struct msghdr *fd_message(struct fd_message *m)
{
	*m = (struct fd_message) {
		.iov = { &m->byte, 1 },
		.msg = {
			.msg_iov = &m->iov,
			.msg_iovlen = 1,
			.msg_control = m->control,
			.msg_controllen = sizeof(m->control),
		},
	};
	return &m->msg;
}

static int send_fd(int sock, int fd)
{
	struct fd_message m;
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(fd_message(&m));

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &m.msg, 0) == 1 ? 0 : -1;
}

static int receive_fd(int sock)
{
	struct fd_message m;
	int fd;

	if (recvmsg(sock, fd_message(&m), 0) != 1 || !CMSG_FIRSTHDR(&m.msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m.msg)), sizeof(fd));
	return fd;
}

/* Nobody has it, for it is on its way: it counts still, and what is in it stays. */
TEST(in_flight)
{
	const size_t size = BLOCK_SIZE;
	struct rlimit rlimit = { size, size };
	int fd, socks[2], status;
	char *mem, *more;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, socks))
		SKIP(return, "no UNIX sockets");
	if (setrlimit(RLIMIT_MEMLOCK, &rlimit))
		SKIP(return, "cannot set RLIMIT_MEMLOCK");
	more = secret_map(size);
	if (more == MAP_FAILED)
		SKIP(return, "no memfd_secret(2)");
	/* Who sends it is gone when it is received */
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		mem = secret_map_file(size, &fd);
		if (mem == MAP_FAILED || touch_some(mem, size, PATTERN) != size)
			_exit(1);
		fill(mem, size, PATTERN);
		_exit(send_fd(socks[0], fd) ? 2 : 0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);

	EXPECT_EQ(touch_some(more, 4096, PATTERN), 0);
	if (!unmapped_missing())
		EXPECT_GE(read_meminfo("Secretmem"), (long)(size / KiB));

	fd = receive_fd(socks[1]);
	ASSERT_GE(fd, 0);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_TRUE(all_are(mem, size, PATTERN));
	munmap(mem, size);

	/* Nobody is ever going to have it */
	ASSERT_EQ(send_fd(socks[0], fd), 0);
	close(fd);
	close(socks[0]);
	close(socks[1]);
	EXPECT_EQ(touch_some(more, size, PATTERN), size);
	munmap(more, size);
}

TEST_HARNESS_MAIN
