/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration: every rule of both forms, by the exact lines that a user reads. Uses the
 * Modbus device types of the build. */

#include <glib/gstdio.h>
#include <math.h>

#include "base/bounds.h"
#include "daemon/config.h"
#include "tests/unit/conf-lines.h"

#define FIXED "event_server: {eventer_server: {host: h, port: 1}}\n"
#define TIMES                                                                          \
        "connect_timeout: 5, connect_delay: 1, request_timeout: 2, request_delay: 0, " \
        "request_retry_immediate_count: 1, request_retry_delayed_count: 3, request_retry_delay: 0.5"
#define TCP(port) "{modbus_type: TCP, transport: {type: TCP, host: h, port: " port "}, " TIMES "}"
#define MASTER "hat.gateway.devices.modbus.master"
#define SLAVE_TCP "remote_hosts: null, max_connections: null, response_timeout: 1, keep_alive_timeout: null}"
#define SERIAL_TRANSPORT(port)                                                                              \
        "{type: SERIAL, port: " port ", baudrate: 9600, bytesize: EIGHTBITS, parity: NONE, stopbits: ONE, " \
        "flow_control: {xonxoff: false, rtscts: false, dsrdtr: false}, silent_interval: 0.1}"
#define SERIAL(port) "{modbus_type: RTU, transport: " SERIAL_TRANSPORT(port) ", " TIMES "}"

static char *config_file;

/* Result of config_load() of this text; the configuration is kept when there is one. */
static int load(const char *text, ConfErrors *e, Config **ret) {
        g_assert_true(g_file_set_contents(config_file, text, -1, NULL));
        return config_load(config_file, e, ret);
}

static Config *load_good(const char *text) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
        g_autofree char *lines = NULL;
        Config *c = NULL;
        int r;

        r = load(text, e, &c);
        lines = conf_lines(e);
        g_assert_cmpstr(lines, ==, "");
        g_assert_cmpint(r, ==, 0);
        return c;
}

static void check(const char *text, int expected, const char *lines) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
        _cleanup_(config_unrefp) Config *c = NULL;
        g_autofree char *got = NULL;
        int r;

        r = load(text, e, &c);
        got = conf_lines(e);
        conf_assert_lines(got, lines);
        g_assert_cmpint(r, ==, expected);
        g_assert_true((r == 0) == (c != NULL));
}

#define refused(text, lines) check(text, -EBADMSG, lines)
#define accepted(text, lines) check(text, 0, lines)

/* ---- values ------------------------------------------------------------------------------------------ */

static void test_native(void) {
        _cleanup_(config_unrefp) Config *c = NULL, *other = NULL;

        c = load_good("name: plant\n"
                      "$schema: x\nversion: 1\ntype: [any]\nmetrics: {}\nx-anything: {a: 1}\n"
                      "log: {level: debug, target: stderr}\n"
                      "event_server:\n  eventer_server: {address: 'tcp:[::1]:23012'}\n  client_token: secret\n"
                      "devices:\n"
                      "- {type: modbus_master, name: plc, description: A PLC, connection: " TCP(
                                      "502") ", remote_devices: []}\n"
                                             "- {type: modbus_slave, name: plc, modbus_type: TCP, transport: {type: TCP, listen: 'fd:modbus', " SLAVE_TCP
                                             ", data: [], x-note: 1}\n");
        g_assert_cmpint(c->form, ==, CONF_FORM_NATIVE);
        g_assert_cmpint(c->layout, ==, LAYOUT_NAMED);
        g_assert_true(c->require_operational);
        g_assert_cmpstr(c->name, ==, "plant");
        g_assert_cmpint(c->north, ==, NORTH_FIXED);
        g_assert_cmpstr(c->event_server.host, ==, "::1");
        g_assert_cmpuint(c->event_server.port, ==, 23012);
        g_assert_cmpstr(c->client_token, ==, "secret");
        g_assert_cmpint(c->log_level, ==, LOG_DEBUG);
        g_assert_cmpint(c->log_target, ==, LOG_TARGET_STDERR);
        g_assert_cmpuint(c->n_devices, ==, 2);
        g_assert_cmpstr(c->devices[0].type->name, ==, "modbus_master");
        g_assert_cmpstr(c->devices[0].name, ==, "plc");
        g_assert_cmpstr(c->devices[0].description, ==, "A PLC");
        g_assert_null(c->devices[0].error);
        g_assert_nonnull(c->devices[0].conf);
        g_assert_cmpstr(c->devices[1].type->name, ==, "modbus_slave");
        g_assert_null(c->devices[1].description);
        g_assert_cmpstr(config_listen_names(c)[0], ==, "modbus");
        g_assert_null(config_listen_names(c)[1]);

        other = config_ref(c);
        g_assert_true(other == c);
}

