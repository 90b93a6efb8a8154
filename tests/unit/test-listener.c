/* SPDX-License-Identifier: Apache-2.0 */
/* link/listener with real sockets: loopback and a directory of its own. */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "link/listener.h"
#include "tests/unit/capture.h"
#include "tests/unit/loop.h"

typedef struct Fixture {
        sd_event *event;
        Listener *listener;
        GArray *accepted;
        char *directory, *path;
        bool free; /* accept() frees the listener */
} Fixture;

static void on_accept(Listener *l, int fd, void *userdata) {
        Fixture *f = userdata;

        g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
        g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, !=, 0);
        g_array_append_val(f->accepted, fd);
        if (f->free)
                f->listener = listener_free(f->listener);
}

static void set_up(Fixture *f, gconstpointer unused) {
        f->event = loop_new();
        f->accepted = g_array_new(FALSE, FALSE, sizeof(int));
        f->directory = g_dir_make_tmp("listener-XXXXXX", NULL);
        f->path = g_build_filename(f->directory, "socket", NULL);
}

static void close_accepted(Fixture *f) {
        for (unsigned i = 0; i < f->accepted->len; i++)
                (void) close(g_array_index(f->accepted, int, i));
        g_array_set_size(f->accepted, 0);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->listener = listener_free(f->listener);
        close_accepted(f);
        g_array_unref(f->accepted);
        (void) g_unlink(f->path);
        g_assert_cmpint(g_rmdir(f->directory), ==, 0);
        g_free(f->path);
        g_free(f->directory);
        f->event = sd_event_unref(f->event);
}

static int open_tcp(Fixture *f, const char *host, uint16_t port, Listener **ret) {
        Address a;
        int r;

        address_set_tcp(&a, host, port);
        r = listener_open(f->event, &a, "test", on_accept, f, ret);
        address_done(&a);
        return r;
}

static int open_unix(Fixture *f, Listener **ret) {
        Address a = { .kind = ADDRESS_UNIX, .path = f->path };

        return listener_open(f->event, &a, "test", on_accept, f, ret);
}

static uint16_t listener_port(const Listener *l) {
        g_autofree char *host = NULL;
        uint16_t port = 0;

        g_assert_cmpint(socket_name(listener_get_fd(l), false, &host, &port), ==, 0);
        return port;
}

/* A blocking client; connecting succeeds before anybody accepts. */
static int client(const char *host, uint16_t port) {
        struct addrinfo *list;
        int fd, r;

        g_assert_cmpint(address_numeric(host, port, false, &list), ==, 0);
        fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(fd, >=, 0);
        r = connect(fd, list->ai_addr, list->ai_addrlen) < 0 ? -errno : 0;
        freeaddrinfo(list);
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        return fd;
}

static int unix_client(const char *path) {
        struct sockaddr_un sun;
        int fd, r;

        g_assert_cmpint(address_unix(path, &sun), ==, 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(fd, >=, 0);
        r = connect(fd, (struct sockaddr *) &sun, sizeof(sun)) < 0 ? -errno : 0;
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        return fd;
}

/* Where nobody else on this machine listens, or has taken the port that was given back. */
#define QUIET_HOST "127.9.8.7"

static void test_tcp(Fixture *f, gconstpointer unused) {
        g_autofree char *host = NULL;
        Listener *second = NULL;
        int fds[40];
        uint16_t port, peer;

        g_assert_cmpint(open_tcp(f, QUIET_HOST, 0, &f->listener), ==, 0);
        port = listener_port(f->listener);
        g_assert_cmpint(open_tcp(f, QUIET_HOST, port, &second), ==, -EADDRINUSE);
        g_assert_null(second);

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                g_assert_cmpint(fds[i] = client(QUIET_HOST, port), >=, 0);
        g_assert_cmpuint(f->accepted->len, ==, 0);

        /* A bounded number a turn. */
        LOOP_UNTIL(f->event, f->accepted->len > 0);
        g_assert_cmpuint(f->accepted->len, <=, 16);
        LOOP_UNTIL(f->event, f->accepted->len == ELEMENTSOF(fds));

        g_assert_cmpint(socket_name(g_array_index(f->accepted, int, 0), true, &host, &peer), ==, 0);
        g_assert_cmpstr(host, ==, "127.0.0.1");

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++)
                (void) close(fds[i]);
        f->listener = listener_free(f->listener);
        g_assert_cmpint(client(QUIET_HOST, port), ==, -ECONNREFUSED);
        g_assert_null(listener_free(NULL));

        /* Connections in TIME_WAIT do not stand in the way. */
        close_accepted(f);
        g_assert_cmpint(open_tcp(f, QUIET_HOST, port, &f->listener), ==, 0);
}

