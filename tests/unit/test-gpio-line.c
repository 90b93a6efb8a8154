/* SPDX-License-Identifier: Apache-2.0 */
/* One line (spec gpio.md 3.4 to 3.8) and its times, with the test's clocks: edges, losses, debouncing, counting, pulses of
 * 1 ms to 1 h, the wall clock stepped by a year. Main thread. */

#include "devices/gpio/gpio-clock.h"
#include "devices/gpio/gpio-line.h"
#include "devices/gpio/gpio-write.h"

#define MS USEC_PER_MSEC
#define YEAR ((usec_t) 365 * 86400 * USEC_PER_SEC)

static GpioInput input_new(GpioDetect report, usec_t debounce, int value) {
        GpioInput in = {
                .report = report,
                .alternate = report == GPIO_DETECT_BOTH || debounce > 0,
                .debounce = debounce,
        };

        gpio_input_begin(&in, value);
        return in;
}

/* An edge; -1: nothing is reported. */
static int edge(GpioInput *in, int value, usec_t time, uint64_t *lost) {
        GpioChange change;

        if (!gpio_input_edge(in, value, time, 0, lost, &change))
                return -1;
        g_assert_cmpuint(change.time, <=, time);
        return change.value;
}

/* Rule 4. */
static void test_edges(void) {
        GpioInput both = input_new(GPIO_DETECT_BOTH, 0, 0), rising = input_new(GPIO_DETECT_RISING, 0, 0),
                  falling = input_new(GPIO_DETECT_FALLING, 0, 0);
        uint64_t lost = 0;

        g_assert_cmpint(edge(&both, 1, 1, &lost), ==, 1);
        g_assert_cmpint(edge(&both, 0, 2, &lost), ==, 0);
        g_assert_cmpint(edge(&rising, 1, 1, &lost), ==, 1);
        g_assert_cmpint(edge(&rising, 1, 2, &lost), ==, 1); /* every one is a change */
        g_assert_cmpint(edge(&falling, 0, 1, &lost), ==, 0);
        g_assert_cmpint(edge(&falling, 0, 2, &lost), ==, 0);
        g_assert_cmpuint(lost, ==, 0);

        /* Read as 1 while the edge to it was on its way. */
        both = input_new(GPIO_DETECT_BOTH, 0, 1);
        g_assert_cmpint(edge(&both, 1, 3, &lost), ==, -1);
        g_assert_cmpuint(lost, ==, 0);
}

/* Rule 5: without sequence numbers two equal edges, or the value, show a loss. */
static void test_lost(void) {
        GpioInput in = input_new(GPIO_DETECT_BOTH, 0, 0);
        GpioChange change;
        uint64_t lost = 0;

        g_assert_cmpint(edge(&in, 1, 1, &lost), ==, 1);
        g_assert_cmpint(edge(&in, 1, 2, &lost), ==, -1);
        g_assert_cmpuint(lost, ==, 1);
        g_assert_false(gpio_input_contradicts(&in, 1));
        g_assert_true(gpio_input_contradicts(&in, 0));
        g_assert_true(gpio_input_sample(&in, 0, 3, &change));
        g_assert_cmpint(change.value, ==, 0);
        g_assert_cmpint(edge(&in, 1, 4, &lost), ==, 1); /* the loss is known */
        g_assert_cmpuint(lost, ==, 1);

        in = input_new(GPIO_DETECT_RISING, 0, 0);
        (void) edge(&in, 1, 1, &lost);
        (void) edge(&in, 1, 2, &lost);
        g_assert_cmpuint(lost, ==, 1);
        g_assert_false(gpio_input_contradicts(&in, 0));
}

static void test_sequence(void) {
        GpioInput in = input_new(GPIO_DETECT_BOTH, 0, 0);
        GpioChange change;
        uint64_t lost = 0;

        g_assert_true(gpio_input_edge(&in, 1, 1, 1, &lost, &change));
        g_assert_true(gpio_input_edge(&in, 0, 2, 2, &lost, &change));
        g_assert_cmpuint(lost, ==, 0);
        g_assert_true(gpio_input_edge(&in, 1, 3, 7, &lost, &change));
        g_assert_cmpuint(lost, ==, 4);

        gpio_input_begin(&in, 0); /* another request counts anew */
        g_assert_true(gpio_input_edge(&in, 1, 4, 3, &lost, &change));
        g_assert_cmpuint(lost, ==, 6);
}

