/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the service manager's store that is ours. Loop thread. */

#include "base/fd-store.h"

#include <errno.h>
#include <systemd/sd-daemon.h>

#include "base/bounds.h"
#include "base/log.h"

/* How stored descriptors are told from sockets that are passed. */
#define PREFIX "store/"
#define NAME_MAX_BYTES 255U /* sd_notify(3) */

struct FdStore {
        GHashTable *fds; /* name → descriptor */
};

FdStore *fd_store_new(ListenFds *passed) {
        FdStore *s = g_new0(FdStore, 1);
        char *name;
        int fd;

        s->fds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        while ((fd = listen_fds_take(passed, PREFIX, &name)) >= 0) {
                g_hash_table_insert(s->fds, g_strdup(name + strlen(PREFIX)), GINT_TO_POINTER(fd));
                g_free(name);
        }
        return s;
}

FdStore *fd_store_free(FdStore *s) {
        GHashTableIter i;
        gpointer fd;

        if (!s)
                return NULL;

        g_hash_table_iter_init(&i, s->fds);
        while (g_hash_table_iter_next(&i, NULL, &fd))
                (void) safe_close(GPOINTER_TO_INT(fd));
        g_hash_table_unref(s->fds);
        g_free(s);
        return NULL;
}

static int check_name(const char *name) {
        for (const char *c = name; *c; c++)
                if (*c <= ' ' || *c >= 0x7f || *c == ':')
                        return -EINVAL;
        return strlen(name) > NAME_MAX_BYTES - strlen(PREFIX) ? -ENAMETOOLONG : 0;
}

int fd_store_add(FdStore *s, const char *name, int fd) {
        g_autofree char *state = NULL;
        int r;

        r = check_name(name);
        if (r < 0)
                return r;
        if (g_hash_table_contains(s->fds, name))
                return -EEXIST;
        if (g_hash_table_size(s->fds) >= FD_STORE_MAX)
                return -ENOSPC;

        state = g_strdup_printf("FDSTORE=1\nFDNAME=" PREFIX "%s", name);
        r = sd_pid_notify_with_fds(0, false, state, &fd, 1);
        if (r < 0)
                (void) log_warning_errno(r, "The service manager does not store '%s': %m", name);
        g_hash_table_insert(s->fds, g_strdup(name), GINT_TO_POINTER(fd));
        return 0;
}

int fd_store_get(const FdStore *s, const char *name) {
        gpointer fd;

        return g_hash_table_lookup_extended(s->fds, name, NULL, &fd) ? GPOINTER_TO_INT(fd) : -ENOENT;
}

void fd_store_filter(FdStore *s, bool (*is_wanted)(const char *name, void *userdata), void *userdata) {
        GHashTableIter i;
        gpointer name, fd;

        g_hash_table_iter_init(&i, s->fds);
        while (g_hash_table_iter_next(&i, &name, &fd)) {
                if (is_wanted(name, userdata))
                        continue;
                log_debug("Closing the stored descriptor '%s'.", (const char *) name);
                (void) sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%s", (const char *) name);
                (void) safe_close(GPOINTER_TO_INT(fd));
                g_hash_table_iter_remove(&i);
        }
}
