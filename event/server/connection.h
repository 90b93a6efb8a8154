/* SPDX-License-Identifier: Apache-2.0 */
/* One client of the embedded event server: the glue between Peer, Stream and the loop. Reads only what it
 * may, writes what a turn of the loop made with one write at its end, bounds what is unsent. Internal to the
 * server. Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/deadline.h"
#include "event/server/peer.h"
#include "event/server/storage.h"
#include "event/server/subscription.h"
#include "link/stream.h"

typedef struct Connection Connection;

#define CONNECTION_WRITE_SIZE (256U << 10)      /* so much does not wait for the end of the turn */

typedef enum ConnectionKind {
        CONNECTION_OWN,         /* the other end of our socket pair */
        CONNECTION_UNIX,
        CONNECTION_TCP,
} ConnectionKind;

/* What the connections of one server share; each keeps its part of the sums itself. All zero at first,
 * outlives them. */
typedef struct ConnectionPool {
        bool congested;         /* nobody is read */
        size_t n;               /* connections */
        size_t held;            /* bytes of unfinished input and unsent output, of all: EVENT_SERVER_HELD_MAX */
} ConnectionPool;

/* The first three are called inside the stream's callbacks. The callee must not free the connection in any
 * of them. */
typedef struct ConnectionHandler {
        void (*init)(Connection *c, const PeerInit *init, void *userdata); /* connection_accept() or connection_refuse(), inside */
        void (*registration)(Connection *c, const Event *events, size_t n, bool wants_response, int64_t conversation,
                             void *userdata);
        int (*query)(Connection *c, const EventerQuery *query, void *userdata); /* connection_answer_query(), later */
        void (*dirty)(Connection *c, void *userdata); /* connection_flush() is to be called at the end of this turn */
} ConnectionHandler;

struct Connection {
        const ConnectionHandler *handler;
        void *userdata;
        ConnectionPool *pool;
        sd_event *event;
        Stream *stream;
        Peer *peer;
        Deadline *deadline;
        ConnectionKind kind;
        Subscription *subscription;
        bool persisted;         /* wants only what is on disk */
        bool deaf;              /* accepted with the id of another server: no events */

        bool flushing, ended;   /* ended: to be freed at the end of the turn */
        bool paused, leftover;  /* reading is off; the stream holds bytes that can be processed later */
        bool inside;            /* peer_receive() runs */
        int error;              /* why it ended: 0 the client closed */
        size_t unsent_notified, unsent_other; /* by kind; see connection_account() */
        size_t unread, held;    /* unfinished input that the stream keeps; its part of the pool's sum */

        /* The server's. */
        GList link, dirty_link;
        bool is_dirty, refused;
        char *who;              /* for people: `tcp HOST:PORT`, `pid 17, uid 0` */
        char *name;             /* the client's, name_size bytes, which may be anything; NULL before it was accepted */
        size_t name_size;
        int64_t own_session;    /* of its CONNECTED event */
        unsigned n_unanswered;  /* registrations in the queue; it is not read while there are too many */
        StorageQuery *query;
};

/* One session as it is sent out. */
typedef struct SessionView {
        int64_t number;
        size_t n;
        const uint8_t *bytes;   /* the encoded events, one behind the other */
        size_t size;
        const Event *events;    /* n, decoded; their ids need not be right */
        const uint32_t *ends;   /* n: where each ends in bytes */
} SessionView;

/* Takes fd over on success only. who: taken over in any case. */
int connection_new(sd_event *event, int fd, ConnectionKind kind, char *who, ConnectionPool *pool,
                   const ConnectionHandler *handler, void *userdata, Connection **ret);
Connection *connection_free(Connection *c);
DEFINE_CLEANUP(Connection, connection_free);

/* Inside init(). deaf: no event has an id of that server. */
void connection_accept(Connection *c, EventerStatus status, const PeerInit *init, bool deaf);
void connection_refuse(Connection *c, const char *text);
static inline bool connection_is_accepted(const Connection *c) {
        return !c->ended && !c->flushing && peer_is_accepted(c->peer);
}

/* All of these do nothing when the client is not accepted, or no more. scratch: memory for the call. */
void connection_notify(Connection *c, const SessionView *view, Buffer *scratch);
void connection_send_status(Connection *c, EventerStatus status);
void connection_answer_registered(Connection *c, int64_t conversation, const Session *session); /* NULL: failure */
void connection_answer_query(Connection *c, const Buffer *result);

/* Reads on, if nothing is in the way any more. */
void connection_resume(Connection *c);
/* Writes, judges, sets the deadline. Not for one that ended. */
void connection_flush(Connection *c);
/* No more messages of the client; what is unsent leaves within limit. */
void connection_close_flushed(Connection *c, usec_t limit);
/* dirty() is called, ended is set; nothing else happens in this turn. Cut off: -ENOBUFS it does not read,
 * -EDQUOT it held too much. */
void connection_end(Connection *c, int error);
