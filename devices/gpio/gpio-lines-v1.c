/* SPDX-License-Identifier: Apache-2.0 */
/* gpio-lines.h with libgpiod 1.6. Lines with equal flags are one request, yet the library gives each line
 * with edges its own descriptor: one epoll descriptor stands for them. Of a request of several lines the
 * library reads and sets only all at once, so each group keeps the values of its outputs. Loop thread. */

#include <errno.h>
#include <gpiod.h>
#include <sys/epoll.h>

#include "devices/gpio/gpio-lines.h"

#define EVENTS_OF_LINE 16U /* what the kernel keeps of one */
#define READY_MAX 64

/* Lines of one request. */
typedef struct Group {
        struct gpiod_line_bulk bulk;
        int values[GPIOD_LINE_BULK_MAX_LINES];
        int type, flags;
        bool keep; /* asked for their present value first */
} Group;

typedef struct Member {
        struct gpiod_line *line;
        Group *group;
        unsigned index; /* in its group */
} Member;

struct GpioLines {
        struct gpiod_chip *chip;
        GPtrArray *groups; /* Group */
        Member *members;   /* by index in the settings */
        int epoll;
};

const char *gpio_lines_directory(void) {
        return "/dev";
}

bool gpio_lines_debounce(void) {
        return false;
}

bool gpio_lines_can_outlive(void) {
        return false;
}

int gpio_lines_request_fd(const GpioLines *l, size_t line) {
        return -EBADF; /* the library gives out none for outputs */
}

/* Should the library ever fail without saying why. */
static int last_error(void) {
        return errno > 0 ? -errno : -EIO;
}

int gpio_lines_label(const char *path, char **ret) {
        struct gpiod_chip *chip;

        chip = gpiod_chip_open(path);
        if (!chip)
                return last_error();
        *ret = g_strdup(gpiod_chip_label(chip));
        gpiod_chip_close(chip);
        return 0;
}

/* ---- what is there ------------------------------------------------------------------------------------ */

static GpioBias line_bias(struct gpiod_line *line) {
        switch (gpiod_line_bias(line)) {
        case GPIOD_LINE_BIAS_DISABLE:
                return GPIO_BIAS_DISABLED;
        case GPIOD_LINE_BIAS_PULL_UP:
                return GPIO_BIAS_PULL_UP;
        case GPIOD_LINE_BIAS_PULL_DOWN:
                return GPIO_BIAS_PULL_DOWN;
        default:
                return GPIO_BIAS_AS_IS;
        }
}

static int chip_inspect(struct gpiod_chip *chip, GpioChipInfo *info) {
        info->label = g_strdup(gpiod_chip_label(chip));
        info->n = gpiod_chip_num_lines(chip);
        info->lines = g_new0(GpioLineInfo, info->n);
        for (size_t i = 0; i < info->n; i++) {
                struct gpiod_line *line = gpiod_chip_get_line(chip, (unsigned) i);

                if (!line)
                        return last_error();
                info->lines[i] = (GpioLineInfo) {
                        .name = g_strdup(gpiod_line_name(line)),
                        .consumer = g_strdup(gpiod_line_consumer(line)),
                        .used = gpiod_line_is_used(line),
                        .output = gpiod_line_direction(line) == GPIOD_LINE_DIRECTION_OUTPUT,
                        .active_low = gpiod_line_active_state(line) == GPIOD_LINE_ACTIVE_STATE_LOW,
                        .bias = line_bias(line),
                };
        }
        return 0;
}

int gpio_lines_inspect(const char *path, GpioChipInfo *ret) {
        GpioChipInfo info = {};
        struct gpiod_chip *chip;
        int r;

        chip = gpiod_chip_open(path);
        if (!chip)
                return last_error();
        r = chip_inspect(chip, &info);
        gpiod_chip_close(chip);
        if (r < 0) {
                gpio_chip_info_done(&info);
                return r;
        }
        *ret = info;
        return 0;
}

/* ---- settings ---------------------------------------------------------------------------------------- */

static int request_type(const GpioLineSettings *s) {
        static const int types[] = {
                [GPIO_DETECT_BOTH] = GPIOD_LINE_REQUEST_EVENT_BOTH_EDGES,
                [GPIO_DETECT_RISING] = GPIOD_LINE_REQUEST_EVENT_RISING_EDGE,
                [GPIO_DETECT_FALLING] = GPIOD_LINE_REQUEST_EVENT_FALLING_EDGE,
                [GPIO_DETECT_NONE] = GPIOD_LINE_REQUEST_DIRECTION_INPUT,
        };

        return s->output ? GPIOD_LINE_REQUEST_DIRECTION_OUTPUT : types[s->detect];
}

