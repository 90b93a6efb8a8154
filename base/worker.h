/* SPDX-License-Identifier: Apache-2.0 */
/* The one primitive for what blocks: a few threads with a small fixed stack, a bounded queue in, an
 * eventfd out. The threads log nothing and touch nothing but their job. All functions: loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct Worker Worker;
typedef struct WorkerJob WorkerJob;

/* First member of the caller's job. The worker owns a submitted job until done() or drop(). */
struct WorkerJob {
        void (*run)(WorkerJob *job);  /* worker thread; may block; touches only the job */
        void (*done)(WorkerJob *job); /* loop thread, in the order of completion; the job is the caller's again */
        void (*drop)(WorkerJob *job); /* any thread: nobody waits any more, free it; must not call the worker */
        bool cancelled;               /* the worker's */
        WorkerJob *next;              /* the worker's */
};

/* At most n_threads (> 0), started as they are needed, with 256 KiB of stack and all signals blocked.
 * queue_max: jobs waiting for a thread. name: of the threads (15 bytes are kept) and of the event source. */
int worker_new(sd_event *event, const char *name, unsigned n_threads, size_t queue_max, Worker **ret);
/* Before the first job: its threads give way to all others, so that the loop is not late when there is much
 * to do. */
void worker_set_background(Worker *w);
/* Never waits: queued jobs are dropped, one that runs is dropped when it ends. done() is not called any
 * more. May be called inside done(). */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker, worker_free);

/* -EAGAIN: the queue is full. <0: the job is still the caller's. */
int worker_submit(Worker *w, WorkerJob *job);
/* Nobody waits for a submitted job any more: drop() instead of done(), now or when it ends. Not after
 * done(). */
void worker_cancel(Worker *w, WorkerJob *job);
