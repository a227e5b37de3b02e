// SPDX-License-Identifier: GPL-2.0-only
/*
 * include/linux/freetype.h: the kernel's own suite, with the feature and without.
 */
#include "kunit.h"
#include "stubs.h"

#include <linux/mmzone.h>
#include <migratetype_names.h>

#include <mm/unmapped/tests/freetype_kunit.c>
