/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded event server as its clients see it: handshake, order, queries, and what only one of them suffers from. Over real
 * sockets, with a real database, all in one loop. */

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/select.h>

#include "base/bounds.h"
#include "tests/unit/capture.h"
#include "tests/unit/event-server-fixture.h"
#include "tests/unit/full-disk.h"

#define LARGE_SIZE ((4U << 20) - 1024)

/* n events x/FIRST …, each as large as one may be. */
static void register_large_from(RawClient *c, bool wants_response, size_t first, size_t n) {
        g_autofree char *digits = g_strnfill(LARGE_SIZE, '1');
        g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func(g_free);

        for (size_t i = first; i < first + n; i++)
                g_ptr_array_add(events, g_strdup_printf("x/%zu=\"%s\"", i, digits));
        g_ptr_array_add(events, NULL);
        raw_client_register_list(c, wants_response, (const char *const *) events->pdata);
}

static void register_large(RawClient *c, bool wants_response, size_t n) {
        register_large_from(c, wants_response, 0, n);
}

/* ---- handshake --------------------------------------------------------------------------------------- */

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

static void init_named(RawClient *c, const char *name, size_t size) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        sbs_write_string(&b, name, size);
        for (size_t i = 0; i < 4; i++) /* no token, no subscription, no server id, not persisted */
                sbs_write_integer(&b, 0);
        raw_client_send(c, false, "HatEventer.MsgInitReq", &b);
}

/* A name is what the client says, every byte of it, up to a bound. */
static void test_names(Fixture *f, gconstpointer data) {
        static const char with_nul[] = "a\0b";
        const Subtype subtypes[] = { SUBTYPE("event"), SUBTYPE("1"), SUBTYPE("eventer"), { with_nul, 3 } };
        EventType type = { subtypes, ELEMENTSOF(subtypes) };
        const EventerInit init = raw_init("watch", &type);
        g_autofree char *longest = g_strnfill(EVENT_SERVER_NAME_MAX + 1, 'n');
        RawClient *watch = client_new(f), *c = client_new(f);

        raw_client_init_request(watch, &init);
        raw_client_expect(watch, "init operational");
        init_named(c, longest, EVENT_SERVER_NAME_MAX + 1);
        raw_client_expect(c, "refused invalid client name");
        raw_client_expect_end(c);
        c = client_new(f);
        init_named(c, longest, EVENT_SERVER_NAME_MAX);
        raw_client_expect(c, "init operational");
        c = client_new(f);
        init_named(c, "", 0);
        raw_client_expect(c, "init operational");

        c = client_new(f);
        init_named(c, with_nul, 3);
        raw_client_expect(c, "init operational");
        LOOP_UNTIL(f->event, raw_client_has_line(watch));
        g_assert_true(g_str_has_prefix(watch->lines->pdata[0], "events 5:1 "));
        g_ptr_array_set_size(watch->lines, 0);
        raw_client_done(c);
        LOOP_UNTIL(f->event, raw_client_has_line(watch));
        g_assert_true(g_str_has_prefix(watch->lines->pdata[0], "events 6:1 "));
}

/* Returns whether the test can go on. */
static bool raise_limit(rlim_t wanted) {
        struct rlimit limit;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        if (limit.rlim_max < wanted) {
                g_test_skip("not enough descriptors");
                return false;
        }
        limit.rlim_cur = MAX(limit.rlim_cur, wanted);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        return true;
}

