/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of a connection: every message of eventer.json that a client sends, its malformed
 * bodies and every proper prefix; the rules of wire.md 3 and 5.1 by state; bounds; and time with a fake
 * clock. */

#include <errno.h>
#include <inttypes.h>

#include "base/bounds.h"
#include "event/chatter.h"
#include "event/server/peer.h"
#include "tests/unit/hex.h"
#include "tests/unit/peer-bodies.h"

#define SECOND USEC_PER_SEC
#define INIT "HatEventer.MsgInitReq"
#define REGISTER "HatEventer.MsgRegisterReq"
#define QUERY "HatEventer.MsgQueryReq"
#define ACK "HatEventer.MsgEventsAck"

/* What the handler heard, and how it answers. */
typedef struct Heard {
        Peer *peer;
        GString *calls; /* one letter a call: i, r (with response: R), q */
        JsonSpan body;  /* what the calls are compared with; absent: not compared */
        JsonSpan hex;
        const char *refusal; /* NULL: accepted as operational */
        bool answer;         /* queries inside the call */
        int query_error;
        int64_t conversation;
        size_t n_events;
} Heard;

static void on_init(const PeerInit *init, void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 'i');
        if (h->hex.text)
                assert_init(init, h->hex);
        if (h->refusal)
                peer_refuse(h->peer, h->refusal);
        else
                peer_accept(h->peer, EVENTER_OPERATIONAL);
}

static void on_registration(const Event *events, size_t n, bool wants_response, int64_t conversation,
                            void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, wants_response ? 'R' : 'r');
        h->conversation = conversation;
        h->n_events = n;
        if (h->hex.text)
                assert_registration(events, n, h->hex);
}

static int on_query(const EventerQuery *query, void *userdata) {
        Heard *h = userdata;

        g_string_append_c(h->calls, 'q');
        g_assert_true(peer_is_waiting(h->peer));
        if (h->hex.text) {
                _cleanup_(buffer_done) Buffer b = { 0 };

                query_encode(&b, query);
                assert_encoded(&b, h->hex);
        }
        if (h->query_error < 0)
                return h->query_error;
        if (h->answer)
                peer_answer_query(h->peer, "\x80\x00", 2);
        return 0;
}

static const PeerHandler handler = { .init = on_init, .registration = on_registration, .query = on_query };

/* Frames of a client, one behind the other. */
typedef struct Client {
        Chatter chatter;
        Buffer out;
} Client;

typedef enum Stage {
        STAGE_NEW,
        STAGE_ACCEPTED,
        STAGE_REFUSED
} Stage;

typedef struct Fixture {
        Heard heard;
        Client client;
        Buffer in; /* received by the peer and not done with */
} Fixture;

static void client_send(Fixture *f, const char *type, bool last, const void *body, size_t size) {
        (void) chatter_send(&f->client.chatter, last, type, body, size, &f->client.out);
}

static int64_t fixture_receive(Fixture *f, usec_t now) {
        g_autofree uint8_t *exact = NULL;
        size_t size;
        int64_t r;

        buffer_append(&f->in, buffer_begin(&f->client.out), buffer_size(&f->client.out));
        buffer_clear(&f->client.out);
        size = buffer_size(&f->in);
        exact = g_memdup2(size > 0 ? buffer_begin(&f->in) : (const uint8_t *) "", MAX(size, 1));
        r = peer_receive(f->heard.peer, exact, size, now);
        if (r > 0)
                buffer_consume(&f->in, (size_t) r);
        return r;
}

static int64_t feed(Fixture *f, const char *type, bool last, const void *body, size_t size) {
        client_send(f, type, last, body, size);
        return fixture_receive(f, 0);
}

/* Name, no token, no subscriptions, no server id, not persisted. */
#define PLAIN_INIT "\x81\x63\x80\x80\x80\x00"
#define PLAIN_INIT_SIZE 6

static int64_t feed_init(Fixture *f) {
        return feed(f, INIT, false, PLAIN_INIT, PLAIN_INIT_SIZE);
}

static void fixture_new(Fixture *f, Stage stage) {
        *f = (Fixture) { .heard.calls = g_string_new(NULL), .heard.answer = true };
        f->heard.peer = peer_new(0, &handler, &f->heard);
        chatter_init(&f->client.chatter, 0);
        if (stage == STAGE_NEW)
                return;
        f->heard.refusal = stage == STAGE_REFUSED ? "no" : NULL;
        g_assert_cmpint(feed_init(f), >, 0);
        g_assert_cmpstr(f->heard.calls->str, ==, "i");
        g_string_truncate(f->heard.calls, 0);
        buffer_clear(peer_output(f->heard.peer));
}

static void fixture_done(Fixture *f) {
        peer_free(f->heard.peer);
        g_string_free(f->heard.calls, TRUE);
        buffer_done(&f->client.out);
        buffer_done(&f->in);
}
#define _fixture_ _cleanup_(fixture_done) Fixture

