/* SPDX-License-Identifier: Apache-2.0 */
/* The glue of event/client.h: one Stream, one Eventer, one Deadline, one TurnEnd that flushes. Loop thread.
 * The owner may free the client inside any callback: entry points are bracketed by
 * enter and leave, which frees what was freed meanwhile. */

#include "event/client.h"

#include <errno.h>

#include "base/bounds.h"
#include "base/deadline.h"
#include "base/entered.h"
#include "base/log.h"
#include "base/turn-end.h"
#include "event/chatter.h"
#include "link/stream.h"

typedef enum ClientState {
        CLIENT_CONNECTING,
        CLIENT_HANDSHAKE, /* the init request is on its way */
        CLIENT_ESTABLISHED,
        CLIENT_FLUSHING, /* event_client_close(): the stream writes out the rest */
        CLIENT_ENDING,   /* closed() comes in a later turn, with `error` */
        CLIENT_ENDED,
} ClientState;

struct EventRequest {
        EventerRequest request;        /* first member */
        EventRequestCallback callback; /* NULL: cancelled */
        void *userdata;
};

struct EventClient {
        sd_event *event;
        EventClientHandler handler;
        void *userdata;

        ClientState state;
        Stream *stream;
        Eventer *eventer;
        Deadline *deadline;
        bool congested;
        TurnEnd *flush;

        Entered entered;
        int error;    /* CLIENT_ENDING */
        char *detail; /* the server's words when it refused */
};

/* ---- life -------------------------------------------------------------------------------------------- */

static void client_drop_requests(EventClient *c) {
        EventerRequest *request;

        while ((request = eventer_steal_request(c->eventer)))
                g_free(request);
}

static void client_destroy(EventClient *c) {
        client_drop_requests(c);
        eventer_free(c->eventer);
        sd_event_unref(c->event);
        g_free(c->detail);
        g_free(c);
}

/* What could call back is gone. */
static void client_detach(EventClient *c) {
        c->stream = stream_free(c->stream);
        c->deadline = deadline_free(c->deadline);
        c->flush = turn_end_free(c->flush);
        eventer_end(c->eventer);
}

EventClient *event_client_free(EventClient *c) {
        if (!c)
                return NULL;

        client_detach(c);
        if (entered_free(&c->entered))
                client_destroy(c);
        return NULL;
}

static void client_enter(EventClient *c) {
        entered_enter(&c->entered);
}

static void client_leave(EventClient *c) {
        if (entered_leave(&c->entered))
                client_destroy(c);
}

static void request_answer(EventRequest *r, int error, const Event *events, size_t n, bool more_follows) {
        if (r->callback)
                r->callback(error, events, n, more_follows, r->userdata);
        g_free(r);
}

/* The end, once; only from the loop. Requests hear of it first. */
static void client_finish(EventClient *c, int error) {
        EventerRequest *request;

        if (c->state == CLIENT_ENDED || c->entered.freed)
                return;
        c->state = CLIENT_ENDED;
        client_detach(c);

        while (!c->entered.freed && (request = eventer_steal_request(c->eventer)))
                request_answer((EventRequest *) request, error == 0 ? -ESHUTDOWN : error, NULL, 0, false);
        if (!c->entered.freed)
                c->handler.closed(c, error, c->detail ?: chatter_describe_end(error), c->userdata);
}

