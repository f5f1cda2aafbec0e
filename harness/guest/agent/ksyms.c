#include "ksyms.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KALLSYMS "/proc/kallsyms"
#define NAME_AT 19 /* "ffffffff81000000 T name\t[module]\n" */
#define MOST_NAMES 4096
#define CHUNK (1u << 20)

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);

struct name {
	const char *text;
	size_t length;
};

struct names {
	struct name *all;
	size_t count;
	bool lengths[256]; /* which occur, so that most lines are passed over by their length */
};

static const void *object;
static size_t object_size;

void ksyms_only_of(const void *bytes, size_t size)
{
	object = bytes;
	object_size = size;
}

static void add_name(struct names *names, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (length == 0 || names->count == MOST_NAMES)
		return;
	names->all[names->count++] = (struct name){text, length};
	names->lengths[length % 256] = true;
}

static void add_undefined(struct names *names, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t i, count = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;
	GElf_Sym symbol;

	for (i = 0; data && i < count && gelf_getsym(data, (int)i, &symbol); i++)
		if (symbol.st_shndx == SHN_UNDEF)
			add_name(names, elf_strptr(elf, header->sh_link, symbol.st_name));
}

static void find_undefined(struct names *names, Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && header.sh_type == SHT_SYMTAB)
			add_undefined(names, elf, section, &header);
}

static bool has_name(const struct names *names, const char *text, size_t length)
{
	size_t i;

	if (!names->lengths[length % 256])
		return false;
	for (i = 0; i < names->count; i++)
		if (names->all[i].length == length && memcmp(names->all[i].text, text, length) == 0)
			return true;
	return false;
}

/* A name counts with what clang's link-time optimisation put behind it, too: newer libbpf takes `name.llvm.123` for it. */
static bool is_wanted(const struct names *names, const char *line, size_t length)
{
	const char *name = line + NAME_AT, *tab, *dot, *suffix;

	if (length <= NAME_AT)
		return false;
	tab = line[length - 1] == ']' ? memchr(name, '\t', length - NAME_AT) : NULL;
	length = tab ? (size_t)(tab - name) : length - NAME_AT;
	if (has_name(names, name, length))
		return true;
	dot = memchr(name, '.', length);
	suffix = dot ? memmem(dot, length - (size_t)(dot - name), ".llvm.", 6) : NULL;
	return suffix && has_name(names, name, (size_t)(suffix - name));
}

/* Write the wanted ones of the whole lines in `text` to `to`. Returns how much of it was lines. */
static size_t pick_lines(const struct names *names, const char *text, size_t length, int to)
{
	const char *line = text, *end;

	while ((end = memchr(line, '\n', length - (size_t)(line - text)))) {
		size_t size = (size_t)(end - line);

		if (is_wanted(names, line, size) && write(to, line, size + 1) < 0)
			break;
		line = end + 1;
	}
	return (size_t)(line - text);
}

static bool pick_all(const struct names *names, int from, int to)
{
	char *text = malloc(CHUNK);
	size_t used = 0, taken;
	ssize_t got = -1;

	while (text && (got = read(from, text + used, CHUNK - used)) > 0) {
		used += (size_t)got;
		taken = pick_lines(names, text, used, to);
		memmove(text, text + taken, used - taken);
		used -= taken;
	}
	free(text);
	return got == 0;
}

/* /proc/kallsyms has ten megabytes and two hundred thousand lines, and libbpf takes them apart by fscanf(): seconds in
 * an emulated guest, where picking them here is mostly the kernel's own writing. NULL: ask the kernel. */
static FILE *wanted_symbols(void)
{
	struct names names = {.all = calloc(MOST_NAMES, sizeof(*names.all))};
	Elf *elf = elf_version(EV_CURRENT) != EV_NONE ? elf_memory((char *)(uintptr_t)object, object_size) : NULL;
	int from = open(KALLSYMS, O_RDONLY | O_CLOEXEC), to = memfd_create("ksyms", MFD_CLOEXEC);
	FILE *file = NULL;

	if (names.all && elf && from >= 0 && to >= 0) {
		find_undefined(&names, elf);
		if (names.count < MOST_NAMES && pick_all(&names, from, to) && lseek(to, 0, SEEK_SET) == 0)
			file = fdopen(to, "r");
	}
	if (!file && to >= 0)
		close(to);
	if (from >= 0)
		close(from);
	elf_end(elf);
	free(names.all);
	return file;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	FILE *file = object && strcmp(path, KALLSYMS) == 0 ? wanted_symbols() : NULL;

	return file ? file : __real_fopen(path, mode);
}

FILE *__wrap_fopen64(const char *path, const char *mode)
{
	return __wrap_fopen(path, mode);
}
