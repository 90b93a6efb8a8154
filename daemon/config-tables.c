/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables of the whole configuration (spec config.md 2, embedded.md 1). Constant data, and the
 * tables of devices made of it. */

#include "base/bounds.h"
#include "daemon/config-tables.h"

#define INTEGER_MAX 9007199254740991.0 /* largest that every reader of JSON keeps exactly */
#define HOST_LENGTH .min = 1, .max = 255
#define PORT .min = 1, .max = 65535
#define ADDRESS_PATTERN "^(tcp:([^:\\[\\]]+|\\[[^\\]]+\\]):[0-9]{1,5}|unix:.+)$"
#define LISTEN_PATTERN "^(tcp:([^:\\[\\]]+|\\[[^\\]]+\\]):[0-9]{1,5}|unix:.+|fd:[^:]+)$"

static const char *const layout_names[] = { [LAYOUT_NAMED] = "named", [LAYOUT_FLAT] = "flat", NULL };
DEFINE_STRING_TABLE(event_layout, EventLayout, layout_names);

static const char *const level_names[] = { "emerg",  "alert", "crit",  "err", "warning",
                                           "notice", "info",  "debug", NULL };
static const char *const target_names[] = {
        [LOG_TARGET_AUTO] = "auto",
        [LOG_TARGET_JOURNAL] = "journal",
        [LOG_TARGET_STDERR] = "stderr",
        NULL,
};
static const char *const on_corruption_names[] = {
        [ON_CORRUPTION_REFUSE] = "refuse",
        [ON_CORRUPTION_SET_ASIDE] = "set-aside",
        NULL,
};

/* ---- event server ------------------------------------------------------------------------------------ */

static const ConfField fixed_fields[] = {
        CONF_KEY(FixedServerConf, host, CONF_TYPE_STRING, .instead = "address", HOST_LENGTH,
                 .help = "name or address"),
        CONF_KEY(FixedServerConf, port, CONF_TYPE_INTEGER, .instead = "address", PORT,
                 .help = "TCP port, usually 23012"),
        CONF_KEY(FixedServerConf, address, CONF_TYPE_STRING, .pattern = ADDRESS_PATTERN,
                 .help = "tcp:HOST:PORT, tcp:[IPv6]:PORT or unix:PATH, in place of host and port"),
        {}
};

static const ConfField monitor_fields[] = {
        CONF_KEY(MonitorConfig, host, CONF_TYPE_STRING, .flags = CONF_REQUIRED, HOST_LENGTH,
                 .help = "name or address of the monitor server"),
        CONF_KEY(MonitorConfig, port, CONF_TYPE_INTEGER, .flags = CONF_REQUIRED, PORT,
                 .help = "TCP port of the monitor server"),
        CONF_KEY(MonitorConfig, gateway_group, CONF_TYPE_STRING, .flags = CONF_REQUIRED,
                 .help = "group in which one gateway is blessed"),
        CONF_KEY(MonitorConfig, event_server_group, CONF_TYPE_STRING, .flags = CONF_REQUIRED,
                 .help = "group whose blessed component is the event server"),
        CONF_KEY(MonitorConfig, component_name, CONF_TYPE_STRING, .min = 1, .max = CONF_NAME_MAX,
                 .help = "our name at the monitor server; without it the gateway's name"),
        {}
};

static const ConfField listen_element = { .type = CONF_TYPE_STRING, .pattern = LISTEN_PATTERN };

static const ConfField segment_element = { .type = CONF_TYPE_STRING, .pattern = "^(?![?*]$)" };
static const ConfField initial_fields[] = {
        CONF_KEY(EmbeddedInitial, type, CONF_TYPE_ARRAY, .flags = CONF_REQUIRED, .min = 1, .max = 255,
                 .element = &segment_element, .element_size = sizeof(char *),
                 .help = "event type, without ? and *"),
        CONF_KEY(EmbeddedInitial, payload, CONF_TYPE_JSON,
                 .help = "payload, any JSON value; without it the event has none"),
        {}
};
static const ConfField initial_element = { .type = CONF_TYPE_OBJECT, .fields = initial_fields };

