/* SPDX-License-Identifier: Apache-2.0 */
/* base/deadline on a real loop and clock. The lazy arming is checked through the timer descriptor of the
 * loop, which /proc/self/fdinfo shows. */

#include <stdio.h>

#include "base/deadline.h"
#include "base/macros.h"
#include "tests/unit/loop.h"

typedef struct Fixture {
        sd_event *event;
        Deadline *deadline;
        unsigned n_calls;
        usec_t called_at;
        usec_t again; /* callback sets it anew */
        bool free;    /* callback frees it */
} Fixture;

static void on_deadline(void *userdata) {
        Fixture *f = userdata;

        f->n_calls++;
        f->called_at = now_usec(CLOCK_MONOTONIC);
        g_assert_cmpuint(deadline_get(f->deadline), ==, USEC_INFINITY);
        if (f->free)
                f->deadline = deadline_free(f->deadline);
        else if (f->again > 0)
                deadline_set_relative(f->deadline, f->again);
}

static void set_up(Fixture *f, gconstpointer unused) {
        f->event = loop_new();
        g_assert_cmpint(deadline_new(f->event, "test", on_deadline, f, &f->deadline), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->deadline = deadline_free(f->deadline);
        f->event = sd_event_unref(f->event);
}

static void test_exact(Fixture *f, gconstpointer unused) {
        usec_t best = USEC_INFINITY;

        g_assert_cmpuint(deadline_get(f->deadline), ==, USEC_INFINITY);
        for (unsigned i = 1; i <= 20; i++) {
                usec_t when = now_usec(CLOCK_MONOTONIC) + 2 * USEC_PER_MSEC;

                deadline_set(f->deadline, when);
                g_assert_cmpuint(deadline_get(f->deadline), ==, when);
                LOOP_UNTIL(f->event, f->n_calls == i);
                g_assert_cmpuint(f->called_at, >=, when);
                best = MIN(best, f->called_at - when);
        }
        /* The default accuracy of sd-event would coalesce by up to 250 ms. */
        g_assert_cmpuint(best, <, 20 * USEC_PER_MSEC);
        g_assert_cmpuint(loop_settle(f->event), ==, 0);
        g_assert_cmpuint(f->n_calls, ==, 20);
}

static void test_past(Fixture *f, gconstpointer unused) {
        deadline_set(f->deadline, 0);
        g_assert_cmpuint(f->n_calls, ==, 0);
        LOOP_UNTIL(f->event, f->n_calls == 1);
        deadline_set(f->deadline, now_usec(CLOCK_MONOTONIC));
        g_assert_cmpuint(f->n_calls, ==, 1);
        LOOP_UNTIL(f->event, f->n_calls == 2);
}

static void test_later(Fixture *f, gconstpointer unused) {
        usec_t start = now_usec(CLOCK_MONOTONIC), when = start + 1100 * USEC_PER_MSEC;

        deadline_set(f->deadline, start + 1000 * USEC_PER_MSEC);
        loop_settle(f->event);
        deadline_set(f->deadline, when);
        LOOP_UNTIL(f->event, f->n_calls == 1);
        g_assert_cmpuint(f->called_at, >=, when);
}

static void test_earlier(Fixture *f, gconstpointer unused) {
        deadline_set_relative(f->deadline, 3600 * USEC_PER_SEC);
        loop_settle(f->event);
        deadline_set_relative(f->deadline, 10 * USEC_PER_MSEC);
        LOOP_UNTIL(f->event, f->n_calls == 1);
}

static void test_cleared(Fixture *f, gconstpointer unused) {
        _cleanup_(deadline_freep) Deadline *other = NULL;
        Fixture second = { 0 };

        deadline_set_relative(f->deadline, 1000 * USEC_PER_MSEC);
        loop_settle(f->event);
        deadline_set(f->deadline, USEC_INFINITY);

        /* A later one has fired: the time of the first is over. */
        g_assert_cmpint(deadline_new(f->event, "other", on_deadline, &second, &second.deadline), ==, 0);
        other = second.deadline;
        deadline_set_relative(other, 1100 * USEC_PER_MSEC);
        LOOP_UNTIL(f->event, second.n_calls == 1);
        g_assert_cmpuint(f->n_calls, ==, 0);

        /* And it works again. */
        deadline_set_relative(f->deadline, 5 * USEC_PER_MSEC);
        LOOP_UNTIL(f->event, f->n_calls == 1);
}

static void test_again(Fixture *f, gconstpointer unused) {
        usec_t start = now_usec(CLOCK_MONOTONIC);

        f->again = 2 * USEC_PER_MSEC;
        deadline_set(f->deadline, start);
        LOOP_UNTIL(f->event, f->n_calls == 10);
        g_assert_cmpuint(f->called_at - start, >=, 18 * USEC_PER_MSEC);
}

static void test_free_inside(Fixture *f, gconstpointer unused) {
        f->free = true;
        deadline_set(f->deadline, 0);
        LOOP_UNTIL(f->event, f->n_calls == 1);
        g_assert_null(f->deadline);
        g_assert_null(deadline_free(NULL));
}

/* Seconds left on the only timerfd of the process; 0: disarmed. */
static double timer_left(void) {
        g_autoptr(GDir) dir = g_dir_open("/proc/self/fdinfo", 0, NULL);
        const char *name;
        double left = -1;

        g_assert_nonnull(dir);
        while ((name = g_dir_read_name(dir))) {
                g_autofree char *path = g_build_filename("/proc/self/fdinfo", name, NULL), *text = NULL;
                const char *line;
                unsigned long long s, ns;

                if (!g_file_get_contents(path, &text, NULL, NULL))
                        continue;
                line = strstr(text, "it_value: (");
                if (!line)
                        continue;
                g_assert_cmpfloat(left, <, 0);
                g_assert_cmpint(sscanf(line, "it_value: (%llu, %llu)", &s, &ns), ==, 2);
                left = (double) s + (double) ns / 1e9;
        }
        g_assert_cmpfloat(left, >=, 0);
        return left;
}

static void test_lazy(Fixture *f, gconstpointer unused) {
        deadline_set_relative(f->deadline, 1000 * USEC_PER_SEC);
        loop_settle(f->event);
        g_assert_cmpfloat(timer_left(), <, 1001);

        /* Later and none: the kernel's timer stays. */
        deadline_set_relative(f->deadline, 5000 * USEC_PER_SEC);
        loop_settle(f->event);
        g_assert_cmpfloat(timer_left(), <, 1001);
        g_assert_cmpfloat(timer_left(), >, 900);
        deadline_set(f->deadline, USEC_INFINITY);
        loop_settle(f->event);
        g_assert_cmpfloat(timer_left(), >, 900);

        /* Earlier: it moves. */
        deadline_set_relative(f->deadline, 500 * USEC_PER_SEC);
        loop_settle(f->event);
        g_assert_cmpfloat(timer_left(), <, 501);
        g_assert_cmpuint(f->n_calls, ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/deadline/" name, Fixture, NULL, set_up, func, tear_down)
        ADD("exact", test_exact);
        ADD("past", test_past);
        ADD("later", test_later);
        ADD("earlier", test_earlier);
        ADD("cleared", test_cleared);
        ADD("again", test_again);
        ADD("free-inside", test_free_inside);
        ADD("lazy", test_lazy);
        return g_test_run();
}
