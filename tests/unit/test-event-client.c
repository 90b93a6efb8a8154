/* SPDX-License-Identifier: Apache-2.0 */
/* The event client against a scripted server on a unix socket, both in one loop: what leaves in which
 * message, how it ends, and that the owner may free it anywhere. What takes seconds (timeouts, pings,
 * requests) is tested with a fake clock in test-eventer and test-chatter. */

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/bounds.h"
#include "event/chatter.h"
#include "event/client.h"
#include "event/sbs.h"
#include "tests/unit/moved-clock.h"

#define WAIT_USEC (10 * USEC_PER_SEC) /* less than a ping, which would move what must move by itself */

typedef enum FreeAt {
        FREE_NOWHERE,
        FREE_CONNECTED,
        FREE_STATUS,
        FREE_EVENTS,
        FREE_ANSWER,
        FREE_CLOSED
} FreeAt;

typedef struct Setting {
        bool nobody_listens;
        bool pair; /* over one end of a socket pair instead */
        FreeAt free_at;
} Setting;

typedef struct Fixture {
        sd_event *event;
        char *folder, *path;
        int listen_fd, fd;
        Chatter chatter;
        Buffer in; /* what the server received and has not looked at */

        EventClient *client;
        FreeAt free_at;
        bool in_call; /* the test is inside a call of the client: closed() must not come */
        unsigned n_connected, n_status, n_events, n_congested, n_closed, n_answers;
        EventerStatus status;
        bool congested;
        int closed_error;
        char *closed_detail;
        int answer_error[4];
        size_t answer_events;
        unsigned answers_at_close;
} Fixture;

/* ---- the client's side ------------------------------------------------------------------------------- */

static void free_if(Fixture *f, FreeAt at) {
        if (f->free_at == at)
                f->client = event_client_free(f->client);
}

static void on_connected(EventClient *c, EventerStatus status, void *userdata) {
        Fixture *f = userdata;

        f->n_connected++;
        f->status = status;
        free_if(f, FREE_CONNECTED);
}

static void on_status(EventClient *c, EventerStatus status, void *userdata) {
        Fixture *f = userdata;

        f->n_status++;
        f->status = status;
        free_if(f, FREE_STATUS);
}

static void on_events(EventClient *c, const Event *events, size_t n, void *userdata) {
        Fixture *f = userdata;

        f->n_events += (unsigned) n;
        free_if(f, FREE_EVENTS);
}

static void on_congested(EventClient *c, bool congested, void *userdata) {
        Fixture *f = userdata;

        g_assert_false(f->in_call);
        f->n_congested++;
        f->congested = congested;
}

static void on_closed(EventClient *c, int error, const char *detail, void *userdata) {
        Fixture *f = userdata;

        g_assert_false(f->in_call);
        g_assert_true(c == f->client);
        g_assert_nonnull(detail);
        f->n_closed++;
        f->closed_error = error;
        f->closed_detail = g_strdup(detail);
        f->answers_at_close = f->n_answers;
        free_if(f, FREE_CLOSED);
}

static void on_answer(int error, const Event *events, size_t n, bool more_follows, void *userdata) {
        Fixture *f = userdata;

        g_assert_false(f->in_call);
        g_assert_cmpuint(f->n_answers, <, ELEMENTSOF(f->answer_error));
        f->answer_error[f->n_answers++] = error;
        f->answer_events = n;
        free_if(f, FREE_ANSWER);
}

static const EventClientHandler handler = {
        .connected = on_connected,
        .status = on_status,
        .events = on_events,
        .congested = on_congested,
        .closed = on_closed,
};

/* ---- the loop and the server ------------------------------------------------------------------------- */

static void turn(Fixture *f) {
        g_assert_cmpint(sd_event_run(f->event, 1000), >=, 0);
}

static bool in_time(usec_t end) {
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), <, end);
        return true;
}

/* Waits for a condition with a deadline; the statement behind it runs before each turn of the loop. */
#define RUN_UNTIL(f, condition) \
        for (usec_t _end = now_usec(CLOCK_MONOTONIC) + WAIT_USEC; !(condition) && in_time(_end); turn(f))

