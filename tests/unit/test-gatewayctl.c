/* SPDX-License-Identifier: Apache-2.0 */
/* tools/: what gatewayctl decides without a bus: names of devices, order, cutting, times, goals, exit statuses, descriptions,
 * event types, moments, events as text, points. */
#include <errno.h>

#include <config.h>

#include "tools/device-name.h"
#include "tools/device-text.h"
#include "tools/event-text.h"
#include "tools/event-types.h"
#include "tools/exit-status.h"
#include "tools/json-text.h"
#include "tools/moment.h"
#include "tools/output.h"
#include "tools/points.h"
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
        g_autofree char *s = text_printable("a\x1b[31mž\n\x7f\xc2\x9b\xff"),
                        *turned = text_printable("日\u0301 \u202egnp\u2066\u200b");

        g_assert_cmpstr(s, ==, "a\\x1b[31mž\\x0a\\x7f\\xc2\\x9b\\xff");
        g_assert_cmpstr(turned, ==, "日\u0301 \\xe2\\x80\\xaegnp\\xe2\\x81\\xa6\\xe2\\x80\\x8b");
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
        static const struct {
                usec_t then, now;
                const char *expected;
        } table[] = {
                { 1000000, 1999999, "now" },
                { 1000000, 2000000, "1s ago" },
                { 0, 200 * USEC_PER_SEC, "3min ago" },
                { 60999999, 1000000, "now" },
                { 61000000, 1000000, "1min ahead" },
                { 3600 * 24 * 10 * USEC_PER_SEC, 0, "10d ahead" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *text = ago_to_text(table[i].then, table[i].now);

                g_assert_cmpstr(text, ==, table[i].expected);
        }
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

/* ---- names of devices -------------------------------------------------------------------------------- */

static void assert_split(const char *text, const char *type, const char *name) {
        g_autofree char *t = NULL, *n = NULL;

        g_assert_cmpint(device_name_split(text, &t, &n), ==, type != NULL);
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

                g_assert_cmpint(device_name_is(text, "modbus_master", "plc-1"), ==, table[i].names);
                g_assert_cmpint(device_name_matches(text, "modbus_master", "plc-1"), ==, table[i].matches);
        }
        g_assert_true(device_name_matches("a*[", "modbus_master", "a*[")); /* a name that looks like a pattern */
        g_assert_true(device_name_matches("modbus_master/a/b", "modbus_master", "a/b"));
        g_assert_true(device_name_is_glob("plc*"));
        g_assert_false(device_name_is_glob("modbus_master/plc-1"));
}

