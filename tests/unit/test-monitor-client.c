/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor client against a fake monitor over loopback, both in one loop, with short times: what is said, how it ends, that a
 * frozen loop is found before anything else of it runs, and that the owner may free the client anywhere. */

#include "event/monitor-client.h"

#include <unistd.h>

#include "tests/unit/fake-monitor.h"
#include "tests/unit/trace.h"

typedef enum FreeAt { FREE_NOWHERE, FREE_CONNECTED, FREE_COMPONENTS, FREE_STATE, FREE_ASKED, FREE_CLOSED, NOBODY_LISTENS } FreeAt;

/* Times are short only where they must elapse, and then longer than a busy machine keeps this process waiting. */
typedef struct Case {
        FreeAt free_at;
        usec_t ping, late; /* 0: longer than any test */
} Case;

static const Case patient = {}, pinging = { .ping = USEC_PER_SEC }, watched = { .late = 2 * USEC_PER_SEC },
                  slow = { .ping = 2 * USEC_PER_SEC, .late = 4 * USEC_PER_SEC },
                  free_at[] = {
                          { .free_at = FREE_NOWHERE },    { .free_at = FREE_CONNECTED }, { .free_at = FREE_COMPONENTS },
                          { .free_at = FREE_STATE },      { .free_at = FREE_ASKED },     { .free_at = FREE_CLOSED },
                          { .free_at = NOBODY_LISTENS },
                  };

typedef struct Fixture {
        sd_event *event;
        FakeMonitor monitor;
        MonitorClient *client;
        FreeAt free_at;
        unsigned n_components, n_closed;
        int error;
} Fixture;

static void free_if(Fixture *f, FreeAt at) {
        if (f->free_at == at)
                f->client = monitor_client_free(f->client);
}

static void on_connected(void *userdata) {
        Fixture *f = userdata;

        note("connected");
        monitor_client_set_ready(f->client, true);
        free_if(f, FREE_CONNECTED);
}

static void on_components(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata) {
        Fixture *f = userdata;

        f->n_components++;
        free_if(f, FREE_COMPONENTS);
}

static void on_state(ObserverState state, void *userdata) {
        static const char *const names[] = { "idle", "confirm", "active", "ending" };
        Fixture *f = userdata;

        g_assert_cmpint(monitor_client_get_state(f->client), ==, state);
        note("%s", names[state]);
        free_if(f, FREE_STATE);
}

static void on_asked(void *userdata) {
        note("asked");
        free_if(userdata, FREE_ASKED);
}

static void on_closed(int error, const char *detail, void *userdata) {
        Fixture *f = userdata;

        g_assert_nonnull(detail);
        note("closed");
        f->n_closed++;
        f->error = error;
        free_if(f, FREE_CLOSED);
}

static const MonitorClientHandler handler = {
        .connected = on_connected,
        .components = on_components,
        .state = on_state,
        .asked_to_close = on_asked,
        .closed = on_closed,
};

static void set_up(Fixture *f, gconstpointer data) {
        const Case *c = data;
        const usec_t ping = c->ping ?: 1000 * USEC_PER_SEC, late = c->late ?: 1000 * USEC_PER_SEC;
        const MonitorClientOptions options = {
                .name = "gw1", .group = "gateway", .ping_delay = ping, .ping_timeout = ping, .late = late,
        };

        trace = g_string_new(NULL);
        f->free_at = c->free_at;
        f->event = loop_new();
        fake_monitor_init(&f->monitor, f->event);
        if (f->free_at == NOBODY_LISTENS)
                f->monitor.listener = safe_close(f->monitor.listener);
        g_assert_cmpint(monitor_client_new(f->event, NULL, &f->monitor.address, &options, &handler, f, &f->client), ==, 0);
        g_assert_cmpint(monitor_client_get_state(f->client), ==, OBSERVER_IDLE);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        g_assert_cmpuint(f->n_closed, <=, 1);
        monitor_client_free(f->client);
        fake_monitor_done(&f->monitor);
        sd_event_unref(f->event);
        g_string_free(trace, TRUE);
}

static void send_tokens(Fixture *f, int64_t requested, int64_t token) {
        const MonitorEntry entry = {
                .cid = 1, .name = "gw1", .group = "gateway", .ready = true, .requested = requested, .token = token,
        };

        fake_monitor_state(&f->monitor, 1, &entry, 1);
}

