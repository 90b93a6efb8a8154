/* SPDX-License-Identifier: Apache-2.0 */
/* Registrations: a number and a time for each, encoded once; to the storage, and to the clients in the order
 * of their numbers. One that wants a response is notified when it is on disk, and those behind it wait for
 * it, so that nobody sees a newer value before an older one. Loop thread. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/bounds.h"
#include "base/log.h"
#include "event/server/server-internal.h"

#define ENCODED_KEEP (1U << 20) /* memory that stays for the next session */
#define HEAD_MAX 256U           /* bytes of a frame besides the events */
#define CLOCK_BEHIND_SEC 10     /* less is the ordinary life of a clock that is kept right */

void sessions_set_up(EventServer *s, const StoreHead *head) {
        s->session = head->session;
        s->timestamp = head->timestamp;
        g_queue_init(&s->order);
        s->ends = g_array_new(false, false, sizeof(uint32_t));
        event_list_init(&s->decoded);
}

void sessions_tear_down(EventServer *s) {
        GList *link;

        while ((link = g_queue_pop_head_link(&s->order))) {
                Session *session = link->data;

                if (session->decided) /* else it is the storage's */
                        (void) session_free(session);
        }
        buffer_done(&s->encoded);
        buffer_done(&s->scratch);
        event_list_done(&s->decoded);
        g_array_unref(s->ends);
}

/* ---- notifications ----------------------------------------------------------------------------------- */

/* The events of a session, and where each ends. Bytes that the server made itself: they decode. */
static void view_decode(EventServer *s, SessionView *view) {
        SbsReader reader = { .at = view->bytes, .end = view->bytes + view->size };

        event_list_clear(&s->decoded);
        g_array_set_size(s->decoded.events, (guint) view->n);
        g_array_set_size(s->ends, (guint) view->n);
        for (guint i = 0; i < view->n; i++) {
                int r = event_decode(&reader, s->decoded.subtypes, &g_array_index(s->decoded.events, Event, i));

                g_assert(r >= 0);
                g_array_index(s->ends, uint32_t, i) = (uint32_t) (reader.at - view->bytes);
        }
        event_list_settle(&s->decoded);
        view->events = (const Event *) (void *) s->decoded.events->data;
        view->ends = (const uint32_t *) (void *) s->ends->data;
}

static void notify(EventServer *s, SessionView *view, bool persisted) {
        for (GList *l = s->connections.head; l; l = l->next) {
                Connection *c = l->data;

                if (!connection_is_accepted(c) || c->persisted != persisted)
                        continue;
                if (!view->events && !subscription_is_all(c->subscription))
                        view_decode(s, view);
                connection_notify(c, view, &s->scratch);
        }
        buffer_trim(&s->scratch, ENCODED_KEEP);
}

static void notify_session(EventServer *s, const Session *session, bool persisted) {
        SbsReader reader = { .at = session->events, .end = session->events + session->size };
        SessionView view = { .number = session->number };
        int r;

        r = sbs_read_count(&reader, &view.n);
        g_assert(r >= 0);
        view.bytes = reader.at;
        view.size = sbs_left(&reader);
        notify(s, &view, persisted);
        event_list_clear(&s->decoded);
}

/* ---- order and answers ------------------------------------------------------------------------------- */

static void answer(Connection *c, int64_t conversation, int error, const Session *session) {
        connection_answer_registered(c, conversation, error < 0 ? NULL : session);
}

static void order_push(EventServer *s, Session *session) {
        session->waits = true;
        g_queue_push_tail_link(&s->order, &session->order);
        if (session->owner && session->wants_response)
                ((Connection *) session->owner)->n_unanswered++;
}

static void order_pop(EventServer *s) {
        Session *session = g_queue_pop_head_link(&s->order)->data;
        Connection *owner = session->owner;

        session->waits = false;
        if (session->n_events > 0 && session->error >= 0)
                notify_session(s, session, false);
        if (session->wants_response && owner) {
                owner->n_unanswered--;
                answer(owner, session->conversation, session->error, session);
        }
        if (session->decided)
                (void) session_free(session);
}

static void order_advance(EventServer *s) {
        const Session *session;

        while (s->order.head) {
                session = s->order.head->data;
                if (session->wants_response && !session->decided)
                        return;
                order_pop(s);
        }
}

/* A session without response that could not be kept has been notified all the same. */
void sessions_on_written(Session *session, int error, void *userdata) {
        EventServer *s = userdata;

        s->n_stored--;
        session->decided = true;
        if (session->wants_response)
                session->error = error;
        if (error >= 0 && s->n_persisted > 0)
                notify_session(s, session, true);
        if (session->waits)
                order_advance(s);
        else
                (void) session_free(session);
        if (s->stopping)
                turn_end_arm(s->flush);
}

