/* SPDX-License-Identifier: Apache-2.0 */
/* The course of a query (spec wire.md 3.10): which types match, then the events, slice by slice. Between two
 * steps no statement is open. The thread that uses the store. */

#include <errno.h>

#include "event/sbs.h"
#include "event/server/store-query.h"

static void answer_is_complete(StoreQuery *q) {
        q->phase = PHASE_END;
}

/* ---- types ------------------------------------------------------------------------------------------- */

static bool key_in_range(const KeyRange *range, const void *key, size_t size) {
        if (range->exact ? size != range->size : size < range->size)
                return false;
        return range->size == 0 || memcmp(key, range->prefix, range->size) == 0;
}

/* A key is the strings of a type. */
static int query_matches_key(Store *s, StoreQuery *q, const void *key, size_t size) {
        SbsReader r = { .at = key, .end = (const uint8_t *) key + size };

        if (q->all || g_array_index(q->ranges, KeyRange, q->range).exact)
                return 1;
        g_array_set_size(q->subtypes, 0);
        while (sbs_left(&r) > 0) {
                Subtype subtype;

                if (sbs_read_string(&r, &subtype.text, &subtype.size) < 0)
                        return store_error_text(s, -EUCLEAN, "a type is damaged");
                g_array_append_val(q->subtypes, subtype);
        }
        return subscription_matches(q->subscription, (EventType) { .subtypes = (Subtype *) (void *) q->subtypes->data,
                                                                   .n = q->subtypes->len });
}

static void query_want_type(StoreQuery *q, uint32_t type) {
        if (type > q->wanted_max || !q->wanted) {
                uint32_t max = MAX(type, q->wanted_max * 2);

                q->wanted = g_realloc(q->wanted, max / 8 + 1);
                memset(q->wanted + (q->wanted_max ? q->wanted_max / 8 + 1 : 0), 0,
                       max / 8 + 1 - (q->wanted_max ? q->wanted_max / 8 + 1 : 0));
                q->wanted_max = max;
        }
        q->wanted[type / 8] |= (uint8_t) (1U << type % 8);
        if (q->chain_types && q->chain_types->len == QUERY_CHAINS_MAX)
                q->chain_types = (g_array_unref(q->chain_types), NULL);
        if (q->chain_types)
                g_array_append_val(q->chain_types, type);
}

static int query_give_latest(Store *s, StoreQuery *q, int64_t type, Buffer *out) {
        sqlite3_stmt *row = store_statement(s, STORE_LATEST_OF);
        int r;

        (void) sqlite3_bind_int64(row, 1, type);
        r = store_row(s, row);
        if (r == 0)
                return store_error_text(s, -EUCLEAN, "a type has no event");
        if (r < 0)
                return r;
        r = answer_give(s, q, row, out);
        (void) sqlite3_reset(row);
        return r;
}

/* One row of types. 1: the range may have more, 0: it has not, <0. */
static int query_take_type(Store *s, StoreQuery *q, sqlite3_stmt *row, Buffer *out) {
        const KeyRange *range = &g_array_index(q->ranges, KeyRange, q->range);
        const void *key = sqlite3_column_blob(row, 1) ?: "";
        size_t size = (size_t) sqlite3_column_bytes(row, 1);
        int64_t type = sqlite3_column_int64(row, 0);
        int r;

        if (!key_in_range(range, key, size))
                return 0;
        if (q->budget-- <= 0) {
                buffer_clear(&q->at);
                buffer_append(&q->at, key, size);
                return 1;
        }
        if (type < 1 || type >= s->next_type)
                return store_error_text(s, -EUCLEAN, "a type's number is out of range");
        r = query_matches_key(s, q, key, size);
        if (r < 0)
                return r;
        if (r > 0 && q->kind == QUERY_LATEST) {
                r = query_give_latest(s, q, type, out);
                if (r < 0)
                        return r;
        } else if (r > 0)
                query_want_type(q, (uint32_t) type);
        return !range->exact;
}

static void query_range_begin(StoreQuery *q) {
        buffer_clear(&q->at);
        if (q->range < q->ranges->len) {
                const KeyRange *range = &g_array_index(q->ranges, KeyRange, q->range);

                buffer_append(&q->at, range->prefix, range->size);
        }
}

