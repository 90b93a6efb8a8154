/* SPDX-License-Identifier: Apache-2.0 */
/* One client's connection without a server: when it is not read. The server's own tests have the rest. */

#include "base/bounds.h"
#include "event/server/connection.h"
#include "tests/unit/moved-clock.h"
#include "tests/unit/raw-client.h"

typedef struct Fixture {
        sd_event *event;
        Connection *connection;
        RawClient client;
        ConnectionPool pool;
        unsigned n_registered;
} Fixture;

static void on_init(Connection *c, const PeerInit *init, void *userdata) {
        connection_accept(c, EVENTER_OPERATIONAL, init, false);
}

static void on_registration(Connection *c, const Event *events, size_t n, bool wants_response, int64_t conversation,
                            void *userdata) {
        Fixture *f = userdata;

        f->n_registered++;
}

static int on_query(Connection *c, const EventerQuery *query, void *userdata) {
        return 0;
}

/* A server flushes at the end of a turn; here the test does. */
static void on_dirty(Connection *c, void *userdata) {
}

static const ConnectionHandler handler = {
        .init = on_init,
        .registration = on_registration,
        .query = on_query,
        .dirty = on_dirty,
};

static void fixture_set_up(Fixture *f, gconstpointer data) {
        const EventerInit init = { .client_name = "test" };
        int fds[2];

        f->event = loop_new();
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==, 0);
        g_assert_cmpint(connection_new(f->event, fds[0], CONNECTION_UNIX, g_strdup("test"), &f->pool, &handler, f,
                                       &f->connection),
                        ==, 0);
        raw_client_init(&f->client, f->event, fds[1]);
        raw_client_init_request(&f->client, &init);
        LOOP_UNTIL(f->event, connection_is_accepted(f->connection));
}

static void fixture_tear_down(Fixture *f, gconstpointer data) {
        (void) connection_free(f->connection);
        raw_client_done(&f->client);
        sd_event_unref(f->event);
}

static void register_nothing(Fixture *f) {
        _cleanup_(buffer_done) Buffer body = { 0 };

        sbs_write_integer(&body, 0);
        raw_client_send(&f->client, false, "HatEventer.MsgRegisterReq", &body);
}

/* A registration of nothing costs no disk and has no bound of its own; behind one that waits for the disk it waits too. */
static void test_unanswered(Fixture *f, gconstpointer data) {
        f->connection->n_unanswered = EVENT_SERVER_UNANSWERED_MAX - 1;
        register_nothing(f);
        LOOP_UNTIL(f->event, f->n_registered == 1);

        f->connection->n_unanswered = EVENT_SERVER_UNANSWERED_MAX;
        register_nothing(f);
        (void) loop_settle(f->event);
        connection_flush(f->connection);
        (void) loop_settle(f->event);
        g_assert_cmpuint(f->n_registered, ==, 1);
        g_assert_false(f->connection->ended);

        f->connection->n_unanswered--;
        connection_flush(f->connection);
        LOOP_UNTIL(f->event, f->n_registered == 2);
}

static void test_congested(Fixture *f, gconstpointer data) {
        f->pool.congested = true;
        register_nothing(f);
        (void) loop_settle(f->event);
        g_assert_cmpuint(f->n_registered, ==, 0);

        f->pool.congested = false;
        connection_resume(f->connection);
        LOOP_UNTIL(f->event, f->n_registered == 1);
}

/* The beginning of a frame that is far from complete. */
static void send_partial(Fixture *f, size_t size) {
        g_autofree uint8_t *bytes = g_malloc0(size);

        memcpy(bytes, "\x04\x03\x00\x00\x00", MIN(size, 5U)); /* so many bytes are to follow: 48 MiB */
        raw_client_write(&f->client, bytes, size);
}

/* Others hold all there is. An equal share is there for everybody, and the gateway never pays. */
static void test_share(Fixture *f, gconstpointer data) {
        const size_t share = 128U << 10, others = EVENT_SERVER_HELD_MAX;

        connection_flush(f->connection);
        g_assert_cmpuint(f->pool.held, ==, 0);
        f->pool.n += EVENT_SERVER_HELD_MAX / share - 1;
        f->pool.held += others;
        send_partial(f, share);
        LOOP_UNTIL(f->event, f->connection->unread == share);
        g_assert_cmpuint(f->pool.held, ==, others + share);
        g_assert_false(f->connection->ended);

        f->connection->kind = CONNECTION_OWN;
        send_partial(f, 1);
        LOOP_UNTIL(f->event, f->connection->unread == share + 1);
        g_assert_false(f->connection->ended);

        f->connection->kind = CONNECTION_UNIX;
        send_partial(f, 1);
        LOOP_UNTIL(f->event, f->connection->ended);
        g_assert_cmpint(f->connection->error, ==, -EDQUOT);
        g_assert_cmpuint(f->pool.held, ==, others);
}

