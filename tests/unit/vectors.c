/* SPDX-License-Identifier: Apache-2.0 */
/* Loading of test vectors and the schema driven codec of tests/unit/vectors.h. */

#include "tests/unit/vectors.h"

#include <errno.h>
#include <math.h>

void vectors_load(Vectors *v, const char *name) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "data", "vectors", name, NULL);
        gsize size;

        g_assert_true(g_file_get_contents(path, &v->text, &size, NULL));
        g_assert_cmpint(json_check(v->text, size, &v->root), ==, 0);
}

void vectors_done(Vectors *v) {
        g_free(v->text);
}

JsonSpan vector_find(JsonSpan object, const char *key) {
        JsonSpan v;

        return json_get(object, key, &v) < 0 ? (JsonSpan) { 0 } : v;
}

JsonSpan vector_get(JsonSpan object, const char *key) {
        JsonSpan v = vector_find(object, key);

        if (!v.text)
                g_error("A vector lacks the member %s.", key);
        return v;
}

char *vector_text(JsonSpan string, size_t *ret_size) {
        size_t size;
        char *text;

        g_assert_cmpint(json_unescape(string, &text, &size), ==, 0);
        if (ret_size)
                *ret_size = size;
        return text;
}

int64_t vector_integer(JsonSpan v) {
        g_autofree char *text = NULL;
        int64_t i;

        if (json_kind(v) == JSON_STRING) {
                text = vector_text(v, NULL);
                return g_ascii_strtoll(text, NULL, 10);
        }
        g_assert_cmpint(json_to_int64(v, &i), ==, 0);
        return i;
}

bool vector_bool(JsonSpan v) {
        g_assert_true(json_kind(v) == JSON_TRUE || json_kind(v) == JSON_FALSE);
        return json_kind(v) == JSON_TRUE;
}

bool vector_is_null(JsonSpan v) {
        return json_kind(v) == JSON_NULL;
}

GByteArray *vector_hex(JsonSpan string) {
        g_autofree char *text = NULL;
        GByteArray *bytes = g_byte_array_new();
        size_t size;

        text = vector_text(string, &size);
        g_assert_cmpuint(size % 2, ==, 0);
        for (size_t i = 0; i < size; i += 2) {
                int high = g_ascii_xdigit_value(text[i]), low = g_ascii_xdigit_value(text[i + 1]);
                uint8_t byte = (uint8_t) (high * 16 + low);

                g_assert_true(high >= 0 && low >= 0);
                g_byte_array_append(bytes, &byte, 1);
        }
        return bytes;
}

bool vector_choice(JsonSpan v, const char *name, JsonSpan *ret) {
        JsonSpan key, entry, value;
        JsonIterator i = json_iterate(v);

        g_assert_true(json_next(&i, &key, &entry));
        g_assert_true(json_next(&i, &key, &value));
        if (!json_text_equal(entry, name))
                return false;
        if (ret)
                *ret = value;
        return true;
}

/* The pair [name, type] of a record or choice. */
static void entry_split(JsonSpan pair, JsonSpan *ret_name, JsonSpan *ret_type) {
        JsonIterator i = json_iterate(pair);
        JsonSpan key;

        g_assert_true(json_next(&i, &key, ret_name));
        g_assert_true(json_next(&i, &key, ret_type));
}

JsonSpan vector_type(const Vectors *v, JsonSpan name) {
        g_autofree char *text = vector_text(name, NULL);
        JsonSpan types = vector_get(v->root, "types"), type;

        return json_get(types, text, &type) < 0 ? name : type;
}

static double vector_double(JsonSpan v) {
        g_autofree char *text = json_kind(v) == JSON_STRING ? vector_text(v, NULL)
                                                            : g_strndup(v.text, v.size);

        return g_ascii_strtod(text, NULL);
}

/* ---- encoding ---------------------------------------------------------------------------------------- */

static void encode_simple(JsonSpan type, JsonSpan value, Buffer *out) {
        if (json_text_equal(type, "None"))
                g_assert_true(vector_is_null(value));
        else if (json_text_equal(type, "Boolean"))
                sbs_write_boolean(out, vector_bool(value));
        else if (json_text_equal(type, "Integer"))
                sbs_write_integer(out, vector_integer(value));
        else if (json_text_equal(type, "Float"))
                sbs_write_float(out, vector_double(value));
        else if (json_text_equal(type, "String")) {
                size_t size;
                g_autofree char *text = vector_text(value, &size);

                sbs_write_string(out, text, size);
        } else if (json_text_equal(type, "Bytes")) {
                g_autoptr(GByteArray) bytes = vector_hex(value);

                sbs_write_bytes(out, bytes->data, bytes->len);
        } else
                g_error("Unknown type %.*s.", (int) type.size, type.text);
}

static void encode_choice(JsonSpan entries, JsonSpan value, Buffer *out) {
        JsonSpan chosen, content;
        g_autofree char *chosen_text = NULL;
        int64_t index = 0;

        entry_split(value, &chosen, &content);
        chosen_text = vector_text(chosen, NULL);
        FOREACH_ITEM(entry, entries) {
                JsonSpan name, type;

                entry_split(entry, &name, &type);
                if (json_text_equal(name, chosen_text)) {
                        sbs_write_integer(out, index);
                        vector_encode(type, content, out);
                        return;
                }
                index++;
        }
        g_error("Unknown choice %s.", chosen_text);
}

