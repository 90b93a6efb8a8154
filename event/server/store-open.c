/* SPDX-License-Identifier: Apache-2.0 */
/* Opens, makes, checks and sets aside the database. The caller's thread; the store may be handed to another
 * one afterwards. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "event/server/store-internal.h"

#define APPLICATION_ID 1196909924       /* "GWed" */
#define VERSION 1
#define FILE_MODE 0640
#define PAGE_SIZE_MIN 512
#define BUSY_MSEC 2000

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* An exclusive lock for as long as the store is open: no second daemon, and no shared memory file, whose
 * pages could fail under us. The cache is 2 MiB; the log is cut back to 16 MiB. */
static const char settings_sql[] = "PRAGMA locking_mode = EXCLUSIVE;"
                                   "PRAGMA cache_size = -2048;"
                                   "PRAGMA mmap_size = 0;"
                                   "PRAGMA temp_store = MEMORY;"
                                   "PRAGMA secure_delete = OFF;"
                                   "PRAGMA trusted_schema = OFF;"
                                   "PRAGMA cell_size_check = ON;"
                                   "PRAGMA synchronous = FULL;";
/* Only of a new one: it writes, and a full disk must not keep the store from being opened. */
static const char new_sql[] = "PRAGMA auto_vacuum = INCREMENTAL;";
static const char log_sql[] = "PRAGMA journal_mode = WAL;"
                              "PRAGMA journal_size_limit = 16777216;";

#define EVENT_COLUMNS_SQL                                                                                   \
        "server INTEGER NOT NULL, session INTEGER NOT NULL, instance INTEGER NOT NULL, "                    \
        "time_s INTEGER NOT NULL, time_us INTEGER NOT NULL, source_s INTEGER, source_us INTEGER, "          \
        "payload_type TEXT, payload"

#define PEOPLE_COLUMNS_SQL                                                                                  \
        "types.name AS type, server, session, instance, "                                                   \
        "strftime('%Y-%m-%d %H:%M:%S', time_s, 'unixepoch') || printf('.%06d', time_us) AS time, "          \
        "strftime('%Y-%m-%d %H:%M:%S', source_s, 'unixepoch') || printf('.%06d', source_us) AS source_time, " \
        "payload_type, payload"

static const char schema_sql[] =
                "BEGIN EXCLUSIVE;"
                "CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL, type BLOB NOT NULL UNIQUE);"
                "CREATE TABLE latest (type INTEGER PRIMARY KEY, event INTEGER NOT NULL, " EVENT_COLUMNS_SQL ");"
                "CREATE TABLE history (id INTEGER PRIMARY KEY, type INTEGER NOT NULL, previous INTEGER NOT NULL, "
                EVENT_COLUMNS_SQL ");"
                "CREATE INDEX history_source ON history (source_s, source_us) WHERE source_s IS NOT NULL;"
                "CREATE TABLE head (event INTEGER NOT NULL, server INTEGER NOT NULL, session INTEGER NOT NULL, "
                "instance INTEGER NOT NULL, time_s INTEGER NOT NULL, time_us INTEGER NOT NULL);"
                "INSERT INTO head VALUES (0, 0, 0, 0, 0, 0);"
                /* for people */
                "CREATE VIEW latest_events AS SELECT " PEOPLE_COLUMNS_SQL
                " FROM latest JOIN types ON types.id = latest.type;"
                "CREATE VIEW events AS SELECT " PEOPLE_COLUMNS_SQL
                " FROM history JOIN types ON types.id = history.type;"
                "PRAGMA application_id = " TEXT(APPLICATION_ID) ";"
                "PRAGMA user_version = " TEXT(VERSION) ";"
                "COMMIT;";

/* ---- what is there ----------------------------------------------------------------------------------- */

static int store_exec(Store *s, const char *sql) {
        int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : store_error(s, rc);
}

static int store_ask(Store *s, const char *sql, int64_t *ret) {
        sqlite3_stmt *statement = NULL;
        int rc, r = 0;

        rc = sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                *ret = sqlite3_column_int64(statement, 0);
        else
                r = rc == SQLITE_DONE ? store_error_text(s, -EUCLEAN, "a row is missing") : store_error(s, rc);
        (void) sqlite3_finalize(statement);
        return r;
}

