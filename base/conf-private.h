/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of base/conf share: the node, the places of parsed fields, texts for people. Loop
 * thread. */
#pragma once

#include "base/conf.h"

/* Of the document's arena, immutable once the document is loaded. An alias is a copy of the subtree it
 * names, so that every node has one parent and one pointer; the copy's root stands where the alias
 * stands, what is below it where it is written. */
struct ConfNode {
        ConfKind kind;
        unsigned line, column;         /* from 1; columns in characters */
        unsigned key_line, key_column; /* in an object */
        unsigned index;                /* in an array */
        const ConfNode *parent;
        const char *key; /* in an object, else NULL */
        union {
                bool boolean;
                int64_t integer;
                struct {
                        double value;
                        const char *text; /* as it is written */
                } number;
                const char *string;
                struct {
                        ConfNode **items;
                        size_t n;
                } children;
        };
};

/* ---- scalars (conf-scalar.c) ------------------------------------------------------------------------- */

/* Sets kind and value of a plain scalar by the core schema. text: terminated, lives as long as the node. */
void conf_scalar_resolve(const char *text, ConfNode *node);
/* Whether a YAML 1.1 reader takes this plain scalar for something else. */
bool conf_scalar_differs(const char *text, const ConfNode *node);
/* For one that differs: a sentence that says so and how to write it; secret: without the value. Caller
 * frees. */
char *conf_scalar_difference(const char *text, const ConfNode *node, bool secret);

/* ---- texts (conf-text.c) ----------------------------------------------------------------------------- */

/* "value" in double quotes, without control characters, cut when long. Caller frees. */
char *conf_quote(const char *text);
/* A number as people write it: the shortest text that reads back as the same. Caller frees. */
char *conf_format_number(double value);
/* Appends text with control characters as escapes. */
void conf_append_visible(GString *out, const char *text);
/* `"abc"`, `70000`, `null`, `an object`: what stands at a node. Caller frees. */
char *conf_describe(const ConfNode *node);
/* `an integer from 1 to 65535`: what a field wants. Caller frees. */
char *conf_expected(const ConfField *field);
/* `"a", "b"` of NULL-terminated words. Caller frees. */
char *conf_join_quoted(const char *const *words);
/* The tags of a variant, NULL-terminated. Caller frees the array, not the words. */
const char **conf_variant_names(const ConfField *field);

/* ---- errors (conf-errors.c) -------------------------------------------------------------------------- */

/* Further messages are only counted: their texts need not be made. */
bool conf_errors_full(const ConfErrors *e);
/* Keeps the document of a tree until errors are freed. */
void conf_errors_keep(ConfErrors *e, ConfDocument *d);
ConfDocument *conf_document_ref(ConfDocument *d);
/* At the object, with the pointer of a key that is missing there. */
void conf_error_absent(ConfErrors *e, ConfSeverity severity, const ConfNode *object, const char *key,
                       const char *format, ...) _printf_(5, 6);
/* Where a field of a parsed struct was given. NULL: unknown. A field that was not given has a node of
 * kind CONF_NULL at its object's position (conf_errors_node_absent()). */
void conf_errors_set_place(ConfErrors *e, const void *field, const ConfNode *node);
const ConfNode *conf_errors_get_place(const ConfErrors *e, const void *field);
ConfNode *conf_errors_node_absent(ConfErrors *e, const ConfNode *object, const char *key);
/* JSON pointer of a node, cut when very long. Caller frees. */
char *conf_node_pointer(const ConfNode *n);

/* ---- field tables (conf-parse.c) --------------------------------------------------------------------- */

typedef struct ConfRange {
        bool any; /* there is a range */
        double min, max;
        bool exclusive;
} ConfRange;
ConfRange conf_field_range(const ConfField *field);
static inline bool conf_field_is_other(const ConfField *field) {
        return streq(field->name, "*");
}
/* Whether the key is needed in this form, `instead` left aside. */
static inline bool conf_field_required(const ConfField *field, ConfForm form) {
        return (field->flags & CONF_REQUIRED) ||
               ((field->flags & CONF_HAT_REQUIRED) && form == CONF_FORM_HAT);
}
/* The default in this form; NULL: none. */
const char *conf_field_fallback(const ConfField *field, ConfForm form);
/* A node with the value of fallback text. */
void conf_fallback_node(const char *fallback, ConfArena *arena, ConfNode *ret);