static int request_flags(const GpioLineSettings *s) {
        static const int biases[] = {
                [GPIO_BIAS_DISABLED] = GPIOD_LINE_REQUEST_FLAG_BIAS_DISABLE,
                [GPIO_BIAS_PULL_UP] = GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_UP,
                [GPIO_BIAS_PULL_DOWN] = GPIOD_LINE_REQUEST_FLAG_BIAS_PULL_DOWN,
        };
        static const int drives[] = {
                [GPIO_DRIVE_OPEN_DRAIN] = GPIOD_LINE_REQUEST_FLAG_OPEN_DRAIN,
                [GPIO_DRIVE_OPEN_SOURCE] = GPIOD_LINE_REQUEST_FLAG_OPEN_SOURCE,
        };

        return (s->bias == GPIO_BIAS_AS_IS ? 0 : biases[s->bias]) |
               (s->output && s->drive != GPIO_DRIVE_PUSH_PULL ? drives[s->drive] : 0) |
               (s->active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0);
}

/* The group that these settings go to, with room. */
static Group *lines_group(GpioLines *l, const GpioLineSettings *s) {
        int type = request_type(s), flags = request_flags(s);
        bool keep = s->output && s->initial == GPIO_KEEP;
        Group *g;

        for (guint i = 0; i < l->groups->len; i++) {
                g = l->groups->pdata[i];
                if (g->type == type && g->flags == flags && g->keep == keep &&
                    gpiod_line_bulk_num_lines(&g->bulk) < GPIOD_LINE_BULK_MAX_LINES)
                        return g;
        }

        g = g_new0(Group, 1);
        gpiod_line_bulk_init(&g->bulk);
        g->type = type;
        g->flags = flags;
        g->keep = keep;
        g_ptr_array_add(l->groups, g);
        return g;
}

/* ---- request ----------------------------------------------------------------------------------------- */

static int lines_find(GpioLines *l, const GpioLineSettings *s, struct gpiod_line **ret) {
        errno = 0;
        *ret = s->name ? gpiod_chip_find_line(l->chip, s->name)
             : s->offset < gpiod_chip_num_lines(l->chip) ? gpiod_chip_get_line(l->chip, s->offset)
                                                         : NULL;
        if (*ret)
                return 0;
        return errno == ENODEV ? -ENODEV : -ENXIO;
}

/* Groups the lines, and finds two that are one. */
static int lines_collect(GpioLines *l, const GpioLineSettings *settings, size_t n, GpioFault *fault) {
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

        for (size_t i = 0; i < n; i++) {
                Member *m = &l->members[i];
                int r;

                r = lines_find(l, &settings[i], &m->line);
                if (r >= 0 && !g_hash_table_add(seen, m->line))
                        r = -EEXIST;
                if (r < 0) {
                        fault->line = i;
                        return r;
                }
                m->group = lines_group(l, &settings[i]);
                m->index = gpiod_line_bulk_num_lines(&m->group->bulk);
                m->group->values[m->index] = settings[i].initial > 0;
                gpiod_line_bulk_add(&m->group->bulk, m->line);
        }
        return 0;
}

/* Asked as they are, then made outputs with the values that were read. */
static int group_keep(Group *g) {
        struct gpiod_line_request_config config = {
                .consumer = GPIO_CONSUMER,
                .request_type = GPIOD_LINE_REQUEST_DIRECTION_AS_IS,
                .flags = g->flags & GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW,
        };

        if (gpiod_line_request_bulk(&g->bulk, &config, NULL) < 0 ||
            gpiod_line_get_value_bulk(&g->bulk, g->values) < 0 ||
            gpiod_line_set_config_bulk(&g->bulk, GPIOD_LINE_REQUEST_DIRECTION_OUTPUT, g->flags, g->values) < 0)
                return last_error();
        return 0;
}

static int group_request(Group *g) {
        struct gpiod_line_request_config config = {
                .consumer = GPIO_CONSUMER,
                .request_type = g->type,
                .flags = g->flags,
        };

        if (g->keep)
                return group_keep(g);
        return gpiod_line_request_bulk(&g->bulk, &config, g->values) < 0 ? last_error() : 0;
}

/* Which line of the group somebody else holds; the first one when that cannot be seen. */
static void lines_find_fault(GpioLines *l, const Group *g, size_t n, GpioFault *fault) {
        for (size_t i = n; i-- > 0;) {
                struct gpiod_line *line = l->members[i].line;
                bool used;

                if (l->members[i].group != g)
                        continue;
                used = gpiod_line_update(line) >= 0 && gpiod_line_is_used(line);
                if (used) {
                        g_free(fault->consumer);
                        fault->consumer = g_strdup(gpiod_line_consumer(line) ?: "");
                }
                if (used || !fault->consumer)
                        fault->line = i;
        }
}

