/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a descriptor, what was read of it and is no line yet, and the signals that end the reading: those
 * wait in a descriptor of their own, so none is lost between two looks. Main thread. */
#include "tools/line-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct LineReader {
        int fd, signals; /* signals: -EBADF without line_reader_catch_signals() */
        sigset_t before;
        usec_t deadline;
        char *line; /* in buffer: what was not handed out yet */
        size_t size;
        char buffer[LINE_READER_LINE_MAX];
};

int line_reader_new(int fd, usec_t deadline, LineReader **ret) {
        LineReader *l;
        int duplicate;

        duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (duplicate < 0)
                return -errno;
        l = g_new(LineReader, 1);
        l->fd = duplicate;
        l->signals = -EBADF;
        l->deadline = deadline;
        l->line = l->buffer;
        l->size = 0;
        *ret = l;
        return 0;
}

LineReader *line_reader_free(LineReader *l) {
        struct signalfd_siginfo info;

        if (!l)
                return NULL;
        if (l->signals >= 0) {
                while (read(l->signals, &info, sizeof(info)) > 0)
                        ; /* they had their effect */
                (void) sigprocmask(SIG_SETMASK, &l->before, NULL);
        }
        safe_close(l->signals);
        safe_close(l->fd);
        g_free(l);
        return NULL;
}

int line_reader_catch_signals(LineReader *l) {
        sigset_t caught;

        (void) sigemptyset(&caught);
        (void) sigaddset(&caught, SIGINT);
        (void) sigaddset(&caught, SIGTERM);
        l->signals = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
        if (l->signals < 0)
                return -errno;
        (void) sigprocmask(SIG_BLOCK, &caught, &l->before);
        return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static int wait_readable(const LineReader *l) {
        struct pollfd fds[] = {
                { .fd = l->signals, .events = POLLIN }, /* poll(2) looks at no negative one */
                { .fd = l->fd, .events = POLLIN },
        };

        for (;;) {
                usec_t left = usec_sub(l->deadline, now_usec(CLOCK_MONOTONIC));
                int r;

                if (left == 0)
                        return -ETIMEDOUT;
                r = poll(fds, ELEMENTSOF(fds), left == USEC_INFINITY ? -1 : (int) MIN(left / USEC_PER_MSEC + 1, (usec_t) INT_MAX));
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r > 0)
                        return fds[0].revents != 0 ? -EINTR : 0;
        }
}

/* Behind what is there. Bytes that came; 0: the end. */
static ssize_t read_more(LineReader *l) {
        ssize_t n;
        int r;

        if (l->line > l->buffer)
                memmove(l->buffer, l->line, l->size);
        l->line = l->buffer;
        if (l->size == sizeof(l->buffer))
                return -EMSGSIZE;
        r = wait_readable(l);
        if (r < 0)
                return r;
        n = read(l->fd, l->buffer + l->size, sizeof(l->buffer) - l->size);
        if (n < 0)
                return -errno;
        l->size += (size_t) n;
        return n;
}

int line_reader_next(LineReader *l, char **ret) {
        size_t searched = 0;
        char *end;

        while (!(end = memchr(l->line + searched, '\n', l->size - searched))) {
                ssize_t n;

                searched = l->size;
                n = read_more(l);
                if (n <= 0)
                        return (int) n;
        }
        *end = '\0';
        *ret = l->line;
        l->size -= (size_t) (end + 1 - l->line);
        l->line = end + 1;
        return 1;
}
