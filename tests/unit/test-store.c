/* SPDX-License-Identifier: Apache-2.0 */
/* The event store: what it keeps, what it answers, what it trims. */

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/bounds.h"
#include "event/eventer-codec.h"
#include "event/server/store-internal.h"
#include "tests/unit/store-fixture.h"

static const Subtype a = { "a", 1 }, b = { "b", 1 };

/* ---- values ------------------------------------------------------------------------------------------ */

static const Payload payloads[] = {
        { .kind = PAYLOAD_NONE },
        { .kind = PAYLOAD_JSON, .json = { "null", 4 } },
        { .kind = PAYLOAD_JSON, .json = { "\"\xc3\xa9\"", 4 } },
        { .kind = PAYLOAD_BINARY, .binary_type = { "", 0 }, .data = (const uint8_t *) "", .size = 0 },
        { .kind = PAYLOAD_BINARY, .binary_type = { "x\0y", 3 }, .data = (const uint8_t *) "\0\xff\0", .size = 3 },
        { .kind = PAYLOAD_BINARY, .binary_type = { "text", 4 }, .data = (const uint8_t *) "abc", .size = 3 },
};

static void test_payloads(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        fixture_open(&f);
        for (size_t i = 0; i < ELEMENTSOF(payloads); i++) {
                char name = (char) ('a' + i);

                g_assert_cmpint(fixture_try_one(&f, &(Subtype) { &name, 1 }, payloads + i), ==, 0);
                fixture_check_all(&f);
        }
        fixture_reopen(&f);
        fixture_check_all(&f);
}

/* One type goes through all payloads in one transaction: only the last is latest. */
static void test_latest_changes(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        fixture_open(&f);
        for (unsigned round = 0; round < 3; round++)
                for (size_t i = 0; i < ELEMENTSOF(payloads); i++)
                        g_assert_cmpint(fixture_try_one(&f, &a, payloads + (i * 5 + round) % ELEMENTSOF(payloads)), ==, 0);
        fixture_check_all(&f);
        fixture_reopen(&f);
        fixture_check_all(&f);
}

static void test_extremes(void) {
        _fixture_ f = { 0 };
        static const Timestamp times[] = { { INT64_MIN, 0 }, { -1, 999999 }, { 0, 0 }, { INT64_MAX, 999999 } };
        Event events[ELEMENTSOF(times)];

        fixture_init(&f);
        fixture_open(&f);
        f.id = (EventId) { .server = INT64_MAX, .session = INT64_MAX - 1, .instance = INT64_MAX - 10 };
        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                events[i] = fixture_event(&f, &a);
                events[i].timestamp = times[i];
                events[i].has_source = true;
                events[i].source = times[ELEMENTSOF(times) - 1 - i];
        }
        fixture_write(&f, events, ELEMENTSOF(times));
        for (size_t i = 0; i < ELEMENTSOF(times); i++)
                for (size_t j = 0; j < ELEMENTSOF(times); j++)
                        for (unsigned k = 0; k < 4; k++) {
                                EventerQuery q = { .kind = QUERY_TIMESERIES, .order = (QueryOrder) (k & 1),
                                                   .order_by = (QueryOrderBy) (k >> 1) };

                                q.t_from = times + i;
                                q.t_to = times + j;
                                fixture_check(&f, &q);
                                q.source_t_from = times + j;
                                fixture_check(&f, &q);
                                q.t_from = q.t_to = NULL;
                                q.source_t_to = times + i;
                                q.last_event_id = &events[i].id;
                                fixture_check(&f, &q);
                        }
        fixture_check(&f, &(EventerQuery) { .kind = QUERY_SERVER, .server_id = INT64_MAX });
        fixture_reopen(&f);
        fixture_check_all(&f);
        g_assert_cmpint(store_head(f.store).session, ==, INT64_MAX - 1);
        g_assert_cmpint(store_head(f.store).timestamp.s, ==, INT64_MAX);
        g_assert_cmpint(store_head(f.store).timestamp.us, ==, 999999);
}

