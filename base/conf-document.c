/* SPDX-License-Identifier: Apache-2.0 */
/* From YAML text to the document tree: libyaml's events, the core schema, and what configurations leave
 * out (tags, merge keys, second documents) refused with a reason. Bounds of base/bounds.h: nothing in a
 * file makes this slow or big. Loop thread. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <yaml.h>

#include "base/bounds.h"
#include "base/conf-private.h"

struct ConfDocument {
        unsigned n_ref;
        ConfArena *arena;
        ConfNode *root;
};

typedef struct Anchor {
        ConfNode *node;
        bool complete;   /* its end was seen: it may be named */
        size_t n_nodes;  /* of its subtree */
        unsigned height; /* levels of arrays and objects in it */
} Anchor;

/* An array or object whose end was not seen yet. */
typedef struct Frame {
        ConfNode *node;
        GPtrArray *items; /* ConfNode */
        GHashTable *keys; /* object: key → ConfNode */
        Anchor *anchor;   /* NULL: none */
        size_t n_before;  /* nodes of the document when it began */
        unsigned height;  /* of what is in it */
        const char *key;  /* object: of the value that comes, NULL: a key comes */
        unsigned key_line, key_column;
        bool drop; /* the value that comes is read and left out */
} Frame;

typedef struct Loader {
        ConfDocument *document;
        ConfErrors *errors;
        const char *text;
        size_t size;
        yaml_parser_t parser;
        Frame stack[CONF_DEPTH_MAX];
        unsigned depth;
        size_t n_nodes;
        GHashTable *anchors; /* name → Anchor */
} Loader;

/* ---- document ---------------------------------------------------------------------------------------- */

static ConfDocument *document_new(void) {
        ConfDocument *d = g_new0(ConfDocument, 1);

        d->n_ref = 1;
        d->arena = conf_arena_new();
        return d;
}

ConfDocument *conf_document_ref(ConfDocument *d) {
        d->n_ref++;
        return d;
}

ConfDocument *conf_document_free(ConfDocument *d) {
        if (!d || --d->n_ref > 0)
                return NULL;

        (void) conf_arena_free(d->arena);
        g_free(d);
        return NULL;
}

const ConfNode *conf_document_root(const ConfDocument *d) {
        return d->root;
}

/* ---- positions and messages -------------------------------------------------------------------------- */

static unsigned mark_line(const yaml_mark_t *m) {
        return (unsigned) m->line + 1;
}

static unsigned mark_column(const yaml_mark_t *m) {
        return (unsigned) m->column + 1;
}

/* Line and column of a byte, for what libyaml reports by offset. */
static void locate(const char *text, size_t offset, unsigned *ret_line, unsigned *ret_column) {
        unsigned line = 1, column = 1;

        for (size_t i = 0; i < offset; i++)
                if (text[i] == '\n') {
                        line++;
                        column = 1;
                } else if (((uint8_t) text[i] & 0xc0) != 0x80)
                        column++;
        *ret_line = line;
        *ret_column = column;
}

static int report_syntax(Loader *l) {
        const yaml_parser_t *p = &l->parser;
        unsigned line, column;

        if (p->error == YAML_READER_ERROR) {
                locate(l->text, MIN(p->problem_offset, l->size), &line, &column);
                conf_error_position(l->errors, CONF_ERROR, line, column, "YAML syntax: %s (U+%04X)",
                                    p->problem, (unsigned) p->problem_value);
                return -EBADMSG;
        }

        line = mark_line(&p->problem_mark);
        column = mark_column(&p->problem_mark);
        if (p->problem && strstr(p->problem, "cannot start any token")) {
                conf_error_position(
                                l->errors, CONF_ERROR, line, column,
                                "YAML syntax: this character cannot stand here (no tabs for indentation, and quotes around "
                                "text that begins with @, ` or %%)");
                return -EBADMSG;
        }
        if (p->context)
                conf_error_position(l->errors, CONF_ERROR, line, column,
                                    "YAML syntax: %s, %s that began at line %u, column %u",
                                    p->problem ?: "error", p->context, mark_line(&p->context_mark),
                                    mark_column(&p->context_mark));
        else
                conf_error_position(l->errors, CONF_ERROR, line, column, "YAML syntax: %s",
                                    p->problem ?: "error");
        return -EBADMSG;
}

/* Whether a value below this key, or a parent's, may be a secret: then messages about its spelling leave
 * it out. */
static bool is_secret(const ConfNode *n) {
        static const char *const words[] = { "token", "pass", "secret", "key", "community", "credential" };

        for (; n; n = n->parent)
                for (size_t i = 0; n->key && i < ELEMENTSOF(words); i++)
                        if (strcasestr(n->key, words[i]))
                                return true;
        return false;
}

