#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixups.h"
#include "ksyms.h"
#include "report.h"
#include "sessions.h"

#define MAX_DECLARED 512

void *load_map_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *data = MAP_FAILED;
	struct stat info;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &info) == 0 && info.st_size > 0) {
		*size = (size_t)info.st_size;
		data = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	}
	else
		errno = EINVAL;
	close(fd);
	return data == MAP_FAILED ? NULL : data;
}

void *load_object_bytes(const struct case_request *request, size_t *size)
{
	if (request->object[0])
		return load_map_file(request->object, size);
	*size = request->inline_size;
	errno = EINVAL;
	return *size > 0 ? request->inline_object : NULL;
}

void load_failed(struct load_job *job, enum load_stage stage, int error)
{
	job->loaded = false;
	job->stage = stage;
	/* libbpf has numbers of its own from 4000 on (format, endianness, …): its message says which. */
	job->error = error >= __LIBBPF_ERRNO__START ? EINVAL : error;
}

void load_read_declarations(struct load_job *job, const struct btf *btf)
{
	size_t most = mapdefs_most(btf);

	/* Only as much as is needed: every page of zeros is a page fault of an emulated guest. */
	job->declared = calloc(most < MAX_DECLARED ? most + 1 : MAX_DECLARED, sizeof(*job->declared));
	if (job->declared)
		job->declared_count = mapdefs_read(btf, job->declared, most < MAX_DECLARED ? most : MAX_DECLARED);
}

static int on_print(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_DEBUG)
		fixups_message(format, args);
	else
		vsay(format, args);
	return 0;
}

struct bpf_object *libbpf_open(struct load_job *job)
{
	/* The name becomes the prefix of the maps made of data sections. */
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "obj");
	struct bpf_object *object;
	size_t size = 0;
	void *data = load_object_bytes(job->request, &size);

	if (job->request->btf[0])
		opts.btf_custom_path = job->request->btf;
	libbpf_set_print(on_print);
	job->trace.has_probes = true;
	if (!data) {
		load_failed(job, STAGE_OPEN, errno);
		say("the object cannot be read: %s\n", error_name(job->error));
		return NULL;
	}
	job->object = data;
	job->object_size = size;
	object = bpf_object__open_mem(data, size, &opts);
	if (object)
		sessions_prepare(job, object);
	else
		load_failed(job, STAGE_OPEN, errno);
	return object;
}

struct bpf_program *libbpf_choose(struct load_job *job, struct bpf_object *object, bool with_others)
{
	struct bpf_program *program, *chosen = NULL;

	bpf_object__for_each_program(program, object) {
		bool wanted = !chosen && strcmp(bpf_program__name(program), job->request->program) == 0;

		if (wanted)
			chosen = program;
		if (wanted || !with_others)
			bpf_program__set_autoload(program, wanted);
	}
	if (chosen)
		return chosen;
	say("the object has no program '%s'; it has:", job->request->program);
	bpf_object__for_each_program(program, object)
		say(" %s", bpf_program__name(program));
	say("\n");
	load_failed(job, STAGE_OPEN, ENOENT);
	return NULL;
}

/* Which stage ended the load, and with the errno of which call: libbpf replaces some of the kernel's. */
static void judge(struct load_job *job, int error)
{
	const struct bpf_trace *trace = &job->trace;

	if (trace->loaded) {
		job->loaded = true;
		if (error)
			say("program '%s' was loaded; what libbpf did next failed: %s\n", job->request->program,
			    error_name(-error));
	} else if (trace->attempted) {
		load_failed(job, STAGE_LOAD, trace->load_errno);
	} else if (error == 0) {
		say("libbpf reports success, but never loaded the program\n");
		load_failed(job, STAGE_LOAD, ENOENT);
	} else if (trace->failed_errno && (trace->failed_command == BPF_MAP_CREATE ||
					   trace->failed_command == BPF_MAP_UPDATE_ELEM ||
					   trace->failed_command == BPF_MAP_FREEZE)) {
		load_failed(job, STAGE_MAP_CREATE, trace->failed_errno);
	} else if (trace->failed_command == BPF_BTF_LOAD && trace->failed_errno == -error) {
		load_failed(job, STAGE_BTF_LOAD, trace->failed_errno);
	} else {
		load_failed(job, STAGE_LOAD, -error);
	}
}

/* Each program says why it is refused in a log of our own; the reported one's is kept apart. */
static void set_logs(struct load_job *job, struct bpf_object *object, struct bpf_program *chosen)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		bool other = program != chosen;

		if (!bpf_program__autoload(program))
			continue;
		if (other && !job->trace.other_log)
			job->trace.other_log = bpfcalls_log_buffer(STATISTICS_LOG);
		bpf_program__set_log_level(program, LOG_STATISTICS);
		bpf_program__set_log_buf(program, other ? job->trace.other_log : job->trace.statistics_log, STATISTICS_LOG);
	}
}

int libbpf_load(struct load_job *job, struct bpf_object *object, struct bpf_program *program)
{
	int error;

	load_read_declarations(job, bpf_object__btf(object));
	fixups_before(job, object, program);
	set_logs(job, object, program);
	ksyms_only_of(job->object, job->object_size);
	bpfcalls_record(&job->trace);
	error = bpf_object__load(object);
	bpfcalls_record(NULL);
	ksyms_only_of(NULL, 0);
	judge(job, error);
	fixups_after(job);
	return -error;
}

void load_with_libbpf(struct load_job *job)
{
	struct bpf_object *object = libbpf_open(job);
	struct bpf_program *program = object ? libbpf_choose(job, object, false) : NULL;

	if (program)
		libbpf_load(job, object, program);
	/* Nothing is closed: the child ends now, and the kernel does it faster. */
}
