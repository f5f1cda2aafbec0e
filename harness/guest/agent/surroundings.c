/* Changing what the case finds around it: for itself where that is possible, else borrowed and given back. */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "btfcache.h"
#include "limits.h"
#include "preflight.h"
#include "scenario.h"
#include "surroundings.h"
#include "textfile.h"

#define NOBODY 65534
#define SMALL_MEMLOCK (64u << 10) /* what a process had by default before 5.16 */

/* In a mount namespace of its own, an empty directory lies over the kernel's BTF. The agent's copy is out of reach, too. */
static bool no_btf(struct scenario *s, const struct step *step)
{
	(void)s, (void)step;
	btfcache_hide();
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", "/sys/kernel/btf", "tmpfs", 0, "mode=0755,size=4k") == 0;
}

static bool drop_capabilities(struct scenario *s, const struct step *step)
{
	(void)s, (void)step;
	return limits_capabilities(0);
}

/* /proc/self stays readable for a process that changed its user only when it is dumpable. */
static bool unprivileged(struct scenario *s, const struct step *step)
{
	(void)s, (void)step;
	return setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 && limits_capabilities(0) &&
	       prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static bool borrow_unprivileged(struct scenario *s, const char *value)
{
	struct borrowed *borrowed = s->borrowed;

	if (!read_text(UNPRIVILEGED_SYSCTL, borrowed->unprivileged_was, sizeof(borrowed->unprivileged_was)) ||
	    !borrowed->unprivileged_was[0])
		return false;
	borrowed->unprivileged = true;
	return write_text(UNPRIVILEGED_SYSCTL, value);
}

static bool unprivileged_disabled(struct scenario *s, const struct step *step)
{
	(void)step;
	return borrow_unprivileged(s, "2");
}

static bool unprivileged_enabled(struct scenario *s, const struct step *step)
{
	(void)step;
	return borrow_unprivileged(s, "0");
}

/* Lock the kernel down, which it refuses when it already is: an earlier case's guest may be used again for this. */
static bool lock_down(const char *level)
{
	char levels[128], now[64];

	snprintf(now, sizeof(now), "[%s]", level);
	return (read_text(LOCKDOWN_FILE, levels, sizeof(levels)) && strstr(levels, now)) || write_text(LOCKDOWN_FILE, level);
}

static bool lockdown_integrity(struct scenario *s, const struct step *step)
{
	(void)s, (void)step;
	return lock_down("integrity");
}

static bool lockdown_confidentiality(struct scenario *s, const struct step *step)
{
	(void)s, (void)step;
	return lock_down("confidentiality");
}

static bool small_memlock(struct scenario *s, const struct step *step)
{
	uint64_t bytes;

	(void)s;
	if (!step_number(step, 0, SMALL_MEMLOCK, &bytes)) {
		errno = EINVAL;
		return false;
	}
	return limits_memlock(bytes);
}

static const struct {
	const char *name;
	bool (*change)(struct scenario *s, const struct step *step);
} SURROUNDINGS[] = {
	{"no_btf", no_btf},
	{"drop_caps", drop_capabilities},
	{"unprivileged", unprivileged},
	{"unprivileged_disabled", unprivileged_disabled},
	{"unprivileged_enabled", unprivileged_enabled},
	{"lockdown_integrity", lockdown_integrity},
	{"lockdown_confidentiality", lockdown_confidentiality},
	{"small_memlock", small_memlock},
};

void step_env(struct scenario *s, const struct step *step, struct step_result *result)
{
	size_t i;

	for (i = 0; i < sizeof(SURROUNDINGS) / sizeof(SURROUNDINGS[0]); i++) {
		if (strcmp(SURROUNDINGS[i].name, step->name) != 0)
			continue;
		if (!SURROUNDINGS[i].change(s, step))
			result_fail(result, errno, "'%s' cannot be had on this kernel: %s", step->name, strerror(errno));
		return;
	}
	result_fail(result, ENOENT, "unknown surroundings '%s'; there are:", step->name);
	for (i = 0; i < sizeof(SURROUNDINGS) / sizeof(SURROUNDINGS[0]); i++)
		result_say(result, " %s", SURROUNDINGS[i].name);
}

void surroundings_return(const struct borrowed *borrowed)
{
	char was[sizeof(borrowed->unprivileged_was) + 1] = "";

	memcpy(was, borrowed->unprivileged_was, sizeof(borrowed->unprivileged_was));
	if (borrowed->unprivileged)
		write_text(UNPRIVILEGED_SYSCTL, was);
}

/* What a step wants of preflight: "libbpf=1.4", "memlock=1048576", "no_btf", "no_tracing". */
static bool read_need(const char *word, struct preflight_needs *needs)
{
	unsigned long long bytes;

	if (strcmp(word, "no_btf") == 0)
		needs->btf = false;
	else if (strcmp(word, "no_tracing") == 0)
		needs->tracing = false;
	else if (sscanf(word, "memlock=%llu", &bytes) == 1)
		needs->memlock = bytes;
	else
		return sscanf(word, "libbpf=%u.%u", &needs->libbpf[0], &needs->libbpf[1]) == 2;
	return true;
}

void step_preflight(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct preflight_needs needs = {.btf = true, .tracing = true, .libbpf = {1, 0}, .memlock = 1 << 20};
	static struct preflight_answer answer;
	size_t i;

	(void)s;
	for (i = 0; i < step->arg_count; i++)
		if (!read_need(step->args[i], &needs))
			result_fail(result, EINVAL, "preflight takes libbpf=N.N, memlock=BYTES, no_btf, no_tracing, not '%s'",
				    step->args[i]);
	preflight_check(&needs, &answer);
	result_value(result, answer.text, answer.used + 1);
	result_number(result, answer.start);
}
