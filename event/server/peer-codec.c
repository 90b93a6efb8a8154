/* SPDX-License-Identifier: Apache-2.0 */
/* The server's decoders of requests and its encoder of events: spec wire.md 3.2, 3.3. Pure functions;
 * the scratch memory is its owner's. */

#include "event/server/peer-codec.h"

#include <errno.h>

/* What the scratch keeps room for between messages: every client has one. */
#define KEEP 256U
#define SUBTYPES_KEEP (8 * KEEP)
/* A bound of a query beyond these microseconds makes the reference close the connection (wire.md 3.10). */
#define BOUND_US_END ((int64_t) 1 << 32)

void peer_scratch_init(PeerScratch *s) {
        *s = (PeerScratch) { .types = g_array_new(FALSE, FALSE, sizeof(EventType)) };
        event_list_init(&s->list);
}

void peer_scratch_done(PeerScratch *s) {
        event_list_done(&s->list);
        g_array_unref(s->types);
        *s = (PeerScratch) { 0 };
}

void peer_scratch_trim(PeerScratch *s) {
        if (s->list.events->len <= KEEP && s->list.subtypes->len <= SUBTYPES_KEEP && s->types->len <= KEEP)
                return;
        peer_scratch_done(s);
        peer_scratch_init(s);
}

/* ---- types of subscriptions and queries -------------------------------------------------------------- */

static void scratch_clear(PeerScratch *s) {
        event_list_clear(&s->list);
        g_array_set_size(s->types, 0);
}

/* The memory of the subtypes grows only with bytes that are there: a type is judged once it was read. */
static int bounded_type_decode(SbsReader *r, GArray *subtypes, guint max, EventType *ret) {
        int res;

        res = event_type_decode(r, subtypes, ret);
        if (res < 0)
                return res;
        return subtypes->len > max ? -EMSGSIZE : 0;
}

/* Array(EventType). */
static int types_decode(SbsReader *r, PeerScratch *s) {
        const Subtype *at;
        size_t n;
        int res;

        res = sbs_read_count(r, &n);
        if (res < 0)
                return res;
        if (n > PEER_TYPES_MAX)
                return -EMSGSIZE;

        for (size_t i = 0; i < n; i++) {
                EventType type;

                res = bounded_type_decode(r, s->list.subtypes, PEER_TYPES_SUBTYPES_MAX, &type);
                if (res < 0)
                        return res;
                g_array_append_val(s->types, type);
        }

        at = (const Subtype *) (void *) s->list.subtypes->data;
        for (guint i = 0; i < s->types->len; i++) {
                EventType *type = &g_array_index(s->types, EventType, i);

                if (type->n == 0)
                        continue;
                type->subtypes = at;
                at += type->n;
        }
        return 0;
}

/* Never NULL: an empty list is another thing than none. */
static const EventType *scratch_types(const PeerScratch *s) {
        static const EventType empty = { 0 };

        return s->types->len > 0 ? &g_array_index(s->types, EventType, 0) : &empty;
}

/* Optional(Array(EventType)). */
static int optional_types_decode(SbsReader *r, PeerScratch *s, EventerQuery *q) {
        unsigned has;
        int res;

        res = sbs_read_choice(r, 2, &has);
        if (res < 0 || !has)
                return res;
        res = types_decode(r, s);
        if (res < 0)
                return res;
        q->types = scratch_types(s);
        q->n_types = s->types->len;
        return 0;
}

/* ---- init -------------------------------------------------------------------------------------------- */

