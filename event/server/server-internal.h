/* SPDX-License-Identifier: Apache-2.0 */
/* What server.c (life, listeners, clients) and sessions.c (registrations, their order, notifications) share.
 * Loop thread. */
#pragma once

#include "base/deadline.h"
#include "base/rate-limit.h"
#include "base/turn-end.h"
#include "event/eventer-codec.h"
#include "event/server/connection.h"
#include "event/server/server.h"
#include "link/listener.h"

struct EventServer {
        sd_event *event;
        EventServerHandler handler;
        void *userdata;
        int64_t server_id;
        char *client_token;     /* NULL: none */
        char *path;             /* of the database */
        Storage *storage;
        EventerStatus status;

        GPtrArray *listeners;   /* of Listener */
        char *unix_address, *tcp_address; /* the first of each, NULL: none */
        GQueue connections, dirty; /* by their links */
        unsigned n_persisted;   /* clients that want to know what is on disk */
        ConnectionPool pool;
        TurnEnd *flush;         /* of the dirty ones, and of what the owner is to hear */
        EventServerCounters counters;
        RateLimit client_lines, disk_lines;
        char *trouble;
        bool trouble_logged, changed;
        uint64_t dropped_told; /* sessions that the log has counted */
        bool damaged, emptied;  /* the owner is to hear of it */

        int64_t session;        /* the last one given */
        Timestamp timestamp;    /* its */
        bool clock_behind;      /* the log says so */
        GQueue order;           /* sessions that wait to be notified, by their link of that name */
        uint64_t n_stored;      /* sessions that the storage has */
        Buffer encoded, scratch;
        GArray *ends;           /* of uint32_t */
        EventList decoded;

        bool stopping, closing; /* what was registered is being committed; clients are being closed */
        Deadline *limit;
        void (*stopped)(void *userdata);
        void *stopped_userdata;
};

/* ---- sessions.c -------------------------------------------------------------------------------------- */

void sessions_set_up(EventServer *s, const StoreHead *head);
void sessions_tear_down(EventServer *s); /* before the storage is closed */
/* What a client registered. */
void sessions_register(EventServer *s, Connection *owner, const Event *events, size_t n, bool wants_response,
                       int64_t conversation);
/* What the server itself registers, as one session without response. Returns its number. */
int64_t sessions_register_own(EventServer *s, const Event *events, size_t n);
void sessions_on_written(Session *session, int error, void *userdata);
/* The client is gone. */
void sessions_forget(EventServer *s, Connection *c);

/* ---- server-store.c ---------------------------------------------------------------------------------- */

/* <0: logged. */
int server_open_store(const EventServerOptions *options, Store **ret);
bool server_may_set_aside(const EventServerOptions *options);
void server_log_store_error(const char *path, int error, const char *detail);
void server_log_set_aside(const char *path, const char *aside);

/* ---- server.c ---------------------------------------------------------------------------------------- */

/* The client registered `what`, which was not taken. */
void server_log_refused(EventServer *s, const Connection *c, const char *what);
