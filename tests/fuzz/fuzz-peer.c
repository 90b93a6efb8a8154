/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the event server: the first byte is the size of the pieces (0: all at once), the second
 * one says how the server answers, the rest is what a client sends. Cutting it and answering queries
 * late must change nothing: the same calls, the same output, the same end, after which nothing is
 * called. What was decoded is encoded and decoded again; what the client subscribes to is matched
 * against the plain rule. Then the same bytes once more with time passing. */

#include <errno.h>
#include <stdlib.h>

#include "event/chatter.h"
#include "event/server/peer.h"
#include "event/server/subscription.h"
#include "tests/unit/plain-match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REFUSE 1U /* bits of the second byte */
#define QUERY_ERROR 2U
#define NOTIFY 4U /* notifications from inside the calls */
#define LATE_REGISTRATIONS \
        8U /* answered behind peer_receive(), in which case the output is only checked for itself */

#define PLAIN_MATCHES_MAX 100000U /* comparisons of one event by the plain rule */

typedef struct Run {
        Peer *peer;
        unsigned how;
        bool late;  /* queries are answered behind peer_receive() */
        bool over;  /* an error was returned: no call may follow */
        guint hash; /* of all calls */
        unsigned n_calls;
        bool init, accepted;
        GArray *conversations;    /* of int64_t, registrations that wait */
        GArray *subtypes;         /* scratch of events decoded again */
        EventType *subscriptions; /* copies */
        size_t n_subscriptions;
        Buffer texts;               /* of the copies, reserved before they are made */
        Subscription *subscription; /* NULL: not valid */
} Run;

static void check(bool condition) {
        if (!condition)
                abort();
}

/* ---- what is called ---------------------------------------------------------------------------------- */

static void note(Run *run, const void *data, size_t size) {
        const uint8_t *p = data;

        for (size_t i = 0; i < size; i++)
                run->hash = run->hash * 31 + p[i];
        run->hash = run->hash * 31 + (guint) size;
}

static void note_call(Run *run, char what) {
        check(!run->over);
        run->n_calls++;
        note(run, &what, 1);
}

static void subscription_copy(Run *run, const PeerInit *init) {
        size_t size = 0;

        for (size_t i = 0; i < init->n_subscriptions; i++)
                for (size_t j = 0; j < init->subscriptions[i].n; j++)
                        size += init->subscriptions[i].subtypes[j].size;
        (void) buffer_reserve(&run->texts, size);

        run->n_subscriptions = init->n_subscriptions;
        run->subscriptions = g_new(EventType, init->n_subscriptions);
        for (size_t i = 0; i < init->n_subscriptions; i++) {
                EventType from = init->subscriptions[i];
                Subtype *to = g_new(Subtype, from.n);

                for (size_t j = 0; j < from.n; j++) {
                        to[j] = (Subtype) { (const char *) run->texts.data + run->texts.end,
                                           from.subtypes[j].size };
                        buffer_append(&run->texts, from.subtypes[j].text, from.subtypes[j].size);
                }
                run->subscriptions[i] = (EventType) { to, from.n };
        }
        if (event_query_types_valid(run->subscriptions, run->n_subscriptions))
                run->subscription = subscription_new(run->subscriptions, run->n_subscriptions);
}

static void on_init(const PeerInit *init, void *userdata) {
        Run *run = userdata;
        bool server_id = init->has_server_id, token = init->has_token;

        note_call(run, 'i');
        check(!run->init);
        run->init = true;
        note(run, init->client_name.text, init->client_name.size);
        note(run, &token, 1);
        note(run, init->client_token.text, init->client_token.size);
        note(run, &server_id, 1);
        note(run, &init->server_id, sizeof init->server_id);
        note(run, &init->persisted, 1);
        subscription_copy(run, init);
        if (run->how & REFUSE)
                peer_refuse(run->peer, "no");
        else {
                peer_accept(run->peer, EVENTER_STANDBY);
                run->accepted = true;
        }
        check(peer_is_accepted(run->peer) == run->accepted);
}

