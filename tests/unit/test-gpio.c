/* SPDX-License-Identifier: Apache-2.0 */
/* Device type gpio on a machine that the test plays: each rule of section 3 of the specification, each result of a write, in
 * its order. Main thread. */

#include <errno.h>
#include <fcntl.h>

#include "tests/unit/fake-gpio-lines.h"
#include "tests/unit/fake-host.h"

#define MS USEC_PER_MSEC
#define STATE(name, value, cause) "line/" name "/state {\"value\": " value ", \"cause\": \"" cause "\"}"
#define ANSWER(name, id, result) "line/" name "/write {\"request_id\": " id ", \"result\": \"" result "\"}"
#define CONNECTING "status \"CONNECTING\""
#define CONNECTED "status \"CONNECTED\""
#define DISCONNECTED "status \"DISCONNECTED\""

extern const DeviceType gpio_device_type;

static FakeHost *host_new_delayed(const char *lines, const char *connect_delay) {
        g_autofree char *conf = g_strdup_printf("{chip: gpiochip0, connect_delay: %s, lines: [%s]}", connect_delay, lines);
        FakeHost *h = fake_host_new(&gpio_device_type, conf);

        h->with_sources = true;
        return h;
}

static FakeHost *host_new(const char *lines) {
        return host_new_delayed(lines, "0.05");
}

/* Connected, its first states taken. */
static FakeHost *host_connected(const char *lines, unsigned n) {
        FakeHost *h = host_new(lines);

        fake_host_start(h);
        fake_host_wait(h, &h->started);
        fake_host_expect(h, CONNECTING, CONNECTED);
        while (n-- > 0)
                (void) fake_host_next(h);
        return h;
}

static FakeChip *machine(void) {
        fake_gpio_reset();
        return fake_gpio_plug("gpiochip0", "soc");
}

static usec_t source(FakeHost *h, size_t back) {
        const Timestamp *t = &g_array_index(h->sources, Timestamp, h->seen - back);

        return (usec_t) t->s * USEC_PER_SEC + (usec_t) t->us;
}

/* What the wall clock said then; read again when something came between. */
static usec_t wall(usec_t monotonic) {
        usec_t before, real;

        do {
                before = now_usec(CLOCK_MONOTONIC);
                real = now_usec(CLOCK_REALTIME);
        } while (now_usec(CLOCK_MONOTONIC) - before > MS);
        return real - before + monotonic;
}

static void assert_near(usec_t a, usec_t b) {
        g_assert_cmpuint(MAX(a, b) - MIN(a, b), <, 5 * MS);
}

/* Of the last line. */
static void assert_recent(FakeHost *h) {
        usec_t now = now_usec(CLOCK_REALTIME);

        g_assert_cmpuint(source(h, 1), <=, now + 5 * MS);
        g_assert_cmpuint(source(h, 1), >=, now - 10 * USEC_PER_SEC);
}

static const StatusField *field(const StatusField *fields, const char *name) {
        while (!streq(fields->name, name))
                fields++;
        return fields;
}

static uint64_t lost_edges(FakeHost *h) {
        return *(const uint64_t *) (const void *) ((const char *) h->device + field(gpio_device_type.status, "LostEdges")->offset);
}

static const void *part_value(FakeHost *h, size_t i, const char *name) {
        return (const char *) gpio_device_type.part(h->device, i) + field(gpio_device_type.part_fields, name)->offset;
}

#define DOOR "{name: door, line: 3, direction: INPUT}"
#define LAMP "{name: lamp, line: LED0, direction: OUTPUT}"

/* ---- rule 1 ------------------------------------------------------------------------------------------ */

static void test_start(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_new(
                        LAMP ", " DOOR ", {name: inverse, line: 4, direction: INPUT, active_low: true}, "
                        "{name: keep, line: 5, direction: OUTPUT, initial: null}, "
                        "{name: on, line: 6, direction: OUTPUT, initial: 1}");

        c->names[0] = "LED0";
        c->levels[3] = 1;
        c->levels[5] = 1;
        fake_host_start(h);
        g_assert_cmpint(h->link, ==, DEVICE_LINK_CONNECTING);
        fake_host_wait(h, &h->started);
        fake_host_expect(h, CONNECTING, CONNECTED, STATE("lamp", "0", "INTERROGATE"), STATE("door", "1", "INTERROGATE"),
                         STATE("inverse", "1", "INTERROGATE"), STATE("keep", "1", "INTERROGATE"),
                         STATE("on", "1", "INTERROGATE"));
        g_assert_cmpint(h->link, ==, DEVICE_LINK_UP);
        g_assert_cmpuint(c->requests, ==, 1);
        g_assert_cmpint(c->levels[6], ==, 1);
        assert_recent(h);

        g_assert_cmpuint(gpio_device_type.n_parts(h->device), ==, 5);
        g_assert_cmpstr(*(const char *const *) part_value(h, 0, "Consumer"), ==, GPIO_CONSUMER);
        g_assert_cmpstr(*(const char *const *) part_value(h, 1, "Direction"), ==, "INPUT");
        g_assert_cmpuint(*(const uint64_t *) part_value(h, 4, "Offset"), ==, 6);
        g_assert_cmpuint(*(const uint64_t *) part_value(h, 1, "Value"), ==, 1);
}

