/* SPDX-License-Identifier: Apache-2.0 */
/* The event store against its naive model: random operations, in memory and on disk, with queries in slices of a few rows between which
 * others write and trim. */

#include <glib/gstdio.h>

#include "tests/unit/store-model.h"

static void test_memory(void) {
        for (guint32 seed = 0; seed < 30; seed++) {
                Choices c = { .random = g_rand_new_with_seed(seed) };

                g_test_message("seed %u", seed);
                store_script(&c, ":memory:", 300);
                g_rand_free(c.random);
        }
}

static void test_file(void) {
        g_autofree char *folder = g_dir_make_tmp("store-model-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(folder, "events.db", NULL);

        for (guint32 seed = 1000; seed < 1005; seed++) {
                Choices c = { .random = g_rand_new_with_seed(seed) };

                g_test_message("seed %u", seed);
                store_script(&c, path, 200);
                g_rand_free(c.random);
                g_assert_cmpint(g_unlink(path), ==, 0);
        }
        g_assert_cmpint(g_rmdir(folder), ==, 0);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/store-model/memory", test_memory);
        g_test_add_func("/store-model/file", test_file);
        return g_test_run();
}
