/* SPDX-License-Identifier: Apache-2.0 */
/* Values in registers: every row of the tables of the specification, and bits at every offset and length
 * against a simple model. */

#include "devices/modbus/modbus-data.h"
#include "tests/unit/hex.h"

#include <glib.h>

static char *json_of(const uint8_t *string, size_t offset, size_t n) {
        JsonWriter w;

        json_writer_init_growing(&w);
        modbus_bits_write_json(&w, string, offset, n);
        return json_writer_steal(&w);
}

/* ---- 2.2 --------------------------------------------------------------------------------------------- */

static void test_decode(void) {
        static const struct {
                ModbusDataType type;
                unsigned offset, count;
                const char *wire; /* as received */
                const char *value;
                unsigned quantity;
        } rows[] = {
                { MODBUS_HOLDING_REGISTER, 8, 32, "1234 5678 9abc", "878082202", 3 },
                { MODBUS_HOLDING_REGISTER, 0, 16, "1234", "4660", 1 },
                { MODBUS_HOLDING_REGISTER, 4, 8, "1234", "35", 1 },
                { MODBUS_HOLDING_REGISTER, 0, 1, "8000", "1", 1 },
                { MODBUS_INPUT_REGISTER, 15, 1, "0001", "1", 1 },
                { MODBUS_INPUT_REGISTER, 12, 8, "1234 5678", "69", 2 },
                { MODBUS_INPUT_REGISTER, 20, 12, "1234 5678", "1656", 2 },
                { MODBUS_QUEUE, 8, 24, "ffff abcd", "16755661", 2 },
                { MODBUS_HOLDING_REGISTER, 0, 80, "1234 5678 9abc def0 1122", "85968058283706962415906", 5 },
                { MODBUS_HOLDING_REGISTER, 4, 72, "1234 5678 9abc def0 1122", "650637159862039937298", 5 },
                { MODBUS_COIL, 0, 3, "05", "5", 3 },
                { MODBUS_DISCRETE_INPUT, 2, 3, "07", "4", 5 },
                { MODBUS_COIL, 0, 10, "8301", "774", 10 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autoptr(GByteArray) wire = from_hex(rows[i].wire);
                g_autofree uint8_t *exact = g_memdup2(wire->data, wire->len);
                g_autofree char *value = NULL;

                if (modbus_data_type_is_bit(rows[i].type))
                        modbus_bits_swap(exact, wire->len, exact);
                value = json_of(exact, rows[i].offset, rows[i].count);
                g_assert_cmpstr(value, ==, rows[i].value);
                g_assert_cmpuint(modbus_data_quantity(rows[i].type, rows[i].offset, rows[i].count), ==,
                                 rows[i].quantity);
        }
}

/* ---- 2.3 and 2.4 ------------------------------------------------------------------------------------- */

/* `06: 100=1234`, as the specification writes it. */
static char *plan_to_text(const ModbusWritePlan *plan) {
        g_autoptr(GString) s = g_string_new(NULL);

        for (size_t i = 0; i < plan->n; i++) {
                const ModbusPdu *step = &plan->steps[i];

                g_string_append_printf(s, "%s%02x: %u", i > 0 ? "; " : "", step->function, step->address);
                switch (step->function) {
                case MODBUS_WRITE_COIL:
                case MODBUS_WRITE_REGISTER:
                        g_string_append_printf(s, "=%04x", step->value);
                        break;
                case MODBUS_MASK_WRITE:
                        g_string_append_printf(s, " and=%04x or=%04x", step->and_mask, step->value);
                        break;
                default:
                        g_string_append_printf(s, "+%u=", step->quantity);
                        for (size_t j = 0; j < step->data_size; j++)
                                g_string_append_printf(s, "%02x", step->data[j]);
                }
        }
        return g_strdup(s->str);
}

static void test_write(void) {
        static const struct {
                ModbusDataType type;
                unsigned offset, count;
                const char *value, *requests;
        } rows[] = {
                { MODBUS_COIL, 2, 3, "5", "0f: 102+3=05" },
                { MODBUS_COIL, 0, 1, "1", "05: 100=ff00" },
                { MODBUS_COIL, 3, 1, "0", "05: 103=0000" },
                { MODBUS_COIL, 0, 1, "2", "05: 100=0000" },
                { MODBUS_COIL, 2, 10, "707", "0f: 102+10=0d03" },
                { MODBUS_HOLDING_REGISTER, 0, 16, "4660", "06: 100=1234" },
                { MODBUS_HOLDING_REGISTER, 0, 32, "305419896", "10: 100+2=12345678" },
                { MODBUS_HOLDING_REGISTER, 0, 8, "171", "16: 100 and=00ff or=ab00" },
                { MODBUS_HOLDING_REGISTER, 8, 8, "171", "16: 100 and=ff00 or=00ab" },
                { MODBUS_HOLDING_REGISTER, 4, 8, "171", "16: 100 and=f00f or=0ab0" },
                { MODBUS_HOLDING_REGISTER, 8, 16, "43981",
                  "16: 100 and=ff00 or=00ab; 16: 101 and=00ff or=cd00" },
                { MODBUS_HOLDING_REGISTER, 8, 24, "11259375", "16: 100 and=ff00 or=00ab; 06: 101=cdef" },
                { MODBUS_HOLDING_REGISTER, 8, 32, "878082202",
                  "16: 100 and=ff00 or=0034; 06: 101=5678; 16: 102 and=00ff or=9a00" },
                { MODBUS_HOLDING_REGISTER, 4, 40, "78187493530",
                  "16: 100 and=f000 or=0123; 06: 101=4567; 16: 102 and=000f or=89a0" },
                { MODBUS_HOLDING_REGISTER, 20, 8, "171", "16: 101 and=f00f or=0ab0" },
                { MODBUS_HOLDING_REGISTER, 16, 16, "43981", "06: 101=abcd" },
                { MODBUS_HOLDING_REGISTER, 0, 80, "85968058283706962415906",
                  "10: 100+5=123456789abcdef01122" },
                { MODBUS_HOLDING_REGISTER, 0, 24, "305419896", "06: 100=3456; 16: 101 and=00ff or=7800" },
                { MODBUS_HOLDING_REGISTER, 0, 16, "-1", "06: 100=ffff" },
                { MODBUS_HOLDING_REGISTER, 4, 40, "-2",
                  "16: 100 and=f000 or=0fff; 06: 101=ffff; 16: 102 and=000f or=ffe0" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree uint8_t *value = g_malloc(BITS_BYTES(rows[i].count));
                g_autofree ModbusWritePlan *plan = g_new(ModbusWritePlan, 1);
                g_autofree char *text = NULL;

                g_assert_cmpint(bits_from_decimal(rows[i].value, strlen(rows[i].value), rows[i].count, value,
                                                  NULL),
                                >=, 0);
                g_assert_cmpint(modbus_write_plan(rows[i].type, 100, rows[i].offset, rows[i].count, value,
                                                  plan),
                                ==, 0);
                text = plan_to_text(plan);
                g_assert_cmpstr(text, ==, rows[i].requests);
        }
}

static void test_write_limits(void) {
        static const struct {
                ModbusDataType type;
                unsigned offset, count;
                int r;
        } rows[] = {
                { MODBUS_COIL, 0, 1968, 0 },
                { MODBUS_COIL, 0, 1969, -E2BIG },
                { MODBUS_HOLDING_REGISTER, 0, 123 * 16, 0 },
                { MODBUS_HOLDING_REGISTER, 0, 124 * 16, -E2BIG },
                { MODBUS_HOLDING_REGISTER, 8, 8 + 123 * 16 + 15, 0 },
                { MODBUS_HOLDING_REGISTER, 8, 8 + 124 * 16, -E2BIG },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree uint8_t *value = g_malloc0(BITS_BYTES(rows[i].count));
                g_autofree ModbusWritePlan *plan = g_new(ModbusWritePlan, 1);

                g_assert_cmpint(modbus_write_plan(rows[i].type, 0, rows[i].offset, rows[i].count, value,
                                                  plan),
                                ==, rows[i].r);
        }
}

/* ---- 2.5 --------------------------------------------------------------------------------------------- */

static void test_place(void) {
        static const struct {
                ModbusDataType type;
                unsigned start, offset, count;
                ModbusPlace place;
                const char *value, *registers;
        } rows[] = {
                { MODBUS_HOLDING_REGISTER, 10, 4, 8, { 10, 10, 4 }, "171", "0ab0" },
                { MODBUS_HOLDING_REGISTER, 20, 12, 24, { 20, 22, 12 }, "11259375", "000abcdef000" },
                { MODBUS_COIL, 5, 2, 3, { 7, 9, 0 }, "5", "a0" },
                { MODBUS_INPUT_REGISTER, 10, 40, 8, { 12, 12, 8 }, "255", "00ff" },
                { MODBUS_DISCRETE_INPUT, 65535, 0, 1, { 65535, 65535, 0 }, "1", "80" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                ModbusPlace p = modbus_data_place(rows[i].type, rows[i].start, rows[i].offset,
                                                  rows[i].count);
                size_t size = BITS_BYTES((p.last - p.first + 1) * modbus_data_type_width(rows[i].type));
                g_autofree uint8_t *value = g_malloc(BITS_BYTES(rows[i].count)), *string = g_malloc0(size);
                g_autoptr(GByteArray) expected = from_hex(rows[i].registers);

                g_assert_cmpuint(p.first, ==, rows[i].place.first);
                g_assert_cmpuint(p.last, ==, rows[i].place.last);
                g_assert_cmpuint(p.skip, ==, rows[i].place.skip);
                g_assert_cmpint(bits_from_decimal(rows[i].value, strlen(rows[i].value), rows[i].count, value,
                                                  NULL),
                                >=, 0);
                modbus_bits_set(string, p.skip, rows[i].count, value);
                g_assert_cmpmem(string, size, expected->data, expected->len);
        }
}

/* ---- 2.6 --------------------------------------------------------------------------------------------- */

static void test_integers(void) {
        static const struct {
                size_t n;
                const char *hex, *decimal;
        } rows[] = {
                { 64, "ffffffffffffffff", "18446744073709551615" },
                { 65, "01ffffffffffffffff", "36893488147419103231" },
                { 81, "0100000000000000000000", "1208925819614629174706176" },
                { 80, "123456789abcdef01122", "85968058283706962415906" },
                { 1, "00", "0" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autoptr(GByteArray) value = from_hex(rows[i].hex);
                g_autofree char *text = json_of(value->data, 8 * value->len - rows[i].n, rows[i].n);

                g_assert_cmpstr(text, ==, rows[i].decimal);
        }
        {
                uint8_t ones[250];
                g_autofree char *text = NULL;

                memset(ones, 0xff, sizeof(ones));
                text = json_of(ones, 0, 2000);
                g_assert_cmpuint(strlen(text), ==, 603);
                g_assert_true(g_str_has_prefix(text, "1148130695274254524"));
        }
}

/* ---- a simple model ---------------------------------------------------------------------------------- */

static unsigned bit_of(const uint8_t *string, size_t i) {
        return string[i / 8] >> (7 - i % 8) & 1;
}

static void fill_random(uint8_t *data, size_t size) {
        for (size_t i = 0; i < size; i++)
                data[i] = (uint8_t) g_test_rand_int();
}

static void test_bits_model(void) {
        for (unsigned round = 0; round < 20000; round++) {
                size_t offset = (size_t) g_test_rand_int_range(0, 40),
                       n = (size_t) g_test_rand_int_range(1, 200);
                size_t size = BITS_BYTES(offset + n);
                g_autofree uint8_t *string = g_malloc(size), *copy = NULL, *value = g_malloc(BITS_BYTES(n));
                size_t flipped = (size_t) g_test_rand_int_range(0, (gint32) (8 * size)),
                       pad = 8 * BITS_BYTES(n) - n;

                fill_random(string, size);
                copy = g_memdup2(string, size);
                modbus_bits_get(string, offset, n, value);
                for (size_t i = 0; i < pad; i++)
                        g_assert_cmpuint(bit_of(value, i), ==, 0);
                for (size_t i = 0; i < n; i++)
                        g_assert_cmpuint(bit_of(value, pad + i), ==, bit_of(string, offset + i));
                if (n <= 64)
                        for (size_t i = 0; i < n; i++)
                                g_assert_cmpuint(modbus_bits_get64(string, offset, n) >> (n - 1 - i) & 1, ==,
                                                 bit_of(string, offset + i));

                g_assert_true(modbus_bits_equal(string, copy, offset, n));
                copy[flipped / 8] ^= (uint8_t) (0x80 >> flipped % 8);
                g_assert_cmpint(modbus_bits_equal(string, copy, offset, n), ==,
                                flipped < offset || flipped >= offset + n);

                fill_random(copy, size);
                {
                        g_autofree uint8_t *before = g_memdup2(copy, size);

                        modbus_bits_set(copy, offset, n, value);
                        for (size_t i = 0; i < 8 * size; i++)
                                g_assert_cmpuint(bit_of(copy, i), ==,
                                                 bit_of(i < offset || i >= offset + n ? before : string, i));
                }
        }
}

static void test_swap(void) {
        uint8_t bits[] = { 0x01, 0x80, 0x0f, 0x05 };

        modbus_bits_swap(bits, sizeof(bits), bits);
        g_assert_cmpmem(bits, sizeof(bits), ((uint8_t[]) { 0x80, 0x01, 0xf0, 0xa0 }), 4);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-data/decode", test_decode);
        g_test_add_func("/modbus-data/write", test_write);
        g_test_add_func("/modbus-data/write-limits", test_write_limits);
        g_test_add_func("/modbus-data/place", test_place);
        g_test_add_func("/modbus-data/integers", test_integers);
        g_test_add_func("/modbus-data/bits-model", test_bits_model);
        g_test_add_func("/modbus-data/swap", test_swap);
        return g_test_run();
}
