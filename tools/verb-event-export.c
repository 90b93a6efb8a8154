/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl event export FILE [--force]: a copy of the embedded event server's database. The daemon writes it
 * into a descriptor of ours, so the file is the caller's; what is not complete never stays behind. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <config.h>

#include "tools/verbs.h"

#define EXPORT_USEC (3600 * USEC_PER_SEC) /* hundreds of megabytes on a slow card */

static const int signals[] = { SIGHUP, SIGINT, SIGTERM };

/* What on_signal() removes; NULL: nothing was made. */
static const char *volatile unfinished;

static void on_signal(int number) {
        if (unfinished)
                (void) unlink(unfinished);
        (void) raise(number); /* once more, as it would have been */
}

static void catch_signals(void) {
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], &action, NULL);
}

/* ---- the file ---------------------------------------------------------------------------------------- */

typedef struct Output {
        const char *path; /* as it was asked for */
        char *written;    /* the same, or with --force another name until it is complete */
        int fd;
} Output;

/* Whether another process has locked it, as the daemon has its database. One that we may not read is asked
 * nothing. */
static bool is_locked(const char *path) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_(safe_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

        return fd >= 0 && fcntl(fd, F_GETLK, &lock) >= 0 && lock.l_type != F_UNLCK;
}

/* Something is there already, and it is to be replaced: only a file can be, and no database at work. */
static int check_replaceable(const char *path) {
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISREG(st.st_mode))
                return -EEXIST;
        return is_locked(path) ? -EBUSY : 0;
}

static int output_create(Output *out, bool force) {
        int r = 0;

        if (force) {
                r = check_replaceable(out->path);
                if (r < 0)
                        return r;
                out->written = g_strconcat(out->path, ".XXXXXX", NULL);
                out->fd = mkostemp(out->written, O_CLOEXEC);
        } else {
                out->written = g_strdup(out->path);
                out->fd = open(out->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        }
        if (out->fd < 0)
                return -errno;
        unfinished = out->written;
        return 0;
}

/* No signal comes between the file and its being known. */
static int output_open(Output *out, bool force) {
        sigset_t held, before;
        int r;

        (void) sigemptyset(&held);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaddset(&held, signals[i]);
        (void) sigprocmask(SIG_BLOCK, &held, &before);
        r = output_create(out, force);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);
        return r;
}

/* On the disk, under its name. */
static int output_finish(Output *out) {
        if (fsync(out->fd) < 0 && errno != EINVAL)
                return -errno;
        if (!streq(out->written, out->path) && rename(out->written, out->path) < 0)
                return -errno;
        unfinished = NULL;
        return 0;
}

static void output_done(Output *out) {
        if (unfinished)
                (void) unlink(unfinished);
        unfinished = NULL; /* after it: a signal between the two finds nothing to remove */
        out->fd = safe_close(out->fd);
        g_free(out->written);
}

/* ---- the verb ---------------------------------------------------------------------------------------- */

static ExitStatus fill(Client *bus, int fd) {
        if (!bus->local || sd_bus_can_send(bus->bus, 'h') <= 0)
                return complain(CTL_FAILED,
                                "A file cannot be passed over this bus: export on the daemon's own host");
        return client_call(bus,
                           &(Call) { .path = BUS_ROOT_PATH,
                                    .interface = BUS_MANAGER_INTERFACE,
                                    .member = "ExportEvents",
                                    .what = "export the events",
                                    .timeout = EXPORT_USEC },
                           NULL, "h", fd);
}

ExitStatus verb_event_export(Client *bus, const Options *o, char **arguments) {
        Output out = { .path = arguments[0], .fd = -EBADF };
        ExitStatus s;
        int r;

        if (streq(arguments[0], "-"))
                return complain(CTL_USAGE, "event export writes a file, not standard output");
        catch_signals();
        r = output_open(&out, o->force);
        if (r == -EEXIST)
                s = complain(CTL_FAILED,
                             o->force ? "%s is there and is no file"
                                      : "%s is there already (--force replaces it)",
                             arguments[0]);
        else if (r == -EBUSY)
                s = complain(CTL_FAILED, "%s is a database in use; a copy does not take its place",
                             arguments[0]);
        else if (r < 0)
                s = complain(CTL_FAILED, "Cannot create %s: %s", arguments[0], g_strerror(-r));
        else {
                s = fill(bus, out.fd);
                r = s == CTL_OK ? output_finish(&out) : 0;
                if (r < 0)
                        s = complain(CTL_FAILED, "Cannot write %s: %s", arguments[0], g_strerror(-r));
        }
        output_done(&out);
        return s;
}
