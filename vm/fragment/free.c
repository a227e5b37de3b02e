// SPDX-License-Identifier: GPL-2.0-only
/* Free memory: how large its pieces are, and how much of it is unmapped. */
#include "fragment.h"

void free_read(struct free_memory *f)
{
	static char text[65536];

	*f = (struct free_memory){ .largest_mapped = -1, .largest = -1 };
	slurp("/proc/pagetypeinfo", text, sizeof(text));
	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		char zone[32], type[32];
		int node, at;
		bool unmapped;

		line += *line == '\n';
		if (!strncmp(line, "Number of blocks", 16))
			break;
		if (sscanf(line, "Node %d, zone %31[^,], type %31s%n", &node, zone, type, &at) != 3)
			continue;
		/* The first 16 MiB are kept from everybody who can do without. */
		if (!strcmp(zone, "DMA") || !strcmp(type, "HighAtomic") ||
		    !strcmp(type, "Isolate"))
			continue;
		unmapped = !strcmp(type, "NoDirectMap");
		line += at;
		for (int order = 0; order <= 10; order++) {
			long n;

			line += strspn(line, " >");
			n = strtol(line, &line, 10);
			if (!n)
				continue;
			/* A wholly free unmapped block is had back by a remap. */
			if (order > f->largest && (!unmapped || order >= 9))
				f->largest = order;
			if (order > f->largest_mapped && !unmapped)
				f->largest_mapped = order;
			if (unmapped && order < 9)
				f->partial_unmapped += n << order;
			else if (order >= 9)
				*(unmapped ? &f->whole_unmapped : &f->mapped_blocks) +=
					n << (order - 9);
		}
	}
}
