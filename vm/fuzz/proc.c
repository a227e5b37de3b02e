// SPDX-License-Identifier: GPL-2.0-only
/* Other processes: they read and write what they inherit, are killed, execute. */
#include <linux/falloc.h>
#include <sched.h>
#include <sys/wait.h>

#include "fuzz.h"

/* What a child says. */
static struct {
	unsigned long done;		/* pages, or rounds */
	bool had[MOST_PAGES];
	bool bad;
	char text[256];
} *child;

void proc_begin(void)
{
	child = shared_memory(sizeof(*child));
}

static pid_t start(void)
{
	memset(child, 0, sizeof(*child));
	stats.children++;
	return spawn();
}

static void done(void)
{
	__atomic_add_fetch(&child->done, 1, __ATOMIC_RELAXED);
}

/* It ends by itself, with nothing to complain about. */
static void end(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		wrong("a child ended with status 0x%x: %s", status, child->text);
}

/* It is killed after so many steps, wherever it is then. */
static void kill_after(pid_t pid, unsigned long steps)
{
	int status;

	while (__atomic_load_n(&child->done, __ATOMIC_RELAXED) < steps) {
		if (waitpid(pid, &status, WNOHANG))
			wrong("a child ended early, with status 0x%x: %s", status, child->text);
		sched_yield();
	}
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		wrong("a child was killed, and ended with status 0x%x: %s", status, child->text);
	stats.killed++;
}

__attribute__((format(printf, 2, 3)))
static void complain(size_t nr, const char *fmt, ...)
{
	int len = snprintf(child->text, sizeof(child->text), "slot %zu, page %u of file %d: ", nr,
			   slots[nr].page, slots[nr].file);
	va_list args;

	va_start(args, fmt);
	vsnprintf(child->text + len, sizeof(child->text) - len, fmt, args);
	va_end(args);
	_exit(1);
}

/* In the child, which has no part of the model but what it was when it was made. */
static void child_access(struct range r, enum access how, const uint64_t *tags)
{
	int signals = 0;

	for (size_t i = 0; i < r.nr && signals < MOST_SIGNALS; i++) {
		const struct slot *s = &slots[r.start + i];
		struct file *f = s->file == NONE ? NULL : &files[s->file];
		int want = s->alone ? SIGSEGV : slot_signal(s, how != LOOK);
		uint64_t was = want ? 0 : f->tag[s->page];
		size_t odd;
		int sig;

		sig = page_access(slot_mem(r.start + i), how, was, tags ? tags[i] : 0, &odd);
		signals += !!want;
		done();
		if (sig && !want && sig == SIGBUS && !f->there[s->page])
			continue;
		if (sig != want)
			complain(r.start + i, "signal %d, not %d", sig, want);
		if (sig)
			continue;
		if (odd != WORDS)
			complain(r.start + i, "word %zu is not as it was", odd);
		child->had[i] = true;
		f->there[s->page] = true;
		/* The page may be mapped once more further on */
		if (how >= WRITE)
			f->tag[s->page] = tags[i];
	}
}

static const uint64_t *draw_tags(struct range r)
{
	static uint64_t tags[MOST_PAGES];

	for (size_t i = 0; i < r.nr; i++)
		tags[i] = new_tag();
	return tags;
}

/* What children do that end by themselves */
enum deed { READS, TOUCHES, WRITES, UNMAPS, DEEDS };

void op_fork(void)
{
	static const char * const deeds[DEEDS] = { "reads", "touches", "writes", "unmaps" };
	static const enum access how[] = { LOOK, TOUCH, WRITE };
	struct range r = draw_writable(MOST_PAGES);
	const uint64_t *tags = draw_tags(r);
	enum deed deed = draw(DEEDS);
	pid_t pid;

	say("%zu+%zu %s", r.start, r.nr, deeds[deed]);
	pid = start();
	if (!pid) {
		if (deed == UNMAPS && (munmap(slot_mem(r.start), r.nr * PAGE) ||
				       munmap(arena, SLOTS * PAGE)))
			complain(r.start, "munmap: %s", strerror(errno));
		if (deed != UNMAPS)
			child_access(r, how[deed], tags);
		_exit(0);
	}
	end(pid);
	for (size_t i = 0; i < r.nr; i++) {
		const struct slot *s = &slots[r.start + i];

		if (!child->had[i])
			continue;
		files[s->file].there[s->page] = true;
		if (deed == WRITES)
			files[s->file].tag[s->page] = tags[i];
	}
}

