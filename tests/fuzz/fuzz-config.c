/* SPDX-License-Identifier: Apache-2.0 */

/* Fuzz target: any bytes as a whole configuration, with the device types of the build. What config_load()
 * accepts must be complete. */

#include <stdio.h>
#include <sys/mman.h>

#include "base/bounds.h"
#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
        if (!condition)
                abort();
}

static void check_config(const Config *c) {
        check(c->name && c->name[0] && strlen(c->name) <= CONF_NAME_MAX);
        check(c->n_devices <= CONF_DEVICES_MAX);
        check((c->north == NORTH_EMBEDDED) == (c->embedded != NULL));
        check((c->north == NORTH_MONITOR) == (c->monitor != NULL));
        check(c->north != NORTH_FIXED || c->event_server.host || c->event_server.path);
        for (size_t i = 0; i < c->n_devices; i++) {
                const DeviceConfig *d = &c->devices[i];

                check(d->type && d->conf && d->name && d->name[0]);
                check(!d->error || c->form == CONF_FORM_HAT);
        }
        for (const char *const *name = config_listen_names(c); *name; name++)
                check((*name)[0] != '\0');
}

static void print(ConfErrors *e) {
        char *lines = NULL;
        size_t n = 0;
        FILE *stream = open_memstream(&lines, &n);

        conf_errors_print(e, stream);
        fclose(stream);
        check(g_utf8_validate(lines, (gssize) n, NULL));
        free(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("fuzz");
        _cleanup_(config_unrefp) Config *c = NULL;
        _cleanup_(safe_closep) int fd = memfd_create("fuzz-config", MFD_CLOEXEC);
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

        check(fd >= 0 && write(fd, data, size) == (ssize_t) size);
        if (config_load(path, e, &c) < 0)
                check(conf_errors_count(e, CONF_ERROR) + conf_errors_count(e, CONF_RANGE) > 0);
        else
                check_config(c);
        print(e);
        return 0;
}
