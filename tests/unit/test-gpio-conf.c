/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of the device type gpio (spec gpio.md 1): what is an error and where it is reported, defaults, what two
 * devices must not share, and how a chip is found. Main thread. */

#include <stdio.h>
#include <unistd.h>

#include "devices/gpio/gpio-chip.h"
#include "devices/gpio/gpio-conf.h"
#include "tests/unit/fake-gpio-lines.h"

static const char good[] =
                "{chip: gpiochip0, lines: ["
                "{name: door, line: 3, direction: INPUT, edge: BOTH}, "
                "{name: lamp, line: LED0, direction: OUTPUT, drive: PUSH_PULL}]}";

typedef struct Fixture {
        ConfErrors *errors;
        ConfArena *arena;
        GpioConf conf;
        int r;
} Fixture;

static void fixture_init(Fixture *f, const char *text) {
        _cleanup_(conf_document_freep) ConfDocument *document = NULL;

        *f = (Fixture) { .errors = conf_errors_new("test"), .arena = conf_arena_new() };
        g_assert_cmpint(conf_document_parse(text, strlen(text), f->errors, &document), >=, 0);
        f->r = conf_parse(conf_document_root(document), gpio_fields, CONF_FORM_NATIVE, f->arena, &f->conf, f->errors);
        if (f->r >= 0 || f->r == -ERANGE)
                gpio_conf_verify(&f->conf, f->errors);
}

static void fixture_done(Fixture *f) {
        conf_errors_free(f->errors);
        conf_arena_free(f->arena);
}

static char *fixture_messages(Fixture *f) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        conf_errors_print(f->errors, stream);
        fclose(stream);
        return text;
}

static void test_rows(void) {
        static const struct {
                const char *from, *to;
                const char *message; /* part of it; NULL: good */
        } rows[] = {
                { "line: 3", "line: 0", NULL },
                { "line: 3", "line: -1", "/lines/0/line: " },
                { "line: 3", "line: 3.5", "/lines/0/line: " },
                { "line: 3", "line: true", "/lines/0/line: " },
                { "line: 3", "line: null", "/lines/0/line: " },
                { "line: 3", "line: ''", "/lines/0/line: " },
                { "line: 3", "line: 99999999999", "/lines/0/line: " },
                { "line: 3", "line: '3'", NULL }, /* a name */
                { "line: 3", "line: LED0", "/lines/1/line: duplicate line \"LED0\"" },
                { "name: lamp", "name: door", "/lines/1/name: duplicate name \"door\"" },
                { "direction: INPUT", "direction: input", "/lines/0/direction: " },
                { "chip: gpiochip0", "chip: ''", "/chip: " },
                { "chip: gpiochip0", "chip: x, connect_delay: 0", "/connect_delay: " },
                { "chip: gpiochip0", "chip: x, connect_delay: 0.5", NULL },
                { "edge: BOTH", "edge: NONE", "/lines/0/poll_interval: " },
                { "edge: BOTH", "edge: NONE, poll_interval: null", "/lines/0/poll_interval: " },
                { "edge: BOTH", "edge: NONE, poll_interval: 0.1", NULL },
                { "edge: BOTH", "poll_interval: 0", "/lines/0/poll_interval: " },
                { "edge: BOTH", "debounce: 10", NULL },
                { "edge: BOTH", "debounce: 10.1", "/lines/0/debounce: " },
                { "edge: BOTH", "counter: null", NULL },
                { "edge: BOTH", "counter: {interval: 1}", NULL },
                { "edge: BOTH", "counter: {interval: 0}", "/lines/0/counter/interval: " },
                { "edge: BOTH", "counter: {}", "/lines/0/counter/interval: " },
                { "edge: BOTH", "edge: RISING, counter: {interval: 1}", NULL },
                { "edge: BOTH", "edge: FALLING, counter: {interval: 1}", "/lines/0/counter: " },
                { "edge: BOTH", "edge: NONE, poll_interval: 1, counter: {interval: 1}", "/lines/0/counter: " },
                { "edge: BOTH", "drive: PUSH_PULL", "/lines/0/drive: drive is for direction OUTPUT only" },
                { "edge: BOTH", "initial: 0", "/lines/0/initial: " },
                { "edge: BOTH", "safe: null", "/lines/0/safe: " },
                { "edge: BOTH", "bias: PULL_UP, active_low: true", NULL },
                { "drive: PUSH_PULL", "edge: BOTH", "/lines/1/edge: " },
                { "drive: PUSH_PULL", "poll_interval: 1", "/lines/1/poll_interval: " },
                { "drive: PUSH_PULL", "debounce: 0", "/lines/1/debounce: " },
                { "drive: PUSH_PULL", "counter: {interval: 1}", "/lines/1/counter: " },
                { "drive: PUSH_PULL", "initial: null, safe: null", NULL },
                { "drive: PUSH_PULL", "initial: 1, safe: 0, drive: OPEN_SOURCE", NULL },
                { "drive: PUSH_PULL", "initial: 2", "/lines/1/initial: " },
                { "drive: PUSH_PULL", "initial: true", "/lines/1/initial: " },
                { "drive: PUSH_PULL", "safe: -1", "/lines/1/safe: " },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                g_auto(GStrv) parts = g_strsplit(good, rows[i].from, 2);
                g_autofree char *text = g_strconcat(parts[0], rows[i].to, parts[1], NULL), *messages = NULL;
                Fixture f;

                fixture_init(&f, text);
                messages = fixture_messages(&f);
                g_test_message("%s: %s", rows[i].to, messages);
                g_assert_cmpuint(conf_errors_count(f.errors, CONF_ERROR) + conf_errors_count(f.errors, CONF_RANGE), ==,
                                 rows[i].message ? 1 : 0);
                if (rows[i].message)
                        g_assert_nonnull(strstr(messages, rows[i].message));
                fixture_done(&f);
        }
}

