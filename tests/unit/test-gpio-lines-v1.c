/* SPDX-License-Identifier: Apache-2.0 */
/* gpio-lines-v1.c over a libgpiod 1.6 that the test plays, with what is odd in the real one: a request of several lines is read and
 * set only as a whole, from its first line on, and what is not said of it becomes 0. Main thread. */

#include <errno.h>
#include <fcntl.h>
#include <gpiod.h>

#include "devices/gpio/gpio-lines.h"

#define LINES 80U

struct gpiod_line {
        unsigned offset;
        const char *name, *consumer;
        int level;
        struct gpiod_line *handle[GPIOD_LINE_BULK_MAX_LINES]; /* of the request that has it */
        unsigned n_handle;
        struct gpiod_line_request_config config;
        int events[2];
};

struct gpiod_chip {
        struct gpiod_line lines[LINES];
        unsigned open; /* how often */
        unsigned requests;
        int gone; /* errno of every call */
};

static struct gpiod_chip chip;

static void chip_reset(void) {
        g_assert_cmpuint(chip.open, ==, 0);
        chip = (struct gpiod_chip) {};
        for (unsigned i = 0; i < LINES; i++)
                chip.lines[i] = (struct gpiod_line) { .offset = i, .events = { -EBADF, -EBADF } };
        chip.lines[5].name = "LED0";
}

/* ---- the library ------------------------------------------------------------------------------------- */

struct gpiod_chip *gpiod_chip_open(const char *path) {
        if (!streq(path, "/dev/gpiochip0")) {
                errno = ENOENT;
                return NULL;
        }
        chip.open++;
        return &chip;
}

static void line_release(struct gpiod_line *line) {
        line->n_handle = 0;
        line->events[0] = safe_close(line->events[0]);
        line->events[1] = safe_close(line->events[1]);
}

void gpiod_chip_close(struct gpiod_chip *c) {
        if (--c->open > 0)
                return; /* its lines are of another opening */
        for (unsigned i = 0; i < LINES; i++)
                line_release(&c->lines[i]);
}

const char *gpiod_chip_label(struct gpiod_chip *c) {
        return "soc";
}

unsigned int gpiod_chip_num_lines(struct gpiod_chip *c) {
        return LINES;
}

struct gpiod_line *gpiod_chip_get_line(struct gpiod_chip *c, unsigned int offset) {
        g_assert_cmpuint(offset, <, LINES);
        return &c->lines[offset];
}

struct gpiod_line *gpiod_chip_find_line(struct gpiod_chip *c, const char *name) {
        for (unsigned i = 0; i < LINES; i++)
                if (c->lines[i].name && streq(c->lines[i].name, name))
                        return &c->lines[i];
        errno = ENOENT;
        return NULL;
}

unsigned int gpiod_line_offset(struct gpiod_line *line) {
        return line->offset;
}

int gpiod_line_update(struct gpiod_line *line) {
        return 0;
}

bool gpiod_line_is_used(struct gpiod_line *line) {
        return line->consumer || line->n_handle > 0;
}

const char *gpiod_line_consumer(struct gpiod_line *line) {
        return line->consumer;
}

const char *gpiod_line_name(struct gpiod_line *line) {
        return line->name;
}

int gpiod_line_direction(struct gpiod_line *line) {
        return line->n_handle > 0 && line->config.request_type == GPIOD_LINE_REQUEST_DIRECTION_OUTPUT
                     ? GPIOD_LINE_DIRECTION_OUTPUT
                     : GPIOD_LINE_DIRECTION_INPUT;
}

int gpiod_line_active_state(struct gpiod_line *line) {
        return line->config.flags & GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW ? GPIOD_LINE_ACTIVE_STATE_LOW
                                                                       : GPIOD_LINE_ACTIVE_STATE_HIGH;
}

int gpiod_line_bias(struct gpiod_line *line) {
        return line->config.flags & GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP     ? GPIOD_LINE_BIAS_PULL_UP
               : line->config.flags & GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN ? GPIOD_LINE_BIAS_PULL_DOWN
               : line->config.flags & GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE   ? GPIOD_LINE_BIAS_DISABLE
                                                                             : GPIOD_LINE_BIAS_AS_IS;
}

static bool is_event(int type) {
        return type >= GPIOD_LINE_REQUEST_EVENT_FALLING_EDGE;
}

static bool inverse(const struct gpiod_line *line) {
        return line->config.flags & GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW;
}

