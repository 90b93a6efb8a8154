/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to a fixed event server, to the embedded one, or to the one that a monitor server names.
 * Loop thread. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/bounds.h"
#include "base/deadline.h"
#include "base/rate-limit.h"
#include "daemon/event-prefix.h"
#include "daemon/north-embedded.h"
#include "daemon/north-monitor.h"
#include "daemon/north.h"

#define RESOLVER_THREADS 2U /* for the names of the monitor server and of the event server, which wait for nobody else's */

static const char *const north_state_table[_NORTH_STATE_MAX] = {
        [NORTH_DISCONNECTED] = "disconnected",
        [NORTH_CONNECTING] = "connecting",
        [NORTH_STANDBY] = "standby",
        [NORTH_STARTING] = "starting",
        [NORTH_OPERATIONAL] = "operational",
        [NORTH_STOPPING] = "stopping",
};
DEFINE_STRING_TABLE(north_state, NorthState, north_state_table);

typedef enum NorthPhase {
        NORTH_NOWHERE,  /* there is no event server to work with */
        NORTH_WORKING,  /* connected, connecting, or waiting for the next try */
        NORTH_LEAVING,  /* the gateway ends its work: north_left() */
        NORTH_FLUSHING, /* it has; what it registered is written out */
} NorthPhase;

struct North {
        sd_event *event;
        Resolver *resolver;
        const Config *config;
        const ListenFds *fds;
        const NorthHandler *handler;
        void *userdata;
        char *address, *client_name; /* address: "" is nowhere */
        EventServer *server; /* NORTH_EMBEDDED */
        NorthMonitor *monitor; /* NORTH_MONITOR */
        ObserverEventServer target; /* of the monitor, while not NOWHERE */
        bool monitor_lost;
        NorthPhase phase;
        NorthState state;
        EventClient *client;
        Deadline *reconnect;
        bool closing;
        usec_t close_by; /* monotonic */
        usec_t lost; /* monotonic, when the outage that goes on began; 0: none */
        char reason[NORTH_REASON_SIZE]; /* of that outage: the one logged last, cut off */
        RateLimit reasons; /* other ones of one outage, logged */
};

static NorthState state_of(EventerStatus status) {
        static const NorthState table[_EVENTER_STATUS_MAX] = {
                [EVENTER_STANDBY] = NORTH_STANDBY,
                [EVENTER_STARTING] = NORTH_STARTING,
                [EVENTER_OPERATIONAL] = NORTH_OPERATIONAL,
                [EVENTER_STOPPING] = NORTH_STOPPING,
        };

        return table[status];
}

/* For the log. */
static const char *north_label(const North *n) {
        return *n->address ? n->address : "(embedded)";
}

static void north_set_state(North *n, NorthState state) {
        if (n->state == state)
                return;
        log_debug("Event server %s: %s", north_label(n), north_state_to_string(state));
        n->state = state;
        n->handler->changed(n->userdata);
}

static void on_connected(EventClient *c, EventerStatus status, void *userdata) {
        North *n = userdata;

        if (n->lost > 0)
                log_notice("Connected to event server %s again after %.1f s.", north_label(n),
                           (double) (now_usec(CLOCK_MONOTONIC) - n->lost) / USEC_PER_SEC);
        else
                log_info("Connected to event server %s.", north_label(n));
        n->lost = 0;
        north_set_state(n, state_of(status));
}

static void on_status(EventClient *c, EventerStatus status, void *userdata) {
        north_set_state(userdata, state_of(status));
}

static void on_events(EventClient *c, const Event *events, size_t n_events, void *userdata) {
        North *n = userdata;

        n->handler->events(events, n_events, n->userdata);
}

static void on_congested(EventClient *c, bool congested, void *userdata) {
        North *n = userdata;

        n->handler->congested(congested, n->userdata);
}

static void on_stopped(void *userdata) {
        North *n = userdata;

        n->handler->closed(n->userdata);
}

/* The last step of closing: our connection is closed. */
static void north_close_rest(North *n) {
        usec_t limit = usec_sub(n->close_by, now_usec(CLOCK_MONOTONIC));

        if (n->server)
                event_server_stop(n->server, limit, on_stopped, n);
        else if (n->monitor)
                north_monitor_close(n->monitor, limit);
        else
                n->handler->closed(n->userdata);
}

static void north_reconcile(North *n);

static void north_leave_done(North *n) {
        n->phase = NORTH_NOWHERE;
        observer_event_server_done(&n->target);
        g_free(n->address);
        n->address = g_strdup("");
        n->lost = 0;
        north_reconcile(n);
        n->handler->changed(n->userdata);
}

