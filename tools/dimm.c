// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plugs memory into the test machine, and asks for it back.
 *
 *   dimm QMP-SOCKET SERIAL-SOCKET DIR
 *
 * vm/dimm.c in the machine says what it wants: "plug MIB", "unplug", "bye". It is
 * answered "done" when the machine was told; what becomes of it, it sees itself.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "qmp.h"

int main(int argc, char **argv)
{
	char line[128];
	int fd, nr = 0;
	long mib;
	FILE *in;

	if (argc != 4) {
		fprintf(stderr, "usage: dimm QMP-SOCKET SERIAL-SOCKET DIR\n");
		return 2;
	}
	qmp_open(argv[1]);
	fd = connect_to(argv[2]);
	in = fdopen(dup(fd), "r");

	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\r\n")] = 0;
		if (sscanf(line, "plug %ld", &mib) == 1) {
			/* A name of its own each time: the one before may not be gone */
			nr++;
			qmp_send("{\"execute\":\"object-add\",\"arguments\":{\"qom-type\":"
				 "\"memory-backend-ram\",\"id\":\"plug%d\",\"size\":%ld}}\n",
				 nr, mib << 20);
			qmp_answer();
			qmp_send("{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"pc-dimm\","
				 "\"id\":\"dimm%d\",\"memdev\":\"plug%d\"}}\n", nr, nr);
			qmp_answer();
		} else if (!strcmp(line, "unplug")) {
			qmp_send("{\"execute\":\"device_del\",\"arguments\":{\"id\":\"dimm%d\"}}\n",
				 nr);
			qmp_answer();
		} else if (!strcmp(line, "bye")) {
			return 0;
		} else if (line[0]) {
			die("the machine says: %s", line);
		} else {
			continue;
		}
		dprintf(fd, "done\n");
	}
	die("the machine is gone");
}
