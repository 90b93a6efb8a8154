/* SPDX-License-Identifier: Apache-2.0 */
/* Modbus on the wire, for both roles: protocol data units (spec modbus.md 3.1) and framings (3.2), each
 * framing one table of functions. Pure functions over bytes; any thread. Numbers in structs are in host
 * order. */
#pragma once

#include <errno.h>

#include "base/macros.h"
#include "base/time.h"

/* ---- words ------------------------------------------------------------------------------------------- */

typedef enum ModbusFunction {
        MODBUS_READ_COILS = 0x01,
        MODBUS_READ_DISCRETE_INPUTS = 0x02,
        MODBUS_READ_HOLDING_REGISTERS = 0x03,
        MODBUS_READ_INPUT_REGISTERS = 0x04,
        MODBUS_WRITE_COIL = 0x05,
        MODBUS_WRITE_REGISTER = 0x06,
        MODBUS_WRITE_COILS = 0x0f,
        MODBUS_WRITE_REGISTERS = 0x10,
        MODBUS_MASK_WRITE = 0x16,
        MODBUS_READ_FIFO = 0x18,
        MODBUS_READ_IDENTIFICATION = 0x2b, /* not in spec 3.1: of masters that scan; modbus-identity.h */
} ModbusFunction;
/* What 2b carries: MODBUS Application Protocol 6.21. */
#define MODBUS_MEI_IDENTIFICATION 0x0e
#define MODBUS_ERROR_BIT 0x80

/* Names as in events and configuration. */
typedef enum ModbusDataType {
        MODBUS_COIL,
        MODBUS_DISCRETE_INPUT,
        MODBUS_HOLDING_REGISTER,
        MODBUS_INPUT_REGISTER,
        MODBUS_QUEUE,
        _MODBUS_DATA_TYPE_MAX,
        _MODBUS_DATA_TYPE_INVALID = -EINVAL,
} ModbusDataType;
DECLARE_STRING_TABLE(modbus_data_type, ModbusDataType);
extern const char *const modbus_data_type_names[]; /* NULL-terminated, for a ConfField */

static inline bool modbus_data_type_is_bit(ModbusDataType t) {
        return t == MODBUS_COIL || t == MODBUS_DISCRETE_INPUT;
}
/* Bits of one register of it: 1 or 16. */
static inline unsigned modbus_data_type_width(ModbusDataType t) {
        return modbus_data_type_is_bit(t) ? 1 : 16;
}

/* How a request ended: `result` of events, in the order of spec 3.1; behind TIMEOUT, why a write was not sent. */
typedef enum ModbusResult {
        MODBUS_SUCCESS,
        MODBUS_INVALID_FUNCTION_CODE,
        MODBUS_INVALID_DATA_ADDRESS,
        MODBUS_INVALID_DATA_VALUE,
        MODBUS_FUNCTION_ERROR,
        MODBUS_GATEWAY_PATH_UNAVAILABLE,
        MODBUS_GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND,
        MODBUS_TIMEOUT, /* from here on: never on the wire */
        MODBUS_NOT_CONNECTED,
        MODBUS_UNKNOWN_DATA,
        MODBUS_NOT_WRITABLE,
        MODBUS_INVALID_VALUE,
        MODBUS_BUSY,
        _MODBUS_RESULT_MAX,
        _MODBUS_RESULT_INVALID = -EINVAL,
} ModbusResult;
DECLARE_STRING_TABLE(modbus_result, ModbusResult);
/* Exception code of a result: 1 to 4, 0x0a, 0x0b; and back (any other code is MODBUS_FUNCTION_ERROR, D3). */
uint8_t modbus_result_to_code(ModbusResult result);
ModbusResult modbus_result_from_code(uint8_t code);

/* A gateway that says that there is nobody is not somebody. */
static inline bool modbus_result_is_of_unit(ModbusResult result) {
        return result != MODBUS_GATEWAY_PATH_UNAVAILABLE && result != MODBUS_GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND;
}

/* Most of one request. */
#define MODBUS_READ_BITS_MAX 2000U
#define MODBUS_READ_REGISTERS_MAX 125U
#define MODBUS_WRITE_BITS_MAX 1968U
#define MODBUS_WRITE_REGISTERS_MAX 123U
#define MODBUS_FIFO_MAX 31U
/* Most requests under way at a time on one connection. */
#define MODBUS_OUTSTANDING_MAX 16U

