/* SPDX-License-Identifier: Apache-2.0 */
/* The eventer state machine: every message of eventer.json, every malformed body and every proper prefix,
 * the rules of wire.md 3 that no vector shows, and time with a fake clock. */

#include <errno.h>

#include "base/bounds.h"
#include "event/chatter.h"
#include "tests/unit/eventer-bodies.h"

#define SECOND USEC_PER_SEC

/* What the handler heard last. */
typedef struct Heard {
        Eventer *eventer;
        GString *calls; /* one letter a call */
        EventerStatus status;
        char *refusal;
        EventerRequest *request;
        bool failure, more_follows;
        JsonSpan expected; /* events as the vectors write them; absent: not compared */
        size_t n_events;
        size_t output_before_ack;
        bool end; /* call eventer_end() inside events() */
} Heard;

static void heard_events(Heard *h, const Event *events, size_t n) {
        h->n_events = n;
        if (h->expected.text)
                assert_events(events, n, h->expected);
}

static void on_accepted(EventerStatus status, void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 'a');
        h->status = status;
}

static void on_refused(const char *text, size_t size, void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 'x');
        g_free(h->refusal);
        h->refusal = g_strndup(text, size);
}

static void on_status(EventerStatus status, void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 's');
        h->status = status;
}

static void on_events(const Event *events, size_t n, void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 'e');
        heard_events(h, events, n);
        h->output_before_ack = eventer_output_size(h->eventer);
        if (h->end)
                eventer_end(h->eventer);
}

static void on_registered(EventerRequest *request, bool failure, const Event *events, size_t n,
                          void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 'r');
        h->request = request;
        h->failure = failure;
        heard_events(h, events, n);
}

static void on_result(EventerRequest *request, const Event *events, size_t n, bool more_follows,
                      void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 'q');
        h->request = request;
        h->more_follows = more_follows;
        heard_events(h, events, n);
}

static void on_timed_out(EventerRequest *request, void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 't');
        h->request = request;
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

static const EventerInit plain_init = { .client_name = "c" };

/* An eventer whose init request (id 1) is sent and taken. */
static Eventer *fixture_new(Heard *h, bool accepted) {
        static const uint8_t accept[] = "\x01\x1e\x81\x81\x00\x01\x01\x95HatEventer.MsgInitRes\x82\x80\x82";

        *h = (Heard) { .eventer = eventer_new(&handler, h), .calls = g_string_new(NULL) };
        eventer_init(h->eventer, &plain_init);
        eventer_connected(h->eventer, 0);
        eventer_output_sent(h->eventer);
        if (accepted) {
                g_assert_cmpint(eventer_receive(h->eventer, accept, sizeof accept - 1, 0), ==,
                                sizeof accept - 1);
                g_assert_cmpstr(h->calls->str, ==, "a");
                g_assert_cmpint(h->status, ==, EVENTER_OPERATIONAL);
                g_string_truncate(h->calls, 0);
        }
        return h->eventer;
}

static void fixture_done(Heard *h) {
        eventer_free(h->eventer);
        g_string_free(h->calls, TRUE);
        g_free(h->refusal);
}
#define _fixture_ _cleanup_(fixture_done) Heard

/* A message of the server as a frame; first 0: a conversation of its own. */
static int64_t feed(Eventer *e, const char *type, int64_t first, bool last, const void *body, size_t size,
                    usec_t now) {
        ChatterMessage to = { .first = first, .owner = true };
        _cleanup_(buffer_done) Buffer out = { 0 };
        g_autofree uint8_t *exact = NULL;
        Chatter server;
        int64_t r;

        chatter_init(&server, 0);
        if (first == 0)
                (void) chatter_send(&server, last, type, body, size, &out);
        else
                (void) chatter_reply(&server, &to, last, type, body, size, &out);
        exact = g_memdup2(buffer_begin(&out), buffer_size(&out));
        r = eventer_receive(e, exact, buffer_size(&out), now);
        if (r >= 0)
                g_assert_cmpint(r, ==, buffer_size(&out));
        return r;
}

