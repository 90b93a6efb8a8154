/* SPDX-License-Identifier: Apache-2.0 */
/* What people read, write and enable by name in both Modbus roles (spec modbus.md 7): DeviceType.points. Pure
 * functions of a verified configuration. */
#pragma once

#include "devices/device.h"

/* conf: ModbusMasterConf. For each remote device the point "UNIT" that enables it, then "UNIT/NAME" for each of
 * its data, with `out` where the type can be written. */
void modbus_master_points(const void *conf, DevicePointCallback callback, void *userdata);

/* conf: ModbusSlaveConf. "NAME" for each data: the event that sets it is also the one that tells it. */
void modbus_slave_points(const void *conf, DevicePointCallback callback, void *userdata);
