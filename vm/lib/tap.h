/* SPDX-License-Identifier: GPL-2.0-only */
/* tap.c: tests that say "ok" or "not ok", a line each. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>

__attribute__((format(printf, 2, 3))) void tap_test(bool ok, const char *fmt, ...);
void tap_vtest(bool ok, const char *fmt, va_list ap);
/* How many there were; returns what the program is to end with. */
int tap_end(void);

#endif /* TAP_H */
