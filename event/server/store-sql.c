/* SPDX-License-Identifier: Apache-2.0 */
/* The store's statements, prepared once, and what their failures mean. The thread that uses the store. */

#include <errno.h>

#include "event/server/store-internal.h"

#define EVENT_COLUMNS "server, session, instance, time_s, time_us, source_s, source_us, payload_type, payload"
#define HISTORY_EVENT "SELECT id, type, previous, " EVENT_COLUMNS " FROM history "
#define LATEST_EVENT "SELECT event, type, 0, " EVENT_COLUMNS " FROM latest "

static const char *const statement_sql[_STORE_STATEMENT_MAX] = {
        [STORE_BEGIN] = "BEGIN IMMEDIATE",
        [STORE_COMMIT] = "COMMIT",
        [STORE_ROLLBACK] = "ROLLBACK",
        [STORE_PAGE_COUNT] = "PRAGMA page_count",
        [STORE_FREE_COUNT] = "PRAGMA freelist_count",
        [STORE_PAGE_SIZE] = "PRAGMA page_size",
        [STORE_GIVE_BACK] = "PRAGMA incremental_vacuum(128)",
        [STORE_ADD_EVENT] = "INSERT INTO history (id, type, previous, " EVENT_COLUMNS ") "
                            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        [STORE_ADD_TYPE] = "INSERT INTO types (id, name, type) VALUES (?1, ?2, ?3)",
        [STORE_PUT_LATEST] = "INSERT OR REPLACE INTO latest (type, event, " EVENT_COLUMNS ") "
                             "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        [STORE_PUT_HEAD] = "UPDATE head SET event = ?1, server = ?2, session = ?3, instance = ?4, time_s = ?5, time_us = ?6",
        [STORE_TRIM] = "DELETE FROM history WHERE id < ?1",
        [STORE_FIND_TYPE] = "SELECT latest.type, latest.event FROM types JOIN latest ON latest.type = types.id "
                            "WHERE types.type = ?1",
        [STORE_TYPE_BYTES] = "SELECT type FROM types WHERE id = ?1",
        [STORE_TYPES_FROM] = "SELECT id, type FROM types WHERE type >= ?1 ORDER BY type",
        [STORE_LATEST_OF] = LATEST_EVENT "WHERE type = ?1",
        [STORE_LATEST_FROM] = LATEST_EVENT "WHERE type >= ?1 ORDER BY type",
        [STORE_LINK] = "SELECT type, previous, source_s, source_us FROM history WHERE id = ?1",
        [STORE_EVENT] = HISTORY_EVENT "WHERE id = ?1",
        [STORE_EVENTS_UP] = HISTORY_EVENT "WHERE id >= ?1 ORDER BY id",
        [STORE_EVENTS_DOWN] = HISTORY_EVENT "WHERE id <= ?1 ORDER BY id DESC",
        [STORE_SOURCE_UP] = HISTORY_EVENT "WHERE source_s IS NOT NULL AND (source_s, source_us, id) > (?1, ?2, ?3) "
                                          "ORDER BY source_s, source_us, id",
        [STORE_SOURCE_DOWN] = HISTORY_EVENT "WHERE source_s IS NOT NULL AND (source_s, source_us, id) < (?1, ?2, ?3) "
                                            "ORDER BY source_s DESC, source_us DESC, id DESC",
};

/* ---- failures ---------------------------------------------------------------------------------------- */

/* An errno that says more than "input or output failed": that of the call that failed, behind which SQLite
 * made none that could. It is cleared before what may fail in a running store (a read that ends too soon
 * sets none). sqlite3_system_errno() does not know it where a commit fails. */
static int system_errno(int fallback) {
        switch (errno) {
        case ENOSPC:
        case EDQUOT:
                return -ENOSPC;
        case EROFS:
                return -EROFS;
        case EACCES:
        case EPERM:
                return -EACCES;
        case EMFILE:
        case ENFILE:
                return -EMFILE;
        default:
                return fallback;
        }
}

static int errno_of(int rc) {
        switch (rc & 0xff) {
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_IOERR:
                return system_errno(-EIO);
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return system_errno(-EROFS);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_TOOBIG:
                return -EMSGSIZE;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_ERROR:      /* our own statements fail only in a database that is not as we made it */
        case SQLITE_CONSTRAINT:
        case SQLITE_MISMATCH:
        case SQLITE_SCHEMA:
        case SQLITE_FORMAT:
                return -EUCLEAN;
        default:
                return -EIO;
        }
}

int store_errno(sqlite3 *db, int rc, const char **ret_text) {
        int error = errno_of(rc);

        /* It has one sentence for everything that a disk may say. */
        *ret_text = (rc & 0xff) == SQLITE_IOERR && error != -EIO ? g_strerror(-error) : sqlite3_errmsg(db);
        return error;
}

