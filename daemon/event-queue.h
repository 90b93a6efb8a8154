/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of events, copied whole: what waits for a device that is starting. Owned by its proxy. Loop
 * thread. */
#pragma once

#include "event/event.h"

typedef struct EventQueue {
        GQueue events;
        size_t bytes;
} EventQueue;

/* Copies. -ENOBUFS: DEVICE_EVENTS_MAX or DEVICE_EVENTS_BYTES_MAX. */
int event_queue_push(EventQueue *q, const Event *e);
/* The oldest one, or NULL; g_free() frees all of it. */
Event *event_queue_pop(EventQueue *q);
void event_queue_clear(EventQueue *q);
