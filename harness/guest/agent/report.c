#include "report.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define MESSAGES (256u << 10)

static char messages[MESSAGES]; /* .bss: costs nothing until written */
static size_t messages_used;

const char *error_name(int error)
{
	const char *name = error == 524 ? "ENOTSUPP" : strerrorname_np(error);

	return name ? name : "an errno without a name";
}

void vsay(const char *format, va_list args)
{
	size_t room = sizeof(messages) - messages_used;
	int wrote = vsnprintf(messages + messages_used, room, format, args);

	if (wrote > 0)
		messages_used += (size_t)wrote < room ? (size_t)wrote : room - 1;
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsay(format, args);
	va_end(args);
}

size_t say_mark(void)
{
	return messages_used;
}

const char *said_since(size_t mark, size_t *length)
{
	*length = messages_used - mark;
	return messages + mark;
}

void fixup(struct load_job *job, const char *format, ...)
{
	char sentence[1200];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	fields_text(job->out, RESULT_FIXUP, sentence);
}

static void write_map(struct load_job *job, const struct map_attempt *map)
{
	const struct map_definition *def = mapdefs_find(job->declared, job->declared_count, map->name);
	const char *name = def ? def->name : map->name;
	uint32_t declared = def ? def->max_entries : UNDECLARED;
	uint32_t numbers[] = {
		htole32(map->type), htole32(map->key_size), htole32(map->value_size), htole32(map->max_entries),
		htole32(map->flags), htole32((uint32_t)map->error), htole32(declared),
	};
	uint8_t value[sizeof(numbers) + 256];
	size_t length = strnlen(name, 256);

	memcpy(value, numbers, sizeof(numbers));
	memcpy(value + sizeof(numbers), name, length);
	fields_bytes(job->out, RESULT_MAP, value, sizeof(numbers) + length);
}

/* libbpf tries a refused map once more without its BTF types: that is one map, and a fix-up. */
static bool is_retry_of(const struct map_attempt *map, const struct map_attempt *before)
{
	return before->error && before->with_btf && !map->with_btf && strcmp(map->name, before->name) == 0;
}

static void write_maps(struct load_job *job)
{
	const struct map_attempt *map = job->trace.maps, *end = map + job->trace.map_count;

	for (; map < end; map++) {
		if (map + 1 < end && is_retry_of(map + 1, map)) {
			if (!map[1].error)
				fixup(job, "map '%s': refused with its BTF key and value types (%s), created without them",
				      map->name, error_name(map->error));
			continue;
		}
		write_map(job, map);
	}
	if (job->trace.maps_left_out)
		say("(%u more maps are not listed)\n", job->trace.maps_left_out);
}

/* A full log whose end is missing (before 6.4 the kernel keeps the beginning): the reason stands only in the
 * first attempt's log, so that one is added behind it. */
static void write_cut_log(struct load_job *job)
{
	static const char mark[] = "\n(the log was cut here; what follows is the log of the first, statistics-only attempt)\n";
	struct bpf_trace *trace = &job->trace;
	size_t head = strnlen(trace->full_log, trace->full_log_bound);
	size_t tail = strlen(trace->statistics_log);
	struct fields *out = job->out;
	size_t total = head + sizeof(mark) - 1 + tail;
	uint8_t *at = out->data + out->used + 6;

	if (out->size - out->used < 6 || total > out->size - out->used - 6) {
		out->full = true;
		return;
	}
	memcpy(at, trace->full_log, head);
	memcpy(at + head, mark, sizeof(mark) - 1);
	memcpy(at + head + sizeof(mark) - 1, trace->statistics_log, tail);
	fields_bytes(out, RESULT_LOG, at, total); /* in place: source and target are the same bytes */
}

static bool has_statistics(const char *log)
{
	const char *line;
	uint64_t insns;
	size_t length;

	return verifier_processed(log, &insns, &line, &length);
}

static void write_full_log(struct load_job *job)
{
	struct bpf_trace *trace = &job->trace;
	bool cut = trace->full_errno != trace->load_errno;

	trace->full_log[trace->full_log_bound - 1] = 0;
	if (cut && has_statistics(trace->statistics_log) && !has_statistics(trace->full_log))
		write_cut_log(job);
	else
		fields_text(job->out, RESULT_LOG, trace->full_log);
	fields_number(job->out, RESULT_LOG_CUT, cut);
	fields_number(job->out, RESULT_LOG_LEVEL, LOG_EVERY_INSN | LOG_STATISTICS);
}

static void write_log(struct load_job *job)
{
	struct bpf_trace *trace = &job->trace;

	if (trace->full_loaded)
		say("the reload with the full log was accepted, the first attempt was not (errno %d)\n", trace->load_errno);
	if (trace->full_log && !trace->full_loaded && trace->full_log[0]) {
		write_full_log(job);
		return;
	}
	fields_text(job->out, RESULT_LOG, trace->statistics_log);
	fields_number(job->out, RESULT_LOG_CUT, strlen(trace->statistics_log) >= STATISTICS_LOG - 2);
	fields_number(job->out, RESULT_LOG_LEVEL, trace->verbose_fallback ? LOG_EVERY_INSN : LOG_STATISTICS);
}

static void write_attempt(struct load_job *job)
{
	struct bpf_trace *trace = &job->trace;
	char line[400];
	const char *found;
	uint64_t insns;
	size_t length;

	write_log(job);
	fields_number(job->out, RESULT_LOAD_US, trace->load_ns / 1000);
	if (!verifier_processed(trace->statistics_log, &insns, &found, &length))
		return;
	snprintf(line, sizeof(line), "%.*s", (int)(length < sizeof(line) ? length : sizeof(line) - 1), found);
	fields_number(job->out, RESULT_PROCESSED, insns);
	fields_text(job->out, RESULT_STATISTICS, line);
}

void report_status(struct load_job *job)
{
	fields_number(job->out, RESULT_STATUS, job->loaded ? STATUS_LOADED : STATUS_FAILED);
	if (!job->loaded) {
		fields_number(job->out, RESULT_STAGE, job->stage);
		fields_number(job->out, RESULT_ERRNO, (uint64_t)job->error);
	}
}

void report_load(struct load_job *job)
{
	struct fields *out = job->out;

	fields_number(out, RESULT_BPF_US, job->trace.total_ns / 1000);
	if (job->trace.attempted)
		write_attempt(job);
	else
		fields_number(out, RESULT_LOG_LEVEL, 0);
	write_maps(job);
	fields_bytes(out, RESULT_LOADER_LOG, messages, messages_used);
}
