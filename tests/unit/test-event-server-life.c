/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the embedded event server: trouble with the disk, start and end, addresses, the gateway's own client. */

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/bounds.h"
#include "event/client.h"
#include "tests/unit/capture.h"
#include "tests/unit/event-server-fixture.h"
#include "tests/unit/fake-disk.h"
#include "tests/unit/full-disk.h"
#include "tests/unit/moved-clock.h"

/* ---- trouble ----------------------------------------------------------------------------------------- */

static void test_full_disk(Fixture *f, gconstpointer data) {
        RawClient *watch = client(f, "watch", "x/*"), *c = client(f, "c", NULL);

        raw_client_register(c, true, "x/1");
        raw_client_expect(c, "registered 1");
        raw_client_expect(watch, "events 4:1 x/1");
        g_assert_null(event_server_get_trouble(f->server));

        full_disk(true);
        raw_client_register(c, true, "x/2");
        raw_client_register(c, false, "x/3");
        raw_client_register(c, true);
        raw_client_register(c, true, "x/4");
        raw_client_expect(c, "failure");
        raw_client_expect(c, "registered 0");
        raw_client_expect(c, "failure");
        raw_client_expect(watch, "events 6:1 x/3");
        g_assert_nonnull(event_server_get_trouble(f->server));
        LOOP_UNTIL(f->event, f->n_changed == 1);
        raw_client_register(c, true, "x/5");
        raw_client_expect(c, "failure");
        raw_client_register(c, false, "x/6");
        LOOP_UNTIL(f->event, raw_client_has_line(watch));
        g_assert_true(g_str_has_suffix(watch->lines->pdata[0], ":1 x/6"));
        g_ptr_array_remove_index(watch->lines, 0);

        full_disk(false);
        LOOP_UNTIL(f->event, f->n_changed == 2);
        g_assert_null(event_server_get_trouble(f->server));
        raw_client_register(c, true, "x/7");
        raw_client_expect(c, "registered 1");
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST });
        raw_client_expect(c, "result 7"); /* engine, two clients, x/1, 3, 6, 7 */
        g_assert_cmpuint(event_server_get_counters(f->server).dropped, ==, 0);
}

/* Of what waits for the disk the oldest goes, and is counted. */
static void test_lost(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", NULL);

        full_disk(true);
        raw_client_register(c, true, "x");
        raw_client_expect(c, "failure");
        g_assert_cmpuint(event_server_get_counters(f->server).dropped, ==, 0);
        for (size_t size = 0; size <= STORAGE_KEPT_MAX; size += 100000)
                register_bytes(c, 100000);
        LOOP_UNTIL(f->event, event_server_get_counters(f->server).dropped > 0);
        full_disk(false);
        LOOP_UNTIL(f->event, !event_server_get_trouble(f->server));
        g_assert_cmpuint(event_server_get_counters(f->server).dropped, <, 5);
}

/* While the disk is slow nobody is read. Who registers, and goes, has registered all the same. */
static void test_gone_while_congested(Fixture *f, gconstpointer data) {
        RawClient *watch = client(f, "watch", "last/*"), *busy = client(f, "busy", NULL),
                  *at_once = client(f, "at-once", NULL), *later = client(f, "later", NULL);
        size_t n_clients = event_server_get_counters(f->server).clients;

        slow_disk(true);
        raw_client_register(busy, true, "x"); /* what comes behind it waits for its commit */
        for (size_t size = 0; size <= STORAGE_QUEUE_MAX; size += 100000)
                register_bytes(busy, 100000);
        loop_settle(f->event); /* all is read, and is too much */

        raw_client_register(at_once, false, "last/1");
        raw_client_done(at_once);
        raw_client_register(later, false, "last/2");
        loop_settle(f->event);
        raw_client_done(later);
        loop_settle(f->event);
        g_assert_false(raw_client_has_line(watch));
        g_assert_cmpuint(event_server_get_counters(f->server).clients, ==, n_clients);

        slow_disk(false);
        LOOP_UNTIL(f->event, event_server_get_counters(f->server).clients == n_clients - 2);
        LOOP_UNTIL(f->event, raw_client_has_line(watch) && watch->lines->len == 2);
        raw_client_query(watch, &(EventerQuery) { .kind = QUERY_LATEST });
        LOOP_UNTIL(f->event, raw_client_has_line(watch) && watch->lines->len == 3);
        g_assert_cmpstr(watch->lines->pdata[2], ==, "result 8"); /* engine, four clients, x, last/1, last/2 */
}

