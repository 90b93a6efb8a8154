/* SPDX-License-Identifier: Apache-2.0 */
/* Adopts what the service manager passed (sd_listen_fds(3)) and reads the directories it made
 * (systemd.exec(5)). A name is passed at most once. Loop thread. */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include <config.h>

#include "base/log.h"
#include "base/sd.h"

typedef struct ListenFd {
        char *name;
        int fd;
} ListenFd;

struct ListenFds {
        ListenFd *items;
        size_t n;
};

static const ListenFd *listen_fds_find(const ListenFds *l, const char *name) {
        for (size_t i = 0; i < l->n; i++)
                if (streq(l->items[i].name, name))
                        return l->items + i;
        return NULL;
}

static void listen_fds_adopt(ListenFds *l, int fd, const char *name) {
        int r;

        if (listen_fds_find(l, name)) {
                log_warning("The service manager passed a second descriptor named \"%s\", closing it.",
                            name);
                (void) safe_close(fd);
                return;
        }

        r = fd_set_nonblocking(fd);
        if (r < 0) {
                (void) log_warning_errno(r, "Cannot use the passed descriptor \"%s\", closing it: %m", name);
                (void) safe_close(fd);
                return;
        }

        l->items[l->n++] = (ListenFd) { .name = g_strdup(name), .fd = fd };
}

int listen_fds_new(ListenFds **ret) {
        g_auto(GStrv) names = NULL; /* allocated by malloc(), which is what g_free() frees */
        ListenFds *l;
        int n;

        n = sd_listen_fds_with_names(/* unset_environment= */ 1, &names);
        if (n < 0)
                return n;

        l = g_new0(ListenFds, 1);
        l->items = g_new0(ListenFd, n);
        for (int i = 0; i < n; i++)
                listen_fds_adopt(l, SD_LISTEN_FDS_START + i, names[i]);

        *ret = l;
        return 0;
}

ListenFds *listen_fds_free(ListenFds *l) {
        if (!l)
                return NULL;

        for (size_t i = 0; i < l->n; i++) {
                (void) safe_close(l->items[i].fd);
                g_free(l->items[i].name);
        }
        g_free(l->items);
        g_free(l);
        return NULL;
}

int listen_fds_get(const ListenFds *l, const char *name) {
        const ListenFd *item;

        item = listen_fds_find(l, name);
        if (!item)
                return -ENOENT;
        if (sd_is_socket(item->fd, AF_UNSPEC, SOCK_STREAM, /* listening= */ 1) <= 0)
                return -ENOTSOCK;
        return item->fd;
}

int listen_fds_take(ListenFds *l, const char *prefix, char **ret_name) {
        for (size_t i = 0; i < l->n; i++) {
                ListenFd taken = l->items[i];

                if (!g_str_has_prefix(taken.name, prefix))
                        continue;
                l->items[i] = l->items[--l->n];
                *ret_name = taken.name;
                return taken.fd;
        }
        return -ENOENT;
}

void listen_fds_close_unknown(ListenFds *l, const char *const *used) {
        size_t n = 0;

        for (size_t i = 0; i < l->n; i++) {
                ListenFd *item = l->items + i;

                if (g_strv_contains(used, item->name)) {
                        l->items[n++] = *item;
                        continue;
                }
                log_warning("Nothing in the configuration uses the passed descriptor \"%s\", closing it.",
                            item->name);
                (void) safe_close(item->fd);
                g_free(item->name);
        }
        l->n = n;
}

static const char *directory_from_environment(const char *variable, const char *fallback) {
        g_autofree char *first = NULL;
        const char *value;

        value = getenv(variable);
        if (!value || strcspn(value, ":") == 0)
                return fallback;

        first = g_strndup(value, strcspn(value, ":"));
        return g_intern_string(first);
}

const char *state_directory(void) {
        return directory_from_environment("STATE_DIRECTORY", STATE_DIRECTORY);
}

const char *runtime_directory(void) {
        return directory_from_environment("RUNTIME_DIRECTORY", RUNTIME_DIRECTORY);
}