static void test_debounce(void) {
        GpioInput in = input_new(GPIO_DETECT_BOTH, 10 * MS, 0);
        GpioChange change;
        uint64_t lost = 0;

        g_assert_cmpint(edge(&in, 1, 100 * MS, &lost), ==, -1);
        g_assert_cmpuint(in.stable_at, ==, 110 * MS);
        g_assert_cmpint(edge(&in, 0, 105 * MS, &lost), ==, -1); /* a bounce */
        g_assert_cmpuint(in.stable_at, ==, USEC_INFINITY);
        g_assert_cmpint(edge(&in, 1, 106 * MS, &lost), ==, -1);
        g_assert_false(gpio_input_expire(&in, 1, 115 * MS, &change));
        g_assert_true(gpio_input_expire(&in, 1, 130 * MS, &change));
        g_assert_cmpint(change.value, ==, 1);
        g_assert_cmpuint(change.time, ==, 116 * MS); /* the end of the stable period */

        /* An edge that comes late in the loop: the stable period ended before it. */
        g_assert_cmpint(edge(&in, 0, 200 * MS, &lost), ==, -1);
        g_assert_true(gpio_input_edge(&in, 1, 220 * MS, 0, &lost, &change));
        g_assert_cmpint(change.value, ==, 0);
        g_assert_cmpuint(change.time, ==, 210 * MS);

        /* The line reads otherwise than its last edge says: a new period. */
        g_assert_false(gpio_input_expire(&in, 0, 240 * MS, &change));
        g_assert_cmpuint(in.stable_at, ==, USEC_INFINITY);
}

static void test_debounce_one_kind(void) {
        GpioInput in = input_new(GPIO_DETECT_RISING, 10 * MS, 0);
        GpioChange change;
        uint64_t lost = 0;

        for (usec_t at = 100 * MS; at < 300 * MS; at += 100 * MS) {
                g_assert_cmpint(edge(&in, 1, at, &lost), ==, -1);
                g_assert_true(gpio_input_expire(&in, 1, at + 10 * MS, &change));
                g_assert_cmpint(edge(&in, 0, at + 50 * MS, &lost), ==, -1);
                g_assert_false(gpio_input_expire(&in, 0, at + 60 * MS, &change));
                g_assert_cmpuint(in.stable_at, ==, USEC_INFINITY);
        }
        g_assert_cmpuint(in.count, ==, 2);
        g_assert_cmpuint(lost, ==, 0);
}

static void test_poll(void) {
        GpioInput in = input_new(GPIO_DETECT_NONE, 0, 0), slow = input_new(GPIO_DETECT_NONE, 10 * MS, 0);
        GpioChange change;

        g_assert_false(gpio_input_sample(&in, 0, 1, &change));
        g_assert_true(gpio_input_sample(&in, 1, 2, &change));
        g_assert_cmpuint(change.time, ==, 2);
        g_assert_false(gpio_input_sample(&in, 1, 3, &change));

        g_assert_false(gpio_input_sample(&slow, 1, 100 * MS, &change));
        g_assert_false(gpio_input_sample(&slow, 1, 105 * MS, &change));
        g_assert_true(gpio_input_expire(&slow, 1, 111 * MS, &change));
        g_assert_cmpuint(change.time, ==, 110 * MS);
}

static void test_count(void) {
        GpioInput in = input_new(GPIO_DETECT_BOTH, 0, 0);
        uint64_t lost = 0, delta;

        g_assert_false(gpio_input_count(&in, &delta));
        for (unsigned i = 1; i <= 20; i++)
                (void) edge(&in, i % 2, i, &lost);
        g_assert_true(gpio_input_count(&in, &delta));
        g_assert_cmpuint(delta, ==, 10);
        g_assert_false(gpio_input_count(&in, &delta));
        gpio_input_begin(&in, 0); /* the count outlives a connection */
        (void) edge(&in, 1, 30, &lost);
        g_assert_true(gpio_input_count(&in, &delta));
        g_assert_cmpuint(delta, ==, 1);
        g_assert_cmpuint(in.count, ==, 11);
}

/* Rule 6. */
static void test_pulse(void) {
        static const usec_t durations[] = { MS, USEC_PER_SEC, 3600 * USEC_PER_SEC };
        GpioOutput out;

        for (size_t i = 0; i < ELEMENTSOF(durations); i++) {
                usec_t d = durations[i];

                gpio_output_begin(&out, 0);
                gpio_output_written(&out, 1, d, 1000);
                g_assert_false(gpio_output_expired(&out, 1000 + d - 1));
                g_assert_true(gpio_output_expired(&out, 1000 + d));
                g_assert_cmpint(out.back, ==, 0);

                gpio_output_written(&out, 0, d, 2000); /* a pulse in a pulse: back to what was before the first */
                gpio_output_written(&out, 1, d, 3000);
                g_assert_cmpint(out.back, ==, 0);
                g_assert_cmpuint(out.until, ==, 3000 + d);

                gpio_output_written(&out, 1, 0, 4000); /* a write ends it */
                g_assert_false(gpio_output_expired(&out, USEC_INFINITY - 1));
                gpio_output_written(&out, 0, d, 5000);
                g_assert_cmpint(out.back, ==, 1);
        }
}