/* The present connection ended by itself, or could not be begun. */
static void north_try_again(North *n, const char *detail) {
        usec_t now = now_usec(CLOCK_MONOTONIC);
        unsigned unsaid;
        bool news = n->lost == 0 || (strncmp(n->reason, detail, sizeof(n->reason) - 1) != 0 &&
                                     rate_limit_take(&n->reasons, now, &unsaid));

        log_full(news ? LOG_WARNING : LOG_DEBUG, 0, NULL, "Event server %s: %s; trying again every %.1f s.", north_label(n), detail,
                 (double) NORTH_RECONNECT_USEC / USEC_PER_SEC);
        if (news)
                g_strlcpy(n->reason, detail, sizeof(n->reason));
        if (n->lost == 0)
                n->lost = now;
        deadline_set_relative(n->reconnect, NORTH_RECONNECT_USEC);
}

static void on_closed(EventClient *c, int error, const char *detail, void *userdata) {
        North *n = userdata;

        if (!n->closing && !n->monitor_lost && n->phase == NORTH_WORKING)
                north_try_again(n, detail);
        north_set_state(n, NORTH_DISCONNECTED);
        n->client = event_client_free(n->client);
        if (n->closing)
                north_close_rest(n);
        else if (n->phase == NORTH_FLUSHING)
                north_leave_done(n);
}

static const EventClientHandler client_handler = {
        .connected = on_connected,
        .status = on_status,
        .events = on_events,
        .congested = on_congested,
        .closed = on_closed,
};

/* Our end of a pair, the other one is the server's. */
static int north_connect_embedded(North *n, const EventerInit *init) {
        _cleanup_(safe_closep) int fd = -EBADF;
        int r;

        r = event_server_connect(n->server, &fd);
        if (r < 0)
                return r;
        r = event_client_new_fd(n->event, fd, init, &client_handler, n, &n->client);
        if (r < 0)
                return r;
        TAKE_FD(fd);
        return 0;
}

/* Whom the monitor server names. Another gateway may work after us: nothing of ours may arrive later. */
static int north_connect_active(North *n, const EventerInit *init) {
        _cleanup_(address_done) Address address = {};
        int r;

        address_set_tcp(&address, n->target.host, n->target.port);
        r = event_client_new(n->event, n->resolver, &address, init, &client_handler, n, &n->client);
        if (r >= 0)
                event_client_set_abortive(n->client);
        return r;
}

static void north_connect(North *n) {
        Subtype text[EVENT_PREFIX_MAX + 2];
        EventType subscription = event_prefix_subscription(n->config->layout, n->config->name, text);
        EventerInit init = {
                .client_name = n->client_name,
                .client_token = n->server ? NULL : n->config->client_token,
                .subscriptions = &subscription,
                .n_subscriptions = 1,
                .server_id = n->monitor ? &n->target.server_id : NULL,
        };
        int r;

        if (n->server)
                r = north_connect_embedded(n, &init);
        else if (n->monitor)
                r = north_connect_active(n, &init);
        else
                r = event_client_new(n->event, n->resolver, &n->config->event_server, &init, &client_handler, n, &n->client);
        if (r >= 0)
                north_set_state(n, NORTH_CONNECTING);
        else
                north_try_again(n, g_strerror(-r));
}

static void on_reconnect(void *userdata) {
        North *n = userdata;

        if (n->closing)
                north_close_rest(n);
        else if (n->phase == NORTH_WORKING && !n->monitor_lost)
                north_connect(n);
}

/* ---- the monitor server ------------------------------------------------------------------------------ */

static void north_begin(North *n, const ObserverEventServer *server) {
        _cleanup_(address_done) Address address = {};

        n->target = (ObserverEventServer) {
                .server_id = server->server_id,
                .host = g_strdup(server->host),
                .port = server->port,
                .token = g_strdup(server->token),
        };
        address_set_tcp(&address, server->host, server->port);
        g_free(n->address);
        n->address = address_format(&address);
        n->phase = NORTH_WORKING;
        north_connect(n);
}

static void north_leave(North *n) {
        n->phase = NORTH_LEAVING;
        deadline_set(n->reconnect, USEC_INFINITY);
        n->handler->leave(n->userdata);
}

/* Compares where we may work with where we do, and takes one step (wire.md 7.2, 7.3). The blessing is given
 * back only when no work is left. */
static void north_reconcile(North *n) {
        const ObserverEventServer *wanted;

        if (!n->monitor || n->closing || n->monitor_lost)
                return;
        if (n->phase == NORTH_NOWHERE && north_monitor_is_ending(n->monitor))
                north_monitor_set_ended(n->monitor);
        wanted = north_monitor_get_event_server(n->monitor);
        if (n->phase == NORTH_NOWHERE && wanted)
                north_begin(n, wanted);
        else if (n->phase == NORTH_WORKING && (!wanted || !observer_event_server_equal(wanted, &n->target)))
                north_leave(n);
}

void north_left(North *n) {
        if (n->phase != NORTH_LEAVING)
                return;
        if (n->client) {
                n->phase = NORTH_FLUSHING;
                event_client_close(n->client, NORTH_LEAVE_USEC);
        } else
                north_leave_done(n);
}

