/* SPDX-License-Identifier: Apache-2.0 */
/* Polling of one remote device without a line or a clock: grouping, schedule, change detection. */

#include "devices/modbus/modbus-data.h"
#include "devices/modbus/modbus-poll.h"

#include <glib.h>

#define UNIT 0x11

/* Holding registers `start+quantity`, comma-separated, of one interval, unless a row says otherwise. */
typedef struct Fixture {
        ModbusMasterData data[32];
        char names[32][4];
        ModbusRemoteConf conf;
        ModbusPoll poll;
} Fixture;

static void fixture_add(Fixture *f, ModbusDataType type, double interval, unsigned start, unsigned offset,
                        unsigned count) {
        size_t i = f->conf.data.n++;

        g_snprintf(f->names[i], sizeof(f->names[i]), "%zu", i);
        f->data[i] = (ModbusMasterData) {
                .name = f->names[i],
                .interval = interval < 0 ? USEC_INFINITY : (usec_t) (interval * 1e6),
                .type = type,
                .start_address = start,
                .bit_offset = offset,
                .bit_count = count,
        };
}

static void fixture_init(Fixture *f) {
        modbus_poll_done(&f->poll);
        f->conf.device_id = UNIT;
        f->conf.data.items = f->data;
        modbus_poll_init(&f->poll, &f->conf, modbus_framing_get(MODBUS_FRAMING_TCP));
}

/* `3:0+5(0 1 2)` a group: function, start, quantity, names in order. */
static char *groups_to_text(const ModbusPoll *p) {
        g_autoptr(GString) s = g_string_new(NULL);

        for (size_t i = 0; i < p->n_groups; i++) {
                const ModbusGroup *g = &p->groups[i];

                g_string_append_printf(s, "%s%u:%u+%u(", i > 0 ? " " : "", modbus_read_function(g->type),
                                       g->start, g->quantity);
                for (size_t j = 0; j < g->n_items; j++)
                        g_string_append_printf(s, "%s%s", j > 0 ? " " : "", g->items[j].name);
                g_string_append_c(s, ')');
        }
        return g_strdup(s->str);
}

static void assert_groups(Fixture *f, const char *expected) {
        g_autofree char *text = NULL;

        fixture_init(f);
        text = groups_to_text(&f->poll);
        g_assert_cmpstr(text, ==, expected);
        modbus_poll_done(&f->poll);
}

static void check_ranges(ModbusDataType type, const char *ranges, const char *expected) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        g_auto(GStrv) parts = g_strsplit(ranges, ",", -1);

        for (char **p = parts; *p; p++) {
                unsigned start = 0, quantity = 0;

                g_assert_cmpint(sscanf(*p, "%u+%u", &start, &quantity), ==, 2);
                fixture_add(f, type, 1, start, 0, quantity * modbus_data_type_width(type));
        }
        assert_groups(f, expected);
}

static void test_examples(void) {
        check_ranges(MODBUS_HOLDING_REGISTER, "0+1,1+2,3+1,4+1,5+1", "3:0+6(0 1 2 3 4)");
        check_ranges(MODBUS_HOLDING_REGISTER, "0+100,100+25,125+1", "3:0+125(0 1) 3:125+1(2)");
        check_ranges(MODBUS_HOLDING_REGISTER, "0+100,90+40,95+1", "3:0+100(0) 3:90+40(1 2)");
        check_ranges(MODBUS_HOLDING_REGISTER, "0+200,10+1,150+1", "3:0+200(0 1) 3:150+1(2)");
        check_ranges(MODBUS_HOLDING_REGISTER, "10+4,10+1,12+1", "3:10+4(1 0 2)");
        check_ranges(MODBUS_HOLDING_REGISTER, "0+3,4+1", "3:0+3(0) 3:4+1(1)");
        check_ranges(MODBUS_QUEUE, "7+1,7+1,8+1,7+3", "24:7+1(0 1) 24:7+3(3) 24:8+1(2)");
        check_ranges(MODBUS_COIL, "0+1000,1000+1000,2000+1", "1:0+2000(0 1) 1:2000+1(2)");
        check_ranges(MODBUS_HOLDING_REGISTER, "5+1,3+1,4+1", "3:3+3(1 2 0)");
}

