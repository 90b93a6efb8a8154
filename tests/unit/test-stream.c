/* SPDX-License-Identifier: Apache-2.0 */
/* link/stream over socketpairs and loopback, with a raw descriptor as the peer. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "link/stream.h"
#include "tests/unit/fake-names.h"
#include "tests/unit/loop.h"

typedef enum Consume { CONSUME_ALL, CONSUME_NOTHING, CONSUME_FRAMES } Consume;
typedef enum When { NEVER, IN_CONNECTED, IN_RECEIVED, IN_DRAINED, IN_CLOSED } When;

#define FRAME 4U

typedef struct Fixture {
        sd_event *event;
        Resolver *resolver;
        Stream *stream;
        int peer;
        StreamOptions options;
        Consume consume;
        When free_in;
        GByteArray *received; /* consumed */
        unsigned n_connected, n_received, n_drained, n_closed;
        size_t last_size;
        int error;
        bool write_in_received, discard_in_received, pause_in_received, close_in_received;
} Fixture;

static void maybe_free(Fixture *f, When when) {
        if (f->free_in == when)
                f->stream = stream_free(f->stream);
}

static void on_connected(Stream *s, void *userdata) {
        Fixture *f = userdata;

        g_assert_true(s == f->stream);
        g_assert_cmpuint(f->n_connected++, ==, 0);
        maybe_free(f, IN_CONNECTED);
}

static size_t on_received(Stream *s, const uint8_t *data, size_t size, void *userdata) {
        Fixture *f = userdata;
        size_t consumed = 0;

        g_assert_true(s == f->stream);
        g_assert_cmpuint(f->n_closed, ==, 0);
        f->n_received++;
        f->last_size = size;
        if (f->consume == CONSUME_ALL)
                consumed = size;
        else if (f->consume == CONSUME_FRAMES)
                consumed = size - size % FRAME;

        if (f->write_in_received)
                (void) stream_write(s, "x", 1);
        if (f->discard_in_received)
                stream_discard_input(s);
        if (f->pause_in_received)
                stream_set_reading(s, false);
        if (f->close_in_received)
                stream_close_flushed(s, USEC_PER_SEC);
        maybe_free(f, IN_RECEIVED);
        if (consumed > 0)
                g_byte_array_append(f->received, data, (guint) consumed); /* still valid */
        return consumed;
}

static void on_drained(Stream *s, void *userdata) {
        Fixture *f = userdata;

        g_assert_cmpuint(stream_unsent(s), ==, 0);
        f->n_drained++;
        maybe_free(f, IN_DRAINED);
}

static void on_closed(Stream *s, int error, void *userdata) {
        Fixture *f = userdata;

        g_assert_true(s == f->stream);
        g_assert_cmpuint(f->n_closed++, ==, 0);
        f->error = error;
        maybe_free(f, IN_CLOSED);
}

static const StreamHandler handler = {
        .connected = on_connected,
        .received = on_received,
        .drained = on_drained,
        .closed = on_closed,
};

static void set_up(Fixture *f, gconstpointer unused) {
        (void) sem_init(&fake_names_gate, 0, 0);
        (void) sem_init(&fake_names_blocked, 0, 0);
        f->event = loop_new();
        f->peer = -EBADF;
        f->received = g_byte_array_new();
        f->options = (StreamOptions) { .connect_timeout = 5 * USEC_PER_SEC, .receive_max = 16 << 20 };
        g_assert_cmpint(resolver_new(f->event, &f->resolver), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->stream = stream_free(f->stream);
        f->peer = safe_close(f->peer);
        f->resolver = resolver_free(f->resolver);
        g_byte_array_unref(f->received);
        f->event = sd_event_unref(f->event);
}

/* ---- peers -------------------------------------------------------------------------------------------------------- */

static void adopt(Fixture *f, int fd) {
        g_assert_cmpint(stream_adopt(f->event, fd, &f->options, "test", &handler, f, &f->stream), ==, 0);
        g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
        g_assert_cmpint(stream_get_fd(f->stream), ==, fd);
}

static void pair_unix(Fixture *f) {
        int fds[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
        f->peer = fds[1];
        adopt(f, fds[0]);
}

static int listen_on(uint32_t host, uint16_t port, int backlog, uint16_t *ret_port) {
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(host), .sin_port = htons(port) };
        socklen_t size = sizeof(sin);
        const int on = 1;
        int fd;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), ==, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &sin, size), ==, 0);
        g_assert_cmpint(listen(fd, backlog), ==, 0);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *) &sin, &size), ==, 0);
        *ret_port = ntohs(sin.sin_port);
        return fd;
}

