/* SPDX-License-Identifier: Apache-2.0 */
/* What bits mean: golden vectors of every type and order, both ways, and everything that does not fit. */

#include "devices/modbus/modbus-value.h"

#include <errno.h>

#include "base/bits.h"
#include "tests/unit/hex.h"
#include "tests/unit/value-vectors.h"

static void expect_text(const ModbusValueConf *v, const char *hex, size_t offset, size_t n_bits, const char *text) {
        g_autoptr(GByteArray) string = from_hex(hex);
        g_autofree uint8_t *exact = g_memdup2(string->data, string->len);
        JsonWriter w;
        JsonSpan got;

        json_writer_init_growing(&w);
        modbus_value_write_json(&w, v, exact, offset, n_bits);
        g_assert_cmpint(json_writer_end(&w, &got), >=, 0);
        g_assert_cmpint(json_check(got.text, got.size, NULL), >=, 0);
        g_assert_cmpmem(got.text, got.size, text, strlen(text));
        json_writer_done(&w);
}

static int parse(const ModbusValueConf *v, const char *text, size_t n_bits, char **ret_hex) {
        g_autofree uint8_t *bits = g_malloc0(BITS_BYTES(n_bits));
        GString *hex = g_string_new(NULL);
        JsonSpan value;
        int r;

        g_assert_cmpint(json_check(text, strlen(text), &value), >=, 0);
        r = modbus_value_parse(v, value, n_bits, bits);
        for (size_t i = 0; r >= 0 && i < BITS_BYTES(n_bits); i++)
                g_string_append_printf(hex, "%02x", bits[i]);
        *ret_hex = g_string_free(hex, FALSE);
        return r;
}

static void expect_bits(const ModbusValueConf *v, const char *text, size_t n_bits, const char *hex) {
        g_autoptr(GByteArray) expected = from_hex(hex);
        g_autofree char *got = NULL;
        g_autoptr(GString) wanted = g_string_new(NULL);

        for (guint i = 0; i < expected->len; i++)
                g_string_append_printf(wanted, "%02x", expected->data[i]);
        g_test_message("%s", text);
        g_assert_cmpint(parse(v, text, n_bits, &got), ==, 0);
        g_assert_cmpstr(got, ==, wanted->str);
}

static void expect_refused(const ModbusValueConf *v, const char *text, size_t n_bits, int r) {
        g_autofree char *got = NULL;

        g_test_message("%s", text);
        g_assert_cmpint(parse(v, text, n_bits, &got), ==, r);
}

/* ---- both ways --------------------------------------------------------------------------------------- */

/* In a bit string values stand at the front, in bits of their own right-aligned. */
static char *right_aligned(const ValueVector *v) {
        g_autoptr(GByteArray) bytes = from_hex(v->hex);

        if (v->n_bits % 8 == 0)
                return g_strdup(v->hex);
        return g_strdup_printf("%02x", (unsigned) bytes->data[0] >> (8 - v->n_bits));
}

static void test_vectors(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(value_vectors); i++) {
                const ValueVector *v = &value_vectors[i];
                ModbusValueConf conf = conf_of(v->type, v->word_order, v->byte_order);
                g_autofree char *bits = right_aligned(v);

                g_test_message("%s = %s", v->hex, v->text);
                expect_text(&conf, v->hex, 0, v->n_bits, v->text);
                expect_bits(&conf, v->text, v->n_bits, bits);
        }
}

/* Anywhere in a register. */
static void test_offset(void) {
        ModbusValueConf v = conf_of(MODBUS_VALUE_INT, B, B);

        expect_text(&v, "1fe3", 4, 8, "-2");
        v.type = MODBUS_VALUE_BCD;
        expect_text(&v, "a123 4fff", 4, 16, "1234");
        v = conf_of(MODBUS_VALUE_UINT, L, B);
        expect_text(&v, "eeee 0001 0002 eeee", 16, 32, "131073");
}

