/* SPDX-License-Identifier: Apache-2.0 */
/* A machine with GPIO chips, played by the test behind devices/gpio/gpio-lines.h: chips are files of a temporary folder, so
 * that they come and go as real ones do; levels, edges and failures are the test's. Main thread. */
#pragma once

#include "devices/gpio/gpio-lines.h"

#define FAKE_LINES 16U

typedef struct FakeChip {
        char *name, *label;             /* "gpiochip0" */
        bool plugged;
        int levels[FAKE_LINES];         /* of the wire */
        const char *names[FAKE_LINES];
        const char *holders[FAKE_LINES]; /* who else has it */
        int set_error, get_error;       /* what set and get answer, 0: they work */
        unsigned requests;              /* that succeeded */
        GpioLines *lines;               /* the one that holds, or NULL */
        struct {
                int fd;                 /* our end of a pipe: while the other one is open, the request goes on; 0: none */
                GpioLineSettings settings;
        } alone[FAKE_LINES];
        GPtrArray *calls;               /* char *: `3=1`, `release` */
} FakeChip;

/* Empties the machine; the folder exists from the first call on. */
void fake_gpio_reset(void);
/* Whether the kernel debounces, and numbers edges. */
void fake_gpio_set_kernel(bool debounce);
/* Whether a request of one line goes on for as long as somebody has its descriptor. */
void fake_gpio_set_outlive(bool outlive);
/* Whether somebody has it. */
bool fake_gpio_is_held(FakeChip *c, unsigned offset);
FakeChip *fake_gpio_plug(const char *name, const char *label);
void fake_gpio_unplug(FakeChip *c, bool silently);
/* Changes the level of a wire and, when its line has edges of that kind, queues one; at 0: now. */
void fake_gpio_move(FakeChip *c, unsigned offset, int level, usec_t at);
/* Changes it without an edge. */
void fake_gpio_move_quietly(FakeChip *c, unsigned offset, int level);
/* The kernel lost n edges of this line. */
void fake_gpio_lose(FakeChip *c, unsigned offset, unsigned n);