/* A conversation that the server began, by its id `first`. */
static int64_t feed_own(Eventer *e, const char *type, int64_t first, const void *body, size_t size) {
        _cleanup_(buffer_done) Buffer out = { 0 };
        Chatter server;

        chatter_init(&server, 0);
        server.last_id = first - 1;
        (void) chatter_send(&server, true, type, body, size, &out);
        return eventer_receive(e, buffer_begin(&out), buffer_size(&out), 0);
}

static GByteArray *take_output(Eventer *e) {
        GByteArray *bytes = g_byte_array_new();
        struct iovec iov[EVENTER_OUTPUT_MAX];
        size_t n = eventer_output(e, iov), size = 0;

        for (size_t i = 0; i < n; i++) {
                g_byte_array_append(bytes, iov[i].iov_base, (guint) iov[i].iov_len);
                size += iov[i].iov_len;
        }
        g_assert_cmpuint(size, ==, eventer_output_size(e));
        eventer_output_sent(e);
        g_assert_cmpuint(eventer_output_size(e), ==, 0);
        return bytes;
}

/* Takes the next message off sent bytes. */
static ChatterMessage next_message(const GByteArray *bytes, size_t *at) {
        _cleanup_(buffer_done) Buffer replies = { 0 };
        ChatterMessage m;
        Chatter c;
        size_t used;

        chatter_init(&c, 0);
        g_assert_cmpint(chatter_receive(&c, bytes->data + *at, bytes->len - *at, 0, &replies, &used, &m), ==,
                        1);
        *at += used;
        return m;
}

/* ---- vectors ----------------------------------------------------------------------------------------- */

static void check_sent(JsonSpan x) {
        JsonSpan type = vector_get(x, "type"), msg = vector_get(x, "msg");
        bool init = json_text_equal(type, "HatEventer.MsgInitReq"),
             last = vector_bool(vector_get(msg, "last"));
        EventerRequest request = { 0 };
        Heard h = { .calls = g_string_new(NULL) };
        g_autoptr(GByteArray) bytes = NULL;
        ChatterMessage m;
        size_t at = 0;

        if (init)
                h.eventer = eventer_new(&handler, &h);
        else {
                g_string_free(h.calls, TRUE);
                (void) fixture_new(&h, true);
        }
        body_send(h.eventer, type, vector_get(x, "body"), last, 0, &request);
        bytes = take_output(h.eventer);
        m = next_message(bytes, &at);
        g_assert_cmpuint(at, ==, bytes->len);
        g_assert_cmpint(m.id, ==, init ? 1 : 2);
        g_assert_cmpint(m.first, ==, m.id);
        g_assert_true(m.owner && m.token);
        g_assert_true(m.last == last);
        g_assert_cmpint(json_text_equal(type, "HatEventer.MsgRegisterReq") && last ? 0
                        : init                                                     ? 0
                                                                                   : m.id,
                        ==, request.conversation);
        assert_bytes(m.data, m.size, vector_get(x, "body_hex"));
        fixture_done(&h);
}

static void check_ack(JsonSpan x) {
        _fixture_ h;
        JsonSpan msg = vector_get(x, "msg");
        g_autoptr(GByteArray) bytes = NULL;
        ChatterMessage m;
        size_t at = 0;

        (void) fixture_new(&h, true);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgEventsNotify", 0, false, "\x80", 1, 0), >, 0);
        bytes = take_output(h.eventer);
        m = next_message(bytes, &at);
        g_assert_cmpint(m.id, ==, 2);
        g_assert_cmpint(m.first, ==, 1);
        g_assert_true(m.owner == vector_bool(vector_get(msg, "owner")));
        g_assert_true(m.last == vector_bool(vector_get(msg, "last")));
        g_assert_cmpuint(m.size, ==, 0);
}

