/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asked, checked and copied (spec wire.md 3.4, 3.10). Touches no store, any thread. */

#include <errno.h>

#include "event/server/store-query.h"

/* ---- types ------------------------------------------------------------------------------------------- */

static bool is_wildcard(Subtype subtype) {
        return subtype_is(subtype, "?") || subtype_is(subtype, "*");
}

/* Where the types are that a query type can match: its subtypes before the first wildcard. */
static KeyRange key_range(EventType type) {
        Buffer b = { 0 };
        size_t n = 0;

        while (n < type.n && !is_wildcard(type.subtypes[n]))
                n++;
        store_key(&b, type.subtypes, n);
        return (KeyRange) { .prefix = b.data, .size = buffer_size(&b), .exact = n == type.n };
}

static void key_range_clear(void *range) {
        g_free(((KeyRange *) range)->prefix);
}

static int key_range_compare(const void *a, const void *b) {
        const KeyRange *x = a, *y = b;
        size_t size = MIN(x->size, y->size);
        int c = size > 0 ? memcmp(x->prefix, y->prefix, size) : 0;

        if (c != 0)
                return c;
        if (x->size != y->size)
                return x->size < y->size ? -1 : 1;
        return x->exact - y->exact;
}

/* Two ranges are disjoint, or one contains the other and, being shorter, stands before it. */
static bool key_range_contains(const KeyRange *a, const KeyRange *b) {
        if (b->size < a->size || (a->size > 0 && memcmp(a->prefix, b->prefix, a->size) != 0))
                return false;
        return !a->exact || (b->exact && b->size == a->size);
}

static void query_take_ranges(StoreQuery *q, const EventType *types, size_t n) {
        g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(KeyRange));

        for (size_t i = 0; i < n; i++) {
                KeyRange range = key_range(types[i]);

                g_array_append_val(all, range);
        }
        g_array_sort(all, key_range_compare);
        for (guint i = 0; i < all->len; i++) {
                KeyRange range = g_array_index(all, KeyRange, i);

                if (q->ranges->len > 0 &&
                    key_range_contains(&g_array_index(q->ranges, KeyRange, q->ranges->len - 1), &range))
                        key_range_clear(&range);
                else
                        g_array_append_val(q->ranges, range);
        }
}

/* `*` alone is everything, whatever else a latest query names (wire.md 3.4). */
static bool types_are_all(const EventType *types, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (types[i].n == 1 && subtype_is(types[i].subtypes[0], "*"))
                        return true;
        return false;
}

static int query_take_types(StoreQuery *q, const EventType *types, size_t n) {
        bool valid = types ? event_query_types_valid(types, n) : true;

        if (!valid && (q->kind != QUERY_LATEST || !types_are_all(types, n)))
                return -EBADMSG;
        q->all = !types || types_are_all(types, n);
        if (q->all) {
                static const Subtype rest = { "*", 1 };

                query_take_ranges(q, &(EventType) { .subtypes = &rest, .n = 1 }, 1);
                return 0;
        }
        q->subscription = subscription_new(types, n);
        query_take_ranges(q, types, n);
        q->chain_types = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        q->chains = g_array_new(FALSE, FALSE, sizeof(Chain));
        return 0;
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

static int take_bound(const Timestamp *t, bool *ret_has, Timestamp *ret) {
        *ret_has = t != NULL;
        if (!t)
                return 0;
        if (t->us < 0)
                return -EBADMSG;
        *ret = *t;
        return 0;
}

static int query_take_limit(StoreQuery *q, const int64_t *max_results) {
        if (max_results && *max_results < 0)
                return -EBADMSG;
        q->limit = max_results ? MIN(*max_results, STORE_RESULTS_MAX) : STORE_RESULTS_MAX;
        return 0;
}

static int query_take_timeseries(StoreQuery *q, const EventerQuery *query) {
        if (take_bound(query->t_from, &q->has_t_from, &q->t_from) < 0 ||
            take_bound(query->t_to, &q->has_t_to, &q->t_to) < 0 ||
            take_bound(query->source_t_from, &q->has_source_from, &q->source_from) < 0 ||
            take_bound(query->source_t_to, &q->has_source_to, &q->source_to) < 0)
                return -EBADMSG;
        q->descending = query->order == QUERY_DESCENDING;
        q->by_source = query->order_by == QUERY_BY_SOURCE_TIMESTAMP;
        return query_take_limit(q, query->max_results);
}

static int query_take_server(StoreQuery *q, const EventerQuery *query) {
        const EventId *last = query->last_event_id;

        if (query->server_id < 0 ||
            (last && (last->server != query->server_id || last->session < 0 || last->instance < 0)))
                return -EBADMSG;
        q->server_id = query->server_id;
        q->persisted = query->persisted;
        return query_take_limit(q, query->max_results);
}

/* ---- new and free ------------------------------------------------------------------------------------ */

static int query_take(StoreQuery *q, const EventerQuery *query) {
        int r;

        q->kind = query->kind;
        if (query->kind != QUERY_SERVER) {
                r = query_take_types(q, query->types, query->n_types);
                if (r < 0)
                        return r;
        }
        if (query->kind == QUERY_LATEST)
                return 0;
        q->has_last = query->last_event_id != NULL;
        if (q->has_last)
                q->last = *query->last_event_id;
        return query->kind == QUERY_TIMESERIES ? query_take_timeseries(q, query) : query_take_server(q, query);
}

int store_query_new(const EventerQuery *query, StoreQuery **ret) {
        _cleanup_(store_query_freep) StoreQuery *q = g_new0(StoreQuery, 1);
        int r;

        q->ranges = g_array_new(FALSE, FALSE, sizeof(KeyRange));
        g_array_set_clear_func(q->ranges, key_range_clear);
        q->subtypes = g_array_new(FALSE, FALSE, sizeof(Subtype));
        q->collected = g_array_new(FALSE, FALSE, sizeof(Collected));
        r = query_take(q, query);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

StoreQuery *store_query_free(StoreQuery *q) {
        if (!q)
                return NULL;
        (void) subscription_free(q->subscription);
        g_array_unref(q->ranges);
        g_array_unref(q->subtypes);
        g_array_unref(q->collected);
        if (q->chains)
                g_array_unref(q->chains);
        if (q->chain_types)
                g_array_unref(q->chain_types);
        buffer_done(&q->at);
        buffer_done(&q->type_bytes);
        g_free(q->wanted);
        g_free(q);
        return NULL;
}
