/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the writing end of a pipe and the watch on its reader. Writes of at most PIPE_BUF bytes are atomic
 * (pipe(7)). Loop thread. */
#include "daemon/line-pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

G_STATIC_ASSERT(LINE_PIPE_LINE_MAX <= PIPE_BUF);

struct LinePipe {
        int fd;
        sd_event_source *source;
        LinePipeCallback left;
        void *userdata;
};

static int on_left(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        LinePipe *p = userdata;

        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        p->left(p->userdata);
        return 0;
}

int line_pipe_new(sd_event *event, size_t capacity, LinePipeCallback left, void *userdata, LinePipe **ret, int *ret_reader) {
        _cleanup_(line_pipe_freep) LinePipe *p = g_new(LinePipe, 1);
        _cleanup_(safe_closep) int reader = -EBADF;
        int fds[2], r;

        *p = (LinePipe) { .fd = -EBADF, .left = left, .userdata = userdata };
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        reader = fds[0];
        p->fd = fds[1];
        r = fd_set_nonblocking(p->fd);
        if (r < 0)
                return r;
        (void) fcntl(p->fd, F_SETPIPE_SZ, (int) capacity); /* else it has what pipes have */

        r = sd_event_add_io(event, &p->source, p->fd, 0, on_left, p);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(p->source, "line-pipe");

        *ret = TAKE_PTR(p);
        *ret_reader = TAKE_FD(reader);
        return 0;
}

LinePipe *line_pipe_free(LinePipe *p) {
        if (!p)
                return NULL;
        sd_event_source_disable_unref(p->source);
        safe_close(p->fd);
        g_free(p);
        return NULL;
}

int line_pipe_write(LinePipe *p, JsonSpan value) {
        struct iovec parts[] = {
                { (void *) value.text, value.size },
                { (void *) "\n", 1 },
        };

        if (value.size >= LINE_PIPE_LINE_MAX)
                return -E2BIG;
        return writev(p->fd, parts, ELEMENTSOF(parts)) < 0 ? -errno : 0;
}
