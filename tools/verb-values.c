/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl values DEVICE…: the last value of every point, and how old it is. One query brings them all. */
#include <stdio.h>

#include "tools/event-connection.h"
#include "tools/event-text.h"
#include "tools/json-text.h"
#include "tools/points.h"
#include "tools/table.h"
#include "tools/text.h"
#include "tools/verbs.h"

enum { DEVICE, POINT, VALUE, SINCE, N_COLUMNS };

static const TableColumn columns[] = {
        [DEVICE] = { "DEVICE", 12 },
        [POINT] = { "POINT", 12 },
        [VALUE] = { "VALUE", 10 },
        [SINCE] = { "SINCE", 0 },
        [N_COLUMNS] = {},
};

/* One device of the command line. */
typedef struct Listed {
        DeviceView *view;
        GPtrArray *points;
} Listed;

/* Of the last event of one type. */
typedef struct Last {
        char *value; /* JSON; NULL: the payload is none, or no JSON */
        Timestamp timestamp;
        bool has_source;
        Timestamp source;
} Last;

static void listed_clear(void *p) {
        Listed *l = p;

        device_view_free(l->view);
        g_ptr_array_unref(l->points);
}

static void last_free(void *p) {
        Last *l = p;

        g_free(l->value);
        g_free(l);
}

/* ---- asking ------------------------------------------------------------------------------------------ */

static void keep_last(const Event *events, size_t n, bool more_follows, void *userdata) {
        GHashTable *lasts = userdata;

        for (size_t i = 0; i < n; i++) {
                const Event *e = &events[i];
                Last *l = g_new(Last, 1);
                JsonSpan payload, value;

                *l = (Last) { .timestamp = e->timestamp, .has_source = e->has_source, .source = e->source };
                if (event_payload_json(e, &payload) >= 0) {
                        if (json_get(payload, "value", &value) < 0)
                                value = payload;
                        l->value = g_strndup(value.text, value.size);
                }
                g_hash_table_replace(lasts, event_type_key_new(e->type), l);
        }
}

/* Types are borrowed from the points. */
static GArray *collect_types(const GArray *devices) {
        GArray *types = g_array_new(false, false, sizeof(EventType));

        for (guint i = 0; i < devices->len; i++) {
                const GPtrArray *points = g_array_index(devices, Listed, i).points;

                for (guint j = 0; j < points->len; j++) {
                        const Point *p = points->pdata[j];

                        /* A name `*` in the middle of a type would be a pattern that no server takes. */
                        if (p->in.n > 0 && event_query_type_valid(p->in))
                                g_array_append_val(types, p->in);
                }
        }
        return types;
}

static ExitStatus ask(Client *bus, const Options *o, const GArray *devices, GHashTable *lasts) {
        _cleanup_(event_connection_freep) EventConnection *c = NULL;
        g_autoptr(GArray) types = collect_types(devices);
        EventerQuery query = {
                .kind = QUERY_LATEST,
                .types = (const EventType *) (void *) types->data,
                .n_types = types->len,
        };
        ExitStatus s;
        int r;

        if (types->len == 0)
                return CTL_OK;
        s = event_connection_new(o, bus, o->timeout, NULL, NULL, &c);
        if (s == CTL_OK)
                s = event_connection_begin(c, NULL, 0);
        if (s != CTL_OK)
                return s;
        r = event_connection_query(c, &query, keep_last, lasts);
        return r < 0 ? event_connection_complain(c, r) : CTL_OK;
}

/* ---- table ------------------------------------------------------------------------------------------- */

static char *since_text(const Last *l, usec_t now) {
        int64_t usec = l ? timestamp_usec(&l->timestamp) : 0;

        return l ? ago_to_text(usec > 0 ? (usec_t) usec : 0, now) : g_strdup("");
}

static char *value_text(const Last *l) {
        if (!l)
                return g_strdup("");
        if (!l->value)
                return g_strdup("<no JSON>");
        return json_text_plain((JsonSpan) { .text = l->value, .size = strlen(l->value) });
}

