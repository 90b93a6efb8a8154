/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a JSON value and writes it again, as the event server does between register and notify: every
 * function of the reader and of the writer is on the way. Shared by the unit test and the fuzz target of
 * JSON. */
#pragma once

#include "base/bits.h"
#include "base/bounds.h"
#include "base/json.h"

#define REWRITE_DEPTH_MAX 60U /* the writer's own bound is 64; deeper values are taken over as they are */

static inline void rewrite_string(JsonSpan v, JsonWriter *w) {
        g_autofree char *text = NULL;
        size_t size;

        g_assert_cmpint(json_unescape(v, &text, &size), ==, 0);
        if (g_strstr_len(text, (gssize) size, "\357\277\275"))
                json_raw(w, v); /* perhaps a lone surrogate, which UTF-8 cannot say */
        else
                json_string_n(w, text, size);
}

static inline void rewrite_number(JsonSpan v, JsonWriter *w) {
        g_autofree char *text = NULL;
        int64_t value;

        if (json_to_int64(v, &value) == 0)
                json_int(w, value);
        else if (json_is_integer(v) && v.text[0] != '-') {
                uint8_t bits[BITS_BYTES(JSON_DIGITS_MAX * 10 / 3 + 1)];
                bool fits;

                g_assert_cmpint(bits_from_decimal(v.text, v.size, sizeof(bits) * 8, bits, &fits), ==, 0);
                g_assert_true(fits);
                json_bits(w, bits, sizeof(bits) * 8);
        } else if (json_is_integer(v))
                json_raw(w, v);
        else {
                text = g_strndup(v.text, v.size);
                json_double(w, g_ascii_strtod(text, NULL));
        }
}

static inline void rewrite_json(JsonSpan v, JsonWriter *w, unsigned depth);

static inline void rewrite_members(JsonSpan v, JsonWriter *w, unsigned depth) {
        JsonIterator i = json_iterate(v);
        JsonSpan key, value, last;

        while (json_next(&i, &key, &value)) {
                g_autofree char *name = NULL;
                size_t size;

                if (i.object) {
                        g_assert_cmpint(json_unescape(key, &name, &size), ==, 0);
                        if (strlen(name) == size && json_get(v, name, &last) == 0 && last.text != value.text)
                                continue; /* of duplicates the last one counts */
                        json_key(w, name);
                }
                rewrite_json(value, w, depth + 1);
        }
}

static inline void rewrite_json(JsonSpan v, JsonWriter *w, unsigned depth) {
        switch (json_kind(v)) {
        case JSON_NULL:
                json_null(w);
                break;
        case JSON_FALSE:
        case JSON_TRUE:
                json_bool(w, json_kind(v) == JSON_TRUE);
                break;
        case JSON_NUMBER:
                rewrite_number(v, w);
                break;
        case JSON_STRING:
                rewrite_string(v, w);
                break;
        case JSON_ARRAY:
                if (depth >= REWRITE_DEPTH_MAX) {
                        json_raw(w, v);
                        break;
                }
                json_open_array(w);
                rewrite_members(v, w, depth);
                json_close_array(w);
                break;
        case JSON_OBJECT:
                if (depth >= REWRITE_DEPTH_MAX) {
                        json_raw(w, v);
                        break;
                }
                json_open_object(w);
                rewrite_members(v, w, depth);
                json_close_object(w);
                break;
        default:
                g_assert_not_reached();
        }
}