/* The next message that the peer sent, taken off its output when the next one is asked for. */
static ChatterMessage next_message(Fixture *f, size_t *at) {
        const Buffer *out = peer_output(f->heard.peer);
        _cleanup_(buffer_done) Buffer replies = { 0 };
        ChatterMessage m;
        size_t used;
        Chatter c;

        chatter_init(&c, 0);
        g_assert_cmpint(chatter_receive(&c, buffer_begin(out) + *at, buffer_size(out) - *at, 0, &replies,
                                        &used, &m),
                        ==, 1);
        *at += used;
        return m;
}

static size_t output_size(const Fixture *f) {
        return buffer_size(peer_output(f->heard.peer));
}

static void assert_output(Fixture *f, const char *hex) {
        g_autoptr(GByteArray) expected = from_hex(hex);
        Buffer *out = peer_output(f->heard.peer);

        g_assert_cmpmem(buffer_begin(out), buffer_size(out), expected->data, expected->len);
        buffer_clear(out);
}

/* ---- vectors ----------------------------------------------------------------------------------------- */

/* Returns what peer_receive() did for a request with this body. */
static int64_t receive_body(JsonSpan type, const uint8_t *body, size_t size, bool last, JsonSpan hex) {
        g_autofree char *name = vector_text(type, NULL);
        bool init = streq(name, INIT);
        _fixture_ f;
        int64_t r;

        fixture_new(&f, init ? STAGE_NEW : STAGE_ACCEPTED);
        f.heard.hex = hex;
        r = feed(&f, name, last, body, size);
        if (r >= 0 && !streq(name, ACK))
                g_assert_cmpstr(f.heard.calls->str, ==,
                                init                 ? "i"
                                : streq(name, QUERY) ? "q"
                                : last               ? "r"
                                                     : "R");
        else
                g_assert_cmpuint(f.heard.calls->len, ==, 0);
        return r;
}

static void test_messages(void) {
        _vectors_ v = { 0 };
        unsigned n = 0;

        vectors_load(&v, "eventer.json");
        FOREACH_ITEM(x, vector_get(v.root, "messages")) {
                JsonSpan type = vector_get(x, "type"), hex = vector_get(x, "body_hex");
                g_autoptr(GByteArray) body = vector_hex(hex);
                bool last = vector_bool(vector_get(vector_get(x, "msg"), "last"));

                if (!json_text_equal(vector_get(x, "direction"), "client to server"))
                        continue;
                n++;
                g_assert_cmpint(receive_body(type, body->data, body->len, last, hex), >, 0);
                for (guint i = 0; i < body->len; i++)
                        g_assert_cmpint(receive_body(type, body->data, i, last, (JsonSpan) { 0 }), ==,
                                        -EBADMSG);

                /* Surplus bytes behind the body are ignored. */
                g_byte_array_append(body, (const uint8_t *) "\xff\x00", 2);
                g_assert_cmpint(receive_body(type, body->data, body->len, last, hex), >, 0);
        }
        g_assert_cmpuint(n, >, 10);
}

static bool is_request(JsonSpan type) {
        return json_text_equal(type, INIT) || json_text_equal(type, REGISTER) ||
               json_text_equal(type, QUERY);
}

static void test_malformed_vectors(void) {
        _vectors_ v = { 0 };
        unsigned n = 0;

        vectors_load(&v, "eventer.json");
        FOREACH_ITEM(x, vector_get(v.root, "malformed_bodies")) {
                JsonSpan type = vector_get(x, "type");
                g_autoptr(GByteArray) body = vector_hex(vector_get(x, "hex"));

                if (!is_request(type))
                        continue;
                n++;
                g_assert_cmpint(receive_body(type, body->data, body->len, false, (JsonSpan) { 0 }), ==,
                                -EBADMSG);
        }
        g_assert_cmpuint(n, >, 0);
}

