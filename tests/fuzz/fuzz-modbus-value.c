/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody writes to a typed value, as JSON: whatever it is, it is refused, or becomes bits of the type within its
 * range. Written as JSON those are the same value again, and so are the bits, where neither the digits of a scaled number
 * nor a NUL in a text cost some.
 *
 * Input: type and orders, number of bits, scale and limits, then the text. */

#include <assert.h>
#include <errno.h>
#include <math.h>

#include "devices/modbus/modbus-data.h"
#include "devices/modbus/modbus-value.h"

#define SCALED_BITS_MAX 32U /* as a number of 15 digits */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ModbusStateConf states[] = { { 0, "off" }, { 1, "on" }, { 7, "high" } };

static const size_t counts[] = { 1, 4, 7, 8, 12, 15, 16, 24, 31, 32, 33, 48, 60, 63, 64, 80, 256, 1968 };

static const struct {
        double scale, offset, min, max;
        bool named;
} kinds[] = {
        { 1, 0, NAN, NAN, false },       { 1, 0, NAN, NAN, true },      { 1, 0, -10, 50.5, true },
        { 0.1, 0, NAN, NAN, false },     { 0.1, 0, -3.33, 7.77, true }, { 0.001, -12.5, NAN, 100, false },
        { 1.0 / 3, 0, NAN, NAN, false }, { -0.5, 1, -4, NAN, true },    { 7.7, -273.15, NAN, NAN, false },
        { 1, 0, 0.1, 0.3, false },
};

typedef struct Value {
        ModbusValueConf conf;
        size_t n_bits, size;
} Value;

static int value_parse(const Value *v, JsonSpan text, uint8_t **ret_bits) {
        uint8_t *bits = g_malloc(v->size);
        size_t unused = v->size * 8 - v->n_bits;
        int r;

        r = modbus_value_parse(&v->conf, text, v->n_bits, bits);
        assert(r == 0 || r == -EBADMSG || r == -ERANGE);
        if (r < 0) {
                g_free(bits);
                return r;
        }
        assert(unused == 0 || bits[0] >> (8 - unused) == 0);
        assert(modbus_value_allowed(&v->conf, bits, unused, v->n_bits));
        *ret_bits = bits;
        return 0;
}

static void value_write(const Value *v, const uint8_t *bits, JsonWriter *w, JsonSpan *ret) {
        json_writer_init_growing(w);
        modbus_value_write_json(w, &v->conf, bits, v->size * 8 - v->n_bits, v->n_bits);
        assert(json_writer_end(w, ret) >= 0);
        assert(json_check(ret->text, ret->size, NULL) >= 0);
        assert(json_kind(*ret) != JSON_NULL);
}

static bool value_is_exact(const Value *v) {
        bool scaled = v->conf.scale < 1 || v->conf.scale > 1 || v->conf.offset < 0 || v->conf.offset > 0;

        switch (v->conf.type) {
        case MODBUS_VALUE_BOOL:
                return true;
        case MODBUS_VALUE_STRING:
                return false;
        case MODBUS_VALUE_FLOAT:
                return !scaled;
        default:
                return !scaled || v->n_bits <= SCALED_BITS_MAX;
        }
}

static void check_again(const Value *v, const uint8_t *bits) {
        g_autofree uint8_t *again = NULL;
        JsonWriter first, second;
        JsonSpan a, b;

        value_write(v, bits, &first, &a);
        if (value_is_exact(v) || v->conf.type == MODBUS_VALUE_STRING) {
                assert(value_parse(v, a, &again) == 0);
                assert(!value_is_exact(v) || memcmp(again, bits, v->size) == 0);
                value_write(v, again, &second, &b);
                assert(a.size == b.size && memcmp(a.text, b.text, a.size) == 0);
                json_writer_done(&second);
        }
        json_writer_done(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree uint8_t *bits = NULL;
        Value v = {};
        JsonSpan text;
        size_t kind;

        if (size < 4 || json_check((const char *) data + 3, size - 3, &text) < 0)
                return 0;

        v.n_bits = counts[data[1] % G_N_ELEMENTS(counts)];
        v.size = BITS_BYTES(v.n_bits);
        kind = data[2] % G_N_ELEMENTS(kinds);
        v.conf = (ModbusValueConf) {
                .given = true,
                .type = data[0] % (MODBUS_VALUE_BCD + 1),
                .word_order = data[0] & 0x80 ? MODBUS_ORDER_LITTLE : MODBUS_ORDER_BIG,
                .byte_order = data[0] & 0x40 ? MODBUS_ORDER_LITTLE : MODBUS_ORDER_BIG,
                .scale = kinds[kind].scale,
                .offset = kinds[kind].offset,
                .min = kinds[kind].min,
                .max = kinds[kind].max,
        };
        if (kinds[kind].named && v.n_bits >= 4)
                v.conf.states = (ConfArray) { (void *) states, G_N_ELEMENTS(states) };
        if (modbus_value_needs(&v.conf, MODBUS_HOLDING_REGISTER, 0, (int64_t) v.n_bits))
                return 0;

        if (value_parse(&v, text, &bits) == 0)
                check_again(&v, bits);
        return 0;
}
