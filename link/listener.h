/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket, own or inherited, that hands out accepted descriptors. An inherited one is never closed or shut down here.
 * Out of descriptors: accepting rests for a moment instead of spinning. Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"
#include "link/address.h"

typedef struct Listener Listener;
/* fd: non-blocking, close-on-exec, the callee's. */
typedef void (*ListenerAccept)(Listener *l, int fd, void *userdata);

/* Binds and listens (SO_REUSEADDR; unix: a stale socket file is replaced, mode 0660). Numeric hosts and "localhost" only need no resolver; other names are
 * resolved by getaddrinfo with AI_NUMERICHOST first; a name that needs a look-up is -ENXIO. */
int listener_open(sd_event *event, const Address *address, const char *description, ListenerAccept accept, void *userdata,
                  Listener **ret);
/* Borrows an inherited listening descriptor (duplicated for the loop). */
int listener_borrow(sd_event *event, int fd, const char *description, ListenerAccept accept, void *userdata, Listener **ret);
Listener *listener_free(Listener *l);
DEFINE_CLEANUP(Listener, listener_free);
int listener_get_fd(const Listener *l); /* borrowed: getsockname */