/* Bodies by hand: what a client may send, though no reference client does. */
static void test_bodies(void) {
        static const struct {
                const char *type, *hex;
                int r; /* 0: taken */
        } bodies[] = {
                /* init: name, token, subscriptions, server id, persisted */
                { INIT, "80 80 80 80 00", 0 },
                { INIT, "80 80 81 80 80 07", 0 },           /* the type of no subtypes; any byte is true */
                { INIT, "00 80 80 80 80 00", 0 },           /* integers longer than necessary */
                { INIT, "81 ff 80 80 80 00", -EBADMSG },    /* UTF-8 */
                { INIT, "80 82 80 80 80 80 80", -EBADMSG }, /* a choice of two */
                { INIT, "80 ff 80 80 80 80 80", -EBADMSG },
                { INIT, "80 80 84 80 80 00", -EBADMSG }, /* more types than bytes */
                { INIT, "80 80 ff 80 80 00", -EBADMSG },
                { INIT, "80 80 81 88 80 80 80", -EBADMSG }, /* more subtypes than bytes */
                { INIT, "80 80 80 81 01 00 00 00 00 00 00 00 00 00 80 00", -EBADMSG }, /* 2^63 */
                { INIT, "80 80 80 81 7f 00 00 00 00 00 00 00 00 80 00", 0 },           /* -2^63 */

                /* registration: type, source timestamp, payload */
                { REGISTER, "80", 0 },
                { REGISTER, "81 80 80 80", 0 },
                { REGISTER, "82 80 80 80", -EBADMSG },
                { REGISTER, "ff 80 80 80", -EBADMSG },
                { REGISTER, "0800000080", -EBADMSG }, /* 2^31 events in no bytes */
                { REGISTER, "81 80 81 80 80 80", 0 },
                { REGISTER, "81 80 81 80 3d 04 bf 80", 0 },              /* us 999999 … */
                { REGISTER, "81 80 81 80 3d 04 c0 80", -EBADMSG },       /* … 1000000 … */
                { REGISTER, "81 80 81 80 ff 80", -EBADMSG },             /* … -1 … */
                { REGISTER, "81 80 81 80 10 00 00 00 80 80", -EBADMSG }, /* … 2^32 */
                { REGISTER, "81 80 82 80 80 80", -EBADMSG },
                { REGISTER, "81 80 80 82", -EBADMSG },
                { REGISTER, "81 80 80 81 82 80 80", -EBADMSG },
                { REGISTER, "81 80 80 81 ff 80 80", -EBADMSG },
                { REGISTER, "81 80 80 81 80 80 80", 0 },           /* binary, both empty */
                { REGISTER, "81 80 80 81 80 81 ff 80", -EBADMSG }, /* its type is text … */
                { REGISTER, "81 80 80 81 80 80 81 ff", 0 },        /* … its data is not */
                { REGISTER, "81 80 80 81 80 80 82 ff", -EBADMSG },
                { REGISTER, "81 80 80 81 81 81 31", 0 }, /* JSON: 1 */
                { REGISTER, "81 80 80 81 81 83 20 31 0a", 0 },
                { REGISTER, "81 80 80 81 81 80", -EBADMSG },                      /* empty */
                { REGISTER, "81 80 80 81 81 81 7b", -EBADMSG },                   /* { */
                { REGISTER, "81 80 80 81 81 82 30 31", -EBADMSG },                /* 01 */
                { REGISTER, "81 80 80 81 81 83 4e 61 4e", -EBADMSG },             /* NaN */
                { REGISTER, "81 80 80 81 81 85 31 65 39 39 39", -EBADMSG },       /* 1e999 */
                { REGISTER, "82 80 80 81 81 81 31 80 80 81 81 81 5d", -EBADMSG }, /* the second one */

                /* latest: types */
                { QUERY, "80 80", 0 },
                { QUERY, "80 81 80", 0 },
                { QUERY, "80 81 81 81 81 2a", 0 },
                { QUERY, "83 80", -EBADMSG },
                { QUERY, "ff 80", -EBADMSG },
                { QUERY, "80 82", -EBADMSG },
                { QUERY, "80 81 ff", -EBADMSG },
                /* timeseries: types, four times, order, by, most, last */
                { QUERY, "81 80 80 80 80 80 80 80 80 80", 0 },
                { QUERY, "81 80 80 80 80 80 82 80 80 80", -EBADMSG },
                { QUERY, "81 80 80 80 80 80 80 82 80 80", -EBADMSG },
                { QUERY, "81 80 80 80 80 80 ff 80 80 80", -EBADMSG },
                { QUERY, "81 80 81 80 ff 80 80 80 80 80 80 80", -EBADMSG },             /* us -1 */
                { QUERY, "81 80 81 80 0f 7f 7f 7f ff 80 80 80 80 80 80 80", 0 },        /* 2^32 - 1 */
                { QUERY, "81 80 81 80 10 00 00 00 80 80 80 80 80 80 80 80", -EBADMSG }, /* 2^32 */
                { QUERY, "81 80 80 80 80 80 80 80 81 ff 80", 0 }, /* the store refuses a negative one */
                { QUERY, "81 80 80 80 80 80 80 80 80 81 81 81", -EBADMSG },
                /* server: id, persisted, most, last */
                { QUERY, "82 81 00 80 80", 0 },
                { QUERY, "82 81 00 80 81 81 82 83", 0 },
                { QUERY, "82 81 00 82 80", -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
                g_autoptr(GByteArray) body = from_hex(bodies[i].hex);
                g_autofree char *quoted = g_strdup_printf("\"%s\"", bodies[i].type);
                int64_t r;

                r = receive_body((JsonSpan) { quoted, strlen(quoted) }, body->data, body->len, false,
                                 (JsonSpan) { 0 });
                if (bodies[i].r < 0 ? r != bodies[i].r : r <= 0)
                        g_error("%s %s: %" PRId64 ".", bodies[i].type, bodies[i].hex, r);
        }
}

/* ---- codec ------------------------------------------------------------------------------------------- */

static void test_query_values(void) {
        static const struct {
                const char *hex; /* seconds, microseconds of all four bounds */
                Timestamp from, to;
        } bounds[] = {
                { "81 87 85", { 7, 5 }, { 7, 5 } },
                { "81 ff 80", { -1, 0 }, { -1, 0 } },
                { "81 87 3d 04 bf", { 7, 999999 }, { 7, 999999 } },
                { "81 87 3d 04 c0", { 8, 0 }, { 7, 999999 } },
                { "81 87 0f 7f 7f 7f ff", { 8, 0 }, { 7, 999999 } },
                { "81 00 7f 7f 7f 7f 7f 7f 7f 7f ff 3d 04 c0",
                  { INT64_MAX, 999999 },
                  { INT64_MAX, 999999 } },
        };
        PeerScratch s;
        EventerQuery q;

        peer_scratch_init(&s);
        for (size_t i = 0; i < ELEMENTSOF(bounds); i++) {
                g_autofree char *hex = g_strdup_printf("81 81 80 %s %s %s %s 81 81 81 8a 81 81 82 83",
                                                       bounds[i].hex, bounds[i].hex, bounds[i].hex,
                                                       bounds[i].hex);
                g_autoptr(GByteArray) body = from_hex(hex);
                SbsReader r = { .at = body->data, .end = body->data + body->len };

                g_assert_cmpint(query_decode(&r, &s, &q), ==, 0);
                g_assert_cmpuint(sbs_left(&r), ==, 0);
                g_assert_cmpint(q.kind, ==, QUERY_TIMESERIES);
                g_assert_nonnull(q.types); /* none, not all */
                g_assert_cmpuint(q.n_types, ==, 0);
                g_assert_cmpint(timestamp_compare(q.t_from, &bounds[i].from), ==, 0);
                g_assert_cmpint(timestamp_compare(q.t_to, &bounds[i].to), ==, 0);
                g_assert_cmpint(timestamp_compare(q.source_t_from, &bounds[i].from), ==, 0);
                g_assert_cmpint(timestamp_compare(q.source_t_to, &bounds[i].to), ==, 0);
                g_assert_cmpint(q.order, ==, QUERY_ASCENDING);
                g_assert_cmpint(q.order_by, ==, QUERY_BY_SOURCE_TIMESTAMP);
                g_assert_cmpint(*q.max_results, ==, 10);
                g_assert_cmpint(q.last_event_id->server, ==, 1);
                g_assert_cmpint(q.last_event_id->session, ==, 2);
                g_assert_cmpint(q.last_event_id->instance, ==, 3);
        }
        peer_scratch_done(&s);
}

/* Every notified event of the vectors, decoded and encoded. */
static void test_event_encode(void) {
        _vectors_ v = { 0 };
        unsigned n = 0;

        vectors_load(&v, "eventer.json");
        FOREACH_ITEM(x, vector_get(v.root, "messages")) {
                JsonSpan hex = vector_get(x, "body_hex");
                g_autoptr(GByteArray) body = vector_hex(hex);
                SbsReader r = { .at = body->data, .end = body->data + body->len };
                _cleanup_(buffer_done) Buffer b = { 0 };
                EventList list;

                if (!json_text_equal(vector_get(x, "type"), "HatEventer.MsgEventsNotify"))
                        continue;
                event_list_init(&list);
                g_assert_cmpint(event_list_decode(&list, &r), ==, 0);
                sbs_write_integer(&b, list.events->len);
                for (guint i = 0; i < list.events->len; i++) {
                        const Event *e = &g_array_index(list.events, Event, i);
                        size_t before = buffer_size(&b);

                        event_encode(&b, e);
                        g_assert_cmpuint(buffer_size(&b) - before, <=, event_bound(e));
                        n++;
                }
                assert_encoded(&b, hex);
                event_list_done(&list);
        }
        g_assert_cmpuint(n, >, 3);
}

static void test_event_bound(void) {
        static const Subtype subtypes[] = { SUBTYPE(""), SUBTYPE("x") };
        Event e = {
                .id = { INT64_MIN, INT64_MAX, INT64_MIN },
                .type = { subtypes, 2 },
                .timestamp = { INT64_MIN, 999999 },
                .has_source = true,
                .source = { INT64_MAX, 999999 },
                .payload = { .kind = PAYLOAD_BINARY,
                             .binary_type = SUBTYPE("t"),
                             .data = (const uint8_t *) "abc",
                             .size = 3 },
        };
        _cleanup_(buffer_done) Buffer b = { 0 };
        GArray *memory = g_array_new(FALSE, FALSE, sizeof(Subtype));
        SbsReader r;
        Event back;

        event_encode(&b, &e);
        g_assert_cmpuint(buffer_size(&b), <=, event_bound(&e));
        r = (SbsReader) { .at = buffer_begin(&b), .end = buffer_begin(&b) + buffer_size(&b) };
        g_assert_cmpint(event_decode(&r, memory, &back), ==, 0);
        g_assert_cmpuint(sbs_left(&r), ==, 0);
        g_assert_true(event_type_equal(e.type, back.type));
        g_assert_cmpint(back.id.session, ==, INT64_MAX);
        g_assert_cmpint(back.source.s, ==, INT64_MAX);
        g_array_unref(memory);
}

/* ---- rules ------------------------------------------------------------------------------------------- */

/* Every type of message in every state: what is called, what comes back. */
static void test_states(void) {
        static const struct {
                const char *type;
                const void *body;
                size_t size;
                const char *calls[3]; /* NULL: -EPROTO */
        } messages[] = {
                { INIT, PLAIN_INIT, PLAIN_INIT_SIZE, { "i", NULL, "" } },
                { REGISTER, "\x80", 1, { NULL, "R", "" } },
                { QUERY, "\x80\x80", 2, { NULL, "q", "" } },
                { ACK, "", 0, { NULL, "", "" } },
                { "HatEventer.MsgInitRes", "\x80\x80", 2, { NULL, NULL, "" } },
                { "HatEventer.MsgStatusNotify", "\x80", 1, { NULL, NULL, "" } },
                { "HatEventer.MsgEventsNotify", "\x80", 1, { NULL, NULL, "" } },
                { "HatEventer.MsgRegisterRes", "\x81", 1, { NULL, NULL, "" } },
                { "HatEventer.MsgQueryRes", "\x80\x00", 2, { NULL, NULL, "" } },
                { "HatEventer.MsgRegisterReqx", "\x80", 1, { NULL, NULL, "" } },
                { "HatEventer.MsgRegisterRe", "\x80", 1, { NULL, NULL, "" } },
                { "HatChatter.Other", "", 0, { NULL, NULL, "" } },
                { "", "", 0, { NULL, NULL, "" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(messages); i++)
                for (size_t stage = 0; stage < ELEMENTSOF(messages[i].calls); stage++) {
                        const char *calls = messages[i].calls[stage];
                        _fixture_ f;
                        int64_t r;

                        fixture_new(&f, (Stage) stage);
                        r = feed(&f, messages[i].type, false, messages[i].body, messages[i].size);
                        g_assert_cmpstr(f.heard.calls->str, ==, calls ?: "");
                        if (calls) {
                                g_assert_cmpint(r, >, 0);
                                g_assert_cmpuint(buffer_size(&f.in), ==, 0);
                                continue;
                        }
                        g_assert_cmpint(r, ==, -EPROTO);
                        g_assert_cmpuint(output_size(&f), ==, 0);

                        /* Over: nothing is called any more. */
                        buffer_clear(&f.in);
                        g_assert_cmpint(feed_init(&f), ==, -EPROTO);
                        g_assert_cmpint(feed(&f, REGISTER, true, "\x80", 1), ==, -EPROTO);
                        g_assert_cmpuint(f.heard.calls->len, ==, 0);
                }
}

static void test_answers(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_NEW);
        g_assert_false(peer_is_accepted(f.heard.peer));
        g_assert_cmpint(feed_init(&f), >, 0);
        g_assert_true(peer_is_accepted(f.heard.peer));
        assert_output(&f, "01 1e 81 81 00 01 01 95 4861744576656e7465722e4d7367496e6974526573 82 80 82");

        /* A registration without response, one with, answered both ways. */
        g_assert_cmpint(feed(&f, REGISTER, true, "\x80", 1), >, 0);
        g_assert_cmpuint(output_size(&f), ==, 0);
        g_assert_cmpint(feed(&f, REGISTER, false, "\x80", 1), >, 0);
        g_assert_cmpstr(f.heard.calls->str, ==, "irR");
        g_assert_cmpint(f.heard.conversation, ==, 3);
        peer_answer_registered(f.heard.peer, 3, NULL, 0);
        assert_output(&f, "01 21 82 83 00 01 01 99 4861744576656e7465722e4d7367526567697374657252657381 81");
        peer_answer_registered(f.heard.peer, 3, "\x80", 1);
        assert_output(&f,
                      "01 22 83 83 00 01 01 99 4861744576656e7465722e4d7367526567697374657252657382 80 80");

        /* A conversation is named by its first message, not by the request. */
        (void) chatter_reply(&f.client.chatter, &(ChatterMessage) { .first = 50 }, false, REGISTER, "\x80", 1,
                             &f.client.out);
        g_assert_cmpint(fixture_receive(&f, 0), >, 0);
        g_assert_cmpint(f.heard.conversation, ==, 50);

        /* Conversations of our own. */
        peer_send_status(f.heard.peer, EVENTER_STOPPING);
        assert_output(&f,
                      "01 22 84 84 01 01 01 9a 4861744576656e7465722e4d73675374617475734e6f7469667981 83");
        peer_notify(f.heard.peer, 2, "\xaa\xbb", 2);
        assert_output(&f, "01 24 85 85 01 01 01 9a 4861744576656e7465722e4d73674576656e74734e6f74696679"
                          "83 82aabb");

        /* A query that says it wants no answer has one. */
        g_assert_cmpint(feed(&f, QUERY, true, "\x80\x80", 2), >, 0);
        assert_output(&f, "01 1f 86 85 00 01 01 96 4861744576656e7465722e4d73675175657279526573 82 80 00");
}

static void test_refusal(void) {
        g_autoptr(GString) hex = g_string_new(
                        "01 84 81 81 00 01 01 95 4861744576656e7465722e4d7367496e6974526573 "
                        "00e7 81 00e4");
        g_autofree char *text = g_strnfill(100, 'x');
        _fixture_ f;

        fixture_new(&f, STAGE_NEW);
        f.heard.refusal = text;
        client_send(&f, INIT, false, PLAIN_INIT, PLAIN_INIT_SIZE);
        client_send(&f, REGISTER, true, "\x80", 1); /* sent without waiting */
        g_assert_cmpint(fixture_receive(&f, 3 * SECOND), >, 0);
        g_assert_cmpstr(f.heard.calls->str, ==, "i");
        g_assert_cmpuint(buffer_size(&f.in), ==, 0);
        g_assert_false(peer_is_accepted(f.heard.peer));
        for (size_t i = 0; i < 100; i++)
                g_string_append(hex, "78");
        assert_output(&f, hex->str);

        /* Pings are answered all the same; the client has half a second to close. */
        client_send(&f, "HatChatter.Ping", false, "", 0);
        g_assert_cmpint(fixture_receive(&f, 3 * SECOND), >, 0);
        g_assert_cmpuint(output_size(&f), >, 0);
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, 3 * SECOND + PEER_REFUSED_USEC);
        g_assert_cmpint(peer_elapse(f.heard.peer, 3 * SECOND + PEER_REFUSED_USEC - 1), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 3 * SECOND + PEER_REFUSED_USEC), ==, -ETIMEDOUT);
}

