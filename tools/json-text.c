/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text laid out anew. No state. */
#include "base/utf8.h"
#include "tools/json-text.h"
#include "tools/text.h"

#define INDENT 2

typedef struct Printer {
        GString *out;
        JsonTextFlags flags;
        size_t depth;
} Printer;

/* ---- strings ----------------------------------------------------------------------------------------- */

static bool is_control(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static void put_escape(Printer *p, uint32_t c) {
        if (c > 0xffff) {
                c -= 0x10000;
                g_string_append_printf(p->out, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
        } else
                g_string_append_printf(p->out, "\\u%04x", c);
}

static void put_character(Printer *p, const char *at, size_t length, uint32_t c) {
        if (is_control(c) || ((p->flags & JSON_TEXT_LETTERS) && !g_unichar_isprint(c)))
                put_escape(p, c);
        else
                g_string_append_len(p->out, at, (gssize) length);
}

static uint32_t hex4(const char *at) {
        uint32_t c = 0;

        for (size_t i = 0; i < 4; i++)
                c = c << 4 | (uint32_t) g_ascii_xdigit_value(at[i]);
        return c;
}

/* The character that the \u escape at `at` stands for, and with a second one of a surrogate pair that too. */
static size_t decode_escape(const char *at, const char *end, uint32_t *ret) {
        uint32_t c = hex4(at + 2), low;

        if (c >= 0xd800 && c < 0xdc00 && end - at >= 12 && at[6] == '\\' && at[7] == 'u') {
                low = hex4(at + 8);
                if (low >= 0xdc00 && low < 0xe000) {
                        *ret = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                        return 12;
                }
        }
        *ret = c;
        return 6;
}

/* at: a backslash. Returns how many bytes the escape has. */
static size_t put_escaped(Printer *p, const char *at, const char *end) {
        size_t length = 2;
        uint32_t c;

        if (at[1] == 'u') {
                length = decode_escape(at, end, &c);
                if ((p->flags & JSON_TEXT_LETTERS) && c >= 0xa0 && !(c >= 0xd800 && c < 0xe000) &&
                    g_unichar_isprint(c)) {
                        g_string_append_unichar(p->out, c);
                        return length;
                }
        }
        g_string_append_len(p->out, at, (gssize) length);
        return length;
}

/* at: the opening quote. Returns what follows the closing one. */
static const char *put_string(Printer *p, const char *at, const char *end) {
        g_string_append_c(p->out, *at++);
        while (at < end && *at != '"') {
                uint32_t c = 0;
                size_t length;

                if (*at == '\\') {
                        at += put_escaped(p, at, end);
                        continue;
                }
                length = utf8_decode(at, (size_t) (end - at), &c);
                put_character(p, at, MAX(length, 1U), c);
                at += MAX(length, 1U);
        }
        g_string_append_c(p->out, '"');
        return at + 1;
}

/* ---- layout ------------------------------------------------------------------------------------------ */

static void put_line(Printer *p) {
        if (!(p->flags & JSON_TEXT_INDENT))
                return;
        g_string_append_c(p->out, '\n');
        for (size_t i = 0; i < p->depth * INDENT; i++)
                g_string_append_c(p->out, ' ');
}

static const char *skip_space(const char *at, const char *end) {
        while (at < end && strchr(" \t\r\n", *at))
                at++;
        return at;
}

/* at: `{` or `[`. Returns what follows it, and the other bracket when nothing is between. */
static const char *put_open(Printer *p, const char *at, const char *end) {
        char c = *at;

        g_string_append_c(p->out, c);
        at = skip_space(at + 1, end);
        if (at < end && *at == (c == '{' ? '}' : ']')) {
                g_string_append_c(p->out, *at);
                return at + 1;
        }
        p->depth++;
        put_line(p);
        return at;
}

static void put_close(Printer *p, char c) {
        p->depth--;
        put_line(p);
        g_string_append_c(p->out, c);
}

static const char *put_token(Printer *p, const char *at, const char *end) {
        switch (*at) {
        case '"':
                return put_string(p, at, end);
        case '{':
        case '[':
                return put_open(p, at, end);
        case '}':
        case ']':
                put_close(p, *at);
                return at + 1;
        case ',':
                g_string_append_c(p->out, ',');
                put_line(p);
                return at + 1;
        case ':':
                g_string_append(p->out, p->flags & JSON_TEXT_INDENT ? ": " : ":");
                return at + 1;
        default:
                g_string_append_c(p->out, *at);
                return at + 1;
        }
}

char *json_text(JsonSpan value, JsonTextFlags flags) {
        const char *at = value.text, *end = value.text + value.size;
        Printer p = { .out = g_string_sized_new(value.size + 1), .flags = flags };

        for (at = skip_space(at, end); at < end; at = skip_space(at, end))
                at = put_token(&p, at, end);
        return g_string_free(p.out, false);
}

char *json_text_plain(JsonSpan value) {
        g_autofree char *text = NULL;
        size_t size;

        if (json_unescape(value, &text, &size) < 0 || strlen(text) != size)
                return json_text(value, JSON_TEXT_LETTERS);
        return text_printable(text);
}
