/* SPDX-License-Identifier: Apache-2.0 */
/* Points of both Modbus roles: every name and every event type that Describe hands out for them. */
#include "devices/modbus/modbus-conf.h"
#include "devices/modbus/modbus-points.h"

/* One line a point: "value 1/x in:gateway/… out:- answer:-". */
static void append_type(GString *s, const char *what, const char *const *subtypes) {
        g_autofree char *text = subtypes ? g_strjoinv("|", (char **) subtypes) : g_strdup("-");

        g_string_append_printf(s, " %s:%s", what, text);
}

static void append_point(const DevicePoint *p, void *userdata) {
        GString *s = userdata;

        g_string_append_printf(s, "%s %s", p->kind == DEVICE_POINT_ENABLE ? "enable" : "value", p->name);
        append_type(s, "in", p->in);
        append_type(s, "out", p->out);
        append_type(s, "answer", p->answer);
        g_string_append_c(s, '\n');
}

static void test_master(void) {
        ModbusMasterData first[] = {
                { .name = "coil", .type = MODBUS_COIL },
                { .name = "input", .type = MODBUS_DISCRETE_INPUT },
                { .name = "a/b", .type = MODBUS_HOLDING_REGISTER },
                { .name = "measured", .type = MODBUS_INPUT_REGISTER },
                { .name = "queue", .type = MODBUS_QUEUE },
        };
        ModbusRemoteConf remotes[] = {
                { .device_id = 1, .data = { .items = first, .n = ELEMENTSOF(first) } },
                { .device_id = 255 },
        };
        ModbusMasterConf conf = { .remote_devices = { .items = remotes, .n = ELEMENTSOF(remotes) } };
        g_autoptr(GString) s = g_string_new(NULL);

        modbus_master_points(&conf, append_point, s);
        g_assert_cmpstr(s->str, ==,
                        "enable 1 in:gateway|remote_device|1|status out:system|remote_device|1|enable answer:-\n"
                        "value 1/coil in:gateway|remote_device|1|read|coil out:system|remote_device|1|write|coil "
                        "answer:gateway|remote_device|1|write|coil\n"
                        "value 1/input in:gateway|remote_device|1|read|input out:- answer:-\n"
                        "value 1/a/b in:gateway|remote_device|1|read|a/b out:system|remote_device|1|write|a/b "
                        "answer:gateway|remote_device|1|write|a/b\n"
                        "value 1/measured in:gateway|remote_device|1|read|measured out:- answer:-\n"
                        "value 1/queue in:gateway|remote_device|1|read|queue out:- answer:-\n"
                        "enable 255 in:gateway|remote_device|255|status out:system|remote_device|255|enable "
                        "answer:-\n");
}

static void test_slave(void) {
        ModbusSlaveData data[] = { { .name = "level" }, { .name = "x" } };
        ModbusSlaveConf conf = { .data = { .items = data, .n = ELEMENTSOF(data) } };
        g_autoptr(GString) s = g_string_new(NULL);

        modbus_slave_points(&conf, append_point, s);
        g_assert_cmpstr(s->str, ==,
                        "value level in:system|data|level out:system|data|level answer:-\n"
                        "value x in:system|data|x out:system|data|x answer:-\n");
}

static void test_none(void) {
        g_autoptr(GString) s = g_string_new(NULL);

        modbus_master_points(&(ModbusMasterConf) {}, append_point, s);
        modbus_slave_points(&(ModbusSlaveConf) {}, append_point, s);
        g_assert_cmpstr(s->str, ==, "");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/modbus-points/master", test_master);
        g_test_add_func("/modbus-points/slave", test_slave);
        g_test_add_func("/modbus-points/none", test_none);
        return g_test_run();
}
