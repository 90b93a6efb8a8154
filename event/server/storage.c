/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's side of the storage: what waits, and which job is next. At most one of them runs, so what comes
 * meanwhile is the next group. Loop thread. */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/bounds.h"
#include "base/deadline.h"
#include "base/turn-end.h"
#include "event/server/storage-job.h"

#define JOBS_MAX 4 /* the one that runs, one that somebody waits for, the last one */
#define TRIM_LATE_BUDGET_USEC (50 * USEC_PER_MSEC)

typedef struct Export {
        bool running;   /* until called back */
        bool copying;   /* the copy is complete and on its way into fd */
        int fd;
        CopierCallback callback;
        void *userdata;
} Export;

struct Storage {
        sd_event *event;
        StorageHandler handler;
        void *userdata;
        StorageCore *core;
        Worker *worker;
        Copier *copier;
        Deadline *deadline;
        TurnEnd *turn_end;

        StorageJob *running; /* a scheduled one */
        StorageTask last;
        size_t running_bytes;

        GQueue waiting, written; /* sessions: not yet given to the worker; in the open transaction */
        size_t waiting_bytes, written_bytes;
        unsigned n_wanting; /* of those that wait: want a response */
        uint64_t n_in;      /* sessions that ever came */
        usec_t commit_at;   /* USEC_INFINITY: nothing is to be committed */
        bool prompt, failing, damaged, congested;
        usec_t retry_at;
        uint64_t dropped;

        GQueue queries; /* those that do not run */
        unsigned n_begun;
        Export export;
        usec_t trim_at; /* it is due then, and stays so until it is done */
        size_t trim_bytes;
};

static size_t session_cost(const Session *session) {
        return sizeof(Session) + session->size;
}

/* ---- queues of sessions ------------------------------------------------------------------------------ */

static void waiting_push(Storage *s, Session *session) {
        g_queue_push_tail_link(&s->waiting, &session->link);
        s->waiting_bytes += session_cost(session);
        s->n_wanting += session->wants_response;
}

static Session *waiting_pop(Storage *s) {
        GList *link = g_queue_pop_head_link(&s->waiting);
        Session *session;

        if (!link)
                return NULL;
        session = link->data;
        s->waiting_bytes -= session_cost(session);
        s->n_wanting -= session->wants_response;
        return session;
}

/* Appends all of `from` to `to`. */
static void queue_move(GQueue *to, GQueue *from) {
        GList *link;

        while ((link = g_queue_pop_head_link(from)))
                g_queue_push_tail_link(to, link);
}

static void hand_back(Storage *s, GQueue *sessions, int error) {
        GList *link;

        while ((link = g_queue_pop_head_link(sessions)))
                s->handler.written(link->data, error, s->userdata);
}

static void queue_free_sessions(GQueue *sessions) {
        GList *link;

        while ((link = g_queue_pop_head_link(sessions)))
                (void) session_free(link->data);
}

/* ---- what is next ------------------------------------------------------------------------------------ */

/* What it is to see has not all been written. */
static bool query_is_behind(const Storage *s, const StorageQuery *q) {
        return !q->begun && !s->failing && s->n_in - s->waiting.length < q->behind;
}

static bool some_query_is_behind(const Storage *s) {
        for (GList *l = s->queries.head; l; l = l->next)
                if (query_is_behind(s, l->data))
                        return true;
        return false;
}

/* Those that have begun hold memory: a few of them, in turn. */
static StorageQuery *next_query(const Storage *s) {
        for (GList *l = s->queries.head; l; l = l->next) {
                StorageQuery *q = l->data;

                if (q->begun || (s->n_begun < STORAGE_QUERIES_MAX && !query_is_behind(s, q)))
                        return q;
        }
        return NULL;
}

static bool trim_is_late(const Storage *s, usec_t now) {
        return now >= usec_add(s->trim_at, STORAGE_TRIM_LATE_USEC);
}

static bool export_is_due(const Storage *s) {
        return s->export.running && !s->export.copying;
}