static void test_types(void) {
        _fixture_ f = { 0 };
        Subtype many[512];
        g_autofree char *large = g_malloc(1 << 20);
        const EventType types[] = {
                { NULL, 0 },
                { many, 512 },
                { many, 511 },
                { &(const Subtype) { "a\0b", 3 }, 1 },
                { &(const Subtype) { "a", 1 }, 1 },
                { &(const Subtype) { "", 0 }, 1 },
                { (const Subtype[]) { { "", 0 }, { "", 0 } }, 2 },
                { &(const Subtype) { large, 1 << 20 }, 1 },
                { &(const Subtype) { "*", 1 }, 1 },
                { &(const Subtype) { "?", 1 }, 1 },
        };

        memset(large, 'x', 1 << 20);
        for (size_t i = 0; i < 512; i++)
                many[i] = i % 3 ? a : b;
        fixture_init(&f);
        fixture_open(&f);
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                Event e;

                g_assert_cmpint(store_has_type(f.store, types[i]), ==, 0);
                fixture_session(&f);
                e = fixture_event(&f, NULL);
                e.type = types[i];
                fixture_write(&f, &e, 1);
                g_assert_cmpint(store_has_type(f.store, types[i]), ==, 1);
        }
        fixture_reopen(&f);
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                g_assert_cmpint(store_has_type(f.store, types[i]), ==, 1);
                fixture_check(&f, &(EventerQuery) { .kind = QUERY_LATEST, .types = types + i, .n_types = 1 });
                fixture_check(&f, &(EventerQuery) { .kind = QUERY_TIMESERIES, .types = types + i, .n_types = 1 });
        }
        fixture_check_all(&f);
}

static void test_large_payload(void) {
        _fixture_ f = { 0 };
        g_autofree uint8_t *data = g_malloc0(3 << 20);
        Payload payload = { .kind = PAYLOAD_BINARY, .binary_type = SUBTYPE("big"), .data = data, .size = 1 << 20 };

        fixture_init(&f);
        fixture_open(&f);
        for (unsigned i = 0; i < 10; i++) {
                data[i] = (uint8_t) i;
                payload.size = i == 7 ? 5 << 19 : 1 << 20;
                g_assert_cmpint(fixture_try_one(&f, i % 2 ? &a : &b, &payload), ==, 0);
        }
        fixture_check_all(&f); /* answers end at 4 MiB */
        payload.size = 3 << 20;
        fixture_reopen(&f);
        fixture_check_all(&f);
}

/* An event that alone is larger than an answer may be is still given. */
static void test_large_event(void) {
        _fixture_ f = { 0 };
        g_autofree char *text = g_strnfill(5 << 20, '1');
        Payload payload = { .kind = PAYLOAD_JSON, .json = { text, 5 << 20 } };

        fixture_init(&f);
        f.options.path = ":memory:";
        fixture_open(&f);
        for (unsigned i = 0; i < 2; i++)
                g_assert_cmpint(fixture_try_one(&f, &a, &payload), ==, 0);
        fixture_check_all(&f);
}

static void test_latest_too_large(void) {
        _fixture_ f = { 0 };
        _cleanup_(store_query_freep) StoreQuery *q = NULL;
        _cleanup_(buffer_done) Buffer out = { 0 };
        g_autofree char *text = g_strnfill(1 << 20, '1');
        Payload payload = { .kind = PAYLOAD_JSON, .json = { text, 1 << 20 } };
        int r;

        fixture_init(&f);
        f.options.path = ":memory:";
        f.options.max_events = 0;
        fixture_open(&f);
        for (char i = 0; i < 64; i++)
                g_assert_cmpint(fixture_try_one(&f, &(Subtype) { &i, 1 }, &payload), ==, 0);
        g_assert_cmpint(store_query_new(&(EventerQuery) { .kind = QUERY_LATEST }, &q), ==, 0);
        do
                r = store_query_step(f.store, q, &out);
        while (r > 0);
        g_assert_cmpint(r, ==, -EMSGSIZE);
        g_assert_cmpuint(buffer_size(&out), <=, CHATTER_FRAME_MAX);
}

/* ---- sessions ---------------------------------------------------------------------------------------- */

static void test_head(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        fixture_open(&f);
        g_assert_cmpint(store_head(f.store).session, ==, 0);
        g_assert_cmpint(fixture_try_one(&f, &a, NULL), ==, 0);
        g_assert_cmpint(store_head(f.store).session, ==, 1);
        g_assert_cmpint(store_head(f.store).timestamp.s, ==, f.time.s);
        fixture_reopen(&f);
        g_assert_cmpint(store_head(f.store).session, ==, 1);
        fixture_fill(&f, 250, 7);
        fixture_reopen(&f);
        g_assert_cmpint(store_head(f.store).session, ==, 4);
        g_assert_cmpint(store_head(f.store).timestamp.s, ==, f.time.s);
        fixture_check_all(&f);
}

