/* SPDX-License-Identifier: Apache-2.0 */
/* A command's connection to an event server: one blocking call at a time over event/client.h, in a loop of its
 * own. Functions that return int say nothing; event_connection_complain() then makes one line and a status
 * of it. Their errors, beside those of the event client: -ETIMEDOUT the time of the command is over (or the
 * server's own, see event/client.h), -ECANCELED a caught signal. */
#pragma once

#include "event/client.h"
#include "tools/server-choice.h"

typedef struct EventConnection EventConnection;

/* Events are borrowed for the call. */
typedef void (*EventAnswer)(const Event *events, size_t n, bool more_follows, void *userdata);
typedef void (*EventNotified)(const Event *events, size_t n, void *userdata);

/* Finds the server (server_choice_new()) and complains when there is none; does not connect yet. bus: may be
 * NULL. timeout: of everything that follows, 0: no limit beside that of each step. notified may be NULL; it is
 * called inside the other functions only. */
ExitStatus event_connection_new(const Options *o, Client *bus, usec_t timeout, EventNotified notified,
                                void *userdata, EventConnection **ret);
EventConnection *event_connection_free(EventConnection *c);
DEFINE_CLEANUP(EventConnection, event_connection_free);

/* From now on SIGINT and SIGTERM do not end the program but every wait. */
int event_connection_catch_signals(EventConnection *c);

/* Connects, also again after a loss, and waits until the server has accepted us. */
int event_connection_open(EventConnection *c, const EventType *subscriptions, size_t n);
/* The answer comes inside the call, or not at all. answer may be NULL. */
int event_connection_query(EventConnection *c, const EventerQuery *query, EventAnswer answer,
                           void *userdata);
int event_connection_register(EventConnection *c, EventType type, const Timestamp *source,
                              const Payload *payload, EventAnswer answer, void *userdata);
/* Until *done, which notified() sets, or the connection is lost. */
int event_connection_wait(EventConnection *c, const bool *done);
/* Lets time pass. */
int event_connection_pause(EventConnection *c, usec_t delay);

/* The time of the command is over: nothing works any more. */
bool event_connection_is_over(const EventConnection *c);
/* It is closed, or was not made: opening it may help. */
bool event_connection_is_lost(const EventConnection *c);
/* The server's address; why the connection was lost, or was not made. Harmless text. */
const char *event_connection_name(const EventConnection *c);
const char *event_connection_reason(const EventConnection *c);
/* error: what one of the functions above returned. */
ExitStatus event_connection_complain(const EventConnection *c, int error);
/* event_connection_open() that complains. */
ExitStatus event_connection_begin(EventConnection *c, const EventType *subscriptions, size_t n);
