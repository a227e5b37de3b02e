// SPDX-License-Identifier: GPL-2.0-only
/* Mappings: made, split, moved, advised about. */
#include "fuzz.h"

static int draw_prot(void)
{
	switch (draw(8)) {
	case 0:
		return PROT_NONE;
	case 1:
		return PROT_READ;
	default:
		return PROT_READ | PROT_WRITE;
	}
}

static int address_error(const void *mem)
{
	return mem == MAP_FAILED ? -1 : 0;
}

/* What the kernel has put elsewhere comes into the arena. */
static void bring(void *mem, struct range to)
{
	void *at = mremap(mem, to.nr * PAGE, to.nr * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			  slot_mem(to.start));

	expect("mremap", address_error(at), 0);
}

static void map_slots(struct range to, struct slot first)
{
	for (size_t i = 0; i < to.nr; i++, first.page++)
		slot_set(to.start + i, first);
}

/* What must not be. */
static void map_refused(struct file *f)
{
	const struct {
		int prot, flags, err;
		off_t at;
	} all[] = {
		{ PROT_READ, MAP_PRIVATE, EINVAL, 0 },
		{ PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, EINVAL, 0 },
		{ PROT_READ | PROT_EXEC, MAP_SHARED, EPERM, 0 },
		{ PROT_READ, MAP_SHARED, EINVAL, 1 },
		{ PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, EOPNOTSUPP, 0 },
		/* All of the arena is mapped */
		{ PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, EEXIST, 0 },
	};
	size_t nr = draw(sizeof(all) / sizeof(*all));

	say("refused %zu", nr);
	expect("mmap", address_error(mmap(all[nr].flags & MAP_FIXED_NOREPLACE ? arena : NULL,
					  8 * PAGE, all[nr].prot, all[nr].flags, f->fd,
					  all[nr].at)), all[nr].err);
}

void op_map(void)
{
	struct file *f = draw_file();
	struct range to = { .start = draw(SLOTS), .nr = draw_pages(FILE_PAGES) };
	size_t page = draw(4) ? draw(FILE_PAGES * 2) : 0;
	int prot = draw_prot(), flags = draw(8) ? MAP_SHARED : MAP_SHARED_VALIDATE;
	bool fixed = draw(4), within = draw(8);
	void *mem;

	flags |= draw(4) ? 0 : MAP_POPULATE;
	if (!f) {
		stats.nothing++;
		return;
	}
	if (!draw(12)) {
		map_refused(f);
		return;
	}
	/* Sometimes beyond its end */
	page %= file_pages(f) + 4;
	if (to.nr + page > file_pages(f) && page < file_pages(f) && within)
		to.nr = file_pages(f) - page;
	if (to.nr > SLOTS - to.start)
		to.nr = SLOTS - to.start;
	say("file %td page %zu to %zu+%zu prot %d flags %x%s", f - files, page, to.start, to.nr,
	    prot, flags, fixed ? "" : " by way of elsewhere");
	mem = mmap(fixed ? slot_mem(to.start) : NULL, to.nr * PAGE, prot,
		   flags | (fixed ? MAP_FIXED : 0), f->fd, page * PAGE);
	expect("mmap", address_error(mem), 0);
	if (!fixed)
		bring(mem, to);
	map_slots(to, (struct slot) {
		.file = f - files, .prot = prot, .page = page,
	});
}

void op_unmap(void)
{
	struct range r = draw_range(FILE_PAGES);
	size_t odd, nr = r.start + draw(r.nr);

	say("%zu+%zu", r.start, r.nr);
	expect("munmap", munmap(slot_mem(r.start), r.nr * PAGE), 0);
	if (page_access(slot_mem(nr), LOOK, 0, 0, &odd) != SIGSEGV)
		wrong("slot %zu is there without a mapping", nr);
	reserve(r);
}

void op_protect(void)
{
	struct range r = mapped_part(draw_range(FILE_PAGES));
	int prot = draw_prot();
	bool exec = !draw(16);

	if (!r.nr) {
		stats.nothing++;
		return;
	}
	say("%zu+%zu prot %d%s", r.start, r.nr, prot, exec ? " exec" : "");
	expect("mprotect", mprotect(slot_mem(r.start), r.nr * PAGE, prot | (exec ? PROT_EXEC : 0)),
	       exec ? EACCES : 0);
	for (size_t i = 0; i < r.nr && !exec; i++)
		slots[r.start + i].prot = prot;
}

