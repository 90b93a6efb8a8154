/* SPDX-License-Identifier: Apache-2.0 */
/* Names, and protocol data units of both roles. Framings: modbus-framing.c. Pure functions; any thread. */

#include "devices/modbus/modbus-codec.h"

#include "devices/modbus/modbus-bytes.h"

#define COIL_ON 0xff00

const char *const modbus_data_type_names[] = {
        [MODBUS_COIL] = "COIL",
        [MODBUS_DISCRETE_INPUT] = "DISCRETE_INPUT",
        [MODBUS_HOLDING_REGISTER] = "HOLDING_REGISTER",
        [MODBUS_INPUT_REGISTER] = "INPUT_REGISTER",
        [MODBUS_QUEUE] = "QUEUE",
        [_MODBUS_DATA_TYPE_MAX] = NULL,
};
DEFINE_STRING_TABLE(modbus_data_type, ModbusDataType, modbus_data_type_names);

static const char *const result_names[] = {
        [MODBUS_SUCCESS] = "SUCCESS",
        [MODBUS_INVALID_FUNCTION_CODE] = "INVALID_FUNCTION_CODE",
        [MODBUS_INVALID_DATA_ADDRESS] = "INVALID_DATA_ADDRESS",
        [MODBUS_INVALID_DATA_VALUE] = "INVALID_DATA_VALUE",
        [MODBUS_FUNCTION_ERROR] = "FUNCTION_ERROR",
        [MODBUS_GATEWAY_PATH_UNAVAILABLE] = "GATEWAY_PATH_UNAVAILABLE",
        [MODBUS_GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND] = "GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND",
        [MODBUS_TIMEOUT] = "TIMEOUT",
        [MODBUS_NOT_CONNECTED] = "NOT_CONNECTED",
        [MODBUS_UNKNOWN_DATA] = "UNKNOWN_DATA",
        [MODBUS_NOT_WRITABLE] = "NOT_WRITABLE",
        [MODBUS_INVALID_VALUE] = "INVALID_VALUE",
        [MODBUS_BUSY] = "BUSY",
};
DEFINE_STRING_TABLE(modbus_result, ModbusResult, result_names);

static const uint8_t result_codes[] = {
        [MODBUS_INVALID_FUNCTION_CODE] = 0x01,
        [MODBUS_INVALID_DATA_ADDRESS] = 0x02,
        [MODBUS_INVALID_DATA_VALUE] = 0x03,
        [MODBUS_FUNCTION_ERROR] = 0x04,
        [MODBUS_GATEWAY_PATH_UNAVAILABLE] = 0x0a,
        [MODBUS_GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND] = 0x0b,
};

uint8_t modbus_result_to_code(ModbusResult result) {
        return (size_t) result < ELEMENTSOF(result_codes) ? result_codes[(size_t) result] : 0;
}

ModbusResult modbus_result_from_code(uint8_t code) {
        for (size_t i = MODBUS_INVALID_FUNCTION_CODE; i < ELEMENTSOF(result_codes); i++)
                if (result_codes[i] == code)
                        return (ModbusResult) i;
        return MODBUS_FUNCTION_ERROR;
}

ModbusFunction modbus_read_function(ModbusDataType t) {
        static const ModbusFunction functions[] = {
                [MODBUS_COIL] = MODBUS_READ_COILS,
                [MODBUS_DISCRETE_INPUT] = MODBUS_READ_DISCRETE_INPUTS,
                [MODBUS_HOLDING_REGISTER] = MODBUS_READ_HOLDING_REGISTERS,
                [MODBUS_INPUT_REGISTER] = MODBUS_READ_INPUT_REGISTERS,
                [MODBUS_QUEUE] = MODBUS_READ_FIFO,
        };

        return functions[t];
}

ModbusDataType modbus_function_data_type(uint8_t function) {
        switch (function) {
        case MODBUS_READ_COILS:
        case MODBUS_WRITE_COIL:
        case MODBUS_WRITE_COILS:
                return MODBUS_COIL;
        case MODBUS_READ_DISCRETE_INPUTS:
                return MODBUS_DISCRETE_INPUT;
        case MODBUS_READ_HOLDING_REGISTERS:
        case MODBUS_WRITE_REGISTER:
        case MODBUS_WRITE_REGISTERS:
        case MODBUS_MASK_WRITE:
                return MODBUS_HOLDING_REGISTER;
        case MODBUS_READ_INPUT_REGISTERS:
                return MODBUS_INPUT_REGISTER;
        case MODBUS_READ_FIFO:
                return MODBUS_QUEUE;
        default:
                return _MODBUS_DATA_TYPE_INVALID;
        }
}

/* ---- requests ---------------------------------------------------------------------------------------- */

