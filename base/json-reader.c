/* SPDX-License-Identifier: Apache-2.0 */
/* Reads JSON text in place. json_check() is the gate: one pass, a stack of one bit a level, nothing
 * allocated. What it accepted is then walked by functions that need not look for mistakes again; they still
 * never leave the span. No state, any thread. */

#include <errno.h>
#include <math.h>

#include "base/bounds.h"
#include "base/json.h"
#include "base/utf8.h"

/* A decimal point may stand this far from the digits at most; texts are much shorter than that. */
#define EXPONENT_LIMIT ((int64_t) 1 << 60)

typedef struct Scanner {
        const char *at, *end;
        size_t depth;
        uint64_t objects[JSON_DEPTH_MAX / 64]; /* one bit a level: object, not array */
} Scanner;

static inline bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static inline bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline const char *skip_space(const char *at, const char *end) {
        while (at < end && is_space(*at))
                at++;
        return at;
}

static inline const char *skip_digits(const char *at, const char *end) {
        while (at < end && is_digit(*at))
                at++;
        return at;
}

/* ---- numbers ------------------------------------------------------------------------------------------ */

/* A number token taken apart. digits … digits_end are those before the exponent, with at most one point
 * among them. */
typedef struct Number {
        const char *digits, *digits_end, *end;
        const char *point, *exponent; /* NULL when there is none; exponent is behind the e */
} Number;

static bool number_parse(const char *at, const char *end, Number *ret) {
        Number n = { 0 };

        if (at < end && *at == '-')
                at++;
        n.digits = at;
        at = skip_digits(at, end);
        if (at == n.digits || (*n.digits == '0' && at - n.digits > 1))
                return false;

        if (at < end && *at == '.') {
                n.point = at++;
                at = skip_digits(at, end);
                if (at == n.point + 1)
                        return false;
        }
        n.digits_end = at;

        if (at < end && (*at == 'e' || *at == 'E')) {
                n.exponent = ++at;
                if (at < end && (*at == '+' || *at == '-'))
                        at++;
                if (at == end || !is_digit(*at))
                        return false;
                at = skip_digits(at, end);
        }

        n.end = at;
        *ret = n;
        return true;
}

static int64_t number_exponent(const Number *n) {
        const char *at = n->exponent;
        bool negative;
        int64_t value = 0;

        if (!at)
                return 0;
        negative = *at == '-';
        if (*at == '+' || *at == '-')
                at++;
        for (; at < n->end; at++)
                value = MIN(value * 10 + (*at - '0'), EXPONENT_LIMIT / 10);
        return negative ? -value : value;
}

static const char *number_first_nonzero(const Number *n) {
        const char *at = n->digits;

        while (at < n->digits_end && (*at == '0' || *at == '.'))
                at++;
        return at;
}

/* Where the point stands, counted from the first digit that is not 0: 1 for 5.2, 0 for 0.52. first is that
 * digit. */
static int64_t number_magnitude(const Number *n, const char *first) {
        const char *point = n->point ?: n->digits_end;
        int64_t places = first < point ? point - first : point + 1 - first;

        return places + number_exponent(n);
}

/* Whether a double would become infinite: from 2^1024 - 2^970 on, halfway between the largest double and the
 * one that would follow it. That number has 309 digits, which are compared one by one. */
static bool number_overflows(const Number *n) {
        static const char limit[] =
                "17976931348623158079372897140530341507993413271003782693617377898044496829276475"
                "09466490179775872070963302864166928879109465555478519404026306574886715058206819"
                "08902000708383676273854845817711531764475730270069855571366959622842914819860834"
                "936475292719074168444365510704342711559699508093042880177904174497792";
        const char *at = number_first_nonzero(n);
        int64_t magnitude;

        if (at == n->digits_end)
                return false;
        magnitude = number_magnitude(n, at);
        if (magnitude != (int64_t) sizeof(limit) - 1)
                return magnitude > (int64_t) sizeof(limit) - 1;

        for (const char *l = limit; *l; l++) {
                char digit;

                if (at < n->digits_end && *at == '.')
                        at++;
                digit = at < n->digits_end ? *at++ : '0';
                if (digit != *l)
                        return digit > *l;
        }
        return true;
}

