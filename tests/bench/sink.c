/* SPDX-License-Identifier: Apache-2.0 */
/* The event server of sink.h: spec wire.md 5, as far as a gateway needs it. */

#include "tests/bench/sink.h"

#include <errno.h>
#include <stdio.h>

#include "event/sbs.h"

enum {
        CHOICE_LATEST = 0,
        STATUS_OPERATIONAL = 2,
        SUBTYPES_MAX = 32,
};

void sink_init(Sink *s, const char *const *ids) {
        *s = (Sink) { .ids = ids };
        chatter_init(&s->chatter, 0);
}

void sink_done(Sink *s) {
        buffer_done(&s->out);
}

static void event_write(Buffer *b, int64_t instance, EventType type, JsonSpan payload) {
        Timestamp now = timestamp_now();

        sbs_write_integer(b, 1);
        sbs_write_integer(b, 1);
        sbs_write_integer(b, instance);
        sbs_write_integer(b, (int64_t) type.n);
        for (size_t i = 0; i < type.n; i++)
                sbs_write_string(b, type.subtypes[i].text, type.subtypes[i].size);
        sbs_write_integer(b, now.s);
        sbs_write_integer(b, now.us);
        sbs_write_integer(b, 0); /* no source timestamp */
        sbs_write_integer(b, 1); /* a payload … */
        sbs_write_integer(b, 1); /* … of JSON */
        sbs_write_string(b, payload.text, payload.size);
}

static int type_read(SbsReader *r, Subtype subtypes[static SUBTYPES_MAX], EventType *ret) {
        size_t n;

        if (sbs_read_count(r, &n) < 0 || n > SUBTYPES_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < n; i++)
                if (sbs_read_string(r, &subtypes[i].text, &subtypes[i].size) < 0)
                        return -EBADMSG;
        *ret = (EventType) { subtypes, n };
        return 0;
}

/* Appends the events of one queried type; returns how many. */
static int64_t answer_type(const Sink *s, Buffer *events, int64_t n, Subtype *subtypes, EventType type) {
        const JsonSpan yes = JSON_LITERAL("true");
        size_t any = 0;

        while (any < type.n && !subtype_is(subtypes[any], "?"))
                any++;
        if (any == type.n) {
                event_write(events, n + 1, type, yes);
                return 1;
        }

        n = 0;
        for (const char *const *id = s->ids; *id; id++) {
                subtypes[any] = (Subtype) { *id, strlen(*id) };
                event_write(events, ++n, type, yes);
        }
        return n;
}

/* QueryParams in, QueryResult out. */
static int query_answer(const Sink *s, SbsReader *r, Buffer *events, int64_t *ret_n) {
        Subtype subtypes[SUBTYPES_MAX];
        unsigned kind, given;
        int64_t n = 0;
        size_t n_types;

        if (sbs_read_choice(r, 3, &kind) < 0 || kind != CHOICE_LATEST || sbs_read_choice(r, 2, &given) < 0 ||
            !given || sbs_read_count(r, &n_types) < 0)
                return -EPROTO;

        for (size_t i = 0; i < n_types; i++) {
                EventType type;

                if (type_read(r, subtypes, &type) < 0)
                        return -EBADMSG;
                n += answer_type(s, events, n, subtypes, type);
        }
        *ret_n = n;
        return 0;
}

static int on_query(Sink *s, const ChatterMessage *m, SbsReader *r) {
        Buffer events = {}, body = {};
        int64_t n;
        int res;

        res = query_answer(s, r, &events, &n);
        if (res >= 0) {
                sbs_write_integer(&body, n);
                buffer_append(&body, buffer_begin(&events), buffer_size(&events));
                sbs_write_boolean(&body, false); /* nothing follows */
                (void) chatter_reply(&s->chatter, m, true, "HatEventer.MsgQueryRes", buffer_begin(&body),
                                     buffer_size(&body), &s->out);
        }
        buffer_done(&events);
        buffer_done(&body);
        return res;
}

static int on_register(Sink *s, SbsReader *r) {
        size_t n;

        if (sbs_read_count(r, &n) < 0)
                return -EBADMSG;
        s->events += n;
        s->messages++;
        return 0;
}

static void on_init(Sink *s, const ChatterMessage *m) {
        Buffer body = {};

        sbs_write_integer(&body, 0); /* success */
        sbs_write_integer(&body, STATUS_OPERATIONAL);
        (void) chatter_reply(&s->chatter, m, true, "HatEventer.MsgInitRes", buffer_begin(&body),
                             buffer_size(&body), &s->out);
        buffer_done(&body);
}

static int sink_process(Sink *s, const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };

        if (chatter_message_is(m, "HatEventer.MsgRegisterReq"))
                return on_register(s, &r);
        if (chatter_message_is(m, "HatEventer.MsgQueryReq"))
                return on_query(s, m, &r);
        if (!chatter_message_is(m, "HatEventer.MsgInitReq"))
                return -EPROTO;
        on_init(s, m);
        return 0;
}

int64_t sink_receive(Sink *s, const uint8_t *data, size_t size) {
        size_t at = 0;

        for (;;) {
                ChatterMessage m;
                size_t used;
                int r;

                r = chatter_receive(&s->chatter, data + at, size - at, 0, &s->out, &used, &m);
                if (r < 0)
                        return r;
                if (used == 0)
                        return (int64_t) at;
                at += used;
                if (r > 0 && (r = sink_process(s, &m)) < 0)
                        return r;
        }
}

void sink_notify(Sink *s, EventType type, JsonSpan payload) {
        Buffer body = {};

        sbs_write_integer(&body, 1);
        event_write(&body, 1, type, payload);
        (void) chatter_send(&s->chatter, true, "HatEventer.MsgEventsNotify", buffer_begin(&body),
                            buffer_size(&body), &s->out);
        buffer_done(&body);
}

void sink_notify_write(Sink *s, unsigned value) {
        const Subtype type[] = {
                SUBTYPE("gateway"), SUBTYPE("bench"), SUBTYPE("modbus_master"), SUBTYPE("dev"), SUBTYPE("system"),
                SUBTYPE("remote_device"), SUBTYPE("1"), SUBTYPE("write"), SUBTYPE("w"),
        };
        char text[64];
        size_t size = (size_t) snprintf(text, sizeof(text), "{\"request_id\": %u, \"value\": %u}", value,
                                        value);

        sink_notify(s, (EventType) { type, ELEMENTSOF(type) }, (JsonSpan) { text, size });
}
