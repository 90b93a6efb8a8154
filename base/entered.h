/* SPDX-License-Identifier: Apache-2.0 */
/* For an object that its owner may free inside any of its callbacks: its entry points are bracketed by enter
 * and leave, and what is freed between them is destroyed by the last leave. Any thread, the object's. */
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct Entered {
        unsigned depth;
        bool freed;
} Entered;

static inline void entered_enter(Entered *e) {
        e->depth++;
}

/* These return whether the object is to be destroyed now. */
static inline bool entered_leave(Entered *e) {
        g_assert(e->depth > 0);
        return --e->depth == 0 && e->freed;
}
static inline bool entered_free(Entered *e) {
        e->freed = true;
        return e->depth == 0;
}
