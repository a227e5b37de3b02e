// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several threads at the same secret memory: faults at the same page, of which all
 * but one allocated for nothing (CVE-2025-40272), vmsplice() of what is mapped and
 * unmapped meanwhile (CVE-2024-35872), and migration of what is given back.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "unmapped_util.h"

#define THREADS		4
/* As many rounds, if there is time; more time: RACES_SECONDS in the environment */
#define ROUNDS		100000
#define SECONDS		"30"
/* Of a file; then there is a new one */
#define PAGES		500
#define SPLICES		10000
#define HOLES		10000
#define HOLE_PAGES	64
#define DEBUGFS		"/sys/kernel/debug/fail_page_alloc/"

FIXTURE(races)
{
	long pool_blocks;
	struct snapshot before;
	int kmsg;
};

FIXTURE_SETUP(races)
{
	char *mem = secret_map(4096);

	if (mem == MAP_FAILED)
		SKIP(return, "no memfd_secret(2)");
	touch(mem, 4096, PATTERN);
	munmap(mem, 4096);
	self->kmsg = kmsg_open();
	ASSERT_GE(self->kmsg, 0);
	self->before = take_snapshot();
}

/* No page was lost, none is where it does not belong, and nobody complained. */
FIXTURE_TEARDOWN(races)
{
	const char *wrong = unmapped_missing() ? NULL : counters_wrong();

	EXPECT_EQ(wrong, NULL) TH_LOG("%s", wrong);
	if (!unmapped_missing()) {
		struct snapshot now = take_snapshot();

		EXPECT_EQ(unaccounted(&self->before, &now), 0);
	}
	EXPECT_QUIET(self->kmsg);
	close(self->kmsg);
}

static struct {
	pthread_barrier_t files;	/* between two of them, main included */
	uint64_t *mem;
	unsigned int had[PAGES];
	unsigned long not_had;
	unsigned long dirty;
	bool stop;
} race;

static __thread sigjmp_buf no_page;

static void no_page_handler(int sig)
{
	siglongjmp(no_page, sig);
}

static void touch_page(uint64_t *page, unsigned int *had)
{
	if (sigsetjmp(no_page, 1)) {
		__atomic_fetch_add(&race.not_had, 1, __ATOMIC_SEQ_CST);
		return;
	}
	if (page[1])
		__atomic_fetch_add(&race.dirty, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(page, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(had, 1, __ATOMIC_SEQ_CST);
}

/*
 * Who is first at a page waits for it to be allocated, and the others are there. From
 * the end, so that each page is allocated by itself.
 */
static void *touch_same(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&race.files);
		if (race.stop)
			return NULL;
		for (unsigned int nr = PAGES; nr--;)
			touch_page(race.mem + nr * (4096 / sizeof(*race.mem)), &race.had[nr]);
		pthread_barrier_wait(&race.files);
	}
}

/* Whether page allocations of who is made from now on can be made to fail. */
static bool may_fail(void)
{
	return !access(DEBUGFS "probability", W_OK) &&
	       !write_file(DEBUGFS "probability", "0") &&
	       !write_file(DEBUGFS "verbose", "0") && !write_file(DEBUGFS "interval", "1") &&
	       !write_file(DEBUGFS "space", "0") && !write_file(DEBUGFS "times", "-1") &&
	       !write_file(DEBUGFS "task-filter", "Y") &&
	       !write_file(DEBUGFS "ignore-gfp-wait", "N") &&
	       !write_file(DEBUGFS "ignore-gfp-highmem", "N") &&
	       !write_file(DEBUGFS "min-order", "0") &&
	       !write_file("/proc/self/make-it-fail", "1");
}

TEST_F_TIMEOUT(races, same_page, 3600)
{
	struct sigaction handler = { .sa_handler = no_page_handler };
	const size_t size = PAGES * 4096UL;
	unsigned long lost = 0, not_had = 0, rounds;
	bool fails, failing = false;
	pthread_t threads[THREADS];
	time_t end;

	ASSERT_EQ(sigaction(SIGBUS, &handler, NULL), 0);
	ASSERT_EQ(pthread_barrier_init(&race.files, NULL, THREADS + 1), 0);
	fails = may_fail();
	for (int i = 0; i < THREADS; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, touch_same, NULL), 0);
	if (fails)
		write_file("/proc/self/make-it-fail", "0");
	end = time(NULL) + atoi(getenv("RACES_SECONDS") ?: SECONDS);
	for (rounds = 0; rounds < ROUNDS && time(NULL) < end; rounds += PAGES) {
		race.mem = secret_map(size);
		ASSERT_NE(race.mem, MAP_FAILED);
		memset(race.had, 0, sizeof(race.had));
		/* One in a hundred, for every other file */
		failing = fails && !failing;
		if (fails)
			write_file(DEBUGFS "probability", "%d", failing);
		not_had -= failing ? 0 : race.not_had;
		pthread_barrier_wait(&race.files);
		pthread_barrier_wait(&race.files);
		not_had += failing ? 0 : race.not_had;
		for (unsigned int nr = 0; nr < PAGES; nr++) {
			uint64_t *page = race.mem + nr * (4096 / sizeof(*page));

			if (!race.had[nr])
				continue;
			lost += page[0] != race.had[nr];
			page[1] = PATTERN;
		}
		munmap(race.mem, size);
	}
	race.stop = true;
	pthread_barrier_wait(&race.files);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (fails)
		write_file(DEBUGFS "probability", "0");
	TH_LOG("%lu rounds of %d threads, %lu faults failed", rounds, THREADS, race.not_had);
	EXPECT_GE(rounds, PAGES);
	EXPECT_EQ(lost, 0);
	EXPECT_EQ(race.dirty, 0);
	/* Who lost the race has the other one's page */
	EXPECT_EQ(not_had, 0);
	EXPECT_EQ(race.not_had > 0, fails);
}

