/* fork and execve. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "triggers.h"

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

/* Our own binary with exactly the arguments given: only its environment says that it is to end at once. All a
 * program may want to read at the call lies in memory this process has touched, as in a real shell: a BPF program
 * cannot wait for a page. */
static _Noreturn void become(const char *const *arguments)
{
	char file[] = "/init", mark[] = EXIT_MARK "=1";
	char *environment[] = {mark, NULL};

	execve(file, (char *const *)arguments, environment);
	_exit(errno);
}

void trigger_execve(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	pid_t child = 0;
	uint64_t i;

	(void)s, (void)result;
	for (i = 0; i < step->count; i++) {
		child = fork();
		if (child == 0)
			become(step->args);
		tally_add(tally, wait_for(child));
	}
	tally_extra(tally, (uint64_t)child);
}
