/* SPDX-License-Identifier: Apache-2.0 */
/* The chips and lines of the machine and who holds them, for people who write a configuration (gatewayctl
 * gpio list). Loop thread. */

#include "devices/gpio/gpio-chip.h"
#include "devices/gpio/gpio-device.h"

/* Empty is what nobody knows. */
static void write_known(JsonWriter *w, const char *key, const char *value) {
        json_member_string(w, key, value && *value ? value : NULL);
}

/* The line of a run that holds this one; NULL: none does. */
static const GpioLine *run_find(const GpioDevice *g, const char *path, size_t offset) {
        if (g->state != GPIO_CONNECTED || !streq(g->path, path))
                return NULL;
        for (size_t i = 0; i < g->n; i++)
                if (g->line[i].offset == offset)
                        return &g->line[i];
        return NULL;
}

static void write_holder(JsonWriter *w, const char *path, size_t offset, const Device *const *runs,
                         size_t n) {
        const char *device = NULL, *point = NULL;

        for (size_t i = 0; i < n && !point; i++) {
                const GpioLine *l = run_find((const GpioDevice *) runs[i], path, offset);

                if (l) {
                        device = device_log(runs[i])->device_name;
                        point = l->conf->name;
                }
        }
        write_known(w, "Device", device);
        write_known(w, "Point", point);
}

static void write_line(JsonWriter *w, const char *path, size_t offset, const GpioLineInfo *l,
                       const Device *const *runs, size_t n) {
        json_open_object(w);
        json_member_uint(w, "Offset", offset);
        write_known(w, "Name", l->name);
        write_known(w, "Direction", gpio_direction_to_string(l->output ? GPIO_OUTPUT : GPIO_INPUT));
        json_key(w, "ActiveLow");
        json_bool(w, l->active_low);
        write_known(w, "Bias", gpio_bias_to_string(l->bias));
        json_key(w, "Used");
        json_bool(w, l->used);
        write_known(w, "Consumer", l->consumer);
        write_holder(w, path, offset, runs, n);
        json_close_object(w);
}

static void write_chip(JsonWriter *w, const char *path, const Device *const *runs, size_t n) {
        g_autofree char *name = g_path_get_basename(path);
        GpioChipInfo info = {};
        int r;

        r = gpio_lines_inspect(path, &info);
        json_open_object(w);
        write_known(w, "Name", name);
        write_known(w, "Path", path);
        write_known(w, "Label", info.label);
        write_known(w, "Error", r < 0 ? g_strerror(-r) : NULL);
        json_key(w, "Lines");
        json_open_array(w);
        for (size_t i = 0; i < info.n; i++)
                write_line(w, path, i, &info.lines[i], runs, n);
        json_close_array(w);
        json_close_object(w);
        gpio_chip_info_done(&info);
}

void gpio_hardware(JsonWriter *w, const Device *const *runs, size_t n) {
        g_autoptr(GPtrArray) chips = gpio_chips();

        json_open_array(w);
        for (guint i = 0; i < chips->len; i++)
                write_chip(w, chips->pdata[i], runs, n);
        json_close_array(w);
}
