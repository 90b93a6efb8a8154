/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded event server as its clients see it: over real sockets, with a real database, all in one loop. */

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/bounds.h"
#include "event/client.h"
#include "event/server/server.h"
#include "tests/unit/full-disk.h"
#include "tests/unit/raw-client.h"

#define CLIENTS_MAX 8U

typedef struct Fixture {
        sd_event *event;
        char *folder, *path, *socket;
        EventServerOptions options;
        EventServer *server;
        unsigned n_changed, n_stopped;
        RawClient clients[CLIENTS_MAX];
        size_t n_clients;
} Fixture;

static void on_changed(void *userdata) {
        Fixture *f = userdata;

        f->n_changed++;
}

static void on_stopped(void *userdata) {
        Fixture *f = userdata;

        f->n_stopped++;
}

static void start(Fixture *f) {
        static const EventServerHandler handler = { .changed = on_changed };
        const Address address = { .kind = ADDRESS_UNIX, .path = f->socket };

        g_assert_cmpint(event_server_new(f->event, &f->options, &handler, f, &f->server), ==, 0);
        g_assert_cmpint(event_server_listen(f->server, &address), ==, 0);
}

static void stop(Fixture *f) {
        f->server = event_server_free(f->server);
}

static void fixture_setup(Fixture *f, gconstpointer data) {
        f->event = loop_new();
        f->folder = g_dir_make_tmp("event-server-XXXXXX", NULL);
        f->path = g_build_filename(f->folder, "events.db", NULL);
        f->socket = g_build_filename(f->folder, "eventer.sock", NULL);
        f->options = (EventServerOptions) {
                .server_id = 1,
                .store = { .path = f->path, .max_age = USEC_INFINITY, .max_events = -1, .max_bytes = -1 },
        };
        start(f);
}

static void remove_all(const char *folder) {
        GDir *dir = g_dir_open(folder, 0, NULL);
        const char *name;

        while ((name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder, name, NULL);

                (void) unlink(path);
        }
        g_dir_close(dir);
        g_assert_cmpint(rmdir(folder), ==, 0);
}

static void fixture_teardown(Fixture *f, gconstpointer data) {
        for (size_t i = 0; i < f->n_clients; i++)
                raw_client_done(f->clients + i);
        stop(f);
        f->event = sd_event_unref(f->event);
        remove_all(f->folder);
        g_free(f->folder);
        g_free(f->path);
        g_free(f->socket);
}

/* ---- clients ------------------------------------------------------------------------------------------------------ */

static RawClient *client_new(Fixture *f) {
        RawClient *c = f->clients + f->n_clients++;

        g_assert_cmpuint(f->n_clients, <=, CLIENTS_MAX);
        raw_client_connect(c, f->event, f->socket);
        return c;
}

/* subscription: NULL: none. */
static void client_init(RawClient *c, const char *name, const char *subscription, bool persisted) {
        g_auto(GStrv) parts = g_strsplit(subscription ?: "", "/", -1);
        Subtype subtypes[16];
        EventType type = raw_type(subscription, parts, subtypes);
        EventerInit init = raw_init(name, subscription ? &type : NULL);

        init.persisted = persisted;
        raw_client_init_request(c, &init);
}

static RawClient *client(Fixture *f, const char *name, const char *subscription) {
        RawClient *c = client_new(f);

        client_init(c, name, subscription, false);
        raw_client_expect(c, "init operational");
        return c;
}

/* ---- handshake ---------------------------------------------------------------------------------------------------- */

/* Others hear of a client, it does not hear of itself; names hold what they like. */
static void test_connected(Fixture *f, gconstpointer data) {
        RawClient *watch = client(f, "watch", "event/*"), *other;

        other = client(f, "x/y", "event/*");
        raw_client_expect(watch, "events 3:1 event/1/eventer/x\\/y=\"CONNECTED\"");
        g_assert_cmpuint(event_server_get_counters(f->server).clients, ==, 2);
        raw_client_done(other);
        raw_client_expect(watch, "events 4:1 event/1/eventer/x\\/y=\"DISCONNECTED\"");
        raw_client_query_all(watch);
        raw_client_expect(watch, "result 4"); /* also the engine's and its own */
        g_assert_cmpuint(event_server_get_counters(f->server).clients, ==, 1);
}

