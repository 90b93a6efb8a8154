/* SPDX-License-Identifier: Apache-2.0 */
/* One TCP connection of a master to a slave, or its serial line (spec modbus.md 6.3 to 6.9): finds requests,
 * answers them in order, and waits while the system thinks about a write. What a write means to the system is
 * its owner's. Requests that came together are answered by one write; a steady flow allocates nothing. Loop
 * thread. */
#pragma once

#include "base/deadline.h"
#include "devices/device.h"
#include "devices/modbus/modbus-channel.h"
#include "devices/modbus/modbus-store.h"
#include "link/tap.h"

typedef struct ModbusConnection ModbusConnection;

/* What a slave counts over all its connections. */
typedef struct ModbusSlaveCounters {
        uint64_t requests;      /* decodable ones, for whatever unit */
        uint64_t exceptions;    /* error answers … */
        uint64_t codes[STATUS_CODES_MAX]; /* … by code */
        uint64_t checksum_errors; /* requests with a wrong CRC (for our units) or LRC */
        uint64_t bytes_received, bytes_sent; /* of requests and answers */
        uint64_t writes;        /* registered */
} ModbusSlaveCounters;

typedef struct ModbusConnectionHandler {
        /* The line is open (modbus_connection_open()). */
        void (*opened)(ModbusConnection *c, void *userdata);
        /* A write that touches data: the owner registers it, and modbus_connection_answer() follows in a
         * later turn. false: it cannot be registered, the answer is FUNCTION_ERROR. */
        bool (*write)(ModbusConnection *c, ModbusStoreWrite *w, void *userdata);
        /* Serial line (6.4): the first request for us came, which is worked on after this; or none came for
         * too long, and a write that was pending is forgotten. */
        void (*active)(ModbusConnection *c, bool active, void *userdata);
        /* Once, last, never inside a call: 0 the peer ended it, -ETIMEDOUT keep alive, -EBADMSG a broken
         * frame, -ENODEV the line is gone, else another negative errno; before opened(): it could not be
         * opened. The owner frees the connection. */
        void (*closed)(ModbusConnection *c, int error, void *userdata);
} ModbusConnectionHandler;

/* What the connections of one slave share; the slave's, outlives them. */
typedef struct ModbusServer {
        sd_event *event;
        const ModbusFraming *framing;
        const ModbusStore *store;
        LinkTap *tap;
        usec_t response_timeout;
        usec_t keep_alive;      /* USEC_INFINITY: none */
        usec_t pause;           /* an incomplete request is waited for so long; USEC_INFINITY: for ever */
        bool line;              /* serial: others are on it, too */
        bool held;              /* no requests are wanted now */
        ModbusSlaveCounters counters;
        const ModbusConnectionHandler *handler;
        void *userdata;
} ModbusServer;

#define MODBUS_WRITE_ID_MAX 64U

/* Connections of one slave whose configuration has no limit or a higher one … */
#define MODBUS_CONNECTIONS_MAX 1000U
/* … and descriptors that no slave's connections take (a quarter where there are few). */
#define MODBUS_DESCRIPTORS_LEFT 128U

struct ModbusConnection {
        ModbusServer *server;
        uint64_t id;
        char *local_host, *remote_host, *remote; /* remote: tcp:HOST:PORT, for people */
        uint16_t local_port, remote_port;

        ModbusChannel channel;
        Deadline *deadline;     /* the earliest of the next three */
        usec_t alive_until, answer_until, pause_until;
        size_t left;            /* input that is not consumed yet … */
        bool paused;            /* … and for whose rest nobody waits any longer */
        bool stalled;           /* the peer does not read its answers */
        bool reading;
        bool active;            /* serial line: between the first request and keep alive */

        /* the write that waits for the system */
        bool pending;
        char write_id[MODBUS_WRITE_ID_MAX]; /* the owner's, terminated */
        uint8_t unit;
        uint16_t transaction;
        ModbusPdu request;      /* without data */
};
extern const StatusField modbus_connection_fields[];

/* Takes a connected TCP descriptor over, on success only. */
int modbus_connection_new(ModbusServer *server, int fd, uint64_t id, ModbusConnection **ret);
/* Begins to open a serial line; opened() or closed() follow in a later turn. Not active, without an id: the
 * owner gives it one. <0: nothing was begun. */
int modbus_connection_open(ModbusServer *server, const char *port, const SerialOptions *options,
                           ModbusConnection **ret);
/* Closes; no callback follows. */
ModbusConnection *modbus_connection_free(ModbusConnection *c);
DEFINE_CLEANUP(ModbusConnection, modbus_connection_free);

/* The system's answer to the write that is pending; later requests follow. */
void modbus_connection_answer(ModbusConnection *c, bool success);
/* After server->held changed: stops taking requests, or goes on. What is pending still ends; keep alive rests. */
void modbus_connection_flow(ModbusConnection *c);
