#include "wire.h"

#include <endian.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

static const uint8_t MAGIC[4] = {'B', 'P', 'F', 'M'};

/* Past this much, memory a large frame needed is handed back once it is consumed. */
#define KEEP_RESIDENT (256u << 10)

static uint32_t get32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return le32toh(value);
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t value;

	memcpy(&value, p, sizeof(value));
	return le16toh(value);
}

static void put32(uint8_t *p, uint32_t value)
{
	value = htole32(value);
	memcpy(p, &value, sizeof(value));
}

static void put16(uint8_t *p, uint16_t value)
{
	value = htole16(value);
	memcpy(p, &value, sizeof(value));
}

uint32_t wire_crc(uint32_t crc, const void *data, size_t length)
{
	return crc32_z(crc, data, length);
}

bool decoder_init(struct decoder *d)
{
	memset(d, 0, sizeof(*d));
	d->size = WIRE_HEADER + WIRE_MAX_BODY;
	d->data = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return d->data != MAP_FAILED && decoder_inherit(d, false);
}

bool decoder_inherit(const struct decoder *d, bool inherit)
{
	return madvise(d->data, d->size, inherit ? MADV_DOFORK : MADV_DONTFORK) == 0;
}

bool decoder_pending(const struct decoder *d)
{
	return d->end > d->start;
}

/* Move what is left to the front, and give pages back that only a large frame needed. */
static void decoder_compact(struct decoder *d)
{
	size_t left = d->end - d->start, was = d->end;

	memmove(d->data, d->data + d->start, left);
	d->start = 0;
	d->end = left;
	if (was > KEEP_RESIDENT && left < KEEP_RESIDENT)
		madvise(d->data + KEEP_RESIDENT, d->size - KEEP_RESIDENT, MADV_DONTNEED);
}

uint8_t *decoder_room(struct decoder *d, size_t *room)
{
	if (d->start > 0 && (d->start == d->end || d->size - d->end < KEEP_RESIDENT))
		decoder_compact(d);
	*room = d->size - d->end;
	return d->data + d->end;
}

void decoder_filled(struct decoder *d, size_t count)
{
	d->end += count;
}

void decoder_forget(struct decoder *d)
{
	d->start = d->end;
	d->complained = false;
}

void decoder_give_up(struct decoder *d)
{
	size_t left = d->end - d->start;

	d->start += left < sizeof(MAGIC) ? left : sizeof(MAGIC);
	d->complained = true;
}

/* Skip to the next magic, or to a tail that may become one. Returns the bytes passed over. */
static size_t decoder_align(struct decoder *d)
{
	size_t before = d->start;

	while (d->start < d->end) {
		const uint8_t *hit = memchr(d->data + d->start, MAGIC[0], d->end - d->start);
		size_t left, cmp;

		d->start = hit ? (size_t)(hit - d->data) : d->end;
		left = d->end - d->start;
		cmp = left < sizeof(MAGIC) ? left : sizeof(MAGIC);
		if (memcmp(d->data + d->start, MAGIC, cmp) == 0)
			break;
		d->start++;
	}
	return d->start - before;
}

/* Pass over `count` bytes of something bad; only the first of a run of it is complained of. */
static enum decoded pass_over(struct decoder *d, size_t count, const char **why, const char *text)
{
	bool first = !d->complained;

	d->start += count;
	d->complained = true;
	*why = text;
	return first ? DECODED_COMPLAINT : DECODED_AGAIN;
}

/* What stands at the start now? DECODED_AGAIN: something bad was passed over, already complained of. */
static enum decoded decoder_step(struct decoder *d, struct frame *out, const char **why)
{
	const uint8_t *head;

