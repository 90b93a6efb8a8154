/* SPDX-License-Identifier: Apache-2.0 */
/* Eventer, client side (spec wire.md 3): init, status, notifications, registration with and without response, queries. A
 * pure state machine above Chatter: bytes and time in; bytes and calls of its handler out. event-client.c is the glue. */
#pragma once

#include "base/buffer.h"
#include "base/time.h"
#include "event/chatter.h"
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

/* Called inside eventer_receive(). Events and texts are borrowed for the call. The callee may use any other eventer function but
 * eventer_free() and eventer_receive(). */
typedef struct EventerHandler {
        void (*accepted)(EventerStatus status, void *userdata);
        void (*refused)(const char *text, size_t size, void *userdata);
        void (*status)(EventerStatus status, void *userdata);
        void (*events)(const Event *events, size_t n, void *userdata);
        /* failure: the server did not register them */
        void (*registered)(int64_t conversation, bool failure, const Event *events, size_t n, void *userdata);
        void (*result)(int64_t conversation, const Event *events, size_t n, bool more_follows, void *userdata);
} EventerHandler;

Eventer *eventer_new(const EventerHandler *handler, void *userdata, usec_t now);
Eventer *eventer_free(Eventer *e);
DEFINE_CLEANUP(Eventer, eventer_free);

/* What is to be sent; the glue writes and consumes it. */
Buffer *eventer_output(Eventer *e);

/* Must come first. */
void eventer_init(Eventer *e, const EventerInit *init);
/* Consumes whole frames, returns how many bytes are done with. <0: close the connection (-EBADMSG, -EMSGSIZE, -EPROTO unexpected message,
 * -ECONNREFUSED after refused()). */
int64_t eventer_receive(Eventer *e, const uint8_t *data, size_t size, usec_t now);

/* Adds one event to the batch that eventer_flush() sends as one registration without response. type = prefix then the
 * NULL-terminated subtypes. Encoded here, once; nothing is kept by reference. source may be NULL. The JSON text is not checked. */
void eventer_register(Eventer *e, EventType prefix, const char *const *subtypes, const Timestamp *source, const Payload *payload);
size_t eventer_batch_size(const Eventer *e);    /* bytes in the batch; it is flushed by itself well before CHATTER_FRAME_MAX */
void eventer_flush(Eventer *e);
/* One registration with response; flushes the batch first, so order holds. Returns the conversation. */
int64_t eventer_request_register(Eventer *e, EventType prefix, const char *const *subtypes, const Timestamp *source,
                                 const Payload *payload);
int64_t eventer_request_query(Eventer *e, const EventerQuery *query);

usec_t eventer_deadline(const Eventer *e);
int eventer_elapse(Eventer *e, usec_t now);     /* -ETIMEDOUT: the server is gone */

/* Decoder of Event. subtypes (of Subtype) receives the type's subtypes; ret->type.subtypes is valid until it grows. -EBADMSG. */
int event_decode(SbsReader *r, GArray *subtypes, Event *ret);
