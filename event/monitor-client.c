/* SPDX-License-Identifier: Apache-2.0 */
/* The glue of event/monitor-client.h: one Stream, one Observer, one Deadline, and a heartbeat that finds out
 * whether the loop was frozen. Loop thread. The owner may free the client inside any callback
 * (base/entered.h). */

#include "event/monitor-client.h"

#include <errno.h>

#include "base/bounds.h"
#include "base/deadline.h"
#include "base/entered.h"
#include "base/log.h"
#include "event/chatter.h"
#include "link/stream.h"

#define HEARTBEATS 5 /* in MONITOR_LATE_USEC */

struct MonitorClient {
        sd_event *event;
        const MonitorClientHandler *handler;
        void *userdata;
        MonitorClientOptions options; /* its strings are ours */
        Stream *stream;
        Observer *observer; /* NULL until connected */
        Deadline *deadline;
        sd_event_source *heartbeat;
        Entered entered;
        bool asked; /* to close: nothing that comes counts any more */
        bool closing, ended;
};

/* ---- life -------------------------------------------------------------------------------------------- */

static void client_destroy(MonitorClient *c) {
        observer_free(c->observer);
        sd_event_unref(c->event);
        g_free((char *) c->options.name);
        g_free((char *) c->options.group);
        g_free(c);
}

static void client_detach(MonitorClient *c) {
        c->ended = true;
        c->stream = stream_free(c->stream);
        c->deadline = deadline_free(c->deadline);
        c->heartbeat = sd_event_source_disable_unref(c->heartbeat);
}

MonitorClient *monitor_client_free(MonitorClient *c) {
        if (!c)
                return NULL;
        client_detach(c);
        if (entered_free(&c->entered))
                client_destroy(c);
        return NULL;
}

static void client_enter(MonitorClient *c) {
        entered_enter(&c->entered);
}

static void client_leave(MonitorClient *c) {
        if (entered_leave(&c->entered))
                client_destroy(c);
}

static const char *describe(int error) {
        return error == -ESTALE ? "we were frozen and may have lost the blessing" : chatter_describe_end(error);
}

static void client_finish(MonitorClient *c, int error) {
        if (c->ended)
                return;
        client_detach(c);
        c->handler->closed(error, describe(error), c->userdata);
}

/* ---- sending and time -------------------------------------------------------------------------------- */

static void client_flush(MonitorClient *c) {
        Buffer *output;

        if (c->ended || !c->observer || c->closing)
                return;
        output = observer_output(c->observer);
        if (buffer_size(output) > 0) {
                (void) stream_write(c->stream, buffer_begin(output), buffer_size(output)); /* a loss comes by closed() */
                buffer_clear(output);
        }
        deadline_set(c->deadline, c->asked ? USEC_INFINITY : observer_deadline(c->observer));
}

static void on_deadline(void *userdata) {
        MonitorClient *c = userdata;

        if (!c->observer || c->asked || c->closing)
                return;
        client_enter(c);
        if (observer_elapse(c->observer, now_usec(CLOCK_MONOTONIC)) < 0)
                client_finish(c, -ETIMEDOUT);
        else
                client_flush(c);
        client_leave(c);
}

/* CLOCK_BOOTTIME goes on while the machine is suspended, as the monitor's patience does. */
static int on_heartbeat(sd_event_source *source, uint64_t scheduled, void *userdata) {
        MonitorClient *c = userdata;
        usec_t now = now_usec(CLOCK_BOOTTIME);

        if (now > usec_add(scheduled, c->options.late)) {
                log_error("The process stood still for %.1f s.", (double) (now - scheduled) / USEC_PER_SEC);
                client_enter(c);
                client_finish(c, -ESTALE);
                client_leave(c);
                return 0;
        }
        (void) sd_event_source_set_time(source, usec_add(now, c->options.late / HEARTBEATS));
        return 0;
}

