/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of configuration errors: what was expected, what was got, the nearest known word. Pure functions. */

#include <inttypes.h>
#include <math.h>

#include "base/conf-private.h"

#define QUOTE_MAX 80U /* bytes of a value shown */
#define NEAREST_MAX 64U

void conf_append_visible(GString *out, const char *text) {
        for (const char *p = text; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (c == '\n')
                        g_string_append(out, "\\n");
                else if (c == '\t')
                        g_string_append(out, "\\t");
                else if (c == '\r')
                        g_string_append(out, "\\r");
                else if (g_unichar_iscntrl(c) || c == 0x2028 || c == 0x2029)
                        g_string_append_printf(out, "\\u%04x", c);
                else
                        g_string_append_unichar(out, c);
        }
}

char *conf_quote(const char *text) {
        g_autofree char *head = NULL;
        GString *out = g_string_new("\"");
        size_t n = strlen(text);

        if (n > QUOTE_MAX) {
                const char *end = g_utf8_find_prev_char(text, text + QUOTE_MAX + 1);

                head = g_strndup(text, (size_t) (end - text));
        }
        conf_append_visible(out, head ?: text);
        g_string_append(out, head ? "…\"" : "\"");
        return g_string_free(out, FALSE);
}

char *conf_format_number(double value) {
        char text[G_ASCII_DTOSTR_BUF_SIZE];

        for (int digits = 1; digits <= 17; digits++) {
                char format[8];

                g_snprintf(format, sizeof(format), "%%.%dg", digits);
                (void) g_ascii_formatd(text, sizeof(text), format, value);
                if (!islessgreater(g_ascii_strtod(text, NULL), value))
                        break;
        }
        /* 1e+07 is not what anybody wants to read. */
        if (fabs(value) < 1e15 && !islessgreater(trunc(value), value))
                (void) g_ascii_formatd(text, sizeof(text), "%.0f", value);
        return g_strdup(text);
}

static void append_number(GString *out, double value) {
        g_autofree char *text = conf_format_number(value);

        g_string_append(out, text);
}

char *conf_describe(const ConfNode *node) {
        switch (node->kind) {
        case CONF_NULL:
                return g_strdup("null");
        case CONF_BOOL:
                return g_strdup(node->boolean ? "true" : "false");
        case CONF_INTEGER:
                return g_strdup_printf("%" PRId64, node->integer);
        case CONF_NUMBER:
                if (strlen(node->number.text) > QUOTE_MAX)
                        return g_strdup_printf("%.*s…", (int) QUOTE_MAX, node->number.text);
                return g_strdup(node->number.text);
        case CONF_STRING:
                return conf_quote(node->string);
        case CONF_ARRAY:
                return g_strdup_printf("an array of %zu", node->children.n);
        case CONF_OBJECT:
                return g_strdup("an object");
        }
        g_assert_not_reached();
}

char *conf_join_quoted(const char *const *words) {
        GString *out = g_string_new(NULL);

        for (size_t i = 0; words[i]; i++)
                g_string_append_printf(out, "%s\"%s\"", i > 0 ? ", " : "", words[i]);
        return g_string_free(out, FALSE);
}

const char **conf_variant_names(const ConfField *field) {
        GPtrArray *names = g_ptr_array_new();

        for (const ConfVariant *v = field->variants; v->name; v++)
                g_ptr_array_add(names, (char *) v->name);
        g_ptr_array_add(names, NULL);
        return (const char **) g_ptr_array_free(names, FALSE);
}

static void append_range(GString *out, const ConfField *field) {
        ConfRange range = conf_field_range(field);
        /* The largest integer that a double holds exactly stands for `no upper bound` in tables. */
        bool lower = isfinite(range.min), upper = range.max < 0x1p53 - 1;

        if (!range.any)
                return;

        if (lower && upper && !range.exclusive) {
                g_string_append(out, " from ");
                append_number(out, range.min);
                g_string_append(out, " to ");
                append_number(out, range.max);
                return;
        }
        if (lower) {
                g_string_append(out, range.exclusive ? " greater than " : " of at least ");
                append_number(out, range.min);
        }
        if (upper) {
                g_string_append(out, lower ? " and at most " : " of at most ");
                append_number(out, range.max);
        }
}

