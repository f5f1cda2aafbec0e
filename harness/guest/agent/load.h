/* What a case asks for and what the two loaders give back. Everything here runs in the case's own child. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "blobs.h"
#include "bpfcalls.h"
#include "mapdefs.h"
#include "wire.h"

#define PROGRAM_NAME_MAX 1024

enum load_stage { STAGE_NONE, STAGE_OPEN, STAGE_MAP_CREATE, STAGE_BTF_LOAD, STAGE_LOAD };
enum loader { LOADER_LIBBPF, LOADER_RAW };

#define INLINE_OBJECT_MAX (1u << 20)

struct case_request {
	char object[BLOB_PATH_MAX]; /* "": the bytes came with the request */
	uint8_t *inline_object;     /* room for them, shared with the child */
	size_t inline_size;
	char btf[BLOB_PATH_MAX]; /* "": the kernel's own */
	char program[PROGRAM_NAME_MAX];
	uint64_t loader, memlock, capabilities, time_limit_ms, log_bytes, full_log_max_insns;
};

struct load_job {
	const struct case_request *request;
	struct bpf_trace trace;
	struct fields *out;
	struct map_definition *declared;
	size_t declared_count;
	/* The answer. */
	bool loaded;
	enum load_stage stage;
	int error; /* positive */
};

void load_with_libbpf(struct load_job *job);
void load_raw(struct load_job *job);

/* The object's bytes, writable; NULL when there are none. */
void *load_object_bytes(const struct case_request *request, size_t *size);
/* Map a blob's file into memory, writable but private. NULL when it cannot be. */
void *load_map_file(const char *path, size_t *size);
/* Read the declarations of the object's maps out of its BTF. */
void load_read_declarations(struct load_job *job, const struct btf *btf);
void load_failed(struct load_job *job, enum load_stage stage, int error);
