/* SPDX-License-Identifier: Apache-2.0 */
/* A call that hangs, in a thread of the product, until the test lets it go: what a stand-in for a system call does
 * with an adapter that does not answer. One at a time. */
#pragma once

#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/loop.h"

#define HANG_LIMIT_MSEC 30000 /* for the broken case only: it is the loop that hangs */

static atomic_ulong hang_next; /* which call; 0: none, or it hangs already */
static int hang_pipe[2];

static inline void hang_init(void) {
        g_assert_cmpint(pipe(hang_pipe), ==, 0);
}

/* The next call of this number hangs. */
static inline void hang_at(unsigned long call) {
        atomic_store(&hang_next, call);
}

static inline void hang_wait(sd_event *event) {
        LOOP_UNTIL(event, atomic_load(&hang_next) == 0);
}

static inline void hang_let_go(void) {
        g_assert_cmpint(write(hang_pipe[1], "", 1), ==, 1);
}

/* In the stand-in. */
static inline void hang_here(unsigned long call) {
        struct pollfd p = { .fd = hang_pipe[0], .events = POLLIN };
        char c;

        if (!atomic_compare_exchange_strong(&hang_next, &call, 0))
                return;
        g_assert_cmpint(poll(&p, 1, HANG_LIMIT_MSEC), ==, 1);
        g_assert_cmpint(read(hang_pipe[0], &c, 1), ==, 1);
}
