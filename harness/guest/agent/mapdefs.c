#include "mapdefs.h"

#include <linux/bpf.h>
#include <string.h>

/* `__uint(name, n)` is a pointer to an array of n ints (bpf_helpers.h). False for another type. */
static bool uint_value(const struct btf *btf, uint32_t type_id, uint32_t *value)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);

	if (!type || !btf_is_ptr(type))
		return false;
	type = btf__type_by_id(btf, type->type);
	if (!type || !btf_is_array(type))
		return false;
	*value = btf_array(type)->nelems;
	return true;
}

/* `__type(key, T)` is a pointer to T; its size, or nothing. */
static void type_size(const struct btf *btf, uint32_t type_id, uint32_t *size)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);
	long long bytes;

	if (!type || !btf_is_ptr(type))
		return;
	bytes = btf__resolve_size(btf, type->type);
	if (bytes >= 0)
		*size = (uint32_t)bytes;
}

static const struct btf_type *skip_names(const struct btf *btf, uint32_t id)
{
	const struct btf_type *type = btf__type_by_id(btf, id);
	int steps = 0;

	while (type && (btf_is_mod(type) || btf_is_typedef(type)) && steps++ < 32)
		type = btf__type_by_id(btf, type->type);
	return type;
}

static void read_definition(const struct btf *btf, const struct btf_type *record, struct map_definition *def, int depth);

/* `__array(values, struct {…})`: an array of pointers to the inner map's definition (or to functions). */
static void read_inner(const struct btf *btf, uint32_t type_id, struct map_definition *def, int depth)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);
	struct map_definition inner = {0};

	if (!type || !btf_is_array(type) || depth > 0)
		return;
	type = skip_names(btf, btf_array(type)->type);
	if (!type || !btf_is_ptr(type))
		return;
	type = skip_names(btf, type->type);
	if (!type || !btf_is_struct(type))
		return;
	read_definition(btf, type, &inner, depth + 1);
	def->has_inner = true;
	def->inner = (struct inner_definition){inner.type, inner.key_size, inner.value_size, inner.max_entries, inner.map_flags};
}

/* A member written with __uint(). */
static void read_number(const char *name, uint32_t number, struct map_definition *def)
{
	const struct {
		const char *name;
		uint32_t *to;
	} numbers[] = {
		{"type", &def->type},
		{"max_entries", &def->max_entries},
		{"key_size", &def->key_size},
		{"value_size", &def->value_size},
		{"map_flags", &def->map_flags},
		{"map_extra", &def->map_extra},
		{"numa_node", &def->numa_node},
	};
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strcmp(name, numbers[i].name) == 0)
			*numbers[i].to = number;
}

static void read_member(const struct btf *btf, const char *name, uint32_t type, struct map_definition *def, int depth)
{
	uint32_t number;

	if (strcmp(name, "key") == 0)
		type_size(btf, type, &def->key_size);
	else if (strcmp(name, "value") == 0)
		type_size(btf, type, &def->value_size);
	else if (strcmp(name, "values") == 0)
		read_inner(btf, type, def, depth);
	else if (uint_value(btf, type, &number))
		read_number(name, number, def);
}

static void read_definition(const struct btf *btf, const struct btf_type *record, struct map_definition *def, int depth)
{
	const struct btf_member *member = btf_members(record);
	int i;

	for (i = 0; i < btf_vlen(record); i++, member++) {
		const char *name = btf__name_by_offset(btf, member->name_off);

		if (name)
			read_member(btf, name, member->type, def, depth);
	}
}

static bool read_variable(const struct btf *btf, const struct btf_var_secinfo *info, struct map_definition *def)
{
	const struct btf_type *variable = btf__type_by_id(btf, info->type), *record;

	if (!variable || !btf_is_var(variable))
		return false;
	record = skip_names(btf, variable->type);
	if (!record || !btf_is_struct(record))
		return false;
	memset(def, 0, sizeof(*def));
	def->name = btf__name_by_offset(btf, variable->name_off);
	def->offset = info->offset;
	read_definition(btf, record, def, 0);
	/* A map of maps, or of programs, holds u32 descriptors; libbpf allows leaving the sizes out. */
	if (def->has_inner)
		def->key_size = def->key_size ? def->key_size : 4, def->value_size = 4;
	return def->name != NULL;
}

static const struct btf_type *maps_section(const struct btf *btf)
{
	int id = btf ? btf__find_by_name_kind(btf, ".maps", BTF_KIND_DATASEC) : -1;

	return id < 0 ? NULL : btf__type_by_id(btf, (uint32_t)id);
}

size_t mapdefs_most(const struct btf *btf)
{
	const struct btf_type *section = maps_section(btf);

	return section ? btf_vlen(section) : 0;
}

size_t mapdefs_read(const struct btf *btf, struct map_definition *defs, size_t room)
{
	const struct btf_type *section = maps_section(btf);
	const struct btf_var_secinfo *info;
	size_t count = 0;
	int i;

	if (!section)
		return 0;
	info = btf_var_secinfos(section);
	for (i = 0; i < btf_vlen(section) && count < room; i++, info++)
		count += read_variable(btf, info, &defs[count]);
	return count;
}

const struct map_definition *mapdefs_find(const struct map_definition *defs, size_t count, const char *kernel_name)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strncmp(defs[i].name, kernel_name, BPF_OBJ_NAME_LEN - 1) == 0)
			return &defs[i];
	return NULL;
}
