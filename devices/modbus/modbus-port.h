/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port of a slave, which comes and goes (spec modbus.md 6.1, D9): opens it, and opens it again when it
 * comes back, or every 5 s while it cannot be opened. Says on the device's link and tap how it is. Embedded in the
 * slave. Loop thread. */
#pragma once

#include "base/deadline.h"
#include "devices/modbus/modbus-connection.h"
#include "link/path-watch.h"

/* Zeroed: none. */
typedef struct ModbusPort {
        Device *device;
        ModbusServer *server;
        const char *path;
        SerialOptions options;
        ModbusConnection *connection; /* while it is open or being opened */
        bool open;
        PathWatch *watch;       /* while it is not open */
        bool returned;          /* … it came back since `tried_at` */
        usec_t tried_at;
        Deadline *timer;        /* of the next try */
} ModbusPort;

/* path is borrowed. <0: there is still none. */
int modbus_port_init(ModbusPort *p, Device *device, ModbusServer *server, const char *path,
                     const SerialOptions *options);
/* No callback follows. */
void modbus_port_done(ModbusPort *p);

/* Begins to open it. What server->handler then hears of the connection goes on to the next two. <0: not even
 * begun, which was said, too; it is tried again. */
int modbus_port_open(ModbusPort *p);
void modbus_port_opened(ModbusPort *p);
/* Frees the connection. */
void modbus_port_closed(ModbusPort *p, int error);
