/* SPDX-License-Identifier: Apache-2.0 */
/* A master's link by our own codec, over TCP or on a serial line. An answer costs one read, a request one write,
 * a deadline nothing. Loop thread. */

#include <assert.h>

#include "base/deadline.h"
#include "devices/modbus/modbus-channel.h"
#include "devices/modbus/modbus-link.h"

#define RECEIVE_MAX 1024U /* unconsumed: less than one frame, or a late one in front of it */
#define USER_TIMEOUT_MIN (10 * USEC_PER_SEC)

typedef struct StreamLink {
        ModbusLink link;
        sd_event *event;
        ModbusChannel channel;
        Deadline *deadline;
        const ModbusFraming *framing;
        LinkTap *tap;
        const ModbusLinkHandler *handler;
        void *userdata;

        usec_t request_timeout;
        SerialOptions line;     /* serial */
        bool opening;           /* serial: connected() is still to be told */
        usec_t sent_at;
        uint16_t transaction;   /* of the next transmission */
        ModbusExpect expect;    /* of the attempt under way, or the last one */
        ModbusLinkCallback callback;
        void *callback_userdata;
        bool waiting;           /* an attempt is under way */
        bool draining;          /* … and its last byte has not left yet */
        bool receiving;         /* inside link_received() */
        bool *freed;            /* set by free while it runs */
        bool late;              /* the last attempt timed out */
        bool late_begun;        /* … and its answer has begun to come: the stream keeps the beginning */
} StreamLink;

static void link_finish(StreamLink *l, int error, const ModbusResponse *response) {
        l->waiting = l->draining = false;
        l->late = error < 0;
        l->callback(error, response, l->callback_userdata);
}

static void link_on_deadline(void *userdata) {
        StreamLink *l = userdata;

        if (l->opening) {
                l->opening = false;
                l->handler->connected(l->userdata);
                return;
        }
        if (!l->waiting || (l->draining && !l->channel.serial))
                return;
        if (l->draining) /* the far end holds us up */
                modbus_channel_discard_output(&l->channel);

        tap_error(l->tap);
        l->link.ended_at = now_usec(CLOCK_MONOTONIC);
        link_finish(l, -ETIMEDOUT, NULL);
}

static void link_start_clock(StreamLink *l) {
        l->sent_at = now_usec(CLOCK_MONOTONIC);
        deadline_set(l->deadline, usec_add(l->sent_at, l->request_timeout));
}

/* 4.3 step 2. An answer that comes late and in pieces stays aligned instead, so that its end is not taken
 * for the beginning of another one; it is thrown away when it is whole. */
static void link_discard(StreamLink *l) {
        if (l->receiving || l->late_begun)
                return;
        if (!l->framing->transactions || l->late)
                modbus_channel_discard_input(&l->channel);
}

static void stream_link_submit(ModbusLink *link, const ModbusRequest *request, ModbusLinkCallback callback,
                               void *userdata) {
        StreamLink *l = (StreamLink *) link;

        assert(!l->waiting);

        link_discard(l);
        l->expect = request->expect;
        l->expect.transaction = l->transaction++;
        l->framing->restamp(request->frame, l->expect.transaction);
        l->callback = callback;
        l->callback_userdata = userdata;
        l->waiting = true;

        tap_frame(l->tap, TAP_SENT, request->frame, request->size);
        if (modbus_channel_write(&l->channel, request->frame, request->size) < 0) {
                deadline_set(l->deadline, USEC_INFINITY); /* closed() follows */
                return;
        }
        link_start_clock(l);
        l->link.begun_at = l->sent_at;
        l->draining = modbus_channel_unsent(&l->channel) > 0; /* then the clock starts anew */
        if (l->draining && l->channel.serial)
                deadline_set(l->deadline,
                             usec_add(deadline_get(l->deadline),
                                      serial_transmission_usec(&l->line, request->size)));
}

static void stream_link_cancel(ModbusLink *link) {
        StreamLink *l = (StreamLink *) link;

        if (!l->waiting)
                return;
        l->waiting = l->draining = false;
        l->late = true;
}