int init_request_decode(SbsReader *r, PeerScratch *s, PeerInit *ret) {
        PeerInit init = { 0 };
        int res;

        scratch_clear(s);
        res = sbs_read_string(r, &init.client_name.text, &init.client_name.size);
        if (res < 0)
                return res;
        res = sbs_read_optional_string(r, &init.has_token, &init.client_token.text, &init.client_token.size);
        if (res < 0)
                return res;
        res = types_decode(r, s);
        if (res < 0)
                return res;
        if (s->list.subtypes->len > PEER_INIT_SUBTYPES_MAX)
                return -EMSGSIZE;
        init.subscriptions = scratch_types(s);
        init.n_subscriptions = s->types->len;
        res = sbs_read_optional_integer(r, &init.has_server_id, &init.server_id);
        if (res < 0)
                return res;
        res = sbs_read_boolean(r, &init.persisted);
        if (res < 0)
                return res;
        *ret = init;
        return 0;
}

/* ---- registration ------------------------------------------------------------------------------------ */

static int source_decode(SbsReader *r, Event *e) {
        unsigned has;
        int64_t us;
        int res;

        res = sbs_read_choice(r, 2, &has);
        if (res < 0 || !has)
                return res;
        res = timestamp_decode(r, &e->source.s, &us);
        if (res < 0)
                return res;
        if (us < 0 || us > 999999)
                return -EBADMSG;
        e->source.us = (int32_t) us;
        e->has_source = true;
        return 0;
}

/* RegisterEvent but for the pointer to its subtypes. */
static int register_event_decode(SbsReader *r, GArray *subtypes, Event *e) {
        int res;

        *e = (Event) { 0 };
        res = bounded_type_decode(r, subtypes, PEER_EVENTS_SUBTYPES_MAX, &e->type);
        if (res < 0)
                return res;
        res = source_decode(r, e);
        if (res < 0)
                return res;
        res = payload_decode(r, &e->payload);
        if (res < 0)
                return res;
        if (e->payload.kind == PAYLOAD_JSON &&
            json_check(e->payload.json.text, e->payload.json.size, NULL) < 0)
                return -EBADMSG;
        return 0;
}

int register_request_decode(SbsReader *r, PeerScratch *s, const Event **ret, size_t *ret_n) {
        GArray *events;
        size_t n;
        int res;

        scratch_clear(s);
        events = s->list.events;
        res = sbs_read_count(r, &n);
        if (res < 0)
                return res;
        if (n > PEER_EVENTS_MAX)
                return -EMSGSIZE;

        g_array_set_size(events, (guint) n);
        for (guint i = 0; i < n; i++) {
                res = register_event_decode(r, s->list.subtypes, &g_array_index(events, Event, i));
                if (res < 0)
                        return res;
        }

        event_list_settle(&s->list);
        *ret = (const Event *) (void *) events->data;
        *ret_n = n;
        return 0;
}

/* ---- query ------------------------------------------------------------------------------------------- */

/* Optional(Timestamp), a bound. Microseconds beyond a second select as the reference compares them: all of
 * that second comes before them. */
static int bound_decode(SbsReader *r, bool from, Timestamp *memory, const Timestamp **ret) {
        unsigned has;
        int64_t us;
        int res;

        res = sbs_read_choice(r, 2, &has);
        if (res < 0 || !has)
                return res;
        res = timestamp_decode(r, &memory->s, &us);
        if (res < 0)
                return res;
        if (us < 0 || us >= BOUND_US_END)
                return -EBADMSG;

        if (us > 999999 && from && memory->s < INT64_MAX) {
                memory->s++;
                us = 0;
        }
        memory->us = (int32_t) MIN(us, 999999);
        *ret = memory;
        return 0;
}

static int times_decode(SbsReader *r, PeerScratch *s, EventerQuery *q) {
        const Timestamp **const bounds[ELEMENTSOF(s->times)] = { &q->t_from, &q->t_to, &q->source_t_from,
                                                                 &q->source_t_to };
        int res;

        for (size_t i = 0; i < ELEMENTSOF(bounds); i++) {
                res = bound_decode(r, i % 2 == 0, &s->times[i], bounds[i]);
                if (res < 0)
                        return res;
        }
        return 0;
}

