/* SPDX-License-Identifier: Apache-2.0 */
/* Query types as a tree: one node for each distinct beginning, its children sorted, so that they are
 * searched by halving. The children of a node lie side by side. Matching walks the tree down and,
 * because a `?` is a second way, up again by the parents: no memory, no recursion, and no node twice,
 * however deep the types are. Any thread. */

#include "event/server/subscription.h"

#include <stdlib.h>

#define ROOT 0U
#define NONE 0U /* nobody's child is the root */

typedef struct Node {
        Subtype subtype; /* by which the parent leads here; nothing for the root and for `?` */
        guint parent;
        guint any;                  /* the child by `?`, or NONE */
        guint children, n_children; /* the others: first, count */
        bool end;                   /* a query type ends here */
        bool rest;                  /* with a `*`: whatever follows matches, there are no children */
} Node;

struct Subscription {
        Node *nodes; /* the root first, then level by level */
        char *text;  /* of all subtypes */
};

/* ---- compiling --------------------------------------------------------------------------------------- */

static inline int subtype_compare(Subtype a, Subtype b) {
        if (a.size != b.size)
                return a.size < b.size ? -1 : 1;
        return a.size > 0 ? memcmp(a.text, b.text, a.size) : 0;
}

/* Where a subtype of a query stands among its siblings: `*`, `?`, then the others. */
static inline unsigned subtype_rank(Subtype s) {
        return s.size != 1 ? 2 : s.text[0] == '*' ? 0 : s.text[0] == '?' ? 1 : 2;
}

/* The queries that go through a node, and how many of their subtypes lead to it. */
typedef struct Range {
        guint begin, end, depth;
} Range;

typedef struct Compiler {
        EventType *queries;
        GArray *nodes;  /* of Node */
        GArray *ranges; /* of Range, one a node */
        size_t text_size;
} Compiler;

/* By the subtype at this depth; those that end there first. */
static int query_compare(const void *a, const void *b, void *userdata) {
        const EventType *x = a, *y = b;
        size_t depth = *(const guint *) userdata;
        unsigned rank_x, rank_y;

        if (x->n == depth || y->n == depth)
                return (x->n > depth) - (y->n > depth);
        rank_x = subtype_rank(x->subtypes[depth]);
        rank_y = subtype_rank(y->subtypes[depth]);
        if (rank_x != rank_y)
                return rank_x < rank_y ? -1 : 1;
        return subtype_compare(x->subtypes[depth], y->subtypes[depth]);
}

static guint compiler_add(Compiler *c, guint parent, Subtype subtype, Range range) {
        Node node = { .parent = parent, .subtype = subtype };

        g_array_append_val(c->nodes, node);
        g_array_append_val(c->ranges, range);
        c->text_size += subtype.size;
        return c->nodes->len - 1;
}

/* Consecutive queries with the same next subtype are one child. */
static void compiler_add_children(Compiler *c, guint parent, Range range) {
        Node node = g_array_index(c->nodes, Node, parent);

        for (guint i = range.begin, end; i < range.end; i = end) {
                Subtype subtype = c->queries[i].subtypes[range.depth];
                guint child;

                for (end = i + 1; end < range.end; end++)
                        if (!subtype_equal(c->queries[end].subtypes[range.depth], subtype))
                                break;
                if (subtype_rank(subtype) == 1) {
                        node.any = compiler_add(c, parent, (Subtype) { 0 },
                                                (Range) { i, end, range.depth + 1 });
                        continue;
                }
                child = compiler_add(c, parent, subtype, (Range) { i, end, range.depth + 1 });
                if (node.n_children++ == 0)
                        node.children = child;
        }
        g_array_index(c->nodes, Node, parent) = node;
}

