/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the eventer's messages as a server reads and writes them (spec wire.md 3.2). Pure functions. */
#pragma once

#include "event/eventer-codec.h"

/* What a client said of itself; texts borrowed from the message. */
typedef struct PeerInit {
        Subtype client_name;
        bool has_token;
        Subtype client_token;
        const EventType *subscriptions;
        size_t n_subscriptions;
        bool has_server_id;
        int64_t server_id;
        bool persisted;
} PeerInit;

/* Memory for what a decoded message points to, used again for the next one. */
typedef struct PeerScratch {
        EventList list;         /* events of a registration: id and timestamp 0 */
        GArray *types;          /* of EventType: subscriptions, query types */
        Timestamp times[4];
        int64_t max_results;
        EventId last_event_id;
} PeerScratch;
void peer_scratch_init(PeerScratch *s);
void peer_scratch_done(PeerScratch *s);
/* Gives back what an unusually large message took; what was decoded is gone. */
void peer_scratch_trim(PeerScratch *s);

/* Subtypes of all subscriptions together: a client costs 48 bytes for each as long as it is connected. A
 * gateway has five a device. */
#define PEER_INIT_SUBTYPES_MAX (1U << 16)
/* One request holds up the loop for all: types and subtypes of a subscription or query, events and subtypes
 * of a registration. A gateway asks for one type a device, of six subtypes, and registers up to 1 MiB at
 * once. */
#define PEER_TYPES_MAX (1U << 16)
#define PEER_TYPES_SUBTYPES_MAX (1U << 18)
#define PEER_EVENTS_MAX (1U << 17)
#define PEER_EVENTS_SUBTYPES_MAX (1U << 20)

/* All: -EBADMSG malformed, -EMSGSIZE beyond these bounds. What they return is valid until the next call. */
int init_request_decode(SbsReader *r, PeerScratch *s, PeerInit *ret);
/* Array(RegisterEvent). -EBADMSG also for a JSON payload that json_check() refuses and a source timestamp
 * whose us is not 0 to 999999. */
int register_request_decode(SbsReader *r, PeerScratch *s, const Event **ret, size_t *ret_n);
/* Bounds of time with us from 1000000 to 2^32 - 1, which the reference takes, become the equivalent in range;
 * others are -EBADMSG. */
int query_decode(SbsReader *r, PeerScratch *s, EventerQuery *ret);

size_t event_bound(const Event *e);             /* most bytes that event_encode() appends */
void event_encode(Buffer *b, const Event *e);
