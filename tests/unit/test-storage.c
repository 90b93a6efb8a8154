/* SPDX-License-Identifier: Apache-2.0 */
/* The storage with a real store on a real disk, in a real loop: groups, order, queries, export, trouble, the end. What the store itself
 * does is tested in test-store. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/bounds.h"
#include "event/eventer-codec.h"
#include "event/server/peer-codec.h"
#include "event/server/storage.h"
#include "tests/unit/full-disk.h"
#include "tests/unit/loop.h"
#include "tests/unit/moved-clock.h"

#define SERVER 1

typedef struct Fixture {
        sd_event *event;
        char *folder, *path, *export_path;
        Storage *storage;
        int64_t session; /* the last one made */
        Timestamp time;

        GArray *written; /* int64_t: numbers, in the order in which they came back; failed ones negative */
        unsigned n_failing, n_congested;
        bool failing, congested;
        char *detail;

        unsigned n_results;
        int query_error;
        size_t query_events, written_at_result;
        int64_t query_last; /* the greatest session in the result */

        bool set_aside;
        unsigned n_damaged;
        char *aside;

        unsigned n_exports;
        int export_error;
} Fixture;

static void on_written(Session *session, int error, void *userdata) {
        Fixture *f = userdata;
        int64_t number = error < 0 ? -session->number : session->number;

        g_array_append_val(f->written, number);
        (void) session_free(session);
}

static void on_failing(bool failing, const char *detail, void *userdata) {
        Fixture *f = userdata;

        g_assert_true(failing != f->failing);
        f->failing = failing;
        f->n_failing++;
        g_free(f->detail);
        f->detail = g_strdup(detail);
}

static void on_damaged(const char *aside, const char *detail, void *userdata) {
        Fixture *f = userdata;

        g_assert_nonnull(detail);
        f->n_damaged++;
        g_free(f->aside);
        f->aside = g_strdup(aside);
}

static void on_congested(bool congested, void *userdata) {
        Fixture *f = userdata;

        g_assert_true(congested != f->congested);
        f->congested = congested;
        f->n_congested++;
}

static const StorageHandler handler = { .written = on_written,
                                        .failing = on_failing,
                                        .damaged = on_damaged,
                                        .congested = on_congested };

static void on_result(int error, const Buffer *result, void *userdata) {
        Fixture *f = userdata;
        EventList list;
        SbsReader reader;
        const Event *events;

        f->n_results++;
        f->query_error = error;
        f->query_events = 0;
        f->query_last = 0;
        f->written_at_result = f->written->len;
        if (error < 0)
                return;
        event_list_init(&list);
        reader = (SbsReader) { .at = buffer_begin(result), .end = buffer_begin(result) + buffer_size(result) };
        g_assert_cmpint(event_list_decode(&list, &reader), ==, 0);
        f->query_events = list.events->len;
        events = (const Event *) (void *) list.events->data;
        for (size_t i = 0; i < list.events->len; i++)
                f->query_last = MAX(f->query_last, events[i].id.session);
        event_list_done(&list);
}

static void on_exported(int error, const char *detail, void *userdata) {
        Fixture *f = userdata;

        g_assert_true(error == 0 || detail);
        f->n_exports++;
        f->export_error = error;
}

static void open_storage(Fixture *f, int64_t max_events) {
        const StoreOptions options = { .path = f->path,
                                       .max_age = USEC_INFINITY,
                                       .max_events = max_events,
                                       .max_bytes = -1 };
        Store *store;
        char *detail = NULL;

        g_assert_cmpint(store_open(&options, &store, &detail), ==, 0);
        f->session = store_head(store).session;
        f->time = store_head(store).timestamp;
        g_assert_cmpint(storage_new(f->event, store, f->set_aside ? &options : NULL, f->export_path, &handler, f, &f->storage), ==, 0);
}

static void close_storage(Fixture *f) {
        f->storage = storage_close(f->storage, now_usec(CLOCK_MONOTONIC) + LOOP_LIMIT_USEC, NULL);
}