static int scan_number(Scanner *s) {
        Number n;

        if (!number_parse(s->at, s->end, &n))
                return -EBADMSG;
        if (!n.point && !n.exponent) {
                if ((size_t) (n.digits_end - n.digits) > JSON_DIGITS_MAX)
                        return -EBADMSG;
        } else if ((n.exponent || n.digits_end - n.digits > 300) && number_overflows(&n))
                return -EBADMSG;

        s->at = n.end;
        return 0;
}

/* ---- strings ------------------------------------------------------------------------------------------ */

/* What stands behind a backslash, checked: 0 when it is no escape, else its length. */
static size_t escape_length(const char *at, const char *end) {
        if (at == end)
                return 0;
        if (*at == 'u') {
                if (end - at < 5)
                        return 0;
                for (size_t i = 1; i < 5; i++)
                        if (!g_ascii_isxdigit(at[i]))
                                return 0;
                return 5;
        }
        return *at != '\0' && strchr("\"\\/bfnrt", *at) ? 1 : 0;
}

/* Characters of a string that need no closer look: ASCII but for controls, the quote and the backslash. */
static const bool plain[256] = { [0x20 ... 0x21] = true, [0x23 ... 0x5b] = true, [0x5d ... 0x7f] = true };

/* From the opening quote to behind the closing one. */
static int scan_string(Scanner *s) {
        const char *at = s->at + 1, *end = s->end;

        for (;;) {
                size_t length;
                uint32_t c;

                while (at < end && plain[(uint8_t) *at])
                        at++;
                if (at == end)
                        return -EBADMSG;
                if (*at == '"') {
                        s->at = at + 1;
                        return 0;
                }
                if (*at == '\\')
                        length = escape_length(++at, end);
                else if ((uint8_t) *at >= 0x80)
                        length = utf8_decode(at, (size_t) (end - at), &c);
                else
                        length = 0; /* a control character */
                if (length == 0)
                        return -EBADMSG;
                at += length;
        }
}

/* ---- the gate ----------------------------------------------------------------------------------------- */

static int scan_literal(Scanner *s, const char *literal, size_t size) {
        if ((size_t) (s->end - s->at) < size || memcmp(s->at, literal, size) != 0)
                return -EBADMSG;
        s->at += size;
        return 0;
}

static inline bool in_object(const Scanner *s) {
        return s->objects[(s->depth - 1) / 64] >> ((s->depth - 1) % 64) & 1;
}

static int scan_open(Scanner *s, bool object) {
        uint64_t bit;

        if (s->depth == JSON_DEPTH_MAX)
                return -E2BIG;
        bit = (uint64_t) 1 << (s->depth % 64);
        if (object)
                s->objects[s->depth / 64] |= bit;
        else
                s->objects[s->depth / 64] &= ~bit;
        s->depth++;
        s->at++;
        return 0;
}

/* A value that holds no others, or the opening of one that does. */
static int scan_value(Scanner *s) {
        if (s->at == s->end)
                return -EBADMSG;

        switch (*s->at) {
        case '{':
                return scan_open(s, true);
        case '[':
                return scan_open(s, false);
        case '"':
                return scan_string(s);
        case 'n':
                return scan_literal(s, "null", 4);
        case 't':
                return scan_literal(s, "true", 4);
        case 'f':
                return scan_literal(s, "false", 5);
        default:
                return scan_number(s);
        }
}

/* White space, and in an object the key up to behind the colon. */
static int scan_to_value(Scanner *s) {
        int r;

        s->at = skip_space(s->at, s->end);
        if (s->depth == 0 || !in_object(s))
                return 0;

        if (s->at == s->end || *s->at != '"')
                return -EBADMSG;
        r = scan_string(s);
        if (r < 0)
                return r;
        s->at = skip_space(s->at, s->end);
        if (s->at == s->end || *s->at != ':')
                return -EBADMSG;
        s->at = skip_space(s->at + 1, s->end);
        return 0;
}

static bool scan_close(Scanner *s) {
        s->at = skip_space(s->at, s->end);
        if (s->at == s->end || *s->at != (in_object(s) ? '}' : ']'))
                return false;
        s->at++;
        s->depth--;
        return true;
}

/* Behind a value: closes what ends here. */
static int scan_to_comma(Scanner *s) {
        while (s->depth > 0 && scan_close(s))
                ;
        if (s->depth == 0)
                return 0;
        if (s->at == s->end || *s->at != ',')
                return -EBADMSG;
        s->at++;
        return 0;
}