static void test_order_of_sessions(void) {
        _fixture_ f = { 0 };
        Event e;

        fixture_init(&f);
        fixture_open(&f);
        f.id = (EventId) { .server = 1, .session = 5 };
        e = fixture_event(&f, &a);
        fixture_write(&f, &e, 1);
        g_assert_cmpint(store_write(f.store, &e, 1), ==, -EINVAL); /* the same once more */
        e.id.instance++;
        e.timestamp.s--;
        g_assert_cmpint(store_write(f.store, &e, 1), ==, -EINVAL);
        e.timestamp.s++;
        e.id.server = 7; /* sessions go on upward over all servers */
        fixture_write(&f, &e, 1);
        e.id.session = 4;
        g_assert_cmpint(store_write(f.store, &e, 1), ==, -EINVAL);
        fixture_commit(&f); /* nothing was undone by it */
        fixture_check_all(&f);
        fixture_check(&f, &(EventerQuery) { .kind = QUERY_SERVER, .server_id = 7 });
        g_assert_cmpint(store_write(f.store, NULL, 0), ==, 0);
        g_assert_cmpint(store_commit(f.store), ==, 0);
}

/* ---- queries ----------------------------------------------------------------------------------------- */

static int ask(const EventerQuery *query) {
        _cleanup_(store_query_freep) StoreQuery *q = NULL;

        return store_query_new(query, &q);
}

static void test_refused(void) {
        static const Subtype middle[] = { { "a", 1 }, { "*", 1 }, { "b", 1 } }, rest[] = { { "*", 1 } }, behind[] = { { "a", 1 }, { "*", 1 } };
        const EventType bad = { middle, 3 }, all = { rest, 1 }, shadow = { behind, 2 };
        const EventType first[] = { bad, all }, last[] = { all, bad }, shadowed[] = { shadow, bad }, not_shadowed[] = { bad, shadow };
        const Timestamp negative = { 0, -1 }, large = { 0, 999999 };
        const int64_t minus = -1, zero = 0;
        EventId id = { 1, 0, 0 }, other = { 2, 0, 0 }, session = { 1, -1, 0 }, instance = { 1, 0, -1 };
        const struct {
                EventerQuery query;
                int result;
        } table[] = {
                { { .kind = QUERY_TIMESERIES, .types = &bad, .n_types = 1 }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .types = first, .n_types = 2 }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .types = last, .n_types = 2 }, 0 },
                { { .kind = QUERY_TIMESERIES, .types = shadowed, .n_types = 2 }, 0 },
                { { .kind = QUERY_TIMESERIES, .types = not_shadowed, .n_types = 2 }, -EBADMSG },
                { { .kind = QUERY_LATEST, .types = &bad, .n_types = 1 }, -EBADMSG },
                { { .kind = QUERY_LATEST, .types = first, .n_types = 2 }, 0 },
                { { .kind = QUERY_LATEST, .types = last, .n_types = 2 }, 0 },
                { { .kind = QUERY_LATEST, .types = shadowed, .n_types = 2 }, 0 },
                { { .kind = QUERY_LATEST, .types = not_shadowed, .n_types = 2 }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .max_results = &minus }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .max_results = &zero }, 0 },
                { { .kind = QUERY_SERVER, .max_results = &minus }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .t_from = &negative }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .t_to = &negative }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .source_t_from = &negative }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .source_t_to = &negative }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .source_t_to = &large }, 0 },
                { { .kind = QUERY_SERVER, .server_id = 1, .last_event_id = &id }, 0 },
                { { .kind = QUERY_SERVER, .server_id = 1, .last_event_id = &other }, -EBADMSG },
                { { .kind = QUERY_SERVER, .server_id = 1, .last_event_id = &session }, -EBADMSG },
                { { .kind = QUERY_SERVER, .server_id = 1, .last_event_id = &instance }, -EBADMSG },
                { { .kind = QUERY_SERVER, .server_id = -1 }, -EBADMSG },
                { { .kind = QUERY_TIMESERIES, .last_event_id = &session }, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_test_message("query %zu", i);
                g_assert_cmpint(ask(&table[i].query), ==, table[i].result);
        }
}

