/* SPDX-License-Identifier: Apache-2.0 */
/* A walk through /proc: the links below fd/ are read, not followed, so that no file system can make it
 * wait. No state, any thread. */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "link/holder.h"

/* Descriptors looked at: over all processes, more than a usual system has open. */
#define LOOKS_MAX 50000U

static DIR *closedir_null(DIR *d) {
        if (d)
                (void) closedir(d);
        return NULL;
}
DEFINE_CLEANUP(DIR, closedir_null);

/* Negative: not a number. */
static long parse_number(const char *text) {
        char *end;
        long n;

        errno = 0;
        n = strtol(text, &end, 10);
        return errno == 0 && end != text && *end == '\0' ? n : -1;
}

static bool process_has(long pid, const char *file, int except, unsigned *looks) {
        char directory[64], path[96], target[PATH_MAX];
        _cleanup_(closedir_nullp) DIR *d = NULL;
        const struct dirent *e;

        (void) snprintf(directory, sizeof(directory), "/proc/%ld/fd", pid);
        d = opendir(directory);
        if (!d)
                return false;

        while (*looks < LOOKS_MAX && (e = readdir(d))) {
                long fd = parse_number(e->d_name);
                ssize_t n;

                if (fd < 0 || (fd == except && pid == getpid()))
                        continue;
                (*looks)++;
                (void) snprintf(path, sizeof(path), "%s/%ld", directory, fd);
                n = readlink(path, target, sizeof(target) - 1);
                if (n <= 0)
                        continue;
                target[n] = '\0';
                if (streq(target, file))
                        return true;
        }
        return false;
}

static void read_name(long pid, char *ret_name, size_t size) {
        g_autofree char *path = g_strdup_printf("/proc/%ld/comm", pid), *text = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                text = g_strdup("?");
        (void) g_strlcpy(ret_name, g_strchomp(text), size);
}

int holder_find(const char *path, int except, Holder *ret) {
        _cleanup_(closedir_nullp) DIR *d = opendir("/proc");
        char file[PATH_MAX];
        const struct dirent *e;
        unsigned looks = 0;

        if (!d || !realpath(path, file))
                return -ENOENT;

        while ((e = readdir(d))) {
                long pid = parse_number(e->d_name);

                if (pid <= 0 || !process_has(pid, file, except, &looks))
                        continue;
                ret->pid = (pid_t) pid;
                read_name(pid, ret->name, sizeof(ret->name));
                return 0;
        }
        return -ENOENT;
}