/* While a query waits nothing is called, the rest stays with the caller. */
static void test_waiting(void) {
        _fixture_ f;
        size_t at = 0;
        ChatterMessage m;

        fixture_new(&f, STAGE_ACCEPTED);
        f.heard.answer = false;
        client_send(&f, REGISTER, false, "\x80", 1);
        client_send(&f, QUERY, false, "\x80\x80", 2);
        client_send(&f, "HatChatter.Ping", false, "", 0);
        client_send(&f, QUERY, false, "\x80\x80", 2);
        client_send(&f, REGISTER, true, "\x80", 1);
        g_assert_cmpint(fixture_receive(&f, 0), >, 0);
        g_assert_cmpstr(f.heard.calls->str, ==, "Rq");
        g_assert_true(peer_is_waiting(f.heard.peer));
        g_assert_cmpint(fixture_receive(&f, 0), ==, 0);
        g_assert_cmpuint(output_size(&f), ==, 0);

        peer_notify(f.heard.peer, 0, NULL, 0);
        peer_answer_registered(f.heard.peer, 2, NULL, 0);
        peer_answer_query(f.heard.peer, "\x80\x01", 2);
        g_assert_false(peer_is_waiting(f.heard.peer));
        g_assert_cmpint(fixture_receive(&f, 0), >, 0);
        g_assert_cmpstr(f.heard.calls->str, ==, "Rqq");
        peer_answer_query(f.heard.peer, "\x80\x00", 2);
        g_assert_cmpint(fixture_receive(&f, 0), >, 0);
        g_assert_cmpstr(f.heard.calls->str, ==, "Rqqr");
        g_assert_cmpuint(buffer_size(&f.in), ==, 0);

        m = next_message(&f, &at);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgEventsNotify"));
        m = next_message(&f, &at);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgRegisterRes"));
        g_assert_cmpint(m.first, ==, 2);
        m = next_message(&f, &at);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgQueryRes"));
        g_assert_cmpint(m.first, ==, 3);
        at += 2 + peer_output(f.heard.peer)->data[peer_output(f.heard.peer)->start + at + 1]; /* the pong */
        m = next_message(&f, &at);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgQueryRes"));
        g_assert_cmpint(m.first, ==, 5);
        g_assert_cmpint(m.id, ==, 6);
        g_assert_cmpuint(at, ==, output_size(&f));
}