static void test_name(Fixture *f, gconstpointer unused) {
        g_assert_cmpint(open_tcp(f, "localhost", 0, &f->listener), ==, -ENXIO);
        g_assert_cmpint(open_tcp(f, "192.0.2.1", 0, &f->listener), ==, -EADDRNOTAVAIL);
        g_assert_null(f->listener);
}

static void test_ipv6_only(Fixture *f, gconstpointer unused) {
        int fd, r;

        r = open_tcp(f, "::", 0, &f->listener);
        if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) {
                g_test_skip("no IPv6 on this machine");
                return;
        }
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpint(client(QUIET_HOST, listener_port(f->listener)), ==, -ECONNREFUSED);
        fd = client("::1", listener_port(f->listener));
        g_assert_cmpint(fd, >=, 0);
        LOOP_UNTIL(f->event, f->accepted->len == 1);
        (void) close(fd);
}

static void test_free_inside(Fixture *f, gconstpointer unused) {
        int a, b;

        g_assert_cmpint(open_tcp(f, "127.0.0.1", 0, &f->listener), ==, 0);
        g_assert_cmpint(a = client("127.0.0.1", listener_port(f->listener)), >=, 0);
        g_assert_cmpint(b = client("127.0.0.1", listener_port(f->listener)), >=, 0);
        f->free = true;
        LOOP_UNTIL(f->event, !f->listener);
        g_assert_cmpuint(f->accepted->len, ==, 1);
        (void) close(a);
        (void) close(b);
}

static void test_out_of_descriptors(Fixture *f, gconstpointer unused) {
        struct rlimit before, tight;
        usec_t start;
        unsigned turns;
        int a, b;

        g_assert_cmpint(open_tcp(f, "127.0.0.1", 0, &f->listener), ==, 0);
        g_assert_cmpint(a = client("127.0.0.1", listener_port(f->listener)), >=, 0);
        g_assert_cmpint(b = client("127.0.0.1", listener_port(f->listener)), >=, 0);

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        tight = before;
        tight.rlim_cur = (rlim_t) b + 2; /* one more fits */
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &tight), ==, 0);
        start = now_usec(CLOCK_MONOTONIC);
        LOOP_UNTIL(f->event, f->accepted->len == 1);
        turns = loop_settle(f->event);
        g_assert_cmpuint(turns, <, 10); /* rests instead of spinning */
        g_assert_cmpuint(f->accepted->len, ==, 1);

        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
        LOOP_UNTIL(f->event, f->accepted->len == 2);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - start, >=, 100 * USEC_PER_MSEC);
        (void) close(a);
        (void) close(b);
}

/* One line, although now and then one more is accepted. */
static void test_out_of_descriptors_for_long(Fixture *f, gconstpointer unused) {
        Capture capture = capture_file();
        g_autofree char *text = NULL;
        struct rlimit before, tight;
        int clients[4];

        g_assert_cmpint(open_tcp(f, "127.0.0.1", 0, &f->listener), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                g_assert_cmpint(clients[i] = client("127.0.0.1", listener_port(f->listener)), >=, 0);
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        tight = before;
        tight.rlim_cur = (rlim_t) clients[ELEMENTSOF(clients) - 1] + 2; /* one more fits */
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &tight), ==, 0);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                LOOP_UNTIL(f->event, f->accepted->len == 1);
                close_accepted(f);
        }
        (void) loop_settle(f->event);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);

        text = capture_end(&capture);
        g_assert_nonnull(strstr(text, "cannot accept"));
        g_assert_null(strchr(strchr(text, '\n') + 1, '\n'));
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                (void) close(clients[i]);
}

static void test_borrow(Fixture *f, gconstpointer unused) {
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        uint16_t port;
        int fd, c;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* blocking: made non-blocking */
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &sin, sizeof(sin)), ==, 0);
        g_assert_cmpint(listen(fd, 10), ==, 0);

        g_assert_cmpint(listener_borrow(f->event, fd, "test", on_accept, f, &f->listener), ==, 0);
        port = listener_port(f->listener);
        g_assert_cmpint(c = client("127.0.0.1", port), >=, 0);
        LOOP_UNTIL(f->event, f->accepted->len == 1);
        (void) close(c);

        /* Given back: it still listens, and nobody accepts. */
        f->listener = listener_free(f->listener);
        g_assert_cmpint(c = client("127.0.0.1", port), >=, 0);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
        g_assert_cmpuint(f->accepted->len, ==, 1);

        /* Borrowed again: who waited is accepted. */
        g_assert_cmpint(listener_borrow(f->event, fd, "test", on_accept, f, &f->listener), ==, 0);
        LOOP_UNTIL(f->event, f->accepted->len == 2);
        (void) close(c);
        (void) close(fd);
}