/* ---- rule 2 ------------------------------------------------------------------------------------------ */

static void expect_down(FakeHost *h, DeviceReason reason, const char *detail) {
        fake_host_expect(h, CONNECTING, DISCONNECTED);
        g_assert_cmpint(h->link, ==, DEVICE_LINK_DOWN);
        g_assert_cmpint(h->link_reason, ==, reason);
        g_test_message("%s", h->link_detail);
        g_assert_nonnull(strstr(h->link_detail, detail));
        g_assert_false(h->ended);
}

/* Tries follow one another until one registers this … */
static void wait_line(FakeHost *h, const char *line) {
        while (!streq(fake_host_next(h), line)) {
        }
}

/* … or fails for this reason. */
static void wait_down(FakeHost *h, const char *detail) {
        do
                wait_line(h, DISCONNECTED);
        while (!strstr(h->link_detail, detail));
}

static void test_faults(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_new(DOOR ", " LAMP);
        unsigned changes;

        fake_gpio_unplug(c, false);
        fake_host_start(h);
        fake_host_wait(h, &h->started); /* also without the chip */
        expect_down(h, DEVICE_REASON_NOT_FOUND, "no chip gpiochip0");
        changes = h->link_changes;
        expect_down(h, DEVICE_REASON_NOT_FOUND, "no chip gpiochip0"); /* after connect_delay */
        g_assert_cmpuint(h->link_changes, ==, changes);

        fake_gpio_plug("gpiochip0", "soc");
        wait_down(h, "has no line \"LED0\" (lamp)");
        g_assert_cmpint(h->link_reason, ==, DEVICE_REASON_NOT_FOUND);

        c->names[7] = "LED0";
        c->holders[3] = "otherd";
        wait_down(h, "line 3 (door) of chip gpiochip0 is held by \"otherd\"");
        g_assert_cmpint(h->link_reason, ==, DEVICE_REASON_BUSY);
        g_assert_cmpstr(*(const char *const *) part_value(h, 0, "Consumer"), ==, "otherd");

        c->holders[3] = NULL;
        c->names[3] = "LED0"; /* found first */
        wait_down(h, "line \"LED0\" (lamp) of chip gpiochip0 is configured twice");

        c->names[3] = NULL;
        wait_line(h, CONNECTED);
        g_assert_cmpint(h->link, ==, DEVICE_LINK_UP);
        fake_host_expect(h, STATE("door", "0", "INTERROGATE"), STATE("lamp", "0", "INTERROGATE"));
        g_assert_cmpstr(*(const char *const *) part_value(h, 0, "Consumer"), ==, GPIO_CONSUMER);
}

static void test_two_of_a_label(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = fake_host_new(
                        &gpio_device_type, "{chip: soc, connect_delay: 0.05, lines: [" DOOR "]}");

        h->with_sources = true;
        c = fake_gpio_plug("gpiochip1", "soc");
        fake_host_start(h);
        fake_host_expect(h, CONNECTING, DISCONNECTED);
        g_assert_nonnull(strstr(h->link_detail, "gpiochip0 and "));
        g_assert_nonnull(strstr(h->link_detail, "gpiochip1 have this label"));
        fake_gpio_unplug(c, false);
        wait_line(h, CONNECTED);
}

/* The next try comes after connect_delay, and not before. */
static void test_connect_delay(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_new(DOOR);
        usec_t began;

        c->holders[3] = "otherd";
        fake_host_start(h);
        fake_host_expect(h, CONNECTING, DISCONNECTED);
        began = now_usec(CLOCK_MONOTONIC);
        c->holders[3] = NULL;
        fake_host_expect(h, CONNECTING);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - began, >=, 45 * MS); /* it counts from the failure */
        fake_host_expect(h, CONNECTED);
}

static void test_unreadable(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_new(DOOR);

        c->get_error = -EIO;
        fake_host_start(h);
        expect_down(h, DEVICE_REASON_IO, "cannot read line 3 (door)");
        g_assert_null(c->lines);
        c->get_error = 0;
        wait_line(h, CONNECTED);
}

/* ---- rule 3 ------------------------------------------------------------------------------------------ */

/* silently: the kernel wakes nobody, only the folder tells. Returning it is noticed before connect_delay, 5 s. */
static void check_unplugged(bool silently) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = fake_host_new(&gpio_device_type, "{chip: gpiochip0, lines: [" DOOR "]}");
        usec_t began;

        h->with_sources = true;
        fake_host_start(h);
        fake_host_expect(h, CONNECTING, CONNECTED, STATE("door", "0", "INTERROGATE"));
        began = now_usec(CLOCK_MONOTONIC);
        fake_gpio_unplug(c, silently);
        fake_host_expect(h, DISCONNECTED);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - began, <, 5 * USEC_PER_SEC);
        g_assert_cmpint(h->link_reason, ==, DEVICE_REASON_LOST);
        g_assert_null(c->lines);

        began = now_usec(CLOCK_MONOTONIC);
        c->levels[3] = 1;
        fake_gpio_plug("gpiochip0", "soc");
        fake_host_expect(h, CONNECTING, CONNECTED, STATE("door", "1", "INTERROGATE"));
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - began, <, 5 * USEC_PER_SEC);
}

