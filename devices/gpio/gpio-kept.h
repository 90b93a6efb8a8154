/* SPDX-License-Identifier: Apache-2.0 */
/* One output by the descriptor of its own request, also one that an earlier process made: libgpiod takes no
 * descriptor from elsewhere, so this is the kernel's interface (version 2 of linux/gpio.h). Loop thread. */
#pragma once

#include "devices/gpio/gpio-lines.h"

/* Whether it still is a request of this line of the chip behind path, with these settings. */
bool gpio_kept_fits(int fd, const char *path, const GpioLineSettings *s);
/* 0 or 1, or -errno. */
int gpio_kept_get(int fd);
int gpio_kept_set(int fd, int value);