static ModbusLink *stream_link_free(ModbusLink *link) {
        StreamLink *l = (StreamLink *) link;

        if (l->freed)
                *l->freed = true;
        modbus_channel_done(&l->channel);
        (void) deadline_free(l->deadline);
        g_free(l);
        return NULL;
}

static const ModbusLinkVTable stream_link_vtable = {
        .submit = stream_link_submit,
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

        if (!l->draining || modbus_channel_unsent(&l->channel) > 0)
                return;
        l->draining = false;
        link_start_clock(l);
}

static void link_closed(int error, void *userdata) {
        StreamLink *l = userdata;

        l->handler->closed(error, l->userdata);
}

/* Nobody waits. Returns how much of it is done with: all but an answer of the last attempt that has begun
 * to come. */
static size_t link_throw_away(StreamLink *l, const uint8_t *data, size_t size) {
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusSearch s;
        size_t at = 0;
        int r;

        l->late_begun = false;
        tap_error(l->tap);
        if (!l->late || !l->framing->unfinished)
                return size;

        do {
                r = l->framing->find_response(&l->expect, data + at, size - at, scratch, &s);
                if (r < 0)
                        return size;
                at += s.consumed;
        } while (r > 0);

        l->late_begun = l->framing->unfinished(&l->expect, data + at, size - at);
        return l->late_begun ? at : size;
}

/* Looks for the answer. 1: found, and the bytes behind it are to be thrown away; 0: not yet, ret_consumed
 * are done with; -EBADMSG: the stream cannot be trusted. */
static int link_find(StreamLink *l, const uint8_t *data, size_t size, uint8_t *scratch,
                     ModbusResponse *ret_response, size_t *ret_consumed) {
        ModbusSearch s;
        size_t at = 0;
        int r;

        while ((r = l->framing->find_response(&l->expect, data + at, size - at, scratch, &s)) > 0) {
                l->tap->errors += s.dropped;
                tap_frame(l->tap, TAP_RECEIVED, data + at + s.frame.offset, s.frame.size);
                if (modbus_response_parse(&l->expect, s.frame.pdu, s.frame.pdu_size, ret_response) >= 0)
                        return 1;
                tap_error(l->tap);
                at += s.consumed;
        }
        if (r < 0)
                return r;

        l->tap->errors += s.dropped;
        *ret_consumed = at + s.consumed;
        return 0;
}

static usec_t loop_now(StreamLink *l) {
        uint64_t now;

        return sd_event_now(l->event, CLOCK_MONOTONIC, &now) >= 0 ? now : now_usec(CLOCK_MONOTONIC);
}

static size_t link_received(const uint8_t *data, size_t size, void *userdata) {
        StreamLink *l = userdata;
        uint8_t scratch[MODBUS_PDU_MAX];
        ModbusResponse response;
        size_t consumed = 0;
        bool freed = false;
        int r;

        if (!l->waiting)
                return link_throw_away(l, data, size);

        l->late_begun = false;
        r = link_find(l, data, size, scratch, &response, &consumed);
        if (r < 0) {
                tap_error(l->tap);
                l->handler->closed(-EBADMSG, l->userdata);
                return size;
        }
        if (r == 0) {
                l->late_begun = l->framing->unfinished &&
                                l->framing->unfinished(&l->expect, data + consumed, size - consumed);
                return consumed;
        }

        l->link.ended_at = loop_now(l);
        l->link.round_trip = usec_sub(l->link.ended_at, l->sent_at);
        l->receiving = true;
        l->freed = &freed;
        link_finish(l, 0, &response);
        if (!freed) {
                l->receiving = false;
                l->freed = NULL;
        }
        return size;
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
                            const ModbusLinkOptions *options, const ModbusLinkHandler *handler, void *userdata,
                            ModbusLink **ret) {
        StreamLink *l;
        int r;

        r = link_new(event, options, handler, userdata, &l);
        if (r < 0)
                return r;
        r = modbus_channel_open(&l->channel, event, path, line, &stream_link_handler, l);
        if (r < 0) {
                (void) stream_link_free(&l->link);
                return r;
        }

        l->line = *line;
        l->opening = true;
        deadline_set(l->deadline, 0);
        *ret = &l->link;
        return 0;
}
