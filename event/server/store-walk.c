/* SPDX-License-Identifier: Apache-2.0 */
/* The walk of a query from the latest events back, and the first places that it collects. The thread that
 * uses the store. */

#include <errno.h>

#include "event/server/store-query.h"

/* ---- order ------------------------------------------------------------------------------------------- */

int place_compare(const StoreQuery *q, const Place *a, const Place *b) {
        int c = a->s != b->s   ? (a->s < b->s ? -1 : 1) :
                a->us != b->us ? (a->us < b->us ? -1 : 1) :
                                 (a->number > b->number) - (a->number < b->number);

        return q->descending ? -c : c;
}

static bool collected_before(const StoreQuery *q, guint a, guint b) {
        return place_compare(q, &g_array_index(q->collected, Collected, a).place,
                             &g_array_index(q->collected, Collected, b).place) < 0;
}

static void collected_swap(StoreQuery *q, guint a, guint b) {
        Collected *c = &g_array_index(q->collected, Collected, 0), x = c[a];

        c[a] = c[b];
        c[b] = x;
}

static void collected_down(StoreQuery *q) {
        for (guint i = 0, child; (child = 2 * i + 1) < q->collected->len; i = child) {
                if (child + 1 < q->collected->len && collected_before(q, child, child + 1))
                        child++;
                if (!collected_before(q, i, child))
                        return;
                collected_swap(q, i, child);
        }
}

void query_collect(StoreQuery *q, Place place, uint32_t type) {
        Collected x = { .place = place, .type = type };

        if (q->collected->len <= q->limit) {
                g_array_append_val(q->collected, x);
                for (guint i = q->collected->len - 1; i > 0 && collected_before(q, (i - 1) / 2, i); i = (i - 1) / 2)
                        collected_swap(q, i, (i - 1) / 2);
                return;
        }
        if (place_compare(q, &place, &g_array_index(q->collected, Collected, 0).place) < 0) {
                g_array_index(q->collected, Collected, 0) = x;
                collected_down(q);
        }
}

static int collected_compare(const void *a, const void *b, void *userdata) {
        const Collected *x = a, *y = b;

        return place_compare(userdata, &x->place, &y->place);
}

void query_collected_sort(StoreQuery *q) {
        g_array_sort_with_data(q->collected, collected_compare, q);
        q->given = 0;
}

/* ---- what is wanted ---------------------------------------------------------------------------------- */

bool query_wants_type(const StoreQuery *q, int64_t type) {
        if (q->all)
                return true;
        return type > 0 && type <= q->wanted_max && (q->wanted[type / 8] >> type % 8 & 1);
}

bool query_wants_source(const StoreQuery *q, bool has_source, Timestamp source) {
        if (!has_source)
                return !q->by_source && !q->has_source_from && !q->has_source_to;
        return (!q->has_source_from || timestamp_compare(&source, &q->source_from) >= 0) &&
               (!q->has_source_to || timestamp_compare(&source, &q->source_to) <= 0);
}

/* ---- the walk ---------------------------------------------------------------------------------------- */

static void chains_down(GArray *chains, guint i) {
        Chain *c = (Chain *) (void *) chains->data;

        for (guint child; (child = 2 * i + 1) < chains->len; i = child) {
                Chain x;

                if (child + 1 < chains->len && c[child].number < c[child + 1].number)
                        child++;
                if (c[i].number >= c[child].number)
                        return;
                x = c[i];
                c[i] = c[child];
                c[child] = x;
        }
}

static void chains_drop_first(GArray *chains) {
        Chain *c = (Chain *) (void *) chains->data;

        c[0] = c[chains->len - 1];
        g_array_set_size(chains, chains->len - 1);
        chains_down(chains, 0);
}

/* 1: number of the last event of the type, 0: there is no such type any more. */
static int latest_number(Store *s, uint32_t type, int64_t *ret) {
        sqlite3_stmt *row = store_statement(s, STORE_LATEST_OF);
        int r;

        (void) sqlite3_bind_int64(row, 1, type);
        r = store_row(s, row);
        if (r <= 0)
                return r;
        *ret = sqlite3_column_int64(row, COLUMN_NUMBER);
        (void) sqlite3_reset(row);
        return 1;
}

int query_walk_begin(Store *s, StoreQuery *q) {
        g_array_set_size(q->chains, 0);
        g_array_set_size(q->collected, 0);
        for (guint i = 0; i < q->chain_types->len; i++) {
                Chain chain = { .type = g_array_index(q->chain_types, uint32_t, i) };
                int r = latest_number(s, chain.type, &chain.number);

                if (r < 0)
                        return r;
                if (r > 0 && chain.number >= MAX(q->low, s->now.first))
                        g_array_append_val(q->chains, chain);
        }
        for (guint i = q->chains->len / 2; i > 0; i--)
                chains_down(q->chains, i - 1);
        q->budget -= q->chain_types->len;
        q->chains_stale = false;
        return 0;
}

/* Whether everything that the result can still need was met. */
static bool walk_is_done(const StoreQuery *q) {
        if (q->chains->len == 0)
                return true;
        if (q->by_source)
                return false;
        if (q->descending)
                return q->collected->len > q->limit;
        return g_array_index(q->chains, Chain, 0).number <= q->cursor.number;
}

/* Looks at the newest event that no chain has passed. */
static int walk_one(Store *s, StoreQuery *q) {
        sqlite3_stmt *row = store_statement(s, STORE_LINK);
        Chain *chain = &g_array_index(q->chains, Chain, 0);
        Place place = { .number = chain->number };
        Timestamp source = { 0 };
        int64_t type, previous;
        bool has_source;
        int r;

        (void) sqlite3_bind_int64(row, 1, chain->number);
        r = store_row(s, row);
        if (r < 0)
                return r;
        if (r == 0) { /* trimmed */
                chains_drop_first(q->chains);
                return 0;
        }
        type = sqlite3_column_int64(row, 0);
        previous = sqlite3_column_int64(row, 1);
        has_source = sqlite3_column_type(row, 2) != SQLITE_NULL;
        if (has_source)
                source = (Timestamp) { .s = sqlite3_column_int64(row, 2), .us = sqlite3_column_int(row, 3) };
        (void) sqlite3_reset(row);
        if (type != chain->type || previous >= chain->number)
                return store_error_text(s, -EUCLEAN, "events of one type are not linked");

        if (q->by_source) {
                place.s = source.s;
                place.us = source.us;
        }
        if (place.number <= q->high && query_wants_source(q, has_source, source) &&
            place_compare(q, &place, &q->cursor) > 0)
                query_collect(q, place, chain->type);

        chain->number = previous;
        if (previous < MAX(q->low, s->now.first))
                chains_drop_first(q->chains);
        else
                chains_down(q->chains, 0);
        return 0;
}

int query_walk(Store *s, StoreQuery *q) {
        int r;

        if (q->chains_stale) {
                r = query_walk_begin(s, q);
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; i < s->turn_rows && q->budget > 0 && !walk_is_done(q); i++) {
                r = walk_one(s, q);
                if (r < 0)
                        return r;
                q->budget--;
        }
        return walk_is_done(q);
}
