/* SPDX-License-Identifier: Apache-2.0 */
/* The observer's client: the vectors, the recorded conversations, every state and cause of wire.md 7.1, the states of 6.2 that are
 * stale, repeated or incomplete, and which event server is found (7.2). With a fake clock. */

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "tests/unit/observer-messages.h"
#include "tests/unit/trace.h"
#include "tests/unit/vectors.h"

#define SECOND USEC_PER_SEC

/* ---- one observer with its monitor ------------------------------------------------------------------- */

typedef struct Fixture {
        Observer *observer;
        Chatter monitor;
        usec_t now;
        JsonSpan expected; /* body of the message that is fed; text NULL: do not compare */
        unsigned n_components;
        bool listed;       /* in the last message */
        bool end_at_once;  /* say that the work has ended inside state(ENDING) */
} Fixture;

static const char *const state_names[] = { "IDLE", "CONFIRM", "ACTIVE", "ENDING" };

static void assert_optional_integer(bool has, int64_t value, JsonSpan expected) {
        JsonSpan content;

        g_assert_true(has == vector_choice(expected, "value", &content));
        if (has)
                g_assert_cmpint(value, ==, vector_integer(content));
}

static void assert_optional_string(bool has, Subtype value, JsonSpan expected) {
        JsonSpan content;

        g_assert_true(has == vector_choice(expected, "value", &content));
        if (has) {
                g_autofree char *text = NULL;
                size_t size;

                text = vector_text(content, &size);
                g_assert_cmpmem(value.text, value.size, text, size);
        }
}

static void assert_component(const ObserverComponent *c, JsonSpan expected) {
        JsonSpan req = vector_get(expected, "blessingReq"), res = vector_get(expected, "blessingRes"), content;
        g_autofree char *data = vector_text(vector_get(expected, "data"), NULL);

        g_assert_cmpint(c->cid, ==, vector_integer(vector_get(expected, "cid")));
        g_assert_cmpint(c->mid, ==, vector_integer(vector_get(expected, "mid")));
        assert_optional_string(c->has_name, c->name, vector_get(expected, "name"));
        assert_optional_string(c->has_group, c->group, vector_get(expected, "group"));
        g_assert_cmpmem(c->data.text, c->data.size, data, strlen(data));
        g_assert_cmpint(c->rank, ==, vector_integer(vector_get(expected, "rank")));
        assert_optional_integer(c->has_requested, c->requested, vector_get(req, "token"));
        assert_optional_integer(c->has_token, c->token, vector_get(res, "token"));
        g_assert_true(c->ready == vector_bool(vector_get(res, "ready")));
        g_assert_true(!isnan(c->timestamp) == vector_choice(vector_get(req, "timestamp"), "value", &content));
}

static void on_components(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata) {
        Fixture *f = userdata;
        size_t i = 0;

        f->n_components++;
        f->listed = own;
        if (!f->expected.text)
                return;
        FOREACH_ITEM(c, vector_get(f->expected, "components")) {
                g_assert_cmpuint(i, <, n);
                assert_component(&components[i++], c);
        }
        g_assert_cmpuint(i, ==, n);
}

static void on_state(ObserverState state, void *userdata) {
        Fixture *f = userdata;

        note("%s", state_names[state]);
        if (state == OBSERVER_ENDING && f->end_at_once)
                observer_set_ended(f->observer);
}

static const ObserverHandler handler = { .components = on_components, .state = on_state };

static void fixture_new(Fixture *f) {
        *f = (Fixture) {};
        g_string_truncate(trace, 0);
        chatter_init(&f->monitor, 0);
        f->observer = observer_new(0, 5 * SECOND, 5 * SECOND, "gw1", "gateway", &handler, f);
}

static void fixture_done(Fixture *f) {
        observer_free(f->observer);
}
#define _fixture_ _cleanup_(fixture_done) Fixture

