/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the descriptors of serial lines. What is to be done with one path is done in order, by one thread
 * that exists meanwhile: so who opens a path again comes behind its closing. Loop thread, but for
 * opening_run() and closing_run(). */

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/worker.h"
#include "link/serial-port.h"
#include "link/serial-settings.h"

/* The other side of a pseudo-terminal has what was written at once. */
#define PSEUDO_MAJOR_FIRST 136U
#define PSEUDO_MAJOR_LAST 143U
/* Of one path, while one of them hangs: beyond, nothing more is opened. */
#define JOBS_MAX 8U

/* The thread of a path, while there are jobs for it. */
typedef struct Lane {
        struct Lane *next;
        sd_event *event;
        char *path;
        Worker *worker;
        unsigned n_jobs;
} Lane;

typedef struct PortJob {
        WorkerJob job;
        SerialPort *port;
        Lane *lane; /* loop only; NULL: not submitted, or done */
} PortJob;

struct SerialPort {
        sd_event *event;
        char *path;
        SerialOptions options;
        SerialPortCallback callback;
        void *userdata;
        PortJob opening, closing;
        atomic_bool given_up; /* if it is not opened yet it need not be */

        /* Of the job that is under way, else of the loop. */
        int fd;
        int error;
        bool pseudo;
};

static Lane *lanes;

/* ---- the thread's side -------------------------------------------------------------------------------- */

static int open_device(const char *path, bool *ret_pseudo) {
        _cleanup_(safe_closep) int fd = -EBADF;
        struct stat st;

        fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISCHR(st.st_mode) || !isatty(fd))
                return -ENOTTY;

        *ret_pseudo = major(st.st_rdev) >= PSEUDO_MAJOR_FIRST && major(st.st_rdev) <= PSEUDO_MAJOR_LAST;
        return TAKE_FD(fd);
}

/* Closing would wait for what has not left. */
static void close_device(int fd) {
        serial_settings_flush(fd, false, true);
        serial_settings_unlock(fd);
        (void) safe_close(fd);
}

static int port_open_device(SerialPort *p) {
        int fd, r;

        fd = open_device(p->path, &p->pseudo);
        if (fd < 0)
                return fd;
        r = serial_settings_lock(fd, p->path);
        if (r < 0) {
                (void) safe_close(fd);
                return r;
        }
        r = serial_settings_apply(fd, &p->options, p->pseudo);
        if (r < 0) {
                close_device(fd);
                return r;
        }
        return fd;
}

static void opening_run(WorkerJob *job) {
        SerialPort *p = ((PortJob *) job)->port;
        int fd;

        fd = atomic_load(&p->given_up) ? -ECANCELED : port_open_device(p);
        p->error = MIN(fd, 0);
        p->fd = fd < 0 ? -EBADF : fd;
}

static void closing_run(WorkerJob *job) {
        SerialPort *p = ((PortJob *) job)->port;

        if (p->fd >= 0)
                close_device(TAKE_FD(p->fd));
}

/* ---- lanes -------------------------------------------------------------------------------------------- */

static Lane *lane_find(sd_event *event, const char *path) {
        for (Lane *l = lanes; l; l = l->next)
                if (l->event == event && streq(l->path, path))
                        return l;
        return NULL;
}

static int lane_new(sd_event *event, const char *path, Lane **ret) {
        Worker *worker;
        Lane *l;
        int r;

        r = worker_new(event, "serial-port", 1, G_MAXINT, &worker); /* JOBS_MAX bounds it */
        if (r < 0)
                return r;

        l = g_new(Lane, 1);
        *l = (Lane) { .next = lanes, .event = event, .path = g_strdup(path), .worker = worker };
        lanes = l;
        *ret = l;
        return 0;
}

static void lane_leave(Lane *l) {
        Lane **at = &lanes;

        if (--l->n_jobs > 0)
                return;
        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        (void) worker_free(l->worker);
        g_free(l->path);
        g_free(l);
}

/* Submits one of the port's jobs. */
static int port_submit(SerialPort *p, PortJob *job, unsigned max) {
        Lane *l = lane_find(p->event, p->path);
        int r = 0;

        if (!l)
                r = lane_new(p->event, p->path, &l);
        if (r < 0)
                return r;

        l->n_jobs++;
        r = l->n_jobs > max ? -EALREADY : worker_submit(l->worker, &job->job);
        if (r < 0) {
                lane_leave(l);
                return r;
        }
        job->lane = l;
        return 0;
}

/* ---- ports -------------------------------------------------------------------------------------------- */

static void port_free(SerialPort *p) {
        sd_event_unref(p->event);
        g_free(p->path);
        g_free(p);
}

static void opening_done(WorkerJob *job) {
        SerialPort *p = ((PortJob *) job)->port;
        Lane *l = TAKE_PTR(p->opening.lane);

        if (!atomic_load(&p->given_up))
                p->callback(p->error, p->fd, p->pseudo, p->userdata); /* may free p */
        lane_leave(l);
}

static void closing_done(WorkerJob *job) {
        SerialPort *p = ((PortJob *) job)->port;

        lane_leave(p->closing.lane);
        port_free(p);
}

/* Jobs are neither cancelled nor dropped with their worker: it lives until they are done. */
static void never_dropped(WorkerJob *job) {
        g_assert_not_reached();
}

int serial_port_open(sd_event *event, const char *path, const SerialOptions *options, SerialPortCallback callback,
                     void *userdata, SerialPort **ret) {
        SerialPort *p = g_new(SerialPort, 1);
        int r;

        *p = (SerialPort) {
                .event = sd_event_ref(event),
                .path = g_strdup(path),
                .options = *options,
                .callback = callback,
                .userdata = userdata,
                .opening = { { .run = opening_run, .done = opening_done, .drop = never_dropped }, p, NULL },
                .closing = { { .run = closing_run, .done = closing_done, .drop = never_dropped }, p, NULL },
                .fd = -EBADF,
        };
        atomic_init(&p->given_up, false);

        r = port_submit(p, &p->opening, JOBS_MAX);
        if (r < 0) {
                port_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

SerialPort *serial_port_close(SerialPort *p) {
        if (!p)
                return NULL;

        if (!p->opening.lane && p->fd < 0) { /* it could not be opened */
                port_free(p);
                return NULL;
        }
        atomic_store(&p->given_up, true);
        if (port_submit(p, &p->closing, G_MAXUINT) < 0) { /* there is no thread to be had, hence none that opens it */
                closing_run(&p->closing.job);
                port_free(p);
        }
        return NULL;
}
