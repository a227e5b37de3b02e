// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel memory that cannot be moved: messages of all sizes in System V queues,
 * pipes with rings of all sizes and pages in them, files and directories in
 * tmpfs, eventfds in epoll sets.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/stat.h>

#include "fragment.h"

enum object_type { QUEUE, PIPE, FILES, EVENTS, NR_OBJECT_TYPES };

#define FILES_EACH	128
#define EVENTS_EACH	64

struct object {
	enum object_type type;
	int id;			/* of the queue; of the directory */
	int fd[EVENTS_EACH + 1];
	unsigned long bytes;	/* about; as requested */
};

#define MAX_OBJECTS 16384

static struct object *objects[MAX_OBJECTS];
static unsigned int nr_objects;
static unsigned long objects_bytes;

/* Want of memory is what is counted; anything else would be a mistake here. */
static bool slab_failed(bool failed, const char *what)
{
	tries[F_SLAB]++;
	if (!failed)
		return false;
	if (errno != ENOMEM)
		die(what);
	failures[F_SLAB]++;
	return true;
}

static struct object *object_new(struct rng *rng)
{
	static struct { long type; char text[65536]; } message = { .type = 1 };
	static char page[PAGE], path[64];
	static int nr_dirs;
	struct object *o = malloc(sizeof(*o));
	unsigned long n;

	if (!o)
		die("malloc");
	o->type = below(rng, 8);
	/* Half of all objects are queues: they hold the most. */
	if (o->type >= NR_OBJECT_TYPES)
		o->type = QUEUE;
	o->bytes = 0;
	o->id = -1;
	for (int i = 0; i <= EVENTS_EACH; i++)
		o->fd[i] = -1;

	switch (o->type) {
	case QUEUE:
		o->id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
		n = 16 + below(rng, 48);
		for (unsigned long i = 0; i < n; i++) {
			unsigned long size = log_uniform(rng, 64, 65536);

			o->bytes += size;
			if (o->id >= 0 && slab_failed(msgsnd(o->id, &message, size, IPC_NOWAIT),
						      "msgsnd"))
				continue;
		}
		slab_failed(o->id < 0, "msgget");
		break;
	case PIPE:
		n = log_uniform(rng, 16, 512);
		o->bytes = n * PAGE;
		if (slab_failed(pipe2(o->fd, O_CLOEXEC | O_NONBLOCK), "pipe"))
			break;
		/* A ring of 40 bytes a page */
		if (slab_failed(fcntl(o->fd[1], F_SETPIPE_SZ, n * PAGE) < 0, "F_SETPIPE_SZ"))
			n = 16;
		for (unsigned long i = 0; i < n; i++)
			if (slab_failed(write(o->fd[1], page, PAGE) != (ssize_t)PAGE,
					"writing to a pipe"))
				break;
		break;
	case FILES:
		o->id = nr_dirs++;
		o->bytes = FILES_EACH * 1024;
		snprintf(path, sizeof(path), "/run/files/%d", o->id);
		if (slab_failed(mkdir(path, 0700), "mkdir")) {
			o->id = -1;
			break;
		}
		for (int i = 0; i < FILES_EACH; i++) {
			int fd;

			snprintf(path, sizeof(path), "/run/files/%d/%d", o->id, i);
			fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
			if (!slab_failed(fd < 0, path))
				close(fd);
		}
		break;
	case EVENTS:
	default:
		o->bytes = EVENTS_EACH * 768;
		o->fd[EVENTS_EACH] = epoll_create1(EPOLL_CLOEXEC);
		if (slab_failed(o->fd[EVENTS_EACH] < 0, "epoll_create1"))
			break;
		for (int i = 0; i < EVENTS_EACH; i++) {
			struct epoll_event event = { .events = EPOLLIN };

			o->fd[i] = eventfd(0, EFD_CLOEXEC);
			if (!slab_failed(o->fd[i] < 0, "eventfd"))
				slab_failed(epoll_ctl(o->fd[EVENTS_EACH], EPOLL_CTL_ADD,
						      o->fd[i], &event), "epoll_ctl");
		}
		break;
	}
	return o;
}

static void object_free(struct object *o)
{
	char path[64];

	for (int i = 0; i <= EVENTS_EACH; i++)
		if (o->fd[i] >= 0)
			close(o->fd[i]);
	if (o->type == QUEUE && o->id >= 0 && msgctl(o->id, IPC_RMID, NULL))
		die("msgctl");
	if (o->type == FILES && o->id >= 0) {
		for (int i = 0; i < FILES_EACH; i++) {
			snprintf(path, sizeof(path), "/run/files/%d/%d", o->id, i);
			unlink(path);
		}
		snprintf(path, sizeof(path), "/run/files/%d", o->id);
		rmdir(path);
	}
	free(o);
}

void slab_step(struct rng *rng, unsigned long target, unsigned long churn)
{
	uint64_t begin = now_ns();

	while (nr_objects && objects_bytes + churn * PAGE > target * PAGE) {
		unsigned int i = below(rng, nr_objects);

		objects_bytes -= objects[i]->bytes;
		object_free(objects[i]);
		objects[i] = objects[--nr_objects];
	}
	while (objects_bytes < target * PAGE && nr_objects < MAX_OBJECTS) {
		objects[nr_objects] = object_new(rng);
		objects_bytes += objects[nr_objects++]->bytes;
	}
	times[T_SLAB] += now_ns() - begin;
}

void slab_start(void)
{
	must_set("/proc/sys/kernel/msgmax", "65536");
	must_set("/proc/sys/kernel/msgmnb", "67108864");
	must_set("/proc/sys/kernel/msgmni", "32000");
	mkdir("/run/files", 0755);
	if (mount("tmpfs", "/run/files", "tmpfs", 0, "nr_inodes=0"))
		die("mounting tmpfs");
}
