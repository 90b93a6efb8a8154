/* SPDX-License-Identifier: Apache-2.0 */
/* A command's connection to an event server. The loop turns only while one of the functions waits. */
#include <errno.h>
#include <signal.h>

#include <config.h>

#include "tools/event-connection.h"
#include "tools/text.h"

/* One name for every run: each name is an event type at the server, which keeps the last event of each. */
#define CLIENT_NAME "gatewayctl"
#define N_SIGNALS 2
#define TOKEN_REFUSED "invalid client token" /* wire.md 3.6 */

struct EventConnection {
        ServerChoice *server;
        usec_t deadline;
        EventNotified notified;
        void *userdata;

        sd_event *event;
        Resolver *resolver;
        EventClient *client;
        bool accepted;
        EventerStatus status;
        bool ended; /* closed() has come: error and reason say why */
        bool refused;
        int error;
        char *reason;

        sd_event_source *signal_event_sources[N_SIGNALS];
        bool interrupted;
        bool expired; /* the deadline is over */
};

/* ---- the client's callbacks -------------------------------------------------------------------------- */

static void on_connected(EventClient *client, EventerStatus status, void *userdata) {
        EventConnection *c = userdata;

        c->accepted = true;
        c->status = status;
}

static void on_status(EventClient *client, EventerStatus status, void *userdata) {
        EventConnection *c = userdata;

        c->status = status;
}

static void on_events(EventClient *client, const Event *events, size_t n, void *userdata) {
        EventConnection *c = userdata;

        if (c->notified)
                c->notified(events, n, c->userdata);
}

static void end(EventConnection *c, int error, const char *detail) {
        c->ended = true;
        c->error = error < 0 ? error : -ECONNRESET;
        g_free(c->reason);
        c->reason = text_printable(detail);
}

static void on_closed(EventClient *client, int error, const char *detail, void *userdata) {
        EventConnection *c = userdata;

        end(c, error, detail);
        c->refused = event_client_was_refused(client);
}

static const EventClientHandler client_handler = {
        .connected = on_connected,
        .status = on_status,
        .events = on_events,
        .closed = on_closed,
};

/* ---- life -------------------------------------------------------------------------------------------- */

ExitStatus event_connection_new(const Options *o, Client *bus, usec_t timeout, EventNotified notified,
                                void *userdata, EventConnection **ret) {
        _cleanup_(event_connection_freep) EventConnection *c = g_new0(EventConnection, 1);
        ExitStatus s;
        int r;

        c->deadline = timeout > 0 ? usec_add(now_usec(CLOCK_MONOTONIC), timeout) : USEC_INFINITY;
        c->notified = notified;
        c->userdata = userdata;
        s = server_choice_new(o, bus, &c->server);
        if (s != CTL_OK)
                return s;
        r = sd_event_new(&c->event);
        if (r >= 0)
                r = resolver_new(c->event, 1, &c->resolver);
        if (r < 0)
                return complain(CTL_FAILED, "Cannot make an event loop: %s", g_strerror(-r));
        *ret = TAKE_PTR(c);
        return CTL_OK;
}

EventConnection *event_connection_free(EventConnection *c) {
        if (!c)
                return NULL;
        event_client_free(c->client);
        resolver_free(c->resolver);
        for (size_t i = 0; i < ELEMENTSOF(c->signal_event_sources); i++)
                sd_event_source_disable_unref(c->signal_event_sources[i]);
        sd_event_unref(c->event);
        server_choice_free(c->server);
        g_free(c->reason);
        g_free(c);
        return NULL;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        EventConnection *c = userdata;

        c->interrupted = true;
        return 0;
}

