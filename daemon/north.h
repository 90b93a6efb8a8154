/* SPDX-License-Identifier: Apache-2.0 */
/* Our side towards the event server: where it is, and the one connection to it. Connects for ever, every NORTH_RECONNECT_USEC after an end;
 * logs the edges. The embedded event server is connected to like any other, over a socket pair. Owns the event client, and that
 * server. Loop thread. */
#pragma once

#include "daemon/gateway.h"
#include "event/client.h"
#include "event/server/server.h"

typedef struct North North;

typedef struct NorthHandler {
        void (*changed)(void *userdata); /* north_get_state() is another one */
        void (*events)(const Event *events, size_t n, void *userdata);
        void (*congested)(bool congested, void *userdata);
        void (*storage)(void *userdata); /* event_server_get_trouble() of north_get_event_server() says something else */
        void (*closed)(void *userdata); /* after north_close(), never inside it */
} NorthHandler;

/* config and fds outlive it. Begins nothing. */
int north_new(sd_event *event, Resolver *resolver, const Config *config, const ListenFds *fds, const NorthHandler *handler,
              void *userdata, North **ret);
North *north_free(North *n);
DEFINE_CLEANUP(North, north_free);
/* Opens the embedded event server; only that can fail: <0, logged. */
int north_start(North *n);
/* Writes out what was registered, closes, does not connect again; then stops the embedded event server. All of it within limit. */
void north_close(North *n, usec_t limit);

NorthState north_get_state(const North *n);
/* Connected to a server that has accepted us; NULL before. Valid until changed() has returned with NORTH_DISCONNECTED. */
EventClient *north_get_client(const North *n);
const char *north_get_address(const North *n); /* as text; embedded: where others connect, "" before the start or when nowhere */
EventServer *north_get_event_server(const North *n); /* the embedded one; NULL: there is none, or not yet */
