/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a modbus_master in a test. Main thread. */

#include "tests/unit/modbus-peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define WAIT_USEC (30 * USEC_PER_SEC)
#define LATE_USEC (5 * USEC_PER_MSEC)
#define TURN_USEC (1 * USEC_PER_MSEC)

static void append_hex(GByteArray *a, const char *hex) {
        for (; *hex; hex++) {
                uint8_t b;

                if (*hex == ' ')
                        continue;
                b = (uint8_t) (g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
                g_byte_array_append(a, &b, 1);
                hex++;
        }
}

static Peer *peer_alloc(ModbusFramingKind framing) {
        Peer *p = g_new0(Peer, 1);

        p->framing = framing;
        p->listener = p->client = -EBADF;
        p->input = g_byte_array_new();
        return p;
}

Peer *peer_new(ModbusFramingKind framing) {
        Peer *p = peer_alloc(framing);

        peer_listen(p);
        return p;
}

Peer *peer_new_on_line(ModbusFramingKind framing) {
        Peer *p = peer_alloc(framing);

        p->pty = pty_new();
        p->client = p->pty->fd;
        return p;
}

void peer_pull(Peer *p) {
        pty_pull(p->pty);
        p->client = -EBADF;
        g_byte_array_set_size(p->input, 0);
}

void peer_plug(Peer *p) {
        pty_plug(p->pty);
        p->client = p->pty->fd;
}

Peer *peer_free(Peer *p) {
        if (!p)
                return NULL;
        if (!p->pty)
                safe_close(p->client);
        p->pty = pty_free(p->pty);
        safe_close(p->listener);
        g_byte_array_unref(p->input);
        g_free(p);
        return NULL;
}

void peer_listen(Peer *p) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                       .sin_port = htons(p->port) };
        socklen_t size = sizeof(address);

        p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(p->listener, >=, 0);
        g_assert_cmpint(setsockopt(p->listener, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int)), ==, 0);
        g_assert_cmpint(bind(p->listener, (struct sockaddr *) &address, size), ==, 0);
        g_assert_cmpint(listen(p->listener, 8), ==, 0);
        g_assert_cmpint(getsockname(p->listener, (struct sockaddr *) &address, &size), ==, 0);
        p->port = ntohs(address.sin_port);
}

void peer_refuse(Peer *p) {
        p->listener = safe_close(p->listener);
}

void peer_close(Peer *p) {
        p->client = safe_close(p->client);
        g_byte_array_set_size(p->input, 0);
}

void peer_reset(Peer *p) {
        const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

        g_assert_cmpint(setsockopt(p->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), ==, 0);
        peer_close(p);
}

/* One turn of the device's loop, then what arrived here. */
static void peer_turn(Peer *p) {
        uint8_t buffer[4096];
        ssize_t n;

        g_assert_cmpint(sd_event_run(p->host->event, TURN_USEC), >=, 0);

        if (p->client < 0)
                return;
        n = read(p->client, buffer, sizeof(buffer));
        if (n > 0)
                g_byte_array_append(p->input, buffer, (guint) n);
        else if (!p->pty && (n == 0 || errno != EAGAIN))
                p->ended = true;
}

void peer_accept(Peer *p) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;

        peer_close(p);
        p->ended = false;
        while ((p->client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                peer_turn(p);
        }
        g_assert_cmpint(setsockopt(p->client, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int)), ==, 0);
        p->accepted++;
}

void peer_wait_end(Peer *p) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;

        while (!p->ended) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                peer_turn(p);
        }
}

/* Takes a whole request off the input, as unit and PDU. */
static GByteArray *peer_take(Peer *p) {
        const ModbusFraming *framing = modbus_framing_get(p->framing);
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusUnits units;
        ModbusSearch s;
        GByteArray *request;

        memset(&units, 0xff, sizeof(units));
        if (framing->find_request(&units, false, p->input->data, p->input->len, scratch, &s) <= 0)
                return NULL;

        p->transaction = s.frame.transaction;
        p->unit = s.frame.unit;
        request = g_byte_array_new();
        g_byte_array_append(request, &s.frame.unit, 1);
        g_byte_array_append(request, s.frame.pdu, (guint) s.frame.pdu_size);
        g_byte_array_remove_range(p->input, 0, (guint) s.consumed);
        return request;
}

void peer_expect_request(Peer *p, const char *hex, const char *file, int line) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;
        g_autoptr(GByteArray) request = NULL, expected = g_byte_array_new();

        append_hex(expected, hex);
        while (!(request = peer_take(p))) {
                if (now_usec(CLOCK_MONOTONIC) > end || p->ended)
                        g_error("%s:%d: expected request %s, none came", file, line, hex);
                peer_turn(p);
        }
        if (request->len != expected->len || memcmp(request->data, expected->data, request->len) != 0) {
                g_autoptr(GString) got = g_string_new(NULL);

                for (size_t i = 0; i < request->len; i++)
                        g_string_append_printf(got, "%02x", request->data[i]);
                g_error("%s:%d: expected request %s, got %s", file, line, hex, got->str);
        }
}

void peer_take_any(Peer *p) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC;
        GByteArray *request;

        while (!(request = peer_take(p))) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                peer_turn(p);
        }
        g_byte_array_unref(request);
}

void peer_expect_nothing(Peer *p, usec_t duration) {
        usec_t end = now_usec(CLOCK_MONOTONIC) + duration, now;

        do {
                peer_turn(p);
                now = now_usec(CLOCK_MONOTONIC);
                g_assert_true(p->input->len == 0 || now > end + LATE_USEC); /* due later: the turn was late */
        } while (now < end);
}

static void peer_write(Peer *p, const uint8_t *data, size_t size) {
        g_assert_cmpint(p->pty ? write(p->client, data, size) : send(p->client, data, size, MSG_NOSIGNAL), ==,
                        (ssize_t) size);
}

void peer_answer(Peer *p, const char *pdu_hex) {
        const ModbusFraming *framing = modbus_framing_get(p->framing);
        g_autoptr(GByteArray) pdu = g_byte_array_new();
        uint8_t frame[MODBUS_FRAME_MAX];

        append_hex(pdu, pdu_hex);
        memcpy(frame + framing->pdu_offset, pdu->data, pdu->len);
        peer_write(p, frame, framing->wrap(frame, p->transaction, p->unit, pdu->len));
}

void peer_send(Peer *p, const char *hex) {
        g_autoptr(GByteArray) data = g_byte_array_new();
        g_auto(GStrv) parts = g_strsplit(hex, "T", 2);

        append_hex(data, parts[0]);
        if (parts[1]) {
                uint8_t transaction[] = { (uint8_t) (p->transaction >> 8), (uint8_t) p->transaction };

                g_byte_array_append(data, transaction, 2);
                append_hex(data, parts[1]);
        }
        peer_write(p, data->data, data->len);
}
