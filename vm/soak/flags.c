// SPDX-License-Identifier: GPL-2.0-only
/* Requests with each GFP flag, by the module of vm/flags/. */
#include "lib/module.h"
#include "soak.h"

#define MODULE		"unmapped_flags"

void flags_load(void)
{
	module_load(MODULE, "");
	if (access(DEBUGFS MODULE "/try", W_OK))
		die("module " MODULE);
}

void flags_try(void)
{
	/* The write itself may be made to fail */
	write_file(DEBUGFS MODULE "/try", "1");
}

void judge_flags(void)
{
	static const char * const may_fail[] = { "atomic", "nowait", "noretry", "kernel",
						 "retry_mayfail" };
	FILE *f = fopen(DEBUGFS MODULE "/stats", "r");
	long tries, had, wrong;
	char name[32];
	size_t seen = 0;

	if (!f)
		die(MODULE "/stats");
	while (fscanf(f, "%31s %ld %ld %ld", name, &tries, &had, &wrong) == 4) {
		if (!strcmp(name, "nofail")) {
			claim(tries > 0 && !had, "nofail: refused %ld times of %ld",
			      tries - had, tries);
			continue;
		}
		for (size_t i = 0; i < sizeof(may_fail) / sizeof(*may_fail); i++)
			seen += !strcmp(name, may_fail[i]);
		claim(had > 0 && !wrong, "%s: %ld of %ld had, %ld of them not as they should be",
		      name, had, tries, wrong);
	}
	fclose(f);
	claim(seen == sizeof(may_fail) / sizeof(*may_fail), "each flag was tried");
	if (syscall(SYS_delete_module, MODULE, 0))
		die("cannot unload " MODULE);
}
