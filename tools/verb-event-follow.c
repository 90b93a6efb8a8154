/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl event follow [TYPE…]: prints events as they come until a signal, or the time, ends it. Connects
 * again after a loss; what was registered meanwhile is not printed. */
#include <errno.h>
#include <stdio.h>

#include "base/bounds.h"
#include "tools/event-arguments.h"
#include "tools/event-connection.h"
#include "tools/event-text.h"
#include "tools/event-types.h"
#include "tools/verbs.h"

typedef struct Follow {
        const Options *options;
        EventConnection *connection;
        bool done; /* standard output takes no more */
        int error; /* why */
} Follow;

static void print_events(const Event *events, size_t n, void *userdata) {
        Follow *f = userdata;

        for (size_t i = 0; i < n; i++)
                event_print(&events[i], f->options);
        if (fflush(stdout) != 0) {
                f->error = errno;
                f->done = true;
        }
}

/* After a loss: tells it, and tells the return. 0: connected again. */
static int reconnect(Follow *f, const GArray *types) {
        EventConnection *c = f->connection;
        int r;

        fprintf(stderr, "gatewayctl: Event server %s: %s; trying again.\n", event_connection_name(c),
                event_connection_reason(c));
        for (;;) {
                r = event_connection_pause(c, NORTH_RECONNECT_USEC);
                if (r < 0)
                        return r;
                r = event_connection_open(c, (const EventType *) (void *) types->data, types->len);
                if (r == 0)
                        break;
                if (r == -ECANCELED || event_connection_is_over(c))
                        return r;
        }
        fprintf(stderr, "gatewayctl: Connected to event server %s again.\n", event_connection_name(c));
        return 0;
}

static ExitStatus follow(Follow *f, const GArray *types) {
        EventConnection *c = f->connection;
        int r;

        r = event_connection_open(c, (const EventType *) (void *) types->data, types->len);
        if (r < 0 && r != -ECANCELED)
                return event_connection_complain(c, r);
        while (r >= 0 && !f->done) {
                r = event_connection_wait(c, &f->done);
                if (r < 0 && r != -ECANCELED && !event_connection_is_over(c))
                        r = reconnect(f, types);
        }
        if (f->error > 0)
                return complain(CTL_FAILED, "Cannot write: %s", g_strerror(f->error));
        if (r < 0 && r != -ECANCELED && !event_connection_is_over(c))
                return event_connection_complain(c, r);
        return CTL_OK;
}

ExitStatus verb_event_follow(Client *bus, const Options *o, char **arguments) {
        _cleanup_(event_connection_freep) EventConnection *c = NULL;
        g_autoptr(GArray) types = NULL;
        Follow f = { .options = o };
        ExitStatus s;
        int r;

        s = event_patterns_parse(arguments, &types);
        if (s == CTL_OK)
                s = event_connection_new(o, bus, o->timeout, print_events, &f, &c);
        if (s != CTL_OK)
                return s;
        r = event_connection_catch_signals(c);
        if (r < 0)
                return complain(CTL_FAILED, "Cannot catch signals: %s", g_strerror(-r));
        if (types->len == 0) {
                EventType all = event_type_copy((EventType) { &SUBTYPE("*"), 1 });

                g_array_append_val(types, all);
        }
        f.connection = c;
        return follow(&f, types);
}