static void test_hat(void) {
        _cleanup_(config_unrefp) Config *c = NULL;

        c = load_good("name: g\ntype: gateway\n" FIXED "devices:\n- {module: " MASTER
                      ", name: plc, connection: " TCP("502") ", remote_devices: []}\n");
        g_assert_cmpint(c->form, ==, CONF_FORM_HAT);
        g_assert_cmpint(c->layout, ==, LAYOUT_FLAT);
        g_assert_false(c->require_operational);
        g_assert_cmpint(c->log_level, ==, -1);
        g_assert_cmpint(c->log_target, ==, _LOG_TARGET_INVALID);
        g_assert_null(c->client_token);
        g_assert_cmpstr(c->event_server.host, ==, "h");
        g_assert_null(config_listen_names(c)[0]);
        c = config_unref(c);

        c = load_good("name: g\nevent_types: named\n"
                      "event_server: {eventer_server: {address: 'unix:/run/e'}, require_operational: true}\n"
                      "devices:\n- {module: " MASTER
                      ", name: plc, connection: " TCP("502") ", remote_devices: []}\n");
        g_assert_cmpint(c->layout, ==, LAYOUT_NAMED);
        g_assert_true(c->require_operational);
        g_assert_cmpint(c->event_server.kind, ==, ADDRESS_UNIX);
        g_assert_cmpstr(c->event_server.path, ==, "/run/e");
}

static void test_monitor(void) {
        _cleanup_(config_unrefp) Config *c = NULL;

        c = load_good("name: g\nevent_server: {monitor_component: {host: m, port: 23010, gateway_group: a, event_server_group: b}}\n");
        g_assert_cmpint(c->north, ==, NORTH_MONITOR);
        g_assert_cmpstr(c->monitor->host, ==, "m");
        g_assert_cmpint(c->monitor->port, ==, 23010);
        g_assert_cmpstr(c->monitor->gateway_group, ==, "a");
        g_assert_cmpstr(c->monitor->event_server_group, ==, "b");
        g_assert_cmpstr(c->monitor->component_name, ==, "g");
        g_assert_null(c->embedded);
        c = config_unref(c);

        c = load_good("name: g\nevent_server: {monitor_component: {host: m, port: 1, gateway_group: a, event_server_group: b, "
                      "component_name: g2}}\n");
        g_assert_cmpstr(c->monitor->component_name, ==, "g2");
        refused("name: g\nevent_server: {monitor_component: {host: m, port: 1, gatway_group: a}}\n",
                "f:2:35: /event_server/monitor_component/gateway_group: required key is missing: expected a string\n"
                "f:2:35: /event_server/monitor_component/event_server_group: required key is missing: expected a string\n"
                "f:2:54: /event_server/monitor_component/gatway_group: unknown key \"gatway_group\", did you mean \"gateway_group\"?\n");
}

static void check_embedded_defaults(const Config *c) {
        g_assert_cmpint(c->north, ==, NORTH_EMBEDDED);
        g_assert_cmpstr(c->embedded->path, ==, "events.db");
        g_assert_cmpint(c->embedded->server_id, ==, 1);
        g_assert_null(c->embedded->listen.items);
        g_assert_null(c->embedded->client_token);
        g_assert_cmpuint(c->embedded->initial.n, ==, 0);
        g_assert_cmpuint(c->embedded->history.max_age, ==, 604800 * USEC_PER_SEC);
        g_assert_cmpint(c->embedded->history.max_events, ==, 1000000);
        g_assert_cmpint(c->embedded->history.max_bytes, ==, 268435456);
        g_assert_cmpint(c->embedded->on_corruption, ==, ON_CORRUPTION_REFUSE);
}