/* Clients leave the low numbers to those who must have one. */
static void test_descriptors(Fixture *f, gconstpointer data) {
        struct rlimit limit;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        g_assert_cmpuint(limit.rlim_cur, >=, MIN(limit.rlim_max, EVENT_SERVER_CLIENTS_MAX + FD_SETSIZE));
        (void) client(f, "c", NULL);
        if (limit.rlim_cur > FD_SETSIZE)
                g_assert_cmpint(fcntl(FD_SETSIZE, F_GETFD), >=, 0);
}

static void test_token(Fixture *f, gconstpointer data) {
        const EventerInit with = { .client_name = "a", .client_token = "x" };
        RawClient *c = client_new(f);

        raw_client_init_request(c, &with);
        raw_client_expect(c, "refused invalid client token");
        raw_client_expect_end(c);
        g_assert_cmpuint(event_server_get_counters(f->server).refused, ==, 1);
}

/* With a token: TCP clients must have it, others may. */
static void test_token_required(Fixture *f, gconstpointer data) {
        const EventerInit right = { .client_name = "a", .client_token = "secret" },
                          wrong = { .client_name = "a", .client_token = "secreT" },
                          empty = { .client_name = "a", .client_token = "" }, none = { .client_name = "a" };
        const struct {
                const EventerInit *init;
                bool tcp, fine;
        } cases[] = {
                { &right, true, true }, { &wrong, true, false }, { &empty, true, false }, { &none, true, false },
                { &right, false, true }, { &wrong, false, false }, { &none, false, true },
        };
        Address address = { .kind = ADDRESS_TCP, .host = (char *) "127.0.0.1" };
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        Address bound;

        stop(f);
        f->options.client_token = "secret";
        g_assert_cmpint(event_server_new(f->event, &f->options, NULL, NULL, &f->server), ==, 0);
        g_assert_cmpint(event_server_listen(f->server, &address), ==, 0);
        g_assert_cmpint(address_parse(event_server_get_address(f->server), &bound), ==, 0);
        sin.sin_port = htons(bound.port);
        address_done(&bound);
        address = (Address) { .kind = ADDRESS_UNIX, .path = f->socket };
        g_assert_cmpint(event_server_listen(f->server, &address), ==, 0);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RawClient c;

                if (cases[i].tcp) {
                        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

                        g_assert_cmpint(connect(fd, (struct sockaddr *) &sin, sizeof(sin)), ==, 0);
                        raw_client_init(&c, f->event, fd);
                } else
                        raw_client_connect(&c, f->event, f->socket);
                raw_client_init_request(&c, cases[i].init);
                raw_client_expect(&c, cases[i].fine ? "init operational" : "refused invalid client token");
                raw_client_done(&c);
        }
}

static void test_invalid_subscription(Fixture *f, gconstpointer data) {
        RawClient *c = client_new(f);

        client_init(c, "a", "*/a", false);
        raw_client_expect(c, "refused invalid query event type");
        raw_client_expect_end(c);
}

static void test_server_id(Fixture *f, gconstpointer data) {
        const int64_t ids[] = { 1, 2 };
        const Subtype all = SUBTYPE("*");
        EventType type = { &all, 1 };
        RawClient *c[2];

        for (size_t i = 0; i < 2; i++) {
                EventerInit init = raw_init("a", &type);

                init.server_id = ids + i;
                c[i] = client_new(f);
                raw_client_init_request(c[i], &init);
                raw_client_expect(c[i], "init operational");
        }
        raw_client_expect(c[0], "events 3:1 event/1/eventer/a=\"CONNECTED\"");
        raw_client_register(c[1], true, "x");
        raw_client_expect(c[0], "events 4:1 x");
        raw_client_expect(c[1], "registered 1");
}

/* ---- registration, order ------------------------------------------------------------------------------------------ */

