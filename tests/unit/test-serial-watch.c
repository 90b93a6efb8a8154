/* SPDX-License-Identifier: Apache-2.0 */
/* link/path-watch: files that come, by every way in which a serial adapter can. */

#include "link/path-watch.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/loop.h"
#include "tests/unit/pty.h"

typedef struct Fixture {
        sd_event *event;
        char *directory;
        PathWatch *watch;
        unsigned n; /* calls */
        bool free_in_callback;
} Fixture;

static void on_change(void *userdata) {
        Fixture *f = userdata;

        f->n++;
        if (f->free_in_callback)
                f->watch = path_watch_free(f->watch);
}

static void set_up(Fixture *f, gconstpointer unused) {
        f->event = loop_new();
        f->directory = g_dir_make_tmp("gatewayd-watch-XXXXXX", NULL);
        g_assert_nonnull(f->directory);
}

static void remove_all(const char *path) {
        g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
                        remove_all(child);
                else
                        (void) unlink(child);
        }
        (void) rmdir(path);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->watch = path_watch_free(f->watch);
        remove_all(f->directory);
        g_free(f->directory);
        f->event = sd_event_unref(f->event);
}

static void watch(Fixture *f, const char *name) {
        g_autofree char *path = g_build_filename(f->directory, name, NULL);

        f->watch = path_watch_free(f->watch);
        f->n = 0;
        g_assert_cmpint(path_watch_new(f->event, path, "test", on_change, f, &f->watch), ==, 0);
}

static void make_file(Fixture *f, const char *name) {
        g_autofree char *path = g_build_filename(f->directory, name, NULL);

        g_assert_true(g_file_set_contents(path, "", 0, NULL));
}

static void make_directory(Fixture *f, const char *name) {
        g_autofree char *path = g_build_filename(f->directory, name, NULL);

        g_assert_cmpint(mkdir(path, 0700), ==, 0);
}

static void make_link(Fixture *f, const char *target, const char *name) {
        g_autofree char *path = g_build_filename(f->directory, name, NULL);

        g_assert_cmpint(symlink(target, path), ==, 0);
}

static void take_away(Fixture *f, const char *name) {
        g_autofree char *path = g_build_filename(f->directory, name, NULL);

        g_assert_cmpint(remove(path), ==, 0);
}

static void move_it(Fixture *f, const char *from, const char *to) {
        g_autofree char *a = g_build_filename(f->directory, from, NULL),
                        *b = g_build_filename(f->directory, to, NULL);

        g_assert_cmpint(rename(a, b), ==, 0);
}

/* Called since the last time, soon (the loop is woken, it does not look). */
static void expect_call(Fixture *f) {
        usec_t begin = now_usec(CLOCK_MONOTONIC);

        LOOP_UNTIL(f->event, f->n > 0);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - begin, <, 10 * USEC_PER_SEC);
        loop_settle(f->event);
        f->n = 0;
}

static void expect_no_call(Fixture *f) {
        loop_settle(f->event);
        g_assert_cmpuint(f->n, ==, 0);
}

static void test_made(Fixture *f, gconstpointer unused) {
        watch(f, "line");
        make_file(f, "other");
        expect_no_call(f);
        make_file(f, "line");
        expect_call(f);
        take_away(f, "line");
        expect_no_call(f);
        make_file(f, "line"); /* again and again */
        expect_call(f);
}

static void test_moved(Fixture *f, gconstpointer unused) {
        make_file(f, "other");
        watch(f, "line");
        move_it(f, "other", "line");
        expect_call(f);
        move_it(f, "line", "other");
        expect_no_call(f);
}

/* udev makes the file and then gives it to a group. */
static void test_mode(Fixture *f, gconstpointer unused) {
        g_autofree char *path = g_build_filename(f->directory, "line", NULL);

        make_file(f, "line");
        watch(f, "line");
        expect_no_call(f);
        g_assert_cmpint(chmod(path, 0660), ==, 0);
        expect_call(f);
}

