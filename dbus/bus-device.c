/* SPDX-License-Identifier: Apache-2.0 */
/* The interface Device. Every method is open to everybody here: the bus policy decides who may call it.
 * Loop thread. */
#include <errno.h>

#include <config.h>

#include "dbus/bus-error.h"
#include "dbus/bus-internal.h"

/* ---- properties -------------------------------------------------------------------------------------- */

static const ProxyView *view_of(const void *object) {
        const BusDevice *d = object;

        return proxy_view(d->proxy);
}

static BusValue get_type(const void *object) {
        return bus_string(view_of(object)->config->type->name);
}

static BusValue get_name(const void *object) {
        return bus_string(view_of(object)->config->name);
}

static BusValue get_description(const void *object) {
        return bus_string(view_of(object)->config->description);
}

static BusValue get_enabled(const void *object) {
        return bus_bool(view_of(object)->enabled);
}

static BusValue get_enabled_known(const void *object) {
        return bus_bool(view_of(object)->enabled_known);
}

static BusValue get_running(const void *object) {
        return bus_bool(view_of(object)->state == PROXY_RUNNING);
}

static BusValue get_state(const void *object) {
        return bus_string(proxy_state_to_string(view_of(object)->state));
}

static BusValue get_state_reason(const void *object) {
        return bus_string(device_reason_to_string(view_of(object)->state_edge.reason));
}

static BusValue get_state_detail(const void *object) {
        return bus_string(view_of(object)->state_edge.detail);
}

static BusValue get_state_time(const void *object) {
        return bus_uint64_or_none(view_of(object)->state_edge.realtime);
}

static BusValue get_state_time_monotonic(const void *object) {
        return bus_uint64_or_none(view_of(object)->state_edge.monotonic);
}

static BusValue get_link(const void *object) {
        return bus_string(device_link_to_string(view_of(object)->link));
}

static BusValue get_link_reason(const void *object) {
        return bus_string(device_reason_to_string(view_of(object)->link_edge.reason));
}

static BusValue get_link_detail(const void *object) {
        return bus_string(view_of(object)->link_edge.detail);
}

static BusValue get_link_time(const void *object) {
        return bus_uint64_or_none(view_of(object)->link_edge.realtime);
}

static BusValue get_link_time_monotonic(const void *object) {
        return bus_uint64_or_none(view_of(object)->link_edge.monotonic);
}

static BusValue get_links_omitted(const void *object) {
        const BusDevice *d = object;

        return bus_uint64(d->links_omitted);
}

static BusValue get_next_retry(const void *object) {
        return bus_uint64_or_none(view_of(object)->retry_at);
}

static BusValue get_restarts(const void *object) {
        return bus_uint64(view_of(object)->restarts);
}

static BusValue get_rx_messages(const void *object) {
        return bus_uint64(view_of(object)->tap.received);
}

static BusValue get_tx_messages(const void *object) {
        return bus_uint64(view_of(object)->tap.sent);
}

static BusValue get_errors(const void *object) {
        return bus_uint64(view_of(object)->tap.errors);
}

static BusValue get_last_message(const void *object) {
        return bus_uint64_or_none(view_of(object)->tap.last_received);
}

#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST
#define INVALIDATES SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION
#define EMITS SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

const BusProperty device_properties[] = {
        { "Type", "s", CONSTANT, 0, get_type },
        { "Name", "s", CONSTANT, 0, get_name },
        { "Description", "s", INVALIDATES, 0, get_description },
        { "Enabled", "b", EMITS, CHANGE_ENABLED, get_enabled },
        { "EnabledKnown", "b", EMITS, CHANGE_ENABLED, get_enabled_known },
        { "Running", "b", EMITS, CHANGE_STATE, get_running },
        { "State", "s", EMITS, CHANGE_STATE, get_state },
        { "StateReason", "s", EMITS, CHANGE_STATE, get_state_reason },
        { "StateDetail", "s", EMITS, CHANGE_STATE, get_state_detail },
        { "StateChangeTimestamp", "t", EMITS, CHANGE_STATE, get_state_time },
        { "StateChangeTimestampMonotonic", "t", EMITS, CHANGE_STATE, get_state_time_monotonic },
        { "Link", "s", EMITS, CHANGE_LINK, get_link },
        { "LinkReason", "s", EMITS, CHANGE_LINK, get_link_reason },
        { "LinkDetail", "s", EMITS, CHANGE_LINK, get_link_detail },
        { "LinkChangeTimestamp", "t", EMITS, CHANGE_LINK, get_link_time },
        { "LinkChangeTimestampMonotonic", "t", EMITS, CHANGE_LINK, get_link_time_monotonic },
        { "LinkChangesOmitted", "t", 0, 0, get_links_omitted },
        { "NextRetryTimestampMonotonic", "t", EMITS, CHANGE_RETRY, get_next_retry },
        { "Restarts", "t", 0, 0, get_restarts },
        { "RxMessages", "t", 0, 0, get_rx_messages },
        { "TxMessages", "t", 0, 0, get_tx_messages },
        { "Errors", "t", 0, 0, get_errors },
        { "LastMessageTimestamp", "t", 0, 0, get_last_message },
        {},
};
G_STATIC_ASSERT(ELEMENTSOF(device_properties) - 1 <= BUS_PROPERTIES_MAX);

