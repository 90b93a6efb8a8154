/* SPDX-License-Identifier: Apache-2.0 */
/* The interface Manager of the root object. Loop thread. */
#include <errno.h>

#include <config.h>

#include "dbus/bus-error.h"
#include "dbus/bus-internal.h"

/* ---- properties -------------------------------------------------------------------------------------- */

static BusValue get_version(const void *object) {
        return bus_string(VERSION);
}

static BusValue get_config_file(const void *object) {
        return bus_string(gateway_get_config(object)->file);
}

static BusValue get_state(const void *object) {
        return bus_string(gateway_state_to_string(gateway_get_state(object)));
}

static BusValue get_devices_total(const void *object) {
        return bus_uint32(gateway_get_totals(object)->devices);
}

static BusValue get_devices_enabled(const void *object) {
        return bus_uint32(gateway_get_totals(object)->enabled);
}

static BusValue get_devices_running(const void *object) {
        return bus_uint32(gateway_get_totals(object)->running);
}

static BusValue get_devices_failed(const void *object) {
        return bus_uint32(gateway_get_totals(object)->failed);
}

static BusValue get_devices_down(const void *object) {
        return bus_uint32(gateway_get_totals(object)->down);
}

static BusValue get_event_server(const void *object) {
        return bus_string(gateway_get_event_server(object));
}

static BusValue get_event_server_state(const void *object) {
        return bus_string(north_state_to_string(gateway_get_north_state(object)));
}

static BusValue get_monitor_state(const void *object) {
        return bus_string(monitor_state_to_string(gateway_get_monitor_state(object)));
}

static BusValue get_monitor_blessed(const void *object) {
        return bus_string(gateway_get_monitor_blessed(object));
}

static BusValue get_monitor_rank(const void *object) {
        bool known;
        int64_t rank = gateway_get_monitor_rank(object, &known);

        return known ? bus_int64(rank) : bus_none('x');
}

static BusValue get_event_storage(const void *object) {
        const char *detail;

        return bus_string(event_storage_to_string(gateway_get_event_storage(object, &detail)));
}

static BusValue get_event_storage_detail(const void *object) {
        const char *detail;

        (void) gateway_get_event_storage(object, &detail);
        return bus_string(detail);
}

static BusValue get_events_lost(const void *object) {
        return bus_uint64(gateway_get_events_lost(object));
}

#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST
#define EMITS SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

const BusProperty manager_properties[] = {
        { "Version", "s", CONSTANT, 0, get_version },
        { "ConfigFile", "s", CONSTANT, 0, get_config_file },
        { "State", "s", EMITS, GATEWAY_STATE, get_state },
        { "DevicesTotal", "u", EMITS, GATEWAY_TOTALS, get_devices_total },
        { "DevicesEnabled", "u", EMITS, GATEWAY_TOTALS, get_devices_enabled },
        { "DevicesRunning", "u", EMITS, GATEWAY_TOTALS, get_devices_running },
        { "DevicesFailed", "u", EMITS, GATEWAY_TOTALS, get_devices_failed },
        { "DevicesDown", "u", EMITS, GATEWAY_TOTALS, get_devices_down },
        { "EventServer", "s", EMITS, GATEWAY_NORTH, get_event_server },
        { "EventServerState", "s", EMITS, GATEWAY_NORTH, get_event_server_state },
        { "MonitorState", "s", EMITS, GATEWAY_NORTH, get_monitor_state },
        { "MonitorBlessed", "s", EMITS, GATEWAY_NORTH, get_monitor_blessed },
        { "MonitorRank", "x", EMITS, GATEWAY_NORTH, get_monitor_rank },
        { "EventStorage", "s", EMITS, GATEWAY_STORAGE, get_event_storage },
        { "EventStorageDetail", "s", EMITS, GATEWAY_STORAGE, get_event_storage_detail },
        { "EventsLost", "t", 0, 0, get_events_lost },
        {},
};
G_STATIC_ASSERT(ELEMENTSOF(manager_properties) - 1 <= BUS_PROPERTIES_MAX);

static int get_property(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        BusValue v = bus_property_find(manager_properties, property)->get(b->gateway);
        int r;

        r = bus_answer_properties(b, reply, 1, v.type == 's' ? v.s : NULL, error);
        if (r < 0)
                return r;
        return bus_value_append(reply, &v);
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static int method_get_device(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        const char *type, *name;
        Proxy *p;
        int r;

        r = sd_bus_message_read(call, "ss", &type, &name);
        if (r < 0)
                return r;
        r = gateway_find(b->gateway, type, name, &p);
        if (r == -ENXIO)
                return sd_bus_error_setf(error, BUS_ERROR_NO_SUCH_DEVICE, "There is no device '%s/%s'.",
                                         type, name);
        if (r < 0)
                return r;
        return sd_bus_reply_method_return(call, "o", bus_device_get(b, p)->path);
}

static int method_export_events(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        int fd, r;

        r = sd_bus_message_read(call, "h", &fd);
        if (r < 0)
                return r;
        return bus_operation_export(userdata, call, fd, error);
}

/* Each chip of the machine is opened for it, so those who ask at the same time see the same. */
static void bus_look_at_hardware(Bus *b, const DeviceType *type) {
        usec_t now = now_usec(CLOCK_MONOTONIC);

        if (b->hardware && b->hardware_type == type && now < usec_add(b->hardware_at, BUS_PACE_USEC))
                return;
        g_free(b->hardware);
        b->hardware = bus_describe_hardware(b, type);
        b->hardware_type = type;
        b->hardware_at = now;
}

static int method_list_hardware(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        const DeviceType *type;
        Bus *b = userdata;
        const char *name;
        int r;

        r = sd_bus_message_read(call, "s", &name);
        if (r < 0)
                return r;
        type = device_type_find(name);
        if (!type || !type->hardware)
                return sd_bus_error_setf(error, SD_BUS_ERROR_NOT_SUPPORTED,
                                         "This gatewayd lists no hardware of the type '%s'.", name);
        r = bus_answer_begin(b, error);
        if (r < 0)
                return r;
        bus_look_at_hardware(b, type);
        return bus_answer_text(b, call, b->hardware, error);
}

static int method_describe(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        g_autofree char *text = NULL;
        Bus *b = userdata;
        int r;

        r = bus_answer_begin(b, error);
        if (r < 0)
                return r;
        text = bus_describe_manager(b);
        return bus_answer_text(b, call, text, error);
}

static const sd_bus_vtable methods[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("GetDevice", SD_BUS_ARGS("s", type, "s", name), SD_BUS_RESULT("o", device),
                                method_get_device, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ExportEvents", SD_BUS_ARGS("h", file), SD_BUS_NO_RESULT,
                                method_export_events, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListHardware", SD_BUS_ARGS("s", type), SD_BUS_RESULT("s", json),
                                method_list_hardware, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

sd_bus_vtable *manager_vtable_new(void) {
        return bus_vtable_new(manager_properties, get_property, methods);
}
