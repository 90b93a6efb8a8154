/* SPDX-License-Identifier: Apache-2.0 */
/* Points of a device. No state. */
#include <errno.h>

#include "tools/device-name.h"
#include "tools/points.h"

static const char *const point_kind_table[_POINT_KIND_MAX] = {
        [POINT_VALUE] = "value",
        [POINT_ENABLE] = "enable",
};
DEFINE_STRING_TABLE(point_kind, PointKind, point_kind_table);

/* ---- from the description ---------------------------------------------------------------------------- */

/* Appends the strings of the list; false: it holds something else. */
static bool append_strings(GArray *subtypes, JsonArray *list) {
        for (guint i = 0; i < json_array_get_length(list); i++) {
                JsonNode *n = json_array_get_element(list, i);
                const char *text;
                Subtype s;

                if (!JSON_NODE_HOLDS_VALUE(n) || json_node_get_value_type(n) != G_TYPE_STRING)
                        return false;
                text = json_node_get_string(n);
                s = (Subtype) { .text = text, .size = strlen(text) };
                g_array_append_val(subtypes, s);
        }
        return true;
}

static EventType make_type(JsonArray *prefix, JsonObject *point, const char *name) {
        g_autoptr(GArray) subtypes = g_array_new(false, false, sizeof(Subtype));
        JsonArray *rest = member_array(point, name);

        if (!rest || json_array_get_length(rest) == 0 || !append_strings(subtypes, prefix) ||
            !append_strings(subtypes, rest))
                return (EventType) {};
        return event_type_from_array(subtypes);
}

static void point_free(void *p) {
        Point *point = p;

        g_free(point->name);
        event_type_done(&point->in);
        event_type_done(&point->out);
        event_type_done(&point->answer);
        g_free(point);
}

static void add_point(GPtrArray *points, JsonArray *prefix, JsonObject *o) {
        PointKind kind = point_kind_from_string(member_string(o, "Kind"));
        Point *p;

        if (kind < 0)
                return;
        p = g_new(Point, 1);
        *p = (Point) {
                .kind = kind,
                .name = g_strdup(member_string(o, "Name")),
                .in = make_type(prefix, o, "In"),
                .out = make_type(prefix, o, "Out"),
                .answer = make_type(prefix, o, "Answer"),
        };
        g_ptr_array_add(points, p);
}

GPtrArray *points_new(const DeviceView *v) {
        GPtrArray *points = g_ptr_array_new_with_free_func(point_free);
        JsonArray *prefix = member_array(v->object, "EventPrefix"),
                  *list = member_array(v->object, "Points");

        if (prefix && list)
                for (guint i = 0; i < json_array_get_length(list); i++) {
                        JsonNode *n = json_array_get_element(list, i);

                        if (JSON_NODE_HOLDS_OBJECT(n))
                                add_point(points, prefix, json_node_get_object(n));
                }
        return points;
}

/* ---- by name ----------------------------------------------------------------------------------------- */

static bool ends_with_level(const char *name, const char *end) {
        size_t n = strlen(name), m = strlen(end);

        return n > m && name[n - m - 1] == '/' && streq(name + n - m, end);
}

static ExitStatus choose(const GPtrArray *points, PointKind kind, const char *name, const Point **ret) {
        g_autoptr(GString) found = g_string_new(NULL);
        const Point *one = NULL;
        size_t n = 0;

        for (guint i = 0; i < points->len; i++) {
                const Point *p = points->pdata[i];

                if (p->kind != kind)
                        continue;
                if (streq(p->name, name)) {
                        *ret = p;
                        return CTL_OK;
                }
                if (ends_with_level(p->name, name)) {
                        g_string_append_printf(found, "%s%s", n++ > 0 ? ", " : "", p->name);
                        one = p;
                }
        }
        if (n > 1)
                return complain(CTL_USAGE, "'%s' is ambiguous: %s", name, found->str);
        *ret = one;
        return CTL_OK;
}

ExitStatus point_find(const GPtrArray *points, const DeviceView *v, PointKind kind, const char *name,
                      const Point **ret) {
        const Point *p = NULL;
        ExitStatus s;

        s = choose(points, kind, name, &p);
        if (s != CTL_OK)
                return s;
        if (!p && kind == POINT_ENABLE)
                return complain(CTL_NO_DEVICE, "%s/%s has no part '%s' to enable", v->type, v->name, name);
        if (!p)
                return complain(CTL_NO_DEVICE, "%s/%s has no point '%s'", v->type, v->name, name);
        if (p->out.n == 0)
                return complain(CTL_FAILED, "%s of %s/%s can only be read", p->name, v->type, v->name);
        *ret = p;
        return CTL_OK;
}

typedef struct Split {
        const DeviceView *device;
        size_t length; /* of the argument before the part */
        bool several;
} Split;

/* start: "plc/". The longest is meant: a name may have a slash. */
static void try_start(Split *s, const DeviceView *d, const char *argument, const char *start) {
        size_t length = strlen(start);

        if (!g_str_has_prefix(argument, start) || !argument[length] || length < s->length)
                return;
        s->several = length == s->length;
        s->device = d;
        s->length = length;
}

ExitStatus points_split(const GatewayView *g, const char *argument, const DeviceView **ret_device,
                        const char **ret_part) {
        Split whole = {}, bare = {}, *s;

        *ret_device = NULL;
        for (guint i = 0; i < g->devices->len; i++) {
                const DeviceView *d = g->devices->pdata[i];
                g_autofree char *start = g_strconcat(d->type, "/", d->name, "/", NULL);

                if (device_name_is(argument, d->type, d->name))
                        return CTL_OK;
                try_start(&whole, d, argument, start);
                try_start(&bare, d, argument, start + strlen(d->type) + 1);
        }
        s = whole.device ? &whole : &bare;
        if (!s->device)
                return CTL_OK;
        if (s->several)
                return complain(CTL_USAGE, "'%s' is ambiguous: several devices are named '%s'", argument,
                                s->device->name);
        *ret_device = s->device;
        *ret_part = argument + s->length;
        return CTL_OK;
}
