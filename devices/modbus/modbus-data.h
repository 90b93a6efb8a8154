/* SPDX-License-Identifier: Apache-2.0 */
/* Values in registers (spec modbus.md 2). A *bit string* is bytes read most significant bit first:
 * registers as on the wire are one already, coils become one by modbus_bits_swap(). A *value* is as in
 * base/bits.h: big-endian, right-aligned in BITS_BYTES(n) bytes. Pure functions. */
#pragma once

#include "base/bits.h"
#include "base/json.h"
#include "base/macros.h"
#include "devices/modbus/modbus-codec.h"

/* ---- bit strings ------------------------------------------------------------------------------------- */

/* Wire order of coils (first one in bit 0 of a byte) to bit string, and back. to may be from. */
void modbus_bits_swap(const uint8_t *from, size_t size, uint8_t *to);
/* Bits offset … offset + n - 1 as a number; n <= 64. */
uint64_t modbus_bits_get64(const uint8_t *string, size_t offset, size_t n);
/* The same of any length as a value. */
void modbus_bits_get(const uint8_t *string, size_t offset, size_t n, uint8_t *ret_value);
/* Stores a value there; all other bits stay. */
void modbus_bits_set(uint8_t *string, size_t offset, size_t n, const uint8_t *value);
/* Copies n bits between strings; they must not overlap. */
void modbus_bits_copy(uint8_t *to, size_t to_offset, const uint8_t *from, size_t from_offset, size_t n);
bool modbus_bits_equal(const uint8_t *a, const uint8_t *b, size_t offset, size_t n);

/* The JSON integer of bits in a string, of any length. */
void modbus_bits_write_json(JsonWriter *w, const uint8_t *string, size_t offset, size_t n);

/* ---- where data lies --------------------------------------------------------------------------------- */

/* Registers or coils that a read of a data item covers, from its start address on (2.2). */
uint64_t modbus_data_quantity(ModbusDataType type, uint64_t bit_offset, uint64_t bit_count);

/* Slave, 2.5: the addresses first … last that exist for a data item, and where its bits begin, counted in
 * the bit string that starts with register `first`. Addresses may exceed 65535: verify() compares. */
typedef struct ModbusPlace {
        uint64_t first, last;
        unsigned skip; /* 0 to 15; always 0 for coils */
} ModbusPlace;
ModbusPlace modbus_data_place(ModbusDataType type, uint64_t start_address, uint64_t bit_offset,
                              uint64_t bit_count);

/* ---- writes of the master (2.3, 2.4) ----------------------------------------------------------------- */

typedef struct ModbusWritePlan {
        ModbusPdu steps[3]; /* each after the success of the one before; data points into the plan */
        size_t n;
        uint8_t data[2 * MODBUS_WRITE_REGISTERS_MAX];
} ModbusWritePlan;

/* value: BITS_BYTES(bit_count). type: COIL or HOLDING_REGISTER. -E2BIG: more than one request can carry
 * (D13). The plan must not be copied. */
int modbus_write_plan(ModbusDataType type, unsigned start_address, unsigned bit_offset, unsigned bit_count,
                      const uint8_t *value, ModbusWritePlan *ret);
