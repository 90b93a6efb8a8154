/* SPDX-License-Identifier: Apache-2.0 */
/* State machines of one line. Pure functions. */

#include "devices/gpio/gpio-line.h"

/* ---- input ------------------------------------------------------------------------------------------- */

void gpio_input_begin(GpioInput *in, int value) {
        in->reported = in->stable = in->raw = value;
        in->edge = -1;
        in->sequence = 0;
        in->stable_at = USEC_INFINITY;
}

static bool input_report(GpioInput *in, int value, usec_t time, GpioChange *ret) {
        in->reported = value;
        *ret = (GpioChange) { value, time };
        return true;
}

static bool input_is_wanted(const GpioInput *in, int value) {
        return in->report == (value ? GPIO_DETECT_RISING : GPIO_DETECT_FALLING);
}

/* Rule 4: both edges are compared with what was reported, edges of one kind are changes each. */
static bool input_accept_edge(GpioInput *in, int value, usec_t time, GpioChange *ret) {
        in->stable = value;
        if (value)
                in->count++;
        if (input_is_wanted(in, value))
                return input_report(in, value, time, ret);
        return in->report != GPIO_DETECT_RISING && in->report != GPIO_DETECT_FALLING && value != in->reported &&
               input_report(in, value, time, ret);
}

/* Each change of the raw value begins the stable period anew. */
static void input_see(GpioInput *in, int value, usec_t time) {
        in->raw = value;
        in->stable_at = value == in->stable ? USEC_INFINITY : usec_add(time, in->debounce);
}

bool gpio_input_expire(GpioInput *in, int value, usec_t now, GpioChange *ret) {
        usec_t time = in->stable_at;

        if (time > now)
                return false;
        if (value != in->raw) {
                input_see(in, value, now);
                return false;
        }
        in->stable_at = USEC_INFINITY;
        return input_accept_edge(in, in->raw, time, ret);
}

static uint64_t input_missed(const GpioInput *in, int value, uint32_t sequence) {
        if (sequence > 0)
                return (uint32_t) (sequence - in->sequence - 1);
        return in->alternate && in->edge == value ? 1 : 0;
}

bool gpio_input_edge(GpioInput *in, int value, usec_t time, uint32_t sequence, uint64_t *lost, GpioChange *ret) {
        bool report;

        *lost += input_missed(in, value, sequence);
        in->edge = value;
        in->sequence = sequence;
        if (in->debounce == 0)
                return input_accept_edge(in, value, time, ret);

        report = gpio_input_expire(in, in->raw, time, ret);
        input_see(in, value, time);
        return report;
}

bool gpio_input_sample(GpioInput *in, int value, usec_t time, GpioChange *ret) {
        if (in->edge != value)
                in->edge = -1;
        if (in->debounce > 0) {
                if (value != in->raw)
                        input_see(in, value, time);
                value = in->stable;
        } else
                in->stable = value;
        return value != in->reported && in->stable_at == USEC_INFINITY && input_report(in, value, time, ret);
}

bool gpio_input_count(GpioInput *in, uint64_t *ret_delta) {
        uint64_t delta = in->count - in->counted;

        if (delta == 0)
                return false;
        in->counted = in->count;
        *ret_delta = delta;
        return true;
}

/* ---- output ------------------------------------------------------------------------------------------ */

void gpio_output_begin(GpioOutput *out, int value) {
        *out = (GpioOutput) { .value = value, .back = value, .until = USEC_INFINITY };
}

void gpio_output_written(GpioOutput *out, int value, usec_t duration, usec_t now) {
        if (out->until == USEC_INFINITY)
                out->back = out->value; /* a pulse in a pulse falls back to what was before the first */
        out->value = value;
        out->until = duration > 0 ? usec_add(now, duration) : USEC_INFINITY;
}
