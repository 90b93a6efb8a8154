/* SPDX-License-Identifier: Apache-2.0 */
/* The D-Bus objects over a socket pair: members, errors, signals and their pace, JSON. What needs a message
 * bus is in tests/bus. */
#include "tests/unit/dbus-fixture.h"

/* ---- properties -------------------------------------------------------------------------------------- */

static void read_variant(GString *line, sd_bus_message *m);

static void read_parts(GString *line, sd_bus_message *m) {
        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "a{sv}"), >, 0);
        while (sd_bus_message_enter_container(m, 'a', "{sv}") > 0) {
                g_string_append_c(line, '[');
                while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                        const char *name;

                        g_assert_cmpint(sd_bus_message_read(m, "s", &name), >, 0);
                        g_string_append_printf(line, "%s=", name);
                        read_variant(line, m);
                        g_string_append_c(line, ' ');
                        g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
                }
                g_string_append_c(line, ']');
                g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
        }
        g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
}

static void read_codes(GString *line, sd_bus_message *m) {
        uint64_t n;
        uint8_t code;

        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{yt}"), >, 0);
        while (sd_bus_message_read(m, "{yt}", &code, &n) > 0)
                g_string_append_printf(line, "[%u=%" G_GUINT64_FORMAT "]", code, n);
        g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
}

static void read_variant(GString *line, sd_bus_message *m) {
        const char *contents, *s;
        uint64_t t;
        uint32_t u;
        int64_t x;
        int b;

        g_assert_cmpint(sd_bus_message_peek_type(m, NULL, &contents), >, 0);
        g_assert_cmpint(sd_bus_message_enter_container(m, 'v', contents), >, 0);
        if (streq(contents, "s")) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &s), >, 0);
                g_string_append_printf(line, "'%s'", s);
        } else if (streq(contents, "t")) {
                g_assert_cmpint(sd_bus_message_read(m, "t", &t), >, 0);
                g_string_append_printf(line, "%" G_GUINT64_FORMAT, t);
        } else if (streq(contents, "x")) {
                g_assert_cmpint(sd_bus_message_read(m, "x", &x), >, 0);
                g_string_append_printf(line, "x%" G_GINT64_FORMAT, x);
        } else if (streq(contents, "u")) {
                g_assert_cmpint(sd_bus_message_read(m, "u", &u), >, 0);
                g_string_append_printf(line, "u%u", u);
        } else if (streq(contents, "b")) {
                g_assert_cmpint(sd_bus_message_read(m, "b", &b), >, 0);
                g_string_append(line, b ? "true" : "false");
        } else if (streq(contents, "a{yt}"))
                read_codes(line, m);
        else {
                g_assert_cmpstr(contents, ==, "aa{sv}");
                read_parts(line, m);
        }
        g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
}

static void assert_properties(Fixture *f, const char *path, const char *interface, const char *expected) {
        sd_bus_message *m = CALL(f, path, PROPERTIES, "GetAll", "s", interface);
        g_autoptr(GString) line = g_string_new(NULL);
        const char *name;

        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >, 0);
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &name), >, 0);
                g_string_append_printf(line, "%s=", name);
                read_variant(line, m);
                g_string_append_c(line, '\n');
                g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
        }
        g_assert_cmpstr(line->str, ==, expected);
        sd_bus_message_unref(m);
}

static void test_manager_properties(Fixture *f, gconstpointer data) {
        assert_properties(f, ROOT, BUS_MANAGER_INTERFACE,
                          "Version='" VERSION "'\n"
                          "ConfigFile='/etc/gatewayd/gatewayd.yaml'\n"
                          "State='degraded'\n"
                          "DevicesTotal=u2\n"
                          "DevicesEnabled=u2\n"
                          "DevicesRunning=u1\n"
                          "DevicesFailed=u0\n"
                          "DevicesDown=u1\n"
                          "EventServer='tcp:127.0.0.1:23012'\n"
                          "EventServerState='operational'\n"
                          "MonitorState='none'\n"
                          "MonitorBlessed=''\n"
                          "MonitorRank=x0\n"
                          "EventStorage='working'\n"
                          "EventStorageDetail=''\n"
                          "EventsLost=0\n");
}

static void test_monitor_properties(Fixture *f, gconstpointer data) {
        const char *text;
        sd_bus_message *m;

        gateway.monitor = MONITOR_WAITING;
        m = CALL(f, ROOT, BUS_MANAGER_INTERFACE, "Describe", "");
        g_assert_cmpint(sd_bus_message_read(m, "s", &text), >, 0);
        g_assert_nonnull(strstr(text, "\"MonitorState\": \"waiting\", \"MonitorBlessed\": \"gw-b\", \"MonitorRank\": -2,"));
        sd_bus_message_unref(m);
        gateway.monitor = MONITOR_NONE;
}

