/* SPDX-License-Identifier: Apache-2.0 */
/* The bits of a slave: the tables of 2.5, 6.8 and 6.9 of the specification, and random data against a model
 * that knows nothing but single bits. Main thread. */

#include "devices/modbus/modbus-store.h"

#include <errno.h>
#include <inttypes.h>

#include "tests/unit/hex.h"
#include "tests/unit/value-vectors.h"

#define COILS(name, start, offset, count) \
        { name, 1, MODBUS_COIL, start, offset, count }
#define HOLDING(name, start, offset, count) \
        { name, 1, MODBUS_HOLDING_REGISTER, start, offset, count }

/* The examples of the specification, and coils of a second unit at the end of the addresses. */
static const ModbusSlaveData examples[] = {
        HOLDING("a", 10, 4, 8),
        HOLDING("b", 20, 12, 24),
        HOLDING("e", 21, 0, 4),
        HOLDING("x", 0, 0, 16),
        HOLDING("y", 0, 8, 16),
        COILS("c", 5, 2, 3),
        { "d", 2, MODBUS_DISCRETE_INPUT, 65530, 0, 6 },
        { "i", 2, MODBUS_INPUT_REGISTER, 30, 16, 80 },
        { "zero", 0, MODBUS_COIL, 0, 0, 8 },
        { "never", 321, MODBUS_COIL, 0, 0, 8 },
};

static int set(ModbusStore *s, const char *name, const char *value) {
        return modbus_store_set(s, (Subtype) { name, strlen(name) }, (JsonSpan) { value, strlen(value) });
}

static ModbusPdu pdu(uint8_t function, unsigned address, unsigned quantity) {
        return (ModbusPdu) {
                .function = function,
                .address = (uint16_t) address,
                .quantity = (uint16_t) quantity,
        };
}

/* The read data in hexadecimal digits, or the name of the error. */
static char *read_text(ModbusStore *s, uint8_t unit, uint8_t function, unsigned address, unsigned quantity) {
        ModbusPdu request = pdu(function, address, quantity);
        uint8_t data[MODBUS_PDU_MAX], size = 0;
        ModbusResult result = modbus_store_read(s, unit, &request, data, &size);
        GString *text = g_string_new(NULL);

        if (result != MODBUS_SUCCESS)
                g_string_append(text, modbus_result_to_string(result));
        for (unsigned i = 0; i < size; i++)
                g_string_append_printf(text, "%02x", data[i]);
        return g_string_free(text, FALSE);
}

static void expect_read(ModbusStore *s, uint8_t unit, uint8_t function, unsigned address, unsigned quantity,
                        const char *expected) {
        g_autofree char *text = read_text(s, unit, function, address, quantity);

        g_assert_cmpstr(text, ==, expected);
}

/* `name=value` of each data item that a write touches, or the name of the error. */
static char *write_text(ModbusStore *s, uint8_t unit, const ModbusPdu *request) {
        const ModbusStoreItem *item;
        ModbusStoreWrite w;
        ModbusResult result = modbus_store_write(s, unit, request, &w);
        GString *text = g_string_new(NULL);

        if (result != MODBUS_SUCCESS) {
                g_string_append(text, modbus_result_to_string(result));
                return g_string_free(text, FALSE);
        }
        while ((item = modbus_store_write_next(&w))) {
                JsonWriter json;
                JsonSpan value;

                json_writer_init_growing(&json);
                modbus_store_item_write_json(item, &w, &json);
                g_assert_cmpint(json_writer_end(&json, &value), >=, 0);
                g_string_append_printf(text, "%s%s=%.*s", text->len > 0 ? " " : "",
                                       modbus_store_item_name(item), (int) value.size, value.text);
                json_writer_done(&json);
        }
        return g_string_free(text, FALSE);
}

/* ---- tables ------------------------------------------------------------------------------------------ */

