/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of Describe: the properties under their own names, and for a device those of its type interface
 * in an object of the interface's name; and how its points are called at the event server. Beside it, the
 * JSON of ListHardware. What there is none of is null. Loop thread. */
#include "dbus/bus-internal.h"

#define DESCRIBE_VERSION 1 /* of this form of JSON; members may be added without a new one */

static void write_subtypes(JsonWriter *w, const char *const *subtypes) {
        if (!subtypes) {
                json_null(w);
                return;
        }
        json_open_array(w);
        for (; *subtypes; subtypes++)
                json_string(w, *subtypes);
        json_close_array(w);
}

static void write_point(const DevicePoint *point, void *userdata) {
        JsonWriter *w = userdata;

        json_open_object(w);
        json_member_string(w, "Kind", device_point_kind_to_string(point->kind));
        json_member_string(w, "Name", point->name);
        json_key(w, "In");
        write_subtypes(w, point->in);
        json_key(w, "Out");
        write_subtypes(w, point->out);
        json_key(w, "Answer");
        write_subtypes(w, point->answer);
        json_close_object(w);
}

/* What a client needs to read and write the device at the event server. A device whose configuration is
 * wrong has no points. */
static void write_events(JsonWriter *w, const BusDevice *d) {
        const DeviceConfig *config = proxy_view(d->proxy)->config;
        EventType prefix = proxy_event_prefix(d->proxy);

        json_key(w, "EventPrefix");
        json_open_array(w);
        for (size_t i = 0; i < prefix.n; i++)
                json_string_n(w, prefix.subtypes[i].text, prefix.subtypes[i].size);
        json_close_array(w);
        json_key(w, "Points");
        json_open_array(w);
        if (config->type->points && !config->error)
                config->type->points(config->conf, write_point, w);
        json_close_array(w);
}

static void write_device(JsonWriter *w, const BusDevice *d) {
        const ProxyView *view = proxy_view(d->proxy);
        const DeviceType *type = view->config->type;

        json_open_object(w);
        bus_properties_write(w, device_properties, d);
        write_events(w, d);
        if (bus_type_shows(type)) {
                json_key(w, type->interface);
                json_open_object(w);
                bus_type_write(w, type, view, proxy_get_device(d->proxy));
                json_close_object(w);
        }
        json_close_object(w);
}

char *bus_describe_device(const BusDevice *d) {
        JsonWriter w;

        json_writer_init_growing(&w);
        write_device(&w, d);
        return json_writer_steal(&w);
}

char *bus_describe_hardware(const Bus *b, const DeviceType *type) {
        g_autoptr(GPtrArray) runs = g_ptr_array_new();
        JsonWriter w;

        for (size_t i = 0; i < gateway_n_proxies(b->gateway); i++) {
                const Proxy *p = gateway_get_proxy(b->gateway, i);

                if (proxy_view(p)->config->type == type && proxy_get_device(p))
                        g_ptr_array_add(runs, (void *) proxy_get_device(p));
        }
        json_writer_init_growing(&w);
        json_open_object(&w);
        json_key(&w, "Version");
        json_int(&w, DESCRIBE_VERSION);
        json_member_string(&w, "Type", type->name);
        json_key(&w, "Hardware");
        type->hardware(&w, (const Device *const *) runs->pdata, runs->len);
        json_close_object(&w);
        return json_writer_steal(&w);
}

char *bus_describe_manager(const Bus *b) {
        JsonWriter w;

        json_writer_init_growing(&w);
        json_open_object(&w);
        json_key(&w, "Version");
        json_int(&w, DESCRIBE_VERSION);
        json_key(&w, "Manager");
        json_open_object(&w);
        bus_properties_write(&w, manager_properties, b->gateway);
        json_close_object(&w);
        json_key(&w, "Devices");
        json_open_array(&w);
        for (size_t i = 0; i < gateway_n_proxies(b->gateway) && w.size <= BUS_ANSWER_MAX; i++)
                write_device(&w, bus_device_get(b, gateway_get_proxy(b->gateway, i)));
        json_close_array(&w);
        json_close_object(&w);
        return json_writer_steal(&w);
}
