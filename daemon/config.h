/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration (spec config.md): both forms, checked, immutable, reference counted. A reload makes a new one. Loop
 * thread. */
#pragma once

#include "base/conf.h"
#include "base/log.h"
#include "devices/device.h"
#include "link/address.h"

typedef enum EventLayout { LAYOUT_NAMED, LAYOUT_FLAT, _LAYOUT_MAX, _LAYOUT_INVALID = -EINVAL } EventLayout;
DECLARE_STRING_TABLE(event_layout, EventLayout);

typedef enum NorthKind { NORTH_EMBEDDED, NORTH_FIXED, NORTH_MONITOR } NorthKind;

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
        const char *client_token;       /* NULL: none */
        bool require_operational;
        DeviceConfig *devices;          /* in the order of the file */
        size_t n_devices;
        int log_level;                  /* -1: not given */
        LogTarget log_target;           /* _LOG_TARGET_INVALID: not given */
} Config;

/* Reads, parses and checks everything; every error and warning goes to errors. 0: usable (perhaps with range errors in the hat form),
 * -EBADMSG: not. */
int config_load(const char *file, ConfErrors *errors, Config **ret);
Config *config_ref(Config *c);
Config *config_unref(Config *c);
DEFINE_CLEANUP(Config, config_unref);

/* /etc before /usr/lib. -ENOENT: neither; ret_tried (static text) names both. */
int config_find(const char **ret_file, const char **ret_tried);

/* What the configuration needs and this build or release does not have: one error each, `not built in`, at its position. Not part of --check; a
 * start asks right after config_load(), with the same errors. -EOPNOTSUPP: something. */
int config_check_built(const Config *c, ConfErrors *errors);

/* JSON Schema 2020-12 of a form, on a stream. */
void config_print_schema(ConfForm form, FILE *stream);
/* Names in a `listen: fd:NAME` of any device: NULL-terminated, of the configuration. */
const char *const *config_listen_names(const Config *c);