static int query_types(Store *s, StoreQuery *q, Buffer *out) {
        sqlite3_stmt *row = store_statement(s, STORE_TYPES_FROM);
        int r;

        if (q->range == q->ranges->len) {
                if (q->kind == QUERY_LATEST || !q->wanted)
                        answer_is_complete(q);
                else
                        q->phase = PHASE_SCAN;
                q->chains_stale = q->chain_types != NULL;
                return 0;
        }

        (void) bind_bytes(row, 1, buffer_begin(&q->at), buffer_size(&q->at));
        for (;;) {
                r = store_row(s, row);
                if (r > 0)
                        r = query_take_type(s, q, row, out);
                if (r <= 0 || q->budget < 0)
                        break;
        }
        (void) sqlite3_reset(row);
        if (r == 0) {
                q->budget--; /* also for ranges in which nothing is */
                q->range++;
                query_range_begin(q);
        }
        return MIN(r, 0);
}

/* ---- along the history ------------------------------------------------------------------------------- */

static Place row_place(const StoreQuery *q, sqlite3_stmt *row) {
        Place place = { .number = sqlite3_column_int64(row, COLUMN_NUMBER) };

        if (q->by_source) {
                place.s = sqlite3_column_int64(row, COLUMN_SOURCE_S);
                place.us = sqlite3_column_int64(row, COLUMN_SOURCE_US);
        }
        return place;
}

/* Whether nothing that is wanted can come any more. */
static bool place_is_behind(const StoreQuery *q, const Place *place) {
        Timestamp source;

        if (!q->by_source)
                return q->descending ? place->number < q->low : place->number > q->high;
        source = (Timestamp) { .s = place->s, .us = (int32_t) place->us };
        return q->descending ? q->has_source_from && timestamp_compare(&source, &q->source_from) < 0 :
                               q->has_source_to && timestamp_compare(&source, &q->source_to) > 0;
}

static bool query_wants_row(const StoreQuery *q, sqlite3_stmt *row) {
        int64_t number = sqlite3_column_int64(row, COLUMN_NUMBER);
        bool has_source;
        Timestamp source;

        if (number < q->low || number > q->high)
                return false;
        if (q->kind == QUERY_SERVER)
                return sqlite3_column_int64(row, COLUMN_SERVER) == q->server_id;
        if (!query_wants_type(q, sqlite3_column_int64(row, COLUMN_TYPE)))
                return false;
        if (!q->by_source && !q->has_source_from && !q->has_source_to)
                return true;
        has_source = sqlite3_column_type(row, COLUMN_SOURCE_S) != SQLITE_NULL;
        source = (Timestamp) { .s = sqlite3_column_int64(row, COLUMN_SOURCE_S),
                               .us = sqlite3_column_int(row, COLUMN_SOURCE_US) };
        return query_wants_source(q, has_source, source);
}

static sqlite3_stmt *scan_statement(Store *s, const StoreQuery *q) {
        sqlite3_stmt *row;

        if (q->by_source) {
                row = store_statement(s, q->descending ? STORE_SOURCE_DOWN : STORE_SOURCE_UP);
                (void) sqlite3_bind_int64(row, 1, q->cursor.s);
                (void) sqlite3_bind_int64(row, 2, q->cursor.us);
                (void) sqlite3_bind_int64(row, 3, q->cursor.number);
                return row;
        }
        row = store_statement(s, q->descending ? STORE_EVENTS_DOWN : STORE_EVENTS_UP);
        (void) sqlite3_bind_int64(row, 1,
                                  q->descending ? MIN(q->cursor.number - 1, q->high) :
                                                  MAX(q->cursor.number + 1, q->low));
        return row;
}

/* A turn of the scan. */
static int query_scan(Store *s, StoreQuery *q, Buffer *out) {
        sqlite3_stmt *row = scan_statement(s, q);
        int r = 1;

        for (unsigned i = 0; i < s->turn_rows && q->budget > 0 && r > 0; i++) {
                Place place;

                r = store_row(s, row);
                if (r <= 0)
                        break;
                place = row_place(q, row);
                if (place_is_behind(q, &place)) {
                        r = 0;
                        break;
                }
                q->cursor = place;
                q->budget--;
                if (query_wants_row(q, row))
                        r = answer_give(s, q, row, out);
        }
        (void) sqlite3_reset(row);
        if (r == 0)
                answer_is_complete(q);
        return MIN(r, 0);
}

