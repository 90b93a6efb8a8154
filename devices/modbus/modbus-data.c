/* SPDX-License-Identifier: Apache-2.0 */
/* Values in registers (spec modbus.md 2). Pure functions; any thread. */

#include "devices/modbus/modbus-data.h"

/* ---- bit strings ------------------------------------------------------------------------------------- */

static uint8_t byte_swap_bits(uint8_t b) {
        b = (uint8_t) ((b & 0xf0) >> 4 | (b & 0x0f) << 4);
        b = (uint8_t) ((b & 0xcc) >> 2 | (b & 0x33) << 2);
        return (uint8_t) ((b & 0xaa) >> 1 | (b & 0x55) << 1);
}

void modbus_bits_swap(const uint8_t *from, size_t size, uint8_t *to) {
        for (size_t i = 0; i < size; i++)
                to[i] = byte_swap_bits(from[i]);
}

uint64_t modbus_bits_get64(const uint8_t *string, size_t offset, size_t n) {
        size_t last = (offset + n - 1) / 8;
        unsigned below = 7 - (offset + n - 1) % 8; /* bits of the last byte that are not ours */
        uint64_t v = 0;

        for (size_t i = offset / 8; i < last; i++)
                v = v << 8 | string[i];
        v = v << (8 - below) | string[last] >> below;
        return n < 64 ? v & ((UINT64_C(1) << n) - 1) : v;
}

/* Stores the low n <= 64 bits of v. */
static void bits_set64(uint8_t *string, size_t offset, size_t n, uint64_t v) {
        while (n > 0) {
                size_t end = offset + n, here = MIN((end - 1) % 8 + 1, n);
                unsigned below = 7 - (end - 1) % 8;
                uint8_t mask = (uint8_t) (((1U << here) - 1) << below);
                uint8_t *byte = string + (end - 1) / 8;

                *byte = (uint8_t) ((*byte & ~mask) | ((v << below) & mask));
                v >>= here;
                n -= here;
        }
}

void modbus_bits_copy(uint8_t *to, size_t to_offset, const uint8_t *from, size_t from_offset, size_t n) {
        if (to_offset % 8 == 0 && from_offset % 8 == 0) {
                size_t whole = n / 8;

                memcpy(to + to_offset / 8, from + from_offset / 8, whole);
                to_offset += 8 * whole;
                from_offset += 8 * whole;
                n -= 8 * whole;
        }

        while (n > 0) {
                size_t part = MIN(n, 64U);

                bits_set64(to, to_offset, part, modbus_bits_get64(from, from_offset, part));
                to_offset += part;
                from_offset += part;
                n -= part;
        }
}

/* A value is the end of a bit string of whole bytes. */
static size_t value_offset(size_t n) {
        return 8 * BITS_BYTES(n) - n;
}

void modbus_bits_get(const uint8_t *string, size_t offset, size_t n, uint8_t *ret_value) {
        ret_value[0] = 0;
        modbus_bits_copy(ret_value, value_offset(n), string, offset, n);
}

void modbus_bits_set(uint8_t *string, size_t offset, size_t n, const uint8_t *value) {
        modbus_bits_copy(string, offset, value, value_offset(n), n);
}

bool modbus_bits_equal(const uint8_t *a, const uint8_t *b, size_t offset, size_t n) {
        if (offset % 8 == 0 && n % 8 == 0)
                return memcmp(a + offset / 8, b + offset / 8, n / 8) == 0;

        while (n > 0) {
                size_t part = MIN(n, 64U);

                if (modbus_bits_get64(a, offset, part) != modbus_bits_get64(b, offset, part))
                        return false;
                offset += part;
                n -= part;
        }
        return true;
}

void modbus_bits_write_json(JsonWriter *w, const uint8_t *string, size_t offset, size_t n) {
        uint8_t small[256];
        g_autofree uint8_t *large = NULL;
        uint8_t *value = small;

        if (n <= 64) {
                json_uint(w, modbus_bits_get64(string, offset, n));
                return;
        }

        if (BITS_BYTES(n) > sizeof(small))
                value = large = g_malloc(BITS_BYTES(n));
        modbus_bits_get(string, offset, n, value);
        json_bits(w, value, n);
}

/* ---- where data lies --------------------------------------------------------------------------------- */