static bool write_is_ready(const Storage *s, usec_t now) {
        if (s->failing) /* also with nothing to write: it recovers by itself */
                return now >= s->retry_at;
        if (!s->waiting.head && !s->written.head)
                return false;
        return s->n_wanting > 0 || s->prompt || s->waiting_bytes >= STORAGE_WRITE_BYTES ||
               now >= s->commit_at || some_query_is_behind(s) || (s->written.head && export_is_due(s));
}

/* Exporting and trimming are for a store without an open transaction. */
static bool task_is_ready(const Storage *s, StorageTask task, usec_t now) {
        switch (task) {
        case TASK_WRITE:
                return write_is_ready(s, now);
        case TASK_QUERY:
                return next_query(s);
        case TASK_EXPORT:
                return !s->written.head && export_is_due(s);
        default: /* in turn only when late: else behind everything */
                return !s->written.head && trim_is_late(s, now);
        }
}

static void storage_on_job(WorkerJob *job);

static StorageJob *make_write(Storage *s, usec_t now) {
        StorageJob *j = storage_job_new(s->core, TASK_WRITE, s, storage_on_job);
        Session *session;

        while (s->waiting.head &&
               (j->bytes == 0 || j->bytes + session_cost(s->waiting.head->data) <= STORAGE_COMMIT_BYTES)) {
                session = waiting_pop(s);
                g_queue_push_tail_link(&j->sessions, &session->link);
                j->bytes += session_cost(session);
                j->commit = j->commit || session->wants_response;
        }
        j->all = !s->waiting.head;
        j->commit = j->commit || s->prompt || s->failing || now >= s->commit_at || trim_is_late(s, now) ||
                    export_is_due(s) || s->written_bytes + j->bytes >= STORAGE_COMMIT_BYTES;
        j->probe = s->failing;
        if (j->commit && j->all)
                s->commit_at = USEC_INFINITY;
        s->running_bytes = j->bytes;
        return j;
}

static StorageJob *make_query(Storage *s) {
        StorageJob *j = storage_job_new(s->core, TASK_QUERY, s, storage_on_job);
        StorageQuery *q = next_query(s);

        g_queue_unlink(&s->queries, &q->link);
        s->n_begun += !q->begun;
        q->begun = q->running = true;
        j->query = q;
        return j;
}

static StorageJob *make_trim(Storage *s, usec_t budget) {
        StorageJob *j = storage_job_new(s->core, TASK_TRIM, s, storage_on_job);

        j->budget = budget;
        return j;
}

static StorageJob *make_job(Storage *s, usec_t now) {
        for (unsigned i = 1; i <= _TASK_SCHEDULED_MAX; i++) {
                StorageTask task = (StorageTask) (((unsigned) s->last + i) % _TASK_SCHEDULED_MAX);

                if (!task_is_ready(s, task, now))
                        continue;
                if (task == TASK_WRITE)
                        return make_write(s, now);
                if (task == TASK_QUERY)
                        return make_query(s);
                if (task == TASK_EXPORT)
                        return storage_job_new(s->core, TASK_EXPORT, s, storage_on_job);
                return make_trim(s, TRIM_LATE_BUDGET_USEC);
        }
        if (now >= s->trim_at && !s->written.head)
                return make_trim(s, 0);
        return NULL;
}

/* The thread has been started by the first job, and there is always room for this one. */
static int storage_submit(Storage *s, StorageJob *job) {
        int r;

        s->last = job->task;
        r = worker_submit(s->worker, &job->job);
        s->running = r < 0 ? NULL : job;
        return r;
}

static void storage_next(Storage *s) {
        usec_t now = loop_now(s->event), next = s->trim_at;
        StorageJob *job;

        if (s->running || s->damaged)
                return;
        job = make_job(s, now);
        if (job) {
                (void) storage_submit(s, job);
                return;
        }

        if (s->written.head) /* trimming waits for that */
                next = USEC_INFINITY;
        if (s->failing)
                next = MIN(next, s->retry_at);
        else
                next = MIN(next, s->commit_at);
        deadline_set(s->deadline, next);
}

/* ---- from the loop: what the owner hears ------------------------------------------------------------- */

