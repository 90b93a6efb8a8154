/* SPDX-License-Identifier: Apache-2.0 */
/* The naive store and the script of operations: tests/unit/store-model.h. Single-threaded. */

#include "tests/unit/store-model.h"

#include <errno.h>

#include "event/server/peer-codec.h"
#include "event/server/store-internal.h"
#include "tests/unit/plain-match.h"

/* ---- events ------------------------------------------------------------------------------------------ */

static void *copy(const void *data, size_t size) {
        return size > 0 ? g_memdup2(data, size) : g_malloc(1);
}

static Event *event_copy(const Event *e) {
        Event *c = g_memdup2(e, sizeof *e);
        Subtype *subtypes = copy(e->type.subtypes, e->type.n * sizeof(Subtype));

        for (size_t i = 0; i < e->type.n; i++)
                subtypes[i].text = copy(subtypes[i].text, subtypes[i].size);
        c->type.subtypes = subtypes;
        c->payload.json.text = copy(e->payload.json.text, e->payload.json.size);
        c->payload.binary_type.text = copy(e->payload.binary_type.text, e->payload.binary_type.size);
        c->payload.data = copy(e->payload.data, e->payload.size);
        return c;
}

static void event_free(void *event) {
        Event *e = event;

        for (size_t i = 0; i < e->type.n; i++)
                g_free((void *) e->type.subtypes[i].text);
        g_free((void *) e->type.subtypes);
        g_free((void *) e->payload.json.text);
        g_free((void *) e->payload.binary_type.text);
        g_free((void *) e->payload.data);
        g_free(e);
}

void store_model_init(StoreModel *m) {
        *m = (StoreModel) {
                .events = g_ptr_array_new_with_free_func(event_free),
                .latest = g_hash_table_new_full(g_bytes_hash, g_bytes_equal, (GDestroyNotify) g_bytes_unref, NULL),
        };
}

void store_model_done(StoreModel *m) {
        g_ptr_array_unref(m->events);
        g_hash_table_unref(m->latest);
}

/* A type as one key. */
static GBytes *type_key(EventType type) {
        GByteArray *key = g_byte_array_new();

        for (size_t i = 0; i < type.n; i++) {
                g_byte_array_append(key, (const uint8_t *) &type.subtypes[i].size, sizeof(size_t));
                if (type.subtypes[i].size > 0)
                        g_byte_array_append(key, (const uint8_t *) type.subtypes[i].text, (guint) type.subtypes[i].size);
        }
        return g_byte_array_free_to_bytes(key);
}

void store_model_add(StoreModel *m, const Event *e) {
        g_hash_table_replace(m->latest, type_key(e->type), GUINT_TO_POINTER(m->events->len));
        g_ptr_array_add(m->events, event_copy(e));
}

void store_model_undo(StoreModel *m, guint n) {
        g_ptr_array_set_size(m->events, (int) n);
        m->first = MIN(m->first, n);
        g_hash_table_remove_all(m->latest);
        for (guint i = 0; i < n; i++)
                g_hash_table_replace(m->latest, type_key(store_model_event(m, i)->type), GUINT_TO_POINTER(i));
}

const Event *store_model_event(const StoreModel *m, guint i) {
        return g_ptr_array_index(m->events, i);
}

/* ---- queries ----------------------------------------------------------------------------------------- */

static bool is_latest(const StoreModel *m, guint i) {
        g_autoptr(GBytes) key = type_key(store_model_event(m, i)->type);

        return GPOINTER_TO_UINT(g_hash_table_lookup(m->latest, key)) == i;
}

static bool type_wanted(const EventerQuery *q, EventType type) {
        return !q->types || matches_plainly(type, q->types, q->n_types);
}

static bool within(const Timestamp *t, const Timestamp *from, const Timestamp *to) {
        return (!from || timestamp_compare(t, from) >= 0) && (!to || timestamp_compare(t, to) <= 0);
}

static bool source_within(const EventerQuery *q, const Event *e) {
        if (!e->has_source)
                return !q->source_t_from && !q->source_t_to && q->order_by != QUERY_BY_SOURCE_TIMESTAMP;
        return within(&e->source, q->source_t_from, q->source_t_to);
}

