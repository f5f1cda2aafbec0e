#include "facts.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "census.h"
#include "scenario.h"

static bool number(struct fact *fact, uint64_t value)
{
	fact->is_text = false;
	fact->size = sizeof(value);
	memcpy(fact->bytes, &value, sizeof(value));
	return true;
}

static bool text(struct fact *fact, const char *value)
{
	size_t length = strlen(value);

	fact->is_text = true;
	fact->size = (length < FACT_MAX ? length : FACT_MAX - 1) + 1;
	memmove(fact->bytes, value, fact->size - 1); /* a part of itself, for one */
	fact->bytes[fact->size - 1] = 0;
	return true;
}

/* The first line of a file, without its end. */
static bool line_of(struct fact *fact, const char *path)
{
	char line[FACT_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

	if (fd >= 0)
		close(fd);
	if (got < 0)
		return false;
	line[got] = 0;
	line[strcspn(line, "\n")] = 0;
	return text(fact, line);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool inode_of(struct fact *fact, const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 && number(fact, info.st_ino);
}

static bool fact_tgid(struct fact *fact) { return number(fact, (uint64_t)getpid()); }
static bool fact_pid(struct fact *fact) { return number(fact, (uint64_t)syscall(SYS_gettid)); }
static bool fact_ppid(struct fact *fact) { return number(fact, (uint64_t)getppid()); }
static bool fact_uid(struct fact *fact) { return number(fact, getuid()); }
static bool fact_gid(struct fact *fact) { return number(fact, getgid()); }
static bool fact_ktime_ns(struct fact *fact) { return number(fact, clock_ns(CLOCK_MONOTONIC)); }
static bool fact_boot_ns(struct fact *fact) { return number(fact, clock_ns(CLOCK_BOOTTIME)); }
static bool fact_page_size(struct fact *fact) { return number(fact, (uint64_t)sysconf(_SC_PAGESIZE)); }
static bool fact_cpus(struct fact *fact) { return number(fact, (uint64_t)sysconf(_SC_NPROCESSORS_ONLN)); }
static bool fact_pid_ns(struct fact *fact) { return inode_of(fact, "/proc/self/ns/pid_for_children"); }
static bool fact_mnt_ns(struct fact *fact) { return inode_of(fact, "/proc/self/ns/mnt"); }
static bool fact_net_ns(struct fact *fact) { return inode_of(fact, "/proc/self/ns/net"); }
static bool fact_lockdown(struct fact *fact) { return line_of(fact, "/sys/kernel/security/lockdown"); }
static bool fact_unprivileged(struct fact *fact) { return line_of(fact, "/proc/sys/kernel/unprivileged_bpf_disabled"); }

/* As bpf_get_current_pid_tgid() has it: process in the upper half, thread in the lower. */
static bool fact_pid_tgid(struct fact *fact)
{
	return number(fact, (uint64_t)getpid() << 32 | (uint32_t)syscall(SYS_gettid));
}

static bool fact_uid_gid(struct fact *fact)
{
	return number(fact, (uint64_t)getgid() << 32 | getuid());
}

static bool fact_comm(struct fact *fact)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	return text(fact, name);
}

static bool fact_release(struct fact *fact)
{
	struct utsname names;

	return uname(&names) == 0 && text(fact, names.release);
}

/* "0::/case/pod1": the line of the unified hierarchy. */
static bool cgroup_path(struct fact *fact)
{
	char *path;

	if (!line_of(fact, "/proc/self/cgroup"))
		return false;
	path = strstr((char *)fact->bytes, "::");
	return path && text(fact, path + 2);
}

static bool fact_cgroup_name(struct fact *fact)
{
	return cgroup_path(fact) && text(fact, strrchr((char *)fact->bytes, '/') + 1);
}

/* The id a kernfs file handle carries is the one bpf_get_current_cgroup_id() gives (kernfs_encode_fh()). */
static bool fact_cgroup_id(struct fact *fact)
{
	union {
		struct file_handle head;
		uint8_t room[sizeof(struct file_handle) + sizeof(uint64_t)];
	} handle = {.head = {.handle_bytes = sizeof(uint64_t)}};
	char path[FACT_MAX + 32];
	uint64_t id;
	int mount;

	if (!cgroup_path(fact))
		return false;
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s", (char *)fact->bytes);
	if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, 0) < 0)
		return false;
	memcpy(&id, handle.room + offsetof(struct file_handle, f_handle), sizeof(id));
	return number(fact, id);
}

/* Programs, maps, links and BTF objects in the kernel; the value is their sum. */
static bool fact_bpf_ids(struct fact *fact)
{
	fact->number_count = 4;
	census_bpf(fact->numbers);
	return number(fact, fact->numbers[0] + fact->numbers[1] + fact->numbers[2] + fact->numbers[3]);
}

/* Processes, cgroups, mounts, files in /tmp and files in the bpf file system; the value is their sum. */
static bool fact_leftovers(struct fact *fact)
{
	fact->number_count = 5;
	census_guest(fact->numbers);
	return number(fact, fact->numbers[0] + fact->numbers[1] + fact->numbers[2] + fact->numbers[3] + fact->numbers[4]);
}

static const struct {
	const char *name;
	bool (*find)(struct fact *fact);
} FACTS[] = {
	{"tgid", fact_tgid},
	{"pid", fact_pid},
	{"pid_tgid", fact_pid_tgid},
	{"ppid", fact_ppid},
	{"uid", fact_uid},
	{"gid", fact_gid},
	{"uid_gid", fact_uid_gid},
	{"comm", fact_comm},
	{"pid_ns_inum", fact_pid_ns},
	{"mnt_ns_inum", fact_mnt_ns},
	{"net_ns_inum", fact_net_ns},
	{"cgroup_id", fact_cgroup_id},
	{"cgroup_path", cgroup_path},
	{"cgroup_name", fact_cgroup_name},
	{"cpus", fact_cpus},
	{"page_size", fact_page_size},
	{"ktime_ns", fact_ktime_ns},
	{"boot_ns", fact_boot_ns},
	{"release", fact_release},
	{"lockdown", fact_lockdown},
	{"unprivileged_bpf_disabled", fact_unprivileged},
	{"bpf_ids", fact_bpf_ids},
	{"leftovers", fact_leftovers},
};

bool fact_find(const char *name, struct fact *fact, struct step_result *result)
{
	size_t i;

	fact->number_count = 0;
	for (i = 0; i < sizeof(FACTS) / sizeof(FACTS[0]); i++) {
		if (strcmp(FACTS[i].name, name) != 0)
			continue;
		errno = 0;
		if (FACTS[i].find(fact))
			return true;
		result_fail(result, errno ? errno : ENODATA, "fact '%s' cannot be found out here: %s", name, strerror(errno));
		return false;
	}
	result_fail(result, ENOENT, "no fact '%s'; there are:", name);
	for (i = 0; i < sizeof(FACTS) / sizeof(FACTS[0]); i++)
		result_say(result, " %s", FACTS[i].name);
	return false;
}

void step_fact(struct scenario *s, const struct step *step, struct step_result *result)
{
	static struct fact fact;
	size_t i;

	(void)s;
	if (!fact_find(step->name, &fact, result))
		return;
	result_value(result, fact.bytes, fact.size);
	for (i = 0; i < fact.number_count; i++)
		result_number(result, fact.numbers[i]);
}
