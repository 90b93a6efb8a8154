/* SPDX-License-Identifier: Apache-2.0 */
/* Event types, wildcards, timestamps and payloads against rules.json. */

#include <errno.h>

#include "event/event.h"
#include "tests/unit/eventer-bodies.h"
#include "tests/unit/plain-match.h"

static void test_subscription(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "rules.json");
        FOREACH_ITEM(x, vector_get(v.root, "subscription")) {
                _cleanup_(body_types_done) BodyTypes queries = body_types(vector_get(x, "subscriptions"));
                _cleanup_(body_types_done) BodyTypes in = body_types(vector_get(x, "matching"));
                _cleanup_(body_types_done) BodyTypes out = body_types(vector_get(x, "not_matching"));

                g_assert_true(event_query_types_valid(queries.types, queries.n));
                for (size_t i = 0; i < in.n + out.n; i++) {
                        EventType type = i < in.n ? in.types[i] : out.types[i - in.n];

                        g_assert_true(matches_plainly(type, queries.types, queries.n) == (i < in.n));
                }
        }
}

static void assert_valid(JsonSpan list, bool valid) {
        _cleanup_(body_types_done) BodyTypes queries = body_types(list);

        g_assert_true(event_query_types_valid(queries.types, queries.n) == valid);
}

static void test_invalid_subscription(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "rules.json");
        FOREACH_ITEM(x, vector_get(v.root, "invalid_subscription")) {
                _cleanup_(body_types_done) BodyTypes queries = body_types(x);
                bool all = true;

                for (size_t i = 0; i < queries.n; i++)
                        all = all && event_query_type_valid(queries.types[i]);
                g_assert_false(all);
                assert_valid(x, false);
        }
        FOREACH_ITEM(x, vector_get(vector_get(v.root, "subscription_order_quirk"), "accepted"))
        assert_valid(x, true);
        FOREACH_ITEM(x, vector_get(vector_get(v.root, "subscription_order_quirk"), "rejected"))
        assert_valid(x, false);
}

/* The quirk of order is not looked for in each pair of a million types, nor in each byte of them: this ends at once, where it would
 * take minutes. */
static void test_invalid_subscription_bound(void) {
        enum { N = 500000, N_LONG = 1000, LONG = 32 << 10 };
        static const Subtype valid[] = { SUBTYPE("z"), SUBTYPE("*") }, invalid[] = { SUBTYPE("z"), SUBTYPE("*"), SUBTYPE("b") };
        g_autofree EventType *types = g_new0(EventType, 2 * N);
        g_autofree char *text = g_malloc0(LONG), *other = g_malloc0(LONG);
        const Subtype last_byte[] = { { text, LONG }, SUBTYPE("*") }, differs[] = { { other, LONG }, SUBTYPE("*"), SUBTYPE("b") };
        gint64 begin = g_get_monotonic_time();

        types[0] = (EventType) { valid, 2 };
        for (size_t i = N; i < 2 * N; i++)
                types[i] = (EventType) { invalid, 3 };
        g_assert_true(event_query_types_valid(types, 2 * N)); /* each is found at the first comparison */
        types[N - 1] = types[0];
        types[0] = (EventType) { 0 };
        g_assert_false(event_query_types_valid(types, 2 * N));

        other[LONG - 1] = 1;
        for (size_t i = 0; i < 2 * N_LONG; i++)
                types[i] = i < N_LONG ? (EventType) { last_byte, 2 } : (EventType) { differs, 3 };
        g_assert_false(event_query_types_valid(types, 2 * N_LONG));
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 10 * G_USEC_PER_SEC);
}

/* Equal text elsewhere is the same key; where a subtype ends is part of it. */
static void test_key(void) {
        char text[] = "ab";
        EventType type = { (Subtype[]) { SUBTYPE("a"), SUBTYPE("b") }, 2 },
                  again = { (Subtype[]) { { text, 1 }, { text + 1, 1 } }, 2 },
                  others[] = { { (Subtype[]) { SUBTYPE("ab") }, 1 },
                               { (Subtype[]) { SUBTYPE("ab"), SUBTYPE("") }, 2 },
                               { (Subtype[]) { SUBTYPE("a") }, 1 },
                               {} };

        g_assert_true(event_type_key_equal(&type, &again));
        g_assert_cmpuint(event_type_key_hash(&type), ==, event_type_key_hash(&again));
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                g_assert_false(event_type_key_equal(&type, &others[i]));
                g_assert_cmpuint(event_type_key_hash(&type), !=, event_type_key_hash(&others[i]));
        }
}

static void test_timestamps(void) {
        _vectors_ v = { 0 };
        Timestamp last = { .s = INT64_MIN };

        vectors_load(&v, "rules.json");
        FOREACH_ITEM(x, vector_get(v.root, "timestamp_ascending")) {
                Timestamp t = body_timestamp(x);

                g_assert_cmpint(timestamp_compare(&last, &t), <, 0);
                g_assert_cmpint(timestamp_compare(&t, &last), >, 0);
                g_assert_cmpint(timestamp_compare(&t, &t), ==, 0);
                last = t;
        }
        last = timestamp_now();
        g_assert_cmpint(last.s, >, 1700000000);
        g_assert_cmpint(last.us, <, 1000000);
}

static void test_prefix(void) {
        static const Subtype abc[] = { SUBTYPE("a"), SUBTYPE("b"), SUBTYPE("c/d") };
        EventType type = { abc, 3 }, prefix = { abc, 2 }, rest;
        g_autofree char *text = event_type_format(type), *empty = event_type_format((EventType) { 0 });

        g_assert_true(event_type_has_prefix(type, prefix, &rest));
        g_assert_cmpuint(rest.n, ==, 1);
        g_assert_true(subtype_is(rest.subtypes[0], "c/d"));
        g_assert_false(subtype_is(rest.subtypes[0], "c/"));
        g_assert_false(event_type_has_prefix(prefix, type, NULL));
        g_assert_true(event_type_has_prefix(type, type, &rest));
        g_assert_cmpuint(rest.n, ==, 0);
        g_assert_true(event_type_equal(type, type));
        g_assert_false(event_type_equal(type, prefix));
        g_assert_cmpstr(text, ==, "a/b/c\\/d");
        g_assert_cmpstr(empty, ==, "");
}

static void test_payload(void) {
        Event e = { .payload = { .kind = PAYLOAD_JSON, .json = JSON_LITERAL(" true ") } };
        JsonSpan v;

        g_assert_cmpint(event_payload_json(&e, &v), ==, 0);
        g_assert_cmpint(json_kind(v), ==, JSON_TRUE);
        e.payload.json = JSON_LITERAL("nope");
        g_assert_cmpint(event_payload_json(&e, &v), ==, -EBADMSG);
        e.payload.kind = PAYLOAD_BINARY;
        g_assert_cmpint(event_payload_json(&e, &v), ==, -ENODATA);
        e.payload.kind = PAYLOAD_NONE;
        g_assert_cmpint(event_payload_json(&e, &v), ==, -ENODATA);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/event-type/subscription", test_subscription);
        g_test_add_func("/event-type/invalid-subscription", test_invalid_subscription);
        g_test_add_func("/event-type/invalid-subscription-bound", test_invalid_subscription_bound);
        g_test_add_func("/event-type/key", test_key);
        g_test_add_func("/event-type/timestamps", test_timestamps);
        g_test_add_func("/event-type/prefix", test_prefix);
        g_test_add_func("/event-type/payload", test_payload);
        return g_test_run();
}