/* The end in a later turn: for what is noticed inside a call of the owner. */
static void client_finish_later(EventClient *c, int error) {
        if (c->state >= CLIENT_ENDING)
                return;
        c->state = CLIENT_ENDING;
        c->error = error;
        deadline_set(c->deadline, 0);
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static void client_update_deadline(EventClient *c) {
        if (c->state == CLIENT_HANDSHAKE || c->state == CLIENT_ESTABLISHED)
                deadline_set(c->deadline,
                             MIN(eventer_deadline(c->eventer),
                                 stream_stall_deadline(c->stream, NORTH_STALL_USEC)));
}

/* Everything that is ready, in one writev(). */
static void client_write(EventClient *c) {
        struct iovec iov[EVENTER_OUTPUT_MAX];
        size_t n;

        if (c->state != CLIENT_HANDSHAKE && c->state != CLIENT_ESTABLISHED)
                return;
        n = eventer_output(c->eventer, iov);
        if (n == 0)
                return;
        (void) stream_writev(c->stream, iov, n); /* connected; errors of the socket come by closed() */
        eventer_output_sent(c->eventer);
        if (stream_unsent(c->stream) > NORTH_UNSENT_MAX)
                client_finish_later(c, -ENOBUFS);
}

/* Only from the loop: tells the owner. What is held back on purpose counts. */
static void client_update_congested(EventClient *c) {
        size_t waiting;
        bool congested;

        if (c->state != CLIENT_ESTABLISHED)
                return;
        waiting = stream_unsent(c->stream) + eventer_held_size(c->eventer);
        congested = c->congested ? waiting > NORTH_RESUME_BYTES : waiting >= NORTH_PAUSE_BYTES;
        if (congested == c->congested)
                return;
        c->congested = congested;
        if (c->handler.congested)
                c->handler.congested(c, congested, c->userdata);
}

/* What this turn made goes out at its end. */
static void client_settle(EventClient *c) {
        if (c->entered.freed || c->state >= CLIENT_FLUSHING)
                return;
        if (eventer_output_size(c->eventer) > 0 || eventer_batch_size(c->eventer) > eventer_held_size(c->eventer))
                turn_end_arm(c->flush);
        client_update_deadline(c);
}

static void client_on_flush(void *userdata) {
        EventClient *c = userdata;

        client_enter(c);
        eventer_flush(c->eventer);
        client_write(c);
        client_update_congested(c);
        client_settle(c);
        client_leave(c);
}

static void client_on_deadline(void *userdata) {
        EventClient *c = userdata;
        usec_t now = now_usec(CLOCK_MONOTONIC);
        int r;

        client_enter(c);
        if (c->state == CLIENT_ENDING)
                client_finish(c, c->error);
        else if (c->state == CLIENT_HANDSHAKE || c->state == CLIENT_ESTABLISHED) {
                r = -ETIMEDOUT;
                if (now < stream_stall_deadline(c->stream, NORTH_STALL_USEC))
                        r = eventer_elapse(c->eventer, now);
                if (r < 0)
                        client_finish(c, r);
        }
        client_settle(c);
        client_leave(c);
}

/* ---- the stream's callbacks -------------------------------------------------------------------------- */

static void client_on_connected(Stream *s, void *userdata) {
        EventClient *c = userdata;

        client_enter(c);
        if (c->state == CLIENT_CONNECTING) {
                c->state = CLIENT_HANDSHAKE;
                eventer_connected(c->eventer, loop_now(c->event));
                client_write(c);
                client_update_deadline(c);
        }
        client_leave(c);
}

static size_t client_on_received(Stream *s, const uint8_t *data, size_t size, void *userdata) {
        EventClient *c = userdata;
        int64_t used = (int64_t) size;

        client_enter(c);
        if (c->state == CLIENT_HANDSHAKE || c->state == CLIENT_ESTABLISHED) {
                used = eventer_receive(c->eventer, data, size, loop_now(c->event));
                if (used < 0 && !c->entered.freed)
                        client_finish(c, c->state == CLIENT_ENDING ? c->error : (int) used);
                client_settle(c);
        }
        client_leave(c);
        return used < 0 ? size : (size_t) used;
}

static void client_on_drained(Stream *s, void *userdata) {
        EventClient *c = userdata;

        client_enter(c);
        client_update_congested(c);
        client_settle(c);
        client_leave(c);
}

static void client_on_closed(Stream *s, int error, void *userdata) {
        EventClient *c = userdata;

        client_enter(c);
        if (c->state == CLIENT_ENDING)
                error = c->error;
        else if (error == 0 && c->state != CLIENT_FLUSHING)
                error = -ECONNRESET;
        client_finish(c, error);
        client_leave(c);
}

static const StreamHandler client_stream_handler = {
        .connected = client_on_connected,
        .received = client_on_received,
        .drained = client_on_drained,
        .closed = client_on_closed,
};

/* ---- the eventer's calls ----------------------------------------------------------------------------- */

static void client_on_accepted(EventerStatus status, void *userdata) {
        EventClient *c = userdata;

        c->state = CLIENT_ESTABLISHED;
        c->handler.connected(c, status, c->userdata);
}

static void client_on_refused(const char *text, size_t size, void *userdata) {
        EventClient *c = userdata;

        g_free(c->detail);
        c->detail = g_strndup(text, size);
}

static void client_on_status(EventerStatus status, void *userdata) {
        EventClient *c = userdata;

        c->handler.status(c, status, c->userdata);
}

static void client_on_events(const Event *events, size_t n, void *userdata) {
        EventClient *c = userdata;

        c->handler.events(c, events, n, c->userdata);
}

static void client_on_registered(EventerRequest *request, bool failure, const Event *events, size_t n,
                                 void *userdata) {
        request_answer((EventRequest *) request, failure ? -EREMOTEIO : 0, events, n, false);
}

static void client_on_result(EventerRequest *request, const Event *events, size_t n, bool more_follows,
                             void *userdata) {
        request_answer((EventRequest *) request, 0, events, n, more_follows);
}

static void client_on_timed_out(EventerRequest *request, void *userdata) {
        request_answer((EventRequest *) request, -ETIMEDOUT, NULL, 0, false);
}

static const EventerHandler client_eventer_handler = {
        .accepted = client_on_accepted,
        .refused = client_on_refused,
        .status = client_on_status,
        .events = client_on_events,
        .registered = client_on_registered,
        .result = client_on_result,
        .timed_out = client_on_timed_out,
};

/* ---- public ------------------------------------------------------------------------------------------ */

static const StreamOptions client_stream_options = {
        .connect_timeout = NORTH_REQUEST_USEC,
        .user_timeout = NORTH_STALL_USEC,
        .receive_max = CHATTER_PREFIX_MAX + CHATTER_FRAME_MAX, /* one frame */
};

static EventClient *client_new(sd_event *event, const EventerInit *init, const EventClientHandler *handler,
                               void *userdata) {
        EventClient *c = g_new0(EventClient, 1);

        c->event = sd_event_ref(event);
        c->handler = *handler;
        c->userdata = userdata;
        c->eventer = eventer_new(&client_eventer_handler, c);
        eventer_init(c->eventer, init);
        return c;
}

/* All but the stream. */
static int client_set_up(EventClient *c) {
        int r;

        r = deadline_new(c->event, "event-client", client_on_deadline, c, &c->deadline);
        if (r < 0)
                return r;
        return turn_end_new(c->event, "event-client-flush", client_on_flush, c, &c->flush);
}

int event_client_new(sd_event *event, Resolver *resolver, const Address *address, const EventerInit *init,
                     const EventClientHandler *handler, void *userdata, EventClient **ret) {
        _cleanup_(event_client_freep) EventClient *c = client_new(event, init, handler, userdata);
        int r;

        r = client_set_up(c);
        if (r < 0)
                return r;
        r = stream_connect(event, resolver, address, &client_stream_options, "event-client",
                           &client_stream_handler, c, &c->stream);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

/* The connection stands: the init request leaves with the flush, in a later turn. */
int event_client_new_fd(sd_event *event, int fd, const EventerInit *init, const EventClientHandler *handler,
                        void *userdata, EventClient **ret) {
        _cleanup_(event_client_freep) EventClient *c = client_new(event, init, handler, userdata);
        int r;

        r = client_set_up(c);
        if (r < 0)
                return r;
        r = stream_adopt(event, fd, &client_stream_options, "event-client", &client_stream_handler, c,
                         &c->stream);
        if (r < 0)
                return r;
        c->state = CLIENT_HANDSHAKE;
        eventer_connected(c->eventer, loop_now(c->event));
        client_update_deadline(c);
        turn_end_arm(c->flush);

        *ret = TAKE_PTR(c);
        return 0;
}

bool event_client_was_refused(const EventClient *c) {
        return c->detail;
}

void event_client_set_abortive(EventClient *c) {
        stream_set_abortive(c->stream);
}

void event_client_close(EventClient *c, usec_t limit) {
        if (c->state >= CLIENT_FLUSHING)
                return;
        if (c->state != CLIENT_ESTABLISHED) {
                client_finish_later(c, 0);
                return;
        }

        eventer_flush(c->eventer);
        client_write(c);
        if (c->state == CLIENT_ENDING) /* far too much was unsent */
                return;
        c->state = CLIENT_FLUSHING;
        eventer_end(c->eventer);
        deadline_set(c->deadline, USEC_INFINITY);
        stream_close_flushed(c->stream, limit);
}

/* Behind a registration or a request. A batch that flushed itself is written at once: so it is never copied. */
static void client_registered(EventClient *c) {
        if (eventer_output_size(c->eventer) >= EVENTER_BATCH_MAX / 2)
                client_write(c);
        turn_end_arm(c->flush);
}

void event_client_register(EventClient *c, EventType prefix, const char *const *subtypes,
                           const Timestamp *source, const Payload *payload) {
        int r;

        if (c->state != CLIENT_ESTABLISHED)
                return;
        r = eventer_register(c->eventer, prefix, subtypes, source, payload);
        if (r == -ENOBUFS)
                client_finish_later(c, r);
        if (r < 0) {
                log_warning_errno(r, "An event cannot be registered and is dropped: %m");
                return;
        }
        client_registered(c);
}

size_t event_client_unsent(const EventClient *c) {
        return eventer_batch_size(c->eventer) + eventer_output_size(c->eventer) +
               (c->stream ? stream_unsent(c->stream) : 0);
}

static EventRequest *request_new(EventRequestCallback callback, void *userdata) {
        EventRequest *r = g_new0(EventRequest, 1);

        r->callback = callback;
        r->userdata = userdata;
        return r;
}

int event_client_request_register(EventClient *c, EventType prefix, const char *const *subtypes,
                                  const Timestamp *source, const Payload *payload,
                                  EventRequestCallback callback, void *userdata, EventRequest **ret) {
        g_autofree EventRequest *request = NULL;
        int r;

        if (c->state != CLIENT_ESTABLISHED)
                return -ENOTCONN;
        request = request_new(callback, userdata);
        r = eventer_request_register(c->eventer, prefix, subtypes, source, payload, loop_now(c->event),
                                     &request->request);
        if (r < 0)
                return r;
        client_registered(c);
        *ret = TAKE_PTR(request);
        return 0;
}

int event_client_request_query(EventClient *c, const EventerQuery *query, EventRequestCallback callback,
                               void *userdata, EventRequest **ret) {
        g_autofree EventRequest *request = NULL;
        int r;

        if (c->state != CLIENT_ESTABLISHED)
                return -ENOTCONN;
        request = request_new(callback, userdata);
        r = eventer_request_query(c->eventer, query, loop_now(c->event), &request->request);
        if (r < 0)
                return r;
        client_registered(c);
        *ret = TAKE_PTR(request);
        return 0;
}

EventRequest *event_request_cancel(EventRequest *r) {
        if (r)
                r->callback = NULL;
        return NULL;
}
