/* SPDX-License-Identifier: Apache-2.0 */
/* A master's link by our own codec, over TCP or on a serial line. An answer costs one read, a request one write,
 * a deadline nothing; with several requests under way, those of one turn share a write, and answers that came
 * together a read. Loop thread. */

#include <assert.h>

#include "base/deadline.h"
#include "devices/modbus/modbus-channel.h"
#include "devices/modbus/modbus-link.h"

#define RECEIVE_MAX 1024U /* unconsumed: less than one frame, or a late one in front of it */
#define USER_TIMEOUT_MIN (10 * USEC_PER_SEC)
#define MBAP_FRAME_MAX (7U + 253U) /* of what we send */

/* Beside its expected answer, which lies in an array of its own to be searched. */
typedef struct Attempt {
        usec_t begun_at;
        usec_t sent_at;         /* its clock runs from here */
        size_t size;            /* of its frame */
        bool unsent;            /* its last byte has not left yet: the clock starts anew when it has */
        ModbusLinkCallback callback;
        void *userdata;
} Attempt;

typedef struct StreamLink {
        ModbusLink link;
        sd_event *event;
        ModbusChannel channel;
        Deadline *deadline;     /* of the oldest attempt, or sooner */
        const ModbusFraming *framing;
        LinkTap *tap;
        const ModbusLinkHandler *handler;
        void *userdata;

        usec_t request_timeout;
        SerialOptions line;     /* serial */
        uint16_t transaction;   /* of the next transmission, unless it is still under way */
        bool receiving;         /* inside link_received(), behind what was received before */
        bool *freed;            /* set by free while it runs */
        bool late;              /* an attempt timed out since there was none before */

        /* The attempts under way, oldest first, those that are held last. */
        size_t n_waiting, n_held, max;
        ModbusExpect *expects;
        Attempt *attempts;
        uint8_t *held;          /* frames of the held ones; only with max > 1 */
        size_t held_size;
} StreamLink;

/* ---- attempts ---------------------------------------------------------------------------------------- */

static void link_remove(StreamLink *l, size_t i) {
        size_t n = --l->n_waiting - i;

        if (n == 0)
                return;
        memmove(&l->expects[i], &l->expects[i + 1], n * sizeof(l->expects[0]));
        memmove(&l->attempts[i], &l->attempts[i + 1], n * sizeof(l->attempts[0]));
}

/* The next id that none of those under way has. */
static uint16_t link_next_transaction(StreamLink *l) {
        for (size_t i = 0; i < l->n_waiting;)
                if (l->expects[i++].transaction == l->transaction) {
                        l->transaction++;
                        i = 0;
                }
        return l->transaction++;
}

static void link_finish(StreamLink *l, size_t i, int error, const ModbusResponse *response) {
        Attempt a = l->attempts[i];

        l->late = l->late || error < 0;
        l->link.begun_at = a.begun_at;
        link_remove(l, i);
        a.callback(error, response, a.userdata);
}

static void link_set_deadline(StreamLink *l) {
        if (l->n_waiting > l->n_held)
                deadline_set(l->deadline, usec_add(l->attempts[0].sent_at, l->request_timeout));
}

static void link_on_deadline(void *userdata) {
        StreamLink *l = userdata;
        Attempt *oldest = l->attempts;
        const uint8_t *rest;
        size_t size;
        usec_t now;

        if (l->n_waiting == 0 || (oldest->unsent && !l->channel.serial))
                return;

        now = now_usec(CLOCK_MONOTONIC);
        if (now < usec_add(oldest->sent_at, l->request_timeout)) { /* it was that of one that is answered */
                link_set_deadline(l);
                return;
        }
        if (oldest->unsent) /* the far end holds us up */
                modbus_channel_discard_output(&l->channel);
        if (l->n_waiting > 1)
                deadline_set(l->deadline, usec_add(l->attempts[1].sent_at, l->request_timeout));

        rest = modbus_channel_get_input(&l->channel, &size);
        tap_failed(l->tap, 1, TAP_TIMEOUT, now, 0, rest, size);
        l->link.ended_at = now;
        l->link.hears_itself = modbus_channel_hears_itself(&l->channel);
        link_finish(l, 0, -ETIMEDOUT, NULL);
}