static void check_tag(Loader *l, const ConfNode *node, const yaml_char_t *tag) {
        g_autofree char *quoted = NULL;

        if (!tag)
                return;
        quoted = conf_quote((const char *) tag);
        conf_error(l->errors, CONF_ERROR, node, "YAML tags are not accepted, got %s: leave it out", quoted);
}

/* ---- building ---------------------------------------------------------------------------------------- */

static Frame *top(Loader *l) {
        return l->depth > 0 ? &l->stack[l->depth - 1] : NULL;
}

static int count_nodes(Loader *l, size_t n, const yaml_mark_t *mark) {
        if (n > CONF_NODES_MAX - l->n_nodes) {
                conf_error_position(l->errors, CONF_ERROR, mark_line(mark), mark_column(mark),
                                    "more than %u values (aliases expanded), the limit of a configuration",
                                    CONF_NODES_MAX);
                return -EBADMSG;
        }
        l->n_nodes += n;
        return 0;
}

static int check_depth(Loader *l, unsigned more, const yaml_mark_t *mark) {
        if (l->depth + more <= CONF_DEPTH_MAX)
                return 0;
        conf_error_position(l->errors, CONF_ERROR, mark_line(mark), mark_column(mark),
                            "arrays and objects nested deeper than %u levels", CONF_DEPTH_MAX);
        return -EBADMSG;
}

/* A node in its place in the tree; height: levels of arrays and objects in it. */
static void place_node(Loader *l, ConfNode *n) {
        Frame *f = top(l);

        if (!f) {
                l->document->root = n;
                return;
        }

        n->parent = f->node;
        n->key = f->key;
        n->key_line = f->key_line;
        n->key_column = f->key_column;
        n->index = f->items->len;
        if (!f->drop)
                g_ptr_array_add(f->items, n);
        f->key = NULL;
        f->drop = false;
}

static ConfNode *node_new(Loader *l, const yaml_mark_t *mark) {
        ConfNode *n = conf_arena_alloc(l->document->arena, sizeof(ConfNode));

        n->line = mark_line(mark);
        n->column = mark_column(mark);
        place_node(l, n);
        return n;
}

static Anchor *anchor_new(Loader *l, const yaml_char_t *name, ConfNode *node) {
        Anchor *a;

        if (!name)
                return NULL;
        a = conf_arena_alloc(l->document->arena, sizeof(Anchor));
        a->node = node;
        g_hash_table_insert(l->anchors, conf_arena_strdup(l->document->arena, (const char *) name), a);
        return a;
}

static void anchor_complete(Anchor *a, size_t n_nodes, unsigned height) {
        if (!a)
                return;
        a->complete = true;
        a->n_nodes = n_nodes;
        a->height = height;
}

static int take_scalar(Loader *l, const yaml_event_t *event) {
        const char *text = (const char *) event->data.scalar.value;
        bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        ConfNode *n;
        int r;

        r = count_nodes(l, 1, &event->start_mark);
        if (r < 0)
                return r;

        n = node_new(l, &event->start_mark);
        text = conf_arena_strdup(l->document->arena, text);
        if (plain)
                conf_scalar_resolve(text, n);
        else {
                n->kind = CONF_STRING;
                n->string = text;
        }

        if (strlen(text) != event->data.scalar.length)
                conf_error(l->errors, CONF_ERROR, n, "a NUL character cannot stand in a string");
        check_tag(l, n, event->data.scalar.tag);
        if (plain && conf_scalar_differs(text, n)) {
                g_autofree char *difference = conf_scalar_difference(text, n, is_secret(n));

                conf_error(l->errors, CONF_WARNING, n, "%s", difference);
        }
        anchor_complete(anchor_new(l, event->data.scalar.anchor, n), 1, 0);
        return 0;
}

static int begin_container(Loader *l, ConfKind kind, const yaml_char_t *anchor, const yaml_char_t *tag,
                           const yaml_mark_t *mark) {
        ConfNode *n;
        int r;

        r = check_depth(l, 1, mark);
        if (r < 0)
                return r;
        r = count_nodes(l, 1, mark);
        if (r < 0)
                return r;

        n = node_new(l, mark);
        n->kind = kind;
        check_tag(l, n, tag);
        l->stack[l->depth++] = (Frame) {
                .node = n,
                .items = g_ptr_array_new(),
                .keys = kind == CONF_OBJECT ? g_hash_table_new(g_str_hash, g_str_equal) : NULL,
                .anchor = anchor_new(l, anchor, n),
                .n_before = l->n_nodes - 1,
        };
        return 0;
}

