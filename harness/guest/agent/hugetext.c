#include "hugetext.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "textfile.h"

#define HUGE ((uintptr_t)2 << 20)

/* What of the program lies in huge pages; length 0: nothing. */
static struct {
	uintptr_t start, length, offset;
} text;

static uintptr_t round_up(uintptr_t value)
{
	return (value + HUGE - 1) & ~(HUGE - 1);
}

/* The only segment that is executable, if the next one begins behind its last huge page. */
static bool find_text(void)
{
	const ElfW(Phdr) *header = (const void *)getauxval(AT_PHDR);
	const ElfW(Phdr) *end = header + getauxval(AT_PHNUM), *found = NULL;

	for (; header < end; header++) {
		if (header->p_type != PT_LOAD)
			continue;
		if (header->p_flags & PF_X)
			found = header;
		else if (found && header->p_vaddr < round_up(found->p_vaddr + found->p_memsz))
			return false;
	}
	if (!found || found->p_vaddr % HUGE != 0)
		return false;
	text.start = found->p_vaddr;
	text.offset = found->p_offset;
	text.length = found->p_memsz;
	return true;
}

/* Whether every page at `start` is part of a huge one: the kernel may have had none left. */
static bool is_huge(uintptr_t start, uintptr_t length)
{
	unsigned long from, to, huge = 0;
	char line[256];
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "re");

	while (file && huge == 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from == start;
		if (here && sscanf(line, "AnonHugePages: %lu", &huge) == 1)
			break;
	}
	if (file)
		fclose(file);
	return huge * 1024 >= length;
}

/* A mapping that begins where a huge page can, or 0. */
static uintptr_t map_aligned(uintptr_t length)
{
	void *mapped = mmap(NULL, length + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t area = (uintptr_t)mapped, start = round_up(area);

	if (mapped == MAP_FAILED)
		return 0;
	if (start > area)
		munmap(mapped, start - area);
	munmap((void *)(start + length), area + HUGE - start);
	return start;
}

/* The text lies at its old addresses again, now in the pages at `copy`. */
static bool replace_text(uintptr_t copy, uintptr_t length)
{
	return mprotect((void *)copy, length, PROT_READ | PROT_EXEC) == 0 &&
	       mremap((void *)copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, text.start) != MAP_FAILED;
}

void hugetext_use(void)
{
	uintptr_t length, copy;

	write_text("/sys/kernel/mm/transparent_hugepage/enabled", "madvise"); /* off by itself below 512 MiB of memory */
	if (!find_text())
		return;
	length = round_up(text.length);
	copy = map_aligned(length);
	if (copy) {
		madvise((void *)copy, length, MADV_HUGEPAGE);
		memcpy((void *)copy, (void *)text.start, text.length);
	}
	if (!copy || !is_huge(copy, length) || !replace_text(copy, length)) {
		if (copy)
			munmap((void *)copy, length);
		text.length = 0;
	}
}

void hugetext_leave(void)
{
	int fd = text.length > 0 ? open("/proc/self/exe", O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	mmap((void *)text.start, text.length, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, (off_t)text.offset);
	close(fd);
}
