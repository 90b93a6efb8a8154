/* SPDX-License-Identifier: Apache-2.0 */
/* What is served is what dbus/io.gatewayd.Gateway1.xml promises: a difference is a change of the API.
 * dbus/update-xml.sh writes the file anew. */
#include <errno.h>
#include <stdio.h>

#include <systemd/sd-bus.h>

#include <config.h>

#include "dbus/bus.h"
#include "devices/device.h"

#define DEVICE_PATH BUS_ROOT_PATH "/device/%/%"

static char *introspect(const char *path) {
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        g_assert_nonnull(stream);
        g_assert_cmpint(bus_introspect(path, stream), ==, 0);
        fclose(stream);
        return text;
}

static int introspect_error(const char *path) {
        FILE *stream = fopen("/dev/null", "w");
        int r;

        g_assert_nonnull(stream);
        r = bus_introspect(path, stream);
        fclose(stream);
        return r;
}

/* Our own interfaces in a document: name → text from <interface to </interface>. */
static GHashTable *interfaces(const char *text) {
        GHashTable *found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        const char *at = text, *end;

        while ((at = strstr(at, "<interface name=\"" BUS_NAME "."))) {
                const char *name = strchr(at, '"') + 1;

                end = strstr(at, "</interface>");
                g_assert_nonnull(end);
                g_hash_table_insert(found, g_strndup(name, (size_t) (strchr(name, '"') - name)),
                                    g_strndup(at, (size_t) (end - at)));
                at = end;
        }
        return found;
}

static GHashTable *golden(void) {
        g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "dbus", BUS_NAME ".xml",
                                                      NULL);
        g_autofree char *text = NULL;

        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        return interfaces(text);
}

static void assert_promised(GHashTable *promised, const char *path, const char *const *names) {
        g_autofree char *text = introspect(path);
        g_autoptr(GHashTable) served = interfaces(text);
        unsigned n = 0;

        for (; names[n]; n++) {
                g_assert_nonnull(g_hash_table_lookup(promised, names[n]));
                g_assert_cmpstr(g_hash_table_lookup(served, names[n]), ==,
                                g_hash_table_lookup(promised, names[n]));
        }
        g_assert_cmpuint(g_hash_table_size(served), ==, n);
}

static void test_manager(void) {
        g_autoptr(GHashTable) promised = golden();

        assert_promised(promised, BUS_ROOT_PATH, (const char *const[]) { BUS_MANAGER_INTERFACE, NULL });
}

static void test_devices(void) {
        g_autoptr(GHashTable) promised = golden();

        for (const DeviceType *const *t = device_types; *t; t++) {
                g_autofree char *interface = g_strdup_printf("%s.%s", BUS_DEVICE_INTERFACE, (*t)->interface);
                g_autofree char *path = NULL;
                bool shows = (*t)->status || (*t)->parts_name;

                g_assert_cmpint(sd_bus_path_encode_many(&path, DEVICE_PATH, (*t)->name, "any-name"), >=, 0);
                assert_promised(promised, path,
                                (const char *const[]) { BUS_DEVICE_INTERFACE, shows ? interface : NULL,
                                                       NULL });
        }
}

static void test_no_such_path(void) {
        g_assert_cmpint(introspect_error("/io/gatewayd/Other"), ==, -ENOENT);
        g_assert_cmpint(introspect_error(BUS_ROOT_PATH "/device/no_5fsuch_5ftype/x"), ==, -ENOENT);
        g_assert_cmpint(introspect_error("not a path"), ==, -EINVAL);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/dbus/introspect/manager", test_manager);
        g_test_add_func("/dbus/introspect/devices", test_devices);
        g_test_add_func("/dbus/introspect/no-such-path", test_no_such_path);
        return g_test_run();
}
