/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces Device.<Interface>, made from the status tables of the device types. Without a run of
 * the device there are only its constants; the rest reads as nothing. Loop thread. */
#include <config.h>

#include "dbus/bus-internal.h"

#define CODES_ELEMENT "{yt}"

static const char *kind_signature(StatusKind kind) {
        switch (kind) {
        case STATUS_BOOL:
                return "b";
        case STATUS_STRING:
                return "s";
        case STATUS_CODES:
                return "a" CODES_ELEMENT;
        case STATUS_COUNTER:
        case STATUS_GAUGE:
        case STATUS_USEC:
        default:
                return "t";
        }
}

/* base NULL: there is no run. All but STATUS_CODES. */
static BusValue field_value(const StatusField *f, const void *base) {
        const void *at = base ? (const uint8_t *) base + f->offset : NULL;

        if (!at)
                return bus_none(*kind_signature(f->kind));
        switch (f->kind) {
        case STATUS_BOOL:
                return bus_bool(*(const bool *) at);
        case STATUS_STRING:
                return bus_string(*(const char *const *) at);
        default:
                return bus_uint64(f->compute ? f->compute(at) : *(const uint64_t *) at);
        }
}

/* NULL: there is no run. */
static const uint64_t *field_codes(const StatusField *f, const void *base) {
        return base ? (const uint64_t *) ((const uint8_t *) base + f->offset) : NULL;
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static void write_codes(JsonWriter *w, const uint64_t *codes) {
        char key[4];

        if (!codes) {
                json_null(w);
                return;
        }
        json_open_object(w);
        for (unsigned i = 0; i < STATUS_CODES_MAX; i++)
                if (codes[i] > 0) {
                        (void) snprintf(key, sizeof(key), "%u", i);
                        json_member_uint(w, key, codes[i]);
                }
        json_close_object(w);
}

static void write_field(JsonWriter *w, const StatusField *f, const void *base) {
        BusValue v;

        json_key(w, f->name);
        if (f->kind == STATUS_CODES) {
                write_codes(w, field_codes(f, base));
                return;
        }
        v = field_value(f, base);
        bus_value_write(w, &v);
}

static void write_constant(JsonWriter *w, const StatusField *f, const void *conf) {
        g_autofree char *text = f->constant(conf);
        BusValue v = bus_string(text);

        json_key(w, f->name);
        bus_value_write(w, &v);
}

static void write_parts(JsonWriter *w, const DeviceType *type, const Device *device) {
        size_t n = device ? type->n_parts(device) : 0;

        json_key(w, type->parts_name);
        json_open_array(w);
        for (size_t i = 0; i < n; i++) {
                json_open_object(w);
                for (const StatusField *f = type->part_fields; f->name; f++)
                        write_field(w, f, type->part(device, i));
                json_close_object(w);
        }
        json_close_array(w);
}

void bus_type_write(JsonWriter *w, const DeviceType *type, const ProxyView *view, const Device *device) {
        for (const StatusField *f = type->status; f && f->name; f++)
                if (f->constant)
                        write_constant(w, f, view->config->conf);
                else
                        write_field(w, f, device);
        if (type->parts_name)
                write_parts(w, type, device);
}

/* ---- D-Bus ------------------------------------------------------------------------------------------- */

static int append_codes(sd_bus_message *m, const uint64_t *codes) {
        int r;

        r = sd_bus_message_open_container(m, 'a', CODES_ELEMENT);
        for (unsigned i = 0; codes && i < STATUS_CODES_MAX && r >= 0; i++)
                if (codes[i] > 0)
                        r = sd_bus_message_append(m, CODES_ELEMENT, (uint8_t) i, codes[i]);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, const StatusField *f, const void *base) {
        BusValue v;

        if (f->kind == STATUS_CODES)
                return append_codes(m, field_codes(f, base));
        v = field_value(f, base);
        return bus_value_append(m, &v);
}

static int append_constant(sd_bus_message *m, const StatusField *f, const void *conf) {
        g_autofree char *text = f->constant(conf);
        BusValue v = bus_string(text);

        return bus_value_append(m, &v);
}

static int append_field(sd_bus_message *m, const StatusField *f, const void *base) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", f->name);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'v', kind_signature(f->kind));
        if (r < 0)
                return r;
        r = append_value(m, f, base);
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
        size_t n = device ? type->n_parts(device) : 0, n_fields = 0;
        int r;

        while (type->part_fields[n_fields].name)
                n_fields++;
        r = bus_answer_properties(d->bus, reply, n * n_fields, NULL, error);
        if (r < 0)
                return r;
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
        int r;

        r = bus_answer_properties(d->bus, reply, 1, NULL, error);
        if (r < 0)
                return r;
        while (!streq(f->name, property))
                f++;
        if (f->constant)
                return append_constant(reply, f, view->config->conf);
        return append_value(reply, f, proxy_get_device(d->proxy));
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
