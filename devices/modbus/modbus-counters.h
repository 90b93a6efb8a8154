/* SPDX-License-Identifier: Apache-2.0 */
/* What a master's line counts, for the status table. Plain data, embedded by its master; costs an answer some
 * nanoseconds. Loop thread. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

#define MODBUS_ROUND_TRIPS 128U /* kept: what the percentiles are of */

typedef struct ModbusCounters {
        uint64_t requests;      /* transmissions */
        uint64_t answers;       /* error responses, too */
        uint64_t retries;       /* transmissions of a request that had been transmitted */
        uint64_t timeouts;      /* attempts without an answer */
        uint64_t exceptions;    /* error responses */
        uint64_t round_trip;    /* of the last answer, microseconds */
        uint64_t round_trip_50, round_trip_99; /* percentiles of the last ones, brought up to date once a second */
        uint64_t load;          /* percent of the last second in which the line was in use */

        /* behind them */
        uint32_t round_trips[MODBUS_ROUND_TRIPS];
        usec_t second_begun, busy;
} ModbusCounters;

/* How an attempt went; round_trip: USEC_INFINITY without an answer. */
void modbus_counters_add(ModbusCounters *c, bool retry, usec_t round_trip, bool exception, usec_t begun_at,
                         usec_t ended_at);
