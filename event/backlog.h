/* SPDX-License-Identifier: Apache-2.0 */
/* What lies unsent towards the event server, judged (docs/design.md section 6): congested with hysteresis,
 * and stalled when nothing moves. Pure, time is an argument; plain data owned by the connection. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

typedef struct Backlog {
        size_t unsent;
        usec_t since;   /* when unsent was last 0; meaningless while it is */
        bool congested;
} Backlog;

/* Takes note of what is unsent now, and of what is held back on purpose: that congests, but is no stall. true: `congested`
 * changed. */
bool backlog_update(Backlog *b, size_t unsent, size_t held, usec_t now);
/* When the connection counts as dead unless something moves: NORTH_STALL_USEC after the last progress
 * (stream_last_progress()), or after the first unsent byte when that came later. USEC_INFINITY: nothing is
 * unsent. */
usec_t backlog_deadline(const Backlog *b, usec_t last_progress);
