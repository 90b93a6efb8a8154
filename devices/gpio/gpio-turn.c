/* SPDX-License-Identifier: Apache-2.0 */
/* What one turn of the loop brings a connected gpio device: edges (spec gpio.md 3.4, 3.5), and what is due,
 * which is polling, the end of a stable period, of a counter's interval and of a pulse. Loop thread. */

#include "devices/gpio/gpio-device.h"

#include <errno.h>

/* Edges are taken so often before what is due. */
#define TAKES_MAX 3U
/* Lost edges with less time between them are one burst. */
#define BURST_USEC USEC_PER_SEC

usec_t gpio_now(GpioDevice *g) {
        GpioReading reading = gpio_reading_take();

        gpio_clock_update(&g->clock, reading);
        return reading.after;
}

/* ---- edges ------------------------------------------------------------------------------------------- */

/* Rule 5: once per burst. */
static void gpio_count_lost(GpioDevice *g, const GpioLine *l, uint64_t n, usec_t now) {
        if (n == 0)
                return;
        if (g->lost_at == 0 || now >= usec_add(g->lost_at, BURST_USEC))
                log_context(LOG_WARNING, device_log(&g->device), "Edges of line %s were lost: they come too fast.",
                            l->conf->name);
        g->lost_at = now;
        g->lost += n;
}

static void gpio_sample(GpioDevice *g, GpioLine *l, int value, usec_t now) {
        GpioChange change;

        if (gpio_input_sample(&l->in, value, now, &change))
                gpio_state(g, l, change.value, GPIO_CHANGE, change.time);
}

static int event_compare_time(const void *a, const void *b, void *userdata) {
        uint64_t x = ((const GpioEvent *) a)->time, y = ((const GpioEvent *) b)->time;

        return x < y ? -1 : x > y;
}

static void gpio_edge(GpioDevice *g, const GpioEvent *e, usec_t now) {
        GpioLine *l = &g->line[e->line];
        GpioChange change;
        uint64_t lost = 0;

        if (gpio_input_edge(&l->in, e->value, e->time / NSEC_PER_USEC, e->sequence, &lost, &change))
                gpio_state(g, l, change.value, GPIO_CHANGE, change.time);
        gpio_count_lost(g, l, lost, now);
        l->touched = true;
        if (lost > 0)
                l->doubt_at = 0;
        else if (l->doubt_at > 0)
                l->doubt_at = USEC_INFINITY;
}

/* After the last edge of a line: it is read where edges were lost, or, where only that shows a loss, always. */
static int gpio_check(GpioDevice *g, size_t i, usec_t now) {
        GpioLine *l = &g->line[i];
        int value;

        if (l->doubt_at > now && (!l->in.alternate || l->in.sequence > 0))
                return 0;
        value = gpio_lines_get(g->lines, i);
        if (value < 0)
                return value;

        if (l->doubt_at == USEC_INFINITY) {
                if (gpio_input_contradicts(&l->in, value))
                        l->doubt_at = usec_add(now, GPIO_DOUBT_USEC);
                return 0;
        }
        if (l->doubt_at > now)
                return 0;
        if (l->doubt_at > 0 && gpio_input_contradicts(&l->in, value))
                gpio_count_lost(g, l, 1, now);
        l->doubt_at = USEC_INFINITY;
        gpio_sample(g, l, value, gpio_now(g));
        return 0;
}

/* In order of time. Each line is already, and mostly only one has edges. */
static void sort_events(GpioEvent *events, int n) {
        for (int i = 1; i < n; i++)
                if (events[i].time < events[i - 1].time) {
                        g_qsort_with_data(events, n, sizeof(GpioEvent), event_compare_time, NULL); /* stable */
                        return;
                }
}

int gpio_take_edges(GpioDevice *g) {
        usec_t now;
        int n, r = 0;

        n = gpio_lines_read(g->lines, g->events, GPIO_EVENTS_MAX);
        if (n <= 0)
                return n;

        now = gpio_now(g);
        sort_events(g->events, n);
        for (int i = 0; i < n; i++)
                gpio_edge(g, &g->events[i], now);
        for (int i = 0; i < n && r >= 0; i++) {
                GpioLine *l = &g->line[g->events[i].line];

                if (l->touched)
                        r = gpio_check(g, g->events[i].line, now);
                l->touched = false;
        }
        return r < 0 ? r : n;
}