static void test_embedded(void) {
        _cleanup_(config_unrefp) Config *c = NULL;
        const EmbeddedInitial *initial;

        c = load_good("name: g\n");
        check_embedded_defaults(c);
        g_assert_false(c->embedded->given);
        c = config_unref(c);

        c = load_good("name: g\nevent_server: {embedded: {}}\n");
        check_embedded_defaults(c);
        g_assert_true(c->embedded->given);
        c = config_unref(c);

        c = load_good("name: g\n"
                      "event_server:\n"
                      "  embedded:\n"
                      "    path: ':memory:'\n"
                      "    server_id: 7\n"
                      "    listen: ['unix:e.sock', 'tcp:127.0.0.1:23012', 'tcp:[::1]:23012', 'tcp:localhost:1', 'fd:eventer']\n"
                      "    client_token: null\n"
                      "    initial:\n"
                      "    - {type: [gateway, g, modbus_master, plc, system, enable], payload: true}\n"
                      "    - {type: ['a/b'], payload: {x: [1, 2.5, 'é', null, 18446744073709551616]}}\n"
                      "    - {type: [c]}\n"
                      "    history: {max_age: null, max_events: 0, max_bytes: null}\n"
                      "    on_corruption: set-aside\n");
        g_assert_cmpstr(c->embedded->path, ==, ":memory:");
        g_assert_cmpint(c->embedded->server_id, ==, 7);
        g_assert_cmpuint(c->embedded->listen.n, ==, 5);
        g_assert_cmpstr(((const char *const *) c->embedded->listen.items)[4], ==, "fd:eventer");
        initial = c->embedded->initial.items;
        g_assert_cmpuint(c->embedded->initial.n, ==, 3);
        g_assert_cmpuint(initial[0].type.n, ==, 6);
        g_assert_cmpstr(((const char *const *) initial[0].type.items)[3], ==, "plc");
        g_assert_cmpstr(initial[0].payload, ==, "true");
        g_assert_cmpstr(initial[1].payload, ==,
                        "{\"x\": [1, 2.5, \"\\u00e9\", null, 18446744073709551616]}");
        g_assert_null(initial[2].payload);
        g_assert_cmpuint(c->embedded->history.max_age, ==, USEC_INFINITY);
        g_assert_cmpint(c->embedded->history.max_events, ==, 0);
        g_assert_cmpint(c->embedded->history.max_bytes, ==, -1);
        g_assert_cmpint(c->embedded->on_corruption, ==, ON_CORRUPTION_SET_ASIDE);
        g_assert_cmpstr(config_listen_names(c)[0], ==, "eventer");
        c = config_unref(c);

        /* a hundred years, where other times end after four months */
        c = load_good("name: g\nevent_server: {embedded: {history: {max_age: 3155760000}}}\n");
        g_assert_cmpuint(c->embedded->history.max_age, ==, 3155760000 * USEC_PER_SEC);
}

static void test_embedded_refused(void) {
        refused("name: g\n"
                "event_server:\n"
                "  embedded:\n"
                "    listen:\n"
                "    - tcp:0.0.0.0:23012\n"
                "    - tcp:example.org:1\n"
                "    - tcp:127.0.0.1\n"
                "    - 'fd:'\n"
                "    - unix:a\n"
                "    - unix:a\n"
                "    initial: [{type: [a, '*']}]\n",
                "f:5:7: /event_server/embedded/listen/0: tcp:0.0.0.0:23012 is not a loopback address and anybody could connect: give "
                "client_token, or listen on 127.0.0.1\n"
                "f:6:7: /event_server/embedded/listen/1: expected a numeric address or localhost to listen on, got \"example.org\"\n"
                "f:7:7: /event_server/embedded/listen/2: expected unix:PATH, tcp:HOST:PORT, tcp:[IPv6]:PORT or fd:NAME, got "
                "\"tcp:127.0.0.1\"\n"
                "f:8:7: /event_server/embedded/listen/3: expected unix:PATH, tcp:HOST:PORT, tcp:[IPv6]:PORT or fd:NAME, got \"fd:\"\n"
                "f:10:7: /event_server/embedded/listen/5: listening address \"unix:a\" is already taken by /event_server/embedded/listen/4 "
                "(line 9)\n"
                "f:11:26: /event_server/embedded/initial/0/type/1: expected a segment of an event type, got the wildcard \"*\"\n");
        accepted("name: g\nevent_server: {embedded: {listen: ['tcp:0.0.0.0:23012'], client_token: t}}\n",
                 "");
        accepted("name: g\nevent_server: {embedded: {client_token: a}, client_token: b}\n",
                 "f:2:59: /event_server/client_token: warning: without effect: the gateway needs no token for its own event server\n");
        refused("name: g\n"
                "event_server:\n"
                "  embedded:\n"
                "    pth: x\n"
                "    server_id: x\n"
                "    history: {max_age: -1, max_events: 1.5, max_bytes: 0}\n"
                "    initial: [{payload: 1}, {type: []}]\n"
                "    on_corruption: set_aside\n",
                "f:4:5: /event_server/embedded/pth: unknown key \"pth\", did you mean \"path\"?\n"
                "f:5:16: /event_server/embedded/server_id: expected an integer of at least 0, got \"x\"\n"
                "f:6:24: /event_server/embedded/history/max_age: expected a number of seconds from 0 to 3155760000, or null, got -1\n"
                "f:6:40: /event_server/embedded/history/max_events: expected an integer of at least 0, or null, got 1.5\n"
                "f:6:56: /event_server/embedded/history/max_bytes: expected an integer of at least 1, or null, got 0\n"
                "f:7:15: /event_server/embedded/initial/0/type: required key is missing: expected an array of 1 to 255 items\n"
                "f:7:36: /event_server/embedded/initial/1/type: expected an array of 1 to 255 items, got an array of 0\n"
                "f:8:20: /event_server/embedded/on_corruption: expected one of \"refuse\", \"set-aside\", got \"set_aside\", did you mean "
                "\"set-aside\"?\n");
        refused("name: g\nevent_server:\n  embedded:\n",
                "f:3:12: /event_server/embedded: expected an object, got null: write {} for the defaults\n");
}

