/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions by gatewayd taken apart. */
#include <errno.h>

#include <config.h>

#include "tools/device-name.h"
#include "tools/device-view.h"
#include "tools/text.h"

/* ---- members ----------------------------------------------------------------------------------------- */

static JsonNode *member_of_type(JsonObject *o, const char *name, GType type) {
        JsonNode *n = o ? json_object_get_member(o, name) : NULL;

        return n && JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == type ? n : NULL;
}

const char *member_string(JsonObject *o, const char *name) {
        JsonNode *n = member_of_type(o, name, G_TYPE_STRING);

        return n ? json_node_get_string(n) : "";
}

uint64_t member_number(JsonObject *o, const char *name) {
        JsonNode *n = member_of_type(o, name, G_TYPE_INT64);
        int64_t value = n ? json_node_get_int(n) : 0;

        return value > 0 ? (uint64_t) value : 0;
}

bool member_boolean(JsonObject *o, const char *name) {
        JsonNode *n = member_of_type(o, name, G_TYPE_BOOLEAN);

        return n && json_node_get_boolean(n);
}

JsonArray *member_array(JsonObject *o, const char *name) {
        JsonNode *n = o ? json_object_get_member(o, name) : NULL;

        return n && JSON_NODE_HOLDS_ARRAY(n) ? json_node_get_array(n) : NULL;
}

/* ---- views ------------------------------------------------------------------------------------------- */

static DeviceView *device_view_new(JsonObject *o) {
        DeviceView *v = g_new0(DeviceView, 1);

        *v = (DeviceView) {
                .object = json_object_ref(o),
                .type = member_string(o, "Type"),
                .name = member_string(o, "Name"),
                .description = member_string(o, "Description"),
                .enabled = member_boolean(o, "Enabled"),
                .enabled_known = member_boolean(o, "EnabledKnown"),
                .running = member_boolean(o, "Running"),
                .state = member_string(o, "State"),
                .state_reason = member_string(o, "StateReason"),
                .state_detail = member_string(o, "StateDetail"),
                .link = member_string(o, "Link"),
                .link_reason = member_string(o, "LinkReason"),
                .link_detail = member_string(o, "LinkDetail"),
                .state_realtime = member_number(o, "StateChangeTimestamp"),
                .state_monotonic = member_number(o, "StateChangeTimestampMonotonic"),
                .link_realtime = member_number(o, "LinkChangeTimestamp"),
                .link_monotonic = member_number(o, "LinkChangeTimestampMonotonic"),
                .next_retry_monotonic = member_number(o, "NextRetryTimestampMonotonic"),
        };
        return v;
}

DeviceView *device_view_free(DeviceView *v) {
        if (!v)
                return NULL;
        json_object_unref(v->object);
        g_free(v->path);
        g_free(v);
        return NULL;
}

static void free_device_view(void *v) {
        device_view_free(v);
}

GatewayView *gateway_view_free(GatewayView *v) {
        if (!v)
                return NULL;
        g_clear_pointer(&v->devices, g_ptr_array_unref);
        g_clear_pointer(&v->root, json_node_unref);
        g_free(v);
        return NULL;
}

JsonNode *parse_object(const char *text) {
        g_autoptr(JsonParser) parser = json_parser_new();
        JsonNode *root;

        if (!json_parser_load_from_data(parser, text, -1, NULL))
                return NULL;
        root = json_parser_get_root(parser);
        return root && JSON_NODE_HOLDS_OBJECT(root) ? json_parser_steal_root(parser) : NULL;
}

int device_view_parse(const char *text, DeviceView **ret) {
        g_autoptr(JsonNode) root = parse_object(text);

        if (!root)
                return -EBADMSG;
        *ret = device_view_new(json_node_get_object(root));
        return 0;
}

static int compare_views(const void *a, const void *b) {
        const DeviceView *x = *(DeviceView *const *) a, *y = *(DeviceView *const *) b;

        return compare_devices(x->type, x->name, y->type, y->name);
}

/* Puts the devices that are left, in their order, where the daemon's list was. */
static void update_root(GatewayView *v) {
        JsonArray *devices = json_array_sized_new(v->devices->len);

        for (guint i = 0; i < v->devices->len; i++) {
                const DeviceView *d = v->devices->pdata[i];

                json_array_add_object_element(devices, json_object_ref(d->object));
        }
        json_object_set_array_member(json_node_get_object(v->root), "Devices", devices);
}

int gateway_view_parse(const char *text, GatewayView **ret) {
        g_autoptr(JsonNode) root = parse_object(text);
        JsonObject *o = root ? json_node_get_object(root) : NULL;
        JsonArray *devices = member_array(o, "Devices");
        JsonNode *manager = o ? json_object_get_member(o, "Manager") : NULL;
        GatewayView *v;

        if (!devices || !manager || !JSON_NODE_HOLDS_OBJECT(manager))
                return -EBADMSG;

        v = g_new0(GatewayView, 1);
        v->root = TAKE_PTR(root);
        v->manager = json_node_get_object(manager);
        v->devices = g_ptr_array_new_with_free_func(free_device_view);
        for (guint i = 0; i < json_array_get_length(devices); i++) {
                JsonNode *n = json_array_get_element(devices, i);

                if (JSON_NODE_HOLDS_OBJECT(n))
                        g_ptr_array_add(v->devices, device_view_new(json_node_get_object(n)));
        }
        g_ptr_array_sort(v->devices, compare_views);
        update_root(v);
        *ret = v;
        return 0;
}

