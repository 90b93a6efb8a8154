/* SPDX-License-Identifier: Apache-2.0 */
/* STATUS= for `systemctl status`: "12 devices: 10 running (1 link down), 1 failed, 1 disabled". Loop thread. */
#include <systemd/sd-daemon.h>

#include "base/deadline.h"
#include "daemon/journal.h"

#define STATUS_PAUSE_USEC (500 * USEC_PER_MSEC)

struct StatusLine {
        Gateway *gateway;
        Deadline *deadline;
};

static void on_due(void *userdata) {
        StatusLine *s = userdata;
        const GatewayTotals *t = gateway_get_totals(s->gateway);
        NorthState north = gateway_get_north_state(s->gateway);
        MonitorState monitor = gateway_get_monitor_state(s->gateway);
        g_autoptr(GString) text = g_string_new(NULL);
        const char *detail;

        g_string_printf(text, "%u device%s: %u running", t->devices, t->devices == 1 ? "" : "s", t->running);
        if (t->down > 0)
                g_string_append_printf(text, " (%u link down)", t->down);
        if (t->failed > 0)
                g_string_append_printf(text, ", %u failed", t->failed);
        if (t->devices > t->enabled)
                g_string_append_printf(text, ", %u disabled", t->devices - t->enabled);
        if (monitor == MONITOR_CONNECTING || monitor == MONITOR_WAITING)
                g_string_append(text, "; not blessed by the monitor server");
        else if (north != NORTH_OPERATIONAL)
                g_string_append_printf(text, "; event server %s", north_state_to_string(north));
        if (gateway_get_event_storage(s->gateway, &detail) == EVENT_STORAGE_FAILING)
                g_string_append(text, "; events cannot be stored");
        (void) sd_notifyf(false, "STATUS=%s", text->str);
}

static void on_changed(Gateway *g, GatewayField what, void *userdata) {
        StatusLine *s = userdata;

        if (deadline_get(s->deadline) == USEC_INFINITY)
                deadline_set_relative(s->deadline, STATUS_PAUSE_USEC);
}

static const GatewayObserver status_observer = { .gateway_changed = on_changed };

int status_line_new(Gateway *g, StatusLine **ret) {
        _cleanup_(status_line_freep) StatusLine *s = g_new0(StatusLine, 1);
        int r;

        s->gateway = g;
        r = deadline_new(gateway_get_event(g), "status-line", on_due, s, &s->deadline);
        if (r < 0)
                return r;
        gateway_add_observer(g, &status_observer, s);
        *ret = TAKE_PTR(s);
        return 0;
}

StatusLine *status_line_free(StatusLine *s) {
        if (!s)
                return NULL;
        gateway_remove_observer(s->gateway, &status_observer, s);
        deadline_free(s->deadline);
        g_free(s);
        return NULL;
}
