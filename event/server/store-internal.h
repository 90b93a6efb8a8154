/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the store share. The thread that uses the store.
 *
 * Tables: `types` (each type once), `latest` (the last event of each type), `history` (numbered from 1
 * without gaps, the oldest are deleted), `head` (the last event ever: written where history does not have it,
 * and when the store is closed, to compare; but its session is the last one that may have been given, which
 * is far ahead while the store is open: STORE_RESERVE). A row of `history` says which one was the previous of
 * its type: so writing appends at one place and all events of a type are found from its latest one, without
 * an index. */
#pragma once

#include <sqlite3.h>

#include "event/server/store.h"

/* ---- statements -------------------------------------------------------------------------------------- */

typedef enum StoreStatement {
        STORE_BEGIN,
        STORE_COMMIT,
        STORE_ROLLBACK,
        STORE_PAGE_COUNT,
        STORE_FREE_COUNT,
        STORE_PAGE_SIZE,
        STORE_GIVE_BACK,
        STORE_ADD_EVENT,
        STORE_ADD_TYPE,
        STORE_PUT_LATEST,
        STORE_PUT_HEAD,
        STORE_TRIM,
        STORE_FIND_TYPE,
        STORE_TYPE_BYTES,
        STORE_TYPES_FROM,
        STORE_LATEST_OF,
        STORE_LATEST_FROM,
        STORE_LINK,
        STORE_EVENT,
        STORE_EVENTS_UP,
        STORE_EVENTS_DOWN,
        STORE_SOURCE_UP,
        STORE_SOURCE_DOWN,
        _STORE_STATEMENT_MAX,
} StoreStatement;

/* Columns of each statement that reads whole events. */
typedef enum StoreColumn {
        COLUMN_NUMBER,
        COLUMN_TYPE,
        COLUMN_PREVIOUS,
        COLUMN_SERVER,
        COLUMN_SESSION,
        COLUMN_INSTANCE,
        COLUMN_TIME_S,
        COLUMN_TIME_US,
        COLUMN_SOURCE_S,
        COLUMN_SOURCE_US,
        COLUMN_PAYLOAD_TYPE,
        COLUMN_PAYLOAD,
} StoreColumn;

/* ---- types that were seen ---------------------------------------------------------------------------- */

/* Types are told apart by a keyed hash of 128 bits, which nobody who does not know the key can make collide:
 * the cache holds no type itself. */
typedef struct TypeSlot {
        uint64_t hash[2];
        int64_t last;           /* number of its last event, 0: none */
        uint32_t id;            /* 0: the slot is empty */
        uint32_t change;        /* where its change is, if it has one */
} TypeSlot;

typedef struct TypeCache {
        uint64_t key[2];
        TypeSlot *slots;        /* a power of two of them, or none yet */
        uint32_t n_slots, n;
} TypeCache;

#define TYPE_CACHE_SLOTS_MAX (1U << 17) /* 4 MiB */

void type_cache_init(TypeCache *c);
void type_cache_clear(TypeCache *c);    /* and frees */
/* The slot of a type, empty when it is not there. May move everything else; valid until the next call. NULL:
 * no room for another one, clear first. */
TypeSlot *type_cache_find(TypeCache *c, const void *type, size_t size);
void type_cache_fill(TypeCache *c, TypeSlot *slot, uint32_t id, int64_t last);

/* ---- latest events not yet written ------------------------------------------------------------------- */

/* What one transaction writes of the latest events: only the last one of each type, all together, in the
 * order of the table. */
typedef struct Changes {
        GArray *list;           /* of Change */
        Buffer bytes;           /* payloads and their types */
} Changes;

#define CHANGES_MAX (1U << 14)
#define CHANGES_BYTES_MAX (1U << 20)

void changes_init(Changes *c);
void changes_done(Changes *c);
void changes_clear(Changes *c);
static inline bool changes_full(const Changes *c) {
        return c->list->len >= CHANGES_MAX || buffer_size(&c->bytes) >= CHANGES_BYTES_MAX;
}
void changes_put(Changes *c, TypeSlot *slot, int64_t number, const Event *e);
int changes_write(Changes *c, Store *s);

#define QUERY_TURN_ROWS 256U            /* of the scan and the walk of a query */

/* Free pages that stay in the file for the next events, and the part of all pages that does. */
#define STORE_FREE_PAGES 256U
#define STORE_FREE_PART 8

/* ---- the store --------------------------------------------------------------------------------------- */

/* Where the store stands; numbers of events begin with 1. */
typedef struct StorePlace {
        int64_t first, next;    /* history holds [first, next) */
        EventId id;             /* of the last event … */
        Timestamp timestamp;    /* … and its time */
} StorePlace;