static void test_registers(void) {
        _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(examples, G_N_ELEMENTS(examples));
        const char *missing = "INVALID_DATA_ADDRESS";

        g_assert_cmpint(set(s, "a", "171"), ==, 0);
        g_assert_cmpint(set(s, "b", "11259375"), ==, 0);
        g_assert_cmpint(set(s, "c", "5"), ==, 0);
        g_assert_cmpint(set(s, "d", "33"), ==, 0);
        g_assert_cmpint(set(s, "i", "85968058283706962415906"), ==, 0);

        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 10, 1, "0ab0");
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 20, 3, "000abcdef000");
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 0, 2, "00000000");
        expect_read(s, 1, MODBUS_READ_COILS, 7, 3, "05");
        expect_read(s, 1, MODBUS_READ_COILS, 8, 2, "02");
        expect_read(s, 2, MODBUS_READ_DISCRETE_INPUTS, 65530, 6, "21");
        expect_read(s, 2, MODBUS_READ_INPUT_REGISTERS, 31, 5, "123456789abcdef01122");

        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 9, 1, missing);
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 10, 2, missing);
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 19, 2, missing);
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 2, 1, missing);
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 65535, 125, missing);
        expect_read(s, 1, MODBUS_READ_COILS, 5, 3, missing);
        expect_read(s, 1, MODBUS_READ_COILS, 6, 1, missing);
        expect_read(s, 1, MODBUS_READ_COILS, 7, 4, missing);
        expect_read(s, 1, MODBUS_READ_DISCRETE_INPUTS, 7, 1, missing);
        expect_read(s, 2, MODBUS_READ_INPUT_REGISTERS, 30, 1, missing); /* skipped by bit_offset */
        expect_read(s, 2, MODBUS_READ_DISCRETE_INPUTS, 65530, 7, missing);
        expect_read(s, 2, MODBUS_READ_HOLDING_REGISTERS, 10, 1, missing);
        expect_read(s, 1, MODBUS_READ_FIFO, 10, 0, missing);
        expect_read(s, 65, MODBUS_READ_COILS, 0, 1, missing); /* 321 modulo 256 */
}

static void test_units(void) {
        _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(examples, G_N_ELEMENTS(examples));
        _cleanup_(modbus_store_freep) ModbusStore *empty = modbus_store_new(NULL, 0);

        for (unsigned i = 0; i < 256; i++) {
                g_assert_cmpint(modbus_units_has(modbus_store_units(s), (uint8_t) i), ==, i == 1 || i == 2);
                g_assert_false(modbus_units_has(modbus_store_units(empty), (uint8_t) i));
        }
        expect_read(empty, 1, MODBUS_READ_COILS, 0, 1, "INVALID_DATA_ADDRESS");
        g_assert_cmpint(set(empty, "a", "1"), ==, -ENOENT);
}

static void test_set(void) {
        static const struct {
                const char *name, *value;
                int result;
        } rows[] = {
                { "x", "65535", 0 },
                { "x", "65536", -ERANGE },
                { "x", "-1", -ERANGE },
                { "x", "1.0", -EBADMSG },
                { "x", "1e0", -EBADMSG },
                { "x", "\"1\"", -EBADMSG },
                { "x", "null", -EBADMSG },
                { "x", "true", -EBADMSG },
                { "x", "{}", -EBADMSG },
                { "X", "1", -ENOENT },
                { "", "1", -ENOENT },
                { "i", "1208925819614629174706175", 0 },
                { "i", "1208925819614629174706176", -ERANGE },
                { "zero", "255", 0 }, /* kept, never read */
                { "never", "255", 0 },
        };
        _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(examples, G_N_ELEMENTS(examples));
        g_autofree char *digits = g_strnfill(5000, '1');

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_test_message("%s %s", rows[i].name, rows[i].value);
                g_assert_cmpint(set(s, rows[i].name, rows[i].value), ==, rows[i].result);
        }
        g_assert_cmpint(set(s, "x", digits), ==, -ERANGE);
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 0, 1, "ffff"); /* what is refused changes nothing */

        g_assert_cmpint(set(s, "y", "43981"), ==, 0);
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 0, 2, "ffabcd00");
}