/* What we have said, one note a message, without what never changes. */
static void note_output(Fixture *f) {
        Buffer *out = observer_output(f->observer);
        _cleanup_(buffer_done) Buffer pongs = { 0 };
        Chatter c;

        chatter_init(&c, 0);
        while (buffer_size(out) > 0) {
                ChatterMessage m;
                size_t used;
                int r;

                r = chatter_receive(&c, buffer_begin(out), buffer_size(out), 0, &pongs, &used, &m);
                g_assert_cmpint(r, >=, 0);
                g_assert_cmpuint(used, >, 0);
                if (r > 0) {
                        g_autofree char *text = component_message_text(&m);

                        g_assert_true(g_str_has_prefix(text, "gw1@gateway null "));
                        note("(%s)", text + strlen("gw1@gateway null "));
                } else
                        note("(ping or pong)");
                buffer_consume(out, used);
        }
}

static int64_t feed(Fixture *f, const void *data, size_t size) {
        g_autofree uint8_t *exact = g_memdup2(data, MAX(size, 1));

        return observer_receive(f->observer, exact, size, f->now);
}

static void feed_state(Fixture *f, int64_t cid, int64_t mid, const MonitorEntry *entries, size_t n) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        monitor_message(&f->monitor, cid, mid, entries, n, &b);
        g_assert_cmpint(feed(f, buffer_begin(&b), buffer_size(&b)), ==, buffer_size(&b));
}

/* ---- every state and cause --------------------------------------------------------------------------- */

/* A word is a cause:
 *   ready | idle   observer_set_ready()
 *   ended          observer_set_ended()
 *   R/E            a state with us in it: the requested token and the echo of ours, 0 is none
 *   gone           a state without us
 *   empty          a state with nobody
 *   mid            a state with another mid, in which our entry still has the old one
 *   moved:R/E      a state in which all is of another mid */
static void apply(Fixture *f, const char *cause) {
        const MonitorEntry other = { .cid = 7, .name = "gw2", .group = "gateway", .ready = true };
        MonitorEntry entries[2] = { other, { .cid = 8, .name = "gw1", .group = "gateway", .ready = true } };
        const char *numbers = g_str_has_prefix(cause, "moved:") ? cause + strlen("moved:") : cause;
        int64_t mid = numbers == cause ? 0 : 3;

        if (streq(cause, "ready"))
                observer_set_ready(f->observer, true);
        else if (streq(cause, "idle"))
                observer_set_ready(f->observer, false);
        else if (streq(cause, "ended"))
                observer_set_ended(f->observer);
        else if (streq(cause, "gone"))
                feed_state(f, 8, 0, entries, 1);
        else if (streq(cause, "empty"))
                feed_state(f, 8, 0, NULL, 0);
        else if (streq(cause, "mid"))
                feed_state(f, 8, 3, entries, 2);
        else {
                g_assert_cmpint(sscanf(numbers, "%" SCNd64 "/%" SCNd64, &entries[1].requested, &entries[1].token), ==, 2);
                entries[0].mid = entries[1].mid = mid;
                feed_state(f, 8, mid, entries, 2);
        }
        note_output(f);
}

static void apply_all(Fixture *f, const char *causes) {
        g_auto(GStrv) words = g_strsplit(causes, " ", -1);

        for (char **w = words; *w; w++)
                if (**w)
                        apply(f, *w);
}

#define TO_IDLE ""
#define TO_READY "ready"
#define TO_CONFIRM "ready 1/0"
#define TO_ACTIVE "ready 1/0 1/1"
#define TO_ENDING "ready 1/0 1/1 0/1"