static void test_number_of_lines(void) {
        for (unsigned n = 0; n <= 513; n += 171) {
                GString *text = g_string_new("{chip: c, lines: [");
                Fixture f;

                for (unsigned i = 0; i < n; i++)
                        g_string_append_printf(text, "{name: l%u, line: %u, direction: INPUT},", i, i);
                g_string_append(text, "]}");
                fixture_init(&f, text->str);
                g_assert_cmpuint(conf_errors_count(f.errors, CONF_RANGE), ==, n == 0 || n == 513 ? 1 : 0);
                fixture_done(&f);
                g_string_free(text, TRUE);
        }
}

static void test_defaults(void) {
        const GpioLineConf *lines;
        GpioLineSettings s;
        Fixture f;

        fake_gpio_reset();
        fixture_init(&f, "{chip: c, lines: [{name: i, line: 7, direction: INPUT}, {name: o, line: LED, direction: OUTPUT}, "
                         "{name: k, line: 1, direction: OUTPUT, initial: null, safe: 1}, "
                         "{name: d, line: 2, direction: INPUT, edge: RISING, debounce: 0.01}]}");
        g_assert_cmpint(f.r, ==, 0);
        g_assert_cmpuint(f.conf.connect_delay, ==, 5 * USEC_PER_SEC);
        lines = f.conf.lines.items;

        s = gpio_line_settings(&lines[0]);
        g_assert_cmpuint(s.offset, ==, 7);
        g_assert_null(s.name);
        g_assert_false(s.output || s.active_low);
        g_assert_cmpint(s.detect, ==, GPIO_DETECT_BOTH);
        g_assert_cmpint(s.bias, ==, GPIO_BIAS_AS_IS);
        g_assert_cmpuint(s.debounce, ==, 0);

        s = gpio_line_settings(&lines[1]);
        g_assert_cmpstr(s.name, ==, "LED");
        g_free((char *) s.name);
        g_assert_true(s.output);
        g_assert_cmpint(s.drive, ==, GPIO_DRIVE_PUSH_PULL);
        g_assert_cmpint(s.initial, ==, 0);
        g_assert_cmpint(gpio_line_safe(&lines[1]), ==, GPIO_KEEP);

        g_assert_cmpint(gpio_line_settings(&lines[2]).initial, ==, GPIO_KEEP);
        g_assert_cmpint(gpio_line_safe(&lines[2]), ==, 1);

        /* Who debounces. */
        g_assert_cmpint(gpio_line_settings(&lines[3]).detect, ==, GPIO_DETECT_BOTH);
        g_assert_cmpuint(gpio_line_settings(&lines[3]).debounce, ==, 0);
        g_assert_cmpuint(gpio_line_debounce(&lines[3]), ==, 10 * USEC_PER_MSEC);
        fake_gpio_set_kernel(true);
        g_assert_cmpint(gpio_line_settings(&lines[3]).detect, ==, GPIO_DETECT_RISING);
        g_assert_cmpuint(gpio_line_settings(&lines[3]).debounce, ==, 10 * USEC_PER_MSEC);
        g_assert_cmpuint(gpio_line_debounce(&lines[3]), ==, 0);
        fixture_done(&f);
}

