/* One step of a scenario, and what it gave. The wire's form of both is in ../PROTOCOL.md. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define STEP_NAME_MAX 256
#define STEP_ARGS_MAX 256
#define STEP_ARGS_ROOM (64u << 10) /* bytes of all arguments of one step */
#define STEP_WORDS_MAX 4096

enum step_op {
	OP_SET = 1,
	OP_LOAD,
	OP_ATTACH,
	OP_DETACH,
	OP_TRIGGER,
	OP_TEST_RUN,
	OP_UPDATE,
	OP_LOOKUP,
	OP_DELETE,
	OP_FILL,
	OP_COUNT,
	OP_READ,
	OP_RING,
	OP_PERF_OPEN,
	OP_PERF,
	OP_FACT,
	OP_PREFLIGHT,
	OP_ENV,
	OP_END,
};

struct step {
	uint64_t index, op, limit_ms, flags, count;
	char name[STEP_NAME_MAX], fact[STEP_NAME_MAX];
	const uint8_t *key, *value; /* into the request */
	size_t key_size, value_size;
	const char *args[STEP_ARGS_MAX + 1]; /* ends with NULL, as execve() wants it */
	size_t arg_count;
	bool may_fail;
};

/* Values and numbers stand in `fields` as they go on the wire. */
struct step_result {
	int error; /* 0: fine, else a positive errno */
	char words[STEP_WORDS_MAX];
	size_t words_used;
	struct fields fields;
};

/* Read step `index` out of its body. Returns what is wrong with it, or NULL. The arguments are valid until the next
 * call. */
const char *step_read(struct step *step, uint64_t index, const uint8_t *body, size_t length);
/* A number written in argument `index`; `otherwise` where there is no such argument. False when it is none. */
bool step_number(const struct step *step, size_t index, uint64_t otherwise, uint64_t *number);

void result_value(struct step_result *result, const void *value, size_t length);
void result_number(struct step_result *result, uint64_t number);
/* The step failed; `format` says what with. The first failure counts. */
void result_fail(struct step_result *result, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Words of a step, failed or not. */
void result_say(struct step_result *result, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The wire's form of a finished step, appended to `out` as one field. `room` is where it is put together. */
void result_write(struct fields *out, uint16_t tag, uint64_t index, const struct step_result *result,
		  struct fields *room);
