/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: a document tree with positions, errors that say where, and field tables that turn an
 * object of the tree into a C struct. The table is the only description of a key: parsing, ranges,
 * variants, defaults, JSON Schema and the reference page come from it. spec/config.md. Loop thread, at
 * start. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "base/json.h"
#include "base/macros.h"
#include "base/time.h"

typedef struct ConfDocument ConfDocument;
typedef struct ConfNode ConfNode;
typedef struct ConfErrors ConfErrors;
typedef struct ConfArena ConfArena;

/* ---- errors ------------------------------------------------------------------------------------------ */

typedef enum ConfSeverity {
        CONF_WARNING,
        CONF_RANGE, /* shown as an error; in the hat form it costs only its device */
        CONF_ERROR,
} ConfSeverity;

/* Collects everything of one run; file name and positions are kept, so it may outlive the document. */
ConfErrors *conf_errors_new(const char *file);
ConfErrors *conf_errors_free(ConfErrors *e);
DEFINE_CLEANUP(ConfErrors, conf_errors_free);

/* At the node; node NULL: the file as a whole. */
void conf_error(ConfErrors *e, ConfSeverity severity, const ConfNode *node, const char *format, ...) _printf_(4, 5);
/* At the key of a member of an object: what is wrong is that it is there. */
void conf_error_key(ConfErrors *e, ConfSeverity severity, const ConfNode *node, const char *format, ...) _printf_(4, 5);
/* At the value that conf_parse() stored in this field of a parsed struct: what verify() and claims()
 * have. */
void conf_error_at(ConfErrors *e, ConfSeverity severity, const void *field, const char *format, ...) _printf_(4, 5);
/* At the object that holds this field, with the pointer of the key that is missing there. */
void conf_error_missing(ConfErrors *e, ConfSeverity severity, const void *sibling, const char *key, const char *format, ...)
        _printf_(5, 6);
/* At a place without a node (syntax errors): line and column count from 1, 0: unknown. */
void conf_error_position(ConfErrors *e, ConfSeverity severity, unsigned line, unsigned column, const char *format, ...)
        _printf_(5, 6);

/* How many of this severity so far. A caller compares before and after. */
size_t conf_errors_count(const ConfErrors *e, ConfSeverity severity);
/* `/pointer: text` of the first message, by position, of at least `severity` at or below this node; NULL
 * when none. Borrowed. */
const char *conf_errors_first(const ConfErrors *e, ConfSeverity severity, const ConfNode *below);
/* Sorted by position: one `file:line:column: /pointer: text` line each, on a stream; or an array of
 * objects (`line`, `column` and `path` are null where there is none). Beyond CONF_ERRORS_MAX only the
 * number is kept, and told in a last line. */
void conf_errors_print(ConfErrors *e, FILE *stream);
void conf_errors_write_json(ConfErrors *e, JsonWriter *w);

/* ---- document ---------------------------------------------------------------------------------------- */

typedef enum ConfKind { CONF_NULL, CONF_BOOL, CONF_INTEGER, CONF_NUMBER, CONF_STRING, CONF_ARRAY, CONF_OBJECT } ConfKind;

/* YAML by libyaml, core schema; bounds of base/bounds.h. On failure errors holds at least one error.
 * -errno when the file cannot be read, -EBADMSG otherwise. Mistakes that leave a tree (duplicate and
 * merge keys, tags) are CONF_ERRORs, yet 0 is returned, so that the rest of the file is checked in the
 * same run. Errors keep the document alive for their positions. */
int conf_document_load(const char *path, ConfErrors *errors, ConfDocument **ret);
int conf_document_parse(const char *text, size_t size, ConfErrors *errors, ConfDocument **ret);
ConfDocument *conf_document_free(ConfDocument *d);
DEFINE_CLEANUP(ConfDocument, conf_document_free);
const ConfNode *conf_document_root(const ConfDocument *d);

ConfKind conf_node_kind(const ConfNode *n);
const char *conf_node_string(const ConfNode *n);        /* CONF_STRING: UTF-8 without NUL; else NULL */
size_t conf_node_length(const ConfNode *n);             /* CONF_ARRAY, CONF_OBJECT; else 0 */
const ConfNode *conf_node_item(const ConfNode *n, size_t i);
const ConfNode *conf_node_get(const ConfNode *n, const char *key);      /* NULL: absent or n is no object */
void conf_node_write_json(const ConfNode *n, JsonWriter *w);            /* the value, any kind */

/* ---- field tables ------------------------------------------------------------------------------------ */

typedef enum ConfForm { CONF_FORM_NATIVE, CONF_FORM_HAT, _CONF_FORM_MAX, _CONF_FORM_INVALID = -EINVAL } ConfForm;

typedef enum ConfType {
        CONF_TYPE_BOOL,    /* bool */
        CONF_TYPE_INTEGER, /* int64_t; 5.0 counts, true does not */
        CONF_TYPE_NUMBER,  /* double; null is NaN */
        CONF_TYPE_SECONDS, /* usec_t, from seconds with fraction; null is USEC_INFINITY */
        CONF_TYPE_STRING,  /* const char * (arena); null or absent is NULL. min, max: length in bytes */
        CONF_TYPE_ENUM,    /* int: index in `names`; absent is -1 unless there is a default */
        CONF_TYPE_OBJECT,  /* struct at offset; `fields` with offsets inside it */
        CONF_TYPE_ARRAY,   /* ConfArray at offset, elements of `element`; min, max: length */
        CONF_TYPE_VARIANT, /* struct at offset whose first member is an int: index in `variants`, chosen by the string key `tag` */
        CONF_TYPE_ANY,     /* accepted, not stored */
        CONF_TYPE_JSON,    /* const char * (arena): any value as JSON text; absent is NULL */
} ConfType;

