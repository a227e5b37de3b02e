// SPDX-License-Identifier: GPL-2.0-only
/* TLB flushes, and whom they interrupt. */
#include "fragment.h"

/*
 * How often CPUs were told by another one to do something, all CPUs together.
 * Those that came for a TLB flush are among the function calls.
 */
static long function_calls(void)
{
	static char text[65536];
	long sum = 0;

	slurp("/proc/interrupts", text, sizeof(text));
	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		char *p, *end;

		line += strspn(line, "\n ");
		if (strncmp(line, "CAL:", 4))
			continue;
		for (p = line + 4; ; p = end) {
			long n = strtol(p, &end, 10);

			if (p == end)
				break;
			sum += n;
		}
	}
	return sum;
}

struct flushes read_flushes(void)
{
	struct flushes f;

	vmstat_read();
	f.one = vmstat("nr_tlb_local_flush_one");
	f.received = vmstat("nr_tlb_remote_flush_received");
	f.own = vmstat("direct_map_shootdown");
	f.interrupts = function_calls();
	if (f.one < 0 || f.received < 0) {
		errno = ENODATA;
		die("/proc/vmstat does not count TLB flushes (CONFIG_DEBUG_TLBFLUSH)");
	}
	return f;
}

struct flushes add_flushes(struct flushes *sum, struct flushes before)
{
	struct flushes after = read_flushes();

	sum->one += after.one - before.one;
	sum->received += after.received - before.received;
	sum->interrupts += after.interrupts - before.interrupts;
	sum->own += after.own - before.own;
	return after;
}
