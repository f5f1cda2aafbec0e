/* Global variables: set before and after the load, read back. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "facts.h"
#include "scenario.h"

struct variable {
	struct bpf_map *map; /* of its section */
	const char *section;
	uint32_t offset, size;
};

static bool find_in_section(const struct btf *btf, const struct btf_type *section, const char *name, struct variable *v)
{
	const struct btf_var_secinfo *entry = btf_var_secinfos(section);
	unsigned int i;

	for (i = 0; i < btf_vlen(section); i++, entry++) {
		const struct btf_type *variable = btf__type_by_id(btf, entry->type);

		if (!variable || strcmp(btf__name_by_offset(btf, variable->name_off), name) != 0)
			continue;
		v->offset = entry->offset;
		v->size = entry->size;
		return true;
	}
	return false;
}

/* libbpf makes one map of each data section and fills the offsets of its variables in when it opens the object. */
static bool find_variable(struct scenario *s, const char *name, struct variable *v, struct step_result *result)
{
	const struct btf *btf = bpf_object__btf(s->object);
	uint32_t id, count = btf ? btf__type_cnt(btf) : 0;

	for (id = 1; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (!btf_is_datasec(type))
			continue;
		v->section = btf__name_by_offset(btf, type->name_off);
		if (v->section[0] != '.' || !find_in_section(btf, type, name, v))
			continue;
		v->map = bpf_object__find_map_by_name(s->object, v->section);
		if (v->map && v->offset + (uint64_t)v->size <= bpf_map__value_size(v->map))
			return true;
	}
	result_fail(result, ENOENT, "the object has no global variable '%s'%s", name,
		    btf ? " (a static one may have been optimised away)" : ": it has no BTF, which would name them");
	return false;
}

/* The whole section out of the kernel. NULL: no memory, or the kernel said no (errno). */
static uint8_t *fetch_section(const struct variable *v)
{
	uint32_t zero = 0;
	uint8_t *bytes = calloc(1, bpf_map__value_size(v->map));

	if (bytes && bpf_map_lookup_elem(bpf_map__fd(v->map), &zero, bytes) < 0) {
		free(bytes);
		return NULL;
	}
	return bytes;
}

void step_read_global(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct variable v;
	uint8_t *bytes;

	if (!find_variable(s, step->name, &v, result))
		return;
	bytes = fetch_section(&v);
	if (!bytes) {
		result_fail(result, errno, "section %s cannot be read: %s", v.section, strerror(errno));
		return;
	}
	result_value(result, bytes + v.offset, v.size);
	free(bytes);
}

/* Where a section cannot be mapped (before 5.5): fetch it, change it, put it back. */
static bool replace_in_section(const struct variable *v, const uint8_t *value)
{
	uint32_t zero = 0;
	uint8_t *bytes = fetch_section(v);
	bool done = false;

	if (bytes) {
		memcpy(bytes + v->offset, value, v->size);
		done = bpf_map_update_elem(bpf_map__fd(v->map), &zero, bytes, 0) == 0;
	}
	free(bytes);
	return done;
}

/* Only this variable's bytes change, whatever a program writes beside them meanwhile. The memory libbpf shows of a
 * section is the kernel's own only since libbpf 1.5 or behind a skeleton, so we map it ourselves. */
static bool write_in_section(const struct variable *v, const uint8_t *value)
{
	size_t size = (bpf_map__value_size(v->map) + 4095u) & ~4095u;
	uint8_t *section;

	if (!(bpf_map__map_flags(v->map) & BPF_F_MMAPABLE))
		return replace_in_section(v, value);
	section = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(v->map), 0);
	if (section == MAP_FAILED)
		return false;
	memcpy(section + v->offset, value, v->size);
	munmap(section, size);
	return true;
}

static void write_variable(struct scenario *s, const struct variable *v, const uint8_t *value, struct step_result *result)
{
	size_t size;
	uint8_t *section = (uint8_t *)bpf_map__initial_value(v->map, &size); /* const in libbpf 1.1 only */

	if (s->loaded && strncmp(v->section, ".rodata", 7) == 0)
		result_fail(result, EACCES, "section %s is read-only once the object is loaded: set it before", v->section);
	else if (s->loaded && !write_in_section(v, value))
		result_fail(result, errno, "section %s cannot be written: %s", v->section, strerror(errno));
	else if (!s->loaded && section)
		memcpy(section + v->offset, value, v->size);
	else if (!s->loaded)
		result_fail(result, EINVAL, "section %s has no memory to write to", v->section);
}

/* A shorter value is followed by zeros. A fact's number is cut to the variable's size. */
void step_set(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct fact fact;
	struct variable v;
	uint8_t *value;
	size_t length = step->value_size;

	if (!find_variable(s, step->name, &v, result))
		return;
	if (step->fact[0] && !fact_find(step->fact, &fact, result))
		return;
	if (step->fact[0])
		length = fact.is_text || fact.size < v.size ? fact.size : v.size;
	if (length > v.size) {
		result_fail(result, E2BIG, "variable '%s' has %u bytes, the value %zu", step->name, v.size, length);
		return;
	}
	value = calloc(1, v.size + 1);
	if (value && length > 0)
		memcpy(value, step->fact[0] ? fact.bytes : step->value, length);
	if (value)
		write_variable(s, &v, value, result);
	else
		result_fail(result, ENOMEM, "no memory");
	free(value);
}
