/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of a modbus_master in a test: a TCP server on loopback in the device's own loop, or the far end of
 * a serial line, which the test plays by hand, request by request. One connection at a time. Main thread. */
#pragma once

#include "devices/modbus/modbus-codec.h"
#include "tests/unit/fake-host.h"
#include "tests/unit/pty.h"

typedef struct Peer {
        FakeHost *host;         /* whose loop is run while waiting; set by the test */
        int listener, client;   /* client: -EBADF while there is none */
        uint16_t port;
        Pty *pty;               /* of a line: client is its descriptor */
        ModbusFramingKind framing;
        GByteArray *input;      /* received and not taken */
        bool ended;             /* the client closed */
        unsigned accepted;
        uint16_t transaction;   /* of the last request taken */
        uint8_t unit;
} Peer;

Peer *peer_new(ModbusFramingKind framing);
Peer *peer_new_on_line(ModbusFramingKind framing);
Peer *peer_free(Peer *p);
DEFINE_CLEANUP(Peer, peer_free);

/* A line goes, and comes back. */
void peer_pull(Peer *p);
void peer_plug(Peer *p);
/* Waits for a connection. */
void peer_accept(Peer *p);
/* No more connections: they are refused. And again on the same port. */
void peer_refuse(Peer *p);
void peer_listen(Peer *p);
void peer_close(Peer *p);
/* The same, without a farewell: the client sees a reset. */
void peer_reset(Peer *p);
/* Waits until the client has closed. */
void peer_wait_end(Peer *p);

/* The next request is this: unit and PDU in hexadecimal digits. */
#define peer_expect(p, hex) peer_expect_request(p, hex, __FILE__, __LINE__)
void peer_expect_request(Peer *p, const char *hex, const char *file, int line);
/* Waits for the next request, whatever it is: transaction and unit say whose. */
void peer_take_any(Peer *p);
/* Nothing comes during this time. */
void peer_expect_nothing(Peer *p, usec_t duration);
/* Answers the last request taken with this PDU. */
void peer_answer(Peer *p, const char *pdu_hex);
/* Sends bytes as they are; `T` stands for the last transaction id. */
void peer_send(Peer *p, const char *hex);
