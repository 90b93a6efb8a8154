/* SPDX-License-Identifier: Apache-2.0 */
/* link/stream on its way to a connection: names, addresses in turn, timeouts, refusals, loopback only. */

#include <netinet/tcp.h>

#include "tests/unit/stream-fixture.h"

static int begin(Fixture *f, Resolver *resolver, const char *host, uint16_t port) {
        Address a;
        int r;

        address_set_tcp(&a, host, port);
        r = stream_connect(f->event, resolver, &a, &f->options, "test", &handler, f, &f->stream);
        address_done(&a); /* not kept */
        g_assert_cmpuint(f->n_connected + f->n_closed, ==, 0);
        return r;
}

static uint16_t refused_port(void) {
        uint16_t port;
        int fd;

        fd = listen_on(INADDR_LOOPBACK, 0, 1, &port);
        (void) close(fd);
        return port;
}

static void test_connect(Fixture *f, gconstpointer host) {
        int listener, nodelay = 0, user_timeout = 0;
        socklen_t size = sizeof(int);
        uint16_t port;
        uint8_t data[3];

        listener = listen_on(INADDR_LOOPBACK, 0, 1, &port);
        f->options.user_timeout = 7 * USEC_PER_SEC;
        g_assert_cmpint(begin(f, f->resolver, host, port), ==, 0);
        g_assert_cmpint(stream_write(f->stream, "x", 1), ==, -ENOTCONN);
        g_assert_cmpint(stream_get_fd(f->stream), <, 0);
        LOOP_UNTIL(f->event, f->n_connected == 1);
        f->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        g_assert_cmpint(f->peer, >=, 0);
        (void) close(listener);

        g_assert_cmpint(getsockopt(stream_get_fd(f->stream), IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), ==,
                        0);
        g_assert_cmpint(nodelay, !=, 0);
        g_assert_cmpint(getsockopt(stream_get_fd(f->stream), IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout,
                                   &size),
                        ==, 0);
        g_assert_cmpint(user_timeout, ==, 7000);

        g_assert_cmpint(stream_write(f->stream, "abc", 3), ==, 0);
        peer_read(f, data, 3);
        peer_write(f, "def", 3);
        LOOP_UNTIL(f->event, f->n_received == 1);
        f->peer = safe_close(f->peer);
        LOOP_UNTIL(f->event, f->n_closed == 1);
}

static void test_refused(Fixture *f, gconstpointer host) {
        g_assert_cmpint(begin(f, f->resolver, host, refused_port()), ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ECONNREFUSED);
        g_assert_cmpuint(f->n_connected, ==, 0);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
}

static void test_no_name(Fixture *f, gconstpointer unused) {
        g_assert_cmpint(begin(f, NULL, "plc.test", 502), ==, -ENXIO);
        g_assert_null(f->stream);
        g_assert_cmpint(begin(f, f->resolver, "none.test", 502), ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ENXIO);
}

/* A listening socket whose queue is full: further connections hang. */
static int blackhole(uint32_t host, uint16_t *port, int filler[4]) {
        int fd;

        fd = listen_on(host, *port, 0, port);
        for (unsigned i = 0; i < 4; i++)
                filler[i] = connect_to(*port, SOCK_NONBLOCK);
        return fd;
}

static void test_connect_timeout(Fixture *f, gconstpointer unused) {
        usec_t start = now_usec(CLOCK_MONOTONIC);
        uint16_t port = 0;
        int hole, filler[4];

        hole = blackhole(INADDR_LOOPBACK, &port, filler);
        f->options.connect_timeout = 100 * USEC_PER_MSEC;
        g_assert_cmpint(begin(f, f->resolver, "127.0.0.1", port), ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ETIMEDOUT);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - start, >=, 100 * USEC_PER_MSEC);
        (void) close(hole);
        for (unsigned i = 0; i < 4; i++)
                (void) close(filler[i]);
}

/* One refuses, one is dead, the third one answers, all within the timeout. */
static void test_addresses(Fixture *f, gconstpointer unused) {
        usec_t start = now_usec(CLOCK_MONOTONIC);
        uint16_t port = 0, same;
        int hole, good, filler[4];

        hole = blackhole(INADDR_LOOPBACK, &port, filler);
        good = listen_on(INADDR_LOOPBACK + 2, port, 1, &same);
        f->options.connect_timeout = 8 * USEC_PER_SEC;
        g_assert_cmpint(begin(f, f->resolver, "127.0.0.2,127.0.0.1,127.0.0.3.test", port), ==, 0);
        LOOP_UNTIL(f->event, f->n_connected == 1);
        g_assert_cmpuint(f->n_closed, ==, 0);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - start, <,
                         f->options.connect_timeout - 200 * USEC_PER_MSEC);
        (void) close(hole);
        (void) close(good);
        for (unsigned i = 0; i < 4; i++)
                (void) close(filler[i]);
}

static void test_lookup_timeout(Fixture *f, gconstpointer unused) {
        f->options.connect_timeout = 50 * USEC_PER_MSEC;
        g_assert_cmpint(begin(f, f->resolver, "block.test", 502), ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ETIMEDOUT);
        (void) sem_post(&fake_names_gate);
        loop_settle(f->event);
}