/* ---- main keys --------------------------------------------------------------------------------------- */

static void test_main_refused(void) {
        refused("[]", "f:1:1: expected an object, got an array of 0\n");
        refused("name: 5\nnaem: x\n", "f:1:7: /name: expected a string of 1 to 128 bytes, got 5\n"
                                      "f:2:1: /naem: unknown key \"naem\", did you mean \"name\"?\n");
        refused("devices: []\n",
                "f:1:1: /name: required key is missing: expected a string of 1 to 128 bytes\n");
        refused("name: a/b\n",
                "f:1:7: /name: expected a name without \"/\", \"?\" and \"*\", got \"a/b\"\n");
        refused("name: \"a\\tb\"\n",
                "f:1:7: /name: expected a name without control characters, got \"a\\tb\"\n");
        refused("name: ''\n", "f:1:7: /name: expected a string of 1 to 128 bytes, got 0 bytes: \"\"\n");
        refused("name: g\nevent_types: name\n",
                "f:2:14: /event_types: expected one of \"named\", \"flat\", got \"name\", did you mean \"named\"?\n");
        refused("name: g\ndevices: {}\n",
                "f:2:10: /devices: expected an array of at most 10000 items, got an object\n");
        refused("name: g\nlog: {level: loud, target: sterr}\n",
                "f:2:14: /log/level: expected one of \"emerg\", \"alert\", \"crit\", \"err\", \"warning\", \"notice\", \"info\", \"debug\", got "
                "\"loud\"\n"
                "f:2:28: /log/target: expected one of \"auto\", \"journal\", \"stderr\", got \"sterr\", did you mean \"stderr\"?\n");
        accepted("name: g\nadminer_server: {host: h, port: 1}\n",
                 "f:2:17: /adminer_server: warning: ignored: the log level is set by \"log\", or by --log-level=\n");
}

static void test_event_server_refused(void) {
        refused("name: g\nevent_server: {}\n",
                "f:2:15: /event_server: expected exactly one of \"eventer_server\", \"monitor_component\", \"embedded\", got none\n");
        refused("name: g\nevent_server: {client_token: x, embedded: {}, eventer_server: {host: h, port: 1}}\n",
                "f:2:47: /event_server/eventer_server: expected exactly one of \"eventer_server\", \"monitor_component\", \"embedded\", and "
                "\"embedded\" is given already\n");
        refused("name: g\nevent_server: {eventer_server: {host: h}}\n",
                "f:2:32: /event_server/eventer_server/port: required key is missing: expected an integer from 1 to 65535 (or the key "
                "\"address\" in its place)\n");
        refused("name: g\nevent_server: {eventer_server: {host: h, port: 70000, address: 'unix:x'}}\n",
                "f:2:39: /event_server/eventer_server/host: cannot be given together with \"address\": leave one of them out\n"
                "f:2:48: /event_server/eventer_server/port: cannot be given together with \"address\": leave one of them out\n"
                "f:2:48: /event_server/eventer_server/port: expected an integer from 1 to 65535, got 70000\n");
        refused("name: g\nevent_server: {eventer_server: {address: 'tcp:h'}}\n",
                "f:2:42: /event_server/eventer_server/address: expected tcp:HOST:PORT, tcp:[IPv6]:PORT or unix:PATH, got \"tcp:h\"\n");
        refused("name: g\nevent_server: {eventer_server: {address: 'tcp:h:0'}}\n",
                "f:2:42: /event_server/eventer_server/address: expected a port from 1 to 65535, got 0\n");
        /* A range error outside of devices is fatal in the hat form too. */
        refused("name: g\nevent_server: {eventer_server: {host: h, port: 0}}\n"
                "devices: [{module: " MASTER ", name: a, connection: " TCP("1") ", remote_devices: []}]\n",
                "f:2:48: /event_server/eventer_server/port: expected an integer from 1 to 65535, got 0\n");
}