static void fixture_setup(Fixture *f, gconstpointer data) {
        f->event = loop_new();
        f->folder = g_dir_make_tmp("storage-XXXXXX", NULL);
        f->path = g_build_filename(f->folder, "events.db", NULL);
        f->export_path = g_build_filename(f->folder, "events.db-export", NULL);
        f->written = g_array_new(false, false, sizeof(int64_t));
        open_storage(f, -1);
}

static void fixture_teardown(Fixture *f, gconstpointer data) {
        static const char *const names[] = { "events.db", "events.db-wal", "events.db-journal", "events.db-shm",
                                             "copy" };

        close_storage(f);
        sd_event_unref(f->event);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                g_autofree char *path = g_build_filename(f->folder, names[i], NULL);

                (void) unlink(path);
        }
        g_assert_cmpint(rmdir(f->folder), ==, 0); /* also: nothing else was left there */
        g_array_unref(f->written);
        g_free(f->folder);
        g_free(f->path);
        g_free(f->export_path);
        g_free(f->detail);
        g_free(f->aside);
}

/* ---- sessions and queries ---------------------------------------------------------------------------- */

static const Subtype subtypes[] = { SUBTYPE("a"), SUBTYPE("b") };
static const EventType type = { subtypes, ELEMENTSOF(subtypes) };

/* One session of one event with a payload of so many bytes. */
static int64_t write_one(Fixture *f, bool wants_response, size_t size) {
        g_autofree uint8_t *data = g_malloc0(size);
        _cleanup_(buffer_done) Buffer b = { 0 };
        Session *session;
        Event e = { .id = { SERVER, ++f->session, 1 }, .type = type, .timestamp = f->time };

        if (size > 0)
                e.payload = (Payload) { .kind = PAYLOAD_BINARY, .binary_type = SUBTYPE("x"), .data = data, .size = size };
        sbs_write_integer(&b, 1);
        event_encode(&b, &e);
        session = session_new(buffer_begin(&b), buffer_size(&b), 1);
        session->number = f->session;
        session->wants_response = wants_response;
        storage_write(f->storage, session);
        return f->session;
}

static StorageQuery *query(Fixture *f) {
        const EventerQuery q = { .kind = QUERY_SERVER, .server_id = SERVER };
        StoreQuery *store_query;

        g_assert_cmpint(store_query_new(&q, &store_query), ==, 0);
        return storage_query(f->storage, store_query, on_result, f);
}

static void query_and_wait(Fixture *f) {
        unsigned n = f->n_results;

        (void) query(f);
        LOOP_UNTIL(f->event, f->n_results > n);
        g_assert_cmpint(f->query_error, ==, 0);
}

static int64_t written_at(const Fixture *f, size_t i) {
        return g_array_index(f->written, int64_t, i);
}

static void assert_written_in_order(const Fixture *f, size_t n) {
        g_assert_cmpuint(f->written->len, ==, n);
        for (size_t i = 0; i < n; i++)
                g_assert_cmpint(written_at(f, i), ==, (int64_t) i + 1);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

/* A session that wants a response takes those before it along, at once; others come within a second. At once: the best of three,
 * as the machine may be busy. */
static void test_groups(Fixture *f, gconstpointer data) {
        usec_t begin, best = USEC_INFINITY;

        for (guint n = 0; n < 9; n += 3) {
                begin = now_usec(CLOCK_MONOTONIC);
                (void) write_one(f, false, 0);
                (void) write_one(f, false, 0);
                (void) write_one(f, true, 0);
                g_assert_cmpuint(f->written->len, ==, n); /* never inside the call */
                LOOP_UNTIL(f->event, f->written->len == n + 3);
                best = MIN(best, now_usec(CLOCK_MONOTONIC) - begin);
        }
        assert_written_in_order(f, 9);
        g_assert_cmpuint(best, <, STORAGE_COMMIT_USEC);

        begin = now_usec(CLOCK_MONOTONIC);
        (void) write_one(f, false, 0);
        loop_settle(f->event);
        (void) write_one(f, false, 0);
        LOOP_UNTIL(f->event, f->written->len == 11);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, >=, STORAGE_COMMIT_USEC);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, <, 4 * STORAGE_COMMIT_USEC);
        assert_written_in_order(f, 11);
}