static void test_corrupt(Fixture *f, gconstpointer data) {
        EventServer *server = NULL;
        g_autofree char *text = NULL;

        stop(f);
        g_assert_true(g_file_set_contents(f->path, "this is no database at all, whatever it may look like", -1, NULL));
        g_assert_cmpint(event_server_new(f->event, &f->options, NULL, NULL, &server), ==, -EUCLEAN);
        g_assert_true(g_file_get_contents(f->path, &text, NULL, NULL));
        g_assert_true(g_str_has_prefix(text, "this is"));
        f->options.set_aside = true;
        start(f);
        raw_client_query_all(client(f, "c", NULL));
        raw_client_expect(f->clients, "result 2");
}

/* What the disk does not take to the end is lost, and is said to be. */
static void test_full_at_the_end(Fixture *f, gconstpointer data) {
        g_autofree char *log = NULL;
        RawClient *c = client(f, "c", NULL);
        Capture capture;

        raw_client_register(c, true, "x");
        raw_client_expect(c, "registered 1");
        read_only_disk(DISK_READ_ONLY);
        raw_client_register(c, true, "x");
        raw_client_expect(c, "failure");
        raw_client_register(c, false, "y");
        raw_client_register(c, false, "z");
        raw_client_register(c, true);
        raw_client_expect(c, "registered 0");

        capture = capture_file();
        stop(f);
        log = capture_end(&capture);
        read_only_disk(DISK_WRITABLE);
        g_assert_cmpuint(
                        count_lines(log, "did not take the last 2 registrations, which are lost: Read-only"),
                        ==, 1);
        g_assert_cmpuint(count_lines(log, "\n"), ==, 1);
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Numbers and times go on; what was registered is there, answered or not. */
static void test_restart(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", "x");

        raw_client_register(c, true, "x");
        raw_client_register(c, false, "y");
        raw_client_register(c, false, "x");
        raw_client_expect(c, "events 3:1 x");
        raw_client_expect(c, "registered 1");
        raw_client_expect(c, "events 5:1 x");
        stop(f);
        raw_client_expect_end(c);

        start(f);
        c = client(f, "c", "x");
        raw_client_query_all(c);
        raw_client_expect(c, "result 7");
        raw_client_register(c, true, "x");
        raw_client_expect(c, "events 8:1 x"); /* behind the engine's and its own */
        raw_client_expect(c, "registered 1");
}

static void test_initial(Fixture *f, gconstpointer data) {
        const Subtype x = SUBTYPE("x"), y = SUBTYPE("y");
        const EventServerInitial initial[] = { { .type = { &x, 1 }, .payload = JSON_LITERAL("true") },
                                               { .type = { &y, 1 } } };
        RawClient *c;

        stop(f);
        g_assert_cmpint(unlink(f->path), ==, 0);
        start(f);
        g_assert_cmpint(event_server_register_initial(f->server, initial, 1), ==, 0);
        g_assert_cmpint(event_server_register_initial(f->server, initial, 0), ==, 0);
        c = client(f, "c", "*");
        raw_client_query_all(c);
        raw_client_expect(c, "result 3");
        raw_client_register(c, true, "x=false");
        raw_client_expect(c, "events 4:1 x=false");
        raw_client_expect(c, "registered 1");

        stop(f);
        start(f);
        g_assert_cmpint(event_server_register_initial(f->server, initial, 2), ==, 0);
        c = client(f, "c", NULL);
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST });
        raw_client_expect(c, "result 4"); /* engine, client, x, y */
        raw_client_query_all(c);
        raw_client_expect(c, "result 7");
}

