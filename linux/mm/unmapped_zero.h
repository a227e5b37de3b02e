/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _MM_UNMAPPED_ZERO_H
#define _MM_UNMAPPED_ZERO_H

#include <linux/types.h>

struct page;

/* So many pages are zeroed with IRQs off at a time. */
#define UNMAPPED_ZERO_BATCH	8U

bool unmapped_zero_ready(void);
bool unmapped_zero_pages(struct page *page, unsigned int nr);
bool unmapped_zero_batch(struct page *const *pages, unsigned int nr);

#endif /* _MM_UNMAPPED_ZERO_H */
