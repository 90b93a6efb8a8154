/* SPDX-License-Identifier: Apache-2.0 */
/* base/turn-end on a real loop: once, behind everything that is ready. Main thread. */

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/turn-end.h"
#include "tests/unit/loop.h"
#include "tests/unit/trace.h"

#define SOURCES 8

typedef struct Fixture {
        sd_event *event;
        TurnEnd *end;
        sd_event_source *sources[SOURCES];
        unsigned again; /* the callback arms it so often */
        bool free;      /* the callback frees it */
} Fixture;

static void on_end(void *userdata) {
        Fixture *f = userdata;

        note("end");
        if (f->free)
                f->end = turn_end_free(f->end);
        else if (f->again > 0) {
                f->again--;
                turn_end_arm(f->end);
        }
}

static int on_ready(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Fixture *f = userdata;

        note("ready");
        turn_end_arm(f->end);
        return 0;
}

static void set_up(Fixture *f, gconstpointer unused) {
        trace = g_string_new(NULL);
        f->event = loop_new();
        g_assert_cmpint(turn_end_new(f->event, "test", on_end, f, &f->end), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->end = turn_end_free(f->end);
        for (unsigned i = 0; i < SOURCES; i++)
                sd_event_source_disable_unref(f->sources[i]);
        sd_event_unref(f->event);
        g_string_free(trace, TRUE);
}

/* Armed by the first of the sources that are ready, it waits for all of them. */
static void test_behind(Fixture *f, gconstpointer unused) {
        for (unsigned i = 0; i < SOURCES; i++) {
                int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

                g_assert_cmpint(fd, >=, 0);
                g_assert_cmpint(sd_event_add_io(f->event, &f->sources[i], fd, EPOLLIN | EPOLLET, on_ready, f), >=, 0);
                g_assert_cmpint(sd_event_source_set_io_fd_own(f->sources[i], 1), >=, 0);
        }
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "ready ready ready ready ready ready ready ready end");
}

static void test_again(Fixture *f, gconstpointer unused) {
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "");
        f->again = 2;
        turn_end_arm(f->end);
        turn_end_arm(f->end);
        g_assert_cmpstr(trace->str, ==, "");
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "end end end");
}

static void test_free(Fixture *f, gconstpointer unused) {
        f->free = true;
        turn_end_arm(f->end);
        loop_settle(f->event);
        g_assert_cmpstr(trace->str, ==, "end");
        g_assert_null(f->end);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/turn-end/" name, Fixture, NULL, set_up, func, tear_down)
        ADD("behind", test_behind);
        ADD("again", test_again);
        ADD("free", test_free);
        return g_test_run();
}
