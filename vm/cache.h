/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page cache without a disk. A file that is one hole, in a file system that is
 * nothing but this file: reading it fills the page cache with clean pages.
 */
#ifndef CACHE_H
#define CACHE_H

#include <sys/mount.h>
#include <sys/stat.h>
/* Of disks; to others it is a pageblock */
#undef BLOCK_SIZE

#include "lib/module.h"
#include "program.h"

static void put16(char *p, uint16_t v) { memcpy(p, &v, sizeof(v)); }
static void put32(char *p, uint32_t v) { memcpy(p, &v, sizeof(v)); }
static void put64(char *p, uint64_t v) { memcpy(p, &v, sizeof(v)); }

/* An EROFS image by hand: see fs/erofs/erofs_fs.h */
static void make_image(const char *path, uint64_t size)
{
	enum { SUPER = 1024, ROOT = 2048, FILE_INODE = 2304 };
	static const struct { const char *name; int inode, type; } entries[] = {
		{ ".", ROOT, 2 }, { "..", ROOT, 2 }, { "hole", FILE_INODE, 1 },
	};
	static char image[4096];
	char *dir = image + ROOT + 32;
	unsigned int name = 3 * 12;
	int fd;

	put32(image + SUPER, 0xe0f5e1e2);		/* magic */
	image[SUPER + 12] = 12;				/* blkszbits */
	put16(image + SUPER + 14, ROOT / 32);		/* rootnid_2b */
	put64(image + SUPER + 16, 2);			/* inos */
	put32(image + SUPER + 36, 1);			/* blocks_lo */

	for (int i = 0; i < 3; i++) {
		put64(dir + i * 12, entries[i].inode / 32);	/* nid */
		put16(dir + i * 12 + 8, name);			/* nameoff */
		dir[i * 12 + 10] = entries[i].type;		/* file_type */
		memcpy(dir + name, entries[i].name, strlen(entries[i].name));
		name += strlen(entries[i].name);
	}
	put16(image + ROOT, 2 << 1);			/* compact, data inline */
	put16(image + ROOT + 4, S_IFDIR | 0555);	/* i_mode */
	put16(image + ROOT + 6, 2);			/* nlink */
	put32(image + ROOT + 8, name);			/* i_size */

	put16(image + FILE_INODE, 1);			/* extended, flat */
	put16(image + FILE_INODE + 4, S_IFREG | 0444);	/* i_mode */
	put16(image + FILE_INODE + 6, 0xffff);		/* startblk_hi: a hole */
	put64(image + FILE_INODE + 8, size);		/* i_size */
	put32(image + FILE_INODE + 16, 0xffffffff);	/* startblk_lo: a hole */
	put32(image + FILE_INODE + 44, 1);		/* i_nlink */

	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, image, sizeof(image)) != sizeof(image))
		die(path);
	close(fd);
}

/* Such a file of @size bytes. */
static int cache_open(uint64_t size)
{
	int fd;

	if (module_load_if("erofs", ""))
		module_settle();
	else if (errno != ENOENT)
		die("module erofs");
	/* EROFS wants the image in a file system with a page cache of its own. */
	mkdir("/run/image", 0755);
	mkdir("/run/cache", 0755);
	if (mount("ramfs", "/run/image", "ramfs", 0, NULL))
		die("mounting ramfs");
	make_image("/run/image/erofs", size);
	if (mount("/run/image/erofs", "/run/cache", "erofs", MS_RDONLY, NULL))
		die("mounting erofs (CONFIG_EROFS_FS)");
	fd = open("/run/cache/hole", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("/run/cache/hole");
	return fd;
}

#endif /* CACHE_H */
