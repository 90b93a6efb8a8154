/* SPDX-License-Identifier: Apache-2.0 */
/* gpio-lines.h with libgpiod 2.x. One request takes 64 lines of few kinds of settings; where they do not
 * fit, several requests stand behind one epoll descriptor. The kernel keeps 1024 edges of a request and
 * numbers those of each line. A line that is alone is used by its request's descriptor (gpio-kept.h),
 * whoever made it. Loop thread. */

#include <errno.h>
#include <fcntl.h>
#include <gpiod.h>
#include <sys/epoll.h>

#include "devices/gpio/gpio-kept.h"
#include "devices/gpio/gpio-lines.h"

#define REQUEST_LINES_MAX 64U
#define REQUEST_EVENTS_MAX 1024U
#define READY_MAX 16

/* A run of lines, by their places in GpioLines.order. */
typedef struct Request {
        struct gpiod_line_request *request; /* NULL: a line that is alone */
        int fd;                             /* owned then */
        size_t first, n;
} Request;

struct GpioLines {
        struct gpiod_chip *chip;
        struct gpiod_edge_event_buffer *buffer;
        GArray *requests; /* Request */
        unsigned *offsets;
        Request **owners; /* by index in the settings, once all are requested */
        size_t *order;    /* place → index in the settings: lines that are alone come behind the others */
        size_t n_alone;
        size_t n;
        int epoll;
};

const char *gpio_lines_directory(void) {
        return "/dev";
}

bool gpio_lines_debounce(void) {
        return true;
}

bool gpio_lines_can_outlive(void) {
        return true;
}

static int last_error(void) {
        return errno > 0 ? -errno : -EIO;
}

/* The caller frees. */
static struct gpiod_chip_info *chip_info(struct gpiod_chip *chip) {
        return chip ? gpiod_chip_get_info(chip) : NULL;
}

int gpio_lines_label(const char *path, char **ret) {
        struct gpiod_chip *chip = gpiod_chip_open(path);
        struct gpiod_chip_info *info = chip_info(chip);
        int r = 0;

        if (info)
                *ret = g_strdup(gpiod_chip_info_get_label(info));
        else
                r = last_error();
        if (info)
                gpiod_chip_info_free(info);
        if (chip)
                gpiod_chip_close(chip);
        return r;
}

/* ---- what is there ------------------------------------------------------------------------------------ */

static GpioBias line_bias(struct gpiod_line_info *line) {
        switch (gpiod_line_info_get_bias(line)) {
        case GPIOD_LINE_BIAS_DISABLED:
                return GPIO_BIAS_DISABLED;
        case GPIOD_LINE_BIAS_PULL_UP:
                return GPIO_BIAS_PULL_UP;
        case GPIOD_LINE_BIAS_PULL_DOWN:
                return GPIO_BIAS_PULL_DOWN;
        default:
                return GPIO_BIAS_AS_IS;
        }
}

static int chip_inspect(struct gpiod_chip *chip, GpioChipInfo *to) {
        struct gpiod_chip_info *info = chip_info(chip);

        if (!info)
                return last_error();
        to->label = g_strdup(gpiod_chip_info_get_label(info));
        to->n = gpiod_chip_info_get_num_lines(info);
        gpiod_chip_info_free(info);

        to->lines = g_new0(GpioLineInfo, to->n);
        for (size_t i = 0; i < to->n; i++) {
                struct gpiod_line_info *line = gpiod_chip_get_line_info(chip, (unsigned) i);

                if (!line)
                        return last_error();
                to->lines[i] = (GpioLineInfo) {
                        .name = g_strdup(gpiod_line_info_get_name(line)),
                        .consumer = g_strdup(gpiod_line_info_get_consumer(line)),
                        .used = gpiod_line_info_is_used(line),
                        .output = gpiod_line_info_get_direction(line) == GPIOD_LINE_DIRECTION_OUTPUT,
                        .active_low = gpiod_line_info_is_active_low(line),
                        .bias = line_bias(line),
                };
                gpiod_line_info_free(line);
        }
        return 0;
}

