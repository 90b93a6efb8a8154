/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to an event server: the glue between Eventer, Stream and the loop. Connects, shakes hands,
 * supervises, sends everything registered in one turn of the loop as one message with one write, bounds what
 * is unsent. Loop thread. It does not reconnect: the north does, with a new client. */
#pragma once

#include <systemd/sd-event.h>

#include "event/eventer.h"
#include "link/address.h"
#include "link/resolver.h"

typedef struct EventClient EventClient;
typedef struct EventRequest EventRequest;

/* Every callback comes from the loop, none inside a call of the owner; the owner may do anything in them,
 * also free the client. */
typedef struct EventClientHandler {
        /* The server accepted us. */
        void (*connected)(EventClient *c, EventerStatus status, void *userdata);
        void (*status)(EventClient *c, EventerStatus status, void *userdata);
        void (*events)(EventClient *c, const Event *events, size_t n, void *userdata); /* borrowed for the call */
        /* true: NORTH_PAUSE_BYTES are unsent; false: at most NORTH_RESUME_BYTES again. May be NULL. */
        void (*congested)(EventClient *c, bool congested, void *userdata);
        /* Once, last; requests have been answered before, with this error (-ESHUTDOWN where it is 0). error:
         * 0 after event_client_close(), else -ECONNREFUSED (nobody listens, or the server refused: then
         * detail has its own words), -ETIMEDOUT, -ECONNRESET, -ENXIO, -EBADMSG, -EPROTO, -EMSGSIZE, -ENOBUFS
         * (NORTH_UNSENT_MAX) or another of the socket. detail: words for people, to stand behind the server's
         * name. The owner frees the client. */
        void (*closed)(EventClient *c, int error, const char *detail, void *userdata);
} EventClientHandler;

/* init is copied. <0: nothing was begun. */
int event_client_new(sd_event *event, Resolver *resolver, const Address *address, const EventerInit *init,
                     const EventClientHandler *handler, void *userdata, EventClient **ret);
/* The same over a connected descriptor (one end of a socket pair), which it takes over on success only. */
int event_client_new_fd(sd_event *event, int fd, const EventerInit *init, const EventClientHandler *handler, void *userdata,
                        EventClient **ret);
/* Hard end: nothing more is sent, no callback follows, requests are dropped and their pointers dead. */
EventClient *event_client_free(EventClient *c);
DEFINE_CLEANUP(EventClient, event_client_free);
/* Orderly end: what was registered is written out, then closed(0), at the latest after limit
 * closed(-ETIMEDOUT). Nothing else of the server is delivered any more; requests that wait are not waited
 * for. */
void event_client_close(EventClient *c, usec_t limit);
/* Nothing of ours arrives after the end, however it comes (stream_set_abortive()): somebody else may speak
 * for us then. */
void event_client_set_abortive(EventClient *c);
/* Inside closed(): the server itself refused us, so detail holds its words. */
bool event_client_was_refused(const EventClient *c);

/* Without response, in order; leaves at the end of this turn, behind every source of the same priority that
 * is ready in it. While the server is not operational it would lose it silently (wire.md 3.9), so all is
 * held back then and leaves, in order, when it is. Dropped when the server has not accepted us, and with a
 * warning when it fits in no frame. Copied; source and payload may be NULL. */
void event_client_register(EventClient *c, EventType prefix, const char *const *subtypes,
                           const Timestamp *source, const Payload *payload);
size_t event_client_unsent(const EventClient *c); /* bytes, batch and stream together */

/* error: 0, -EREMOTEIO the server answered failure, -ETIMEDOUT no answer in NORTH_REQUEST_USEC, else why the
 * connection ended. Events are borrowed for the call. The request is gone when the call returns. */
typedef void (*EventRequestCallback)(int error, const Event *events, size_t n, bool more_follows,
                                     void *userdata);
/* Called back once, unless cancelled or the client is freed. Order with registrations is kept. -ENOTCONN:
 * the server has not accepted us, or the client is ending; -EHOSTDOWN (registration): it is not operational;
 * -EMSGSIZE: fits in no frame. */
int event_client_request_register(EventClient *c, EventType prefix, const char *const *subtypes,
                                  const Timestamp *source, const Payload *payload,
                                  EventRequestCallback callback, void *userdata, EventRequest **ret);
int event_client_request_query(EventClient *c, const EventerQuery *query, EventRequestCallback callback,
                               void *userdata, EventRequest **ret);
/* NULL accepted; returns NULL; a late answer is dropped. */
EventRequest *event_request_cancel(EventRequest *r);