/* 1: nothing is in it, 0: it is ours. */
static int store_identify(Store *s) {
        int64_t application = 0, version = 0, objects = 0;
        int r;

        r = store_ask(s, "PRAGMA application_id", &application);
        if (r < 0)
                return r;
        r = store_ask(s, "PRAGMA user_version", &version);
        if (r < 0)
                return r;
        if (application == 0 && version == 0) { /* also what is left when it was killed while it was made */
                r = store_ask(s, "SELECT count(*) FROM sqlite_schema", &objects);
                if (r < 0)
                        return r;
                if (objects == 0)
                        return 1;
        }
        if (application != APPLICATION_ID)
                return store_error_text(s, -EUCLEAN, "the file is a database, but none of gatewayd");
        if (version > VERSION)
                return store_error_text(s, -EPROTONOSUPPORT, "the database is of a newer version of gatewayd");
        if (version != VERSION)
                return store_error_text(s, -EUCLEAN, "the database is of no known version");
        return 0;
}

static int store_read_head(Store *s) {
        sqlite3_stmt *row = NULL;
        int rc, r = 0;

        rc = sqlite3_prepare_v2(s->db, "SELECT event, time_s, time_us, server, session, instance FROM head", -1,
                                &row, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(row);
        if (rc == SQLITE_ROW)
                s->now = (StorePlace) {
                        .next = sqlite3_column_int64(row, 0) + 1,
                        .timestamp = { sqlite3_column_int64(row, 1), sqlite3_column_int(row, 2) },
                        .id = { sqlite3_column_int64(row, 3), sqlite3_column_int64(row, 4),
                                sqlite3_column_int64(row, 5) },
                };
        else
                r = rc == SQLITE_DONE ? store_error_text(s, -EUCLEAN, "the last event is not noted") :
                                        store_error(s, rc);
        (void) sqlite3_finalize(row);
        return r;
}

/* Reads the event at an end of history. 1: there is one, 0: none. */
static int store_read_end(Store *s, StoreStatement which, int64_t from, StorePlace *ret) {
        sqlite3_stmt *row = store_statement(s, which);
        int64_t number;
        int r;

        (void) sqlite3_bind_int64(row, 1, from);
        r = store_row(s, row);
        if (r <= 0)
                return r;
        number = sqlite3_column_int64(row, COLUMN_NUMBER);
        *ret = (StorePlace) { .first = number, .id = column_id(row), .timestamp = column_time(row) };
        (void) sqlite3_column_blob(row, COLUMN_PAYLOAD); /* is what overflows there? */
        (void) sqlite3_reset(row);
        if (number < 1 || number == INT64_MAX)
                return store_error_text(s, -EUCLEAN, "an event's number is out of range");
        ret->next = number + 1;
        return 1;
}

/* Where history begins and ends, which must agree with what was noted. Costs the same for any number of events. */
static int store_read_place(Store *s) {
        StorePlace first, last;
        int64_t types = 0, latest = 0;
        int r;

        r = store_read_head(s);
        if (r < 0)
                return r;
        r = store_ask(s, "SELECT coalesce(max(id), 0) FROM types", &types);
        if (r < 0)
                return r;
        r = store_ask(s, "SELECT coalesce(max(type), 0) FROM latest", &latest);
        if (r < 0)
                return r;
        r = store_read_end(s, STORE_EVENTS_UP, INT64_MIN, &first);
        if (r > 0)
                r = store_read_end(s, STORE_EVENTS_DOWN, INT64_MAX, &last);
        if (r < 0)
                return r;

        if (s->now.next < 1 || types != latest || types < 0 || types > UINT32_MAX || (r > 0 && last.next < s->now.next))
                return store_error_text(s, -EUCLEAN, "the tables do not agree with each other");
        s->reserved = s->now.id.session;
        if (r > 0)
                s->now = last;
        s->now.id.session = MAX(s->now.id.session, s->reserved); /* greater: it was killed */
        s->now.first = r > 0 ? first.first : s->now.next;
        s->committed = s->now;
        s->next_type = types + 1;
        return 0;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static bool in_memory(const char *path) {
        return streq(path, ":memory:");
}

/* Made here for the sake of its mode, and of the system's own errno. */
static int store_touch(Store *s, const char *path) {
        _cleanup_(safe_closep) int fd = -EBADF;
        struct stat st;

        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, FILE_MODE);
        if (fd < 0 || fstat(fd, &st) < 0) {
                int error = errno;

                return store_error_text(s, -error, g_strerror(error));
        }
        if (!S_ISREG(st.st_mode))
                return store_error_text(s, -EUCLEAN, "not a regular file");
        if (st.st_size > 0 && st.st_size < PAGE_SIZE_MIN) /* SQLite takes a file of one byte for an empty one */
                return store_error_text(s, -EUCLEAN, "file is not a database");
        return 0;
}

static int store_connect(Store *s, const char *path) {
        int rc, r;

        if (!in_memory(path)) {
                r = store_touch(s, path);
                if (r < 0)
                        return r;
        }
        rc = sqlite3_open_v2(path, &s->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                                             (in_memory(path) ? SQLITE_OPEN_CREATE : 0),
                             NULL);
        if (rc != SQLITE_OK) {
                r = s->db ? store_error(s, rc) : store_error_text(s, -ENOMEM, "out of memory");
                (void) sqlite3_close(s->db);
                s->db = NULL;
                return r;
        }
        (void) sqlite3_extended_result_codes(s->db, 1);
        (void) sqlite3_busy_timeout(s->db, BUSY_MSEC);
        (void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        return store_exec(s, settings_sql);
}

static int store_start(Store *s, const char *path) {
        int r, made;

        r = store_connect(s, path);
        if (r < 0)
                return r;
        made = store_identify(s);
        if (made < 0)
                return made;
        r = store_exec(s, made > 0 ? new_sql : "");
        if (r < 0)
                return r;
        r = store_exec(s, log_sql);
        if (r < 0)
                return r;
        store_log_set_up(s);
        if (made > 0) {
                r = store_exec(s, schema_sql);
                if (r < 0)
                        return r;
        }
        r = store_prepare_all(s);
        if (r < 0)
                return r;
        r = store_read_place(s);
        if (r < 0)
                return r;
        r = store_reserve(s);
        return r == -EUCLEAN ? r : 0; /* a full disk is no reason to be closed: the first commit that it takes does this as well */
}

int store_open(const StoreOptions *options, Store **ret, char **ret_detail) {
        _cleanup_(store_closep) Store *s = g_new0(Store, 1);
        int r;

        s->max_age = options->max_age;
        s->max_events = options->max_events;
        s->max_bytes = options->max_bytes;
        s->slice_rows = STORE_SLICE_ROWS;
        s->turn_rows = QUERY_TURN_ROWS;
        s->trim_rows = STORE_TRIM_ROWS;
        s->free_pages = STORE_FREE_PAGES;
        type_cache_init(&s->types);
        changes_init(&s->changes);

        r = store_start(s, options->path);
        if (r < 0) {
                if (ret_detail)
                        *ret_detail = TAKE_PTR(s->detail);
                return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- setting aside ----------------------------------------------------------------------------------- */

static int move(const char *from, const char *to, const char *suffix) {
        g_autofree char *a = g_strconcat(from, suffix, NULL), *b = g_strconcat(to, suffix, NULL);

        return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* The log first: without it the database stays what it is, damaged, should this be interrupted; the log of
 * another database would be worse. */
static int move_all(const char *path, const char *name) {
        static const char *const suffixes[] = { "-wal", "-shm" };
        int r;

        if (access(name, F_OK) == 0)
                return -EEXIST;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                r = move(path, name, suffixes[i]);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return move(path, name, "");
}

int store_set_aside(const char *path, char **ret_name) {
        char stamp[sizeof "20001231T235959Z"];
        time_t now = time(NULL);
        struct tm tm;

        if (!gmtime_r(&now, &tm) || strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm) == 0)
                return -EOVERFLOW;
        for (unsigned i = 1;; i++) {
                g_autofree char *name = i == 1 ? g_strdup_printf("%s.corrupt-%s", path, stamp) :
                                                 g_strdup_printf("%s.corrupt-%s-%u", path, stamp, i);
                int r = move_all(path, name);

                if (r == -EEXIST && i < 100)
                        continue;
                if (r < 0)
                        return r;
                *ret_name = TAKE_PTR(name);
                return 0;
        }
}
