/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the kept numbers: descriptors of /dev/null, which others take the place of. Any thread. */
#include "base/low-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/select.h>
#include <unistd.h>

#define FIRST 3 /* lowest number that is asked for */

static GMutex lock;
static int kept[LOW_FDS_KEPT];
static unsigned n_kept, n_wanted;

static int low_dup(int fd) {
        int low = fcntl(fd, F_DUPFD_CLOEXEC, FIRST);

        if (low < FD_SETSIZE)
                return low < 0 ? -EMFILE : low;
        (void) safe_close(low);
        return -EMFILE;
}

void low_fd_reserve(void) {
        _cleanup_(safe_closep) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        g_autoptr(GMutexLocker) G_GNUC_UNUSED locker = g_mutex_locker_new(&lock);

        n_wanted = LOW_FDS_KEPT;
        while (null >= 0 && n_kept < n_wanted && (kept[n_kept] = low_dup(null)) >= 0)
                n_kept++;
}

int low_fd_take(int fd) {
        g_autoptr(GMutexLocker) locker = NULL;
        int low;

        if (fd < FD_SETSIZE)
                return fd;
        low = low_dup(fd);
        locker = g_mutex_locker_new(&lock);
        if (low < 0 && n_kept > 0) {
                low = kept[--n_kept];
                if (dup3(fd, low, O_CLOEXEC) < 0) {
                        n_kept++;
                        low = -EMFILE;
                }
        }
        (void) safe_close(fd);
        return low;
}

void low_fd_release(int fd) {
        _cleanup_(safe_closep) int null = -EBADF;
        g_autoptr(GMutexLocker) locker = NULL;

        if (fd < 0)
                return;
        locker = g_mutex_locker_new(&lock);
        if (n_kept < n_wanted)
                null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (null >= 0 && fd < FD_SETSIZE && dup3(null, fd, O_CLOEXEC) >= 0)
                kept[n_kept++] = fd;
        else
                (void) safe_close(fd);
}
