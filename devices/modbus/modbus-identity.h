/* SPDX-License-Identifier: Apache-2.0 */
/* Who a unit says it is: basic device identification (MODBUS Application Protocol 6.21, function 2b, MEI
 * type 0e), read as a stream over one answer or several. Pure: no clock, no allocation. Any one thread. */
#pragma once

#include "base/json.h"
#include "devices/modbus/modbus-codec.h"

typedef enum ModbusIdentityObject {
        MODBUS_IDENTITY_VENDOR,
        MODBUS_IDENTITY_PRODUCT,
        MODBUS_IDENTITY_REVISION,
        _MODBUS_IDENTITY_MAX,
} ModbusIdentityObject;

/* Bytes that are kept of one object. */
#define MODBUS_IDENTITY_TEXT_MAX 64U

/* Zeroed: nothing is known, and object 0 is to be asked for. */
typedef struct ModbusIdentity {
        char texts[_MODBUS_IDENTITY_MAX][MODBUS_IDENTITY_TEXT_MAX + 1]; /* "": it does not say */
        uint8_t next;           /* the object to ask for */
} ModbusIdentity;

ModbusPdu modbus_identity_request(const ModbusIdentity *id);
/* Takes what an answer carries (ModbusResponse.data). 1: ask again, at most once for each object; 0: that is
 * all; -EBADMSG: it is no identification; what was known before stays. */
int modbus_identity_add(ModbusIdentity *id, const uint8_t *data, size_t size);
/* Members VendorName, ProductCode and MajorMinorRevision, in an object that the caller has opened; null: not
 * known. */
void modbus_identity_write_json(const ModbusIdentity *id, JsonWriter *w);