static bool same_id(const EventId *a, const EventId *b) {
        return a->server == b->server && a->session == b->session && a->instance == b->instance;
}

static int compare_sources(const void *a, const void *b) {
        const Event *const *x = a, *const *y = b;

        return timestamp_compare(&(*x)->source, &(*y)->source);
}

static void reverse(GPtrArray *list) {
        for (guint i = 0; i < list->len / 2; i++) {
                void *e = list->pdata[i];

                list->pdata[i] = list->pdata[list->len - 1 - i];
                list->pdata[list->len - 1 - i] = e;
        }
}

/* All that the bounds of the order's own time let through, in result order. */
static GPtrArray *in_order(const StoreModel *m, const EventerQuery *q) {
        GPtrArray *list = g_ptr_array_new();

        for (guint i = m->first; i < m->events->len; i++) {
                const Event *e = store_model_event(m, i);

                if (q->order_by == QUERY_BY_SOURCE_TIMESTAMP ? source_within(q, e) :
                                                               within(&e->timestamp, q->t_from, q->t_to))
                        g_ptr_array_add(list, (void *) e);
        }
        if (q->order_by == QUERY_BY_SOURCE_TIMESTAMP)
                g_ptr_array_sort(list, compare_sources); /* stable: equal times stay in natural order */
        if (q->order == QUERY_DESCENDING)
                reverse(list);
        return list;
}

static GPtrArray *timeseries(const StoreModel *m, const EventerQuery *q) {
        GPtrArray *list = g_ptr_array_new();
        g_autoptr(GPtrArray) all = in_order(m, q);
        bool met = !q->last_event_id;

        for (guint i = 0; i < all->len; i++) {
                const Event *e = all->pdata[i];

                if (met && type_wanted(q, e->type) && source_within(q, e) && within(&e->timestamp, q->t_from, q->t_to))
                        g_ptr_array_add(list, (void *) e);
                met = met || same_id(&e->id, q->last_event_id);
        }
        return list;
}

static GPtrArray *server(const StoreModel *m, const EventerQuery *q) {
        GPtrArray *list = g_ptr_array_new();

        for (guint i = 0; i < (q->persisted ? m->committed : m->events->len); i++) {
                const Event *e = store_model_event(m, i);
                const EventId *last = q->last_event_id;

                if (e->id.server == q->server_id && (i >= m->first || is_latest(m, i)) &&
                    (!last || e->id.session > last->session ||
                     (e->id.session == last->session && e->id.instance > last->instance)))
                        g_ptr_array_add(list, (void *) e);
        }
        return list;
}

static GPtrArray *latest(const StoreModel *m, const EventerQuery *q) {
        GPtrArray *list = g_ptr_array_new();

        for (guint i = 0; i < m->events->len; i++)
                if (is_latest(m, i) && type_wanted(q, store_model_event(m, i)->type))
                        g_ptr_array_add(list, (void *) store_model_event(m, i));
        return list;
}

/* Cut at the number and the bytes that an answer may have; whether it was. */
static bool cut(const EventerQuery *q, GPtrArray *list) {
        guint limit = (guint) (q->max_results ? MIN(*q->max_results, STORE_RESULTS_MAX) : STORE_RESULTS_MAX), n = 0;
        Buffer b = { 0 };

        for (; n < MIN(list->len, limit); n++) {
                event_encode(&b, list->pdata[n]);
                if (n > 0 && buffer_size(&b) > STORE_ANSWER_MAX)
                        break;
        }
        buffer_done(&b);
        if (n == list->len)
                return false;
        g_ptr_array_set_size(list, (int) n);
        return true;
}

static int compare_ids(const void *a, const void *b) {
        const Event *const *x = a, *const *y = b;

        if ((*x)->id.session != (*y)->id.session)
                return (*x)->id.session < (*y)->id.session ? -1 : 1;
        return ((*x)->id.instance > (*y)->id.instance) - ((*x)->id.instance < (*y)->id.instance);
}

static void check_events(const Event *const *expected, size_t n, const Event *const *got, size_t n_got) {
        g_assert_cmpuint(n_got, ==, n);
        for (size_t i = 0; i < n; i++) {
                Buffer a = { 0 }, b = { 0 };

                event_encode(&a, expected[i]);
                event_encode(&b, got[i]);
                g_assert_cmpmem(buffer_begin(&a), buffer_size(&a), buffer_begin(&b), buffer_size(&b));
                buffer_done(&a);
                buffer_done(&b);
        }
}

