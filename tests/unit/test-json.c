/* SPDX-License-Identifier: Apache-2.0 */
/* JSON reader and writer: the vectors of the wire specification (read by the reader itself), bounds,
 * escapes, numbers. */

#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/json.h"
#include "base/time.h"
#include "tests/unit/rewrite-json.h"

/* Says which text the next check is about, in one line of ASCII. */
static void announce(const char *text) {
        g_autofree char *escaped = g_strescape(text, NULL);

        g_test_message("%.200s", escaped);
}

static JsonSpan check(const char *text) {
        JsonSpan v = { 0 };

        announce(text);
        g_assert_cmpint(json_check(text, strlen(text), &v), ==, 0);
        return v;
}

static void assert_span(JsonSpan v, const char *expected) {
        g_autofree char *text = g_strndup(v.text ?: "", v.size);

        g_assert_cmpstr(text, ==, expected);
}

static JsonSpan get(JsonSpan v, const char *key) {
        JsonSpan member = { 0 };

        g_assert_cmpint(json_get(v, key, &member), ==, 0);
        return member;
}

static char *get_string(JsonSpan v, const char *key) {
        char *text = NULL;
        size_t size = 0;

        g_assert_cmpint(json_unescape(get(v, key), &text, &size), ==, 0);
        g_assert_cmpuint(strlen(text), ==, size);
        return text;
}

static char *rewritten(JsonSpan v) {
        JsonWriter w;

        json_writer_init_growing(&w);
        rewrite_json(v, &w, 0);
        return json_writer_steal(&w);
}

/* ---- vectors ------------------------------------------------------------------------------------------ */

static char *load_rules(JsonSpan *ret) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "data", "vectors", "rules.json",
                                                      NULL);
        char *contents = NULL;
        gsize size;

        g_assert_true(g_file_get_contents(path, &contents, &size, NULL));
        g_assert_cmpint(json_check(contents, size, ret), ==, 0);
        return contents;
}

static void test_encode_vectors(void) {
        JsonSpan rules = { 0 }, entry;
        g_autofree char *contents = load_rules(&rules);
        JsonIterator i = json_iterate(get(rules, "json_encode"));
        unsigned n = 0;

        for (; json_next(&i, NULL, &entry); n++) {
                g_autofree char *input = get_string(entry, "input"), *expected = get_string(entry, "text");
                g_autofree char *text = rewritten(check(input));

                g_assert_cmpstr(text, ==, expected);
        }
        g_assert_cmpuint(n, ==, 34);
}

static void test_decode_vectors(void) {
        JsonSpan rules = { 0 }, entry;
        g_autofree char *contents = load_rules(&rules);
        JsonIterator i = json_iterate(get(rules, "json_decode"));
        unsigned n = 0, n_accepted = 0;

        for (; json_next(&i, NULL, &entry); n++) {
                g_autofree char *text = get_string(entry, "text"), *expected = NULL, *again = NULL;
                bool accepted = json_kind(get(entry, "accepted")) == JSON_TRUE &&
                                json_kind(get(entry, "reencoded")) == JSON_STRING;
                JsonSpan v = { "untouched", 9 };

                announce(text);
                if (!accepted) {
                        g_assert_cmpint(json_check(text, strlen(text), &v), ==, -EBADMSG);
                        assert_span(v, "untouched");
                        continue;
                }

                expected = get_string(entry, "reencoded");
                again = rewritten(check(text));
                g_assert_cmpstr(again, ==, expected);
                n_accepted++;
        }
        g_assert_cmpuint(n, ==, 65);
        g_assert_cmpuint(n_accepted, ==, 25);
}

/* ---- reader ------------------------------------------------------------------------------------------- */

