/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl event latest [TYPE…]: the last event of each type that one of them matches. */
#include "tools/event-arguments.h"
#include "tools/event-connection.h"
#include "tools/event-text.h"
#include "tools/verbs.h"

/* An event and its type as text, by which the events are printed: the server's own order means nothing. */
typedef struct Line {
        char *key;
        const Event *event;
} Line;

static void line_clear(void *p) {
        g_free(((Line *) p)->key);
}

static int compare_lines(const void *a, const void *b) {
        const Line *x = a, *y = b;

        return strverscmp(x->key, y->key);
}

static void print_sorted(const Event *events, size_t n, bool more_follows, void *userdata) {
        g_autoptr(GArray) lines = g_array_sized_new(false, false, sizeof(Line), (guint) n);

        g_array_set_clear_func(lines, line_clear);
        for (size_t i = 0; i < n; i++) {
                Line line = { .key = event_type_format(events[i].type), .event = &events[i] };

                g_array_append_val(lines, line);
        }
        g_array_sort(lines, compare_lines);
        for (guint i = 0; i < lines->len; i++)
                event_print(g_array_index(lines, Line, i).event, userdata);
}

ExitStatus verb_event_latest(Client *bus, const Options *o, char **arguments) {
        _cleanup_(event_connection_freep) EventConnection *c = NULL;
        g_autoptr(GArray) types = NULL;
        EventerQuery query = { .kind = QUERY_LATEST };
        ExitStatus s;
        int r;

        s = event_patterns_parse(arguments, &types);
        if (s == CTL_OK)
                s = event_connection_new(o, bus, o->timeout, NULL, NULL, &c);
        if (s == CTL_OK)
                s = event_connection_begin(c, NULL, 0);
        if (s != CTL_OK)
                return s;

        if (types->len > 0) {
                query.types = (const EventType *) (void *) types->data;
                query.n_types = types->len;
        }
        r = event_connection_query(c, &query, print_sorted, (void *) o);
        return r < 0 ? event_connection_complain(c, r) : CTL_OK;
}
