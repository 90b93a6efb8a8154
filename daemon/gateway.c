/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway: owns configuration, proxies, north and engine, makes and ends the engine, tells the
 * observers. Loop thread. */
#include <errno.h>

#include "base/bounds.h"
#include "base/deadline.h"
#include "daemon/engine.h"
#include "daemon/gateway.h"
#include "daemon/north.h"
#include "daemon/proxy-internal.h"

#define RESOLVER_THREADS 16U /* names of devices that can hang before others of devices wait for them */

static const char *const gateway_state_table[_GATEWAY_STATE_MAX] = {
        [GATEWAY_STARTING] = "starting",
        [GATEWAY_RUNNING] = "running",
        [GATEWAY_DEGRADED] = "degraded",
        [GATEWAY_STOPPING] = "stopping",
};
DEFINE_STRING_TABLE(gateway_state, GatewayState, gateway_state_table);

static const char *const monitor_state_table[_MONITOR_STATE_MAX] = {
        [MONITOR_NONE] = "none",
        [MONITOR_CONNECTING] = "connecting",
        [MONITOR_WAITING] = "waiting",
        [MONITOR_BLESSED] = "blessed",
};
DEFINE_STRING_TABLE(monitor_state, MonitorState, monitor_state_table);

static const char *const event_storage_table[_EVENT_STORAGE_MAX] = {
        [EVENT_STORAGE_NONE] = "none",
        [EVENT_STORAGE_WORKING] = "working",
        [EVENT_STORAGE_FAILING] = "failing",
};
DEFINE_STRING_TABLE(event_storage, EventStorage, event_storage_table);

typedef struct Watch {
        const GatewayObserver *observer;
        void *userdata;
} Watch;

struct Gateway {
        sd_event *event;
        Config *config;
        const ListenFds *fds;
        FdStore *store;
        Resolver *resolver;  /* the devices' */
        GPtrArray *proxies;  /* in the order of the configuration */
        uint32_t n_busy;     /* of them */
        GHashTable *by_name; /* <prefix>/system → Proxy */
        North *north;
        Engine *engine;
        Request *export; /* under way; its caller may be gone */
        GArray *watches;
        GatewayTotals totals;
        GatewayState state;
        bool ready, stopping;
        Deadline *stop_limit;
        usec_t stop_time; /* all of it */
        void (*stopped)(void *userdata);
        void *stopped_userdata;
        void (*lost)(void *userdata);
        void *lost_userdata;
};

struct Request {
        EventRequest *request; /* NULL: the export, which the gateway owns */
        RequestCallback callback; /* NULL: cancelled */
        void *userdata;
};

/* ---- observers --------------------------------------------------------------------------------------- */

#define NOTIFY(g, call, ...)                                                                                \
        for (unsigned _i = 0; _i < (g)->watches->len; _i++) {                                               \
                const Watch *_w = &g_array_index((g)->watches, Watch, _i);                                  \
                if (_w->observer->call)                                                                     \
                        _w->observer->call(__VA_ARGS__, _w->userdata);                                      \
        }

void gateway_add_observer(Gateway *g, const GatewayObserver *observer, void *userdata) {
        Watch w = { observer, userdata };

        g_array_append_val(g->watches, w);
        if (observer->proxy_added)
                for (unsigned i = 0; i < g->proxies->len; i++)
                        observer->proxy_added(g->proxies->pdata[i], userdata);
}

void gateway_remove_observer(Gateway *g, const GatewayObserver *observer, void *userdata) {
        for (unsigned i = 0; i < g->watches->len; i++) {
                const Watch *w = &g_array_index(g->watches, Watch, i);

                if (w->observer == observer && w->userdata == userdata) {
                        g_array_remove_index(g->watches, i);
                        return;
                }
        }
}

static void gateway_update_state(Gateway *g) {
        const char *detail;
        bool bad = g->totals.failed > 0 || g->totals.down > 0 ||
                   gateway_get_event_storage(g, &detail) == EVENT_STORAGE_FAILING;
        GatewayState state = g->stopping ? GATEWAY_STOPPING :
                             !g->ready   ? GATEWAY_STARTING :
                             bad         ? GATEWAY_DEGRADED :
                                           GATEWAY_RUNNING;

        if (state == g->state)
                return;
        g->state = state;
        NOTIFY(g, gateway_changed, g, GATEWAY_STATE);
}

void gateway_proxy_state(Proxy *p, ProxyState old) {
        NOTIFY(p->gateway, proxy_state, p, old);
}

void gateway_proxy_link(Proxy *p, DeviceLink old) {
        NOTIFY(p->gateway, proxy_link, p, old);
}

void gateway_proxy_changed(Proxy *p, ProxyField what) {
        NOTIFY(p->gateway, proxy_changed, p, what);
}

