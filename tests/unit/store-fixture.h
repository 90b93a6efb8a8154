/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a folder of its own, with its model: for the tests of the event store. */
#pragma once

#include <glib/gstdio.h>

#include "base/buffer.h"
#include "tests/unit/store-model.h"

typedef struct Fixture {
        char *folder, *path;
        StoreOptions options;
        Store *store;
        StoreModel model;
        EventId id;             /* of the last event */
        Timestamp time;
} Fixture;

static _unused_ void fixture_open(Fixture *f) {
        g_autofree char *detail = NULL;
        int r = store_open(&f->options, &f->store, &detail);

        if (r < 0)
                g_error("store_open: %s: %s", g_strerror(-r), detail);
}

static _unused_ void fixture_reopen(Fixture *f) {
        f->store = store_close(f->store);
        f->model.committed = f->model.events->len;
        fixture_open(f);
}

static _unused_ void fixture_init(Fixture *f) {
        *f = (Fixture) { .folder = g_dir_make_tmp("store-XXXXXX", NULL), .id = { .server = 1 }, .time = { .s = 1000 } };
        g_assert_nonnull(f->folder);
        f->path = g_build_filename(f->folder, "events.db", NULL);
        f->options = (StoreOptions) { .path = f->path, .max_age = USEC_INFINITY, .max_events = -1, .max_bytes = -1 };
        store_model_init(&f->model);
}

static _unused_ void fixture_done(Fixture *f) {
        g_autoptr(GDir) folder = NULL;
        const char *name;

        f->store = store_close(f->store);
        folder = g_dir_open(f->folder, 0, NULL);
        while ((name = g_dir_read_name(folder))) {
                g_autofree char *path = g_build_filename(f->folder, name, NULL);

                (void) g_unlink(path);
        }
        g_assert_cmpint(g_rmdir(f->folder), ==, 0);
        store_model_done(&f->model);
        g_free(f->folder);
        g_free(f->path);
}
#define _fixture_ _cleanup_(fixture_done) Fixture

/* The next event: a type of one subtype, no payload; the caller may change it. */
static _unused_ Event fixture_event(Fixture *f, const Subtype *subtype) {
        f->id.instance++;
        return (Event) { .id = f->id, .type = { .subtypes = subtype, .n = 1 }, .timestamp = f->time };
}

static _unused_ void fixture_session(Fixture *f) {
        f->id.session++;
        f->id.instance = 0;
        f->time.s++;
}

static _unused_ int fixture_try(Fixture *f, const Event *events, size_t n) {
        int r = store_write(f->store, events, n);

        for (size_t i = 0; r >= 0 && i < n; i++)
                store_model_add(&f->model, events + i);
        if (r >= 0 && f->options.max_events == 0)
                f->model.first = f->model.events->len;
        return r;
}

/* A session of one event. */
static _unused_ int fixture_try_one(Fixture *f, const Subtype *subtype, const Payload *payload) {
        Event e;

        fixture_session(f);
        e = fixture_event(f, subtype);
        if (payload)
                e.payload = *payload;
        return fixture_try(f, &e, 1);
}

static _unused_ void fixture_write(Fixture *f, const Event *events, size_t n) {
        g_assert_cmpint(fixture_try(f, events, n), ==, 0);
}

static _unused_ int fixture_try_commit(Fixture *f) {
        int r = store_commit(f->store);

        if (r >= 0)
                f->model.committed = f->model.events->len;
        else
                store_model_undo(&f->model, f->model.committed);
        return r;
}

static _unused_ void fixture_commit(Fixture *f) {
        g_assert_cmpint(fixture_try_commit(f), ==, 0);
}

/* Sessions of 100 events, of which each has one of n_types types; every third has a source time that goes up and down. */
static _unused_ void fixture_fill(Fixture *f, unsigned n, unsigned n_types) {
        for (unsigned at = 0; at < n;) {
                Event events[100];
                Subtype subtypes[100];
                char names[100][16];
                unsigned i;

                fixture_session(f);
                for (i = 0; i < 100 && at < n; i++, at++) {
                        int size = g_snprintf(names[i], sizeof names[i], "type-%u", at % n_types);

                        subtypes[i] = (Subtype) { names[i], (size_t) size };
                        events[i] = fixture_event(f, subtypes + i);
                        events[i].has_source = at % 3 == 0;
                        if (events[i].has_source)
                                events[i].source = (Timestamp) { .s = (int64_t) at * 7919 % 1000, .us = (int32_t) (at % 2) };
                }
                fixture_write(f, events, i);
        }
}

static _unused_ void fixture_trim(Fixture *f) {
        int r;

        do
                r = store_trim(f->store, f->time);
        while (r > 0);
        g_assert_cmpint(r, ==, 0);
}

static _unused_ void fixture_check(Fixture *f, const EventerQuery *q) {
        store_model_query(&f->model, f->store, q);
}

/* Everything that can be read, compared. */
static _unused_ void fixture_check_all(Fixture *f) {
        fixture_check(f, &(EventerQuery) { .kind = QUERY_LATEST });
        fixture_check(f, &(EventerQuery) { .kind = QUERY_SERVER, .server_id = 1 });
        for (unsigned i = 0; i < 4; i++)
                fixture_check(f, &(EventerQuery) { .kind = QUERY_TIMESERIES, .order = (QueryOrder) (i & 1),
                                                   .order_by = (QueryOrderBy) (i >> 1) });
}
