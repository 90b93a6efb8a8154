/* SPDX-License-Identifier: Apache-2.0 */
/* Golden vectors of what bits mean, of every type and order: right both ways, for a master and for a slave. */
#pragma once

#include <math.h>

#include "devices/modbus/modbus-conf.h"

#define B MODBUS_ORDER_BIG
#define L MODBUS_ORDER_LITTLE

static inline ModbusValueConf conf_of(int type, int word_order, int byte_order) {
        return (ModbusValueConf) { .given = true, .type = type, .word_order = word_order, .byte_order = byte_order,
                                   .scale = 1, .min = NAN, .max = NAN };
}

typedef struct ValueVector {
        int type, word_order, byte_order;
        size_t n_bits;
        const char *hex, *text;
} ValueVector;

static const ValueVector value_vectors[] = {
        { MODBUS_VALUE_BOOL, B, B, 1, "80", "true" },
        { MODBUS_VALUE_BOOL, B, B, 1, "00", "false" },
        { MODBUS_VALUE_BOOL, B, B, 16, "0001", "true" },
        { MODBUS_VALUE_BOOL, B, L, 16, "0100", "true" },
        { MODBUS_VALUE_BOOL, B, B, 32, "00000001", "true" },
        { MODBUS_VALUE_BOOL, L, B, 32, "00010000", "true" },
        { MODBUS_VALUE_BOOL, B, L, 32, "00000100", "true" },
        { MODBUS_VALUE_BOOL, L, L, 32, "01000000", "true" },
        { MODBUS_VALUE_BOOL, L, L, 32, "00000000", "false" },
        { MODBUS_VALUE_UINT, B, B, 8, "ff", "255" },
        { MODBUS_VALUE_UINT, B, B, 16, "fffe", "65534" },
        { MODBUS_VALUE_UINT, B, L, 16, "feff", "65534" },
        { MODBUS_VALUE_UINT, B, B, 32, "12345678", "305419896" },
        { MODBUS_VALUE_UINT, L, B, 32, "56781234", "305419896" },
        { MODBUS_VALUE_UINT, B, L, 32, "34127856", "305419896" },
        { MODBUS_VALUE_UINT, L, L, 32, "78563412", "305419896" },
        { MODBUS_VALUE_UINT, L, B, 48, "9abc56781234", "20015998343868" },
        { MODBUS_VALUE_UINT, B, B, 24, "010203", "66051" },
        { MODBUS_VALUE_UINT, B, B, 40, "0102030405", "4328719365" },
        { MODBUS_VALUE_UINT, B, B, 56, "01020304050607", "283686952306183" },
        { MODBUS_VALUE_UINT, B, B, 64, "ffffffffffffffff", "18446744073709551615" },
        { MODBUS_VALUE_UINT, L, L, 64, "0807060504030201", "72623859790382856" },
        { MODBUS_VALUE_UINT, L, B, 64, "0708050603040102", "72623859790382856" },
        { MODBUS_VALUE_UINT, B, L, 64, "0201040306050807", "72623859790382856" },
        { MODBUS_VALUE_INT, B, B, 8, "80", "-128" },
        { MODBUS_VALUE_INT, B, B, 8, "7f", "127" },
        { MODBUS_VALUE_INT, B, B, 16, "ffff", "-1" },
        { MODBUS_VALUE_INT, B, L, 16, "0080", "-32768" },
        { MODBUS_VALUE_INT, B, B, 32, "fffffffe", "-2" },
        { MODBUS_VALUE_INT, L, B, 32, "fffeffff", "-2" },
        { MODBUS_VALUE_INT, L, L, 32, "feffffff", "-2" },
        { MODBUS_VALUE_INT, B, L, 32, "fffffeff", "-2" },
        { MODBUS_VALUE_INT, B, B, 24, "fffffe", "-2" },
        { MODBUS_VALUE_INT, L, L, 48, "feffffffffff", "-2" },
        { MODBUS_VALUE_INT, L, L, 64, "feffffffffffffff", "-2" },
        { MODBUS_VALUE_INT, B, L, 64, "fffffffffffffeff", "-2" },
        { MODBUS_VALUE_INT, B, B, 64, "8000000000000000", "-9223372036854775808" },
        { MODBUS_VALUE_INT, L, B, 64, "ffffffffffff7fff", "9223372036854775807" },
        { MODBUS_VALUE_FLOAT, B, B, 16, "3e00", "1.5" },
        { MODBUS_VALUE_FLOAT, B, B, 16, "2e66", "0.1" },
        { MODBUS_VALUE_FLOAT, B, B, 16, "7bff", "65500.0" },
        { MODBUS_VALUE_FLOAT, B, B, 16, "0001", "6e-08" },
        { MODBUS_VALUE_FLOAT, B, B, 16, "0400", "6.104e-05" },
        { MODBUS_VALUE_FLOAT, B, L, 16, "00c0", "-2.0" },
        { MODBUS_VALUE_FLOAT, B, B, 32, "42f6e979", "123.456" },
        { MODBUS_VALUE_FLOAT, L, B, 32, "e97942f6", "123.456" },
        { MODBUS_VALUE_FLOAT, B, L, 32, "f64279e9", "123.456" },
        { MODBUS_VALUE_FLOAT, L, L, 32, "79e9f642", "123.456" },
        { MODBUS_VALUE_FLOAT, B, B, 32, "3dcccccd", "0.1" },
        { MODBUS_VALUE_FLOAT, B, B, 64, "405edd2f1a9fbe77", "123.456" },
        { MODBUS_VALUE_FLOAT, L, B, 64, "be771a9fdd2f405e", "123.456" },
        { MODBUS_VALUE_FLOAT, L, L, 64, "77be9f1a2fdd5e40", "123.456" },
        { MODBUS_VALUE_FLOAT, B, L, 64, "5e402fdd9f1a77be", "123.456" },
        { MODBUS_VALUE_BCD, B, B, 16, "1234", "1234" },
        { MODBUS_VALUE_BCD, B, L, 16, "3412", "1234" },
        { MODBUS_VALUE_BCD, L, B, 32, "56781234", "12345678" },
        { MODBUS_VALUE_BCD, B, L, 32, "34127856", "12345678" },
        { MODBUS_VALUE_BCD, L, L, 32, "78563412", "12345678" },
        { MODBUS_VALUE_BCD, B, B, 8, "42", "42" },
        { MODBUS_VALUE_BCD, B, B, 64, "9999999999999999", "9999999999999999" },
        { MODBUS_VALUE_BCD, L, B, 64, "3456901256781234", "1234567890123456" },
        { MODBUS_VALUE_BCD, B, L, 64, "3412785612905634", "1234567890123456" },
        { MODBUS_VALUE_BCD, L, L, 64, "5634129078563412", "1234567890123456" },
        { MODBUS_VALUE_BCD, B, B, 4, "70", "7" },
        { MODBUS_VALUE_STRING, B, B, 48, "48 61 6c 6c 6f 00", "\"Hallo\"" },
        { MODBUS_VALUE_STRING, B, L, 48, "61 48 6c 6c 00 6f", "\"Hallo\"" },
        { MODBUS_VALUE_STRING, L, B, 32, "6c 6c 48 61", "\"Hall\"" },
        { MODBUS_VALUE_STRING, L, L, 32, "6c 6c 61 48", "\"Hall\"" },
        { MODBUS_VALUE_STRING, B, B, 32, "c3 bc 22 00", "\"\\u00fc\\\"\"" },
        { MODBUS_VALUE_STRING, B, B, 16, "00 00", "\"\"" },
};
