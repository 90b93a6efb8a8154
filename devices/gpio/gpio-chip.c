/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the chips of the machine, and one by its name, its path, or the label that its driver gave it. No
 * state. */

#include "devices/gpio/gpio-chip.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "devices/gpio/gpio-lines.h"

/* Nodes that are looked at. */
#define CHIPS_MAX 256U

bool gpio_chip_is_node(const char *name) {
        return g_str_has_prefix(name, "gpiochip");
}

static int chip_resolve(const char *path, char **ret) {
        char *real;

        real = realpath(path, NULL);
        if (!real)
                return -errno;
        *ret = g_strdup(real);
        free(real);
        return 0;
}

static int compare_paths(const void *a, const void *b) {
        return strverscmp(*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *gpio_chips(void) {
        GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
        GDir *directory = g_dir_open(gpio_lines_directory(), 0, NULL);
        const char *name;

        while (directory && found->len < CHIPS_MAX && (name = g_dir_read_name(directory))) {
                g_autofree char *path = g_build_filename(gpio_lines_directory(), name, NULL);

                if (gpio_chip_is_node(name) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
                        g_ptr_array_add(found, TAKE_PTR(path));
        }
        if (directory)
                g_dir_close(directory);
        g_ptr_array_sort(found, compare_paths);
        return found;
}

/* Leaves those with this label. */
static void keep_labelled(GPtrArray *chips, const char *label) {
        for (guint i = chips->len; i-- > 0;) {
                g_autofree char *own = NULL;

                if (gpio_lines_label(chips->pdata[i], &own) < 0 || !streq(own, label))
                        g_ptr_array_remove_index(chips, i);
        }
}

int gpio_chip_find(const char *chip, char **ret, char **ret_others) {
        g_autofree char *path = NULL;
        g_autoptr(GPtrArray) found = NULL;

        if (chip[0] == '/')
                return chip_resolve(chip, ret);
        if (gpio_chip_is_node(chip) && !strchr(chip, '/')) {
                path = g_build_filename(gpio_lines_directory(), chip, NULL);
                if (chip_resolve(path, ret) >= 0)
                        return 0;
        }

        found = gpio_chips();
        keep_labelled(found, chip);
        if (found->len == 0)
                return -ENOENT;
        if (found->len > 1) {
                *ret_others = g_strdup_printf("%s and %s", (char *) found->pdata[0], (char *) found->pdata[1]);
                return -ENOTUNIQ;
        }
        *ret = g_strdup(found->pdata[0]);
        return 0;
}
