/* SPDX-License-Identifier: Apache-2.0 */
/* The framings: one table of functions each (spec modbus.md 3.2, 4.3, 6.6). Pure functions; any thread. */

#include <assert.h>

#include "devices/modbus/modbus-bytes.h"
#include "devices/modbus/modbus-codec.h"

const char *const modbus_framing_names[] = {
        [MODBUS_FRAMING_TCP] = "TCP",
        [MODBUS_FRAMING_RTU] = "RTU",
        [MODBUS_FRAMING_ASCII] = "ASCII",
        [_MODBUS_FRAMING_MAX] = NULL,
};
DEFINE_STRING_TABLE(modbus_framing, ModbusFramingKind, modbus_framing_names);

/* ---- TCP --------------------------------------------------------------------------------------------- */

enum {
        MBAP_SIZE = 6,          /* before what the length counts */
        MBAP_PDU = 7,
        MBAP_LENGTH_MIN = 2,    /* unit and function */
        MBAP_LENGTH_MAX = 254,
        MBAP_LATE_MAX = 256,    /* how many transactions late: as many as the upper byte alone can tell */
};

static size_t tcp_wrap(uint8_t *frame, uint16_t transaction, uint8_t unit, size_t pdu_size) {
        put_be16(frame, transaction);
        put_be16(frame + 2, 0);
        put_be16(frame + 4, (uint16_t) (pdu_size + 1));
        frame[6] = unit;
        return MBAP_PDU + pdu_size;
}

static void tcp_restamp(uint8_t *frame, uint16_t transaction) {
        put_be16(frame, transaction);
}

/* The next whole frame at or behind ret->consumed, which moves behind it. */
static int tcp_next(const uint8_t *data, size_t size, bool *ret_foreign, ModbusSearch *ret) {
        const uint8_t *p = data + ret->consumed;
        size_t n = size - ret->consumed, length;

        if (n < MBAP_SIZE)
                return 0;

        length = get_be16(p + 4);
        if (length < MBAP_LENGTH_MIN || length > MBAP_LENGTH_MAX)
                return -EBADMSG;
        *ret_foreign = get_be16(p + 2) != 0;
        if (n < MBAP_SIZE + length)
                return 0;

        ret->frame = (ModbusFrame) {
                .transaction = get_be16(p),
                .unit = p[6],
                .pdu = p + MBAP_PDU,
                .pdu_size = length - 1,
                .offset = ret->consumed,
                .size = MBAP_SIZE + length,
        };
        ret->consumed += MBAP_SIZE + length;
        return 1;
}

static int tcp_unwrap(const uint8_t *data, size_t size, uint8_t *scratch, ModbusFrame *ret) {
        ModbusSearch s = {};
        bool foreign = false;

        if (tcp_next(data, size, &foreign, &s) <= 0 || foreign || s.consumed != size)
                return -EMSGSIZE;
        *ret = s.frame;
        return 0;
}

static bool tcp_unfinished(uint16_t newest, const uint8_t *data, size_t size) {
        uint8_t lower = size > 1 ? data[1] : (uint8_t) newest;
        size_t length;

        if (size == 0 || (uint16_t) (newest - (data[0] << 8 | lower)) > MBAP_LATE_MAX)
                return false;
        for (size_t i = 2; i < MIN(size, 5U); i++) /* the protocol id, and the upper half of the length */
                if (data[i] != 0)
                        return false;
        if (size < MBAP_SIZE)
                return true;
        length = data[5];
        return length >= MBAP_LENGTH_MIN && length <= MBAP_LENGTH_MAX && size < MBAP_SIZE + length;
}

static bool tcp_is_expected(const ModbusFrame *frame, const ModbusExpect *expect) {
        return frame->transaction == expect->transaction && frame->unit == expect->unit &&
               (frame->pdu[0] & ~MODBUS_ERROR_BIT) == expect->head[0];
}

static int tcp_find_response(const ModbusExpect *expects, size_t n, const uint8_t *data, size_t size,
                             uint8_t *scratch, ModbusSearch *ret) {
        ModbusSearch s = {};
        bool foreign = false;
        int r;

        while ((r = tcp_next(data, size, &foreign, &s)) > 0 && !foreign) {
                for (s.expected = 0; s.expected < n; s.expected++)
                        if (tcp_is_expected(&s.frame, &expects[s.expected])) {
                                *ret = s;
                                return 1;
                        }
                s.dropped++;
        }

        *ret = s;
        return foreign ? -EBADMSG : r;
}

