/* SPDX-License-Identifier: Apache-2.0 */
/* What a master counts: by kind and by code, percentiles, shares of the line's time. */

#include "devices/modbus/modbus-counters.h"

#include <glib.h>

#define MS USEC_PER_MSEC
#define EIGHTH_ABOVE(v) ((v) + (v) / 8)

static void add_round_trip(ModbusLineCounters *c, usec_t round_trip) {
        ModbusResponse response = { .result = MODBUS_SUCCESS };

        modbus_counters_add(c, NULL, &(ModbusAttempt) { .response = &response, .round_trip = round_trip });
}

static void test_kinds(void) {
        ModbusLineCounters line = {};
        ModbusCounters remote = {};
        ModbusResponse good = { .result = MODBUS_SUCCESS };

        modbus_counters_add(&line, &remote, &(ModbusAttempt) { .response = &good, .sent = 12, .received = 11, .round_trip = 5 });
        modbus_counters_add(&line, &remote, &(ModbusAttempt) { .sent = 12, .checksum_errors = 2 });
        modbus_counters_add(&line, &remote, &(ModbusAttempt) { .response = &good, .retry = true, .sent = 12, .received = 11 });
        modbus_counters_add(&line, NULL, &(ModbusAttempt) { .response = &good, .sent = 8, .received = 20, .round_trip = 3 });

        g_assert_cmpuint(remote.requests, ==, 3);
        g_assert_cmpuint(remote.answers, ==, 2);
        g_assert_cmpuint(remote.timeouts, ==, 1);
        g_assert_cmpuint(remote.retries, ==, 1);
        g_assert_cmpuint(remote.checksum_errors, ==, 2);
        g_assert_cmpuint(remote.bytes_sent, ==, 36);
        g_assert_cmpuint(remote.bytes_received, ==, 22);
        g_assert_cmpuint(remote.exceptions, ==, 0);
        g_assert_cmpuint(line.all.requests, ==, 4);
        g_assert_cmpuint(line.all.bytes_sent, ==, 44);
        g_assert_cmpuint(line.all.bytes_received, ==, 42);
        g_assert_cmpuint(line.all.round_trip, ==, 3);
}

/* Every code that there can be, as it came. */
static void test_codes(void) {
        ModbusLineCounters line = {};

        for (unsigned code = 0; code <= UINT8_MAX; code++) {
                ModbusResponse response = { .result = modbus_result_from_code((uint8_t) code), .exception = (uint8_t) code };

                modbus_counters_add(&line, NULL, &(ModbusAttempt) { .response = &response });
        }
        g_assert_cmpuint(line.all.exceptions, ==, 256);
        g_assert_cmpuint(line.all.codes[0], ==, 256 - 11);
        for (unsigned code = 1; code < STATUS_CODES_MAX; code++)
                g_assert_cmpuint(line.all.codes[code], ==, 1);
}

/* Each value alone: never too small, and too large by at most an eighth. */
static void test_percentile_of_one(void) {
        for (usec_t v = 0; v < 20 * USEC_PER_SEC; v += 1 + v / 50) {
                ModbusLineCounters line = {};

                g_assert_cmpuint(modbus_counters_50(&line.all), ==, 0);
                add_round_trip(&line, v);
                if (v >= 16 * USEC_PER_SEC) { /* all that is longer */
                        g_assert_cmpuint(modbus_counters_99(&line.all), <, 17 * USEC_PER_SEC);
                        continue;
                }
                g_assert_cmpuint(modbus_counters_50(&line.all), >=, v);
                g_assert_cmpuint(modbus_counters_50(&line.all), <=, EIGHTH_ABOVE(v));
                g_assert_cmpuint(modbus_counters_99(&line.all), ==, modbus_counters_50(&line.all));
        }
}

