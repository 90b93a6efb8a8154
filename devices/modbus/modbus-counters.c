/* SPDX-License-Identifier: Apache-2.0 */
/* What a master's line counts. No state of its own. */

#include "devices/modbus/modbus-counters.h"

#include <stdlib.h>

#define UPDATE_EVERY USEC_PER_SEC

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
}

/* What takes longer than counting, once a second. */
static void count_second(ModbusCounters *c, usec_t now) {
        c->load = MIN(c->busy * 100 / (now - c->second_begun), (usec_t) 100);
        c->second_begun = now;
        c->busy = 0;
        if (c->answers > 0)
                update_percentiles(c);
}

void modbus_counters_add(ModbusCounters *c, bool retry, usec_t round_trip, bool exception, usec_t begun_at,
                         usec_t ended_at) {
        c->requests++;
        c->retries += retry;
        c->exceptions += exception;
        if (round_trip == USEC_INFINITY)
                c->timeouts++;
        else
                count_answer(c, round_trip);

        if (c->second_begun == 0)
                c->second_begun = begun_at;
        c->busy += usec_sub(ended_at, begun_at);
        if (ended_at >= c->second_begun + UPDATE_EVERY)
                count_second(c, ended_at);
}
