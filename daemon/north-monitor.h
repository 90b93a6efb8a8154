/* SPDX-License-Identifier: Apache-2.0 */
/* Our part in a monitor server's installation (spec wire.md 7): ready at once, may work while blessed, knows
 * the active event server. Owns the one connection to the monitor server, which is never made again. Loop
 * thread. */
#pragma once

#include "daemon/config.h"
#include "daemon/gateway.h"
#include "event/monitor-client.h"

typedef struct NorthMonitor NorthMonitor;

typedef enum NorthMonitorLoss {
        NORTH_MONITOR_GONE,   /* ended, closed, silent, never reached: the work ends in order */
        NORTH_MONITOR_FROZEN, /* we stood still: another may work by now, nothing more may leave */
} NorthMonitorLoss;

/* Every callback comes from the loop, never inside a call of the owner. */
typedef struct NorthMonitorHandler {
        void (*changed)(void *userdata); /* some of what is below says something else */
        void (*lost)(NorthMonitorLoss loss, void *userdata); /* once; logged. Then north_monitor_close(), when the work has ended */
        void (*closed)(void *userdata); /* once, after north_monitor_close(), never inside it */
} NorthMonitorHandler;

/* config outlives it. times: NULL, or with times for tests; its strings are not looked at. Begins nothing. */
int north_monitor_new(sd_event *event, Resolver *resolver, const Config *config, const MonitorClientOptions *times,
                      const NorthMonitorHandler *handler, void *userdata, NorthMonitor **ret);
NorthMonitor *north_monitor_free(NorthMonitor *m);
DEFINE_CLEANUP(NorthMonitor, north_monitor_free);
int north_monitor_start(NorthMonitor *m); /* <0: logged */
/* Orderly: gives the token back, then closes. */
void north_monitor_close(NorthMonitor *m, usec_t limit);

MonitorState north_monitor_get_state(const NorthMonitor *m);
/* Where to work now; NULL: nowhere, be it that we are not blessed or that no event server is active. */
const ObserverEventServer *north_monitor_get_event_server(const NorthMonitor *m);
/* The blessing was taken away, and the monitor waits for our work to end: north_monitor_set_ended(). */
bool north_monitor_is_ending(const NorthMonitor *m);
void north_monitor_set_ended(NorthMonitor *m);
const char *north_monitor_get_blessed(const NorthMonitor *m); /* name of the working component of our group, "": none */
int64_t north_monitor_get_rank(const NorthMonitor *m, bool *ret_known); /* ours */
