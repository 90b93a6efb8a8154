/* SPDX-License-Identifier: Apache-2.0 */
/* Bits and decimal text against the check values of the specification and against a slow second way to
 * compute them. */

#include <errno.h>

#include "base/bits.h"
#include "base/bounds.h"

#define BITS_MAX 14300U
#define TEXT_MAX (BITS_DECIMAL_MAX(BITS_MAX) + 1)

/* ---- the slow way: decimal digits, doubled bit by bit ------------------------------------------------- */

/* Returns the text of the number; digits are kept from the least significant one on. */
static char *slow_decimal(const uint8_t *bits, size_t n_bits) {
        g_autofree uint8_t *digits = g_malloc0(TEXT_MAX);
        size_t n = 1, offset = BITS_BYTES(n_bits) * 8 - n_bits;
        char *text;

        for (size_t i = 0; i < n_bits; i++) {
                unsigned carry = bits[(offset + i) / 8] >> (7 - (offset + i) % 8) & 1;

                for (size_t k = 0; k < n; k++) {
                        carry += digits[k] * 2U;
                        digits[k] = (uint8_t) (carry % 10);
                        carry /= 10;
                }
                if (carry > 0)
                        digits[n++] = (uint8_t) carry;
        }

        text = g_malloc0(n + 1);
        for (size_t k = 0; k < n; k++)
                text[k] = (char) ('0' + digits[n - 1 - k]);
        return text;
}

static void negate(uint8_t *bits, size_t n_bits) {
        unsigned carry = 1;

        for (size_t i = BITS_BYTES(n_bits); i > 0; i--) {
                carry += (uint8_t) ~bits[i - 1];
                bits[i - 1] = (uint8_t) carry;
                carry >>= 8;
        }
        if (n_bits % 8 != 0)
                bits[0] &= (uint8_t) ((1U << (n_bits % 8)) - 1);
}

static void random_bits(uint8_t *bits, size_t n_bits, size_t n_used) {
        memset(bits, 0, BITS_BYTES(n_bits));
        for (size_t i = 0; i < n_used; i++)
                if (g_test_rand_bit())
                        bits[BITS_BYTES(n_bits) - 1 - i / 8] |= (uint8_t) (1U << (i % 8));
}

/* ---- */

static char *to_text(const uint8_t *bits, size_t n_bits) {
        char *text = g_malloc(BITS_DECIMAL_MAX(n_bits) + 1);
        size_t n = bits_to_decimal(bits, n_bits, text);

        g_assert_cmpuint(n, <=, BITS_DECIMAL_MAX(n_bits));
        text[n] = '\0';
        return text;
}

static void check_round_trip(const uint8_t *bits, size_t n_bits) {
        g_autofree char *expected = slow_decimal(bits, n_bits), *text = to_text(bits, n_bits), *minus = NULL;
        g_autofree uint8_t *back = g_malloc(BITS_BYTES(n_bits));
        bool fits = false;

        g_assert_cmpstr(text, ==, expected);
        if (strlen(text) > JSON_DIGITS_MAX) {
                g_assert_cmpint(bits_from_decimal(text, strlen(text), n_bits, back, NULL), ==, -E2BIG);
                return;
        }

        g_assert_cmpint(bits_from_decimal(text, strlen(text), n_bits, back, &fits), ==, 0);
        g_assert_true(fits);
        g_assert_cmpmem(back, BITS_BYTES(n_bits), bits, BITS_BYTES(n_bits));

        minus = g_strconcat("-", text, NULL);
        g_assert_cmpint(bits_from_decimal(minus, strlen(minus), n_bits, back, &fits), ==, 0);
        g_assert_cmpint(fits, ==, streq(text, "0"));
        negate(back, n_bits);
        g_assert_cmpmem(back, BITS_BYTES(n_bits), bits, BITS_BYTES(n_bits));
}

static void test_check_values(void) {
        static const struct {
                const char *text;
                size_t n_bits;
                uint8_t bits[11];
        } table[] = {
                { "0", 1, { 0 } },
                { "1", 1, { 1 } },
                { "99", 7, { 99 } },
                { "100", 7, { 100 } },
                { "65535", 16, { 0xff, 0xff } },
                { "18446744073709551615", 64, { 255, 255, 255, 255, 255, 255, 255, 255 } },
                { "36893488147419103231", 65, { 1, 255, 255, 255, 255, 255, 255, 255, 255 } },
                { "1208925819614629174706176", 81, { 1 } },
                { "85968058283706962415906",
                  80,
                  { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x11, 0x22 } },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *text = to_text(table[i].bits, table[i].n_bits);

                g_assert_cmpstr(text, ==, table[i].text);
                check_round_trip(table[i].bits, table[i].n_bits);
        }
}