static void check_holes(int64_t max_gap, int64_t max_quantity, const char *starts, const char *expected) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        g_auto(GStrv) parts = g_strsplit(starts, ",", -1);

        for (char **p = parts; *p; p++)
                fixture_add(f, MODBUS_HOLDING_REGISTER, 1, (unsigned) atoi(*p), 0, 16);
        f->conf.max_gap = max_gap;
        f->conf.max_quantity = max_quantity;
        assert_groups(f, expected);
}

static void test_holes(void) {
        check_holes(-1, 0, "0,1,3", "3:0+2(0 1) 3:3+1(2)");
        check_holes(0, 0, "0,2,5", "3:0+1(0) 3:2+1(1) 3:5+1(2)");
        check_holes(1, 0, "0,2,5", "3:0+3(0 1) 3:5+1(2)");
        check_holes(2, 0, "0,2,5", "3:0+6(0 1 2)");
        check_holes(65535, 0, "0,124,125", "3:0+125(0 1) 3:125+1(2)");
        check_holes(0, 2, "0,1,2,3,4", "3:0+2(0 1) 3:2+2(2 3) 3:4+1(4)");
        check_holes(1, 4, "0,2,4,6", "3:0+3(0 1) 3:4+3(2 3)");
        check_holes(0, 2000, "0,1", "3:0+2(0 1)"); /* never more than the protocol allows */
}

static ModbusGroup *next_or_begin(Fixture *f, usec_t now, usec_t *ret_wake) {
        return modbus_poll_next(&f->poll) ?: modbus_poll_begin(&f->poll, now, ret_wake);
}

static void on_split_value(const ModbusItem *item, const uint8_t *bits, bool fresh, void *userdata) {
        g_string_append_printf(userdata, "%s=%u ", item->name, (unsigned) modbus_bits_get64(bits, item->offset, item->n_bits));
}

/* Reads until everything has its value or its error, of a far end where some registers are missing and the others
 * hold their address. */
static char *read_all(Fixture *f, const char *missing, unsigned *ret_requests) {
        GString *log = g_string_new(NULL);
        ModbusGroup *g;
        usec_t wake;

        *ret_requests = 0;
        while ((g = next_or_begin(f, 1, &wake))) {
                uint8_t data[250];
                bool refused = false;

                (*ret_requests)++;
                for (uint32_t i = 0; i < g->quantity; i++) {
                        g_autofree char *word = g_strdup_printf(",%u,", g->start + i);

                        refused = refused || strstr(missing, word);
                        data[2 * i] = (uint8_t) ((g->start + i) >> 8);
                        data[2 * i + 1] = (uint8_t) (g->start + i);
                }
                if (!refused)
                        modbus_group_set_data(g, data, 2 * (size_t) g->quantity, 0, on_split_value, log);
                else if (!modbus_poll_split(&f->poll, g))
                        for (size_t i = 0; i < g->n_items; i++)
                                g_string_append_printf(log, "%s! ", g->items[i].name);
        }
        return g_string_free(log, FALSE);
}

static void test_split(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        g_autofree char *first = NULL, *second = NULL, *third = NULL, *groups = NULL;
        unsigned n;

        for (unsigned i = 0; i < 8; i++)
                fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 10 + 2 * i, 0, 16); /* every second one */
        f->conf.max_gap = 3;
        fixture_init(f);
        first = read_all(f, ",14,21,", &n); /* an item, and a hole */
        g_assert_cmpstr(first, ==, "0=10 1=12 2! 3=16 4=18 5=20 6=22 7=24 ");
        g_assert_cmpuint(n, ==, 9);
        groups = groups_to_text(&f->poll);
        g_assert_cmpstr(groups, ==, "3:10+3(0 1) 3:14+1(2) 3:16+1(3) 3:18+3(4 5) 3:22+3(6 7)");

        modbus_poll_reset(&f->poll); /* a timeout: what was learned stays */
        second = read_all(f, ",14,21,", &n);
        g_assert_cmpstr(second, ==, "0=10 1=12 2! 3=16 4=18 5=20 6=22 7=24 ");
        g_assert_cmpuint(n, ==, 5);

        modbus_poll_restore(&f->poll); /* a new connection */
        third = read_all(f, "", &n);
        g_assert_cmpstr(third, ==, "0=10 1=12 2=14 3=16 4=18 5=20 6=22 7=24 ");
        g_assert_cmpuint(n, ==, 1);
        modbus_poll_done(&f->poll);
}