/* ---- fetching ---------------------------------------------------------------------------------------- */

ExitStatus gateway_fetch(Client *c, bool start, GatewayView **ret) {
        static const char what[] = "list the devices";
        g_autofree char *text = NULL;
        ExitStatus s;
        int r;

        s = client_call_text(c,
                             &(Call) { .path = BUS_ROOT_PATH,
                                      .interface = BUS_MANAGER_INTERFACE,
                                      .member = "Describe",
                                      .what = what,
                                      .timeout = start ? CONTROL_USEC : READ_USEC,
                                      .start = start },
                             &text, NULL);
        if (s != CTL_OK)
                return s;
        r = gateway_view_parse(text, ret);
        if (r < 0) {
                client_complain_answer(what, r);
                return CTL_FAILED;
        }
        return CTL_OK;
}

static bool selects_any(const GatewayView *v, const char *argument) {
        for (guint i = 0; i < v->devices->len; i++) {
                const DeviceView *d = v->devices->pdata[i];

                if (device_name_matches(argument, d->type, d->name))
                        return true;
        }
        return false;
}

ExitStatus gateway_select(GatewayView *v, char *const *arguments) {
        ExitStatus s = CTL_OK;

        for (char *const *a = arguments; a && *a; a++)
                if (!device_name_is_glob(*a) && !selects_any(v, *a))
                        s = complain(CTL_NO_DEVICE, "No such device: '%s'", *a);

        for (guint i = v->devices->len; i > 0; i--) {
                const DeviceView *d = v->devices->pdata[i - 1];

                if (!device_names_match(arguments, d->type, d->name))
                        g_ptr_array_remove_index(v->devices, i - 1);
        }
        update_root(v);
        return s;
}

ExitStatus device_fetch(Client *c, const char *path, DeviceView **ret) {
        g_autofree char *what = g_strdup_printf("read %s", path), *text = NULL;
        ExitStatus s;
        int r;

        s = client_call_text(c,
                             &(Call) { .path = path,
                                      .interface = BUS_DEVICE_INTERFACE,
                                      .member = "Describe",
                                      .what = what,
                                      .timeout = READ_USEC },
                             &text, NULL);
        if (s != CTL_OK)
                return s;
        r = device_view_parse(text, ret);
        if (r < 0) {
                client_complain_answer(what, r);
                return CTL_FAILED;
        }
        (*ret)->path = g_strdup(path);
        return CTL_OK;
}

/* The object path of TYPE/NAME as the daemon says it. Caller frees. */
static ExitStatus get_path(Client *c, const char *type, const char *name, bool start, bool absent_is_fine,
                           char **ret) {
        g_autofree char *what = g_strdup_printf("find %s/%s", type, name);

        return client_call_text(c,
                                &(Call) { .path = BUS_ROOT_PATH,
                                         .interface = BUS_MANAGER_INTERFACE,
                                         .member = "GetDevice",
                                         .what = what,
                                         .timeout = start ? CONTROL_USEC : READ_USEC,
                                         .start = start,
                                         .absent_is_fine = absent_is_fine },
                                ret, "ss", type, name);
}

static ExitStatus get_device(Client *c, const char *type, const char *name, bool start, DeviceView **ret) {
        g_autofree char *path = NULL;
        ExitStatus s;

        s = get_path(c, type, name, start, false, &path);
        return s == CTL_OK ? device_fetch(c, path, ret) : s;
}

ExitStatus device_is_there(Client *c, const char *type, const char *name, bool start, bool *ret) {
        g_autofree char *path = NULL;
        ExitStatus s;

        s = get_path(c, type, name, start, true, &path);
        if (s != CTL_OK && s != CTL_NO_DEVICE)
                return s;
        *ret = s == CTL_OK;
        return CTL_OK;
}

static ExitStatus find_by_name(Client *c, const char *name, bool start, DeviceView **ret) {
        _cleanup_(gateway_view_freep) GatewayView *v = NULL;
        g_autoptr(GString) found = g_string_new(NULL);
        DeviceView *first = NULL;
        bool several = false;
        ExitStatus s;

        s = gateway_fetch(c, start, &v);
        if (s != CTL_OK)
                return s;
        for (guint i = 0; i < v->devices->len; i++) {
                DeviceView *d = v->devices->pdata[i];

                if (!device_name_is(name, d->type, d->name))
                        continue;
                several = first;
                g_string_append_printf(found, "%s%s/%s", first ? ", " : "", d->type, d->name);
                first = first ?: d;
        }
        if (!first)
                return complain(CTL_NO_DEVICE, "No such device: '%s'", name);
        if (several)
                return complain(CTL_USAGE, "'%s' is ambiguous: %s", name, found->str);
        return get_device(c, first->type, first->name, start, ret);
}

ExitStatus device_find(Client *c, const char *argument, bool start, DeviceView **ret) {
        g_autofree char *type = NULL, *name = NULL;

        if (device_name_split(argument, &type, &name))
                return get_device(c, type, name, start, ret);
        return find_by_name(c, argument, start, ret);
}
