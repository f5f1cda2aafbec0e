/* Session probes: one program for entry and return of a function. Linux has them since 6.10 (kernel functions) and 6.13
 * (user functions); the libbpf we are linked with knows neither, so the little that is needed stands here. */
#pragma once
#include <bpf/libbpf.h>
#include <stdint.h>

#include "load.h"

/* Give the object's programs of the sections kprobe.session and uprobe.session their type. Before loading. */
void sessions_prepare(struct load_job *job, struct bpf_object *object);
/* A link on the kernel's function `symbol`, or on what lies at `offset` of the file `path`. Negative: errno tells. */
int session_on_kernel(const struct bpf_program *program, const char *symbol);
int session_on_file(const struct bpf_program *program, const char *path, uint64_t offset);
