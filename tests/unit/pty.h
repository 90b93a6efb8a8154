/* SPDX-License-Identifier: Apache-2.0 */
/* A pseudo-terminal in place of a serial line, behind a symbolic link in a folder of its own: the far end is a
 * descriptor that the test reads and writes, and the adapter can be pulled and plugged. Main thread. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/macros.h"

typedef struct Pty {
        int fd;          /* the far end, non-blocking; -EBADF: pulled */
        char *directory; /* of the link */
        char *path;      /* of the link: what a configuration names */
        char *device;    /* what it leads to */
} Pty;

static inline void pty_plug(Pty *p) {
        char device[64];
        struct termios t;
        int fd;

        p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        g_assert_cmpint(p->fd, >=, 0);
        g_assert_cmpint(grantpt(p->fd), ==, 0);
        g_assert_cmpint(unlockpt(p->fd), ==, 0);
        g_assert_cmpint(ptsname_r(p->fd, device, sizeof(device)), ==, 0);
        p->device = g_strdup(device);

        /* Nothing is echoed, even before somebody opens it. */
        fd = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(tcgetattr(fd, &t), ==, 0);
        cfmakeraw(&t);
        g_assert_cmpint(tcsetattr(fd, TCSANOW, &t), ==, 0);
        (void) close(fd);

        g_assert_cmpint(symlink(device, p->path), ==, 0);
}

static inline void pty_pull(Pty *p) {
        (void) unlink(p->path);
        p->fd = safe_close(p->fd);
        g_clear_pointer(&p->device, g_free);
}

static inline Pty *pty_new(void) {
        Pty *p = g_new0(Pty, 1);

        p->directory = g_dir_make_tmp("gatewayd-pty-XXXXXX", NULL);
        g_assert_nonnull(p->directory);
        p->path = g_build_filename(p->directory, "line", NULL);
        pty_plug(p);
        return p;
}

static inline Pty *pty_free(Pty *p) {
        if (!p)
                return NULL;
        pty_pull(p);
        (void) rmdir(p->directory);
        g_free(p->directory);
        g_free(p->path);
        g_free(p);
        return NULL;
}
DEFINE_CLEANUP(Pty, pty_free);