void gateway_proxy_share(Proxy *p, const ProxyShare *old, const ProxyShare *now) {
        Gateway *g = p->gateway;

        g->totals.enabled += now->enabled - old->enabled;
        g->totals.running += now->running - old->running;
        g->totals.failed += now->failed - old->failed;
        g->totals.down += now->down - old->down;
        NOTIFY(g, gateway_changed, g, GATEWAY_TOTALS);
        gateway_update_state(g);
}

void gateway_proxy_busy(Proxy *p, bool busy) {
        p->gateway->n_busy += busy ? 1U : -1U;
}

/* ---- north and engine -------------------------------------------------------------------------------- */

DeviceReason gateway_get_obstacle(const Gateway *g, const char **ret_detail) {
        MonitorState monitor = north_get_monitor_state(g->north);

        if (monitor == MONITOR_CONNECTING || monitor == MONITOR_WAITING) {
                *ret_detail = monitor == MONITOR_WAITING ? "not blessed by the monitor server" :
                                                           "not connected to the monitor server";
                return DEVICE_REASON_NOT_BLESSED;
        }
        if (g->engine && !north_is_leaving(g->north))
                return DEVICE_REASON_NONE;
        if (monitor == MONITOR_BLESSED && !*north_get_address(g->north)) {
                *ret_detail = "no event server is active";
                return DEVICE_REASON_NO_EVENT_SERVER;
        }
        if (!north_is_leaving(g->north) && north_get_client(g->north)) {
                *ret_detail = "the event server is not operational";
                return DEVICE_REASON_NOT_OPERATIONAL;
        }
        *ret_detail = "not connected to the event server";
        return DEVICE_REASON_NO_EVENT_SERVER;
}

static bool gateway_is_usable(const Gateway *g) {
        return north_get_client(g->north) && (g->engine || !north_is_leaving(g->north)) &&
               (north_get_state(g->north) == NORTH_OPERATIONAL || !g->config->require_operational);
}

static void on_north_changed(void *userdata) {
        Gateway *g = userdata;
        bool usable = gateway_is_usable(g);

        if (usable && !g->engine && !g->stopping)
                g->engine = engine_new(g->config->layout, north_get_client(g->north), (Proxy *const *) g->proxies->pdata,
                                       g->proxies->len);
        else if (!usable && g->engine)
                g->engine = engine_free(g->engine);
        if (!g->engine || north_is_leaving(g->north))
                for (unsigned i = 0; i < g->proxies->len; i++)
                        proxy_settle(g->proxies->pdata[i]);
        NOTIFY(g, gateway_changed, g, GATEWAY_NORTH);
}

static void on_north_events(const Event *events, size_t n, void *userdata) {
        Gateway *g = userdata;

        if (g->engine)
                engine_events(g->engine, events, n);
}

static void on_north_congested(bool congested, void *userdata) {
        Gateway *g = userdata;

        log_full(congested ? LOG_WARNING : LOG_NOTICE, 0, NULL,
                 congested ? "The event server does not keep up, devices pause." : "The event server keeps up again, devices go on.");
        if (g->engine)
                engine_set_congested(g->engine, congested);
}

static void on_north_storage(void *userdata) {
        Gateway *g = userdata;

        NOTIFY(g, gateway_changed, g, GATEWAY_STORAGE);
        gateway_update_state(g);
}

static void gateway_end_export(Gateway *g, int error, const char *detail) {
        g_autofree Request *r = TAKE_PTR(g->export);

        if (r && r->callback)
                r->callback(error, detail, r->userdata);
}

/* ---- life -------------------------------------------------------------------------------------------- */

static void gateway_stopped(Gateway *g) {
        void (*stopped)(void *) = TAKE_PTR(g->stopped);

        deadline_set(g->stop_limit, USEC_INFINITY);
        gateway_end_export(g, -ESHUTDOWN, NULL);
        if (stopped)
                stopped(g->stopped_userdata);
}

static void on_north_closed(void *userdata) {
        gateway_stopped(userdata);
}

static void on_stop_limit(void *userdata) {
        Gateway *g = userdata;

        log_warning("Not everything ended in %u s, leaving.", (unsigned) (g->stop_time / USEC_PER_SEC));
        gateway_stopped(g);
}

/* In what is left of the time for the end. */
static void gateway_close_north(Gateway *g) {
        north_close(g->north, usec_sub(deadline_get(g->stop_limit), now_usec(CLOCK_MONOTONIC)));
}

/* When the last device is gone, what it registered is flushed, then the connection closes. */
static void gateway_check_idle(Gateway *g) {
        if (g->n_busy > 0)
                return;
        if (g->stopping)
                gateway_close_north(g);
        else if (north_is_leaving(g->north))
                north_left(g->north);
}

void gateway_proxy_idle(Proxy *p) {
        gateway_check_idle(p->gateway);
}