static void test_stop(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", "*"), *p = client_new(f);

        client_init(p, "p", "event/?/engine", true);
        raw_client_expect(p, "init operational");
        raw_client_expect(p, "events 1:1 event/1/engine=\"STARTED\"");
        raw_client_expect(c, "events 3:1 event/1/eventer/p=\"CONNECTED\"");
        raw_client_register(c, true, "x");
        raw_client_expect(c, "events 4:1 x");
        raw_client_expect(c, "registered 1");

        event_server_stop(f->server, LOOP_LIMIT_USEC, on_stopped, f);
        g_assert_cmpuint(f->n_stopped, ==, 0);
        raw_client_register(c, true, "late");
        raw_client_expect(c, "status stopping");
        raw_client_expect(c, "events 5:1 event/1/engine=\"STOPPED\"");
        raw_client_expect(p, "status stopping");
        raw_client_expect(p, "events 5:1 event/1/engine=\"STOPPED\"");
        LOOP_UNTIL(f->event, raw_client_has_ended(c) && raw_client_has_ended(p));
        LOOP_UNTIL(f->event, f->n_stopped == 1);
        g_assert_cmpint(access(f->socket, F_OK), ==, -1);
        stop(f);

        start(f);
        c = client(f, "c", NULL);
        raw_client_query_all(c);
        raw_client_expect(c, "result 7");
}

/* Under load, and the owner frees it in the call. */
static void on_stopped_free(void *userdata) {
        Fixture *f = userdata;

        f->n_stopped++;
        stop(f);
}

static void test_stop_under_load(Fixture *f, gconstpointer data) {
        RawClient *a = client(f, "a", "x"), *b = client(f, "b", NULL), *mute = client(f, "mute", "*");
        unsigned n_registered = 0, n_seen;

        mute->mute = true;
        for (size_t i = 0; i < 300; i++) {
                raw_client_register(a, i % 3 == 0, "x");
                raw_client_register(b, true, "x", "x");
                if (i % 10 == 0)
                        raw_client_query_all(b);
                register_bytes(b, 10000);
        }
        event_server_stop(f->server, 2 * USEC_PER_SEC, on_stopped_free, f); /* the mute one takes all of it */
        LOOP_UNTIL(f->event, ({
                           raw_client_read(a);
                           raw_client_read(b);
                           f->n_stopped == 1;
                   }));
        LOOP_UNTIL(f->event, raw_client_has_ended(a) && raw_client_has_ended(b));
        for (size_t i = 0; i < a->lines->len; i++)
                n_registered += g_str_equal(a->lines->pdata[i], "registered 1");
        for (size_t i = 0; i < b->lines->len; i++)
                n_registered += 2 * (unsigned) g_str_equal(b->lines->pdata[i], "registered 2");

        /* What was answered is there. */
        start(f);
        a = client(f, "again", NULL);
        raw_client_query_all(a);
        LOOP_UNTIL(f->event, raw_client_has_line(a));
        g_assert_cmpint(sscanf(a->lines->pdata[0], "result %u", &n_seen), ==, 1);
        g_assert_cmpuint(n_seen, >=, n_registered);
}

/* A client that takes nothing does not hold up the end for longer than it may. */
static void test_stop_limit(Fixture *f, gconstpointer data) {
        RawClient *mute = client(f, "mute", "x"), *c = client(f, "c", NULL);
        usec_t begin;

        mute->mute = true;
        for (size_t i = 0; i < 20; i++)
                register_bytes(c, 100000);
        raw_client_register(c, true);
        raw_client_expect(c, "registered 0");
        begin = now_usec(CLOCK_MONOTONIC);
        event_server_stop(f->server, 300 * USEC_PER_MSEC, on_stopped, f);
        LOOP_UNTIL(f->event, f->n_stopped == 1);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, >=, 300 * USEC_PER_MSEC);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_stopped, ==, 1);
}

static void test_stop_full_disk(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", NULL);

        full_disk(true);
        raw_client_register(c, true, "x");
        raw_client_expect(c, "failure");
        event_server_stop(f->server, 10 * LOOP_LIMIT_USEC, on_stopped, f); /* it does not wait for that */
        LOOP_UNTIL(f->event, f->n_stopped == 1);
        full_disk(false);
}

/* ---- addresses --------------------------------------------------------------------------------------- */

static bool can_connect(int family, uint16_t port) {
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
        struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port) };
        _cleanup_(safe_closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return fd >= 0 && connect(fd, family == AF_INET ? (struct sockaddr *) &sin : (struct sockaddr *) &sin6,
                                  family == AF_INET ? sizeof(sin) : sizeof(sin6)) == 0;
}

static bool has_ipv6(void) {
        struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        _cleanup_(safe_closep) int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return fd >= 0 && bind(fd, (struct sockaddr *) &sin6, sizeof(sin6)) == 0;
}

