/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the connections of conversation_eventer.json from the server's side: what the recorded clients
 * wrote goes in, the recorded server's bytes must come out. In whole frames and in pieces of every small
 * size. */

#include "event/server/peer.h"
#include "tests/unit/peer-bodies.h"

typedef struct Replay {
        Peer *peer;
        Buffer in;
        size_t chunk;
        const JsonSpan *entries; /* of one connection: only frames */
        size_t n_entries, at;
        unsigned calls;
} Replay;

/* The next frame of the server with this type, from the one under way on. */
static JsonSpan replay_response(const Replay *p, const char *type) {
        for (size_t i = p->at; i < p->n_entries; i++)
                if (json_text_equal(vector_get(p->entries[i], "type"), type))
                        return vector_get(p->entries[i], "body");
        g_assert_not_reached();
}

static JsonSpan replay_body_hex(const Replay *p) {
        return vector_get(p->entries[p->at], "body_hex");
}

static EventerStatus body_status(JsonSpan body) {
        for (EventerStatus s = 0; s < _EVENTER_STATUS_MAX; s++)
                if (vector_choice(body, eventer_status_to_string(s), NULL))
                        return s;
        g_assert_not_reached();
}

static void replay_init(const PeerInit *init, void *userdata) {
        Replay *p = userdata;
        JsonSpan response = replay_response(p, "HatEventer.MsgInitRes"), content;

        p->calls++;
        assert_init(init, replay_body_hex(p));
        if (vector_choice(response, "success", &content))
                peer_accept(p->peer, body_status(content));
        else {
                g_autofree char *text = NULL;

                g_assert_true(vector_choice(response, "error", &content));
                text = vector_text(content, NULL);
                peer_refuse(p->peer, text);
        }
}

static void replay_registration(const Event *events, size_t n, bool wants_response, int64_t conversation,
                                void *userdata) {
        Replay *p = userdata;
        JsonSpan msg = vector_get(p->entries[p->at], "msg");

        p->calls++;
        assert_registration(events, n, replay_body_hex(p));
        g_assert_true(wants_response == !vector_bool(vector_get(msg, "last")));
        g_assert_cmpint(conversation, ==, vector_integer(vector_get(msg, "id")));
}

/* Two queries were sent without waiting: the second one is called when the first one was answered. */
static int replay_query(const EventerQuery *query, void *userdata) {
        Replay *p = userdata;

        p->calls++;
        return 0;
}

static const PeerHandler replay_handler = { .init = replay_init,
                                            .registration = replay_registration,
                                            .query = replay_query };

static void replay_receive(Replay *p) {
        int64_t used = peer_receive(p->peer, buffer_begin(&p->in), buffer_size(&p->in), 0);

        g_assert_cmpint(used, >=, 0);
        buffer_consume(&p->in, (size_t) used);
}

static void replay_client(Replay *p) {
        g_autoptr(GByteArray) frame = vector_hex(vector_get(p->entries[p->at], "hex"));

        for (size_t at = 0; at < frame->len; at += p->chunk) {
                buffer_append(&p->in, frame->data + at, MIN(p->chunk, frame->len - at));
                replay_receive(p);
        }
}

/* Array(Event) with its count, through our decoder and encoder. */
static size_t replay_events(JsonSpan hex, size_t skip, Buffer *ret) {
        g_autoptr(GByteArray) body = vector_hex(hex);
        SbsReader r = { .at = body->data + skip, .end = body->data + body->len };
        EventList list;
        size_t n;

        event_list_init(&list);
        g_assert_cmpint(event_list_decode(&list, &r), ==, 0);
        n = list.events->len;
        for (size_t i = 0; i < n; i++)
                event_encode(ret, &g_array_index(list.events, Event, i));
        event_list_done(&list);
        return n;
}

