/* The raw loader: bpf() calls as the object is written, without libbpf's fix-ups. Everything an object says is
 * checked before it is believed; a refusal leaves its stage, errno and words in the job. */
#pragma once
#include <gelf.h>
#include <linux/bpf.h>

#include "load.h"

#define RAW_MAX_SECTIONS 512
#define RAW_MAX_FUNCTIONS 1024
#define RAW_MAX_INSNS (2u << 20) /* twice what any kernel takes, so that its own answer is seen */

/* Relocation types of the BPF ELF ABI (Documentation/bpf/llvm_reloc.rst). */
enum { RELO_64_64 = 1, RELO_64_32 = 10 };

enum section_kind { SECTION_OTHER, SECTION_CODE, SECTION_MAPS, SECTION_DATA, SECTION_RODATA, SECTION_BSS };

struct raw_section {
	const char *name;
	enum section_kind kind;
	const uint8_t *bytes; /* NULL for .bss */
	size_t size;
	Elf_Data *relocations; /* NULL: none */
	size_t relocation_count;
	int map_fd; /* of a data section, -1 until made */
};

struct raw_object {
	struct load_job *job;
	Elf *elf;
	struct raw_section sections[RAW_MAX_SECTIONS];
	size_t section_count;
	Elf_Data *symbols;
	size_t symbol_count, symbol_strings;
	char license[128];
	struct btf *btf;
	const uint8_t *btf_ext;
	size_t btf_ext_size;
	int *map_fds; /* one for each of job->declared */
};

struct raw_symbol {
	const char *name;
	GElf_Sym elf;
};

/* The instructions to load: the program, then the subprograms it reaches. */
struct raw_program {
	struct bpf_insn *insns;
	size_t count;
	struct raw_function {
		size_t section, offset, size; /* bytes, in its section */
		size_t start;                 /* instruction in the result */
	} functions[RAW_MAX_FUNCTIONS];
	size_t function_count;
};

/* Each returns false after load_failed(). */
bool raw_open(struct raw_object *object, void *data, size_t size);
bool raw_create_maps(struct raw_object *object);
/* Collect the program's functions and copy their instructions; tells what this loader cannot do. */
bool raw_collect(struct raw_object *object, struct raw_program *program, const struct raw_symbol *entry);
/* Put map descriptors and call distances in, once the maps exist. */
bool raw_relocate(struct raw_object *object, struct raw_program *program);

bool raw_symbol_at(const struct raw_object *object, size_t index, struct raw_symbol *symbol);
/* The function of this name, or (name NULL) the one that begins at `offset` of `section`. */
bool raw_find_function(const struct raw_object *object, const char *name, size_t section, size_t offset,
		       struct raw_symbol *symbol);
bool raw_refuse(struct raw_object *object, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