static void test_unplugged(void) {
        check_unplugged(false);
}

static void test_unplugged_silently(void) {
        check_unplugged(true);
}

/* ---- rules 4 and 8 ----------------------------------------------------------------------------------- */

static void test_edges(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(
                        DOOR ", {name: up, line: 4, direction: INPUT, edge: RISING}, "
                        "{name: down, line: 5, direction: INPUT, edge: FALLING}", 3);
        usec_t now = now_usec(CLOCK_MONOTONIC);

        fake_gpio_move(c, 3, 1, now + 100 * MS); /* several waited; times decide, lines have their own descriptors */
        fake_gpio_move(c, 3, 0, now + 300 * MS);
        fake_gpio_move(c, 4, 1, now + 200 * MS);
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        assert_near(source(h, 1), wall(now + 100 * MS));
        fake_host_expect(h, STATE("up", "1", "CHANGE"));
        assert_near(source(h, 1), wall(now + 200 * MS));
        fake_host_expect(h, STATE("door", "0", "CHANGE"));
        assert_near(source(h, 1), wall(now + 300 * MS));
        g_assert_cmpuint(source(h, 1) - source(h, 3), ==, 200 * MS); /* one offset for all */

        fake_gpio_move(c, 4, 1, now + 310 * MS);
        fake_gpio_move(c, 5, 0, now + 320 * MS);
        fake_gpio_move(c, 5, 0, now + 330 * MS);
        fake_host_expect(h, STATE("up", "1", "CHANGE"), STATE("down", "0", "CHANGE"), STATE("down", "0", "CHANGE"));

        fake_gpio_move(c, 3, 1, now + 200 * MS); /* never before the last one of its line */
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        assert_near(source(h, 1), wall(now + 300 * MS));
        fake_host_expect_nothing(h, 30 * MS);
        g_assert_cmpuint(lost_edges(h), ==, 0);
}

static void test_debounce(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected("{name: door, line: 3, direction: INPUT, debounce: 0.2}", 1);
        usec_t now = now_usec(CLOCK_MONOTONIC);

        fake_gpio_move(c, 3, 1, now);
        fake_gpio_move(c, 3, 0, now + 1 * MS);
        fake_gpio_move(c, 3, 1, now + 2 * MS);
        fake_host_expect_nothing(h, 10 * MS);
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        assert_near(source(h, 1), wall(now + 202 * MS));

        fake_gpio_move(c, 3, 0, 0);
        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect_nothing(h, 250 * MS);
}

static void test_poll(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(
                        "{name: door, line: 3, direction: INPUT, edge: NONE, poll_interval: 0.01}", 1);

        fake_host_expect_nothing(h, 30 * MS);
        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        assert_recent(h);
        c->get_error = -EIO; /* a bad moment */
        fake_host_expect_nothing(h, 30 * MS);
        g_assert_cmpint(h->link, ==, DEVICE_LINK_UP);
        c->get_error = 0;
        fake_gpio_move(c, 3, 0, 0);
        fake_host_expect(h, STATE("door", "0", "CHANGE"));
}

/* A line with edges is read again, too: what its edges have not told. */
static void test_poll_beside_edges(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected("{name: door, line: 3, direction: INPUT, poll_interval: 0.05}", 1);

        fake_gpio_move_quietly(c, 3, 1);
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        assert_recent(h);
        fake_gpio_move(c, 3, 0, 0);
        fake_host_expect(h, STATE("door", "0", "CHANGE"));
        fake_host_expect_nothing(h, 120 * MS);
}

/* Values are logical, in both directions. */
static void test_active_low(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(
                        "{name: door, line: 3, direction: INPUT, active_low: true, counter: {interval: 0.05}}, "
                        "{name: lamp, line: 4, direction: OUTPUT, active_low: true, initial: 1}", 2);

        g_assert_cmpint(c->levels[4], ==, 0);
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 1, \"value\": 0}");
        fake_host_expect(h, ANSWER("lamp", "1", "SUCCESS"), STATE("lamp", "0", "WRITE"));
        g_assert_cmpint(c->levels[4], ==, 1);

        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect(h, STATE("door", "0", "CHANGE"));
        fake_gpio_move(c, 3, 0, 0); /* the active edge */
        fake_host_expect(h, STATE("door", "1", "CHANGE"), "line/door/counter {\"value\": 1, \"delta\": 1}");
}

/* The count is that of the run: a chip that goes and comes back does not begin it anew. */
static void test_counter_over_a_loss(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(
                        "{name: flow, line: 3, direction: INPUT, edge: RISING, counter: {interval: 0.05}}", 1);

        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect(h, STATE("flow", "1", "CHANGE"), "line/flow/counter {\"value\": 1, \"delta\": 1}");
        fake_gpio_unplug(c, false);
        fake_host_expect(h, DISCONNECTED);
        (void) fake_gpio_plug("gpiochip0", "soc");
        wait_line(h, CONNECTED);
        fake_host_expect(h, STATE("flow", "1", "INTERROGATE"));
        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect(h, STATE("flow", "1", "CHANGE"), "line/flow/counter {\"value\": 2, \"delta\": 1}");
}