/* Feeds a frame of the server into an eventer that waits for just that; returns what eventer_receive()
 * returned. */
static int64_t receive_body(JsonSpan type, const uint8_t *body, size_t size, bool last, JsonSpan expected,
                            JsonSpan value) {
        g_autofree char *name = vector_text(type, NULL);
        bool init = streq(name, "HatEventer.MsgInitRes");
        EventerRequest request;
        JsonSpan content;
        _fixture_ h;
        int64_t first = 0, r;

        (void) fixture_new(&h, !init);
        if (init)
                first = 1;
        else if (streq(name, "HatEventer.MsgRegisterRes")) {
                eventer_flush_request(h.eventer, 0, &request);
                first = request.conversation;
        } else if (streq(name, "HatEventer.MsgQueryRes")) {
                g_assert_cmpint(eventer_request_query(h.eventer, &(EventerQuery) { 0 }, 0, &request), ==, 0);
                first = request.conversation;
        }
        eventer_output_sent(h.eventer);
        h.expected = expected;
        r = feed(h.eventer, name, first, last, body, size, 0);
        if (!value.text) {
                g_assert_cmpuint(h.calls->len, ==, 0);
                return r;
        }

        /* Exactly one call, with what the body says. */
        g_assert_cmpuint(h.calls->len, ==, 1);
        if (h.calls->str[0] == 'x') {
                g_autofree char *text = NULL;

                g_assert_true(vector_choice(value, "error", &content));
                text = vector_text(content, NULL);
                g_assert_cmpstr(h.refusal, ==, text);
                g_assert_cmpint(r, ==, -ECONNREFUSED);
        } else if (h.calls->str[0] == 'a') {
                g_assert_true(vector_choice(value, "success", &content));
                g_assert_true(vector_choice(content, eventer_status_to_string(h.status), NULL));
        } else if (h.calls->str[0] == 's')
                g_assert_true(vector_choice(value, eventer_status_to_string(h.status), NULL));
        else if (h.calls->str[0] == 'r') {
                g_assert_true(h.request == &request);
                g_assert_true(h.failure == vector_choice(value, "failure", NULL));
        } else if (h.calls->str[0] == 'q') {
                g_assert_true(h.request == &request);
                g_assert_true(h.more_follows == vector_bool(vector_get(value, "moreFollows")));
        }
        if (h.calls->str[0] == 'e')
                g_assert_true((eventer_output_size(h.eventer) > 0) == !last);
        return r;
}

static void check_received(JsonSpan x) {
        JsonSpan type = vector_get(x, "type"), value = vector_get(x, "body"), expected = { 0 };
        g_autoptr(GByteArray) body = vector_hex(vector_get(x, "body_hex"));
        bool last = vector_bool(vector_get(vector_get(x, "msg"), "last"));

        if (json_text_equal(type, "HatEventer.MsgEventsNotify"))
                expected = value;
        else if (json_text_equal(type, "HatEventer.MsgQueryRes"))
                expected = vector_get(value, "events");
        else if (json_text_equal(type, "HatEventer.MsgRegisterRes"))
                (void) vector_choice(value, "events", &expected);

        (void) receive_body(type, body->data, body->len, last, expected, value);
        for (guint i = 0; i < body->len; i++)
                g_assert_cmpint(receive_body(type, body->data, i, last, (JsonSpan) { 0 }, (JsonSpan) { 0 }),
                                ==, -EBADMSG);

        /* Surplus bytes behind the body are ignored. */
        g_byte_array_append(body, (const uint8_t *) "\xff\x00", 2);
        (void) receive_body(type, body->data, body->len, last, expected, value);
}

