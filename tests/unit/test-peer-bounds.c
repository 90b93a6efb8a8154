/* SPDX-License-Identifier: Apache-2.0 */
/* What one request of a client may hold, and what stays of its memory. */

#include <errno.h>

#include "event/server/peer-codec.h"

/* Lists are bounded before their memory is asked for, and what a burst took is given back. */
static void test_scratch(void) {
        _cleanup_(buffer_done) Buffer b = { 0 };
        PeerScratch s;
        const Event *events;
        EventerQuery q;
        SbsReader r;
        size_t n;

        peer_scratch_init(&s);
        sbs_write_integer(&b, PEER_EVENTS_MAX + 1);
        (void) memset(buffer_reserve(&b, 4 * PEER_EVENTS_MAX), 0x80, 4 * PEER_EVENTS_MAX);
        buffer_commit(&b, 4 * PEER_EVENTS_MAX);
        r = (SbsReader) { .at = buffer_begin(&b), .end = buffer_begin(&b) + buffer_size(&b) };
        g_assert_cmpint(register_request_decode(&r, &s, &events, &n), ==, -EMSGSIZE);
        g_assert_cmpuint(s.list.events->len, ==, 0);

        buffer_clear(&b);
        sbs_write_integer(&b, 0); /* latest, … */
        sbs_write_integer(&b, 1); /* … of types: */
        sbs_write_integer(&b, PEER_TYPES_MAX);
        (void) memset(buffer_reserve(&b, PEER_TYPES_MAX), 0x80, PEER_TYPES_MAX);
        buffer_commit(&b, PEER_TYPES_MAX);
        r = (SbsReader) { .at = buffer_begin(&b), .end = buffer_begin(&b) + buffer_size(&b) };
        g_assert_cmpint(query_decode(&r, &s, &q), ==, 0);
        g_assert_cmpuint(q.n_types, ==, PEER_TYPES_MAX);
        peer_scratch_trim(&s);
        g_assert_cmpuint(s.types->len, ==, 0);
        b.data[0] = b.data[1] = 0x80;
        r = (SbsReader) { .at = buffer_begin(&b), .end = buffer_begin(&b) + 2 };
        g_assert_cmpint(query_decode(&r, &s, &q), ==, 0);
        g_assert_null(q.types);
        g_assert_cmpuint(s.types->len, ==, 0);
        peer_scratch_done(&s);
}

/* How many subtypes n types of a query may have together, and what a registration of n empty events may have. */
static void test_request_bounds(void) {
        static const struct {
                bool query;
                size_t n, n_subtypes; /* events or types; subtypes of each */
                int r;
        } requests[] = {
                { true, PEER_TYPES_MAX, 4, 0 },
                { true, PEER_TYPES_MAX, 5, -EMSGSIZE },
                { true, PEER_TYPES_MAX + 1, 1, -EMSGSIZE },
                { true, 1, PEER_TYPES_SUBTYPES_MAX, 0 },
                { true, 1, PEER_TYPES_SUBTYPES_MAX + 1, -EMSGSIZE },
                { false, PEER_EVENTS_MAX, 8, 0 },
                { false, PEER_EVENTS_MAX, 9, -EMSGSIZE },
                { false, PEER_EVENTS_MAX + 1, 0, -EMSGSIZE },
                { false, 1, PEER_EVENTS_SUBTYPES_MAX, 0 },
                { false, 1, PEER_EVENTS_SUBTYPES_MAX + 1, -EMSGSIZE },
        };

        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                _cleanup_(buffer_done) Buffer b = { 0 };
                PeerScratch s;
                const Event *events;
                EventerQuery q;
                SbsReader r;
                size_t n;

                if (requests[i].query)
                        buffer_append(&b, "\x80\x81", 2); /* latest, of types */
                sbs_write_integer(&b, (int64_t) requests[i].n);
                for (size_t at = 0; at < requests[i].n; at++) {
                        sbs_write_integer(&b, (int64_t) requests[i].n_subtypes);
                        for (size_t j = 0; j < requests[i].n_subtypes; j++)
                                sbs_write_string(&b, "x", 1);
                        if (!requests[i].query)
                                buffer_append(&b, "\x80\x80", 2); /* neither source timestamp nor payload */
                }
                r = (SbsReader) { .at = buffer_begin(&b), .end = buffer_end(&b) };
                peer_scratch_init(&s);
                g_assert_cmpint(requests[i].query ? query_decode(&r, &s, &q) : register_request_decode(&r, &s, &events, &n), ==,
                                requests[i].r);
                peer_scratch_done(&s);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/peer-bounds/scratch", test_scratch);
        g_test_add_func("/peer-bounds/requests", test_request_bounds);
        return g_test_run();
}
