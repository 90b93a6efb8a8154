/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion with hysteresis and stall detection, with a fake clock. */

#include "base/bounds.h"
#include "event/backlog.h"

static void test_congestion(void) {
        Backlog b = { 0 };

        g_assert_false(backlog_update(&b, NORTH_PAUSE_BYTES - 1, 0, 1));
        g_assert_true(backlog_update(&b, NORTH_PAUSE_BYTES, 0, 2));
        g_assert_true(b.congested);
        g_assert_false(backlog_update(&b, NORTH_PAUSE_BYTES - 1, 0, 3));
        g_assert_false(backlog_update(&b, NORTH_RESUME_BYTES + 1, 0, 4));
        g_assert_true(backlog_update(&b, NORTH_RESUME_BYTES, 0, 5));
        g_assert_false(b.congested);
        g_assert_false(backlog_update(&b, NORTH_PAUSE_BYTES - 1, 0, 6));
}

static void test_stall(void) {
        Backlog b = { 0 };

        /* The last progress lies long back, but there was nothing to send. */
        (void) backlog_update(&b, 0, 0, 500 * USEC_PER_SEC);
        g_assert_cmpuint(backlog_deadline(&b, 1), ==, USEC_INFINITY);
        (void) backlog_update(&b, 10, 0, 1000 * USEC_PER_SEC);
        g_assert_cmpuint(backlog_deadline(&b, 1), ==, 1040 * USEC_PER_SEC);
        /* More is queued, nothing leaves: the wait goes on. */
        (void) backlog_update(&b, 20, 0, 1030 * USEC_PER_SEC);
        g_assert_cmpuint(backlog_deadline(&b, 1), ==, 1040 * USEC_PER_SEC);
        /* A byte has left. */
        g_assert_cmpuint(backlog_deadline(&b, 1035 * USEC_PER_SEC), ==, 1075 * USEC_PER_SEC);
        (void) backlog_update(&b, 0, 0, 1050 * USEC_PER_SEC);
        g_assert_cmpuint(backlog_deadline(&b, 1), ==, USEC_INFINITY);
}

/* What is held back congests, and is never a stall. */
static void test_held(void) {
        Backlog b = { 0 };

        g_assert_true(backlog_update(&b, 0, NORTH_PAUSE_BYTES, 1));
        g_assert_cmpuint(backlog_deadline(&b, 1), ==, USEC_INFINITY);
        g_assert_true(backlog_update(&b, 0, 0, 2));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/backlog/congestion", test_congestion);
        g_test_add_func("/backlog/stall", test_stall);
        g_test_add_func("/backlog/held", test_held);
        return g_test_run();
}