int store_error_text(Store *s, int error, const char *text) {
        g_free(s->detail);
        s->detail = g_strdup(text);
        s->damaged = s->damaged || error == -EUCLEAN;
        return error;
}

int store_error(Store *s, int rc) {
        const char *text;
        int error = store_errno(s->db, rc, &text);

        return store_error_text(s, error, text);
}

/* ---- statements -------------------------------------------------------------------------------------- */

int store_prepare_all(Store *s) {
        for (StoreStatement i = 0; i < _STORE_STATEMENT_MAX; i++) {
                int rc = sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                                            NULL);

                if (rc != SQLITE_OK)
                        return store_error(s, rc);
        }
        return 0;
}

sqlite3_stmt *store_statement(Store *s, StoreStatement which) {
        return s->statements[which];
}

static int statement_step(sqlite3_stmt *statement) {
        errno = 0;
        return sqlite3_step(statement);
}

int store_run(Store *s, StoreStatement which) {
        sqlite3_stmt *statement = s->statements[which];
        int rc, r = 0;

        do
                rc = statement_step(statement);
        while (rc == SQLITE_ROW);
        if (rc != SQLITE_DONE)
                r = store_error(s, rc);
        (void) sqlite3_reset(statement); /* says again what step said */
        return r;
}

int store_row(Store *s, sqlite3_stmt *statement) {
        int rc = statement_step(statement), r;

        if (rc == SQLITE_ROW)
                return 1;
        r = rc == SQLITE_DONE ? 0 : store_error(s, rc);
        (void) sqlite3_reset(statement);
        return r;
}

int store_number(Store *s, StoreStatement which, int64_t *ret) {
        sqlite3_stmt *statement = s->statements[which];
        int r = store_row(s, statement);

        if (r < 0)
                return r;
        *ret = r > 0 ? sqlite3_column_int64(statement, 0) : 0;
        (void) sqlite3_reset(statement);
        return 0;
}

void bind_source(sqlite3_stmt *statement, int i, const Timestamp *source) {
        if (source) {
                (void) sqlite3_bind_int64(statement, i, source->s);
                (void) sqlite3_bind_int64(statement, i + 1, source->us);
        } else {
                (void) sqlite3_bind_null(statement, i);
                (void) sqlite3_bind_null(statement, i + 1);
        }
}

/* Nothing is NULL, JSON is text, binary is a blob with a type. */
void bind_payload(sqlite3_stmt *statement, int i, const Payload *payload) {
        if (payload->kind == PAYLOAD_BINARY)
                (void) bind_text(statement, i, payload->binary_type.text, payload->binary_type.size);
        else
                (void) sqlite3_bind_null(statement, i);

        switch (payload->kind) {
        case PAYLOAD_JSON:
                (void) bind_text(statement, i + 1, payload->json.text, payload->json.size);
                break;
        case PAYLOAD_BINARY:
                (void) bind_bytes(statement, i + 1, payload->data, payload->size);
                break;
        case PAYLOAD_NONE:
        default:
                (void) sqlite3_bind_null(statement, i + 1);
        }
}

/* ---- finding a place in history ---------------------------------------------------------------------- */

static int compare_id(const EventId *a, const EventId *b) {
        if (a->session != b->session)
                return a->session < b->session ? -1 : 1;
        return (a->instance > b->instance) - (a->instance < b->instance);
}

/* By halving: the order of the numbers is that of the times and ids. One of t and id is given. */
static int seek(Store *s, const Timestamp *t, const EventId *id, bool after, int64_t *ret) {
        sqlite3_stmt *row = store_statement(s, STORE_EVENTS_UP);
        int64_t low = s->now.first, high = s->now.next;

        while (low < high) {
                int64_t middle = low + (high - low) / 2, number;
                EventId row_id;
                Timestamp row_time;
                int r, c;

                (void) sqlite3_bind_int64(row, 1, middle);
                r = store_row(s, row);
                if (r < 0)
                        return r;
                if (r == 0) {
                        high = middle;
                        continue;
                }
                number = sqlite3_column_int64(row, COLUMN_NUMBER);
                row_id = column_id(row);
                row_time = column_time(row);
                (void) sqlite3_reset(row);
                c = t ? timestamp_compare(&row_time, t) : compare_id(&row_id, id);
                if (c < 0 || (after && c == 0))
                        low = number + 1;
                else
                        high = middle;
        }
        *ret = MIN(low, s->now.next);
        return 0;
}

int store_seek_time(Store *s, Timestamp t, bool after, int64_t *ret) {
        return seek(s, &t, NULL, after, ret);
}

int store_seek_id(Store *s, const EventId *id, bool after, int64_t *ret) {
        return seek(s, NULL, id, after, ret);
}