static void on_north_leave(void *userdata) {
        Gateway *g = userdata;

        for (unsigned i = 0; i < g->proxies->len; i++)
                proxy_leave(g->proxies->pdata[i]);
        gateway_check_idle(g);
}

static void gateway_begin_stop(Gateway *g, usec_t limit) {
        g->stopping = true;
        g->stop_time = limit;
        gateway_update_state(g);
        deadline_set_relative(g->stop_limit, limit);
}

/* Another gateway may be about to work: no source of the loop runs between this and the stop of every device. */
static void on_north_lost(bool frozen, void *userdata) {
        Gateway *g = userdata;

        log_error("Leaving%s.", frozen ? ", without a word to the event server: another gateway may work by now" : "");
        if (!g->stopping) {
                g->stopped = g->lost;
                g->stopped_userdata = g->lost_userdata;
                gateway_begin_stop(g, MONITOR_LOST_USEC);
        }
        for (unsigned i = 0; i < g->proxies->len; i++)
                proxy_exit_now(g->proxies->pdata[i]);
        gateway_check_idle(g);
}

static const NorthHandler north_handler = {
        .changed = on_north_changed,
        .events = on_north_events,
        .congested = on_north_congested,
        .storage = on_north_storage,
        .leave = on_north_leave,
        .lost = on_north_lost,
        .closed = on_north_closed,
};

static int gateway_add_proxies(Gateway *g) {
        for (size_t i = 0; i < g->config->n_devices; i++) {
                Proxy *p;
                int r;

                r = proxy_new(g, &g->config->devices[i], &p);
                if (r < 0)
                        return r;
                g_ptr_array_add(g->proxies, p);
                g_hash_table_insert(g->by_name, (gpointer) proxy_system_prefix(p), p);
                g->totals.devices++;
        }
        return 0;
}