/* An event as it comes back to clients. */
static void look_at(Run *run, const Event *e) {
        _cleanup_(buffer_done) Buffer b = { 0 }, again = { 0 };
        SbsReader r;
        Event back;

        check(e->id.server == 0 && e->id.session == 0 && e->id.instance == 0 && e->timestamp.s == 0);
        check(!e->has_source || (e->source.us >= 0 && e->source.us < 1000000));
        event_encode(&b, e);
        check(buffer_size(&b) <= event_bound(e));
        note(run, buffer_begin(&b), buffer_size(&b));

        g_array_set_size(run->subtypes, 0);
        r = (SbsReader) { .at = buffer_begin(&b), .end = buffer_begin(&b) + buffer_size(&b) };
        check(event_decode(&r, run->subtypes, &back) == 0 && sbs_left(&r) == 0);
        event_encode(&again, &back);
        check(buffer_size(&again) == buffer_size(&b) && memcmp(again.data, b.data, buffer_size(&b)) == 0);
        if (e->payload.kind == PAYLOAD_JSON) {
                JsonSpan v;

                check(event_payload_json(&back, &v) == 0 && json_kind(v) >= 0);
        }
}

static void match(const Run *run, EventType type) {
        bool matches;

        if (!run->subscription || run->n_subscriptions > PLAIN_MATCHES_MAX)
                return;
        matches = matches_plainly(type, run->subscriptions, run->n_subscriptions);
        check(subscription_matches(run->subscription, type) == matches);
        check(matches || !subscription_is_all(run->subscription));
}

static void answer_registration(Run *run, int64_t conversation) {
        if (conversation % 2 == 0)
                peer_answer_registered(run->peer, conversation, NULL, 0);
        else
                peer_answer_registered(run->peer, conversation, "\x80", 1);
}

static void on_registration(const Event *events, size_t n, bool wants_response, int64_t conversation,
                            void *userdata) {
        Run *run = userdata;

        note_call(run, 'r');
        check(run->accepted);
        note(run, &wants_response, 1);
        note(run, &conversation, sizeof conversation);
        for (size_t i = 0; i < n; i++) {
                look_at(run, &events[i]);
                match(run, events[i].type);
        }
        if (run->how & NOTIFY) {
                peer_notify(run->peer, 1, "abc", 3);
                peer_send_status(run->peer, EVENTER_OPERATIONAL);
        }
        if (!wants_response)
                return;
        if (run->how & LATE_REGISTRATIONS)
                g_array_append_val(run->conversations, conversation);
        else
                answer_registration(run, conversation);
}

static int on_query(const EventerQuery *query, void *userdata) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        Run *run = userdata;

        note_call(run, 'q');
        check(run->accepted && peer_is_waiting(run->peer));
        query_encode(&b, query);
        note(run, buffer_begin(&b), buffer_size(&b));
        if (run->how & QUERY_ERROR)
                return -EBADMSG;
        if (!run->late)
                peer_answer_query(run->peer, "\x80\x00", 2);
        return 0;
}

static const PeerHandler handler = { .init = on_init, .registration = on_registration, .query = on_query };

/* ---- a connection ------------------------------------------------------------------------------------ */

static void run_begin(Run *run, unsigned how, bool late) {
        *run = (Run) {
                .how = how,
                .late = late,
                .peer = peer_new(0, &handler, run),
                .conversations = g_array_new(FALSE, FALSE, sizeof(int64_t)),
                .subtypes = g_array_new(FALSE, FALSE, sizeof(Subtype)),
        };
}

static void run_end(Run *run) {
        peer_free(run->peer);
        g_array_unref(run->conversations);
        g_array_unref(run->subtypes);
        for (size_t i = 0; i < run->n_subscriptions; i++)
                g_free((void *) run->subscriptions[i].subtypes);
        g_free(run->subscriptions);
        buffer_done(&run->texts);
        subscription_free(run->subscription);
}

/* What has arrived lies in memory of exactly its size. Returns the bytes done with, or the error. */
static int64_t receive(Run *run, const uint8_t *data, size_t size, usec_t now) {
        g_autofree uint8_t *exact = g_memdup2(size > 0 ? data : (const uint8_t *) "", MAX(size, 1));
        int64_t used = peer_receive(run->peer, exact, size, now);

        check(used <= (int64_t) size);
        if (used < 0) {
                check(used == -EBADMSG || used == -EMSGSIZE || used == -EPROTO);
                check(!peer_is_waiting(run->peer));
                run->over = true;
        }
        for (guint i = 0; !run->over && i < run->conversations->len; i++)
                answer_registration(run, g_array_index(run->conversations, int64_t, i));
        g_array_set_size(run->conversations, 0);
        return used;
}