int gpio_lines_inspect(const char *path, GpioChipInfo *ret) {
        struct gpiod_chip *chip = gpiod_chip_open(path);
        GpioChipInfo info = {};
        int r;

        r = chip_inspect(chip, &info);
        if (chip)
                gpiod_chip_close(chip);
        if (r < 0) {
                gpio_chip_info_done(&info);
                return r;
        }
        *ret = info;
        return 0;
}

/* ---- settings ---------------------------------------------------------------------------------------- */

static const enum gpiod_line_bias biases[] = {
        [GPIO_BIAS_AS_IS] = GPIOD_LINE_BIAS_AS_IS,
        [GPIO_BIAS_DISABLED] = GPIOD_LINE_BIAS_DISABLED,
        [GPIO_BIAS_PULL_UP] = GPIOD_LINE_BIAS_PULL_UP,
        [GPIO_BIAS_PULL_DOWN] = GPIOD_LINE_BIAS_PULL_DOWN,
};

static const enum gpiod_line_edge edges[] = {
        [GPIO_DETECT_BOTH] = GPIOD_LINE_EDGE_BOTH,
        [GPIO_DETECT_RISING] = GPIOD_LINE_EDGE_RISING,
        [GPIO_DETECT_FALLING] = GPIOD_LINE_EDGE_FALLING,
        [GPIO_DETECT_NONE] = GPIOD_LINE_EDGE_NONE,
};

static const enum gpiod_line_drive drives[] = {
        [GPIO_DRIVE_PUSH_PULL] = GPIOD_LINE_DRIVE_PUSH_PULL,
        [GPIO_DRIVE_OPEN_DRAIN] = GPIOD_LINE_DRIVE_OPEN_DRAIN,
        [GPIO_DRIVE_OPEN_SOURCE] = GPIOD_LINE_DRIVE_OPEN_SOURCE,
};

/* value: of an output; GPIO_KEEP: it is asked for as it is. */
static void settings_fill(struct gpiod_line_settings *to, const GpioLineSettings *s, int value) {
        gpiod_line_settings_reset(to);
        gpiod_line_settings_set_active_low(to, s->active_low);
        if (s->output && value == GPIO_KEEP) {
                (void) gpiod_line_settings_set_direction(to, GPIOD_LINE_DIRECTION_AS_IS);
                return;
        }

        (void) gpiod_line_settings_set_bias(to, biases[s->bias]);
        (void) gpiod_line_settings_set_direction(to, s->output ? GPIOD_LINE_DIRECTION_OUTPUT
                                                               : GPIOD_LINE_DIRECTION_INPUT);
        if (s->output) {
                (void) gpiod_line_settings_set_drive(to, drives[s->drive]);
                (void) gpiod_line_settings_set_output_value(to, value > 0 ? GPIOD_LINE_VALUE_ACTIVE
                                                                          : GPIOD_LINE_VALUE_INACTIVE);
                return;
        }
        (void) gpiod_line_settings_set_edge_detection(to, edges[s->detect]);
        gpiod_line_settings_set_debounce_period_us(to, (unsigned long) s->debounce);
}

/* What a request is made with. */
typedef struct Maker {
        struct gpiod_line_settings *settings;
        struct gpiod_line_config *lines;
        struct gpiod_request_config *request;
} Maker;

static int maker_init(Maker *m) {
        *m = (Maker) { gpiod_line_settings_new(), gpiod_line_config_new(), gpiod_request_config_new() };
        if (!m->settings || !m->lines || !m->request)
                return -ENOMEM;
        gpiod_request_config_set_consumer(m->request, GPIO_CONSUMER);
        gpiod_request_config_set_event_buffer_size(m->request, REQUEST_EVENTS_MAX);
        return 0;
}

/* values: those of the run. */
static int maker_fill(Maker *m, const GpioLines *l, const Request *run, const GpioLineSettings *settings, const int *values) {
        gpiod_line_config_reset(m->lines);
        for (size_t i = 0; i < run->n; i++) {
                size_t line = l->order[run->first + i];

                settings_fill(m->settings, &settings[line], values[i]);
                if (gpiod_line_config_add_line_settings(m->lines, &l->offsets[line], 1, m->settings) < 0)
                        return last_error();
        }
        return 0;
}

