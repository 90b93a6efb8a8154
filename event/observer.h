/* SPDX-License-Identifier: Apache-2.0 */
/* Observer, client side (spec wire.md 6 and 7.1): the part of one component in a monitor: what it says of
 * itself, what the monitor says of all, and whether it may work. A pure state machine above Chatter: bytes
 * and time in; bytes and calls of its handler out. monitor-client.c is the glue. */
#pragma once

#include "base/buffer.h"
#include "base/time.h"
#include "event/event.h"

#define OBSERVER_COMPONENTS_MAX 10000U  /* in one state */
#define OBSERVER_FRAME_MAX (4U << 20)   /* bytes of one message */

/* One entry of the monitor's state, borrowed from the message. */
typedef struct ObserverComponent {
        int64_t cid, mid;
        bool has_name, has_group;       /* not before its first message */
        Subtype name, group;
        JsonSpan data;                  /* checked JSON */
        int64_t rank;
        bool has_requested, has_token;  /* of the monitor's request, of the component's answer */
        int64_t requested, token;
        double timestamp;               /* of the blessing, seconds since the epoch; NAN: none */
        bool ready;
} ObserverComponent;

/* Works, with the monitor's blessing (wire.md 6.1). */
static inline bool observer_component_is_active(const ObserverComponent *c) {
        return c->has_requested && c->has_token && c->requested == c->token;
}

/* Where an event server says that it can be reached (wire.md 7.2). */
typedef struct ObserverEventServer {
        int64_t server_id;
        char *host;
        uint16_t port;
        char *token;                    /* NULL: none */
} ObserverEventServer;
void observer_event_server_done(ObserverEventServer *s);
bool observer_event_server_equal(const ObserverEventServer *a, const ObserverEventServer *b);
/* The first active component of the group, if its data says where it is and, with client_token (may be
 * NULL), asks for that one. -ENOENT: there is none. *ret is the caller's. */
int observer_find_event_server(const ObserverComponent *components, size_t n, const char *group,
                               const char *client_token, ObserverEventServer *ret);

typedef enum ObserverState {
        OBSERVER_IDLE,          /* not blessed, or not ready */
        OBSERVER_CONFIRM,       /* the token was sent back, its echo has not come */
        OBSERVER_ACTIVE,        /* may work */
        OBSERVER_ENDING,        /* must not any more, and has not said yet that it does not */
} ObserverState;

typedef struct Observer Observer;

/* Called inside observer_receive(). The callee may use any other observer function but observer_free() and
 * observer_receive(). */
typedef struct ObserverHandler {
        /* After each message of the monitor, when the state below is up to date. own: NULL while the monitor
         * does not list us. */
        void (*components)(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata);
        void (*state)(ObserverState state, void *userdata); /* another one */
} ObserverHandler;

/* Says at once who we are, not ready. Strings are copied. ping_delay and ping_timeout supervise the monitor:
 * it is gone after both. */
Observer *observer_new(usec_t now, usec_t ping_delay, usec_t ping_timeout, const char *name, const char *group,
                       const ObserverHandler *handler, void *userdata);
Observer *observer_free(Observer *o);
DEFINE_CLEANUP(Observer, observer_free);

/* Takes whole messages from the front of data; returns the bytes done with. <0: the connection is over:
 * -EBADMSG, -EMSGSIZE, -EPROTO (a message that does not belong here), -ESHUTDOWN (the monitor asked to
 * close). */
int64_t observer_receive(Observer *o, const uint8_t *data, size_t size, usec_t now);
/* Could work, or could not. Said to the monitor at once. Not ready while ACTIVE: ENDING. */
void observer_set_ready(Observer *o, bool ready);
/* The work has ended: in ENDING the token is given back. */
void observer_set_ended(Observer *o);
ObserverState observer_get_state(const Observer *o);

Buffer *observer_output(Observer *o);           /* the caller consumes it */
usec_t observer_deadline(const Observer *o);
int observer_elapse(Observer *o, usec_t now);   /* -ETIMEDOUT: the monitor is gone */
