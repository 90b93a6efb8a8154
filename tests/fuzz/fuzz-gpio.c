/* SPDX-License-Identifier: Apache-2.0 */
/* One GPIO line as the specification has it (gpio.md 3.4 to 3.8), against the state machines: edges that come, edges that the kernel
 * loses, polling, debouncing, counting, a wall clock that steps, writes and pulses.
 *
 * Input: which changes are reported and whether edges are numbered, the stable period in ms, then operations of two bytes: what, and
 * how much. Bytes behind them are a write request. */

#include <assert.h>
#include <stdlib.h>

#include "devices/gpio/gpio-clock.h"
#include "devices/gpio/gpio-line.h"
#include "devices/gpio/gpio-write.h"

#define MS USEC_PER_MSEC
#define OPERATIONS_MAX 512U
#define REQUEST 0xff
#define DAY (86400 * USEC_PER_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- an input ---------------------------------------------------------------------------------------- */

typedef struct World {
        usec_t now, wall, former; /* wall: UTC less monotonic, and when it was looked at last */
        int level;
        uint32_t sequence;       /* of the line's edges, lost ones too */
        uint64_t lost, lost_now; /* all; since the last one that came */
        uint64_t active;         /* edges that came and rose */

        GpioInput in;
        GpioDetect detect; /* what the kernel is asked for */
        bool numbered;
        uint64_t told_lost, told_count;
        int reported; /* last value */
        int seen;     /* debounced: the value seen last, since … */
        usec_t seen_at;
        bool differs; /* … it is another one than that which counts */
} World;

static bool reports_all(const World *w) {
        return w->in.report == GPIO_DETECT_BOTH || w->in.report == GPIO_DETECT_NONE;
}

static void check_report(World *w, GpioChange c, bool polled) {
        assert(c.value == 0 || c.value == 1);
        assert(c.time <= w->now);
        assert(w->in.reported == c.value);
        /* A change is one: only with edges of one kind each of them is. */
        if (reports_all(w) || polled)
                assert(c.value != w->reported);
        else
                assert(c.value == (w->in.report == GPIO_DETECT_RISING));
        if (w->in.debounce == 0)
                assert(c.time == w->now);
        w->reported = c.value;
}

/* It counts from the end of the stable period on, with the value that it had all the time. */
static void check_stable(const World *w, GpioChange c) {
        assert(c.value == w->seen);
        assert(c.time == w->seen_at + w->in.debounce);
}

static void see(World *w, int value) {
        if (value == w->seen)
                return;
        w->seen = value;
        w->seen_at = w->now;
}

/* One that comes after its time in the loop: what was stable before it counts first. */
static void edge_comes(World *w) {
        GpioChange c;
        uint64_t lost = 0;
        G_GNUC_UNUSED int before = w->in.reported, last = w->in.edge;
        bool reported;

        reported = gpio_input_edge(&w->in, w->level, w->now, w->numbered ? w->sequence : 0, &lost, &c);
        assert(w->in.edge == w->level);
        if (w->numbered)
                assert(lost == w->lost_now);
        else
                assert(lost == (w->in.alternate && last == w->level) && lost <= w->lost);
        w->told_lost += lost;
        w->lost_now = 0;
        if (reported && w->in.debounce > 0)
                check_stable(w, c);
        if (reported)
                check_report(w, c, false);
        if (w->in.debounce == 0) {
                w->active += (uint64_t) w->level;
                assert(w->in.count == w->active);
                if (reports_all(w))
                        assert(reported == (w->level != before));
                else
                        assert(reported); /* every such edge */
        }
        w->seen = w->level; /* also one that is equal: there was another between */
        w->seen_at = w->now;
}

static void toggle(World *w, bool lose) {
        w->level = !w->level;
        if (w->detect == GPIO_DETECT_NONE ||
            w->detect == (w->level ? GPIO_DETECT_FALLING : GPIO_DETECT_RISING))
                return;
        w->sequence++;
        if (lose) {
                w->lost++;
                w->lost_now++;
        } else
                edge_comes(w);
}

static void poll_line(World *w) {
        GpioChange c;

        if (w->lost == 0)
                assert(!gpio_input_contradicts(&w->in, w->level));
        if (gpio_input_sample(&w->in, w->level, w->now, &c))
                check_report(w, c, true);
        if (w->in.debounce == 0)
                assert(w->in.reported == w->level);
        else
                see(w, w->level);
        assert(!gpio_input_contradicts(&w->in, w->level));
}

static void expire(World *w) {
        bool due = w->in.stable_at <= w->now, surprise = w->level != w->seen;
        GpioChange c;

        if (gpio_input_expire(&w->in, w->level, w->now, &c)) {
                assert(due && !surprise);
                check_stable(w, c);
                check_report(w, c, false);
        }
        if (due)
                see(w, w->level);
        if (w->in.debounce > 0 && w->seen == w->level && w->now >= w->seen_at + w->in.debounce &&
            !(due && surprise)) {
                assert(w->in.stable == w->level); /* in time it always gets there */
                if (reports_all(w) && w->lost == 0)
                        assert(w->in.reported == w->level);
        }
}

