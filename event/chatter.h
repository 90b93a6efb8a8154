/* SPDX-License-Identifier: Apache-2.0 */
/* Chatter (spec wire.md 2): frames, conversations, ping supervision. A pure state machine: bytes and time
 * in, messages and bytes out. It answers pings itself. One per connection, owned by the connection. */
#pragma once

#include "base/buffer.h"
#include "base/time.h"

/* Bytes of a frame in front of its message: how many say the length (one byte), and those. */
#define CHATTER_PREFIX_MAX 256U

typedef struct Chatter {
        int64_t last_id;        /* of the messages that this side sent */
        usec_t received;        /* when something last came */
        usec_t pinged;          /* when our unanswered ping left; USEC_INFINITY: none */
        usec_t ping_delay, ping_timeout; /* delay 0: no supervision */
        size_t frame_max;       /* bytes of a received message; beyond: -EMSGSIZE */
} Chatter;

/* Borrowed from the bytes that were fed. */
typedef struct ChatterMessage {
        int64_t id, first;
        bool owner, token, last; /* owner: the sender of this message began the conversation */
        const char *type;
        size_t type_size;
        const uint8_t *data;
        size_t size;
} ChatterMessage;

void chatter_init(Chatter *c, usec_t now);
bool chatter_message_is(const ChatterMessage *m, const char *type);

/* Takes one frame from the front of data. 1: *ret holds a message for the layer above; 0: none (a ping,
 * a pong, or more bytes are needed); ret_used says how many bytes are done with (0: more are needed).
 * -EBADMSG malformed, -EMSGSIZE over frame_max (CHATTER_FRAME_MAX unless the owner sets another), as
 * soon as the header says so: close the connection. Pongs are appended to out. */
int chatter_receive(Chatter *c, const uint8_t *data, size_t size, usec_t now, Buffer *out, size_t *ret_used,
                    ChatterMessage *ret);

/* Appends a message that begins a conversation. type is a terminated literal, data the SBS encoding of that
 * type. Returns the message's id, by which the conversation is known. */
int64_t chatter_send(Chatter *c, bool last, const char *type, const void *data, size_t size, Buffer *out);
/* The same without the data: writes only what precedes it, for a body of `size` bytes that the caller sends
 * right behind. */
int64_t chatter_send_head(Chatter *c, bool last, const char *type, size_t size, Buffer *out);
/* Appends a message of the conversation that `to` belongs to: same `first`, the other `owner`. */
int64_t chatter_reply(Chatter *c, const ChatterMessage *to, bool last, const char *type, const void *data, size_t size,
                      Buffer *out);

/* As chatter_send_head(). */
int64_t chatter_reply_head(Chatter *c, const ChatterMessage *to, bool last, const char *type, size_t size,
                           Buffer *out);

/* Supervision. chatter_elapse() sends a ping into out when it is time; -ETIMEDOUT: the peer is gone. */
usec_t chatter_deadline(const Chatter *c);
int chatter_elapse(Chatter *c, usec_t now, Buffer *out);

/* Why a connection ended (0: it was asked for), for people, to stand behind the peer's name. */
const char *chatter_describe_end(int error);
