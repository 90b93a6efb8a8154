/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema 2020-12 from field tables, for editors. It accepts what conf_parse() accepts, but for
 * lengths (it counts characters, we bytes) and for what verify() checks between fields. Loop thread. */

#include <math.h>

#include "base/conf-private.h"

static void write_value(JsonWriter *w, const ConfField *field, ConfForm form);

static void write_strings(JsonWriter *w, const char *key, const char *const *words, bool null) {
        json_key(w, key);
        json_open_array(w);
        for (size_t i = 0; words[i]; i++)
                json_string(w, words[i]);
        if (null)
                json_null(w);
        json_close_array(w);
}

static void write_type(JsonWriter *w, const ConfField *field, const char *type) {
        if (field->flags & CONF_NULLABLE)
                write_strings(w, "type", (const char *const[]) { type, "null", NULL }, false);
        else
                json_member_string(w, "type", type);
}

static void write_limit(JsonWriter *w, const char *key, double value) {
        if (!isfinite(value))
                return;
        json_key(w, key);
        if (fabs(value) < 0x1p53 && !islessgreater(trunc(value), value))
                json_int(w, (int64_t) value);
        else
                json_double(w, value);
}

static void write_range(JsonWriter *w, const ConfField *field, const char *min, const char *max) {
        ConfRange range = conf_field_range(field);

        if (!range.any)
                return;
        write_limit(w, min, range.min);
        write_limit(w, max, range.max);
}

static void write_documentation(JsonWriter *w, const ConfField *field, ConfForm form) {
        const char *fallback = conf_field_fallback(field, form);

        if (field->help && field->unit) {
                g_autofree char *text = g_strdup_printf("%s (%s)", field->help, field->unit);

                json_member_string(w, "description", text);
        } else if (field->help)
                json_member_string(w, "description", field->help);
        if (fallback) {
                json_key(w, "default");
                json_raw(w, (JsonSpan) { fallback, strlen(fallback) });
        }
}

/* ---- rules between the keys of one object ------------------------------------------------------------ */

static void write_forbidden(JsonWriter *w, const ConfField *fields, const char *instead) {
        json_key(w, "not");
        json_open_object(w);
        json_key(w, "anyOf");
        json_open_array(w);
        for (const ConfField *f = fields; f->name; f++)
                if (f->instead && streq(f->instead, instead)) {
                        json_open_object(w);
                        write_strings(w, "required", (const char *const[]) { f->name, NULL }, false);
                        json_close_object(w);
                }
        json_close_array(w);
        json_close_object(w);
}

/* Either the key `instead` alone, or all that name it. */
static void write_alternative(JsonWriter *w, const ConfField *fields, const char *instead) {
        json_open_object(w);
        json_key(w, "oneOf");
        json_open_array(w);

        json_open_object(w);
        write_strings(w, "required", (const char *const[]) { instead, NULL }, false);
        write_forbidden(w, fields, instead);
        json_close_object(w);

        json_open_object(w);
        json_key(w, "required");
        json_open_array(w);
        for (const ConfField *f = fields; f->name; f++)
                if (f->instead && streq(f->instead, instead))
                        json_string(w, f->name);
        json_close_array(w);
        json_key(w, "not");
        json_open_object(w);
        write_strings(w, "required", (const char *const[]) { instead, NULL }, false);
        json_close_object(w);
        json_close_object(w);

        json_close_array(w);
        json_close_object(w);
}

static void write_one_of(JsonWriter *w, const ConfField *fields) {
        json_open_object(w);
        json_key(w, "oneOf");
        json_open_array(w);
        for (const ConfField *f = fields; f->name; f++)
                if (f->flags & CONF_ONE_OF) {
                        json_open_object(w);
                        write_strings(w, "required", (const char *const[]) { f->name, NULL }, false);
                        json_close_object(w);
                }
        json_close_array(w);
        json_close_object(w);
}

static bool is_first_alternative(const ConfField *fields, const ConfField *field) {
        if (!field->instead)
                return false;
        for (const ConfField *f = fields; f != field; f++)
                if (f->instead && streq(f->instead, field->instead))
                        return false;
        return true;
}

static void write_rules(JsonWriter *w, const ConfField *fields) {
        bool one_of = false, alternatives = false;

        for (const ConfField *f = fields; f->name; f++) {
                one_of = one_of || (f->flags & CONF_ONE_OF);
                alternatives = alternatives || f->instead;
        }
        if (!one_of && !alternatives)
                return;

        json_key(w, "allOf");
        json_open_array(w);
        if (one_of)
                write_one_of(w, fields);
        for (const ConfField *f = fields; f->name; f++)
                if (is_first_alternative(fields, f))
                        write_alternative(w, fields, f->instead);
        json_close_array(w);
}

/* ---- objects ----------------------------------------------------------------------------------------- */