static void maker_done(Maker *m) {
        g_clear_pointer(&m->settings, gpiod_line_settings_free);
        g_clear_pointer(&m->lines, gpiod_line_config_free);
        g_clear_pointer(&m->request, gpiod_request_config_free);
}

/* ---- request ----------------------------------------------------------------------------------------- */

static int lines_find(GpioLines *l, const GpioLineSettings *s, size_t n_lines, unsigned *ret) {
        int offset;

        if (!s->name) {
                *ret = s->offset;
                return s->offset < n_lines ? 0 : -ENXIO;
        }
        offset = gpiod_chip_get_line_offset_from_name(l->chip, s->name);
        if (offset < 0)
                return errno == ENODEV ? -ENODEV : -ENXIO;
        *ret = (unsigned) offset;
        return 0;
}

static int lines_resolve(GpioLines *l, const GpioLineSettings *settings, GpioFault *fault) {
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        struct gpiod_chip_info *info = chip_info(l->chip);
        size_t n_lines;

        if (!info)
                return last_error();
        n_lines = gpiod_chip_info_get_num_lines(info);
        gpiod_chip_info_free(info);

        for (size_t i = 0; i < l->n; i++) {
                int r;

                r = lines_find(l, &settings[i], n_lines, &l->offsets[i]);
                if (r >= 0 && !g_hash_table_add(seen, GUINT_TO_POINTER(l->offsets[i] + 1)))
                        r = -EEXIST;
                if (r < 0) {
                        fault->line = i;
                        return r;
                }
        }
        return 0;
}

/* The first line of the run that somebody holds; the first of all when that cannot be seen. */
static void lines_find_fault(GpioLines *l, const Request *run, GpioFault *fault) {
        fault->line = l->order[run->first];
        for (size_t i = run->first; i < run->first + run->n; i++) {
                struct gpiod_line_info *info = gpiod_chip_get_line_info(l->chip, l->offsets[l->order[i]]);
                bool used = info && gpiod_line_info_is_used(info);

                if (used) {
                        fault->line = l->order[i];
                        fault->consumer = g_strdup(gpiod_line_info_get_consumer(info) ?: "");
                }
                if (info)
                        gpiod_line_info_free(info);
                if (used)
                        return;
        }
}

/* Outputs that are to keep their value were asked for as they are: now they become outputs that have it. */
static int lines_keep(GpioLines *l, Maker *m, const Request *run, const GpioLineSettings *settings, int *values) {
        bool any = false;
        int r;

        for (size_t i = 0; i < run->n; i++) {
                size_t line = l->order[run->first + i];
                enum gpiod_line_value value;

                if (!settings[line].output || values[i] != GPIO_KEEP)
                        continue;
                value = gpiod_line_request_get_value(run->request, l->offsets[line]);
                if (value == GPIOD_LINE_VALUE_ERROR)
                        return last_error();
                values[i] = value == GPIOD_LINE_VALUE_ACTIVE;
                any = true;
        }
        if (!any)
                return 0;

        r = maker_fill(m, l, run, settings, values);
        if (r < 0)
                return r;
        return gpiod_line_request_reconfigure_lines(run->request, m->lines) < 0 ? last_error() : 0;
}

/* One request of a run of lines. -E2BIG: it is too long. */
static int lines_request_run(GpioLines *l, Maker *m, const GpioLineSettings *settings, size_t first, size_t n,
                             GpioFault *fault) {
        Request run = { .fd = -EBADF, .first = first, .n = n };
        int values[REQUEST_LINES_MAX];
        int r;

        if (n > REQUEST_LINES_MAX)
                return -E2BIG;
        for (size_t i = 0; i < n; i++)
                values[i] = settings[l->order[first + i]].initial;
        r = maker_fill(m, l, &run, settings, values);
        if (r < 0)
                return r;

        run.request = gpiod_chip_request_lines(l->chip, m->request, m->lines);
        if (!run.request) {
                r = last_error();
                if (r != -E2BIG && r != -ENODEV)
                        lines_find_fault(l, &run, fault);
                return r;
        }
        g_array_append_val(l->requests, run);
        return lines_keep(l, m, &run, settings, values);
}