static void frame_done(Frame *f) {
        g_clear_pointer(&f->items, g_ptr_array_unref);
        g_clear_pointer(&f->keys, g_hash_table_unref);
}

static void raise_height(Loader *l, unsigned height) {
        Frame *f = top(l);

        if (f)
                f->height = MAX(f->height, height);
}

static void end_container(Loader *l) {
        Frame *f = top(l);
        size_t size = f->items->len * sizeof(ConfNode *);
        unsigned height = f->height + 1;

        if (size > 0) {
                f->node->children.items = conf_arena_alloc(l->document->arena, size);
                memcpy(f->node->children.items, f->items->pdata, size);
        }
        f->node->children.n = f->items->len;
        anchor_complete(f->anchor, l->n_nodes - f->n_before, height);
        frame_done(f);
        l->depth--;
        raise_height(l, height);
}

/* ---- aliases ----------------------------------------------------------------------------------------- */

static void copy_value(Loader *l, const ConfNode *from, ConfNode *to);

static ConfNode *copy_child(Loader *l, const ConfNode *from, const ConfNode *parent) {
        ConfNode *to = conf_arena_alloc(l->document->arena, sizeof(ConfNode));

        *to = *from;
        to->parent = parent;
        copy_value(l, from, to);
        return to;
}

/* Recursion as deep as the tree: at most CONF_DEPTH_MAX. */
static void copy_value(Loader *l, const ConfNode *from, ConfNode *to) {
        to->kind = from->kind;
        switch (from->kind) {
        case CONF_NULL:
                break;
        case CONF_BOOL:
                to->boolean = from->boolean;
                break;
        case CONF_INTEGER:
                to->integer = from->integer;
                break;
        case CONF_NUMBER:
                to->number = from->number;
                break;
        case CONF_STRING:
                to->string = from->string;
                break;
        case CONF_ARRAY:
        case CONF_OBJECT:
                to->children.n = from->children.n;
                to->children.items = conf_arena_alloc(l->document->arena,
                                                      MAX(from->children.n, 1U) * sizeof(ConfNode *));
                for (size_t i = 0; i < from->children.n; i++)
                        to->children.items[i] = copy_child(l, from->children.items[i], to);
                break;
        }
}

static int take_alias(Loader *l, const yaml_event_t *event) {
        const char *name = (const char *) event->data.alias.anchor;
        const Anchor *a = g_hash_table_lookup(l->anchors, name);
        g_autofree char *quoted = conf_quote(name);
        int r;

        if (!a || !a->complete) {
                conf_error_position(l->errors, CONF_ERROR, mark_line(&event->start_mark),
                                    mark_column(&event->start_mark),
                                    a ? "alias %s stands inside the value that it names"
                                      : "alias %s: no anchor of this name stands before it",
                                    quoted);
                return -EBADMSG;
        }

        r = check_depth(l, a->height, &event->start_mark);
        if (r < 0)
                return r;
        r = count_nodes(l, a->n_nodes, &event->start_mark);
        if (r < 0)
                return r;

        copy_value(l, a->node, node_new(l, &event->start_mark));
        raise_height(l, a->height);
        return 0;
}

/* ---- keys -------------------------------------------------------------------------------------------- */

static int report_key(Loader *l, const yaml_mark_t *mark, const char *what) {
        conf_error_position(l->errors, CONF_ERROR, mark_line(mark), mark_column(mark),
                            "expected a string as key, got %s", what);
        return -EBADMSG;
}

/* A node that is not in the tree, for the position and pointer of a key. */
static ConfNode *key_node(Loader *l, const Frame *f) {
        ConfNode *n = conf_arena_alloc(l->document->arena, sizeof(ConfNode));

        *n = (ConfNode) {
                .line = f->key_line,
                .column = f->key_column,
                .key_line = f->key_line,
                .key_column = f->key_column,
                .parent = f->node,
                .key = f->key,
        };
        return n;
}

/* A plain key that is no string in YAML: `1:`, `true:`, or is one only here: `on:`. */
static void check_plain_key(Loader *l, const Frame *f) {
        ConfNode resolved = {};

        conf_scalar_resolve(f->key, &resolved);
        if (resolved.kind != CONF_STRING) {
                g_autofree char *got = conf_describe(&resolved);

                conf_error(l->errors, CONF_ERROR, key_node(l, f),
                           "expected a string as key, got %s: put it in quotes", got);
                return;
        }
        if (conf_scalar_differs(f->key, &resolved)) {
                g_autofree char *difference = conf_scalar_difference(f->key, &resolved, false);

                conf_error(l->errors, CONF_WARNING, key_node(l, f), "%s", difference);
        }
}

