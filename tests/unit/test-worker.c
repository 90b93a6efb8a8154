/* SPDX-License-Identifier: Apache-2.0 */
/* base/worker with real threads; meant to run under the thread sanitizer, too. Jobs block on a gate that
 * the test opens. */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/worker.h"
#include "tests/unit/loop.h"

typedef struct Fixture {
        sd_event *event;
        Worker *worker;
        sem_t started, gate, dropped; /* counted by jobs of either thread */
        unsigned n_done;
        int nice; /* of the thread that ran the job that was done last */
        GArray *order; /* numbers in the order of done() */
} Fixture;

typedef struct Job {
        WorkerJob job;
        Fixture *f;
        unsigned number;
        bool blocks;
        bool signals_blocked;
        int nice;
        bool resubmit, free_worker;
        struct Job *cancels; /* by done() */
} Job;

static void job_run(WorkerJob *job) {
        Job *j = (Job *) job;
        sigset_t set;

        g_assert_cmpint(pthread_sigmask(SIG_SETMASK, NULL, &set), ==, 0);
        j->signals_blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGCHLD) == 1;
        j->nice = getpriority(PRIO_PROCESS, 0);
        (void) sem_post(&j->f->started);
        if (j->blocks)
                (void) sem_wait(&j->f->gate);
}

static void job_done(WorkerJob *job) {
        Job *j = (Job *) job;
        Fixture *f = j->f;

        g_assert_true(j->signals_blocked);
        f->nice = j->nice;
        f->n_done++;
        g_array_append_val(f->order, j->number);
        if (j->cancels)
                worker_cancel(f->worker, &j->cancels->job);
        if (j->free_worker)
                f->worker = worker_free(f->worker);
        if (j->resubmit) {
                j->resubmit = false;
                g_assert_cmpint(worker_submit(f->worker, job), ==, 0);
                return;
        }
        g_free(j);
}

static void job_drop(WorkerJob *job) {
        Job *j = (Job *) job;
        Fixture *f = j->f;

        g_free(j);
        (void) sem_post(&f->dropped); /* last: the test may end now */
}

static Job *job_new(Fixture *f, unsigned number, bool blocks) {
        Job *j = g_new0(Job, 1);

        j->job.run = job_run;
        j->job.done = job_done;
        j->job.drop = job_drop;
        j->f = f;
        j->number = number;
        j->blocks = blocks;
        return j;
}

static Job *submit(Fixture *f, unsigned number, bool blocks) {
        Job *j = job_new(f, number, blocks);

        g_assert_cmpint(worker_submit(f->worker, &j->job), ==, 0);
        return j;
}

static void wait_for(sem_t *s, unsigned n) {
        struct timespec end;

        (void) clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec += 10;
        for (; n > 0; n--)
                g_assert_cmpint(sem_timedwait(s, &end), ==, 0);
}

static void open_gate(Fixture *f, unsigned n) {
        for (; n > 0; n--)
                (void) sem_post(&f->gate);
}

static void make_worker(Fixture *f, unsigned n_threads, size_t queue_max) {
        g_assert_cmpint(worker_new(f->event, "test", n_threads, queue_max, &f->worker), ==, 0);
}

static void set_up(Fixture *f, gconstpointer unused) {
        f->event = loop_new();
        f->order = g_array_new(FALSE, FALSE, sizeof(unsigned));
        (void) sem_init(&f->started, 0, 0);
        (void) sem_init(&f->gate, 0, 0);
        (void) sem_init(&f->dropped, 0, 0);
}

static int semaphore_value(sem_t *s) {
        int value = -1;

        (void) sem_getvalue(s, &value);
        return value;
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->worker = worker_free(f->worker);
        g_assert_cmpint(semaphore_value(&f->dropped), ==, 0); /* each test has counted them */
        g_array_unref(f->order);
        f->event = sd_event_unref(f->event);
}

static void test_order(Fixture *f, gconstpointer unused) {
        make_worker(f, 1, 1000);
        for (unsigned i = 0; i < 1000; i++)
                submit(f, i, false);
        g_assert_cmpuint(f->n_done, ==, 0);
        LOOP_UNTIL(f->event, f->n_done == 1000);
        for (unsigned i = 0; i < 1000; i++)
                g_assert_cmpuint(g_array_index(f->order, unsigned, i), ==, i);
}

static void test_bound(Fixture *f, gconstpointer unused) {
        g_autofree Job *extra = job_new(f, 99, false);

        make_worker(f, 2, 3);
        for (unsigned i = 0; i < 5; i++)
                submit(f, i, true);
        wait_for(&f->started, 2); /* both threads */
        g_assert_cmpint(worker_submit(f->worker, &extra->job), ==, -EAGAIN);
        open_gate(f, 5);
        LOOP_UNTIL(f->event, f->n_done == 5);
        g_assert_cmpint(worker_submit(f->worker, &TAKE_PTR(extra)->job), ==, 0);
        LOOP_UNTIL(f->event, f->n_done == 6);
}