/* Enough turns for everything that is already due. */
static void settle(Fixture *f) {
        for (int i = 0; i < 20; i++)
                turn(f);
}

static void fixture_setup(Fixture *f, gconstpointer data) {
        static const Subtype subtypes[] = { SUBTYPE("a"), SUBTYPE("*") };
        static const EventType subscription = { subtypes, ELEMENTSOF(subtypes) };
        const Setting *setting = data;
        static const EventerInit init = { .client_name = "test",
                                          .subscriptions = &subscription,
                                          .n_subscriptions = 1 };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Address where;

        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        f->folder = g_dir_make_tmp("event-client-XXXXXX", NULL);
        f->path = g_build_filename(f->folder, "server", NULL);
        g_assert_cmpuint(g_strlcpy(address.sun_path, f->path, sizeof address.sun_path), <,
                         sizeof address.sun_path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        f->fd = -EBADF;
        if (!setting || !setting->nobody_listens) {
                g_assert_cmpint(bind(f->listen_fd, (struct sockaddr *) &address, sizeof address), ==, 0);
                g_assert_cmpint(listen(f->listen_fd, 1), ==, 0);
        }
        chatter_init(&f->chatter, 0);

        if (setting && setting->pair) {
                int fds[2];

                g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==, 0);
                f->fd = fds[0];
                g_assert_cmpint(event_client_new_fd(f->event, fds[1], &init, &handler, f, &f->client), ==, 0);
                return;
        }
        where = (Address) { .kind = ADDRESS_UNIX, .path = f->path };
        g_assert_cmpint(event_client_new(f->event, NULL, &where, &init, &handler, f, &f->client), ==, 0);
}

static void fixture_teardown(Fixture *f, gconstpointer data) {
        f->client = event_client_free(f->client);
        safe_close(f->fd);
        safe_close(f->listen_fd);
        buffer_done(&f->in);
        sd_event_unref(f->event);
        (void) unlink(f->path);
        (void) rmdir(f->folder);
        g_free(f->path);
        g_free(f->folder);
        g_free(f->closed_detail);
}

/* Reads what has come; false at the end of the stream. */
static bool server_read(Fixture *f) {
        for (;;) {
                uint8_t *p = buffer_reserve(&f->in, 64 << 10);
                ssize_t n = recv(f->fd, p, 64 << 10, 0);

                if (n < 0) {
                        g_assert_cmpint(errno, ==, EAGAIN);
                        return true;
                }
                if (n == 0)
                        return false;
                buffer_commit(&f->in, (size_t) n);
        }
}

/* The server's next message. Valid until the next call: it stays in front of the buffer until then. */
static bool server_try_next(Fixture *f, size_t *consume, ChatterMessage *ret) {
        size_t used;
        Buffer out = { 0 };
        int r;

        buffer_consume(&f->in, *consume);
        *consume = 0;
        r = chatter_receive(&f->chatter, buffer_begin(&f->in), buffer_size(&f->in), 0, &out, &used, ret);
        g_assert_cmpint(r, >=, 0);
        buffer_done(&out);
        *consume = used;
        return r == 1;
}

static ChatterMessage server_next(Fixture *f, size_t *consume) {
        ChatterMessage m;

        RUN_UNTIL(f, server_try_next(f, consume, &m))
        (void) server_read(f);
        return m;
}

static void server_write(Fixture *f, const void *data, size_t size) {
        while (size > 0) {
                ssize_t n = send(f->fd, data, size, MSG_NOSIGNAL);

                if (n < 0) {
                        g_assert_cmpint(errno, ==, EAGAIN);
                        turn(f);
                        continue;
                }
                data = (const uint8_t *) data + n;
                size -= (size_t) n;
        }
}

static void server_send(Fixture *f, const ChatterMessage *to, bool last, const char *type, const char *body,
                        size_t size) {
        _cleanup_(buffer_done) Buffer out = { 0 };

        if (to)
                (void) chatter_reply(&f->chatter, to, last, type, body, size, &out);
        else
                (void) chatter_send(&f->chatter, last, type, body, size, &out);
        server_write(f, buffer_begin(&out), buffer_size(&out));
}

