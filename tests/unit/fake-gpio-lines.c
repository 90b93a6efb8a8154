/* SPDX-License-Identifier: Apache-2.0 */
/* GPIO chips without hardware. Main thread. */

#include "tests/unit/fake-gpio-lines.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "devices/gpio/gpio-kept.h"

#define CHIPS 4

struct GpioLines {
        FakeChip *chip;
        GpioLineSettings *settings;
        unsigned *offsets;
        uint32_t *sequences;
        int *fds; /* of lines that are alone, else -EBADF */
        size_t n;
        GArray *queue; /* GpioEvent */
        int fd;
};

static FakeChip chips[CHIPS];
static bool kernel_debounces, requests_outlive;
static char *directory;

const char *gpio_lines_directory(void) {
        return directory;
}

bool gpio_lines_debounce(void) {
        return kernel_debounces;
}

bool gpio_lines_can_outlive(void) {
        return requests_outlive;
}

/* ---- the machine ------------------------------------------------------------------------------------- */

static char *chip_path(const FakeChip *c) {
        return g_build_filename(directory, c->name, NULL);
}

static void directory_remove(void) {
        fake_gpio_reset();
        g_rmdir(directory);
        g_free(directory);
}

void fake_gpio_reset(void) {
        if (!directory) {
                directory = g_dir_make_tmp("gpio-XXXXXX", NULL);
                g_assert_nonnull(directory);
                g_assert_cmpint(atexit(directory_remove), ==, 0);
        }
        for (size_t i = 0; i < CHIPS; i++) {
                FakeChip *c = &chips[i];

                if (!c->name)
                        continue;
                g_assert_null(c->lines);
                if (c->plugged)
                        fake_gpio_unplug(c, false);
                g_free(c->name);
                g_free(c->label);
                g_ptr_array_unref(c->calls);
                *c = (FakeChip) {};
        }
        kernel_debounces = requests_outlive = false;
}

void fake_gpio_set_kernel(bool debounce) {
        kernel_debounces = debounce;
}

void fake_gpio_set_outlive(bool outlive) {
        requests_outlive = outlive;
}

bool fake_gpio_is_held(FakeChip *c, unsigned offset) {
        struct pollfd p = { .fd = c->alone[offset].fd };

        if (p.fd <= 0)
                return false;
        g_assert_cmpint(poll(&p, 1, 0), >=, 0);
        if (p.revents & POLLHUP)
                c->alone[offset].fd = safe_close(p.fd);
        return !(p.revents & POLLHUP);
}

static FakeChip *chip_find(const char *name) {
        for (size_t i = 0; i < CHIPS; i++)
                if (chips[i].name && streq(chips[i].name, name))
                        return &chips[i];
        return NULL;
}

FakeChip *fake_gpio_plug(const char *name, const char *label) {
        FakeChip *c = chip_find(name);
        g_autofree char *path = NULL;

        for (size_t i = 0; !c && i < CHIPS; i++)
                if (!chips[i].name) {
                        c = &chips[i];
                        *c = (FakeChip) { .name = g_strdup(name), .calls = g_ptr_array_new_with_free_func(g_free) };
                }
        g_assert_nonnull(c);
        g_free(c->label);
        c->label = g_strdup(label);
        c->plugged = true;
        path = chip_path(c);
        g_assert_true(g_file_set_contents(path, "", 0, NULL));
        return c;
}

static void lines_wake(GpioLines *l) {
        uint64_t one = 1;

        g_assert_cmpint(write(l->fd, &one, sizeof(one)), ==, sizeof(one));
}

void fake_gpio_unplug(FakeChip *c, bool silently) {
        g_autofree char *path = chip_path(c);

        c->plugged = false;
        g_assert_cmpint(g_unlink(path), ==, 0);
        for (unsigned i = 0; i < FAKE_LINES; i++)
                if (c->alone[i].fd > 0)
                        c->alone[i].fd = safe_close(c->alone[i].fd);
        if (c->lines && !silently)
                lines_wake(c->lines);
}

static size_t lines_index(const GpioLines *l, unsigned offset) {
        for (size_t i = 0; l && i < l->n; i++)
                if (l->offsets[i] == offset)
                        return i;
        return SIZE_MAX;
}

void fake_gpio_move_quietly(FakeChip *c, unsigned offset, int level) {
        c->levels[offset] = level;
}

void fake_gpio_lose(FakeChip *c, unsigned offset, unsigned n) {
        c->lines->sequences[lines_index(c->lines, offset)] += n;
}

