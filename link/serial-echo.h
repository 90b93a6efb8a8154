/* SPDX-License-Identifier: Apache-2.0 */
/* What a serial line hears of its own frames: an RS-485 transceiver whose receiver stays on while it sends
 * hears all of them. Some look like what the far end says next: the echo of a write like its answer, which
 * then would always be a success, and that of the answer like the same write again. So echoes are dropped
 * once a frame came back that the far end never sends. Pure; loop thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_ECHO_MAX 768U /* what is longer is not looked for */

typedef struct SerialEcho {
        bool heard;        /* the line hears itself */
        bool ambiguous;    /* the far end may send the same */
        bool drop;         /* the echo, and noise in front of it */
        size_t size, back; /* of the frame, and how much of it came back; 0: none is looked for */
        uint8_t frame[SERIAL_ECHO_MAX];
} SerialEcho;

/* A frame is about to leave. */
void serial_echo_begin(SerialEcho *e, const void *frame, size_t size, bool ambiguous);
/* Bytes that came after it. Returns how many at the front are to be dropped. */
size_t serial_echo_received(SerialEcho *e, const uint8_t *data, size_t size);