static void test_parallel(Fixture *f, gconstpointer unused) {
        make_worker(f, 4, 0);
        for (unsigned i = 0; i < 4; i++)
                submit(f, i, true);
        wait_for(&f->started, 4); /* only four threads get here */
        open_gate(f, 4);
        LOOP_UNTIL(f->event, f->n_done == 4);
}

static void test_cancel(Fixture *f, gconstpointer unused) {
        Job *running, *first, *middle, *last;

        make_worker(f, 1, 10);
        running = submit(f, 0, true);
        first = submit(f, 1, false);
        submit(f, 2, false);
        middle = submit(f, 3, false);
        submit(f, 4, false);
        last = submit(f, 5, false);
        wait_for(&f->started, 1);

        worker_cancel(f->worker, &first->job);
        worker_cancel(f->worker, &middle->job);
        worker_cancel(f->worker, &last->job);
        wait_for(&f->dropped, 3); /* at once: none of them has run */
        submit(f, 6, false);
        worker_cancel(f->worker, &running->job);
        g_assert_cmpint(semaphore_value(&f->dropped), ==, 0);
        open_gate(f, 1);
        wait_for(&f->dropped, 1);
        LOOP_UNTIL(f->event, f->n_done == 3);
        for (unsigned i = 0; i < 3; i++)
                g_assert_cmpuint(g_array_index(f->order, unsigned, i), ==, 2 * i + 2);
}

/* Both have finished when the first done() cancels the second. */
static void test_cancel_finished(Fixture *f, gconstpointer unused) {
        Job *canceller;

        make_worker(f, 1, 10);
        canceller = submit(f, 0, true);
        canceller->cancels = submit(f, 1, true);
        submit(f, 2, true);
        submit(f, 3, true);
        open_gate(f, 4);
        wait_for(&f->started, 4); /* the last one has started: those before it have finished */
        LOOP_UNTIL(f->event, f->n_done == 3);
        wait_for(&f->dropped, 1);
        g_assert_cmpuint(g_array_index(f->order, unsigned, 0), ==, 0);
        g_assert_cmpuint(g_array_index(f->order, unsigned, 1), ==, 2);
        g_assert_cmpuint(g_array_index(f->order, unsigned, 2), ==, 3);
}

static void test_free(Fixture *f, gconstpointer unused) {
        usec_t start;

        make_worker(f, 1, 10);
        for (unsigned i = 0; i < 5; i++)
                submit(f, i, true);
        wait_for(&f->started, 1);
        start = now_usec(CLOCK_MONOTONIC);
        f->worker = worker_free(f->worker);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - start, <, 30 * USEC_PER_SEC);
        wait_for(&f->dropped, 4);
        open_gate(f, 1);
        wait_for(&f->dropped, 1);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_done, ==, 0);
}

static void test_free_inside(Fixture *f, gconstpointer unused) {
        Job *j;

        make_worker(f, 1, 10);
        j = submit(f, 0, true);
        j->free_worker = true;
        for (unsigned i = 1; i < 4; i++)
                submit(f, i, true);
        open_gate(f, 4);
        wait_for(&f->started, 4);
        LOOP_UNTIL(f->event, !f->worker);
        wait_for(&f->dropped, 3);
        g_assert_cmpuint(f->n_done, ==, 1);
}

static void test_resubmit(Fixture *f, gconstpointer unused) {
        Job *j;

        make_worker(f, 1, 0);
        j = job_new(f, 0, false);
        j->resubmit = true;
        g_assert_cmpint(worker_submit(f->worker, &j->job), ==, 0);
        LOOP_UNTIL(f->event, f->n_done == 2);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
}

/* Only the thread of the worker gives way. */
static void test_background(Fixture *f, gconstpointer unused) {
        int own = getpriority(PRIO_PROCESS, 0);

        make_worker(f, 1, 0);
        worker_set_background(f->worker);
        submit(f, 0, false);
        LOOP_UNTIL(f->event, f->n_done == 1);
        g_assert_cmpint(f->nice, ==, MIN(own + 10, 19));
        g_assert_cmpint(getpriority(PRIO_PROCESS, 0), ==, own);
}

static void test_unused(Fixture *f, gconstpointer unused) {
        make_worker(f, 4, 0);
        g_assert_null(worker_free(NULL));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/worker/" name, Fixture, NULL, set_up, func, tear_down)
        ADD("order", test_order);
        ADD("bound", test_bound);
        ADD("parallel", test_parallel);
        ADD("cancel", test_cancel);
        ADD("cancel-finished", test_cancel_finished);
        ADD("free", test_free);
        ADD("free-inside", test_free_inside);
        ADD("resubmit", test_resubmit);
        ADD("background", test_background);
        ADD("unused", test_unused);
        return g_test_run();
}
