#include "unfinished.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

#include "report.h"

/* The step the process was killed or died in has no result of its own. */
static void tell_step(const struct step_clock *clock, int error, const char *words, struct fields *childs)
{
	static struct step_result result;
	static uint8_t bytes[1024];
	struct fields room = {.data = bytes, .size = sizeof(bytes)};

	if (clock->begun <= clock->ended)
		return;
	result = (struct step_result){.error = error};
	result_say(&result, "%s", words);
	result_write(childs, RESULT_STEP, clock->begun - 1, &result, &room);
}

static enum load_stage stage_of(uint64_t op)
{
	if (op == OP_LOAD)
		return STAGE_LOAD;
	return op == OP_ATTACH ? STAGE_ATTACH : STAGE_RUN;
}

static void tell_step_limit(const struct step_clock *clock, struct fields *mine, struct fields *childs)
{
	char words[100];

	snprintf(words, sizeof(words), "the step did not end within its limit of %llu ms",
		 (unsigned long long)clock->limit_ms);
	tell_step(clock, ETIMEDOUT, words, childs);
	fields_number(mine, RESULT_STATUS, STATUS_FAILED);
	fields_number(mine, RESULT_STAGE, stage_of(clock->op));
	fields_number(mine, RESULT_ERRNO, ETIMEDOUT);
}

void tell_unfinished(const struct step_clock *clock, enum ending ending, int status, struct fields *mine,
		     struct fields *childs)
{
	switch (ending) {
	case STEP_LIMIT:
		tell_step_limit(clock, mine, childs);
		return;
	case CASE_LIMIT:
		tell_step(clock, ETIMEDOUT, "the case's time limit passed in this step", childs);
		fields_number(mine, RESULT_STATUS, STATUS_TIME_LIMIT);
		return;
	case ENDED:
		tell_step(clock, EINTR, "the case's process ended in this step", childs);
		fields_number(mine, RESULT_STATUS, STATUS_SIGNAL);
		if (WIFSIGNALED(status))
			fields_number(mine, RESULT_SIGNAL, (uint64_t)WTERMSIG(status));
	}
}
