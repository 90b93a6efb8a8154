/* SPDX-License-Identifier: Apache-2.0 */
/* What the storage's worker does: one job a step, each with a reference to the core, that is the store and
 * what belongs to it. Internal to the storage. Jobs are made and read on the loop thread, and belong to the
 * worker between worker_submit() and done(). */
#pragma once

#include <semaphore.h>
#include <stdatomic.h>

#include "base/worker.h"
#include "event/eventer-codec.h"
#include "event/server/storage.h"

/* The worker's, one job at a time; closed by the last one that lets go of it. */
typedef struct StorageCore {
        atomic_uint n_ref;
        Store *store;           /* NULL: closed */
        StoreExport *copy;      /* under way */
        char *copy_path, *path;
        StoreOptions replacement; /* of an empty store that takes the place of a damaged one; no path: none does */
        EventList list;         /* memory for decoding */
        sem_t finished;         /* for whom blocks: storage_close(), storage_has_type() */
        atomic_int closed;      /* result of TASK_CLOSE; atomic for the thread sanitizer, which knows no sem_clockwait() */
} StorageCore;

StorageCore *storage_core_new(Store *store, const StoreOptions *replacement, const char *copy_path);
void storage_core_unref(StorageCore *c);
/* The unfinished copy of the database and what SQLite puts beside it. */
void storage_core_remove_copy(const StorageCore *c);

typedef enum StorageTask {
        TASK_WRITE,     /* sessions, and a commit */
        TASK_QUERY,     /* one slice */
        TASK_EXPORT,    /* one step of the copy */
        TASK_TRIM,      /* for `budget` */
        _TASK_SCHEDULED_MAX,
        TASK_HAS_TYPE = _TASK_SCHEDULED_MAX,
        TASK_CLOSE,
} StorageTask;

struct StorageQuery {
        GList link;             /* in the storage's queue, or unused while a job has it */
        Storage *storage;       /* loop */
        StoreQuery *query;
        Buffer out;
        uint64_t behind;        /* sessions that are to be written before */
        bool begun, running;
        StorageQueryCallback callback; /* NULL: cancelled */
        void *userdata;
};
StorageQuery *storage_query_free(StorageQuery *q);

typedef struct StorageJob {
        WorkerJob job; /* first */
        StorageCore *core;
        Storage *storage;       /* loop */
        StorageTask task;
        int result;
        char *detail;           /* of an error */
        char *aside;            /* the store was damaged and lies there: another one took its place, and nothing of the job was done */

        GQueue sessions;        /* TASK_WRITE, TASK_CLOSE; by their link */
        size_t bytes;
        bool commit, all;       /* all: nothing else waited when it was made */
        bool probe;             /* there is trouble: commit even when there is nothing */
        StorageQuery *query;    /* TASK_QUERY */
        usec_t budget;          /* TASK_TRIM */
        EventType type;         /* TASK_HAS_TYPE: the waiting caller's */
} StorageJob;

/* done: loop thread; the job is to be freed there. */
StorageJob *storage_job_new(StorageCore *core, StorageTask task, Storage *storage, void (*done)(WorkerJob *job));
StorageJob *storage_job_free(StorageJob *j);
DEFINE_CLEANUP(StorageJob, storage_job_free);
