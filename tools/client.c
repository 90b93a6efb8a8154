/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the bus and calls to gatewayd. One blocking call at a time. */
#include <errno.h>
#include <stdarg.h>

#include <config.h>

#include "tools/client.h"

/* ---- connection -------------------------------------------------------------------------------------- */

static int open_address(const char *address, sd_bus **ret) {
        sd_bus *bus = NULL;
        int r;

        if (!strchr(address, ':')) /* libsystemd would find nobody there */
                return -EINVAL;
        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0) {
                sd_bus_unref(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

static int open_bus(const Options *options, sd_bus **ret) {
        switch (options->bus) {
        case BUS_KIND_ADDRESS:
                return open_address(options->bus_where, ret);
        case BUS_KIND_HOST:
                return sd_bus_open_system_remote(ret, options->bus_where);
        case BUS_KIND_USER:
                return sd_bus_open_user(ret);
        case BUS_KIND_SYSTEM:
        default:
                return sd_bus_open_system(ret);
        }
}

/* Until we are let in: a bus that takes the connection and then says nothing, or an ssh that hangs, must not
 * hold us. */
static int wait_ready(sd_bus *bus, usec_t until) {
        for (;;) {
                usec_t now = now_usec(CLOCK_MONOTONIC);
                int r = sd_bus_is_ready(bus);

                if (r != 0)
                        return r;
                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (now >= until)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, usec_sub(until, now));
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

static ExitStatus complain_connect(const Options *options, int error) {
        const char *reason = error == -ENOMEDIUM ? "its address is not known" : g_strerror(-error);

        switch (options->bus) {
        case BUS_KIND_ADDRESS:
                if (error == -EINVAL)
                        return complain(CTL_USAGE, "'%s' is not a D-Bus address", options->bus_where);
                return complain(CTL_NO_DAEMON, "Cannot connect to the bus at %s: %s", options->bus_where,
                                reason);
        case BUS_KIND_HOST:
                if (error == -EINVAL)
                        return complain(CTL_USAGE, "'%s' is not a host", options->bus_where);
                return complain(CTL_NO_DAEMON, "Cannot connect to the system bus of %s: %s",
                                options->bus_where, reason);
        case BUS_KIND_USER:
                return complain(CTL_NO_DAEMON, "Cannot connect to the user bus: %s", reason);
        case BUS_KIND_SYSTEM:
        default:
                return complain(CTL_NO_DAEMON, "Cannot connect to the system bus: %s", reason);
        }
}

int client_try_new(const Options *options, Client **ret) {
        _cleanup_(client_freep) Client *c = g_new0(Client, 1);
        int r;

        c->local = options->bus != BUS_KIND_HOST &&
                   (options->bus != BUS_KIND_ADDRESS || g_str_has_prefix(options->bus_where, "unix:"));
        c->deadline = options->timeout > 0 ? usec_add(now_usec(CLOCK_MONOTONIC), options->timeout)
                                           : USEC_INFINITY;
        r = open_bus(options, &c->bus);
        if (r >= 0)
                r = wait_ready(c->bus, MIN(c->deadline, usec_add(now_usec(CLOCK_MONOTONIC), CONNECT_USEC)));
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

ExitStatus client_new(const Options *options, Client **ret) {
        int r;

        r = client_try_new(options, ret);
        if (r == -ETIMEDOUT && options->timeout > 0 && options->timeout < CONNECT_USEC)
                return complain(CTL_TIMEOUT, "Cannot connect to the bus: it did not answer in time");
        return r < 0 ? complain_connect(options, r) : CTL_OK;
}

Client *client_free(Client *c) {
        if (!c)
                return NULL;
        if (c->bus && sd_bus_is_ready(c->bus) > 0)
                (void) sd_bus_flush(c->bus);
        sd_bus_close_unref(c->bus); /* flushing one that is not ready would wait for it */
        g_free(c);
        return NULL;
}

/* ---- calls ------------------------------------------------------------------------------------------- */

static int make_call(Client *c, const Call *call, const char *types, va_list ap, sd_bus_message **ret) {
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(c->bus, &m, BUS_NAME, call->path, call->interface, call->member);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, call->start);
        if (r >= 0 && types)
                r = sd_bus_message_appendv(m, types, ap);
        if (r < 0) {
                sd_bus_message_unref(m);
                return r;
        }
        *ret = m;
        return 0;
}

/* r: of sd_bus_call(); at: when the call had to be over. */
static ExitStatus complain_call(const Client *c, const Call *call, int r, const sd_bus_error *error,
                                usec_t at) {
        g_autofree char *text = NULL;
        ExitStatus status;

        /* Our own limit looks like the daemon's word that the event server did not answer; only the clock
         * tells. */
        if (r == -ETIMEDOUT && now_usec(CLOCK_MONOTONIC) >= at)
                return complain(at == c->deadline ? CTL_TIMEOUT : CTL_FAILED,
                                "Cannot %s: gatewayd did not answer in time", call->what);

        status = exit_status_from_error(error->name);
        if ((status == CTL_NO_DAEMON && c->gone_is_fine) ||
            (status == CTL_NO_DEVICE && call->absent_is_fine))
                return status;
        text = error_sentence(error->name, error->message, call->what);
        return complain(status, "%s", text);
}

static ExitStatus call_method(Client *c, const Call *call, sd_bus_message **ret_reply, const char *types,
                              va_list ap) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        usec_t now = now_usec(CLOCK_MONOTONIC);
        usec_t at = c->gone_is_fine ? c->deadline : MIN(usec_add(now, call->timeout), c->deadline);
        int r;

        r = make_call(c, call, types, ap, &m);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, MAX(usec_sub(at, now), 1U), &error,
                                ret_reply); /* 0: libsystemd's own 25 s */
        if (r >= 0)
                return CTL_OK;

        if (!sd_bus_error_is_set(&error))
                (void) sd_bus_error_set_errno(&error, r);
        return complain_call(c, call, r, &error, at);
}

ExitStatus client_call(Client *c, const Call *call, sd_bus_message **ret_reply, const char *types, ...) {
        ExitStatus s;
        va_list ap;

        va_start(ap, types);
        s = call_method(c, call, ret_reply, types, ap);
        va_end(ap);
        return s;
}

/* Borrowed from the reply. */
static int read_text(sd_bus_message *reply, const char **ret) {
        const char *contents;
        char type = SD_BUS_TYPE_STRING;
        int r;

        r = sd_bus_message_peek_type(reply, &type, &contents);
        if (r < 0)
                return r;
        if (type == SD_BUS_TYPE_VARIANT)
                return sd_bus_message_read(reply, "v", "s", ret);
        return sd_bus_message_read(reply, type == SD_BUS_TYPE_OBJECT_PATH ? "o" : "s", ret);
}

ExitStatus client_call_text(Client *c, const Call *call, char **ret, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *text;
        ExitStatus s;
        va_list ap;
        int r;

        va_start(ap, types);
        s = call_method(c, call, &reply, types, ap);
        va_end(ap);
        if (s != CTL_OK)
                return s;
        r = read_text(reply, &text);
        if (r < 0) {
                client_complain_answer(call->what, r);
                return CTL_FAILED;
        }
        *ret = g_strdup(text);
        return CTL_OK;
}

void client_complain_answer(const char *what, int error) {
        (void) complain(CTL_FAILED, "Cannot %s: the answer of gatewayd is not understood (%s)", what,
                        g_strerror(-error));
}
