/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of this small virtual machine monitor share. */
#ifndef GUEST_H
#define GUEST_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How it ended: the exit status */
enum { TURNED_OFF, FAILED, USAGE, UNSUPPORTED = 4, RESET = 10, TRIPLE_FAULT };

#define say(format, ...)	fprintf(stderr, "guest: " format "\n", ##__VA_ARGS__)
#define end(status, ...)	do { say(__VA_ARGS__); _exit(status); } while (0)
#define fail(what)		end(FAILED, "%s: %s", what, strerror(errno))

#define MAX_CPUS	8
#define PAGE		4096UL

/* In guest memory: what the first processor starts with */
#define GDT		0x500UL
#define BOOT_PARAMS	0x7000UL
#define PAGE_TABLES	0x9000UL

/* I/O ports that ACPI tells the guest about, and main.c answers */
#define PM1_EVENT	0x600
#define PM1_CONTROL	0x604
#define SLEEP_TYPE_OFF	5

/* main.c: the virtual machine */
extern int vm;

/* memory.c */
struct memory {
	int fd;			/* the guest_memfd */
	char *map;		/* all of it */
	size_t size;
	bool no_direct_map;
};

void memory_create(struct memory *m);
void memory_write(const struct memory *m, size_t where, const void *what, size_t size);
void memory_look(const struct memory *m, const char *word);

/* linux.c: returns where the first processor starts */
uint64_t load_linux(const struct memory *m, const char *kernel, const char *initrd,
		    const char *cmdline, int cpus);

/* serial.c */
uint8_t serial(unsigned int reg, bool out, uint8_t value);
void serial_type(int c);

#endif /* GUEST_H */