static void test_query_refused(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_ACCEPTED);
        f.heard.query_error = -EBADMSG;
        g_assert_cmpint(feed(&f, QUERY, false, "\x80\x80", 2), ==, -EBADMSG);
        g_assert_false(peer_is_waiting(f.heard.peer));
        g_assert_cmpuint(output_size(&f), ==, 0);
        buffer_clear(&f.in);
        g_assert_cmpint(feed(&f, REGISTER, true, "\x80", 1), ==, -EBADMSG);
        g_assert_cmpstr(f.heard.calls->str, ==, "q");
}

/* Messages that came before a bad one count. */
static void test_before_error(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_NEW);
        client_send(&f, INIT, false, PLAIN_INIT, PLAIN_INIT_SIZE);
        client_send(&f, REGISTER, true, "\x81\x80\x80\x80", 4);
        client_send(&f, REGISTER, true, "\x81", 1);
        client_send(&f, REGISTER, true, "\x80", 1);
        g_assert_cmpint(fixture_receive(&f, 0), ==, -EBADMSG);
        g_assert_cmpstr(f.heard.calls->str, ==, "ir");
        g_assert_cmpuint(f.heard.n_events, ==, 1);
}

/* ---- bounds ------------------------------------------------------------------------------------------ */

static int64_t receive_hex(Fixture *f, const char *hex) {
        g_autoptr(GByteArray) bytes = from_hex(hex);

        return peer_receive(f->heard.peer, bytes->data, bytes->len, 0);
}

