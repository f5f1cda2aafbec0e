/* After a scenario nothing of it is left in the guest. */
#pragma once
#include <sys/types.h>

#include "scenario.h"

/* End what is left of the case's processes, remove its cgroups and files, give back what it borrowed. `group`: the
 * case's process, which was reaped. NULL, or what could not be removed. */
const char *cleanup_after(pid_t group, const struct borrowed *borrowed);
/* Remove what is pinned in the bpf file system. */
void cleanup_pins(void);
