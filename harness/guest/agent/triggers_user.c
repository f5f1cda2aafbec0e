/* The agent's own functions, called; one of them across threads. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "triggers.h"
#include "user_functions.h"

#define STACK_SIZE (64u << 10)
#define DEPTH_MAX 1000u
#define ROUNDS_MAX 100000u

static struct tally *shared_tally(void)
{
	void *memory = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static bool argument(const struct step *step, size_t index, uint64_t otherwise, uint64_t most, uint64_t *number,
		     struct step_result *result)
{
	if (step_number(step, index, otherwise, number) && *number <= most)
		return true;
	result_fail(result, EINVAL, "%s: argument %zu is a number up to %llu, not '%s'", step->name, index + 1,
		    (unsigned long long)most, step->args[index]);
	return false;
}

/* user_function(n, text): bpfmatrix_plain(i, 2 i, text) for i = 0 … n-1. */
void trigger_user_function(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	const char *text = step->arg_count > 1 ? step->args[1] : "bpfmatrix";
	uint64_t n, i;

	(void)s;
	if (!argument(step, 0, step->count, 100000000, &n, result))
		return;
	(void)*(volatile const char *)text; /* a BPF program cannot wait for a page */
	for (i = 0; i < n; i++)
		tally_add(tally, bpfmatrix_plain(i, 2 * i, text) == 3 * i);
}

void trigger_nested(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	uint64_t depth, i;

	(void)s;
	if (!argument(step, 0, 1, DEPTH_MAX, &depth, result))
		return;
	for (i = 0; i < step->count; i++)
		tally_add(tally, bpfmatrix_nested(depth) == depth);
}

/* A user-level context, as a goroutine is one: a stack of its own that any thread can run. */
struct context {
	ucontext_t self;
	ucontext_t *runner; /* the thread's context that runs it now */
	uint64_t id, returned;
	char *stack;
};

static void yield(void *data)
{
	struct context *context = data;

	swapcontext(&context->self, context->runner);
}

static void context_main(unsigned int high, unsigned int low)
{
	struct context *context = (void *)((uintptr_t)high << 32 | low);

	context->returned = bpfmatrix_moved(context->id, yield, context);
	yield(context);
}

/* Run it on this thread until it yields. */
static void resume(struct context *context)
{
	ucontext_t here;

	context->runner = &here;
	swapcontext(&here, &context->self);
}

static void *resume_there(void *context)
{
	resume(context);
	return NULL;
}

static bool prepare(struct context *context, uint64_t id)
{
	uintptr_t address = (uintptr_t)context;

	context->id = id;
	context->returned = 0;
	if (!context->stack)
		context->stack = malloc(STACK_SIZE);
	if (!context->stack || getcontext(&context->self) < 0)
		return false;
	context->self.uc_stack.ss_sp = context->stack;
	context->self.uc_stack.ss_size = STACK_SIZE;
	makecontext(&context->self, (void (*)(void))context_main, 2, (unsigned int)(address >> 32), (unsigned int)address);
	return true;
}

/* Finish what `context` began, on a thread that never ran it. */
static bool resume_elsewhere(struct context *context)
{
	pthread_t other;
	int error = pthread_create(&other, NULL, resume_there, context);

	if (error == 0)
		error = pthread_join(other, NULL);
	errno = error;
	return error == 0 && context->returned == context->id;
}

/* One context: enters the function here, returns from it there. */
static bool move_one(uint64_t round)
{
	static struct context one;

	if (!prepare(&one, round + 1))
		return false;
	resume(&one);
	return resume_elsewhere(&one);
}

/* Two contexts enter the function on this thread; the first returns here, the second there. */
static bool swap_two(uint64_t round)
{
	static struct context first, second;

	if (!prepare(&first, 2 * round + 1) || !prepare(&second, 2 * round + 2))
		return false;
	resume(&first);
	resume(&second);
	resume(&first);
	return first.returned == first.id && resume_elsewhere(&second);
}

/* In a process of its own: a kernel that hands the return of a uretprobe to the wrong thread kills it (SIGILL). */
static _Noreturn void move_all(uint64_t rounds, bool swap, struct tally *shared)
{
	uint64_t i;

	for (i = 0; i < rounds; i++)
		tally_add(shared, swap ? swap_two(i) : move_one(i));
	_exit(0);
}

static void wait_for_mover(pid_t mover, uint64_t rounds, struct tally *tally)
{
	int status = 0;

	waitpid(mover, &status, 0);
	if (WIFSIGNALED(status)) {
		errno = EINTR;
		tally_add(tally, false);
		tally->failed = rounds - tally->done;
	}
	tally_extra(tally, WIFSIGNALED(status) ? (uint64_t)WTERMSIG(status) : 0);
}

/* move_context(rounds, "move" | "swap") */
void trigger_move_context(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	bool swap = step->arg_count > 1 && strcmp(step->args[1], "swap") == 0;
	struct tally *shared = shared_tally();
	uint64_t rounds;
	pid_t mover;

	(void)s;
	if (!argument(step, 0, step->count, ROUNDS_MAX, &rounds, result))
		return;
	if (step->arg_count > 1 && !swap && strcmp(step->args[1], "move") != 0) {
		result_fail(result, EINVAL, "move_context's second argument is 'move' or 'swap', not '%s'", step->args[1]);
		return;
	}
	mover = shared ? fork() : -1;
	if (mover < 0) {
		result_fail(result, errno, "no process for the contexts: %s", strerror(errno));
		return;
	}
	if (mover == 0)
		move_all(rounds, swap, shared);
	wait_for_mover(mover, rounds, shared);
	*tally = *shared;
}