static const ConfField history_fields[] = {
        CONF_KEY(EmbeddedHistory, max_age, CONF_TYPE_SECONDS, .flags = CONF_NULLABLE, .max = EVENT_AGE_SECONDS_MAX,
                 .fallback = "604800", .unit = "s",
                 .help = "older events are removed, but for the latest of each type; null: no limit"),
        CONF_KEY(EmbeddedHistory, max_events, CONF_TYPE_INTEGER, .flags = CONF_NULLABLE, .max = INTEGER_MAX,
                 .null_value = -1, .fallback = "1000000",
                 .help = "events kept; 0: only the latest of each type; null: no limit"),
        CONF_KEY(EmbeddedHistory, max_bytes, CONF_TYPE_INTEGER, .flags = CONF_NULLABLE, .min = 1,
                 .max = INTEGER_MAX, .null_value = -1, .fallback = "268435456", .unit = "bytes",
                 .help = "size of the database file; null: no limit"),
        {}
};

static const ConfField embedded_fields[] = {
        CONF_KEY(EmbeddedConfig, path, CONF_TYPE_STRING, .min = 1, .max = 4095, .fallback = "\"events.db\"",
                 .help = "database file, relative to the state directory; :memory: keeps nothing"),
        CONF_KEY(EmbeddedConfig, server_id, CONF_TYPE_INTEGER, .max = INTEGER_MAX, .fallback = "1",
                 .help = "server part of event ids"),
        CONF_KEY(EmbeddedConfig, listen, CONF_TYPE_ARRAY, .max = 64, .element = &listen_element,
                 .element_size = sizeof(char *),
                 .help = "unix:PATH, tcp:HOST:PORT, tcp:[IPv6]:PORT or fd:NAME, a socket passed by the service manager; without it a unix "
                         "socket in the runtime directory"),
        CONF_KEY(EmbeddedConfig, client_token, CONF_TYPE_STRING, .flags = CONF_NULLABLE | CONF_CREDENTIAL,
                 .min = 1, .max = CONF_CREDENTIAL_MAX,
                 .help = "token that TCP clients must present; needed for a TCP address that is not loopback"),
        CONF_KEY(EmbeddedConfig, initial, CONF_TYPE_ARRAY, .element = &initial_element,
                 .element_size = sizeof(EmbeddedInitial), .fallback = "[]",
                 .help = "events registered once, for each type that has no event yet"),
        CONF_KEY(EmbeddedConfig, history, CONF_TYPE_OBJECT, .fields = history_fields, .help = "how much is kept"),
        CONF_KEY(EmbeddedConfig, on_corruption, CONF_TYPE_ENUM, .names = on_corruption_names,
                 .fallback = "\"refuse\"",
                 .help = "a database that is corrupt: refuse to start, or set it aside and start empty"),
        {}
};

static const ConfField event_server_fields[] = {
        { .name = "eventer_server",
          .offset = offsetof(EventServerConf, fixed),
          .type = CONF_TYPE_OBJECT,
          .flags = CONF_ONE_OF | CONF_PRESENCE,
          .fields = fixed_fields,
          .help = "one fixed event server" },
        { .name = "monitor_component",
          .offset = offsetof(EventServerConf, monitor),
          .type = CONF_TYPE_OBJECT,
          .flags = CONF_ONE_OF | CONF_PRESENCE,
          .fields = monitor_fields,
          .help = "a monitor server says when to work and with which event server" },
        CONF_KEY(EventServerConf, embedded, CONF_TYPE_OBJECT, .flags = CONF_ONE_OF | CONF_PRESENCE,
                 .fields = embedded_fields, .help = "the gateway keeps events itself"),
        CONF_KEY(EventServerConf, require_operational, CONF_TYPE_BOOL,
                 .help = "devices run only while the server is operational; without it true in the native form, false in the hat form"),
        CONF_KEY(EventServerConf, client_token, CONF_TYPE_STRING, .flags = CONF_NULLABLE | CONF_CREDENTIAL,
                 .min = 1, .max = CONF_CREDENTIAL_MAX, .help = "token presented to the event server"),
        {}
};

/* ---- main keys --------------------------------------------------------------------------------------- */

static const ConfField native_log_fields[] = {
        CONF_KEY(LogConf, level, CONF_TYPE_ENUM, .names = level_names, .help = "least severity that is logged"),
        CONF_KEY(LogConf, target, CONF_TYPE_ENUM, .names = target_names, .help = "where the log goes"),
        {}
};

static const ConfField hat_log_fields[] = { { .name = "*", .type = CONF_TYPE_ANY }, {} };

static const ConfField adminer_fields[] = {
        CONF_KEY(AdminerConf, host, CONF_TYPE_STRING, .flags = CONF_REQUIRED, .help = "not used"),
        CONF_KEY(AdminerConf, port, CONF_TYPE_INTEGER, .flags = CONF_REQUIRED, .help = "not used"),
        {}
};

