/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder against a model that forgets nothing; what a burst of failures freezes. */
#include <stdlib.h>

#include "base/bounds.h"
#include "link/tap.h"

#define SMALL TAP_RECORDER_MIN
#define N_RECORDS 5000U

static uint8_t byte_of(uint64_t number, size_t i) {
        return (uint8_t) (number * 31 + i);
}

static size_t size_of(uint64_t number) {
        return (size_t) (number * 2654435761U % (TAP_BYTES_MAX + 1));
}

static void record(LinkTap *t, uint64_t number) {
        uint8_t data[TAP_BYTES_MAX];

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = byte_of(number, i);
        tap_record(t,
                   (TapHeader) { number, (uint32_t) number, (uint16_t) size_of(number), TAP_SENT, TAP_FRAME },
                   data);
}

static void check(const TapRecord *r, uint64_t number) {
        g_assert_cmpuint(r->number, ==, number);
        g_assert_cmpuint(r->header.when, ==, number);
        g_assert_cmpuint(r->header.size, ==, size_of(number));
        for (size_t i = 0; i < r->header.size; i++)
                g_assert_cmpuint(r->data[i], ==, byte_of(number, i));
}

/* What is kept is the newest, whole, and as much as fits. */
static size_t check_all(const LinkTap *t, TapCursor c, uint64_t end) {
        uint64_t missed, expected = 0;
        size_t bytes = 0, n = 0;
        TapRecord r;

        for (; tap_read(t, &c, &r, &missed); n++) {
                if (n > 0)
                        g_assert_cmpuint(r.number, ==, expected + missed);
                check(&r, r.number);
                expected = r.number + 1;
                bytes += r.header.size + sizeof(TapHeader) + 8;
        }
        g_assert_cmpuint(expected, ==, end);
        return bytes;
}

static void test_wrap(void) {
        static const size_t sizes[] = { SMALL, SMALL + 1, 10000, 65536 };

        for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
                LinkTap t = {};
                uint64_t missed;
                TapRecord r;
                TapCursor follower, c;

                tap_set_recorder(&t, sizes[i]);
                c = tap_oldest(&t);
                g_assert_false(tap_read(&t, &c, &r, &missed));
                follower = tap_newest(&t);
                for (uint64_t n = 0; n < N_RECORDS; n++) {
                        size_t bytes;

                        record(&t, n);
                        bytes = check_all(&t, tap_oldest(&t), n + 1);
                        if (n > sizes[i] / 64)
                                g_assert_cmpuint(bytes, >,
                                                 sizes[i] - sizes[i] / 16 - 2 * TAP_BYTES_MAX - 64);

                        g_assert_true(tap_read(&t, &follower, &r, &missed));
                        g_assert_cmpuint(missed, ==, 0);
                        check(&r, n);
                        g_assert_false(tap_read(&t, &follower, &r, &missed));
                }
                tap_done(&t);
        }
}

/* One that reads a record in so many is told how many it lost, and never gets a wrong one. */
static void test_slow(void) {
        LinkTap t = {};
        TapCursor c;
        uint64_t missed, lost = 0, seen = 0;
        TapRecord r;

        tap_set_recorder(&t, SMALL);
        c = tap_newest(&t);
        for (uint64_t n = 0; n < N_RECORDS; n++) {
                record(&t, n);
                if (n % 3 != 0)
                        continue;
                g_assert_true(tap_read(&t, &c, &r, &missed));
                check(&r, r.number);
                lost += missed;
                seen++;
                g_assert_cmpuint(r.number, ==, lost + seen - 1);
        }
        g_assert_cmpuint(lost, >, 0);
        g_assert_cmpuint(seen, >, N_RECORDS / 4);
        tap_done(&t);
}

static void fail(LinkTap *t, usec_t when) {
        tap_failed(t, 1, TAP_TIMEOUT, when, 0, NULL, 0);
}

static void good(LinkTap *t, usec_t when) {
        tap_received(t, when, 0, (const uint8_t *) "good", 4);
}

/* The last record of the frozen copy. */
static uint64_t frozen_end(const LinkTap *t) {
        return t->frozen.next;
}

static void test_freeze(void) {
        LinkTap t = {};

        tap_set_recorder(&t, SMALL);
        for (usec_t i = 1; i <= 10; i++)
                good(&t, i);
        g_assert_null(t.frozen.data);
        fail(&t, 11);
        g_assert_cmpuint(frozen_end(&t), ==, 11); /* with the failure itself */

        /* More of the same burst: silence heals nothing, nor does a frame now and then. */
        fail(&t, 12 + 2 * TAP_BURST_USEC);
        g_assert_cmpuint(frozen_end(&t), ==, 11);
        good(&t, 13 + 2 * TAP_BURST_USEC);
        fail(&t, 11 + 3 * TAP_BURST_USEC);
        g_assert_cmpuint(frozen_end(&t), ==, 11);

        /* Another one, after a good minute. */
        good(&t, 12 + 3 * TAP_BURST_USEC);
        fail(&t, 11 + 4 * TAP_BURST_USEC);
        g_assert_cmpuint(frozen_end(&t), ==, 16);
        g_assert_cmpuint(t.errors, ==, 4);
        g_assert_cmpuint(t.received, ==, 12);

        /* Some ends of connections are failures. */
        good(&t, 10 * TAP_BURST_USEC);
        tap_closed(&t, false, 10 * TAP_BURST_USEC, 0, "closed by the peer");
        g_assert_cmpuint(frozen_end(&t), ==, 16);
        tap_closed(&t, true, 10 * TAP_BURST_USEC, 0, "Connection reset by peer");
        g_assert_cmpuint(frozen_end(&t), ==, 19);
        g_assert_cmpuint(t.errors, ==, 4);
        tap_done(&t);
}

