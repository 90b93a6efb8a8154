/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a monitor as a test writes them, and a component's messages as text:
 *   gw1@gateway null ready 3 | gw1@gateway null idle 0 (the token; 0: none). */
#pragma once

#include <inttypes.h>

#include "event/chatter.h"
#include "event/observer.h"
#include "event/sbs.h"

/* A component in the monitor's state. Tokens count from 1; 0: none. */
typedef struct MonitorEntry {
        int64_t cid, mid;
        const char *name, *group, *data; /* NULL: none; data: null */
        int64_t requested, token;
        bool ready;
        int64_t rank; /* 0: 1 */
} MonitorEntry;

static inline void write_optional_string(Buffer *b, const char *text) {
        sbs_write_integer(b, text != NULL);
        if (text)
                sbs_write_string(b, text, strlen(text));
}

static inline void write_optional_token(Buffer *b, int64_t token) {
        sbs_write_integer(b, token != 0);
        if (token != 0)
                sbs_write_integer(b, token);
}

/* HatObserver.MsgServer for the component cid, mid. */
static inline void monitor_message(Chatter *c, int64_t cid, int64_t mid, const MonitorEntry *entries, size_t n, Buffer *out) {
        _cleanup_(buffer_done) Buffer b = { 0 };

        sbs_write_integer(&b, cid);
        sbs_write_integer(&b, mid);
        sbs_write_integer(&b, (int64_t) n);
        for (size_t i = 0; i < n; i++) {
                const MonitorEntry *e = &entries[i];
                const char *data = e->data ?: "null";

                sbs_write_integer(&b, e->cid);
                sbs_write_integer(&b, e->mid);
                write_optional_string(&b, e->name);
                write_optional_string(&b, e->group);
                sbs_write_string(&b, data, strlen(data));
                sbs_write_integer(&b, e->rank ?: 1);
                write_optional_token(&b, e->requested);
                sbs_write_integer(&b, e->requested != 0);
                if (e->requested != 0)
                        sbs_write_float(&b, 1.5);
                write_optional_token(&b, e->token);
                sbs_write_boolean(&b, e->ready);
        }
        (void) chatter_send(c, true, "HatObserver.MsgServer", buffer_begin(&b), buffer_size(&b), out);
}

/* A HatObserver.MsgClient as text; caller frees. */
static inline char *component_message_text(const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };
        const char *name, *group, *data;
        size_t name_size, group_size, data_size;
        unsigned has_token;
        int64_t token = 0;
        bool ready;

        g_assert_true(chatter_message_is(m, "HatObserver.MsgClient"));
        g_assert_true(m->owner && m->token && m->last && m->first == m->id);
        g_assert_cmpint(sbs_read_string(&r, &name, &name_size), ==, 0);
        g_assert_cmpint(sbs_read_string(&r, &group, &group_size), ==, 0);
        g_assert_cmpint(sbs_read_string(&r, &data, &data_size), ==, 0);
        g_assert_cmpint(sbs_read_choice(&r, 2, &has_token), ==, 0);
        if (has_token)
                g_assert_cmpint(sbs_read_integer(&r, &token), ==, 0);
        g_assert_cmpint(sbs_read_boolean(&r, &ready), ==, 0);
        g_assert_true(r.at == r.end);
        return g_strdup_printf("%.*s@%.*s %.*s %s %" PRId64, (int) name_size, name, (int) group_size, group,
                               (int) data_size, data, ready ? "ready" : "idle", token);
}
