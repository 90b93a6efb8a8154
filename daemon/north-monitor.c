/* SPDX-License-Identifier: Apache-2.0 */
/* From the monitor's states to where the north may work. Loop thread. */
#include <errno.h>

#include "base/deadline.h"
#include "base/log.h"
#include "daemon/north-monitor.h"

struct NorthMonitor {
        sd_event *event;
        Resolver *resolver;
        const Config *config;
        MonitorClientOptions options;
        const NorthMonitorHandler *handler;
        void *userdata;
        char *label; /* for the log */
        MonitorClient *client; /* NULL before the start and when it was lost */
        Deadline *later;       /* closed() when there is no client any more */
        bool connected, lost;
        MonitorState told;     /* by changed() */
        ObserverEventServer active; /* host NULL: no event server is active */
        char *blessed;
        int64_t rank;
        bool rank_known;
};

/* ---- what the monitor says --------------------------------------------------------------------------- */

/* These return whether something is another now. */
static bool set_active(NorthMonitor *m, const ObserverComponent *components, size_t n) {
        ObserverEventServer found = {};

        (void) observer_find_event_server(components, n, m->config->monitor->event_server_group, m->config->client_token, &found);
        if (observer_event_server_equal(&found, &m->active)) {
                observer_event_server_done(&found);
                return false;
        }
        if (found.host)
                log_info("Active event server: %s:%u (id %" G_GINT64_FORMAT ").", found.host, found.port, found.server_id);
        else
                log_info("No event server is active.");
        observer_event_server_done(&m->active);
        m->active = found;
        return true;
}

static bool set_blessed(NorthMonitor *m, const ObserverComponent *components, size_t n) {
        g_autofree char *blessed = NULL;

        for (size_t i = 0; i < n && !blessed; i++) {
                const ObserverComponent *c = &components[i];

                if (c->has_group && subtype_is(c->group, m->config->monitor->gateway_group) && observer_component_is_active(c))
                        blessed = g_strndup(c->name.text, c->name.size);
        }
        if (g_strcmp0(blessed, m->blessed) == 0)
                return false;
        if (blessed && !streq(blessed, m->options.name))
                log_info("Gateway '%s' is blessed.", blessed);
        g_free(m->blessed);
        m->blessed = TAKE_PTR(blessed);
        return true;
}

static bool set_rank(NorthMonitor *m, const ObserverComponent *own) {
        int64_t rank = own ? own->rank : 0;

        if (m->rank_known == (own != NULL) && m->rank == rank)
                return false;
        m->rank_known = own;
        m->rank = rank;
        return true;
}

static bool set_told(NorthMonitor *m) {
        MonitorState state = north_monitor_get_state(m);

        if (state == m->told)
                return false;
        m->told = state;
        return true;
}

static void on_components(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata) {
        NorthMonitor *m = userdata;

        bool active = set_active(m, components, n), blessed = set_blessed(m, components, n), rank = set_rank(m, own),
             told = set_told(m);

        if (active || blessed || rank || told)
                m->handler->changed(m->userdata);
}

/* What a message changed is told once, by the above. */
static void on_state(ObserverState state, void *userdata) {
        NorthMonitor *m = userdata;

        if (state == OBSERVER_ACTIVE)
                log_notice("Blessed by monitor server %s.", m->label);
        else if (state == OBSERVER_ENDING && !m->lost)
                log_notice("Monitor server %s has taken the blessing away.", m->label);
}

/* ---- the connection ---------------------------------------------------------------------------------- */

static void on_connected(void *userdata) {
        NorthMonitor *m = userdata;

        log_info("Connected to monitor server %s as '%s'.", m->label, m->options.name);
        m->connected = true;
        monitor_client_set_ready(m->client, true);
        if (set_told(m))
                m->handler->changed(m->userdata);
}

static void monitor_lose(NorthMonitor *m, NorthMonitorLoss loss) {
        if (m->lost)
                return;
        m->lost = true;
        m->handler->lost(loss, m->userdata);
}

static void on_asked_to_close(void *userdata) {
        NorthMonitor *m = userdata;

        log_error("Monitor server %s ends.", m->label);
        monitor_lose(m, NORTH_MONITOR_GONE);
}