static void check_duplicate(Loader *l, Frame *f) {
        const ConfNode *first = g_hash_table_lookup(f->keys, f->key);
        g_autofree char *quoted = NULL;

        if (!first) {
                g_hash_table_insert(f->keys, (char *) f->key, key_node(l, f));
                return;
        }
        quoted = conf_quote(f->key);
        conf_error(l->errors, CONF_ERROR, key_node(l, f), "key %s is given a second time, first at line %u",
                   quoted, first->line);
        f->drop = true;
}

static int take_key(Loader *l, Frame *f, const yaml_event_t *event) {
        const yaml_mark_t *mark = &event->start_mark;
        bool plain;

        if (event->type == YAML_ALIAS_EVENT)
                return report_key(l, mark, "an alias: write it out");
        if (event->type != YAML_SCALAR_EVENT)
                return report_key(l, mark,
                                  event->type == YAML_SEQUENCE_START_EVENT ? "an array" : "an object");

        if (event->data.scalar.length > CONF_KEY_MAX) {
                conf_error_position(l->errors, CONF_ERROR, mark_line(mark), mark_column(mark),
                                    "a key of %zu bytes, the limit is %u", event->data.scalar.length,
                                    CONF_KEY_MAX);
                return -EBADMSG;
        }

        f->key = conf_arena_strdup(l->document->arena, (const char *) event->data.scalar.value);
        f->key_line = mark_line(mark);
        f->key_column = mark_column(mark);
        if (strlen(f->key) != event->data.scalar.length)
                conf_error(l->errors, CONF_ERROR, key_node(l, f), "a NUL character cannot stand in a key");
        check_tag(l, key_node(l, f), event->data.scalar.tag);
        if (event->data.scalar.anchor) {
                ConfNode *n = key_node(l, f);

                n->kind = CONF_STRING;
                n->string = f->key;
                anchor_complete(anchor_new(l, event->data.scalar.anchor, n), 1, 0);
        }

        plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (plain && streq(f->key, "<<")) {
                conf_error(l->errors, CONF_ERROR, key_node(l, f),
                           "merge keys (<<) are not accepted: write the keys out, or name a whole value with an alias");
                f->drop = true;
                return 0;
        }
        if (plain)
                check_plain_key(l, f);
        check_duplicate(l, f);
        return 0;
}

/* ---- events ------------------------------------------------------------------------------------------ */

static int take_event(Loader *l, const yaml_event_t *event) {
        Frame *f = top(l);
        bool value = event->type == YAML_SCALAR_EVENT || event->type == YAML_ALIAS_EVENT ||
                     event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;

        if (value && f && f->keys && !f->key)
                return take_key(l, f, event);

        switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
                if (!l->document->root)
                        return 0;
                conf_error_position(l->errors, CONF_ERROR, mark_line(&event->start_mark),
                                    mark_column(&event->start_mark),
                                    "a second document begins here: a configuration is one document");
                return -EBADMSG;
        case YAML_SCALAR_EVENT:
                return take_scalar(l, event);
        case YAML_ALIAS_EVENT:
                return take_alias(l, event);
        case YAML_SEQUENCE_START_EVENT:
                return begin_container(l, CONF_ARRAY, event->data.sequence_start.anchor,
                                       event->data.sequence_start.tag, &event->start_mark);
        case YAML_MAPPING_START_EVENT:
                return begin_container(l, CONF_OBJECT, event->data.mapping_start.anchor,
                                       event->data.mapping_start.tag, &event->start_mark);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                end_container(l);
                return 0;
        default:
                return 0;
        }
}

