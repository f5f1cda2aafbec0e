#include "cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "textfile.h"

#define PATH_ROOM 512

static bool name_is_fine(const char *name)
{
	size_t length = strlen(name);

	errno = EINVAL;
	return length > 0 && length < 200 && name[0] != '/' && name[length - 1] != '/' && !strstr(name, "..") &&
	       !strstr(name, "//");
}

/* Call `step` with the root, the case's own cgroup and each one on the way to `name`, outermost first. */
static bool walk(const char *name, bool (*step)(const char *path, const char *data), const char *data)
{
	char path[PATH_ROOM];
	char *slash;

	if (!name_is_fine(name))
		return false;
	snprintf(path, sizeof(path), CGROUP_CASE "/%.200s", name);
	for (slash = strchr(path + sizeof(CGROUP_ROOT), '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (!step(path, data))
			return false;
		*slash = '/';
	}
	return step(path, data);
}

static bool make(const char *path, const char *unused)
{
	(void)unused;
	return mkdir(path, 0755) == 0 || errno == EEXIST;
}

int cgroup_open(const char *name)
{
	char path[PATH_ROOM];

	if (!walk(name, make, NULL))
		return -1;
	snprintf(path, sizeof(path), CGROUP_CASE "/%.200s", name);
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What a cgroup's parent enables is there in the cgroup. */
static bool enable_in_parent(const char *path, const char *controller)
{
	char file[PATH_ROOM + 40], text[64];

	snprintf(file, sizeof(file), "%.*s/cgroup.subtree_control", (int)(strrchr(path, '/') - path), path);
	snprintf(text, sizeof(text), "+%.50s", controller);
	return write_text(file, text);
}

bool cgroup_enable(const char *name, const char *controller)
{
	return walk(name, enable_in_parent, controller);
}

static bool remove_tree(const char *path)
{
	char child[PATH_ROOM + 260];
	struct dirent *entry;
	DIR *folder = opendir(path);

	if (!folder)
		return errno == ENOENT;
	while ((entry = readdir(folder)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.' && strlen(path) < PATH_ROOM) {
			snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
			remove_tree(child);
		}
	closedir(folder);
	return rmdir(path) == 0;
}

static void disable_at_root(void)
{
	char enabled[256] = "", off[260], *each, *rest;
	int fd = open(CGROUP_ROOT "/cgroup.subtree_control", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, enabled, sizeof(enabled) - 1) < 0)
		enabled[0] = 0;
	close(fd);
	for (each = strtok_r(enabled, " \n", &rest); each; each = strtok_r(NULL, " \n", &rest)) {
		snprintf(off, sizeof(off), "-%s", each);
		write_text(CGROUP_ROOT "/cgroup.subtree_control", off);
	}
}

bool cgroups_remove(bool disable_controllers)
{
	bool removed = false;
	int tries;

	/* The kernel lets go of a dead process's cgroup a moment after the process was reaped. */
	for (tries = 0; tries < 100 && !removed; tries++) {
		removed = remove_tree(CGROUP_CASE);
		if (!removed)
			usleep(5000);
	}
	if (disable_controllers)
		disable_at_root();
	return removed;
}