/* A stranger's frames are small: refused by their header, before anything of them is kept. */
static void test_frame_bound(void) {
        static const struct {
                const char *header;
                Stage stage;
                int r;
        } frames[] = {
                { "03 20 00 00", STAGE_NEW, 0 },
                { "03 20 00 01", STAGE_NEW, -EMSGSIZE },
                { "05 00 00 20 00 01", STAGE_NEW, -EMSGSIZE },
                { "08 ff ff ff ff ff ff ff ff", STAGE_NEW, -EMSGSIZE },
                { "04 04 00 00 00", STAGE_NEW, -EMSGSIZE },
                { "03 20 00 01", STAGE_REFUSED, -EMSGSIZE },
                { "04 04 00 00 00", STAGE_ACCEPTED, 0 },
                { "04 04 00 00 01", STAGE_ACCEPTED, -EMSGSIZE },
                { "00", STAGE_NEW, -EBADMSG },
        };

        for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
                _fixture_ f;

                fixture_new(&f, frames[i].stage);
                g_assert_cmpint(receive_hex(&f, frames[i].header), ==, frames[i].r);
        }
}

/* The largest init request fits, with surplus bytes; and one byte more does not. */
static void test_init_bound(void) {
        for (size_t more = 0; more <= 1; more++) {
                size_t overhead = 5 + 1 + strlen(INIT) + 4, size = PEER_INIT_MAX - overhead + more;
                static const uint8_t init[PLAIN_INIT_SIZE] = PLAIN_INIT;
                g_autofree uint8_t *body = g_malloc0(size);
                _fixture_ f;
                int64_t r;

                memcpy(body, init, sizeof init);
                fixture_new(&f, STAGE_NEW);
                r = feed(&f, INIT, false, body, size);
                if (more)
                        g_assert_cmpint(r, ==, -EMSGSIZE);
                else
                        g_assert_cmpint(r, ==, 4 + PEER_INIT_MAX);
        }
}

