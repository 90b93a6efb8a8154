/* SPDX-License-Identifier: Apache-2.0 */
/* From the kernel's monotonic time to UTC (spec gpio.md 3.8), by one offset per batch. Plain data; time is
 * an argument. */
#pragma once

#include "base/macros.h"
#include "base/time.h"
#include "event/event.h"

/* Readings of the clocks, one after the other, in µs. */
typedef struct GpioReading {
        usec_t before;  /* CLOCK_MONOTONIC */
        usec_t real;    /* CLOCK_REALTIME */
        usec_t after;   /* CLOCK_MONOTONIC */
} GpioReading;

typedef struct GpioClock {
        int64_t offset;  /* µs: UTC less monotonic */
        uint64_t epoch;  /* counts how often the wall clock was set back */
        bool valid;
} GpioClock;

/* The best of a few readings: one during which nothing interrupted. */
GpioReading gpio_reading_take(void);
/* For the next batch. */
void gpio_clock_update(GpioClock *c, GpioReading reading);
/* Monotonic µs to UTC µs. */
int64_t gpio_clock_convert(const GpioClock *c, usec_t monotonic);

/* The last source time of one line. */
typedef struct GpioStamp {
        int64_t last;
        uint64_t epoch;
} GpioStamp;
/* The source time of what happened then: never before the last one, unless the wall clock was set back. */
Timestamp gpio_stamp(GpioStamp *s, const GpioClock *c, usec_t monotonic);
