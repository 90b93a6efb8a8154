/* SPDX-License-Identifier: Apache-2.0 */
/* Introspection without a bus: one end of a socket pair serves the tree, the other end asks. Main
 * thread, a loop of its own. */
#include <errno.h>
#include <sys/socket.h>

#include "dbus/bus-internal.h"

#define INTROSPECT_USEC (5 * USEC_PER_SEC)

typedef struct Question {
        char *answer;
        int error;
        bool done;
} Question;

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Question *q = userdata;
        const char *text;
        int r;

        q->done = true;
        r = sd_bus_message_get_errno(reply);
        if (r > 0) {
                q->error = r == EBADR ? -ENOENT : -r; /* EBADR: unknown object */
                return 0;
        }
        r = sd_bus_message_read(reply, "s", &text);
        if (r < 0)
                q->error = r;
        else
                q->answer = g_strdup(text);
        return 0;
}

/* Takes the descriptor in any case. */
static int connect_end(sd_event *event, int fd, bool server, sd_bus **ret) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0) {
                safe_close(fd);
                return r;
        }
        if (server) {
                r = sd_bus_set_server(bus, true,
                                      (sd_id128_t) SD_ID128_MAKE(67, 61, 74, 65, 77, 61, 79, 64, 00, 00, 00,
                                                                 00, 00, 00, 00, 01));
                if (r < 0)
                        return r;
        }
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static int connect_pair(sd_event *event, sd_bus **ret_server, sd_bus **ret_client) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *server = NULL;
        int fds[2], r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return -errno;
        r = connect_end(event, fds[0], true, &server);
        if (r < 0) {
                safe_close(fds[1]);
                return r;
        }
        r = connect_end(event, fds[1], false, ret_client);
        if (r < 0)
                return r;
        *ret_server = TAKE_PTR(server);
        return 0;
}

static int ask(sd_event *event, sd_bus *client, const char *path, Question *q) {
        usec_t end = usec_add(now_usec(CLOCK_MONOTONIC), INTROSPECT_USEC);
        int r;

        r = sd_bus_call_method_async(client, NULL, NULL, path, "org.freedesktop.DBus.Introspectable",
                                     "Introspect", on_answer, q, NULL);
        if (r < 0)
                return r;
        while (!q->done) {
                if (now_usec(CLOCK_MONOTONIC) >= end)
                        return -ETIMEDOUT;
                r = sd_event_run(event, INTROSPECT_USEC);
                if (r < 0)
                        return r;
        }
        return q->error;
}

static int introspect(Bus *b, const char *path, char **ret) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *server = NULL, *client = NULL;
        Question q = {};
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        r = connect_pair(event, &server, &client);
        if (r < 0)
                return r;
        r = bus_objects_serve(b, server);
        if (r < 0)
                return r;
        r = ask(event, client, path, &q);
        if (r < 0)
                return r;
        *ret = q.answer;
        return 0;
}

int bus_introspect(const char *path, FILE *stream) {
        g_autofree char *text = NULL;
        Bus b = {};
        int r;

        if (!sd_bus_object_path_is_valid(path))
                return -EINVAL;
        bus_objects_init(&b);
        r = introspect(&b, path, &text);
        bus_objects_done(&b);
        if (r < 0)
                return r;
        return fputs(text, stream) < 0 || fflush(stream) < 0 ? -EIO : 0;
}
