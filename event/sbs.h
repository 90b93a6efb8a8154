/* SPDX-License-Identifier: Apache-2.0 */
/* SBS, the schema driven encoding of Hat (spec wire.md 1): one function a simple type; records are calls one
 * after another. Pure; readers borrow from the given bytes and never read behind them. */
#pragma once

#include "base/buffer.h"
#include "base/macros.h"

#define SBS_INTEGER_MAX 10 /* bytes of an int64 in its shortest form */

typedef struct SbsReader {
        const uint8_t *at, *end;
} SbsReader;
static inline size_t sbs_left(const SbsReader *r) {
        return (size_t) (r->end - r->at);
}

/* All: -EBADMSG malformed (wire.md 1.3); the reader's place is then undefined. */
int sbs_read_any_integer(SbsReader *r, int64_t *ret);
static inline int sbs_read_integer(SbsReader *r, int64_t *ret) { /* outside int64 is malformed */
        if (r->at == r->end || *r->at < 0x80)
                return sbs_read_any_integer(r, ret);
        *ret = ((*r->at++ & 0x7f) ^ 0x40) - 0x40; /* most counts, choices and lengths */
        return 0;
}
int sbs_read_boolean(SbsReader *r, bool *ret);
int sbs_read_float(SbsReader *r, double *ret);
int sbs_read_string(SbsReader *r, const char **ret, size_t *ret_size);  /* checked UTF-8 */
int sbs_read_bytes(SbsReader *r, const uint8_t **ret, size_t *ret_size);
/* An element count, bounded by the bytes that are left (each element takes at least one). */
int sbs_read_count(SbsReader *r, size_t *ret);
/* A choice index below n; also Optional with n = 2. */
int sbs_read_choice(SbsReader *r, unsigned n, unsigned *ret);
/* Optional(Integer), Optional(String); none: 0, NULL. */
int sbs_read_optional_integer(SbsReader *r, bool *ret_has, int64_t *ret);
int sbs_read_optional_string(SbsReader *r, bool *ret_has, const char **ret, size_t *ret_size);

/* Writes into p, which has room for SBS_INTEGER_MAX; returns the bytes used. */
size_t sbs_put_any_integer(uint8_t *p, int64_t value);
static inline size_t sbs_put_integer(uint8_t *p, int64_t value) {
        if (value < -64 || value > 63)
                return sbs_put_any_integer(p, value);
        *p = (uint8_t) (0x80 | (value & 0x7f));
        return 1;
}
/* String or Bytes: to p, which has room for SBS_INTEGER_MAX + size; returns the end. */
static inline uint8_t *sbs_put_bytes(uint8_t *p, const void *data, size_t size) {
        p += sbs_put_integer(p, (int64_t) size);
        return size > 0 ? mempcpy(p, data, size) : p;
}
void sbs_write_integer(Buffer *b, int64_t value);
void sbs_write_boolean(Buffer *b, bool value);
void sbs_write_float(Buffer *b, double value);
void sbs_write_string(Buffer *b, const char *text, size_t size);
void sbs_write_bytes(Buffer *b, const void *data, size_t size);
