/* SPDX-License-Identifier: Apache-2.0 */
/* The eventer client as a pure state machine: spec wire.md 3. Owns the chatter state, the unsent output and
 * the open batch; requests are their callers'. */

#include "event/eventer.h"

#include <errno.h>

#include "base/bounds.h"
#include "event/chatter.h"
#include "event/eventer-codec.h"

/* Memory that output buffers keep between uses: a busy turn of the loop fits. */
#define OUTPUT_KEEP (64U << 10)
/* Most bytes of a message besides its body and count. */
#define MESSAGE_OVERHEAD 256U

static const char *const eventer_status_table[_EVENTER_STATUS_MAX] = {
        [EVENTER_STANDBY] = "standby",
        [EVENTER_STARTING] = "starting",
        [EVENTER_OPERATIONAL] = "operational",
        [EVENTER_STOPPING] = "stopping",
};
DEFINE_STRING_TABLE(eventer_status, EventerStatus, eventer_status_table);

struct Eventer {
        const EventerHandler *handler;
        void *userdata;
        Chatter chatter;

        int64_t init; /* conversation of the init request */
        usec_t init_deadline;
        bool connected, accepted, ended;
        EventerStatus status; /* the server's last one; standby before it has accepted us */

        /* Unsent, in this order. `body` is a flushed batch, whose header ends `head`; later messages go to
         * `tail` while there is one. */
        Buffer head, body, tail;
        Buffer batch; /* encoded events that are not flushed yet */
        size_t n_batch;
        Buffer scratch; /* a body in the making */

        GQueue requests; /* EventerRequest.link, oldest first: so is the deadline */
        EventList list;
};

Eventer *eventer_new(const EventerHandler *handler, void *userdata) {
        Eventer *e = g_new0(Eventer, 1);

        e->handler = handler;
        e->userdata = userdata;
        e->init_deadline = USEC_INFINITY;
        chatter_init(&e->chatter, 0);
        g_queue_init(&e->requests);
        event_list_init(&e->list);
        return e;
}

Eventer *eventer_free(Eventer *e) {
        if (!e)
                return NULL;

        buffer_done(&e->head);
        buffer_done(&e->body);
        buffer_done(&e->tail);
        buffer_done(&e->batch);
        buffer_done(&e->scratch);
        event_list_done(&e->list);
        g_free(e);
        return NULL;
}

/* ---- output ------------------------------------------------------------------------------------------ */

/* Where the next message goes. */
static Buffer *eventer_output_end(Eventer *e) {
        return buffer_size(&e->body) > 0 ? &e->tail : &e->head;
}

size_t eventer_output(const Eventer *e, struct iovec ret[static EVENTER_OUTPUT_MAX]) {
        const Buffer *const parts[EVENTER_OUTPUT_MAX] = { &e->head, &e->body, &e->tail };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (buffer_size(parts[i]) > 0)
                        ret[n++] = (struct iovec) {
                                .iov_base = buffer_begin(parts[i]),
                                .iov_len = buffer_size(parts[i]),
                        };
        return n;
}

size_t eventer_output_size(const Eventer *e) {
        return buffer_size(&e->head) + buffer_size(&e->body) + buffer_size(&e->tail);
}

void eventer_output_sent(Eventer *e) {
        Buffer *const parts[] = { &e->head, &e->body, &e->tail };

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                buffer_clear(parts[i]);
                buffer_trim(parts[i], OUTPUT_KEEP);
        }
}

/* Only when a second batch is flushed before the glue could write the first. */
static void eventer_output_join(Eventer *e) {
        buffer_append(&e->head, buffer_begin(&e->body), buffer_size(&e->body));
        buffer_append(&e->head, buffer_begin(&e->tail), buffer_size(&e->tail));
        buffer_clear(&e->body);
        buffer_clear(&e->tail);
}

/* Header and count into `head`; the batch itself becomes the body as it is. */
static int64_t eventer_send_batch(Eventer *e, bool last) {
        uint8_t count[SBS_INTEGER_MAX];
        size_t n = sbs_put_integer(count, (int64_t) e->n_batch);
        Buffer empty;
        int64_t id;

        if (buffer_size(&e->body) > 0)
                eventer_output_join(e);
        id = chatter_send_head(&e->chatter, last, "HatEventer.MsgRegisterReq", n + buffer_size(&e->batch),
                               &e->head);
        buffer_append(&e->head, count, n);

        empty = e->body;
        e->body = e->batch;
        e->batch = empty;
        e->n_batch = 0;
        return id;
}

static int64_t eventer_send_scratch(Eventer *e, const char *type) {
        return chatter_send(&e->chatter, false, type, buffer_begin(&e->scratch), buffer_size(&e->scratch),
                            eventer_output_end(e));
}