/* Page after page gives everything once. */
static void check_pages(Fixture *f, EventerQuery q, int64_t page, guint expected) {
        guint n = 0;
        EventId last;
        bool more;

        q.max_results = &page;
        do {
                _cleanup_(store_query_freep) StoreQuery *query = NULL;
                _cleanup_(buffer_done) Buffer out = { 0 };
                EventList list;
                SbsReader r;

                store_model_query(&f->model, f->store, &q);
                g_assert_cmpint(store_query_new(&q, &query), ==, 0);
                while (store_query_step(f->store, query, &out) > 0)
                        ;
                r = (SbsReader) { .at = buffer_begin(&out), .end = buffer_begin(&out) + buffer_size(&out) };
                event_list_init(&list);
                g_assert_cmpint(event_list_decode(&list, &r), ==, 0);
                g_assert_cmpint(sbs_read_boolean(&r, &more), ==, 0);
                n += list.events->len;
                if (list.events->len > 0) {
                        last = g_array_index(list.events, Event, list.events->len - 1).id;
                        q.last_event_id = &last;
                }
                event_list_done(&list);
        } while (more);
        g_assert_cmpuint(n, ==, expected);
}

static void test_pages(void) {
        static const Subtype one[] = { { "type-7", 6 } };
        const EventType type = { one, 1 };
        _fixture_ f = { 0 };

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 900, 10);
        for (unsigned i = 0; i < 4; i++) {
                EventerQuery q = { .kind = QUERY_TIMESERIES, .order = (QueryOrder) (i & 1), .order_by = (QueryOrderBy) (i >> 1) };

                check_pages(&f, q, 70, i < 2 ? 900 : 300);
                q.types = &type;
                q.n_types = 1;
                check_pages(&f, q, 7, i < 2 ? 90 : 30);
        }
        check_pages(&f, (EventerQuery) { .kind = QUERY_SERVER, .server_id = 1 }, 90, 900);
}

static void test_limit(void) {
        _fixture_ f = { 0 };
        const int64_t limits[] = { 0, 1, STORE_RESULTS_MAX - 1, STORE_RESULTS_MAX, STORE_RESULTS_MAX + 1, INT64_MAX };

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, STORE_RESULTS_MAX, 3);
        for (unsigned round = 0; round < 2; round++) {
                for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                        fixture_check(&f, &(EventerQuery) { .kind = QUERY_TIMESERIES, .max_results = limits + i });
                        fixture_check(&f, &(EventerQuery) { .kind = QUERY_SERVER, .server_id = 1, .max_results = limits + i });
                }
                fixture_fill(&f, 1, 1);
        }
}

/* More rows than a step looks at; what is written between is not seen. */
static void test_slices(void) {
        static const Subtype few[] = { { "type-1", 6 } }, none[] = { { "type-1", 6 }, { "?", 1 } };
        const EventType types[] = { { few, 1 }, { none, 2 } };
        const Timestamp never = { .s = 2000 }, begin = { 0 };
        _fixture_ f = { 0 };

        fixture_init(&f);
        f.options.path = ":memory:";
        fixture_open(&f);
        fixture_fill(&f, 3 * STORE_SLICE_ROWS, 20000);
        for (unsigned i = 0; i < 12; i++) {
                _cleanup_(store_query_freep) StoreQuery *q = NULL;
                _cleanup_(buffer_done) Buffer out = { 0 };
                EventerQuery query = { .kind = QUERY_TIMESERIES, .order = (QueryOrder) (i & 1), .order_by = (QueryOrderBy) (i >> 1 & 1),
                                       .types = i < 4 ? NULL : types + (i < 8), .n_types = 1,
                                       .source_t_from = i < 4 ? &never : &begin };
                unsigned steps = 0;
                int r;

                g_assert_cmpint(store_query_new(&query, &q), ==, 0);
                r = store_query_step(f.store, q, &out);
                if (r > 0)
                        g_assert_cmpint(fixture_try_one(&f, few, NULL), ==, 0);
                while (r > 0) {
                        steps++;
                        r = store_query_step(f.store, q, &out);
                }
                g_assert_cmpint(r, ==, 0);
                if (i < 2)
                        g_assert_cmpuint(steps, >=, 2);
                store_model_check(&f.model, &query, &out);
        }
        fixture_check(&f, &(EventerQuery) { .kind = QUERY_LATEST });
}

static void test_persisted(void) {
        EventerQuery q = { .kind = QUERY_SERVER, .server_id = 1, .persisted = true };
        _fixture_ f = { 0 };

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 10, 3);
        fixture_check(&f, &q);
        fixture_commit(&f);
        fixture_check(&f, &q);
        fixture_fill(&f, 10, 3);
        fixture_check(&f, &q);
        fixture_commit(&f);
        fixture_check(&f, &q);
}