static void test_refused(void) {
        static const char *const table[] = {
                "{",
                "[",
                "]",
                "}",
                "[}",
                "{]",
                "[1}",
                "{\"a\":1]",
                "[[]",
                "[]]",
                ",",
                ":",
                "[1 2]",
                "{\"a\":}",
                "{\"a\":1,}",
                "{\"a\" 1}",
                "{,}",
                "{\"a\":1,,\"b\":2}",
                "[1,,2]",
                "{\"a\":1:2}",
                "{null:1}",
                "-",
                "-a",
                "1.e1",
                "1e+",
                "1e-",
                "1.5.5",
                "1ee5",
                "-01",
                "1_0",
                "\"",
                "\"\\",
                "\"\\\"",
                "\"\\u",
                "\"\\u123\"",
                "\"\\u123g\"",
                "\"\\U1234\"",
                "\"\n\"",
                "\"\x1f\"",
                "\"\x80\"",
                "\"\xc0\xaf\"",
                "\"\xc1\xbf\"",
                "\"\xe0\x80\xaf\"",
                "\"\xed\xa0\x80\"",
                "\"\xf4\x90\x80\x80\"",
                "\"\xf8\x88\x80\x80\x80\"",
                "\"\xe2\x82\"",
                "\"\xe2\x82",
                "\xe2\x82\xac",
                "nulls",
                "truefalse",
                "1\v",
                "\f1",
                "1\xa0",
        };
        JsonSpan v = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                announce(table[i]);
                g_assert_cmpint(json_check(table[i], strlen(table[i]), &v), ==, -EBADMSG);
        }
        g_assert_cmpint(json_check("1\0", 2, &v), ==, -EBADMSG);
        g_assert_cmpint(json_check("\"a\0b\"", 5, &v), ==, -EBADMSG);
        g_assert_cmpint(json_check("\"\\\0\"", 4, &v), ==, -EBADMSG);
        g_assert_cmpint(json_check(NULL, 0, &v), ==, -EBADMSG);
        g_assert_null(v.text);
}

/* Every beginning of a good text is refused, and nothing behind it is read (ASan watches the copy's end). */
static void test_cut(void) {
        static const char text[] =
                "{\"a\\u00e9\\n\": [1, -2.5e+3, \"\xe2\x82\xac\", true, false, null, {}], \"b\": {\"c\": []}}";

        for (size_t size = 0; size < sizeof(text) - 1; size++) {
                g_autofree char *copy = g_memdup2(text, MAX(size, (size_t) 1));

                g_assert_cmpint(json_check(copy, size, NULL), ==, -EBADMSG);
        }
        check(text);
}

static void test_depth(void) {
        const size_t many = 1000000;
        g_autofree char *open = g_strnfill(many, '['), *close = g_strnfill(many, ']'), *text = NULL;
        g_autoptr(GString) objects = g_string_new(NULL);
        usec_t begin;

        text = g_strdup_printf("%.512s%.512s", open, close);
        check(text);
        g_free(text);
        text = g_strdup_printf("%.513s%.513s", open, close);
        g_assert_cmpint(json_check(text, strlen(text), NULL), ==, -E2BIG);

        /* Kinds of levels are kept apart at every depth. */
        for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
                g_string_append(objects, i % 3 == 0 ? "{\"a\":" : "[1,");
        g_string_append(objects, "0");
        for (unsigned i = JSON_DEPTH_MAX; i > 0; i--)
                g_string_append(objects, (i - 1) % 3 == 0 ? "}" : "]");
        check(objects->str);
        objects->str[objects->len - 200] ^= ']' ^ '}';
        g_assert_cmpint(json_check(objects->str, objects->len, NULL), ==, -EBADMSG);

        begin = now_usec(CLOCK_MONOTONIC);
        g_assert_cmpint(json_check(open, many, NULL), ==, -E2BIG);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, <, 10 * USEC_PER_SEC);
}