enum remap {
	MOVE,			/* any number of mappings */
	GROW_THERE,		/* one mapping, with more of the file, or with less */
	SHRINK_THERE,
	GROW,			/* where it is, if there is room */
	SHRINK,
	ANYWHERE,		/* the kernel says where */
	KEEP,			/* and the old one stays, empty */
	TWICE,			/* a second one of the same */
	REMAPS
};

static const char * const remaps[REMAPS] = {
	"move", "grow there", "shrink there", "grow", "shrink", "anywhere", "keep", "twice",
};

static bool overlap(struct range a, struct range b)
{
	return a.start < b.start + b.nr && b.start < a.start + a.nr;
}

/* All that is mapped at @from, from now on at @to; if that is larger, more of the file. */
static void move_slots(struct range from, struct range to, enum remap how)
{
	static struct slot moved[SLOTS];

	for (size_t i = 0; i < to.nr; i++) {
		moved[i] = slots[from.start + (i < from.nr ? i : 0)];
		if (i >= from.nr)
			moved[i].page += i;
		if (i >= from.nr || how == TWICE)
			moved[i].guard = false;
	}
	for (size_t i = 0; i < to.nr; i++)
		slot_set(to.start + i, moved[i]);
	if (how == TWICE)
		return;
	if (how != KEEP) {
		reserve(from);
		return;
	}
	for (size_t i = 0; i < from.nr; i++)
		slots[from.start + i].guard = false;
}

static void remap_there(struct range from, struct range to, enum remap how)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (how == KEEP ? MREMAP_DONTUNMAP : 0);
	size_t old = how == TWICE ? 0 : from.nr;
	bool overlaps = overlap(from, to);

	/* To where it would destroy what it is to be made of */
	if (overlaps && how == TWICE) {
		stats.nothing++;
		return;
	}
	expect("mremap", address_error(mremap(slot_mem(from.start), old * PAGE, to.nr * PAGE,
					      flags, slot_mem(to.start))),
	       overlaps ? EINVAL : 0);
	if (!overlaps)
		move_slots(from, to, how);
}

static void remap_anywhere(struct range from, struct range to)
{
	void *mem;

	if (overlap(from, to)) {
		stats.nothing++;
		return;
	}
	mem = mremap(slot_mem(from.start), from.nr * PAGE, to.nr * PAGE, MREMAP_MAYMOVE);
	expect("mremap", address_error(mem), 0);
	if (mem == slot_mem(from.start))
		wrong("mremap has found room where there is none");
	bring(mem, to);
	move_slots(from, to, ANYWHERE);
}

static void grow(struct range r, size_t more)
{
	struct slot next;
	size_t end, room;

	/* As far as it goes */
	r.nr = SLOTS - r.start;
	r = one_mapping(r);
	end = r.start + r.nr;
	for (room = 0; room < more && end + room < SLOTS && slots[end + room].file == NONE;)
		room++;
	say("%zu more, room for %zu", more, room);
	if (room)
		munmap(slot_mem(end), room * PAGE);
	expect("mremap", address_error(mremap(slot_mem(r.start), r.nr * PAGE,
					      (r.nr + more) * PAGE, 0)),
	       room == more ? 0 : ENOMEM);
	if (room < more) {
		reserve((struct range) { end, room });
		return;
	}
	next = slots[end - 1];
	next.guard = false;
	next.page++;
	map_slots((struct range) { end, room }, next);
}

void op_remap(void)
{
	enum remap how = draw(REMAPS);
	struct range from = draw_range(FILE_PAGES), to = { .start = draw(SLOTS) };
	size_t other = draw_pages(FILE_PAGES), less;

	from = how == MOVE ? mapped_part(from) : one_mapping(from);
	if (!from.nr) {
		stats.nothing++;
		return;
	}
	less = 1 + other % from.nr;
	to.nr = from.nr;
	if (how == GROW_THERE || how == ANYWHERE)
		to.nr += other;
	else if (how == SHRINK_THERE || how == SHRINK)
		to.nr = less;
	else if (how == TWICE)
		to.nr = other;
	if (to.start + to.nr > SLOTS)
		to.start = SLOTS - to.nr;
	say("%s %zu+%zu to %zu+%zu", remaps[how], from.start, from.nr, to.start, to.nr);

	switch (how) {
	case GROW:
		grow(from, other);
		break;
	case SHRINK:
		expect("mremap", address_error(mremap(slot_mem(from.start), from.nr * PAGE,
						      less * PAGE, 0)), 0);
		reserve((struct range) { from.start + less, from.nr - less });
		break;
	case ANYWHERE:
		remap_anywhere(from, to);
		break;
	default:
		remap_there(from, to, how);
	}
}