/* The answer's events; `list` owns them. */
static GPtrArray *decode_answer(const Buffer *answer, EventList *list, bool *ret_more) {
        SbsReader r = { .at = buffer_begin(answer), .end = buffer_begin(answer) + buffer_size(answer) };
        GPtrArray *got = g_ptr_array_new();

        event_list_init(list);
        g_assert_cmpint(event_list_decode(list, &r), ==, 0);
        g_assert_cmpint(sbs_read_boolean(&r, ret_more), ==, 0);
        g_assert_cmpuint(sbs_left(&r), ==, 0);
        for (guint i = 0; i < list->events->len; i++)
                g_ptr_array_add(got, &g_array_index(list->events, Event, i));
        return got;
}

static GPtrArray *model_answer(const StoreModel *m, const EventerQuery *q, bool *ret_more) {
        GPtrArray *list = q->kind == QUERY_LATEST     ? latest(m, q) :
                          q->kind == QUERY_TIMESERIES ? timeseries(m, q) :
                                                        server(m, q);

        *ret_more = q->kind == QUERY_LATEST ? false : cut(q, list);
        return list;
}

static void check_list(const EventerQuery *q, GPtrArray *expected, bool expected_more, const Buffer *answer) {
        g_autoptr(GPtrArray) got = NULL;
        EventList list;
        bool more;

        got = decode_answer(answer, &list, &more);
        if (q->kind == QUERY_LATEST)
                g_ptr_array_sort(got, compare_ids); /* its order is not defined */
        check_events((const Event *const *) expected->pdata, expected->len, (const Event *const *) got->pdata,
                     got->len);
        g_assert_true(more == expected_more);
        event_list_done(&list);
}

void store_model_check(const StoreModel *m, const EventerQuery *q, const Buffer *answer) {
        bool more;
        g_autoptr(GPtrArray) expected = model_answer(m, q, &more);

        check_list(q, expected, more, answer);
}

void store_model_query(const StoreModel *m, Store *s, const EventerQuery *query) {
        _cleanup_(store_query_freep) StoreQuery *q = NULL;
        Buffer out = { 0 };
        int r;

        g_assert_cmpint(store_query_new(query, &q), ==, 0);
        do
                r = store_query_step(s, q, &out);
        while (r > 0);
        g_assert_cmpint(r, ==, 0);
        store_model_check(m, query, &out);
        buffer_done(&out);
}

/* ---- choices ----------------------------------------------------------------------------------------- */

bool choices_left(const Choices *c) {
        return c->random || c->at < c->end;
}

unsigned choose(Choices *c, unsigned n) {
        if (c->random)
                return (unsigned) g_rand_int_range(c->random, 0, (gint32) n);
        return c->at < c->end ? *c->at++ % n : 0;
}

#define PICK(c, array) ((array)[choose((c), ELEMENTSOF(array))])

static EventType choose_type(Choices *c, bool query, Subtype memory[static 4]) {
        static const Subtype names[] = { { "a", 1 }, { "b", 1 }, { "", 0 },        { "ab", 2 },   { "a/b", 3 },
                                         { "?", 1 }, { "*", 1 }, { "a\0b", 3 }, { "\xc3\xa9", 2 } };
        size_t n = choose(c, 4);

        for (size_t i = 0; i < n; i++) {
                memory[i] = PICK(c, names);
                if (query && i + 1 < n && subtype_is(memory[i], "*"))
                        memory[i] = names[0];
        }
        return (EventType) { .subtypes = memory, .n = n };
}

static Payload choose_payload(Choices *c) {
        static const uint8_t data[1000] = { 0xff, 0, 1, 2 };
        static const size_t sizes[] = { 0, 1, 2, 4, sizeof data };
        static const JsonSpan texts[] = { JSON_LITERAL("true"), JSON_LITERAL("{\"a\": [1, 2]}"), JSON_LITERAL("null"),
                                          JSON_LITERAL("\"a longer text than the others\"") };

        switch (choose(c, 4)) {
        case 0:
                return (Payload) { .kind = PAYLOAD_NONE };
        case 1:
                return (Payload) { .kind = PAYLOAD_BINARY,
                                   .binary_type = { "t\0t", choose(c, 4) },
                                   .data = data,
                                   .size = PICK(c, sizes) };
        default:
                return (Payload) { .kind = PAYLOAD_JSON, .json = PICK(c, texts) };
        }
}

