/* SPDX-License-Identifier: Apache-2.0 */
/* Chatter frames, messages and ping supervision: spec wire.md 2. Pure; owned by the connection that embeds
 * it. */

#include "event/chatter.h"

#include <errno.h>

#include "base/bounds.h"
#include "event/sbs.h"

#define PING "HatChatter.Ping"
#define PONG "HatChatter.Pong"
#define LENGTH_MAX 8 /* bytes of a length that this side writes, most */

void chatter_init(Chatter *c, usec_t now) {
        *c = (Chatter) {
                .received = now,
                .pinged = USEC_INFINITY,
                .ping_delay = CHATTER_PING_DELAY_USEC,
                .ping_timeout = CHATTER_PING_TIMEOUT_USEC,
                .frame_max = CHATTER_FRAME_MAX,
        };
}

/* m, k and the bytes of the message: wire.md 2.2. 1: a whole frame; 0: more bytes are needed. */
static int frame_read(const uint8_t *data, size_t size, size_t max, SbsReader *ret) {
        uint64_t k = 0; /* also where size_t has 32 bits a byte more than max is seen */
        size_t m;

        if (size == 0)
                return 0;
        m = data[0];
        for (size_t i = 0; i < m; i++) {
                if (i + 1 == size)
                        return 0;
                k = k << 8 | data[1 + i];
                if (k > max)
                        return -EMSGSIZE;
        }
        if (size - 1 - m < k)
                return 0;
        *ret = (SbsReader) { .at = data + 1 + m, .end = data + 1 + m + (size_t) k };
        return 1;
}

/* HatChatter.Msg: wire.md 2.3. Surplus bytes behind it are not an error. */
static int message_read(SbsReader *r, ChatterMessage *ret) {
        ChatterMessage m;

        if (sbs_read_integer(r, &m.id) < 0 || sbs_read_integer(r, &m.first) < 0 ||
            sbs_read_boolean(r, &m.owner) < 0 || sbs_read_boolean(r, &m.token) < 0 ||
            sbs_read_boolean(r, &m.last) < 0 || sbs_read_string(r, &m.type, &m.type_size) < 0 ||
            sbs_read_bytes(r, &m.data, &m.size) < 0)
                return -EBADMSG;
        *ret = m;
        return 0;
}

bool chatter_message_is(const ChatterMessage *m, const char *type) {
        return m->type_size == strlen(type) && memcmp(m->type, type, m->type_size) == 0;
}

int chatter_receive(Chatter *c, const uint8_t *data, size_t size, usec_t now, Buffer *out, size_t *ret_used,
                    ChatterMessage *ret) {
        ChatterMessage m;
        SbsReader r;
        size_t used;
        int res;

        res = frame_read(data, size, c->frame_max, &r);
        if (res < 0)
                return res;
        if (res == 0) {
                *ret_used = 0;
                return 0;
        }
        used = (size_t) (r.end - data);
        res = message_read(&r, &m);
        if (res < 0)
                return res;

        c->received = now;
        c->pinged = USEC_INFINITY;
        *ret_used = used;
        if (chatter_message_is(&m, PING)) {
                (void) chatter_reply(c, &m, true, PONG, NULL, 0, out);
                return 0;
        }
        if (chatter_message_is(&m, PONG))
                return 0;
        *ret = m;
        return 1;
}

/* What precedes a body of `size` bytes. first NULL: begins a conversation. */
static int64_t head_write(Chatter *c, const int64_t *first, bool owner, bool last, const char *type,
                          size_t size, Buffer *out) {
        uint8_t ids[2 * SBS_INTEGER_MAX + 3], type_length[SBS_INTEGER_MAX], data_length[SBS_INTEGER_MAX];
        size_t type_size = strlen(type), n_ids, n_type, n_data, k, m = 1;
        int64_t id = ++c->last_id;
        uint8_t *p;

        n_ids = sbs_put_integer(ids, id);
        n_ids += sbs_put_integer(ids + n_ids, first ? *first : id);
        ids[n_ids++] = owner;
        ids[n_ids++] = true; /* token */
        ids[n_ids++] = last;
        n_type = sbs_put_integer(type_length, (int64_t) type_size);
        n_data = sbs_put_integer(data_length, (int64_t) size);

        k = n_ids + n_type + type_size + n_data + size;
        while (m < LENGTH_MAX && (uint64_t) k >> (8 * m) != 0)
                m++;

        p = buffer_reserve(out, 1 + m + k - size);
        *p++ = (uint8_t) m;
        for (size_t i = 0; i < m; i++)
                *p++ = (uint8_t) ((uint64_t) k >> (8 * (m - 1 - i)));
        p = mempcpy(p, ids, n_ids);
        p = mempcpy(p, type_length, n_type);
        p = mempcpy(p, type, type_size);
        (void) mempcpy(p, data_length, n_data);
        buffer_commit(out, 1 + m + k - size);
        return id;
}

int64_t chatter_send_head(Chatter *c, bool last, const char *type, size_t size, Buffer *out) {
        return head_write(c, NULL, true, last, type, size, out);
}

int64_t chatter_send(Chatter *c, bool last, const char *type, const void *data, size_t size, Buffer *out) {
        int64_t id = head_write(c, NULL, true, last, type, size, out);

        buffer_append(out, data, size);
        return id;
}

int64_t chatter_reply_head(Chatter *c, const ChatterMessage *to, bool last, const char *type, size_t size,
                           Buffer *out) {
        return head_write(c, &to->first, !to->owner, last, type, size, out);
}

int64_t chatter_reply(Chatter *c, const ChatterMessage *to, bool last, const char *type, const void *data,
                      size_t size, Buffer *out) {
        int64_t id = chatter_reply_head(c, to, last, type, size, out);

        buffer_append(out, data, size);
        return id;
}

usec_t chatter_deadline(const Chatter *c) {
        if (c->ping_delay == 0)
                return USEC_INFINITY;
        if (c->pinged == USEC_INFINITY)
                return usec_add(c->received, c->ping_delay);
        return usec_add(c->pinged, c->ping_timeout);
}

int chatter_elapse(Chatter *c, usec_t now, Buffer *out) {
        if (now < chatter_deadline(c))
                return 0;
        if (c->pinged != USEC_INFINITY)
                return -ETIMEDOUT;
        (void) chatter_send(c, false, PING, NULL, 0, out);
        c->pinged = now;
        return 0;
}

/* ---- ends -------------------------------------------------------------------------------------------- */

const char *chatter_describe_end(int error) {
        switch (error) {
        case 0:
                return "the connection was closed as asked";
        case -EBADMSG:
                return "sent a malformed message";
        case -EMSGSIZE:
                return "sent a message that is too large";
        case -EPROTO:
                return "sent an unexpected message";
        case -ETIMEDOUT:
                return "does not answer";
        case -ECONNRESET:
                return "closed the connection";
        case -ECONNREFUSED:
                return "refused the connection";
        case -ENXIO:
                return "the host name is not known";
        case -ENOBUFS:
                return "reads too slowly, too much is unsent";
        default:
                return g_strerror(-error);
        }
}
