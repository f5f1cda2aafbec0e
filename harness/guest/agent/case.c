#include "case.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "kmsg.h"
#include "limits.h"
#include "report.h"
#include "unfinished.h"

#define RESULT_ROOM (40u << 20) /* the largest log, 16 MiB, and room for the rest; pages appear when written */
#define KEEP_RESIDENT (256u << 10)
#define KILL_PATIENCE_MS 5000
#define LOOK_US 50000 /* how often the limit of the step under way is looked at */

/* Shared with the child, which finds its request here and writes its fields; those are believed only as far as
 * they add up. */
struct shared {
	struct case_request request;
	uint32_t user; /* a user id no earlier case had */
	uint32_t complete;
	bool pinned;
	struct step_clock clock;
	struct borrowed borrowed;
	struct fields fields;
	uint8_t data[];
};

static struct shared *shared;
static pid_t waiting; /* the child that waits for the next case, 0: none */
static int start_pipe[2];

bool case_init(void)
{
	sigset_t child;
	uint8_t *object, *steps;

	shared = mmap(NULL, RESULT_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	object = mmap(NULL, INLINE_OBJECT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	steps = mmap(NULL, STEPS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	if (shared == MAP_FAILED || object == MAP_FAILED || steps == MAP_FAILED)
		return false;
	shared->request.inline_object = object;
	shared->request.steps = steps;
	return pipe2(start_pipe, O_CLOEXEC) == 0;
}

struct case_request *case_request(void)
{
	return &shared->request;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}

static uint32_t log_bound(uint64_t asked)
{
	/* At least what the kernel accepts (128), at most what 5.4 does (UINT_MAX >> 8, bpf_check()). */
	if (asked < 1024)
		return 1024;
	return asked > UINT32_MAX >> 8 ? UINT32_MAX >> 8 : (uint32_t)asked;
}

/* The object is loaded, or the scenario's steps are done; everything about it but what the parent knows is written. */
static void do_case(struct load_job *job)
{
	const struct case_request *request = job->request;

	if (!job->trace.statistics_log || !limits_set(request, shared->user)) {
		load_failed(job, STAGE_OPEN, errno);
		say("the case's limits or capabilities cannot be set: %s\n", error_name(job->error));
	} else if (request->steps_size > 0 && request->loader == LOADER_LIBBPF) {
		scenario_run(job, &shared->clock, &shared->borrowed);
		return;
	} else if (request->steps_size > 0) {
		load_failed(job, STAGE_OPEN, EOPNOTSUPP);
		say("a scenario needs the loader libbpf\n");
	} else if (request->loader == LOADER_RAW) {
		load_raw(job);
	} else {
		load_with_libbpf(job);
	}
	report_status(job);
	report_load(job);
}

static void child_main(void)
{
	static struct load_job job; /* zero, and too large for a stack */
	const struct case_request *request = &shared->request;
	char go;

	job.request = request;
	job.out = &shared->fields;
	job.trace.statistics_log = bpfcalls_log_buffer(STATISTICS_LOG);
	if (read(start_pipe[0], &go, 1) != 1)
		_exit(1);
	job.trace.full_log_bound = log_bound(request->log_bytes);
	job.trace.full_log_max_insns = request->full_log_max_insns;
	do_case(&job);
	shared->pinned = job.trace.pinned;
	__atomic_store_n(&shared->complete, 1, __ATOMIC_RELEASE);
	_exit(0);
}

bool case_wait_for(pid_t child, uint64_t limit_us, int *status)
{
	uint64_t deadline = now_us() + limit_us, now;
	struct timespec left;
	sigset_t ended;

	sigemptyset(&ended);
	sigaddset(&ended, SIGCHLD);
	for (;;) {
		pid_t gone = waitpid(-1, status, WNOHANG);

		if (gone == child)
			return true;
		if (gone > 0)
			continue; /* an earlier child that would not die then */
		now = now_us();
		if (now >= deadline)
			return false;
		left.tv_sec = (time_t)((deadline - now) / 1000000);
		left.tv_nsec = (long)((deadline - now) % 1000000) * 1000;
		sigtimedwait(&ended, NULL, &left);
	}
}

/* The child's fields as far as they can be believed. */
static void take_fields(struct fields *childs)
{
	size_t used = shared->fields.used, room = RESULT_ROOM - sizeof(*shared);

	*childs = (struct fields){.data = shared->data, .size = room};
	childs->used = used <= room && fields_add_up(shared->data, used) ? used : 0;
}

void case_prepare(void)
{
	if (waiting > 0)
		return;
	waiting = fork();
	if (waiting == 0)
		child_main();
	if (waiting < 0)
		waiting = 0;
}

void case_discard(void)
{
	int status;

	if (waiting > 0) {
		kill(waiting, SIGKILL);
		case_wait_for(waiting, KILL_PATIENCE_MS * 1000, &status);
	}
	waiting = 0;
}

/* Let the waiting child begin. Returns it, or 0 when there is none. */
static pid_t start_child(void)
{
	pid_t child;
	char go = 0;
	int status;

	if (waiting > 0 && waitpid(waiting, &status, WNOHANG) != 0)
		waiting = 0; /* it was killed while it waited */
	case_prepare();
	child = waiting;
	waiting = 0;
	if (child > 0 && write(start_pipe[1], &go, 1) != 1)
		return 0;
	return child;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Wait for the child to end within the case's limit and that of the step under way, which it writes down itself. */
static enum ending wait_within_limits(pid_t child, int *status)
{
	uint64_t deadline = now_us() + shared->request.time_limit_ms * 1000, now, step, slice;

	if (shared->request.steps_size == 0)
		return case_wait_for(child, shared->request.time_limit_ms * 1000, status) ? ENDED : CASE_LIMIT;
	for (;;) {
		step = __atomic_load_n(&shared->clock.deadline_us, __ATOMIC_ACQUIRE);
		now = now_us();
		if (now >= deadline)
			return CASE_LIMIT;
		if (step && now >= step)
			return STEP_LIMIT;
		slice = earlier(deadline - now, LOOK_US);
		if (case_wait_for(child, step ? earlier(slice, step - now) : slice, status))
			return ENDED;
	}
}

/* Everything of the last case is forgotten; its request stays. */
static void reset_shared(void)
{
	shared->user++;
	shared->complete = 0;
	shared->pinned = false;
	shared->clock = (struct step_clock){0};
	shared->borrowed = (struct borrowed){0};
	shared->fields = (struct fields){.data = shared->data, .size = RESULT_ROOM - sizeof(*shared)};
}

/* Wait within the limits, then kill. */
static void finish_child(pid_t child, struct fields *mine, struct fields *childs)
{
	int status = 0;
	enum ending ending = wait_within_limits(child, &status);
	const char *left = NULL;

	if (ending != ENDED) {
		kill(child, SIGKILL);
		if (!case_wait_for(child, KILL_PATIENCE_MS * 1000, &status))
			left = "(agent: the case's process does not die, it hangs in the kernel)";
	}
	if (shared->request.steps_size > 0 && !left)
		left = cleanup_after(child, &shared->borrowed);
	if (left)
		fields_text(mine, RESULT_KMSG, left);
	take_fields(childs);
	if (!__atomic_load_n(&shared->complete, __ATOMIC_ACQUIRE))
		tell_unfinished(&shared->clock, ending, status, mine, childs);
}

const char *case_run(struct fields *mine, struct fields *childs)
{
	uint64_t start = now_us();
	pid_t child;

	kmsg_take(mine, RESULT_EARLIER_SPLAT, true);
	reset_shared();
	child = start_child();
	if (child <= 0)
		return "no child process can be made for the case";
	finish_child(child, mine, childs);
	if (shared->pinned || shared->request.steps_size > 0)
		cleanup_pins();
	kmsg_take(mine, RESULT_KMSG, false);
	fields_number(mine, RESULT_CASE_US, now_us() - start);
	return NULL;
}

void case_done(void)
{
	if (shared->fields.used > KEEP_RESIDENT)
		madvise((uint8_t *)shared + KEEP_RESIDENT, RESULT_ROOM - KEEP_RESIDENT, MADV_REMOVE);
}
