/* SPDX-License-Identifier: Apache-2.0 */
/* One run of the device type gpio, as its files share it: gpio.c owns the run and its connection,
 * gpio-turn.c what one turn of the loop brings, gpio-tell.c the events, gpio-hardware.c what the machine
 * has, gpio-store.c what outlives the run. Loop thread. */
#pragma once

#include "base/deadline.h"
#include "base/rate-limit.h"
#include "devices/device.h"
#include "devices/gpio/gpio-clock.h"
#include "devices/gpio/gpio-conf.h"
#include "devices/gpio/gpio-line.h"
#include "devices/gpio/gpio-write.h"

/* Edges taken in one turn. */
#define GPIO_EVENTS_MAX 512U
/* A line that is not as it should be is looked at, or set, again after so long. */
#define GPIO_DOUBT_USEC (10 * USEC_PER_MSEC)

typedef enum GpioState {
        GPIO_STARTING,  /* nothing was tried yet */
        GPIO_WAITING,   /* for the next try */
        GPIO_CONNECTED,
        GPIO_STOPPED,   /* only the end is still to be told */
} GpioState;

typedef enum GpioStatus { GPIO_STATUS_NONE, GPIO_STATUS_CONNECTING, GPIO_STATUS_CONNECTED, GPIO_STATUS_DISCONNECTED } GpioStatus;
typedef enum GpioCause { GPIO_INTERROGATE, GPIO_CHANGE, GPIO_WRITE } GpioCause;

typedef struct GpioLine {
        const GpioLineConf *conf;
        GpioLineSettings settings;
        GpioInput in;
        GpioOutput out;
        GpioStamp stamp;
        usec_t poll_at, count_at, doubt_at;
        bool touched;           /* by the edges of this turn */

        int told;               /* value of the last state, or the one that is to be told … */
        bool untold;            /* … when the event server takes events again */
        GpioCause cause;
        Timestamp source;

        uint64_t offset, value; /* status */
        const char *name, *direction;
        char *consumer;
} GpioLine;

typedef struct GpioDevice {
        Device device;
        GpioState state;
        GpioStatus status;
        GpioLines *lines;
        GpioLine *line;         /* in the order of the configuration */
        size_t n;
        char *path;             /* of the chip, when it was found */
        GpioClock clock;
        Deadline *timer;
        sd_event_source *io, *watch;
        usec_t tried_at, retry_at;
        usec_t lost_at;         /* last edge that was found lost; 0: none */
        uint64_t lost;
        bool held;              /* the event server is congested */
        bool released;          /* stored requests, before this attempt */
        RateLimit warnings;
        JsonWriter json;        /* kept: edges allocate nothing */
        GpioEvent events[GPIO_EVENTS_MAX];
} GpioDevice;

static inline const GpioConf *gpio_conf(const GpioDevice *g) {
        return g->device.conf;
}

/* ---- gpio-hardware.c ---- */
void gpio_hardware(JsonWriter *w, const Device *const *runs, size_t n);

/* ---- gpio-store.c ---- */
/* Before a request, the chip being found: former requests that fit go into the settings, others of this
 * device are closed. true: at least one was, and the service manager holds its line until it has closed its
 * copy, too. */
bool gpio_store_find(GpioDevice *g);
/* After it: new requests of lines that are alone are stored. */
void gpio_store_keep(GpioDevice *g);

/* ---- gpio-tell.c ---- */
/* Nothing when it is that already. */
void gpio_set_status(GpioDevice *g, GpioStatus status);
/* time: monotonic. While the event server is congested only the last state of a line counts. */
void gpio_state(GpioDevice *g, GpioLine *l, int value, GpioCause cause, usec_t time);
/* What was held back. */
void gpio_tell_held(GpioDevice *g);
void gpio_register_count(GpioDevice *g, GpioLine *l, uint64_t delta, usec_t time);
void gpio_answer(GpioDevice *g, const char *name, JsonSpan request_id, GpioResult result);

/* ---- gpio-turn.c ---- */
/* Now, with the clocks read anew. */
usec_t gpio_now(GpioDevice *g);
/* When something is due next; USEC_INFINITY: nothing. */
usec_t gpio_next_due(const GpioDevice *g);
/* Both return <0 when the chip is lost. What waits is taken, at most GPIO_EVENTS_MAX; 0: nothing did. */
int gpio_take_edges(GpioDevice *g);
int gpio_due(GpioDevice *g);