static void test_localhost(Fixture *f, gconstpointer data) {
        const Address address = { .kind = ADDRESS_TCP, .host = (char *) "localhost" };
        Address bound;

        stop(f);
        g_assert_cmpint(event_server_new(f->event, &f->options, NULL, NULL, &f->server), ==, 0);
        g_assert_cmpstr(event_server_get_address(f->server), ==, "");
        g_assert_cmpint(event_server_listen(f->server, &address), ==, 0);
        g_assert_cmpint(address_parse(event_server_get_address(f->server), &bound), ==, 0);
        g_assert_cmpint(bound.kind, ==, ADDRESS_TCP);
        g_assert_true(can_connect(AF_INET, bound.port));
        g_assert_cmpint(can_connect(AF_INET6, bound.port), ==, has_ipv6());
        address_done(&bound);
}

static void test_addresses(Fixture *f, gconstpointer data) {
        const Address name = { .kind = ADDRESS_TCP, .host = (char *) "example.invalid" },
                      again = { .kind = ADDRESS_UNIX, .path = f->socket },
                      tcp = { .kind = ADDRESS_TCP, .host = (char *) "127.0.0.1" };
        g_autofree char *expected = g_strconcat("unix:", f->socket, NULL),
                        *path = g_build_filename(f->folder, "passed.sock", NULL);
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        RawClient c;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_assert_cmpint(event_server_listen(f->server, &name), ==, -ENXIO);
        g_assert_cmpint(event_server_listen(f->server, &again), ==, -EADDRINUSE);
        g_assert_cmpint(event_server_listen(f->server, &tcp), ==, 0);
        g_assert_cmpstr(event_server_get_address(f->server), ==, expected);

        (void) g_strlcpy(sun.sun_path, path, sizeof(sun.sun_path));
        g_assert_cmpint(bind(fd, (struct sockaddr *) &sun, sizeof(sun)), ==, 0);
        g_assert_cmpint(listen(fd, 5), ==, 0);
        g_assert_cmpint(event_server_listen_fd(f->server, fd), ==, 0);
        raw_client_connect(&c, f->event, path);
        client_init(&c, "passed", NULL, false);
        raw_client_expect(&c, "init operational");
        raw_client_done(&c);
        safe_close(fd);
}

/* ---- the gateway's own client ------------------------------------------------------------------------ */

typedef struct Own {
        EventClient *client;
        bool connected, closed, answered;
        EventerStatus status;
        unsigned n_events;
        int error;
} Own;

static void own_connected(EventClient *c, EventerStatus status, void *userdata) {
        Own *o = userdata;

        o->connected = true;
        o->status = status;
}

static void own_status(EventClient *c, EventerStatus status, void *userdata) {
        Own *o = userdata;

        o->status = status;
}

static void own_events(EventClient *c, const Event *events, size_t n, void *userdata) {
        Own *o = userdata;

        o->n_events += (unsigned) n;
}

static void own_closed(EventClient *c, int error, const char *detail, void *userdata) {
        Own *o = userdata;

        o->closed = true;
}

static void own_answer(int error, const Event *events, size_t n, bool more_follows, void *userdata) {
        Own *o = userdata;

        o->answered = true;
        o->error = error;
}

static const Subtype own_subtypes[] = { SUBTYPE("x"), SUBTYPE("*") };
static const EventType own_prefix = { own_subtypes, 1 };

static void own_start(Own *own, Fixture *f) {
        static const EventClientHandler handler = { .connected = own_connected,
                                                    .status = own_status,
                                                    .events = own_events,
                                                    .closed = own_closed };
        static const EventType subscription = { own_subtypes, 2 };
        static const EventerInit init = { .client_name = "gateway", .subscriptions = &subscription, .n_subscriptions = 1 };
        int fd;

        g_assert_cmpint(event_server_connect(f->server, &fd), ==, 0);
        g_assert_cmpint(event_client_new_fd(f->event, fd, &init, &handler, own, &own->client), ==, 0);
        LOOP_UNTIL(f->event, own->connected);
        g_assert_cmpint(own->status, ==, EVENTER_OPERATIONAL);
}

/* A hundred events, as devices register them. */
static void own_register(Own *own) {
        for (size_t i = 0; i < 100; i++)
                event_client_register(own->client, own_prefix, (const char *const[]) { "device", NULL }, NULL, NULL);
}