static const struct {
        const char *before, *cause, *expected; /* expected: of each cause the new states, then the messages */
} steps[] = {
        /* not ready: nothing is asked of us */
        { TO_IDLE, "ready", "(ready 0)" },
        { TO_IDLE, "idle", "" },
        { TO_IDLE, "ended", "" },
        { TO_IDLE, "empty", "" },
        { TO_IDLE, "gone", "" },
        { TO_IDLE, "0/0", "" },
        { TO_IDLE, "1/0", "" },
        { TO_IDLE, "1/1", "" },
        { TO_IDLE, "1/0 ready", "CONFIRM (ready 0) (ready 1)" },

        { TO_READY, "ready", "" },
        { TO_READY, "idle", "(idle 0)" },
        { TO_READY, "ended", "" },
        { TO_READY, "empty gone gone", "" },
        { TO_READY, "0/0 0/0", "" },
        { TO_READY, "1/0", "CONFIRM (ready 1)" },
        { TO_READY, "5/3", "CONFIRM (ready 5)" }, /* an echo that we never said */
        { TO_READY, "mid", "" },
        { TO_READY, "moved:1/0", "CONFIRM (ready 1)" },

        /* answered, not heard */
        { TO_CONFIRM, "1/0 1/0 1/0", "" }, /* states from before our answer */
        { TO_CONFIRM, "0/0", "" },
        { TO_CONFIRM, "gone empty mid", "" },
        { TO_CONFIRM, "gone 1/0 1/1", "ACTIVE" },
        { TO_CONFIRM, "1/1", "ACTIVE" },
        { TO_CONFIRM, "moved:1/1", "ACTIVE" },
        { TO_CONFIRM, "ready", "" },
        { TO_CONFIRM, "ended", "" },
        { TO_CONFIRM, "idle", "IDLE (idle 0)" },
        { TO_CONFIRM, "0/1", "IDLE (ready 0)" },            /* withdrawn: given back, so that another may be blessed */
        { TO_CONFIRM, "0/0 0/1 0/1", "IDLE (ready 0)" },
        { TO_CONFIRM, "2/0", "" },
        { TO_CONFIRM, "2/1", "IDLE CONFIRM (ready 2)" },
        { TO_CONFIRM, "2/1 2/1 2/2", "IDLE CONFIRM (ready 2) ACTIVE" },
        { TO_CONFIRM, "1/7", "" },

        /* blessed */
        { TO_ACTIVE, "1/1 1/1", "" },
        { TO_ACTIVE, "1/0", "" },                           /* a late echo of before changes nothing */
        { TO_ACTIVE, "moved:1/1", "" },
        { TO_ACTIVE, "ready", "" },
        { TO_ACTIVE, "ended", "" },
        { TO_ACTIVE, "0/1", "ENDING" },
        { TO_ACTIVE, "0/0", "ENDING" },
        { TO_ACTIVE, "2/1", "ENDING" },
        { TO_ACTIVE, "gone", "ENDING" },
        { TO_ACTIVE, "empty", "ENDING" },
        { TO_ACTIVE, "mid", "ENDING" },
        { TO_ACTIVE, "idle", "ENDING (idle 1)" },           /* the token is held until the work has ended */

        /* the work ends */
        { TO_ENDING, "0/1 0/1", "" },
        { TO_ENDING, "1/1", "" },                           /* once lost is lost */
        { TO_ENDING, "2/1 gone mid", "" },
        { TO_ENDING, "idle", "(idle 1)" },
        { TO_ENDING, "ended", "IDLE (ready 0)" },
        { TO_ENDING, "ended ended", "IDLE (ready 0)" },
        { TO_ENDING, "idle ended", "(idle 1) IDLE (idle 0)" },
        { TO_ENDING, "2/1 ended", "IDLE CONFIRM (ready 0) (ready 2)" },
        { TO_ENDING, "ended 0/0 3/0 3/3", "IDLE (ready 0) CONFIRM (ready 3) ACTIVE" },

        /* a token that was given back counts again only when the monitor has heard that */
        { TO_ACTIVE, "gone ended 1/1 1/1", "ENDING IDLE (ready 0)" },
        { TO_ACTIVE, "gone ended 1/1 1/0 1/1", "ENDING IDLE (ready 0) CONFIRM (ready 1) ACTIVE" },
        { TO_ACTIVE, "gone ended 1/1 2/1", "ENDING IDLE (ready 0) CONFIRM (ready 2)" },
        { TO_CONFIRM, "idle ready 1/0 1/1", "IDLE (idle 0) (ready 0)" },
        { TO_CONFIRM, "idle ready 1/0 1/1 0/1 0/0 2/0", "IDLE (idle 0) (ready 0) CONFIRM (ready 2)" },
        { TO_CONFIRM, "0/1 1/1 1/0", "IDLE (ready 0) CONFIRM (ready 1)" },
};

static void test_steps(void) {
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                _fixture_ f;

                fixture_new(&f);
                note_output(&f);
                g_assert_cmpstr(trace->str, ==, "(idle 0)"); /* said at once */
                apply_all(&f, steps[i].before);
                g_string_truncate(trace, 0);
                apply_all(&f, steps[i].cause);
                g_test_message("%s: %s", steps[i].before, steps[i].cause);
                g_assert_cmpstr(trace->str, ==, steps[i].expected);
        }
}

