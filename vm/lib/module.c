// SPDX-License-Identifier: GPL-2.0-only
/* Modules of the kernel. */
#include <sys/syscall.h>

#include "lib/module.h"
#include "program.h"

bool module_load_if(const char *name, const char *parameters)
{
	char path[128];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/lib/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (syscall(SYS_finit_module, fd, parameters, 0) && (errno != EEXIST || *parameters))
		err = errno;
	close(fd);
	errno = err;
	return !err;
}

void module_load(const char *name, const char *parameters)
{
	char what[128];

	snprintf(what, sizeof(what), "module %s", name);
	if (!module_load_if(name, parameters))
		die(what);
}

void module_settle(void)
{
	sleep(2);
}