static int load_events(Loader *l) {
        for (bool end = false; !end;) {
                yaml_event_t event;
                int r;

                if (!yaml_parser_parse(&l->parser, &event))
                        return report_syntax(l);
                r = take_event(l, &event);
                end = event.type == YAML_STREAM_END_EVENT;
                yaml_event_delete(&event);
                if (r < 0)
                        return r;
        }

        if (!l->document->root) {
                conf_error_position(l->errors, CONF_ERROR, 1, 1, "the file is empty: expected an object");
                return -EBADMSG;
        }
        return 0;
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

static int check_bytes(const char *text, size_t size, ConfErrors *errors) {
        const char *end;
        unsigned line, column;

        if (size > CONF_SIZE_MAX) {
                conf_error(errors, CONF_ERROR, NULL, "larger than %u MiB, the limit of a configuration file",
                           CONF_SIZE_MAX >> 20);
                return -EBADMSG;
        }
        if (g_utf8_validate(text, (gssize) size, &end))
                return 0;

        locate(text, (size_t) (end - text), &line, &column);
        if (*end == '\0')
                conf_error_position(errors, CONF_ERROR, line, column,
                                    "a NUL character cannot stand in a text file");
        else
                conf_error_position(errors, CONF_ERROR, line, column,
                                    "the byte 0x%02x is not UTF-8: save the file in UTF-8", (uint8_t) *end);
        return -EBADMSG;
}

int conf_document_parse(const char *text, size_t size, ConfErrors *errors, ConfDocument **ret) {
        static const char mark[] = "\xef\xbb\xbf";
        _cleanup_(conf_document_freep) ConfDocument *document = NULL;
        Loader l = { .errors = errors };
        int r;

        r = check_bytes(text, size, errors);
        if (r < 0)
                return r;

        /* A byte order mark is not a column. */
        if (size >= 3 && memcmp(text, mark, 3) == 0) {
                text += 3;
                size -= 3;
        }

        if (!yaml_parser_initialize(&l.parser))
                g_error("out of memory");
        yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&l.parser, (const unsigned char *) text, size);
        document = document_new();
        l.document = document;
        l.text = text;
        l.size = size;
        l.anchors = g_hash_table_new(g_str_hash, g_str_equal);

        /* Errors point into the tree, of a refused document too. */
        conf_errors_keep(errors, document);
        r = load_events(&l);

        while (l.depth > 0)
                frame_done(&l.stack[--l.depth]);
        g_hash_table_unref(l.anchors);
        yaml_parser_delete(&l.parser);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(document);
        return 0;
}

/* Also what is no regular file (a pipe): up to one byte more than the limit, which then says so. */
static int read_all(int fd, GByteArray *bytes) {
        for (;;) {
                uint8_t block[16384];
                ssize_t n = read(fd, block, sizeof(block));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                g_byte_array_append(bytes, block, (guint) n);
                if (n == 0 || bytes->len > CONF_SIZE_MAX)
                        return 0;
        }
}

int conf_document_load(const char *path, ConfErrors *errors, ConfDocument **ret) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        _cleanup_(safe_closep) int fd = -EBADF;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        r = fd < 0 ? -errno : read_all(fd, bytes);
        if (r < 0) {
                conf_error(errors, CONF_ERROR, NULL, "cannot be read: %s", g_strerror(-r));
                return r;
        }
        /* An empty array has no memory. */
        return conf_document_parse(bytes->data ? (const char *) bytes->data : "", bytes->len, errors, ret);
}

/* ---- nodes ------------------------------------------------------------------------------------------- */

ConfKind conf_node_kind(const ConfNode *n) {
        return n->kind;
}

const char *conf_node_string(const ConfNode *n) {
        return n->kind == CONF_STRING ? n->string : NULL;
}

size_t conf_node_length(const ConfNode *n) {
        return n->kind == CONF_ARRAY || n->kind == CONF_OBJECT ? n->children.n : 0;
}

const ConfNode *conf_node_item(const ConfNode *n, size_t i) {
        return i < conf_node_length(n) ? n->children.items[i] : NULL;
}

const ConfNode *conf_node_get(const ConfNode *n, const char *key) {
        if (!n || n->kind != CONF_OBJECT)
                return NULL;
        for (size_t i = 0; i < n->children.n; i++)
                if (streq(n->children.items[i]->key, key))
                        return n->children.items[i];
        return NULL;
}

void conf_node_write_json(const ConfNode *n, JsonWriter *w) {
        switch (n->kind) {
        case CONF_NULL:
                json_null(w);
                break;
        case CONF_BOOL:
                json_bool(w, n->boolean);
                break;
        case CONF_INTEGER:
                json_int(w, n->integer);
                break;
        case CONF_NUMBER: {
                JsonSpan exact;

                /* Integers of any size leave as they came. */
                if (json_check(n->number.text, strlen(n->number.text), &exact) == 0)
                        json_raw(w, exact);
                else
                        json_double(w, n->number.value);
                break;
        }
        case CONF_STRING:
                json_string(w, n->string);
                break;
        case CONF_ARRAY:
                json_open_array(w);
                for (size_t i = 0; i < n->children.n; i++)
                        conf_node_write_json(n->children.items[i], w);
                json_close_array(w);
                break;
        case CONF_OBJECT:
                json_open_object(w);
                for (size_t i = 0; i < n->children.n; i++) {
                        json_key(w, n->children.items[i]->key);
                        conf_node_write_json(n->children.items[i], w);
                }
                json_close_object(w);
                break;
        }
}
