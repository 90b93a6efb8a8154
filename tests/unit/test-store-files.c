/* SPDX-License-Identifier: Apache-2.0 */
/* The event store's files: what is opened and what is refused, damage, a full disk, setting aside, export. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "event/server/disk-space.h"
#include "event/server/store-internal.h"
#include "tests/unit/store-fixture.h"

static const Subtype a = { "a", 1 };

static int try_open(Fixture *f) {
        g_autofree char *detail = NULL;
        int r = store_open(&f->options, &f->store, &detail);

        if (r < 0) {
                g_assert_null(f->store);
                g_assert_nonnull(detail);
                g_assert_true(detail[0] != 0);
                g_test_message("%s: %s", g_strerror(-r), detail);
        }
        return r;
}

/* By another program, with the store closed. */
static void run_sql(const char *path, const char *sql) {
        sqlite3 *db = NULL;

        g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
        (void) sqlite3_close(db);
}

static char *ask_sql(const char *path, const char *sql) {
        sqlite3_stmt *row = NULL;
        sqlite3 *db = NULL;
        char *text;

        g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_prepare_v2(db, sql, -1, &row, NULL), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_step(row), ==, SQLITE_ROW);
        text = g_strdup((const char *) sqlite3_column_text(row, 0));
        (void) sqlite3_finalize(row);
        (void) sqlite3_close(db);
        return text;
}

static void assert_sql(const char *path, const char *sql, const char *expected) {
        g_autofree char *text = ask_sql(path, sql);

        g_assert_cmpstr(text, ==, expected);
}

