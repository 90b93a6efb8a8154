/* SPDX-License-Identifier: Apache-2.0 */
/* From the document tree to C structs, by field tables. Everything wrong is reported, and parsing goes
 * on. Loop thread. */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/bounds.h"
#include "base/conf-private.h"
#include "base/secret.h"

#define STORED_MAX 1000000000000000LL /* 10^15: integers out of range are stored within it */

typedef struct Parser {
        ConfForm form;
        ConfArena *arena;
        ConfErrors *errors;
        bool holes; /* some field of the struct holds no value */
} Parser;

static void parse_value(Parser *p, const ConfNode *node, const ConfField *field, void *at);
static void parse_object(Parser *p, const ConfNode *object, const ConfField *fields, const char *tag,
                         void *base);
static void set_absent(Parser *p, const ConfNode *object, const ConfField *field, void *at);

/* ---- ranges ------------------------------------------------------------------------------------------ */

ConfRange conf_field_range(const ConfField *f) {
        ConfRange r = { .min = -INFINITY, .max = INFINITY, .exclusive = f->flags & CONF_EXCLUSIVE };
        bool given = islessgreater(f->min, 0) || islessgreater(f->max, 0) || r.exclusive;

        if (given) {
                r.any = true;
                r.min = f->min;
                if (f->max > f->min)
                        r.max = f->max;
        }
        if (f->type == CONF_TYPE_SECONDS) {
                r.any = true;
                r.min = fmax(r.min, 0);
                if (isinf(r.max))
                        r.max = CONF_SECONDS_MAX;
        }
        return r;
}

static bool in_range(const ConfField *f, double value) {
        ConfRange r = conf_field_range(f);

        if (!r.any)
                return true;
        return (r.exclusive ? value > r.min : value >= r.min) && value <= r.max;
}

/* ---- reports ----------------------------------------------------------------------------------------- */

static void report_value(Parser *p, ConfSeverity severity, const ConfNode *node, const ConfField *field) {
        static const char *const kinds[] = { "null",     "a boolean", "an integer", "a number",
                                             "a string", "an array",  "an object" };
        g_autofree char *expected = conf_expected(field), *got = NULL;

        if (field->flags & CONF_CREDENTIAL)
                got = g_strdup(kinds[node->kind]);
        else
                got = conf_describe(node);
        conf_error(p->errors, severity, node, "expected %s, got %s", expected, got);
        if (severity >= CONF_ERROR)
                p->holes = true;
}

static void report_word(Parser *p, const ConfNode *node, const char *const *words) {
        g_autofree char *expected = conf_join_quoted(words), *got = conf_describe(node);
        const char *nearest = node->kind == CONF_STRING ? conf_nearest(node->string, words) : NULL;

        conf_error(p->errors, CONF_ERROR, node, "expected %s%s, got %s%s%s%s",
                   words[0] && words[1] ? "one of " : "", expected, got, nearest ? ", did you mean \"" : "",
                   nearest ?: "", nearest ? "\"?" : "");
        p->holes = true;
}

static void report_missing(Parser *p, const ConfNode *object, const ConfField *field) {
        g_autofree char *expected = conf_expected(field);

        if (field->instead)
                conf_error_absent(p->errors, CONF_ERROR, object, field->name,
                                  "required key is missing: expected %s (or the key \"%s\" in its place)",
                                  expected, field->instead);
        else
                conf_error_absent(p->errors, CONF_ERROR, object, field->name,
                                  "required key is missing: expected %s", expected);
        p->holes = true;
}

/* ---- credentials ------------------------------------------------------------------------------------- */

static int credential_read(const char *id, char **ret) {
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        g_autofree char *path = NULL;

        if (!folder)
                return -ENXIO;
        if (id[0] == '\0' || id[0] == '.' || strchr(id, '/'))
                return -EINVAL;

        path = g_build_filename(folder, id, NULL);
        return secret_read(path, ret);
}

static const char *credential_problem(int error) {
        switch (error) {
        case -ENXIO:
                return "$CREDENTIALS_DIRECTORY is not set";
        case -EINVAL:
                return "not the name of a credential";
        default:
                return secret_problem(error);
        }
}

