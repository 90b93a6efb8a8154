/* SPDX-License-Identifier: Apache-2.0 */
/* What gatewayd announces: edges of devices, changed devices, its own coming and going. */
#pragma once

#include "tools/client.h"

/* Borrowed; of StateChanged or LinkChanged. */
typedef struct WatchEdge {
        const char *path;
        bool link; /* else the state */
        const char *old, *new, *reason;
        usec_t monotonic;
} WatchEdge;

/* Called by watch_wait() only. Any may be NULL. */
typedef struct WatchHandler {
        void (*edge)(const WatchEdge *e, void *userdata);
        void (*changed)(const char *path, void *userdata); /* any property of a device */
        void (*daemon)(bool here, void *userdata);
} WatchHandler;

typedef struct Watch Watch;

/* Subscribes, then asks whether the daemon is there: nothing that happens afterwards is missed. client,
 * handler and userdata stay the caller's. Complains. */
ExitStatus watch_new(Client *client, const WatchHandler *handler, void *userdata, Watch **ret);
Watch *watch_free(Watch *w);
DEFINE_CLEANUP(Watch, watch_free);

bool watch_daemon_is_here(const Watch *w);
/* Handles what has come; when that was nothing, waits for something until the moment (CLOCK_MONOTONIC).
 * Complains when the bus ends. */
ExitStatus watch_wait(Watch *w, usec_t until);