void vector_encode(JsonSpan type, JsonSpan value, Buffer *out) {
        JsonSpan inner;

        if (json_kind(type) == JSON_STRING)
                encode_simple(type, value, out);
        else if (json_get(type, "array", &inner) >= 0) {
                int64_t n = 0;

                FOREACH_ITEM(item, value)
                n++;
                sbs_write_integer(out, n);
                FOREACH_ITEM(item, value)
                vector_encode(inner, item, out);
        } else if (json_get(type, "record", &inner) >= 0) {
                FOREACH_ITEM(entry, inner) {
                        g_autofree char *name_text = NULL;
                        JsonSpan name, entry_type;

                        entry_split(entry, &name, &entry_type);
                        name_text = vector_text(name, NULL);
                        vector_encode(entry_type, vector_get(value, name_text), out);
                }
        } else
                encode_choice(vector_get(type, "choice"), value, out);
}

/* ---- decoding ---------------------------------------------------------------------------------------- */

static int decode_string(SbsReader *r, JsonSpan expected) {
        const char *text;
        size_t size;
        int res;

        res = sbs_read_string(r, &text, &size);
        if (res < 0)
                return res;
        if (expected.text) {
                size_t expected_size;
                g_autofree char *expected_text = vector_text(expected, &expected_size);

                g_assert_cmpmem(text, size, expected_text, expected_size);
        }
        return 0;
}

static int decode_float(SbsReader *r, JsonSpan expected) {
        double d;
        int res;

        res = sbs_read_float(r, &d);
        if (res < 0)
                return res;
        if (expected.text) {
                double e = vector_double(expected);

                g_assert_true((isnan(d) && isnan(e)) || memcmp(&d, &e, sizeof d) == 0);
        }
        return 0;
}

static int decode_simple(JsonSpan type, SbsReader *r, JsonSpan expected) {
        int res;

        if (json_text_equal(type, "None"))
                return 0;
        if (json_text_equal(type, "String"))
                return decode_string(r, expected);
        if (json_text_equal(type, "Float"))
                return decode_float(r, expected);
        if (json_text_equal(type, "Boolean")) {
                bool b;

                res = sbs_read_boolean(r, &b);
                if (res >= 0 && expected.text)
                        g_assert_true(b == vector_bool(expected));
        } else if (json_text_equal(type, "Integer")) {
                int64_t v;

                res = sbs_read_integer(r, &v);
                if (res >= 0 && expected.text)
                        g_assert_cmpint(v, ==, vector_integer(expected));
        } else {
                const uint8_t *data;
                size_t size;

                g_assert_true(json_text_equal(type, "Bytes"));
                res = sbs_read_bytes(r, &data, &size);
                if (res >= 0 && expected.text)
                        assert_bytes(data, size, expected);
        }
        return res;
}

static int decode_array(JsonSpan element, SbsReader *r, JsonSpan expected) {
        JsonIterator i = json_iterate(expected.text ? expected : JSON_LITERAL("[]"));
        JsonSpan key, item = { 0 };
        size_t n;
        int res;

        /* None is the one type whose elements take no bytes; no protocol has an array of it. */
        if (json_kind(element) == JSON_STRING && json_text_equal(element, "None")) {
                int64_t count;

                res = sbs_read_integer(r, &count);
                if (res >= 0 && count < 0)
                        res = -EBADMSG;
                n = res < 0 ? 0 : (size_t) MIN(count, 1000);
        } else
                res = sbs_read_count(r, &n);
        if (res < 0)
                return res;

        for (size_t j = 0; j < n; j++) {
                if (expected.text)
                        g_assert_true(json_next(&i, &key, &item));
                res = vector_decode(element, r, item);
                if (res < 0)
                        return res;
        }
        g_assert_false(expected.text && json_next(&i, &key, &item));
        return 0;
}

static int decode_record(JsonSpan entries, SbsReader *r, JsonSpan expected) {
        FOREACH_ITEM(entry, entries) {
                g_autofree char *text = NULL;
                JsonSpan name, type;
                int res;

                entry_split(entry, &name, &type);
                text = vector_text(name, NULL);
                res = vector_decode(type, r, expected.text ? vector_get(expected, text) : expected);
                if (res < 0)
                        return res;
        }
        return 0;
}

static int decode_choice(JsonSpan entries, SbsReader *r, JsonSpan expected) {
        unsigned n = 0, chosen;
        int res;

        FOREACH_ITEM(entry, entries)
        n++;
        res = sbs_read_choice(r, n, &chosen);
        if (res < 0)
                return res;

        FOREACH_ITEM(entry, entries) {
                g_autofree char *text = NULL;
                JsonSpan name, type, content = { 0 };

                if (chosen-- > 0)
                        continue;
                entry_split(entry, &name, &type);
                text = vector_text(name, NULL);
                if (expected.text)
                        g_assert_true(vector_choice(expected, text, &content));
                return vector_decode(type, r, content);
        }
        g_assert_not_reached();
}

int vector_decode(JsonSpan type, SbsReader *r, JsonSpan expected) {
        JsonSpan inner;

        if (json_kind(type) == JSON_STRING)
                return decode_simple(type, r, expected);
        if (json_get(type, "array", &inner) >= 0)
                return decode_array(inner, r, expected);
        if (json_get(type, "record", &inner) >= 0)
                return decode_record(inner, r, expected);
        return decode_choice(vector_get(type, "choice"), r, expected);
}

void assert_bytes(const uint8_t *data, size_t size, JsonSpan hex) {
        g_autoptr(GByteArray) expected = vector_hex(hex);

        g_assert_cmpmem(data, size, expected->data, expected->len);
}