static void test_claims(void) {
        static const struct {
                const char *chip, *line;
                unsigned errors;
        } rows[] = {
                { "gpiochip0", "3", 1 },      { "/dev/gpiochip0", "3", 1 }, { "gpiochip0", "LED0", 1 },
                { "gpiochip0", "'3'", 0 },    { "gpiochip1", "3", 0 },      { "/dev/gpiochip0", "4", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                g_autofree char *text = g_strdup_printf("{chip: %s, lines: [{name: x, line: %s, direction: INPUT}]}", rows[i].chip,
                                                        rows[i].line);
                _cleanup_(conf_claims_freep) ConfClaims *claims = conf_claims_new();
                Fixture a, b;

                fixture_init(&a, good);
                fixture_init(&b, text);
                gpio_conf_claims(&a.conf, claims, a.errors);
                gpio_conf_claims(&b.conf, claims, b.errors);
                g_assert_cmpuint(conf_errors_count(a.errors, CONF_ERROR), ==, 0);
                g_assert_cmpuint(conf_errors_count(b.errors, CONF_ERROR), ==, rows[i].errors);
                fixture_done(&a);
                fixture_done(&b);
        }
}

static void expect_chip(const char *chip, const char *node) {
        g_autofree char *path = NULL, *others = NULL, *real = NULL, *expected = NULL;

        g_assert_cmpint(gpio_chip_find(chip, &path, &others), ==, 0);
        real = realpath(gpio_lines_directory(), NULL);
        expected = g_build_filename(real, node, NULL);
        g_assert_cmpstr(path, ==, expected);
}

static void test_chips(void) {
        g_autofree char *by_path = NULL, *link = NULL, *path = NULL, *others = NULL;

        fake_gpio_reset();
        fake_gpio_plug("gpiochip0", "soc");
        fake_gpio_plug("gpiochip1", "expander");
        by_path = g_build_filename(gpio_lines_directory(), "gpiochip1", NULL);
        expect_chip("gpiochip1", "gpiochip1");
        expect_chip(by_path, "gpiochip1");
        expect_chip("soc", "gpiochip0");
        link = g_build_filename(gpio_lines_directory(), "relays", NULL); /* as udev makes them */
        g_assert_cmpint(symlink("gpiochip1", link), ==, 0);
        expect_chip(link, "gpiochip1");
        g_assert_cmpint(unlink(link), ==, 0);

        g_assert_cmpint(gpio_chip_find("gpiochip7", &path, &others), ==, -ENOENT);
        g_assert_cmpint(gpio_chip_find("nobody", &path, &others), ==, -ENOENT);
        g_assert_cmpint(gpio_chip_find("/nonexistent/chip", &path, &others), ==, -ENOENT);

        fake_gpio_plug("gpiochip2", "expander");
        g_assert_cmpint(gpio_chip_find("expander", &path, &others), ==, -ENOTUNIQ);
        g_assert_nonnull(strstr(others, "gpiochip1 and "));
        g_assert_nonnull(strstr(others, "gpiochip2"));
        fake_gpio_reset();
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/gpio-conf/rows", test_rows);
        g_test_add_func("/gpio-conf/number-of-lines", test_number_of_lines);
        g_test_add_func("/gpio-conf/defaults", test_defaults);
        g_test_add_func("/gpio-conf/claims", test_claims);
        g_test_add_func("/gpio-conf/chips", test_chips);
        return g_test_run();
}
