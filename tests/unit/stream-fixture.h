/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of link/stream share: a handler that counts and can misbehave inside each callback, and
 * raw descriptors as peers. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

static inline void maybe_free(Fixture *f, When when) {
        if (f->free_in == when)
                f->stream = stream_free(f->stream);
}

static inline void on_connected(Stream *s, void *userdata) {
        Fixture *f = userdata;

        g_assert_true(s == f->stream);
        g_assert_cmpuint(f->n_connected++, ==, 0);
        maybe_free(f, IN_CONNECTED);
}

static inline size_t on_received(Stream *s, const uint8_t *data, size_t size, void *userdata) {
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

static inline void on_drained(Stream *s, void *userdata) {
        Fixture *f = userdata;

        g_assert_cmpuint(stream_unsent(s), ==, 0);
        f->n_drained++;
        maybe_free(f, IN_DRAINED);
}

static inline void on_closed(Stream *s, int error, void *userdata) {
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

static inline void set_up(Fixture *f, gconstpointer unused) {
        (void) sem_init(&fake_names_gate, 0, 0);
        (void) sem_init(&fake_names_blocked, 0, 0);
        f->event = loop_new();
        f->peer = -EBADF;
        f->received = g_byte_array_new();
        f->options = (StreamOptions) { .connect_timeout = 5 * USEC_PER_SEC, .receive_max = 16 << 20 };
        g_assert_cmpint(resolver_new(f->event, 4, &f->resolver), ==, 0);
}

static inline void tear_down(Fixture *f, gconstpointer unused) {
        f->stream = stream_free(f->stream);
        f->peer = safe_close(f->peer);
        f->resolver = resolver_free(f->resolver);
        g_byte_array_unref(f->received);
        f->event = sd_event_unref(f->event);
}

/* ---- peers -------------------------------------------------------------------------------------------- */

static inline void adopt(Fixture *f, int fd) {
        g_assert_cmpint(stream_adopt(f->event, fd, &f->options, "test", &handler, f, &f->stream), ==, 0);
        g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, !=, 0);
        g_assert_cmpint(stream_get_fd(f->stream), ==, fd);
}

static inline void pair_unix(Fixture *f) {
        int fds[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
        f->peer = fds[1];
        adopt(f, fds[0]);
}

static inline int listen_on(uint32_t host, uint16_t port, int backlog, uint16_t *ret_port) {
        struct sockaddr_in sin = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(host),
                                   .sin_port = htons(port) };
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

static inline int connect_to(uint16_t port, int flags) {
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

static inline void pair_tcp(Fixture *f) {
        uint16_t port;
        int listener, fd;

        listener = listen_on(INADDR_LOOPBACK, 0, 1, &port);
        fd = connect_to(port, 0);
        f->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        g_assert_cmpint(f->peer, >=, 0);
        (void) close(listener);
        adopt(f, fd);
}

static inline void peer_write(Fixture *f, const void *data, size_t size) {
        g_assert_cmpint(send(f->peer, data, size, MSG_NOSIGNAL), ==, (ssize_t) size);
}

/* Reads exactly this much while the loop runs. */
static inline void peer_read(Fixture *f, uint8_t *data, size_t size) {
        size_t have = 0;

        while (have < size) {
                ssize_t n = 0;

                LOOP_UNTIL(f->event, (n = recv(f->peer, data + have, size - have, MSG_DONTWAIT)) >= 0);
                g_assert_cmpint(n, >, 0);
                have += (size_t) n;
        }
}

/* Until the peer sees the end; returns how many bytes came before. */
static inline size_t peer_read_end(Fixture *f) {
        uint8_t data[65536];
        size_t have = 0;
        ssize_t n = 0;

        for (;;) {
                LOOP_UNTIL(f->event,
                           (n = recv(f->peer, data, sizeof(data), MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
                g_assert_cmpint(n, >=, 0); /* an end, not a reset */
                if (n == 0)
                        return have;
                have += (size_t) n;
        }
}

static inline void peer_reset(Fixture *f) {
        const struct linger linger = { .l_onoff = 1 };

        g_assert_cmpint(setsockopt(f->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), ==, 0);
        f->peer = safe_close(f->peer);
}

static inline void small_buffer(Fixture *f) {
        const int size = 4096;

        (void) setsockopt(stream_get_fd(f->stream), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static inline uint8_t *pattern_new(size_t size) {
        uint8_t *data = g_malloc(size);

        for (size_t i = 0; i < size; i++)
                data[i] = (uint8_t) (i * 31 + i / 251);
        return data;
}

/* What the loop's epoll waits for at the stream's descriptor; 0: it is not there. */
static inline uint32_t epoll_events(Fixture *f) {
        g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", sd_event_get_fd(f->event)),
                        *text = NULL;
        int tfd;
        uint32_t events;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        for (const char *line = strstr(text, "tfd:"); line; line = strstr(line + 1, "tfd:")) {
                g_assert_cmpint(sscanf(line, "tfd: %d events: %x", &tfd, &events), ==, 2);
                if (tfd == stream_get_fd(f->stream))
                        return events & (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
        }
        return 0;
}