static int get_property(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const BusDevice *d = userdata;
        BusValue v = bus_property_find(device_properties, property)->get(d);
        int r;

        r = bus_answer_properties(d->bus, reply, 1, v.type == 's' ? v.s : NULL, error);
        if (r < 0)
                return r;
        return bus_value_append(reply, &v);
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static int method_enable(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return bus_operation_enable(userdata, call, true, error);
}

static int method_disable(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return bus_operation_enable(userdata, call, false, error);
}

/* What a method takes in its a{sv}. */
typedef struct BusOption {
        const char *name, *type;
        void *ret; /* as sd_bus_message_read() wants it; untouched when it is not given */
} BusOption;

static int read_option(sd_bus_message *call, const BusOption *options, sd_bus_error *error) {
        const char *key;
        int r;

        r = sd_bus_message_read(call, "s", &key);
        if (r < 0)
                return r;
        while (options->name && !streq(options->name, key))
                options++;
        if (!options->name)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Unknown option '%s'.", key);
        r = sd_bus_message_read(call, "v", options->type, options->ret);
        if (r == -ENXIO)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "Option '%s' is not of type '%s'.", key,
                                         options->type);
        return r;
}

/* options: up to one without a name. */
static int read_options(sd_bus_message *call, const BusOption *options, sd_bus_error *error) {
        int r;

        r = sd_bus_message_enter_container(call, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
                r = read_option(call, options, error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(call);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(call);
}

static int method_set_enabled(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        int enable, r;

        r = sd_bus_message_read(call, "b", &enable);
        if (r < 0)
                return r;
        r = read_options(call, &(BusOption) {}, error);
        if (r < 0)
                return r;
        return bus_operation_enable(userdata, call, enable, error);
}

static int method_restart(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        BusDevice *d = userdata;
        int r;

        r = proxy_restart(d->proxy);
        if (r == -EBADMSG)
                return sd_bus_error_setf(error, BUS_ERROR_INVALID_CONFIG,
                                         "The configuration of the device is wrong: %s",
                                         proxy_view(d->proxy)->state_edge.detail);
        if (r < 0)
                return bus_error_set(error, r);
        return sd_bus_reply_method_return(call, NULL);
}

/* ---- scan -------------------------------------------------------------------------------------------- */

static int set_scan_error(sd_bus_error *ret, int error) {
        switch (error) {
        case -EOPNOTSUPP:
                return sd_bus_error_set(ret, SD_BUS_ERROR_NOT_SUPPORTED, "Devices of this type cannot be scanned.");
        case -EALREADY:
                return sd_bus_error_set(ret, SD_BUS_ERROR_LIMITS_EXCEEDED, "The device is being scanned already.");
        case -ERANGE:
                return sd_bus_error_set(ret, SD_BUS_ERROR_INVALID_ARGS, "There are no such addresses to scan.");
        default:
                return bus_error_set(ret, error);
        }
}

static int method_scan(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(safe_closep) int reader = -EBADF;
        DeviceScanOptions options = {};
        BusDevice *d = userdata;
        int r;

        r = read_options(call,
                         (BusOption[]) { { "from", "u", &options.from },
                                         { "to", "u", &options.to },
                                         { "timeout", "t", &options.timeout },
                                         {} },
                         error);
        if (r < 0)
                return r;
        r = proxy_scan(d->proxy, &options, &reader);
        if (r < 0)
                return set_scan_error(error, r);
        return sd_bus_reply_method_return(call, "h", reader);
}

/* ---- trace ------------------------------------------------------------------------------------------- */

static int set_trace_error(sd_bus_error *ret, int error) {
        switch (error) {
        case -EOPNOTSUPP:
                return sd_bus_error_set(ret, SD_BUS_ERROR_NOT_SUPPORTED, "Devices of this type have no frames to show.");
        case -EUSERS:
                return sd_bus_error_set(ret, SD_BUS_ERROR_LIMITS_EXCEEDED, "Too many look already.");
        default:
                return bus_error_set(ret, error);
        }
}

static int method_trace(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(safe_closep) int reader = -EBADF;
        const BusDevice *d = userdata;
        int last = false, r;

        r = read_options(call, (BusOption[]) { { "last", "b", &last }, {} }, error);
        if (r < 0)
                return r;
        r = proxy_trace(d->proxy, last, &reader);
        if (r < 0)
                return set_trace_error(error, r);
        return sd_bus_reply_method_return(call, "h", reader);
}

static int method_describe(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        g_autofree char *text = NULL;
        const BusDevice *d = userdata;
        int r;

        r = bus_answer_begin(d->bus, error);
        if (r < 0)
                return r;
        text = bus_describe_device(d);
        return bus_answer_text(d->bus, call, text, error);
}

#define EDGE SD_BUS_ARGS("s", old, "s", new, "s", reason, "t", monotonic)

static const sd_bus_vtable members[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Enable", NULL, NULL, method_enable, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Disable", NULL, NULL, method_disable, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetEnabled", SD_BUS_ARGS("b", enabled, "a{sv}", options), SD_BUS_NO_RESULT,
                                method_set_enabled, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Restart", NULL, NULL, method_restart, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Scan", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("h", lines), method_scan,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Trace", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("h", lines), method_trace,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("StateChanged", EDGE, 0),
        SD_BUS_SIGNAL_WITH_ARGS("LinkChanged", EDGE, 0),
        SD_BUS_VTABLE_END,
};

sd_bus_vtable *device_vtable_new(void) {
        return bus_vtable_new(device_properties, get_property, members);
}