/* Every message by the schema driven codec: also the directions that the daemon does not speak. */
static void check_generic(const Vectors *v, JsonSpan x) {
        JsonSpan type = vector_type(v, vector_get(x, "type")), msg = vector_get(x, "msg"),
                 value = vector_get(x, "body");
        g_autoptr(GByteArray) frame = vector_hex(vector_get(x, "frame_hex"));
        g_autofree char *name = vector_text(vector_get(x, "type"), NULL);
        _cleanup_(buffer_done) Buffer body = { 0 }, out = { 0 };
        int64_t first = vector_integer(vector_get(msg, "first"));
        bool owner = vector_bool(vector_get(msg, "owner")), last = vector_bool(vector_get(msg, "last"));
        ChatterMessage to = { .first = first, .owner = !owner };
        Chatter c;

        vector_encode(type, value, &body);
        assert_bytes(buffer_begin(&body), buffer_size(&body), vector_get(x, "body_hex"));
        for (size_t i = 0; i <= buffer_size(&body); i++) {
                g_autofree uint8_t *part = g_memdup2(buffer_size(&body) > 0 ? buffer_begin(&body)
                                                                            : (const uint8_t *) "",
                                                     MAX(i, 1));
                SbsReader r = { .at = part, .end = part + i };
                bool whole = i == buffer_size(&body);

                g_assert_cmpint(vector_decode(type, &r, whole ? value : (JsonSpan) { 0 }), ==,
                                whole ? 0 : -EBADMSG);
        }

        chatter_init(&c, 0);
        c.last_id = vector_integer(vector_get(msg, "id")) - 1;
        if (owner && first == c.last_id + 1)
                (void) chatter_send(&c, last, name, buffer_begin(&body), buffer_size(&body), &out);
        else
                (void) chatter_reply(&c, &to, last, name, buffer_begin(&body), buffer_size(&body), &out);
        g_assert_cmpmem(buffer_begin(&out), buffer_size(&out), frame->data, frame->len);
}

static void test_messages(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "eventer.json");
        FOREACH_ITEM(x, vector_get(v.root, "messages")) {
                check_generic(&v, x);
                if (json_text_equal(vector_get(x, "direction"), "server to client"))
                        check_received(x);
                else if (json_text_equal(vector_get(x, "type"), "HatEventer.MsgEventsAck"))
                        check_ack(x);
                else
                        check_sent(x);
        }
}

static void test_malformed(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "eventer.json");
        FOREACH_ITEM(x, vector_get(v.root, "malformed_bodies")) {
                JsonSpan type = vector_get(x, "type");
                g_autoptr(GByteArray) body = vector_hex(vector_get(x, "hex"));
                SbsReader r = { .at = body->data, .end = body->data + body->len };

                g_assert_cmpint(vector_decode(vector_type(&v, type), &r, (JsonSpan) { 0 }), ==, -EBADMSG);
                if (!json_text_equal(type, "HatEventer.MsgQueryReq"))
                        g_assert_cmpint(receive_body(type, body->data, body->len, true, (JsonSpan) { 0 },
                                                     (JsonSpan) { 0 }),
                                        ==, -EBADMSG);
        }
}

/* ---- rules ------------------------------------------------------------------------------------------- */

static void test_handshake(void) {
        static const char *const early[] = { "HatEventer.MsgStatusNotify", "HatEventer.MsgEventsNotify",
                                             "HatEventer.Other" };

        for (size_t i = 0; i < ELEMENTSOF(early); i++) {
                _fixture_ h;

                (void) fixture_new(&h, false);
                g_assert_cmpint(feed(h.eventer, early[i], 0, true, "\x80", 1, 0), ==, -EPROTO);
                g_assert_cmpuint(h.calls->len, ==, 0);
        }

        /* A response in another conversation, and one that claims to be ours to begin. */
        for (int64_t first = 0; first <= 2; first += 2) {
                _fixture_ h;

                (void) fixture_new(&h, false);
                g_assert_cmpint(feed(h.eventer, "HatEventer.MsgInitRes", first, true, "\x80\x80", 2, 0), ==,
                                -EPROTO);
        }
}