static int lines_request_groups(GpioLines *l, size_t n, GpioFault *fault) {
        for (guint i = 0; i < l->groups->len; i++) {
                Group *g = l->groups->pdata[i];
                int r;

                r = group_request(g);
                if (r >= 0)
                        continue;
                if (r == -ENODEV)
                        return r;
                gpiod_line_release_bulk(&g->bulk);
                lines_find_fault(l, g, n, fault);
                return r;
        }
        return 0;
}

static int lines_watch(GpioLines *l, const GpioLineSettings *settings, size_t n) {
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (l->epoll < 0)
                return -errno;

        for (size_t i = 0; i < n; i++) {
                struct epoll_event e = { .events = EPOLLIN | EPOLLPRI, .data.u64 = i };

                if (settings[i].output || settings[i].detect == GPIO_DETECT_NONE)
                        continue;
                if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, gpiod_line_event_get_fd(l->members[i].line), &e) < 0)
                        return -errno;
        }
        return 0;
}

int gpio_lines_request(const char *path, const GpioLineSettings *settings, size_t n, GpioLines **ret,
                       GpioFault *ret_fault) {
        _cleanup_(gpio_lines_freep) GpioLines *l = g_new0(GpioLines, 1);
        GpioFault fault = { .line = SIZE_MAX };
        int r = 0;

        l->epoll = -EBADF;
        l->groups = g_ptr_array_new_with_free_func(g_free);
        l->members = g_new0(Member, n);
        errno = 0;
        l->chip = gpiod_chip_open(path);
        if (!l->chip)
                r = last_error();
        if (r >= 0)
                r = lines_collect(l, settings, n, &fault);
        if (r >= 0)
                r = lines_request_groups(l, n, &fault);
        if (r >= 0)
                r = lines_watch(l, settings, n);
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
        if (l->chip)
                gpiod_chip_close(l->chip); /* and releases its lines */
        g_ptr_array_unref(l->groups);
        g_free(l->members);
        g_free(l);
        return NULL;
}

/* ---- use --------------------------------------------------------------------------------------------- */

unsigned gpio_lines_offset(const GpioLines *l, size_t line) {
        return gpiod_line_offset(l->members[line].line);
}

int gpio_lines_fd(const GpioLines *l) {
        return l->epoll;
}

/* What one line has. */
static int lines_read_line(GpioLines *l, size_t line, GpioEvent *events) {
        struct gpiod_line_event got[EVENTS_OF_LINE];
        int n;

        n = gpiod_line_event_read_multiple(l->members[line].line, got, EVENTS_OF_LINE);
        if (n < 0)
                return last_error();
        for (int i = 0; i < n; i++)
                events[i] = (GpioEvent) {
                        .line = line,
                        .value = got[i].event_type == GPIOD_LINE_EVENT_RISING_EDGE,
                        .time = (uint64_t) got[i].ts.tv_sec * UINT64_C(1000000000) + (uint64_t) got[i].ts.tv_nsec,
                };
        return n;
}

int gpio_lines_read(GpioLines *l, GpioEvent *events, size_t max) {
        struct epoll_event ready[READY_MAX];
        size_t taken = 0;
        int n;

        n = epoll_wait(l->epoll, ready, (int) MIN(max / EVENTS_OF_LINE, (size_t) READY_MAX), 0);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;

        for (int i = 0; i < n; i++) {
                int r;

                if (!(ready[i].events & (EPOLLIN | EPOLLPRI)))
                        return -ENODEV;
                r = lines_read_line(l, (size_t) ready[i].data.u64, events + taken);
                if (r < 0)
                        return r;
                taken += (size_t) r;
        }
        return (int) taken;
}

int gpio_lines_get(GpioLines *l, size_t line) {
        const Member *m = &l->members[line];
        int values[GPIOD_LINE_BULK_MAX_LINES];
        int value;

        if (m->group->type == GPIOD_LINE_REQUEST_DIRECTION_INPUT || m->group->type == GPIOD_LINE_REQUEST_DIRECTION_OUTPUT)
                return gpiod_line_get_value_bulk(&m->group->bulk, values) < 0 ? last_error() : values[m->index];

        value = gpiod_line_get_value(m->line);
        return value < 0 ? last_error() : value;
}

int gpio_lines_set(GpioLines *l, size_t line, int value) {
        const Member *m = &l->members[line];
        int former = m->group->values[m->index];

        m->group->values[m->index] = value;
        if (gpiod_line_set_value_bulk(&m->group->bulk, m->group->values) >= 0)
                return 0;
        m->group->values[m->index] = former;
        return last_error();
}