static int connect_to(uint16_t port, int flags) {
        struct sockaddr_in sin = {
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                .sin_port = htons(port),
        };
        int fd;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
        g_assert_cmpint(fd, >=, 0);
        if (connect(fd, (struct sockaddr *) &sin, sizeof(sin)) < 0)
                g_assert_cmpint(errno, ==, EINPROGRESS);
        return fd;
}

static void pair_tcp(Fixture *f) {
        uint16_t port;
        int listener, fd;

        listener = listen_on(INADDR_LOOPBACK, 0, 1, &port);
        fd = connect_to(port, 0);
        f->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        g_assert_cmpint(f->peer, >=, 0);
        (void) close(listener);
        adopt(f, fd);
}

static void peer_write(Fixture *f, const void *data, size_t size) {
        g_assert_cmpint(send(f->peer, data, size, MSG_NOSIGNAL), ==, (ssize_t) size);
}

/* Reads exactly this much while the loop runs. */
static void peer_read(Fixture *f, uint8_t *data, size_t size) {
        size_t have = 0;

        while (have < size) {
                ssize_t n = 0;

                LOOP_UNTIL(f->event, (n = recv(f->peer, data + have, size - have, MSG_DONTWAIT)) >= 0);
                g_assert_cmpint(n, >, 0);
                have += (size_t) n;
        }
}

