// SPDX-License-Identifier: GPL-2.0-only
/*
 * Policy: which block is taken off the direct map, what a request that fails may
 * do to others, and who pays. A mode a mistake, and each failed on the first
 * version of this work, with the figures that stand above it. Where the fault is
 * in the order of things, the tunables that blur it are set first.
 *
 *   policy fixed [N]	free blocks that cannot be unmapped hide none that can
 *   policy failing	a request that fails costs others nothing
 *   policy drain	nor do per-CPU lists of others pay for secret memory
 *   policy steal	whole unmapped blocks are taken back before anything is stolen
 *   policy watermark	kswapd is woken for secret memory as for any other
 *   policy local	the preferred node and zone are compacted before others are used
 *   policy pool	what was let go is let go, while there is little demand
 *   policy hostage	free memory that is of use to few is shown by name
 *   policy defrag	vm.defrag_mode=1 does not count it against whole blocks
 *
 * Exit 0: all was so. 1: it was not, or could not be tried. 4: this kernel or
 * machine has nothing to try, and the last line says what is missing.
 */
#include <stdio.h>
#include <string.h>

#include "unmapped_util.h"
#include "policy.h"

static const struct mode {
	const char *name;
	int (*run)(int argc, char **argv);
} modes[] = {
	{ "fixed", mode_fixed },
	{ "failing", mode_failing },
	{ "drain", mode_drain },
	{ "steal", mode_steal },
	{ "watermark", mode_watermark },
	{ "local", mode_local },
	{ "pool", mode_pool },
	{ "hostage", mode_hostage },
	{ "defrag", mode_defrag },
};

#define NR_MODES	(sizeof(modes) / sizeof(*modes))

int main(int argc, char **argv)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
		prepared(false, "RLIMIT_MEMLOCK is raised");
	for (size_t i = 0; argc > 1 && i < NR_MODES; i++) {
		if (!strcmp(argv[1], modes[i].name))
			return modes[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "usage: policy MODE [ARGUMENT], with one of");
	for (size_t i = 0; i < NR_MODES; i++)
		fprintf(stderr, " %s", modes[i].name);
	fprintf(stderr, "\n");
	return 2;
}