/* The request stays open by a descriptor alone. */
static int request_detach(Request *q) {
        q->fd = fcntl(gpiod_line_request_get_fd(q->request), F_DUPFD_CLOEXEC, 3);
        if (q->fd < 0)
                return -errno;
        g_clear_pointer(&q->request, gpiod_line_request_release);
        return 0;
}

static int lines_request_alone(GpioLines *l, Maker *m, const GpioLineSettings *settings, size_t place, GpioFault *fault) {
        Request former = { .fd = -EBADF, .first = place, .n = 1 };
        int r;

        if (settings[l->order[place]].former >= 0) {
                former.fd = fcntl(settings[l->order[place]].former, F_DUPFD_CLOEXEC, 3);
                if (former.fd < 0)
                        return -errno;
                g_array_append_val(l->requests, former);
                return 0;
        }
        r = lines_request_run(l, m, settings, place, 1, fault);
        return r < 0 ? r : request_detach(&g_array_index(l->requests, Request, l->requests->len - 1));
}

static int lines_request_all(GpioLines *l, Maker *m, const GpioLineSettings *settings, GpioFault *fault) {
        size_t at = 0, n_shared = l->n - l->n_alone, step = MIN(n_shared, (size_t) REQUEST_LINES_MAX);

        while (at < n_shared) {
                size_t before = l->requests->len, n = MIN(step, n_shared - at);
                int r;

                r = lines_request_run(l, m, settings, at, n, fault);
                if (r == -E2BIG && n > 1 && l->requests->len == before) {
                        step = n / 2;
                        continue;
                }
                if (r < 0)
                        return r;
                at += n;
        }
        for (; at < l->n; at++) {
                int r;

                r = lines_request_alone(l, m, settings, at, fault);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int request_get_fd(const Request *q) {
        return q->request ? gpiod_line_request_get_fd(q->request) : q->fd;
}

static int lines_watch(GpioLines *l) {
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (l->epoll < 0)
                return -errno;

        for (guint i = 0; i < l->requests->len; i++) {
                Request *q = &g_array_index(l->requests, Request, i);
                struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

                for (size_t j = q->first; j < q->first + q->n; j++)
                        l->owners[l->order[j]] = q;
                if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, request_get_fd(q), &e) < 0)
                        return -errno;
        }
        return 0;
}

static int lines_open(GpioLines *l, const char *path, const GpioLineSettings *settings, GpioFault *fault) {
        Maker m;
        int r;

        l->chip = gpiod_chip_open(path);
        l->buffer = gpiod_edge_event_buffer_new(REQUEST_EVENTS_MAX);
        if (!l->chip || !l->buffer)
                return last_error();
        r = lines_resolve(l, settings, fault);
        if (r < 0)
                return r;

        r = maker_init(&m);
        if (r >= 0)
                r = lines_request_all(l, &m, settings, fault);
        maker_done(&m);
        return r < 0 ? r : lines_watch(l);
}

static void request_clear(void *p) {
        Request *q = p;

        if (q->request)
                gpiod_line_request_release(q->request);
        else
                (void) safe_close(q->fd);
}

static void lines_order(GpioLines *l, const GpioLineSettings *settings) {
        size_t at = 0;

        for (size_t i = 0; i < l->n; i++)
                l->n_alone += settings[i].alone;
        for (size_t i = 0, alone = l->n - l->n_alone; i < l->n; i++)
                l->order[settings[i].alone ? alone++ : at++] = i;
}

