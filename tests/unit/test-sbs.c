/* SPDX-License-Identifier: Apache-2.0 */
/* SBS against sbs.json: every type, canonical and not, every malformed input, every proper prefix. */

#include <errno.h>

#include "tests/unit/vectors.h"

/* An exact copy in memory of its own, so that a read behind the end is seen. */
static uint8_t *exact(const uint8_t *data, size_t size) {
        return g_memdup2(size > 0 ? data : (const uint8_t *) "", MAX(size, 1));
}

static int decode(JsonSpan type, const uint8_t *data, size_t size, JsonSpan expected, size_t *ret_consumed) {
        g_autofree uint8_t *copy = exact(data, size);
        SbsReader r = { .at = copy, .end = copy + size };
        int res = vector_decode(type, &r, expected);

        if (res >= 0 && ret_consumed)
                *ret_consumed = (size_t) (r.at - copy);
        return res;
}

static void assert_encodes(JsonSpan type, JsonSpan value, JsonSpan hex) {
        Buffer b = { 0 };

        vector_encode(type, value, &b);
        assert_bytes(buffer_begin(&b), buffer_size(&b), hex);
        buffer_done(&b);
}

static void test_values(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "sbs.json");
        FOREACH_ITEM(x, vector_get(v.root, "values")) {
                JsonSpan name = vector_get(x, "type"), type = vector_type(&v, name),
                         value = vector_get(x, "value");
                g_autoptr(GByteArray) bytes = vector_hex(vector_get(x, "hex"));
                size_t consumed = 0;

                assert_encodes(type, value, vector_get(x, "hex"));
                g_assert_cmpint(decode(type, bytes->data, bytes->len, value, &consumed), ==, 0);
                g_assert_cmpuint(consumed, ==, bytes->len);
                for (guint i = 0; i < bytes->len; i++)
                        if (!json_text_equal(name, "Test.Nones"))
                                g_assert_cmpint(decode(type, bytes->data, i, (JsonSpan) { 0 }, NULL), ==,
                                                -EBADMSG);
        }
}

static void test_accepted(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "sbs.json");
        FOREACH_ITEM(x, vector_get(v.root, "accepted_non_canonical")) {
                JsonSpan type = vector_type(&v, vector_get(x, "type")), value = vector_get(x, "value");
                g_autoptr(GByteArray) bytes = vector_hex(vector_get(x, "hex"));

                g_assert_cmpint(decode(type, bytes->data, bytes->len, value, NULL), ==, 0);
                assert_encodes(type, value, vector_get(x, "canonical_hex"));
        }
        FOREACH_ITEM(x, vector_get(v.root, "accepted_trailing")) {
                JsonSpan type = vector_type(&v, vector_get(x, "type"));
                g_autoptr(GByteArray) bytes = vector_hex(vector_get(x, "hex"));
                size_t consumed = 0;

                g_assert_cmpint(decode(type, bytes->data, bytes->len, vector_get(x, "value"), &consumed), ==,
                                0);
                g_assert_cmpint(consumed, ==, vector_integer(vector_get(x, "consumed")));
        }
}

static void test_malformed(void) {
        static const char *const lists[] = { "malformed", "integer_overflow" };
        _vectors_ v = { 0 };

        vectors_load(&v, "sbs.json");
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                FOREACH_ITEM(x, vector_get(v.root, lists[i])) {
                        g_autoptr(GByteArray) bytes = vector_hex(vector_get(x, "hex"));
                        JsonSpan type = vector_type(&v, vector_get(x, "type"));

                        g_assert_cmpint(decode(type, bytes->data, bytes->len, (JsonSpan) { 0 }, NULL), ==,
                                        -EBADMSG);
                }
}

