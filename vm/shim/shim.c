// SPDX-License-Identifier: GPL-2.0-only
/*
 * LD_PRELOAD for dynamic programs: large pieces of memory become secret memory.
 *
 * What a program asks for in pieces of 64 KiB or more, by malloc() and its relatives or
 * as an anonymous, private, writable mapping, is memfd_secret(2) memory, a file of its
 * own each. If there is none to be had the request fails; and RLIMIT_MEMLOCK limits what
 * can be touched. At exit the name of the program, how many such areas and how many
 * bytes it was given are added, a line a process, to the file that SECRET_SHIM_REPORT
 * names.
 *
 * Ordinary memory stays what is smaller, stacks and data segments, what glibc maps for
 * itself, and what is mapped with MAP_FIXED or without PROT_WRITE and changed later.
 *
 * Secret memory is not quite anonymous memory:
 *
 * - It can only be mapped MAP_SHARED. After fork(), child and parent have the same
 *   memory, not two copies of it: this is for programs that do not fork, or where the
 *   child does nothing but exec().
 * - The kernel does not get at it by itself: O_DIRECT, vmsplice(), futexes that are
 *   shared between processes, and debuggers fail with EFAULT. read() and write() work.
 * - It cannot be made executable.
 * - Where a part is unmapped, its pages are free only when the whole area is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

#define PAGE		4096UL
#define BLOCK		(2UL << 20)
#define LEAST		(64UL << 10)

/*
 * Addresses that nothing else is mapped at, unless somebody insists: by its address,
 * memory is known to be ours. None is used twice, so that no lock is needed.
 */
#define FIRST		0x100000000000UL
#define LAST		0x500000000000UL

/* What malloc() of glibc itself is when the name is ours */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

/* Before what malloc() returns, where that is ours */
struct header {
	void *area;
	size_t len;
};

static _Atomic uintptr_t next = FIRST;
static atomic_ulong nr_areas, nr_bytes;

static uintptr_t round_up(uintptr_t value, size_t align)
{
	return (value + align - 1) & -align;
}

static bool ours(const void *p)
{
	return (uintptr_t)p >= FIRST && (uintptr_t)p < LAST;
}

static bool secret_file(size_t len, void *at)
{
	int fd = syscall(__NR_memfd_secret, O_CLOEXEC);
	long area = -1;

	if (fd < 0)
		return false;
	if (!ftruncate(fd, len))
		area = syscall(SYS_mmap, at, len, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0L);
	close(fd);
	return area == (long)at;
}

/* Secret memory, or NULL. Between two areas there is a gap, which nobody may touch. */
static void *take(size_t len)
{
	uintptr_t at;

	if (len <= LAST - FIRST) {
		len = round_up(len, PAGE);
		/* A block is where the kernel can map a large folio */
		at = atomic_fetch_add(&next, round_up(len + PAGE, BLOCK));
		if (at + len < LAST && secret_file(len, (void *)at)) {
			atomic_fetch_add(&nr_areas, 1);
			atomic_fetch_add(&nr_bytes, len);
			return (void *)at;
		}
	}
	errno = ENOMEM;
	return NULL;
}

static void give_back(void *area, size_t len)
{
	syscall(SYS_munmap, area, len);
}

__attribute__((destructor))
static void report(void)
{
	const char *file = getenv("SECRET_SHIM_REPORT");
	int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	dprintf(fd, "%s %lu %lu\n", program_invocation_short_name, atomic_load(&nr_areas),
		atomic_load(&nr_bytes));
	close(fd);
}

