/* SPDX-License-Identifier: Apache-2.0 */
/* An eventer client of the simplest kind over a descriptor, in the same loop as the server that is tested: it sends what the test says
 * and keeps what comes as text, one entry a message:
 *   init operational | refused TEXT | status stopping | events 3:1 a/b=1, 3:2 a/c | registered 2 | failure | result 2 | result 2 more
 * (session:instance type=payload). */
#pragma once

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "event/chatter.h"
#include "event/eventer-codec.h"
#include "tests/unit/loop.h"

typedef struct RawClient {
        sd_event *event;
        int fd;
        Chatter chatter;
        Buffer in;
        GPtrArray *lines; /* what came and was not expected yet */
        GArray *times;    /* of Timestamp: of every event that came */
        bool ended, mute; /* mute: reads nothing */
} RawClient;

static inline void raw_client_init(RawClient *c, sd_event *event, int fd) {
        *c = (RawClient) { .event = event, .fd = fd };
        chatter_init(&c->chatter, 0);
        c->lines = g_ptr_array_new_with_free_func(g_free);
        c->times = g_array_new(false, false, sizeof(Timestamp));
}

static inline void raw_client_done(RawClient *c) {
        if (!c->lines)
                return;
        c->fd = safe_close(c->fd);
        buffer_done(&c->in);
        g_ptr_array_unref(c->lines);
        g_array_unref(c->times);
        c->lines = NULL;
}

static inline void raw_client_connect(RawClient *c, sd_event *event, const char *path) {
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpuint(g_strlcpy(sun.sun_path, path, sizeof(sun.sun_path)), <, sizeof(sun.sun_path));
        g_assert_cmpint(connect(fd, (struct sockaddr *) &sun, sizeof(sun)), ==, 0);
        raw_client_init(c, event, fd);
}

/* ---- what comes -------------------------------------------------------------------------------------- */

static inline void raw_client_add(RawClient *c, char *line) {
        g_ptr_array_add(c->lines, line);
}

static inline size_t raw_events(RawClient *c, SbsReader *r, GString *text) {
        EventList list;
        const Event *events;
        size_t n;

        event_list_init(&list);
        g_assert_cmpint(event_list_decode(&list, r), ==, 0);
        events = (const Event *) (void *) list.events->data;
        n = list.events->len;
        for (size_t i = 0; i < n; i++) {
                g_autofree char *type = event_type_format(events[i].type);

                g_array_append_val(c->times, events[i].timestamp);
                if (!text)
                        continue;
                g_string_append_printf(text, "%s%" PRId64 ":%" PRId64 " %s", i > 0 ? ", " : "", events[i].id.session,
                                       events[i].id.instance, type);
                if (events[i].payload.kind == PAYLOAD_JSON && events[i].payload.json.size < 100)
                        g_string_append_printf(text, "=%.*s", (int) events[i].payload.json.size,
                                               events[i].payload.json.text);
        }
        event_list_done(&list);
        return n;
}

static inline void raw_client_message(RawClient *c, const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };
        unsigned choice = 0;
        bool more = false;
        const char *text;
        size_t size, n;

        if (chatter_message_is(m, "HatEventer.MsgEventsNotify")) {
                GString *line = g_string_new("events ");

                g_assert_true(m->last && m->owner);
                (void) raw_events(c, &r, line);
                raw_client_add(c, g_string_free(line, false));
        } else if (chatter_message_is(m, "HatEventer.MsgStatusNotify")) {
                g_assert_cmpint(sbs_read_choice(&r, _EVENTER_STATUS_MAX, &choice), ==, 0);
                raw_client_add(c, g_strdup_printf("status %s", eventer_status_to_string((EventerStatus) choice)));
        } else if (chatter_message_is(m, "HatEventer.MsgInitRes")) {
                g_assert_cmpint(sbs_read_choice(&r, 2, &choice), ==, 0);
                if (choice == 0) {
                        g_assert_cmpint(sbs_read_choice(&r, _EVENTER_STATUS_MAX, &choice), ==, 0);
                        raw_client_add(c, g_strdup_printf("init %s", eventer_status_to_string((EventerStatus) choice)));
                } else {
                        g_assert_cmpint(sbs_read_string(&r, &text, &size), ==, 0);
                        raw_client_add(c, g_strdup_printf("refused %.*s", (int) size, text));
                }
        } else if (chatter_message_is(m, "HatEventer.MsgRegisterRes")) {
                g_assert_false(m->owner);
                g_assert_cmpint(sbs_read_choice(&r, 2, &choice), ==, 0);
                raw_client_add(c, choice == 1 ? g_strdup("failure")
                                              : g_strdup_printf("registered %zu", raw_events(c, &r, NULL)));
        } else {
                g_assert_true(chatter_message_is(m, "HatEventer.MsgQueryRes"));
                n = raw_events(c, &r, NULL);
                g_assert_cmpint(sbs_read_boolean(&r, &more), ==, 0);
                raw_client_add(c, g_strdup_printf(more ? "result %zu more" : "result %zu", n));
        }
}