/* Page for page, as it is when all are populated: the error of the first that is not. */
static int populate_error(struct range r, bool write, bool mlock, bool *lacking)
{
	*lacking = false;
	for (size_t i = 0; i < r.nr; i++) {
		const struct slot *s = &slots[r.start + i];

		/* For the stock kernel it is as if somebody took references */
		if (stock || !(s->prot & (write ? PROT_WRITE : PROT_READ)))
			return mlock ? ENOMEM : EINVAL;
		if (slot_signal(s, write))
			return mlock ? ENOMEM : EFAULT;
		*lacking = *lacking || !files[s->file].there[s->page];
	}
	return 0;
}

static void populate(struct range r, const char *name, int advice)
{
	bool write = advice == MADV_POPULATE_WRITE, lock = !advice, lacking;
	int err = populate_error(r, write, lock, &lacking);
	long result;

	if (lock)
		result = mlock(slot_mem(r.start), r.nr * PAGE);
	else
		result = madvise(slot_mem(r.start), r.nr * PAGE, advice);
	/* Memory may have been short before it came to what was expected */
	if (result && lacking && errno == (lock ? ENOMEM : EFAULT)) {
		say("%s", name);
		stats.lacked++;
		return;
	}
	expect(name, result, err);
	for (size_t i = 0; i < r.nr && !err; i++)
		files[slots[r.start + i].file].there[slots[r.start + i].page] = true;
	if (lock)
		expect("munlock", munlock(slot_mem(r.start), r.nr * PAGE), 0);
}

/* What comes of an advice for a page, and what becomes of it. */
static int advise_slot(struct slot *s, int advice)
{
	switch (advice) {
	case MADV_REMOVE:
		if (stock)
			return EOPNOTSUPP;
		file_forget(&files[s->file], s->page, 1);
		return 0;
	case MADV_GUARD_INSTALL:
		s->guard = true;
		return 0;
	case MADV_GUARD_REMOVE:
		s->guard = false;
		return 0;
	case MADV_DONTFORK:
		s->alone = true;
		return 0;
	case MADV_DOFORK:
		s->alone = false;
		return 0;
	case MADV_FREE:
	case MADV_COLLAPSE:
	case MADV_WIPEONFORK:
		return EINVAL;
	}
	return 0;
}

void op_advise(void)
{
	static const struct {
		const char *name;
		int advice;
	} all[] = {
		{ "REMOVE", MADV_REMOVE },
		{ "DONTNEED", MADV_DONTNEED },
		{ "DONTNEED_LOCKED", MADV_DONTNEED_LOCKED },
		{ "POPULATE_READ", MADV_POPULATE_READ },
		{ "POPULATE_WRITE", MADV_POPULATE_WRITE },
		{ "mlock", 0 },
		{ "GUARD_INSTALL", MADV_GUARD_INSTALL },
		{ "GUARD_REMOVE", MADV_GUARD_REMOVE },
		/* Twice, so that there are not too many guard pages */
		{ "GUARD_REMOVE", MADV_GUARD_REMOVE },
		{ "DONTFORK", MADV_DONTFORK },
		{ "DOFORK", MADV_DOFORK },
		{ "COLD", MADV_COLD },
		{ "PAGEOUT", MADV_PAGEOUT },
		{ "WILLNEED", MADV_WILLNEED },
		{ "COLLAPSE", MADV_COLLAPSE },
		{ "FREE", MADV_FREE },
		{ "WIPEONFORK", MADV_WIPEONFORK },
	};
	size_t nr = draw(sizeof(all) / sizeof(*all));
	int advice = all[nr].advice, err = 0;
	struct range r = mapped_part(draw_range(FILE_PAGES));

	if (!r.nr) {
		stats.nothing++;
		return;
	}
	say("%zu+%zu", r.start, r.nr);
	if (!advice || advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
		populate(r, all[nr].name, advice);
		return;
	}
	/* Mappings before the first that is refused are advised about */
	for (size_t i = 0; i < r.nr && !err; i++)
		err = advise_slot(&slots[r.start + i], advice);
	expect(all[nr].name, madvise(slot_mem(r.start), r.nr * PAGE, advice), err);
}
