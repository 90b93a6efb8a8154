/* SPDX-License-Identifier: Apache-2.0 */
/* From C structs back to what they were parsed from, by field tables. Loop thread. */

#include <inttypes.h>
#include <math.h>

#include "base/conf-private.h"

static char *string_text(const char *s) {
        JsonWriter w;

        json_writer_init_growing(&w);
        json_string(&w, s);
        return json_writer_steal(&w);
}

/* A value is there: not null, and not left out. */
static bool is_given(const ConfField *f, const void *at) {
        switch (f->type) {
        case CONF_TYPE_INTEGER:
                return !(f->flags & CONF_NULLABLE) || *(const int64_t *) at != f->null_value;
        case CONF_TYPE_NUMBER:
                return !isnan(*(const double *) at);
        case CONF_TYPE_SECONDS:
                return *(const usec_t *) at != USEC_INFINITY;
        case CONF_TYPE_STRING:
        case CONF_TYPE_JSON:
                return *(const char *const *) at != NULL;
        case CONF_TYPE_ENUM:
        case CONF_TYPE_VARIANT:
                return *(const int *) at >= 0;
        case CONF_TYPE_OBJECT:
                return !(f->flags & CONF_PRESENCE) || *(const bool *) at;
        case CONF_TYPE_ARRAY:
                return ((const ConfArray *) at)->items != NULL;
        case CONF_TYPE_ANY:
                return false;
        default:
                return true;
        }
}

/* Of what has no parts; NULL: it has. Caller frees. */
static char *scalar_text(const ConfField *f, const void *at) {
        switch (f->type) {
        case CONF_TYPE_BOOL:
                return g_strdup(*(const bool *) at ? "true" : "false");
        case CONF_TYPE_INTEGER:
                return g_strdup_printf("%" PRIi64, *(const int64_t *) at);
        case CONF_TYPE_NUMBER:
                return conf_format_number(*(const double *) at);
        case CONF_TYPE_SECONDS:
                return conf_format_number((double) *(const usec_t *) at / USEC_PER_SEC);
        case CONF_TYPE_STRING:
                return string_text(*(const char *const *) at);
        case CONF_TYPE_ENUM:
                return string_text(f->names[*(const int *) at]);
        case CONF_TYPE_JSON:
                return g_strdup(*(const char *const *) at);
        default:
                return NULL;
        }
}

static void write_parts(JsonWriter *w, const ConfField *f, const void *at) {
        const ConfArray *array = at;
        const ConfVariant *variant;

        switch (f->type) {
        case CONF_TYPE_ARRAY:
                json_open_array(w);
                for (size_t i = 0; i < array->n; i++) {
                        const void *item = (const uint8_t *) array->items + i * f->element_size;
                        g_autofree char *text = scalar_text(f->element, item);

                        if (text)
                                json_raw(w, (JsonSpan) { text, strlen(text) });
                        else
                                write_parts(w, f->element, item);
                }
                json_close_array(w);
                return;
        case CONF_TYPE_VARIANT:
                variant = &f->variants[*(const int *) at];
                json_open_object(w);
                json_member_string(w, f->tag, variant->name);
                conf_write_json(w, variant->fields, at);
                json_close_object(w);
                return;
        default:
                json_open_object(w);
                conf_write_json(w, f->fields, at);
                json_close_object(w);
        }
}

/* What a scalar is without its key, as far as that is a value; NULL: null, or nothing. */
static const char *absent_text(const ConfField *f) {
        if (f->fallback || (f->flags & CONF_NULLABLE))
                return f->fallback;
        switch (f->type) {
        case CONF_TYPE_BOOL:
                return "false";
        case CONF_TYPE_INTEGER:
        case CONF_TYPE_NUMBER:
                return "0";
        default:
                return NULL;
        }
}

static bool is_superfluous(const ConfField *f, bool given, const char *text) {
        if (f->flags & CONF_CREDENTIAL)
                return true;
        if (!given)
                return !(f->flags & CONF_NULLABLE) || !(f->fallback || (f->flags & CONF_REQUIRED));
        return !(f->flags & CONF_REQUIRED) && text && streq(text, absent_text(f) ?: "");
}

static void write_member(JsonWriter *w, const ConfField *f, const void *at) {
        bool given = is_given(f, at);
        g_autofree char *text = given ? scalar_text(f, at) : NULL;

        if (is_superfluous(f, given, text))
                return;

        json_key(w, f->name);
        if (!given)
                json_null(w);
        else if (text)
                json_raw(w, (JsonSpan) { text, strlen(text) });
        else
                write_parts(w, f, at);
}

void conf_write_json(JsonWriter *w, const ConfField *fields, const void *base) {
        for (const ConfField *f = fields; f->name; f++)
                write_member(w, f, (const uint8_t *) base + f->offset);
}
