#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "raw.h"
#include "report.h"

/* What the section's name says of the program. */
struct program_kind {
	enum bpf_prog_type type;
	enum bpf_attach_type attach;
	uint32_t flags;
	const char *target; /* behind the slash, "" when there is none */
};

static bool is_sleepable(const char *section)
{
	size_t length = strcspn(section, "/");

	return length > 2 && strncmp(section + length - 2, ".s", 2) == 0;
}

static bool read_kind(struct raw_object *object, const char *section, struct program_kind *kind)
{
	const char *slash = strchr(section, '/');

	if (libbpf_prog_type_by_name(section, &kind->type, &kind->attach) < 0)
		return raw_refuse(object, ESRCH, "section '%s' names no program type libbpf knows", section);
	if (kind->type == BPF_PROG_TYPE_EXT || kind->type == BPF_PROG_TYPE_STRUCT_OPS)
		return raw_refuse(object, EOPNOTSUPP, "programs of section '%s' are not supported by this loader", section);
	kind->target = slash ? slash + 1 : "";
	kind->flags = is_sleepable(section) ? BPF_F_SLEEPABLE : 0;
	if (strncmp(section, "xdp.frags", 9) == 0)
		kind->flags |= BPF_F_XDP_HAS_FRAGS;
	return true;
}

/* Programs that attach by BTF id name their target in the section, and the kernel wants its number. */
static bool find_target(struct raw_object *object, const struct program_kind *kind, uint32_t *id)
{
	int found;

	if (kind->type != BPF_PROG_TYPE_TRACING && kind->type != BPF_PROG_TYPE_LSM)
		return true;
	found = libbpf_find_vmlinux_btf_id(kind->target, kind->attach);
	if (found <= 0) {
		say("raw loader: the kernel's BTF has no '%s' to attach to (%s)\n", kind->target,
		    error_name(found ? -found : ENOENT));
		load_failed(object->job, STAGE_LOAD, ESRCH); /* as libbpf says it */
		return false;
	}
	*id = (uint32_t)found;
	return true;
}

static void program_name(char to[BPF_OBJ_NAME_LEN], const char *from)
{
	size_t i;

	for (i = 0; i < BPF_OBJ_NAME_LEN - 1 && from[i]; i++)
		to[i] = isalnum((unsigned char)from[i]) ? from[i] : '_';
}

static void load_program(struct raw_object *object, const struct raw_program *program, const struct program_kind *kind)
{
	struct load_job *job = object->job;
	union bpf_attr attr = {0};
	uint32_t target = 0;

	if (!find_target(object, kind, &target))
		return;
	attr.prog_type = kind->type;
	attr.expected_attach_type = kind->attach;
	attr.attach_btf_id = target;
	attr.prog_flags = kind->flags;
	attr.insns = (uint64_t)(uintptr_t)program->insns;
	attr.insn_cnt = (uint32_t)program->count;
	attr.license = (uint64_t)(uintptr_t)object->license;
	attr.log_level = LOG_STATISTICS;
	attr.log_buf = (uint64_t)(uintptr_t)job->trace.statistics_log;
	attr.log_size = STATISTICS_LOG;
	program_name(attr.prog_name, job->request->program);
	job->loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)) >= 0;
	if (job->loaded)
		return;
	say("raw loader: program '%s': BPF_PROG_LOAD: %s\n", job->request->program, error_name(job->trace.load_errno));
	load_failed(job, STAGE_LOAD, job->trace.load_errno);
}

/* Every step that may end the case; what ended it stands in the job. */
static void run_steps(struct raw_object *object)
{
	static struct raw_program program;
	struct load_job *job = object->job;
	struct program_kind kind = {0};
	struct raw_symbol entry;
	size_t size = 0;
	void *data = load_object_bytes(job->request, &size);

	if (!data) {
		raw_refuse(object, errno, "the object cannot be read");
		return;
	}
	if (!raw_open(object, data, size))
		return;
	if (!raw_find_function(object, job->request->program, 0, 0, &entry)) {
		raw_refuse(object, ENOENT, "the object has no program '%s'", job->request->program);
		return;
	}
	load_read_declarations(job, object->btf);
	if (read_kind(object, object->sections[entry.elf.st_shndx].name, &kind) && raw_collect(object, &program, &entry) &&
	    raw_create_maps(object) && raw_relocate(object, &program))
		load_program(object, &program, &kind);
}

void load_raw(struct load_job *job)
{
	static struct raw_object object;

	object.job = job;
	bpfcalls_record(&job->trace);
	run_steps(&object);
	bpfcalls_record(NULL);
}