/* Values inside registers, and coils, stay where they are. */
static void test_split_offsets(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        g_autofree char *got = NULL;
        unsigned n;

        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0x1234, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0x1236, 4, 8);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0x1237, 24, 8);
        f->conf.max_gap = 5;
        fixture_init(f);
        got = read_all(f, ",4661,", &n);
        g_assert_cmpstr(got, ==, "0=4660 1=35 2=56 ");
        modbus_poll_done(&f->poll);
}

static void test_partitions(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);

        fixture_add(f, MODBUS_INPUT_REGISTER, 1, 0, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 2, 0, 0, 16);
        fixture_add(f, MODBUS_INPUT_REGISTER, 2, 0, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 1, 0, 16);
        fixture_add(f, MODBUS_INPUT_REGISTER, 1, 1, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, -1, 2, 0, 16); /* never polled */
        fixture_add(f, MODBUS_HOLDING_REGISTER, 2, 1, 0, 16);
        assert_groups(f, "4:0+2(0 4) 4:0+1(2) 3:0+2(1 6) 3:1+1(3)");
}

static void test_offsets(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);

        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0, 40, 8); /* registers 0 to 2 are read */
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 3, 0, 16);
        fixture_init(f);
        g_assert_cmpuint(f->poll.n_groups, ==, 1);
        g_assert_cmpuint(f->poll.groups[0].quantity, ==, 4);
        g_assert_cmpuint(f->poll.groups[0].items[0].offset, ==, 40);
        g_assert_cmpuint(f->poll.groups[0].items[1].offset, ==, 48);
        g_assert_cmpmem(f->poll.groups[0].frame, f->poll.groups[0].frame_size,
                        "\x00\x00\x00\x00\x00\x06\x11\x03\x00\x00\x00\x04", 12);
        modbus_poll_done(&f->poll);
}

static void test_nothing(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        usec_t wake;

        fixture_add(f, MODBUS_HOLDING_REGISTER, -1, 0, 0, 16);
        fixture_init(f);
        g_assert_cmpuint(f->poll.n_groups, ==, 0);
        g_assert_null(next_or_begin(f, 1, &wake));
        g_assert_cmpuint(wake, ==, USEC_INFINITY);
        modbus_poll_done(&f->poll);
}

/* ---- schedule ---------------------------------------------------------------------------------------- */

static void expect_next(Fixture *f, usec_t now, int group) {
        usec_t wake;
        ModbusGroup *g = next_or_begin(f, now, &wake);

        g_assert_nonnull(g);
        g_assert_cmpint(g - f->poll.groups, ==, group);
}

static void expect_wake(Fixture *f, usec_t now, usec_t when) {
        usec_t wake = 0;

        g_assert_null(next_or_begin(f, now, &wake));
        g_assert_cmpuint(wake, ==, when);
}

