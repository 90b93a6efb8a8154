/* SPDX-License-Identifier: Apache-2.0 */
/* Writes of a master under way: from a write event over up to three requests to the result event (spec
 * modbus.md 2.3, 2.4, 5.5). Loop thread. */
#pragma once

#include "devices/modbus/modbus-unit.h"

/* The writes of one master, embedded by it. Those under way are the bus's jobs: they end with the line. */
typedef struct ModbusWrites {
        ModbusLine *line;
        bool dropping;          /* the queue is full, and the warning was given */
        uint64_t dropped;       /* D26; for the status table */
} ModbusWrites;

/* A write event, with the unit's id and the data's name as its type has them; u: NULL when there is no such unit.
 * One that cannot be sent is logged, and has a result only with answer_always (and a request_id). */
void modbus_writes_begin(ModbusWrites *w, ModbusUnit *u, Subtype id, Subtype name, const Event *event);