/* SPDX-License-Identifier: Apache-2.0 */
/* JSON values as YAML. No state. */
#include "tools/yaml-text.h"

#include "tools/json-text.h"

#define INDENT 2

static bool is_empty(JsonSpan v) {
        JsonIterator i = json_iterate(v);
        JsonSpan key, value;

        return !json_next(&i, &key, &value);
}

/* It has lines of its own. */
static bool has_parts(JsonSpan v) {
        JsonKind kind = json_kind(v);

        return (kind == JSON_OBJECT || kind == JSON_ARRAY) && !is_empty(v);
}

static void put_spaces(GString *out, size_t n) {
        g_string_append_printf(out, "%*s", (int) n, "");
}

static void put_scalar(GString *out, JsonSpan v) {
        g_autofree char *text = json_text(v, JSON_TEXT_LETTERS);

        g_string_append(out, text);
        g_string_append_c(out, '\n');
}

static void put_array(GString *out, JsonSpan array, size_t indent);

/* begun: the first line has its spaces (or its dash) already. */
static void put_object(GString *out, JsonSpan object, size_t indent, bool begun) {
        JsonIterator i = json_iterate(object);
        JsonSpan key, value;

        for (; json_next(&i, &key, &value); begun = false) {
                g_autofree char *name = NULL;
                size_t size;

                if (json_unescape(key, &name, &size) < 0)
                        continue;
                put_spaces(out, begun ? 0 : indent);
                g_string_append_printf(out, "%s:", name);
                if (!has_parts(value)) {
                        g_string_append_c(out, ' ');
                        put_scalar(out, value);
                        continue;
                }
                g_string_append_c(out, '\n');
                if (json_kind(value) == JSON_OBJECT)
                        put_object(out, value, indent + INDENT, false);
                else
                        put_array(out, value, indent + INDENT);
        }
}

/* What an array has in an array is one line. */
static void put_array(GString *out, JsonSpan array, size_t indent) {
        JsonIterator i = json_iterate(array);
        JsonSpan key, value;

        while (json_next(&i, &key, &value)) {
                put_spaces(out, indent);
                g_string_append(out, "- ");
                if (has_parts(value) && json_kind(value) == JSON_OBJECT)
                        put_object(out, value, indent + INDENT, true);
                else
                        put_scalar(out, value);
        }
}

void yaml_text_append(GString *out, JsonSpan value, size_t indent) {
        if (json_kind(value) == JSON_OBJECT)
                put_object(out, value, indent, false);
        else {
                put_spaces(out, indent);
                put_scalar(out, value);
        }
}
