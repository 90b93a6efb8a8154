/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, texts and states out of bits, and back. No state. */

#include "devices/modbus/modbus-value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/modbus/modbus-data.h"

#define BITS_MAX 64U            /* of a number */
#define DIGITS 15               /* decimal digits that a double keeps whatever they are */
#define DIGITS_FLOAT 9
#define WORD_BITS 16U
/* What rounds to infinity from here on. */
#define HALF_OVERFLOW 65520.0
#define SINGLE_OVERFLOW 0x1.ffffffp127

/* ---- bits -------------------------------------------------------------------------------------------- */

/* Words and bytes as the far end orders them to those of 2.1, and back. */
static void reorder(const ModbusValueConf *v, uint8_t *bytes, size_t size) {
        if (v->word_order == MODBUS_ORDER_LITTLE)
                for (size_t i = 0, j = size - 2; i < j; i += 2, j -= 2) {
                        uint8_t word[2] = { bytes[i], bytes[i + 1] };

                        memcpy(bytes + i, bytes + j, 2);
                        memcpy(bytes + j, word, 2);
                }
        if (v->byte_order == MODBUS_ORDER_LITTLE)
                for (size_t i = 0; i + 1 < size; i += 2) {
                        uint8_t byte = bytes[i];

                        bytes[i] = bytes[i + 1];
                        bytes[i + 1] = byte;
                }
}

static uint64_t get_uint(const uint8_t *bytes, size_t size) {
        uint64_t u = 0;

        for (size_t i = 0; i < size; i++)
                u = u << 8 | bytes[i];
        return u;
}

static void put_uint(uint64_t u, uint8_t *ret_bytes, size_t size) {
        for (size_t i = size; i-- > 0; u >>= 8)
                ret_bytes[i] = (uint8_t) u;
}

static uint64_t mask_of(size_t n_bits) {
        return n_bits == BITS_MAX ? UINT64_MAX : (UINT64_C(1) << n_bits) - 1;
}

static int64_t sign_extend(uint64_t u, size_t n_bits) {
        uint64_t sign = UINT64_C(1) << (n_bits - 1);

        return (int64_t) ((u ^ sign) - sign);
}

/* ---- floating point ---------------------------------------------------------------------------------- */

static double half_to_double(uint16_t h) {
        int exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;
        double a;

        if (exponent == 0x1f)
                a = fraction > 0 ? NAN : INFINITY;
        else if (exponent == 0)
                a = ldexp(fraction, -24);
        else
                a = ldexp(1024 + fraction, exponent - 25);
        return h & 0x8000 ? -a : a;
}

/* Finite and below HALF_OVERFLOW; to the nearest, ties to even. */
static uint16_t half_from_double(double d) {
        uint16_t sign = signbit(d) ? 0x8000 : 0;
        double a = fabs(d);
        unsigned bits;
        int exponent;

        if (a < ldexp(1, -14)) /* subnormal, or the least normal one */
                bits = (unsigned) rint(ldexp(a, 24));
        else {
                (void) frexp(a, &exponent); /* a fraction of at least 1/2 */
                bits = ((unsigned) (exponent + 13) << 10) + (unsigned) rint(ldexp(a, 11 - exponent));
        }
        return (uint16_t) (sign | bits);
}

static double float_of(uint64_t u, size_t n_bits) {
        union {
                uint32_t u32;
                float f;
        } single = { .u32 = (uint32_t) u };
        union {
                uint64_t u64;
                double d;
        } full = { .u64 = u };

        return n_bits == 16 ? half_to_double((uint16_t) u) : n_bits == 32 ? (double) single.f : full.d;
}