static void add_point(Table *t, const DeviceView *v, const Point *p, const Last *l, usec_t now) {
        g_autofree char *device = g_strconcat(v->type, "/", v->name, NULL);
        char *const cells[N_COLUMNS] = {
                [DEVICE] = text_printable(device),
                [POINT] = text_printable(p->name),
                [VALUE] = value_text(l),
                [SINCE] = since_text(l, now),
        };

        table_add(t, cells, NULL);
}

static ExitStatus print_table(const Options *o, const GArray *devices, GHashTable *lasts) {
        _cleanup_(table_freep) Table *t = table_new(columns);
        usec_t now = now_usec(CLOCK_REALTIME);

        for (guint i = 0; i < devices->len; i++) {
                const Listed *l = &g_array_index(devices, Listed, i);

                for (guint j = 0; j < l->points->len; j++) {
                        const Point *p = l->points->pdata[j];

                        add_point(t, l->view, p, g_hash_table_lookup(lasts, &p->in), now);
                }
        }
        return table_print(t, o) < 0 ? complain(CTL_FAILED, "Cannot lay out the table") : CTL_OK;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static void write_time(JsonWriter *w, const char *key, const Timestamp *t) {
        json_key(w, key);
        if (t)
                json_int(w, timestamp_usec(t));
        else
                json_null(w);
}

static void write_point(JsonWriter *w, const Point *p, const Last *l) {
        json_open_object(w);
        json_member_string(w, "Kind", point_kind_to_string(p->kind));
        json_member_string(w, "Name", p->name);
        json_key(w, "Value");
        if (l && l->value)
                json_raw(w, (JsonSpan) { .text = l->value, .size = strlen(l->value) });
        else
                json_null(w);
        write_time(w, "Timestamp", l ? &l->timestamp : NULL);
        write_time(w, "SourceTimestamp", l && l->has_source ? &l->source : NULL);
        json_close_object(w);
}

static void write_device(JsonWriter *w, const Listed *l, GHashTable *lasts) {
        json_open_object(w);
        json_member_string(w, "Type", l->view->type);
        json_member_string(w, "Name", l->view->name);
        json_key(w, "Points");
        json_open_array(w);
        for (guint i = 0; i < l->points->len; i++) {
                const Point *p = l->points->pdata[i];

                write_point(w, p, g_hash_table_lookup(lasts, &p->in));
        }
        json_close_array(w);
        json_close_object(w);
}

static void print_json(const Options *o, const GArray *devices, GHashTable *lasts) {
        g_autofree char *text = NULL, *laid_out = NULL;
        JsonWriter w;

        json_writer_init_growing(&w);
        json_open_object(&w);
        json_key(&w, "Version");
        json_int(&w, 1);
        json_key(&w, "Devices");
        json_open_array(&w);
        for (guint i = 0; i < devices->len; i++)
                write_device(&w, &g_array_index(devices, Listed, i), lasts);
        json_close_array(&w);
        json_close_object(&w);
        text = json_writer_steal(&w);
        laid_out = json_text((JsonSpan) { .text = text, .size = strlen(text) },
                             o->json == JSON_PRETTY ? JSON_TEXT_INDENT : 0);
        puts(laid_out);
}

/* ---- the verb ---------------------------------------------------------------------------------------- */

ExitStatus verb_values(Client *bus, const Options *o, char **arguments) {
        g_autoptr(GArray) devices = g_array_new(false, false, sizeof(Listed));
        g_autoptr(GHashTable) lasts = g_hash_table_new_full(event_type_key_hash, event_type_key_equal,
                                                            event_type_key_free, last_free);
        ExitStatus first = CTL_OK, s;

        g_array_set_clear_func(devices, listed_clear);
        for (; *arguments; arguments++) {
                Listed l = {};

                s = device_find(bus, *arguments, false, &l.view);
                first = first != CTL_OK ? first : s;
                if (s != CTL_OK)
                        continue;
                l.points = points_new(l.view);
                g_array_append_val(devices, l);
        }
        if (devices->len == 0)
                return first;

        s = ask(bus, o, devices, lasts);
        if (s == CTL_OK && o->json != JSON_OFF)
                print_json(o, devices, lasts);
        else if (s == CTL_OK)
                s = print_table(o, devices, lasts);
        return first != CTL_OK ? first : s;
}
