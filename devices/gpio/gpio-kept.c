/* SPDX-License-Identifier: Apache-2.0 */
/* The few calls of linux/gpio.h for a request of one line. No state. */

#include "devices/gpio/gpio-kept.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <string.h>
#include <sys/ioctl.h>

/* What a request asks of an output. */
#define SETTINGS                                                                                         \
        (GPIO_V2_LINE_FLAG_ACTIVE_LOW | GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_OUTPUT |             \
         GPIO_V2_LINE_FLAG_OPEN_DRAIN | GPIO_V2_LINE_FLAG_OPEN_SOURCE | GPIO_V2_LINE_FLAG_BIAS_PULL_UP | \
         GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN | GPIO_V2_LINE_FLAG_BIAS_DISABLED)

static int kernel_call(int fd, unsigned long request, void *argument) {
        return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

int gpio_kept_get(int fd) {
        struct gpio_v2_line_values values = { .mask = 1 };
        int r;

        r = kernel_call(fd, GPIO_V2_LINE_GET_VALUES_IOCTL, &values);
        return r < 0 ? r : (int) (values.bits & 1);
}

int gpio_kept_set(int fd, int value) {
        struct gpio_v2_line_values values = { .mask = 1, .bits = value ? 1 : 0 };

        return kernel_call(fd, GPIO_V2_LINE_SET_VALUES_IOCTL, &values);
}

static uint64_t settings_flags(const GpioLineSettings *s) {
        static const uint64_t biases[] = {
                [GPIO_BIAS_DISABLED] = GPIO_V2_LINE_FLAG_BIAS_DISABLED,
                [GPIO_BIAS_PULL_UP] = GPIO_V2_LINE_FLAG_BIAS_PULL_UP,
                [GPIO_BIAS_PULL_DOWN] = GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN,
        };
        static const uint64_t drives[] = {
                [GPIO_DRIVE_OPEN_DRAIN] = GPIO_V2_LINE_FLAG_OPEN_DRAIN,
                [GPIO_DRIVE_OPEN_SOURCE] = GPIO_V2_LINE_FLAG_OPEN_SOURCE,
        };

        return GPIO_V2_LINE_FLAG_OUTPUT | (s->active_low ? GPIO_V2_LINE_FLAG_ACTIVE_LOW : 0) |
               (s->bias == GPIO_BIAS_AS_IS ? 0 : biases[s->bias]) |
               (s->drive == GPIO_DRIVE_PUSH_PULL ? 0 : drives[s->drive]);
}

/* The first line of that name, as libgpiod finds it, or the one with that offset. */
static int line_info(int chip, const GpioLineSettings *s, struct gpio_v2_line_info *ret) {
        struct gpiochip_info info = {};
        int r;

        r = kernel_call(chip, GPIO_GET_CHIPINFO_IOCTL, &info);
        for (uint32_t i = s->name ? 0 : s->offset; r >= 0 && i < info.lines; i++) {
                *ret = (struct gpio_v2_line_info){ .offset = i };
                r = kernel_call(chip, GPIO_V2_GET_LINEINFO_IOCTL, ret);
                if (r >= 0 && (!s->name || strncmp(ret->name, s->name, sizeof(ret->name)) == 0))
                        return 0;
        }
        return r < 0 ? r : -ENXIO;
}

bool gpio_kept_fits(int fd, const char *path, const GpioLineSettings *s) {
        struct gpio_v2_line_info info;
        int chip, r;

        if (gpio_kept_get(fd) <
            0) /* no such request, or its chip is gone, also when another one has the node by now */
                return false;
        chip = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
        if (chip < 0)
                return false;
        r = line_info(chip, s, &info);
        (void) safe_close(chip);
        return r >= 0 && (info.flags & GPIO_V2_LINE_FLAG_USED) &&
               strncmp(info.consumer, GPIO_CONSUMER, sizeof(info.consumer)) == 0 &&
               (info.flags & SETTINGS) == settings_flags(s);
}