/* -ERANGE: no such number has so many bits. */
static int float_to_bits(double d, size_t n_bits, uint64_t *ret) {
        union {
                float f;
                uint32_t u32;
        } single;
        union {
                double d;
                uint64_t u64;
        } full = { .d = d };

        if (!isfinite(d) || (n_bits == 16 && fabs(d) >= HALF_OVERFLOW) || (n_bits == 32 && fabs(d) >= SINGLE_OVERFLOW))
                return -ERANGE;

        single.f = n_bits == 32 ? (float) d : 0;
        *ret = n_bits == 16 ? half_from_double(d) : n_bits == 32 ? single.u32 : full.u64;
        return 0;
}

/* The shortest decimal number that means the same bits: 0.1 and not 0.100000001490116. */
static double float_shortest(double d, size_t n_bits) {
        uint64_t bits, again;
        char text[40];

        if (n_bits == 64 || !isfinite(d) || float_to_bits(d, n_bits, &bits) < 0)
                return d;
        for (int digits = 1; digits <= DIGITS_FLOAT; digits++) {
                (void) snprintf(text, sizeof(text), "%.*g", digits, d);
                if (float_to_bits(strtod(text, NULL), n_bits, &again) >= 0 && again == bits)
                        return strtod(text, NULL);
        }
        return d;
}

/* ---- scale ------------------------------------------------------------------------------------------- */

static bool is_scaled(const ModbusValueConf *v) {
        return v->scale < 1 || v->scale > 1 || v->offset < 0 || v->offset > 0;
}

/* Without the noise of binary fractions: 0.3 is three tenths. */
static double scale_up(const ModbusValueConf *v, double raw) {
        double inverse = rint(1 / v->scale), value, rounded;
        bool divides = fabs(inverse) >= 1 && fabs(inverse * v->scale - 1) < 1e-12;
        char text[40];

        value = (divides ? raw / inverse : raw * v->scale) + v->offset;
        if (!isfinite(value))
                return value;
        (void) snprintf(text, sizeof(text), "%.*g", DIGITS, value);
        rounded = strtod(text, NULL);
        return isfinite(rounded) ? rounded : value;
}

/* As it is written to JSON. */
static double value_of(const ModbusValueConf *v, double raw) {
        return is_scaled(v) ? scale_up(v, raw) : raw;
}

static double scale_down(const ModbusValueConf *v, double value) {
        return (value - v->offset) / v->scale;
}

/* ---- to JSON ----------------------------------------------------------------------------------------- */

static const ModbusStateConf *find_state(const ModbusValueConf *v, int64_t raw) {
        const ModbusStateConf *states = v->states.items;

        for (size_t i = 0; i < v->states.n; i++)
                if (states[i].raw == raw)
                        return &states[i];
        return NULL;
}

static void write_number(JsonWriter *w, const ModbusValueConf *v, uint64_t u, bool negative) {
        if (is_scaled(v))
                json_double(w, scale_up(v, negative ? (double) (int64_t) u : (double) u));
        else if (negative)
                json_int(w, (int64_t) u);
        else
                json_uint(w, u);
}

static void write_integer(JsonWriter *w, const ModbusValueConf *v, uint64_t u, bool negative) {
        const ModbusStateConf *state = negative || u <= INT64_MAX ? find_state(v, (int64_t) u) : NULL;

        if (state)
                json_string(w, state->name);
        else
                write_number(w, v, u, negative);
}

/* Negative: a digit above 9. */
static int64_t bcd_of(uint64_t u, size_t n_bits) {
        int64_t value = 0;

        for (size_t shift = n_bits; shift > 0; shift -= 4) {
                int64_t digit = u >> (shift - 4) & 0xf;

                if (digit > 9)
                        return -1;
                value = value * 10 + digit;
        }
        return value;
}

static void write_bcd(JsonWriter *w, const ModbusValueConf *v, uint64_t u, size_t n_bits) {
        int64_t value = bcd_of(u, n_bits);

        if (value < 0)
                json_null(w);
        else
                write_integer(w, v, (uint64_t) value, false);
}

static void write_float(JsonWriter *w, const ModbusValueConf *v, uint64_t u, size_t n_bits) {
        json_double(w, value_of(v, float_shortest(float_of(u, n_bits), n_bits)));
}