size_t modbus_request_build(const ModbusPdu *request, uint8_t *ret_pdu) {
        ret_pdu[0] = request->function;
        put_be16(ret_pdu + 1, request->address);

        switch (request->function) {
        case MODBUS_READ_IDENTIFICATION:
                ret_pdu[1] = MODBUS_MEI_IDENTIFICATION;
                ret_pdu[2] = 0x01; /* basic, as a stream */
                ret_pdu[3] = (uint8_t) request->address;
                return 4;
        case MODBUS_READ_FIFO:
                return 3;
        case MODBUS_WRITE_COIL:
        case MODBUS_WRITE_REGISTER:
                put_be16(ret_pdu + 3, request->value);
                return 5;
        case MODBUS_MASK_WRITE:
                put_be16(ret_pdu + 3, request->and_mask);
                put_be16(ret_pdu + 5, request->value);
                return 7;
        case MODBUS_WRITE_COILS:
        case MODBUS_WRITE_REGISTERS:
                put_be16(ret_pdu + 3, request->quantity);
                ret_pdu[5] = (uint8_t) request->data_size;
                memcpy(ret_pdu + 6, request->data, request->data_size);
                return 6 + request->data_size;
        default:
                put_be16(ret_pdu + 3, request->quantity);
                return 5;
        }
}

static ModbusResult parse_read(const uint8_t *pdu, size_t size, unsigned max, ModbusPdu *ret) {
        if (size != 5)
                return MODBUS_INVALID_DATA_VALUE;

        ret->address = get_be16(pdu + 1);
        ret->quantity = get_be16(pdu + 3);
        return ret->quantity >= 1 && ret->quantity <= max ? MODBUS_SUCCESS : MODBUS_INVALID_DATA_VALUE;
}

static ModbusResult parse_write_one(const uint8_t *pdu, size_t size, ModbusPdu *ret) {
        if (size != 5)
                return MODBUS_INVALID_DATA_VALUE;

        ret->address = get_be16(pdu + 1);
        ret->quantity = 1;
        ret->value = get_be16(pdu + 3);
        if (ret->function == MODBUS_WRITE_COIL && ret->value != 0 && ret->value != COIL_ON)
                return MODBUS_INVALID_DATA_VALUE;
        return MODBUS_SUCCESS;
}

static ModbusResult parse_write_many(const uint8_t *pdu, size_t size, ModbusPdu *ret) {
        bool bits = ret->function == MODBUS_WRITE_COILS;
        unsigned max = bits ? MODBUS_WRITE_BITS_MAX : MODBUS_WRITE_REGISTERS_MAX;
        size_t data_size;

        if (size < 6)
                return MODBUS_INVALID_DATA_VALUE;

        ret->address = get_be16(pdu + 1);
        ret->quantity = get_be16(pdu + 3);
        if (ret->quantity < 1 || ret->quantity > max)
                return MODBUS_INVALID_DATA_VALUE;

        data_size = bits ? (ret->quantity + 7U) / 8 : 2U * ret->quantity;
        if (pdu[5] != data_size || size != 6 + data_size)
                return MODBUS_INVALID_DATA_VALUE;

        ret->data = pdu + 6;
        ret->data_size = data_size;
        return MODBUS_SUCCESS;
}

static ModbusResult parse_mask_write(const uint8_t *pdu, size_t size, ModbusPdu *ret) {
        if (size != 7)
                return MODBUS_INVALID_DATA_VALUE;

        ret->address = get_be16(pdu + 1);
        ret->quantity = 1;
        ret->and_mask = get_be16(pdu + 3);
        ret->value = get_be16(pdu + 5);
        return MODBUS_SUCCESS;
}

static ModbusResult parse_fifo(const uint8_t *pdu, size_t size, ModbusPdu *ret) {
        if (size != 3)
                return MODBUS_INVALID_DATA_VALUE;

        ret->address = get_be16(pdu + 1);
        return MODBUS_SUCCESS;
}

ModbusResult modbus_request_parse(const uint8_t *pdu, size_t size, ModbusPdu *ret) {
        *ret = (ModbusPdu) { .function = pdu[0] };

        switch (pdu[0]) {
        case MODBUS_READ_COILS:
        case MODBUS_READ_DISCRETE_INPUTS:
                return parse_read(pdu, size, MODBUS_READ_BITS_MAX, ret);
        case MODBUS_READ_HOLDING_REGISTERS:
        case MODBUS_READ_INPUT_REGISTERS:
                return parse_read(pdu, size, MODBUS_READ_REGISTERS_MAX, ret);
        case MODBUS_WRITE_COIL:
        case MODBUS_WRITE_REGISTER:
                return parse_write_one(pdu, size, ret);
        case MODBUS_WRITE_COILS:
        case MODBUS_WRITE_REGISTERS:
                return parse_write_many(pdu, size, ret);
        case MODBUS_MASK_WRITE:
                return parse_mask_write(pdu, size, ret);
        case MODBUS_READ_FIFO:
                return parse_fifo(pdu, size, ret);
        default:
                return MODBUS_INVALID_FUNCTION_CODE;
        }
}

