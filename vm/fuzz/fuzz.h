/* SPDX-License-Identifier: GPL-2.0-only */
/* What the chapters of fuzz share: what they do, and the model of what comes of it. */
#ifndef FUZZ_H
#define FUZZ_H

#include "lib/judge.h"

/* C libraries may be older than that */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

/*
 * At most that many files of that many pages: 64 MiB in all, so that memory is not
 * short by itself.
 */
#define FILES		8
#define FILE_PAGES	2048UL
/* The arena, in pages: mappings of files have no other place for long. */
#define SLOTS		8192UL
/* Pages that one operation looks at or writes */
#define MOST_PAGES	512UL
/* ... and signals that it is to see: they take long, and one is like another */
#define MOST_SIGNALS	4
#define WORDS		(PAGE / sizeof(uint64_t))

/* A file, with what each of its pages holds: its tag in each word, or zeros. */
struct file {
	bool used;
	int fd;				/* -1: closed, and mapped */
	bool cloexec;
	size_t size;			/* bytes; 0: not set yet */
	unsigned long slots;		/* where it is mapped */
	uint64_t tag[FILE_PAGES];
	bool there[FILE_PAGES];		/* surely: no access can fail for want of memory */
};

extern struct file files[FILES];

/* A page of the arena. */
struct slot {
	signed char file;		/* NONE: nothing but reserved address space */
	unsigned char prot;
	bool guard;			/* MADV_GUARD_INSTALL */
	bool alone;			/* MADV_DONTFORK */
	unsigned int page;		/* of the file, or beyond it */
};

#define NONE		(-1)

extern struct slot slots[SLOTS];
extern char *arena;

struct range {
	size_t start, nr;
};

/* The kernel has no unmapped blocks: no fallocate(2), and all mappings are VM_LOCKED. */
extern bool stock;

/* main.c: the line of an operation, which is hashed; and what failed */
__attribute__((format(printf, 1, 2))) void say(const char *fmt, ...);
__attribute__((format(printf, 1, 2), noreturn)) void wrong(const char *fmt, ...);
/* A system call that is to succeed (@err 0), or to fail so. */
void expect(const char *call, long result, int err);
/* The same, and memory may be what it lacks: did it succeed? */
bool expect_had(const char *call, long result, int err);

struct stats {
	unsigned long refused;		/* system calls, as expected */
	unsigned long faults;		/* signals, as expected */
	unsigned long had, not_had;	/* pages accessed */
	unsigned long lacked;		/* system calls that lacked memory */
	unsigned long children, killed;
	unsigned long nothing;		/* operations for which there was nothing */
	unsigned long no_socket;
};

extern struct stats stats;

/* model.c */
void model_begin(void);
char *slot_mem(size_t nr);
static inline size_t file_pages(const struct file *f)
{
	return (f->size + PAGE - 1) / PAGE;
}
void slot_set(size_t nr, struct slot slot);
/* Only reserved address space is there from now on: in the model, and in truth. */
void reserve(struct range r);
/* What a file has there is gone. */
void file_forget(struct file *f, size_t page, size_t nr);
/* As often 1 to 2 as 1024 to 2048, and so on; @most at most. */
size_t draw_pages(size_t most);
/* Somewhere, and often something is mapped there. */
struct range draw_range(size_t most);
/* The same, and often it can be written. */
struct range draw_writable(size_t most);
/* The first part of it in which files are mapped. */
struct range mapped_part(struct range r);
/* The first part of it that is one mapping, for the kernel too. */
struct range one_mapping(struct range r);
/* What comes of an access: 0, SIGSEGV or SIGBUS. */
int slot_signal(const struct slot *s, bool write);
/* An open file, or NULL. */
struct file *draw_file(void);
/* A tag that no page has. */
uint64_t new_tag(void);

/* page.c: access to pages */
enum access {
	LOOK,		/* all of it is read */
	TOUCH,		/* a word is written that was so before, then all of it is read */
	WRITE,		/* the same, and then the tag is written */
	WRITE_ANYHOW,	/* the tag is written, whatever was there */
};

void page_begin(void);
/* 0 or the signal; @odd: the first word that is not as it should be, or WORDS. */
int page_access(void *mem, enum access how, uint64_t was, uint64_t tag, size_t *odd);
/* As the model has it: was the page had? */
bool slot_access(size_t nr, enum access how, uint64_t tag);
/* Each word of a page is @was or @tag. */
bool page_mixed(size_t nr, uint64_t was, uint64_t tag);
void op_look(void);
void op_touch(void);
void op_write(void);
void op_pipe(void);
void op_refused(void);
/* All that the files of the model have. */
void op_verify(void);

/* file.c */
void op_create(void);
void op_resize(void);
void op_allocate(void);
void op_punch(void);
void op_pass(void);
void op_close(void);
void op_count(void);
void op_limit(void);
/* So many pages count as locked, and not one more. */
void op_exact(void);
void no_limit(void);
void file_close(struct file *f);
void file_drop(struct file *f);

/* map.c */
void op_map(void);
void op_unmap(void);
void op_protect(void);
void op_remap(void);
void op_advise(void);

/* proc.c */
void proc_begin(void);
void op_fork(void);
void op_kill(void);
void op_race(void);
void op_exec(void);
/* What is executed: is that descriptor open, or not, as it should be? */
int executed(const char *fd, const char *open);

#endif /* FUZZ_H */
