/* SPDX-License-Identifier: Apache-2.0 */
/* Big-endian 16-bit numbers in bytes. Pure functions. */
#pragma once

#include "base/macros.h"

static inline uint16_t get_be16(const uint8_t *p) {
        return (uint16_t) (p[0] << 8 | p[1]);
}
static inline void put_be16(uint8_t *p, uint16_t v) {
        p[0] = (uint8_t) (v >> 8);
        p[1] = (uint8_t) v;
}