/* Somebody waits for every commit: none is put off, also not one that had been. The best of three, too. */
static void test_prompt(Fixture *f, gconstpointer data) {
        usec_t best = USEC_INFINITY;

        for (guint n = 0; n < 6; n += 2) {
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                (void) write_one(f, false, 0);
                storage_set_prompt(f->storage, true);
                LOOP_UNTIL(f->event, f->written->len == n + 1);
                (void) write_one(f, false, 0);
                LOOP_UNTIL(f->event, f->written->len == n + 2);
                storage_set_prompt(f->storage, false);
                best = MIN(best, now_usec(CLOCK_MONOTONIC) - begin);
        }
        g_assert_cmpuint(best, <, STORAGE_COMMIT_USEC);
}

/* Megabytes are committed before their time, and too many of them are congestion, until they have got through. */
static void test_congestion(Fixture *f, gconstpointer data) {
        size_t n = STORAGE_QUEUE_MAX / 100000 + 10;

        for (size_t i = 0; i < n; i++)
                (void) write_one(f, false, 100000);
        g_assert_false(f->congested);
        LOOP_UNTIL(f->event, f->congested);
        LOOP_UNTIL(f->event, !f->congested);
        LOOP_UNTIL(f->event, f->written->len == n);
        assert_written_in_order(f, n);
        g_assert_cmpuint(f->n_congested, ==, 2);
        query_and_wait(f);
}

/* A query comes behind what was written before it, without a commit. */
static void test_query_order(Fixture *f, gconstpointer data) {
        int64_t last = 0;

        for (size_t i = 0; i < 20; i++)
                last = write_one(f, false, 100);
        query_and_wait(f);
        g_assert_cmpint(f->query_last, ==, last);
        g_assert_cmpuint(f->query_events, ==, 20);
        g_assert_cmpuint(f->written_at_result, ==, 0);

        last = write_one(f, true, 0);
        query_and_wait(f);
        g_assert_cmpint(f->query_last, ==, last);
        g_assert_cmpuint(f->written_at_result, ==, 21); /* the commit was told first */
}

static void test_cancel(Fixture *f, gconstpointer data) {
        StorageQuery *queries[3];

        (void) write_one(f, false, 0);
        for (size_t i = 0; i < ELEMENTSOF(queries); i++)
                queries[i] = query(f); /* the first one waits for the write, which runs */
        g_assert_null(storage_query_cancel(queries[0]));
        g_assert_null(storage_query_cancel(queries[2]));
        g_assert_null(storage_query_cancel(NULL));
        LOOP_UNTIL(f->event, f->n_results == 1);

        queries[0] = query(f); /* runs */
        g_assert_null(storage_query_cancel(queries[0]));
        query_and_wait(f);
        g_assert_cmpuint(f->n_results, ==, 2);
}

/* Everything that was written is there after a close, and numbers go on. */
static void test_close(Fixture *f, gconstpointer data) {
        int64_t last;

        g_assert_cmpint(storage_has_type(f->storage, type), ==, 0);
        (void) write_one(f, true, 0);
        (void) write_one(f, false, 0);
        last = write_one(f, false, 0);
        close_storage(f);
        g_assert_cmpuint(f->written->len, ==, 0); /* no callback */

        open_storage(f, -1);
        g_assert_cmpint(f->session, ==, last);
        g_assert_cmpint(storage_has_type(f->storage, type), ==, 1);
        query_and_wait(f);
        g_assert_cmpuint(f->query_events, ==, 3);
}

/* With a query, an export and writes under way. */
static void test_close_in_the_middle(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->folder, "copy", NULL);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        for (size_t i = 0; i < 50; i++)
                (void) write_one(f, i % 7 == 0, 50000);
        LOOP_UNTIL(f->event, f->written->len > 0);
        (void) query(f);
        (void) query(f);
        g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, 0);
        g_assert_cmpint(sd_event_run(f->event, 0), >=, 0);
        close_storage(f);
        g_assert_cmpuint(f->n_exports, ==, 0);
        safe_close(fd);

        open_storage(f, -1);
        g_assert_cmpint(f->session, ==, 50);
}

