/* SPDX-License-Identifier: Apache-2.0 */
/* Frames in tests are written as the specifications write them. */
#pragma once

#include <glib.h>

#include "base/macros.h"

/* Bytes from hexadecimal digits with spaces. */
static _unused_ GByteArray *from_hex(const char *hex) {
        GByteArray *a = g_byte_array_new();

        for (; *hex; hex++) {
                uint8_t b;

                if (*hex == ' ')
                        continue;
                b = (uint8_t) (g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
                g_byte_array_append(a, &b, 1);
                hex++;
        }
        return a;
}
