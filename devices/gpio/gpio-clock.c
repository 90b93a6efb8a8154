/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets between clocks. Reading them is the only effect. No state, any thread. */

#include "devices/gpio/gpio-clock.h"

#define READINGS 5
#define UNDISTURBED_USEC 20
/* An offset that falls by more was set back; by less it is the error of a reading, or a clock that is slewed. */
#define SET_BACK_USEC (10 * (int64_t) USEC_PER_MSEC)

GpioReading gpio_reading_take(void) {
        GpioReading best = {};

        for (unsigned i = 0; i < READINGS; i++) {
                GpioReading r;

                r.before = now_usec(CLOCK_MONOTONIC);
                r.real = now_usec(CLOCK_REALTIME);
                r.after = now_usec(CLOCK_MONOTONIC);
                if (i == 0 || r.after - r.before < best.after - best.before)
                        best = r;
                if (best.after - best.before <= UNDISTURBED_USEC)
                        break;
        }
        return best;
}

void gpio_clock_update(GpioClock *c, GpioReading reading) {
        int64_t offset = (int64_t) reading.real - (int64_t) (reading.before + (reading.after - reading.before) / 2);

        if (c->valid && offset < c->offset - SET_BACK_USEC)
                c->epoch++;
        c->offset = offset;
        c->valid = true;
}

int64_t gpio_clock_convert(const GpioClock *c, usec_t monotonic) {
        return (int64_t) monotonic + c->offset;
}

Timestamp gpio_stamp(GpioStamp *s, const GpioClock *c, usec_t monotonic) {
        int64_t time = gpio_clock_convert(c, monotonic), us;

        if (s->epoch == c->epoch)
                time = MAX(time, s->last);
        s->last = time;
        s->epoch = c->epoch;

        us = time % (int64_t) USEC_PER_SEC;
        if (us < 0)
                us += (int64_t) USEC_PER_SEC;
        return (Timestamp) { .s = (time - us) / (int64_t) USEC_PER_SEC, .us = (int32_t) us };
}
