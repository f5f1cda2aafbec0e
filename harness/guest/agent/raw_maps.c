#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "raw.h"
#include "report.h"

static int bpf_call(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* The kernel takes 15 letters, digits, `_` and `.` (bpf_obj_name_cpy()). */
static void copy_name(char to[BPF_OBJ_NAME_LEN], const char *from)
{
	size_t i;

	for (i = 0; i < BPF_OBJ_NAME_LEN - 1 && from[i]; i++)
		to[i] = isalnum((unsigned char)from[i]) || from[i] == '.' ? from[i] : '_';
}

static bool map_failed(struct raw_object *object, const char *name, const char *call)
{
	int error = errno;

	say("raw loader: map '%s': %s: %s\n", name, call, error_name(error));
	load_failed(object->job, STAGE_MAP_CREATE, error);
	return false;
}

/* The template of a map of maps; its descriptor, or -1. */
static int create_inner(const struct map_definition *def)
{
	union bpf_attr attr = {0};
	char name[BPF_OBJ_NAME_LEN];

	attr.map_type = def->inner.type;
	attr.key_size = def->inner.key_size;
	attr.value_size = def->inner.value_size;
	attr.max_entries = def->inner.max_entries;
	attr.map_flags = def->inner.map_flags;
	snprintf(name, sizeof(name), "%.9s.inner", def->name);
	copy_name(attr.map_name, name);
	return bpf_call(BPF_MAP_CREATE, &attr);
}

/* Exactly what is declared: no rounding, no default, no BTF types. */
static bool create_declared(struct raw_object *object, const struct map_definition *def, int *fd)
{
	union bpf_attr attr = {0};
	int inner = -1;

	attr.map_type = def->type;
	attr.key_size = def->key_size;
	attr.value_size = def->value_size;
	attr.max_entries = def->max_entries;
	attr.map_flags = def->map_flags;
	attr.map_extra = def->map_extra;
	attr.numa_node = def->numa_node;
	copy_name(attr.map_name, def->name);
	if (def->has_inner) {
		inner = create_inner(def);
		if (inner < 0)
			return map_failed(object, def->name, "BPF_MAP_CREATE of its inner map");
		attr.inner_map_fd = (uint32_t)inner;
	}
	*fd = bpf_call(BPF_MAP_CREATE, &attr);
	if (*fd < 0)
		return map_failed(object, def->name, "BPF_MAP_CREATE");
	if (inner >= 0)
		close(inner);
	return true;
}

static bool fill_section(struct raw_object *object, const struct raw_section *section, const char *name)
{
	union bpf_attr attr = {0};
	uint32_t key = 0;

	attr.map_fd = (uint32_t)section->map_fd;
	attr.key = (uint64_t)(uintptr_t)&key;
	attr.value = (uint64_t)(uintptr_t)section->bytes;
	if (section->kind != SECTION_BSS && bpf_call(BPF_MAP_UPDATE_ELEM, &attr) < 0)
		return map_failed(object, name, "BPF_MAP_UPDATE_ELEM");
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)section->map_fd;
	if (section->kind == SECTION_RODATA && bpf_call(BPF_MAP_FREEZE, &attr) < 0)
		return map_failed(object, name, "BPF_MAP_FREEZE");
	return true;
}

/* Global variables: an array of one element, as any loader must make it; read-only and frozen for .rodata. */
static bool create_section_map(struct raw_object *object, struct raw_section *section)
{
	union bpf_attr attr = {0};
	char name[BPF_OBJ_NAME_LEN];

	snprintf(name, sizeof(name), "obj%.12s", section->name);
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = sizeof(uint32_t);
	attr.value_size = (uint32_t)section->size;
	attr.max_entries = 1;
	attr.map_flags = section->kind == SECTION_RODATA ? BPF_F_RDONLY_PROG : 0;
	copy_name(attr.map_name, name);
	section->map_fd = bpf_call(BPF_MAP_CREATE, &attr);
	if (section->map_fd < 0)
		return map_failed(object, name, "BPF_MAP_CREATE");
	return fill_section(object, section, name);
}

static bool is_data(const struct raw_section *section)
{
	return section->size > 0 && (section->kind == SECTION_DATA || section->kind == SECTION_RODATA ||
				     section->kind == SECTION_BSS);
}

bool raw_create_maps(struct raw_object *object)
{
	struct load_job *job = object->job;
	size_t i;

	object->map_fds = calloc(job->declared_count + 1, sizeof(int));
	for (i = 0; object->map_fds && i < job->declared_count; i++)
		if (!create_declared(object, &job->declared[i], &object->map_fds[i]))
			return false;
	for (i = 0; i < object->section_count; i++)
		if (is_data(&object->sections[i]) && !create_section_map(object, &object->sections[i]))
			return false;
	return object->map_fds != NULL || raw_refuse(object, ENOMEM, "no memory");
}
