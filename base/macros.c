/* SPDX-License-Identifier: Apache-2.0 */
/* What of base/macros.h is more than a macro. No state, any thread. */

#include <errno.h>
#include <fcntl.h>

#include "base/macros.h"

int safe_close(int fd) {
        int saved = errno;

        if (fd >= 0)
                (void) close(fd);
        errno = saved;
        return -EBADF;
}

int fd_set_nonblocking(int fd) {
        int flags;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
                return -errno;
        return 0;
}
