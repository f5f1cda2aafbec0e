/* What a case asks for and what the two loaders give back. Everything here runs in the case's own child. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "blobs.h"
#include "bpfcalls.h"
#include "mapdefs.h"
#include "wire.h"

#define PROGRAM_NAME_MAX 1024

enum load_stage { STAGE_NONE, STAGE_OPEN, STAGE_MAP_CREATE, STAGE_BTF_LOAD, STAGE_LOAD, STAGE_ATTACH, STAGE_RUN };
enum loader { LOADER_LIBBPF, LOADER_RAW };

#define INLINE_OBJECT_MAX (1u << 20)
#define STEPS_MAX (2u << 20) /* bytes of a scenario as the request carries it */

struct case_request {
	char object[BLOB_PATH_MAX]; /* "": the bytes came with the request */
	uint8_t *inline_object;     /* room for them, shared with the child */
	size_t inline_size;
	uint8_t *steps; /* fields CASE_STEP one behind the other, shared with the child */
	size_t steps_size;      /* 0: the object is only loaded */
	char btf[BLOB_PATH_MAX]; /* "": the kernel's own */
	char program[PROGRAM_NAME_MAX];
	uint64_t loader, memlock, capabilities, time_limit_ms, log_bytes, full_log_max_insns;
};

struct load_job {
	const struct case_request *request;
	struct bpf_trace trace;
	struct fields *out;
	const void *object; /* its bytes, when libbpf opened it */
	size_t object_size;
	struct map_definition *declared;
	size_t declared_count;
	/* The answer. */
	bool loaded;
	enum load_stage stage;
	int error; /* positive */
};

struct bpf_object;
struct bpf_program;

void load_with_libbpf(struct load_job *job);
/* The same in three parts, for a scenario. Each leaves stage and errno in the job when it says no: NULL, an errno. */
struct bpf_object *libbpf_open(struct load_job *job);
/* The program the job reports; the others are loaded, too (`with_others`), or switched off. */
struct bpf_program *libbpf_choose(struct load_job *job, struct bpf_object *object, bool with_others);
/* 0, or the errno libbpf gives; the kernel's own may differ and stands in the job. */
int libbpf_load(struct load_job *job, struct bpf_object *object, struct bpf_program *program);
void load_raw(struct load_job *job);

/* The object's bytes, writable; NULL when there are none. */
void *load_object_bytes(const struct case_request *request, size_t *size);
/* Map a blob's file into memory, writable but private. NULL when it cannot be. */
void *load_map_file(const char *path, size_t *size);
/* Read the declarations of the object's maps out of its BTF. */
void load_read_declarations(struct load_job *job, const struct btf *btf);
void load_failed(struct load_job *job, enum load_stage stage, int error);
