#include "preflight.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BTF "/sys/kernel/btf/vmlinux"
#define LOCKDOWN "/sys/kernel/security/lockdown"
#define UNPRIVILEGED "/proc/sys/kernel/unprivileged_bpf_disabled"
#define LAST_CAPABILITY "/proc/sys/kernel/cap_last_cap"

/* Newer than the headers of an old system: include/uapi/linux/capability.h since 5.8. */
enum { CAPABILITY_PERFMON = 38, CAPABILITY_BPF = 39, NO_SUCH_COMMAND = 9999 };

static void tell(struct preflight_answer *answer, bool fine, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(struct preflight_answer *answer, bool fine, const char *format, ...)
{
	size_t room = sizeof(answer->text) - answer->used;
	va_list args;
	int wrote;

	answer->start &= fine;
	wrote = snprintf(answer->text + answer->used, room, "%s%s", answer->used ? "\n" : "", fine ? "ok: " : "no: ");
	answer->used += wrote > 0 && (size_t)wrote < room ? (size_t)wrote : 0;
	room = sizeof(answer->text) - answer->used;
	va_start(args, format);
	wrote = vsnprintf(answer->text + answer->used, room, format, args);
	va_end(args);
	answer->used += wrote > 0 && (size_t)wrote < room ? (size_t)wrote : 0;
}

/* The beginning of a file, "" when it cannot be read (errno). */
static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
	int error = errno;

	if (fd >= 0)
		close(fd);
	text[got > 0 ? got : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	errno = error;
	return got >= 0;
}

static long read_number(const char *path, long otherwise)
{
	char text[32];

	return read_file(path, text, sizeof(text)) && text[0] ? strtol(text, NULL, 10) : otherwise;
}

static void check_btf(const struct preflight_needs *needs, struct preflight_answer *answer)
{
	int fd = open(BTF, O_RDONLY | O_CLOEXEC);
	int error = errno;
	char magic[2];
	bool fine = fd >= 0 && read(fd, magic, 2) == 2;

	if (fd >= 0)
		close(fd);
	if (fine)
		tell(answer, true, "the kernel's BTF can be read");
	else
		tell(answer, !needs->btf, "the kernel's BTF is not there (" BTF ": %s): CO-RE programs cannot be loaded",
		     fd < 0 ? strerror(error) : "empty");
}

static bool has_capability(int number)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	return syscall(SYS_capget, &header, data) == 0 && data[number / 32].effective >> (number % 32) & 1;
}

/* CAP_BPF and CAP_PERFMON are capabilities of their own since 5.8; before, and always as well, CAP_SYS_ADMIN. */
static bool may(int capability)
{
	if (has_capability(CAP_SYS_ADMIN))
		return true;
	return read_number(LAST_CAPABILITY, 0) >= CAPABILITY_BPF && has_capability(capability);
}

static void check_permission(const struct preflight_needs *needs, struct preflight_answer *answer)
{
	long disabled = read_number(UNPRIVILEGED, -1);

	if (may(CAPABILITY_BPF) && (!needs->tracing || may(CAPABILITY_PERFMON)))
		tell(answer, true, "this process may load programs");
	else if (may(CAPABILITY_BPF))
		tell(answer, false, "CAP_PERFMON is missing: tracing programs cannot be loaded");
	else if (needs->tracing || disabled != 0)
		tell(answer, false, "neither CAP_BPF nor CAP_SYS_ADMIN, and kernel.unprivileged_bpf_disabled is %ld%s", disabled,
		     disabled == 0 ? ", which allows socket filters only" : "");
	else
		tell(answer, true, "no capability, but kernel.unprivileged_bpf_disabled is 0: socket filters can be loaded");
}

/* An unknown command: EINVAL where bpf() is there and may be called, ENOSYS where the kernel was built without. */
static void check_syscall(const struct preflight_needs *needs, struct preflight_answer *answer)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	errno = 0;
	syscall(SYS_bpf, NO_SUCH_COMMAND, &attr, sizeof(attr));
	if (errno == ENOSYS)
		tell(answer, false, "this kernel has no bpf() system call");
	else
		check_permission(needs, answer);
}

/* "none [integrity] confidentiality": the word in brackets holds (security/lockdown/lockdown.c). */
static void check_lockdown(const struct preflight_needs *needs, struct preflight_answer *answer)
{
	char text[128];

	if (!read_file(LOCKDOWN, text, sizeof(text)) || !text[0])
		tell(answer, true, "lockdown: this kernel does not say, so it is not locked down");
	else if (strstr(text, "[confidentiality]"))
		tell(answer, !needs->tracing, "lockdown is 'confidentiality': programs may not read the kernel's memory");
	else if (strstr(text, "[integrity]"))
		tell(answer, true, "lockdown is 'integrity': programs may read, but not write to user memory");
	else
		tell(answer, true, "lockdown is off");
}

static void check_libbpf(const struct preflight_needs *needs, struct preflight_answer *answer)
{
	unsigned int major = libbpf_major_version(), minor = libbpf_minor_version();
	bool fine = major > needs->libbpf[0] || (major == needs->libbpf[0] && minor >= needs->libbpf[1]);

	if (fine)
		tell(answer, true, "libbpf is %u.%u", major, minor);
	else
		tell(answer, false, "libbpf is %u.%u, at least %u.%u is needed", major, minor, needs->libbpf[0],
		     needs->libbpf[1]);
}

static bool counts_memlock(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname names;

	if (uname(&names) < 0 || sscanf(names.release, "%u.%u", &major, &minor) != 2)
		return true;
	return major < 5 || (major == 5 && minor < 11);
}

static void check_memlock(const struct preflight_needs *needs, struct preflight_answer *answer)
{
	struct rlimit limit = {0, 0};

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (!counts_memlock())
		tell(answer, true, "memory of maps is not counted against RLIMIT_MEMLOCK here (since 5.11)");
	else if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= needs->memlock)
		tell(answer, true, "RLIMIT_MEMLOCK suffices");
	else if (has_capability(CAP_SYS_RESOURCE) || limit.rlim_max >= needs->memlock)
		tell(answer, true, "RLIMIT_MEMLOCK is %llu bytes, less than %llu, and can be raised by this process",
		     (unsigned long long)limit.rlim_cur, (unsigned long long)needs->memlock);
	else
		tell(answer, false, "RLIMIT_MEMLOCK is %llu bytes, %llu are needed, and it may not be raised",
		     (unsigned long long)limit.rlim_cur, (unsigned long long)needs->memlock);
}

void preflight_check(const struct preflight_needs *needs, struct preflight_answer *answer)
{
	*answer = (struct preflight_answer){.start = true};
	check_syscall(needs, answer);
	check_btf(needs, answer);
	check_lockdown(needs, answer);
	check_libbpf(needs, answer);
	check_memlock(needs, answer);
}
