/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as each sink gets them: a file, a service manager's pipe, the journal. The journal is replaced
 * by a function of its name here, which keeps the fields; stderr is replaced while a test runs. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/log.h"
#include "tests/unit/capture.h"

/* ---- what the sinks got ------------------------------------------------------------------------------- */

static GPtrArray *journal; /* of one line: `NAME=value` strings */
static int journal_result;

int sd_journal_sendv(const struct iovec *iov, int n) {
        g_ptr_array_set_size(journal, 0);
        for (int i = 0; i < n; i++)
                g_ptr_array_add(journal, g_strndup(iov[i].iov_base, iov[i].iov_len));
        return journal_result;
}

static const char *journal_field(const char *name) {
        for (guint i = 0; i < journal->len; i++) {
                const char *field = g_ptr_array_index(journal, i);

                if (g_str_has_prefix(field, name) && field[strlen(name)] == '=')
                        return field + strlen(name) + 1;
        }
        return NULL;
}

static Capture capture_pipe(void) {
        int fds[2];

        g_assert_cmpint(pipe2(fds, O_CLOEXEC | O_NONBLOCK), ==, 0);
        return capture_begin(fds[1], fds[0]);
}

static void name_journal_stream(unsigned long long inode_offset) {
        g_autofree char *value = NULL;
        struct stat st;

        g_assert_cmpint(fstat(STDERR_FILENO, &st), ==, 0);
        value = g_strdup_printf("%llu:%llu", (unsigned long long) st.st_dev,
                                (unsigned long long) st.st_ino + inode_offset);
        g_assert_cmpint(setenv("JOURNAL_STREAM", value, 1), ==, 0);
}

#define PLAIN_TIME "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "

static void assert_matches(const char *text, const char *pattern) {
        if (!g_regex_match_simple(pattern, text, 0, 0))
                g_error("\"%s\" does not match \"%s\"", text, pattern);
}

/* ---- sinks -------------------------------------------------------------------------------------------- */

static void test_plain(void) {
        Capture c = capture_file();
        g_autofree char *text = NULL;

        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        log_warning("value %i of %s", 7, "holding");
        text = capture_end(&c);
        assert_matches(text, PLAIN_TIME "warning value 7 of holding\n$");
}