/* ---- secrets ----------------------------------------------------------------------------------------- */

static void test_credentials(void) {
        g_autofree char *folder = g_dir_make_tmp("test-config-XXXXXX", NULL),
                        *file = g_build_filename(folder, "token", NULL);
        static const char text[] =
                        "name: g\nevent_server: {eventer_server: {address: 'unix:e'}, client_token: 'credential:token'}\n";
        _cleanup_(config_unrefp) Config *c = NULL;

        g_unsetenv("CREDENTIALS_DIRECTORY");
        refused(text,
                "f:2:67: /event_server/client_token: credential \"token\" cannot be read: $CREDENTIALS_DIRECTORY is not set\n");

        g_setenv("CREDENTIALS_DIRECTORY", folder, true);
        refused(text,
                "f:2:67: /event_server/client_token: credential \"token\" cannot be read: No such file or directory\n");
        refused("name: g\nevent_server: {embedded: {client_token: 'credential:../x'}}\n",
                "f:2:41: /event_server/embedded/client_token: credential \"../x\" cannot be read: not the name of a credential\n");
        g_assert_true(g_file_set_contents(file, "", -1, NULL));
        refused(text, "f:2:67: /event_server/client_token: credential \"token\" cannot be read: empty\n");
        g_assert_true(g_file_set_contents(file, "s3cret\n", -1, NULL));
        c = load_good(text);
        g_assert_cmpstr(c->client_token, ==, "s3cret");

        /* Never printed. */
        refused("name: g\nevent_server: {embedded: {}, client_token: 123456}\n",
                "f:2:44: /event_server/client_token: expected a string of 1 to 65536 bytes, or null, got an integer\n");

        g_assert_cmpint(g_unlink(file), ==, 0);
        g_assert_cmpint(g_rmdir(folder), ==, 0);
        g_unsetenv("CREDENTIALS_DIRECTORY");
}

/* ---- devices ----------------------------------------------------------------------------------------- */

static void test_devices_refused(void) {
        refused("name: g\n" FIXED "devices:\n"
                "- 5\n"
                "- {name: a}\n"
                "- {type: modbus_mastr, nam: b}\n"
                "- {type: bacnet, name: c}\n"
                "- {type: 7, name: d}\n",
                "f:4:3: /devices/0: expected an object, got 5\n"
                "f:5:3: /devices/1/type: required key is missing: expected a string\n"
                "f:6:3: /devices/2/name: required key is missing: expected a string of 1 to 128 bytes\n"
                "f:6:10: /devices/2/type: device type not built in: got \"modbus_mastr\", this build has modbus_master, modbus_slave, gpio; "
                "did you mean \"modbus_master\"?\n"
                "f:7:10: /devices/3/type: device type not built in: got \"bacnet\", this build has modbus_master, modbus_slave, gpio\n"
                "f:8:10: /devices/4/type: expected a string, got 7\n");
        refused("name: g\n" FIXED "devices:\n"
                "- {module: hat.gateway.devices.snmp.manager, name: c}\n",
                "f:4:12: /devices/0/module: device type not built in: got \"hat.gateway.devices.snmp.manager\", this build has "
                "hat.gateway.devices.modbus.master, hat.gateway.devices.modbus.slave\n");
}

static void test_mixed_forms(void) {
        refused("name: g\n" FIXED "devices:\n"
                "- {type: modbus_master, name: a, connection: " TCP(
                                "1") ", remote_devices: []}\n"
                                     "- {module: " MASTER ", name: b, connection: " TCP(
                                                     "1") ", remote_devices: []}\n"
                                                          "- {type: modbus_master, module: x, name: a}\n",
                "f:5:4: /devices/1/module: a device given by \"module\" in a file that gives /devices/0 by \"type\": a file has one form\n"
                "f:6:25: /devices/2/module: a device is given by \"type\" or by \"module\", not by both\n");
        refused("name: g\n" FIXED "devices:\n"
                "- {name: z}\n"
                "- {module: " MASTER ", name: b, connection: " TCP("1") ", remote_devices: []}\n"
                                                                        "- {type: modbus_master, name: a}\n",
                "f:4:3: /devices/0/module: required key is missing: expected a string\n"
                "f:6:4: /devices/2/type: a device given by \"type\" in a file that gives /devices/1 by \"module\": a file has one form\n");
}

