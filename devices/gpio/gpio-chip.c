/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a chip by its name, its path, or the label that its driver gave it. No state. */

#include "devices/gpio/gpio-chip.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "devices/gpio/gpio-lines.h"

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

/* The nodes with this label, in order of their names. */
static GPtrArray *chips_labelled(const char *label) {
        GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
        GDir *directory = g_dir_open(gpio_lines_directory(), 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_autofree char *path = g_build_filename(gpio_lines_directory(), name, NULL), *own = NULL;

                if (gpio_chip_is_node(name) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK) &&
                    gpio_lines_label(path, &own) >= 0 && streq(own, label))
                        g_ptr_array_add(found, TAKE_PTR(path));
        }
        if (directory)
                g_dir_close(directory);
        return found;
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

        found = chips_labelled(chip);
        if (found->len == 0)
                return -ENOENT;
        if (found->len > 1) {
                const char *a = found->pdata[0], *b = found->pdata[1];

                *ret_others = strcmp(a, b) < 0 ? g_strdup_printf("%s and %s", a, b)
                                               : g_strdup_printf("%s and %s", b, a);
                return -ENOTUNIQ;
        }
        *ret = g_strdup(found->pdata[0]);
        return 0;
}