/* The frozen records come first, then those that the ring still has; the gap is told. */
static void test_read_frozen(void) {
        LinkTap t = {};
        uint64_t missed, expected = 0, total = 0;
        TapRecord r;
        TapCursor c;
        unsigned gaps = 0;

        tap_set_recorder(&t, SMALL);
        for (usec_t i = 1; i <= 100; i++)
                good(&t, i);
        fail(&t, 101);
        for (usec_t i = 0; i < 3; i++) /* all of it is in the ring still */
                good(&t, 102 + i);
        c = tap_oldest(&t);
        g_assert_true(tap_read(&t, &c, &r, &missed));
        g_assert_cmpuint(missed, ==, 0);
        g_assert_cmpuint(r.number, ==, 0);

        for (usec_t i = 0; i < 1000; i++)
                good(&t, 200 + i);
        c = tap_oldest(&t);
        for (uint64_t n = 0; tap_read(&t, &c, &r, &missed); n++) {
                if (n > 0)
                        g_assert_cmpuint(r.number, ==, expected + missed);
                gaps += missed > 0;
                total++;
                if (missed > 0)
                        g_assert_cmpuint(r.number, ==, t.ring.first);
                if (r.number == 100)
                        g_assert_cmpuint(r.header.kind, ==, TAP_TIMEOUT);
                expected = r.number + 1;
        }
        g_assert_cmpuint(gaps, ==, 1);
        g_assert_cmpuint(expected, ==, 1104);
        g_assert_cmpuint(total, >, 200);

        /* The burst after it replaces them under a reader's feet. */
        c = tap_oldest(&t);
        g_assert_true(tap_read(&t, &c, &r, &missed));
        good(&t, 10000 + TAP_BURST_USEC);
        fail(&t, 10001 + TAP_BURST_USEC);
        g_assert_true(tap_read(&t, &c, &r, &missed));
        g_assert_cmpuint(r.number, ==, t.ring.first);
        g_assert_cmpuint(missed, ==, r.number - 1);
        tap_done(&t);
}

static void on_record(const TapRecord *r, void *userdata) {
        *(unsigned *) userdata += 1;
        g_assert_cmpmem(r->data, r->header.size, "good", 4);
}

/* Without memory it still counts, and somebody may listen. */
static void test_none(void) {
        unsigned heard = 0;
        LinkTap t = { .listener = on_record, .userdata = &heard };
        uint64_t missed;
        TapRecord r;
        TapCursor c;

        good(&t, 1);
        good(&t, 2);
        t.listener = NULL;
        fail(&t, 3);
        c = tap_oldest(&t);
        g_assert_false(tap_read(&t, &c, &r, &missed));
        g_assert_cmpuint(heard, ==, 2);
        g_assert_cmpuint(t.received, ==, 2);
        g_assert_cmpuint(t.errors, ==, 1);
        tap_done(&t);
}

/* What is longer than a record is cut. */
static void test_long(void) {
        g_autofree uint8_t *data = g_malloc0(100000);
        LinkTap t = {};
        uint64_t missed;
        TapRecord r;
        TapCursor c;

        tap_set_recorder(&t, SMALL);
        c = tap_newest(&t);
        for (size_t i = 0; i < 20; i++) {
                tap_failed(&t, 1, TAP_GARBAGE, 1, 0, data, 100000);
                g_assert_true(tap_read(&t, &c, &r, &missed));
                g_assert_cmpuint(r.header.size, ==, TAP_BYTES_MAX);
        }
        tap_done(&t);
}

static void test_size(void) {
        LinkTap t = {};
        uint64_t missed;
        TapRecord r;
        TapCursor c;

        tap_set_recorder(&t, 1);
        g_assert_cmpuint(t.ring.size, ==, TAP_RECORDER_MIN);
        good(&t, 1);
        tap_set_recorder(&t, TAP_RECORDER_MIN); /* the next run */
        c = tap_oldest(&t);
        g_assert_true(tap_read(&t, &c, &r, &missed));

        tap_set_recorder(&t, TAP_RECORDER_USUAL);
        g_assert_false(tap_read(&t, &c, &r, &missed));
        good(&t, 2);
        g_assert_true(tap_read(&t, &c, &r, &missed));
        g_assert_cmpuint(r.number, ==, 1);
        tap_done(&t);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/tap/wrap", test_wrap);
        g_test_add_func("/tap/slow", test_slow);
        g_test_add_func("/tap/freeze", test_freeze);
        g_test_add_func("/tap/read-frozen", test_read_frozen);
        g_test_add_func("/tap/none", test_none);
        g_test_add_func("/tap/long", test_long);
        g_test_add_func("/tap/size", test_size);
        return g_test_run();
}
