/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded event server (spec embedded.md): what hat-event is to its clients (wire.md 5), over unix
 * sockets, TCP, passed sockets and socket pairs. Owns the storage, the listeners and the connections. Loop
 * thread; only event_server_new() and the last step of stopping wait for the disk. */
#pragma once

#include <systemd/sd-event.h>

#include "event/server/storage.h"
#include "link/address.h"

typedef struct EventServer EventServer;

typedef struct EventServerInitial {
        EventType type;
        JsonSpan payload;       /* absent: none */
} EventServerInitial;

typedef struct EventServerOptions {
        int64_t server_id;
        const char *client_token;       /* NULL: none. Asked of TCP clients; one that is given is always compared (wire.md 3.6) */
        StoreOptions store;
        bool set_aside;                 /* a corrupt database is renamed, and an empty one takes its place */
} EventServerOptions;

typedef struct EventServerHandler {
        void (*changed)(void *userdata); /* event_server_get_trouble() says something else */
        /* The database turned out damaged (logged). damaged: nothing is taken any more, the server is to be
         * stopped. emptied, with set_aside: an empty one took its place and clients were disconnected;
         * initial events are to be registered again. */
        void (*damaged)(void *userdata);
        void (*emptied)(void *userdata);
} EventServerHandler;

/* Opens the database; logs what is wrong with it and what to do. Strings are copied. The status is
 * operational at once: `engine` STARTED is registered. */
int event_server_new(sd_event *event, const EventServerOptions *options, const EventServerHandler *handler, void *userdata,
                     EventServer **ret);
EventServer *event_server_free(EventServer *s); /* hard end: what waits is still committed */
DEFINE_CLEANUP(EventServer, event_server_free);
/* Registers each one whose type has no event yet. Before anybody connects. -EFBIG: STORE_EVENT_MAX, or more
 * than fits in one message. */
int event_server_register_initial(EventServer *s, const EventServerInitial *initial, size_t n);

/* As listener_open() and listener_borrow(); several of each are fine. TCP: a numeric host, or localhost.
 * Errors are the caller's to log. */
int event_server_listen(EventServer *s, const Address *address);
int event_server_listen_fd(EventServer *s, int fd);
/* A client's end of a socket pair, the caller's to close. -ESHUTDOWN: the server is stopping. */
int event_server_connect(EventServer *s, int *ret_fd);
/* Where others can connect: the first unix socket, else the first TCP address that was really bound, as
 * `unix:PATH` or `tcp:HOST:PORT`; "": nowhere. Borrowed. */
const char *event_server_get_address(const EventServer *s);
/* NULL, or a sentence: the disk takes nothing. Borrowed. */
const char *event_server_get_trouble(const EventServer *s);
typedef struct EventServerCounters {
        uint64_t clients, refused, cut;         /* now; ever turned away; ever cut off: did not read, held too much */
        uint64_t events, dropped;               /* registered; sessions lost because the disk took nothing */
        uint64_t held;                          /* bytes now: EVENT_SERVER_HELD_MAX */
} EventServerCounters;
EventServerCounters event_server_get_counters(const EventServer *s);

/* As storage_export(). -ETXTBSY: fd is the database itself, or a file that belongs to it. */
int event_server_export(EventServer *s, int fd, CopierCallback callback, void *userdata);

/* Orderly end: no new clients, status stopping, `engine` STOPPED, everything committed and written out, then
 * stopped(), in a later turn, at the latest after limit. */
void event_server_stop(EventServer *s, usec_t limit, void (*stopped)(void *userdata), void *userdata);
