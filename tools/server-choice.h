/* SPDX-License-Identifier: Apache-2.0 */
/* Which event server a command speaks to. */
#pragma once

#include "link/address.h"
#include "tools/client.h"

typedef struct ServerChoice {
        Address address;
        char *name;  /* the address as harmless text */
        char *token; /* NULL: none */
        bool guessed; /* neither the command line nor the daemon named it */
} ServerChoice;

/* --server=; else what the daemon's property EventServer names; else, when no daemon is there, the socket in the
 * runtime directory. c may be NULL: then the bus is used only when it is needed. Complains. */
ExitStatus server_choice_new(const Options *o, Client *c, ServerChoice **ret);
ServerChoice *server_choice_free(ServerChoice *s);
DEFINE_CLEANUP(ServerChoice, server_choice_free);