static bool file_exists(const char *path, const char *suffix) {
        g_autofree char *name = g_strconcat(path, suffix, NULL);

        return g_file_test(name, G_FILE_TEST_EXISTS);
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static void test_new_file(void) {
        _fixture_ f = { 0 };
        struct stat st;
        mode_t mask = umask(0027);

        fixture_init(&f);
        fixture_open(&f);
        (void) umask(mask);
        g_assert_cmpint(stat(f.path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 0777, ==, 0640);
        g_assert_true(file_exists(f.path, "-wal"));
        g_assert_false(file_exists(f.path, "-shm")); /* nothing of it is mapped */
        f.store = store_close(f.store);
        g_assert_false(file_exists(f.path, "-wal"));
        assert_sql(f.path, "PRAGMA journal_mode", "wal");
        assert_sql(f.path, "PRAGMA auto_vacuum", "2");
}

static void test_empty_file(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        g_assert_true(g_file_set_contents(f.path, "", 0, NULL));
        fixture_open(&f);
        g_assert_cmpint(fixture_try_one(&f, &a, NULL), ==, 0);
        fixture_reopen(&f);
        fixture_check_all(&f);
}

/* Killed while it was made: a database in which there is nothing. */
static void test_begun_file(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        run_sql(f.path, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; VACUUM;");
        fixture_open(&f);
        g_assert_cmpint(fixture_try_one(&f, &a, NULL), ==, 0);
        fixture_reopen(&f);
        fixture_check_all(&f);
}

/* People can read it. */
static void test_readable(void) {
        static const Subtype name[] = { { "gateway", 7 }, { "a/b", 3 } };
        _fixture_ f = { 0 };
        Event e;

        fixture_init(&f);
        fixture_open(&f);
        fixture_session(&f);
        f.time = (Timestamp) { .s = 1700000000, .us = 7 };
        e = fixture_event(&f, name);
        e.type.n = 2;
        e.payload = (Payload) { .kind = PAYLOAD_JSON, .json = JSON_LITERAL("{\"x\": 1}") };
        fixture_write(&f, &e, 1);
        f.store = store_close(f.store);
        assert_sql(f.path, "SELECT type || ' ' || time || ' ' || payload FROM latest_events",
                   "gateway/a\\/b 2023-11-14 22:13:20.000007 {\"x\": 1}");
        assert_sql(f.path, "SELECT server || session || instance FROM events", "111");
        assert_sql(f.path, "PRAGMA integrity_check", "ok");
}

static void test_second(void) {
        _fixture_ f = { 0 };
        Store *second = NULL;

        fixture_init(&f);
        fixture_open(&f);
        g_assert_cmpint(store_open(&f.options, &second, NULL), ==, -EBUSY);
}

static void test_no_such_folder(void) {
        _fixture_ f = { 0 };
        g_autofree char *path = NULL;

        fixture_init(&f);
        path = g_build_filename(f.folder, "missing", "events.db", NULL);
        f.options.path = path;
        g_assert_cmpint(try_open(&f), ==, -ENOENT);
        f.options.path = f.folder;
        g_assert_cmpint(try_open(&f), ==, -EISDIR);
}

/* ---- numbers of sessions ----------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to, const char *suffix) {
        g_autofree char *source = g_strconcat(from, suffix, NULL), *target = g_strconcat(to, suffix, NULL), *bytes = NULL;
        gsize size;

        g_assert_true(g_file_get_contents(source, &bytes, &size, NULL));
        g_assert_true(g_file_set_contents(target, bytes, (gssize) size, NULL));
}

/* What the next life would continue from, were this one killed now. */
static int64_t session_after_kill(const Fixture *f) {
        g_autofree char *path = g_build_filename(f->folder, "killed.db", NULL);
        StoreOptions options = f->options;
        int64_t session;
        Store *s = NULL;

        copy_file(f->path, path, "");
        copy_file(f->path, path, "-wal");
        options.path = path;
        g_assert_cmpint(store_open(&options, &s, NULL), ==, 0);
        session = store_head(s).session;
        s = store_close(s);
        g_assert_cmpint(store_open(&options, &s, NULL), ==, 0);
        g_assert_cmpint(store_head(s).session, ==, session);
        (void) store_close(s);
        return session;
}

/* Far behind what was committed, with and without history, also after so many sessions that it is to be raised; an orderly end
 * leaves no gap. */
static void test_reserve(void) {
        static const int64_t kept[] = { -1, 0 };

        for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
                _fixture_ f = { 0 };

                fixture_init(&f);
                f.options.max_events = kept[i];
                fixture_open(&f);
                g_assert_cmpint(session_after_kill(&f), >=, STORE_RESERVE / 2);
                for (unsigned n = 0; n < 5; n++) {
                        f.id.session += STORE_RESERVE / 3;
                        g_assert_cmpint(fixture_try_one(&f, &a, NULL), ==, 0);
                        fixture_commit(&f);
                        g_assert_cmpint(session_after_kill(&f), >=, f.id.session + STORE_RESERVE / 2);
                }
                fixture_reopen(&f);
                g_assert_cmpint(store_head(f.store).session, ==, f.id.session);

                /* what was undone may have been seen */
                g_assert_cmpint(fixture_try_one(&f, &a, NULL), ==, 0);
                (void) store_undo(f.store, -EIO);
                f.store = store_close(f.store);
                g_assert_cmpint(store_open(&f.options, &f.store, NULL), ==, 0);
                g_assert_cmpint(store_head(f.store).session, >=, f.id.session);
        }
}

/* ---- what is refused --------------------------------------------------------------------------------- */

static void test_no_database(void) {
        static const char *const contents[] = { "x", "event_server: {embedded: {}}\n", "SQLite format 3" };
        _fixture_ f = { 0 };

        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(contents); i++) {
                g_autofree char *after = NULL;

                g_assert_true(g_file_set_contents(f.path, contents[i], -1, NULL));
                g_assert_cmpint(try_open(&f), ==, -EUCLEAN);
                g_assert_true(g_file_get_contents(f.path, &after, NULL, NULL));
                g_assert_cmpstr(after, ==, contents[i]);
        }
}

/* What is done to a good database, and what opening it then says. */
static void test_refused(void) {
        static const struct {
                const char *sql;
                int result;
        } table[] = {
                { "PRAGMA user_version = 2", -EPROTONOSUPPORT },
                { "PRAGMA user_version = 0", -EUCLEAN },
                { "PRAGMA application_id = 1", -EUCLEAN },
                { "PRAGMA application_id = 0", -EUCLEAN },
                { "DROP TABLE latest", -EUCLEAN },
                { "DROP TABLE types", -EUCLEAN },
                { "ALTER TABLE history RENAME COLUMN previous TO earlier", -EUCLEAN },
                { "DELETE FROM head", -EUCLEAN },
                { "DROP TABLE head", -EUCLEAN },
                { "UPDATE head SET event = event + 1", -EUCLEAN },
                { "UPDATE head SET event = -5", -EUCLEAN },
                { "DELETE FROM latest", -EUCLEAN },
                { "DELETE FROM types", -EUCLEAN },
                { "UPDATE types SET id = 1 << 32 WHERE id = 3; UPDATE latest SET type = 1 << 32 WHERE type = 3", -EUCLEAN },
                { "DELETE FROM history WHERE id = (SELECT max(id) FROM history)", -EUCLEAN },
                { "CREATE TABLE other (x)", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *before = NULL, *after = NULL;
                gsize n_before, n_after;
                _fixture_ f = { 0 };

                fixture_init(&f);
                fixture_open(&f);
                fixture_fill(&f, 20, 3);
                f.store = store_close(f.store);
                run_sql(f.path, table[i].sql);
                g_assert_true(g_file_get_contents(f.path, &before, &n_before, NULL));
                g_test_message("%s", table[i].sql);
                g_assert_cmpint(try_open(&f), ==, table[i].result);
                g_assert_true(g_file_get_contents(f.path, &after, &n_after, NULL));
                g_assert_cmpmem(before, n_before, after, n_after);
        }
}

/* Everything that a store can be asked; each answer is one, or says that the database is damaged. */
static unsigned use_damaged(Fixture *f) {
        unsigned failures = 0;

        for (unsigned i = 0; i < 6; i++) {
                EventerQuery query = { .kind = i < 4 ? QUERY_TIMESERIES : i == 4 ? QUERY_LATEST : QUERY_SERVER,
                                       .order = (QueryOrder) (i & 1), .order_by = (QueryOrderBy) (i >> 1 & 1), .server_id = 1 };
                _cleanup_(store_query_freep) StoreQuery *q = NULL;
                _cleanup_(buffer_done) Buffer out = { 0 };
                int r;

                g_assert_cmpint(store_query_new(&query, &q), ==, 0);
                do
                        r = store_query_step(f->store, q, &out);
                while (r > 0);
                if (r < 0) {
                        g_assert_cmpint(r, ==, -EUCLEAN);
                        failures++;
                }
        }
        return failures;
}

static int write_damaged(Fixture *f) {
        int r;

        fixture_session(f);
        r = store_write(f->store, &(Event) { .id = { 1, 1000, 1 }, .type = { &a, 1 }, .timestamp = { 5000, 0 } }, 1);
        return r < 0 ? r : store_commit(f->store);
}

/* One page after the other is overwritten: nothing but errors comes of it. */
static void test_damage(void) {
        _fixture_ f = { 0 };
        g_autofree char *good = NULL;
        unsigned refused = 0, failed = 0;
        gsize size;

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 3000, 100);
        f.store = store_close(f.store);
        g_assert_true(g_file_get_contents(f.path, &good, &size, NULL));

        for (gsize at = 0; at < size; at += 2048) {
                g_autofree char *bad = g_memdup2(good, size);
                int r;

                memset(bad + at, at % 4096 ? 0xff : (int) (at >> 12 & 0xff), 100);
                g_assert_true(g_file_set_contents(f.path, bad, (gssize) size, NULL));
                r = try_open(&f);
                if (r < 0) {
                        g_assert_cmpint(r, ==, -EUCLEAN);
                        refused++;
                        continue;
                }
                failed += use_damaged(&f) > 0;
                r = write_damaged(&f);
                g_assert_true(r == 0 || r == -EUCLEAN);
                f.store = store_close(f.store);
        }
        g_test_message("%u refused, %u failed of %zu", refused, failed, size / 2048);
        g_assert_cmpuint(refused, >, 0);
        g_assert_cmpuint(failed, >, 5);
}

/* Which types there are is read from an index that has their numbers, too: one of no type is not believed. */
static void test_damaged_type(void) {
        const Subtype pattern = { "type-5", 6 };
        const EventType type = { &pattern, 1 };
        EventerQuery query = { .kind = QUERY_TIMESERIES, .types = &type, .n_types = 1 };
        static const char entry[] = "\206type-5\006"; /* the type's bytes, and its number */
        _cleanup_(store_query_freep) StoreQuery *q = NULL;
        _cleanup_(buffer_done) Buffer out = { 0 };
        g_autofree char *file = NULL;
        _fixture_ f = { 0 };
        gsize size;
        char *at;

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 20, 20);
        f.store = store_close(f.store);
        g_assert_true(g_file_get_contents(f.path, &file, &size, NULL));
        at = memmem(file, size, entry, sizeof(entry) - 1);
        g_assert_nonnull(at);
        at[sizeof(entry) - 2] = 21; /* the next one's */
        g_assert_null(memmem(file, size, entry, sizeof(entry) - 1));
        g_assert_true(g_file_set_contents(f.path, file, (gssize) size, NULL));
        g_assert_cmpint(try_open(&f), ==, 0);
        g_assert_cmpint(store_query_new(&query, &q), ==, 0);
        g_assert_cmpint(store_query_step(f.store, q, &out), ==, -EUCLEAN);
}

