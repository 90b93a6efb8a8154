/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes device identification. Any one thread. */

#include "devices/modbus/modbus-identity.h"

/* An answer: code, conformity level, more follows, next object, number of objects; then each with id and
 * length. */
enum {
        AT_MORE = 2,
        AT_NEXT = 3,
        AT_COUNT = 4,
        AT_OBJECTS = 5,
};
#define MORE_FOLLOWS 0xff

ModbusPdu modbus_identity_request(const ModbusIdentity *id) {
        return (ModbusPdu) { .function = MODBUS_READ_IDENTIFICATION, .address = id->next };
}

static void take_object(ModbusIdentity *id, uint8_t object, const uint8_t *text, size_t size) {
        if (object >= _MODBUS_IDENTITY_MAX)
                return;
        size = MIN(size, MODBUS_IDENTITY_TEXT_MAX);
        memcpy(id->texts[object], text, size);
        id->texts[object][size] = '\0';
        g_strstrip(id->texts[object]);
}

/* All objects lie within the answer. */
static bool objects_fit(const uint8_t *data, size_t size) {
        size_t at = AT_OBJECTS;

        for (unsigned i = 0; i < data[AT_COUNT]; i++) {
                if (size - at < 2 || size - at - 2 < data[at + 1])
                        return false;
                at += 2U + data[at + 1];
        }
        return true;
}

int modbus_identity_add(ModbusIdentity *id, const uint8_t *data, size_t size) {
        uint8_t asked = id->next;
        size_t at = AT_OBJECTS;

        if (size < AT_OBJECTS || !objects_fit(data, size))
                return -EBADMSG;

        for (unsigned i = 0; i < data[AT_COUNT]; i++) {
                take_object(id, data[at], data + at + 2, data[at + 1]);
                at += 2U + data[at + 1];
        }

        id->next = data[AT_NEXT];
        return data[AT_MORE] == MORE_FOLLOWS && id->next > asked && id->next < _MODBUS_IDENTITY_MAX;
}

void modbus_identity_write_json(const ModbusIdentity *id, JsonWriter *w) {
        static const char *const names[_MODBUS_IDENTITY_MAX] = {
                [MODBUS_IDENTITY_VENDOR] = "VendorName",
                [MODBUS_IDENTITY_PRODUCT] = "ProductCode",
                [MODBUS_IDENTITY_REVISION] = "MajorMinorRevision",
        };

        for (size_t i = 0; i < _MODBUS_IDENTITY_MAX; i++) {
                json_member_string(w, names[i], id->texts[i][0] != '\0' ? id->texts[i] : NULL);
        }
}
