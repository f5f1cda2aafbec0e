/* Map definitions as the object's source declares them: BTF of the `.maps` section, before any loader's hand. */
#pragma once
#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNDECLARED UINT32_MAX

struct map_definition {
	const char *name; /* lives as long as the BTF */
	uint32_t offset;  /* of the variable in its section */
	uint32_t type, key_size, value_size, max_entries, map_flags, map_extra, numa_node; /* 0: not declared */
	bool has_inner;
	struct inner_definition {
		uint32_t type, key_size, value_size, max_entries, map_flags;
	} inner;
};

/* How many definitions there can be at the most: the variables of `.maps`. */
size_t mapdefs_most(const struct btf *btf);
/* Read at most `room` definitions; returns how many there are (0 without BTF or `.maps`). */
size_t mapdefs_read(const struct btf *btf, struct map_definition *defs, size_t room);
/* The definition whose name, cut as the kernel cuts it, is `kernel_name`; NULL when there is none. */
const struct map_definition *mapdefs_find(const struct map_definition *defs, size_t count, const char *kernel_name);