/* Output counts until it has left. */
static void test_share_output(Fixture *f, gconstpointer data) {
        const size_t size = 10U << 20;
        g_autofree uint8_t *bytes = g_malloc0(size);
        const SessionView view = { .number = 1, .n = 1, .bytes = bytes, .size = size };
        const Subtype all = SUBTYPE("*");
        const EventType type = { &all, 1 };
        _cleanup_(buffer_done) Buffer scratch = { 0 };

        f->connection->subscription = subscription_free(f->connection->subscription);
        f->connection->subscription = subscription_new(&type, 1);
        f->pool.n = 1000;
        f->client.mute = true;
        connection_notify(f->connection, &view, &scratch);
        g_assert_cmpuint(f->pool.held, >, size / 2);
        connection_notify(f->connection, &(SessionView) { .number = 1, .n = 1, .bytes = bytes, .size = 1 }, &scratch);
        g_assert_cmpint(f->connection->error, ==, -ENOBUFS); /* its own bound comes first */

        f->connection->ended = false;
        f->connection->unsent_notified = 0;
        f->pool.held += EVENT_SERVER_HELD_MAX - size;
        connection_notify(f->connection, &view, &scratch);
        g_assert_cmpint(f->connection->error, ==, -EDQUOT);
}

/* ---- answers that do not leave ----------------------------------------------------------------------- */

static void pass(Fixture *f, usec_t time) {
        clock_move(time);
        (void) loop_settle(f->event);
        if (!f->connection->ended)
                connection_flush(f->connection);
}

/* An answer may take as long as it likes while some of it leaves now and then. What the client says meanwhile does not count. */
static void test_stalled(Fixture *f, gconstpointer data) {
        const usec_t most = EVENT_SERVER_STALL_USEC / 4 * 3, rest = EVENT_SERVER_STALL_USEC / 2;
        _cleanup_(buffer_done) Buffer result = { 0 };
        uint8_t *bytes = buffer_reserve(&result, 2 * EVENT_SERVER_ANSWERS_MAX);
        size_t unsent;

        memset(bytes, 0, 2 * EVENT_SERVER_ANSWERS_MAX);
        buffer_commit(&result, 2 * EVENT_SERVER_ANSWERS_MAX);
        raw_client_query(&f->client, &(EventerQuery) { .kind = QUERY_LATEST });
        LOOP_UNTIL(f->event, peer_is_waiting(f->connection->peer));
        f->client.mute = true;
        connection_answer_query(f->connection, &result);
        register_nothing(f);
        pass(f, 0);
        g_assert_true(f->connection->paused);

        pass(f, most);
        g_assert_false(f->connection->ended);
        unsent = stream_unsent(f->connection->stream);
        LOOP_UNTIL(f->event, ({
                           (void) recv(f->client.fd, bytes, 4096, MSG_DONTWAIT);
                           stream_unsent(f->connection->stream) < unsent;
                   }));
        pass(f, most);
        g_assert_false(f->connection->ended);
        g_assert_cmpuint(deadline_get(f->connection->deadline), ==,
                         stream_stall_deadline(f->connection->stream, EVENT_SERVER_STALL_USEC));
        pass(f, rest);
        g_assert_true(f->connection->ended);
        g_assert_cmpint(f->connection->error, ==, -ENOBUFS);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add("/connection/unanswered", Fixture, NULL, fixture_set_up, test_unanswered, fixture_tear_down);
        g_test_add("/connection/congested", Fixture, NULL, fixture_set_up, test_congested, fixture_tear_down);
        g_test_add("/connection/share", Fixture, NULL, fixture_set_up, test_share, fixture_tear_down);
        g_test_add("/connection/share-output", Fixture, NULL, fixture_set_up, test_share_output, fixture_tear_down);
        g_test_add("/connection/stalled", Fixture, NULL, fixture_set_up, test_stalled, fixture_tear_down);
        return g_test_run();
}
