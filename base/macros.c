/* SPDX-License-Identifier: Apache-2.0 */
/* What of base/macros.h is more than a macro. No state, any thread. */

#include <errno.h>

#include "base/macros.h"

int safe_close(int fd) {
        int saved = errno;

        if (fd >= 0)
                (void) close(fd);
        errno = saved;
        return -EBADF;
}
