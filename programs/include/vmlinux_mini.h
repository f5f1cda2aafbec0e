/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * The few kernel types the catalogue's programs touch, instead of a 3 MB vmlinux.h of one kernel.
 *
 * Every kernel struct below carries preserve_access_index: its field offsets are CO-RE relocations
 * that libbpf resolves against the BTF of the kernel the object is loaded in, so only the names and
 * kinds of the fields must be right, not their offsets, order or completeness. Add a field or a
 * struct here when a program needs it; leave out what no program uses.
 *
 * UAPI types (struct __sk_buff, struct xdp_md, BPF_MAP_TYPE_*, __u32 ...) come from <linux/bpf.h>.
 */
#ifndef __VMLINUX_H__
/* The guard is vmlinux.h's own: bpf_tracing.h then uses the kernel's names of pt_regs (di, not rdi). */
#define __VMLINUX_H__

#include <linux/bpf.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
typedef int pid_t;
enum { false = 0, true = 1 };

/*
 * arch/x86/include/asm/ptrace.h, x86-64. Without preserve_access_index on purpose: the layout is
 * fixed by the ABI, and a kprobe that only reads its arguments must not need the kernel's BTF.
 */
struct pt_regs {
	unsigned long r15;
	unsigned long r14;
	unsigned long r13;
	unsigned long r12;
	unsigned long bp;
	unsigned long bx;
	unsigned long r11;
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long ax;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long cs;
	unsigned long flags;
	unsigned long sp;
	unsigned long ss;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Namespaces: include/linux/ns_common.h, nsproxy.h, pid_namespace.h, utsname.h */
struct ns_common {
	unsigned int inum;
};

struct new_utsname {
	char sysname[65];
	char nodename[65];
	char release[65];
};

struct uts_namespace {
	struct new_utsname name;
	struct ns_common ns;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct pid_namespace {
	unsigned int level;
	struct pid_namespace *parent;
	struct ns_common ns;
};

struct net {
	struct ns_common ns;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
};

/* Control groups: include/linux/cgroup-defs.h, kernfs.h (6.15 and later), kernel/sched/sched.h */
struct kernfs_node {
	struct kernfs_node *__parent;
	const char *name;
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
	int level;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct task_group {
	struct cgroup_subsys_state css;
};

/* Processes: include/linux/sched.h, mm_types.h */
struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct task_struct {
	pid_t pid;
	pid_t tgid;
	char comm[16];
	unsigned int flags;
	u64 start_time;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct task_group *sched_task_group;
};

struct linux_binprm {
	const char *filename;
	int argc;
};

/* Files: include/linux/dcache.h, fs.h, path.h */
struct qstr {
	const unsigned char *name;
};

struct inode {
	unsigned long i_ino;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct filename {
	const char *name;
};

/* Network: include/linux/skbuff.h, netdevice.h, net/sock.h */
struct net_device {
	char name[16];
	int ifindex;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
};

struct sock {
	struct sock_common __sk_common;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	unsigned int data_len;
	__be16 protocol;
	u16 transport_header;
	u16 network_header;
	u16 mac_header;
	unsigned char *head;
	unsigned char *data;
};

/* Trace events: include/trace/events/syscalls.h as the kernel's BTF names them */
struct trace_entry {
	unsigned short type;
	unsigned char flags;
	unsigned char preempt_count;
	int pid;
};

struct trace_event_raw_sys_enter {
	struct trace_entry ent;
	long int id;
	unsigned long args[6];
};

struct trace_event_raw_sys_exit {
	struct trace_entry ent;
	long int id;
	long int ret;
};

#pragma clang attribute pop

#endif /* __VMLINUX_H__ */
