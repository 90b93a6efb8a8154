/* SPDX-License-Identifier: Apache-2.0 */
/* One byte lost or added, at every position of a request to a modbus_slave: what its tests over TCP and on a line share.
 * Main thread. */
#pragma once

#include "tests/unit/modbus-client.h"

#define DAMAGE_WRITTEN "{\"name\": \"x\", \"value\": 4660}, {\"name\": \"y\", \"value\": 13312}"

static const struct {
        const char *request, *answer;
} damage_writes[] = {
        { "01 06 0000 1234", "01 06 0000 1234" },
        { "01 10 0000 0001 02 1234", "01 10 0000 0001" },
};

/* Positions are in digits, two each. Caller frees. */
static inline char *damaged(const char *frame, size_t at, const char *added) {
        return g_strdup_printf("%.*s%s%s", (int) at, frame, added ?: "", frame + at + (added ? 0 : 2));
}

/* A checksum tells: a write is carried out if it is whole, with noise around it, and else never happened; what follows
 * `gap` later is answered. The client has connection 1. */
static _unused_ void damage_checked(Client *c, ModbusFramingKind kind, size_t write, size_t at, const char *added,
                                    usec_t gap) {
        g_autofree char *whole = framed(kind, 0, damage_writes[write].request), *frame = damaged(whole, at, added),
                        *done = framed(kind, 0, damage_writes[write].answer),
                        *read = framed(kind, 0, "01 03 0000 0001"), *zero = framed(kind, 0, "01 03 02 0000");
        char id[64];

        g_test_message("%s", frame);
        client_send(c, frame);
        if (strstr(frame, whole)) {
                expect_write(c->host, 1, DAMAGE_WRITTEN, id);
                answer_write(c->host, id, "true");
                client_expect(c, done);
        }
        client_expect_nothing(c, gap);
        client_send(c, read);
        client_expect(c, zero);
        fake_host_expect_nothing(c->host, 0);
}

static _unused_ void damage_checked_everywhere(Client *c, ModbusFramingKind kind, usec_t gap) {
        static const char *const bytes[] = { NULL, "12", "00", "ff", "3a" /* the colon */ };

        for (size_t i = 0; i < G_N_ELEMENTS(damage_writes); i++) {
                g_autofree char *whole = framed(kind, 0, damage_writes[i].request);

                for (size_t j = 0; j < G_N_ELEMENTS(bytes); j++)
                        for (size_t at = 0; at < strlen(whole) + (bytes[j] ? 2 : 0); at += 2)
                                damage_checked(c, kind, i, at, bytes[j], gap);
        }
}

#define DAMAGE_READ "01 03 0000 0001"
#define DAMAGE_ZERO "\x00\x02\x00\x00\x00\x05\x01\x03\x02\x00\x00" /* its answer as transaction 2 */

static inline bool damage_has_ended(const Client *c) {
        static const size_t size = sizeof(DAMAGE_ZERO) - 1;
        const GByteArray *input = c->input;

        if (!c->tty)
                return c->ended;
        return c->host->link != DEVICE_LINK_UP ||
               (input->len >= size && memcmp(input->data + input->len - size, DAMAGE_ZERO, size) == 0);
}

/* TCP framing has no checksum and nothing that finds the next frame: within some more requests the connection is closed. On a
 * line what waits behind a write is dropped, so that it may also be in step again. */
static _unused_ void damage_unchecked(Client *c, size_t write, size_t at, const char *added) {
        g_autofree char *whole = framed(MODBUS_FRAMING_TCP, 1, damage_writes[write].request),
                        *frame = damaged(whole, at, added);
        usec_t limit = now_usec(CLOCK_MONOTONIC) + 6 * CLIENT_WAIT_USEC;

        g_test_message("%s", frame);
        client_send(c, frame);
        while (!damage_has_ended(c)) {
                usec_t end = now_usec(CLOCK_MONOTONIC) + 10 * MS;

                client_send_pdu(c, 2, DAMAGE_READ);
                while (!damage_has_ended(c) && now_usec(CLOCK_MONOTONIC) < end)
                        client_turn(c);
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, limit);
        }
}
