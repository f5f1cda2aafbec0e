/* Counting what could be left behind. */
#pragma once
#include <stdint.h>

/* Programs, maps, links, BTF objects. 2^64-1: the kernel does not say (before 5.8 it does not list links). */
void census_bpf(uint64_t counts[4]);
/* Processes (kernel threads aside), cgroups below the root, mounts, entries of /tmp, entries of /sys/fs/bpf. */
void census_guest(uint64_t counts[5]);
