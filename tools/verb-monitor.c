/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl monitor [PATTERN…]: a line for each edge of a state or a link, until the daemon goes, the time
 * is over or a signal ends the program. Not paged, each line leaves at once. */
#include <errno.h>
#include <stdio.h>

#include "tools/device-name.h"
#include "tools/device-text.h"
#include "tools/output.h"
#include "tools/text.h"
#include "tools/verbs.h"
#include "tools/watch.h"

typedef struct Monitor {
        Client *client;
        const Options *options;
        char **patterns;
        GHashTable *shown; /* "TYPE/NAME" → Shown, with --snapshot */
        bool gone;
} Monitor;

/* Edges up to these moments are in the snapshot. */
typedef struct Shown {
        usec_t state, link;
} Shown;

/* ---- lines ------------------------------------------------------------------------------------------- */

static void print_time(usec_t realtime) {
        time_t t = (time_t) (realtime / USEC_PER_SEC);
        char text[16] = "";
        struct tm tm;

        if (localtime_r(&t, &tm))
                (void) strftime(text, sizeof(text), "%H:%M:%S", &tm);
        printf("%s.%03u ", text, (unsigned) (realtime % USEC_PER_SEC / USEC_PER_MSEC));
}

/* By our real time clock; the daemon says when by its monotonic clock, which may not be ours. */
static usec_t edge_realtime(const WatchEdge *e, const Clocks *now) {
        return now->local ? usec_sub(now->realtime, usec_sub(now->monotonic, e->monotonic)) : now->realtime;
}

static void print_edge(const WatchEdge *e, const char *type, const char *name, usec_t realtime) {
        const char *(*colour_of)(const char *word) = e->link ? colour_of_link : colour_of_state;
        const char *old = colour_of(e->old), *new = colour_of(e->new);
        g_autofree char *title = g_strdup_printf("%s/%s", type, name), *printable = text_printable(title);

        print_time(realtime);
        printf("%s: %s%s%s%s → %s%s%s", printable, e->link ? "link " : "", old, e->old, colour_end(old), new,
               e->new, colour_end(new));
        if (!streq(e->reason, "none"))
                printf(" (%s)", e->reason);
        putchar('\n');
}

static void add_string(JsonBuilder *b, const char *key, const char *value) {
        json_builder_set_member_name(b, key);
        json_builder_add_string_value(b, value);
}

static void add_number(JsonBuilder *b, const char *key, usec_t value) {
        json_builder_set_member_name(b, key);
        json_builder_add_int_value(b, (int64_t) value);
}

/* The keys are those of the properties that change, and Old… for what was before. */
static void print_edge_json(const WatchEdge *e, const char *type, const char *name, usec_t realtime) {
        g_autoptr(JsonBuilder) b = json_builder_new();
        g_autoptr(JsonNode) root = NULL;

        json_builder_begin_object(b);
        add_string(b, "Type", type);
        add_string(b, "Name", name);
        add_string(b, e->link ? "OldLink" : "OldState", e->old);
        add_string(b, e->link ? "Link" : "State", e->new);
        add_string(b, e->link ? "LinkReason" : "StateReason", e->reason);
        add_number(b, e->link ? "LinkChangeTimestamp" : "StateChangeTimestamp", realtime);
        add_number(b, e->link ? "LinkChangeTimestampMonotonic" : "StateChangeTimestampMonotonic",
                   e->monotonic);
        json_builder_end_object(b);
        root = json_builder_get_root(b);
        output_json(root, JSON_SHORT);
}

/* ---- what happens ------------------------------------------------------------------------------------ */

static bool in_snapshot(const Monitor *m, const WatchEdge *e, const char *type, const char *name) {
        g_autofree char *full = g_strconcat(type, "/", name, NULL);
        const Shown *s = g_hash_table_lookup(m->shown, full);

        return s && e->monotonic <= (e->link ? s->link : s->state);
}

static void on_edge(const WatchEdge *e, void *userdata) {
        const Monitor *m = userdata;
        g_autofree char *type = NULL, *name = NULL;
        Clocks now = clocks_now(m->client);

        if (!device_name_split(e->path, &type, &name) || !device_names_match(m->patterns, type, name) ||
            in_snapshot(m, e, type, name))
                return;
        if (m->options->json != JSON_OFF)
                print_edge_json(e, type, name, edge_realtime(e, &now));
        else
                print_edge(e, type, name, edge_realtime(e, &now));
}

static void on_daemon(bool here, void *userdata) {
        Monitor *m = userdata;

        m->gone = m->gone || !here;
}

static const WatchHandler handler = { .edge = on_edge, .daemon = on_daemon };

/* ---- the beginning ----------------------------------------------------------------------------------- */

static void print_snapshot_line(const DeviceView *v, const Clocks *now) {
        const char *state = colour_of_state(v->state), *link = colour_of_link(v->link);
        g_autofree char *detail = device_detail_text(v), *name = text_printable(v->name);

        print_time(now->realtime);
        printf("%s/%s: %s%s%s, link %s%s%s%s%s%s\n", v->type, name, state, v->state, colour_end(state), link,
               v->link, colour_end(link), detail[0] ? " (" : "", detail, detail[0] ? ")" : "");
}

static void show_device(Monitor *m, const DeviceView *v, const Clocks *now) {
        Shown *s = g_new(Shown, 1);

        *s = (Shown) { .state = v->state_monotonic, .link = v->link_monotonic };
        g_hash_table_replace(m->shown, g_strconcat(v->type, "/", v->name, NULL), s);
        if (m->options->json != JSON_OFF) {
                g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

                json_node_set_object(node, v->object);
                output_json(node, JSON_SHORT);
        } else
                print_snapshot_line(v, now);
}

/* Finds mistakes in the arguments before anything is waited for. */
static ExitStatus begin(Monitor *m) {
        _cleanup_(gateway_view_freep) GatewayView *g = NULL;
        Clocks now = clocks_now(m->client);
        ExitStatus s;

        s = gateway_fetch(m->client, false, &g);
        if (s == CTL_OK)
                s = gateway_select(g, m->patterns);
        if (s != CTL_OK || !m->options->snapshot)
                return s;
        for (guint i = 0; i < g->devices->len; i++)
                show_device(m, g->devices->pdata[i], &now);
        return CTL_OK;
}

static ExitStatus follow(Monitor *m, Watch *w) {
        while (now_usec(CLOCK_MONOTONIC) < m->client->deadline) {
                ExitStatus s;

                if (fflush(stdout) != 0)
                        return complain(CTL_FAILED, "Cannot write: %s", g_strerror(errno));
                if (m->gone)
                        return complain(CTL_NO_DAEMON, "gatewayd went away");
                s = watch_wait(w, m->client->deadline);
                if (s != CTL_OK)
                        return s;
        }
        return CTL_OK;
}

ExitStatus verb_monitor(Client *c, const Options *o, char **arguments) {
        g_autoptr(GHashTable) shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        Monitor m = { .client = c, .options = o, .patterns = arguments, .shown = shown };
        _cleanup_(watch_freep) Watch *w = NULL;
        ExitStatus s;

        s = watch_new(c, &handler, &m, &w);
        if (s == CTL_OK)
                s = begin(&m);
        return s == CTL_OK ? follow(&m, w) : s;
}
