#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "raw.h"
#include "report.h"

bool raw_refuse(struct raw_object *object, int error, const char *format, ...)
{
	va_list args;

	say("raw loader: ");
	va_start(args, format);
	vsay(format, args);
	va_end(args);
	say("\n");
	load_failed(object->job, STAGE_OPEN, error);
	return false;
}

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* `.rodata`, `.rodata.cst16`, `.data`, `.bss` and their kin, by the rule libbpf has for them. */
static enum section_kind kind_of(const char *name, const GElf_Shdr *header)
{
	if ((header->sh_flags & SHF_EXECINSTR) && header->sh_type == SHT_PROGBITS)
		return SECTION_CODE;
	if (strcmp(name, ".maps") == 0)
		return SECTION_MAPS;
	if (header->sh_type == SHT_PROGBITS && has_prefix(name, ".rodata"))
		return SECTION_RODATA;
	if (header->sh_type == SHT_PROGBITS && has_prefix(name, ".data"))
		return SECTION_DATA;
	if (header->sh_type == SHT_NOBITS && has_prefix(name, ".bss"))
		return SECTION_BSS;
	return SECTION_OTHER;
}

static bool read_symbols(struct raw_object *object, Elf_Data *data, const GElf_Shdr *header)
{
	if (header->sh_entsize != sizeof(Elf64_Sym) || !data)
		return raw_refuse(object, EINVAL, "the symbol table is damaged");
	object->symbols = data;
	object->symbol_count = data->d_size / sizeof(Elf64_Sym);
	object->symbol_strings = header->sh_link;
	return true;
}

static void read_license(struct raw_object *object, const Elf_Data *data)
{
	size_t length = data->d_size < sizeof(object->license) ? data->d_size : sizeof(object->license) - 1;

	memcpy(object->license, data->d_buf, length);
	object->license[length] = 0;
}

static bool read_special(struct raw_object *object, const char *name, Elf_Data *data, const GElf_Shdr *header)
{
	if (header->sh_type == SHT_SYMTAB)
		return read_symbols(object, data, header);
	if (!data || !data->d_buf)
		return true;
	if (strcmp(name, "license") == 0)
		read_license(object, data);
	if (strcmp(name, "maps") == 0 && data->d_size > 0)
		return raw_refuse(object, EOPNOTSUPP, "legacy map definitions in section 'maps' are not supported");
	if (strcmp(name, ".BTF") == 0) {
		object->btf = btf__new(data->d_buf, (uint32_t)data->d_size);
		if (!object->btf)
			return raw_refuse(object, EINVAL, "the object's BTF is damaged (%s)", error_name(errno));
	}
	if (strcmp(name, ".BTF.ext") == 0) {
		object->btf_ext = data->d_buf;
		object->btf_ext_size = data->d_size;
	}
	return true;
}

static bool attach_relocations(struct raw_object *object, Elf_Data *data, const GElf_Shdr *header)
{
	if (header->sh_info >= RAW_MAX_SECTIONS || header->sh_entsize != sizeof(Elf64_Rel) || !data)
		return raw_refuse(object, EINVAL, "a relocation section is damaged");
	object->sections[header->sh_info].relocations = data;
	object->sections[header->sh_info].relocation_count = data->d_size / sizeof(Elf64_Rel);
	return true;
}

static bool read_section(struct raw_object *object, Elf_Scn *scn, size_t names)
{
	size_t index = elf_ndxscn(scn);
	struct raw_section *section = &object->sections[index];
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Shdr header;

	if (!gelf_getshdr(scn, &header))
		return raw_refuse(object, EINVAL, "section %zu has no header", index);
	section->name = elf_strptr(object->elf, names, header.sh_name);
	if (!section->name)
		return raw_refuse(object, EINVAL, "section %zu has no name", index);
	section->map_fd = -1;
	section->kind = kind_of(section->name, &header);
	section->bytes = data ? data->d_buf : NULL;
	section->size = data ? data->d_size : 0;
	if (section->kind != SECTION_OTHER && section->kind != SECTION_BSS && section->size > 0 && !section->bytes)
		return raw_refuse(object, EINVAL, "section '%s' lies outside of the file", section->name);
	if (header.sh_type == SHT_REL)
		return attach_relocations(object, data, &header);
	return read_special(object, section->name, data, &header);
}

static bool check_header(struct raw_object *object)
{
	GElf_Ehdr header;

	if (!gelf_getehdr(object->elf, &header))
		return raw_refuse(object, EINVAL, "not an ELF file");
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_type != ET_REL || header.e_machine != EM_BPF)
		return raw_refuse(object, EINVAL, "not a 64-bit little-endian relocatable BPF object");
	return true;
}

bool raw_open(struct raw_object *object, void *data, size_t size)
{
	size_t names, count;
	Elf_Scn *scn = NULL;

	elf_version(EV_CURRENT);
	object->elf = elf_memory(data, size);
	if (!object->elf || !check_header(object))
		return object->elf ? false : raw_refuse(object, EINVAL, "not an ELF file");
	if (elf_getshdrnum(object->elf, &count) || elf_getshdrstrndx(object->elf, &names) || count > RAW_MAX_SECTIONS)
		return raw_refuse(object, EINVAL, "damaged section headers, or more than %d sections", RAW_MAX_SECTIONS);
	object->section_count = count;
	while ((scn = elf_nextscn(object->elf, scn)))
		if (elf_ndxscn(scn) >= count || !read_section(object, scn, names))
			return false;
	if (!object->symbols)
		return raw_refuse(object, EINVAL, "the object has no symbol table");
	return true;
}

bool raw_symbol_at(const struct raw_object *object, size_t index, struct raw_symbol *symbol)
{
	if (index >= object->symbol_count || !gelf_getsym(object->symbols, (int)index, &symbol->elf))
		return false;
	symbol->name = elf_strptr(object->elf, object->symbol_strings, symbol->elf.st_name);
	return symbol->name != NULL;
}

/* Whether the symbol is a function inside a code section, in whole instructions. */
static bool is_function(const struct raw_object *object, const struct raw_symbol *symbol)
{
	const struct raw_section *section;

	if (GELF_ST_TYPE(symbol->elf.st_info) != STT_FUNC || symbol->elf.st_shndx >= object->section_count)
		return false;
	section = &object->sections[symbol->elf.st_shndx];
	return section->kind == SECTION_CODE && symbol->elf.st_size > 0 && symbol->elf.st_size % 8 == 0 &&
	       symbol->elf.st_value % 8 == 0 && symbol->elf.st_size <= section->size &&
	       symbol->elf.st_value <= section->size - symbol->elf.st_size;
}

bool raw_find_function(const struct raw_object *object, const char *name, size_t section, size_t offset,
		       struct raw_symbol *symbol)
{
	size_t index;

	for (index = 1; index < object->symbol_count; index++) {
		if (!raw_symbol_at(object, index, symbol) || !is_function(object, symbol))
			continue;
		if (name ? strcmp(symbol->name, name) == 0
			 : symbol->elf.st_shndx == section && symbol->elf.st_value == offset)
			return true;
	}
	return false;
}
