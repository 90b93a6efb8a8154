/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to a monitor server: the glue between Observer, Stream and the loop. It supervises the
 * monitor and our own clock more sharply than others do, because another component may work as soon as the
 * monitor has given us up (wire.md 2.4: 40 s after our last message): its sources come before all others of
 * the loop. It does not reconnect (wire.md 7.1). Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "event/observer.h"
#include "link/address.h"
#include "link/resolver.h"

#define MONITOR_PRIORITY (SD_EVENT_PRIORITY_IMPORTANT - 10)

typedef struct MonitorClient MonitorClient;

/* Every callback comes from the loop, none inside a call of the owner, but state() inside
 * monitor_client_set_ready() and monitor_client_set_ended(). The owner may do anything in them, also free
 * the client. */
typedef struct MonitorClientHandler {
        void (*connected)(void *userdata);
        void (*components)(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata);
        void (*state)(ObserverState state, void *userdata);
        /* The monitor ends: whatever the state says, the blessing is over. Neither of the above follows. The
         * owner ends its work, then calls monitor_client_close(); the monitor itself waits for 3 s (wire.md
         * 6.2). */
        void (*asked_to_close)(void *userdata);
        /* Once, last: the blessing, if there was one, is lost. error: 0 after monitor_client_close(), -ESTALE
         * the loop was frozen for longer than MonitorClientOptions.late (found before anything else of the
         * loop runs), -ETIMEDOUT the monitor is silent, else as EventClientHandler.closed. detail: words for
         * people, to stand behind the monitor's name. */
        void (*closed)(int error, const char *detail, void *userdata);
} MonitorClientHandler;

typedef struct MonitorClientOptions {
        const char *name, *group;       /* ours, in the monitor */
        usec_t ping_delay, ping_timeout; /* 0: MONITOR_PING_… of base/bounds.h */
        usec_t late;                    /* 0: MONITOR_LATE_USEC */
} MonitorClientOptions;

/* options are copied. <0: nothing was begun. */
int monitor_client_new(sd_event *event, Resolver *resolver, const Address *address, const MonitorClientOptions *options,
                       const MonitorClientHandler *handler, void *userdata, MonitorClient **ret);
/* Hard end, no callback follows. */
MonitorClient *monitor_client_free(MonitorClient *c);
DEFINE_CLEANUP(MonitorClient, monitor_client_free);
/* Orderly end: what was said is written out, then closed(0), at the latest after limit closed(-ETIMEDOUT). */
void monitor_client_close(MonitorClient *c, usec_t limit);

/* Once connected: as observer_set_ready(), observer_set_ended(). */
void monitor_client_set_ready(MonitorClient *c, bool ready);
void monitor_client_set_ended(MonitorClient *c);
ObserverState monitor_client_get_state(const MonitorClient *c); /* IDLE before it is connected */
