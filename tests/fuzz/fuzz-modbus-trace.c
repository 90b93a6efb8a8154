/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record of a Modbus tap: what is written is JSON, within a bound, and the same each time. The first byte chooses
 * framing, role and direction. */
#include <assert.h>

#include "base/bounds.h"
#include "devices/modbus/modbus-trace.h"

#define TEXT_MAX (16U << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static JsonSpan write_object(JsonWriter *w, ModbusFramingKind framing, bool master, const TapRecord *r) {
        JsonSpan text;

        json_writer_init_growing(w);
        json_open_object(w);
        modbus_trace_write(framing, master, r, w);
        json_close_object(w);
        assert(json_writer_end(w, &text) >= 0);
        return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        ModbusFramingKind framing;
        JsonWriter a, b;
        JsonSpan first, second, decoded;
        TapRecord r;

        if (size < 1)
                return 0;
        framing = (ModbusFramingKind) (data[0] % _MODBUS_FRAMING_MAX);
        r = (TapRecord) {
                .header.direction = data[0] & 0x40 ? TAP_SENT : TAP_RECEIVED,
                .header.size = (uint16_t) MIN(size - 1, TAP_BYTES_MAX),
                .data = data + 1,
        };

        first = write_object(&a, framing, data[0] & 0x80, &r);
        second = write_object(&b, framing, data[0] & 0x80, &r);
        assert(json_check(first.text, first.size, NULL) >= 0);
        assert(first.size < TEXT_MAX);
        assert(first.size == second.size && memcmp(first.text, second.text, first.size) == 0);
        assert((json_get(first, "Decoded", &decoded) >= 0) == (r.header.size > 0));
        json_writer_done(&a);
        json_writer_done(&b);
        return 0;
}