static void bless(Fixture *f) {
        fake_monitor_accept(&f->monitor);
        fake_monitor_expect(&f->monitor, "gw1@gateway null idle 0");
        fake_monitor_expect(&f->monitor, "gw1@gateway null ready 0");
        send_tokens(f, 3, 0);
        fake_monitor_expect(&f->monitor, "gw1@gateway null ready 3");
        send_tokens(f, 3, 3);
        LOOP_UNTIL(f->event, monitor_client_get_state(f->client) == OBSERVER_ACTIVE);
        g_string_truncate(trace, 0);
}

static void assert_closed(Fixture *f, int error) {
        LOOP_UNTIL(f->event, f->n_closed > 0);
        g_assert_cmpint(f->error, ==, error);
}

/* ---- the part ---------------------------------------------------------------------------------------- */

static void test_life(Fixture *f, gconstpointer unused) {
        bless(f);
        send_tokens(f, 0, 3);
        LOOP_UNTIL(f->event, monitor_client_get_state(f->client) == OBSERVER_ENDING);
        send_tokens(f, 5, 3);
        LOOP_UNTIL(f->event, f->n_components == 4);
        g_assert_cmpuint(f->monitor.lines->len, ==, 0); /* the token is held */
        monitor_client_set_ended(f->client);
        fake_monitor_expect(&f->monitor, "gw1@gateway null ready 0");
        fake_monitor_expect(&f->monitor, "gw1@gateway null ready 5");
        monitor_client_set_ready(f->client, false);
        monitor_client_close(f->client, USEC_PER_SEC);
        monitor_client_set_ready(f->client, true); /* too late */
        fake_monitor_expect(&f->monitor, "gw1@gateway null idle 0");
        fake_monitor_expect_end(&f->monitor);
        g_assert_false(f->monitor.reset);
        assert_closed(f, 0);
        g_assert_cmpstr(trace->str, ==, "ending idle confirm idle closed");
}

/* ---- ends -------------------------------------------------------------------------------------------- */

static void test_pings(Fixture *f, gconstpointer unused) {
        usec_t begin;

        bless(f);
        begin = now_usec(CLOCK_MONOTONIC);
        fake_monitor_expect(&f->monitor, "ping");
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), >=, begin + pinging.ping);
        fake_monitor_expect(&f->monitor, "ping"); /* the first was answered */
        f->monitor.mute = true;
        begin = now_usec(CLOCK_MONOTONIC);
        assert_closed(f, -ETIMEDOUT);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), >=, begin + pinging.ping);
}

static void test_asked(Fixture *f, gconstpointer unused) {
        bless(f);
        fake_monitor_send(&f->monitor, "HatObserver.MsgClose", NULL, 0);
        LOOP_UNTIL(f->event, trace->len > 0);
        g_assert_cmpstr(trace->str, ==, "asked");
        send_tokens(f, 0, 3); /* too late */
        fake_monitor_send(&f->monitor, "HatObserver.MsgClose", NULL, 0);
        f->monitor.mute = true;
        for (usec_t end = now_usec(CLOCK_MONOTONIC) + 3 * pinging.ping; now_usec(CLOCK_MONOTONIC) < end;)
                g_assert_cmpint(sd_event_run(f->event, pinging.ping), >=, 0);
        g_assert_false(fake_monitor_has_ended(&f->monitor)); /* held until the owner closes it */
        monitor_client_close(f->client, USEC_PER_SEC);
        fake_monitor_expect_end(&f->monitor);
        assert_closed(f, 0);
        g_assert_cmpstr(trace->str, ==, "asked closed");
}

/* The monitor does not wait for ever. */
static void test_asked_and_closed(Fixture *f, gconstpointer unused) {
        bless(f);
        fake_monitor_send(&f->monitor, "HatObserver.MsgClose", NULL, 0);
        f->monitor.fd = safe_close(f->monitor.fd);
        assert_closed(f, -ECONNRESET);
        g_assert_cmpstr(trace->str, ==, "asked closed");
}

static void test_malformed(Fixture *f, gconstpointer unused) {
        bless(f);
        fake_monitor_send(&f->monitor, "HatObserver.MsgServer", "", 0);
        assert_closed(f, -EBADMSG);
        g_assert_cmpstr(trace->str, ==, "closed");
}

static void test_unexpected(Fixture *f, gconstpointer unused) {
        bless(f);
        fake_monitor_send(&f->monitor, "HatObserver.MsgMaster", "", 0);
        assert_closed(f, -EPROTO);
}

static void test_end_of_stream(Fixture *f, gconstpointer unused) {
        bless(f);
        f->monitor.fd = safe_close(f->monitor.fd);
        assert_closed(f, -ECONNRESET);
}

static void test_nobody_listens(Fixture *f, gconstpointer unused) {
        assert_closed(f, -ECONNREFUSED);
        g_assert_cmpstr(trace->str, ==, "closed");
}

