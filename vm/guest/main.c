// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small virtual machine monitor, for Linux in memory off the host's direct map:
 * a guest_memfd, the interrupt controllers and timers of KVM, a serial port.
 */
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "guest.h"

#define MIB	(1UL << 20)
#define COM1	0x3f8

static const char help[] =
"usage: guest --kernel BZIMAGE [option...]\n\n"
"Runs Linux in a virtual machine whose memory is a guest_memfd. Its serial port is\n"
"standard output, and standard input as soon as the guest listens.\n\n"
"  --initrd FILE     its initramfs\n"
"  --append TEXT     its command line, to which word=<random digits> is added\n"
"  --mem MIB         its memory, 64 to 3072 (256)\n"
"  --cpus N          its processors, 1 to 8 (1)\n"
"  --no-direct-map   its memory is off the direct map of this kernel\n"
"  --timeout SEC     SIGALRM then\n\n"
"Standard error says what this machine counted while the memory was allocated, and\n"
"when the guest listened: how many of its pages were off the direct map, how many held\n"
"the word, and how many of these showed it by the direct map (/proc/kcore).\n\n"
"Exit status: 0 the guest turned itself off, 10 it reset itself, 11 triple fault;\n"
"1 something failed, 2 usage, 4 this kernel or processor cannot.\n";

int vm;
static int kvm, cpus = 1, run_size;
static uint64_t entry;

/* ioctl() that has to succeed */
#define kvm_do(fd, request, arg) ({				\
	int ret_ = ioctl(fd, request, arg);			\
								\
	if (ret_ < 0)						\
		fail(#request);					\
	ret_;							\
})

/* What the processor can, with its own number; no threads, one package. */
static void set_cpuid(int vcpu, uint32_t id)
{
	struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entry[256]; } cpuid = {
		.head.nent = 256
	};
	struct kvm_cpuid_entry2 *e = cpuid.entry;

	kvm_do(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
	for (uint32_t i = 0; i < cpuid.head.nent; i++, e++) {
		if (e->function == 1) {
			e->ebx = (e->ebx & 0xffff) | cpus << 16 | id << 24;
			e->edx |= (cpus > 1) << 28;
		} else if (e->function == 0xb || e->function == 0x1f) {
			e->eax = e->ebx = e->ecx = 0;
			e->edx = id;
		} else if (e->function == 0x80000001) {
			e->ecx &= ~(1U << 22);			/* TOPOEXT */
		} else if (e->function == 0x80000008) {
			e->ecx = 3 << 12 | (cpus - 1);
		}
	}
	kvm_do(vcpu, KVM_SET_CPUID2, &cpuid);
}