/* Longest PDU that any framing can carry (RTU: 3 bytes more than the standard's 253, a byte count of
 * 255), and longest frame (ASCII). */
#define MODBUS_PDU_MAX 257U
#define MODBUS_FRAME_MAX (1U + 2U * (1U + MODBUS_PDU_MAX + 1U) + 2U)
/* Longest frame of a read request (ASCII). */
#define MODBUS_READ_FRAME_MAX 17U

/* ---- PDUs -------------------------------------------------------------------------------------------- */

/* A request, taken apart. Unused members are 0. */
typedef struct ModbusPdu {
        uint8_t function;
        uint16_t address;       /* 2b: the first object that is wanted */
        uint16_t quantity;      /* bits or registers; 1 for 05, 06 and 16; 0 for 18 and 2b */
        uint16_t value;         /* 05: 0xff00 or 0; 06: the register; 16: the or mask */
        uint16_t and_mask;      /* 16 */
        const uint8_t *data;    /* 0f: bits, first one in bit 0; 10: registers, big-endian. Borrowed */
        size_t data_size;       /* of data: ceil(quantity / 8) or 2 * quantity */
} ModbusPdu;

/* What a read of this data type uses; QUEUE: 18. */
ModbusFunction modbus_read_function(ModbusDataType t);
/* Which table a function of 3.1 addresses. _MODBUS_DATA_TYPE_INVALID: not a function of 3.1. */
ModbusDataType modbus_function_data_type(uint8_t function);
/* Whether the answer to such a request repeats it whole, so that one cannot be told from the other. */
bool modbus_function_is_echoed(uint8_t function);

/* Writes the PDU of a request (at most MODBUS_PDU_MAX); returns its size. quantity and data are the
 * caller's care. */
size_t modbus_request_build(const ModbusPdu *request, uint8_t *ret_pdu);
/* Takes a received request apart. MODBUS_SUCCESS, or the exception that answers it (6.6, without the
 * checks of unit and addresses): INVALID_FUNCTION_CODE: not in 3.1; INVALID_DATA_VALUE: quantity 0 or
 * above the limit, byte count or size not matching, 05 with another value. An address + quantity beyond
 * 65536 is no matter of this function. ret->function is always set (size >= 1). */
ModbusResult modbus_request_parse(const uint8_t *pdu, size_t size, ModbusPdu *ret);

/* The PDU of an answer; each returns its size. Data of a read may already stand at ret_pdu +
 * MODBUS_READ_DATA (2). */
#define MODBUS_READ_DATA 2U
size_t modbus_response_build_read(uint8_t function, const uint8_t *data, uint8_t size, uint8_t *ret_pdu);
size_t modbus_response_build_write(const ModbusPdu *request, uint8_t *ret_pdu); /* 05, 06, 0f, 10, 16 */
size_t modbus_response_build_exception(uint8_t function, ModbusResult result, uint8_t *ret_pdu);

/* An accepted answer. */
typedef struct ModbusResponse {
        ModbusResult result;    /* MODBUS_SUCCESS or an exception's */
        const uint8_t *data;    /* reads: packed bits or registers, at least what was asked for; 2b: what follows the
                                 * MEI type; borrowed */
        size_t size;            /* of data; 18: 2 * count, may be 0 */
        uint8_t exception;      /* code of an exception, as it came */
} ModbusResponse;

/* What identifies and checks an answer, kept by who waits for it. */
typedef struct ModbusExpect {
        uint16_t transaction;   /* TCP framing */
        uint8_t unit;
        uint8_t head[7];        /* of the request's PDU: as much as an echo repeats */
} ModbusExpect;
ModbusExpect modbus_expect(uint8_t unit, const uint8_t *pdu, size_t size);

/* -EBADMSG: not a valid answer to this request (4.3: to be ignored). */
int modbus_response_parse(const ModbusExpect *expect, const uint8_t *pdu, size_t size, ModbusResponse *ret);

/* ---- framings ---------------------------------------------------------------------------------------- */

