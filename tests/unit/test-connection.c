/* SPDX-License-Identifier: Apache-2.0 */
/* One client's connection without a server: when it is not read. The server's own tests have the rest. */

#include "base/bounds.h"
#include "event/server/connection.h"
#include "tests/unit/raw-client.h"

typedef struct Fixture {
        sd_event *event;
        Connection *connection;
        RawClient client;
        bool congested;
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
        g_assert_cmpint(connection_new(f->event, fds[0], CONNECTION_UNIX, g_strdup("test"), &f->congested, &handler, f,
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
        f->congested = true;
        register_nothing(f);
        (void) loop_settle(f->event);
        g_assert_cmpuint(f->n_registered, ==, 0);

        f->congested = false;
        connection_resume(f->connection);
        LOOP_UNTIL(f->event, f->n_registered == 1);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add("/connection/unanswered", Fixture, NULL, fixture_set_up, test_unanswered, fixture_tear_down);
        g_test_add("/connection/congested", Fixture, NULL, fixture_set_up, test_congested, fixture_tear_down);
        return g_test_run();
}
