/* SPDX-License-Identifier: Apache-2.0 */
/* Device type gpio (spec gpio.md): the lines of one chip, from its opening to its loss. Owns the request of
 * all lines, one timer for everything that is due, and a watch on the folder of chips. Loop thread. */

#include "devices/gpio/gpio-device.h"

#include <errno.h>
#include <sys/inotify.h>

#include "devices/gpio/gpio-chip.h"

/* A chip that comes back is tried at once, but not faster than this. */
#define RETURN_GAP_USEC (100 * USEC_PER_MSEC)

/* ---- the timer --------------------------------------------------------------------------------------- */

static void gpio_set_timer(GpioDevice *g) {
        usec_t due = USEC_INFINITY;

        if (g->state == GPIO_WAITING)
                due = g->retry_at;
        else if (g->state == GPIO_CONNECTED)
                due = gpio_next_due(g);
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
        if (g->released)
                g->retry_at = MIN(g->retry_at, usec_add(g->tried_at, RETURN_GAP_USEC));
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
        if (r < 0)
                return r;
        g->released = gpio_store_find(g);
        return gpio_request(g, ret_detail);
}

static void line_begin(GpioDevice *g, GpioLine *l, size_t i, int value, usec_t now) {
        const GpioLineConf *c = l->conf;
        bool as_it_is = l->settings.initial == GPIO_KEEP || l->settings.former >= 0;

        gpio_input_begin(&l->in, value);
        gpio_output_begin(&l->out, as_it_is ? value : l->settings.initial);
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

        g->released = false;
        gpio_store_keep(g);
        (void) sd_event_source_set_description(g->io, "gpio-edges");
        g->state = GPIO_CONNECTED;
        device_set_link(&g->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
        gpio_set_timer(g);
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

/* Rule 6, in the order of the results. *ret_time: when the line was set, so that no pulse is too short;
 * *ret_error: it could not be set. */
static GpioResult gpio_write(GpioDevice *g, GpioLine *l, JsonSpan request, usec_t *ret_time, int *ret_error) {
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
        *ret_time = gpio_now(g);
        gpio_output_written(&l->out, value, duration, *ret_time);
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
        usec_t time;
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
        result = gpio_write(g, l, request, &time, &error);
        gpio_answer(g, name, request_id, result);
        if (result == GPIO_SUCCESS) {
                if (l->out.value != l->told)
                        gpio_state(g, l, l->out.value, GPIO_WRITE, time);
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
        if (open)
                gpio_tell_held(g);
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
        .hardware = gpio_hardware,
        .status = gpio_status_fields,
        .parts_name = "Lines",
        .n_parts = gpio_n_parts,
        .part = gpio_part,
        .part_fields = gpio_line_status_fields,
};