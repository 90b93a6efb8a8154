/* SPDX-License-Identifier: Apache-2.0 */
/* The north with a monitor server: when it works, with which event server, in which order it ends. The monitor is a fake one, the
 * event servers are two embedded ones on loopback ports, all in one loop. */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bounds.h"
#include "daemon/north-monitor.h"
#include "daemon/north.h"
#include "tests/unit/capture.h"
#include "tests/unit/fake-monitor.h"
#include "tests/unit/trace.h"

typedef struct Fixture {
        sd_event *event;
        Resolver *resolver;
        FakeMonitor monitor;
        EventServer *servers[2];
        char *data[2]; /* what each says of itself to the monitor */
        MonitorConfig monitor_config;
        Config config;
        North *north;
        NorthState state;
        char *told;    /* the last address */
        bool hold;     /* the devices do not end at once */
        char *folder;  /* of the fixed event server's socket */
        NorthMonitor *alone; /* the part below the north */
} Fixture;

/* ---- the north's owner ------------------------------------------------------------------------------- */

static void on_changed(void *userdata) {
        Fixture *f = userdata;

        g_free(f->told);
        f->told = g_strdup(north_get_address(f->north));
        if (north_get_state(f->north) == f->state)
                return;
        f->state = north_get_state(f->north);
        note("%s", north_state_to_string(f->state));
}

static void on_events(const Event *events, size_t n, void *userdata) {
}

static void on_congested(bool congested, void *userdata) {
}

/* The devices say that they do not run any more. */
static void end_work(Fixture *f) {
        static const Subtype subtypes[] = { SUBTYPE("a") };
        static const char *const name[] = { "running", NULL };
        const Payload payload = { .kind = PAYLOAD_JSON, .json = JSON_LITERAL("false") };

        if (north_get_client(f->north))
                event_client_register(north_get_client(f->north), (EventType) { subtypes, 1 }, name, NULL, &payload);
        north_left(f->north);
}

static void on_leave(void *userdata) {
        Fixture *f = userdata;

        note("leave");
        g_assert_true(north_is_leaving(f->north));
        if (!f->hold)
                end_work(f);
}

static void on_lost(bool frozen, void *userdata) {
        note(frozen ? "frozen" : "lost");
}

static void on_closed(void *userdata) {
        note("closed");
}

static const NorthHandler handler = {
        .changed = on_changed,
        .events = on_events,
        .congested = on_congested,
        .leave = on_leave,
        .lost = on_lost,
        .closed = on_closed,
};

/* ---- fixture ----------------------------------------------------------------------------------------- */

static EventServer *server_new(Fixture *f, EventServerOptions options, const Address *address) {
        static const EventServerHandler server_handler = {};
        EventServer *server = NULL;

        options.store = (StoreOptions) { .path = ":memory:", .max_age = USEC_INFINITY, .max_events = -1, .max_bytes = -1 };
        g_assert_cmpint(event_server_new(f->event, &options, &server_handler, NULL, &server), ==, 0);
        g_assert_cmpint(event_server_listen(server, address), ==, 0);
        return server;
}

static void server_open(Fixture *f, unsigned i) {
        _cleanup_(address_done) Address address = {};

        address_set_tcp(&address, "127.0.0.1", 0);
        f->servers[i] = server_new(f, (EventServerOptions) { .server_id = i + 1 }, &address);
        f->data[i] = g_strdup_printf("{\"server_id\": %u, \"eventer_server\": {\"host\": \"127.0.0.1\", \"port\": %s}}", i + 1,
                                     strrchr(event_server_get_address(f->servers[i]), ':') + 1);
}

static void set_up(Fixture *f, gconstpointer unused) {
        trace = g_string_new(NULL);
        f->event = loop_new();
        g_assert_cmpint(resolver_new(f->event, 1, &f->resolver), ==, 0);
        fake_monitor_init(&f->monitor, f->event);
        for (unsigned i = 0; i < 2; i++)
                server_open(f, i);
        f->monitor_config = (MonitorConfig) {
                .host = "127.0.0.1",
                .port = f->monitor.address.port,
                .gateway_group = "gateways",
                .event_server_group = "events",
                .component_name = "gw-a",
        };
        f->config = (Config) { .name = "gw", .layout = LAYOUT_NAMED, .north = NORTH_MONITOR, .monitor = &f->monitor_config };
}

