/* SPDX-License-Identifier: Apache-2.0 */
/* Device type gpio (spec gpio.md): the lines of one chip, from its opening to its loss; what one line does is gpio-line.c's.
 * Owns the request of all lines, one timer for everything that is due, and a watch on the folder of chips. Loop thread. */

#include <errno.h>
#include <inttypes.h>
#include <sys/inotify.h>

#include "base/deadline.h"
#include "base/ratelimit.h"
#include "devices/device.h"
#include "devices/gpio/gpio-chip.h"
#include "devices/gpio/gpio-clock.h"
#include "devices/gpio/gpio-conf.h"
#include "devices/gpio/gpio-line.h"
#include "devices/gpio/gpio-write.h"

/* Edges taken in one turn. */
#define EVENTS_MAX 512U
/* … and so often before what is due in it. */
#define TAKES_MAX 3U
/* A chip that comes back is tried at once, but not faster than this. */
#define RETURN_GAP_USEC (100 * USEC_PER_MSEC)
/* A line that does not read as its last edge says: one more may be on its way for so long. */
#define DOUBT_USEC (10 * USEC_PER_MSEC)
/* Lost edges with less time between them are one burst. */
#define BURST_USEC USEC_PER_SEC

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
        RateLimit warnings;
        JsonWriter json;        /* kept: edges allocate nothing */
        GpioEvent events[EVENTS_MAX];
} GpioDevice;

static const GpioConf *gpio_conf(const GpioDevice *g) {
        return g->device.conf;
}

/* ---- what is told ------------------------------------------------------------------------------------ */

static void gpio_set_status(GpioDevice *g, GpioStatus status) {
        static const JsonSpan payloads[] = {
                [GPIO_STATUS_CONNECTING] = JSON_LITERAL("\"CONNECTING\""),
                [GPIO_STATUS_CONNECTED] = JSON_LITERAL("\"CONNECTED\""),
                [GPIO_STATUS_DISCONNECTED] = JSON_LITERAL("\"DISCONNECTED\""),
        };
        static const char *const subtypes[] = { "status", NULL };

        if (g->status == status)
                return;
        g->status = status;
        device_register(&g->device, subtypes, NULL, payloads[status]);
}

static void gpio_register_line(GpioDevice *g, const char *name, const char *what, const Timestamp *source) {
        const char *const subtypes[] = { "line", name, what, NULL };
        JsonSpan payload;

        if (json_writer_end(&g->json, &payload) >= 0)
                device_register(&g->device, subtypes, source, payload);
}

static void gpio_tell(GpioDevice *g, GpioLine *l) {
        static const char *const causes[] = {
                [GPIO_INTERROGATE] = "INTERROGATE",
                [GPIO_CHANGE] = "CHANGE",
                [GPIO_WRITE] = "WRITE",
        };
        JsonWriter *w = &g->json;

        l->untold = false;
        json_writer_reset(w);
        json_open_object(w);
        json_key(w, "value");
        json_int(w, l->told);
        json_key(w, "cause");
        json_string(w, causes[l->cause]);
        json_close_object(w);
        gpio_register_line(g, l->conf->name, "state", &l->source);
}

/* time: monotonic. While the event server is congested only the last state of a line counts. */
static void gpio_state(GpioDevice *g, GpioLine *l, int value, GpioCause cause, usec_t time) {
        l->told = value;
        l->value = (uint64_t) value;
        l->cause = cause;
        l->source = gpio_stamp(&l->stamp, &g->clock, time);
        if (g->held)
                l->untold = true;
        else
                gpio_tell(g, l);
}

static void gpio_register_count(GpioDevice *g, GpioLine *l, uint64_t delta, usec_t time) {
        JsonWriter *w = &g->json;
        GpioStamp stamp = {};
        Timestamp source = gpio_stamp(&stamp, &g->clock, time);

        json_writer_reset(w);
        json_open_object(w);
        json_key(w, "value");
        json_uint(w, l->in.count);
        json_key(w, "delta");
        json_uint(w, delta);
        json_close_object(w);
        gpio_register_line(g, l->conf->name, "counter", &source);
}

/* Now, with the clocks read anew. */
static usec_t gpio_now(GpioDevice *g) {
        GpioReading reading = gpio_reading_take();

        gpio_clock_update(&g->clock, reading);
        return reading.after;
}