/* Until the peer sees the end; returns how many bytes came before. */
static size_t peer_read_end(Fixture *f) {
        uint8_t data[65536];
        size_t have = 0;
        ssize_t n = 0;

        for (;;) {
                LOOP_UNTIL(f->event, (n = recv(f->peer, data, sizeof(data), MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
                g_assert_cmpint(n, >=, 0); /* an end, not a reset */
                if (n == 0)
                        return have;
                have += (size_t) n;
        }
}

static void peer_reset(Fixture *f) {
        const struct linger linger = { .l_onoff = 1 };

        g_assert_cmpint(setsockopt(f->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), ==, 0);
        f->peer = safe_close(f->peer);
}

static void small_buffer(Fixture *f) {
        const int size = 4096;

        (void) setsockopt(stream_get_fd(f->stream), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static uint8_t *pattern_new(size_t size) {
        uint8_t *data = g_malloc(size);

        for (size_t i = 0; i < size; i++)
                data[i] = (uint8_t) (i * 31 + i / 251);
        return data;
}

/* What the loop's epoll waits for at the stream's descriptor; 0: it is not there. */
static uint32_t epoll_events(Fixture *f) {
        g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", sd_event_get_fd(f->event)), *text = NULL;
        int tfd;
        uint32_t events;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        for (const char *line = strstr(text, "tfd:"); line; line = strstr(line + 1, "tfd:")) {
                g_assert_cmpint(sscanf(line, "tfd: %d events: %x", &tfd, &events), ==, 2);
                if (tfd == stream_get_fd(f->stream))
                        return events & (EPOLLIN | EPOLLOUT | EPOLLRDHUP);
        }
        return 0;
}

/* ---- input -------------------------------------------------------------------------------------------------------- */

static void test_echo(Fixture *f, gconstpointer unused) {
        uint8_t byte = 0;

        pair_tcp(f);
        f->write_in_received = true;
        for (unsigned i = 1; i <= 3; i++) {
                peer_write(f, "abc", 3);
                LOOP_UNTIL(f->event, f->n_received == i);
                peer_read(f, &byte, 1);
                g_assert_cmpint(byte, ==, 'x');
        }
        g_assert_cmpuint(f->received->len, ==, 9);
        g_assert_cmpuint(f->n_drained, ==, 0); /* nothing ever waited */
        g_assert_cmpuint(f->n_connected, ==, 0);
}

static void test_leftovers(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        f->consume = CONSUME_FRAMES;
        peer_write(f, "ab", 2);
        LOOP_UNTIL(f->event, f->n_received == 1);
        g_assert_cmpuint(loop_settle(f->event), <=, 1);
        g_assert_cmpuint(f->n_received, ==, 1); /* not again without news */

        peer_write(f, "cdefg", 5);
        LOOP_UNTIL(f->event, f->n_received == 2);
        g_assert_cmpuint(f->last_size, ==, 7);
        peer_write(f, "h", 1);
        LOOP_UNTIL(f->event, f->n_received == 3);
        g_assert_cmpuint(f->last_size, ==, 4);
        g_assert_cmpmem(f->received->data, f->received->len, "abcdefgh", 8);
}

/* A frame far bigger than the scratch buffer, then small ones behind it. */
static void test_big(Fixture *f, gconstpointer unused) {
        const size_t size = (3 << 20) + 1;
        g_autofree uint8_t *data = pattern_new(size);
        size_t sent = 0;

        pair_unix(f);
        f->consume = CONSUME_NOTHING;
        while (f->last_size < size - 1) {
                ssize_t n = send(f->peer, data + sent, size - 1 - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

                sent += n > 0 ? (size_t) n : 0;
                g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC), >, 0);
        }
        f->consume = CONSUME_FRAMES;
        peer_write(f, data + sent, 1);
        LOOP_UNTIL(f->event, f->last_size == size);
        g_assert_cmpmem(f->received->data, f->received->len, data, size - size % FRAME);
        g_byte_array_set_size(f->received, 0);
        peer_write(f, "bcd", 3);
        LOOP_UNTIL(f->event, f->received->len == FRAME);
        g_assert_cmpint(f->received->data[0], ==, data[size - 1]);
        g_assert_cmpmem(f->received->data + 1, 3, "bcd", 3);
}

static void test_receive_max(Fixture *f, gconstpointer unused) {
        f->options.receive_max = 10;
        f->consume = CONSUME_NOTHING;
        pair_unix(f);
        peer_write(f, "0123456789", 10);
        LOOP_UNTIL(f->event, f->n_received == 1);
        g_assert_cmpuint(f->n_closed, ==, 0);
        peer_write(f, "0", 1);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -EMSGSIZE);
}

static void test_discard(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        f->consume = CONSUME_NOTHING;
        peer_write(f, "abc", 3);
        LOOP_UNTIL(f->event, f->n_received == 1);
        peer_write(f, "def", 3); /* in the kernel */
        stream_discard_input(f->stream);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_received, ==, 1);
        peer_write(f, "gh", 2);
        LOOP_UNTIL(f->event, f->n_received == 2);
        g_assert_cmpuint(f->last_size, ==, 2);

        f->discard_in_received = true;
        peer_write(f, "ij", 2);
        LOOP_UNTIL(f->event, f->n_received == 3);
        g_assert_cmpuint(f->last_size, ==, 4);
        f->discard_in_received = false;
        peer_write(f, "k", 1);
        LOOP_UNTIL(f->event, f->n_received == 4);
        g_assert_cmpuint(f->last_size, ==, 1);
}

/* ---- loss --------------------------------------------------------------------------------------------------------- */

static void test_end(Fixture *f, gconstpointer tcp) {
        if (tcp)
                pair_tcp(f);
        else
                pair_unix(f);
        peer_write(f, "last", 4);
        (void) shutdown(f->peer, SHUT_WR); /* a half-open peer is gone, too */
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpmem(f->received->data, f->received->len, "last", 4);
        g_assert_cmpint(stream_write(f->stream, "x", 1), ==, -ENOTCONN);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
}

static void test_reset(Fixture *f, gconstpointer unused) {
        pair_tcp(f);
        peer_reset(f);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ECONNRESET);
}

static void test_pause(Fixture *f, gconstpointer unused) {
        pair_tcp(f);
        stream_set_reading(f->stream, false);
        peer_write(f, "abc", 3);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
        stream_set_reading(f->stream, true);
        LOOP_UNTIL(f->event, f->n_received == 1);

        f->pause_in_received = true;
        peer_write(f, "def", 3);
        LOOP_UNTIL(f->event, f->n_received == 2);
        peer_write(f, "ghi", 3);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);

        /* The peer's end waits for its last words, without a spin. */
        (void) shutdown(f->peer, SHUT_WR);
        g_assert_cmpuint(loop_settle(f->event), <, 5);
        g_assert_cmpuint(f->n_closed, ==, 0);
        f->pause_in_received = false;
        stream_set_reading(f->stream, true);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpmem(f->received->data, f->received->len, "abcdefghi", 9);
}