/* A pipe that no service manager made, and one whose $JOURNAL_STREAM names another stream, inherited. */
static void test_foreign_pipe(void) {
        Capture c = capture_pipe();
        g_autofree char *text = NULL, *other = NULL;

        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        log_info("plain");
        text = capture_end(&c);
        assert_matches(text, PLAIN_TIME "info plain\n$");

        c = capture_file();
        name_journal_stream(1);
        g_assert_cmpint(setenv("INVOCATION_ID", "1", 1), ==, 0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        log_info("file");
        other = capture_end(&c);
        assert_matches(other, PLAIN_TIME "info file\n$");
}

static void test_service_pipe(void) {
        Capture c = capture_pipe();
        g_autofree char *text = NULL;

        g_assert_cmpint(setenv("INVOCATION_ID", "1", 1), ==, 0);
        log_setup(LOG_TARGET_AUTO, LOG_DEBUG);
        log_error("first");
        log_debug("second");
        text = capture_end(&c);
        g_assert_cmpstr(text, ==, "<3>first\n<7>second\n");
}

static void test_journal(void) {
        const LogContext context = { "modbus_master", "boiler", "failed",
                                     "0123456789abcdef0123456789abcdef" };
        Capture c = capture_file();
        g_autofree char *text = NULL;

        name_journal_stream(0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);

        g_assert_cmpint(log_full(LOG_ERR, -ECONNREFUSED, &context, "no connection: %m"), ==, -ECONNREFUSED);
        g_assert_cmpstr(journal_field("MESSAGE"), ==,
                        "modbus_master/boiler: no connection: Connection refused");
        g_assert_cmpstr(journal_field("PRIORITY"), ==, "3");
        g_assert_cmpstr(journal_field("ERRNO"), ==, G_STRINGIFY(ECONNREFUSED));
        g_assert_cmpstr(journal_field("GATEWAY_DEVICE_TYPE"), ==, "modbus_master");
        g_assert_cmpstr(journal_field("GATEWAY_DEVICE_NAME"), ==, "boiler");
        g_assert_cmpstr(journal_field("GATEWAY_STATE"), ==, "failed");
        g_assert_cmpstr(journal_field("MESSAGE_ID"), ==, "0123456789abcdef0123456789abcdef");
        g_assert_cmpstr(journal_field("SYSLOG_IDENTIFIER"), ==, "test-log");
        g_assert_cmpuint(journal->len, ==, 8);

        log_info("plain");
        g_assert_cmpstr(journal_field("MESSAGE"), ==, "plain");
        g_assert_cmpuint(journal->len, ==, 3);

        text = capture_end(&c);
        g_assert_cmpstr(text, ==, "");
}

/* A line that the journal does not take is not lost; stderr is the journal's stream, so it says the
 * level. */
static void test_journal_fails(void) {
        Capture c = capture_file();
        g_autofree char *text = NULL;

        name_journal_stream(0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        journal_result = -ENOBUFS;
        log_notice("rescued");
        journal_result = 0;
        text = capture_end(&c);
        g_assert_cmpstr(text, ==, "<5>rescued\n");
}

static void test_stderr_target(void) {
        Capture c = capture_file();
        g_autofree char *text = NULL;

        g_ptr_array_set_size(journal, 0);
        name_journal_stream(0);
        log_setup(LOG_TARGET_STDERR, LOG_INFO);
        log_info("to stderr");
        text = capture_end(&c);
        g_assert_cmpstr(text, ==, "<6>to stderr\n");
        g_assert_cmpuint(journal->len, ==, 0);
}

/* Asked for by name: the journal where there is one, else stderr rather than nothing. */
static void test_journal_target(void) {
        bool there = access("/run/systemd/journal/socket", W_OK) == 0;
        Capture c = capture_file();
        g_autofree char *text = NULL;

        g_ptr_array_set_size(journal, 0);
        log_setup(LOG_TARGET_JOURNAL, LOG_INFO);
        log_info("asked for");
        text = capture_end(&c);
        g_assert_cmpuint(journal->len > 0, ==, there);
        if (!there)
                assert_matches(text, PLAIN_TIME "info asked for\n$");
}

/* ---- lines -------------------------------------------------------------------------------------------- */

static void test_levels(void) {
        Capture c = capture_pipe();
        g_autofree char *text = NULL;
        unsigned evaluated = 0;

        g_assert_cmpint(setenv("INVOCATION_ID", "1", 1), ==, 0);
        log_setup(LOG_TARGET_AUTO, LOG_NOTICE);
        g_assert_true(log_on(LOG_NOTICE));
        g_assert_false(log_on(LOG_INFO));
        log_info("not seen %u", ++evaluated);
        g_assert_cmpint(log_debug_errno(-ENOENT, "not seen: %m"), ==, -ENOENT);
        log_set_max_level(LOG_DEBUG);
        g_assert_cmpint(log_get_max_level(), ==, LOG_DEBUG);
        log_debug("seen %u", ++evaluated);
        text = capture_end(&c);
        g_assert_cmpstr(text, ==, "<7>seen 1\n");
}

static void test_errno(void) {
        Capture c = capture_pipe();
        g_autofree char *text = NULL;

        g_assert_cmpint(setenv("INVOCATION_ID", "1", 1), ==, 0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        errno = EAGAIN;
        g_assert_cmpint(log_error_errno(-ENOENT, "no %s: %m", "file"), ==, -ENOENT);
        g_assert_cmpint(errno, ==, EAGAIN);
        g_assert_cmpint(log_warning_errno(ENOENT, "%m"), ==, ENOENT);
        text = capture_end(&c);
        g_assert_cmpstr(text, ==, "<3>no file: No such file or directory\n<4>No such file or directory\n");
}

static void test_harmless(void) {
        const LogContext context = { .device_name = "a\nPRIORITY=0" };
        Capture c = capture_pipe();
        g_autofree char *text = NULL;

        g_assert_cmpint(setenv("INVOCATION_ID", "1", 1), ==, 0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        log_info("%s", "a\n<0>b\tc\x1b[2J\x7f");
        log_info("%s", "\302\233csi \303\251\342\202\254 \xff\xed\xa0\x80");
        log_context(LOG_INFO, &context, "text");
        text = capture_end(&c);
        g_assert_cmpstr(text, ==,
                        "<6>a\\x0a<0>b\\x09c\\x1b[2J\\x7f\n"
                        "<6>\\xc2\\x9bcsi \303\251\342\202\254 \\xff\\xed\\xa0\\x80\n"
                        "<6>a\\x0aPRIORITY=0: text\n");

        c = capture_file();
        name_journal_stream(0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        log_context(LOG_INFO, &context, "a\nb");
        g_free(capture_end(&c));
        g_assert_cmpstr(journal_field("MESSAGE"), ==, "a\\x0aPRIORITY=0: a\\x0ab");
        g_assert_cmpstr(journal_field("GATEWAY_DEVICE_NAME"), ==, "a\\x0aPRIORITY=0");
}

/* Whatever is too long is cut off; the longest text of escapes still is one line. */
static void test_long(void) {
        g_autofree char *letters = g_strnfill(100000, 'x'), *controls = g_strnfill(100000, '\x01'),
                        *text = NULL;
        const LogContext context = { letters, controls, letters, letters };
        Capture c = capture_pipe();
        g_auto(GStrv) lines = NULL;

        g_assert_cmpint(setenv("INVOCATION_ID", "1", 1), ==, 0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        log_info("%s", letters);
        log_info("%s", controls);
        log_context(LOG_INFO, &context, "lost");
        text = capture_end(&c);
        lines = g_strsplit(text, "\n", -1);
        g_assert_cmpuint(g_strv_length(lines), ==, 4);
        g_assert_cmpuint(strlen(lines[0]), ==, 3 + 2047);
        g_assert_cmpuint(strlen(lines[1]), ==, 3 + 4 * 2047);
        g_assert_true(g_str_has_suffix(lines[1], "\\x01"));

        c = capture_file();
        name_journal_stream(0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        log_context(LOG_INFO, &context, "fields");
        g_free(capture_end(&c));
        g_assert_cmpuint(strlen(journal_field("GATEWAY_DEVICE_TYPE")), >, 100);
        g_assert_true(g_str_has_suffix(journal_field("GATEWAY_DEVICE_NAME"), "\\x01"));
}

static void test_glib(void) {
        Capture c = capture_pipe();
        g_autofree char *text = NULL;

        g_assert_cmpint(setenv("INVOCATION_ID", "1", 1), ==, 0);
        log_setup(LOG_TARGET_AUTO, LOG_INFO);
        g_log_structured("test", G_LOG_LEVEL_MESSAGE, "MESSAGE", "from %s", "GLib");
        g_log_structured("test", G_LOG_LEVEL_DEBUG, "MESSAGE", "not seen");
        text = capture_end(&c);
        g_assert_cmpstr(text, ==, "<5>from GLib\n");
}

static void test_names(void) {
        static const char *const levels[] = { "emerg",   "alert",  "crit", "err",
                                              "warning", "notice", "info", "debug" };

        for (int i = 0; i < (int) ELEMENTSOF(levels); i++) {
                const char number[] = { (char) ('0' + i), '\0' };

                g_assert_cmpint(log_level_from_string(levels[i]), ==, i);
                g_assert_cmpint(log_level_from_string(number), ==, i);
                g_assert_cmpstr(log_level_to_string(i), ==, levels[i]);
        }
        g_assert_cmpint(log_level_from_string("8"), ==, -EINVAL);
        g_assert_cmpint(log_level_from_string("07"), ==, -EINVAL);
        g_assert_cmpint(log_level_from_string(""), ==, -EINVAL);
        g_assert_cmpint(log_level_from_string(NULL), ==, -EINVAL);
        g_assert_cmpint(log_level_from_string("INFO"), ==, -EINVAL);
        g_assert_null(log_level_to_string(8));
        g_assert_null(log_level_to_string(-1));

        for (LogTarget t = 0; t < _LOG_TARGET_MAX; t++)
                g_assert_cmpint(log_target_from_string(log_target_to_string(t)), ==, t);
        g_assert_cmpint(log_target_from_string("syslog"), ==, _LOG_TARGET_INVALID);
        g_assert_null(log_target_to_string(_LOG_TARGET_MAX));
        g_assert_null(log_target_to_string(_LOG_TARGET_INVALID));
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        journal = g_ptr_array_new_with_free_func(g_free);

        g_test_add_func("/log/plain", test_plain);
        g_test_add_func("/log/foreign-pipe", test_foreign_pipe);
        g_test_add_func("/log/service-pipe", test_service_pipe);
        g_test_add_func("/log/journal", test_journal);
        g_test_add_func("/log/journal-fails", test_journal_fails);
        g_test_add_func("/log/stderr-target", test_stderr_target);
        g_test_add_func("/log/journal-target", test_journal_target);
        g_test_add_func("/log/levels", test_levels);
        g_test_add_func("/log/errno", test_errno);
        g_test_add_func("/log/harmless", test_harmless);
        g_test_add_func("/log/long", test_long);
        g_test_add_func("/log/glib", test_glib);
        g_test_add_func("/log/names", test_names);

        r = g_test_run();
        g_ptr_array_unref(journal);
        return r;
}