void eventer_init(Eventer *e, const EventerInit *init) {
        g_assert(e->init == 0);

        buffer_clear(&e->scratch);
        init_request_encode(&e->scratch, init);
        e->init = eventer_send_scratch(e, "HatEventer.MsgInitReq");
}

void eventer_connected(Eventer *e, usec_t now) {
        e->chatter.received = now;
        e->init_deadline = usec_add(now, NORTH_REQUEST_USEC);
        e->connected = true;
}

/* ---- registrations and requests ---------------------------------------------------------------------- */

int eventer_register(Eventer *e, EventType prefix, const char *const *subtypes, const Timestamp *source,
                     const Payload *payload) {
        size_t bound = register_event_bound(prefix, subtypes, payload);

        if (bound > CHATTER_FRAME_MAX - MESSAGE_OVERHEAD)
                return -EMSGSIZE;
        if (buffer_size(&e->batch) + bound > EVENTER_BATCH_MAX)
                eventer_flush(e);
        if (buffer_size(&e->batch) + bound > CHATTER_FRAME_MAX - MESSAGE_OVERHEAD)
                return -ENOBUFS;

        register_event_encode(&e->batch, bound, prefix, subtypes, source, payload);
        e->n_batch++;
        return 0;
}

size_t eventer_batch_size(const Eventer *e) {
        return buffer_size(&e->batch);
}

size_t eventer_held_size(const Eventer *e) {
        return e->status == EVENTER_OPERATIONAL ? 0 : buffer_size(&e->batch);
}

void eventer_flush(Eventer *e) {
        if (e->n_batch > 0 && e->status == EVENTER_OPERATIONAL)
                (void) eventer_send_batch(e, true);
}

static void eventer_expect(Eventer *e, EventerRequestKind kind, int64_t conversation, usec_t now,
                           EventerRequest *request) {
        *request = (EventerRequest) {
                .link.data = request,
                .kind = kind,
                .conversation = conversation,
                .deadline = usec_add(now, NORTH_REQUEST_USEC),
        };
        g_queue_push_tail_link(&e->requests, &request->link);
}

void eventer_flush_request(Eventer *e, usec_t now, EventerRequest *request) {
        eventer_expect(e, EVENTER_REQUEST_REGISTER, eventer_send_batch(e, false), now, request);
}

int eventer_request_register(Eventer *e, EventType prefix, const char *const *subtypes,
                             const Timestamp *source, const Payload *payload, usec_t now,
                             EventerRequest *request) {
        int r;

        if (e->status != EVENTER_OPERATIONAL)
                return -EHOSTDOWN;
        eventer_flush(e);
        r = eventer_register(e, prefix, subtypes, source, payload);
        if (r < 0)
                return r;
        eventer_flush_request(e, now, request);
        return 0;
}

int eventer_request_query(Eventer *e, const EventerQuery *query, usec_t now, EventerRequest *request) {
        buffer_clear(&e->scratch);
        query_encode(&e->scratch, query);
        if (buffer_size(&e->scratch) > CHATTER_FRAME_MAX - MESSAGE_OVERHEAD)
                return -EMSGSIZE;

        eventer_flush(e);
        eventer_expect(e, EVENTER_REQUEST_QUERY, eventer_send_scratch(e, "HatEventer.MsgQueryReq"), now,
                       request);
        buffer_clear(&e->scratch);
        buffer_trim(&e->scratch, OUTPUT_KEEP);
        return 0;
}

EventerRequest *eventer_steal_request(Eventer *e) {
        GList *link = g_queue_pop_head_link(&e->requests);

        return link ? link->data : NULL;
}

/* The request that this message answers, taken from the queue; NULL when none of this kind waits for it
 * (wire.md 3.12: ignored). */
static EventerRequest *eventer_take_request(Eventer *e, EventerRequestKind kind, const ChatterMessage *m) {
        if (m->owner)
                return NULL;

        for (GList *l = e->requests.head; l; l = l->next) {
                EventerRequest *request = l->data;

                if (request->conversation > m->first)
                        return NULL;
                if (request->conversation == m->first && request->kind == kind) {
                        g_queue_unlink(&e->requests, l);
                        return request;
                }
        }
        return NULL;
}

/* ---- messages of the server -------------------------------------------------------------------------- */

static int status_decode(SbsReader *r, EventerStatus *ret) {
        unsigned status;
        int res;

        res = sbs_read_choice(r, _EVENTER_STATUS_MAX, &status);
        if (res < 0)
                return res;
        *ret = (EventerStatus) status;
        return 0;
}

static const Event *eventer_list_events(const Eventer *e) {
        return (const Event *) (const void *) e->list.events->data;
}

