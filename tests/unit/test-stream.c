/* SPDX-License-Identifier: Apache-2.0 */
/* link/stream once it is connected: input, loss, output, flushed close, freeing inside callbacks. */

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "tests/unit/stream-fixture.h"

/* ---- input -------------------------------------------------------------------------------------------- */

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

/* One turn takes so much of it, and others are served before the next one; nothing is left lying. */
static void test_read_max(Fixture *f, gconstpointer unused) {
        char bytes[35] = "";

        f->options.read_max = 10;
        pair_unix(f);
        g_assert_cmpint(write(f->peer, bytes, sizeof(bytes)), ==, sizeof(bytes));
        LOOP_UNTIL(f->event, f->received->len == sizeof(bytes));
        g_assert_cmpuint(f->n_received, ==, 4);
        g_assert_cmpuint(f->last_size, ==, 5);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
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

/* The end is behind what is thrown away. */
static void test_discard_end(Fixture *f, gconstpointer in_received) {
        pair_tcp(f);
        peer_write(f, "abc", 3);
        (void) shutdown(f->peer, SHUT_WR);
        f->discard_in_received = in_received;
        if (!in_received)
                stream_discard_input(f->stream);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(f->n_received, ==, in_received ? 1 : 0);
}

/* ---- loss --------------------------------------------------------------------------------------------- */

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

/* What was left comes again when asked for, without new bytes. */
static void test_process(Fixture *f, gconstpointer unused) {
        pair_tcp(f);
        f->consume = CONSUME_NOTHING;
        peer_write(f, "abcdef", 6);
        LOOP_UNTIL(f->event, f->n_received == 1);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);

        f->consume = CONSUME_FRAMES;
        stream_process(f->stream);
        g_assert_cmpuint(f->n_received, ==, 1); /* not inside the call */
        LOOP_UNTIL(f->event, f->n_received == 2);
        g_assert_cmpmem(f->received->data, f->received->len, "abcd", 4);

        f->consume = CONSUME_ALL;
        stream_set_reading(f->stream, false);
        stream_process(f->stream); /* not while reading is off */
        loop_settle(f->event);
        g_assert_cmpuint(f->n_received, ==, 2);
        stream_set_reading(f->stream, true);
        LOOP_UNTIL(f->event, f->n_received == 3);
        g_assert_cmpmem(f->received->data, f->received->len, "abcdef", 6);
        stream_process(f->stream); /* nothing is left */
        loop_settle(f->event);
        g_assert_cmpuint(f->n_received, ==, 3);
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

typedef enum Leftover { HANGUP = 1 << 0, AT_ONCE = 1 << 1, URGENT = 1 << 2 } Leftover;

/* What was received and not consumed comes before the end, however late, and whatever is asked first. */
static void test_pause_leftover(Fixture *f, gconstpointer data) {
        Leftover how = (Leftover) GPOINTER_TO_UINT(data);

        f->options.priority = how & URGENT ? SD_EVENT_PRIORITY_IMPORTANT : 0;
        if (how & HANGUP)
                pair_unix(f);
        else
                pair_tcp(f);
        f->consume = CONSUME_NOTHING;
        f->pause_in_received = true;
        peer_write(f, "abc", 3);
        if (!(how & AT_ONCE))
                LOOP_UNTIL(f->event, f->n_received == 1);
        if (how & HANGUP)
                f->peer = safe_close(f->peer);
        else
                (void) shutdown(f->peer, SHUT_WR);
        LOOP_UNTIL(f->event, f->n_received == 1);
        for (unsigned i = 1; i < 4; i++) { /* again and again */
                g_assert_cmpuint(loop_settle(f->event), <, 5);
                g_assert_cmpuint(f->n_received, ==, i);
                g_assert_cmpuint(f->n_closed, ==, 0);
                stream_set_reading(f->stream, true);
                LOOP_UNTIL(f->event, f->n_received > i);
        }
        f->consume = CONSUME_ALL;
        f->pause_in_received = false;
        stream_set_reading(f->stream, true);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpmem(f->received->data, f->received->len, "abc", 3);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
}

/* Reading is on again, and in the same turn we write to the peer that has gone. */
static void test_pause_leftover_write(Fixture *f, gconstpointer unused) {
        pair_unix(f);
        f->consume = CONSUME_NOTHING;
        f->pause_in_received = true;
        peer_write(f, "abc", 3);
        f->peer = safe_close(f->peer);
        LOOP_UNTIL(f->event, f->n_received == 1);
        g_assert_cmpuint(loop_settle(f->event), <, 5);
        f->consume = CONSUME_ALL;
        f->pause_in_received = false;
        stream_set_reading(f->stream, true);
        g_assert_cmpint(stream_write(f->stream, "x", 1), ==, 0);
        LOOP_UNTIL(f->event, f->n_closed == 1);
        g_assert_cmpint(f->error, ==, -ECONNRESET);
        g_assert_cmpmem(f->received->data, f->received->len, "abc", 3);
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

/* ---- output ------------------------------------------------------------------------------------------- */

static void test_partial(Fixture *f, gconstpointer unused) {
        const size_t size = 1 << 20;
        g_autofree uint8_t *data = pattern_new(size), *got = g_malloc(size);
        const struct iovec iov[] = {
                { data, 1000 },
                { data + 1000, 0 },
                { data + 1000, size / 2 - 1000 },
                { data + size / 2, size / 4 },
        };

        pair_unix(f);
        small_buffer(f);
        g_assert_cmpint(stream_write(f->stream, data, 0), ==, 0);
        g_assert_cmpuint(epoll_events(f), ==, EPOLLIN | EPOLLRDHUP | EPOLLET);
        g_assert_cmpint(stream_writev(f->stream, iov, ELEMENTSOF(iov)), ==, 0);
        g_assert_cmpuint(stream_unsent(f->stream), >, 0);
        g_assert_cmpuint(stream_unsent(f->stream), <, size * 3 / 4);
        g_assert_cmpint(stream_write(f->stream, data + size * 3 / 4, size / 4), ==, 0);
        g_assert_cmpuint(epoll_events(f), ==, EPOLLIN | EPOLLOUT);

        /* A peer that does not read: no progress, no spin. */
        g_assert_cmpuint(loop_settle(f->event), <, 5);
        g_assert_cmpuint(f->n_drained, ==, 0);

        peer_read(f, got, size);
        LOOP_UNTIL(f->event, f->n_drained == 1);
        g_assert_cmpmem(got, size, data, size);
        g_assert_cmpuint(stream_unsent(f->stream), ==, 0);
        g_assert_cmpuint(epoll_events(f), ==, EPOLLIN | EPOLLRDHUP | EPOLLET);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_drained, ==, 1);
}

/* From the first byte that waits, whenever the last one left; moved by every byte that leaves, and by none that joins. */
static void test_stall(Fixture *f, gconstpointer unused) {
        const size_t size = 1 << 20;
        g_autofree uint8_t *data = pattern_new(size);
        const usec_t limit = 40 * USEC_PER_SEC;
        usec_t begin, deadline;

        pair_unix(f);
        for (unsigned i = 0; i < 2; i++) {
                g_assert_cmpuint(stream_stall_deadline(f->stream, limit), ==, USEC_INFINITY);
                begin = now_usec(CLOCK_MONOTONIC);
                g_assert_cmpint(stream_write(f->stream, data, size), ==, 0);
                deadline = stream_stall_deadline(f->stream, limit);
                g_assert_cmpuint(deadline, >=, begin + limit);
                g_assert_cmpuint(deadline, <=, now_usec(CLOCK_MONOTONIC) + limit);

                g_assert_cmpint(stream_write(f->stream, data, size), ==, 0);
                loop_settle(f->event);
                g_assert_cmpuint(stream_stall_deadline(f->stream, limit), ==, deadline);

                peer_read(f, data, size);
                g_assert_cmpuint(stream_unsent(f->stream), >, 0);
                g_assert_cmpuint(stream_stall_deadline(f->stream, limit), >, deadline);
                peer_read(f, data, size);
        }
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

/* ---- flushed close ------------------------------------------------------------------------------------ */

static void test_close_flushed(Fixture *f, gconstpointer tcp) {
        const size_t size = 1 << 20;
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
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - start, <, 50 * USEC_PER_SEC);
        f->stream = stream_free(f->stream);
        g_assert_cmpuint(peer_read_end(f), ==, 3);
}

static void test_close_limit(Fixture *f, gconstpointer unused) {
        g_autofree uint8_t *data = pattern_new(1 << 20);

        pair_unix(f);
        small_buffer(f);
        g_assert_cmpint(stream_write(f->stream, data, 1 << 20), ==, 0);
        (void) shutdown(f->peer,
                        SHUT_WR); /* its end is no reason to stop, and does not make the loop spin */
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

/* The peer's last words lie unread while reading is off: they are thrown away, not left for a reset. */
static void test_close_paused(Fixture *f, gconstpointer tcp) {
        if (tcp)
                pair_tcp(f);
        else
                pair_unix(f);
        stream_set_reading(f->stream, false);
        peer_write(f, "abc", 3);
        (void) shutdown(f->peer, SHUT_WR);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_closed, ==, 0);
        g_assert_cmpint(stream_write(f->stream, "defg", 4), ==, 0);
        stream_close_flushed(f->stream, USEC_PER_SEC);
        f->free_in = IN_CLOSED;
        LOOP_UNTIL(f->event, !f->stream);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(peer_read_end(f), ==, 4);
}

/* ---- freeing inside callbacks ------------------------------------------------------------------------- */

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

/* ---- nothing arrives after the end ------------------------------------------------------------------- */

/* More than fits into the peer's buffers, also later. */
static void fill_peer(Fixture *f) {
        enum { SIZE = 8 << 20 };
        g_autofree uint8_t *data = g_malloc0(SIZE);

        pair_tcp(f);
        small_buffer(f);
        g_assert_cmpint(stream_write(f->stream, data, SIZE), ==, 0);
        loop_settle(f->event);
        g_assert_cmpuint(stream_unsent(f->stream), >, 0);
}

/* Takes what the kernel has, while the loop does not run. */
static void peer_drain(Fixture *f) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + LOOP_LIMIT_USEC;
        uint8_t data[65536];
        int n;

        while (ioctl(stream_get_fd(f->stream), SIOCOUTQ, &n) >= 0 && n > 0) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                (void) !recv(f->peer, data, sizeof(data), MSG_DONTWAIT);
        }
}