int gateway_new(sd_event *event, Config *config, const ListenFds *fds, Gateway **ret) {
        _cleanup_(gateway_freep) Gateway *g = g_new0(Gateway, 1);
        int r;

        g->event = sd_event_ref(event);
        g->config = config_ref(config);
        g->fds = fds;
        g->proxies = g_ptr_array_new();
        g->by_name = g_hash_table_new(event_type_key_hash, event_type_key_equal);
        g->watches = g_array_new(FALSE, FALSE, sizeof(Watch));
        r = resolver_new(event, RESOLVER_THREADS, &g->resolver);
        if (r < 0)
                return r;
        r = deadline_new(event, "gateway-stop", on_stop_limit, g, &g->stop_limit);
        if (r < 0)
                return r;
        r = north_new(event, config, fds, &north_handler, g, &g->north);
        if (r < 0)
                return r;
        r = gateway_add_proxies(g);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

Gateway *gateway_free(Gateway *g) {
        if (!g)
                return NULL;
        g->engine = engine_free(g->engine);
        for (unsigned i = 0; g->proxies && i < g->proxies->len; i++) {
                NOTIFY(g, proxy_removed, g->proxies->pdata[i]);
                proxy_free(g->proxies->pdata[i]);
        }
        g_ptr_array_unref(g->proxies);
        g_hash_table_unref(g->by_name);
        north_free(g->north);
        g_free(g->export);
        resolver_free(g->resolver);
        deadline_free(g->stop_limit);
        g_array_unref(g->watches);
        config_unref(g->config);
        sd_event_unref(g->event);
        g_free(g);
        return NULL;
}

int gateway_start(Gateway *g) {
        for (unsigned i = 0; i < g->proxies->len; i++)
                if (proxy_view(g->proxies->pdata[i])->config->error)
                        proxy_settle(g->proxies->pdata[i]); /* failed, and observers hear of it */
        return north_start(g->north);
}

void gateway_on_lost(Gateway *g, void (*lost)(void *userdata), void *userdata) {
        g->lost = lost;
        g->lost_userdata = userdata;
}

static bool is_of_a_device(const char *name, void *userdata) {
        const Gateway *g = userdata;

        for (unsigned i = 0; i < g->proxies->len; i++)
                if (proxy_owns_stored(g->proxies->pdata[i], name))
                        return true;
        return false;
}

void gateway_set_fd_store(Gateway *g, FdStore *store) {
        g->store = store;
        fd_store_filter(store, is_of_a_device, g);
}

void gateway_set_ready(Gateway *g) {
        g->ready = true;
        gateway_update_state(g);
}

void gateway_stop(Gateway *g, void (*stopped)(void *userdata), void *userdata) {
        if (g->stopping)
                return;
        g->stopped = stopped;
        g->stopped_userdata = userdata;
        gateway_begin_stop(g, EXIT_FLUSH_USEC);
        for (unsigned i = 0; i < g->proxies->len; i++)
                proxy_exit(g->proxies->pdata[i]);
        gateway_check_idle(g);
}

/* ---- what others read -------------------------------------------------------------------------------- */

sd_event *gateway_get_event(const Gateway *g) {
        return g->event;
}

Resolver *gateway_get_resolver(const Gateway *g) {
        return g->resolver;
}

const ListenFds *gateway_get_listen_fds(const Gateway *g) {
        return g->fds;
}

FdStore *gateway_get_fd_store(const Gateway *g) {
        return g->store;
}

const Config *gateway_get_config(const Gateway *g) {
        return g->config;
}

GatewayState gateway_get_state(const Gateway *g) {
        return g->state;
}

const GatewayTotals *gateway_get_totals(const Gateway *g) {
        return &g->totals;
}

NorthState gateway_get_north_state(const Gateway *g) {
        return north_get_state(g->north);
}

MonitorState gateway_get_monitor_state(const Gateway *g) {
        return north_get_monitor_state(g->north);
}

const char *gateway_get_monitor_blessed(const Gateway *g) {
        return north_get_monitor_blessed(g->north);
}

int64_t gateway_get_monitor_rank(const Gateway *g, bool *ret_known) {
        return north_get_monitor_rank(g->north, ret_known);
}

const char *gateway_get_event_server(const Gateway *g) {
        return north_get_address(g->north);
}

EventStorage gateway_get_event_storage(const Gateway *g, const char **ret_detail) {
        const EventServer *server = north_get_event_server(g->north);
        const char *trouble = server ? event_server_get_trouble(server) : NULL;

        *ret_detail = trouble ?: "";
        return trouble ? EVENT_STORAGE_FAILING : server ? EVENT_STORAGE_WORKING : EVENT_STORAGE_NONE;
}

uint64_t gateway_get_events_lost(const Gateway *g) {
        const EventServer *server = north_get_event_server(g->north);

        return server ? event_server_get_counters(server).dropped : 0;
}

size_t gateway_n_proxies(const Gateway *g) {
        return g->proxies->len;
}

Proxy *gateway_get_proxy(const Gateway *g, size_t i) {
        return g->proxies->pdata[i];
}

int gateway_find(const Gateway *g, const char *type, const char *name, Proxy **ret) {
        EventPrefix key;
        Proxy *p;

        event_prefix_init(&key, g->config->layout, g->config->name, type, name);
        p = g_hash_table_lookup(g->by_name, &key.system);
        if (!p)
                return -ENXIO;
        *ret = p;
        return 0;
}

/* ---- enable requests --------------------------------------------------------------------------------- */

static void on_enable_registered(int error, const Event *events, size_t n, bool more_follows, void *userdata) {
        g_autofree Request *r = userdata;

        switch (error) {
        case 0:
        case -ETIMEDOUT:
                break;
        case -EREMOTEIO:
                error = -EHOSTDOWN;
                break;
        default:
                error = -ENOTCONN;
        }
        r->callback(error, NULL, r->userdata);
}

int proxy_request_enable(Proxy *p, bool enable, RequestCallback callback, void *userdata, Request **ret) {
        static const char *const subtypes[] = { "enable", NULL };
        Payload payload = { .kind = PAYLOAD_JSON, .json = enable ? JSON_LITERAL("true") : JSON_LITERAL("false") };
        Gateway *g = p->gateway;
        g_autofree Request *request = NULL;
        int r;

        if (g->stopping)
                return -ESHUTDOWN;
        if (!north_get_client(g->north))
                return -ENOTCONN;
        if (north_get_state(g->north) != NORTH_OPERATIONAL)
                return -EHOSTDOWN;
        request = g_new0(Request, 1);
        *request = (Request) { .callback = callback, .userdata = userdata };
        r = event_client_request_register(north_get_client(g->north), p->prefix.system, subtypes, NULL, &payload,
                                          on_enable_registered, request, &request->request);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(request);
        return 0;
}

/* ---- export ------------------------------------------------------------------------------------------ */

static void on_exported(int error, const char *detail, void *userdata) {
        gateway_end_export(userdata, error, detail);
}

int gateway_request_export(Gateway *g, int fd, RequestCallback callback, void *userdata, Request **ret) {
        EventServer *server = north_get_event_server(g->north);
        int r;

        if (g->stopping)
                return -ESHUTDOWN;
        if (!server)
                return -ENOTCONN;
        if (g->export)
                return -EBUSY;
        r = event_server_export(server, fd, on_exported, g);
        if (r < 0)
                return r;
        g->export = g_new0(Request, 1);
        *g->export = (Request) { .callback = callback, .userdata = userdata };
        *ret = g->export;
        return 0;
}

Request *request_cancel(Request *r) {
        if (!r)
                return NULL;
        if (!r->request) {
                r->callback = NULL;
                return NULL;
        }
        event_request_cancel(r->request);
        g_free(r);
        return NULL;
}
