/* Loaded once by the agent itself when a guest is new. libbpf asks the kernel what it can (names, BTF kinds, global
 * data, probe_read_kernel, memory accounting …) the first time an object needs to know, and remembers the answers in its
 * process: after this load every child of the agent has them. CO-RE makes it read the kernel's BTF as well. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

const volatile __u64 limit = 7;
__u64 total = 1;
__u64 seen;

__attribute__((noinline)) int add(__u64 amount)
{
	total += amount;
	return amount > limit;
}

SEC("kprobe/do_nanosleep")
int warm(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	seen += BPF_CORE_READ(task, pid);
	if (count)
		*count += add(seen);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
