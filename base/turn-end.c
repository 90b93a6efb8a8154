/* SPDX-License-Identifier: Apache-2.0 */
/* An eventfd, edge triggered, so that nobody reads it: it becomes ready in the loop's next wait, with which
 * the next turn begins, and there it is younger than what was ready in this one. A defer source would not
 * do: its age is that of its creation, so it comes before all others. Loop thread. */

#include "base/turn-end.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

struct TurnEnd {
        int fd;
        sd_event_source *source;
        bool armed;
        TurnEndCallback callback;
        void *userdata;
};

static int on_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        TurnEnd *t = userdata;

        t->armed = false;
        t->callback(t->userdata); /* may free t */
        return 0;
}

int turn_end_new(sd_event *event, const char *description, TurnEndCallback callback, void *userdata, TurnEnd **ret) {
        _cleanup_(turn_end_freep) TurnEnd *t = g_new(TurnEnd, 1);
        int r;

        *t = (TurnEnd) {
                .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                .callback = callback,
                .userdata = userdata,
        };
        if (t->fd < 0)
                return -errno;
        r = sd_event_add_io(event, &t->source, t->fd, EPOLLIN | EPOLLET, on_ready, t);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(t->source, description);
        *ret = TAKE_PTR(t);
        return 0;
}

TurnEnd *turn_end_free(TurnEnd *t) {
        if (!t)
                return NULL;

        t->source = sd_event_source_disable_unref(t->source);
        (void) safe_close(t->fd);
        g_free(t);
        return NULL;
}

void turn_end_arm(TurnEnd *t) {
        if (t->armed)
                return;
        t->armed = true;
        (void) eventfd_write(t->fd, 1);
}
