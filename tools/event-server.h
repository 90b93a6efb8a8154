/* SPDX-License-Identifier: Apache-2.0 */
/* Which event server a command speaks to. */
#pragma once

#include "link/address.h"
#include "tools/client.h"

typedef struct EventServer {
        Address address;
        char *name;  /* the address as harmless text */
        char *token; /* NULL: none */
        bool guessed; /* neither the command line nor the daemon named it */
} EventServer;

/* --server=; else what the daemon's property EventServer names; else, when no daemon is there, the socket in the
 * runtime directory. c may be NULL: then the bus is used only when it is needed. Complains. */
ExitStatus event_server_find(const Options *o, Client *c, EventServer **ret);
EventServer *event_server_free(EventServer *s);
DEFINE_CLEANUP(EventServer, event_server_free);
