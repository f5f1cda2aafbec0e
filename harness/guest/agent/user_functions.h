/* Functions of the agent's own that a uprobe can be put on, and where they lie in its file. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct user_function {
	const char *name;
	const void *entry, *ret; /* its first and its only return instruction */
};

/* a + b, both and `text` being there for a probe to read. */
uint64_t bpfmatrix_plain(uint64_t a, uint64_t b, const char *text);
/* Calls itself `depth` times, one inside the other, each with a smaller number; returns its argument. */
uint64_t bpfmatrix_nested(uint64_t depth);
/* Calls yield(arg) and returns `id`. Whoever resumes it may be another thread. */
uint64_t bpfmatrix_moved(uint64_t id, void (*yield)(void *), void *arg);

/* NULL when there is none of that name. */
const struct user_function *user_function_find(const char *name);
/* The `index`th; NULL behind the last. */
const struct user_function *user_function_at(size_t index);
/* Where `address` lies in the file this process runs. */
uint64_t user_function_offset(const void *address);
