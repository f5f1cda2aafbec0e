/* What the guest knows by other means than BPF. */
#pragma once
#include "step.h"

#define FACT_MAX 4096

struct fact {
	bool is_text;
	size_t size; /* of `bytes`; a text's NUL counts */
	uint8_t bytes[FACT_MAX];
	uint64_t numbers[8]; /* beyond the value, for facts of several numbers */
	size_t number_count;
};

/* False, and the known names in `result`, when there is no such fact; false as well when it cannot be found out. */
bool fact_find(const char *name, struct fact *fact, struct step_result *result);