/* Most nodes have one child, and their queries stay as they are: sorting is only done where they part. */
static void compiler_do_node(Compiler *c, guint i) {
        Node *node = &g_array_index(c->nodes, Node, i);
        Range range = g_array_index(c->ranges, Range, i);
        const EventType *first;
        bool part = false;

        if (range.begin == range.end) /* nothing at all is wanted */
                return;
        first = &c->queries[range.begin];
        for (guint j = range.begin; j < range.end; j++) {
                const EventType *q = &c->queries[j];

                if (q->n == range.depth)
                        node->end = true;
                else if (q->n == range.depth + 1 && subtype_rank(q->subtypes[range.depth]) == 0) {
                        node->rest = true;
                        return;
                } else
                        part = part || first->n == range.depth ||
                               !subtype_equal(q->subtypes[range.depth], first->subtypes[range.depth]);
        }
        if (node->end || part)
                qsort_r(c->queries + range.begin, range.end - range.begin, sizeof *c->queries, query_compare,
                        &range.depth);
        while (range.begin < range.end && c->queries[range.begin].n == range.depth)
                range.begin++;
        compiler_add_children(c, i, range);
}

/* The queries' texts become our own. */
static Subscription *compiler_finish(Compiler *c) {
        Subscription *s = g_new(Subscription, 1);
        guint n = c->nodes->len;
        char *at;

        *s = (Subscription) {
                .nodes = g_memdup2(c->nodes->data, n * sizeof(Node)),
                .text = at = g_malloc(MAX(c->text_size, 1)),
        };
        for (guint i = 0; i < n; i++) {
                Subtype *subtype = &s->nodes[i].subtype;
                char *copy = at;

                if (subtype->size > 0)
                        at = mempcpy(at, subtype->text, subtype->size);
                subtype->text = copy;
        }
        return s;
}

Subscription *subscription_new(const EventType *queries, size_t n) {
        g_autofree EventType *copy = g_memdup2(queries, n * sizeof *queries);
        Compiler c = {
                .queries = copy,
                .nodes = g_array_new(FALSE, FALSE, sizeof(Node)),
                .ranges = g_array_new(FALSE, FALSE, sizeof(Range)),
        };
        Subscription *s;

        (void) compiler_add(&c, ROOT, (Subtype) { 0 }, (Range) { 0, (guint) n, 0 });
        for (guint i = 0; i < c.nodes->len; i++)
                compiler_do_node(&c, i);
        s = compiler_finish(&c);
        g_array_unref(c.nodes);
        g_array_unref(c.ranges);
        return s;
}

Subscription *subscription_free(Subscription *s) {
        if (!s)
                return NULL;

        g_free(s->nodes);
        g_free(s->text);
        g_free(s);
        return NULL;
}

/* ---- matching ---------------------------------------------------------------------------------------- */

/* The child by exactly this subtype, NONE when there is none. */
static guint node_find(const Subscription *s, const Node *node, Subtype subtype) {
        guint low = node->children, high = low + node->n_children;

        while (low < high) {
                guint middle = low + (high - low) / 2;
                int r = subtype_compare(subtype, s->nodes[middle].subtype);

                if (r == 0)
                        return middle;
                if (r < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NONE;
}

/* Up from a node that led nowhere, to the nearest `?` not tried yet. NONE: there is none. */
static guint node_next(const Subscription *s, guint i, size_t *depth) {
        while (i != ROOT) {
                const Node *parent = &s->nodes[s->nodes[i].parent];

                if (parent->any != NONE && parent->any != i)
                        return parent->any;
                i = s->nodes[i].parent;
                (*depth)--;
        }
        return NONE;
}

bool subscription_matches(const Subscription *s, EventType type) {
        size_t depth = 0;
        guint i = ROOT;

        do {
                const Node *node = &s->nodes[i];
                guint next = NONE;

                if (node->rest || (node->end && depth == type.n))
                        return true;
                if (depth < type.n) {
                        next = node_find(s, node, type.subtypes[depth]);
                        if (next == NONE)
                                next = node->any;
                }
                if (next != NONE) {
                        i = next;
                        depth++;
                } else
                        i = node_next(s, i, &depth);
        } while (i != NONE);
        return false;
}

bool subscription_is_all(const Subscription *s) {
        return s->nodes[ROOT].rest;
}