static void test_counter(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(
                        "{name: flow, line: 3, direction: INPUT, edge: RISING, counter: {interval: 0.1}}", 1);

        for (unsigned i = 0; i < 7; i++) {
                fake_gpio_move(c, 3, 1, 0);
                fake_gpio_move(c, 3, 0, 0);
        }
        for (unsigned i = 0; i < 7; i++)
                fake_host_expect(h, STATE("flow", "1", "CHANGE"));
        fake_host_expect(h, "line/flow/counter {\"value\": 7, \"delta\": 7}");
        assert_recent(h);
        fake_host_expect_nothing(h, 150 * MS);
        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect(h, STATE("flow", "1", "CHANGE"), "line/flow/counter {\"value\": 8, \"delta\": 1}");
}

/* ---- rule 5 ------------------------------------------------------------------------------------------ */

static bool has_lost(void *userdata) {
        return lost_edges(userdata) > 0;
}

/* 1.6: the line reads otherwise than its last edge says, and no edge comes. */
static void test_lost_value(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(DOOR, 1);

        fake_gpio_move(c, 3, 1, 0);
        fake_gpio_move_quietly(c, 3, 0);
        fake_host_expect(h, STATE("door", "1", "CHANGE"), STATE("door", "0", "CHANGE"));
        g_assert_cmpuint(lost_edges(h), ==, 1);

        fake_gpio_move(c, 3, 1, 0); /* it was only late */
        fake_gpio_move_quietly(c, 3, 0);
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        fake_gpio_move(c, 3, 0, 0);
        fake_host_expect(h, STATE("door", "0", "CHANGE"));
        fake_host_expect_nothing(h, 30 * MS);
        g_assert_cmpuint(lost_edges(h), ==, 1);
}

/* 1.6: two equal edges in turn. */
static void test_lost_between(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(DOOR, 1);

        fake_gpio_move(c, 3, 1, 0);
        fake_gpio_move_quietly(c, 3, 0);
        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        fake_host_wait_for(h, has_lost, h);
        g_assert_cmpuint(lost_edges(h), ==, 1);
        fake_host_expect_nothing(h, 30 * MS);
}

/* 2.x: a gap in the sequence numbers. */
static void test_lost_sequence(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = NULL;

        fake_gpio_set_kernel(true);
        h = host_connected(DOOR, 1);
        fake_gpio_move(c, 3, 1, 0);
        fake_host_expect(h, STATE("door", "1", "CHANGE"));
        fake_gpio_lose(c, 3, 10);
        fake_gpio_move(c, 3, 0, 0);
        fake_gpio_move_quietly(c, 3, 1);
        fake_host_expect(h, STATE("door", "0", "CHANGE"), STATE("door", "1", "CHANGE"));
        g_assert_cmpuint(lost_edges(h), ==, 10);
}

/* ---- rule 6 and the results of a write --------------------------------------------------------------- */

static void test_results(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(DOOR ", {name: lamp, line: 4, direction: OUTPUT}", 2);

        fake_host_event(h, "line/lamp/write", "{\"request_id\": 1, \"value\": 1}");
        fake_host_expect(h, ANSWER("lamp", "1", "SUCCESS"), STATE("lamp", "1", "WRITE"));
        g_assert_cmpint(c->levels[4], ==, 1);
        fake_host_event(h, "line/lamp/write", "{\"request_id\": {\"a\":[null, 1e2]}, \"value\": 1}"); /* unchanged */
        fake_host_expect(h, ANSWER("lamp", "{\"a\":[null, 1e2]}", "SUCCESS"));
        fake_host_event(h, "line/lamp/write", "{\"request_id\": null, \"value\": true}");
        fake_host_expect(h, ANSWER("lamp", "null", "INVALID_VALUE"));
        fake_host_event(h, "line/lamp/write", "{\"request_id\": \"x\", \"value\": 0, \"duration\": 3601}");
        fake_host_expect(h, ANSWER("lamp", "\"x\"", "INVALID_VALUE"));
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 2}");
        fake_host_expect(h, ANSWER("lamp", "2", "INVALID_VALUE"));
        fake_host_event(h, "line/door/write", "{\"request_id\": 3, \"value\": 7}");
        fake_host_expect(h, ANSWER("door", "3", "NOT_OUTPUT"));
        fake_host_event(h, "line/nobody/write", "{\"request_id\": 4, \"value\": 7}");
        fake_host_expect(h, ANSWER("nobody", "4", "UNKNOWN_LINE"));

        c->set_error = -EIO;
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 5, \"value\": 0}");
        fake_host_expect(h, ANSWER("lamp", "5", "FAILED"));
        c->set_error = 0;

        /* What cannot be answered. */
        fake_host_event(h, "line/lamp/write", "{\"value\": 0}");
        fake_host_event(h, "line/lamp/write", "[1]");
        fake_host_event(h, "line/lamp/write", "{");
        fake_host_event(h, "line/lamp/write", NULL);
        fake_host_event(h, "line/lamp", "{\"request_id\": 6, \"value\": 0}");
        fake_host_event(h, "line/lamp/write/more", "{\"request_id\": 6, \"value\": 0}");
        fake_host_expect_nothing(h, 10 * MS);
        g_assert_cmpint(c->levels[4], ==, 1);
}