static void test_no_numbers(void) {
        ModbusValueConf v = conf_of(MODBUS_VALUE_FLOAT, B, B);

        expect_text(&v, "7fc00000", 0, 32, "null");
        expect_text(&v, "ff800000", 0, 32, "null");
        expect_text(&v, "7c00", 0, 16, "null");
        expect_text(&v, "7e00", 0, 16, "null");
        v.scale = 2;
        expect_text(&v, "7ff0000000000000", 0, 64, "null");
        v.type = MODBUS_VALUE_BCD;
        expect_text(&v, "123a", 0, 16, "null");
}

static void test_scale(void) {
        static const struct {
                double scale, offset;
                const char *hex, *text;
        } rows[] = {
                { 0.1, 0, "0003", "0.3" },     { 0.1, 0, "04d2", "123.4" }, { 0.01, 0, "0007", "0.07" },
                { 0.001, -5, "1388", "0.0" },  { 0.15, 0, "0003", "0.45" }, { 10, 0, "0003", "30.0" },
                { 0.1, -40, "028a", "25.0" },  { 2, 1, "ffff", "131071.0" }, { 1, -273.15, "0127", "21.85" },
                { -0.5, 0, "0001", "-0.5" },   { 0.0625, 0, "0001", "0.0625" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                ModbusValueConf v = conf_of(MODBUS_VALUE_UINT, B, B);

                v.scale = rows[i].scale;
                v.offset = rows[i].offset;
                expect_text(&v, rows[i].hex, 0, 16, rows[i].text);
                expect_bits(&v, rows[i].text, 16, rows[i].hex);
        }
        for (unsigned raw = 0; raw < 65536; raw += 7) { /* there and back, whatever it is */
                static const double scales[] = { 0.1, 0.01, 0.3, 1.0 / 3, 7.7 };

                for (size_t i = 0; i < G_N_ELEMENTS(scales); i++) {
                        ModbusValueConf v = conf_of(MODBUS_VALUE_UINT, B, B);
                        g_autofree char *hex = g_strdup_printf("%04x", raw), *got = NULL, *text = NULL;
                        uint8_t bytes[] = { (uint8_t) (raw >> 8), (uint8_t) raw };
                        JsonWriter w;

                        v.scale = scales[i];
                        v.offset = -12.5;
                        json_writer_init_growing(&w);
                        modbus_value_write_json(&w, &v, bytes, 0, 16);
                        text = json_writer_steal(&w);
                        json_writer_done(&w);
                        g_assert_cmpint(parse(&v, text, 16, &got), ==, 0);
                        g_assert_cmpstr(got, ==, hex);
                }
        }
        {
                ModbusValueConf v = conf_of(MODBUS_VALUE_FLOAT, B, B);

                v.scale = 0.001;
                expect_text(&v, "42f6e979", 0, 32, "0.123456");
                expect_bits(&v, "0.123456", 32, "42f6e979");
        }
}

static void test_states(void) {
        static const ModbusStateConf states[] = { { 0, "off" }, { 1, "on" }, { -1, "gone" } };
        ModbusValueConf v = conf_of(MODBUS_VALUE_INT, B, B);

        v.states = (ConfArray) { (void *) states, G_N_ELEMENTS(states) };
        expect_text(&v, "0001", 0, 16, "\"on\"");
        expect_text(&v, "ffff", 0, 16, "\"gone\"");
        expect_text(&v, "0002", 0, 16, "2");
        expect_bits(&v, "\"gone\"", 16, "ffff");
        expect_bits(&v, "\"o\\u006e\"", 16, "0001");
        expect_bits(&v, "7", 16, "0007");
        expect_refused(&v, "\"up\"", 16, -ERANGE);
        v.min = 0;
        expect_refused(&v, "\"gone\"", 16, -ERANGE);
        v.states.n = 0;
        expect_refused(&v, "\"on\"", 16, -EBADMSG);
}

static void test_refused(void) {
        static const struct {
                int type;
                size_t n_bits;
                const char *text;
                int r;
        } rows[] = {
                { MODBUS_VALUE_UINT, 16, "65536", -ERANGE },
                { MODBUS_VALUE_UINT, 16, "-1", -ERANGE },
                { MODBUS_VALUE_UINT, 63, "9223372036854775808", -ERANGE },
                { MODBUS_VALUE_UINT, 64, "18446744073709551616", -ERANGE },
                { MODBUS_VALUE_UINT, 16, "1.5", -EBADMSG },
                { MODBUS_VALUE_UINT, 16, "true", -EBADMSG },
                { MODBUS_VALUE_UINT, 16, "null", -EBADMSG },
                { MODBUS_VALUE_INT, 8, "128", -ERANGE },
                { MODBUS_VALUE_INT, 8, "-129", -ERANGE },
                { MODBUS_VALUE_INT, 64, "9223372036854775808", -ERANGE },
                { MODBUS_VALUE_BCD, 16, "10000", -ERANGE },
                { MODBUS_VALUE_BCD, 16, "-1", -ERANGE },
                { MODBUS_VALUE_BCD, 64, "10000000000000000", -ERANGE },
                { MODBUS_VALUE_FLOAT, 16, "65520", -ERANGE },
                { MODBUS_VALUE_FLOAT, 32, "3.5e38", -ERANGE },
                { MODBUS_VALUE_FLOAT, 32, "\"1\"", -EBADMSG },
                { MODBUS_VALUE_BOOL, 1, "2", -ERANGE },
                { MODBUS_VALUE_BOOL, 1, "\"true\"", -EBADMSG },
                { MODBUS_VALUE_BOOL, 1, "1.0", -EBADMSG },
                { MODBUS_VALUE_STRING, 16, "\"abc\"", -ERANGE },
                { MODBUS_VALUE_STRING, 16, "5", -EBADMSG },
        };
        ModbusValueConf v;

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                v = conf_of(rows[i].type, B, B);
                expect_refused(&v, rows[i].text, rows[i].n_bits, rows[i].r);
        }

        v = conf_of(MODBUS_VALUE_FLOAT, B, B);
        v.min = -10;
        v.max = 50.5;
        expect_bits(&v, "50.5", 32, "424a0000");
        expect_bits(&v, "-10", 32, "c1200000");
        expect_refused(&v, "50.6", 32, -ERANGE);
        expect_refused(&v, "-10.01", 32, -ERANGE);
        v = conf_of(MODBUS_VALUE_INT, B, B);
        v.scale = 0.1;
        v.max = 100;
        expect_bits(&v, "100", 16, "03e8");
        expect_refused(&v, "100.1", 16, -ERANGE);
        expect_refused(&v, "-3276.9", 16, -ERANGE);
}

