/* SPDX-License-Identifier: Apache-2.0 */
/* Owns one client's stream, peer, deadline and subscription. It never ends in the middle of anything: it is
 * marked, and the server frees it at the end of the turn. Loop thread. */

#include <errno.h>

#include "base/bounds.h"
#include "event/chatter.h"
#include "event/server/connection.h"

#define OUTPUT_KEEP (16U << 10) /* memory that an idle client may hold */

static void connection_mark(Connection *c) {
        c->handler->dirty(c, c->userdata);
}

void connection_end(Connection *c, int error) {
        if (c->ended)
                return;
        c->ended = true;
        c->error = error;
        connection_mark(c);
}

/* ---- what is unsent ---------------------------------------------------------------------------------- */

static size_t connection_unsent(const Connection *c) {
        return buffer_size(peer_output(c->peer)) + stream_unsent(c->stream);
}

/* Notifications and everything else lie unsent one behind the other, and which of them has left is not
 * recorded: in proportion. Exact when there is only one kind, or nothing. */
static void connection_account(Connection *c) {
        size_t unsent = connection_unsent(c), known = c->unsent_notified + c->unsent_other;

        if (unsent >= known) {
                c->unsent_other += unsent - known;
                return;
        }
        c->unsent_notified = (size_t) ((uint64_t) c->unsent_notified * unsent / known);
        c->unsent_other = unsent - c->unsent_notified;
}

static void connection_write(Connection *c) {
        Buffer *out = peer_output(c->peer);

        if (buffer_size(out) == 0)
                return;
        (void) stream_write(c->stream, buffer_begin(out), buffer_size(out)); /* errors come by closed() */
        buffer_clear(out);
        buffer_trim(out, OUTPUT_KEEP);
        connection_account(c);
}

/* ---- what all hold together -------------------------------------------------------------------------- */

static void connection_count_held(Connection *c) {
        size_t held = c->unread + buffer_size(peer_output(c->peer)) + stream_output_memory(c->stream);

        c->pool->held = c->pool->held - c->held + held;
        c->held = held;
}

/* Whether it may hold so much more: within an equal share always, beyond it while there is room. The gateway
 * itself pays for nobody. */
static bool connection_may_hold(const Connection *c, size_t more) {
        return c->pool->held + more <= EVENT_SERVER_HELD_MAX || c->kind == CONNECTION_OWN ||
               c->held + more <= EVENT_SERVER_HELD_MAX / c->pool->n;
}

/* Returns whether so much may be added to the output; else the client is cut off. */
static bool connection_has_room(Connection *c, size_t size) {
        if (connection_may_hold(c, size))
                return true;
        connection_end(c, -EDQUOT);
        return false;
}