/* The owner may answer inside the call. */
static void test_end_at_once(void) {
        _fixture_ f;

        fixture_new(&f);
        f.end_at_once = true;
        apply_all(&f, TO_ACTIVE);
        g_string_truncate(trace, 0);
        apply(&f, "2/1");
        g_assert_cmpstr(trace->str, ==, "ENDING IDLE CONFIRM (ready 0) (ready 2)");
        apply_all(&f, "2/2 idle");
        g_assert_cmpstr(trace->str, ==, "ENDING IDLE CONFIRM (ready 0) (ready 2) ACTIVE ENDING IDLE (idle 2) (idle 0)");
        g_assert_cmpint(observer_get_state(f.observer), ==, OBSERVER_IDLE);
}

static void test_listed(void) {
        _fixture_ f;

        fixture_new(&f);
        apply(&f, "empty");
        g_assert_false(f.listed);
        apply(&f, "0/0");
        g_assert_true(f.listed);
        apply(&f, "mid");
        g_assert_false(f.listed);
        g_assert_cmpuint(f.n_components, ==, 3);
}

/* ---- vectors ----------------------------------------------------------------------------------------- */

static int64_t feed_body(Fixture *f, const char *type, const uint8_t *body, size_t size) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        (void) chatter_send(&f->monitor, true, type, body, size, &b);
        return feed(f, buffer_begin(&b), buffer_size(&b));
}

/* Every prefix of every message is malformed; surplus bytes are not. */
static void assert_prefixes(GByteArray *body, JsonSpan expected) {
        for (guint i = 0; i < body->len; i++) {
                _fixture_ f;

                fixture_new(&f);
                g_assert_cmpint(feed_body(&f, "HatObserver.MsgServer", body->data, i), ==, -EBADMSG);
                g_assert_cmpuint(f.n_components, ==, 0);
        }
        {
                g_autofree uint8_t *longer = g_malloc0(body->len + 3);
                _fixture_ f;

                fixture_new(&f);
                f.expected = expected;
                memcpy(longer, body->data, body->len);
                g_assert_cmpint(feed_body(&f, "HatObserver.MsgServer", longer, body->len + 3), >, 0);
                g_assert_cmpuint(f.n_components, ==, 1);
        }
}

static void test_vectors(void) {
        _vectors_ v = { 0 };
        unsigned n = 0, n_close = 0;

        vectors_load(&v, "monitor.json");
        FOREACH_ITEM(x, vector_get(v.root, "messages")) {
                g_autoptr(GByteArray) frame = vector_hex(vector_get(x, "frame_hex"));
                g_autoptr(GByteArray) body = vector_hex(vector_get(x, "body_hex"));
                JsonSpan type = vector_get(x, "type");
                _fixture_ f;

                fixture_new(&f);
                if (json_text_equal(type, "HatObserver.MsgServer")) {
                        n++;
                        f.expected = vector_get(x, "body");
                        g_assert_cmpint(feed(&f, frame->data, frame->len), ==, frame->len);
                        g_assert_cmpuint(f.n_components, ==, 1);
                        for (guint i = 0; i < frame->len; i++)
                                g_assert_cmpint(feed(&f, frame->data, i), ==, 0);
                        assert_prefixes(body, f.expected);
                } else if (json_text_equal(type, "HatObserver.MsgClose")) {
                        n_close++;
                        g_assert_cmpint(feed(&f, frame->data, frame->len), ==, -ESHUTDOWN);
                } else /* what no monitor sends to a component */
                        g_assert_cmpint(feed(&f, frame->data, frame->len), ==, -EPROTO);
        }
        g_assert_cmpuint(n, >, 3);
        g_assert_cmpuint(n_close, ==, 1);

        FOREACH_ITEM(x, vector_get(v.root, "malformed_bodies")) {
                g_autofree char *type = vector_text(vector_get(x, "type"), NULL);
                g_autoptr(GByteArray) body = vector_hex(vector_get(x, "hex"));
                _fixture_ f;

                fixture_new(&f);
                if (streq(type, "HatObserver.MsgServer"))
                        g_assert_cmpint(feed_body(&f, type, body->data, body->len), ==, -EBADMSG);
        }
}

