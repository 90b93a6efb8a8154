/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that takes as long as the test says, for the program that includes this: it stands in for fdatasync(), by which SQLite waits for
 * what it has written. Any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

static GMutex slow_disk_lock;
static GCond slow_disk_changed;
static bool slow_disk_waits;

static inline void slow_disk(bool waits) {
        g_mutex_lock(&slow_disk_lock);
        slow_disk_waits = waits;
        g_cond_broadcast(&slow_disk_changed);
        g_mutex_unlock(&slow_disk_lock);
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
        g_mutex_lock(&slow_disk_lock);
        while (slow_disk_waits)
                g_cond_wait(&slow_disk_changed, &slow_disk_lock);
        g_mutex_unlock(&slow_disk_lock);
        return (int) syscall(SYS_fdatasync, fd);
}
