/* One case in a child of its own. */
#pragma once
#include <sys/types.h>

#include "load.h"

bool case_init(void);
/* Where the next case's request goes. */
struct case_request *case_request(void);
/* Run it, and leave RESULT's fields in `mine` (the agent's own, to be sent first) and `childs`. NULL, or why no child
 * could be made. */
const char *case_run(struct fields *mine, struct fields *childs);
/* Give back memory a large result needed. */
void case_done(void);
/* Fork the child of the next case now, while the host is busy with the last result. */
void case_prepare(void);
/* Wait for a child of the agent to end, at most `limit_us`. False when it still runs then. */
bool case_wait_for(pid_t child, uint64_t limit_us, int *status);
/* The child that waits for a case is out of date. */
void case_discard(void);
