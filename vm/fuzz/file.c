// SPDX-License-Identifier: GPL-2.0-only
/* Files: their size, what is allocated and punched, who has a descriptor, what counts. */
#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "fuzz.h"

static int memfd_secret(unsigned int flags)
{
	return syscall(__NR_memfd_secret, flags);
}

static void resize(struct file *f)
{
	size_t size = draw_pages(FILE_PAGES) * PAGE;

	/* Not always whole pages, and nothing one time in so many */
	if (!draw(4))
		size -= draw(PAGE);
	if (!draw(16))
		size = 0;
	say("file %td to %zu", f - files, size);
	expect("ftruncate", ftruncate(f->fd, size), f->size ? EINVAL : 0);
	if (!f->size)
		f->size = size;
}

void op_create(void)
{
	bool cloexec = draw(2), sized = draw(8), bad = !draw(16);
	int i = 0, fd;

	while (i < FILES && files[i].used)
		i++;
	if (i == FILES) {
		i = draw(FILES);
		say("for file %d", i);
		file_drop(&files[i]);
	}
	if (bad) {
		expect("memfd_secret", memfd_secret(2), EINVAL);
		return;
	}
	fd = memfd_secret(cloexec ? O_CLOEXEC : 0);
	say("file %d%s", i, cloexec ? " O_CLOEXEC" : "");
	expect("memfd_secret", fd, 0);
	memset(&files[i], 0, sizeof(files[i]));
	files[i].used = true;
	files[i].fd = fd;
	files[i].cloexec = cloexec;
	if (sized)
		resize(&files[i]);
}

void op_resize(void)
{
	struct file *f = draw_file();

	if (f)
		resize(f);
	else
		stats.nothing++;
}

static void check_pages(struct file *f)
{
	long pages = secret_pages(f->fd), there = 0;

	if (pages < 0 && stock)
		return;
	for (size_t i = 0; i < FILE_PAGES; i++)
		there += f->there[i];
	if (pages < there || pages > (long)file_pages(f))
		wrong("file %td has %ld pages, of %zu, and %ld were seen", f - files, pages,
		      file_pages(f), there);
}

void op_allocate(void)
{
	struct file *f = draw_file();
	size_t from = draw(FILE_PAGES * 2), end, len = draw_pages(FILE_PAGES) * PAGE;
	int mode = draw(2) ? FALLOC_FL_KEEP_SIZE : 0, err = 0;

	if (!f) {
		stats.nothing++;
		return;
	}
	/* Mostly within the file, and mostly whole pages */
	from = file_pages(f) ? from % (file_pages(f) + 1) * PAGE : 0;
	if (!draw(4))
		from += draw(PAGE);
	if (!draw(4))
		len -= draw(PAGE);
	if (!draw(32))
		len = 0;
	if (f->size && from + len > f->size && draw(8) && from < f->size)
		len = f->size - from;
	/* This sets the size */
	if (!f->size && from + len > FILE_PAGES * PAGE)
		from = 0;
	end = from + len;
	say("file %td %zu+%zu%s", f - files, from, len, mode ? " keep" : "");

	if (!len)
		err = EINVAL;
	else if (stock)
		err = EOPNOTSUPP;
	else if (!f->size && !mode)
		f->size = end;
	else if (end > f->size)
		err = EINVAL;
	if (expect_had("fallocate", fallocate(f->fd, mode, from, len), err)) {
		for (size_t i = from / PAGE; i < (end + PAGE - 1) / PAGE; i++)
			f->there[i] = true;
	}
	check_pages(f);
}

void op_punch(void)
{
	struct file *f = draw_file();
	size_t page = draw(FILE_PAGES * 2), nr = draw_pages(FILE_PAGES);
	bool whole = !draw(16);
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, err = stock ? EOPNOTSUPP : 0;
	off_t odd = 0;

	if (!f) {
		stats.nothing++;
		return;
	}
	page = whole ? 0 : page % (file_pages(f) + 8);
	nr = whole ? FILE_PAGES : nr;
	switch (draw(32)) {
	case 0:
		mode = FALLOC_FL_PUNCH_HOLE;
		err = EOPNOTSUPP;
		break;
	case 1:
		mode = FALLOC_FL_ZERO_RANGE;
		err = EOPNOTSUPP;
		break;
	case 2:
		mode = FALLOC_FL_COLLAPSE_RANGE;
		err = EOPNOTSUPP;
		break;
	case 3:
	case 4:
		odd = 1 + draw(PAGE - 1);
		err = stock ? EOPNOTSUPP : EINVAL;
		break;
	}
	say("file %td %zu+%zu mode %x odd %jd", f - files, page, nr, mode, (intmax_t)odd);
	expect("fallocate", fallocate(f->fd, mode, page * PAGE + odd, nr * PAGE), err);
	if (err)
		return;
	file_forget(f, page, nr);
	check_pages(f);
	if (!page && nr >= file_pages(f) && secret_pages(f->fd))
		wrong("all of file %td was punched, and it has %ld pages", f - files,
		      secret_pages(f->fd));
}