/* A fixed event server at a socket where nobody is, and a token of our own. */
static void set_up_fixed(Fixture *f, gconstpointer unused) {
        set_up(f, unused);
        f->folder = g_dir_make_tmp("north-XXXXXX", NULL);
        f->config = (Config) { .name = "gw", .layout = LAYOUT_NAMED, .north = NORTH_FIXED, .client_token = (char *) "ours",
                               .event_server = { .kind = ADDRESS_UNIX, .path = g_build_filename(f->folder, "socket", NULL) } };
        g_assert_cmpint(north_new(f->event, &f->config, NULL, &handler, f, &f->north), ==, 0);
}

static void set_up_north(Fixture *f, gconstpointer unused) {
        set_up(f, unused);
        g_assert_cmpint(north_new(f->event, &f->config, NULL, &handler, f, &f->north), ==, 0);
        g_assert_cmpint(north_get_monitor_state(f->north), ==, MONITOR_CONNECTING);
        g_assert_cmpint(north_start(f->north), ==, 0);
        fake_monitor_accept(&f->monitor);
        fake_monitor_expect(&f->monitor, "gw-a@gateways null idle 0");
        fake_monitor_expect(&f->monitor, "gw-a@gateways null ready 0");
        g_assert_cmpint(north_get_monitor_state(f->north), ==, MONITOR_WAITING);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        north_free(f->north);
        north_monitor_free(f->alone);
        for (unsigned i = 0; i < 2; i++) {
                event_server_free(f->servers[i]);
                g_free(f->data[i]);
        }
        fake_monitor_done(&f->monitor);
        resolver_free(f->resolver);
        sd_event_unref(f->event);
        if (f->folder)
                g_assert_cmpint(rmdir(f->folder), ==, 0);
        g_free(f->folder);
        address_done(&f->config.event_server);
        g_free(f->told);
        g_string_free(trace, TRUE);
}

/* active: 0 none, else the event server of this id. The other component of our group is gw-b. */
static void send_state(Fixture *f, int64_t requested, int64_t token, unsigned active) {
        const MonitorEntry entries[] = {
                { .cid = 1, .name = "gw-a", .group = "gateways", .ready = true, .rank = 2, .requested = requested, .token = token },
                { .cid = 2, .name = "gw-b", .group = "gateways", .ready = true, .requested = token ? 0 : 50, .token = token ? 0 : 50 },
                { .cid = 3, .name = "e1", .group = "events", .requested = active == 1, .token = 1, .data = f->data[0] },
                { .cid = 4, .name = "e2", .group = "events", .requested = active == 2 ? 2 : 0, .token = 2, .data = f->data[1] },
        };

        fake_monitor_state(&f->monitor, 1, entries, ELEMENTSOF(entries));
}

static void bless(Fixture *f, unsigned active) {
        send_state(f, 7, 0, active);
        fake_monitor_expect(&f->monitor, "gw-a@gateways null ready 7");
        send_state(f, 7, 7, active);
        LOOP_UNTIL(f->event, north_get_monitor_state(f->north) == MONITOR_BLESSED);
}

static void wait_state(Fixture *f, NorthState state) {
        LOOP_UNTIL(f->event, north_get_state(f->north) == state);
}

static void work(Fixture *f, unsigned active) {
        bless(f, active);
        wait_state(f, NORTH_OPERATIONAL);
        g_string_truncate(trace, 0);
}

static uint64_t n_events(Fixture *f, unsigned id) {
        return event_server_get_counters(f->servers[id - 1]).events;
}

static uint64_t n_clients(Fixture *f, unsigned id) {
        return event_server_get_counters(f->servers[id - 1]).clients;
}

/* ---- working ----------------------------------------------------------------------------------------- */

