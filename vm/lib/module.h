/* SPDX-License-Identifier: GPL-2.0-only */
/* module.c: modules of the kernel, which are in /lib/modules. */
#ifndef MODULE_H
#define MODULE_H

#include <stdbool.h>

/*
 * Load NAME.ko with these parameters: false, with errno, where it cannot be. One without
 * any may have been loaded before.
 */
bool module_load_if(const char *name, const char *parameters);
/* The same for one that must be there. */
void module_load(const char *name, const char *parameters);
/* A moment after that its initialisation code is freed, which splits a 2 MiB entry: wait. */
void module_settle(void);

#endif /* MODULE_H */