static void test_writes(void) {
        static const uint8_t registers[] = { 0xaa, 0xbb, 0xcc, 0xdd }, coils[] = { 0x05 };
        static const struct {
                uint8_t function;
                uint16_t address, quantity, value;
                const uint8_t *data;
                size_t size;
                const char *expected;
        } rows[] = {
                { MODBUS_WRITE_REGISTER, 0, 1, 0x1234, NULL, 0, "x=4660 y=13312" },
                { MODBUS_WRITE_REGISTER, 1, 1, 0x12ff, NULL, 0, "y=18" },
                { MODBUS_WRITE_REGISTER, 21, 1, 0x1111, NULL, 0, "b=10555679 e=1" },
                { MODBUS_WRITE_REGISTER, 21, 1, 0xbcde, NULL, 0, "b=11259375 e=11" },
                { MODBUS_WRITE_REGISTER, 10, 1, 0x0ab0, NULL, 0, "a=171" },
                { MODBUS_WRITE_REGISTERS, 0, 2, 0, registers, 4, "x=43707 y=48076" },
                { MODBUS_WRITE_REGISTERS, 1, 2, 0, registers, 4, "INVALID_DATA_ADDRESS" },
                { MODBUS_WRITE_REGISTER, 2, 1, 0, NULL, 0, "INVALID_DATA_ADDRESS" },
                { MODBUS_WRITE_COIL, 7, 1, 0xff00, NULL, 0, "c=6" },
                { MODBUS_WRITE_COIL, 8, 1, 0, NULL, 0, "c=0" },
                { MODBUS_WRITE_COIL, 8, 1, 0xff00, NULL, 0, "c=2" },
                { MODBUS_WRITE_COIL, 6, 1, 0, NULL, 0, "INVALID_DATA_ADDRESS" },
                { MODBUS_WRITE_COILS, 7, 3, 0, coils, 1, "c=5" },
                { MODBUS_WRITE_COILS, 8, 2, 0, coils, 1, "c=2" },
                { MODBUS_WRITE_COILS, 7, 4, 0, coils, 1, "INVALID_DATA_ADDRESS" },
        };
        _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(examples, G_N_ELEMENTS(examples));

        g_assert_cmpint(set(s, "b", "11259375"), ==, 0);
        g_assert_cmpint(set(s, "c", "2"), ==, 0);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                ModbusPdu request = pdu(rows[i].function, rows[i].address, rows[i].quantity);
                g_autofree char *text = NULL;

                request.value = rows[i].value;
                request.data = rows[i].data;
                request.data_size = rows[i].size;
                text = write_text(s, 1, &request);
                g_test_message("row %zu", i);
                g_assert_cmpstr(text, ==, rows[i].expected);
        }
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 20, 3, "000abcdef000"); /* writes store nothing */
        expect_read(s, 1, MODBUS_READ_COILS, 7, 3, "02");
}

static void test_mask_writes(void) {
        static const struct {
                uint16_t address, and_mask, or_mask;
                const char *expected;
        } rows[] = {
                { 20, 0xfff0, 0x0005, "b=6016495" },
                { 20, 0xfff7, 0x0008, "b=11259375" },
                { 20, 0x000f, 0x1230, "" },
                { 21, 0x0fff, 0x5000, "b=10866159 e=5" },
                { 21, 0xf0ff, 0x0100, "b=11214319" },
                { 21, 0xffff, 0x1234, "" },
                { 22, 0xf000, 0x0fff, "" },
                { 0, 0x00ff, 0xab00, "x=43776" },
                { 0, 0xff00, 0x00ab, "x=171 y=43776" },
                { 23, 0, 0, "INVALID_DATA_ADDRESS" },
                { 7, 0, 0, "INVALID_DATA_ADDRESS" }, /* a coil's address */
        };
        _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(examples, G_N_ELEMENTS(examples));

        g_assert_cmpint(set(s, "b", "11259375"), ==, 0);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                ModbusPdu request = pdu(MODBUS_MASK_WRITE, rows[i].address, 1);
                g_autofree char *text = NULL;

                request.and_mask = rows[i].and_mask;
                request.value = rows[i].or_mask;
                text = write_text(s, 1, &request);
                g_test_message("row %zu", i);
                g_assert_cmpstr(text, ==, rows[i].expected);
        }
}

