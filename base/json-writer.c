/* SPDX-License-Identifier: Apache-2.0 */
/* Writes JSON text as the reference does. Every piece asks writer_room() for its place; the first one that
 * does not get it marks the writer as failed, and nothing is written from then on. No state beyond the
 * writer, any thread. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bounds.h"
#include "base/json.h"
#include "base/utf8.h"

#define WRITER_DEPTH_MAX 64
#define WRITER_SIZE_MIN 256

void json_writer_init(JsonWriter *w, char *buffer, size_t size) {
        *w = (JsonWriter) { .text = buffer, .allocated = size };
}

void json_writer_init_growing(JsonWriter *w) {
        *w = (JsonWriter) { .growing = true };
}

void json_writer_done(JsonWriter *w) {
        if (w->growing)
                g_free(w->text);
        *w = (JsonWriter) { 0 };
}

void json_writer_reset(JsonWriter *w) {
        *w = (JsonWriter) { .text = w->text, .allocated = w->allocated, .growing = w->growing };
}

int json_writer_end(JsonWriter *w, JsonSpan *ret) {
        if (w->failed)
                return -ENOSPC;

        g_assert(w->depth == 0 && !w->after_key);
        *ret = (JsonSpan) { w->text, w->size };
        return 0;
}

/* ---- pieces ------------------------------------------------------------------------------------------- */

static bool writer_grow(JsonWriter *w, size_t size) {
        if (!w->growing || size > SIZE_MAX / 2 - w->size) {
                w->failed = true;
                return false;
        }

        w->allocated = MAX(MAX(w->allocated * 2, w->size + size), (size_t) WRITER_SIZE_MIN);
        w->text = g_realloc(w->text, w->allocated);
        return true;
}

/* Place for size more bytes, counted as written. NULL: failed. */
static inline char *writer_room(JsonWriter *w, size_t size) {
        char *at;

        if (w->failed)
                return NULL;
        if (size > w->allocated - w->size && !writer_grow(w, size))
                return NULL;

        at = w->text + w->size;
        w->size += size;
        return at;
}

static inline void write_piece(JsonWriter *w, const char *text, size_t size) {
        char *at = writer_room(w, size);

        if (at && size > 0)
                memcpy(at, text, size);
}

/* What stands between this value (or key) and the one before. */
static inline void write_separator(JsonWriter *w) {
        uint64_t bit;

        if (w->after_key) {
                w->after_key = false;
                return;
        }
        if (w->depth == 0 || w->failed)
                return;

        bit = (uint64_t) 1 << (w->depth - 1);
        if (w->filled & bit)
                write_piece(w, ", ", 2);
        w->filled |= bit;
}

static void write_value(JsonWriter *w, const char *text, size_t size) {
        write_separator(w);
        write_piece(w, text, size);
}

char *json_writer_steal(JsonWriter *w) {
        char *text = NULL;

        g_assert(w->growing);

        write_piece(w, "", 1);
        if (!w->failed)
                text = TAKE_PTR(w->text);
        json_writer_done(w);
        w->growing = true;
        return text;
}

/* ---- containers --------------------------------------------------------------------------------------- */

static void open_container(JsonWriter *w, char bracket) {
        write_value(w, &bracket, 1);
        if (w->depth == WRITER_DEPTH_MAX)
                w->failed = true;
        if (w->failed)
                return;

        w->filled &= ~((uint64_t) 1 << w->depth);
        w->depth++;
}

static void close_container(JsonWriter *w, char bracket) {
        if (w->failed)
                return;

        g_assert(w->depth > 0 && !w->after_key);
        w->depth--;
        write_piece(w, &bracket, 1);
}

void json_open_object(JsonWriter *w) {
        open_container(w, '{');
}

void json_close_object(JsonWriter *w) {
        close_container(w, '}');
}

void json_open_array(JsonWriter *w) {
        open_container(w, '[');
}

void json_close_array(JsonWriter *w) {
        close_container(w, ']');
}

/* ---- strings ------------------------------------------------------------------------------------------ */

static const bool plain_table[256] = {
        [' ' ... '!'] = true, /* not the quote */
        ['#' ... '['] = true, /* not the backslash */
        [']' ... '~'] = true,
};

static inline bool is_plain(char c) {
        return plain_table[(uint8_t) c];
}

static size_t hex_escape(uint32_t unit, char *ret) {
        static const char hex[] = "0123456789abcdef";

        ret[0] = '\\';
        ret[1] = 'u';
        for (unsigned i = 0; i < 4; i++)
                ret[2 + i] = hex[unit >> (12 - 4 * i) & 0xf];
        return 6;
}

/* At most 12 bytes. */
static size_t escape(uint32_t c, char *ret) {
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *at = c != 0 && c < 0x80 ? strchr(from, (int) c) : NULL;

        if (at) {
                ret[0] = '\\';
                ret[1] = to[at - from];
                return 2;
        }
        if (c < 0x10000)
                return hex_escape(c, ret);

        c -= 0x10000;
        return hex_escape(0xd800 + (c >> 10), ret) + hex_escape(0xdc00 + (c & 0x3ff), ret + 6);
}

/* Nearly every string has its place and needs no escape: one pass. False: nothing was written. */
static inline bool write_plain(JsonWriter *w, const char *text, size_t size) {
        char *to;

        if (w->failed || size + 2 > w->allocated - w->size)
                return false;

        to = w->text + w->size;
        for (size_t i = 0; i < size; i++) {
                if (!is_plain(text[i]))
                        return false;
                to[1 + i] = text[i];
        }
        to[0] = to[1 + size] = '"';
        w->size += size + 2;
        return true;
}