static void test_names(void) {
        g_autofree char *longest = g_strnfill(CONF_NAME_MAX, 'n'), *text = NULL, *longer = NULL,
                        *lines = NULL;

        text = g_strdup_printf("name: %s\n", longest);
        accepted(text, "");

        longer = g_strdup_printf("name: g\n" FIXED "devices:\n"
                                 "- {module: " MASTER
                                 ", name: %sx, connection: " TCP("1") ", remote_devices: []}\n",
                                 longest);
        lines = g_strdup_printf(
                        "f:4:53: /devices/0/name: expected a string of 1 to 128 bytes, got 129 bytes: \"%.80s…\"\n"
                        "f:4:53: /devices/0/name: a device without a usable name cannot be shown or enabled\n",
                        longest);
        refused(longer, lines);

        refused("name: g\n" FIXED "devices:\n- {type: modbus_master, name: 'a*', connection: " TCP(
                                "1") ", remote_devices: []}\n",
                "f:4:31: /devices/0/name: expected a name without \"/\", \"?\" and \"*\", got \"a*\"\n");
        accepted("name: g\n" FIXED "devices:\n- {module: " MASTER
                 ", name: 'a*', connection: " TCP("1") ", remote_devices: []}\n",
                 "f:4:53: /devices/0/name: warning: the name \"a*\" holds \"/\", \"?\" or \"*\", which event types use themselves\n");
}

static void test_twins(void) {
        refused("name: g\n" FIXED "devices:\n"
                "- {type: modbus_master, name: a, connection: " SERIAL(
                                "/dev/ttyS0") ", remote_devices: []}\n"
                                              "- {type: modbus_master, name: a, connection: " SERIAL(
                                                              "/dev//ttyS0") ", remote_devices: []}\n"
                                                                             "- {type: modbus_slave, name: a, modbus_type: TCP, transport: {type: TCP, local_host: h, local_port: 502, " SLAVE_TCP
                                                                             ", data: []}\n"
                                                                             "- {type: modbus_slave, name: b, modbus_type: TCP, transport: {type: TCP, local_host: h, local_port: 502, " SLAVE_TCP
                                                                             ", data: []}\n"
                                                                             "- {type: modbus_slave, name: c, modbus_type: TCP, transport: {type: TCP, listen: 'fd:m', " SLAVE_TCP
                                                                             ", data: []}\n"
                                                                             "- {type: modbus_slave, name: d, modbus_type: TCP, transport: {type: TCP, listen: 'fd:m', " SLAVE_TCP
                                                                             ", data: []}\n",
                "f:5:31: /devices/1/name: the name \"a\" is that of /devices/0 already, which is a modbus_master too\n"
                "f:5:97: /devices/1/connection/transport/port: serial port \"/dev/ttyS0\" is already taken by "
                "/devices/0/connection/transport/port (line 4)\n"
                "f:7:101: /devices/3/transport/local_port: listening address \"h:502\" is already taken by "
                "/devices/2/transport/local_port (line 6)\n"
                "f:9:82: /devices/5/transport/listen: passed socket \"m\" is already taken by /devices/4/transport/listen (line 8)\n");
}

#define DEVICE_REST                                      \
        "  name: plc\n"                                  \
        "  connection:\n"                                \
        "    modbus_type: tcp\n"                         \
        "    transport: {type: UDP, host: h, port: 1}\n" \
        "    connect_timeot: 5\n"                        \
        "    connect_delay: true\n"                      \
        "    request_timeout: 0\n"                       \
        "    request_delay: '0'\n"                       \
        "    request_retry_immediate_count: 1.5\n"       \
        "    request_retry_delayed_count: null\n"        \
        "    request_retry_delay: 20000000\n"            \
        "  remote_devices: {}\n"

#define LINES(unknown)                                                                                                                 \
        "f:7:5: /devices/0/connection/connect_timeout: required key is missing: expected a number of seconds greater than 0 and at "   \
        "most 10000000\n"                                                                                                              \
        "f:7:18: /devices/0/connection/modbus_type: expected one of \"TCP\", \"RTU\", \"ASCII\", got \"tcp\", did you mean \"TCP\"?\n" \
        "f:8:23: /devices/0/connection/transport/type: expected one of \"TCP\", \"SERIAL\", got \"UDP\"\n"                             \
        "f:9:5: /devices/0/connection/connect_timeot: " unknown ", did you mean \"connect_timeout\"?\n"                                \
        "f:10:20: /devices/0/connection/connect_delay: expected a number of seconds from 0 to 10000000, got true\n"                    \
        "f:11:22: /devices/0/connection/request_timeout: expected a number of seconds greater than 0 and at most 10000000, got 0\n"    \
        "f:12:20: /devices/0/connection/request_delay: expected a number of seconds from 0 to 10000000, got \"0\"\n"                   \
        "f:13:36: /devices/0/connection/request_retry_immediate_count: expected an integer of at least 0, got 1.5\n"                   \
        "f:14:34: /devices/0/connection/request_retry_delayed_count: expected an integer of at least 0, got null\n"                    \
        "f:15:26: /devices/0/connection/request_retry_delay: expected a number of seconds from 0 to 10000000, got 20000000\n"          \
        "f:16:19: /devices/0/remote_devices: expected an array, got an object\n"

