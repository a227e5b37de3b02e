// SPDX-License-Identifier: GPL-2.0-only
/* Access to pages: by the processor, through a pipe; and what gives nobody access. */
#include <sys/uio.h>

#include "fuzz.h"

static int pipe_fds[2];
static int self_mem, self_pid;
static uint64_t copy[WORDS];

void page_begin(void)
{
	/* Not blocked in the handler, which does not return */
	struct sigaction action = { .sa_handler = sigbus_handler, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	self_pid = getpid();
	self_mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (self_mem < 0 || pipe2(pipe_fds, O_CLOEXEC))
		die("/proc/self/mem, or a pipe");
}

int page_access(void *mem, enum access how, uint64_t was, uint64_t tag, size_t *odd)
{
	volatile uint64_t *word = mem;
	int sig = sigsetjmp(sigbus_jmp, 0);
	size_t i;

	*odd = WORDS;
	if (sig)
		return sig;
	if (how == TOUCH || how == WRITE)
		word[was ? was % WORDS : tag % WORDS] = was;
	if (how != WRITE_ANYHOW) {
		for (i = 0; i < WORDS && word[i] == was; i++)
			;
		*odd = i;
	}
	if (how == WRITE || how == WRITE_ANYHOW) {
		for (i = 0; i < WORDS; i++)
			word[i] = tag;
	}
	return 0;
}

/* What somebody needs who looks why a page is not as it should be. */
__attribute__((noreturn))
static void odd_page(const char *what, struct file *f, size_t page, const uint64_t *word,
		     size_t odd, uint64_t was)
{
	unsigned int others = 0;

	for (size_t i = 0; i < WORDS; i++)
		others += word[i] != was;
	for (int i = 0; i < FILES; i++) {
		for (size_t j = 0; word[odd] && j < FILE_PAGES; j++) {
			if (files[i].used && files[i].tag[j] == word[odd])
				printf("that is what page %zu of file %d has\n", j, i);
		}
	}
	wrong("%s: page %zu of file %td: %u words are not %016llx, but word %zu is %016llx", what,
	      page, f - files, others, (unsigned long long)was, odd,
	      (unsigned long long)word[odd]);
}

bool slot_access(size_t nr, enum access how, uint64_t tag)
{
	const struct slot *s = &slots[nr];
	int want = slot_signal(s, how != LOOK), sig;
	struct file *f;
	size_t odd;

	if (want) {
		sig = page_access(slot_mem(nr), how, 0, tag, &odd);
		if (sig != want)
			wrong("slot %zu: signal %d, not %d", nr, sig, want);
		stats.faults++;
		return false;
	}
	f = &files[s->file];
	sig = page_access(slot_mem(nr), how, f->tag[s->page], tag, &odd);
	if (sig == SIGBUS && !f->there[s->page]) {
		stats.not_had++;
		return false;
	}
	if (sig)
		wrong("slot %zu: signal %d, page %u of file %d %s", nr, sig, s->page, s->file,
		      f->there[s->page] ? "was there" : "could be had");
	if (odd != WORDS)
		odd_page("access", f, s->page, (uint64_t *)slot_mem(nr), odd, f->tag[s->page]);
	stats.had++;
	f->there[s->page] = true;
	if (how >= WRITE)
		f->tag[s->page] = tag;
	return true;
}

bool page_mixed(size_t nr, uint64_t was, uint64_t tag)
{
	const uint64_t *word = (uint64_t *)slot_mem(nr);

	/* The page cannot be had: nobody has written */
	if (sigsetjmp(sigbus_jmp, 0))
		return true;
	for (size_t i = 0; i < WORDS; i++) {
		if (word[i] != was && word[i] != tag)
			return false;
	}
	return true;
}

static void access_range(enum access how)
{
	struct range r = draw_writable(MOST_PAGES);
	bool down = draw(2);
	int signals = 0;

	say("%zu+%zu%s", r.start, r.nr, down ? " down" : "");
	for (size_t i = 0; i < r.nr && signals < MOST_SIGNALS; i++) {
		size_t nr = r.start + (down ? r.nr - 1 - i : i);

		signals += !!slot_signal(&slots[nr], how != LOOK);
		slot_access(nr, how, how == WRITE ? new_tag() : 0);
	}
}

void op_look(void)
{
	access_range(LOOK);
}

void op_touch(void)
{
	access_range(TOUCH);
}

void op_write(void)
{
	access_range(WRITE);
}

/* The kernel reads a page, or writes it, by the address that the process has. */
void op_pipe(void)
{
	struct range r = draw_writable(1);
	const struct slot *s = &slots[r.start];
	bool write_page = draw(2);
	struct file *f = s->file == NONE ? NULL : &files[s->file];
	uint64_t tag = new_tag(), was;
	int err = slot_signal(s, write_page) ? EFAULT : 0;
	long n;

	say("%zu %s", r.start, write_page ? "to" : "from");
	for (size_t i = 0; i < WORDS; i++)
		copy[i] = tag;
	if (write_page && write(pipe_fds[1], copy, PAGE) != PAGE)
		wrong("write to a pipe: %s", strerror(errno));
	if (write_page)
		n = read(pipe_fds[0], slot_mem(r.start), PAGE);
	else
		n = write(pipe_fds[1], slot_mem(r.start), PAGE);
	if (n < 0 && errno == EFAULT && !err && !f->there[s->page]) {
		stats.not_had++;
		n = 0;
	} else {
		expect(write_page ? "read" : "write", n, err);
		if (!err && n != PAGE)
			wrong("%ld bytes", n);
	}
	if (n == PAGE) {
		f->there[s->page] = true;
		was = f->tag[s->page];
		if (write_page)
			f->tag[s->page] = tag;
		else if (read(pipe_fds[0], copy, PAGE) != PAGE || !all_are(copy, PAGE, was))
			wrong("page %u of file %d, read by the kernel, is not %016llx", s->page,
			      s->file, (unsigned long long)was);
	} else if (write_page && read(pipe_fds[0], copy, PAGE) != PAGE) {
		wrong("the pipe did not keep what could not be copied");
	}
}

static void no_reading(struct file *f)
{
	char path[64];
	int fd = f->fd;

	switch (draw(7)) {
	case 0:
		expect("read", read(fd, copy, PAGE), EINVAL);
		break;
	case 1:
		expect("write", write(fd, copy, PAGE), EINVAL);
		break;
	case 2:
		expect("pread", pread(fd, copy, PAGE, 0), ESPIPE);
		break;
	case 3:
		expect("pwrite", pwrite(fd, copy, PAGE, 0), ESPIPE);
		break;
	case 4:
		expect("splice from", splice(fd, NULL, pipe_fds[1], NULL, PAGE, 0), EINVAL);
		break;
	case 5:
		expect("vmsplice", vmsplice(fd, &(struct iovec) { copy, PAGE }, 1, 0), EBADF);
		break;
	case 6:
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		expect("open", open(path, O_RDWR), ENXIO);
	}
}

/* Nobody takes a reference of a page, and nobody comes to it by another's page tables. */
static void no_reference(struct range r)
{
	struct iovec remote = { slot_mem(r.start), r.nr * PAGE }, local = { copy, PAGE };
	/* The page tables have it, and that is no help */
	bool touch_first = draw(2);
	off_t at = (uintptr_t)remote.iov_base;

	say("%zu+%zu%s", r.start, r.nr, touch_first ? " touched" : "");
	if (touch_first)
		slot_access(r.start, LOOK, 0);
	switch (draw(6)) {
	case 0:
		expect("vmsplice", vmsplice(pipe_fds[1], &remote, 1, 0), EFAULT);
		break;
	case 1:
		expect("vmsplice gift", vmsplice(pipe_fds[1], &remote, 1, SPLICE_F_GIFT), EFAULT);
		break;
	case 2:
		expect("process_vm_readv", process_vm_readv(self_pid, &local, 1, &remote, 1, 0),
		       EFAULT);
		break;
	case 3:
		expect("process_vm_writev", process_vm_writev(self_pid, &local, 1, &remote, 1, 0),
		       EFAULT);
		break;
	case 4:
		expect("pread of mem", pread(self_mem, copy, PAGE, at), EIO);
		break;
	case 5:
		expect("pwrite of mem", pwrite(self_mem, copy, PAGE, at), EIO);
	}
}

void op_refused(void)
{
	bool by_file = draw(2);
	struct file *f = draw_file();
	struct range r = mapped_part(draw_range(8));

	if (by_file && f)
		no_reading(f);
	else if (!by_file && r.nr)
		no_reference(r);
	else
		stats.nothing++;
}

void op_verify(void)
{
	for (int i = 0; i < FILES; i++) {
		struct file *f = &files[i];
		size_t pages = file_pages(f), odd;
		uint64_t *mem;

		if (!f->used || f->fd < 0 || !pages)
			continue;
		mem = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
		expect("mmap", mem == MAP_FAILED ? -1 : 0, 0);
		for (size_t j = 0; j < pages; j++) {
			int sig;

			if (!f->there[j])
				continue;
			sig = page_access(mem + j * WORDS, LOOK, f->tag[j], 0, &odd);
			if (sig)
				wrong("page %zu of file %d was there: signal %d", j, i, sig);
			if (odd != WORDS)
				odd_page("verify", f, j, mem + j * WORDS, odd, f->tag[j]);
		}
		munmap(mem, f->size);
	}
}