static void on_closed(int error, const char *detail, void *userdata) {
        NorthMonitor *m = userdata;

        m->client = monitor_client_free(m->client);
        if (deadline_get(m->later) != USEC_INFINITY || error == 0) { /* as asked */
                deadline_set(m->later, USEC_INFINITY);
                m->handler->closed(m->userdata);
                return;
        }
        if (!m->lost)
                log_error("%s monitor server %s: %s.", m->connected ? "Lost" : "Cannot connect to", m->label, detail);
        monitor_lose(m, error == -ESTALE ? NORTH_MONITOR_FROZEN : NORTH_MONITOR_GONE);
}

static void on_later(void *userdata) {
        NorthMonitor *m = userdata;

        m->client = monitor_client_free(m->client);
        m->handler->closed(m->userdata);
}

static const MonitorClientHandler client_handler = {
        .connected = on_connected,
        .components = on_components,
        .state = on_state,
        .asked_to_close = on_asked_to_close,
        .closed = on_closed,
};

/* ---- life -------------------------------------------------------------------------------------------- */

int north_monitor_new(sd_event *event, Resolver *resolver, const Config *config, const MonitorClientOptions *times,
                      const NorthMonitorHandler *handler, void *userdata, NorthMonitor **ret) {
        _cleanup_(north_monitor_freep) NorthMonitor *m = g_new0(NorthMonitor, 1);
        int r;

        m->event = sd_event_ref(event);
        m->resolver = resolver;
        m->config = config;
        m->options = times ? *times : (MonitorClientOptions) {};
        m->options.name = config->monitor->component_name;
        m->options.group = config->monitor->gateway_group;
        m->handler = handler;
        m->userdata = userdata;
        m->told = MONITOR_CONNECTING;
        m->label = g_strdup_printf("%s:%u", config->monitor->host, (unsigned) config->monitor->port);
        r = deadline_new(event, "north-monitor", on_later, m, &m->later);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

NorthMonitor *north_monitor_free(NorthMonitor *m) {
        if (!m)
                return NULL;
        monitor_client_free(m->client);
        deadline_free(m->later);
        observer_event_server_done(&m->active);
        sd_event_unref(m->event);
        g_free(m->blessed);
        g_free(m->label);
        g_free(m);
        return NULL;
}

int north_monitor_start(NorthMonitor *m) {
        _cleanup_(address_done) Address address = {};
        int r;

        address_set_tcp(&address, m->config->monitor->host, (uint16_t) m->config->monitor->port);
        r = monitor_client_new(m->event, m->resolver, &address, &m->options, &client_handler, m, &m->client);
        if (r < 0)
                return log_error_errno(r, "Cannot connect to monitor server %s: %m", m->label);
        return 0;
}

void north_monitor_close(NorthMonitor *m, usec_t limit) {
        m->lost = true; /* what happens now was asked for */
        deadline_set_relative(m->later, m->client ? limit : 0);
        if (!m->client)
                return;
        monitor_client_set_ready(m->client, false);
        monitor_client_set_ended(m->client);
        monitor_client_close(m->client, limit);
}

/* ---- what others read -------------------------------------------------------------------------------- */

MonitorState north_monitor_get_state(const NorthMonitor *m) {
        if (!m->connected || !m->client)
                return MONITOR_CONNECTING;
        return !m->lost && monitor_client_get_state(m->client) == OBSERVER_ACTIVE ? MONITOR_BLESSED : MONITOR_WAITING;
}

const ObserverEventServer *north_monitor_get_event_server(const NorthMonitor *m) {
        return north_monitor_get_state(m) == MONITOR_BLESSED && m->active.host ? &m->active : NULL;
}

bool north_monitor_is_ending(const NorthMonitor *m) {
        return m->client && !m->lost && monitor_client_get_state(m->client) == OBSERVER_ENDING;
}

void north_monitor_set_ended(NorthMonitor *m) {
        if (m->client)
                monitor_client_set_ended(m->client);
}

const char *north_monitor_get_blessed(const NorthMonitor *m) {
        return m->blessed ?: "";
}

int64_t north_monitor_get_rank(const NorthMonitor *m, bool *ret_known) {
        *ret_known = m->rank_known;
        return m->rank;
}
