/* SPDX-License-Identifier: Apache-2.0 */
/* Integers of any width as bits: big-endian bytes, right-aligned in BITS_BYTES(n) bytes, unused top bits 0.
 * Exact both ways between bits and decimal text (spec modbus.md 2.6). Pure functions. */
#pragma once

#include "base/macros.h"

#define BITS_BYTES(n_bits) (((n_bits) + 7) / 8)
/* Longest decimal text of n_bits: digits, no terminator. */
#define BITS_DECIMAL_MAX(n_bits) ((size_t) (n_bits) * 30103 / 100000 + 1)

/* Writes the decimal digits (at most BITS_DECIMAL_MAX), returns how many. No terminator. Allocates nothing
 * up to 14,300 bits. n_bits >= 1. */
size_t bits_to_decimal(const uint8_t *bits, size_t n_bits, char *ret_text);

/* Reads `-`? digits (a JSON integer token, at most JSON_DIGITS_MAX digits), reduces it modulo 2^n_bits
 * (two's complement) and writes all BITS_BYTES(n_bits). ret_fits (may be NULL): 0 <= value < 2^n_bits.
 * -EINVAL: not such a token, -E2BIG: too long. */
int bits_from_decimal(const char *text, size_t size, size_t n_bits, uint8_t *ret_bits, bool *ret_fits);

/* The decimal digits of value, at most UINT64_DECIMAL_MAX. No terminator. */
#define UINT64_DECIMAL_MAX 20
size_t uint64_to_decimal(uint64_t value, char *ret_text);
