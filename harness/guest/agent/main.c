/* The guest's PID 1: mounts, loads modules, opens the port, and answers messages until the power goes.
 * The protocol is in ../PROTOCOL.md. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "boot.h"
#include "btfcache.h"
#include "calls.h"
#include "case.h"
#include "hugetext.h"
#include "kmsg.h"
#include "port.h"
#include "probe.h"
#include "triggers.h"

#define SCRATCH (512u << 10) /* fields the agent writes itself: HELLO, and what it adds to RESULT */
#define HALF_FRAME_MS 5000

enum { PING_NONCE = 1, BLOB_NAME = 1, BLOB_BYTES = 2, WARM_OBJECT = 2, WARM_BTF = 8, ERROR_TEXT = 1 };
enum {
	CASE_OBJECT = 1,
	CASE_PROGRAM,
	CASE_LOADER,
	CASE_MEMLOCK,
	CASE_CAPABILITIES,
	CASE_TIME_LIMIT,
	CASE_LOG_BYTES,
	CASE_BTF,
	CASE_FULL_LOG_MAX,
	CASE_BYTES,
	CASE_STEP,
};

static struct port port;
static struct decoder decoder;
static struct fields scratch;
static bool told_to_die;

static void answer(uint16_t type, uint32_t id, bool patient)
{
	struct iovec part = {scratch.data, scratch.used};

	port_send(&port, type, id, &part, 1, patient);
	scratch.used = 0;
	scratch.full = false;
}

static void answer_error(uint32_t id, const char *text)
{
	scratch.used = 0;
	fields_text(&scratch, ERROR_TEXT, text);
	answer(MSG_ERROR, id, false);
}

/* OK when nothing was wrong, else ERROR with the words. */
static void answer_outcome(uint32_t id, const char *wrong)
{
	if (wrong)
		answer_error(id, wrong);
	else
		answer(MSG_OK, id, false);
}

static void on_ping(const struct frame *frame)
{
	uint64_t nonce;

	if (!field_number(frame, PING_NONCE, &nonce)) {
		answer_error(frame->id, "PING needs field 1, the nonce");
		return;
	}
	probe_hello(&scratch, nonce);
	answer(MSG_HELLO, frame->id, false);
}

static void on_put(const struct frame *frame)
{
	char name[BLOB_NAME_MAX], path[BLOB_PATH_MAX];
	const uint8_t *data;
	size_t length;

	if (!field_text(frame, BLOB_NAME, name, sizeof(name)) || !field_find(frame, BLOB_BYTES, &data, &length)) {
		answer_error(frame->id, "PUT needs field 1, a name of 1 to 64 characters, and field 2, the bytes");
		return;
	}
	if (blob_path(name, path) && btfcache_forget(path))
		case_discard();
	answer_outcome(frame->id, blob_put(name, data, length));
}

static void on_drop(const struct frame *frame)
{
	char name[BLOB_NAME_MAX], path[BLOB_PATH_MAX];
	const uint8_t *raw;
	size_t length;

	if (!field_find(frame, BLOB_NAME, &raw, &length)) {
		if (btfcache_forget(NULL))
			case_discard();
		blobs_drop_all();
		answer(MSG_OK, frame->id, false);
	} else if (!field_text(frame, BLOB_NAME, name, sizeof(name))) {
		answer_error(frame->id, "DROP's field 1 is no blob's name");
	} else {
		if (blob_path(name, path) && btfcache_forget(path))
			case_discard();
		answer_outcome(frame->id, blob_drop(name));
	}
}

/* The blob named in field `tag`; an absent field leaves `path` empty. Returns what is wrong, or NULL. */
static const char *read_blob(const struct frame *frame, uint16_t tag, bool needed, char path[BLOB_PATH_MAX])
{
	char name[BLOB_NAME_MAX];
	const uint8_t *raw;
	size_t length;

	path[0] = 0;
	if (!field_find(frame, tag, &raw, &length))
		return needed ? "the field naming the object's blob is missing" : NULL;
	if (!field_text(frame, tag, name, sizeof(name)) || !blob_path(name, path))
		return "no blob of this name is stored; PUT it first";
	return NULL;
}

