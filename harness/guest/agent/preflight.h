/* Whether a loader should start at all on this system, decided before anything is loaded. Needs nothing of the
 * agent and may be taken over by a loader of one's own. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct preflight_needs {
	bool btf;                 /* the kernel's own BTF: CO-RE programs, fentry, tp_btf */
	bool tracing;             /* programs that read the kernel's memory */
	unsigned int libbpf[2];   /* at least this version: major, minor */
	uint64_t memlock;         /* bytes of maps and programs, counted against RLIMIT_MEMLOCK before 5.11 */
};

struct preflight_answer {
	bool start;
	char text[4096]; /* one line per reason, "no: …" for each that forbids the start, "ok: …" for the others */
	size_t used;
};

/* Never fails: what cannot be found out is a reason, too. */
void preflight_check(const struct preflight_needs *needs, struct preflight_answer *answer);
