/* SPDX-License-Identifier: Apache-2.0 */
/* Encoders and decoders of the eventer's bodies: spec wire.md 3.2. Pure functions; the list's memory is its
 * owner's. */

#include "event/eventer-codec.h"

#include <errno.h>

/* What the scratch memory of a list keeps between messages, in elements. */
#define EVENT_LIST_KEEP 4096U

/* ---- client to server -------------------------------------------------------------------------------- */

static void event_type_encode(Buffer *b, EventType type) {
        sbs_write_integer(b, (int64_t) type.n);
        for (size_t i = 0; i < type.n; i++)
                sbs_write_string(b, type.subtypes[i].text, type.subtypes[i].size);
}

static void event_types_encode(Buffer *b, const EventType *types, size_t n) {
        sbs_write_integer(b, (int64_t) n);
        for (size_t i = 0; i < n; i++)
                event_type_encode(b, types[i]);
}

static void optional_types_encode(Buffer *b, const EventType *types, size_t n) {
        sbs_write_integer(b, types != NULL);
        if (types)
                event_types_encode(b, types, n);
}

static void optional_integer_encode(Buffer *b, const int64_t *value) {
        sbs_write_integer(b, value != NULL);
        if (value)
                sbs_write_integer(b, *value);
}

static void optional_timestamp_encode(Buffer *b, const Timestamp *t) {
        sbs_write_integer(b, t != NULL);
        if (t) {
                sbs_write_integer(b, t->s);
                sbs_write_integer(b, CLAMP(t->us, 0, 999999));
        }
}

static void optional_event_id_encode(Buffer *b, const EventId *id) {
        sbs_write_integer(b, id != NULL);
        if (id) {
                sbs_write_integer(b, id->server);
                sbs_write_integer(b, id->session);
                sbs_write_integer(b, id->instance);
        }
}

void init_request_encode(Buffer *b, const EventerInit *init) {
        sbs_write_string(b, init->client_name, strlen(init->client_name));
        sbs_write_integer(b, init->client_token != NULL);
        if (init->client_token)
                sbs_write_string(b, init->client_token, strlen(init->client_token));
        event_types_encode(b, init->subscriptions, init->n_subscriptions);
        optional_integer_encode(b, init->server_id);
        sbs_write_boolean(b, init->persisted);
}

void query_encode(Buffer *b, const EventerQuery *query) {
        sbs_write_integer(b, query->kind);
        switch (query->kind) {
        case QUERY_LATEST:
                optional_types_encode(b, query->types, query->n_types);
                break;

        case QUERY_TIMESERIES:
                optional_types_encode(b, query->types, query->n_types);
                optional_timestamp_encode(b, query->t_from);
                optional_timestamp_encode(b, query->t_to);
                optional_timestamp_encode(b, query->source_t_from);
                optional_timestamp_encode(b, query->source_t_to);
                sbs_write_integer(b, query->order);
                sbs_write_integer(b, query->order_by);
                optional_integer_encode(b, query->max_results);
                optional_event_id_encode(b, query->last_event_id);
                break;

        case QUERY_SERVER:
                sbs_write_integer(b, query->server_id);
                sbs_write_boolean(b, query->persisted);
                optional_integer_encode(b, query->max_results);
                optional_event_id_encode(b, query->last_event_id);
                break;

        default:
                g_assert_not_reached();
        }
}

size_t register_event_bound(EventType prefix, const char *const *subtypes, const Payload *payload) {
        size_t bound = 8 * SBS_INTEGER_MAX; /* count, three choices, timestamp, two lengths of the payload */

        for (size_t i = 0; i < prefix.n; i++)
                bound += SBS_INTEGER_MAX + prefix.subtypes[i].size;
        for (; *subtypes; subtypes++)
                bound += SBS_INTEGER_MAX + strlen(*subtypes);
        if (payload)
                bound += payload->json.size + payload->binary_type.size + payload->size;
        return bound;
}

uint8_t *payload_put(uint8_t *p, const Payload *payload) {
        if (!payload || payload->kind == PAYLOAD_NONE) {
                p += sbs_put_integer(p, 0);
                return p;
        }

        p += sbs_put_integer(p, 1);
        if (payload->kind == PAYLOAD_BINARY) {
                p += sbs_put_integer(p, 0);
                p = sbs_put_bytes(p, payload->binary_type.text, payload->binary_type.size);
                return sbs_put_bytes(p, payload->data, payload->size);
        }
        p += sbs_put_integer(p, 1);
        return sbs_put_bytes(p, payload->json.text, payload->json.size);
}

void register_event_encode(Buffer *b, size_t bound, EventType prefix, const char *const *subtypes,
                           const Timestamp *source, const Payload *payload) {
        uint8_t *begin = buffer_reserve(b, bound), *p = begin;
        size_t n = 0;

        while (subtypes[n])
                n++;
        p += sbs_put_integer(p, (int64_t) (prefix.n + n));
        for (size_t i = 0; i < prefix.n; i++)
                p = sbs_put_bytes(p, prefix.subtypes[i].text, prefix.subtypes[i].size);
        for (size_t i = 0; i < n; i++)
                p = sbs_put_bytes(p, subtypes[i], strlen(subtypes[i]));

        p += sbs_put_integer(p, source != NULL);
        if (source) {
                p += sbs_put_integer(p, source->s);
                p += sbs_put_integer(p, CLAMP(source->us, 0,
                                              999999)); /* wire.md 3.3: anything else harms the server */
        }
        p = payload_put(p, payload);
        buffer_commit(b, (size_t) (p - begin));
}

