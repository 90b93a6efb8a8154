/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of the field tables for people and editors: JSON Schema of either form, reference pages.
 * Loop thread. */

#include <stdio.h>

#include "daemon/config-tables.h"

/* if selector is this type, then the object of its keys. */
static void write_device(JsonWriter *w, const DeviceType *type, ConfForm form) {
        g_autofree ConfField *fields = config_device_fields(type, form);

        json_open_object(w);
        json_key(w, "if");
        json_open_object(w);
        json_key(w, "properties");
        json_open_object(w);
        json_key(w, config_selector(form));
        json_open_object(w);
        json_member_string(w, "const", config_selector_value(type, form));
        json_close_object(w);
        json_close_object(w);
        json_close_object(w);

        json_key(w, "then");
        json_open_object(w);
        if (type->help)
                json_member_string(w, "description", type->help);
        conf_schema_write(w, fields, form);
        json_close_object(w);
        json_close_object(w);
}

static void write_devices(JsonWriter *w, ConfForm form) {
        g_autofree const char **values = config_selector_values(form);

        json_open_object(w);
        json_member_string(w, "type", "object");
        json_key(w, "properties");
        json_open_object(w);
        json_key(w, config_selector(form));
        json_open_object(w);
        json_key(w, "enum");
        json_open_array(w);
        for (size_t i = 0; values[i]; i++)
                json_string(w, values[i]);
        json_close_array(w);
        json_close_object(w);
        /* The other form's selector: a file has one form. */
        json_key(w, form == CONF_FORM_HAT ? "type" : "module");
        json_bool(w, false);
        json_close_object(w);
        json_key(w, "required");
        json_open_array(w);
        json_string(w, config_selector(form));
        json_close_array(w);
        json_key(w, "allOf");
        json_open_array(w);
        for (size_t i = 0; device_types[i]; i++)
                if (config_selector_value(device_types[i], form))
                        write_device(w, device_types[i], form);
        json_close_array(w);
        json_close_object(w);
}

static void write_schema(JsonWriter *w, ConfForm form) {
        json_open_object(w);
        json_member_string(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
        json_member_string(w, "title",
                           form == CONF_FORM_HAT ? "Configuration of gatewayd, hat form"
                                                 : "Configuration of gatewayd, native form");
        conf_schema_write(w, config_main_fields(form), form);
        json_key(w, "$defs");
        json_open_object(w);
        json_key(w, "device");
        write_devices(w, form);
        json_close_object(w);
        json_close_object(w);
}

/* The writer's one line, with a line and an indentation for each member: for people and for diffs.
 * Strings are left alone. */
static void print_indented(const char *text, FILE *stream) {
        unsigned depth = 0;
        bool string = false;

        for (const char *p = text; *p; p++) {
                bool empty = (p[0] == '{' && p[1] == '}') || (p[0] == '[' && p[1] == ']');

                if (string) {
                        fputc(*p, stream);
                        if (*p == '\\')
                                fputc(*++p, stream);
                        else
                                string = *p != '"';
                } else if (empty) {
                        fputc(*p++, stream);
                        fputc(*p, stream);
                } else if (*p == '{' || *p == '[') {
                        depth++;
                        fprintf(stream, "%c\n%*s", *p, (int) depth * 2, "");
                } else if (*p == '}' || *p == ']') {
                        depth--;
                        fprintf(stream, "\n%*s%c", (int) depth * 2, "", *p);
                } else if (p[0] == ',' && p[1] == ' ') {
                        p++;
                        fprintf(stream, ",\n%*s", (int) depth * 2, "");
                } else {
                        fputc(*p, stream);
                        string = *p == '"';
                }
        }
        fputc('\n', stream);
}

void config_print_schema(ConfForm form, FILE *stream) {
        g_autofree char *text = NULL;
        JsonWriter w;

        json_writer_init_growing(&w);
        write_schema(&w, form);
        text = json_writer_steal(&w);
        print_indented(text, stream);
}

void config_print_reference(FILE *stream) {
        conf_reference_write(stream, "Main keys", config_main_fields(CONF_FORM_NATIVE));
        for (size_t i = 0; device_types[i]; i++) {
                g_autofree ConfField *fields = config_device_fields(device_types[i], CONF_FORM_NATIVE);

                fputc('\n', stream);
                conf_reference_write(stream, device_types[i]->name, fields);
        }
}