static void test_device_properties(Fixture *f, gconstpointer data) {
        f->plc.view.state = PROXY_RUNNING;
        f->plc.view.link = DEVICE_LINK_PARTIAL;
        f->plc.view.link_edge.reason = DEVICE_REASON_TIMEOUT;
        f->plc.view.link_edge.detail = (char *) "unit 2";
        f->plc.view.retry_at = 77;
        f->plc.view.restarts = 3;
        f->plc.view.tap = (LinkTap) { .received = UINT64_MAX, .sent = 5, .errors = 6, .last_received = 99 };
        assert_properties(f, PLC, BUS_DEVICE_INTERFACE,
                          "Type='fake_master'\n"
                          "Name='plc-1'\n"
                          "Description='the pump'\n"
                          "Enabled=true\n"
                          "EnabledKnown=true\n"
                          "Running=true\n"
                          "State='running'\n"
                          "StateReason='no-event-server'\n"
                          "StateDetail='no server'\n"
                          "StateChangeTimestamp=1000\n"
                          "StateChangeTimestampMonotonic=2000\n"
                          "Link='partial'\n"
                          "LinkReason='timeout'\n"
                          "LinkDetail='unit 2'\n"
                          "LinkChangeTimestamp=1001\n"
                          "LinkChangeTimestampMonotonic=2001\n"
                          "LinkChangesOmitted=0\n"
                          "NextRetryTimestampMonotonic=77\n"
                          "Restarts=3\n"
                          "RxMessages=18446744073709551615\n"
                          "TxMessages=5\n"
                          "Errors=6\n"
                          "LastMessageTimestamp=99\n");
}

static void test_type_properties(Fixture *f, gconstpointer data) {
        assert_properties(
                        f, PLC, MASTER,
                        "Endpoint='tcp:10.0.0.1:502'\nTimeouts=0\nLastRoundTripUSec=0\nHalfUSec=0\nCodes=\nBusy=false\nFirmware=''\n"
                        "RemoteDevices=\n");
        f->plc.device = &f->device.device;
        assert_properties(
                        f, PLC, MASTER,
                        "Endpoint='tcp:10.0.0.1:502'\nTimeouts=18446744073709551615\nLastRoundTripUSec=7\nHalfUSec=3\nCodes=[2=1][11=18446744073709551615]\nBusy=true\n"
                        "Firmware=''\n"
                        "RemoteDevices=[Id=1 Status='CONNECTED' Silent=false ][Id=2 Status='' Silent=true ]\n");
        f->plc.device = NULL;
}

/* ---- the tree ---------------------------------------------------------------------------------------- */

static void test_paths(Fixture *f, gconstpointer data) {
        const char *path;
        sd_bus_message *m;

        m = CALL(f, ROOT, BUS_MANAGER_INTERFACE, "GetDevice", "ss", "fake_bare", "1st");
        g_assert_cmpint(sd_bus_message_read(m, "o", &path), >, 0);
        g_assert_cmpstr(path, ==, BARE);
        sd_bus_message_unref(m);
        assert_error(CALL(f, ROOT, BUS_MANAGER_INTERFACE, "GetDevice", "ss", "fake_bare", "plc-1"),
                     BUS_ERROR_NO_SUCH_DEVICE);
        assert_error(CALL(f, ROOT, BUS_MANAGER_INTERFACE, "GetDevice", "ss", "", ""),
                     BUS_ERROR_NO_SUCH_DEVICE);
        assert_error(CALL(f, ROOT, BUS_MANAGER_INTERFACE, "GetDevice", "s", "fake_bare"),
                     SD_BUS_ERROR_INVALID_ARGS);

        assert_error(CALL(f, BUS_DEVICE_ROOT "/fake_5fbare/none", BUS_DEVICE_INTERFACE, "Enable", ""),
                     SD_BUS_ERROR_UNKNOWN_OBJECT);
        assert_error(CALL(f, BUS_DEVICE_ROOT "/fake_5fbare", BUS_DEVICE_INTERFACE, "Enable", ""),
                     SD_BUS_ERROR_UNKNOWN_OBJECT);
        assert_error(CALL(f, PLC "/x", BUS_DEVICE_INTERFACE, "Enable", ""), SD_BUS_ERROR_UNKNOWN_OBJECT);
        assert_error(CALL(f, BARE, PROPERTIES, "GetAll", "s", MASTER), SD_BUS_ERROR_UNKNOWN_INTERFACE);
        assert_error(CALL(f, PLC, PROPERTIES, "Set", "ssv", BUS_DEVICE_INTERFACE, "Enabled", "b", true),
                     SD_BUS_ERROR_PROPERTY_READ_ONLY);
        assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Reload", ""), SD_BUS_ERROR_UNKNOWN_METHOD);
}

static void test_managed_objects(Fixture *f, gconstpointer data) {
        sd_bus_message *m = CALL(f, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "");
        g_autoptr(GString) line = g_string_new(NULL);
        const char *text;

        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}"), >, 0);
        while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
                g_assert_cmpint(sd_bus_message_read(m, "o", &text), >, 0);
                g_string_append_printf(line, "%s:", text);
                g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sa{sv}}"), >, 0);
                while (sd_bus_message_enter_container(m, 'e', "sa{sv}") > 0) {
                        g_assert_cmpint(sd_bus_message_read(m, "s", &text), >, 0);
                        if (g_str_has_prefix(text, BUS_NAME))
                                g_string_append_printf(line, " %s", text);
                        g_assert_cmpint(sd_bus_message_skip(m, "a{sv}"), >, 0);
                        g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
                }
                g_string_append_c(line, '\n');
                g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
                g_assert_cmpint(sd_bus_message_exit_container(m), >, 0);
        }
        g_assert_true(strstr(line->str, PLC ": " BUS_DEVICE_INTERFACE " " MASTER "\n") ||
                      strstr(line->str, PLC ": " MASTER " " BUS_DEVICE_INTERFACE "\n"));
        g_assert_nonnull(strstr(line->str, BARE ": " BUS_DEVICE_INTERFACE "\n"));
        sd_bus_message_unref(m);
}

