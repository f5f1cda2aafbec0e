/* The kernel's BTF is megabytes that libbpf parses anew for every CO-RE object. What the agent itself has parsed once
 * (WARM) is kept, and the children it forks inherit it: libbpf is linked with its calls to btf__load_vmlinux_btf,
 * btf__parse and btf__free wrapped. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* While on, what is parsed is kept. Off in the children. */
void btfcache_keep(bool on);
/* A blob changed or is gone (NULL: all of them): forget what was parsed from it. True when there was something. */
bool btfcache_forget(const char *path);
