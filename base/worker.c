/* SPDX-License-Identifier: Apache-2.0 */
/* The threads of base/worker.h and the two lists between them and the loop. Everything that both sides
 * touch is behind one mutex; the struct lives until the loop and the last thread have let go of it. Only
 * worker_main() and what it calls run on worker threads. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "base/worker.h"

/* What a job may use. The hungriest one is getaddrinfo(): libraries that live with musl's default give it
 * 128 KiB, modules of glibc's name service take buffers of up to 64 KiB from the stack, and glibc also
 * puts the thread-local memory of all libraries there. Only pages that were touched cost memory, so the
 * margin is free, also with hundreds of serial lines. */
#define WORKER_STACK_SIZE (256U << 10)

/* A tenth of the processor against one thread that never sleeps; a thread that wakes comes before it at once. */
#define BACKGROUND_NICE 10

typedef struct JobList {
        WorkerJob *first, **end;
        size_t n;
} JobList;

struct Worker {
        atomic_uint n_ref; /* the loop and each thread */
        char name[16];     /* what the kernel can show */
        unsigned n_threads_max;
        size_t queue_max;
        bool background;
        int fd;                  /* eventfd: counts finished jobs */
        sd_event_source *source; /* loop only */

        pthread_mutex_t lock; /* of everything below */
        pthread_cond_t wake;
        bool closed; /* the loop let go */
        unsigned n_threads, n_running; /* running: jobs */
        JobList queue, finished;
};

static void job_list_init(JobList *l) {
        *l = (JobList) { .end = &l->first };
}

static void job_list_push(JobList *l, WorkerJob *job) {
        job->next = NULL;
        *l->end = job;
        l->end = &job->next;
        l->n++;
}

static WorkerJob *job_list_pop(JobList *l) {
        WorkerJob *job = l->first;

        if (!job)
                return NULL;
        l->first = job->next;
        if (!l->first)
                l->end = &l->first;
        l->n--;
        return job;
}

static bool job_list_remove(JobList *l, WorkerJob *job) {
        for (WorkerJob **p = &l->first; *p; p = &(*p)->next)
                if (*p == job) {
                        *p = job->next;
                        if (!job->next)
                                l->end = p;
                        l->n--;
                        return true;
                }
        return false;
}

static void worker_unref(Worker *w) {
        if (atomic_fetch_sub_explicit(&w->n_ref, 1, memory_order_acq_rel) > 1)
                return;

        (void) safe_close(w->fd);
        (void) pthread_cond_destroy(&w->wake);
        (void) pthread_mutex_destroy(&w->lock);
        g_free(w);
}

/* Waits for a job; NULL when the loop has let go. */
static WorkerJob *worker_next_job(Worker *w) {
        WorkerJob *job;

        (void) pthread_mutex_lock(&w->lock);
        while (!w->closed && !w->queue.first)
                (void) pthread_cond_wait(&w->wake, &w->lock);
        job = job_list_pop(&w->queue);
        if (job)
                w->n_running++;
        (void) pthread_mutex_unlock(&w->lock);
        return job;
}

static void worker_finish_job(Worker *w, WorkerJob *job) {
        bool wanted;

        (void) pthread_mutex_lock(&w->lock);
        w->n_running--;
        wanted = !w->closed && !job->cancelled;
        if (wanted)
                job_list_push(&w->finished, job);
        (void) pthread_mutex_unlock(&w->lock);

        /* Not under the lock, which the loop wants as soon as it wakes. The job may be gone by then. */
        if (wanted)
                (void) eventfd_write(w->fd, 1); /* never full: the loop takes all at once */
        else
                job->drop(job);
}

/* Of this thread alone, as Linux has it. Where that is not allowed it goes on as it is. */
static void lower_priority(void) {
        int nice;

        errno = 0;
        nice = getpriority(PRIO_PROCESS, 0);
        if (errno == 0)
                (void) setpriority(PRIO_PROCESS, 0, nice + BACKGROUND_NICE);
}

static void *worker_main(void *userdata) {
        Worker *w = userdata;
        WorkerJob *job;

        (void) pthread_setname_np(pthread_self(), w->name);
        if (w->background)
                lower_priority();
        while ((job = worker_next_job(w))) {
                job->run(job);
                worker_finish_job(w, job);
        }
        worker_unref(w);
        return NULL;
}

