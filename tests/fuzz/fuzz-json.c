/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader over any bytes: what it accepts can be walked, read and written again, and the result is
 * accepted and of the same kind; what it refuses touches no output. */

#include <errno.h>

#include "tests/unit/rewrite-json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every step must move on, so a text of n bytes has fewer than n values. */
static void walk(JsonSpan v, size_t bound) {
        JsonIterator i = json_iterate(v);
        JsonSpan key, value;
        size_t n = 0;

        while (json_next(&i, &key, &value)) {
                g_assert_cmpuint(++n, <=, bound);
                g_assert_true(value.text >= v.text && value.text + value.size <= v.text + v.size);
                g_assert_cmpint(json_check(value.text, value.size, NULL), ==, 0);
        }
}

static void check_rewritten(JsonSpan v) {
        JsonWriter w;
        JsonSpan text, again;

        json_writer_init_growing(&w);
        rewrite_json(v, &w, 0);
        g_assert_cmpint(json_writer_end(&w, &text), ==, 0);
        g_assert_cmpint(json_check(text.text, text.size, &again), ==, 0);
        g_assert_cmpint(json_kind(again), ==, json_kind(v));
        g_assert_cmpint(json_truthy(again), ==, json_truthy(v));
        g_assert_cmpint(json_is_integer(again), ==, json_is_integer(v));
        json_writer_done(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        JsonSpan v = { 0 }, member;
        int r;

        r = json_check((const char *) data, size, &v);
        if (r < 0) {
                g_assert_true(r == -EBADMSG || r == -E2BIG);
                g_assert_null(v.text);
                return 0;
        }

        walk(v, size);
        (void) json_text_equal(v, "value");
        if (json_get(v, "value", &member) == 0)
                (void) json_truthy(member);
        check_rewritten(v);
        return 0;
}
