/* SPDX-License-Identifier: Apache-2.0 */
/* The least that can be called an event server, for measurements: it must never be the slow part. It
 * accepts every client as operational, answers each query for latest events with an `enable` event that says
 * true (for a type with `?` one for each unit id of a list), and counts what is registered. Nothing is kept
 * and nobody is notified. One connection, bytes in and bytes out; any thread. */
#pragma once

#include "event/chatter.h"
#include "event/event.h"

typedef struct Sink {
        Chatter chatter;
        Buffer out;             /* to be sent; its owner empties it */
        const char *const *ids; /* NULL-terminated: what `?` of a query stands for */
        uint64_t events, messages;
} Sink;

void sink_init(Sink *s, const char *const *ids);
void sink_done(Sink *s);

/* Consumes whole messages and returns how many bytes that are. Registrations are counted, the answers to
 * everything else are appended to `out`. -EBADMSG, -EMSGSIZE, -EPROTO: close. */
int64_t sink_receive(Sink *s, const uint8_t *data, size_t size);
/* Appends a notification of one event. */
void sink_notify(Sink *s, EventType type, JsonSpan payload);
/* … of the event that writes the value to `w` of remote device 1 of the modbus_master `dev` of the gateway `bench` (layout
 * named). */
void sink_notify_write(Sink *s, unsigned value);