/* The order of results, and a chip that goes while it is written. */
static void test_not_connected(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = fake_host_new(
                        &gpio_device_type, "{chip: gpiochip0, lines: [" DOOR ", {name: lamp, line: 4, direction: OUTPUT}]}");

        h->with_sources = true;
        fake_host_start(h);
        fake_host_expect(h, CONNECTING, CONNECTED, STATE("door", "0", "INTERROGATE"), STATE("lamp", "0", "INTERROGATE"));
        fake_gpio_unplug(c, true);
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 1, \"value\": 1}");
        fake_host_expect(h, ANSWER("lamp", "1", "FAILED"), DISCONNECTED);
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 2, \"value\": 1}");
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 3, \"value\": 2}");
        fake_host_event(h, "line/door/write", "{\"request_id\": 4, \"value\": 2}");
        fake_host_event(h, "line/nobody/write", "{\"request_id\": 5, \"value\": 2}");
        fake_host_expect(h, ANSWER("lamp", "2", "NOT_CONNECTED"), ANSWER("lamp", "3", "INVALID_VALUE"),
                         ANSWER("door", "4", "NOT_OUTPUT"), ANSWER("nobody", "5", "UNKNOWN_LINE"));
}

static void test_pulse(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected("{name: lamp, line: 4, direction: OUTPUT}", 1);
        usec_t began = now_usec(CLOCK_MONOTONIC);

        fake_host_event(h, "line/lamp/write", "{\"request_id\": 1, \"value\": 1, \"duration\": 0.05}");
        fake_host_expect(h, ANSWER("lamp", "1", "SUCCESS"), STATE("lamp", "1", "WRITE"), STATE("lamp", "0", "WRITE"));
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - began, >=, 50 * MS);
        g_assert_cmpint(c->levels[4], ==, 0);

        /* A pulse in a pulse falls back to the value before the first. */
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 2, \"value\": 1, \"duration\": 3600}");
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 3, \"value\": 1, \"duration\": 0.01}");
        fake_host_expect(h, ANSWER("lamp", "2", "SUCCESS"), STATE("lamp", "1", "WRITE"), ANSWER("lamp", "3", "SUCCESS"),
                         STATE("lamp", "0", "WRITE"));

        /* A write ends it. */
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 4, \"value\": 1, \"duration\": 0.01}");
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 5, \"value\": 1}");
        fake_host_expect(h, ANSWER("lamp", "4", "SUCCESS"), STATE("lamp", "1", "WRITE"), ANSWER("lamp", "5", "SUCCESS"));
        fake_host_expect_nothing(h, 30 * MS);
        g_assert_cmpint(c->levels[4], ==, 1);

        /* It cannot fall back at once. */
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 6, \"value\": 0, \"duration\": 0.01}");
        fake_host_expect(h, ANSWER("lamp", "6", "SUCCESS"), STATE("lamp", "0", "WRITE"));
        c->set_error = -EIO;
        fake_host_expect_nothing(h, 30 * MS);
        c->set_error = 0;
        fake_host_expect(h, STATE("lamp", "1", "WRITE"));
}

/* ---- rule 7 ------------------------------------------------------------------------------------------ */

static void test_stop(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(
                        "{name: a, line: 1, direction: OUTPUT, initial: 0, safe: 1}, "
                        "{name: b, line: 2, direction: OUTPUT, initial: 1, safe: 0, active_low: true}, "
                        "{name: c, line: 3, direction: OUTPUT}", 3);

        fake_host_event(h, "line/c/write", "{\"request_id\": 1, \"value\": 1, \"duration\": 0.02}");
        fake_host_expect(h, ANSWER("c", "1", "SUCCESS"), STATE("c", "1", "WRITE"));
        g_ptr_array_set_size(c->calls, 0);
        fake_host_stop(h);
        fake_host_expect(h, DISCONNECTED);
        g_assert_cmpuint(c->calls->len, ==, 3);
        g_assert_cmpstr(c->calls->pdata[0], ==, "1=1");
        g_assert_cmpstr(c->calls->pdata[1], ==, "2=0");
        g_assert_cmpstr(c->calls->pdata[2], ==, "release");
        g_assert_cmpint(c->levels[3], ==, 1); /* the pulse ended where it was */
        g_assert_cmpint(h->link, ==, DEVICE_LINK_NONE);
        g_assert_cmpint(h->reason, ==, DEVICE_REASON_NONE);
        fake_host_expect_nothing(h, 30 * MS);

        fake_host_start(h); /* and again */
        fake_host_expect(h, CONNECTING, CONNECTED, STATE("a", "0", "INTERROGATE"));
}

