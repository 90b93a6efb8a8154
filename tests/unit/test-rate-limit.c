/* SPDX-License-Identifier: Apache-2.0 */
/* How many lines may be written in which time, with a fake clock. */

#include "base/rate-limit.h"

static void test_rate_limit(void) {
        RateLimit l = { .burst = 2, .interval = 10 };
        unsigned suppressed = 99;

        for (usec_t begin = 0; begin < 100; begin += 50) {
                g_assert_true(rate_limit_take(&l, begin, &suppressed));
                g_assert_cmpuint(suppressed, ==, begin > 0 ? 3 : 0);
                g_assert_true(rate_limit_take(&l, begin + 9, &suppressed));
                g_assert_cmpuint(suppressed, ==, 0);
                for (usec_t i = 7; i < 10; i++)
                        g_assert_false(rate_limit_take(&l, begin + i, &suppressed));
        }
        g_assert_true(rate_limit_take(&l, 60, &suppressed));
        g_assert_cmpuint(suppressed, ==, 3);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/rate-limit/take", test_rate_limit);
        return g_test_run();
}