/* Any length of an integer is accepted as long as the value fits: wire.md 1.1. */
static void test_long_integers(void) {
        uint8_t bytes[1000];
        SbsReader r;
        int64_t value;

        for (int negative = 0; negative <= 1; negative++) {
                memset(bytes, negative ? 0x7f : 0, sizeof bytes);
                bytes[sizeof bytes - 1] |= 0x80;
                r = (SbsReader) { .at = bytes, .end = bytes + sizeof bytes };
                g_assert_cmpint(sbs_read_integer(&r, &value), ==, 0);
                g_assert_cmpint(value, ==, negative ? -1 : 0);
                g_assert_true(r.at == r.end);
        }
}

/* Every integer near a change of length comes back, in the shortest form. */
static void test_integer_round_trip(void) {
        for (int shift = 0; shift < 63; shift++)
                for (int64_t offset = -2; offset <= 2; offset++)
                        for (int sign = -1; sign <= 1; sign += 2) {
                                int64_t value = sign *
                                                (int64_t) ((UINT64_C(1) << shift) + (uint64_t) offset),
                                        back;
                                uint8_t bytes[SBS_INTEGER_MAX];
                                size_t n = sbs_put_integer(bytes, value);
                                SbsReader r = { .at = bytes, .end = bytes + n };

                                g_assert_cmpint(sbs_read_integer(&r, &back), ==, 0);
                                g_assert_cmpint(back, ==, value);
                                g_assert_true(r.at == r.end);
                                if (n > 1) /* the first group is not only a repetition of the sign */
                                        g_assert_true(bytes[0] != (value < 0 ? 0x7f : 0) ||
                                                      (bytes[1] & 0x40) != (bytes[0] & 0x40));
                        }
}

/* A count is refused by what is left, before anything is allocated. */
static void test_count(void) {
        static const uint8_t big[] = { 0x08, 0x00, 0x00, 0x00, 0x80, 0x81 }, fits[] = { 0x82, 0x80, 0x80 };
        SbsReader r = { .at = big, .end = big + sizeof big };
        size_t n;

        g_assert_cmpint(sbs_read_count(&r, &n), ==, -EBADMSG);
        r = (SbsReader) { .at = fits, .end = fits + sizeof fits };
        g_assert_cmpint(sbs_read_count(&r, &n), ==, 0);
        g_assert_cmpuint(n, ==, 2);
}

/* UTF-8 at every place of a word: the check goes eight bytes at a time where it can. */
static void test_utf8(void) {
        static const struct {
                const char *bytes;
                bool valid;
        } cases[] = {
                { "\xc4\x8d", true },
                { "\xe2\x82\xac", true },
                { "\xf0\x9f\x98\x80", true },
                { "\xf4\x8f\xbf\xbf", true },
                { "\xc4", false },
                { "\x8d", false },
                { "\xc0\xaf", false },
                { "\xe0\x80\x80", false },
                { "\xed\xa0\x80", false },
                { "\xf4\x90\x80\x80", false },
                { "\xf8\x88\x80\x80", false },
                { "\xff", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (unsigned before = 0; before < 18; before++)
                        for (unsigned after = 0; after < 10; after++) {
                                g_autofree char *head = g_strnfill(before, 'a'),
                                                *tail = g_strnfill(after, 'b');
                                g_autofree char *text = g_strconcat(head, cases[i].bytes, tail, NULL);
                                _cleanup_(buffer_done) Buffer b = { 0 };
                                const char *back;
                                size_t size;
                                SbsReader r;

                                sbs_write_string(&b, text, strlen(text));
                                r = (SbsReader) { .at = buffer_begin(&b),
                                                 .end = buffer_begin(&b) + buffer_size(&b) };
                                g_assert_cmpint(sbs_read_string(&r, &back, &size), ==,
                                                cases[i].valid ? 0 : -EBADMSG);
                        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/sbs/values", test_values);
        g_test_add_func("/sbs/accepted", test_accepted);
        g_test_add_func("/sbs/malformed", test_malformed);
        g_test_add_func("/sbs/long-integers", test_long_integers);
        g_test_add_func("/sbs/integer-round-trip", test_integer_round_trip);
        g_test_add_func("/sbs/count", test_count);
        g_test_add_func("/sbs/utf8", test_utf8);
        return g_test_run();
}
