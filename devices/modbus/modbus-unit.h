/* SPDX-License-Identifier: Apache-2.0 */
/* One remote device of a master: its status, its polling, the events of what it answers (spec modbus.md
 * 5.1 to 5.4). Several share a line. Loop thread. */
#pragma once

#include "base/deadline.h"
#include "devices/device.h"
#include "devices/modbus/modbus-bus.h"
#include "devices/modbus/modbus-conf.h"
#include "devices/modbus/modbus-poll.h"

typedef struct ModbusUnit ModbusUnit;

/* What the remote devices of one master share; the master's. */
typedef struct ModbusLine {
        Device *device;
        ModbusBus *bus;
        const ModbusFraming *framing;
        unsigned max_outstanding;
        size_t n_silent;        /* units that do not answer */
        bool paused;            /* the event server is congested: no new polls */
        bool answer_always;     /* a write that cannot be sent has a result, too */
        bool report_changes;    /* an error only when it is another one */
        /* A remote device stopped answering or answers again. */
        void (*changed)(Device *d);
} ModbusLine;

typedef enum ModbusUnitStatus {
        MODBUS_UNIT_DISABLED,
        MODBUS_UNIT_CONNECTING,
        MODBUS_UNIT_CONNECTED,
        MODBUS_UNIT_DISCONNECTED,
        _MODBUS_UNIT_STATUS_MAX,
        _MODBUS_UNIT_STATUS_INVALID = -EINVAL, /* nothing was registered yet */
} ModbusUnitStatus;
DECLARE_STRING_TABLE(modbus_unit_status, ModbusUnitStatus);

/* One read under way. */
typedef struct ModbusRead {
        ModbusJob job;
        ModbusUnit *unit;
        bool used;
        size_t group;           /* of the poll's */
} ModbusRead;

struct ModbusUnit {
        ModbusLine *line;
        const ModbusRemoteConf *conf;
        char id_text[4];
        bool enabled;           /* by event; also while there is no connection … */
        usec_t enabled_at;      /* … since then */
        bool polling;           /* between start and stop */
        bool pausing;           /* in timeout_poll_delay */
        bool silent;            /* the last read timed out, or a gateway answered that it did not answer */
        bool mute;              /* the last request, a read or a write, timed out */
        bool living;            /* polled, and not silent: the bus counts it */
        ModbusUnitStatus status;
        ModbusPoll poll;
        ModbusRead *reads;      /* as many as may be under way … */
        unsigned n_reading, reads_max; /* … and are */
        Deadline *timer;        /* only when something is polled */

        /* for the status table */
        uint64_t device_id;
        const char *status_name;
        ModbusCounters counters;
        uint64_t last_answer;   /* CLOCK_REALTIME; 0: none yet */
};
extern const StatusField modbus_unit_fields[];

/* A zeroed one becomes ready. <0: modbus_unit_done() is still due. */
int modbus_unit_init(ModbusUnit *u, ModbusLine *line, const ModbusRemoteConf *conf, sd_event *event);
void modbus_unit_done(ModbusUnit *u);

/* The connection is up: polls when enabled, else registers DISABLED. */
void modbus_unit_connected(ModbusUnit *u);
/* Polling ends with DISABLED if it ran: the connection went, the device stops. */
void modbus_unit_stop(ModbusUnit *u);
/* Enables or disables; connected: takes effect now. */
void modbus_unit_set_enabled(ModbusUnit *u, bool enabled, bool connected);
/* How long ago the values were read that were read longest ago, or enabled; 0: nothing is read. Of a
 * ModbusUnit. */
uint64_t modbus_unit_oldest(const void *unit);
/* When it is asked again, CLOCK_REALTIME, and how long it takes at most until its return is noticed; 0: it
 * answers. */
uint64_t modbus_unit_next_probe(const void *unit);
uint64_t modbus_unit_recovery(const void *unit);

/* After line->paused became false. */
void modbus_unit_resume(ModbusUnit *u);