bool north_is_leaving(const North *n) {
        return n->phase == NORTH_LEAVING || n->phase == NORTH_FLUSHING;
}

static void on_monitor_changed(void *userdata) {
        North *n = userdata;

        north_reconcile(n);
        n->handler->changed(n->userdata);
}

static void on_monitor_lost(NorthMonitorLoss loss, void *userdata) {
        North *n = userdata;
        bool frozen = loss == NORTH_MONITOR_FROZEN;

        n->monitor_lost = true;
        deadline_set(n->reconnect, USEC_INFINITY);
        if (frozen)
                n->state = NORTH_DISCONNECTED;
        n->handler->changed(n->userdata); /* without an engine nobody asks or registers */
        if (frozen)
                n->client = event_client_free(n->client);
        n->handler->lost(frozen, n->userdata);
}

static const NorthMonitorHandler monitor_handler = {
        .changed = on_monitor_changed,
        .lost = on_monitor_lost,
        .closed = on_stopped,
};

/* ---- the embedded event server ----------------------------------------------------------------------- */

static void on_server_changed(void *userdata) {
        North *n = userdata;

        n->handler->storage(n->userdata);
}

static void on_server_damaged(void *userdata) {
        North *n = userdata;

        n->handler->lost(/* frozen= */ false, n->userdata);
}

static void on_server_emptied(void *userdata) {
        North *n = userdata;

        (void) north_embedded_register_initial(n->server, n->config->embedded);
}

static const EventServerHandler server_handler = {
        .changed = on_server_changed,
        .damaged = on_server_damaged,
        .emptied = on_server_emptied,
};

static int north_open_server(North *n) {
        int r;

        r = north_embedded_open(n->event, n->config->embedded, n->fds, &server_handler, n, &n->server);
        if (r < 0)
                return r;
        g_free(n->address);
        n->address = g_strdup(event_server_get_address(n->server));
        return 0;
}

/* ---- life -------------------------------------------------------------------------------------------- */

int north_new(sd_event *event, const Config *config, const ListenFds *fds, const NorthHandler *handler, void *userdata,
              North **ret) {
        _cleanup_(north_freep) North *n = g_new0(North, 1);
        int r;

        n->event = sd_event_ref(event);
        n->config = config;
        n->fds = fds;
        n->handler = handler;
        n->userdata = userdata;
        n->reasons = (RateLimit) { .burst = NORTH_REASONS_MAX, .interval = NORTH_REASONS_USEC };
        n->address = config->north == NORTH_FIXED ? address_format(&config->event_server) : g_strdup("");
        n->phase = config->north == NORTH_MONITOR ? NORTH_NOWHERE : NORTH_WORKING;
        n->client_name = g_strconcat("gateway/", config->name, NULL);
        r = resolver_new(event, RESOLVER_THREADS, &n->resolver);
        if (r >= 0)
                r = deadline_new(event, "north-reconnect", on_reconnect, n, &n->reconnect);
        if (r >= 0 && config->north == NORTH_MONITOR)
                r = north_monitor_new(event, n->resolver, config, NULL, &monitor_handler, n, &n->monitor);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

North *north_free(North *n) {
        if (!n)
                return NULL;
        event_client_free(n->client);
        north_monitor_free(n->monitor);
        resolver_free(n->resolver);
        event_server_free(n->server);
        observer_event_server_done(&n->target);
        deadline_free(n->reconnect);
        g_free(n->address);
        g_free(n->client_name);
        sd_event_unref(n->event);
        g_free(n);
        return NULL;
}

int north_start(North *n) {
        int r;

        if (n->config->north == NORTH_EMBEDDED) {
                r = north_open_server(n);
                if (r < 0)
                        return r;
        }
        if (n->monitor)
                return north_monitor_start(n->monitor);
        north_connect(n);
        return 0;
}

void north_close(North *n, usec_t limit) {
        if (n->closing)
                return;
        n->closing = true;
        n->close_by = usec_add(now_usec(CLOCK_MONOTONIC), limit);
        if (n->client)
                event_client_close(n->client, limit);
        else
                deadline_set_relative(n->reconnect, 0);
}

NorthState north_get_state(const North *n) {
        return n->state;
}

EventClient *north_get_client(const North *n) {
        return n->state >= NORTH_STANDBY ? n->client : NULL;
}

const char *north_get_address(const North *n) {
        return n->address;
}

MonitorState north_get_monitor_state(const North *n) {
        return n->monitor ? north_monitor_get_state(n->monitor) : MONITOR_NONE;
}

const char *north_get_monitor_blessed(const North *n) {
        return n->monitor ? north_monitor_get_blessed(n->monitor) : "";
}

int64_t north_get_monitor_rank(const North *n, bool *ret_known) {
        *ret_known = false;
        return n->monitor ? north_monitor_get_rank(n->monitor, ret_known) : 0;
}

EventServer *north_get_event_server(const North *n) {
        return n->server;
}