/* As /dev/serial/by-id/usb-…: both directories are missing. */
static void test_missing_parents(Fixture *f, gconstpointer unused) {
        watch(f, "serial/by-id/line");
        make_directory(f, "serial");
        expect_no_call(f);
        make_directory(f, "serial/by-id");
        expect_no_call(f);
        make_file(f, "serial/by-id/line");
        expect_call(f);

        take_away(f, "serial/by-id/line");
        take_away(f, "serial/by-id");
        take_away(f, "serial");
        expect_no_call(f);
        make_directory(f, "serial"); /* faster than the loop */
        make_directory(f, "serial/by-id");
        make_file(f, "serial/by-id/line");
        expect_call(f);
}

static void test_links(Fixture *f, gconstpointer unused) {
        g_autofree char *absolute = g_build_filename(f->directory, "tty1", NULL);

        make_directory(f, "by-id");
        watch(f, "by-id/line");
        make_link(f, "../tty0", "by-id/line"); /* leads nowhere yet */
        expect_no_call(f);
        make_file(f, "tty0");
        expect_call(f);
        take_away(f, "tty0");
        expect_no_call(f);
        make_file(f, "tty0");
        expect_call(f);

        take_away(f, "by-id/line");
        make_link(f, absolute, "by-id/line");
        expect_no_call(f);
        make_file(f, "tty0.new");
        move_it(f, "tty0.new", "tty1");
        expect_call(f);

        take_away(f, "by-id/line");
        make_link(f, ".././by-id/../tty0", "by-id/line");
        expect_call(f);
}

static void test_link_to_a_directory(Fixture *f, gconstpointer unused) {
        make_directory(f, "a");
        make_directory(f, "b");
        make_file(f, "b/line");
        make_link(f, "a", "current");
        watch(f, "current/line");
        expect_no_call(f);
        make_link(f, "b", "next");
        move_it(f, "next", "current");
        expect_call(f);
}

static void test_loop_of_links(Fixture *f, gconstpointer unused) {
        make_link(f, "y", "x");
        make_link(f, "x", "y");
        watch(f, "x");
        expect_no_call(f);
        take_away(f, "y");
        make_file(f, "y");
        expect_call(f);
}

static void test_free_in_callback(Fixture *f, gconstpointer unused) {
        f->free_in_callback = true;
        watch(f, "line");
        make_file(f, "line");
        LOOP_UNTIL(f->event, !f->watch);
        take_away(f, "line");
        make_file(f, "line");
        loop_settle(f->event);
        g_assert_cmpuint(f->n, ==, 1);
}

/* The watch goes on when there is no descriptor for another one, not even in place of its own. */
static void test_no_descriptors(Fixture *f, gconstpointer unused) {
        struct rlimit before, limit;
        int lowest;

        make_file(f, "other");
        lowest = dup(STDERR_FILENO);
        g_assert_cmpint(lowest, >=, 0);
        g_assert_cmpint(close(lowest), ==, 0);
        watch(f, "directory/line"); /* has that number */
        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        limit = before;
        limit.rlim_cur = (rlim_t) lowest;
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        g_assert_cmpint(dup(STDERR_FILENO), <, 0);

        make_directory(f, "directory");
        expect_no_call(f);
        for (unsigned i = 0; i < 3; i++) {
                move_it(f, "other", "directory/line");
                expect_call(f);
                move_it(f, "directory/line", "other");
                expect_no_call(f);
        }
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
        make_file(f, "directory/line");
        expect_call(f);
}

static void test_relative(Fixture *f, gconstpointer unused) {
        g_autofree char *before = g_get_current_dir();

        g_assert_cmpint(chdir(f->directory), ==, 0);
        g_assert_cmpint(path_watch_new(f->event, "line", "test", on_change, f, &f->watch), ==, 0);
        make_file(f, "line");
        expect_call(f);
        g_assert_cmpint(chdir(before), ==, 0);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *name;
                void (*run)(Fixture *f, gconstpointer unused);
        } tests[] = {
                { "made", test_made },
                { "moved", test_moved },
                { "mode", test_mode },
                { "missing-parents", test_missing_parents },
                { "links", test_links },
                { "link-to-a-directory", test_link_to_a_directory },
                { "loop-of-links", test_loop_of_links },
                { "free-in-callback", test_free_in_callback },
                { "no-descriptors", test_no_descriptors },
                { "relative", test_relative },
        };

        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
                g_autofree char *path = g_strconcat("/serial-watch/", tests[i].name, NULL);

                g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
        }
        return g_test_run();
}