/* One session a request, one time a session; the notification before the response; parts of a session. */
static void test_register(Fixture *f, gconstpointer data) {
        RawClient *a = client(f, "a", "x/*"), *some = client(f, "some", "x/?/y"), *one = client(f, "one", "x/2"),
                  *c = client(f, "c", NULL);
        const Timestamp *times;

        raw_client_register(a, true, "x/1=1", "x/1/y=2", "q", "x/2=3", "x/2/y", "x/3/y=null");
        raw_client_expect(a, "events 6:1 x/1=1, 6:2 x/1/y=2, 6:4 x/2=3, 6:5 x/2/y, 6:6 x/3/y=null");
        raw_client_expect(a, "registered 6");
        raw_client_expect(some, "events 6:2 x/1/y=2, 6:5 x/2/y, 6:6 x/3/y=null");
        raw_client_expect(one, "events 6:4 x/2=3");
        times = (const Timestamp *) (void *) a->times->data;
        for (size_t i = 1; i < a->times->len; i++)
                g_assert_cmpint(timestamp_compare(times, times + i), ==, 0);

        raw_client_register(c, false, "x/1");
        raw_client_register(c, false, "q");
        raw_client_register(c, false, "x/2", "x/3");
        raw_client_expect(a, "events 7:1 x/1");
        raw_client_expect(a, "events 9:1 x/2, 9:2 x/3");
        raw_client_expect(one, "events 9:1 x/2");
        g_assert_cmpuint(event_server_get_counters(f->server).events, ==, 5 + 6 + 4);
}

/* Times are those of the registration; one that steps back stands still. */
static void test_times(Fixture *f, gconstpointer data) {
        const Subtype x = SUBTYPE("x");
        Event e = { .id = { 1, 100, 1 }, .type = { &x, 1 } };
        g_autofree char *detail = NULL;
        const Timestamp *times;
        Timestamp now;
        RawClient *c;
        Store *store;

        c = client(f, "c", NULL);
        raw_client_register(c, true, "x");
        raw_client_expect(c, "registered 1");
        now = timestamp_now();
        times = (const Timestamp *) (void *) c->times->data;
        g_assert_cmpint(ABS(times[0].s - now.s), <, 100);
        stop(f);

        g_assert_cmpint(store_open(&f->options.store, &store, &detail), ==, 0);
        e.timestamp = (Timestamp) { .s = now.s + 10000, .us = 7 };
        g_assert_cmpint(store_write(store, &e, 1), ==, 0);
        (void) store_close(store);
        start(f);
        c = client(f, "c", NULL);
        raw_client_register(c, true, "x");
        raw_client_expect(c, "registered 1");
        times = (const Timestamp *) (void *) c->times->data;
        g_assert_cmpint(timestamp_compare(times, &e.timestamp), ==, 0);
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST });
        raw_client_expect(c, "result 3");
}

/* Without response: before it is on disk. But never before an older one, which waits for the disk. */
static void test_order(Fixture *f, gconstpointer data) {
        RawClient *watch = client(f, "watch", "x/*"), *a = client(f, "a", NULL), *b = client(f, "b", "x/*");

        raw_client_register(a, false, "x/1");
        raw_client_register(a, true, "x/2");
        raw_client_register(a, false, "x/3");
        raw_client_register(a, true);
        raw_client_register(a, true, "x/4");
        LOOP_UNTIL(f->event, event_server_get_counters(f->server).events == 8);
        raw_client_register(b, false, "x/5"); /* others are not overtaken either … */
        raw_client_register(b, true); /* … but an empty request waits for nobody else's */
        raw_client_expect(watch, "events 5:1 x/1");
        raw_client_expect(watch, "events 6:1 x/2");
        raw_client_expect(watch, "events 7:1 x/3");
        raw_client_expect(watch, "events 8:1 x/4");
        raw_client_expect(watch, "events 9:1 x/5");
        raw_client_expect(a, "registered 1");
        raw_client_expect(a, "registered 0");
        raw_client_expect(a, "registered 1");
        LOOP_UNTIL(f->event, raw_client_has_line(b) && b->lines->len == 6);
        g_assert_true(g_ptr_array_find_with_equal_func(b->lines, "registered 0", g_str_equal, NULL));
}

/* Persisted: what is on disk, a message a session. Never its own connection. */
static void test_persisted(Fixture *f, gconstpointer data) {
        RawClient *p = client_new(f), *c;

        client_init(p, "p", "*", true);
        raw_client_expect(p, "init operational");
        raw_client_expect(p, "events 1:1 event/1/engine=\"STARTED\""); /* only now on disk */
        c = client(f, "c", "x");
        raw_client_expect(p, "events 3:1 event/1/eventer/c=\"CONNECTED\"");
        full_disk(true);
        raw_client_register(c, false, "x", "y");
        raw_client_expect(c, "events 4:1 x");
        LOOP_UNTIL(f->event, event_server_get_trouble(f->server));
        g_assert_false(raw_client_has_line(p));
        full_disk(false);
        raw_client_expect(p, "events 4:1 x, 4:2 y");
        raw_client_register(p, true, "z");
        raw_client_expect(p, "events 5:1 z");
        raw_client_expect(p, "registered 1");
}

