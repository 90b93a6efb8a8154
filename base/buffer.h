/* SPDX-License-Identifier: Apache-2.0 */
/* A byte queue: append at the end, consume at the front. Keeps its memory between uses up to a small size,
 * so that a steady flow allocates nothing; buffer_trim() gives back what a burst took. Plain data, owned by
 * whoever embeds it. */
#pragma once

#include "base/macros.h"

typedef struct Buffer {
        uint8_t *data; /* first unconsumed byte is data + start */
        size_t start, end, allocated;
} Buffer;

void buffer_done(Buffer *b);
static inline size_t buffer_size(const Buffer *b) {
        return b->end - b->start;
}
static inline uint8_t *buffer_begin(const Buffer *b) {
        return b->data ? b->data + b->start : NULL;
}
static inline uint8_t *buffer_end(const Buffer *b) {
        return b->data ? b->data + b->end : NULL;
}
/* Makes room for size more bytes and returns where to write them; buffer_commit() then counts those
 * written. */
uint8_t *buffer_reserve(Buffer *b, size_t size);
void buffer_commit(Buffer *b, size_t size);
void buffer_append(Buffer *b, const void *data, size_t size);
void buffer_consume(Buffer *b, size_t size);
void buffer_clear(Buffer *b);
/* Frees the memory when the buffer is empty and holds more than keep bytes. */
void buffer_trim(Buffer *b, size_t keep);
