/* SPDX-License-Identifier: Apache-2.0 */
/* Scan of a master's line for units (DeviceType.scan_begin). Loop thread. */
#pragma once

#include "base/deadline.h"
#include "devices/device.h"
#include "devices/modbus/modbus-conf.h"
#include "devices/modbus/modbus-identity.h"
#include "devices/modbus/modbus-link.h"

/* Usual addresses; 0 is broadcast, 248 to 255 are reserved but in use with TCP framing. */
#define MODBUS_SCAN_FROM 1U
#define MODBUS_SCAN_TO 247U

typedef struct ModbusScan {
        Device device;
        const ModbusFraming *framing;
        usec_t timeout, request_delay;
        unsigned to;
        ResolverQuery *query;   /* TCP: whether the host is this process is being found out */
        ModbusLink *link;       /* NULL: not connected, or not yet */
        bool connected, asking, ended;
        unsigned n_lost;        /* connections that ended since the last answer or timeout */
        usec_t attempt_at;      /* when the last attempt to connect began; 0: none yet */
        Deadline *next;         /* of the next request */

        unsigned unit;          /* under way … */
        bool answered;          /* … and there: now it is asked who it is */
        ModbusResult answer;
        usec_t round_trip;
        ModbusIdentity identity;
        unsigned n_found;
        uint8_t frame[MODBUS_FRAME_MAX];
        char *endpoint;
} ModbusScan;

/* As DeviceType wants them. Lines: {"Event": "begin", From, To, Endpoint, Draft: {connection: as
 * configured}, Parts: "remote_devices"}, {"Event": "progress", Unit, Found} before each unit, {"Event":
 * "found", Unit, Answer: a result of spec modbus.md 3.1, RoundTripUSec, VendorName, ProductCode,
 * MajorMinorRevision, Draft: one of the parts}. */
int modbus_scan_begin(Device *d, const DeviceScanOptions *options);
void modbus_scan_done(Device *d);