struct Store {
        sqlite3 *db;
        sqlite3_stmt *statements[_STORE_STATEMENT_MAX];
        usec_t max_age;
        int64_t max_events, max_bytes;
        unsigned slice_rows, turn_rows; /* of queries: STORE_SLICE_ROWS, QUERY_TURN_ROWS */
        unsigned trim_rows, free_pages; /* of trimming: STORE_TRIM_ROWS, STORE_FREE_PAGES */
        StorePlace now, committed; /* next 0: not yet known */
        int64_t reserved;       /* session in `head`, of the last commit */
        bool lost;              /* sessions were undone after the last commit: their numbers may have been seen */
        int64_t next_type;
        bool transaction;
        int undone;             /* a query met a failure that undid what was written: the next write or commit says so */
        bool damaged;           /* -EUCLEAN was met */
        uint64_t undo_count;
        int log_pages;          /* in the write-ahead log */
        TypeCache types;
        Changes changes;
        Buffer key;             /* of the type at hand */
        char *detail;
};

/* Notes what SQLite said, returns the errno for it. Directly behind the call that said it. */
int store_error(Store *s, int rc);
int store_error_text(Store *s, int error, const char *text);
int store_errno(sqlite3 *db, int rc, const char **ret_text);

sqlite3_stmt *store_statement(Store *s, StoreStatement which);
/* Runs a statement that returns nothing. Parameters are bound before. */
int store_run(Store *s, StoreStatement which);
/* 1: the first row is there, 0: none (and reset), <0. */
int store_row(Store *s, sqlite3_stmt *statement);
/* The only number of the only row; 0 when there is none. */
int store_number(Store *s, StoreStatement which, int64_t *ret);
int store_prepare_all(Store *s);
/* Changes of latest events become visible to statements. A failure undoes the transaction, and is kept for
 * the next write or commit. */
int store_flush(Store *s);
/* The transaction is over, without success; returns r. */
int store_undo(Store *s, int r);
/* Commits the first reserve of numbers. With no transaction open. */
int store_reserve(Store *s);

/* The SBS strings of the subtypes one after another, without their count: a beginning of a type is a
 * beginning of its bytes. */
void store_key(Buffer *b, const Subtype *subtypes, size_t n);

static inline Timestamp column_time(sqlite3_stmt *row) {
        return (Timestamp) { .s = sqlite3_column_int64(row, COLUMN_TIME_S),
                             .us = sqlite3_column_int(row, COLUMN_TIME_US) };
}
static inline EventId column_id(sqlite3_stmt *row) {
        return (EventId) { .server = sqlite3_column_int64(row, COLUMN_SERVER),
                           .session = sqlite3_column_int64(row, COLUMN_SESSION),
                           .instance = sqlite3_column_int64(row, COLUMN_INSTANCE) };
}
/* Bytes that a statement need not copy: they live until it was run. Never NULL, which would be an SQL NULL. */
static inline int bind_bytes(sqlite3_stmt *statement, int i, const void *data, size_t size) {
        return sqlite3_bind_blob64(statement, i, size > 0 ? data : "", size, SQLITE_STATIC);
}
static inline int bind_text(sqlite3_stmt *statement, int i, const char *text, size_t size) {
        return sqlite3_bind_text64(statement, i, size > 0 ? text : "", size, SQLITE_STATIC, SQLITE_UTF8);
}
void bind_source(sqlite3_stmt *statement, int i, const Timestamp *source);
void bind_payload(sqlite3_stmt *statement, int i, const Payload *payload);

/* The first event in history whose time is at least t, or with `after` greater; the next number when there
 * is none. */
int store_seek_time(Store *s, Timestamp t, bool after, int64_t *ret);
/* The same by session and instance. */
int store_seek_id(Store *s, const EventId *id, bool after, int64_t *ret);

/* ---- the write-ahead log ----------------------------------------------------------------------------- */

/* Pages of 4 KiB in it: trimming, in the background, writes it back from the first number on; a commit, which
 * somebody may wait for, from the second on. */
#define LOG_PAGES_BACKGROUND 500
#define LOG_PAGES_MAX 1000

void store_log_set_up(Store *s);
/* Writes the log back into the database when it has so many pages; a failure only leaves it for later. */
void store_log_write_back(Store *s, int pages);
/* Makes its file one that does not grow any more, if there is space; a failure only leaves that for later.
 * All at once: a commit between two steps would wait for the file system to note the new length, every
 * time. */
void store_log_lengthen(Store *s);
