/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway as others see it: what it is doing, who may watch, what may be asked. Observers (D-Bus,
 * STATUS=, the journal) know this header and proxy.h; the gateway knows none of them. Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/fd-store.h"
#include "daemon/config.h"
#include "daemon/proxy.h"

typedef struct Gateway Gateway;

typedef enum GatewayState {
        GATEWAY_STARTING, /* until READY */
        GATEWAY_RUNNING,
        GATEWAY_DEGRADED, /* a device is failed, or running with its link down or partial, or events cannot be stored */
        GATEWAY_STOPPING,
        _GATEWAY_STATE_MAX,
        _GATEWAY_STATE_INVALID = -EINVAL,
} GatewayState;
DECLARE_STRING_TABLE(gateway_state, GatewayState);

typedef enum NorthState {
        NORTH_DISCONNECTED,
        NORTH_CONNECTING,
        NORTH_STANDBY, /* these four: connected, the server's own status */
        NORTH_STARTING,
        NORTH_OPERATIONAL,
        NORTH_STOPPING,
        _NORTH_STATE_MAX,
        _NORTH_STATE_INVALID = -EINVAL,
} NorthState;
DECLARE_STRING_TABLE(north_state, NorthState);

typedef enum MonitorState {
        MONITOR_NONE,       /* the configuration names no monitor server */
        MONITOR_CONNECTING,
        MONITOR_WAITING,    /* connected, not blessed */
        MONITOR_BLESSED,
        _MONITOR_STATE_MAX,
        _MONITOR_STATE_INVALID = -EINVAL,
} MonitorState;
DECLARE_STRING_TABLE(monitor_state, MonitorState);

/* Of the embedded event server. */
typedef enum EventStorage {
        EVENT_STORAGE_NONE,    /* there is no such server */
        EVENT_STORAGE_WORKING,
        EVENT_STORAGE_FAILING, /* the disk takes nothing */
        _EVENT_STORAGE_MAX,
        _EVENT_STORAGE_INVALID = -EINVAL,
} EventStorage;
DECLARE_STRING_TABLE(event_storage, EventStorage);

typedef struct GatewayTotals {
        uint32_t devices, enabled, running, failed, down;
} GatewayTotals;

/* Begins nothing yet. Takes references; fds stays the caller's and outlives the gateway. */
int gateway_new(sd_event *event, Config *config, const ListenFds *fds, Gateway **ret);
Gateway *gateway_free(Gateway *g);
DEFINE_CLEANUP(Gateway, gateway_free);
/* Where devices store descriptors, and theirs of an earlier process; those of devices that are not configured
 * are closed. The caller's, outlives the gateway; set before gateway_start(). */
void gateway_set_fd_store(Gateway *g, FdStore *store);
/* Opens the embedded event server, if that is configured, connects north and goes on for ever. <0: the server
 * cannot be opened; logged. */
int gateway_start(Gateway *g);
/* The state leaves `starting`. */
void gateway_set_ready(Gateway *g);
/* Once, when the monitor server is lost or cannot be reached, or the event database is damaged (logged): the
 * devices were stopped and all is closed, only leaving is left (exit status 69; 1 without a monitor server).
 * Set before gateway_start(). */
void gateway_on_lost(Gateway *g, void (*lost)(void *userdata), void *userdata);
/* Stops the devices, registers running false, flushes, closes the event server connection, stops the embedded
 * event server, then stopped(); at the latest after EXIT_FLUSH_USEC. Idempotent. */
void gateway_stop(Gateway *g, void (*stopped)(void *userdata), void *userdata);

sd_event *gateway_get_event(const Gateway *g);
const Config *gateway_get_config(const Gateway *g);
GatewayState gateway_get_state(const Gateway *g);
const GatewayTotals *gateway_get_totals(const Gateway *g);
NorthState gateway_get_north_state(const Gateway *g);
MonitorState gateway_get_monitor_state(const Gateway *g);
const char *gateway_get_monitor_blessed(const Gateway *g); /* component of our group that works; "": none, or not known */
/* Ours there: of those that are ready the lowest is blessed. */
int64_t gateway_get_monitor_rank(const Gateway *g, bool *ret_known);
/* `unix:PATH`, `tcp:HOST:PORT`; "": not known yet, or embedded and nowhere to connect to. */
const char *gateway_get_event_server(const Gateway *g);
/* ret_detail (borrowed): a sentence about FAILING, else "". */
EventStorage gateway_get_event_storage(const Gateway *g, const char **ret_detail);
/* Registrations that the embedded event server kept for its disk, and had no more room for. */
uint64_t gateway_get_events_lost(const Gateway *g);
/* Proxies in the order of the configuration. */
size_t gateway_n_proxies(const Gateway *g);
Proxy *gateway_get_proxy(const Gateway *g, size_t i);
int gateway_find(const Gateway *g, const char *type, const char *name, Proxy **ret); /* -ENXIO */

