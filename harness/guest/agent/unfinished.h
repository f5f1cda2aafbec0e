/* What the parent says of a case whose process did not come to its end. */
#pragma once
#include "scenario.h"

enum ending { ENDED, CASE_LIMIT, STEP_LIMIT };

/* The result of the step under way goes behind the child's own fields, status and the like into `mine`. `status`: of
 * the process, as wait() gives it. */
void tell_unfinished(const struct step_clock *clock, enum ending ending, int status, struct fields *mine,
		     struct fields *childs);