/* As before over a unix socket, where a hangup cannot be masked. */
static void test_pause_hangup(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        stream_set_reading(f->stream, false);
        peer_write(f, "abc", 3);
        f->peer = safe_close(f->peer);
        g_assert_cmpuint(loop_settle(f->event), <, 5);
        g_assert_cmpuint(f->n_closed, ==, 0);
        stream_set_reading(f->stream, true);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpmem(f->received->data, f->received->len, "abc", 3);
}

static void test_pause_end(Fixture *f, gconstpointer tcp) {
        if (tcp)
                pair_tcp(f);
        else
                pair_unix(f);
        stream_set_reading(f->stream, false);
        (void) shutdown(f->peer, SHUT_WR);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
}

static void test_pause_reset(Fixture *f, gconstpointer unused) {
        pair_tcp(f);
        stream_set_reading(f->stream, false);
        peer_write(f, "abc", 3);
        loop_settle(f->event);
        peer_reset(f);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ECONNRESET);
}

/* The peer has spoken and gone; we write before we have read. */
static void test_write_to_gone(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        peer_write(f, "last", 4);
        f->peer = safe_close(f->peer);
        g_assert_cmpint(stream_write(f->stream, "x", 1), ==, 0);
        g_assert_cmpint(stream_write(f->stream, "y", 1), ==, -ENOTCONN);
        g_assert_cmpuint(f->n_closed, ==, 0);
        g_assert_cmpuint(stream_unsent(f->stream), ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ECONNRESET);
        g_assert_cmpmem(f->received->data, f->received->len, "last", 4);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
}

/* ---- output ------------------------------------------------------------------------------------------------------- */

static void test_partial(Fixture *f, gconstpointer unused) {
        const size_t size = 1 << 20;
        g_autofree uint8_t *data = pattern_new(size), *got = g_malloc(size);
        const struct iovec iov[] = {
                { data, 1000 }, { data + 1000, 0 }, { data + 1000, size / 2 - 1000 }, { data + size / 2, size / 4 },
        };
        usec_t start = now_usec(CLOCK_MONOTONIC), progress;

        pair_unix(f);
        small_buffer(f);
        g_assert_cmpint(stream_write(f->stream, data, 0), ==, 0);
        g_assert_cmpuint(epoll_events(f), ==, EPOLLIN);
        g_assert_cmpint(stream_writev(f->stream, iov, ELEMENTSOF(iov)), ==, 0);
        g_assert_cmpuint(stream_unsent(f->stream), >, 0);
        g_assert_cmpuint(stream_unsent(f->stream), <, size * 3 / 4);
        g_assert_cmpint(stream_write(f->stream, data + size * 3 / 4, size / 4), ==, 0);
        g_assert_cmpuint(epoll_events(f), ==, EPOLLIN | EPOLLOUT);
        progress = stream_last_progress(f->stream);
        g_assert_cmpuint(progress, >=, start);

        /* A peer that does not read: no progress, no spin. */
        g_assert_cmpuint(loop_settle(f->event), <, 5);
        g_assert_cmpuint(f->n_drained, ==, 0);

        peer_read(f, got, size);
        LOOP_UNTIL(f->event, f->n_drained == 1);
        g_assert_cmpmem(got, size, data, size);
        g_assert_cmpuint(stream_unsent(f->stream), ==, 0);
        g_assert_cmpuint(stream_last_progress(f->stream), >, progress);
        g_assert_cmpuint(epoll_events(f), ==, EPOLLIN);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_drained, ==, 1);
}