static void write_string(JsonWriter *w, const uint8_t *bytes, size_t size) {
        json_string_n(w, (const char *) bytes, strnlen((const char *) bytes, size));
}

static bool any_bit(const uint8_t *bytes, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (bytes[i] != 0)
                        return true;
        return false;
}

void modbus_value_write_json(JsonWriter *w, const ModbusValueConf *v, const uint8_t *string, size_t offset,
                             size_t n_bits) {
        size_t size = BITS_BYTES(n_bits);
        uint8_t small[256];
        g_autofree uint8_t *large = size > sizeof(small) ? g_malloc(size) : NULL;
        uint8_t *bytes = large ?: small;
        int64_t i;

        modbus_bits_get(string, offset, n_bits, bytes);
        reorder(v, bytes, size);
        switch (v->type) {
        case MODBUS_VALUE_BOOL:
                json_bool(w, any_bit(bytes, size));
                return;
        case MODBUS_VALUE_INT:
                i = sign_extend(get_uint(bytes, size), n_bits);
                write_integer(w, v, (uint64_t) i, i < 0);
                return;
        case MODBUS_VALUE_UINT:
                write_integer(w, v, get_uint(bytes, size), false);
                return;
        case MODBUS_VALUE_FLOAT:
                write_float(w, v, get_uint(bytes, size), n_bits);
                return;
        case MODBUS_VALUE_BCD:
                write_bcd(w, v, get_uint(bytes, size), n_bits);
                return;
        default:
                write_string(w, bytes, size);
        }
}

static double number_of(const ModbusValueConf *v, const uint8_t *bytes, size_t n_bits) {
        uint64_t u = get_uint(bytes, BITS_BYTES(n_bits));
        int64_t bcd;

        switch (v->type) {
        case MODBUS_VALUE_BOOL:
                return u != 0;
        case MODBUS_VALUE_INT:
                return (double) sign_extend(u, n_bits);
        case MODBUS_VALUE_FLOAT:
                return float_of(u, n_bits);
        case MODBUS_VALUE_BCD:
                bcd = bcd_of(u, n_bits);
                return bcd < 0 ? NAN : (double) bcd;
        default:
                return (double) u;
        }
}

double modbus_value_number(const ModbusValueConf *v, const uint8_t *string, size_t offset, size_t n_bits) {
        uint8_t bytes[BITS_MAX / 8];

        if (n_bits > BITS_MAX || (v && v->type == MODBUS_VALUE_STRING))
                return NAN;
        if (!v)
                return (double) modbus_bits_get64(string, offset, n_bits);

        modbus_bits_get(string, offset, n_bits, bytes);
        reorder(v, bytes, BITS_BYTES(n_bits));
        return value_of(v, number_of(v, bytes, n_bits));
}

/* ---- from JSON --------------------------------------------------------------------------------------- */

/* json_check() let it pass: it fits a double. */
static int parse_double(JsonSpan value, double *ret) {
        g_autofree char *text = NULL;

        if (json_kind(value) != JSON_NUMBER)
                return -EBADMSG;
        text = g_strndup(value.text, value.size);
        *ret = g_ascii_strtod(text, NULL);
        return 0;
}

static bool outside(const ModbusValueConf *v, double d) {
        return d < v->min || d > v->max; /* never, where they are not given */
}

/* The same of what the bits make of it. */
static bool raw_allowed(const ModbusValueConf *v, double raw) {
        double d = value_of(v, raw);

        return isfinite(d) && !outside(v, d);
}

bool modbus_value_allowed(const ModbusValueConf *v, const uint8_t *string, size_t offset, size_t n_bits) {
        uint8_t bytes[BITS_MAX / 8];
        double d;

        if (v->type == MODBUS_VALUE_STRING || v->type == MODBUS_VALUE_BOOL)
                return true;

        modbus_bits_get(string, offset, n_bits, bytes);
        reorder(v, bytes, MIN(BITS_BYTES(n_bits), sizeof(bytes)));
        d = number_of(v, bytes, n_bits);
        if (v->type == MODBUS_VALUE_FLOAT)
                d = float_shortest(d, n_bits);
        return raw_allowed(v, d);
}