/* ---- the timer --------------------------------------------------------------------------------------- */

static usec_t line_due(const GpioLine *l) {
        usec_t input = MIN(l->in.stable_at, l->doubt_at);

        return MIN(MIN(input, l->out.until), MIN(l->poll_at, l->count_at));
}

static void gpio_set_timer(GpioDevice *g) {
        usec_t due = USEC_INFINITY;

        if (g->state == GPIO_WAITING)
                due = g->retry_at;
        else if (g->state == GPIO_CONNECTED)
                for (size_t i = 0; i < g->n; i++)
                        due = MIN(due, line_due(&g->line[i]));
        else
                due = 0; /* the first try, or the end */
        if (deadline_get(g->timer) != due)
                deadline_set(g->timer, due);
}

/* ---- connection -------------------------------------------------------------------------------------- */

static void gpio_release(GpioDevice *g) {
        g->io = sd_event_source_disable_unref(g->io);
        g->lines = gpio_lines_free(g->lines);
        for (size_t i = 0; i < g->n; i++) {
                GpioLine *l = &g->line[i];

                l->in.stable_at = l->out.until = l->poll_at = l->count_at = l->doubt_at = USEC_INFINITY;
        }
}

static void gpio_forget_consumers(GpioDevice *g) {
        for (size_t i = 0; i < g->n; i++)
                g_clear_pointer(&g->line[i].consumer, g_free);
}

static void gpio_disconnected(GpioDevice *g, DeviceReason reason, const char *detail) {
        gpio_release(g);
        g->state = GPIO_WAITING;
        g->retry_at = usec_add(now_usec(CLOCK_MONOTONIC), gpio_conf(g)->connect_delay);
        gpio_set_status(g, GPIO_STATUS_DISCONNECTED);
        device_set_link(&g->device, DEVICE_LINK_DOWN, reason, detail);
        gpio_set_timer(g);
}

/* Rule 3. */
static void gpio_lost(GpioDevice *g, int error) {
        g_autofree char *detail = g_strdup_printf("chip %s is lost: %s", gpio_conf(g)->chip,
                                                  error == -ENODEV ? "it was unplugged" : g_strerror(-error));

        gpio_forget_consumers(g);
        gpio_disconnected(g, DEVICE_REASON_LOST, detail);
}

static char *describe_line_fault(const GpioDevice *g, const GpioFault *fault, int error) {
        const GpioLineConf *l = g->line[fault->line].conf;
        const char *chip = gpio_conf(g)->chip;

        switch (error) {
        case -ENXIO:
                return g_strdup_printf("chip %s has no line %s (%s)", chip, l->line, l->name);
        case -EEXIST:
                return g_strdup_printf("line %s (%s) of chip %s is configured twice", l->line, l->name, chip);
        case -EBUSY:
                if (fault->consumer && *fault->consumer)
                        return g_strdup_printf("line %s (%s) of chip %s is held by \"%s\"", l->line, l->name, chip,
                                               fault->consumer);
                return g_strdup_printf("line %s (%s) of chip %s is in use", l->line, l->name, chip);
        default:
                return g_strdup_printf("cannot request line %s (%s) of chip %s: %s", l->line, l->name, chip,
                                       g_strerror(-error));
        }
}

static DeviceReason fault_reason(int error) {
        switch (error) {
        case -EEXIST:
                return DEVICE_REASON_CONFIG;
        case -ENOTUNIQ:
                return DEVICE_REASON_NOT_FOUND;
        default:
                return device_reason_from_errno(error);
        }
}

static int gpio_request(GpioDevice *g, char **ret_detail) {
        g_autofree GpioLineSettings *settings = g_new(GpioLineSettings, g->n);
        GpioFault fault = {};
        int r;

        for (size_t i = 0; i < g->n; i++)
                settings[i] = g->line[i].settings;
        r = gpio_lines_request(g->path, settings, g->n, &g->lines, &fault);
        if (r >= 0)
                return r;

        if (fault.line < g->n) {
                *ret_detail = describe_line_fault(g, &fault, r);
                g->line[fault.line].consumer = g_strdup(fault.consumer);
        } else
                *ret_detail = g_strdup_printf("cannot open chip %s: %s", gpio_conf(g)->chip, g_strerror(-r));
        gpio_fault_done(&fault);
        return r;
}