/* Clients leave the low numbers to those who must have one. */
static void test_descriptors(Fixture *f, gconstpointer data) {
        if (!raise_limit(FD_SETSIZE + 1))
                return;
        (void) client(f, "c", NULL);
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

/* ---- registration, order ----------------------------------------------------------------------------- */

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
        g_autofree char *log = NULL;
        const Timestamp *times;
        Capture capture;
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
        capture = capture_file();
        start(f);
        c = client(f, "c", NULL);
        raw_client_register(c, true, "x");
        raw_client_expect(c, "registered 1");
        log = capture_end(&capture);
        g_assert_nonnull(strstr(log, "clock was set back"));
        g_assert_cmpuint(count_lines(log, "\n"), ==, 1);
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

/* ---- what only one client suffers from --------------------------------------------------------------- */

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
        RawClient *last = clients + EVENT_SERVER_CLIENTS_MAX;

        if (!raise_limit(4096))
                return;
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
        RawClient *a = client(f, "a", "x/*"), *c = client(f, "c", NULL);

        register_large(c, false, 3 * EVENT_SERVER_NOTIFY_MAX / LARGE_SIZE);
        LOOP_UNTIL(f->event, raw_client_has_line(a));
        raw_client_register(c, true, "x");
        raw_client_expect(c, "registered 1");
        g_assert_cmpuint(event_server_get_counters(f->server).cut, ==, 0);
}

/* An event that would leave no room for others in an answer. */
static void test_big_event(Fixture *f, gconstpointer data) {
        RawClient *a = client(f, "a", "*"), *c = client(f, "c", NULL);
        g_autofree char *digits = g_strnfill(STORE_EVENT_MAX, '1'), *event = g_strdup_printf("x=\"%s\"", digits);

        raw_client_expect(a, "events 3:1 event/1/eventer/c=\"CONNECTED\"");
        raw_client_register(c, true, "y", event);
        raw_client_expect(c, "failure");
        raw_client_register(c, false, event);
        raw_client_register(c, true, "y");
        raw_client_expect(c, "registered 1");
        raw_client_expect(a, "events 4:1 y");
}

/* All latest events together are more than an answer holds: who asks for some is answered. */
static void test_latest_too_large(Fixture *f, gconstpointer data) {
        const Subtype subtypes[] = { SUBTYPE("x"), SUBTYPE("0") };
        const EventType one = { subtypes, 2 };
        RawClient *c = client(f, "c", NULL), *other = client(f, "other", NULL);

        register_large(c, false, 10);
        raw_client_register(c, true, "y");
        raw_client_expect(c, "registered 1");
        register_large_from(c, false, 10, 10);
        raw_client_register(c, true, "y");
        raw_client_expect(c, "registered 1");
        raw_client_query(other, &(EventerQuery) { .kind = QUERY_LATEST });
        raw_client_expect_end(other);
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST, .types = &one, .n_types = 1 });
        raw_client_expect(c, "result 1");
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

/* ---- what all clients hold together ------------------------------------------------------------------ */

#define GREEDY 60U
#define HELD_SLACK (1U << 20) /* what the many who are within their share may add */

typedef struct Crowd {
        RawClient clients[GREEDY];
} Crowd;

static void crowd_start(Crowd *crowd, Fixture *f, const char *subscription) {
        for (size_t i = 0; i < GREEDY; i++) {
                raw_client_connect(crowd->clients + i, f->event, f->socket);
                client_init(crowd->clients + i, "greedy", subscription, false);
                raw_client_expect(crowd->clients + i, "init operational");
        }
}

static void crowd_done(Crowd *crowd, Fixture *f) {
        for (size_t i = 0; i < GREEDY; i++)
                raw_client_done(crowd->clients + i);
        LOOP_UNTIL(f->event, event_server_get_counters(f->server).held == 0);
}

static void check_held(const Fixture *f) {
        g_assert_cmpuint(event_server_get_counters(f->server).held, <=, EVENT_SERVER_HELD_MAX + HELD_SLACK);
}

/* Honest work goes on. */
static void check_honest(RawClient *c) {
        raw_client_register(c, true, "honest=1");
        LOOP_UNTIL(c->event, raw_client_has_line(c) && c->lines->len == 2);
        g_assert_true(g_str_has_suffix(c->lines->pdata[0], ":1 honest=1"));
        g_assert_cmpstr(c->lines->pdata[1], ==, "registered 1");
        g_ptr_array_set_size(c->lines, 0);
}

