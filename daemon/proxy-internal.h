/* SPDX-License-Identifier: Apache-2.0 */
/* The machinery of a proxy: what the gateway and the engine call, and what they offer it (at the end).
 * proxy.c holds the state machine, proxy-host.c what a running device asks of it (devices/device.h). Loop
 * thread. */
#pragma once

#include "base/deadline.h"
#include "daemon/event-prefix.h"
#include "daemon/event-queue.h"
#include "daemon/gateway.h"
#include "daemon/line-pipe.h"
#include "daemon/proxy.h"
#include "event/client.h"

typedef struct Engine Engine;
typedef struct DeviceQuery DeviceQuery;
typedef struct Trace Trace;

typedef enum RunPhase { RUN_NONE, RUN_STARTING, RUN_RUNNING, RUN_STOPPING } RunPhase;

/* What a proxy adds to the gateway's totals. */
typedef struct ProxyShare {
        bool enabled, running, failed, down;
} ProxyShare;

typedef struct ProxyScan {
        Device *device;                 /* of the type's scan_size; no run */
        LinePipe *pipe;
        bool ended;                     /* taken away by the next step */
        DeviceReason reason;
        char *detail;
} ProxyScan;

struct DeviceHost {
        ProxyView view;
        Gateway *gateway;
        EventPrefix prefix;
        LogContext log;
        ProxyShare share;
        bool busy; /* the gateway counts it */

        /* what is wanted */
        Engine *engine;                 /* attached */
        const DeviceConfig *next_config; /* changed by a reload, taken over between two runs */
        bool restart;                   /* end the present run, then begin another */
        bool leaving;                   /* no run any more with this engine */
        bool exiting;                   /* no run any more */

        /* what is */
        Device *device;
        RunPhase phase;
        bool ended;                     /* the device said so; taken away by the next step */
        ProxyEdge end;                  /* why (reason and detail only) */
        bool failed;                    /* no run until retry_at, or until one of the causes that clear it */
        unsigned n_failures;            /* in a row */
        uint64_t n_runs;
        usec_t run_began;
        bool link_known;                /* the run has had a first result */
        EventQueue queue;               /* for a device that is about to run */
        DeviceQuery *queries;           /* of this run */
        ProxyScan *scan;                /* while there is no run; NULL: none */
        Deadline *deadline;             /* start or stop limit, or the next try */
        Trace *traces;                  /* who look at the tap */
        sd_event_source *step;          /* proxy_reconcile() later in this turn */
};

int proxy_new(Gateway *g, const DeviceConfig *config, Proxy **ret);
/* The device, if any, must have ended. */
Proxy *proxy_free(Proxy *p);

/* Compares what is wanted with what is, and takes one step. Everything below only sets a field and lets this
 * run, at once or later in the turn. */
void proxy_reconcile(Proxy *p);

void proxy_attach(Proxy *p, Engine *e);
void proxy_detach(Proxy *p);
/* What the enable query found for this proxy, NULL: nothing. A notified event that came before wins. */
void proxy_answer_enable(Proxy *p, const Event *e);
/* An event below <prefix>/system. */
void proxy_event(Proxy *p, const Event *e);
void proxy_flow(Proxy *p, bool open);
void proxy_set_config(Proxy *p, const DeviceConfig *config);
/* No run any more until it is attached again; the running one ends in order, and says so. */
void proxy_leave(Proxy *p);
void proxy_exit(Proxy *p);
/* The same; the device is told to stop before this returns. Not from inside a callback of a device. */
void proxy_exit_now(Proxy *p);
bool proxy_is_idle(const Proxy *p); /* no device, nothing pending */
/* State, link and their reasons from what is; tells the gateway about edges. Also when why it cannot run has
 * changed north. */
void proxy_settle(Proxy *p);
const EventType *proxy_system_prefix(const Proxy *p);
/* Whether a stored descriptor of that name is one of its device's. */
bool proxy_owns_stored(const Proxy *p, const char *name);

/* ---- between proxy.c and proxy-host.c ---- */
void proxy_schedule(Proxy *p);  /* proxy_reconcile() later in this turn */
void proxy_deliver_queue(Proxy *p);
/* Copies detail, which may be NULL, or the edge's own. */
void proxy_edge_set(ProxyEdge *e, DeviceReason reason, const char *detail);
void proxy_set_link(Proxy *p, DeviceLink link, DeviceReason reason, const char *detail);
void proxy_register_running(Proxy *p, bool running);
void proxy_cancel_queries(Proxy *p);
void proxy_drop_traces(Proxy *p); /* daemon/trace.c */
void proxy_drop_stored(Proxy *p); /* what its runs stored */

/* ---- between proxy.c and proxy-scan.c ---- */
void proxy_update_busy(Proxy *p); /* behind the begin or end of a run or a scan */
void proxy_check_scan(Proxy *p); /* ends the scan that may not go on, and takes away the one that ended */
void proxy_free_scan(Proxy *p);

/* ---- what the gateway offers its proxies: daemon/gateway.c; fakes in tests/unit/test-proxy.c ---- */
Resolver *gateway_get_resolver(const Gateway *g);
const ListenFds *gateway_get_listen_fds(const Gateway *g);
FdStore *gateway_get_fd_store(const Gateway *g); /* NULL: there is none */
/* Why nothing can run now, with a sentence (borrowed); NONE when there is an engine. */
DeviceReason gateway_get_obstacle(const Gateway *g, const char **ret_detail);
void gateway_proxy_state(Proxy *p, ProxyState old);
void gateway_proxy_link(Proxy *p, DeviceLink old);
void gateway_proxy_changed(Proxy *p, ProxyField what);
/* Its contribution to the totals is another now. */
void gateway_proxy_share(Proxy *p, const ProxyShare *old, const ProxyShare *now);
/* There is a run or a scan now, or no longer. */
void gateway_proxy_busy(Proxy *p, bool busy);
/* A step left it idle, and what it registered is registered: an ending gateway counts who is busy. */
void gateway_proxy_idle(Proxy *p);
