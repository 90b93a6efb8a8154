/* SPDX-License-Identifier: Apache-2.0 */
/* What gatewayctl prints of an event: any bytes as type and payload give one line that no terminal obeys, and
 * one line of JSON whose payload is the one that came. The same text as a moment and as a type on the command line. */
#include <errno.h>

#include "base/utf8.h"
#include "tools/event-text.h"
#include "tools/event-types.h"
#include "tools/json-text.h"
#include "tools/moment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_harmless(const char *text) {
        for (size_t left = strlen(text); left > 0;) {
                uint32_t c = 0;
                size_t n = utf8_decode(text, left, &c);

                g_assert_cmpuint(n, >, 0);
                g_assert_false(c < 0x20 || (c >= 0x7f && c < 0xa0));
                text += n;
                left -= n;
        }
}

static void check_json(const Event *e) {
        g_autofree char *text = event_json(e), *expected = NULL;
        JsonSpan object, payload, value;

        assert_harmless(text);
        g_assert_cmpint(json_check(text, strlen(text), &object), ==, 0);
        g_assert_cmpint(json_get(object, "Payload", &value), ==, 0);
        if (event_payload_json(e, &payload) < 0)
                return;
        expected = json_text(payload, 0);
        g_assert_cmpuint(value.size, ==, strlen(expected));
        g_assert_cmpmem(value.text, value.size, expected, strlen(expected));
}

/* Layouts change no value: compact again they are the same. */
static void check_layouts(const Event *e) {
        g_autofree char *compact = NULL, *indented = NULL, *again = NULL, *letters = NULL, *plain = NULL;
        JsonSpan payload, span;

        if (event_payload_json(e, &payload) < 0)
                return;
        compact = json_text(payload, 0);
        indented = json_text(payload, JSON_TEXT_INDENT);
        g_assert_cmpint(json_check(indented, strlen(indented), &span), ==, 0);
        again = json_text(span, 0);
        g_assert_cmpstr(again, ==, compact);
        letters = json_text(payload, JSON_TEXT_LETTERS);
        g_assert_cmpint(json_check(letters, strlen(letters), &span), ==, 0);
        g_assert_cmpint(json_kind(span), ==, json_kind(payload));
        plain = json_text_plain(payload);
        assert_harmless(plain);
}

static void check_arguments(const char *text) {
        Timestamp now = { .s = 1795543113, .us = 250000 }, t;
        EventType type;

        if (moment_parse(text, &now, &t) == 0) {
                g_assert_cmpint(t.us, >=, 0);
                g_assert_cmpint(t.us, <, 1000000);
        }
        if (event_type_parse(text, &type) == 0)
                event_type_done(&type);
}

/* The text up to the first line end is the type; what follows is the payload. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
        size_t n = end ? (size_t) (end - data) : size, rest = end ? size - n - 1 : 0;
        const char *payload = (const char *) data + (end ? n + 1 : n);
        Subtype subtypes[] = { { (const char *) data, n / 2 }, { (const char *) data + n / 2, n - n / 2 } };
        Event e = {
                .type = { subtypes, ELEMENTSOF(subtypes) },
                .timestamp = { .s = size > 7 ? (int64_t) data[7] << 55 : (int64_t) size },
                .has_source = size & 1,
                .payload = { .kind = PAYLOAD_JSON, .json = { payload, rest } },
        };
        g_autofree char *text = g_strndup((const char *) data, n), *line = event_line(&e), *binary = NULL;

        assert_harmless(line);
        check_json(&e);
        check_layouts(&e);
        check_arguments(text);

        e.payload = (Payload) { .kind = PAYLOAD_BINARY, .binary_type = subtypes[0], .data = data, .size = size };
        binary = event_line(&e);
        assert_harmless(binary);
        check_json(&e);
        return 0;
}
