/* BPF_PROG_TEST_RUN: the program on a packet or context of the step's. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

#define DATA_OUT (64u << 10)

/* Programs that see no packet refuse any mention of one, and of repetition (bpf_prog_test_run_raw_tp(),
 * bpf_prog_test_run_syscall() in the kernel: EINVAL). */
static bool takes_packet(const struct bpf_program *program)
{
	switch (bpf_program__type(program)) {
	case BPF_PROG_TYPE_RAW_TRACEPOINT:
	case BPF_PROG_TYPE_SYSCALL:
	case BPF_PROG_TYPE_TRACING:
		return false;
	default:
		return true;
	}
}

void step_test_run(struct scenario *s, const struct step *step, struct step_result *result)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct bpf_program *program = scenario_program(s, step->name, result);
	uint8_t *out = program ? calloc(1, DATA_OUT) : NULL;
	int error;

	if (!program)
		return;
	if (takes_packet(program)) {
		opts.data_in = step->value;
		opts.data_size_in = (uint32_t)step->value_size;
		opts.data_out = out;
		opts.data_size_out = out ? DATA_OUT : 0;
		opts.repeat = (int)step->count;
	}
	opts.ctx_in = step->key;
	opts.ctx_size_in = (uint32_t)step->key_size;
	error = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);
	if (error < 0)
		result_fail(result, -error, "program '%s' was not run: %s", step->name, strerror(-error));
	if (error == 0 && takes_packet(program))
		result_value(result, out, opts.data_size_out);
	result_number(result, opts.retval);
	result_number(result, opts.duration);
	free(out);
}