static int tcp_find_request(const ModbusUnits *units, bool paused, const uint8_t *data, size_t size,
                            uint8_t *scratch, ModbusSearch *ret) {
        ModbusSearch s = {};
        bool foreign = false;
        int r;

        while ((r = tcp_next(data, size, &foreign, &s)) > 0) {
                if (!foreign)
                        break;
                s.dropped++;
        }

        *ret = s;
        return r;
}

/* ---- RTU --------------------------------------------------------------------------------------------- */

enum {
        RTU_PDU = 1,
        RTU_CRC_SIZE = 2,
};

static uint16_t rtu_crc(const uint8_t *data, size_t size) {
        static const uint16_t nibbles[] = {
                0x0000, 0xcc01, 0xd801, 0x1400, 0xf001, 0x3c00, 0x2800, 0xe401,
                0xa001, 0x6c00, 0x7800, 0xb401, 0x5000, 0x9c01, 0x8801, 0x4400,
        };
        uint16_t crc = 0xffff;

        for (size_t i = 0; i < size; i++) {
                crc ^= data[i];
                crc = (uint16_t) (crc >> 4 ^ nibbles[crc & 0xf]);
                crc = (uint16_t) (crc >> 4 ^ nibbles[crc & 0xf]);
        }
        return crc;
}

static bool rtu_crc_right(const uint8_t *frame, size_t size) {
        uint16_t crc = rtu_crc(frame, size - RTU_CRC_SIZE);

        return frame[size - 2] == (crc & 0xff) && frame[size - 1] == crc >> 8;
}

static size_t rtu_wrap(uint8_t *frame, uint16_t transaction, uint8_t unit, size_t pdu_size) {
        size_t size = RTU_PDU + pdu_size;
        uint16_t crc;

        frame[0] = unit;
        crc = rtu_crc(frame, size);
        frame[size] = (uint8_t) (crc & 0xff);
        frame[size + 1] = (uint8_t) (crc >> 8);
        return size + RTU_CRC_SIZE;
}

static void rtu_restamp(uint8_t *frame, uint16_t transaction) {
}

static int rtu_unwrap(const uint8_t *data, size_t size, uint8_t *scratch, ModbusFrame *ret) {
        if (size < RTU_PDU + 1 + RTU_CRC_SIZE || size > RTU_PDU + MODBUS_PDU_MAX + RTU_CRC_SIZE)
                return -EMSGSIZE;
        *ret = (ModbusFrame) {
                .unit = data[0],
                .pdu = data + RTU_PDU,
                .pdu_size = size - RTU_PDU - RTU_CRC_SIZE,
                .size = size,
        };
        return rtu_crc_right(data, size) ? 0 : -EBADMSG;
}

static void rtu_found(const uint8_t *data, size_t at, size_t length, ModbusSearch *ret) {
        ret->dropped += (unsigned) (at - ret->consumed);
        ret->consumed = at + length;
        ret->frame = (ModbusFrame) {
                .unit = data[at],
                .pdu = data + at + RTU_PDU,
                .pdu_size = length - RTU_PDU - RTU_CRC_SIZE,
                .offset = at,
                .size = length,
        };
}

/* 2b: its objects say how long it is. As rtu_response_length(). */
static int rtu_identification_length(const uint8_t *p, size_t n, size_t *ret_length) {
        size_t end = 8; /* unit, function, MEI type, code, conformity, more follows, next object, how many */

        if (n >= 3 && p[2] != MODBUS_MEI_IDENTIFICATION)
                return -EBADMSG;
        if (n < end)
                return 0;

        for (unsigned i = 0; i < p[7]; i++) {
                if (end + 2 > RTU_PDU + MODBUS_PDU_MAX)
                        return -EBADMSG;
                if (n < end + 2)
                        return 0;
                end += 2U + p[end + 1];
        }
        if (end > RTU_PDU + MODBUS_PDU_MAX)
                return -EBADMSG;
        *ret_length = end + RTU_CRC_SIZE;
        return 1;
}

