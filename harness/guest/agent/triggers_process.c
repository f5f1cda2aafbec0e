/* fork and execve. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "triggers.h"

#define AGENT_FILE "/init"

/* Whether the child ended with status 0. */
static bool wait_for(pid_t child)
{
	int status;

	if (child < 0)
		return false;
	if (waitpid(child, &status, 0) != child)
		return false;
	errno = WIFSIGNALED(status) ? EINTR : WEXITSTATUS(status);
	return status == 0;
}

void trigger_fork(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	pid_t child = 0;
	uint64_t i;

	(void)s, (void)result;
	for (i = 0; i < step->count; i++) {
		child = fork();
		if (child == 0)
			_exit(0);
		tally_add(tally, wait_for(child));
	}
	tally_extra(tally, (uint64_t)child);
}

/* Our own binary with exactly the arguments given: only its environment says that it is to end at once. */
void trigger_execve(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	static char *const environment[] = {EXIT_MARK "=1", NULL};
	pid_t child = 0;
	uint64_t i;

	(void)s, (void)result;
	for (i = 0; i < step->count; i++) {
		child = fork();
		if (child == 0) {
			execve(AGENT_FILE, (char *const *)step->args, environment);
			_exit(errno);
		}
		tally_add(tally, wait_for(child));
	}
	tally_extra(tally, (uint64_t)child);
}
