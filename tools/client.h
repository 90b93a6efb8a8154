/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the bus and calls to gatewayd: every failed call is one line on standard error and one
 * exit status. */
#pragma once

#include <systemd/sd-bus.h>

#include "tools/exit-status.h"
#include "tools/options.h"

/* Longest waits without --timeout=. */
#define CONNECT_USEC (20 * USEC_PER_SEC) /* also through ssh */
#define READ_USEC (10 * USEC_PER_SEC)    /* gatewayd answers from memory */
/* Enable waits up to 10 s for the event server; gatewayd may have to be started. */
#define CONTROL_USEC (20 * USEC_PER_SEC)

typedef struct Client {
        sd_bus *bus;
        bool local;        /* the daemon shares our clocks */
        bool gone_is_fine; /* a missing daemon is no complaint yet, and a slow one has until the deadline */
        usec_t deadline;   /* CLOCK_MONOTONIC: no call goes beyond; USEC_INFINITY */
} Client;

/* Connects to the bus, not yet to gatewayd; with options->timeout sets the deadline. Complains. */
ExitStatus client_new(const Options *options, Client **ret);
/* The same without a word: -ETIMEDOUT, or why the bus cannot be reached. */
int client_try_new(const Options *options, Client **ret);
Client *client_free(Client *c);
DEFINE_CLEANUP(Client, client_free);

typedef struct Call {
        const char *path, *interface, *member;
        const char *what; /* "enable modbus_master/plc", for the complaint */
        usec_t timeout;
        bool start; /* may start the daemon */
        bool absent_is_fine; /* CTL_NO_DEVICE is an answer, not a complaint */
} Call;
/* types and what follows: the arguments, as for sd_bus_message_append(). ret_reply may be NULL. Complains. */
ExitStatus client_call(Client *c, const Call *call, sd_bus_message **ret_reply, const char *types, ...);
/* The same of what answers one text: a string, an object path or a property that is a string. Caller frees. */
ExitStatus client_call_text(Client *c, const Call *call, char **ret, const char *types, ...);

/* One line about an answer that has not the form that we know. */
void client_complain_answer(const char *what, int error);
