#include "limits.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A limited RLIMIT_MEMLOCK is counted per user before 5.11, and the kernel gives pages of an earlier case's maps
 * back late; so every such case is a user of its own. Capabilities decide what it may do, not the number. */
#define FIRST_USER 100000u
#define USERS 100000u

static bool become_own_user(uint32_t number)
{
	uid_t user = FIRST_USER + number % USERS;

	return prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setresuid(user, user, user) == 0;
}

/* Exactly this set, effective and permitted; the kernel ignores bits it does not know. */
bool limits_capabilities(uint64_t set)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)set, (uint32_t)set, 0},
		{(uint32_t)(set >> 32), (uint32_t)(set >> 32), 0},
	};

	return syscall(SYS_capset, &header, data) == 0;
}

bool limits_set(const struct case_request *request, uint32_t number)
{
	bool limited = request->memlock != UINT64_MAX;
	struct rlimit memlock = {request->memlock, request->memlock};

	if (!limited)
		memlock.rlim_cur = memlock.rlim_max = RLIM_INFINITY;
	if (setrlimit(RLIMIT_MEMLOCK, &memlock) < 0)
		return false;
	if (limited && !become_own_user(number))
		return false;
	return (!limited && request->capabilities == UINT64_MAX) || limits_capabilities(request->capabilities);
}

bool limits_memlock(uint64_t bytes)
{
	struct rlimit memlock = {bytes, bytes};

	return setrlimit(RLIMIT_MEMLOCK, &memlock) == 0 && become_own_user(USERS / 2 + (uint32_t)getpid()) && limits_capabilities(UINT64_MAX) &&
	       prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}