static void test_bless(Fixture *f, gconstpointer unused) {
        bool known;

        send_state(f, 0, 0, 1);
        LOOP_UNTIL(f->event, streq(north_get_monitor_blessed(f->north), "gw-b"));
        g_assert_cmpint(north_get_monitor_rank(f->north, &known), ==, 2);
        g_assert_true(known);
        loop_settle(f->event);
        g_assert_cmpuint(n_clients(f, 1), ==, 0); /* not blessed: nothing is connected to */
        g_assert_cmpstr(north_get_address(f->north), ==, "");
        work(f, 1);
        g_assert_cmpstr(north_get_monitor_blessed(f->north), ==, "gw-a");
        g_assert_cmpstr(north_get_address(f->north), ==, event_server_get_address(f->servers[0]));
        send_state(f, 7, 7, 1);
        send_state(f, 7, 0, 1); /* a state from before */
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "");
}

/* Blessed before there is an event server, and when there is none any more. */
static void test_no_event_server(Fixture *f, gconstpointer unused) {
        bless(f, 0);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "");
        send_state(f, 7, 7, 2);
        wait_state(f, NORTH_OPERATIONAL);
        g_assert_cmpuint(n_clients(f, 2), ==, 1);
        send_state(f, 7, 7, 0);
        wait_state(f, NORTH_DISCONNECTED);
        g_assert_cmpstr(trace->str, ==, "connecting operational leave disconnected");
        g_assert_cmpint(north_get_monitor_state(f->north), ==, MONITOR_BLESSED);
        g_assert_cmpstr(north_get_address(f->north), ==, "");
}

/* To another event server: what is registered at the old one arrives there; no other delay. */
static void test_move(Fixture *f, gconstpointer unused) {
        uint64_t before;

        work(f, 1);
        before = n_events(f, 1);
        send_state(f, 7, 7, 2);
        LOOP_UNTIL(f->event, n_clients(f, 2) == 1);
        wait_state(f, NORTH_OPERATIONAL);
        g_assert_cmpstr(trace->str, ==, "leave disconnected connecting operational");
        g_assert_cmpuint(n_events(f, 1), >=, before + 2); /* ours, and that we are gone */
        g_assert_cmpstr(north_get_address(f->north), ==, event_server_get_address(f->servers[1]));
}

/* Away and back while the devices end: the newest counts, and the connection is made anew all the same. */
static void test_move_and_back(Fixture *f, gconstpointer unused) {
        work(f, 1);
        f->hold = true;
        send_state(f, 7, 7, 2);
        LOOP_UNTIL(f->event, north_is_leaving(f->north));
        send_state(f, 7, 7, 1);
        loop_settle(f->event);
        end_work(f);
        LOOP_UNTIL(f->event, strstr(trace->str, "operational"));
        g_assert_cmpstr(trace->str, ==, "leave disconnected connecting operational");
        g_assert_cmpuint(n_clients(f, 1), ==, 1);
        g_assert_cmpuint(n_clients(f, 2), ==, 0);
}

/* The event server goes: tried again after 0.5 s; another one that becomes active is tried at once. */
static void test_retry(Fixture *f, gconstpointer unused) {
        usec_t begin;

        work(f, 1);
        begin = now_usec(CLOCK_MONOTONIC);
        f->servers[0] = event_server_free(f->servers[0]);
        LOOP_UNTIL(f->event, strstr(trace->str, "connecting"));
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), >=, begin + NORTH_RECONNECT_USEC);
        wait_state(f, NORTH_DISCONNECTED);
        g_assert_cmpstr(trace->str, ==, "disconnected connecting disconnected");
        begin = now_usec(CLOCK_MONOTONIC);
        send_state(f, 7, 7, 2);
        wait_state(f, NORTH_OPERATIONAL);
        g_assert_cmpstr(trace->str, ==, "disconnected connecting disconnected leave connecting operational");
}

static unsigned count_captured(const Capture *c, const char *what) {
        char text[32768];
        ssize_t n = pread(c->read_fd, text, sizeof(text) - 1, 0);
        unsigned count = 0;

        g_assert_cmpint(n, >=, 0);
        text[n] = '\0';
        for (const char *at = text; (at = strstr(at, what)); at++)
                count++;
        return count;
}

