/* SPDX-License-Identifier: Apache-2.0 */
/* Replays the connections of conversation_eventer.json: what the recorded server wrote goes in, the recorded
 * client's bytes must come out, exactly. In whole frames and in pieces of every small size. */

#include <errno.h>

#include "tests/unit/eventer-bodies.h"

#define SECOND USEC_PER_SEC

typedef struct Replay {
        Eventer *eventer;
        Buffer in; /* received and not consumed */
        size_t chunk;
        usec_t now;
        GPtrArray *requests; /* of EventerRequest, each answered once */
        JsonSpan expected;   /* the server's message that is being fed */
        unsigned calls, answers;
        bool refused;
} Replay;

static void on_accepted(EventerStatus status, void *userdata) {
        Replay *p = userdata;
        JsonSpan content;

        p->calls++;
        g_assert_true(vector_choice(vector_get(p->expected, "body"), "success", &content));
        g_assert_true(vector_choice(content, eventer_status_to_string(status), NULL));
}

static void on_refused(const char *text, size_t size, void *userdata) {
        Replay *p = userdata;
        g_autofree char *words = g_strndup(text, size);

        p->calls++;
        p->refused = true;
        g_assert_cmpstr(words, ==, "invalid client token");
}

static void on_status(EventerStatus status, void *userdata) {
        Replay *p = userdata;

        p->calls++;
        g_assert_true(vector_choice(vector_get(p->expected, "body"), eventer_status_to_string(status),
                                    NULL));
}

static void on_events(const Event *events, size_t n, void *userdata) {
        Replay *p = userdata;

        p->calls++;
        assert_events(events, n, vector_get(p->expected, "body"));
}

/* The response belongs to the request whose conversation the frame names. */
static void assert_request(Replay *p, const EventerRequest *request) {
        p->calls++;
        p->answers++;
        g_assert_cmpint(request->conversation, ==,
                        vector_integer(vector_get(vector_get(p->expected, "msg"), "first")));
}

static void on_registered(EventerRequest *request, bool failure, const Event *events, size_t n,
                          void *userdata) {
        Replay *p = userdata;
        JsonSpan content;

        assert_request(p, request);
        g_assert_true(failure == vector_choice(vector_get(p->expected, "body"), "failure", NULL));
        if (vector_choice(vector_get(p->expected, "body"), "events", &content))
                assert_events(events, n, content);
}

static void on_result(EventerRequest *request, const Event *events, size_t n, bool more_follows,
                      void *userdata) {
        Replay *p = userdata;
        JsonSpan body = vector_get(p->expected, "body");

        assert_request(p, request);
        g_assert_true(more_follows == vector_bool(vector_get(body, "moreFollows")));
        assert_events(events, n, vector_get(body, "events"));
}

static void on_timed_out(EventerRequest *request, void *userdata) {
        g_assert_not_reached();
}

static const EventerHandler handler = {
        .accepted = on_accepted,
        .refused = on_refused,
        .status = on_status,
        .events = on_events,
        .registered = on_registered,
        .result = on_result,
        .timed_out = on_timed_out,
};

/* As the glue does: pieces as they come, whole frames consumed. The last piece alone completes the frame. */
static void replay_server(Replay *p, JsonSpan entry) {
        g_autoptr(GByteArray) frame = vector_hex(vector_get(entry, "hex"));
        bool pong = json_text_equal(vector_get(entry, "type"), "HatChatter.Pong");
        unsigned before = p->calls;
        int64_t used = 0;

        p->expected = entry;
        for (size_t at = 0; at < frame->len; at += p->chunk) {
                g_assert_cmpuint(p->calls, ==, before);
                buffer_append(&p->in, frame->data + at, MIN(p->chunk, frame->len - at));
                used = eventer_receive(p->eventer, buffer_begin(&p->in), buffer_size(&p->in), p->now);
                if (used < 0)
                        break;
                buffer_consume(&p->in, (size_t) used);
        }
        g_assert_cmpuint(p->calls, ==, before + !pong);
        if (p->refused)
                g_assert_cmpint(used, ==, -ECONNREFUSED);
        else {
                g_assert_cmpint(used, >=, 0);
                g_assert_cmpuint(buffer_size(&p->in), ==, 0);
        }
}