static bool can_open(const Fixture *f) {
        const StoreOptions options = { .path = f->path, .max_age = USEC_INFINITY, .max_events = -1, .max_bytes = -1 };
        g_autofree char *detail = NULL;
        _cleanup_(store_closep) Store *store = NULL;

        return store_open(&options, &store, &detail) >= 0;
}

/* A limit that is over at once: nobody waits, and what the thread still has is its own to free. */
static void test_close_limit(Fixture *f, gconstpointer data) {
        int r = 0;

        for (size_t i = 0; i < 50; i++)
                (void) write_one(f, true, 50000);
        g_assert_cmpint(sd_event_run(f->event, 0), >=, 0);
        (void) query(f);
        f->storage = storage_close(f->storage, 0, &r);
        g_assert_cmpint(r, ==, -ETIMEDOUT);
        LOOP_UNTIL(f->event, can_open(f)); /* the database stays locked until the thread is done */
}

/* Megabytes are followed by trimming, as soon as there is nothing else to do. */
static void test_trim(Fixture *f, gconstpointer data) {
        close_storage(f);
        open_storage(f, 10);
        for (size_t i = 0; i <= STORAGE_TRIM_BYTES / 100000; i++)
                (void) write_one(f, true, 100000);
        for (usec_t end = now_usec(CLOCK_MONOTONIC) + LOOP_LIMIT_USEC; f->query_events != 10;) {
                g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
                query_and_wait(f);
        }
        g_assert_cmpint(f->query_last, ==, f->session);
}

/* Only a few are under way at once; the others have their turn all the same. */
static void test_many_queries(Fixture *f, gconstpointer data) {
        StorageQuery *queries[40];

        for (size_t i = 0; i < 30; i++)
                (void) write_one(f, true, 100000);
        LOOP_UNTIL(f->event, f->written->len == 30);
        for (size_t i = 0; i < ELEMENTSOF(queries); i++)
                queries[i] = query(f);
        LOOP_UNTIL(f->event, f->n_results >= 2);
        for (size_t i = ELEMENTSOF(queries) - 10; i < ELEMENTSOF(queries); i++)
                g_assert_null(storage_query_cancel(queries[i]));
        LOOP_UNTIL(f->event, f->n_results == ELEMENTSOF(queries) - 10);
        query_and_wait(f);
        g_assert_cmpuint(f->query_events, ==, 30);
}

/* ---- trouble ----------------------------------------------------------------------------------------- */

/* What wants a response is refused, the rest is kept, in order, and gets there when the disk takes it again. */
static void test_full_disk(Fixture *f, gconstpointer data) {
        (void) write_one(f, true, 0);
        LOOP_UNTIL(f->event, f->written->len == 1);

        full_disk(true);
        (void) write_one(f, false, 0);    /* 2 */
        (void) write_one(f, true, 10000); /* 3: fails */
        (void) write_one(f, false, 0);    /* 4 */
        LOOP_UNTIL(f->event, f->failing);
        g_assert_true(storage_is_failing(f->storage));
        g_assert_nonnull(f->detail);
        LOOP_UNTIL(f->event, f->written->len == 2);
        g_assert_cmpint(written_at(f, 1), ==, -3);
        query_and_wait(f); /* reading goes on, and does not wait for the disk */
        g_assert_cmpuint(f->query_events, ==, 1);
        (void) write_one(f, false, 0); /* 5 */
        g_assert_cmpuint(f->written->len, ==, 2);

        full_disk(false);
        LOOP_UNTIL(f->event, !f->failing);
        g_assert_cmpuint(f->written->len, ==, 5);
        g_assert_cmpint(written_at(f, 2), ==, 2);
        g_assert_cmpint(written_at(f, 3), ==, 4);
        g_assert_cmpint(written_at(f, 4), ==, 5);
        g_assert_cmpuint(f->n_failing, ==, 2);
        g_assert_cmpuint(storage_dropped(f->storage), ==, 0);
        (void) write_one(f, true, 0);
        LOOP_UNTIL(f->event, f->written->len == 6);
        g_assert_cmpint(written_at(f, 5), ==, 6);
        query_and_wait(f);
        g_assert_cmpuint(f->query_events, ==, 5);
}