/* Takes what has come; nothing blocks. */
static inline void raw_client_read(RawClient *c) {
        _cleanup_(buffer_done) Buffer pongs = { 0 };
        ChatterMessage m;
        size_t used;
        int r;

        while (!c->ended && !c->mute) {
                uint8_t *p = buffer_reserve(&c->in, 64 << 10);
                ssize_t n = recv(c->fd, p, 64 << 10, MSG_DONTWAIT);

                if (n < 0 && errno == EAGAIN)
                        break;
                c->ended = n <= 0;
                buffer_commit(&c->in, (size_t) MAX(n, 0));
        }
        do {
                r = chatter_receive(&c->chatter, buffer_begin(&c->in), buffer_size(&c->in), 0, &pongs, &used, &m);
                g_assert_cmpint(r, >=, 0);
                if (r > 0)
                        raw_client_message(c, &m);
                buffer_consume(&c->in, used);
        } while (used > 0);
}

static inline bool raw_client_has_line(RawClient *c) {
        raw_client_read(c);
        return c->lines->len > 0;
}

static inline bool raw_client_has_ended(RawClient *c) {
        raw_client_read(c);
        return c->ended;
}

/* The next message must be this one. */
static inline void raw_client_expect(RawClient *c, const char *line) {
        LOOP_UNTIL(c->event, raw_client_has_line(c) || c->ended);
        g_assert_cmpuint(c->lines->len, >, 0);
        g_assert_cmpstr(c->lines->pdata[0], ==, line);
        g_ptr_array_remove_index(c->lines, 0);
}

/* The end of the connection must come, with no message before it. */
static inline void raw_client_expect_end(RawClient *c) {
        LOOP_UNTIL(c->event, raw_client_has_line(c) || c->ended);
        g_assert_cmpuint(c->lines->len, ==, 0);
        g_assert_true(c->ended);
}

/* ---- what goes --------------------------------------------------------------------------------------- */

static inline void raw_client_write(RawClient *c, const void *data, size_t size) {
        while (size > 0) {
                ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno != EAGAIN)
                        return; /* the server does not want it */
                if (n < 0)
                        g_assert_cmpint(sd_event_run(c->event, USEC_PER_MSEC), >=, 0);
                raw_client_read(c);
                data = (const uint8_t *) data + MAX(n, 0);
                size -= (size_t) MAX(n, 0);
        }
}

static inline void raw_client_send(RawClient *c, bool last, const char *type, const Buffer *body) {
        _cleanup_(buffer_done) Buffer out = { 0 };

        (void) chatter_send(&c->chatter, last, type, buffer_begin(body), buffer_size(body), &out);
        raw_client_write(c, buffer_begin(&out), buffer_size(&out));
}

/* `a/b/?`: no subtype holds a slash. Split into ret. */
static inline EventType raw_type(const char *text, char **parts, Subtype ret[static 16]) {
        size_t n = 0;

        for (; parts[n]; n++)
                ret[n] = (Subtype) { parts[n], strlen(parts[n]) };
        return (EventType) { ret, n };
}

static inline void raw_client_init_request(RawClient *c, const EventerInit *init) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        init_request_encode(&b, init);
        raw_client_send(c, false, "HatEventer.MsgInitReq", &b);
}

/* One subscription, or NULL: none. */
static inline EventerInit raw_init(const char *name, EventType *subscription) {
        return (EventerInit) { .client_name = name, .subscriptions = subscription, .n_subscriptions = subscription ? 1 : 0 };
}

/* Several events in one request: a list of texts, each a type with its payload behind a `=`, ended by NULL. */
static inline void raw_client_register_list(RawClient *c, bool wants_response, const char *const *events) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        size_t n = 0;

        while (events[n])
                n++;
        sbs_write_integer(&b, (int64_t) n);
        for (size_t i = 0; i < n; i++) {
                const char *json = strchr(events[i], '=');
                g_autofree char *type = json ? g_strndup(events[i], (size_t) (json - events[i])) : g_strdup(events[i]);
                g_auto(GStrv) parts = g_strsplit(type, "/", -1);
                Payload payload = { .kind = PAYLOAD_JSON };

                if (json)
                        payload.json = (JsonSpan) { json + 1, strlen(json + 1) };
                register_event_encode(&b,
                                      register_event_bound((EventType) { 0 }, (const char *const *) parts, &payload),
                                      (EventType) { 0 }, (const char *const *) parts, NULL, json ? &payload : NULL);
        }
        raw_client_send(c, !wants_response, "HatEventer.MsgRegisterReq", &b);
}

#define raw_client_register(c, wants_response, ...)                                                         \
        raw_client_register_list(c, wants_response, (const char *const[]) { __VA_ARGS__ __VA_OPT__(, ) NULL })

static inline void raw_client_query(RawClient *c, const EventerQuery *query) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        query_encode(&b, query);
        raw_client_send(c, false, "HatEventer.MsgQueryReq", &b);
}

/* Everything that the server has registered itself or been told, by a query: as many events. */
static inline void raw_client_query_all(RawClient *c) {
        raw_client_query(c, &(EventerQuery) { .kind = QUERY_SERVER, .server_id = 1 });
}