static void test_schedule(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        usec_t s = USEC_PER_SEC;

        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 10, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 3, 20, 0, 16);
        fixture_init(f);

        expect_next(f, 100 * s, 0);
        expect_next(f, 100 * s + 1, 1);         /* one round, measured from its start */
        expect_next(f, 100 * s + 2, 2);
        expect_wake(f, 100 * s + 3, 101 * s);
        expect_wake(f, 101 * s - 1, 101 * s);
        expect_next(f, 101 * s, 0);
        expect_next(f, 102 * s + s / 2,
                    1); /* longer than its interval: the next follows at once, none is made up for */
        expect_next(f, 102 * s + s / 2, 0);
        expect_next(f, 102 * s + s / 2, 1);
        expect_wake(f, 102 * s + s / 2, 103 * s);
        expect_next(f, 103 * s, 2);             /* only what is due */
        expect_wake(f, 103 * s, 103 * s + s / 2);

        modbus_poll_reset(&f->poll);
        expect_next(f, 103 * s, 0);
        modbus_poll_reset(&f->poll);            /* in the middle of a round */
        expect_next(f, 103 * s, 0);
        expect_next(f, 103 * s, 1);
        expect_next(f, 103 * s, 2);
        modbus_poll_done(&f->poll);
}

static void test_interval_0(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);

        fixture_add(f, MODBUS_HOLDING_REGISTER, 0, 0, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 0, 10, 0, 16);
        fixture_init(f);
        for (unsigned i = 0; i < 3; i++) {
                expect_next(f, 5, 0);
                expect_next(f, 5, 1);
        }
        modbus_poll_done(&f->poll);
}

/* ---- changes ----------------------------------------------------------------------------------------- */

static void on_changed(const ModbusItem *item, const uint8_t *bits, bool fresh, void *userdata) {
        g_autofree char *text = NULL;
        JsonWriter w;

        json_writer_init_growing(&w);
        json_bits(&w, bits + item->offset / 8, item->n_bits);
        text = json_writer_steal(&w);
        g_string_append_printf(userdata, "%s=%s%s ", item->name, text, fresh ? "!" : "");
}

static void expect_changes(ModbusGroup *g, const char *data, size_t size, const char *expected) {
        g_autoptr(GString) s = g_string_new(NULL);
        g_autofree uint8_t *exact = g_memdup2(data, size);

        modbus_group_set_data(g, exact, size, 0, on_changed, s);
        g_assert_cmpstr(s->str, ==, expected);
}

static void test_changes(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        ModbusGroup *g;

        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 1, 0, 16);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0, 0, 32);
        fixture_init(f);
        g = &f->poll.groups[0];

        expect_changes(g, "\0\1\0\2", 4, "0=1! 2=65538! 1=2! ");
        expect_changes(g, "\0\1\0\2", 4, "");
        expect_changes(g, "\0\1\0\3\7\7", 6, "2=65539 1=3 ");   /* excess is dropped */
        expect_changes(g, "\0\1\0\3\0\0", 6, "");

        g_assert_true(modbus_group_set_error(g, MODBUS_FUNCTION_ERROR, 1000000, false));
        g_assert_false(modbus_group_set_error(g, MODBUS_FUNCTION_ERROR, 1099999, false)); /* D25 */
        g_assert_true(modbus_group_set_error(g, MODBUS_FUNCTION_ERROR, 1100000, false));
        g_assert_true(modbus_group_set_error(g, MODBUS_INVALID_DATA_VALUE, 1100001, false));
        g_assert_false(modbus_group_set_error(g, MODBUS_INVALID_DATA_VALUE, 999000000, true)); /* changes only */
        g_assert_true(modbus_group_set_error(g, MODBUS_FUNCTION_ERROR, 999000001, true));
        expect_changes(g, "\0\1\0\3", 4, "0=1! 2=65539! 1=3! ");

        modbus_poll_reset(&f->poll);
        expect_changes(g, "\0\1\0\3", 4, "0=1! 2=65539! 1=3! ");
        modbus_poll_done(&f->poll);
}

