/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of the device type gpio (spec gpio.md 1): the field table, the structs that it fills, and
 * the checks that one field cannot say. Immutable after parsing. Loop thread, at start. */
#pragma once

#include "base/conf.h"
#include "devices/gpio/gpio-lines.h"

typedef enum GpioDirection {
        GPIO_INPUT,
        GPIO_OUTPUT,
        _GPIO_DIRECTION_MAX,
        _GPIO_DIRECTION_INVALID = -EINVAL,
} GpioDirection;
DECLARE_STRING_TABLE(gpio_direction, GpioDirection);
DECLARE_STRING_TABLE(gpio_bias, GpioBias);

typedef struct GpioCounterConf {
        bool given;
        usec_t interval;
} GpioCounterConf;

/* Enums are -1 where not given: gpio_line_settings() knows the defaults. */
typedef struct GpioLineConf {
        const char *name;
        const char *line;       /* JSON: the offset or the line's own name */
        int direction;          /* GpioDirection */
        bool active_low;
        int bias;               /* GpioBias */
        /* input */
        int edge;               /* GpioDetect */
        usec_t poll_interval;   /* USEC_INFINITY: none */
        usec_t debounce;        /* USEC_INFINITY: not given */
        GpioCounterConf counter;
        /* output */
        int drive;              /* GpioDrive */
        const char *initial, *safe; /* JSON: 0, 1 or null; NULL: not given */
} GpioLineConf;

typedef struct GpioConf {
        const char *chip;
        usec_t connect_delay;
        ConfArray lines;        /* GpioLineConf */
} GpioConf;

extern const ConfField gpio_fields[];
void gpio_conf_verify(const void *conf, ConfErrors *e);
void gpio_conf_claims(const void *conf, ConfClaims *c, ConfErrors *e);

/* Of a verified line. A name is allocated: the caller frees it. */
GpioLineSettings gpio_line_settings(const GpioLineConf *line);
/* Input: which changes are reported, and how long its value must be stable where the kernel does not see to
 * that. */
GpioDetect gpio_line_detect(const GpioLineConf *line);
usec_t gpio_line_debounce(const GpioLineConf *line);
/* 0, 1, or GPIO_KEEP for null: leave it as it is. */
int gpio_line_safe(const GpioLineConf *line);
