/* SPDX-License-Identifier: GPL-2.0-only */
/* judge.c: what is judged, a line each. */
#ifndef CLAIM_H
#define CLAIM_H

#include <stdbool.h>

extern int failures;
__attribute__((format(printf, 2, 3))) void claim(bool held, const char *fmt, ...);

#endif /* CLAIM_H */
