/* What a case may change around it. */
#pragma once
#include "scenario.h"

#define UNPRIVILEGED_SYSCTL "/proc/sys/kernel/unprivileged_bpf_disabled"
#define LOCKDOWN_FILE "/sys/kernel/security/lockdown"

/* Put back what a case changed for the whole guest. Called by its parent. */
void surroundings_return(const struct borrowed *borrowed);
