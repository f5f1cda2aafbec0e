/* Objects and BTF the host stored, as files in memory so that the agent's own heap stays small. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOB_NAME_MAX 65
#define BLOB_PATH_MAX 96

bool blobs_init(void);
/* Each returns NULL, or what was wrong. */
const char *blob_put(const char *name, const uint8_t *data, size_t length);
const char *blob_drop(const char *name);
void blobs_drop_all(void);
/* The file of a blob. False when the name is not allowed or nothing is stored under it. */
bool blob_path(const char *name, char path[BLOB_PATH_MAX]);
