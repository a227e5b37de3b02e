// SPDX-License-Identifier: GPL-2.0-only
/* What each page of a file holds, and what is mapped where. */
#include "fuzz.h"

struct file files[FILES];
struct slot slots[SLOTS];
char *arena;

static const struct slot reserved = { .file = NONE };

static void reserve_memory(struct range r)
{
	char *mem = mmap(arena ? slot_mem(r.start) : NULL, r.nr * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (arena ? MAP_FIXED : 0),
			 -1, 0);

	if (mem == MAP_FAILED)
		wrong("mmap of address space: %s", strerror(errno));
	if (!arena)
		arena = mem;
}

void model_begin(void)
{
	/* One page more, so that no mapping can grow beyond the arena */
	reserve_memory((struct range) { 0, SLOTS + 1 });
	for (size_t i = 0; i < SLOTS; i++)
		slots[i] = reserved;
}

char *slot_mem(size_t nr)
{
	return arena + nr * PAGE;
}

void slot_set(size_t nr, struct slot slot)
{
	struct slot *s = &slots[nr];
	struct file *old = s->file == NONE ? NULL : &files[s->file];

	if (slot.file != NONE)
		files[slot.file].slots++;
	*s = slot;
	if (old && !--old->slots && old->fd < 0)
		old->used = false;
}

void reserve(struct range r)
{
	if (!r.nr)
		return;
	reserve_memory(r);
	for (size_t i = 0; i < r.nr; i++)
		slot_set(r.start + i, reserved);
}

void file_forget(struct file *f, size_t page, size_t nr)
{
	for (size_t i = page; i < page + nr && i < FILE_PAGES; i++) {
		f->tag[i] = 0;
		f->there[i] = false;
	}
}

size_t draw_pages(size_t most)
{
	unsigned int shifts = 0;
	size_t nr;

	while (2UL << shifts < most)
		shifts++;
	nr = 1UL << draw(shifts + 1);
	nr += draw(nr + 1);
	return nr < most ? nr : most;
}

/* From a slot on, or from the next that is mapped, or can be written. */
static struct range draw_range_of(size_t most, bool writable)
{
	struct range r = { .start = draw(SLOTS) };
	size_t nr = draw_pages(most);

	if (draw(16)) {
		for (size_t i = 0; i < SLOTS && (writable ? slot_signal(&slots[r.start], true) :
						 slots[r.start].file == NONE); i++)
			r.start = (r.start + 1) % SLOTS;
	}
	r.nr = nr < SLOTS - r.start ? nr : SLOTS - r.start;
	return r;
}

struct range draw_range(size_t most)
{
	return draw_range_of(most, false);
}

struct range draw_writable(size_t most)
{
	return draw_range_of(most, draw(8));
}

struct range mapped_part(struct range r)
{
	size_t nr = 0;

	while (nr < r.nr && slots[r.start + nr].file != NONE)
		nr++;
	return (struct range) { r.start, nr };
}

struct range one_mapping(struct range r)
{
	const struct slot *first = &slots[r.start];
	size_t nr = 0;

	r = mapped_part(r);
	for (; nr < r.nr; nr++) {
		const struct slot *s = &slots[r.start + nr];

		/* Guard pages do not matter */
		if (s->file != first->file || s->page != first->page + nr ||
		    s->prot != first->prot || s->alone != first->alone)
			break;
	}
	return (struct range) { r.start, nr };
}

int slot_signal(const struct slot *s, bool write)
{
	if (s->file == NONE || s->guard || !(s->prot & (write ? PROT_WRITE : PROT_READ)))
		return SIGSEGV;
	return s->page < file_pages(&files[s->file]) ? 0 : SIGBUS;
}

struct file *draw_file(void)
{
	unsigned int nr = draw(FILES);

	for (int i = 0; i < FILES; i++) {
		struct file *f = &files[(nr + i) % FILES];

		if (f->used && f->fd >= 0)
			return f;
	}
	return NULL;
}

uint64_t new_tag(void)
{
	static uint64_t tags;

	/* Odd times odd is never 0, and no tag is like the next */
	return (++tags << 1 | 1) * 0x9e3779b97f4a7c15ULL;
}