static void replay_client(Replay *p, JsonSpan entry) {
        JsonSpan type = vector_get(entry, "type");
        g_autoptr(GByteArray) sent = g_byte_array_new();
        struct iovec iov[EVENTER_OUTPUT_MAX];
        size_t n;

        if (json_text_equal(type, "HatChatter.Ping")) {
                p->now = eventer_deadline(p->eventer);
                g_assert_cmpint(eventer_elapse(p->eventer, p->now), ==, 0);
        } else if (!json_text_equal(type, "HatEventer.MsgEventsAck")) { /* an ack is there already */
                EventerRequest *request = g_new0(EventerRequest, 1);

                g_ptr_array_add(p->requests, request);
                body_send(p->eventer, type, vector_get(entry, "body"),
                          vector_bool(vector_get(vector_get(entry, "msg"), "last")), p->now, request);
        }

        n = eventer_output(p->eventer, iov);
        for (size_t i = 0; i < n; i++)
                g_byte_array_append(sent, iov[i].iov_base, (guint) iov[i].iov_len);
        assert_bytes(sent->data, sent->len, vector_get(entry, "hex"));
        eventer_output_sent(p->eventer);
}

static void replay(const Vectors *v, const char *connection, size_t chunk, unsigned n_answers) {
        Replay p = { .chunk = chunk, .requests = g_ptr_array_new_with_free_func(g_free) };

        p.eventer = eventer_new(&handler, &p);
        FOREACH_ITEM(entry, vector_get(v->root, "entries")) {
                JsonSpan from = vector_find(entry, "from");

                if (!from.text || !json_text_equal(vector_get(entry, "connection"), connection))
                        continue;
                p.now += SECOND / 100;
                if (json_text_equal(from, "server"))
                        replay_server(&p, entry);
                else {
                        replay_client(&p, entry);
                        if (json_text_equal(vector_get(entry, "type"), "HatEventer.MsgInitReq"))
                                eventer_connected(p.eventer, p.now);
                }
        }

        g_assert_cmpuint(p.answers, ==, n_answers);
        g_assert_cmpuint(eventer_output_size(p.eventer), ==, 0);
        g_assert_null(eventer_steal_request(p.eventer));
        g_assert_true(p.refused == streq(connection, "eventer 3"));
        eventer_free(p.eventer);
        buffer_done(&p.in);
        g_ptr_array_unref(p.requests);
}

static void test_replay(void) {
        static const size_t chunks[] = { SIZE_MAX / 2, 1, 2, 3, 5, 64 };
        _vectors_ v = { 0 };

        vectors_load(&v, "conversation_eventer.json");
        for (size_t i = 0; i < ELEMENTSOF(chunks); i++) {
                replay(&v, "eventer 1", chunks[i], 8);
                replay(&v, "eventer 2", chunks[i], 3);
                replay(&v, "eventer 3", chunks[i], 0);
        }
}

/* The whole stream of the server at once: responses to what was not asked are ignored, everything else is
 * delivered. */
static void count_status(EventerStatus status, void *userdata) {
        unsigned *n = userdata;

        (*n)++;
}

static void ignore_events(const Event *events, size_t n, void *userdata) {
}

static void test_stream_at_once(void) {
        static const EventerHandler counting = { .accepted = count_status,
                                                 .status = count_status,
                                                 .events = ignore_events };
        static const EventerInit init = { .client_name = "c" };
        g_autoptr(GByteArray) stream = g_byte_array_new();
        _cleanup_(eventer_freep) Eventer *e = NULL;
        _vectors_ v = { 0 };
        unsigned n = 0;

        vectors_load(&v, "conversation_eventer.json");
        FOREACH_ITEM(entry, vector_get(v.root, "entries")) {
                JsonSpan from = vector_find(entry, "from");

                if (from.text && json_text_equal(from, "server") &&
                    json_text_equal(vector_get(entry, "connection"), "eventer 1")) {
                        g_autoptr(GByteArray) frame = vector_hex(vector_get(entry, "hex"));

                        g_byte_array_append(stream, frame->data, frame->len);
                }
        }
        e = eventer_new(&counting, &n);
        eventer_init(e, &init);
        g_assert_cmpint(eventer_receive(e, stream->data, stream->len, 0), ==, stream->len);
        g_assert_cmpuint(n, ==, 5);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/conversation/replay", test_replay);
        g_test_add_func("/conversation/stream-at-once", test_stream_at_once);
        return g_test_run();
}