static void test_greedy_frames(Fixture *f, gconstpointer data) {
        static const uint8_t head[] = { 0x04, 0x03, 0x00, 0x00, 0x00 }; /* 48 MiB are to follow */
        RawClient *honest = client(f, "honest", "honest");
        const size_t piece = 1U << 20;
        g_autofree uint8_t *bytes = g_malloc0(piece);
        Crowd crowd;

        crowd_start(&crowd, f, NULL);
        for (size_t i = 0; i < GREEDY; i++)
                raw_client_write(crowd.clients + i, head, sizeof(head));
        for (size_t n = 0; n < 6; n++)
                for (size_t i = 0; i < GREEDY; i++) {
                        raw_client_write(crowd.clients + i, bytes, piece);
                        check_held(f);
                }
        check_honest(honest);
        g_assert_cmpuint(event_server_get_counters(f->server).cut, >=, GREEDY / 2);
        g_assert_cmpuint(event_server_get_counters(f->server).held, >, EVENT_SERVER_HELD_MAX / 4);
        crowd_done(&crowd, f);
        check_honest(honest);
}

/* Each stays below its own bound of notifications. */
static void test_greedy_readers(Fixture *f, gconstpointer data) {
        RawClient *honest = client(f, "honest", "honest"), *fast = client(f, "fast", "x"), *c = client(f, "c", NULL);
        Crowd crowd;

        crowd_start(&crowd, f, "x");
        for (size_t i = 0; i < GREEDY; i++)
                crowd.clients[i].mute = true;
        for (size_t n = 0; n < 6; n++) {
                register_bytes(c, 1U << 20);
                LOOP_UNTIL(f->event, raw_client_has_line(fast));
                g_ptr_array_set_size(fast->lines, 0);
                check_held(f);
        }
        g_assert_cmpuint(event_server_get_counters(f->server).cut, >=, GREEDY / 2);
        g_assert_cmpuint(event_server_get_counters(f->server).held, >, EVENT_SERVER_HELD_MAX / 4);
        check_honest(honest);
        crowd_done(&crowd, f);
        raw_client_register(c, false, "x");
        LOOP_UNTIL(f->event, raw_client_has_line(fast));
}

/* Many answers of the same large events. */
static void test_greedy_queries(Fixture *f, gconstpointer data) {
        RawClient *honest = client(f, "honest", "honest"), *c = client(f, "c", NULL);
        Crowd crowd;

        register_bytes(c, 3U << 20);
        raw_client_register(c, true);
        raw_client_expect(c, "registered 0");
        crowd_start(&crowd, f, NULL);
        for (size_t i = 0; i < GREEDY; i++) {
                crowd.clients[i].mute = true;
                raw_client_query(crowd.clients + i, &(EventerQuery) { .kind = QUERY_LATEST });
        }
        LOOP_UNTIL(f->event, ({
                           check_held(f);
                           event_server_get_counters(f->server).cut >= GREEDY / 4;
                   }));
        check_honest(honest);
        crowd_done(&crowd, f);
}

/* A session that does not fit for all its subscribers; then one that does, for the only one. */
static void test_large(Fixture *f, gconstpointer data) {
        RawClient *honest = client(f, "honest", "honest"), *c = client(f, "c", NULL);
        Crowd crowd;

        crowd_start(&crowd, f, "x/*");
        for (size_t i = 0; i < GREEDY; i++)
                crowd.clients[i].mute = true;
        register_large(c, false, 15);
        LOOP_UNTIL(f->event, event_server_get_counters(f->server).cut >= GREEDY - 2);
        check_held(f);
        check_honest(honest);
        crowd_done(&crowd, f);

        register_large(c, true, 15);
        raw_client_expect(c, "registered 15");
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_LATEST });
        LOOP_UNTIL(f->event, raw_client_has_line(c));
        g_assert_cmpstr(c->lines->pdata[0], ==, "result 20"); /* x/?, engine, three clients, honest */
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        ADD("connected", test_connected);
        ADD("names", test_names);
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
        ADD("big-event", test_big_event);
        ADD("latest-too-large", test_latest_too_large);
        ADD("slow-reader-of-answers", test_slow_reader_of_answers);
        ADD("greedy-frames", test_greedy_frames);
        ADD("greedy-readers", test_greedy_readers);
        ADD("greedy-queries", test_greedy_queries);
        ADD("large", test_large);
        return g_test_run();
}
