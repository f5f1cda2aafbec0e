#include "scenario.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "hugetext.h"
#include "report.h"

#define RESULT_ROOM (4u << 20)   /* of one step: 64 records of 16 KiB, or a large value */
#define KEEP_ROOM (1u << 20)     /* of the whole answer, for what follows the steps */

struct operation {
	const char *name;
	void (*run)(struct scenario *s, const struct step *step, struct step_result *result);
	bool needs_load;
	enum load_stage stage; /* of its failure */
};

static void step_load(struct scenario *s, const struct step *step, struct step_result *result);

static const struct operation OPERATIONS[OP_END] = {
	[OP_SET] = {"set", step_set, false, STAGE_RUN},
	[OP_LOAD] = {"load", step_load, false, STAGE_LOAD},
	[OP_ATTACH] = {"attach", step_attach, true, STAGE_ATTACH},
	[OP_DETACH] = {"detach", step_detach, true, STAGE_RUN},
	[OP_TRIGGER] = {"trigger", step_trigger, false, STAGE_RUN},
	[OP_TEST_RUN] = {"test_run", step_test_run, true, STAGE_RUN},
	[OP_UPDATE] = {"update", step_update, true, STAGE_RUN},
	[OP_LOOKUP] = {"lookup", step_lookup, true, STAGE_RUN},
	[OP_DELETE] = {"delete", step_delete, true, STAGE_RUN},
	[OP_FILL] = {"fill", step_fill, true, STAGE_RUN},
	[OP_COUNT] = {"count", step_count, true, STAGE_RUN},
	[OP_READ] = {"read", step_read_global, true, STAGE_RUN},
	[OP_RING] = {"ring", step_ring, true, STAGE_RUN},
	[OP_PERF_OPEN] = {"perf_open", step_perf_open, true, STAGE_RUN},
	[OP_PERF] = {"perf", step_perf, true, STAGE_RUN},
	[OP_FACT] = {"fact", step_fact, false, STAGE_RUN},
	[OP_PREFLIGHT] = {"preflight", step_preflight, false, STAGE_RUN},
	[OP_ENV] = {"env", step_env, false, STAGE_RUN},
};

static struct fields results; /* of the step under way */
static struct fields room;    /* where its field is put together */

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

struct bpf_program *scenario_program(struct scenario *s, const char *name, struct step_result *result)
{
	struct bpf_program *program = bpf_object__find_program_by_name(s->object, name);

	if (program)
		return program;
	result_fail(result, ENOENT, "the object has no program '%s'; it has:", name);
	bpf_object__for_each_program(program, s->object)
		result_say(result, " %s", bpf_program__name(program));
	return NULL;
}

struct bpf_map *scenario_map(struct scenario *s, const char *name, struct step_result *result)
{
	struct bpf_map *map = bpf_object__find_map_by_name(s->object, name);

	if (map)
		return map;
	result_fail(result, ENOENT, "the object has no map '%s'; it has:", name);
	bpf_object__for_each_map(map, s->object)
		result_say(result, " %s", bpf_map__name(map));
	return NULL;
}

/* What it says of the load goes out at once, so that it outlives the child. */
bool scenario_load(struct scenario *s)
{
	int error;

	if (s->load_tried)
		return s->loaded;
	s->load_tried = true;
	error = libbpf_load(s->job, s->object, s->reported);
	s->loaded = s->job->loaded && !error;
	if (error && s->job->loaded)
		load_failed(s->job, STAGE_LOAD, error);
	report_load(s->job);
	return s->loaded;
}

static void step_load(struct scenario *s, const struct step *step, struct step_result *result)
{
	(void)step;
	if (s->load_tried)
		result_fail(result, EALREADY, "the object was loaded before; a step that needs it loads it, too");
	else if (!scenario_load(s))
		result_fail(result, s->job->error, "the object was not loaded");
}

static void begin(struct scenario *s, const struct step *step)
{
	struct step_clock *clock = s->clock;

	clock->op = step->op;
	clock->limit_ms = step->limit_ms;
	clock->begun = step->index + 1;
	__atomic_store_n(&clock->deadline_us, step->limit_ms ? now_us() + step->limit_ms * 1000 : 0, __ATOMIC_RELEASE);
}

