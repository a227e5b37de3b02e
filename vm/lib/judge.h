/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For programs of several files that try memory off the direct map for long: what is
 * drawn, what is judged, and whether all was given back. A program is linked with
 * those files of vm/lib/ from which it uses something.
 */
#ifndef JUDGE_H
#define JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/claim.h"
#include "lib/draw.h"
#include "program.h"
#include "unmapped_util.h"

#define SKIP		4
#define PAGE		4096UL
#define BLOCK_PAGES	((long)(BLOCK_SIZE / PAGE))
#define DEBUGFS		"/sys/kernel/debug/"

/* judge.c: what is in claim.h, too */
/* In a process of its own, so that all of it is given back. */
void in_child(void (*what)(void));
/* Memory that other processes are to see, zero. */
void *shared_memory(size_t size);

/* end.c: what was before, what the kernel counted since, and the end */
struct flips {
	long failed, unmapped, remapped;
};

struct run {
	struct snapshot before;
	struct flips flips;
	long kills;
	int kmsg;
};

/* NULL, or why there is nothing to be tried here. */
const char *run_missing(void);
struct run run_begin(void);
struct flips flips_now(void);
struct flips flips_since(const struct run *run);
/* Nothing fails any more, and all is given back: is it? */
void judge_end(const struct run *run);

#endif /* JUDGE_H */
