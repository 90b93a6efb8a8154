/* SPDX-License-Identifier: Apache-2.0 */
/* The one place where every frame of a device passes, whole, in and out: counters, the time of the last one, and whoever listens.
 * A frame costs two increments when nobody does. Loop thread. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

typedef enum TapDirection { TAP_RECEIVED, TAP_SENT } TapDirection;

typedef struct LinkTap LinkTap;
typedef void (*TapListener)(TapDirection direction, const uint8_t *frame, size_t size, void *userdata);

struct LinkTap {
        uint64_t received, sent, errors;
        usec_t last_received;   /* CLOCK_REALTIME; 0: never */
        TapListener listener;   /* NULL: nobody */
        void *userdata;
};

static inline void tap_frame(LinkTap *t, TapDirection direction, const uint8_t *frame, size_t size) {
        if (direction == TAP_RECEIVED) {
                t->received++;
                t->last_received = now_usec(CLOCK_REALTIME);
        } else
                t->sent++;
        if (t->listener)
                t->listener(direction, frame, size, t->userdata);
}
/* A frame that could not be used, or an answer that did not come. */
static inline void tap_error(LinkTap *t) {
        t->errors++;
}