/* Accepts the connection and reads the init request. */
static size_t server_init(Fixture *f) {
        ChatterMessage m;
        size_t consume = 0;

        RUN_UNTIL(f, f->fd >= 0 ||
                             (f->fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
        m = server_next(f, &consume);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgInitReq"));
        g_assert_cmpmem(m.data, m.size,
                        "\x84test\x80\x81\x82\x81"
                        "a\x81*\x80\x00",
                        14);
        g_assert_cmpint(m.id, ==, 1);
        return consume;
}

/* As far as an established client. */
static void establish(Fixture *f) {
        static const ChatterMessage to = { .first = 1, .owner = true };

        buffer_consume(&f->in, server_init(f));
        g_assert_cmpuint(f->n_connected, ==, 0);
        server_send(f, &to, true, "HatEventer.MsgInitRes", "\x80\x82", 2);
        RUN_UNTIL(f, f->n_connected == 1);
        g_assert_cmpint(f->status, ==, EVENTER_OPERATIONAL);
}

/* ---- what a test registers --------------------------------------------------------------------------- */

static const Subtype prefix_subtypes[] = { SUBTYPE("a"), SUBTYPE("b") };
static const EventType prefix = { prefix_subtypes, ELEMENTSOF(prefix_subtypes) };

static void register_one(Fixture *f, const char *name, size_t payload_size) {
        g_autofree char *text = g_strnfill(payload_size, '1');
        Payload payload = { .kind = PAYLOAD_JSON, .json = { text, payload_size } };

        f->in_call = true;
        event_client_register(f->client, prefix, (const char *const[]) { name, NULL }, NULL, &payload);
        f->in_call = false;
}

static EventRequest *query_one(Fixture *f) {
        EventRequest *request = NULL;

        f->in_call = true;
        g_assert_cmpint(event_client_request_query(f->client, &(EventerQuery) { 0 }, on_answer, f, &request),
                        ==, 0);
        f->in_call = false;
        g_assert_nonnull(request);
        return request;
}

static int64_t count_of(const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };
        int64_t n;

        g_assert_true(chatter_message_is(m, "HatEventer.MsgRegisterReq"));
        g_assert_cmpint(sbs_read_integer(&r, &n), ==, 0);
        return n;
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void test_notifications(Fixture *f, gconstpointer data) {
        ChatterMessage m;
        size_t consume = 0;

        establish(f);
        server_send(f, NULL, true, "HatEventer.MsgStatusNotify", "\x83", 1);
        server_send(f, NULL, true, "HatEventer.MsgEventsNotify",
                    "\x81\x81\x81\x81\x81\x81"
                    "a\x80\x80\x80\x80",
                    11);
        server_send(f, NULL, false, "HatEventer.MsgEventsNotify",
                    "\x81\x81\x81\x81\x81\x81"
                    "a\x80\x80\x80\x80",
                    11);
        RUN_UNTIL(f, f->n_events == 2);
        g_assert_cmpuint(f->n_status, ==, 1);
        g_assert_cmpint(f->status, ==, EVENTER_STOPPING);

        m = server_next(f, &consume);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgEventsAck"));
        g_assert_cmpint(m.first, ==, 4);
        g_assert_false(m.owner);
}

typedef struct Source {
        Fixture *fixture;
        sd_event_source *source;
        int fd;
} Source;

static int on_source(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Source *source = userdata;

        register_one(source->fixture, "x", 1);
        return 0;
}

/* Descriptors that are ready in the same turn, the client's own socket among them: one message. */
static void test_one_message_a_turn(Fixture *f, gconstpointer data) {
        Source sources[7] = { 0 };
        ChatterMessage m;
        size_t consume = 0;

        establish(f);
        for (int round = 0; round < 3; round++) {
                for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                        sources[i] = (Source) { .fixture = f, .fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK) };
                        g_assert_cmpint(sd_event_add_io(f->event, &sources[i].source, sources[i].fd, EPOLLIN,
                                                        on_source, &sources[i]),
                                        >=, 0);
                        g_assert_cmpint(sd_event_source_set_enabled(sources[i].source, SD_EVENT_ONESHOT), >=,
                                        0);
                }
                m = server_next(f, &consume);
                g_assert_cmpint(count_of(&m), ==, ELEMENTSOF(sources));
                g_assert_true(m.last);
                settle(f);
                (void) server_read(f);
                g_assert_false(server_try_next(f, &consume, &m));
                for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                        sd_event_source_disable_unref(sources[i].source);
                        safe_close(sources[i].fd);
                }
        }
}