/* More types than a walk follows. */
static void test_many_types(void) {
        static const Subtype half[] = { { "?", 1 } };
        const EventType type = { half, 1 };
        const Timestamp from = { .s = 10 };
        _fixture_ f = { 0 };

        fixture_init(&f);
        f.options.path = ":memory:";
        fixture_open(&f);
        fixture_fill(&f, 6000, 5000);
        for (unsigned i = 0; i < 2; i++)
                fixture_check(&f, &(EventerQuery) { .kind = QUERY_TIMESERIES, .types = &type, .n_types = 1,
                                                    .source_t_from = &from, .order = (QueryOrder) i });
}

static int64_t count_types(Store *s) {
        sqlite3_stmt *row = NULL;
        int64_t n;

        g_assert_cmpint(sqlite3_prepare_v2(s->db, "SELECT count(*) FROM types", -1, &row, NULL), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_step(row), ==, SQLITE_ROW);
        n = sqlite3_column_int64(row, 0);
        (void) sqlite3_finalize(row);
        return n;
}

/* More types than the cache holds: it stays bounded, and none is made twice. */
static void test_cache_of_types(void) {
        enum { N = 120000 };
        _fixture_ f = { 0 };
        char name[16];

        fixture_init(&f);
        f.options.path = ":memory:";
        f.options.max_events = 0;
        fixture_open(&f);
        for (unsigned i = 0; i < N + 2000; i++) {
                Subtype subtype = { name, (size_t) g_snprintf(name, sizeof name, "type-%u", i % N) };
                Event e;

                fixture_session(&f);
                e = fixture_event(&f, &subtype);
                g_assert_cmpint(store_write(f.store, &e, 1), ==, 0);
        }
        g_assert_cmpuint(f.store->types.n_slots, <=, TYPE_CACHE_SLOTS_MAX);
        g_assert_cmpuint(f.store->types.n, <, TYPE_CACHE_SLOTS_MAX);
        fixture_commit(&f);
        g_assert_cmpint(count_types(f.store), ==, N);
        g_assert_cmpint(store_has_type(f.store, (EventType) { &SUBTYPE("type-119999"), 1 }), ==, 1);
        g_assert_cmpint(store_has_type(f.store, (EventType) { &SUBTYPE("type-120000"), 1 }), ==, 0);
}

/* ---- trimming ---------------------------------------------------------------------------------------- */

static void test_trim_events(void) {
        _fixture_ f = { 0 };
        unsigned steps = 0;
        int r;

        fixture_init(&f);
        f.options.max_events = 500;
        fixture_open(&f);
        fixture_fill(&f, 4000, 300);
        g_assert_cmpint(store_trim(f.store, f.time), ==, -EBUSY);
        fixture_commit(&f);
        while ((r = store_trim(f.store, f.time)) > 0) {
                steps++;
                f.model.first = MIN(steps * STORE_TRIM_ROWS, 3500);
                fixture_check_all(&f);
        }
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpuint(steps, >=, 4);
        fixture_check_all(&f);
        fixture_reopen(&f);
        fixture_check_all(&f);
}

static void test_trim_age(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        f.options.max_age = 3 * USEC_PER_SEC;
        fixture_open(&f);
        fixture_fill(&f, 1000, 5); /* ten sessions, a second each */
        fixture_commit(&f);
        fixture_trim(&f);
        f.model.first = 600;
        fixture_check_all(&f);
        f.time.s += 100;
        fixture_trim(&f);
        f.model.first = 1000;
        fixture_check_all(&f);
        g_assert_cmpint(store_head(f.store).session, ==, 10);
        fixture_reopen(&f);
        fixture_check_all(&f);
        g_assert_cmpint(store_head(f.store).session, ==, 10);
        fixture_fill(&f, 10, 5);
        fixture_check_all(&f);
}

/* A clock that was set far back, or a strange age, does no harm. */
static void test_trim_strange_times(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        f.options.max_age = USEC_INFINITY - 1;
        fixture_open(&f);
        fixture_fill(&f, 10, 5);
        fixture_commit(&f);
        g_assert_cmpint(store_trim(f.store, (Timestamp) { .s = INT64_MIN }), ==, 0);
        g_assert_cmpint(store_trim(f.store, (Timestamp) { .s = INT64_MAX, .us = 999999 }), ==, 1);
        f.model.first = 10;
        fixture_check_all(&f);
}

