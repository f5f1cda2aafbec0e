#include "user_functions.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

/* By hand, so that each has exactly one return instruction, a stack frame of its own, and is called and never
 * inlined: what a uprobe sees is then a matter of the kernel alone. Arguments in rdi, rsi, rdx, result in rax
 * (System V AMD64). */
__asm__(".section .text.user_functions, \"ax\", @progbits\n"
	".globl bpfmatrix_plain\n"
	".type bpfmatrix_plain, @function\n"
	"bpfmatrix_plain:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	lea (%rdi, %rsi), %rax\n"
	"	pop %rbp\n"
	"bpfmatrix_plain_ret:\n"
	"	ret\n"
	".size bpfmatrix_plain, . - bpfmatrix_plain\n"
	".globl bpfmatrix_nested\n"
	".type bpfmatrix_nested, @function\n"
	"bpfmatrix_nested:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	push %rdi\n"
	"	sub $8, %rsp\n"
	"	test %rdi, %rdi\n"
	"	je 1f\n"
	"	sub $1, %rdi\n"
	"	call bpfmatrix_nested\n"
	"1:	mov -8(%rbp), %rax\n"
	"	leave\n"
	"bpfmatrix_nested_ret:\n"
	"	ret\n"
	".size bpfmatrix_nested, . - bpfmatrix_nested\n"
	".globl bpfmatrix_moved\n"
	".type bpfmatrix_moved, @function\n"
	"bpfmatrix_moved:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	push %rdi\n"
	"	sub $8, %rsp\n"
	"	mov %rdx, %rdi\n"
	"	call *%rsi\n"
	"	mov -8(%rbp), %rax\n"
	"	leave\n"
	"bpfmatrix_moved_ret:\n"
	"	ret\n"
	".size bpfmatrix_moved, . - bpfmatrix_moved\n"
	".globl bpfmatrix_plain_ret, bpfmatrix_nested_ret, bpfmatrix_moved_ret\n"
	".text\n");

extern const char bpfmatrix_plain_ret[], bpfmatrix_nested_ret[], bpfmatrix_moved_ret[];

static const struct user_function FUNCTIONS[] = {
	{"bpfmatrix_plain", bpfmatrix_plain, bpfmatrix_plain_ret},
	{"bpfmatrix_nested", bpfmatrix_nested, bpfmatrix_nested_ret},
	{"bpfmatrix_moved", bpfmatrix_moved, bpfmatrix_moved_ret},
};

const struct user_function *user_function_at(size_t index)
{
	return index < sizeof(FUNCTIONS) / sizeof(FUNCTIONS[0]) ? &FUNCTIONS[index] : NULL;
}

const struct user_function *user_function_find(const char *name)
{
	const struct user_function *each;
	size_t i;

	for (i = 0; (each = user_function_at(i)); i++)
		if (strcmp(each->name, name) == 0)
			return each;
	return NULL;
}

/* The program is linked at a fixed address, so its headers tell file offsets from addresses. */
uint64_t user_function_offset(const void *address)
{
	const ElfW(Phdr) *header = (const void *)getauxval(AT_PHDR);
	const ElfW(Phdr) *end = header + getauxval(AT_PHNUM);
	uintptr_t at = (uintptr_t)address;

	for (; header < end; header++)
		if (header->p_type == PT_LOAD && at >= header->p_vaddr && at < header->p_vaddr + header->p_filesz)
			return at - header->p_vaddr + header->p_offset;
	return 0;
}