/* ---- observers --------------------------------------------------------------------------------------- */

/* NORTH: the event server, its state or the monitor's. */
typedef enum GatewayField {
        GATEWAY_NORTH = 1 << 0,
        GATEWAY_TOTALS = 1 << 1,
        GATEWAY_STATE = 1 << 2,
        GATEWAY_STORAGE = 1 << 3, /* of events, or its detail */
} GatewayField;
typedef enum ProxyField {
        PROXY_ENABLED = 1 << 0,
        PROXY_REASON = 1 << 1, /* of the state or the link, without an edge */
        PROXY_RETRY = 1 << 2,
} ProxyField;

/* Called once the state is consistent. They may read, and must not call a verb from inside. Any may be NULL. */
typedef struct GatewayObserver {
        void (*proxy_added)(Proxy *p, void *userdata);
        void (*proxy_removed)(Proxy *p, void *userdata);        /* still resolvable: the last moment to announce */
        void (*proxy_state)(Proxy *p, ProxyState old, void *userdata);  /* every edge, not coalesced; p has the new one and why */
        void (*proxy_link)(Proxy *p, DeviceLink old, void *userdata);   /* every edge */
        void (*proxy_changed)(Proxy *p, ProxyField what, void *userdata);
        void (*gateway_changed)(Gateway *g, GatewayField what, void *userdata);
} GatewayObserver;
/* observer and userdata stay the caller's and outlive the gateway or gateway_remove_observer(). Replays
 * proxy_added for what exists. */
void gateway_add_observer(Gateway *g, const GatewayObserver *observer, void *userdata);
void gateway_remove_observer(Gateway *g, const GatewayObserver *observer, void *userdata);

/* ---- verbs ------------------------------------------------------------------------------------------- */

typedef struct Request Request;
/* Once, in a later turn. detail: NULL, or a sentence about the error. */
typedef void (*RequestCallback)(int error, const char *detail, void *userdata);

/* Registers <prefix>/system/enable at the event server. Fails at once with -ENOTCONN, -EHOSTDOWN, -ESHUTDOWN;
 * error: 0 accepted by the event server; -ENOTCONN, -EHOSTDOWN not operational or it answered failure,
 * -ETIMEDOUT, -ESHUTDOWN. */
int proxy_request_enable(Proxy *p, bool enable, RequestCallback callback, void *userdata, Request **ret);
/* Copies the embedded event server's database, whole and as of one moment, into a regular file open for
 * writing (a duplicate of fd is used). Fails at once with -ENOTCONN there is no embedded event server,
 * -EINVAL not such a file, -EBUSY a copy is under way, -ESHUTDOWN; error: also of the disks. */
int gateway_request_export(Gateway *g, int fd, RequestCallback callback, void *userdata, Request **ret);
Request *request_cancel(Request *r); /* the caller vanished: no callback (what was begun goes on); returns NULL */
/* Stops and starts the device; a failed one is tried again at once. -ENOTCONN no engine (checked first),
 * -EUNATCH not enabled, -EBADMSG failed with reason config, -ESHUTDOWN. */
int proxy_restart(Proxy *p);
/* Somebody looks at what passes the device's tap. last: what the recorder holds now, then the end; else
 * everything from now on, until the reader closes or the proxy is freed. *ret_reader: a socket, the caller
 * closes it. -EOPNOTSUPP: nothing passes a tap of this type; -EUSERS: too many look. */
int proxy_trace(Proxy *p, bool last, int *ret_reader);
/* Looks for what is on the device's link: lines of JSON (DeviceType.scan_begin), the last one {"Event":
 * "end", Reason, Detail}, into a pipe whose reading end the caller gets; closing it ends the scan, and so
 * does enabling the device. -EOPNOTSUPP the type has no scan, -EBADMSG the configuration of the device is
 * wrong, -EBUSY it is enabled or runs, -EALREADY it is being scanned, -ERANGE not such options, -ESHUTDOWN;
 * or no descriptor is left. */
int proxy_scan(Proxy *p, const DeviceScanOptions *options, int *ret_reader);