	if (decoder_align(d) > 0)
		return pass_over(d, 0, why, "bytes that are no frame were skipped");
	if (d->end - d->start < WIRE_HEADER)
		return DECODED_NOTHING;
	head = d->data + d->start;
	*out = (struct frame){get16(head + 4), get32(head + 8), head + WIRE_HEADER, get32(head + 12)};
	if (out->length > WIRE_MAX_BODY)
		return pass_over(d, sizeof(MAGIC), why, "a frame's length is over the limit of 64 MiB");
	if (d->end - d->start - WIRE_HEADER < out->length)
		return DECODED_NOTHING;
	if (wire_crc(wire_crc(0, head, 16), out->body, out->length) != get32(head + 16))
		return pass_over(d, sizeof(MAGIC), why, "a frame's checksum is wrong");
	d->start += WIRE_HEADER + out->length;
	d->complained = false;
	return DECODED_FRAME;
}

enum decoded decoder_next(struct decoder *d, struct frame *out, const char **why)
{
	enum decoded got;

	do
		got = decoder_step(d, out, why);
	while (got == DECODED_AGAIN);
	return got;
}

void fields_bytes(struct fields *f, uint16_t tag, const void *value, size_t length)
{
	if (f->size - f->used < 6 || length > f->size - f->used - 6) {
		f->full = true;
		return;
	}
	put16(f->data + f->used, tag);
	put32(f->data + f->used + 2, (uint32_t)length);
	if (length > 0)
		memmove(f->data + f->used + 6, value, length); /* a caller may have put it there already */
	f->used += 6 + length;
}

void fields_text(struct fields *f, uint16_t tag, const char *text)
{
	fields_bytes(f, tag, text, strlen(text));
}

void fields_number(struct fields *f, uint16_t tag, uint64_t value)
{
	value = htole64(value);
	fields_bytes(f, tag, &value, sizeof(value));
}

void fields_append(struct fields *f, const struct fields *more)
{
	if (more->used > f->size - f->used) {
		f->full = true;
		return;
	}
	memcpy(f->data + f->used, more->data, more->used);
	f->used += more->used;
}

/* Step over one field. Returns its whole size, 0 when it does not fit into what is left. */
static size_t field_at(const uint8_t *p, size_t left)
{
	uint32_t length;

	if (left < 6)
		return 0;
	length = get32(p + 2);
	return length <= left - 6 ? 6 + (size_t)length : 0;
}

bool fields_add_up(const uint8_t *body, size_t length)
{
	size_t at = 0, step;

	for (; at < length; at += step) {
		step = field_at(body + at, length - at);
		if (step == 0)
			return false;
	}
	return true;
}

bool field_next(const struct frame *frame, size_t *at, uint16_t *tag, const uint8_t **value, size_t *length)
{
	size_t step = field_at(frame->body + *at, frame->length - *at);

	if (step == 0)
		return false;
	*tag = get16(frame->body + *at);
	*value = frame->body + *at + 6;
	*length = step - 6;
	*at += step;
	return true;
}

bool field_find(const struct frame *frame, uint16_t tag, const uint8_t **value, size_t *length)
{
	const uint8_t *each;
	size_t at = 0, size;
	uint16_t name;

	while (field_next(frame, &at, &name, &each, &size)) {
		if (name != tag)
			continue;
		*value = each;
		*length = size;
		return true;
	}
	return false;
}

bool field_number(const struct frame *frame, uint16_t tag, uint64_t *value)
{
	const uint8_t *raw;
	size_t length;

	if (!field_find(frame, tag, &raw, &length) || length != sizeof(*value))
		return false;
	memcpy(value, raw, sizeof(*value));
	*value = le64toh(*value);
	return true;
}

bool field_text(const struct frame *frame, uint16_t tag, char *text, size_t size)
{
	const uint8_t *raw;
	size_t length;

	if (!field_find(frame, tag, &raw, &length) || length == 0 || length >= size || memchr(raw, 0, length))
		return false;
	memcpy(text, raw, length);
	text[length] = 0;
	return true;
}

void wire_header(uint8_t header[WIRE_HEADER], uint16_t type, uint32_t id, uint32_t length)
{
	memcpy(header, MAGIC, sizeof(MAGIC));
	put16(header + 4, type);
	put16(header + 6, 0);
	put32(header + 8, id);
	put32(header + 12, length);
	put32(header + 16, 0);
}

void wire_seal(uint8_t header[WIRE_HEADER], uint32_t crc)
{
	put32(header + 16, crc);
}