/* A thread without signals: they are the loop's. Lock held. */
static int worker_start_thread(Worker *w) {
        sigset_t all, before;
        pthread_attr_t attributes;
        pthread_t thread;
        int r;

        r = pthread_attr_init(&attributes);
        if (r != 0)
                return -r;
        (void) pthread_attr_setstacksize(&attributes, WORKER_STACK_SIZE);
        (void) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);

        (void) atomic_fetch_add_explicit(&w->n_ref, 1, memory_order_relaxed);
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread, &attributes, worker_main, w);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void) pthread_attr_destroy(&attributes);
        if (r != 0) {
                (void) atomic_fetch_sub_explicit(&w->n_ref, 1, memory_order_relaxed);
                return -r;
        }

        w->n_threads++;
        return 0;
}

/* The next finished job, NULL when the loop has let go. */
static WorkerJob *worker_take_finished(Worker *w, bool *ret_cancelled) {
        WorkerJob *job;

        (void) pthread_mutex_lock(&w->lock);
        job = job_list_pop(&w->finished);
        (void) pthread_mutex_unlock(&w->lock);
        if (job)
                *ret_cancelled = job->cancelled;
        return job;
}

static int worker_on_finished(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Worker *w = userdata;
        bool cancelled;
        WorkerJob *job;
        eventfd_t n;

        if (eventfd_read(fd, &n) < 0)
                return 0;

        /* done() may free the worker. */
        (void) atomic_fetch_add_explicit(&w->n_ref, 1, memory_order_relaxed);
        for (; n > 0 && (job = worker_take_finished(w, &cancelled)); n--)
                if (cancelled)
                        job->drop(job);
                else
                        job->done(job);
        worker_unref(w);
        return 0;
}

int worker_new(sd_event *event, const char *name, unsigned n_threads, size_t queue_max, Worker **ret) {
        Worker *w;
        int fd, r;

        g_assert(n_threads > 0);

        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0)
                return -errno;

        w = g_new0(Worker, 1);
        atomic_init(&w->n_ref, 1);
        (void) g_strlcpy(w->name, name, sizeof(w->name));
        w->n_threads_max = n_threads;
        w->queue_max = queue_max;
        w->fd = fd;
        job_list_init(&w->queue);
        job_list_init(&w->finished);
        (void) pthread_mutex_init(&w->lock, NULL);
        (void) pthread_cond_init(&w->wake, NULL);

        r = sd_event_add_io(event, &w->source, fd, EPOLLIN, worker_on_finished, w);
        if (r < 0) {
                worker_unref(w);
                return r;
        }
        (void) sd_event_source_set_description(w->source, name);

        *ret = w;
        return 0;
}

void worker_set_background(Worker *w) {
        w->background = true;
}

Worker *worker_free(Worker *w) {
        JobList queue, finished;
        WorkerJob *job;

        if (!w)
                return NULL;

        w->source = sd_event_source_disable_unref(w->source);

        (void) pthread_mutex_lock(&w->lock);
        w->closed = true;
        queue = w->queue;
        finished = w->finished;
        job_list_init(&w->queue);
        job_list_init(&w->finished);
        (void) pthread_cond_broadcast(&w->wake);
        (void) pthread_mutex_unlock(&w->lock);

        while ((job = job_list_pop(&queue)))
                job->drop(job);
        while ((job = job_list_pop(&finished)))
                job->drop(job);
        worker_unref(w);
        return NULL;
}

/* Lock held. */
static int worker_enqueue(Worker *w, WorkerJob *job) {
        size_t n = w->queue.n + w->n_running;
        int r;

        if (n >= w->queue_max + w->n_threads_max)
                return -EAGAIN;

        if (n >= w->n_threads && w->n_threads < w->n_threads_max) {
                r = worker_start_thread(w);
                if (r < 0 && w->n_threads == 0)
                        return r;
                /* Those that run already do it later. */
        }

        job_list_push(&w->queue, job);
        return 0;
}

int worker_submit(Worker *w, WorkerJob *job) {
        int r;

        job->cancelled = false;

        (void) pthread_mutex_lock(&w->lock);
        r = worker_enqueue(w, job);
        (void) pthread_mutex_unlock(&w->lock);
        if (r >= 0)
                (void) pthread_cond_signal(&w->wake);
        return r;
}

void worker_cancel(Worker *w, WorkerJob *job) {
        bool queued;

        (void) pthread_mutex_lock(&w->lock);
        queued = job_list_remove(&w->queue, job);
        if (!queued)
                job->cancelled = true;
        (void) pthread_mutex_unlock(&w->lock);

        if (queued)
                job->drop(job);
}
