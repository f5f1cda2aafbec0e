/* Ring and perf buffers: made, drained, and what is in them counted. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

#define RECORDS_KEPT 64
#define RECORD_MAX (16u << 10)
#define RECORDS_MAX (1u << 22) /* a program that fills faster than we drain must not keep us for ever */

struct drain {
	struct step_result *result;
	uint64_t records, lost, bytes;
};

static void take(struct drain *drain, const void *data, size_t size)
{
	if (drain->records < RECORDS_KEPT)
		result_value(drain->result, data, size < RECORD_MAX ? size : RECORD_MAX);
	drain->records++;
	drain->bytes += size;
}

static int on_ring_record(void *data, void *record, size_t size)
{
	struct drain *drain = data;

	take(drain, record, size);
	return drain->records < RECORDS_MAX ? 0 : -E2BIG;
}

static void on_perf_record(void *data, int cpu, void *record, uint32_t size)
{
	(void)cpu;
	take(data, record, size);
}

static void on_perf_lost(void *data, int cpu, unsigned long long count)
{
	struct drain *drain = data;

	(void)cpu;
	drain->lost += count;
}

void step_ring(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct bpf_map *map = scenario_map(s, step->name, result);
	struct drain drain = {.result = result};
	struct ring_buffer *ring;
	int error;

	if (!map)
		return;
	ring = ring_buffer__new(bpf_map__fd(map), on_ring_record, &drain, NULL);
	if (!ring) {
		result_fail(result, errno, "map '%s' cannot be read as a ring buffer: %s", step->name, strerror(errno));
		return;
	}
	error = ring_buffer__consume(ring);
	if (error < 0)
		result_fail(result, -error, "the ring buffer was not drained to its end: %s", strerror(-error));
	ring_buffer__free(ring);
	result_number(result, drain.records);
	result_number(result, drain.bytes);
}

/* Bytes of perf buffers this process has mapped, as the kernel lists them. */
static uint64_t mapped_bytes(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long long from, to;
	uint64_t total = 0;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[perf_event]") && sscanf(line, "%llx-%llx", &from, &to) == 2)
			total += to - from;
	if (maps)
		fclose(maps);
	return total;
}

static struct perf_reader *find_reader(struct scenario *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->reader_count; i++)
		if (strcmp(s->readers[i].name, name) == 0)
			return &s->readers[i];
	return NULL;
}

void step_perf_open(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct bpf_map *map = scenario_map(s, step->name, result);
	uint64_t before = mapped_bytes();
	struct perf_reader *reader;

	if (!map)
		return;
	if (s->reader_count == READERS_MAX || find_reader(s, step->name)) {
		result_fail(result, EALREADY, "'%s' is open already, or %d others are", step->name, READERS_MAX);
		return;
	}
	reader = &s->readers[s->reader_count];
	reader->drain = calloc(1, sizeof(*reader->drain));
	if (!reader->drain) {
		result_fail(result, ENOMEM, "no memory");
		return;
	}
	reader->buffer = perf_buffer__new(bpf_map__fd(map), step->count, on_perf_record, on_perf_lost, reader->drain,
					  NULL);
	if (!reader->buffer) {
		result_fail(result, errno, "no perf buffer of %llu pages for '%s': %s", (unsigned long long)step->count,
			    step->name, strerror(errno));
		return;
	}
	s->reader_count++;
	snprintf(reader->name, sizeof(reader->name), "%s", step->name);
	result_number(result, mapped_bytes() - before);
	result_number(result, perf_buffer__buffer_cnt(reader->buffer));
	result_number(result, step->count);
}

/* The kernel writes down how many records it lost when the next one fits: a loss at the very end shows later. */
void step_perf(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct perf_reader *reader = find_reader(s, step->name);
	struct drain *drain;
	int error;

	if (!reader) {
		result_fail(result, ENOENT, "no perf buffer '%s' is open: perf_open comes first", step->name);
		return;
	}
	drain = reader->drain;
	*drain = (struct drain){.result = result};
	error = perf_buffer__consume(reader->buffer);
	if (error < 0)
		result_fail(result, -error, "the perf buffer was not drained: %s", strerror(-error));
	result_number(result, drain->records);
	result_number(result, drain->lost);
	result_number(result, drain->bytes);
}
