// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory: a guest_memfd, and what this kernel says of its pages. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "guest.h"
#include "unmapped_util.h"

#ifndef GUEST_MEMFD_FLAG_NO_DIRECT_MAP
#define GUEST_MEMFD_FLAG_NO_DIRECT_MAP	(1ULL << 2)
#endif
#define KPF_NO_DIRECT_MAP	27

static long splits(void)
{
	return read_vmstat("direct_map_level2_splits") + read_vmstat("direct_map_level3_splits");
}

void memory_create(struct memory *m)
{
	struct kvm_create_guest_memfd create = {
		.size = m->size,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED |
			 (m->no_direct_map ? GUEST_MEMFD_FLAG_NO_DIRECT_MAP : 0),
	};
	long shootdowns = read_vmstat("direct_map_shootdown"), split = splits();
	int flags = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD_FLAGS);

	if (flags < 0 || create.flags & ~(uint64_t)flags)
		end(UNSUPPORTED, "this kernel's guest_memfd cannot do that: flags %#x", flags);
	m->fd = ioctl(vm, KVM_CREATE_GUEST_MEMFD, &create);
	if (m->fd < 0)
		fail("KVM_CREATE_GUEST_MEMFD");
	/* All at once, so that the kernel knows how much is going to be taken. */
	if (fallocate(m->fd, FALLOC_FL_KEEP_SIZE, 0, m->size))
		fail("cannot allocate guest memory");
	say("allocated: pages %zu shootdowns %ld splits %ld", m->size / PAGE,
	    read_vmstat("direct_map_shootdown") - shootdowns, splits() - split);
	m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->map == MAP_FAILED)
		fail("cannot map guest memory");
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &(struct kvm_userspace_memory_region2){
			.flags = KVM_MEM_GUEST_MEMFD, .guest_memfd = m->fd,
			.userspace_addr = (uintptr_t)m->map, .memory_size = m->size }))
		fail("KVM_SET_USER_MEMORY_REGION2");
}

/*
 * guest_memfd has pwrite() for memory off the direct map only; where that is zapped page by
 * page (bench/zap/zap.patch) it has none.
 */
void memory_write(const struct memory *m, size_t where, const void *what, size_t size)
{
	ssize_t written = -1;

	if (where > m->size || size > m->size - where)
		end(FAILED, "%zu bytes at %#zx are beyond guest memory", size, where);
	if (m->no_direct_map)
		written = pwrite(m->fd, what, size, where);
	if (!m->no_direct_map || (written < 0 && errno == ESPIPE))
		memcpy(m->map + where, what, size);
	else if (written != (ssize_t)size)
		fail("pwrite() to guest memory");
}

/*
 * How many pages are off the direct map, and how many have @word: for us, by our
 * mapping, and of these for who reads the direct map.
 */
void memory_look(const struct memory *m, const char *word)
{
	int flags = open("/proc/kpageflags", O_RDONLY), kcore = open("/proc/kcore", O_RDONLY);
	size_t pages = m->size / PAGE, off = 0, ours = 0, direct = 0;
	uint64_t *pfns = calloc(pages, sizeof(*pfns)), flag;
	static char page[PAGE];
	off_t where;

	/* A page that is not in our page table has no number in pagemap. */
	for (size_t i = 0; i < pages; i++)
		(void)*(volatile char *)(m->map + i * PAGE);
	if (flags < 0 || kcore < 0 || !pfns || !read_pfns(m->map, pfns, pages))
		fail("cannot see which pages the guest has");
	for (size_t i = 0; i < pages; i++) {
		if (pread(flags, &flag, sizeof(flag), pfns[i] * sizeof(flag)) != sizeof(flag))
			fail("/proc/kpageflags");
		off += flag >> KPF_NO_DIRECT_MAP & 1;
		if (!memmem(m->map + i * PAGE, PAGE, word, strlen(word)))
			continue;
		ours++;
		where = kcore_offset(kcore, pfns[i] * PAGE);
		if (!where || pread(kcore, page, PAGE, where) != PAGE)
			fail("/proc/kcore");
		direct += memmem(page, PAGE, word, strlen(word)) != NULL;
	}
	say("looked: pages %zu off %zu word %zu direct %zu", pages, off, ours, direct);
}
