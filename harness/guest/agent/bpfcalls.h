/* Every bpf() the process makes goes through here, libbpf's too: the program is linked with
 * -Wl,--wrap=syscall, and libbpf reaches the kernel through syscall(2) only. What the kernel was really asked,
 * and what it really answered, is recorded here; libbpf changes both on the way. */
#pragma once
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATISTICS_LOG (256u << 10)
#define MAX_MAPS 512

/* log_level bits of BPF_PROG_LOAD: include/linux/bpf_verifier.h BPF_LOG_LEVEL1, BPF_LOG_STATS (since 5.2). */
enum { LOG_EVERY_INSN = 1, LOG_STATISTICS = 4 };

struct map_attempt {
	char name[BPF_OBJ_NAME_LEN + 1];
	uint32_t type, key_size, value_size, max_entries, flags;
	bool with_btf;
	int error; /* 0: created */
};

/* Called with the attributes of the first BPF_PROG_LOAD of the program that matters. */
typedef void (*load_observer)(const union bpf_attr *attr, void *data);
/* Called with every BPF_BTF_LOAD. */
typedef void (*btf_observer)(const union bpf_attr *attr, void *data);

struct bpf_trace {
	/* In: how the program that matters is recognised (its log buffer), and when to ask for the whole log. */
	char *statistics_log;      /* STATISTICS_LOG bytes; libbpf gets it as the program's log buffer */
	char *other_log;           /* the same for every other program that is loaded; NULL: there is none */
	uint32_t full_log_bound;   /* bytes of the full log */
	uint64_t full_log_max_insns;
	bool has_probes;           /* libbpf tries features out in between */
	load_observer on_load;
	btf_observer on_btf;
	void *data;

	/* Out. */
	uint64_t total_ns;
	struct map_attempt maps[MAX_MAPS];
	size_t map_count;
	unsigned int maps_left_out;
	int failed_command, failed_errno; /* the last call that failed, apart from libbpf's feature probes */
	bool pinned;                      /* something was pinned in a bpf file system */
	bool attempted;                   /* the program that matters reached BPF_PROG_LOAD */
	bool loaded;
	int load_errno;
	uint64_t load_ns;
	unsigned int load_attempts;
	char *full_log; /* NULL: none was asked for */
	int full_errno;
	bool full_loaded; /* the reload was accepted although the first attempt was not */
	bool verbose_fallback; /* the kernel knows no statistics level */
};

/* Start recording into `trace` (NULL: stop). */
void bpfcalls_record(struct bpf_trace *trace);
/* Room for a verifier log: zero pages until the kernel writes. NULL when there is no memory. */
char *bpfcalls_log_buffer(size_t size);
/* Instructions processed as the statistics line of `log` says; false when there is none. */
bool verifier_processed(const char *log, uint64_t *insns, const char **line, size_t *length);
