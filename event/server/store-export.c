/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of the database, by SQLite's backup: pages written meanwhile go into the copy too, because one
 * connection writes. The thread that uses the store. */

#include <errno.h>
#include <fcntl.h>

#include "event/server/disk-space.h"
#include "event/server/store-internal.h"

#define STEP_PAGES 256
#define FILE_MODE 0640

struct StoreExport {
        Store *store;
        sqlite3 *db;
        sqlite3_backup *backup;
};

StoreExport *store_export_free(StoreExport *e) {
        if (!e)
                return NULL;
        (void) sqlite3_backup_finish(e->backup);
        (void) sqlite3_close(e->db);
        g_free(e);
        return NULL;
}

static int export_error(StoreExport *e, int rc) {
        const char *text;
        int error = store_errno(e->db, rc, &text);

        return store_error_text(e->store, error == -EUCLEAN ? -EIO : error, text); /* damaged is the copy */
}

/* On a file system that is full no event could be registered any more. */
static int export_check_space(Store *s, const char *path) {
        g_autofree char *detail = NULL;
        int64_t pages, page_size;
        int r;

        r = store_number(s, STORE_PAGE_COUNT, &pages);
        if (r >= 0)
                r = store_number(s, STORE_PAGE_SIZE, &page_size);
        if (r < 0)
                return r;
        r = disk_space_check(path, (uint64_t) pages * (uint64_t) page_size, &detail);
        return r < 0 ? store_error_text(s, r, detail) : 0;
}

/* The copy need not survive anything before it is complete. */
static int export_open(StoreExport *e, const char *path) {
        int rc;

        rc = sqlite3_open_v2(path, &e->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                             NULL);
        if (rc == SQLITE_OK) {
                (void) sqlite3_extended_result_codes(e->db, 1);
                rc = sqlite3_exec(e->db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -256;",
                                  NULL, NULL, NULL);
        }
        if (rc != SQLITE_OK)
                return export_error(e, rc);
        e->backup = sqlite3_backup_init(e->db, "main", e->store->db, "main");
        return e->backup ? 0 : export_error(e, sqlite3_extended_errcode(e->db));
}

int store_export_new(Store *s, const char *path, StoreExport **ret) {
        _cleanup_(store_export_freep) StoreExport *e = NULL;
        _cleanup_(safe_closep) int fd = -EBADF;
        int r;

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
        if (fd < 0) {
                int error = errno;

                return store_error_text(s, -error, g_strerror(error));
        }
        r = export_check_space(s, path);
        if (r < 0)
                return r;
        e = g_new0(StoreExport, 1);
        e->store = s;
        r = export_open(e, path);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

/* The copied pages say that there is a log; a database that stands alone can also be read where nothing can
 * be written. */
static int export_finish(StoreExport *e) {
        int rc;

        rc = sqlite3_backup_finish(TAKE_PTR(e->backup));
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(e->db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE;", NULL, NULL,
                                  NULL);
        return rc == SQLITE_OK ? 0 : export_error(e, rc);
}

int store_export_step(StoreExport *e) {
        int rc;

        if (!e->backup)
                return 0;
        errno = 0; /* for store_errno() */
        rc = sqlite3_backup_step(e->backup, STEP_PAGES);
        if (rc == SQLITE_OK || rc == SQLITE_BUSY)
                return 1;
        if (rc == SQLITE_DONE)
                return export_finish(e);
        return export_error(e, rc);
}
