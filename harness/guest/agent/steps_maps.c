/* Maps from user space: update, look up, delete, fill, count. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

#define COUNT_MAX 10000000u

static bool is_percpu(const struct bpf_map *map)
{
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
		return true;
	default:
		return false;
	}
}

/* A per-CPU map takes and gives one value, padded to 8 bytes, for every possible CPU. */
static size_t value_stride(const struct bpf_map *map)
{
	return is_percpu(map) ? (bpf_map__value_size(map) + 7u) & ~7u : bpf_map__value_size(map);
}

static size_t value_copies(const struct bpf_map *map)
{
	return is_percpu(map) ? (size_t)libbpf_num_possible_cpus() : 1;
}

static bool key_fits(const struct bpf_map *map, const struct step *step, struct step_result *result)
{
	if (step->key_size == bpf_map__key_size(map))
		return true;
	result_fail(result, EINVAL, "map '%s' has keys of %u bytes, the step's has %zu", step->name, bpf_map__key_size(map),
		    step->key_size);
	return false;
}

/* The value as the kernel wants it: the same for every CPU. NULL: it does not fit, or there is no memory. */
static uint8_t *spread_value(const struct bpf_map *map, const struct step *step, struct step_result *result)
{
	size_t stride = value_stride(map), copies = value_copies(map), i;
	uint8_t *bytes;

	if (step->value_size != bpf_map__value_size(map)) {
		result_fail(result, EINVAL, "map '%s' has values of %u bytes, the step's has %zu", step->name,
			    bpf_map__value_size(map), step->value_size);
		return NULL;
	}
	bytes = calloc(copies, stride + 1);
	if (!bytes)
		result_fail(result, ENOMEM, "no memory");
	for (i = 0; bytes && i < copies && step->value_size > 0; i++)
		memcpy(bytes + i * stride, step->value, step->value_size);
	return bytes;
}

void step_update(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct bpf_map *map = scenario_map(s, step->name, result);
	uint8_t *value;

	if (!map || !key_fits(map, step, result))
		return;
	value = spread_value(map, step, result);
	if (value && bpf_map_update_elem(bpf_map__fd(map), step->key, value, step->flags) < 0)
		result_fail(result, errno, "map '%s' refused the update: %s", step->name, strerror(errno));
	free(value);
}

void step_lookup(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct bpf_map *map = scenario_map(s, step->name, result);
	size_t i;
	uint8_t *value;

	if (!map || !key_fits(map, step, result))
		return;
	value = calloc(value_copies(map), value_stride(map) + 1);
	if (!value)
		result_fail(result, ENOMEM, "no memory");
	else if (bpf_map_lookup_elem_flags(bpf_map__fd(map), step->key, value, step->flags) < 0)
		result_fail(result, errno, "map '%s' has no such key, or refuses to say: %s", step->name, strerror(errno));
	else
		for (i = 0; i < value_copies(map); i++)
			result_value(result, value + i * value_stride(map), bpf_map__value_size(map));
	free(value);
}

void step_delete(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct bpf_map *map = scenario_map(s, step->name, result);

	if (!map || !key_fits(map, step, result))
		return;
	if (bpf_map_delete_elem(bpf_map__fd(map), step->key) < 0)
		result_fail(result, errno, "map '%s' refused the deletion: %s", step->name, strerror(errno));
}

/* A counter at the start of key and value, little-endian, cut to what fits. */
static void number_bytes(uint8_t *bytes, size_t size, uint64_t number)
{
	memcpy(bytes, &number, size < sizeof(number) ? size : sizeof(number));
}

struct filling {
	uint64_t inserted, failed;
	int first_errno;
};

static void fill(const struct bpf_map *map, const struct step *step, uint8_t *key, uint8_t *value, struct filling *f)
{
	size_t stride = value_stride(map), copies = value_copies(map), c;
	uint64_t i;

	for (i = 0; i < step->count; i++) {
		number_bytes(key, bpf_map__key_size(map), i);
		for (c = 0; c < copies; c++)
			number_bytes(value + c * stride, bpf_map__value_size(map), i);
		if (bpf_map_update_elem(bpf_map__fd(map), key, value, step->flags) == 0) {
			f->inserted++;
			continue;
		}
		if (f->failed++ == 0)
			f->first_errno = errno;
	}
}

/* Keys 0 … times-1, each with its own number as value. What the map refuses is counted, not a failure. */
void step_fill(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct bpf_map *map = scenario_map(s, step->name, result);
	struct filling filling = {0};
	uint8_t *key, *value;

	if (!map)
		return;
	key = calloc(1, bpf_map__key_size(map) + 1);
	value = calloc(value_copies(map), value_stride(map) + 1);
	if (key && value)
		fill(map, step, key, value, &filling);
	else
		result_fail(result, ENOMEM, "no memory");
	if (filling.failed)
		result_say(result, "%llu of %llu refused, the first: %s", (unsigned long long)filling.failed,
			   (unsigned long long)step->count, strerror(filling.first_errno));
	result_number(result, filling.inserted);
	result_number(result, filling.failed);
	result_number(result, (uint64_t)filling.first_errno);
	free(key);
	free(value);
}

void step_count(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct bpf_map *map = scenario_map(s, step->name, result);
	uint8_t *key = map ? calloc(2, bpf_map__key_size(map) + 1) : NULL;
	uint8_t *next = map && key ? key + bpf_map__key_size(map) : NULL;
	const uint8_t *from = NULL;
	uint64_t entries = 0;

	if (!map)
		return;
	errno = ENOMEM;
	while (key && entries < COUNT_MAX && bpf_map_get_next_key(bpf_map__fd(map), from, next) == 0) {
		entries++;
		from = memcpy(key, next, bpf_map__key_size(map));
	}
	if (entries < COUNT_MAX && errno != ENOENT)
		result_fail(result, errno, "map '%s' does not list its keys: %s", step->name, strerror(errno));
	result_number(result, entries);
	free(key);
}
