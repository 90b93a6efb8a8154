/* SPDX-License-Identifier: Apache-2.0 */
/* One job a copy, which owns both descriptors; it looks at `stop` between two pieces. Loop thread, but for
 * copy_job_run() and what it calls. */

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/worker.h"
#include "event/server/copier.h"
#include "event/server/disk-space.h"

#define PIECE_SIZE (128U << 10)

typedef struct CopyJob {
        WorkerJob job; /* first */
        Copier *copier; /* loop */
        char *path;
        int fd;
        atomic_bool stop;
        int error;
        char *detail; /* of the error */
        CopierCallback callback;
        void *userdata;
} CopyJob;

struct Copier {
        Worker *worker;
        CopyJob *job; /* under way */
};

static CopyJob *copy_job_free(CopyJob *j) {
        if (!j)
                return NULL;
        if (j->path)
                (void) unlink(j->path);
        g_free(j->path);
        (void) safe_close(j->fd);
        g_free(j->detail);
        g_free(j);
        return NULL;
}
DEFINE_CLEANUP(CopyJob, copy_job_free);

static int copy_failed(CopyJob *j, const char *what) {
        int error = errno;

        j->detail = g_strdup_printf("cannot %s: %s", what, g_strerror(error));
        return -error;
}

static int write_piece(CopyJob *j, const uint8_t *data, size_t size, off_t at) {
        while (size > 0) {
                ssize_t n;

                n = pwrite(j->fd, data, size, at);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return copy_failed(j, "write into the file");
                }
                if (n == 0) { /* no file system of ours, but it must not keep us here */
                        errno = EIO;
                        return copy_failed(j, "write into the file");
                }
                data += n;
                size -= (size_t) n;
                at += n;
        }
        return 0;
}

/* Beside the database it must not take the rest. */
static int check_space(CopyJob *j, int from) {
        struct stat source, target;

        if (fstat(from, &source) < 0 || fstat(j->fd, &target) < 0)
                return copy_failed(j, "look at the files");
        if (source.st_dev != target.st_dev)
                return 0;
        return disk_space_check(j->path, (uint64_t) source.st_size, &j->detail);
}

static int copy_pieces(CopyJob *j, int from) {
        g_autofree uint8_t *piece = g_malloc(PIECE_SIZE);
        off_t at = 0;
        int r;

        for (;;) {
                ssize_t n;

                if (atomic_load_explicit(&j->stop, memory_order_relaxed))
                        return -ECANCELED;
                n = pread(from, piece, PIECE_SIZE, at);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return copy_failed(j, "read the copy");
                if (n == 0)
                        break;
                r = write_piece(j, piece, (size_t) n, at);
                if (r < 0)
                        return r;
                at += n;
        }

        if (ftruncate(j->fd, at) < 0)
                return copy_failed(j, "cut the file to its length");
        return fsync(j->fd) < 0 ? copy_failed(j, "write the file to the disk") : 0;
}

static void copy_job_run(WorkerJob *job) {
        CopyJob *j = (CopyJob *) job;
        _cleanup_(safe_closep) int from = -EBADF;
        int r;

        from = open(j->path, O_RDONLY | O_CLOEXEC);
        if (from < 0) {
                j->error = copy_failed(j, "open the copy");
                return;
        }
        r = check_space(j, from);
        (void) unlink(j->path);
        g_clear_pointer(&j->path, g_free);
        j->error = r < 0 ? r : copy_pieces(j, from);
}

static void copy_job_done(WorkerJob *job) {
        _cleanup_(copy_job_freep) CopyJob *j = (CopyJob *) job;

        j->copier->job = NULL;
        j->callback(j->error, j->detail, j->userdata); /* may free the copier */
}

static void copy_job_drop(WorkerJob *job) {
        (void) copy_job_free((CopyJob *) job);
}

int copier_new(sd_event *event, Copier **ret) {
        g_autofree Copier *c = g_new0(Copier, 1);
        int r;

        r = worker_new(event, "event-export", 1, 1, &c->worker);
        if (r < 0)
                return r;
        worker_set_background(c->worker);
        *ret = TAKE_PTR(c);
        return 0;
}

Copier *copier_free(Copier *c) {
        if (!c)
                return NULL;

        if (c->job)
                atomic_store_explicit(&c->job->stop, true, memory_order_relaxed);
        worker_free(c->worker);
        g_free(c);
        return NULL;
}

int copier_start(Copier *c, const char *path, int fd, CopierCallback callback, void *userdata) {
        _cleanup_(copy_job_freep) CopyJob *j = g_new0(CopyJob, 1);
        int r;

        j->job = (WorkerJob) { .run = copy_job_run, .done = copy_job_done, .drop = copy_job_drop };
        j->copier = c;
        j->path = g_strdup(path);
        j->fd = fd;
        j->callback = callback;
        j->userdata = userdata;

        r = worker_submit(c->worker, &j->job);
        if (r < 0)
                return r;
        c->job = TAKE_PTR(j);
        return 0;
}
