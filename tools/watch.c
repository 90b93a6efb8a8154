/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions to gatewayd's signals on a connection without an event loop. */
#include <errno.h>

#include <config.h>

#include "tools/watch.h"

#define DBUS "org.freedesktop.DBus"
#define FROM_GATEWAYD "type='signal',sender='" BUS_NAME "',path_namespace='" BUS_ROOT_PATH "/device'"
#define MATCH_EDGES FROM_GATEWAYD ",interface='" BUS_DEVICE_INTERFACE "'"
#define MATCH_CHANGES \
        FROM_GATEWAYD ",interface='org.freedesktop.DBus.Properties',arg0='" BUS_DEVICE_INTERFACE "'"
#define MATCH_OWNER \
        "type='signal',sender='" DBUS "',interface='" DBUS "',member='NameOwnerChanged',arg0='" BUS_NAME "'"

struct Watch {
        Client *client;
        const WatchHandler *handler;
        void *userdata;
        bool here;
        sd_bus_slot *edges, *changes, *owner;
};

static int on_edge(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Watch *w = userdata;
        WatchEdge e = { .path = sd_bus_message_get_path(m) };

        e.link = sd_bus_message_is_signal(m, BUS_DEVICE_INTERFACE, "LinkChanged") > 0;
        if (!e.link && sd_bus_message_is_signal(m, BUS_DEVICE_INTERFACE, "StateChanged") <= 0)
                return 0; /* of a newer daemon */
        if (sd_bus_message_read(m, "ssst", &e.old, &e.new, &e.reason, &e.monotonic) < 0)
                return 0;
        if (w->handler->edge)
                w->handler->edge(&e, w->userdata);
        return 0;
}

static int on_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Watch *w = userdata;

        if (w->handler->changed)
                w->handler->changed(sd_bus_message_get_path(m), w->userdata);
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Watch *w = userdata;
        const char *name, *old, *new;

        if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0)
                return 0;
        w->here = new[0];
        if (w->handler->daemon)
                w->handler->daemon(w->here, w->userdata);
        return 0;
}

static int subscribe(Watch *w) {
        int owned, r;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

        r = sd_bus_add_match(w->client->bus, &w->owner, MATCH_OWNER, on_owner, w);
        if (r >= 0)
                r = sd_bus_add_match(w->client->bus, &w->edges, MATCH_EDGES, on_edge, w);
        if (r >= 0)
                r = sd_bus_add_match(w->client->bus, &w->changes, MATCH_CHANGES, on_change, w);
        if (r >= 0)
                r = sd_bus_call_method(w->client->bus, DBUS, "/org/freedesktop/DBus", DBUS, "NameHasOwner",
                                       NULL, &reply, "s", BUS_NAME);
        if (r >= 0)
                r = sd_bus_message_read(reply, "b", &owned);
        if (r >= 0)
                w->here = owned;
        return r;
}

ExitStatus watch_new(Client *client, const WatchHandler *handler, void *userdata, Watch **ret) {
        _cleanup_(watch_freep) Watch *w = g_new0(Watch, 1);
        int r;

        *w = (Watch) { .client = client, .handler = handler, .userdata = userdata };
        r = subscribe(w);
        if (r < 0)
                return complain(CTL_NO_DAEMON, "Cannot watch the bus: %s", g_strerror(-r));
        *ret = TAKE_PTR(w);
        return CTL_OK;
}

Watch *watch_free(Watch *w) {
        if (!w)
                return NULL;
        sd_bus_slot_unref(w->owner);
        sd_bus_slot_unref(w->edges);
        sd_bus_slot_unref(w->changes);
        g_free(w);
        return NULL;
}

bool watch_daemon_is_here(const Watch *w) {
        return w->here;
}

ExitStatus watch_wait(Watch *w, usec_t until) {
        bool handled = false;
        int r;

        do {
                r = sd_bus_process(w->client->bus, NULL);
                handled = handled || r > 0;
        } while (r > 0);
        if (r == 0 && !handled)
                r = sd_bus_wait(w->client->bus,
                                until == USEC_INFINITY ? UINT64_MAX
                                                       : usec_sub(until, now_usec(CLOCK_MONOTONIC)));
        if (r < 0 && r != -EINTR)
                return complain(CTL_NO_DAEMON, "The connection to the bus ended: %s", g_strerror(-r));
        return CTL_OK;
}