static void test_several(void) {
        g_assert_true(device_names_match(NULL, "t", "n"));
        g_assert_true(device_names_match((char *[]) { NULL }, "t", "n"));
        g_assert_true(device_names_match((char *[]) { (char *) "x", (char *) "t/n", NULL }, "t", "n"));
        g_assert_false(device_names_match((char *[]) { (char *) "x", NULL }, "t", "n"));
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

/* ---- event types ------------------------------------------------------------------------------------- */

static void test_types(void) {
        static const struct {
                const char *text, *expected; /* subtypes in [], NULL: refused */
        } table[] = {
                { "", "[]" },
                { "a", "[a]" },
                { "a/b/?/*", "[a][b][?][*]" },
                { "/a//b/", "[][a][][b][]" },
                { "event/1/eventer/gateway\\/x", "[event][1][eventer][gateway/x]" },
                { "a\\b/c\\", "[a\\b][c\\]" },
                { "[\"event\",\"1\",\"gateway/x\"]", "[event][1][gateway/x]" },
                { "[ \"\\u017e\" , \"\" ]", "[ž][]" },
                { "[]", "" },
                { "[\"a\",1]", NULL },
                { "[[\"a\"]]", NULL },
                { "[a]/b", NULL },
                { "[\"a\"", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(GString) got = g_string_new(NULL);
                EventType type = {};
                int r;

                r = event_type_parse(table[i].text, &type);
                g_assert_cmpint(r, ==, table[i].expected ? 0 : -EINVAL);
                for (size_t j = 0; j < type.n; j++)
                        g_string_append_printf(got, "[%.*s]", (int) type.subtypes[j].size, type.subtypes[j].text);
                if (table[i].expected)
                        g_assert_cmpstr(got->str, ==, table[i].expected);
                event_type_done(&type);
        }
}

/* What is printed can be given again. */
static void test_type_round_trip(void) {
        static const Subtype subtypes[] = { SUBTYPE("event"), SUBTYPE("gateway/x"), SUBTYPE(""), SUBTYPE("/") };
        EventType type = { .subtypes = subtypes, .n = ELEMENTSOF(subtypes) }, again;
        g_autofree char *text = event_type_format(type);

        g_assert_cmpint(event_type_parse(text, &again), ==, 0);
        g_assert_true(event_type_equal(type, again));
        event_type_done(&again);
}

/* ---- moments ----------------------------------------------------------------------------------------- */

#define NOW_S INT64_C(1795543113) /* 2026-11-24 17:58:33 UTC */

static void test_moments(void) {
        static const struct {
                const char *text;
                int r;
                int64_t s;
                int32_t us;
        } table[] = {
                { "now", 0, NOW_S, 250000 },
                { "@0", 0, 0, 0 },
                { "@1.5", 0, 1, 500000 },
                { "@-0.25", 0, -1, 750000 },
                { "@-3", 0, -3, 0 },
                { "@1.1234567", 0, 1, 123456 },
                { "@9223372036854775808", -ERANGE, 0, 0 },
                { "@", -EINVAL, 0, 0 },
                { "@1.", -EINVAL, 0, 0 },
                { "@1 ", -EINVAL, 0, 0 },
                { "@1e3", -EINVAL, 0, 0 },
                { "-5min", 0, NOW_S - 300, 250000 },
                { "5m ago", 0, NOW_S - 300, 250000 },
                { "5 minutes ago", 0, NOW_S - 300, 250000 },
                { "+1h 30min", 0, NOW_S + 5400, 250000 },
                { "-1d2h", 0, NOW_S - 93600, 250000 },
                { "-1.5s", 0, NOW_S - 2, 750000 },
                { "+800ms", 0, NOW_S + 1, 50000 },
                { "-2w", 0, NOW_S - 1209600, 250000 },
                { "5min", -EINVAL, 0, 0 }, /* which way? */
                { "-5min ago", -EINVAL, 0, 0 },
                { "-5", -EINVAL, 0, 0 },
                { "-", -EINVAL, 0, 0 },
                { "ago", -EINVAL, 0, 0 },
                { "-5parsecs", -EINVAL, 0, 0 },
                { "-99999999999999999999s", -ERANGE, 0, 0 },
                { "-99999999999999w", -ERANGE, 0, 0 },
                { "2026-11-24", 0, NOW_S - 17 * 3600 - 58 * 60 - 33 - 3600, 0 },
                { "today", 0, NOW_S - 17 * 3600 - 58 * 60 - 33 - 3600, 0 },
                { "yesterday", 0, NOW_S - 17 * 3600 - 58 * 60 - 33 - 3600 - 86400, 0 },
                { "2026-11-24 18:58:33.25", 0, NOW_S, 250000 },
                { "2026-11-24T18:58", 0, NOW_S - 33, 0 },
                { "2026-11-24 17:58Z", 0, NOW_S - 33, 0 },
                { "2026-11-24T17:58:33Z", 0, NOW_S, 0 },
                { "2026-11-24T12:28:33-05:30", 0, NOW_S, 0 },
                { "18:58", 0, NOW_S - 33, 0 },
                { "18:58:33", 0, NOW_S, 0 },
                { "25:00", -EINVAL, 0, 0 },
                { "2026-13-01", -EINVAL, 0, 0 },
                { "2026-11-24x", -EINVAL, 0, 0 },
                { "tomorrow", -EINVAL, 0, 0 },
                { "", -EINVAL, 0, 0 },
        };
        Timestamp now = { .s = NOW_S, .us = 250000 };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Timestamp t = { .s = 77 };

                g_test_message("'%s'", table[i].text);
                g_assert_cmpint(moment_parse(table[i].text, &now, &t), ==, table[i].r);
                g_assert_cmpint(t.s, ==, table[i].r < 0 ? 77 : table[i].s);
                g_assert_cmpint(t.us, ==, table[i].us);
        }
}

/* ---- JSON text --------------------------------------------------------------------------------------- */

static char *lay_out(const char *text, JsonTextFlags flags) {
        JsonSpan span;

        g_assert_cmpint(json_check(text, strlen(text), &span), ==, 0);
        return json_text(span, flags);
}

static void test_json_text(void) {
        static const struct {
                const char *text;
                JsonTextFlags flags;
                const char *expected;
        } table[] = {
                { " { \"a\" : [ 1 , 2.50, -0e1 ] , \"b\" : { } }\n", 0, "{\"a\":[1,2.50,-0e1],\"b\":{}}" },
                { "123456789012345678901234567890", 0, "123456789012345678901234567890" },
                { "\" a : , \\\" [ \"", 0, "\" a : , \\\" [ \"" },
                { "\"\\u017e\\ud83d\\ude00\\ud800\\u001b\\u202e\\u0041\"", 0,
                  "\"\\u017e\\ud83d\\ude00\\ud800\\u001b\\u202e\\u0041\"" },
                { "\"\\u017e\\ud83d\\ude00\\ud800\\u001b\\u202e\\u0041\"", JSON_TEXT_LETTERS,
                  "\"ž😀\\ud800\\u001b\\u202e\\u0041\"" },
                { "\"\xc2\x9b\x7f\xe2\x80\xaež\"", 0, "\"\\u009b\\u007f\xe2\x80\xaež\"" },
                { "\"\xc2\x9b\x7f\xe2\x80\xaež\"", JSON_TEXT_LETTERS, "\"\\u009b\\u007f\\u202ež\"" },
                { "\"\xf3\xa0\x80\x81\"", JSON_TEXT_LETTERS, "\"\\udb40\\udc01\"" }, /* a language tag */
                { "{\"a\":[1,{}],\"b\":[]}", JSON_TEXT_INDENT,
                  "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *s = lay_out(table[i].text, table[i].flags);
                JsonSpan again;

                g_assert_cmpstr(s, ==, table[i].expected);
                g_assert_cmpint(json_check(s, strlen(s), &again), ==, 0);
        }
}

static void test_json_plain(void) {
        static const char *const table[][2] = {
                { "\"CONNECTED\"", "CONNECTED" },   { "\"\\u001b[2J\"", "\\x1b[2J" }, { "\"a\\u0000b\"", "\"a\\u0000b\"" },
                { "{ \"a\" : 1 }", "{\"a\":1}" }, { "null", "null" },             { "\"\"", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                JsonSpan span = { .text = table[i][0], .size = strlen(table[i][0]) };
                g_autofree char *s = json_text_plain(span);

                g_assert_cmpstr(s, ==, table[i][1]);
        }
}

/* ---- events ------------------------------------------------------------------------------------------ */

#define TYPE_OF_TWO ((EventType) { (const Subtype[]) { SUBTYPE("a"), SUBTYPE("x/y\x1b") }, 2 })
#define JSON_PAYLOAD(text) ((Payload) { .kind = PAYLOAD_JSON, .json = JSON_LITERAL(text) })

static const Payload binary = {
        .kind = PAYLOAD_BINARY,
        .binary_type = SUBTYPE("im\x1bg"),
        .data = (const uint8_t *) "\x01\x02",
        .size = 2,
};

static void test_event_line(void) {
        const struct {
                Payload payload;
                const char *expected;
        } table[] = {
                { {}, "2026-11-24 18:58:33.250  a/x\\/y\\x1b" },
                { JSON_PAYLOAD(" {\"v\": \"\\u017e\"}"), "2026-11-24 18:58:33.250  a/x\\/y\\x1b  {\"v\":\"ž\"}" },
                { JSON_PAYLOAD("\x1b[2J"), "2026-11-24 18:58:33.250  a/x\\/y\\x1b  <4 bytes that are no JSON>" },
                { JSON_PAYLOAD(""), "2026-11-24 18:58:33.250  a/x\\/y\\x1b  <0 bytes that are no JSON>" },
                { binary, "2026-11-24 18:58:33.250  a/x\\/y\\x1b  <2 bytes of im\\x1bg>" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Event e = { .type = TYPE_OF_TWO, .timestamp = { NOW_S, 250999 }, .payload = table[i].payload };
                g_autofree char *s = event_line(&e);

                g_assert_cmpstr(s, ==, table[i].expected);
        }
}

#define HEAD "{\"Id\":{\"Server\":1,\"Session\":2,\"Instance\":3},\"Type\":[\"a\",\"x/y\\u001b\"],\"Timestamp\":"
#define NO_SOURCE HEAD "1795543113250999,\"SourceTimestamp\":null,"

static void test_event_json(void) {
        const struct {
                Payload payload;
                const char *expected;
        } table[] = {
                { {}, NO_SOURCE "\"PayloadKind\":\"none\",\"Payload\":null}" },
                { JSON_PAYLOAD("null"), NO_SOURCE "\"PayloadKind\":\"json\",\"Payload\":null}" },
                { JSON_PAYLOAD("{\n\"n\": 12345678901234567890123}"),
                  NO_SOURCE "\"PayloadKind\":\"json\",\"Payload\":{\"n\":12345678901234567890123}}" },
                { JSON_PAYLOAD("nan"), NO_SOURCE "\"PayloadKind\":\"malformed\",\"Payload\":\"nan\"}" },
                { binary,
                  NO_SOURCE "\"PayloadKind\":\"binary\",\"Payload\":{\"Type\":\"im\\u001bg\",\"Data\":\"AQI=\"}}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Event e = {
                        .id = { 1, 2, 3 },
                        .type = TYPE_OF_TWO,
                        .timestamp = { NOW_S, 250999 },
                        .payload = table[i].payload,
                };
                g_autofree char *s = event_json(&e);

                g_assert_cmpstr(s, ==, table[i].expected);
        }
}

static void test_event_times(void) {
        static const struct {
                Timestamp t;
                int64_t usec;
                const char *text;
        } table[] = {
                { { 0, 0 }, 0, "1970-01-01 01:00:00.000" },
                { { -1, 750000 }, -250000, "1970-01-01 00:59:59.750" },
                { { INT64_MAX, 999999 }, INT64_MAX, "@9223372036854775807.999" },
                { { INT64_MIN, 0 }, INT64_MIN, "@-9223372036854775808.000" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *text = timestamp_text(&table[i].t);

                g_assert_cmpint(timestamp_usec(&table[i].t), ==, table[i].usec);
                g_assert_cmpstr(text, ==, table[i].text);
        }
}

/* ---- points ------------------------------------------------------------------------------------------ */

#define POINTS                                                                                              \
        "{\"Type\":\"m\",\"Name\":\"p\",\"EventPrefix\":[\"gateway\",\"g\",\"m\",\"p\"],\"Points\":["       \
        "{\"Kind\":\"enable\",\"Name\":\"1\",\"In\":[\"gateway\",\"s\"],\"Out\":[\"system\",\"e\"],\"Answer\":null}," \
        "{\"Kind\":\"value\",\"Name\":\"1/t\",\"In\":[\"gateway\",\"t\"],\"Out\":[\"system\",\"t\"],"       \
        "\"Answer\":[\"gateway\",\"a\"]},"                                                                  \
        "{\"Kind\":\"value\",\"Name\":\"2/t\",\"In\":[\"gateway\",\"u\"],\"Out\":[\"system\",\"u\"],\"Answer\":null}," \
        "{\"Kind\":\"value\",\"Name\":\"2/a/b\",\"In\":[\"gateway\",\"b\"],\"Out\":null,\"Answer\":null},"  \
        "{\"Kind\":\"later\",\"Name\":\"x\",\"In\":[\"gateway\",\"b\"],\"Out\":null,\"Answer\":null},"      \
        "{\"Kind\":\"value\",\"Name\":\"t2\",\"In\":[\"gateway\",7],\"Out\":[\"system\",\"v\"],\"Answer\":{}},7]}"

static void assert_type(EventType type, const char *expected) {
        g_autofree char *text = event_type_format(type);

        g_assert_cmpstr(text, ==, expected);
}

static void test_points(void) {
        _cleanup_(device_view_freep) DeviceView *v = view(POINTS), *none = view("{\"Type\":\"m\",\"Name\":\"p\"}");
        g_autoptr(GPtrArray) points = points_new(v), nothing = points_new(none);
        const Point *p = points->pdata[1];

        g_assert_cmpuint(nothing->len, ==, 0);
        g_assert_cmpuint(points->len, ==, 5); /* of the kind "later" nothing is known */
        g_assert_cmpint(p->kind, ==, POINT_VALUE);
        g_assert_cmpstr(p->name, ==, "1/t");
        assert_type(p->in, "gateway/g/m/p/gateway/t");
        assert_type(p->out, "gateway/g/m/p/system/t");
        assert_type(p->answer, "gateway/g/m/p/gateway/a");
        p = points->pdata[4];
        g_assert_cmpuint(p->in.n, ==, 0); /* 7 is no segment */
        g_assert_cmpuint(p->answer.n, ==, 0);
}

static void test_point_names(void) {
        static const struct {
                PointKind kind;
                const char *name;
                ExitStatus status;
                const char *found;
        } table[] = {
                { POINT_VALUE, "1/t", CTL_OK, "1/t" },   { POINT_VALUE, "t", CTL_USAGE, NULL }, /* 1/t, 2/t */
                { POINT_VALUE, "t2", CTL_OK, "t2" },     { POINT_VALUE, "1", CTL_NO_DEVICE, NULL },
                { POINT_ENABLE, "1", CTL_OK, "1" },      { POINT_ENABLE, "1/t", CTL_NO_DEVICE, NULL },
                { POINT_VALUE, "b", CTL_FAILED, NULL },  { POINT_VALUE, "a/b", CTL_FAILED, NULL }, /* read only */
                { POINT_VALUE, "/b", CTL_NO_DEVICE, NULL },
        };
        _cleanup_(device_view_freep) DeviceView *v = view(POINTS);
        g_autoptr(GPtrArray) points = points_new(v);

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const Point *p = NULL;

                g_test_message("%s", table[i].name);
                g_assert_cmpint(point_find(points, v, table[i].kind, table[i].name, &p), ==, table[i].status);
                g_assert_cmpstr(p ? p->name : NULL, ==, table[i].found);
        }
}

static void assert_split_part(const GatewayView *g, const char *argument, const char *device, const char *part) {
        const DeviceView *v;
        const char *p = NULL;

        g_assert_cmpint(points_split(g, argument, &v, &p), ==, CTL_OK);
        g_assert_cmpstr(v ? v->name : NULL, ==, device);
        g_assert_cmpstr(p, ==, part);
}

static void test_parts(void) {
        _cleanup_(gateway_view_freep) GatewayView *one = NULL, *several = NULL;
        const DeviceView *v;
        const char *part;

        g_assert_cmpint(gateway_view_parse("{\"Manager\":{},\"Devices\":[{\"Type\":\"m\",\"Name\":\"p\"}]}", &one), ==, 0);
        assert_split_part(one, "m/p", NULL, NULL);
        assert_split_part(one, "m/p/", NULL, NULL);
        assert_split_part(one, "m/p/1", "p", "1");
        assert_split_part(one, "m/p/2/3", "p", "2/3");
        assert_split_part(one, "p/1", "p", "1");
        assert_split_part(one, "p/2/3", "p", "2/3");
        assert_split_part(one, "x/p/1", NULL, NULL);
        assert_split_part(one, "m/px/1", NULL, NULL);

        /* Names with a slash, and a name that is also a type. */
        g_assert_cmpint(gateway_view_parse("{\"Manager\":{},\"Devices\":[{\"Type\":\"m\",\"Name\":\"p/1\"},"
                                           "{\"Type\":\"m\",\"Name\":\"p\"},{\"Type\":\"n\",\"Name\":\"p\"},"
                                           "{\"Type\":\"p\",\"Name\":\"2\"}]}",
                                           &several),
                        ==, 0);
        assert_split_part(several, "m/p/1", NULL, NULL);
        assert_split_part(several, "m/p/1/2", "p/1", "2");
        assert_split_part(several, "p/1/2", "p/1", "2");
        assert_split_part(several, "p/2", NULL, NULL);
        assert_split_part(several, "n/p/2", "p", "2");
        g_assert_cmpint(points_split(several, "p/3", &v, &part), ==, CTL_USAGE);
}

int main(int argc, char *argv[]) {
        g_setenv("TZ", "UTC-1", true); /* an hour east of Greenwich, no summer time */
        tzset();
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/text/width", test_width);
        g_test_add_func("/text/ellipsize", test_ellipsize);
        g_test_add_func("/text/printable", test_printable);
        g_test_add_func("/text/order", test_order);
        g_test_add_func("/text/durations", test_durations);
        g_test_add_func("/text/ago", test_ago);
        g_test_add_func("/text/seconds", test_seconds);
        g_test_add_func("/device-name/split", test_split);
        g_test_add_func("/device-name/matches", test_matches);
        g_test_add_func("/device-name/several", test_several);
        g_test_add_func("/exit-status/errors", test_statuses);
        g_test_add_func("/exit-status/sentences", test_sentences);
        g_test_add_func("/view/gateway", test_gateway_view);
        g_test_add_func("/view/device", test_device_view);
        g_test_add_func("/view/since-and-detail", test_since_and_detail);
        g_test_add_func("/view/values", test_values);
        g_test_add_func("/goal/words", test_goal_words);
        g_test_add_func("/goal/met", test_goal_met);
        g_test_add_func("/event/types", test_types);
        g_test_add_func("/event/type-round-trip", test_type_round_trip);
        g_test_add_func("/event/moments", test_moments);
        g_test_add_func("/event/json-text", test_json_text);
        g_test_add_func("/event/json-plain", test_json_plain);
        g_test_add_func("/event/line", test_event_line);
        g_test_add_func("/event/json", test_event_json);
        g_test_add_func("/event/times", test_event_times);
        g_test_add_func("/points/all", test_points);
        g_test_add_func("/points/names", test_point_names);
        g_test_add_func("/points/parts", test_parts);
        return g_test_run();
}