static int on_always(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        unsigned *n = userdata;

        (*n)++;
        return 0;
}

/* A source that is always ready does not put the flush off. */
static void test_busy_loop(Fixture *f, gconstpointer data) {
        sd_event_source *s;
        unsigned n = 0;
        size_t consume = 0;
        ChatterMessage m;
        int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

        establish(f);
        g_assert_cmpint(sd_event_add_io(f->event, &s, fd, EPOLLIN, on_always, &n), >=, 0);
        RUN_UNTIL(f, n > 10);
        register_one(f, "x", 1);
        n = 0;
        m = server_next(f, &consume);
        g_assert_cmpint(count_of(&m), ==, 1);
        g_assert_cmpuint(n, <, 20);
        sd_event_source_disable_unref(s);
        safe_close(fd);
}

static void test_order(Fixture *f, gconstpointer data) {
        static const char *const name[] = { "x", NULL };
        EventRequest *request;
        ChatterMessage m;
        size_t consume = 0;

        establish(f);
        register_one(f, "x", 1);
        register_one(f, "y", 1);
        f->in_call = true;
        g_assert_cmpint(event_client_request_register(f->client, prefix, name, NULL, NULL, on_answer, f,
                                                      &request),
                        ==, 0);
        f->in_call = false;
        register_one(f, "z", 1);
        (void) query_one(f);
        g_assert_cmpuint(event_client_unsent(f->client), >, 0);

        m = server_next(f, &consume);
        g_assert_cmpint(count_of(&m), ==, 2);
        g_assert_true(m.last);
        m = server_next(f, &consume);
        g_assert_cmpint(count_of(&m), ==, 1);
        g_assert_false(m.last);
        server_send(f, &m, true, "HatEventer.MsgRegisterRes", "\x81", 1);
        m = server_next(f, &consume);
        g_assert_cmpint(count_of(&m), ==, 1);
        g_assert_true(m.last);
        m = server_next(f, &consume);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgQueryReq"));
        server_send(f, &m, true, "HatEventer.MsgQueryRes", "\x81\x81\x81\x81\x80\x80\x80\x80\x80\x00", 10);
        RUN_UNTIL(f, f->n_answers == 2);
        g_assert_cmpint(f->answer_error[0], ==, -EREMOTEIO);
        g_assert_cmpint(f->answer_error[1], ==, 0);
        g_assert_cmpuint(f->answer_events, ==, 1);
        g_assert_cmpuint(event_client_unsent(f->client), ==, 0);
}

static void test_cancel(Fixture *f, gconstpointer data) {
        EventRequest *first;
        ChatterMessage m;
        size_t consume = 0;

        establish(f);
        first = query_one(f);
        (void) query_one(f);
        g_assert_null(event_request_cancel(first));
        g_assert_null(event_request_cancel(NULL));
        for (int i = 0; i < 2; i++) {
                m = server_next(f, &consume);
                server_send(f, &m, true, "HatEventer.MsgQueryRes", "\x80\x00", 2);
        }
        RUN_UNTIL(f, f->n_answers == 1);
        settle(f);
        g_assert_cmpuint(f->n_answers, ==, 1);
}

static void test_refused(Fixture *f, gconstpointer data) {
        static const ChatterMessage to = { .first = 1, .owner = true };

        (void) server_init(f);
        server_send(f, &to, true, "HatEventer.MsgInitRes",
                    "\x81\x86"
                    "words!",
                    8);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, -ECONNREFUSED);
        g_assert_cmpstr(f->closed_detail, ==, "words!");
        g_assert_cmpuint(f->n_connected, ==, 0);
}

