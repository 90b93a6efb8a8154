/* SPDX-License-Identifier: Apache-2.0 */
/* What a serial line hears of its own frames. Pure; loop thread. */

#include "link/serial-echo.h"

#include <string.h>

void serial_echo_begin(SerialEcho *e, const void *frame, size_t size, bool ambiguous) {
        e->ambiguous = ambiguous;
        e->drop = e->heard;
        e->back = 0;
        e->size = size > sizeof(e->frame) ? 0 : size;
        memcpy(e->frame, frame, e->size);
}

size_t serial_echo_received(SerialEcho *e, const uint8_t *data, size_t size) {
        size_t n = 0;

        if (e->back == e->size) /* it is through */
                return 0;
        for (; n < size && e->back < e->size; n++)
                if (data[n] == e->frame[e->back])
                        e->back++;
                else if (e->drop && e->back == 1 && data[n] == e->frame[0])
                        ; /* what was taken for the beginning was noise in front of it */
                else if (e->back > 0) {
                        /* An answer, which begins like its request: the line does not hear itself any more. */
                        e->heard = false;
                        e->size = e->back = 0;
                        return e->drop ? n : 0;
                }
        if (e->back == e->size)
                e->heard = e->heard || !e->ambiguous;
        return e->drop ? n : 0;
}
