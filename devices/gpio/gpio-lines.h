/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of one GPIO chip in logical terms (1 is active), whatever libgpiod is there: gpio-lines-v1.c (1.6)
 * or gpio-lines-v2.c (2.x), chosen by the build; in unit tests tests/unit/fake-gpio-lines.c. Nothing blocks.
 * Loop thread. */
#pragma once

#include "base/macros.h"
#include "base/time.h"

typedef enum GpioBias {
        GPIO_BIAS_AS_IS,
        GPIO_BIAS_DISABLED,
        GPIO_BIAS_PULL_UP,
        GPIO_BIAS_PULL_DOWN,
        _GPIO_BIAS_MAX,
        _GPIO_BIAS_INVALID = -EINVAL,
} GpioBias;
typedef enum GpioDrive { GPIO_DRIVE_PUSH_PULL, GPIO_DRIVE_OPEN_DRAIN, GPIO_DRIVE_OPEN_SOURCE } GpioDrive;
typedef enum GpioDetect { GPIO_DETECT_BOTH, GPIO_DETECT_RISING, GPIO_DETECT_FALLING, GPIO_DETECT_NONE } GpioDetect;

#define GPIO_CONSUMER "gatewayd"        /* what others see as the holder of our lines */
#define GPIO_KEEP (-1)                  /* an output's value that is not to be changed by the request */

typedef struct GpioLineSettings {
        const char *name;       /* the line's own name on its chip; NULL: offset says which */
        unsigned offset;
        bool output, active_low;
        GpioBias bias;
        GpioDetect detect;      /* inputs */
        usec_t debounce;        /* inputs: of the kernel, where gpio_lines_debounce() says so */
        GpioDrive drive;        /* outputs */
        int initial;            /* outputs: 0, 1, GPIO_KEEP */
        bool alone;             /* outputs, where gpio_lines_can_outlive() says so: a request of its own, see gpio_lines_request_fd() */
        int former;             /* … and the descriptor of such a request, to go on with as it is; -EBADF: none. Borrowed during the call */
} GpioLineSettings;

/* Why a request failed. */
typedef struct GpioFault {
        size_t line;            /* which one; SIZE_MAX: the chip */
        char *consumer;         /* -EBUSY: who holds it, where that is known */
} GpioFault;
static inline void gpio_fault_done(GpioFault *f) {
        g_clear_pointer(&f->consumer, g_free);
}

typedef struct GpioEvent {
        size_t line;            /* index in the settings */
        int value;              /* after the edge */
        uint64_t time;          /* CLOCK_MONOTONIC, ns: when the kernel saw it */
        uint32_t sequence;      /* of this line, from 1 on, with gaps where edges were lost; 0: this library has none */
} GpioEvent;

/* What a chip is, as the kernel shows it to everybody who may open its node. */
typedef struct GpioLineInfo {
        char *name, *consumer;  /* NULL: none */
        bool used, output, active_low;
        GpioBias bias;          /* AS_IS also where it is not known */
} GpioLineInfo;

typedef struct GpioChipInfo {
        char *label;
        GpioLineInfo *lines;    /* by offset */
        size_t n;
} GpioChipInfo;
static inline void gpio_chip_info_done(GpioChipInfo *i) {
        for (size_t l = 0; l < i->n; l++) {
                g_free(i->lines[l].name);
                g_free(i->lines[l].consumer);
        }
        g_free(i->lines);
        g_free(i->label);
        *i = (GpioChipInfo) {};
}

typedef struct GpioLines GpioLines;

/* Where nodes of chips come and go. */
const char *gpio_lines_directory(void);
/* The label of the chip behind a node; -errno when it is none or cannot be opened. Caller frees. */
int gpio_lines_label(const char *path, char **ret);
/* The chip behind a node and all its lines, without requesting one; the caller gives *ret back with
 * gpio_chip_info_done(). */
int gpio_lines_inspect(const char *path, GpioChipInfo *ret);
/* Whether the kernel keeps GpioLineSettings.debounce; else the caller does. */
bool gpio_lines_debounce(void);

/* Whether a request goes on for as long as somebody has its descriptor. */
bool gpio_lines_can_outlive(void);

/* Requests all lines or none. ret_fault is set on failure only, and is to be freed then. -ENOENT, -ENODEV:
 * no chip there; -ENXIO: the chip has no such line; -EEXIST: it is the same line as an earlier one; -EBUSY:
 * somebody holds it. */
int gpio_lines_request(const char *path, const GpioLineSettings *settings, size_t n, GpioLines **ret, GpioFault *ret_fault);
/* Gives every line back. */
GpioLines *gpio_lines_free(GpioLines *l);
DEFINE_CLEANUP(GpioLines, gpio_lines_free);

unsigned gpio_lines_offset(const GpioLines *l, size_t line);
/* Of a line that is alone: the request's descriptor, borrowed; it is the line's for as long as a copy of it
 * is open. */
int gpio_lines_request_fd(const GpioLines *l, size_t line);
/* Readable while edges wait. */
int gpio_lines_fd(const GpioLines *l);
/* Takes what waits, at most max (at least 16); those of one line are in order. Returns how many, 0: none.
 * -ENODEV: the chip is gone. */
int gpio_lines_read(GpioLines *l, GpioEvent *events, size_t max);
/* 0 or 1, or -errno. */
int gpio_lines_get(GpioLines *l, size_t line);
int gpio_lines_set(GpioLines *l, size_t line, int value);
