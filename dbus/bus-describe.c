/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of Describe: the properties under their own names, and for a device those of its type
 * interface in an object of the interface's name. What there is none of is null. Loop thread. */
#include "dbus/bus-internal.h"

#define DESCRIBE_VERSION 1 /* of this form of JSON; members may be added without a new one */

static void write_device(JsonWriter *w, const BusDevice *d) {
        const ProxyView *view = proxy_view(d->proxy);
        const DeviceType *type = view->config->type;

        json_open_object(w);
        bus_properties_write(w, device_properties, d);
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
        for (size_t i = 0; i < gateway_n_proxies(b->gateway); i++)
                write_device(&w, bus_device_get(b, gateway_get_proxy(b->gateway, i)));
        json_close_array(&w);
        json_close_object(&w);
        return json_writer_steal(&w);
}