int gpio_lines_request(const char *path, const GpioLineSettings *settings, size_t n, GpioLines **ret,
                       GpioFault *ret_fault) {
        _cleanup_(gpio_lines_freep) GpioLines *l = g_new0(GpioLines, 1);
        GpioFault fault = { .line = SIZE_MAX };
        int r;

        l->epoll = -EBADF;
        l->n = n;
        l->offsets = g_new0(unsigned, n);
        l->owners = g_new0(Request *, n);
        l->order = g_new0(size_t, n);
        lines_order(l, settings);
        l->requests = g_array_new(FALSE, FALSE, sizeof(Request));
        g_array_set_clear_func(l->requests, request_clear);

        errno = 0;
        r = lines_open(l, path, settings, &fault);
        if (r < 0) {
                *ret_fault = fault;
                return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

GpioLines *gpio_lines_free(GpioLines *l) {
        if (!l)
                return NULL;

        (void) safe_close(l->epoll);
        g_array_unref(l->requests);
        if (l->buffer)
                gpiod_edge_event_buffer_free(l->buffer);
        if (l->chip)
                gpiod_chip_close(l->chip);
        g_free(l->offsets);
        g_free(l->owners);
        g_free(l->order);
        g_free(l);
        return NULL;
}

/* ---- use --------------------------------------------------------------------------------------------- */

unsigned gpio_lines_offset(const GpioLines *l, size_t line) {
        return l->offsets[line];
}

int gpio_lines_request_fd(const GpioLines *l, size_t line) {
        return l->owners[line]->fd;
}

int gpio_lines_fd(const GpioLines *l) {
        return l->epoll;
}

static size_t lines_index(const GpioLines *l, const Request *q, unsigned offset) {
        size_t i = q->first;

        while (i < q->first + q->n - 1 && l->offsets[l->order[i]] != offset)
                i++;
        return l->order[i];
}

static int lines_read_request(GpioLines *l, const Request *q, GpioEvent *events, size_t max) {
        int n;

        n = gpiod_line_request_read_edge_events(q->request, l->buffer, MIN(max, (size_t) REQUEST_EVENTS_MAX));
        if (n < 0)
                return last_error();

        for (int i = 0; i < n; i++) {
                struct gpiod_edge_event *e = gpiod_edge_event_buffer_get_event(l->buffer, (unsigned long) i);

                events[i] = (GpioEvent) {
                        .line = lines_index(l, q, gpiod_edge_event_get_line_offset(e)),
                        .value = gpiod_edge_event_get_event_type(e) == GPIOD_EDGE_EVENT_RISING_EDGE,
                        .time = gpiod_edge_event_get_timestamp_ns(e),
                        .sequence = (uint32_t) gpiod_edge_event_get_line_seqno(e),
                };
        }
        return n;
}

int gpio_lines_read(GpioLines *l, GpioEvent *events, size_t max) {
        struct epoll_event ready[READY_MAX];
        size_t taken = 0;
        int n;

        n = epoll_wait(l->epoll, ready, READY_MAX, 0);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;

        for (int i = 0; i < n && taken < max; i++) {
                const Request *q = &g_array_index(l->requests, Request, ready[i].data.u32);
                int r;

                if (!(ready[i].events & EPOLLIN) || !q->request)
                        return -ENODEV;
                r = lines_read_request(l, q, events + taken, max - taken);
                if (r < 0)
                        return r;
                taken += (size_t) r;
        }
        return (int) taken;
}

int gpio_lines_get(GpioLines *l, size_t line) {
        const Request *q = l->owners[line];
        enum gpiod_line_value value;

        if (!q->request)
                return gpio_kept_get(q->fd);
        value = gpiod_line_request_get_value(q->request, l->offsets[line]);
        return value == GPIOD_LINE_VALUE_ERROR ? last_error() : value == GPIOD_LINE_VALUE_ACTIVE;
}

int gpio_lines_set(GpioLines *l, size_t line, int value) {
        const Request *q = l->owners[line];

        if (!q->request)
                return gpio_kept_set(q->fd, value);
        return gpiod_line_request_set_value(q->request, l->offsets[line],
                                            value ? GPIOD_LINE_VALUE_ACTIVE : GPIOD_LINE_VALUE_INACTIVE) < 0 ? last_error() : 0;
}