static void test_nobody_listens(Fixture *f, gconstpointer data) {
        EventRequest *request;

        register_one(f, "dropped", 1);
        g_assert_cmpint(event_client_request_query(f->client, &(EventerQuery) { 0 }, on_answer, f, &request),
                        ==, -ENOTCONN);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, -ENOENT);
        settle(f);
        g_assert_cmpuint(f->n_closed, ==, 1);
}

/* Requests that wait are answered first, then it is closed. */
static void test_server_ends(Fixture *f, gconstpointer data) {
        establish(f);
        (void) query_one(f);
        (void) query_one(f);
        settle(f);
        (void) server_read(f);
        f->fd = safe_close(f->fd);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, -ECONNRESET);
        g_assert_cmpuint(f->answers_at_close, ==, 2);
        g_assert_cmpint(f->answer_error[0], ==, -ECONNRESET);
        g_assert_cmpint(f->answer_error[1], ==, -ECONNRESET);
}

static void test_malformed(Fixture *f, gconstpointer data) {
        establish(f);
        server_send(f, NULL, true, "HatEventer.MsgStatusNotify", "\x83", 1);
        server_write(f, "\x01\x03\x00\x00\x00", 5);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpuint(f->n_status, ==, 1); /* what came before it was delivered */
        g_assert_cmpint(f->closed_error, ==, -EBADMSG);
}

static void test_close_before_connected(Fixture *f, gconstpointer data) {
        f->in_call = true;
        event_client_close(f->client, USEC_PER_SEC);
        f->in_call = false;
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, 0);
}

/* Everything registered before a close arrives, also megabytes, also behind a request without answer. */
static void test_close_flushes(Fixture *f, gconstpointer data) {
        ChatterMessage m;
        size_t consume = 0;
        int64_t n = 0;
        bool ended = false;

        establish(f);
        (void) query_one(f);
        for (int i = 0; i < 64; i++)
                register_one(f, "x", 100000);
        f->in_call = true;
        event_client_close(f->client, WAIT_USEC);
        f->in_call = false;
        register_one(f, "too late", 1);

        RUN_UNTIL(f, ended)
        ended = !server_read(f);
        m = server_next(f, &consume);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgQueryReq"));
        while (server_try_next(f, &consume, &m))
                n += count_of(&m);
        g_assert_cmpint(n, ==, 64);
        g_assert_cmpuint(buffer_size(&f->in), ==, consume);

        f->fd = safe_close(f->fd);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, 0);
        g_assert_cmpuint(f->answers_at_close, ==, 1);
        g_assert_cmpint(f->answer_error[0], ==, -ESHUTDOWN);
}

static void test_close_limit(Fixture *f, gconstpointer data) {
        establish(f);
        for (int i = 0; i < 64; i++)
                register_one(f, "x", 100000);
        event_client_close(f->client, 50 * USEC_PER_MSEC);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, -ETIMEDOUT);
}

static void test_congestion(Fixture *f, gconstpointer data) {
        ChatterMessage m;
        size_t consume = 0;
        int64_t sent = 0, n = 0;

        establish(f);
        RUN_UNTIL(f, f->n_congested == 1) {
                register_one(f, "x", 10000);
                sent++;
        }
        g_assert_true(f->congested);
        g_assert_cmpuint(event_client_unsent(f->client), >=, NORTH_PAUSE_BYTES);

        RUN_UNTIL(f, f->n_congested == 2)
        (void) server_read(f);
        g_assert_false(f->congested);
        g_assert_cmpuint(event_client_unsent(f->client), <=, NORTH_RESUME_BYTES);
        RUN_UNTIL(f, n == sent) {
                (void) server_read(f);
                while (server_try_next(f, &consume, &m))
                        n += count_of(&m);
        }
        settle(f);
        g_assert_cmpuint(f->n_congested, ==, 2);
}

/* So much time, at the end of which the server speaks, so that it is not taken for dead. */
static void pass(Fixture *f, usec_t time) {
        clock_move(time);
        settle(f);
        if (f->n_closed > 0)
                return;
        server_send(f, NULL, true, "HatEventer.MsgEventsNotify", "\x80", 1);
        settle(f);
}