static const ConfField device_element = { .type = CONF_TYPE_ANY, .ref = "#/$defs/device" };

#define IGNORED(key) { .name = (key), .type = CONF_TYPE_ANY, .help = "accepted and ignored" }

/* clang-format off */
#define MAIN_FIELDS(log_fields, log_help) \
        CONF_KEY(MainConf, name, CONF_TYPE_STRING, .flags = CONF_REQUIRED | CONF_NAME, .min = 1, .max = CONF_NAME_MAX, \
                 .help = "name of the gateway"), \
        IGNORED("type"), \
        IGNORED("version"), \
        IGNORED("$schema"), \
        CONF_KEY(MainConf, event_types, CONF_TYPE_ENUM, .names = layout_names, \
                 .help = "layout of event types; without it named in the native form, flat in the hat form"), \
        CONF_KEY(MainConf, event_server, CONF_TYPE_OBJECT, .flags = CONF_PRESENCE, .fields = event_server_fields, \
                 .help = "where events go; without it the embedded event server"), \
        CONF_KEY(MainConf, devices, CONF_TYPE_ARRAY, .max = CONF_DEVICES_MAX, .element = &device_element, \
                 .help = "the devices"), \
        CONF_KEY(MainConf, log, CONF_TYPE_OBJECT, .flags = CONF_PRESENCE, .fields = (log_fields), \
                 .help = (log_help)), \
        { .name = "adminer_server", .offset = offsetof(MainConf, adminer), .type = CONF_TYPE_OBJECT, \
          .flags = CONF_PRESENCE, .fields = adminer_fields, .help = "accepted with a warning and ignored" }, \
        IGNORED("metrics")
/* clang-format on */

static const ConfField native_fields[] = { MAIN_FIELDS(native_log_fields, "the log"), {} };

static const ConfField hat_fields[] = {
        MAIN_FIELDS(hat_log_fields, "Python's logging configuration, of which root.level counts"),
        {}
};

const ConfField *config_main_fields(ConfForm form) {
        return form == CONF_FORM_HAT ? hat_fields : native_fields;
}

/* ---- devices ----------------------------------------------------------------------------------------- */

static const ConfField head_fields[] = {
        CONF_KEY(DeviceHead, name, CONF_TYPE_STRING, .flags = CONF_REQUIRED | CONF_NAME, .min = 1,
                 .max = CONF_NAME_MAX, .help = "name of the device, unique within its type"),
        CONF_KEY(DeviceHead, description, CONF_TYPE_STRING, .help = "for people, shown on D-Bus"),
        {}
};

static const ConfField other_field = { .name = "*", .type = CONF_TYPE_ANY };

const char *config_selector(ConfForm form) {
        return form == CONF_FORM_HAT ? "module" : "type";
}

const char *config_selector_value(const DeviceType *type, ConfForm form) {
        return form == CONF_FORM_HAT ? type->module : type->name;
}

const char **config_selector_values(ConfForm form) {
        GPtrArray *values = g_ptr_array_new();

        for (size_t i = 0; device_types[i]; i++)
                if (config_selector_value(device_types[i], form))
                        g_ptr_array_add(values, (char *) config_selector_value(device_types[i], form));
        g_ptr_array_add(values, NULL);
        return (const char **) g_ptr_array_free(values, FALSE);
}

size_t config_device_offset(void) {
        return (sizeof(DeviceHead) + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

ConfField *config_device_fields(const DeviceType *type, ConfForm form) {
        GArray *fields = g_array_new(TRUE, TRUE, sizeof(ConfField));
        ConfField selector = {
                .name = config_selector(form),
                .type = CONF_TYPE_STRING,
                .flags = CONF_REQUIRED,
                .offset = offsetof(DeviceHead, selector),
                .help = "what kind of device it is",
        };

        g_array_append_val(fields, selector);
        for (const ConfField *f = head_fields; f->name; f++)
                g_array_append_vals(fields, f, 1);
        if (!type)
                g_array_append_vals(fields, &other_field, 1);
        for (const ConfField *f = type ? type->conf : NULL; f && f->name; f++) {
                ConfField moved = *f;

                moved.offset += config_device_offset();
                g_array_append_val(fields, moved);
        }
        return (ConfField *) (void *) g_array_free(fields, FALSE);
}
