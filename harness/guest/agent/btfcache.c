#include "btfcache.h"

#include <bpf/btf.h>
#include <stdlib.h>
#include <string.h>

struct btf *__real_btf__load_vmlinux_btf(void);
struct btf *__wrap_btf__load_vmlinux_btf(void);
struct btf *__real_btf__parse(const char *path, struct btf_ext **ext);
struct btf *__wrap_btf__parse(const char *path, struct btf_ext **ext);
void __real_btf__free(struct btf *btf);
void __wrap_btf__free(struct btf *btf);

static struct btf *kernel, *external;
static char *external_path;
static bool keep;

void btfcache_keep(bool on)
{
	keep = on;
}

bool btfcache_forget(const char *path)
{
	struct btf *old = external;

	if (!external_path || (path && strcmp(path, external_path) != 0))
		return false;
	external = NULL;
	free(external_path);
	external_path = NULL;
	__real_btf__free(old);
	return true;
}

struct btf *__wrap_btf__load_vmlinux_btf(void)
{
	struct btf *btf = kernel ? kernel : __real_btf__load_vmlinux_btf();

	if (keep && btf)
		kernel = btf;
	return btf;
}

struct btf *__wrap_btf__parse(const char *path, struct btf_ext **ext)
{
	struct btf *btf;

	if (!ext && external_path && strcmp(path, external_path) == 0)
		return external;
	btf = __real_btf__parse(path, ext);
	if (keep && btf && !ext) {
		btfcache_forget(NULL);
		external_path = strdup(path);
		external = external_path ? btf : NULL;
	}
	return btf;
}

void __wrap_btf__free(struct btf *btf)
{
	if (btf && (btf == kernel || btf == external))
		return;
	__real_btf__free(btf);
}
