#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULES "/modules"

enum { SYSLOG_CONSOLE_LEVEL = 8 };

struct mount_point {
	const char *type, *where, *options;
};

/* In this order: a later one lies inside an earlier one. */
static const struct mount_point MOUNTS[] = {
	{"devtmpfs", "/dev", "mode=0755"},
	{"proc", "/proc", NULL},
	{"sysfs", "/sys", NULL},
	{"tmpfs", "/run", "mode=0755,size=70%"},
	{"bpf", "/sys/fs/bpf", "mode=0700"},
	{"tracefs", "/sys/kernel/tracing", NULL},
	{"debugfs", "/sys/kernel/debug", NULL},
	{"securityfs", "/sys/kernel/security", NULL},
	{"cgroup2", "/sys/fs/cgroup", NULL},
};

/* A file system this kernel was built without is no reason to stop: what needs it will say so. */
void boot_mount_all(void)
{
	size_t i;

	for (i = 0; i < sizeof(MOUNTS) / sizeof(MOUNTS[0]); i++) {
		mkdir(MOUNTS[i].where, 0755);
		mount(MOUNTS[i].type, MOUNTS[i].where, MOUNTS[i].type, 0, MOUNTS[i].options);
	}
	chmod("/tmp", 01777);
	/* Only panics on the console from here on; /dev/kmsg still gets everything. */
	klogctl(SYSLOG_CONSOLE_LEVEL, NULL, 1);
}

/* For trying what a kernel without BTF answers on one that has it: user space no longer finds it. */
void boot_hide_btf(void)
{
	mount("tmpfs", "/sys/kernel/btf", "tmpfs", 0, "mode=0755,size=4k");
}

static int is_module(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 3 && strcmp(entry->d_name + length - 3, ".ko") == 0;
}

static void load_module(const char *name)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), MODULES "/%.250s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		fprintf(stderr, "bpfmatrix: %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void boot_load_modules(void)
{
	struct dirent **names;
	int count = scandir(MODULES, &names, is_module, alphasort);
	int i;

	for (i = 0; i < count; i++) {
		load_module(names[i]->d_name);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

void boot_loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}

static bool command_line_has(const char *word, bool whole)
{
	char line[4096] = "", *rest, *each;
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);

	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return false;
	for (each = strtok_r(line, " \n", &rest); each; each = strtok_r(NULL, " \n", &rest))
		if (whole ? strcmp(each, word) == 0 : strncmp(each, word, strlen(word)) == 0)
			return true;
	return false;
}

bool boot_has_word(const char *word)
{
	return command_line_has(word, true);
}

bool boot_has_prefix(const char *prefix)
{
	return command_line_has(prefix, false);
}

static _Noreturn void run_shell(void)
{
	static char *const argv[] = {"sh", "-l", NULL};
	static char *const environment[] = {"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/", "TERM=linux", "PS1=\\h:\\w# ", NULL};
	int fd;

	setsid();
	fd = open("/dev/ttyS0", O_RDWR);
	if (fd < 0)
		fd = open("/dev/console", O_RDWR);
	ioctl(fd, TIOCSCTTY, 1);
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	execve("/bin/busybox", argv, environment);
	fprintf(stderr, "bpfmatrix: /bin/busybox: %s\n", strerror(errno));
	_exit(127);
}

/* Links for all of busybox's commands; without them only `busybox NAME` works. */
static void install_commands(void)
{
	pid_t child = fork();

	if (child == 0) {
		execl("/bin/busybox", "busybox", "--install", "-s", "/bin", NULL);
		_exit(127);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

void boot_shell(void)
{
	pid_t shell, gone;

	install_commands();
	shell = fork();

	if (shell == 0)
		run_shell();
	do
		gone = wait(NULL);
	while (shell > 0 && gone != shell && !(gone < 0 && errno == ECHILD));
}

_Noreturn void boot_power_off(const char *why)
{
	if (why)
		fprintf(stderr, "bpfmatrix: %s; powering off\n", why);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause(); /* PID 1 must not end: that would be a panic */
}
