/* Attaching a program: where its section says, or where the step says. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroups.h"
#include "scenario.h"
#include "sessions.h"
#include "user_functions.h"

#define AGENT_FILE "/init"
#define EVERY_PROCESS (-1)

static void end_link(const struct attachment *attachment)
{
	if (attachment->link)
		bpf_link__destroy(attachment->link);
	else
		close(attachment->fd);
}

/* Keep a link for the scenario's life. */
static void keep_either(struct scenario *s, const char *name, struct attachment made, struct step_result *result)
{
	if (!made.link && made.fd < 0) {
		result_fail(result, errno, "program '%s' was not attached: %s", name, strerror(errno));
		return;
	}
	if (s->attachment_count == ATTACHMENTS_MAX) {
		end_link(&made);
		result_fail(result, ENOSPC, "a scenario has at most %d attachments", ATTACHMENTS_MAX);
		return;
	}
	snprintf(made.name, sizeof(made.name), "%s", name);
	s->attachments[s->attachment_count++] = made;
}

/* NULL: libbpf said no, errno tells. */
static void keep(struct scenario *s, const char *name, struct bpf_link *link, struct step_result *result)
{
	keep_either(s, name, (struct attachment){.link = link, .fd = -1}, result);
}

/* Negative: the kernel said no, errno tells. */
static void keep_fd(struct scenario *s, const char *name, int fd, struct step_result *result)
{
	keep_either(s, name, (struct attachment){.fd = fd}, result);
}

struct target {
	struct scenario *s;
	struct bpf_program *program;
	const char *name;  /* of the program */
	const char *where; /* what stands behind the colon */
	struct step_result *result;
};

static void attach_kprobe(const struct target *t)
{
	keep(t->s, t->name, bpf_program__attach_kprobe(t->program, false, t->where), t->result);
}

static void attach_kretprobe(const struct target *t)
{
	keep(t->s, t->name, bpf_program__attach_kprobe(t->program, true, t->where), t->result);
}

static const struct user_function *user_function(const struct target *t)
{
	const struct user_function *function = user_function_find(t->where);
	size_t i;

	if (function)
		return function;
	result_fail(t->result, ENOENT, "the agent has no function '%s' to probe; it has:", t->where);
	for (i = 0; user_function_at(i); i++)
		result_say(t->result, " %s", user_function_at(i)->name);
	return NULL;
}

static void at_user_function(const struct target *t, bool on_return, bool at_ret)
{
	const struct user_function *function = user_function(t);
	const void *address;

	if (!function)
		return;
	address = at_ret ? function->ret : function->entry;
	keep(t->s, t->name,
	     bpf_program__attach_uprobe(t->program, on_return, EVERY_PROCESS, AGENT_FILE, user_function_offset(address)),
	     t->result);
}

static void attach_uprobe(const struct target *t) { at_user_function(t, false, false); }
static void attach_uretprobe(const struct target *t) { at_user_function(t, true, false); }
static void attach_uprobe_ret(const struct target *t) { at_user_function(t, false, true); }

static void attach_kprobe_session(const struct target *t)
{
	keep_fd(t->s, t->name, session_on_kernel(t->program, t->where), t->result);
}

static void attach_uprobe_session(const struct target *t)
{
	const struct user_function *function = user_function(t);

	if (function)
		keep_fd(t->s, t->name, session_on_file(t->program, AGENT_FILE, user_function_offset(function->entry)),
			t->result);
}

static void attach_tracepoint(const struct target *t)
{
	char category[STEP_NAME_MAX];
	const char *slash = strchr(t->where, '/');

	if (!slash || slash == t->where || (size_t)(slash - t->where) >= sizeof(category) || !slash[1]) {
		result_fail(t->result, EINVAL, "a tracepoint is CATEGORY/NAME, not '%s'", t->where);
		return;
	}
	snprintf(category, sizeof(category), "%.*s", (int)(slash - t->where), t->where);
	keep(t->s, t->name, bpf_program__attach_tracepoint(t->program, category, slash + 1), t->result);
}

static void attach_raw_tp(const struct target *t)
{
	keep(t->s, t->name, bpf_program__attach_raw_tracepoint(t->program, t->where), t->result);
}

static void attach_cgroup(const struct target *t)
{
	int fd = cgroup_open(t->where);

	if (fd < 0) {
		result_fail(t->result, errno, "cgroup '%s' cannot be made: %s", t->where, strerror(errno));
		return;
	}
	keep(t->s, t->name, bpf_program__attach_cgroup(t->program, fd), t->result);
	close(fd);
}

/* A clock that ticks on every CPU, whatever runs there. */
static int open_clock(int cpu, uint64_t period_ns)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = period_ns,
	};

	return (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static void attach_perf(const struct target *t)
{
	int cpu, cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t period = strtoull(t->where, NULL, 10);

	if (period < 1000) {
		result_fail(t->result, EINVAL, "a perf event's period is a number of at least 1000 ns, not '%s'", t->where);
		return;
	}
	for (cpu = 0; cpu < cpus && !t->result->error; cpu++) {
		int fd = open_clock(cpu, period);

		if (fd < 0)
			result_fail(t->result, errno, "no clock event on CPU %d: %s", cpu, strerror(errno));
		else
			keep(t->s, t->name, bpf_program__attach_perf_event(t->program, fd), t->result);
	}
}

static const struct {
	const char *prefix;
	void (*attach)(const struct target *t);
} TARGETS[] = {
	{"kprobe", attach_kprobe},         {"kretprobe", attach_kretprobe},   {"uprobe", attach_uprobe},
	{"uretprobe", attach_uretprobe},   {"uprobe_ret", attach_uprobe_ret}, {"tracepoint", attach_tracepoint},
	{"raw_tp", attach_raw_tp},         {"cgroup", attach_cgroup},         {"perf", attach_perf},
	{"kprobe_session", attach_kprobe_session}, {"uprobe_session", attach_uprobe_session},
};

#define TARGET_COUNT (sizeof(TARGETS) / sizeof(TARGETS[0]))

static void attach_to(struct target *t, const char *to)
{
	const char *colon = strchr(to, ':');
	size_t i, length = colon ? (size_t)(colon - to) : 0;

	for (i = 0; i < TARGET_COUNT; i++) {
		if (strlen(TARGETS[i].prefix) != length || strncmp(TARGETS[i].prefix, to, length) != 0)
			continue;
		t->where = colon + 1;
		TARGETS[i].attach(t);
		return;
	}
	result_fail(t->result, ENOENT, "unknown attach target '%s'; one is KIND:WHERE, with KIND one of:", to);
	for (i = 0; i < TARGET_COUNT; i++)
		result_say(t->result, " %s", TARGETS[i].prefix);
}

void step_attach(struct scenario *s, const struct step *step, struct step_result *result)
{
	struct target target = {.s = s, .name = step->name, .result = result};

	target.program = scenario_program(s, step->name, result);
	if (!target.program)
		return;
	if (step->arg_count > 0)
		attach_to(&target, step->args[0]);
	else
		keep(s, step->name, bpf_program__attach(target.program), result);
}

void step_detach(struct scenario *s, const struct step *step, struct step_result *result)
{
	size_t i, kept = 0, before = s->attachment_count;

	for (i = 0; i < before; i++) {
		if (strcmp(s->attachments[i].name, step->name) == 0)
			end_link(&s->attachments[i]);
		else
			s->attachments[kept++] = s->attachments[i];
	}
	s->attachment_count = kept;
	if (kept == before)
		result_fail(result, ENOENT, "program '%s' is not attached", step->name);
}