static void write_quoted(JsonWriter *w, const char *text, size_t size) {
        const char *end = text + size;

        if (write_plain(w, text, size))
                return;

        write_piece(w, "\"", 1);
        while (text < end) {
                const char *from = text;
                char escaped[12];
                uint32_t c;
                size_t n;

                while (text < end && is_plain(*text))
                        text++;
                write_piece(w, from, (size_t) (text - from));
                if (text == end)
                        break;

                n = utf8_decode(text, (size_t) (end - text), &c);
                write_piece(w, escaped, escape(n > 0 ? c : 0xfffd, escaped));
                text += MAX(n, (size_t) 1);
        }
        write_piece(w, "\"", 1);
}

void json_string_n(JsonWriter *w, const char *text, size_t size) {
        write_separator(w);
        write_quoted(w, text, size);
}

void json_string(JsonWriter *w, const char *text) {
        if (text)
                json_string_n(w, text, strlen(text));
        else
                json_null(w);
}

void json_key(JsonWriter *w, const char *key) {
        json_string(w, key);
        write_piece(w, ": ", 2);
        w->after_key = true;
}

void json_member_string(JsonWriter *w, const char *key, const char *text) {
        json_key(w, key);
        json_string(w, text);
}

/* ---- the rest ----------------------------------------------------------------------------------------- */

void json_bool(JsonWriter *w, bool value) {
        if (value)
                write_value(w, "true", 4);
        else
                write_value(w, "false", 5);
}

void json_null(JsonWriter *w) {
        write_value(w, "null", 4);
}

void json_int(JsonWriter *w, int64_t value) {
        char text[1 + UINT64_DECIMAL_MAX] = "-";
        bool negative = value < 0;
        uint64_t magnitude = negative ? -(uint64_t) value : (uint64_t) value;

        write_value(w, text, negative + uint64_to_decimal(magnitude, text + negative));
}

void json_uint(JsonWriter *w, uint64_t value) {
        char text[UINT64_DECIMAL_MAX];

        write_value(w, text, uint64_to_decimal(value, text));
}

void json_member_uint(JsonWriter *w, const char *key, uint64_t value) {
        json_key(w, key);
        json_uint(w, value);
}

void json_bits(JsonWriter *w, const uint8_t *bits, size_t n_bits) {
        char stack[JSON_DIGITS_MAX + 8]; /* 14,300 bits */
        g_autofree char *heap = NULL;
        char *text = stack;

        if (BITS_DECIMAL_MAX(n_bits) > sizeof(stack)) {
                heap = g_malloc(BITS_DECIMAL_MAX(n_bits));
                text = heap;
        }
        write_value(w, text, bits_to_decimal(bits, n_bits, text));
}

void json_raw(JsonWriter *w, JsonSpan value) {
        write_value(w, value.text, value.size);
}

/* ---- doubles ------------------------------------------------------------------------------------------ */

#define DOUBLE_DIGITS_MAX 17
#define DOUBLE_TEXT_MAX 40

static uint64_t double_bits(double value) {
        uint64_t bits;

        memcpy(&bits, &value, sizeof(bits));
        return bits;
}

/* `d.ddde±xx` with as few digits as read back the same. 15 digits are enough for most doubles and no fewer
 * can be told apart from trailing zeros; the tiny ones below DBL_MIN have fewer. */
static void double_shortest(double value, char *ret, int size) {
        for (int digits = isnormal(value) ? 15 : 1; digits <= DOUBLE_DIGITS_MAX; digits++) {
                char format[8];

                snprintf(format, sizeof(format), "%%.%ie", digits - 1);
                g_ascii_formatd(ret, size, format, value);
                if (double_bits(g_ascii_strtod(ret, NULL)) == double_bits(value))
                        return;
        }
}

/* Digits and a decimal exponent laid out as Python's repr(): plain from 1e-4 to below 1e16. */
static size_t layout_double(const char *digits, int n, int exponent, char *ret) {
        char *to = ret;

        if (exponent < -4 || exponent >= 16) {
                *to++ = digits[0];
                if (n > 1) {
                        *to++ = '.';
                        to = mempcpy(to, digits + 1, (size_t) n - 1);
                }
                return (size_t) (to - ret) + (size_t) snprintf(to, sizeof("e-324"), "e%+03i", exponent);
        }

        if (exponent < 0) {
                *to++ = '0';
                *to++ = '.';
                for (int i = exponent + 1; i < 0; i++)
                        *to++ = '0';
                to = mempcpy(to, digits, (size_t) n);
                return (size_t) (to - ret);
        }

        for (int i = 0; i <= exponent; i++)
                *to++ = i < n ? digits[i] : '0';
        *to++ = '.';
        if (n > exponent + 1)
                to = mempcpy(to, digits + exponent + 1, (size_t) (n - exponent - 1));
        else
                *to++ = '0';
        return (size_t) (to - ret);
}

void json_double(JsonWriter *w, double value) {
        char scientific[DOUBLE_TEXT_MAX], digits[DOUBLE_DIGITS_MAX] = { '0' }, text[DOUBLE_TEXT_MAX];
        const char *at = scientific;
        int n = 0, n_used = 1;
        size_t size = 0;

        if (!isfinite(value)) {
                json_null(w);
                return;
        }

        double_shortest(value, scientific, sizeof(scientific));
        if (*at == '-')
                text[size++] = *at++;
        for (; *at != 'e'; at++)
                if (*at != '.') {
                        digits[n++] = *at;
                        if (*at != '0')
                                n_used = n;
                }
        size += layout_double(digits, n_used, atoi(at + 1), text + size);
        write_value(w, text, size);
}