static Timestamp choose_time(Choices *c) {
        static const int64_t seconds[] = { INT64_MIN, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, INT64_MAX };

        return (Timestamp) { .s = PICK(c, seconds), .us = choose(c, 3) == 0 ? 999999 : (int32_t) choose(c, 2) };
}

/* ---- script ------------------------------------------------------------------------------------------ */

typedef struct Script {
        Choices *c;
        const char *path;
        StoreOptions options;
        Store *store;
        StoreModel model;
        EventId id; /* of the last event */
        Timestamp time;
        bool trimmed; /* since a query began */
} Script;

static void script_open(Script *x) {
        x->options.path = x->path;
        g_assert_cmpint(store_open(&x->options, &x->store, NULL), ==, 0);
        g_assert_nonnull(x->store);
        x->id.session = MAX(x->id.session, store_head(x->store).session);
        x->store->slice_rows = 1 + choose(x->c, 30);
        x->store->turn_rows = 1 + choose(x->c, 8);
        x->store->trim_rows = 1 + choose(x->c, 30);
        x->store->free_pages = choose(x->c, 10);
}

static void script_committed(Script *x) {
        x->model.committed = x->model.events->len;
}

static void script_follow_trim(Script *x) {
        if (x->options.max_events == 0)
                x->model.first = x->model.events->len;
}

static void script_write(Script *x) {
        unsigned n = 1 + choose(x->c, 6);
        Subtype memory[6][4];
        Event events[6];

        x->id = (EventId) { .server = choose(x->c, 8) == 0 ? 2 : 1, .session = x->id.session + 1 + choose(x->c, 2) };
        if (choose(x->c, 2) == 0) {
                x->time.s += choose(x->c, 3);
                x->time.us = (x->time.us + 1) % 2;
                if (x->time.us == 0)
                        x->time.s++;
        }
        for (unsigned i = 0; i < n; i++) {
                x->id.instance++;
                events[i] = (Event) {
                        .id = x->id,
                        .type = choose_type(x->c, false, memory[i]),
                        .timestamp = x->time,
                        .has_source = choose(x->c, 2),
                        .payload = choose_payload(x->c),
                };
                if (events[i].has_source)
                        events[i].source = choose_time(x->c);
                store_model_add(&x->model, events + i);
        }
        g_assert_cmpint(store_write(x->store, events, n), ==, 0);
        if (x->store->max_events == 0)
                script_follow_trim(x);
}

static void script_commit(Script *x) {
        g_assert_cmpint(store_commit(x->store), ==, 0);
        script_committed(x);
}

static int64_t script_number(Script *x, StoreStatement which) {
        int64_t number;

        g_assert_cmpint(store_number(x->store, which, &number), >=, 0);
        return number;
}

/* What is in use. It cannot be foretold, but looked at. */
static bool script_is_too_big(Script *x) {
        int64_t used = script_number(x, STORE_PAGE_COUNT) - script_number(x, STORE_FREE_COUNT);

        return x->options.max_bytes >= 0 && used * script_number(x, STORE_PAGE_SIZE) > x->options.max_bytes;
}

/* Where history begins after the next step. */
static guint script_trim_end(Script *x) {
        const StoreModel *m = &x->model;
        guint n = m->events->len, end = m->first;
        int64_t keep = x->options.max_events;

        if (keep >= 0 && n - m->first > keep)
                end = n - (guint) keep;
        if (x->options.max_age != USEC_INFINITY) {
                Timestamp oldest = { .s = x->time.s - (int64_t) (x->options.max_age / USEC_PER_SEC), .us = x->time.us };

                while (end < n && timestamp_compare(&store_model_event(m, end)->timestamp, &oldest) < 0)
                        end++;
        }
        if (script_is_too_big(x))
                end = n;
        return MIN(end, m->first + x->store->trim_rows);
}