/* The order of a client's answers, with a query in the middle of what it sent at once. */
static void test_query_in_order(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", NULL);

        raw_client_register(c, false, "x");
        raw_client_query_all(c);
        raw_client_register(c, true, "x");
        raw_client_query_all(c);
        raw_client_query_all(c);
        raw_client_register(c, true);
        raw_client_expect(c, "result 3");
        raw_client_expect(c, "registered 1");
        raw_client_expect(c, "result 4");
        raw_client_expect(c, "result 4");
        raw_client_expect(c, "registered 0");
}

static void test_pages(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", NULL), *other = client(f, "other", NULL);
        const char *events[5002] = { 0 };

        for (size_t i = 0; i + 1 < ELEMENTSOF(events); i++)
                events[i] = "x/y=1";
        raw_client_register_list(c, true, events);
        raw_client_expect(c, "registered 5001");
        for (size_t i = 0; i < 20; i++) /* pipelined: answered one behind the other, also beyond what may be unsent */
                raw_client_query(c, &(EventerQuery) { .kind = QUERY_TIMESERIES });
        raw_client_query_all(other);
        raw_client_expect(other, "result 4096 more");
        for (size_t i = 0; i < 20; i++)
                raw_client_expect(c, "result 4096 more");
}

/* ---- what only one client suffers from ---------------------------------------------------------------------------- */

static void test_malformed(Fixture *f, gconstpointer data) {
        static const char *const frames[] = { "\x01\x01\x00", "\x01\x00", "\x05\xff\xff\xff\xff\xff" };
        static const size_t sizes[] = { 3, 2, 6 };
        RawClient *fine = client(f, "fine", "x"), *c;
        EventerQuery query = { .kind = QUERY_SERVER, .server_id = -1 };

        for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
                c = client(f, "c", NULL);
                raw_client_register(c, false, "x");
                raw_client_write(c, frames[i], sizes[i]);
                raw_client_expect_end(c);
                raw_client_register(fine, true);
                LOOP_UNTIL(f->event, raw_client_has_line(fine));
                g_assert_true(g_str_has_prefix(fine->lines->pdata[0], "events ")); /* what came before it counts */
                g_ptr_array_remove_index(fine->lines, 0);
                raw_client_expect(fine, "registered 0");
        }
        c = client(f, "c", NULL);
        raw_client_query(c, &query);
        raw_client_expect_end(c);
        c = client(f, "c", NULL);
        raw_client_register(c, true, "x={");
        raw_client_expect_end(c);
        c = client_new(f);
        raw_client_register(c, true, "x");
        raw_client_expect_end(c);
        g_assert_cmpuint(event_server_get_counters(f->server).cut, ==, 0);
}

/* One more than there may be. */
static void test_too_many(Fixture *f, gconstpointer data) {
        g_autofree RawClient *clients = g_new0(RawClient, EVENT_SERVER_CLIENTS_MAX + 1);
        struct rlimit limit;
        RawClient *last = clients + EVENT_SERVER_CLIENTS_MAX;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        if (limit.rlim_max < 4096) {
                g_test_skip("not enough descriptors");
                return;
        }
        limit.rlim_cur = 4096;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);

        for (size_t i = 0; i < EVENT_SERVER_CLIENTS_MAX; i++) {
                raw_client_connect(clients + i, f->event, f->socket);
                client_init(clients + i, "c", "x", false);
                raw_client_expect(clients + i, "init operational");
        }
        raw_client_connect(last, f->event, f->socket);
        raw_client_expect_end(last);
        g_assert_cmpuint(event_server_get_counters(f->server).clients, ==, EVENT_SERVER_CLIENTS_MAX);
        g_assert_cmpuint(event_server_get_counters(f->server).refused, ==, 1);

        raw_client_register(clients, true, "x");
        for (size_t i = 0; i < EVENT_SERVER_CLIENTS_MAX; i++) {
                LOOP_UNTIL(f->event, raw_client_has_line(clients + i));
                g_assert_true(g_str_has_suffix(clients[i].lines->pdata[0], ":1 x"));
        }
        for (size_t i = 0; i <= EVENT_SERVER_CLIENTS_MAX; i++)
                raw_client_done(clients + i);
        LOOP_UNTIL(f->event, event_server_get_counters(f->server).clients == 0);
        (void) client(f, "again", NULL);
}

