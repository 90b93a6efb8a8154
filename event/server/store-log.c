/* SPDX-License-Identifier: Apache-2.0 */
/* The write-ahead log of the store: how long it becomes, and that its file is as long before. The thread
 * that uses the store.
 *
 * A commit waits for what it appended to the log. Where that makes the file longer, or is the first to be
 * written in room that was only reserved, the file system has to note it in its own journal, and the disk
 * takes twice as long. So the file is made as long as it becomes, by writing it, and from then on only
 * written over. */

#include "event/server/disk-space.h"
#include "event/server/store-internal.h"

#define FRAME_SIZE 4120U                               /* a page and what stands before it */
#define FILE_SIZE ((LOG_PAGES_MAX + 64U) * FRAME_SIZE) /* with a commit that goes beyond */
#define STEP_SIZE (64U << 10)                          /* SQLite writes less than 128 KiB at once */
#define SPACE_PART 16U /* of the free space: where that is less, the log grows as it is needed */

static int on_commit(void *userdata, sqlite3 *db, const char *name, int pages) {
        Store *s = userdata;

        s->log_pages = pages;
        return SQLITE_OK;
}

void store_log_set_up(Store *s) {
        (void) sqlite3_wal_hook(s->db, on_commit, s);
}

void store_log_write_back(Store *s, int pages) {
        if (s->log_pages < pages)
                return;
        if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK)
                s->log_pages = 0;
}

static bool has_space(Store *s) {
        const char *path = sqlite3_db_filename(s->db, "main"); /* "": in memory */
        uint64_t space;

        return path && disk_space_free(path, &space) && space / SPACE_PART >= FILE_SIZE;
}

/* Zeros are the end of the log for whoever reads it. Nobody waits for the disk here: the next commit takes
 * them along. */
void store_log_lengthen(Store *s) {
        static uint8_t zeros[STEP_SIZE]; /* not const: it would be in the program file */
        sqlite3_file *file = NULL;
        sqlite3_int64 size;

        if (!has_space(s) ||
            sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) != SQLITE_OK ||
            !file->pMethods || file->pMethods->xFileSize(file, &size) != SQLITE_OK)
                return;
        for (; size < FILE_SIZE; size += STEP_SIZE)
                if (file->pMethods->xWrite(file, zeros, STEP_SIZE, size) != SQLITE_OK)
                        return;
}