/* ---- responses --------------------------------------------------------------------------------------- */

size_t modbus_response_build_read(uint8_t function, const uint8_t *data, uint8_t size, uint8_t *ret_pdu) {
        ret_pdu[0] = function;
        ret_pdu[1] = size;
        if (data != ret_pdu + MODBUS_READ_DATA)
                memcpy(ret_pdu + MODBUS_READ_DATA, data, size);
        return MODBUS_READ_DATA + size;
}

size_t modbus_response_build_write(const ModbusPdu *request, uint8_t *ret_pdu) {
        if (request->function != MODBUS_WRITE_COILS && request->function != MODBUS_WRITE_REGISTERS)
                return modbus_request_build(request, ret_pdu);

        ret_pdu[0] = request->function;
        put_be16(ret_pdu + 1, request->address);
        put_be16(ret_pdu + 3, request->quantity);
        return 5;
}

size_t modbus_response_build_exception(uint8_t function, ModbusResult result, uint8_t *ret_pdu) {
        ret_pdu[0] = function | MODBUS_ERROR_BIT;
        ret_pdu[1] = modbus_result_to_code(result);
        return 2;
}

ModbusExpect modbus_expect(uint8_t unit, const uint8_t *pdu, size_t size) {
        ModbusExpect e = { .unit = unit };

        memcpy(e.head, pdu, MIN(size, sizeof(e.head)));
        return e;
}

static int parse_read_response(const ModbusExpect *expect, const uint8_t *pdu, size_t size,
                               ModbusResponse *ret) {
        bool bits = pdu[0] == MODBUS_READ_COILS || pdu[0] == MODBUS_READ_DISCRETE_INPUTS;
        size_t quantity = get_be16(expect->head + 3);
        size_t least = bits ? (quantity + 7) / 8 : 2 * quantity;

        if (size < 2 || size != 2U + pdu[1])
                return -EBADMSG;
        if (quantity == 0 || pdu[1] < least || (!bits && pdu[1] % 2 != 0)) /* 0: 65536 were meant */
                return -EBADMSG;

        *ret = (ModbusResponse) { .data = pdu + 2, .size = pdu[1] };
        return 0;
}

bool modbus_function_is_echoed(uint8_t function) {
        return function == MODBUS_WRITE_COIL || function == MODBUS_WRITE_REGISTER || function == MODBUS_MASK_WRITE;
}

/* The echo of a write: its first n bytes are the request's. */
static int parse_echo(const ModbusExpect *expect, const uint8_t *pdu, size_t size, size_t n,
                      ModbusResponse *ret) {
        if (size != n || memcmp(pdu, expect->head, n) != 0)
                return -EBADMSG;

        *ret = (ModbusResponse) {};
        return 0;
}

static int parse_fifo_response(const uint8_t *pdu, size_t size, ModbusResponse *ret) {
        size_t count;

        if (size < 5)
                return -EBADMSG;
        count = get_be16(pdu + 3);
        if (count > MODBUS_FIFO_MAX || get_be16(pdu + 1) != 2 + 2 * count || size != 5 + 2 * count)
                return -EBADMSG;

        *ret = (ModbusResponse) { .data = pdu + 5, .size = 2 * count };
        return 0;
}

int modbus_response_parse(const ModbusExpect *expect, const uint8_t *pdu, size_t size, ModbusResponse *ret) {
        if (size < 1 || (pdu[0] & ~MODBUS_ERROR_BIT) != expect->head[0])
                return -EBADMSG;

        if (pdu[0] & MODBUS_ERROR_BIT) {
                if (size != 2)
                        return -EBADMSG;
                *ret = (ModbusResponse) { .result = modbus_result_from_code(pdu[1]), .exception = pdu[1] };
                return 0;
        }

        switch (pdu[0]) {
        case MODBUS_READ_COILS:
        case MODBUS_READ_DISCRETE_INPUTS:
        case MODBUS_READ_HOLDING_REGISTERS:
        case MODBUS_READ_INPUT_REGISTERS:
                return parse_read_response(expect, pdu, size, ret);
        case MODBUS_MASK_WRITE:
                return parse_echo(expect, pdu, size, 7, ret);
        case MODBUS_READ_FIFO:
                return parse_fifo_response(pdu, size, ret);
        case MODBUS_READ_IDENTIFICATION:
                if (size < 2 || pdu[1] != MODBUS_MEI_IDENTIFICATION)
                        return -EBADMSG;
                *ret = (ModbusResponse) { .data = pdu + 2, .size = size - 2 };
                return 0;
        default:
                return parse_echo(expect, pdu, size, 5, ret);
        }
}
