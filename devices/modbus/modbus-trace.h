/* SPDX-License-Identifier: Apache-2.0 */
/* What bytes of the wire say, for people: any bytes, of either role and any framing, as JSON. Pure; any thread. */
#pragma once

#include "base/json.h"
#include "devices/modbus/modbus-codec.h"
#include "link/tap.h"

/* What DeviceType.trace writes. master: the tap is one of a master. */
void modbus_trace_write(ModbusFramingKind framing, bool master, const TapRecord *record, JsonWriter *w);