/* A step takes no more than the bounds ask for, and the last one leaves nothing that they forbid. */
static void script_trim(Script *x) {
        StoreModel *m = &x->model;
        int64_t unused;
        int r;

        script_commit(x);
        do {
                m->first = script_trim_end(x);
                r = store_trim(x->store, x->time);
                g_assert_cmpint(x->store->now.first, ==, m->first + 1);
        } while (r > 0);
        g_assert_cmpint(r, ==, 0);
        g_assert_true(m->first == m->events->len || !script_is_too_big(x));
        unused = script_number(x, STORE_FREE_COUNT);
        g_assert_cmpint(unused, <=, MAX(script_number(x, STORE_PAGE_COUNT) / STORE_FREE_PART, x->store->free_pages));
        x->trimmed = true;
}

static void script_undo(Script *x) {
        (void) store_undo(x->store, -EIO);
        store_model_undo(&x->model, x->model.committed);
        script_follow_trim(x);
}

static void script_reopen(Script *x) {
        int64_t last = store_head(x->store).session;
        bool lost;

        if (streq(x->path, ":memory:"))
                return;
        script_commit(x);
        lost = x->store->lost;
        x->store = store_close(x->store);
        script_open(x);
        g_assert_cmpint(store_head(x->store).session, >=, lost ? last + STORE_RESERVE / 2 : last);
        g_assert_true(lost || store_head(x->store).session == last);
}

/* The query's memory. */
typedef struct Asked {
        EventerQuery query;
        Subtype subtypes[3][4];
        EventType types[3];
        Timestamp times[4];
        int64_t max_results;
        EventId last;
} Asked;

static void choose_page(Script *x, Asked *a) {
        static const int64_t limits[] = { 0, 1, 2, 3, 10, 5000 };
        guint n = x->model.events->len;

        if (choose(x->c, 2) == 0) {
                a->max_results = PICK(x->c, limits);
                a->query.max_results = &a->max_results;
        }
        switch (choose(x->c, 4)) {
        case 0:
                a->last = (EventId) { .server = 1, .session = choose(x->c, 20), .instance = choose(x->c, 5) };
                break;
        case 1:
                if (n > 0) {
                        a->last = store_model_event(&x->model, (choose(x->c, 256) * 256 + choose(x->c, 256)) % n)->id;
                        break;
                }
                return;
        default:
                return;
        }
        a->query.last_event_id = &a->last;
}

static void choose_types(Script *x, Asked *a) {
        if (choose(x->c, 3) == 0)
                return;
        a->query.types = a->types;
        a->query.n_types = choose(x->c, 4);
        for (size_t i = 0; i < a->query.n_types; i++)
                a->types[i] = choose_type(x->c, true, a->subtypes[i]);
}

static void choose_query(Script *x, Asked *a) {
        const Timestamp **bounds[] = { &a->query.t_from, &a->query.t_to, &a->query.source_t_from, &a->query.source_t_to };

        *a = (Asked) { .query.kind = (QueryKind) choose(x->c, 3) };
        if (a->query.kind != QUERY_SERVER)
                choose_types(x, a);
        if (a->query.kind == QUERY_LATEST)
                return;
        choose_page(x, a);
        if (a->query.kind == QUERY_SERVER) {
                a->query.server_id = a->query.last_event_id ? a->last.server : 1 + choose(x->c, 2);
                a->query.persisted = choose(x->c, 2);
                return;
        }
        a->query.order = (QueryOrder) choose(x->c, 2);
        a->query.order_by = (QueryOrderBy) choose(x->c, 2);
        for (unsigned i = 0; i < ELEMENTSOF(bounds); i++)
                if (choose(x->c, 3) == 0) {
                        a->times[i] = choose_time(x->c);
                        if (i < 2 && choose(x->c, 2) == 0)
                                a->times[i] = (Timestamp) { .s = x->time.s - choose(x->c, 30), .us = choose(x->c, 2) };
                        *bounds[i] = &a->times[i];
                }
}

/* Between two steps: what was written is not seen, what was trimmed may be missing. */
static void script_disturb(Script *x) {
        switch (choose(x->c, 12)) {
        case 0:
                script_write(x);
                break;
        case 1:
                script_commit(x);
                break;
        case 2:
                script_trim(x);
                break;
        default:
                break;
        }
}