static void test_cut_off(void) {
        _fixture_ f = { 0 };
        g_autofree char *good = NULL;
        gsize size;

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 3000, 100);
        f.store = store_close(f.store);
        g_assert_true(g_file_get_contents(f.path, &good, &size, NULL));
        for (gsize cut = 1; cut < size; cut += 4096 * 3 + 1000) {
                int r;

                g_assert_true(g_file_set_contents(f.path, good, (gssize) cut, NULL));
                r = try_open(&f);
                if (r == 0)
                        (void) use_damaged(&f);
                else
                        g_assert_cmpint(r, ==, -EUCLEAN);
                f.store = store_close(f.store);
        }
}

/* ---- setting aside ----------------------------------------------------------------------------------- */

static void test_set_aside(void) {
        _fixture_ f = { 0 };
        g_autofree char *log = NULL, *first = NULL, *second = NULL, *text = NULL;

        fixture_init(&f);
        log = g_strconcat(f.path, "-wal", NULL);
        g_assert_cmpint(store_set_aside(f.path, &first), ==, -ENOENT);
        g_assert_true(g_file_set_contents(f.path, "first", -1, NULL));
        g_assert_true(g_file_set_contents(log, "log", -1, NULL));
        g_assert_cmpint(store_set_aside(f.path, &first), ==, 0);
        g_assert_true(g_str_has_prefix(first, f.path));
        g_assert_nonnull(strstr(first, ".corrupt-20"));
        g_assert_false(file_exists(f.path, ""));
        g_assert_false(file_exists(f.path, "-wal"));
        g_assert_true(file_exists(first, "-wal"));
        g_assert_true(g_file_get_contents(first, &text, NULL, NULL));
        g_assert_cmpstr(text, ==, "first");

        g_assert_true(g_file_set_contents(f.path, "second", -1, NULL)); /* in the same second */
        g_assert_cmpint(store_set_aside(f.path, &second), ==, 0);
        g_assert_cmpstr(first, !=, second);
        fixture_open(&f);
        fixture_check_all(&f);
}