static void count(World *w) {
        uint64_t delta = 0;
        G_GNUC_UNUSED uint64_t before = w->told_count;

        if (gpio_input_count(&w->in, &delta)) {
                assert(delta > 0);
                w->told_count += delta;
        } else
                assert(delta == 0);
        assert(w->told_count == w->in.count && w->told_count >= before);
}

/* ---- an output --------------------------------------------------------------------------------------- */

typedef struct Pin {
        GpioOutput out;
        int value, base; /* base: what it falls back to */
        usec_t until;
} Pin;

static void pin_expire(Pin *p, usec_t now) {
        assert(gpio_output_expired(&p->out, now) == (p->until <= now));
        if (p->until > now)
                return;
        gpio_output_written(&p->out, p->out.back, 0, now);
        p->value = p->base;
        p->until = USEC_INFINITY;
        assert(p->out.value == p->value && !gpio_output_expired(&p->out, USEC_INFINITY - 1));
}

static void pin_write(Pin *p, int value, usec_t duration, usec_t now) {
        gpio_output_written(&p->out, value, duration, now);
        p->value = value;
        if (duration == 0)
                p->base = value;
        p->until = duration == 0 ? USEC_INFINITY : now + duration;
        assert(p->out.value == value && p->out.until == p->until);
        assert(duration == 0 || p->out.back == p->base);
}

/* ---- times ------------------------------------------------------------------------------------------- */

static int64_t timestamp_at(Timestamp t) {
        assert(t.us >= 0 && t.us < (int32_t) USEC_PER_SEC);
        return t.s * (int64_t) USEC_PER_SEC + t.us;
}

/* The source times of one line: right, and never before the last one unless the clock was set back. */
static void stamp(World *w, GpioClock *clock, GpioStamp *s, int64_t *last) {
        GpioReading r = { w->now, w->wall + w->now, w->now };
        uint64_t epoch = clock->epoch;
        G_GNUC_UNUSED int64_t exact = (int64_t) (w->wall + w->now);
        int64_t time;

        gpio_clock_update(clock, r);
        time = timestamp_at(gpio_stamp(s, clock, w->now));
        assert(time == exact || (time > exact && time == *last && clock->epoch == epoch));
        if (clock->epoch == epoch)
                assert(time >= *last);
        if (w->wall + USEC_PER_SEC < w->former)
                assert(time == exact);
        w->former = w->wall;
        *last = time;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static void parse_request(const uint8_t *data, size_t size) {
        g_autofree char *text = g_strndup((const char *) data, size);
        usec_t duration;
        int value;

        if (json_check(text, strlen(text), NULL) < 0 ||
            gpio_write_parse((JsonSpan) { text, strlen(text) }, &value, &duration) < 0)
                return;
        assert(value == 0 || value == 1);
        assert(duration == 0 || (duration >= MS && duration <= 3600 * USEC_PER_SEC));
}

static void world_init(World *w, uint8_t kind, usec_t debounce) {
        GpioDetect report = kind % (GPIO_DETECT_NONE + 1);

        *w = (World) {
                .now = USEC_PER_SEC,
                .wall = 365 * DAY,
                .numbered = kind & 0x10,
                .detect = debounce > 0 && report != GPIO_DETECT_NONE ? GPIO_DETECT_BOTH : report,
                .in = { .report = report, .debounce = debounce },
        };
        w->in.alternate = w->detect == GPIO_DETECT_BOTH;
        gpio_input_begin(&w->in, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        GpioClock clock = {};
        GpioStamp s = {};
        int64_t last = INT64_MIN;
        Pin p = { .until = USEC_INFINITY };
        size_t at = 2;
        World w;

        if (size < 2)
                return 0;
        world_init(&w, data[0], data[1] * MS);
        gpio_output_begin(&p.out, 0);
        for (size_t n = 0; n < OPERATIONS_MAX && at + 2 <= size && data[at] != REQUEST; n++, at += 2) {
                uint8_t much = data[at + 1];

                switch (data[at] % 9) {
                case 0:
                        w.now += much * MS;
                        break;
                case 1:
                        toggle(&w, false);
                        break;
                case 2:
                        toggle(&w, true);
                        break;
                case 3:
                        poll_line(&w);
                        break;
                case 4:
                        expire(&w);
                        break;
                case 5:
                        count(&w);
                        break;
                case 6: /* days forward, or back; or a slew */
                        w.wall = much & 1 ? w.wall + (int64_t) (much - 128) * (int64_t) DAY / 256
                                          : w.wall + (int64_t) (much - 128) * 10;
                        break;
                case 7:
                        pin_expire(&p, w.now);
                        pin_write(&p, much & 1, (much >> 1) * MS, w.now);
                        break;
                default:
                        pin_expire(&p, w.now);
                        break;
                }
                stamp(&w, &clock, &s, &last);
                assert(w.told_lost <= w.lost);
        }
        if (at < size && data[at] == REQUEST)
                parse_request(data + at + 1, size - at - 1);
        return 0;
}
