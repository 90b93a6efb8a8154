/* SPDX-License-Identifier: Apache-2.0 */
/* A disk as slow as the test says, or one that became read-only under the files that are open, as after an error of the file system, for the
 * program that includes this: it stands in for the calls by which SQLite writes and waits until it is written. Any thread. */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

typedef enum FakeDiskState {
        DISK_WRITABLE,
        DISK_READ_ONLY,
        DISK_READ_ONLY_LATE, /* found only when it is to be synced */
} FakeDiskState;

static struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool waits;
        FakeDiskState state;
        unsigned refused;
} fake_disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static inline void slow_disk(bool waits) {
        (void) pthread_mutex_lock(&fake_disk.lock);
        fake_disk.waits = waits;
        (void) pthread_cond_broadcast(&fake_disk.changed);
        (void) pthread_mutex_unlock(&fake_disk.lock);
}

static inline void read_only_disk(FakeDiskState state) {
        (void) pthread_mutex_lock(&fake_disk.lock);
        fake_disk.state = state;
        (void) pthread_mutex_unlock(&fake_disk.lock);
}

/* Calls that failed since the program began. */
static inline unsigned read_only_disk_refused(void) {
        unsigned n;

        (void) pthread_mutex_lock(&fake_disk.lock);
        n = fake_disk.refused;
        (void) pthread_mutex_unlock(&fake_disk.lock);
        return n;
}

static inline bool fake_disk_refuses(bool sync) {
        bool refuses;

        (void) pthread_mutex_lock(&fake_disk.lock);
        while (sync && fake_disk.waits)
                (void) pthread_cond_wait(&fake_disk.changed, &fake_disk.lock);
        refuses = fake_disk.state == DISK_READ_ONLY || (sync && fake_disk.state == DISK_READ_ONLY_LATE);
        fake_disk.refused += refuses;
        (void) pthread_mutex_unlock(&fake_disk.lock);
        if (refuses)
                errno = EROFS;
        return refuses;
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
        return fake_disk_refuses(/* sync= */ true) ? -1 : (int) syscall(SYS_fdatasync, fd);
}

__attribute__((visibility("default"))) ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
        const struct iovec iov = { .iov_base = (void *) data, .iov_len = size };

        return fake_disk_refuses(/* sync= */ false) ? -1 : pwritev(fd, &iov, 1, offset);
}