/* All of one run, in both forms. */
static void test_all_at_once(void) {
        refused("name: g\n" FIXED "devices:\n- type: modbus_master\n" DEVICE_REST,
                LINES("unknown key \"connect_timeot\""));
        refused("name: g\n" FIXED "devices:\n- module: " MASTER "\n" DEVICE_REST,
                LINES("warning: unknown key \"connect_timeot\" is ignored"));
}

static void test_range_by_form(void) {
        static const char devices[] = " name: a, connection: " TCP(
                        "70000") ", remote_devices: "
                                 "[{device_id: 1, timeout_poll_delay: 0, data: []}, {device_id: 1, timeout_poll_delay: 0, data: []}]}\n"
                                 "- {";
        static const char second[] = ", name: b, connection: " TCP("502") ", remote_devices: []}\n";
        g_autofree char *native = g_strconcat("name: g\n" FIXED "devices:\n- {type: modbus_master,", devices,
                                              "type: modbus_master", second, NULL);
        g_autofree char *hat = g_strconcat("name: g\n" FIXED "devices:\n- {module: " MASTER ",", devices,
                                           "module: " MASTER, second, NULL);
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
        _cleanup_(config_unrefp) Config *c = NULL;

        refused(native,
                "f:4:103: /devices/0/connection/transport/port: expected an integer from 1 to 65535, got 70000\n"
                "f:4:358: /devices/0/remote_devices/1/device_id: duplicate device id 1\n");

        g_assert_cmpint(load(hat, e, &c), ==, 0);
        g_assert_cmpuint(conf_errors_count(e, CONF_RANGE), ==, 2);
        g_assert_cmpuint(conf_errors_count(e, CONF_ERROR), ==, 0);
        g_assert_cmpuint(c->n_devices, ==, 2);
        g_assert_cmpstr(c->devices[0].error, ==,
                        "/devices/0/connection/transport/port: expected an integer from 1 to 65535, got 70000");
        g_assert_cmpstr(c->devices[0].name, ==, "a");
        g_assert_null(c->devices[1].error);
}

static void test_unknown_keys_by_form(void) {
        refused("name: g\n" FIXED "foo: 1\ndevices:\n- {type: modbus_master, name: a, connection: " TCP(
                                "1") ", remote_device: [], remote_devices: [], x-y: 1}\n",
                "f:3:1: /foo: unknown key \"foo\", expected one of \"name\", \"type\", \"version\", \"$schema\", \"event_types\", "
                "\"event_server\", \"devices\", \"log\", \"adminer_server\", \"metrics\"\n"
                "f:5:276: /devices/0/remote_device: unknown key \"remote_device\", did you mean \"remote_devices\"?\n");
        accepted("name: g\n" FIXED "foo: 1\ndevices:\n- {module: " MASTER
                 ", name: a, connection: " TCP("1") ", remote_device: [], remote_devices: [], x-y: 1}\n",
                 "f:3:1: /foo: warning: unknown key \"foo\" is ignored\n"
                 "f:5:298: /devices/0/remote_device: warning: unknown key \"remote_device\" is ignored, did you mean \"remote_devices\"?\n");
}

