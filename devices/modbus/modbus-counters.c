/* SPDX-License-Identifier: Apache-2.0 */
/* What a master's line counts. No state of its own. */

#include "devices/modbus/modbus-counters.h"

#include <stdlib.h>

#define UPDATE_EVERY 16U        /* answers, when there are enough … */
#define LOAD_WINDOW USEC_PER_SEC

static int compare(const void *a, const void *b) {
        uint32_t left = *(const uint32_t *) a, right = *(const uint32_t *) b;

        return left < right ? -1 : left > right;
}

static void update_percentiles(ModbusCounters *c) {
        uint32_t sorted[MODBUS_ROUND_TRIPS];
        size_t n = (size_t) MIN(c->answers, (uint64_t) MODBUS_ROUND_TRIPS);

        memcpy(sorted, c->round_trips, n * sizeof(sorted[0]));
        qsort(sorted, n, sizeof(sorted[0]), compare);
        c->round_trip_50 = sorted[(n - 1) / 2];
        c->round_trip_99 = sorted[(n * 99 + 99) / 100 - 1];
}

static void count_answer(ModbusCounters *c, usec_t round_trip) {
        c->round_trips[c->answers % MODBUS_ROUND_TRIPS] = (uint32_t) MIN(round_trip, (usec_t) UINT32_MAX);
        c->round_trip = round_trip;
        c->answers++;
        if (c->answers < UPDATE_EVERY || c->answers % UPDATE_EVERY == 0) /* … and the first ones at once */
                update_percentiles(c);
}

void modbus_counters_begin(ModbusCounters *c, bool retry, usec_t now) {
        c->requests++;
        c->retries += retry;
        c->attempt_begun = now;
        if (c->load_begun == 0)
                c->load_begun = now;
}

void modbus_counters_end(ModbusCounters *c, usec_t round_trip, bool exception, usec_t now) {
        usec_t window = usec_sub(now, c->load_begun);

        if (round_trip == USEC_INFINITY)
                c->timeouts++;
        else
                count_answer(c, round_trip);
        c->exceptions += exception;

        c->busy += usec_sub(now, c->attempt_begun);
        if (window >= LOAD_WINDOW) {
                c->load = MIN(c->busy * 100 / window, (usec_t) 100);
                c->load_begun = now;
                c->busy = 0;
        }
}