static void test_init_subtypes_bound(void) {
        for (unsigned more = 0; more <= 1; more++) {
                static const uint8_t head[] = { 0x81, 'c', 0x80, 0x81 }, tail[] = { 0x80, 0x00 }; /* one type, of … */
                _cleanup_(buffer_done) Buffer body = { 0 };
                _fixture_ f;
                int64_t r;

                buffer_append(&body, head, sizeof head);
                sbs_write_integer(&body, PEER_INIT_SUBTYPES_MAX + more);
                for (unsigned i = 0; i < PEER_INIT_SUBTYPES_MAX + more; i++)
                        sbs_write_string(&body, "", 0);
                buffer_append(&body, tail, sizeof tail);
                fixture_new(&f, STAGE_NEW);
                r = feed(&f, INIT, false, buffer_begin(&body), buffer_size(&body));
                if (more)
                        g_assert_cmpint(r, ==, -EMSGSIZE);
                else
                        g_assert_cmpint(r, >, PEER_INIT_SUBTYPES_MAX);
                g_assert_cmpstr(f.heard.calls->str, ==, more ? "" : "i");
        }
}

/* ---- time -------------------------------------------------------------------------------------------- */

static void test_init_time(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_NEW);
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, PEER_INIT_USEC);
        client_send(&f, "HatChatter.Ping", false, "", 0); /* is answered, but does not help */
        g_assert_cmpint(fixture_receive(&f, 5 * SECOND), >, 0);
        assert_output(&f, "01 16 81 81 00 01 01 8f 486174436861747465722e506f6e67 80");
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, PEER_INIT_USEC);
        g_assert_cmpint(peer_elapse(f.heard.peer, PEER_INIT_USEC - 1), ==, 0);
        g_assert_cmpuint(output_size(&f), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, PEER_INIT_USEC), ==, -ETIMEDOUT);
}

static void test_supervision(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_ACCEPTED);
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, 20 * SECOND);
        client_send(&f, ACK, true, "", 0);
        g_assert_cmpint(fixture_receive(&f, 5 * SECOND), >, 0);
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, 25 * SECOND);
        g_assert_cmpint(peer_elapse(f.heard.peer, 25 * SECOND), ==, 0);
        assert_output(&f, "01 16 82 82 01 01 00 8f 486174436861747465722e50696e67 80");
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, 45 * SECOND);
        client_send(&f, "HatChatter.Pong", true, "", 0);
        g_assert_cmpint(fixture_receive(&f, 30 * SECOND), >, 0);
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, 50 * SECOND);
        g_assert_cmpint(peer_elapse(f.heard.peer, 50 * SECOND), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 70 * SECOND - 1), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 70 * SECOND), ==, -ETIMEDOUT);
}