/* A server that reads nothing is left, also when it speaks; not one that reads a little now and then. */
static void test_stalled(Fixture *f, gconstpointer data) {
        const usec_t most = NORTH_STALL_USEC / 4 * 3, rest = NORTH_STALL_USEC / 2;
        uint8_t byte[4096];
        size_t unsent;

        establish(f);
        RUN_UNTIL(f, f->n_congested == 1)
        register_one(f, "x", 10000);
        pass(f, most);
        g_assert_cmpuint(f->n_closed, ==, 0);
        unsent = event_client_unsent(f->client);
        RUN_UNTIL(f, event_client_unsent(f->client) < unsent)
        (void) recv(f->fd, byte, sizeof(byte), 0);
        pass(f, most);
        g_assert_cmpuint(f->n_closed, ==, 0);
        pass(f, rest);
        g_assert_cmpuint(f->n_closed, ==, 1);
        g_assert_cmpint(f->closed_error, ==, -ETIMEDOUT);
}

/* What is held back while the server is not operational congests, and is no stall. */
static void test_held(Fixture *f, gconstpointer data) {
        establish(f);
        server_send(f, NULL, true, "HatEventer.MsgStatusNotify", "\x81", 1);
        RUN_UNTIL(f, f->n_status == 1);
        RUN_UNTIL(f, f->n_congested == 1)
        register_one(f, "x", 10000);
        for (unsigned i = 0; i < 3; i++)
                pass(f, NORTH_STALL_USEC / 4 * 3);
        g_assert_cmpuint(f->n_closed, ==, 0);
        server_send(f, NULL, true, "HatEventer.MsgStatusNotify", "\x82", 1);
        RUN_UNTIL(f, f->n_congested == 2)
        (void) server_read(f);
        g_assert_false(f->congested);
}

/* More than the bound in one turn: closed, but never inside the call. */
static void test_unsent_max(Fixture *f, gconstpointer data) {
        establish(f);
        (void) query_one(f);
        for (int i = 0; i < 70; i++)
                register_one(f, "x", 1000000);
        g_assert_cmpuint(f->n_closed, ==, 0);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, -ENOBUFS);
        g_assert_cmpuint(f->answers_at_close, ==, 1);
}

/* A frame of 32 MiB in small pieces takes time in proportion to its size. */
static void test_big_frame(Fixture *f, gconstpointer data) {
        size_t size = 32U << 20;
        g_autofree char *text = g_strnfill(size, '7');
        _cleanup_(buffer_done) Buffer body = { 0 };

        establish(f);
        buffer_append(&body,
                      "\x81\x81\x81\x81\x81\x81"
                      "a\x80\x80\x80\x81\x81",
                      12);
        sbs_write_string(&body, text, size);
        server_send(f, NULL, true, "HatEventer.MsgEventsNotify", (const char *) buffer_begin(&body),
                    buffer_size(&body));
        RUN_UNTIL(f, f->n_events == 1);
}

/* The owner frees the client inside a callback: nothing is called or touched afterwards. */
static void test_free_inside(Fixture *f, gconstpointer data) {
        static const ChatterMessage to = { .first = 1, .owner = true };
        ChatterMessage m;
        size_t consume = 0;

        f->free_at = ((const Setting *) data)->free_at;
        if (f->free_at == FREE_CONNECTED) {
                (void) server_init(f);
                server_send(f, &to, true, "HatEventer.MsgInitRes", "\x80\x82", 2);
        } else {
                establish(f);
                (void) query_one(f);
                register_one(f, "x", 1);
                m = server_next(f, &consume);
                if (f->free_at == FREE_STATUS)
                        server_send(f, NULL, true, "HatEventer.MsgStatusNotify", "\x83", 1);
                else if (f->free_at == FREE_EVENTS)
                        server_send(f, NULL, false, "HatEventer.MsgEventsNotify", "\x80", 1);
                else if (f->free_at == FREE_ANSWER)
                        server_send(f, &m, true, "HatEventer.MsgQueryRes", "\x80\x00", 2);
                else
                        server_write(f, "\x00", 1);
        }
        server_send(f, NULL, true, "HatEventer.MsgStatusNotify", "\x83", 1);
        RUN_UNTIL(f, !f->client);
        settle(f);
        g_assert_cmpuint(f->n_status, ==, f->free_at == FREE_STATUS);
        g_assert_cmpuint(f->n_closed, ==, f->free_at == FREE_CLOSED);
        g_assert_cmpuint(f->n_answers, ==, f->free_at == FREE_ANSWER || f->free_at == FREE_CLOSED);
}

