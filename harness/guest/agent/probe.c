#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "kmsg.h"

#ifndef AGENT_DIGEST
#define AGENT_DIGEST "unknown"
#endif

enum {
	HELLO_NONCE = 1,
	HELLO_PROTOCOL,
	HELLO_AGENT,
	HELLO_RELEASE,
	HELLO_VERSION,
	HELLO_LIBBPF,
	HELLO_HAS_BTF,
	HELLO_MAP_TYPE,
	HELLO_CPUS,
	HELLO_PAGE_SIZE,
	HELLO_READY_US,
	HELLO_SPLAT,
	HELLO_NOW_US,
};

/* enum bpf_map_type of include/uapi/linux/bpf.h, in its order: the name is the enumerator's without
 * BPF_MAP_TYPE_. libbpf 1.1 knows the ones up to cgrp_storage. arena came with 6.9; by the kernels' own BTF, insn_array is
 * in 6.19 (not in 6.17) and rhash in 7.2 (not in 7.1). */
static const char *const MAP_TYPES[] = {
	"unspec", "hash", "array", "prog_array", "perf_event_array", "percpu_hash", "percpu_array", "stack_trace",
	"cgroup_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "array_of_maps", "hash_of_maps", "devmap", "sockmap",
	"cpumap", "xskmap", "sockhash", "cgroup_storage", "reuseport_sockarray", "percpu_cgroup_storage", "queue", "stack",
	"sk_storage", "devmap_hash", "struct_ops", "ringbuf", "inode_storage", "task_storage", "bloom_filter",
	"user_ringbuf", "cgrp_storage", "arena", "insn_array", "rhash",
};

#define MAP_TYPE_COUNT (sizeof(MAP_TYPES) / sizeof(MAP_TYPES[0]))

enum { TYPE_ARENA = 33, TYPE_INSN_ARRAY = 34, TYPE_RHASH = 35 };

/* At most this much of the splats found at the start is repeated in every HELLO. */
#define SPLAT_ROOM (64u << 10)

static bool creatable[MAP_TYPE_COUNT];
static uint64_t ready_us;
static uint8_t splat_bytes[SPLAT_ROOM];
static struct fields splats = {.data = splat_bytes, .size = SPLAT_ROOM};

static bool try_create(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, NULL, key, value, entries, &opts);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool map_type_works(unsigned int type)
{
	switch (type) {
	case TYPE_ARENA:
		return try_create(type, 0, 0, 1, BPF_F_MMAPABLE);
	case TYPE_INSN_ARRAY:
		return try_create(type, 4, 16, 1, 0); /* struct bpf_insn_array_value */
	case TYPE_RHASH:
		return try_create(type, 4, 8, 1, BPF_F_NO_PREALLOC) || try_create(type, 4, 8, 1, 0);
	default:
		return libbpf_probe_bpf_map_type(type, NULL) == 1;
	}
}

void probe_all(void)
{
	unsigned int type;

	for (type = 1; type < MAP_TYPE_COUNT; type++)
		creatable[type] = map_type_works(type);
	kmsg_boot_splats(&splats, HELLO_SPLAT);
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void probe_ready(void)
{
	ready_us = clock_us(CLOCK_BOOTTIME);
}

void probe_hello(struct fields *out, uint64_t nonce)
{
	char version[32];
	struct utsname names;
	unsigned int type;

	uname(&names);
	snprintf(version, sizeof(version), "%u.%u", libbpf_major_version(), libbpf_minor_version());
	fields_number(out, HELLO_NONCE, nonce);
	fields_number(out, HELLO_PROTOCOL, WIRE_VERSION);
	fields_text(out, HELLO_AGENT, AGENT_DIGEST);
	fields_text(out, HELLO_RELEASE, names.release);
	fields_text(out, HELLO_VERSION, names.version);
	fields_text(out, HELLO_LIBBPF, version);
	fields_number(out, HELLO_HAS_BTF, access("/sys/kernel/btf/vmlinux", R_OK) == 0);
	for (type = 1; type < MAP_TYPE_COUNT; type++)
		if (creatable[type])
			fields_text(out, HELLO_MAP_TYPE, MAP_TYPES[type]);
	fields_number(out, HELLO_CPUS, (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	fields_number(out, HELLO_PAGE_SIZE, (uint64_t)sysconf(_SC_PAGESIZE));
	fields_number(out, HELLO_READY_US, ready_us);
	fields_number(out, HELLO_NOW_US, clock_us(CLOCK_MONOTONIC));
	fields_append(out, &splats);
}