/* How long the expected answer is if it begins here. 1: ret_length is known, 0: it takes more bytes to
 * say, -EBADMSG: it does not begin here. */
static int rtu_response_length(const ModbusExpect *expect, const uint8_t *p, size_t n, size_t *ret_length) {
        uint8_t function = expect->head[0];
        size_t count;

        if (p[0] != expect->unit)
                return -EBADMSG;
        if (n < 2)
                return 0;
        if (p[1] == (function | MODBUS_ERROR_BIT)) {
                *ret_length = 5;
                return 1;
        }
        if (p[1] != function)
                return -EBADMSG;

        switch (function) {
        case MODBUS_READ_COILS:
        case MODBUS_READ_DISCRETE_INPUTS:
        case MODBUS_READ_HOLDING_REGISTERS:
        case MODBUS_READ_INPUT_REGISTERS:
                if (n < 3)
                        return 0;
                *ret_length = 5U + p[2];
                return 1;
        case MODBUS_READ_FIFO:
                if (n < 4)
                        return 0;
                count = get_be16(p + 2);
                if (count > 2 + 2 * MODBUS_FIFO_MAX)
                        return -EBADMSG;
                *ret_length = 6 + count;
                return 1;
        case MODBUS_READ_IDENTIFICATION:
                return rtu_identification_length(p, n, ret_length);
        case MODBUS_MASK_WRITE:
                *ret_length = 10;
                return 1;
        default:
                *ret_length = 8;
                return 1;
        }
}

static int rtu_find_response(const ModbusExpect *expect, size_t n, const uint8_t *data, size_t size,
                             uint8_t *scratch, ModbusSearch *ret) {
        ModbusSearch s = {};
        size_t at, length = 0;

        for (at = 0; at < size; at++) {
                int r = rtu_response_length(expect, data + at, size - at, &length);

                if (r < 0)
                        continue;
                if (r == 0 || size - at < length)
                        break;
                if (rtu_crc_right(data + at, length)) {
                        rtu_found(data, at, length, &s);
                        *ret = s;
                        return 1;
                }
                s.bad_checksums++;
        }

        s.consumed = at;
        s.dropped = (unsigned) at;
        *ret = s;
        return 0;
}

/* As rtu_response_length(), of a request for any unit. */
static int rtu_request_length(const uint8_t *p, size_t n, size_t *ret_length) {
        if (n < 2)
                return 0;

        switch (p[1]) {
        case MODBUS_READ_COILS:
        case MODBUS_READ_DISCRETE_INPUTS:
        case MODBUS_READ_HOLDING_REGISTERS:
        case MODBUS_READ_INPUT_REGISTERS:
        case MODBUS_WRITE_COIL:
        case MODBUS_WRITE_REGISTER:
                *ret_length = 8;
                return 1;
        case MODBUS_WRITE_COILS:
        case MODBUS_WRITE_REGISTERS:
                if (n < 7)
                        return 0;
                *ret_length = 9U + p[6];
                return 1;
        case MODBUS_MASK_WRITE:
                *ret_length = 10;
                return 1;
        case MODBUS_READ_FIFO:
                *ret_length = 6;
                return 1;
        default:
                return -EBADMSG;
        }
}

/* A request for one of our units that begins behind `from` and ends with the input. */
static bool rtu_find_later(const ModbusUnits *units, const uint8_t *data, size_t size, size_t from,
                           ModbusSearch *ret) {
        size_t length;

        for (size_t at = from + 1; at + 4 <= size; at++)
                if (modbus_units_has(units, data[at]) &&
                    rtu_request_length(data + at, size - at, &length) > 0 && length == size - at &&
                    rtu_crc_right(data + at, length)) {
                        rtu_found(data, at, length, ret);
                        return true;
                }
        return false;
}