static void write_required(JsonWriter *w, const ConfField *fields, const char *tag, ConfForm form) {
        bool any = tag;

        for (const ConfField *f = fields; f->name; f++)
                any = any || (conf_field_required(f, form) && !f->instead);
        if (!any)
                return;

        json_key(w, "required");
        json_open_array(w);
        if (tag)
                json_string(w, tag);
        for (const ConfField *f = fields; f->name; f++)
                if (conf_field_required(f, form) && !f->instead)
                        json_string(w, f->name);
        json_close_array(w);
}

/* tag, value: the key that chose these fields, of a variant; else NULL. */
static void write_members(JsonWriter *w, const ConfField *fields, const char *tag, const char *value,
                          ConfForm form) {
        bool open = form == CONF_FORM_HAT;

        json_key(w, "properties");
        json_open_object(w);
        if (tag) {
                json_key(w, tag);
                json_open_object(w);
                json_member_string(w, "const", value);
                json_close_object(w);
        }
        for (const ConfField *f = fields; f->name; f++)
                if (conf_field_is_other(f))
                        open = true;
                else {
                        json_key(w, f->name);
                        write_value(w, f, form);
                }
        json_close_object(w);

        write_required(w, fields, tag, form);
        if (!open) {
                json_key(w, "patternProperties");
                json_open_object(w);
                json_key(w, "^x-");
                json_bool(w, true);
                json_close_object(w);
                json_key(w, "additionalProperties");
                json_bool(w, false);
        }
        write_rules(w, fields);
}

void conf_schema_write(JsonWriter *w, const ConfField *fields, ConfForm form) {
        json_member_string(w, "type", "object");
        write_members(w, fields, NULL, NULL, form);
}

static void write_variant(JsonWriter *w, const ConfField *field, const ConfVariant *variant, ConfForm form) {
        json_open_object(w);
        json_key(w, "if");
        json_open_object(w);
        json_member_string(w, "type", "object");
        json_key(w, "properties");
        json_open_object(w);
        json_key(w, field->tag);
        json_open_object(w);
        json_member_string(w, "const", variant->name);
        json_close_object(w);
        json_close_object(w);
        json_close_object(w);

        json_key(w, "then");
        json_open_object(w);
        if (variant->help)
                json_member_string(w, "description", variant->help);
        write_members(w, variant->fields, field->tag, variant->name, form);
        json_close_object(w);
        json_close_object(w);
}

static void write_variants(JsonWriter *w, const ConfField *field, ConfForm form) {
        g_autofree const char **names = conf_variant_names(field);

        json_key(w, "properties");
        json_open_object(w);
        json_key(w, field->tag);
        json_open_object(w);
        write_strings(w, "enum", names, false);
        json_close_object(w);
        json_close_object(w);
        write_strings(w, "required", (const char *const[]) { field->tag, NULL }, false);

        json_key(w, "allOf");
        json_open_array(w);
        for (const ConfVariant *v = field->variants; v->name; v++)
                write_variant(w, field, v, form);
        json_close_array(w);
}

/* ---- values ------------------------------------------------------------------------------------------ */

static void write_number(JsonWriter *w, const ConfField *field) {
        write_type(w, field, field->type == CONF_TYPE_INTEGER ? "integer" : "number");
        write_range(w, field, field->flags & CONF_EXCLUSIVE ? "exclusiveMinimum" : "minimum", "maximum");
}

static void write_text(JsonWriter *w, const ConfField *field, ConfForm form) {
        write_type(w, field, "string");
        write_range(w, field, "minLength", "maxLength");
        if (field->pattern)
                json_member_string(w, "pattern", field->pattern);
        else if (field->flags & CONF_NAME)
                json_member_string(w, "pattern",
                                   form == CONF_FORM_HAT ? "^[^\\x00-\\x1f\\x7f-\\x9f]*$"
                                                         : "^[^/?*\\x00-\\x1f\\x7f-\\x9f]*$");
}

static void write_value(JsonWriter *w, const ConfField *field, ConfForm form) {
        json_open_object(w);
        write_documentation(w, field, form);
        switch (field->type) {
        case CONF_TYPE_BOOL:
                write_type(w, field, "boolean");
                break;
        case CONF_TYPE_INTEGER:
        case CONF_TYPE_NUMBER:
        case CONF_TYPE_SECONDS:
                write_number(w, field);
                break;
        case CONF_TYPE_STRING:
                write_text(w, field, form);
                break;
        case CONF_TYPE_ENUM:
                write_strings(w, "enum", field->names, field->flags & CONF_NULLABLE);
                break;
        case CONF_TYPE_OBJECT:
                write_type(w, field, "object");
                write_members(w, field->fields, NULL, NULL, form);
                break;
        case CONF_TYPE_ARRAY:
                write_type(w, field, "array");
                write_range(w, field, "minItems", "maxItems");
                json_key(w, "items");
                write_value(w, field->element, form);
                break;
        case CONF_TYPE_VARIANT:
                write_type(w, field, "object");
                write_variants(w, field, form);
                break;
        case CONF_TYPE_ANY:
                if (field->ref)
                        json_member_string(w, "$ref", field->ref);
                break;
        case CONF_TYPE_JSON:
                break;
        }
        json_close_object(w);
}