/* maxResults and lastEventId, by which timeseries and server queries are paged. */
static int page_decode(SbsReader *r, PeerScratch *s, EventerQuery *q) {
        EventId *id = &s->last_event_id;
        unsigned has_id;
        bool has_max;
        int res;

        res = sbs_read_optional_integer(r, &has_max, &s->max_results);
        if (res < 0)
                return res;
        if (has_max)
                q->max_results = &s->max_results;

        res = sbs_read_choice(r, 2, &has_id);
        if (res < 0 || !has_id)
                return res;
        if (sbs_read_integer(r, &id->server) < 0 || sbs_read_integer(r, &id->session) < 0 ||
            sbs_read_integer(r, &id->instance) < 0)
                return -EBADMSG;
        q->last_event_id = id;
        return 0;
}

static int timeseries_decode(SbsReader *r, PeerScratch *s, EventerQuery *q) {
        unsigned order, order_by;
        int res;

        res = optional_types_decode(r, s, q);
        if (res < 0)
                return res;
        res = times_decode(r, s, q);
        if (res < 0)
                return res;
        if (sbs_read_choice(r, 2, &order) < 0 || sbs_read_choice(r, 2, &order_by) < 0)
                return -EBADMSG;
        q->order = (QueryOrder) order;
        q->order_by = (QueryOrderBy) order_by;
        return page_decode(r, s, q);
}

static int server_query_decode(SbsReader *r, PeerScratch *s, EventerQuery *q) {
        if (sbs_read_integer(r, &q->server_id) < 0 || sbs_read_boolean(r, &q->persisted) < 0)
                return -EBADMSG;
        return page_decode(r, s, q);
}

int query_decode(SbsReader *r, PeerScratch *s, EventerQuery *ret) {
        static int (*const decoders[])(SbsReader *r, PeerScratch *s, EventerQuery *q) = {
                [QUERY_LATEST] = optional_types_decode,
                [QUERY_TIMESERIES] = timeseries_decode,
                [QUERY_SERVER] = server_query_decode,
        };
        EventerQuery q = { 0 };
        unsigned kind;
        int res;

        scratch_clear(s);
        res = sbs_read_choice(r, ELEMENTSOF(decoders), &kind);
        if (res < 0)
                return res;
        q.kind = (QueryKind) kind;
        res = decoders[kind](r, s, &q);
        if (res < 0)
                return res;
        *ret = q;
        return 0;
}

/* ---- events ------------------------------------------------------------------------------------------ */

size_t event_bound(const Event *e) {
        /* id, count, timestamp, optional source, payload: two choices and two lengths */
        size_t bound = 13 * SBS_INTEGER_MAX + e->type.n * SBS_INTEGER_MAX;

        for (size_t i = 0; i < e->type.n; i++)
                bound += e->type.subtypes[i].size;
        return bound + e->payload.json.size + e->payload.binary_type.size + e->payload.size;
}

static uint8_t *timestamp_put(uint8_t *p, const Timestamp *t) {
        p += sbs_put_integer(p, t->s);
        p += sbs_put_integer(p, t->us);
        return p;
}

void event_encode(Buffer *b, const Event *e) {
        uint8_t *begin = buffer_reserve(b, event_bound(e)), *p = begin;

        p += sbs_put_integer(p, e->id.server);
        p += sbs_put_integer(p, e->id.session);
        p += sbs_put_integer(p, e->id.instance);
        p += sbs_put_integer(p, (int64_t) e->type.n);
        for (size_t i = 0; i < e->type.n; i++)
                p = sbs_put_bytes(p, e->type.subtypes[i].text, e->type.subtypes[i].size);
        p = timestamp_put(p, &e->timestamp);

        p += sbs_put_integer(p, e->has_source);
        if (e->has_source)
                p = timestamp_put(p, &e->source);
        p = payload_put(p, &e->payload);
        buffer_commit(b, (size_t) (p - begin));
}
