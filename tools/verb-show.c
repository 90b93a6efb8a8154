/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl show DEVICE… [-p PROPERTY]: one line a property, for scripts. The properties of the type
 * interface follow those of the device, under their own names. */
#include <stdio.h>

#include "tools/output.h"
#include "tools/verbs.h"

typedef bool (*EachProperty)(JsonObject *owner, const char *name, void *userdata);

/* Calls each() for the members, without those that are objects where those are another's; stops when it
 * returns true. */
static bool for_each_member(JsonObject *o, bool objects, EachProperty each, void *userdata) {
        g_autoptr(GList) names = json_object_get_members(o);

        for (GList *i = names; i; i = i->next)
                if ((objects || !JSON_NODE_HOLDS_OBJECT(json_object_get_member(o, i->data))) &&
                    each(o, i->data, userdata))
                        return true;
        return false;
}

/* The same for the properties of the device, then for those of its type, which are an object. */
static bool for_each_property(JsonObject *o, EachProperty each, void *userdata) {
        g_autoptr(GList) names = json_object_get_members(o);

        if (for_each_member(o, false, each, userdata))
                return true;
        for (GList *i = names; i; i = i->next) {
                JsonNode *n = json_object_get_member(o, i->data);

                if (JSON_NODE_HOLDS_OBJECT(n) && for_each_member(json_node_get_object(n), true, each, userdata))
                        return true;
        }
        return false;
}

static bool print_property(JsonObject *owner, const char *name, void *userdata) {
        g_autofree char *text = output_value(json_object_get_member(owner, name));

        printf("%s=%s\n", name, text);
        return false;
}

static bool print_if_named(JsonObject *owner, const char *name, void *userdata) {
        return streq(name, userdata) && (print_property(owner, name, NULL), true);
}

static ExitStatus show_text(const DeviceView *v, const Options *o) {
        ExitStatus s = CTL_OK;

        if (!o->properties)
                for_each_property(v->object, print_property, NULL);
        for (char **p = o->properties; p && *p; p++)
                if (!for_each_property(v->object, print_if_named, *p))
                        s = complain(CTL_FAILED, "%s/%s has no property '%s'", v->type, v->name, *p);
        return s;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

typedef struct Copy {
        const char *name;
        JsonObject *to;
} Copy;

static bool copy_if_named(JsonObject *owner, const char *name, void *userdata) {
        Copy *c = userdata;

        if (!streq(name, c->name))
                return false;
        json_object_set_member(c->to, name, json_node_copy(json_object_get_member(owner, name)));
        return true;
}

/* Adds the device, or the wanted properties of it, to the list. */
static ExitStatus show_json(const DeviceView *v, const Options *o, JsonArray *list) {
        JsonObject *some;
        ExitStatus s = CTL_OK;

        if (!o->properties) {
                json_array_add_object_element(list, json_object_ref(v->object));
                return CTL_OK;
        }
        some = json_object_new();
        for (char **p = o->properties; *p; p++)
                if (!for_each_property(v->object, copy_if_named, &(Copy) { *p, some }))
                        s = complain(CTL_FAILED, "%s/%s has no property '%s'", v->type, v->name, *p);
        json_array_add_object_element(list, some);
        return s;
}

static void print_list(JsonArray *list, JsonMode mode) {
        g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
        JsonObject *o = json_object_new();

        json_object_set_int_member(o, "Version", 1);
        json_object_set_array_member(o, "Devices", json_array_ref(list));
        json_node_take_object(root, o);
        output_json(root, mode);
}

ExitStatus verb_show(Client *c, const Options *o, char **arguments) {
        g_autoptr(JsonArray) list = json_array_new();
        ExitStatus first = CTL_OK;
        bool blank = false;

        for (; *arguments; arguments++) {
                _cleanup_(device_view_freep) DeviceView *v = NULL;
                ExitStatus s;

                s = device_find(c, *arguments, false, &v);
                if (s == CTL_OK && o->json != JSON_OFF)
                        s = show_json(v, o, list);
                else if (s == CTL_OK) {
                        if (blank)
                                putchar('\n');
                        blank = true;
                        s = show_text(v, o);
                }
                first = first != CTL_OK ? first : s;
        }
        if (o->json != JSON_OFF && json_array_get_length(list) > 0)
                print_list(list, o->json);
        return first;
}