static int gpio_open(GpioDevice *g, char **ret_detail) {
        g_autofree char *others = NULL;
        int r;

        g_clear_pointer(&g->path, g_free);
        r = gpio_chip_find(gpio_conf(g)->chip, &g->path, &others);
        if (r == -ENOENT)
                *ret_detail = g_strdup_printf("there is no chip %s", gpio_conf(g)->chip);
        else if (r == -ENOTUNIQ)
                *ret_detail = g_strdup_printf("chip %s is ambiguous: %s have this label", gpio_conf(g)->chip, others);
        else if (r < 0)
                *ret_detail = g_strdup_printf("cannot find chip %s: %s", gpio_conf(g)->chip, g_strerror(-r));
        return r < 0 ? r : gpio_request(g, ret_detail);
}

static void line_begin(GpioDevice *g, GpioLine *l, size_t i, int value, usec_t now) {
        const GpioLineConf *c = l->conf;

        gpio_input_begin(&l->in, value);
        gpio_output_begin(&l->out, l->settings.initial == GPIO_KEEP ? value : l->settings.initial);
        l->value = (uint64_t) value;
        l->offset = gpio_lines_offset(g->lines, i);
        l->consumer = g_strdup(GPIO_CONSUMER);
        l->poll_at = usec_add(now, c->poll_interval);
        l->count_at = c->counter.given ? usec_add(now, c->counter.interval) : USEC_INFINITY;
        l->doubt_at = USEC_INFINITY;
}

/* Every line is read before the first state is told: all or none. */
static int gpio_interrogate(GpioDevice *g, char **ret_detail) {
        usec_t now = gpio_now(g);

        for (size_t i = 0; i < g->n; i++) {
                int value = gpio_lines_get(g->lines, i);

                if (value < 0) {
                        *ret_detail = g_strdup_printf("cannot read line %s (%s) of chip %s: %s", g->line[i].conf->line,
                                                      g->line[i].conf->name, gpio_conf(g)->chip, g_strerror(-value));
                        return value;
                }
                line_begin(g, &g->line[i], i, value, now);
        }

        gpio_set_status(g, GPIO_STATUS_CONNECTED);
        for (size_t i = 0; i < g->n; i++)
                gpio_state(g, &g->line[i], g->line[i].in.reported, GPIO_INTERROGATE, now);
        return 0;
}