/* Clients that go while they are being answered. */
static void test_gone(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", NULL);
        const char *events[2002] = { 0 };

        for (size_t i = 0; i + 1 < ELEMENTSOF(events); i++)
                events[i] = "x=1";
        raw_client_register_list(c, true, events);
        raw_client_expect(c, "registered 2001");
        for (size_t i = 0; i < 20; i++) {
                RawClient gone;

                raw_client_connect(&gone, f->event, f->socket);
                client_init(&gone, "gone", NULL, i % 2);
                raw_client_register(&gone, true, "x", "y");
                raw_client_query_all(&gone);
                raw_client_register(&gone, true, "z");
                for (size_t turn = 0; turn < i; turn++)
                        g_assert_cmpint(sd_event_run(f->event, 0), >=, 0);
                raw_client_done(&gone);
        }
        LOOP_UNTIL(f->event, event_server_get_counters(f->server).clients == 1);
        raw_client_register(c, true);
        raw_client_expect(c, "registered 0");
}

static void register_bytes(RawClient *c, size_t size) {
        g_autofree char *digits = g_strnfill(size, '1'), *event = g_strdup_printf("x=\"%s\"", digits);

        raw_client_register(c, false, event);
}

/* More than the disk takes at once: clients wait, nothing is lost, and the order stays. */
static void test_flood(Fixture *f, gconstpointer data) {
        RawClient *a = client(f, "a", NULL), *b = client(f, "b", NULL), *watch = client(f, "watch", "n");
        const size_t n = 5 * STORAGE_QUEUE_MAX / 200000;

        for (size_t i = 0; i < n; i++) {
                g_autofree char *event = g_strdup_printf("n=%zu", i);

                register_bytes(a, 100000);
                register_bytes(b, 100000);
                raw_client_register(a, false, event);
        }
        for (size_t i = 0; i < n; i++) {
                g_autofree char *end = g_strdup_printf("n=%zu", i);

                LOOP_UNTIL(f->event, raw_client_has_line(watch));
                g_assert_true(g_str_has_suffix(watch->lines->pdata[0], end));
                g_ptr_array_remove_index(watch->lines, 0);
        }
        raw_client_register(b, true, "end");
        raw_client_expect(b, "registered 1");
        g_assert_cmpuint(event_server_get_counters(f->server).events, ==, 4 + 3 * n + 1);
        raw_client_query(b, &(EventerQuery) { .kind = QUERY_LATEST });
        raw_client_expect(b, "result 7"); /* engine, three clients, x, n, end */
}

/* One that does not read is cut off; the others get everything meanwhile. */
static void test_slow_client(Fixture *f, gconstpointer data) {
        RawClient *fast = client(f, "fast", "x"), *slow = client(f, "slow", "x"), *c = client(f, "c", NULL);
        const size_t size = 100000, n = EVENT_SERVER_NOTIFY_MAX / size * 2;

        slow->mute = true;
        for (size_t i = 0; i < n; i++) {
                register_bytes(c, size);
                LOOP_UNTIL(f->event, raw_client_has_line(fast));
                g_ptr_array_set_size(fast->lines, 0);
        }
        g_assert_cmpuint(event_server_get_counters(f->server).cut, ==, 1);
        slow->mute = false;
        LOOP_UNTIL(f->event, raw_client_has_ended(slow));
        g_assert_cmpuint(slow->lines->len, <, n);
}

/* A single session of any size cuts nobody off. */
static void test_big_session(Fixture *f, gconstpointer data) {
        RawClient *a = client(f, "a", "x"), *c = client(f, "c", NULL);

        register_bytes(c, 3 * EVENT_SERVER_NOTIFY_MAX);
        LOOP_UNTIL(f->event, raw_client_has_line(a));
        raw_client_register(c, true, "x");
        raw_client_expect(c, "registered 1");
        g_assert_cmpuint(event_server_get_counters(f->server).cut, ==, 0);
}