/* Nobody is there, then one that wants another token, and so on: a new reason is a warning, but not for ever. */
static void test_reasons(Fixture *f, gconstpointer unused) {
        const EventServerOptions options = { .server_id = 9, .client_token = "theirs" };
        g_autofree char *text = NULL;
        EventServer *server = NULL;
        unsigned n_tries = 0;
        Capture log;

        log_set_max_level(LOG_DEBUG);
        log = capture_file();
        g_assert_cmpint(north_start(f->north), ==, 0);
        for (unsigned warnings = 1; warnings <= 1 + NORTH_REASONS_MAX; warnings++) {
                LOOP_UNTIL(f->event, count_captured(&log, "trying again") > n_tries);
                g_assert_cmpuint(count_captured(&log, "warning Event server unix:"), ==, warnings);
                n_tries++;
                server = server ? event_server_free(server) : server_new(f, options, &f->config.event_server);
        }
        LOOP_UNTIL(f->event, count_captured(&log, "trying again") > n_tries);
        g_assert_cmpuint(count_captured(&log, "warning Event server unix:"), ==, 1 + NORTH_REASONS_MAX);
        event_server_free(server);
        log_set_max_level(LOG_INFO);
        text = capture_end(&log);
        g_test_message("%s", text);
}

/* No descriptor is left to connect with: that is said once, and how long it lasted. */
static void test_no_descriptor(Fixture *f, gconstpointer unused) {
        g_autofree char *text = NULL;
        struct rlimit before, limit;
        Capture log;
        int lowest;

        bless(f, 0);
        log_set_max_level(LOG_DEBUG);
        log = capture_file();
        lowest = dup(STDERR_FILENO);
        g_assert_cmpint(lowest, >=, 0);
        (void) close(lowest);
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        limit = (struct rlimit) { .rlim_cur = (rlim_t) lowest, .rlim_max = before.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        send_state(f, 7, 7, 1);
        LOOP_UNTIL(f->event, count_captured(&log, "trying again") == 2);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
        wait_state(f, NORTH_OPERATIONAL);
        log_set_max_level(LOG_INFO);
        g_assert_cmpuint(count_captured(&log, "warning Event server "), ==, 1);
        g_assert_cmpuint(count_captured(&log, " again after "), ==, 1);
        text = capture_end(&log);
        g_test_message("%s", text);
}

/* ---- the blessing goes ------------------------------------------------------------------------------- */

/* The token is held until the devices have ended, what they said has left, and the connection is closed. */
static void test_withdrawn(Fixture *f, gconstpointer unused) {
        uint64_t before;

        work(f, 1);
        f->hold = true;
        before = n_events(f, 1);
        send_state(f, 0, 7, 1);
        LOOP_UNTIL(f->event, north_is_leaving(f->north));
        g_assert_cmpint(north_get_monitor_state(f->north), ==, MONITOR_WAITING);
        loop_settle(f->event);
        g_assert_false(fake_monitor_has_line(&f->monitor));
        end_work(f);
        g_assert_false(fake_monitor_has_line(&f->monitor));
        fake_monitor_expect(&f->monitor, "gw-a@gateways null ready 0");
        g_assert_cmpuint(n_events(f, 1), >=, before + 1);
        g_assert_cmpint(north_get_state(f->north), ==, NORTH_DISCONNECTED);
        g_assert_cmpstr(trace->str, ==, "leave disconnected");

        f->hold = false;
        send_state(f, 0, 0, 1);
        send_state(f, 9, 0, 1);
        fake_monitor_expect(&f->monitor, "gw-a@gateways null ready 9");
        send_state(f, 9, 9, 1);
        wait_state(f, NORTH_OPERATIONAL);
}

static void test_withdrawn_without_server(Fixture *f, gconstpointer unused) {
        bless(f, 0);
        send_state(f, 0, 7, 0);
        fake_monitor_expect(&f->monitor, "gw-a@gateways null ready 0");
        g_assert_cmpstr(trace->str, ==, "");
}

/* While it waits for the next try, a device may still be ending. */
static void test_withdrawn_while_retrying(Fixture *f, gconstpointer unused) {
        work(f, 1);
        f->hold = true;
        f->servers[0] = event_server_free(f->servers[0]);
        wait_state(f, NORTH_DISCONNECTED);
        send_state(f, 0, 7, 1);
        LOOP_UNTIL(f->event, north_is_leaving(f->north));
        loop_settle(f->event);
        g_assert_false(fake_monitor_has_line(&f->monitor));
        g_assert_cmpstr(f->told, ==, north_get_address(f->north));
        end_work(f);
        g_assert_cmpstr(f->told, ==, "");
        fake_monitor_expect(&f->monitor, "gw-a@gateways null ready 0");
        g_assert_cmpstr(trace->str, ==, "disconnected leave");
}

/* ---- ends -------------------------------------------------------------------------------------------- */

/* The event server first, the monitor last. */
static void test_close(Fixture *f, gconstpointer unused) {
        work(f, 1);
        north_close(f->north, USEC_PER_SEC);
        north_close(f->north, USEC_PER_SEC);
        fake_monitor_expect(&f->monitor, "gw-a@gateways null idle 7");
        g_assert_cmpstr(trace->str, ==, "disconnected");
        fake_monitor_expect(&f->monitor, "gw-a@gateways null idle 0");
        fake_monitor_expect_end(&f->monitor);
        LOOP_UNTIL(f->event, strstr(trace->str, "closed"));
        g_assert_cmpstr(trace->str, ==, "disconnected closed");
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "disconnected closed");
}

