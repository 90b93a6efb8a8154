/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a type matches one of the queries, as simply as it can be said (spec wire.md 3.4): what event/server/subscription is compared
 * with. No state. */
#pragma once

#include "event/event.h"

static inline bool matches_query_plainly(EventType type, EventType query) {
        for (size_t i = 0; i < query.n; i++) {
                if (i + 1 == query.n && subtype_is(query.subtypes[i], "*"))
                        return true;
                if (i == type.n)
                        return false;
                if (!subtype_is(query.subtypes[i], "?") && !subtype_equal(query.subtypes[i], type.subtypes[i]))
                        return false;
        }
        return type.n == query.n;
}

static inline bool matches_plainly(EventType type, const EventType *queries, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (matches_query_plainly(type, queries[i]))
                        return true;
        return false;
}
