/* SPDX-License-Identifier: Apache-2.0 */

/* Stand-alone driver of a fuzz target: feeds it the empty input and then every file of the corpus folder given on
 * the command line, in the order of their names. Single-threaded; ends at the first crash like any program. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int compare_names(gconstpointer a, gconstpointer b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* A missing folder is an empty corpus: the target still sees the empty input. */
static GPtrArray *corpus_list(const char *folder) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        GDir *dir = g_dir_open(folder, 0, NULL);
        const char *name;

        if (!dir)
                return names;

        while ((name = g_dir_read_name(dir)))
                if (name[0] != '.')
                        g_ptr_array_add(names, g_build_filename(folder, name, NULL));
        g_dir_close(dir);

        g_ptr_array_sort(names, compare_names);
        return names;
}

/* The input is copied into an allocation of exactly its size, so that a read beyond its end is seen. */
static void replay(const char *contents, size_t size) {
        uint8_t *exact = malloc(size > 0 ? size : 1);

        if (!exact)
                abort();
        if (size > 0)
                memcpy(exact, contents, size);
        (void) LLVMFuzzerTestOneInput(exact, size);
        free(exact);
}

int main(int argc, char *argv[]) {
        g_autoptr(GPtrArray) names = NULL;

        if (LLVMFuzzerInitialize)
                (void) LLVMFuzzerInitialize(&argc, &argv);
        if (argc != 2) {
                fprintf(stderr, "Usage: %s CORPUS\n", argv[0]);
                return 2;
        }

        names = corpus_list(argv[1]);
        replay("", 0);
        for (guint i = 0; i < names->len; i++) {
                const char *path = g_ptr_array_index(names, i);
                g_autofree char *contents = NULL;
                gsize size;

                if (!g_file_get_contents(path, &contents, &size, NULL)) {
                        fprintf(stderr, "Failed to read %s.\n", path);
                        return 1;
                }
                fprintf(stderr, "%s\n", path);
                replay(contents, size);
        }

        printf("%u inputs replayed.\n", names->len + 1);
        return 0;
}