/* With nothing kept it recovers by itself, too. */
static void test_full_disk_idle(Fixture *f, gconstpointer data) {
        full_disk(true);
        (void) write_one(f, true, 10000);
        LOOP_UNTIL(f->event, f->failing);
        LOOP_UNTIL(f->event, f->written->len == 1);
        for (usec_t end = now_usec(CLOCK_MONOTONIC) + 5 * STORAGE_RETRY_USEC / 2; now_usec(CLOCK_MONOTONIC) < end;)
                g_assert_cmpint(sd_event_run(f->event, 10 * USEC_PER_MSEC), >=, 0);
        g_assert_true(f->failing);
        full_disk(false);
        LOOP_UNTIL(f->event, !f->failing);
        g_assert_cmpuint(f->n_failing, ==, 2);
}

/* What was written but not committed when it failed is kept as well; beyond the bound the oldest goes. */
static void test_dropped(Fixture *f, gconstpointer data) {
        const size_t size = 100000, n = 2 * (STORAGE_KEPT_MAX / size);
        int64_t last = 0;

        full_disk(true);
        for (size_t i = 0; i < n; i++) {
                last = write_one(f, false, size);
                g_assert_cmpint(sd_event_run(f->event, 0), >=, 0);
        }
        LOOP_UNTIL(f->event, f->failing && storage_dropped(f->storage) >= n - STORAGE_KEPT_MAX / size);
        loop_settle(f->event);
        g_assert_cmpuint(storage_dropped(f->storage), <=, n - STORAGE_KEPT_MAX / size + 2);
        g_assert_cmpuint(f->written->len, ==, storage_dropped(f->storage));
        for (size_t i = 0; i < f->written->len; i++) { /* a try has up to a commit in its hands meanwhile */
                g_assert_cmpint(written_at(f, i), <, 0);
                g_assert_cmpint(-written_at(f, i), <=, (int64_t) (i + 1 + STORAGE_COMMIT_BYTES / size));
        }
        g_assert_false(f->congested);

        full_disk(false);
        LOOP_UNTIL(f->event, !f->failing);
        LOOP_UNTIL(f->event, f->written->len == n);
        g_assert_cmpint(written_at(f, n - 1), ==, last);
}

/* ---- damage ------------------------------------------------------------------------------------------ */

/* Inside of history, where the start reads nothing. */
static void open_damaged(Fixture *f) {
        g_autofree char *bytes = NULL;
        gsize size;

        for (unsigned i = 0; i < 100; i++)
                (void) write_one(f, false, 2000);
        close_storage(f);
        g_assert_true(g_file_get_contents(f->path, &bytes, &size, NULL));
        memset(bytes + size / 3, 0xff, size / 3);
        g_assert_true(g_file_set_contents(f->path, bytes, (gssize) size, NULL));
        open_storage(f, -1);
}

/* A query comes upon it: what is not committed goes into the new database, and so does what comes then. */
static void test_set_aside(Fixture *f, gconstpointer data) {
        int64_t last;

        f->set_aside = true;
        open_damaged(f);
        last = write_one(f, false, 10);
        (void) query(f);
        LOOP_UNTIL(f->event, f->n_damaged == 1);
        g_assert_cmpuint(f->n_results, ==, 1);
        g_assert_cmpint(f->query_error, ==, -EUCLEAN);
        (void) write_one(f, true, 10);
        LOOP_UNTIL(f->event, f->written->len == 2);
        g_assert_cmpint(written_at(f, 0), ==, last);
        g_assert_cmpint(written_at(f, 1), ==, last + 1);
        g_assert_false(storage_is_failing(f->storage));
        query_and_wait(f);
        g_assert_cmpuint(f->query_events, ==, 2);
        g_assert_cmpint(unlink(f->aside), ==, 0);
}

