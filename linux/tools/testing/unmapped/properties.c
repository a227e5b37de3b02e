// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rows that the kernel has in mm/unmapped/, as far as they decide anything; and
 * a second one, which is undone by a worker, slowly, with a flush.
 */
#include "kunit.h"
#include "stubs.h"

#include <linux/mmzone.h>

#if defined(NR_FREETYPE_PROPERTIES) && defined(CONFIG_PAGE_ALLOC_UNMAPPED)
const struct freetype_property freetype_properties[NR_FREETYPE_PROPERTIES] = {
	[FREETYPE_LIST_UNMAPPED - MIGRATE_TYPES] = {
		.name		= "NoDirectMap",
		.letter		= 'N',
		.migratetype	= MIGRATE_UNMOVABLE,
		.undo_atomic	= true,
		.contents_die	= true,
	},
	[FREETYPE_LIST_TEST - MIGRATE_TYPES] = {
		.name		= "Test",
		.letter		= 'T',
		.migratetype	= MIGRATE_UNMOVABLE,
		.undo_flush	= true,
	},
};
#endif
