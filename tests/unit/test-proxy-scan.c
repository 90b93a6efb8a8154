/* SPDX-License-Identifier: Apache-2.0 */
/* A scan of a disabled device: its lines, its ends, and who must not be scanned. */
#include <stdio.h>

#include "tests/unit/proxy-fixture.h"

#define LINE "{\"Event\": \"found\"}"
#define END_OF(reason, detail) "{\"Event\": \"end\", \"Reason\": \"" reason "\", \"Detail\": \"" detail "\"}\n"

static int scan(FILE **ret_lines) {
        int fd, r;

        r = proxy_scan(proxy, &(DeviceScanOptions) { 1, 9, 0 }, &fd);
        if (r < 0)
                return r;
        *ret_lines = fdopen(fd, "r");
        g_assert_nonnull(*ret_lines);
        return 0;
}

/* The lines up to their end. */
static void expect_lines(FILE *lines, const char *expected) {
        g_autoptr(GString) got = g_string_new(NULL);
        char line[LINE_PIPE_LINE_MAX + 1];

        while (fgets(line, sizeof(line), lines))
                g_string_append(got, line);
        (void) fclose(lines);
        g_assert_cmpstr(got->str, ==, expected);
}

static void test_scan(void) {
        FILE *lines = NULL, *more = NULL;

        setup(CONF_FORM_NATIVE);
        g_assert_cmpint(scan(&lines), ==, 0); /* an event server is not needed */
        g_assert_cmpint(scan(&more), ==, -EALREADY);
        device_scan_tell(proxy->scan->device, (JsonSpan) { LINE, strlen(LINE) });
        device_scan_ended(proxy->scan->device, DEVICE_REASON_NONE, NULL);
        device_scan_tell(proxy->scan->device, (JsonSpan) { LINE, strlen(LINE) }); /* too late */
        g_assert_cmpstr(trace->str, ==, "scan:1-9");
        turn();
        g_assert_cmpstr(trace->str, ==, "scan:1-9 scan-done");
        expect_lines(lines, LINE "\n" END_OF("none", ""));

        g_assert_cmpint(scan(&lines), ==, 0); /* and once more */
        device_scan_ended(proxy->scan->device, DEVICE_REASON_REFUSED, "cannot use it");
        turn();
        expect_lines(lines, END_OF("refused", "cannot use it"));
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_DISABLED);
        teardown();
}

/* It is over before the run begins: they want the same line. */
static void test_scan_enabled(void) {
        FILE *lines = NULL;

        setup(CONF_FORM_NATIVE);
        reach(FROM_DISABLED);
        g_assert_cmpint(scan(&lines), ==, 0);
        notify_enable("true");
        turn();
        g_assert_cmpstr(trace->str, ==, "scan:1-9 scan-done [starting] start");
        expect_lines(lines, END_OF("busy", "the device was enabled"));
        teardown();
}

static void test_scan_left(void) {
        FILE *lines = NULL;

        setup(CONF_FORM_NATIVE);
        g_assert_cmpint(scan(&lines), ==, 0);
        (void) fclose(lines);
        turn();
        g_assert_cmpstr(trace->str, ==, "scan:1-9 scan-done");
        teardown();
}

/* All that a scan finds has room; one that tells more than that is over, and so is its memory. */
static void test_scan_unread(void) {
        g_autofree char *line = g_strdup_printf("\"%0*d\"", 4000, 0);
        unsigned n = 0;
        FILE *lines = NULL;

        setup(CONF_FORM_NATIVE);
        g_assert_cmpint(scan(&lines), ==, 0);
        for (; !proxy->scan->ended; n++)
                device_scan_tell(proxy->scan->device, (JsonSpan) { line, strlen(line) });
        turn();
        g_assert_null(proxy->scan);
        g_assert_cmpuint(n, >, 10);
        (void) fclose(lines);
        teardown();
}

static void test_scan_exit(void) {
        FILE *lines = NULL;

        setup(CONF_FORM_NATIVE);
        g_assert_cmpint(scan(&lines), ==, 0);
        g_assert_false(proxy_is_idle(proxy));
        g_assert_true(gateway.busy);
        proxy_exit(proxy);
        turn();
        g_assert_true(proxy_is_idle(proxy));
        g_assert_false(gateway.busy);
        expect_lines(lines, END_OF("busy", "the gateway is stopping"));
        g_assert_cmpint(scan(&lines), ==, -ESHUTDOWN);
        teardown();
}

/* With a monitor server another gateway may poll the line: only the one that is blessed may scan, and no hand-over waits for it. */
static void test_scan_standby(void) {
        FILE *lines = NULL;

        setup(CONF_FORM_NATIVE);
        gateway.monitor = MONITOR_WAITING;
        g_assert_cmpint(scan(&lines), ==, -EBUSY);
        gateway.monitor = MONITOR_BLESSED;
        attach();
        g_assert_cmpint(scan(&lines), ==, -EBUSY);
        answer_enable(false);
        turn();
        g_assert_cmpint(scan(&lines), ==, 0);
        proxy_leave(proxy);
        turn();
        g_assert_true(proxy_is_idle(proxy));
        expect_lines(lines, END_OF("busy", "another gateway may be at work"));
        g_assert_cmpint(scan(&lines), ==, -EBUSY);
        teardown();
}

/* Only what is disabled, and could be scanned. */
static void test_scan_refused(void) {
        static const From enabled[] = { FROM_WAITING_GONE, FROM_WAITING_ASK, FROM_STARTING, FROM_RUNNING, FROM_STOPPING,
                                        FROM_FAILED_RETRY, FROM_FAILED_FINAL };
        FILE *lines;

        for (size_t i = 0; i < ELEMENTSOF(enabled); i++) {
                setup(CONF_FORM_NATIVE);
                reach(enabled[i]);
                g_assert_cmpint(scan(&lines), ==, -EBUSY);
                teardown();
        }
        setup(CONF_FORM_NATIVE);
        fake.scan_error = -ERANGE;
        g_assert_cmpint(scan(&lines), ==, -ERANGE);
        g_assert_true(proxy_is_idle(proxy));
        teardown();
        setup(CONF_FORM_HAT);
        reach(FROM_CONFIG_ERROR);
        g_assert_cmpint(scan(&lines), ==, -EBADMSG);
        teardown();
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        (void) signal(SIGPIPE, SIG_IGN); /* as the daemon */
        g_test_add_func("/proxy-scan/lines", test_scan);
        g_test_add_func("/proxy-scan/enabled", test_scan_enabled);
        g_test_add_func("/proxy-scan/left", test_scan_left);
        g_test_add_func("/proxy-scan/unread", test_scan_unread);
        g_test_add_func("/proxy-scan/exit", test_scan_exit);
        g_test_add_func("/proxy-scan/standby", test_scan_standby);
        g_test_add_func("/proxy-scan/refused", test_scan_refused);
        return g_test_run();
}