/* Nothing is taken any more. */
static void test_damaged(Fixture *f, gconstpointer data) {
        open_damaged(f);
        (void) write_one(f, false, 10);
        (void) query(f);
        LOOP_UNTIL(f->event, f->n_damaged == 1);
        g_assert_null(f->aside);
        g_assert_cmpint(f->query_error, ==, -EUCLEAN);
        g_assert_true(storage_is_failing(f->storage));
        g_assert_cmpuint(f->n_failing, ==, 0);
        close_storage(f);
        g_assert_cmpuint(f->written->len, ==, 0);
        g_assert_true(g_file_test(f->path, G_FILE_TEST_IS_REGULAR));
}

/* ---- export ------------------------------------------------------------------------------------------ */

static void test_export(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->folder, "copy", NULL), *detail = NULL;
        const StoreOptions options = { .path = path, .max_age = USEC_INFINITY, .max_events = -1, .max_bytes = -1 };
        Store *copy;
        struct stat st;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        int64_t last = 0;

        g_assert_cmpint(ftruncate(fd, 50 << 20), ==, 0); /* of something longer */
        for (size_t i = 0; i < 30; i++)
                last = write_one(f, true, 100000);
        LOOP_UNTIL(f->event, f->written->len == 30);
        g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, 0);
        g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, -EBUSY);
        safe_close(fd);
        g_assert_cmpuint(f->n_exports, ==, 0);
        (void) write_one(f, true, 0);
        LOOP_UNTIL(f->event, f->n_exports == 1);
        g_assert_cmpint(f->export_error, ==, 0);
        g_assert_cmpint(access(f->export_path, F_OK), ==, -1);
        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpint(st.st_size, <, 50 << 20);

        g_assert_cmpint(store_open(&options, &copy, &detail), ==, 0);
        g_assert_cmpint(store_head(copy).session, >=, last);
        (void) store_close(copy);
}

static void test_export_refused(Fixture *f, gconstpointer data) {
        int fds[2], fd = open(f->path, O_RDONLY | O_CLOEXEC);

        g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, -EINVAL);
        safe_close(fd);
        fd = open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC); /* what is there would stay in front */
        g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, -EINVAL);
        safe_close(fd);
        g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
        g_assert_cmpint(storage_export(f->storage, fds[1], on_exported, f), ==, -EINVAL);
        safe_close(fds[0]);
        safe_close(fds[1]);
        g_assert_cmpint(storage_export(f->storage, -EBADF, on_exported, f), ==, -EBADF);
}

/* It fails like anything else on a full disk; nothing stays, and the next one is fine. */
static void test_export_full_disk(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->folder, "copy", NULL);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        full_disk(true);
        g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, 0);
        LOOP_UNTIL(f->event, f->n_exports == 1);
        g_assert_cmpint(f->export_error, <, 0);
        g_assert_cmpint(access(f->export_path, F_OK), ==, -1);
        full_disk(false);
        g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, 0);
        LOOP_UNTIL(f->event, f->n_exports == 2);
        g_assert_cmpint(f->export_error, ==, 0);
        safe_close(fd);
}

/* What is in the open transaction when an export begins is committed first, at once, and told so: a failure behind it undoes
 * nothing that the export has made lasting. At once: the best of three, as the machine may be busy. */
static void test_export_uncommitted(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->folder, "copy", NULL);
        usec_t best = USEC_INFINITY;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        for (unsigned i = 1; i <= 3; i++) {
                usec_t begin = now_usec(CLOCK_MONOTONIC);

                (void) write_one(f, false, 0);
                query_and_wait(f); /* written; committed only when the machine is slow */
                g_assert_cmpint(storage_export(f->storage, fd, on_exported, f), ==, 0);
                LOOP_UNTIL(f->event, f->n_exports == i);
                g_assert_cmpint(f->export_error, ==, 0);
                assert_written_in_order(f, i);
                best = MIN(best, now_usec(CLOCK_MONOTONIC) - begin);
        }
        g_assert_cmpuint(best, <, STORAGE_COMMIT_USEC);

        full_disk(true);
        (void) write_one(f, true, 0);
        LOOP_UNTIL(f->event, f->written->len == 4);
        g_assert_true(f->failing);
        full_disk(false);
        LOOP_UNTIL(f->event, !f->failing);
        (void) write_one(f, true, 0);
        LOOP_UNTIL(f->event, f->written->len == 5);
        g_assert_cmpint(written_at(f, 4), >, 0);
        safe_close(fd);
}