static void test_hat_log(void) {
        static const char devices[] = FIXED "devices: [{module: " MASTER
                                            ", name: a, connection: " TCP("1") ", remote_devices: []}]\n";
        static const struct {
                const char *log, *lines;
                int level;
        } cases[] = {
                { "log: {version: 1, root: {level: INFO, handlers: [x]}}\n",
                  "f:2:6: /log: warning: of Python's logging configuration only root.level counts here: the log level is info\n",
                  LOG_INFO },
                { "log: {root: {level: CRITICAL}}\n",
                  "f:2:6: /log: warning: of Python's logging configuration only root.level counts here: the log level is crit\n",
                  LOG_CRIT },
                { "log: {version: 1}\n",
                  "f:2:6: /log: warning: of Python's logging configuration only root.level counts here: it gives none\n",
                  -1 },
                { "log: {root: {level: LOUD}}\n",
                  "f:2:6: /log: warning: of Python's logging configuration only root.level counts here: it gives none\n"
                  "f:2:21: /log/root/level: warning: expected one of \"CRITICAL\", \"ERROR\", \"WARNING\", \"INFO\", \"DEBUG\", got "
                  "\"LOUD\": ignored\n",
                  -1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
                _cleanup_(config_unrefp) Config *c = NULL;
                g_autofree char *text = g_strconcat("name: g\n", cases[i].log, devices, NULL), *lines = NULL;

                g_assert_cmpint(load(text, e, &c), ==, 0);
                lines = conf_lines(e);
                g_assert_cmpstr(lines, ==, cases[i].lines);
                g_assert_cmpint(c->log_level, ==, cases[i].level);
        }
}

static void test_file(void) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
        _cleanup_(config_unrefp) Config *c = NULL;
        g_autofree char *lines = NULL;

        g_assert_cmpint(config_load("/nonexistent/file", e, &c), ==, -EBADMSG);
        lines = conf_lines(e);
        g_assert_cmpstr(lines, ==, "f: cannot be read: No such file or directory\n");
}

/* ---- schema ------------------------------------------------------------------------------------------ */

static void test_schema(void) {
        for (ConfForm form = 0; form < _CONF_FORM_MAX; form++) {
                g_autofree char *golden = NULL, *file = NULL, *got = NULL;
                char *text = NULL;
                size_t size = 0;
                FILE *stream = open_memstream(&text, &size);

                config_print_schema(form, stream);
                fclose(stream);
                got = g_strdup(text);
                free(text);

                g_assert_cmpint(json_check(got, strlen(got), NULL), ==, 0);
                file = g_test_build_filename(
                                G_TEST_DIST, "..", "data",
                                form == CONF_FORM_NATIVE ? "schema-native.json" : "schema-hat.json", NULL);
                if (g_getenv("UPDATE_GOLDEN"))
                        g_assert_true(g_file_set_contents(file, got, -1, NULL));
                g_assert_true(g_file_get_contents(file, &golden, NULL, NULL));
                if (!streq(got, golden)) {
                        g_test_message("%s is out of date: run this test with UPDATE_GOLDEN=1, read the difference",
                                       file);
                        g_test_fail();
                }
        }
}

static void test_reference(void) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        config_print_reference(stream);
        fclose(stream);
        g_assert_true(g_str_has_prefix(
                        text,
                        "Main keys\n---------\n\n``name``\n    a string of 1 to 128 bytes; required.\n"));
        g_assert_nonnull(strstr(text, "modbus_master\n-------------\n"));
        g_assert_nonnull(strstr(text, "With ``type: SERIAL``:"));
        free(text);
}

int main(int argc, char *argv[]) {
        int fd, r;

        g_test_init(&argc, &argv, NULL);
        if (!device_type_find("modbus_master") || !device_type_find("modbus_slave") || !device_type_find("gpio")) {
                printf("1..0 # SKIP needs all device types in the build\n");
                return 0;
        }

        fd = g_file_open_tmp("test-config-XXXXXX", &config_file, NULL);
        g_assert_cmpint(fd, >=, 0);
        (void) safe_close(fd);

        g_test_add_func("/config/native", test_native);
        g_test_add_func("/config/hat", test_hat);
        g_test_add_func("/config/monitor", test_monitor);
        g_test_add_func("/config/embedded", test_embedded);
        g_test_add_func("/config/embedded-refused", test_embedded_refused);
        g_test_add_func("/config/main-refused", test_main_refused);
        g_test_add_func("/config/event-server-refused", test_event_server_refused);
        g_test_add_func("/config/credentials", test_credentials);
        g_test_add_func("/config/devices-refused", test_devices_refused);
        g_test_add_func("/config/mixed-forms", test_mixed_forms);
        g_test_add_func("/config/names", test_names);
        g_test_add_func("/config/twins", test_twins);
        g_test_add_func("/config/all-at-once", test_all_at_once);
        g_test_add_func("/config/range-by-form", test_range_by_form);
        g_test_add_func("/config/unknown-keys-by-form", test_unknown_keys_by_form);
        g_test_add_func("/config/hat-log", test_hat_log);
        g_test_add_func("/config/file", test_file);
        g_test_add_func("/config/schema", test_schema);
        g_test_add_func("/config/reference", test_reference);
        r = g_test_run();

        (void) g_unlink(config_file);
        g_free(config_file);
        return r;
}