/* ---- server to client -------------------------------------------------------------------------------- */

int event_type_decode(SbsReader *r, GArray *subtypes, EventType *ret) {
        guint begin;
        size_t n;
        int res;

        res = sbs_read_count(r, &n);
        if (res < 0)
                return res;
        if (n > EVENT_LIST_SUBTYPES_MAX - MIN(subtypes->len, EVENT_LIST_SUBTYPES_MAX))
                return -EMSGSIZE;

        begin = subtypes->len;
        g_array_set_size(subtypes, begin + (guint) n);
        for (guint i = 0; i < n; i++) {
                Subtype *s = &g_array_index(subtypes, Subtype, begin + i);

                res = sbs_read_string(r, &s->text, &s->size);
                if (res < 0) {
                        g_array_set_size(subtypes, begin);
                        return res;
                }
        }
        *ret = (EventType) { .n = n };
        return 0;
}

int timestamp_decode(SbsReader *r, int64_t *ret_s, int64_t *ret_us) {
        int res;

        res = sbs_read_integer(r, ret_s);
        if (res < 0)
                return res;
        return sbs_read_integer(r, ret_us);
}

/* Nothing checks microseconds on the wire (wire.md 3.3): a stored event with a strange value must not cost
 * the connection. */
static int timestamp_decode_clamped(SbsReader *r, Timestamp *ret) {
        int64_t us;
        int res;

        res = timestamp_decode(r, &ret->s, &us);
        if (res < 0)
                return res;
        ret->us = (int32_t) CLAMP(us, 0, 999999);
        return 0;
}

int payload_decode(SbsReader *r, Payload *ret) {
        unsigned choice;
        int res;

        *ret = (Payload) { .kind = PAYLOAD_NONE };
        res = sbs_read_choice(r, 2, &choice);
        if (res < 0 || choice == 0)
                return res;
        res = sbs_read_choice(r, 2, &choice);
        if (res < 0)
                return res;

        if (choice == 1) {
                ret->kind = PAYLOAD_JSON;
                return sbs_read_string(r, &ret->json.text, &ret->json.size);
        }
        ret->kind = PAYLOAD_BINARY;
        res = sbs_read_string(r, &ret->binary_type.text, &ret->binary_type.size);
        if (res < 0)
                return res;
        return sbs_read_bytes(r, &ret->data, &ret->size);
}

/* Event but for the pointer to its subtypes. */
static int event_decode_open(SbsReader *r, GArray *subtypes, Event *ret) {
        unsigned has_source;
        int res;

        if (sbs_read_integer(r, &ret->id.server) < 0 || sbs_read_integer(r, &ret->id.session) < 0 ||
            sbs_read_integer(r, &ret->id.instance) < 0)
                return -EBADMSG;
        res = event_type_decode(r, subtypes, &ret->type);
        if (res < 0)
                return res;
        res = timestamp_decode_clamped(r, &ret->timestamp);
        if (res < 0)
                return res;

        res = sbs_read_choice(r, 2, &has_source);
        if (res < 0)
                return res;
        ret->has_source = has_source;
        ret->source = (Timestamp) { 0 };
        if (has_source) {
                res = timestamp_decode_clamped(r, &ret->source);
                if (res < 0)
                        return res;
        }
        return payload_decode(r, &ret->payload);
}

int event_decode(SbsReader *r, GArray *subtypes, Event *ret) {
        guint begin = subtypes->len;
        Event e;
        int res;

        res = event_decode_open(r, subtypes, &e);
        if (res < 0)
                return res;
        e.type.subtypes = e.type.n > 0 ? &g_array_index(subtypes, Subtype, begin) : NULL;
        *ret = e;
        return 0;
}

void event_list_init(EventList *l) {
        *l = (EventList) {
                .events = g_array_new(FALSE, FALSE, sizeof(Event)),
                .subtypes = g_array_new(FALSE, FALSE, sizeof(Subtype)),
        };
}

void event_list_done(EventList *l) {
        g_array_unref(l->events);
        g_array_unref(l->subtypes);
        *l = (EventList) { 0 };
}

void event_list_clear(EventList *l) {
        if (l->events->len > EVENT_LIST_KEEP || l->subtypes->len > 8 * EVENT_LIST_KEEP) {
                event_list_done(l);
                event_list_init(l);
        }
        g_array_set_size(l->events, 0);
        g_array_set_size(l->subtypes, 0);
}

void event_list_settle(EventList *l) {
        const Subtype *at = (const Subtype *) (void *) l->subtypes->data;

        for (guint i = 0; i < l->events->len; i++) {
                EventType *type = &g_array_index(l->events, Event, i).type;

                if (type->n == 0) /* there may be no subtype at all, and so no memory to point into */
                        continue;
                type->subtypes = at;
                at += type->n;
        }
}

int event_list_decode(EventList *l, SbsReader *r) {
        size_t n;
        int res;

        event_list_clear(l);
        res = sbs_read_count(r, &n);
        if (res < 0)
                return res;
        if (n > EVENT_LIST_EVENTS_MAX)
                return -EMSGSIZE;

        for (size_t i = 0; i < n; i++) {
                Event e;

                res = event_decode_open(r, l->subtypes, &e);
                if (res < 0)
                        return res;
                g_array_append_val(l->events, e);
        }
        event_list_settle(l);
        return 0;
}