/* What is kept through trouble has a bound; the newest says more than the oldest. */
static void storage_drop_kept(Storage *s) {
        while (storage_is_failing(s) && s->waiting_bytes > STORAGE_KEPT_MAX) {
                s->dropped++;
                s->handler.written(waiting_pop(s), -ENOSPC, s->userdata);
        }
}

/* Through trouble it is the bound above that counts, and clients hear of it. */
static void storage_update_congested(Storage *s) {
        size_t bytes = s->waiting_bytes + s->running_bytes;
        bool congested = !storage_is_failing(s) && bytes > (s->congested ? STORAGE_QUEUE_MAX / 4 : STORAGE_QUEUE_MAX);

        if (congested == s->congested)
                return;
        s->congested = congested;
        s->handler.congested(congested, s->userdata);
}

static void storage_turn(Storage *s) {
        storage_drop_kept(s);
        storage_update_congested(s);
        storage_next(s);
}

static void storage_on_time(void *userdata) {
        storage_turn(userdata);
}

/* ---- the end of a job -------------------------------------------------------------------------------- */

static void write_succeeded(Storage *s, StorageJob *j) {
        GQueue committed = G_QUEUE_INIT;

        s->trim_bytes += j->bytes;
        if (s->trim_bytes >= STORAGE_TRIM_BYTES)
                s->trim_at = MIN(s->trim_at, loop_now(s->event));
        if (!j->commit) {
                s->written_bytes += j->bytes;
                queue_move(&s->written, &j->sessions);
                return;
        }

        queue_move(&committed, &s->written);
        queue_move(&committed, &j->sessions);
        s->written_bytes = 0;
        if (s->failing && j->all) {
                s->failing = false;
                s->commit_at = s->waiting.head ? loop_now(s->event) : USEC_INFINITY;
                s->handler.failing(false, NULL, s->userdata);
        } else if (s->failing)
                s->retry_at = 0;
        hand_back(s, &committed, 0);
}

/* Everything since the last commit is undone, and waits again, in order, in front of what is new. With
 * ret_failed those that want a response do not, also those that had not got so far. */
static void put_back(Storage *s, StorageJob *j, GQueue *ret_failed) {
        GQueue all = G_QUEUE_INIT;
        GList *link;

        queue_move(&all, &s->written);
        queue_move(&all, &j->sessions);
        queue_move(&all, &s->waiting);
        s->written_bytes = s->waiting_bytes = 0;
        s->n_wanting = 0;
        while ((link = g_queue_pop_head_link(&all))) {
                Session *session = link->data;

                if (session->wants_response && ret_failed)
                        g_queue_push_tail_link(ret_failed, link);
                else
                        waiting_push(s, session);
        }
}

static void write_failed(Storage *s, StorageJob *j) {
        GQueue failed = G_QUEUE_INIT;

        put_back(s, j, &failed);
        s->retry_at = usec_add(loop_now(s->event), STORAGE_RETRY_USEC);
        if (!s->failing) {
                s->failing = true;
                s->handler.failing(true, j->detail ?: g_strerror(-j->result), s->userdata);
        }
        hand_back(s, &failed, j->result);
}

static void query_stepped(Storage *s, StorageJob *j) {
        StorageQuery *q = TAKE_PTR(j->query);

        q->running = false;
        if (q->callback && j->result > 0) {
                g_queue_push_tail_link(&s->queries, &q->link);
                return;
        }
        s->n_begun--;
        if (q->callback)
                q->callback(j->result, j->result < 0 ? NULL : &q->out, q->userdata);
        (void) storage_query_free(q);
}

static void fail_queries(Storage *s, int error) {
        GList *link;

        while ((link = g_queue_pop_head_link(&s->queries))) {
                StorageQuery *q = link->data;

                s->n_begun -= q->begun;
                q->callback(error, NULL, q->userdata);
                (void) storage_query_free(q);
        }
}

static void storage_on_damage(Storage *s, StorageJob *j) {
        GQueue failed = G_QUEUE_INIT;
        bool known = s->damaged;

        s->damaged = !j->aside;
        put_back(s, j, s->damaged ? &failed : NULL);
        s->commit_at = s->waiting.head ? loop_now(s->event) : USEC_INFINITY;
        s->retry_at = 0;
        fail_queries(s, -EUCLEAN);
        if (!known)
                s->handler.damaged(j->aside, j->detail ?: g_strerror(EUCLEAN), s->userdata);
        hand_back(s, &failed, -EUCLEAN);
}

