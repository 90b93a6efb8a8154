/* SPDX-License-Identifier: Apache-2.0 */
/* The eventer server's side of one connection as a pure state machine: spec wire.md 3 and 5.1. Owns the
 * chatter state, the unsent output and the scratch memory of decoded requests. */

#include "event/server/peer.h"

#include <errno.h>

#include "base/bounds.h"
#include "event/chatter.h"

typedef enum PeerState {
        PEER_NEW, /* waits for the init request */
        PEER_ACCEPTED,
        PEER_REFUSED, /* waits for the client to close; what it says is not looked at */
} PeerState;

struct Peer {
        const PeerHandler *handler;
        void *userdata;
        Chatter chatter;
        Buffer out;
        PeerScratch scratch;

        PeerState state;
        int error;              /* what peer_receive() returned last, once it has failed */
        usec_t now;             /* of the running peer_receive() */
        usec_t deadline;        /* of PEER_NEW and PEER_REFUSED */
        ChatterMessage request; /* the init request or query under way: only its conversation is used */
        bool waiting;           /* for peer_answer_query() */
        bool unread;            /* peer_set_unread() */
        bool unheard;           /* what the client said lately may lie unread */
};

Peer *peer_new(usec_t now, const PeerHandler *handler, void *userdata) {
        Peer *p = g_new0(Peer, 1);

        p->handler = handler;
        p->userdata = userdata;
        chatter_init(&p->chatter, now);
        p->chatter.frame_max = PEER_INIT_MAX;
        p->deadline = usec_add(now, PEER_INIT_USEC);
        peer_scratch_init(&p->scratch);
        return p;
}

Peer *peer_free(Peer *p) {
        if (!p)
                return NULL;

        buffer_done(&p->out);
        peer_scratch_done(&p->scratch);
        g_free(p);
        return NULL;
}

bool peer_is_accepted(const Peer *p) {
        return p->state == PEER_ACCEPTED;
}

bool peer_is_waiting(const Peer *p) {
        return p->waiting;
}

Buffer *peer_output(Peer *p) {
        return &p->out;
}

/* ---- answers and notifications ----------------------------------------------------------------------- */

void peer_accept(Peer *p, EventerStatus status) {
        uint8_t body[2 * SBS_INTEGER_MAX];
        size_t n;

        g_assert(p->state == PEER_NEW);
        n = sbs_put_integer(body, 0);
        n += sbs_put_integer(body + n, status);
        (void) chatter_reply(&p->chatter, &p->request, true, "HatEventer.MsgInitRes", body, n, &p->out);

        p->state = PEER_ACCEPTED;
        p->deadline = USEC_INFINITY;
        p->chatter.frame_max = CHATTER_FRAME_MAX;
}

void peer_refuse(Peer *p, const char *text) {
        size_t size = strlen(text), n;
        uint8_t head[2 * SBS_INTEGER_MAX];

        g_assert(p->state == PEER_NEW);
        n = sbs_put_integer(head, 1);
        n += sbs_put_integer(head + n, (int64_t) size);
        (void) chatter_reply_head(&p->chatter, &p->request, true, "HatEventer.MsgInitRes", n + size,
                                  &p->out);
        buffer_append(&p->out, head, n);
        buffer_append(&p->out, text, size);

        p->state = PEER_REFUSED;
        p->deadline = usec_add(p->now, PEER_REFUSED_USEC);
}

void peer_send_status(Peer *p, EventerStatus status) {
        uint8_t body[SBS_INTEGER_MAX];

        g_assert(p->state == PEER_ACCEPTED);
        (void) chatter_send(&p->chatter, true, "HatEventer.MsgStatusNotify", body,
                            sbs_put_integer(body, status), &p->out);
}

void peer_notify(Peer *p, size_t n, const void *events, size_t size) {
        uint8_t count[SBS_INTEGER_MAX];
        size_t n_count = sbs_put_integer(count, (int64_t) n);

        g_assert(p->state == PEER_ACCEPTED);
        (void) chatter_send_head(&p->chatter, true, "HatEventer.MsgEventsNotify", n_count + size, &p->out);
        buffer_append(&p->out, count, n_count);
        buffer_append(&p->out, events, size);
}

void peer_answer_registered(Peer *p, int64_t conversation, const void *events, size_t size) {
        const ChatterMessage to = { .first = conversation, .owner = true };
        uint8_t choice[SBS_INTEGER_MAX];
        size_t n = sbs_put_integer(choice, !events);

        g_assert(p->state == PEER_ACCEPTED);
        if (!events)
                size = 0;
        (void) chatter_reply_head(&p->chatter, &to, true, "HatEventer.MsgRegisterRes", n + size, &p->out);
        buffer_append(&p->out, choice, n);
        buffer_append(&p->out, events, size);
}

