#include "bpfcalls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static struct bpf_trace *trace;

void bpfcalls_record(struct bpf_trace *to)
{
	trace = to;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

char *bpfcalls_log_buffer(size_t size)
{
	char *log = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return log == MAP_FAILED ? NULL : log;
}

/* The line is "processed N insns (limit 1000000) max_states_per_insn …" since 5.2 (print_verification_stats()
 * in kernel/bpf/verifier.c), and the last of the log; a program's own text cannot follow it. */
bool verifier_processed(const char *log, uint64_t *insns, const char **line, size_t *length)
{
	const char *hit = NULL, *next = log;

	while ((next = strstr(next, "processed "))) {
		if (next == log || next[-1] == '\n')
			hit = next;
		next++;
	}
	if (!hit)
		return false;
	*insns = strtoull(hit + strlen("processed "), NULL, 10);
	*line = hit;
	*length = strcspn(hit, "\n");
	return true;
}

/* The maps libbpf makes to try a feature out (kernel_supports() in libbpf.c) have names of its own, or none. */
static bool is_probe_map(const union bpf_attr *attr)
{
	static const char *const names[] = {"", "libbpf_global", "libbpf_mmap", "libbpf_det_bind"};
	size_t i;

	for (i = 0; trace->has_probes && i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(attr->map_name, names[i], BPF_OBJ_NAME_LEN) == 0)
			return true;
	return false;
}

static void record_map(const union bpf_attr *attr, int error)
{
	struct map_attempt *map;

	if (trace->map_count == MAX_MAPS) {
		trace->maps_left_out++;
		return;
	}
	map = &trace->maps[trace->map_count++];
	memcpy(map->name, attr->map_name, BPF_OBJ_NAME_LEN);
	map->name[BPF_OBJ_NAME_LEN] = 0;
	map->type = attr->map_type;
	map->key_size = attr->key_size;
	map->value_size = attr->value_size;
	map->max_entries = attr->max_entries;
	map->flags = attr->map_flags;
	map->with_btf = attr->btf_key_type_id || attr->btf_value_type_id || attr->btf_vmlinux_value_type_id;
	map->error = error;
}

/* Ask again for the same program with the whole log, while everything libbpf prepared still stands. */
static void reload_with_full_log(const union bpf_attr *attr, size_t size, uint32_t level)
{
	union bpf_attr again = *attr;
	long fd;

	trace->full_log = bpfcalls_log_buffer(trace->full_log_bound);
	if (!trace->full_log)
		return;
	again.log_level = level;
	again.log_buf = (uint64_t)(uintptr_t)trace->full_log;
	again.log_size = trace->full_log_bound;
	fd = __real_syscall(SYS_bpf, BPF_PROG_LOAD, &again, size);
	trace->full_errno = fd < 0 ? errno : 0;
	trace->full_loaded = fd >= 0;
	if (fd >= 0)
		close((int)fd);
}

/* A rejection the verifier has something to say about, and that is cheap enough to repeat. */
static bool wants_full_log(void)
{
	const char *line;
	uint64_t insns;
	size_t length;

	if (trace->full_log || trace->statistics_log[0] == 0 || trace->load_errno == EAGAIN)
		return false;
	if (!verifier_processed(trace->statistics_log, &insns, &line, &length))
		insns = 0;
	return insns <= trace->full_log_max_insns;
}

/* Before 5.2 the kernel refuses the statistics level: EINVAL, and no log at all. */
static long retry_without_statistics(union bpf_attr *attr, size_t size)
{
	long fd;

	attr->log_level = LOG_EVERY_INSN;
	fd = __real_syscall(SYS_bpf, BPF_PROG_LOAD, attr, size);
	trace->verbose_fallback = fd >= 0 || trace->statistics_log[0] != 0;
	attr->log_level = LOG_STATISTICS;
	return fd;
}

/* BPF_PROG_LOAD of the program that matters. */
static long deciding_load(union bpf_attr *attr, size_t size)
{
	uint64_t start = now_ns();
	long fd = __real_syscall(SYS_bpf, BPF_PROG_LOAD, attr, size);
	int error = fd < 0 ? errno : 0;

	if (fd < 0 && error == EINVAL && trace->statistics_log[0] == 0) {
		fd = retry_without_statistics(attr, size);
		error = fd < 0 ? errno : 0;
	}
	trace->load_ns = now_ns() - start;
	trace->load_attempts++;
	trace->attempted = true;
	trace->loaded = fd >= 0;
	trace->load_errno = error;
	if (fd < 0 && wants_full_log())
		reload_with_full_log(attr, size, LOG_EVERY_INSN | LOG_STATISTICS);
	errno = error;
	return fd;
}

/* BPF_PROG_LOAD of another program of the object: it becomes the one that matters when the kernel refuses it. */
static long other_load(union bpf_attr *attr, size_t size)
{
	static struct bpf_trace before;
	long fd;

	before = *trace;
	trace->statistics_log = trace->other_log;
	trace->load_attempts = 0;
	fd = deciding_load(attr, size);
	if (fd >= 0 || errno == EAGAIN)
		*trace = before;
	return fd;
}

static void copy_attr(union bpf_attr *to, const void *from, size_t size)
{
	memset(to, 0, sizeof(*to));
	memcpy(to, from, size < sizeof(*to) ? size : sizeof(*to));
}

static bool is_deciding(int command, const union bpf_attr *attr)
{
	return command == BPF_PROG_LOAD && trace->statistics_log && attr->log_buf == (uint64_t)(uintptr_t)trace->statistics_log;
}

static bool is_other(int command, const union bpf_attr *attr)
{
	return command == BPF_PROG_LOAD && trace->other_log && attr->log_buf == (uint64_t)(uintptr_t)trace->other_log;
}

/* What one call said, and whether it belongs to the case rather than to libbpf's curiosity. */
static void record_call(int command, const union bpf_attr *attr, int error)
{
	bool probe = false;

	if (command == BPF_MAP_CREATE) {
		probe = is_probe_map(attr);
		if (!probe)
			record_map(attr, error);
	}
	trace->pinned |= command == BPF_OBJ_PIN && !error;
	if (error && !probe) {
		trace->failed_command = command;
		trace->failed_errno = error;
	}
}

static long traced_bpf(int command, void *raw, size_t size)
{
	union bpf_attr attr;
	uint64_t start;
	long result;
	int error;

	copy_attr(&attr, raw, size);
	if (is_deciding(command, &attr) && trace->on_load && !trace->attempted)
		trace->on_load(&attr, trace->data);
	if (command == BPF_BTF_LOAD && trace->on_btf)
		trace->on_btf(&attr, trace->data);
	start = now_ns();
	if (is_deciding(command, &attr))
		result = deciding_load(raw, size);
	else if (is_other(command, &attr))
		result = other_load(raw, size);
	else
		result = __real_syscall(SYS_bpf, command, raw, size);
	error = result < 0 ? errno : 0;
	trace->total_ns += now_ns() - start;
	record_call(command, &attr, error);
	errno = error;
	return result;
}

long __wrap_syscall(long number, ...)
{
	long arg[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		arg[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && trace)
		return traced_bpf((int)arg[0], (void *)arg[1], (size_t)arg[2]);
	return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
