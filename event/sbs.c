/* SPDX-License-Identifier: Apache-2.0 */
/* SBS readers and writers: spec wire.md 1. Pure functions, any thread. */

#include "event/sbs.h"

#include <errno.h>

#include "base/utf8.h"

/* Eight bytes that are all ASCII have none of these bits. */
#define ASCII_MASK UINT64_C(0x8080808080808080)

static inline uint64_t load64(const uint8_t *p) {
        uint64_t word;

        memcpy(&word, p, sizeof word);
        return word;
}

static inline uint32_t load32(const uint8_t *p) {
        uint32_t word;

        memcpy(&word, p, sizeof word);
        return word;
}

/* The last word overlaps what was looked at already: short texts, of which types are made, need no loop. */
static inline bool ascii_valid(const uint8_t *p, size_t size) {
        uint64_t bits = 0;

        if (size >= 8) {
                bits = load64(p + size - 8);
                for (; size > 8; p += 8, size -= MIN(size, 8))
                        bits |= load64(p);
        } else if (size >= 4)
                bits = load32(p) | load32(p + size - 4);
        else if (size > 0)
                bits = p[0] | p[size / 2] | p[size - 1];
        return (bits & ASCII_MASK) == 0;
}

static bool utf8_valid(const uint8_t *p, size_t size) {
        const uint8_t *end = p + size;

        for (;;) {
                uint32_t c;
                size_t n;

                while ((size_t) (end - p) >= sizeof(uint64_t) && (load64(p) & ASCII_MASK) == 0)
                        p += sizeof(uint64_t);
                if (p == end)
                        return true;
                n = utf8_decode((const char *) p, (size_t) (end - p), &c);
                if (n == 0)
                        return false;
                p += n;
        }
}

int sbs_read_any_integer(SbsReader *r, int64_t *ret) {
        int64_t v;

        if (r->at == r->end)
                return -EBADMSG;

        v = *r->at & 0x40 ? -1 : 0;
        for (;;) {
                uint8_t b;

                if (r->at == r->end)
                        return -EBADMSG;
                if (v > INT64_MAX >> 7 || v < -(INT64_MAX >> 7) - 1)
                        return -EBADMSG;
                b = *r->at++;
                v = v * 128 + (b & 0x7f);
                if (b & 0x80)
                        break;
        }
        *ret = v;
        return 0;
}

int sbs_read_boolean(SbsReader *r, bool *ret) {
        if (r->at == r->end)
                return -EBADMSG;
        *ret = *r->at++ != 0;
        return 0;
}

int sbs_read_float(SbsReader *r, double *ret) {
        uint64_t bits;

        if (sbs_left(r) < sizeof bits)
                return -EBADMSG;
        memcpy(&bits, r->at, sizeof bits);
        r->at += sizeof bits;
        bits = GUINT64_FROM_BE(bits);
        memcpy(ret, &bits, sizeof bits);
        return 0;
}

static int64_t read_any_count(SbsReader *r) {
        int64_t v;
        int res;

        res = sbs_read_any_integer(r, &v);
        if (res < 0)
                return res;
        return v >= 0 && (uint64_t) v <= sbs_left(r) ? v : -EBADMSG;
}

/* A count or a length, which is bounded in the same way; below 64 one byte, as nearly all are. */
static inline int64_t read_count(SbsReader *r) {
        int64_t v;

        if (r->at == r->end || (*r->at & 0xc0) != 0x80)
                return read_any_count(r);
        v = *r->at++ & 0x3f;
        return (uint64_t) v <= sbs_left(r) ? v : -EBADMSG;
}

int sbs_read_count(SbsReader *r, size_t *ret) {
        int64_t n = read_count(r);

        if (n < 0)
                return (int) n;
        *ret = (size_t) n;
        return 0;
}

int sbs_read_bytes(SbsReader *r, const uint8_t **ret, size_t *ret_size) {
        int64_t size = read_count(r);

        if (size < 0)
                return (int) size;
        *ret = r->at;
        *ret_size = (size_t) size;
        r->at += size;
        return 0;
}

int sbs_read_string(SbsReader *r, const char **ret, size_t *ret_size) {
        int64_t size = read_count(r);

        if (size < 0)
                return (int) size;
        if (!ascii_valid(r->at, (size_t) size) && !utf8_valid(r->at, (size_t) size))
                return -EBADMSG;
        *ret = (const char *) r->at;
        *ret_size = (size_t) size;
        r->at += size;
        return 0;
}

int sbs_read_choice(SbsReader *r, unsigned n, unsigned *ret) {
        int64_t v;
        int res;

        res = sbs_read_integer(r, &v);
        if (res < 0)
                return res;
        if (v < 0 || v >= (int64_t) n)
                return -EBADMSG;
        *ret = (unsigned) v;
        return 0;
}

int sbs_read_optional_integer(SbsReader *r, bool *ret_has, int64_t *ret) {
        int64_t value = 0;
        unsigned has;
        int res;

        res = sbs_read_choice(r, 2, &has);
        if (res >= 0 && has)
                res = sbs_read_integer(r, &value);
        if (res < 0)
                return res;
        *ret_has = has;
        *ret = value;
        return 0;
}

int sbs_read_optional_string(SbsReader *r, bool *ret_has, const char **ret, size_t *ret_size) {
        const char *text = NULL;
        size_t size = 0;
        unsigned has;
        int res;

        res = sbs_read_choice(r, 2, &has);
        if (res >= 0 && has)
                res = sbs_read_string(r, &text, &size);
        if (res < 0)
                return res;
        *ret_has = has;
        *ret = text;
        *ret_size = size;
        return 0;
}

size_t sbs_put_any_integer(uint8_t *p, int64_t value) {
        /* The smallest n with -2^(7n-1) <= value < 2^(7n-1): 7 bits each hold the value's bits and one
         * for the sign. */
        uint64_t magnitude = (uint64_t) (value < 0 ? ~value : value);
        size_t n = (size_t) (64 - __builtin_clzll(magnitude | 1)) / 7 + 1;

        for (size_t i = n; i-- > 0; value >>= 7)
                p[i] = (uint8_t) value & 0x7f;
        p[n - 1] |= 0x80;
        return n;
}

void sbs_write_integer(Buffer *b, int64_t value) {
        buffer_commit(b, sbs_put_integer(buffer_reserve(b, SBS_INTEGER_MAX), value));
}

void sbs_write_boolean(Buffer *b, bool value) {
        *buffer_reserve(b, 1) = value;
        buffer_commit(b, 1);
}

void sbs_write_float(Buffer *b, double value) {
        uint64_t bits;

        memcpy(&bits, &value, sizeof bits);
        bits = GUINT64_TO_BE(bits);
        buffer_append(b, &bits, sizeof bits);
}

void sbs_write_string(Buffer *b, const char *text, size_t size) {
        sbs_write_bytes(b, text, size);
}

void sbs_write_bytes(Buffer *b, const void *data, size_t size) {
        uint8_t *p = buffer_reserve(b, SBS_INTEGER_MAX + size);
        size_t n = sbs_put_integer(p, (int64_t) size);

        if (size > 0)
                memcpy(p + n, data, size);
        buffer_commit(b, n + size);
}
