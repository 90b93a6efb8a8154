/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON (RFC 8259) for event payloads: a reader over text that allocates nothing and does not recurse,
 * and a writer into a given or a growing buffer. Numbers stay text. Pure functions; docs/design.md section 5
 * says why this exists. */
#pragma once

#include "base/macros.h"

/* The text of one JSON value, borrowed, not terminated. Every function below but json_check() wants text
 * that json_check() accepted (or a part that these functions returned). { NULL, 0 } means absent. */
typedef struct JsonSpan {
        const char *text;
        size_t size;
} JsonSpan;
#define JSON_LITERAL(s) ((JsonSpan) { (s), sizeof(s) - 1 })

typedef enum JsonKind {
        JSON_NULL,
        JSON_FALSE,
        JSON_TRUE,
        JSON_NUMBER,
        JSON_STRING,
        JSON_ARRAY,
        JSON_OBJECT,
        _JSON_KIND_INVALID = -EINVAL,
} JsonKind;

/* One value and white space around it. -EBADMSG: not JSON, or text that the event server could not read or
 * write again (NaN, Infinity, numbers that overflow a double, integers of more than JSON_DIGITS_MAX digits:
 * wire.md 3.3), or ill-formed UTF-8; -E2BIG: nested deeper than JSON_DEPTH_MAX. Lone surrogate escapes and
 * duplicate members are accepted. ret (may be NULL) is the value without the white space. */
int json_check(const char *text, size_t size, JsonSpan *ret) _must_check_;

JsonKind json_kind(JsonSpan v);
/* As Python's bool(): false for null, false, numbers that are 0 (as a double, unless integer), "", [] and
 * {}. */
bool json_truthy(JsonSpan v);
/* A number token without fraction and exponent. */
bool json_is_integer(JsonSpan v);
/* -EINVAL: not an integer token, -ERANGE: outside int64. */
int json_to_int64(JsonSpan v, int64_t *ret);
/* Unescaped UTF-8, terminated; lone surrogates as U+FFFD; ret_size excludes the terminator (the text may
 * hold NUL). -EINVAL: not a string. Caller frees. */
int json_unescape(JsonSpan v, char **ret, size_t *ret_size);
/* v is a string and unescaped equal to text; a lone surrogate equals nothing. Allocates nothing. */
bool json_text_equal(JsonSpan v, const char *text);
/* Member of an object; of duplicates the last one. -ENOENT: absent, or v is no object. */
int json_get(JsonSpan v, const char *key, JsonSpan *ret);

/* Walks an array or object: JsonIterator i = json_iterate(v); while (json_next(&i, &key, &value)). key is
 * the string span of a member, absent in arrays. */
typedef struct JsonIterator {
        const char *at, *end;
        bool object;
} JsonIterator;
JsonIterator json_iterate(JsonSpan v);
bool json_next(JsonIterator *i, JsonSpan *ret_key, JsonSpan *ret_value);

/* Writer. Text as the reference sends it: ASCII only, `, ` and `: `, integers in full (wire.md 3.3). Commas
 * and colons come by themselves. Depth at most 64. With a given buffer it never allocates; what does not fit
 * makes json_writer_end() say so. */
typedef struct JsonWriter {
        char *text;
        size_t size, allocated;
        bool growing, failed;
        unsigned depth;
        uint64_t filled; /* one bit a level: something was written there */
        bool after_key;
} JsonWriter;

void json_writer_init(JsonWriter *w, char *buffer, size_t size);
void json_writer_init_growing(JsonWriter *w);
void json_writer_done(JsonWriter *w);           /* frees a growing writer's text */
/* Empty again; a growing one keeps its memory. */
void json_writer_reset(JsonWriter *w);
/* The finished text, borrowed from the writer. -ENOSPC: the buffer was too small (or the depth too
 * great). */
int json_writer_end(JsonWriter *w, JsonSpan *ret);
/* Growing only: terminated text, caller frees; empties the writer. NULL: the depth was too great. */
char *json_writer_steal(JsonWriter *w);

void json_open_object(JsonWriter *w);
void json_close_object(JsonWriter *w);
void json_open_array(JsonWriter *w);
void json_close_array(JsonWriter *w);
void json_key(JsonWriter *w, const char *key);
void json_string(JsonWriter *w, const char *text); /* UTF-8; NULL writes null; ill-formed bytes as U+FFFD */
void json_member_string(JsonWriter *w, const char *key, const char *text);
void json_string_n(JsonWriter *w, const char *text, size_t size);
void json_bool(JsonWriter *w, bool value);
void json_null(JsonWriter *w);
void json_int(JsonWriter *w, int64_t value);
void json_uint(JsonWriter *w, uint64_t value);
void json_member_uint(JsonWriter *w, const char *key, uint64_t value);
/* Shortest round trip, as Python's repr(), in any locale; null when not finite. */
void json_double(JsonWriter *w, double value);
void json_bits(JsonWriter *w, const uint8_t *bits, size_t n_bits);
void json_raw(JsonWriter *w, JsonSpan value);          /* checked JSON text, as it is */
