#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raw.h"
#include "report.h"

static bool is_call(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
}

static bool is_wide(const struct bpf_insn *insn)
{
	return insn->code == (BPF_LD | BPF_IMM | BPF_DW);
}

static struct bpf_insn insn_at(const struct raw_section *section, size_t offset)
{
	struct bpf_insn insn;

	memcpy(&insn, section->bytes + offset, sizeof(insn));
	return insn;
}

/* The relocation at byte `offset` of the section, and its symbol. False when there is none. */
static bool find_relocation(const struct raw_object *object, const struct raw_section *section, size_t offset,
			    uint32_t *type, struct raw_symbol *symbol)
{
	GElf_Rel relocation;
	size_t i;

	for (i = 0; i < section->relocation_count; i++) {
		if (!gelf_getrel(section->relocations, (int)i, &relocation) || relocation.r_offset != offset)
			continue;
		*type = (uint32_t)GELF_R_TYPE(relocation.r_info);
		return raw_symbol_at(object, GELF_R_SYM(relocation.r_info), symbol);
	}
	return false;
}

/* The function's place among those collected; it is added when new. RAW_MAX_FUNCTIONS: refused. */
static size_t collect_function(struct raw_object *object, struct raw_program *program, size_t section, size_t offset)
{
	struct raw_function *function;
	struct raw_symbol symbol;
	size_t i;

	for (i = 0; i < program->function_count; i++)
		if (program->functions[i].section == section && program->functions[i].offset == offset)
			return i;
	if (i == RAW_MAX_FUNCTIONS || !raw_find_function(object, NULL, section, offset, &symbol)) {
		raw_refuse(object, EINVAL, "a call leads to no function (section %zu, byte %zu)", section, offset);
		return RAW_MAX_FUNCTIONS;
	}
	function = &program->functions[program->function_count++];
	function->section = section;
	function->offset = offset;
	function->size = symbol.elf.st_size;
	function->start = program->count;
	program->count += function->size / sizeof(struct bpf_insn);
	return i;
}

/* Where a call or a function's address at `offset` leads: section and byte. Offsets are checked by the lookup that
 * follows, which accepts only the beginning of a function. */
static void call_target(const struct raw_object *object, size_t section, size_t offset, size_t *to_section, size_t *to_offset)
{
	const struct bpf_insn insn = insn_at(&object->sections[section], offset);
	struct raw_symbol symbol;
	uint32_t type;

	if (!find_relocation(object, &object->sections[section], offset, &type, &symbol)) {
		*to_section = section;
		*to_offset = offset + ((size_t)(int64_t)insn.imm + 1) * sizeof(insn);
		return;
	}
	*to_section = symbol.elf.st_shndx;
	*to_offset = is_wide(&insn) ? symbol.elf.st_value + (size_t)(int64_t)insn.imm
				    : symbol.elf.st_value + ((size_t)(int64_t)insn.imm + 1) * sizeof(insn);
}

/* A 64-bit load whose relocation names a function: its address is taken, for bpf_loop() and the like. */
static bool takes_function(struct raw_object *object, size_t section, size_t offset)
{
	struct raw_symbol symbol;
	uint32_t type;

	return find_relocation(object, &object->sections[section], offset, &type, &symbol) &&
	       symbol.elf.st_shndx < object->section_count &&
	       object->sections[symbol.elf.st_shndx].kind == SECTION_CODE;
}

/* Externs are libbpf's to resolve: by the kernel's BTF, /proc/kallsyms or its configuration. */
static bool is_resolvable(struct raw_object *object, const struct raw_section *section, size_t offset)
{
	struct raw_symbol symbol;
	uint32_t type;

	if (!find_relocation(object, section, offset, &type, &symbol) || symbol.elf.st_shndx != SHN_UNDEF)
		return true;
	return raw_refuse(object, EOPNOTSUPP, "'%s' is extern (kfunc, ksym or kconfig), which only libbpf resolves", symbol.name);
}

static bool collect_callees(struct raw_object *object, struct raw_program *program, size_t which)
{
	const struct raw_function function = program->functions[which];
	const struct raw_section *section = &object->sections[function.section];
	size_t at, to_section, to_offset;

	for (at = function.offset; at < function.offset + function.size; at += sizeof(struct bpf_insn)) {
		const struct bpf_insn insn = insn_at(section, at);

		if (!is_resolvable(object, section, at))
			return false;
		if (is_call(&insn) || (is_wide(&insn) && takes_function(object, function.section, at))) {
			call_target(object, function.section, at, &to_section, &to_offset);
			if (collect_function(object, program, to_section, to_offset) == RAW_MAX_FUNCTIONS)
				return false;
		}
		at += is_wide(&insn) ? sizeof(insn) : 0; /* its second half is no instruction */
	}
	return true;
}

