/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket, own or inherited, that hands out accepted descriptors. An inherited one is never
 * closed or shut down here. Out of descriptors: accepting rests for a moment instead of spinning. Loop
 * thread. */
#pragma once

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "base/macros.h"
#include "link/address.h"

typedef struct Listener Listener;
/* fd: non-blocking, close-on-exec, the callee's. The callee may free the listener. */
typedef void (*ListenerAccept)(Listener *l, int fd, void *userdata);

/* Binds and listens. TCP: SO_REUSEADDR; IPv6 only for an IPv6 address, so that 0.0.0.0 and :: do not
 * meet. Unix: the file has mode 0660, one that nobody listens on any more is replaced (-EADDRINUSE
 * otherwise), and listener_free() removes ours. */
int listener_open_sockaddr(sd_event *event, const struct sockaddr *sa, socklen_t size,
                           const char *description, ListenerAccept accept, void *userdata, Listener **ret);
/* The same for a numeric host or a path. -ENXIO: a name ("localhost", too), which listener_set_open() takes. */
int listener_open(sd_event *event, const Address *address, const char *description, ListenerAccept accept,
                  void *userdata, Listener **ret);
/* Borrows an inherited listening descriptor: made non-blocking, duplicated for the loop, so that it can
 * be borrowed again. */
int listener_borrow(sd_event *event, int fd, const char *description, ListenerAccept accept, void *userdata,
                    Listener **ret);
/* Stops listening (own) or listening here (inherited). Accepted descriptors are not touched. */
Listener *listener_free(Listener *l);
DEFINE_CLEANUP(Listener, listener_free);
int listener_get_fd(const Listener *l); /* borrowed: getsockname */
/* Whoever connects to this address of the Internet ends at a listener of this process. */
bool listener_is_at(const struct sockaddr *sa);