/* ---- typed values ------------------------------------------------------------------------------------ */

/* The registers of a vector, what fills the last one being 0. */
static GByteArray *vector_registers(const ValueVector *v) {
        GByteArray *bytes = from_hex(v->hex);

        if (bytes->len % 2 != 0)
                g_byte_array_append(bytes, (const uint8_t *) "", 1);
        return bytes;
}

static void expect_event(ModbusStore *s, uint16_t address, const GByteArray *registers, const char *expected) {
        ModbusPdu request = pdu(MODBUS_WRITE_REGISTERS, address, registers->len / 2);
        g_autofree char *got = NULL;

        request.data = registers->data;
        request.data_size = registers->len;
        got = write_text(s, 1, &request);
        g_assert_cmpstr(got, ==, expected);
}

/* Both ways: a data event makes the registers, a write of the registers makes the event's value. */
static void test_vectors(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(value_vectors); i++) {
                const ValueVector *v = &value_vectors[i];
                const ModbusSlaveData data = {
                        .name = "v",
                        .device_id = 1,
                        .type = MODBUS_HOLDING_REGISTER,
                        .start_address = 7,
                        .bit_count = (int64_t) v->n_bits,
                        .value = conf_of(v->type, v->word_order, v->byte_order),
                };
                _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(&data, 1), *empty = modbus_store_new(&data, 1);
                g_autoptr(GByteArray) registers = vector_registers(v);
                g_autofree char *event = g_strdup_printf("v=%s", v->text);
                GString *hex = g_string_new(NULL);

                for (guint j = 0; j < registers->len; j++)
                        g_string_append_printf(hex, "%02x", registers->data[j]);
                g_test_message("%s = %s", v->hex, v->text);
                g_assert_cmpint(set(s, "v", v->text), ==, 0);
                expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 7, registers->len / 2, hex->str);
                expect_event(empty, 7, registers, event);
                g_string_free(hex, TRUE);
        }
}

static const ModbusStateConf pump_states[] = { { 0, "off" }, { 1, "on" } };

#define VALUE(kind, least, most, ...) \
        { .given = true, .type = (kind), .min = (least), .max = (most), __VA_ARGS__ }
#define TYPED(name, start, count, ...) \
        { name, 1, MODBUS_HOLDING_REGISTER, start, 0, count, VALUE(__VA_ARGS__) }

static const ModbusSlaveData typed[] = {
        TYPED("level", 0, 16, MODBUS_VALUE_UINT, 1, 100, .scale = 0.1),
        TYPED("flow", 1, 32, MODBUS_VALUE_FLOAT, NAN, NAN, .scale = 1, .word_order = L),
        TYPED("pump", 3, 16, MODBUS_VALUE_UINT, NAN, NAN, .scale = 1,
              .states = { (void *) pump_states, G_N_ELEMENTS(pump_states) }),
        TYPED("count", 4, 16, MODBUS_VALUE_BCD, NAN, NAN, .scale = 1),
        TYPED("tag", 5, 32, MODBUS_VALUE_STRING, NAN, NAN, .scale = 1),
        HOLDING("raw", 7, 0, 16),
        { "run", 1, MODBUS_COIL, 0, 0, 1, VALUE(MODBUS_VALUE_BOOL, NAN, NAN, .scale = 1) },
};

