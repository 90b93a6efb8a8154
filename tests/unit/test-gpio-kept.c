/* SPDX-License-Identifier: Apache-2.0 */
/* gpio-kept.c over a kernel that the test plays: a request of one line, and what the chip says of its lines. Main thread. */

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "devices/gpio/gpio-kept.h"

#define LINES 8U
#define NODE "/dev/null" /* what stands for the chip's node */

static struct {
        int request;   /* descriptor of the request */
        uint64_t bits; /* what it holds */
        int error;     /* of its calls */
        struct gpio_v2_line_info lines[LINES];
        unsigned infos; /* how often a line was asked for */
} kernel;

static int fail(int error) {
        errno = error;
        return -1;
}

static int values_call(unsigned long request, struct gpio_v2_line_values *v) {
        if (kernel.error > 0)
                return fail(kernel.error);
        g_assert_cmpuint(v->mask, ==, 1);
        if (request == GPIO_V2_LINE_SET_VALUES_IOCTL)
                kernel.bits = (kernel.bits & ~v->mask) | (v->bits & v->mask);
        else
                v->bits = kernel.bits & v->mask;
        return 0;
}

static int chip_call(unsigned long request, void *argument) {
        struct gpiochip_info *chip = argument;
        struct gpio_v2_line_info *line = argument;

        switch (request) {
        case GPIO_GET_CHIPINFO_IOCTL:
                *chip = (struct gpiochip_info){ .lines = LINES };
                return 0;
        case GPIO_V2_GET_LINEINFO_IOCTL:
                g_assert_cmpuint(line->offset, <, LINES);
                *line = kernel.lines[line->offset];
                kernel.infos++;
                return 0;
        default:
                return fail(ENOTTY);
        }
}

static bool is_node(int fd) {
        struct stat a, b;

        return fstat(fd, &a) >= 0 && stat(NODE, &b) >= 0 && a.st_rdev == b.st_rdev && S_ISCHR(a.st_mode);
}

/* In place of the C library's. */
int ioctl(int fd, unsigned long request, ...) {
        void *argument;
        va_list ap;

        va_start(ap, request);
        argument = va_arg(ap, void *);
        va_end(ap);
        if (fd == kernel.request &&
            (request == GPIO_V2_LINE_GET_VALUES_IOCTL || request == GPIO_V2_LINE_SET_VALUES_IOCTL))
                return values_call(request, argument);
        return is_node(fd) ? chip_call(request, argument) : fail(ENOTTY);
}

static void kernel_reset(void) {
        if (kernel.request > 0)
                (void) safe_close(kernel.request);
        memset(&kernel, 0, sizeof(kernel));
        kernel.request = eventfd(0, EFD_CLOEXEC);
        for (unsigned i = 0; i < LINES; i++)
                kernel.lines[i] = (struct gpio_v2_line_info){ .offset = i,
                                                              .flags = GPIO_V2_LINE_FLAG_INPUT };
        kernel.lines[5] = (struct gpio_v2_line_info){
                .offset = 5,
                .name = "LED0",
                .consumer = GPIO_CONSUMER,
                .flags = GPIO_V2_LINE_FLAG_USED | GPIO_V2_LINE_FLAG_OUTPUT | GPIO_V2_LINE_FLAG_ACTIVE_LOW |
                         GPIO_V2_LINE_FLAG_OPEN_DRAIN | GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
        };
}

static const GpioLineSettings led = {
        .offset = 5,
        .output = true,
        .active_low = true,
        .bias = GPIO_BIAS_PULL_UP,
        .drive = GPIO_DRIVE_OPEN_DRAIN,
};

static void test_values(void) {
        kernel_reset();
        kernel.bits = 0xfe; /* of other lines, if there were any */
        g_assert_cmpint(gpio_kept_get(kernel.request), ==, 0);
        g_assert_cmpint(gpio_kept_set(kernel.request, 1), ==, 0);
        g_assert_cmpuint(kernel.bits, ==, 0xff);
        g_assert_cmpint(gpio_kept_get(kernel.request), ==, 1);
        g_assert_cmpint(gpio_kept_set(kernel.request, 0), ==, 0);
        g_assert_cmpint(gpio_kept_get(kernel.request), ==, 0);

        kernel.error = ENODEV;
        g_assert_cmpint(gpio_kept_get(kernel.request), ==, -ENODEV);
        g_assert_cmpint(gpio_kept_set(kernel.request, 1), ==, -ENODEV);
}

static bool fits(const GpioLineSettings *s) {
        return gpio_kept_fits(kernel.request, NODE, s);
}

static void test_fits(void) {
        GpioLineSettings s = led;
        int other;

        kernel_reset();
        g_assert_true(fits(&s));
        g_assert_cmpuint(kernel.infos, ==, 1);
        s.initial = 1; /* of the moment when it was taken */
        g_assert_true(fits(&s));
        s.offset = 0;
        s.name = "LED0";
        g_assert_true(fits(&s));
        s.name = "LED";
        g_assert_false(fits(&s));
        g_assert_false(gpio_kept_fits(kernel.request, "/nowhere", &led));

        kernel.error = ENODEV; /* the chip is another one by now */
        g_assert_false(fits(&led));
        kernel.error = 0;
        other = eventfd(0, EFD_CLOEXEC); /* no request at all */
        g_assert_false(gpio_kept_fits(other, NODE, &led));
        (void) safe_close(other);
}

/* Each setting counts, on both sides. */
static void test_settings(void) {
        static const uint64_t flags[] = {
                GPIO_V2_LINE_FLAG_USED,           GPIO_V2_LINE_FLAG_OUTPUT,
                GPIO_V2_LINE_FLAG_INPUT,          GPIO_V2_LINE_FLAG_ACTIVE_LOW,
                GPIO_V2_LINE_FLAG_OPEN_DRAIN,     GPIO_V2_LINE_FLAG_OPEN_SOURCE,
                GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN, GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
                GPIO_V2_LINE_FLAG_BIAS_DISABLED,
        };
        GpioLineSettings s;

        kernel_reset();
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                kernel.lines[5].flags ^= flags[i];
                g_assert_false(fits(&led));
                kernel.lines[5].flags ^= flags[i];
                g_assert_true(fits(&led));
        }
        s = led;
        s.active_low = false;
        g_assert_false(fits(&s));
        for (GpioDrive d = GPIO_DRIVE_PUSH_PULL; d <= GPIO_DRIVE_OPEN_SOURCE; d++) {
                s = led;
                s.drive = d;
                g_assert_cmpint(fits(&s), ==, d == led.drive);
        }
        for (GpioBias b = GPIO_BIAS_AS_IS; b < _GPIO_BIAS_MAX; b++) {
                s = led;
                s.bias = b;
                g_assert_cmpint(fits(&s), ==, b == led.bias);
        }
        s = led;
        s.offset = 4;
        g_assert_false(fits(&s));
        s.offset = LINES;
        g_assert_false(fits(&s));

        strcpy(kernel.lines[5].consumer, "gatewayd2");
        g_assert_false(fits(&led));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/gpio-kept/values", test_values);
        g_test_add_func("/gpio-kept/fits", test_fits);
        g_test_add_func("/gpio-kept/settings", test_settings);
        return g_test_run();
}