int event_connection_catch_signals(EventConnection *c) {
        static const int signals[N_SIGNALS] = { SIGINT, SIGTERM };
        sigset_t set;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                int r = sd_event_add_signal(c->event, &c->signal_event_sources[i], signals[i], on_signal, c);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- waiting ----------------------------------------------------------------------------------------- */

/* Until *done, the end of the connection, a caught signal, or the moment. */
static int run(EventConnection *c, const bool *done, usec_t until) {
        usec_t end = MIN(until, c->deadline);

        for (;;) {
                usec_t now = now_usec(CLOCK_MONOTONIC);
                int r;

                if (*done)
                        return 0;
                if (c->interrupted)
                        return -ECANCELED;
                if (c->ended)
                        return c->error;
                if (now >= end) {
                        c->expired = now >= c->deadline;
                        return -ETIMEDOUT;
                }
                r = sd_event_run(c->event, end == USEC_INFINITY ? UINT64_MAX : end - now);
                if (r < 0)
                        return r;
        }
}

/* The loop's clock stands still while it does not run, and whoever asks may have printed into a pager since.
 * What fails here fails again where it is waited for. */
static void catch_up(EventConnection *c) {
        (void) sd_event_run(c->event, 0);
}

int event_connection_wait(EventConnection *c, const bool *done) {
        return run(c, done, USEC_INFINITY);
}

static void drop_client(EventConnection *c) {
        c->client = event_client_free(c->client);
        c->accepted = c->ended = c->refused = false;
}

int event_connection_pause(EventConnection *c, usec_t delay) {
        static const bool never = false;
        int r;

        drop_client(c);
        r = run(c, &never, usec_add(now_usec(CLOCK_MONOTONIC), delay));
        return r == -ETIMEDOUT && !c->expired ? 0 : r;
}

int event_connection_open(EventConnection *c, const EventType *subscriptions, size_t n) {
        EventerInit init = {
                .client_name = CLIENT_NAME,
                .client_token = c->server->token,
                .subscriptions = subscriptions,
                .n_subscriptions = n,
        };
        int r;

        drop_client(c);
        catch_up(c);
        r = event_client_new(c->event, c->resolver, &c->server->address, &init, &client_handler, c,
                             &c->client);
        if (r < 0) {
                end(c, r, g_strerror(-r));
                return r;
        }
        return run(c, &c->accepted, USEC_INFINITY);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

typedef struct Asked {
        bool done;
        int error;
        EventAnswer answer;
        void *userdata;
} Asked;

static void on_answer(int error, const Event *events, size_t n, bool more_follows, void *userdata) {
        Asked *a = userdata;

        a->done = true;
        a->error = error;
        if (error >= 0 && a->answer)
                a->answer(events, n, more_follows, a->userdata);
}

static int wait_answer(EventConnection *c, Asked *a, EventRequest *request) {
        int r;

        r = run(c, &a->done, USEC_INFINITY);
        if (!a->done)
                event_request_cancel(request);
        return r < 0 ? r : a->error;
}

int event_connection_query(EventConnection *c, const EventerQuery *query, EventAnswer answer,
                           void *userdata) {
        Asked a = { .answer = answer, .userdata = userdata };
        EventRequest *request;
        int r;

        catch_up(c);
        r = event_client_request_query(c->client, query, on_answer, &a, &request);
        return r < 0 ? r : wait_answer(c, &a, request);
}

int event_connection_register(EventConnection *c, EventType type, const Timestamp *source,
                              const Payload *payload, EventAnswer answer, void *userdata) {
        static const char *const nothing[] = { NULL };
        Asked a = { .answer = answer, .userdata = userdata };
        EventRequest *request;
        int r;

        catch_up(c);
        r = event_client_request_register(c->client, type, nothing, source, payload, on_answer, &a,
                                          &request);
        return r < 0 ? r : wait_answer(c, &a, request);
}

/* ---- words ------------------------------------------------------------------------------------------- */

bool event_connection_is_over(const EventConnection *c) {
        return c->expired;
}

bool event_connection_is_lost(const EventConnection *c) {
        return c->ended && !c->expired;
}

const char *event_connection_name(const EventConnection *c) {
        return c->server->name;
}

const char *event_connection_reason(const EventConnection *c) {
        return c->reason ?: "";
}

static ExitStatus complain_end(const EventConnection *c) {
        const char *name = c->server->name;

        if (c->refused) {
                bool token = streq(c->reason, TOKEN_REFUSED);

                return complain(token ? CTL_DENIED : CTL_FAILED, "Event server %s refuses us: %s%s", name,
                                c->reason, token && !c->server->token ? " (--token-file= gives one)" : "");
        }
        switch (c->error) {
        case -EACCES:
        case -EPERM:
                return complain(CTL_DENIED,
                                "Access denied to event server %s: be root or a member of the group " SERVICE_GROUP,
                                name);
        case -EBADMSG:
        case -EMSGSIZE:
        case -EPROTO:
                return complain(CTL_FAILED, "Event server %s: %s", name, c->reason);
        default:
                return complain(CTL_NO_DAEMON, "Event server %s: %s%s", name, c->reason,
                                c->server->guessed ? "; gatewayd does not run, and no --server= is given"
                                                   : "");
        }
}

ExitStatus event_connection_complain(const EventConnection *c, int error) {
        const char *name = c->server->name;

        if (c->expired)
                return complain(CTL_TIMEOUT, "Event server %s did not answer in time", name);
        if (c->ended)
                return complain_end(c);
        switch (error) {
        case -EREMOTEIO:
                return complain(CTL_FAILED, "Event server %s did not register the event; its log says why", name);
        case -EHOSTDOWN:
                return complain(CTL_FAILED, "Event server %s is %s and registers nothing", name,
                                eventer_status_to_string(c->status));
        case -EMSGSIZE:
                return complain(CTL_FAILED, "Event server %s cannot take it: it is too large", name);
        case -ETIMEDOUT:
                return complain(CTL_NO_DAEMON, "Event server %s does not answer", name);
        default:
                return complain(CTL_FAILED, "Event server %s: %s", name, g_strerror(-error));
        }
}

ExitStatus event_connection_begin(EventConnection *c, const EventType *subscriptions, size_t n) {
        int r;

        r = event_connection_open(c, subscriptions, n);
        return r < 0 ? event_connection_complain(c, r) : CTL_OK;
}