int64_t modbus_value_bcd_max(size_t n_bits) {
        int64_t most = 0;

        for (size_t i = 0; i < n_bits / 4; i++)
                most = most * 10 + 9;
        return most;
}

/* What the bits of an integer type can hold. */
typedef struct Limits {
        double low, high; /* of what is rounded; the upper one is not reached itself */
        uint64_t most;    /* of what is not negative */
        bool negative;
} Limits;

static Limits limits_of(const ModbusValueConf *v, size_t n_bits) {
        uint64_t most = mask_of(n_bits);

        if (v->type == MODBUS_VALUE_INT)
                return (Limits) { -ldexp(1, (int) n_bits - 1), ldexp(1, (int) n_bits - 1), most >> 1, true };
        if (v->type == MODBUS_VALUE_UINT)
                return (Limits) { 0, ldexp(1, (int) n_bits), most, false };

        most = (uint64_t) modbus_value_bcd_max(n_bits);
        return (Limits) { 0, (double) most + 1, most, false };
}

/* Exactly, as text: 64 bits are more than a double holds. */
static int parse_plain(JsonSpan value, const Limits *limits, size_t n_bits, uint64_t *ret) {
        uint8_t bits[BITS_MAX / 8];
        int64_t i;
        bool fits;

        if (!json_is_integer(value))
                return -EBADMSG;
        if (limits->negative) {
                if (json_to_int64(value, &i) < 0 || sign_extend((uint64_t) i & mask_of(n_bits), n_bits) != i)
                        return -ERANGE;
                *ret = (uint64_t) i & mask_of(n_bits);
                return 0;
        }
        if (bits_from_decimal(value.text, value.size, BITS_MAX, bits, &fits) < 0 || !fits)
                return -ERANGE;
        *ret = get_uint(bits, sizeof(bits));
        return *ret <= limits->most ? 0 : -ERANGE;
}

static int round_scaled(const ModbusValueConf *v, double d, const Limits *limits, size_t n_bits, uint64_t *ret) {
        double raw = rint(scale_down(v, d));

        if (!(raw >= limits->low && raw < limits->high) || !raw_allowed(v, raw))
                return -ERANGE;
        *ret = (limits->negative ? (uint64_t) (int64_t) raw : (uint64_t) raw) & mask_of(n_bits);
        return 0;
}

static const ModbusStateConf *find_state_by_name(const ModbusValueConf *v, JsonSpan name) {
        const ModbusStateConf *states = v->states.items;

        for (size_t i = 0; i < v->states.n; i++)
                if (json_text_equal(name, states[i].name))
                        return &states[i];
        return NULL;
}

static int parse_integer(const ModbusValueConf *v, JsonSpan value, size_t n_bits, uint64_t *ret) {
        const Limits limits = limits_of(v, n_bits);
        double d;
        int r;

        if (json_kind(value) == JSON_STRING) {
                const ModbusStateConf *state = find_state_by_name(v, value);

                if (!state)
                        return v->states.n > 0 ? -ERANGE : -EBADMSG;
                if (!raw_allowed(v, (double) state->raw))
                        return -ERANGE;
                *ret = (uint64_t) state->raw & mask_of(n_bits); /* fits: the configuration was checked */
                return 0;
        }
        r = parse_double(value, &d);
        if (r < 0)
                return r;
        if (outside(v, d))
                return -ERANGE;
        return is_scaled(v) ? round_scaled(v, d, &limits, n_bits, ret)
                            : parse_plain(value, &limits, n_bits, ret);
}

static int parse_bcd(const ModbusValueConf *v, JsonSpan value, size_t n_bits, uint64_t *ret) {
        uint64_t u, bcd = 0;
        int r;

        r = parse_integer(v, value, n_bits, &u);
        if (r < 0)
                return r;
        for (size_t shift = 0; shift < n_bits; shift += 4, u /= 10)
                bcd |= u % 10 << shift;
        *ret = bcd;
        return 0;
}

