#include "btfcache.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"

struct btf *__real_btf__load_vmlinux_btf(void);
struct btf *__wrap_btf__load_vmlinux_btf(void);
struct btf *__real_btf__parse(const char *path, struct btf_ext **ext);
struct btf *__wrap_btf__parse(const char *path, struct btf_ext **ext);
void __real_btf__free(struct btf *btf);
void __wrap_btf__free(struct btf *btf);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static struct btf *kernel, *external;
/* The largest thing that grew while BTF was read: its table of where each type begins. */
static struct {
	void *start;
	size_t size;
} table;
static char *external_path;
static bool keep, hidden;

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

void btfcache_hide(void)
{
	hidden = true;
}

void *__wrap_realloc(void *memory, size_t size)
{
	void *grown = __real_realloc(memory, size);

	if (keep && grown && size >= table.size) {
		table.start = grown;
		table.size = size;
	}
	return grown;
}

/* Put these bytes, which nobody frees or changes, into shared memory at the addresses they have. A fork copies the page
 * table of private memory entry by entry, that of shared memory not at all: half a millisecond of every case under
 * emulation, for 5 MB. Best effort: what does not work leaves everything as it was. */
static void share_bytes(const void *start, size_t size)
{
	const uintptr_t page = 4096;
	uintptr_t from = ((uintptr_t)start + page - 1) & ~(page - 1), to = ((uintptr_t)start + size) & ~(page - 1);
	int fd;

	if (!start || to <= from)
		return;
	fd = memfd_create("btf", MFD_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, (void *)from, to - from) == (ssize_t)(to - from))
		mmap((void *)from, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
	close(fd);
}

static void share_btf(const struct btf *btf)
{
	uint32_t size = 0;
	const void *raw = btf__raw_data(btf, &size);

	share_bytes(raw, size);
	if (table.size >= (btf__type_cnt(btf) - 1) * sizeof(uint32_t))
		share_bytes(table.start, table.size);
}

struct btf *__wrap_btf__load_vmlinux_btf(void)
{
	struct btf *btf = kernel && !hidden ? kernel : __real_btf__load_vmlinux_btf();

	if (keep && btf && !kernel) {
		kernel = btf;
		share_btf(btf);
	}
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

void btfcache_warm(const char *path, const char *btf)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "warm");
	struct bpf_object *object;
	size_t size = 0;
	void *data = load_map_file(path, &size);

	if (btf[0])
		opts.btf_custom_path = btf;
	object = data ? bpf_object__open_mem(data, size, &opts) : NULL;
	keep = true;
	if (object)
		bpf_object__load(object);
	keep = false;
	bpf_object__close(object);
	if (data)
		munmap(data, size);
}