static void parse_credential(Parser *p, const ConfNode *node, const char **at) {
        g_autofree char *secret = NULL, *quoted = NULL;
        const char *id = node->string + strlen("credential:");
        int r;

        r = credential_read(id, &secret);
        if (r < 0) {
                quoted = conf_quote(id);
                conf_error(p->errors, CONF_ERROR, node, "credential %s cannot be read: %s", quoted,
                           credential_problem(r));
                p->holes = true;
                return;
        }
        *at = conf_arena_strdup(p->arena, secret);
}

/* ---- scalars ----------------------------------------------------------------------------------------- */

static bool node_number(const ConfNode *node, double *ret) {
        if (node->kind == CONF_INTEGER)
                *ret = (double) node->integer;
        else if (node->kind == CONF_NUMBER)
                *ret = node->number.value;
        else
                return false;
        return true;
}

static void parse_integer(Parser *p, const ConfNode *node, const ConfField *field, int64_t *at) {
        double value;

        if (!node_number(node, &value) || islessgreater(trunc(value), value)) {
                report_value(p, CONF_ERROR, node, field);
                return;
        }

        /* 2^63 as a double is also what the largest int64 rounds to. */
        if (!in_range(field, value) || (node->kind == CONF_NUMBER && fabs(value) >= 0x1p63)) {
                report_value(p, CONF_RANGE, node, field);
                *at = value > STORED_MAX ? STORED_MAX : value < -STORED_MAX ? -STORED_MAX : (int64_t) value;
                return;
        }
        *at = node->kind == CONF_INTEGER ? node->integer : (int64_t) value;
}

static void parse_number(Parser *p, const ConfNode *node, const ConfField *field, double *at) {
        if (!node_number(node, at)) {
                report_value(p, CONF_ERROR, node, field);
                return;
        }
        if (!in_range(field, *at))
                report_value(p, CONF_RANGE, node, field);
}

static void parse_seconds(Parser *p, const ConfNode *node, const ConfField *field, usec_t *at) {
        double value;

        if (!node_number(node, &value)) {
                report_value(p, CONF_ERROR, node, field);
                return;
        }
        if (!in_range(field, value)) {
                report_value(p, CONF_RANGE, node, field);
                value = fmin(fmax(value, 0), conf_field_range(field).max);
        }
        *at = (usec_t) llround(value * (double) USEC_PER_SEC);
        /* More than nothing stays more than nothing. */
        if (*at == 0 && value > 0)
                *at = 1;
}

static void check_name(Parser *p, const ConfNode *node) {
        g_autofree char *quoted = conf_quote(node->string);

        for (const char *c = node->string; *c; c = g_utf8_next_char(c))
                if (g_unichar_iscntrl(g_utf8_get_char(c))) {
                        conf_error(p->errors, CONF_ERROR, node,
                                   "expected a name without control characters, got %s", quoted);
                        return;
                }
        if (!strpbrk(node->string, "/?*"))
                return;
        if (p->form == CONF_FORM_HAT)
                conf_error(p->errors, CONF_WARNING, node,
                           "the name %s holds \"/\", \"?\" or \"*\", which event types use themselves",
                           quoted);
        else
                conf_error(p->errors, CONF_ERROR, node,
                           "expected a name without \"/\", \"?\" and \"*\", got %s", quoted);
}

static void parse_string(Parser *p, const ConfNode *node, const ConfField *field, const char **at) {
        if (node->kind != CONF_STRING) {
                report_value(p, CONF_ERROR, node, field);
                return;
        }
        if ((field->flags & CONF_CREDENTIAL) && g_str_has_prefix(node->string, "credential:")) {
                parse_credential(p, node, at);
                return;
        }

        if (!in_range(field, (double) strlen(node->string))) {
                g_autofree char *expected = conf_expected(field), *got = conf_quote(node->string);

                conf_error(p->errors, CONF_RANGE, node, "expected %s, got %zu bytes%s%s", expected,
                           strlen(node->string), field->flags & CONF_CREDENTIAL ? "" : ": ",
                           field->flags & CONF_CREDENTIAL ? "" : got);
        } else if (field->flags & CONF_NAME)
                check_name(p, node);
        *at = conf_arena_strdup(p->arena, node->string);
}

