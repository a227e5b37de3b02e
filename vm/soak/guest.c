// SPDX-License-Identifier: GPL-2.0-only
/* What a guest has in its memory: its code, and who looks at what it wrote. */
#include "soak.h"
#include "vm.h"

/* In the first page: bytes from page to page, and from the first one to the end */
#define STRIDE		0xff8
#define SPAN		0xffc
#define LAST_WORD	0xffc	/* of a page */

#define TABLE		0x1000
/* A byte of it */
#define WRITTEN		1
#define HOLES		2	/* may be zero again at any time */

/* What is made to fail one time in a hundred is to be had some time */
#define TRIES		20

#define TEXT(x)		#x
#define VALUE(x)	TEXT(x)

/*
 * esi: page, ebp: end, ebx: the word of the pass before but for the address, edx: of
 * this one. There is no stack, and no interrupt.
 */
extern const char guest_code[], guest_code_end[];
asm(	".pushsection .rodata\n"
	".code32\n"
	"guest_code:\n"
	"	outl	%eax, $" VALUE(PORT_RUNS) "\n"
	"page:\n"
	"	mov	%esi, %ecx\n"				/* number of the page */
	"	shr	$12, %ecx\n"
	"	movzbl	" VALUE(TABLE) "(%ecx), %ecx\n"		/* what is known of it */
	"	test	$" VALUE(WRITTEN) ", %cl\n"		/* was it written? */
	"	jz	new\n"
	"	mov	(%esi), %eax\n"				/* the word at its beginning */
	"	test	%eax, %eax\n"
	"	jz	gone\n"
	"	sub	%ebx, %eax\n"				/* less tag and pass it is */
	"	cmp	%esi, %eax\n"				/* the address */
	"	jne	lost\n"
	"	test	$" VALUE(HOLES) ", %cl\n"		/* the end may be gone since */
	"	jnz	write\n"
	"	mov	" VALUE(LAST_WORD) "(%esi), %eax\n"	/* the word at its end */
	"	sub	%ebx, %eax\n"
	"	cmp	%esi, %eax\n"
	"	je	write\n"
	"lost:\n"
	"	mov	%esi, %eax\n"				/* say where */
	"	outl	%eax, $" VALUE(PORT_LOST) "\n"
	"	jmp	write\n"
	"gone:\n"
	"	test	$" VALUE(HOLES) ", %cl\n"		/* was it given back? */
	"	jz	lost\n"
	"new:\n"
	"	mov	%esi, %edi\n"				/* compare with eax */
	"	mov	$1024, %ecx\n"				/* so many words */
	"	xor	%eax, %eax\n"				/* zero */
	"	repe	scasl\n"				/* until one is not */
	"	je	write\n"
	"	mov	%esi, %eax\n"				/* say where */
	"	outl	%eax, $" VALUE(PORT_DIRTY) "\n"
	"write:\n"
	"	lea	(%esi,%edx), %eax\n"			/* address, tag and this pass */
	"	mov	%eax, " VALUE(LAST_WORD) "(%esi)\n"	/* the end first: where the */
	"	mov	%eax, (%esi)\n"				/* beginning is zero, all is */
	"	mov	%esi, %ecx\n"				/* number of the page */
	"	shr	$12, %ecx\n"
	"	orb	$" VALUE(WRITTEN) ", " VALUE(TABLE) "(%ecx)\n"/* it was written */
	"	add	" VALUE(STRIDE) ", %esi\n"		/* the next page */
	"	cmp	%ebp, %esi\n"
	"	jb	page\n"
	"	sub	" VALUE(SPAN) ", %esi\n"		/* the first one again */
	"	mov	%edx, %ebx\n"				/* this pass is the one before */
	"	add	$" VALUE(GUEST_PASS) ", %edx\n"		/* and another one begins */
	"	outl	%eax, $" VALUE(PORT_PASS) "\n"
	"	jmp	page\n"
	"guest_code_end:\n"
	".code64\n"
	".popsection\n");

static bool store_by_map(struct vm *vm, size_t at, const void *data, size_t len)
{
	if (sigsetjmp(sigbus_jmp, 1)) {
		vm_count(&vm->st->not_had);
		return false;
	}
	memcpy(vm->map + at, data, len);
	return true;
}

/* Write to memory of the guest, one way or the other. */
static bool store(struct vm *vm, size_t at, const void *data, size_t len)
{
	for (int i = 0; i < TRIES; i++) {
		ssize_t done;

		if (draw(2)) {
			if (store_by_map(vm, at, data, len))
				return true;
			continue;
		}
		done = pwrite(vm->mem, data, len, at);
		if (done == (ssize_t)len)
			return true;
		if (done < 0 && errno == ENOSPC)
			vm_count(&vm->st->not_had);
		else if (done < 0)
			vm_refused(vm, "pwrite");
	}
	return false;
}

/* A word of the guest's memory, by the mapping. */
static bool look(struct vm *vm, const void *at, uint32_t *word)
{
	if (sigsetjmp(sigbus_jmp, 1)) {
		vm_count(&vm->st->not_had);
		return false;
	}
	*word = *(const volatile uint32_t *)at;
	return true;
}

bool guest_load(struct vm *vm)
{
	size_t table_size = vm->pages, written = draw(2) ? draw(vm->holes - GUEST_FIRST) : 0;
	uint32_t page[PAGE / sizeof(uint32_t)] = {};
	unsigned char table[VM_LARGEST * MiB / PAGE] = {};

	/* Of this file, as what it jumps to is */
	signal(SIGBUS, sigbus_handler);
	memcpy(page, guest_code, guest_code_end - guest_code);
	page[STRIDE / sizeof(*page)] = vm->nr_vcpus * PAGE;
	page[SPAN / sizeof(*page)] = vm->span;
	memset(table + GUEST_FIRST, WRITTEN, written);
	memset(table + vm->holes, HOLES, vm->pages - vm->holes);
	if (!store(vm, 0, page, PAGE) || !store(vm, TABLE, table, table_size))
		return false;
	for (size_t nr = GUEST_FIRST; nr < GUEST_FIRST + written; nr++) {
		for (size_t i = 0; i < PAGE / sizeof(*page); i++)
			page[i] = nr * PAGE | vm->tag;
		if (!store(vm, nr * PAGE, page, PAGE))
			return false;
	}
	return true;
}

void guest_check(struct vm *vm, size_t nr)
{
	uint32_t word, known;

	/* In that order: what is said to be written was so before. */
	if (!look(vm, vm->map + TABLE + nr / 4 * 4, &known) ||
	    !look(vm, vm->map + nr * PAGE, &word))
		return;
	known = known >> nr % 4 * 8 & 0xff;
	if (word ? word % GUEST_PASS != (nr * PAGE | vm->tag) : known == WRITTEN)
		vm_count(&vm->st->lost);
}