static void *allocate(size_t align, size_t size)
{
	struct header *header;
	void *area;
	size_t len;
	char *p;

	if (__builtin_add_overflow(size, sizeof(*header) + align, &len) || len > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	area = take(len);
	if (!area)
		return NULL;
	p = (char *)round_up((uintptr_t)area + sizeof(*header), align);
	header = (struct header *)p - 1;
	header->area = area;
	header->len = round_up(len, PAGE);
	return p;
}

void *malloc(size_t size)
{
	if (size < LEAST)
		return __libc_malloc(size);
	return allocate(_Alignof(max_align_t), size);
}

void *calloc(size_t nr, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(nr, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	/* Secret memory is zero when it is new */
	return all < LEAST ? __libc_calloc(nr, size) : malloc(all);
}

void free(void *p)
{
	struct header *header = (struct header *)p - 1;

	if (ours(p))
		give_back(header->area, header->len);
	else
		__libc_free(p);
}

size_t malloc_usable_size(void *p)
{
	static size_t (*_Atomic of_libc)(void *p);
	struct header *header = (struct header *)p - 1;

	if (ours(p))
		return (char *)header->area + header->len - (char *)p;
	if (!of_libc)
		of_libc = (size_t (*)(void *))dlsym(RTLD_NEXT, "malloc_usable_size");
	return of_libc(p);
}

void *realloc(void *p, size_t size)
{
	size_t room;
	void *to;

	if (!ours(p) && size < LEAST)
		return __libc_realloc(p, size);
	if (!p)
		return malloc(size);
	if (!size) {
		free(p);
		return NULL;
	}
	room = malloc_usable_size(p);
	/* What was secret stays it, however little is left */
	if (ours(p) && size <= room)
		return p;
	to = malloc(size);
	if (to) {
		memcpy(to, p, room < size ? room : size);
		free(p);
	}
	return to;
}

void *memalign(size_t align, size_t size)
{
	if (size < LEAST)
		return __libc_memalign(align, size);
	if (align < _Alignof(max_align_t))
		align = _Alignof(max_align_t);
	if (align & (align - 1)) {
		errno = EINVAL;
		return NULL;
	}
	return allocate(align, size);
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **p, size_t align, size_t size)
{
	const int before = errno;
	void *new;

	if (!align || align % sizeof(void *) || align & (align - 1))
		return EINVAL;
	new = memalign(align, size);
	errno = before;
	if (!new)
		return ENOMEM;
	*p = new;
	return 0;
}

void *valloc(size_t size)
{
	return memalign(PAGE, size);
}

void *pvalloc(size_t size)
{
	return memalign(PAGE, round_up(size, PAGE));
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	/* These change nothing of what the memory is; an address is a wish, no more */
	const int kind = flags & ~(MAP_NORESERVE | MAP_STACK | MAP_POPULATE);

	if (len >= LEAST && prot == (PROT_READ | PROT_WRITE) &&
	    kind == (MAP_PRIVATE | MAP_ANONYMOUS)) {
		void *area = take(len);

		return area ? area : MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

/*
 * The size of a secret file is set once. What becomes larger moves to another, where
 * what is new is zero, as it would not be after it had become smaller in place.
 */
void *mremap(void *old, size_t old_len, size_t len, int flags, ...)
{
	void *to = NULL;
	va_list args;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(args, flags);
		to = va_arg(args, void *);
		va_end(args);
	}
	if (!ours(old))
		return (void *)syscall(SYS_mremap, old, old_len, len, flags, to);
	if (!old_len || !len || to) {
		errno = EINVAL;
		return MAP_FAILED;
	}
	old_len = round_up(old_len, PAGE);
	len = round_up(len, PAGE);
	if (len <= old_len) {
		if (len < old_len)
			give_back((char *)old + len, old_len - len);
		return old;
	}
	if (!(flags & MREMAP_MAYMOVE)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	to = take(len);
	if (!to)
		return MAP_FAILED;
	memcpy(to, old, old_len);
	give_back(old, old_len);
	return to;
}

/* What is not needed any longer is zero when it is looked at again. */
int madvise(void *addr, size_t len, int advice)
{
	if (!ours(addr) || (advice != MADV_DONTNEED && advice != MADV_FREE))
		return syscall(SYS_madvise, addr, len, advice);
	/* Not every kernel can free a part of a secret file */
	if (syscall(SYS_madvise, addr, len, MADV_REMOVE))
		memset(addr, 0, round_up(len, PAGE));
	return 0;
}