static void test_typed_set(void) {
        static const struct {
                const char *name, *value;
                int result;
        } rows[] = {
                { "level", "12.5", 0 },
                { "level", "0.9", -ERANGE },
                { "level", "100.1", -ERANGE },
                { "level", "\"12.5\"", -EBADMSG },
                { "flow", "1.5", 0 },
                { "flow", "1e300", -ERANGE },
                { "flow", "null", -EBADMSG },
                { "pump", "\"on\"", 0 },
                { "pump", "\"up\"", -ERANGE },
                { "pump", "true", -EBADMSG },
                { "count", "1234", 0 },
                { "count", "10000", -ERANGE },
                { "tag", "\"ab\"", 0 },
                { "tag", "\"abcde\"", -ERANGE },
                { "tag", "5", -EBADMSG },
                { "raw", "7", 0 },
                { "raw", "7.0", -EBADMSG },
                { "run", "true", 0 },
                { "run", "2", -ERANGE },
        };
        _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(typed, G_N_ELEMENTS(typed));

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_test_message("%s %s", rows[i].name, rows[i].value);
                g_assert_cmpint(set(s, rows[i].name, rows[i].value), ==, rows[i].result);
        }
        expect_read(s, 1, MODBUS_READ_HOLDING_REGISTERS, 0, 8, "007d" "00003fc0" "0001" "1234" "61620000" "0007");
        expect_read(s, 1, MODBUS_READ_COILS, 0, 1, "01");
}

/* What a data event could not say, no master can write: one item of it refuses the whole request. */
static void test_typed_writes(void) {
        static const struct {
                uint16_t address;
                const char *registers, *expected;
        } rows[] = {
                { 0, "03e8", "level=100.0" },
                { 0, "03e9", "INVALID_DATA_VALUE" },
                { 0, "0009", "INVALID_DATA_VALUE" },
                { 0, "03e8 0000 3fc0", "level=100.0 flow=1.5" },
                { 0, "03e8 0000 7fc0", "INVALID_DATA_VALUE" }, /* no number */
                { 1, "0000 7f80", "INVALID_DATA_VALUE" },
                { 2, "4000", "flow=2.0" }, /* half of it; the other half is as stored */
                { 3, "0001 9999", "pump=\"on\" count=9999" },
                { 3, "0002 999a", "INVALID_DATA_VALUE" },
                { 3, "0002", "pump=2" },
                { 5, "6869 7a00 ffff", "tag=\"hiz\" raw=65535" },
        };
        _cleanup_(modbus_store_freep) ModbusStore *s = modbus_store_new(typed, G_N_ELEMENTS(typed));
        ModbusPdu coil = pdu(MODBUS_WRITE_COIL, 0, 1);
        g_autofree char *text = NULL;

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autoptr(GByteArray) registers = from_hex(rows[i].registers);

                g_test_message("row %zu", i);
                expect_event(s, rows[i].address, registers, rows[i].expected);
        }
        coil.value = 0xff00;
        text = write_text(s, 1, &coil);
        g_assert_cmpstr(text, ==, "run=true");
}

/* ---- random data against single bits ----------------------------------------------------------------- */

#define MODEL_ADDRESSES 40U
#define MODEL_ITEMS 8U
#define MODEL_BITS_MAX 64U

/* One table: a bit stands at address * width + place in the register, most significant first. */
typedef struct Model {
        unsigned width;
        bool exists[MODEL_ADDRESSES];
        bool bits[MODEL_ADDRESSES * 16];
        ModbusSlaveData data[MODEL_ITEMS];
        char names[MODEL_ITEMS][2];
} Model;

static unsigned model_begin(const Model *m, size_t item) {
        return (unsigned) (m->data[item].start_address * m->width + m->data[item].bit_offset);
}