static void test_coil_padding(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        ModbusGroup *g;

        fixture_add(f, MODBUS_COIL, 1, 0, 0, 8);
        fixture_add(f, MODBUS_COIL, 1, 8, 0, 2);
        fixture_init(f);
        g = &f->poll.groups[0];
        g_assert_cmpuint(g->quantity, ==, 10);
        modbus_poll_done(&f->poll);

        f->conf.data.n = 1;
        f->data[0].bit_count = 3;
        fixture_init(f);
        {
                g_autoptr(GString) s = g_string_new(NULL);

                g = &f->poll.groups[0];
                modbus_group_set_data(g, (const uint8_t *) "\x05", 1, 0, on_changed, s);
                g_string_truncate(s, 0);
                modbus_group_set_data(g, (const uint8_t *) "\xf5", 1, 0, on_changed,
                                      s); /* padding is nobody's */
                g_assert_cmpstr(s->str, ==, "");
        }
        modbus_poll_done(&f->poll);
}

static void test_queue(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        ModbusGroup *g;

        fixture_add(f, MODBUS_QUEUE, 1, 7, 0, 48);
        fixture_init(f);
        g = &f->poll.groups[0];
        expect_changes(g, "", 0, "0=0! ");
        expect_changes(g, "\0\1", 2, "0=4294967296 ");          /* missing registers are 0 */
        expect_changes(g, "\0\1\0\2\0\3\0\4", 8, "0=4295098371 ");
        modbus_poll_done(&f->poll);
}

/* ---- reports ----------------------------------------------------------------------------------------- */

static void on_report(const ModbusItem *item, const uint8_t *bits, bool fresh, void *userdata) {
        g_string_append_printf(userdata, "%s=%d%s ", item->name,
                               (int16_t) modbus_bits_get64(bits, item->offset, item->n_bits), fresh ? "!" : "");
}

/* Reads of one register, `seconds:value`, or `seconds:E` an error; what of them is reported. */
static void check_reports(const ModbusReportConf *report, const char *reads, const char *expected) {
        static const ModbusValueConf number = { .given = true, .type = MODBUS_VALUE_INT, .scale = 1 };
        g_autofree Fixture *f = g_new0(Fixture, 1);
        g_auto(GStrv) parts = g_strsplit(reads, " ", -1);
        g_autoptr(GString) log = g_string_new(NULL);

        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0, 0, 16);
        f->data[0].value = number;
        f->data[0].report = *report;
        f->data[0].report.given = true;
        fixture_init(f);
        for (char **p = parts; *p; p++) {
                g_auto(GStrv) pair = g_strsplit(*p, ":", 2);
                usec_t now = (usec_t) (g_ascii_strtod(pair[0], NULL) * 1e6);
                int value = atoi(pair[1]);
                uint8_t data[] = { (uint8_t) (value >> 8), (uint8_t) value };

                if (pair[1][0] == 'E')
                        (void) modbus_group_set_error(&f->poll.groups[0], MODBUS_FUNCTION_ERROR, now, false);
                else
                        modbus_group_set_data(&f->poll.groups[0], data, sizeof(data), now, on_report, log);
        }
        g_assert_cmpstr(log->str, ==, expected);
        modbus_poll_done(&f->poll);
}

static void test_reports(void) {
        ModbusReportConf r = { .max_interval = USEC_INFINITY };

        check_reports(&r, "1:5 2:5 3:6 4:6 5:5", "0=5! 0=6 0=5 ");
        r.deadband = 3;
        check_reports(&r, "1:10 2:13 3:14 4:11 5:10 6:-4 7:E 8:-4", "0=10! 0=14 0=10 0=-4 0=-4! ");
        r.deadband_percent = 50; /* the greater of both */
        check_reports(&r, "1:10 2:15 3:16 4:24 5:25 6:2 7:5 8:6", "0=10! 0=16 0=25 0=2 0=6 ");
        r = (ModbusReportConf) { .min_interval = 2 * USEC_PER_SEC, .max_interval = USEC_INFINITY };
        check_reports(&r, "1:1 1.5:2 2:3 2.9:4 3:5 3.5:6 4:5 6:5 7:6", "0=1! 0=5 0=6 "); /* back again: no change */
        r = (ModbusReportConf) { .max_interval = 10 * USEC_PER_SEC };
        check_reports(&r, "1:1 5:1 10.9:1 11:1 12:2 21:2 22:2", "0=1! 0=1! 0=2 0=2! ");
        r = (ModbusReportConf) { .deadband = 5, .min_interval = USEC_PER_SEC, .max_interval = 3 * USEC_PER_SEC };
        check_reports(&r, "1:0 1.5:9 2:9 3:11 5:11", "0=0! 0=9 0=11! "); /* small changes come in the end */
}

