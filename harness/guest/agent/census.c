#include "census.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t count_ids(int (*next)(uint32_t from, uint32_t *id))
{
	uint64_t count = 0;
	uint32_t id = 0;

	while (next(id, &id) == 0)
		count++;
	return errno == ENOENT ? count : UINT64_MAX;
}

void census_bpf(uint64_t counts[4])
{
	counts[0] = count_ids(bpf_prog_get_next_id);
	counts[1] = count_ids(bpf_map_get_next_id);
	counts[2] = count_ids(bpf_link_get_next_id);
	counts[3] = count_ids(bpf_btf_get_next_id);
}

static uint64_t count_entries(const char *path, unsigned char type)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	uint64_t count = 0;

	while (folder && (entry = readdir(folder)))
		count += entry->d_name[0] != '.' && (type == DT_UNKNOWN || entry->d_type == type);
	if (folder)
		closedir(folder);
	return count;
}

/* A process that has a memory map of its own: /proc/N/exe of a kernel thread leads nowhere. */
static uint64_t count_processes(void)
{
	DIR *folder = opendir("/proc");
	char path[300], target[16];
	struct dirent *entry;
	uint64_t count = 0;

	while (folder && (entry = readdir(folder))) {
		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%.250s/exe", entry->d_name);
		count += readlink(path, target, sizeof(target)) > 0;
	}
	if (folder)
		closedir(folder);
	return count;
}

static uint64_t count_lines(const char *path)
{
	char block[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t count = 0;
	ssize_t got, i;

	while (fd >= 0 && (got = read(fd, block, sizeof(block))) > 0)
		for (i = 0; i < got; i++)
			count += block[i] == '\n';
	if (fd >= 0)
		close(fd);
	return count;
}

void census_guest(uint64_t counts[5])
{
	counts[0] = count_processes();
	counts[1] = count_entries("/sys/fs/cgroup", DT_DIR);
	counts[2] = count_lines("/proc/self/mounts");
	counts[3] = count_entries("/tmp", DT_UNKNOWN);
	counts[4] = count_entries("/sys/fs/bpf", DT_UNKNOWN);
}
