/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for a reader that is slow, or leaves. Main thread. */

#include "daemon/line-pipe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define WAIT_USEC 5000000U

typedef struct Fixture {
        sd_event *event;
        LinePipe *pipe;
        FILE *reader;
        unsigned left;
} Fixture;

static void on_left(void *userdata) {
        Fixture *f = userdata;

        f->left++;
}

static void fixture_init(Fixture *f) {
        int fd;

        *f = (Fixture) {};
        g_assert_cmpint(sd_event_new(&f->event), >=, 0);
        g_assert_cmpint(line_pipe_new(f->event, 64 << 10, on_left, f, &f->pipe, &fd), ==, 0);
        f->reader = fdopen(fd, "r");
        g_assert_nonnull(f->reader);
}

static void fixture_done(Fixture *f) {
        f->pipe = line_pipe_free(f->pipe);
        if (f->reader)
                (void) fclose(f->reader);
        sd_event_unref(f->event);
}

static int write_text(Fixture *f, const char *text) {
        return line_pipe_write(f->pipe, (JsonSpan) { text, strlen(text) });
}

static void expect_line(Fixture *f, const char *text) {
        char line[LINE_PIPE_LINE_MAX + 1];

        g_assert_nonnull(fgets(line, sizeof(line), f->reader));
        g_assert_cmpstr(line, ==, text);
}

/* The end comes after everything that was written. */
static void test_lines(void) {
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(write_text(&f, "{\"a\":1}"), ==, 0);
        g_assert_cmpint(write_text(&f, "2"), ==, 0);
        f.pipe = line_pipe_free(f.pipe);
        expect_line(&f, "{\"a\":1}\n");
        expect_line(&f, "2\n");
        g_assert_cmpint(fgetc(f.reader), ==, EOF);
        fixture_done(&f);
}

/* A line has room or is refused; none comes in part. */
static void test_full(void) {
        g_autofree char *line = g_strnfill(1000, 'x'), *longest = g_strnfill(LINE_PIPE_LINE_MAX - 1, 'y'),
                        *too_long = g_strnfill(LINE_PIPE_LINE_MAX, 'z'), *expected = g_strconcat(line, "\n", NULL);
        unsigned n = 0;
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(write_text(&f, too_long), ==, -E2BIG);
        while (write_text(&f, line) == 0)
                n++;
        g_assert_cmpint(write_text(&f, line), ==, -EAGAIN);
        g_assert_cmpuint(n, >=, 32);
        for (unsigned i = 0; i < n; i++)
                expect_line(&f, expected);
        g_assert_cmpint(write_text(&f, longest), ==, 0);
        f.pipe = line_pipe_free(f.pipe);
        g_free(expected);
        expected = g_strconcat(longest, "\n", NULL);
        expect_line(&f, expected);
        g_assert_cmpint(fgetc(f.reader), ==, EOF);
        fixture_done(&f);
}

static void test_left(void) {
        Fixture f;

        fixture_init(&f);
        g_assert_cmpint(write_text(&f, "1"), ==, 0);
        g_assert_cmpint(sd_event_run(f.event, 0), ==, 0);
        g_assert_cmpuint(f.left, ==, 0);
        (void) fclose(TAKE_PTR(f.reader));
        g_assert_cmpint(write_text(&f, "2"), ==, -EPIPE);
        g_assert_cmpint(sd_event_run(f.event, WAIT_USEC), >, 0);
        g_assert_cmpuint(f.left, ==, 1);
        g_assert_cmpint(sd_event_run(f.event, 0), ==, 0); /* once */
        fixture_done(&f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        g_test_add_func("/line-pipe/lines", test_lines);
        g_test_add_func("/line-pipe/full", test_full);
        g_test_add_func("/line-pipe/left", test_left);
        return g_test_run();
}
