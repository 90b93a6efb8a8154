/* SPDX-License-Identifier: Apache-2.0 */
/* Eventer, client side (spec wire.md 3): init, status, notifications, registration with and without
 * response, queries. A pure state machine above Chatter: bytes and time in; bytes and calls of its handler
 * out. client.c is the glue. */
#pragma once

#include <sys/uio.h>

#include "base/buffer.h"
#include "base/time.h"
#include "event/event.h"
#include "event/sbs.h"

typedef enum EventerStatus {
        EVENTER_STANDBY,
        EVENTER_STARTING,
        EVENTER_OPERATIONAL,
        EVENTER_STOPPING,
        _EVENTER_STATUS_MAX,
        _EVENTER_STATUS_INVALID = -EINVAL,
} EventerStatus;
DECLARE_STRING_TABLE(eventer_status, EventerStatus);

typedef enum QueryOrder { QUERY_DESCENDING, QUERY_ASCENDING } QueryOrder;
typedef enum QueryOrderBy { QUERY_BY_TIMESTAMP, QUERY_BY_SOURCE_TIMESTAMP } QueryOrderBy;
typedef enum QueryKind { QUERY_LATEST, QUERY_TIMESERIES, QUERY_SERVER } QueryKind;

/* NULL pointers mean "not given". */
typedef struct EventerQuery {
        QueryKind kind;
        const EventType *types; /* latest, timeseries: NULL all; n_types 0 with types not NULL: none */
        size_t n_types;
        const Timestamp *t_from, *t_to, *source_t_from, *source_t_to;
        QueryOrder order;
        QueryOrderBy order_by;
        const int64_t *max_results;
        const EventId *last_event_id;
        int64_t server_id;
        bool persisted;
} EventerQuery;

typedef struct EventerInit {
        const char *client_name;
        const char *client_token;       /* NULL: none */
        const EventType *subscriptions;
        size_t n_subscriptions;
        const int64_t *server_id;
        bool persisted;
} EventerInit;

typedef struct Eventer Eventer;

typedef enum EventerRequestKind { EVENTER_REQUEST_REGISTER, EVENTER_REQUEST_QUERY } EventerRequestKind;

/* One request that waits for its response, embedded in the caller's struct. It must stay where it is until a
 * handler or eventer_steal_request() hands it back. The fields are the eventer's; others may read
 * `conversation`. */
typedef struct EventerRequest {
        GList link;
        EventerRequestKind kind;
        int64_t conversation;
        usec_t deadline;
} EventerRequest;

/* Called inside eventer_receive() and, timed_out() only, eventer_elapse(). Events and texts are borrowed for
 * the call. The callee may use any other eventer function but eventer_free(), eventer_receive() and
 * eventer_elapse(). A request handed over is the callee's again. */
typedef struct EventerHandler {
        void (*accepted)(EventerStatus status, void *userdata);
        void (*refused)(const char *text, size_t size, void *userdata);
        void (*status)(EventerStatus status, void *userdata);
        void (*events)(const Event *events, size_t n, void *userdata);
        /* failure: the server did not register them */
        void (*registered)(EventerRequest *request, bool failure, const Event *events, size_t n,
                           void *userdata);
        void (*result)(EventerRequest *request, const Event *events, size_t n, bool more_follows,
                       void *userdata);
        /* No response within NORTH_REQUEST_USEC; one that comes later is ignored. */
        void (*timed_out)(EventerRequest *request, void *userdata);
} EventerHandler;

/* handler stays the caller's. */
Eventer *eventer_new(const EventerHandler *handler, void *userdata);
/* Requests that still wait are forgotten; eventer_steal_request() before when they matter. */
Eventer *eventer_free(Eventer *e);
DEFINE_CLEANUP(Eventer, eventer_free);

/* Puts the init request into the output; nothing is kept by reference. Must come first, once. */
void eventer_init(Eventer *e, const EventerInit *init);
/* The connection stands: ping supervision begins, and NORTH_REQUEST_USEC for the server to accept. Before it
 * nothing has a deadline. */
void eventer_connected(Eventer *e, usec_t now);
/* Consumes whole frames, returns how many bytes are done with. <0: close the connection (-EBADMSG,
 * -EMSGSIZE, -EPROTO unexpected message, -ECONNREFUSED after refused()). */
int64_t eventer_receive(Eventer *e, const uint8_t *data, size_t size, usec_t now);
/* No handler is called any more, also for messages that the running eventer_receive() still has. */
void eventer_end(Eventer *e);

/* What is to be sent, in order: up to EVENTER_OUTPUT_MAX parts, how many of them is returned. A flushed
 * batch is a part of its own and is never copied to put its header in front. Valid until the next call; the
 * glue hands all of it to the kernel with one writev() and then calls eventer_output_sent(). */
#define EVENTER_OUTPUT_MAX 3
size_t eventer_output(const Eventer *e, struct iovec ret[static EVENTER_OUTPUT_MAX]);
size_t eventer_output_size(const Eventer *e);
void eventer_output_sent(Eventer *e);

/* Adds one event to the batch that eventer_flush() sends as one registration without response. type = prefix
 * then the NULL-terminated subtypes. Encoded here, once; nothing is kept by reference. source and payload
 * may be NULL. The JSON text is not checked. A batch is flushed by itself before it exceeds
 * EVENTER_BATCH_MAX; while the server is not operational the batch is held, up to one frame. -EMSGSIZE: the event
 * does not fit in a frame, -ENOBUFS: nor into the held batch; nothing happened. */
#define EVENTER_BATCH_MAX (1U << 20)
int eventer_register(Eventer *e, EventType prefix, const char *const *subtypes, const Timestamp *source,
                     const Payload *payload);
size_t eventer_batch_size(const Eventer *e);    /* bytes in the batch */
size_t eventer_held_size(const Eventer *e);     /* the same while it is held, else 0 */
void eventer_flush(Eventer *e);                 /* nothing when the batch is empty or held */
/* Sends the batch, also an empty one, as one registration with response. */
void eventer_flush_request(Eventer *e, usec_t now, EventerRequest *request);
/* One registration with response of one event; flushes the batch first, so order holds. -EMSGSIZE as above,
 * -EHOSTDOWN: the server is not operational. */
int eventer_request_register(Eventer *e, EventType prefix, const char *const *subtypes, const Timestamp *source,
                             const Payload *payload, usec_t now, EventerRequest *request);
/* Flushes the batch first too. max_results >= 0, ids of a server query >= 0 and of that server (else the
 * server closes). -EMSGSIZE. */
int eventer_request_query(Eventer *e, const EventerQuery *query, usec_t now, EventerRequest *request);
/* Takes the oldest request that waits, NULL when none does: the connection is over. */
EventerRequest *eventer_steal_request(Eventer *e);

/* Pings, the wait for init, requests without answer. */
usec_t eventer_deadline(const Eventer *e);
/* -ETIMEDOUT: the server is gone, or did not answer the init request. */
int eventer_elapse(Eventer *e, usec_t now);

/* Decoder of Event. subtypes (of Subtype) receives the type's subtypes behind those it has;
 * ret->type.subtypes is valid until it grows. Microseconds outside 0 to 999999 are clamped. -EBADMSG,
 * -EMSGSIZE: more subtypes than a message may hold. */
int event_decode(SbsReader *r, GArray *subtypes, Event *ret);