static void assert_reset(Fixture *f) {
        uint8_t data[65536];
        ssize_t n;

        do
                n = recv(f->peer, data, sizeof(data), 0);
        while (n > 0);
        g_assert_cmpint(n, <, 0);
        g_assert_cmpint(errno, ==, ECONNRESET);
}

/* Also when all that the kernel had is acknowledged: the rest is lost. */
static void test_abortive_limit(Fixture *f, gconstpointer unused) {
        fill_peer(f);
        stream_set_abortive(f->stream);
        stream_close_flushed(f->stream, USEC_PER_SEC / 10);
        LOOP_UNTIL(f->event, f->n_closed > 0);
        g_assert_cmpint(f->error, ==, -ETIMEDOUT);
        peer_drain(f);
        f->stream = stream_free(f->stream);
        assert_reset(f);
}

static void test_abortive_free(Fixture *f, gconstpointer unused) {
        fill_peer(f);
        stream_set_abortive(f->stream);
        f->stream = stream_free(f->stream);
        assert_reset(f);
}

/* What is acknowledged is no reason for a reset, and the peer has the whole time to end. */
static void test_abortive_flushed(Fixture *f, gconstpointer unused) {
        usec_t begin;

        pair_tcp(f);
        stream_set_abortive(f->stream);
        g_assert_cmpint(stream_write(f->stream, "abc", 3), ==, 0);
        stream_close_flushed(f->stream, 5 * USEC_PER_SEC);
        g_assert_cmpuint(peer_read_end(f), ==, 3);
        begin = now_usec(CLOCK_MONOTONIC);
        while (now_usec(CLOCK_MONOTONIC) < begin + 3 * USEC_PER_SEC / 10)
                g_assert_cmpint(sd_event_run(f->event, USEC_PER_SEC / 20), >=, 0);
        g_assert_cmpuint(f->n_closed, ==, 0);
        f->peer = safe_close(f->peer);
        LOOP_UNTIL(f->event, f->n_closed > 0);
        g_assert_cmpint(f->error, ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD_DATA(name, func, data) g_test_add("/stream/" name, Fixture, data, set_up, func, tear_down)
#define ADD(name, func) ADD_DATA(name, func, NULL)
        ADD("echo", test_echo);
        ADD("leftovers", test_leftovers);
        ADD("big", test_big);
        ADD("receive-max", test_receive_max);
        ADD("read-max", test_read_max);
        ADD("discard", test_discard);
        ADD_DATA("discard/end", test_discard_end, NULL);
        ADD_DATA("discard/end/in-received", test_discard_end, "in-received");
        ADD_DATA("end/unix", test_end, NULL);
        ADD_DATA("end/tcp", test_end, "tcp");
        ADD("reset", test_reset);
        ADD("pause", test_pause);
        ADD("process", test_process);
        ADD("pause/hangup", test_pause_hangup);
        ADD_DATA("pause/end/unix", test_pause_end, NULL);
        ADD_DATA("pause/end/tcp", test_pause_end, "tcp");
        ADD("pause/reset", test_pause_reset);
        for (unsigned how = 0; how <= (HANGUP | AT_ONCE | URGENT); how++) {
                g_autofree char *name = g_strdup_printf(
                                "/stream/pause/leftover%s%s%s", how & HANGUP ? "/hangup" : "/end",
                                how & AT_ONCE ? "/at-once" : "", how & URGENT ? "/urgent" : "");

                g_test_add(name, Fixture, GUINT_TO_POINTER(how), set_up, test_pause_leftover, tear_down);
        }
        ADD("pause/leftover/write", test_pause_leftover_write);
        ADD("write-to-gone", test_write_to_gone);
        ADD("partial", test_partial);
        ADD("stall", test_stall);
        ADD("duplex", test_duplex);
        ADD_DATA("close-flushed/unix", test_close_flushed, NULL);
        ADD_DATA("close-flushed/tcp", test_close_flushed, "tcp");
        ADD("close-flushed/linger", test_close_linger);
        ADD("close-flushed/limit", test_close_limit);
        ADD("close-flushed/in-received", test_close_in_received);
        ADD_DATA("close-flushed/paused/unix", test_close_paused, NULL);
        ADD_DATA("close-flushed/paused/tcp", test_close_paused, "tcp");
        ADD("free/in-received", test_free_in_received);
        ADD("free/in-received-big", test_free_in_received_big);
        ADD("free/in-drained", test_free_in_drained);
        ADD("free/in-closed", test_free_in_closed);
        ADD("free/failed", test_free_failed);
        ADD("abortive/limit", test_abortive_limit);
        ADD("abortive/free", test_abortive_free);
        ADD("abortive/flushed", test_abortive_flushed);
        return g_test_run();
}