/* What we send is what the reference sends. */
static void test_vector_messages(void) {
        static const char *const names[] = { "client, gateway before ready", "client, gateway ready",
                                             "client, gateway active with token 1" };
        _vectors_ v = { 0 };
        _fixture_ f;
        unsigned n = 0;

        fixture_new(&f);
        vectors_load(&v, "monitor.json");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                if (i == 1)
                        observer_set_ready(f.observer, true);
                if (i == 2)
                        feed_state(&f, 1, 0, &(MonitorEntry) { .cid = 1, .requested = 1, .ready = true }, 1);
                FOREACH_ITEM(x, vector_get(v.root, "messages")) {
                        Buffer *out = observer_output(f.observer);

                        if (!json_text_equal(vector_get(x, "name"), names[i]))
                                continue;
                        n++;
                        assert_bytes(buffer_begin(out), buffer_size(out), vector_get(x, "frame_hex"));
                        buffer_clear(out);
                }
        }
        g_assert_cmpuint(n, ==, ELEMENTSOF(names));
}

/* ---- recorded conversations -------------------------------------------------------------------------- */

/* The reference's gateway sends its first message when it is ready, twice; we send ours before, then the one of ready. All that
 * follows must be the same bytes. Steps tell when it was made ready or ended. */
static void replay(const char *file, const char *connection, const char *expected_trace) {
        _vectors_ v = { 0 };
        _fixture_ f;
        unsigned n_sent = 0, n_closed = 0;

        fixture_new(&f);
        f.end_at_once = true;
        observer_set_ready(f.observer, true);
        vectors_load(&v, file);
        FOREACH_ITEM(entry, vector_get(v.root, "entries")) {
                g_autoptr(GByteArray) frame = NULL;
                JsonSpan from = vector_find(entry, "from");

                if (!from.text || !json_text_equal(vector_get(entry, "connection"), connection))
                        continue;
                frame = vector_hex(vector_get(entry, "hex"));
                if (json_text_equal(from, "client")) {
                        Buffer *out = observer_output(f.observer);

                        if (++n_sent > 2)
                                assert_bytes(buffer_begin(out), buffer_size(out), vector_get(entry, "hex"));
                        if (n_sent >= 2)
                                buffer_clear(out);
                } else if (json_text_equal(vector_get(entry, "type"), "HatObserver.MsgClose")) {
                        n_closed++;
                        g_assert_cmpint(feed(&f, frame->data, frame->len), ==, -ESHUTDOWN);
                } else {
                        f.expected = vector_get(entry, "body");
                        g_assert_cmpint(feed(&f, frame->data, frame->len), ==, frame->len);
                }
        }
        g_assert_cmpuint(n_sent, ==, 3);
        g_assert_cmpuint(n_closed, <=, 1);
        g_assert_cmpuint(buffer_size(observer_output(f.observer)), ==, 0);
        g_assert_cmpstr(trace->str, ==, expected_trace);
}

static void test_replay(void) {
        replay("conversation_gateway.json", "monitor", "CONFIRM ACTIVE");
        replay("conversation_monitor.json", "monitor 2", "CONFIRM ACTIVE");
}

/* ---- bounds, time ------------------------------------------------------------------------------------ */

static void test_bounds(void) {
        g_autofree MonitorEntry *entries = g_new0(MonitorEntry, OBSERVER_COMPONENTS_MAX + 1);
        static const uint8_t huge[] = { 4, 0, OBSERVER_FRAME_MAX >> 16, 0, 1 };
        _cleanup_(buffer_done) Buffer b = { 0 };
        _fixture_ f;

        fixture_new(&f);
        feed_state(&f, 1, 0, entries, OBSERVER_COMPONENTS_MAX);
        monitor_message(&f.monitor, 1, 0, entries, OBSERVER_COMPONENTS_MAX + 1, &b);
        g_assert_cmpint(feed(&f, buffer_begin(&b), buffer_size(&b)), ==, -EMSGSIZE);
        g_assert_cmpint(feed(&f, huge, sizeof(huge)), ==, -EMSGSIZE);
}

static void test_bad_data(void) {
        static const char *const bad[] = { "", "{", "nul", "NaN", "1 2" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                const MonitorEntry entry = { .cid = 2, .data = bad[i] };
                _cleanup_(buffer_done) Buffer b = { 0 };
                _fixture_ f;

                fixture_new(&f);
                monitor_message(&f.monitor, 1, 0, &entry, 1, &b);
                g_assert_cmpint(feed(&f, buffer_begin(&b), buffer_size(&b)), ==, -EBADMSG);
        }
}

