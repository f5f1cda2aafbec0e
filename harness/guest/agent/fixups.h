/* What libbpf changed between the object and the kernel, found by comparing both ends. */
#pragma once
#include <bpf/libbpf.h>

#include "load.h"

/* Remember the object as it is before loading. */
void fixups_before(struct load_job *job, struct bpf_object *object, struct bpf_program *program);
/* A message of libbpf's, at any level: its debug messages tell of CO-RE relocations. */
void fixups_message(const char *format, va_list args);
/* Write the sentences, once loading is over. */
void fixups_after(struct load_job *job);