static void test_close_before_connected(Fixture *f, gconstpointer unused) {
        monitor_client_set_ready(f->client, true);
        monitor_client_set_ended(f->client);
        monitor_client_close(f->client, USEC_PER_SEC);
        assert_closed(f, 0);
}

/* ---- a frozen loop ----------------------------------------------------------------------------------- */

static int on_freeze(sd_event_source *s, void *userdata) {
        note("freeze");
        g_usleep(watched.late + watched.late / 2);
        return 0;
}

static int on_other(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        char byte;

        note("socket");
        g_assert_cmpint(read(fd, &byte, 1), ==, 1);
        return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        note("timer");
        return 0;
}

/* Whatever has become ready meanwhile comes after closed(): a field socket, a timer, the monitor's own words. */
static void test_frozen(Fixture *f, gconstpointer unused) {
        int fds[2];

        bless(f);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
        g_assert_cmpint(sd_event_add_io(f->event, NULL, fds[0], EPOLLIN, on_other, NULL), >=, 0);
        g_assert_cmpint(sd_event_add_time_relative(f->event, NULL, CLOCK_MONOTONIC, watched.late, 1, on_timer, NULL), >=, 0);
        g_assert_cmpint(sd_event_add_defer(f->event, NULL, on_freeze, NULL), >=, 0);
        g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
        send_tokens(f, 0, 3);
        assert_closed(f, -ESTALE);
        loop_settle(f->event);
        g_assert_true(g_str_has_prefix(trace->str, "freeze closed ") || /* the two sockets may have been first */
                      g_str_has_prefix(trace->str, "ending freeze closed ") ||
                      g_str_has_prefix(trace->str, "ending socket freeze closed "));
        g_assert_nonnull(strstr(trace->str, "closed timer") ?: strstr(trace->str, "closed socket timer") ?:
                         strstr(trace->str, "closed timer socket"));
        safe_close(fds[0]);
        safe_close(fds[1]);
}

static int on_pause(sd_event_source *s, void *userdata) {
        g_usleep(slow.late / 8);
        return 0;
}

static void test_slow(Fixture *f, gconstpointer unused) {
        bless(f);
        for (int i = 0; i < 3; i++) {
                g_assert_cmpint(sd_event_add_defer(f->event, NULL, on_pause, NULL), >=, 0);
                LOOP_UNTIL(f->event, fake_monitor_has_line(&f->monitor));
                g_ptr_array_set_size(f->monitor.lines, 0);
        }
        g_assert_cmpuint(f->n_closed, ==, 0);
}

/* ---- freed inside a callback ------------------------------------------------------------------------- */

static void test_free(Fixture *f, gconstpointer unused) {
        fake_monitor_accept(&f->monitor);
        if (f->free_at == FREE_STATE)
                send_tokens(f, 3, 0);
        send_tokens(f, 0, 0);
        send_tokens(f, 0, 0);
        if (f->free_at == FREE_ASKED)
                fake_monitor_send(&f->monitor, "HatObserver.MsgClose", NULL, 0);
        else if (f->free_at == FREE_CLOSED)
                fake_monitor_send(&f->monitor, "HatObserver.MsgMaster", NULL, 0);
        LOOP_UNTIL(f->event, !f->client);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_closed, ==, f->free_at == FREE_CLOSED);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD_CASE(name, func, of) g_test_add("/monitor-client/" name, Fixture, of, set_up, func, tear_down)
#define ADD_FREE(name, func, at) ADD_CASE(name, func, &free_at[at])
#define ADD(name, func) ADD_CASE(name, func, &patient)
        ADD("life", test_life);
        ADD_CASE("pings", test_pings, &pinging);
        ADD_CASE("asked", test_asked, &pinging);
        ADD("asked-and-closed", test_asked_and_closed);
        ADD("malformed", test_malformed);
        ADD("unexpected", test_unexpected);
        ADD("end-of-stream", test_end_of_stream);
        ADD_FREE("nobody-listens", test_nobody_listens, NOBODY_LISTENS);
        ADD("close-before-connected", test_close_before_connected);
        ADD_CASE("frozen", test_frozen, &watched);
        ADD_CASE("slow", test_slow, &slow);
        ADD_FREE("free/connected", test_free, FREE_CONNECTED);
        ADD_FREE("free/components", test_free, FREE_COMPONENTS);
        ADD_FREE("free/state", test_free, FREE_STATE);
        ADD_FREE("free/asked", test_free, FREE_ASKED);
        ADD_FREE("free/closed", test_free, FREE_CLOSED);
        return g_test_run();
}
