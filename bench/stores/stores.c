// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU plugin: which cache lines do some functions of the kernel write to, and does
 * more than one processor write to the same? For bench/bench.
 *
 *   -plugin stores.so,from=HEX,to=HEX,...,out=FILE
 *
 * Each from and to is the range of a function. When the machine is off, FILE has the
 * stores counted, the lines (64 bytes of physical memory) they went to, and each
 * line that more than one processor wrote to.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<qemu-plugin.h>)
#include <qemu-plugin.h>
#define API_VERSION QEMU_PLUGIN_VERSION
#else
/* What QEMU exports, as its header is in no package of Debian 12. */
typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_R = 1, QEMU_PLUGIN_MEM_W };

typedef void (*tb_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*udata_cb)(qemu_plugin_id_t id, void *userdata);
typedef void (*mem_cb)(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
		       void *userdata);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_cb cb);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn, mem_cb cb,
				      enum qemu_plugin_cb_flags flags,
				      enum qemu_plugin_mem_rw rw, void *userdata);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, udata_cb cb, void *userdata);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *haddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *haddr);
#define API_VERSION 1
#endif

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = API_VERSION;

#define MAX_RANGES	16
/* A power of two, and far more than a few functions write to */
#define MAX_LINES	65536
#define LINE_SHIFT	6

static struct {
	uint64_t from, to;
} ranges[MAX_RANGES];
static int nr_ranges;

static struct line {
	uint64_t line;		/* physical address, in lines; plus one, as 0 is free */
	uint64_t vcpus;		/* one bit each */
	uint64_t stores;
	uint64_t insn;		/* the last one */
} lines[MAX_LINES];
static unsigned int nr_lines;
static uint64_t nr_stores, nr_lost;

/* One thread emulates all processors: no lock. */
static void store(unsigned int vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *insn)
{
	struct qemu_plugin_hwaddr *hwaddr;
	struct line *l;
	uint64_t line;

	if (!qemu_plugin_mem_is_store(info))
		return;
	hwaddr = qemu_plugin_get_hwaddr(info, vaddr);
	if (!hwaddr || qemu_plugin_hwaddr_is_io(hwaddr)) {
		nr_lost++;
		return;
	}
	nr_stores++;
	line = (qemu_plugin_hwaddr_phys_addr(hwaddr) >> LINE_SHIFT) + 1;
	for (l = &lines[line % MAX_LINES]; l->line && l->line != line;)
		l = l == &lines[MAX_LINES - 1] ? lines : l + 1;
	if (!l->line) {
		if (nr_lines >= MAX_LINES / 2) {
			nr_lost++;
			return;
		}
		nr_lines++;
		l->line = line;
	}
	l->vcpus |= 1ULL << (vcpu % 64);
	l->stores++;
	l->insn = (uintptr_t)insn;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t addr = qemu_plugin_insn_vaddr(insn);

		for (int j = 0; j < nr_ranges; j++) {
			if (addr < ranges[j].from || addr >= ranges[j].to)
				continue;
			qemu_plugin_register_vcpu_mem_cb(insn, store, QEMU_PLUGIN_CB_NO_REGS,
							 QEMU_PLUGIN_MEM_W,
							 (void *)(uintptr_t)addr);
		}
	}
}

static void finish(qemu_plugin_id_t id, void *file)
{
	uint64_t vcpus = 0;
	unsigned int shared = 0;
	FILE *f = fopen(file, "w");

	(void)id;
	if (!f) {
		perror(file);
		return;
	}
	for (unsigned int i = 0; i < MAX_LINES; i++) {
		vcpus |= lines[i].vcpus;
		shared += !!(lines[i].vcpus & (lines[i].vcpus - 1));
	}
	fprintf(f, "sample stores | stores=%" PRIu64 " lost=%" PRIu64 " lines=%u shared=%u processors=%d\n",
		nr_stores, nr_lost, nr_lines, shared, __builtin_popcountll(vcpus));
	for (unsigned int i = 0; i < MAX_LINES; i++) {
		if (lines[i].vcpus & (lines[i].vcpus - 1))
			fprintf(f, "shared line %" PRIx64 " processors %" PRIx64 " stores %" PRIu64 " last at %" PRIx64 "\n",
				(lines[i].line - 1) << LINE_SHIFT, lines[i].vcpus, lines[i].stores, lines[i].insn);
	}
	fclose(f);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	char *out = NULL;

	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "from=", 5) && nr_ranges < MAX_RANGES)
			ranges[nr_ranges].from = strtoull(argv[i] + 5, NULL, 16);
		else if (!strncmp(argv[i], "to=", 3) && nr_ranges < MAX_RANGES)
			ranges[nr_ranges++].to = strtoull(argv[i] + 3, NULL, 16);
		else if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
		else
			return -1;
	}
	if (!out || !nr_ranges)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, out);
	return 0;
}