void sessions_forget(EventServer *s, Connection *c) {
        if (c->n_unanswered == 0)
                return;
        for (GList *l = s->order.head; l; l = l->next) {
                Session *session = l->data;

                if (session->owner == c)
                        session->owner = NULL;
        }
}

/* ---- registration ------------------------------------------------------------------------------------ */

/* No session comes of it; its answer keeps the order of the client's. */
static void answer_at_once(EventServer *s, Connection *owner, int64_t conversation, int error) {
        static const uint8_t nothing[] = { 0x80 }; /* Array(Event) of none */
        Session *session = session_new(nothing, sizeof(nothing), 0);

        session->wants_response = session->decided = true;
        session->owner = owner;
        session->conversation = conversation;
        session->error = error;
        if (owner->n_unanswered > 0) {
                order_push(s, session);
                return;
        }
        answer(owner, conversation, error, session);
        (void) session_free(session);
}

/* Said once: until the clock is right again every event has the same time. */
static void log_clock_behind(EventServer *s) {
        time_t seconds = (time_t) s->timestamp.s;
        char text[64];
        struct tm tm;

        s->clock_behind = true;
        if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
                (void) snprintf(text, sizeof(text), "@%" PRId64, s->timestamp.s);
        log_warning("Event server: the clock was set back, or is wrong: the last event is of %s. New events get that time, too, "
                    "until the clock has passed it.",
                    text);
}

/* Time that steps back must not break the order. */
static void advance_timestamp(EventServer *s) {
        Timestamp now = timestamp_now();

        if (timestamp_compare(&now, &s->timestamp) > 0) {
                s->timestamp = now;
                s->clock_behind = false;
        } else if (!s->clock_behind && s->timestamp.s > now.s + CLOCK_BEHIND_SEC)
                log_clock_behind(s);
}

/* Into s->encoded, with the view of it. -EMSGSIZE: no client could be sent that; -EFBIG: one event is too
 * large. */
static int encode_session(EventServer *s, const Event *events, size_t n, SessionView *ret) {
        Buffer *b = &s->encoded;
        uint32_t *ends;
        size_t head;
        Event e;

        buffer_clear(b);
        sbs_write_integer(b, (int64_t) n);
        head = buffer_size(b);
        g_array_set_size(s->ends, (guint) n);
        ends = (uint32_t *) (void *) s->ends->data;
        for (size_t i = 0; i < n; i++) {
                e = events[i];
                e.id = (EventId) { s->server_id, s->session + 1, (int64_t) i + 1 };
                e.timestamp = s->timestamp;
                event_encode(b, &e);
                ends[i] = (uint32_t) (buffer_size(b) - head);
                if (ends[i] - (i > 0 ? ends[i - 1] : 0) > STORE_EVENT_MAX)
                        return -EFBIG;
        }
        if (buffer_size(b) > CHATTER_FRAME_MAX - HEAD_MAX)
                return -EMSGSIZE;

        *ret = (SessionView) {
                .number = s->session + 1,
                .n = n,
                .bytes = buffer_begin(b) + head,
                .size = buffer_size(b) - head,
                .events = events,
                .ends = ends,
        };
        return 0;
}

static int register_session(EventServer *s, Connection *owner, const Event *events, size_t n, bool wants_response,
                            int64_t conversation) {
        SessionView view;
        Session *session;
        int r;

        advance_timestamp(s);
        r = encode_session(s, events, n, &view);
        if (r >= 0) {
                s->session++;
                s->counters.events += n;
                session = session_new(buffer_begin(&s->encoded), buffer_size(&s->encoded), n);
                session->number = view.number;
                session->wants_response = wants_response;
                session->owner = owner;
                session->conversation = conversation;
                if (wants_response || s->order.head)
                        order_push(s, session);
                else
                        notify(s, &view, false);
                s->n_stored++;
                storage_write(s->storage, session);
        }

        buffer_clear(&s->encoded);
        buffer_trim(&s->encoded, ENCODED_KEEP);
        return r;
}

void sessions_register(EventServer *s, Connection *owner, const Event *events, size_t n, bool wants_response,
                       int64_t conversation) {
        int r = 0;

        if (s->status != EVENTER_OPERATIONAL)
                r = -ESHUTDOWN;
        else if (n > 0 && wants_response && storage_is_failing(s->storage))
                r = -EIO;
        else if (n > 0) {
                r = register_session(s, owner, events, n, wants_response, conversation);
                if (r >= 0)
                        return;
                server_log_refused(s, owner, r == -EFBIG ? "an event of more than 4 MiB" : "more than fits in one message");
        }
        if (wants_response)
                answer_at_once(s, owner, conversation, r);
}

int64_t sessions_register_own(EventServer *s, const Event *events, size_t n) {
        return register_session(s, NULL, events, n, false, 0) < 0 ? 0 : s->session;
}