static void parse_enum(Parser *p, const ConfNode *node, const ConfField *field, int *at) {
        *at = -1;
        for (int i = 0; node->kind == CONF_STRING && field->names[i]; i++)
                if (streq(field->names[i], node->string)) {
                        *at = i;
                        return;
                }
        report_word(p, node, field->names);
}

static void parse_json(Parser *p, const ConfNode *node, const char **at) {
        g_autofree char *text = NULL;
        JsonWriter w;

        json_writer_init_growing(&w);
        conf_node_write_json(node, &w);
        text = json_writer_steal(&w);
        *at = conf_arena_strdup(p->arena, text);
}

/* ---- arrays, variants -------------------------------------------------------------------------------- */

static void parse_array(Parser *p, const ConfNode *node, const ConfField *field, ConfArray *at) {
        size_t n;
        uint8_t *items;

        if (node->kind != CONF_ARRAY) {
                report_value(p, CONF_ERROR, node, field);
                return;
        }

        n = node->children.n;
        if (!in_range(field, (double) n)) {
                report_value(p, CONF_RANGE, node, field);
                if (n > field->max)
                        return;
        }

        items = conf_arena_alloc(p->arena, MAX(n * field->element_size, 1U));
        *at = (ConfArray) { .items = items, .n = n };
        for (size_t i = 0; i < n; i++)
                parse_value(p, node->children.items[i], field->element, items + i * field->element_size);
}

static void parse_variant(Parser *p, const ConfNode *node, const ConfField *field, int *at) {
        g_autofree const char **names = conf_variant_names(field);
        const ConfNode *tag;

        *at = -1;
        if (node->kind != CONF_OBJECT) {
                report_value(p, CONF_ERROR, node, field);
                return;
        }

        tag = conf_node_get(node, field->tag);
        if (!tag) {
                const ConfField wanted = { .name = field->tag, .type = CONF_TYPE_ENUM, .names = names };

                report_missing(p, node, &wanted);
                return;
        }

        conf_errors_set_place(p->errors, at, tag);
        for (int i = 0; tag->kind == CONF_STRING && names[i]; i++)
                if (streq(names[i], tag->string)) {
                        *at = i;
                        parse_object(p, node, field->variants[i].fields, field->tag, at);
                        return;
                }
        report_word(p, tag, names);
}

/* ---- values ------------------------------------------------------------------------------------------ */

/* What null gives, and absence without a default. */
static void set_null(const ConfField *field, void *at) {
        switch (field->type) {
        case CONF_TYPE_INTEGER:
                *(int64_t *) at = field->flags & CONF_NULLABLE ? field->null_value : 0;
                break;
        case CONF_TYPE_NUMBER:
                *(double *) at = field->flags & CONF_NULLABLE ? NAN : 0;
                break;
        case CONF_TYPE_SECONDS:
                *(usec_t *) at = USEC_INFINITY;
                break;
        case CONF_TYPE_ENUM:
        case CONF_TYPE_VARIANT:
                *(int *) at = -1;
                break;
        default: /* zeroed */
                break;
        }
}

static void report_not_object(Parser *p, const ConfNode *node, const ConfField *field) {
        bool needed = false;

        for (const ConfField *f = field->fields; f->name; f++)
                needed = needed || conf_field_required(f, p->form) || f->instead || (f->flags & CONF_ONE_OF);
        if (node->kind == CONF_NULL && !needed) {
                conf_error(p->errors, CONF_ERROR, node,
                           "expected an object, got null: write {} for the defaults");
                p->holes = true;
        } else
                report_value(p, CONF_ERROR, node, field);
}

static void parse_object_field(Parser *p, const ConfNode *node, const ConfField *field, void *at) {
        if (node->kind != CONF_OBJECT) {
                report_not_object(p, node, field);
                return;
        }
        parse_object(p, node, field->fields, NULL, at);
        if (field->flags & CONF_PRESENCE) {
                conf_errors_set_place(p->errors, at, node);
                *(bool *) at = true;
        }
}