static void test_close_while_waiting(Fixture *f, gconstpointer unused) {
        north_close(f->north, USEC_PER_SEC);
        g_assert_cmpstr(trace->str, ==, "");
        fake_monitor_expect(&f->monitor, "gw-a@gateways null idle 0");
        LOOP_UNTIL(f->event, trace->len > 0);
        g_assert_cmpstr(trace->str, ==, "closed");
}

static void test_lost(Fixture *f, gconstpointer unused) {
        work(f, 1);
        f->monitor.fd = safe_close(f->monitor.fd);
        LOOP_UNTIL(f->event, trace->len > 0);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "lost");
        g_assert_nonnull(north_get_client(f->north)); /* for running false */
        g_assert_cmpint(north_get_monitor_state(f->north), ==, MONITOR_CONNECTING);
        north_close(f->north, USEC_PER_SEC);
        LOOP_UNTIL(f->event, strstr(trace->str, "closed"));
        g_assert_cmpstr(trace->str, ==, "lost disconnected closed");
}

/* The monitor asks us to close: its connection is held until the work has ended. */
static void test_asked_to_close(Fixture *f, gconstpointer unused) {
        work(f, 1);
        fake_monitor_send(&f->monitor, "HatObserver.MsgClose", NULL, 0);
        LOOP_UNTIL(f->event, trace->len > 0);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "lost");
        g_assert_false(fake_monitor_has_ended(&f->monitor));
        north_close(f->north, USEC_PER_SEC);
        fake_monitor_expect(&f->monitor, "gw-a@gateways null idle 7");
        g_assert_cmpint(north_get_state(f->north), ==, NORTH_DISCONNECTED);
        LOOP_UNTIL(f->event, strstr(trace->str, "closed"));
        g_assert_cmpstr(trace->str, ==, "lost disconnected closed");
}

/* Nothing is connected to any more. */
static void test_lost_and_server_too(Fixture *f, gconstpointer unused) {
        usec_t begin;

        work(f, 1);
        f->monitor.fd = safe_close(f->monitor.fd);
        f->servers[0] = event_server_free(f->servers[0]);
        LOOP_UNTIL(f->event, strstr(trace->str, "lost") && strstr(trace->str, "disconnected"));
        begin = now_usec(CLOCK_MONOTONIC);
        while (now_usec(CLOCK_MONOTONIC) < begin + NORTH_RECONNECT_USEC + NORTH_RECONNECT_USEC / 5)
                g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC / 10), >=, 0);
        g_assert_null(strstr(trace->str, "connecting"));
        north_close(f->north, USEC_PER_SEC);
        LOOP_UNTIL(f->event, strstr(trace->str, "closed"));
}

/* ---- the part below ---------------------------------------------------------------------------------- */

#define LATE_USEC (2 * USEC_PER_SEC)