static int gpio_on_edges(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* Rules 1 and 2. */
static void gpio_connect(GpioDevice *g) {
        g_autofree char *detail = NULL;
        int r;

        g->tried_at = now_usec(CLOCK_MONOTONIC);
        gpio_forget_consumers(g);
        gpio_set_status(g, GPIO_STATUS_CONNECTING);
        r = gpio_open(g, &detail);
        if (r >= 0)
                r = sd_event_add_io(device_get_event(&g->device), &g->io, gpio_lines_fd(g->lines), EPOLLIN, gpio_on_edges, g);
        if (r >= 0)
                r = gpio_interrogate(g, &detail);
        if (r < 0) {
                gpio_disconnected(g, fault_reason(r), detail ?: g_strerror(-r));
                return;
        }

        (void) sd_event_source_set_description(g->io, "gpio-edges");
        g->state = GPIO_CONNECTED;
        device_set_link(&g->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
        gpio_set_timer(g);
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
                        l->doubt_at = usec_add(now, DOUBT_USEC);
                return 0;
        }
        if (l->doubt_at > now)
                return 0;
        if (l->doubt_at > 0 && gpio_input_contradicts(&l->in, value))
                gpio_count_lost(g, l, 1, now);
        l->doubt_at = USEC_INFINITY;
        gpio_sample(g, l, value, now);
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

/* Takes what waits, at most EVENTS_MAX. Returns 0 when nothing did. */
static int gpio_take_edges(GpioDevice *g) {
        usec_t now;
        int n, r = 0;

        n = gpio_lines_read(g->lines, g->events, EVENTS_MAX);
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

static int gpio_on_edges(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        GpioDevice *g = userdata;
        int r;

        r = revents & EPOLLIN ? gpio_take_edges(g) : -ENODEV;
        if (r < 0)
                gpio_lost(g, r);
        else
                gpio_set_timer(g);
        return 0;
}

/* ---- what is due ------------------------------------------------------------------------------------- */

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
                l->doubt_at = usec_add(now, DOUBT_USEC);
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
                gpio_sample(g, l, value, now);
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
                l->out.until = usec_add(now, DOUBT_USEC);
                if (rate_limit_take(&g->warnings, now, &suppressed))
                        log_context(LOG_WARNING, device_log(&g->device), "Cannot end the pulse of line %s: %s.", l->conf->name,
                                    g_strerror(-r));
                return 0;
        }
        gpio_output_written(&l->out, l->out.back, 0, now);
        if (l->out.value != l->told)
                gpio_state(g, l, l->out.value, GPIO_WRITE, now);
        return 0;
}

static int gpio_due(GpioDevice *g) {
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

static void gpio_on_timer(void *userdata) {
        GpioDevice *g = userdata;
        int r;

        switch (g->state) {
        case GPIO_STARTING:
                gpio_connect(g);
                device_started(&g->device); /* also without the chip; may write: the last thing */
                return;
        case GPIO_WAITING:
                gpio_connect(g);
                return;
        case GPIO_CONNECTED:
                r = gpio_due(g);
                if (r < 0)
                        gpio_lost(g, r);
                else
                        gpio_set_timer(g);
                return;
        case GPIO_STOPPED:
                device_ended(&g->device, DEVICE_REASON_NONE, NULL);
                return;
        }
}

/* ---- chips come and go ------------------------------------------------------------------------------- */

static bool gpio_is_own_node(const GpioDevice *g, const char *name) {
        g_autofree char *own = g->path ? g_path_get_basename(g->path) : NULL;

        return own && streq(own, name);
}

static int gpio_on_directory(sd_event_source *source, const struct inotify_event *e, void *userdata) {
        GpioDevice *g = userdata;
        bool overflow = e->mask & IN_Q_OVERFLOW, ours = e->len > 0 && gpio_is_own_node(g, e->name);

        if (g->state == GPIO_CONNECTED) {
                bool gone = ours && (e->mask & (IN_DELETE | IN_MOVED_FROM));

                if (gone || (overflow && access(g->path, F_OK) < 0))
                        gpio_lost(g, -ENODEV);
        } else if (g->state == GPIO_WAITING && !(e->mask & (IN_DELETE | IN_MOVED_FROM)) &&
                   (overflow || ours || (e->len > 0 && gpio_chip_is_node(e->name)))) {
                g->retry_at = MIN(g->retry_at, usec_add(g->tried_at, RETURN_GAP_USEC));
                gpio_set_timer(g);
        }
        return 0;
}

/* ---- writes ------------------------------------------------------------------------------------------ */

static GpioLine *gpio_find_line(GpioDevice *g, Subtype name) {
        for (size_t i = 0; i < g->n; i++)
                if (subtype_is(name, g->line[i].conf->name))
                        return &g->line[i];
        return NULL;
}

static void gpio_answer(GpioDevice *g, const char *name, JsonSpan request_id, GpioResult result) {
        JsonWriter *w = &g->json;

        json_writer_reset(w);
        json_open_object(w);
        json_key(w, "request_id");
        json_raw(w, request_id);
        json_key(w, "result");
        json_string(w, gpio_result_to_string(result));
        json_close_object(w);
        gpio_register_line(g, name, "write", NULL);
}

/* Rule 6, in the order of the results. *ret_error: the line could not be set. */
static GpioResult gpio_write(GpioDevice *g, GpioLine *l, JsonSpan request, usec_t now, int *ret_error) {
        usec_t duration;
        int value, r;

        if (!l)
                return GPIO_UNKNOWN_LINE;
        if (!l->settings.output)
                return GPIO_NOT_OUTPUT;
        if (gpio_write_parse(request, &value, &duration) < 0)
                return GPIO_INVALID_VALUE;
        if (g->state != GPIO_CONNECTED)
                return GPIO_NOT_CONNECTED;

        r = gpio_lines_set(g->lines, (size_t) (l - g->line), value);
        if (r < 0) {
                *ret_error = r;
                return GPIO_FAILED;
        }
        gpio_output_written(&l->out, value, duration, now);
        return GPIO_SUCCESS;
}

static void gpio_warn_ignored(GpioDevice *g, const Event *e, const char *what) {
        g_autofree char *type = NULL;
        unsigned suppressed;

        if (!rate_limit_take(&g->warnings, now_usec(CLOCK_MONOTONIC), &suppressed))
                return;
        type = event_type_format(e->type);
        log_context(LOG_WARNING, device_log(&g->device), "Event system/%s ignored: %s.", type, what);
}

static void gpio_event(Device *d, const Event *e) {
        GpioDevice *g = (GpioDevice *) d;
        const Subtype *t = e->type.subtypes;
        g_autofree char *name = NULL;
        JsonSpan request, request_id;
        GpioResult result;
        GpioLine *l;
        usec_t now;
        int error = 0;

        if (e->type.n != 3 || !subtype_is(t[0], "line") || !subtype_is(t[2], "write") || memchr(t[1].text, '\0', t[1].size)) {
                gpio_warn_ignored(g, e, "unknown type");
                return;
        }
        if (event_payload_json(e, &request) < 0 || json_get(request, "request_id", &request_id) < 0) {
                gpio_warn_ignored(g, e, "it has no request_id");
                return;
        }

        name = g_strndup(t[1].text, t[1].size);
        l = gpio_find_line(g, t[1]);
        now = gpio_now(g);
        result = gpio_write(g, l, request, now, &error);
        gpio_answer(g, name, request_id, result);
        if (result == GPIO_SUCCESS) {
                if (l->out.value != l->told)
                        gpio_state(g, l, l->out.value, GPIO_WRITE, now);
                gpio_set_timer(g);
        } else if (error == -ENODEV)
                gpio_lost(g, error);
        else if (error < 0)
                log_context(LOG_WARNING, device_log(d), "Cannot set line %s: %s.", name, g_strerror(-error));
}

/* ---- device type ------------------------------------------------------------------------------------- */

static void line_init(GpioLine *l, const GpioLineConf *c) {
        l->conf = c;
        l->settings = gpio_line_settings(c);
        l->name = c->name;
        l->direction = gpio_direction_to_string((GpioDirection) c->direction);
        l->offset = l->settings.offset;
        l->in = (GpioInput) {
                .report = gpio_line_detect(c),
                .alternate = !l->settings.output && l->settings.detect == GPIO_DETECT_BOTH && l->settings.debounce == 0,
                .debounce = gpio_line_debounce(c),
                .stable_at = USEC_INFINITY,
        };
        l->out.until = l->poll_at = l->count_at = l->doubt_at = USEC_INFINITY;
}

static void gpio_done(Device *d) {
        GpioDevice *g = (GpioDevice *) d;

        gpio_release(g);
        gpio_forget_consumers(g);
        for (size_t i = 0; i < g->n; i++)
                g_free((char *) g->line[i].settings.name);
        g_clear_pointer(&g->line, g_free);
        g->n = 0;
        g_clear_pointer(&g->path, g_free);
        g->watch = sd_event_source_disable_unref(g->watch);
        g->timer = deadline_free(g->timer);
        json_writer_done(&g->json);
}

static int gpio_start(Device *d) {
        GpioDevice *g = (GpioDevice *) d;
        const GpioLineConf *lines = gpio_conf(g)->lines.items;
        int r;

        g->n = gpio_conf(g)->lines.n;
        g->line = g_new0(GpioLine, g->n);
        for (size_t i = 0; i < g->n; i++)
                line_init(&g->line[i], &lines[i]);
        g->warnings = (RateLimit) { .burst = 10, .interval = 10 * USEC_PER_SEC };
        json_writer_init_growing(&g->json);
        r = deadline_new(device_get_event(d), "gpio", gpio_on_timer, g, &g->timer);
        if (r < 0) {
                gpio_done(d);
                return r;
        }

        /* Without a watch there are still the tries, and what the kernel says of a chip that is gone. */
        r = sd_event_add_inotify(device_get_event(d), &g->watch, gpio_lines_directory(),
                                 IN_CREATE | IN_ATTRIB | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM, gpio_on_directory, g);
        if (r < 0)
                log_context(LOG_DEBUG, device_log(d), "Cannot watch %s: %s.", gpio_lines_directory(), g_strerror(-r));
        device_set_link(d, DEVICE_LINK_CONNECTING, DEVICE_REASON_NONE, NULL);
        gpio_set_timer(g);
        return 0;
}

/* Rule 7: pulses end where they are. */
static void gpio_make_safe(GpioDevice *g) {
        for (size_t i = 0; i < g->n; i++) {
                const GpioLine *l = &g->line[i];
                int safe, r;

                if (!l->settings.output)
                        continue;
                safe = gpio_line_safe(l->conf);
                r = safe == GPIO_KEEP ? 0 : gpio_lines_set(g->lines, i, safe);
                if (r < 0)
                        log_context(LOG_WARNING, device_log(&g->device), "Cannot set line %s to its safe value: %s.",
                                    l->conf->name, g_strerror(-r));
        }
}

static void gpio_stop(Device *d) {
        GpioDevice *g = (GpioDevice *) d;

        if (g->state == GPIO_STOPPED)
                return;

        if (g->state == GPIO_CONNECTED)
                gpio_make_safe(g);
        gpio_release(g);
        gpio_forget_consumers(g);
        if (g->status != GPIO_STATUS_NONE)
                gpio_set_status(g, GPIO_STATUS_DISCONNECTED);
        g->state = GPIO_STOPPED;
        device_set_link(d, DEVICE_LINK_NONE, DEVICE_REASON_NONE, NULL);
        gpio_set_timer(g); /* the next turn tells the end */
}

static void gpio_flow(Device *d, bool open) {
        GpioDevice *g = (GpioDevice *) d;

        g->held = !open;
        for (size_t i = 0; open && i < g->n; i++)
                if (g->line[i].untold)
                        gpio_tell(g, &g->line[i]);
}

static void gpio_points(const void *conf, DevicePointCallback callback, void *userdata) {
        const GpioConf *c = conf;
        const GpioLineConf *lines = c->lines.items;

        for (size_t i = 0; i < c->lines.n; i++) {
                const char *const in[] = { "gateway", "line", lines[i].name, "state", NULL };
                const char *const out[] = { "system", "line", lines[i].name, "write", NULL };
                const char *const answer[] = { "gateway", "line", lines[i].name, "write", NULL };
                bool output = lines[i].direction == GPIO_OUTPUT;

                callback(&(DevicePoint) { .kind = DEVICE_POINT_VALUE,
                                         .name = lines[i].name,
                                         .in = in,
                                         .out = output ? out : NULL,
                                         .answer = output ? answer : NULL },
                         userdata);
        }
}

static size_t gpio_n_parts(const Device *d) {
        return ((const GpioDevice *) d)->n;
}

static const void *gpio_part(const Device *d, size_t i) {
        return &((const GpioDevice *) d)->line[i];
}

static char *gpio_chip_name(const void *conf) {
        return g_strdup(((const GpioConf *) conf)->chip);
}

static const StatusField gpio_status_fields[] = {
        { "Chip", NULL, "name, path or label, as configured", STATUS_STRING, .constant = gpio_chip_name },
        { "LostEdges", NULL, "edges that came faster than they could be taken, as far as that shows", STATUS_COUNTER,
          offsetof(GpioDevice, lost) },
        {}
};

static const StatusField gpio_line_status_fields[] = {
        { "Offset", NULL, "on the chip; for a line given by its name 0 before it was found", STATUS_GAUGE,
          offsetof(GpioLine, offset) },
        { "Name", NULL, "as configured", STATUS_STRING, offsetof(GpioLine, name) },
        { "Direction", NULL, "INPUT or OUTPUT", STATUS_STRING, offsetof(GpioLine, direction) },
        { "Value", NULL, "logical: 1 is active; the last one that is known", STATUS_GAUGE, offsetof(GpioLine, value) },
        { "Consumer", NULL, "who holds it: gatewayd, or who keeps gatewayd from it", STATUS_STRING,
          offsetof(GpioLine, consumer) },
        {}
};

extern const DeviceType gpio_device_type;
const DeviceType gpio_device_type = {
        .name = "gpio",
        .interface = "Gpio",
        .help = "Lines of a GPIO chip: inputs become events, events set outputs.",
        .device_size = sizeof(GpioDevice),
        .conf_size = sizeof(GpioConf),
        .conf = gpio_fields,
        .verify = gpio_conf_verify,
        .claims = gpio_conf_claims,
        .start = gpio_start,
        .stop = gpio_stop,
        .done = gpio_done,
        .event = gpio_event,
        .flow = gpio_flow,
        .points = gpio_points,
        .status = gpio_status_fields,
        .parts_name = "Lines",
        .n_parts = gpio_n_parts,
        .part = gpio_part,
        .part_fields = gpio_line_status_fields,
};