/* Limits hold for what the bits make of a value: never more than the greatest, and that one is always allowed. */
static void test_limits(void) {
        static const struct {
                int type;
                size_t n_bits;
                double scale, max;
                const char *text, *hex; /* NULL: refused */
        } rows[] = {
                { MODBUS_VALUE_FLOAT, 32, 1, 0.3, "0.3", "3e99999a" },
                { MODBUS_VALUE_FLOAT, 16, 1, 50.55, "50.55", NULL }, /* it would be 50.56 */
                { MODBUS_VALUE_FLOAT, 32, 1, NAN, "3.4028235e38", "7f7fffff" }, /* as everybody writes it: rounded up */
                { MODBUS_VALUE_FLOAT, 32, 1, NAN, "3.4028236e38", NULL },
                { MODBUS_VALUE_FLOAT, 64, 1, NAN, "1.7976931348623157e308", "7fefffffffffffff" },
                { MODBUS_VALUE_FLOAT, 64, 2, NAN, "1.7976931348623157e308", "7fdfffffffffffff" },
                { MODBUS_VALUE_INT, 16, 0.1, 7.7, "7.7", "004d" },
                { MODBUS_VALUE_INT, 16, 0.1, 7.77, "7.74", "004d" },
                { MODBUS_VALUE_INT, 16, 0.1, 7.77, "7.77", NULL }, /* it would be 7.8 */
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                ModbusValueConf v = conf_of(rows[i].type, B, B);
                g_autoptr(GByteArray) bits = rows[i].hex ? from_hex(rows[i].hex) : NULL;

                v.scale = rows[i].scale;
                v.max = rows[i].max;
                if (!bits) {
                        expect_refused(&v, rows[i].text, rows[i].n_bits, -ERANGE);
                        continue;
                }
                expect_bits(&v, rows[i].text, rows[i].n_bits, rows[i].hex);
                g_assert_true(modbus_value_allowed(&v, bits->data, 0, rows[i].n_bits));
        }
}

