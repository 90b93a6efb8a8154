/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl enable, disable DEVICE… [--wait[=STATE]]: done when the event server has accepted it; with
 * --wait when the devices have reached what is waited for. TYPE/NAME/PART means a part of a device: its event is
 * registered at the event server by ourselves, for D-Bus knows no parts. */
#include "tools/control.h"
#include "tools/device-name.h"
#include "tools/event-connection.h"
#include "tools/points.h"
#include "tools/verbs.h"
#include "tools/waiter.h"

/* ---- parts ------------------------------------------------------------------------------------------- */

typedef struct Enabling {
        Client *bus;
        const Options *options;
        bool enable;
        Waiter *waiter;              /* with --wait */
        GatewayView *gateway;        /* once an argument may name a part */
        EventConnection *connection; /* once one does */
} Enabling;

static void enabling_done(Enabling *e) {
        event_connection_free(e->connection);
        gateway_view_free(e->gateway);
        waiter_free(e->waiter);
}

static ExitStatus set_part(Enabling *e, const DeviceView *v, const char *part) {
        Payload payload = { .kind = PAYLOAD_JSON,
                            .json = e->enable ? JSON_LITERAL("true") : JSON_LITERAL("false") };
        g_autoptr(GPtrArray) points = points_new(v);
        ExitStatus s = CTL_OK;
        const Point *p;
        int r;

        if (e->options->wait)
                return complain(CTL_USAGE, "--wait waits for devices, not for part '%s' of one", part);
        s = point_find(points, v, POINT_ENABLE, part, &p);
        if (s == CTL_OK && !e->connection) {
                s = event_connection_new(e->options, e->bus, e->options->timeout, NULL, NULL,
                                         &e->connection);
                if (s == CTL_OK)
                        s = event_connection_begin(e->connection, NULL, 0);
                if (s != CTL_OK)
                        e->connection = event_connection_free(e->connection);
        }
        if (s != CTL_OK)
                return s;
        r = event_connection_register(e->connection, p->out, NULL, &payload, NULL, NULL);
        return r < 0 ? event_connection_complain(e->connection, r) : CTL_OK;
}

/* ret_device: NULL: the argument names no part. */
static ExitStatus find_part(Enabling *e, const char *argument, const DeviceView **ret_device,
                            const char **ret_part) {
        g_autofree char *type = NULL, *name = NULL;
        bool there;
        ExitStatus s;

        *ret_device = NULL;
        if (argument[0] == '/' || !device_name_split(argument, &type, &name))
                return CTL_OK;
        s = device_is_there(e->bus, type, name, true, &there);
        if (s != CTL_OK || there)
                return s;
        if (!e->gateway) {
                s = gateway_fetch(e->bus, true, &e->gateway);
                if (s != CTL_OK)
                        return s;
        }
        return points_split(e->gateway, argument, ret_device, ret_part);
}

/* ---- devices ----------------------------------------------------------------------------------------- */

static void wait_for_it(const char *argument, void *userdata) {
        waiter_add(userdata, argument);
}

static ExitStatus set_device(Enabling *e, char *argument) {
        const char *verb = e->enable ? "enable" : "disable", *method = e->enable ? "Enable" : "Disable";
        char *one[] = { argument, NULL };

        return control_devices(e->bus, verb, method, one, e->waiter ? wait_for_it : NULL, e->waiter);
}

static ExitStatus set_one(Enabling *e, char *argument) {
        const DeviceView *device;
        const char *part;
        ExitStatus s;

        s = find_part(e, argument, &device, &part);
        if (s != CTL_OK)
                return s;
        return device ? set_part(e, device, part) : set_device(e, argument);
}

static ExitStatus set_enabled(Client *c, const Options *o, char **arguments, bool enable) {
        _cleanup_(enabling_done) Enabling e = { .bus = c, .options = o, .enable = enable };
        ExitStatus first = CTL_OK, s;
        WaitGoal goal = o->goal;

        if (o->wait) {
                if (!goal.state && !goal.link)
                        goal.state = enable ? "running" : "disabled";
                goal.enabled = enable ? GOAL_ENABLED : GOAL_DISABLED;
                s = waiter_new(c, &goal, false, &e.waiter);
                if (s != CTL_OK)
                        return s;
        }
        for (; *arguments; arguments++) {
                s = set_one(&e, *arguments);
                first = first != CTL_OK ? first : s;
        }
        if (e.waiter) {
                s = waiter_run(e.waiter);
                first = first != CTL_OK ? first : s;
        }
        return first;
}

ExitStatus verb_enable(Client *c, const Options *o, char **arguments) {
        return set_enabled(c, o, arguments, true);
}

ExitStatus verb_disable(Client *c, const Options *o, char **arguments) {
        return set_enabled(c, o, arguments, false);
}