static int query_run(Store *s, StoreQuery *q, Buffer *out) {
        int r;

        if (q->kind == QUERY_SERVER && q->cursor.number < q->high && q->cursor.number + 1 < s->now.first) {
                q->phase = PHASE_REMAINS;
                q->remains_type = 0;
                q->remains_end = MIN(s->now.first, q->high + 1);
                g_array_set_size(q->collected, 0);
                return 0;
        }
        if (q->chain_types) {
                r = query_walk(s, q);
                if (r < 0)
                        return r;
                if (r > 0) {
                        query_collected_sort(q);
                        q->phase = PHASE_COLLECTED;
                        return 0;
                }
        }
        return query_scan(s, q, out);
}

/* What the walk collected and the scan has not met. An event that is gone meanwhile was trimmed. */
static int query_give_collected(Store *s, StoreQuery *q, Buffer *out) {
        sqlite3_stmt *row = store_statement(s, STORE_EVENT);
        const Collected *c;
        int r;

        if (q->given == q->collected->len) {
                q->more = q->collected->len > q->limit; /* but for those that are gone it would be full */
                answer_is_complete(q);
                return 0;
        }
        c = &g_array_index(q->collected, Collected, q->given++);
        q->budget--;
        if (place_compare(q, &c->place, &q->cursor) <= 0)
                return 0;
        (void) sqlite3_bind_int64(row, 1, c->place.number);
        r = store_row(s, row);
        if (r <= 0)
                return r;
        r = 1;
        if (sqlite3_column_int64(row, COLUMN_TYPE) == c->type && query_wants_row(q, row))
                r = answer_give(s, q, row, out);
        (void) sqlite3_reset(row);
        if (r == 0)
                answer_is_complete(q);
        return MIN(r, 0);
}

/* ---- latest events that history no longer has (server) ----------------------------------------------- */

static bool id_is_after(const EventId *a, const EventId *b) {
        return a->session > b->session || (a->session == b->session && a->instance > b->instance);
}

static int query_remains(Store *s, StoreQuery *q) {
        sqlite3_stmt *row = store_statement(s, STORE_LATEST_FROM);
        int r = 1;

        (void) sqlite3_bind_int64(row, 1, q->remains_type);
        for (unsigned i = 0; i < s->turn_rows && q->budget > 0 && r > 0; i++) {
                int64_t type, number;
                EventId id;

                r = store_row(s, row);
                if (r <= 0)
                        break;
                type = sqlite3_column_int64(row, COLUMN_TYPE);
                number = sqlite3_column_int64(row, COLUMN_NUMBER);
                id = column_id(row);
                q->remains_type = type + 1;
                q->budget--;
                if (number > q->cursor.number && number < q->remains_end &&
                    id.server == q->server_id && (!q->has_last || id_is_after(&id, &q->last)))
                        query_collect(q, (Place) { .number = number }, (uint32_t) type);
        }
        (void) sqlite3_reset(row);
        if (r == 0) {
                query_collected_sort(q);
                q->phase = PHASE_GIVE_REMAINS;
        }
        return MIN(r, 0);
}

static int query_give_remains(Store *s, StoreQuery *q, Buffer *out) {
        sqlite3_stmt *row = store_statement(s, STORE_LATEST_OF);
        const Collected *c;
        int r;

        if (q->given == q->collected->len) {
                if (q->collected->len > q->limit) {
                        q->more = true;
                        answer_is_complete(q);
                        return 0;
                }
                q->cursor.number = q->remains_end - 1;
                q->phase = PHASE_SCAN;
                return 0;
        }
        c = &g_array_index(q->collected, Collected, q->given++);
        q->budget--;
        (void) sqlite3_bind_int64(row, 1, c->type);
        r = store_row(s, row);
        if (r <= 0)
                return r;
        r = 1;
        if (sqlite3_column_int64(row, COLUMN_NUMBER) == c->place.number) /* else it was replaced meanwhile */
                r = answer_give(s, q, row, out);
        (void) sqlite3_reset(row);
        if (r == 0)
                answer_is_complete(q);
        return MIN(r, 0);
}

/* ---- the first step ---------------------------------------------------------------------------------- */

/* The place where the scan begins, so that what it meets lies behind. */
static Place place_begin(const StoreQuery *q) {
        if (!q->by_source)
                return (Place) { .number = q->descending ? q->high + 1 : q->low - 1 };
        if (q->descending)
                return q->has_source_to ? (Place) { q->source_to.s, q->source_to.us, INT64_MAX } :
                                          (Place) { INT64_MAX, INT64_MAX, INT64_MAX };
        return q->has_source_from ? (Place) { q->source_from.s, q->source_from.us, INT64_MIN } :
                                    (Place) { INT64_MIN, INT64_MIN, INT64_MIN };
}

