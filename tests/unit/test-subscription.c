/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions against rules.json, against the plain rule with random sets, and where size could
 * hurt. */

#include "event/server/subscription.h"
#include "tests/unit/eventer-bodies.h"
#include "tests/unit/plain-match.h"

static void assert_matches(const Subscription *s, const BodyTypes *types, bool expected) {
        for (size_t i = 0; i < types->n; i++)
                g_assert_true(subscription_matches(s, types->types[i]) == expected);
}

static void test_rules(void) {
        _vectors_ v = { 0 };

        vectors_load(&v, "rules.json");
        FOREACH_ITEM(x, vector_get(v.root, "subscription")) {
                BodyTypes queries = body_types(vector_get(x, "subscriptions"));
                _cleanup_(body_types_done) BodyTypes in = body_types(vector_get(x, "matching")),
                                                     out = body_types(vector_get(x, "not_matching"));
                _cleanup_(subscription_freep) Subscription *s = subscription_new(queries.types, queries.n);

                body_types_done(&queries); /* it has copies */
                assert_matches(s, &in, true);
                assert_matches(s, &out, false);
        }

        /* Lists that are accepted because of their order. */
        FOREACH_ITEM(x, vector_get(vector_get(v.root, "subscription_order_quirk"), "accepted")) {
                _cleanup_(body_types_done) BodyTypes queries = body_types(x);
                _cleanup_(subscription_freep) Subscription *s = subscription_new(queries.types, queries.n);

                for (size_t i = 0; i < queries.n; i++)
                        g_assert_true(subscription_matches(s, queries.types[i]) ==
                                      matches_plainly(queries.types[i], queries.types, queries.n));
        }
}

static void test_is_all(void) {
        static const Subtype rest[] = { SUBTYPE("*") }, any_rest[] = { SUBTYPE("?"), SUBTYPE("*") },
                             a[] = { SUBTYPE("a") };
        static const struct {
                EventType queries[3];
                size_t n;
                bool all;
        } lists[] = {
                { { { 0 } }, 0, false },
                { { { 0 } }, 1, false },
                { { { rest, 1 } }, 1, true },
                { { { a, 1 }, { rest, 1 }, { any_rest, 2 } }, 3, true },
                { { { any_rest, 2 }, { 0 } }, 2, false }, /* all the same, but nobody writes it so */
                { { { a, 1 } }, 1, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                _cleanup_(subscription_freep)
                                Subscription *s = subscription_new(lists[i].queries, lists[i].n);

                g_assert_true(subscription_is_all(s) == lists[i].all);
                g_assert_true(subscription_matches(s, (EventType) { 0 }) ==
                              matches_plainly((EventType) { 0 }, lists[i].queries, lists[i].n));
        }
        (void) subscription_free(NULL);
}

/* ---- random sets ------------------------------------------------------------------------------------- */

/* Few words, so that types often agree; some only differ in length, or behind a NUL. */
static const Subtype words[] = { SUBTYPE("a"),    SUBTYPE("b"),    SUBTYPE("ab"), SUBTYPE(""), SUBTYPE("a*"),
                                 SUBTYPE("a\0b"), SUBTYPE("a\0c"), SUBTYPE("?"),  SUBTYPE("*") };
#define N_LITERALS 7

static EventType random_type(GRand *rand, Subtype *memory, bool query) {
        size_t n = (size_t) g_rand_int_range(rand, 0, 7);

        for (size_t i = 0; i < n; i++)
                memory[i] = words[g_rand_int_range(rand, 0, query ? N_LITERALS + 1 : ELEMENTSOF(words))];
        if (query && n > 0 && g_rand_int_range(rand, 0, 3) == 0)
                memory[n - 1] = SUBTYPE("*");
        for (size_t i = 0; query && i < n; i++)
                if (memory[i].size == 1 && g_rand_int_range(rand, 0, 3) == 0 && memory[i].text[0] != '*')
                        memory[i] = SUBTYPE("?");
        return (EventType) { memory, n };
}

static void test_random(void) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(4);
        unsigned n_matching = 0, n_not = 0;

        for (unsigned round = 0; round < 1000; round++) {
                Subtype memory[40][8], type_memory[8];
                EventType queries[40];
                size_t n = (size_t) g_rand_int_range(rand, 0, round % 2 ? 40 : 4);
                _cleanup_(subscription_freep) Subscription *s = NULL;

                for (size_t i = 0; i < n; i++)
                        queries[i] = random_type(rand, memory[i], true);
                g_assert_true(event_query_types_valid(queries, n));
                s = subscription_new(queries, n);
                for (unsigned i = 0; i < 100; i++) {
                        EventType type = random_type(rand, type_memory, false);
                        bool expected = matches_plainly(type, queries, n);

                        g_assert_true(subscription_matches(s, type) == expected);
                        *(expected ? &n_matching : &n_not) += 1;
                }
        }
        g_assert_cmpuint(n_matching, >, 10000);
        g_assert_cmpuint(n_not, >, 10000);
}

