/* What libbpf reads of /proc/kallsyms. */
#pragma once
#include <stddef.h>

/* From now on /proc/kallsyms has, for who opens it through stdio, only the symbols the object leaves undefined. NULL:
 * all of them again. The object's bytes have to stay. */
void ksyms_only_of(const void *object, size_t size);