/* A descriptor to a socket and back: -1 where this kernel has none. */
static int through_socket(int fd, bool cloexec, bool *closed)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		/* Without sockets, and without those of UNIX */
		if (errno != ENOSYS && errno != EAFNOSUPPORT)
			wrong("socketpair: %s", strerror(errno));
		return -1;
	}
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	expect("sendmsg", sendmsg(ends[0], &msg, 0), 0);
	/* For a moment nobody has it but the socket */
	close(fd);
	*closed = true;
	expect("recvmsg", recvmsg(ends[1], &msg, cloexec ? MSG_CMSG_CLOEXEC : 0), 0);
	head = CMSG_FIRSTHDR(&msg);
	if (!head || head->cmsg_type != SCM_RIGHTS)
		wrong("no descriptor came");
	memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	close(ends[0]);
	close(ends[1]);
	return fd;
}

/* Another descriptor of the file, and the first one is closed. */
void op_pass(void)
{
	struct file *f = draw_file();
	bool cloexec = draw(2), closed = false;
	unsigned int way = draw(3);
	int fd = -1, pid;

	if (!f) {
		stats.nothing++;
		return;
	}
	say("file %td way %u%s", f - files, way, cloexec ? " O_CLOEXEC" : "");
	if (way == 0) {
		fd = through_socket(f->fd, cloexec, &closed);
		stats.no_socket += fd < 0;
	} else if (way == 1) {
		pid = syscall(SYS_pidfd_open, getpid(), 0);
		fd = syscall(SYS_pidfd_getfd, pid, f->fd, 0);
		expect("pidfd_getfd", fd, 0);
		close(pid);
		/* It has no other */
		cloexec = true;
	}
	if (fd < 0) {
		fd = fcntl(f->fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
		expect("fcntl", fd, 0);
	}
	if (!closed)
		expect("close", close(f->fd), 0);
	f->fd = fd;
	f->cloexec = cloexec;
}

void file_close(struct file *f)
{
	expect("close", close(f->fd), 0);
	f->fd = -1;
	f->used = f->slots;
}

void file_drop(struct file *f)
{
	struct range r = {};

	if (f->fd >= 0)
		file_close(f);
	for (; f->used && r.start < SLOTS; r.start += r.nr) {
		for (r.nr = 0; r.start + r.nr < SLOTS && slots[r.start + r.nr].file == f - files;)
			r.nr++;
		if (!r.nr) {
			r.nr = 1;
			continue;
		}
		expect("munmap", munmap(slot_mem(r.start), r.nr * PAGE), 0);
		reserve(r);
	}
}

void op_close(void)
{
	struct file *f = draw_file();
	bool drop = draw(2);

	if (!f) {
		stats.nothing++;
		return;
	}
	say("file %td%s", f - files, drop ? " and its mappings" : "");
	if (drop)
		file_drop(f);
	else
		file_close(f);
}

static long locked_pages(void)
{
	return read_meminfo("Secretmem") / 4;
}

void op_count(void)
{
	long sum = 0, all = locked_pages();
	bool closed = false;

	for (int i = 0; i < FILES; i++) {
		struct file *f = &files[i];

		if (!f->used)
			continue;
		if (f->fd >= 0) {
			check_pages(f);
			sum += secret_pages(f->fd);
		} else {
			closed = true;
		}
	}
	if (!stock && (closed ? sum > all : sum != all))
		wrong("files have %ld pages, and %ld are secret", sum, all);
}

static void set_limit(size_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	if (!stock)
		expect("setrlimit", setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

void no_limit(void)
{
	set_limit(RLIM_INFINITY);
}

/* Until the next time. The stock kernel counts mappings by it, too. */
void op_limit(void)
{
	bool none = draw(4);
	size_t pages = draw_pages(FILES * FILE_PAGES);

	say("%zu", none ? 0 : pages);
	set_limit(none ? RLIM_INFINITY : pages * PAGE);
}

void op_exact(void)
{
	size_t pages = draw_pages(64);
	struct rlimit old;
	int fd;

	say("%zu", pages);
	if (stock)
		return;
	getrlimit(RLIMIT_MEMLOCK, &old);
	set_limit((locked_pages() + pages) * PAGE);
	fd = memfd_secret(O_CLOEXEC);
	expect("memfd_secret", fd, 0);
	expect("fallocate", fallocate(fd, 0, 0, pages * PAGE), 0);
	close(fd);
	fd = memfd_secret(O_CLOEXEC);
	expect("memfd_secret", fd, 0);
	expect("fallocate", fallocate(fd, 0, 0, (pages + 1) * PAGE), ENOSPC);
	close(fd);
	setrlimit(RLIMIT_MEMLOCK, &old);
}
