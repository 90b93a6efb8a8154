/* SPDX-License-Identifier: Apache-2.0 */
/* What a write event asks for. Pure functions. */

#include "devices/gpio/gpio-write.h"

#define DURATION_MIN 0.001
#define DURATION_MAX 3600.0

static const char *const result_names[] = {
        [GPIO_SUCCESS] = "SUCCESS",
        [GPIO_INVALID_VALUE] = "INVALID_VALUE",
        [GPIO_UNKNOWN_LINE] = "UNKNOWN_LINE",
        [GPIO_NOT_OUTPUT] = "NOT_OUTPUT",
        [GPIO_NOT_CONNECTED] = "NOT_CONNECTED",
        [GPIO_FAILED] = "FAILED",
};
G_STATIC_ASSERT(ELEMENTSOF(result_names) == _GPIO_RESULT_MAX);
DEFINE_STRING_TABLE(gpio_result, GpioResult, result_names);

static int duration_parse(JsonSpan v, usec_t *ret) {
        g_autofree char *text = NULL;
        double seconds;

        if (json_kind(v) != JSON_NUMBER)
                return -EINVAL;
        text = g_strndup(v.text, v.size);
        seconds = g_ascii_strtod(text, NULL);
        if (!(seconds >= DURATION_MIN && seconds <= DURATION_MAX))
                return -EINVAL;
        *ret = (usec_t) (seconds * (double) USEC_PER_SEC + 0.5);
        return 0;
}

int gpio_write_parse(JsonSpan request, int *ret_value, usec_t *ret_duration) {
        usec_t duration = 0;
        JsonSpan member;
        int64_t value;

        if (json_get(request, "value", &member) < 0 || json_to_int64(member, &value) < 0 || (value != 0 && value != 1))
                return -EINVAL;
        if (json_get(request, "duration", &member) >= 0 && duration_parse(member, &duration) < 0)
                return -EINVAL;
        *ret_value = (int) value;
        *ret_duration = duration;
        return 0;
}