/* A ping after 5 s of silence, the end 5 s later; anything that comes begins it anew. */
static void test_time(void) {
        _fixture_ f;

        fixture_new(&f);
        note_output(&f);
        g_string_truncate(trace, 0);
        g_assert_cmpuint(observer_deadline(f.observer), ==, 5 * SECOND);
        f.now = 3 * SECOND;
        apply(&f, "empty");
        g_assert_cmpuint(observer_deadline(f.observer), ==, 8 * SECOND);
        g_assert_cmpint(observer_elapse(f.observer, 8 * SECOND), ==, 0);
        note_output(&f);
        g_assert_cmpstr(trace->str, ==, "(ping or pong)");
        g_assert_cmpuint(observer_deadline(f.observer), ==, 13 * SECOND);
        f.now = 12 * SECOND;
        apply(&f, "empty");
        g_assert_cmpint(observer_elapse(f.observer, 17 * SECOND), ==, 0);
        g_assert_cmpint(observer_elapse(f.observer, 22 * SECOND), ==, -ETIMEDOUT);
}

static void test_ping(void) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        _fixture_ f;

        fixture_new(&f);
        note_output(&f);
        g_string_truncate(trace, 0);
        (void) chatter_send(&f.monitor, false, "HatChatter.Ping", NULL, 0, &b);
        g_assert_cmpint(feed(&f, buffer_begin(&b), buffer_size(&b)), ==, buffer_size(&b));
        note_output(&f);
        g_assert_cmpstr(trace->str, ==, "(ping or pong)");
}

/* ---- which event server (wire.md 7.2) ---------------------------------------------------------------- */

#define AT(port) "{\"server_id\": 1, \"eventer_server\": {\"host\": \"h\", \"port\": " port "}, \"server_token\": null}"
#define WITH_TOKEN "{\"server_token\": \"t\", \"eventer_server\": {\"port\": 1, \"host\": \"h\"}, \"server_id\": 2}"
#define EVENT(d) { .group = "event", .requested = 4, .token = 4, .data = (d) }

static const struct {
        const char *name;
        MonitorEntry entries[3];
        const char *client_token;
        const char *expected; /* NULL: none */
} finds[] = {
        { "none", {}, NULL, NULL },
        { "one", { EVENT(AT("5")) }, NULL, "1 h 5 (null)" },
        { "without token member", { EVENT("{\"server_id\": 7, \"eventer_server\": {\"host\": \"x\", \"port\": 65535}}") }, NULL,
          "7 x 65535 (null)" },
        { "first in order", { EVENT(AT("5")), EVENT(AT("6")) }, NULL, "1 h 5 (null)" },
        { "ready, rank, name do not matter",
          { { .group = "event", .name = "z", .requested = 1, .token = 1, .rank = 9, .data = AT("5") }, EVENT(AT("6")) }, NULL,
          "1 h 5 (null)" },
        { "other group", { { .group = "events", .requested = 1, .token = 1, .data = AT("5") }, EVENT(AT("6")) }, NULL,
          "1 h 6 (null)" },
        { "no group yet", { { .requested = 1, .token = 1, .data = AT("5") } }, NULL, NULL },
        { "not blessed", { { .group = "event", .token = 1, .data = AT("5"), .ready = true } }, NULL, NULL },
        { "not answered", { { .group = "event", .requested = 1, .data = AT("5"), .ready = true } }, NULL, NULL },
        { "other answer", { { .group = "event", .requested = 2, .token = 1, .data = AT("5") } }, NULL, NULL },
        { "data null", { EVENT(NULL) }, NULL, NULL },
        { "further ones are not tried", { EVENT(NULL), EVENT(AT("6")) }, NULL, NULL },
        { "no id", { EVENT("{\"eventer_server\": {\"host\": \"h\", \"port\": 5}}") }, NULL, NULL },
        { "id no integer", { EVENT("{\"server_id\": 1.5, \"eventer_server\": {\"host\": \"h\", \"port\": 5}}") }, NULL, NULL },
        { "no address", { EVENT("{\"server_id\": 1}") }, NULL, NULL },
        { "address no object", { EVENT("{\"server_id\": 1, \"eventer_server\": \"h:5\"}") }, NULL, NULL },
        { "no host", { EVENT("{\"server_id\": 1, \"eventer_server\": {\"port\": 5}}") }, NULL, NULL },
        { "host no string", { EVENT("{\"server_id\": 1, \"eventer_server\": {\"host\": 1, \"port\": 5}}") }, NULL, NULL },
        { "host with NUL", { EVENT("{\"server_id\": 1, \"eventer_server\": {\"host\": \"h\\u0000\", \"port\": 5}}") }, NULL, NULL },
        { "port 0", { EVENT(AT("0")) }, NULL, NULL },
        { "port too large", { EVENT(AT("65536")) }, NULL, NULL },
        { "port no integer", { EVENT(AT("\"5\"")) }, NULL, NULL },
        { "token no string",
          { EVENT("{\"server_id\": 1, \"eventer_server\": {\"host\": \"h\", \"port\": 5}, \"server_token\": 5}") }, NULL, NULL },
        { "any token without ours", { EVENT(WITH_TOKEN) }, NULL, "2 h 1 t" },
        { "our token", { EVENT(WITH_TOKEN) }, "t", "2 h 1 t" },
        { "another token", { EVENT(WITH_TOKEN) }, "u", NULL },
        { "no token for ours", { EVENT(AT("5")) }, "t", NULL },
        { "another token, further ones are not tried", { EVENT(AT("5")), EVENT(WITH_TOKEN) }, "t", NULL },
};