static int rtu_find_request(const ModbusUnits *units, bool paused, const uint8_t *data, size_t size,
                            uint8_t *scratch, ModbusSearch *ret) {
        ModbusSearch s = {};
        size_t at, length = 0;

        for (at = 0; at < size; at++) {
                int r = rtu_request_length(data + at, size - at, &length);

                if (r < 0)
                        continue;
                if (r > 0 && size - at >= length) {
                        if (!rtu_crc_right(data + at, length)) {
                                s.bad_checksums += modbus_units_has(units, data[at]);
                                continue;
                        }
                        rtu_found(data, at, length, &s);
                        *ret = s;
                        return 1;
                }
                if (rtu_find_later(units, data, size, at, &s)) {
                        *ret = s;
                        return 1;
                }
                if (!paused)
                        break;
        }

        s.consumed = at;
        s.dropped = (unsigned) at;
        *ret = s;
        return 0;
}

/* ---- ASCII ------------------------------------------------------------------------------------------- */

enum {
        ASCII_PDU = 1,          /* where it is built: small enough to spread the digits from the end */
        ASCII_FIRST_DIGIT = 1,  /* of the unit */
        ASCII_DIGITS_MIN = 6,   /* unit, function, LRC */
        ASCII_DIGITS_MAX = 2 * (1 + MODBUS_PDU_MAX + 1),
};

static void put_digits(uint8_t *to, uint8_t byte) {
        static const char digits[] = "0123456789ABCDEF";

        to[0] = (uint8_t) digits[byte >> 4];
        to[1] = (uint8_t) digits[byte & 0xf];
}

static size_t ascii_wrap(uint8_t *frame, uint16_t transaction, uint8_t unit, size_t pdu_size) {
        size_t lrc_at = ASCII_FIRST_DIGIT + 2 * (1 + pdu_size);
        uint8_t sum = unit;

        for (size_t i = 0; i < pdu_size; i++)
                sum = (uint8_t) (sum + frame[ASCII_PDU + i]);
        for (size_t i = pdu_size; i-- > 0;)
                put_digits(frame + ASCII_FIRST_DIGIT + 2 * (1 + i), frame[ASCII_PDU + i]);

        frame[0] = ':';
        put_digits(frame + ASCII_FIRST_DIGIT, unit);
        put_digits(frame + lrc_at, (uint8_t) -sum);
        frame[lrc_at + 2] = '\r';
        frame[lrc_at + 3] = '\n';
        return lrc_at + 4;
}

static void ascii_restamp(uint8_t *frame, uint16_t transaction) {
}

/* Digits behind the colon up to what is none. */
static size_t ascii_count_digits(const uint8_t *p, size_t n) {
        size_t i = 0;

        while (i < MIN(n, (size_t) ASCII_DIGITS_MAX + 1) && g_ascii_isxdigit(p[i]))
                i++;
        return i;
}

/* Decodes an even number of digits: unit, PDU, LRC. */
static bool ascii_decode(const uint8_t *digits, size_t n, uint8_t *scratch, ModbusFrame *ret) {
        size_t n_bytes = n / 2, pdu_size = n_bytes - 2;
        uint8_t sum = 0;

        for (size_t i = 0; i < n_bytes; i++) {
                uint8_t byte = (uint8_t) (g_ascii_xdigit_value((char) digits[2 * i]) << 4 |
                                          g_ascii_xdigit_value((char) digits[2 * i + 1]));

                sum = (uint8_t) (sum + byte);
                if (i == 0)
                        ret->unit = byte;
                else if (i <= pdu_size)
                        scratch[i - 1] = byte;
        }
        ret->transaction = 0;
        ret->pdu = scratch;
        ret->pdu_size = pdu_size;
        return sum == 0;
}

/* The frame that a colon begins. 1: it is whole and right, 0: it is not whole yet, -EBADMSG: it is none. */
static int ascii_frame(const uint8_t *p, size_t n, uint8_t *scratch, ModbusSearch *ret) {
        size_t digits = ascii_count_digits(p + 1, n - 1), end = 1 + digits;

        if (digits > ASCII_DIGITS_MAX)
                return -EBADMSG;
        if (end == n)
                return 0;
        if (p[end] != '\r' || digits < ASCII_DIGITS_MIN || digits % 2 != 0)
                return -EBADMSG;
        if (end + 1 == n)
                return 0;
        if (p[end + 1] != '\n')
                return -EBADMSG;
        if (!ascii_decode(p + 1, digits, scratch, &ret->frame)) {
                ret->bad_checksums++;
                return -EBADMSG;
        }
        ret->frame.size = end + 2;
        return 1;
}