/* Everything that can be done with what has arrived. */
static int64_t receive_all(Run *run, const uint8_t *data, size_t size) {
        int64_t all = 0;

        for (;;) {
                int64_t used = receive(run, data + all, size - (size_t) all, 0);

                if (used < 0)
                        return used;
                all += used;
                if (!peer_is_waiting(run->peer))
                        return all;
                check(run->late);
                check(receive(run, data + all, size - (size_t) all, 0) == 0);
                peer_answer_query(run->peer, "\x80\x00", 2);
        }
}

static int run_whole(Run *run, const uint8_t *data, size_t size, size_t piece) {
        size_t begin = 0, arrived = 0;

        do {
                int64_t used;

                arrived += MIN(piece, size - arrived);
                used = receive_all(run, data + begin, arrived - begin);
                if (used < 0) {
                        check(receive(run, data + begin, size - begin, 0) == used);
                        check(receive(run, data, size, 0) == used);
                        return (int) used;
                }
                begin += (size_t) used;
        } while (arrived < size);
        return 0;
}

/* Whole messages with ids 1, 2, 3 …, before the acceptance nothing but pongs. */
static void check_output(Run *run) {
        Buffer *out = peer_output(run->peer);
        _cleanup_(buffer_done) Buffer pongs = { 0 };
        bool answered = false;
        int64_t id = 0;
        Chatter c;

        chatter_init(&c, 0);
        while (buffer_size(out) > 0) {
                ChatterMessage m;
                size_t used;
                int r;

                r = chatter_receive(&c, buffer_begin(out), buffer_size(out), 0, &pongs, &used, &m);
                check(r >= 0 && used > 0);
                id++;
                if (r > 0) {
                        check(m.id == id && m.token && m.last);
                        check(chatter_message_is(&m, "HatEventer.MsgInitRes") == !answered);
                        answered = true;
                }
                buffer_consume(out, used);
        }
        check(answered == run->init);
}

static void run_time(const uint8_t *data, size_t size, unsigned how) {
        size_t begin = 0, arrived = 0;
        usec_t now = 0;
        Run run;

        run_begin(&run, how, true);
        while (arrived < size) {
                size_t piece = data[arrived] % 64 + 1;
                int64_t used;
                int r;

                now = usec_add(now, (usec_t) (data[arrived] / 64) * 7 * USEC_PER_SEC);
                peer_set_unread(run.peer, piece > 48);
                r = peer_elapse(run.peer, now);
                check(r == 0 || r == -ETIMEDOUT);
                if (r < 0)
                        break;
                check(peer_deadline(run.peer) > now);
                arrived += MIN(piece, size - arrived);
                used = receive(&run, data + begin, arrived - begin, now);
                if (used < 0)
                        break;
                begin += (size_t) used;
                if (peer_is_waiting(run.peer) && data[begin % size] % 2 == 0)
                        peer_answer_query(run.peer, "\x80\x00", 2);
        }
        run_end(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Run whole, other;
        unsigned how;
        int r;

        if (size < 2)
                return 0;
        how = data[1];
        run_begin(&whole, how, false);
        r = run_whole(&whole, data + 2, size - 2, size);
        for (unsigned i = 1; i < 4; i++) {
                const Buffer *a, *b;

                run_begin(&other, how, i & 2);
                check(run_whole(&other, data + 2, size - 2, i & 1 && data[0] > 0 ? data[0] : size) == r);
                check(other.n_calls == whole.n_calls && other.hash == whole.hash);
                a = peer_output(whole.peer);
                b = peer_output(other.peer);
                if (how & LATE_REGISTRATIONS)
                        check_output(&other);
                else
                        check(buffer_size(a) == buffer_size(b) &&
                              (buffer_size(a) == 0 ||
                               memcmp(buffer_begin(a), buffer_begin(b), buffer_size(a)) == 0));
                run_end(&other);
        }
        check_output(&whole);
        run_end(&whole);
        run_time(data + 2, size - 2, how);
        return 0;
}