/* Before the first try, and while it waits: DISCONNECTED is not said twice. */
static void test_stop_early(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_new(DOOR);

        fake_host_start(h);
        fake_host_stop(h);
        fake_host_expect_nothing(h, 10 * MS);

        fake_gpio_unplug(c, false);
        fake_host_start(h);
        fake_host_expect(h, CONNECTING, DISCONNECTED);
        fake_host_stop(h);
        g_assert_cmpuint(h->registered->len, ==, h->seen);
}

/* ---- congestion -------------------------------------------------------------------------------------- */

static void test_flow(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(DOOR ", {name: lamp, line: 4, direction: OUTPUT}", 2);

        gpio_device_type.flow(h->device, false);
        for (unsigned i = 0; i < 101; i++)
                fake_gpio_move(c, 3, i % 2 == 0, 0);
        fake_host_event(h, "line/lamp/write", "{\"request_id\": 1, \"value\": 1}");
        fake_host_expect(h, ANSWER("lamp", "1", "SUCCESS")); /* answers are never left out */
        fake_host_expect_nothing(h, 30 * MS);
        gpio_device_type.flow(h->device, true);
        fake_host_expect(h, STATE("door", "1", "CHANGE"), STATE("lamp", "1", "WRITE"));
        fake_host_expect_nothing(h, 10 * MS);
}

/* ---- load -------------------------------------------------------------------------------------------- */

static void test_many(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = host_connected(DOOR ", {name: b, line: 4, direction: INPUT}", 2);
        size_t before = h->registered->len;

        for (unsigned i = 0; i < 5000; i++) {
                fake_gpio_move(c, 3, i % 2 == 0, 0);
                fake_gpio_move(c, 4, i % 2 == 0, 0);
        }
        for (unsigned i = 0; i < 10000; i++)
                (void) fake_host_next(h);
        g_assert_cmpuint(h->registered->len - before, ==, 10000);
        g_assert_cmpuint(lost_edges(h), ==, 0);
        fake_host_expect_nothing(h, 30 * MS);
}

/* ---- outputs that stay as they are -------------------------------------------------------------------- */

#define VALVE "{name: valve, line: 5, direction: OUTPUT}"
#define PUMP "{name: pump, line: 6, direction: OUTPUT, safe: 0}"

/* Another configuration: what is stored goes from one host to the other, as it does with a restart of the process. */
static FakeHost *host_after(FakeHost *old, FakeHost *h) {
        GHashTable *stored = h->stored;

        fake_host_stop(old);
        h->stored = old->stored;
        old->stored = stored;
        fake_host_start(h);
        return h;
}

static void test_outlive(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = NULL, *next = NULL;

        fake_gpio_set_outlive(true);
        c->names[0] = "LED0";
        h = host_connected(DOOR ", " VALVE ", " LAMP ", " PUMP, 4);
        g_assert_cmpuint(g_hash_table_size(h->stored), ==, 2);
        g_assert_true(g_hash_table_contains(h->stored, "gpiochip0/5"));
        g_assert_true(g_hash_table_contains(h->stored, "gpiochip0/%22LED0%22"));
        fake_host_event(h, "line/valve/write", "{\"request_id\": 1, \"value\": 1}");
        fake_host_event(h, "line/pump/write", "{\"request_id\": 2, \"value\": 1}");
        fake_host_expect(h, ANSWER("valve", "1", "SUCCESS"), STATE("valve", "1", "WRITE"), ANSWER("pump", "2", "SUCCESS"),
                         STATE("pump", "1", "WRITE"));

        /* After a run nobody drives the lines, and yet those are held as they are. */
        fake_host_stop(h);
        fake_host_expect(h, DISCONNECTED);
        g_assert_true(fake_gpio_is_held(c, 5) && fake_gpio_is_held(c, 0));
        g_assert_cmpint(c->levels[5], ==, 1);
        g_assert_cmpint(c->levels[6], ==, 0);

        /* The next run goes on with them: `initial`, 0, is of a line that is taken anew. */
        fake_host_start(h);
        fake_host_expect(h, CONNECTING, CONNECTED, STATE("door", "0", "INTERROGATE"), STATE("valve", "1", "INTERROGATE"),
                         STATE("lamp", "0", "INTERROGATE"), STATE("pump", "0", "INTERROGATE"));
        fake_host_event(h, "line/valve/write", "{\"request_id\": 3, \"value\": 0, \"duration\": 0.001}");
        fake_host_expect(h, ANSWER("valve", "3", "SUCCESS"), STATE("valve", "0", "WRITE"), STATE("valve", "1", "WRITE"));

        /* Other settings, or no such output any more: closed, and taken anew. */
        next = host_after(h, host_new("{name: valve, line: 5, direction: OUTPUT, active_low: true}, "
                                      "{name: lamp, line: LED0, direction: INPUT}"));
        fake_host_expect(next, CONNECTING, CONNECTED, STATE("valve", "0", "INTERROGATE"), STATE("lamp", "0", "INTERROGATE"));
        g_assert_cmpint(c->levels[5], ==, 1);
        g_assert_cmpuint(g_hash_table_size(next->stored), ==, 1);
        g_assert_false(fake_gpio_is_held(c, 0));
}

