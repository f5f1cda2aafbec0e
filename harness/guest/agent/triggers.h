/* The built-in actions that make an attached program run. What each takes and counts: ../PROTOCOL.md. */
#pragma once
#include "scenario.h"

#define EXIT_MARK "BPFMATRIX_EXIT" /* in the environment of our own binary: end at once */

/* How often an action was done and how often the kernel refused it. */
struct tally {
	uint64_t done, failed;
	int first_errno;
	uint64_t extra[4]; /* the action's own numbers */
	size_t extra_count;
};

/* Count one attempt; its errno when it failed. */
void tally_add(struct tally *tally, bool fine);
void tally_extra(struct tally *tally, uint64_t number);

typedef void trigger(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result);

trigger trigger_fork, trigger_execve;
trigger trigger_tcp, trigger_udp;
trigger trigger_user_function, trigger_nested, trigger_move_context;
trigger trigger_concurrent;
