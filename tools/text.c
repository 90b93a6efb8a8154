/* SPDX-License-Identifier: Apache-2.0 */
/* Text for terminals. No state. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "base/bounds.h"
#include "base/utf8.h"
#include "tools/text.h"

/* ---- width ------------------------------------------------------------------------------------------- */

/* Length in bytes and columns of the character at text. */
static size_t next_character(const char *text, size_t left, size_t *ret_columns) {
        uint32_t c = 0;
        size_t length = utf8_decode(text, left, &c);

        *ret_columns = length == 0 ? 1 : g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
        return length == 0 ? 1 : length;
}

/* Bytes of the longest beginning of text that is no wider than columns. */
static size_t fitting(const char *text, size_t columns) {
        size_t left = strlen(text), taken = 0, width = 0;

        while (left > 0) {
                size_t w, length = next_character(text + taken, left, &w);

                if (width + w > columns)
                        break;
                width += w;
                taken += length;
                left -= length;
        }
        return taken;
}

size_t text_width(const char *text) {
        size_t width = 0;

        for (size_t left = strlen(text); left > 0;) {
                size_t w, length = next_character(text, left, &w);

                width += w;
                text += length;
                left -= length;
        }
        return width;
}

char *text_ellipsize(const char *text, size_t columns) {
        size_t n;

        if (text[fitting(text, columns)] == '\0')
                return g_strdup(text);
        n = fitting(text, columns - 1);
        while (n > 0 && text[n - 1] == ' ')
                n--;
        return g_strdup_printf("%.*s…", (int) n, text);
}

char *text_printable(const char *text) {
        GString *s = g_string_sized_new(strlen(text) + 1);

        for (size_t left = strlen(text); left > 0;) {
                uint32_t c = 0;
                size_t length = utf8_decode(text, left, &c), n = length > 0 ? length : 1;

                if (length > 0 && g_unichar_isprint(c))
                        g_string_append_len(s, text, (gssize) n);
                else
                        for (size_t i = 0; i < n; i++)
                                g_string_append_printf(s, "\\x%02x", (uint8_t) text[i]);
                text += n;
                left -= n;
        }
        return g_string_free(s, false);
}

/* ---- order ------------------------------------------------------------------------------------------- */

int compare_devices(const char *type_a, const char *name_a, const char *type_b, const char *name_b) {
        int r = strcmp(type_a, type_b);

        return r != 0 ? r : strverscmp(name_a, name_b);
}

/* ---- time -------------------------------------------------------------------------------------------- */

#define MINUTE UINT64_C(60)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define AHEAD_USEC (MINUTE * USEC_PER_SEC) /* less may be the difference of two machines' clocks */

static char *two_units(uint64_t big, const char *big_unit, uint64_t small, const char *small_unit) {
        if (small == 0)
                return g_strdup_printf("%" PRIu64 "%s", big, big_unit);
        return g_strdup_printf("%" PRIu64 "%s %" PRIu64 "%s", big, big_unit, small, small_unit);
}

char *duration_to_text(usec_t duration) {
        uint64_t s = duration / USEC_PER_SEC;

        if (s < MINUTE)
                return g_strdup_printf("%" PRIu64 "s", s);
        if (s < HOUR)
                return g_strdup_printf("%" PRIu64 "min", s / MINUTE);
        if (s < DAY)
                return two_units(s / HOUR, "h", s % HOUR / MINUTE, "min");
        if (s < 7 * DAY)
                return two_units(s / DAY, "d", s % DAY / HOUR, "h");
        return g_strdup_printf("%" PRIu64 "d", s / DAY);
}

char *ago_to_text(usec_t then, usec_t now) {
        bool ahead = usec_sub(then, now) >= AHEAD_USEC;
        g_autofree char *text = NULL;

        if (!ahead && usec_sub(now, then) < USEC_PER_SEC)
                return g_strdup("now");
        text = duration_to_text(ahead ? then - now : now - then);
        return g_strconcat(text, ahead ? " ahead" : " ago", NULL);
}

int parse_seconds(const char *text, usec_t *ret) {
        char *end;
        double value;

        if (!g_ascii_isdigit(text[0]) && text[0] != '.')
                return -EINVAL;
        value = g_ascii_strtod(text, &end);
        if (end == text || *end != '\0' || !isfinite(value))
                return -EINVAL;
        if (value * (double) USEC_PER_SEC < 1 || value > CONF_SECONDS_MAX)
                return -ERANGE;
        *ret = (usec_t) (value * (double) USEC_PER_SEC);
        return 0;
}