/* A line that gets a safe value is one of the others again. */
static void test_outlive_no_more(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = NULL, *next = NULL;

        fake_gpio_set_outlive(true);
        h = host_connected(VALVE, 1);
        next = host_after(h, host_new("{name: valve, line: 5, direction: OUTPUT, safe: 1}"));
        fake_host_expect(next, CONNECTING, CONNECTED, STATE("valve", "0", "INTERROGATE"));
        g_assert_cmpuint(g_hash_table_size(next->stored), ==, 0);
        fake_host_stop(next);
        g_assert_cmpint(c->levels[5], ==, 1);
        g_assert_false(fake_gpio_is_held(c, 5));
}

/* The service manager closes its copy a little after us: that is not waited for as for a line that somebody else holds. */
static void test_outlive_copy(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = NULL, *next = NULL;
        int copy;

        fake_gpio_set_outlive(true);
        h = host_connected(VALVE, 1);
        copy = fcntl(GPOINTER_TO_INT(g_hash_table_lookup(h->stored, "gpiochip0/5")), F_DUPFD_CLOEXEC, 3);
        g_assert_cmpint(copy, >=, 0);
        next = host_after(h, host_new_delayed("{name: valve, line: 5, direction: INPUT}", "3600"));
        fake_host_expect(next, CONNECTING, DISCONNECTED);
        g_assert_true(fake_gpio_is_held(c, 5));
        (void) safe_close(copy);
        fake_host_expect(next, CONNECTING, CONNECTED, STATE("valve", "0", "INTERROGATE"));
}

/* What was stored of a chip that was unplugged is of no use, also when another one has its name. */
static void test_outlive_unplugged(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = NULL;

        fake_gpio_set_outlive(true);
        h = host_connected("{name: valve, line: 5, direction: OUTPUT, initial: 1}", 1);
        fake_gpio_unplug(c, false);
        fake_host_expect(h, DISCONNECTED);
        c->levels[5] = 0;
        (void) fake_gpio_plug("gpiochip0", "another");
        wait_line(h, CONNECTED);
        fake_host_expect(h, STATE("valve", "1", "INTERROGATE"));
        g_assert_cmpint(c->levels[5], ==, 1);
        g_assert_cmpuint(g_hash_table_size(h->stored), ==, 1);
        g_assert_true(fake_gpio_is_held(c, 5));
}

/* All lines or none: what was not connected leaves nothing behind. */
static void test_outlive_fault(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = NULL;

        fake_gpio_set_outlive(true);
        c->holders[3] = "otherd";
        h = host_new(VALVE ", " DOOR);
        fake_host_start(h);
        wait_down(h, "is held by \"otherd\"");
        g_assert_cmpuint(g_hash_table_size(h->stored), ==, 0);
        g_assert_false(fake_gpio_is_held(c, 5));
        c->holders[3] = NULL;
        wait_line(h, CONNECTED);
        g_assert_cmpuint(g_hash_table_size(h->stored), ==, 1);

        fake_host_expect(h, STATE("valve", "0", "INTERROGATE"), STATE("door", "0", "INTERROGATE"));
        fake_host_stop(h); /* but what was stored before stays */
        fake_host_expect(h, DISCONNECTED);
        c->holders[3] = "otherd";
        fake_host_start(h);
        wait_down(h, "is held by \"otherd\"");
        g_assert_cmpuint(g_hash_table_size(h->stored), ==, 1);
        g_assert_true(fake_gpio_is_held(c, 5));
}

/* A store that is full: the line works, and is released at the end. */
static void test_outlive_full(void) {
        FakeChip *c = machine();
        _cleanup_(fake_host_freep) FakeHost *h = NULL;

        fake_gpio_set_outlive(true);
        h = host_new(VALVE);
        h->store_error = -ENOSPC;
        fake_host_start(h);
        wait_line(h, CONNECTED);
        fake_host_event(h, "line/valve/write", "{\"request_id\": 1, \"value\": 1}");
        fake_host_expect(h, STATE("valve", "0", "INTERROGATE"), ANSWER("valve", "1", "SUCCESS"), STATE("valve", "1", "WRITE"));
        g_assert_true(fake_gpio_is_held(c, 5));
        fake_host_stop(h);
        g_assert_false(fake_gpio_is_held(c, 5));
}

/* ---- hardware ---------------------------------------------------------------------------------------- */

#define LINE(offset, name, direction, low, bias, used, consumer, device, point) \
        "{\"Offset\": " offset ", \"Name\": " name ", \"Direction\": \"" direction "\", \"ActiveLow\": " low ", \"Bias\": \"" bias \
        "\", \"Used\": " used ", \"Consumer\": " consumer ", \"Device\": " device ", \"Point\": " point "}"
#define FREE(offset) LINE(offset, "null", "INPUT", "false", "AS_IS", "false", "null", "null", "null")

static char *hardware(FakeHost *h) {
        const Device *runs[] = { h ? h->device : NULL };
        JsonWriter w;

        json_writer_init_growing(&w);
        gpio_device_type.hardware(&w, runs, h ? 1 : 0);
        return json_writer_steal(&w);
}

