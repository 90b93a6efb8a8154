/* SPDX-License-Identifier: Apache-2.0 */
/* Reference page from field tables: reStructuredText, a definition list with one entry a key. Loop
 * thread. */

#include "base/conf-private.h"

static void write_fields(FILE *stream, const ConfField *fields, const char *tag, const char *value,
                         unsigned indent);

static void write_indent(FILE *stream, unsigned indent) {
        fprintf(stream, "%*s", (int) (indent * 4), "");
}

static void write_presence(FILE *stream, const ConfField *field) {
        if (field->instead)
                fprintf(stream, "; required unless ``%s`` is given", field->instead);
        else if (field->flags & CONF_REQUIRED)
                fputs("; required", stream);
        else if (field->flags & CONF_HAT_REQUIRED)
                fputs("; required in the hat form", stream);
        else if (field->flags & CONF_ONE_OF)
                fputs("; exactly one of the keys so marked", stream);
        else if (field->hat_fallback)
                fprintf(stream, "; default ``%s``, in the hat form ``%s``", field->fallback, field->hat_fallback);
        else if (field->fallback)
                fprintf(stream, "; default ``%s``", field->fallback);
        else
                fputs("; optional", stream);
}

/* As a sentence: with a capital, but for `fd:NAME` and the like. */
static void write_sentence(FILE *stream, const char *text) {
        bool word = strcspn(text, " ,") <= strcspn(text, ":");

        fprintf(stream, "%c%s.\n", word ? g_ascii_toupper(text[0]) : text[0], text + 1);
}

static void write_entry(FILE *stream, const ConfField *field, unsigned indent) {
        g_autofree char *expected = conf_expected(field);

        write_indent(stream, indent);
        fprintf(stream, "``%s``\n", field->name);
        write_indent(stream, indent + 1);
        fputs(expected, stream);
        if (field->unit && field->type != CONF_TYPE_SECONDS)
                fprintf(stream, " (%s)", field->unit);
        write_presence(stream, field);
        fputs(".\n", stream);
        if (field->help) {
                write_indent(stream, indent + 1);
                write_sentence(stream, field->help);
        }
        fputc('\n', stream);
}

static void write_below(FILE *stream, const ConfField *field, unsigned indent) {
        if (field->type == CONF_TYPE_OBJECT)
                write_fields(stream, field->fields, NULL, NULL, indent);
        else if (field->type == CONF_TYPE_ARRAY && field->element->type != CONF_TYPE_ANY) {
                g_autofree char *expected = conf_expected(field->element);

                write_indent(stream, indent);
                fprintf(stream, "Each item: %s%s\n\n", expected,
                        field->element->type == CONF_TYPE_OBJECT ? " with" : ".");
                write_below(stream, field->element, indent);
        } else if (field->type == CONF_TYPE_VARIANT)
                for (const ConfVariant *v = field->variants; v->name; v++)
                        write_fields(stream, v->fields, field->tag, v->name, indent);
}

/* tag, value: the key that chose these fields, of a variant; else NULL. */
static void write_fields(FILE *stream, const ConfField *fields, const char *tag, const char *value,
                         unsigned indent) {
        if (tag) {
                write_indent(stream, indent);
                fprintf(stream, "With ``%s: %s``:\n\n", tag, value);
        }
        for (const ConfField *f = fields; f->name; f++)
                if (!conf_field_is_other(f)) {
                        write_entry(stream, f, indent);
                        write_below(stream, f, indent + 1);
                }
}

void conf_reference_write(FILE *stream, const char *title, const ConfField *fields) {
        fprintf(stream, "%s\n", title);
        for (glong i = g_utf8_strlen(title, -1); i > 0; i--)
                fputc('-', stream);
        fputs("\n\n", stream);
        write_fields(stream, fields, NULL, NULL, 0);
}
