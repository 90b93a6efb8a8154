/* SPDX-License-Identifier: Apache-2.0 */
/* Moments as people write them. Local time is that of $TZ. No state. */
#include <errno.h>

#include "tools/moment.h"

#define US_PER_SEC INT64_C(1000000)
#define SPAN_MAX_USEC (INT64_C(100000) * 366 * 24 * 3600 * US_PER_SEC) /* longer than any calendar here */

/* ---- numbers ----------------------------------------------------------------------------------------- */

/* Up to six decimals count, more are cut; at least one digit. Moves *at behind it. */
static int parse_decimal(const char **at, int64_t *ret_whole, int64_t *ret_millionths) {
        const char *t = *at;
        int64_t whole = 0, part = 0, scale = US_PER_SEC;

        if (!g_ascii_isdigit(*t))
                return -EINVAL;
        for (; g_ascii_isdigit(*t); t++)
                if (__builtin_mul_overflow(whole, 10, &whole) ||
                    __builtin_add_overflow(whole, *t - '0', &whole))
                        return -ERANGE;
        if (*t == '.') {
                if (!g_ascii_isdigit(*++t))
                        return -EINVAL;
                for (; g_ascii_isdigit(*t); t++) {
                        scale /= 10;
                        part += (*t - '0') * scale;
                }
        }
        *at = t;
        *ret_whole = whole;
        *ret_millionths = part;
        return 0;
}

static int parse_unix(const char *text, Timestamp *ret) {
        bool negative = *text == '-';
        int64_t s, us;
        int r;

        text += negative;
        r = parse_decimal(&text, &s, &us);
        if (r < 0)
                return r;
        if (*text)
                return -EINVAL;
        if (negative) {
                s = -s - (us > 0);
                us = us > 0 ? US_PER_SEC - us : 0;
        }
        *ret = (Timestamp) { .s = s, .us = (int32_t) us };
        return 0;
}

/* ---- spans ------------------------------------------------------------------------------------------- */

typedef struct Unit {
        const char *names; /* separated and enclosed by spaces */
        int64_t usec;
} Unit;

static const Unit units[] = {
        { " us usec µs ", 1 },
        { " ms msec ", 1000 },
        { " s sec second seconds ", US_PER_SEC },
        { " m min minute minutes ", 60 * US_PER_SEC },
        { " h hr hour hours ", 3600 * US_PER_SEC },
        { " d day days ", 86400 * US_PER_SEC },
        { " w week weeks ", 7 * 86400 * US_PER_SEC },
};

/* Moves *at behind the name. */
static const Unit *parse_unit(const char **at) {
        size_t length = strcspn(*at, " 0123456789");
        g_autofree char *name = g_strdup_printf(" %.*s ", (int) length, *at);

        if (length > 0)
                for (size_t i = 0; i < ELEMENTSOF(units); i++)
                        if (strstr(units[i].names, name)) {
                                *at += length;
                                return &units[i];
                        }
        return NULL;
}

/* `1h 30min`, until the end of the text or the word `ago`. */
static int parse_span(const char *text, int64_t *ret_usec, bool *ret_ago) {
        int64_t total = 0;
        bool any = false, ago = false;

        for (;;) {
                int64_t whole, part, usec;
                const Unit *unit;
                int r;

                text += strspn(text, " ");
                if (any && streq(text, "ago")) {
                        ago = true;
                        break;
                }
                if (any && *text == '\0')
                        break;
                r = parse_decimal(&text, &whole, &part);
                if (r < 0)
                        return r;
                text += strspn(text, " ");
                unit = parse_unit(&text);
                if (!unit)
                        return -EINVAL;
                if (__builtin_mul_overflow(whole, unit->usec, &usec) || usec > SPAN_MAX_USEC)
                        return -ERANGE;
                usec += (int64_t) ((double) part * (double) unit->usec / (double) US_PER_SEC);
                total += usec;
                if (total > SPAN_MAX_USEC)
                        return -ERANGE;
                any = true;
        }
        *ret_usec = total;
        *ret_ago = ago;
        return 0;
}

static Timestamp timestamp_add(const Timestamp *t, int64_t usec) {
        int64_t us = t->us + usec % US_PER_SEC, s = t->s + usec / US_PER_SEC;

        if (us < 0) {
                us += US_PER_SEC;
                s--;
        } else if (us >= US_PER_SEC) {
                us -= US_PER_SEC;
                s++;
        }
        return (Timestamp) { .s = s, .us = (int32_t) us };
}

static int parse_relative(const char *text, const Timestamp *now, Timestamp *ret) {
        char sign = *text == '-' || *text == '+' ? *text++ : 0;
        int64_t usec;
        bool ago;
        int r;

        r = parse_span(text, &usec, &ago);
        if (r < 0)
                return r;
        if (ago == (sign != 0)) /* one of both says which way */
                return -EINVAL;
        *ret = timestamp_add(now, sign == '+' ? usec : -usec);
        return 0;
}

/* ---- calendar ---------------------------------------------------------------------------------------- */

/* Digits of the text where the form has `0`, else the form's own characters. */
static bool has_form(const char *text, const char *form) {
        for (; *form; form++, text++)
                if (*form == '0' ? !g_ascii_isdigit(*text) : *form != *text)
                        return false;
        return true;
}

/* Seconds put behind hours and minutes where they are missing. */
static char *complete_time(const char *time) {
        if (has_form(time, "00:00") && time[5] != ':')
                return g_strdup_printf("%.5s:00%s", time, time + 5);
        return g_strdup(time);
}

static char *date_text(const Timestamp *now, int days) {
        g_autoptr(GDateTime) moment = g_date_time_new_from_unix_local(now->s);
        g_autoptr(GDateTime) day = moment ? g_date_time_add_days(moment, days) : NULL;

        return day ? g_date_time_format(day, "%Y-%m-%d") : g_strdup("");
}

/* The text as ISO 8601 with date, time to the second, and perhaps a zone; NULL: it is nothing like that. */
static char *to_iso(const char *text, const Timestamp *now) {
        g_autofree char *today = date_text(now, 0), *yesterday = date_text(now, -1), *time = NULL;

        if (streq(text, "today"))
                return g_strconcat(today, "T00:00:00", NULL);
        if (streq(text, "yesterday"))
                return g_strconcat(yesterday, "T00:00:00", NULL);
        if (has_form(text, "00:00")) {
                time = complete_time(text);
                return g_strconcat(today, "T", time, NULL);
        }
        if (!has_form(text, "0000-00-00"))
                return NULL;
        if (text[10] == '\0')
                return g_strconcat(text, "T00:00:00", NULL);
        if (text[10] != 'T' && text[10] != ' ')
                return NULL;
        time = complete_time(text + 11);
        return g_strdup_printf("%.10sT%s", text, time);
}

static int parse_calendar(const char *text, const Timestamp *now, Timestamp *ret) {
        g_autofree char *iso = to_iso(text, now);
        g_autoptr(GTimeZone) zone = g_time_zone_new_local();
        g_autoptr(GDateTime) moment = iso ? g_date_time_new_from_iso8601(iso, zone) : NULL;

        if (!moment)
                return -EINVAL;
        *ret = (Timestamp) { .s = g_date_time_to_unix(moment), .us = g_date_time_get_microsecond(moment) };
        return 0;
}

int moment_parse(const char *text, const Timestamp *now, Timestamp *ret) {
        if (streq(text, "now")) {
                *ret = *now;
                return 0;
        }
        if (*text == '@')
                return parse_unix(text + 1, ret);
        if (parse_calendar(text, now, ret) == 0)
                return 0;
        return parse_relative(text, now, ret);
}