static void test_hardware(void) {
        FakeChip *c = machine(), *other;
        _cleanup_(fake_host_freep) FakeHost *h = host_new(
                        "{name: door, line: 3, direction: INPUT, active_low: true, bias: PULL_UP}, " LAMP);
        g_autofree char *free_text = NULL, *held = NULL, *denied = NULL;

        c->names[0] = "LED0";
        c->names[1] = "SDA";
        c->holders[1] = "otherd";
        free_text = hardware(h); /* it has not begun: nothing is ours */
        g_assert_cmpint(json_check(free_text, strlen(free_text), NULL), >=, 0);
        g_assert_nonnull(strstr(free_text, LINE("0", "\"LED0\"", "INPUT", "false", "AS_IS", "false", "null", "null", "null")));

        fake_host_start(h);
        wait_line(h, CONNECTED);
        held = hardware(h);
        g_assert_nonnull(strstr(held, "\"Name\": \"gpiochip0\", \"Path\": \""));
        g_assert_nonnull(strstr(held, "\"Label\": \"soc\", \"Error\": null, \"Lines\": [" LINE(
                "0", "\"LED0\"", "OUTPUT", "false", "AS_IS", "true", "\"gatewayd\"", "\"test\"", "\"lamp\"") ", " LINE(
                "1", "\"SDA\"", "INPUT", "false", "AS_IS", "true", "\"otherd\"", "null", "null") ", " FREE("2") ", " LINE(
                "3", "null", "INPUT", "true", "PULL_UP", "true", "\"gatewayd\"", "\"test\"", "\"door\"") ", " FREE("4")));

        /* A chip that may not be opened; in natural order. */
        other = fake_gpio_plug("gpiochip10", "expander");
        (void) fake_gpio_plug("gpiochip2", "mcp");
        other->get_error = -EACCES;
        denied = hardware(h);
        g_assert_cmpint(json_check(denied, strlen(denied), NULL), >=, 0);
        g_assert_nonnull(strstr(denied, "\"Label\": null, \"Error\": \"Permission denied\", \"Lines\": []"));
        g_assert_true(strstr(denied, "gpiochip2") < strstr(denied, "gpiochip10"));
}

static void test_no_hardware(void) {
        g_autofree char *text = NULL;

        fake_gpio_reset();
        text = hardware(NULL);
        g_assert_cmpstr(text, ==, "[]");
}

/* ---- points ------------------------------------------------------------------------------------------ */

static void on_point(const DevicePoint *p, void *userdata) {
        GString *text = userdata;

        g_string_append_printf(text, "%s %s %s %s;", p->name, p->in[3], p->out ? p->out[3] : "-", p->answer ? p->answer[0] : "-");
}

static void test_points(void) {
        _cleanup_(fake_host_freep) FakeHost *h = host_new(DOOR ", " LAMP);
        g_autoptr(GString) text = g_string_new(NULL);

        gpio_device_type.points(h->conf, on_point, text);
        g_assert_cmpstr(text->str, ==, "door state - -;lamp state write gateway;");
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/gpio/start", test_start);
        g_test_add_func("/gpio/faults", test_faults);
        g_test_add_func("/gpio/two-of-a-label", test_two_of_a_label);
        g_test_add_func("/gpio/connect-delay", test_connect_delay);
        g_test_add_func("/gpio/unreadable", test_unreadable);
        g_test_add_func("/gpio/unplugged", test_unplugged);
        g_test_add_func("/gpio/unplugged-silently", test_unplugged_silently);
        g_test_add_func("/gpio/edges", test_edges);
        g_test_add_func("/gpio/debounce", test_debounce);
        g_test_add_func("/gpio/poll", test_poll);
        g_test_add_func("/gpio/poll-beside-edges", test_poll_beside_edges);
        g_test_add_func("/gpio/active-low", test_active_low);
        g_test_add_func("/gpio/counter", test_counter);
        g_test_add_func("/gpio/counter-over-a-loss", test_counter_over_a_loss);
        g_test_add_func("/gpio/lost-value", test_lost_value);
        g_test_add_func("/gpio/lost-between", test_lost_between);
        g_test_add_func("/gpio/lost-sequence", test_lost_sequence);
        g_test_add_func("/gpio/results", test_results);
        g_test_add_func("/gpio/not-connected", test_not_connected);
        g_test_add_func("/gpio/pulse", test_pulse);
        g_test_add_func("/gpio/stop", test_stop);
        g_test_add_func("/gpio/stop-early", test_stop_early);
        g_test_add_func("/gpio/flow", test_flow);
        g_test_add_func("/gpio/many", test_many);
        g_test_add_func("/gpio/outlive", test_outlive);
        g_test_add_func("/gpio/outlive-no-more", test_outlive_no_more);
        g_test_add_func("/gpio/outlive-copy", test_outlive_copy);
        g_test_add_func("/gpio/outlive-unplugged", test_outlive_unplugged);
        g_test_add_func("/gpio/outlive-fault", test_outlive_fault);
        g_test_add_func("/gpio/outlive-full", test_outlive_full);
        g_test_add_func("/gpio/hardware", test_hardware);
        g_test_add_func("/gpio/no-hardware", test_no_hardware);
        g_test_add_func("/gpio/points", test_points);
        return g_test_run();
}
