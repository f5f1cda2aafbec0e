#include "cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroups.h"
#include "surroundings.h"

#define PINS "/sys/fs/bpf"
#define REAP_TRIES 400
#define REAP_PAUSE_US 5000

/* Orphans of the case become ours. True when none is left. */
static bool reap_all(pid_t group)
{
	int tries;

	for (tries = 0; tries < REAP_TRIES; tries++) {
		kill(-group, SIGKILL);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return true;
		usleep(REAP_PAUSE_US);
	}
	return false;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
	(void)info, (void)kind;
	if (place->level > 0)
		remove(path);
	return 0;
}

const char *cleanup_after(pid_t group, const struct borrowed *borrowed)
{
	bool reaped = reap_all(group);

	surroundings_return(borrowed);
	nftw("/tmp", remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (!reaped)
		return "(agent: a process of the case does not die)";
	if (!cgroups_remove(borrowed->controllers))
		return "(agent: a cgroup of the case cannot be removed)";
	return NULL;
}

/* A pin outlives the process; the next case must find an empty file system. */
void cleanup_pins(void)
{
	struct dirent *entry;
	DIR *folder = opendir(PINS);

	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.' && unlinkat(dirfd(folder), entry->d_name, 0) < 0)
			unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
	if (folder)
		closedir(folder);
}