/* These are the beginning of an answer that comes too late. */
static bool link_late_begun(const StreamLink *l, const uint8_t *data, size_t size) {
        return l->framing->unfinished((uint16_t) (l->transaction - 1), data, size);
}

/* Whatever comes next begins a frame, or goes on with an answer that began to come too late. */
static bool link_is_aligned(const StreamLink *l) {
        const uint8_t *rest;
        size_t size;

        rest = modbus_channel_get_input(&l->channel, &size);
        return size == 0 || link_late_begun(l, rest, size);
}

/* 4.3 step 2. Where an id tells a late answer it is never cut in two, so that its end is not taken for the
 * beginning of another one: it is skipped when it is whole. */
static void link_discard(StreamLink *l) {
        bool late = l->late;

        l->late = false;
        if (l->receiving)
                return;
        if (!l->framing->transactions || (late && !link_is_aligned(l)))
                modbus_channel_discard_input(&l->channel);
}

/* Sends the frames of the newest n attempts. */
static inline void link_send(StreamLink *l, const uint8_t *frames, size_t size, size_t n) {
        size_t first = l->n_waiting - n;
        usec_t now, drain = 0;
        bool unsent;

        if (modbus_channel_write(&l->channel, frames, size, l->expects[first].head[0]) < 0) {
                deadline_set(l->deadline, USEC_INFINITY); /* closed() follows */
                return;
        }
        now = now_usec(CLOCK_MONOTONIC);
        unsent = modbus_channel_unsent(&l->channel) > 0;
        for (size_t i = first; i < l->n_waiting; frames += l->attempts[i++].size) {
                tap_sent(l->tap, now, 0, frames, l->attempts[i].size);
                l->attempts[i].begun_at = l->attempts[i].sent_at = now;
                l->attempts[i].unsent = unsent;
        }
        if (first > 0)
                return;

        if (unsent && l->channel.serial)
                drain = serial_transmission_usec(&l->line, size);
        deadline_set(l->deadline, usec_add(now, usec_add(l->request_timeout, drain)));
}

static void stream_link_submit(ModbusLink *link, const ModbusRequest *request, ModbusLinkCallback callback,
                               void *userdata) {
        StreamLink *l = (StreamLink *) link;
        size_t i = l->n_waiting;

        assert(i < l->max && (l->max == 1 || request->size <= MBAP_FRAME_MAX));

        if (i == 0)
                link_discard(l);
        l->expects[i] = request->expect;
        l->expects[i].transaction = link_next_transaction(l);
        l->framing->restamp(request->frame, l->expects[i].transaction);
        l->attempts[i].callback = callback;
        l->attempts[i].userdata = userdata;
        l->attempts[i].size = request->size;
        l->n_waiting = i + 1;

        if (l->max == 1) {
                link_send(l, request->frame, request->size, 1);
                return;
        }
        memcpy(l->held + l->held_size, request->frame, request->size);
        l->held_size += request->size;
        l->n_held++;
}

static void stream_link_flush(ModbusLink *link) {
        StreamLink *l = (StreamLink *) link;
        size_t n = l->n_held, size = l->held_size;

        if (n == 0 || l->receiving) /* more may follow */
                return;
        l->n_held = l->held_size = 0;
        link_send(l, l->held, size, n);
}

static void stream_link_cancel(ModbusLink *link) {
        StreamLink *l = (StreamLink *) link;

        l->late = l->late || l->n_waiting > 0;
        l->n_waiting = l->n_held = l->held_size = 0;
}

static ModbusLink *stream_link_free(ModbusLink *link) {
        StreamLink *l = (StreamLink *) link;

        if (l->freed)
                *l->freed = true;
        modbus_channel_done(&l->channel);
        (void) deadline_free(l->deadline);
        g_free(l->expects);
        g_free(l->attempts);
        g_free(l->held);
        g_free(l);
        return NULL;
}

