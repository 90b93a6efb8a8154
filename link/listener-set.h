/* SPDX-License-Identifier: Apache-2.0 */
/* What listens for one owner: on a numeric address, on every address of a host's name, or on an inherited
 * socket. Loop thread. */
#pragma once

#include "link/listener.h"
#include "link/resolver.h"

typedef struct ListenerSet ListenerSet;
/* A name was looked up: 0: it listens; <0: on none of its addresses. The callee may free the set. */
typedef void (*ListenerSetOpened)(int error, void *userdata);

/* 1: it listens. 0: the host is a name, and opened() follows once, in a later turn. An address of a name that this
 * machine does not have is no failure while it has another one. Other errors as listener_open() and
 * ResolverCallback. description: a literal. */
int listener_set_open(sd_event *event, Resolver *resolver, const Address *address, const char *description,
                      ListenerAccept accept, ListenerSetOpened opened, void *userdata, ListenerSet **ret);
/* 1: it listens, as listener_borrow() does. */
int listener_set_borrow(sd_event *event, int fd, const char *description, ListenerAccept accept, void *userdata,
                        ListenerSet **ret);
/* No callback follows. */
ListenerSet *listener_set_free(ListenerSet *s);
DEFINE_CLEANUP(ListenerSet, listener_set_free);
