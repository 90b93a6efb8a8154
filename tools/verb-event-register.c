/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl event register TYPE [JSON] [--source-time=]: one event, printed as the server returns it. */
#include <errno.h>

#include "base/bounds.h"
#include "tools/event-arguments.h"
#include "tools/event-connection.h"
#include "tools/event-text.h"
#include "tools/event-types.h"
#include "tools/verbs.h"

static ExitStatus read_input(GString *text) {
        for (;;) {
                char buffer[65536];
                ssize_t n;

                n = read(STDIN_FILENO, buffer, sizeof(buffer));
                if (n == 0)
                        return CTL_OK;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return complain(CTL_FAILED, "Cannot read standard input: %s", g_strerror(errno));
                g_string_append_len(text, buffer, n);
                if (text->len > CHATTER_FRAME_MAX)
                        return complain(CTL_FAILED, "Standard input is too large for an event");
        }
}

/* Of the argument, which may be missing. The payload points into text. */
static ExitStatus make_payload(const char *argument, GString *text, Payload *ret) {
        ExitStatus s = CTL_OK;
        int r;

        *ret = (Payload) { .kind = PAYLOAD_NONE };
        if (!argument)
                return CTL_OK;
        if (streq(argument, "-"))
                s = read_input(text);
        else
                g_string_append(text, argument);
        if (s != CTL_OK)
                return s;
        r = json_check(text->str, text->len, &ret->json);
        if (r == -E2BIG)
                return complain(CTL_USAGE, "The payload is nested too deeply");
        if (r < 0)
                return complain(CTL_USAGE, "The payload is not JSON (a text is written '\"text\"')");
        ret->kind = PAYLOAD_JSON;
        return CTL_OK;
}

static void print_events(const Event *events, size_t n, bool more_follows, void *userdata) {
        for (size_t i = 0; i < n; i++)
                event_print(&events[i], userdata);
}

static ExitStatus register_event(const Options *o, Client *bus, EventType type, const Payload *payload) {
        _cleanup_(event_connection_freep) EventConnection *c = NULL;
        Timestamp source;
        ExitStatus s = CTL_OK;
        int r;

        if (o->source_time)
                s = moment_argument("--source-time=", o->source_time, &source);
        if (s == CTL_OK)
                s = event_connection_new(o, bus, o->timeout, NULL, NULL, &c);
        if (s == CTL_OK)
                s = event_connection_begin(c, NULL, 0);
        if (s != CTL_OK)
                return s;
        r = event_connection_register(c, type, o->source_time ? &source : NULL,
                                      payload->kind == PAYLOAD_NONE ? NULL : payload, print_events,
                                      (void *) o);
        return r < 0 ? event_connection_complain(c, r) : CTL_OK;
}

ExitStatus verb_event_register(Client *bus, const Options *o, char **arguments) {
        g_autoptr(GString) text = g_string_new(NULL);
        EventType type = {};
        Payload payload;
        ExitStatus s;

        s = event_type_argument(arguments[0], &type);
        if (s == CTL_OK)
                s = make_payload(arguments[1], text, &payload);
        if (s == CTL_OK)
                s = register_event(o, bus, type, &payload);
        event_type_done(&type);
        return s;
}
