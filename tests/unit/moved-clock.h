/* SPDX-License-Identifier: Apache-2.0 */
/* A monotonic clock that the test moves on, for the program that includes this: it stands in for clock_gettime(), by which we and sd-event
 * know the time. What is due then happens in the next turn of the loop. Any thread reads it. */
#pragma once

#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/time.h"

static _Atomic usec_t clock_moved;

static inline void clock_move(usec_t by) {
        (void) atomic_fetch_add(&clock_moved, by);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *t) {
        usec_t moved = clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ? atomic_load(&clock_moved) : 0;
        int r = (int) syscall(SYS_clock_gettime, clock, t);

        if (r < 0)
                return r;
        t->tv_sec += (time_t) (moved / USEC_PER_SEC);
        t->tv_nsec += (long) (moved % USEC_PER_SEC) * NSEC_PER_USEC;
        if (t->tv_nsec >= (long) USEC_PER_SEC * NSEC_PER_USEC) {
                t->tv_nsec -= (long) USEC_PER_SEC * NSEC_PER_USEC;
                t->tv_sec++;
        }
        return 0;
}