static void test_unexpected(void) {
        static const char *const types[] = {
                "HatEventer.MsgInitRes",
                "HatEventer.MsgInitReq",
                "HatEventer.MsgRegisterReq",
                "HatEventer.MsgQueryReq",
                "HatEventer.MsgEventsAck",
                "HatChatter.Other",
                "",
                "HatEventer.MsgEventsNotifyx",
        };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                _fixture_ h;

                (void) fixture_new(&h, true);
                g_assert_cmpint(feed(h.eventer, types[i], 1, true, "\x80\x80", 2, 0), ==, -EPROTO);
                g_assert_cmpuint(h.calls->len, ==, 0);
        }
}

static void test_unknown_conversation(void) {
        EventerRequest query, registration;
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpint(eventer_request_query(h.eventer, &(EventerQuery) { 0 }, 0, &query), ==, 0);
        eventer_flush_request(h.eventer, 0, &registration);
        g_assert_cmpint(query.conversation, ==, 2);
        g_assert_cmpint(registration.conversation, ==, 3);

        /* Unknown, of the server, of the other kind: ignored, but decoded. */
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgQueryRes", 77, true, "\x80\x00", 2, 0), >, 0);
        g_assert_cmpint(feed_own(h.eventer, "HatEventer.MsgQueryRes", 2, "\x80\x00", 2), >, 0);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgQueryRes", 3, true, "\x80\x00", 2, 0), >, 0);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgRegisterRes", 2, true, "\x81", 1, 0), >, 0);
        g_assert_cmpuint(h.calls->len, ==, 0);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgQueryRes", 77, true, "\x80", 1, 0), ==, -EBADMSG);

        /* Out of order: matched by conversation; a second answer is unknown again. */
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgRegisterRes", 3, true, "\x81", 1, 0), >, 0);
        g_assert_true(h.request == &registration && h.failure);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgQueryRes", 2, false, "\x80\x01", 2, 0), >, 0);
        g_assert_true(h.request == &query && h.more_follows);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgQueryRes", 2, true, "\x80\x01", 2, 0), >, 0);
        g_assert_cmpstr(h.calls->str, ==, "rq");
        g_assert_null(eventer_steal_request(h.eventer));
}

/* The ack follows the callback, and pings are answered in between without one. */
static void test_ack_after_callback(void) {
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgEventsNotify", 0, false, "\x80", 1, 0), >, 0);
        g_assert_cmpuint(h.output_before_ack, ==, 0);
        g_assert_cmpuint(eventer_output_size(h.eventer), >, 0);
        eventer_output_sent(h.eventer);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgEventsNotify", 0, true, "\x80", 1, 0), >, 0);
        g_assert_cmpuint(eventer_output_size(h.eventer), ==, 0);
}

static const Subtype prefix_subtypes[] = { SUBTYPE("gateway"), SUBTYPE("ping"), SUBTYPE("dev1"),
                                           SUBTYPE("gateway") };
static const EventType prefix = { prefix_subtypes, ELEMENTSOF(prefix_subtypes) };
static const char *const running[] = { "running", NULL };
static const Payload payload_true = { .kind = PAYLOAD_JSON, .json = JSON_LITERAL("true") };

/* The elements of a registration. */
static int64_t count_of(const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };
        int64_t n;

        g_assert_cmpint(sbs_read_integer(&r, &n), ==, 0);
        return n;
}

