/* SPDX-License-Identifier: Apache-2.0 */
/* How fast the event store writes and answers, alone: store-bench FILE [EVENTS [TYPES [SESSION]]]. The file must not exist; it is left
 * for others to look at. One line a measurement. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "event/server/store.h"
#include "tests/bench/loopback.h"

#define COMMIT_BYTES (1U << 20) /* as the storage does it */
#define EVENT_BYTES 100U

typedef struct Bench {
        Store *store;
        unsigned long events, types, session;
        unsigned long number; /* of the next event */
        EventId id;
        Timestamp time;
} Bench;

static double seconds_since(uint64_t begin) {
        return (double) (monotonic_ns() - begin) / 1e9;
}

/* Of this process, which nothing else on the machine slows down. */
static double cpu_seconds(void) {
        struct timespec t = { 0 };

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int fail(const Bench *b, const char *what, int r) {
        fprintf(stderr, "store-bench: %s: %s (%s)\n", what, g_strerror(-r), b->store ? store_detail(b->store) : "");
        return r;
}

static int write_session(Bench *b) {
        static const Subtype words[] = { { "gateway", 7 }, { "demo", 4 }, { "modbus_master", 13 } };
        g_autofree Event *events = g_new0(Event, b->session);
        g_autofree Subtype *subtypes = g_new(Subtype, b->session * 5);
        g_autofree char *text = g_malloc(b->session * 64);
        char *at = text;

        b->id.session++;
        b->time.us += 500;
        if (b->time.us >= 1000000) {
                b->time.us -= 1000000;
                b->time.s++;
        }
        for (unsigned long i = 0; i < b->session; i++, b->number++) {
                unsigned long type = b->number % b->types;
                Subtype *s = subtypes + 5 * i;
                int n = snprintf(at, 32, "device-%lu", type / 100);

                memcpy(s, words, sizeof words);
                s[3] = (Subtype) { at, (size_t) n };
                at += n;
                n = snprintf(at, 32, "data-%lu", type % 100);
                s[4] = (Subtype) { at, (size_t) n };
                at += n;
                events[i] = (Event) {
                        .id = { 1, b->id.session, (int64_t) i + 1 },
                        .type = { s, 5 },
                        .timestamp = b->time,
                        .has_source = b->number % 4 == 0,
                        .source = b->time,
                        .payload = { .kind = PAYLOAD_JSON, .json = JSON_LITERAL("{\"value\": 12345, \"cause\": \"CHANGE\"}") },
                };
        }
        return store_write(b->store, events, b->session);
}

static int bench_write(Bench *b) {
        unsigned long since = 0;
        uint64_t begin = monotonic_ns();
        double cpu = cpu_seconds();
        int r;

        while (b->number < b->events) {
                r = write_session(b);
                if (r < 0)
                        return fail(b, "write", r);
                since += b->session * EVENT_BYTES;
                if (since < COMMIT_BYTES)
                        continue;
                since = 0;
                r = store_commit(b->store);
                if (r < 0)
                        return fail(b, "commit", r);
        }
        r = store_commit(b->store);
        if (r < 0)
                return fail(b, "commit", r);
        printf("write: %.0f events/s, %.0f a CPU second\n", (double) b->number / seconds_since(begin),
               (double) b->number / (cpu_seconds() - cpu));
        return 0;
}

static int bench_query(Bench *b, const char *name, const EventerQuery *query) {
        _cleanup_(store_query_freep) StoreQuery *q = NULL;
        _cleanup_(buffer_done) Buffer out = { 0 };
        uint64_t begin = monotonic_ns();
        unsigned steps = 0;
        int r;

        r = store_query_new(query, &q);
        if (r < 0)
                return fail(b, name, r);
        do {
                r = store_query_step(b->store, q, &out);
                steps++;
        } while (r > 0);
        if (r < 0)
                return fail(b, name, r);
        printf("%s: %.2f ms, %u steps, %zu bytes\n", name, seconds_since(begin) * 1e3, steps, buffer_size(&out));
        return 0;
}

static int bench_queries(Bench *b) {
        static const Subtype one[] = { { "gateway", 7 }, { "demo", 4 }, { "modbus_master", 13 }, { "device-0", 8 }, { "data-7", 6 } },
                             device[] = { { "gateway", 7 }, { "demo", 4 }, { "modbus_master", 13 }, { "device-0", 8 }, { "*", 1 } },
                             none[] = { { "gateway", 7 }, { "demo", 4 }, { "nobody", 6 }, { "*", 1 } };
        static const EventType types[] = { { one, 5 }, { device, 5 }, { none, 4 } };
        static const char *const names[] = { "one type", "one device", "no type" };
        const int64_t hundred = 100;
        EventId middle = { 1, b->id.session / 2, 1 };

        (void) bench_query(b, "latest, all", &(EventerQuery) { .kind = QUERY_LATEST });
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                g_autofree char *latest = g_strdup_printf("latest, %s", names[i]);

                (void) bench_query(b, latest, &(EventerQuery) { .kind = QUERY_LATEST, .types = types + i, .n_types = 1 });
                for (unsigned j = 0; j < 8; j++) {
                        g_autofree char *series = g_strdup_printf("timeseries, %s, %s, by %s%s", names[i],
                                                                  j & 1 ? "ascending" : "descending", j & 2 ? "source" : "time",
                                                                  j & 4 ? ", from the middle" : "");

                        (void) bench_query(b, series, &(EventerQuery) { .kind = QUERY_TIMESERIES, .types = types + i, .n_types = 1,
                                                                        .order = (QueryOrder) (j & 1), .order_by = (QueryOrderBy) (j >> 1 & 1),
                                                                        .last_event_id = j & 4 ? &middle : NULL, .max_results = &hundred });
                }
        }
        (void) bench_query(b, "timeseries, all", &(EventerQuery) { .kind = QUERY_TIMESERIES });
        return bench_query(b, "server, all", &(EventerQuery) { .kind = QUERY_SERVER, .server_id = 1 });
}

static int bench_trim(Bench *b, const StoreOptions *options) {
        uint64_t begin = monotonic_ns();
        StoreOptions less = *options;
        unsigned steps = 0;
        int r;

        b->store = store_close(b->store);
        less.max_events = (int64_t) b->events / 2;
        begin = monotonic_ns();
        r = store_open(&less, &b->store, NULL);
        if (r < 0)
                return fail(b, "open", r);
        printf("open: %.2f ms\n", seconds_since(begin) * 1e3);
        begin = monotonic_ns();
        do {
                r = store_trim(b->store, b->time);
                steps++;
        } while (r > 0);
        if (r < 0)
                return fail(b, "trim", r);
        printf("trim: %.0f events/s, %u steps\n", (double) (b->events / 2) / seconds_since(begin), steps);
        return 0;
}

int main(int argc, char *argv[]) {
        Bench b = {
                .events = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000,
                .types = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000,
                .session = argc > 4 ? strtoul(argv[4], NULL, 10) : 125,
                .time = { .s = 1700000000 },
        };
        StoreOptions options = { .path = argc > 1 ? argv[1] : ":memory:", .max_age = USEC_INFINITY, .max_events = -1, .max_bytes = -1 };
        int r;

        if (b.types == 0 || b.session == 0)
                return EXIT_FAILURE;
        r = store_open(&options, &b.store, NULL);
        if (r < 0) {
                (void) fail(&b, "open", r);
                return EXIT_FAILURE;
        }
        if (bench_write(&b) < 0 || bench_queries(&b) < 0 || bench_trim(&b, &options) < 0)
                return EXIT_FAILURE;
        b.store = store_close(b.store);
        return EXIT_SUCCESS;
}