static void test_numbers(void) {
        static const struct {
                const char *text;
                bool accepted;
        } table[] = {
                { "1.7976931348623157e308", true },
                { "1.7976931348623158e308", true },
                { "1.7976931348623159e308", false },
                { "-1.7976931348623159e308", false },
                { "17976931348623159e292", false },
                { "0.00017976931348623159e312", false },
                { "0.00017976931348623157e312", true },
                { "1e308", true },
                { "1e309", false },
                { "10e307", true },
                { "10e308", false },
                { "1E+308", true },
                { "0e999999999999999999999", true },
                { "0.0e999", true },
                { "1e99999999999999999999999", false },
                { "1e-99999999999999999999999", true },
                { "9.9e308", false },
                { "0.1e309", true },
                { "0.1e310", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                announce(table[i].text);
                g_assert_cmpint(json_check(table[i].text, strlen(table[i].text), NULL), ==,
                                table[i].accepted ? 0 : -EBADMSG);
                g_assert_cmpint(isfinite(g_ascii_strtod(table[i].text, NULL)) != 0, ==, table[i].accepted);
        }
}

/* Around the last value that rounds to a double, written in full: strtod() is the judge. */
static void test_overflow_exact(void) {
        static const char limit[] =
                "17976931348623158079372897140530341507993413271003782693617377898044496829276"
                "47509466490179775872070963302864166928879109465555478519404026306574886715058"
                "20681908902000708383676273854845817711531764475730270069855571366959622842914"
                "81986083493647529271907416844436551070434271155969950809304288017790417449779";

        for (unsigned last = 0; last < 10; last++)
                for (unsigned tail = 0; tail < 3; tail++) {
                        static const char *const tails[] = { ".0", ".000000000000000000001", "00e-2" };
                        g_autofree char *text = g_strdup_printf("%s%u%s", limit, last, tails[tail]);
                        bool finite = isfinite(g_ascii_strtod(text, NULL)) != 0;

                        g_assert_cmpint(json_check(text, strlen(text), NULL), ==, finite ? 0 : -EBADMSG);
                        g_assert_cmpint(finite, ==, last < 2);
                }
}

static void test_digits(void) {
        g_autofree char *nines = g_strnfill(JSON_DIGITS_MAX + 1, '9'), *text = NULL, *minus = NULL;
        int64_t value;

        nines[600] = '\0';
        text = rewritten(check(nines));
        g_assert_cmpstr(text, ==, nines);
        g_assert_cmpint(json_to_int64(check(nines), &value), ==, -ERANGE);
        nines[600] = '9';

        g_assert_cmpint(json_check(nines, JSON_DIGITS_MAX + 1, NULL), ==, -EBADMSG);
        g_assert_cmpint(json_check(nines, JSON_DIGITS_MAX, NULL), ==, 0);
        nines[JSON_DIGITS_MAX] = '\0';
        minus = g_strconcat("-", nines, NULL);
        check(minus);
}

static void test_int64(void) {
        static const struct {
                const char *text;
                int r;
                int64_t value;
        } table[] = {
                { "0", 0, 0 },
                { "-0", 0, 0 },
                { "9223372036854775807", 0, INT64_MAX },
                { "-9223372036854775808", 0, INT64_MIN },
                { "9223372036854775808", -ERANGE, 0 },
                { "-9223372036854775809", -ERANGE, 0 },
                { "18446744073709551616", -ERANGE, 0 },
                { "1.0", -EINVAL, 0 },
                { "1e2", -EINVAL, 0 },
                { "\"1\"", -EINVAL, 0 },
                { "true", -EINVAL, 0 },
                { "null", -EINVAL, 0 },
                { "[1]", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                int64_t value = 77;

                g_assert_cmpint(json_to_int64(check(table[i].text), &value), ==, table[i].r);
                g_assert_cmpint(value, ==, table[i].r < 0 ? 77 : table[i].value);
                g_assert_cmpint(json_is_integer(check(table[i].text)), ==, table[i].r != -EINVAL);
        }
        g_assert_false(json_is_integer((JsonSpan) { 0 }));
}

static void test_truthy(void) {
        static const char *const is_true[] = { "true",     "1",     "-1",    "0.5", "1e-323",   "3e-324",
                                               "0.1e-300", "\"0\"", "\" \"", "[0]", "{\"\":0}", "[[]]" };
        static const char *const untrue[] = { "false", "null",     "0",      "-0",     "0.0",       "-0.0",
                                              "0e5",   "0.000e-5", "1e-400", "2e-324", "-1e-99999", "\"\"",
                                              "[]",    "{}",       "[ ]",    "{\n}" };

        for (size_t i = 0; i < ELEMENTSOF(is_true); i++)
                g_assert_true(json_truthy(check(is_true[i])));
        for (size_t i = 0; i < ELEMENTSOF(untrue); i++)
                g_assert_false(json_truthy(check(untrue[i])));
        g_assert_false(json_truthy((JsonSpan) { 0 }));
}

static void test_strings(void) {
        static const struct {
                const char *text, *string;
                size_t size;
                bool equal;
        } table[] = {
                { "\"\"", "", 0, true },
                { "\"abc\"", "abc", 3, true },
                { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8, true },
                { "\"\\u0041\\u00E9\\u20ac\"", "A\303\251\342\202\254", 6, true },
                { "\"\\uD83D\\uDE00!\"", "\360\237\230\200!", 5, true },
                { "\"\360\237\230\200\"", "\360\237\230\200", 4, true },
                { "\"x\\u0000y\"", "x\0y", 3, false },
                { "\"\\ud800\"", "\357\277\275", 3, false },
                { "\"\\udc00\\ud800\"", "\357\277\275\357\277\275", 6, false },
                { "\"\\ud800\\u0041\"", "\357\277\275A", 4, false },
                { "\"\\ud800\\ud83d\\ude00\"", "\357\277\275\360\237\230\200", 7, false },
                { "\"\\ud800\\n\"", "\357\277\275\n", 4, false },
                { "\"\\\\u0041\"", "\\u0041", 6, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *string = NULL, *longer = g_strconcat(table[i].string, "x", NULL);
                JsonSpan v = check(table[i].text);
                size_t size = 0;

                g_assert_cmpint(json_unescape(v, &string, &size), ==, 0);
                g_assert_cmpmem(string, size + 1, table[i].string, table[i].size + 1);
                g_assert_cmpint(json_text_equal(v, table[i].string), ==, table[i].equal);
                g_assert_false(json_text_equal(v, longer));
                g_assert_false(json_text_equal(v, "other"));
        }

        g_assert_false(json_text_equal(check("\"\\ud800\""), "\xed\xa0\x80"));
        g_assert_false(json_text_equal(check("1"), "1"));
        g_assert_false(json_text_equal(check("\"abc\""), "ab"));
        g_assert_cmpint(json_unescape(check("1"), NULL, NULL), ==, -EINVAL);
}

static void test_members(void) {
        static const char text[] = " {\"a\" : 1 , \"b\":[ 1,{\"a\":2}, \"],}\\\"\" ],"
                                   "\"\\u0061\" :\t3, \"c\": {\"a\": 4} } ";
        JsonSpan v = check(text), b, item, key, absent = { "untouched", 9 };
        JsonIterator i;

        assert_span(get(v, "a"), "3");
        assert_span(get(v, "c"), "{\"a\": 4}");
        b = get(v, "b");
        assert_span(b, "[ 1,{\"a\":2}, \"],}\\\"\" ]");
        g_assert_cmpint(json_get(v, "d", &absent), ==, -ENOENT);
        g_assert_cmpint(json_get(b, "a", &absent), ==, -ENOENT);
        g_assert_cmpint(json_get(check("1"), "a", &absent), ==, -ENOENT);
        assert_span(absent, "untouched");

        i = json_iterate(b);
        g_assert_true(json_next(&i, &key, &item));
        g_assert_null(key.text);
        assert_span(item, "1");
        g_assert_true(json_next(&i, NULL, &item));
        assert_span(item, "{\"a\":2}");
        g_assert_true(json_next(&i, NULL, &item));
        assert_span(item, "\"],}\\\"\"");
        g_assert_false(json_next(&i, NULL, &item));
        g_assert_false(json_next(&i, NULL, &item));

        i = json_iterate(v);
        g_assert_true(json_next(&i, &key, NULL));
        assert_span(key, "\"a\"");

        i = json_iterate(check("\"text\""));
        g_assert_false(json_next(&i, &key, &item));
}

/* ---- writer ------------------------------------------------------------------------------------------- */

static void write_change(JsonWriter *w) {
        json_open_object(w);
        json_key(w, "result");
        json_string(w, "SUCCESS");
        json_key(w, "value");
        json_bits(w, (const uint8_t[]) { 0x30, 0x39 }, 16);
        json_key(w, "cause");
        json_string(w, "CHANGE");
        json_key(w, "list");
        json_open_array(w);
        json_int(w, INT64_MIN);
        json_uint(w, UINT64_MAX);
        json_bool(w, true);
        json_bool(w, false);
        json_string(w, NULL);
        json_open_array(w);
        json_close_array(w);
        json_raw(w, JSON_LITERAL("{\"x\":1}"));
        json_close_array(w);
        json_close_object(w);
}

static const char change_text[] =
                "{\"result\": \"SUCCESS\", \"value\": 12345, \"cause\": \"CHANGE\", "
                "\"list\": [-9223372036854775808, 18446744073709551615, true, false, null, [], {\"x\":1}]}";

/* Each buffer that is too small says so, and is not written beyond; the exact size is enough. */
static void test_given_buffer(void) {
        size_t needed = sizeof(change_text) - 1;

        for (size_t size = 0; size <= needed + 1; size++) {
                g_autofree char *buffer = g_malloc(MAX(size, (size_t) 1));
                JsonSpan text = { "untouched", 9 };
                JsonWriter w;

                json_writer_init(&w, buffer, size);
                write_change(&w);
                g_assert_cmpint(json_writer_end(&w, &text), ==, size < needed ? -ENOSPC : 0);
                assert_span(text, size < needed ? "untouched" : change_text);
                if (size >= needed)
                        g_assert_true(text.text == buffer);
        }
}

static void test_growing(void) {
        g_autofree char *text = NULL;
        JsonWriter w;
        JsonSpan end;

        json_writer_init_growing(&w);
        json_open_array(&w);
        for (unsigned i = 0; i < 1000; i++)
                write_change(&w);
        json_close_array(&w);
        g_assert_cmpint(json_writer_end(&w, &end), ==, 0);
        g_assert_cmpuint(end.size, ==, 1000 * (sizeof(change_text) + 1));
        g_assert_cmpint(json_check(end.text, end.size, NULL), ==, 0);
        text = json_writer_steal(&w);
        g_assert_cmpuint(strlen(text), ==, 1000 * (sizeof(change_text) + 1));

        json_null(&w);
        g_assert_cmpint(json_writer_end(&w, &end), ==, 0);
        assert_span(end, "null");
        json_writer_done(&w);
}

static void test_writer_depth(void) {
        for (unsigned depth = 64; depth <= 65; depth++) {
                g_autofree char *text = NULL;
                JsonWriter w;

                json_writer_init_growing(&w);
                for (unsigned i = 0; i < depth; i++)
                        json_open_array(&w);
                for (unsigned i = 0; i < depth; i++) {
                        json_close_array(&w);
                        if (i + 1 < depth)
                                json_int(&w, 1);
                }
                text = json_writer_steal(&w);
                g_assert_cmpint(text != NULL, ==, depth == 64);
                if (text)
                        g_assert_true(g_str_has_prefix(text + 64, "], 1], 1]"));
                json_writer_done(&w);
        }
}

static char *quoted(const char *text, size_t size) {
        JsonWriter w;

        json_writer_init_growing(&w);
        json_string_n(&w, text, size);
        return json_writer_steal(&w);
}

static void test_escapes(void) {
        static const char short_form[128] = { ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                              ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't' };

        for (unsigned c = 0; c < 128; c++) {
                g_autofree char *text = quoted((const char[]) { (char) c }, 1), *expected = NULL;

                if (short_form[c])
                        expected = g_strdup_printf("\"\\%c\"", short_form[c]);
                else if (c < 0x20 || c == 0x7f)
                        expected = g_strdup_printf("\"\\u%04x\"", c);
                else
                        expected = g_strdup_printf("\"%c\"", (char) c);
                g_assert_cmpstr(text, ==, expected);
        }
}

/* Each character of Unicode is written in ASCII and read back. */
static void test_characters(void) {
        for (uint32_t c = 1; c < 0x110000; c += c < 0x3000 ? 1 : 251) {
                g_autofree char *text = NULL, *back = NULL;
                char utf8[7] = { 0 };
                size_t size;
                JsonSpan v;

                if (c >= 0xd800 && c < 0xe000)
                        continue;
                text = quoted(utf8, (size_t) g_unichar_to_utf8(c, utf8));
                g_assert_true(g_str_is_ascii(text));
                g_assert_cmpint(json_check(text, strlen(text), &v), ==, 0);
                g_assert_cmpint(json_unescape(v, &back, &size), ==, 0);
                g_assert_cmpstr(back, ==, utf8);
                g_assert_true(json_text_equal(v, utf8));
        }
}

static void test_ill_formed(void) {
        static const struct {
                const char *text, *expected;
        } table[] = {
                { "a\xffz", "\"a\\ufffdz\"" },
                { "\xe2\x82", "\"\\ufffd\\ufffd\"" },
                { "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },
                { "\xc0\xaf", "\"\\ufffd\\ufffd\"" },
                { "\xf0\x9f\x98\x80\xf0\x9f", "\"\\ud83d\\ude00\\ufffd\\ufffd\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *exact = g_memdup2(table[i].text, strlen(table[i].text));
                g_autofree char *text = quoted(exact, strlen(table[i].text));

                g_assert_cmpstr(text, ==, table[i].expected);
        }
}

static char *double_text(double value) {
        JsonWriter w;

        json_writer_init_growing(&w);
        json_double(&w, value);
        return json_writer_steal(&w);
}

static void test_doubles(void) {
        static const struct {
                double value;
                const char *text;
        } table[] = {
                { 0.0, "0.0" },
                { -0.0, "-0.0" },
                { 1.0, "1.0" },
                { 100.0, "100.0" },
                { 0.1, "0.1" },
                { -2.5, "-2.5" },
                { 1e15, "1000000000000000.0" },
                { 1e16, "1e+16" },
                { 123456789012345680.0, "1.2345678901234568e+17" },
                { 9007199254740993.0, "9007199254740992.0" },
                { 0.0001, "0.0001" },
                { 0.00001, "1e-05" },
                { 0.00012345, "0.00012345" },
                { 1.5e-7, "1.5e-07" },
                { 5e-324, "5e-324" },
                { DBL_MAX, "1.7976931348623157e+308" },
                { DBL_MIN, "2.2250738585072014e-308" },
                { 0.1 + 0.2, "0.30000000000000004" },
                { 1.0 / 3, "0.3333333333333333" },
                { INFINITY, "null" },
                { -INFINITY, "null" },
                { NAN, "null" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *text = double_text(table[i].value);

                g_assert_cmpstr(text, ==, table[i].text);
        }

        for (unsigned i = 0; i < 10000; i++) {
                uint64_t bits = (uint64_t) (uint32_t) g_test_rand_int() << 32 | (uint32_t) g_test_rand_int();
                g_autofree char *text = NULL;
                double value, back;

                memcpy(&value, &bits, sizeof(value));
                if (!isfinite(value))
                        continue;
                text = double_text(value);
                check(text);
                back = g_ascii_strtod(text, NULL);
                g_assert_cmpmem(&back, sizeof(back), &value, sizeof(value));
        }
}

/* A locale with a decimal comma changes nothing. Where none is installed, the C locale is what is left to
 * try. */
static void test_locale(void) {
        g_autofree char *text = NULL;

        if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
                g_test_message("no locale with a decimal comma here");
        text = double_text(1.5);
        g_assert_cmpstr(text, ==, "1.5");
        g_assert_false(json_truthy(check("0.0e5")));
        g_assert_true(json_truthy(check("0.5e-310")));
        setlocale(LC_NUMERIC, "C");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/json/encode-vectors", test_encode_vectors);
        g_test_add_func("/json/decode-vectors", test_decode_vectors);
        g_test_add_func("/json/refused", test_refused);
        g_test_add_func("/json/cut", test_cut);
        g_test_add_func("/json/depth", test_depth);
        g_test_add_func("/json/numbers", test_numbers);
        g_test_add_func("/json/overflow-exact", test_overflow_exact);
        g_test_add_func("/json/digits", test_digits);
        g_test_add_func("/json/int64", test_int64);
        g_test_add_func("/json/truthy", test_truthy);
        g_test_add_func("/json/strings", test_strings);
        g_test_add_func("/json/members", test_members);
        g_test_add_func("/json/given-buffer", test_given_buffer);
        g_test_add_func("/json/growing", test_growing);
        g_test_add_func("/json/writer-depth", test_writer_depth);
        g_test_add_func("/json/escapes", test_escapes);
        g_test_add_func("/json/characters", test_characters);
        g_test_add_func("/json/ill-formed", test_ill_formed);
        g_test_add_func("/json/doubles", test_doubles);
        g_test_add_func("/json/locale", test_locale);

        return g_test_run();
}