/* Registered, asked, registered: what leaves is in this order, the batch is a part of its own. */
static void test_order(void) {
        static const struct {
                const char *type;
                int64_t n;
                bool last;
        } expected[] = {
                { "HatEventer.MsgRegisterReq", 2, true }, { "HatEventer.MsgQueryReq", 0, false },
                { "HatEventer.MsgRegisterReq", 1, true }, { "HatEventer.MsgRegisterReq", 1, false },
                { "HatEventer.MsgRegisterReq", 3, true },
        };
        g_autoptr(GByteArray) bytes = NULL;
        EventerRequest query, registration;
        size_t at = 0;
        _fixture_ h;

        (void) fixture_new(&h, true);
        for (int i = 0; i < 2; i++)
                (void) eventer_register(h.eventer, prefix, running, NULL, &payload_true);
        g_assert_cmpint(eventer_request_query(h.eventer, &(EventerQuery) { 0 }, 0, &query), ==, 0);
        (void) eventer_register(h.eventer, prefix, running, NULL, NULL);
        g_assert_cmpint(eventer_request_register(h.eventer, prefix, running, NULL, NULL, 0, &registration),
                        ==, 0);
        for (int i = 0; i < 3; i++)
                (void) eventer_register(h.eventer, prefix, running, NULL, &payload_true);
        eventer_flush(h.eventer);
        eventer_flush(h.eventer); /* empty: nothing */

        bytes = take_output(h.eventer);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                ChatterMessage m = next_message(bytes, &at);

                g_assert_cmpint(m.id, ==, (int64_t) i + 2);
                g_assert_true(chatter_message_is(&m, expected[i].type));
                g_assert_true(m.last == expected[i].last);
                if (expected[i].n > 0)
                        g_assert_cmpint(count_of(&m), ==, expected[i].n);
        }
        g_assert_cmpuint(at, ==, bytes->len);
        g_assert_true(eventer_steal_request(h.eventer) == &query);
        g_assert_true(eventer_steal_request(h.eventer) == &registration);
}

/* A batch is split by itself, an event that fits in no frame is refused and costs nothing. */
static void test_split(void) {
        g_autofree char *text = g_strnfill(CHATTER_FRAME_MAX, '1');
        Payload big = { .kind = PAYLOAD_JSON, .json = { text, 300U << 10 } };
        g_autoptr(GByteArray) bytes = NULL;
        int64_t n = 0;
        size_t at = 0;
        _fixture_ h;

        (void) fixture_new(&h, true);
        for (int i = 0; i < 10; i++) {
                g_assert_cmpint(eventer_register(h.eventer, prefix, running, NULL, &big), ==, 0);
                g_assert_cmpuint(eventer_batch_size(h.eventer), <=, EVENTER_BATCH_MAX);
        }
        big.json.size = CHATTER_FRAME_MAX;
        g_assert_cmpint(eventer_register(h.eventer, prefix, running, NULL, &big), ==, -EMSGSIZE);
        big.json.size = CHATTER_FRAME_MAX - 1000;
        g_assert_cmpint(eventer_register(h.eventer, prefix, running, NULL, &big), ==, 0);
        eventer_flush(h.eventer);

        bytes = take_output(h.eventer);
        for (int i = 0; at < bytes->len; i++) {
                ChatterMessage m = next_message(bytes, &at);

                g_assert_cmpint(count_of(&m), ==, i < 3 ? 3 : 1);
                n += count_of(&m);
        }
        g_assert_cmpint(n, ==, 11);
}

/* Microseconds out of range harm a server: they never leave. */
static void test_microseconds(void) {
        static const Timestamp strange[] = { { 1, -1 }, { 1, 1000000 } };
        g_autoptr(GByteArray) bytes = NULL;
        size_t at = 0;
        _fixture_ h;

        (void) fixture_new(&h, true);
        for (size_t i = 0; i < ELEMENTSOF(strange); i++) {
                static const char *const none[] = { NULL };
                ChatterMessage m;

                (void) eventer_register(h.eventer, (EventType) { 0 }, none, &strange[i], NULL);
                eventer_flush(h.eventer);
                g_clear_pointer(&bytes, g_byte_array_unref);
                bytes = take_output(h.eventer);
                at = 0;
                m = next_message(bytes, &at);
                if (i == 0)
                        g_assert_cmpmem(m.data, m.size, "\x81\x80\x81\x81\x80\x80", 6);
                else
                        g_assert_cmpmem(m.data, m.size, "\x81\x80\x81\x81\x3d\x04\xbf\x80", 8);
        }
}