/* Anything at any time: what was written comes back once, what was acknowledged is there, in order, and trouble ends with its
 * cause. */
static void test_random(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->folder, "copy", NULL);
        g_autofree bool *seen = NULL;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        unsigned n_queries = 0, n_exports = 0;
        size_t n_good = 0;
        int64_t last = 0;

        for (unsigned i = 0; i < 4000; i++) {
                int what = g_test_rand_int_range(0, 16);

                if (what < 4)
                        (void) write_one(f, what == 0, g_test_rand_int_range(0, 8) == 0 ? 15000 : 10);
                else if (what == 4)
                        (void) query(f), n_queries++;
                else if (what == 5)
                        n_exports += storage_export(f->storage, fd, on_exported, f) == 0;
                else if (what == 6)
                        full_disk(g_test_rand_int_range(0, 3) == 0);
                else if (what == 7)
                        clock_move((usec_t) g_test_rand_int_range(0, 2 * STORAGE_RETRY_USEC));
                else
                        g_assert_cmpint(sd_event_run(f->event, USEC_PER_MSEC), >=, 0);
        }
        full_disk(false);
        LOOP_UNTIL(f->event, !f->failing && f->written->len == (guint) f->session);
        LOOP_UNTIL(f->event, f->n_results == n_queries && f->n_exports == n_exports);
        g_assert_cmpuint(f->n_failing, >, 0);

        seen = g_new0(bool, (size_t) f->session + 1);
        for (guint i = 0; i < f->written->len; i++) {
                int64_t number = written_at(f, i);

                g_assert_false(seen[ABS(number)]);
                seen[ABS(number)] = true;
                if (number < 0)
                        continue;
                g_assert_cmpint(number, >, last);
                last = number;
                n_good++;
        }
        query_and_wait(f);
        g_assert_cmpuint(f->query_events, ==, n_good);
        g_assert_cmpint(f->query_last, ==, last);
        safe_close(fd);
}

static void on_exported_close(int error, const char *detail, void *userdata) {
        Fixture *f = userdata;

        on_exported(error, detail, f);
        close_storage(f);
}

static void test_export_closes(Fixture *f, gconstpointer data) {
        g_autofree char *path = g_build_filename(f->folder, "copy", NULL);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        g_assert_true(g_file_set_contents(f->export_path, "left by a crash", -1, NULL));
        close_storage(f);
        open_storage(f, -1);
        g_assert_cmpint(access(f->export_path, F_OK), ==, -1);

        for (unsigned i = 1; i <= 2; i++) {
                full_disk(i == 1);
                g_assert_cmpint(storage_export(f->storage, fd, on_exported_close, f), ==, 0);
                LOOP_UNTIL(f->event, f->n_exports == i);
                full_disk(false);
                open_storage(f, -1);
        }
        safe_close(fd);
}

#define ADD(name, func) g_test_add("/storage/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        ADD("groups", test_groups);
        ADD("prompt", test_prompt);
        ADD("congestion", test_congestion);
        ADD("query-order", test_query_order);
        ADD("cancel", test_cancel);
        ADD("many-queries", test_many_queries);
        ADD("trim", test_trim);
        ADD("close", test_close);
        ADD("close-in-the-middle", test_close_in_the_middle);
        ADD("close-limit", test_close_limit);
        ADD("full-disk", test_full_disk);
        ADD("full-disk-idle", test_full_disk_idle);
        ADD("dropped", test_dropped);
        ADD("set-aside", test_set_aside);
        ADD("damaged", test_damaged);
        ADD("export", test_export);
        ADD("export-refused", test_export_refused);
        ADD("export-full-disk", test_export_full_disk);
        ADD("export-uncommitted", test_export_uncommitted);
        ADD("random", test_random);
        ADD("export-closes", test_export_closes);
        return g_test_run();
}