static struct {
	char *mem;
	bool stop;
	unsigned long changes;
} splicing;

/* What is mapped at the same place is new each time, and sometimes there already. */
static void *map_again(void *arg)
{
	while (!__atomic_load_n(&splicing.stop, __ATOMIC_SEQ_CST)) {
		int fd = syscall(__NR_memfd_secret, 0);

		if (fd < 0 ||
		    mmap(splicing.mem, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			 0) == MAP_FAILED) {
			close(fd);
			continue;
		}
		/* Mapped before it has a size */
		if (!ftruncate(fd, 4096) && splicing.changes % 2)
			touch(splicing.mem, 4096, PATTERN);
		close(fd);
		splicing.changes++;
	}
	return NULL;
}

TEST_F_TIMEOUT(races, vmsplice, 300)
{
	unsigned long had = 0, others = 0;
	pthread_t thread;
	int pipefd[2];

	splicing.mem = secret_map(4096);
	ASSERT_NE(splicing.mem, MAP_FAILED);
	ASSERT_EQ(pipe(pipefd), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, map_again, NULL), 0);
	for (int i = 0; i < SPLICES || splicing.changes < SPLICES / 10; i++) {
		struct iovec iov = { splicing.mem, 4096 };
		ssize_t ret = vmsplice(pipefd[1], &iov, 1, SPLICE_F_NONBLOCK);

		had += ret >= 0;
		others += ret < 0 && errno != EFAULT;
	}
	__atomic_store_n(&splicing.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	TH_LOG("%d calls, mapped %lu times", SPLICES, splicing.changes);
	EXPECT_EQ(had, 0);
	EXPECT_EQ(others, 0);
	close(pipefd[0]);
	close(pipefd[1]);
	munmap(splicing.mem, 4096);
}

static struct {
	char *mem;
	int nodes[2];
	bool stop;
	unsigned long calls;
} move;

static void *move_around(void *arg)
{
	void *pages[HOLE_PAGES];
	int nodes[HOLE_PAGES], status[HOLE_PAGES];

	while (!__atomic_load_n(&move.stop, __ATOMIC_SEQ_CST)) {
		for (int i = 0; i < HOLE_PAGES; i++) {
			pages[i] = move.mem + i * 4096;
			nodes[i] = move.nodes[move.calls % 2];
		}
		move.calls++;
		syscall(__NR_move_pages, 0, HOLE_PAGES, pages, nodes, status, 0 /* sync */);
	}
	return NULL;
}

/* A folio that left its file while somebody waited to migrate it is not copied. */
TEST_F_TIMEOUT(races, migration, 300)
{
	const long corrupted = read_meminfo("HardwareCorrupted");
	pthread_t threads[2];
	uint64_t dirty = 0;
	int fd;

	for (int node = 0, nr = 0; nr < 2; node++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/devices/system/node/node%d/meminfo", node);
		if (node > 64)
			SKIP(return, "no two nodes with memory");
		if (!access(path, R_OK))
			move.nodes[nr++] = node;
	}
	move.mem = secret_map_file(HOLE_PAGES * 4096, &fd);
	ASSERT_NE(move.mem, MAP_FAILED);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096))
		SKIP(return, "secret memory cannot have holes");
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&threads[i], NULL, move_around, NULL), 0);
	for (int i = 0; i < HOLES; i++) {
		uint64_t *page = (uint64_t *)(move.mem + i % HOLE_PAGES * 4096);

		dirty |= *page;
		*page = PATTERN;
		ASSERT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    i % HOLE_PAGES * 4096, 4096), 0);
	}
	__atomic_store_n(&move.stop, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	TH_LOG("%d holes, %lu calls", HOLES, move.calls);
	EXPECT_GT(move.calls, 0);
	EXPECT_EQ(dirty, 0);
	EXPECT_EQ(read_meminfo("HardwareCorrupted"), corrupted);
	munmap(move.mem, HOLE_PAGES * 4096);
	close(fd);
}

TEST_HARNESS_MAIN