static void trimmed(Storage *s, const StorageJob *j) {
        if (j->result > 0)
                return;
        s->trim_at = usec_add(loop_now(s->event), STORAGE_TRIM_USEC);
        s->trim_bytes = 0;
}

/* The callee may close the storage: the last thing. */
static void export_ended(Storage *s, int error, const char *detail) {
        Export export = s->export;

        (void) safe_close(export.fd);
        s->export = (Export) { .fd = -EBADF };
        export.callback(error, detail, export.userdata);
}

static void export_on_copied(int error, const char *detail, void *userdata) {
        export_ended(userdata, error, detail);
}

static void export_stepped(Storage *s, const StorageJob *j) {
        int r = j->result;

        if (r > 0)
                return;
        s->export.copying = true;
        if (r == 0)
                r = copier_start(s->copier, s->core->copy_path, TAKE_FD(s->export.fd), export_on_copied, s);
        if (r < 0)
                export_ended(s, r, j->detail ?: g_strerror(-r));
}

static void storage_on_job(WorkerJob *job) {
        _cleanup_(storage_job_freep) StorageJob *j = (StorageJob *) job;
        Storage *s = j->storage;

        if (j->task == TASK_CLOSE) /* somebody waited for it */
                return;
        if (j->task == TASK_HAS_TYPE) {
                if (j->result == -EUCLEAN)
                        storage_on_damage(s, j);
                return;
        }
        s->running = NULL;
        s->running_bytes = 0;
        if (j->result == -EUCLEAN)
                storage_on_damage(s, j);
        if (j->task == TASK_EXPORT) {
                if (j->result > 0)
                        storage_turn(s);
                else
                        turn_end_arm(s->turn_end);
                export_stepped(s, j);
                return;
        }
        if (j->task == TASK_TRIM)
                trimmed(s, j);
        else if (j->task == TASK_QUERY)
                query_stepped(s, j);
        else if (j->result >= 0)
                write_succeeded(s, j);
        else if (j->result != -EUCLEAN)
                write_failed(s, j);
        storage_turn(s);
}

/* ---- public ------------------------------------------------------------------------------------------ */

static int storage_set_up(Storage *s) {
        int r;

        r = deadline_new(s->event, "event-storage", storage_on_time, s, &s->deadline);
        if (r < 0)
                return r;
        r = turn_end_new(s->event, "event-storage-turn", storage_on_time, s, &s->turn_end);
        if (r < 0)
                return r;
        r = copier_new(s->event, &s->copier);
        if (r < 0)
                return r;
        r = worker_new(s->event, "event-storage", 1, JOBS_MAX, &s->worker);
        if (r < 0)
                return r;
        worker_set_background(s->worker);
        return storage_submit(s, make_trim(s, 0)); /* starts the thread */
}

static Storage *storage_free(Storage *s) {
        s->deadline = deadline_free(s->deadline);
        s->turn_end = turn_end_free(s->turn_end);
        s->copier = copier_free(s->copier);
        s->worker = worker_free(s->worker);
        queue_free_sessions(&s->waiting);
        queue_free_sessions(&s->written);
        for (GList *link; (link = g_queue_pop_head_link(&s->queries));)
                (void) storage_query_free(link->data);
        (void) safe_close(s->export.fd);
        storage_core_unref(s->core);
        sd_event_unref(s->event);
        g_free(s);
        return NULL;
}

