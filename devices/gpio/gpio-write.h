/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to set a line (spec gpio.md 2). Pure functions. */
#pragma once

#include <errno.h>

#include "base/json.h"
#include "base/time.h"

typedef enum GpioResult {
        GPIO_SUCCESS,
        GPIO_INVALID_VALUE,
        GPIO_UNKNOWN_LINE,
        GPIO_NOT_OUTPUT,
        GPIO_NOT_CONNECTED,
        GPIO_FAILED,
        _GPIO_RESULT_MAX,
        _GPIO_RESULT_INVALID = -EINVAL,
} GpioResult;
DECLARE_STRING_TABLE(gpio_result, GpioResult);

/* -EINVAL: not the integer 0 or 1, or a duration that is no number of seconds from 0.001 to 3600.
 * *ret_duration 0: for good. */
int gpio_write_parse(JsonSpan request, int *ret_value, usec_t *ret_duration);
