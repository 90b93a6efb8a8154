/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of properties: values, vtables, change signals, JSON. Pure functions; loop thread. */
#include "dbus/bus-property.h"

int bus_value_append(sd_bus_message *m, const BusValue *v) {
        switch (v->type) {
        case 'b':
                return sd_bus_message_append(m, "b", (int) v->b);
        case 'u':
                return sd_bus_message_append(m, "u", v->u);
        case 't':
                return sd_bus_message_append(m, "t", v->t);
        case 'x':
                return sd_bus_message_append(m, "x", v->x);
        default:
                return sd_bus_message_append(m, "s", v->s);
        }
}

void bus_value_write(JsonWriter *w, const BusValue *v) {
        if (v->absent) {
                json_null(w);
                return;
        }
        switch (v->type) {
        case 'b':
                json_bool(w, v->b);
                break;
        case 'u':
                json_uint(w, v->u);
                break;
        case 't':
                json_uint(w, v->t);
                break;
        case 'x':
                json_int(w, v->x);
                break;
        default:
                json_string(w, v->s);
        }
}

const BusProperty *bus_property_find(const BusProperty *properties, const char *name) {
        for (const BusProperty *p = properties; p->name; p++)
                if (streq(p->name, name))
                        return p;
        return NULL;
}

void bus_properties_write(JsonWriter *w, const BusProperty *properties, const void *object) {
        for (const BusProperty *p = properties; p->name; p++) {
                BusValue v = p->get(object);

                json_key(w, p->name);
                bus_value_write(w, &v);
        }
}

int bus_properties_emit(sd_bus *bus, const char *path, const char *interface, const BusProperty *properties,
                        unsigned changed) {
        const char *names[BUS_PROPERTIES_MAX + 1];
        size_t n = 0;

        for (const BusProperty *p = properties; p->name && n < BUS_PROPERTIES_MAX; p++)
                if (p->change & changed)
                        names[n++] = p->name;
        if (n == 0)
                return 0;
        names[n] = NULL;
        return sd_bus_emit_properties_changed_strv(bus, path, interface, (char **) names);
}

static size_t vtable_length(const sd_bus_vtable *members) {
        size_t n = 0;

        if (members)
                for (const sd_bus_vtable *m = members + 1; m->type != _SD_BUS_VTABLE_END; m++)
                        n++;
        return n;
}

sd_bus_vtable *bus_vtable_new(const BusProperty *properties, sd_bus_property_get_t get,
                              const sd_bus_vtable *members) {
        size_t n_members = vtable_length(members), n = 0;
        sd_bus_vtable *v;

        for (const BusProperty *p = properties; p->name; p++)
                n++;
        v = g_new0(sd_bus_vtable, n + n_members + 2);
        n = 0;
        v[n++] = (sd_bus_vtable) SD_BUS_VTABLE_START(0);
        for (const BusProperty *p = properties; p->name; p++)
                v[n++] = (sd_bus_vtable) SD_BUS_PROPERTY(p->name, p->type, get, 0, p->flags);
        for (size_t i = 0; i < n_members; i++)
                v[n++] = members[1 + i];
        v[n] = (sd_bus_vtable) SD_BUS_VTABLE_END;
        return v;
}
