/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs that stay as they are over the end of a run (`safe: null`): the host stores the descriptors of
 * their requests, and the next run goes on with them, in this process or, with a service manager, in the
 * next. A name is the chip's node and the line as configured. Loop thread. */

#include "devices/gpio/gpio-device.h"

#include <errno.h>
#include <fcntl.h>

#include "devices/gpio/gpio-kept.h"

static char *stored_name(const GpioDevice *g, const GpioLine *l) {
        g_autofree char *node = g_path_get_basename(g->path),
                        *name = g_strconcat(node, "/", l->conf->line, NULL);

        return g_uri_escape_string(name, "/", false);
}

bool gpio_store_find(GpioDevice *g) {
        g_autoptr(GPtrArray) wanted = g_ptr_array_new_with_free_func(g_free);
        bool released = false;

        for (size_t i = 0; i < g->n; i++) {
                GpioLineSettings *s = &g->line[i].settings;
                g_autofree char *name = NULL;
                int fd;

                s->former = -EBADF;
                name = stored_name(g, &g->line[i]);
                fd = device_stored_fd(&g->device, name);
                if (fd < 0)
                        continue;
                if (s->alone && gpio_kept_fits(fd, g->path, s)) {
                        s->former = fd;
                        g_ptr_array_add(wanted, TAKE_PTR(name));
                } else
                        released = true;
        }
        g_ptr_array_add(wanted, NULL);
        device_drop_stored(&g->device, (const char *const *) wanted->pdata);
        return released;
}

static int store_line(GpioDevice *g, const GpioLine *l, int fd) {
        g_autofree char *name = stored_name(g, l);
        int copy, r;

        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return -errno;
        r = device_store_fd(&g->device, name, copy);
        if (r < 0)
                (void) safe_close(copy);
        return r;
}

void gpio_store_keep(GpioDevice *g) {
        unsigned failed = 0;
        int error = 0;

        for (size_t i = 0; i < g->n; i++) {
                const GpioLine *l = &g->line[i];
                int r;

                if (!l->settings.alone || l->settings.former >= 0)
                        continue;
                r = store_line(g, l, gpio_lines_request_fd(g->lines, i));
                if (r < 0) {
                        failed++;
                        error = r;
                }
        }
        if (failed > 0)
                log_context(LOG_WARNING, device_log(&g->device), "A restart will release %u of the outputs: %s.", failed,
                            g_strerror(-error));
}
