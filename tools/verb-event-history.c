/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl event history [TYPE…] [--since=] [--until=] [--limit=] [--reverse]: asks page after page, and prints
 * each as it comes. */
#include <errno.h>
#include <stdio.h>

#include "tools/event-arguments.h"
#include "tools/event-connection.h"
#include "tools/event-text.h"
#include "tools/verbs.h"

/* Events asked for at once: small enough that a page of large events fits in a message. */
#define PAGE 1000

typedef struct History {
        const Options *options;
        int64_t left; /* events still wanted */
        size_t n;     /* events of the page */
        EventId last; /* of the last event … */
        Timestamp time;
        bool more;
} History;

static void print_page(const Event *events, size_t n, bool more_follows, void *userdata) {
        History *h = userdata;

        n = MIN(n, (size_t) h->left);
        for (size_t i = 0; i < n; i++)
                event_print(&events[i], h->options);
        h->left -= (int64_t) n;
        h->n = n;
        h->more = more_follows;
        if (n > 0) {
                h->last = events[n - 1].id;
                h->time = events[n - 1].timestamp;
        }
}

/* Returns whether another page is to be asked for. When the server has removed the event behind which it was
 * to begin, nothing comes: of the oldest first that means that everything up to it is gone, and what is left
 * begins at its time. */
static bool next_page(const History *h, EventerQuery *query) {
        bool removed = h->n == 0 && query->last_event_id && query->order == QUERY_ASCENDING;

        query->last_event_id = removed ? NULL : &h->last;
        if (removed)
                query->t_from = &h->time;
        return removed || (h->more && h->n > 0 && h->left > 0);
}

/* Whoever reads slowly, with a pager, holds us up for longer than the server waits for a sign of life: then
 * the next page is asked for on another connection. */
static int ask(EventConnection *c, const EventerQuery *query, History *h) {
        int r;

        r = event_connection_query(c, query, print_page, h);
        if (r >= 0 || h->n == 0 || !event_connection_is_lost(c))
                return r;
        r = event_connection_open(c, NULL, 0);
        return r < 0 ? r : event_connection_query(c, query, print_page, h);
}

static ExitStatus print_pages(EventConnection *c, const Options *o, const EventerQuery *first) {
        History h = { .options = o, .left = o->limit > 0 ? o->limit : INT64_MAX };
        EventerQuery query = *first;

        do {
                int64_t page = MIN(h.left, PAGE);
                int r;

                query.max_results = &page;
                r = ask(c, &query, &h);
                if (r < 0)
                        return event_connection_complain(c, r);
                if (fflush(stdout) != 0)
                        return complain(CTL_FAILED, "Cannot write: %s", g_strerror(errno));
        } while (next_page(&h, &query));
        return CTL_OK;
}

static ExitStatus parse_bounds(const Options *o, Timestamp *since, Timestamp *until, EventerQuery *query) {
        ExitStatus s = CTL_OK;

        if (o->since) {
                s = moment_argument("--since=", o->since, since);
                query->t_from = since;
        }
        if (s == CTL_OK && o->until) {
                s = moment_argument("--until=", o->until, until);
                query->t_to = until;
        }
        if (s == CTL_OK && o->since && o->until && timestamp_compare(since, until) > 0)
                return complain(CTL_USAGE, "--since=%s is later than --until=%s", o->since, o->until);
        return s;
}

ExitStatus verb_event_history(Client *bus, const Options *o, char **arguments) {
        _cleanup_(event_connection_freep) EventConnection *c = NULL;
        g_autoptr(GArray) types = NULL;
        EventerQuery query = {
                .kind = QUERY_TIMESERIES,
                .order = o->reverse ? QUERY_ASCENDING : QUERY_DESCENDING,
                .order_by = QUERY_BY_TIMESTAMP,
        };
        Timestamp since, until;
        ExitStatus s;

        s = event_patterns_parse(arguments, &types);
        if (s == CTL_OK)
                s = parse_bounds(o, &since, &until, &query);
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
        return print_pages(c, o, &query);
}