/* A client whose query takes long is not read, so it is not to blame for its silence; it hears pings
 * meanwhile. */
static void test_supervision_waiting(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_ACCEPTED);
        f.heard.answer = false;
        client_send(&f, QUERY, false, "\x80\x80", 2);
        g_assert_cmpint(fixture_receive(&f, 0), >, 0);
        for (unsigned i = 1; i <= 5; i++) {
                g_assert_cmpuint(peer_deadline(f.heard.peer), ==, i * 20 * SECOND);
                buffer_clear(peer_output(f.heard.peer));
                g_assert_cmpint(peer_elapse(f.heard.peer, i * 20 * SECOND), ==, 0);
                g_assert_cmpuint(output_size(&f), ==, 24);
        }

        /* Answered just before the next one is due: time for a pong that lies unread, but once. */
        peer_answer_query(f.heard.peer, "\x80\x00", 2);
        g_assert_cmpint(fixture_receive(&f, 119 * SECOND), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 120 * SECOND), ==, 0);
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, 140 * SECOND);
        g_assert_cmpint(peer_elapse(f.heard.peer, 140 * SECOND), ==, -ETIMEDOUT);
}

/* One that is read again and speaks is under the ordinary rule. */
static void test_supervision_again(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_ACCEPTED);
        f.heard.answer = false;
        client_send(&f, QUERY, false, "\x80\x80", 2);
        client_send(&f, "HatChatter.Pong", true, "", 0);
        g_assert_cmpint(fixture_receive(&f, 0), >, 0);
        peer_answer_query(f.heard.peer, "\x80\x00", 2);
        g_assert_cmpint(fixture_receive(&f, SECOND), >, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 21 * SECOND), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 41 * SECOND), ==, -ETIMEDOUT);
}

/* The caller has reasons of its own not to read a client. */
static void test_supervision_unread(void) {
        _fixture_ f;

        fixture_new(&f, STAGE_ACCEPTED);
        peer_set_unread(f.heard.peer, true);
        for (unsigned i = 1; i <= 5; i++) {
                buffer_clear(peer_output(f.heard.peer));
                g_assert_cmpint(peer_elapse(f.heard.peer, i * 20 * SECOND), ==, 0);
                g_assert_cmpuint(output_size(&f), ==, 24);
        }
        peer_set_unread(f.heard.peer, false);
        g_assert_cmpint(peer_elapse(f.heard.peer, 120 * SECOND), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 140 * SECOND), ==, -ETIMEDOUT);
}

/* A stranger's init request may lie unread too; a refused client has its half second in any case. */
static void test_init_unread(void) {
        _fixture_ f, refused;

        fixture_new(&f, STAGE_NEW);
        peer_set_unread(f.heard.peer, true);
        g_assert_cmpint(peer_elapse(f.heard.peer, PEER_INIT_USEC), ==, 0);
        g_assert_cmpuint(peer_deadline(f.heard.peer), ==, 2 * PEER_INIT_USEC);
        peer_set_unread(f.heard.peer, false);
        g_assert_cmpint(peer_elapse(f.heard.peer, 2 * PEER_INIT_USEC), ==, 0);
        g_assert_cmpint(peer_elapse(f.heard.peer, 3 * PEER_INIT_USEC), ==, -ETIMEDOUT);

        fixture_new(&refused, STAGE_REFUSED);
        peer_set_unread(refused.heard.peer, true);
        g_assert_cmpint(peer_elapse(refused.heard.peer, PEER_REFUSED_USEC), ==, -ETIMEDOUT);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/peer/messages", test_messages);
        g_test_add_func("/peer/malformed-vectors", test_malformed_vectors);
        g_test_add_func("/peer/bodies", test_bodies);
        g_test_add_func("/peer/query-values", test_query_values);
        g_test_add_func("/peer/event-encode", test_event_encode);
        g_test_add_func("/peer/event-bound", test_event_bound);
        g_test_add_func("/peer/states", test_states);
        g_test_add_func("/peer/answers", test_answers);
        g_test_add_func("/peer/refusal", test_refusal);
        g_test_add_func("/peer/waiting", test_waiting);
        g_test_add_func("/peer/query-refused", test_query_refused);
        g_test_add_func("/peer/before-error", test_before_error);
        g_test_add_func("/peer/frame-bound", test_frame_bound);
        g_test_add_func("/peer/init-bound", test_init_bound);
        g_test_add_func("/peer/init-subtypes-bound", test_init_subtypes_bound);
        g_test_add_func("/peer/init-time", test_init_time);
        g_test_add_func("/peer/supervision", test_supervision);
        g_test_add_func("/peer/supervision-waiting", test_supervision_waiting);
        g_test_add_func("/peer/supervision-again", test_supervision_again);
        g_test_add_func("/peer/supervision-unread", test_supervision_unread);
        g_test_add_func("/peer/init-unread", test_init_unread);
        return g_test_run();
}
