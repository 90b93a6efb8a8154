/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent without being asked: an observer of the gateway. Edges of state go out at once;
 * properties, announcements and the rest of a flapping link wait for one tick of all objects, so that no
 * object speaks more often than every BUS_PACE_USEC. While the bus does not take what it has, what can wait
 * waits; a bus that takes nothing is given up. Loop thread. */
#include <errno.h>

#include <config.h>

#include "dbus/bus-internal.h"

/* ---- pace -------------------------------------------------------------------------------------------- */

static void signals_schedule(Bus *b) {
        if (b->owned && deadline_get(b->tick) == USEC_INFINITY)
                deadline_set(b->tick, usec_add(b->ticked, BUS_PACE_USEC));
}

static void device_mark(BusDevice *d, unsigned changed) {
        if (!d->bus->owned)
                return;
        d->changed |= changed;
        if (!d->listed) {
                d->listed = true;
                g_ptr_array_add(d->bus->dirty, d);
        }
        signals_schedule(d->bus);
}

/* A signal that the library refuses is one that nobody could have received. */
static void note_sent(Bus *b, int r, const char *what) {
        if (r > 0)
                b->sent++;
        else if (r < 0)
                log_debug_errno(r, "Cannot send %s on D-Bus: %m", what);
}

/* ---- edges ------------------------------------------------------------------------------------------- */

static void device_emit_edge(BusDevice *d, const char *signal, const char *old, const char *new,
                             const ProxyEdge *edge) {
        note_sent(d->bus,
                  sd_bus_emit_signal(d->bus->bus, d->path, BUS_DEVICE_INTERFACE, signal, "ssst", old, new,
                                     device_reason_to_string(edge->reason), edge->monotonic),
                  signal);
}

/* The edge that waits, if its turn has come. */
static void device_emit_link(BusDevice *d) {
        const ProxyView *v = proxy_view(d->proxy);
        usec_t now = now_usec(CLOCK_MONOTONIC);

        if (!d->link_pending || now < usec_add(d->link_sent_at, BUS_PACE_USEC) || !bus_can_send(d->bus))
                return;
        d->link_pending = false;
        if (v->link == d->link_sent) {
                d->links_omitted++;
                return;
        }
        device_emit_edge(d, "LinkChanged", device_link_to_string(d->link_sent),
                         device_link_to_string(v->link), &v->link_edge);
        d->link_sent = v->link;
        d->link_sent_at = now;
}

static void on_proxy_state(Proxy *p, ProxyState old, void *userdata) {
        Bus *b = userdata;
        BusDevice *d = bus_device_get(b, p);
        const ProxyView *v = proxy_view(p);

        device_mark(d, CHANGE_STATE);
        if (bus_can_send(b))
                device_emit_edge(d, "StateChanged", proxy_state_to_string(old),
                                 proxy_state_to_string(v->state), &v->state_edge);
}

static void on_proxy_link(Proxy *p, DeviceLink old, void *userdata) {
        Bus *b = userdata;
        BusDevice *d = bus_device_get(b, p);

        if (!b->owned)
                return;
        if (d->link_pending)
                d->links_omitted++;
        d->link_pending = true;
        device_mark(d, CHANGE_LINK);
        device_emit_link(d);
}

/* ---- what waits for the tick ------------------------------------------------------------------------- */

static void on_proxy_changed(Proxy *p, ProxyField what, void *userdata) {
        BusDevice *d = bus_device_get(userdata, p);

        device_mark(d, ((what & PROXY_ENABLED) ? CHANGE_ENABLED : 0) |
                                       ((what & PROXY_REASON) ? CHANGE_STATE | CHANGE_LINK : 0) |
                                       ((what & PROXY_RETRY) ? CHANGE_RETRY : 0));
}

static void on_gateway_changed(Gateway *g, GatewayField what, void *userdata) {
        Bus *b = userdata;

        if (!b->owned)
                return;
        b->changed |= what;
        signals_schedule(b);
}

static void device_emit(BusDevice *d) {
        sd_bus *bus = d->bus->bus;

        if (!d->announced) {
                note_sent(d->bus, sd_bus_emit_object_added(bus, d->path), "InterfacesAdded");
                d->announced = true;
        } else
                note_sent(d->bus,
                          bus_properties_emit(bus, d->path, BUS_DEVICE_INTERFACE, device_properties,
                                              d->changed),
                          "PropertiesChanged");
        d->changed = 0;
        device_emit_link(d);
}