/* ---- a full disk ------------------------------------------------------------------------------------- */

/* SQLite is told that the file may not grow. */
static void limit_pages(Fixture *f, unsigned pages) {
        g_autofree char *sql = g_strdup_printf("PRAGMA max_page_count = %u", pages);

        g_assert_cmpint(sqlite3_exec(f->store->db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
}

/* Writes until it fails; what was committed stays. Returns the error. */
static int write_until_full(Fixture *f, const Payload *payload) {
        int r;

        for (unsigned i = 0; i < 100000; i++) {
                r = fixture_try_one(f, &a, payload);
                if (r >= 0 && i % 10 == 0)
                        r = store_commit(f->store);
                if (r < 0) {
                        store_model_undo(&f->model, f->model.committed);
                        return r;
                }
                if (i % 10 == 0)
                        f->model.committed = f->model.events->len;
        }
        g_error("The disk does not become full.");
}

static void check_full(Fixture *f) {
        static uint8_t bytes[3000];
        Payload payload = { .kind = PAYLOAD_BINARY, .binary_type = SUBTYPE("x"), .data = bytes, .size = sizeof bytes };

        for (unsigned i = 0; i < 3; i++) {
                g_assert_cmpint(write_until_full(f, &payload), ==, -ENOSPC);
                g_assert_cmpstr(store_detail(f->store), !=, "");
                fixture_check_all(f);
        }
}

static void test_full(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        fixture_open(&f);
        limit_pages(&f, 200);
        check_full(&f);
        limit_pages(&f, 1000000);
        fixture_fill(&f, 100, 10);
        fixture_commit(&f);
        fixture_check_all(&f);
        fixture_reopen(&f);
        fixture_check_all(&f);
}

/* A query writes what is not yet written; when that fails, whoever wrote it hears of it. */
static void test_undone_by_query(void) {
        _cleanup_(store_query_freep) StoreQuery *q = NULL;
        _cleanup_(buffer_done) Buffer out = { 0 };
        g_autofree char *text = g_strnfill(900000, '1');
        Payload payload = { .kind = PAYLOAD_JSON, .json = { text, 900000 } };
        _fixture_ f = { 0 };

        fixture_init(&f);
        f.options.max_events = 0; /* so that nothing is written before */
        fixture_open(&f);
        fixture_fill(&f, 10, 1);
        fixture_commit(&f);
        limit_pages(&f, 30);
        g_assert_cmpint(store_write(f.store, &(Event) { .id = { 1, 100, 1 }, .type = { &SUBTYPE("type-0"), 1 }, .timestamp = { 5000, 0 },
                                                        .payload = payload }, 1), ==, 0);
        g_assert_cmpint(store_query_new(&(EventerQuery) { .kind = QUERY_LATEST }, &q), ==, 0);
        g_assert_cmpint(store_query_step(f.store, q, &out), ==, -ENOSPC);
        g_assert_cmpint(store_commit(f.store), ==, -ENOSPC);
        g_assert_cmpint(store_commit(f.store), ==, 0);
        g_assert_cmpint(store_head(f.store).session, ==, f.id.session);
        fixture_check_all(&f);
        limit_pages(&f, 1000000);
        g_assert_cmpint(store_probe(f.store), ==, 0);
        g_assert_cmpint(fixture_try_one(&f, &a, NULL), ==, 0);
        fixture_check_all(&f);
}

/* A file system of our own, which nobody else sees. False: the system does not let us. */
static bool private_tmpfs(const char *folder, const char *options) {
        static bool unshared;

        if (!unshared && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
                return false;
        unshared = true;
        return mount("tmpfs", folder, "tmpfs", 0, options) == 0;
}

/* Nothing is acknowledged that goes into a file without a name; it goes on where it was when the file is put back. */
static void test_removed(void) {
        g_autofree char *aside = NULL;
        _fixture_ f;
        Event e;

        fixture_init(&f);
        fixture_open(&f);
        aside = g_strconcat(f.path, ".aside", NULL);
        e = fixture_event(&f, &a);
        g_assert_cmpint(store_write(f.store, &e, 1), ==, 0);
        g_assert_cmpint(store_commit(f.store), ==, 0);

        g_assert_cmpint(g_rename(f.path, aside), ==, 0);
        e = fixture_event(&f, &a);
        g_assert_cmpint(store_write(f.store, &e, 1), ==, 0);
        g_assert_cmpint(store_commit(f.store), ==, -ENOENT);
        g_assert_cmpint(store_probe(f.store), ==, -ENOENT);
        g_assert_true(g_file_set_contents(f.path, "", 0, NULL)); /* another one */
        g_assert_cmpint(store_probe(f.store), ==, -ENOENT);

        g_assert_cmpint(g_rename(aside, f.path), ==, 0);
        g_assert_cmpint(store_probe(f.store), ==, 0);
        g_assert_cmpint(store_write(f.store, &e, 1), ==, 0);
        g_assert_cmpint(store_commit(f.store), ==, 0);
        g_assert_cmpint(store_head(f.store).session, ==, e.id.session);
}

static goffset log_size(const char *path) {
        g_autofree char *log = g_strconcat(path, "-wal", NULL);
        GStatBuf st;

        g_assert_cmpint(g_stat(log, &st), ==, 0);
        return st.st_size;
}

/* It is made long once and then written over, round and round; what is found after a loss of power is what was committed. */
static void test_log(void) {
        g_autofree uint8_t *bytes = g_malloc0(20 << 10);
        const Payload payload = { .kind = PAYLOAD_BINARY, .data = bytes, .size = 20 << 10 };
        g_autofree char *found = NULL;
        Store *original;
        goffset size;
        _fixture_ f;

        fixture_init(&f);
        fixture_open(&f);
        fixture_trim(&f);
        size = log_size(f.path);
        g_assert_cmpint(size, >, LOG_PAGES_MAX << 12);
        for (unsigned i = 0; i < 100; i++) {
                g_assert_cmpint(fixture_try_one(&f, &a, &payload), ==, 0);
                fixture_commit(&f);
        }
        g_assert_cmpint(log_size(f.path), ==, size);

        found = g_strconcat(f.path, ".found", NULL);
        copy_file(f.path, found, "");
        copy_file(f.path, found, "-wal");
        original = f.store;
        f.options.path = found;
        fixture_open(&f);
        fixture_check_all(&f);
        original = store_close(original);
}

/* On a small disk it takes no more than it needs. */
static void test_log_small_disk(void) {
        _fixture_ f;

        fixture_init(&f);
        if (!private_tmpfs(f.folder, "size=16m")) {
                g_test_skip("no mount namespace");
                return;
        }
        fixture_open(&f);
        fixture_trim(&f);
        g_assert_cmpint(log_size(f.path), <, 1 << 20);
        f.store = store_close(f.store);
        g_assert_cmpint(umount(f.folder), ==, 0);
}

static void test_full_disk(void) {
        _fixture_ f = { 0 };
        g_autofree char *ballast = NULL, *bytes = g_malloc0(300 << 10);

        fixture_init(&f);
        if (!private_tmpfs(f.folder, "size=2m")) {
                g_test_skip("no mount namespace");
                return;
        }
        ballast = g_build_filename(f.folder, "ballast", NULL);
        g_assert_true(g_file_set_contents(ballast, bytes, 300 << 10, NULL));
        fixture_open(&f);
        check_full(&f);
        g_assert_cmpint(g_unlink(ballast), ==, 0);
        g_assert_cmpint(store_probe(f.store), ==, 0);
        fixture_fill(&f, 100, 10);
        fixture_commit(&f);
        fixture_check_all(&f);
        fixture_reopen(&f);
        fixture_check_all(&f);
        check_full(&f);
        f.store = store_close(f.store);
        g_assert_cmpint(umount2(f.folder, MNT_DETACH), ==, 0);
}

static void test_read_only(void) {
        _fixture_ f = { 0 };

        fixture_init(&f);
        if (!private_tmpfs(f.folder, "size=2m")) {
                g_test_skip("no mount namespace");
                return;
        }
        fixture_open(&f);
        fixture_fill(&f, 10, 3);
        f.store = store_close(f.store);
        g_assert_cmpint(mount(NULL, f.folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), ==, 0);
        g_assert_cmpint(try_open(&f), ==, -EROFS);
        g_assert_cmpint(mount(NULL, f.folder, NULL, MS_REMOUNT, NULL), ==, 0);
        fixture_open(&f);
        fixture_check_all(&f);
        f.store = store_close(f.store);
        g_assert_cmpint(umount2(f.folder, MNT_DETACH), ==, 0);
}

/* ---- export ------------------------------------------------------------------------------------------ */

/* What is written while the copy is made is in it or not, but sessions are whole. */
static void test_export(void) {
        _fixture_ f = { 0 };
        g_autofree char *copy = NULL;
        StoreExport *e = NULL;
        unsigned steps = 0;
        int r;

        fixture_init(&f);
        fixture_open(&f);
        fixture_fill(&f, 120000, 100);
        fixture_commit(&f);
        copy = g_build_filename(f.folder, "copy.db", NULL);
        g_assert_cmpint(store_export_new(f.store, copy, &e), ==, 0);
        while ((r = store_export_step(e)) > 0) {
                if (++steps < 5)
                        fixture_fill(&f, 250, 10);
                fixture_commit(&f);
        }
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpuint(steps, >, 1);
        e = store_export_free(e);
        fixture_check_all(&f);

        g_assert_cmpint(store_export_new(f.store, copy, &e), ==, -EEXIST);
        g_assert_false(file_exists(copy, "-wal"));
        g_assert_false(file_exists(copy, "-journal"));
        assert_sql(copy, "PRAGMA journal_mode", "delete"); /* so it stands alone */
        assert_sql(copy, "PRAGMA integrity_check", "ok");

        f.store = store_close(f.store);
        f.options.path = copy;
        fixture_open(&f);
        fixture_check_all(&f);
}

/* Takes all of the file system but this. */
static void leave_space(const char *ballast, uint64_t left) {
        _cleanup_(safe_closep) int fd = open(ballast, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        uint64_t space = 0;

        g_assert_cmpint(fd, >=, 0);
        g_assert_true(disk_space_free(ballast, &space));
        g_assert_cmpuint(space, >, left);
        g_assert_cmpint(posix_fallocate(fd, 0, (off_t) (space - left)), ==, 0);
}

static void test_export_fails(void) {
        _fixture_ f = { 0 };
        g_autofree char *copy = NULL, *ballast = NULL;
        StoreExport *e = NULL;
        int64_t pages;
        uint64_t size;
        int r;

        fixture_init(&f);
        if (!private_tmpfs(f.folder, "size=64m")) {
                g_test_skip("no mount namespace");
                return;
        }
        f.options.path = ":memory:";
        fixture_open(&f);
        fixture_fill(&f, 60000, 100);
        fixture_commit(&f);
        copy = g_build_filename(f.folder, "copy.db", NULL);
        ballast = g_build_filename(f.folder, "ballast", NULL);

        /* It is not begun where it would leave too little … */
        g_assert_cmpint(store_number(f.store, STORE_PAGE_COUNT, &pages), ==, 0);
        size = (uint64_t) pages * 4096;
        leave_space(ballast, size + DISK_SPACE_LEFT - 4096);
        g_assert_cmpint(store_export_new(f.store, copy, &e), ==, -ENOSPC);
        g_assert_true(strstr(store_detail(f.store), "free space"));
        g_assert_cmpint(g_unlink(copy), ==, 0);

        /* … and when others take what there was, it fails. */
        leave_space(ballast, size + DISK_SPACE_LEFT);
        g_assert_cmpint(store_export_new(f.store, copy, &e), ==, 0);
        leave_space(ballast, size / 2);
        while ((r = store_export_step(e)) > 0)
                ;
        g_assert_cmpint(r, ==, -ENOSPC);
        e = store_export_free(e);
        fixture_check(&f, &(EventerQuery) { .kind = QUERY_LATEST });
        g_assert_cmpint(fixture_try_one(&f, &a, NULL), ==, 0);
        fixture_commit(&f);
        f.store = store_close(f.store);
        g_assert_cmpint(umount2(f.folder, MNT_DETACH), ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/store-files/new", test_new_file);
        g_test_add_func("/store-files/empty", test_empty_file);
        g_test_add_func("/store-files/begun", test_begun_file);
        g_test_add_func("/store-files/readable", test_readable);
        g_test_add_func("/store-files/second", test_second);
        g_test_add_func("/store-files/no-such-folder", test_no_such_folder);
        g_test_add_func("/store-files/reserve", test_reserve);
        g_test_add_func("/store-files/no-database", test_no_database);
        g_test_add_func("/store-files/refused", test_refused);
        g_test_add_func("/store-files/damage", test_damage);
        g_test_add_func("/store-files/damaged-type", test_damaged_type);
        g_test_add_func("/store-files/cut-off", test_cut_off);
        g_test_add_func("/store-files/set-aside", test_set_aside);
        g_test_add_func("/store-files/full", test_full);
        g_test_add_func("/store-files/undone-by-query", test_undone_by_query);
        g_test_add_func("/store-files/removed", test_removed);
        g_test_add_func("/store-files/log", test_log);
        g_test_add_func("/store-files/log-small-disk", test_log_small_disk);
        g_test_add_func("/store-files/full-disk", test_full_disk);
        g_test_add_func("/store-files/read-only", test_read_only);
        g_test_add_func("/store-files/export", test_export);
        g_test_add_func("/store-files/export-fails", test_export_fails);
        return g_test_run();
}
