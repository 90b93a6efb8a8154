/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration errors: everything of one run with its place, printed in the order of the file. Owns the
 * places of parsed fields and keeps the documents they stand in. Loop thread. */

#include "base/bounds.h"
#include "base/conf-private.h"

#define POINTER_MAX 4096U /* bytes of a pointer shown */

typedef struct Item {
        ConfSeverity severity;
        unsigned line, column; /* 0: unknown */
        size_t order;          /* of reporting */
        const ConfNode *node;  /* NULL: none */
        char *text;            /* `pointer: message` */
        size_t message;        /* offset in text; 0: no pointer */
} Item;

struct ConfErrors {
        char *file;
        GArray *items; /* Item */
        size_t counts[CONF_ERROR + 1];
        size_t omitted; /* beyond CONF_ERRORS_MAX */
        bool sorted;
        GHashTable *places;   /* address of a field → const ConfNode * */
        GPtrArray *documents; /* ConfDocument, a reference each */
        ConfArena *arena;     /* nodes of what was not given */
};

static void item_clear(void *p) {
        g_free(((Item *) p)->text);
}

static void document_unref(void *p) {
        (void) conf_document_free(p);
}

ConfErrors *conf_errors_new(const char *file) {
        ConfErrors *e = g_new0(ConfErrors, 1);

        e->file = g_strdup(file);
        e->items = g_array_new(FALSE, TRUE, sizeof(Item));
        g_array_set_clear_func(e->items, item_clear);
        e->places = g_hash_table_new(NULL, NULL);
        e->documents = g_ptr_array_new_with_free_func(document_unref);
        e->arena = conf_arena_new();
        return e;
}

ConfErrors *conf_errors_free(ConfErrors *e) {
        if (!e)
                return NULL;

        g_array_unref(e->items);
        g_hash_table_unref(e->places);
        g_ptr_array_unref(e->documents);
        (void) conf_arena_free(e->arena);
        g_free(e->file);
        g_free(e);
        return NULL;
}

void conf_errors_keep(ConfErrors *e, ConfDocument *d) {
        g_ptr_array_add(e->documents, conf_document_ref(d));
}

/* ---- places ------------------------------------------------------------------------------------------ */

void conf_errors_set_place(ConfErrors *e, const void *field, const ConfNode *node) {
        g_hash_table_insert(e->places, (void *) field, (void *) node);
}

const ConfNode *conf_errors_get_place(const ConfErrors *e, const void *field) {
        return g_hash_table_lookup(e->places, field);
}

ConfNode *conf_errors_node_absent(ConfErrors *e, const ConfNode *object, const char *key) {
        ConfNode *n = conf_arena_alloc(e->arena, sizeof(ConfNode));

        *n = (ConfNode) {
                .kind = CONF_NULL,
                .line = object->line,
                .column = object->column,
                .key_line = object->line,
                .key_column = object->column,
                .parent = object,
                .key = key,
        };
        return n;
}

static void append_escaped(GString *out, const char *key) {
        for (const char *p = key; *p; p++)
                if (*p == '~')
                        g_string_append(out, "~0");
                else if (*p == '/')
                        g_string_append(out, "~1");
                else
                        g_string_append_c(out, *p);
}

static void append_pointer(GString *out, const ConfNode *n) {
        const ConfNode *path[CONF_DEPTH_MAX + 2];
        size_t depth = 0;

        for (; n->parent && depth < ELEMENTSOF(path); n = n->parent)
                path[depth++] = n;

        while (depth > 0) {
                n = path[--depth];
                if (out->len > POINTER_MAX) {
                        g_string_append(out, "/…");
                        return;
                }
                g_string_append_c(out, '/');
                if (n->key)
                        append_escaped(out, n->key);
                else
                        g_string_append_printf(out, "%u", n->index);
        }
}

char *conf_node_pointer(const ConfNode *n) {
        GString *out = g_string_new(NULL);

        append_pointer(out, n);
        return g_string_free(out, FALSE);
}

/* ---- collecting -------------------------------------------------------------------------------------- */

static void add(ConfErrors *e, ConfSeverity severity, const ConfNode *node, unsigned line, unsigned column,
                const char *missing, const char *format, va_list arguments) {
        GString *text;
        Item item = {
                .severity = severity,
                .line = line,
                .column = column,
                .order = e->items->len,
                .node = node,
        };

        e->counts[severity]++;
        if (conf_errors_full(e)) {
                e->omitted++;
                return;
        }

        text = g_string_new(NULL);
        if (node)
                append_pointer(text, node);
        if (missing) {
                g_string_append_c(text, '/');
                append_escaped(text, missing);
        }
        if (text->len > 0) {
                g_string_append(text, ": ");
                item.message = text->len;
        }
        g_string_append_vprintf(text, format, arguments);
        item.text = g_string_free(text, FALSE);
        g_array_append_val(e->items, item);
        e->sorted = false;
}

void conf_error(ConfErrors *e, ConfSeverity severity, const ConfNode *node, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        add(e, severity, node, node ? node->line : 0, node ? node->column : 0, NULL, format, arguments);
        va_end(arguments);
}