/* Its result stands in memory the parent reads, whatever becomes of this process. Where there is no more room, its
 * errno and words do at least. */
static void end(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct fields *out = s->job->out, limited = *out;

	limited.size -= KEEP_ROOM;
	limited.full = false;
	result_write(&limited, RESULT_STEP, step->index, result, &room);
	if (limited.full) {
		result->fields.used = 0;
		result_say(result, "%s(values left out: the case's results hold 40 MiB)", result->words_used ? "\n" : "");
		result_write(out, RESULT_STEP, step->index, result, &room);
	} else {
		__atomic_store_n(&out->used, limited.used, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&s->clock->ended, step->index + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&s->clock->deadline_us, 0, __ATOMIC_RELEASE);
}

/* What libbpf said during a step belongs to it. */
static void take_words(struct step_result *result, size_t mark)
{
	size_t length;
	const char *said = said_since(mark, &length);

	while (length > 0 && said[length - 1] == '\n')
		length--;
	if (length > 0)
		result_say(result, "%s%.*s", result->words_used ? "\n" : "", (int)length, said);
}

static const struct operation *operation_of(const struct step *step)
{
	return step->op > 0 && step->op < OP_END ? &OPERATIONS[step->op] : NULL;
}

static void carry_out(struct scenario *s, const struct operation *operation, const struct step *step,
		      struct step_result *result)
{
	size_t mark = say_mark();

	operation->run(s, step, result);
	if (operation->run != step_load)
		take_words(result, mark);
	if (result->fields.full)
		result_say(result, "%s(values left out: a step's result holds 4 MiB)", result->words_used ? "\n" : "");
}

/* Where a step's failure leaves the case. A load says more exactly than "load" where it failed. */
static void fail_case(struct scenario *s, const struct operation *operation, const struct step_result *result)
{
	enum load_stage stage = operation ? operation->stage : STAGE_RUN;

	if (operation && operation->run == step_load && s->load_tried && !s->loaded)
		stage = s->job->stage;
	load_failed(s->job, stage, result->error);
}

/* One step. False: the scenario ends here. */
static bool do_step(struct scenario *s, uint64_t index, const uint8_t *body, size_t length)
{
	static struct step_result result;
	static struct step step;
	const char *wrong = step_read(&step, index, body, length);
	const struct operation *operation = operation_of(&step);

	if (!wrong && operation && operation->needs_load && !scenario_load(s))
		return false;
	results.used = 0;
	results.full = false;
	result.error = 0;
	result.words_used = 0;
	result.fields = results;
	begin(s, &step);
	if (wrong || !operation)
		result_fail(&result, EINVAL, "%s", wrong ? wrong : "no such operation");
	else
		carry_out(s, operation, &step, &result);
	end(s, &step, &result);
	if (result.error == 0 || step.may_fail)
		return true;
	fail_case(s, operation, &result);
	return false;
}

/* Every step in turn. True when the scenario came to its end. */
static bool do_steps(struct scenario *s)
{
	const struct case_request *request = s->job->request;
	struct frame all = {.body = request->steps, .length = (uint32_t)request->steps_size};
	size_t at = 0, length;
	const uint8_t *body;
	uint64_t index = 0;
	uint16_t tag;

	while (field_next(&all, &at, &tag, &body, &length))
		if (!do_step(s, index++, body, length))
			return false;
	return s->load_tried || scenario_load(s);
}

static bool reserve(struct fields *fields, size_t size)
{
	fields->size = size;
	fields->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return fields->data != MAP_FAILED;
}

void scenario_run(struct load_job *job, struct step_clock *clock, struct borrowed *borrowed)
{
	static struct scenario s;

	s.job = job;
	s.clock = clock;
	s.borrowed = borrowed;
	setpgid(0, 0); /* whatever the steps start can be ended as one */
	hugetext_leave();
	if (!reserve(&results, RESULT_ROOM) || !reserve(&room, RESULT_ROOM + STEP_WORDS_MAX + 64)) {
		load_failed(job, STAGE_RUN, ENOMEM);
	} else if ((s.object = libbpf_open(job)) && (s.reported = libbpf_choose(job, s.object, true)) && do_steps(&s)) {
		job->loaded = true;
	}
	if (!s.load_tried)
		report_load(job);
	report_status(job);
}
