/* SPDX-License-Identifier: Apache-2.0 */
/* Decodes one record of a tap at a time: an answer does not know its request, so a read of bits shows whole
 * bytes. Pure; any thread. */
#include "devices/modbus/modbus-trace.h"

#include <stdio.h>

#include "devices/modbus/modbus-bytes.h"
#include "devices/modbus/modbus-identity.h"

static const char *const protocols[] = {
        [MODBUS_FRAMING_TCP] = "modbus-tcp",
        [MODBUS_FRAMING_RTU] = "modbus-rtu",
        [MODBUS_FRAMING_ASCII] = "modbus-ascii",
};

static const struct {
        ModbusFunction function;
        const char *name;
} functions[] = {
        { MODBUS_READ_COILS, "read-coils" },
        { MODBUS_READ_DISCRETE_INPUTS, "read-discrete-inputs" },
        { MODBUS_READ_HOLDING_REGISTERS, "read-holding-registers" },
        { MODBUS_READ_INPUT_REGISTERS, "read-input-registers" },
        { MODBUS_WRITE_COIL, "write-coil" },
        { MODBUS_WRITE_REGISTER, "write-register" },
        { MODBUS_WRITE_COILS, "write-coils" },
        { MODBUS_WRITE_REGISTERS, "write-registers" },
        { MODBUS_MASK_WRITE, "mask-write-register" },
        { MODBUS_READ_FIFO, "read-fifo" },
        { MODBUS_READ_IDENTIFICATION, "read-identification" },
};

/* That function carries others, too, which we do not know. */
static bool pdu_is_other_interface(const uint8_t *pdu, size_t size) {
        return pdu[0] == MODBUS_READ_IDENTIFICATION && (size < 2 || pdu[1] != MODBUS_MEI_IDENTIFICATION);
}

static void write_function(JsonWriter *w, const uint8_t *pdu, size_t size) {
        uint8_t function = pdu[0] & (uint8_t) ~MODBUS_ERROR_BIT;
        bool other = pdu_is_other_interface(pdu, size);
        char text[sizeof("function-255")];

        json_key(w, "Function");
        for (size_t i = 0; i < ELEMENTSOF(functions); i++)
                if (functions[i].function == function && !other) {
                        json_string(w, functions[i].name);
                        return;
                }
        (void) snprintf(text, sizeof(text), "function-%u", function);
        json_string(w, text);
}

static void write_registers(JsonWriter *w, const uint8_t *data, size_t size) {
        json_key(w, "Values");
        json_open_array(w);
        for (size_t i = 0; i + 1 < size; i += 2)
                json_uint(w, get_be16(data + i));
        json_close_array(w);
}

static void write_bits(JsonWriter *w, const uint8_t *data, size_t n) {
        json_key(w, "Values");
        json_open_array(w);
        for (size_t i = 0; i < n; i++)
                json_uint(w, data[i / 8] >> i % 8 & 1);
        json_close_array(w);
}

static bool function_reads_bits(uint8_t function) {
        return function == MODBUS_READ_COILS || function == MODBUS_READ_DISCRETE_INPUTS;
}

/* Address and quantity of a read, or what answers a write of many. */
static bool write_range(JsonWriter *w, const uint8_t *pdu, size_t size) {
        if (size != 5)
                return false;
        json_member_uint(w, "Address", get_be16(pdu + 1));
        json_member_uint(w, "Quantity", get_be16(pdu + 3));
        return true;
}

static bool write_read(JsonWriter *w, bool request, const uint8_t *pdu, size_t size) {
        if (request)
                return write_range(w, pdu, size);
        if (size < 2 || pdu[1] != size - 2)
                return false;
        if (function_reads_bits(pdu[0]))
                write_bits(w, pdu + 2, 8 * (size - 2));
        else if (pdu[1] % 2 == 0)
                write_registers(w, pdu + 2, size - 2);
        else
                return false;
        return true;
}

/* The same both ways. */
static bool write_write_one(JsonWriter *w, const uint8_t *pdu, size_t size) {
        unsigned value;

        if (size != 5)
                return false;
        value = get_be16(pdu + 3);
        json_member_uint(w, "Address", get_be16(pdu + 1));
        json_member_uint(w, "Value", pdu[0] == MODBUS_WRITE_COIL && value == 0xff00 ? 1 : value);
        return true;
}

static bool write_write_many(JsonWriter *w, bool request, const uint8_t *pdu, size_t size) {
        unsigned quantity;

        if (!request)
                return write_range(w, pdu, size);
        if (size < 6 || pdu[5] != size - 6 || !write_range(w, pdu, 5))
                return false;
        quantity = get_be16(pdu + 3);
        if (pdu[0] == MODBUS_WRITE_COILS)
                write_bits(w, pdu + 6, MIN(quantity, 8 * (size - 6)));
        else
                write_registers(w, pdu + 6, size - 6);
        return true;
}