void conf_error_key(ConfErrors *e, ConfSeverity severity, const ConfNode *node, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        add(e, severity, node, node->key_line, node->key_column, NULL, format, arguments);
        va_end(arguments);
}

void conf_error_absent(ConfErrors *e, ConfSeverity severity, const ConfNode *object, const char *key,
                       const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        add(e, severity, object, object->line, object->column, key, format, arguments);
        va_end(arguments);
}

void conf_error_position(ConfErrors *e, ConfSeverity severity, unsigned line, unsigned column,
                         const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        add(e, severity, NULL, line, column, NULL, format, arguments);
        va_end(arguments);
}

void conf_error_at(ConfErrors *e, ConfSeverity severity, const void *field, const char *format, ...) {
        const ConfNode *node = conf_errors_get_place(e, field);
        va_list arguments;

        va_start(arguments, format);
        add(e, severity, node, node ? node->line : 0, node ? node->column : 0, NULL, format, arguments);
        va_end(arguments);
}

void conf_error_missing(ConfErrors *e, ConfSeverity severity, const void *sibling, const char *key,
                        const char *format, ...) {
        const ConfNode *node = conf_errors_get_place(e, sibling), *object = node ? node->parent : NULL;
        va_list arguments;

        va_start(arguments, format);
        add(e, severity, object, object ? object->line : 0, object ? object->column : 0, key, format,
            arguments);
        va_end(arguments);
}

bool conf_errors_full(const ConfErrors *e) {
        return e->items->len >= CONF_ERRORS_MAX;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

size_t conf_errors_count(const ConfErrors *e, ConfSeverity severity) {
        return e->counts[severity];
}

static int item_compare(const void *a, const void *b) {
        const Item *x = a, *y = b;

        if (x->line != y->line)
                return x->line < y->line ? -1 : 1;
        if (x->column != y->column)
                return x->column < y->column ? -1 : 1;
        return x->order < y->order ? -1 : x->order > y->order;
}

static void sort(ConfErrors *e) {
        if (e->sorted)
                return;
        g_array_sort(e->items, item_compare);
        e->sorted = true;
}

static bool is_below(const ConfNode *node, const ConfNode *ancestor) {
        for (; node; node = node->parent)
                if (node == ancestor)
                        return true;
        return false;
}

const char *conf_errors_first(const ConfErrors *e, ConfSeverity severity, const ConfNode *below) {
        const Item *first = NULL;

        for (unsigned i = 0; i < e->items->len; i++) {
                const Item *item = &g_array_index(e->items, Item, i);

                if (item->severity >= severity && is_below(item->node, below) &&
                    (!first || item_compare(item, first) < 0))
                        first = item;
        }
        return first ? first->text : NULL;
}

static void item_print(const ConfErrors *e, const Item *item, FILE *stream) {
        g_autoptr(GString) line = g_string_new(NULL);

        conf_append_visible(line, e->file);
        if (item->line > 0)
                g_string_append_printf(line, ":%u", item->line);
        if (item->line > 0 && item->column > 0)
                g_string_append_printf(line, ":%u", item->column);
        g_string_append(line, ": ");
        if (item->message > 0) {
                g_autofree char *pointer = g_strndup(item->text, item->message);

                conf_append_visible(line, pointer);
        }
        if (item->severity == CONF_WARNING)
                g_string_append(line, "warning: ");
        conf_append_visible(line, item->text + item->message);
        fprintf(stream, "%s\n", line->str);
}

void conf_errors_print(ConfErrors *e, FILE *stream) {
        sort(e);
        for (unsigned i = 0; i < e->items->len; i++)
                item_print(e, &g_array_index(e->items, Item, i), stream);
        if (e->omitted > 0)
                fprintf(stream, "%s: %zu more messages are not shown\n", e->file, e->omitted);
}

static void write_position(JsonWriter *w, const char *key, unsigned value) {
        json_key(w, key);
        if (value > 0)
                json_uint(w, value);
        else
                json_null(w);
}

static void item_write(const ConfErrors *e, const Item *item, JsonWriter *w) {
        json_open_object(w);
        json_member_string(w, "file", e->file);
        write_position(w, "line", item->line);
        write_position(w, "column", item->line > 0 ? item->column : 0);
        json_key(w, "path");
        if (item->message > 0)
                json_string_n(w, item->text, item->message - strlen(": "));
        else
                json_string(w, item->node ? "" : NULL);
        json_member_string(w, "severity", item->severity == CONF_WARNING ? "warning" : "error");
        json_member_string(w, "message", item->text + item->message);
        json_close_object(w);
}

void conf_errors_write_json(ConfErrors *e, JsonWriter *w) {
        sort(e);
        json_open_array(w);
        for (unsigned i = 0; i < e->items->len; i++)
                item_write(e, &g_array_index(e->items, Item, i), w);
        if (e->omitted > 0) {
                g_autofree char *text = g_strdup_printf("%zu more messages are not shown", e->omitted);

                item_write(e, &(Item) { .severity = CONF_ERROR, .text = text }, w);
        }
        json_close_array(w);
}