static int client_start_heartbeat(MonitorClient *c) {
        usec_t first = usec_add(now_usec(CLOCK_BOOTTIME), c->options.late / HEARTBEATS);
        int r;

        r = sd_event_add_time(c->event, &c->heartbeat, CLOCK_BOOTTIME, first, USEC_PER_MSEC, on_heartbeat, c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(c->heartbeat, "monitor-heartbeat");
        (void) sd_event_source_set_priority(c->heartbeat, MONITOR_PRIORITY - 1);
        return sd_event_source_set_enabled(c->heartbeat, SD_EVENT_ON);
}

/* ---- observer ---------------------------------------------------------------------------------------- */

static void on_components(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata) {
        MonitorClient *c = userdata;

        if (!c->ended)
                c->handler->components(components, n, own, c->userdata);
}

static void on_state(ObserverState state, void *userdata) {
        MonitorClient *c = userdata;

        if (!c->ended)
                c->handler->state(state, c->userdata);
}

static const ObserverHandler observer_handler = { .components = on_components, .state = on_state };

void monitor_client_set_ready(MonitorClient *c, bool ready) {
        if (!c->observer || c->ended)
                return;
        client_enter(c);
        observer_set_ready(c->observer, ready);
        client_flush(c);
        client_leave(c);
}

void monitor_client_set_ended(MonitorClient *c) {
        if (!c->observer || c->ended)
                return;
        client_enter(c);
        observer_set_ended(c->observer);
        client_flush(c);
        client_leave(c);
}

ObserverState monitor_client_get_state(const MonitorClient *c) {
        return c->observer ? observer_get_state(c->observer) : OBSERVER_IDLE;
}

/* ---- stream ------------------------------------------------------------------------------------------ */

static void on_connected(Stream *s, void *userdata) {
        MonitorClient *c = userdata;

        client_enter(c);
        c->observer = observer_new(now_usec(CLOCK_MONOTONIC), c->options.ping_delay, c->options.ping_timeout, c->options.name,
                                   c->options.group, &observer_handler, c);
        c->handler->connected(c->userdata);
        client_flush(c);
        client_leave(c);
}

/* The connection stays until the owner closes it, so that our token is held as long as we work. */
static void client_asked_to_close(MonitorClient *c) {
        c->asked = true;
        client_flush(c);
        c->handler->asked_to_close(c->userdata);
}

static size_t on_received(Stream *s, const uint8_t *data, size_t size, void *userdata) {
        MonitorClient *c = userdata;
        int64_t used;

        if (c->asked)
                return size;
        client_enter(c);
        used = observer_receive(c->observer, data, size, now_usec(CLOCK_MONOTONIC));
        if (used >= 0)
                client_flush(c);
        else if (used == -ESHUTDOWN && !c->ended)
                client_asked_to_close(c);
        else
                client_finish(c, (int) used);
        client_leave(c);
        return used < 0 ? size : (size_t) used;
}

static void on_closed(Stream *s, int error, void *userdata) {
        MonitorClient *c = userdata;

        client_enter(c);
        client_finish(c, error == 0 && !c->closing ? -ECONNRESET : error);
        client_leave(c);
}

static const StreamHandler stream_handler = { .connected = on_connected, .received = on_received, .closed = on_closed };

static void options_copy(MonitorClientOptions *to, const MonitorClientOptions *from) {
        *to = (MonitorClientOptions) {
                .name = g_strdup(from->name),
                .group = g_strdup(from->group),
                .ping_delay = from->ping_delay ?: MONITOR_PING_DELAY_USEC,
                .ping_timeout = from->ping_timeout ?: MONITOR_PING_TIMEOUT_USEC,
                .late = from->late ?: MONITOR_LATE_USEC,
        };
}

int monitor_client_new(sd_event *event, Resolver *resolver, const Address *address, const MonitorClientOptions *options,
                       const MonitorClientHandler *handler, void *userdata, MonitorClient **ret) {
        _cleanup_(monitor_client_freep) MonitorClient *c = g_new0(MonitorClient, 1);
        StreamOptions stream_options;
        int r;

        c->event = sd_event_ref(event);
        c->handler = handler;
        c->userdata = userdata;
        options_copy(&c->options, options);
        r = deadline_new(event, "monitor", on_deadline, c, &c->deadline);
        if (r < 0)
                return r;
        deadline_set_priority(c->deadline, MONITOR_PRIORITY);
        r = client_start_heartbeat(c);
        if (r < 0)
                return r;
        stream_options = (StreamOptions) {
                .connect_timeout = NORTH_REQUEST_USEC,
                .user_timeout = c->options.ping_delay + c->options.ping_timeout, /* only our direction may be cut */
                .receive_max = CHATTER_PREFIX_MAX + OBSERVER_FRAME_MAX, /* one frame */
                .priority = MONITOR_PRIORITY,
        };
        r = stream_connect(event, resolver, address, &stream_options, "monitor", &stream_handler, c, &c->stream);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

void monitor_client_close(MonitorClient *c, usec_t limit) {
        if (c->ended || c->closing)
                return;
        client_flush(c);
        c->closing = true;
        deadline_set(c->deadline, USEC_INFINITY);
        stream_close_flushed(c->stream, limit);
}
