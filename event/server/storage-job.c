/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the storage. Everything below storage_job_run() runs on the worker thread; memory
 * comes and goes on any. */

#include <errno.h>

#include "event/server/storage-job.h"

Session *session_new(const void *events, size_t size, size_t n_events) {
        Session *s = g_malloc(sizeof(Session) + size);
        uint8_t *copy = (uint8_t *) (s + 1);

        if (size > 0)
                memcpy(copy, events, size);
        *s = (Session) { .events = copy, .size = size, .n_events = n_events };
        s->link.data = s->order.data = s;
        return s;
}

Session *session_free(Session *s) {
        g_free(s);
        return NULL;
}

StorageQuery *storage_query_free(StorageQuery *q) {
        if (!q)
                return NULL;
        store_query_free(q->query);
        buffer_done(&q->out);
        g_free(q);
        return NULL;
}

/* ---- the core ---------------------------------------------------------------------------------------- */

StorageCore *storage_core_new(Store *store, const StoreOptions *replacement, const char *copy_path) {
        StorageCore *c = g_new0(StorageCore, 1);

        atomic_init(&c->n_ref, 1);
        atomic_init(&c->closed, 0);
        c->store = store;
        c->copy_path = g_strdup(copy_path);
        if (replacement) {
                c->replacement = *replacement;
                c->replacement.path = c->path = g_strdup(replacement->path);
        }
        event_list_init(&c->list);
        (void) sem_init(&c->finished, 0, 0);
        return c;
}

void storage_core_remove_copy(const StorageCore *c) {
        static const char *const suffixes[] = { "", "-journal", "-wal", "-shm" };

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                g_autofree char *path = g_strconcat(c->copy_path, suffixes[i], NULL);

                (void) unlink(path);
        }
}

static void core_close(StorageCore *c) {
        if (c->copy) {
                c->copy = store_export_free(c->copy);
                storage_core_remove_copy(c);
        }
        c->store = store_close(c->store);
}

void storage_core_unref(StorageCore *c) {
        if (atomic_fetch_sub_explicit(&c->n_ref, 1, memory_order_acq_rel) > 1)
                return;

        core_close(c);
        event_list_done(&c->list);
        (void) sem_destroy(&c->finished);
        g_free(c->copy_path);
        g_free(c->path);
        g_free(c);
}

/* ---- the tasks --------------------------------------------------------------------------------------- */

static int write_session(StorageCore *c, const Session *session) {
        SbsReader reader = { .at = session->events, .end = session->events + session->size };
        int r;

        r = event_list_decode(&c->list, &reader);
        if (r < 0)
                return r;
        return store_write(c->store, (const Event *) (void *) c->list.events->data, c->list.events->len);
}

static int task_write(StorageJob *j) {
        int r;

        for (GList *l = j->sessions.head; l; l = l->next) {
                r = write_session(j->core, l->data);
                if (r < 0)
                        return r;
        }
        if (j->probe)
                return store_probe(j->core->store);
        return j->commit ? store_commit(j->core->store) : 0;
}

static int task_query(StorageJob *j) {
        return store_query_step(j->core->store, j->query->query, &j->query->out);
}

static int task_export(StorageJob *j) {
        StorageCore *c = j->core;
        int r = 0;

        if (!c->copy) {
                storage_core_remove_copy(c);
                r = store_export_new(c->store, c->copy_path, &c->copy);
        }
        if (r >= 0)
                r = store_export_step(c->copy);
        if (r > 0)
                return r;

        if (r < 0 && store_detail(c->store))
                j->detail = g_strdup(store_detail(c->store));
        c->copy = store_export_free(c->copy);
        if (r < 0)
                storage_core_remove_copy(c);
        return r;
}

static int task_trim(StorageJob *j) {
        usec_t end = usec_add(now_usec(CLOCK_MONOTONIC), j->budget);
        Timestamp now = timestamp_now();
        int r;

        do
                r = store_trim(j->core->store, now);
        while (r > 0 && now_usec(CLOCK_MONOTONIC) < end);
        return r;
}

static int task_has_type(StorageJob *j) {
        return store_has_type(j->core->store, j->type);
}

static int task_close(StorageJob *j) {
        int r;

        r = task_write(j);
        core_close(j->core);
        return r;
}

static int (*const tasks[])(StorageJob *j) = {
        [TASK_WRITE] = task_write, [TASK_QUERY] = task_query,       [TASK_EXPORT] = task_export,
        [TASK_TRIM] = task_trim,   [TASK_HAS_TYPE] = task_has_type, [TASK_CLOSE] = task_close,
};

/* After a failure there is no store. */
static void replace_store(StorageJob *j) {
        StorageCore *c = j->core;
        g_autofree char *aside = NULL, *detail = NULL;
        int r;

        core_close(c);
        r = store_set_aside(c->path, &aside);
        if (r >= 0)
                r = store_open(&c->replacement, &c->store, &detail);
        if (r >= 0)
                j->aside = TAKE_PTR(aside);
        else
                j->detail = g_strdup_printf("it cannot be %s: %s", aside ? "replaced" : "set aside", detail ?: g_strerror(-r));
}

static void storage_job_run(WorkerJob *job) {
        StorageJob *j = (StorageJob *) job;

        j->result = j->core->store ? tasks[j->task](j) : -EUCLEAN;
        if (j->result == -EUCLEAN && j->core->store && j->core->path)
                replace_store(j);
        if (j->result < 0 && !j->detail && j->core->store)
                j->detail = g_strdup(store_detail(j->core->store));
        if (j->task == TASK_CLOSE)
                atomic_store(&j->core->closed, j->result);
        if (j->task == TASK_HAS_TYPE || j->task == TASK_CLOSE)
                (void) sem_post(&j->core->finished);
}

/* ---- jobs -------------------------------------------------------------------------------------------- */

static void storage_job_drop(WorkerJob *job) {
        (void) storage_job_free((StorageJob *) job);
}

StorageJob *storage_job_new(StorageCore *core, StorageTask task, Storage *storage,
                            void (*done)(WorkerJob *job)) {
        StorageJob *j = g_new0(StorageJob, 1);

        (void) atomic_fetch_add_explicit(&core->n_ref, 1, memory_order_relaxed);
        j->job = (WorkerJob) { .run = storage_job_run, .done = done, .drop = storage_job_drop };
        j->core = core;
        j->storage = storage;
        j->task = task;
        g_queue_init(&j->sessions);
        return j;
}

StorageJob *storage_job_free(StorageJob *j) {
        GList *link;

        if (!j)
                return NULL;
        while ((link = g_queue_pop_head_link(&j->sessions)))
                (void) session_free(link->data);
        (void) storage_query_free(j->query);
        storage_core_unref(j->core);
        g_free(j->detail);
        g_free(j->aside);
        g_free(j);
        return NULL;
}