typedef struct Find {
        const char *client_token;
        char *found;
} Find;

static void find_components(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata) {
        Find *find = userdata;
        ObserverEventServer s;

        if (observer_find_event_server(components, n, "event", find->client_token, &s) < 0)
                return;
        find->found = g_strdup_printf("%" PRId64 " %s %u %s", s.server_id, s.host, s.port, s.token ?: "(null)");
        g_assert_true(observer_event_server_equal(&s, &s));
        observer_event_server_done(&s);
}

static void test_find(void) {
        static const ObserverHandler find_handler = { .components = find_components, .state = on_state };

        for (size_t i = 0; i < ELEMENTSOF(finds); i++) {
                Find find = { .client_token = finds[i].client_token };
                _cleanup_(observer_freep) Observer *o = observer_new(0, 0, 0, "gw", "g", &find_handler, &find);
                g_autofree char *found = NULL;
                _cleanup_(buffer_done) Buffer b = { 0 };
                Chatter c;

                chatter_init(&c, 0);
                monitor_message(&c, 1, 0, finds[i].entries, ELEMENTSOF(finds[i].entries), &b);
                g_assert_cmpint(observer_receive(o, buffer_begin(&b), buffer_size(&b), 0), >, 0);
                found = find.found;
                g_test_message("%s", finds[i].name);
                g_assert_cmpstr(found, ==, finds[i].expected);
        }
}

static void test_equal(void) {
        const ObserverEventServer a = { 1, (char *) "h", 5, NULL }, same = { 1, (char *) "h", 5, NULL };
        const ObserverEventServer others[] = {
                { 2, (char *) "h", 5, NULL },
                { 1, (char *) "i", 5, NULL },
                { 1, (char *) "h", 6, NULL },
                { 1, (char *) "h", 5, (char *) "t" },
        };

        g_assert_true(observer_event_server_equal(&a, &same));
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                g_assert_false(observer_event_server_equal(&a, &others[i]));
}

int main(int argc, char *argv[]) {
        int r;

        trace = g_string_new(NULL);
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/observer/steps", test_steps);
        g_test_add_func("/observer/end-at-once", test_end_at_once);
        g_test_add_func("/observer/listed", test_listed);
        g_test_add_func("/observer/vectors", test_vectors);
        g_test_add_func("/observer/vector-messages", test_vector_messages);
        g_test_add_func("/observer/replay", test_replay);
        g_test_add_func("/observer/bounds", test_bounds);
        g_test_add_func("/observer/bad-data", test_bad_data);
        g_test_add_func("/observer/time", test_time);
        g_test_add_func("/observer/ping", test_ping);
        g_test_add_func("/observer/find", test_find);
        g_test_add_func("/observer/equal", test_equal);
        r = g_test_run();
        g_string_free(trace, TRUE);
        return r;
}