static void on_alone_changed(void *userdata) {
        note("changed");
}

static void on_alone_lost(NorthMonitorLoss loss, void *userdata) {
        note(loss == NORTH_MONITOR_FROZEN ? "frozen" : "gone");
}

static const NorthMonitorHandler alone_handler = {
        .changed = on_alone_changed, .lost = on_alone_lost, .closed = on_closed,
};

static void start_alone(Fixture *f, const MonitorClientOptions *times) {
        g_assert_cmpint(north_monitor_new(f->event, f->resolver, &f->config, times, &alone_handler, f, &f->alone), ==, 0);
        g_assert_cmpint(north_monitor_start(f->alone), ==, 0);
}

static int on_freeze(sd_event_source *s, void *userdata) {
        g_usleep(LATE_USEC + LATE_USEC / 2);
        return 0;
}

static void test_frozen(Fixture *f, gconstpointer unused) {
        start_alone(f, &(MonitorClientOptions) { .late = LATE_USEC });
        fake_monitor_accept(&f->monitor);
        fake_monitor_expect(&f->monitor, "gw-a@gateways null idle 0");
        fake_monitor_expect(&f->monitor, "gw-a@gateways null ready 0");
        g_assert_cmpint(sd_event_add_defer(f->event, NULL, on_freeze, NULL), >=, 0);
        LOOP_UNTIL(f->event, strstr(trace->str, "frozen"));
        g_assert_cmpstr(trace->str, ==, "changed frozen");
        north_monitor_close(f->alone, USEC_PER_SEC);
        LOOP_UNTIL(f->event, strstr(trace->str, "closed"));
        g_assert_cmpstr(trace->str, ==, "changed frozen closed");
}

/* The first connect fails. */
static void test_unreachable(Fixture *f, gconstpointer unused) {
        f->monitor.listener = safe_close(f->monitor.listener);
        start_alone(f, NULL);
        LOOP_UNTIL(f->event, trace->len > 0);
        g_assert_cmpstr(trace->str, ==, "gone");
        g_assert_cmpint(north_monitor_get_state(f->alone), ==, MONITOR_CONNECTING);
        north_monitor_close(f->alone, USEC_PER_SEC);
        g_assert_cmpstr(trace->str, ==, "gone");
        LOOP_UNTIL(f->event, strstr(trace->str, "closed"));
}

/* Repeated states say nothing. */
static void test_repeated(Fixture *f, gconstpointer unused) {
        start_alone(f, NULL);
        fake_monitor_accept(&f->monitor);
        send_state(f, 0, 0, 1);
        LOOP_UNTIL(f->event, streq(north_monitor_get_blessed(f->alone), "gw-b"));
        g_string_truncate(trace, 0);
        for (int i = 0; i < 5; i++)
                send_state(f, 0, 0, 1);
        send_state(f, 0, 0, 2);
        LOOP_UNTIL(f->event, trace->len > 0);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "changed");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/north/" name, Fixture, NULL, set_up_north, func, tear_down)
#define ADD_ALONE(name, func) g_test_add("/north/monitor/" name, Fixture, NULL, set_up, func, tear_down)
        ADD("bless", test_bless);
        ADD("no-event-server", test_no_event_server);
        ADD("move", test_move);
        ADD("move-and-back", test_move_and_back);
        ADD("retry", test_retry);
        g_test_add("/north/reasons", Fixture, NULL, set_up_fixed, test_reasons, tear_down);
        ADD("no-descriptor", test_no_descriptor);
        ADD("withdrawn", test_withdrawn);
        ADD("withdrawn/without-server", test_withdrawn_without_server);
        ADD("withdrawn/while-retrying", test_withdrawn_while_retrying);
        ADD("close", test_close);
        ADD("close/while-waiting", test_close_while_waiting);
        ADD("lost", test_lost);
        ADD("lost/asked-to-close", test_asked_to_close);
        ADD("lost/and-server-too", test_lost_and_server_too);
        ADD_ALONE("frozen", test_frozen);
        ADD_ALONE("unreachable", test_unreachable);
        ADD_ALONE("repeated", test_repeated);
        return g_test_run();
}