static int ascii_unwrap(const uint8_t *data, size_t size, uint8_t *scratch, ModbusFrame *ret) {
        size_t digits;

        if (size < 1 || data[0] != ':')
                return -EMSGSIZE;
        digits = ascii_count_digits(data + 1, size - 1);
        if (digits < ASCII_DIGITS_MIN || digits > ASCII_DIGITS_MAX || digits % 2 != 0 || size != digits + 3 ||
            memcmp(data + digits + 1, "\r\n", 2) != 0)
                return -EMSGSIZE;
        *ret = (ModbusFrame) { .size = size };
        return ascii_decode(data + 1, digits, scratch, ret) ? 0 : -EBADMSG;
}

/* The next right frame at or behind ret->consumed, which moves behind it, or to the colon of one that is not
 * whole. */
static int ascii_next(const uint8_t *data, size_t size, uint8_t *scratch, ModbusSearch *ret) {
        for (;;) {
                const uint8_t *p = data + ret->consumed, *colon;
                int r;

                colon = ret->consumed < size ? memchr(p, ':', size - ret->consumed) : NULL;
                if (colon != p && ret->consumed < size)
                        ret->dropped++;
                if (!colon) {
                        ret->consumed = size;
                        return 0;
                }

                ret->consumed = (size_t) (colon - data);
                r = ascii_frame(colon, size - ret->consumed, scratch, ret);
                if (r == 0)
                        return 0;
                if (r > 0) {
                        ret->frame.offset = ret->consumed;
                        ret->consumed += ret->frame.size;
                        return 1;
                }
                ret->consumed++; /* the rest of it is dropped as what is before a colon */
        }
}

static int ascii_find_response(const ModbusExpect *expect, size_t n, const uint8_t *data, size_t size,
                               uint8_t *scratch, ModbusSearch *ret) {
        ModbusSearch s = {};
        int r;

        while ((r = ascii_next(data, size, scratch, &s)) > 0) {
                if (s.frame.unit == expect->unit && (s.frame.pdu[0] & ~MODBUS_ERROR_BIT) == expect->head[0])
                        break;
                s.dropped++;
        }

        *ret = s;
        return r;
}

static int ascii_find_request(const ModbusUnits *units, bool paused, const uint8_t *data, size_t size,
                              uint8_t *scratch, ModbusSearch *ret) {
        ModbusSearch s = {};
        int r;

        r = ascii_next(data, size, scratch, &s);
        *ret = s;
        return r;
}

/* ---- the table --------------------------------------------------------------------------------------- */

static const ModbusFraming framings[] = {
        [MODBUS_FRAMING_TCP] = {
                .kind = MODBUS_FRAMING_TCP,
                .transactions = true,
                .pdu_offset = MBAP_PDU,
                .wrap = tcp_wrap,
                .restamp = tcp_restamp,
                .unwrap = tcp_unwrap,
                .unfinished = tcp_unfinished,
                .find_response = tcp_find_response,
                .find_request = tcp_find_request,
        },
        [MODBUS_FRAMING_RTU] = {
                .kind = MODBUS_FRAMING_RTU,
                .pdu_offset = RTU_PDU,
                .wrap = rtu_wrap,
                .restamp = rtu_restamp,
                .unwrap = rtu_unwrap,
                .find_response = rtu_find_response,
                .find_request = rtu_find_request,
        },
        [MODBUS_FRAMING_ASCII] = {
                .kind = MODBUS_FRAMING_ASCII,
                .pdu_offset = ASCII_PDU,
                .wrap = ascii_wrap,
                .restamp = ascii_restamp,
                .unwrap = ascii_unwrap,
                .find_response = ascii_find_response,
                .find_request = ascii_find_request,
        },
};

const ModbusFraming *modbus_framing_get(ModbusFramingKind kind) {
        assert((size_t) kind < ELEMENTSOF(framings));
        return &framings[(size_t) kind];
}

usec_t modbus_framing_pause(ModbusFramingKind kind, usec_t char_usec) {
        if (kind != MODBUS_FRAMING_RTU)
                return USEC_INFINITY;
        if (char_usec == 0)
                return USEC_PER_SEC;
        return MAX(char_usec * 7 / 2, 20 * USEC_PER_MSEC);
}
