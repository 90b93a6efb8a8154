/* SPDX-License-Identifier: Apache-2.0 */
/* The interface behind which a line stands: one connection (or open port) of a master, one request on it
 * at a time, or several where answers say which of them they are for. The bus above it decides what is sent when;
 * a link knows how one attempt goes (spec modbus.md 4.3, from step 2 on). Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "devices/modbus/modbus-codec.h"
#include "link/resolver.h"
#include "link/serial.h"
#include "link/tap.h"

/* D25: least time between the beginnings of two attempts to connect. */
#define MODBUS_ATTEMPT_GAP_USEC (100 * USEC_PER_MSEC)

typedef struct ModbusLink ModbusLink;

/* A ready request. The frame is the submitter's, of the link's framing; the link gives it its transaction
 * id. */
typedef struct ModbusRequest {
        uint8_t *frame;
        size_t size;
        ModbusExpect expect;    /* all but the transaction */
} ModbusRequest;

/* How one attempt ended. error: 0 with a response (borrowed for the call), or -ETIMEDOUT with NULL.
 * Inside it, the link is free for the next request. */
typedef void (*ModbusLinkCallback)(int error, const ModbusResponse *response, void *userdata);

typedef struct ModbusLinkVTable {
        /* One attempt. Only when fewer than max_outstanding are under way; the callback comes once, in a
         * later turn, unless the link is freed or closes before. The request is not needed after the
         * call. */
        void (*submit)(ModbusLink *l, const ModbusRequest *request, ModbusLinkCallback callback,
                       void *userdata);
        /* With max_outstanding above 1: submitted requests need not leave before this, and then leave together.
         * NULL: one at a time. */
        void (*flush)(ModbusLink *l);
        /* Ends all attempts without a callback; an answer that still comes is thrown away. */
        void (*cancel)(ModbusLink *l);
        ModbusLink *(*free)(ModbusLink *l);
} ModbusLinkVTable;

/* First member of an implementation. */
struct ModbusLink {
        const ModbusLinkVTable *vtable;
        usec_t round_trip;      /* of the last response: from transmission to its arrival */
        size_t received;        /* … and its bytes on the wire */
        usec_t begun_at, ended_at; /* of the last attempt, monotonic */
        /* At the last timeout: a serial line on which requests come back, and their echo is dropped. */
        bool hears_itself;
        unsigned checksum_errors; /* frames with a wrong checksum; who counts them sets this to 0 */
};

typedef struct ModbusLinkHandler {
        void (*connected)(void *userdata);
        /* Once, last: it could not connect, or the connection is lost. error: 0 end of stream, -EBADMSG
         * closed by us because the stream could not be trusted, -ENODEV the serial line is gone, else as link/
         * says. No callback of an
         * attempt follows. The owner frees the link, also inside. */
        void (*closed)(int error, void *userdata);
} ModbusLinkHandler;

static inline ModbusLink *modbus_link_free(ModbusLink *l) {
        return l ? l->vtable->free(l) : NULL;
}

/* ---- implementations --------------------------------------------------------------------------------- */

typedef struct ModbusLinkOptions {
        const ModbusFraming *framing;
        usec_t connect_timeout; /* for connecting, or opening the line */
        usec_t request_timeout;
        unsigned max_outstanding; /* 1 to MODBUS_OUTSTANDING_MAX; above 1: only with transactions, over TCP */
        LinkTap *tap;
} ModbusLinkOptions;

/* All: connected() or closed() follow in a later turn; <0: nothing was begun. */

/* A TCP connection, by our own codec. */
int modbus_stream_link_connect(sd_event *event, Resolver *resolver, const char *host, uint16_t port,
                               const ModbusLinkOptions *options, const ModbusLinkHandler *handler,
                               void *userdata, ModbusLink **ret);
/* A serial line, by our own codec. */
int modbus_stream_link_open(sd_event *event, const char *path, const SerialOptions *line,
                            const ModbusLinkOptions *options, const ModbusLinkHandler *handler, void *userdata,
                            ModbusLink **ret);

/* What libmodbus cannot address; requests must keep to it. No QUEUE either. */
#define MODBUS_LIBRARY_UNIT_MAX 247U
/* A serial line with RTU framing, by libmodbus in a thread of its own (spec 11.3). Unlike the others it ends an
 * attempt at once, as timed out, when an answer has more than was asked for, and answers what the protocol forbids
 * (INVALID_DATA_VALUE) without sending it. -EMFILE: the library needs a low descriptor number and there is
 * none. */
int modbus_library_link_open(sd_event *event, const char *path, const SerialOptions *line,
                             const ModbusLinkOptions *options, const ModbusLinkHandler *handler, void *userdata,
                             ModbusLink **ret);
