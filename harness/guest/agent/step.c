#include "step.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STEP_OP = 1,
	STEP_TIME_LIMIT,
	STEP_NAME,
	STEP_KEY,
	STEP_VALUE,
	STEP_FLAGS,
	STEP_COUNT,
	STEP_ARGUMENT,
	STEP_MAY_FAIL,
	STEP_FACT,
};

enum { STEP_RESULT_INDEX = 1, STEP_RESULT_ERRNO, STEP_RESULT_WORDS, STEP_RESULT_VALUE, STEP_RESULT_NUMBER };

static char arguments[STEP_ARGS_ROOM];

/* Copy every argument, so that each ends with a NUL. */
static const char *read_arguments(struct step *step, const struct frame *body)
{
	size_t at = 0, used = 0, length;
	const uint8_t *value;
	uint16_t tag;

	while (field_next(body, &at, &tag, &value, &length)) {
		if (tag != STEP_ARGUMENT)
			continue;
		if (step->arg_count == STEP_ARGS_MAX || length >= sizeof(arguments) - used)
			return "a step has at most 256 arguments of 64 KiB together";
		if (memchr(value, 0, length))
			return "an argument holds a NUL";
		step->args[step->arg_count++] = memcpy(arguments + used, value, length);
		arguments[used + length] = 0;
		used += length + 1;
	}
	step->args[step->arg_count] = NULL;
	return NULL;
}

static bool read_text(const struct frame *body, uint16_t tag, char text[STEP_NAME_MAX])
{
	const uint8_t *raw;
	size_t length;

	text[0] = 0;
	return !field_find(body, tag, &raw, &length) || length == 0 || field_text(body, tag, text, STEP_NAME_MAX);
}

const char *step_read(struct step *step, uint64_t index, const uint8_t *raw, size_t length)
{
	struct frame body = {.body = raw, .length = (uint32_t)length};
	uint64_t may_fail = 0;

	*step = (struct step){.index = index, .count = 1};
	field_number(&body, STEP_OP, &step->op);
	field_number(&body, STEP_TIME_LIMIT, &step->limit_ms);
	field_number(&body, STEP_FLAGS, &step->flags);
	field_number(&body, STEP_COUNT, &step->count);
	field_number(&body, STEP_MAY_FAIL, &may_fail);
	field_find(&body, STEP_KEY, &step->key, &step->key_size);
	field_find(&body, STEP_VALUE, &step->value, &step->value_size);
	step->may_fail = may_fail;
	if (!read_text(&body, STEP_NAME, step->name) || !read_text(&body, STEP_FACT, step->fact))
		return "a step's name has at most 255 bytes and no NUL";
	return read_arguments(step, &body);
}

bool step_number(const struct step *step, size_t index, uint64_t otherwise, uint64_t *number)
{
	char *end;

	*number = otherwise;
	if (index >= step->arg_count)
		return true;
	errno = 0;
	*number = strtoull(step->args[index], &end, 0);
	return errno == 0 && end != step->args[index] && *end == 0 && step->args[index][0] != '-';
}

void result_value(struct step_result *result, const void *value, size_t length)
{
	fields_bytes(&result->fields, STEP_RESULT_VALUE, value, length);
}

void result_number(struct step_result *result, uint64_t number)
{
	fields_number(&result->fields, STEP_RESULT_NUMBER, number);
}

static void add_words(struct step_result *result, const char *format, va_list args)
{
	size_t room = sizeof(result->words) - result->words_used;
	int wrote = vsnprintf(result->words + result->words_used, room, format, args);

	if (wrote > 0)
		result->words_used += (size_t)wrote < room ? (size_t)wrote : room - 1;
}

void result_say(struct step_result *result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_words(result, format, args);
	va_end(args);
}

void result_fail(struct step_result *result, int error, const char *format, ...)
{
	va_list args;

	if (result->error)
		return;
	result->error = error > 0 ? error : EINVAL;
	va_start(args, format);
	add_words(result, format, args);
	va_end(args);
}

void result_write(struct fields *out, uint16_t tag, uint64_t index, const struct step_result *result,
		  struct fields *room)
{
	room->used = 0;
	fields_number(room, STEP_RESULT_INDEX, index);
	fields_number(room, STEP_RESULT_ERRNO, (uint64_t)result->error);
	if (result->words_used > 0)
		fields_bytes(room, STEP_RESULT_WORDS, result->words, result->words_used);
	fields_append(room, &result->fields);
	fields_bytes(out, tag, room->data, room->used);
}
