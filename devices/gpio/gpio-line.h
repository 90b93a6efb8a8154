/* SPDX-License-Identifier: Apache-2.0 */
/* What one line does (spec gpio.md 3.4 to 3.6): an input between edges and reports, an output between writes
 * and the end of pulses. Plain data that touches no line; times are arguments, monotonic µs. */
#pragma once

#include "devices/gpio/gpio-lines.h"

/* ---- input ------------------------------------------------------------------------------------------- */

typedef struct GpioInput {
        GpioDetect report;      /* which changes are reported */
        bool alternate;         /* every edge is seen: two equal ones in turn have lost one between them */
        usec_t debounce;        /* 0: not here */

        int reported;           /* last value that was */
        int stable, raw;        /* debounced: the value that counts, and the one seen last */
        int edge;               /* value after the last edge; -1: none yet, or it does not tell anything */
        uint32_t sequence;      /* of the last edge */
        usec_t stable_at;       /* raw counts then; USEC_INFINITY: it does already */
        uint64_t count;         /* active edges in all … */
        uint64_t counted;       /* … and when they were last reported */
} GpioInput;

typedef struct GpioChange {
        int value;
        usec_t time;
} GpioChange;

/* Anew with this value, which is reported. The count stays. */
void gpio_input_begin(GpioInput *in, int value);
/* An edge. Returns whether *ret is to be reported; adds to *lost. */
bool gpio_input_edge(GpioInput *in, int value, usec_t time, uint32_t sequence, uint64_t *lost, GpioChange *ret);
/* The line was read. Returns whether *ret is to be reported. */
bool gpio_input_sample(GpioInput *in, int value, usec_t time, GpioChange *ret);
/* A stable period may be over by now. value: read after all edges were taken; another one than expected
 * begins a new period. */
bool gpio_input_expire(GpioInput *in, int value, usec_t now, GpioChange *ret);
/* Whether a line that reads like that, while no edges wait, has lost one. */
static inline bool gpio_input_contradicts(const GpioInput *in, int value) {
        return in->alternate && in->edge >= 0 && in->edge != value;
}
/* The end of a counter's interval. Returns whether there is something to report. */
bool gpio_input_count(GpioInput *in, uint64_t *ret_delta);

/* ---- output ------------------------------------------------------------------------------------------ */

typedef struct GpioOutput {
        int value;
        int back;               /* value after the pulse */
        usec_t until;           /* end of the pulse; USEC_INFINITY: none */
} GpioOutput;

void gpio_output_begin(GpioOutput *out, int value);
/* It was set; duration 0: for good. */
void gpio_output_written(GpioOutput *out, int value, usec_t duration, usec_t now);
static inline bool gpio_output_expired(const GpioOutput *out, usec_t now) {
        return out->until <= now;
}