uint64_t modbus_data_quantity(ModbusDataType type, uint64_t bit_offset, uint64_t bit_count) {
        unsigned width = modbus_data_type_width(type);

        return (bit_offset + bit_count + width - 1) / width;
}

ModbusPlace modbus_data_place(ModbusDataType type, uint64_t start_address, uint64_t bit_offset,
                              uint64_t bit_count) {
        unsigned width = modbus_data_type_width(type);
        uint64_t first_bit = start_address * width + bit_offset;

        return (ModbusPlace) {
                .first = first_bit / width,
                .last = (first_bit + bit_count - 1) / width,
                .skip = (unsigned) (first_bit % width),
        };
}

/* ---- writes of the master ---------------------------------------------------------------------------- */

static int plan_coils(unsigned address, unsigned n, const uint8_t *value, ModbusWritePlan *ret) {
        ModbusPdu *step = &ret->steps[0];

        if (n > MODBUS_WRITE_BITS_MAX)
                return -E2BIG;

        ret->n = 1;
        if (n == 1) {
                *step = (ModbusPdu) {
                        .function = MODBUS_WRITE_COIL,
                        .address = (uint16_t) address,
                        .quantity = 1,
                        .value = value[0] & 1 ? 0xff00 : 0,
                };
                return 0;
        }

        memset(ret->data, 0, BITS_BYTES(n));
        modbus_bits_copy(ret->data, 0, value, value_offset(n), n);
        modbus_bits_swap(ret->data, BITS_BYTES(n), ret->data);
        *step = (ModbusPdu) {
                .function = MODBUS_WRITE_COILS,
                .address = (uint16_t) address,
                .quantity = (uint16_t) n,
                .data = ret->data,
                .data_size = BITS_BYTES(n),
        };
        return 0;
}

static void plan_add_mask(ModbusWritePlan *plan, unsigned address, unsigned mask, unsigned bits) {
        plan->steps[plan->n++] = (ModbusPdu) {
                .function = MODBUS_MASK_WRITE,
                .address = (uint16_t) address,
                .quantity = 1,
                .value = (uint16_t) bits,
                .and_mask = (uint16_t) ~mask,
        };
}

/* Whole registers: the value's bits from `at` on. */
static void plan_add_registers(ModbusWritePlan *plan, unsigned address, unsigned n, const uint8_t *value,
                               size_t at) {
        ModbusPdu *step = &plan->steps[plan->n++];

        if (n == 1) {
                *step = (ModbusPdu) {
                        .function = MODBUS_WRITE_REGISTER,
                        .address = (uint16_t) address,
                        .quantity = 1,
                        .value = (uint16_t) modbus_bits_get64(value, at, 16),
                };
                return;
        }

        modbus_bits_copy(plan->data, 0, value, at, 16 * (size_t) n);
        *step = (ModbusPdu) {
                .function = MODBUS_WRITE_REGISTERS,
                .address = (uint16_t) address,
                .quantity = (uint16_t) n,
                .data = plan->data,
                .data_size = 2 * (size_t) n,
        };
}

static int plan_registers(unsigned address, unsigned skip, unsigned n, const uint8_t *value,
                          ModbusWritePlan *ret) {
        unsigned head = skip > 0 ? MIN(16 - skip, n) : 0;
        unsigned body = (n - head) / 16, tail = (n - head) % 16;
        size_t at = value_offset(n);

        if (body > MODBUS_WRITE_REGISTERS_MAX)
                return -E2BIG;

        ret->n = 0;
        if (head > 0) {
                unsigned below = 16 - skip - head;

                plan_add_mask(ret, address++, ((1U << head) - 1) << below,
                              (unsigned) modbus_bits_get64(value, at, head) << below);
                at += head;
        }
        if (body > 0) {
                plan_add_registers(ret, address, body, value, at);
                address += body;
                at += 16 * (size_t) body;
        }
        if (tail > 0)
                plan_add_mask(ret, address, ((1U << tail) - 1) << (16 - tail),
                              (unsigned) modbus_bits_get64(value, at, tail) << (16 - tail));
        return 0;
}

int modbus_write_plan(ModbusDataType type, unsigned start_address, unsigned bit_offset, unsigned bit_count,
                      const uint8_t *value, ModbusWritePlan *ret) {
        if (type == MODBUS_COIL)
                return plan_coils(start_address + bit_offset, bit_count, value, ret);

        return plan_registers(start_address + bit_offset / 16, bit_offset % 16, bit_count, value, ret);
}