static void test_own_client(Fixture *f, gconstpointer data) {
        Own own = { 0 };
        EventRequest *request;
        int fd;

        own_start(&own, f);
        own_register(&own);
        g_assert_cmpint(event_client_request_register(own.client, own_prefix, (const char *const[]) { "z", NULL }, NULL, NULL,
                                                      own_answer, &own, &request),
                        ==, 0);
        LOOP_UNTIL(f->event, own.answered);
        g_assert_cmpint(own.error, ==, 0);
        g_assert_cmpuint(own.n_events, ==, 101);

        event_server_stop(f->server, LOOP_LIMIT_USEC, on_stopped, f);
        g_assert_cmpint(event_server_connect(f->server, &fd), ==, -ESHUTDOWN);
        LOOP_UNTIL(f->event, own.closed && f->n_stopped == 1);
        g_assert_cmpint(own.status, ==, EVENTER_STOPPING);
        own.client = event_client_free(own.client);
}

/* ---- a disk that becomes read-only ------------------------------------------------------------------- */

/* Everything that came, in the order of its numbers. Returns the greatest. */
static int64_t check_numbers(const RawClient *watch) {
        int64_t last = 0, session;

        for (size_t i = 0; i < watch->lines->len; i++) {
                g_assert_cmpint(sscanf(watch->lines->pdata[i], "events %" SCNd64 ":1 ", &session), ==, 1);
                g_assert_cmpint(session, >, last);
                g_assert_null(strstr(watch->lines->pdata[i], "failed"));
                last = session;
        }
        return last;
}

/* Under way when it happens: one that is to be synced, and one behind it. What the devices register is not lost. */
static void test_read_only(Fixture *f, gconstpointer data) {
        RawClient *watch = client(f, "watch", "x/*"), *c = client(f, "c", NULL);
        RawClient *again;
        g_autofree char *log = NULL;
        Own own = { 0 };
        Capture capture;

        own_start(&own, f);
        raw_client_register(c, true, "x/before");
        raw_client_expect(c, "registered 1");

        capture = capture_file();
        slow_disk(true);
        raw_client_register(c, true, "x/failed");
        loop_settle(f->event);
        raw_client_register(c, true, "x/failed");
        loop_settle(f->event);
        read_only_disk((FakeDiskState) GPOINTER_TO_UINT(data));
        slow_disk(false);
        raw_client_expect(c, "failure");
        raw_client_expect(c, "failure");
        LOOP_UNTIL(f->event, f->n_changed == 1);
        g_assert_nonnull(event_server_get_trouble(f->server));

        own_register(&own);
        LOOP_UNTIL(f->event, own.n_events == 101); /* and x/before */
        for (unsigned i = 0; i < 5; i++) { /* longer than until another line might be written */
                unsigned n_refused = read_only_disk_refused();

                clock_move(EVENT_SERVER_LINES_USEC / 4);
                raw_client_register(watch, false); /* it lives */
                raw_client_register(c, true, "x/failed");
                raw_client_expect(c, "failure");
                LOOP_UNTIL(f->event, read_only_disk_refused() > n_refused);
                raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST });
                raw_client_expect(c, "result 5"); /* engine, three clients, x/before */
        }
        g_assert_cmpuint(f->n_changed, ==, 1);

        read_only_disk(DISK_WRITABLE);
        clock_move(STORAGE_RETRY_USEC);
        LOOP_UNTIL(f->event, f->n_changed == 2);
        g_assert_null(event_server_get_trouble(f->server));
        raw_client_register(c, true, "x/after");
        raw_client_expect(c, "registered 1");
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST });
        raw_client_expect(c, "result 7"); /* x/device, x/after */
        raw_client_query_all(c);
        raw_client_expect(c, "result 106");
        LOOP_UNTIL(f->event, own.n_events == 102);
        g_assert_cmpuint(event_server_get_counters(f->server).dropped, ==, 0);
        g_assert_cmpuint(event_server_get_counters(f->server).cut, ==, 0);

        log = capture_end(&capture);
        g_assert_cmpuint(count_lines(log, "takes no events: Read-only file system."), ==, 1);
        g_assert_cmpuint(count_lines(log, "takes events again."), ==, 1);
        g_assert_cmpuint(count_lines(log, "\n"), ==, 2);

        own.client = event_client_free(own.client);
        stop(f);
        start(f);
        again = client(f, "again", "x");
        raw_client_query_all(again);
        raw_client_expect(again, "result 108");
        raw_client_register(again, false, "x");
        LOOP_UNTIL(f->event, raw_client_has_line(again));
        raw_client_read(watch);
        g_assert_cmpint(check_numbers(again), >, check_numbers(watch));
}

