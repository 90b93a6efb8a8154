/* SPDX-License-Identifier: Apache-2.0 */
/* Plain YAML scalars: what the core schema of YAML 1.2 makes of them, and where a YAML 1.1 reader
 * (PyYAML, which hat-gateway uses) makes something else. Pure functions. */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/conf-private.h"

#define DIGITS "0123456789"

static bool is_one_of(const char *text, const char *const *words) {
        return g_strv_contains(words, text);
}

/* ---- YAML 1.2 core schema ---------------------------------------------------------------------------- */

static void set_number(ConfNode *node, const char *text, double value) {
        /* No number for us: what does not fit a double stays text, as .inf does. */
        if (!isfinite(value)) {
                node->kind = CONF_STRING;
                node->string = text;
                return;
        }
        node->kind = CONF_NUMBER;
        node->number.value = value;
        node->number.text = text;
}

static void set_integer(ConfNode *node, const char *text, const char *digits, int base) {
        char *end;

        errno = 0;
        node->integer = strtoll(digits, &end, base);
        if (errno == 0) {
                node->kind = CONF_INTEGER;
                return;
        }

        /* More than 64 bits: strtod() reads decimal and 0x… */
        if (base == 8) {
                double value = 0;

                for (const char *p = digits; *p; p++)
                        value = value * 8 + (*p - '0');
                set_number(node, text, value);
        } else
                set_number(node, text, g_ascii_strtod(text, NULL));
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? ; ret_integer: digits only. */
static bool core_is_number(const char *p, bool *ret_integer) {
        size_t whole, fraction = 0;
        bool integer = true;

        p += *p == '-' || *p == '+';
        whole = strspn(p, DIGITS);
        p += whole;
        if (*p == '.') {
                fraction = strspn(p + 1, DIGITS);
                p += 1 + fraction;
                integer = false;
        }
        if (whole == 0 && fraction == 0)
                return false;
        if (*p == 'e' || *p == 'E') {
                size_t n;

                p++;
                p += *p == '-' || *p == '+';
                n = strspn(p, DIGITS);
                if (n == 0)
                        return false;
                p += n;
                integer = false;
        }
        *ret_integer = integer;
        return *p == '\0';
}

static bool core_is_prefixed(const char *text, char letter, const char *digits) {
        return text[0] == '0' && text[1] == letter && text[2] && text[2 + strspn(text + 2, digits)] == '\0';
}

void conf_scalar_resolve(const char *text, ConfNode *node) {
        static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
        static const char *const trues[] = { "true", "True", "TRUE", NULL };
        static const char *const falses[] = { "false", "False", "FALSE", NULL };
        bool integer;

        if (is_one_of(text, nulls))
                node->kind = CONF_NULL;
        else if (is_one_of(text, trues) || is_one_of(text, falses)) {
                node->kind = CONF_BOOL;
                node->boolean = is_one_of(text, trues);
        } else if (core_is_number(text, &integer)) {
                if (integer)
                        set_integer(node, text, text, 10);
                else
                        set_number(node, text, g_ascii_strtod(text, NULL));
        } else if (core_is_prefixed(text, 'x', DIGITS "abcdefABCDEF"))
                set_integer(node, text, text + 2, 16);
        else if (core_is_prefixed(text, 'o', "01234567"))
                set_integer(node, text, text + 2, 8);
        else {
                node->kind = CONF_STRING;
                node->string = text;
        }
}

/* ---- YAML 1.1 ---------------------------------------------------------------------------------------- */

typedef enum OldKind {
        OLD_STRING,
        OLD_NULL,
        OLD_BOOL,
        OLD_INTEGER,
        OLD_FLOAT,
        OLD_DATE,
        OLD_SPECIAL
} OldKind;

typedef struct Old {
        OldKind kind;
        bool boolean;
        int64_t integer;
        bool exact; /* integer holds the value */
} Old;

static size_t span(const char *p, const char *set) {
        return strspn(p, set);
}

/* value * base + digit, away from 0 on the given side, so that the smallest integer has a place too. */
static bool accumulate(int64_t *value, int64_t base, int64_t digit, bool negative) {
        return !__builtin_mul_overflow(*value, base, value) &&
               !__builtin_add_overflow(*value, negative ? -digit : digit, value);
}

/* Digits of a base with `_` among them. */
static void old_set_integer(Old *old, const char *digits, unsigned base, bool negative) {
        *old = (Old) { .kind = OLD_INTEGER, .exact = true };
        for (const char *p = digits; *p; p++)
                if (*p != '_' && !accumulate(&old->integer, base, g_ascii_xdigit_value(*p), negative))
                        old->exact = false;
}

/* 1:30, 190:20:30: base 60. With a fraction it is a float. */
static bool old_sexagesimal(const char *p, bool negative, Old *old) {
        int64_t value = 0;
        bool exact = true, fraction = false;
        unsigned parts = 0;

        if (!g_ascii_isdigit(*p))
                return false;
        for (;; parts++) {
                size_t n = span(p, parts == 0 ? DIGITS "_" : DIGITS);
                int64_t part = 0;

                if (n == 0 || (parts > 0 && (n > 2 || (n == 2 && *p > '5'))))
                        return false;
                for (size_t i = 0; i < n; i++)
                        if (p[i] != '_' && !accumulate(&part, 10, p[i] - '0', false))
                                exact = false;
                if (!accumulate(&value, 60, exact ? part : 0, negative))
                        exact = false;
                p += n;
                if (*p != ':')
                        break;
                p++;
        }
        if (parts == 0)
                return false;
        if (*p == '.') {
                fraction = true;
                p += 1 + span(p + 1, DIGITS "_");
        }
        if (*p)
                return false;

        *old = (Old) {
                .kind = fraction ? OLD_FLOAT : OLD_INTEGER,
                .integer = value,
                .exact = exact && !fraction,
        };
        return true;
}

static bool old_integer(const char *p, Old *old) {
        bool negative = *p == '-';

        p += *p == '-' || *p == '+';
        if (p[0] == '0' && p[1] == 'b' && p[2] && p[2 + span(p + 2, "01_")] == '\0')
                old_set_integer(old, p + 2, 2, negative);
        else if (p[0] == '0' && p[1] == 'x' && p[2] && p[2 + span(p + 2, DIGITS "abcdefABCDEF_")] == '\0')
                old_set_integer(old, p + 2, 16, negative);
        else if (p[0] == '0' && p[span(p, "01234567_")] == '\0')
                old_set_integer(old, p, 8, negative);
        else if (p[0] >= '1' && p[0] <= '9' && p[span(p, DIGITS "_")] == '\0')
                old_set_integer(old, p, 10, negative);
        else if (p[0] != '0')
                return old_sexagesimal(p, negative, old);
        else
                return false;
        return true;
}

/* Needs a point; an exponent needs its sign; a sign needs a digit before the point. */
static bool old_float(const char *p, Old *old) {
        static const char *const infinities[] = { ".inf", ".Inf", ".INF", NULL };
        static const char *const nans[] = { ".nan", ".NaN", ".NAN", NULL };
        bool sign = *p == '-' || *p == '+';

        old->kind = OLD_FLOAT;
        if (is_one_of(p, nans) || is_one_of(p + sign, infinities))
                return true;

        p += sign;
        if (g_ascii_isdigit(*p)) {
                Old unused;

                if (old_sexagesimal(p, false, &unused) && unused.kind == OLD_FLOAT)
                        return true;
                p += span(p, DIGITS "_");
                if (*p++ != '.')
                        return false;
        } else if (sign || *p++ != '.' || !g_ascii_isdigit(*p))
                return false;
        p += span(p, DIGITS "_");
        if ((*p == 'e' || *p == 'E') && (p[1] == '-' || p[1] == '+')) {
                if (!g_ascii_isdigit(p[2]))
                        return false;
                p += 2 + span(p + 2, DIGITS);
        }
        return *p == '\0';
}

/* At least so many digits, and at most. */
static bool take_digits(const char **p, size_t least, size_t most) {
        size_t n = span(*p, DIGITS);

        if (n < least || n > most)
                return false;
        *p += n;
        return true;
}

static bool take_char(const char **p, char c) {
        if (**p != c)
                return false;
        (*p)++;
        return true;
}

static bool take_zone(const char **p) {
        *p += span(*p, " \t");
        if (!**p || take_char(p, 'Z'))
                return true;
        if (**p != '-' && **p != '+')
                return false;
        (*p)++;
        return take_digits(p, 1, 2) && (!take_char(p, ':') || take_digits(p, 2, 2));
}

static bool old_date(const char *p) {
        const char *start = p;

        if (!take_digits(&p, 4, 4) || !take_char(&p, '-') || !take_digits(&p, 1, 2) || !take_char(&p, '-') ||
            !take_digits(&p, 1, 2))
                return false;
        if (!*p)
                return p - start == 10;
        if (*p == 'T' || *p == 't')
                p++;
        else if (*p == ' ' || *p == '\t')
                p += span(p, " \t");
        else
                return false;
        if (!take_digits(&p, 1, 2) || !take_char(&p, ':') || !take_digits(&p, 2, 2) || !take_char(&p, ':') ||
            !take_digits(&p, 2, 2))
                return false;
        if (take_char(&p, '.'))
                p += span(p, DIGITS);
        return take_zone(&p) && !*p;
}

static Old old_resolve(const char *text) {
        static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
        static const char *const trues[] = { "yes", "Yes",  "YES",  "on",   "On",
                                             "ON",  "true", "True", "TRUE", NULL };
        static const char *const falses[] = { "no",  "No",    "NO",    "off",   "Off",
                                              "OFF", "false", "False", "FALSE", NULL };
        Old old = { OLD_STRING };

        if (is_one_of(text, nulls))
                old.kind = OLD_NULL;
        else if (is_one_of(text, trues) || is_one_of(text, falses)) {
                old.kind = OLD_BOOL;
                old.boolean = is_one_of(text, trues);
        } else if (old_integer(text, &old) || old_float(text, &old))
                return old;
        else if (old_date(text))
                old.kind = OLD_DATE;
        else
                old.kind = streq(text, "=") || streq(text, "<<") ? OLD_SPECIAL : OLD_STRING;
        return old;
}

/* ---- the difference ---------------------------------------------------------------------------------- */

static bool same(const Old *old, const ConfNode *node) {
        switch (node->kind) {
        case CONF_NULL:
                return old->kind == OLD_NULL;
        case CONF_BOOL:
                return old->kind == OLD_BOOL && old->boolean == node->boolean;
        case CONF_INTEGER:
                return old->kind == OLD_INTEGER && old->exact && old->integer == node->integer;
        case CONF_NUMBER:
                return old->kind == OLD_FLOAT || (old->kind == OLD_INTEGER && !old->exact);
        default:
                return old->kind == OLD_STRING;
        }
}

/* A number in a spelling that both versions read as the same number. */
static char *safe_number(const ConfNode *node) {
        g_autofree char *text = NULL;
        const char *exponent;

        if (node->kind == CONF_INTEGER)
                return g_strdup_printf("%" PRId64, node->integer);

        text = conf_format_number(node->number.value);
        exponent = strchr(text, 'e');
        if (strchr(text, '.'))
                return g_steal_pointer(&text);
        if (!exponent)
                return g_strdup_printf("%s.0", text);
        return g_strdup_printf("%.*s.0%s", (int) (exponent - text), text, exponent);
}

/* What the old reader sees, as a noun; ret_write: how to write that for both, NULL: cannot be written. */
static char *old_describe(const Old *old, const char *quoted, char **ret_write) {
        *ret_write = NULL;
        switch (old->kind) {
        case OLD_STRING:
                *ret_write = g_strdup_printf("%s in quotes", quoted);
                return g_strdup("a string");
        case OLD_NULL:
                return g_strdup("null");
        case OLD_BOOL:
                *ret_write = g_strdup(old->boolean ? "true" : "false");
                return g_strdup(*ret_write);
        case OLD_INTEGER:
                if (!old->exact)
                        return g_strdup("an integer");
                *ret_write = g_strdup_printf("%" PRId64, old->integer);
                return g_strdup(*ret_write);
        case OLD_FLOAT:
                return g_strdup("a number");
        case OLD_DATE:
                return g_strdup("a date");
        case OLD_SPECIAL:
                return g_strdup("a sign of its own");
        }
        g_assert_not_reached();
}

bool conf_scalar_differs(const char *text, const ConfNode *node) {
        Old old;

        /* Most scalars are words and plain decimal numbers. */
        if (text[0] >= '1' && text[0] <= '9' && text[span(text, DIGITS)] == '\0')
                return false;
        if (!strchr("+-.=<~nNyYoOtTfF" DIGITS, text[0]))
                return false;

        old = old_resolve(text);
        return !same(&old, node);
}

char *conf_scalar_difference(const char *text, const ConfNode *node, bool secret) {
        g_autofree char *quoted = NULL, *here = NULL, *there = NULL, *write_here = NULL, *write_there = NULL;
        Old old = old_resolve(text);

        if (secret)
                return g_strdup("YAML 1.1, which hat-gateway reads, takes this for something else: write it in quotes");

        quoted = conf_quote(text);
        there = old_describe(&old, quoted, &write_there);
        if (node->kind == CONF_STRING) {
                here = g_strdup_printf("the string %s", quoted);
                write_here = g_strdup_printf("%s in quotes", quoted);
        } else {
                write_here = safe_number(node);
                here = g_strdup(write_here);
        }
        if (!write_there)
                return g_strdup_printf("%s is %s here and %s in YAML 1.1, which hat-gateway reads: write %s",
                                       text, here, there, write_here);
        return g_strdup_printf("%s is %s here and %s in YAML 1.1, which hat-gateway reads: write %s, or %s",
                               text, here, there, write_here, write_there);
}
