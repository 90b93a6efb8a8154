/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of daemon/config*: the field tables of a configuration and the structs that they fill. Loop
 * thread, at start. */
#pragma once

#include "daemon/config.h"

typedef struct FixedServerConf {
        bool given;
        const char *host, *address; /* address, or host and port */
        int64_t port;
} FixedServerConf;

typedef struct EventServerConf {
        bool given;
        FixedServerConf fixed;
        MonitorConfig monitor;
        EmbeddedConfig embedded;
        bool require_operational; /* by form when the key is not given: see the document */
        const char *client_token;
} EventServerConf;

typedef struct LogConf {
        bool given;
        int level, target; /* native form; -1: not given */
} LogConf;

typedef struct AdminerConf {
        bool given;
        const char *host;
        int64_t port;
} AdminerConf;

typedef struct MainConf {
        const char *name;
        int event_types; /* EventLayout; -1: not given */
        EventServerConf event_server;
        ConfArray devices; /* counted only */
        LogConf log;
        AdminerConf adminer;
} MainConf;

/* Of a device, before the struct of its type. */
typedef struct DeviceHead {
        const char *selector; /* `type` or `module` */
        const char *name, *description;
} DeviceHead;

/* Keys of the whole file. `devices` is taken as an array of anything. */
const ConfField *config_main_fields(ConfForm form);
/* Keys of one device: DeviceHead and, behind it at config_device_offset(), the type's; type NULL: any
 * other key is good. Caller frees. */
ConfField *config_device_fields(const DeviceType *type, ConfForm form);
size_t config_device_offset(void);
/* "type" or "module". */
const char *config_selector(ConfForm form);
/* What a device type is called in a form; NULL: it cannot be given there. */
const char *config_selector_value(const DeviceType *type, ConfForm form);
/* All of them in this build, NULL-terminated. Caller frees the array. */
const char **config_selector_values(ConfForm form);

/* ---- config-embedded.c ------------------------------------------------------------------------------- */

/* What its table cannot say. */
void config_verify_embedded(const EmbeddedConfig *embedded, ConfClaims *claims, ConfErrors *errors);

/* ---- config-devices.c -------------------------------------------------------------------------------- */

/* By the first device that says so. Devices that say otherwise are errors of config_parse_devices(). */
ConfForm config_find_form(const ConfNode *root);
/* Fills devices and n_devices. ret_range: range errors that cost only their device. */
void config_parse_devices(Config *c, const ConfNode *devices, ConfClaims *claims, ConfErrors *errors,
                          size_t *ret_range);