/* The kernel is full and reading goes on. */
static void test_duplex(Fixture *f, gconstpointer unused) {
        g_autofree uint8_t *data = pattern_new(1 << 20);

        pair_unix(f);
        small_buffer(f);
        g_assert_cmpint(stream_write(f->stream, data, 1 << 20), ==, 0);
        peer_write(f, "abc", 3);
        LOOP_UNTIL(f->event, f->n_received == 1);
        g_assert_cmpuint(stream_unsent(f->stream), >, 0);

        /* Reading off and unsent bytes: the loss shows by the write. */
        stream_set_reading(f->stream, false);
        peer_write(f, "def", 3);
        f->peer = safe_close(f->peer);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ECONNRESET);
}

/* ---- flushed close ------------------------------------------------------------------------------------------------ */

static void test_close_flushed(Fixture *f, gconstpointer tcp) {
        const size_t size = 4 << 20;
        g_autofree uint8_t *data = pattern_new(size);

        if (tcp)
                pair_tcp(f);
        else
                pair_unix(f);
        small_buffer(f);
        peer_write(f, "unread", 6); /* would turn the close into a reset */
        g_assert_cmpint(stream_write(f->stream, data, size), ==, 0);
        g_assert_cmpuint(stream_unsent(f->stream), >, 0);
        stream_close_flushed(f->stream, 5 * USEC_PER_SEC);
        g_assert_cmpint(stream_write(f->stream, "x", 1), ==, -ENOTCONN);
        peer_write(f, "more", 4);
        g_assert_cmpuint(f->n_closed, ==, 0);
        f->free_in = IN_CLOSED;
        g_assert_cmpuint(peer_read_end(f), ==, size);
        (void) shutdown(f->peer, SHUT_WR);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(f->n_received, ==, 0);
}

/* The peer keeps its direction open: a moment, not the whole limit. */
static void test_close_linger(Fixture *f, gconstpointer unused) {
        usec_t start = now_usec(CLOCK_MONOTONIC);

        pair_tcp(f);
        g_assert_cmpint(stream_write(f->stream, "abc", 3), ==, 0);
        stream_close_flushed(f->stream, 60 * USEC_PER_SEC);
        g_assert_cmpuint(f->n_closed, ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - start, <, 5 * USEC_PER_SEC);
        f->stream = stream_free(f->stream);
        g_assert_cmpuint(peer_read_end(f), ==, 3);
}

static void test_close_limit(Fixture *f, gconstpointer unused) {
        g_autofree uint8_t *data = pattern_new(1 << 20);

        pair_unix(f);
        small_buffer(f);
        g_assert_cmpint(stream_write(f->stream, data, 1 << 20), ==, 0);
        (void) shutdown(f->peer, SHUT_WR); /* its end is no reason to stop, and does not make the loop spin */
        stream_close_flushed(f->stream, 50 * USEC_PER_MSEC);
        g_assert_cmpuint(loop_settle(f->event), <, 10);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ETIMEDOUT);
}

static void test_close_in_received(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        f->consume = CONSUME_NOTHING;
        f->close_in_received = true;
        peer_write(f, "abc", 3);
        LOOP_UNTIL(f->event, f->n_received == 1);
        peer_write(f, "def", 3);
        (void) shutdown(f->peer, SHUT_WR);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(f->n_received, ==, 1);
}

/* ---- freeing inside callbacks ------------------------------------------------------------------------------------- */

static void test_free_in_received(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        f->free_in = IN_RECEIVED;
        peer_write(f, "abc", 3);
        LOOP_UNTIL(f->event, !f->stream);
        g_assert_cmpmem(f->received->data, f->received->len, "abc", 3);
}

/* With a long unfinished frame the data is the stream's own memory. */
static void test_free_in_received_big(Fixture *f, gconstpointer unused) {
        g_autofree uint8_t *data = pattern_new(20000);

        pair_unix(f);
        f->consume = CONSUME_NOTHING;
        peer_write(f, data, 20000);
        LOOP_UNTIL(f->event, f->last_size == 20000);
        f->consume = CONSUME_ALL;
        f->free_in = IN_RECEIVED;
        peer_write(f, "x", 1);
        LOOP_UNTIL(f->event, !f->stream);
        g_assert_cmpmem(f->received->data, 20000, data, 20000);
        g_assert_cmpuint(f->received->len, ==, 20001);
}

