/* SPDX-License-Identifier: Apache-2.0 */
/* The object tree: the manager at the root, one fallback vtable per interface below …/device, one
 * enumerator of device paths. Loop thread. */
#include <errno.h>
#include <stdlib.h>

#include <config.h>

#include "dbus/bus-internal.h"

BusDevice *bus_device_get(const Bus *b, const Proxy *p) {
        return g_hash_table_lookup(b->devices, p);
}

int bus_device_find(Bus *b, const DeviceType *type, const char *path, void **ret) {
        g_autofree char *type_name = NULL, *name = NULL;
        BusDevice *d;
        Proxy *p;
        int r;

        r = sd_bus_path_decode_many(path, BUS_DEVICE_ROOT "/%/%", &type_name, &name);
        if (r <= 0)
                return r;
        if (type && !streq(type->name, type_name))
                return 0;
        if (!b->gateway) {
                *ret = b; /* never looked into: Introspect reads no properties */
                return device_type_find(type_name) ? 1 : 0;
        }
        r = gateway_find(b->gateway, type_name, name, &p);
        if (r == -ENXIO)
                return 0;
        if (r < 0)
                return r;
        d = bus_device_get(b, p);
        if (!d)
                return 0;
        *ret = d;
        return 1;
}

static int find_device(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
                       sd_bus_error *error) {
        return bus_device_find(userdata, NULL, path, ret);
}

static int find_typed_device(sd_bus *bus, const char *path, const char *interface, void *userdata,
                             void **ret, sd_bus_error *error) {
        BusType *t = userdata;

        return bus_device_find(t->bus, t->type, path, ret);
}

/* libsystemd frees array and strings with free(). */
static int enumerate_devices(sd_bus *bus, const char *prefix, void *userdata, char ***ret,
                             sd_bus_error *error) {
        Bus *b = userdata;
        size_t n_proxies = b->gateway ? gateway_n_proxies(b->gateway) : 0, n = 0;
        char **paths = calloc(n_proxies + 1, sizeof(char *));

        if (!paths)
                return -ENOMEM;
        for (size_t i = 0; i < n_proxies; i++) {
                const BusDevice *d = bus_device_get(b, gateway_get_proxy(b->gateway, i));

                if (d)
                        paths[n++] = g_strdup(d->path);
        }
        *ret = paths;
        return 0;
}

int bus_objects_serve(Bus *b, sd_bus *bus) {
        int r;

        r = sd_bus_add_filter(bus, NULL, bus_on_message, b);
        if (r < 0)
                return r;
        r = sd_bus_add_object_manager(bus, NULL, BUS_ROOT_PATH);
        if (r < 0)
                return r;
        r = sd_bus_add_object_vtable(bus, NULL, BUS_ROOT_PATH, BUS_MANAGER_INTERFACE, b->manager_vtable, b);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < b->types->len; i++) {
                BusType *t = b->types->pdata[i];

                r = sd_bus_add_fallback_vtable(bus, NULL, BUS_DEVICE_ROOT, t->interface, t->vtable,
                                               find_typed_device, t);
                if (r < 0)
                        return r;
        }
        r = sd_bus_add_fallback_vtable(bus, NULL, BUS_DEVICE_ROOT, BUS_DEVICE_INTERFACE, b->device_vtable,
                                       find_device, b);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(bus, NULL, BUS_DEVICE_ROOT, enumerate_devices, b);
}

static void free_type(gpointer t) {
        bus_type_free(t);
}

void bus_objects_init(Bus *b) {
        b->manager_vtable = manager_vtable_new();
        b->device_vtable = device_vtable_new();
        b->types = g_ptr_array_new_with_free_func(free_type);
        for (const DeviceType *const *type = device_types; *type; type++) {
                BusType *t = bus_type_new(b, *type);

                if (t)
                        g_ptr_array_add(b->types, t);
        }
}

void bus_objects_done(Bus *b) {
        g_clear_pointer(&b->types, g_ptr_array_unref);
        g_clear_pointer(&b->manager_vtable, g_free);
        g_clear_pointer(&b->device_vtable, g_free);
}
