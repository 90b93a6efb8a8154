/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces Device.<Interface>, made from the status tables of the device types. Without a run of
 * the device there are only its constants; the rest reads as nothing. Loop thread. */
#include <config.h>

#include "dbus/bus-internal.h"

static char kind_type(StatusKind kind) {
        switch (kind) {
        case STATUS_BOOL:
                return 'b';
        case STATUS_STRING:
                return 's';
        case STATUS_COUNTER:
        case STATUS_GAUGE:
        case STATUS_USEC:
        default:
                return 't';
        }
}

/* base NULL: there is no run. */
static BusValue field_value(const StatusField *f, const void *base) {
        const void *at = base ? (const uint8_t *) base + f->offset : NULL;

        if (!at)
                return bus_none(kind_type(f->kind));
        switch (kind_type(f->kind)) {
        case 'b':
                return bus_bool(*(const bool *) at);
        case 's':
                return bus_string(*(const char *const *) at);
        default:
                return bus_uint64(*(const uint64_t *) at);
        }
}

/* ret_text keeps a constant; the caller frees. */
static BusValue status_value(const ProxyView *view, const Device *device, const StatusField *f,
                             char **ret_text) {
        if (!f->constant)
                return field_value(f, device);
        *ret_text = f->constant(view->config->conf);
        return bus_string(*ret_text);
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void write_fields(JsonWriter *w, const StatusField *fields, const void *base) {
        for (const StatusField *f = fields; f->name; f++) {
                BusValue v = field_value(f, base);

                json_key(w, f->name);
                bus_value_write(w, &v);
        }
}

static void write_parts(JsonWriter *w, const DeviceType *type, const Device *device) {
        size_t n = device ? type->n_parts(device) : 0;

        json_key(w, type->parts_name);
        json_open_array(w);
        for (size_t i = 0; i < n; i++) {
                json_open_object(w);
                write_fields(w, type->part_fields, type->part(device, i));
                json_close_object(w);
        }
        json_close_array(w);
}

void bus_type_write(JsonWriter *w, const DeviceType *type, const ProxyView *view, const Device *device) {
        for (const StatusField *f = type->status; f && f->name; f++) {
                g_autofree char *text = NULL;
                BusValue v = status_value(view, device, f, &text);

                json_key(w, f->name);
                bus_value_write(w, &v);
        }
        if (type->parts_name)
                write_parts(w, type, device);
}

/* ---- D-Bus -------------------------------------------------------------------------------------------------------- */

static int append_field(sd_bus_message *m, const StatusField *f, const void *base) {
        BusValue v = field_value(f, base);
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", f->name);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'v', (char[]) { v.type, '\0' });
        if (r < 0)
                return r;
        r = bus_value_append(m, &v);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_part(sd_bus_message *m, const StatusField *fields, const void *part) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        for (const StatusField *f = fields; f->name; f++) {
                r = append_field(m, f, part);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int get_parts(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusDevice *d = userdata;
        const DeviceType *type = proxy_view(d->proxy)->config->type;
        const Device *device = proxy_get_device(d->proxy);
        size_t n = device ? type->n_parts(device) : 0;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = append_part(reply, type->part_fields, type->part(device, i));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

static int get_status(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusDevice *d = userdata;
        const ProxyView *view = proxy_view(d->proxy);
        const StatusField *f = view->config->type->status;
        g_autofree char *text = NULL;
        BusValue v;

        while (!streq(f->name, property))
                f++;
        v = status_value(view, proxy_get_device(d->proxy), f, &text);
        return bus_value_append(reply, &v);
}

static const char *kind_signature(StatusKind kind) {
        switch (kind_type(kind)) {
        case 'b':
                return "b";
        case 's':
                return "s";
        default:
                return "t";
        }
}

static sd_bus_vtable *type_vtable_new(const DeviceType *type) {
        sd_bus_vtable *v;
        size_t n = 0;

        for (const StatusField *f = type->status; f && f->name; f++)
                n++;
        v = g_new0(sd_bus_vtable, n + 3);
        n = 0;
        v[n++] = (sd_bus_vtable) SD_BUS_VTABLE_START(0);
        for (const StatusField *f = type->status; f && f->name; f++)
                v[n++] = (sd_bus_vtable) SD_BUS_PROPERTY(f->name, kind_signature(f->kind), get_status, 0,
                                                         f->constant ? SD_BUS_VTABLE_PROPERTY_CONST : 0);
        if (type->parts_name)
                v[n++] = (sd_bus_vtable) SD_BUS_PROPERTY(type->parts_name, "aa{sv}", get_parts, 0, 0);
        v[n] = (sd_bus_vtable) SD_BUS_VTABLE_END;
        return v;
}

bool bus_type_shows(const DeviceType *type) {
        return type->interface && (type->status || type->parts_name);
}

BusType *bus_type_new(Bus *b, const DeviceType *type) {
        BusType *t;

        if (!bus_type_shows(type))
                return NULL;
        t = g_new0(BusType, 1);
        *t = (BusType) {
                .bus = b,
                .type = type,
                .interface = g_strdup_printf("%s.%s", BUS_DEVICE_INTERFACE, type->interface),
                .vtable = type_vtable_new(type),
        };
        return t;
}

BusType *bus_type_free(BusType *t) {
        if (!t)
                return NULL;
        g_free(t->interface);
        g_free(t->vtable);
        g_free(t);
        return NULL;
}
