/* SPDX-License-Identifier: Apache-2.0 */
/* Running a real event loop in a test: until a condition holds, or until nothing is left to do. Never a
 * sleep. */
#pragma once

#include <glib.h>
#include <systemd/sd-event.h>

#include "base/time.h"

#define LOOP_LIMIT_USEC (60 * USEC_PER_SEC) /* for the broken case only: a busy machine must not come near */

/* Fails the test when the condition does not hold in time. */
#define LOOP_UNTIL(event, condition)                                                                        \
        do {                                                                                                \
                usec_t _end = now_usec(CLOCK_MONOTONIC) + LOOP_LIMIT_USEC;                                  \
                while (!(condition)) {                                                                      \
                        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, _end);                               \
                        g_assert_cmpint(sd_event_run(event, 10 * USEC_PER_MSEC), >=, 0);                    \
                }                                                                                           \
        } while (0)

/* Everything that is ready now, and what follows from it at once. Returns the number of turns; a loop
 * that spins fails. */
static inline unsigned loop_settle(sd_event *event) {
        unsigned n = 0;
        int r;

        while ((r = sd_event_run(event, 0)) > 0)
                g_assert_cmpuint(++n, <, 100000);
        g_assert_cmpint(r, ==, 0);
        return n;
}

static inline sd_event *loop_new(void) {
        sd_event *event = NULL;

        g_assert_cmpint(sd_event_new(&event), >=, 0);
        return event;
}

static inline void loop_unrefp(sd_event **event) {
        sd_event_unref(*event);
}