/* ---- what is due ------------------------------------------------------------------------------------- */

static usec_t line_due(const GpioLine *l) {
        usec_t input = MIN(l->in.stable_at, l->doubt_at);

        return MIN(MIN(input, l->out.until), MIN(l->poll_at, l->count_at));
}

usec_t gpio_next_due(const GpioDevice *g) {
        usec_t due = USEC_INFINITY;

        for (size_t i = 0; i < g->n; i++)
                due = MIN(due, line_due(&g->line[i]));
        return due;
}

/* On a grid from the first time on; what was missed is left out. */
static usec_t next_on_grid(usec_t at, usec_t interval, usec_t now) {
        return usec_add(at, MAX(interval, (now - at) / interval * interval + interval));
}

/* drained: no edges wait. */
static int gpio_input_due(GpioDevice *g, size_t i, bool drained, usec_t now) {
        GpioLine *l = &g->line[i];
        bool poll = l->poll_at <= now, stable = l->in.stable_at <= now;
        GpioChange change;
        int value;

        if (l->doubt_at <= now && drained)
                return gpio_check(g, i, now);
        if (l->doubt_at <= now)
                l->doubt_at = usec_add(now, GPIO_DOUBT_USEC);
        if (!poll && !stable)
                return 0;

        value = gpio_lines_get(g->lines, i);
        if (value == -ENODEV)
                return value;
        if (poll)
                l->poll_at = next_on_grid(l->poll_at, l->conf->poll_interval, now);
        if (value < 0) {
                unsigned suppressed;

                if (stable)
                        l->in.stable_at = usec_add(now, l->in.debounce);
                if (rate_limit_take(&g->warnings, now, &suppressed))
                        log_context(LOG_WARNING, device_log(&g->device), "Cannot read line %s: %s.", l->conf->name,
                                    g_strerror(-value));
                return 0;
        }

        if (stable && gpio_input_expire(&l->in, value, now, &change))
                gpio_state(g, l, change.value, GPIO_CHANGE, change.time);
        if (poll)
                gpio_sample(g, l, value, gpio_now(g)); /* not before it changed */
        return 0;
}

static void gpio_count_due(GpioDevice *g, GpioLine *l, usec_t now) {
        uint64_t delta;

        if (l->count_at > now)
                return;
        if (gpio_input_count(&l->in, &delta))
                gpio_register_count(g, l, delta, l->count_at);
        l->count_at = next_on_grid(l->count_at, l->conf->counter.interval, now);
}

/* The end of a pulse; a line that does not fall back is tried again a little later. */
static int gpio_output_due(GpioDevice *g, size_t i, usec_t now) {
        GpioLine *l = &g->line[i];
        unsigned suppressed;
        int r;

        if (!gpio_output_expired(&l->out, now))
                return 0;
        r = gpio_lines_set(g->lines, i, l->out.back);
        if (r == -ENODEV)
                return r;
        if (r < 0) {
                l->out.until = usec_add(now, GPIO_DOUBT_USEC);
                if (rate_limit_take(&g->warnings, now, &suppressed))
                        log_context(LOG_WARNING, device_log(&g->device), "Cannot end the pulse of line %s: %s.", l->conf->name,
                                    g_strerror(-r));
                return 0;
        }
        now = gpio_now(g);
        gpio_output_written(&l->out, l->out.back, 0, now);
        if (l->out.value != l->told)
                gpio_state(g, l, l->out.value, GPIO_WRITE, now);
        return 0;
}

int gpio_due(GpioDevice *g) {
        bool drained;
        usec_t now;
        int r;

        for (unsigned tries = 0; (r = gpio_take_edges(g)) > 0 && tries < TAKES_MAX; tries++) {
        } /* they came before */
        drained = r == 0;
        now = gpio_now(g);
        for (size_t i = 0; i < g->n && r >= 0; i++) {
                if (line_due(&g->line[i]) > now)
                        continue;
                r = g->line[i].settings.output ? gpio_output_due(g, i, now) : gpio_input_due(g, i, drained, now);
                gpio_count_due(g, &g->line[i], now);
        }
        return r;
}
