/* A batch of system calls as the host wrote them, made one after another in a child of its own. */
#pragma once
#include "wire.h"

bool calls_init(void);
/* Make the calls of a CALLS frame, and leave CALLED's fields in `mine` (the agent's own) and `childs`. NULL, or why no
 * child could be made. */
const char *calls_run(const struct frame *frame, struct fields *mine, struct fields *childs);
/* Give back memory a large answer needed. */
void calls_done(void);
