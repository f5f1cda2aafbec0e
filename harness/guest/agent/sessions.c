#include "sessions.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"

/* enum bpf_attach_type, include/uapi/linux/bpf.h of 6.13. */
#define TRACE_KPROBE_SESSION 56
#define TRACE_UPROBE_SESSION 57

/* The part of union bpf_attr that BPF_LINK_CREATE reads for these two. */
struct session_link {
	uint32_t program_fd, target_fd, attach_type, flags;
	union {
		struct {
			uint32_t flags, count;
			uint64_t symbols, addresses, cookies;
		} kernel;
		struct {
			uint64_t path, offsets, ref_ctr_offsets, cookies;
			uint32_t count, flags, pid;
		} file;
	};
};

static void prepare(struct load_job *job, struct bpf_program *program, const char *prefix, int attach_type)
{
	const char *section = bpf_program__section_name(program);

	if (strncmp(section, prefix, strlen(prefix)) != 0)
		return;
	bpf_program__set_type(program, BPF_PROG_TYPE_KPROBE);
	bpf_program__set_expected_attach_type(program, (enum bpf_attach_type)attach_type);
	fixup(job, "program '%s': section '%s', unknown to this libbpf, is loaded as kprobe with attach type %d",
	      bpf_program__name(program), section, attach_type);
}

void sessions_prepare(struct load_job *job, struct bpf_object *object)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		prepare(job, program, "kprobe.session", TRACE_KPROBE_SESSION);
		prepare(job, program, "uprobe.session", TRACE_UPROBE_SESSION);
	}
}

static int create(struct session_link *link)
{
	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, link, sizeof(*link));
}

int session_on_kernel(const struct bpf_program *program, const char *symbol)
{
	struct session_link link = {
		.program_fd = (uint32_t)bpf_program__fd(program),
		.attach_type = TRACE_KPROBE_SESSION,
		.kernel = {.count = 1, .symbols = (uintptr_t)&symbol},
	};

	return create(&link);
}

int session_on_file(const struct bpf_program *program, const char *path, uint64_t offset)
{
	struct session_link link = {
		.program_fd = (uint32_t)bpf_program__fd(program),
		.attach_type = TRACE_UPROBE_SESSION,
		.file = {.path = (uintptr_t)path, .offsets = (uintptr_t)&offset, .count = 1},
	};

	return create(&link);
}