/* The object: bytes that came along, or a blob. */
static const char *read_object(const struct frame *frame, struct case_request *request)
{
	const uint8_t *bytes;
	size_t length;

	if (!field_find(frame, CASE_BYTES, &bytes, &length))
		return read_blob(frame, CASE_OBJECT, true, request->object);
	if (length > INLINE_OBJECT_MAX)
		return "an object of more than 1 MiB is PUT as a blob first";
	memcpy(request->inline_object, bytes, length);
	request->inline_size = length;
	request->object[0] = 0;
	return NULL;
}

/* The steps stay in the form the wire has them in; their child reads them. */
static const char *read_steps(const struct frame *frame, struct case_request *request)
{
	struct fields steps = {.data = request->steps, .size = STEPS_MAX};
	const uint8_t *body;
	size_t at = 0, length;
	uint16_t tag;

	while (field_next(frame, &at, &tag, &body, &length)) {
		if (tag != CASE_STEP)
			continue;
		if (!fields_add_up(body, length))
			return "a step's fields do not add up to its length";
		fields_bytes(&steps, CASE_STEP, body, length);
	}
	request->steps_size = steps.used;
	return steps.full ? "a scenario's steps have at most 2 MiB" : NULL;
}

static const char *read_case(const struct frame *frame, struct case_request *request)
{
	const char *wrong = read_object(frame, request);

	if (!wrong)
		wrong = read_blob(frame, CASE_BTF, false, request->btf);
	if (wrong)
		return wrong;
	if (!field_text(frame, CASE_PROGRAM, request->program, sizeof(request->program)))
		return "CASE needs field 2, the program's name (1 to 1023 bytes)";
	if (!field_number(frame, CASE_LOADER, &request->loader) || request->loader > LOADER_RAW)
		return "CASE needs field 3, the loader: 0 libbpf, 1 raw";
	if (!field_number(frame, CASE_MEMLOCK, &request->memlock) ||
	    !field_number(frame, CASE_CAPABILITIES, &request->capabilities) ||
	    !field_number(frame, CASE_TIME_LIMIT, &request->time_limit_ms) ||
	    !field_number(frame, CASE_LOG_BYTES, &request->log_bytes) ||
	    !field_number(frame, CASE_FULL_LOG_MAX, &request->full_log_max_insns))
		return "CASE needs the numbers 4, 5, 6, 7 and 9";
	if (request->time_limit_ms == 0 || request->time_limit_ms > 86400000)
		return "CASE's time limit is 1 ms to a day";
	return read_steps(frame, request);
}

/* For trying what a host does when the agent dies: `bpfmatrix.die=PROGRAM` on the kernel's command line. The end of
 * PID 1 is a panic. */
static void die_if_told(const char *program)
{
	char word[PROGRAM_NAME_MAX + 32];

	if (!told_to_die)
		return;
	snprintf(word, sizeof(word), "bpfmatrix.die=%s", program);
	if (boot_has_word(word))
		exit(1);
}

static void on_case(const struct frame *frame)
{
	struct case_request *request = case_request();
	struct fields childs = {0};
	struct iovec parts[2];
	const char *wrong = read_case(frame, request);

	if (!wrong)
		die_if_told(request->program);
	if (!wrong)
		wrong = case_run(&scratch, &childs);
	if (wrong) {
		answer_error(frame->id, wrong);
		return;
	}
	parts[0] = (struct iovec){scratch.data, scratch.used};
	parts[1] = (struct iovec){childs.data, childs.used};
	port_send(&port, MSG_RESULT, frame->id, parts, 2, false);
	scratch.used = 0;
	scratch.full = false;
	case_done();
	case_prepare();
}

static void on_calls(const struct frame *frame)
{
	struct fields childs = {0};
	struct iovec parts[2];
	const char *wrong;

	decoder_inherit(&decoder, true); /* the calls' child reads its frame there */
	wrong = calls_run(frame, &scratch, &childs);
	decoder_inherit(&decoder, false);
	if (wrong) {
		answer_error(frame->id, wrong);
		return;
	}
	parts[0] = (struct iovec){scratch.data, scratch.used};
	parts[1] = (struct iovec){childs.data, childs.used};
	port_send(&port, MSG_CALLED, frame->id, parts, 2, false);
	scratch.used = 0;
	scratch.full = false;
	calls_done();
}

