/* SPDX-License-Identifier: Apache-2.0 */
/* Our side towards the event server: where it is, and the one connection to it. Connects for ever, every
 * NORTH_RECONNECT_USEC after an end; logs the edges. The embedded event server is connected to like any
 * other, over a socket pair. With a monitor server it works only while we are blessed, and with the event
 * server that is active. Owns the event client, the embedded server, the monitor client. Loop thread. */
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
        /* With this event server, or at all, work must end: stop the devices, register that, then
         * north_left(), also inside this call. */
        void (*leave)(void *userdata);
        /* The monitor server is lost, or the embedded one's database is damaged (logged): the gateway must
         * end, within MONITOR_LOST_USEC. frozen: there is no event client any more, and the devices must stop
         * before anything else of the loop runs. */
        void (*lost)(bool frozen, void *userdata);
        void (*closed)(void *userdata); /* after north_close(), never inside it */
} NorthHandler;

/* config and fds outlive it. Begins nothing. */
int north_new(sd_event *event, const Config *config, const ListenFds *fds, const NorthHandler *handler, void *userdata,
              North **ret);
North *north_free(North *n);
DEFINE_CLEANUP(North, north_free);
/* Opens the embedded event server; only that can fail: <0, logged. */
int north_start(North *n);
/* No device runs any more and all is registered. Nothing unless leave() was called. */
void north_left(North *n);
/* Writes out what was registered, closes, does not connect again; then stops the embedded event server, or
 * gives the blessing back. All of it within limit. */
void north_close(North *n, usec_t limit);

NorthState north_get_state(const North *n);
/* Connected to a server that has accepted us; NULL before. Valid until changed() has returned with
 * NORTH_DISCONNECTED. */
EventClient *north_get_client(const North *n);
const char *north_get_address(const North *n); /* as text; embedded: where others connect, "" before the start or when nowhere */
/* Between leave() and the end of that connection. */
bool north_is_leaving(const North *n);
MonitorState north_get_monitor_state(const North *n);
const char *north_get_monitor_blessed(const North *n); /* name of the component of our group that works; "": none */
int64_t north_get_monitor_rank(const North *n, bool *ret_known); /* ours */
EventServer *north_get_event_server(const North *n); /* the embedded one; NULL: there is none, or not yet */
