/* SPDX-License-Identifier: Apache-2.0 */
/* Time as microseconds in 64 bits. Deadlines are CLOCK_MONOTONIC, event timestamps CLOCK_REALTIME. No state. */
#pragma once

#include <stdint.h>
#include <time.h>

typedef uint64_t usec_t;

#define USEC_INFINITY ((usec_t) UINT64_MAX)
#define USEC_PER_SEC ((usec_t) 1000000)
#define USEC_PER_MSEC ((usec_t) 1000)
#define NSEC_PER_USEC 1000

usec_t now_usec(clockid_t clock);

/* Saturating: never wraps, and USEC_INFINITY stays what it is. */
static inline usec_t usec_add(usec_t a, usec_t b) {
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}
static inline usec_t usec_sub(usec_t a, usec_t b) {
        if (a == USEC_INFINITY)
                return a;
        return a > b ? a - b : 0;
}