/* Behind everything that added to the output. */
static void connection_added(Connection *c) {
        if (buffer_size(peer_output(c->peer)) >= CONNECTION_WRITE_SIZE)
                connection_write(c);
        connection_count_held(c);
        connection_mark(c);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* Enough has come of it, or of all. */
static bool connection_is_full(const Connection *c) {
        return c->pool->congested || c->unsent_other >= EVENT_SERVER_ANSWERS_MAX ||
               c->n_unanswered >= EVENT_SERVER_UNANSWERED_MAX;
}

static bool connection_is_blocked(const Connection *c) {
        return connection_is_full(c) || peer_is_waiting(c->peer);
}

/* What cannot be processed now is left in the kernel, where it is bounded. */
static void connection_pause(Connection *c) {
        if (c->paused)
                return;
        c->paused = true;
        peer_set_unread(c->peer, true);
        stream_set_reading(c->stream, false);
}

void connection_resume(Connection *c) {
        if (c->ended || c->flushing || c->inside || connection_is_blocked(c))
                return;
        if (c->paused) {
                c->paused = c->leftover = false;
                peer_set_unread(c->peer, false);
                stream_set_reading(c->stream, true);
        } else if (c->leftover) {
                c->leftover = false;
                stream_process(c->stream);
        }
}

/* Returns the bytes that are done with. */
static size_t connection_receive(Connection *c, const uint8_t *data, size_t size) {
        int64_t used;

        if (c->ended || c->flushing)
                return size;
        if (connection_is_full(c)) {
                connection_pause(c);
                return 0;
        }

        c->inside = true;
        used = peer_receive(c->peer, data, size, loop_now(c->event));
        c->inside = false;
        if (used < 0) {
                connection_end(c, (int) used);
                return size;
        }
        connection_mark(c);
        if ((size_t) used < size && connection_is_blocked(c)) {
                c->leftover = true;
                connection_pause(c);
        }
        return (size_t) used;
}

static size_t connection_on_received(Stream *s, const uint8_t *data, size_t size, void *userdata) {
        Connection *c = userdata;
        size_t kept = size - connection_receive(c, data, size);

        if (kept > c->unread && !connection_has_room(c, kept - c->unread))
                kept = 0;
        c->unread = kept;
        connection_count_held(c);
        return size - kept;
}

/* ---- time -------------------------------------------------------------------------------------------- */

static usec_t connection_stall_deadline(const Connection *c) {
        return stream_stall_deadline(c->stream, EVENT_SERVER_STALL_USEC);
}

static void connection_on_deadline(void *userdata) {
        Connection *c = userdata;
        usec_t now = now_usec(CLOCK_MONOTONIC);
        int r;

        if (c->ended || c->flushing)
                return;
        if (now >= connection_stall_deadline(c)) {
                connection_end(c, -ENOBUFS);
                return;
        }
        r = peer_elapse(c->peer, now);
        if (r < 0)
                connection_end(c, r);
        else
                connection_mark(c);
}

void connection_flush(Connection *c) {
        if (c->flushing)
                return;
        connection_account(c);
        connection_write(c);
        connection_count_held(c);
        connection_resume(c);
        deadline_set(c->deadline, MIN(peer_deadline(c->peer), connection_stall_deadline(c)));
}

/* ---- the stream's and the peer's calls --------------------------------------------------------------- */

static void connection_on_drained(Stream *s, void *userdata) {
        connection_mark(userdata);
}

static void connection_on_closed(Stream *s, int error, void *userdata) {
        connection_end(userdata, error);
}

static const StreamHandler connection_stream_handler = {
        .received = connection_on_received,
        .drained = connection_on_drained,
        .closed = connection_on_closed,
};

static void connection_on_init(const PeerInit *init, void *userdata) {
        Connection *c = userdata;

        c->handler->init(c, init, c->userdata);
}

static void connection_on_registration(const Event *events, size_t n, bool wants_response,
                                       int64_t conversation, void *userdata) {
        Connection *c = userdata;

        if (!c->ended)
                c->handler->registration(c, events, n, wants_response, conversation, c->userdata);
}

static int connection_on_query(const EventerQuery *query, void *userdata) {
        Connection *c = userdata;

        return c->ended ? -ECANCELED : c->handler->query(c, query, c->userdata);
}

static const PeerHandler connection_peer_handler = {
        .init = connection_on_init,
        .registration = connection_on_registration,
        .query = connection_on_query,
};

/* ---- sending ----------------------------------------------------------------------------------------- */

void connection_accept(Connection *c, EventerStatus status, const PeerInit *init, bool deaf) {
        c->subscription = subscription_new(init->subscriptions, init->n_subscriptions);
        c->persisted = init->persisted;
        c->deaf = deaf;
        peer_accept(c->peer, status);
        connection_added(c);
}

void connection_refuse(Connection *c, const char *text) {
        peer_refuse(c->peer, text);
        connection_added(c);
}

/* One that does not read is cut off, but never by a single session: what was unsent before counts. */
static void connection_send_events(Connection *c, size_t n, const void *bytes, size_t size) {
        Buffer *out = peer_output(c->peer);
        size_t before = buffer_size(out);

        connection_account(c);
        if (c->unsent_notified > EVENT_SERVER_NOTIFY_MAX) {
                connection_end(c, -ENOBUFS);
                return;
        }
        if (!connection_has_room(c, size))
                return;
        peer_notify(c->peer, n, bytes, size);
        c->unsent_notified += buffer_size(out) - before;
        connection_added(c);
}

/* A run is a stretch of matching events: the first one is sent from where it lies, when there is no second. */
void connection_notify(Connection *c, const SessionView *view, Buffer *scratch) {
        size_t n = 0, n_runs = 0, begin = 0, end = 0;

        if (!connection_is_accepted(c) || c->deaf || view->number == c->own_session)
                return;
        if (subscription_is_all(c->subscription)) {
                connection_send_events(c, view->n, view->bytes, view->size);
                return;
        }

        buffer_clear(scratch);
        for (size_t i = 0; i < view->n; i++) {
                size_t start = i == 0 ? 0 : view->ends[i - 1];

                if (!subscription_matches(c->subscription, view->events[i].type))
                        continue;
                if (n == 0 || start != end) {
                        if (n > 0)
                                buffer_append(scratch, view->bytes + begin, end - begin);
                        n_runs++;
                        begin = start;
                }
                end = view->ends[i];
                n++;
        }
        if (n_runs == 1)
                connection_send_events(c, n, view->bytes + begin, end - begin);
        else if (n_runs > 1) {
                buffer_append(scratch, view->bytes + begin, end - begin);
                connection_send_events(c, n, buffer_begin(scratch), buffer_size(scratch));
        }
}

void connection_send_status(Connection *c, EventerStatus status) {
        if (!connection_is_accepted(c))
                return;
        peer_send_status(c->peer, status);
        connection_added(c);
}

void connection_answer_registered(Connection *c, int64_t conversation, const Session *session) {
        size_t size = session ? session->size : 0;

        if (!connection_is_accepted(c) || !connection_has_room(c, size))
                return;
        peer_answer_registered(c->peer, conversation, session ? session->events : NULL, size);
        connection_added(c);
}

void connection_answer_query(Connection *c, const Buffer *result) {
        if (!connection_is_accepted(c) || !peer_is_waiting(c->peer) || !connection_has_room(c, buffer_size(result)))
                return;
        peer_answer_query(c->peer, buffer_begin(result), buffer_size(result));
        connection_added(c);
}

void connection_close_flushed(Connection *c, usec_t limit) {
        if (c->ended || c->flushing)
                return;
        connection_write(c);
        c->flushing = true;
        c->unread = 0;
        connection_count_held(c);
        deadline_set(c->deadline, USEC_INFINITY);
        stream_close_flushed(c->stream, limit);
}

/* ---- life -------------------------------------------------------------------------------------------- */

int connection_new(sd_event *event, int fd, ConnectionKind kind, char *who, ConnectionPool *pool,
                   const ConnectionHandler *handler, void *userdata, Connection **ret) {
        static const StreamOptions options = {
                .connect_timeout = USEC_INFINITY,
                .user_timeout = EVENT_SERVER_STALL_USEC,
                .read_max = EVENT_SERVER_READ_MAX,
                .receive_max = CHATTER_PREFIX_MAX + CHATTER_FRAME_MAX, /* one frame */
        };
        _cleanup_(connection_freep) Connection *c = g_new0(Connection, 1);
        int r;

        c->handler = handler;
        c->userdata = userdata;
        c->pool = pool;
        pool->n++;
        c->event = sd_event_ref(event);
        c->kind = kind;
        c->who = who;
        c->link.data = c->dirty_link.data = c;
        c->peer = peer_new(loop_now(c->event), &connection_peer_handler, c);
        r = deadline_new(event, "event-server-client", connection_on_deadline, c, &c->deadline);
        if (r < 0)
                return r;
        r = stream_adopt(event, fd, &options, "event-server-client", &connection_stream_handler, c,
                         &c->stream);
        if (r < 0)
                return r;
        deadline_set(c->deadline, peer_deadline(c->peer));

        *ret = TAKE_PTR(c);
        return 0;
}

Connection *connection_free(Connection *c) {
        if (!c)
                return NULL;

        c->pool->n--;
        c->pool->held -= c->held;
        c->stream = stream_free(c->stream);
        c->deadline = deadline_free(c->deadline);
        c->peer = peer_free(c->peer);
        c->subscription = subscription_free(c->subscription);
        sd_event_unref(c->event);
        g_free(c->who);
        g_free(c->name);
        g_free(c);
        return NULL;
}
