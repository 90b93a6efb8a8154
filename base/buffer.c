/* SPDX-License-Identifier: Apache-2.0 */
/* The byte queue of base/buffer.h: one block of memory, the consumed part at its front is used again before
 * it grows. No state, any thread. */

#include "base/buffer.h"

#define BUFFER_SIZE_MIN 512

void buffer_done(Buffer *b) {
        g_free(b->data);
        *b = (Buffer) { 0 };
}

/* Twice as much as before at least, so that appending byte by byte copies each byte a bounded number of
 * times. */
static void buffer_grow(Buffer *b, size_t needed) {
        size_t allocated = MAX(MAX(needed, b->allocated > SIZE_MAX / 2 ? SIZE_MAX : b->allocated * 2),
                               (size_t) BUFFER_SIZE_MIN);
        size_t size = buffer_size(b);
        uint8_t *data;

        if (b->data && b->start > 0) {
                data = g_malloc(allocated);
                memcpy(data, b->data + b->start, size);
                g_free(b->data);
        } else
                data = g_realloc(b->data, allocated);

        *b = (Buffer) { .data = data, .end = size, .allocated = allocated };
}

uint8_t *buffer_reserve(Buffer *b, size_t size) {
        size_t used = buffer_size(b);

        if (size > b->allocated - b->end || !b->data) {
                if (size > SIZE_MAX - used)
                        g_error("A buffer of more than SIZE_MAX bytes was asked for.");

                /* Moving pays only when at least half of the memory comes free by it. */
                if (b->data && used <= b->allocated / 2 && size <= b->allocated - used) {
                        memmove(b->data, b->data + b->start, used);
                        b->start = 0;
                        b->end = used;
                } else
                        buffer_grow(b, used + size);
        }

        return b->data + b->end;
}

void buffer_commit(Buffer *b, size_t size) {
        g_assert(size <= b->allocated - b->end);
        b->end += size;
}

void buffer_append(Buffer *b, const void *data, size_t size) {
        if (size == 0)
                return;

        memcpy(buffer_reserve(b, size), data, size);
        b->end += size;
}

void buffer_consume(Buffer *b, size_t size) {
        g_assert(size <= buffer_size(b));

        b->start += size;
        if (b->start == b->end)
                b->start = b->end = 0;
}

void buffer_clear(Buffer *b) {
        b->start = b->end = 0;
}

void buffer_trim(Buffer *b, size_t keep) {
        if (buffer_size(b) == 0 && b->allocated > keep)
                buffer_done(b);
}