/* Does what makes the peer send this entry, unless it was sent already. */
static void replay_server(Replay *p) {
        JsonSpan entry = p->entries[p->at], type = vector_get(entry, "type"),
                 body = vector_get(entry, "body"), hex = vector_get(entry, "body_hex");
        _cleanup_(buffer_done) Buffer b = { 0 }, events = { 0 };
        g_autoptr(GByteArray) result = vector_hex(hex);
        size_t n;

        if (json_text_equal(type, "HatEventer.MsgStatusNotify"))
                peer_send_status(p->peer, body_status(body));
        else if (json_text_equal(type, "HatEventer.MsgEventsNotify")) {
                n = replay_events(hex, 0, &b);
                peer_notify(p->peer, n, buffer_begin(&b), buffer_size(&b));
        } else if (json_text_equal(type, "HatEventer.MsgRegisterRes")) {
                int64_t first = vector_integer(vector_get(vector_get(entry, "msg"), "first"));

                if (vector_choice(body, "failure", NULL)) {
                        peer_answer_registered(p->peer, first, NULL, 0);
                        return;
                }
                sbs_write_integer(&b, (int64_t) replay_events(hex, 1, &events));
                buffer_append(&b, buffer_begin(&events), buffer_size(&events));
                peer_answer_registered(p->peer, first, buffer_begin(&b), buffer_size(&b));
        } else if (json_text_equal(type, "HatEventer.MsgQueryRes"))
                peer_answer_query(p->peer, result->data, result->len);
}

static void replay_check(Replay *p) {
        JsonSpan entry = p->entries[p->at];
        g_autoptr(GByteArray) frame = vector_hex(vector_get(entry, "hex"));
        Buffer *out = peer_output(p->peer);

        /* The reference can be made to ask for an ack, which no server does: `last`, behind two small
         * ids. */
        if (!vector_bool(vector_get(vector_get(entry, "msg"), "last"))) {
                size_t last = 1 + frame->data[0] + 4;

                g_assert_true(json_text_equal(vector_get(entry, "type"), "HatEventer.MsgEventsNotify"));
                g_assert_cmpuint(frame->data[last], ==, 0);
                frame->data[last] = 1;
        }
        g_assert_cmpmem(buffer_begin(out), buffer_size(out), frame->data, frame->len);
        buffer_clear(out);
        replay_receive(p); /* what waited behind a query */
}

static void replay(const Vectors *v, const char *connection, size_t chunk, unsigned n_calls) {
        g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(JsonSpan));
        Replay p = { .chunk = chunk };

        FOREACH_ITEM(entry, vector_get(v->root, "entries"))
        if (vector_find(entry, "from").text && json_text_equal(vector_get(entry, "connection"), connection))
                g_array_append_val(entries, entry);
        p.entries = (const JsonSpan *) (void *) entries->data;
        p.n_entries = entries->len;
        p.peer = peer_new(0, &replay_handler, &p);

        for (; p.at < p.n_entries; p.at++)
                if (json_text_equal(vector_get(p.entries[p.at], "from"), "client"))
                        replay_client(&p);
                else {
                        replay_server(&p);
                        replay_check(&p);
                }
        g_assert_cmpuint(p.calls, ==, n_calls);
        g_assert_cmpuint(buffer_size(&p.in), ==, 0);
        g_assert_false(peer_is_waiting(p.peer));
        g_assert_true(peer_is_accepted(p.peer) == !streq(connection, "eventer 3"));
        peer_free(p.peer);
        buffer_done(&p.in);
}

static void test_replay(void) {
        static const size_t chunks[] = { SIZE_MAX / 2, 1, 2, 3, 5, 64 };
        _vectors_ v = { 0 };

        vectors_load(&v, "conversation_eventer.json");
        for (size_t i = 0; i < ELEMENTSOF(chunks); i++) {
                replay(&v, "eventer 1", chunks[i], 10);
                replay(&v, "eventer 2", chunks[i], 4);
                replay(&v, "eventer 3", chunks[i], 1);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/peer-conversation/replay", test_replay);
        return g_test_run();
}
