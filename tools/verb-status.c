/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl status [DEVICE…]: a block a device with its last log lines; without argument a summary of the
 * gateway. */
#include <inttypes.h>
#include <stdio.h>

#include <config.h>

#include "tools/device-text.h"
#include "tools/log-lines.h"
#include "tools/output.h"
#include "tools/text.h"
#include "tools/verbs.h"

#define LOG_LINES 10U
#define LABEL_WIDTH 18

static void print_label(const char *label) {
        printf("%*s: ", LABEL_WIDTH, label);
}

static void print_line(const char *label, const char *value) {
        g_autofree char *text = text_printable(value);

        if (!text[0])
                return;
        print_label(label);
        puts(text);
}

static char *moment_of(usec_t realtime) {
        time_t t = (time_t) (realtime / USEC_PER_SEC);
        char text[64];
        struct tm tm;

        if (realtime == 0 || !localtime_r(&t, &tm) ||
            strftime(text, sizeof(text), "%a %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
                return g_strdup("");
        return g_strdup(text);
}

/* "running since Mon …; 3min ago (refused: no route)" */
static void print_edge(const char *label, const char *word, const char *colour, const char *reason,
                       const char *detail, usec_t realtime, usec_t monotonic, const Clocks *now) {
        g_autofree char *when = moment_of(realtime), *ago = moment_text(realtime, monotonic, now),
                        *said = text_printable(detail), *printable = text_printable(word);

        print_label(label);
        printf("%s%s%s", colour, printable, colour_end(colour));
        if (said[0] || !(streq(reason, "none") || streq(reason, word)))
                printf(" (%s%s%s)", reason, said[0] ? ": " : "", said);
        if (when[0])
                printf(" since %s", when);
        if (ago[0])
                printf("%s %s", when[0] ? ";" : "", ago);
        putchar('\n');
}

static void print_traffic(const DeviceView *v, const Clocks *now) {
        JsonObject *o = v->object;
        g_autofree char *last = moment_text(member_number(o, "LastMessageTimestamp"), 0,
                                            &(Clocks) { .realtime = now->realtime });

        print_label("Messages");
        printf("%" PRIu64 " received, %" PRIu64 " sent, %" PRIu64 " errors%s%s\n",
               member_number(o, "RxMessages"), member_number(o, "TxMessages"), member_number(o, "Errors"),
               last[0] ? "; last " : "", last);
}

/* ---- what the type adds ------------------------------------------------------------------------------ */

/* Of which there is none: a counter at 0, a time that never was. */
static bool is_nothing(JsonNode *value) {
        if (JSON_NODE_HOLDS_OBJECT(value))
                return json_object_get_size(json_node_get_object(value)) == 0;
        return JSON_NODE_HOLDS_NULL(value) ||
               (json_node_get_value_type(value) == G_TYPE_INT64 && json_node_get_int(value) == 0);
}

/* In one line, without what is nothing: parts are many, and so are their counters. */
static void print_part(const char *label, JsonObject *part) {
        g_autoptr(GList) names = json_object_get_members(part);
        const char *space = "";

        print_label(label);
        for (GList *i = names; i; i = i->next) {
                JsonNode *value = json_object_get_member(part, i->data);
                g_autofree char *text = NULL;

                if (is_nothing(value))
                        continue;
                text = output_value(value);
                printf("%s%s=%s", space, (const char *) i->data, text);
                space = " ";
        }
        putchar('\n');
}

static void print_parts(const char *label, JsonArray *parts) {
        for (guint i = 0; i < json_array_get_length(parts); i++) {
                JsonNode *n = json_array_get_element(parts, i);

                if (JSON_NODE_HOLDS_OBJECT(n))
                        print_part(i == 0 ? label : "", json_node_get_object(n));
        }
}

static void print_type(JsonObject *type) {
        g_autoptr(GList) names = json_object_get_members(type);

        for (GList *i = names; i; i = i->next) {
                JsonNode *n = json_object_get_member(type, i->data);

                if (JSON_NODE_HOLDS_ARRAY(n))
                        print_parts(i->data, json_node_get_array(n));
                else {
                        g_autofree char *text = output_value(n);

                        print_line(i->data, text);
                }
        }
}

static void print_types(const DeviceView *v) {
        g_autoptr(GList) names = json_object_get_members(v->object);

        for (GList *i = names; i; i = i->next) {
                JsonNode *n = json_object_get_member(v->object, i->data);

                if (JSON_NODE_HOLDS_OBJECT(n))
                        print_type(json_node_get_object(n));
        }
}

/* ---- blocks ------------------------------------------------------------------------------------------ */

static void print_head(const char *state, const char *title, const char *description) {
        const char *colour = colour_of_state(state), *bold = colour_bold();
        g_autofree char *t = text_printable(title), *d = text_printable(description);

        printf("%s●%s %s%s%s%s%s\n", colour, colour_end(colour), bold, t, colour_end(bold),
               d[0] ? " - " : "", d);
}

static void print_device(const DeviceView *v, const Clocks *now) {
        g_autofree char *title = g_strdup_printf("%s/%s", v->type, v->name),
                        *retry = device_retry_text(v, now);
        uint64_t restarts = member_number(v->object, "Restarts");

        print_head(v->state, title, v->description);
        print_line("Enabled", device_enabled_text(v));
        print_edge("State", v->state, colour_of_state(v->state), v->state_reason, v->state_detail,
                   v->state_realtime, v->state_monotonic, now);
        print_line("Next try", retry);
        print_edge("Link", v->link, colour_of_link(v->link), v->link_reason, v->link_detail,
                   v->link_realtime, v->link_monotonic, now);
        if (restarts > 0) {
                print_label("Restarts");
                printf("%" PRIu64 "\n", restarts);
        }
        print_traffic(v, now);
        print_types(v);
}

static void print_devices_line(JsonObject *m) {
        uint64_t failed = member_number(m, "DevicesFailed"), down = member_number(m, "DevicesDown");

        print_label("Devices");
        printf("%" PRIu64 ", %" PRIu64 " enabled, %" PRIu64 " running", member_number(m, "DevicesTotal"),
               member_number(m, "DevicesEnabled"), member_number(m, "DevicesRunning"));
        if (down > 0)
                printf(", %" PRIu64 " with link down", down);
        if (failed > 0)
                printf(", %" PRIu64 " failed", failed);
        putchar('\n');
}

/* "waiting, rank 2; gw-a is blessed" */
static void print_monitor_line(JsonObject *m) {
        const char *state = member_string(m, "MonitorState");
        g_autofree char *blessed = text_printable(member_string(m, "MonitorBlessed"));

        if (streq(state, "none") || streq(state, ""))
                return;
        print_label("Monitor server");
        printf("%s", state);
        if (json_object_has_member(m, "MonitorRank") && !json_object_get_null_member(m, "MonitorRank"))
                printf(", rank %" PRId64, (int64_t) json_object_get_int_member(m, "MonitorRank"));
        if (!streq(state, "blessed") && *blessed)
                printf("; %s is blessed", blessed);
        putchar('\n');
}

static void print_manager(JsonObject *m) {
        const char *state = member_string(m, "State"), *server = member_string(m, "EventServer");
        const char *colour = colour_of_state(state);
        g_autofree char *title = g_strdup_printf("gatewayd %s", member_string(m, "Version"));
        g_autofree char *north = g_strdup_printf("%s%s%s", server, server[0] ? ", " : "",
                                                 member_string(m, "EventServerState"));

        print_head(state, title, "");
        print_label("State");
        printf("%s%s%s\n", colour, state, colour_end(colour));
        print_line("Configuration", member_string(m, "ConfigFile"));
        print_line("Event server", north);
        print_line("Event storage", member_string(m, "EventStorageDetail"));
        print_monitor_line(m);
        print_devices_line(m);
}

/* The user whose log lines are the daemon's. */
static bool get_daemon_user(Client *c, uid_t *ret) {
        _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;

        return c->local && sd_bus_get_name_creds(c->bus, BUS_NAME, SD_BUS_CREDS_EUID, &creds) >= 0 &&
               sd_bus_creds_get_euid(creds, ret) >= 0;
}

static void print_devices(Client *c, const GatewayView *g) {
        Clocks now = clocks_now(c);
        uid_t uid = 0;
        bool logs = get_daemon_user(c, &uid);

        for (guint i = 0; i < g->devices->len; i++) {
                const DeviceView *v = g->devices->pdata[i];

                if (i > 0)
                        putchar('\n');
                print_device(v, &now);
                if (logs)
                        log_lines_print(v, uid, LOG_LINES);
        }
}

static ExitStatus status_of(const GatewayView *g) {
        for (guint i = 0; i < g->devices->len; i++)
                if (!((const DeviceView *) g->devices->pdata[i])->running)
                        return CTL_NOT_RUNNING;
        return CTL_OK;
}

ExitStatus verb_status(Client *c, const Options *o, char **arguments) {
        _cleanup_(gateway_view_freep) GatewayView *g = NULL;
        ExitStatus s, selected;

        s = gateway_fetch(c, false, &g);
        if (s != CTL_OK)
                return s;
        selected = gateway_select(g, arguments);
        if (arguments[0] && g->devices->len == 0 && selected == CTL_OK)
                selected = complain(CTL_NO_DEVICE, "No device matches");

        if (o->json != JSON_OFF)
                output_json(g->root, o->json);
        else if (!arguments[0])
                print_manager(g->manager);
        else
                print_devices(c, g);
        if (selected != CTL_OK)
                return selected;
        return arguments[0] ? status_of(g) : CTL_OK;
}
