/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor server of the simplest kind on a loopback port, in the same loop as what is tested: it sends the states that the test
 * gives it and keeps what the one component says as text (observer-messages.h). */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "link/address.h"
#include "tests/unit/loop.h"
#include "tests/unit/observer-messages.h"

typedef struct FakeMonitor {
        sd_event *event;
        int listener, fd;
        Address address;
        Chatter chatter;
        Buffer in;
        GPtrArray *lines; /* what came and was not expected yet; "ping" for a ping */
        bool mute;        /* answers no ping */
        bool ended;       /* the component closed the connection; reset: not in order */
        bool reset;
} FakeMonitor;

static inline void fake_monitor_init(FakeMonitor *m, sd_event *event) {
        struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(sin);

        *m = (FakeMonitor) { .event = event, .fd = -EBADF };
        m->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(m->listener, >=, 0);
        g_assert_cmpint(bind(m->listener, (struct sockaddr *) &sin, size), ==, 0);
        g_assert_cmpint(listen(m->listener, 1), ==, 0);
        g_assert_cmpint(getsockname(m->listener, (struct sockaddr *) &sin, &size), ==, 0);
        address_set_tcp(&m->address, "127.0.0.1", ntohs(sin.sin_port));
        m->lines = g_ptr_array_new_with_free_func(g_free);
        chatter_init(&m->chatter, 0);
}

static inline void fake_monitor_done(FakeMonitor *m) {
        safe_close(m->fd);
        safe_close(m->listener);
        address_done(&m->address);
        buffer_done(&m->in);
        g_ptr_array_unref(m->lines);
}

static inline bool fake_monitor_try_accept(FakeMonitor *m) {
        if (m->fd < 0)
                m->fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return m->fd >= 0;
}

static inline void fake_monitor_accept(FakeMonitor *m) {
        LOOP_UNTIL(m->event, fake_monitor_try_accept(m));
}

static inline void fake_monitor_write(FakeMonitor *m, const Buffer *b) {
        g_assert_cmpint(send(m->fd, buffer_begin(b), buffer_size(b), MSG_NOSIGNAL), ==, (ssize_t) buffer_size(b));
}

static inline void fake_monitor_state(FakeMonitor *m, int64_t cid, const MonitorEntry *entries, size_t n) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        monitor_message(&m->chatter, cid, 0, entries, n, &b);
        fake_monitor_write(m, &b);
}

static inline void fake_monitor_send(FakeMonitor *m, const char *type, const void *body, size_t size) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        (void) chatter_send(&m->chatter, true, type, body, size, &b);
        fake_monitor_write(m, &b);
}

/* Takes what has come; nothing blocks. */
static inline void fake_monitor_read(FakeMonitor *m) {
        _cleanup_(buffer_done) Buffer pongs = { 0 };
        ChatterMessage message;
        size_t used;
        int r;

        while (m->fd >= 0 && !m->ended) {
                uint8_t *p = buffer_reserve(&m->in, 4096);
                ssize_t n = recv(m->fd, p, 4096, MSG_DONTWAIT);

                if (n < 0 && errno == EAGAIN)
                        break;
                m->ended = n <= 0;
                m->reset = n < 0;
                buffer_commit(&m->in, (size_t) MAX(n, 0));
        }
        do {
                size_t before = buffer_size(&pongs);

                r = chatter_receive(&m->chatter, buffer_begin(&m->in), buffer_size(&m->in), 0, &pongs, &used, &message);
                g_assert_cmpint(r, >=, 0);
                if (r > 0)
                        g_ptr_array_add(m->lines, component_message_text(&message));
                else if (buffer_size(&pongs) > before)
                        g_ptr_array_add(m->lines, g_strdup("ping"));
                buffer_consume(&m->in, used);
        } while (used > 0);
        if (buffer_size(&pongs) > 0 && !m->mute && !m->ended)
                fake_monitor_write(m, &pongs);
}

static inline bool fake_monitor_has_line(FakeMonitor *m) {
        fake_monitor_read(m);
        return m->lines->len > 0;
}

static inline bool fake_monitor_has_ended(FakeMonitor *m) {
        fake_monitor_read(m);
        return m->ended;
}

/* The next message must be this one. */
static inline void fake_monitor_expect(FakeMonitor *m, const char *line) {
        LOOP_UNTIL(m->event, fake_monitor_has_line(m) || m->ended);
        g_assert_cmpuint(m->lines->len, >, 0);
        g_assert_cmpstr(m->lines->pdata[0], ==, line);
        g_ptr_array_remove_index(m->lines, 0);
}

/* The end of the connection must come, with no message before it. */
static inline void fake_monitor_expect_end(FakeMonitor *m) {
        LOOP_UNTIL(m->event, fake_monitor_has_line(m) || m->ended);
        g_assert_cmpuint(m->lines->len, ==, 0);
        g_assert_true(m->ended);
}