/* ---- methods ----------------------------------------------------------------------------------------- */

static void test_enable(Fixture *f, gconstpointer data) {
        sd_bus_message *reply;
        Request *r;

        send_call(f, &reply, PLC, BUS_DEVICE_INTERFACE, "Enable", "");
        LOOP_UNTIL(f->event, gateway.requests->len == 1);
        loop_settle(f->event);
        g_assert_null(reply); /* only once the event server has accepted */
        r = gateway.requests->pdata[0];
        g_assert_true(r->enable && r->proxy == &f->plc);
        answer_request(0);
        LOOP_UNTIL(f->event, reply);
        assert_empty(reply);

        send_call(f, &reply, BARE, BUS_DEVICE_INTERFACE, "Disable", "");
        LOOP_UNTIL(f->event, gateway.requests->len == 1);
        r = gateway.requests->pdata[0];
        g_assert_true(!r->enable && r->proxy == &f->bare);
        answer_request(0);
        LOOP_UNTIL(f->event, reply);
        assert_empty(reply);

        send_call(f, &reply, PLC, BUS_DEVICE_INTERFACE, "SetEnabled", "ba{sv}", false, 0);
        LOOP_UNTIL(f->event, gateway.requests->len == 1);
        r = gateway.requests->pdata[0];
        g_assert_false(r->enable);
        answer_request(0);
        LOOP_UNTIL(f->event, reply);
        assert_empty(reply);

        assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "SetEnabled", "ba{sv}", true, 1, "persist", "b",
                          true),
                     SD_BUS_ERROR_INVALID_ARGS);
        g_assert_cmpuint(gateway.requests->len, ==, 0);
}

static const struct {
        int error;
        const char *name;
} errors[] = {
        { -ENOTCONN, BUS_ERROR_NOT_CONNECTED }, { -EHOSTDOWN, BUS_ERROR_NOT_OPERATIONAL },
        { -ETIMEDOUT, SD_BUS_ERROR_TIMEOUT },   { -ESHUTDOWN, BUS_ERROR_SHUTTING_DOWN },
        { -EUNATCH, BUS_ERROR_NOT_ENABLED },    { -EBADMSG, BUS_ERROR_INVALID_CONFIG },
        { -EBUSY, BUS_ERROR_NOT_DISABLED },
        { -EPIPE, SD_BUS_ERROR_FAILED },
};

static void test_errors(Fixture *f, gconstpointer data) {
        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                sd_bus_message *reply;

                gateway.refuse = errors[i].error;
                assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Enable", ""), errors[i].name);
                gateway.refuse = 0;
                send_call(f, &reply, PLC, BUS_DEVICE_INTERFACE, "Enable", "");
                LOOP_UNTIL(f->event, gateway.requests->len == 1);
                answer_request(errors[i].error);
                LOOP_UNTIL(f->event, reply);
                assert_error(reply, errors[i].name);
                f->plc.restart = errors[i].error;
                assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Restart", ""), errors[i].name);
        }
        f->plc.restart = 0;
        assert_empty(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Restart", ""));
}

static void test_error_map(void) {
        g_assert_cmpint(bus_error_register(), >=, 0);
        for (size_t i = 0; i < ELEMENTSOF(errors) - 1; i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

                g_assert_cmpint(bus_error_set(&e, errors[i].error), <, 0);
                g_assert_cmpint(sd_bus_error_get_errno(&e), ==, -errors[i].error);
        }
}

static void test_export(Fixture *f, gconstpointer data) {
        static const struct {
                int error;
                const char *detail, *name;
        } failures[] = {
                { -ENOTCONN, NULL, BUS_ERROR_NOT_CONNECTED },
                { -EINVAL, NULL, SD_BUS_ERROR_INVALID_ARGS },
                { -EBUSY, NULL, SD_BUS_ERROR_LIMITS_EXCEEDED },
                { -ESHUTDOWN, NULL, BUS_ERROR_SHUTTING_DOWN },
                { -ENOSPC, "the disk is full", SD_BUS_ERROR_FAILED },
                { -EIO, NULL, SD_BUS_ERROR_FAILED },
        };
        _cleanup_(safe_closep) int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        sd_bus_message *reply;
        const Request *r;

        g_assert_cmpint(fd, >=, 0);
        send_call(f, &reply, ROOT, BUS_MANAGER_INTERFACE, "ExportEvents", "h", fd);
        LOOP_UNTIL(f->event, gateway.requests->len == 1);
        r = gateway.requests->pdata[0];
        g_assert_true(!r->proxy && r->fd >= 0 && r->fd != fd);
        loop_settle(f->event);
        g_assert_null(reply);
        answer_request(0);
        LOOP_UNTIL(f->event, reply);
        assert_empty(reply);

        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                gateway.refuse = failures[i].error;
                assert_error(CALL(f, ROOT, BUS_MANAGER_INTERFACE, "ExportEvents", "h", fd), failures[i].name);
                gateway.refuse = 0;
                send_call(f, &reply, ROOT, BUS_MANAGER_INTERFACE, "ExportEvents", "h", fd);
                LOOP_UNTIL(f->event, gateway.requests->len == 1);
                answer_request_with(failures[i].error, failures[i].detail);
                LOOP_UNTIL(f->event, reply);
                if (failures[i].detail)
                        g_assert_nonnull(strstr(sd_bus_message_get_error(reply)->message, failures[i].detail));
                assert_error(reply, failures[i].name);
        }
        assert_error(CALL(f, ROOT, BUS_MANAGER_INTERFACE, "ExportEvents", "s", "/etc/passwd"), SD_BUS_ERROR_INVALID_ARGS);
}

