/* SPDX-License-Identifier: Apache-2.0 */
/* SBS readers and writers: spec wire.md 1. Pure functions, any thread. */

#include "event/sbs.h"

#include <errno.h>

#include "base/utf8.h"

/* Eight bytes that are all ASCII have none of these bits. */
#define ASCII_MASK UINT64_C(0x8080808080808080)

static bool utf8_valid(const uint8_t *p, size_t size) {
        const uint8_t *end = p + size;

        for (;;) {
                uint32_t c;
                size_t n;

                while ((size_t) (end - p) >= sizeof(uint64_t)) {
                        uint64_t word;

                        memcpy(&word, p, sizeof word);
                        if (word & ASCII_MASK)
                                break;
                        p += sizeof word;
                }
                if (p == end)
                        return true;
                n = utf8_decode((const char *) p, (size_t) (end - p), &c);
                if (n == 0)
                        return false;
                p += n;
        }
}

int sbs_read_integer(SbsReader *r, int64_t *ret) {
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

int sbs_read_count(SbsReader *r, size_t *ret) {
        int64_t v;
        int res;

        res = sbs_read_integer(r, &v);
        if (res < 0)
                return res;
        if (v < 0 || (uint64_t) v > sbs_left(r))
                return -EBADMSG;
        *ret = (size_t) v;
        return 0;
}

int sbs_read_bytes(SbsReader *r, const uint8_t **ret, size_t *ret_size) {
        size_t size;
        int res;

        res = sbs_read_count(r, &size); /* a length is bounded exactly as a count is */
        if (res < 0)
                return res;
        *ret = r->at;
        *ret_size = size;
        r->at += size;
        return 0;
}

int sbs_read_string(SbsReader *r, const char **ret, size_t *ret_size) {
        const uint8_t *text;
        size_t size;
        int res;

        res = sbs_read_bytes(r, &text, &size);
        if (res < 0)
                return res;
        if (!utf8_valid(text, size))
                return -EBADMSG;
        *ret = (const char *) text;
        *ret_size = size;
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

size_t sbs_put_any_integer(uint8_t *p, int64_t value) {
        size_t n = 1;

        /* The smallest n with -2^(7n-1) <= value < 2^(7n-1). */
        while (n < SBS_INTEGER_MAX && value >> (7 * n - 1) != 0 && value >> (7 * n - 1) != -1)
                n++;
        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t) (value >> (7 * (n - 1 - i))) & 0x7f;
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