static void parse_value(Parser *p, const ConfNode *node, const ConfField *field, void *at) {
        if (field->type == CONF_TYPE_ANY)
                return;

        conf_errors_set_place(p->errors, at, node);
        if (node->kind == CONF_NULL && (field->flags & CONF_NULLABLE)) {
                set_null(field, at);
                return;
        }

        switch (field->type) {
        case CONF_TYPE_BOOL:
                if (node->kind == CONF_BOOL)
                        *(bool *) at = node->boolean;
                else
                        report_value(p, CONF_ERROR, node, field);
                break;
        case CONF_TYPE_INTEGER:
                parse_integer(p, node, field, at);
                break;
        case CONF_TYPE_NUMBER:
                parse_number(p, node, field, at);
                break;
        case CONF_TYPE_SECONDS:
                parse_seconds(p, node, field, at);
                break;
        case CONF_TYPE_STRING:
                parse_string(p, node, field, at);
                break;
        case CONF_TYPE_ENUM:
                parse_enum(p, node, field, at);
                break;
        case CONF_TYPE_OBJECT:
                parse_object_field(p, node, field, at);
                break;
        case CONF_TYPE_ARRAY:
                parse_array(p, node, field, at);
                break;
        case CONF_TYPE_VARIANT:
                parse_variant(p, node, field, at);
                break;
        case CONF_TYPE_JSON:
                parse_json(p, node, at);
                break;
        case CONF_TYPE_ANY:
                break;
        }
}

const char *conf_field_fallback(const ConfField *field, ConfForm form) {
        return form == CONF_FORM_HAT && field->hat_fallback ? field->hat_fallback : field->fallback;
}

void conf_fallback_node(const char *fallback, ConfArena *arena, ConfNode *ret) {
        if (fallback[0] == '[' || fallback[0] == '{')
                ret->kind = fallback[0] == '[' ? CONF_ARRAY : CONF_OBJECT;
        else if (fallback[0] == '"') {
                char *text = conf_arena_strdup(arena, fallback + 1);

                text[strlen(text) - 1] = '\0';
                ret->kind = CONF_STRING;
                ret->string = text;
        } else
                conf_scalar_resolve(fallback, ret);
}

/* What an object that is not there would give: the values of absence all the way down. */
static void set_absent_object(Parser *p, const ConfNode *node, const ConfField *fields, void *base) {
        for (const ConfField *f = fields; f->name; f++)
                if (!conf_field_is_other(f) && f->type != CONF_TYPE_ANY)
                        set_absent(p, node, f, (uint8_t *) base + f->offset);
}

/* The value when the key was not given, and its place: the object, with the key's pointer. */
static void set_absent(Parser *p, const ConfNode *object, const ConfField *field, void *at) {
        const char *fallback = conf_field_fallback(field, p->form);
        ConfNode *node;

        if (field->type == CONF_TYPE_ANY)
                return;

        node = conf_errors_node_absent(p->errors, object, field->name);
        conf_errors_set_place(p->errors, at, node);
        set_null(field, at);
        if (fallback) {
                conf_fallback_node(fallback, p->arena, node);
                if (field->type != CONF_TYPE_OBJECT)
                        parse_value(p, node, field, at);
        }
        if (field->type == CONF_TYPE_OBJECT) {
                set_absent_object(p, node, field->fields, at);
                if (field->flags & CONF_PRESENCE)
                        conf_errors_set_place(p->errors, at, node);
        }
}

/* ---- objects ----------------------------------------------------------------------------------------- */

static bool is_known(const ConfField *fields, const char *tag, const char *key) {
        if (tag && streq(tag, key))
                return true;
        for (const ConfField *f = fields; f->name; f++)
                if (conf_field_is_other(f) || streq(f->name, key))
                        return true;
        return false;
}