/* Answers do not count, and hold up only who asked for them. */
static void test_slow_reader_of_answers(Fixture *f, gconstpointer data) {
        RawClient *c = client(f, "c", NULL), *other = client(f, "other", "x");
        const size_t size = 1000000, n = 20;

        for (size_t i = 0; i < n; i++)
                register_bytes(other, size);
        raw_client_register(other, true);
        LOOP_UNTIL(f->event, raw_client_has_line(other) && other->lines->len == n + 1);
        g_ptr_array_set_size(other->lines, 0);

        c->mute = true;
        for (size_t i = 0; i < 10; i++)
                raw_client_query(c, &(EventerQuery) { .kind = QUERY_SERVER, .server_id = 1 });
        raw_client_query_all(other);
        LOOP_UNTIL(f->event, raw_client_has_line(other));
        g_ptr_array_set_size(other->lines, 0);
        loop_settle(f->event);
        c->mute = false;
        for (size_t i = 0; i < 10; i++) {
                LOOP_UNTIL(f->event, raw_client_has_line(c));
                g_assert_true(g_str_has_prefix(c->lines->pdata[0], "result "));
                g_ptr_array_remove_index(c->lines, 0);
        }
        g_assert_cmpuint(event_server_get_counters(f->server).cut, ==, 0);
}

/* ---- trouble ------------------------------------------------------------------------------------------------------ */

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

/* ---- life --------------------------------------------------------------------------------------------------------- */

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

/* ---- addresses ---------------------------------------------------------------------------------------------------- */

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

/* ---- the gateway's own client ------------------------------------------------------------------------------------- */

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

static void test_own_client(Fixture *f, gconstpointer data) {
        static const EventClientHandler handler = { .connected = own_connected,
                                                    .status = own_status,
                                                    .events = own_events,
                                                    .closed = own_closed };
        static const Subtype subtypes[] = { SUBTYPE("x"), SUBTYPE("*") };
        const EventType subscription = { subtypes, 2 }, prefix = { subtypes, 1 };
        const EventerInit init = { .client_name = "gateway", .subscriptions = &subscription, .n_subscriptions = 1 };
        Own own = { 0 };
        EventRequest *request;
        int fd;

        g_assert_cmpint(event_server_connect(f->server, &fd), ==, 0);
        g_assert_cmpint(event_client_new_fd(f->event, fd, &init, &handler, &own, &own.client), ==, 0);
        LOOP_UNTIL(f->event, own.connected);
        g_assert_cmpint(own.status, ==, EVENTER_OPERATIONAL);
        for (size_t i = 0; i < 100; i++)
                event_client_register(own.client, prefix, (const char *const[]) { "y", NULL }, NULL, NULL);
        g_assert_cmpint(event_client_request_register(own.client, prefix, (const char *const[]) { "z", NULL }, NULL, NULL,
                                                      own_answer, &own, &request),
                        ==, 0);
        LOOP_UNTIL(f->event, own.answered);
        g_assert_cmpint(own.error, ==, 0);
        g_assert_cmpuint(own.n_events, ==, 101);

        event_server_stop(f->server, LOOP_LIMIT_USEC, on_stopped, f);
        LOOP_UNTIL(f->event, own.closed && f->n_stopped == 1);
        g_assert_cmpint(own.status, ==, EVENTER_STOPPING);
        own.client = event_client_free(own.client);
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

#define ADD(name, func) g_test_add("/event-server/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        ADD("connected", test_connected);
        ADD("descriptors", test_descriptors);
        ADD("token", test_token);
        ADD("token-required", test_token_required);
        ADD("invalid-subscription", test_invalid_subscription);
        ADD("server-id", test_server_id);
        ADD("register", test_register);
        ADD("times", test_times);
        ADD("order", test_order);
        ADD("persisted", test_persisted);
        ADD("query-in-order", test_query_in_order);
        ADD("pages", test_pages);
        ADD("malformed", test_malformed);
        ADD("too-many", test_too_many);
        ADD("gone", test_gone);
        ADD("flood", test_flood);
        ADD("slow-client", test_slow_client);
        ADD("big-session", test_big_session);
        ADD("slow-reader-of-answers", test_slow_reader_of_answers);
        ADD("full-disk", test_full_disk);
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
        ADD("export", test_export);
        return g_test_run();
}