static void test_scan(Fixture *f, gconstpointer data) {
        static const struct {
                int error;
                const char *name;
        } failures[] = {
                { -EOPNOTSUPP, SD_BUS_ERROR_NOT_SUPPORTED }, { -EALREADY, SD_BUS_ERROR_LIMITS_EXCEEDED },
                { -ERANGE, SD_BUS_ERROR_INVALID_ARGS },      { -EBUSY, BUS_ERROR_NOT_DISABLED },
                { -EMFILE, SD_BUS_ERROR_FAILED },
        };
        sd_bus_message *reply;
        int fd = -EBADF;

        reply = CALL(f, PLC, BUS_DEVICE_INTERFACE, "Scan", "a{sv}", 3, "from", "u", 2, "to", "u", 9, "timeout", "t", (uint64_t) 70);
        g_assert_false(sd_bus_message_is_method_error(reply, NULL));
        g_assert_cmpint(sd_bus_message_read(reply, "h", &fd), >, 0);
        g_assert_cmpint(fd, >=, 0);
        sd_bus_message_unref(reply);
        g_assert_cmpuint(f->plc.scan_options.from, ==, 2);
        g_assert_cmpuint(f->plc.scan_options.to, ==, 9);
        g_assert_cmpuint(f->plc.scan_options.timeout, ==, 70);

        assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Scan", "a{sv}", 1, "speed", "u", 2), SD_BUS_ERROR_INVALID_ARGS);
        assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Scan", "a{sv}", 1, "from", "s", "one"), SD_BUS_ERROR_INVALID_ARGS);
        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                f->plc.scan = failures[i].error;
                assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Scan", "a{sv}", 0), failures[i].name);
        }
}

static void assert_reader(sd_bus_message *reply, const char *expected) {
        char text[8] = "";
        int fd;

        g_assert_cmpint(sd_bus_message_read(reply, "h", &fd), >, 0);
        g_assert_cmpint(read(fd, text, sizeof(text) - 1), ==, 4);
        g_assert_cmpstr(text, ==, expected);
        g_assert_cmpint(read(fd, text, sizeof(text) - 1), ==, 0); /* nobody has our end but us */
        sd_bus_message_unref(reply);
}