/* The scan begins behind the last event that the client has; nothing is left when it does not occur. */
static int query_begin_behind(Store *s, StoreQuery *q) {
        sqlite3_stmt *row = store_statement(s, STORE_EVENT);
        int64_t number;
        EventId id;
        Place place;
        Timestamp source;
        bool has_source;
        int r;

        r = store_seek_id(s, &q->last, false, &number);
        if (r < 0)
                return r;
        (void) sqlite3_bind_int64(row, 1, number);
        r = store_row(s, row);
        if (r < 0)
                return r;
        if (r == 0) {
                answer_is_complete(q);
                return 0;
        }
        id = column_id(row);
        place = row_place(q, row);
        has_source = sqlite3_column_type(row, COLUMN_SOURCE_S) != SQLITE_NULL;
        (void) sqlite3_reset(row);

        source = (Timestamp) { .s = place.s, .us = (int32_t) place.us };
        if (id.server != q->last.server || id.session != q->last.session || id.instance != q->last.instance ||
            (q->by_source ? !query_wants_source(q, has_source, source) : number < q->low || number > q->high))
                answer_is_complete(q);
        q->cursor = place;
        return 0;
}

static int query_begin_timeseries(Store *s, StoreQuery *q) {
        int64_t behind;
        int r;

        if (q->has_t_from) {
                r = store_seek_time(s, q->t_from, false, &q->low);
                if (r < 0)
                        return r;
        }
        if (q->has_t_to) {
                r = store_seek_time(s, q->t_to, true, &behind);
                if (r < 0)
                        return r;
                q->high = MIN(q->high, behind - 1);
        }
        q->cursor = place_begin(q);
        q->phase = q->all ? PHASE_SCAN : PHASE_TYPES;
        if (q->low > q->high)
                answer_is_complete(q);
        if (q->phase != PHASE_END && q->has_last)
                return query_begin_behind(s, q);
        return 0;
}

static int query_begin_server(Store *s, StoreQuery *q) {
        int r;

        q->phase = PHASE_SCAN;
        if (q->has_last) {
                r = store_seek_id(s, &q->last, true, &q->low);
                if (r < 0)
                        return r;
        }
        /* Whether latest events from before history are of interest: not when the client has some of history. */
        q->cursor.number = q->low == s->now.first ? 0 : q->low - 1;
        return 0;
}

static int query_begin(Store *s, StoreQuery *q, Buffer *out) {
        g_assert(buffer_size(out) == 0);
        answer_begin(out);
        q->undo_count = s->undo_count;
        q->committed = s->committed.next - 1;
        q->low = s->now.first;
        q->high = q->persisted ? q->committed : s->now.next - 1;

        switch (q->kind) {
        case QUERY_TIMESERIES:
                query_range_begin(q);
                return query_begin_timeseries(s, q);
        case QUERY_SERVER:
                return query_begin_server(s, q);
        case QUERY_LATEST:
        default:
                q->phase = PHASE_TYPES;
                query_range_begin(q);
                return 0;
        }
}

/* ---- steps ------------------------------------------------------------------------------------------- */

/* What was not yet committed may have been undone since the last step, and its numbers used again. */
static void query_follow(const Store *s, StoreQuery *q) {
        if (q->phase == PHASE_BEGIN || s->undo_count == q->undo_count)
                return;
        q->undo_count = s->undo_count;
        q->high = MIN(q->high, q->committed);
        q->chains_stale = q->chain_types != NULL;
}

static int query_go_on(Store *s, StoreQuery *q, Buffer *out) {
        switch (q->phase) {
        case PHASE_BEGIN:
                return query_begin(s, q, out);
        case PHASE_TYPES:
                return query_types(s, q, out);
        case PHASE_REMAINS:
                return query_remains(s, q);
        case PHASE_GIVE_REMAINS:
                return query_give_remains(s, q, out);
        case PHASE_SCAN:
                return query_run(s, q, out);
        case PHASE_COLLECTED:
                return query_give_collected(s, q, out);
        case PHASE_END:
        default:
                return 0;
        }
}

int store_query_step(Store *s, StoreQuery *q, Buffer *out) {
        int r;

        r = store_flush(s);
        if (r < 0)
                return r;
        query_follow(s, q);
        q->budget = s->slice_rows;
        while (q->phase != PHASE_END && q->budget > 0) {
                r = query_go_on(s, q, out);
                if (r < 0)
                        return r;
        }
        if (q->phase != PHASE_END)
                return 1;
        answer_end(q, out);
        return 0;
}
