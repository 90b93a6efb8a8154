/* SPDX-License-Identifier: Apache-2.0 */
/* Event types, wildcards, timestamps, order, payloads: spec wire.md 3.3 to 3.5. Pure functions, any thread. */

#include "event/event.h"

#include <errno.h>

/* Comparisons, each of so many bytes, in which the quirk of order is looked for: the pairs of a million
 * types are too many. */
#define QUIRK_BUDGET ((size_t) 1 << 20)
#define QUIRK_BYTES 64U

bool subtype_is(Subtype a, const char *text) {
        return a.size == strlen(text) && memcmp(a.text, text, a.size) == 0;
}

static bool subtype_is_rest(Subtype a) {
        return a.size == 1 && a.text[0] == '*';
}

bool event_type_equal(EventType a, EventType b) {
        return a.n == b.n && event_type_has_prefix(a, b, NULL);
}

bool event_type_has_prefix(EventType type, EventType prefix, EventType *ret_rest) {
        if (type.n < prefix.n)
                return false;
        for (size_t i = 0; i < prefix.n; i++)
                if (!subtype_equal(type.subtypes[i], prefix.subtypes[i]))
                        return false;
        if (ret_rest)
                *ret_rest = (EventType) {
                        .subtypes = type.n > prefix.n ? type.subtypes + prefix.n : NULL,
                        .n = type.n - prefix.n,
                };
        return true;
}

/* Index of the first `*`, n when there is none. */
static size_t query_first_rest(EventType query) {
        size_t i = 0;

        while (i < query.n && !subtype_is_rest(query.subtypes[i]))
                i++;
        return i;
}

bool event_query_type_valid(EventType query) {
        return query_first_rest(query) + 1 >= query.n;
}

/* Whether `query`, whose first `*` is at `rest`, would be entered behind the `*` that ends `earlier`: it
 * starts with what precedes that, and has no `*` in it. What it looks at is taken from budget; with nothing
 * left it is not. */
static bool query_is_shadowed(EventType query, size_t rest, EventType earlier, size_t *budget) {
        size_t n = earlier.n;

        *budget -= 1;
        if (n == 0 || n - 1 > rest || !subtype_is_rest(earlier.subtypes[n - 1]))
                return false;
        for (size_t i = 0; i < n - 1; i++) {
                size_t cost = 1 + query.subtypes[i].size / QUIRK_BYTES;

                if (cost > *budget || !subtype_equal(query.subtypes[i], earlier.subtypes[i]))
                        return false;
                *budget -= cost;
        }
        return true;
}

bool event_query_types_valid(const EventType *queries, size_t n) {
        size_t budget = QUIRK_BUDGET;

        for (size_t i = 0; i < n; i++) {
                size_t rest = query_first_rest(queries[i]);
                bool shadowed = rest + 1 >= queries[i].n;

                for (size_t j = 0; j < i && budget > 0 && !shadowed; j++)
                        shadowed = query_is_shadowed(queries[i], rest, queries[j], &budget);
                if (!shadowed)
                        return false;
        }
        return true;
}

char *event_type_format(EventType type) {
        GString *s = g_string_new(NULL);

        for (size_t i = 0; i < type.n; i++) {
                if (i > 0)
                        g_string_append_c(s, '/');
                for (size_t j = 0; j < type.subtypes[i].size; j++) {
                        char c = type.subtypes[i].text[j];

                        if (c == '/')
                                g_string_append(s, "\\/");
                        else if (c == 0)
                                g_string_append(s, "\\0");
                        else
                                g_string_append_c(s, c);
                }
        }
        return g_string_free(s, FALSE);
}

/* ---- keys -------------------------------------------------------------------------------------------- */

#define FNV_PRIME 16777619U
#define FNV_BASIS 2166136261U

static uint32_t hash_subtype(uint32_t h, Subtype s) {
        for (size_t i = 0; i < s.size; i++)
                h = (h ^ (uint8_t) s.text[i]) * FNV_PRIME;
        return h;
}

unsigned subtype_key_hash(gconstpointer subtype) {
        return hash_subtype(FNV_BASIS, *(const Subtype *) subtype);
}

gboolean subtype_key_equal(gconstpointer a, gconstpointer b) {
        return subtype_equal(*(const Subtype *) a, *(const Subtype *) b);
}

unsigned event_type_key_hash(gconstpointer type) {
        const EventType *t = type;
        uint32_t h = FNV_BASIS;

        for (size_t i = 0; i < t->n; i++)
                h = hash_subtype(h, t->subtypes[i]) * FNV_PRIME; /* a zero between them */
        return h;
}

gboolean event_type_key_equal(gconstpointer a, gconstpointer b) {
        return event_type_equal(*(const EventType *) a, *(const EventType *) b);
}

/* ---- timestamps, payloads ---------------------------------------------------------------------------- */

Timestamp timestamp_now(void) {
        usec_t now = now_usec(CLOCK_REALTIME);

        return (Timestamp) { .s = (int64_t) (now / USEC_PER_SEC), .us = (int32_t) (now % USEC_PER_SEC) };
}

int timestamp_compare(const Timestamp *a, const Timestamp *b) {
        if (a->s != b->s)
                return a->s < b->s ? -1 : 1;
        return (a->us > b->us) - (a->us < b->us);
}

int event_payload_json(const Event *e, JsonSpan *ret) {
        if (e->payload.kind != PAYLOAD_JSON)
                return -ENODATA;
        return json_check(e->payload.json.text, e->payload.json.size, ret);
}