static int process_init(Eventer *e, const ChatterMessage *m, SbsReader *r) {
        EventerStatus status;
        const char *text;
        unsigned choice;
        size_t size;
        int res;

        if (m->owner || m->first != e->init)
                return -EPROTO;
        res = sbs_read_choice(r, 2, &choice);
        if (res < 0)
                return res;
        if (choice == 1) {
                res = sbs_read_string(r, &text, &size);
                if (res < 0)
                        return res;
                e->handler->refused(text, size, e->userdata);
                return -ECONNREFUSED;
        }

        res = status_decode(r, &status);
        if (res < 0)
                return res;
        e->accepted = true;
        e->init_deadline = USEC_INFINITY;
        e->status = status;
        e->handler->accepted(status, e->userdata);
        return 0;
}

static int process_status(Eventer *e, const ChatterMessage *m, SbsReader *r) {
        EventerStatus status;
        int res;

        res = status_decode(r, &status);
        if (res < 0)
                return res;
        e->status = status;
        e->handler->status(status, e->userdata);
        return 0;
}

static int process_events(Eventer *e, const ChatterMessage *m, SbsReader *r) {
        int res;

        res = event_list_decode(&e->list, r);
        if (res < 0)
                return res;
        e->handler->events(eventer_list_events(e), e->list.events->len, e->userdata);
        if (!m->last)
                (void) chatter_reply(&e->chatter, m, true, "HatEventer.MsgEventsAck", NULL, 0,
                                     eventer_output_end(e));
        return 0;
}

static int process_registered(Eventer *e, const ChatterMessage *m, SbsReader *r) {
        EventerRequest *request;
        unsigned failure;
        size_t n = 0;
        int res;

        res = sbs_read_choice(r, 2, &failure);
        if (res < 0)
                return res;
        if (!failure) {
                res = event_list_decode(&e->list, r);
                if (res < 0)
                        return res;
                n = e->list.events->len;
        }

        request = eventer_take_request(e, EVENTER_REQUEST_REGISTER, m);
        if (request)
                e->handler->registered(request, failure, n > 0 ? eventer_list_events(e) : NULL, n,
                                       e->userdata);
        return 0;
}

static int process_result(Eventer *e, const ChatterMessage *m, SbsReader *r) {
        EventerRequest *request;
        bool more_follows;
        int res;

        res = event_list_decode(&e->list, r);
        if (res < 0)
                return res;
        res = sbs_read_boolean(r, &more_follows);
        if (res < 0)
                return res;

        request = eventer_take_request(e, EVENTER_REQUEST_QUERY, m);
        if (request)
                e->handler->result(request, eventer_list_events(e), e->list.events->len, more_follows,
                                   e->userdata);
        return 0;
}

static const struct {
        const char *type;
        bool accepted; /* wanted behind the init response; else as the init response */
        int (*process)(Eventer *e, const ChatterMessage *m, SbsReader *r);
} server_messages[] = {
        { "HatEventer.MsgEventsNotify", true, process_events },
        { "HatEventer.MsgQueryRes", true, process_result },
        { "HatEventer.MsgRegisterRes", true, process_registered },
        { "HatEventer.MsgStatusNotify", true, process_status },
        { "HatEventer.MsgInitRes", false, process_init },
};

static int eventer_process(Eventer *e, const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };

        for (size_t i = 0; i < ELEMENTSOF(server_messages); i++)
                if (server_messages[i].accepted == e->accepted &&
                    chatter_message_is(m, server_messages[i].type))
                        return server_messages[i].process(e, m, &r);
        return -EPROTO;
}

int64_t eventer_receive(Eventer *e, const uint8_t *data, size_t size, usec_t now) {
        size_t used = 0;

        while (!e->ended) {
                ChatterMessage m;
                size_t n;
                int r;

                r = chatter_receive(&e->chatter, data + used, size - used, now, eventer_output_end(e), &n,
                                    &m);
                if (r < 0)
                        return r;
                if (n == 0)
                        break;
                used += n;
                if (r == 0)
                        continue;
                r = eventer_process(e, &m);
                if (r < 0)
                        return r;
        }
        return (int64_t) used;
}

void eventer_end(Eventer *e) {
        e->ended = true;
}

/* ---- time -------------------------------------------------------------------------------------------- */

usec_t eventer_deadline(const Eventer *e) {
        const EventerRequest *oldest = e->requests.head ? e->requests.head->data : NULL;
        usec_t deadline;

        if (!e->connected || e->ended)
                return USEC_INFINITY;
        deadline = MIN(chatter_deadline(&e->chatter), e->init_deadline);
        return oldest ? MIN(deadline, oldest->deadline) : deadline;
}

int eventer_elapse(Eventer *e, usec_t now) {
        if (!e->connected)
                return 0;
        if (now >= e->init_deadline)
                return -ETIMEDOUT;

        while (!e->ended && e->requests.head) {
                EventerRequest *oldest = e->requests.head->data;

                if (now < oldest->deadline)
                        break;
                g_queue_unlink(&e->requests, &oldest->link);
                e->handler->timed_out(oldest, e->userdata);
        }
        return e->ended ? 0 : chatter_elapse(&e->chatter, now, eventer_output_end(e));
}