/* After eventer_end() nothing is called any more, in the same bytes too. */
static void test_end(void) {
        static const uint8_t two[] = "\x01\x22\x93\x93\x01\x01\x01\x9aHatEventer.MsgEventsNotify\x81\x80"
                                     "\x01\x22\x94\x94\x01\x01\x01\x9aHatEventer.MsgEventsNotify\x81\x80";
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpint(eventer_receive(h.eventer, two, sizeof two - 1, 0), ==, sizeof two - 1);
        g_assert_cmpstr(h.calls->str, ==, "ee");
        h.end = true;
        g_assert_cmpint(eventer_receive(h.eventer, two, sizeof two - 1, 0), >, 0);
        g_assert_cmpstr(h.calls->str, ==, "eee");
        g_assert_cmpuint(eventer_deadline(h.eventer), ==, USEC_INFINITY);
}

/* A frame that claims more than its bytes can hold is refused at once; strange microseconds do not cost the
 * connection. */
static void test_hostile(void) {
        static const uint8_t event[] = { 0x81, 0x81, 0x81, 0x81, 0x80, 0x80, 0x7f, 0x80,
                                         0x81, 0x80, 0x08, 0,    0,    0,    0x80, 0x80 };
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgEventsNotify", 0, true, "\x08\x00\x00\x00\x80", 5, 0),
                        ==, -EBADMSG);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgEventsNotify", 0, true, event, sizeof event, 0), >,
                        0);
        g_assert_cmpuint(h.n_events, ==, 1);
}

/* ---- time -------------------------------------------------------------------------------------------- */

static void test_init_timeout(void) {
        _fixture_ h;

        (void) fixture_new(&h, false);
        g_assert_cmpuint(eventer_deadline(h.eventer), ==, NORTH_REQUEST_USEC);
        g_assert_cmpint(eventer_elapse(h.eventer, NORTH_REQUEST_USEC - 1), ==, 0);
        g_assert_cmpint(eventer_elapse(h.eventer, NORTH_REQUEST_USEC), ==, -ETIMEDOUT);
}

/* A request without answer ends by itself; the connection stays, a late answer is ignored. */
static void test_request_timeout(void) {
        EventerRequest one, two;
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpuint(eventer_deadline(h.eventer), ==, CHATTER_PING_DELAY_USEC);
        g_assert_cmpint(eventer_request_query(h.eventer, &(EventerQuery) { 0 }, 1 * SECOND, &one), ==, 0);
        g_assert_cmpint(eventer_request_query(h.eventer, &(EventerQuery) { 0 }, 2 * SECOND, &two), ==, 0);
        g_assert_cmpuint(eventer_deadline(h.eventer), ==, 11 * SECOND);
        g_assert_cmpint(eventer_elapse(h.eventer, 11 * SECOND), ==, 0);
        g_assert_cmpstr(h.calls->str, ==, "t");
        g_assert_true(h.request == &one);

        g_assert_cmpuint(eventer_deadline(h.eventer), ==, 12 * SECOND);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgQueryRes", one.conversation, true, "\x80\x00", 2,
                             11 * SECOND),
                        >, 0);
        g_assert_cmpint(feed(h.eventer, "HatEventer.MsgQueryRes", two.conversation, true, "\x80\x00", 2,
                             11 * SECOND),
                        >, 0);
        g_assert_cmpstr(h.calls->str, ==, "tq");
        g_assert_true(h.request == &two);
        g_assert_cmpuint(eventer_deadline(h.eventer), ==, 31 * SECOND);
}