/* It ends as ever, with status and all; what was acknowledged is there when it starts again, and nothing that failed. */
static void test_stop_read_only(Fixture *f, gconstpointer data) {
        static const Subtype subtypes[] = { SUBTYPE("x"), SUBTYPE("?") };
        static const EventType both = { subtypes, 2 };
        RawClient *c = client(f, "c", NULL);

        raw_client_register(c, true, "x/before");
        raw_client_expect(c, "registered 1");
        read_only_disk((FakeDiskState) GPOINTER_TO_UINT(data));
        raw_client_register(c, true, "x/failed");
        raw_client_expect(c, "failure");
        event_server_stop(f->server, 10 * LOOP_LIMIT_USEC, on_stopped, f);
        LOOP_UNTIL(f->event, f->n_stopped == 1);
        stop(f);

        read_only_disk(DISK_WRITABLE);
        start(f);
        c = client(f, "c", NULL);
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST, .types = &both, .n_types = 1 });
        raw_client_expect(c, "result 1");
}

static void on_exported(int error, const char *detail, void *userdata) {
        int *result = userdata;

        *result = error;
}

static void test_export(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->folder, "copy.db", NULL);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), result = 1;

        g_assert_cmpint(event_server_export(f->server, fd, on_exported, &result), ==, 0);
        safe_close(fd);
        LOOP_UNTIL(f->event, result <= 0);
        g_assert_cmpint(result, ==, 0);
        stop(f);
        f->options.store.path = path;
        start(f);
        raw_client_query_all(client(f, "c", NULL));
        LOOP_UNTIL(f->event, raw_client_has_line(f->clients));
}

/* A copy over the database that is open would be the end of it, and one in the place of the copy that is made first is removed with that. */
static void test_export_itself(Fixture *f, gconstpointer data) {
        static const char *const suffixes[] = { "", "-wal", "-export", ".link" };
        g_autofree char *other = g_strconcat(f->path, ".link", NULL);
        RawClient *c = client(f, "c", NULL);
        int result = 1;

        raw_client_register(c, true, "x");
        raw_client_expect(c, "registered 1");
        g_assert_cmpint(link(f->path, other), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                g_autofree char *path = g_strconcat(f->path, suffixes[i], NULL);
                _cleanup_(safe_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

                g_assert_cmpint(fd, >=, 0);
                g_assert_cmpint(event_server_export(f->server, fd, on_exported, &result), ==, -ETXTBSY);
        }
        (void) loop_settle(f->event);
        g_assert_cmpint(result, ==, 1);
        raw_client_query_all(c);
        raw_client_expect(c, "result 3");
}

#define ADD_READ_ONLY(name, func, state) \
        g_test_add("/event-server/" name, Fixture, GUINT_TO_POINTER(state), fixture_setup, func, fixture_teardown)

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        ADD("full-disk", test_full_disk);
        ADD("lost", test_lost);
        ADD("full-at-the-end", test_full_at_the_end);
        ADD("gone-while-congested", test_gone_while_congested);
        ADD("corrupt", test_corrupt);
        ADD("restart", test_restart);
        ADD("initial", test_initial);
        ADD("stop", test_stop);
        ADD("stop-under-load", test_stop_under_load);
        ADD("stop-limit", test_stop_limit);
        ADD("stop-full-disk", test_stop_full_disk);
        ADD("localhost", test_localhost);
        ADD("addresses", test_addresses);
        ADD("own-client", test_own_client);
        ADD_READ_ONLY("read-only", test_read_only, DISK_READ_ONLY);
        ADD_READ_ONLY("read-only-late", test_read_only, DISK_READ_ONLY_LATE);
        ADD_READ_ONLY("stop-read-only", test_stop_read_only, DISK_READ_ONLY);
        ADD_READ_ONLY("stop-read-only-late", test_stop_read_only, DISK_READ_ONLY_LATE);
        ADD("export", test_export);
        ADD("export-itself", test_export_itself);
        return g_test_run();
}
