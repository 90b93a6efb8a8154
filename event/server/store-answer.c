/* SPDX-License-Identifier: Apache-2.0 */
/* The answer of a query, encoded row by row (spec wire.md 3.2). The thread that uses the store. */

#include <errno.h>

#include "base/bounds.h"
#include "event/sbs.h"
#include "event/server/store-query.h"

/* The count of events stands before them and is known at the end: room for it is left and the rest of the
 * room given back. */
#define COUNT_ROOM SBS_INTEGER_MAX
/* What surrounds an answer in a frame, generously. */
#define FRAME_AROUND 1024U
/* Integers of an event: three of the id, count, two times, three choices, two lengths. */
#define EVENT_INTEGERS 14U

void answer_begin(Buffer *out) {
        (void) buffer_reserve(out, COUNT_ROOM);
        buffer_commit(out, COUNT_ROOM);
}

void answer_end(const StoreQuery *q, Buffer *out) {
        uint8_t count[SBS_INTEGER_MAX];
        size_t n = sbs_put_integer(count, q->n);

        memcpy(buffer_begin(out) + COUNT_ROOM - n, count, n);
        buffer_consume(out, COUNT_ROOM - n);
        sbs_write_boolean(out, q->more);
}

/* The bytes of a type stay at hand: rows of one type often follow each other. */
static int answer_type(Store *s, StoreQuery *q, int64_t type) {
        sqlite3_stmt *row = store_statement(s, STORE_TYPE_BYTES);
        size_t size;
        int r;

        if (type == q->type_at_hand)
                return 0;
        (void) sqlite3_bind_int64(row, 1, type);
        r = store_row(s, row);
        if (r < 0)
                return r;
        if (r == 0 || type < 1 || type > UINT32_MAX) {
                (void) sqlite3_reset(row);
                return store_error_text(s, -EUCLEAN, "an event's type is missing");
        }
        size = (size_t) sqlite3_column_bytes(row, 0);
        buffer_clear(&q->type_bytes);
        buffer_append(&q->type_bytes, sqlite3_column_blob(row, 0), size);
        (void) sqlite3_reset(row);
        q->type_at_hand = (uint32_t) type;
        return 0;
}

/* Count, then the strings as they are stored. NULL: they are no strings. */
static uint8_t *put_type(uint8_t *p, const Buffer *bytes) {
        SbsReader r = { .at = buffer_begin(bytes), .end = buffer_end(bytes) };
        int64_t n = 0;

        for (; sbs_left(&r) > 0; n++) {
                const uint8_t *data;
                size_t size;

                if (sbs_read_bytes(&r, &data, &size) < 0)
                        return NULL;
        }
        p += sbs_put_integer(p, n);
        return buffer_size(bytes) > 0 ? mempcpy(p, buffer_begin(bytes), buffer_size(bytes)) : p;
}

static uint8_t *put_payload(uint8_t *p, sqlite3_stmt *row, const void *payload, size_t size,
                            const void *payload_type, size_t type_size) {
        int kind = sqlite3_column_type(row, COLUMN_PAYLOAD);

        p += sbs_put_integer(p, kind != SQLITE_NULL);
        if (kind == SQLITE_NULL)
                return p;
        p += sbs_put_integer(p, kind != SQLITE_BLOB);
        if (kind == SQLITE_BLOB)
                p = sbs_put_bytes(p, payload_type, type_size);
        return sbs_put_bytes(p, payload, size);
}

/* Encodes into out without counting it. Returns the size, or 0 when the type is no type. */
static size_t encode_row(sqlite3_stmt *row, const Buffer *type, Buffer *out) {
        const void *payload = sqlite3_column_blob(row, COLUMN_PAYLOAD),
                   *payload_type = sqlite3_column_blob(row, COLUMN_PAYLOAD_TYPE);
        size_t size = (size_t) sqlite3_column_bytes(row, COLUMN_PAYLOAD),
               type_size = (size_t) sqlite3_column_bytes(row, COLUMN_PAYLOAD_TYPE);
        uint8_t *begin = buffer_reserve(out, EVENT_INTEGERS * SBS_INTEGER_MAX + buffer_size(type) + size + type_size),
                *p = begin;
        bool has_source = sqlite3_column_type(row, COLUMN_SOURCE_S) != SQLITE_NULL;

        for (int i = COLUMN_SERVER; i <= COLUMN_INSTANCE; i++)
                p += sbs_put_integer(p, sqlite3_column_int64(row, i));
        p = put_type(p, type);
        if (!p)
                return 0;
        for (int i = COLUMN_TIME_S; i <= COLUMN_TIME_US; i++)
                p += sbs_put_integer(p, sqlite3_column_int64(row, i));
        p += sbs_put_integer(p, has_source);
        if (has_source)
                for (int i = COLUMN_SOURCE_S; i <= COLUMN_SOURCE_US; i++)
                        p += sbs_put_integer(p, sqlite3_column_int64(row, i));
        p = put_payload(p, row, payload, size, payload_type, type_size);
        return (size_t) (p - begin);
}

int answer_give(Store *s, StoreQuery *q, sqlite3_stmt *row, Buffer *out) {
        size_t size;
        int r;

        if (q->kind != QUERY_LATEST && q->n == q->limit) {
                q->more = true;
                return 0;
        }
        r = answer_type(s, q, sqlite3_column_int64(row, COLUMN_TYPE));
        if (r < 0)
                return r;
        size = encode_row(row, &q->type_bytes, out);
        if (size == 0)
                return store_error_text(s, -EUCLEAN, "an event's type is damaged");
        if (q->kind == QUERY_LATEST && buffer_size(out) + size > CHATTER_FRAME_MAX - FRAME_AROUND)
                return store_error_text(s, -EMSGSIZE, "the answer is larger than a message may be");
        if (q->kind != QUERY_LATEST && q->n > 0 && buffer_size(out) - COUNT_ROOM + size > STORE_ANSWER_MAX) {
                q->more = true;
                return 0;
        }
        buffer_commit(out, size);
        q->n++;
        return 1;
}
