/* SPDX-License-Identifier: Apache-2.0 */
/* A configured device's identity: follows the last enable event, starts and stops runs of the device,
 * registers `running`. Lives as long as the device is configured, with or without an engine. This header is
 * what observers read; the machinery is proxy-internal.h. Only proxy.c, proxy-host.c, proxy-scan.c and
 * trace.c write the struct. Loop thread. */
#pragma once

#include "daemon/config.h"
#include "devices/device.h"

typedef struct DeviceHost Proxy; /* what a device calls its host */

typedef enum ProxyState {
        PROXY_DISABLED,
        PROXY_WAITING,  /* last known enabled, but no event server, it is not operational, we are not blessed,
                         * or the enable query is unanswered */
        PROXY_STARTING,
        PROXY_RUNNING,
        PROXY_STOPPING,
        PROXY_FAILED,   /* ended by itself or could not start; tried again when retry_at is set */
        _PROXY_STATE_MAX,
        _PROXY_STATE_INVALID = -EINVAL,
} ProxyState;
DECLARE_STRING_TABLE(proxy_state, ProxyState);

/* A state or link with its reason, since when, and one sentence. */
typedef struct ProxyEdge {
        DeviceReason reason;
        char *detail;   /* "" when there is nothing to say */
        usec_t realtime, monotonic;
} ProxyEdge;

/* Read-only for everybody else. */
typedef struct ProxyView {
        const DeviceConfig *config;
        bool enabled, enabled_known;    /* the last known value; whether it is current */
        ProxyState state;
        ProxyEdge state_edge;
        DeviceLink link;
        ProxyEdge link_edge;
        usec_t link_lost;               /* CLOCK_MONOTONIC, when the link last went from up (or unknown) to down or partial */
        usec_t retry_at;                /* CLOCK_MONOTONIC; 0: none */
        uint64_t restarts;              /* runs begun after the first */
        uint64_t events_dropped;        /* for the device, beyond DEVICE_EVENTS_MAX */
        LinkTap tap;                    /* RxMessages, TxMessages, Errors, LastMessageTimestamp */
} ProxyView;

const ProxyView *proxy_view(const Proxy *p);
/* What its event types begin with (docs/design.md section 2). Borrowed. */
EventType proxy_event_prefix(const Proxy *p);
/* The run's device for reading its status table; NULL when there is none. */
const Device *proxy_get_device(const Proxy *p);