static uint32_t word(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static bool in_program(const struct raw_object *object, const struct raw_program *program, const char *name, size_t offset)
{
	size_t i;

	for (i = 0; i < program->function_count; i++)
		if (strcmp(object->sections[program->functions[i].section].name, name) == 0 &&
		    offset - program->functions[i].offset < program->functions[i].size)
			return true;
	return false;
}

/* CO-RE records of .BTF.ext: u32 record size, then for each section u32 name, u32 count, and that many records that
 * begin with the instruction's byte (struct btf_ext_header, bpf_core_relo in include/uapi/linux/bpf.h). */
static bool needs_core(const struct raw_object *object, const struct raw_program *program)
{
	const uint8_t *ext = object->btf_ext;
	size_t size = object->btf_ext_size, at, end, record;

	if (!ext || !object->btf || size < 32 || word(ext + 4) < 32 || word(ext + 28) < 4)
		return false;
	at = (size_t)word(ext + 4) + word(ext + 24);
	end = at + word(ext + 28);
	if (end > size || at + 4 > end)
		return false;
	record = word(ext + at);
	for (at += 4; record >= 16 && at + 8 <= end;) {
		const char *name = btf__name_by_offset(object->btf, word(ext + at));
		uint32_t count = word(ext + at + 4), i;

		for (at += 8, i = 0; i < count && at + record <= end; i++, at += record)
			if (name && in_program(object, program, name, word(ext + at)))
				return true;
		if (i < count)
			break;
	}
	return false;
}

bool raw_collect(struct raw_object *object, struct raw_program *program, const struct raw_symbol *entry)
{
	size_t i;

	if (collect_function(object, program, entry->elf.st_shndx, entry->elf.st_value) == RAW_MAX_FUNCTIONS)
		return false;
	for (i = 0; i < program->function_count; i++)
		if (!collect_callees(object, program, i))
			return false;
	if (needs_core(object, program))
		return raw_refuse(object, EOPNOTSUPP, "the program needs CO-RE relocations, which only libbpf applies");
	if (program->count > RAW_MAX_INSNS)
		return raw_refuse(object, E2BIG, "%zu instructions", program->count);
	program->insns = calloc(program->count, sizeof(struct bpf_insn));
	if (!program->insns)
		return raw_refuse(object, ENOMEM, "no memory for %zu instructions", program->count);
	for (i = 0; i < program->function_count; i++) {
		const struct raw_function *f = &program->functions[i];

		memcpy(program->insns + f->start, object->sections[f->section].bytes + f->offset, f->size);
	}
	return true;
}

/* The descriptor of the map a symbol in `.maps` stands for, or -1. */
static int declared_map_fd(const struct raw_object *object, uint64_t offset)
{
	size_t i;

	for (i = 0; i < object->job->declared_count; i++)
		if (object->job->declared[i].offset == offset)
			return object->map_fds[i];
	return -1;
}

static bool relocate_wide(struct raw_object *object, struct bpf_insn *insn, const struct raw_symbol *symbol)
{
	const struct raw_section *target;
	int fd;

	if (symbol->elf.st_shndx >= object->section_count)
		return raw_refuse(object, EINVAL, "'%s' lies in no section", symbol->name);
	target = &object->sections[symbol->elf.st_shndx];
	fd = target->kind == SECTION_MAPS ? declared_map_fd(object, symbol->elf.st_value) : target->map_fd;
	if (fd < 0)
		return raw_refuse(object, EINVAL, "'%s' in section '%s' is neither a map nor a global variable", symbol->name,
				  target->name);
	insn[0].src_reg = target->kind == SECTION_MAPS ? BPF_PSEUDO_MAP_FD : BPF_PSEUDO_MAP_VALUE;
	insn[1].imm = target->kind == SECTION_MAPS ? 0 : insn[0].imm + (int32_t)symbol->elf.st_value;
	insn[0].imm = fd;
	return true;
}

/* One instruction of function `f`, `at` bytes into its section. */
static bool relocate_insn(struct raw_object *object, struct raw_program *program, const struct raw_function *f, size_t at)
{
	size_t index = f->start + (at - f->offset) / sizeof(struct bpf_insn), to_section, to_offset, callee;
	struct bpf_insn *insn = &program->insns[index];
	bool address = is_wide(insn) && takes_function(object, f->section, at);
	struct raw_symbol symbol;
	uint32_t type;

	if (is_call(insn) || address) {
		call_target(object, f->section, at, &to_section, &to_offset);
		callee = collect_function(object, program, to_section, to_offset);
		if (callee == RAW_MAX_FUNCTIONS)
			return false;
		insn->src_reg = address ? BPF_PSEUDO_FUNC : BPF_PSEUDO_CALL;
		insn->imm = (int32_t)(program->functions[callee].start - index - 1);
		return true;
	}
	if (!find_relocation(object, &object->sections[f->section], at, &type, &symbol))
		return true;
	if (!is_wide(insn) || type != RELO_64_64 || index + 1 >= program->count)
		return raw_refuse(object, EINVAL, "relocation of type %u against '%s' on an instruction it does not fit", type,
				  symbol.name);
	return relocate_wide(object, insn, &symbol);
}

bool raw_relocate(struct raw_object *object, struct raw_program *program)
{
	size_t i, at;

	for (i = 0; i < program->function_count; i++) {
		const struct raw_function *f = &program->functions[i];

		for (at = f->offset; at < f->offset + f->size; at += sizeof(struct bpf_insn)) {
			bool wide = is_wide(&program->insns[f->start + (at - f->offset) / sizeof(struct bpf_insn)]);

			if (!relocate_insn(object, program, f, at))
				return false;
			at += wide ? sizeof(struct bpf_insn) : 0;
		}
	}
	return true;
}
