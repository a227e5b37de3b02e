// SPDX-License-Identifier: GPL-2.0-only
/* A virtual machine, all memory of which is off the direct map. */
#include <linux/falloc.h>
#include <sys/ioctl.h>

#include "lib/module.h"
#include "soak.h"
#include "vm.h"

#ifndef GUEST_MEMFD_FLAG_NO_DIRECT_MAP
#define GUEST_MEMFD_FLAG_NO_DIRECT_MAP	(1ULL << 2)
#endif

#define MOST_PASSES	40
#define HOST_MS		20	/* between two looks of the host, at most */
#define TOLD		20	/* of what nobody expects */

unsigned long vm_count(unsigned long *what)
{
	return __atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

static void wrong(struct vm *vm, const char *what, long nr)
{
	/* The first ones tell enough */
	if (vm_count(&vm->st->wrong) > TOLD)
		return;
	printf("machine %u: %s: %ld\n", vm->tag, what, nr);
	fflush(stdout);
}

void vm_refused(struct vm *vm, const char *what)
{
	if (errno == ENOMEM || errno == ENOSPC)
		vm_count(&vm->st->refused);
	else
		wrong(vm, what, errno);
}

/* True: it is there. */
static bool is(struct vm *vm, bool there, const char *what)
{
	if (!there)
		vm_refused(vm, what);
	return there;
}

static bool vm_create(struct vm *vm)
{
	struct kvm_create_guest_memfd file = {
		.size = vm->pages * PAGE,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED |
			 GUEST_MEMFD_FLAG_NO_DIRECT_MAP,
	};

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (!is(vm, vm->kvm >= 0, "/dev/kvm"))
		return false;
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (!is(vm, vm->fd >= 0, "KVM_CREATE_VM"))
		return false;
	vm->mem = ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &file);
	if (!is(vm, vm->mem >= 0, "KVM_CREATE_GUEST_MEMFD"))
		return false;
	vm->map = mmap(NULL, vm->pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm->mem, 0);
	return is(vm, vm->map != MAP_FAILED, "mmap");
}

/* With no pages, the slot is removed. */
static bool vm_set_slot(struct vm *vm, size_t pages)
{
	struct kvm_userspace_memory_region2 slot = {
		.flags = pages ? KVM_MEM_GUEST_MEMFD : 0,
		.memory_size = pages * PAGE,
		.userspace_addr = (uintptr_t)vm->map,
		.guest_memfd = vm->mem,
	};

	return is(vm, !ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot),
		  "KVM_SET_USER_MEMORY_REGION2");
}

static bool vm_fallocate(struct vm *vm, int mode, size_t first, size_t nr)
{
	if (!fallocate(vm->mem, mode | FALLOC_FL_KEEP_SIZE, first * PAGE, nr * PAGE))
		return true;
	if (errno == ENOSPC)
		vm_count(&vm->st->not_had);
	else
		vm_refused(vm, "fallocate");
	return false;
}