static void manager_emit(Bus *b) {
        note_sent(b,
                  bus_properties_emit(b->bus, BUS_ROOT_PATH, BUS_MANAGER_INTERFACE, manager_properties,
                                      b->changed),
                  "PropertiesChanged");
        b->changed = 0;
}

static void on_tick(void *userdata) {
        Bus *b = userdata;
        unsigned n = 0;

        b->ticked = now_usec(CLOCK_MONOTONIC);
        if (bus_unsent(b) < BUS_UNSENT_PAUSE)
                manager_emit(b);
        for (unsigned i = 0; i < b->dirty->len; i++) {
                BusDevice *d = b->dirty->pdata[i];

                if (bus_unsent(b) < BUS_UNSENT_PAUSE)
                        device_emit(d);
                if (!b->owned)
                        return; /* lost, the list is empty now */
                d->listed = !d->announced || d->changed != 0 || d->link_pending;
                if (d->listed)
                        b->dirty->pdata[n++] = d;
        }
        g_ptr_array_set_size(b->dirty, (int) n);
        if (n > 0 || b->changed != 0)
                signals_schedule(b);
}

void bus_signals_flush(Bus *b) {
        if (b->owned)
                on_tick(b);
}

/* ---- devices come and go ----------------------------------------------------------------------------- */

static char *device_path(const DeviceConfig *c) {
        char *path;
        int r;

        r = sd_bus_path_encode_many(&path, BUS_DEVICE_ROOT "/%/%", c->type->name, c->name);
        g_assert(r >= 0); /* it fails for want of memory only */
        return path;
}

static void on_proxy_added(Proxy *p, void *userdata) {
        Bus *b = userdata;
        BusDevice *d = g_new0(BusDevice, 1);

        *d = (BusDevice) {
                .bus = b,
                .proxy = p,
                .path = device_path(proxy_view(p)->config),
                .link_sent = proxy_view(p)->link,
        };
        g_hash_table_insert(b->devices, p, d);
        device_mark(d, 0);
}

static void on_proxy_removed(Proxy *p, void *userdata) {
        Bus *b = userdata;
        BusDevice *d = bus_device_get(b, p);

        if (b->owned && d->announced)
                note_sent(b, sd_bus_emit_object_removed(b->bus, d->path), "InterfacesRemoved");
        g_ptr_array_remove(b->dirty, d);
        g_hash_table_remove(b->devices, p);
}

static void device_free(gpointer data) {
        BusDevice *d = data;

        g_free(d->path);
        g_free(d);
}

/* ---- life -------------------------------------------------------------------------------------------- */

static const GatewayObserver observer = {
        .proxy_added = on_proxy_added,
        .proxy_removed = on_proxy_removed,
        .proxy_state = on_proxy_state,
        .proxy_link = on_proxy_link,
        .proxy_changed = on_proxy_changed,
        .gateway_changed = on_gateway_changed,
};

void bus_begin(Bus *b) {
        GHashTableIter i;
        gpointer value;

        b->owned = true;
        g_hash_table_iter_init(&i, b->devices);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                BusDevice *d = value;

                d->link_sent = proxy_view(d->proxy)->link;
                device_mark(d, 0);
        }
}

void bus_signals_reset(Bus *b) {
        GHashTableIter i;
        gpointer value;

        b->owned = false;
        b->changed = 0;
        g_ptr_array_set_size(b->dirty, 0);
        deadline_set(b->tick, USEC_INFINITY);
        g_hash_table_iter_init(&i, b->devices);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                BusDevice *d = value;

                d->changed = 0;
                d->announced = d->listed = d->link_pending = false;
        }
}

int bus_signals_init(Bus *b) {
        int r;

        b->devices = g_hash_table_new_full(NULL, NULL, NULL, device_free);
        b->dirty = g_ptr_array_new();
        r = deadline_new(b->event, "bus-signals", on_tick, b, &b->tick);
        if (r < 0)
                return r;
        gateway_add_observer(b->gateway, &observer, b);
        return 0;
}

void bus_signals_done(Bus *b) {
        gateway_remove_observer(b->gateway, &observer, b);
        b->tick = deadline_free(b->tick);
        g_clear_pointer(&b->dirty, g_ptr_array_unref);
        g_clear_pointer(&b->devices, g_hash_table_unref);
}