static int scan_document(Scanner *s) {
        int r;

        do {
                size_t depth = s->depth;

                r = scan_to_value(s);
                if (r < 0)
                        return r;
                r = scan_value(s);
                if (r < 0)
                        return r;
                if (s->depth > depth && !scan_close(s))
                        continue; /* opened and not empty: its first value follows */
                r = scan_to_comma(s);
                if (r < 0)
                        return r;
        } while (s->depth > 0);
        return 0;
}

int json_check(const char *text, size_t size, JsonSpan *ret) {
        const char *begin, *end;
        Scanner s;
        int r;

        if (size == 0)
                return -EBADMSG;

        end = text + size;
        s = (Scanner) { .end = end };
        begin = s.at = skip_space(text, end);
        r = scan_document(&s);
        if (r < 0)
                return r;
        if (skip_space(s.at, end) != end)
                return -EBADMSG;

        if (ret)
                *ret = (JsonSpan) { begin, (size_t) (s.at - begin) };
        return 0;
}

/* ---- values of checked text --------------------------------------------------------------------------- */

JsonKind json_kind(JsonSpan v) {
        if (v.size == 0)
                return _JSON_KIND_INVALID;

        switch (v.text[0]) {
        case 'n':
                return JSON_NULL;
        case 'f':
                return JSON_FALSE;
        case 't':
                return JSON_TRUE;
        case '"':
                return JSON_STRING;
        case '[':
                return JSON_ARRAY;
        case '{':
                return JSON_OBJECT;
        case '-':
        case '0' ... '9':
                return JSON_NUMBER;
        default:
                return _JSON_KIND_INVALID;
        }
}

/* Small numbers become 0 as a double (1e-400): only then the text is copied, because strtod() needs a
 * terminator. */
static bool number_truthy(JsonSpan v) {
        g_autofree char *copy = NULL;
        const char *first;
        Number n;

        if (!number_parse(v.text, v.text + v.size, &n))
                return false;
        first = number_first_nonzero(&n);
        if (first == n.digits_end)
                return false;
        if ((!n.point && !n.exponent) || number_magnitude(&n, first) > -300)
                return true;

        copy = g_strndup(v.text, v.size);
        return fpclassify(g_ascii_strtod(copy, NULL)) != FP_ZERO;
}

bool json_truthy(JsonSpan v) {
        switch (json_kind(v)) {
        case JSON_TRUE:
                return true;
        case JSON_NUMBER:
                return number_truthy(v);
        case JSON_STRING:
                return v.size > 2;
        case JSON_ARRAY:
        case JSON_OBJECT:
                return skip_space(v.text + 1, v.text + v.size) != v.text + v.size - 1;
        default:
                return false;
        }
}

bool json_is_integer(JsonSpan v) {
        const char *end = v.text + v.size;

        if (json_kind(v) != JSON_NUMBER)
                return false;
        return skip_digits(v.text + (v.text[0] == '-'), end) == end;
}

int json_to_int64(JsonSpan v, int64_t *ret) {
        bool negative;
        int64_t value = 0;

        if (!json_is_integer(v))
                return -EINVAL;

        /* Built up below 0, where there is one number more. */
        negative = v.text[0] == '-';
        for (size_t i = negative; i < v.size; i++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_sub_overflow(value, v.text[i] - '0', &value))
                        return -ERANGE;
        if (!negative && __builtin_sub_overflow((int64_t) 0, value, &value))
                return -ERANGE;

        *ret = value;
        return 0;
}

static uint32_t unhex4(const char *at) {
        uint32_t value = 0;

        for (size_t i = 0; i < 4; i++)
                value = value << 4 | (uint32_t) g_ascii_xdigit_value(at[i]);
        return value;
}

/* at: behind a backslash. Returns the character, a surrogate when it is a lone one, and moves at behind the
 * escape. */