void fake_gpio_move(FakeChip *c, unsigned offset, int level, usec_t at) {
        GpioLines *l = c->lines;
        size_t i = lines_index(l, offset);
        const GpioLineSettings *s;
        GpioEvent e;

        c->levels[offset] = level;
        if (i == SIZE_MAX)
                return;
        s = &l->settings[i];
        e = (GpioEvent) { .line = i, .value = s->active_low ? !level : level };
        if (s->output || s->detect == GPIO_DETECT_NONE ||
            s->detect == (e.value ? GPIO_DETECT_FALLING : GPIO_DETECT_RISING))
                return;
        e.time = (at > 0 ? at : now_usec(CLOCK_MONOTONIC)) * NSEC_PER_USEC;
        l->sequences[i]++;
        e.sequence = kernel_debounces ? l->sequences[i] : 0;
        g_array_append_val(l->queue, e);
        lines_wake(l);
}

/* ---- gpio-lines.h ------------------------------------------------------------------------------------ */

int gpio_lines_label(const char *path, char **ret) {
        g_autofree char *name = g_path_get_basename(path);
        const FakeChip *c = chip_find(name);

        if (!c || !c->plugged)
                return -ENODEV;
        *ret = g_strdup(c->label);
        return 0;
}

int gpio_lines_inspect(const char *path, GpioChipInfo *ret) {
        g_autofree char *name = g_path_get_basename(path);
        const FakeChip *c = chip_find(name);

        if (!c || !c->plugged)
                return -ENODEV;
        if (c->get_error < 0)
                return c->get_error;
        *ret = (GpioChipInfo) { .label = g_strdup(c->label), .lines = g_new0(GpioLineInfo, FAKE_LINES), .n = FAKE_LINES };
        for (unsigned i = 0; i < FAKE_LINES; i++) {
                size_t own = lines_index(c->lines, i);
                const char *holder = own != SIZE_MAX ? GPIO_CONSUMER : c->holders[i];

                ret->lines[i] = (GpioLineInfo) {
                        .name = g_strdup(c->names[i]),
                        .consumer = g_strdup(holder),
                        .used = holder,
                        .output = own != SIZE_MAX && c->lines->settings[own].output,
                        .active_low = own != SIZE_MAX && c->lines->settings[own].active_low,
                        .bias = own != SIZE_MAX ? c->lines->settings[own].bias : GPIO_BIAS_AS_IS,
                };
        }
        return 0;
}

static int line_find(const FakeChip *c, const GpioLineSettings *s, unsigned *ret) {
        if (!s->name) {
                *ret = s->offset;
                return s->offset < FAKE_LINES ? 0 : -ENXIO;
        }
        for (unsigned i = 0; i < FAKE_LINES; i++)
                if (c->names[i] && streq(c->names[i], s->name)) {
                        *ret = i;
                        return 0;
                }
        return -ENXIO;
}

static ino_t file_of(int fd) {
        struct stat s;

        return fd > 0 && fstat(fd, &s) >= 0 ? s.st_ino : 0;
}

bool gpio_kept_fits(int fd, const char *path, const GpioLineSettings *s) {
        g_autofree char *name = g_path_get_basename(path);
        FakeChip *c = chip_find(name);
        const GpioLineSettings *former;
        unsigned offset;

        if (!c || line_find(c, s, &offset) < 0 || file_of(fd) != file_of(c->alone[offset].fd) || file_of(fd) == 0)
                return false;
        former = &c->alone[offset].settings;
        return former->active_low == s->active_low && former->drive == s->drive && former->bias == s->bias;
}

static int line_request_alone(GpioLines *l, size_t i) {
        const GpioLineSettings *s = &l->settings[i];
        unsigned offset = l->offsets[i];
        int ends[2];

        if (s->former >= 0) {
                g_assert_cmpuint(file_of(s->former), ==, file_of(l->chip->alone[offset].fd));
                l->fds[i] = fcntl(s->former, F_DUPFD_CLOEXEC, 3);
                return 0;
        }
        if (fake_gpio_is_held(l->chip, offset))
                return -EBUSY;
        g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
        l->chip->alone[offset].fd = ends[0];
        l->chip->alone[offset].settings = *s;
        l->fds[i] = ends[1];
        return 0;
}