int gpiod_line_request_bulk(struct gpiod_line_bulk *bulk, const struct gpiod_line_request_config *config,
                            const int *default_vals) {
        for (unsigned i = 0; i < bulk->num_lines; i++)
                if (gpiod_line_is_used(bulk->lines[i])) {
                        errno = EBUSY;
                        return -1;
                }
        for (unsigned i = 0; i < bulk->num_lines; i++) {
                struct gpiod_line *line = bulk->lines[i];

                line->config = *config;
                line->n_handle = is_event(config->request_type) ? 1 : bulk->num_lines;
                memcpy(line->handle, is_event(config->request_type) ? &bulk->lines[i] : bulk->lines,
                       line->n_handle * sizeof(line));
                if (is_event(config->request_type))
                        g_assert_cmpint(pipe2(line->events, O_CLOEXEC), ==, 0);
                if (config->request_type == GPIOD_LINE_REQUEST_DIRECTION_OUTPUT)
                        line->level = default_vals[i] ^ inverse(line);
        }
        chip.requests++;
        return 0;
}

void gpiod_line_release_bulk(struct gpiod_line_bulk *bulk) {
        for (unsigned i = 0; i < bulk->num_lines; i++)
                line_release(bulk->lines[i]);
}

int gpiod_line_get_value_bulk(struct gpiod_line_bulk *bulk, int *values) {
        const struct gpiod_line *first = bulk->lines[0];

        g_assert_cmpuint(first->n_handle, >, 0);
        for (unsigned i = 0; i < bulk->num_lines; i++)
                values[i] = i < first->n_handle ? first->handle[i]->level ^ inverse(first->handle[i]) : 0;
        if (chip.gone > 0)
                errno = chip.gone;
        return chip.gone > 0 ? -1 : 0;
}

int gpiod_line_get_value(struct gpiod_line *line) {
        struct gpiod_line_bulk bulk = { .lines = { line }, .num_lines = 1 };
        int value;

        return gpiod_line_get_value_bulk(&bulk, &value) < 0 ? -1 : value;
}

int gpiod_line_set_value_bulk(struct gpiod_line_bulk *bulk, const int *values) {
        const struct gpiod_line *first = bulk->lines[0];

        if (chip.gone > 0) {
                errno = chip.gone;
                return -1;
        }
        g_assert_cmpint(first->config.request_type, ==, GPIOD_LINE_REQUEST_DIRECTION_OUTPUT);
        for (unsigned i = 0; i < first->n_handle; i++)
                first->handle[i]->level = (i < bulk->num_lines ? values[i] : 0) ^ inverse(first->handle[i]);
        return 0;
}

int gpiod_line_set_config_bulk(struct gpiod_line_bulk *bulk, int direction, int flags, const int *values) {
        g_assert_cmpuint(bulk->lines[0]->n_handle, ==, bulk->num_lines);
        for (unsigned i = 0; i < bulk->num_lines; i++) {
                bulk->lines[i]->config.request_type = direction;
                bulk->lines[i]->config.flags = flags;
        }
        return gpiod_line_set_value_bulk(bulk, values);
}

int gpiod_line_event_get_fd(struct gpiod_line *line) {
        return line->events[0];
}

int gpiod_line_event_read_multiple(struct gpiod_line *line, struct gpiod_line_event *events, unsigned int n) {
        ssize_t got = read(line->events[0], events, n * sizeof(*events));

        return got < 0 ? -1 : (int) ((size_t) got / sizeof(*events));
}