/* Texts and wide numbers, which a double does not tell apart; neighbours without `report` stay as they are. */
static void test_reports_of_others(void) {
        g_autofree Fixture *f = g_new0(Fixture, 1);
        g_autoptr(GString) log = g_string_new(NULL);
        uint8_t data[18] = { [15] = 1 };
        ModbusGroup *g;

        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0, 0, 128);
        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 8, 0, 16);
        f->data[0].report = (ModbusReportConf) { .given = true, .deadband = 1, .max_interval = USEC_INFINITY };
        fixture_init(f);
        g = &f->poll.groups[0];
        modbus_group_set_data(g, data, sizeof(data), 1, on_changed, log);
        g_string_truncate(log, 0);
        data[17] = 7;
        modbus_group_set_data(g, data, sizeof(data), 2, on_changed, log);
        g_assert_nonnull(strstr(log->str, "1"));
        g_assert_null(strstr(log->str, "0="));
        g_string_truncate(log, 0);
        data[15] = 2;
        modbus_group_set_data(g, data, sizeof(data), 3, on_changed, log);
        g_assert_cmpuint(log->len, >, 0);
        modbus_poll_done(&f->poll);
}

/* Nothing is within a band around what is no number. */
static void test_reports_of_infinities(void) {
        static const uint8_t reads[][4] = {
                { 0x3f, 0x80, 0, 0 }, /* 1 */
                { 0x7f, 0x80, 0, 0 }, /* infinity */
                { 0x40, 0, 0, 0 },    /* 2 */
                { 0xff, 0x80, 0, 0 }, /* the other one */
                { 0x7f, 0xc0, 0, 0 }, /* NaN */
                { 0x40, 0, 0, 0 },
        };
        g_autofree Fixture *f = g_new0(Fixture, 1);

        fixture_add(f, MODBUS_HOLDING_REGISTER, 1, 0, 0, 32);
        f->data[0].value = (ModbusValueConf) { .given = true, .type = MODBUS_VALUE_FLOAT, .scale = 1 };
        f->data[0].report = (ModbusReportConf) {
                .given = true, .deadband = 1, .deadband_percent = 10, .max_interval = USEC_INFINITY
        };
        fixture_init(f);
        for (size_t i = 0; i < G_N_ELEMENTS(reads); i++) {
                g_autoptr(GString) log = g_string_new(NULL);

                modbus_group_set_data(&f->poll.groups[0], reads[i], sizeof(reads[i]), i + 1, on_changed, log);
                g_assert_cmpuint(log->len, >, 0);
        }
        modbus_poll_done(&f->poll);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-groups/examples", test_examples);
        g_test_add_func("/modbus-groups/holes", test_holes);
        g_test_add_func("/modbus-groups/split", test_split);
        g_test_add_func("/modbus-groups/split-offsets", test_split_offsets);
        g_test_add_func("/modbus-groups/reports", test_reports);
        g_test_add_func("/modbus-groups/reports-of-others", test_reports_of_others);
        g_test_add_func("/modbus-groups/reports-of-infinities", test_reports_of_infinities);
        g_test_add_func("/modbus-groups/partitions", test_partitions);
        g_test_add_func("/modbus-groups/offsets", test_offsets);
        g_test_add_func("/modbus-groups/nothing", test_nothing);
        g_test_add_func("/modbus-groups/schedule", test_schedule);
        g_test_add_func("/modbus-groups/interval-0", test_interval_0);
        g_test_add_func("/modbus-groups/changes", test_changes);
        g_test_add_func("/modbus-groups/coil-padding", test_coil_padding);
        g_test_add_func("/modbus-groups/queue", test_queue);
        return g_test_run();
}