/* Over a given descriptor everything is as over a connection of its own. */
static void test_pair(Fixture *f, gconstpointer data) {
        ChatterMessage m;
        size_t consume = 0;

        establish(f);
        (void) query_one(f);
        register_one(f, "x", 1);
        m = server_next(f, &consume);
        g_assert_true(chatter_message_is(&m, "HatEventer.MsgQueryReq"));
        server_send(f, &m, true, "HatEventer.MsgQueryRes", "\x80\x00", 2);
        m = server_next(f, &consume);
        g_assert_cmpint(count_of(&m), ==, 1);
        RUN_UNTIL(f, f->n_answers == 1);
        f->fd = safe_close(f->fd);
        RUN_UNTIL(f, f->n_closed == 1);
        g_assert_cmpint(f->closed_error, ==, -ECONNRESET);
}

/* A descriptor that is none: nothing was begun. */
static void test_bad_fd(Fixture *f, gconstpointer data) {
        static const EventerInit init = { .client_name = "test" };
        EventClient *client = NULL;

        g_assert_cmpint(event_client_new_fd(f->event, -EBADF, &init, &handler, f, &client), ==, -EBADF);
        g_assert_null(client);
}

/* A request's answer at the end of the connection may free the client too. */
static void test_free_at_last_answer(Fixture *f, gconstpointer data) {
        establish(f);
        (void) query_one(f);
        (void) query_one(f);
        settle(f);
        f->free_at = FREE_ANSWER;
        server_write(f, "\x00", 1);
        RUN_UNTIL(f, !f->client);
        settle(f);
        g_assert_cmpuint(f->n_answers, ==, 1);
        g_assert_cmpuint(f->n_closed, ==, 0);
}

#define ADD(name, data, func) \
        g_test_add("/event-client/" name, Fixture, data, fixture_setup, func, fixture_teardown)

static const Setting nobody_listens = { .nobody_listens = true }, pair = { .pair = true },
                     free_connected = { .free_at = FREE_CONNECTED },
                     free_status = { .free_at = FREE_STATUS }, free_events = { .free_at = FREE_EVENTS },
                     free_answer = { .free_at = FREE_ANSWER }, free_closed = { .free_at = FREE_CLOSED };

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        ADD("notifications", NULL, test_notifications);
        ADD("one-message-a-turn", NULL, test_one_message_a_turn);
        ADD("busy-loop", NULL, test_busy_loop);
        ADD("order", NULL, test_order);
        ADD("cancel", NULL, test_cancel);
        ADD("refused", NULL, test_refused);
        ADD("nobody-listens", &nobody_listens, test_nobody_listens);
        ADD("server-ends", NULL, test_server_ends);
        ADD("malformed", NULL, test_malformed);
        ADD("close-before-connected", NULL, test_close_before_connected);
        ADD("close-flushes", NULL, test_close_flushes);
        ADD("close-limit", NULL, test_close_limit);
        ADD("congestion", NULL, test_congestion);
        ADD("stalled", NULL, test_stalled);
        ADD("held", NULL, test_held);
        ADD("unsent-max", NULL, test_unsent_max);
        ADD("big-frame", NULL, test_big_frame);
        ADD("free-in-connected", &free_connected, test_free_inside);
        ADD("free-in-status", &free_status, test_free_inside);
        ADD("free-in-events", &free_events, test_free_inside);
        ADD("free-in-answer", &free_answer, test_free_inside);
        ADD("free-in-closed", &free_closed, test_free_inside);
        ADD("free-at-last-answer", NULL, test_free_at_last_answer);
        ADD("pair", &pair, test_pair);
        ADD("pair-ends", &pair, test_server_ends);
        ADD("pair-close-flushes", &pair, test_close_flushes);
        ADD("bad-fd", NULL, test_bad_fd);
        return g_test_run();
}
