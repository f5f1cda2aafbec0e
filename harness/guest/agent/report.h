/* What a case's child tells: the fields of RESULT it knows, the loader's messages, the fix-ups. */
#pragma once
#include <stdarg.h>

#include "load.h"

enum result_tag {
	RESULT_STATUS = 1,
	RESULT_STAGE,
	RESULT_ERRNO,
	RESULT_LOG,
	RESULT_LOG_CUT,
	RESULT_LOG_LEVEL,
	RESULT_LOADER_LOG,
	RESULT_LOAD_US,
	RESULT_BPF_US,
	RESULT_MAP,
	RESULT_FIXUP,
	RESULT_KMSG,
	RESULT_SIGNAL,
	RESULT_PROCESSED,
	RESULT_CASE_US,
	RESULT_STATISTICS,
	RESULT_EARLIER_SPLAT,
	RESULT_STEP,
};

enum result_status { STATUS_LOADED, STATUS_FAILED, STATUS_TIME_LIMIT, STATUS_SIGNAL };

/* "EINVAL"; 524, which the kernel's map and verifier code lets out although user space has no name for it, is
 * "ENOTSUPP" (include/linux/errno.h). */
const char *error_name(int error);
/* The loader's own messages, at most 256 KiB of them. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void vsay(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
/* A fix-up the loader applied, as a sentence. */
void fixup(struct load_job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What was said since `mark`, as one text; begin with say_mark(). */
size_t say_mark(void);
const char *said_since(size_t mark, size_t *length);
/* The answer: status, stage and errno. */
void report_status(struct load_job *job);
/* Everything else about the load but what only the parent knows. */
void report_load(struct load_job *job);
