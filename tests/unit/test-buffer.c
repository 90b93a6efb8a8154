/* SPDX-License-Identifier: Apache-2.0 */
/* The byte queue against a plain array, and its promises about memory; the small helpers of base/ with
 * it. */

#include <errno.h>
#include <fcntl.h>

#include "base/buffer.h"
#include "base/time.h"

static void test_empty(void) {
        Buffer b = { 0 };

        g_assert_cmpuint(buffer_size(&b), ==, 0);
        buffer_append(&b, NULL, 0);
        buffer_consume(&b, 0);
        buffer_clear(&b);
        buffer_trim(&b, 0);
        g_assert_null(b.data);
        g_assert_nonnull(buffer_reserve(&b, 0));
        buffer_done(&b);
        g_assert_null(b.data);
        buffer_done(&b);
}

/* Random appends and consumes; every byte comes out once and in order. */
static void test_queue(void) {
        Buffer b = { 0 };
        unsigned in = 0, out = 0;

        for (unsigned turn = 0; turn < 20000; turn++) {
                size_t n = (size_t) g_test_rand_int_range(0, turn % 100 == 0 ? 5000 : 50);
                uint8_t *at = buffer_reserve(&b, n);

                for (size_t i = 0; i < n; i++)
                        at[i] = (uint8_t) (in++ * 31);
                buffer_commit(&b, n);

                n = (size_t) g_test_rand_int_range(0, (int) MIN(buffer_size(&b), (size_t) 70) + 1);
                at = buffer_begin(&b);
                for (size_t i = 0; i < n; i++)
                        g_assert_cmpuint(at[i], ==, (uint8_t) (out++ * 31));
                buffer_consume(&b, n);
                g_assert_cmpuint(buffer_size(&b), ==, in - out);
        }
        buffer_done(&b);
}

/* A steady flow takes no new memory: the consumed front is used again. */
static void test_steady(void) {
        Buffer b = { 0 };
        const uint8_t *data;
        size_t allocated;

        for (unsigned i = 0; i < 10; i++)
                buffer_append(&b, "0123456789", 10);
        allocated = b.allocated;
        data = b.data;

        for (unsigned i = 0; i < 10000; i++) {
                buffer_append(&b, "0123456789", 10);
                g_assert_cmpmem(buffer_begin(&b), 10, "0123456789", 10);
                buffer_consume(&b, 10);
        }
        g_assert_cmpuint(b.allocated, ==, allocated);
        g_assert_true(b.data == data);
        buffer_done(&b);
}

static void test_trim(void) {
        Buffer b = { 0 };

        buffer_commit(&b, (memset(buffer_reserve(&b, 100000), 7, 100000), 100000));
        buffer_trim(&b, 4096);
        g_assert_cmpuint(buffer_size(&b), ==, 100000);
        buffer_consume(&b, 99999);
        buffer_trim(&b, 4096);
        g_assert_cmpuint(*buffer_begin(&b), ==, 7);
        buffer_consume(&b, 1);
        buffer_trim(&b, 1 << 20);
        g_assert_nonnull(b.data);
        buffer_trim(&b, 4096);
        g_assert_null(b.data);
        buffer_append(&b, "x", 1);
        buffer_clear(&b);
        g_assert_cmpuint(buffer_size(&b), ==, 0);
        buffer_done(&b);
}

static void test_safe_close(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        errno = EPIPE;
        fd = safe_close(fd);
        g_assert_cmpint(fd, ==, -EBADF);
        g_assert_cmpint(errno, ==, EPIPE);
        g_assert_cmpint(safe_close(fd), ==, -EBADF);
        g_assert_cmpint(errno, ==, EPIPE);
}

static void test_time(void) {
        usec_t before = now_usec(CLOCK_MONOTONIC), after = now_usec(CLOCK_MONOTONIC);

        g_assert_cmpuint(before, <=, after);
        g_assert_cmpuint(now_usec(CLOCK_REALTIME) / USEC_PER_SEC, >, 1700000000);

        g_assert_cmpuint(usec_add(5, 6), ==, 11);
        g_assert_cmpuint(usec_add(USEC_INFINITY, 6), ==, USEC_INFINITY);
        g_assert_cmpuint(usec_add(6, USEC_INFINITY - 5), ==, USEC_INFINITY);
        g_assert_cmpuint(usec_sub(6, 5), ==, 1);
        g_assert_cmpuint(usec_sub(5, 6), ==, 0);
        g_assert_cmpuint(usec_sub(USEC_INFINITY, 6), ==, USEC_INFINITY);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/buffer/empty", test_empty);
        g_test_add_func("/buffer/queue", test_queue);
        g_test_add_func("/buffer/steady", test_steady);
        g_test_add_func("/buffer/trim", test_trim);
        g_test_add_func("/base/safe-close", test_safe_close);
        g_test_add_func("/base/time", test_time);

        return g_test_run();
}
