/* Files of the kernel that hold a word or a line. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Write all of `text` in one go. False: errno. */
bool write_text(const char *path, const char *text);
/* The first `size` - 1 bytes as a string. False: errno, and an empty string. */
bool read_text(const char *path, char *text, size_t size);
