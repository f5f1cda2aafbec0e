/* Cgroups of the case's own, below /sys/fs/cgroup/case. */
#pragma once
#include <stdbool.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define CGROUP_CASE CGROUP_ROOT "/case"

/* Make cgroup `name` (may have several parts, "pod1/box") and open it. Negative: errno. */
int cgroup_open(const char *name);
/* Enable a controller for the children of the root and of every cgroup on the way to `name`. */
bool cgroup_enable(const char *name, const char *controller);
/* Remove every cgroup of the case, and disable what was enabled at the root. False: some could not be removed. */
bool cgroups_remove(bool disable_controllers);
