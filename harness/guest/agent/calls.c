#include "calls.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "case.h"
#include "cleanup.h"
#include "kmsg.h"

#define ANSWER_ROOM (48u << 20) /* pages appear when written */
#define KEEP_RESIDENT (256u << 10)
#define KILL_PATIENCE_MS 5000
#define CALLS_MAX 32768
#define BLOBS_MAX 64
#define ARGUMENTS 6
#define LOG_ROOM (1u << 20)
#define LIMIT_MAX_MS 600000

enum { CALLS_LIMIT = 1, CALLS_CALL };
enum { CALLED_ENDING = 1, CALLED_ONE, CALLED_SIGNAL, CALLED_KMSG };
enum { CALL_HEAD = 1, CALL_BLOB, CALL_PATCH };
enum ended { ENDED_ALL, ENDED_EARLY, ENDED_LIMIT };
enum { CLOSE_RESULT = 1 };
enum { PATCH_ADDRESS = 0, PATCH_RESULT, PATCH_LOG };
#define PATCH_ARGUMENTS UINT32_MAX
#define NO_BLOB UINT32_MAX

/* PROTOCOL.md, "A call". */
struct call_head {
	uint32_t number, flags, log_bytes, log_tail, out_blob, pad;
	uint64_t arguments[ARGUMENTS];
} __attribute__((packed));

struct call_patch {
	uint32_t where, at, kind, index;
} __attribute__((packed));

struct called_head {
	int64_t value;
	uint32_t log_length, out_length;
} __attribute__((packed));

struct blob {
	uint8_t *data;
	size_t size;
};

struct call {
	struct call_head head;
	struct blob blobs[BLOBS_MAX];
	uint32_t blob_count;
};

/* Shared with the child, which is believed only as far as its fields add up. */
struct shared {
	uint32_t complete;
	struct fields fields;
	uint8_t data[];
};

static struct shared *shared;
static uint8_t *log_room;
static int64_t results[CALLS_MAX];

long __real_syscall(long number, ...); /* not the one that keeps an eye on libbpf's calls (bpfcalls.c) */