static void test_free_in_drained(Fixture *f, gconstpointer unused) {
        g_autofree uint8_t *data = pattern_new(1 << 20), *got = g_malloc(1 << 20);

        pair_unix(f);
        small_buffer(f);
        f->free_in = IN_DRAINED;
        g_assert_cmpint(stream_write(f->stream, data, 1 << 20), ==, 0);
        peer_write(f, "abc", 3);
        peer_read(f, got, 1 << 20);
        LOOP_UNTIL(f->event, !f->stream);
        g_assert_cmpuint(f->n_closed, ==, 0);
}

static void test_free_in_closed(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        f->free_in = IN_CLOSED;
        f->peer = safe_close(f->peer);
        LOOP_UNTIL(f->event, !f->stream);
        g_assert_cmpuint(f->n_closed, ==, 1);
}

static void test_free_failed(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        f->peer = safe_close(f->peer);
        g_assert_cmpint(stream_write(f->stream, "x", 1), ==, 0);
        f->stream = stream_free(f->stream); /* the error is on its way */
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
        g_assert_null(stream_free(NULL));
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

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

        g_assert_cmpint(getsockopt(stream_get_fd(f->stream), IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), ==, 0);
        g_assert_cmpint(nodelay, !=, 0);
        g_assert_cmpint(getsockopt(stream_get_fd(f->stream), IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, &size),
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
        uint16_t port = 0, same;
        int hole, good, filler[4];

        hole = blackhole(INADDR_LOOPBACK, &port, filler);
        good = listen_on(INADDR_LOOPBACK + 2, port, 1, &same);
        f->options.connect_timeout = USEC_PER_SEC;
        g_assert_cmpint(begin(f, f->resolver, "127.0.0.2,127.0.0.1,127.0.0.3.test", port), ==, 0);
        LOOP_UNTIL(f->event, f->n_connected == 1);
        g_assert_cmpuint(f->n_closed, ==, 0);
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
        g_assert_cmpint(begin(f, f->resolver, "127.0.0.1.test", port), ==, 0);
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
        g_assert_cmpint(stream_connect(f->event, NULL, &a, &f->options, "test", &handler, f, &f->stream), ==, 0);
        g_assert_cmpuint(f->n_closed, ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ENOENT);
        f->stream = stream_free(f->stream);
        f->n_closed = 0;

        g_assert_cmpint(address_unix(a.path, &sun), ==, 0);
        listener = socket(AF_UNIX, SOCK_STREAM, 0);
        g_assert_cmpint(bind(listener, (struct sockaddr *) &sun, sizeof(sun)), ==, 0);
        g_assert_cmpint(listen(listener, 1), ==, 0);
        g_assert_cmpint(stream_connect(f->event, NULL, &a, &f->options, "test", &handler, f, &f->stream), ==, 0);
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
        ADD("echo", test_echo);
        ADD("leftovers", test_leftovers);
        ADD("big", test_big);
        ADD("receive-max", test_receive_max);
        ADD("discard", test_discard);
        ADD_DATA("end/unix", test_end, NULL);
        ADD_DATA("end/tcp", test_end, "tcp");
        ADD("reset", test_reset);
        ADD("pause", test_pause);
        ADD("pause/hangup", test_pause_hangup);
        ADD_DATA("pause/end/unix", test_pause_end, NULL);
        ADD_DATA("pause/end/tcp", test_pause_end, "tcp");
        ADD("pause/reset", test_pause_reset);
        ADD("write-to-gone", test_write_to_gone);
        ADD("partial", test_partial);
        ADD("duplex", test_duplex);
        ADD_DATA("close-flushed/unix", test_close_flushed, NULL);
        ADD_DATA("close-flushed/tcp", test_close_flushed, "tcp");
        ADD("close-flushed/linger", test_close_linger);
        ADD("close-flushed/limit", test_close_limit);
        ADD("close-flushed/in-received", test_close_in_received);
        ADD("free/in-received", test_free_in_received);
        ADD("free/in-received-big", test_free_in_received_big);
        ADD("free/in-drained", test_free_in_drained);
        ADD("free/in-closed", test_free_in_closed);
        ADD("free/failed", test_free_failed);
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
        ADD("connect/unix", test_connect_unix);
        ADD("connect/self", test_connect_self);
        return g_test_run();
}