static uint32_t read_escape(const char **at, const char *end) {
        static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
        const char *a = *at, *name;
        uint32_t c, low;

        if (*a != 'u') {
                *at = a + 1;
                name = strchr(names, *a);
                return (uint8_t) (name ? values[name - names] : *a);
        }

        c = unhex4(a + 1);
        *at = a += 5;
        if (c < 0xd800 || c > 0xdbff || end - a < 6 || a[0] != '\\' || a[1] != 'u')
                return c;
        low = unhex4(a + 2);
        if (low < 0xdc00 || low > 0xdfff)
                return c;
        *at = a + 6;
        return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static inline bool is_surrogate(uint32_t c) {
        return c >= 0xd800 && c <= 0xdfff;
}

/* The bytes up to the next backslash or the end. */
static size_t plain_length(const char *at, const char *end) {
        const char *backslash = memchr(at, '\\', (size_t) (end - at));

        return (size_t) ((backslash ?: end) - at);
}

int json_unescape(JsonSpan v, char **ret, size_t *ret_size) {
        const char *at, *end;
        char *text, *to;

        if (json_kind(v) != JSON_STRING)
                return -EINVAL;

        /* An escape is never shorter than what it stands for. */
        text = to = g_malloc(v.size);
        end = v.text + v.size - 1;
        for (at = v.text + 1; at < end;) {
                size_t n = plain_length(at, end);
                uint32_t c;

                to = mempcpy(to, at, n);
                at += n;
                if (at == end)
                        break;
                at++;
                c = read_escape(&at, end);
                to += g_unichar_to_utf8(is_surrogate(c) ? 0xfffd : c, to);
        }
        *to = '\0';

        *ret = text;
        if (ret_size)
                *ret_size = (size_t) (to - text);
        return 0;
}

bool json_text_equal(JsonSpan v, const char *text) {
        const char *at, *end;
        size_t left = strlen(text);

        if (json_kind(v) != JSON_STRING)
                return false;

        end = v.text + v.size - 1;
        for (at = v.text + 1; at < end;) {
                size_t n = plain_length(at, end);
                char encoded[6];
                uint32_t c;

                if (n > left || memcmp(at, text, n) != 0)
                        return false;
                text += n;
                left -= n;
                at += n;
                if (at == end)
                        break;

                at++;
                c = read_escape(&at, end);
                if (is_surrogate(c))
                        return false;
                n = (size_t) g_unichar_to_utf8(c, encoded);
                if (n > left || memcmp(encoded, text, n) != 0)
                        return false;
                text += n;
                left -= n;
        }
        return left == 0;
}

/* ---- walking ------------------------------------------------------------------------------------------ */

static const char *skip_string(const char *at, const char *end) {
        for (at++; at < end && *at != '"'; at++)
                if (*at == '\\' && ++at == end)
                        return end;
        return at < end ? at + 1 : end;
}

static const char *skip_nested(const char *at, const char *end) {
        size_t depth = 0;

        while (at < end) {
                if (*at == '"') {
                        at = skip_string(at, end);
                        continue;
                }
                if (*at == '{' || *at == '[')
                        depth++;
                else if ((*at == '}' || *at == ']') && --depth == 0)
                        return at + 1;
                at++;
        }
        return end;
}

static const char *skip_value(const char *at, const char *end) {
        if (*at == '"')
                return skip_string(at, end);
        if (*at == '{' || *at == '[')
                return skip_nested(at, end);
        while (at < end && *at != ',' && *at != '}' && *at != ']' && !is_space(*at))
                at++;
        return at;
}

JsonIterator json_iterate(JsonSpan v) {
        JsonKind kind = json_kind(v);

        if (kind != JSON_ARRAY && kind != JSON_OBJECT)
                return (JsonIterator) { 0 };
        return (JsonIterator) { v.text + 1, v.text + v.size - 1, kind == JSON_OBJECT };
}

bool json_next(JsonIterator *i, JsonSpan *ret_key, JsonSpan *ret_value) {
        const char *at = skip_space(i->at, i->end), *behind;
        JsonSpan key = { 0 };

        if (at == i->end)
                return false;

        if (i->object) {
                behind = skip_string(at, i->end);
                key = (JsonSpan) { at, (size_t) (behind - at) };
                at = skip_space(behind, i->end); /* the colon */
                at = skip_space(MIN(at + 1, i->end), i->end);
                if (at == i->end)
                        return false;
        }

        behind = skip_value(at, i->end);
        if (ret_key)
                *ret_key = key;
        if (ret_value)
                *ret_value = (JsonSpan) { at, (size_t) (behind - at) };

        at = skip_space(behind, i->end); /* the comma */
        i->at = at < i->end ? at + 1 : at;
        return true;
}

int json_get(JsonSpan v, const char *key, JsonSpan *ret) {
        JsonIterator i = json_iterate(v);
        JsonSpan name, value, found = { 0 };

        if (!i.object)
                return -ENOENT;
        while (json_next(&i, &name, &value))
                if (json_text_equal(name, key))
                        found = value;
        if (!found.text)
                return -ENOENT;

        *ret = found;
        return 0;
}