static bool write_mask_write(JsonWriter *w, const uint8_t *pdu, size_t size) {
        if (size != 7)
                return false;
        json_member_uint(w, "Address", get_be16(pdu + 1));
        json_member_uint(w, "AndMask", get_be16(pdu + 3));
        json_member_uint(w, "OrMask", get_be16(pdu + 5));
        return true;
}

static bool write_read_fifo(JsonWriter *w, bool request, const uint8_t *pdu, size_t size) {
        if (request) {
                if (size != 3)
                        return false;
                json_member_uint(w, "Address", get_be16(pdu + 1));
                return true;
        }
        if (size < 5 || get_be16(pdu + 1) != size - 3 || 2U * get_be16(pdu + 3) != size - 5)
                return false;
        write_registers(w, pdu + 5, size - 5);
        return true;
}

static bool write_identification(JsonWriter *w, bool request, const uint8_t *pdu, size_t size) {
        ModbusIdentity id = {};

        if (pdu_is_other_interface(pdu, size))
                return true;
        if (request) {
                if (size != 4)
                        return false;
                json_member_uint(w, "Code", pdu[2]);
                json_member_uint(w, "Object", pdu[3]);
                return true;
        }
        if (modbus_identity_add(&id, pdu + 2, size - 2) < 0)
                return false;
        modbus_identity_write_json(&id, w);
        return true;
}

static bool write_exception(JsonWriter *w, const uint8_t *pdu, size_t size) {
        if (size != 2)
                return false;
        json_member_uint(w, "Exception", pdu[1]);
        json_member_string(w, "ExceptionName", modbus_result_to_string(modbus_result_from_code(pdu[1])));
        return true;
}

/* What follows the function. false: it has not the form that it should. */
static bool write_body(JsonWriter *w, bool request, const uint8_t *pdu, size_t size) {
        switch (pdu[0]) {
        case MODBUS_READ_COILS:
        case MODBUS_READ_DISCRETE_INPUTS:
        case MODBUS_READ_HOLDING_REGISTERS:
        case MODBUS_READ_INPUT_REGISTERS:
                return write_read(w, request, pdu, size);
        case MODBUS_WRITE_COIL:
        case MODBUS_WRITE_REGISTER:
                return write_write_one(w, pdu, size);
        case MODBUS_WRITE_COILS:
        case MODBUS_WRITE_REGISTERS:
                return write_write_many(w, request, pdu, size);
        case MODBUS_MASK_WRITE:
                return write_mask_write(w, pdu, size);
        case MODBUS_READ_FIFO:
                return write_read_fifo(w, request, pdu, size);
        case MODBUS_READ_IDENTIFICATION:
                return write_identification(w, request, pdu, size);
        default: /* a function that we do not know */
                return pdu[0] & MODBUS_ERROR_BIT ? write_exception(w, pdu, size) : true;
        }
}

static bool pdu_is_request(const uint8_t *pdu, size_t size) {
        ModbusPdu request;

        return modbus_request_parse(pdu, size, &request) == MODBUS_SUCCESS;
}

static void write_error(JsonWriter *w, const char *error) {
        json_member_string(w, "Error", error);
}

static void write_decoded(JsonWriter *w, const ModbusFraming *framing, bool request, const TapRecord *record) {
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusFrame f;
        int r;

        r = framing->unwrap(record->data, record->header.size, scratch, &f);
        if (r == -EMSGSIZE) {
                write_error(w, "not one whole frame");
                return;
        }
        json_member_uint(w, "Unit", f.unit);
        write_function(w, f.pdu, f.pdu_size);
        if (r < 0)
                write_error(w, "wrong checksum");
        else if (!write_body(w, request, f.pdu, f.pdu_size))
                write_error(w, !request && pdu_is_request(f.pdu, f.pdu_size)
                                               ? "a request: an echo, or another master"
                                               : "not the form of this function");
        if (framing->transactions)
                json_member_uint(w, "Transaction", f.transaction);
}

void modbus_trace_write(ModbusFramingKind framing, bool master, const TapRecord *record, JsonWriter *w) {
        bool request = (record->header.direction == TAP_SENT) == master;

        json_member_string(w, "Protocol", protocols[(size_t) framing]);
        json_key(w, "Request");
        json_bool(w, request);
        if (record->header.size == 0)
                return;
        json_key(w, "Decoded");
        json_open_object(w);
        write_decoded(w, modbus_framing_get(framing), request, record);
        json_close_object(w);
}
