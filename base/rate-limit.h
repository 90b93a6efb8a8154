/* SPDX-License-Identifier: Apache-2.0 */
/* How many log lines of one kind a peer can cause: so many in an interval; the rest is counted. Plain data,
 * time is an argument. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

typedef struct RateLimit {
        unsigned burst;         /* lines … */
        usec_t interval;        /* … in this time */
        usec_t since;
        unsigned n, suppressed;
} RateLimit;

/* Whether a line may be written; *ret_suppressed: how many were not since the last one that was. */
static inline bool rate_limit_take(RateLimit *l, usec_t now, unsigned *ret_suppressed) {
        if (l->n == 0 || now >= usec_add(l->since, l->interval)) {
                l->since = now;
                l->n = 0;
        }
        if (l->n >= l->burst) {
                l->suppressed++;
                return false;
        }
        l->n++;
        *ret_suppressed = l->suppressed;
        l->suppressed = 0;
        return true;
}