/* 64-bit mode with the tables of linux.c */
static void set_registers(int vcpu)
{
	struct kvm_segment code = { .limit = ~0U, .selector = 0x10, .type = 11, .present = 1,
				    .s = 1, .l = 1, .g = 1 };
	struct kvm_segment data = { .limit = ~0U, .selector = 0x18, .type = 3, .present = 1,
				    .s = 1, .db = 1, .g = 1 };
	struct kvm_regs regs = { .rip = entry, .rsi = BOOT_PARAMS, .rflags = 2 };
	struct kvm_sregs sregs;

	kvm_do(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt = (struct kvm_dtable){ .base = GDT, .limit = 4 * 8 - 1 };
	sregs.cr3 = PAGE_TABLES;
	sregs.cr4 = 1 << 5;				/* PAE */
	sregs.cr0 = 1U << 31 | 1 << 4 | 1;		/* PG, ET, PE */
	sregs.efer = 1 << 10 | 1 << 8;			/* LMA, LME */
	kvm_do(vcpu, KVM_SET_SREGS, &sregs);
	kvm_do(vcpu, KVM_SET_REGS, &regs);
}

static uint32_t port(uint16_t port, bool out, uint32_t value)
{
	static uint16_t pm1_enable;

	if (port >= COM1 && port < COM1 + 8)
		return serial(port - COM1, out, value);
	if (port == PM1_EVENT + 2)
		return out ? (pm1_enable = value) : pm1_enable;
	if (!out) {
		/* ACPI is on, and idle; so is a keyboard; nobody sets the clock. */
		if (port == PM1_CONTROL)
			return 1;
		return port == PM1_EVENT || port == 0x64 || port == 0x71 ? 0 : ~0U;
	}
	if (port == PM1_CONTROL && value >> 13 & 1 && (value >> 10 & 7) == SLEEP_TYPE_OFF)
		end(TURNED_OFF, "turned itself off");
	if ((port == 0xcf9 && value & 4) || (port == 0x64 && value == 0xfe))
		end(RESET, "reset itself");
	return value;
}

static void port_io(struct kvm_run *run)
{
	char *data = (char *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		uint32_t value = 0;

		memcpy(&value, data, run->io.size);
		value = port(run->io.port, run->io.direction == KVM_EXIT_IO_OUT, value);
		memcpy(data, &value, run->io.size);
	}
}

static void *run_cpu(void *arg)
{
	const int vcpu = (intptr_t)arg;
	struct kvm_run *run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

	if (run == MAP_FAILED)
		fail("cannot map a processor's state");
	for (;;) {
		run->exit_reason = KVM_EXIT_INTR;
		if (ioctl(vcpu, KVM_RUN, 0) && errno != EINTR && errno != EAGAIN)
			end(FAILED, "KVM_RUN: %s, exit reason %u", strerror(errno),
			    run->exit_reason);
		if (run->exit_reason == KVM_EXIT_IO)
			port_io(run);
		else if (run->exit_reason == KVM_EXIT_MMIO)	/* nobody is there */
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		else if (run->exit_reason == KVM_EXIT_SHUTDOWN)
			end(TRIPLE_FAULT, "triple fault");
		else if (run->exit_reason != KVM_EXIT_INTR)
			end(FAILED, "exit reason %u", run->exit_reason);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kernel", 1, NULL, 'k' }, { "initrd", 1, NULL, 'i' },
		{ "append", 1, NULL, 'a' }, { "mem", 1, NULL, 'm' },
		{ "cpus", 1, NULL, 'c' }, { "no-direct-map", 0, NULL, 'n' },
		{ "timeout", 1, NULL, 't' }, { "help", 0, NULL, 'h' }, {}
	};
	const char *kernel = NULL, *initrd = NULL, *append = "";
	struct memory memory = { .size = 256 * MIB };
	char cmdline[2048], word[17];
	uint8_t c;
	pthread_t thread;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'k': kernel = optarg; break;
		case 'i': initrd = optarg; break;
		case 'a': append = optarg; break;
		case 'm': memory.size = strtoul(optarg, NULL, 10) * MIB; break;
		case 'c': cpus = atoi(optarg); break;
		case 'n': memory.no_direct_map = true; break;
		case 't': alarm(atoi(optarg)); break;
		case 'h': fputs(help, stdout); return 0;
		default: return USAGE;
		}
	}
	if (!kernel || optind != argc || cpus < 1 || cpus > MAX_CPUS ||
	    memory.size < 64 * MIB || memory.size > 3072 * MIB)
		end(USAGE, "no kernel, or not with that much memory and processors (--help)");

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		end(UNSUPPORTED, "/dev/kvm: %s", strerror(errno));
	run_size = kvm_do(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm = kvm_do(kvm, KVM_CREATE_VM, 0);
	kvm_do(vm, KVM_SET_TSS_ADDR, 0xfffbd000);	/* Intel's processors want it */
	kvm_do(vm, KVM_CREATE_IRQCHIP, 0);
	kvm_do(vm, KVM_CREATE_PIT2, &(struct kvm_pit_config){ .flags = KVM_PIT_SPEAKER_DUMMY });

	say("%zu MiB, processors %d, memory %s the direct map", memory.size / MIB, cpus,
	    memory.no_direct_map ? "off" : "in");
	memory_create(&memory);
	snprintf(word, sizeof(word), "%08x%08x", arc4random(), arc4random());
	snprintf(cmdline, sizeof(cmdline), "%s word=%s", append, word);
	entry = load_linux(&memory, kernel, initrd, cmdline, cpus);
	for (intptr_t id = 0; id < cpus; id++) {
		intptr_t vcpu = kvm_do(vm, KVM_CREATE_VCPU, id);

		set_cpuid(vcpu, id);
		/* The others wait until the first one starts them. */
		if (!id)
			set_registers(vcpu);
		if (pthread_create(&thread, NULL, run_cpu, (void *)vcpu))
			end(FAILED, "no thread for a processor");
	}
	serial_type(-1);
	memory_look(&memory, word);
	while (read(STDIN_FILENO, &c, 1) == 1)
		serial_type(c);
	for (;;)
		pause();
}
