/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine from outside: QEMU's monitor, and page tables read through it. */
#ifndef QMP_H
#define QMP_H

#include <stdint.h>

#define PAGE_SHIFT	12
#define PAGE_SIZE	(1UL << PAGE_SHIFT)

/* Entries of x86-64 page tables */
#define PRESENT		(1ULL << 0)
#define LARGE		(1ULL << 7)
#define ADDRESS		0x000ffffffffff000ULL
#define CR4_LA57	(1UL << 12)

/* Ends the machine too, so that it does not wait for an answer. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);

/* A socket that appears once QEMU runs */
int connect_to(const char *path);

void qmp_open(const char *path);
__attribute__((format(printf, 1, 2))) void qmp_send(const char *fmt, ...);
char *qmp_answer(void);
void qmp(const char *command);
void hmp(int cpu, const char *command);

/* A control register of a CPU: "CR3=" */
unsigned long control_register(int cpu, const char *name);
void read_table(uint64_t table, uint64_t entry[512]);

#endif /* QMP_H */