void peer_answer_query(Peer *p, const void *result, size_t size) {
        g_assert(p->waiting);
        (void) chatter_reply(&p->chatter, &p->request, true, "HatEventer.MsgQueryRes", result, size,
                             &p->out);
        p->waiting = false;
}

/* ---- messages of the client -------------------------------------------------------------------------- */

static int process_init(Peer *p, const ChatterMessage *m, SbsReader *r) {
        PeerInit init;
        int res;

        res = init_request_decode(r, &p->scratch, &init);
        if (res < 0)
                return res;
        p->request = *m;
        p->handler->init(&init, p->userdata);
        g_assert(p->state != PEER_NEW);
        return 0;
}

/* We never ask for one; the reference ignores those of unknown conversations (wire.md 5.1). */
static int process_ack(Peer *p, const ChatterMessage *m, SbsReader *r) {
        return 0;
}

static int process_registration(Peer *p, const ChatterMessage *m, SbsReader *r) {
        const Event *events;
        size_t n;
        int res;

        res = register_request_decode(r, &p->scratch, &events, &n);
        if (res < 0)
                return res;
        p->handler->registration(events, n, !m->last, m->first, p->userdata);
        return 0;
}

/* Answered whatever `last` says, as the reference does (wire.md 3.10). */
static int process_query(Peer *p, const ChatterMessage *m, SbsReader *r) {
        EventerQuery query;
        int res;

        res = query_decode(r, &p->scratch, &query);
        if (res < 0)
                return res;
        p->request = *m;
        p->waiting = true;
        res = p->handler->query(&query, p->userdata);
        if (res < 0) {
                p->waiting = false;
                return res;
        }
        if (p->waiting)
                p->unheard = true;
        return 0;
}

static const struct {
        const char *type;
        PeerState state; /* in which it is wanted */
        int (*process)(Peer *p, const ChatterMessage *m, SbsReader *r);
} client_messages[] = {
        { "HatEventer.MsgRegisterReq", PEER_ACCEPTED, process_registration },
        { "HatEventer.MsgQueryReq", PEER_ACCEPTED, process_query },
        { "HatEventer.MsgEventsAck", PEER_ACCEPTED, process_ack },
        { "HatEventer.MsgInitReq", PEER_NEW, process_init },
};

static int peer_process(Peer *p, const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };

        if (p->state == PEER_REFUSED)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(client_messages); i++)
                if (client_messages[i].state == p->state && chatter_message_is(m, client_messages[i].type))
                        return client_messages[i].process(p, m, &r);
        return -EPROTO;
}

static int64_t peer_receive_frames(Peer *p, const uint8_t *data, size_t size, usec_t now) {
        size_t used = 0;

        while (!p->waiting) {
                ChatterMessage m;
                size_t n;
                int r;

                r = chatter_receive(&p->chatter, data + used, size - used, now, &p->out, &n, &m);
                if (r < 0)
                        return r;
                if (n == 0)
                        break;
                used += n;
                p->unheard = p->unread;
                if (r == 0)
                        continue;
                r = peer_process(p, &m);
                peer_scratch_trim(&p->scratch);
                if (r < 0)
                        return r;
        }
        return (int64_t) used;
}

int64_t peer_receive(Peer *p, const uint8_t *data, size_t size, usec_t now) {
        int64_t r;

        if (p->error < 0)
                return p->error;
        p->now = now;
        r = peer_receive_frames(p, data, size, now);
        if (r < 0)
                p->error = (int) r;
        return r;
}

/* ---- time -------------------------------------------------------------------------------------------- */

usec_t peer_deadline(const Peer *p) {
        return MIN(p->deadline, chatter_deadline(&p->chatter));
}

void peer_set_unread(Peer *p, bool unread) {
        p->unread = unread;
        if (unread)
                p->unheard = true;
}

/* Whether the silence of a client that is due may be only ours; it is asked no second time once the client is
 * read again. */
static bool peer_excuse(Peer *p) {
        bool excused = p->unheard;

        p->unheard = p->waiting || p->unread;
        return excused;
}

int peer_elapse(Peer *p, usec_t now) {
        if (now >= p->deadline) {
                if (p->state != PEER_NEW || !peer_excuse(p))
                        return -ETIMEDOUT;
                p->deadline = usec_add(now, PEER_INIT_USEC);
        }

        /* Instead of the client's end another ping, which tells it that we live. */
        if (p->chatter.pinged != USEC_INFINITY && now >= chatter_deadline(&p->chatter) && peer_excuse(p))
                p->chatter.pinged = USEC_INFINITY;
        return chatter_elapse(&p->chatter, now, &p->out);
}
