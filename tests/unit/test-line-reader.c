/* SPDX-License-Identifier: Apache-2.0 */
/* tools/line-reader: lines in pieces, too long, without an end; the deadline, and a signal that comes when nobody waits. */
#include "tools/line-reader.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

typedef struct Fixture {
        LineReader *reader;
        int writer;
} Fixture;

static void fixture_init(Fixture *f, usec_t deadline) {
        int fds[2];

        g_assert_cmpint(pipe(fds), ==, 0);
        f->writer = fds[1];
        g_assert_cmpint(line_reader_new(fds[0], deadline, &f->reader), ==, 0);
        safe_close(fds[0]); /* the reader has its own */
}

static void fixture_done(Fixture *f) {
        line_reader_free(f->reader);
        safe_close(f->writer);
}

static void write_text(const Fixture *f, const char *text) {
        g_assert_cmpint(write(f->writer, text, strlen(text)), ==, strlen(text));
}

static void expect_line(Fixture *f, const char *text) {
        char *line;

        g_assert_cmpint(line_reader_next(f->reader, &line), ==, 1);
        g_assert_cmpstr(line, ==, text);
}

static void expect_end(Fixture *f, int r) {
        char *line;

        g_assert_cmpint(line_reader_next(f->reader, &line), ==, r);
}

static void test_lines(void) {
        Fixture f;

        fixture_init(&f, USEC_INFINITY);
        write_text(&f, "one\n\nthr");
        expect_line(&f, "one");
        expect_line(&f, "");
        write_text(&f, "ee\nhalf a line");
        expect_line(&f, "three");
        f.writer = safe_close(f.writer);
        expect_end(&f, 0);
        expect_end(&f, 0);
        fixture_done(&f);
}

static void *write_longest(void *userdata) {
        g_autofree char *line = g_strnfill(LINE_READER_LINE_MAX - 1, 'x');
        const Fixture *f = userdata;

        write_text(f, "first\n");
        write_text(f, line);
        write_text(f, "\n");
        write_text(f, line);
        write_text(f, "x");
        return NULL;
}

/* One that just has room, behind another; then one byte more. */
static void test_longest(void) {
        Fixture f;
        GThread *thread;
        char *line;

        fixture_init(&f, USEC_INFINITY);
        thread = g_thread_new("writer", write_longest, &f); /* a pipe may hold less */
        expect_line(&f, "first");
        g_assert_cmpint(line_reader_next(f.reader, &line), ==, 1);
        g_assert_cmpuint(strlen(line), ==, LINE_READER_LINE_MAX - 1);
        expect_end(&f, -EMSGSIZE);
        g_thread_join(thread);
        fixture_done(&f);
}

static void test_deadline(void) {
        usec_t deadline = now_usec(CLOCK_MONOTONIC) + 20 * USEC_PER_MSEC;
        Fixture f;

        fixture_init(&f, deadline);
        write_text(&f, "half a line");
        expect_end(&f, -ETIMEDOUT);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), >=, deadline);
        fixture_done(&f);
}

/* What is there already is read first; the end has its effect once. */
static void test_signals(void) {
        sigset_t set;
        Fixture f;

        fixture_init(&f, USEC_INFINITY);
        g_assert_cmpint(line_reader_catch_signals(f.reader), ==, 0);
        write_text(&f, "one\ntwo\n");
        expect_line(&f, "one");
        g_assert_cmpint(raise(SIGTERM), ==, 0);
        expect_line(&f, "two");
        expect_end(&f, -EINTR);
        fixture_done(&f);

        g_assert_cmpint(sigprocmask(SIG_BLOCK, NULL, &set), ==, 0);
        g_assert_false(sigismember(&set, SIGINT) || sigismember(&set, SIGTERM));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/line-reader/lines", test_lines);
        g_test_add_func("/line-reader/longest", test_longest);
        g_test_add_func("/line-reader/deadline", test_deadline);
        g_test_add_func("/line-reader/signals", test_signals);
        return g_test_run();
}
