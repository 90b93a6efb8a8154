/* SPDX-License-Identifier: Apache-2.0 */
/* A deadline on the loop's monotonic clock, exact to 1 µs, made for being moved on every request: moving
 * it later or taking it away costs no system call (the timer in the kernel is only ever brought forward;
 * when it fires too early it is set anew). One per connection or state machine, owned by that. Loop
 * thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"
#include "base/time.h"

typedef struct Deadline Deadline;
typedef void (*DeadlineCallback)(void *userdata);

/* description (a literal) names the source in logs. The deadline starts unset. */
int deadline_new(sd_event *event, const char *description, DeadlineCallback callback, void *userdata,
                 Deadline **ret);
Deadline *deadline_free(Deadline *d);
DEFINE_CLEANUP(Deadline, deadline_free);

/* Absolute CLOCK_MONOTONIC; USEC_INFINITY: none. Called back once, never before `when`, never inside this
 * call; a past time calls back in the next turn. */
void deadline_set(Deadline *d, usec_t when);
void deadline_set_relative(Deadline *d, usec_t delay);
usec_t deadline_get(const Deadline *d);
/* sd_event_source_set_priority(). */
void deadline_set_priority(Deadline *d, int64_t priority);

/* The monotonic time at which this turn began: what happens in one turn happens at once, and the clock is not
 * asked. When the loop has ended, the clock's. */
static inline usec_t loop_now(sd_event *event) {
        uint64_t now;

        return sd_event_now(event, CLOCK_MONOTONIC, &now) >= 0 ? now : now_usec(CLOCK_MONOTONIC);
}
