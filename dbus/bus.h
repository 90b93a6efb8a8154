/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway on D-Bus: an observer of it that serves vtables. Connects by itself, starts before the bus,
 * survives its restart. Owns the connection, the name and what was announced. Loop thread.
 * docs/gatewayd-dbus.5.rst, dbus/io.gatewayd.Gateway1.xml. */
#pragma once

#include <systemd/sd-event.h>

#include "daemon/gateway.h"

typedef struct Bus Bus;

typedef struct BusHandler {
        void (*ready)(void *userdata);             /* once, in a later turn: the name is ours, or there is no bus yet */
        void (*failed)(int error, void *userdata); /* -EEXIST: another instance has the name; else the bus refuses us for good */
} BusHandler;

/* where: "system", "user" or an address. The gateway outlives the bus. <0: the address cannot be used. */
int bus_new(sd_event *event, Gateway *gateway, const char *where, const BusHandler *handler, void *userdata, Bus **ret);
/* Sends what is pending, gives the name back. */
Bus *bus_free(Bus *b);
DEFINE_CLEANUP(Bus, bus_free);

/* Introspection XML of the object at path, without a bus (--bus-introspect); a device path gives the
 * interfaces of its type, with any name. -ENOENT: no such path. */
int bus_introspect(const char *path, FILE *stream);
