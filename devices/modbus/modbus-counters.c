/* SPDX-License-Identifier: Apache-2.0 */
/* What a master counts. No state of its own; loop thread. */

#include "devices/modbus/modbus-counters.h"

#define WINDOW_USEC USEC_PER_SEC
#define EXACT 8U        /* round trips below it have a bucket each … */
#define EXACT_BITS 3U   /* … and so many share a power of two above */

/* ---- round trips ------------------------------------------------------------------------------------- */

static unsigned bucket_of(usec_t round_trip) {
        uint32_t v = (uint32_t) MIN(round_trip, (usec_t) UINT32_MAX);
        unsigned shift;

        if (v < EXACT)
                return v;
        shift = 31U - (unsigned) __builtin_clz(v) - EXACT_BITS;
        return MIN(EXACT * shift + (v >> shift), MODBUS_ROUND_TRIP_BUCKETS - 1);
}

/* The longest round trip of a bucket. */
static usec_t bucket_end(unsigned bucket) {
        unsigned shift = bucket < EXACT ? 0 : bucket / EXACT - 1;

        return ((usec_t) (bucket - EXACT * shift + 1) << shift) - 1;
}

static void fade(ModbusCounters *c) {
        c->n_round_trips = 0;
        for (unsigned i = 0; i < MODBUS_ROUND_TRIP_BUCKETS; i++)
                c->n_round_trips += c->round_trips[i] /= 2;
}

static uint64_t percentile(const ModbusCounters *c, unsigned percent) {
        unsigned wanted = (c->n_round_trips * percent + 99) / 100, n = 0;

        if (c->n_round_trips == 0)
                return 0;
        for (unsigned i = 0;; i++) {
                n += c->round_trips[i];
                if (n >= wanted)
                        return bucket_end(i);
        }
}

uint64_t modbus_counters_50(const void *counters) {
        return percentile(counters, 50);
}

uint64_t modbus_counters_99(const void *counters) {
        return percentile(counters, 99);
}

/* ---- the line's time --------------------------------------------------------------------------------- */

static void end_window(ModbusLineCounters *line, usec_t now) {
        usec_t window = now - line->since, wire = line->bytes * line->wire_time / 1000;

        line->load = MIN(line->busy * 100 / window, (usec_t) 100);
        line->wire_load = MIN(wire * 100 / window, (usec_t) 100);
        line->since = now;
        line->busy = line->bytes = 0;
}

static void add_use(ModbusLineCounters *line, const ModbusAttempt *a) {
        if (line->since == 0)
                line->since = a->begun_at;
        line->busy += usec_sub(a->ended_at, MAX(a->begun_at, line->busy_until)); /* several may overlap */
        line->busy_until = a->ended_at;
        line->bytes += a->sent + a->received;
        if (a->ended_at >= line->since + WINDOW_USEC)
                end_window(line, a->ended_at);
}

static bool line_rests(const ModbusLineCounters *line) {
        return now_usec(CLOCK_MONOTONIC) > line->since + 2 * WINDOW_USEC;
}

uint64_t modbus_line_load(const void *line) {
        return line_rests(line) ? 0 : ((const ModbusLineCounters *) line)->load;
}

uint64_t modbus_line_wire_load(const void *line) {
        return line_rests(line) ? 0 : ((const ModbusLineCounters *) line)->wire_load;
}

/* ---- counting ---------------------------------------------------------------------------------------- */

static inline void add(ModbusCounters *c, const ModbusAttempt *a, unsigned bucket) {
        const ModbusResponse *r = a->response;

        c->requests++;
        c->retries += a->retry;
        c->checksum_errors += a->checksum_errors;
        c->bytes_sent += a->sent;
        if (!r) {
                c->timeouts++;
                return;
        }

        c->answers++;
        c->bytes_received += a->received;
        c->round_trip = a->round_trip;
        if (r->result != MODBUS_SUCCESS) {
                c->exceptions++;
                c->codes[r->exception < STATUS_CODES_MAX ? r->exception : 0]++;
        }
        c->round_trips[bucket]++;
        if (++c->n_round_trips == MODBUS_ROUND_TRIPS_MAX)
                fade(c);
}

void modbus_counters_add(ModbusLineCounters *line, ModbusCounters *remote, const ModbusAttempt *a) {
        unsigned bucket = bucket_of(a->round_trip);

        add(&line->all, a, bucket);
        if (remote)
                add(remote, a, bucket);
        add_use(line, a);
}