static void model_init(Model *m, GRand *rand, ModbusDataType type) {
        *m = (Model) { .width = modbus_data_type_width(type) };

        for (size_t i = 0; i < MODEL_ITEMS; i++) {
                unsigned begin = (unsigned) g_rand_int_range(rand, 0,
                                                             (gint32) ((MODEL_ADDRESSES - 1) * m->width));
                unsigned most = MIN(MODEL_ADDRESSES * m->width - begin, MODEL_BITS_MAX);
                unsigned start = (unsigned) g_rand_int_range(rand, 0, (gint32) (begin / m->width + 1));

                m->names[i][0] = (char) ('a' + i);
                m->data[i] = (ModbusSlaveData) {
                        .name = m->names[i],
                        .device_id = 1,
                        .type = (int) type,
                        .start_address = start,
                        .bit_offset = begin - start * m->width,
                        .bit_count = g_rand_int_range(rand, 1, (gint32) MIN(most, 40U) + 1),
                };
                for (unsigned b = 0; b < m->data[i].bit_count; b++)
                        m->exists[(begin + b) / m->width] = true;
        }
}

static void model_set(Model *m, ModbusStore *s, GRand *rand) {
        size_t i = (size_t) g_rand_int_range(rand, 0, MODEL_ITEMS);
        unsigned n = (unsigned) m->data[i].bit_count;
        uint64_t value = ((uint64_t) g_rand_int(rand) << 32 | g_rand_int(rand)) & ((UINT64_C(1) << n) - 1);
        g_autofree char *text = g_strdup_printf("%" PRIu64, value);

        for (unsigned b = 0; b < n; b++)
                m->bits[model_begin(m, i) + b] = value >> (n - 1 - b) & 1;
        g_assert_cmpint(set(s, m->names[i], text), ==, 0);
}

static bool model_has(const Model *m, unsigned address, unsigned quantity) {
        for (unsigned a = address; a < address + quantity; a++)
                if (a >= MODEL_ADDRESSES || !m->exists[a])
                        return false;
        return true;
}

static void model_check_read(const Model *m, ModbusStore *s, uint8_t function, unsigned address,
                             unsigned quantity) {
        g_autofree char *text = read_text(s, 1, function, address, quantity);
        uint8_t bytes[2 * MODEL_ADDRESSES] = {};
        GString *expected = g_string_new(NULL);
        size_t size = (quantity * m->width + 7) / 8;

        if (!model_has(m, address, quantity)) {
                g_string_append(expected, "INVALID_DATA_ADDRESS");
                size = 0;
        }
        for (unsigned b = 0; size > 0 && b < quantity * m->width; b++)
                if (m->bits[address * m->width + b])
                        bytes[b / 8] |= (uint8_t) (m->width == 1 ? 1 << b % 8 : 0x80 >> b % 8);
        for (size_t i = 0; i < size; i++)
                g_string_append_printf(expected, "%02x", bytes[i]);
        g_assert_cmpstr(text, ==, expected->str);
        g_string_free(expected, TRUE);
}

/* What a write of these bits reports; written: bits that count as affected. */
static char *model_write(const Model *m, const bool *bits, const bool *written) {
        GString *text = g_string_new(NULL);

        for (size_t i = 0; i < MODEL_ITEMS; i++) {
                unsigned begin = model_begin(m, i);
                uint64_t value = 0;
                bool touched = false;

                for (unsigned p = begin; p < begin + m->data[i].bit_count; p++) {
                        value = value << 1 | (written[p] ? bits[p] : m->bits[p]);
                        touched = touched || written[p];
                }
                if (touched)
                        g_string_append_printf(text, "%s%s=%" PRIu64, text->len > 0 ? " " : "", m->names[i],
                                               value);
        }
        return g_string_free(text, FALSE);
}

