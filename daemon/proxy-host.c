/* SPDX-License-Identifier: Apache-2.0 */
/* What a running device asks of its host (devices/device.h): events out, queries, link, stored descriptors,
 * loop. Loop thread. */
#include <errno.h>

#include "base/bounds.h"
#include "daemon/engine.h"
#include "daemon/proxy-internal.h"

struct DeviceQuery {
        DeviceQuery *next;
        Proxy *proxy;
        EventRequest *request;
        DeviceQueryCallback callback;
        void *userdata;
};

sd_event *device_get_event(Device *d) {
        return gateway_get_event(d->host->gateway);
}

Resolver *device_get_resolver(Device *d) {
        return gateway_get_resolver(d->host->gateway);
}

const LogContext *device_log(const Device *d) {
        return &d->host->log;
}

LinkTap *device_tap(Device *d) {
        return &d->host->view.tap;
}

void device_set_recorder(Device *d, size_t size) {
        const Config *c = gateway_get_config(d->host->gateway);

        tap_set_recorder(&d->host->view.tap, size ?: MIN(TAP_RECORDER_USUAL, TAP_RECORDERS_MAX / c->n_devices));
}

int device_borrow_fd(Device *d, const char *name) {
        return listen_fds_get(gateway_get_listen_fds(d->host->gateway), name);
}

/* ---- descriptors that outlive the run ---------------------------------------------------------------- */

/* "gpio/panel/", with nothing in it that a name must not have. */
static char *stored_prefix(const Proxy *p) {
        const DeviceConfig *c = p->view.config;
        g_autofree char *name = g_uri_escape_string(c->name, NULL, false);

        return g_strdup_printf("%s/%s/", c->type->name, name);
}

bool proxy_owns_stored(const Proxy *p, const char *name) {
        g_autofree char *prefix = stored_prefix(p);

        return g_str_has_prefix(name, prefix);
}

int device_store_fd(Device *d, const char *name, int fd) {
        g_autofree char *prefix = stored_prefix(d->host), *full = g_strconcat(prefix, name, NULL);
        FdStore *s = gateway_get_fd_store(d->host->gateway);

        return s ? fd_store_add(s, full, fd) : -ENOSPC;
}

int device_stored_fd(Device *d, const char *name) {
        g_autofree char *prefix = stored_prefix(d->host), *full = g_strconcat(prefix, name, NULL);
        FdStore *s = gateway_get_fd_store(d->host->gateway);

        return s ? fd_store_get(s, full) : -ENOENT;
}

typedef struct Wanted {
        char *prefix;
        const char *const *names;
} Wanted;

static bool is_wanted(const char *name, void *userdata) {
        const Wanted *w = userdata;

        return !g_str_has_prefix(name, w->prefix) || g_strv_contains(w->names, name + strlen(w->prefix));
}

static void drop_stored(const Proxy *p, const char *const *but) {
        FdStore *s = gateway_get_fd_store(p->gateway);
        g_autofree char *prefix = stored_prefix(p);

        if (s)
                fd_store_filter(s, is_wanted, &(Wanted) { prefix, but });
}

void device_drop_stored(Device *d, const char *const *but) {
        drop_stored(d->host, but);
}

void proxy_drop_stored(Proxy *p) {
        static const char *const none[] = { NULL };

        drop_stored(p, none);
}

/* ---- life -------------------------------------------------------------------------------------------- */

void device_started(Device *d) {
        Proxy *p = d->host;

        if (p->phase != RUN_STARTING || p->ended)
                return; /* it is being stopped already */
        p->phase = RUN_RUNNING;
        deadline_set(p->deadline, USEC_INFINITY);
        proxy_register_running(p, true);
        proxy_settle(p);
        proxy_deliver_queue(p);
        if (p->engine && engine_is_congested(p->engine))
                proxy_flow(p, false);
}

void device_ended(Device *d, DeviceReason reason, const char *detail) {
        Proxy *p = d->host;

        if (p->ended)
                return;
        p->ended = true;
        proxy_edge_set(&p->end, reason, detail);
        proxy_cancel_queries(p);
        proxy_schedule(p);
}

void device_set_link(Device *d, DeviceLink link, DeviceReason reason, const char *detail) {
        Proxy *p = d->host;

        /* `connecting` is for a run's first try only, so that retries do not flip what people see */
        if (link == DEVICE_LINK_CONNECTING && p->link_known)
                return;
        if (link != DEVICE_LINK_CONNECTING && link != DEVICE_LINK_NONE)
                p->link_known = true;
        proxy_set_link(p, link, reason, detail);
}

void device_register(Device *d, const char *const *subtypes, const Timestamp *source, JsonSpan payload) {
        Proxy *p = d->host;

        if (p->engine)
                engine_register(p->engine, p->prefix.gateway, subtypes, source, payload);
}

/* ---- queries ----------------------------------------------------------------------------------------- */

static void query_unlink(DeviceQuery *q) {
        DeviceQuery **at = &q->proxy->queries;

        while (*at != q)
                at = &(*at)->next;
        *at = q->next;
}

void proxy_cancel_queries(Proxy *p) {
        while (p->queries) {
                DeviceQuery *q = p->queries;

                p->queries = q->next;
                event_request_cancel(q->request);
                g_free(q);
        }
}

static void on_query_answer(int error, const Event *events, size_t n, bool more_follows, void *userdata) {
        g_autofree DeviceQuery *q = userdata;
        g_autofree Event *below = g_new(Event, n);
        Proxy *p = q->proxy;
        size_t n_below = 0;

        query_unlink(q);
        for (size_t i = 0; i < n; i++) {
                below[n_below] = events[i];
                if (event_type_has_prefix(events[i].type, p->prefix.system, &below[n_below].type))
                        n_below++;
        }
        q->callback(p->device, error, below, n_below, q->userdata);
}

int device_query_latest(Device *d, const char *const *const *subtypes, size_t n, DeviceQueryCallback callback, void *userdata) {
        Proxy *p = d->host;
        g_autofree EventType *types = g_new0(EventType, n);
        g_autoptr(GArray) text = g_array_new(FALSE, FALSE, sizeof(Subtype));
        DeviceQuery *q;
        size_t at = 0;
        int r;

        if (!p->engine)
                return -ENOTCONN;
        for (size_t i = 0; i < n; i++) {
                g_array_append_vals(text, p->prefix.system.subtypes, p->prefix.system.n);
                types[i].n = p->prefix.system.n;
                for (const char *const *s = subtypes[i]; *s; s++, types[i].n++) {
                        Subtype subtype = { *s, strlen(*s) };

                        g_array_append_val(text, subtype);
                }
        }
        for (size_t i = 0; i < n; i++) {
                types[i].subtypes = &g_array_index(text, Subtype, at);
                at += types[i].n;
        }

        q = g_new0(DeviceQuery, 1);
        *q = (DeviceQuery) { .proxy = p, .callback = callback, .userdata = userdata };
        r = engine_query_latest(p->engine, types, n, on_query_answer, q, &q->request);
        if (r < 0) {
                g_free(q);
                return r;
        }
        q->next = p->queries;
        p->queries = q;
        return 0;
}
