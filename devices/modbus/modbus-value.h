/* SPDX-License-Identifier: Apache-2.0 */
/* What the bits of a data item mean: numbers, texts and states instead of the raw integer. Pure functions, both
 * ways. The bits are those of spec modbus.md 2.1; words and bytes may lie in another order. */
#pragma once

#include "base/json.h"
#include "devices/modbus/modbus-conf.h"

/* What a type cannot be made of: NULL, or what it needs, for a message. */
const char *modbus_value_needs(const ModbusValueConf *v, int data_type, int64_t bit_offset, int64_t bit_count);

/* Greatest number that BCD of so many bits can be; a multiple of 4, at most 64. */
int64_t modbus_value_bcd_max(size_t n_bits);

/* The value of n bits at offset in a bit string. What is no number (NaN, an infinity, digits of BCD above 9) is
 * null. */
void modbus_value_write_json(JsonWriter *w, const ModbusValueConf *v, const uint8_t *string, size_t offset,
                             size_t n_bits);
/* The same as a number, for comparing. v NULL: a raw integer. NaN: it is none, or has more than 64 bits. */
double modbus_value_number(const ModbusValueConf *v, const uint8_t *string, size_t offset, size_t n_bits);
/* It could be stored from JSON as well: it is a number where one is needed, and within min and max. */
bool modbus_value_allowed(const ModbusValueConf *v, const uint8_t *string, size_t offset, size_t n_bits);
/* The bits (BITS_BYTES(n_bits), right-aligned) that make this value. -EBADMSG: it is of another kind; -ERANGE: it
 * does not fit, or lies outside min and max. */
int modbus_value_parse(const ModbusValueConf *v, JsonSpan value, size_t n_bits, uint8_t *ret_bits);
