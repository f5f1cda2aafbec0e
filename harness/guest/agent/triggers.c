#include "triggers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cgroups.h"

#define FLOOD_MS 500

void tally_add(struct tally *tally, bool fine)
{
	if (fine)
		tally->done++;
	else if (tally->failed++ == 0)
		tally->first_errno = errno;
}

void tally_extra(struct tally *tally, uint64_t number)
{
	tally->extra[tally->extra_count++] = number;
}

/* Files are made below /tmp only: that is what is emptied after the case, whatever became of it. */
static const char *path_in_tmp(const struct step *step, struct step_result *result)
{
	const char *path = step->arg_count > 0 ? step->args[0] : "/tmp/bpfmatrix";

	if (strncmp(path, "/tmp/", 5) == 0 && path[5] && !strstr(path, "/.."))
		return path;
	result_fail(result, EINVAL, "this trigger's path begins with /tmp/, not '%s'", path);
	return NULL;
}

static void trigger_mkdirat(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	const char *path = path_in_tmp(step, result);
	uint64_t i;

	(void)s;
	for (i = 0; path && i < step->count; i++) {
		tally_add(tally, syscall(SYS_mkdirat, AT_FDCWD, path, 0755) == 0);
		rmdir(path);
	}
}

static void trigger_unlink(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	const char *path = path_in_tmp(step, result);
	uint64_t i;

	(void)s;
	for (i = 0; path && i < step->count; i++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (fd >= 0)
			close(fd);
		tally_add(tally, fd >= 0 && syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0);
	}
}

static void trigger_openat(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	uint64_t i;

	(void)s;
	if (step->arg_count != 1)
		result_fail(result, EINVAL, "openat takes a path");
	for (i = 0; step->arg_count == 1 && i < step->count; i++) {
		int fd = (int)syscall(SYS_openat, AT_FDCWD, step->args[0], O_RDONLY | O_CLOEXEC, 0);

		tally_add(tally, fd >= 0);
		if (fd >= 0)
			close(fd);
	}
}

static void trigger_getppid(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	uint64_t i;

	(void)s, (void)result;
	for (i = 0; i < step->count; i++)
		tally_add(tally, syscall(SYS_getppid) >= 0);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool milliseconds(const struct step *step, uint64_t otherwise, uint64_t *ms, struct step_result *result)
{
	if (step_number(step, 0, otherwise, ms) && *ms <= 600000)
		return true;
	result_fail(result, EINVAL, "milliseconds are a number up to 600000, not '%s'", step->args[0]);
	return false;
}

static void trigger_flood(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	uint64_t ms, until;

	(void)s;
	if (!milliseconds(step, FLOOD_MS, &ms, result))
		return;
	for (until = now_ms() + ms; now_ms() < until;)
		tally_add(tally, syscall(SYS_getppid) >= 0);
}

static void trigger_sleep(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	struct timespec wait;
	uint64_t ms;

	(void)s;
	if (!milliseconds(step, 10, &ms, result))
		return;
	wait = (struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
	tally_add(tally, nanosleep(&wait, NULL) == 0);
}

static void trigger_hang(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	(void)s, (void)step, (void)tally, (void)result;
	for (;;)
		pause();
}

static bool enter(const char *name)
{
	int fd = cgroup_open(name), procs;
	bool moved;

	if (fd < 0)
		return false;
	procs = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	moved = procs >= 0 && write(procs, "0", 1) == 1;
	if (procs >= 0)
		close(procs);
	close(fd);
	return moved;
}

/* cgroup_enter(name, controller…): without controllers only the hierarchy itself knows of the move. */
static void trigger_cgroup_enter(struct scenario *s, const struct step *step, struct tally *tally,
				 struct step_result *result)
{
	size_t i;
	int fd;

	if (step->arg_count == 0) {
		result_fail(result, EINVAL, "cgroup_enter takes the cgroup's name");
		return;
	}
	fd = cgroup_open(step->args[0]);
	if (fd >= 0)
		close(fd);
	for (i = 1; i < step->arg_count && fd >= 0; i++) {
		s->borrowed->controllers = true;
		if (!cgroup_enable(step->args[0], step->args[i]))
			result_fail(result, errno, "controller '%s' cannot be enabled: %s", step->args[i], strerror(errno));
	}
	tally_add(tally, enter(step->args[0]));
}

static const struct {
	const char *name;
	trigger *run;
} TRIGGERS[] = {
	{"mkdirat", trigger_mkdirat},
	{"unlink", trigger_unlink},
	{"openat", trigger_openat},
	{"getppid", trigger_getppid},
	{"flood", trigger_flood},
	{"sleep", trigger_sleep},
	{"hang", trigger_hang},
	{"cgroup_enter", trigger_cgroup_enter},
	{"fork", trigger_fork},
	{"execve", trigger_execve},
	{"tcp", trigger_tcp},
	{"udp", trigger_udp},
	{"user_function", trigger_user_function},
	{"nested", trigger_nested},
	{"move_context", trigger_move_context},
	{"concurrent", trigger_concurrent},
};

#define TRIGGER_COUNT (sizeof(TRIGGERS) / sizeof(TRIGGERS[0]))

static trigger *find(const char *name, struct step_result *result)
{
	size_t i;

	for (i = 0; i < TRIGGER_COUNT; i++)
		if (strcmp(TRIGGERS[i].name, name) == 0)
			return TRIGGERS[i].run;
	result_fail(result, ENOENT, "unknown trigger '%s'; there are:", name);
	for (i = 0; i < TRIGGER_COUNT; i++)
		result_say(result, " %s", TRIGGERS[i].name);
	return NULL;
}

/* An action the kernel refused even once is a failed step; `may_fail` takes it as an answer. */
void step_trigger(struct scenario *s, const struct step *step, struct step_result *result)
{
	trigger *run = find(step->name, result);
	struct tally tally = {0};
	size_t i;

	if (!run)
		return;
	run(s, step, &tally, result);
	if (tally.failed)
		result_fail(result, tally.first_errno, "%s: %llu of %llu failed, the first: %s", step->name,
			    (unsigned long long)tally.failed, (unsigned long long)(tally.done + tally.failed),
			    strerror(tally.first_errno));
	result_number(result, tally.done);
	result_number(result, tally.failed);
	for (i = 0; i < tally.extra_count; i++)
		result_number(result, tally.extra[i]);
}