typedef struct ConfArray {
        void *items; /* arena; element_size each; not NULL when given and empty, NULL when null or absent */
        size_t n;
} ConfArray;

typedef struct ConfField ConfField;

typedef struct ConfVariant {
        const char *name, *help;
        const ConfField *fields; /* offsets from the start of the CONF_TYPE_VARIANT field's struct, the int included */
} ConfVariant;

enum {
        CONF_REQUIRED = 1 << 0,
        CONF_NULLABLE = 1 << 1,
        CONF_HAT_REQUIRED = 1 << 2, /* required in the hat form, optional in the native one */
        CONF_CREDENTIAL = 1 << 3,   /* string; `credential:ID` is read from $CREDENTIALS_DIRECTORY/ID; never printed */
        CONF_EXCLUSIVE = 1 << 4,    /* min is not itself allowed: > 0 */
        CONF_NAME = 1 << 5,         /* string: no control characters; `/`, `?`, `*` an error, in the hat form a warning */
        CONF_ONE_OF = 1 << 6,       /* exactly one of the keys of its object that have this flag must be given */
        CONF_PRESENCE = 1 << 7,     /* object: the struct's first member is a bool, true when the key was given; conf_error_at()
                                     * with its address means the object */
};

struct ConfField {
        const char *name;       /* NULL ends a table */
        ConfType type;
        unsigned flags;
        size_t offset;
        double min, max;        /* both 0: no range; max below min, or INFINITY: no upper bound. Outside: CONF_RANGE. Seconds
                                 * are never below 0, and without an upper bound at most CONF_SECONDS_MAX */
        int64_t null_value;     /* CONF_NULLABLE integer */
        const char *fallback;   /* default as JSON text (a scalar without escapes, `[]` or `{}`) when the key is absent; NULL:
                                 * what null gives (USEC_INFINITY, -1, NULL, null_value), else zeroed */
        const char *hat_fallback; /* the same in the hat form, where it is another one */
        const char *instead;    /* `a b` are alternatives: required unless this sibling key is given, and both are an error */
        const char *unit, *help; /* schema and reference page */
        const char *const *names;       /* CONF_TYPE_ENUM: NULL-terminated */
        const ConfField *fields;        /* CONF_TYPE_OBJECT */
        const ConfField *element;       /* CONF_TYPE_ARRAY: one field without name, offset 0 */
        size_t element_size;
        const char *tag;                /* CONF_TYPE_VARIANT */
        const ConfVariant *variants;    /* NULL-named end */
        const char *pattern;            /* string, schema only: regular expression for what verify() checks */
        const char *ref;                /* CONF_TYPE_ANY, schema only: `$ref` */
};

/* An entry of a table whose key has the name of the struct's member. */
#define CONF_KEY(structure, member, kind, ...) \
        { .name = #member, .offset = offsetof(structure, member), .type = (kind), __VA_ARGS__ }

/* The word nearest to text among words (NULL-terminated): for `did you mean`. NULL: none is near. */
const char *conf_nearest(const char *text, const char *const *words);

/* Struct memory and strings that live as long as a configuration. */
ConfArena *conf_arena_new(void);
ConfArena *conf_arena_free(ConfArena *a);
DEFINE_CLEANUP(ConfArena, conf_arena_free);
void *conf_arena_alloc(ConfArena *a, size_t size);      /* zeroed, aligned */
char *conf_arena_strdup(ConfArena *a, const char *s);

/* Fills the struct at base (zeroed by the caller, of the table's struct) from an object node. Reports
 * everything wrong, with unknown keys as the form wants them (error or warning, did you mean; `x-…`
 * always ignored). The struct points into the arena only, never into the document. A field named `*` at
 * the end of a table (CONF_TYPE_ANY) takes every other key. 0: good. -ERANGE: errors were reported, yet
 * every field holds a value of its type (range errors, unknown keys), so verify() can go on; integers out
 * of range are stored as they are within ±10^15, where sums cannot overflow. -EINVAL: the struct has
 * holes. */
int conf_parse(const ConfNode *object, const ConfField *fields, ConfForm form, ConfArena *arena, void *base, ConfErrors *errors);

/* The struct's members, in an object that the caller has opened: what conf_parse() makes the same struct of,
 * in the native form. Optional ones that have their default are left out, and so are credentials. */
void conf_write_json(JsonWriter *w, const ConfField *fields, const void *base);

/* What two devices must not share. claims() of a device type adds; the daemon finds the pairs. */
typedef struct ConfClaims ConfClaims;
ConfClaims *conf_claims_new(void);
ConfClaims *conf_claims_free(ConfClaims *c);
DEFINE_CLEANUP(ConfClaims, conf_claims_free);
/* kind: "serial port", "listening address", "passed socket", "GPIO line"; key: normalised name in it;
 * field: where it is given. A second claim of the same (kind, key) is a CONF_ERROR at field, naming the
 * first place. */
void conf_claim(ConfClaims *c, ConfErrors *e, const char *kind, const char *key, const void *field);
/* The keys claimed of a kind, in order, NULL-terminated, in the arena. */
const char *const *conf_claims_list(const ConfClaims *c, const char *kind, ConfArena *arena);

/* JSON Schema 2020-12 of an object with these fields, written as members (`type`, `properties`,
 * `required` …) of an object that the caller has opened. */
void conf_schema_write(JsonWriter *w, const ConfField *fields, ConfForm form);
/* Reference page section: reStructuredText, one entry a key. */
void conf_reference_write(FILE *stream, const char *title, const ConfField *fields);