static void test_trim_bytes(void) {
        _fixture_ f = { 0 };
        struct stat full, less;

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 50000, 50);
        fixture_commit(&f);
        f.options.max_bytes = 1 << 19;
        fixture_reopen(&f);
        g_assert_cmpint(stat(f.path, &full), ==, 0);
        g_assert_cmpint(full.st_size, >, 1 << 20);
        fixture_trim(&f);
        f.store = store_close(f.store);
        g_assert_cmpint(stat(f.path, &less), ==, 0);
        g_assert_cmpint(less.st_size, <=, (1 << 19) + (1 << 20)); /* 256 free pages stay */
        fixture_open(&f);
        g_assert_cmpint(f.store->now.first, >, 10000);
        g_assert_cmpint(f.store->now.first, <, 49000);
        f.model.first = (guint) f.store->now.first - 1;
        fixture_check_all(&f);
}

static void test_no_history(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 3000, 30);
        fixture_commit(&f);
        f.options.max_events = 0;
        fixture_reopen(&f);
        g_assert_cmpint(store_write(f.store, &(Event) { .id = { 1, 100, 1 }, .type = { &a, 1 }, .timestamp = { 5000, 0 } }, 1), ==, 0);
        store_model_add(&f.model, &(Event) { .id = { 1, 100, 1 }, .type = { &a, 1 }, .timestamp = { 5000, 0 } });
        fixture_check_all(&f); /* what is there goes only by trimming */
        fixture_commit(&f);
        f.time.s = 6000;
        f.id.session = 200;
        fixture_trim(&f);
        f.model.first = f.model.events->len;
        fixture_check_all(&f);
        fixture_fill(&f, 50, 60);
        fixture_check_all(&f);
        fixture_reopen(&f);
        fixture_check_all(&f);
        f.options.max_events = -1;
        fixture_reopen(&f);
        fixture_fill(&f, 50, 20);
        fixture_check_all(&f);
}

/* ---- threads ----------------------------------------------------------------------------------------- */

static void *on_thread(void *userdata) {
        Fixture *f = userdata;

        fixture_fill(f, 1000, 100);
        fixture_commit(f);
        for (unsigned i = 0; i < 3; i++)
                fixture_check(f, &(EventerQuery) { .kind = (QueryKind) i, .server_id = 1 });
        return NULL;
}

/* The store moves to a worker, whose stack is small. */
static void test_thread(void) {
        _fixture_ f = { 0 };
        pthread_attr_t attributes;
        pthread_t thread;

        fixture_init(&f);
        fixture_open(&f);
        g_assert_cmpint(pthread_attr_init(&attributes), ==, 0);
        g_assert_cmpint(pthread_attr_setstacksize(&attributes, 256 << 10), ==, 0);
        g_assert_cmpint(pthread_create(&thread, &attributes, on_thread, &f), ==, 0);
        g_assert_cmpint(pthread_join(thread, NULL), ==, 0);
        (void) pthread_attr_destroy(&attributes);
        fixture_check_all(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/store/payloads", test_payloads);
        g_test_add_func("/store/latest-changes", test_latest_changes);
        g_test_add_func("/store/extremes", test_extremes);
        g_test_add_func("/store/types", test_types);
        g_test_add_func("/store/large-payload", test_large_payload);
        g_test_add_func("/store/large-event", test_large_event);
        g_test_add_func("/store/latest-too-large", test_latest_too_large);
        g_test_add_func("/store/head", test_head);
        g_test_add_func("/store/order-of-sessions", test_order_of_sessions);
        g_test_add_func("/store/refused", test_refused);
        g_test_add_func("/store/pages", test_pages);
        g_test_add_func("/store/limit", test_limit);
        g_test_add_func("/store/slices", test_slices);
        g_test_add_func("/store/persisted", test_persisted);
        g_test_add_func("/store/many-types", test_many_types);
        g_test_add_func("/store/cache-of-types", test_cache_of_types);
        g_test_add_func("/store/trim-events", test_trim_events);
        g_test_add_func("/store/trim-age", test_trim_age);
        g_test_add_func("/store/trim-strange-times", test_trim_strange_times);
        g_test_add_func("/store/trim-bytes", test_trim_bytes);
        g_test_add_func("/store/no-history", test_no_history);
        g_test_add_func("/store/thread", test_thread);
        return g_test_run();
}