static void report_unknown(Parser *p, const ConfNode *node, const ConfField *fields, const char *tag) {
        bool hat = p->form == CONF_FORM_HAT;
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        g_autofree char *key = NULL, *known = NULL;
        const char *nearest;

        if (conf_errors_full(p->errors)) {
                conf_error_key(p->errors, hat ? CONF_WARNING : CONF_ERROR, node, "unknown key");
                return;
        }

        key = conf_quote(node->key);
        for (const ConfField *f = fields; f->name; f++)
                g_ptr_array_add(names, (char *) f->name);
        if (tag)
                g_ptr_array_add(names, (char *) tag);
        g_ptr_array_add(names, NULL);

        nearest = conf_nearest(node->key, (const char *const *) names->pdata);
        if (nearest)
                conf_error_key(p->errors, hat ? CONF_WARNING : CONF_ERROR, node,
                               "unknown key %s%s, did you mean \"%s\"?", key, hat ? " is ignored" : "",
                               nearest);
        else if (hat)
                conf_error_key(p->errors, CONF_WARNING, node, "unknown key %s is ignored", key);
        else {
                known = conf_join_quoted((const char *const *) names->pdata);
                conf_error_key(p->errors, CONF_ERROR, node, "unknown key %s, expected one of %s", key,
                               known);
        }
}

static void check_keys(Parser *p, const ConfNode *object, const ConfField *fields, const char *tag) {
        for (size_t i = 0; i < object->children.n; i++) {
                const ConfNode *node = object->children.items[i];

                if (!g_str_has_prefix(node->key, "x-") && !is_known(fields, tag, node->key))
                        report_unknown(p, node, fields, tag);
        }
}

static void check_one_of(Parser *p, const ConfNode *object, const ConfField *fields) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        g_autofree char *joined = NULL;
        const ConfNode *first = NULL;
        bool second = false;

        for (const ConfField *f = fields; f->name; f++)
                if (f->flags & CONF_ONE_OF)
                        g_ptr_array_add(names, (char *) f->name);
        if (names->len == 0)
                return;
        g_ptr_array_add(names, NULL);
        joined = conf_join_quoted((const char *const *) names->pdata);

        /* In the order of the file: the first one counts, every further one is wrong. */
        for (size_t i = 0; i < object->children.n; i++) {
                const ConfNode *node = object->children.items[i];

                if (!g_strv_contains((const char *const *) names->pdata, node->key))
                        continue;
                if (first)
                        conf_error_key(p->errors, CONF_ERROR, node,
                                       "expected exactly one of %s, and \"%s\" is given already", joined,
                                       first->key);
                second = second || first;
                first = first ?: node;
        }
        if (!first)
                conf_error(p->errors, CONF_ERROR, object, "expected exactly one of %s, got none", joined);
        if (!first || second)
                p->holes = true;
}

static void parse_field(Parser *p, const ConfNode *object, const ConfField *field, void *at) {
        const ConfNode *node = conf_node_get(object, field->name);
        const ConfNode *instead = field->instead ? conf_node_get(object, field->instead) : NULL;

        if (node && instead)
                conf_error(p->errors, CONF_ERROR, node,
                           "cannot be given together with \"%s\": leave one of them out", field->instead);
        if (node) {
                parse_value(p, node, field, at);
                return;
        }
        if (field->instead ? !instead : conf_field_required(field, p->form))
                report_missing(p, object, field);
        set_absent(p, object, field, at);
}

static void parse_object(Parser *p, const ConfNode *object, const ConfField *fields, const char *tag,
                         void *base) {
        for (const ConfField *f = fields; f->name; f++)
                if (!conf_field_is_other(f))
                        parse_field(p, object, f, (uint8_t *) base + f->offset);
        check_keys(p, object, fields, tag);
        check_one_of(p, object, fields);
}

int conf_parse(const ConfNode *object, const ConfField *fields, ConfForm form, ConfArena *arena, void *base,
               ConfErrors *errors) {
        size_t before = conf_errors_count(errors, CONF_ERROR) + conf_errors_count(errors, CONF_RANGE);
        Parser p = { .form = form, .arena = arena, .errors = errors };

        if (object->kind != CONF_OBJECT) {
                const ConfField wanted = { .type = CONF_TYPE_OBJECT };

                report_value(&p, CONF_ERROR, object, &wanted);
                return -EINVAL;
        }

        parse_object(&p, object, fields, NULL, base);
        if (p.holes)
                return -EINVAL;
        return conf_errors_count(errors, CONF_ERROR) + conf_errors_count(errors, CONF_RANGE) > before
                               ? -ERANGE
                               : 0;
}
