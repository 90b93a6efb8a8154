/* SPDX-License-Identifier: Apache-2.0 */
/* Claims: what two devices must not share, and who was first. Loop thread. */

#include "base/conf-private.h"

typedef struct Claim {
        char *kind, *key;
        const void *field;
} Claim;

struct ConfClaims {
        GHashTable *table; /* Claim, by kind and key; owns */
        GPtrArray *order;  /* Claim, borrowed */
};

static guint claim_hash(gconstpointer p) {
        const Claim *claim = p;

        return g_str_hash(claim->kind) * 31 + g_str_hash(claim->key);
}

static gboolean claim_equal(gconstpointer a, gconstpointer b) {
        const Claim *x = a, *y = b;

        return streq(x->kind, y->kind) && streq(x->key, y->key);
}

static void claim_free(void *p) {
        Claim *claim = p;

        g_free(claim->kind);
        g_free(claim->key);
        g_free(claim);
}

ConfClaims *conf_claims_new(void) {
        ConfClaims *c = g_new0(ConfClaims, 1);

        c->table = g_hash_table_new_full(claim_hash, claim_equal, claim_free, NULL);
        c->order = g_ptr_array_new();
        return c;
}

ConfClaims *conf_claims_free(ConfClaims *c) {
        if (!c)
                return NULL;

        g_ptr_array_unref(c->order);
        g_hash_table_unref(c->table);
        g_free(c);
        return NULL;
}

static void report(const Claim *first, ConfErrors *e, const void *field) {
        const ConfNode *node = conf_errors_get_place(e, first->field);
        g_autofree char *key = conf_quote(first->key);

        if (node) {
                g_autofree char *pointer = conf_node_pointer(node);

                conf_error_at(e, CONF_ERROR, field, "%s %s is already taken by %s (line %u)", first->kind,
                              key, pointer, node->line);
        } else
                conf_error_at(e, CONF_ERROR, field, "%s %s is already taken", first->kind, key);
}

void conf_claim(ConfClaims *c, ConfErrors *e, const char *kind, const char *key, const void *field) {
        const Claim *first = g_hash_table_lookup(c->table,
                                                 &(Claim) { .kind = (char *) kind, .key = (char *) key });
        Claim *claim;

        if (first) {
                report(first, e, field);
                return;
        }

        claim = g_new(Claim, 1);
        *claim = (Claim) { .kind = g_strdup(kind), .key = g_strdup(key), .field = field };
        g_hash_table_add(c->table, claim);
        g_ptr_array_add(c->order, claim);
}

const char *const *conf_claims_list(const ConfClaims *c, const char *kind, ConfArena *arena) {
        const char **list = conf_arena_alloc(arena, (c->order->len + 1) * sizeof(char *));
        size_t n = 0;

        for (unsigned i = 0; i < c->order->len; i++) {
                const Claim *claim = c->order->pdata[i];

                if (streq(claim->kind, kind))
                        list[n++] = conf_arena_strdup(arena, claim->key);
        }
        return list;
}
