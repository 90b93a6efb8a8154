/* SPDX-License-Identifier: Apache-2.0 */
/* Eventer, server side of one connection (spec wire.md 3 and 5): a pure state machine above Chatter. Bytes
 * and time in; bytes and calls of its handler out. It knows neither store nor other clients; connection.c is
 * the glue. */
#pragma once

#include "event/server/peer-codec.h"

typedef struct Peer Peer;

#define PEER_INIT_MAX (2U << 20)                /* bytes of a frame before the client was accepted: CONF_DEVICES_MAX
                                                 * subscriptions with the longest names */
#define PEER_INIT_USEC (10 * USEC_PER_SEC)      /* from the beginning to its init request */
#define PEER_REFUSED_USEC (500 * USEC_PER_MSEC) /* a refused client that does not close is closed (wire.md 3.6) */

/* Called inside peer_receive(). Everything is borrowed for the call. The callee may use any other peer
 * function but peer_free(), peer_receive() and peer_elapse(). */
typedef struct PeerHandler {
        /* Answered inside the call by peer_accept() or peer_refuse(). The query types of the subscriptions
         * are not checked. */
        void (*init)(const PeerInit *init, void *userdata);
        /* conversation: for peer_answer_registered(), when wants_response */
        void (*registration)(const Event *events, size_t n, bool wants_response, int64_t conversation, void *userdata);
        /* Answered by peer_answer_query(), inside the call or later: until then nothing more of the client is
         * read (peer_is_waiting()). <0: the connection is to be closed. */
        int (*query)(const EventerQuery *query, void *userdata);
} PeerHandler;

Peer *peer_new(usec_t now, const PeerHandler *handler, void *userdata);
Peer *peer_free(Peer *p);
DEFINE_CLEANUP(Peer, peer_free);

/* Takes whole messages from the front of data; returns the bytes done with, or <0, which closes the
 * connection: -EBADMSG, -EMSGSIZE, -EPROTO (a message that does not belong here). Returns early while a query
 * waits. */
int64_t peer_receive(Peer *p, const uint8_t *data, size_t size, usec_t now);
bool peer_is_accepted(const Peer *p);
bool peer_is_waiting(const Peer *p); /* for peer_answer_query() */

void peer_accept(Peer *p, EventerStatus status);
void peer_refuse(Peer *p, const char *text);
/* These only for an accepted one. */
void peer_send_status(Peer *p, EventerStatus status);
/* Array(Event): a count, then the encoded events. */
void peer_notify(Peer *p, size_t n, const void *events, size_t size);
/* events: Array(Event) with its count; NULL: failure. */
void peer_answer_registered(Peer *p, int64_t conversation, const void *events, size_t size);
void peer_answer_query(Peer *p, const void *result, size_t size); /* QueryResult */

/* What is to be sent, owned by the peer; the caller consumes it. */
Buffer *peer_output(Peer *p);
/* Supervision, init, refusal. -ETIMEDOUT: close the connection (also after a refusal). */
usec_t peer_deadline(const Peer *p);
int peer_elapse(Peer *p, usec_t now);
/* The caller does not read the client for now (true), or does again. Meanwhile, as while a query waits, its
 * silence is not held against it, and it hears pings, so that it does not take us for dead: peer_elapse() is
 * to be called as ever. */
void peer_set_unread(Peer *p, bool unread);