static void test_connect_abandoned(Fixture *f, gconstpointer unused) {
        uint16_t port;
        int listener;

        listener = listen_on(INADDR_LOOPBACK, 0, 10, &port);
        g_assert_cmpint(begin(f, f->resolver, "127.0.0.1", port), ==, 0);
        f->stream = stream_free(f->stream);
        loop_settle(f->event);

        g_assert_cmpint(begin(f, f->resolver, "127.0.0.1", port), ==, 0);
        stream_close_flushed(f->stream, USEC_PER_SEC);
        g_assert_cmpuint(f->n_closed, ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(f->n_connected, ==, 0);
        (void) close(listener);
}

static void test_lookup_abandoned(Fixture *f, gconstpointer unused) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + 50 * USEC_PER_MSEC;

        g_assert_cmpint(begin(f, f->resolver, "block.test", 502), ==, 0);
        f->stream = stream_free(f->stream);
        (void) sem_post(&fake_names_gate);
        while (now_usec(CLOCK_MONOTONIC) < end) /* a late answer would meet freed memory */
                g_assert_cmpint(sd_event_run(f->event, 10 * USEC_PER_MSEC), >=, 0);
        g_assert_cmpuint(f->n_connected + f->n_closed, ==, 0);

        /* The name is known when the stream goes: its list of addresses goes, too. */
        g_assert_cmpint(begin(f, f->resolver, "127.0.0.1,127.0.0.2.test", refused_port()), ==, 0);
        g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC), >, 0);
}

static void test_free_in_connected(Fixture *f, gconstpointer unused) {
        uint16_t port;
        int listener;

        listener = listen_on(INADDR_LOOPBACK, 0, 1, &port);
        f->free_in = IN_CONNECTED;
        g_assert_cmpint(begin(f, NULL, "127.0.0.1", port), ==, 0);
        LOOP_UNTIL(f->event, f->n_connected == 1);
        g_assert_null(f->stream);
        (void) close(listener);
}

static void test_free_in_refused(Fixture *f, gconstpointer unused) {
        f->free_in = IN_CLOSED;
        g_assert_cmpint(begin(f, f->resolver, "127.0.0.1.test", refused_port()), ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_null(f->stream);
}

static void test_connect_unix(Fixture *f, gconstpointer unused) {
        g_autofree char *directory = g_dir_make_tmp("stream-XXXXXX", NULL);
        Address a = { .kind = ADDRESS_UNIX, .path = g_build_filename(directory, "socket", NULL) };
        struct sockaddr_un sun;
        int listener;

        /* No such file: known at once, said later. */
        g_assert_cmpint(stream_connect(f->event, NULL, &a, &f->options, "test", &handler, f, &f->stream), ==,
                        0);
        g_assert_cmpuint(f->n_closed, ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ENOENT);
        f->stream = stream_free(f->stream);
        f->n_closed = 0;

        g_assert_cmpint(address_unix(a.path, &sun), ==, 0);
        listener = socket(AF_UNIX, SOCK_STREAM, 0);
        g_assert_cmpint(bind(listener, (struct sockaddr *) &sun, sizeof(sun)), ==, 0);
        g_assert_cmpint(listen(listener, 1), ==, 0);
        g_assert_cmpint(stream_connect(f->event, NULL, &a, &f->options, "test", &handler, f, &f->stream), ==,
                        0);
        g_assert_cmpuint(f->n_connected, ==, 0);
        LOOP_UNTIL(f->event, f->n_connected == 1);

        (void) close(listener);
        (void) unlink(a.path);
        (void) rmdir(directory);
        address_done(&a);
}

/* With its own port as destination a TCP socket connects to itself. */
static bool connect_from_own_port;

int connect(int fd, const struct sockaddr *sa, socklen_t size) {
        int (*real)(int, const struct sockaddr *, socklen_t);

        *(void **) &real = dlsym(RTLD_NEXT, "connect");
        if (connect_from_own_port)
                g_assert_cmpint(bind(fd, sa, size), ==, 0);
        return real(fd, sa, size);
}

static void test_connect_self(Fixture *f, gconstpointer unused) {
        connect_from_own_port = true;
        g_assert_cmpint(begin(f, NULL, "127.0.0.1", refused_port()), ==, 0);
        connect_from_own_port = false;
        LOOP_UNTIL(f->event, f->n_closed + f->n_connected == 1);
        g_assert_cmpint(f->error, ==, -ECONNREFUSED);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD_DATA(name, func, data) g_test_add("/stream/" name, Fixture, data, set_up, func, tear_down)
#define ADD(name, func) ADD_DATA(name, func, NULL)
        ADD("free/in-connected", test_free_in_connected);
        ADD("free/in-refused", test_free_in_refused);
        ADD_DATA("connect/numeric", test_connect, "127.0.0.1");
        ADD_DATA("connect/name", test_connect, "127.0.0.1.test");
        ADD_DATA("connect/second", test_connect, "127.0.0.2,127.0.0.1.test");
        ADD_DATA("refused/numeric", test_refused, "127.0.0.1");
        ADD_DATA("refused/all", test_refused, "127.0.0.1,127.0.0.2.test");
        ADD("connect/no-name", test_no_name);
        ADD("connect/timeout", test_connect_timeout);
        ADD("connect/addresses", test_addresses);
        ADD("connect/lookup-timeout", test_lookup_timeout);
        ADD("connect/abandoned", test_connect_abandoned);
        ADD("connect/lookup-abandoned", test_lookup_abandoned);
        ADD("connect/unix", test_connect_unix);
        ADD("connect/self", test_connect_self);
        return g_test_run();
}
