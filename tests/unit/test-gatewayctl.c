/* SPDX-License-Identifier: Apache-2.0 */
/* tools/: what gatewayctl decides without a bus: addresses, order, cutting, times, goals, exit statuses, descriptions. */
#include <errno.h>

#include <config.h>

#include "tools/address.h"
#include "tools/device-text.h"
#include "tools/exit-status.h"
#include "tools/output.h"
#include "tools/text.h"
#include "tools/wait-goal.h"

/* ---- text -------------------------------------------------------------------------------------------- */

static void test_width(void) {
        g_assert_cmpuint(text_width(""), ==, 0);
        g_assert_cmpuint(text_width("plc-1"), ==, 5);
        g_assert_cmpuint(text_width("žaba"), ==, 4);
        g_assert_cmpuint(text_width("漢字"), ==, 4);
        g_assert_cmpuint(text_width("e\xcc\x81"), ==, 1); /* a combining accent */
        g_assert_cmpuint(text_width("a\xff" "b"), ==, 3);
}

static void test_ellipsize(void) {
        static const struct {
                const char *text;
                size_t columns;
                const char *expected;
        } table[] = {
                { "", 1, "" },
                { "plc", 3, "plc" },
                { "plc", 2, "p…" },
                { "plc", 1, "…" },
                { "cannot connect", 8, "cannot…" }, /* no space before the sign */
                { "cannot connect", 9, "cannot c…" },
                { "漢字漢", 6, "漢字漢" },
                { "漢字漢", 5, "漢字…" },
                { "漢字漢", 4, "漢…" }, /* half a character is none */
                { "a\xff\xff\xff", 3, "a\xff…" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *s = text_ellipsize(table[i].text, table[i].columns);

                g_assert_cmpstr(s, ==, table[i].expected);
                g_assert_cmpuint(text_width(s), <=, table[i].columns);
        }
}

static void test_printable(void) {
        g_autofree char *s = text_printable("a\x1b[31mž\n\x7f\xc2\x9b\xff");

        g_assert_cmpstr(s, ==, "a\\x1b[31mž\\x0a\\x7f\\xc2\\x9b\\xff");
}

static void test_order(void) {
        static const char *const ordered[][2] = {
                { "gpio", "z" },
                { "modbus_master", "plc" },
                { "modbus_master", "plc-2" },
                { "modbus_master", "plc-10" },
                { "modbus_slave", "a" },
        };

        for (size_t i = 0; i < ELEMENTSOF(ordered); i++)
                for (size_t j = 0; j < ELEMENTSOF(ordered); j++) {
                        int r = compare_devices(ordered[i][0], ordered[i][1], ordered[j][0], ordered[j][1]);

                        g_assert_cmpint((r > 0) - (r < 0), ==, (i > j) - (i < j));
                }
}

static void test_durations(void) {
        static const struct {
                uint64_t seconds;
                const char *expected;
        } table[] = {
                { 0, "0s" },           { 59, "59s" },        { 60, "1min" },          { 3599, "59min" },
                { 3600, "1h" },        { 3660, "1h 1min" },  { 86399, "23h 59min" },  { 86400, "1d" },
                { 90000, "1d 1h" },    { 604799, "6d 23h" }, { 604800, "7d" },        { 864000, "10d" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *s = duration_to_text(table[i].seconds * USEC_PER_SEC + USEC_PER_SEC / 2);

                g_assert_cmpstr(s, ==, table[i].expected);
        }
}

static void test_ago(void) {
        g_autofree char *now = ago_to_text(1000000, 1999999), *ahead = ago_to_text(9000000, 1000000),
                        *past = ago_to_text(0, 200 * USEC_PER_SEC);

        g_assert_cmpstr(now, ==, "now");
        g_assert_cmpstr(ahead, ==, "now");
        g_assert_cmpstr(past, ==, "3min ago");
}

static void test_seconds(void) {
        usec_t t = 77;

        g_assert_cmpint(parse_seconds("", &t), ==, -EINVAL);
        g_assert_cmpint(parse_seconds("-1", &t), ==, -EINVAL);
        g_assert_cmpint(parse_seconds(" 1", &t), ==, -EINVAL);
        g_assert_cmpint(parse_seconds("1s", &t), ==, -EINVAL);
        g_assert_cmpint(parse_seconds("inf", &t), ==, -EINVAL);
        g_assert_cmpint(parse_seconds("1e999", &t), ==, -EINVAL);
        g_assert_cmpint(parse_seconds("0", &t), ==, -ERANGE);
        g_assert_cmpint(parse_seconds("10000001", &t), ==, -ERANGE);
        g_assert_cmpuint(t, ==, 77);
        g_assert_cmpint(parse_seconds("1.5", &t), ==, 0);
        g_assert_cmpuint(t, ==, 1500000);
        g_assert_cmpint(parse_seconds("10000000", &t), ==, 0);
        g_assert_cmpuint(t, ==, UINT64_C(10000000000000));
}

/* ---- addresses --------------------------------------------------------------------------------------- */

static void assert_split(const char *text, const char *type, const char *name) {
        g_autofree char *t = NULL, *n = NULL;

        g_assert_cmpint(address_split(text, &t, &n), ==, type != NULL);
        g_assert_cmpstr(t, ==, type);
        g_assert_cmpstr(n, ==, name);
}

static void test_split(void) {
        assert_split("modbus_master/plc", "modbus_master", "plc");
        assert_split("modbus_master/a/b", "modbus_master", "a/b");
        assert_split("modbus_master/", "modbus_master", "");
        assert_split("plc", NULL, NULL);
        assert_split("", NULL, NULL);
        assert_split("/io/gatewayd/Gateway1/device/modbus_5fmaster/plc_2d1", "modbus_master", "plc-1");
        assert_split("/io/gatewayd/Gateway1/device/modbus_5fmaster", NULL, NULL);
        assert_split("/io/other/device/a/b", NULL, NULL);
        assert_split("/not a path", NULL, NULL);
}

static void test_matches(void) {
        static const struct {
                const char *text;
                bool names, matches;
        } table[] = { /* of modbus_master/plc-1 */
                { "plc-1", true, true },
                { "modbus_master/plc-1", true, true },
                { "/io/gatewayd/Gateway1/device/modbus_5fmaster/plc_2d1", true, true },
                { "plc", false, false },
                { "modbus_slave/plc-1", false, false },
                { "plc-?", false, true },
                { "*", false, true },
                { "[pq]lc-[0-9]", false, true },
                { "modbus_*/plc*", false, true },
                { "modbus_*", false, false }, /* without `/` only names are compared */
                { "*/plc-2", false, false },
                { "/io/gatewayd/Gateway1/device/modbus_5fmaster/plc", false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const char *text = table[i].text;

                g_assert_cmpint(address_names(text, "modbus_master", "plc-1"), ==, table[i].names);
                g_assert_cmpint(address_matches(text, "modbus_master", "plc-1"), ==, table[i].matches);
        }
        g_assert_true(address_matches("a*[", "modbus_master", "a*[")); /* a name that looks like a pattern */
        g_assert_true(address_matches("modbus_master/a/b", "modbus_master", "a/b"));
        g_assert_true(address_is_glob("plc*"));
        g_assert_false(address_is_glob("modbus_master/plc-1"));
}

static void test_several(void) {
        g_assert_true(addresses_match(NULL, "t", "n"));
        g_assert_true(addresses_match((char *[]) { NULL }, "t", "n"));
        g_assert_true(addresses_match((char *[]) { (char *) "x", (char *) "t/n", NULL }, "t", "n"));
        g_assert_false(addresses_match((char *[]) { (char *) "x", NULL }, "t", "n"));
}

/* ---- exit statuses ----------------------------------------------------------------------------------- */

static void test_statuses(void) {
        static const struct {
                const char *name;
                int status;
        } table[] = {
                { BUS_ERROR_PREFIX ".NoSuchDevice", 4 },
                { "org.freedesktop.DBus.Error.UnknownObject", 4 },
                { BUS_ERROR_PREFIX ".NotEnabled", 1 },
                { BUS_ERROR_PREFIX ".NotConnected", 1 },
                { BUS_ERROR_PREFIX ".NotOperational", 1 },
                { BUS_ERROR_PREFIX ".InvalidConfig", 1 },
                { BUS_ERROR_PREFIX ".ShuttingDown", 1 },
                { "org.freedesktop.DBus.Error.Timeout", 1 },
                { "org.freedesktop.DBus.Error.UnknownMethod", 1 },
                { "org.example.Unknown", 1 },
                { "org.freedesktop.DBus.Error.AccessDenied", 6 },
                { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", 6 },
                { "org.freedesktop.DBus.Error.ServiceUnknown", 8 },
                { "org.freedesktop.DBus.Error.NameHasNoOwner", 8 },
                { "org.freedesktop.DBus.Error.NoReply", 8 },
                { "org.freedesktop.DBus.Error.Disconnected", 8 },
                { "org.freedesktop.DBus.Error.Spawn.ChildExited", 8 },
                { "org.freedesktop.systemd1.NoSuchUnit", 8 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                g_assert_cmpint(exit_status_from_error(table[i].name), ==, table[i].status);
}

static void test_sentences(void) {
        g_autofree char *denied = error_sentence(SD_BUS_ERROR_ACCESS_DENIED, "Sender is not allowed", "enable a/b"),
                        *said = error_sentence(BUS_ERROR_PREFIX ".NotEnabled", "It is not enabled.", "restart a/b"),
                        *unsaid = error_sentence("org.example.Odd", NULL, "restart a/b"),
                        *evil = error_sentence("org.example.Odd", "\x1b[2J", "restart a/b");

        g_assert_nonnull(strstr(denied, "enable a/b"));
        g_assert_nonnull(strstr(denied, "group " SERVICE_GROUP));
        g_assert_null(strstr(denied, "Sender"));
        g_assert_cmpstr(said, ==, "Cannot restart a/b: It is not enabled");
        g_assert_cmpstr(unsaid, ==, "Cannot restart a/b: org.example.Odd");
        g_assert_cmpstr(evil, ==, "Cannot restart a/b: \\x1b[2J");
}

/* ---- descriptions ------------------------------------------------------------------------------------ */

static DeviceView *view(const char *text) {
        DeviceView *v = NULL;

        g_assert_cmpint(device_view_parse(text, &v), ==, 0);
        return v;
}

static void test_gateway_view(void) {
        _cleanup_(gateway_view_freep) GatewayView *v = NULL;
        g_autofree char *text = NULL;

        g_assert_cmpint(gateway_view_parse("", &v), ==, -EBADMSG);
        g_assert_cmpint(gateway_view_parse("[]", &v), ==, -EBADMSG);
        g_assert_cmpint(gateway_view_parse("{\"Manager\":{}}", &v), ==, -EBADMSG);
        g_assert_cmpint(gateway_view_parse("{\"Manager\":{},\"Devices\":{}}", &v), ==, -EBADMSG);
        g_assert_null(v);

        g_assert_cmpint(gateway_view_parse("{\"Version\":1,\"Manager\":{\"State\":\"running\"},\"Devices\":["
                                           "{\"Type\":\"m\",\"Name\":\"p10\"},{\"Type\":\"m\",\"Name\":\"p9\"},"
                                           "{\"Type\":\"a\",\"Name\":\"z\",\"New\":null}]}",
                                           &v),
                        ==, 0);
        g_assert_cmpstr(member_string(v->manager, "State"), ==, "running");
        g_assert_cmpint(gateway_select(v, (char *[]) { (char *) "p*", NULL }), ==, CTL_OK);
        text = json_to_string(v->root, false);
        g_assert_cmpstr(text, ==,
                        "{\"Version\":1,\"Manager\":{\"State\":\"running\"},\"Devices\":["
                        "{\"Type\":\"m\",\"Name\":\"p9\"},{\"Type\":\"m\",\"Name\":\"p10\"}]}");
}

static void test_device_view(void) {
        _cleanup_(device_view_freep) DeviceView *v =
                view("{\"Type\":\"m\",\"Name\":\"p\",\"Enabled\":true,\"State\":null,\"StateReason\":7,"
                     "\"NextRetryTimestampMonotonic\":null,\"StateChangeTimestamp\":1795533838716562,\"Big\":-1}");

        g_assert_true(v->enabled);
        g_assert_false(v->enabled_known);
        g_assert_cmpstr(v->state, ==, "");
        g_assert_cmpstr(v->state_reason, ==, "");
        g_assert_cmpstr(v->link, ==, "");
        g_assert_cmpuint(v->next_retry_monotonic, ==, 0);
        g_assert_cmpuint(v->state_realtime, ==, UINT64_C(1795533838716562));
        g_assert_cmpuint(member_number(v->object, "Big"), ==, 0);
        g_assert_cmpstr(device_enabled_text(v), ==, "unknown");
}

#define EDGES                                                                                               \
        "\"StateReason\":\"disabled\",\"StateChangeTimestampMonotonic\":10000000,"                          \
        "\"StateChangeTimestamp\":500000000,\"LinkReason\":\"refused\",\"LinkDetail\":\"not there\","       \
        "\"LinkChangeTimestampMonotonic\":60000000,\"LinkChangeTimestamp\":0"

/* SINCE and DETAIL: of the link while running with a link that is not up, else of the state. */
static void test_since_and_detail(void) {
        static const struct {
                const char *text, *since, *detail;
        } table[] = {
                { "{\"State\":\"disabled\",\"Link\":\"none\"," EDGES "}", "1min ago", "" },
                { "{\"State\":\"waiting\",\"Link\":\"none\"," EDGES "}", "1min ago", "disabled" },
                { "{\"State\":\"running\",\"Running\":true,\"Link\":\"up\"," EDGES "}", "1min ago", "disabled" },
                { "{\"State\":\"running\",\"Running\":true,\"Link\":\"down\"," EDGES "}", "10s ago", "not there" },
                { "{\"State\":\"running\",\"Running\":true,\"Link\":\"partial\"," EDGES "}", "10s ago", "not there" },
        };
        Clocks now = { .local = true, .monotonic = 70 * USEC_PER_SEC, .realtime = 620 * USEC_PER_SEC };
        Clocks remote = { .monotonic = 5, .realtime = 620 * USEC_PER_SEC };
        _cleanup_(device_view_freep) DeviceView *v = view(table[0].text);
        g_autofree char *since = device_since_text(v, &remote);

        g_assert_cmpstr(since, ==, "2min ago"); /* another machine's monotonic clock means nothing here */
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(device_view_freep) DeviceView *d = view(table[i].text);
                g_autofree char *s = device_since_text(d, &now), *t = device_detail_text(d);

                g_assert_cmpstr(s, ==, table[i].since);
                g_assert_cmpstr(t, ==, table[i].detail);
        }
}

static void test_values(void) {
        _cleanup_(device_view_freep) DeviceView *v =
                view("{\"a\":\"x\\ny\",\"b\":true,\"c\":7,\"d\":null,\"e\":[{\"f\":false}]}");
        static const char *const expected[][2] = {
                { "a", "x\\x0ay" }, { "b", "yes" }, { "c", "7" }, { "d", "" }, { "e", "[{\"f\":false}]" }, { "none", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                g_autofree char *s = output_value(json_object_get_member(v->object, expected[i][0]));

                g_assert_cmpstr(s, ==, expected[i][1]);
        }
}

/* ---- goals ------------------------------------------------------------------------------------------- */

static void test_goal_words(void) {
        WaitGoal g = {};
        g_autofree char *text = NULL;

        g_assert_cmpint(wait_goal_set_state(&g, "up"), ==, -EINVAL);
        g_assert_cmpint(wait_goal_set_link(&g, "running"), ==, -EINVAL);
        g_assert_null(g.state);
        g_assert_null(g.link);
        g_assert_cmpint(wait_goal_set_state(&g, "running"), ==, 0);
        g_assert_cmpint(wait_goal_set_link(&g, "up"), ==, 0);
        text = wait_goal_to_text(&g);
        g_assert_cmpstr(text, ==, "running with link up");
}

static void test_goal_met(void) {
        _cleanup_(device_view_freep) DeviceView *down =
                view("{\"Enabled\":true,\"EnabledKnown\":true,\"State\":\"running\",\"Link\":\"down\"}");
        _cleanup_(device_view_freep) DeviceView *over =
                view("{\"Enabled\":true,\"EnabledKnown\":true,\"State\":\"failed\",\"Link\":\"none\"}");
        _cleanup_(device_view_freep) DeviceView *again =
                view("{\"Enabled\":true,\"EnabledKnown\":true,\"State\":\"failed\",\"NextRetryTimestampMonotonic\":5}");

        g_assert_true(wait_goal_is_met(&(WaitGoal) { .state = "running" }, down));
        g_assert_true(wait_goal_is_met(&(WaitGoal) { .link = "down" }, down));
        g_assert_false(wait_goal_is_met(&(WaitGoal) { .state = "running", .link = "up" }, down));
        /* `disable --wait=running` makes no sense, but the old state must not count as the answer. */
        g_assert_false(wait_goal_is_met(&(WaitGoal) { .state = "running", .enabled = GOAL_DISABLED }, down));

        g_assert_true(wait_goal_is_lost(&(WaitGoal) { .state = "running", .enabled = GOAL_ENABLED }, over));
        g_assert_false(wait_goal_is_lost(&(WaitGoal) { .state = "failed", .enabled = GOAL_ENABLED }, over));
        g_assert_false(wait_goal_is_lost(&(WaitGoal) { .state = "running" }, over)); /* `wait` waits for others */
        g_assert_false(wait_goal_is_lost(&(WaitGoal) { .state = "running", .enabled = GOAL_ENABLED }, again));

        g_assert_true(wait_goal_is_passing(&(WaitGoal) { .state = "starting" }));
        g_assert_false(wait_goal_is_passing(&(WaitGoal) { .state = "starting", .link = "up" }));
        g_assert_false(wait_goal_is_passing(&(WaitGoal) { .state = "running" }));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/text/width", test_width);
        g_test_add_func("/text/ellipsize", test_ellipsize);
        g_test_add_func("/text/printable", test_printable);
        g_test_add_func("/text/order", test_order);
        g_test_add_func("/text/durations", test_durations);
        g_test_add_func("/text/ago", test_ago);
        g_test_add_func("/text/seconds", test_seconds);
        g_test_add_func("/address/split", test_split);
        g_test_add_func("/address/matches", test_matches);
        g_test_add_func("/address/several", test_several);
        g_test_add_func("/exit-status/errors", test_statuses);
        g_test_add_func("/exit-status/sentences", test_sentences);
        g_test_add_func("/view/gateway", test_gateway_view);
        g_test_add_func("/view/device", test_device_view);
        g_test_add_func("/view/since-and-detail", test_since_and_detail);
        g_test_add_func("/view/values", test_values);
        g_test_add_func("/goal/words", test_goal_words);
        g_test_add_func("/goal/met", test_goal_met);
        return g_test_run();
}