bool calls_init(void)
{
	shared = mmap(NULL, ANSWER_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	log_room = mmap(NULL, LOG_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return shared != MAP_FAILED && log_room != MAP_FAILED;
}

static bool read_head(struct call *call, const uint8_t *value, size_t length)
{
	if (length != sizeof(call->head))
		return false;
	memcpy(&call->head, value, length);
	return true;
}

static bool add_blob(struct call *call, const uint8_t *value, size_t length)
{
	if (call->blob_count == BLOBS_MAX)
		return false;
	/* The child's own copy of the frame: what it writes there nobody else sees. */
	call->blobs[call->blob_count++] = (struct blob){(uint8_t *)value, length};
	return true;
}

static bool patched_value(const struct call *call, const struct call_patch *patch, uint32_t made, uint64_t *value)
{
	switch (patch->kind) {
	case PATCH_ADDRESS:
		*value = patch->index < call->blob_count ? (uint64_t)(uintptr_t)call->blobs[patch->index].data : 0;
		return patch->index < call->blob_count;
	case PATCH_RESULT:
		*value = patch->index < made ? (uint64_t)results[patch->index] : 0;
		return patch->index < made;
	case PATCH_LOG:
		*value = (uint64_t)(uintptr_t)log_room;
		return true;
	}
	return false;
}

/* Write an address, a descriptor or another result where the host could not know it. */
static bool apply_patch(struct call *call, const uint8_t *raw, size_t length, uint32_t made)
{
	struct call_patch patch;
	uint64_t value;
	size_t width;

	if (length != sizeof(patch))
		return false;
	memcpy(&patch, raw, sizeof(patch));
	if (!patched_value(call, &patch, made, &value))
		return false;
	if (patch.where == PATCH_ARGUMENTS) {
		if (patch.at >= ARGUMENTS)
			return false;
		call->head.arguments[patch.at] = value;
		return true;
	}
	width = patch.kind == PATCH_RESULT ? sizeof(uint32_t) : sizeof(uint64_t);
	if (patch.where >= call->blob_count || call->blobs[patch.where].size < width ||
	    patch.at > call->blobs[patch.where].size - width)
		return false;
	memcpy(call->blobs[patch.where].data + patch.at, &value, width);
	return true;
}

/* The call of one CALLS field, its blobs before its patches. */
static bool read_call(struct call *call, const uint8_t *body, size_t length, uint32_t made)
{
	const struct frame nested = {.body = body, .length = (uint32_t)length};
	const uint8_t *value;
	size_t at = 0, size;
	uint16_t tag;
	bool head = false, fine = fields_add_up(body, length);

	call->blob_count = 0;
	while (fine && field_next(&nested, &at, &tag, &value, &size)) {
		if (tag == CALL_HEAD)
			fine = head = read_head(call, value, size);
		else if (tag == CALL_BLOB)
			fine = add_blob(call, value, size);
		else if (tag == CALL_PATCH)
			fine = apply_patch(call, value, size, made);
	}
	return fine && head && call->head.log_bytes <= LOG_ROOM;
}

static void write_answer(const struct call *call, int64_t value)
{
	struct fields *out = &shared->fields;
	const struct blob *blob = call->head.out_blob < call->blob_count ? &call->blobs[call->head.out_blob] : NULL;
	size_t log = call->head.log_bytes ? strnlen((char *)log_room, call->head.log_bytes) : 0;
	size_t tail = log < call->head.log_tail ? log : call->head.log_tail;
	struct called_head head = {value, (uint32_t)tail, blob ? (uint32_t)blob->size : 0};
	size_t length = sizeof(head) + head.log_length + head.out_length;
	uint8_t field_head[6] = {CALLED_ONE, 0};
	uint32_t narrow = (uint32_t)length;

	if (out->size - out->used < sizeof(field_head) + length) {
		out->full = true;
		return;
	}
	memcpy(field_head + 2, &narrow, sizeof(narrow));
	memcpy(out->data + out->used, field_head, sizeof(field_head));
	memcpy(out->data + out->used + sizeof(field_head), &head, sizeof(head));
	memcpy(out->data + out->used + sizeof(field_head) + sizeof(head), log_room + log - tail, tail);
	if (blob)
		memcpy(out->data + out->used + sizeof(field_head) + sizeof(head) + tail, blob->data, blob->size);
	/* Seen by the parent only as a whole, whenever this process ends. */
	__atomic_store_n(&out->used, out->used + sizeof(field_head) + length, __ATOMIC_RELEASE);
}

static int64_t make(const struct call *call)
{
	uint64_t a[ARGUMENTS];
	long value;

	memcpy(a, call->head.arguments, sizeof(a));
	if (call->head.log_bytes)
		log_room[0] = 0;
	errno = 0;
	value = __real_syscall(call->head.number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return value == -1 && errno ? -errno : value;
}

static _Noreturn void child_main(const struct frame *frame)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY}, files = {65536, 65536};
	static struct call call;
	const uint8_t *value;
	size_t at = 0, length;
	uint32_t made = 0;
	uint16_t tag;

	setpgid(0, 0);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	setrlimit(RLIMIT_NOFILE, &files);
	while (field_next(frame, &at, &tag, &value, &length)) {
		if (tag != CALLS_CALL)
			continue;
		if (made == CALLS_MAX || shared->fields.full || !read_call(&call, value, length, made))
			_exit(2);
		results[made] = make(&call);
		write_answer(&call, results[made]);
		if (call.head.flags & CLOSE_RESULT && results[made] >= 0)
			close((int)results[made]);
		made++;
	}
	__atomic_store_n(&shared->complete, 1, __ATOMIC_RELEASE);
	_exit(0);
}

static void finish(pid_t child, uint64_t limit_ms, struct fields *mine)
{
	int status = 0;
	bool ended = case_wait_for(child, limit_ms * 1000, &status);

	kill(-child, SIGKILL); /* whatever else it started */
	if (!ended) {
		kill(child, SIGKILL);
		if (!case_wait_for(child, KILL_PATIENCE_MS * 1000, &status))
			fields_text(mine, CALLED_KMSG, "(agent: the process of the calls does not die, it hangs in the kernel)");
	}
	if (__atomic_load_n(&shared->complete, __ATOMIC_ACQUIRE))
		fields_number(mine, CALLED_ENDING, ENDED_ALL);
	else
		fields_number(mine, CALLED_ENDING, ended ? ENDED_EARLY : ENDED_LIMIT);
	if (ended && WIFSIGNALED(status))
		fields_number(mine, CALLED_SIGNAL, (uint64_t)WTERMSIG(status));
}

const char *calls_run(const struct frame *frame, struct fields *mine, struct fields *childs)
{
	size_t room = ANSWER_ROOM - sizeof(*shared), used;
	uint64_t limit_ms;
	pid_t child;

	if (!field_number(frame, CALLS_LIMIT, &limit_ms) || limit_ms == 0 || limit_ms > LIMIT_MAX_MS)
		return "CALLS needs field 1, a time limit of 1 ms to 10 minutes";
	shared->complete = 0;
	shared->fields = (struct fields){.data = shared->data, .size = room};
	child = fork();
	if (child == 0)
		child_main(frame);
	if (child < 0)
		return "no child process can be made for the calls";
	finish(child, limit_ms, mine);
	cleanup_pins();
	kmsg_take(mine, CALLED_KMSG, false);
	used = __atomic_load_n(&shared->fields.used, __ATOMIC_ACQUIRE);
	*childs = (struct fields){.data = shared->data, .size = room};
	childs->used = used <= room && fields_add_up(shared->data, used) ? used : 0;
	return NULL;
}

void calls_done(void)
{
	madvise((uint8_t *)shared + KEEP_RESIDENT, ANSWER_ROOM - KEEP_RESIDENT, MADV_REMOVE);
}