static int parse_float(const ModbusValueConf *v, JsonSpan value, size_t n_bits, uint64_t *ret) {
        double d;
        int r;

        r = parse_double(value, &d);
        if (r < 0)
                return r;
        if (outside(v, d))
                return -ERANGE;
        r = float_to_bits(is_scaled(v) ? scale_down(v, d) : d, n_bits, ret);
        if (r < 0)
                return r;
        return raw_allowed(v, float_shortest(float_of(*ret, n_bits), n_bits)) ? 0 : -ERANGE;
}

static int parse_bool(JsonSpan value, uint64_t *ret) {
        int64_t i;

        if (json_kind(value) == JSON_TRUE || json_kind(value) == JSON_FALSE) {
                *ret = json_kind(value) == JSON_TRUE;
                return 0;
        }
        if (!json_is_integer(value))
                return -EBADMSG;
        if (json_to_int64(value, &i) < 0 || i < 0 || i > 1)
                return -ERANGE;
        *ret = (uint64_t) i;
        return 0;
}

static int parse_string(JsonSpan value, size_t size, uint8_t *ret) {
        g_autofree char *text = NULL;
        size_t n;

        if (json_unescape(value, &text, &n) < 0)
                return -EBADMSG;
        if (n > size)
                return -ERANGE;
        memset(ret, 0, size);
        memcpy(ret, text, n);
        return 0;
}

static int parse_number_bits(const ModbusValueConf *v, JsonSpan value, size_t n_bits, uint64_t *ret) {
        switch (v->type) {
        case MODBUS_VALUE_BOOL:
                return parse_bool(value, ret);
        case MODBUS_VALUE_FLOAT:
                return parse_float(v, value, n_bits, ret);
        case MODBUS_VALUE_BCD:
                return parse_bcd(v, value, n_bits, ret);
        default:
                return parse_integer(v, value, n_bits, ret);
        }
}

int modbus_value_parse(const ModbusValueConf *v, JsonSpan value, size_t n_bits, uint8_t *ret_bits) {
        size_t size = BITS_BYTES(n_bits);
        uint64_t u = 0;
        int r;

        if (v->type == MODBUS_VALUE_STRING)
                r = parse_string(value, size, ret_bits);
        else {
                r = parse_number_bits(v, value, n_bits, &u);
                if (r >= 0)
                        put_uint(u, ret_bits, size);
        }
        if (r < 0)
                return r;
        reorder(v, ret_bits, size);
        return 0;
}

/* ---- what fits what ---------------------------------------------------------------------------------- */

const char *modbus_value_needs(const ModbusValueConf *v, int data_type, int64_t bit_offset, int64_t bit_count) {
        bool ordered = v->word_order == MODBUS_ORDER_LITTLE || v->byte_order == MODBUS_ORDER_LITTLE;

        if (ordered && (modbus_data_type_is_bit((ModbusDataType) data_type) || bit_offset % WORD_BITS != 0 ||
                        bit_count % WORD_BITS != 0))
                return "whole registers for an order of words or bytes";
        switch (v->type) {
        case MODBUS_VALUE_INT:
        case MODBUS_VALUE_UINT:
                return bit_count > BITS_MAX ? "at most 64 bits" : NULL;
        case MODBUS_VALUE_FLOAT:
                return bit_count != 16 && bit_count != 32 && bit_count != 64 ? "16, 32 or 64 bits" : NULL;
        case MODBUS_VALUE_BCD:
                return bit_count > BITS_MAX || bit_count % 4 != 0 ? "a multiple of 4 bits, at most 64" : NULL;
        case MODBUS_VALUE_STRING:
                return bit_count % 8 != 0 ? "a multiple of 8 bits" : NULL;
        default:
                return NULL;
        }
}