static void append_lengths(GString *out, const ConfField *field, const char *unit) {
        ConfRange range = conf_field_range(field);

        if (!range.any)
                return;
        g_string_append(out, " of ");
        if (!isfinite(range.max)) {
                g_string_append(out, "at least ");
                append_number(out, range.min);
        } else if (range.min > 0) {
                append_number(out, range.min);
                g_string_append(out, " to ");
                append_number(out, range.max);
        } else {
                g_string_append(out, "at most ");
                append_number(out, range.max);
        }
        g_string_append_printf(out, " %s", unit);
}

char *conf_expected(const ConfField *field) {
        GString *out = g_string_new(NULL);

        switch (field->type) {
        case CONF_TYPE_BOOL:
                g_string_append(out, "true or false");
                break;
        case CONF_TYPE_INTEGER:
                g_string_append(out, "an integer");
                append_range(out, field);
                break;
        case CONF_TYPE_NUMBER:
                g_string_append(out, "a number");
                append_range(out, field);
                break;
        case CONF_TYPE_SECONDS:
                g_string_append(out, "a number of seconds");
                append_range(out, field);
                break;
        case CONF_TYPE_STRING:
                g_string_append(out, "a string");
                append_lengths(out, field, "bytes");
                break;
        case CONF_TYPE_ENUM: {
                g_autofree char *names = conf_join_quoted(field->names);

                g_string_append_printf(out, "%s%s", field->names[1] ? "one of " : "", names);
                break;
        }
        case CONF_TYPE_OBJECT:
        case CONF_TYPE_VARIANT:
                g_string_append(out, "an object");
                break;
        case CONF_TYPE_ARRAY:
                g_string_append(out, "an array");
                append_lengths(out, field, "items");
                break;
        case CONF_TYPE_ANY:
        case CONF_TYPE_JSON:
                g_string_append(out, "any value");
                break;
        }

        if (field->flags & CONF_NULLABLE)
                g_string_append(out, ", or null");
        return g_string_free(out, FALSE);
}

/* Edits between two words: insert, delete, replace, swap of neighbours; letters without case. Bytes, both
 * at most NEAREST_MAX. */
static unsigned word_distance(const char *a, size_t na, const char *b, size_t nb) {
        unsigned rows[3][NEAREST_MAX + 1];
        unsigned *before = rows[0], *above = rows[1], *row = rows[2];

        for (unsigned j = 0; j <= nb; j++)
                above[j] = j;

        for (size_t i = 1; i <= na; i++) {
                unsigned *spare = before;

                row[0] = (unsigned) i;
                for (size_t j = 1; j <= nb; j++) {
                        char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[j - 1]);

                        row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
                        if (i > 1 && j > 1 && x == g_ascii_tolower(b[j - 2]) &&
                            y == g_ascii_tolower(a[i - 2]))
                                row[j] = MIN(row[j], before[j - 2] + 1);
                }
                before = above;
                above = row;
                row = spare;
        }
        return above[nb];
}

const char *conf_nearest(const char *text, const char *const *words) {
        const char *best = NULL;
        size_t n = strlen(text);
        unsigned limit, best_distance = UINT_MAX;

        if (n == 0 || n > NEAREST_MAX)
                return NULL;

        /* Typing errors are few, in long words too. */
        limit = (unsigned) MIN((n + 2) / 3, 3U);
        for (size_t i = 0; words[i]; i++) {
                size_t length = strlen(words[i]);
                unsigned distance;

                if (length > NEAREST_MAX)
                        continue;
                distance = word_distance(text, n, words[i], length);
                /* As many edits as the word has letters would make any word of any other. */
                if (distance < best_distance && distance <= limit && distance < length) {
                        best = words[i];
                        best_distance = distance;
                }
        }
        return best;
}
