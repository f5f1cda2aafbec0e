/* Frames and fields of the protocol in ../PROTOCOL.md: the agent's half. Pure memory, no descriptors. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 3
#define WIRE_HEADER 20
#define WIRE_MAX_BODY (64u << 20)

enum message_type {
	MSG_PING = 1,
	MSG_HELLO,
	MSG_PUT,
	MSG_DROP,
	MSG_CASE,
	MSG_RESULT,
	MSG_OK,
	MSG_ERROR,
	MSG_POWEROFF,
	MSG_WARM,
	MSG_CALLS,
	MSG_CALLED,
};

/* A message as received; `body` points into the decoder and lives until the next decoder call. */
struct frame {
	uint16_t type;
	uint32_t id;
	const uint8_t *body;
	uint32_t length;
};

enum decoded { DECODED_NOTHING, DECODED_FRAME, DECODED_COMPLAINT, DECODED_AGAIN };

/* Bytes received and not yet consumed: data[start..end). `complained` keeps one run of garbage from
 * causing more than one ERROR. */
struct decoder {
	uint8_t *data;
	size_t size, start, end;
	bool complained;
};

bool decoder_init(struct decoder *d);
/* Whether the processes forked from now on have what the decoder holds; at first they have not, and every fork is
 * spared its pages. */
bool decoder_inherit(const struct decoder *d, bool inherit);
/* Where the next bytes from the port go; `room` says how many fit (never 0). */
uint8_t *decoder_room(struct decoder *d, size_t *room);
void decoder_filled(struct decoder *d, size_t count);
/* The next message, or a complaint about what was skipped (text in *why), or nothing yet. */
enum decoded decoder_next(struct decoder *d, struct frame *out, const char **why);
/* A frame that stays incomplete: give its magic up so that what follows is looked at. */
void decoder_give_up(struct decoder *d);
void decoder_forget(struct decoder *d);
bool decoder_pending(const struct decoder *d);

/* Fields being written. Once something did not fit, `full` stays set and what was written stays valid. */
struct fields {
	uint8_t *data;
	size_t size, used;
	bool full;
};

void fields_bytes(struct fields *f, uint16_t tag, const void *value, size_t length);
void fields_text(struct fields *f, uint16_t tag, const char *text);
void fields_number(struct fields *f, uint16_t tag, uint64_t value);
void fields_append(struct fields *f, const struct fields *more);

/* Fields being read. */
bool fields_add_up(const uint8_t *body, size_t length);
/* The field at *at, which moves behind it; false at the end. Begin with *at = 0. */
bool field_next(const struct frame *frame, size_t *at, uint16_t *tag, const uint8_t **value, size_t *length);
/* The first field `tag`; false, and nothing written, when there is none. */
bool field_find(const struct frame *frame, uint16_t tag, const uint8_t **value, size_t *length);
bool field_number(const struct frame *frame, uint16_t tag, uint64_t *value);
/* Copy a text field without NUL bytes inside; false when absent, empty, too long for `size` or holding a NUL. */
bool field_text(const struct frame *frame, uint16_t tag, char *text, size_t size);

/* The header of a frame whose CRC over its body is `crc` chained with wire_crc(). */
void wire_header(uint8_t header[WIRE_HEADER], uint16_t type, uint32_t id, uint32_t length);
uint32_t wire_crc(uint32_t crc, const void *data, size_t length);
void wire_seal(uint8_t header[WIRE_HEADER], uint32_t crc);
