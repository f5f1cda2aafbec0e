/* One thread changes a map's value while another runs the program that reads it. */
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "triggers.h"

struct updater {
	int map;
	uint64_t flags;
	uint8_t *value;
	size_t filled; /* so many bytes of the value are all the same */
	atomic_bool stop;
	uint64_t updates;
	int error;
};

static void *update_all_the_time(void *data)
{
	struct updater *updater = data;
	uint32_t zero = 0;
	uint8_t byte = 0;

	while (!atomic_load(&updater->stop) && !updater->error) {
		memset(updater->value, byte++, updater->filled);
		if (bpf_map_update_elem(updater->map, &zero, updater->value, updater->flags) < 0)
			updater->error = errno;
		else
			updater->updates++;
	}
	return NULL;
}

static bool run_program(int program)
{
	uint8_t packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = 1);

	return bpf_prog_test_run_opts(program, &opts) == 0;
}

static void read_all_the_time(const struct step *step, int program, struct updater *updater, struct tally *tally)
{
	uint64_t i;

	for (i = 0; i < step->count && !updater->error; i++)
		tally_add(tally, program < 0 ? syscall(SYS_getppid) >= 0 : run_program(program));
}

static bool prepare(struct scenario *s, const struct step *step, struct updater *updater, struct step_result *result)
{
	struct bpf_map *map = step->arg_count > 0 ? scenario_map(s, step->args[0], result) : NULL;
	uint64_t bytes;

	if (!map) {
		result_fail(result, EINVAL, "concurrent takes a map, the bytes of its value to fill, and a program to run");
		return false;
	}
	if (bpf_map__key_size(map) != sizeof(uint32_t) ||
	    !step_number(step, 1, bpf_map__value_size(map), &bytes) || bytes > bpf_map__value_size(map)) {
		result_fail(result, EINVAL, "map '%s' has keys of %u bytes (4 are needed) and values of %u", step->args[0],
			    bpf_map__key_size(map), bpf_map__value_size(map));
		return false;
	}
	updater->map = bpf_map__fd(map);
	updater->flags = step->flags;
	updater->filled = bytes;
	updater->value = calloc(libbpf_num_possible_cpus(), (bpf_map__value_size(map) + 7u) & ~7u);
	return updater->value != NULL;
}

/* concurrent(map, bytes, program): flags are the updates', count is the number of runs. */
void trigger_concurrent(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	struct updater updater = {0};
	struct bpf_program *program = NULL;
	pthread_t thread;

	if (!scenario_load(s)) {
		result_fail(result, s->job->error, "the object was not loaded");
		return;
	}
	if (!prepare(s, step, &updater, result))
		return;
	if (step->arg_count > 2 && !(program = scenario_program(s, step->args[2], result)))
		return;
	errno = pthread_create(&thread, NULL, update_all_the_time, &updater);
	if (errno) {
		result_fail(result, errno, "no second thread: %s", strerror(errno));
		return;
	}
	read_all_the_time(step, program ? bpf_program__fd(program) : -1, &updater, tally);
	atomic_store(&updater.stop, true);
	pthread_join(thread, NULL);
	if (updater.error)
		result_fail(result, updater.error, "map '%s' refused an update: %s", step->args[0], strerror(updater.error));
	tally_extra(tally, updater.updates);
	free(updater.value);
}