static int say_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static void on_warm(const struct frame *frame)
{
	char object[BLOB_PATH_MAX], btf[BLOB_PATH_MAX];
	const char *wrong = read_blob(frame, WARM_OBJECT, true, object);

	if (!wrong)
		wrong = read_blob(frame, WARM_BTF, false, btf);
	if (!wrong) {
		btfcache_warm(object, btf);
		case_discard(); /* the one waiting knows nothing of this */
		case_prepare();
	}
	answer_outcome(frame->id, wrong);
}

static void handle(const struct frame *frame)
{
	if (!fields_add_up(frame->body, frame->length)) {
		answer_error(frame->id, "the body's fields do not add up to its length");
		return;
	}
	switch (frame->type) {
	case MSG_PING:
		on_ping(frame);
		break;
	case MSG_PUT:
		on_put(frame);
		break;
	case MSG_DROP:
		on_drop(frame);
		break;
	case MSG_CASE:
		on_case(frame);
		break;
	case MSG_WARM:
		on_warm(frame);
		break;
	case MSG_CALLS:
		on_calls(frame);
		break;
	case MSG_POWEROFF:
		boot_power_off(NULL);
	default:
		answer_error(frame->id, "unknown message type");
	}
}

static void handle_all(void)
{
	struct frame frame;
	enum decoded got;
	const char *why;

	while ((got = decoder_next(&decoder, &frame, &why)) != DECODED_NOTHING) {
		if (got == DECODED_FRAME)
			handle(&frame);
		else
			answer_error(0, why);
	}
}

/* All bytes here have been waiting that long, so a frame found behind the first cut one is either whole or cut, too. */
static void give_up_all(void)
{
	while (decoder_pending(&decoder)) {
		decoder_give_up(&decoder);
		handle_all();
	}
}

static _Noreturn void serve(void)
{
	for (;;) {
		int timeout = decoder_pending(&decoder) ? HALF_FRAME_MS : -1;
		size_t size, got = 0;
		uint8_t *room = decoder_room(&decoder, &size);
		enum port_event event = port_receive(&port, timeout, room, size, &got);

		if (event == PORT_HOST_GONE) {
			decoder_forget(&decoder); /* whoever connects next begins anew */
		} else if (event == PORT_DATA) {
			decoder_filled(&decoder, got);
			handle_all();
		} else if (decoder_pending(&decoder)) {
			answer_error(0, "a frame was cut short: nothing came for 5 seconds");
			give_up_all();
		}
	}
}

static bool init_memory(void)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	libbpf_set_memlock_rlim(0); /* a case's limit is what the case says */
	libbpf_set_print(say_nothing);
	/* Keep what the heap once had, for the children's sake: a page that is there needs no fault. */
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TOP_PAD, 256 << 10);
	scratch.size = SCRATCH;
	scratch.data = mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (scratch.data != MAP_FAILED)
		madvise(scratch.data, SCRATCH, MADV_DONTFORK);
	return scratch.data != MAP_FAILED && decoder_init(&decoder) && case_init() && calls_init() && blobs_init();
}

/* The agent goes on until it waits, whatever it has woken: a case's child then runs from its start to its end without
 * coming back in between, and every switch between the two costs an emulated processor all it knows of addresses.
 * Children are ordinary processes. */
static void go_first(void)
{
	struct sched_param lowest = {.sched_priority = 1};

	sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &lowest);
}

int main(void)
{
	if (getpid() != 1 && getenv(EXIT_MARK))
		return 0; /* a case's execve */
	boot_mount_all();
	boot_load_modules();
	boot_loopback_up();
	if (boot_has_word("bpfmatrix.hide-btf"))
		boot_hide_btf();
	told_to_die = boot_has_prefix("bpfmatrix.die=");
	if (boot_has_word("bpfmatrix.shell")) {
		boot_shell();
		boot_power_off(NULL);
	}
	if (!init_memory())
		boot_power_off("the agent has no memory to start with");
	hugetext_use();
	probe_all();
	kmsg_open();
	if (!port_open(&port, boot_has_word("bpfmatrix.port=ttyS1")))
		boot_power_off("neither a virtio port bpfmatrix.0 nor a second serial port");
	go_first();
	probe_ready();
	probe_hello(&scratch, 0);
	answer(MSG_HELLO, 0, true);
	case_prepare();
	serve();
}