static void test_percentiles(void) {
        ModbusLineCounters line = {};

        for (unsigned i = 0; i < 100; i++)
                add_round_trip(&line, 100 * (100 - i)); /* 100 to 10,000 */
        g_assert_cmpuint(line.all.round_trip, ==, 100);
        g_assert_cmpuint(modbus_counters_50(&line.all), >=, 5000);
        g_assert_cmpuint(modbus_counters_50(&line.all), <=, EIGHTH_ABOVE(5000));
        g_assert_cmpuint(modbus_counters_99(&line.all), >=, 9900);
        g_assert_cmpuint(modbus_counters_99(&line.all), <=, EIGHTH_ABOVE(9900));

        add_round_trip(&line, 90000);
        g_assert_cmpuint(modbus_counters_99(&line.all), <, 90000); /* one in 101 is beyond it */
        add_round_trip(&line, 90000);
        g_assert_cmpuint(modbus_counters_99(&line.all), >=, 90000);
}

/* What was long ago is forgotten, and nothing overflows. */
static void test_fading(void) {
        ModbusLineCounters line = {};

        for (unsigned i = 0; i < 3000; i++)
                add_round_trip(&line, 90000);
        g_assert_cmpuint(modbus_counters_50(&line.all), >=, 90000);
        for (unsigned i = 0; i < MODBUS_ROUND_TRIPS_MAX; i++)
                add_round_trip(&line, 7);
        g_assert_cmpuint(modbus_counters_50(&line.all), ==, 7);
        g_assert_cmpuint(modbus_counters_99(&line.all), >=, 90000);
        for (unsigned i = 0; i < 12 * MODBUS_ROUND_TRIPS_MAX; i++)
                add_round_trip(&line, 7);
        g_assert_cmpuint(modbus_counters_99(&line.all), ==, 7);
        g_assert_cmpuint(line.all.answers, ==, 3000 + 13 * MODBUS_ROUND_TRIPS_MAX);
}

static void add_use(ModbusLineCounters *c, usec_t begin, usec_t end, size_t bytes) {
        modbus_counters_add(c, NULL, &(ModbusAttempt) { .begun_at = begin, .ended_at = end, .sent = bytes });
}

/* Of the last whole second; attempts that overlap count once. */
static void test_load(void) {
        ModbusLineCounters line = { .wire_time = 1000 * MS }; /* a byte a millisecond */
        usec_t now = now_usec(CLOCK_MONOTONIC);

        add_use(&line, now, now + 100 * MS, 10);
        add_use(&line, now + 50 * MS, now + 100 * MS, 10);
        add_use(&line, now + 80 * MS, now + 200 * MS, 10);
        add_use(&line, now + 500 * MS, now + 600 * MS, 10);
        g_assert_cmpuint(modbus_line_load(&line), ==, 0);
        add_use(&line, now + 900 * MS, now + 1000 * MS, 10);
        g_assert_cmpuint(modbus_line_load(&line), ==, 40);
        g_assert_cmpuint(modbus_line_wire_load(&line), ==, 5);

        add_use(&line, now + 1000 * MS, now + 2000 * MS, 5000); /* more than there can be */
        g_assert_cmpuint(modbus_line_load(&line), ==, 100);
        g_assert_cmpuint(modbus_line_wire_load(&line), ==, 100);
}

static void test_resting(void) {
        usec_t now = now_usec(CLOCK_MONOTONIC);
        ModbusLineCounters line = { .since = now, .load = 50, .wire_load = 40 };

        g_assert_cmpuint(modbus_line_load(&line), ==, 50);
        g_assert_cmpuint(modbus_line_wire_load(&line), ==, 40);
        line.since = now - 3 * USEC_PER_SEC;
        g_assert_cmpuint(modbus_line_load(&line), ==, 0);
        g_assert_cmpuint(modbus_line_wire_load(&line), ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-counters/kinds", test_kinds);
        g_test_add_func("/modbus-counters/codes", test_codes);
        g_test_add_func("/modbus-counters/percentile-of-one", test_percentile_of_one);
        g_test_add_func("/modbus-counters/percentiles", test_percentiles);
        g_test_add_func("/modbus-counters/fading", test_fading);
        g_test_add_func("/modbus-counters/load", test_load);
        g_test_add_func("/modbus-counters/resting", test_resting);
        return g_test_run();
}