static bool vcpu_create(struct vm *vm, int nr)
{
	int size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct vcpu *v = &vm->vcpus[nr];
	struct kvm_segment flat = {
		.limit = 0xffffffff, .selector = 8, .type = 3,
		.present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_sregs sregs = {};
	struct kvm_regs regs = {
		.rsi = (GUEST_FIRST + nr) * PAGE,
		.rbp = (GUEST_FIRST + nr) * PAGE + vm->span,
		.rbx = vm->tag,
		.rdx = vm->tag + GUEST_PASS,
		.rflags = 2,
	};

	v->vm = vm;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, nr);
	if (!is(vm, v->fd >= 0, "KVM_CREATE_VCPU"))
		return false;
	v->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (!is(vm, v->run != MAP_FAILED, "mmap of a virtual CPU"))
		return false;
	if (!is(vm, !ioctl(v->fd, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS"))
		return false;
	/* Protected mode, flat, without paging */
	sregs.ds = sregs.es = sregs.ss = flat;
	flat.type = 11;
	sregs.cs = flat;
	sregs.cr0 |= 1;
	return is(vm, !ioctl(v->fd, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS") &&
	       is(vm, !ioctl(v->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* What the guest says. */
static bool vcpu_says(struct vcpu *v)
{
	const struct kvm_run *run = v->run;
	struct vm *vm = v->vm;

	if (run->exit_reason != KVM_EXIT_IO) {
		wrong(vm, "exit reason", run->exit_reason);
		return false;
	}
	switch (run->io.port) {
	case PORT_RUNS:
		if (v == &vm->vcpus[0])
			vm_count(&vm->st->ran);
		break;
	case PORT_PASS:
		v->passes++;
		vm_count(&vm->st->passes);
		break;
	case PORT_DIRTY:
		vm_count(&vm->st->dirty);
		break;
	case PORT_LOST:
		vm_count(&vm->st->lost);
		break;
	default:
		wrong(vm, "port", run->io.port);
		return false;
	}
	return true;
}

static void *vcpu_run(void *arg)
{
	struct vcpu *v = arg;
	struct vm *vm = v->vm;

	while (v->passes < vm->passes) {
		if (!ioctl(v->fd, KVM_RUN, 0)) {
			if (!vcpu_says(v))
				break;
		} else if (errno == ENOSPC && v->run->exit_reason == KVM_EXIT_MEMORY_FAULT) {
			/* The guest tries again, and knows nothing of it */
			vm_count(&vm->st->not_had);
			sleep_ms(1);
		} else if (errno == ENOMEM) {
			vm_count(&vm->st->refused);
		} else {
			wrong(vm, "KVM_RUN", errno);
			break;
		}
	}
	__atomic_sub_fetch(&vm->running, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Meanwhile. */
static void host_loop(struct vm *vm)
{
	size_t nr_holes = vm->pages - vm->holes;

	while (__atomic_load_n(&vm->running, __ATOMIC_ACQUIRE)) {
		sleep_ms(draw(HOST_MS));
		guest_check(vm, GUEST_FIRST + draw(vm->holes - GUEST_FIRST));
		if (nr_holes && draw(2)) {
			size_t first = draw(nr_holes), nr = 1 + draw(nr_holes - first);
			int mode = draw(4) ? FALLOC_FL_PUNCH_HOLE : 0;

			if (vm_fallocate(vm, mode, vm->holes + first, nr) && mode)
				vm_count(&vm->st->holes);
		}
	}
}

static void vm_run(struct vm *vm)
{
	int started = 0;

	for (int i = 0; i < vm->nr_vcpus; i++) {
		if (!vcpu_create(vm, i))
			return;
	}
	vm_count(&vm->st->created);
	vm->running = vm->nr_vcpus;
	for (; started < vm->nr_vcpus; started++) {
		struct vcpu *v = &vm->vcpus[started];

		errno = pthread_create(&v->thread, NULL, vcpu_run, v);
		/* It has nothing else to say where there is no memory */
		if (errno == EAGAIN)
			errno = ENOMEM;
		if (!is(vm, !errno, "pthread_create"))
			break;
	}
	__atomic_sub_fetch(&vm->running, vm->nr_vcpus - started, __ATOMIC_RELEASE);
	host_loop(vm);
	for (int i = 0; i < started; i++)
		pthread_join(vm->vcpus[i].thread, NULL);
	for (size_t nr = GUEST_FIRST; nr < vm->holes; nr++)
		guest_check(vm, nr);
	vm_count(&vm->st->ended);
	/* What is left is gone with the process, in which order ever */
	if (draw(2))
		vm_set_slot(vm, 0);
	if (draw(2))
		munmap(vm->map, vm->pages * PAGE);
	if (draw(2))
		close(vm->mem);
}

int vm_proc(struct vm_stats *st)
{
	/* As many of 1 to 2 MiB as of 16 to 32, and not in whole blocks */
	size_t mib = 1UL << draw(5);
	bool early = draw(2);	/* it has a slot before there is any memory */
	struct vm vm = {
		.st = st,
		.pages = (mib * MiB + draw(mib * MiB)) / PAGE,
		.tag = 1 + draw(VM_TAGS),
		.nr_vcpus = 1 + draw(VM_VCPUS),
		.passes = 1 + draw(MOST_PASSES),
	};

	vm.span = (vm.pages - GUEST_FIRST) / vm.nr_vcpus * vm.nr_vcpus * PAGE;
	vm.holes = vm.pages - (draw(2) ? draw(vm.pages / 2) : 0);
	inject_here();
	if (!vm_create(&vm))
		return 0;
	if (early && !vm_set_slot(&vm, vm.pages))
		return 0;
	if (!draw(3))
		vm_fallocate(&vm, 0, 0, vm.pages);
	if (!guest_load(&vm))
		return 0;
	if (early || vm_set_slot(&vm, vm.pages))
		vm_run(&vm);
	return 0;
}

const char *vm_missing(void)
{
	const __u64 wanted = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED |
			     GUEST_MEMFD_FLAG_NO_DIRECT_MAP;
	static const char * const modules[] = { "irqbypass", "kvm", "kvm-amd" };
	int kvm, vm;
	long flags;

	for (size_t i = 0; i < sizeof(modules) / sizeof(*modules); i++)
		/* Built in, or not for this processor */
		if (!module_load_if(modules[i], "") && errno != ENOENT && errno != EOPNOTSUPP)
			die(modules[i]);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return "no /dev/kvm: the kernel has no KVM, or the processor no SVM";
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		die("KVM_CREATE_VM");
	flags = ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD_FLAGS);
	close(vm);
	close(kvm);
	if ((flags & wanted) != wanted)
		return "guest_memfd has no GUEST_MEMFD_FLAG_NO_DIRECT_MAP";
	return NULL;
}