static void test_unix(Fixture *f, gconstpointer unused) {
        Listener *second = NULL;
        struct stat st;
        int c;

        g_assert_cmpint(open_unix(f, &f->listener), ==, 0);
        g_assert_cmpint(lstat(f->path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0660);
        g_assert_cmpint(c = unix_client(f->path), >=, 0);
        LOOP_UNTIL(f->event, f->accepted->len == 1);
        (void) close(c);

        g_assert_cmpint(open_unix(f, &second), ==, -EADDRINUSE); /* somebody listens */
        f->listener = listener_free(f->listener);
        g_assert_cmpint(lstat(f->path, &st), ==, -1);
}

static void test_unix_stale(Fixture *f, gconstpointer unused) {
        struct sockaddr_un sun;
        struct stat st;
        int fd;

        /* What a killed process leaves behind. */
        g_assert_cmpint(address_unix(f->path, &sun), ==, 0);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &sun, sizeof(sun)), ==, 0);
        (void) close(fd);
        g_assert_cmpint(open_unix(f, &f->listener), ==, 0);
        g_assert_cmpint(fd = unix_client(f->path), >=, 0);
        (void) close(fd);

        /* The file that somebody put in place of ours is not ours to remove. */
        g_assert_cmpint(g_unlink(f->path), ==, 0);
        g_assert_true(g_file_set_contents(f->path, "x", 1, NULL));
        f->listener = listener_free(f->listener);
        g_assert_cmpint(lstat(f->path, &st), ==, 0);

        /* And what is no socket is not replaced. */
        g_assert_cmpint(open_unix(f, &f->listener), ==, -EADDRINUSE);
        g_assert_cmpint(lstat(f->path, &st), ==, 0);
}

/* A listener that is too busy to take a connection is alive. */
static void test_unix_busy(Fixture *f, gconstpointer unused) {
        struct sockaddr_un sun;
        int fd, fillers[2];

        g_assert_cmpint(address_unix(f->path, &sun), ==, 0);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &sun, sizeof(sun)), ==, 0);
        g_assert_cmpint(listen(fd, 0), ==, 0);
        for (unsigned i = 0; i < ELEMENTSOF(fillers); i++) {
                fillers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
                (void) connect(fillers[i], (struct sockaddr *) &sun, sizeof(sun));
        }
        g_assert_cmpint(open_unix(f, &f->listener), ==, -EADDRINUSE);
        for (unsigned i = 0; i < ELEMENTSOF(fillers); i++)
                (void) close(fillers[i]);
        (void) close(fd);
}

static bool is_at(const char *host, uint16_t port) {
        struct addrinfo *list;
        bool is;

        g_assert_cmpint(address_numeric(host, port, false, &list), ==, 0);
        is = listener_is_at(list->ai_addr);
        freeaddrinfo(list);
        return is;
}

static void test_is_at(Fixture *f, gconstpointer unused) {
        Listener *other;
        uint16_t port;

        g_assert_cmpint(open_tcp(f, "127.0.0.1", 0, &f->listener), ==, 0);
        port = listener_port(f->listener);
        g_assert_true(is_at("127.0.0.1", port));
        g_assert_true(is_at("::ffff:127.0.0.1", port));
        g_assert_false(is_at("127.0.0.1", port ^ 1));
        g_assert_false(is_at("127.0.0.2", port));
        g_assert_false(is_at("::1", port));
        f->listener = listener_free(f->listener);
        g_assert_false(is_at("127.0.0.1", port));

        g_assert_cmpint(open_tcp(f, "0.0.0.0", 0, &f->listener), ==, 0);
        port = listener_port(f->listener);
        g_assert_true(is_at("127.0.0.1", port));
        g_assert_true(is_at("127.0.0.2", port));
        g_assert_false(is_at("192.0.2.1", port)); /* somebody else's */
        g_assert_false(is_at("::1", port));

        if (open_tcp(f, "::", 0, &other) < 0)
                return; /* no IPv6 here */
        port = listener_port(other);
        g_assert_true(is_at("::1", port));
        g_assert_false(is_at("127.0.0.1", port));
        (void) listener_free(other);
        g_assert_false(is_at("::1", port));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/listener/" name, Fixture, NULL, set_up, func, tear_down)
        ADD("tcp", test_tcp);
        ADD("name", test_name);
        ADD("ipv6-only", test_ipv6_only);
        ADD("free-inside", test_free_inside);
        ADD("out-of-descriptors", test_out_of_descriptors);
        ADD("out-of-descriptors-for-long", test_out_of_descriptors_for_long);
        ADD("borrow", test_borrow);
        ADD("is-at", test_is_at);
        ADD("unix", test_unix);
        ADD("unix-stale", test_unix_stale);
        ADD("unix-busy", test_unix_busy);
        return g_test_run();
}