static void test_requests(void) {
        static const struct {
                const char *json;
                int value; /* -1: refused */
                usec_t duration;
        } rows[] = {
                { "{\"value\": 0}", 0, 0 },
                { "{\"value\": 1, \"duration\": 0.001}", 1, MS },
                { "{\"value\": 1, \"duration\": 3600}", 1, 3600 * USEC_PER_SEC },
                { "{\"value\": 0, \"duration\": 1e1}", 0, 10 * USEC_PER_SEC },
                { "{\"value\": 1, \"duration\": 3600.1}", -1, 0 },
                { "{\"value\": 1, \"duration\": 0.0009}", -1, 0 },
                { "{\"value\": 1, \"duration\": 0}", -1, 0 },
                { "{\"value\": 1, \"duration\": -1}", -1, 0 },
                { "{\"value\": 1, \"duration\": 1e999}", -1, 0 },
                { "{\"value\": 1, \"duration\": null}", -1, 0 },
                { "{\"value\": 1, \"duration\": true}", -1, 0 },
                { "{\"value\": 1, \"duration\": \"1\"}", -1, 0 },
                { "{\"value\": true}", -1, 0 },
                { "{\"value\": false}", -1, 0 },
                { "{\"value\": 2}", -1, 0 },
                { "{\"value\": -1}", -1, 0 },
                { "{\"value\": 1.0}", -1, 0 },
                { "{\"value\": \"1\"}", -1, 0 },
                { "{\"value\": null}", -1, 0 },
                { "{\"value\": 18446744073709551617}", -1, 0 },
                { "{}", -1, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                usec_t duration = 0;
                int value = -1, r;

                g_test_message("%s", rows[i].json);
                r = gpio_write_parse((JsonSpan) { rows[i].json, strlen(rows[i].json) }, &value, &duration);
                g_assert_cmpint(r, ==, rows[i].value < 0 ? -EINVAL : 0);
                g_assert_cmpint(value, ==, rows[i].value);
                g_assert_cmpuint(duration, ==, rows[i].duration);
        }
}

static usec_t at(Timestamp t) {
        return (usec_t) t.s * USEC_PER_SEC + (usec_t) t.us;
}

static GpioReading reading(usec_t monotonic, usec_t real) {
        return (GpioReading) { monotonic, real, monotonic };
}

/* Rule 8. */
static void test_clock(void) {
        GpioClock c = {};
        GpioStamp s = {};

        gpio_clock_update(&c, reading(1000, 50 * YEAR));
        g_assert_cmpuint(at(gpio_stamp(&s, &c, 900)), ==, 50 * YEAR - 100);
        g_assert_cmpuint(at(gpio_stamp(&s, &c, 800)), ==, 50 * YEAR - 100); /* never decreases */

        gpio_clock_update(&c, reading(2000, 50 * YEAR + 1000 - 5 * MS)); /* an inexact reading, or slewing */
        g_assert_cmpuint(at(gpio_stamp(&s, &c, 1900)), ==, 50 * YEAR - 100);

        gpio_clock_update(&c, reading(10 * MS, 51 * YEAR)); /* forward by a year */
        g_assert_cmpuint(at(gpio_stamp(&s, &c, 10 * MS)), ==, 51 * YEAR);
        gpio_clock_update(&c, reading(20 * MS, 50 * YEAR)); /* and back */
        g_assert_cmpuint(at(gpio_stamp(&s, &c, 20 * MS)), ==, 50 * YEAR);
        g_assert_cmpuint(at(gpio_stamp(&s, &c, 30 * MS)), ==, 50 * YEAR + 10 * MS);

        /* In the middle of an undisturbed reading. */
        c = (GpioClock) {};
        gpio_clock_update(&c, (GpioReading) { 1000, YEAR, 1010 });
        g_assert_cmpint(gpio_clock_convert(&c, 1005), ==, (int64_t) YEAR);

        gpio_clock_update(&c, gpio_reading_take());
        g_assert_cmpint(ABS(gpio_clock_convert(&c, now_usec(CLOCK_MONOTONIC)) - (int64_t) now_usec(CLOCK_REALTIME)), <,
                        (int64_t) USEC_PER_SEC);
}

/* Wall clocks begin before 1970 on no machine, yet nothing breaks. */
static void test_before_1970(void) {
        GpioClock c = { .valid = true, .offset = -1500000 };
        GpioStamp s = { .last = INT64_MIN };
        Timestamp t = gpio_stamp(&s, &c, 0);

        g_assert_cmpint(t.s, ==, -2);
        g_assert_cmpint(t.us, ==, 500000);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/gpio-line/edges", test_edges);
        g_test_add_func("/gpio-line/lost", test_lost);
        g_test_add_func("/gpio-line/sequence", test_sequence);
        g_test_add_func("/gpio-line/debounce", test_debounce);
        g_test_add_func("/gpio-line/debounce-one-kind", test_debounce_one_kind);
        g_test_add_func("/gpio-line/poll", test_poll);
        g_test_add_func("/gpio-line/count", test_count);
        g_test_add_func("/gpio-line/pulse", test_pulse);
        g_test_add_func("/gpio-line/requests", test_requests);
        g_test_add_func("/gpio-line/clock", test_clock);
        g_test_add_func("/gpio-line/before-1970", test_before_1970);
        return g_test_run();
}