int storage_new(sd_event *event, Store *store, const StoreOptions *replacement, const char *export_path,
                const StorageHandler *handler, void *userdata, Storage **ret) {
        Storage *s = g_new0(Storage, 1);
        int r;

        s->event = sd_event_ref(event);
        s->handler = *handler;
        s->userdata = userdata;
        s->core = storage_core_new(store, replacement, export_path);
        s->export.fd = -EBADF;
        s->commit_at = USEC_INFINITY;
        s->trim_at = loop_now(s->event);
        g_queue_init(&s->waiting);
        g_queue_init(&s->written);
        g_queue_init(&s->queries);

        storage_core_remove_copy(s->core);
        r = storage_set_up(s);
        if (r < 0) {
                (void) storage_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

/* Whether it finished in time. */
static bool wait_finished(StorageCore *core, usec_t until) {
        const struct timespec limit = {
                .tv_sec = (time_t) (until / USEC_PER_SEC),
                .tv_nsec = (long) (until % USEC_PER_SEC) * NSEC_PER_USEC,
        };

        while (sem_clockwait(&core->finished, CLOCK_MONOTONIC, &limit) < 0)
                if (errno != EINTR)
                        return false;
        return true;
}

/* Also what was on its way: nobody is called back any more to give it to this one. */
static int close_result(const Storage *s) {
        int r = atomic_load(&s->core->closed);
        const StorageJob *before = s->running;

        return before && before->task == TASK_WRITE && before->result < 0 ? before->result : r;
}

Storage *storage_close(Storage *s, usec_t until, int *ret_error) {
        StorageJob *job;
        int r;

        if (!s)
                return NULL;

        job = storage_job_new(s->core, TASK_CLOSE, NULL, storage_on_job);
        job->commit = true;
        queue_move(&job->sessions, &s->waiting);
        r = worker_submit(s->worker, &job->job);
        if (r < 0)
                (void) storage_job_free(job);
        else
                r = wait_finished(s->core, until) ? close_result(s) : -ETIMEDOUT;
        if (ret_error)
                *ret_error = r;
        return storage_free(s);
}

int storage_has_type(Storage *s, EventType type) {
        StorageJob *job = storage_job_new(s->core, TASK_HAS_TYPE, s, storage_on_job);
        int r;

        job->type = type;
        r = worker_submit(s->worker, &job->job);
        if (r < 0) {
                (void) storage_job_free(job);
                return r;
        }
        while (sem_wait(&s->core->finished) < 0)
                ;
        return job->aside ? 0 : job->result; /* its done() frees it, in a later turn */
}

void storage_write(Storage *s, Session *session) {
        waiting_push(s, session);
        s->n_in++;
        if (s->commit_at == USEC_INFINITY) {
                s->commit_at = usec_add(loop_now(s->event), STORAGE_COMMIT_USEC);
                if (!s->running && !s->failing)
                        deadline_set(s->deadline, MIN(deadline_get(s->deadline), s->commit_at));
        }
        if (s->n_wanting > 0 || s->prompt || s->waiting_bytes >= STORAGE_WRITE_BYTES)
                turn_end_arm(s->turn_end);
}

void storage_set_prompt(Storage *s, bool on) {
        s->prompt = on;
        if (on)
                turn_end_arm(s->turn_end);
}

bool storage_is_failing(const Storage *s) {
        return s->failing || s->damaged;
}

uint64_t storage_dropped(const Storage *s) {
        return s->dropped;
}

StorageQuery *storage_query(Storage *s, StoreQuery *query, StorageQueryCallback callback, void *userdata) {
        StorageQuery *q = g_new0(StorageQuery, 1);

        q->link.data = q;
        q->storage = s;
        q->query = query;
        q->behind = s->n_in;
        q->callback = callback;
        q->userdata = userdata;
        g_queue_push_tail_link(&s->queries, &q->link);
        storage_next(s);
        return q;
}

StorageQuery *storage_query_cancel(StorageQuery *q) {
        if (!q)
                return NULL;

        q->callback = NULL;
        if (!q->running) {
                q->storage->n_begun -= q->begun;
                g_queue_unlink(&q->storage->queries, &q->link);
                (void) storage_query_free(q);
        }
        return NULL;
}

int storage_export(Storage *s, int fd, CopierCallback callback, void *userdata) {
        struct stat st;
        int flags, duplicate;

        if (s->export.running)
                return -EBUSY;
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || (flags & O_ACCMODE) == O_RDONLY || (flags & (O_PATH | O_APPEND)))
                return -EINVAL;
        duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (duplicate < 0)
                return -errno;

        s->export = (Export) { .running = true, .fd = duplicate, .callback = callback, .userdata = userdata };
        storage_next(s);
        return 0;
}
