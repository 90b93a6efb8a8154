/* SPDX-License-Identifier: Apache-2.0 */
/* tools/event-connection against a server in a thread, when the program does something else for a long time. */

#include <sys/socket.h>
#include <sys/un.h>

#include <glib/gstdio.h>

#include "event/chatter.h"
#include "tests/unit/moved-clock.h"
#include "tools/event-connection.h"

typedef struct Fixture {
        char *folder, *path, *address;
        int fd;
        GThread *thread;
        Options options;
        EventConnection *connection;
} Fixture;

/* ---- the server: accepts everybody, has no events ---------------------------------------------------- */

static void answer(Chatter *c, const ChatterMessage *m, Buffer *out) {
        static const uint8_t accepted[] = { 0x80, 0x82 }, nothing[] = { 0x80, 0x00 };

        if (chatter_message_is(m, "HatEventer.MsgInitReq"))
                (void) chatter_reply(c, m, true, "HatEventer.MsgInitRes", accepted, sizeof accepted, out);
        else if (chatter_message_is(m, "HatEventer.MsgQueryReq"))
                (void) chatter_reply(c, m, true, "HatEventer.MsgQueryRes", nothing, sizeof nothing, out);
}

static void serve(int fd) {
        _cleanup_(buffer_done) Buffer in = { 0 }, out = { 0 };
        Chatter c;
        ssize_t n;

        chatter_init(&c, 0);
        while ((n = recv(fd, buffer_reserve(&in, 4096), 4096, 0)) > 0) {
                ChatterMessage m;
                size_t used;

                buffer_commit(&in, (size_t) n);
                do {
                        if (chatter_receive(&c, buffer_begin(&in), buffer_size(&in), 0, &out, &used, &m) > 0)
                                answer(&c, &m, &out);
                        buffer_consume(&in, used);
                } while (used > 0);
                if (send(fd, buffer_begin(&out), buffer_size(&out), MSG_NOSIGNAL) < 0)
                        break;
                buffer_clear(&out);
        }
}

static gpointer serve_all(gpointer userdata) {
        const Fixture *f = userdata;
        int fd;

        while ((fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                serve(fd);
                (void) safe_close(fd);
        }
        return NULL;
}

/* ---- the fixture ------------------------------------------------------------------------------------- */

static void set_up(Fixture *f, gconstpointer data) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX };

        f->folder = g_dir_make_tmp("event-connection-XXXXXX", NULL);
        f->path = g_build_filename(f->folder, "socket", NULL);
        f->address = g_strconcat("unix:", f->path, NULL);
        (void) g_strlcpy(sun.sun_path, f->path, sizeof sun.sun_path);
        f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(bind(f->fd, (struct sockaddr *) &sun, sizeof sun), ==, 0);
        g_assert_cmpint(listen(f->fd, 5), ==, 0);
        f->thread = g_thread_new("server", serve_all, f);

        f->options = (Options) { .server = f->address };
        g_assert_cmpint(event_connection_new(&f->options, NULL, 0, NULL, NULL, &f->connection), ==, CTL_OK);
}

static void tear_down(Fixture *f, gconstpointer data) {
        f->connection = event_connection_free(f->connection);
        (void) shutdown(f->fd, SHUT_RDWR);
        (void) g_thread_join(f->thread);
        (void) safe_close(f->fd);
        g_assert_cmpint(g_unlink(f->path), ==, 0);
        g_assert_cmpint(g_rmdir(f->folder), ==, 0);
        g_free(f->folder);
        g_free(f->path);
        g_free(f->address);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

/* A request has ten seconds, a connection forty: from when they were begun, not from when the loop ran last. */
static void test_long_pause(Fixture *f, gconstpointer data) {
        static const EventerQuery query = { .kind = QUERY_LATEST };

        g_assert_cmpint(event_connection_open(f->connection, NULL, 0), ==, 0);
        for (unsigned i = 0; i < 3; i++) {
                g_assert_cmpint(event_connection_query(f->connection, &query, NULL, NULL), ==, 0);
                clock_move(60 * USEC_PER_SEC);
        }
        g_assert_cmpint(event_connection_open(f->connection, NULL, 0), ==, 0);
        g_assert_cmpint(event_connection_query(f->connection, &query, NULL, NULL), ==, 0);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add("/event-connection/long-pause", Fixture, NULL, set_up, test_long_pause, tear_down);
        return g_test_run();
}