static void model_check_write(const Model *m, ModbusStore *s, GRand *rand, unsigned address,
                              unsigned quantity) {
        bool bits[MODEL_ADDRESSES * 16] = {}, written[MODEL_ADDRESSES * 16] = {};
        uint8_t data[2 * MODEL_ADDRESSES] = {};
        ModbusPdu request = pdu(m->width == 1 ? MODBUS_WRITE_COILS : MODBUS_WRITE_REGISTERS, address,
                                quantity);
        g_autofree char *text = NULL, *expected = NULL;

        for (unsigned b = 0; b < quantity * m->width; b++) {
                bool on = g_rand_boolean(rand);

                if (on)
                        data[b / 8] |= (uint8_t) (m->width == 1 ? 1 << b % 8 : 0x80 >> b % 8);
                if (address * m->width + b < G_N_ELEMENTS(bits)) {
                        bits[address * m->width + b] = on;
                        written[address * m->width + b] = true;
                }
        }
        request.data = data;
        request.data_size = (quantity * m->width + 7) / 8;

        text = write_text(s, 1, &request);
        expected = model_has(m, address, quantity) ? model_write(m, bits, written)
                                                   : g_strdup("INVALID_DATA_ADDRESS");
        g_assert_cmpstr(text, ==, expected);
}

static void model_check_mask_write(const Model *m, ModbusStore *s, GRand *rand, unsigned address) {
        bool bits[MODEL_ADDRESSES * 16] = {}, written[MODEL_ADDRESSES * 16] = {};
        ModbusPdu request = pdu(MODBUS_MASK_WRITE, address, 1);
        g_autofree char *text = NULL, *expected = NULL;

        request.and_mask = (uint16_t) g_rand_int(rand);
        request.and_mask |= (uint16_t) g_rand_int(rand); /* rather ones: a few bits are written */
        request.value = (uint16_t) g_rand_int(rand);
        for (unsigned b = 0; b < 16; b++) {
                bits[address * 16 + b] = request.value >> (15 - b) & 1;
                written[address * 16 + b] = !(request.and_mask >> (15 - b) & 1);
        }

        text = write_text(s, 1, &request);
        expected = model_has(m, address, 1) ? model_write(m, bits, written)
                                            : g_strdup("INVALID_DATA_ADDRESS");
        g_assert_cmpstr(text, ==, expected);
}

static void model_run(GRand *rand, ModbusDataType type, uint8_t read_function) {
        _cleanup_(modbus_store_freep) ModbusStore *s = NULL;
        Model m;

        model_init(&m, rand, type);
        s = modbus_store_new(m.data, MODEL_ITEMS);
        for (unsigned i = 0; i < 30; i++) {
                unsigned address = (unsigned) g_rand_int_range(rand, 0, MODEL_ADDRESSES);
                unsigned quantity = (unsigned) g_rand_int_range(rand, 1, 9);

                model_set(&m, s, rand);
                model_check_read(&m, s, read_function, address, quantity);
                if (type == MODBUS_COIL || type == MODBUS_HOLDING_REGISTER)
                        model_check_write(&m, s, rand, address, quantity);
                if (type == MODBUS_HOLDING_REGISTER)
                        model_check_mask_write(&m, s, rand, address);
        }
}

static void test_model(void) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(0x6d6f6462);

        for (unsigned i = 0; i < 100; i++) {
                model_run(rand, MODBUS_COIL, MODBUS_READ_COILS);
                model_run(rand, MODBUS_DISCRETE_INPUT, MODBUS_READ_DISCRETE_INPUTS);
                model_run(rand, MODBUS_HOLDING_REGISTER, MODBUS_READ_HOLDING_REGISTERS);
                model_run(rand, MODBUS_INPUT_REGISTER, MODBUS_READ_INPUT_REGISTERS);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-store/registers", test_registers);
        g_test_add_func("/modbus-store/units", test_units);
        g_test_add_func("/modbus-store/set", test_set);
        g_test_add_func("/modbus-store/writes", test_writes);
        g_test_add_func("/modbus-store/mask-writes", test_mask_writes);
        g_test_add_func("/modbus-store/vectors", test_vectors);
        g_test_add_func("/modbus-store/typed-set", test_typed_set);
        g_test_add_func("/modbus-store/typed-writes", test_typed_writes);
        g_test_add_func("/modbus-store/model", test_model);

        return g_test_run();
}