/* Names as in configuration. */
typedef enum ModbusFramingKind {
        MODBUS_FRAMING_TCP,
        MODBUS_FRAMING_RTU,
        MODBUS_FRAMING_ASCII,
        _MODBUS_FRAMING_MAX,
        _MODBUS_FRAMING_INVALID = -EINVAL,
} ModbusFramingKind;
DECLARE_STRING_TABLE(modbus_framing, ModbusFramingKind);
extern const char *const modbus_framing_names[]; /* NULL-terminated, for a ConfField */

typedef struct ModbusFrame {
        uint16_t transaction;   /* TCP framing, else 0 */
        uint8_t unit;
        const uint8_t *pdu;     /* at least one byte; into the searched bytes, or into scratch */
        size_t pdu_size;
        size_t offset, size;    /* where the whole frame lies in the searched bytes: for the tap */
} ModbusFrame;

/* Set of unit ids. */
typedef struct ModbusUnits {
        uint64_t bits[4];
} ModbusUnits;
static inline void modbus_units_add(ModbusUnits *u, uint8_t unit) {
        u->bits[unit / 64] |= UINT64_C(1) << unit % 64;
}
static inline bool modbus_units_has(const ModbusUnits *u, uint8_t unit) {
        return u->bits[unit / 64] >> unit % 64 & 1;
}

/* Outcome of a search in what was received so far. */
typedef struct ModbusSearch {
        size_t consumed;        /* bytes at the front that are done with, also when no frame was found */
        unsigned dropped;       /* frames or bytes that were of no use: errors for the tap … */
        unsigned bad_checksums; /* … among them whole frames with a wrong CRC (of the expected unit) or LRC */
        ModbusFrame frame;      /* when one was found; borrows from data or scratch … */
        size_t expected;        /* … and which of the expected answers it is */
} ModbusSearch;

/* One framing. All searches: 1: a frame was found, call again behind consumed for the next; 0: none yet,
 * keep what is not consumed and call again with more behind it; -EBADMSG: the stream cannot be trusted
 * any more, close it. scratch: MODBUS_PDU_MAX bytes of the caller. */
typedef struct ModbusFraming {
        ModbusFramingKind kind;
        bool transactions;      /* has ids, so that a late answer cannot be taken for another one */
        size_t pdu_offset;      /* where the PDU stands in a frame while it is built */

        /* The PDU stands at frame + pdu_offset: puts the rest around it, in place. frame:
         * MODBUS_FRAME_MAX bytes. Returns the frame's size. */
        size_t (*wrap)(uint8_t *frame, uint16_t transaction, uint8_t unit, size_t pdu_size);
        /* Gives a finished frame another transaction id; does nothing without `transactions`. */
        void (*restamp)(uint8_t *frame, uint16_t transaction);
        /* The bytes are one frame, of either side. -EMSGSIZE: not one whole frame; -EBADMSG: one with a
         * wrong checksum (ret is set). scratch: MODBUS_PDU_MAX bytes of the caller. */
        int (*unwrap)(const uint8_t *data, size_t size, uint8_t *scratch, ModbusFrame *ret);
        /* Master: the bytes begin an answer to one of the last few hundred transactions, and more of it is to
         * come. NULL without `transactions`. */
        bool (*unfinished)(uint16_t newest, const uint8_t *data, size_t size);
        /* Master, 4.3: the next frame that carries the ids and function of one of n expected answers; its PDU
         * may still be no valid answer. n other than 1: only with `transactions`. */
        int (*find_response)(const ModbusExpect *expects, size_t n, const uint8_t *data, size_t size,
                             uint8_t *scratch, ModbusSearch *ret);
        /* Slave, 6.6: the next decodable frame, for whatever unit. units: the configured ones (RTU uses
         * them). paused: nothing has come for modbus_framing_pause(): what is incomplete at the front is
         * not waited for any longer. */
        int (*find_request)(const ModbusUnits *units, bool paused, const uint8_t *data, size_t size,
                            uint8_t *scratch, ModbusSearch *ret);
} ModbusFraming;

const ModbusFraming *modbus_framing_get(ModbusFramingKind kind);
/* How long an incomplete request stays waited for: RTU 1 s over TCP, max(3.5 characters, 20 ms) on a line
 * of char_usec microseconds a character (0: TCP transport); USEC_INFINITY: as long as it takes (TCP and
 * ASCII framing). */
usec_t modbus_framing_pause(ModbusFramingKind kind, usec_t char_usec);
