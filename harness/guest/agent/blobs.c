#include "blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "/run/blobs"
#define LIMIT_BYTES (160u << 20)
#define LIMIT_FILES 16384u

static size_t total_bytes, total_files;

bool blobs_init(void)
{
	return mkdir(DIRECTORY, 0755) == 0 || errno == EEXIST;
}

static bool name_is_allowed(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length < BLOB_NAME_MAX && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

/* Path of a blob that may or may not exist; its size in *size (0 when it does not). */
static bool locate(const char *name, char path[BLOB_PATH_MAX], size_t *size, bool *exists)
{
	struct stat info;

	if (!name_is_allowed(name))
		return false;
	snprintf(path, BLOB_PATH_MAX, DIRECTORY "/%s", name);
	*exists = stat(path, &info) == 0;
	*size = *exists ? (size_t)info.st_size : 0;
	return true;
}

static bool write_file(const char *path, const uint8_t *data, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t wrote = 1;

	if (fd < 0)
		return false;
	for (; length > 0 && wrote > 0; length -= (size_t)wrote, data += wrote)
		wrote = write(fd, data, length);
	close(fd);
	return wrote > 0;
}

const char *blob_drop(const char *name)
{
	char path[BLOB_PATH_MAX];
	bool exists;
	size_t size;

	if (!locate(name, path, &size, &exists))
		return "a blob's name is 1 to 64 of a-z 0-9 . _ - and does not begin with a dot";
	if (exists && unlink(path) == 0) {
		total_bytes -= size;
		total_files--;
	}
	return NULL;
}

const char *blob_put(const char *name, const uint8_t *data, size_t length)
{
	char path[BLOB_PATH_MAX];
	const char *wrong = blob_drop(name);
	bool exists;
	size_t size;

	if (wrong)
		return wrong;
	if (length > LIMIT_BYTES - total_bytes || total_files >= LIMIT_FILES)
		return "the guest's blobs are at their limit (160 MiB, 16384 of them); DROP some first";
	locate(name, path, &size, &exists);
	if (!write_file(path, data, length)) {
		unlink(path);
		return "the guest has no memory left for this blob";
	}
	total_bytes += length;
	total_files++;
	return NULL;
}

void blobs_drop_all(void)
{
	DIR *folder = opendir(DIRECTORY);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(folder), entry->d_name, 0);
	if (folder)
		closedir(folder);
	total_bytes = total_files = 0;
}

bool blob_path(const char *name, char path[BLOB_PATH_MAX])
{
	bool exists = false;
	size_t size;

	return locate(name, path, &size, &exists) && exists;
}