static const ModbusLinkVTable stream_link_vtable = {
        .submit = stream_link_submit,
        .flush = stream_link_flush,
        .cancel = stream_link_cancel,
        .free = stream_link_free,
};

/* ---- the channel's side ------------------------------------------------------------------------------ */

static void link_connected(void *userdata) {
        StreamLink *l = userdata;

        l->handler->connected(l->userdata);
}

static void link_drained(void *userdata) {
        StreamLink *l = userdata;
        size_t n = l->n_waiting - l->n_held;
        usec_t now;

        if (n == 0 || !l->attempts[n - 1].unsent || modbus_channel_unsent(&l->channel) > 0)
                return;

        now = now_usec(CLOCK_MONOTONIC);
        for (size_t i = 0; i < n; i++)
                if (l->attempts[i].unsent) {
                        l->attempts[i].sent_at = now;
                        l->attempts[i].unsent = false;
                }
        link_set_deadline(l);
}

static void link_closed(int error, void *userdata) {
        StreamLink *l = userdata;

        l->handler->closed(error, l->userdata);
}

/* Nobody waits. Returns how much of it is done with: all but a late answer that has begun to come. */
static size_t link_find_late(StreamLink *l, const uint8_t *data, size_t size) {
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusSearch s;

        if (!l->late || !l->framing->transactions ||
            l->framing->find_response(l->expects, 0, data, size, scratch, &s) < 0)
                return size;
        return link_late_begun(l, data + s.consumed, size - s.consumed) ? s.consumed : size;
}

static size_t link_throw_away(StreamLink *l, usec_t now, const uint8_t *data, size_t size) {
        size_t consumed = link_find_late(l, data, size);

        if (consumed > 0) /* else it is told when it is whole */
                tap_failed(l->tap, 1, TAP_UNASKED, now, 0, data, consumed);
        return consumed;
}

/* Looks for the next answer from *at on, which moves behind what is done with. 1: found, it is that of the
 * attempt ret_which; 0: not yet; -EBADMSG: the stream cannot be trusted. */
static int link_find(StreamLink *l, usec_t now, const uint8_t *data, size_t size, size_t *at, uint8_t *scratch,
                     ModbusResponse *ret_response, size_t *ret_which) {
        const TapKind dropped = l->framing->transactions ? TAP_UNASKED : TAP_GARBAGE; /* frames, or bytes */
        size_t n = l->n_waiting - l->n_held;
        ModbusSearch s;
        int r;

        while ((r = l->framing->find_response(l->expects, n, data + *at, size - *at, scratch, &s)) > 0) {
                const ModbusExpect *expect = &l->expects[s.expected];
                const uint8_t *frame = data + *at + s.frame.offset;

                l->link.checksum_errors += s.bad_checksums;
                l->link.received = s.frame.size;
                if (s.dropped > 0)
                        tap_failed(l->tap, s.dropped, dropped, now, 0, data + *at, s.frame.offset);
                *at += s.consumed;
                if (modbus_response_parse(expect, s.frame.pdu, s.frame.pdu_size, ret_response) >= 0) {
                        tap_received(l->tap, now, 0, frame, s.frame.size);
                        *ret_which = s.expected;
                        return 1;
                }
                tap_failed(l->tap, 1, TAP_WRONG, now, 0, frame, s.frame.size);
        }
        if (r < 0)
                return r;

        l->link.checksum_errors += s.bad_checksums;
        if (s.dropped > 0)
                tap_failed(l->tap, s.dropped, dropped, now, 0, data + *at, s.consumed);
        *at += s.consumed;
        return 0;
}

/* What the attempt's owner submits meanwhile leaves behind it. false: the link is gone. */
static bool link_answered(StreamLink *l, usec_t now, size_t which, const ModbusResponse *response) {
        bool freed = false;

        l->link.ended_at = now;
        l->link.round_trip = usec_sub(l->link.ended_at, l->attempts[which].sent_at);
        l->receiving = true;
        l->freed = &freed;
        link_finish(l, which, 0, response);
        if (freed)
                return false;
        l->receiving = false;
        l->freed = NULL;
        return true;
}