/* Every half, there and back. */
static void test_halves(void) {
        ModbusValueConf v = conf_of(MODBUS_VALUE_FLOAT, B, B);

        for (unsigned h = 0; h < 0x10000; h++) {
                uint8_t bytes[] = { (uint8_t) (h >> 8), (uint8_t) h };
                g_autofree char *text = NULL, *got = NULL, *hex = g_strdup_printf("%04x", h);
                JsonWriter w;

                json_writer_init_growing(&w);
                modbus_value_write_json(&w, &v, bytes, 0, 16);
                text = json_writer_steal(&w);
                json_writer_done(&w);
                if ((h & 0x7c00) == 0x7c00) {
                        g_assert_cmpstr(text, ==, "null");
                        continue;
                }
                g_assert_cmpint(parse(&v, text, 16, &got), ==, 0);
                g_assert_cmpstr(got, ==, hex);
        }
}

static void test_needs(void) {
        static const struct {
                int type, word_order, data_type;
                int64_t offset, count;
                bool fits;
        } rows[] = {
                { MODBUS_VALUE_INT, B, MODBUS_HOLDING_REGISTER, 3, 7, true },
                { MODBUS_VALUE_INT, B, MODBUS_HOLDING_REGISTER, 0, 65, false },
                { MODBUS_VALUE_INT, L, MODBUS_HOLDING_REGISTER, 0, 32, true },
                { MODBUS_VALUE_INT, L, MODBUS_HOLDING_REGISTER, 8, 32, false },
                { MODBUS_VALUE_INT, L, MODBUS_HOLDING_REGISTER, 0, 24, false },
                { MODBUS_VALUE_INT, L, MODBUS_COIL, 0, 32, false },
                { MODBUS_VALUE_FLOAT, B, MODBUS_INPUT_REGISTER, 0, 32, true },
                { MODBUS_VALUE_FLOAT, B, MODBUS_INPUT_REGISTER, 0, 48, false },
                { MODBUS_VALUE_BCD, B, MODBUS_INPUT_REGISTER, 0, 12, true },
                { MODBUS_VALUE_BCD, B, MODBUS_INPUT_REGISTER, 0, 13, false },
                { MODBUS_VALUE_BCD, B, MODBUS_INPUT_REGISTER, 0, 68, false },
                { MODBUS_VALUE_STRING, B, MODBUS_INPUT_REGISTER, 0, 1600, true },
                { MODBUS_VALUE_STRING, B, MODBUS_INPUT_REGISTER, 0, 12, false },
                { MODBUS_VALUE_BOOL, B, MODBUS_COIL, 0, 3, true },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                ModbusValueConf v = conf_of(rows[i].type, rows[i].word_order, B);

                g_assert_cmpint(!modbus_value_needs(&v, rows[i].data_type, rows[i].offset, rows[i].count), ==,
                                rows[i].fits);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-value/vectors", test_vectors);
        g_test_add_func("/modbus-value/offset", test_offset);
        g_test_add_func("/modbus-value/no-numbers", test_no_numbers);
        g_test_add_func("/modbus-value/scale", test_scale);
        g_test_add_func("/modbus-value/states", test_states);
        g_test_add_func("/modbus-value/refused", test_refused);
        g_test_add_func("/modbus-value/limits", test_limits);
        g_test_add_func("/modbus-value/halves", test_halves);
        g_test_add_func("/modbus-value/needs", test_needs);
        return g_test_run();
}