/* ---- size -------------------------------------------------------------------------------------------- */

/* As many `?` and names as an init request can hold, in types as long as it can: no recursion, and no
 * node is visited twice, so that the worst event costs as much as the tree has nodes. */
static void test_deep(void) {
        enum {
                DEPTH = 200000
        };
        g_autofree Subtype *one = g_new(Subtype, DEPTH), *other = g_new(Subtype, DEPTH),
                           *type = g_new(Subtype, DEPTH);
        EventType queries[] = { { one, DEPTH }, { other, DEPTH } };
        _cleanup_(subscription_freep) Subscription *s = NULL;

        for (size_t i = 0; i < DEPTH; i++) {
                one[i] = i % 2 ? SUBTYPE("?") : SUBTYPE("a");
                other[i] = i % 2 ? SUBTYPE("a") : SUBTYPE("?");
                type[i] = SUBTYPE("a");
        }
        other[DEPTH - 1] = SUBTYPE("*");
        s = subscription_new(queries, 2);
        g_assert_true(subscription_matches(s, (EventType) { type, DEPTH }));
        g_assert_true(subscription_matches(s, (EventType) { type, DEPTH - 1 }));
        g_assert_false(subscription_matches(s, (EventType) { type, DEPTH - 2 }));
        type[DEPTH - 10] = SUBTYPE("b"); /* far down `one`, back to the root, then down `other` */
        g_assert_true(subscription_matches(s, (EventType) { type, DEPTH }) ==
                      matches_plainly((EventType) { type, DEPTH }, queries, 2));
        type[DEPTH - 11] = SUBTYPE("b");
        g_assert_false(subscription_matches(s, (EventType) { type, DEPTH }));
}

/* All 4096 mixtures of names and `?` of twelve levels: each event has as many ways down as there are. */
static void test_ways(void) {
        enum {
                LEVELS = 12,
                N = 1 << LEVELS
        };
        static Subtype memory[N][LEVELS];
        static EventType queries[N];
        Subtype type[LEVELS];
        _cleanup_(subscription_freep) Subscription *s = NULL;

        for (unsigned i = 0; i < N; i++) {
                for (unsigned j = 0; j < LEVELS; j++)
                        memory[i][j] = i >> j & 1 ? SUBTYPE("?") : SUBTYPE("a");
                queries[i] = (EventType) { memory[i], LEVELS };
        }
        s = subscription_new(queries, N);
        for (unsigned i = 0; i < LEVELS; i++)
                type[i] = SUBTYPE("a");
        g_assert_true(subscription_matches(s, (EventType) { type, LEVELS }));
        g_assert_false(subscription_matches(s, (EventType) { type, LEVELS - 1 }));
        for (unsigned i = 0; i < LEVELS; i++)
                type[i] = SUBTYPE("b");
        g_assert_true(subscription_matches(s, (EventType) { type, LEVELS })); /* only by `?` everywhere */
}

static void test_many(void) {
        enum {
                N = 10000
        };
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autofree Subtype *memory = g_new(Subtype, 6 * N);
        g_autofree EventType *queries = g_new(EventType, N);
        _cleanup_(subscription_freep) Subscription *s = NULL;
        Subtype type[7];

        for (unsigned i = 0; i < N; i++) {
                char *name = g_strdup_printf("device-%u", i * 7919 % N);
                Subtype subtypes[] = { SUBTYPE("gateway"),     SUBTYPE("gw"),     SUBTYPE("modbus_master"),
                                       { name, strlen(name) }, SUBTYPE("system"), SUBTYPE("*") };

                g_ptr_array_add(names, name);
                memcpy(memory + (size_t) 6 * i, subtypes, sizeof subtypes);
                queries[i] = (EventType) { memory + (size_t) 6 * i, 6 };
        }
        s = subscription_new(queries, N);
        for (unsigned i = 0; i < N; i++)
                g_assert_true(subscription_matches(s, queries[i]));

        memcpy(type, memory, 6 * sizeof(Subtype));
        type[6] = SUBTYPE("x");
        g_assert_true(subscription_matches(s, (EventType) { type, 7 }));
        g_assert_true(subscription_matches(s, (EventType) { type, 5 }));
        g_assert_false(subscription_matches(s, (EventType) { type, 4 }));
        type[3] = SUBTYPE("device-10000");
        g_assert_false(subscription_matches(s, (EventType) { type, 7 }));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/subscription/rules", test_rules);
        g_test_add_func("/subscription/is-all", test_is_all);
        g_test_add_func("/subscription/random", test_random);
        g_test_add_func("/subscription/deep", test_deep);
        g_test_add_func("/subscription/ways", test_ways);
        g_test_add_func("/subscription/many", test_many);
        return g_test_run();
}