static void edge(unsigned offset, int type, time_t s, long ns) {
        struct gpiod_line_event e = { .ts = { s, ns }, .event_type = type };

        g_assert_cmpint(write(chip.lines[offset].events[1], &e, sizeof(e)), ==, sizeof(e));
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static GpioLines *request(const GpioLineSettings *settings, size_t n) {
        GpioLines *l;
        GpioFault fault;

        g_assert_cmpint(gpio_lines_request("/dev/gpiochip0", settings, n, &l, &fault), ==, 0);
        return l;
}

static void test_groups(void) {
        const GpioLineSettings settings[] = {
                { .offset = 1, .output = true, .initial = 1 },
                { .offset = 2, .output = true, .initial = 0 },
                { .name = "LED0", .output = true, .initial = 1, .active_low = true },
                { .offset = 3, .detect = GPIO_DETECT_NONE },
                { .offset = 4, .detect = GPIO_DETECT_NONE },
                { .offset = 6, .output = true, .initial = GPIO_KEEP, .drive = GPIO_DRIVE_OPEN_DRAIN },
                { .offset = 7, .output = true, .initial = GPIO_KEEP, .drive = GPIO_DRIVE_OPEN_DRAIN },
                { .offset = 8, .detect = GPIO_DETECT_RISING, .bias = GPIO_BIAS_PULL_UP },
                { .offset = 9, .detect = GPIO_DETECT_RISING, .bias = GPIO_BIAS_PULL_UP },
        };
        static const int values[] = { 1, 0, 1, 0, 1, 0, 1, 0, 1 };
        _cleanup_(gpio_lines_freep) GpioLines *l = NULL;

        chip_reset();
        chip.lines[4].level = chip.lines[7].level = chip.lines[9].level = 1;
        l = request(settings, ELEMENTSOF(settings));
        g_assert_cmpuint(chip.requests, ==, 5);
        for (size_t i = 0; i < ELEMENTSOF(values); i++)
                g_assert_cmpint(gpio_lines_get(l, i), ==, values[i]);
        g_assert_cmpint(chip.lines[5].level, ==, 0);
        g_assert_cmpuint(gpio_lines_offset(l, 2), ==, 5);
        g_assert_cmpint(chip.lines[6].config.request_type, ==, GPIOD_LINE_REQUEST_DIRECTION_OUTPUT);
        g_assert_cmpint(chip.lines[6].config.flags, ==, GPIOD_LINE_REQUEST_FLAG_OPEN_DRAIN);
        g_assert_cmpint(chip.lines[8].config.request_type, ==, GPIOD_LINE_REQUEST_EVENT_RISING_EDGE);
        g_assert_cmpint(chip.lines[8].config.flags, ==, GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP);

        /* One of a request is set, its neighbours stay. */
        g_assert_cmpint(gpio_lines_set(l, 1, 1), ==, 0);
        g_assert_cmpint(chip.lines[1].level, ==, 1);
        g_assert_cmpint(chip.lines[2].level, ==, 1);
        g_assert_cmpint(gpio_lines_set(l, 0, 0), ==, 0);
        g_assert_cmpint(chip.lines[1].level, ==, 0);
        g_assert_cmpint(chip.lines[2].level, ==, 1);
        g_assert_cmpint(gpio_lines_set(l, 5, 1), ==, 0);
        g_assert_cmpint(chip.lines[7].level, ==, 1);

        /* What failed is not done later. */
        chip.gone = EIO;
        g_assert_cmpint(gpio_lines_set(l, 0, 1), ==, -EIO);
        g_assert_cmpint(gpio_lines_get(l, 0), ==, -EIO);
        chip.gone = 0;
        g_assert_cmpint(gpio_lines_set(l, 1, 0), ==, 0);
        g_assert_cmpint(chip.lines[1].level, ==, 0);
}

static void test_many(void) {
        GpioLineSettings settings[LINES];
        GpioLines *l;

        chip_reset();
        for (unsigned i = 0; i < LINES; i++)
                settings[i] = (GpioLineSettings) { .offset = i, .output = true, .initial = i % 2 };
        l = request(settings, LINES);
        g_assert_cmpuint(chip.requests, ==, 2);
        for (unsigned i = 0; i < LINES; i++)
                g_assert_cmpint(gpio_lines_get(l, i), ==, i % 2);
        l = gpio_lines_free(l);
        g_assert_cmpuint(chip.open, ==, 0);
}

static void expect_fault(const GpioLineSettings *settings, size_t n, int error, size_t line, const char *consumer) {
        GpioLines *l = NULL;
        GpioFault fault = {};

        g_assert_cmpint(gpio_lines_request("/dev/gpiochip0", settings, n, &l, &fault), ==, error);
        g_assert_cmpuint(fault.line, ==, line);
        g_assert_cmpstr(fault.consumer, ==, consumer);
        gpio_fault_done(&fault);
        g_assert_cmpuint(chip.open, ==, 0);
        for (unsigned i = 0; i < LINES; i++)
                g_assert_cmpuint(chip.lines[i].n_handle, ==, 0); /* all or none */
}

static void test_faults(void) {
        const GpioLineSettings settings[] = { { .offset = 1 }, { .offset = 2, .output = true }, { .offset = 3 }, { .offset = 4 } };
        GpioLines *l;
        GpioFault fault;
        char *label;

        chip_reset();
        chip.lines[3].consumer = "otherd";
        expect_fault(settings, ELEMENTSOF(settings), -EBUSY, 2, "otherd");
        chip.lines[4].consumer = "second";
        expect_fault(settings, ELEMENTSOF(settings), -EBUSY, 2, "otherd");
        chip_reset();
        expect_fault((const GpioLineSettings[]) { { .offset = 1 }, { .offset = LINES } }, 2, -ENXIO, 1, NULL);
        expect_fault((const GpioLineSettings[]) { { .offset = 1 }, { .name = "LED9" } }, 2, -ENXIO, 1, NULL);
        expect_fault((const GpioLineSettings[]) { { .offset = 5 }, { .name = "LED0" } }, 2, -EEXIST, 1, NULL);

        g_assert_cmpint(gpio_lines_request("/dev/gpiochip1", settings, 1, &l, &fault), ==, -ENOENT);
        g_assert_cmpuint(fault.line, ==, SIZE_MAX);
        g_assert_cmpint(gpio_lines_label("/dev/gpiochip1", &label), ==, -ENOENT);
        g_assert_cmpint(gpio_lines_label("/dev/gpiochip0", &label), ==, 0);
        g_assert_cmpstr(label, ==, "soc");
        g_free(label);
}

static void test_edges(void) {
        const GpioLineSettings settings[] = { { .offset = 9, .output = true }, { .offset = 1 }, { .offset = 2 } };
        _cleanup_(gpio_lines_freep) GpioLines *l = NULL;
        GpioEvent events[64];

        chip_reset();
        l = request(settings, ELEMENTSOF(settings));
        g_assert_cmpint(gpio_lines_read(l, events, ELEMENTSOF(events)), ==, 0);

        edge(2, GPIOD_LINE_EVENT_RISING_EDGE, 3, 7);
        g_assert_cmpint(gpio_lines_read(l, events, ELEMENTSOF(events)), ==, 1);
        g_assert_cmpuint(events[0].line, ==, 2);
        g_assert_cmpint(events[0].value, ==, 1);
        g_assert_cmpuint(events[0].time, ==, UINT64_C(3000000007));
        g_assert_cmpuint(events[0].sequence, ==, 0);

        for (int i = 0; i < 20; i++)
                edge(1, i % 2 ? GPIOD_LINE_EVENT_FALLING_EDGE : GPIOD_LINE_EVENT_RISING_EDGE, i, 0);
        g_assert_cmpint(gpio_lines_read(l, events, 16), ==, 16);
        g_assert_cmpint(gpio_lines_read(l, events + 16, 48), ==, 4);
        for (int i = 0; i < 20; i++) {
                g_assert_cmpint(events[i].value, ==, i % 2 == 0);
                g_assert_cmpuint(events[i].time, ==, (uint64_t) i * UINT64_C(1000000000));
        }

        chip.lines[1].events[1] = safe_close(chip.lines[1].events[1]); /* a hang-up */
        g_assert_cmpint(gpio_lines_read(l, events, ELEMENTSOF(events)), ==, -ENODEV);
}

static void test_inspect(void) {
        const GpioLineSettings settings[] = {
                { .offset = 1, .output = true, .initial = 1 },
                { .offset = 2, .detect = GPIO_DETECT_NONE, .active_low = true, .bias = GPIO_BIAS_PULL_DOWN },
        };
        _cleanup_(gpio_lines_freep) GpioLines *l = NULL;
        GpioChipInfo info;

        chip_reset();
        g_assert_cmpint(gpio_lines_inspect("/dev/gpiochip7", &info), ==, -ENOENT);
        l = request(settings, ELEMENTSOF(settings));
        chip.lines[3].consumer = "otherd";
        g_assert_cmpint(gpio_lines_inspect("/dev/gpiochip0", &info), ==, 0);
        g_assert_cmpstr(info.label, ==, "soc");
        g_assert_cmpuint(info.n, ==, LINES);
        g_assert_cmpstr(info.lines[5].name, ==, "LED0");
        g_assert_false(info.lines[5].used);
        g_assert_cmpint(info.lines[5].bias, ==, GPIO_BIAS_AS_IS);
        g_assert_true(info.lines[1].used && info.lines[1].output);
        g_assert_true(info.lines[2].active_low && !info.lines[2].output);
        g_assert_cmpint(info.lines[2].bias, ==, GPIO_BIAS_PULL_DOWN);
        g_assert_cmpstr(info.lines[3].consumer, ==, "otherd");
        gpio_chip_info_done(&info);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/gpio-lines-v1/inspect", test_inspect);
        g_test_add_func("/gpio-lines-v1/groups", test_groups);
        g_test_add_func("/gpio-lines-v1/many", test_many);
        g_test_add_func("/gpio-lines-v1/faults", test_faults);
        g_test_add_func("/gpio-lines-v1/edges", test_edges);
        return g_test_run();
}