/* Registrations wait while the server would lose them, in order, and queries do not. */
static void test_held(void) {
        static const char *const subtypes[] = { "x", NULL };
        g_autoptr(GByteArray) before = NULL, after = NULL;
        EventerRequest query, refused;
        ChatterMessage m;
        size_t at = 0;
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpint(feed_own(h.eventer, "HatEventer.MsgStatusNotify", 2, "\x83", 1), >, 0); /* stopping */
        g_assert_cmpint(eventer_register(h.eventer, (EventType) { 0 }, subtypes, NULL, NULL), ==, 0);
        g_assert_cmpuint(eventer_held_size(h.eventer), >, 0);
        g_assert_cmpint(eventer_request_register(h.eventer, (EventType) { 0 }, subtypes, NULL, NULL, 0, &refused), ==,
                        -EHOSTDOWN);
        g_assert_cmpint(eventer_request_query(h.eventer, &(EventerQuery) { .kind = QUERY_LATEST }, 0, &query), ==, 0);
        eventer_flush(h.eventer);
        before = take_output(h.eventer);
        m = next_message(before, &at);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgQueryReq"));
        g_assert_cmpuint(at, ==, before->len);

        g_assert_cmpint(feed_own(h.eventer, "HatEventer.MsgStatusNotify", 3, "\x82", 1), >, 0); /* operational */
        g_assert_cmpuint(eventer_held_size(h.eventer), ==, 0);
        eventer_flush(h.eventer);
        after = take_output(h.eventer);
        at = 0;
        m = next_message(after, &at);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgRegisterReq"));
        g_assert_cmpint(m.data[0], ==, 0x81);
}

/* The held batch has a bound, and what is beyond it is said. */
static void test_held_bound(void) {
        static const char *const subtypes[] = { "x", NULL };
        g_autofree char *text = g_strnfill(1 << 20, '1');
        Payload payload = { .kind = PAYLOAD_JSON, .json = { text, 1 << 20 } };
        unsigned n = 0;
        int r;
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpint(feed_own(h.eventer, "HatEventer.MsgStatusNotify", 2, "\x80", 1), >, 0);
        while ((r = eventer_register(h.eventer, (EventType) { 0 }, subtypes, NULL, &payload)) >= 0)
                n++;
        g_assert_cmpint(r, ==, -ENOBUFS);
        g_assert_cmpuint(n, ==, 63);
}

static void test_ping_timeout(void) {
        g_autoptr(GByteArray) bytes = NULL;
        _fixture_ h;

        (void) fixture_new(&h, true);
        g_assert_cmpint(eventer_elapse(h.eventer, 20 * SECOND), ==, 0);
        bytes = take_output(h.eventer);
        g_assert_nonnull(memmem(bytes->data, bytes->len, "HatChatter.Ping", 15));
        g_assert_cmpuint(eventer_deadline(h.eventer), ==, 40 * SECOND);
        g_assert_cmpint(eventer_elapse(h.eventer, 40 * SECOND), ==, -ETIMEDOUT);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/eventer/messages", test_messages);
        g_test_add_func("/eventer/malformed", test_malformed);
        g_test_add_func("/eventer/handshake", test_handshake);
        g_test_add_func("/eventer/unexpected", test_unexpected);
        g_test_add_func("/eventer/unknown-conversation", test_unknown_conversation);
        g_test_add_func("/eventer/ack-after-callback", test_ack_after_callback);
        g_test_add_func("/eventer/order", test_order);
        g_test_add_func("/eventer/split", test_split);
        g_test_add_func("/eventer/microseconds", test_microseconds);
        g_test_add_func("/eventer/end", test_end);
        g_test_add_func("/eventer/hostile", test_hostile);
        g_test_add_func("/eventer/init-timeout", test_init_timeout);
        g_test_add_func("/eventer/request-timeout", test_request_timeout);
        g_test_add_func("/eventer/held", test_held);
        g_test_add_func("/eventer/held-bound", test_held_bound);
        g_test_add_func("/eventer/ping-timeout", test_ping_timeout);
        return g_test_run();
}