static size_t link_received(const uint8_t *data, size_t size, void *userdata) {
        StreamLink *l = userdata;
        uint8_t scratch[MODBUS_PDU_MAX];
        usec_t now = loop_now(l->event);
        ModbusResponse response;
        size_t at = 0;

        if (l->n_waiting == 0)
                return link_throw_away(l, now, data, size);

        while (l->n_waiting > 0) {
                size_t which;
                int r;

                r = link_find(l, now, data, size, &at, scratch, &response, &which);
                if (r < 0) {
                        tap_failed(l->tap, 1, TAP_GARBAGE, now, 0, data + at, size - at);
                        l->handler->closed(-EBADMSG, l->userdata);
                        return size;
                }
                if (r == 0)
                        break;
                if (l->max == 1 && at < size) /* it came before the next request */
                        tap_failed(l->tap, 1, TAP_UNASKED, now, 0, data + at, size - at);
                if (!link_answered(l, now, which, &response) || l->max == 1)
                        return size;
        }
        if (l->n_waiting == 0 && at < size)
                at += link_throw_away(l, now, data + at, size - at);
        stream_link_flush(&l->link);
        return at;
}

static const ModbusChannelHandler stream_link_handler = {
        .connected = link_connected,
        .received = link_received,
        .drained = link_drained,
        .closed = link_closed,
};

static int link_new(sd_event *event, const ModbusLinkOptions *options, const ModbusLinkHandler *handler,
                    void *userdata, StreamLink **ret) {
        StreamLink *l = g_new0(StreamLink, 1);
        int r;

        l->link.vtable = &stream_link_vtable;
        l->event = event;
        l->framing = options->framing;
        l->tap = options->tap;
        l->handler = handler;
        l->userdata = userdata;
        l->request_timeout = options->request_timeout;
        l->transaction = 1;
        l->max = options->max_outstanding;
        l->expects = g_new0(ModbusExpect, l->max);
        l->attempts = g_new0(Attempt, l->max);
        if (l->max > 1)
                l->held = g_malloc(l->max * MBAP_FRAME_MAX);

        r = deadline_new(event, "modbus-request", link_on_deadline, l, &l->deadline);
        if (r < 0) {
                (void) stream_link_free(&l->link);
                return r;
        }
        *ret = l;
        return 0;
}

int modbus_stream_link_connect(sd_event *event, Resolver *resolver, const char *host, uint16_t port,
                               const ModbusLinkOptions *options, const ModbusLinkHandler *handler,
                               void *userdata, ModbusLink **ret) {
        StreamOptions stream_options = {
                .connect_timeout = options->connect_timeout,
                .user_timeout = MAX(USER_TIMEOUT_MIN, options->request_timeout * 3),
                .receive_max = RECEIVE_MAX,
        };
        Address address = { .kind = ADDRESS_TCP, .host = (char *) host, .port = port };
        StreamLink *l;
        int r;

        r = link_new(event, options, handler, userdata, &l);
        if (r < 0)
                return r;
        r = modbus_channel_connect(&l->channel, event, resolver, &address, &stream_options,
                                   &stream_link_handler, l);
        if (r < 0) {
                (void) stream_link_free(&l->link);
                return r;
        }

        *ret = &l->link;
        return 0;
}

int modbus_stream_link_open(sd_event *event, const char *path, const SerialOptions *line,
                            const ModbusLinkOptions *options, const ModbusLinkHandler *handler,
                            void *userdata, ModbusLink **ret) {
        StreamLink *l;
        int r;

        r = link_new(event, options, handler, userdata, &l);
        if (r < 0)
                return r;
        l->line = *line;
        l->line.open_timeout = options->connect_timeout;
        r = modbus_channel_open(&l->channel, event, path, &l->line, &stream_link_handler, l);
        if (r < 0) {
                (void) stream_link_free(&l->link);
                return r;
        }

        *ret = &l->link;
        return 0;
}
