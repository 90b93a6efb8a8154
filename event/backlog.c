/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion with hysteresis and stall detection of event/backlog.h. Pure functions. */

#include "event/backlog.h"

#include "base/bounds.h"

bool backlog_update(Backlog *b, size_t unsent, size_t held, usec_t now) {
        size_t waiting = unsent + held;
        bool congested = waiting >= NORTH_PAUSE_BYTES || (b->congested && waiting > NORTH_RESUME_BYTES);
        bool changed = congested != b->congested;

        if (b->unsent == 0)
                b->since = now;
        b->unsent = unsent;
        b->congested = congested;
        return changed;
}

usec_t backlog_deadline(const Backlog *b, usec_t last_progress) {
        if (b->unsent == 0)
                return USEC_INFINITY;
        return usec_add(MAX(b->since, last_progress), NORTH_STALL_USEC);
}
