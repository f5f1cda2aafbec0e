#include "kmsg.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#define MAX_LINES 400
#define MAX_LINE 1000
#define RECORD (8 << 10) /* the kernel's own bound of one /dev/kmsg record is 8 KiB (CONSOLE_EXT_LOG_MAX) */

enum { SYSLOG_READ_ALL = 3, SYSLOG_SIZE_BUFFER = 10 };

static int kmsg_fd = -1;

/* How the kernel begins the lines of a warning, an oops, a sanitizer's or a lock checker's report. */
static const char *const SPLATS[] = {
	"WARNING:", "BUG:", "Oops", "kernel BUG at", "general protection fault", "INFO: possible", "INFO: task",
	"INFO: rcu", "rcu: INFO:", "possible circular locking", "inconsistent lock state", "suspicious RCU usage",
	"UBSAN:", "KASAN:", "KFENCE:", "KMSAN:", "KCSAN:", "stack-protector:", "Kernel panic",
	"unable to handle", "refcount_t:", "divide error", "invalid opcode:", "soft lockup", "hard LOCKUP",
};

static bool looks_like_splat(const char *line)
{
	size_t i;

	for (i = 0; i < sizeof(SPLATS) / sizeof(SPLATS[0]); i++)
		if (strstr(line, SPLATS[i]))
			return true;
	return false;
}

void kmsg_open(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd >= 0)
		lseek(kmsg_fd, 0, SEEK_END);
}

/* `prio,sequence,time,flags;text\n KEY=value…`: keep the text, undo its \xNN escapes. In place. */
static char *record_text(char *record)
{
	char *text = strchr(record, ';'), *from, *to;
	unsigned int byte;

	text = text ? text + 1 : record;
	text[strcspn(text, "\n")] = 0;
	for (from = to = text; *from; to++) {
		if (from[0] == '\\' && from[1] == 'x' && isxdigit((unsigned char)from[2]) && isxdigit((unsigned char)from[3])) {
			sscanf(from + 2, "%2x", &byte);
			*to = (char)byte;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = 0;
	if (to - text > MAX_LINE)
		text[MAX_LINE] = 0;
	return text;
}

void kmsg_take(struct fields *out, uint16_t tag, bool splats_only)
{
	char record[RECORD + 1], note[80];
	unsigned int lines = 0, left_out = 0;
	ssize_t got;

	while (kmsg_fd >= 0) {
		got = read(kmsg_fd, record, RECORD);
		if (got < 0 && (errno == EPIPE || errno == EINTR)) {
			left_out += errno == EPIPE; /* overwritten before we read it */
			continue;
		}
		if (got <= 0)
			break;
		record[got] = 0;
		if (splats_only && !looks_like_splat(record))
			continue;
		if (lines++ < MAX_LINES)
			fields_text(out, tag, record_text(record));
		else
			left_out++;
	}
	if (left_out > 0) {
		snprintf(note, sizeof(note), "(%u or more lines of the kernel's log left out)", left_out);
		fields_text(out, tag, note);
	}
}

/* klogctl gives the whole log in one call; /dev/kmsg would take one per line. */
void kmsg_boot_splats(struct fields *out, uint16_t tag)
{
	int size = klogctl(SYSLOG_SIZE_BUFFER, NULL, 0), got;
	char *log = size > 0 ? malloc((size_t)size + 1) : NULL;
	char *line, *rest;

	got = log ? klogctl(SYSLOG_READ_ALL, log, size) : -1;
	if (got > 0) {
		log[got] = 0;
		for (line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
			if (looks_like_splat(line))
				fields_text(out, tag, line);
	}
	free(log);
}
