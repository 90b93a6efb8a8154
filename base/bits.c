/* SPDX-License-Identifier: Apache-2.0 */
/* Bits to decimal text and back. Up to 64 bits it is ordinary arithmetic; beyond, schoolbook division and
 * multiplication by 10^9 over limbs of 32 bits, the least significant one first. Pure functions, any
 * thread. */

#include <errno.h>

#include "base/bits.h"
#include "base/bounds.h"

#define CHUNK_DIGITS 9U
#define CHUNK 1000000000U

/* Enough for 14,300 bits and for JSON_DIGITS_MAX digits (a digit is less than 10/3 bits). */
#define LIMBS_MAX ((JSON_DIGITS_MAX * 10 / 3 + 31) / 32 + 1)

size_t uint64_to_decimal(uint64_t value, char *ret_text) {
        static const char pairs[] =
                        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                        "8081828384858687888990919293949596979899";
        char digits[UINT64_DECIMAL_MAX];
        size_t at = sizeof(digits);

        while (value >= 100) {
                at -= 2;
                memcpy(digits + at, pairs + 2 * (value % 100), 2);
                value /= 100;
        }
        if (value >= 10) {
                at -= 2;
                memcpy(digits + at, pairs + 2 * value, 2);
        } else
                digits[--at] = (char) ('0' + value);

        memcpy(ret_text, digits + at, sizeof(digits) - at);
        return sizeof(digits) - at;
}

/* ---- bits to text ------------------------------------------------------------------------------------- */

/* Returns how many limbs are in use (the highest of them is not 0). */
static size_t limbs_from_bits(const uint8_t *bits, size_t n_bytes, uint32_t *limbs) {
        size_t n = 0;

        for (size_t end = n_bytes; end > 0; n++) {
                uint32_t limb = 0;

                for (unsigned shift = 0; shift < 32 && end > 0; shift += 8)
                        limb |= (uint32_t) bits[--end] << shift;
                limbs[n] = limb;
        }
        while (n > 0 && limbs[n - 1] == 0)
                n--;
        return n;
}

static uint32_t limbs_divide(uint32_t *limbs, size_t *n) {
        uint64_t rest = 0;

        for (size_t i = *n; i > 0; i--) {
                rest = rest << 32 | limbs[i - 1];
                limbs[i - 1] = (uint32_t) (rest / CHUNK);
                rest %= CHUNK;
        }
        while (*n > 0 && limbs[*n - 1] == 0)
                (*n)--;
        return (uint32_t) rest;
}

/* Fills text from its end; the limbs are used up. Returns where the digits begin. */
static size_t limbs_to_decimal(uint32_t *limbs, size_t n, char *text, size_t size) {
        size_t at = size;

        while (n > 1 || (n == 1 && limbs[0] >= CHUNK)) {
                uint32_t chunk = limbs_divide(limbs, &n);

                for (unsigned i = 0; i < CHUNK_DIGITS; i++) {
                        text[--at] = (char) ('0' + chunk % 10);
                        chunk /= 10;
                }
        }
        for (uint32_t head = n > 0 ? limbs[0] : 0; head > 0 || at == size; head /= 10)
                text[--at] = (char) ('0' + head % 10);
        return at;
}

size_t bits_to_decimal(const uint8_t *bits, size_t n_bits, char *ret_text) {
        size_t n_bytes = BITS_BYTES(n_bits), n_limbs = (n_bytes + 3) / 4, at;
        size_t room = BITS_DECIMAL_MAX(n_bits);
        uint32_t stack[LIMBS_MAX];
        g_autofree uint32_t *heap = NULL;
        uint32_t *limbs = stack;

        if (n_bits <= 64) {
                uint64_t value = 0;

                for (size_t i = 0; i < n_bytes; i++)
                        value = value << 8 | bits[i];
                return uint64_to_decimal(value, ret_text);
        }

        if (n_limbs > LIMBS_MAX) {
                heap = g_new(uint32_t, n_limbs);
                limbs = heap;
        }

        at = limbs_to_decimal(limbs, limbs_from_bits(bits, n_bytes, limbs), ret_text, room);
        memmove(ret_text, ret_text + at, room - at);
        return room - at;
}

/* ---- text to bits ------------------------------------------------------------------------------------- */

/* limbs = limbs * factor + summand */
static void limbs_multiply_add(uint32_t *limbs, size_t *n, uint32_t factor, uint32_t summand) {
        uint64_t carry = summand;

        for (size_t i = 0; i < *n; i++) {
                carry += (uint64_t) limbs[i] * factor;
                limbs[i] = (uint32_t) carry;
                carry >>= 32;
        }
        if (carry > 0)
                limbs[(*n)++] = (uint32_t) carry;
}

/* At most JSON_DIGITS_MAX digits. Returns how many limbs are in use. */
static size_t limbs_from_decimal(const char *digits, size_t size, uint32_t *limbs) {
        size_t n = 0;

        for (size_t i = 0; i < size;) {
                uint32_t chunk = 0, factor = 1;

                /* The first chunk takes what does not fill a whole one. */
                for (size_t end = i + ((size - i - 1) % CHUNK_DIGITS) + 1; i < end; i++) {
                        chunk = chunk * 10 + (uint32_t) (digits[i] - '0');
                        factor *= 10;
                }
                limbs_multiply_add(limbs, &n, factor, chunk);
        }
        return n;
}

/* Writes 2^n_bits - value when negative, else the value; limbs beyond n are 0. */
static void limbs_to_bits(const uint32_t *limbs, size_t n, bool negative, size_t n_bits, uint8_t *ret_bits) {
        size_t n_bytes = BITS_BYTES(n_bits);
        unsigned carry = 1;

        for (size_t i = 0; i < n_bytes; i++) {
                uint8_t byte = i / 4 < n ? (uint8_t) (limbs[i / 4] >> (i % 4 * 8)) : 0;

                if (negative) {
                        carry += (uint8_t) ~byte;
                        byte = (uint8_t) carry;
                        carry >>= 8;
                }
                ret_bits[n_bytes - 1 - i] = byte;
        }
        if (n_bits % 8 != 0)
                ret_bits[0] &= (uint8_t) ((1U << (n_bits % 8)) - 1);
}

static bool limbs_fit(const uint32_t *limbs, size_t n, size_t n_bits) {
        if (n <= n_bits / 32)
                return true;
        return n == n_bits / 32 + 1 && limbs[n - 1] >> (n_bits % 32) == 0;
}

int bits_from_decimal(const char *text, size_t size, size_t n_bits, uint8_t *ret_bits, bool *ret_fits) {
        bool negative = size > 0 && text[0] == '-';
        size_t n;
        uint32_t limbs[LIMBS_MAX];

        text += negative;
        size -= negative;
        if (size == 0 || (text[0] == '0' && size > 1))
                return -EINVAL;
        for (size_t i = 0; i < size; i++)
                if (!g_ascii_isdigit(text[i]))
                        return -EINVAL;
        if (size > JSON_DIGITS_MAX)
                return -E2BIG;

        n = limbs_from_decimal(text, size, limbs);
        limbs_to_bits(limbs, n, negative, n_bits, ret_bits);
        if (ret_fits)
                *ret_fits = limbs_fit(limbs, n, n_bits) && (!negative || n == 0);
        return 0;
}
