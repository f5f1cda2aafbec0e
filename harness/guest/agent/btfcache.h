/* The kernel's BTF is megabytes that libbpf parses anew for every CO-RE object. What the agent itself has parsed once
 * (WARM) is kept, and the children it forks inherit it: libbpf is linked with its calls to btf__load_vmlinux_btf,
 * btf__parse and btf__free wrapped. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Load the object (with the BTF file `btf`, "" for the kernel's) in this process and keep what was parsed; libbpf
 * keeps what it found out about the kernel. Whether the load succeeds does not matter. */
void btfcache_warm(const char *object, const char *btf);
/* A blob changed or is gone (NULL: all of them): forget what was parsed from it. True when there was something. */
bool btfcache_forget(const char *path);
/* This process no longer gets what was kept of the kernel's own BTF. */
void btfcache_hide(void);