/* Pages that others wrote to meanwhile get what the model says, or nothing. */
static void settle_pages(struct range r, const uint64_t *tags, bool zero)
{
	for (size_t i = 0; i < r.nr; i++) {
		const struct slot *s = &slots[r.start + i];

		if (slot_signal(s, true) || s->alone)
			continue;
		if (!page_mixed(r.start + i, zero ? 0 : files[s->file].tag[s->page], tags[i]))
			wrong("page %u of file %d is neither as it was nor as it was written",
			      s->page, s->file);
		slot_access(r.start + i, WRITE_ANYHOW, tags[i]);
	}
}

/* A child that goes over some pages, writing, until it is killed. */
void op_kill(void)
{
	struct range r = one_mapping(draw_writable(MOST_PAGES));
	const uint64_t *tags = draw_tags(r);
	unsigned long steps = draw(2 * r.nr + 1);
	pid_t pid;

	if (!r.nr) {
		stats.nothing++;
		return;
	}
	say("%zu+%zu after %lu", r.start, r.nr, steps);
	pid = start();
	if (!pid) {
		/* The second time, they have these tags already */
		for (enum access how = WRITE;; how = WRITE_ANYHOW)
			child_access(r, how, tags);
	}
	kill_after(pid, steps);
	settle_pages(r, tags, false);
}

/*
 * Linux takes away a guard page of any mapping, of any file, whose page is faulted by
 * another mapping while it is punched: unmap_mapping_folio() drops all markers.
 */
static void remove_guards(const struct file *f, size_t page, size_t nr)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = &slots[i];

		if (s->file == NONE || &files[s->file] != f || !s->guard || s->page - page >= nr)
			continue;
		expect("madvise", madvise(slot_mem(i), PAGE, MADV_GUARD_REMOVE), 0);
		s->guard = false;
	}
}

/* A child that punches and allocates where we write, until it is killed. */
void op_race(void)
{
	struct range r = one_mapping(draw_writable(64));
	const uint64_t *tags = draw_tags(r);
	unsigned int passes = 1 + draw(4), kind = draw(3);
	const struct slot *s = &slots[r.start];
	size_t odd;
	off_t at;
	pid_t pid;
	int fd;

	if (!r.nr || stock || files[s->file].fd < 0 || slot_signal(s, true)) {
		stats.nothing++;
		return;
	}
	say("%zu+%zu passes %u kind %u", r.start, r.nr, passes, kind);
	remove_guards(&files[s->file], s->page, r.nr);
	fd = files[s->file].fd;
	at = (off_t)s->page * PAGE;
	pid = start();
	if (!pid) {
		for (;; done()) {
			if (kind != 1 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						   at, r.nr * PAGE))
				complain(r.start, "punching: %s", strerror(errno));
			/* The limit may be reached, or this be beyond the end */
			if (kind != 0)
				fallocate(fd, FALLOC_FL_KEEP_SIZE, at, r.nr * PAGE);
			if (kind == 1)
				madvise(slot_mem(r.start), r.nr * PAGE, MADV_REMOVE);
		}
	}
	for (unsigned int pass = 0; pass < passes; pass++) {
		for (size_t i = 0; i < r.nr; i++)
			page_access(slot_mem(r.start + i), WRITE_ANYHOW, 0, tags[i], &odd);
	}
	kill_after(pid, 1);
	/* What was punched is zero, but for what we wrote since */
	for (size_t i = 0; i < r.nr; i++) {
		if (slot_signal(&slots[r.start + i], true))
			continue;
		if (!page_mixed(r.start + i, 0, tags[i]))
			wrong("page %u of file %d is neither zero nor as it was written",
			      slots[r.start + i].page, s->file);
	}
	expect("fallocate", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
				      r.nr * PAGE), 0);
	file_forget(&files[s->file], s->page, r.nr);
}

void op_exec(void)
{
	struct file *f = draw_file();
	char fd[16];
	pid_t pid;

	if (!f) {
		stats.nothing++;
		return;
	}
	say("file %td", f - files);
	pid = start();
	if (!pid) {
		snprintf(fd, sizeof(fd), "%d", f->fd);
		execl("/proc/self/exe", "fuzz", "--executed", fd, f->cloexec ? "0" : "1", NULL);
		_exit(2);
	}
	end(pid);
}

int executed(const char *fd, const char *open)
{
	return (fcntl(atoi(fd), F_GETFD) >= 0) != atoi(open);
}
