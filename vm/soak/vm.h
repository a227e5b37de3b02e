/* SPDX-License-Identifier: GPL-2.0-only */
/* A virtual machine, and what its memory is like. */
#ifndef VM_H
#define VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shared with all machines: more than one thread counts */
struct vm_stats {
	unsigned long begun;	/* processes */
	unsigned long created;	/* machines that had all they need */
	unsigned long ran;	/* ... and whose code did */
	unsigned long passes;	/* times that a guest went through its memory */
	unsigned long ended;	/* machines that came to their end by themselves */
	unsigned long holes;	/* punched */
	unsigned long refused;	/* system calls that failed */
	unsigned long not_had;	/* pages */
	unsigned long dirty;	/* pages that were not zero */
	unsigned long lost;	/* ... that did not keep what was written */
	unsigned long wrong;	/* what nobody expects */
};

#define VM_VCPUS	2
#define VM_TAGS		4095
/* MiB, less than that */
#define VM_LARGEST	32

struct vcpu {
	struct vm *vm;
	pthread_t thread;
	struct kvm_run *run;
	int fd, passes;
};

struct vm {
	struct vm_stats *st;
	int kvm, fd, mem;
	size_t pages;		/* of its memory */
	size_t span;		/* bytes that the virtual CPUs go through */
	size_t holes;		/* the first page of those that holes are punched in */
	char *map;
	uint32_t tag;
	int nr_vcpus, passes, running;
	struct vcpu vcpus[VM_VCPUS];
};

/* vm.c. NULL, or why there can be none. */
const char *vm_missing(void);
/* A machine, as a process that may be killed. */
int vm_proc(struct vm_stats *st);
/* One more, by any thread of any process: how many there are. */
unsigned long vm_count(unsigned long *what);
/* A system call failed: counted where memory is what it lacked, wrong otherwise. */
void vm_refused(struct vm *vm, const char *what);

/*
 * guest.c. The first page of the guest's memory is its code, with two words at the
 * end. A table has a byte a page. The others are gone through, over and over: by a
 * virtual CPU, or each second one by each of two. The word that is written to a page
 * has the number of the pass in the upper bits, then the address, then the tag.
 */
#define GUEST_FIRST	3		/* page of those */
#define GUEST_PASS	0x2000000	/* one of the number of the pass */

/* What the guest says, by writing to a port */
#define PORT_RUNS	0x10
#define PORT_PASS	0x11
#define PORT_DIRTY	0x12
#define PORT_LOST	0x13

/* Code, table, and some pages that the guest is to find written. */
bool guest_load(struct vm *vm);
/* A page in which no holes are punched: what the host sees is what the guest wrote. */
void guest_check(struct vm *vm, size_t nr);

#endif /* VM_H */
