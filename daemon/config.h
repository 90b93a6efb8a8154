/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration (spec config.md): both forms, checked, immutable, reference counted. A reload
 * makes a new one. Loop thread. */
#pragma once

#include "base/conf.h"
#include "base/log.h"
#include "devices/device.h"
#include "link/address.h"

typedef enum EventLayout { LAYOUT_NAMED, LAYOUT_FLAT, _LAYOUT_MAX, _LAYOUT_INVALID = -EINVAL } EventLayout;
DECLARE_STRING_TABLE(event_layout, EventLayout);

typedef enum NorthKind { NORTH_EMBEDDED, NORTH_FIXED, NORTH_MONITOR } NorthKind;

/* event_server.monitor_component */
typedef struct MonitorConfig {
        bool given;
        const char *host;
        int64_t port;
        const char *gateway_group, *event_server_group;
        const char *component_name;     /* never NULL */
} MonitorConfig;

/* One event of event_server.embedded.initial. */
typedef struct EmbeddedInitial {
        ConfArray type;                 /* const char * */
        const char *payload;            /* JSON text; NULL: none */
} EmbeddedInitial;

typedef struct EmbeddedHistory {
        usec_t max_age;                 /* USEC_INFINITY: no limit */
        int64_t max_events, max_bytes;  /* -1: no limit */
} EmbeddedHistory;

typedef enum OnCorruption { ON_CORRUPTION_REFUSE, ON_CORRUPTION_SET_ASIDE } OnCorruption;

/* FileDescriptorName= of gatewayd-eventer.socket. */
#define EMBEDDED_PASSED_SOCKET "eventer"

/* event_server.embedded (spec embedded.md 1); the defaults when event_server is not given. */
typedef struct EmbeddedConfig {
        bool given;
        const char *path;               /* ":memory:", absolute, or below $STATE_DIRECTORY */
        int64_t server_id;
        ConfArray listen;               /* const char *: unix:PATH, tcp:HOST:PORT, fd:NAME; items NULL:
                                         * EMBEDDED_PASSED_SOCKET if it is passed, else a unix socket */
        const char *client_token;       /* NULL: none */
        ConfArray initial;              /* EmbeddedInitial */
        EmbeddedHistory history;
        int on_corruption;              /* OnCorruption */
} EmbeddedConfig;

typedef struct DeviceConfig {
        const DeviceType *type;
        const char *name, *description; /* description may be NULL */
        const void *conf;               /* type->conf_size */
        const char *error;              /* hat form: a range error; the device is `failed` with reason config. Else NULL */
} DeviceConfig;

typedef struct Config {
        unsigned n_ref;
        ConfArena *arena;
        const char *file;
        ConfForm form;
        EventLayout layout;
        const char *name;
        NorthKind north;
        Address event_server;           /* NORTH_FIXED */
        const MonitorConfig *monitor;   /* NORTH_MONITOR, else NULL */
        const EmbeddedConfig *embedded; /* NORTH_EMBEDDED, else NULL */
        const char *client_token;       /* NULL: none */
        bool require_operational;
        DeviceConfig *devices;          /* in the order of the file */
        size_t n_devices;
        int log_level;                  /* -1: not given */
        LogTarget log_target;           /* _LOG_TARGET_INVALID: not given */
        const char *const *listen_names;
} Config;

/* Reads, parses and checks everything; every error and warning goes to errors. 0: usable (perhaps with range
 * errors in the hat form), -EBADMSG: not. */
int config_load(const char *file, ConfErrors *errors, Config **ret);
Config *config_ref(Config *c);
Config *config_unref(Config *c);
DEFINE_CLEANUP(Config, config_unref);

/* /etc before /usr/lib. -ENOENT: neither; *ret is the first all the same. */
int config_find(const char **ret);

/* JSON Schema 2020-12 of a form, on a stream. */
void config_print_schema(ConfForm form, FILE *stream);
/* Reference pages of the main keys and of every device type in the build, reStructuredText, on a stream. */
void config_print_reference(FILE *stream);
/* Names in a `listen: fd:NAME` of any device and of the embedded event server: NULL-terminated, of the
 * configuration. */
const char *const *config_listen_names(const Config *c);
