/* SPDX-License-Identifier: Apache-2.0 */
/* Names of Modbus data and units for people. No state. */
#include <inttypes.h>

#include "devices/modbus/modbus-conf.h"
#include "devices/modbus/modbus-points.h"

#define UNIT_TEXT_MAX 24 /* a decimal int64 with its terminator */

static void unit_point(const char *unit, DevicePointCallback callback, void *userdata) {
        const char *const in[] = { "gateway", "remote_device", unit, "status", NULL };
        const char *const out[] = { "system", "remote_device", unit, "enable", NULL };

        callback(&(DevicePoint) { .kind = DEVICE_POINT_ENABLE, .name = unit, .in = in, .out = out },
                 userdata);
}

static void data_point(const char *unit, const ModbusMasterData *data, DevicePointCallback callback,
                       void *userdata) {
        const char *const in[] = { "gateway", "remote_device", unit, "read", data->name, NULL };
        const char *const out[] = { "system", "remote_device", unit, "write", data->name, NULL };
        const char *const answer[] = { "gateway", "remote_device", unit, "write", data->name, NULL };
        bool writable = data->type == MODBUS_COIL || data->type == MODBUS_HOLDING_REGISTER;
        g_autofree char *name = g_strconcat(unit, "/", data->name, NULL);

        callback(&(DevicePoint) { .kind = DEVICE_POINT_VALUE,
                                 .name = name,
                                 .in = in,
                                 .out = writable ? out : NULL,
                                 .answer = writable ? answer : NULL },
                 userdata);
}

void modbus_master_points(const void *conf, DevicePointCallback callback, void *userdata) {
        const ModbusMasterConf *c = conf;
        const ModbusRemoteConf *remotes = c->remote_devices.items;

        for (size_t i = 0; i < c->remote_devices.n; i++) {
                const ModbusMasterData *data = remotes[i].data.items;
                char unit[UNIT_TEXT_MAX];

                (void) g_snprintf(unit, sizeof(unit), "%" PRId64, remotes[i].device_id);
                unit_point(unit, callback, userdata);
                for (size_t j = 0; j < remotes[i].data.n; j++)
                        data_point(unit, &data[j], callback, userdata);
        }
}

void modbus_slave_points(const void *conf, DevicePointCallback callback, void *userdata) {
        const ModbusSlaveConf *c = conf;
        const ModbusSlaveData *data = c->data.items;

        for (size_t i = 0; i < c->data.n; i++) {
                const char *const both[] = { "system", "data", data[i].name, NULL };

                callback(&(DevicePoint) { .kind = DEVICE_POINT_VALUE,
                                         .name = data[i].name,
                                         .in = both,
                                         .out = both },
                         userdata);
        }
}
