/* SPDX-License-Identifier: Apache-2.0 */
/* An embedded event server with a database in a folder of its own, and clients of it, all in one loop. */
#pragma once

#include "event/server/server.h"
#include "tests/unit/raw-client.h"

#define CLIENTS_MAX 8U

typedef struct Fixture {
        sd_event *event;
        char *folder, *path, *socket;
        EventServerOptions options;
        EventServer *server;
        unsigned n_changed, n_stopped;
        RawClient clients[CLIENTS_MAX];
        size_t n_clients;
} Fixture;

static inline void on_changed(void *userdata) {
        Fixture *f = userdata;

        f->n_changed++;
}

static inline void on_stopped(void *userdata) {
        Fixture *f = userdata;

        f->n_stopped++;
}

static inline void start(Fixture *f) {
        static const EventServerHandler handler = { .changed = on_changed };
        const Address address = { .kind = ADDRESS_UNIX, .path = f->socket };

        g_assert_cmpint(event_server_new(f->event, &f->options, &handler, f, &f->server), ==, 0);
        g_assert_cmpint(event_server_listen(f->server, &address), ==, 0);
}

static inline void stop(Fixture *f) {
        f->server = event_server_free(f->server);
}

static inline void fixture_setup(Fixture *f, gconstpointer data) {
        f->event = loop_new();
        f->folder = g_dir_make_tmp("event-server-XXXXXX", NULL);
        f->path = g_build_filename(f->folder, "events.db", NULL);
        f->socket = g_build_filename(f->folder, "eventer.sock", NULL);
        f->options = (EventServerOptions) {
                .server_id = 1,
                .store = { .path = f->path, .max_age = USEC_INFINITY, .max_events = -1, .max_bytes = -1 },
        };
        start(f);
}

static inline void remove_all(const char *folder) {
        GDir *dir = g_dir_open(folder, 0, NULL);
        const char *name;

        while ((name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename(folder, name, NULL);

                (void) unlink(path);
        }
        g_dir_close(dir);
        g_assert_cmpint(rmdir(folder), ==, 0);
}

static inline void fixture_teardown(Fixture *f, gconstpointer data) {
        for (size_t i = 0; i < f->n_clients; i++)
                raw_client_done(f->clients + i);
        stop(f);
        f->event = sd_event_unref(f->event);
        remove_all(f->folder);
        g_free(f->folder);
        g_free(f->path);
        g_free(f->socket);
}

/* ---- clients ----------------------------------------------------------------------------------------- */

static inline RawClient *client_new(Fixture *f) {
        RawClient *c = f->clients + f->n_clients++;

        g_assert_cmpuint(f->n_clients, <=, CLIENTS_MAX);
        raw_client_connect(c, f->event, f->socket);
        return c;
}

/* subscription: NULL: none. */
static inline void client_init(RawClient *c, const char *name, const char *subscription, bool persisted) {
        g_auto(GStrv) parts = g_strsplit(subscription ?: "", "/", -1);
        Subtype subtypes[16];
        EventType type = raw_type(subscription, parts, subtypes);
        EventerInit init = raw_init(name, subscription ? &type : NULL);

        init.persisted = persisted;
        raw_client_init_request(c, &init);
}

static inline RawClient *client(Fixture *f, const char *name, const char *subscription) {
        RawClient *c = client_new(f);

        client_init(c, name, subscription, false);
        raw_client_expect(c, "init operational");
        return c;
}

static inline void register_bytes(RawClient *c, size_t size) {
        g_autofree char *digits = g_strnfill(size, '1'), *event = g_strdup_printf("x=\"%s\"", digits);

        raw_client_register(c, false, event);
}

#define ADD(name, func) g_test_add("/event-server/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