static void test_trace(Fixture *f, gconstpointer data) {
        static const struct {
                int error;
                const char *name;
        } failures[] = {
                { -EOPNOTSUPP, SD_BUS_ERROR_NOT_SUPPORTED },
                { -EUSERS, SD_BUS_ERROR_LIMITS_EXCEEDED },
                { -EMFILE, SD_BUS_ERROR_FAILED },
        };

        assert_reader(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Trace", "a{sv}", 0), "live");
        assert_reader(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Trace", "a{sv}", 1, "last", "b", false), "live");
        assert_reader(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Trace", "a{sv}", 1, "last", "b", true), "last");
        assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Trace", "a{sv}", 1, "first", "b", true), SD_BUS_ERROR_INVALID_ARGS);
        assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Trace", "a{sv}", 1, "last", "s", "yes"), SD_BUS_ERROR_INVALID_ARGS);
        for (size_t i = 0; i < ELEMENTSOF(failures); i++) {
                f->plc.trace = failures[i].error;
                assert_error(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Trace", "a{sv}", 0), failures[i].name);
        }
}

static void test_many_calls(Fixture *f, gconstpointer data) {
        sd_bus_message *replies[BUS_OPERATIONS_MAX + 1];

        for (size_t i = 0; i < ELEMENTSOF(replies); i++)
                send_call(f, &replies[i], PLC, BUS_DEVICE_INTERFACE, "Enable", "");
        LOOP_UNTIL(f->event, replies[BUS_OPERATIONS_MAX]);
        assert_error(replies[BUS_OPERATIONS_MAX], SD_BUS_ERROR_LIMITS_EXCEEDED);
        g_assert_cmpuint(gateway.requests->len, ==, BUS_OPERATIONS_MAX);
        for (size_t i = 0; i < BUS_OPERATIONS_MAX; i++)
                answer_request(0);
        for (size_t i = 0; i < BUS_OPERATIONS_MAX; i++) {
                LOOP_UNTIL(f->event, replies[i]);
                assert_empty(replies[i]);
        }
        g_assert_cmpuint(f->bus->n_operations, ==, 0);
}

/* Nobody waits for the answers any more. */
static void test_calls_end_with_bus(Fixture *f, gconstpointer data) {
        sd_bus_message *reply;

        begin(f);
        send_call(f, &reply, PLC, BUS_DEVICE_INTERFACE, "Enable", "");
        LOOP_UNTIL(f->event, gateway.requests->len == 1);
        bus_lose(f->bus, -ECONNRESET);
        g_assert_cmpuint(gateway.requests->len, ==, 0);
        g_assert_cmpuint(gateway.n_cancelled, ==, 1);
        g_assert_false(f->bus->owned);
        LOOP_UNTIL(f->event, reply); /* the client's library says that the connection went */
        sd_bus_message_unref(reply);
}

static void test_describe(Fixture *f, gconstpointer data) {
        static const char bare[] =
                        "{\"Type\": \"fake_bare\", \"Name\": \"1st\", \"Description\": null, \"Enabled\": true, \"EnabledKnown\": true, "
                        "\"Running\": false, \"State\": \"waiting\", \"StateReason\": \"no-event-server\", \"StateDetail\": \"no server\", "
                        "\"StateChangeTimestamp\": 1000, \"StateChangeTimestampMonotonic\": 2000, \"Link\": \"none\", "
                        "\"LinkReason\": \"none\", \"LinkDetail\": null, \"LinkChangeTimestamp\": 1001, "
                        "\"LinkChangeTimestampMonotonic\": 2001, \"LinkChangesOmitted\": 0, \"NextRetryTimestampMonotonic\": null, "
                        "\"Restarts\": 0, \"RxMessages\": 0, \"TxMessages\": 0, \"Errors\": 0, \"LastMessageTimestamp\": null, \"EventPrefix\": [\"gateway\", \"a\\\"b\"], \"Points\": []}";
        static const char without_run[] =
                        "\"EventPrefix\": [\"gateway\", \"a\\\"b\"], \"Points\": [{\"Kind\": \"value\", \"Name\": \"1/word\", "
                        "\"In\": [\"gateway\", \"read\", \"word\"], \"Out\": [\"system\", \"write\", \"word\"], "
                        "\"Answer\": [\"gateway\", \"write\"]}, {\"Kind\": \"enable\", \"Name\": \"1\", \"In\": null, "
                        "\"Out\": [\"system\", \"enable\"], \"Answer\": null}], "
                        "\"FakeMaster\": {\"Endpoint\": \"tcp:10.0.0.1:502\", \"Timeouts\": null, \"LastRoundTripUSec\": null, \"HalfUSec\": null, \"Codes\": null, "
                        "\"Busy\": null, \"Firmware\": null, \"RemoteDevices\": []}}";
        static const char with_run[] =
                        "\"FakeMaster\": {\"Endpoint\": \"tcp:10.0.0.1:502\", \"Timeouts\": 18446744073709551615, "
                        "\"LastRoundTripUSec\": 7, \"HalfUSec\": 3, \"Codes\": {\"2\": 1, \"11\": 18446744073709551615}, \"Busy\": true, \"Firmware\": null, \"RemoteDevices\": "
                        "[{\"Id\": 1, \"Status\": \"CONNECTED\", \"Silent\": false}, {\"Id\": 2, \"Status\": null, \"Silent\": true}]}}";
        static const char manager[] =
                        "{\"Version\": 1, \"Manager\": {\"Version\": \"" VERSION
                        "\", \"ConfigFile\": \"/etc/gatewayd/gatewayd.yaml\", "
                        "\"State\": \"degraded\", \"DevicesTotal\": 2, \"DevicesEnabled\": 2, \"DevicesRunning\": 1, "
                        "\"DevicesFailed\": 0, \"DevicesDown\": 1, \"EventServer\": \"tcp:127.0.0.1:23012\", "
                        "\"EventServerState\": \"operational\", \"MonitorState\": \"none\", \"MonitorBlessed\": null, \"MonitorRank\": null, \"EventStorage\": \"working\", "
                        "\"EventStorageDetail\": null, \"EventsLost\": 0}, \"Devices\": [{\"Type\": \"fake_master\", ";
        const char *text;
        sd_bus_message *m;

        m = CALL(f, BARE, BUS_DEVICE_INTERFACE, "Describe", "");
        g_assert_cmpint(sd_bus_message_read(m, "s", &text), >, 0);
        g_assert_cmpstr(text, ==, bare);
        sd_bus_message_unref(m);

        f->plc_config.error = "a value is out of range"; /* its points are not to be asked for */
        m = CALL(f, PLC, BUS_DEVICE_INTERFACE, "Describe", "");
        g_assert_cmpint(sd_bus_message_read(m, "s", &text), >, 0);
        g_assert_nonnull(strstr(text, "\"Points\": []"));
        sd_bus_message_unref(m);
        f->plc_config.error = NULL;

        m = CALL(f, PLC, BUS_DEVICE_INTERFACE, "Describe", "");
        g_assert_cmpint(sd_bus_message_read(m, "s", &text), >, 0);
        g_assert_true(g_str_has_suffix(text, without_run));
        sd_bus_message_unref(m);

        f->plc.device = &f->device.device;
        m = CALL(f, ROOT, BUS_MANAGER_INTERFACE, "Describe", "");
        g_assert_cmpint(sd_bus_message_read(m, "s", &text), >, 0);
        g_assert_true(g_str_has_prefix(text, manager));
        g_assert_nonnull(strstr(text, with_run));
        g_assert_nonnull(strstr(text, bare));
        g_assert_cmpint(json_check(text, strlen(text), NULL), ==, 0);
        sd_bus_message_unref(m);
        f->plc.device = NULL;
}

static char *list_hardware(Fixture *f) {
        sd_bus_message *m = CALL(f, ROOT, BUS_MANAGER_INTERFACE, "ListHardware", "s", "fake_master");
        char *answer;
        const char *text;

        g_assert_cmpint(sd_bus_message_read(m, "s", &text), >, 0);
        answer = g_strdup(text);
        sd_bus_message_unref(m);
        return answer;
}

static void test_hardware(Fixture *f, gconstpointer data) {
        g_autofree char *first = list_hardware(f), *second = NULL, *later = NULL;
        usec_t at = f->bus->hardware_at;

        f->plc.device = &f->device.device;
        second = list_hardware(f);
        if (f->bus->hardware_at == at)
                g_assert_cmpstr(second, ==, first); /* it was looked at once */
        LOOP_UNTIL(f->event, now_usec(CLOCK_MONOTONIC) >= at + BUS_PACE_USEC);
        later = list_hardware(f);
        f->plc.device = NULL;
        g_assert_cmpstr(first, ==, "{\"Version\": 1, \"Type\": \"fake_master\", \"Hardware\": 0}");
        g_assert_cmpstr(later, ==, "{\"Version\": 1, \"Type\": \"fake_master\", \"Hardware\": 1}");
        g_assert_cmpuint(f->bus->hardware_at, >=, at + BUS_PACE_USEC);

        assert_error(CALL(f, ROOT, BUS_MANAGER_INTERFACE, "ListHardware", "s", "fake_bare"),
                     SD_BUS_ERROR_NOT_SUPPORTED);
        assert_error(CALL(f, ROOT, BUS_MANAGER_INTERFACE, "ListHardware", "s", "none"),
                     SD_BUS_ERROR_NOT_SUPPORTED);
}

/* ---- signals ----------------------------------------------------------------------------------------- */

static void set_state(Proxy *p, ProxyState state) {
        ProxyState old = p->view.state;

        p->view.state = state;
        gateway.observer->proxy_state(p, old, gateway.userdata);
}

static void set_link(Proxy *p, DeviceLink link) {
        DeviceLink old = p->view.link;

        p->view.link = link;
        gateway.observer->proxy_link(p, old, gateway.userdata);
}

static void change(Proxy *p, ProxyField what) {
        gateway.observer->proxy_changed(p, what, gateway.userdata);
}

static void test_announce(Fixture *f, gconstpointer data) {
        set_state(&f->plc, PROXY_STARTING);
        set_link(&f->plc, DEVICE_LINK_UP);
        change(&f->plc, PROXY_ENABLED);
        loop_settle(f->event);
        g_assert_cmpuint(f->signals->len, ==, 0); /* nothing before the name is ours */

        bus_begin(f->bus);
        LOOP_UNTIL(f->event, f->signals->len == 2);
        g_ptr_array_sort(f->signals, (GCompareFunc) g_strcmp0);
        g_ptr_array_set_size(f->signals, 2);
        g_assert_true(g_str_has_prefix(f->signals->pdata[0], "Gateway1 InterfacesAdded "));
        g_ptr_array_set_size(f->signals, 0);

        /* the earlier link is not told twice */
        set_link(&f->plc, DEVICE_LINK_DOWN);
        ASSERT_SIGNALS(f, "plc_2d1 LinkChanged up down none",
                       "plc_2d1 PropertiesChanged Link LinkReason LinkDetail LinkChangeTimestamp LinkChangeTimestampMonotonic");
}

static void test_state_signals(Fixture *f, gconstpointer data) {
        begin(f);
        set_state(&f->plc, PROXY_STARTING);
        set_state(&f->plc, PROXY_RUNNING);
        set_state(&f->plc, PROXY_FAILED);
        ASSERT_SIGNALS(f, "plc_2d1 StateChanged waiting starting no-event-server",
                       "plc_2d1 StateChanged starting running no-event-server",
                       "plc_2d1 StateChanged running failed no-event-server",
                       "plc_2d1 PropertiesChanged Running State StateReason StateDetail StateChangeTimestamp "
                       "StateChangeTimestampMonotonic");
        change(&f->plc, PROXY_ENABLED);
        change(&f->plc, PROXY_RETRY);
        ASSERT_SIGNALS(f, "plc_2d1 PropertiesChanged Enabled EnabledKnown NextRetryTimestampMonotonic");
        gateway.observer->gateway_changed(&gateway, GATEWAY_TOTALS, gateway.userdata);
        gateway.observer->gateway_changed(&gateway, GATEWAY_TOTALS, gateway.userdata);
        ASSERT_SIGNALS(f,
                       "Gateway1 PropertiesChanged DevicesTotal DevicesEnabled DevicesRunning DevicesFailed DevicesDown");
        gateway.observer->gateway_changed(&gateway, GATEWAY_STATE | GATEWAY_NORTH, gateway.userdata);
        ASSERT_SIGNALS(f, "Gateway1 PropertiesChanged State EventServer EventServerState MonitorState MonitorBlessed MonitorRank");
        gateway.observer->gateway_changed(&gateway, GATEWAY_STORAGE, gateway.userdata);
        ASSERT_SIGNALS(f, "Gateway1 PropertiesChanged EventStorage EventStorageDetail");
}

static unsigned count_signals(Fixture *f, const char *prefix) {
        unsigned n = 0;

        for (unsigned i = 0; i < f->signals->len; i++)
                n += g_str_has_prefix(f->signals->pdata[i], prefix);
        return n;
}

/* An edge each millisecond for half a second (more when the machine stands still meanwhile): at most 10 a second of each
 * signal, an unbroken chain of old and new, the last one true, none unaccounted for. */
static void test_flapping(Fixture *f, gconstpointer data) {
        usec_t begun, took;
        unsigned n_edges = 0, n_sent, n_changed;
        g_autofree char *last = NULL;

        begin(f);
        begun = now_usec(CLOCK_MONOTONIC);
        while (now_usec(CLOCK_MONOTONIC) < begun + 500 * USEC_PER_MSEC || n_edges < 100) {
                set_link(&f->plc, n_edges++ % 2 == 0 ? DEVICE_LINK_UP : DEVICE_LINK_DOWN);
                g_assert_cmpint(sd_event_run(f->event, USEC_PER_MSEC), >=, 0);
        }
        set_link(&f->plc, DEVICE_LINK_PARTIAL);
        n_edges++;
        LOOP_UNTIL(f->event, !bus_device_get(f->bus, &f->plc)->listed); /* nothing waits */
        loop_settle(f->event);
        took = now_usec(CLOCK_MONOTONIC) - begun;

        n_sent = count_signals(f, "plc_2d1 LinkChanged ");
        n_changed = count_signals(f, "plc_2d1 PropertiesChanged ");
        g_assert_cmpuint(n_sent, >=, 2);
        g_assert_cmpuint(n_sent, <=, took / BUS_PACE_USEC + 1);
        g_assert_cmpuint(n_changed, >=, 2);
        g_assert_cmpuint(n_changed, <=, took / BUS_PACE_USEC + 2);
        g_assert_cmpuint(n_sent + bus_device_get(f->bus, &f->plc)->links_omitted, ==, n_edges);
        last = g_strdup("none");
        for (unsigned i = 0; i < f->signals->len; i++) {
                g_auto(GStrv) words = g_strsplit(f->signals->pdata[i], " ", -1);

                if (!streq(words[1], "LinkChanged"))
                        continue;
                g_assert_cmpstr(words[2], ==, last);
                g_free(last);
                last = g_strdup(words[3]);
        }
        g_assert_cmpstr(last, ==, "partial");
}

static void test_removed(Fixture *f, gconstpointer data) {
        begin(f);
        gateway.observer->proxy_removed(&f->bare, gateway.userdata);
        g_ptr_array_remove(gateway.proxies, &f->bare);
        ASSERT_SIGNALS(f, "Gateway1 InterfacesRemoved _31st");
        assert_error(CALL(f, BARE, BUS_DEVICE_INTERFACE, "Enable", ""), SD_BUS_ERROR_UNKNOWN_OBJECT);

        gateway.observer->proxy_added(&f->bare, gateway.userdata);
        g_ptr_array_add(gateway.proxies, &f->bare);
        ASSERT_SIGNALS(f, "Gateway1 InterfacesAdded _31st");
}

/* The other end takes nothing: what can wait waits, and at last the bus is given up. */
static void test_deaf_bus(Fixture *f, gconstpointer data) {
        uint64_t n_before, n_after, bound = BUS_UNSENT_MAX + 2 * BUS_UNSENT_PER_DEVICE;

        begin(f);
        sd_bus_detach_event(f->client);
        do {
                set_state(&f->plc, PROXY_FAILED);
                g_assert_cmpint(sd_bus_get_n_queued_write(f->bus->bus, &n_before), >=, 0);
        } while (n_before < BUS_UNSENT_PAUSE);
        change(&f->plc, PROXY_ENABLED);
        bus_signals_flush(f->bus);
        g_assert_cmpint(sd_bus_get_n_queued_write(f->bus->bus, &n_after), >=, 0);
        g_assert_cmpuint(n_after, ==, n_before);
        g_assert_true(f->bus->owned);

        for (uint64_t i = 0; i < bound + 10; i++)
                set_state(&f->plc, PROXY_FAILED);
        g_assert_false(f->bus->owned);
        g_assert_cmpint(sd_bus_get_n_queued_write(f->bus->bus, &n_after), >=, 0);
        g_assert_cmpuint(n_after, <=, bound);
        sd_bus_attach_event(f->client, f->event, SD_EVENT_PRIORITY_NORMAL);
}

/* ---- long answers ------------------------------------------------------------------------------------ */

typedef struct LongCall {
        const char *path, *interface, *member, *types, *argument;
} LongCall;

/* What a long description makes long. */
static const LongCall long_calls[] = {
        { ROOT, BUS_MANAGER_INTERFACE, "Describe", "", NULL },
        { PLC, BUS_DEVICE_INTERFACE, "Describe", "", NULL },
        { PLC, PROPERTIES, "GetAll", "s", BUS_DEVICE_INTERFACE },
        { ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", NULL },
};

static char *describe_at_length(Fixture *f, size_t size) {
        char *text = g_strnfill(size, 'x');

        f->plc_config.description = text;
        return text;
}

static void test_too_long(Fixture *f, gconstpointer data) {
        g_autofree char *text = describe_at_length(f, BUS_ANSWER_MAX);

        for (size_t i = 0; i < ELEMENTSOF(long_calls); i++) {
                const LongCall *c = &long_calls[i];

                assert_error(CALL(f, c->path, c->interface, c->member, c->types, c->argument),
                             SD_BUS_ERROR_LIMITS_EXCEEDED);
        }
        assert_empty(CALL(f, PLC, BUS_DEVICE_INTERFACE, "Restart", ""));
}

/* A short one. */
static void send_unwanted(Fixture *f) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        g_assert_cmpint(sd_bus_message_new_method_call(f->client, &m, NULL, PLC, PROPERTIES, "Get"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "ss", BUS_DEVICE_INTERFACE, "Type"), >=, 0);
        g_assert_cmpint(sd_bus_message_set_expect_reply(m, false), >=, 0);
        g_assert_cmpint(sd_bus_send(f->client, m, NULL), >=, 0);
}

/* How many were answered; the others were refused. */
static unsigned read_answers(Fixture *f, sd_bus_message **replies, unsigned n) {
        unsigned answered = 0;

        for (unsigned i = 0; i < n; i++) {
                LOOP_UNTIL(f->event, replies[i]);
                if (sd_bus_message_is_method_error(replies[i], NULL))
                        assert_error(replies[i], SD_BUS_ERROR_LIMITS_EXCEEDED);
                else {
                        answered++;
                        sd_bus_message_unref(replies[i]);
                }
        }
        return answered;
}

/* A client asks and asks and does not read, and of most, which are short, says that it wants no answer. */
static void ask_deaf(Fixture *f, const LongCall *c, size_t size) {
        enum {
                N_CALLS = 80
        };
        sd_bus_message *replies[N_CALLS];
        unsigned answered;
        uint64_t unsent;

        for (unsigned i = 0; i < N_CALLS; i++) {
                send_call(f, &replies[i], c->path, c->interface, c->member, c->types, c->argument);
                for (unsigned j = 0; j < 2; j++)
                        send_unwanted(f);
        }
        sd_bus_detach_event(f->client);
        do {
                g_assert_cmpint(sd_bus_process(f->client, NULL), >=, 0); /* sends */
                loop_settle(f->event);
                g_assert_cmpint(sd_bus_get_n_queued_write(f->client, &unsent), >=, 0);
        } while (unsent > 0);
        g_assert_cmpint(sd_bus_get_n_queued_write(f->bus->bus, &unsent), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(f->client, f->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
        answered = read_answers(f, replies, N_CALLS);
        g_assert_cmpuint(answered, >=, BUS_ANSWERS_MAX / size);
        g_assert_cmpuint(answered, <, N_CALLS);
        unsent -= N_CALLS - answered; /* and the refusals */
        g_assert_cmpuint(unsent, <=, 2 * (BUS_ANSWERS_MAX / size + 1));
}

static void test_unread_answers(Fixture *f, gconstpointer data) {
        const size_t size = 512 << 10;
        g_autofree char *text = describe_at_length(f, size);

        for (size_t i = 0; i < ELEMENTSOF(long_calls); i++)
                ask_deaf(f, &long_calls[i], size);
}

/* Who reads is never refused, however much it asks for, also while signals are sent. */
static void test_read_answers(Fixture *f, gconstpointer data) {
        g_autofree char *text = describe_at_length(f, BUS_ANSWERS_MAX);

        begin(f);
        for (size_t i = 0; i < 20; i++) {
                const LongCall *c = &long_calls[i % ELEMENTSOF(long_calls)];
                sd_bus_message *m;

                change(&f->plc, PROXY_ENABLED);
                m = CALL(f, c->path, c->interface, c->member, c->types, c->argument);
                g_assert_false(sd_bus_message_is_method_error(m, NULL));
                sd_bus_message_unref(m);
        }
}

/* ---- addresses --------------------------------------------------------------------------------------- */

static void test_addresses(void) {
        _cleanup_(loop_unrefp) sd_event *event = loop_new();
        Bus *b;

        gateway = (Gateway) { .proxies = g_ptr_array_new(), .requests = g_ptr_array_new() };
        g_assert_cmpint(bus_new(event, &gateway, "nonsense", &handler, NULL, &b), <, 0);
        g_assert_cmpint(bus_new(event, &gateway, "unix:", &handler, NULL, &b), <, 0);
        g_assert_cmpint(bus_new(event, &gateway, "unix:path=/nonexistent/bus", &handler, NULL, &b), ==, 0);
        bus_free(b);
        g_ptr_array_unref(gateway.proxies);
        g_ptr_array_unref(gateway.requests);
}

#define ADD(name, function) g_test_add(name, Fixture, NULL, setup, function, teardown)

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        ADD("/dbus/properties/manager", test_manager_properties);
        ADD("/dbus/properties/manager/monitor", test_monitor_properties);
        ADD("/dbus/properties/device", test_device_properties);
        ADD("/dbus/properties/type", test_type_properties);
        ADD("/dbus/tree/paths", test_paths);
        ADD("/dbus/tree/managed-objects", test_managed_objects);
        ADD("/dbus/methods/enable", test_enable);
        ADD("/dbus/methods/errors", test_errors);
        g_test_add_func("/dbus/methods/error-map", test_error_map);
        ADD("/dbus/methods/export", test_export);
        ADD("/dbus/methods/scan", test_scan);
        ADD("/dbus/methods/trace", test_trace);
        ADD("/dbus/methods/many", test_many_calls);
        ADD("/dbus/methods/end-with-bus", test_calls_end_with_bus);
        ADD("/dbus/methods/describe", test_describe);
        ADD("/dbus/methods/hardware", test_hardware);
        ADD("/dbus/signals/announce", test_announce);
        ADD("/dbus/signals/state", test_state_signals);
        ADD("/dbus/signals/flapping", test_flapping);
        ADD("/dbus/signals/removed", test_removed);
        ADD("/dbus/signals/deaf-bus", test_deaf_bus);
        ADD("/dbus/answers/too-long", test_too_long);
        ADD("/dbus/answers/unread", test_unread_answers);
        ADD("/dbus/answers/read", test_read_answers);
        g_test_add_func("/dbus/addresses", test_addresses);
        return g_test_run();
}