static int lines_open(GpioLines *l, const GpioLineSettings *settings, GpioFault *fault) {
        for (size_t i = 0; i < l->n; i++) {
                int r;

                fault->line = i;
                r = line_find(l->chip, &settings[i], &l->offsets[i]);
                if (r < 0)
                        return r;
                for (size_t j = 0; j < i; j++)
                        if (l->offsets[j] == l->offsets[i])
                                return -EEXIST;
                if (l->chip->holders[l->offsets[i]]) {
                        fault->consumer = g_strdup(l->chip->holders[l->offsets[i]]);
                        return -EBUSY;
                }
                r = settings[i].alone                                  ? line_request_alone(l, i)
                    : fake_gpio_is_held(l->chip, l->offsets[i]) ? -EBUSY
                                                                       : 0;
                if (r < 0) {
                        fault->consumer = g_strdup(GPIO_CONSUMER);
                        return r;
                }
        }
        return 0;
}

int gpio_lines_request(const char *path, const GpioLineSettings *settings, size_t n, GpioLines **ret,
                       GpioFault *ret_fault) {
        g_autofree char *name = g_path_get_basename(path);
        FakeChip *c = chip_find(name);
        GpioFault fault = { .line = SIZE_MAX };
        GpioLines *l;
        int r;

        if (!c || !c->plugged) {
                *ret_fault = fault;
                return -ENODEV;
        }
        g_assert_null(c->lines);
        l = g_new0(GpioLines, 1);
        l->chip = c;
        l->n = n;
        l->settings = g_memdup2(settings, n * sizeof(*settings));
        l->offsets = g_new0(unsigned, n);
        l->sequences = g_new0(uint32_t, n);
        l->fds = g_new(int, n);
        for (size_t i = 0; i < n; i++)
                l->fds[i] = -EBADF;
        l->queue = g_array_new(FALSE, FALSE, sizeof(GpioEvent));
        l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = lines_open(l, settings, &fault);
        if (r < 0) {
                *ret_fault = fault;
                (void) gpio_lines_free(l);
                return r;
        }

        for (size_t i = 0; i < n; i++)
                if (settings[i].output && settings[i].initial != GPIO_KEEP && settings[i].former < 0)
                        c->levels[l->offsets[i]] = settings[i].active_low ? !settings[i].initial : settings[i].initial;
        c->requests++;
        c->lines = l;
        *ret = l;
        return 0;
}

GpioLines *gpio_lines_free(GpioLines *l) {
        if (!l)
                return NULL;

        if (l->chip->lines == l) {
                g_ptr_array_add(l->chip->calls, g_strdup("release"));
                l->chip->lines = NULL;
        }
        for (size_t i = 0; i < l->n; i++)
                if (l->fds[i] >= 0)
                        (void) safe_close(l->fds[i]);
        g_free(l->fds);
        g_free(l->settings);
        g_free(l->offsets);
        g_free(l->sequences);
        g_array_unref(l->queue);
        (void) safe_close(l->fd);
        g_free(l);
        return NULL;
}

unsigned gpio_lines_offset(const GpioLines *l, size_t line) {
        return l->offsets[line];
}

int gpio_lines_request_fd(const GpioLines *l, size_t line) {
        return l->fds[line];
}

int gpio_lines_fd(const GpioLines *l) {
        return l->fd;
}

int gpio_lines_read(GpioLines *l, GpioEvent *events, size_t max) {
        size_t n = MIN(max, l->queue->len);
        uint64_t count;

        if (!l->chip->plugged)
                return read(l->fd, &count, sizeof(count)) < 0 ? 0 : -ENODEV; /* as a kernel that wakes nobody */
        for (size_t i = 0; i < n; i++)
                events[i] = g_array_index(l->queue, GpioEvent, i);
        if (n > 0)
                g_array_remove_range(l->queue, 0, (guint) n);
        if (l->queue->len == 0)
                (void) !read(l->fd, &count, sizeof(count));
        return (int) n;
}

int gpio_lines_get(GpioLines *l, size_t line) {
        int level = l->chip->levels[l->offsets[line]];

        if (!l->chip->plugged)
                return -ENODEV;
        if (l->chip->get_error < 0)
                return l->chip->get_error;
        return l->settings[line].active_low ? !level : level;
}

int gpio_lines_set(GpioLines *l, size_t line, int value) {
        if (!l->chip->plugged)
                return -ENODEV;
        if (l->chip->set_error < 0)
                return l->chip->set_error;
        l->chip->levels[l->offsets[line]] = l->settings[line].active_low ? !value : value;
        g_ptr_array_add(l->chip->calls, g_strdup_printf("%u=%d", l->offsets[line], value));
        return 0;
}
