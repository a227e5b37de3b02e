// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is in guest memory when it starts: Linux by its 64-bit boot protocol
 * (Documentation/arch/x86/boot.rst), and the least of ACPI's tables.
 */
#include <asm/bootparam.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "guest.h"

#define CMDLINE		0x20000UL
#define BIOS_DATA	0x9fc00UL
#define RSDP		0xe0000UL
#define TABLES		0xe1000UL
#define HIGH_MEMORY	0x100000UL
#define BOOT_MAGIC	0x53726448	/* HdrS */

static const char *map_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p;

	if (fd < 0)
		fail(path);
	*size = lseek(fd, 0, SEEK_END);
	p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		fail(path);
	return p;
}

static void put(uint8_t *p, uint64_t value, size_t size)
{
	memcpy(p, &value, size);
}

static void checksum(uint8_t *table, size_t size, size_t where)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += table[i];
	table[where] = -sum;
}

/* A table whose first 36 bytes are for its header; returns where it is. */
static uint32_t write_table(const struct memory *m, const char *name, int revision,
			    uint8_t *table, size_t size)
{
	static uint32_t next = TABLES;
	const uint32_t where = next;

	memcpy(table, name, 4);
	put(table + 4, size, 4);
	table[8] = revision;
	memcpy(table + 10, "GUEST GUESTVM \1\0\0\0VM  ", 22);
	checksum(table, size, 9);
	memory_write(m, where, table, size);
	next += (size + 15) & -16UL;
	return where;
}

/* Which processors there are, the I/O APIC, and how the machine is turned off. */
static void write_acpi(const struct memory *m, int cpus)
{
	/* Name (\_S5, Package () { 5, 5, 0, 0 }) */
	uint8_t dsdt[] = { [36] = 8, '_', 'S', '5', '_', 0x12, 8, 4,
			   0x0a, SLEEP_TYPE_OFF, 0x0a, SLEEP_TYPE_OFF, 0, 0 };
	uint8_t fadt[276] = { [46] = 9,				/* SCI */
			      [88] = 4, 2,			/* bytes of PM1_* */
			      [109] = 1 << 5 | 1 << 2,		/* no clock in CMOS, no VGA */
			      [112] = 1 << 5 | 1 << 4 | 1 };	/* no buttons; WBINVD */
	/* The local APICs' address; two 8259; then the APICs */
	uint8_t madt[44 + 8 * MAX_CPUS + 22] = { [38] = 0xe0, 0xfe, 1 }, *p = madt + 44;
	uint8_t rsdt[36 + 2 * 4] = {}, rsdp[20] = "RSD PTR \0GUEST ";

	for (int i = 0; i < cpus; i++, p += 8)
		memcpy(p, (uint8_t []){ 0, 8, i, i, 1 }, 5);
	/* I/O APIC with interrupts from 0; ISA's 0 is 2 there */
	memcpy(p, (uint8_t []){ 1, 12, cpus, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0,
				2, 10, 0, 0, 2, 0, 0, 0, 0, 0 }, 22);

	put(fadt + 40, write_table(m, "DSDT", 2, dsdt, sizeof(dsdt)), 4);
	put(fadt + 56, PM1_EVENT, 4);
	put(fadt + 64, PM1_CONTROL, 4);
	put(rsdt + 36, write_table(m, "FACP", 5, fadt, sizeof(fadt)), 4);
	put(rsdt + 40, write_table(m, "APIC", 3, madt, p + 22 - madt), 4);
	put(rsdp + 16, write_table(m, "RSDT", 1, rsdt, sizeof(rsdt)), 4);
	checksum(rsdp, sizeof(rsdp), 8);
	memory_write(m, RSDP, rsdp, sizeof(rsdp));
}

uint64_t load_linux(const struct memory *m, const char *kernel, const char *initrd,
		    const char *cmdline, int cpus)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	static struct boot_params params = {
		.acpi_rsdp_addr = RSDP,
		.e820_entries = 3,
		.e820_table = { { 0, BIOS_DATA, 1 }, { BIOS_DATA, HIGH_MEMORY - BIOS_DATA, 2 },
				{ HIGH_MEMORY, 0, 1 } },
	};
	/* The first GiB where it is, by entries of 2 MiB */
	static uint64_t tables[3][512] = { { (PAGE_TABLES + PAGE) | 3 },
					   { (PAGE_TABLES + 2 * PAGE) | 3 } };
	struct setup_header *hdr = &params.hdr;
	size_t size, skip, low, high;
	const char *image = map_file(kernel, &size);

	if (size > PAGE)
		memcpy(hdr, image + 0x1f1, sizeof(*hdr));
	skip = ((hdr->setup_sects ?: 4) + 1) * 512;
	if (hdr->header != BOOT_MAGIC || hdr->version < 0x20c || skip > size ||
	    !(hdr->xloadflags & XLF_KERNEL_64))
		end(FAILED, "%s is no bzImage of x86-64", kernel);
	low = hdr->pref_address;
	high = low + hdr->init_size;
	if (high > m->size || strlen(cmdline) > hdr->cmdline_size)
		end(FAILED, "%s needs %zu bytes, and a shorter command line", kernel, high);
	memory_write(m, low, image + skip, size - skip);
	memory_write(m, CMDLINE, cmdline, strlen(cmdline) + 1);
	if (initrd) {
		image = map_file(initrd, &size);
		if (size > m->size - high)
			end(FAILED, "%s is too large for this memory", initrd);
		hdr->ramdisk_image = (m->size - size) & -PAGE;
		hdr->ramdisk_size = size;
		memory_write(m, hdr->ramdisk_image, image, size);
	}
	hdr->type_of_loader = 0xff;
	hdr->cmd_line_ptr = CMDLINE;
	params.e820_table[2].size = m->size - HIGH_MEMORY;
	memory_write(m, BOOT_PARAMS, &params, sizeof(params));
	memory_write(m, GDT, gdt, sizeof(gdt));
	for (uint64_t i = 0; i < 512; i++)
		tables[2][i] = i << 21 | 0x83;
	memory_write(m, PAGE_TABLES, tables, sizeof(tables));
	write_acpi(m, cpus);
	return low + 0x200;
}