/* Each event of the answer is in the list, in the same order. */
static void check_is_part(GPtrArray *list, const Buffer *answer) {
        g_autoptr(GPtrArray) got = NULL;
        EventList events;
        guint at = 0;
        bool more;

        got = decode_answer(answer, &events, &more);
        for (guint i = 0; i < got->len; i++, at++) {
                while (at < list->len && !same_id(&((Event *) list->pdata[at])->id, &((Event *) got->pdata[i])->id))
                        at++;
                g_assert_cmpuint(at, <, list->len);
        }
        event_list_done(&events);
}

/* Of each type that was there one event, the one of then or a later one. */
static void check_is_later(GPtrArray *expected, const Buffer *answer) {
        g_autoptr(GPtrArray) got = NULL;
        EventList events;
        bool more;

        got = decode_answer(answer, &events, &more);
        for (guint i = 0; i < expected->len; i++) {
                const Event *e = expected->pdata[i];
                unsigned n = 0;

                for (guint j = 0; j < got->len; j++) {
                        const Event *other = got->pdata[j];

                        if (!event_type_equal(e->type, other->type))
                                continue;
                        g_assert_cmpint(other->id.session, >=, e->id.session);
                        n++;
                }
                g_assert_cmpuint(n, ==, 1);
        }
        event_list_done(&events);
}

static void script_query(Script *x) {
        _cleanup_(store_query_freep) StoreQuery *q = NULL;
        g_autoptr(GPtrArray) expected = NULL, whole = NULL;
        guint written = x->model.events->len;
        EventerQuery unlimited;
        Buffer out = { 0 };
        bool more, ignored, added;
        Asked a;
        int r;

        choose_query(x, &a);
        expected = model_answer(&x->model, &a.query, &more);
        unlimited = a.query;
        unlimited.max_results = NULL;
        whole = model_answer(&x->model, &unlimited, &ignored);
        x->trimmed = false;

        g_assert_cmpint(store_query_new(&a.query, &q), ==, 0);
        while ((r = store_query_step(x->store, q, &out)) > 0)
                script_disturb(x);
        g_assert_cmpint(r, ==, 0);
        added = x->model.events->len > written;
        if (a.query.kind == QUERY_LATEST && added)
                check_is_later(expected, &out);
        else if ((a.query.kind == QUERY_SERVER && added) || (a.query.kind != QUERY_LATEST && x->trimmed))
                check_is_part(whole, &out);
        else
                check_list(&a.query, expected, more, &out);
        buffer_done(&out);
}

static void script_has_type(Script *x) {
        Subtype memory[4];
        EventType type = choose_type(x->c, false, memory);
        int expected = 0;

        for (guint i = 0; i < x->model.events->len; i++)
                expected |= event_type_equal(store_model_event(&x->model, i)->type, type);
        g_assert_cmpint(store_has_type(x->store, type), ==, expected);
}

static void script_step(Script *x) {
        switch (choose(x->c, 16)) {
        case 0:
                script_commit(x);
                break;
        case 1:
                script_trim(x);
                break;
        case 2:
                script_has_type(x);
                break;
        case 3:
                script_undo(x);
                break;
        case 4:
                script_reopen(x);
                break;
        case 5:
        case 6:
        case 7:
        case 8:
        case 9:
                script_write(x);
                break;
        default:
                script_query(x);
        }
}

void store_script(Choices *c, const char *path, unsigned steps) {
        static const int64_t limits[] = { -1, -1, 0, 1, 5, 30, 100 };
        static const usec_t ages[] = { USEC_INFINITY, USEC_INFINITY, 0, 5 * USEC_PER_SEC, 50 * USEC_PER_SEC };
        static const int64_t sizes[] = { -1, -1, 1, 12 << 12, 15 << 12, 20 << 12, 30 << 12 };
        Script x = { .c = c, .path = path };

        x.options.max_events = PICK(c, limits);
        x.options.max_age = PICK(c, ages);
        x.options.max_bytes = PICK(c, sizes);
        store_model_init(&x.model);
        script_open(&x);
        for (unsigned i = 0; i < steps && choices_left(c); i++)
                script_step(&x);
        x.store = store_close(x.store);
        store_model_done(&x.model);
}
