/* A scenario: the steps of a case, carried out in its child one after the other. */
#pragma once
#include <bpf/libbpf.h>

#include "load.h"
#include "step.h"

#define ATTACHMENTS_MAX 256
#define READERS_MAX 16

/* Which step is under way, for the parent that enforces its limit. In shared memory. */
struct step_clock {
	uint64_t begun;       /* steps begun so far: the one under way has index begun - 1 */
	uint64_t ended;       /* steps whose result stands */
	uint64_t op, limit_ms;
	uint64_t deadline_us; /* CLOCK_MONOTONIC; 0: none */
};

/* What of the guest itself the case changed and its parent puts back. In shared memory. */
struct borrowed {
	bool unprivileged; /* kernel.unprivileged_bpf_disabled */
	char unprivileged_was[16];
	bool controllers; /* cgroup controllers were enabled at the root */
};

struct attachment {
	char name[STEP_NAME_MAX];
	struct bpf_link *link; /* NULL: it is `fd` */
	int fd;
};

struct drain;

struct perf_reader {
	char name[STEP_NAME_MAX];
	struct perf_buffer *buffer;
	struct drain *drain; /* what its callbacks write to */
};

struct scenario {
	struct load_job *job;
	struct step_clock *clock;
	struct borrowed *borrowed;
	struct bpf_object *object;
	struct bpf_program *reported;
	bool load_tried, loaded;
	struct attachment attachments[ATTACHMENTS_MAX];
	size_t attachment_count;
	struct perf_reader readers[READERS_MAX];
	size_t reader_count;
};

/* Do it all, and leave status, stage and errno in the job. */
void scenario_run(struct load_job *job, struct step_clock *clock, struct borrowed *borrowed);
/* Load the object unless that was tried already. False: it is not loaded, the job says why. */
bool scenario_load(struct scenario *s);
/* A program or map of the object by its name; NULL, and words that list what there is. */
struct bpf_program *scenario_program(struct scenario *s, const char *name, struct step_result *result);
struct bpf_map *scenario_map(struct scenario *s, const char *name, struct step_result *result);

/* One function per op. */
void step_set(struct scenario *s, const struct step *step, struct step_result *result);
void step_read_global(struct scenario *s, const struct step *step, struct step_result *result);
void step_attach(struct scenario *s, const struct step *step, struct step_result *result);
void step_detach(struct scenario *s, const struct step *step, struct step_result *result);
void step_trigger(struct scenario *s, const struct step *step, struct step_result *result);
void step_test_run(struct scenario *s, const struct step *step, struct step_result *result);
void step_update(struct scenario *s, const struct step *step, struct step_result *result);
void step_lookup(struct scenario *s, const struct step *step, struct step_result *result);
void step_delete(struct scenario *s, const struct step *step, struct step_result *result);
void step_fill(struct scenario *s, const struct step *step, struct step_result *result);
void step_count(struct scenario *s, const struct step *step, struct step_result *result);
void step_ring(struct scenario *s, const struct step *step, struct step_result *result);
void step_perf_open(struct scenario *s, const struct step *step, struct step_result *result);
void step_perf(struct scenario *s, const struct step *step, struct step_result *result);
void step_fact(struct scenario *s, const struct step *step, struct step_result *result);
void step_preflight(struct scenario *s, const struct step *step, struct step_result *result);
void step_env(struct scenario *s, const struct step *step, struct step_result *result);
