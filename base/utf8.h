/* SPDX-License-Identifier: Apache-2.0 */
/* One character of UTF-8 from bytes that may be anything. Pure function, any thread. */
#pragma once

#include "base/macros.h"

/* Decodes the character at text (size bytes follow, at least 1). Returns its length, 1 to 4, or 0 when the
 * bytes are ill-formed: cut off, overlong, a surrogate, beyond U+10FFFF (RFC 3629). ret is set on success
 * only. */
static inline size_t utf8_decode(const char *text, size_t size, uint32_t *ret) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const uint8_t *t = (const uint8_t *) text;
        size_t length;
        uint32_t c;

        if (t[0] < 0x80) {
                *ret = t[0];
                return 1;
        }

        if (t[0] < 0xc2 || t[0] > 0xf4)
                return 0;
        length = t[0] < 0xe0 ? 2 : t[0] < 0xf0 ? 3 : 4;
        if (length > size)
                return 0;

        c = t[0] & (0x7fU >> length);
        for (size_t i = 1; i < length; i++) {
                if ((t[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (t[i] & 0x3f);
        }

        if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;

        *ret = c;
        return length;
}