static void test_round_trips(void) {
        g_autofree uint8_t *bits = g_malloc(BITS_BYTES(BITS_MAX));

        for (size_t n_bits = 1; n_bits <= 2000; n_bits += n_bits < 200 ? 1 : 37) {
                random_bits(bits, n_bits, n_bits);
                check_round_trip(bits, n_bits);
                random_bits(bits, n_bits, n_bits / 2);
                check_round_trip(bits, n_bits);
                memset(bits, 0xff, BITS_BYTES(n_bits));
                if (n_bits % 8 != 0)
                        bits[0] = (uint8_t) ((1U << (n_bits % 8)) - 1);
                check_round_trip(bits, n_bits);
        }
}

static void test_longest(void) {
        static const size_t sizes[] = { 14284, 14285, 14299, BITS_MAX, 20000 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                g_autofree uint8_t *bits = g_malloc(BITS_BYTES(sizes[i]));

                random_bits(bits, sizes[i], MIN(sizes[i], (size_t) BITS_MAX));
                check_round_trip(bits, sizes[i]);
        }
}

static void test_reduced(void) {
        static const struct {
                const char *text;
                size_t n_bits;
                uint8_t bits[9];
                bool fits;
        } table[] = {
                { "-1", 1, { 1 } },
                { "-1", 16, { 0xff, 0xff } },
                { "-0", 16, { 0, 0 }, true },
                { "-2", 12, { 0x0f, 0xfe } },
                { "-32768", 16, { 0x80, 0 } },
                { "65536", 16, { 0, 0 } },
                { "65537", 16, { 0, 1 } },
                { "4096", 12, { 0, 0 } },
                { "4095", 12, { 0x0f, 0xff }, true },
                { "4294967296", 32, { 0, 0, 0, 0 } },
                { "4294967295", 32, { 255, 255, 255, 255 }, true },
                { "8589934591", 33, { 1, 255, 255, 255, 255 }, true },
                { "8589934592", 33, { 0, 0, 0, 0, 0 } },
                { "18446744073709551616", 64, { 0 } },
                { "18446744073709551616", 65, { 1 }, true },
                { "85968058283706962415906", 16, { 0x11, 0x22 } },
                { "-18446744073709551617", 65, { 0, 255, 255, 255, 255, 255, 255, 255, 255 } },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                uint8_t bits[9];
                bool fits = !table[i].fits;
                size_t n = BITS_BYTES(table[i].n_bits);

                g_assert_cmpint(bits_from_decimal(table[i].text, strlen(table[i].text), table[i].n_bits,
                                                  bits, &fits),
                                ==, 0);
                g_assert_cmpmem(bits, n, table[i].bits, n);
                g_assert_cmpint(fits, ==, table[i].fits);
        }
}

static void test_refused(void) {
        static const char *const table[] = { "",    "-",  "+1", "01",  "-01", "00",   "1.0",
                                             "1e3", " 1", "1 ", "--1", "0x1", "\"1\"" };
        g_autofree char *long_text = g_strnfill(JSON_DIGITS_MAX + 1, '9');
        uint8_t bits[2] = { 0xab, 0xcd };
        bool fits = true;

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                g_assert_cmpint(bits_from_decimal(table[i], strlen(table[i]), 16, bits, &fits), ==, -EINVAL);
        g_assert_cmpint(bits_from_decimal(long_text, JSON_DIGITS_MAX + 1, 16, bits, &fits), ==, -E2BIG);
        g_assert_cmpmem(bits, 2, "\xab\xcd", 2);
        g_assert_true(fits);

        g_assert_cmpint(bits_from_decimal(long_text, JSON_DIGITS_MAX, 16, bits, &fits), ==, 0);
        g_assert_false(fits);
}

static void test_uint64(void) {
        static const uint64_t table[] = { 0,   9,    10,    99,         100,       101,
                                          999, 1000, 12345, 4294967296, INT64_MAX, UINT64_MAX };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *expected = g_strdup_printf("%" G_GUINT64_FORMAT, table[i]);
                char text[UINT64_DECIMAL_MAX + 1];

                text[uint64_to_decimal(table[i], text)] = '\0';
                g_assert_cmpstr(text, ==, expected);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/bits/check-values", test_check_values);
        g_test_add_func("/bits/round-trips", test_round_trips);
        g_test_add_func("/bits/longest", test_longest);
        g_test_add_func("/bits/reduced", test_reduced);
        g_test_add_func("/bits/refused", test_refused);
        g_test_add_func("/bits/uint64", test_uint64);

        return g_test_run();
}
