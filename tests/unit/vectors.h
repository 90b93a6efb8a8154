/* SPDX-License-Identifier: Apache-2.0 */
/* The test vectors of tests/data/vectors: loading, walking, and a codec that follows the schemas they bring
 * along, so that every type runs, also those that the daemon itself never encodes or decodes. Aborts the
 * test on files that are not as expected. */
#pragma once

#include "base/buffer.h"
#include "base/json.h"
#include "event/sbs.h"

typedef struct Vectors {
        char *text;
        JsonSpan root;
} Vectors;

void vectors_load(Vectors *v, const char *name);
void vectors_done(Vectors *v);
#define _vectors_ _cleanup_(vectors_done) Vectors

/* A member that must exist. */
JsonSpan vector_get(JsonSpan object, const char *key);
/* { NULL, 0 } when absent. */
JsonSpan vector_find(JsonSpan object, const char *key);
char *vector_text(JsonSpan string, size_t *ret_size); /* ret_size may be NULL; caller frees */
int64_t vector_integer(JsonSpan v);                   /* a number or a decimal string */
bool vector_bool(JsonSpan v);
GByteArray *vector_hex(JsonSpan string);
/* A two element array [entry name, value]: whether the entry is `name`, and its value. */
bool vector_choice(JsonSpan v, const char *name, JsonSpan *ret);
bool vector_is_null(JsonSpan v);

/* FOREACH_ITEM(item, array) { … } */
#define FOREACH_ITEM(item, array)                                                                           \
        for (JsonIterator _i_##item = json_iterate(array), *_once_##item = &_i_##item; _once_##item; _once_##item = NULL) \
                for (JsonSpan item, _key_##item; json_next(&_i_##item, &_key_##item, &item);)

/* The definition of a type in a file's `types`; an SBS simple type's name otherwise. */
JsonSpan vector_type(const Vectors *v, JsonSpan name);
void vector_encode(JsonSpan type, JsonSpan value, Buffer *out);
/* Decodes one value. expected: compared with it, a difference aborts; absent: only decoded. -EBADMSG:
 * malformed. */
int vector_decode(JsonSpan type, SbsReader *r, JsonSpan expected);

void assert_bytes(const uint8_t *data, size_t size, JsonSpan hex);
